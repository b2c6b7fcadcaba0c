//! What a task carries along besides its identity: scheduling wishes, personality, prctl(2) settings.

use linux_raw_sys::general as raw;

/// Nanoseconds by which Linux may delay a normal task's timer.
pub const TIMER_SLACK_NS: u64 = 50_000;

/// Attributes of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// SCHED_*.
    pub policy: u32,
    /// Real-time priority, 1..=99, or 0.
    pub priority: u32,
    /// -20 (most) to 19 (least favourable).
    pub nice: i32,
    /// Children start with SCHED_OTHER.
    pub reset_on_fork: bool,
    /// vCPUs it may run on, by number.
    pub affinity: u64,
    /// ioprio_set(2).
    pub io_priority: u32,
    /// personality(2).
    pub personality: u32,
    /// Signal it gets when the process that made it ends, or 0.
    pub death_signal: u32,
    /// PR_SET_TIMERSLACK, and what 0 resets it to.
    pub timer_slack: u64,
    pub default_timer_slack: u64,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            policy: raw::SCHED_NORMAL,
            priority: 0,
            nice: 0,
            reset_on_fork: false,
            affinity: u64::MAX,
            io_priority: 0,
            personality: 0,
            death_signal: 0,
            timer_slack: TIMER_SLACK_NS,
            default_timer_slack: TIMER_SLACK_NS,
        }
    }
}

impl Attributes {
    /// What clone(2) gives a new task.
    pub fn for_child(&self) -> Self {
        let mut child = Self { death_signal: 0, default_timer_slack: self.timer_slack, ..*self };
        if self.reset_on_fork {
            child.reset_on_fork = false;
            child.nice = self.nice.max(0);
            if matches!(self.policy, raw::SCHED_FIFO | raw::SCHED_RR) {
                (child.policy, child.priority, child.nice) = (raw::SCHED_NORMAL, 0, 0);
            }
        }
        child
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, raw};

    #[test]
    fn children_inherit_what_they_may() {
        let nice = Attributes { nice: 5, death_signal: 9, timer_slack: 7, ..Attributes::default() };
        let child = nice.for_child();
        assert_eq!((child.nice, child.death_signal, child.default_timer_slack), (5, 0, 7));
        let realtime =
            Attributes { policy: raw::SCHED_RR, priority: 3, reset_on_fork: true, nice: -3, ..nice };
        let child = realtime.for_child();
        assert_eq!((child.policy, child.priority, child.nice), (raw::SCHED_NORMAL, 0, 0));
        assert!(!child.reset_on_fork);
    }
}
