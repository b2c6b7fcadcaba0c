//! Address spaces of guest processes as page tables (kvm tender).
//!
//! A space is a list of regions, which say what should be there, and page tables, which say what is there so far: all comes
//! with faults. Of the root image and of pages of the arena one fault enters all that one table holds, since writing an
//! entry costs nothing and a fault costs tens of microseconds; anonymous memory comes in growing runs. Private memory is
//! shared after `fork` and copied by the first writer.
//!
//! A processor may hold old entries until it is told: what takes access away is gathered in a `Flush`, and frames are
//! freed after it has run. What only adds access needs none. All of this is pure memory work: `image::kvm` runs flushes
//! and loads tables. Runs under the big kernel lock.

#[cfg(test)]
mod tests;

use crate::frames;
use crate::page::OutOfMemory;
use crate::user::Access;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::{GUEST_END, PAGE_SIZE};
use husk_abi::paging::ADDRESS;

/// Page-table bits: the processor's, and two of ours.
mod bit {
    pub(super) use husk_abi::paging::bit::{ACCESSED, DIRTY, NO_EXECUTE, PRESENT, TABLE, USER, WRITE};
    /// Ours: the frame is private memory, counted by `shares`. It stays set where access is forbidden for a while.
    pub(super) const OWNED: u64 = 1 << 9;
    /// Ours: an entry, though perhaps not PRESENT.
    pub(super) const USED: u64 = 1 << 10;
}

const ENTRIES: usize = 512;
/// Guest's part of the top table; the rest is the kernel's and the same in all spaces.
const GUEST_ENTRIES: usize = 256;

pub(crate) const PROT_READ: u32 = 1;
pub(crate) const PROT_WRITE: u32 = 2;
pub(crate) const PROT_EXEC: u32 = 4;

/// Pages that a first fault in a place brings in; each following one doubles it up to the second figure.
const RUN_FIRST: usize = 8;
const RUN_MOST: usize = 128;

/// What lies behind a region, at its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Private zero pages.
    Anonymous,
    /// Bytes of the root image, private.
    Image { offset: usize },
    /// Pages of the arena; with `shared` a write changes them, else it makes a copy.
    Pages { address: usize, shared: bool },
}

impl Backing {
    fn advance(self, by: usize) -> Self {
        match self {
            Self::Anonymous => self,
            Self::Image { offset } => Self::Image { offset: offset + by },
            Self::Pages { address, shared } => Self::Pages { address: address + by, shared },
        }
    }

    fn private(self) -> bool {
        !matches!(self, Self::Pages { shared: true, .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    end: usize,
    protection: u32,
    backing: Backing,
}

#[cfg(husk_image)]
mod physical {
    use husk_abi::layout;
    /// Guest-physical address of an arena address.
    pub(super) fn of_frame(address: usize) -> u64 {
        (address - layout::ARENA) as u64
    }
    pub(super) fn to_frame(physical: u64) -> usize {
        layout::ARENA + physical as usize
    }
    pub(super) fn of_image(offset: usize) -> u64 {
        crate::image::start::boot().arena_len + offset as u64
    }
    /// Where the kernel reads a page of the root image.
    pub(super) fn image(offset: usize) -> usize {
        layout::ROOT + offset
    }
}

#[cfg(not(husk_image))]
mod physical {
    //! Hosted, a frame's physical address is its address, and the root image is a few pages of the test's own.
    use super::PAGE_SIZE;

    #[repr(align(4096))]
    struct Image([u8; 64 * PAGE_SIZE]);
    static IMAGE: Image = {
        let mut bytes = [0; 64 * PAGE_SIZE];
        let mut page = 0;
        while page < 64 {
            bytes[page * PAGE_SIZE] = page as u8 + 1;
            page += 1;
        }
        Image(bytes)
    };

    pub(super) fn of_frame(address: usize) -> u64 {
        address as u64
    }
    pub(super) fn to_frame(physical: u64) -> usize {
        physical as usize
    }
    pub(super) fn of_image(offset: usize) -> u64 {
        image(offset) as u64
    }
    pub(super) fn image(offset: usize) -> usize {
        IMAGE.0.as_ptr() as usize + offset
    }
}

/// How many spaces share a private frame, beyond the first.
mod shares {
    use crate::cell::KCell;
    use crate::global::Global;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use husk_abi::layout::PAGE_SIZE;

    /// Frames whose counters lie in one piece of the table.
    const PIECE: usize = PAGE_SIZE;

    /// Counters by frame number, in pieces that exist where something was shared.
    static SHARES: Global<KCell<BTreeMap<usize, Vec<u16>>>> = Global::new(|| KCell::new(BTreeMap::new()));

    fn place(frame: usize) -> (usize, usize) {
        let number = frame / PAGE_SIZE;
        (number / PIECE, number % PIECE)
    }

    /// Adds one; false when the counter is at its end, and the frame must be copied instead.
    pub(super) fn add(frame: usize) -> bool {
        let (piece, at) = place(frame);
        let mut shares = SHARES.borrow_mut();
        let counter = &mut shares.entry(piece).or_insert_with(|| alloc::vec![0; PIECE])[at];
        match counter.checked_add(1) {
            Some(more) => {
                *counter = more;
                true
            }
            None => false,
        }
    }

    /// Takes one off; false when the frame has no other user.
    pub(super) fn remove(frame: usize) -> bool {
        let (piece, at) = place(frame);
        match SHARES.borrow_mut().get_mut(&piece).map(|piece| &mut piece[at]) {
            None | Some(0) => false,
            Some(counter) => {
                *counter -= 1;
                true
            }
        }
    }

    pub(super) fn shared(frame: usize) -> bool {
        let (piece, at) = place(frame);
        SHARES.borrow().get(&piece).is_some_and(|piece| piece[at] != 0)
    }
}

/// Old entries that processors may still hold, and the frames that may be freed once they do not.
#[derive(Default)]
#[must_use = "frames are freed and old entries forgotten only by a flush"]
pub(crate) struct Flush {
    pages: Vec<usize>,
    all: bool,
    /// Other vCPUs that have the space loaded must forget everything, but not this one.
    others: bool,
    freed: Vec<usize>,
}

impl Flush {
    /// Beyond this many pages a reload of all is quicker.
    const PAGES_MOST: usize = 16;

    fn page(&mut self, address: usize) {
        if self.all || self.pages.len() == Self::PAGES_MOST {
            self.all = true;
        } else {
            self.pages.push(address);
        }
    }

    /// Old entries to be forgotten: `None` for all of them.
    pub(crate) fn pages(&self) -> Option<&[usize]> {
        if self.all { None } else { Some(&self.pages) }
    }

    /// Whether this vCPU must forget something.
    pub(crate) fn is_needed(&self) -> bool {
        self.all || !self.pages.is_empty()
    }

    /// Whether others must.
    #[cfg(husk_image)]
    pub(crate) fn concerns_others(&self) -> bool {
        self.others || self.is_needed()
    }

    /// To be called when no processor holds an old entry any more.
    pub(crate) fn free_frames(self) {
        for frame in self.freed {
            frames::free(frame, 1);
        }
    }
}

fn read(entry: usize) -> u64 {
    // SAFETY: `entry` is the address of a table entry, as `AddressSpace` computes them; tables are never Rust references.
    unsafe { (entry as *const u64).read_volatile() }
}

fn write(entry: usize, value: u64) {
    // SAFETY: as in `read`.
    unsafe { (entry as *mut u64).write_volatile(value) }
}

fn copy_page(to: usize, from: usize) {
    // SAFETY: `to` is a frame just allocated; `from` is a page of the arena or of the root image. Applications may change
    // it meanwhile: a torn copy is what they asked for.
    unsafe { core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, PAGE_SIZE) }
}

fn allocate_zeroed() -> Result<usize, OutOfMemory> {
    frames::allocate_zeroed(1).ok_or(OutOfMemory)
}

fn allocate_copy(from: usize) -> Result<usize, OutOfMemory> {
    let frame = frames::allocate(1).ok_or(OutOfMemory)?;
    copy_page(frame, from);
    Ok(frame)
}

/// Entry bits of a protection; `writable` says whether a write may go to this frame.
fn bits(protection: u32, writable: bool) -> u64 {
    let mut bits = bit::USED;
    if protection & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0 {
        bits |= bit::PRESENT | bit::USER | bit::ACCESSED | bit::DIRTY;
    }
    if protection & PROT_WRITE != 0 && writable {
        bits |= bit::WRITE;
    }
    if protection & PROT_EXEC == 0 {
        bits |= bit::NO_EXECUTE;
    }
    bits
}

fn index(address: usize, level: usize) -> usize {
    (address >> (12 + 9 * level)) & (ENTRIES - 1)
}

/// One address space.
pub(crate) struct AddressSpace {
    /// Top table.
    root: usize,
    regions: BTreeMap<usize, Region>,
    /// Entries in use.
    resident: usize,
    /// Where a run of faults goes on, and how many pages it brings in next.
    run: (usize, usize),
}

impl AddressSpace {
    /// An empty space. `kernel_entries` gives the upper half of the top table.
    pub(crate) fn new(kernel_entry: impl Fn(usize) -> u64) -> Result<Self, OutOfMemory> {
        let root = allocate_zeroed()?;
        for slot in GUEST_ENTRIES - 4..ENTRIES {
            let entry = kernel_entry(slot);
            if entry != 0 {
                write(root + slot * 8, entry);
            }
        }
        Ok(Self { root, regions: BTreeMap::new(), resident: 0, run: (0, RUN_FIRST) })
    }

    /// The top table's address in the arena.
    #[cfg(husk_image)]
    pub(crate) fn root(&self) -> usize {
        self.root
    }

    /// Pages that are there.
    pub(crate) fn resident(&self) -> usize {
        self.resident
    }

    /// Address of the entry for `address`, or `None` where there is no table yet.
    fn find(&self, address: usize) -> Option<usize> {
        let mut table = self.root;
        for level in [3, 2, 1] {
            let value = read(table + index(address, level) * 8);
            if value & bit::PRESENT == 0 {
                return None;
            }
            table = physical::to_frame(value & ADDRESS);
        }
        Some(table + index(address, 0) * 8)
    }

    /// As `find`, making tables.
    fn make(&mut self, address: usize) -> Result<usize, OutOfMemory> {
        let mut table = self.root;
        for level in [3, 2, 1] {
            let entry = table + index(address, level) * 8;
            let mut value = read(entry);
            if value & bit::PRESENT == 0 {
                value = physical::of_frame(allocate_zeroed()?) | bit::TABLE;
                write(entry, value);
            }
            table = physical::to_frame(value & ADDRESS);
        }
        Ok(table + index(address, 0) * 8)
    }

    /// Calls `act` with each entry in use in `range`: its address and where it is.
    fn each(&self, range: Range<usize>, mut act: impl FnMut(usize, usize)) {
        let mut at = range.start;
        while at < range.end {
            let mut table = self.root;
            let mut missing = None;
            for level in [3, 2, 1] {
                let value = read(table + index(at, level) * 8);
                if value & bit::PRESENT == 0 {
                    missing = Some(1 << (12 + 9 * level));
                    break;
                }
                table = physical::to_frame(value & ADDRESS);
            }
            if let Some(span) = missing {
                at = (at + 1).next_multiple_of(span);
                continue;
            }
            loop {
                let entry = table + index(at, 0) * 8;
                if read(entry) & bit::USED != 0 {
                    act(at, entry);
                }
                at += PAGE_SIZE;
                if at >= range.end || index(at, 0) == 0 {
                    break;
                }
            }
        }
    }

    /// Sets bit 0 of the byte of each page from `start` on that is there, and clears the others.
    #[cfg(any(husk_image, test))]
    pub(crate) fn presence(&self, start: usize, out: &mut [u8]) {
        out.fill(0);
        let range = start..start + out.len() * PAGE_SIZE;
        self.each(range, |address, _| out[(address - start) / PAGE_SIZE] = 1);
    }

    /// Cuts regions so that none crosses `at`.
    fn split(&mut self, at: usize) {
        if let Some((&start, region)) = self.regions.range_mut(..at).next_back()
            && region.end > at
        {
            let upper = Region { backing: region.backing.advance(at - start), ..*region };
            region.end = at;
            self.regions.insert(at, upper);
        }
    }

    fn cut(&mut self, range: &Range<usize>) {
        self.split(range.start);
        self.split(range.end);
    }

    fn region(&self, address: usize) -> Option<(usize, Region)> {
        let (start, region) = self.regions.range(..=address).next_back()?;
        (address < region.end).then_some((*start, *region))
    }

    /// Adds a region in a free range, joined with its neighbour below where both could be one.
    fn insert(&mut self, start: usize, region: Region) {
        if let Some((&below, lower)) = self.regions.range_mut(..start).next_back()
            && lower.end == start
            && lower.protection == region.protection
            && lower.backing.advance(start - below) == region.backing
        {
            lower.end = region.end;
        } else {
            self.regions.insert(start, region);
        }
    }

    /// Maps `range`, replacing what was there.
    pub(crate) fn map(&mut self, range: Range<usize>, protection: u32, backing: Backing, flush: &mut Flush) {
        self.unmap(range.clone(), flush);
        self.insert(range.start, Region { end: range.end, protection, backing });
    }

    /// Entry of a page that the space does not own.
    fn borrowed(protection: u32, backing: Backing) -> u64 {
        match backing {
            Backing::Anonymous => 0,
            Backing::Image { offset } => physical::of_image(offset) | bits(protection, false),
            Backing::Pages { address, shared } => physical::of_frame(address) | bits(protection, shared),
        }
    }

    fn owned(frame: usize, protection: u32) -> u64 {
        physical::of_frame(frame) | bit::OWNED | bits(protection, !shares::shared(frame))
    }

    /// Removes what lies in `range`.
    pub(crate) fn unmap(&mut self, range: Range<usize>, flush: &mut Flush) {
        self.cut(&range);
        while let Some((&start, _)) = self.regions.range(range.clone()).next() {
            self.regions.remove(&start);
        }
        self.discard(range, flush);
    }

    /// Forgets the pages in `range`; the regions stay, and private pages come back as they first were.
    pub(crate) fn discard(&mut self, range: Range<usize>, flush: &mut Flush) {
        let mut gone = 0;
        self.each(range, |address, entry| {
            let value = read(entry);
            write(entry, 0);
            gone += 1;
            if value & bit::PRESENT != 0 {
                flush.page(address);
            }
            let frame = physical::to_frame(value & ADDRESS);
            if value & bit::OWNED != 0 && !shares::remove(frame) {
                flush.freed.push(frame);
            }
        });
        self.resident -= gone;
    }

    /// Changes the protection of `range`.
    pub(crate) fn protect(&mut self, range: Range<usize>, protection: u32, flush: &mut Flush) {
        self.cut(&range);
        let mut parts = Vec::new();
        for (start, region) in self.regions.range_mut(range) {
            region.protection = protection;
            parts.push((*start, *region));
        }
        for (start, region) in parts {
            let shared = !region.backing.private();
            self.each(start..region.end, |address, entry| {
                let old = read(entry);
                let frame = physical::to_frame(old & ADDRESS);
                let writable = if old & bit::OWNED != 0 { !shares::shared(frame) } else { shared };
                let new = old & (ADDRESS | bit::OWNED) | bits(protection, writable);
                write(entry, new);
                let lost = old & !new & (bit::PRESENT | bit::WRITE) != 0 || new & !old & bit::NO_EXECUTE != 0;
                if old & bit::PRESENT != 0 && lost {
                    flush.page(address);
                }
            });
        }
    }

    /// Moves regions and pages of `len` bytes at `from` to `to`, replacing what was there.
    pub(crate) fn relocate(
        &mut self,
        from: usize,
        len: usize,
        to: usize,
        flush: &mut Flush,
    ) -> Result<(), OutOfMemory> {
        self.unmap(to..to + len, flush);
        self.cut(&(from..from + len));
        let mut entries = Vec::new();
        self.each(from..from + len, |address, entry| entries.push((address, entry)));
        for (address, entry) in entries {
            let target = self.make(address - from + to)?;
            write(target, read(entry));
            write(entry, 0);
            flush.page(address);
        }
        while let Some((&start, &region)) = self.regions.range(from..from + len).next() {
            self.regions.remove(&start);
            self.insert(start - from + to, Region { end: region.end - from + to, ..region });
        }
        Ok(())
    }

    /// Tries to make `address` accessible. False: the access is not allowed there.
    pub(crate) fn fault(
        &mut self,
        address: usize,
        access: Access,
        flush: &mut Flush,
    ) -> Result<bool, OutOfMemory> {
        if address >= GUEST_END {
            return Ok(false);
        }
        let page = address & !(PAGE_SIZE - 1);
        let Some((start, region)) = self.region(page) else { return Ok(false) };
        let allowed = match access {
            Access::Read => region.protection & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0,
            Access::Write => region.protection & PROT_WRITE != 0,
            Access::Execute => region.protection & PROT_EXEC != 0,
        };
        if !allowed {
            return Ok(false);
        }
        let entry = self.make(page)?;
        let value = read(entry);
        if value & bit::USED == 0 {
            match region.backing {
                Backing::Anonymous => return self.bring_in(page, start, region).map(|()| true),
                _ => self.enter_around(page, start, region)?,
            }
        }
        let value = read(entry);
        if access != Access::Write || value & bit::WRITE != 0 {
            return Ok(true);
        }
        // A private page that others may see: this space's own copy from here on.
        let source = match region.backing.advance(page - start) {
            _ if value & bit::OWNED != 0 => physical::to_frame(value & ADDRESS),
            Backing::Image { offset } => physical::image(offset),
            Backing::Pages { address, .. } => address,
            Backing::Anonymous => return Ok(false),
        };
        let exclusive = value & bit::OWNED != 0 && !shares::shared(source);
        let frame = if exclusive { source } else { allocate_copy(source)? };
        if !exclusive {
            // This vCPU has lost its old entry by the fault itself.
            flush.others = true;
            if value & bit::OWNED != 0 {
                shares::remove(source);
            }
        }
        write(entry, Self::owned(frame, region.protection));
        Ok(true)
    }

    /// Enters all pages of a region that the table of `page` can hold.
    fn enter_around(&mut self, page: usize, start: usize, region: Region) -> Result<(), OutOfMemory> {
        let span = ENTRIES * PAGE_SIZE;
        let first = (page & !(span - 1)).max(start);
        let end = ((page & !(span - 1)) + span).min(region.end);
        let table = self.make(page)? & !(PAGE_SIZE - 1);
        for address in (first..end).step_by(PAGE_SIZE) {
            let entry = table + index(address, 0) * 8;
            if read(entry) & bit::USED == 0 {
                write(entry, Self::borrowed(region.protection, region.backing.advance(address - start)));
                self.resident += 1;
            }
        }
        Ok(())
    }

    /// Brings in zero pages from `page` on: one, or a run where faults follow each other.
    fn bring_in(&mut self, page: usize, start: usize, region: Region) -> Result<(), OutOfMemory> {
        let (next, len) = self.run;
        // A stack grows down, so the first run lies around the page and not behind it.
        let run = if page == next { len } else { RUN_FIRST };
        let first = if page == next { page } else { (page & !(RUN_FIRST * PAGE_SIZE - 1)).max(start) };
        let end = (first + run * PAGE_SIZE).min(region.end);
        self.run = (end, (run * 2).min(RUN_MOST));
        for address in (first..end).step_by(PAGE_SIZE) {
            let entry = self.make(address)?;
            if read(entry) & bit::USED != 0 {
                continue;
            }
            match allocate_zeroed() {
                Ok(frame) => write(entry, Self::owned(frame, region.protection)),
                Err(error) if address == page => return Err(error),
                // Neighbours are a courtesy.
                Err(_) => continue,
            }
            self.resident += 1;
        }
        Ok(())
    }

    /// A copy in which private pages are shared until either side writes. Pages around `hot`, which both sides will write
    /// at once (the stack), are copied right away.
    pub(crate) fn fork(
        &mut self,
        hot: usize,
        kernel_entry: impl Fn(usize) -> u64,
        flush: &mut Flush,
    ) -> Result<Self, OutOfMemory> {
        let mut child = Self::new(kernel_entry)?;
        child.regions = self.regions.clone();
        let hot = hot & !(PAGE_SIZE - 1);
        let hot = hot.saturating_sub(PAGE_SIZE)..hot + 2 * PAGE_SIZE;
        let mut result = Ok(());
        for (&start, region) in &self.regions {
            let mut table = (usize::MAX, 0);
            self.each(start..region.end, |address, entry| {
                if result.is_err() {
                    return;
                }
                // One walk for all entries of a table.
                let block = address >> 21;
                if table.0 != block {
                    match child.make(address) {
                        Ok(entry) => table = (block, entry & !(PAGE_SIZE - 1)),
                        Err(error) => {
                            result = Err(error);
                            return;
                        }
                    }
                }
                let target = table.1 + index(address, 0) * 8;
                let value = read(entry);
                if value & bit::OWNED == 0 {
                    write(target, value);
                    child.resident += 1;
                    return;
                }
                let frame = physical::to_frame(value & ADDRESS);
                let hot = hot.contains(&address) && value & bit::PRESENT != 0;
                if hot || !shares::add(frame) {
                    match allocate_copy(frame) {
                        Ok(copy) => write(target, value & !ADDRESS | physical::of_frame(copy)),
                        Err(error) => {
                            result = Err(error);
                            return;
                        }
                    }
                } else {
                    write(target, value & !bit::WRITE);
                    if value & bit::WRITE != 0 {
                        write(entry, value & !bit::WRITE);
                        flush.all = true;
                    }
                }
                child.resident += 1;
            });
        }
        match result {
            Ok(()) => Ok(child),
            Err(error) => {
                child.clear(flush);
                child.release_root();
                Err(error)
            }
        }
    }

    /// Removes everything, tables included; the top table stays.
    pub(crate) fn clear(&mut self, flush: &mut Flush) {
        self.unmap(0..GUEST_END, flush);
        for slot in 0..GUEST_END >> 39 {
            free_table(self.root + slot * 8, 3, flush);
        }
        flush.all = true;
    }

    /// Frees the top table of a cleared space that no processor uses. Nothing may be done with the space afterwards.
    pub(crate) fn release_root(&mut self) {
        frames::free(core::mem::take(&mut self.root), 1);
    }
}

/// Frees the tables below `entry`, an entry of a table of `level`.
fn free_table(entry: usize, level: usize, flush: &mut Flush) {
    let value = read(entry);
    if level == 0 || value & bit::PRESENT == 0 {
        return;
    }
    let table = physical::to_frame(value & ADDRESS);
    if level > 1 {
        for slot in 0..ENTRIES {
            free_table(table + slot * 8, level - 1, flush);
        }
    }
    write(entry, 0);
    flush.freed.push(table);
}
