//! Host signals (process tender): how traps, faults and kicks arrive.
//!
//! The host enters `husk_host_signal` on the vCPU's signal stack with all signals unblocked. When it interrupted the
//! application, the frame is filled from the host's signal frame and the kernel goes on from there on the task's own
//! stack: there is no sigreturn, the way out is the same as for every entry. When it interrupted the kernel, the handler
//! changes at most the instruction pointer and returns.

use super::context::Frame;
use super::cpu::{self, Cpu};
use super::{entry, personality, user};
use crate::trap::Trap;
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use husk_abi::boot::{CONTINUE_MARK, SIZE_MARK, SIZE_SIGNAL};
use husk_abi::layout::GUEST_END;
use linux_raw_sys::general as raw;

/// Offsets in `ucontext_t` and `siginfo_t` (asm/ucontext.h, asm-generic/siginfo.h).
const UC_REGS: usize = 40;
const UC_RIP: usize = UC_REGS + 16 * 8;
const UC_FLAGS: usize = UC_REGS + 17 * 8;
const UC_FPSTATE: usize = UC_REGS + 23 * 8;
const SI_CODE: usize = 8;
const SI_ADDR: usize = 16;
const SI_VALUE: usize = 24;

global_asm!(
    ".pushsection .text.host_signal,\"ax\",@progbits",
    ".globl husk_host_signal",
    "husk_host_signal:",
    "  cld",
    "  mov rax, {guest_end}",
    "  cmp [rdx + {uc_rip}], rax",
    "  jae 3f",
    "2: mov r10, rdx",
    // The host entered us with the initial vector state; the application's is in the signal frame.
    "  mov r11, [rdx + {uc_fpstate}]",
    "  mov eax, 0xe7",
    "  xor edx, edx",
    "  xrstor64 [r11]",
    "  mov rax, gs:[{frame}]",
    "  movaps [rax + {xmm} + 0x00], xmm0",
    "  movaps [rax + {xmm} + 0x10], xmm1",
    "  movaps [rax + {xmm} + 0x20], xmm2",
    "  movaps [rax + {xmm} + 0x30], xmm3",
    "  movaps [rax + {xmm} + 0x40], xmm4",
    "  movaps [rax + {xmm} + 0x50], xmm5",
    "  movaps [rax + {xmm} + 0x60], xmm6",
    "  movaps [rax + {xmm} + 0x70], xmm7",
    "  movaps [rax + {xmm} + 0x80], xmm8",
    "  movaps [rax + {xmm} + 0x90], xmm9",
    "  movaps [rax + {xmm} + 0xa0], xmm10",
    "  movaps [rax + {xmm} + 0xb0], xmm11",
    "  movaps [rax + {xmm} + 0xc0], xmm12",
    "  movaps [rax + {xmm} + 0xd0], xmm13",
    "  movaps [rax + {xmm} + 0xe0], xmm14",
    "  movaps [rax + {xmm} + 0xf0], xmm15",
    "  mov edi, edi",
    "  mov [rax + {trap}], rdi",
    "  movsxd rcx, dword ptr [rsi + {si_code}]",
    "  mov [rax + {trap} + 8], rcx",
    "  mov rcx, [rsi + {si_addr}]",
    "  mov [rax + {trap} + 16], rcx",
    "  mov rcx, [rsi + {si_value}]",
    "  mov [rax + {trap} + 24], rcx",
    "  lea rsi, [r10 + {uc_regs}]",
    "  mov rdi, rax",
    "  mov ecx, 23",
    "  rep movsq",
    "  mov qword ptr [rax + {full}], 1",
    "  jmp husk_enter_trap",
    "3: push rdi",
    "  push rsi",
    "  push rdx",
    "  call {in_kernel}",
    "  pop rdx",
    "  pop rsi",
    "  pop rdi",
    "  test al, al",
    "  jnz 2b",
    "  ret",
    ".popsection",
    guest_end = const GUEST_END,
    uc_rip = const UC_RIP,
    uc_regs = const UC_REGS,
    uc_fpstate = const UC_FPSTATE,
    si_code = const SI_CODE,
    si_addr = const SI_ADDR,
    si_value = const SI_VALUE,
    frame = const offset_of!(Cpu, frame),
    xmm = const offset_of!(Frame, xmm),
    trap = const offset_of!(Frame, trap),
    full = const offset_of!(Frame, full),
    in_kernel = sym in_kernel,
);

/// Host signals that are the processor's: everything else is a kick or meant for the guest.
const TRAPS: [u32; 6] = [raw::SIGSYS, raw::SIGSEGV, raw::SIGBUS, raw::SIGFPE, raw::SIGILL, raw::SIGTRAP];

/// Signals that `husk` passed on and nobody has taken yet: bit n - 1 for signal n.
static FORWARDED: AtomicU64 = AtomicU64::new(0);

/// The size of the host's terminal that came with `SIZE_SIGNAL`, or 0.
static WINDOW: AtomicU64 = AtomicU64::new(0);

/// Takes the size of the host's terminal that arrived last: rows, columns, pixels, 16 bits each; 0 for none.
pub(super) fn take_window() -> u64 {
    WINDOW.swap(0, Ordering::Relaxed)
}

/// The host process that is to be ended because memory is short, or 0.
static HOG: AtomicU64 = AtomicU64::new(0);

/// Takes the host process that is to be ended because memory is short; 0 for none.
pub(super) fn take_hog() -> u64 {
    HOG.swap(0, Ordering::Relaxed)
}

fn note(signal: u32, value: u64) {
    if signal == SIZE_SIGNAL && value & (SIZE_MARK | CONTINUE_MARK) == 0 {
        HOG.store(value, Ordering::Relaxed);
    } else if signal == SIZE_SIGNAL {
        let old = WINDOW.swap(value, Ordering::Relaxed);
        WINDOW.fetch_or(old & CONTINUE_MARK, Ordering::Relaxed);
    }
    if signal != raw::SIGURG {
        FORWARDED.fetch_or(1 << (signal - 1), Ordering::Relaxed);
    }
}

/// Whether signals from outside wait to be taken.
pub(super) fn is_pending() -> bool {
    FORWARDED.load(Ordering::SeqCst) != 0
}

/// Takes the signals that were sent to the guest from outside: bit n - 1 for signal n.
pub(super) fn take_forwarded() -> u64 {
    if FORWARDED.load(Ordering::Relaxed) == 0 { 0 } else { FORWARDED.swap(0, Ordering::Relaxed) }
}

/// Whether there are any.
pub(super) fn has_forwarded() -> bool {
    FORWARDED.load(Ordering::Relaxed) != 0
}

/// Forgets signals that were for an earlier tender.
pub(super) fn forget_forwarded() {
    FORWARDED.store(0, Ordering::Relaxed);
}

/// A host signal that found kernel code. `context` is the host's `ucontext_t`. True: the fault is the application's, which
/// has jumped here.
extern "C" fn in_kernel(signal: u32, info: *const u8, context: *mut u8) -> bool {
    // SAFETY: the host's signal frame lies on this thread's signal stack, and the offsets are its layout.
    let (rip, register) = unsafe {
        let register = |offset: usize| context.add(offset).cast::<u64>();
        (*register(UC_RIP) as usize, register)
    };
    let resume = |at: usize| {
        // SAFETY: as above; the new address is one of this kernel's recovery points.
        unsafe { *register(UC_RIP) = at as u64 }
    };
    if !TRAPS.contains(&signal) {
        // SAFETY: the host's siginfo lies on this thread's signal stack.
        let value = unsafe { info.add(SI_VALUE).cast::<u64>().read() };
        note(signal, value);
        crate::report::end_if_panicking();
        let cpu = Cpu::current();
        cpu.kick.store(1, Ordering::Relaxed);
        if signal != raw::SIGURG {
            cpu::stay_awake(cpu);
        }
        if let Some(at) = entry::restart_exit(rip).or_else(|| super::gate::abort_poll(cpu, rip)) {
            resume(at);
        }
        return false;
    }
    // SAFETY: the host's siginfo, as above.
    let address = unsafe { info.add(SI_ADDR).cast::<u64>().read() };
    if signal == raw::SIGTRAP {
        // A step came in by a patched call site, which is no trap: the personality ends it behind the call.
        // SAFETY: as above.
        unsafe { *register(UC_FLAGS) &= !crate::trap::TRAP_FLAG };
        return false;
    }
    if let Some(at) = user::recover(rip) {
        // SAFETY: RDX of the interrupted routine: `user` expects the address there.
        unsafe { *register(UC_REGS + 12 * 8) = address };
        resume(at);
        return false;
    }
    if let Some(at) = entry::recover_exit(rip) {
        resume(at);
        return false;
    }
    // SAFETY: RSP and RBP in the host's signal frame.
    let (rsp, rbp) = unsafe { (*register(UC_REGS + 15 * 8), *register(UC_REGS + 10 * 8)) };
    if (rsp as usize) < GUEST_END && !super::lock::is_held_here() {
        // No code of the kernel's runs on the application's stack where it can fault.
        return true;
    }
    crate::report::panic(&format_args!(
        "fault: host signal {signal} at {rip:#x}, address {address:#x}, rsp {rsp:#x}, rbp {rbp:#x}"
    ))
}

/// Acts on the trap in the current frame.
pub(super) fn serve() {
    // SAFETY: the running task's frame; the reference ends before the personality runs.
    let (regs, [signal, code, address, value]) = unsafe {
        let frame = &mut *cpu::frame();
        (frame.regs, frame.trap)
    };
    match signal as u32 {
        raw::SIGSYS => {
            // SAFETY: as above.
            unsafe { (*cpu::frame()).regs.orig_rax = regs.rax };
            personality().syscall_trapped();
        }
        number if !TRAPS.contains(&number) => {
            note(number, value);
            crate::report::end_if_panicking();
            // SAFETY: as above.
            unsafe { (*cpu::frame()).regs.orig_rax = u64::MAX };
            cpu::take_work();
            personality().work();
        }
        _ => {
            // SAFETY: as above.
            unsafe { (*cpu::frame()).regs.orig_rax = u64::MAX };
            personality().trap(Trap {
                vector: regs.trap,
                error: regs.error,
                address: if regs.trap == crate::trap::PAGE_FAULT { regs.cr2 } else { address },
                code: code as i32,
            });
        }
    }
}
