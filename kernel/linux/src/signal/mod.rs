//! Signals: generation, masks, queues, delivery.

use crate::task::Pid;
use crate::task::process::{self, Process};
use alloc::sync::Arc;

/// What `siginfo_t` carries: number, code and the part that depends on the code, as it lies from byte 16 on.
#[derive(Clone, Copy, Debug)]
pub struct SigInfo {
    pub signo: u32,
    pub code: i32,
    pub errno: i32,
    pub fields: [u64; 4],
}

impl SigInfo {
    /// A signal that the kernel itself sends (SI_KERNEL).
    pub fn kernel(signo: u32) -> Self {
        Self { signo, code: 0x80, errno: 0, fields: [0; 4] }
    }
}

/// Signal state of one thread.
#[derive(Default)]
pub struct TaskSignals {}

/// Signal handlers of a process.
#[derive(Default)]
pub struct Handlers {}

/// Signals sent to a process as a whole.
#[derive(Default)]
pub struct ProcessSignals {}

/// Sends a signal to the calling thread, as the kernel itself does (SIGPIPE, SIGXFSZ).
pub fn raise(signal: u32) {
    let _ = SigInfo::kernel(signal);
}

/// Sends a signal to a process: any thread that does not block it takes it.
pub fn send_to_process(_process: &Arc<Process>, _info: SigInfo) {}

/// Sends a signal to every member of a process group.
pub fn send_to_group(pgid: Pid, info: SigInfo) {
    for process in process::in_group(pgid) {
        send_to_process(&process, info);
    }
}

/// Whether a signal is pending that ends an interruptible wait of the task.
pub fn interrupts(_task: &crate::task::Task) -> bool {
    false
}

/// Replaces the thread's signal mask while a call waits (ppoll, pselect6, epoll_pwait, sigsuspend). A handler that ends
/// the wait runs under it; the signal frame keeps the thread's own mask.
pub fn set_temporary_mask(_task: &crate::task::Task, _mask: u64) {}

/// Ends what `set_temporary_mask` began. Nothing happens when that was never called.
pub fn restore_mask(_task: &crate::task::Task) {}

/// Whether the task would not notice this signal: it blocks it, or it ignores it.
pub fn blocks_or_ignores(_task: &crate::task::Task, _signo: u32) -> bool {
    false
}

/// Whether a process group has no member whose parent could take care of it: its default stop signals are ignored.
pub fn orphaned(pgid: Pid) -> bool {
    !process::in_group(pgid).iter().any(|member| {
        let parent = member.parent.borrow().upgrade();
        parent.is_some_and(|parent| {
            parent.pgid.get() != pgid && parent.session.borrow().id == member.session.borrow().id
        })
    })
}
