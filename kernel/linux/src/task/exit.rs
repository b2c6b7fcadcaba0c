//! The end of tasks and processes, and waiting for it: exit(2), exit_group(2), wait4(2), waitid(2).

use super::process::{self, JobReport, Process, Usage};
use super::wait::{WaitEnd, WaitLimit, wait_event};
use super::{Pid, Task, clone, futex, ptrace, sched};
use crate::errno::Errno;
use crate::signal::{self, SigInfo};
use crate::syscall::trace;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cpu;
use linux_raw_sys::general as raw;

/// The wait status of a process that ended by exit(2).
pub fn status_of_code(code: i32) -> i32 {
    (code & 0xff) << 8
}

/// Lets the calling task end when it leaves the kernel. `status` is a wait status, used if it is the last of its process.
pub fn exit_task(t: &Task, status: i32) {
    t.ended.set(Some(status));
    cpu::request_work();
}

/// A signal ends the process, or, if that is ending already, this thread.
pub fn end_by_signal(t: &Arc<Task>, status: i32) {
    if must_end(t).is_none() {
        exit_group(t.process(), status);
    }
    cpu::request_work();
}

/// The wait status with which the task must end now, if it must.
pub fn must_end(t: &Task) -> Option<i32> {
    let replaced = t.process().replacing.get().is_some_and(|survivor| survivor != t.tid());
    t.process().exiting.get().or(t.ended.get()).or(replaced.then_some(0))
}

/// Does all that the end of a task means but leaving its stack, which the caller does next.
pub fn finish(t: &Arc<Task>, status: i32) {
    let process = t.process();
    trace::ended(t, status);
    if process.tasks.borrow().len() <= 1 {
        // Errors are as those of a close that nobody looks at.
        let _ = t.space().write_back(0..usize::MAX);
    }
    if t.pid() == 1 && process.tasks.borrow().len() <= 1 {
        end_guest(status);
    }
    futex::exit_robust_list(t);
    let clear = t.clear_child_tid.take();
    if clear != 0 && crate::mem::user::write(clear, &0_u32).is_ok() {
        futex::wake_address(t, clear, 1);
    }
    if process.tasks.borrow().len() <= 1 {
        t.space().count_if_due();
        process.note_most_resident(t.space().most_resident());
        crate::mem::oom::give_back(process, &t.space());
    }
    take_out(t, status);
}

/// What the end of a task means to others.
fn take_out(t: &Arc<Task>, status: i32) {
    let process = t.process();
    process::unregister(t);
    crate::mem::remote::give_up(t);
    ptrace::task_ends(t, status);
    signal::task_leaves(t);
    // What the task alone refers to is let go of here, where releases may still run as this task.
    let files = t.files();
    t.set_files(crate::file::table::FdTable::new());
    if Arc::strong_count(&files) == 1 {
        drop(files.remove_range(0, usize::MAX));
    }
    drop(files);
    clone::release_vfork_parent(t);
    process.add_ended(sched::run_time(t), t.sched.switches());
    if process.tasks.borrow().is_empty() {
        end_process(process, status);
    }
    process.thread_ended.wake_all(!0);
}

/// As `finish`, for a task whose host thread is gone with its memory (`sched::look_for_lost`). It is the current task for
/// as long as this takes.
pub(super) fn finish_lost(t: &Arc<Task>) {
    let status = must_end(t).unwrap_or(raw::SIGKILL as i32);
    trace::ended(t, status);
    if t.pid() == 1 && t.process().tasks.borrow().len() <= 1 {
        end_guest(status);
    }
    take_out(t, status);
}

/// Process 1 ended, and with it the guest: its host process ends with the code that a shell would show.
fn end_guest(status: i32) -> ! {
    let signal = status & 0x7f;
    let code = if signal == 0 { (status >> 8) & 0xff } else { 128 + signal };
    trace::close();
    crate::fs::remote::write_back_all();
    crate::record::finish(code);
    cpu::exit_guest(code)
}

/// Makes every task of the process end with this wait status, the caller too when it leaves the kernel.
pub fn exit_group(process: &Arc<Process>, status: i32) {
    if process.exiting.get().is_none() {
        process.exiting.set(Some(status));
    }
    for task in process.living() {
        sched::wake_for_signal(&task);
    }
}

fn end_process(process: &Arc<Process>, status: i32) {
    let groups = signal::groups_at_risk(process);
    process.zombie.set(Some(status));
    signal::process_ended(process);
    crate::ipc::process_ends(process);
    crate::tty::job::process_ends(process);
    let children = process.children.take();
    if !children.is_empty() {
        let reaper = reaper_of(process);
        for child in children {
            *child.parent.borrow_mut() = Arc::downgrade(&reaper);
            reaper.children.borrow_mut().push(child.clone());
            if child.zombie.get().is_some() {
                notify_parent(&child);
            }
        }
    }
    signal::hang_up_orphans(groups);
    process.own_events.wake_all(!0);
    notify_parent(process);
}

/// Who adopts the children: the nearest ancestor that asked for it, or process 1.
fn reaper_of(process: &Arc<Process>) -> Arc<Process> {
    let mut ancestor = process.parent.borrow().upgrade();
    while let Some(candidate) = ancestor {
        if candidate.child_subreaper.get() && candidate.zombie.get().is_none() {
            return candidate;
        }
        ancestor = candidate.parent.borrow().upgrade();
    }
    process::find(1).expect("process 1 lives as long as the guest")
}

/// Tells the parent that a child ended: by signal and by ending its wait. A parent that ignores SIGCHLD wants no zombie.
fn notify_parent(child: &Arc<Process>) {
    let Some(parent) = child.parent.borrow().upgrade() else {
        return process::reap(child);
    };
    let status = child.zombie.get().unwrap_or(0);
    let signo = child.exit_signal.get();
    let wants_no_zombie = signo == raw::SIGCHLD && signal::ignores_children(&parent);
    if signo != 0 {
        signal::send_to_process(&parent, child_info(child, signo, status));
    }
    if wants_no_zombie {
        process::reap(child);
    }
    parent.child_events.wake_all(!0);
}

/// The siginfo of SIGCHLD and waitid(2) for a wait status.
fn child_info(child: &Process, signo: u32, status: i32) -> SigInfo {
    let signal = status & 0x7f;
    let (code, value) = match signal {
        0 => (raw::CLD_EXITED, (status >> 8) & 0xff),
        _ if status & 0x80 != 0 => (raw::CLD_DUMPED, signal),
        _ => (raw::CLD_KILLED, signal),
    };
    SigInfo::child(signo, code as i32, child.pid(), child.uid(), value).with_times(child.cpu_time())
}

/// Which children a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Any,
    Process(Pid),
    Group(Pid),
}

/// What a wait found.
pub struct Found {
    pub pid: Pid,
    /// As wait4(2) gives it.
    pub status: i32,
    /// As waitid(2) gives it.
    pub info: SigInfo,
    /// What the child has used.
    pub usage: Usage,
}

/// What to wait for: the W* bits of waitid(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub exited: bool,
    pub stopped: bool,
    pub continued: bool,
    pub no_hang: bool,
    pub no_wait: bool,
    /// __WCLONE and __WALL.
    pub clones_only: bool,
    pub all: bool,
}

/// Waits for a child to change state. `None`: with WNOHANG, nothing yet.
pub fn wait(t: &Arc<Task>, who: Who, options: Options) -> Result<Option<Found>, Errno> {
    let process = t.process().clone();
    let look = || match find_child(&process, who, options) {
        Ok(None) => None,
        found => Some(found),
    };
    if options.no_hang {
        return look().unwrap_or(Ok(None));
    }
    match wait_event(&[&process.child_events], WaitLimit::default(), look) {
        Ok(found) => found,
        Err(WaitEnd::Interrupted | WaitEnd::TimedOut) => Err(Errno::ERESTARTSYS),
    }
}

/// What a wait gives for a tracee that has stopped, or ended as no child.
fn found_tracee(report: &ptrace::Report) -> Found {
    let &ptrace::Report { tid, status, uid } = report;
    let (code, value) = match status & 0xff {
        0x7f => (raw::CLD_TRAPPED, status >> 8),
        0 => (raw::CLD_EXITED, status >> 8 & 0xff),
        signal => (raw::CLD_KILLED, signal & 0x7f),
    };
    let info = SigInfo::child(raw::SIGCHLD, code as i32, tid, uid, value);
    Found { pid: tid, status, info, usage: Usage::default() }
}

fn find_child(parent: &Arc<Process>, who: Who, options: Options) -> Result<Option<Found>, Errno> {
    let wanted = |id: Pid, pgid: Option<Pid>| match who {
        Who::Any => true,
        Who::Process(pid) => id == pid,
        Who::Group(wanted) => pgid == Some(wanted),
    };
    let tracees = match ptrace::find_report(parent, wanted, options.no_wait) {
        Ok(report) => return Ok(Some(found_tracee(&report))),
        Err(any) => any,
    };
    let matches = |child: &Arc<Process>| {
        let wanted = match who {
            Who::Any => true,
            Who::Process(pid) => child.pid() == pid,
            Who::Group(pgid) => child.pgid.get() == pgid,
        };
        let is_clone = child.exit_signal.get() != raw::SIGCHLD;
        wanted && (options.all || is_clone == options.clones_only)
    };
    let children: Vec<Arc<Process>> =
        parent.children.borrow().iter().filter(|child| matches(child)).cloned().collect();
    if children.is_empty() && !tracees {
        return Err(Errno::ECHILD);
    }
    for child in children {
        if let Some(status) = child.zombie.get().filter(|_| options.exited) {
            let found = Found {
                pid: child.pid(),
                status,
                info: child_info(&child, raw::SIGCHLD, status),
                usage: child.usage(),
            };
            if !options.no_wait {
                parent.add_children_usage(&child);
                process::reap(&child);
            }
            return Ok(Some(found));
        }
        let report = child.report.get().filter(|_| !ptrace::traces(parent, &child));
        let reported = match report {
            Some(JobReport::Stopped(signal)) if options.stopped => {
                Some(((signal as i32) << 8 | 0x7f, raw::CLD_STOPPED, signal as i32))
            }
            Some(JobReport::Continued) if options.continued => {
                Some((0xffff, raw::CLD_CONTINUED, raw::SIGCONT as i32))
            }
            _ => None,
        };
        if let Some((status, code, value)) = reported {
            if !options.no_wait {
                child.report.set(None);
            }
            let info = SigInfo::child(raw::SIGCHLD, code as i32, child.pid(), child.uid(), value);
            return Ok(Some(Found { pid: child.pid(), status, info, usage: child.usage() }));
        }
    }
    Ok(None)
}
