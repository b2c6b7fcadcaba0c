//! The scheduler.

use super::wait::{WaitEnd, WaitLimit, Wake};
use alloc::sync::Arc;

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
