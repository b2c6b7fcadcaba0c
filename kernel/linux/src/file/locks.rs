//! Locks on files: fcntl(2)'s record locks of processes and of open file descriptions, and flock(2)'s.
//!
//! All locks of a file are in one list with its inode. Record locks of one owner never overlap; those of the same kind
//! that touch are one. Who waits for a record lock of a process is known (`BLOCKED`), so that a cycle is EDEADLK.

use super::OpenFile;
use super::lease::Leases;
use super::table::FdTable;
use crate::errno::Errno;
use crate::task::Pid;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;

/// How long to wait for a lock that others than this guest may hold before asking again: the first time, and at most.
const FIRST_PAUSE_NS: u64 = 500_000;
const LONGEST_PAUSE_NS: u64 = 20_000_000;

/// Whose a lock is. The addresses only tell owners apart; an owner's locks go before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process, by its table of descriptors.
    Table(usize),
    /// An open file description.
    Open(usize),
}

impl Owner {
    pub fn table(table: &FdTable) -> Self {
        Self::Table(core::ptr::from_ref(table).addr())
    }

    pub fn open(file: &OpenFile) -> Self {
        Self::Open(core::ptr::from_ref(file).addr())
    }
}

/// A record lock: bytes `start..=end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: Owner,
    /// Who took it, for F_GETLK; -1 for an open file description's.
    pub pid: Pid,
    pub exclusive: bool,
    pub start: u64,
    /// `u64::MAX`: to the end of the file, wherever that is.
    pub end: u64,
}

impl Record {
    fn overlaps(&self, start: u64, end: u64) -> bool {
        self.start <= end && start <= self.end
    }

    fn conflicts(&self, other: &Self) -> bool {
        self.owner != other.owner
            && (self.exclusive || other.exclusive)
            && self.overlaps(other.start, other.end)
    }
}

/// A process that waits, and one whose lock it waits for.
struct Blocked {
    waiter: Owner,
    holder: Owner,
}

static BLOCKED: Global<KCell<Vec<Blocked>>> = Global::new(KCell::default);

/// Whether `holder` waits, over others, for `waiter`.
fn would_deadlock(waiter: Owner, mut holder: Owner) -> bool {
    let blocked = BLOCKED.borrow();
    // A longer chain than there are waiters is a cycle that does not contain `waiter`.
    for _ in 0..=blocked.len() {
        if holder == waiter {
            return true;
        }
        match blocked.iter().find(|blocked| blocked.waiter == holder) {
            Some(blocked) => holder = blocked.holder,
            None => return false,
        }
    }
    false
}

fn set_blocked(waiter: Owner, holder: Option<Owner>) {
    let mut blocked = BLOCKED.borrow_mut();
    blocked.retain(|blocked| blocked.waiter != waiter);
    if let Some(holder) = holder {
        blocked.push(Blocked { waiter, holder });
    }
}

/// The locks on one file.
#[derive(Default)]
pub struct Locks {
    records: KCell<Vec<Record>>,
    /// flock(2): who, and whether exclusively.
    whole: KCell<Vec<(Owner, bool)>>,
    released: WaitQueue,
    pub(super) leases: Leases,
}

impl Locks {
    /// F_GETLK: a lock that stands in the way of `wanted`, the first in the file.
    pub fn conflict(&self, wanted: &Record) -> Option<Record> {
        let records = self.records.borrow();
        records.iter().filter(|record| record.conflicts(wanted)).min_by_key(|record| record.start).copied()
    }

    /// F_SETLK, F_SETLKW: EAGAIN if another's lock stands in the way and `wait` is false, EDEADLK if waiting for it
    /// would be for ever.
    pub fn lock(&self, wanted: Record, wait: bool) -> Result<(), Errno> {
        let attempt = || match self.conflict(&wanted) {
            None => {
                self.put(&wanted, true);
                Some(Ok(()))
            }
            Some(_) if !wait => Some(Err(Errno::EAGAIN)),
            Some(holder) => {
                let process = matches!(wanted.owner, Owner::Table(_));
                if process && would_deadlock(wanted.owner, holder.owner) {
                    return Some(Err(Errno::EDEADLK));
                }
                if process {
                    set_blocked(wanted.owner, Some(holder.owner));
                }
                None
            }
        };
        let result = match attempt() {
            Some(result) => return result,
            None => wait_event(&[&self.released], WaitLimit::default(), attempt),
        };
        set_blocked(wanted.owner, None);
        let result = result.unwrap_or(Err(Errno::ERESTARTSYS));
        // Others may wait behind the part that this lock gave up by changing its kind.
        self.released.wake_all(!0);
        result
    }

    /// As `lock`, for a file on which others than this guest have locks: `ask` takes the lock where they all are, and gives
    /// EAGAIN if another is in the way there.
    pub fn lock_served(
        &self,
        wanted: Record,
        wait: bool,
        ask: impl Fn() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut pause = FIRST_PAUSE_NS;
        let result = loop {
            let holder = self.conflict(&wanted);
            let result = if holder.is_some() { Err(Errno::EAGAIN) } else { ask() };
            match result {
                Ok(()) => {
                    self.put(&wanted, true);
                    break Ok(());
                }
                Err(Errno::EAGAIN) if wait => {}
                Err(error) => break Err(error),
            }
            if let (Owner::Table(_), Some(holder)) = (wanted.owner, holder) {
                if would_deadlock(wanted.owner, holder.owner) {
                    break Err(Errno::EDEADLK);
                }
                set_blocked(wanted.owner, Some(holder.owner));
            }
            // Nobody tells of locks that others give up.
            if self.pause(&mut pause, || holder.is_some() && self.conflict(&wanted).is_none()).is_err() {
                break Err(Errno::ERESTARTSYS);
            }
        };
        set_blocked(wanted.owner, None);
        self.released.wake_all(!0);
        result
    }

    /// Waits until a lock of this guest is given up and `ready`, or a while, longer each time.
    fn pause(&self, pause: &mut u64, ready: impl Fn() -> bool) -> Result<(), WaitEnd> {
        let deadline = Some(crate::time::monotonic_ns() + *pause);
        *pause = (*pause * 2).min(LONGEST_PAUSE_NS);
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        match wait_event(&[&self.released], limit, || ready().then_some(())) {
            Err(WaitEnd::Interrupted) => Err(WaitEnd::Interrupted),
            Ok(()) | Err(WaitEnd::TimedOut) => Ok(()),
        }
    }

    /// As `lock_whole`, with `ask` as in `lock_served`.
    pub fn lock_whole_served(
        &self,
        owner: Owner,
        exclusive: bool,
        wait: bool,
        ask: impl Fn() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut pause = FIRST_PAUSE_NS;
        loop {
            match ask() {
                Ok(()) => {
                    self.whole.borrow_mut().retain(|(holder, _)| *holder != owner);
                    self.whole.borrow_mut().push((owner, exclusive));
                    self.released.wake_all(!0);
                    return Ok(());
                }
                Err(Errno::EAGAIN) => {
                    // A change of kind is not atomic: the old lock is given up.
                    self.whole.borrow_mut().retain(|(holder, _)| *holder != owner);
                }
                Err(error) => return Err(error),
            }
            if !wait {
                return Err(Errno::EAGAIN);
            }
            let blocked = || self.whole.borrow().iter().any(|(_, other)| *other || exclusive);
            let was_blocked = blocked();
            self.pause(&mut pause, || was_blocked && !blocked()).map_err(|_| Errno::ERESTARTSYS)?;
        }
    }

    /// Whether an owner has record locks here, and a lock of the whole file.
    pub fn holds(&self, owner: Owner) -> (bool, bool) {
        let records = self.records.borrow().iter().any(|record| record.owner == owner);
        (records, self.whole.borrow().iter().any(|(holder, _)| *holder == owner))
    }

    /// F_UNLCK.
    pub fn unlock(&self, owner: Owner, start: u64, end: u64) {
        self.put(&Record { owner, pid: 0, exclusive: false, start, end }, false);
        self.released.wake_all(!0);
    }

    /// Makes the bytes of `new` its owner's as `new` says, or nobody's.
    fn put(&self, new: &Record, locked: bool) {
        let mut records = self.records.borrow_mut();
        let mut merged = *new;
        let mut kept = Vec::with_capacity(records.len() + 2);
        for record in records.drain(..) {
            let touches =
                record.start <= new.end.saturating_add(1) && new.start <= record.end.saturating_add(1);
            if record.owner != new.owner || !touches {
                kept.push(record);
            } else if locked && record.exclusive == new.exclusive {
                merged.start = merged.start.min(record.start);
                merged.end = merged.end.max(record.end);
            } else {
                if record.start < new.start {
                    kept.push(Record { end: record.end.min(new.start - 1), ..record });
                }
                if record.end > new.end {
                    kept.push(Record { start: record.start.max(new.end + 1), ..record });
                }
            }
        }
        if locked {
            kept.push(merged);
        }
        *records = kept;
    }

    /// flock(2): takes or changes the lock of an open file. EAGAIN if it would wait and may not.
    pub fn lock_whole(&self, owner: Owner, exclusive: bool, wait: bool) -> Result<(), Errno> {
        // A change of kind is not atomic: the old lock is given up first.
        if self.whole.borrow().contains(&(owner, exclusive)) {
            return Ok(());
        }
        self.unlock_whole(owner);
        let attempt = || {
            let mut whole = self.whole.borrow_mut();
            if whole.iter().any(|(_, other)| *other || exclusive) {
                return None;
            }
            whole.push((owner, exclusive));
            Some(())
        };
        match attempt() {
            Some(()) => Ok(()),
            None if !wait => Err(Errno::EAGAIN),
            None => {
                wait_event(&[&self.released], WaitLimit::default(), attempt).map_err(|_| Errno::ERESTARTSYS)
            }
        }
    }

    /// flock(2) with LOCK_UN.
    pub fn unlock_whole(&self, owner: Owner) {
        let before = self.whole.borrow().len();
        self.whole.borrow_mut().retain(|(holder, _)| *holder != owner);
        if self.whole.borrow().len() < before {
            self.released.wake_all(!0);
        }
    }

    /// A process closed a descriptor of the file: all its record locks on it go, as fcntl(2) warns.
    pub fn table_closed(&self, table: &FdTable) {
        let owner = Owner::table(table);
        if self.records.borrow().iter().any(|record| record.owner == owner) {
            self.unlock(owner, 0, u64::MAX);
        }
    }

    /// An open file of this file goes.
    pub fn open_file_gone(&self, file: &OpenFile) {
        let owner = Owner::open(file);
        self.unlock_whole(owner);
        self.leases.open_file_gone(file);
        if self.records.borrow().iter().any(|record| record.owner == owner) {
            self.unlock(owner, 0, u64::MAX);
        }
    }

    /// All locks, for /proc/locks: records, then whole-file locks as owner and kind.
    pub fn all(&self) -> (Vec<Record>, Vec<(Owner, bool)>) {
        (self.records.borrow().clone(), self.whole.borrow().clone())
    }
}

#[cfg(test)]
mod tests {
    use super::{Locks, Owner, Record, set_blocked, would_deadlock};
    use crate::errno::Errno;
    use proptest::prelude::*;

    const BYTES: usize = 24;

    fn record(owner: usize, exclusive: bool, start: u64, end: u64) -> Record {
        Record { owner: Owner::Table(owner), pid: owner as i32, exclusive, start, end }
    }

    proptest! {
        /// Byte by byte, the list agrees with an array of who holds what.
        #[test]
        fn record_locks_agree_with_an_array(
            steps in prop::collection::vec((0..3usize, 0..3u8, 0..BYTES as u64, 0..BYTES as u64), 1..60),
        ) {
            let locks = Locks::default();
            let mut model = [[0u8; BYTES]; 3];
            for (owner, kind, a, b) in steps {
                let (start, end) = (a.min(b), a.max(b));
                let range = start as usize..=end as usize;
                if kind == 0 {
                    locks.unlock(Owner::Table(owner), start, end);
                    model[owner][range].fill(0);
                } else {
                    let blocked = (0..3).any(|other| {
                        other != owner && model[other][range.clone()].iter().any(|held| *held == 2 || *held > 0 && kind == 2)
                    });
                    let result = locks.lock(record(owner, kind == 2, start, end), false);
                    prop_assert_eq!(result, if blocked { Err(Errno::EAGAIN) } else { Ok(()) });
                    if !blocked {
                        model[owner][range].fill(kind);
                    }
                }
                let mut seen = [[0u8; BYTES]; 3];
                for held in locks.all().0 {
                    let Owner::Table(owner) = held.owner else { unreachable!() };
                    for at in held.start..=held.end {
                        prop_assert_eq!(seen[owner][at as usize], 0, "records of one owner overlap");
                        seen[owner][at as usize] = 1 + u8::from(held.exclusive);
                    }
                }
                prop_assert_eq!(seen, model);
            }
        }
    }

    #[test]
    fn cycles_of_waiters_are_found() {
        let [a, b, c] = [1, 2, 3].map(Owner::Table);
        set_blocked(a, Some(b));
        set_blocked(b, Some(c));
        assert!(would_deadlock(c, a));
        assert!(!would_deadlock(Owner::Table(9), a));
        set_blocked(b, None);
        assert!(!would_deadlock(c, a));
    }

    #[test]
    fn whole_file_locks_are_shared_or_exclusive() {
        let locks = Locks::default();
        let [a, b] = [1, 2].map(Owner::Open);
        assert_eq!(locks.lock_whole(a, false, false), Ok(()));
        assert_eq!(locks.lock_whole(b, false, false), Ok(()));
        assert_eq!(locks.lock_whole(a, true, false), Err(Errno::EAGAIN));
        // The failed upgrade gave up the shared lock, as flock(2) says it may.
        assert_eq!(locks.lock_whole(b, true, false), Ok(()));
        locks.unlock_whole(b);
        assert_eq!(locks.lock_whole(a, true, false), Ok(()));
    }
}
