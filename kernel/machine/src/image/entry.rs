//! The ways into the kernel from the application, and the one way out.
//!
//! `husk_enter` is reached by a jump from a patched call site: RAX is the number, RCX where to return. A trap (host signal
//! or, in the kvm tender, exception) fills the frame itself and comes in through `husk_enter_trap`.
//!
//! The way out, `husk_exit`, is restartable: a kick that arrives inside it moves the instruction pointer back to its
//! start, where the request for work is seen. So no request is lost between the last look and the jump.

use super::context::Frame;
use super::cpu::Cpu;
use super::{cpu, lock, personality};
use core::arch::global_asm;
use core::mem::offset_of;

global_asm!(
    ".pushsection .text.entry,\"ax\",@progbits",
    ".balign 64",
    ".globl husk_enter",
    "husk_enter:",
    "  mov gs:[{scratch}], rsp",
    "  mov rsp, gs:[{frame}]",
    "  mov [rsp + {rdi}], rdi",
    "  mov [rsp + {rsi}], rsi",
    "  mov [rsp + {rdx}], rdx",
    "  mov [rsp + {r10}], r10",
    "  mov [rsp + {r8}], r8",
    "  mov [rsp + {r9}], r9",
    "  mov [rsp + {rip}], rcx",
    "  mov [rsp + {rcx}], rcx",
    "  mov rcx, gs:[{scratch}]",
    "  mov [rsp + {rsp}], rcx",
    "  mov [rsp + {orig_rax}], rax",
    "  mov [rsp + {rax}], rax",
    "  mov [rsp + {rbx}], rbx",
    "  mov [rsp + {rbp}], rbp",
    "  mov [rsp + {r12}], r12",
    "  mov [rsp + {r13}], r13",
    "  mov [rsp + {r14}], r14",
    "  mov [rsp + {r15}], r15",
    "  pushfq",
    "  pop rcx",
    "  mov [rsp + {rflags}], rcx",
    "  mov [rsp + {r11}], rcx",
    "  mov qword ptr [rsp + {full}], 0",
    "  movaps [rsp + {xmm} + 0x00], xmm0",
    "  movaps [rsp + {xmm} + 0x10], xmm1",
    "  movaps [rsp + {xmm} + 0x20], xmm2",
    "  movaps [rsp + {xmm} + 0x30], xmm3",
    "  movaps [rsp + {xmm} + 0x40], xmm4",
    "  movaps [rsp + {xmm} + 0x50], xmm5",
    "  movaps [rsp + {xmm} + 0x60], xmm6",
    "  movaps [rsp + {xmm} + 0x70], xmm7",
    "  movaps [rsp + {xmm} + 0x80], xmm8",
    "  movaps [rsp + {xmm} + 0x90], xmm9",
    "  movaps [rsp + {xmm} + 0xa0], xmm10",
    "  movaps [rsp + {xmm} + 0xb0], xmm11",
    "  movaps [rsp + {xmm} + 0xc0], xmm12",
    "  movaps [rsp + {xmm} + 0xd0], xmm13",
    "  movaps [rsp + {xmm} + 0xe0], xmm14",
    "  movaps [rsp + {xmm} + 0xf0], xmm15",
    "  cld",
    "  call {syscall}",
    "  jmp husk_exit",
    ".globl husk_enter_trap",
    "husk_enter_trap:",
    "  mov rsp, gs:[{frame}]",
    "  cld",
    "  call {trap}",
    "  jmp husk_exit",
    ".globl husk_exit_work",
    "husk_exit_work:",
    "  call {work}",
    ".globl husk_exit",
    "husk_exit:",
    "  mov rsp, gs:[{frame}]",
    "  cmp dword ptr gs:[{kick}], 0",
    "  jne husk_exit_work",
    "  movaps xmm0, [rsp + {xmm} + 0x00]",
    "  movaps xmm1, [rsp + {xmm} + 0x10]",
    "  movaps xmm2, [rsp + {xmm} + 0x20]",
    "  movaps xmm3, [rsp + {xmm} + 0x30]",
    "  movaps xmm4, [rsp + {xmm} + 0x40]",
    "  movaps xmm5, [rsp + {xmm} + 0x50]",
    "  movaps xmm6, [rsp + {xmm} + 0x60]",
    "  movaps xmm7, [rsp + {xmm} + 0x70]",
    "  movaps xmm8, [rsp + {xmm} + 0x80]",
    "  movaps xmm9, [rsp + {xmm} + 0x90]",
    "  movaps xmm10, [rsp + {xmm} + 0xa0]",
    "  movaps xmm11, [rsp + {xmm} + 0xb0]",
    "  movaps xmm12, [rsp + {xmm} + 0xc0]",
    "  movaps xmm13, [rsp + {xmm} + 0xd0]",
    "  movaps xmm14, [rsp + {xmm} + 0xe0]",
    "  movaps xmm15, [rsp + {xmm} + 0xf0]",
    "  mov rdi, [rsp + {rdi}]",
    "  mov rsi, [rsp + {rsi}]",
    "  mov r10, [rsp + {r10}]",
    "  mov r8, [rsp + {r8}]",
    "  mov r9, [rsp + {r9}]",
    "  mov rbx, [rsp + {rbx}]",
    "  mov rbp, [rsp + {rbp}]",
    "  mov r12, [rsp + {r12}]",
    "  mov r13, [rsp + {r13}]",
    "  mov r14, [rsp + {r14}]",
    "  mov r15, [rsp + {r15}]",
    "  mov rax, [rsp + {rax}]",
    "  cmp qword ptr [rsp + {full}], 0",
    "  jne 2f",
    "  mov rdx, [rsp + {rdx}]",
    "  mov r11, [rsp + {r11}]",
    "  mov rcx, [rsp + {rip}]",
    "  mov rsp, [rsp + {rsp}]",
    "  jmp rcx",
    "2:",
    "  mov rdx, [rsp + {rip}]",
    "  mov [rsp + {iret}], rdx",
    "  mov qword ptr [rsp + {iret} + 8], 0x33",
    "  mov rdx, [rsp + {rflags}]",
    "  mov [rsp + {iret} + 16], rdx",
    "  mov rdx, [rsp + {rsp}]",
    "  mov [rsp + {iret} + 24], rdx",
    "  mov qword ptr [rsp + {iret} + 32], 0x2b",
    "  mov rdx, [rsp + {rdx}]",
    "  mov r11, [rsp + {r11}]",
    "  mov rcx, [rsp + {rcx}]",
    "  lea rsp, [rsp + {iret}]",
    "  iretq",
    ".globl husk_exit_end",
    "husk_exit_end:",
    // The jump to the application itself faulted: the address it wanted is no address.
    ".globl husk_exit_fault",
    "husk_exit_fault:",
    "  mov rsp, gs:[{frame}]",
    "  call {exit_fault}",
    "  jmp husk_exit",
    ".popsection",
    scratch = const offset_of!(Cpu, scratch),
    frame = const offset_of!(Cpu, frame),
    kick = const offset_of!(Cpu, kick),
    full = const offset_of!(Frame, full),
    xmm = const offset_of!(Frame, xmm),
    iret = const offset_of!(Frame, iret),
    r8 = const offset_of!(Frame, regs.r8),
    r9 = const offset_of!(Frame, regs.r9),
    r10 = const offset_of!(Frame, regs.r10),
    r11 = const offset_of!(Frame, regs.r11),
    r12 = const offset_of!(Frame, regs.r12),
    r13 = const offset_of!(Frame, regs.r13),
    r14 = const offset_of!(Frame, regs.r14),
    r15 = const offset_of!(Frame, regs.r15),
    rdi = const offset_of!(Frame, regs.rdi),
    rsi = const offset_of!(Frame, regs.rsi),
    rbp = const offset_of!(Frame, regs.rbp),
    rbx = const offset_of!(Frame, regs.rbx),
    rdx = const offset_of!(Frame, regs.rdx),
    rax = const offset_of!(Frame, regs.rax),
    rcx = const offset_of!(Frame, regs.rcx),
    rsp = const offset_of!(Frame, regs.rsp),
    rip = const offset_of!(Frame, regs.rip),
    rflags = const offset_of!(Frame, regs.rflags),
    orig_rax = const offset_of!(Frame, regs.orig_rax),
    syscall = sym serve_syscall,
    trap = sym serve_trap,
    work = sym serve_work,
    exit_fault = sym serve_exit_fault,
);

unsafe extern "C" {
    fn husk_enter();
    fn husk_exit();
    fn husk_exit_end();
    fn husk_exit_fault();
}

/// Where patched call sites jump to.
pub(super) fn enter_address() -> usize {
    husk_enter as *const () as usize
}

/// Where to resume when a host signal found the kernel at `rip` inside the way out.
pub(super) fn restart_exit(rip: usize) -> Option<usize> {
    let (begin, end) = (husk_exit as *const () as usize, husk_exit_end as *const () as usize);
    (begin..end).contains(&rip).then_some(begin)
}

/// Where to resume when the way out itself faulted at `rip`.
pub(super) fn recover_exit(rip: usize) -> Option<usize> {
    restart_exit(rip).map(|_| husk_exit_fault as *const () as usize)
}

extern "C" fn serve_syscall() {
    lock::acquire();
    personality().syscall();
    lock::release();
}

extern "C" fn serve_trap() {
    lock::acquire();
    super::host_signal::serve();
    lock::release();
}

extern "C" fn serve_work() {
    lock::acquire();
    cpu::take_work();
    personality().work();
    lock::release();
}

extern "C" fn serve_exit_fault() {
    lock::acquire();
    // SAFETY: the running task's frame.
    let rip = unsafe { (*cpu::frame()).regs.rip };
    personality().trap(crate::trap::Trap::general_protection(rip));
    lock::release();
}
