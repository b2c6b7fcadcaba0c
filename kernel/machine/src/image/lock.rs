//! The big kernel lock: one word, shared by all host processes of a guest.
//!
//! 0 free, else one more than the index of the vCPU that holds it, and marks of those who sleep for it. Sections
//! are short (a system call's work), so a waiter spins before it sleeps. The word names the holder because a host process
//! can end while it holds the lock: the kernel's state is then torn, and who waits for the lock ends the guest.

use super::cpu::{self, Cpu};
use super::gate;
use core::sync::atomic::{AtomicU32, Ordering};

static LOCK: AtomicU32 = AtomicU32::new(0);

/// The gate's exit looks for this bit as the sign of the word.
const SLEEPERS: u32 = 1 << 31;

/// Somebody has waited for longer than `PATIENCE_NS`: when the lock is next given up, only who has slept for it may take
/// it. Else a vCPU that takes it over and over keeps out the one that must first wake up.
const STARVING: u32 = 1 << 30;
const PATIENCE_NS: u64 = 1_000_000;

const HOLDER: u32 = !(SLEEPERS | STARVING);

const SPINS: u32 = 200;

/// How the word looks when this vCPU holds the lock and nobody waits.
fn mine() -> u32 {
    cpu::index() as u32 + 1
}

/// Takes the lock; this vCPU must not hold it.
pub fn acquire() {
    if LOCK.compare_exchange(0, mine(), Ordering::Acquire, Ordering::Relaxed).is_err() {
        acquire_slow();
    }
}

#[cold]
fn acquire_slow() {
    let start = super::clock::monotonic_ns();
    wait(start);
    super::cpu::add_overhead(start);
}

fn wait(start: u64) {
    let mine = mine();
    for _ in 0..SPINS {
        if LOCK.load(Ordering::Relaxed) == 0
            && LOCK.compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
        {
            return;
        }
        core::hint::spin_loop();
    }
    let mut slept = false;
    loop {
        let word = LOCK.load(Ordering::Relaxed);
        let is_free = word & HOLDER == 0;
        if is_free && (slept || word & STARVING == 0) {
            let taken = LOCK.compare_exchange(word, mine | SLEEPERS, Ordering::Acquire, Ordering::Relaxed);
            if taken.is_ok() {
                return;
            }
            continue;
        }
        let starving = slept && super::clock::monotonic_ns().wrapping_sub(start) > PATIENCE_NS;
        let wanted = word | SLEEPERS | if starving { STARVING } else { 0 };
        if word != wanted
            && LOCK.compare_exchange(word, wanted, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            continue;
        }
        if !gate::lock_wait(&LOCK, wanted) {
            look_at_holder(wanted);
        }
        slept = true;
    }
}

/// The lock has been held for long. If its holder is no more, nobody will ever give it up, and what it was changing is
/// half changed.
fn look_at_holder(word: u32) {
    crate::report::end_if_panicking();
    let holder = ((word & HOLDER) as usize).wrapping_sub(1);
    if holder < cpu::CPUS && gate::is_lost(Cpu::get(holder)) && LOCK.load(Ordering::Relaxed) == word {
        crate::report::panic(&format_args!(
            "stopped: a process of the guest was ended from outside, or ended itself by a call of the host, while it \
             changed the kernel's state"
        ))
    }
}

/// Whether this vCPU holds the lock.
pub(super) fn is_held_here() -> bool {
    LOCK.load(Ordering::Relaxed) & HOLDER == mine()
}

/// Gives the lock up; this vCPU must hold it. Who was notified meanwhile is woken now, when it need not wait for the lock.
pub fn release() {
    // A waiter who finds that its mark was lost in between leaves it anew.
    let left = LOCK.load(Ordering::Relaxed) & STARVING;
    if LOCK.swap(left, Ordering::Release) & SLEEPERS != 0 {
        gate::lock_wake(&LOCK);
    }
    super::cpu::wake_notified();
}

/// Takes the lock from vCPUs that are no more. Only vCPU 0 of a restored guest, alone, may call it, before it has its
/// `Cpu`.
pub(super) fn take_over() {
    LOCK.store(1, Ordering::Relaxed);
}

/// The word itself, for a thread that ends without a stack to call from.
pub(super) fn word() -> *const AtomicU32 {
    &raw const LOCK
}
