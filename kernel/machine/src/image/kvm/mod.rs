//! The kvm tender's side of the machine: hypercalls, vCPU tables, ring-0 stubs, and page tables at work.
//!
//! All kernel code runs in ring 3. Ring 0 is some two dozen instructions (`stubs`), because software KVM emulates it at a
//! microsecond an instruction: an exception goes straight on to ring 3, and `ud2` with a magic word is the gate for what
//! only ring 0 can do: load CR3, invalidate pages.

mod entry;
mod hypercall;
pub(super) mod space;
mod stubs;

pub(super) use hypercall::{
    exit_guest, lock_wait, lock_wake, poll, read, ring, set_alarm, sleep, wait_for_replies, wake, write,
};
pub(super) use stubs::init_cpu;

use super::cpu::{self, Cpu};
use super::lock;
use super::start::boot;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use husk_abi::boot::TENDER_KVM;
use husk_abi::layout::{CPUS_MAX, PRIVATE, PRIVATE_PER_CPU};
use husk_abi::vcpu::{UPCALL, Upcall};

/// Whether the kvm tender is below.
pub(super) fn is_tender() -> bool {
    boot().tender == TENDER_KVM
}

/// What other vCPUs need to know of one.
struct Vcpu {
    /// Arena address of the top table in CR3.
    root: AtomicUsize,
    /// Counts requests of other vCPUs to forget old entries before the application's memory is touched again.
    asked: AtomicU32,
    /// The last request that was met.
    met: AtomicU32,
    /// Not zero: outside of the guest; it looks at `asked` before it goes on.
    outside: AtomicU32,
    /// Not zero: it was asked to run threads.
    wanted: AtomicU32,
}

static VCPUS: [Vcpu; CPUS_MAX] = [const {
    Vcpu {
        root: AtomicUsize::new(0),
        asked: AtomicU32::new(0),
        met: AtomicU32::new(0),
        outside: AtomicU32::new(1),
        wanted: AtomicU32::new(0),
    }
}; CPUS_MAX];

fn this() -> &'static Vcpu {
    &VCPUS[cpu::index()]
}

/// Forgets old entries if another vCPU asked for it. True if it did.
fn catch_up(vcpu: &Vcpu) -> bool {
    let mut any = false;
    loop {
        let asked = vcpu.asked.load(Ordering::SeqCst);
        if asked == vcpu.met.load(Ordering::Relaxed) {
            return any;
        }
        // First the reload, then the word: who waits for it frees frames at once.
        stubs::load_table(vcpu.root.load(Ordering::Relaxed));
        vcpu.met.store(asked, Ordering::SeqCst);
        any = true;
    }
}

/// Runs `call`, which leaves the guest and may stay away for long.
pub(super) fn outside<R>(call: impl FnOnce() -> R) -> R {
    let vcpu = this();
    vcpu.outside.store(1, Ordering::SeqCst);
    let result = call();
    vcpu.outside.store(0, Ordering::SeqCst);
    catch_up(vcpu);
    result
}

/// Starts vCPU `index`, or fails with EAGAIN when the guest has no such vCPU.
pub(super) fn start_cpu(cpu: &'static Cpu, index: usize, slot: usize) -> Result<(), i32> {
    if index >= boot().cpus as usize || slot >= boot().cpus as usize {
        return Err(linux_raw_sys::errno::EAGAIN as i32);
    }
    cpu.prepare(index, slot);
    VCPUS[index].wanted.store(1, Ordering::SeqCst);
    wake(index);
    Ok(())
}

/// First Rust code of a further vCPU.
pub(super) extern "C" fn first_start(index: usize) -> ! {
    Cpu::get(index).install();
    init_cpu(index);
    VCPUS[index].wanted.store(0, Ordering::SeqCst);
    cpu::enter(index)
}

/// Gives up the big kernel lock and waits until this vCPU is started again.
pub(super) fn park() -> ! {
    let index = cpu::index();
    lock::release();
    while VCPUS[index].wanted.swap(0, Ordering::SeqCst) == 0 {
        sleep(None);
    }
    cpu::enter(index)
}

/// Makes the state of vCPUs that of a guest of which only vCPU 0 runs, with the first top table loaded.
pub(super) fn restored() {
    for vcpu in &VCPUS {
        vcpu.root.store(0, Ordering::Relaxed);
        vcpu.met.store(vcpu.asked.load(Ordering::Relaxed), Ordering::Relaxed);
        vcpu.outside.store(1, Ordering::Relaxed);
        vcpu.wanted.store(0, Ordering::Relaxed);
    }
    hypercall::forget_waiters();
    space::forget_loaded();
}

/// Whether there are signals for `take_signals`.
pub(super) fn has_signals() -> bool {
    hypercall::has_control()
        || (0..boot().cpus as usize).any(|index| signal_word(index).load(Ordering::Relaxed) != 0)
}

fn signal_word(index: usize) -> &'static AtomicU64 {
    let word = (PRIVATE + index * PRIVATE_PER_CPU + UPCALL) as *const AtomicU64;
    // SAFETY: an aligned word of the vCPU's private area, the first of its upcall block, which tender and kernel access
    // atomically.
    unsafe { &*word }
}

/// Whether the kick that came over the application stands for an access to an I/O port.
fn take_port_fault() -> bool {
    let block = PRIVATE + cpu::index() * PRIVATE_PER_CPU + UPCALL;
    let word = (block + core::mem::offset_of!(husk_abi::vcpu::Upcall, port_fault)) as *const AtomicU64;
    // SAFETY: an aligned word of this vCPU's upcall block, which tender and kernel access atomically.
    let word = unsafe { &*word };
    word.load(Ordering::Relaxed) != 0 && word.swap(0, Ordering::SeqCst) != 0
}

/// Takes the signals that the tender wrote into the vCPUs' upcall blocks: bit n - 1 for signal n.
pub(super) fn take_signals() -> u64 {
    let control = if hypercall::take_control() { 1 << (husk_abi::control::SIGNAL - 1) } else { 0 };
    (0..boot().cpus as usize)
        .map(signal_word)
        .map(|word| if word.load(Ordering::Relaxed) == 0 { 0 } else { word.swap(0, Ordering::SeqCst) })
        .fold(control, |all, signals| all | signals)
}

/// Takes the size of the host's terminal that the tender wrote into a vCPU's upcall block: see `abi::vcpu::Upcall`.
pub(super) fn take_window() -> u64 {
    let words = (0..boot().cpus as usize).map(|index| {
        let word = PRIVATE + index * PRIVATE_PER_CPU + UPCALL + core::mem::offset_of!(Upcall, window);
        // SAFETY: an aligned word of the vCPU's upcall block, which tender and kernel access atomically.
        let word = unsafe { &*(word as *const AtomicU64) };
        word.swap(0, Ordering::SeqCst)
    });
    words.fold(0, |last, window| if window != 0 { window } else { last })
}
