//! The address space of a guest, the same in both tenders and after every restore.
//!
//! Everything the application can own lies in `GUEST`; everything of Husk lies above it, so that "inside the guest's
//! range" is two compares in a seccomp filter, and a snapshot maps back where it was. The kernel's part is one PML4
//! slot (252), so the page tables of all guest processes share it by one entry.

/// Bytes of a page, and the unit of every mapping.
pub const PAGE_SIZE: usize = 4096;

/// First address an application may map. Page 0 and its neighbours stay unmapped: the JVM and Go rely on the fault.
pub const GUEST_START: usize = 0x1_0000;
/// One past the last address an application may map.
pub const GUEST_END: usize = 0x7000_0000_0000;

/// Slots of patched call sites: pointers reached by `jmp *abs32`, so they lie in the low 2 GiB. The third byte of each
/// address is 0x06, an invalid opcode in 64-bit mode: a jump into the middle of a patched site faults, and is mended.
pub const SLOT_TABLE: usize = 0x7f06_0000;
/// Bytes of the slot table.
pub const SLOT_TABLE_LEN: usize = 0x1_0000;

/// The kernel image: text, read-only data, data, bss.
pub const KERNEL: usize = 0x7e00_0000_0000;
/// Most bytes a kernel image may take in memory.
pub const KERNEL_MAX: usize = 0x400_0000;

/// The boot block (`crate::boot::Boot`), written by the tender before the first instruction of the kernel.
pub const BOOT: usize = 0x7e00_0400_0000;
/// Bytes reserved for the boot block.
pub const BOOT_LEN: usize = 0x10_0000;

/// The gate: the only code that may make host system calls (process tender) or exits (kvm tender).
pub const GATE: usize = 0x7e00_0500_0000;
/// Bytes of the gate.
pub const GATE_LEN: usize = PAGE_SIZE;

/// The vDSO image served to applications, followed by its data page.
pub const VDSO: usize = 0x7e00_0600_0000;
/// Bytes of the vDSO, data page included.
pub const VDSO_LEN: usize = 0x1_0000;

/// Memory private to one host process (process tender): signal stacks of its vCPU threads.
pub const PRIVATE: usize = 0x7e00_1000_0000;
/// Bytes of the private area for one vCPU.
pub const PRIVATE_PER_CPU: usize = 0x1_0000;

/// The ring that the state server of the guest's volumes shares with the kernel (`husk_ring`), where there is one.
pub const RING: usize = 0x7e00_2000_0000;
/// Most bytes of the ring.
pub const RING_MAX: usize = 0x1000_0000;

/// The arena: all memory the kernel manages, linear and writable. In the kvm tender it is the whole of guest-physical
/// memory; in the process tender a shared memfd, so that kernel state is one for all guest processes.
pub const ARENA: usize = 0x7e01_0000_0000;
/// Most bytes of arena.
pub const ARENA_MAX: usize = 0x40_0000_0000;

/// The root image, read-only.
pub const ROOT: usize = 0x7e50_0000_0000;
/// Most bytes of root image.
pub const ROOT_MAX: usize = 0x2f_0000_0000;

/// Where the tender's own executable is linked. Nothing below is the tender's.
pub const TENDER: usize = 0x7f00_0000_0000;

/// Most vCPUs of one guest process.
pub const CPUS_MAX: usize = 64;

const _: () = assert!(GUEST_END <= KERNEL);
const _: () = assert!(KERNEL + KERNEL_MAX <= BOOT);
const _: () = assert!(BOOT + BOOT_LEN <= GATE);
const _: () = assert!(GATE + GATE_LEN <= VDSO);
const _: () = assert!(VDSO + VDSO_LEN <= PRIVATE);
const _: () = assert!(PRIVATE + PRIVATE_PER_CPU * CPUS_MAX <= RING);
const _: () = assert!(RING + RING_MAX <= ARENA);
const _: () = assert!(ARENA + ARENA_MAX <= ROOT);
const _: () = assert!(ROOT + ROOT_MAX <= TENDER);
const _: () = assert!(KERNEL >> 39 == (ROOT + ROOT_MAX - 1) >> 39);
const _: () = assert!((SLOT_TABLE >> 16) & 0xff == 0x06 && SLOT_TABLE + SLOT_TABLE_LEN < 0x8000_0000);
