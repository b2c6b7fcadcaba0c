//! Faults of the application, in the words of the processor.

/// Exception vectors of x86-64.
pub const DIVIDE_ERROR: u64 = 0;
pub const DEBUG: u64 = 1;
pub const BREAKPOINT: u64 = 3;
pub const OVERFLOW: u64 = 4;
pub const INVALID_OPCODE: u64 = 6;
pub const GENERAL_PROTECTION: u64 = 13;
pub const PAGE_FAULT: u64 = 14;
pub const X87_ERROR: u64 = 16;
pub const ALIGNMENT_CHECK: u64 = 17;
pub const SIMD_ERROR: u64 = 19;

/// RFLAGS: a debug exception after each instruction.
pub const TRAP_FLAG: u64 = 0x100;

/// Error-code bits of a page fault.
pub const PF_PRESENT: u64 = 1;
pub const PF_WRITE: u64 = 2;
pub const PF_FETCH: u64 = 16;

/// What went wrong, where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Exception vector.
    pub vector: u64,
    /// The processor's error code.
    pub error: u64,
    /// For a page fault the address that was touched, else that of the instruction.
    pub address: u64,
    /// `si_code` as the processor's state gives it, for arithmetic exceptions; 0 when unknown.
    pub code: i32,
}

impl Trap {
    /// A jump to an address that is none.
    pub fn general_protection(rip: u64) -> Self {
        Self { vector: GENERAL_PROTECTION, error: 0, address: rip, code: 0 }
    }
}
