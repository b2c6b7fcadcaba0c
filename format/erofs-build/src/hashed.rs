//! What images, and files with images in them, are named by.

use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Passes bytes on, and knows the SHA-256 of what went through.
pub struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Hashed<W> {
    /// Nothing has gone through yet.
    pub fn new(out: W) -> Self {
        Self { out, hash: Sha256::new() }
    }

    /// The SHA-256 of all that was written so far.
    #[must_use]
    pub fn sum(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
