//! Decides where everything lies in the image, before a byte of it is written.

use husk_erofs::layout::{
    BLOCK, DEVICE_SLOT, DIRENT_SIZE, SLOT, SUPER_OFFSET, SUPER_SIZE, XATTR_ENTRY, XATTR_HEADER,
    XATTR_PREFIXES, inode,
};

use crate::Error;
use crate::tree::{Content, Kind, Node, NodeId, Tree};

/// A longer tail gets a block of its own: placed inline, it would waste as much in front of it.
const INLINE_MAX: u64 = BLOCK / 2;

/// The place of one inode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) id: NodeId,
    pub(crate) parent: NodeId,
    /// Byte offset of the inode.
    pub(crate) at: u64,
    /// Bytes of its xattr area.
    pub(crate) xattr_len: u64,
    /// Bytes of its contents.
    pub(crate) size: u64,
    /// Of these, the bytes in blocks; the rest is inline. Zero for a device.
    pub(crate) head_len: u64,
    /// The first of these blocks.
    pub(crate) block: u32,
    pub(crate) nlink: u32,
}

/// What the image is besides its tree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shape<'a> {
    /// First block of the metadata; what lies before is not the writer's, but for the superblock.
    pub(crate) first_block: u32,
    pub(crate) devices: &'a [Device],
}

/// A further file whose blocks the image's inodes name. In the space of block addresses it lies behind the
/// image and the devices before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// At most 64 bytes, to tell it from others.
    pub tag: Vec<u8>,
    /// Its length.
    pub blocks: u32,
}

/// The places of all inodes, in the order in which they lie in the image.
pub(crate) struct Plan {
    pub(crate) places: Vec<Place>,
    /// By node: index in `places`.
    pub(crate) index: Vec<usize>,
    /// Where nid 0 is, in bytes.
    pub(crate) meta: u64,
    /// First block behind the inodes.
    pub(crate) data_block: u32,
    pub(crate) blocks: u32,
}

impl Plan {
    pub(crate) fn new(tree: &Tree, shape: Shape<'_>) -> Result<Self, Error> {
        let meta = u64::from(shape.first_block) * BLOCK;
        let mut plan = Self {
            places: Vec::new(),
            index: vec![usize::MAX; tree.nodes.len()],
            meta,
            data_block: 0,
            blocks: 0,
        };
        // The first inode's number must not be zero: as st_ino it would mean that there is no file.
        let before = if meta == 0 { (SUPER_OFFSET + SUPER_SIZE) as u64 } else { meta + SLOT };
        let mut end = before + (shape.devices.len() * DEVICE_SLOT) as u64;
        let mut stack = vec![(Tree::ROOT, Tree::ROOT)];
        while let Some((id, parent)) = stack.pop() {
            // A second name of an inode that has its place.
            if plan.index[id.0] != usize::MAX {
                continue;
            }
            plan.index[id.0] = plan.places.len();
            plan.places.push(place(tree, id, parent, &mut end)?);
            if let Kind::Directory(entries) = &tree.nodes[id.0].kind {
                stack.extend(entries.values().rev().map(|&child| (child, id)));
            }
        }
        let mut block = end.div_ceil(BLOCK);
        plan.data_block = number(block)?;
        let is_directory = |place: &Place| matches!(tree.nodes[place.id.0].kind, Kind::Directory(_));
        for directories in [true, false] {
            for place in &mut plan.places {
                if let Some(stored) = stored_block(&tree.nodes[place.id.0]) {
                    place.block = stored;
                } else if place.head_len > 0 && is_directory(place) == directories {
                    place.block = number(block)?;
                    block += place.head_len.div_ceil(BLOCK);
                }
            }
        }
        plan.blocks = number(block)?;
        Ok(plan)
    }

    pub(crate) fn nid(&self, id: NodeId) -> u64 {
        (self.places[self.index[id.0]].at - self.meta) / SLOT
    }
}

/// The first block of contents that are there already.
pub(crate) fn stored_block(node: &Node) -> Option<u32> {
    match node.kind {
        Kind::File { content: Content::Stored { block, .. }, .. } => Some(block),
        _ => None,
    }
}

fn number(block: u64) -> Result<u32, Error> {
    // The last number is a hole's.
    u32::try_from(block).ok().filter(|&block| block < u32::MAX).ok_or(Error::TooBig("blocks"))
}

fn place(tree: &Tree, id: NodeId, parent: NodeId, end: &mut u64) -> Result<Place, Error> {
    let node = &tree.nodes[id.0];
    let (size, may_inline, nlink) = match &node.kind {
        Kind::Directory(entries) => {
            let is_directory = |id: &&NodeId| matches!(tree.nodes[id.0].kind, Kind::Directory(_));
            let below = entries.values().filter(is_directory).count();
            let below = u32::try_from(below).map_err(|_| Error::TooBig("directories"))?;
            (directory_size(entries.keys().map(Vec::as_slice)), true, below + 2)
        }
        Kind::File { content: Content::Stored { size, .. }, .. } => (*size, false, node.names),
        Kind::File { content, mapped } => (content.size(), !mapped, node.names),
        Kind::Symlink(target) => (target.len() as u64, true, node.names),
        _ => (0, false, node.names),
    };
    let xattr_len = xattr_len(node)?;
    let fixed = inode::EXTENDED_SIZE + xattr_len;
    let tail_len = size - size.saturating_sub(1) / BLOCK * BLOCK;
    let is_link = matches!(node.kind, Kind::Symlink(_));
    let inline = may_inline && fixed + tail_len <= BLOCK && (tail_len <= INLINE_MAX || is_link);
    let stored = if inline { fixed + tail_len } else { fixed };
    *end = end.next_multiple_of(SLOT);
    if *end % BLOCK + stored > BLOCK && stored <= BLOCK {
        *end = end.next_multiple_of(BLOCK);
    }
    let at = *end;
    *end += stored;
    let head_len = if inline { size - tail_len } else { size };
    Ok(Place { id, parent, at, xattr_len, size, head_len, block: 0, nlink })
}

/// The names of a directory in order, with the two that every directory has.
pub(crate) fn with_dots<'a>(names: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    // Names below "." are possible ("!"), so the dots are sorted in like the rest.
    let mut dots = [&b"."[..], &b".."[..]].into_iter().peekable();
    let mut names = names.peekable();
    std::iter::from_fn(move || match (dots.peek(), names.peek()) {
        (Some(dot), Some(name)) if dot < name => dots.next(),
        (_, Some(_)) => names.next(),
        _ => dots.next(),
    })
}

/// Splits a directory's names into blocks: calls with each block's names and its used bytes.
pub(crate) fn directory_blocks<'a>(
    names: impl Iterator<Item = &'a [u8]>,
    mut block: impl FnMut(&[&'a [u8]], u64),
) {
    let (mut run, mut used) = (Vec::new(), 0);
    for name in with_dots(names) {
        let need = (DIRENT_SIZE + name.len()) as u64;
        if used + need > BLOCK {
            block(&run, used);
            (run, used) = (Vec::new(), 0);
        }
        run.push(name);
        used += need;
    }
    block(&run, used);
}

fn directory_size<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (mut blocks, mut last) = (0, 0);
    directory_blocks(names, |_, used| {
        blocks += 1;
        last = used;
    });
    (blocks - 1) * BLOCK + last
}

fn xattr_len(node: &Node) -> Result<u64, Error> {
    if node.meta.xattrs.is_empty() {
        return Ok(0);
    }
    let mut len = XATTR_HEADER;
    for (name, value) in &node.meta.xattrs {
        let refused = || Error::Xattr(String::from_utf8_lossy(name).into_owned());
        let (_, suffix) = split_xattr(name).ok_or_else(refused)?;
        if suffix.len() > 255 || value.len() > usize::from(u16::MAX) {
            return Err(refused());
        }
        len += (XATTR_ENTRY + suffix.len() + value.len()).next_multiple_of(4) as u64;
    }
    let count = (len - XATTR_HEADER) / 4 + 1;
    if count > u64::from(u16::MAX) { Err(Error::Xattr("too many".into())) } else { Ok(len) }
}

/// The index and the stored rest of an xattr's name.
pub(crate) fn split_xattr(name: &[u8]) -> Option<(u8, &[u8])> {
    XATTR_PREFIXES
        .into_iter()
        .find_map(|(index, prefix)| Some((index, name.strip_prefix(prefix.as_bytes())?)))
}
