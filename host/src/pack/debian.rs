//! Debian packages: those that `--with` names, and what the package of a program says that it needs.
//!
//! dpkg's own files are read (deb(5), deb-control(5), dpkg-query(1)): `status` for the dependencies, `info/NAME.list` for
//! the files, `info/NAME.postinst` for the accounts that a package makes. Where there is no dpkg there are no packages.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

const ADMINDIR: &str = "/var/lib/dpkg";

/// What a guest does not read.
const LEFT_OUT: [&str; 21] = [
    "/etc/apparmor.d",
    "/etc/cron.d",
    "/etc/init.d",
    "/etc/logrotate.d",
    "/lib/systemd",
    "/lib/udev",
    "/usr/lib/systemd",
    "/usr/lib/udev",
    "/usr/share/applications",
    "/usr/share/apport",
    "/usr/share/bash-completion",
    "/usr/share/bug",
    "/usr/share/doc",
    "/usr/share/doc-base",
    "/usr/share/icons",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/menu",
    "/usr/share/pixmaps",
];

/// Packages that others depend on for the sake of their own installation, or that are packed by other rules: the C library
/// with its interpreter, the shell's tools.
const NOT_FOLLOWED: [&str; 16] = [
    "adduser",
    "cdebconf",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "install-info",
    "libc-bin",
    "libc6",
    "libgcc-s1",
    "libstdc++6",
    "lsb-base",
    "perl-base",
    "sensible-utils",
    "systemd",
    "ucf",
    "udev",
];

/// An installed package.
#[derive(Default)]
struct Package {
    /// Groups of alternatives.
    depends: Vec<Vec<String>>,
    is_essential: bool,
}

/// The installed packages.
#[derive(Default)]
pub(super) struct Debian {
    packages: HashMap<String, Package>,
    /// Names that packages provide besides their own.
    provided: HashMap<String, String>,
    /// dpkg's list of each package.
    lists: HashMap<String, PathBuf>,
    /// Links that lead to a file by way of /etc/alternatives (update-alternatives(1)), by that file.
    links: HashMap<PathBuf, Vec<PathBuf>>,
    /// What all lists name, once somebody asks.
    listed: OnceCell<HashSet<PathBuf>>,
}

impl Debian {
    /// The file that changes with every change of the installed packages.
    pub(super) fn status_file() -> PathBuf {
        Path::new(ADMINDIR).join("status")
    }

    /// Reads what is installed; nothing where that is not Debian.
    pub(super) fn read() -> Self {
        let status = fs::read(Self::status_file()).unwrap_or_default();
        let mut debian = parse(&String::from_utf8_lossy(&status));
        let entries = fs::read_dir(Path::new(ADMINDIR).join("info")).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
            let Some(name) = name.strip_suffix(".list") else { continue };
            let (name, architecture) = name.split_once(':').unwrap_or((name, "amd64"));
            if architecture == "amd64" && debian.packages.contains_key(name) {
                debian.lists.insert(name.to_owned(), path);
            }
        }
        let entries = fs::read_dir(Path::new(ADMINDIR).join("alternatives")).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            for (name, link) in alternatives(&path).unwrap_or_default() {
                if let Ok(target) = fs::read_link(Path::new("/etc/alternatives").join(name)) {
                    debian.links.entry(target).or_default().push(link.into());
                }
            }
        }
        debian
    }

    /// The files and directories of a package, without documentation; `None` if it is not installed.
    pub(super) fn files(&self, name: &str) -> Option<Vec<PathBuf>> {
        let text = fs::read_to_string(self.lists.get(name)?).ok()?;
        let is_wanted =
            |path: &PathBuf| path.is_absolute() && !LEFT_OUT.iter().any(|dir| path.starts_with(dir));
        let files = text.lines().filter(|&line| line != "/.").map(PathBuf::from);
        let with_links = |file: PathBuf| {
            let links = self.links.get(&file).cloned().unwrap_or_default();
            std::iter::once(file).chain(links)
        };
        let mut files: Vec<PathBuf> = files.flat_map(with_links).filter(is_wanted).collect();
        if self.lists.get(name)?.with_extension("postinst").exists() {
            files.extend(self.made_at_installation(&files));
        }
        Some(files)
    }

    /// Files that no package lists, in directories that are among `files`: caches and registers that installation scripts
    /// make, without which some programs do not start.
    fn made_at_installation(&self, files: &[PathBuf]) -> Vec<PathBuf> {
        let own: HashSet<&PathBuf> = files.iter().collect();
        // Directories of programs with files of the package in them: not what all share, nor where data lie.
        let directories: HashSet<&Path> = files
            .iter()
            .filter_map(|path| path.parent())
            .filter(|path| path.starts_with("/usr") || path.starts_with("/var/lib"))
            .filter(|path| path.components().count() > 4 && own.contains(&path.to_path_buf()))
            .collect();
        let entries =
            directories.into_iter().flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten());
        let plain = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
        let strange = plain.map(|entry| entry.path()).filter(|path| !own.contains(path));
        let mut made: Vec<PathBuf> = strange.filter(|path| !self.listed().contains(path)).collect();
        made.sort();
        made
    }

    fn listed(&self) -> &HashSet<PathBuf> {
        self.listed.get_or_init(|| {
            let texts = self.lists.values().filter_map(|list| fs::read_to_string(list).ok());
            let paths = texts.flat_map(|text| text.lines().map(PathBuf::from).collect::<Vec<_>>());
            // Files of all architectures, and those that a merged /usr shows by another name.
            paths
                .flat_map(|path| [Path::new("/usr").join(path.strip_prefix("/").unwrap_or(&path)), path])
                .collect()
        })
    }

    /// The package of that name, an architecture behind a colon allowed, as `--with` may name it.
    pub(super) fn named(&self, name: &OsStr) -> Option<String> {
        let name = name.to_str()?;
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        self.lists.contains_key(name).then(|| name.to_owned())
    }

    /// The packages that own any of these files, whose paths have no symbolic links.
    fn owners(&self, files: &[PathBuf]) -> Vec<String> {
        // A host with a merged /usr has packages that still list the other name.
        let names: HashSet<&str> = files
            .iter()
            .filter_map(|file| file.to_str())
            .flat_map(|file| [Some(file), file.strip_prefix("/usr").filter(|rest| rest.starts_with('/'))])
            .flatten()
            .collect();
        let owns = |list: &PathBuf| {
            fs::read_to_string(list).is_ok_and(|text| text.lines().any(|line| names.contains(line)))
        };
        let mut owners: Vec<_> =
            self.lists.iter().filter(|(_, list)| owns(list)).map(|(name, _)| name.clone()).collect();
        owners.sort();
        owners
    }

    /// The packages of these files, and what they depend on, and so on. Essential packages are everywhere in
    /// Debian and so no sign of a need.
    pub(super) fn closure(&self, files: &[PathBuf]) -> Vec<String> {
        self.closure_of(self.owners(files))
    }

    /// What a package depends on, and so on, itself left out.
    pub(super) fn dependencies(&self, package: &str) -> Vec<String> {
        let mut found = self.closure_of(vec![package.to_owned()]);
        found.retain(|name| name != package);
        found
    }

    fn closure_of(&self, mut todo: Vec<String>) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = todo.pop() {
            let Some(package) = self.packages.get(&name) else { continue };
            if package.is_essential || NOT_FOLLOWED.contains(&name.as_str()) || !seen.insert(name.clone()) {
                continue;
            }
            for alternatives in &package.depends {
                let real = alternatives.iter().find(|name| self.packages.contains_key(*name));
                let provided = || alternatives.iter().find_map(|name| self.provided.get(name));
                todo.extend(real.or_else(provided).cloned());
            }
            found.push(name);
        }
        found.sort();
        found
    }

    /// The names, among `accounts`, that the packages' installation makes: they run as those users.
    pub(super) fn accounts<'a>(packages: &[String], accounts: &[&'a str]) -> Vec<&'a str> {
        let read = |name: &String| fs::read_to_string(format!("{ADMINDIR}/info/{name}.postinst")).ok();
        let scripts: Vec<String> = packages.iter().filter_map(read).collect();
        let is_name = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
        let words: HashSet<&str> = scripts.iter().flat_map(|text| text.split(|c| !is_name(c))).collect();
        accounts.iter().copied().filter(|name| words.contains(name)).collect()
    }
}

/// Names and links of one file of update-alternatives(1): a line of state, the link, and for each further link its name and
/// itself, up to an empty line.
fn alternatives(path: &Path) -> Option<Vec<(String, String)>> {
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines().skip(1);
    let mut found = vec![(path.file_name()?.to_str()?.to_owned(), lines.next()?.to_owned())];
    while let Some(name) = lines.next().filter(|name| !name.is_empty()) {
        found.push((name.to_owned(), lines.next()?.to_owned()));
    }
    Some(found)
}

/// Reads dpkg's status file: stanzas of "Field: value" lines, parted by empty lines.
fn parse(status: &str) -> Debian {
    let mut debian = Debian::default();
    for stanza in status.split("\n\n") {
        let field = |name: &str| {
            let value = |line: &'_ str| -> Option<usize> {
                (line.len() > name.len() && line.starts_with(name) && line.as_bytes()[name.len()] == b':')
                    .then_some(name.len() + 1)
            };
            stanza.lines().find_map(|line| value(line).map(|at| line[at..].trim()))
        };
        let (Some(name), Some(state)) = (field("Package"), field("Status")) else { continue };
        let architecture = field("Architecture").unwrap_or("all");
        if !state.ends_with(" installed") || !["all", "amd64"].contains(&architecture) {
            continue;
        }
        let mut package = Package { is_essential: field("Essential") == Some("yes"), ..Package::default() };
        for relations in ["Depends", "Pre-Depends"].into_iter().filter_map(field) {
            let groups = relations.split(',').map(|group| group.split('|').map(bare_name).collect());
            package.depends.extend(groups);
        }
        for provided in field("Provides").into_iter().flat_map(|names| names.split(',')) {
            debian.provided.insert(bare_name(provided), name.to_owned());
        }
        debian.packages.insert(name.to_owned(), package);
    }
    debian
}

/// The name of "name:architecture (>= version)".
fn bare_name(relation: &str) -> String {
    relation.trim().split([' ', '(', ':']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::parse;

    const STATUS: &str = "Package: tool
Status: install ok installed
Architecture: amd64
Depends: libtool1 (>= 2), absent | other:any, helper,
 not-a-field
Pre-Depends: base

Package: libtool1
Status: install ok installed
Architecture: amd64
Depends: libc6 (>= 2.36), tool

Package: other
Status: install ok installed
Architecture: all

Package: real-helper
Status: install ok installed
Architecture: all
Provides: helper (= 1), second

Package: base
Essential: yes
Status: install ok installed
Architecture: amd64

Package: libc6
Status: install ok installed
Architecture: amd64

Package: gone
Status: deinstall ok config-files
Architecture: amd64
";

    #[test]
    fn dependencies_are_followed_once() {
        let debian = parse(STATUS);
        let closure = |name: &str| debian.closure_of(vec![name.to_owned()]);
        assert_eq!(closure("tool"), ["libtool1", "other", "real-helper", "tool"]);
        assert_eq!(closure("base"), Vec::<String>::new());
        assert_eq!(closure("gone"), Vec::<String>::new());
    }

    #[test]
    fn any_text_is_read() {
        for text in
            ["", "\n\n\n", "Package", "Package: \nStatus: installed", "Status: x installed\nPackage:é"]
        {
            parse(text);
        }
    }
}
