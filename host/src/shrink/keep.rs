//! What is kept of an image, and why: a set that grows by what each file in it needs.

use super::image::{Root, join, parent};
use crate::pack::elf;
use crate::record::Use;
use husk_erofs::FileType;
use std::collections::{BTreeMap, HashMap};

/// Why a path is kept. What was found first counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked for by name.
    Asked,
    /// A traced run used it.
    Traced(Use),
    /// It interprets this program.
    Interprets(String),
    /// This program or library is linked with it.
    Needed(String),
    /// This program or library has its name in it, to open it later.
    Named(String),
    /// It belongs to this package.
    Package(String),
    /// Every program may ask for it.
    Base,
    /// The root was packed for this program.
    Packed,
    /// Something that is kept lies in it, or is reached through it.
    Way,
}

impl Reason {
    /// Its kind, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::Traced(found) if found.is_executed() => "executed in a traced run",
            Self::Traced(found) if found.is_opened() => "opened in a traced run",
            Self::Traced(_) => "looked up in a traced run",
            Self::Interprets(_) => "interpreter",
            Self::Needed(_) => "linked library",
            Self::Named(_) => "named in a program",
            Self::Package(_) => "of a package",
            Self::Base => "base",
            Self::Packed => "packed",
            Self::Way => "on the way",
        }
    }

    /// What it is for, where that is a file or a package.
    #[must_use]
    pub fn of(&self) -> Option<&str> {
        match self {
            Self::Interprets(of) | Self::Needed(of) | Self::Named(of) | Self::Package(of) => Some(of),
            _ => None,
        }
    }
}

/// Directories of the dynamic linker, and glibc's own below them.
const LIBRARY_DIRECTORIES: [&str; 7] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib",
    "/usr/lib",
    "/lib64",
    "/usr/lib64",
    "/usr/local/lib",
];

/// What people read, or build with, and no running program does.
const LEFT_OUT: [&str; 14] = [
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/man",
    "/usr/share/bug",
    "/usr/share/locale",
    "/usr/share/i18n",
    "/usr/share/common-licenses",
    "/usr/share/doc-base",
    "/usr/share/bash-completion",
    "/usr/share/pkgconfig",
    "/usr/include",
    "/usr/lib/locale",
    "/var/lib/dpkg",
];

/// Whether a path is of no use to a running program.
pub(super) fn is_left_out(path: &[u8]) -> bool {
    let text = String::from_utf8_lossy(path);
    let within =
        |dir: &&str| text.strip_prefix(*dir).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let of_python = text.contains("/lib/python3") || text.contains("/lib/python3.");
    LEFT_OUT.iter().any(within)
        || text.ends_with(".a")
        || text.ends_with(".la")
        || text.contains("/pkgconfig/")
        || of_python
            && ["/test/", "/tests/", "/idlelib/", "/lib2to3/", "/ensurepip/", "/turtledemo/"]
                .iter()
                .any(|part| format!("{text}/").contains(part))
}

/// Files that every program may ask for by libraries' own names for them.
const BASE: [&str; 16] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/tmp",
    "/run",
    "/var/tmp",
    "/dev",
    "/proc",
    "/sys",
];

/// Shorter strings of a binary name no file.
const PRINTABLE_MIN: usize = 6;

/// The set.
pub(super) struct Keep<'r, 'a> {
    root: &'r Root<'a>,
    pub(super) kept: BTreeMap<Vec<u8>, Reason>,
    /// Libraries by name, in the order of the search.
    libraries: HashMap<Vec<u8>, Vec<u8>>,
    todo: Vec<Vec<u8>>,
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl<'r, 'a> Keep<'r, 'a> {
    pub(super) fn new(root: &'r Root<'a>) -> Self {
        let mut libraries = HashMap::new();
        let configured = configured_directories(root);
        let directories =
            configured.iter().map(Vec::as_slice).chain(LIBRARY_DIRECTORIES.iter().map(|dir| dir.as_bytes()));
        for dir in directories {
            let Some((real, _)) = root.resolve(dir) else { continue };
            let prefix = join(&real, b"");
            for path in root.items.range(prefix.clone()..).map(|(path, _)| path) {
                let Some(name) = path.strip_prefix(&prefix[..]) else { break };
                let is_library = name.windows(3).any(|part| part == b".so") && !name.contains(&b'/');
                if is_library {
                    libraries.entry(name.to_vec()).or_insert_with(|| join(dir, name));
                }
            }
        }
        let mut keep = Self { root, kept: BTreeMap::new(), libraries, todo: Vec::new() };
        keep.kept.insert(b"/".to_vec(), Reason::Way);
        BASE.iter().for_each(|path| {
            keep.add(path.as_bytes(), Reason::Base);
        });
        keep
    }

    /// Keeps a path, with the links and directories on its way, and what it needs. False: there is none.
    pub(super) fn add(&mut self, path: &[u8], reason: Reason) -> bool {
        let Some((real, links)) = self.root.resolve(path) else { return false };
        for link in links {
            self.enter(&link, Reason::Way);
        }
        self.enter(&real, reason);
        while let Some(path) = self.todo.pop() {
            self.needs_of(&path);
        }
        true
    }

    /// Keeps what stands at a path itself, link or not.
    pub(super) fn add_itself(&mut self, path: &[u8], reason: Reason) {
        if self.root.items.get(path).is_some_and(|item| item.kind == FileType::Symlink) {
            self.enter(path, reason.clone());
            self.add(path, reason);
        } else {
            self.add(path, reason);
        }
    }

    fn enter(&mut self, path: &[u8], reason: Reason) {
        let Some(item) = self.root.items.get(path) else { return };
        match self.kept.get_mut(path) {
            Some(known) if *known == Reason::Way && reason != Reason::Way => *known = reason,
            Some(_) => return,
            None => {
                self.kept.insert(path.to_vec(), reason);
            }
        }
        if item.kind == FileType::Regular {
            self.todo.push(path.to_vec());
        }
        let mut above = parent(path);
        while let Some(dir) = above {
            if self.kept.contains_key(dir) {
                break;
            }
            self.kept.insert(dir.to_vec(), Reason::Way);
            above = parent(dir);
        }
    }

    fn needs_of(&mut self, path: &[u8]) {
        let head = self.root.head(path, 256);
        if let Some(line) = head.strip_prefix(b"#!") {
            let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let mut words = line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty());
            let Some(interpreter) = words.next() else { return };
            self.add_from(interpreter, Reason::Interprets(shown(path)));
            if interpreter.ends_with(b"/env")
                && let Some(name) = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='))
                && let Some(program) = self.in_path(name)
            {
                self.add_from(&program, Reason::Interprets(shown(path)));
            }
            return;
        }
        if !head.starts_with(b"\x7fELF") {
            return;
        }
        let Ok(bytes) = self.root.contents(path) else { return };
        let Some(elf) = elf::of_bytes(&bytes) else { return };
        if let Some(interpreter) = &elf.interpreter {
            self.add_from(interpreter.as_os_str().as_encoded_bytes(), Reason::Interprets(shown(path)));
        }
        let origin = parent(path).unwrap_or(b"/");
        let searched = elf.runpath.iter().chain(&elf.rpath).flat_map(|list| list.split(':'));
        let searched: Vec<Vec<u8>> = searched
            .map(|dir| dir.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", &shown(origin)).into_bytes())
            .collect();
        for name in &elf.needed {
            if let Some(library) = self.library(name.as_bytes(), &searched) {
                self.add_from(&library, Reason::Needed(shown(path)));
            }
        }
        for text in texts(&bytes) {
            let found = if text.starts_with(b"/") {
                let is_file = |path: &[u8]| {
                    let (real, _) = self.root.resolve(path)?;
                    let item = self.root.items.get(&real)?;
                    (item.kind == FileType::Regular && !is_left_out(&real)).then(|| path.to_vec())
                };
                is_file(text)
            } else {
                self.library(text, &searched)
            };
            if let Some(found) = found {
                self.add_from(&found, Reason::Named(shown(path)));
            }
        }
    }

    /// As `add`, for use while `add` works off what is to do.
    fn add_from(&mut self, path: &[u8], reason: Reason) {
        let Some((real, links)) = self.root.resolve(path) else { return };
        links.iter().for_each(|link| self.enter(link, Reason::Way));
        self.enter(&real, reason);
    }

    fn library(&self, name: &[u8], searched: &[Vec<u8>]) -> Option<Vec<u8>> {
        if name.contains(&b'/') {
            return self.root.resolve(name).map(|_| name.to_vec());
        }
        let own = searched.iter().map(|dir| join(dir, name)).find(|path| self.root.resolve(path).is_some());
        own.or_else(|| self.libraries.get(name).cloned())
    }

    /// A program by its name in the usual directories.
    pub(super) fn in_path(&self, name: &[u8]) -> Option<Vec<u8>> {
        const PATH: [&str; 6] =
            ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        PATH.iter().map(|dir| join(dir.as_bytes(), name)).find(|path| self.root.resolve(path).is_some())
    }
}

/// The directories that /etc/ld.so.conf and the files beside it name.
fn configured_directories(root: &Root<'_>) -> Vec<Vec<u8>> {
    let is_configuration =
        |path: &[u8]| path == b"/etc/ld.so.conf" || path.starts_with(b"/etc/ld.so.conf.d/");
    let files = root.items.keys().filter(|path| is_configuration(path));
    let texts = files.filter_map(|path| root.contents(path).ok());
    let lines: Vec<Vec<u8>> = texts
        .flat_map(|text| text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>())
        .collect();
    lines.into_iter().filter(|line| line.starts_with(b"/")).map(|line| line.trim_ascii().to_vec()).collect()
}

/// Strings of a binary that may name a file: `/…`, and names of libraries.
fn texts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_text = |text: &&[u8]| {
        (PRINTABLE_MIN..4096).contains(&text.len())
            && (text.starts_with(b"/")
                || text.starts_with(b"lib") && text.windows(3).any(|part| part == b".so"))
            && text.iter().all(|byte| byte.is_ascii_graphic())
    };
    bytes.split(|byte| *byte == 0).filter(is_text)
}
