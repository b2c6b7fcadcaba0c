//! The ring's memory, and how a vCPU sleeps and wakes the state server.

use super::{gate, kvm, lock};
use core::sync::atomic::AtomicU32;
use husk_abi::layout::RING;

/// Where the ring lies and how long it is, if this guest has one.
pub(crate) fn memory() -> Option<(usize, usize)> {
    let len = super::start::boot().ring_len as usize;
    (len > 0).then_some((RING, len))
}

/// Runs `wait` with the big kernel lock free. It must not touch what the lock protects, nor the application's memory.
pub(crate) fn unlocked<R>(wait: impl FnOnce() -> R) -> R {
    lock::release();
    let result = if kvm::is_tender() { kvm::outside(wait) } else { wait() };
    lock::acquire();
    result
}

/// Sleeps while `word` holds `value`, at most `ns`. May return early.
pub(crate) fn nap(word: &AtomicU32, value: u32, ns: u64) {
    gate::ring_wait(word, value, ns);
}

/// Wakes a worker of the server that sleeps.
pub(crate) fn wake_server(doorbell: &AtomicU32) {
    gate::ring_wake(doorbell);
}
