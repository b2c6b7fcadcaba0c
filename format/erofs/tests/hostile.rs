//! Damaged images: every call returns, with a value or an error.

use husk_erofs::{FileType, Image, Inode, Nid};
use husk_erofs_build::{Content, Kind, Meta, Tree};
use proptest::prelude::*;

/// An image with every type of inode, each form of data, shared and inline xattrs.
fn sample() -> Vec<u8> {
    let meta = |permissions| Meta { permissions, ..Meta::default() };
    let mut tree = Tree::new(meta(0o755));
    for number in 0..300_u32 {
        let kind = match number % 6 {
            0 => Kind::File { content: Content::Bytes(vec![1; number as usize * 50]), mapped: false },
            1 => Kind::File { content: Content::Bytes(vec![2; number as usize * 50]), mapped: true },
            2 => Kind::Symlink(vec![b'x'; 1 + number as usize * 13]),
            3 => Kind::CharDevice { major: number, minor: number },
            4 => Kind::Fifo,
            _ => Kind::directory(),
        };
        let mut meta = meta(0o777);
        meta.xattrs.insert(b"user.number".to_vec(), number.to_string().into_bytes());
        let name = format!("{}{number}", "n".repeat(number as usize % 200));
        let id = tree.add(Tree::ROOT, name.as_bytes(), meta.clone(), kind).unwrap();
        if number % 6 == 5 {
            tree.add(id, b"below", meta, Kind::Socket).unwrap();
        }
    }
    let mut bytes = Vec::new();
    tree.write(&mut bytes).unwrap();
    bytes
}

/// Asks everything about an inode that can be asked.
fn ask(image: &Image<'_>, inode: &Inode, depth: u32) {
    let mut buffer = [0; 9000];
    for offset in [0, 1, 4095, 4096, inode.size.saturating_sub(1), inode.size, u64::MAX] {
        let count = image.read(inode, offset, &mut buffer);
        assert!(count.is_err() || count.unwrap() as u64 <= inode.size.saturating_sub(offset));
        if let Ok(Some(extent)) = image.extent(inode, offset) {
            assert!(extent.len > 0 && extent.offset == offset && extent.offset + extent.len <= inode.size);
            assert_eq!(image.extent_bytes(&extent).is_some(), extent.image_offset.is_some());
        }
    }
    let _ = image.symlink(inode);
    let _ = image.xattr(inode, b"user.number");
    assert!(image.xattrs(inode).count() <= 256 + image.bytes().len() / 4);
    let _ = image.lookup(inode, b"nnnnnn6");
    for cookie in [0, 11, 12, 4096, 4100, u64::MAX] {
        let Ok(entries) = image.entries(inode, cookie) else { continue };
        for entry in entries.flatten().take(2000) {
            assert!(!entry.name.is_empty() && entry.name.len() <= 255);
            if cookie == 0 && depth > 0 {
                look(image, entry.nid, depth - 1);
            }
        }
    }
}

fn look(image: &Image<'_>, nid: Nid, depth: u32) {
    if let Ok(inode) = image.inode(nid) {
        assert_ne!(inode.file_type(), FileType::Unknown);
        ask(image, &inode, depth);
    }
}

fn survive(bytes: &[u8], nids: &[Nid]) {
    let Ok(image) = Image::open(bytes) else { return };
    let _ = image.verify_checksum();
    look(&image, image.root(), 1);
    for &nid in nids {
        look(&image, nid, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flipped_bytes(flips in prop::collection::vec((1024..60_000_usize, any::<u8>()), 1..200)) {
        let mut bytes = sample();
        for (at, byte) in flips {
            // The superblock's magic, block size and features stay, or little would be read.
            if let Some(place) = bytes.get_mut(at).filter(|_| at > 1200) {
                *place = byte;
            }
        }
        survive(&bytes, &[]);
    }

    #[test]
    fn damaged_inodes(
        edits in prop::collection::vec((0..300_u64, 0..64_usize, prop_oneof![Just(0xff_u8), any::<u8>()]), 1..300),
    ) {
        let mut bytes = sample();
        for &(slot, field, byte) in &edits {
            bytes[(36 + slot) as usize * 32 + field] = byte;
        }
        let nids: Vec<_> = edits.iter().map(|edit| 36 + edit.0).collect();
        survive(&bytes, &nids);
    }

    #[test]
    fn damaged_superblocks(edits in prop::collection::vec((0..128_usize, any::<u8>()), 1..6)) {
        let mut bytes = sample();
        for (at, byte) in edits {
            bytes[1024 + at] = byte;
        }
        survive(&bytes, &[0, 36, u64::MAX, u64::MAX / 32]);
    }

    #[test]
    fn cut_images(len in 0..200_000_usize) {
        let mut bytes = sample();
        bytes.truncate(len);
        survive(&bytes, &[36, 40, 100, 2000]);
    }

    #[test]
    fn noise(mut bytes in prop::collection::vec(any::<u8>(), 1152..9000), nids in prop::collection::vec(0..300_u64, 20)) {
        bytes[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
        bytes[1036] = 12;
        bytes[1024 + 80..1024 + 84].fill(0);
        bytes[1024 + 40..1024 + 48].fill(0);
        bytes[1024 + 90] = 0;
        survive(&bytes, &nids);
    }
}

#[test]
fn the_checksum_notices_a_changed_superblock() {
    let mut bytes = sample();
    Image::open(&bytes).unwrap().verify_checksum().unwrap();
    bytes[1024 + 64] ^= 1;
    assert_eq!(Image::open(&bytes).unwrap().verify_checksum(), Err(husk_erofs::Error::Checksum));
}

#[test]
fn what_is_not_served_is_named() {
    let sample = sample();
    let with = |at: usize, byte: u8| {
        let mut bytes = sample.clone();
        bytes[at] = byte;
        Image::open(&bytes).and_then(|image| image.inode(image.root())).err()
    };
    assert_eq!(with(1024, 0), Some(husk_erofs::Error::NotErofs));
    assert_eq!(with(1024 + 12, 9), Some(husk_erofs::Error::BlockBits(9)));
    assert_eq!(with(1024 + 80, 64), Some(husk_erofs::Error::Features(64)));
    assert_eq!(with(36 * 32, 1 | (1 << 1)), Some(husk_erofs::Error::Compressed(36)));
    assert_eq!(with(36 * 32, 1 | (3 << 1)), Some(husk_erofs::Error::Compressed(36)));
}
