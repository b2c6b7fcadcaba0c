//! The frame of a task: the application's registers while the kernel runs, at the top of the kernel stack.
//!
//! Entries save the general registers and XMM0-15; everything else of the vector state stays in the processor, which the
//! kernel's own code (baseline x86-64) leaves alone, until a switch or a signal frame needs it in memory.

use super::cpu;
use super::start::boot;
use crate::context::Regs;
use core::arch::asm;

/// Space for the XSAVE area: x87, SSE, AVX and AVX-512 in the standard format, on processors of both makers.
pub(super) const FPU_AREA: usize = 2752;
const LEGACY_XMM: usize = 160;
const XSTATE_BV: usize = 512;

/// See the module. The layout is known to the assembly in `entry`.
#[repr(C, align(64))]
pub(super) struct Frame {
    pub(super) regs: Regs,
    pub(super) fs_base: u64,
    /// Not zero: all registers count on the way out, RCX, R11 and RFLAGS too.
    pub(super) full: u64,
    /// Host signal, its code, its address and its value, for a frame made by a trap.
    pub(super) trap: [u64; 4],
    pad: [u64; 3],
    pub(super) xmm: [[u8; 16]; 16],
    /// RIP, CS, RFLAGS, RSP, SS for IRETQ.
    pub(super) iret: [u64; 8],
    pub(super) fpu: [u8; FPU_AREA],
}

const _: () = assert!(core::mem::offset_of!(Frame, xmm) == 256 && core::mem::offset_of!(Frame, fpu) == 576);

fn current<'a>() -> &'a mut Frame {
    // SAFETY: the running task's frame; only its own vCPU uses it, and every user of this function lets go of the
    // reference before it calls anything else that takes it.
    unsafe { &mut *cpu::frame() }
}

/// The registers with which the current task returns to its application.
pub fn regs() -> Regs {
    current().regs
}

/// As `regs`, unless no task runs: for reports.
pub(crate) fn regs_if_any() -> Option<Regs> {
    (!cpu::frame().is_null()).then(regs)
}

/// Replaces all of them.
pub fn set_regs(regs: &Regs) {
    let frame = current();
    frame.regs = *regs;
    frame.full = 1;
}

/// Makes the way out put back every register, by an instruction that also makes the processor fetch code anew (IRET).
pub fn return_fully() {
    current().full = 1;
}

/// Sets the result register alone.
pub fn set_result(value: u64) {
    current().regs.rax = value;
}

/// Number of the call being served, and its arguments in order.
pub fn call() -> (u64, [usize; 6]) {
    let regs = &current().regs;
    let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    (regs.orig_rax, args.map(|register| register as usize))
}

fn mask() -> u64 {
    u64::from(boot().xsave_mask)
}

/// Bytes of the XSAVE area that `save_fpu` gives: constant for the life of the guest.
pub fn fpu_len() -> usize {
    match mask() {
        mask if mask & 0xe0 != 0 => 2688,
        mask if mask & 4 != 0 => 832,
        _ => 576,
    }
}

/// XCR0: which state components `save_fpu` holds.
pub fn fpu_features() -> u64 {
    mask()
}

impl Frame {
    /// Brings the processor's vector state into the frame. XMM0-15 in the area are the kernel's own leftovers.
    pub(super) fn store_fpu(&mut self) {
        let (low, area) = (mask() as u32, self.fpu.as_mut_ptr());
        // SAFETY: the area is 64-byte aligned and large enough for the components of the mask.
        unsafe {
            asm!("xsave64 [{}]", in(reg) area, in("eax") low, in("edx") 0, options(nostack, preserves_flags))
        };
    }

    /// Puts the frame's vector state into the processor.
    pub(super) fn restore_fpu(&self) {
        let (low, area) = (mask() as u32, self.fpu.as_ptr());
        // SAFETY: the area was stored by XSAVE or checked by `sanitise`, so XRSTOR takes it.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") low, in("edx") 0, options(nostack, readonly, preserves_flags))
        };
    }

    /// Makes any bytes an area that XRSTOR takes.
    fn sanitise(&mut self) {
        let word =
            |fpu: &[u8], at: usize| u64::from_le_bytes(fpu[at..at + 8].try_into().expect("eight bytes"));
        let features = word(&self.fpu, XSTATE_BV) & mask();
        self.fpu[XSTATE_BV..XSTATE_BV + 64].fill(0);
        self.fpu[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&features.to_le_bytes());
        // MXCSR: reserved bits fault.
        self.fpu[26] = 0;
        self.fpu[27] = 0;
        for (index, register) in self.xmm.iter_mut().enumerate() {
            if features & 2 == 0 {
                *register = [0; 16];
            } else {
                register.copy_from_slice(&self.fpu[LEGACY_XMM + index * 16..][..16]);
            }
        }
    }

    /// The state of a program that just started.
    pub(super) fn reset_fpu(&mut self) {
        self.fpu.fill(0);
        self.fpu[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        self.xmm = [[0; 16]; 16];
    }
}

/// The current task's floating-point and vector state, in XSAVE's standard format, `fpu_len()` bytes.
pub fn save_fpu(out: &mut [u8]) {
    let frame = current();
    frame.store_fpu();
    for (index, register) in frame.xmm.iter().enumerate() {
        frame.fpu[LEGACY_XMM + index * 16..][..16].copy_from_slice(register);
    }
    frame.fpu[XSTATE_BV] |= 2;
    let len = fpu_len();
    out[..len].copy_from_slice(&frame.fpu[..len]);
}

/// Replaces that state. `area` may hold anything: an area XRSTOR would refuse gives the initial state.
pub fn load_fpu(area: &[u8]) {
    let frame = current();
    let len = area.len().min(fpu_len());
    frame.fpu[len..].fill(0);
    frame.fpu[..len].copy_from_slice(&area[..len]);
    frame.sanitise();
    frame.restore_fpu();
}

/// Gives the current task the state of a program that just started: zero registers, `rip` and `rsp`.
pub fn start_program(rip: usize, rsp: usize) {
    let frame = current();
    frame.regs = Regs {
        rip: rip as u64,
        rsp: rsp as u64,
        rflags: 0x202,
        segments: crate::context::USER_SEGMENTS,
        orig_rax: u64::MAX,
        ..Regs::default()
    };
    frame.full = 1;
    frame.reset_fpu();
    frame.restore_fpu();
    set_fs_base(0);
}

/// Base of FS: the thread pointer.
pub fn fs_base() -> u64 {
    let base: u64;
    // SAFETY: reads a register.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nostack, nomem, preserves_flags)) };
    base
}

/// See `fs_base`. `base` is a canonical address.
pub fn set_fs_base(base: u64) {
    assert!(base >> 47 == 0, "FS base out of range");
    // SAFETY: FS is the application's; the kernel does not use it.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, nomem, preserves_flags)) };
}
