//! File systems: names, mounts and inodes.

use crate::task::cred::{Gid, Uid};

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
    pub btime: i64,
}

/// A place in the tree of names: a mount and a directory entry in it.
#[derive(Clone)]
pub struct Path {}

/// What clone(2)'s CLONE_FS shares: where names start from.
pub struct FsContext {
    umask: husk_machine::cell::KCell<u32>,
}

impl FsContext {
    pub fn new() -> alloc::sync::Arc<Self> {
        alloc::sync::Arc::new(Self { umask: husk_machine::cell::KCell::new(0o022) })
    }

    /// A copy for a child that does not share.
    pub fn duplicate(&self) -> alloc::sync::Arc<Self> {
        alloc::sync::Arc::new(Self { umask: husk_machine::cell::KCell::new(self.umask()) })
    }

    /// Permission bits that creation takes away.
    pub fn umask(&self) -> u32 {
        self.umask.get()
    }

    pub fn set_umask(&self, umask: u32) {
        self.umask.set(umask & 0o777);
    }
}
