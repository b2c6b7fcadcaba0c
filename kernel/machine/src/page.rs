//! Pages of the arena: the unit of file contents, shared memory and, in the kvm tender, of all application memory.
//!
//! A page is owned like any value and freed when dropped. Its bytes may be mapped by applications and so change at any
//! time: they are reached as a `Span`.

use crate::frames;
use crate::span::Span;
use husk_abi::layout::PAGE_SIZE;

/// One or more contiguous pages of the arena, zeroed when made.
pub struct Pages {
    start: usize,
    count: usize,
}

/// The guest has no memory left for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

impl Pages {
    /// `count` contiguous zeroed pages.
    pub fn zeroed(count: usize) -> Result<Self, OutOfMemory> {
        frames::allocate_zeroed(count).map(|start| Self { start, count }).ok_or(OutOfMemory)
    }

    /// `count` contiguous pages with whatever an earlier owner left: for callers that overwrite every byte.
    pub fn unzeroed(count: usize) -> Result<Self, OutOfMemory> {
        frames::allocate(count).map(|start| Self { start, count }).ok_or(OutOfMemory)
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// All bytes of the run.
    pub fn span(&self) -> Span<'_> {
        // SAFETY: the run owns these frames until it is dropped; the arena is always mapped.
        unsafe { Span::new(self.start as *mut u8, self.count * PAGE_SIZE) }
    }

    /// Address of the first byte, the same in every guest process.
    pub fn address(&self) -> usize {
        self.start
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        frames::free(self.start, self.count);
    }
}
