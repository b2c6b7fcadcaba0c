//! The first instructions of the kernel, its header, and the boot block.

use super::cpu::{self, Cpu};
use core::arch::global_asm;
use husk_abi::boot::{ABI_VERSION, BOOT_MAGIC, Boot, KERNEL_MAGIC, Text};
use husk_abi::layout;

// The header stands at the first byte of the image. `start` and its like get a stack of the tender's choosing.
global_asm!(
    ".pushsection .husk_header,\"a\",@progbits",
    ".globl husk_header",
    "husk_header:",
    "  .quad {magic}",
    "  .long {version}",
    "  .long 0",
    "  .quad husk_start",
    "  .quad husk_start_cpu",
    "  .quad husk_restore",
    "  .quad husk_host_signal",
    "  .quad husk_data_start",
    "  .quad husk_data_end",
    "  .quad husk_bss_end",
    "  .quad husk_kvm_kick, 0, 0, 0",
    ".popsection",
    ".pushsection .text.start,\"ax\",@progbits",
    ".globl husk_start",
    "husk_start:",
    "  xor ebp, ebp",
    "  lea rsp, [rip + {cpu0_stack} + {stack_len}]",
    "  call {start}",
    "  ud2",
    ".globl husk_restore",
    "husk_restore:",
    "  xor ebp, ebp",
    "  lea rsp, [rip + {cpu0_stack} + {stack_len}]",
    "  call {restore}",
    "  ud2",
    ".globl husk_start_cpu",
    "husk_start_cpu:",
    "  xor ebp, ebp",
    "  and rsp, -16",
    "  call {start_cpu}",
    "  ud2",
    ".popsection",
    magic = const KERNEL_MAGIC,
    version = const ABI_VERSION,
    start = sym start,
    restore = sym restore,
    start_cpu = sym super::kvm::first_start,
    cpu0_stack = sym BOOT_STACK,
    stack_len = const BOOT_STACK_LEN,
);

const BOOT_STACK_LEN: usize = 64 << 10;

#[repr(C, align(64))]
struct BootStack([u8; BOOT_STACK_LEN]);

/// vCPU 0 boots on it, until the first task has a stack of its own.
static mut BOOT_STACK: BootStack = BootStack([0; BOOT_STACK_LEN]);

/// The boot block.
pub fn boot() -> &'static Boot {
    // SAFETY: the tender wrote the block before the first instruction, and nothing writes it later.
    unsafe { &*(layout::BOOT as *const Boot) }
}

/// A text of the boot block: `count` strings, each ended by a NUL.
pub fn text(text: Text) -> &'static [u8] {
    let (offset, len) = (text.offset as usize, text.len as usize);
    assert!(offset <= layout::BOOT_LEN && len <= layout::BOOT_LEN - offset, "boot block: text out of range");
    // SAFETY: inside the boot block, which is mapped and never written again.
    unsafe { core::slice::from_raw_parts((layout::BOOT + offset) as *const u8, len) }
}

/// The boot block with its texts.
pub fn boot_bytes() -> &'static [u8] {
    let len = boot().end().min(layout::BOOT_LEN);
    // SAFETY: as in `text`; the tender maps the block as far as its texts reach.
    unsafe { core::slice::from_raw_parts(layout::BOOT as *const u8, len) }
}

/// The root image, read-only.
pub fn root_image() -> &'static [u8] {
    // SAFETY: the tender mapped this many bytes there, for the life of the guest.
    unsafe { core::slice::from_raw_parts(layout::ROOT as *const u8, boot().root_len as usize) }
}

extern "C" fn start() -> ! {
    assert!(boot().magic == BOOT_MAGIC && boot().version == ABI_VERSION, "boot block of another version");
    Cpu::start_first();
    if super::kvm::is_tender() {
        super::kvm::init_cpu(0);
    }
    super::frames::init();
    super::lock::acquire();
    super::personality().boot();
    cpu::idle()
}

/// As `start`, in the memory of a guest that was parked: all but what belongs to the old tender is as it was.
extern "C" fn restore() -> ! {
    assert!(boot().magic == BOOT_MAGIC && boot().version == ABI_VERSION, "boot block of another version");
    super::lock::take_over();
    Cpu::start_first();
    super::host_signal::forget_forwarded();
    super::control::take_back();
    if super::kvm::is_tender() {
        super::kvm::restored();
        super::kvm::init_cpu(0);
    }
    super::random::stir(&boot().seed);
    super::personality().restored();
    cpu::idle()
}
