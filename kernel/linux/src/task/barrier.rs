//! Memory barriers on all vCPUs that run certain threads: membarrier(2).
//!
//! Who is in the kernel has passed one on the way in, and passes another by taking the big kernel lock. So only vCPUs
//! that execute their application are kicked, and the caller sleeps until each of them has been in the kernel.

use super::sched;
use super::wait::{WaitLimit, WaitQueue, wait_event};
use super::{Task, exit};
use crate::errno::{Errno, SysResult};
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use husk_machine::context;
use linux_raw_sys::general::{membarrier_cmd as cmd, membarrier_cmd_flag as flag};

const GLOBAL: u32 = cmd::MEMBARRIER_CMD_GLOBAL as u32;
const GLOBAL_EXPEDITED: u32 = cmd::MEMBARRIER_CMD_GLOBAL_EXPEDITED as u32;
const REGISTER_GLOBAL: u32 = cmd::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED as u32;
const PRIVATE: u32 = cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED as u32;
const REGISTER_PRIVATE: u32 = cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED as u32;
const SYNC_CORE: u32 = cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE as u32;
const REGISTER_SYNC_CORE: u32 = cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE as u32;
const RSEQ: u32 = cmd::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ as u32;
const REGISTER_RSEQ: u32 = cmd::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ as u32;
const GET_REGISTRATIONS: u32 = cmd::MEMBARRIER_CMD_GET_REGISTRATIONS as u32;
const FLAG_CPU: u32 = flag::MEMBARRIER_CMD_FLAG_CPU as u32;

const QUERY: u32 = cmd::MEMBARRIER_CMD_QUERY as u32;
const KNOWN: u32 = GLOBAL
    | GLOBAL_EXPEDITED
    | REGISTER_GLOBAL
    | PRIVATE
    | REGISTER_PRIVATE
    | SYNC_CORE
    | REGISTER_SYNC_CORE
    | RSEQ
    | REGISTER_RSEQ
    | GET_REGISTRATIONS;

/// A barrier that has not been passed by all.
#[derive(Default)]
pub(super) struct Barrier {
    /// vCPUs that have been kicked and were not in the kernel since.
    left: KCell<usize>,
    passed: WaitQueue,
}

/// A vCPU has passed what it was kicked for, or is no more.
pub(super) fn passed(barriers: &[Arc<Barrier>]) {
    for barrier in barriers {
        barrier.left.set(barrier.left.get() - 1);
        if barrier.left.get() == 0 {
            barrier.passed.wake_all(!0);
        }
    }
}

/// Whether somebody waits for this vCPU to pass.
pub fn is_due() -> bool {
    sched::has_barriers()
}

/// This vCPU is in the kernel: tells who waits for that.
pub fn pass() {
    if is_due() {
        passed(&sched::take_barriers());
        // On Linux whoever waits for it keeps its processor meanwhile: here it gets one back at once.
        sched::end_turn();
    }
}

/// The current task is about to go on: if its program asked for it, with an instruction that makes the processor forget
/// what code it has fetched.
pub fn resume(t: &Task) {
    if t.space.borrow().barriers.get() & REGISTER_SYNC_CORE != 0 {
        context::return_fully();
    }
}

/// membarrier(2).
pub fn membarrier(t: &Arc<Task>, command: u32, flags: u32, cpu: i32) -> SysResult {
    if flags != 0 && (command != RSEQ || flags != FLAG_CPU) {
        return Err(Errno::EINVAL);
    }
    let space = t.space();
    let registered = |needed: u32| {
        if space.barriers.get() & needed == 0 { Err(Errno::EPERM) } else { Ok(()) }
    };
    let of_space = |other: &Arc<Task>| Arc::ptr_eq(&other.space.borrow(), &space);
    match command {
        QUERY => return Ok(KNOWN as usize),
        GET_REGISTRATIONS => {
            let ready = space.barriers.get();
            // As on Linux, every private registration is one of the plain kind besides.
            let private = ready & (REGISTER_PRIVATE | REGISTER_SYNC_CORE | REGISTER_RSEQ) != 0;
            return Ok((ready | if private { REGISTER_PRIVATE } else { 0 }) as usize);
        }
        REGISTER_GLOBAL | REGISTER_PRIVATE | REGISTER_SYNC_CORE | REGISTER_RSEQ => {
            space.barriers.set(space.barriers.get() | command);
        }
        GLOBAL => serialise(t, |_, _| true),
        GLOBAL_EXPEDITED => {
            serialise(t, |_, other| other.space.borrow().barriers.get() & REGISTER_GLOBAL != 0);
        }
        PRIVATE => {
            registered(REGISTER_PRIVATE)?;
            serialise(t, |_, other| of_space(other));
        }
        SYNC_CORE => {
            registered(REGISTER_SYNC_CORE)?;
            serialise(t, |_, other| of_space(other));
            context::return_fully();
        }
        RSEQ => {
            registered(REGISTER_RSEQ)?;
            let wanted = (flags != 0).then_some(cpu as u32);
            serialise(t, |cpu, other| {
                of_space(other) && wanted.is_none_or(|wanted| wanted == cpu) && other.rseq.demand()
            });
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// Waits until every other vCPU that runs a task for which `concerns` (number of the vCPU in its process, task) has been
/// in the kernel.
fn serialise(t: &Arc<Task>, concerns: impl Fn(u32, &Arc<Task>) -> bool) {
    let barrier = Arc::new(Barrier::default());
    barrier.left.set(sched::kick_running(&barrier, concerns));
    let limit = WaitLimit { uninterruptible: true, ..WaitLimit::default() };
    let all_passed = || (barrier.left.get() == 0).then_some(());
    if wait_event(&[&barrier.passed], limit, all_passed).is_err() {
        debug_assert!(exit::must_end(t).is_some(), "only the end interrupts it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::test::enter;

    #[test]
    fn commands_need_their_registration() {
        let t = enter();
        let call = |command, flags| membarrier(&t, command, flags, 0);
        assert_eq!(call(QUERY, 0), Ok(KNOWN as usize));
        assert_eq!(call(QUERY, 1), Err(Errno::EINVAL));
        for (command, registration) in
            [(PRIVATE, REGISTER_PRIVATE), (SYNC_CORE, REGISTER_SYNC_CORE), (RSEQ, REGISTER_RSEQ)]
        {
            assert_eq!(call(command, 0), Err(Errno::EPERM));
            assert_eq!(call(registration, 0), Ok(0));
            assert_eq!(call(command, 0), Ok(0));
        }
        let all = REGISTER_PRIVATE | REGISTER_SYNC_CORE | REGISTER_RSEQ;
        assert_eq!(call(GET_REGISTRATIONS, 0), Ok(all as usize));
        assert_eq!(call(RSEQ, FLAG_CPU), Ok(0));
        assert_eq!(call(PRIVATE, FLAG_CPU), Err(Errno::EINVAL));
        assert_eq!(call(1 << 20, 0), Err(Errno::EINVAL));
    }
}
