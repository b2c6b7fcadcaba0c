//! Semaphore sets (semop(2)).

use super::{Object, PERM_LEN, Perm, Table, now_seconds, put};
use crate::errno::Errno;
use crate::task::Pid;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;

pub const SEM_UNDO: u16 = 0x1000;
pub const NOWAIT: u16 = super::IPC_NOWAIT as u16;
/// Most semaphores in a set, operations in a call, sets; the largest value.
pub const SEMMSL: usize = 32_000;
pub const SEMOPM: usize = 500;
pub const SEMMNI: usize = 32_000;
pub const SEMVMX: i32 = 32_767;
/// Bytes of `struct semid64_ds`.
pub const DS_LEN: usize = 104;

pub static SETS: Global<Table<SemSet>> = Global::new(|| Table::new(SEMMNI));
/// Which sets a process has adjustments in.
static UNDOERS: Global<KCell<BTreeMap<Pid, BTreeSet<i32>>>> = Global::new(KCell::default);

/// `struct sembuf`.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub number: u16,
    pub change: i16,
    pub flags: u16,
}

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    /// Who changed it last.
    pid: Pid,
    /// Tasks that wait for it to grow, and for it to be zero.
    growth_waiters: u32,
    zero_waiters: u32,
}

struct State {
    semaphores: Vec<Semaphore>,
    /// What is to be added to each semaphore when a process ends.
    undo: BTreeMap<Pid, Vec<i32>>,
    operated: u64,
    changed: u64,
    removed: bool,
}

/// A set of semaphores that one call changes together.
pub struct SemSet {
    perm: KCell<Perm>,
    state: KCell<State>,
    queue: WaitQueue,
}

impl Object for SemSet {
    fn perm(&self) -> &KCell<Perm> {
        &self.perm
    }
}

/// Why an attempt did not succeed.
enum Refusal {
    /// The operation with this index must wait.
    Wait(usize),
    Error(Errno),
}

impl State {
    /// Carries out all operations, or none.
    fn attempt(&mut self, operations: &[Operation], pid: Pid) -> Result<(), Refusal> {
        let mut refusal = None;
        let mut done = 0;
        for (index, operation) in operations.iter().enumerate() {
            let value = self.semaphores[usize::from(operation.number)].value;
            let new = value + i32::from(operation.change);
            let undone = if operation.flags & SEM_UNDO != 0 {
                let own = self.undo.get(&pid).map_or(0, |undo| undo[usize::from(operation.number)]);
                own - i32::from(operation.change)
            } else {
                0
            };
            refusal = match operation.change {
                0 if value != 0 => Some(Refusal::Wait(index)),
                _ if new < 0 => Some(Refusal::Wait(index)),
                _ if new > SEMVMX || undone.abs() > SEMVMX + 1 => Some(Refusal::Error(Errno::ERANGE)),
                _ => None,
            };
            if refusal.is_some() {
                break;
            }
            self.apply(*operation, pid, 1);
            done = index + 1;
        }
        let Some(refusal) = refusal else {
            for operation in operations {
                self.semaphores[usize::from(operation.number)].pid = pid;
            }
            self.operated = now_seconds();
            return Ok(());
        };
        for operation in operations[..done].iter().rev() {
            self.apply(*operation, pid, -1);
        }
        Err(refusal)
    }

    fn apply(&mut self, operation: Operation, pid: Pid, sign: i32) {
        let number = usize::from(operation.number);
        let change = i32::from(operation.change) * sign;
        self.semaphores[number].value += change;
        if operation.flags & SEM_UNDO != 0 && change != 0 {
            let count = self.semaphores.len();
            self.undo.entry(pid).or_insert_with(|| alloc::vec![0; count])[number] -= change;
        }
    }
}

impl SemSet {
    pub fn new(perm: Perm, count: usize) -> Self {
        Self {
            perm: KCell::new(perm),
            state: KCell::new(State {
                semaphores: alloc::vec![Semaphore::default(); count],
                undo: BTreeMap::new(),
                operated: 0,
                changed: now_seconds(),
                removed: false,
            }),
            queue: WaitQueue::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.state.borrow().semaphores.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// semtimedop(2) by process `pid`; `deadline` in monotonic ns.
    pub fn operate(&self, operations: &[Operation], pid: Pid, deadline: Option<u64>) -> Result<(), Errno> {
        let attempt = || {
            let mut state = self.state.borrow_mut();
            if state.removed { Err(Refusal::Error(Errno::EIDRM)) } else { state.attempt(operations, pid) }
        };
        let blocked = match attempt() {
            Ok(()) => None,
            Err(Refusal::Error(error)) => return Err(error),
            Err(Refusal::Wait(index)) if operations[index].flags & NOWAIT != 0 => return Err(Errno::EAGAIN),
            Err(Refusal::Wait(index)) => Some(index),
        };
        if let Some(first) = blocked {
            self.wait(operations, first, deadline, attempt)?;
        }
        if operations.iter().any(|operation| operation.flags & SEM_UNDO != 0) {
            let id = self.perm.borrow().id;
            UNDOERS.borrow_mut().entry(pid).or_default().insert(id);
        }
        if operations.iter().any(|operation| operation.change != 0) {
            self.queue.wake_all(!0);
        }
        Ok(())
    }

    fn wait(
        &self,
        operations: &[Operation],
        first: usize,
        deadline: Option<u64>,
        mut attempt: impl FnMut() -> Result<(), Refusal>,
    ) -> Result<(), Errno> {
        let mut waits_at = first;
        self.count_waiter(operations[first], 1);
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        let end = wait_event(&[&self.queue], limit, || match attempt() {
            Ok(()) => Some(Ok(())),
            Err(Refusal::Error(error)) => Some(Err(error)),
            Err(Refusal::Wait(index)) if operations[index].flags & NOWAIT != 0 => Some(Err(Errno::EAGAIN)),
            Err(Refusal::Wait(index)) => {
                self.count_waiter(operations[waits_at], -1);
                self.count_waiter(operations[index], 1);
                waits_at = index;
                None
            }
        });
        self.count_waiter(operations[waits_at], -1);
        match end {
            Ok(result) => result,
            Err(WaitEnd::Interrupted) => Err(Errno::EINTR),
            Err(WaitEnd::TimedOut) => Err(Errno::EAGAIN),
        }
    }

    fn count_waiter(&self, operation: Operation, by: i32) {
        let mut state = self.state.borrow_mut();
        let semaphore = &mut state.semaphores[usize::from(operation.number)];
        let count = match operation.change {
            0 => &mut semaphore.zero_waiters,
            _ => &mut semaphore.growth_waiters,
        };
        *count = count.wrapping_add_signed(by);
    }

    fn with<R>(&self, number: usize, get: impl FnOnce(&Semaphore) -> R) -> Result<R, Errno> {
        self.state.borrow().semaphores.get(number).map(get).ok_or(Errno::EINVAL)
    }

    /// GETVAL.
    pub fn value(&self, number: usize) -> Result<usize, Errno> {
        self.with(number, |semaphore| semaphore.value as usize)
    }

    /// GETPID.
    pub fn last_pid(&self, number: usize) -> Result<usize, Errno> {
        self.with(number, |semaphore| semaphore.pid as usize)
    }

    /// GETNCNT.
    pub fn growth_waiters(&self, number: usize) -> Result<usize, Errno> {
        self.with(number, |semaphore| semaphore.growth_waiters as usize)
    }

    /// GETZCNT.
    pub fn zero_waiters(&self, number: usize) -> Result<usize, Errno> {
        self.with(number, |semaphore| semaphore.zero_waiters as usize)
    }

    /// GETALL.
    pub fn values(&self) -> Vec<u16> {
        self.state.borrow().semaphores.iter().map(|semaphore| semaphore.value as u16).collect()
    }

    /// SETVAL and SETALL: values from semaphore `first` on. Adjustments of these semaphores are forgotten.
    pub fn set_values(&self, first: usize, values: &[i32], pid: Pid) -> Result<(), Errno> {
        if values.iter().any(|value| !(0..=SEMVMX).contains(value)) {
            return Err(Errno::ERANGE);
        }
        {
            let mut state = self.state.borrow_mut();
            let range = first..first + values.len();
            let semaphores = state.semaphores.get_mut(range.clone()).ok_or(Errno::EINVAL)?;
            for (semaphore, value) in semaphores.iter_mut().zip(values) {
                semaphore.value = *value;
                semaphore.pid = pid;
            }
            for undo in state.undo.values_mut() {
                undo[range.clone()].fill(0);
            }
            state.changed = now_seconds();
        }
        self.queue.wake_all(!0);
        Ok(())
    }

    /// IPC_SET.
    pub fn set_perm(&self, ds: &[u8]) {
        self.perm.borrow_mut().set(ds);
        self.state.borrow_mut().changed = now_seconds();
    }

    /// IPC_RMID.
    pub fn remove(&self) {
        SETS.remove(self);
        self.state.borrow_mut().removed = true;
        self.queue.wake_all(!0);
    }

    /// `struct semid64_ds`.
    pub fn ds(&self) -> [u8; DS_LEN] {
        let mut bytes = [0; DS_LEN];
        bytes[..PERM_LEN].copy_from_slice(&self.perm.borrow().to_bytes());
        let state = self.state.borrow();
        put(&mut bytes, 48, &state.operated.to_ne_bytes());
        put(&mut bytes, 64, &state.changed.to_ne_bytes());
        put(&mut bytes, 80, &(state.semaphores.len() as u64).to_ne_bytes());
        bytes
    }
}

/// Applies the adjustments of a process that ends: exit(2) never blocks, so values stop at their bounds.
pub(super) fn undo_all(pid: Pid) {
    let ids = UNDOERS.borrow_mut().remove(&pid).unwrap_or_default();
    for id in ids {
        let Ok(set) = SETS.find(id) else { continue };
        {
            let mut state = set.state.borrow_mut();
            let undo = state.undo.remove(&pid).unwrap_or_default();
            for (semaphore, adjustment) in state.semaphores.iter_mut().zip(undo) {
                if adjustment != 0 {
                    semaphore.value = (semaphore.value + adjustment).clamp(0, SEMVMX);
                    semaphore.pid = pid;
                }
            }
            state.operated = now_seconds();
        }
        set.queue.wake_all(!0);
    }
}

/// /proc/sysvipc/sem.
pub fn list() -> String {
    let mut out = String::from(
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    );
    for set in SETS.all() {
        let perm = *set.perm.borrow();
        let state = set.state.borrow();
        out.push_str(&format!(
            "{:10} {:10}  {:4o} {:10} {:5} {:5} {:5} {:5} {:10} {:10}\n",
            perm.key,
            perm.id,
            perm.mode,
            state.semaphores.len(),
            perm.uid,
            perm.gid,
            perm.cuid,
            perm.cgid,
            state.operated,
            state.changed
        ));
    }
    out
}
