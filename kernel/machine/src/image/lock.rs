//! The big kernel lock: one word, shared by all host processes of a guest.
//!
//! 0 free, 1 held, 2 held with sleepers. Sections are short (a system call's work), so a waiter spins before it sleeps.

use super::gate;
use core::sync::atomic::{AtomicU32, Ordering};

static LOCK: AtomicU32 = AtomicU32::new(0);

const SPINS: u32 = 200;

/// Takes the lock; this vCPU must not hold it.
pub fn acquire() {
    if LOCK.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        acquire_slow();
    }
}

#[cold]
fn acquire_slow() {
    let start = super::clock::monotonic_ns();
    wait();
    super::cpu::add_overhead(start);
}

fn wait() {
    for _ in 0..SPINS {
        if LOCK.load(Ordering::Relaxed) == 0
            && LOCK.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return;
        }
        core::hint::spin_loop();
    }
    while LOCK.swap(2, Ordering::Acquire) != 0 {
        gate::lock_wait(&LOCK, 2);
    }
}

/// Gives the lock up; this vCPU must hold it. Who was notified meanwhile is woken now, when it need not wait for the lock.
pub fn release() {
    if LOCK.swap(0, Ordering::Release) == 2 {
        gate::lock_wake(&LOCK);
    }
    super::cpu::wake_notified();
}

/// Takes the lock from vCPUs that are no more. Only vCPU 0 of a restored guest, alone, may call it.
pub(super) fn take_over() {
    LOCK.store(1, Ordering::Relaxed);
}

/// The word itself, for a thread that ends without a stack to call from.
pub(super) fn word() -> *const AtomicU32 {
    &raw const LOCK
}
