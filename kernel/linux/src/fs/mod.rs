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
