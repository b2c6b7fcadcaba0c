//! A vCPU of the kvm tender: guest-physical addresses, and each vCPU's part of `layout::PRIVATE`.
//!
//! The tender points the processor's table registers here and leaves the memory zero; the kernel fills the tables with
//! plain stores before its first hypercall or fault. The lower half is the kernel's (a stack for the idle loop).

/// Guest-physical address of the first top page table; its entry for the kernel's range is that of all others.
pub const ROOT_TABLE: u64 = 0x1000;
/// Guest-physical memory is one piece: the arena from 0 on, behind it the root image, both whole large pages of this size.
pub const LARGE_PAGE: u64 = 2 << 20;

/// Interrupt descriptor table, 256 entries.
pub const IDT: usize = 0x8000;
/// Task-state segment, followed by an I/O bitmap of zeros, so that `OUT` works in ring 3.
pub const TSS: usize = 0x9000;
/// Bytes of the fixed part of the task-state segment.
pub const TSS_FIXED: usize = 104;
/// Bytes of the task-state segment: fixed part, bitmap of 65,536 ports, closing byte of ones.
pub const TSS_LEN: usize = TSS_FIXED + 8192 + 1;
/// Global descriptor table.
pub const GDT: usize = 0xb100;
/// Entries of the global descriptor table; the last two are the task-state segment.
pub const GDT_ENTRIES: usize = 10;
/// The `Upcall` block.
pub const UPCALL: usize = 0xb200;
/// Top of the stack on which the processor leaves an exception's frame.
pub const RING0_STACK_TOP: usize = 0xc000;
/// One page of code that may run in ring 0. A kick never interrupts it.
pub const STUBS: usize = 0xc000;
/// Entry of the `syscall` instruction, in ring 0 or 3.
pub const SYSCALL_STUB: usize = STUBS + 0x800;
/// The stack of upcalls: it grows down from its top.
pub const UPCALL_STACK: usize = 0xd000;
/// See `UPCALL_STACK`.
pub const UPCALL_STACK_TOP: usize = 0x1_0000;

/// Selectors, as Linux has them where applications see them.
pub mod selector {
    pub const KERNEL_CODE: u16 = 0x10;
    pub const KERNEL_DATA: u16 = 0x18;
    pub const USER_DATA: u16 = 0x2b;
    pub const USER_CODE: u16 = 0x33;
    pub const TSS: u16 = 0x40;
}

/// Words through which a tender tells a vCPU what happened outside.
///
/// A kick (a tick, or `Notify` from another vCPU) interrupts ring-3 code wherever it is: the tender pushes RIP, CS,
/// RFLAGS, RSP and SS as IRETQ takes them on the upcall stack (below what is live there) and goes on at the kernel
/// header's `kick`, all other registers unchanged. Where that is impossible, because code of `STUBS` runs, it stores 1
/// to the word at `kick_word` instead.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Upcall {
    /// Host signals that arrived: bit n is signal n + 1. The tender sets bits, the kernel takes them.
    pub signals: u64,
    /// Guest address of a 32-bit word, inside the kernel's data or the arena. 0 until the kernel can take a kick.
    pub kick_word: u64,
    /// Not zero: the application that the next kick interrupts has just accessed an I/O port, which no application may. The
    /// tender sets it, the kernel takes it.
    pub port_fault: u64,
    /// The size of the host's terminal that came with the last `SIZE_SIGNAL`: rows, columns, pixels, 16 bits each; 0 for none.
    pub window: u64,
}

const _: () = assert!(TSS + TSS_LEN <= GDT && GDT + GDT_ENTRIES * 8 <= UPCALL);
const _: () = assert!(UPCALL_STACK_TOP == crate::layout::PRIVATE_PER_CPU);
