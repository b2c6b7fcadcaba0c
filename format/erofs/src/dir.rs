//! Directories: sorted names in blocks, each block with its entries first and their names after.

use core::cmp::Ordering;

use crate::layout::{BLOCK, DIRENT_SIZE, NAME_MAX};
use crate::{Error, Image, Inode, Nid, u16_at, u64_at};

/// The type of a file, with the numbers that directory entries have (and DT_* name differently).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    Unknown = 0,
    Regular = 1,
    Directory = 2,
    CharDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Socket = 6,
    Symlink = 7,
}

impl FileType {
    /// The type in a mode's S_IFMT bits.
    #[must_use]
    pub fn from_mode(mode: u16) -> Self {
        match mode >> 12 {
            0o10 => Self::Regular,
            0o04 => Self::Directory,
            0o02 => Self::CharDevice,
            0o06 => Self::BlockDevice,
            0o01 => Self::Fifo,
            0o14 => Self::Socket,
            0o12 => Self::Symlink,
            _ => Self::Unknown,
        }
    }

    fn from_dirent(number: u8) -> Self {
        match number {
            1 => Self::Regular,
            2 => Self::Directory,
            3 => Self::CharDevice,
            4 => Self::BlockDevice,
            5 => Self::Fifo,
            6 => Self::Socket,
            7 => Self::Symlink,
            _ => Self::Unknown,
        }
    }

    /// The type as d_type of getdents64(2) has it.
    #[must_use]
    pub fn d_type(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
        }
    }
}

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// 1 to 255 bytes, none of them zero or a slash. `.` and `..` are entries like the others.
    pub name: &'a [u8],
    pub nid: Nid,
    /// What the directory says; the inode's mode has the last word.
    pub file_type: FileType,
    /// Where a listing goes on behind this entry.
    pub cookie: u64,
}

/// One block of a directory. Its first entry's name offset is known to be sound.
struct DirBlock<'a> {
    bytes: &'a [u8],
    nid: Nid,
    count: usize,
}

impl<'a> DirBlock<'a> {
    fn name(&self, index: usize) -> Result<&'a [u8], Error> {
        let corrupt = Error::Corrupt { nid: self.nid, what: "a name in the directory is damaged" };
        let offset = |index: usize| u16_at(self.bytes, index * DIRENT_SIZE + 8).map(usize::from);
        let start = offset(index).ok_or(corrupt)?;
        let is_last = index + 1 == self.count;
        let end = if is_last { self.bytes.len() } else { offset(index + 1).ok_or(corrupt)? };
        let mut name = self.bytes.get(start..end).ok_or(corrupt)?;
        if is_last {
            // Zeros fill the block behind its last name.
            name = name.split(|&byte| byte == 0).next().unwrap_or(name);
        }
        if start < self.count * DIRENT_SIZE
            || name.is_empty()
            || name.len() > NAME_MAX
            || name.iter().any(|&byte| byte == 0 || byte == b'/')
        {
            return Err(corrupt);
        }
        Ok(name)
    }

    /// The entry; its cookie is that of the block (`base`) and the index behind it.
    fn entry(&self, index: usize, base: u64) -> Result<Entry<'a>, Error> {
        let corrupt = Error::Corrupt { nid: self.nid, what: "an entry of the directory is cut off" };
        let at = index * DIRENT_SIZE;
        Ok(Entry {
            name: self.name(index)?,
            nid: u64_at(self.bytes, at).ok_or(corrupt)?,
            file_type: FileType::from_dirent(*self.bytes.get(at + 10).ok_or(corrupt)?),
            cookie: if index + 1 == self.count { base + BLOCK } else { base + (at + DIRENT_SIZE) as u64 },
        })
    }
}

/// A directory's listing, from [`Image::entries`]. Ends behind the first error.
pub struct Entries<'a> {
    image: Image<'a>,
    dir: Inode,
    cookie: u64,
}

impl<'a> Entries<'a> {
    fn step(&self) -> Result<Option<Entry<'a>>, Error> {
        let corrupt = Error::Corrupt { nid: self.dir.nid, what: "there is no such place in the directory" };
        if self.cookie >= self.dir.size.next_multiple_of(BLOCK) {
            return Ok(None);
        }
        let block = self.image.dir_block(&self.dir, self.cookie / BLOCK)?;
        let within = (self.cookie % BLOCK) as usize;
        if !within.is_multiple_of(DIRENT_SIZE) || within / DIRENT_SIZE >= block.count {
            return Err(corrupt);
        }
        block.entry(within / DIRENT_SIZE, self.cookie / BLOCK * BLOCK).map(Some)
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        self.cookie = match &step {
            Ok(Some(entry)) => entry.cookie,
            _ => u64::MAX,
        };
        step.transpose()
    }
}

impl<'a> Image<'a> {
    fn dir_block(&self, dir: &Inode, index: u64) -> Result<DirBlock<'a>, Error> {
        let corrupt = |what| Error::Corrupt { nid: dir.nid, what };
        let extent = self.extent(dir, index * BLOCK)?.ok_or(corrupt("the directory is cut off"))?;
        let bytes = self.extent_bytes(&extent).ok_or(corrupt("the directory has a hole"))?;
        let bytes = &bytes[..bytes.len().min(BLOCK as usize)];
        let names_at = usize::from(u16_at(bytes, 8).ok_or(corrupt("the directory is cut off"))?);
        if names_at == 0 || !names_at.is_multiple_of(DIRENT_SIZE) || names_at > bytes.len() {
            return Err(corrupt("the directory's first entry is damaged"));
        }
        Ok(DirBlock { bytes, nid: dir.nid, count: names_at / DIRENT_SIZE })
    }

    /// Finds a name: two binary searches, over the blocks and within one.
    ///
    /// # Errors
    /// [`Error::WrongType`] where `dir` is no directory, [`Error::Corrupt`].
    pub fn lookup(&self, dir: &Inode, name: &[u8]) -> Result<Option<Entry<'a>>, Error> {
        if dir.file_type() != FileType::Directory {
            return Err(Error::WrongType(dir.nid));
        }
        // The last block whose first name is not above the one sought.
        let (mut low, mut high) = (0, dir.size.div_ceil(BLOCK));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.dir_block(dir, middle)?.name(0)?.cmp(name) {
                Ordering::Greater => high = middle,
                Ordering::Equal | Ordering::Less => low = middle + 1,
            }
        }
        let Some(index) = low.checked_sub(1) else { return Ok(None) };
        let block = self.dir_block(dir, index)?;
        let (mut low, mut high) = (0, block.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match block.name(middle)?.cmp(name) {
                Ordering::Greater => high = middle,
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return block.entry(middle, index * BLOCK).map(Some),
            }
        }
        Ok(None)
    }

    /// Lists a directory, from the start (`cookie` 0) or from behind an earlier entry (its `cookie`). A
    /// cookie that no entry had gives an error or another place, never harm.
    ///
    /// # Errors
    /// [`Error::WrongType`] where `dir` is no directory.
    pub fn entries(&self, dir: &Inode, cookie: u64) -> Result<Entries<'a>, Error> {
        if dir.file_type() != FileType::Directory {
            return Err(Error::WrongType(dir.nid));
        }
        Ok(Entries { image: *self, dir: *dir, cookie })
    }
}
