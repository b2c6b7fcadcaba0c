//! Memory that others may change at any time: pages that applications map, user buffers.
//!
//! Safe code may only copy in and out of it; it never sees a reference, so a concurrent writer is no undefined
//! behaviour, only a torn copy, which is what Linux gives too.

use core::marker::PhantomData;

/// A run of bytes valid for reads and writes during `'a`, possibly written by others meanwhile.
#[derive(Clone, Copy)]
pub struct Span<'a> {
    ptr: *mut u8,
    len: usize,
    life: PhantomData<&'a [u8]>,
}

impl<'a> Span<'a> {
    /// # Safety
    /// `ptr..ptr + len` must stay mapped readable and writable during `'a`, and no Rust reference to it may exist.
    pub(crate) unsafe fn new(ptr: *mut u8, len: usize) -> Self {
        Self { ptr, len, life: PhantomData }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.ptr
    }

    /// The part from `offset`, `len` bytes. Panics when out of range.
    #[track_caller]
    pub fn slice(&self, offset: usize, len: usize) -> Span<'a> {
        assert!(offset <= self.len && len <= self.len - offset, "span out of range");
        // SAFETY: the range was just checked to lie inside this span.
        unsafe { Span::new(self.ptr.add(offset), len) }
    }

    /// Copies the span's first `out.len()` bytes. Panics when the span is shorter.
    #[track_caller]
    pub fn read(&self, out: &mut [u8]) {
        assert!(out.len() <= self.len, "span out of range");
        // SAFETY: the span is readable for `out.len()` bytes and never overlaps a Rust slice.
        unsafe { core::ptr::copy_nonoverlapping(self.ptr, out.as_mut_ptr(), out.len()) }
    }

    /// Overwrites the span's first `data.len()` bytes. Panics when the span is shorter.
    #[track_caller]
    pub fn write(&self, data: &[u8]) {
        assert!(data.len() <= self.len, "span out of range");
        // SAFETY: the span is writable for `data.len()` bytes and never overlaps a Rust slice.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), self.ptr, data.len()) }
    }

    /// Copies all of `from` to the start of this span. Panics when this span is shorter.
    #[track_caller]
    pub fn copy_from(&self, from: Span<'_>) {
        assert!(from.len <= self.len, "span out of range");
        // SAFETY: both spans are valid for `from.len` bytes; `copy` allows overlap.
        unsafe { core::ptr::copy(from.ptr, self.ptr, from.len) }
    }

    /// Sets every byte to `byte`.
    pub fn fill(&self, byte: u8) {
        // SAFETY: the span is writable.
        unsafe { core::ptr::write_bytes(self.ptr, byte, self.len) }
    }
}
