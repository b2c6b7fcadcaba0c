//! Timers of the kernel: callbacks at a time, with no task waiting.
//!
//! All timers are in one heap ordered by deadline. A vCPU that is about to sleep takes the earliest deadline along, and
//! busy vCPUs look at each tick, so a callback runs with the big kernel lock held, in any task's context or in none.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use husk_machine::cell::KCell;
use husk_machine::global::Global;

/// Someone who has a timer.
pub trait Expire: Send + Sync {
    /// The deadline has passed. The timer is disarmed; the callback may arm it anew. No borrow is held.
    fn expire(&self);
}

/// A timer; dropping it disarms it.
pub struct Timer {
    owner: Weak<dyn Expire>,
    armed: KCell<Option<Key>>,
}

/// Deadline in monotonic ns, then order of arming.
type Key = (u64, u64);

#[derive(Default)]
struct Heap {
    next: u64,
    pending: BTreeMap<Key, Weak<dyn Expire>>,
}

static HEAP: Global<KCell<Heap>> = Global::new(KCell::default);

impl Timer {
    pub fn new(owner: Weak<dyn Expire>) -> Self {
        Self { owner, armed: KCell::new(None) }
    }

    /// Sets the deadline, in monotonic ns, in place of any earlier one.
    pub fn arm(&self, deadline: u64) {
        self.disarm();
        let mut heap = HEAP.borrow_mut();
        heap.next += 1;
        let key = (deadline, heap.next);
        heap.pending.insert(key, self.owner.clone());
        if heap.pending.keys().next() == Some(&key) {
            // Whoever sleeps for the guest may have to sleep less: seen to on the way out of the kernel.
            husk_machine::cpu::request_work();
        }
        self.armed.set(Some(key));
    }

    pub fn disarm(&self) {
        if let Some(key) = self.armed.take() {
            HEAP.borrow_mut().pending.remove(&key);
        }
    }

    /// The deadline, unless it has passed or was never set.
    pub fn deadline(&self) -> Option<u64> {
        let key = self.armed.get()?;
        HEAP.borrow().pending.contains_key(&key).then_some(key.0)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The earliest deadline of all timers.
pub fn next_deadline() -> Option<u64> {
    HEAP.borrow().pending.keys().next().map(|key| key.0)
}

/// Runs the callbacks of all timers whose deadline is at or before `now`.
pub fn run_expired(now: u64) {
    loop {
        let owner: Option<Arc<dyn Expire>> = {
            let mut heap = HEAP.borrow_mut();
            match heap.pending.first_entry() {
                Some(entry) if entry.key().0 <= now => entry.remove().upgrade(),
                _ => return,
            }
        };
        if let Some(owner) = owner {
            owner.expire();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expire, Timer, next_deadline, run_expired};
    use alloc::sync::{Arc, Weak};
    use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Expire for Count {
        fn expire(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn timers_expire_once_in_order_and_not_when_disarmed_or_dropped() {
        let count = Arc::new(Count::default());
        let weak: Weak<dyn Expire> = Arc::downgrade(&(count.clone() as Arc<dyn Expire>));
        let (early, late, dropped) = (Timer::new(weak.clone()), Timer::new(weak.clone()), Timer::new(weak));
        late.arm(30);
        early.arm(10);
        dropped.arm(5);
        drop(dropped);
        assert_eq!(next_deadline(), Some(10));
        run_expired(20);
        assert_eq!(count.0.load(Relaxed), 1);
        assert_eq!((early.deadline(), late.deadline()), (None, Some(30)));
        late.arm(40);
        run_expired(35);
        assert_eq!(count.0.load(Relaxed), 1);
        late.disarm();
        run_expired(50);
        assert_eq!(count.0.load(Relaxed), 1);
    }
}
