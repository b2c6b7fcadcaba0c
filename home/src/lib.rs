//! Where a user's images, volumes, caches and guests are, by the XDG Base Directory Specification. Nothing is made here;
//! the front of `husk run`, which has no heap, finds cache and guests by the same rules.

#![forbid(unsafe_code)]

pub mod held;

use std::path::PathBuf;

fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Whether this process is the host's root, and not that of a user namespace, as below `podman unshare`.
#[must_use]
pub fn is_root() -> bool {
    let is_identity = || match std::fs::read_to_string("/proc/self/uid_map") {
        Ok(map) => maps_all(&map),
        // Without /proc nobody knows; most are in no namespace.
        Err(_) => true,
    };
    rustix::process::geteuid().is_root() && is_identity()
}

/// Whether a uid_map is that of the first user namespace, where each id is itself (user_namespaces(7)).
fn maps_all(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// What is kept until the user removes it: `$XDG_DATA_HOME/husk`, `~/.local/share/husk`, or root's `/var/lib/husk`. `None`
/// without HOME.
#[must_use]
pub fn data() -> Option<PathBuf> {
    let own = || {
        if is_root() { Some(PathBuf::from("/var/lib")) } else { Some(absolute("HOME")?.join(".local/share")) }
    };
    Some(absolute("XDG_DATA_HOME").or_else(own)?.join("husk"))
}

/// What can be made again: `$XDG_CACHE_HOME/husk` or `~/.cache/husk`. `None` without HOME.
#[must_use]
pub fn cache() -> Option<PathBuf> {
    Some(absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?.join("husk"))
}

/// What belongs to guests that run: `$XDG_RUNTIME_DIR/husk`, `/run/user/UID/husk` or `/tmp/husk-UID`.
#[must_use]
pub fn runtime() -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let users = PathBuf::from(format!("/run/user/{uid}"));
    match absolute("XDG_RUNTIME_DIR") {
        Some(runtime) => runtime.join("husk"),
        None if users.exists() => users.join("husk"),
        None => PathBuf::from(format!("/tmp/husk-{uid}")),
    }
}

#[cfg(test)]
mod tests {
    use super::maps_all;

    #[test]
    fn the_root_of_a_user_namespace_is_not_the_hosts() {
        assert!(maps_all("         0          0 4294967295\n"));
        assert!(!maps_all("         0       1000          1\n         1     100000      65536\n"));
        assert!(!maps_all("         0          0       1000\n"));
        assert!(!maps_all(""));
    }
}
