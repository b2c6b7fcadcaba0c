//! The application's address space as the processor sees it: ranges that are mapped.
//!
//! Process tender: each range is a mapping of the host, and all calls act on the host process that makes them. Kvm
//! tender: page tables of the kernel's own, and all calls act on the space that the vCPU has loaded. The memory map above
//! decides what lies where; nothing here checks for overlaps. Ranges are page-aligned and inside the guest's.

use super::start::boot;
use super::{cpu, gate, kvm};
use crate::page::OutOfMemory;
use alloc::sync::Arc;
use husk_abi::gate::flags;
use husk_abi::layout::{ARENA, GUEST_END, GUEST_START, PAGE_SIZE};
use linux_raw_sys::general as raw;

/// An error number of the host.
pub type HostError = i32;

/// PROT_READ, PROT_WRITE and PROT_EXEC bits.
pub type Protection = u32;

/// The address space of one guest process. In the process tender the host process is that, and this is empty.
pub struct Handle {
    tables: Option<Arc<kvm::space::Tables>>,
}

impl Handle {
    /// An empty space.
    pub fn new() -> Result<Self, OutOfMemory> {
        let tables = if kvm::is_tender() { Some(kvm::space::new()?) } else { None };
        Ok(Self { tables })
    }

    /// A space with the same contents, for a forked child of the current task.
    pub fn fork(&self) -> Result<Self, OutOfMemory> {
        let Some(tables) = &self.tables else { return Self::new() };
        // SAFETY: the running task's frame.
        let stack = unsafe { (*cpu::frame()).regs.rsp };
        Ok(Self { tables: Some(kvm::space::fork(tables, stack as usize)?) })
    }

    /// Pages that are there; `None` in the process tender, where the host alone knows.
    pub fn resident(&self) -> Option<usize> {
        self.tables.as_ref().map(|tables| tables.resident())
    }

    /// Makes it the space of this vCPU.
    pub fn activate(&self) {
        if let Some(tables) = &self.tables {
            kvm::space::activate(tables);
        }
    }
}

fn check(start: usize, len: usize) {
    assert!(
        start >= GUEST_START && start <= GUEST_END && len <= GUEST_END - start,
        "outside of the guest's range"
    );
    assert!(start.is_multiple_of(4096) && len.is_multiple_of(4096) && len > 0, "not whole pages");
}

/// Zero pages of the application's own, made when touched.
pub fn map_anonymous(start: usize, len: usize, protection: Protection) -> Result<(), HostError> {
    check(start, len);
    if kvm::is_tender() {
        kvm::space::map(start..start + len, protection, kvm::space::Backing::Anonymous);
        return Ok(());
    }
    gate::map(start, len, protection, flags::MAP_ANONYMOUS, -1, 0)
}

/// Pages of the root image, copied when written.
pub fn map_image(start: usize, len: usize, protection: Protection, offset: usize) -> Result<(), HostError> {
    check(start, len);
    if kvm::is_tender() {
        kvm::space::map(start..start + len, protection, kvm::space::Backing::Image { offset });
        return Ok(());
    }
    let (fd, offset) = root_file(offset);
    gate::map(start, len, protection, flags::MAP_PRIVATE_FILE, fd, offset)
}

/// The host's descriptor of the root image's file in which `offset` lies, and where in it.
fn root_file(offset: usize) -> (i32, usize) {
    let starts = super::start::text(boot().root_files).as_chunks().0.iter();
    let found = starts.map(|start| u64::from_le_bytes(*start) as usize).enumerate();
    let (number, start) = found.take_while(|(_, start)| *start <= offset).last().unwrap_or((0, 0));
    // Only a root of one file may begin inside it.
    (boot().root_fd + number as i32, boot().root_offset as usize + offset - start)
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
    if kvm::is_tender() {
        kvm::space::map(start..start + len, protection, kvm::space::Backing::Pages { address, shared });
        return Ok(());
    }
    let flags = if shared { flags::MAP_SHARED_FILE } else { flags::MAP_PRIVATE_FILE };
    gate::map(start, len, protection, flags, boot().arena_fd, address - ARENA)
}

/// Pages of the snapshot that this guest was restored from, copied when written (process tender).
pub fn map_snapshot(
    start: usize,
    len: usize,
    protection: Protection,
    offset: usize,
) -> Result<(), HostError> {
    check(start, len);
    gate::map(start, len, protection, flags::MAP_PRIVATE_FILE, boot().snapshot_fd, offset)
}

/// Which pages from `start` on are in memory: bit 0 of a byte for each. In the process tender a page of a file counts
/// when the host has it, whoever touched it.
pub fn presence(start: usize, out: &mut [u8]) -> Result<(), HostError> {
    check(start, out.len() * PAGE_SIZE);
    if kvm::is_tender() {
        kvm::space::presence(start, out);
        return Ok(());
    }
    gate::presence(start, out)
}

pub fn unmap(start: usize, len: usize) -> Result<(), HostError> {
    check(start, len);
    if kvm::is_tender() {
        kvm::space::unmap(start..start + len);
        return Ok(());
    }
    gate::unmap(start, len)
}

/// Empties the whole guest range.
pub fn unmap_all() -> Result<(), HostError> {
    if kvm::is_tender() {
        kvm::space::unmap_all();
        return Ok(());
    }
    gate::unmap(GUEST_START, GUEST_END - GUEST_START)
}

pub fn protect(start: usize, len: usize, protection: Protection) -> Result<(), HostError> {
    check(start, len);
    if kvm::is_tender() {
        kvm::space::protect(start..start + len, protection);
        return Ok(());
    }
    gate::protect(start, len, protection)
}

/// Private pages are forgotten: anonymous ones read as zero again, file pages as the file.
pub fn discard(start: usize, len: usize) -> Result<(), HostError> {
    check(start, len);
    if kvm::is_tender() {
        kvm::space::discard(start..start + len);
        return Ok(());
    }
    gate::advise(start, len, raw::MADV_DONTNEED)
}

/// Moves the mapping and its contents; what was mapped at `to` is replaced.
pub fn relocate(from: usize, len: usize, to: usize) -> Result<(), HostError> {
    check(from, len);
    check(to, len);
    if kvm::is_tender() {
        return kvm::space::relocate(from, len, to)
            .map_err(|OutOfMemory| linux_raw_sys::errno::ENOMEM as i32);
    }
    gate::relocate(from, len, to)
}
