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

impl SigInfo {
    /// SIGCHLD and its like: what happened to which child.
    pub fn child(signo: u32, code: i32, pid: Pid, uid: u32, status: i32) -> Self {
        let fields = [u64::from(pid as u32) | u64::from(uid) << 32, u64::from(status as u32), 0, 0];
        Self { signo, code, errno: 0, fields }
    }
}

/// Signal state of one thread.
#[derive(Default)]
pub struct TaskSignals {}

impl TaskSignals {
    /// The state of a child: the caller's mask, nothing pending; without `forget_stack` also its signal stack.
    pub fn for_child(_parent: &crate::task::Task, _forget_stack: bool) -> Self {
        Self {}
    }
}

impl Handlers {
    /// The handlers of a child: shared, copied, or with CLONE_CLEAR_SIGHAND only what is ignored.
    pub fn for_child(parent: &crate::task::Task, shared: bool, _clear: bool) -> Arc<Self> {
        if shared { parent.handlers.borrow().clone() } else { Arc::default() }
    }
}

/// Whether the task is being killed: nothing may keep it.
pub fn killed(task: &crate::task::Task) -> bool {
    crate::task::exit::must_end(task).is_some()
}

/// What execve(2) does to handlers, alternate stack and timers.
pub fn reset_for_exec(_task: &crate::task::Task) {}

/// A process ended: its timers and pending signals go.
pub fn process_ended(_process: &Process) {}

/// Whether the process wants no zombies: SIGCHLD ignored or SA_NOCLDWAIT.
pub fn ignores_children(_process: &Process) -> bool {
    false
}

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
