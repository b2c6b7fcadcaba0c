//! The on-disk layout of EROFS, as numbers: offsets of fields, flags, sizes. Everything is little endian.
//!
//! Reader and writer both take them from here and from nowhere else. Only blocks of 4096 bytes are served,
//! so that a block is a page.

/// Bytes in a block, and in a page.
pub const BLOCK: u64 = 4096;
/// log2 of [`BLOCK`], as the superblock has it.
pub const BLOCK_BITS: u8 = 12;
/// Where the superblock lies in the image.
pub const SUPER_OFFSET: usize = 1024;
/// Bytes of the superblock.
pub const SUPER_SIZE: usize = 128;
/// The superblock's first four bytes.
pub const MAGIC: u32 = 0xe0f5_e1e2;
/// Inodes lie at multiples of this; a nid counts them.
pub const SLOT: u64 = 32;
/// A directory entry without its name.
pub const DIRENT_SIZE: usize = 12;
/// The longest name in a directory.
pub const NAME_MAX: usize = 255;
/// Bytes before the shared ids in an inode's xattr area.
pub const XATTR_HEADER: u64 = 12;
/// Bytes of an xattr entry before its name.
pub const XATTR_ENTRY: usize = 4;
/// A chunk with this block address is a hole.
pub const NULL_BLOCK: u32 = u32::MAX;

/// Offsets in the superblock.
pub mod superblock {
    pub const MAGIC: usize = 0;
    pub const CHECKSUM: usize = 4;
    pub const FEATURE_COMPAT: usize = 8;
    pub const BLOCK_BITS: usize = 12;
    pub const ROOT_NID: usize = 14;
    pub const INODES: usize = 16;
    pub const BUILD_TIME: usize = 24;
    pub const BUILD_TIME_NSEC: usize = 32;
    pub const BLOCKS: usize = 36;
    pub const META_BLOCK: usize = 40;
    pub const XATTR_BLOCK: usize = 44;
    pub const FEATURE_INCOMPAT: usize = 80;
    /// How many further devices there are.
    pub const DEVICES: usize = 86;
    /// Where their table lies, in units of [`super::DEVICE_SLOT`] bytes.
    pub const DEVICE_SLOT: usize = 88;
    pub const DIR_BLOCK_BITS: usize = 90;
}

/// The superblock carries a checksum.
pub const COMPAT_CHECKSUM: u32 = 1;
/// Extended inodes carry mtime (older images: ctime).
pub const COMPAT_MTIME: u32 = 2;

/// Features that a reader must know. Those of compression are accepted, because they change nothing for an
/// inode that is not compressed; the inode that is, is refused by itself.
pub const INCOMPAT_KNOWN: u32 = 0x01 | 0x02 | INCOMPAT_CHUNKED | INCOMPAT_DEVICES | 0x10 | 0x20;
/// Some inodes are made of chunks.
pub const INCOMPAT_CHUNKED: u32 = 0x04;
/// Some data lie on further devices. Those that have a place in the one space of block addresses are served.
pub const INCOMPAT_DEVICES: u32 = 0x08;

/// Bytes of an entry in the table of devices.
pub const DEVICE_SLOT: usize = 128;

/// Offsets in an entry of the table of devices. A tag of 64 bytes comes first.
pub mod device {
    pub const TAG_SIZE: usize = 64;
    pub const BLOCKS: usize = 64;
    /// The device's first block in the space of block addresses that begins with the image itself.
    pub const MAPPED_BLOCK: usize = 68;
}

/// Offsets in an inode; the first four are common to both forms.
pub mod inode {
    pub const FORMAT: usize = 0;
    pub const XATTR_COUNT: usize = 2;
    pub const MODE: usize = 4;
    pub const SIZE: usize = 8;
    /// First block, device number or chunk format, as the type says.
    pub const UNION: usize = 16;
    pub const INO: usize = 20;

    pub const COMPACT_SIZE: u64 = 32;
    pub const COMPACT_NLINK: usize = 6;
    pub const COMPACT_UID: usize = 24;
    pub const COMPACT_GID: usize = 26;

    pub const EXTENDED_SIZE: u64 = 64;
    pub const EXTENDED_UID: usize = 24;
    pub const EXTENDED_GID: usize = 28;
    pub const EXTENDED_MTIME: usize = 32;
    pub const EXTENDED_MTIME_NSEC: usize = 40;
    pub const EXTENDED_NLINK: usize = 44;
}

/// Bit 0 of an inode's format: it has the extended form.
pub const FORMAT_EXTENDED: u16 = 1;
/// Bits 1 to 3 of an inode's format say where its data lie.
pub const FORMAT_LAYOUT_SHIFT: u16 = 1;
pub const FORMAT_LAYOUT_MASK: u16 = 7;
/// All data in consecutive blocks.
pub const LAYOUT_PLAIN: u16 = 0;
/// As plain, but what lies in the last block follows the inode instead.
pub const LAYOUT_INLINE: u16 = 2;
/// A table of chunks follows the inode.
pub const LAYOUT_CHUNKED: u16 = 4;

/// Chunk format: log2 of blocks in a chunk.
pub const CHUNK_BITS_MASK: u16 = 0x1f;
/// Chunk format: entries have eight bytes (advice, device, block), not four (block).
pub const CHUNK_INDEXES: u16 = 0x20;

/// What an xattr's name begins with, by its index; the name's rest is stored.
pub const XATTR_PREFIXES: [(u8, &str); 6] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (5, "lustre."),
    (6, "security."),
];

/// The superblock's checksum: CRC-32C, not inverted at the end, of the rest of block 0 from the superblock
/// on, in which the checksum's own field is taken as zero.
#[must_use]
pub fn checksum(block: &[u8]) -> u32 {
    let field = superblock::CHECKSUM..superblock::CHECKSUM + 4;
    let mut crc = u32::MAX;
    for (at, &byte) in block.iter().enumerate() {
        crc ^= u32::from(if field.contains(&at) { 0 } else { byte });
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    crc
}

/// A device number as Linux stores it in 32 bits.
#[must_use]
pub const fn encode_device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Major and minor of a stored device number.
#[must_use]
pub const fn decode_device(stored: u32) -> (u32, u32) {
    ((stored & 0x000f_ff00) >> 8, (stored & 0xff) | ((stored >> 12) & 0x000f_ff00))
}
