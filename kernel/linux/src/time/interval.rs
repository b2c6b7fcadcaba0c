//! Timers that send signals: setitimer(2), alarm(2), timer_create(2).
//!
//! A timer keeps its deadline on its own clock and a kernel timer for the wall clock. A CPU clock has no moment known
//! ahead: its timer wakes when the time could have been used up at the earliest, looks, and sleeps on. Expirations are
//! counted from the clock, so a callback that comes late loses none.

use super::clock::Clock;
use super::monotonic_ns;
use super::timer::{Expire, Timer};
use crate::errno::Errno;
use crate::signal::{self, SigInfo, To};
use crate::task::process::Process;
use crate::task::{Pid, process};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use husk_machine::cell::KCell;
use linux_raw_sys::general as raw;

const NS_PER_S: u64 = 1_000_000_000;

/// Shorter intervals expire no more often; the overrun counts what was left out.
const SHORTEST_NS: u64 = 50_000;

/// A setting in ns: until the first expiration, 0 when disarmed; between further ones, 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    pub value: u64,
    pub interval: u64,
}

/// Whom a POSIX timer tells (SIGEV_*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    Nobody,
    Process,
    Thread(Pid),
}

/// What an expiration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// setitimer(2): a signal to the process.
    Itimer { signo: u32 },
    /// RLIMIT_CPU: SIGXCPU each second above the soft limit, SIGKILL at the hard one.
    CpuLimit,
    /// timer_create(2).
    Posix { id: i32, notify: Notify, signo: u32, value: u64 },
}

#[derive(Default)]
struct State {
    /// The next expiration, on the timer's clock.
    deadline: Option<u64>,
    interval: u64,
    /// Overrun of the signal that was taken last.
    overrun: u32,
}

/// One timer.
pub struct IntervalTimer {
    owner: Weak<Process>,
    clock: Clock,
    effect: Effect,
    state: KCell<State>,
    timer: Timer,
}

impl IntervalTimer {
    fn new(owner: &Arc<Process>, clock: Clock, effect: Effect) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            owner: Arc::downgrade(owner),
            clock,
            effect,
            state: KCell::default(),
            timer: Timer::new(me.clone()),
        })
    }

    /// What is left until the next expiration, and the interval. One that is due has 1 ns left.
    pub fn get(&self) -> Setting {
        let now = self.clock.now();
        let mut state = self.state.borrow_mut();
        let notifies = !matches!(self.effect, Effect::Posix { notify: Notify::Nobody, .. });
        if !notifies {
            advance(&mut state, now);
        }
        let value = state.deadline.map_or(0, |deadline| deadline.saturating_sub(now).max(1));
        Setting { value, interval: state.interval }
    }

    /// Sets it anew; with `absolute`, `value` is a moment of its clock. Gives the old setting.
    pub fn set(&self, new: Setting, absolute: bool) -> Setting {
        let old = self.get();
        let deadline = match new.value {
            0 => None,
            value if absolute => Some(value),
            value => Some(self.clock.now().saturating_add(value)),
        };
        {
            let mut state = self.state.borrow_mut();
            state.deadline = deadline;
            state.interval = new.interval;
            state.overrun = 0;
        }
        self.arm(0);
        old
    }

    /// Overrun of the last signal: timer_getoverrun(2).
    pub fn overrun(&self) -> u32 {
        self.state.borrow().overrun
    }

    /// Sets the kernel timer for the next expiration, not before monotonic `floor`.
    fn arm(&self, floor: u64) {
        let deadline = self.state.borrow().deadline;
        match deadline {
            _ if matches!(self.effect, Effect::Posix { notify: Notify::Nobody, .. }) => {}
            Some(deadline) => self.timer.arm(self.clock.earliest(deadline).max(floor)),
            None => self.timer.disarm(),
        }
    }
}

/// Moves the deadline past `now` and gives the number of expirations passed.
fn advance(state: &mut State, now: u64) -> u64 {
    let Some(deadline) = state.deadline.filter(|deadline| *deadline <= now) else { return 0 };
    if state.interval == 0 {
        state.deadline = None;
        return 1;
    }
    let passed = (now - deadline) / state.interval + 1;
    state.deadline = Some(deadline.saturating_add(passed.saturating_mul(state.interval)));
    passed
}

impl Expire for IntervalTimer {
    fn expire(&self) {
        let Some(owner) = self.owner.upgrade() else { return };
        let passed = advance(&mut self.state.borrow_mut(), self.clock.now());
        self.arm(monotonic_ns().saturating_add(SHORTEST_NS));
        if passed == 0 {
            return;
        }
        let any = if self.clock.is_cpu() { To::RunningThread } else { To::AnyThread };
        match self.effect {
            Effect::Itimer { signo } => signal::send_timer(&owner, any, SigInfo::kernel(signo)),
            Effect::CpuLimit => {
                let hard = owner.rlimit(raw::RLIMIT_CPU).rlim_max.saturating_mul(NS_PER_S);
                let signo = if self.clock.now() >= hard { raw::SIGKILL } else { raw::SIGXCPU };
                signal::send_timer(&owner, any, SigInfo::kernel(signo));
            }
            Effect::Posix { id, notify, signo, value } => {
                let overrun = u32::try_from(passed - 1).unwrap_or(u32::MAX).min(i32::MAX as u32);
                let info = SigInfo::timer(signo, id, overrun, value);
                match notify {
                    Notify::Nobody => {}
                    Notify::Process => signal::send_timer(&owner, any, info),
                    Notify::Thread(tid) => {
                        if let Some(task) = process::find_task(tid) {
                            signal::send_timer(&owner, To::Thread(&task), info);
                        }
                    }
                }
            }
        }
    }
}

/// The timers of a process. A child has none; execve(2) keeps the itimers.
#[derive(Default)]
pub struct ProcessTimers {
    /// By ITIMER_*, made when first set.
    itimers: KCell<[Option<Arc<IntervalTimer>>; 3]>,
    /// Made when RLIMIT_CPU is first set.
    cpu_limit: KCell<Option<Arc<IntervalTimer>>>,
    posix: KCell<BTreeMap<i32, Arc<IntervalTimer>>>,
    next_id: KCell<i32>,
}

impl ProcessTimers {
    /// The timer ITIMER_REAL, ITIMER_VIRTUAL or ITIMER_PROF of `owner`, whose timers these are. EINVAL for others.
    pub fn itimer(&self, owner: &Arc<Process>, which: u32) -> Result<Arc<IntervalTimer>, Errno> {
        let (clock, signo) = match which {
            raw::ITIMER_REAL => (Clock::Monotonic, raw::SIGALRM),
            raw::ITIMER_VIRTUAL => (Clock::Process(Arc::downgrade(owner)), raw::SIGVTALRM),
            raw::ITIMER_PROF => (Clock::Process(Arc::downgrade(owner)), raw::SIGPROF),
            _ => return Err(Errno::EINVAL),
        };
        let mut itimers = self.itimers.borrow_mut();
        let slot = &mut itimers[which as usize];
        let timer = slot.get_or_insert_with(|| IntervalTimer::new(owner, clock, Effect::Itimer { signo }));
        Ok(timer.clone())
    }

    /// Takes over the RLIMIT_CPU of `owner`, whose timers these are: it was set, or inherited.
    pub fn watch_cpu_limit(&self, owner: &Arc<Process>) {
        let soft = owner.rlimit(raw::RLIMIT_CPU).rlim_cur;
        if soft == u64::MAX {
            drop(self.cpu_limit.take());
            return;
        }
        let timer = self
            .cpu_limit
            .borrow_mut()
            .get_or_insert_with(|| {
                IntervalTimer::new(owner, Clock::Process(Arc::downgrade(owner)), Effect::CpuLimit)
            })
            .clone();
        // Linux takes a limit of 0 for one second.
        let value = soft.max(1).saturating_mul(NS_PER_S);
        timer.set(Setting { value, interval: NS_PER_S }, true);
    }

    /// timer_create(2): the id. `value` of `None` is the id itself. EAGAIN when the process has as many timers as
    /// RLIMIT_SIGPENDING allows signals.
    pub fn create(
        &self,
        owner: &Arc<Process>,
        clock: Clock,
        notify: Notify,
        signo: u32,
        value: Option<u64>,
    ) -> Result<i32, Errno> {
        let limit = owner.rlimit(raw::RLIMIT_SIGPENDING).rlim_cur;
        let mut posix = self.posix.borrow_mut();
        if posix.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        let mut id = self.next_id.get();
        while posix.contains_key(&id) {
            id = if id == i32::MAX { 0 } else { id + 1 };
        }
        self.next_id.set(if id == i32::MAX { 0 } else { id + 1 });
        let value = value.unwrap_or(id as u64);
        posix.insert(id, IntervalTimer::new(owner, clock, Effect::Posix { id, notify, signo, value }));
        Ok(id)
    }

    /// A POSIX timer; EINVAL if there is none with this id.
    pub fn posix(&self, id: i32) -> Result<Arc<IntervalTimer>, Errno> {
        self.posix.borrow().get(&id).cloned().ok_or(Errno::EINVAL)
    }

    /// timer_delete(2).
    pub fn delete(&self, owner: &Process, id: i32) -> Result<(), Errno> {
        let timer = self.posix.borrow_mut().remove(&id).ok_or(Errno::EINVAL)?;
        drop(timer);
        signal::drop_timer(owner, id);
        Ok(())
    }

    /// Ends all POSIX timers (execve).
    pub fn clear_posix(&self, owner: &Process) {
        for id in self.posix.take().into_keys() {
            signal::drop_timer(owner, id);
        }
    }

    /// Ends all timers: the process ends.
    pub fn clear(&self) {
        drop(self.itimers.take());
        drop(self.cpu_limit.take());
        drop(self.posix.take());
    }

    /// The signal of a timer was taken: its overrun is now the one that timer_getoverrun(2) tells.
    pub fn signal_taken(&self, info: &SigInfo) {
        let (id, overrun) = info.pair();
        if let Some(timer) = self.posix.borrow().get(&(id as i32)) {
            timer.state.borrow_mut().overrun = overrun;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::test::enter;
    use alloc::vec::Vec;

    #[test]
    fn deadlines_advance_by_whole_intervals() {
        let mut state = State { deadline: Some(100), interval: 30, overrun: 0 };
        assert_eq!(advance(&mut state, 99), 0);
        assert_eq!((advance(&mut state, 100), state.deadline), (1, Some(130)));
        assert_eq!((advance(&mut state, 190), state.deadline), (3, Some(220)));
        let mut once = State { deadline: Some(5), interval: 0, overrun: 0 };
        assert_eq!((advance(&mut once, 50), once.deadline, advance(&mut once, 60)), (1, None, 0));
    }

    #[test]
    fn a_posix_timer_sends_once_and_counts_overrun() {
        let t = enter();
        signal::set_mask(&t, !0);
        let timers = &t.process().timers;
        let id =
            timers.create(t.process(), Clock::Monotonic, Notify::Process, raw::SIGUSR1, None).expect("id");
        let timer = timers.posix(id).expect("timer");
        timer.set(Setting { value: 1, interval: 1000 }, true);
        for _ in 0..3 {
            timer.expire();
        }
        let info = signal::take(&t, !0).expect("a signal");
        assert_eq!((info.signo, info.code, info.value()), (raw::SIGUSR1, signal::SI_TIMER, id as u64));
        assert!(info.pair().1 > 0 && timer.overrun() == info.pair().1);
        assert_eq!(signal::take(&t, !0), None);
        timer.set(Setting { value: 1, interval: 0 }, true);
        timer.expire();
        assert_eq!(timers.delete(t.process(), id), Ok(()));
        assert_eq!(signal::take(&t, !0), None, "gone with its timer");
        assert!(timers.posix(id).is_err());
    }

    #[test]
    fn the_alarm_is_armed_told_and_replaced() {
        let t = enter();
        let alarm = t.process().timers.itimer(t.process(), raw::ITIMER_REAL).expect("timer");
        assert_eq!(alarm.set(Setting { value: 5_000_000_000, interval: 0 }, false), Setting::default());
        let left = alarm.set(Setting::default(), false).value;
        assert!(left > 0 && left <= 5_000_000_000);
        assert_eq!(alarm.get(), Setting::default());
        assert!(t.process().timers.itimer(t.process(), 3).is_err());
    }

    #[test]
    fn a_cpu_timer_waits_for_cpu_time() {
        let t = enter();
        let profile = t.process().timers.itimer(t.process(), raw::ITIMER_PROF).expect("timer");
        profile.set(Setting { value: 1_000_000, interval: 0 }, false);
        profile.expire();
        assert_eq!(t.process().signals.pending(), 0);
        t.sched.add_run_time(1_000_000);
        profile.expire();
        assert_eq!(t.process().signals.pending(), signal::bit(raw::SIGPROF));
    }

    #[test]
    fn a_cpu_limit_warns_each_second_and_then_kills() {
        let t = enter();
        let process = t.process();
        process.set_rlimit(raw::RLIMIT_CPU, raw::rlimit64 { rlim_cur: 2, rlim_max: 4 });
        process.timers.watch_cpu_limit(process);
        let timer = process.timers.cpu_limit.borrow().clone().expect("a timer");
        let mut seen = Vec::new();
        for _ in 0..4 {
            t.sched.add_run_time(NS_PER_S);
            timer.expire();
            seen.push(signal::take(&t, !0).map(|info| info.signo));
        }
        assert_eq!(seen, [None, Some(raw::SIGXCPU), Some(raw::SIGXCPU), Some(raw::SIGKILL)]);
    }
}
