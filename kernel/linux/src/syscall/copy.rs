//! Moving bytes from file to file: sendfile(2), copy_file_range(2), splice(2), tee(2), vmsplice(2).

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::copy::{Cursor, copy};
use crate::file::io::{Sink, Source};
use crate::file::pipe::{Pipe, PipeEnd};
use crate::file::{OpenFile, splice};
use crate::fs::Inode;
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use linux_raw_sys::general::{SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK};

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

/// The pipe that an open file is an end of.
fn pipe_of(file: &OpenFile) -> Option<&Arc<Pipe>> {
    file.object.downcast::<PipeEnd>().map(PipeEnd::pipe)
}

fn check_splice_flags(flags: u32) -> Result<bool, Errno> {
    if flags & !(SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(flags & SPLICE_F_NONBLOCK != 0)
}

pub(super) fn splice(
    t: &Arc<Task>,
    fd_in: i32,
    off_in: usize,
    fd_out: i32,
    off_out: usize,
    len: usize,
    flags: u32,
) -> SysResult {
    let nonblocking = check_splice_flags(flags)?;
    if len == 0 {
        return Ok(0);
    }
    let (input, output) = (opened(t, fd_in)?, opened(t, fd_out)?);
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    let len = len.min(COUNT_MAX);
    match (pipe_of(&input), pipe_of(&output)) {
        (None, None) => Err(Errno::EINVAL),
        (Some(_), _) if off_in != 0 => Err(Errno::ESPIPE),
        (_, Some(_)) if off_out != 0 => Err(Errno::ESPIPE),
        (Some(from), Some(to)) if Arc::ptr_eq(from, to) => Err(Errno::EINVAL),
        (Some(from), Some(to)) => {
            let nonblocking = nonblocking || input.nonblocking() || output.nonblocking();
            splice::between_pipes(from, to, len, nonblocking, false)
        }
        (Some(from), None) => {
            if output.appending() {
                return Err(Errno::EINVAL);
            }
            let mut to = positioned_cursor(&output, off_out)?;
            let moved = splice::from_pipe(from, &mut to, len, nonblocking || input.nonblocking())?;
            put_back(&to, off_out)?;
            Ok(moved)
        }
        (None, Some(to)) => {
            let mut from = positioned_cursor(&input, off_in)?;
            let moved = splice::to_pipe(&mut from, to, len, nonblocking || output.nonblocking())?;
            put_back(&from, off_in)?;
            Ok(moved)
        }
    }
}

/// As `cursor`; a stream has no positions to name.
fn positioned_cursor(file: &OpenFile, offset: usize) -> Result<Cursor<'_>, Errno> {
    if offset != 0 && file.object.is_stream() { Err(Errno::ESPIPE) } else { cursor(file, offset) }
}

pub(super) fn tee(t: &Arc<Task>, fd_in: i32, fd_out: i32, len: usize, flags: u32) -> SysResult {
    let nonblocking = check_splice_flags(flags)?;
    if len == 0 {
        return Ok(0);
    }
    let (input, output) = (opened(t, fd_in)?, opened(t, fd_out)?);
    if !input.readable() || !output.writable() {
        return Err(Errno::EBADF);
    }
    match (pipe_of(&input), pipe_of(&output)) {
        (Some(from), Some(to)) if !Arc::ptr_eq(from, to) => {
            let nonblocking = nonblocking || input.nonblocking() || output.nonblocking();
            splice::between_pipes(from, to, len.min(COUNT_MAX), nonblocking, true)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Pages are copied: what the application does to them afterwards does not show in the pipe.
pub(super) fn vmsplice(t: &Arc<Task>, fd: i32, iov: usize, nr_segs: usize, flags: u32) -> SysResult {
    check_splice_flags(flags)?;
    let file = opened(t, fd)?;
    if pipe_of(&file).is_none() {
        return Err(Errno::EBADF);
    }
    let ranges = super::io::ranges(iov, nr_segs)?;
    if file.writable() { file.write(&mut Source::User(ranges)) } else { file.read(&mut Sink::User(ranges)) }
}
