//! The system calls: one table, one file per family.
//!
//! `table` lists every call of x86-64 Linux in one place: number, name, typed arguments, how complete it is. Dispatch,
//! `husk trace` and the table in the docs come from it. A handler decodes, finds the object, acts and encodes; it takes
//! the calling task first, then its arguments as Linux truncates them (`FromReg`).

// The table of system calls names these functions.
#[allow(dead_code)]
mod socket;

/// An argument as it lies in a register. Truncation is Linux's own: an `int` is the low half.
pub trait FromReg {
    fn from_reg(register: usize) -> Self;
}

macro_rules! from_reg {
    ($($ty:ty)*) => { $(
        impl FromReg for $ty {
            #[expect(clippy::cast_possible_truncation, reason = "the system-call convention truncates")]
            fn from_reg(register: usize) -> Self {
                register as $ty
            }
        }
    )* };
}

from_reg!(u8 u16 u32 i32 u64 i64 usize isize);
