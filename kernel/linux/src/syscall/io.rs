//! Reading and writing through descriptors.

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::file::io::{Sink, Source, UserRange, UserRanges};
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    O_APPEND, O_NONBLOCK, RWF_APPEND, RWF_DSYNC, RWF_HIPRI, RWF_NOWAIT, RWF_SYNC, iovec,
};

/// In the kernel's fs.h since 6.9, not in the generated headers yet.
const RWF_NOAPPEND: u32 = 0x20;

/// Most bytes of one read or write: what Linux calls MAX_RW_COUNT.
const COUNT_MAX: usize = 0x7fff_f000;
/// Most elements of an iovec (UIO_MAXIOV).
const VECTOR_MAX: usize = 1024;

pub(super) fn read(t: &Arc<Task>, fd: i32, buf: usize, count: usize) -> SysResult {
    opened(t, fd)?.read(&mut Sink::user(buf, count.min(COUNT_MAX)))
}

pub(super) fn write(t: &Arc<Task>, fd: i32, buf: usize, count: usize) -> SysResult {
    opened(t, fd)?.write(&mut Source::user(buf, count.min(COUNT_MAX)))
}

pub(super) fn readv(t: &Arc<Task>, fd: i32, iov: usize, iovcnt: usize) -> SysResult {
    let file = opened(t, fd)?;
    file.read(&mut Sink::User(ranges(iov, iovcnt)?))
}

pub(super) fn writev(t: &Arc<Task>, fd: i32, iov: usize, iovcnt: usize) -> SysResult {
    let file = opened(t, fd)?;
    file.write(&mut Source::User(ranges(iov, iovcnt)?))
}

pub(super) fn pread64(t: &Arc<Task>, fd: i32, buf: usize, count: usize, offset: i64) -> SysResult {
    let file = positioned(t, fd, offset)?;
    read_at(&file, offset, &mut Sink::user(buf, count.min(COUNT_MAX)))
}

pub(super) fn pwrite64(t: &Arc<Task>, fd: i32, buf: usize, count: usize, offset: i64) -> SysResult {
    let file = positioned(t, fd, offset)?;
    write_at(&file, offset, &mut Source::user(buf, count.min(COUNT_MAX)))
}

pub(super) fn preadv(t: &Arc<Task>, fd: i32, iov: usize, iovcnt: usize, offset: i64) -> SysResult {
    let file = positioned(t, fd, offset)?;
    read_at(&file, offset, &mut Sink::User(ranges(iov, iovcnt)?))
}

pub(super) fn pwritev(t: &Arc<Task>, fd: i32, iov: usize, iovcnt: usize, offset: i64) -> SysResult {
    let file = positioned(t, fd, offset)?;
    write_at(&file, offset, &mut Source::User(ranges(iov, iovcnt)?))
}

pub(super) fn preadv2(
    t: &Arc<Task>,
    fd: i32,
    iov: usize,
    iovcnt: usize,
    offset: i64,
    _offset_high: usize,
    flags: u32,
) -> SysResult {
    check_rwf(flags, RWF_HIPRI | RWF_NOWAIT)?;
    let read = || if offset == -1 { readv(t, fd, iov, iovcnt) } else { preadv(t, fd, iov, iovcnt, offset) };
    if flags & RWF_NOWAIT == 0 {
        return read();
    }
    // A stand-in for the open file's own flag; as nothing waits then, nobody else sees it.
    let file = opened(t, fd)?;
    let nonblocking = file.flags() & O_NONBLOCK;
    file.set_flags(file.flags() | O_NONBLOCK);
    let result = read();
    file.set_flags(file.flags() & !O_NONBLOCK | nonblocking);
    result
}

pub(super) fn pwritev2(
    t: &Arc<Task>,
    fd: i32,
    iov: usize,
    iovcnt: usize,
    offset: i64,
    _offset_high: usize,
    flags: u32,
) -> SysResult {
    check_rwf(flags, RWF_WRITE | RWF_APPEND | RWF_NOAPPEND)?;
    if flags & (RWF_APPEND | RWF_NOAPPEND) == 0 {
        return if offset == -1 { writev(t, fd, iov, iovcnt) } else { pwritev(t, fd, iov, iovcnt, offset) };
    }
    // The status flags stand in for the call's own; nobody else runs unless the copy waits.
    let file = if offset == -1 { opened(t, fd)? } else { positioned(t, fd, offset)? };
    let mut source = Source::User(ranges(iov, iovcnt)?);
    let flags_before = file.flags();
    let append = if flags & RWF_APPEND != 0 { flags_before | O_APPEND } else { flags_before & !O_APPEND };
    file.set_flags(append);
    let result = if offset == -1 { file.write(&mut source) } else { write_at(&file, offset, &mut source) };
    file.set_flags(file.flags() & !O_APPEND | flags_before & O_APPEND);
    result
}

/// RWF_* that writes take wherever they go.
pub(super) const RWF_WRITE: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC;

pub(super) fn check_rwf(flags: u32, known: u32) -> Result<(), Errno> {
    if flags & !known != 0 { Err(Errno::EOPNOTSUPP) } else { Ok(()) }
}

pub(super) fn lseek(t: &Arc<Task>, fd: i32, offset: i64, whence: u32) -> SysResult {
    let file = opened(t, fd)?;
    if whence > linux_raw_sys::general::SEEK_MAX {
        return Err(Errno::EINVAL);
    }
    Ok(file.object.seek(&file, offset, whence)? as usize)
}

/// The open file for a call that names a position: ESPIPE for streams.
fn positioned(t: &Arc<Task>, fd: i32, offset: i64) -> Result<Arc<OpenFile>, Errno> {
    if offset < 0 {
        return Err(Errno::EINVAL);
    }
    let file = opened(t, fd)?;
    if file.object.is_stream() && file.object.seek(&file, 0, linux_raw_sys::general::SEEK_CUR).is_err() {
        return Err(Errno::ESPIPE);
    }
    Ok(file)
}

/// EINVAL if the transfer would end past what an offset can name.
fn check_end(offset: i64, len: usize) -> Result<(), Errno> {
    offset.checked_add_unsigned(len as u64).map(drop).ok_or(Errno::EINVAL)
}

fn read_at(file: &OpenFile, offset: i64, sink: &mut Sink<'_>) -> SysResult {
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    check_end(offset, sink.left())?;
    file.object.read(file, offset as u64, sink)
}

fn write_at(file: &OpenFile, offset: i64, source: &mut Source<'_>) -> SysResult {
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    check_end(offset, source.left())?;
    file.object.write(file, offset as u64, source)
}

/// Reads an iovec: EINVAL if it is too long or its lengths overflow, as readv(2) says.
pub(super) fn ranges(iov: usize, iovcnt: usize) -> Result<UserRanges, Errno> {
    if iovcnt > VECTOR_MAX {
        return Err(Errno::EINVAL);
    }
    let mut left = COUNT_MAX;
    let mut list = Vec::with_capacity(iovcnt);
    for range in user::read_vec::<iovec>(iov, iovcnt)? {
        let len = range.iov_len as usize;
        if isize::try_from(len).is_err() {
            return Err(Errno::EINVAL);
        }
        user::check(range.iov_base as usize, len)?;
        let len = len.min(left);
        left -= len;
        list.push(UserRange { start: range.iov_base as usize, len });
    }
    Ok(UserRanges::many(list))
}
