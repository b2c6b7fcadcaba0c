//! File contents, as extents of the image.

use crate::inode::Data;
use crate::layout::{BLOCK, NULL_BLOCK};
use crate::{Error, FileType, Image, Inode, u32_at};

/// A run of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where the run begins in the file, in bytes.
    pub offset: u64,
    /// Never zero.
    pub len: u64,
    /// Where the run begins in the image, in bytes; `None` for a hole, which reads as zeros. When `offset` is
    /// a multiple of 4096, this is too, except in an inline tail, which is always shorter than a page or the
    /// file's last.
    pub image_offset: Option<u64>,
}

/// The extents of a file, from [`Image::extents`].
pub struct Extents<'a> {
    image: Image<'a>,
    inode: Inode,
    offset: u64,
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = self.image.extent(&self.inode, self.offset);
        self.offset = match &extent {
            Ok(Some(extent)) => extent.offset + extent.len,
            _ => u64::MAX,
        };
        extent.transpose()
    }
}

impl<'a> Image<'a> {
    /// The longest run that is known to begin at byte `offset` of the file; `None` at or behind its end.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where a chunk lies outside of the image.
    pub fn extent(&self, inode: &Inode, offset: u64) -> Result<Option<Extent>, Error> {
        if offset >= inode.size {
            return Ok(None);
        }
        let (len, image_offset) = match inode.data {
            Data::Flat { head_at, head_len, .. } if offset < head_len => {
                (head_len - offset, Some(head_at + offset))
            }
            Data::Flat { head_len, tail_at, .. } => {
                (inode.size - offset, Some(tail_at + (offset - head_len)))
            }
            Data::Chunked { table_at, wide, chunk_bits } => {
                let chunk = offset >> chunk_bits;
                let within = offset - (chunk << chunk_bits);
                let len = ((1 << chunk_bits) - within).min(inode.size - offset);
                (len, self.chunk(inode, table_at, wide, chunk)?.map(|start| start + within))
            }
        };
        if image_offset.is_some_and(|at| !self.has_data(at, len)) {
            return Err(Error::Corrupt { nid: inode.nid, what: "its data lie outside of the image" });
        }
        Ok(Some(Extent { offset, len, image_offset }))
    }

    /// Byte offset in the image of a chunk, `None` for a hole.
    fn chunk(&self, inode: &Inode, table_at: u64, wide: bool, chunk: u64) -> Result<Option<u64>, Error> {
        let corrupt = |what| Error::Corrupt { nid: inode.nid, what };
        let unit = if wide { 8 } else { 4 };
        let entry = self.slice(table_at + chunk * unit, unit).ok_or(corrupt("its chunk table is cut off"))?;
        let block = u32_at(entry, if wide { 4 } else { 0 }).ok_or(corrupt("its chunk table is cut off"))?;
        if block == NULL_BLOCK {
            return Ok(None);
        }
        if wide && (entry[2] != 0 || entry[3] != 0) {
            return Err(corrupt("a chunk lies on another device"));
        }
        Ok(Some(u64::from(block) * BLOCK))
    }

    /// The file's extents from byte `offset` on, in order. Adjacent ones are not joined.
    #[must_use]
    pub fn extents(&self, inode: &Inode, offset: u64) -> Extents<'a> {
        Extents { image: *self, inode: *inode, offset }
    }

    /// The bytes of an extent that is not a hole.
    #[must_use]
    pub fn extent_bytes(&self, extent: &Extent) -> Option<&'a [u8]> {
        self.slice(extent.image_offset?, extent.len)
    }

    /// Copies the file's bytes from `offset` on into `buffer`, as read(2): the count is short at the end of
    /// the file only.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn read(&self, inode: &Inode, offset: u64, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        for extent in self.extents(inode, offset) {
            if done == buffer.len() {
                break;
            }
            let extent = extent?;
            let room = &mut buffer[done..];
            let count = room.len().min(usize::try_from(extent.len).unwrap_or(usize::MAX));
            match self.extent_bytes(&extent) {
                Some(bytes) => room[..count].copy_from_slice(&bytes[..count]),
                None => room[..count].fill(0),
            }
            done += count;
        }
        Ok(done)
    }

    /// The target of a symbolic link, without a terminating zero.
    ///
    /// # Errors
    /// [`Error::WrongType`], or [`Error::Corrupt`] where the target is empty, longer than 4095 bytes or
    /// contains a zero.
    pub fn symlink(&self, inode: &Inode) -> Result<&'a [u8], Error> {
        let corrupt = |what| Error::Corrupt { nid: inode.nid, what };
        if inode.file_type() != FileType::Symlink {
            return Err(Error::WrongType(inode.nid));
        }
        if inode.size >= BLOCK {
            return Err(corrupt("its target is too long"));
        }
        // Shorter than a block, so it is one extent.
        let extent = self.extent(inode, 0)?.ok_or(corrupt("its target is empty"))?;
        let target = self.extent_bytes(&extent).ok_or(corrupt("its target is a hole"))?;
        if target.contains(&0) {
            return Err(corrupt("its target contains a zero"));
        }
        Ok(target)
    }
}
