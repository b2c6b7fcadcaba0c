//! Debian packages, as `--with` names them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::ask::Asker;

/// What a guest does not read.
const LEFT_OUT: [&str; 5] =
    ["/usr/share/doc", "/usr/share/info", "/usr/share/lintian", "/usr/share/man", "/usr/share/bug"];

/// An installed package.
pub(super) struct Package {
    /// Its files and directories, without documentation.
    pub(super) files: Vec<PathBuf>,
    /// dpkg's list, which changes with the package.
    pub(super) list: Option<PathBuf>,
}

/// The package of that name; `None` if it is not installed or this is not Debian.
pub(super) fn package(asker: &Asker, name: &OsStr) -> Option<Package> {
    let name = name.to_str().filter(|name| is_package_name(name))?;
    let text = asker.ask(Path::new("/usr/bin/dpkg-query"), &["-L", name])?.stdout;
    let is_wanted = |path: &PathBuf| path.is_absolute() && !LEFT_OUT.iter().any(|dir| path.starts_with(dir));
    let files = text.lines().filter(|&line| line != "/.").map(PathBuf::from).filter(is_wanted).collect();
    let lists = [format!("{name}.list"), format!("{name}:amd64.list")];
    let list = lists.iter().map(|list| Path::new("/var/lib/dpkg/info").join(list)).find(|list| list.exists());
    Some(Package { files, list })
}

/// Debian's rule for package names, with an architecture behind a colon; no such name is an option.
fn is_package_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::is_package_name;

    #[test]
    fn only_package_names_reach_dpkg() {
        assert!(is_package_name("libstdc++6") && is_package_name("libc6:amd64") && is_package_name("7zip"));
        assert!(
            !is_package_name("--help")
                && !is_package_name("a b")
                && !is_package_name("")
                && !is_package_name("../x")
        );
    }
}
