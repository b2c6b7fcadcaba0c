//! An application that is one executable: what `husk build` writes and the front reads of itself.
//!
//! Such a file is the front (`husk`), stripped, with three things behind each other at page borders:
//!
//! ```text
//! front          its ELF segments; the first PT_NOTE holds the `Note`
//! root image     EROFS, mapped straight from the file
//! manifest       what the guest is started with (`Manifest`)
//! ```
//!
//! In the front itself the note is all zeros: it is `husk` and no application. Everything is little endian and made
//! from the inputs alone, so the same inputs give the same bytes.
//!
//! At each start the front checks the note and the manifest by their checksums and the file by its length: what is cut
//! off, or put together wrongly, is refused. The digests in the manifest cover every byte; comparing them means reading
//! the file, which is for `--husk-verify`, or for each start where the manifest asks for that. None of this holds
//! against an author, who can write a new file: whom a file is from is for signatures to say, about the whole file.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod manifest;
mod note;

pub use manifest::{Allowed, Digest, Encoder, MANIFEST_MAX, Manifest, Part, Strict, flag, free};
pub use note::{DESCRIPTOR_LEN, NOTE_LEN, NOTE_NAME, NOTE_TYPE, Note, note_in};

use core::fmt;

/// The unit at whose multiples root image and manifest begin.
pub const ALIGN: u64 = 4096;

/// Why a file is no application, or not a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The note's own checksum does not fit.
    Note,
    /// The note is of another version of Husk's format.
    Version(u32),
    /// Offsets or lengths in the note contradict each other.
    Layout,
    /// The file should have the first number of bytes and has the second.
    Length(u64, u64),
    /// The manifest's checksum does not fit.
    ManifestChecksum,
    /// The manifest cannot be understood.
    Manifest(&'static str),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Note => f.write_str("its header is damaged (the checksum does not fit)"),
            Self::Version(version) => {
                write!(f, "its format is version {version}, which this front does not know")
            }
            Self::Layout => f.write_str("its header contradicts itself"),
            Self::Length(should, has) if has < should => {
                write!(f, "the file is cut off: it has {has} bytes of {should}")
            }
            Self::Length(should, has) => {
                write!(f, "something was added to the file: it has {has} bytes and should have {should}")
            }
            Self::ManifestChecksum => f.write_str("its manifest is damaged (the checksum does not fit)"),
            Self::Manifest(what) => write!(f, "its manifest is damaged: {what}"),
        }
    }
}

impl core::error::Error for Damage {}

/// CRC-32C (Castagnoli), as EROFS has it: for accidents.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ STEPS[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(u32::MAX, step)
}

/// What each low byte of the remainder adds.
static STEPS: [u32; 256] = {
    let mut steps = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        steps[byte] = crc;
        byte += 1;
    }
    steps
};

#[cfg(test)]
mod tests;
