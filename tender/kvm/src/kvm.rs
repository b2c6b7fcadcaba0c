//! The part of KVM's interface that this tender uses: request numbers and structures of Linux's `linux/kvm.h` and
//! `asm/kvm.h`. (No crate offers these without std: `kvm-bindings` needs it.)

use core::sync::atomic::AtomicU8;

pub(crate) const CREATE_VM: usize = 0xae01;
pub(crate) const CHECK_EXTENSION: usize = 0xae03;
pub(crate) const GET_VCPU_MMAP_SIZE: usize = 0xae04;
pub(crate) const GET_SUPPORTED_CPUID: usize = 0xc008_ae05;
pub(crate) const CREATE_VCPU: usize = 0xae41;
pub(crate) const SET_USER_MEMORY_REGION: usize = 0x4020_ae46;
pub(crate) const RUN: usize = 0xae80;
pub(crate) const GET_SREGS: usize = 0x8138_ae83;
pub(crate) const SET_SREGS: usize = 0x4138_ae84;
pub(crate) const SET_MSRS: usize = 0x4008_ae89;
pub(crate) const SET_CPUID2: usize = 0x4008_ae90;
pub(crate) const SET_XCRS: usize = 0x4188_aea7;

pub(crate) const CAP_SYNC_REGS: usize = 74;
pub(crate) const CAP_IMMEDIATE_EXIT: usize = 136;

/// Bits of `valid_regs` and `dirty_regs`, and of what `CAP_SYNC_REGS` answers: general registers, pending exceptions.
pub(crate) const SYNC_REGS: u64 = 1;
pub(crate) const SYNC_EVENTS: u64 = 4;

/// Exit reasons.
pub(crate) mod exit {
    pub(crate) const IO: u32 = 2;
    pub(crate) const HLT: u32 = 5;
    pub(crate) const MMIO: u32 = 6;
    pub(crate) const SHUTDOWN: u32 = 8;
    pub(crate) const FAIL_ENTRY: u32 = 9;
    pub(crate) const INTR: u32 = 10;
    pub(crate) const INTERNAL_ERROR: u32 = 17;
    pub(crate) const IO_OUT: u8 = 1;
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Regs {
    pub(crate) rax: u64,
    pub(crate) rbx: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
    pub(crate) rsi: u64,
    pub(crate) rdi: u64,
    pub(crate) rsp: u64,
    pub(crate) rbp: u64,
    pub(crate) r8_to_r15: [u64; 8],
    pub(crate) rip: u64,
    pub(crate) rflags: u64,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) limit: u32,
    pub(crate) selector: u16,
    pub(crate) kind: u8,
    pub(crate) present: u8,
    pub(crate) dpl: u8,
    pub(crate) db: u8,
    pub(crate) s: u8,
    pub(crate) l: u8,
    pub(crate) g: u8,
    pub(crate) avl: u8,
    pub(crate) unusable: u8,
    pub(crate) padding: u8,
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Table {
    pub(crate) base: u64,
    pub(crate) limit: u16,
    pub(crate) padding: [u16; 3],
}

#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Sregs {
    pub(crate) cs: Segment,
    pub(crate) ds: Segment,
    pub(crate) es: Segment,
    pub(crate) fs: Segment,
    pub(crate) gs: Segment,
    pub(crate) ss: Segment,
    pub(crate) tr: Segment,
    pub(crate) ldt: Segment,
    pub(crate) gdt: Table,
    pub(crate) idt: Table,
    pub(crate) cr0: u64,
    pub(crate) cr2: u64,
    pub(crate) cr3: u64,
    pub(crate) cr4: u64,
    pub(crate) cr8: u64,
    pub(crate) efer: u64,
    pub(crate) apic_base: u64,
    pub(crate) interrupt_bitmap: [u64; 4],
}

const _: () = assert!(size_of::<Sregs>() == 0x138);

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct MemoryRegion {
    pub(crate) slot: u32,
    pub(crate) flags: u32,
    pub(crate) guest_physical: u64,
    pub(crate) len: u64,
    pub(crate) host: u64,
}

/// One row of a processor's CPUID table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CpuidEntry {
    pub function: u32,
    pub index: u32,
    pub flags: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub padding: [u32; 3],
}

/// Most rows that KVM gives.
pub const CPUID_MAX: usize = 256;

/// A CPUID table as KVM takes and gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Cpuid {
    pub count: u32,
    pub padding: u32,
    pub entries: [CpuidEntry; CPUID_MAX],
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Msr {
    pub(crate) index: u32,
    pub(crate) reserved: u32,
    pub(crate) value: u64,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Msrs<const N: usize> {
    pub(crate) count: u32,
    pub(crate) padding: u32,
    pub(crate) entries: [Msr; N],
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Xcrs {
    pub(crate) count: u32,
    pub(crate) flags: u32,
    pub(crate) entries: [Xcr; 16],
    pub(crate) padding: [u64; 16],
}

#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Xcr {
    pub(crate) index: u32,
    pub(crate) reserved: u32,
    pub(crate) value: u64,
}

const _: () = assert!(size_of::<Xcrs>() == 0x188);

/// The page that a vCPU shares with its host thread (`struct kvm_run`).
#[repr(C)]
pub(crate) struct Run {
    request_interrupt_window: u8,
    /// Not zero: KVM_RUN returns at once with EINTR. Set by the signal handler.
    pub(crate) immediate_exit: AtomicU8,
    padding: [u8; 6],
    pub(crate) exit_reason: u32,
    ready_for_interrupt: u8,
    if_flag: u8,
    flags: u16,
    cr8: u64,
    apic_base: u64,
    pub(crate) exit: ExitInfo,
    pub(crate) valid_regs: u64,
    pub(crate) dirty_regs: u64,
    pub(crate) regs: Regs,
    sregs: Sregs,
    pub(crate) exception: Exception,
}

/// What an exit says besides its reason; only the meanings used here.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) union ExitInfo {
    pub(crate) io: IoExit,
    pub(crate) words: [u64; 32],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct IoExit {
    pub(crate) direction: u8,
    pub(crate) size: u8,
    pub(crate) port: u16,
    pub(crate) count: u32,
    pub(crate) data_offset: u64,
}

const _: () = assert!(core::mem::offset_of!(Run, exit) == 32);
const _: () = assert!(core::mem::offset_of!(Run, valid_regs) == 288);

/// The start of `struct kvm_vcpu_events`: an exception that KVM has yet to deliver.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Exception {
    pub(crate) injected: u8,
    number: u8,
    has_error: u8,
    pub(crate) pending: u8,
    error: u32,
}
