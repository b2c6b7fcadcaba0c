//! The application's registers, as the kernel sees them while it serves a call or a fault.
//!
//! `Regs` has the layout of the general registers of `struct sigcontext` (see sigreturn(2) and the kernel's
//! `asm/sigcontext.h`), so that a signal frame is made by a copy. The functions act on the current task's frame.

/// General registers in the order of `struct sigcontext`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Regs {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
    /// CS, GS, FS, SS as 16-bit fields.
    pub segments: u64,
    pub error: u64,
    pub trap: u64,
    /// Number of the system call that is being served, or -1: what `orig_rax` is on Linux.
    pub orig_rax: u64,
    pub cr2: u64,
}

/// CS=0x33, GS=0, FS=0, SS=0x2b: what every 64-bit application has.
pub const USER_SEGMENTS: u64 = 0x002b_0000_0000_0033;

#[cfg(husk_image)]
pub use crate::image::context::*;
#[cfg(not(husk_image))]
pub use hosted::*;

#[cfg(not(husk_image))]
mod hosted {
    //! A frame for tests: one per thread.
    use super::Regs;
    use alloc::vec::Vec;
    use std::cell::RefCell;

    thread_local! {
        static REGS: RefCell<Regs> = RefCell::default();
        static FPU: RefCell<Vec<u8>> = RefCell::new(vec![0; 832]);
    }

    /// The registers with which the current task returns to its application.
    pub fn regs() -> Regs {
        REGS.with_borrow(|regs| *regs)
    }

    /// Replaces all of them.
    pub fn set_regs(regs: &Regs) {
        REGS.with_borrow_mut(|own| *own = *regs);
    }

    /// Nothing is fetched on the mock machine.
    pub fn return_fully() {}

    /// Sets the result register alone.
    pub fn set_result(value: u64) {
        REGS.with_borrow_mut(|own| own.rax = value);
    }

    /// Bytes of the XSAVE area that `save_fpu` gives: constant for the life of the guest.
    pub fn fpu_len() -> usize {
        FPU.with_borrow(Vec::len)
    }

    /// The current task's floating-point and vector state, in XSAVE's standard format, `fpu_len()` bytes.
    pub fn save_fpu(out: &mut [u8]) {
        FPU.with_borrow(|fpu| out[..fpu.len()].copy_from_slice(fpu));
    }

    /// Replaces that state. `area` may hold anything: an area XRSTOR would refuse gives the initial state.
    pub fn load_fpu(area: &[u8]) {
        FPU.with_borrow_mut(|fpu| {
            let len = area.len().min(fpu.len());
            fpu[..len].copy_from_slice(&area[..len]);
        });
    }

    /// XCR0: which state components `save_fpu` holds.
    pub fn fpu_features() -> u64 {
        7
    }

    /// Number of the call being served, and its arguments in order.
    pub fn call() -> (u64, [usize; 6]) {
        let regs = regs();
        let args = [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
        (regs.orig_rax, args.map(|register| register as usize))
    }

    /// Gives the current task the state of a program that just started.
    pub fn start_program(rip: usize, rsp: usize) {
        set_regs(&Regs { rip: rip as u64, rsp: rsp as u64, ..Regs::default() });
    }

    /// Base of FS: the thread pointer.
    pub fn fs_base() -> u64 {
        0
    }

    /// See `fs_base`.
    pub fn set_fs_base(_base: u64) {}
}
