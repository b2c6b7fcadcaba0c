//! The root image as the file system in memory sees it.
//!
//! The image is read-only and mapped for the life of the guest, so everything here is `'static` and nothing is copied.
//! It may be damaged: what cannot be read is as if it were not there, and a file's bytes that cannot be found are zeros.

use alloc::boxed::Box;
use alloc::vec::Vec;
use husk_erofs::{Entry, Error, Image, Inode, Nid};
use linux_raw_sys::general::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK};

/// The image below a file system.
pub type RootImage = Image<'static>;

/// A name in a directory of the image.
#[derive(Clone, Copy, Debug)]
pub struct ImageName {
    pub name: &'static [u8],
    pub nid: Nid,
    /// S_IF* bits.
    pub kind: u32,
    /// Grows with each name of the directory, in the order of listing. The next name is found from the place after it.
    pub position: u64,
}

/// A directory of the image.
#[derive(Clone)]
pub struct ImageDirectory {
    image: RootImage,
    inode: Box<Inode>,
}

fn is_dot(entry: &Entry<'_>) -> bool {
    matches!(entry.name, b"." | b"..")
}

impl ImageDirectory {
    pub fn new(image: RootImage, inode: Inode) -> Self {
        Self { image, inode: Box::new(inode) }
    }

    pub fn image(&self) -> RootImage {
        self.image
    }

    pub fn lookup(&self, name: &[u8]) -> Option<ImageName> {
        let found = self.image.lookup(&self.inode, name).ok()??;
        (!is_dot(&found)).then(|| image_name(&found))
    }

    /// The names from the place `position` on, without `.` and `..`.
    pub fn names_from(&self, position: u64) -> impl Iterator<Item = ImageName> {
        let entries = self.image.entries(&self.inode, position).ok();
        entries
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .filter(|entry| !is_dot(entry))
            .map(|entry| image_name(&entry))
    }

    pub fn is_empty(&self) -> bool {
        self.names_from(0).next().is_none()
    }
}

fn image_name(entry: &Entry<'static>) -> ImageName {
    let kind = match entry.file_type.d_type() {
        1 => S_IFIFO,
        2 => S_IFCHR,
        4 => S_IFDIR,
        6 => S_IFBLK,
        8 => S_IFREG,
        10 => S_IFLNK,
        12 => S_IFSOCK,
        _ => 0,
    };
    ImageName { name: entry.name, nid: entry.nid, kind, position: entry.cookie.saturating_sub(1) }
}

/// The bytes of a file of the image.
#[derive(Default)]
pub struct ImageData {
    len: u64,
    /// Where in the file each run of bytes starts; between them are holes.
    runs: Box<[(u64, &'static [u8])]>,
    /// Address of the image's first byte.
    base: usize,
}

impl ImageData {
    pub fn new(image: RootImage, inode: &Inode) -> Result<Self, Error> {
        let mut runs: Vec<(u64, &'static [u8])> = Vec::new();
        for extent in image.extents(inode, 0) {
            let extent = extent?;
            if let Some(bytes) = image.extent_bytes(&extent) {
                runs.push((extent.offset, bytes));
            }
        }
        Ok(Self { len: inode.size, runs: runs.into(), base: image.bytes().as_ptr().addr() })
    }

    pub fn size(&self) -> u64 {
        self.len
    }

    /// Bytes from `at`, at most `len`: or how many zeros there are instead.
    pub fn bytes(&self, at: u64, len: usize) -> Result<&'static [u8], usize> {
        let after = self.runs.partition_point(|(start, _)| *start <= at);
        if let Some((start, bytes)) = after.checked_sub(1).map(|index| self.runs[index]) {
            let within = (at - start) as usize;
            if within < bytes.len() {
                return Ok(&bytes[within..bytes.len().min(within + len)]);
            }
        }
        let end = self.runs.get(after).map_or(self.len, |(start, _)| *start);
        Err(len.min(usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX)))
    }

    /// Offset of `bytes`, which `bytes` gave, from the start of the image.
    pub fn offset_of(&self, bytes: &'static [u8]) -> usize {
        bytes.as_ptr().addr() - self.base
    }
}
