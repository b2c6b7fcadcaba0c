//! The scheduler.

use super::Task;
use super::wait::{WaitEnd, WaitLimit, Wake};
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use husk_machine::global::Global;

static CURRENT: Global<KCell<Option<Arc<Task>>>> = Global::new(KCell::default);

/// The task that runs on this vCPU.
pub fn current() -> Arc<Task> {
    CURRENT.borrow().clone().expect("a task runs")
}

/// Makes `task` the one that runs on this vCPU.
pub fn set_current(task: Option<Arc<Task>>) {
    drop(CURRENT.replace(task));
}

/// A signal arrived: ends an interruptible sleep, or brings the task out of its application. In a unit test no other task
/// runs, so there is nothing to end.
pub fn wake_for_signal(_task: &Arc<Task>) {}

/// vCPUs of one guest process.
pub fn cpu_count() -> u32 {
    1
}

struct Nobody;

impl Wake for Nobody {
    fn wake(&self, _events: u32) {}
}

pub(super) fn current_waker() -> Arc<dyn Wake> {
    Arc::new(Nobody)
}

pub(super) fn prepare_to_sleep() {}

pub(super) fn cancel_sleep() {}

/// In a unit test nothing else runs that could end a wait: it ends as if interrupted.
pub(super) fn sleep(_limit: WaitLimit) -> Result<(), WaitEnd> {
    Err(WaitEnd::Interrupted)
}
