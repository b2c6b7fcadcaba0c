//! Debian packages in an image: by dpkg's own files in it.

use super::image::Root;
use std::collections::{BTreeMap, BTreeSet};

/// What only a package's maintainer scripts need.
const MAINTAINERS: [&str; 10] = [
    "adduser",
    "apt",
    "debconf",
    "debconf-2.0",
    "dpkg",
    "init-system-helpers",
    "lsb-base",
    "perl-base",
    "sysvinit-utils",
    "ucf",
];

/// The installed packages: each with its files, and what it depends on.
#[derive(Default)]
pub(super) struct Packages {
    files: BTreeMap<String, Vec<Vec<u8>>>,
    depends: BTreeMap<String, Vec<Vec<String>>>,
    provided: BTreeMap<String, String>,
}

impl Packages {
    /// Those of an image; none where it is no Debian.
    pub(super) fn read(root: &Root<'_>) -> Self {
        let mut packages = Self::default();
        for path in root.items.keys() {
            let Some(name) =
                path.strip_prefix(b"/var/lib/dpkg/info/").and_then(|name| name.strip_suffix(b".list"))
            else {
                continue;
            };
            let name = String::from_utf8_lossy(name);
            let name = name.split(':').next().unwrap_or_default().to_owned();
            let text = root.contents(path).unwrap_or_default();
            let files =
                text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"/") && *line != b"/.");
            packages.files.insert(name, files.map(<[u8]>::to_vec).collect());
        }
        let mut status = root.contents(b"/var/lib/dpkg/status").unwrap_or_default();
        for path in root.items.keys().filter(|path| path.starts_with(b"/var/lib/dpkg/status.d/")) {
            status.extend(root.contents(path).unwrap_or_default());
            status.extend(b"\n\n");
        }
        for paragraph in String::from_utf8_lossy(&status).split("\n\n") {
            let field = |name: &str| {
                paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
            };
            let Some(package) = field("Package") else { continue };
            let lists = ["Pre-Depends", "Depends"].into_iter().filter_map(field);
            let depends = lists.flat_map(|list| list.split(',').map(alternatives)).collect();
            packages.depends.insert(package.to_owned(), depends);
            for provided in
                field("Provides").into_iter().flat_map(|list| list.split(',').flat_map(alternatives))
            {
                packages.provided.entry(provided).or_insert_with(|| package.to_owned());
            }
        }
        packages
    }

    pub(super) fn files(&self, package: &str) -> Option<&[Vec<u8>]> {
        self.files.get(package).map(Vec::as_slice)
    }

    /// The package that a file came with. Its path may be the one before /usr was merged.
    pub(super) fn owner(&self, path: &[u8]) -> Option<&str> {
        let short = path.strip_prefix(b"/usr").unwrap_or(path);
        let owns = |files: &&Vec<Vec<u8>>| files.iter().any(|file| file == path || file == short);
        self.files.iter().find(|(_, files)| owns(files)).map(|(name, _)| name.as_str())
    }

    /// The package and all it depends on to run.
    pub(super) fn closure(&self, package: &str) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        let mut todo = vec![package.to_owned()];
        while let Some(name) = todo.pop() {
            if MAINTAINERS.contains(&name.as_str()) && name != package || !all.insert(name.clone()) {
                continue;
            }
            for alternatives in self.depends.get(&name).into_iter().flatten() {
                let installed = alternatives.iter().find_map(|name| {
                    if self.files.contains_key(name) { Some(name) } else { self.provided.get(name) }
                });
                todo.extend(installed.cloned());
            }
        }
        all
    }
}

/// The names of one dependency: `a (>= 1) | b:any`.
fn alternatives(text: &str) -> Vec<String> {
    let name = |text: &str| {
        let text = text.trim();
        let end =
            text.find(|end: char| end.is_whitespace() || end == '(' || end == ':').unwrap_or(text.len());
        text[..end].to_owned()
    };
    text.split('|').map(name).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::alternatives;

    #[test]
    fn versions_and_architectures_are_no_part_of_a_name() {
        assert_eq!(alternatives(" libc6 (>= 2.34) | musl:any"), ["libc6", "musl"]);
        assert!(alternatives("  ").is_empty());
    }
}
