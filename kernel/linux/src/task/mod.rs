//! Tasks: processes and threads, their scheduling and waiting.

pub mod cred;
pub mod sched;
pub mod wait;

use alloc::sync::Arc;
use cred::Cred;
use husk_machine::cell::KCell;

/// One thread. What threads share (files, directories, memory) hangs behind `Arc`s that clone(2) copies or shares.
pub struct Task {
    cred: KCell<Arc<Cred>>,
}

impl Task {
    pub fn cred(&self) -> Arc<Cred> {
        self.cred.borrow().clone()
    }

    pub fn raise(&self, _signal: u32) {}
}

/// The task that runs on this vCPU.
pub fn current() -> Arc<Task> {
    Arc::new(Task { cred: KCell::new(Cred::new(0, 0)) })
}
