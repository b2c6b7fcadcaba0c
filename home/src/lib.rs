//! Where a user's images, volumes, caches and guests are, by the XDG Base Directory Specification. Nothing is made here;
//! the front of `husk run`, which has no heap, finds cache and guests by the same rules.

#![forbid(unsafe_code)]

pub mod held;

use std::path::PathBuf;

fn absolute(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What is kept until the user removes it: `$XDG_DATA_HOME/husk`, `~/.local/share/husk`, or root's `/var/lib/husk`. `None`
/// without HOME.
#[must_use]
pub fn data() -> Option<PathBuf> {
    let own = || {
        if rustix::process::geteuid().is_root() {
            Some(PathBuf::from("/var/lib"))
        } else {
            Some(absolute("HOME")?.join(".local/share"))
        }
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
