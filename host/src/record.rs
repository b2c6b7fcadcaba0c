//! Reads a guest's record (`husk_abi::record`). A record comes from a guest and is not trusted: what it says decides
//! what is kept and what a layer holds, never where on the host something is written.

use husk_abi::record as abi;
use husk_app::Allowed;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// The longest frame but for file contents: a node with its extended attributes.
const FRAME_MAX: usize = 1 << 20;

/// Why a record is none.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the guest's record ends too early: the guest was killed before its process 1 had ended")]
    Unfinished,
    #[error("the guest's record is damaged: {0}")]
    Damaged(&'static str),
    #[error("cannot read the guest's record: {0}")]
    Io(#[from] io::Error),
}

/// How a path was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use(pub u8);

impl Use {
    #[must_use]
    pub fn is_executed(self) -> bool {
        self.0 & abi::USE_EXECUTED != 0
    }

    #[must_use]
    pub fn is_opened(self) -> bool {
        self.0 & abi::USE_OPENED != 0
    }
}

/// A file that the guest changed or made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub kind: Kind,
    pub permissions: u32,
    pub uid: u32,
    pub gid: u32,
    /// Nanoseconds since the epoch.
    pub mtime: i64,
    /// Without a leading slash, empty for the root; no component is empty, `.` or `..`.
    pub path: Vec<u8>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its size in bytes.
    File(u64),
    Directory,
    Symlink(Vec<u8>),
    /// To a path that came before.
    HardLink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    Whiteout,
    Opaque,
}

/// What a guest told, but for its changes.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub calls: Allowed,
    pub paths: BTreeMap<Vec<u8>, Use>,
    pub exit_code: i32,
}

/// Takes the changes of a guest as they come.
pub trait Changes {
    /// # Errors
    /// Ends the reading.
    fn node(&mut self, node: Node) -> io::Result<()>;

    /// The next bytes of the file that came last, never more than its size in all.
    ///
    /// # Errors
    /// Ends the reading.
    fn data(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Of a guest that was not asked for its changes.
pub struct NoChanges;

impl Changes for NoChanges {
    fn node(&mut self, _node: Node) -> io::Result<()> {
        Ok(())
    }

    fn data(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a whole record.
///
/// # Errors
/// [`RecordError`]; what `changes` could not take.
pub fn read(mut from: impl Read, changes: &mut dyn Changes) -> Result<Record, RecordError> {
    let mut record = Record::default();
    let mut left = 0;
    let mut bytes = Vec::new();
    loop {
        let mut header = [0; abi::HEADER_LEN];
        fill(&mut from, &mut header)?;
        let len = u32::from_le_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if len > FRAME_MAX {
            return Err(RecordError::Damaged("a frame is too long"));
        }
        bytes.resize(len, 0);
        fill(&mut from, &mut bytes)?;
        let mut fields = Fields(&bytes);
        if header[0] != abi::DATA && left > 0 {
            return Err(RecordError::Damaged("a file has fewer bytes than it should have"));
        }
        match header[0] {
            abi::CALL => record.calls.add(fields.u32()?),
            abi::PATH => {
                let bits = fields.take(1)?[0];
                record.paths.entry(fields.0.to_vec()).or_default().0 |= bits;
            }
            abi::NODE => {
                let node = fields.node()?;
                if let Kind::File(size) = node.kind {
                    left = size;
                }
                changes.node(node)?;
            }
            abi::DATA => {
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or(RecordError::Damaged("a file has more bytes than it should have"))?;
                changes.data(&bytes)?;
            }
            abi::END => {
                record.exit_code = fields.u32()? as i32;
                return Ok(record);
            }
            _ => return Err(RecordError::Damaged("a frame is unknown")),
        }
    }
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), RecordError> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => RecordError::Unfinished,
        _ => error.into(),
    })
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) =
            self.0.split_at_checked(len).ok_or(RecordError::Damaged("a frame is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed<const LEN: usize>(&mut self) -> Result<[u8; LEN], RecordError> {
        let taken = self.take(LEN)?;
        Ok(taken.try_into().unwrap_or([0; LEN]))
    }

    fn u16(&mut self) -> Result<u16, RecordError> {
        self.fixed().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.fixed().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.fixed().map(u64::from_le_bytes)
    }

    fn short(&mut self) -> Result<Vec<u8>, RecordError> {
        let len = self.u16()?;
        self.take(len.into()).map(<[u8]>::to_vec)
    }

    fn path(&mut self) -> Result<Vec<u8>, RecordError> {
        let path = self.short()?;
        let is_wrong =
            |name: &[u8]| matches!(name, b"" | b"." | b"..") || name.contains(&0) || name.len() > 255;
        if !path.is_empty() && path.split(|byte| *byte == b'/').any(is_wrong) {
            return Err(RecordError::Damaged("a path has a component that is no name"));
        }
        Ok(path)
    }

    fn node(&mut self) -> Result<Node, RecordError> {
        let kind = self.take(1)?[0];
        let (permissions, uid, gid) = (self.u32()? & 0o7777, self.u32()?, self.u32()?);
        let mtime = self.u64()? as i64;
        let (major, minor) = (self.u32()?, self.u32()?);
        let size = self.u64()?;
        let path = self.path()?;
        let kind = match kind {
            abi::NODE_HARD_LINK => Kind::HardLink(self.path()?),
            _ => {
                let target = self.short()?;
                match kind {
                    abi::NODE_FILE => Kind::File(size),
                    abi::NODE_DIRECTORY => Kind::Directory,
                    abi::NODE_SYMLINK if !target.is_empty() && !target.contains(&0) => Kind::Symlink(target),
                    abi::NODE_CHAR_DEVICE => Kind::CharDevice(major, minor),
                    abi::NODE_BLOCK_DEVICE => Kind::BlockDevice(major, minor),
                    abi::NODE_FIFO => Kind::Fifo,
                    abi::NODE_WHITEOUT => Kind::Whiteout,
                    abi::NODE_OPAQUE => Kind::Opaque,
                    _ => return Err(RecordError::Damaged("a file is of an unknown kind")),
                }
            }
        };
        let mut xattrs = Vec::new();
        for _ in 0..self.u16()? {
            let name = self.short()?;
            let len = self.u32()? as usize;
            xattrs.push((name, self.take(len)?.to_vec()));
        }
        Ok(Node { kind, permissions, uid, gid, mtime, path, xattrs })
    }
}

#[cfg(test)]
mod tests;
