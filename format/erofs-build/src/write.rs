//! Sends a placed tree to a writer, front to back.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use husk_erofs::FileType;
use husk_erofs::layout::{
    self, BLOCK, DEVICE_SLOT, DIRENT_SIZE, FORMAT_EXTENDED, FORMAT_LAYOUT_SHIFT, LAYOUT_INLINE, LAYOUT_PLAIN,
    SUPER_OFFSET, SUPER_SIZE, XATTR_HEADER, inode, superblock,
};

use crate::Error;
use crate::place::{Device, Place, Plan, Shape, directory_blocks, split_xattr, stored_block};
use crate::tree::{Content, Kind, Node, Part, Tree};

/// How much of a file is in memory at a time.
const COPY_BYTES: usize = 256 << 10;

/// The output, with its position. The first block is held back until it is whole, for the superblock in it
/// carries its checksum; metadata that begin further on have none.
struct Sink<W> {
    out: W,
    first: Vec<u8>,
    at: u64,
}

impl<W: Write> Sink<W> {
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.at += bytes.len() as u64;
        let room = (BLOCK as usize).saturating_sub(self.first.len());
        if room > 0 {
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.first.extend_from_slice(now);
            if self.first.len() < BLOCK as usize {
                return Ok(());
            }
            let sum = layout::checksum(&self.first[SUPER_OFFSET..]);
            let at = SUPER_OFFSET + superblock::CHECKSUM;
            self.first[at..at + 4].copy_from_slice(&sum.to_le_bytes());
            self.out.write_all(&self.first).map_err(Error::Write)?;
            bytes = rest;
        }
        self.out.write_all(bytes).map_err(Error::Write)
    }

    /// Zeros up to byte `at`, which lies less than a block ahead, or two for the superblock.
    fn pad(&mut self, at: u64) -> Result<(), Error> {
        static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
        while self.at < at {
            let len = (at - self.at).min(BLOCK);
            self.put(&ZEROS[..len as usize])?;
        }
        Ok(())
    }
}

impl Tree {
    /// Writes the image, a whole number of 4096-byte blocks, and returns its length in bytes.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Changed`] for a file of the host, [`Error::Write`] for the output,
    /// [`Error::TooBig`] and [`Error::Xattr`] for what the format cannot hold.
    pub fn write(&self, out: impl Write) -> Result<u64, Error> {
        self.write_with_devices(out, &[])
    }

    /// As [`Tree::write`], of files whose contents ([`Content::Stored`]) lie on `devices`. The first device's
    /// first block has the number [`Tree::blocks`] gives for this tree and as many devices.
    ///
    /// # Errors
    /// As [`Tree::write`].
    pub fn write_with_devices(&self, out: impl Write, devices: &[Device]) -> Result<u64, Error> {
        let shape = Shape { first_block: 0, devices };
        let plan = Plan::new(self, shape)?;
        let mut sink = Sink { out, first: Vec::with_capacity(BLOCK as usize), at: 0 };
        sink.put(&[0; SUPER_OFFSET])?;
        sink.put(&self.superblock(&plan, shape)?)?;
        let mut mapped = plan.blocks;
        for device in devices {
            let mut slot = [0; DEVICE_SLOT];
            let tag = &device.tag[..device.tag.len().min(layout::device::TAG_SIZE)];
            slot[..tag.len()].copy_from_slice(tag);
            for (at, number) in
                [(layout::device::BLOCKS, device.blocks), (layout::device::MAPPED_BLOCK, mapped)]
            {
                slot[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            sink.put(&slot)?;
            let end = mapped.checked_add(device.blocks).filter(|&end| end < u32::MAX);
            mapped = end.ok_or(Error::TooBig("blocks of all devices"))?;
        }
        self.write_body(&plan, &mut sink)?;
        Ok(sink.at)
    }

    /// How many blocks the image will have without its devices, whatever the blocks of stored contents are.
    ///
    /// # Errors
    /// [`Error::TooBig`], [`Error::Xattr`].
    pub fn blocks(&self, devices: &[Device]) -> Result<u32, Error> {
        Ok(Plan::new(self, Shape { first_block: 0, devices })?.blocks)
    }

    /// Writes the metadata of an image whose contents were written first: `out` stands at block `first_block`,
    /// which must not be 0, and gets whole blocks. Returns the image's block 0, which belongs at its start, and
    /// the number of blocks in all.
    ///
    /// # Errors
    /// As [`Tree::write`].
    pub fn write_metadata(&self, out: impl Write, first_block: u32) -> Result<(Vec<u8>, u32), Error> {
        let shape = Shape { first_block, devices: &[] };
        let plan = Plan::new(self, shape)?;
        let at = plan.meta;
        let mut sink = Sink { out, first: vec![0; BLOCK as usize], at };
        self.write_body(&plan, &mut sink)?;
        let mut first = Sink { out: Vec::new(), first: Vec::new(), at: 0 };
        first.put(&[0; SUPER_OFFSET])?;
        first.put(&self.superblock(&plan, shape)?)?;
        first.pad(BLOCK)?;
        Ok((first.out, plan.blocks))
    }

    fn write_body(&self, plan: &Plan, sink: &mut Sink<impl Write>) -> Result<(), Error> {
        for (number, place) in plan.places.iter().enumerate() {
            sink.pad(place.at)?;
            self.write_inode(plan, number, place, sink)?;
        }
        sink.pad(u64::from(plan.data_block) * BLOCK)?;
        for directories in [true, false] {
            for place in plan.places.iter().filter(|place| place.head_len > 0) {
                let node = &self.nodes[place.id.0];
                if matches!(node.kind, Kind::Directory(_)) == directories && stored_block(node).is_none() {
                    sink.pad(u64::from(place.block) * BLOCK)?;
                    self.write_data(plan, place, 0..place.head_len, sink)?;
                }
            }
        }
        sink.pad(u64::from(plan.blocks) * BLOCK)?;
        sink.out.flush().map_err(Error::Write)
    }

    fn superblock(&self, plan: &Plan, shape: Shape<'_>) -> Result<[u8; SUPER_SIZE], Error> {
        let mut sb = [0; SUPER_SIZE];
        let mut put = |at: usize, bytes: &[u8]| sb[at..at + bytes.len()].copy_from_slice(bytes);
        put(superblock::MAGIC, &layout::MAGIC.to_le_bytes());
        let compat = layout::COMPAT_CHECKSUM | layout::COMPAT_MTIME;
        put(superblock::FEATURE_COMPAT, &compat.to_le_bytes());
        put(superblock::BLOCK_BITS, &[layout::BLOCK_BITS]);
        let root = u16::try_from(plan.nid(Self::ROOT)).map_err(|_| Error::TooBig("the root's place"))?;
        put(superblock::ROOT_NID, &root.to_le_bytes());
        put(superblock::INODES, &(plan.places.len() as u64).to_le_bytes());
        put(superblock::BLOCKS, &plan.blocks.to_le_bytes());
        put(superblock::META_BLOCK, &shape.first_block.to_le_bytes());
        if !shape.devices.is_empty() {
            let count = u16::try_from(shape.devices.len()).map_err(|_| Error::TooBig("devices"))?;
            put(superblock::FEATURE_INCOMPAT, &layout::INCOMPAT_DEVICES.to_le_bytes());
            put(superblock::DEVICES, &count.to_le_bytes());
            put(superblock::DEVICE_SLOT, &(((SUPER_OFFSET + SUPER_SIZE) / DEVICE_SLOT) as u16).to_le_bytes());
        }
        Ok(sb)
    }

    fn write_inode(
        &self,
        plan: &Plan,
        number: usize,
        place: &Place,
        sink: &mut Sink<impl Write>,
    ) -> Result<(), Error> {
        let node = &self.nodes[place.id.0];
        let meta = &node.meta;
        let (file_type, union) = match node.kind {
            Kind::Directory(_) => (0o04, place.block),
            Kind::File { .. } => (0o10, place.block),
            Kind::Symlink(_) => (0o12, place.block),
            Kind::CharDevice { major, minor } => (0o02, layout::encode_device(major, minor)),
            Kind::BlockDevice { major, minor } => (0o06, layout::encode_device(major, minor)),
            Kind::Fifo => (0o01, 0),
            Kind::Socket => (0o14, 0),
        };
        let data = if place.head_len < place.size { LAYOUT_INLINE } else { LAYOUT_PLAIN };
        let format = FORMAT_EXTENDED | (data << FORMAT_LAYOUT_SHIFT);
        let xattr_count = match place.xattr_len {
            0 => 0,
            len => u16::try_from((len - XATTR_HEADER) / 4 + 1).map_err(|_| Error::TooBig("xattrs"))?,
        };
        let ino = u32::try_from(number + 1).map_err(|_| Error::TooBig("inodes"))?;
        let mode = (file_type << 12) | (meta.permissions & 0o7777);
        let mut raw = [0; inode::EXTENDED_SIZE as usize];
        let mut put = |at: usize, bytes: &[u8]| raw[at..at + bytes.len()].copy_from_slice(bytes);
        put(inode::FORMAT, &format.to_le_bytes());
        put(inode::XATTR_COUNT, &xattr_count.to_le_bytes());
        put(inode::MODE, &mode.to_le_bytes());
        put(inode::SIZE, &place.size.to_le_bytes());
        put(inode::UNION, &union.to_le_bytes());
        put(inode::INO, &ino.to_le_bytes());
        put(inode::EXTENDED_UID, &meta.uid.to_le_bytes());
        put(inode::EXTENDED_GID, &meta.gid.to_le_bytes());
        put(inode::EXTENDED_MTIME, &meta.mtime.to_le_bytes());
        put(inode::EXTENDED_MTIME_NSEC, &meta.mtime_nsec.min(999_999_999).to_le_bytes());
        put(inode::EXTENDED_NLINK, &place.nlink.to_le_bytes());
        sink.put(&raw)?;
        sink.put(&xattr_area(node))?;
        if place.head_len < place.size {
            self.write_data(plan, place, place.head_len..place.size, sink)?;
        }
        Ok(())
    }

    /// Writes a range of an inode's contents: that in blocks, or that inline.
    fn write_data(
        &self,
        plan: &Plan,
        place: &Place,
        range: std::ops::Range<u64>,
        sink: &mut Sink<impl Write>,
    ) -> Result<(), Error> {
        let within = range.start as usize..range.end as usize;
        match &self.nodes[place.id.0].kind {
            Kind::Directory(_) => sink.put(&self.directory_bytes(plan, place)[within]),
            Kind::Symlink(target) => sink.put(&target[within]),
            Kind::File { content: Content::Bytes(bytes), .. } => sink.put(&bytes[within]),
            Kind::File { content: Content::Runs { runs, .. }, .. } => {
                let mut open: Option<(&PathBuf, File)> = None;
                let mut buffer = vec![0; COPY_BYTES.min(within.len())];
                let (mut start, mut at) = (0, range.start);
                for (part, len) in runs {
                    let end = start + len;
                    while at < end.min(range.end) {
                        let count =
                            usize::try_from(end.min(range.end) - at).unwrap_or(usize::MAX).min(buffer.len());
                        match part {
                            Some(Part { path, offset }) => {
                                let failed = |source| Error::Read { path: (**path).clone(), source };
                                if open.as_ref().is_none_or(|(known, _)| *known != &**path) {
                                    open = Some((path, File::open(&**path).map_err(failed)?));
                                }
                                if let Some((_, file)) = &mut open {
                                    file.seek(SeekFrom::Start(offset + (at - start))).map_err(failed)?;
                                    file.read_exact(&mut buffer[..count]).map_err(failed)?;
                                }
                            }
                            None => buffer[..count].fill(0),
                        }
                        sink.put(&buffer[..count])?;
                        at += count as u64;
                    }
                    start = end;
                }
                if at == range.end { Ok(()) } else { Err(Error::TooBig("a file for its parts")) }
            }
            Kind::File { content: Content::Host { path, size }, .. } => {
                let failed = |source| Error::Read { path: path.clone(), source };
                let changed = || Error::Changed { path: path.clone() };
                let mut file = File::open(path).map_err(failed)?;
                if file.metadata().map_err(failed)?.len() != *size {
                    return Err(changed());
                }
                file.seek(SeekFrom::Start(range.start)).map_err(failed)?;
                let mut left = range.end - range.start;
                let mut buffer = vec![0; COPY_BYTES.min(within.len())];
                while left > 0 {
                    let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let count = file.read(&mut buffer[..want]).map_err(failed)?;
                    if count == 0 {
                        return Err(changed());
                    }
                    sink.put(&buffer[..count])?;
                    left -= count as u64;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn directory_bytes(&self, plan: &Plan, place: &Place) -> Vec<u8> {
        let Kind::Directory(entries) = &self.nodes[place.id.0].kind else { return Vec::new() };
        let mut bytes = Vec::with_capacity(place.size as usize);
        directory_blocks(entries.keys().map(Vec::as_slice), |names, _| {
            bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
            let mut name_at = names.len() * DIRENT_SIZE;
            for &name in names {
                let (id, file_type) = match name {
                    b"." => (place.id, FileType::Directory),
                    b".." => (place.parent, FileType::Directory),
                    _ => (entries[name], file_type(&self.nodes[entries[name].0])),
                };
                bytes.extend_from_slice(&plan.nid(id).to_le_bytes());
                // A block has 4096 bytes, so an offset in it fits.
                bytes.extend_from_slice(&(name_at as u16).to_le_bytes());
                bytes.extend_from_slice(&[file_type as u8, 0]);
                name_at += name.len();
            }
            for name in names {
                bytes.extend_from_slice(name);
            }
        });
        bytes
    }
}

fn file_type(node: &Node) -> FileType {
    match node.kind {
        Kind::Directory(_) => FileType::Directory,
        Kind::File { .. } => FileType::Regular,
        Kind::Symlink(_) => FileType::Symlink,
        Kind::CharDevice { .. } => FileType::CharDevice,
        Kind::BlockDevice { .. } => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
    }
}

/// The xattr area as [`Plan`] measured it: a header without shared ones, then the entries.
fn xattr_area(node: &Node) -> Vec<u8> {
    if node.meta.xattrs.is_empty() {
        return Vec::new();
    }
    let mut area = vec![0; XATTR_HEADER as usize];
    for (name, value) in &node.meta.xattrs {
        let Some((index, suffix)) = split_xattr(name) else { continue };
        // Both lengths were checked when the area was measured.
        area.extend_from_slice(&[suffix.len() as u8, index]);
        area.extend_from_slice(&(value.len() as u16).to_le_bytes());
        area.extend_from_slice(suffix);
        area.extend_from_slice(value);
        area.resize(area.len().next_multiple_of(4), 0);
    }
    area
}
