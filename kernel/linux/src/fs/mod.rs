//! File systems: names, mounts and inodes.
//!
//! A name is an `Entry` (`entry`) that stands for an `Inode` (`inode`); a directory's entries hang in its inode (`dir`).
//! A `Mount` (`mount`) shows the tree of a `FileSystem` at a place of the namespace, and a `Path` is a mount and an entry.
//! `walk` resolves names; `tree` makes, moves and removes them; `open` opens them. Contents of regular files are
//! `contents`. There are three kinds of file system: the tree in memory, whose entries may be backed by the root image
//! (`image`) and are made when first looked up; the generated one (`pseudo`), on which /proc and /sys are built; and
//! volumes (`remote`), which a process of the host serves.

pub mod attach;
pub mod attributes;
pub mod container;
pub mod contents;
pub mod devfs;
pub mod dir;
pub mod entry;
pub(crate) mod export;
pub mod image;
pub mod inode;
pub mod mount;
pub mod mounts;
pub mod notify;
pub mod open;
pub mod proc;
pub mod pseudo;
pub(crate) mod remote;
pub mod root;
pub mod sys;
pub mod tree;
pub mod walk;
pub mod xattr;

#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use inode::Inode;
pub use mount::Mount;
pub use open::{open_exec, open_exec_at};
pub use root::{init_root, put_init};
pub use walk::{change_directory, path_of};

use crate::task::cred::{Gid, Uid};
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{MS_NOATIME, MS_NODIRATIME, MS_RDONLY};

/// What stat(2) and statx(2) tell of a file. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    /// Type and permissions, S_IF* and below.
    pub mode: u32,
    pub nlink: u32,
    pub uid: Uid,
    pub gid: Gid,
    pub rdev: u64,
    pub size: u64,
    pub block_size: u32,
    /// In units of 512 bytes.
    pub blocks: u64,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    /// 0: not known.
    pub btime: i64,
}

/// A device number as stat(2) shows it (`makedev`).
pub const fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// Major and minor number of a device number.
pub const fn major_minor(device: u64) -> (u32, u32) {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & 0xffff_ff00);
    (major as u32, minor as u32)
}

/// A place in the tree of names: a mount and a directory entry in it.
#[derive(Clone)]
pub struct Path {
    pub mount: Arc<Mount>,
    pub entry: Arc<Entry>,
}

impl Path {
    pub fn inode(&self) -> &Arc<Inode> {
        self.entry.inode()
    }

    /// What is here was read: moves its access time, if the mount has such.
    pub(crate) fn touch_accessed(&self) {
        if self.notes_access() {
            self.inode().touch_accessed();
        }
    }

    /// Whether the mount lets reading move access times.
    fn notes_access(&self) -> bool {
        let still = if self.inode().is_directory() { MS_NODIRATIME } else { 0 };
        self.mount.flags() & (MS_RDONLY | MS_NOATIME | still) == 0
    }

    /// Whether this is what a mount shows at its place.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.entry, &self.mount.root)
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.entry, &other.entry)
    }
}

/// What clone(2)'s CLONE_FS shares: where names start from.
pub struct FsContext {
    root: KCell<Path>,
    cwd: KCell<Path>,
    umask: KCell<u32>,
}

impl FsContext {
    /// Root and working directory are the root of the namespace.
    pub fn new() -> Arc<Self> {
        let root = mount::root();
        Arc::new(Self { root: KCell::new(root.clone()), cwd: KCell::new(root), umask: KCell::new(0o022) })
    }

    /// A copy for a child that does not share.
    pub fn duplicate(&self) -> Arc<Self> {
        Arc::new(Self {
            root: KCell::new(self.root()),
            cwd: KCell::new(self.cwd()),
            umask: KCell::new(self.umask()),
        })
    }

    /// The directory that `/` means.
    pub fn root(&self) -> Path {
        self.root.borrow().clone()
    }

    /// Looks at the root without a reference of its own.
    pub(crate) fn with_root<R>(&self, look: impl FnOnce(&Path) -> R) -> R {
        look(&self.root.borrow())
    }

    /// chroot(2), without its checks.
    pub fn set_root(&self, root: Path) {
        drop(self.root.replace(root));
    }

    /// The directory that relative names start from.
    pub fn cwd(&self) -> Path {
        self.cwd.borrow().clone()
    }

    /// chdir(2), without its checks.
    pub fn set_cwd(&self, cwd: Path) {
        drop(self.cwd.replace(cwd));
    }

    /// Permission bits that creation takes away.
    pub fn umask(&self) -> u32 {
        self.umask.get()
    }

    pub fn set_umask(&self, umask: u32) {
        self.umask.set(umask & 0o777);
    }
}
