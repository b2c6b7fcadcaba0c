//! The kernel's heap: size classes over pages of the arena.
//!
//! Runs under the big kernel lock only, so there is no lock here. A freed block goes back to its class and is kept, since
//! a guest's kernel objects come and go around a steady size. Classes grow by less than a page, so that a small guest
//! touches few: a page of the arena costs the host 3 us, and boot used to touch one for each class.

use super::frames;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use husk_abi::layout::PAGE_SIZE;

/// Classes of 16 << n bytes: 16 to 2048. Anything larger is whole pages.
const CLASSES: usize = 8;

/// By how much a class grows; the largest grows by one block.
const CHUNK: usize = 1024;

struct Heap {
    free: UnsafeCell<[*mut Block; CLASSES]>,
    /// What is left of the page that classes last grew into: start and end.
    rest: UnsafeCell<(usize, usize)>,
}

struct Block {
    next: *mut Block,
}

// SAFETY: reached only under the big kernel lock.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap =
    Heap { free: UnsafeCell::new([core::ptr::null_mut(); CLASSES]), rest: UnsafeCell::new((0, 0)) };

fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(16);
    (size <= 16 << (CLASSES - 1)).then(|| size.next_power_of_two().trailing_zeros() as usize - 4)
}

fn pages(layout: Layout) -> usize {
    layout.size().div_ceil(PAGE_SIZE)
}

/// Gives class `class` more blocks. False: there is no memory.
///
/// # Safety
/// `free` are the heap's lists and `rest` is its unused part of a page.
unsafe fn grow(free: &mut [*mut Block; CLASSES], rest: &mut (usize, usize), class: usize) -> bool {
    let size = 16_usize << class;
    let len = CHUNK.max(size);
    let push = |free: &mut [*mut Block; CLASSES], class: usize, at: usize| {
        let block = at as *mut Block;
        // SAFETY: `at` begins a block of this class that nobody has.
        unsafe { (*block).next = free[class] };
        free[class] = block;
    };
    if rest.0.next_multiple_of(len) + len > rest.1 {
        // Nothing smaller than a chunk is ever left.
        for at in (rest.0..rest.1).step_by(CHUNK) {
            push(free, CHUNK.trailing_zeros() as usize - 4, at);
        }
        let Some(start) = frames::allocate_for_kernel(1) else {
            *rest = (0, 0);
            return false;
        };
        *rest = (start, start + PAGE_SIZE);
    }
    if !rest.0.is_multiple_of(len) {
        push(free, CHUNK.trailing_zeros() as usize - 4, rest.0);
        rest.0 += CHUNK;
    }
    let start = rest.0;
    rest.0 += len;
    for offset in (0..len).step_by(size).rev() {
        push(free, class, start + offset);
    }
    true
}

// SAFETY: blocks of a class are disjoint, 16 << class bytes long and aligned to that; larger ones are page runs that the
// frame allocator owns, aligned to a page (larger alignments are refused).
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            if layout.align() > PAGE_SIZE {
                return core::ptr::null_mut();
            }
            let run = frames::allocate_for_kernel(pages(layout));
            return run.map_or(core::ptr::null_mut(), |start| start as *mut u8);
        };
        // SAFETY: the lock makes this the only reference to the lists, whose blocks are free and at least 16 bytes.
        unsafe {
            let free = &mut *self.free.get();
            if free[class].is_null() && !grow(free, &mut *self.rest.get(), class) {
                return core::ptr::null_mut();
            }
            let block = free[class];
            free[class] = (*block).next;
            block.cast()
        }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let Some(class) = class(layout) else {
            return frames::free(ptr as usize, pages(layout));
        };
        // SAFETY: the block is dead by the caller's word, and the lock makes this the only reference to the lists.
        unsafe {
            let free = &mut *self.free.get();
            let block: *mut Block = ptr.cast();
            (*block).next = free[class];
            free[class] = block;
        }
    }
}
