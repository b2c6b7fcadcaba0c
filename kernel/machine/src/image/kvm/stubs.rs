//! Ring 0, and the tables that lead to it.
//!
//! Each vCPU has a copy of the stub page in its part of `PRIVATE`. A stub loads the stack pointer with the address of a
//! ready-made frame of its own and returns from the exception by it, to ring 3 and `entry`; the processor's frame stays
//! behind on the vCPU's ring-0 stack, where ring 3 can read it. A kick never interrupts code of this page.

use super::entry;
use crate::image::cpu::{self, Cpu};
use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::sync::atomic::Ordering;
use husk_abi::layout::{ARENA, PAGE_SIZE, PRIVATE, PRIVATE_PER_CPU};
use husk_abi::vcpu::{self, Upcall, selector};

/// Vectors with a stub: the processor's own.
const VECTORS: usize = 32;
const PAGE_FAULT: usize = 14;
const INVALID_OPCODE: usize = 6;
/// Vectors for which the processor pushes an error code.
pub(super) const WITH_ERROR: u32 =
    1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21;
/// Vectors that an application may raise by `int3` and `into`.
const FROM_RING_3: u32 = 1 << 3 | 1 << 4;

/// Places in the stub page: one slot of 16 bytes a vector, two longer stubs, frames of 40 bytes, words.
const PAGE_FAULT_STUB: usize = 0x200;
const GATE_STUB: usize = 0x240;
/// The gate itself: in this page, so that no kick comes between it and its return.
const GATE: usize = 0x2c0;
const FRAMES: usize = 0x900;
const SAVED_RAX: usize = 0xe00;
const SYSCALL_ENTRY: usize = 0xe08;
/// In the vCPU's area: RAX and CR2 of the last page fault.
pub(super) const AREA_RAX: usize = vcpu::STUBS + SAVED_RAX;
pub(super) const AREA_CR2: usize = vcpu::STUBS + 0xe10;

/// Where `#UD` leaves its frame: not on the stack of the others, since a kick may use the gate while their frame waits. For
/// the same reason the frame of an application's `#UD` does not stay here.
const GATE_STACK_TOP: usize = vcpu::RING0_STACK_TOP - 0x400;
/// Where the frame of an exception without an error code lies, from the stub page on.
const RING0_FRAME: isize = vcpu::RING0_STACK_TOP as isize - 5 * 8 - vcpu::STUBS as isize;

/// What R11 says at the gate.
const LOAD_TABLE: u32 = 0x6b73_7568;
const INVALIDATE: u32 = LOAD_TABLE + 1;

global_asm!(
    ".pushsection .text.kvm_stubs,\"ax\",@progbits",
    ".globl husk_kvm_stubs",
    "husk_kvm_stubs:",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    ".org \\n * 16",
    "  lea rsp, [rip + husk_kvm_stubs + {frames} + \\n * 40]",
    "  iretq",
    ".endr",
    ".org {page_fault_stub}",
    "  mov [rip + husk_kvm_stubs + {saved_rax}], rax",
    "  mov rax, cr2",
    "  lea rsp, [rip + husk_kvm_stubs + {frames} + {page_fault} * 40]",
    "  iretq",
    ".org {gate_stub}",
    "  cmp r11d, {load_table}",
    "  jne 1f",
    "  mov cr3, rdi",
    "  add qword ptr [rsp], 2",
    "  iretq",
    "1: cmp r11d, {invalidate}",
    "  jne 3f",
    "2: invlpg [rdi]",
    "  add rdi, 4096",
    "  dec esi",
    "  jnz 2b",
    "  add qword ptr [rsp], 2",
    "  iretq",
    // The application's own: its frame goes where those of the others are.
    "3:",
    ".irp n, 0,1,2,3,4",
    "  pop qword ptr [rip + husk_kvm_stubs + {ring0_frame} + \\n * 8]",
    ".endr",
    "  lea rsp, [rip + husk_kvm_stubs + {frames} + {invalid_opcode} * 40]",
    "  iretq",
    ".org {gate}",
    "  ud2",
    "  ret",
    // `syscall`: in ring 0 on hardware, in ring 3 on software KVM. On to ring 3 in both cases.
    ".org {syscall_stub}",
    "  mov gs:[{scratch}], rcx",
    "  mov ecx, cs",
    "  test cl, 3",
    "  mov rcx, [rip + husk_kvm_stubs + {syscall_entry}]",
    "  jz 4f",
    "  jmp rcx",
    "4: sysretq",
    ".org {frames}",
    "husk_kvm_stubs_end:",
    ".popsection",
    frames = const FRAMES,
    page_fault_stub = const PAGE_FAULT_STUB,
    page_fault = const PAGE_FAULT,
    invalid_opcode = const INVALID_OPCODE,
    ring0_frame = const RING0_FRAME,
    saved_rax = const SAVED_RAX,
    gate_stub = const GATE_STUB,
    gate = const GATE,
    load_table = const LOAD_TABLE,
    invalidate = const INVALIDATE,
    syscall_stub = const vcpu::SYSCALL_STUB - vcpu::STUBS,
    syscall_entry = const SYSCALL_ENTRY,
    scratch = const offset_of!(Cpu, kvm_scratch),
);

unsafe extern "C" {
    safe static husk_kvm_stubs: u8;
}

fn gate() -> usize {
    PRIVATE + cpu::index() * PRIVATE_PER_CPU + vcpu::STUBS + GATE
}

/// Loads CR3 with a top table of the arena: all old entries of this vCPU are forgotten.
pub(super) fn load_table(root: usize) {
    // SAFETY: every top table maps the kernel's range alike; the gate changes R11 and nothing else.
    unsafe {
        asm!("call {}", in(reg) gate(), in("rdi") root - ARENA, inout("r11") u64::from(LOAD_TABLE) => _);
    }
}

/// Forgets this vCPU's old entries of `count` pages from `address` on.
pub(super) fn invalidate(address: usize, count: usize) {
    // SAFETY: takes entries out of the processor's cache only.
    unsafe {
        asm!("call {}", in(reg) gate(), inout("rdi") address => _, inout("esi") count as u32 => _,
            inout("r11") u64::from(INVALIDATE) => _);
    }
}

fn put<T>(at: usize, value: T) {
    // SAFETY: `at` lies in the vCPU's own part of PRIVATE, which `init_cpu` lays out before anything uses it.
    unsafe { (at as *mut T).write_unaligned(value) }
}

/// Fills a vCPU's tables: the first thing it does, before a hypercall or a fault.
pub(in crate::image) fn init_cpu(index: usize) {
    let area = PRIVATE + index * PRIVATE_PER_CPU;
    let tss = area + vcpu::TSS;
    // Code and data of ring 0 and ring 3 where Linux has those that applications see, and the task-state segment.
    let low = (tss as u64 & 0xff_ffff) << 16 | (tss as u64 >> 24 & 0xff) << 56 | vcpu::TSS_LEN as u64 - 1;
    let descriptors = [
        (selector::KERNEL_CODE, 0x00af_9b00_0000_ffff),
        (selector::KERNEL_DATA, 0x00cf_9300_0000_ffff),
        (selector::USER_DATA & !7, 0x00cf_f300_0000_ffff),
        (selector::USER_CODE & !7, 0x00af_fb00_0000_ffff),
        (selector::TSS, low | 0x8b << 40),
        (selector::TSS + 8, tss as u64 >> 32),
    ];
    for (selector, value) in descriptors {
        put(area + vcpu::GDT + usize::from(selector), value);
    }
    put(tss + 4, (area + vcpu::RING0_STACK_TOP) as u64);
    put(tss + 36, (area + GATE_STACK_TOP) as u64);
    put(tss + 102, vcpu::TSS_FIXED as u16);
    put(tss + vcpu::TSS_LEN - 1, 0xff_u8);

    let stubs = area + vcpu::STUBS;
    // SAFETY: the template is `FRAMES` bytes long, and the stub page is this vCPU's own.
    unsafe { core::ptr::copy_nonoverlapping(&raw const husk_kvm_stubs, stubs as *mut u8, FRAMES) };
    put(stubs + SYSCALL_ENTRY, entry::syscall_address() as u64);
    for vector in 0..VECTORS {
        let stub = match vector {
            PAGE_FAULT => PAGE_FAULT_STUB,
            INVALID_OPCODE => GATE_STUB,
            _ => vector * 16,
        };
        let (target, dpl) = ((stubs + stub) as u64, if FROM_RING_3 >> vector & 1 != 0 { 3 } else { 0 });
        let stack = u64::from(vector == INVALID_OPCODE);
        let low = target & 0xffff
            | u64::from(selector::KERNEL_CODE) << 16
            | stack << 32
            | (0x8e00 | dpl << 13) << 32
            | (target >> 16 & 0xffff) << 48;
        put(area + vcpu::IDT + vector * 16, [low, target >> 32]);
        // The stack pointer is that of the processor's frame.
        let words = if WITH_ERROR >> vector & 1 != 0 { 6 } else { 5 };
        let frame = [
            entry::vector_address(vector) as u64,
            u64::from(selector::USER_CODE),
            2,
            (area + vcpu::RING0_STACK_TOP - words * 8) as u64,
            u64::from(selector::USER_DATA),
        ];
        put(stubs + FRAMES + vector * 40, frame);
    }
    // Signals may have come already, which stay. From here on the vCPU is kicked.
    put(area + vcpu::UPCALL + offset_of!(Upcall, kick_word), Cpu::get(index).kick.as_ptr() as u64);
    super::VCPUS[index].outside.store(0, Ordering::SeqCst);
}

const _: () = assert!(FRAMES + VECTORS * 40 <= SAVED_RAX && vcpu::STUBS + PAGE_SIZE <= vcpu::UPCALL_STACK);
const _: () = assert!(vcpu::UPCALL + size_of::<Upcall>() < GATE_STACK_TOP - 0x100);
