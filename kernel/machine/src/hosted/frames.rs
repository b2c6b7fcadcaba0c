//! Frames from the test's heap.

use husk_abi::layout::PAGE_SIZE;
use std::alloc::{Layout, alloc, dealloc};

fn layout(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE).expect("a page run that fits the address space")
}

pub(crate) fn allocate(count: usize) -> Option<usize> {
    // SAFETY: the layout has a size above zero, as page runs are never empty.
    let start = unsafe { alloc(layout(count.max(1))) };
    (!start.is_null()).then_some(start as usize)
}

pub(crate) fn allocate_zeroed(count: usize) -> Option<usize> {
    let start = allocate(count)?;
    // SAFETY: just allocated, `count` pages long.
    unsafe { std::ptr::write_bytes(start as *mut u8, 0, count.max(1) * PAGE_SIZE) };
    Some(start)
}

pub(crate) fn free(start: usize, count: usize) {
    // SAFETY: `start` came from `allocate` with this count, and its owner is being dropped.
    unsafe { dealloc(start as *mut u8, layout(count.max(1))) }
}

/// The test's heap is nothing that could be saved.
pub fn next_in_use(_from: usize) -> Option<(usize, usize)> {
    None
}

/// As `next_in_use`.
pub fn copy(_page: usize, _out: &mut [u8]) {}

/// Pages free and pages in all: a fixed figure, as the test's heap has no limit of its own.
pub fn usage() -> (usize, usize) {
    (1 << 17, 1 << 18)
}

/// The test's heap does not run short.
pub fn take_shortage() -> bool {
    false
}

/// As `take_shortage`.
pub fn is_short() -> bool {
    false
}
