//! Asynchronous input and output: io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).

use super::poll::{finish, read_mask};
use super::{io, opened, space};
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::file::aio::{Context, Ticket};
use crate::file::eventfd::EventFd;
use crate::file::io::{Sink, Source, UserRanges};
use crate::mem::map::{Area, DONT_FORK, Name};
use crate::mem::{Request, user};
use crate::task::{Task, sched};
use crate::time::monotonic_ns;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use linux_raw_sys::general::{PROT_READ, PROT_WRITE, RWF_HIPRI};

/// aio-max-nr.
const REQUESTS_MAX: u32 = 65_536;
/// Bytes of `struct io_event`, and of the head of Linux's ring of them.
const EVENT_LEN: usize = 32;

/// linux/aio_abi.h: operations and flags of `struct iocb`.
const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const POLL: u16 = 5;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
const FLAG_RESFD: u32 = 1;
/// Where in it the kernel leaves a zero.
const KEY: usize = 8;

fn context(t: &Task, id: usize) -> Result<Arc<Context>, Errno> {
    t.space().aio.borrow().get(&id).cloned().ok_or(Errno::EINVAL)
}

pub(super) fn io_setup(t: &Arc<Task>, nr_events: u32, ctxp: usize) -> SysResult {
    if user::read::<u64>(ctxp)? != 0 || nr_events == 0 {
        return Err(Errno::EINVAL);
    }
    if nr_events > REQUESTS_MAX {
        return Err(Errno::EAGAIN);
    }
    // As many as Linux has room for in the pages of its ring.
    let wanted = nr_events.max(sched::cpu_count() * 4) as usize * 2 + 2;
    let capacity = ((wanted + 1) * EVENT_LEN).next_multiple_of(PAGE_SIZE) / EVENT_LEN - 2;
    let space = t.space();
    let mut area = Area::anonymous(PROT_READ | PROT_WRITE, Name::None);
    area.flags |= DONT_FORK;
    let id = space.map(Request::anywhere(PAGE_SIZE, area))?;
    space.aio.borrow_mut().insert(id, Context::new(capacity));
    if let Err(error) = user::write(ctxp, &id) {
        io_destroy(t, id)?;
        return Err(error);
    }
    Ok(0)
}

pub(super) fn io_destroy(t: &Arc<Task>, ctx: usize) -> SysResult {
    let space = t.space();
    let context = space.aio.borrow_mut().remove(&ctx).ok_or(Errno::EINVAL)?;
    context.destroy();
    space.unmap(ctx, PAGE_SIZE)?;
    Ok(0)
}

pub(super) fn io_submit(t: &Arc<Task>, ctx: usize, nr: isize, iocbpp: usize) -> SysResult {
    let count = usize::try_from(nr).map_err(|_| Errno::EINVAL)?;
    let context = context(t, ctx)?;
    let mut done = 0;
    while done < count.min(context.capacity()) {
        let submitted =
            user::read::<usize>(iocbpp.wrapping_add(done * 8)).and_then(|at| submit(t, &context, at));
        match submitted {
            Ok(()) => done += 1,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// A `struct iocb`.
struct Iocb {
    data: u64,
    rw_flags: u32,
    operation: u16,
    fd: i32,
    buffer: usize,
    len: usize,
    offset: i64,
    flags: u32,
    told_fd: i32,
}

impl Iocb {
    fn read(at: usize) -> Result<Self, Errno> {
        let words = user::read::<[u64; 8]>(at)?;
        let [data, key, kind, buffer, len, offset, reserved, last] = words;
        if reserved != 0 || (len as i64) < 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            data,
            rw_flags: (key >> 32) as u32,
            operation: kind as u16,
            fd: (kind >> 32) as i32,
            buffer: buffer as usize,
            len: len as usize,
            offset: offset as i64,
            flags: last as u32,
            told_fd: (last >> 32) as i32,
        })
    }
}

fn submit(t: &Arc<Task>, context: &Arc<Context>, at: usize) -> Result<(), Errno> {
    let request = Iocb::read(at)?;
    context.enter()?;
    let done = begin(t, context, &request, at);
    if done.is_err() {
        context.leave();
    }
    done
}

/// Does what is asked; an error is one of the request itself, and there is no event then.
fn begin(t: &Arc<Task>, context: &Arc<Context>, request: &Iocb, at: usize) -> Result<(), Errno> {
    let file = opened(t, request.fd)?;
    let told = if request.flags & FLAG_RESFD != 0 {
        let counter = t.files().get(request.told_fd)?;
        counter.object.downcast::<EventFd>().ok_or(Errno::EINVAL)?;
        Some(counter)
    } else {
        None
    };
    user::write(at + KEY, &0_u32)?;
    let ticket = Ticket { data: request.data, request: at as u64, told };
    let plain = request.offset == 0 && request.len == 0 && request.rw_flags == 0;
    let result = match request.operation {
        PREAD | PREADV => read(&file, request)?,
        PWRITE | PWRITEV => write(&file, request)?,
        FSYNC | FDSYNC if plain && request.buffer == 0 => {
            if file.path.as_ref().is_none_or(|path| !path.inode().is_regular()) {
                return Err(Errno::EINVAL);
            }
            if request.operation == FSYNC {
                space::fsync(t, request.fd)
            } else {
                space::fdatasync(t, request.fd)
            }
        }
        POLL if plain && request.buffer <= usize::from(u16::MAX) => {
            return context.poll(file, request.buffer as u32, ticket);
        }
        _ => return Err(Errno::EINVAL),
    };
    let result = match result {
        Ok(count) => count as i64,
        // A request cannot start anew.
        Err(Errno::ERESTARTSYS) => -i64::from(Errno::EINTR.0),
        Err(error) => -i64::from(error.0),
    };
    context.complete(&ticket, result);
    Ok(())
}

/// Reads as the request says. The outer error is one of the request.
fn read(file: &OpenFile, request: &Iocb) -> Result<SysResult, Errno> {
    let mut sink = Sink::User(buffers(file, request, file.readable(), RWF_HIPRI)?);
    Ok(file.object.read(file, request.offset as u64, &mut sink))
}

/// As `read`, for writing.
fn write(file: &OpenFile, request: &Iocb) -> Result<SysResult, Errno> {
    let mut source = Source::User(buffers(file, request, file.writable(), io::RWF_WRITE)?);
    Ok(file.object.write(file, request.offset as u64, &mut source))
}

/// The memory of a transfer, once all is checked: that the file is `open_for` it, and no flags but `known` are asked for.
fn buffers(file: &OpenFile, request: &Iocb, open_for: bool, known: u32) -> Result<UserRanges, Errno> {
    io::check_rwf(request.rw_flags, known)?;
    if !open_for {
        return Err(Errno::EBADF);
    }
    check_place(file, request)?;
    if matches!(request.operation, PREADV | PWRITEV) {
        return io::ranges(request.buffer, request.len);
    }
    user::check(request.buffer, request.len)?;
    Ok(UserRanges::one(request.buffer, request.len))
}

fn check_place(file: &OpenFile, request: &Iocb) -> Result<(), Errno> {
    let is_directory = file.path.as_ref().is_some_and(|path| path.inode().is_directory());
    let wrong = !file.object.is_stream() && request.offset.checked_add_unsigned(request.len as u64).is_none();
    if is_directory || request.offset < 0 || wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Bytes of events as they lie in memory.
fn deliver(t: &Arc<Task>, ctx: usize, min_nr: isize, nr: isize, events: usize, timeout: usize) -> SysResult {
    let deadline = if timeout == 0 {
        None
    } else {
        let [seconds, nanoseconds] = user::read::<[i64; 2]>(timeout)?;
        let wait = (seconds.max(0) as u64).saturating_mul(1_000_000_000);
        Some(monotonic_ns().saturating_add(wait).saturating_add(nanoseconds.max(0) as u64))
    };
    let context = context(t, ctx)?;
    let (Ok(least), Ok(most)) = (usize::try_from(min_nr), usize::try_from(nr)) else {
        return Err(Errno::EINVAL);
    };
    if least > most {
        return Err(Errno::EINVAL);
    }
    let most = most.min(context.capacity());
    let found = context.take(least.min(most), most, deadline)?;
    let mut bytes = Vec::with_capacity(found.len() * EVENT_LEN);
    for event in &found {
        for word in [event.data, event.request, event.result as u64, 0] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
    }
    user::copy_out(events, &bytes)?;
    Ok(found.len())
}

pub(super) fn io_getevents(
    t: &Arc<Task>,
    ctx: usize,
    min_nr: isize,
    nr: isize,
    events: usize,
    timeout: usize,
) -> SysResult {
    deliver(t, ctx, min_nr, nr, events, timeout)
}

pub(super) fn io_pgetevents(
    t: &Arc<Task>,
    ctx: usize,
    min_nr: isize,
    nr: isize,
    events: usize,
    timeout: usize,
    usig: usize,
) -> SysResult {
    let [mask, len] = if usig == 0 { [0; 2] } else { user::read::<[usize; 2]>(usig)? };
    read_mask(t, mask, len)?;
    let result = deliver(t, ctx, min_nr, nr, events, timeout);
    finish(t, result)
}

pub(super) fn io_cancel(t: &Arc<Task>, ctx: usize, iocb: usize, _result: usize) -> SysResult {
    if user::read::<u32>(iocb + KEY)? != 0 {
        return Err(Errno::EINVAL);
    }
    context(t, ctx)?.cancel(iocb as u64)?;
    // Its event comes as every other.
    Err(Errno::EINPROGRESS)
}
