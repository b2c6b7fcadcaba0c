//! The application's address space as the processor sees it: ranges that are mapped.
//!
//! Process tender: each range is a mapping of the host, and all calls act on the host process that makes them. The memory
//! map above decides what lies where; nothing here checks for overlaps. Ranges are page-aligned and inside the guest's.

use super::gate;
use super::start::boot;
use husk_abi::layout::{ARENA, GUEST_END, GUEST_START};
use linux_raw_sys::general as raw;

/// An error number of the host.
pub type HostError = i32;

/// PROT_READ, PROT_WRITE and PROT_EXEC bits.
pub type Protection = u32;

const PRIVATE: u32 = raw::MAP_PRIVATE;
const SHARED: u32 = raw::MAP_SHARED;

fn check(start: usize, len: usize) {
    assert!(start >= GUEST_START && start <= GUEST_END && len <= GUEST_END - start, "outside of the guest's range");
    assert!(start.is_multiple_of(4096) && len.is_multiple_of(4096) && len > 0, "not whole pages");
}

/// Zero pages of the application's own, made when touched.
pub fn map_anonymous(start: usize, len: usize, protection: Protection) -> Result<(), HostError> {
    check(start, len);
    gate::map(start, len, protection, PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE, -1, 0)
}

/// Pages of the root image, copied when written.
pub fn map_image(start: usize, len: usize, protection: Protection, offset: usize) -> Result<(), HostError> {
    check(start, len);
    gate::map(start, len, protection, PRIVATE | raw::MAP_NORESERVE, boot().root_fd, offset)
}

/// Pages of the arena from `address` on; with `shared` a write changes them, else it makes a copy.
pub fn map_pages(
    start: usize,
    len: usize,
    protection: Protection,
    address: usize,
    shared: bool,
) -> Result<(), HostError> {
    check(start, len);
    assert!(address >= ARENA && address - ARENA <= boot().arena_len as usize - len, "not in the arena");
    let flags = if shared { SHARED } else { PRIVATE | raw::MAP_NORESERVE };
    gate::map(start, len, protection, flags, boot().arena_fd, address - ARENA)
}

pub fn unmap(start: usize, len: usize) -> Result<(), HostError> {
    check(start, len);
    gate::unmap(start, len)
}

/// Empties the whole guest range.
pub fn unmap_all() -> Result<(), HostError> {
    gate::unmap(GUEST_START, GUEST_END - GUEST_START)
}

pub fn protect(start: usize, len: usize, protection: Protection) -> Result<(), HostError> {
    check(start, len);
    gate::protect(start, len, protection)
}

/// Private pages are forgotten: anonymous ones read as zero again, file pages as the file.
pub fn discard(start: usize, len: usize) -> Result<(), HostError> {
    check(start, len);
    gate::advise(start, len, raw::MADV_DONTNEED)
}

/// Moves the mapping and its contents; what was mapped at `to` is replaced.
pub fn relocate(from: usize, len: usize, to: usize) -> Result<(), HostError> {
    check(from, len);
    check(to, len);
    gate::relocate(from, len, to)
}
