//! A snapshot's file, as far as tender and kernel read it: header, tables of extents, pages.
//!
//! All integers are little-endian. The header is the first page; pages of memory follow, each extent page-aligned; then the
//! tables. The rest of the file (manifest, checksums) is the host side's business, which also checks all of it before a
//! tender sees the file. Nothing of it is trusted by a tender beyond that: its pages and tables came out of a guest.

use crate::control::{word32, word64};
use crate::layout::PAGE_SIZE;

/// First word of every snapshot.
pub const MAGIC: u64 = u64::from_le_bytes(*b"husksnap");
/// Changes with the layout of the file.
pub const VERSION: u32 = 1;

/// A stretch of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub offset: u64,
    pub len: u64,
}

/// The fixed part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `boot::TENDER_*`.
    pub tender: u32,
    /// vCPUs, memory limit and FLAG_* of the boot block, as the guest was started with.
    pub cpus: u32,
    pub memory: u64,
    pub flags: u64,
    /// Bytes of the root image.
    pub root_len: u64,
    /// Where it begins in its file.
    pub root_offset: u64,
    /// CLOCK_MONOTONIC of the guest when it was parked, ns.
    pub monotonic: u64,
    /// SHA-256 of the kernel image.
    pub kernel: [u8; 32],
    /// The boot block.
    pub boot: Part,
    /// `Extent`s of the arena; `place` is the offset in it.
    pub arena: Part,
    /// `Extent`s of private memory; `place` is the address.
    pub processes: Part,
    /// For the host side.
    pub manifest: Part,
    /// For the host side: checksums of the file's pieces before this part.
    pub sums: Part,
}

impl Header {
    /// Bytes of the header without its checksum, which follows.
    pub const LEN: usize = 176;

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC.to_le_bytes());
        put(&VERSION.to_le_bytes());
        put(&self.tender.to_le_bytes());
        put(&self.cpus.to_le_bytes());
        put(&[0; 4]);
        for field in [self.memory, self.flags, self.root_len, self.monotonic] {
            put(&field.to_le_bytes());
        }
        put(&self.kernel);
        for part in [self.boot, self.arena, self.processes, self.manifest, self.sums] {
            put(&part.offset.to_le_bytes());
            put(&part.len.to_le_bytes());
        }
        put(&self.root_offset.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if they are a snapshot of this version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<{ Self::LEN }>()?;
        if word64(bytes, 0) != MAGIC || word32(bytes, 8) != VERSION {
            return None;
        }
        let mut kernel = [0; 32];
        kernel.copy_from_slice(&bytes[56..88]);
        let part = |index: usize| {
            let at = 88 + index * 16;
            Part { offset: word64(bytes, at), len: word64(bytes, at + 8) }
        };
        Some(Self {
            tender: word32(bytes, 12),
            cpus: word32(bytes, 16),
            memory: word64(bytes, 24),
            flags: word64(bytes, 32),
            root_len: word64(bytes, 40),
            root_offset: word64(bytes, 168),
            monotonic: word64(bytes, 48),
            kernel,
            boot: part(0),
            arena: part(1),
            processes: part(2),
            manifest: part(3),
            sums: part(4),
        })
    }
}

/// Pages in the file and where they belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The process that they belong to: the index of its first vCPU. 0 for the arena.
    pub owner: u32,
    pub pages: u32,
    pub place: u64,
    /// Where they lie in the file.
    pub offset: u64,
}

impl Extent {
    pub const LEN: usize = 24;

    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.owner.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.pages.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.place.to_le_bytes());
        bytes[16..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            owner: word32(bytes, 0),
            pages: word32(bytes, 4),
            place: word64(bytes, 8),
            offset: word64(bytes, 16),
        }
    }

    /// Bytes of the pages, if they are whole pages that lie within `room` bytes of where they belong.
    pub fn len_within(&self, room: u64) -> Option<usize> {
        let len = u64::from(self.pages) * PAGE_SIZE as u64;
        let aligned = [self.place, self.offset].iter().all(|at| at.is_multiple_of(PAGE_SIZE as u64));
        (aligned && len > 0 && self.place <= room && len <= room - self.place).then_some(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, Header, Part};

    #[test]
    fn headers_and_extents_survive_their_bytes() {
        let part = |at: u64| Part { offset: at << 40, len: at + 1 };
        let header = Header {
            tender: 2,
            cpus: 3,
            memory: 4 << 33,
            flags: 5,
            root_len: 6,
            root_offset: 13,
            monotonic: u64::MAX,
            kernel: [7; 32],
            boot: part(8),
            arena: part(9),
            processes: part(10),
            manifest: part(11),
            sums: part(12),
        };
        assert_eq!(Header::from_bytes(&header.to_bytes()), Some(header));
        assert_eq!(Header::from_bytes(&header.to_bytes()[1..]), None);
        let extent = Extent { owner: 1, pages: 2, place: 3 << 12, offset: 4 << 12 };
        assert_eq!(Extent::from_bytes(&extent.to_bytes()), extent);
    }

    #[test]
    fn extents_stay_where_there_is_room() {
        let extent = |pages, place, offset| Extent { owner: 0, pages, place, offset };
        assert_eq!(extent(2, 4096, 4096).len_within(3 * 4096), Some(8192));
        assert_eq!(extent(2, 4096, 4096).len_within(3 * 4096 - 1), None);
        assert_eq!(extent(0, 0, 0).len_within(4096), None);
        assert_eq!(extent(1, 1, 0).len_within(1 << 20), None);
        assert_eq!(extent(1, 0, 1).len_within(1 << 20), None);
        assert_eq!(extent(u32::MAX, u64::MAX - 4095, 0).len_within(u64::MAX), None);
    }
}
