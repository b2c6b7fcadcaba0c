//! Snapshots: files that hold a parked guest.
//!
//! A file is one page of header (`husk_abi::snapshot::Header` and a checksum), pages of memory, the tables, the manifest
//! and the checksums of all pieces before them. `save` writes it under no name and names it when it is whole; `open` reads
//! all of it before anything is made of it, since a tender maps its pages as they are.

mod open;
mod save;

pub use open::{Opened, keep_open, open};
pub use save::{Saved, save};

use crate::running;
use husk_abi::layout::PAGE_SIZE;
use husk_abi::snapshot::Header;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Bytes of a piece, for which there is one checksum.
const PIECE: usize = 1 << 20;
/// Where the header's checksum lies.
const HEADER_SUM: usize = Header::LEN;

/// Why a snapshot could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Guest(#[from] running::Error),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{0}: not a snapshot of Husk")]
    NotASnapshot(PathBuf),
    #[error("{path}: a snapshot of version {found}, and this Husk reads version {known}")]
    Version { path: PathBuf, found: u32, known: u32 },
    #[error("{path}: the snapshot is cut off: {found} bytes, where it has {wanted}")]
    Truncated { path: PathBuf, found: u64, wanted: u64 },
    #[error("{path}: the snapshot was altered: checksum of {what} is wrong")]
    Altered { path: PathBuf, what: String },
    #[error("{path}: the snapshot's manifest cannot be read: {why}")]
    Manifest { path: PathBuf, why: String },
    #[error(
        "{path}: the snapshot's root image {root} cannot be used: {why}; `--rootfs PATH` names another copy"
    )]
    Root { path: PathBuf, root: PathBuf, why: String },
    #[error(
        "{path}: the snapshot's root is that of the image {image}, of which {file} cannot be used: {why}; pull or import \
         the image again"
    )]
    Image { path: PathBuf, image: String, file: PathBuf, why: String },
    #[error("{0}: --rootfs: the snapshot's root is a container image's, which is in the store or nowhere")]
    OfImage(PathBuf),
    #[error("{path}: this processor lacks {missing}, which the snapshot's programs may use")]
    Processor { path: PathBuf, missing: String },
    #[error("guest {0} could not be saved: {1}")]
    Refused(String, String),
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path: path.clone(), source }
}

/// What the host must know of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of Husk that made it.
    pub husk: String,
    /// The guest that it is of, and its program.
    pub guest: String,
    pub program: String,
    /// Seconds since 1970.
    pub created: u64,
    pub root: RootImage,
    /// The other files of a container image's root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further: Vec<RootImage>,
    /// The signal by which the guest wants to be stopped.
    pub stop: u32,
    /// Features of the processor that it was made on.
    pub features: Vec<String>,
}

/// The root image of a guest; empty path: none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootImage {
    pub path: PathBuf,
    pub size: u64,
    pub crc32: u32,
}

/// Size and CRC-32 of what is left of a file.
fn measure(file: &mut File) -> io::Result<(u64, u32)> {
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; PIECE];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hasher.finalize())),
            len => {
                hasher.update(&buffer[..len]);
                size += len as u64;
            }
        }
    }
}

/// Bytes of an address space in which files of these sizes lie one behind the other, each from a whole page on.
fn span(sizes: impl Iterator<Item = u64>) -> Option<u64> {
    sizes
        .map(Some)
        .reduce(|end, size| end?.checked_next_multiple_of(PAGE_SIZE as u64)?.checked_add(size?))
        .unwrap_or(Some(0))?
        .checked_next_multiple_of(PAGE_SIZE as u64)
}

/// Whether a file of `size` bytes holds a root image that begins at `offset` and has `len` bytes.
fn holds(size: u64, offset: u64, len: u64) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= size)
}

/// CRC-32 of the header page and the table of checksums.
fn header_sum(page: &[u8; PAGE_SIZE], sums: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&page[..HEADER_SUM]);
    hasher.update(&page[HEADER_SUM + 4..]);
    hasher.update(sums);
    hasher.finalize()
}

macro_rules! features {
    ($($name:tt)*) => {
        /// Features of this processor that programs choose code by.
        fn features() -> Vec<String> {
            let mut found = Vec::new();
            $(if std::is_x86_feature_detected!($name) {
                found.push($name.to_owned());
            })*
            found
        }
    };
}

features! {
    "aes" "pclmulqdq" "rdrand" "rdseed" "tsc" "mmx" "sse" "sse2" "sse3" "ssse3" "sse4.1" "sse4.2" "sse4a" "sha" "avx" "avx2"
    "avx512f" "avx512cd" "avx512er" "avx512pf" "avx512bw" "avx512dq" "avx512vl" "avx512ifma" "avx512vbmi"
    "avx512vpopcntdq" "avx512vbmi2" "avx512bf16" "avx512fp16" "avx512vnni" "avx512bitalg" "gfni" "vaes" "vpclmulqdq"
    "avxvnni" "f16c" "fma" "bmi1" "bmi2" "lzcnt" "popcnt" "tbm" "fxsr" "xsave" "xsaveopt" "xsaves" "xsavec"
    "cmpxchg16b" "adx" "rtm" "movbe" "ermsb"
}
