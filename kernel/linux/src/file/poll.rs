//! Waiting for any of several open files: what poll(2) and select(2) share.

use super::OpenFile;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{EPOLLERR, EPOLLHUP};

/// An open file, the events asked for (EPOLL* bits, which are those of poll(2)), and those found.
pub struct Watched {
    pub file: Arc<OpenFile>,
    pub events: u32,
    pub found: u32,
}

impl Watched {
    /// Errors and hang-ups are always asked for.
    pub fn new(file: Arc<OpenFile>, events: u32) -> Self {
        Self { file, events: events | EPOLLERR | EPOLLHUP, found: 0 }
    }
}

fn look(watched: &[Watched], found: &mut [u32]) -> Option<()> {
    let mut any = false;
    for (watched, found) in watched.iter().zip(found) {
        *found = watched.file.object.poll(&watched.file) & watched.events;
        any |= *found != 0;
    }
    any.then_some(())
}

/// Waits until an event holds and notes what holds. `deadline`: monotonic ns, 0 only looks. Ok(false): it has passed.
pub fn wait_any(watched: &mut [Watched], deadline: Option<u64>) -> Result<bool, WaitEnd> {
    let mut found = alloc::vec![0; watched.len()];
    let mut end = look(watched, &mut found).ok_or(WaitEnd::TimedOut);
    if end.is_err() && deadline != Some(0) {
        let queues: Vec<&WaitQueue> =
            watched.iter().filter_map(|watched| watched.file.object.wait_queue(&watched.file)).collect();
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        end = wait_event(&queues, limit, || look(watched, &mut found));
    }
    for (watched, found) in watched.iter_mut().zip(found) {
        watched.found = found;
    }
    match end {
        Ok(()) => Ok(true),
        Err(WaitEnd::TimedOut) => Ok(false),
        Err(WaitEnd::Interrupted) => Err(WaitEnd::Interrupted),
    }
}
