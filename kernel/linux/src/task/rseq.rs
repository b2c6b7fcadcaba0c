//! Restartable sequences: rseq(2).
//!
//! A thread registers an area of its memory that says on which vCPU it runs, and in which it names the critical section it
//! is in. That section is aborted when another task may have run on the vCPU meanwhile, when the thread goes on on another
//! one, and for a signal handler. A task leaves its vCPU nowhere but in the kernel, so all of this is done on the way
//! out, and only for a task that had no vCPU for a while: system calls that do not sleep cost nothing.

use super::{Task, exit, sched};
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::signal::{self, SigInfo};
use alloc::sync::Arc;
use husk_abi::layout::GUEST_END;
use husk_machine::cell::KCell;
use husk_machine::context::{self, Regs};
use husk_machine::cpu;
use linux_raw_sys::general::SIGSEGV;

/// What the area has by now, for AT_RSEQ_FEATURE_SIZE: up to and with `mm_cid`.
pub const FEATURE_SIZE: usize = 28;
/// For AT_RSEQ_ALIGN.
pub const ALIGN: usize = 32;

/// `struct rseq` of linux/rseq.h, and the size that it had at first, padding included.
const SECTION: usize = 8;
const NODE_ID: usize = 20;
const ORIGINAL_SIZE: u32 = 32;
const FLAG_UNREGISTER: u32 = 1;
const UNINITIALIZED: u32 = u32::MAX;

/// An area that was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    address: usize,
    len: u32,
    /// Stands before the code to which an abort leads, so that nothing else can be taken for such.
    signature: u32,
    /// The vCPU that it names.
    cpu: u32,
}

/// A thread's restartable sequences.
#[derive(Default)]
pub struct Rseq {
    area: KCell<Option<Area>>,
    /// The area is to be looked at before the thread goes on.
    due: KCell<bool>,
}

impl Rseq {
    /// What the child of a clone has: with memory of its own the same, else none.
    pub fn for_child(&self, shares_memory: bool) -> Self {
        let area = if shares_memory { None } else { self.area.get() };
        Self { area: KCell::new(area), due: KCell::new(area.is_some()) }
    }

    /// A new program has none.
    pub fn forget(&self) {
        self.area.set(None);
        self.due.set(false);
    }

    pub fn is_due(&self) -> bool {
        self.due.get()
    }

    /// The section that the thread is in, if any, is to be aborted. True: it has registered an area.
    pub(super) fn demand(&self) -> bool {
        self.due.set(self.area.get().is_some());
        self.due.get()
    }

    /// The thread, which is the current one, has its vCPU back, and others may have run there meanwhile.
    pub(super) fn runs_again(&self) {
        let Some(area) = self.area.get() else { return };
        let mut section = [0; 8];
        // A page that is not there is brought in later, outside of the scheduler.
        let there = husk_machine::user::copy_in(area.address + SECTION, &mut section).is_ok();
        if area.cpu != sched::cpu_index() || !there || section != [0; 8] {
            self.due.set(true);
            cpu::request_work();
        }
    }
}

/// rseq(2).
pub fn register(t: &Task, address: usize, len: u32, flags: u32, signature: u32) -> SysResult {
    let known = t.rseq.area.get();
    let same = known.is_some_and(|area| area.address == address && area.len == len);
    if flags & FLAG_UNREGISTER != 0 {
        if flags != FLAG_UNREGISTER || !same {
            return Err(Errno::EINVAL);
        }
        if known.is_some_and(|area| area.signature != signature) {
            return Err(Errno::EPERM);
        }
        user::write(address, &[0, UNINITIALIZED])?;
        user::write(address + NODE_ID, &[0_u32; 2])?;
        t.rseq.forget();
        return Ok(0);
    }
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    if let Some(known) = known {
        return Err(match () {
            () if !same => Errno::EINVAL,
            () if known.signature != signature => Errno::EPERM,
            () => Errno::EBUSY,
        });
    }
    let align = if len == ORIGINAL_SIZE { ORIGINAL_SIZE as usize } else { ALIGN };
    if len < ORIGINAL_SIZE || !address.is_multiple_of(align) {
        return Err(Errno::EINVAL);
    }
    user::check(address, len as usize)?;
    user::write(address + SECTION, &0_u64)?;
    t.rseq.area.set(Some(Area { address, len, signature, cpu: UNINITIALIZED }));
    t.rseq.due.set(true);
    cpu::request_work();
    Ok(0)
}

/// On the way out: makes the area of the current task true, and aborts its critical section, if that is due.
pub fn resume(t: &Arc<Task>) {
    while t.rseq.due.take() && exit::must_end(t).is_none() {
        // What is touched here may be far away: another vCPU may run the task by the end.
        if abort(t, None).is_err() || tell(t).is_err() {
            signal::force(t, SigInfo::kernel(SIGSEGV));
            return;
        }
    }
}

/// Writes on which vCPU the task runs.
fn tell(t: &Task) -> Result<(), Errno> {
    let Some(area) = t.rseq.area.get() else { return Ok(()) };
    let cpu = sched::cpu_index();
    t.rseq.area.set(Some(Area { cpu, ..area }));
    user::write(area.address, &[cpu, cpu])?;
    // No memory is nearer than another; a vCPU runs one thread at a time, so its number serves as the thread's own.
    user::write(area.address + NODE_ID, &[0, cpu])
}

/// If the current task is in a critical section, makes it go on where the section says, in `regs` or else in its own
/// registers. An error: the section's description is wrong.
pub fn abort(t: &Task, regs: Option<&mut Regs>) -> Result<(), Errno> {
    let Some(area) = t.rseq.area.get() else { return Ok(()) };
    let at = user::read::<u64>(area.address + SECTION)?;
    if at == 0 {
        return Ok(());
    }
    let at = usize::try_from(at).map_err(|_| Errno::EFAULT)?;
    // struct rseq_cs: version and flags, start, length, where to go on.
    let [head, start, len, abort_at] = user::read::<[u64; 4]>(at)?;
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    let limit = GUEST_END as u64;
    let within = (start..end).contains(&abort_at);
    if head != 0 || start >= limit || end >= limit || abort_at >= limit || abort_at < 4 || within {
        return Err(Errno::EINVAL);
    }
    if user::read::<u32>(abort_at as usize - 4)? != area.signature {
        return Err(Errno::EINVAL);
    }
    let mut own = context::regs();
    let is_own = regs.is_none();
    let regs = regs.unwrap_or(&mut own);
    if (start..end).contains(&regs.rip) {
        regs.rip = abort_at;
        if is_own {
            context::set_regs(&own);
        }
    }
    user::write(area.address + SECTION, &0_u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::test::enter;

    #[test]
    fn areas_are_checked_before_anything_is_written() {
        let t = enter();
        let good = 0x40_0000;
        for (address, len, flags, error) in [
            (good, 31, 0, Errno::EINVAL),
            (good + 16, 32, 0, Errno::EINVAL),
            (good, 32, 2, Errno::EINVAL),
            (good, 32, FLAG_UNREGISTER, Errno::EINVAL),
            (GUEST_END, 32, 0, Errno::EFAULT),
            // The mock machine has no memory.
            (good, 32, 0, Errno::EFAULT),
        ] {
            assert_eq!(register(&t, address, len, flags, 7), Err(error), "{address:#x} {len} {flags}");
        }
        assert!(!t.rseq.is_due());
    }

    #[test]
    fn a_second_registration_says_why_it_is_none() {
        let t = enter();
        t.rseq.area.set(Some(Area { address: 0x40_0000, len: 32, signature: 7, cpu: 0 }));
        assert_eq!(register(&t, 0x40_0000, 32, 0, 7), Err(Errno::EBUSY));
        assert_eq!(register(&t, 0x40_0000, 32, 0, 8), Err(Errno::EPERM));
        assert_eq!(register(&t, 0x40_0020, 32, 0, 7), Err(Errno::EINVAL));
        assert_eq!(register(&t, 0x40_0000, 32, FLAG_UNREGISTER, 8), Err(Errno::EPERM));
        assert!(t.rseq.for_child(true).area.get().is_none());
        assert!(t.rseq.for_child(false).is_due());
    }
}
