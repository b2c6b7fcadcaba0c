//! Frames: who owns which pages of the arena.
//!
//! A buddy system whose lists live in a table beside the pages, so that free pages are never touched and stay unbacked.
//! Pages above `fresh` have never been used and are zero. Runs under the big kernel lock.

use super::start::boot;
use crate::cell::KCell;
use husk_abi::layout::{ARENA, PAGE_SIZE};

/// Blocks of 1 << order pages, up to 4 GiB.
const ORDERS: usize = 21;
const NONE: u32 = u32::MAX;

/// What the table says of a free block's first page. All zero: not the start of a free block.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Entry {
    next: u32,
    previous: u32,
    /// Order + 1 of a free block that starts here.
    free: u32,
}

struct Frames {
    /// Table of entries, one a page, at the start of the arena.
    table: *mut Entry,
    /// Pages in all.
    count: usize,
    /// Pages free, the fresh ones included.
    available: usize,
    /// First page that has never been used.
    fresh: usize,
    heads: [u32; ORDERS],
    /// Pages that only the kernel's own objects get, so that it can still act when applications have used up the rest.
    reserve: usize,
    /// A request was refused, or the reserve was touched, since somebody last asked.
    short: bool,
}

// SAFETY: reached only under the big kernel lock.
unsafe impl Send for Frames {}

static FRAMES: KCell<Frames> = KCell::new(Frames {
    table: core::ptr::null_mut(),
    count: 0,
    available: 0,
    fresh: 0,
    heads: [NONE; ORDERS],
    reserve: 0,
    short: false,
});

/// Most pages of the reserve, and its part of the memory.
const RESERVE_MOST: usize = 2048;
const RESERVE_PART: usize = 32;
/// A refused request for more than this does not mean that memory is short.
const SMALL: usize = 512;

/// Sets up the table. Once, before anything is allocated.
pub(super) fn init() {
    let count = boot().arena_len as usize / PAGE_SIZE;
    let used = (boot().arena_used as usize).div_ceil(PAGE_SIZE);
    let table_pages = (count * size_of::<Entry>()).div_ceil(PAGE_SIZE);
    let mut frames = FRAMES.borrow_mut();
    frames.table = (ARENA + used * PAGE_SIZE) as *mut Entry;
    frames.count = count;
    frames.fresh = used + table_pages;
    assert!(frames.fresh < count, "the arena is too small for its own table");
    frames.available = count - frames.fresh;
    frames.reserve = (count / RESERVE_PART).min(RESERVE_MOST);
}

impl Frames {
    fn entry(&mut self, page: usize) -> &mut Entry {
        assert!(page < self.count);
        // SAFETY: the table has an entry for each page and only this module, under the lock, refers to it.
        unsafe { &mut *self.table.add(page) }
    }

    fn push(&mut self, page: usize, order: usize) {
        let head = self.heads[order];
        *self.entry(page) = Entry { next: head, previous: NONE, free: order as u32 + 1 };
        if head != NONE {
            self.entry(head as usize).previous = page as u32;
        }
        self.heads[order] = page as u32;
    }

    fn unlink(&mut self, page: usize, order: usize) {
        let Entry { next, previous, .. } = core::mem::take(self.entry(page));
        if previous == NONE {
            self.heads[order] = next;
        } else {
            self.entry(previous as usize).next = next;
        }
        if next != NONE {
            self.entry(next as usize).previous = previous;
        }
    }

    /// Gives a block back, joined with its free buddies.
    fn free_block(&mut self, mut page: usize, mut order: usize) {
        while order + 1 < ORDERS {
            let buddy = page ^ (1 << order);
            if buddy + (1 << order) > self.fresh || self.entry(buddy).free != order as u32 + 1 {
                break;
            }
            self.unlink(buddy, order);
            page &= !(1 << order);
            order += 1;
        }
        self.push(page, order);
    }

    /// Gives `count` pages back as the largest aligned blocks.
    fn free_run(&mut self, mut page: usize, end: usize) {
        while page < end {
            let mut order = (page.trailing_zeros() as usize).min(ORDERS - 1);
            while page + (1 << order) > end {
                order -= 1;
            }
            self.free_block(page, order);
            page += 1 << order;
        }
    }

    /// As `allocate`, leaving the reserve alone.
    fn allocate_common(&mut self, count: usize) -> Option<(usize, bool)> {
        let found = if count + self.reserve > self.available { None } else { self.allocate(count) };
        if found.is_none() && count <= SMALL {
            self.run_short();
        }
        found
    }

    fn run_short(&mut self) {
        self.short = true;
        super::cpu::request_work();
    }

    /// `count` pages and whether they are known to be zero.
    fn allocate(&mut self, count: usize) -> Option<(usize, bool)> {
        let order = count.next_power_of_two().trailing_zeros() as usize;
        if order >= ORDERS || count > self.available {
            return None;
        }
        if let Some(found) = (order..ORDERS).find(|order| self.heads[*order] != NONE) {
            let page = self.heads[found] as usize;
            self.unlink(page, found);
            self.free_run(page + count, page + (1 << found));
            self.available -= count;
            return Some((page, false));
        }
        let page = self.fresh;
        if count > self.count - page {
            return None;
        }
        self.fresh = page + count;
        self.available -= count;
        Some((page, true))
    }
}

fn address(page: usize) -> usize {
    ARENA + page * PAGE_SIZE
}

/// `count` contiguous pages with any contents, or `None` when the arena is used up but for its reserve.
pub fn allocate(count: usize) -> Option<usize> {
    FRAMES.borrow_mut().allocate_common(count.max(1)).map(|(page, _)| address(page))
}

/// As `allocate`, out of the reserve if need be: for the kernel's heap.
pub(super) fn allocate_for_kernel(count: usize) -> Option<usize> {
    let mut frames = FRAMES.borrow_mut();
    let found = frames.allocate(count.max(1));
    if frames.available < frames.reserve {
        frames.run_short();
    }
    found.map(|(page, _)| address(page))
}

/// Whether memory ran short since this was last asked.
pub fn take_shortage() -> bool {
    core::mem::take(&mut FRAMES.borrow_mut().short)
}

/// `count` contiguous zero pages.
pub fn allocate_zeroed(count: usize) -> Option<usize> {
    let count = count.max(1);
    let (page, zero) = FRAMES.borrow_mut().allocate_common(count)?;
    if !zero {
        // SAFETY: the run was just allocated and nobody refers to it.
        unsafe { core::ptr::write_bytes(address(page) as *mut u8, 0, count * PAGE_SIZE) };
    }
    Some(address(page))
}

/// Gives a run back that `allocate` gave.
pub fn free(start: usize, count: usize) {
    let mut frames = FRAMES.borrow_mut();
    let (page, count) = ((start - ARENA) / PAGE_SIZE, count.max(1));
    frames.available += count;
    frames.free_run(page, page + count);
}

/// Whether it is short now.
pub fn is_short() -> bool {
    let frames = FRAMES.borrow();
    frames.available < frames.reserve + SMALL
}

/// The first run of pages in use at or behind page `from`: its first page and their number.
pub fn next_in_use(from: usize) -> Option<(usize, usize)> {
    let mut frames = FRAMES.borrow_mut();
    let fresh = frames.fresh;
    let table = (frames.table as usize - ARENA) / PAGE_SIZE;
    let table_used = table + (fresh * size_of::<Entry>()).div_ceil(PAGE_SIZE);
    let table_end = table + (frames.count * size_of::<Entry>()).div_ceil(PAGE_SIZE);
    // Pages that are free, or entries of pages that were never used, say how far they reach.
    let mut unused = |page: usize| match page {
        page if (table_used..table_end).contains(&page) => Some(table_end),
        page => match frames.entry(page).free {
            0 => None,
            free => Some(page + (1 << (free - 1))),
        },
    };
    let mut start = from;
    while start < fresh
        && let Some(next) = unused(start)
    {
        start = next;
    }
    if start >= fresh {
        return None;
    }
    let end = (start..fresh).find(|page| unused(*page).is_some()).unwrap_or(fresh);
    Some((start, end - start))
}

/// Copies pages from `page` on, as they are now: a whole number, all of the arena.
pub fn copy(page: usize, out: &mut [u8]) {
    let count = FRAMES.borrow().count;
    assert!(out.len().is_multiple_of(PAGE_SIZE) && page <= count && out.len() / PAGE_SIZE <= count - page);
    // SAFETY: inside the arena, which is always mapped; `out` is a reference and so nothing that changes meanwhile.
    unsafe { core::ptr::copy(address(page) as *const u8, out.as_mut_ptr(), out.len()) }
}

/// Pages free and pages in all.
pub fn usage() -> (usize, usize) {
    let frames = FRAMES.borrow();
    (frames.available, frames.count)
}
