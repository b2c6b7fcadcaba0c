//! Processes and threads: clone(2), execve(2), exit(2), wait4(2), futex(2).

use super::misc::write_usage;
use crate::errno::{Errno, SysResult};
use crate::file::pidfd::PidFd;
use crate::fs::open::open_exec_at;
use crate::mem::user;
use crate::task::clone::{self, Request};
use crate::task::exit::{self, Found, Options, Who};
use crate::task::process::Usage;
use crate::task::{Task, barrier, exec, futex as futexes, ptrace, rseq as restartable, sched};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

const SIGNAL_MASK: u64 = 0xff;

pub(super) fn fork(t: &Arc<Task>) -> SysResult {
    clone::clone(t, &Request { exit_signal: raw::SIGCHLD, ..Request::default() })
}

pub(super) fn vfork(t: &Arc<Task>) -> SysResult {
    let flags = (raw::CLONE_VM | raw::CLONE_VFORK).into();
    clone::clone(t, &Request { flags, exit_signal: raw::SIGCHLD, ..Request::default() })
}

pub(super) fn clone(
    t: &Arc<Task>,
    flags: u64,
    stack: usize,
    parent_tid: usize,
    child_tid: usize,
    tls: u64,
) -> SysResult {
    // The descriptor's place is the parent's id's.
    let request = Request {
        flags: flags & 0xffff_ffff & !SIGNAL_MASK,
        exit_signal: (flags & SIGNAL_MASK) as u32,
        stack,
        tls,
        parent_tid,
        child_tid,
        pidfd: parent_tid,
        set_tid: false,
    };
    clone::clone(t, &request)
}

/// Bytes of `struct clone_args` in its first and in its newest known form.
const CLONE_ARGS_MIN: usize = 64;
const CLONE_ARGS: usize = 88;

pub(super) fn clone3(t: &Arc<Task>, args: usize, size: usize) -> SysResult {
    if size < CLONE_ARGS_MIN {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let mut words = [0_u64; CLONE_ARGS / 8];
    user::copy_in(args, &mut husk_machine::pod::bytes_of_mut(&mut words)[..size.min(CLONE_ARGS)])?;
    let mut rest = alloc::vec![0; size.saturating_sub(CLONE_ARGS)];
    user::copy_in(args + CLONE_ARGS.min(size), &mut rest)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    let [
        flags,
        pidfd,
        child_tid,
        parent_tid,
        exit_signal,
        stack,
        stack_size,
        tls,
        set_tid,
        set_tid_size,
        _cgroup,
    ] = words;
    if exit_signal > SIGNAL_MASK
        || flags & SIGNAL_MASK != 0
        || (stack == 0) != (stack_size == 0)
        || (set_tid == 0) != (set_tid_size == 0)
        || flags & u64::from(raw::CLONE_DETACHED) != 0
    {
        return Err(Errno::EINVAL);
    }
    if flags & u64::from(raw::CLONE_THREAD | raw::CLONE_PARENT) != 0 && exit_signal != 0 {
        return Err(Errno::EINVAL);
    }
    let request = Request {
        flags,
        exit_signal: exit_signal as u32,
        stack: (stack + stack_size) as usize,
        tls,
        parent_tid: parent_tid as usize,
        child_tid: child_tid as usize,
        pidfd: pidfd as usize,
        set_tid: set_tid != 0,
    };
    clone::clone(t, &request)
}

/// Bytes of all arguments and environment strings (ARG_MAX as Linux derives it from the usual stack limit).
const STRINGS_MAX: usize = 2 << 20;

fn read_strings(pointers: usize, left: &mut usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if pointers == 0 {
        return Ok(strings);
    }
    loop {
        let pointer = user::read::<usize>(pointers + strings.len() * 8)?;
        if pointer == 0 {
            return Ok(strings);
        }
        let string = user::read_cstr(pointer, crate::load::stack::STRING_MAX, Errno::E2BIG)?;
        *left = left.checked_sub(string.len() + 9).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}

pub(super) fn execve(t: &Arc<Task>, path: usize, argv: usize, envp: usize) -> SysResult {
    execveat(t, raw::AT_FDCWD, path, argv, envp, 0)
}

pub(super) fn execveat(
    t: &Arc<Task>,
    dirfd: i32,
    path: usize,
    argv: usize,
    envp: usize,
    flags: u32,
) -> SysResult {
    let name = user::read_path(path)?;
    let mut left = STRINGS_MAX;
    let args = read_strings(argv, &mut left)?;
    let env = read_strings(envp, &mut left)?;
    let file = open_exec_at(t, dirfd, &name, flags)?;
    let tid = t.tid();
    exec::execve(t, file, &name, args, &env)?;
    ptrace::report_exec(t, tid);
    Ok(0)
}

pub(super) fn exit(t: &Arc<Task>, code: i32) -> SysResult {
    exit::exit_task(t, exit::status_of_code(code));
    Ok(0)
}

pub(super) fn exit_group(t: &Arc<Task>, code: i32) -> SysResult {
    exit::exit_group(t.process(), exit::status_of_code(code));
    exit::exit_task(t, exit::status_of_code(code));
    Ok(0)
}

/// Writes the resource usage of a child where a wait wants it.
fn write_child_usage(address: usize, usage: Usage) -> Result<(), Errno> {
    if address == 0 { Ok(()) } else { write_usage(address, usage) }
}

pub(super) fn wait4(t: &Arc<Task>, pid: i32, status: usize, options: u32, usage: usize) -> SysResult {
    const KNOWN: u32 =
        raw::WNOHANG | raw::WUNTRACED | raw::WCONTINUED | raw::__WNOTHREAD | raw::__WCLONE | raw::__WALL;
    if options & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let who = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Who::Any,
        0 => Who::Group(t.process().pgid.get()),
        pid if pid < 0 => Who::Group(-pid),
        pid => Who::Process(pid),
    };
    let wanted = Options {
        exited: true,
        stopped: options & raw::WUNTRACED != 0,
        continued: options & raw::WCONTINUED != 0,
        no_hang: options & raw::WNOHANG != 0,
        no_wait: false,
        clones_only: options & raw::__WCLONE != 0,
        all: options & raw::__WALL != 0,
    };
    let Some(found) = exit::wait(t, who, wanted)? else { return Ok(0) };
    if status != 0 {
        user::write(status, &found.status)?;
    }
    write_child_usage(usage, found.usage)?;
    Ok(found.pid as usize)
}

pub(super) fn waitid(
    t: &Arc<Task>,
    idtype: u32,
    id: i32,
    info: usize,
    options: u32,
    usage: usize,
) -> SysResult {
    const KNOWN: u32 = raw::WNOHANG
        | raw::WEXITED
        | raw::WSTOPPED
        | raw::WCONTINUED
        | raw::WNOWAIT
        | raw::__WNOTHREAD
        | raw::__WCLONE
        | raw::__WALL;
    if options & !KNOWN != 0 || options & (raw::WEXITED | raw::WSTOPPED | raw::WCONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let mut no_hang = options & raw::WNOHANG != 0;
    let who = match idtype {
        raw::P_ALL => Who::Any,
        raw::P_PID if id > 0 => Who::Process(id),
        raw::P_PGID if id > 0 => Who::Group(id),
        raw::P_PGID if id == 0 => Who::Group(t.process().pgid.get()),
        raw::P_PIDFD if id >= 0 => {
            let file = t.files().get(id)?;
            let pidfd = file.object.downcast::<PidFd>().ok_or(Errno::EINVAL)?;
            no_hang |= file.nonblocking();
            Who::Process(pidfd.process().pid())
        }
        _ => return Err(Errno::EINVAL),
    };
    let wanted = Options {
        exited: options & raw::WEXITED != 0,
        stopped: options & raw::WSTOPPED != 0,
        continued: options & raw::WCONTINUED != 0,
        no_hang,
        no_wait: options & raw::WNOWAIT != 0,
        clones_only: options & raw::__WCLONE != 0,
        all: options & raw::__WALL != 0,
    };
    match exit::wait(t, who, wanted)? {
        Some(Found { info: found, usage: used, .. }) => {
            write_child_usage(usage, used)?;
            if info != 0 {
                user::copy_out(info, &found.to_bytes())?;
            }
        }
        None if no_hang && options & raw::WNOHANG == 0 => return Err(Errno::EAGAIN),
        // Nothing yet: signal number and process id are zero.
        None if info != 0 => user::write(info, &[0_u64; 16])?,
        None => {}
    }
    Ok(0)
}

pub(super) fn futex(
    t: &Arc<Task>,
    uaddr: usize,
    op: u32,
    val: u32,
    timeout: usize,
    uaddr2: usize,
    val3: u32,
) -> SysResult {
    futexes::futex(t, uaddr, op, val, timeout, uaddr2, val3)
}

pub(super) fn futex_waitv(
    t: &Arc<Task>,
    waiters: usize,
    nr_futexes: u32,
    flags: u32,
    timeout: usize,
    clockid: i32,
) -> SysResult {
    futexes::sized::waitv(t, waiters, nr_futexes, flags, timeout, clockid)
}

pub(super) fn futex_wake(t: &Arc<Task>, uaddr: usize, mask: u64, nr: i32, flags: u32) -> SysResult {
    futexes::sized::wake(t, uaddr, mask, nr, flags)
}

pub(super) fn futex_wait(
    t: &Arc<Task>,
    uaddr: usize,
    val: u64,
    mask: u64,
    flags: u32,
    timeout: usize,
    clockid: i32,
) -> SysResult {
    futexes::sized::wait(t, uaddr, val, mask, flags, timeout, clockid)
}

pub(super) fn futex_requeue(
    t: &Arc<Task>,
    waiters: usize,
    flags: u32,
    nr_wake: i32,
    nr_requeue: i32,
) -> SysResult {
    futexes::sized::requeue_between(t, waiters, flags, nr_wake, nr_requeue)
}

pub(super) fn membarrier(t: &Arc<Task>, cmd: u32, flags: u32, cpu_id: i32) -> SysResult {
    barrier::membarrier(t, cmd, flags, cpu_id)
}

pub(super) fn rseq(t: &Arc<Task>, rseq: usize, rseq_len: u32, flags: u32, sig: u32) -> SysResult {
    restartable::register(t, rseq, rseq_len, flags, sig)
}

pub(super) fn sched_yield(_t: &Arc<Task>) -> SysResult {
    sched::yield_now();
    Ok(0)
}
