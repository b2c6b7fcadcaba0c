//! The profile of a specialised guest: system calls that it was not seen to need are refused, where its manifest asks for that.

use crate::errno::{Errno, SysResult};
use crate::task::{Task, exit};
use alloc::sync::Arc;
use husk_machine::start;
use linux_raw_sys::general as raw;

/// What every program needs to end and to come back from a signal.
const ALWAYS: [u32; 4] =
    [raw::__NR_rt_sigreturn, raw::__NR_exit, raw::__NR_exit_group, raw::__NR_restart_syscall];

/// `Boot::strict`: refused calls end the process.
const KILL: u32 = 2;

/// Whether this guest has a profile that counts.
pub(crate) fn is_strict() -> bool {
    start::boot().strict != 0
}

/// `None` lets a call pass. Else it is ENOSYS, as from a kernel without it, so that libraries fall back to what they know;
/// or SIGSYS for the whole process.
pub(crate) fn verdict(t: &Arc<Task>, number: u64) -> Option<SysResult> {
    let boot = start::boot();
    let word = boot.allowed.get(number as usize / 64).copied().unwrap_or(0);
    if word >> (number % 64) & 1 != 0 || ALWAYS.iter().any(|always| u64::from(*always) == number) {
        return None;
    }
    if boot.strict == KILL {
        exit::exit_group(t.process(), raw::SIGSYS as i32);
        exit::exit_task(t, raw::SIGSYS as i32);
    }
    Some(Err(Errno::ENOSYS))
}
