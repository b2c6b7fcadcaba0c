//! The kernel's heap: size classes over pages of the arena.
//!
//! Runs under the big kernel lock only, so there is no lock here. A freed block goes back to its class; whole pages of a
//! class are kept, since a guest's kernel objects come and go around a steady size.

use super::frames;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use husk_abi::layout::PAGE_SIZE;

/// Classes of 16 << n bytes: 16 to 2048. Anything larger is whole pages.
const CLASSES: usize = 8;

struct Heap {
    free: UnsafeCell<[*mut Block; CLASSES]>,
}

struct Block {
    next: *mut Block,
}

// SAFETY: reached only under the big kernel lock.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap { free: UnsafeCell::new([core::ptr::null_mut(); CLASSES]) };

fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(16);
    (size <= 16 << (CLASSES - 1)).then(|| size.next_power_of_two().trailing_zeros() as usize - 4)
}

fn pages(layout: Layout) -> usize {
    layout.size().div_ceil(PAGE_SIZE)
}

// SAFETY: blocks of a class are disjoint, 16 << class bytes long and aligned to that; larger ones are page runs that the
// frame allocator owns, aligned to a page (larger alignments are refused).
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            if layout.align() > PAGE_SIZE {
                return core::ptr::null_mut();
            }
            return frames::allocate(pages(layout)).map_or(core::ptr::null_mut(), |start| start as *mut u8);
        };
        // SAFETY: the lock makes this the only reference to the lists, whose blocks are free and at least 16 bytes.
        unsafe {
            let free = &mut *self.free.get();
            if free[class].is_null() {
                let Some(start) = frames::allocate(1) else { return core::ptr::null_mut() };
                let size = 16 << class;
                for offset in (0..PAGE_SIZE).step_by(size).rev() {
                    let block = (start + offset) as *mut Block;
                    (*block).next = free[class];
                    free[class] = block;
                }
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
