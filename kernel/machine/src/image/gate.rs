//! The gate: the kernel's only way out to the host.
//!
//! Process tender: the gate page holds the only instructions from which the filter passes host system calls. The calls
//! here are those of the filter's table and no others. The kvm tender's side is in `kvm`.

use super::cpu::{self, Cpu};
use super::{kvm, lock};
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU32, Ordering};
use husk_abi::gate::{entry, flags};
use husk_abi::layout::{GATE, PAGE_SIZE, PRIVATE, PRIVATE_PER_CPU};
use linux_raw_sys::general as raw;

type HostCall = unsafe extern "C" fn(usize, usize, usize, usize, usize, usize, usize) -> isize;

/// One host system call. A negative result is an error number.
fn host(number: u32, args: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the tender put this function into the gate page; what the calls below ask for is sound.
    unsafe {
        let call: HostCall = core::mem::transmute(GATE + entry::SYSCALL);
        call(number as usize, a, b, c, d, e, f)
    }
}

fn check(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| -result as i32)
}

const FUTEX_WAIT: usize = raw::FUTEX_WAIT as usize;
const FUTEX_WAKE: usize = raw::FUTEX_WAKE as usize;

/// A sleep for the lock that takes longer than this is worth a look at its holder.
const LOCK_PATIENCE_NS: u64 = 500_000_000;

/// Sleeps while `word` holds `value`. False: it has for long.
pub(super) fn lock_wait(word: &AtomicU32, value: u32) -> bool {
    if kvm::is_tender() {
        kvm::lock_wait(word, value);
        return true;
    }
    futex_wait(word, value, Some(LOCK_PATIENCE_NS)) != -(linux_raw_sys::errno::ETIMEDOUT as isize)
}

/// Sleeps while `word` holds `value`, at most `ns` nanoseconds.
fn futex_wait(word: &AtomicU32, value: u32, ns: Option<u64>) -> isize {
    let timeout = ns.map(timespec);
    let timeout = timeout.as_ref().map_or(0, |timeout| timeout.as_ptr() as usize);
    host(raw::__NR_futex, [word.as_ptr() as usize, FUTEX_WAIT, value as usize, timeout, 0, 0])
}

fn futex_wake(word: &AtomicU32) -> isize {
    host(raw::__NR_futex, [word.as_ptr() as usize, FUTEX_WAKE, 1, 0, 0, 0])
}

/// Wakes one sleeper.
pub(super) fn lock_wake(word: &AtomicU32) {
    if kvm::is_tender() {
        return kvm::lock_wake();
    }
    futex_wake(word);
}

/// Sleeps while `word` of the ring holds `value`, at most `ns`. May return early.
pub(super) fn ring_wait(word: &AtomicU32, value: u32, ns: u64) {
    if kvm::is_tender() {
        return kvm::wait_for_replies(super::clock::monotonic_ns() + ns);
    }
    futex_wait(word, value, Some(ns));
}

/// Wakes a worker of the state server that sleeps on `doorbell`.
pub(super) fn ring_wake(doorbell: &AtomicU32) {
    if kvm::is_tender() {
        return kvm::ring();
    }
    lock_wake(doorbell);
}

fn timespec(nanoseconds: u64) -> [u64; 2] {
    [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000]
}

/// Sleeps until `cpu_wake`, the deadline or a signal.
pub(super) fn cpu_sleep(cpu: &Cpu, deadline: Option<u64>) {
    if kvm::is_tender() {
        return kvm::sleep(deadline);
    }
    futex_wait(&cpu.wake, 0, deadline.map(|deadline| deadline.saturating_sub(super::clock::monotonic_ns())));
}

/// Ends `cpu_sleep` of another vCPU.
pub(super) fn cpu_wake(cpu: &Cpu) {
    if kvm::is_tender() {
        return kvm::wake(cpu.index());
    }
    if futex_wake(&cpu.wake) == 0 {
        // It was about to sleep, or is no more.
        kick(cpu);
    }
}

/// Sleeps in ppoll(2) until a descriptor is ready, `cpu_wake` by a kick, or the deadline.
pub(super) fn cpu_poll(fds: &mut [PollFd], deadline: Option<u64>) {
    if kvm::is_tender() {
        kvm::poll(fds, deadline.unwrap_or(u64::MAX));
        return;
    }
    let timeout = deadline.map(|deadline| timespec(deadline.saturating_sub(super::clock::monotonic_ns())));
    let timeout = timeout.as_ref().map_or(0, |timeout| timeout.as_ptr() as usize);
    let cpu = Cpu::current();
    cpu.polling.store(1, Ordering::Relaxed);
    // SAFETY: a host system call on a buffer of the caller's; see `husk_poll`.
    unsafe { husk_poll(raw::__NR_ppoll as usize, fds.as_mut_ptr() as usize, fds.len(), timeout, 0, 0, 0) };
    cpu.polling.store(0, Ordering::Relaxed);
}

// As a host call, but given up when this vCPU is awake already. A kick between that look and the host's sleep finds the
// instruction pointer in here or in the gate page and resumes at `husk_poll_abort`: see `abort_poll`.
global_asm!(
    ".pushsection .text.poll,\"ax\",@progbits",
    ".globl husk_poll",
    "husk_poll:",
    "  cmp dword ptr gs:[{wake}], 2",
    "  jne husk_poll_abort",
    "  mov rax, {gate}",
    "  jmp rax",
    ".globl husk_poll_end",
    "husk_poll_end:",
    ".globl husk_poll_abort",
    "husk_poll_abort:",
    "  mov rax, -4",
    "  ret",
    ".popsection",
    wake = const core::mem::offset_of!(Cpu, wake),
    gate = const GATE + entry::SYSCALL,
);

unsafe extern "C" {
    fn husk_poll(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
    fn husk_poll_end();
    fn husk_poll_abort();
}

/// Where to resume when a kick found this vCPU at `rip` on its way into a poll.
pub(super) fn abort_poll(cpu: &Cpu, rip: usize) -> Option<usize> {
    let (begin, end) = (husk_poll as *const () as usize, husk_poll_end as *const () as usize);
    let before_call = GATE + entry::SYSCALL..=GATE + entry::SYSCALL_INSTRUCTION;
    let polling = cpu.polling.load(Ordering::Relaxed) != 0;
    ((begin..end).contains(&rip) || polling && before_call.contains(&rip))
        .then_some(husk_poll_abort as *const () as usize)
}

/// Sends the kick signal to a vCPU, so that it comes out of the application or of a sleep.
pub(super) fn kick(cpu: &Cpu) {
    if kvm::is_tender() {
        return kvm::wake(cpu.index());
    }
    if is_lost(cpu) {
        cpu::note_loss();
    }
}

/// Whether a vCPU's host thread is no more; otherwise it gets the kick signal. No under the kvm tender.
pub(super) fn is_lost(cpu: &Cpu) -> bool {
    if kvm::is_tender() {
        return false;
    }
    let (pid, tid) = (cpu.host_pid.load(Ordering::Relaxed), cpu.host_tid.load(Ordering::Relaxed));
    let result = host(raw::__NR_tgkill, [pid as usize, tid as usize, raw::SIGURG as usize, 0, 0, 0]);
    result == -(linux_raw_sys::errno::ESRCH as isize)
}

/// What a descriptor is asked for or has.
pub(super) const POLLIN: i16 = 1;
pub(super) const POLLOUT: i16 = 4;

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(super) struct PollFd {
    pub(super) fd: i32,
    pub(super) events: i16,
    pub(super) revents: i16,
}

/// ppoll(2): number of ready descriptors; 0 at the deadline or after a signal.
pub(super) fn poll(fds: &mut [PollFd], timeout: Option<u64>) -> usize {
    if kvm::is_tender() {
        let deadline =
            timeout.map_or(
                u64::MAX,
                |timeout| if timeout == 0 { 0 } else { super::clock::monotonic_ns() + timeout },
            );
        return kvm::poll(fds, deadline);
    }
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(0, |timeout| timeout.as_ptr() as usize);
    check(host(raw::__NR_ppoll, [fds.as_mut_ptr() as usize, fds.len(), timeout, 0, 0, 0])).unwrap_or(0)
}

pub(super) fn read(fd: i32, out: &mut [u8]) -> Result<usize, i32> {
    if kvm::is_tender() {
        return kvm::read(fd, out);
    }
    check(host(raw::__NR_read, [fd as usize, out.as_mut_ptr() as usize, out.len(), 0, 0, 0]))
}

pub(super) fn write(fd: i32, data: &[u8]) -> Result<usize, i32> {
    if kvm::is_tender() {
        return kvm::write(fd, data);
    }
    check(host(raw::__NR_write, [fd as usize, data.as_ptr() as usize, data.len(), 0, 0, 0]))
}

/// Writes everything, or what the descriptor takes.
pub(crate) fn write_all(fd: i32, mut data: &[u8]) {
    while !data.is_empty() {
        match write(fd, data) {
            Ok(done) if done > 0 => data = &data[done..],
            Err(error) if error == raw_eintr() => {}
            _ => return,
        }
    }
}

fn raw_eintr() -> i32 {
    linux_raw_sys::errno::EINTR as i32
}

/// mmap(2) at a fixed address, with one of the flags of `husk_abi::gate::flags`.
pub(super) fn map(
    address: usize,
    len: usize,
    protection: u32,
    flags: u32,
    fd: i32,
    offset: usize,
) -> Result<(), i32> {
    check(host(raw::__NR_mmap, [address, len, protection as usize, flags as usize, fd as usize, offset]))
        .map(|_| ())
}

pub(super) fn unmap(address: usize, len: usize) -> Result<(), i32> {
    check(host(raw::__NR_munmap, [address, len, 0, 0, 0, 0])).map(|_| ())
}

pub(super) fn protect(address: usize, len: usize, protection: u32) -> Result<(), i32> {
    check(host(raw::__NR_mprotect, [address, len, protection as usize, 0, 0, 0])).map(|_| ())
}

/// mremap(2) to a fixed address, length unchanged.
pub(super) fn relocate(from: usize, len: usize, to: usize) -> Result<(), i32> {
    check(host(raw::__NR_mremap, [from, len, len, flags::MREMAP as usize, to, 0])).map(|_| ())
}

pub(super) fn advise(address: usize, len: usize, advice: u32) -> Result<(), i32> {
    check(host(raw::__NR_madvise, [address, len, advice as usize, 0, 0, 0])).map(|_| ())
}

/// clock_gettime(2) of this thread's CPU time, ns.
pub(super) fn thread_time() -> Option<u64> {
    let mut time = [0_u64; 2];
    let clock = raw::CLOCK_THREAD_CPUTIME_ID as usize;
    check(host(raw::__NR_clock_gettime, [clock, time.as_mut_ptr() as usize, 0, 0, 0, 0])).ok()?;
    Some(time[0] * 1_000_000_000 + time[1])
}

/// mincore(2): one byte for each page from `address` on.
pub(super) fn presence(address: usize, out: &mut [u8]) -> Result<(), i32> {
    let len = out.len() * PAGE_SIZE;
    check(host(raw::__NR_mincore, [address, len, out.as_mut_ptr() as usize, 0, 0, 0])).map(|_| ())
}

fn clone(
    cpu: &'static Cpu,
    flags: u32,
    main: extern "C" fn(usize) -> !,
    argument: usize,
) -> Result<usize, i32> {
    let result: isize;
    let stack = cpu.idle_stack.load(Ordering::Relaxed);
    // The child inherits GS: from its first instruction on it is the new vCPU, so that a signal which finds it there is
    // noted with the right one. What finds the parent meanwhile is looked for afterwards.
    let own = Cpu::current();
    cpu.point_here();
    // SAFETY: the gate's entry returns here in the parent with no register but RAX, RCX and R11 changed, and in the child
    // jumps to `main` on the new stack, which nobody uses. RSP is aligned for a function entered by a jump.
    unsafe {
        asm!(
            "call {gate}",
            gate = in(reg) GATE + entry::CLONE,
            in("rdi") flags as usize,
            in("rsi") stack - 8,
            in("rdx") cpu.host_tid.as_ptr(),
            in("r10") 0_usize,
            in("r8") 0_usize,
            in("r12") argument,
            in("r13") main as usize,
            lateout("rax") result,
            out("rcx") _,
            out("r11") _,
        );
    }
    own.point_here();
    own.kick.store(1, Ordering::Relaxed);
    check(result)
}

/// A further vCPU thread in this host process.
pub(super) fn clone_thread(
    cpu: &'static Cpu,
    main: extern "C" fn(usize) -> !,
    argument: usize,
) -> Result<(), i32> {
    clone(cpu, flags::CLONE_THREAD, main, argument).map(|_| ())
}

/// A copy of this host process with one vCPU.
pub(super) fn clone_process(
    cpu: &'static Cpu,
    main: extern "C" fn(usize) -> !,
    argument: usize,
) -> Result<(), i32> {
    // Written before the child exists, since it may run first; its own id arrives by CLONE_PARENT_SETTID.
    let result = clone(cpu, flags::CLONE_PROCESS, main, argument);
    result.map(|pid| cpu.host_pid.store(pid as i32, Ordering::Relaxed))
}

/// Bytes of signal stack at the end of a vCPU's private memory.
const SIGNAL_STACK_LEN: usize = PRIVATE_PER_CPU / 2;

/// First act of a vCPU thread: a signal stack of its own (a new thread inherits none), and an empty guest range where
/// one was asked for.
pub(super) fn prepare_thread(cpu: &Cpu) {
    let slot = cpu.slot.load(Ordering::Relaxed) as usize;
    let start = PRIVATE + slot * PRIVATE_PER_CPU + PRIVATE_PER_CPU / 2;
    let stack = [start, 0, SIGNAL_STACK_LEN];
    host(raw::__NR_sigaltstack, [stack.as_ptr() as usize, 0, 0, 0, 0, 0]);
    if cpu.wipe.swap(0, Ordering::Relaxed) != 0 {
        let (begin, end) = (husk_abi::layout::GUEST_START, husk_abi::layout::GUEST_END);
        let _ = unmap(begin, end - begin);
    }
}

/// Ends this thread; its last act is to give up the big kernel lock.
pub(super) fn exit_thread() -> ! {
    // SAFETY: the gate's entry does not return and uses no stack after it has given up the lock.
    unsafe {
        asm!("jmp {gate}", gate = in(reg) GATE + entry::EXIT_THREAD, in("rdi") lock::word(), options(noreturn))
    }
}

/// Ends all threads of this host process with an exit code: the guest, when it is the first one.
pub(crate) fn exit_guest(code: i32) -> ! {
    if kvm::is_tender() {
        kvm::exit_guest(code);
    }
    loop {
        host(raw::__NR_exit_group, [code as usize, 0, 0, 0, 0, 0]);
    }
}
