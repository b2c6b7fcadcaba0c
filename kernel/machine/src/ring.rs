//! The ring of requests to the state server (`husk_ring`), as the kernel uses it.
//!
//! A `Unit` is the part of one volume. All of it is memory that the server writes too, so bytes are reached as `Span`s and
//! words by atomic loads whose values are bounded here. The caller decides which slot is whose: a slot belongs to one request
//! from `submit` until `is_answered`, and only the caller that made the request looks at it.

use crate::backend::ring as backend;
#[cfg(not(husk_image))]
pub use crate::hosted::ring::{kill_server, serve};
use crate::span::Span;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use husk_ring::{DATA, DATA_LEN, HEAD, HEAD_LEN, MAGIC, SLOTS, UNIT_LEN, VERSION, ring, slot, state, unit};

/// How long a request is looked for before its asker sleeps: most are answered sooner.
const SPIN_NS: u64 = 50_000;
/// How long it sleeps before it looks whether the server still lives.
const NAP_NS: u64 = 250_000_000;

/// The part of the ring that belongs to one volume.
#[derive(Clone, Copy)]
pub struct Unit {
    /// Where the ring begins.
    ring: usize,
    /// Where the unit begins.
    base: usize,
}

/// The unit of the volume with this number; `None` where there is none that this kernel understands.
pub fn unit(volume: usize) -> Option<Unit> {
    let (ring, len) = backend::memory()?;
    if volume >= len / UNIT_LEN {
        return None;
    }
    let found = Unit { ring, base: ring + husk_ring::unit_at(volume) };
    (found.word64(unit::MAGIC).load(Ordering::Relaxed) == MAGIC
        && word(found.base + unit::VERSION).load(Ordering::Relaxed) == VERSION)
        .then_some(found)
}

fn word(address: usize) -> &'static AtomicU32 {
    // SAFETY: all callers name aligned words of the ring, which stays mapped as long as the guest runs and is only
    // accessed atomically there.
    unsafe { &*(address as *const AtomicU32) }
}

impl Unit {
    fn word64(&self, offset: usize) -> &'static AtomicU64 {
        // SAFETY: as in `word`.
        unsafe { &*((self.base + offset) as *const AtomicU64) }
    }

    /// Where a slot begins. Panics when there is none with this number.
    fn slot(&self, index: usize) -> usize {
        assert!(index < SLOTS, "no such slot");
        self.base + husk_ring::slot_at(0, index)
    }

    /// The server refuses every change.
    pub fn is_read_only(&self) -> bool {
        word(self.base + unit::FLAGS).load(Ordering::Relaxed) & husk_ring::READ_ONLY != 0
    }

    /// Whether the server lives.
    pub fn lives(&self) -> bool {
        husk_ring::lives(word(self.ring + ring::SERVER).load(Ordering::Acquire))
    }

    /// Room for a message's head.
    pub fn head(&self, index: usize) -> Span<'static> {
        // SAFETY: inside the ring, which stays mapped and to which no reference exists.
        unsafe { Span::new((self.slot(index) + HEAD) as *mut u8, HEAD_LEN) }
    }

    /// Room for its data.
    pub fn data(&self, index: usize) -> Span<'static> {
        // SAFETY: as in `head`.
        unsafe { Span::new((self.slot(index) + DATA) as *mut u8, DATA_LEN) }
    }

    /// Hands the request in a slot to the server.
    pub fn submit(&self, index: usize, head_len: usize, data_len: usize) {
        let at = self.slot(index);
        word(at + slot::HEAD_LEN).store(head_len as u32, Ordering::Relaxed);
        word(at + slot::DATA_LEN).store(data_len as u32, Ordering::Relaxed);
        word(at + slot::STATE).store(state::REQUEST, Ordering::Release);
        word(self.base + unit::PENDING).fetch_or(1 << index, Ordering::SeqCst);
        let doorbell = word(self.ring + ring::DOORBELL);
        doorbell.fetch_add(1, Ordering::SeqCst);
        if word(self.ring + ring::SLEEPING).load(Ordering::SeqCst) != 0 {
            backend::wake_server(doorbell);
        }
    }

    /// Whether the server has answered the request in a slot.
    pub fn is_answered(&self, index: usize) -> bool {
        word(self.slot(index) + slot::STATE).load(Ordering::Acquire) == state::REPLY
    }

    /// Bytes of head and data of an answer, not more than there is room for.
    pub fn reply(&self, index: usize) -> (usize, usize) {
        let at = self.slot(index);
        let len = |offset, most: usize| (word(at + offset).load(Ordering::Relaxed) as usize).min(most);
        (len(slot::HEAD_LEN, HEAD_LEN), len(slot::DATA_LEN, DATA_LEN))
    }

    /// Gives others a moment: for who waits for a slot to become free.
    pub fn pause(&self) {
        backend::unlocked(|| {
            let start = crate::clock::monotonic_ns();
            while crate::clock::monotonic_ns().wrapping_sub(start) < SPIN_NS / 10 {
                core::hint::spin_loop();
            }
        });
    }

    /// Waits until the request in a slot is answered. The big kernel lock is free meanwhile, so everything else may have
    /// changed. False: the server is dead, and there will be no answer.
    pub fn wait(&self, index: usize) -> bool {
        if self.is_answered(index) {
            return true;
        }
        let state_word = word(self.slot(index) + slot::STATE);
        backend::unlocked(|| {
            let start = crate::clock::monotonic_ns();
            loop {
                for _ in 0..32 {
                    if self.is_answered(index) {
                        return true;
                    }
                    core::hint::spin_loop();
                }
                if crate::clock::monotonic_ns().wrapping_sub(start) >= SPIN_NS {
                    break;
                }
            }
            loop {
                // A reply that came before the end of the server counts.
                let alive = self.lives();
                let was = state_word.compare_exchange(
                    state::REQUEST,
                    state::WAITED,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                );
                match was {
                    Err(state::REPLY) => return true,
                    _ if !alive => return false,
                    Ok(_) | Err(state::WAITED) => backend::nap(state_word, state::WAITED, NAP_NS),
                    // The server wrote nonsense: it is as good as dead.
                    Err(_) => return false,
                }
            }
        })
    }
}
