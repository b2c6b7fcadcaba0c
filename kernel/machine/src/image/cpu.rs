//! vCPUs: host threads that run tasks. Each has one `Cpu`, found by the GS base, in memory all host processes share.

use super::context::Frame;
use super::gate;
use super::start::boot;
use super::thread::Thread;
use super::{clock, kvm, lock, personality};
use core::arch::asm;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use husk_abi::boot::TENDER_PROCESS;
use husk_abi::layout::{PRIVATE, PRIVATE_PER_CPU};

/// State of one vCPU. The first fields are used by assembly.
#[repr(C, align(128))]
pub(super) struct Cpu {
    pub(super) this: AtomicUsize,
    /// The application's stack pointer for the first instructions of an entry.
    pub(super) scratch: u64,
    /// The application's instruction pointer in the first instructions after `syscall` (kvm tender).
    pub(super) kvm_scratch: u64,
    /// Frame of the task that runs: where an entry saves the application's registers, and the top of its kernel stack.
    pub(super) frame: AtomicUsize,
    /// Not zero: the way out to the application must go through the personality's `work`.
    pub(super) kick: AtomicU32,
    index: AtomicU32,
    /// Futex word of an idle vCPU: how it sleeps, or that it does not.
    pub(super) wake: AtomicU32,
    /// Not zero once GS of its thread points here.
    installed: AtomicU32,
    /// Not zero from before to after a poll.
    pub(super) polling: AtomicU32,
    /// The host's ids of this thread (process tender).
    pub(super) host_tid: AtomicI32,
    pub(super) host_pid: AtomicI32,
    /// Which part of `PRIVATE` in its host process is this vCPU's.
    pub(super) slot: AtomicU32,
    /// Where the idle loop's stack begins.
    pub(super) idle_stack: AtomicUsize,
    /// The thread to go on with, between `choose` and the switch.
    chosen: AtomicUsize,
    /// The guest range is to be emptied before the first task runs.
    pub(super) wipe: AtomicU32,
    /// One more than the index of a vCPU to wake when this one gives up the big kernel lock; 0 for none.
    to_wake: AtomicU32,
    /// Sleeps in a row that ended soon; negative after a vain look for a notify.
    short_sleeps: AtomicI32,
    /// See `overhead_ns`.
    overhead: AtomicU64,
}

// The vDSO's getcpu reads it.
const _: () = assert!(core::mem::offset_of!(Cpu, slot) == 60);

/// Most vCPUs of all host processes together.
pub const CPUS: usize = 4096;

static CPUS_ALL: [Cpu; CPUS] = [const { Cpu::new() }; CPUS];

impl Cpu {
    const fn new() -> Self {
        Self {
            this: AtomicUsize::new(0),
            scratch: 0,
            kvm_scratch: 0,
            frame: AtomicUsize::new(0),
            kick: AtomicU32::new(0),
            index: AtomicU32::new(0),
            wake: AtomicU32::new(0),
            installed: AtomicU32::new(0),
            polling: AtomicU32::new(0),
            host_tid: AtomicI32::new(0),
            host_pid: AtomicI32::new(0),
            slot: AtomicU32::new(0),
            idle_stack: AtomicUsize::new(0),
            chosen: AtomicUsize::new(0),
            wipe: AtomicU32::new(0),
            to_wake: AtomicU32::new(0),
            short_sleeps: AtomicI32::new(0),
            overhead: AtomicU64::new(0),
        }
    }

    pub(super) fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed) as usize
    }

    pub(super) fn get(index: usize) -> &'static Self {
        &CPUS_ALL[index]
    }

    /// The vCPU that executes this.
    pub(super) fn current() -> &'static Self {
        let this: usize;
        // SAFETY: GS points at a `Cpu` from the first instructions of a vCPU on; the field holds its own address.
        unsafe {
            asm!("mov {}, gs:[{}]", out(reg) this, const core::mem::offset_of!(Cpu, this), options(nostack, readonly, preserves_flags));
            &*(this as *const Self)
        }
    }

    /// Gives the `Cpu` its identity, before its thread exists.
    pub(super) fn prepare(&'static self, index: usize, slot: usize) {
        self.this.store(core::ptr::from_ref(self) as usize, Ordering::Relaxed);
        self.index.store(index as u32, Ordering::Relaxed);
        self.slot.store(slot as u32, Ordering::Relaxed);
        self.kick.store(0, Ordering::Relaxed);
        self.installed.store(0, Ordering::Relaxed);
        self.wake.store(0, Ordering::Relaxed);
        self.wipe.store(0, Ordering::Relaxed);
        self.to_wake.store(0, Ordering::Relaxed);
        self.short_sleeps.store(0, Ordering::Relaxed);
        self.idle_stack.store(PRIVATE + slot * PRIVATE_PER_CPU + PRIVATE_PER_CPU / 2, Ordering::Relaxed);
    }

    /// Points GS at this vCPU. Only its own thread may call it, and its maker for as long as that takes.
    pub(super) fn point_here(&'static self) {
        let this = core::ptr::from_ref(self);
        // SAFETY: GS is the kernel's; the application is not served ARCH_SET_GS.
        unsafe { asm!("wrgsbase {}", in(reg) this, options(nostack, preserves_flags)) };
    }

    /// First act of a vCPU's own thread.
    pub(super) fn install(&'static self) {
        self.point_here();
        self.installed.store(1, Ordering::SeqCst);
    }

    /// Makes the boot thread vCPU 0.
    pub(super) fn start_first() {
        let cpu = Self::get(0);
        cpu.prepare(0, 0);
        cpu.host_pid.store(boot().host_pid, Ordering::Relaxed);
        cpu.host_tid.store(boot().host_pid, Ordering::Relaxed);
        cpu.install();
    }
}

/// Index of the vCPU that executes this.
#[inline]
pub fn index() -> usize {
    let index: u32;
    // SAFETY: GS points at a `Cpu`.
    unsafe {
        asm!("mov {:e}, gs:[{}]", out(reg) index, const core::mem::offset_of!(Cpu, index), options(nostack, readonly, preserves_flags));
    }
    index as usize
}

/// Its number among the vCPUs of its host process.
pub fn slot() -> usize {
    Cpu::current().slot.load(Ordering::Relaxed) as usize
}

/// How long the host has run this vCPU's thread in all, ns; `None` where that cannot be asked (kvm tender).
pub fn host_time() -> Option<u64> {
    if is_process_tender() { gate::thread_time() } else { None }
}

/// The tender below is the process tender: each guest process is a host process.
pub fn is_process_tender() -> bool {
    boot().tender == TENDER_PROCESS
}

/// Asks the current vCPU to call the personality's `work` before it returns to the application.
pub fn request_work() {
    Cpu::current().kick.store(1, Ordering::Relaxed);
}

/// Whether `work` was requested since it was last taken.
pub fn work_requested() -> bool {
    Cpu::current().kick.load(Ordering::Relaxed) != 0
}

/// Takes the request.
pub fn take_work() -> bool {
    Cpu::current().kick.swap(0, Ordering::Relaxed) != 0
}

/// Makes another vCPU come to `work` soon, also out of the application.
pub fn kick(index: usize) {
    let cpu = Cpu::get(index);
    // One that was asked already needs no second signal: many at once would nest on its signal stack. One that has yet to
    // find its own `Cpu` needs none: it would note the kick in that of its maker, and looks at its own on the way out.
    let asked = cpu.kick.swap(1, Ordering::SeqCst) != 0;
    if !asked && cpu.installed.load(Ordering::SeqCst) != 0 && index != self::index() {
        gate::kick(cpu);
    }
}

/// Ends the sleep of an idle vCPU, at the latest when this one gives up the big kernel lock.
pub fn notify(index: usize) {
    let (cpu, new) = (Cpu::current(), index as u32 + 1);
    let before = cpu.to_wake.load(Ordering::Relaxed);
    if before != new {
        cpu.to_wake.store(new, Ordering::Relaxed);
        if before != 0 {
            wake(Cpu::get(before as usize - 1));
        }
    }
}

/// Has this vCPU take a tick at the deadline (monotonic ns), or soon after: for guests whose vCPUs all run applications (kvm
/// tender).
pub fn set_alarm(deadline: u64) {
    kvm::set_alarm(deadline);
}

/// A vCPU was found to be no more since somebody last looked for such.
static LOSS: AtomicU32 = AtomicU32::new(0);

/// See `take_loss`.
pub(super) fn note_loss() {
    LOSS.store(1, Ordering::Relaxed);
    request_work();
}

/// Whether a vCPU may have ended without the kernel's doing: time for `is_lost`.
pub fn take_loss() -> bool {
    LOSS.load(Ordering::Relaxed) != 0 && LOSS.swap(0, Ordering::Relaxed) != 0
}

/// Whether the host thread of another vCPU in use has ended without the kernel's doing (process tender): the application
/// jumped into the gate, or somebody outside ended it. One that lives is kicked.
pub fn is_lost(index: usize) -> bool {
    index != self::index() && gate::is_lost(Cpu::get(index))
}

/// The host process that a vCPU in use is a thread of (process tender).
pub fn host_process(index: usize) -> i32 {
    Cpu::get(index).host_pid.load(Ordering::Relaxed)
}

/// Makes the first host process look whether the guest is to end (process tender).
pub(crate) fn alarm_first() {
    let first = boot().host_pid;
    for cpu in &CPUS_ALL {
        if cpu.host_pid.load(Ordering::Relaxed) == first && cpu.installed.load(Ordering::Relaxed) != 0 {
            gate::is_lost(cpu);
        }
    }
}

fn wake(cpu: &Cpu) {
    match cpu.wake.swap(AWAKE, Ordering::SeqCst) {
        SLEEPING => gate::cpu_wake(cpu),
        POLLING => gate::kick(cpu),
        _ => {}
    }
}

/// See `notify`.
#[inline]
pub(super) fn wake_notified() {
    let cpu = Cpu::current();
    let index = cpu.to_wake.load(Ordering::Relaxed);
    if index != 0 {
        cpu.to_wake.store(0, Ordering::Relaxed);
        let start = clock::monotonic_ns();
        wake(Cpu::get(index as usize - 1));
        add_overhead(start);
    }
}

/// Counts the time since `start` as spent on other vCPUs.
pub(super) fn add_overhead(start: u64) {
    let cpu = Cpu::current();
    let spent = clock::monotonic_ns().wrapping_sub(start);
    cpu.overhead.store(cpu.overhead.load(Ordering::Relaxed).wrapping_add(spent), Ordering::Relaxed);
}

/// Nanoseconds that this vCPU has spent on others: waking them, and waiting until they gave up the big kernel lock.
pub fn overhead_ns() -> u64 {
    Cpu::current().overhead.load(Ordering::Relaxed)
}

/// A host signal found this vCPU in the kernel: if it is on its way to sleep, it does not.
pub(super) fn stay_awake(cpu: &Cpu) {
    cpu.wake.store(AWAKE, Ordering::SeqCst);
}

const SLEEPING: u32 = 0;
pub(super) const AWAKE: u32 = 1;
const POLLING: u32 = 2;
/// Looks for a while whether it is to wake before it sleeps.
const SPINNING: u32 = 3;

/// A vCPU whose last sleeps were shorter than this looks for `SPIN_NS` before it sleeps: an answer from another process is
/// often there before the host could have switched threads twice.
const SHORT_SLEEP_NS: u64 = 60_000;
const SPIN_NS: u64 = 20_000;
/// So many short sleeps make it expect another one.
const SHORT_SLEEPS: i32 = 3;
/// For so many it does not after it has looked in vain: whom it waits for may need the processor on which it looks.
const SPIN_PAUSE: i32 = 32;

/// Waits a moment for a notify. True: it came.
fn spin(cpu: &Cpu, start: u64) -> bool {
    loop {
        for _ in 0..16 {
            if cpu.wake.load(Ordering::Relaxed) != SPINNING {
                return true;
            }
            core::hint::spin_loop();
        }
        if clock::monotonic_ns().wrapping_sub(start) >= SPIN_NS {
            return false;
        }
    }
}

/// A descriptor of the guest's first three that somebody waits for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    pub input: bool,
    pub output: bool,
}

/// Sleeps until `notify`, the deadline (monotonic ns) or, where a descriptor is watched, its readiness. The big kernel
/// lock is free meanwhile.
pub fn sleep(deadline: Option<u64>, watch: [Watch; 3]) {
    let cpu = Cpu::current();
    let mut fds = [gate::PollFd::default(); 3];
    let mut watched = 0;
    for (fd, watch) in watch.iter().enumerate().filter(|(_, watch)| watch.input || watch.output) {
        let events =
            if watch.input { gate::POLLIN } else { 0 } | if watch.output { gate::POLLOUT } else { 0 };
        fds[watched] = gate::PollFd { fd: fd as i32, events, revents: 0 };
        watched += 1;
    }
    let start = clock::monotonic_ns();
    let short_sleeps = cpu.short_sleeps.load(Ordering::Relaxed);
    let spins = short_sleeps >= SHORT_SLEEPS && deadline.is_none_or(|deadline| deadline > start + SPIN_NS);
    let state = if watched == 0 { SLEEPING } else { POLLING };
    cpu.wake.store(if spins { SPINNING } else { state }, Ordering::SeqCst);
    if super::host_signal::is_pending() {
        // It came since somebody looked; one that comes from here on wakes us by `stay_awake`.
        cpu.wake.store(AWAKE, Ordering::SeqCst);
        return;
    }
    lock::release();
    let awake = spins && {
        let notified = if is_process_tender() { spin(cpu, start) } else { kvm::outside(|| spin(cpu, start)) };
        notified || cpu.wake.compare_exchange(SPINNING, state, Ordering::SeqCst, Ordering::SeqCst).is_err()
    };
    if awake || super::host::has_signals() {
        // Came while it spun, or before this vCPU said that it sleeps.
    } else if watched == 0 {
        gate::cpu_sleep(cpu, deadline);
    } else {
        gate::cpu_poll(&mut fds[..watched], deadline);
    }
    lock::acquire();
    // An awake vCPU needs no wake-up call.
    cpu.wake.store(AWAKE, Ordering::SeqCst);
    let short = clock::monotonic_ns().wrapping_sub(start) < SHORT_SLEEP_NS;
    let short_sleeps = match (spins, short) {
        (true, _) if awake => short_sleeps,
        (true, _) => -SPIN_PAUSE,
        (false, true) => (short_sleeps + 1).min(SHORT_SLEEPS),
        (false, false) => short_sleeps.min(0),
    };
    cpu.short_sleeps.store(short_sleeps, Ordering::Relaxed);
}

/// Leaves whatever stack this vCPU is on and runs the personality's idle loop on the vCPU's own.
pub fn idle() -> ! {
    let stack = Cpu::current().idle_stack.load(Ordering::Relaxed);
    // SAFETY: the idle stack is this vCPU's own and nothing on it is live: whoever left it last did so for good.
    unsafe {
        asm!(
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "call {idle}",
            "ud2",
            stack = in(reg) stack,
            idle = sym idle_loop,
            options(noreturn)
        )
    }
}

/// Idles until the personality has chosen a thread, and goes on with that.
extern "C" fn idle_loop() -> ! {
    let cpu = Cpu::current();
    loop {
        personality().idle();
        let chosen = cpu.chosen.swap(0, Ordering::Relaxed);
        if chosen != 0 {
            super::thread::resume(chosen as *const Thread);
        }
    }
}

/// Names the thread that this vCPU goes on with at the next `switch`, or when `Personality::idle` returns. It must stay
/// alive until this vCPU has left it again.
pub fn choose(to: &Thread) {
    Cpu::current().chosen.store(core::ptr::from_ref(to) as usize, Ordering::Relaxed);
}

/// Goes on with the chosen thread. Returns when another `switch` goes on with `from`, which must be the running one.
pub fn switch(from: &Thread) {
    let to = Cpu::current().chosen.swap(0, Ordering::Relaxed);
    assert!(to != 0, "no thread was chosen");
    super::thread::switch(from, to as *const Thread);
}

/// Leaves `from`, the running thread, for the idle loop. Returns when a `switch` goes on with it, maybe on another vCPU.
pub fn leave(from: &Thread) {
    super::thread::leave(from, Cpu::current().idle_stack.load(Ordering::Relaxed), idle_loop);
}

/// The frame of the task that runs here.
pub(super) fn frame() -> *mut Frame {
    Cpu::current().frame.load(Ordering::Relaxed) as *mut Frame
}

/// First Rust code of every further vCPU: on its idle stack, without the lock.
extern "C" fn cpu_main(index: usize) -> ! {
    let cpu = Cpu::get(index);
    cpu.install();
    if is_process_tender() {
        gate::prepare_thread(cpu);
    }
    lock::acquire();
    idle_loop()
}

/// Runs `cpu_main` on the vCPU's idle stack (kvm tender).
pub(super) fn enter(index: usize) -> ! {
    let stack = Cpu::get(index).idle_stack.load(Ordering::Relaxed);
    // SAFETY: the idle stack is the vCPU's own and nothing on it is live.
    unsafe {
        asm!("mov rsp, {stack}", "xor ebp, ebp", "call {main}", "ud2", stack = in(reg) stack, in("rdi") index,
            main = sym cpu_main, options(noreturn))
    }
}

/// Starts a further vCPU in this host process. `slot` is its number there; `index` is free.
pub fn start_thread(index: usize, slot: usize) -> Result<(), i32> {
    let cpu = Cpu::get(index);
    if !is_process_tender() {
        return kvm::start_cpu(cpu, index, slot);
    }
    cpu.prepare(index, slot);
    cpu.host_pid.store(Cpu::current().host_pid.load(Ordering::Relaxed), Ordering::Relaxed);
    gate::clone_thread(cpu, cpu_main, index)
}

/// Makes a host process whose memory is a copy of this one's, with vCPU `index`; the guest range is emptied first when
/// `wipe`.
pub fn start_process(index: usize, wipe: bool) -> Result<(), i32> {
    let cpu = Cpu::get(index);
    cpu.prepare(index, 0);
    cpu.wipe.store(u32::from(wipe), Ordering::Relaxed);
    gate::clone_process(cpu, cpu_main, index)
}

/// Ends this vCPU's thread, giving up the big kernel lock as its last act. Its `Cpu` may be used again.
pub fn exit_thread() -> ! {
    if !is_process_tender() {
        kvm::park();
    }
    wake_notified();
    gate::exit_thread()
}

/// Ends the guest with a wait status' exit code.
pub fn exit_guest(code: i32) -> ! {
    gate::exit_guest(code)
}
