//! Ring 3 takes over: from the stubs, from `syscall`, from a kick.
//!
//! What interrupted the application fills the current task's frame and goes on as every other entry does. What
//! interrupted the kernel is served on the interrupted stack, below its red zone, and resumed.

use super::{catch_up, space, stubs, take_port_fault, this};
use crate::context::USER_SEGMENTS;
use crate::image::context::Frame;
use crate::image::cpu::{self, Cpu};
use crate::image::{entry, lock, personality, user};
use crate::trap::{DIVIDE_ERROR, PAGE_FAULT, PF_FETCH, PF_WRITE, SIMD_ERROR, Trap, X87_ERROR};
use crate::user::Access;
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, Ordering};
use husk_abi::layout::{GUEST_END, PRIVATE_PER_CPU};

/// What `Regs::trap` says of a kick.
const KICK: u64 = 256;

global_asm!(
    ".pushsection .text.kvm_entry,\"ax\",@progbits",
    // Registers of the application into the frame at RAX; RAX itself, RSP, RIP and RFLAGS are the caller's.
    ".macro HUSK_SAVE",
    "  mov [rax + {rdi}], rdi",
    "  mov [rax + {rsi}], rsi",
    "  mov [rax + {rdx}], rdx",
    "  mov [rax + {rcx}], rcx",
    "  mov [rax + {r8}], r8",
    "  mov [rax + {r9}], r9",
    "  mov [rax + {r10}], r10",
    "  mov [rax + {r11}], r11",
    "  mov [rax + {rbx}], rbx",
    "  mov [rax + {rbp}], rbp",
    "  mov [rax + {r12}], r12",
    "  mov [rax + {r13}], r13",
    "  mov [rax + {r14}], r14",
    "  mov [rax + {r15}], r15",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "  movaps [rax + {xmm} + \\n * 16], xmm\\n",
    ".endr",
    "  mov rcx, {segments}",
    "  mov [rax + {segments_at}], rcx",
    "  mov qword ptr [rax + {full}], 1",
    ".endm",
    ".macro HUSK_PUSH_XMM",
    "  sub rsp, 256",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "  movups [rsp + \\n * 16], xmm\\n",
    ".endr",
    ".endm",
    ".macro HUSK_POP_XMM",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "  movups xmm\\n, [rsp + \\n * 16]",
    ".endr",
    "  add rsp, 256",
    ".endm",

    // The application's stack is in RSP, RIP in the scratch word, RFLAGS in R11.
    ".globl husk_kvm_syscall, husk_kvm_vectors, husk_kvm_kick",
    "husk_kvm_syscall:",
    "  mov gs:[{scratch}], rsp",
    "  mov rsp, gs:[{frame}]",
    "  mov [rsp + {rax}], rax",
    "  mov [rsp + {orig_rax}], rax",
    "  mov rax, rsp",
    "  HUSK_SAVE",
    "  mov rcx, gs:[{kvm_scratch}]",
    "  mov [rax + {rip}], rcx",
    "  mov [rax + {rcx}], rcx",
    "  mov [rax + {rflags}], r11",
    "  mov rcx, gs:[{scratch}]",
    "  mov [rax + {rsp}], rcx",
    "  cld",
    "  call {syscall}",
    "  jmp husk_exit",

    // One entry of 16 bytes a vector: RSP is the processor's frame.
    ".balign 16",
    "husk_kvm_vectors:",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    ".balign 16",
    ".if \\n == 14",
    "  jmp husk_kvm_page_fault",
    ".else",
    ".if (({with_error} >> \\n) & 1) == 0",
    "  push 0",
    ".endif",
    "  push \\n",
    "  jmp husk_kvm_exception",
    ".endif",
    ".endr",
    // RAX is CR2; RAX itself waits in the vCPU's area.
    "husk_kvm_page_fault:",
    "  push rcx",
    "  mov rcx, rsp",
    "  and rcx, {area}",
    "  mov [rcx + {area_cr2}], rax",
    "  mov rax, [rcx + {area_rax}]",
    "  pop rcx",
    "  push 14",
    // Vector, error, RIP, CS, RFLAGS, RSP, SS.
    "husk_kvm_exception:",
    "  push rax",
    "  mov rax, {guest_end}",
    "  cmp [rsp + 24], rax",
    "  jae 4f",
    "5: mov rax, gs:[{frame}]",
    "  HUSK_SAVE",
    "  pop rcx",
    "  mov [rax + {rax}], rcx",
    "  mov rcx, rsp",
    "  and rcx, {area}",
    "  mov rcx, [rcx + {area_cr2}]",
    "  mov [rax + {cr2}], rcx",
    "  pop rcx",
    "  mov [rax + {trap}], rcx",
    "  pop rcx",
    "  mov [rax + {error}], rcx",
    "1: mov rcx, [rsp]",
    "  mov [rax + {rip}], rcx",
    "  mov rcx, [rsp + 16]",
    "  mov [rax + {rflags}], rcx",
    "  mov rcx, [rsp + 24]",
    "  mov [rax + {rsp}], rcx",
    "  mov rsp, rax",
    "  cld",
    "  call {exception}",
    "  jmp husk_exit",
    // Kernel code on the application's stack is the way out, a step on the way in, or nothing but the application's jump.
    "4: cmp [rsp + 48], rax",
    "  jae 2f",
    "  cmp qword ptr [rsp + 8], 1",
    "  je 2f",
    "  lea rax, [rip + husk_exit]",
    "  cmp [rsp + 24], rax",
    "  jb 5b",
    "  lea rax, [rip + husk_exit_end]",
    "  cmp [rsp + 24], rax",
    "  jae 5b",
    // The kernel's own: ten words move below the interrupted stack's red zone.
    "2: push rcx",
    "  mov rax, [rsp + 56]",
    "  sub rax, 128 + 80",
    "  and rax, -16",
    "  mov rcx, rsp",
    "  and rcx, {area}",
    "  mov rcx, [rcx + {area_cr2}]",
    "  mov [rax + 72], rcx",
    ".irp n, 0,1,2,3,4,5,6,7,8",
    "  mov rcx, [rsp + \\n * 8]",
    "  mov [rax + \\n * 8], rcx",
    ".endr",
    "  mov rsp, rax",
    "  push rdx",
    "  push rsi",
    "  push rdi",
    "  push r8",
    "  push r9",
    "  push r10",
    "  push r11",
    "  sub rsp, 8",
    "  HUSK_PUSH_XMM",
    "  lea rdi, [rsp + 256 + 8 + 6 * 8]",
    "  cld",
    "  call {kernel_exception}",
    "  HUSK_POP_XMM",
    "  add rsp, 8",
    "  pop r11",
    "  pop r10",
    "  pop r9",
    "  pop r8",
    "  pop rdi",
    "  pop rsi",
    "  pop rdx",
    "  pop rcx",
    "  pop rax",
    "  add rsp, 16",
    "  iretq",

    // RIP, CS, RFLAGS, RSP, SS on the upcall stack; every other register is the interrupted code's.
    "husk_kvm_kick:",
    "  push rax",
    "  mov rax, {guest_end}",
    "  cmp [rsp + 8], rax",
    "  jae 3f",
    "  mov rax, gs:[{frame}]",
    "  HUSK_SAVE",
    "  pop rcx",
    "  mov [rax + {rax}], rcx",
    "  mov qword ptr [rax + {trap}], {kick}",
    "  mov qword ptr [rax + {error}], 0",
    "  jmp 1b",
    "3: push rcx",
    "  push rdx",
    "  push rsi",
    "  push rdi",
    "  push r8",
    "  push r9",
    "  push r10",
    "  push r11",
    "  HUSK_PUSH_XMM",
    "  lea rdi, [rsp + 256 + 9 * 8]",
    "  cld",
    "  call {kernel_kick}",
    "  HUSK_POP_XMM",
    "  pop r11",
    "  pop r10",
    "  pop r9",
    "  pop r8",
    "  pop rdi",
    "  pop rsi",
    "  pop rdx",
    "  pop rcx",
    "  pop rax",
    "  iretq",
    ".popsection",
    with_error = const stubs::WITH_ERROR,
    guest_end = const GUEST_END,
    area = const -(PRIVATE_PER_CPU as isize),
    area_rax = const stubs::AREA_RAX,
    area_cr2 = const stubs::AREA_CR2,
    kick = const KICK,
    segments = const USER_SEGMENTS,
    scratch = const offset_of!(Cpu, scratch),
    kvm_scratch = const offset_of!(Cpu, kvm_scratch),
    frame = const offset_of!(Cpu, frame),
    full = const offset_of!(Frame, full),
    xmm = const offset_of!(Frame, xmm),
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
    segments_at = const offset_of!(Frame, regs.segments),
    error = const offset_of!(Frame, regs.error),
    trap = const offset_of!(Frame, regs.trap),
    orig_rax = const offset_of!(Frame, regs.orig_rax),
    cr2 = const offset_of!(Frame, regs.cr2),
    syscall = sym serve_syscall,
    exception = sym serve_exception,
    kernel_exception = sym kernel_exception,
    kernel_kick = sym kernel_kick,
);

unsafe extern "C" {
    fn husk_kvm_syscall();
    fn husk_kvm_vectors();
    fn husk_kvm_kick();
}

pub(super) fn syscall_address() -> usize {
    husk_kvm_syscall as *const () as usize
}

pub(super) fn vector_address(vector: usize) -> usize {
    husk_kvm_vectors as *const () as usize + vector * 16
}

/// Traps after which a call site is worth patching: a trap costs some 15 us on software KVM, a patch with its copy of the
/// page and its flush several times that.
const TRAPS_TO_PATCH: u8 = 8;

/// Traps by call site, hashed.
static TRAPS: [AtomicU8; 1024] = [const { AtomicU8::new(0) }; 1024];

extern "C" fn serve_syscall() {
    // SAFETY: the running task's frame.
    let rip = unsafe { (*cpu::frame()).regs.rip };
    let traps = &TRAPS[(rip ^ rip >> 10) as usize % TRAPS.len()];
    let seen = traps.load(Ordering::Relaxed);
    lock::acquire();
    if seen < TRAPS_TO_PATCH {
        traps.store(seen + 1, Ordering::Relaxed);
        personality().syscall();
    } else {
        personality().syscall_trapped();
    }
    lock::release();
}

/// What a page fault wanted.
fn access(error: u64) -> Access {
    match error {
        error if error & PF_WRITE != 0 => Access::Write,
        error if error & PF_FETCH != 0 => Access::Execute,
        _ => Access::Read,
    }
}

/// An exception or a kick came over the application; its registers are in the frame.
extern "C" fn serve_exception() {
    // SAFETY: the running task's frame; the reference ends with the block.
    let regs = unsafe {
        let frame = &mut *cpu::frame();
        frame.regs.orig_rax = u64::MAX;
        frame.regs
    };
    if regs.trap == KICK && take_port_fault() {
        lock::acquire();
        personality().trap(Trap::general_protection(regs.rip));
        lock::release();
        return;
    }
    // Asked for by another vCPU that changes page tables, and nothing else.
    if regs.trap == KICK && catch_up(this()) && !cpu::work_requested() {
        return;
    }
    lock::acquire();
    match regs.trap {
        KICK => {
            cpu::take_work();
            personality().work();
        }
        PAGE_FAULT => {
            if space::mend(regs.cr2 as usize, access(regs.error)) != Ok(true) {
                let (vector, error, address) = (regs.trap, regs.error, regs.cr2);
                personality().trap(Trap { vector, error, address, code: 0 });
            }
        }
        vector => personality().trap(Trap {
            vector,
            error: regs.error,
            address: regs.rip,
            code: arithmetic_code(vector),
        }),
    }
    lock::release();
}

/// `si_code` of an arithmetic exception.
fn arithmetic_code(vector: u64) -> i32 {
    let status = match vector {
        DIVIDE_ERROR => return 1,
        X87_ERROR => {
            let (status, mut control): (u16, u16);
            control = 0;
            // SAFETY: reads the x87 state, which is still the application's.
            unsafe {
                asm!("fnstsw ax", out("ax") status, options(nomem, nostack));
                asm!("fnstcw [{}]", in(reg) &raw mut control, options(nostack));
            }
            u32::from(status & !control)
        }
        SIMD_ERROR => {
            let mut control = 0_u32;
            // SAFETY: reads MXCSR, which is still the application's.
            unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack)) };
            control & !(control >> 7)
        }
        _ => return 0,
    };
    // Invalid, denormal, divide, overflow, underflow, precision; FPE_FLTINV and its like.
    [(1, 7), (4, 3), (8, 4), (16, 5), (2, 5), (32, 6)]
        .iter()
        .find(|(bit, _)| status & bit != 0)
        .map_or(0, |(_, code)| *code)
}

/// The kernel's registers that a handler may look at and change, as the assembly lays them out.
#[repr(C)]
struct Interrupted {
    rdx: u64,
    rcx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
    cr2: u64,
}

/// An exception of kernel code: a user copy, or the way out to an address that is none; else a defect.
extern "C" fn kernel_exception(at: &mut Interrupted) {
    let rip = at.rip as usize;
    if let Some(recovery) = user::recover(rip) {
        let address = at.cr2 as usize;
        if at.vector == PAGE_FAULT && space::mend(address, access(at.error)) == Ok(true) {
            return;
        }
        at.rdx = at.cr2;
        at.rip = recovery as u64;
        return;
    }
    if let Some(recovery) = entry::recover_exit(rip) {
        at.rip = recovery as u64;
        return;
    }
    if at.vector == crate::trap::DEBUG {
        // See `host_signal`: a step came in by a patched call site.
        at.rflags &= !crate::trap::TRAP_FLAG;
        return;
    }
    let Interrupted { vector, error, rsp, cr2, .. } = *at;
    crate::report::panic(&format_args!(
        "exception {vector} ({error:#x}) at {rip:#x}, address {cr2:#x}, rsp {rsp:#x}"
    ))
}

/// A kick that found kernel code: the request is noted, and seen on the way out.
extern "C" fn kernel_kick(rip: &mut u64) {
    catch_up(this());
    Cpu::current().kick.store(1, Ordering::Relaxed);
    if let Some(at) = entry::restart_exit(*rip as usize) {
        *rip = at as u64;
    }
}
