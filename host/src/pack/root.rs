//! The guest's root while it is put together: files of the host at their own paths, and a few made here.
//!
//! Invariant: a path of the host means the same in the guest. So every symbolic link that is met on the way
//! to a file is kept as a link, its target is brought too, and no directory holds more than was asked for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use husk_erofs_build::{Content, Kind, Meta, NodeId, Tree};
use husk_plan::Stamp;
use sha2::{Digest, Sha256};

use super::error::PackError;

/// How many symbolic links one path may lead through, as in Linux.
const LINKS_MAX: usize = 40;
/// How much of a file's beginning is looked at: what the kernel reads of a script.
const HEAD_BYTES: u64 = 256;

/// A file of the host that is now in the root.
#[derive(Debug)]
pub(super) struct Brought {
    /// Without symbolic links.
    pub(super) real: PathBuf,
    pub(super) is_directory: bool,
    /// The first bytes of a regular file.
    pub(super) head: Vec<u8>,
}

/// The root under construction.
pub(super) struct Root {
    tree: Tree,
    /// Inodes that came from the host, by device and number: so hard links stay hard links.
    hosts: HashMap<(u64, u64), NodeId>,
    stamps: HashMap<NodeId, Stamp>,
    heads: HashMap<NodeId, Vec<u8>>,
    /// Directories whose whole contents were brought.
    whole: HashSet<PathBuf>,
}

/// What [`Root::bring_tree`] leaves out, by path.
pub(super) type Skip<'a> = &'a dyn Fn(&Path) -> bool;

impl Root {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::new(Meta { permissions: 0o755, ..Meta::default() }),
            hosts: HashMap::new(),
            stamps: HashMap::new(),
            heads: HashMap::new(),
            whole: HashSet::new(),
        }
    }

    /// A root that is a directory of the host, whole.
    pub(super) fn of_directory(directory: &Path) -> Result<Self, PackError> {
        let stat = fs::metadata(directory).map_err(PackError::io(directory))?;
        if !stat.is_dir() {
            return Err(PackError::NoDirectory { path: directory.to_path_buf() });
        }
        let mut root = Self::new();
        *root.tree.meta_mut(Tree::ROOT) = meta(directory, &stat);
        let mut todo = vec![(Tree::ROOT, directory.to_path_buf())];
        while let Some((node, dir)) = todo.pop() {
            if is_kernel_view(&dir) {
                continue;
            }
            let mut names = Vec::new();
            for entry in fs::read_dir(&dir).map_err(PackError::io(&dir))? {
                names.push(entry.map_err(PackError::io(&dir))?.file_name());
            }
            names.sort();
            for name in names {
                let here = dir.join(&name);
                let stat = fs::symlink_metadata(&here).map_err(PackError::io(&here))?;
                let child = root.enter(node, &name, &here, &stat, true)?;
                if stat.is_dir() {
                    todo.push((child, here));
                }
            }
        }
        Ok(root)
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Brings one file or (empty) directory, with every directory and symbolic link on its path.
    pub(super) fn bring(&mut self, path: &Path) -> Result<Brought, PackError> {
        let mut at = (Tree::ROOT, PathBuf::from("/"));
        let mut above = Vec::new();
        let mut todo: Vec<OsString> = components(path);
        let mut links = 0;
        let mut is_directory = true;
        let mut head = Vec::new();
        while let Some(name) = todo.pop() {
            if name == ".." {
                at = above.pop().unwrap_or((Tree::ROOT, PathBuf::from("/")));
                continue;
            }
            let here = at.1.join(&name);
            let stat = fs::symlink_metadata(&here).map_err(PackError::io(&here))?;
            let child = self.enter(at.0, &name, &here, &stat, false)?;
            if stat.is_symlink() {
                links += 1;
                if links > LINKS_MAX {
                    return Err(PackError::io(path)(rustix::io::Errno::LOOP.into()));
                }
                let target = fs::read_link(&here).map_err(PackError::io(&here))?;
                if target.is_absolute() {
                    above.clear();
                    at = (Tree::ROOT, PathBuf::from("/"));
                }
                todo.extend(components(&target));
                continue;
            }
            if !stat.is_dir() {
                if !todo.is_empty() {
                    return Err(PackError::io(&here)(rustix::io::Errno::NOTDIR.into()));
                }
                is_directory = false;
                head = self.heads.get(&child).cloned().unwrap_or_default();
            }
            above.push(std::mem::replace(&mut at, (child, here)));
        }
        Ok(Brought { real: at.1, is_directory, head })
    }

    /// Brings a directory with all that is below it, and calls `found` with each directory and each regular file
    /// and its first bytes. Symbolic links are
    /// kept; where they lead outside, `leads_out` is called with the link.
    pub(super) fn bring_tree(
        &mut self,
        path: &Path,
        skip: Skip<'_>,
        found: &mut dyn FnMut(&Path, &[u8]),
        leads_out: &mut dyn FnMut(&Path),
    ) -> Result<PathBuf, PackError> {
        let top = self.bring(path)?.real;
        let mut todo = vec![top.clone()];
        while let Some(dir) = todo.pop() {
            if !self.whole.insert(dir.clone()) || is_kernel_view(&dir) {
                continue;
            }
            let stat = fs::symlink_metadata(&dir).map_err(PackError::io(&dir))?;
            let node = self.node(&dir).expect("a directory that was brought");
            // A directory that is here as a whole has its own time; one on the way to a file has none.
            self.tree.meta_mut(node).mtime = stat.mtime();
            self.tree.meta_mut(node).mtime_nsec = stat.mtime_nsec() as u32;
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
            names.sort();
            for name in names {
                let here = dir.join(&name);
                let Ok(stat) = fs::symlink_metadata(&here) else { continue };
                if skip(&here) {
                    continue;
                }
                let child = match self.enter(node, &name, &here, &stat, true) {
                    Ok(child) => child,
                    // A file that the user may not read is not there for this guest.
                    Err(PackError::Io { source, .. }) if source.raw_os_error() == Some(13) => continue,
                    Err(error) => return Err(error),
                };
                if stat.is_dir() {
                    found(&here, &[]);
                    todo.push(here);
                } else if stat.is_file() {
                    found(&here, self.heads.get(&child).map_or(&[], Vec::as_slice));
                } else if stat.is_symlink() && !fs::canonicalize(&here).is_ok_and(|to| to.starts_with(&top)) {
                    leads_out(&here);
                }
            }
        }
        Ok(top)
    }

    /// Enters the host's inode `here`, whose metadata are `stat`, as `name` of a directory.
    fn enter(
        &mut self,
        parent: NodeId,
        name: &OsStr,
        here: &Path,
        stat: &Metadata,
        whole: bool,
    ) -> Result<NodeId, PackError> {
        if let Some(known) = self.tree.child(parent, name.as_bytes()) {
            return Ok(known);
        }
        let key = (stat.dev(), stat.ino());
        if !stat.is_dir()
            && let Some(&known) = self.hosts.get(&key)
        {
            self.tree.link(parent, name.as_bytes(), known)?;
            return Ok(known);
        }
        let mut head = Vec::new();
        let kind = if stat.is_dir() {
            Kind::directory()
        } else if stat.is_symlink() {
            Kind::Symlink(fs::read_link(here).map_err(PackError::io(here))?.into_os_string().into_vec())
        } else if stat.is_file() {
            let file = File::open(here).map_err(PackError::io(here))?;
            file.take(HEAD_BYTES).read_to_end(&mut head).map_err(PackError::io(here))?;
            let mapped = super::elf::is_elf(&head);
            Kind::File { content: Content::Host { path: here.to_path_buf(), size: stat.size() }, mapped }
        } else {
            let (major, minor) = (rustix::fs::major(stat.rdev()), rustix::fs::minor(stat.rdev()));
            let kind = stat.file_type();
            if kind.is_char_device() {
                Kind::CharDevice { major, minor }
            } else if kind.is_block_device() {
                Kind::BlockDevice { major, minor }
            } else if kind.is_fifo() {
                Kind::Fifo
            } else {
                Kind::Socket
            }
        };
        let mut meta = meta(here, stat);
        if stat.is_dir() && !whole {
            // The host's directory changes with files that are not brought; the image must not.
            (meta.mtime, meta.mtime_nsec) = (0, 0);
        }
        let is_file = stat.is_file();
        let id = self.tree.add(parent, name.as_bytes(), meta, kind)?;
        if !stat.is_dir() {
            self.hosts.insert(key, id);
        }
        if is_file {
            self.stamps.insert(id, stamp(stat));
            self.heads.insert(id, head);
        }
        Ok(id)
    }

    /// The inode at a path without symbolic links.
    fn node(&self, path: &Path) -> Option<NodeId> {
        components(path).iter().rev().try_fold(Tree::ROOT, |at, name| self.tree.child(at, name.as_bytes()))
    }

    /// Whether there is something at a path; the way there must have no symbolic links.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.node(path).is_some()
    }

    /// Whether the file at a path of the host, wherever its links lead, was brought.
    pub(super) fn has_file(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|stat| self.hosts.contains_key(&(stat.dev(), stat.ino())))
            && path
                .parent()
                .and_then(|dir| fs::canonicalize(dir).ok())
                .is_some_and(|dir| path.file_name().is_some_and(|name| self.has(&dir.join(name))))
    }

    /// Makes a directory, with those above it, unless it is there. Symbolic links on its path must not be.
    pub(super) fn make_directory(&mut self, path: &str, permissions: u16) -> Result<NodeId, PackError> {
        let mut at = Tree::ROOT;
        for name in components(Path::new(path)).into_iter().rev() {
            at = match self.tree.child(at, name.as_bytes()) {
                Some(child) => child,
                None => {
                    let meta = Meta { permissions: 0o755, ..Meta::default() };
                    let id = self.tree.add(at, name.as_bytes(), meta, Kind::directory())?;
                    self.tree.meta_mut(id).permissions = permissions;
                    id
                }
            };
        }
        Ok(at)
    }

    /// Makes a file with the given bytes, unless something is there.
    pub(super) fn make_file(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), PackError> {
        let kind = Kind::File { content: Content::Bytes(bytes), mapped: false };
        self.make(path, 0o644, kind)
    }

    /// Makes a symbolic link, unless something is there.
    pub(super) fn make_link(&mut self, path: &str, target: &Path) -> Result<(), PackError> {
        self.make(path, 0o777, Kind::Symlink(target.as_os_str().as_bytes().to_vec()))
    }

    fn make(&mut self, path: &str, permissions: u16, kind: Kind) -> Result<(), PackError> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.make_directory(dir, 0o755)?;
        if self.tree.child(parent, name.as_bytes()).is_none() {
            let meta = Meta { permissions, ..Meta::default() };
            self.tree.add(parent, name.as_bytes(), meta, kind)?;
        }
        Ok(())
    }

    /// Gives a directory that was made here to a user.
    pub(super) fn give(&mut self, node: NodeId, uid: u32, gid: u32) {
        let meta = self.tree.meta_mut(node);
        (meta.uid, meta.gid) = (uid, gid);
    }

    /// The hash of all that decides the image's bytes, without reading the host's files: for those, which
    /// file it is and when it last changed.
    pub(super) fn recipe(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"husk recipe 1\n");
        let mut names: HashMap<NodeId, Vec<u8>> = HashMap::new();
        self.tree.walk(|path, id| {
            field(&mut hash, path);
            if let Some(first) = names.get(&id) {
                field(&mut hash, first);
                return;
            }
            names.insert(id, path.to_vec());
            let node = self.tree.node(id);
            let Meta { permissions, uid, gid, mtime, mtime_nsec, xattrs } = &node.meta;
            field(&mut hash, format!("{permissions} {uid} {gid} {mtime} {mtime_nsec} {xattrs:?}").as_bytes());
            match &node.kind {
                Kind::Directory(_) => field(&mut hash, b"directory"),
                Kind::File { content: Content::Bytes(bytes), .. } => field(&mut hash, bytes),
                Kind::File { content: Content::Host { path, size }, mapped } => {
                    let stamp = self.stamps.get(&id);
                    field(&mut hash, format!("{path:?} {size} {mapped} {stamp:?}").as_bytes());
                }
                other => field(&mut hash, format!("{other:?}").as_bytes()),
            }
        });
        hex(&hash.finalize())
    }
}

fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path's names, last first, without the root and without dots.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

/// What identifies the state of a file.
pub(super) fn stamp(stat: &Metadata) -> Stamp {
    let ns =
        |seconds: i64, nanoseconds: i64| seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds);
    Stamp {
        device: husk_plan::device(rustix::fs::major(stat.dev()), rustix::fs::minor(stat.dev())),
        ino: stat.ino(),
        size: stat.size(),
        mtime_ns: ns(stat.mtime(), stat.mtime_nsec()),
        ctime_ns: ns(stat.ctime(), stat.ctime_nsec()),
    }
}

/// Whether a directory shows the kernel's state, as /proc does, and so has no contents to keep.
fn is_kernel_view(path: &Path) -> bool {
    // procfs, sysfs, cgroup, cgroup2, devpts, debugfs, tracefs, securityfs, bpf; from linux/magic.h.
    const TYPES: [i64; 9] = [
        0x9fa0,
        0x6265_6572,
        0x27_e0eb,
        0x6367_7270,
        0x1cd1,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xcafe_4a11,
    ];
    rustix::fs::statfs(path).is_ok_and(|stat| TYPES.contains(&stat.f_type))
}

fn meta(path: &Path, stat: &Metadata) -> Meta {
    Meta {
        permissions: (stat.mode() & 0o7777) as u16,
        uid: stat.uid(),
        gid: stat.gid(),
        mtime: stat.mtime(),
        mtime_nsec: stat.mtime_nsec() as u32,
        xattrs: xattrs(path),
    }
}

/// The extended attributes that mean something in a guest: the user's own and file capabilities.
fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = [0_u8; 4096];
    let Ok(len) = rustix::fs::llistxattr(path, &mut names[..]) else { return BTreeMap::new() };
    let is_kept = |name: &&[u8]| name.starts_with(b"user.") || *name == b"security.capability";
    let read = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
        value.truncate(len);
        Some((name.to_vec(), value))
    };
    names[..len].split(|&byte| byte == 0).filter(is_kept).filter_map(read).collect()
}
