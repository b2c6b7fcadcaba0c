//! Copies to and from application memory that survive any address.
//!
//! Each routine is one stretch of assembly with an entry in the table of recoverable faults: the fault handler resumes
//! it at its recovery address, and the routine reports where it stopped. Callers have checked that the range lies below
//! `GUEST_END`; everything else about an address is found out by touching it.

use crate::span::Span;

/// What an access wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// An access that the memory does not allow as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub address: usize,
    pub access: Access,
}

#[cfg(husk_image)]
use crate::image::user as backend;

#[cfg(not(husk_image))]
mod backend {
    //! Unit tests have no application memory: every access faults.
    pub(super) unsafe fn copy(_to: *mut u8, from: *const u8, _len: usize) -> Result<(), usize> {
        Err(from.addr())
    }
    pub(super) unsafe fn fill(to: *mut u8, _len: usize, _byte: u8) -> Result<(), usize> {
        Err(to.addr())
    }
    pub(super) unsafe fn load_u32(_at: *const u32) -> Option<u32> {
        None
    }
    pub(super) unsafe fn compare_exchange_u32(_at: *mut u32, _old: u32, _new: u32) -> Option<u32> {
        None
    }
    pub(super) unsafe fn touch_write(_at: *mut u8) -> Option<()> {
        None
    }
}

fn copied(access: Access, result: Result<(), usize>) -> Result<(), Fault> {
    result.map_err(|address| Fault { address, access })
}

/// Copies from user address `address`. On a fault an unknown part of `out` has been overwritten.
pub fn copy_in(address: usize, out: &mut [u8]) -> Result<(), Fault> {
    // SAFETY: `out` is writable; faults on the user side are recovered.
    copied(Access::Read, unsafe { backend::copy(out.as_mut_ptr(), address as *const u8, out.len()) })
}

/// Copies to user address `address`.
pub fn copy_out(address: usize, data: &[u8]) -> Result<(), Fault> {
    // SAFETY: `data` is readable; faults on the user side are recovered; user memory is never a Rust reference.
    copied(Access::Write, unsafe { backend::copy(address as *mut u8, data.as_ptr(), data.len()) })
}

/// As `copy_in`, into memory that others may see.
pub fn copy_in_span(address: usize, out: Span<'_>) -> Result<(), Fault> {
    // SAFETY: the span is writable; faults on the user side are recovered.
    copied(Access::Read, unsafe { backend::copy(out.as_ptr(), address as *const u8, out.len()) })
}

/// As `copy_out`, from memory that others may see.
pub fn copy_out_span(address: usize, data: Span<'_>) -> Result<(), Fault> {
    // SAFETY: the span is readable; faults on the user side are recovered.
    copied(Access::Write, unsafe { backend::copy(address as *mut u8, data.as_ptr(), data.len()) })
}

/// Sets `len` bytes of user memory.
pub fn fill(address: usize, len: usize, byte: u8) -> Result<(), Fault> {
    // SAFETY: faults on the user side are recovered; user memory is never a Rust reference.
    copied(Access::Write, unsafe { backend::fill(address as *mut u8, len, byte) })
}

/// One atomic load.
pub fn load_u32(address: usize) -> Result<u32, Fault> {
    // SAFETY: a fault is recovered.
    unsafe { backend::load_u32(address as *const u32) }.ok_or(Fault { address, access: Access::Read })
}

/// Reads one byte, to bring in its page.
pub fn load_u8(address: usize) -> Result<u8, Fault> {
    let mut byte = [0];
    copy_in(address, &mut byte)?;
    Ok(byte[0])
}

/// One atomic compare-and-exchange; returns what was found.
pub fn compare_exchange_u32(address: usize, old: u32, new: u32) -> Result<u32, Fault> {
    // SAFETY: a fault is recovered.
    unsafe { backend::compare_exchange_u32(address as *mut u32, old, new) }
        .ok_or(Fault { address, access: Access::Write })
}

/// A write that changes nothing (an atomic add of 0), to bring in a page for writing.
pub fn touch_write(address: usize) -> Result<(), Fault> {
    // SAFETY: a fault is recovered, and the byte keeps its value.
    unsafe { backend::touch_write(address as *mut u8) }.ok_or(Fault { address, access: Access::Write })
}
