//! vCPUs and the groups they form: which there are, and which host process each belongs to.

use super::{PATIENCE_NS, State, my_group};
use crate::task::barrier::{self, Barrier};
use crate::task::{Task, process};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::CPUS_MAX;
use husk_machine::cell::KCell;
use husk_machine::cpu;
use husk_machine::global::Global;
use husk_machine::start::boot;

/// vCPUs and the tasks they serve.
#[derive(Default)]
pub struct Group {
    pub(super) queue: KCell<VecDeque<Arc<Task>>>,
    /// The greatest virtual time that a task had when it was taken from the queue.
    pub(super) virtual_now: KCell<u64>,
    pub(super) cpus: KCell<Vec<usize>>,
    /// Living tasks. At zero the vCPUs end.
    pub(super) tasks: KCell<usize>,
    /// The first task is still to come.
    pub(super) starting: KCell<bool>,
    /// Its memory is still in the snapshot that the guest was restored from.
    pub(super) absent: KCell<bool>,
    /// When a woken task was last left to its waker, monotonic ns.
    pub(super) left_at: KCell<u64>,
}

/// A vCPU, as the scheduler sees it.
#[derive(Default)]
pub(super) struct Cpu {
    pub(super) current: Option<Arc<Task>>,
    pub(super) group: Option<Arc<Group>>,
    pub(super) idle: bool,
    /// The idle one sleeps until then; `None` when it sleeps for ever.
    pub(super) sleeps_until: Option<u64>,
    pub(super) in_use: bool,
    /// Its number among the vCPUs of its host process.
    pub(super) slot: usize,
    /// Does not run tasks: keeps time for a group whose vCPUs are all busy.
    pub(super) ticker: bool,
    /// What tasks were charged for since the host was asked, ns, and what it said then (`charge`).
    pub(super) charged: u64,
    pub(super) host_time: u64,
    /// What it was kicked to pass.
    pub(super) barriers: Vec<Arc<Barrier>>,
}

pub(super) static CPUS: Global<KCell<Vec<Cpu>>> = Global::new(KCell::default);

pub(super) fn with_cpu<R>(index: usize, act: impl FnOnce(&mut Cpu) -> R) -> R {
    let mut cpus = CPUS.borrow_mut();
    if index >= cpus.len() {
        cpus.resize_with(index + 1, Cpu::default);
    }
    act(&mut cpus[index])
}

fn claim_cpu(group: &Arc<Group>, ticker: bool) -> Option<usize> {
    let mut cpus = CPUS.borrow_mut();
    let slot = {
        let own = group.cpus.borrow();
        let is_free = |slot: &usize| !own.iter().any(|index| cpus[*index].slot == *slot);
        // Programs have tables with a place for each number below the count of vCPUs.
        let below = boot().cpus as usize;
        let beyond = || (below..CPUS_MAX).find(is_free);
        let mut own = (0..below).filter(is_free);
        if ticker { beyond().or_else(|| own.next_back()) } else { own.next() }?
    };
    let free = cpus.iter().position(|cpu| !cpu.in_use).unwrap_or(cpus.len());
    if free >= cpu::CPUS {
        return None;
    }
    if free == cpus.len() {
        cpus.push(Cpu::default());
    }
    cpus[free] = Cpu { group: Some(group.clone()), in_use: true, slot, ticker, ..Cpu::default() };
    drop(cpus);
    group.cpus.borrow_mut().push(free);
    Some(free)
}

pub(super) fn release_cpu(group: &Group, index: usize) {
    group.cpus.borrow_mut().retain(|other| *other != index);
    let old = with_cpu(index, core::mem::take);
    barrier::passed(&old.barriers);
}

/// Starts a further vCPU thread of the group in this host process. False: there is none to be had.
pub(super) fn start_cpu(group: &Arc<Group>, ticker: bool) -> bool {
    let Some(index) = claim_cpu(group, ticker) else { return false };
    let slot = with_cpu(index, |cpu| cpu.slot);
    let started = cpu::start_thread(index, slot).is_ok();
    if !started {
        release_cpu(group, index);
    }
    started
}

impl Group {
    /// The group of vCPU 0, at boot.
    pub fn boot() -> Arc<Self> {
        let group = Arc::new(Self::default());
        let index = claim_cpu(&group, false);
        assert!(index == Some(0), "the first vCPU is vCPU 0");
        group
    }

    /// A group with one vCPU in a new host process, whose memory is a copy of the caller's, or empty with `wipe`. The
    /// error is the host's.
    pub fn new_process(wipe: bool) -> Result<Arc<Self>, i32> {
        let group = Arc::new(Self::default());
        group.starting.set(true);
        let index = claim_cpu(&group, false).ok_or(linux_raw_sys::errno::EAGAIN as i32)?;
        if let Err(error) = cpu::start_process(index, wipe) {
            release_cpu(&group, index);
            return Err(error);
        }
        Ok(group)
    }

    /// Living tasks.
    pub fn task_count(&self) -> usize {
        self.tasks.get()
    }

    /// An idle vCPU of the group.
    pub(super) fn idle_cpu(&self) -> Option<usize> {
        let cpus = CPUS.borrow();
        self.cpus.borrow().iter().copied().find(|index| cpus[*index].idle && !cpus[*index].ticker)
    }

    pub(super) fn busy_cpus(&self) -> Vec<usize> {
        let cpus = CPUS.borrow();
        self.cpus
            .borrow()
            .iter()
            .copied()
            .filter(|index| !cpus[*index].ticker && !cpus[*index].idle)
            .collect()
    }

    pub(super) fn ticker(&self) -> Option<usize> {
        let cpus = CPUS.borrow();
        self.cpus.borrow().iter().copied().find(|index| cpus[*index].ticker)
    }

    /// Whether the only one queued was left to its waker a moment ago.
    pub(super) fn queued_is_left(&self, now: u64) -> bool {
        self.queue.borrow().len() == 1 && now.saturating_sub(self.left_at.get()) < PATIENCE_NS
    }

    pub(super) fn is_mine(&self) -> bool {
        self.cpus.borrow().contains(&cpu::index())
    }
}

/// vCPUs in use, and whether each sleeps.
pub(crate) fn cpus_in_use() -> Vec<(usize, bool)> {
    let cpus = CPUS.borrow();
    cpus.iter().enumerate().filter(|(_, cpu)| cpu.in_use).map(|(index, cpu)| (index, cpu.idle)).collect()
}

/// Kicks the other vCPUs that run a task for which `concerns` (number of the vCPU in its process, task), so that they pass
/// `barrier`. How many there are.
pub(in crate::task) fn kick_running(
    barrier: &Arc<Barrier>,
    concerns: impl Fn(u32, &Arc<Task>) -> bool,
) -> usize {
    let mut count = 0;
    for (index, own) in CPUS.borrow_mut().iter_mut().enumerate().filter(|(_, own)| own.in_use && !own.idle) {
        if let Some(task) = &own.current
            && index != cpu::index()
            && concerns(own.slot as u32, task)
        {
            own.barriers.push(barrier.clone());
            cpu::kick(index);
            count += 1;
        }
    }
    count
}

/// Whether this vCPU was kicked to pass something.
pub(in crate::task) fn has_barriers() -> bool {
    with_cpu(cpu::index(), |cpu| !cpu.barriers.is_empty())
}

/// What it was kicked to pass.
pub(in crate::task) fn take_barriers() -> Vec<Arc<Barrier>> {
    with_cpu(cpu::index(), |cpu| core::mem::take(&mut cpu.barriers))
}

/// The first vCPU of each host process.
pub(crate) fn first_cpus() -> Vec<usize> {
    let cpus = CPUS.borrow();
    cpus.iter().enumerate().filter(|(_, cpu)| cpu.in_use && cpu.slot == 0).map(|(index, _)| index).collect()
}

/// The address spaces whose memory lies in this host process: one, but for a group without a living task.
pub(crate) fn spaces_here() -> Vec<Arc<crate::mem::Space>> {
    let mut spaces: Vec<Arc<crate::mem::Space>> = Vec::new();
    for task in group_tasks(&my_group()) {
        let space = task.space();
        if !spaces.iter().any(|known| Arc::ptr_eq(known, &space)) {
            spaces.push(space);
        }
    }
    spaces
}

/// The living tasks of a group.
pub(super) fn group_tasks(group: &Arc<Group>) -> Vec<Arc<Task>> {
    let is_of = |task: &Arc<Task>| {
        let own = task.sched.group.borrow();
        own.as_ref().is_some_and(|other| Arc::ptr_eq(other, group))
    };
    let all = process::all_tasks().into_iter();
    all.filter(|task| is_of(task) && task.sched.state.get() != State::Dead).collect()
}

/// The living tasks that run in a host process (process tender).
pub(super) fn tasks_of_host_process(pid: i32) -> Vec<Arc<Task>> {
    let group = {
        let cpus = CPUS.borrow();
        let index = (0..cpus.len()).find(|index| cpus[*index].in_use && cpu::host_process(*index) == pid);
        index.and_then(|index| cpus[index].group.clone())
    };
    group.map_or_else(Vec::new, |group| group_tasks(&group))
}

/// Of a parked guest's vCPUs only the first of each host process stay; a group's memory is absent until that vCPU has
/// brought it back. vCPU 0 runs.
pub(crate) fn restored() {
    let all: Vec<(usize, usize, Option<Arc<Group>>)> = {
        let mut cpus = CPUS.borrow_mut();
        let in_use = cpus.iter_mut().enumerate().filter(|(_, cpu)| cpu.in_use);
        in_use
            .map(|(index, cpu)| {
                cpu.idle = false;
                (index, cpu.slot, cpu.group.clone())
            })
            .collect()
    };
    for (index, slot, group) in all {
        let Some(group) = group else { continue };
        if slot == 0 {
            group.absent.set(cpu::is_process_tender());
        } else {
            release_cpu(&group, index);
        }
    }
}
