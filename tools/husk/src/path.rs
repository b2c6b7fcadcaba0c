//! Paths that are put together without a heap.

use core::ffi::CStr;

const PATH_MAX: usize = 4096;

/// A path that is put together.
#[derive(Clone, Copy)]
pub(crate) struct PathBuffer {
    pub(crate) bytes: [u8; PATH_MAX],
    pub(crate) len: usize,
}

impl PathBuffer {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; PATH_MAX], len: 0 }
    }

    /// Adds `part`; what does not fit makes the path one that does not exist.
    pub(crate) fn push(&mut self, part: &[u8]) {
        let room = (PATH_MAX - 1 - self.len).min(part.len());
        self.bytes[self.len..self.len + room].copy_from_slice(&part[..room]);
        self.len += room;
        self.bytes[self.len] = 0;
    }

    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut path = Self::new();
        parts.iter().for_each(|part| path.push(part));
        path
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl core::fmt::Write for PathBuffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
