//! Timers that are read: timerfd_create(2).
//!
//! Like Linux, a periodic timer is armed again only when somebody looks (read, gettime): one that nobody reads costs
//! nothing after its first expiration, and the missed ones are counted from the clock.

use super::anon::{self, Identity};
use super::io::Sink;
use super::{File, OpenFile};
use crate::errno::{Errno, SysResult};
use crate::fs::Stat;
use crate::task::wait::{WaitLimit, WaitQueue, wait_event};
use crate::time::timer::{Expire, Timer};
use crate::time::{monotonic_ns, realtime_ns};
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;
use raw::{EPOLLIN, EPOLLRDNORM};

/// Timers that may follow CLOCK_REALTIME when it is set.
static REALTIME: Global<KCell<Vec<Weak<TimerFd>>>> = Global::new(KCell::default);

/// A setting: ns until (or at) the first expiration, 0 when disarmed; ns between further ones, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    pub value: u64,
    pub interval: u64,
}

#[derive(Default)]
struct State {
    /// When the next expiration is due, on the realtime clock if `realtime`, else on the monotonic one.
    deadline: Option<u64>,
    interval: u64,
    /// Absolute on CLOCK_REALTIME: moves when that clock is set.
    realtime: bool,
    /// Expirations not read yet.
    ticks: u64,
    /// Expired, and not armed again since.
    expired: bool,
    /// TFD_TIMER_CANCEL_ON_SET.
    cancel_on_set: bool,
    canceled: bool,
    flags: u32,
}

impl State {
    fn now(&self) -> u64 {
        if self.realtime { realtime_ns() } else { monotonic_ns() }
    }

    /// The deadline in monotonic ns.
    fn wake_time(&self) -> Option<u64> {
        let deadline = self.deadline?;
        Some(if self.realtime {
            monotonic_ns().saturating_add(deadline.saturating_sub(realtime_ns()))
        } else {
            deadline
        })
    }

    /// Counts the expirations missed since the last one and moves the deadline past now. True: arm the timer.
    fn forward(&mut self) -> bool {
        if !core::mem::take(&mut self.expired) {
            return false;
        }
        let Some(deadline) = self.deadline.filter(|_| self.interval > 0) else {
            self.deadline = None;
            return false;
        };
        let missed = self.now().saturating_sub(deadline) / self.interval;
        self.ticks += missed;
        self.deadline = Some(deadline.saturating_add((missed + 1).saturating_mul(self.interval)));
        true
    }
}

/// What a read can find.
enum Outcome {
    Ticks(u64),
    Canceled,
}

/// One timer with a descriptor.
pub struct TimerFd {
    clock: u32,
    state: KCell<State>,
    timer: Timer,
    queue: WaitQueue,
    identity: Identity,
}

impl TimerFd {
    /// `flags`: O_NONBLOCK.
    pub fn open(clock: u32, flags: u32) -> Arc<OpenFile> {
        let timer = Arc::new_cyclic(|me: &Weak<Self>| Self {
            clock,
            state: KCell::default(),
            timer: Timer::new(me.clone()),
            queue: WaitQueue::new(),
            identity: Identity::anonymous(),
        });
        if timer.on_realtime() {
            let mut all = REALTIME.borrow_mut();
            all.retain(|timer| timer.strong_count() > 0);
            all.push(Arc::downgrade(&timer));
        }
        OpenFile::new(timer, raw::O_RDWR | (flags & raw::O_NONBLOCK), None)
    }

    fn on_realtime(&self) -> bool {
        matches!(self.clock, raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_ALARM)
    }

    fn arm(&self) {
        let wake_time = self.state.borrow().wake_time();
        match wake_time {
            Some(deadline) => self.timer.arm(deadline),
            None => self.timer.disarm(),
        }
    }

    /// timerfd_gettime(2).
    pub fn get(&self) -> Setting {
        let (forwarded, setting) = {
            let mut state = self.state.borrow_mut();
            let forwarded = state.forward();
            let left = state.deadline.map_or(0, |deadline| deadline.saturating_sub(state.now()).max(1));
            (forwarded, Setting { value: left, interval: state.interval })
        };
        if forwarded {
            self.arm();
        }
        setting
    }

    /// timerfd_settime(2), with its TFD_* flags; returns the old setting.
    pub fn set(&self, flags: u32, setting: Setting) -> Setting {
        let old = self.get();
        {
            let mut state = self.state.borrow_mut();
            let absolute = flags & raw::TFD_TIMER_ABSTIME != 0;
            let realtime = absolute && self.on_realtime();
            *state = State {
                interval: setting.interval,
                realtime,
                cancel_on_set: realtime && flags & raw::TFD_TIMER_CANCEL_ON_SET != 0,
                flags,
                ..State::default()
            };
            state.deadline = (setting.value > 0).then(|| match absolute {
                true => setting.value,
                false => state.now().saturating_add(setting.value),
            });
        }
        self.arm();
        old
    }

    fn take(&self) -> Option<Outcome> {
        let (outcome, forwarded) = {
            let mut state = self.state.borrow_mut();
            if core::mem::take(&mut state.canceled) {
                state.ticks = 0;
                state.expired = false;
                return Some(Outcome::Canceled);
            }
            if state.ticks == 0 {
                return None;
            }
            let forwarded = state.forward();
            (Outcome::Ticks(core::mem::take(&mut state.ticks)), forwarded)
        };
        if forwarded {
            self.arm();
        }
        Some(outcome)
    }
}

impl Expire for TimerFd {
    fn expire(&self) {
        {
            let mut state = self.state.borrow_mut();
            state.expired = true;
            state.ticks += 1;
        }
        self.queue.wake_all(EPOLLIN | EPOLLRDNORM);
    }
}

/// CLOCK_REALTIME was set: absolute timers on it get their new moment, and those that asked for it are cancelled.
pub fn clock_was_set() {
    let timers: Vec<_> = REALTIME.borrow().iter().filter_map(Weak::upgrade).collect();
    for timer in timers {
        let (moved, canceled) = {
            let mut state = timer.state.borrow_mut();
            state.canceled |= state.cancel_on_set;
            (state.realtime && !state.expired, state.cancel_on_set)
        };
        if moved {
            timer.arm();
        }
        if canceled {
            timer.queue.wake_all(EPOLLIN | EPOLLRDNORM);
        }
    }
}

impl File for TimerFd {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        if sink.left() < 8 {
            return Err(Errno::EINVAL);
        }
        let outcome = match self.take() {
            Some(outcome) => outcome,
            None if of.nonblocking() => return Err(Errno::EAGAIN),
            None => wait_event(&[&self.queue], WaitLimit::default(), || self.take())
                .map_err(|_| Errno::ERESTARTSYS)?,
        };
        match outcome {
            Outcome::Ticks(ticks) => sink.put(&ticks.to_ne_bytes()),
            Outcome::Canceled => Err(Errno::ECANCELED),
        }
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        let state = self.state.borrow();
        if state.ticks > 0 || state.canceled { EPOLLIN } else { 0 }
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.identity.stat())
    }

    fn link(&self) -> String {
        anon::link("[timerfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let setting = self.get();
        let split = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
        let state = self.state.borrow();
        let _ = writeln!(out, "clockid: {}\nticks: {}", self.clock, state.ticks);
        let _ = writeln!(out, "settime flags: 0{:o}", state.flags);
        let _ =
            writeln!(out, "it_value: {:?}\nit_interval: {:?}", split(setting.value), split(setting.interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task;
    use crate::time::timer::run_expired;

    fn read(of: &OpenFile) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        of.read(&mut Sink::Kernel(&mut bytes))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn timer(clock: u32) -> Arc<OpenFile> {
        TimerFd::open(clock, raw::O_NONBLOCK)
    }

    fn object(of: &OpenFile) -> &TimerFd {
        of.object.downcast().expect("a timer")
    }

    #[test]
    fn a_timer_is_read_once_it_has_expired() {
        let _task = task::test::enter();
        let of = timer(raw::CLOCK_MONOTONIC);
        assert_eq!(object(&of).set(0, Setting { value: 1, interval: 0 }), Setting::default());
        assert_eq!(read(&of), Err(Errno::EAGAIN));
        run_expired(monotonic_ns() + 10);
        assert_eq!(of.object.poll(&of), EPOLLIN);
        assert_eq!(read(&of), Ok(1));
        assert_eq!(read(&of), Err(Errno::EAGAIN));
        assert_eq!(object(&of).get(), Setting::default());
    }

    #[test]
    fn missed_expirations_are_counted_when_somebody_looks() {
        let _task = task::test::enter();
        let of = timer(raw::CLOCK_MONOTONIC);
        let (start, interval) = (1, 1_000_000);
        object(&of).set(raw::TFD_TIMER_ABSTIME, Setting { value: start, interval });
        let due = monotonic_ns() / interval;
        run_expired(monotonic_ns());
        assert!(due > 100 && read(&of).unwrap() >= due);
        let left = object(&of).get();
        assert!(left.value > 0 && left.value <= interval && left.interval == interval);
    }

    #[test]
    fn setting_the_clock_cancels_only_those_that_asked() {
        let _task = task::test::enter();
        let (asked, other) = (timer(raw::CLOCK_REALTIME), timer(raw::CLOCK_REALTIME));
        let later = Setting { value: realtime_ns() + 1_000_000_000_000, interval: 0 };
        object(&asked).set(raw::TFD_TIMER_ABSTIME | raw::TFD_TIMER_CANCEL_ON_SET, later);
        object(&other).set(raw::TFD_TIMER_ABSTIME, later);
        clock_was_set();
        assert_eq!(read(&asked), Err(Errno::ECANCELED));
        assert_eq!(read(&asked), Err(Errno::EAGAIN));
        assert_eq!(read(&other), Err(Errno::EAGAIN));
        let left = object(&other).get().value;
        assert!(left > 0 && left <= 1_000_000_000_000);
    }
}
