//! vCPUs: host threads that enter the guest and act on its exits.
//!
//! Two things interrupt a vCPU: a tick, by a timer of the thread's CPU time (an idle vCPU takes none), and a kick, by a
//! byte in its pipe, which is set to send SIGIO to its thread. The signal handler sets `immediate_exit` in the page shared
//! with KVM, so no signal is lost between a look and the next entry. An idle vCPU polls the same pipe.

use crate::calls::Clock;
use crate::kvm::{self, Cpuid, CpuidEntry, Msr, Msrs, Run, Segment, Sregs, Table, Xcr, Xcrs, exit};
use crate::memory::Memory;
use crate::{Error, host, open_kvm, seal};
use core::convert::Infallible;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};
use husk_abi::boot::KernelHeader;
use husk_abi::layout::{self, PRIVATE_PER_CPU};
use husk_abi::vcpu::{self, Upcall, selector};
use husk_tender::config::{Config, FORWARDED, Ring, SIZE};
use husk_tender::confine;
use linux_raw_sys::general as raw;
use syscalls::{Errno, Sysno};

/// CPU time after which a busy vCPU is interrupted, so that its kernel may run another thread.
const TICK_NS: u64 = 10_000_000;
const TICK: u32 = raw::SIGVTALRM;
const KICK: u32 = raw::SIGIO;

/// Bytes, and alignment, of a thread's signal stack. Its first word points to the thread's `Vcpu`.
const SIGNAL_STACK: usize = 64 << 10;
const THREAD_STACK: usize = 64 << 10;

/// All that the tender's threads share.
pub(crate) struct Guest {
    pub(crate) memory: Memory,
    pub(crate) clock: Clock,
    pub(crate) control: Option<i32>,
    /// Where the guest's record goes.
    pub(crate) record: Option<i32>,
    pub(crate) trace: Option<i32>,
    pub(crate) wish: Option<i32>,
    pub(crate) ring: Option<Ring>,
    pub(crate) vcpus: Vcpus,
    /// Threads that are ready to be sealed.
    ready: AtomicU32,
}

/// The vCPUs of a guest.
pub(crate) struct Vcpus {
    all: [Vcpu; layout::CPUS_MAX],
    count: usize,
}

impl core::ops::Deref for Vcpus {
    type Target = [Vcpu];
    fn deref(&self) -> &[Vcpu] {
        &self.all[..self.count]
    }
}

/// One vCPU and its thread.
pub(crate) struct Vcpu {
    index: usize,
    fd: i32,
    run: *mut Run,
    /// Entry of kicks in the kernel, 0 when it has none.
    kick: u64,
    /// Pipe whose input interrupts the thread.
    pipe: [i32; 2],
    /// A byte is in the pipe, or about to be.
    kicked: AtomicU32,
    /// A kick has come since the last sleep: the next sleep ends at once, so that none is slept through.
    wakeful: AtomicU32,
    /// Asleep until, among others, the state server answers, or about to be.
    awaits_reply: AtomicU32,
    /// Host signals that arrived: bit n is signal n + 1.
    signals: AtomicU64,
    /// The size of the terminal that came with SIGWINCH, as in `Upcall`.
    window: AtomicU64,
    /// How long the sleep that is about to begin may last: seconds and nanoseconds, as ppoll(2) reads them when it begins.
    /// A signal sets both to 0, so that none is slept through, however short before the sleep it comes.
    timeout: [AtomicU64; 2],
    /// Timer of `set_alarm`.
    alarm: AtomicI32,
    /// The vCPU's part of PRIVATE in the tender's memory.
    private: usize,
    stacks: usize,
}

// SAFETY: `run` is used by the vCPU's own thread only; other threads use the atomics.
unsafe impl Sync for Vcpu {}

#[expect(clippy::declare_interior_mutable_const, reason = "each use is a vCPU of its own")]
const NO_VCPU: Vcpu = Vcpu {
    index: 0,
    fd: -1,
    run: core::ptr::null_mut(),
    kick: 0,
    pipe: [-1; 2],
    kicked: AtomicU32::new(0),
    wakeful: AtomicU32::new(0),
    awaits_reply: AtomicU32::new(0),
    signals: AtomicU64::new(0),
    window: AtomicU64::new(0),
    timeout: [AtomicU64::new(0), AtomicU64::new(0)],
    alarm: AtomicI32::new(0),
    private: 0,
    stacks: 0,
};

fn check_extension(kvm: i32, extension: usize, bits: usize, name: &'static str) -> Result<(), Error> {
    // SAFETY: no pointer.
    let answer = unsafe { host::ioctl(kvm, kvm::CHECK_EXTENSION, extension) }.unwrap_or(0);
    if answer & bits == bits { Ok(()) } else { Err(Error::KvmTooOld(name)) }
}

/// Checks that this KVM has what the tender builds on.
pub(crate) fn check_extensions(kvm: i32) -> Result<(), Error> {
    check_extension(
        kvm,
        kvm::CAP_SYNC_REGS,
        (kvm::SYNC_REGS | kvm::SYNC_EVENTS) as usize,
        "KVM_CAP_SYNC_REGS",
    )?;
    check_extension(kvm, kvm::CAP_IMMEDIATE_EXIT, 1, "KVM_CAP_IMMEDIATE_EXIT")
}

/// The processor features that this host's KVM offers to guests: the same until the host boots again.
pub fn supported_cpuid() -> Result<Cpuid, Error> {
    let kvm = open_kvm()?;
    let cpuid = ask_cpuid(kvm);
    // SAFETY: the descriptor was opened above.
    let _ = unsafe { host::call(Sysno::close, [kvm as usize, 0, 0, 0, 0, 0]) };
    cpuid
}

pub(crate) fn ask_cpuid(kvm: i32) -> Result<Cpuid, Error> {
    let count = kvm::CPUID_MAX as u32;
    let mut cpuid = Cpuid { count, padding: 0, entries: [CpuidEntry::default(); kvm::CPUID_MAX] };
    // SAFETY: KVM writes at most `count` entries.
    unsafe { host::ioctl(kvm, kvm::GET_SUPPORTED_CPUID, &raw mut cpuid as usize) }
        .map_err(|errno| Error::Host("KVM_GET_SUPPORTED_CPUID", errno))?;
    Ok(cpuid)
}

/// State components that the guest may use: x87, SSE, AVX, AVX-512, as far as the host has them.
pub(crate) fn xsave_mask(cpuid: &Cpuid) -> u32 {
    const X87_SSE: u32 = 3;
    const KEPT: u32 = 0xe7;
    let entries = cpuid.entries.iter().take(cpuid.count as usize);
    entries.filter(|row| row.function == 0xd && row.index == 0).map(|row| row.eax & KEPT).next().unwrap_or(0)
        | X87_SSE
}

fn vcpu_ioctl(fd: i32, request: usize, argument: usize, name: &'static str) -> Result<usize, Error> {
    // SAFETY: the callers below pass the structure that the request takes.
    unsafe { host::ioctl(fd, request, argument) }.map_err(|errno| Error::Host(name, errno))
}

/// The state of a vCPU that is about to run 64-bit code in ring 3.
fn special_registers(before: &Sregs, private: u64, root_table: u64) -> Sregs {
    const CR0: u64 = 0x8005_0033; // PG AM WP NE ET MP PE
    const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10 | 1 << 16 | 1 << 18; // PAE OSFXSR OSXMMEXCPT FSGSBASE OSXSAVE
    const EFER: u64 = 0xd01; // NXE LMA LME SCE
    let code = Segment {
        limit: u32::MAX,
        selector: selector::USER_CODE,
        kind: 11,
        present: 1,
        dpl: 3,
        s: 1,
        l: 1,
        g: 1,
        ..Segment::default()
    };
    let data = Segment { selector: selector::USER_DATA, kind: 3, l: 0, db: 1, ..code };
    let task = Segment {
        base: private + vcpu::TSS as u64,
        limit: vcpu::TSS_LEN as u32 - 1,
        selector: selector::TSS,
        kind: 11,
        present: 1,
        ..Segment::default()
    };
    let table =
        |at: usize, len: usize| Table { base: private + at as u64, limit: len as u16 - 1, padding: [0; 3] };
    Sregs {
        cs: code,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: task,
        ldt: Segment { unusable: 1, ..Segment::default() },
        gdt: table(vcpu::GDT, vcpu::GDT_ENTRIES * 8),
        idt: table(vcpu::IDT, 4096),
        cr0: CR0,
        cr3: root_table,
        cr4: CR4,
        efer: EFER,
        ..*before
    }
}

/// Makes the vCPUs, ready for their first entry.
pub(crate) fn create(
    kvm: i32,
    vm: i32,
    cpuid: &Cpuid,
    header: &KernelHeader,
    first: u64,
    memory: &Memory,
    count: usize,
) -> Result<Vcpus, Error> {
    // SAFETY: no pointer.
    let run_len = unsafe { host::ioctl(kvm, kvm::GET_VCPU_MMAP_SIZE, 0) }
        .map_err(|errno| Error::Host("KVM_GET_VCPU_MMAP_SIZE", errno))?;
    let stacks =
        map(count * (SIGNAL_STACK + THREAD_STACK) + SIGNAL_STACK, -1)?.next_multiple_of(SIGNAL_STACK);
    let mut vcpus = Vcpus { all: [NO_VCPU; layout::CPUS_MAX], count };
    for (index, slot) in vcpus.all.iter_mut().enumerate().take(count) {
        let private = (layout::PRIVATE + index * PRIVATE_PER_CPU) as u64;
        let fd = vcpu_ioctl(vm, kvm::CREATE_VCPU, index, "KVM_CREATE_VCPU")? as i32;
        let run = map(run_len, fd)? as *mut Run;
        vcpu_ioctl(fd, kvm::SET_CPUID2, core::ptr::from_ref(cpuid) as usize, "KVM_SET_CPUID2")?;
        let mut before = Sregs::default();
        vcpu_ioctl(fd, kvm::GET_SREGS, &raw mut before as usize, "KVM_GET_SREGS")?;
        let after = special_registers(&before, private, memory.root_table);
        vcpu_ioctl(fd, kvm::SET_SREGS, &raw const after as usize, "KVM_SET_SREGS")?;
        // STAR, LSTAR, FMASK (AC NT DF IF TF).
        let star = u64::from(selector::USER_DATA - 8) << 48 | u64::from(selector::KERNEL_CODE) << 32;
        let msrs = [
            (0xc000_0081, star),
            (0xc000_0082, private + vcpu::SYSCALL_STUB as u64),
            (0xc000_0084, 0x4_4700),
        ];
        let entries = msrs.map(|(index, value)| Msr { index, reserved: 0, value });
        let msrs = Msrs { count: entries.len() as u32, padding: 0, entries };
        if vcpu_ioctl(fd, kvm::SET_MSRS, &raw const msrs as usize, "KVM_SET_MSRS")? != entries.len() {
            return Err(Error::KvmTooOld("SYSCALL instruction"));
        }
        let mut xcrs = Xcrs { count: 1, ..Xcrs::default() };
        xcrs.entries[0] = Xcr { index: 0, reserved: 0, value: u64::from(xsave_mask(cpuid)) };
        vcpu_ioctl(fd, kvm::SET_XCRS, &raw const xcrs as usize, "KVM_SET_XCRS")?;
        let start = if index == 0 { first } else { header.start_cpu };
        // SAFETY: the page that KVM shares with this vCPU, which has not run.
        unsafe {
            (*run).valid_regs = kvm::SYNC_REGS | kvm::SYNC_EVENTS;
            (*run).dirty_regs = kvm::SYNC_REGS;
            (*run).regs.rip = start;
            (*run).regs.rsp = private + vcpu::UPCALL_STACK_TOP as u64 - 8;
            (*run).regs.rdi = index as u64;
            (*run).regs.rflags = 0x202;
        }
        let mut pipe = [0_i32; 2];
        let flags = (raw::O_CLOEXEC | raw::O_NONBLOCK) as usize;
        // SAFETY: the kernel writes two descriptors.
        unsafe { host::call(Sysno::pipe2, [pipe.as_mut_ptr() as usize, flags, 0, 0, 0, 0]) }
            .map_err(|errno| Error::Host("pipe2", errno))?;
        *slot = Vcpu {
            index,
            fd,
            run,
            kick: header.kvm[0],
            pipe,
            kicked: AtomicU32::new(0),
            wakeful: AtomicU32::new(0),
            awaits_reply: AtomicU32::new(0),
            signals: AtomicU64::new(0),
            window: AtomicU64::new(0),
            alarm: AtomicI32::new(0),
            timeout: [AtomicU64::new(0), AtomicU64::new(0)],
            private: memory.private(index),
            stacks: stacks + index * (SIGNAL_STACK + THREAD_STACK),
        };
    }
    Ok(vcpus)
}

fn map(len: usize, fd: i32) -> Result<usize, Error> {
    let flags =
        if fd < 0 { raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE } else { raw::MAP_SHARED };
    let args = [0, len, (raw::PROT_READ | raw::PROT_WRITE) as usize, flags as usize, fd as usize, 0];
    // SAFETY: a new mapping where the host finds room.
    unsafe { host::call(Sysno::mmap, args) }.map_err(|errno| Error::Host("mmap", errno))
}

/// Seals the process and enters the guest on this thread; further vCPUs get threads of their own.
pub(crate) fn enter(
    vcpus: Vcpus,
    memory: Memory,
    clock: Clock,
    config: &Config<'_>,
) -> Result<Infallible, Error> {
    let control = (config.control_fd >= 0).then_some(config.control_fd);
    let (trace, wish, record) = (config.trace_fd, config.wish_fd, config.record_fd);
    let ring = config.ring;
    let guest = Guest { memory, clock, control, record, trace, wish, ring, vcpus, ready: AtomicU32::new(0) };
    let mut keep = [-1; 9 + 3 * layout::CPUS_MAX];
    let counters = [ring.map(|ring| ring.requests), ring.map(|ring| ring.replies)];
    let named = [control, trace, wish, record, counters[0], counters[1]].map(|fd| fd.unwrap_or(-1));
    keep[..3].copy_from_slice(&[0, 1, 2]);
    keep[3..9].copy_from_slice(&named);
    for (vcpu, slots) in guest.vcpus.iter().zip(keep[9..].chunks_exact_mut(3)) {
        slots.copy_from_slice(&[vcpu.fd, vcpu.pipe[0], vcpu.pipe[1]]);
    }
    install_handlers()?;
    confine::confine(config, &mut keep).map_err(|(what, errno)| Error::Host(what, errno))?;
    // Further threads begin with their signals blocked, until each has its signal stack.
    let directed = FORWARDED.into_iter().chain([SIZE, husk_abi::control::SIGNAL]);
    guest.vcpus[0].prepare_thread(directed.chain([TICK, KICK]))?;
    if let Some(fd) = guest.control {
        husk_tender::host::announce_input(fd, husk_abi::control::SIGNAL)
            .map_err(|errno| Error::Host("fcntl of the control socket", errno))?;
    }
    // From here on there is no way back: other threads hold on to `guest`.
    let sealed = guest
        .start_threads()
        .and_then(|()| block_signals([]))
        .and_then(|()| seal::seal(guest.memory.arena()));
    match sealed {
        Ok(()) => guest.vcpus[0].drive(&guest),
        Err(error) => guest.crash(&guest.vcpus[0], format_args!("cannot seal the tender: {error}")),
    }
}

/// Argument of a vCPU's thread, on the stack of the thread that makes it until it is ready.
struct Start<'a> {
    guest: &'a Guest,
    vcpu: &'a Vcpu,
}

impl Guest {
    fn start_threads(&self) -> Result<(), Error> {
        for vcpu in self.vcpus.iter().skip(1) {
            let start = Start { guest: self, vcpu };
            let stack = vcpu.stacks + SIGNAL_STACK + THREAD_STACK;
            // SAFETY: the stack is the vCPU's own; `start` lives until the thread says that it is ready.
            unsafe { host::start_thread(stack, thread_main, &raw const start as usize) }
                .map_err(|errno| Error::Host("clone", errno))?;
            while self.ready.load(Ordering::Acquire) < vcpu.index as u32 {
                // SAFETY: no argument. (Not a futex: its wake-up would be a call of the thread after it said it is ready.)
                let _ = unsafe { host::call(Sysno::sched_yield, [0; 6]) };
            }
        }
        Ok(())
    }
}

extern "C" fn thread_main(argument: usize) -> ! {
    // SAFETY: `start_threads` passes a `Start` and keeps it until `ready` counts this thread.
    let &Start { guest, vcpu } = unsafe { &*(argument as *const Start<'static>) };
    // One vCPU takes the signals that are sent to the process: this one may sleep until its kernel needs it.
    let directed = FORWARDED.into_iter().chain([SIZE, husk_abi::control::SIGNAL]);
    if let Err(error) = vcpu.prepare_thread(directed) {
        guest.crash(vcpu, format_args!("cannot prepare its thread: {error}"));
    }
    // From now on the filter may be there.
    guest.ready.store(vcpu.index as u32, Ordering::Release);
    // A vCPU first runs when it is first notified.
    while vcpu.kicked.load(Ordering::Acquire) == 0 {
        let mut poll = raw::pollfd { fd: vcpu.pipe[0], events: raw::POLLIN as i16, revents: 0 };
        // SAFETY: one pollfd, no timeout.
        unsafe { host::sealed(Sysno::ppoll, [&raw mut poll as usize, 1, 0, 0, 0]) };
    }
    vcpu.take_kicks(&guest.memory);
    vcpu.take_wakeful();
    vcpu.drive(guest)
}

/// `struct sigaction` as the kernel takes it.
#[repr(C)]
struct Action {
    handler: usize,
    flags: usize,
    restorer: usize,
    mask: u64,
}

fn install_handlers() -> Result<(), Error> {
    const IGNORE: usize = 1;
    let flags = (raw::SA_SIGINFO | raw::SA_ONSTACK | raw::SA_RESTORER) as usize;
    let handler = on_signal as *const () as usize;
    let action = |signal: u32, handler: usize| {
        let action = Action { handler, flags, restorer: host::sigreturn_address(), mask: u64::MAX };
        // SAFETY: the handler follows the signal calling convention, and the restorer makes rt_sigreturn.
        unsafe { host::call(Sysno::rt_sigaction, [signal as usize, &raw const action as usize, 0, 8, 0, 0]) }
            .map_err(|errno| Error::Host("rt_sigaction", errno))
    };
    for signal in FORWARDED.into_iter().chain([TICK, KICK, SIZE, husk_abi::control::SIGNAL]) {
        action(signal, handler)?;
    }
    // A closed pipe is an error of a write, which the guest gets.
    action(raw::SIGPIPE, IGNORE).map(|_| ())
}

/// Makes the next entry of this thread's vCPU return at once. Runs on the thread's signal stack, and nothing else does.
extern "C" fn on_signal(signal: u32, info: *const u64) {
    let stack: usize;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    // SAFETY: the signal stack is aligned to its length and begins with a pointer to the vCPU, which outlives it.
    let vcpu = unsafe { &**((stack & !(SIGNAL_STACK - 1)) as *const *const Vcpu) };
    if signal != TICK && signal != KICK {
        vcpu.signals.fetch_or(1 << (signal - 1), Ordering::Relaxed);
        if signal == SIZE {
            // SAFETY: the host's siginfo, of which the value is the fourth word of 64 bits.
            let old = vcpu.window.swap(unsafe { *info.add(3) }, Ordering::Relaxed);
            vcpu.window.fetch_or(old & husk_abi::boot::CONTINUE_MARK, Ordering::Relaxed);
        }
    }
    for part in &vcpu.timeout {
        part.store(0, Ordering::Relaxed);
    }
    // SAFETY: the page is mapped for the life of the process; the field is atomic.
    unsafe { (*vcpu.run).immediate_exit.store(1, Ordering::SeqCst) };
}

/// Makes `signals`, and no others, wait in the calling thread.
fn block_signals(signals: impl IntoIterator<Item = u32>) -> Result<(), Error> {
    let mask = signals.into_iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
    let set = [raw::SIG_SETMASK as usize, &raw const mask as usize, 0, 8, 0, 0];
    // SAFETY: a mask of eight bytes.
    unsafe { host::call(Sysno::rt_sigprocmask, set) }
        .map(|_| ())
        .map_err(|errno| Error::Host("rt_sigprocmask", errno))
}

impl Vcpu {
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn kick_input(&self) -> i32 {
        self.pipe[0]
    }

    /// The registers at the last exit.
    pub(crate) fn registers(&self) -> kvm::Regs {
        // SAFETY: KVM wrote them at the exit; only this vCPU's thread is here.
        unsafe { (*self.run).regs }
    }

    /// Gives the calling thread its signal stack, mask, tick and kick. Signals in `blocked` go to other threads.
    fn prepare_thread(&self, blocked: impl IntoIterator<Item = u32>) -> Result<(), Error> {
        // SAFETY: the first word of the vCPU's own signal stack.
        unsafe { *(self.stacks as *mut *const Vcpu) = self };
        let stack = [self.stacks, 0, SIGNAL_STACK];
        let call = |name, number, args: [usize; 6]| {
            // SAFETY: all pointers below are to locals of the layout that the call reads or writes.
            unsafe { host::call(number, args) }.map_err(|errno: Errno| Error::Host(name, errno))
        };
        call("sigaltstack", Sysno::sigaltstack, [stack.as_ptr() as usize, 0, 0, 0, 0, 0])?;
        block_signals(blocked)?;
        let tid = call("gettid", Sysno::gettid, [0; 6])?;

        let owner = [raw::F_OWNER_TID, tid as u32];
        let fd = self.pipe[0] as usize;
        let set_owner = [fd, raw::F_SETOWN_EX as usize, owner.as_ptr() as usize, 0, 0, 0];
        call("F_SETOWN_EX", Sysno::fcntl, set_owner)?;
        let flags = (raw::O_NONBLOCK | raw::FASYNC) as usize;
        call("O_ASYNC", Sysno::fcntl, [fd, raw::F_SETFL as usize, flags, 0, 0, 0])?;

        // `struct sigevent`: value, signal, how, thread.
        let mut event = [0_u32; 16];
        event[2] = TICK;
        event[3] = raw::SIGEV_THREAD_ID;
        event[4] = tid as u32;
        let make_timer = |clock: u32| {
            let mut timer = 0_i32;
            let create = [clock as usize, event.as_ptr() as usize, &raw mut timer as usize, 0, 0, 0];
            call("timer_create", Sysno::timer_create, create).map(|_| timer)
        };
        let tick = make_timer(raw::CLOCK_THREAD_CPUTIME_ID)? as usize;
        let period = [0, TICK_NS, 0, TICK_NS];
        call("timer_settime", Sysno::timer_settime, [tick, 0, period.as_ptr() as usize, 0, 0, 0])?;
        self.alarm.store(make_timer(raw::CLOCK_MONOTONIC)?, Ordering::Relaxed);
        Ok(())
    }

    /// Has a tick come in `left` nanoseconds, and then none until the next alarm or time slice. Its own thread only.
    pub(crate) fn set_alarm(&self, left: u64) -> i64 {
        let left = left.max(1);
        let when = [0, 0, left / 1_000_000_000, left % 1_000_000_000];
        let timer = self.alarm.load(Ordering::Relaxed) as usize;
        // SAFETY: a `struct itimerspec`; the old one is not asked for.
        unsafe { host::sealed(Sysno::timer_settime, [timer, 0, when.as_ptr() as usize, 0, 0]) as i64 }
    }

    /// Interrupts the vCPU, or ends its sleep. From any thread.
    pub(crate) fn notify(&self) {
        if self.kicked.swap(1, Ordering::SeqCst) == 0 {
            // SAFETY: one byte of a local.
            unsafe { host::sealed(Sysno::write, [self.pipe[1] as usize, [1_u8].as_ptr() as usize, 1, 0, 0]) };
        }
    }

    /// Sets how long the next sleep may last, in nanoseconds; not at all if there is news already. Gives the address of the
    /// time-out for ppoll(2).
    pub(crate) fn limit_sleep(&self, left: u64) -> usize {
        let parts = [left / 1_000_000_000, left % 1_000_000_000];
        for (place, part) in self.timeout.iter().zip(parts) {
            place.store(part, Ordering::SeqCst);
        }
        // In this order: a signal from here on sets the time-out itself.
        if self.take_wakeful() || self.signals.load(Ordering::SeqCst) != 0 {
            for place in &self.timeout {
                place.store(0, Ordering::SeqCst);
            }
        }
        self.timeout.as_ptr() as usize
    }

    /// Whether a kick has come since this was last asked.
    pub(crate) fn take_wakeful(&self) -> bool {
        self.wakeful.swap(0, Ordering::SeqCst) != 0
    }

    /// Says whether the vCPU sleeps until, among others, the state server answers.
    pub(crate) fn set_awaits_reply(&self, awaits: bool) {
        self.awaits_reply.store(u32::from(awaits), Ordering::SeqCst);
    }

    /// The state server has answered, perhaps this vCPU. From any thread.
    pub(crate) fn tell_of_reply(&self) {
        // In this order: a vCPU that is about to sleep says so first, and then looks whether it may.
        self.wakeful.store(1, Ordering::SeqCst);
        if self.awaits_reply.load(Ordering::SeqCst) != 0 {
            self.notify();
        }
    }

    /// Takes note of all kicks so far, and tells the kernel of host signals.
    pub(crate) fn take_kicks(&self, memory: &Memory) {
        // In this order: what arrives later sets the flag again.
        // SAFETY: as in `on_signal`.
        unsafe { (*self.run).immediate_exit.store(0, Ordering::SeqCst) };
        if self.kicked.swap(0, Ordering::SeqCst) != 0 {
            self.wakeful.store(1, Ordering::Relaxed);
            let mut bytes = [0_u8; 16];
            // SAFETY: a buffer of that length. The pipe is non-blocking, should the byte still be on its way.
            unsafe {
                host::sealed(Sysno::read, [self.pipe[0] as usize, bytes.as_mut_ptr() as usize, 16, 0, 0])
            };
        }
        let signals = self.signals.swap(0, Ordering::Relaxed);
        if signals != 0 {
            self.wakeful.store(1, Ordering::Relaxed);
            let window = self.window.swap(0, Ordering::Relaxed);
            let upcall = self.private + vcpu::UPCALL;
            if window != 0 {
                // SAFETY: as below.
                unsafe { &*((upcall + core::mem::offset_of!(Upcall, window)) as *const AtomicU64) }
                    .store(window, Ordering::SeqCst);
            }
            // SAFETY: an aligned word of the vCPU's own upcall block, which guest and tender access atomically.
            unsafe { &*((self.private + vcpu::UPCALL) as *const AtomicU64) }
                .fetch_or(signals, Ordering::SeqCst);
            self.raise(memory);
        }
    }

    fn kick_word(&self) -> u64 {
        let upcall = (self.private + vcpu::UPCALL) as *const Upcall;
        // SAFETY: guest memory of the vCPU's own; whoever uses the value checks it.
        unsafe { (&raw const (*upcall).kick_word).read_volatile() }
    }

    /// The kernel has filled this vCPU's tables.
    fn is_ready(&self) -> bool {
        self.kick_word() != 0
    }

    /// The kernel of a restored guest fills the tables anew: a kick before that would run on those of the old tender.
    pub(crate) fn forget_kernel(&self) {
        // SAFETY: the vCPU's own upcall block, while no vCPU runs.
        unsafe { ((self.private + vcpu::UPCALL) as *mut Upcall).write(Upcall::default()) };
    }

    /// Sets the word that makes the kernel look for work before it returns to the application.
    fn raise(&self, memory: &Memory) {
        memory.raise(self.kick_word());
    }

    /// An application has accessed an I/O port. KVM has yet to finish the instruction, which it does before it looks at
    /// `immediate_exit`; then the kernel is told.
    fn refuse_port(&self) {
        let word =
            (self.private + vcpu::UPCALL + core::mem::offset_of!(Upcall, port_fault)) as *const AtomicU64;
        // SAFETY: an aligned word of the vCPU's own private area, which the kernel accesses atomically.
        unsafe { (*word).store(1, Ordering::SeqCst) };
        // SAFETY: the run page after an exit; only this thread uses it.
        unsafe { (*self.run).immediate_exit.store(1, Ordering::SeqCst) };
    }

    /// Enters the guest, over and over.
    fn drive(&self, guest: &Guest) -> ! {
        loop {
            // SAFETY: KVM_RUN on the vCPU's own descriptor; it changes guest memory and the run page only.
            let result = unsafe { host::sealed(Sysno::ioctl, [self.fd as usize, kvm::RUN, 0, 0, 0]) };
            if result == -(linux_raw_sys::errno::EINTR as isize) {
                self.interrupted(guest);
                continue;
            }
            if result < 0 {
                let errno = Errno::new(-result as i32);
                guest.crash(self, format_args!("guest memory cannot be provided: {errno}"));
            }
            // SAFETY: KVM wrote it at the exit.
            let reason = unsafe { (*self.run).exit_reason };
            match reason {
                exit::IO => {
                    // SAFETY: the meaning of the words for this exit reason.
                    let io = unsafe { (*self.run).exit.io };
                    if io.port != husk_abi::gate::PORT || io.direction != exit::IO_OUT {
                        if self.registers().rip < layout::GUEST_END as u64 {
                            self.refuse_port();
                            continue;
                        }
                        guest.crash(self, format_args!("access to I/O port {:#x}", io.port));
                    }
                    guest.serve(self, self.registers().rdi);
                }
                exit::INTR => self.interrupted(guest),
                exit::MMIO => {
                    // SAFETY: the first word is the guest-physical address.
                    let address = unsafe { (*self.run).exit.words[0] };
                    guest.crash(
                        self,
                        format_args!("access to guest-physical address {address:#x}, where nothing is"),
                    )
                }
                exit::HLT => guest.crash(self, format_args!("halted")),
                exit::SHUTDOWN => guest.crash(self, format_args!("exception in the exception entry")),
                exit::FAIL_ENTRY | exit::INTERNAL_ERROR => {
                    // SAFETY: the first word says what.
                    let word = unsafe { (*self.run).exit.words[0] };
                    guest.crash(self, format_args!("KVM failed with {reason}/{word:#x}"))
                }
                other => guest.crash(self, format_args!("unexpected exit {other}")),
            }
        }
    }

    /// A tick, a kick or a host signal ended KVM_RUN: hands it on as an upcall, see `abi::vcpu::Upcall`.
    fn interrupted(&self, guest: &Guest) {
        self.take_kicks(&guest.memory);
        // SAFETY: the run page after an exit; only this thread uses it.
        let run = unsafe { &mut *self.run };
        let private = (layout::PRIVATE + self.index * PRIVATE_PER_CPU) as u64;
        let within = |address: u64, from: usize, to: usize| {
            (private + from as u64..private + to as u64).contains(&address)
        };
        let regs = run.regs;
        // An exception on its way would find the wrong instruction pointer; ring 0 must not be left by the back door.
        let undelivered = run.exception.injected != 0 || run.exception.pending != 0;
        if self.kick == 0 || !self.is_ready() || undelivered || within(regs.rip, 0, PRIVATE_PER_CPU) {
            return self.raise(&guest.memory);
        }
        const RED_ZONE: u64 = 128;
        const ROOM: usize = 4096;
        let nested = within(regs.rsp, vcpu::UPCALL_STACK, vcpu::UPCALL_STACK_TOP);
        let top = if nested { regs.rsp - RED_ZONE } else { private + vcpu::UPCALL_STACK_TOP as u64 };
        let frame =
            [regs.rip, u64::from(selector::USER_CODE), regs.rflags, regs.rsp, u64::from(selector::USER_DATA)];
        let rsp = (top & !15) - size_of_val(&frame) as u64;
        if !within(rsp, vcpu::UPCALL_STACK + ROOM, vcpu::UPCALL_STACK_TOP) {
            return self.raise(&guest.memory);
        }
        let place = (self.private + (rsp - private) as usize) as *mut [u64; 5];
        // SAFETY: inside the vCPU's own upcall stack, as just checked.
        unsafe { place.write_unaligned(frame) };
        run.regs.rip = self.kick;
        run.regs.rsp = rsp;
        run.regs.rflags = 0x202;
        run.dirty_regs |= kvm::SYNC_REGS;
    }
}
