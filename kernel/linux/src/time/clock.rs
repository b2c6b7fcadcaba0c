//! The clocks of clock_gettime(2).

use super::{monotonic_ns, realtime_ns};
use crate::errno::Errno;
use crate::task::process::{self, Process};
use crate::task::{Pid, Task};
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;

/// A clock, by what it counts.
#[derive(Clone)]
pub enum Clock {
    /// The time of day. Nobody in the guest sets it, so it runs in step with `Monotonic`.
    Realtime,
    Monotonic,
    /// CPU time of a process.
    Process(Weak<Process>),
    /// CPU time of one thread.
    Thread(Weak<Task>),
}

/// The low bits of the id of a CPU clock say what it counts; the rest is the complement of a process id.
const CPU_CLOCK_WHAT: i32 = 3;
const CPU_CLOCK_FD: i32 = 3;
const CPU_CLOCK_THREAD: i32 = 4;

impl Clock {
    /// By id, as seen by `t`: EINVAL if there is no such clock.
    pub fn from_id(t: &Arc<Task>, id: i32) -> Result<Self, Errno> {
        if id < 0 {
            return Self::of_other(t, id);
        }
        match id as u32 {
            raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_COARSE | raw::CLOCK_REALTIME_ALARM | raw::CLOCK_TAI => {
                Ok(Self::Realtime)
            }
            raw::CLOCK_MONOTONIC
            | raw::CLOCK_MONOTONIC_RAW
            | raw::CLOCK_MONOTONIC_COARSE
            | raw::CLOCK_BOOTTIME
            | raw::CLOCK_BOOTTIME_ALARM => Ok(Self::Monotonic),
            raw::CLOCK_PROCESS_CPUTIME_ID => Ok(Self::Process(Arc::downgrade(t.process()))),
            raw::CLOCK_THREAD_CPUTIME_ID => Ok(Self::Thread(Arc::downgrade(t))),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The CPU clock of a process (clock_getcpuclockid(3)) or of a thread of the caller's process.
    fn of_other(t: &Arc<Task>, id: i32) -> Result<Self, Errno> {
        if id & CPU_CLOCK_WHAT == CPU_CLOCK_FD {
            return Err(Errno::EINVAL);
        }
        let pid: Pid = !(id >> 3);
        if id & CPU_CLOCK_THREAD != 0 {
            let task = if pid == 0 { Some(t.clone()) } else { process::find_task(pid) };
            let task = task.filter(|task| task.pid() == t.pid()).ok_or(Errno::EINVAL)?;
            return Ok(Self::Thread(Arc::downgrade(&task)));
        }
        let process = if pid == 0 { Some(t.process().clone()) } else { process::find(pid) };
        Ok(Self::Process(Arc::downgrade(&process.ok_or(Errno::EINVAL)?)))
    }

    /// What it shows, in ns. The CPU clock of who has ended shows 0.
    pub fn now(&self) -> u64 {
        let sum = |(user, system): (u64, u64)| user + system;
        match self {
            Self::Realtime => realtime_ns(),
            Self::Monotonic => monotonic_ns(),
            Self::Process(process) => process.upgrade().map_or(0, |process| sum(process.cpu_time())),
            Self::Thread(task) => task.upgrade().map_or(0, |task| sum(task.cpu_time())),
        }
    }

    /// Whether it runs only while somebody computes.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Self::Process(_) | Self::Thread(_))
    }

    /// A moment in monotonic ns that is not after the clock shows `deadline`. For CPU clocks it may be before: whoever
    /// waits looks again then.
    pub fn earliest(&self, deadline: u64) -> u64 {
        /// A CPU clock is not looked at more often.
        const CPU_GRAIN_NS: u64 = 1_000_000;
        let left = deadline.saturating_sub(self.now());
        let left = match self {
            Self::Realtime | Self::Monotonic => left,
            Self::Thread(_) => left.max(CPU_GRAIN_NS),
            // All vCPUs may add to it at once.
            Self::Process(_) => (left / u64::from(crate::task::sched::cpu_count())).max(CPU_GRAIN_NS),
        };
        monotonic_ns().saturating_add(left)
    }
}

/// The resolution of a clock in ns, by id.
pub fn resolution(id: i32) -> u64 {
    const COARSE_NS: u64 = 4_000_000;
    match u32::try_from(id) {
        Ok(raw::CLOCK_REALTIME_COARSE | raw::CLOCK_MONOTONIC_COARSE) => COARSE_NS,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;
    use crate::task::test::enter;

    #[test]
    fn cpu_clocks_of_processes_and_threads_have_ids_of_their_own() {
        let t = enter();
        t.sched.add_run_time(12);
        let of = |pid: i32, what: i32| (!pid << 3) | what;
        for id in [2, 3, of(0, 2), of(t.pid(), 2), of(0, 6), of(t.tid(), 6)] {
            assert_eq!(Clock::from_id(&t, id).ok().map(|clock| clock.now()), Some(12), "clock {id}");
        }
        for id in [10, 12, 99, of(0, 3), of(4_000_000, 2), of(4_000_000, 6)] {
            assert!(Clock::from_id(&t, id).is_err(), "clock {id}");
        }
    }
}
