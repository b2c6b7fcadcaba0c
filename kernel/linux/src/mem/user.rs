//! Copies between the kernel and the current task's memory.
//!
//! An address the application may not touch gives EFAULT, never a fault of the kernel. A page that the application may
//! touch but that is not there yet (it lies behind a file mapping, say) is brought in, and the copy goes on.

use crate::errno::Errno;
use alloc::vec::Vec;
use husk_abi::layout::{GUEST_END, PAGE_SIZE};
use husk_machine::pod::{self, Pod};
use husk_machine::span::Span;
use husk_machine::user::{self, Access, Fault};

/// EFAULT unless the range lies where applications may have memory.
pub fn check(address: usize, len: usize) -> Result<(), Errno> {
    match address.checked_add(len) {
        Some(end) if end <= GUEST_END => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}

/// Repeats `copy` for as long as the address space can mend the fault that ended it.
fn mending(mut copy: impl FnMut() -> Result<(), Fault>) -> Result<(), Errno> {
    // Each mended fault brings in at least one page; a copy that faults on one page again and again is not mendable.
    let mut last = None;
    let mut repeats = 0;
    while let Err(fault) = copy() {
        let page = fault.address / PAGE_SIZE;
        repeats = if last == Some(page) { repeats + 1 } else { 0 };
        last = Some(page);
        if repeats > 8 || !super::mend_fault(fault.address, fault.access) {
            return Err(Errno::EFAULT);
        }
    }
    Ok(())
}

pub fn copy_in(address: usize, out: &mut [u8]) -> Result<(), Errno> {
    check(address, out.len())?;
    mending(|| user::copy_in(address, out))
}

pub fn copy_out(address: usize, data: &[u8]) -> Result<(), Errno> {
    check(address, data.len())?;
    mending(|| user::copy_out(address, data))
}

pub fn copy_in_span(address: usize, out: Span<'_>) -> Result<(), Errno> {
    check(address, out.len())?;
    mending(|| user::copy_in_span(address, out))
}

pub fn copy_out_span(address: usize, data: Span<'_>) -> Result<(), Errno> {
    check(address, data.len())?;
    mending(|| user::copy_out_span(address, data))
}

pub fn fill(address: usize, len: usize, byte: u8) -> Result<(), Errno> {
    check(address, len)?;
    mending(|| user::fill(address, len, byte))
}

/// Reads one value of plain data.
pub fn read<T: Pod>(address: usize) -> Result<T, Errno> {
    let mut value = pod::zeroed::<T>();
    copy_in(address, pod::bytes_of_mut(&mut value))?;
    Ok(value)
}

/// Writes one value of plain data.
pub fn write<T: Pod>(address: usize, value: &T) -> Result<(), Errno> {
    copy_out(address, pod::bytes_of(value))
}

/// Reads `count` values. The caller bounds `count`.
pub fn read_vec<T: Pod>(address: usize, count: usize) -> Result<Vec<T>, Errno> {
    let stride = size_of::<T>();
    check(address, count.checked_mul(stride).ok_or(Errno::EFAULT)?)?;
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        values.push(read(address + index * stride)?);
    }
    Ok(values)
}

/// Reads a string that ends with a NUL, which is not returned. `too_long` when it has `max` bytes or more.
pub fn read_cstr(address: usize, max: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    while bytes.len() < max {
        let at = address.checked_add(bytes.len()).ok_or(Errno::EFAULT)?;
        // Up to the end of the page: the next one need not exist.
        let part = (PAGE_SIZE - at % PAGE_SIZE).min(256).min(max - bytes.len());
        let mut chunk = [0; 256];
        copy_in(at, &mut chunk[..part])?;
        if let Some(end) = chunk[..part].iter().position(|byte| *byte == 0) {
            if bytes.is_empty() {
                return Ok(chunk[..end].to_vec());
            }
            bytes.extend_from_slice(&chunk[..end]);
            return Ok(bytes);
        }
        bytes.extend_from_slice(&chunk[..part]);
    }
    Err(too_long)
}

/// Reads a path: ENAMETOOLONG at PATH_MAX, as in path_resolution(7).
pub fn read_path(address: usize) -> Result<Vec<u8>, Errno> {
    read_cstr(address, 4096, Errno::ENAMETOOLONG)
}

/// Atomically loads a futex word. EINVAL unless aligned.
pub fn load_u32(address: usize) -> Result<u32, Errno> {
    check(address, 4)?;
    let mut value = 0;
    mending(|| {
        value = user::load_u32(address)?;
        Ok(())
    })?;
    Ok(value)
}

/// Atomically replaces a word if it holds `old`; returns what it held.
pub fn compare_exchange_u32(address: usize, old: u32, new: u32) -> Result<u32, Errno> {
    check(address, 4)?;
    let mut found = 0;
    mending(|| {
        found = user::compare_exchange_u32(address, old, new)?;
        Ok(())
    })?;
    Ok(found)
}

/// Brings in one page for reading or writing, as a touch by the application would.
pub fn touch(address: usize, access: Access) -> Result<(), Errno> {
    check(address, 1)?;
    mending(|| match access {
        Access::Write => user::touch_write(address),
        Access::Read | Access::Execute => user::load_u8(address).map(|_| ()),
    })
}
