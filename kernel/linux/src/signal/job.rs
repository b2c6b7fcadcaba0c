//! Job control: stopping and continuing a process, and telling its parent.
//!
//! `Process::stopped` is set when a stop begins. Each thread joins it on its way out of the kernel; when the last one
//! has, the parent learns of it. SIGCONT ends it, and SIGKILL ends everything.

use super::info::SigInfo;
use super::send::{handlers_of, send_to_group, send_to_process};
use super::{SIG_IGN, killed};
use crate::task::process::{self, JobReport, Process};
use crate::task::wait::{WaitLimit, wait_event};
use crate::task::{Pid, Task, ptrace, sched};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// A stop of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    signo: u32,
    /// All threads have joined, and the parent has been told.
    complete: bool,
}

/// Whether a process group has no member whose parent could take care of it: its default stop signals are ignored. Process
/// 1 has such a parent: whoever runs the guest, and passes SIGCONT on.
pub fn orphaned(pgid: Pid) -> bool {
    !process::in_group(pgid).iter().any(|member| {
        let parent = member.parent.borrow().upgrade();
        let cared_for = member.pid() == 1
            || parent.is_some_and(|parent| {
                parent.pgid.get() != pgid && parent.session.borrow().id == member.session.borrow().id
            });
        cared_for && member.zombie.get().is_none()
    })
}

/// Groups that the end of `process` may orphan: its own and those of its children. Call it while they are not orphaned.
pub fn groups_at_risk(process: &Process) -> Vec<Pid> {
    let children = process.children.borrow().clone();
    let mut groups: Vec<Pid> = children.iter().map(|child| child.pgid.get()).collect();
    groups.push(process.pgid.get());
    groups.sort_unstable();
    groups.dedup();
    groups.retain(|pgid| !orphaned(*pgid));
    groups
}

/// Wakes groups that have just become orphaned with stopped members, whom nobody would continue: SIGHUP, SIGCONT.
pub fn hang_up_orphans(groups: Vec<Pid>) {
    for pgid in groups {
        if orphaned(pgid) && process::in_group(pgid).iter().any(|member| member.stopped.get()) {
            send_to_group(pgid, SigInfo::kernel(raw::SIGHUP));
            send_to_group(pgid, SigInfo::kernel(raw::SIGCONT));
        }
    }
}

/// Begins to stop the process of `t` for `signo`, by default action.
pub(super) fn begin_stop(t: &Arc<Task>, signo: u32) {
    if signo != raw::SIGSTOP && orphaned(t.process().pgid.get()) {
        return;
    }
    let process = t.process();
    if process.stopped.get() {
        return;
    }
    process.signals.state.borrow_mut().stop = Some(Stop { signo, complete: false });
    process.stopped.set(true);
    for thread in process.living() {
        if thread.tid() != t.tid() {
            sched::wake_for_signal(&thread);
        }
    }
}

/// Joins the stop of the process and waits until it ends. False: it has joined before, and its tracer let it go on.
pub(super) fn stay_stopped(t: &Arc<Task>) -> bool {
    let process = t.process().clone();
    if t.trace.is_traced() {
        if t.signals.state.borrow().in_stop {
            return false;
        }
        let signo = process.signals.state.borrow().stop.map_or(raw::SIGSTOP, |stop| stop.signo);
        t.signals.state.borrow_mut().in_stop = true;
        check_complete(&process);
        ptrace::group_stop(t, signo);
        return true;
    }
    while process.stopped.get() && !killed(t) && !t.trace.is_traced() {
        t.signals.state.borrow_mut().in_stop = true;
        check_complete(&process);
        let limit = WaitLimit { uninterruptible: true, ..WaitLimit::default() };
        // SIGCONT clears `in_stop`: when the next stop begins before this thread runs, it joins that one anew.
        let resumed = || (!t.signals.state.borrow().in_stop).then_some(());
        let _ = wait_event(&[&process.signals.resume], limit, resumed);
        if cfg!(not(husk_image)) {
            // Unit tests have nobody who could continue it.
            break;
        }
    }
    t.signals.state.borrow_mut().in_stop = false;
    true
}

/// The task has a tracer, or has none any more: a stop of its process is told anew.
pub fn rejoin_stop(t: &Arc<Task>) {
    if t.process().stopped.get() {
        t.signals.state.borrow_mut().in_stop = false;
        t.process().signals.resume.wake_all(!0);
        sched::wake_for_signal(t);
    }
}

/// Tells the parent once the last thread has joined a stop.
pub(super) fn check_complete(process: &Arc<Process>) {
    let Some(stop) = process.signals.state.borrow().stop else { return };
    let members = process.living();
    if stop.complete
        || members.is_empty()
        || !members.iter().all(|thread| thread.signals.state.borrow().in_stop)
    {
        return;
    }
    process.signals.state.borrow_mut().stop = Some(Stop { complete: true, ..stop });
    let parent = process.parent.borrow().upgrade();
    if parent.is_some_and(|parent| ptrace::traces(&parent, process)) {
        // It hears of each thread, as its tracer.
        return;
    }
    process.report.set(Some(JobReport::Stopped(stop.signo)));
    notify_parent(process, raw::CLD_STOPPED as i32, stop.signo as i32);
    if process.pid() == 1 {
        // Whoever can continue it is outside.
        crate::tty::console::stop_outside();
    }
}

/// SIGCONT was sent: ends a stop, whatever the disposition of the signal.
pub(super) fn resume(process: &Arc<Process>, members: &[Arc<Task>]) {
    if !process.stopped.get() {
        return;
    }
    let stop = process.signals.state.borrow_mut().stop.take();
    process.stopped.set(false);
    for thread in members {
        thread.signals.state.borrow_mut().in_stop = false;
    }
    process.signals.resume.wake_all(!0);
    members.iter().for_each(ptrace::wake_listener);
    if stop.is_some_and(|stop| stop.complete) {
        process.report.set(Some(JobReport::Continued));
        notify_parent(process, raw::CLD_CONTINUED as i32, raw::SIGCONT as i32);
    }
}

/// Tells the parent that its child stopped or went on.
fn notify_parent(process: &Arc<Process>, code: i32, status: i32) {
    let parent = process.parent.borrow().upgrade();
    if let Some(parent) = parent {
        if wants_stops(&parent) {
            let uid = process.leader().map_or(0, |task| task.cred().uid);
            let info = SigInfo::child(raw::SIGCHLD, code, process.pid(), uid, status);
            send_to_process(&parent, info.with_times(process.cpu_time()));
        }
        parent.child_events.wake_all(!0);
    }
    process.own_events.wake_all(!0);
}

/// Whether a process wants SIGCHLD for stops too.
pub fn wants_stops(parent: &Process) -> bool {
    handlers_of(parent).is_some_and(|handlers| {
        let action = handlers.get(raw::SIGCHLD);
        action.handler != SIG_IGN && !action.has(raw::SA_NOCLDSTOP)
    })
}

/// Whether a process wants no zombies of its children: it ignores SIGCHLD or has set SA_NOCLDWAIT.
pub fn ignores_children(parent: &Process) -> bool {
    handlers_of(parent).is_some_and(|handlers| {
        let action = handlers.get(raw::SIGCHLD);
        action.handler == SIG_IGN || action.has(raw::SA_NOCLDWAIT)
    })
}
