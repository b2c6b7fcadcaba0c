//! seccomp(2), and its judgement of every call of a task that uses it.

use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::signal::{self, SigInfo};
use crate::task::cred::CAP_SYS_ADMIN;
use crate::task::seccomp::{Call, Program, Raw, Seccomp, Verdict};
use crate::task::{Task, exit, ptrace};
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::context;
use linux_raw_sys::general as raw;
use linux_raw_sys::ptrace as bpf;

pub(super) fn seccomp(t: &Arc<Task>, operation: u32, flags: u32, args: usize) -> SysResult {
    match operation {
        bpf::SECCOMP_SET_MODE_STRICT if flags == 0 && args == 0 => set_strict(t),
        bpf::SECCOMP_SET_MODE_FILTER => add_filter(t, flags, args),
        bpf::SECCOMP_GET_ACTION_AVAIL if flags == 0 => match user::read::<u32>(args)? {
            bpf::SECCOMP_RET_KILL_PROCESS
            | bpf::SECCOMP_RET_KILL_THREAD
            | bpf::SECCOMP_RET_TRAP
            | bpf::SECCOMP_RET_ERRNO
            | bpf::SECCOMP_RET_LOG
            | bpf::SECCOMP_RET_TRACE
            | bpf::SECCOMP_RET_ALLOW => Ok(0),
            _ => Err(Errno::EOPNOTSUPP),
        },
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn set_strict(t: &Arc<Task>) -> SysResult {
    if t.seccomp.borrow().mode() == bpf::SECCOMP_MODE_FILTER {
        return Err(Errno::EINVAL);
    }
    drop(t.seccomp.replace(Seccomp::Strict));
    Ok(0)
}

pub(super) fn add_filter(t: &Arc<Task>, flags: u32, args: usize) -> SysResult {
    const SYNC: u32 = bpf::SECCOMP_FILTER_FLAG_TSYNC;
    const SYNC_ESRCH: u32 = bpf::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    // Nothing is logged, and the processor's guesses are the host's business; no listener is offered.
    const KNOWN: u32 = SYNC | SYNC_ESRCH | bpf::SECCOMP_FILTER_FLAG_LOG | bpf::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    // struct sock_fprog: a count of 16 bits, the address of the instructions.
    let [count, address] = user::read::<[u64; 2]>(args)?;
    let count = usize::from(count as u16);
    if count == 0 || count > bpf::BPF_MAXINSNS as usize {
        return Err(Errno::EINVAL);
    }
    if !t.no_new_privs.get() && !t.cred().capable(CAP_SYS_ADMIN) {
        return Err(Errno::EACCES);
    }
    let program: Vec<Raw> =
        user::read_vec::<u64>(address as usize, count)?.into_iter().map(Raw::from_word).collect();
    let old = t.seccomp.borrow().clone();
    let new = old.with(Program::new(&program)?)?;
    if flags & SYNC != 0 {
        let others = t.process().living();
        // All threads get the filters, if none has others than this one had.
        if let Some(apart) = others.iter().find(|other| !old.descends_from(&other.seccomp.borrow())) {
            return if flags & SYNC_ESRCH != 0 { Err(Errno::ESRCH) } else { Ok(apart.tid() as usize) };
        }
        for other in others {
            drop(other.seccomp.replace(new.clone()));
            if t.no_new_privs.get() {
                other.no_new_privs.set(true);
            }
        }
    }
    drop(t.seccomp.replace(new));
    Ok(0)
}

/// Judges a call of a task that has put itself under seccomp; `None` lets it pass.
pub(crate) fn verdict(t: &Arc<Task>, number: u64, args: &[usize; 6]) -> Option<SysResult> {
    let seccomp = t.seccomp.borrow().clone();
    let regs = context::regs();
    let call = Call {
        number: number as u32,
        instruction_pointer: regs.rip,
        args: args.map(|argument| argument as u64),
    };
    let verdict = seccomp.judge(&call);
    match verdict {
        Verdict::Allow => None,
        Verdict::Errno(0) => Some(Ok(0)),
        Verdict::Errno(number) => Some(Err(Errno(number))),
        Verdict::Nobody => Some(Err(Errno::ENOSYS)),
        Verdict::Trace(data) if ptrace::report_seccomp(t, data) => None,
        Verdict::Trace(_) => Some(Err(Errno::ENOSYS)),
        Verdict::Trap(errno) => {
            signal::force(t, SigInfo::seccomp(regs.rip as usize, number as u32, errno));
            // The handler finds the registers as they were; its changes to RAX are the result.
            Some(Ok(number as usize))
        }
        Verdict::KillProcess => {
            exit::exit_group(t.process(), raw::SIGSYS as i32);
            end(t, raw::SIGSYS)
        }
        Verdict::KillThread => end(t, raw::SIGSYS),
        Verdict::KillStrictly => end(t, raw::SIGKILL),
    }
}

/// Ends the thread as by a signal; if it is the last one, so ends its process.
fn end(t: &Task, signo: u32) -> Option<SysResult> {
    exit::exit_task(t, signo as i32);
    Some(Err(Errno::ENOSYS))
}
