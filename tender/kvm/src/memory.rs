//! Guest-physical memory and the page tables with which a guest starts.
//!
//! Guest-physical memory is one stretch of the tender's: the arena, behind it the root image, straight from its file and
//! read-only (a guest that maps it writable gets an error of KVM_RUN), then the ring of its volumes. The tables built here map
//! `layout`'s ranges; they lie in the arena, where the guest goes on with them, so nothing in them is ever trusted.

use crate::Error;
use crate::host;
use core::sync::atomic::{AtomicU32, Ordering};
use husk_abi::boot::{Boot, KERNEL_MAGIC, KernelHeader};
use husk_abi::layout::{self, PAGE_SIZE};
use husk_abi::paging::{ADDRESS, bit};
use husk_abi::vcpu::ROOT_TABLE;
use husk_tender::config::{Damaged, Ring, RootFile, Snapshot};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// Guest memory comes in units of this.
pub(crate) const LARGE_PAGE: usize = husk_abi::vcpu::LARGE_PAGE as usize;
/// Address space behind the arena that nothing uses, so that no length a filter lets pass reaches beyond.
const GUARD: usize = 4 << 30;
/// What a page of the guest has at least.
const READ: u64 = bit::PRESENT | bit::USER | bit::ACCESSED | bit::DIRTY;

/// A kernel image: its read-only part, page-aligned in the tender's own memory, and what its writable part begins with.
pub(crate) struct Image<'a> {
    text: &'a [u8],
    data: &'a [u8],
    pub(crate) header: KernelHeader,
    /// Bytes of the writable part.
    writable_len: usize,
}

impl<'a> Image<'a> {
    /// Checks that `text` and `data` are a kernel image of this version.
    pub(crate) fn new(text: &'a [u8], data: &'a [u8]) -> Result<Self, Error> {
        if text.len() < size_of::<KernelHeader>() || !(text.as_ptr() as usize).is_multiple_of(PAGE_SIZE) {
            return Err(Error::KernelImage);
        }
        // SAFETY: long enough; the header is a C struct of integers.
        let header = unsafe { text.as_ptr().cast::<KernelHeader>().read_unaligned() };
        let end = layout::KERNEL + layout::KERNEL_MAX;
        let (start, filled, zeroed) =
            (header.data_start as usize, header.data_end as usize, header.bss_end as usize);
        let right = header.magic == KERNEL_MAGIC
            && header.version == husk_abi::boot::ABI_VERSION
            && start == layout::KERNEL + text.len().next_multiple_of(PAGE_SIZE)
            && (start..=zeroed).contains(&filled)
            && zeroed <= end
            && zeroed.is_multiple_of(PAGE_SIZE)
            && data.len() >= filled - start;
        if !right {
            return Err(Error::KernelImage);
        }
        Ok(Self { text, data: &data[..filled - start], header, writable_len: zeroed - start })
    }
}

/// Memory that the kernel may name in hypercalls, and where it lies in the tender.
#[derive(Clone, Copy, Default)]
struct Window {
    guest: usize,
    len: usize,
    host: usize,
    writable: bool,
}

/// All memory of one guest.
pub(crate) struct Memory {
    arena: usize,
    arena_len: usize,
    /// Bytes of guest-physical memory.
    room: usize,
    /// Bytes of the arena taken by the tender.
    used: usize,
    windows: [Window; 4],
    /// Guest-physical address of the top page table.
    pub(crate) root_table: u64,
    private: usize,
    boot: usize,
    /// Pages may be those of a snapshot.
    restored: bool,
}

fn map_host(
    at: usize,
    len: usize,
    protection: u32,
    flags: u32,
    (fd, offset): (i32, usize),
) -> Result<usize, Error> {
    let args = [at, len, protection as usize, flags as usize, fd as usize, offset];
    // SAFETY: a new mapping where the host finds room, or inside of one that was made for it.
    unsafe { host::call(Sysno::mmap, args) }.map_err(|errno| Error::Host("mmap", errno))
}

impl Memory {
    /// Lays out a guest's memory.
    pub(crate) fn new(
        image: &Image<'_>,
        arena_len: usize,
        root: impl Iterator<Item = RootFile>,
        root_len: usize,
        ring: Option<Ring>,
        cpus: usize,
    ) -> Result<Self, Error> {
        let fits =
            arena_len.is_multiple_of(LARGE_PAGE) && (4 * LARGE_PAGE..=layout::ARENA_MAX).contains(&arena_len);
        if !fits {
            return Err(Error::Config("guest memory is not between 8 MiB and 256 GiB"));
        }
        if root_len > layout::ROOT_MAX {
            return Err(Error::Config("the root image is too large"));
        }
        let ring_len = ring.map_or(0, |ring| ring.len);
        if ring_len > layout::RING_MAX || !ring_len.is_multiple_of(LARGE_PAGE) {
            return Err(Error::Config("the ring of the volumes is too large"));
        }
        // Arena, root image and ring lie in one stretch, because each further memory slot of KVM waits for a grace period: 0.1 ms,
        // and milliseconds on a busy host.
        let ring_at = arena_len + root_len.next_multiple_of(LARGE_PAGE);
        let room = ring_at + ring_len;
        let nothing = raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE;
        let arena = map_host(0, room + GUARD + LARGE_PAGE, raw::PROT_NONE, nothing, (-1, 0))?
            .next_multiple_of(LARGE_PAGE);
        let writable = (raw::PROT_READ | raw::PROT_WRITE) as usize;
        // SAFETY: inside the mapping just made.
        unsafe { host::call(Sysno::mprotect, [arena, arena_len, writable, 0, 0, 0]) }
            .map_err(|errno| Error::Host("mprotect of guest memory", errno))?;
        for file in root {
            let (start, len) = (file.start as usize, file.len as usize);
            if start > root_len || len > root_len - start {
                return Err(Error::Config("the files of the root image are longer than it"));
            }
            let flags = raw::MAP_PRIVATE | raw::MAP_NORESERVE | raw::MAP_FIXED;
            map_host(arena + arena_len + start, len, raw::PROT_READ, flags, (file.fd, file.offset as usize))?;
        }
        if let Some(ring) = ring {
            let protection = raw::PROT_READ | raw::PROT_WRITE;
            map_host(arena + ring_at, ring_len, protection, raw::MAP_SHARED | raw::MAP_FIXED, (ring.fd, 0))?;
        }
        let advise = |len: usize, advice: u32| {
            // SAFETY: inside the arena. Advice is only advice: without it everything is slower and right.
            let _ = unsafe { host::call(Sysno::madvise, [arena, len, advice as usize, 0, 0, 0]) };
        };
        // The kernel's first two megabytes as one page of the host: 0.2 ms, in place of some hundred faults of 7 us and more.
        advise(arena_len, raw::MADV_HUGEPAGE);
        advise(LARGE_PAGE, raw::MADV_POPULATE_WRITE);
        // Page 0 stays unused, so that no table or buffer has the address 0.
        let mut memory = Self {
            arena,
            arena_len,
            room,
            used: PAGE_SIZE,
            windows: [Window::default(); 4],
            root_table: 0,
            private: 0,
            boot: 0,
            restored: false,
        };
        memory.root_table = memory.take(1)?;
        debug_assert!(memory.root_table == ROOT_TABLE);
        memory.map_kernel(image)?;
        memory.windows[2] = Window { guest: layout::ARENA, len: arena_len, host: arena, writable: true };

        let write = READ | bit::WRITE | bit::NO_EXECUTE;
        let vdso = memory.take(layout::VDSO_LEN / PAGE_SIZE)?;
        memory.map_run(layout::VDSO, vdso, layout::VDSO_LEN / PAGE_SIZE, READ | bit::WRITE)?;
        let private_pages = cpus * layout::PRIVATE_PER_CPU / PAGE_SIZE;
        let private = memory.take(private_pages)?;
        memory.private = arena + private as usize;
        memory.windows[3] = Window {
            guest: layout::PRIVATE,
            len: private_pages * PAGE_SIZE,
            host: memory.private,
            writable: true,
        };
        memory.map_run(layout::PRIVATE, private, private_pages, READ | bit::WRITE)?;

        for at in (0..arena_len).step_by(LARGE_PAGE) {
            memory.map(layout::ARENA + at, at as u64, write | bit::LARGE)?;
        }
        for at in (0..root_len).step_by(LARGE_PAGE) {
            let guest_physical = (arena_len + at) as u64;
            memory.map(layout::ROOT + at, guest_physical, READ | bit::NO_EXECUTE | bit::LARGE)?;
        }
        for at in (0..ring_len).step_by(LARGE_PAGE) {
            memory.map(layout::RING + at, (ring_at + at) as u64, write | bit::LARGE)?;
        }
        memory.boot = memory.used;
        Ok(memory)
    }

    fn map_kernel(&mut self, image: &Image<'_>) -> Result<(), Error> {
        // A copy, though the file's own pages could be mapped: KVM takes neighbours in only where the host may write, and
        // so a start takes a hundred faults less.
        let pages = image.text.len().div_ceil(PAGE_SIZE);
        let start = self.take(pages)?;
        self.bytes_mut(start, image.text.len())?.copy_from_slice(image.text);
        let host = self.arena + start as usize;
        self.windows[0] = Window { guest: layout::KERNEL, len: image.text.len(), host, writable: false };
        self.map_run(layout::KERNEL, start, pages, READ)?;

        let (guest, pages) = (image.header.data_start as usize, image.writable_len / PAGE_SIZE);
        let start = self.take(pages)?;
        self.bytes_mut(start, image.data.len())?.copy_from_slice(image.data);
        let host = self.arena + start as usize;
        self.windows[1] = Window { guest, len: image.writable_len, host, writable: true };
        self.map_run(guest, start, pages, READ | bit::WRITE | bit::NO_EXECUTE)
    }

    /// The next `pages` pages of the arena, zero: their guest-physical address.
    fn take(&mut self, pages: usize) -> Result<u64, Error> {
        let start = self.used;
        self.used += pages * PAGE_SIZE;
        if self.used > self.arena_len {
            return Err(Error::Config("memory too small for kernel and page tables"));
        }
        Ok(start as u64)
    }

    fn bytes_mut(&mut self, guest_physical: u64, len: usize) -> Result<&mut [u8], Error> {
        let start = guest_physical as usize;
        if start > self.arena_len || len > self.arena_len - start {
            return Err(Error::Config("memory too small"));
        }
        // SAFETY: inside the arena, which no vCPU uses yet; the slice borrows the only handle to it.
        Ok(unsafe { core::slice::from_raw_parts_mut((self.arena + start) as *mut u8, len) })
    }

    fn map_run(
        &mut self,
        address: usize,
        guest_physical: u64,
        pages: usize,
        flags: u64,
    ) -> Result<(), Error> {
        for page in 0..pages {
            let offset = page * PAGE_SIZE;
            self.map(address + offset, guest_physical + offset as u64, flags)?;
        }
        Ok(())
    }

    /// Maps one page, large if `flags` says so.
    fn map(&mut self, address: usize, guest_physical: u64, flags: u64) -> Result<(), Error> {
        let mut table = self.root_table;
        let last = if flags & bit::LARGE != 0 { 21 } else { 12 };
        for shift in [39, 30, 21] {
            if shift == last {
                break;
            }
            let entry = self.entry(table, address, shift);
            // SAFETY: an entry of a table in the arena, which no vCPU uses yet.
            let mut value = unsafe { *entry };
            if value == 0 {
                value = self.take(1)? | bit::TABLE;
                // SAFETY: as above.
                unsafe { *entry = value };
            }
            table = value & ADDRESS;
        }
        // SAFETY: as above.
        unsafe { *self.entry(table, address, last) = guest_physical | flags };
        Ok(())
    }

    fn entry(&self, table: u64, address: usize, shift: usize) -> *mut u64 {
        (self.arena + table as usize + ((address >> shift) & 511) * 8) as *mut u64
    }

    /// Guest-physical memory in the tender's: address and bytes.
    pub(crate) fn all(&self) -> (usize, usize) {
        (self.arena, self.room)
    }

    /// The arena in the tender's memory: address and bytes.
    pub(crate) fn arena(&self) -> (usize, usize) {
        (self.arena, self.arena_len)
    }

    /// Where the boot block goes: the rest of the arena, as far as a boot block may be long.
    pub(crate) fn boot(&mut self) -> &mut [u8] {
        let len = layout::BOOT_LEN.min(self.arena_len - self.boot);
        // SAFETY: inside the arena, where nothing is yet; no vCPU runs.
        unsafe { core::slice::from_raw_parts_mut((self.arena + self.boot) as *mut u8, len) }
    }

    /// Maps the boot block, whose text has been written, and says in it how much of the arena is used.
    /// Gives the latter.
    pub(crate) fn close_boot(&mut self) -> Result<u64, Error> {
        let end = self.boot_header().end();
        let pages = end.div_ceil(PAGE_SIZE);
        let start = self.take(pages)?;
        self.map_run(layout::BOOT, start, pages, READ | bit::NO_EXECUTE)?;
        self.boot_header().arena_used = self.used as u64;
        Ok(self.used as u64)
    }

    fn boot_header(&mut self) -> &mut Boot {
        // SAFETY: page-aligned, and written as a `Boot` before this is called; plain integers.
        unsafe { &mut *((self.arena + self.boot) as *mut Boot) }
    }

    /// Puts the memory of a parked guest over what is laid out, which is laid out alike. Long stretches are the file's own
    /// pages, brought in when they are touched.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        // Below this a copy costs less than a mapping and its faults.
        const LONG: usize = 32 * PAGE_SIZE;
        /// Linux allows 65,530 mappings of a process.
        const MAPPINGS_MAX: usize = 32_000;
        let mut mappings = 0;
        self.restored = true;
        let arena = self.arena;
        let read = snapshot.for_each_arena_extent(self.arena_len as u64, |extent, len| {
            let at = arena + extent.place as usize;
            if len >= LONG && mappings < MAPPINGS_MAX {
                mappings += 1;
                let flags = raw::MAP_PRIVATE | raw::MAP_NORESERVE | raw::MAP_FIXED;
                let protection = (raw::PROT_READ | raw::PROT_WRITE) as usize;
                let args =
                    [at, len, protection, flags as usize, snapshot.fd as usize, extent.offset as usize];
                // SAFETY: inside the arena, which no vCPU uses yet.
                return unsafe { host::call(Sysno::mmap, args) }.map(|_| ()).map_err(|_| Damaged);
            }
            // SAFETY: as above.
            snapshot.read_extent(extent, unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) })
        });
        read.map_err(|Damaged| Error::Config("the snapshot cannot be read"))
    }

    /// A vCPU's part of `layout::PRIVATE` in the tender's memory.
    pub(crate) fn private(&self, cpu: usize) -> usize {
        self.private + cpu * layout::PRIVATE_PER_CPU
    }

    /// Where guest address `address` lies in the tender, if all of `len` bytes from there on are memory that a hypercall
    /// may name. The contents can change at any time.
    pub(crate) fn translate(&self, address: u64, len: u64, write: bool) -> Option<*mut u8> {
        let (address, len) = (usize::try_from(address).ok()?, usize::try_from(len).ok()?);
        let window = self.windows.iter().find(|window| {
            address >= window.guest
                && address - window.guest <= window.len
                && len <= window.len - (address - window.guest)
                && (window.writable || !write)
        })?;
        Some((window.host + (address - window.guest)) as *mut u8)
    }

    /// A 32-bit word that guests and tender share.
    pub(crate) fn word(&self, address: u64) -> Option<&AtomicU32> {
        if !address.is_multiple_of(4) {
            return None;
        }
        // SAFETY: aligned memory that lives as long as the guest; all sides access it atomically or as bytes.
        self.translate(address, 4, true).map(|word| unsafe { &*word.cast::<AtomicU32>() })
    }

    /// Stores 1 to a guest's word, if there is one at `address`.
    pub(crate) fn raise(&self, address: u64) {
        if let Some(word) = self.word(address) {
            word.store(1, Ordering::SeqCst);
        }
    }

    /// Where a run of whole pages of the arena, beyond the tender's own, lies in the tender.
    pub(crate) fn pages(&self, guest_physical: u64, len: u64) -> Option<(usize, usize)> {
        let (start, len) = (usize::try_from(guest_physical).ok()?, usize::try_from(len).ok()?);
        let whole = start.is_multiple_of(PAGE_SIZE) && len.is_multiple_of(PAGE_SIZE) && len > 0;
        // A page of a snapshot would come back as it was saved.
        let inside =
            !self.restored && start >= self.used && start <= self.arena_len && len <= self.arena_len - start;
        (whole && inside).then(|| (self.arena + start, len))
    }
}
