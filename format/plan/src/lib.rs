//! The note by which `husk run` finds a packed program again without packing it again.
//!
//! A plan is a small file in the user's cache, `husk/run/KEY`. It says which root image serves a
//! [`Request`], and which files of the host that holds for: as long as each [`Input`] still has its stamp, the
//! image is what packing would make. The front of `husk run` hashes its request, reads the file into a
//! buffer, compares the request, asks statx(2) for each input, and starts the guest; none of that allocates, and this
//! crate does not even link `alloc`.
//!
//! What the stamps cover: the program, each link of its `#!` chain, its libraries, every file of a directory that
//! `--with` named, and the linker's configuration. Of a language's library, a package and a shell's tools only
//! the top directories are inputs: what comes or goes there is noticed, a file edited in place within is not.
//!
//! A plan is the user's own file, so it is believed; its checksum and the checks in [`Plan::decode`] are
//! against half-written files. Anything odd about it means: pack again.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod decode;
mod encode;
mod image;
mod request;

pub use decode::{Inputs, Plan, With};
pub use encode::encode;
pub use image::{Files, Groups, IMAGE_SIZE_MAX, ImagePlan, ImageRequest, ImageStart, Texts, encode_image};
pub use request::{Request, chooses_by_directory};

use core::ffi::CStr;
use core::fmt;

/// What every plan begins with. The digits are a version: of the format, and of what the packer brings for the
/// same inputs; whoever changes either raises it, so that old plans are not believed.
const MAGIC: &[u8; 8] = b"huskpl03";

/// Bytes in a plan's file name: the request's key as hexadecimal digits.
pub const FILE_NAME_LEN: usize = 16;

/// The longest plan that [`encode`] makes, in bytes: the front's buffer.
pub const SIZE_MAX: usize = 64 << 10;

/// A file is no plan, or a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plan is damaged")
    }
}

impl core::error::Error for Damaged {}

/// What tells that a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// By [`device`].
    pub device: u64,
    pub ino: u64,
    /// In bytes.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub mtime_ns: i64,
    /// Nanoseconds since the epoch.
    pub ctime_ns: i64,
}

/// A device number for a [`Stamp`], from statx(2)'s two halves.
#[must_use]
pub const fn device(major: u32, minor: u32) -> u64 {
    ((major as u64) << 32) | minor as u64
}

/// A file of the host, and what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// Absolute; symbolic links in it are to be followed.
    pub path: &'a CStr,
    /// `None`: there must be no such file.
    pub stamp: Option<Stamp>,
}

/// FNV-1a, 64 bits: enough to name a file and to notice damage, not to withstand an author.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// As hexadecimal digits.
    fn hex(&self) -> [u8; FILE_NAME_LEN] {
        let mut name = [0; FILE_NAME_LEN];
        for (at, digit) in name.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(self.0 >> (60 - 4 * at)) as usize & 15];
        }
        name
    }
}

#[cfg(test)]
mod tests;
