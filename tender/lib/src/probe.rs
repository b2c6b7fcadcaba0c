//! What the host offers a tender, found out by trying. For programs that report it; nothing here runs in a tender.

use crate::host::{self, HostErrno, HostResult};
use linux_raw_sys::ptrace::{
    SECCOMP_GET_ACTION_AVAIL, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP,
};
use syscalls::Sysno;

/// Whether a child with namespaces of its own can be made: `flags` are CLONE_NEW* of clone(2).
pub fn namespaces(flags: u32) -> HostResult<()> {
    // SAFETY: a copy of the calling process, in which only this thread exists; it makes one call and nothing else.
    match unsafe { host::fork(flags) }? {
        0 => host::exit(0),
        child => loop {
            match host::wait(child)? {
                Some(0) => return Ok(()),
                Some(_) => return Err(HostErrno::ECHILD),
                None => {}
            }
        },
    }
}

/// `LANDLOCK_CREATE_RULESET_VERSION` (linux/landlock.h).
const VERSION: usize = 1;

/// The version of Landlock's interface.
pub fn landlock() -> HostResult<u32> {
    let args = [0, 0, VERSION, 0, 0, 0];
    // SAFETY: asks for the version: no pointer is read.
    unsafe { host::call(Sysno::landlock_create_ruleset, args) }.map(|version| version as u32)
}

/// Whether seccomp filters can do what the tenders' filters do.
pub fn seccomp() -> HostResult<()> {
    for action in [SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS] {
        let args = [SECCOMP_GET_ACTION_AVAIL as usize, 0, (&raw const action) as usize, 0, 0, 0];
        // SAFETY: the kernel reads one word.
        unsafe { host::call(Sysno::seccomp, args) }?;
    }
    Ok(())
}
