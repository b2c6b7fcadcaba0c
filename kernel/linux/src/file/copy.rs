//! Copies from one open file to another inside the kernel.
//!
//! Bytes of the root image go straight to the other file; others pass through a buffer.

use super::OpenFile;
use super::io::{Sink, Source};
use crate::errno::{Errno, SysResult};
use crate::fs::Inode;
use alloc::vec::Vec;

/// Bytes of the buffer.
const CHUNK: usize = 1 << 16;

/// Where in an open file to read or write.
pub enum Cursor<'a> {
    /// At its own position, which moves.
    Own(&'a OpenFile),
    /// At a position of the caller's, which moves instead.
    At(&'a OpenFile, u64),
}

impl Cursor<'_> {
    fn file(&self) -> &OpenFile {
        match self {
            Self::Own(file) | Self::At(file, _) => file,
        }
    }

    pub fn position(&self) -> u64 {
        match self {
            Self::Own(file) => file.position(),
            Self::At(_, at) => *at,
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Own(file) => file.set_position(file.position() + count as u64),
            Self::At(_, at) => *at += count as u64,
        }
    }

    pub fn read(&mut self, sink: &mut Sink<'_>) -> SysResult {
        match self {
            Self::Own(file) => file.read(sink),
            Self::At(file, at) => {
                let count = file.object.read(file, *at, sink)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }

    pub fn write(&mut self, data: &[u8]) -> SysResult {
        let mut source = Source::Kernel(data);
        match self {
            Self::Own(file) => file.write(&mut source),
            Self::At(file, at) => {
                let count = file.object.write(file, *at, &mut source)?;
                *at += count as u64;
                Ok(count)
            }
        }
    }
}

/// Moves up to `count` bytes and gives how many; an error only if there were none. The position read from moves by what
/// was written, no further.
pub fn copy(from: &mut Cursor<'_>, to: &mut Cursor<'_>, count: usize) -> SysResult {
    let mut done = 0;
    let mut buffer = Vec::new();
    while done < count {
        match copy_once(from, to, count - done, &mut buffer) {
            Ok((0, _)) => break,
            Ok((written, read)) => {
                done += written;
                if written < read {
                    break;
                }
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Bytes written, and how many were there to write.
fn copy_once(
    from: &mut Cursor<'_>,
    to: &mut Cursor<'_>,
    count: usize,
    buffer: &mut Vec<u8>,
) -> Result<(usize, usize), Errno> {
    let at = from.position();
    let contents = from.file().object.downcast::<Inode>().and_then(Inode::contents);
    let slice = contents.map_or(&[][..], |contents| contents.image_slice(at, count));
    let (written, read) = if slice.is_empty() {
        buffer.resize(count.min(CHUNK), 0);
        let read = from.file().object.read(from.file(), at, &mut Sink::Kernel(buffer))?;
        (if read > 0 { to.write(&buffer[..read])? } else { 0 }, read)
    } else {
        (to.write(slice)?, slice.len())
    };
    from.advance(written);
    Ok((written, read))
}
