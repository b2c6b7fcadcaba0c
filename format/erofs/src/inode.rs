//! Inodes: what stat(2) tells, and where the data lie.
//!
//! Invariant: an [`Inode`] comes from [`Image::inode`] only, which has checked that its flat data, its inline
//! tail, its chunk table and its xattr area lie inside the image.

use crate::layout::{self, BLOCK, SLOT, inode as field};
use crate::{Error, FileType, Image, Nid, u16_at, u32_at, u64_at};

/// An inode, decoded. Cheap to copy and to keep.
#[derive(Clone, Copy, Debug)]
pub struct Inode {
    pub nid: Nid,
    /// Type and permissions, S_IF* and below.
    pub mode: u16,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    /// In bytes.
    pub size: u64,
    /// Seconds since the epoch.
    pub mtime: i64,
    /// Nanoseconds above `mtime`, below 10^9.
    pub mtime_nsec: u32,
    /// Major and minor number of a device; zeros otherwise.
    pub device: (u32, u32),
    pub(crate) data: Data,
    /// Byte offset of the xattr area in the image.
    pub(crate) xattr_at: u64,
    pub(crate) xattr_len: u64,
}

/// Where an inode's data lie, in byte offsets of the image.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data {
    /// Bytes below `head_len` from `head_at`, the rest from `tail_at`.
    Flat { head_at: u64, head_len: u64, tail_at: u64 },
    /// A table of block addresses, each for `1 << chunk_bits` bytes.
    Chunked { table_at: u64, wide: bool, chunk_bits: u32 },
}

impl Inode {
    /// The type, by the mode.
    #[must_use]
    pub fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode)
    }
}

impl Image<'_> {
    /// Reads an inode.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it or its data are outside of the image, or of no known form;
    /// [`Error::Compressed`].
    pub fn inode(&self, nid: Nid) -> Result<Inode, Error> {
        let corrupt = |what| Error::Corrupt { nid, what };
        let outside = corrupt("it lies outside of the image");
        let at = nid.checked_mul(SLOT).and_then(|at| at.checked_add(self.meta)).ok_or(outside)?;
        let compact = self.slice(at, field::COMPACT_SIZE).ok_or(outside)?;
        let u16_of = |raw: &[u8], offset| u16_at(raw, offset).ok_or(outside);
        let u32_of = |raw: &[u8], offset| u32_at(raw, offset).ok_or(outside);

        let format = u16_of(compact, field::FORMAT)?;
        let xattr_count = u64::from(u16_of(compact, field::XATTR_COUNT)?);
        let mode = u16_of(compact, field::MODE)?;
        let union = u32_of(compact, field::UNION)?;
        let file_type = FileType::from_mode(mode);
        if file_type == FileType::Unknown {
            return Err(corrupt("its mode has no file type"));
        }
        let mut inode = if format & layout::FORMAT_EXTENDED == 0 {
            Inode {
                nid,
                mode,
                nlink: u32::from(u16_of(compact, field::COMPACT_NLINK)?),
                uid: u32::from(u16_of(compact, field::COMPACT_UID)?),
                gid: u32::from(u16_of(compact, field::COMPACT_GID)?),
                size: u64::from(u32_of(compact, field::SIZE)?),
                mtime: self.build_time.0.cast_signed(),
                mtime_nsec: self.build_time.1,
                device: (0, 0),
                data: Data::Flat { head_at: 0, head_len: 0, tail_at: 0 },
                xattr_at: at + field::COMPACT_SIZE,
                xattr_len: 0,
            }
        } else {
            let extended = self.slice(at, field::EXTENDED_SIZE).ok_or(outside)?;
            let u64_of = |offset| u64_at(extended, offset).ok_or(outside);
            Inode {
                nid,
                mode,
                nlink: u32_of(extended, field::EXTENDED_NLINK)?,
                uid: u32_of(extended, field::EXTENDED_UID)?,
                gid: u32_of(extended, field::EXTENDED_GID)?,
                size: u64_of(field::SIZE)?,
                mtime: u64_of(field::EXTENDED_MTIME)?.cast_signed(),
                mtime_nsec: u32_of(extended, field::EXTENDED_MTIME_NSEC)?,
                device: (0, 0),
                data: Data::Flat { head_at: 0, head_len: 0, tail_at: 0 },
                xattr_at: at + field::EXTENDED_SIZE,
                xattr_len: 0,
            }
        };
        if inode.mtime_nsec >= 1_000_000_000 {
            return Err(corrupt("its time has too many nanoseconds"));
        }
        if inode.size > i64::MAX as u64 {
            return Err(corrupt("its size is too big"));
        }
        if xattr_count > 0 {
            inode.xattr_len = layout::XATTR_HEADER + (xattr_count - 1) * 4;
            self.slice(inode.xattr_at, inode.xattr_len)
                .ok_or(corrupt("its extended attributes lie outside of the image"))?;
        }
        match file_type {
            FileType::Regular | FileType::Directory | FileType::Symlink => {
                let layout = (format >> layout::FORMAT_LAYOUT_SHIFT) & layout::FORMAT_LAYOUT_MASK;
                inode.data = self.data(&inode, layout, union)?;
            }
            FileType::CharDevice | FileType::BlockDevice => {
                inode.device = layout::decode_device(union);
                inode.size = 0;
            }
            _ => inode.size = 0,
        }
        Ok(inode)
    }

    /// Finds and checks the place of an inode's data.
    fn data(&self, inode: &Inode, layout: u16, union: u32) -> Result<Data, Error> {
        let corrupt = |what| Error::Corrupt { nid: inode.nid, what };
        let after = inode.xattr_at + inode.xattr_len;
        match layout {
            layout::LAYOUT_PLAIN | layout::LAYOUT_INLINE => {
                let head_len = if layout == layout::LAYOUT_PLAIN {
                    inode.size
                } else {
                    inode.size.saturating_sub(1) / BLOCK * BLOCK
                };
                // An inode without whole blocks may say anything about their place.
                let head_at = if head_len == 0 { 0 } else { u64::from(union) * BLOCK };
                if !self.has_data(head_at, head_len) {
                    return Err(corrupt("its data lie outside of the image"));
                }
                let tail_len = inode.size - head_len;
                if after % BLOCK + tail_len > BLOCK {
                    return Err(corrupt("its inline data cross a block"));
                }
                self.slice(after, tail_len).ok_or(corrupt("its inline data lie outside of the image"))?;
                Ok(Data::Flat { head_at, head_len, tail_at: after })
            }
            layout::LAYOUT_CHUNKED => {
                let format = (union & 0xffff) as u16;
                if format & !(layout::CHUNK_BITS_MASK | layout::CHUNK_INDEXES) != 0 {
                    return Err(corrupt("its chunk format is unknown"));
                }
                let wide = format & layout::CHUNK_INDEXES != 0;
                let chunk_bits = u32::from(layout::BLOCK_BITS) + u32::from(format & layout::CHUNK_BITS_MASK);
                let unit = if wide { 8 } else { 4 };
                let table_at = after.next_multiple_of(unit);
                // At least 12 bits are shifted out, so eight bytes for each chunk do not overflow.
                let chunks = inode.size.div_ceil(1 << chunk_bits);
                self.slice(table_at, chunks * unit).ok_or(corrupt("its chunk table lies outside"))?;
                Ok(Data::Chunked { table_at, wide, chunk_bits })
            }
            1 | 3 => Err(Error::Compressed(inode.nid)),
            _ => Err(corrupt("its data layout is unknown")),
        }
    }
}
