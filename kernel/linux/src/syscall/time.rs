//! Clocks and timers: clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2).

use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::signal::{self, SIGNALS};
use crate::task::wait::{WaitEnd, WaitLimit, wait_event};
use crate::task::{Task, process};
use crate::time::clock::{self, Clock};
use crate::time::interval::{Notify, Setting};
use crate::time::{from_timespec, monotonic_ns, realtime_ns, to_timespec};
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use raw::{__kernel_itimerspec, __kernel_old_itimerval, __kernel_old_timeval};

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_US: u64 = 1000;
/// A clock tick, the unit of times(2).
const NS_PER_TICK: u64 = 10_000_000;

fn from_timeval(time: &__kernel_old_timeval) -> Result<u64, Errno> {
    match (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec)) {
        (Ok(seconds), Ok(us @ 0..1_000_000)) => {
            Ok(seconds.saturating_mul(NS_PER_S).saturating_add(us * NS_PER_US))
        }
        _ => Err(Errno::EINVAL),
    }
}

fn to_timeval(ns: u64) -> __kernel_old_timeval {
    __kernel_old_timeval { tv_sec: (ns / NS_PER_S) as i64, tv_usec: (ns % NS_PER_S / NS_PER_US) as i64 }
}

pub(super) fn clock_gettime(t: &Arc<Task>, clockid: i32, tp: usize) -> SysResult {
    let now = Clock::from_id(t, clockid)?.now();
    user::write(tp, &to_timespec(now))?;
    Ok(0)
}

pub(super) fn clock_getres(t: &Arc<Task>, clockid: i32, res: usize) -> SysResult {
    Clock::from_id(t, clockid)?;
    if res != 0 {
        user::write(res, &to_timespec(clock::resolution(clockid)))?;
    }
    Ok(0)
}

/// The guest's clock is its host's: nobody in the guest sets it, whatever his capabilities.
pub(super) fn clock_settime(t: &Arc<Task>, clockid: i32, tp: usize) -> SysResult {
    let settable = Clock::from_id(t, clockid)?;
    from_timespec(&user::read(tp)?)?;
    match settable {
        Clock::Realtime if clockid as u32 == raw::CLOCK_REALTIME => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn gettimeofday(_t: &Arc<Task>, tv: usize, tz: usize) -> SysResult {
    if tv != 0 {
        user::write(tv, &to_timeval(realtime_ns()))?;
    }
    if tz != 0 {
        user::write(tz, &[0_u32; 2])?;
    }
    Ok(0)
}

/// See `clock_settime`.
pub(super) fn settimeofday(_t: &Arc<Task>, tv: usize, tz: usize) -> SysResult {
    if tv != 0 {
        from_timeval(&user::read(tv)?)?;
    }
    if tz != 0 {
        user::read::<[u32; 2]>(tz)?;
    }
    Err(Errno::EPERM)
}

pub(super) fn time(_t: &Arc<Task>, tloc: usize) -> SysResult {
    let seconds = realtime_ns() / NS_PER_S;
    if tloc != 0 {
        user::write(tloc, &seconds)?;
    }
    Ok(seconds as usize)
}

pub(super) fn times(t: &Arc<Task>, buf: usize) -> SysResult {
    if buf != 0 {
        let (own, children) = (t.process().cpu_time(), t.process().children_time());
        let ticks = [own.0, own.1, children.0, children.1].map(|ns| ns / NS_PER_TICK);
        user::write(buf, &ticks)?;
    }
    Ok((monotonic_ns() / NS_PER_TICK) as usize)
}

/// Sleeps until `clock` shows `deadline`.
fn sleep_until(clock: &Clock, deadline: u64) -> Result<(), WaitEnd> {
    while clock.now() < deadline {
        let limit = WaitLimit { deadline: Some(clock.earliest(deadline)), ..WaitLimit::default() };
        match wait_event(&[], limit, || None::<()>) {
            Err(WaitEnd::Interrupted) => return Err(WaitEnd::Interrupted),
            Ok(()) | Err(WaitEnd::TimedOut) => {}
        }
    }
    Ok(())
}

/// A sleep for a time: interrupted, it says what is left and, unless a handler runs, goes on.
fn sleep_for(t: &Arc<Task>, clock: Clock, deadline: u64, rem: usize) -> SysResult {
    match sleep_until(&clock, deadline) {
        Ok(()) => Ok(0),
        Err(_) => {
            let left = deadline.saturating_sub(clock.now());
            if left == 0 {
                return Ok(0);
            }
            if rem != 0 {
                user::write(rem, &to_timespec(left))?;
            }
            Err(signal::restart_with(t, move |t| sleep_for(t, clock, deadline, rem)))
        }
    }
}

pub(super) fn nanosleep(t: &Arc<Task>, req: usize, rem: usize) -> SysResult {
    let time = from_timespec(&user::read(req)?)?;
    sleep_for(t, Clock::Monotonic, monotonic_ns().saturating_add(time), rem)
}

pub(super) fn clock_nanosleep(
    t: &Arc<Task>,
    clockid: i32,
    flags: u32,
    request: usize,
    remain: usize,
) -> SysResult {
    let clock = match Clock::from_id(t, clockid)? {
        // One's own time cannot pass while one sleeps.
        Clock::Thread(_) => return Err(Errno::EINVAL),
        clock => clock,
    };
    if matches!(
        clockid as u32,
        raw::CLOCK_REALTIME_COARSE | raw::CLOCK_MONOTONIC_COARSE | raw::CLOCK_MONOTONIC_RAW
    ) {
        return Err(Errno::EOPNOTSUPP);
    }
    let time = from_timespec(&user::read(request)?)?;
    if flags & raw::TIMER_ABSTIME == 0 {
        let deadline = clock.now().saturating_add(time);
        return sleep_for(t, clock, deadline, remain);
    }
    sleep_until(&clock, time).map_err(|_| Errno::ERESTARTNOHAND)?;
    Ok(0)
}

fn from_itimerval(value: &__kernel_old_itimerval) -> Result<Setting, Errno> {
    Ok(Setting { value: from_timeval(&value.it_value)?, interval: from_timeval(&value.it_interval)? })
}

fn to_itimerval(setting: Setting) -> __kernel_old_itimerval {
    // What is left never looks like nothing.
    let value = if setting.value == 0 { 0 } else { setting.value.max(NS_PER_US) };
    __kernel_old_itimerval { it_interval: to_timeval(setting.interval), it_value: to_timeval(value) }
}

pub(super) fn getitimer(t: &Arc<Task>, which: u32, curr_value: usize) -> SysResult {
    let timer = t.process().timers.itimer(t.process(), which)?;
    user::write(curr_value, &to_itimerval(timer.get()))?;
    Ok(0)
}

pub(super) fn setitimer(t: &Arc<Task>, which: u32, new_value: usize, old_value: usize) -> SysResult {
    // Linux takes a null pointer for zeros.
    let new = if new_value == 0 { Setting::default() } else { from_itimerval(&user::read(new_value)?)? };
    let old = t.process().timers.itimer(t.process(), which)?.set(new, false);
    if old_value != 0 {
        user::write(old_value, &to_itimerval(old))?;
    }
    Ok(0)
}

pub(super) fn alarm(t: &Arc<Task>, seconds: u32) -> SysResult {
    let timer = t.process().timers.itimer(t.process(), raw::ITIMER_REAL)?;
    let old = timer.set(Setting { value: u64::from(seconds) * NS_PER_S, interval: 0 }, false).value;
    // To the nearest second, but never 0 for an alarm that was set.
    let rounded = (old + NS_PER_S / 2) / NS_PER_S;
    Ok(if old > 0 { rounded.max(1) } else { 0 } as usize)
}

pub(super) fn timer_create(t: &Arc<Task>, clockid: i32, sevp: usize, timerid: usize) -> SysResult {
    let clock = Clock::from_id(t, clockid)?;
    match clockid as u32 {
        raw::CLOCK_REALTIME_COARSE | raw::CLOCK_MONOTONIC_COARSE | raw::CLOCK_MONOTONIC_RAW => {
            return Err(Errno::EOPNOTSUPP);
        }
        raw::CLOCK_REALTIME_ALARM | raw::CLOCK_BOOTTIME_ALARM => return Err(Errno::EOPNOTSUPP),
        _ => {}
    }
    let (notify, signo, value) = match sevp {
        0 => (Notify::Process, raw::SIGALRM, None),
        at => {
            // struct sigevent: value, signal and kind, thread.
            let [value, kind, thread] = user::read::<[u64; 3]>(at)?;
            let (signo, kind, tid) = (kind as u32, (kind >> 32) as u32, thread as i32);
            let notify = match kind {
                raw::SIGEV_NONE => Notify::Nobody,
                raw::SIGEV_SIGNAL | raw::SIGEV_THREAD => Notify::Process,
                kind if kind == raw::SIGEV_SIGNAL | raw::SIGEV_THREAD_ID => {
                    let target = process::find_task(tid).filter(|task| task.pid() == t.pid());
                    Notify::Thread(target.ok_or(Errno::EINVAL)?.tid())
                }
                _ => return Err(Errno::EINVAL),
            };
            if notify != Notify::Nobody && !(1..=SIGNALS as u32).contains(&signo) {
                return Err(Errno::EINVAL);
            }
            (notify, signo, Some(value))
        }
    };
    let timers = &t.process().timers;
    let id = timers.create(t.process(), clock, notify, signo, value)?;
    if let Err(error) = user::write(timerid, &id) {
        timers.delete(t.process(), id)?;
        return Err(error);
    }
    Ok(0)
}

fn to_itimerspec(setting: Setting) -> __kernel_itimerspec {
    __kernel_itimerspec { it_interval: to_timespec(setting.interval), it_value: to_timespec(setting.value) }
}

pub(super) fn timer_settime(
    t: &Arc<Task>,
    timerid: i32,
    flags: u32,
    new_value: usize,
    old_value: usize,
) -> SysResult {
    if new_value == 0 {
        return Err(Errno::EINVAL);
    }
    let new = user::read::<__kernel_itimerspec>(new_value)?;
    let new = Setting { value: from_timespec(&new.it_value)?, interval: from_timespec(&new.it_interval)? };
    let old = t.process().timers.posix(timerid)?.set(new, flags & raw::TIMER_ABSTIME != 0);
    if old_value != 0 {
        user::write(old_value, &to_itimerspec(old))?;
    }
    Ok(0)
}

pub(super) fn timer_gettime(t: &Arc<Task>, timerid: i32, curr_value: usize) -> SysResult {
    let setting = t.process().timers.posix(timerid)?.get();
    user::write(curr_value, &to_itimerspec(setting))?;
    Ok(0)
}

pub(super) fn timer_getoverrun(t: &Arc<Task>, timerid: i32) -> SysResult {
    Ok(t.process().timers.posix(timerid)?.overrun() as usize)
}

pub(super) fn timer_delete(t: &Arc<Task>, timerid: i32) -> SysResult {
    t.process().timers.delete(t.process(), timerid)?;
    Ok(0)
}

/// `struct timex` in words of 64 bits; its ints have a word of their own but for `tai`.
const TIMEX_WORDS: usize = 26;

/// Reads the state of the clock. It is steered by the host, so nothing can be changed, and as far as the guest knows it
/// is not synchronised.
pub(super) fn adjtimex(t: &Arc<Task>, buf: usize) -> SysResult {
    clock_adjtime(t, raw::CLOCK_REALTIME as i32, buf)
}

pub(super) fn clock_adjtime(t: &Arc<Task>, clockid: i32, buf: usize) -> SysResult {
    const STA_UNSYNC: u64 = 0x40;
    const TIME_ERROR: usize = 5;
    /// What Linux gives before anybody has disciplined the clock, in us.
    const WORST_ERROR_US: u64 = 16_000_000;
    const TOLERANCE: u64 = 32_768_000;
    const TICK_US: u64 = 10_000;
    match Clock::from_id(t, clockid)? {
        Clock::Realtime if clockid as u32 == raw::CLOCK_REALTIME => {}
        _ => return Err(Errno::EOPNOTSUPP),
    }
    let asked = user::read::<[u64; TIMEX_WORDS]>(buf)?;
    if asked[0] as u32 != 0 {
        return Err(Errno::EPERM);
    }
    let now = realtime_ns();
    let mut state = [0; TIMEX_WORDS];
    state[3] = WORST_ERROR_US;
    state[4] = WORST_ERROR_US;
    state[5] = STA_UNSYNC;
    state[6] = 2;
    state[7] = 1;
    state[8] = TOLERANCE;
    state[9] = now / NS_PER_S;
    state[10] = now % NS_PER_S / NS_PER_US;
    state[11] = TICK_US;
    user::write(buf, &state)?;
    Ok(TIME_ERROR)
}
