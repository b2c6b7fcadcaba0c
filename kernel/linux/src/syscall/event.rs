//! eventfd(2) and timerfd_create(2).

use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::file::eventfd::EventFd;
use crate::file::timerfd::{Setting, TimerFd};
use crate::mem::user;
use crate::task::Task;
use crate::task::cred::CAP_WAKE_ALARM;
use crate::time::{from_timespec, to_timespec};
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use raw::__kernel_itimerspec;

pub(super) fn eventfd(t: &Arc<Task>, initval: u32) -> SysResult {
    eventfd2(t, initval, 0)
}

pub(super) fn eventfd2(t: &Arc<Task>, initval: u32, flags: u32) -> SysResult {
    if flags & !(raw::EFD_CLOEXEC | raw::EFD_NONBLOCK | raw::EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let of = EventFd::open(initval.into(), flags);
    Ok(t.files().install(of, flags & raw::EFD_CLOEXEC != 0)? as usize)
}

pub(super) fn timerfd_create(t: &Arc<Task>, clockid: u32, flags: u32) -> SysResult {
    if flags & !(raw::TFD_CLOEXEC | raw::TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    match clockid {
        raw::CLOCK_REALTIME | raw::CLOCK_MONOTONIC | raw::CLOCK_BOOTTIME => {}
        raw::CLOCK_REALTIME_ALARM | raw::CLOCK_BOOTTIME_ALARM => {
            if !t.cred().capable(CAP_WAKE_ALARM) {
                return Err(Errno::EPERM);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    let of = TimerFd::open(clockid, flags);
    Ok(t.files().install(of, flags & raw::TFD_CLOEXEC != 0)? as usize)
}

fn timer(of: &OpenFile) -> Result<&TimerFd, Errno> {
    of.object.downcast().ok_or(Errno::EINVAL)
}

fn write_setting(address: usize, setting: Setting) -> Result<(), Errno> {
    let spec = __kernel_itimerspec {
        it_interval: to_timespec(setting.interval),
        it_value: to_timespec(setting.value),
    };
    user::write(address, &spec)
}

pub(super) fn timerfd_settime(
    t: &Arc<Task>,
    fd: i32,
    flags: u32,
    new_value: usize,
    old_value: usize,
) -> SysResult {
    let spec: __kernel_itimerspec = user::read(new_value)?;
    if flags & !(raw::TFD_TIMER_ABSTIME | raw::TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let setting =
        Setting { value: from_timespec(&spec.it_value)?, interval: from_timespec(&spec.it_interval)? };
    let of = t.files().get(fd)?;
    let old = timer(&of)?.set(flags, setting);
    if old_value != 0 {
        write_setting(old_value, old)?;
    }
    Ok(0)
}

pub(super) fn timerfd_gettime(t: &Arc<Task>, fd: i32, curr_value: usize) -> SysResult {
    let of = t.files().get(fd)?;
    write_setting(curr_value, timer(&of)?.get())?;
    Ok(0)
}
