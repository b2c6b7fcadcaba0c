//! Host system calls.
//!
//! Before sealing they go through the `syscalls` crate. Afterwards the filter passes a call only from the one
//! instruction in `sealed`, or the return of the signal handler; so any other `syscall` instruction in the executable,
//! and any that an attacker could make, is worthless.

use core::arch::global_asm;
use syscalls::{Errno, Sysno};

/// A call of the time before sealing.
///
/// # Safety
/// As the call itself: pointers among the arguments must be valid for what it does.
pub(crate) unsafe fn call(number: Sysno, args: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: as promised by the caller.
    unsafe { syscalls::syscall6(number, a, b, c, d, e, f) }
}

/// ioctl(2) of the time before sealing.
///
/// # Safety
/// `argument` must be what `request` takes.
pub(crate) unsafe fn ioctl(fd: i32, request: usize, argument: usize) -> Result<usize, Errno> {
    // SAFETY: as promised by the caller.
    unsafe { call(Sysno::ioctl, [fd as usize, request, argument, 0, 0, 0]) }
}

global_asm!(
    ".pushsection .text.husk_kvm_host,\"ax\",@progbits",
    ".globl husk_kvm_sealed, husk_kvm_sealed_return, husk_kvm_sigreturn, husk_kvm_sigreturn_return, husk_kvm_clone",
    // (number, a, b, c, d, e) by the C calling convention
    "husk_kvm_sealed:",
    "  mov rax, rdi",
    "  mov rdi, rsi",
    "  mov rsi, rdx",
    "  mov rdx, rcx",
    "  mov r10, r8",
    "  mov r8, r9",
    "  syscall",
    "husk_kvm_sealed_return:",
    "  ret",
    // Where the host's signal handler returns to.
    "husk_kvm_sigreturn:",
    "  mov eax, 15",
    "  syscall",
    "husk_kvm_sigreturn_return:",
    "  ud2",
    // (flags, stack, unused, entry, argument): the child runs `entry(argument)` on the new stack.
    "husk_kvm_clone:",
    "  mov r12, rcx",
    "  mov r13, r8",
    "  xor r10d, r10d",
    "  xor r8d, r8d",
    "  mov eax, 56",
    "  syscall",
    "  test rax, rax",
    "  jnz 1f",
    "  xor ebp, ebp",
    "  mov rdi, r13",
    "  call r12",
    "  ud2",
    "1: ret",
    ".popsection",
);

unsafe extern "C" {
    fn husk_kvm_sealed(number: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize;
    fn husk_kvm_sealed_return();
    fn husk_kvm_sigreturn();
    fn husk_kvm_sigreturn_return();
    fn husk_kvm_clone();
}

/// The two instruction pointers that the filter accepts.
pub(crate) fn allowed_instructions() -> [usize; 2] {
    [husk_kvm_sealed_return as *const () as usize, husk_kvm_sigreturn_return as *const () as usize]
}

/// Restorer of the signal handler.
pub(crate) fn sigreturn_address() -> usize {
    husk_kvm_sigreturn as *const () as usize
}

/// A call of the sealed tender: a result, or a negated error number.
///
/// # Safety
/// As the call itself; and its number must be in the filter's table.
pub(crate) unsafe fn sealed(number: Sysno, args: [usize; 5]) -> isize {
    let [a, b, c, d, e] = args;
    // SAFETY: as promised by the caller.
    unsafe { husk_kvm_sealed(number.id() as usize, a, b, c, d, e) }
}

/// Starts a thread of this process on `stack` (its top, 16-byte aligned) and returns its id.
///
/// # Safety
/// The stack must be unused and live as long as the thread, which runs `entry(argument)` without thread-local storage.
pub(crate) unsafe fn start_thread(
    stack: usize,
    entry: extern "C" fn(usize) -> !,
    argument: usize,
) -> Result<i32, Errno> {
    use linux_raw_sys::general as raw;
    let flags = raw::CLONE_VM
        | raw::CLONE_FS
        | raw::CLONE_FILES
        | raw::CLONE_SIGHAND
        | raw::CLONE_THREAD
        | raw::CLONE_SYSVSEM;
    let result: isize;
    // SAFETY: the child runs only `entry` on its own stack, as promised by the caller; the clobbers name all that the
    // routine changes in the parent.
    unsafe {
        core::arch::asm!(
            "call {clone}",
            clone = sym husk_kvm_clone,
            in("rdi") flags as usize,
            in("rsi") stack,
            in("rdx") 0_usize,
            in("rcx") entry as usize,
            in("r8") argument,
            lateout("rax") result,
            out("r12") _,
            out("r13") _,
            clobber_abi("C"),
        );
    }
    if result < 0 { Err(Errno::new(-result as i32)) } else { Ok(result as i32) }
}

/// Ends the process.
pub(crate) fn exit(code: i32) -> ! {
    loop {
        // SAFETY: exit_group takes no pointer.
        unsafe { sealed(Sysno::exit_group, [code as usize, 0, 0, 0, 0]) };
    }
}
