//! Out of memory: when the guest's memory is used up, the process that holds most of it is ended.
//!
//! Nothing is refused beforehand, as Linux with its usual overcommit: a shortage shows when a page is touched. The machine
//! keeps a reserve for the kernel's own objects, and says when somebody ran into it.
//!
//! In the process tender private memory is the host's, and only the waiting parent sees how much there is: it says which
//! host process is to go.

use crate::mem::Space;
use crate::task::process::{self, Process};
use crate::task::wait::{WaitLimit, wait_event};
use crate::task::{Task, exit};
use alloc::sync::{Arc, Weak};
use husk_machine::cell::KCell;
use husk_machine::frames;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;

/// Who was ended last.
static VICTIM: Global<KCell<Weak<Process>>> = Global::new(KCell::default);

/// What a process of `oom_score_adj` -1000 is safe from.
const NEVER: i32 = -1000;

/// How long a fault waits for the victim's memory before it looks again.
const WAIT_NS: u64 = 1_000_000_000;

/// Its memory will soon be free.
fn is_ending(process: &Process) -> bool {
    process.zombie.get().is_none() && process.exiting.get().is_some()
}

/// Pages that ending the process would give back, with what its `oom_score_adj` adds. The first process, with which the
/// guest would end, is counted only for what it holds beyond half of the memory.
fn badness(process: &Process) -> i64 {
    let held = process.leader().map_or(0, |task| task.space().held_pages()) as i64;
    let (_, total) = frames::usage();
    let adjusted = held + i64::from(process.oom_score_adj.get()) * total as i64 / 1000;
    if process.pid() == 1 { adjusted - total as i64 / 2 } else { adjusted }
}

fn choose() -> Option<Arc<Process>> {
    let living = process::all().into_iter().filter(|process| process.zombie.get().is_none());
    let may_end = living.filter(|process| process.oom_score_adj.get() != NEVER || process.pid() == 1);
    may_end.max_by_key(|process| (badness(process), process.pid() != 1, process.pid()))
}

/// Ends the process that holds most, and those that share its memory, unless one is ending. Gives which.
fn relieve() -> Option<Arc<Process>> {
    let last = VICTIM.borrow().upgrade();
    if let Some(last) = last.filter(|last| is_ending(last)) {
        return Some(last);
    }
    let victim = choose()?;
    let space = victim.leader()?.space();
    *VICTIM.borrow_mut() = Arc::downgrade(&victim);
    if victim.pid() == 1 {
        let total = frames::usage().1 >> 8;
        husk_machine::report::print(format_args!(
            "husk: run: out of memory: the guest has used up its {total} MiB; give it more with --memory\n"
        ));
    }
    for process in process::all() {
        if process.leader().is_some_and(|task| Arc::ptr_eq(&task.space(), &space)) {
            exit::exit_group(&process, raw::SIGKILL as i32);
        }
    }
    Some(victim)
}

/// Ends the processes of these tasks, which share the memory of a host process that holds too much.
pub fn end(tasks: &[Arc<Task>]) {
    for task in tasks {
        exit::exit_group(task.process(), raw::SIGKILL as i32);
    }
}

/// On the way out of the kernel: acts on a shortage.
pub fn relieve_if_short() {
    if frames::take_shortage() && frames::is_short() {
        relieve();
    }
}

/// The current task touched a page that there was no memory for. False: memory is not the reason; else the touch is to be
/// tried again.
pub fn make_room(t: &Arc<Task>) -> bool {
    if !frames::take_shortage() {
        return false;
    }
    if let Some(victim) = frames::is_short().then(relieve).flatten()
        && !Arc::ptr_eq(&victim, t.process())
    {
        let deadline = Some(crate::time::monotonic_ns() + WAIT_NS);
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        let _ = wait_event(&[&victim.own_events], limit, || victim.zombie.get());
    }
    true
}

/// The last task of a process is about to end: if that was to give memory back, it does so before anybody is told.
pub fn give_back(process: &Process, space: &Space) {
    let is_victim = VICTIM.borrow().upgrade().is_some_and(|victim| core::ptr::eq(&*victim, process));
    if is_victim {
        let _ = space.clear();
    }
}
