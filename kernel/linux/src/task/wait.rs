//! Waiting: queues of those who want to hear of a change, and the one way for a task to block.
//!
//! Because all kernel code holds the big kernel lock, "check, enqueue, sleep" is atomic: no wake-up is lost. A task
//! blocks only in `wait_event`, with no borrow held.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;

/// Someone who can be told that an object changed: a task, or an epoll instance.
pub trait Wake: Send + Sync {
    /// `events` is a mask of EPOLL* bits that became true, or all ones when unknown. May be called with no need.
    fn wake(&self, events: u32);
}

struct Entry {
    id: u64,
    exclusive: bool,
    who: Weak<dyn Wake>,
}

/// Those waiting for one object to change.
#[derive(Default)]
pub struct WaitQueue {
    entries: KCell<Entries>,
}

#[derive(Default)]
struct Entries {
    next_id: u64,
    list: Vec<Entry>,
}

/// Names one registration, for `WaitQueue::remove`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration(u64);

impl WaitQueue {
    pub const fn new() -> Self {
        Self { entries: KCell::new(Entries { next_id: 0, list: Vec::new() }) }
    }

    /// Registers `who` until `remove`. Of the `exclusive` ones, `wake` tells only the first.
    pub fn add(&self, who: &Arc<dyn Wake>, exclusive: bool) -> Registration {
        let mut entries = self.entries.borrow_mut();
        let id = entries.next_id;
        entries.next_id += 1;
        entries.list.push(Entry { id, exclusive, who: Arc::downgrade(who) });
        Registration(id)
    }

    pub fn remove(&self, registration: Registration) {
        self.entries.borrow_mut().list.retain(|entry| entry.id != registration.0);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.borrow().list.is_empty()
    }

    /// Tells everybody, but of the exclusive waiters only the first.
    pub fn wake(&self, events: u32) {
        self.wake_up_to(1, events);
    }

    /// Tells everybody, exclusive or not.
    pub fn wake_all(&self, events: u32) {
        self.wake_up_to(usize::MAX, events);
    }

    fn wake_up_to(&self, mut exclusive_left: usize, events: u32) {
        if self.is_empty() {
            return;
        }
        let mut chosen: Vec<Arc<dyn Wake>> = Vec::new();
        self.entries.borrow_mut().list.retain(|entry| {
            let Some(who) = entry.who.upgrade() else { return false };
            if entry.exclusive {
                if exclusive_left == 0 {
                    return true;
                }
                exclusive_left -= 1;
            }
            chosen.push(who);
            true
        });
        for who in chosen {
            who.wake(events);
        }
    }
}

/// How a wait may end without its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitEnd {
    /// A signal is pending (or the task is being killed).
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

/// What may end a wait besides its event.
#[derive(Clone, Copy, Debug, Default)]
pub struct WaitLimit {
    /// Monotonic nanoseconds (`crate::time::monotonic_ns`); `None` waits for ever.
    pub deadline: Option<u64>,
    /// Only SIGKILL ends the wait.
    pub uninterruptible: bool,
    /// Among several such waiters on a queue one is woken at a time.
    pub exclusive: bool,
}

/// Blocks the current task until `ready` gives a value. `ready` is asked first, and again after each wake-up of one of
/// `queues`; it must not block, and no `KCell` may be borrowed by the caller.
pub fn wait_event<R>(
    queues: &[&WaitQueue],
    limit: WaitLimit,
    mut ready: impl FnMut() -> Option<R>,
) -> Result<R, WaitEnd> {
    if let Some(result) = ready() {
        return Ok(result);
    }
    let me = super::sched::current_waker();
    let registrations: Vec<Registration> =
        queues.iter().map(|queue| queue.add(&me, limit.exclusive)).collect();
    let end = loop {
        super::sched::prepare_to_sleep();
        if let Some(result) = ready() {
            super::sched::cancel_sleep();
            break Ok(result);
        }
        if let Err(end) = super::sched::sleep(limit) {
            // One last look: an event that came together with the signal or the deadline wins.
            break ready().ok_or(end);
        }
    };
    for (queue, registration) in queues.iter().zip(registrations) {
        queue.remove(registration);
    }
    end
}
