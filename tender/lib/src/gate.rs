//! The code of the gate page (process tender), assembled to the offsets of `husk_abi::gate::entry`.

use core::arch::global_asm;
use husk_abi::gate::entry;

global_asm!(
    ".pushsection .rodata.gate,\"a\",@progbits",
    ".balign 64",
    ".globl husk_gate_begin",
    "husk_gate_begin:",
    // fn(nr, a, b, c, d, e, f) -> isize
    "  mov rax, rdi",
    "  mov rdi, rsi",
    "  mov rsi, rdx",
    "  mov rdx, rcx",
    "  mov r10, r8",
    "  mov r8, r9",
    "  mov r9, [rsp + 8]",
    "  nop",
    ".org husk_gate_begin + {call}, 0x90",
    "  syscall",
    "  ret",
    ".org husk_gate_begin + {sigreturn}, 0xcc",
    "  mov eax, 15",
    "  syscall",
    "  ud2",
    ".org husk_gate_begin + {clone}, 0xcc",
    "  mov eax, 56",
    "  syscall",
    "  test rax, rax",
    "  jz 1f",
    "  ret",
    "1: mov rdi, r12",
    "  xor ebp, ebp",
    "  jmp r13",
    ".org husk_gate_begin + {exit_thread}, 0xcc",
    // Gives the lock up, wakes a sleeper if there may be one, ends the thread.
    "  xor eax, eax",
    "  xchg eax, [rdi]",
    "  test eax, eax",
    "  jns 2f",
    "  mov esi, 1",
    "  mov edx, 1",
    "  xor r10d, r10d",
    "  mov eax, 202",
    "  syscall",
    "2: xor edi, edi",
    "  mov eax, 60",
    "  syscall",
    "  ud2",
    ".globl husk_gate_end",
    "husk_gate_end:",
    ".popsection",
    call = const entry::SYSCALL_INSTRUCTION,
    sigreturn = const entry::SIGRETURN,
    clone = const entry::CLONE,
    exit_thread = const entry::EXIT_THREAD,
);

unsafe extern "C" {
    static husk_gate_begin: u8;
    static husk_gate_end: u8;
}

/// The bytes of the gate.
pub fn code() -> &'static [u8] {
    // SAFETY: the two labels enclose the code above.
    unsafe {
        let (begin, end) = (&raw const husk_gate_begin, &raw const husk_gate_end);
        core::slice::from_raw_parts(begin, end as usize - begin as usize)
    }
}
