//! Copies to and from application memory, in assembly, with recovery from faults.
//!
//! A fault between `husk_user_begin` and `husk_user_end` resumes at `husk_user_fault` with the faulting address in RDX:
//! `recover` tells the fault handler so. The routines keep nothing on the stack.

use core::arch::global_asm;

global_asm!(
    ".pushsection .text.user,\"ax\",@progbits",
    ".globl husk_user_begin",
    "husk_user_begin:",
    // (rdi to, rsi from, rdx len) -> rax 0, or 1 and rdx the faulting address
    ".globl husk_user_copy",
    "husk_user_copy:",
    "  mov rcx, rdx",
    "  cmp rcx, 64",
    "  ja 3f",
    "1: cmp rcx, 8",
    "  jb 2f",
    "  mov rax, [rsi]",
    "  mov [rdi], rax",
    "  add rsi, 8",
    "  add rdi, 8",
    "  sub rcx, 8",
    "  jmp 1b",
    "2: test rcx, rcx",
    "  jz 4f",
    "  mov al, [rsi]",
    "  mov [rdi], al",
    "  inc rsi",
    "  inc rdi",
    "  dec rcx",
    "  jmp 2b",
    "3: rep movsb",
    "4: xor eax, eax",
    "  ret",
    // (rdi to, rsi len, edx byte)
    ".globl husk_user_fill",
    "husk_user_fill:",
    "  mov rcx, rsi",
    "  mov eax, edx",
    "  rep stosb",
    "  xor eax, eax",
    "  ret",
    // (rdi at) -> rdx value
    ".globl husk_user_load",
    "husk_user_load:",
    "  mov edx, [rdi]",
    "  xor eax, eax",
    "  ret",
    // (rdi at, esi old, edx new) -> rdx found
    ".globl husk_user_exchange",
    "husk_user_exchange:",
    "  mov eax, esi",
    "  lock cmpxchg [rdi], edx",
    "  mov edx, eax",
    "  xor eax, eax",
    "  ret",
    // (rdi at)
    ".globl husk_user_touch",
    "husk_user_touch:",
    "  lock add byte ptr [rdi], 0",
    "  xor eax, eax",
    "  ret",
    ".globl husk_user_end",
    "husk_user_end:",
    ".globl husk_user_fault",
    "husk_user_fault:",
    "  cld",
    "  mov eax, 1",
    "  ret",
    ".popsection",
);

#[repr(C)]
struct Outcome {
    faulted: u64,
    value: u64,
}

unsafe extern "C" {
    fn husk_user_begin();
    fn husk_user_end();
    fn husk_user_fault();
    fn husk_user_copy(to: *mut u8, from: *const u8, len: usize) -> Outcome;
    fn husk_user_fill(to: *mut u8, len: usize, byte: u32) -> Outcome;
    fn husk_user_load(at: *const u32) -> Outcome;
    fn husk_user_exchange(at: *mut u32, old: u32, new: u32) -> Outcome;
    fn husk_user_touch(at: *mut u8) -> Outcome;
}

/// Where a fault at instruction `rip` resumes, if it is in one of the routines.
pub(super) fn recover(rip: usize) -> Option<usize> {
    let (begin, end) = (husk_user_begin as *const () as usize, husk_user_end as *const () as usize);
    (begin..end).contains(&rip).then_some(husk_user_fault as *const () as usize)
}

fn faulted(outcome: &Outcome) -> Result<(), usize> {
    if outcome.faulted == 0 { Ok(()) } else { Err(outcome.value as usize) }
}

/// # Safety
/// One side is application memory below `GUEST_END`; the other is valid for `len` bytes.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), usize> {
    // SAFETY: as promised by the caller; faults on the application's side are recovered.
    faulted(&unsafe { husk_user_copy(to, from, len) })
}

/// # Safety
/// `to..to + len` is application memory.
pub(crate) unsafe fn fill(to: *mut u8, len: usize, byte: u8) -> Result<(), usize> {
    // SAFETY: as promised by the caller; faults are recovered.
    faulted(&unsafe { husk_user_fill(to, len, u32::from(byte)) })
}

/// # Safety
/// `at` is application memory.
pub(crate) unsafe fn load_u32(at: *const u32) -> Option<u32> {
    // SAFETY: as promised by the caller; faults are recovered.
    let outcome = unsafe { husk_user_load(at) };
    (outcome.faulted == 0).then_some(outcome.value as u32)
}

/// # Safety
/// `at` is application memory.
pub(crate) unsafe fn compare_exchange_u32(at: *mut u32, old: u32, new: u32) -> Option<u32> {
    // SAFETY: as promised by the caller; faults are recovered.
    let outcome = unsafe { husk_user_exchange(at, old, new) };
    (outcome.faulted == 0).then_some(outcome.value as u32)
}

/// # Safety
/// `at` is application memory.
pub(crate) unsafe fn touch_write(at: *mut u8) -> Option<()> {
    // SAFETY: as promised by the caller; faults are recovered.
    (unsafe { husk_user_touch(at) }.faulted == 0).then_some(())
}
