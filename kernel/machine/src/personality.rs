//! What the machine expects of the personality above it.

use crate::trap::Trap;

/// The personality's entries. All are called with the big kernel lock held and return with it held.
pub trait Personality: Sync {
    /// Once, on vCPU 0: makes process 1 and queues its task.
    fn boot(&self);
    /// Once, on vCPU 0 of a restored guest, which was parked when it was saved: brings back what lies outside of the arena.
    fn restored(&self);
    /// The current task made a system call: number and arguments are in `context`.
    fn syscall(&self);
    /// As `syscall`, for a call that came by a trap: its site may be worth patching.
    fn syscall_trapped(&self);
    /// The current task's application faulted.
    fn trap(&self, trap: Trap);
    /// The current task is about to return to its application and work was requested.
    fn work(&self);
    /// A new thread runs for the first time; it returns to the application afterwards.
    fn thread_started(&self);
    /// Looks for a thread to run on this vCPU and chooses it (`cpu::choose`), or sleeps a while. Called over and over, on the
    /// vCPU's own stack.
    fn idle(&self);
}
