//! Reads EROFS images: the read-only root of a guest.
//!
//! An [`Image`] is a view of the whole file as mapped memory. It copies nothing, allocates nothing and keeps
//! no state, so it is `Copy` and any number of readers may use it. File data are found as [`Extent`]s, offsets
//! in the image, so that whole pages can be mapped straight from the file.
//!
//! The image is hostile: every offset and length is checked against the bytes at hand, every loop is bounded
//! by them, and what does not fit is an [`Error`], never a panic. Checked is what is read; nothing walks the
//! whole image, so a tree with a cycle is possible, and callers that descend must bound their depth.
//!
//! Of several devices, those are served whose blocks have a place in the one space of block addresses, behind the
//! image's own: the caller hands over all of that space.
//!
//! Absent: compressed inodes (an error names them), devices without such a place, blocks other than 4 KiB, long xattr
//! prefixes.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod data;
mod dir;
mod inode;
pub mod layout;
mod xattr;

pub use data::{Extent, Extents};
pub use dir::{Entries, Entry, FileType};
pub use inode::Inode;
pub use xattr::{Xattr, Xattrs};

use core::fmt;
use layout::{BLOCK, SUPER_OFFSET, SUPER_SIZE, superblock};

/// The number of an inode: its place in the metadata area. Serves as st_ino.
pub type Nid = u64;

/// Why an image, or a part of it, cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no EROFS superblock.
    NotErofs,
    /// The superblock's checksum does not fit.
    Checksum,
    /// Blocks of 2 to this power of bytes are not served.
    BlockBits(u8),
    /// Features that are not served, as bits of the superblock's field.
    Features(u32),
    /// The inode's data are compressed.
    Compressed(Nid),
    /// The inode is of another type than the request needs.
    WrongType(Nid),
    /// The inode, or what belongs to it, is damaged.
    Corrupt { nid: Nid, what: &'static str },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotErofs => f.write_str("not an EROFS image"),
            Self::Checksum => f.write_str("the superblock's checksum is wrong"),
            Self::BlockBits(bits) => write!(f, "blocks of 2^{bits} bytes are not supported, only 4096"),
            Self::Features(bits) => write!(f, "the image uses unsupported features ({bits:#x})"),
            Self::Compressed(nid) => {
                write!(f, "inode {nid} is compressed, which is not supported: build the image without -z")
            }
            Self::WrongType(nid) => write!(f, "inode {nid} is of another type"),
            Self::Corrupt { nid, what } => write!(f, "inode {nid} is corrupt: {what}"),
        }
    }
}

impl core::error::Error for Error {}

/// A mapped EROFS image.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Bytes of the address space that file contents may lie in: those at hand, or more.
    len: u64,
    /// Byte offset of nid 0.
    meta: u64,
    /// Byte offset of shared xattr 0.
    shared_xattrs: u64,
    root: Nid,
    inodes: u64,
    build_time: (u64, u32),
    has_checksum: bool,
}

impl<'a> Image<'a> {
    /// Takes the whole image. Reads the superblock only; the checksum is a separate question.
    ///
    /// # Errors
    /// [`Error::NotErofs`], [`Error::BlockBits`] or [`Error::Features`].
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let sb = bytes.get(SUPER_OFFSET..SUPER_OFFSET + SUPER_SIZE).ok_or(Error::NotErofs)?;
        let u32_of = |at| u32_at(sb, at).unwrap_or(0);
        let u64_of = |at| u64_at(sb, at).unwrap_or(0);
        if u32_of(superblock::MAGIC) != layout::MAGIC {
            return Err(Error::NotErofs);
        }
        let bits = sb[superblock::BLOCK_BITS];
        if bits != layout::BLOCK_BITS || sb[superblock::DIR_BLOCK_BITS] != 0 {
            return Err(Error::BlockBits(bits));
        }
        let unknown = u32_of(superblock::FEATURE_INCOMPAT) & !layout::INCOMPAT_KNOWN;
        if unknown != 0 {
            return Err(Error::Features(unknown));
        }
        Ok(Self {
            bytes,
            len: bytes.len() as u64,
            meta: u64::from(u32_of(superblock::META_BLOCK)) * BLOCK,
            shared_xattrs: u64::from(u32_of(superblock::XATTR_BLOCK)) * BLOCK,
            root: u64::from(u16_at(sb, superblock::ROOT_NID).unwrap_or(0)),
            inodes: u64_of(superblock::INODES),
            build_time: (u64_of(superblock::BUILD_TIME), u32_of(superblock::BUILD_TIME_NSEC)),
            has_checksum: u32_of(superblock::FEATURE_COMPAT) & layout::COMPAT_CHECKSUM != 0,
        })
    }

    /// As [`Image::open`], of the metadata alone: file contents lie in an address space of `len` bytes, of which only
    /// the first are at hand. Extents can be asked for everywhere; bytes that are not at hand read as a hole's.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open_metadata(bytes: &'a [u8], len: u64) -> Result<Self, Error> {
        Ok(Self { len: len.max(bytes.len() as u64), ..Self::open(bytes)? })
    }

    /// Compares the superblock's checksum, where the image has one. It covers block 0 only, so it guards
    /// against accidents and not against an author.
    ///
    /// # Errors
    /// [`Error::Checksum`].
    pub fn verify_checksum(&self) -> Result<(), Error> {
        if !self.has_checksum {
            return Ok(());
        }
        let block = self.bytes.get(SUPER_OFFSET..BLOCK as usize).ok_or(Error::Checksum)?;
        let stored = u32_at(block, superblock::CHECKSUM).ok_or(Error::Checksum)?;
        if layout::checksum(block) == stored { Ok(()) } else { Err(Error::Checksum) }
    }

    /// The nid of the root directory.
    #[must_use]
    pub fn root(&self) -> Nid {
        self.root
    }

    /// How many inodes the image says it has, for statfs(2).
    #[must_use]
    pub fn inodes(&self) -> u64 {
        self.inodes
    }

    /// The whole image.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether file contents may lie there.
    fn has_data(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// `len` bytes from `offset`, if the image has them.
    fn slice(&self, offset: u64, len: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.bytes.get(start..end)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
