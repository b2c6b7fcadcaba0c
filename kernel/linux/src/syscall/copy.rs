//! Moving bytes from file to file: sendfile(2), copy_file_range(2).

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::file::copy::{Cursor, copy};
use crate::fs::Inode;
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;

/// Most bytes of one call.
const COUNT_MAX: usize = 0x7fff_f000;

/// A position that is the open file's own, or one in user memory.
fn cursor(file: &OpenFile, offset: usize) -> Result<Cursor<'_>, Errno> {
    if offset == 0 {
        return Ok(Cursor::Own(file));
    }
    let at = u64::try_from(user::read::<i64>(offset)?).map_err(|_| Errno::EINVAL)?;
    Ok(Cursor::At(file, at))
}

fn put_back(cursor: &Cursor<'_>, offset: usize) -> Result<(), Errno> {
    match cursor {
        Cursor::At(_, at) => user::write(offset, &(*at as i64)),
        Cursor::Own(_) => Ok(()),
    }
}

pub(super) fn sendfile(t: &Arc<Task>, out_fd: i32, in_fd: i32, offset: usize, count: usize) -> SysResult {
    let (input, output) = (opened(t, in_fd)?, opened(t, out_fd)?);
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    if input.object.is_stream() {
        return Err(if offset == 0 { Errno::EINVAL } else { Errno::ESPIPE });
    }
    if output.appending() {
        return Err(Errno::EINVAL);
    }
    let mut from = cursor(&input, offset)?;
    let moved = copy(&mut from, &mut Cursor::Own(&output), count.min(COUNT_MAX))?;
    put_back(&from, offset)?;
    Ok(moved)
}

pub(super) fn copy_file_range(
    t: &Arc<Task>,
    fd_in: i32,
    off_in: usize,
    fd_out: i32,
    off_out: usize,
    len: usize,
    flags: u32,
) -> SysResult {
    let (input, output) = (opened(t, fd_in)?, opened(t, fd_out)?);
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let (source, target) = (regular(&input)?, regular(&output)?);
    if !input.readable() || !output.writable() || output.appending() {
        return Err(Errno::EBADF);
    }
    let (mut from, mut to) = (cursor(&input, off_in)?, cursor(&output, off_out)?);
    let len = len.min(COUNT_MAX);
    let size = source.stat().size;
    if core::ptr::eq(source, target) {
        let moved = (len as u64).min(size.saturating_sub(from.position()));
        let apart = from.position().abs_diff(to.position());
        if moved > 0 && apart < moved {
            return Err(Errno::EINVAL);
        }
    }
    let moved = copy(&mut from, &mut to, len)?;
    put_back(&from, off_in)?;
    put_back(&to, off_out)?;
    Ok(moved)
}

/// The inode of a regular file; EISDIR, EINVAL for others.
fn regular(file: &OpenFile) -> Result<&Inode, Errno> {
    let inode = file.path.as_ref().map(|path| &**path.inode()).ok_or(Errno::EINVAL)?;
    if inode.is_directory() {
        return Err(Errno::EISDIR);
    }
    if inode.is_regular() && !file.object.is_stream() { Ok(inode) } else { Err(Errno::EINVAL) }
}
