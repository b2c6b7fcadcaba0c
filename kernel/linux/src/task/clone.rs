//! New tasks: clone(2), fork(2), vfork(2).

use super::process;
use super::sched::{self, Entity, Group};
use super::wait::{WaitLimit, WaitQueue, wait_event};
use super::{Pid, Task, ptrace};
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::signal;
use alloc::sync::Arc;
use husk_abi::boot::FLAG_FORK;
use husk_machine::cell::KCell;
use husk_machine::thread::Thread;
use husk_machine::{cpu, start};
use linux_raw_sys::general as raw;

/// What clone3(2) asks for; clone(2) and its like are put into the same form.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// CLONE_* flags, without the signal.
    pub flags: u64,
    pub exit_signal: u32,
    /// Top of the child's stack; 0 keeps the parent's.
    pub stack: usize,
    pub tls: u64,
    pub parent_tid: usize,
    pub child_tid: usize,
    pub pidfd: usize,
    /// Wanted process ids (set_tid): not offered.
    pub set_tid: bool,
}

const VM: u64 = raw::CLONE_VM as u64;
const FS: u64 = raw::CLONE_FS as u64;
const FILES: u64 = raw::CLONE_FILES as u64;
const SIGHAND: u64 = raw::CLONE_SIGHAND as u64;
const PIDFD: u64 = raw::CLONE_PIDFD as u64;
const VFORK: u64 = raw::CLONE_VFORK as u64;
const PARENT: u64 = raw::CLONE_PARENT as u64;
const THREAD: u64 = raw::CLONE_THREAD as u64;
const SETTLS: u64 = raw::CLONE_SETTLS as u64;
const PARENT_SETTID: u64 = raw::CLONE_PARENT_SETTID as u64;
const CHILD_CLEARTID: u64 = raw::CLONE_CHILD_CLEARTID as u64;
const CHILD_SETTID: u64 = raw::CLONE_CHILD_SETTID as u64;
const CLEAR_SIGHAND: u64 = raw::CLONE_CLEAR_SIGHAND;
/// Accepted and without effect, as on Linux: CLONE_PTRACE without a tracer, CLONE_SYSVSEM, CLONE_DETACHED, CLONE_IO.
const WITHOUT_EFFECT: u64 =
    (raw::CLONE_PTRACE | raw::CLONE_SYSVSEM | raw::CLONE_DETACHED | raw::CLONE_UNTRACED | raw::CLONE_IO)
        as u64;
const NAMESPACES: u64 = (raw::CLONE_NEWNS
    | raw::CLONE_NEWCGROUP
    | raw::CLONE_NEWUTS
    | raw::CLONE_NEWIPC
    | raw::CLONE_NEWUSER
    | raw::CLONE_NEWPID
    | raw::CLONE_NEWNET) as u64;
const KNOWN: u64 = VM
    | FS
    | FILES
    | SIGHAND
    | PIDFD
    | VFORK
    | PARENT
    | THREAD
    | SETTLS
    | PARENT_SETTID
    | CHILD_CLEARTID
    | CHILD_SETTID
    | CLEAR_SIGHAND
    | WITHOUT_EFFECT;

fn check(request: &Request) -> Result<(), Errno> {
    let flags = request.flags;
    let has = |bits: u64| flags & bits != 0;
    if has(raw::CLONE_NEWNS as u64) && has(FS) || has(raw::CLONE_NEWUSER as u64) && has(FS) {
        return Err(Errno::EINVAL);
    }
    if has(NAMESPACES) {
        return Err(Errno::EPERM);
    }
    if flags & !KNOWN != 0
        || has(SIGHAND) && !has(VM)
        || has(THREAD) && !has(SIGHAND)
        || has(SIGHAND) && has(CLEAR_SIGHAND)
        || has(PIDFD) && has(PARENT_SETTID) && request.pidfd == request.parent_tid
        || request.exit_signal > 64
        || request.set_tid
    {
        return Err(Errno::EINVAL);
    }
    if !has(THREAD) && start::boot().flags & FLAG_FORK == 0 {
        // The manifest of this guest says that it does not fork.
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// Makes a task that shares with the current one what the flags say; the id that the caller sees.
pub fn clone(t: &Arc<Task>, request: &Request) -> SysResult {
    check(request)?;
    let flags = request.flags;
    let has = |bits: u64| flags & bits != 0;
    let limit = t.rlimit(raw::RLIMIT_NPROC).rlim_cur;
    if process::all_tasks().len() as u64 >= limit {
        return Err(Errno::EAGAIN);
    }
    if has(PIDFD) {
        // What can fail must fail while there is no child: the number that is free now is free until the end.
        let fd = crate::file::pidfd::open(t, t.process(), false)?;
        let told = user::write(request.pidfd, &fd);
        drop(t.files().remove(fd));
        told?;
    }
    let mut thread = Thread::new().map_err(|_| Errno::ENOMEM)?;
    let stack = (request.stack != 0).then_some(request.stack as u64);
    thread.set_start(0, stack, has(SETTLS).then_some(request.tls));

    let space = t.space();
    let shared_group = space.group();
    let (space, group) = if has(VM) {
        (space, shared_group)
    } else {
        let group = if cpu::is_process_tender() {
            Group::new_process(false).map_err(|error| Errno(error as u16))?
        } else {
            shared_group.clone().ok_or(Errno::EAGAIN)?
        };
        (space.duplicate(group.clone())?, Some(group))
    };
    let process = if has(THREAD) {
        t.process().clone()
    } else {
        process::new_child(t, has(PARENT), request.exit_signal)
    };
    let tid = if has(THREAD) { process::new_pid() } else { process.pid() };
    let vfork_done = has(VFORK).then(|| Arc::new(WaitQueue::new()));
    let child = Arc::new(Task {
        tid: KCell::new(tid),
        process,
        cred: KCell::new(t.cred()),
        files: KCell::new(if has(FILES) { t.files() } else { t.files().duplicate() }),
        fs: KCell::new(if has(FS) { t.fs() } else { t.fs().duplicate() }),
        space: KCell::new(space),
        comm: KCell::new(t.comm.get()),
        signals: signal::TaskSignals::for_child(t, has(VM) && !has(VFORK)),
        handlers: KCell::new(signal::Handlers::for_child(t, has(SIGHAND), has(CLEAR_SIGHAND))),
        clear_child_tid: KCell::new(if has(CHILD_CLEARTID) { request.child_tid } else { 0 }),
        robust_list: KCell::default(),
        rseq: t.rseq.for_child(has(VM)),
        seccomp: KCell::new(t.seccomp.borrow().clone()),
        attributes: KCell::new(t.attributes.borrow().for_child()),
        no_new_privs: KCell::new(t.no_new_privs.get()),
        vfork_done: KCell::new(vfork_done.clone()),
        ended: KCell::default(),
        errands: KCell::default(),
        trace: ptrace::Tracee::default(),
        sched: Entity::new(Some(thread), group),
    });
    process::register(&child);
    if has(PIDFD) {
        let fd = crate::file::pidfd::open(t, child.process(), false)?;
        // It was written before, unless the program has taken the page away since.
        let _ = user::write(request.pidfd, &fd);
    }
    if has(PARENT_SETTID) {
        // As on Linux, the child is there whether or not this succeeds.
        let _ = user::write(request.parent_tid, &tid);
    }
    if has(CHILD_SETTID) {
        // In the child's memory, which may be a copy by now: the child writes it when it first runs.
        child.sched.set_child_tid(request.child_tid);
    }
    let id: Pid = tid;
    let event = ptrace::event_of_clone(flags, request.exit_signal);
    ptrace::follow(t, &child, event);
    sched::start(child.clone());
    ptrace::report_clone(t, event, tid);
    if let Some(done) = vfork_done {
        let limit = WaitLimit { uninterruptible: true, ..WaitLimit::default() };
        let _ = wait_event(&[&done], limit, || child.vfork_done.borrow().is_none().then_some(()));
        ptrace::report_vfork_done(t, tid);
    }
    Ok(id as usize)
}

/// The first thing a new task does in the kernel.
pub fn started(t: &Arc<Task>) {
    if t.space().settle_after_fork().is_err() {
        // The child would see what it must not.
        super::exit::exit_group(t.process(), raw::SIGKILL as i32);
    }
    if let Some(address) = t.sched.take_child_tid() {
        let _ = user::write(address, &t.tid());
    }
}

/// The task has stopped using its vfork parent's memory.
pub fn release_vfork_parent(t: &Task) {
    let done = t.vfork_done.take();
    if let Some(done) = done {
        done.wake_all(!0);
    }
}
