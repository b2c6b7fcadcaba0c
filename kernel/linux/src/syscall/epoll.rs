//! epoll(7).

use super::poll::{deadline_after_ms, finish, read_mask, read_timeout};
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::file::epoll::{Epoll, Event};
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// Bytes of `struct epoll_event`: packed on x86-64.
const EVENT_LEN: usize = 12;

fn instance(of: &OpenFile) -> Result<&Epoll, Errno> {
    of.object.downcast().ok_or(Errno::EINVAL)
}

pub(super) fn epoll_create(t: &Arc<Task>, size: i32) -> SysResult {
    if size <= 0 { Err(Errno::EINVAL) } else { epoll_create1(t, 0) }
}

pub(super) fn epoll_create1(t: &Arc<Task>, flags: u32) -> SysResult {
    if flags & !raw::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(t.files().install(Epoll::open(), flags != 0)? as usize)
}

pub(super) fn epoll_ctl(t: &Arc<Task>, epfd: i32, operation: u32, fd: i32, event: usize) -> SysResult {
    let mut wanted = Event::default();
    if operation != raw::EPOLL_CTL_DEL {
        let bytes: [u8; EVENT_LEN] = user::read(event)?;
        let (events, data) = bytes.split_at(4);
        wanted.events = events.try_into().map_or(0, u32::from_ne_bytes);
        wanted.data = data.try_into().map_or(0, u64::from_ne_bytes);
    }
    let files = t.files();
    let epoll = files.get(epfd)?;
    let target = files.get(fd)?;
    // A file that cannot be polled is told apart before anything else.
    if target.object.wait_queue(&target).is_none() {
        return Err(Errno::EPERM);
    }
    let epoll = instance(&epoll)?;
    match operation {
        raw::EPOLL_CTL_ADD => epoll.add(&target, fd, wanted),
        raw::EPOLL_CTL_MOD => epoll.modify(&target, fd, wanted),
        raw::EPOLL_CTL_DEL => epoll.delete(&target, fd),
        _ => Err(Errno::EINVAL),
    }?;
    Ok(0)
}

fn wait(t: &Arc<Task>, epfd: i32, events: usize, maxevents: i32, deadline: Option<u64>) -> SysResult {
    let max = usize::try_from(maxevents).map_err(|_| Errno::EINVAL)?;
    if max == 0 || max > i32::MAX as usize / EVENT_LEN {
        return Err(Errno::EINVAL);
    }
    let of = t.files().get(epfd)?;
    let found = instance(&of)?.wait(max, deadline)?;
    let mut bytes = Vec::with_capacity(found.len() * EVENT_LEN);
    for event in &found {
        bytes.extend_from_slice(&event.events.to_ne_bytes());
        bytes.extend_from_slice(&event.data.to_ne_bytes());
    }
    user::copy_out(events, &bytes)?;
    Ok(found.len())
}

pub(super) fn epoll_wait(t: &Arc<Task>, epfd: i32, events: usize, maxevents: i32, timeout: i32) -> SysResult {
    wait(t, epfd, events, maxevents, deadline_after_ms(timeout))
}

pub(super) fn epoll_pwait(
    t: &Arc<Task>,
    epfd: i32,
    events: usize,
    maxevents: i32,
    timeout: i32,
    sigmask: usize,
    sigsetsize: usize,
) -> SysResult {
    read_mask(t, sigmask, sigsetsize)?;
    finish(t, wait(t, epfd, events, maxevents, deadline_after_ms(timeout)))
}

pub(super) fn epoll_pwait2(
    t: &Arc<Task>,
    epfd: i32,
    events: usize,
    maxevents: i32,
    timeout: usize,
    sigmask: usize,
    sigsetsize: usize,
) -> SysResult {
    let deadline = read_timeout(timeout)?;
    read_mask(t, sigmask, sigsetsize)?;
    finish(t, wait(t, epfd, events, maxevents, deadline))
}
