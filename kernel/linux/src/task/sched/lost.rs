//! vCPUs whose host thread ended without the kernel's doing (process tender): the application jumped into the gate, or
//! somebody outside ended a host process. To the guest that is the end of the processes they ran, as by SIGKILL.
//!
//! Who kicks such a vCPU notices. While several are in use and one of them runs, a timer kicks those that run now and
//! then, since nobody else may ever do; an idle guest has no such timer. One that ended with the big kernel lock is
//! noticed by who waits for the lock, and ends the guest (the lock itself, in `husk_machine`).

use super::group::{CPUS, Cpu, Group, group_tasks, release_cpu, with_cpu};
use super::{State, Task, cpu, set_current};
use crate::task::exit;
use crate::time::monotonic_ns;
use crate::time::timer::{Expire, Timer};
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;

/// How often running vCPUs are looked at.
const LOOK_NS: u64 = 500_000_000;

/// The timer, and whether it is armed.
#[derive(Default)]
struct Watch {
    timer: Option<(Arc<Watcher>, Timer)>,
    armed: bool,
}

static WATCH: Global<KCell<Watch>> = Global::new(KCell::default);

struct Watcher;

impl Expire for Watcher {
    fn expire(&self) {
        WATCH.borrow_mut().armed = false;
        look();
        let runs = CPUS.borrow().iter().any(|cpu| cpu.in_use && !cpu.idle && cpu.current.is_some());
        if runs {
            watch();
        }
    }
}

/// A vCPU is about to run a task: sees to it that its loss would be noticed.
pub(super) fn watch() {
    if WATCH.borrow().armed || !cpu::is_process_tender() {
        return;
    }
    let several = CPUS.borrow().iter().filter(|cpu| cpu.in_use).nth(1).is_some();
    if several {
        let mut watch = WATCH.borrow_mut();
        watch.armed = true;
        let (_, timer) = watch.timer.get_or_insert_with(|| {
            let watcher = Arc::new(Watcher);
            let owner: Arc<dyn Expire> = watcher.clone();
            (watcher, Timer::new(Arc::downgrade(&owner)))
        });
        timer.arm(monotonic_ns() + LOOK_NS);
    }
}

/// Looks for lost vCPUs when a kick has found one.
pub(super) fn look_if_suspected() {
    if cpu::take_loss() {
        look();
    }
}

fn look() {
    let candidates: Vec<usize> = {
        let cpus = CPUS.borrow();
        cpus.iter().enumerate().filter(|(_, cpu)| cpu.in_use).map(|(index, _)| index).collect()
    };
    let lost: Vec<usize> = candidates.into_iter().filter(|index| cpu::is_lost(*index)).collect();
    let mut groups: Vec<Arc<Group>> = Vec::new();
    for index in lost {
        let Cpu { current, group, .. } = with_cpu(index, |cpu| Cpu {
            current: cpu.current.take(),
            group: cpu.group.clone(),
            ..Cpu::default()
        });
        let Some(group) = group else { continue };
        release_cpu(&group, index);
        if let Some(task) = current {
            finish(&group, &task);
        }
        if !groups.iter().any(|known| Arc::ptr_eq(known, &group)) {
            groups.push(group);
        }
    }
    for group in groups {
        give_up_if_lost(&group);
    }
}

/// Without a vCPU that could run them all tasks of the group are lost. A ticker may be left, and ends then.
fn give_up_if_lost(group: &Arc<Group>) {
    let runs = {
        let cpus = CPUS.borrow();
        group.cpus.borrow().iter().any(|index| !cpus[*index].ticker)
    };
    if runs {
        return;
    }
    for task in group_tasks(group) {
        finish(group, &task);
    }
    let waiting = group.queue.take();
    drop(waiting);
    for other in group.cpus.borrow().iter() {
        cpu::notify(*other);
    }
}

fn finish(group: &Group, task: &Arc<Task>) {
    if task.sched.state.get() == State::Dead {
        return;
    }
    exit::exit_group(task.process(), raw::SIGKILL as i32);
    task.sched.state.set(State::Dead);
    task.sched.on_cpu.set(None);
    group.queue.borrow_mut().retain(|other| !Arc::ptr_eq(other, task));
    group.tasks.set(group.tasks.get() - 1);
    drop(task.sched.timer.take());
    drop(task.sched.waker.take());
    // What its files do as they are closed is done in its name.
    let before = with_cpu(cpu::index(), |cpu| cpu.current.take());
    set_current(Some(task.clone()));
    exit::finish_lost(task);
    set_current(before);
}
