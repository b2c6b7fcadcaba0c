//! Pending signals of a thread or of a process: a set, and the queue of what came with them.

use super::info::{SI_TIMER, SI_USER, SigInfo};
use super::{SigSet, bit};
use alloc::collections::VecDeque;
use linux_raw_sys::general as raw;

/// First real-time signal: from here on each one sent is queued; below, one at most is pending.
pub const SIGRTMIN: u32 = 32;

/// Taken before all others, as they say where the program stands.
const SYNCHRONOUS: SigSet = bit(raw::SIGSEGV)
    | bit(raw::SIGBUS)
    | bit(raw::SIGILL)
    | bit(raw::SIGTRAP)
    | bit(raw::SIGFPE)
    | bit(raw::SIGSYS);

/// Invariant: a signal with an entry in the queue is in the set. One may be in the set with no entry: its `siginfo` was
/// lost to the limit on queued signals.
#[derive(Debug, Default)]
pub(super) struct Pending {
    set: SigSet,
    queue: VecDeque<SigInfo>,
}

impl Pending {
    pub(super) fn set(&self) -> SigSet {
        self.set
    }

    /// How many are queued.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Adds a signal. A standard signal that is pending already stays as it is. False: the queue has `limit` entries,
    /// and the sender must learn of it (EAGAIN).
    pub(super) fn push(&mut self, info: SigInfo, limit: u64) -> bool {
        let realtime = info.signo >= SIGRTMIN;
        if !realtime && self.set & bit(info.signo) != 0 {
            return true;
        }
        if realtime && self.queue.len() as u64 >= limit {
            if info.code != SI_USER {
                return false;
            }
        } else {
            self.queue.push_back(info);
        }
        self.set |= bit(info.signo);
        true
    }

    /// Adds the expiry of a timer, which has at most one entry: a further expiry counts as overrun in it.
    pub(super) fn push_timer(&mut self, info: SigInfo) {
        let (id, overrun) = info.pair();
        let same = |other: &&mut SigInfo| {
            other.signo == info.signo && other.code == SI_TIMER && other.pair().0 == id
        };
        if let Some(entry) = self.queue.iter_mut().find(same) {
            let total = entry.pair().1.saturating_add(overrun).saturating_add(1).min(i32::MAX as u32);
            entry.fields[0] = u64::from(id) | u64::from(total) << 32;
            return;
        }
        self.queue.push_back(info);
        self.set |= bit(info.signo);
    }

    /// The signal to take next of those in `wanted`.
    pub(super) fn next(&self, wanted: SigSet) -> Option<u32> {
        let ready = self.set & wanted;
        let first = if ready & SYNCHRONOUS != 0 { ready & SYNCHRONOUS } else { ready };
        (first != 0).then(|| first.trailing_zeros() + 1)
    }

    /// Takes the oldest entry of the next signal in `wanted`.
    pub(super) fn take(&mut self, wanted: SigSet) -> Option<SigInfo> {
        let signo = self.next(wanted)?;
        let mut found = None;
        let mut more = false;
        for (index, entry) in self.queue.iter().enumerate().filter(|(_, entry)| entry.signo == signo) {
            if found.is_some() {
                more = true;
                break;
            }
            found = Some((index, *entry));
        }
        if !more {
            self.set &= !bit(signo);
        }
        let Some((index, info)) = found else {
            return Some(SigInfo { signo, code: SI_USER, errno: 0, fields: [0; 4] });
        };
        self.queue.remove(index);
        Some(info)
    }

    /// Takes a signal that the receiver's own instruction caused.
    pub(super) fn take_synchronous(&mut self, wanted: SigSet) -> Option<SigInfo> {
        if self.set & wanted & SYNCHRONOUS == 0 {
            return None;
        }
        let index =
            self.queue.iter().position(|entry| entry.is_synchronous() && bit(entry.signo) & wanted != 0)?;
        let info = self.queue.remove(index)?;
        if !self.queue.iter().any(|entry| entry.signo == info.signo) {
            self.set &= !bit(info.signo);
        }
        Some(info)
    }

    /// Drops all signals in `set`.
    pub(super) fn flush(&mut self, set: SigSet) {
        if self.set & set != 0 {
            self.set &= !set;
            self.queue.retain(|entry| bit(entry.signo) & set == 0);
        }
    }

    /// Drops what a timer queued.
    pub(super) fn flush_timer(&mut self, id: i32) {
        let of_timer = |entry: &SigInfo| entry.code == SI_TIMER && entry.pair().0 == id as u32;
        let Some(signo) = self.queue.iter().find(|entry| of_timer(entry)).map(|entry| entry.signo) else {
            return;
        };
        self.queue.retain(|entry| !of_timer(entry));
        if !self.queue.iter().any(|entry| entry.signo == signo) {
            self.set &= !bit(signo);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pending, SIGRTMIN, SigInfo};
    use crate::signal::info::SI_QUEUE;
    use crate::signal::{ALL, bit};
    use linux_raw_sys::general as raw;

    fn value(signo: u32, value: u64) -> SigInfo {
        SigInfo { signo, code: SI_QUEUE, errno: 0, fields: [0, value, 0, 0] }
    }

    #[test]
    fn standard_signals_merge_and_real_time_ones_queue_in_order() {
        let mut pending = Pending::default();
        assert!(pending.push(value(raw::SIGUSR1, 1), 100));
        assert!(pending.push(value(raw::SIGUSR1, 2), 100));
        for round in 0..3 {
            assert!(pending.push(value(40, round), 100));
            assert!(pending.push(value(35, round), 100));
        }
        let mut got = Vec::new();
        while let Some(info) = pending.take(ALL) {
            got.push((info.signo, info.value()));
        }
        assert_eq!(got, [(10, 1), (35, 0), (35, 1), (35, 2), (40, 0), (40, 1), (40, 2)]);
        assert_eq!((pending.set(), pending.len()), (0, 0));
    }

    #[test]
    fn faults_come_first_and_the_wanted_set_is_kept() {
        let mut pending = Pending::default();
        pending.push(value(raw::SIGHUP, 0), 100);
        pending.push(SigInfo::fault(raw::SIGSEGV, 1, 0x1234), 100);
        assert_eq!(pending.take(bit(raw::SIGUSR2)), None);
        assert_eq!(pending.take_synchronous(!bit(raw::SIGSEGV)), None);
        assert_eq!(pending.take_synchronous(ALL).map(|info| info.fields[0]), Some(0x1234));
        assert_eq!(pending.take(ALL).map(|info| info.signo), Some(raw::SIGHUP));
    }

    #[test]
    fn the_limit_refuses_values_but_never_loses_a_plain_signal() {
        let mut pending = Pending::default();
        assert!(pending.push(value(SIGRTMIN, 7), 1));
        assert!(!pending.push(value(SIGRTMIN, 8), 1));
        let plain = SigInfo { code: 0, ..value(SIGRTMIN + 1, 0) };
        assert!(pending.push(plain, 1));
        assert_eq!(pending.take(ALL).map(|info| info.value()), Some(7));
        assert_eq!(pending.take(ALL).map(|info| info.signo), Some(SIGRTMIN + 1));
        assert_eq!(pending.take(ALL), None);
    }

    #[test]
    fn a_timer_has_one_entry_that_counts() {
        let mut pending = Pending::default();
        for _ in 0..4 {
            pending.push_timer(SigInfo::timer(raw::SIGALRM, 3, 0, 9));
        }
        pending.push_timer(SigInfo::timer(raw::SIGALRM, 4, 0, 9));
        assert_eq!(pending.take(ALL).map(|info| info.pair()), Some((3, 3)));
        pending.flush_timer(4);
        assert_eq!(pending.set(), 0);
    }

    /// Against a model: a list in order of arrival, searched for the lowest number.
    #[test]
    fn any_sequence_keeps_set_and_queue_in_step() {
        let mut seed = 0x1234_5678_9abc_def0_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let mut pending = Pending::default();
        let mut model: Vec<(u32, u64)> = Vec::new();
        for step in 0..20_000 {
            match random(5) {
                0..=2 => {
                    // No fault signals, whose order differs.
                    let signo = [1, 2, 10, 12, 15, 17, 34, 35, 50, 64][random(10) as usize];
                    assert!(pending.push(value(signo, step), u64::MAX));
                    if signo >= SIGRTMIN || !model.iter().any(|(other, _)| *other == signo) {
                        model.push((signo, step));
                    }
                }
                3 => {
                    let wanted = random(u64::MAX);
                    let expected = model
                        .iter()
                        .enumerate()
                        .filter(|(_, (signo, _))| wanted & bit(*signo) != 0)
                        .min_by_key(|(index, (signo, _))| (*signo, *index))
                        .map(|(index, _)| index)
                        .map(|index| model.remove(index));
                    assert_eq!(pending.take(wanted).map(|info| (info.signo, info.value())), expected);
                }
                _ => {
                    let signo = random(64) as u32 + 1;
                    pending.flush(bit(signo));
                    model.retain(|(other, _)| *other != signo);
                }
            }
            let set = model.iter().fold(0, |set, (signo, _)| set | bit(*signo));
            assert_eq!((pending.set(), pending.len()), (set, model.len()));
        }
    }
}
