//! The root image as the file system in memory sees it: inodes and names by number, contents as slices.
//!
//! The image is read-only and mapped for the life of the guest, so everything here is `'static` and nothing is copied.

use alloc::sync::Arc;
use alloc::vec::Vec;

/// What the root image tells of an inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageInode {
    /// S_IF* and permissions.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime: i64,
}

/// A name in a directory of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageName {
    pub name: &'static [u8],
    pub nid: u64,
    /// S_IF* bits.
    pub kind: u32,
    /// Grows with each name of the directory; the order of listing.
    pub position: u64,
}

/// Bytes of a file: those of `head`, then those of `tail`. `head` starts at a page of the image and, unless there is a
/// tail, is followed by zeros to the end of its last page.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImageData {
    pub head: &'static [u8],
    pub tail: &'static [u8],
}

/// A read-only file system image. Inodes are named by numbers below `inode_limit`.
pub trait RootImage: Send + Sync {
    fn root(&self) -> u64;
    /// Numbers from here on are not used by the image.
    fn inode_limit(&self) -> u64;
    fn inode(&self, nid: u64) -> Option<ImageInode>;
    fn lookup(&self, directory: u64, name: &[u8]) -> Option<ImageName>;
    /// The first name at or after `position`, without `.` and `..`.
    fn name_at(&self, directory: u64, position: u64) -> Option<ImageName>;
    fn data(&self, nid: u64) -> Option<ImageData>;
    fn symlink(&self, nid: u64) -> Option<&'static [u8]>;
    /// Offset from the start of the image of a slice that `data` gave.
    fn offset_of(&self, bytes: &'static [u8]) -> usize;
    /// Extended attributes: full name and value.
    fn xattrs(&self, nid: u64) -> Vec<(Vec<u8>, Vec<u8>)>;
}

/// One inode of the image.
#[derive(Clone)]
pub struct ImageRef {
    pub image: Arc<dyn RootImage>,
    pub nid: u64,
}

impl ImageRef {
    /// The name in this directory.
    pub fn lookup(&self, name: &[u8]) -> Option<ImageName> {
        self.image.lookup(self.nid, name)
    }

    /// The names of this directory from `position` on.
    pub fn entries_from(&self, mut position: u64) -> impl Iterator<Item = ImageName> + '_ {
        core::iter::from_fn(move || {
            let name = self.image.name_at(self.nid, position)?;
            position = name.position + 1;
            Some(name)
        })
    }

    pub fn is_empty(&self) -> bool {
        self.image.name_at(self.nid, 0).is_none()
    }
}
