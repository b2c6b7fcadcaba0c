//! A layer's tar becomes an EROFS image, in one pass.
//!
//! File contents go to the image as they come, each from a block of its own on; names and attributes are gathered and
//! written behind them. What is no file content (headers, padding) goes to a second file, the **frame**, from which and
//! the image the very same tar can be made again ([`replay`]).
//!
//! The tar is hostile. Paths are names in a tree in memory and never reach the host's file system; what cannot be
//! represented faithfully is refused, and what would take unbounded memory or space ends at a limit of [`Limits`].
//!
//! A whiteout becomes a character device 0:0 and an opaque directory has `trusted.overlay.opaque`, as in Linux's
//! overlayfs. A directory without an entry of its own has [`IMPLICIT`].

mod entry;
mod frame;

pub use frame::replay;
pub(crate) use frame::tar_size;

use entry::{Item, item, names};
use frame::Frame;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;

use husk_erofs_build::{Content, Kind, Meta, NodeId, Tree};
use sha2::{Digest as _, Sha256};
use tar_core::EntryType;
use tar_core::parse::{Limits as TarLimits, ParseEvent, Parser};

use crate::{Digest, ImageError};

/// The xattr of an opaque directory, with the value `y`.
pub(crate) const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// The xattr of a directory that is only there because of what is in it.
pub(crate) const IMPLICIT: &[u8] = b"trusted.husk.implicit";

const BLOCK: u64 = 4096;
const TAR_BLOCK: usize = 512;
/// Bytes of input and of output in memory.
const BUFFER: usize = 1 << 20;
/// Symbolic links on the way to one file, as in Linux.
const LINKS_MAX: usize = 40;

/// Where an import of hostile input ends.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the uncompressed tar.
    pub tar: u64,
    /// Bytes of all files together, holes included: the address space of roots bounds it.
    pub contents: u64,
    pub inodes: usize,
    /// Bytes of names, links and attributes together.
    pub metadata: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tar: 128 << 30, contents: 128 << 30, inodes: 1 << 20, metadata: 64 << 20 }
    }
}

/// What an import found.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub tar_size: u64,
}

fn refused(entry: &[u8], why: impl Into<String>) -> ImageError {
    let mut entry = String::from_utf8_lossy(entry).escape_debug().to_string();
    if entry.len() > 200 {
        entry = entry.chars().take(200).chain("...".chars()).collect();
    }
    ImageError::Layer { entry, why: why.into() }
}

/// The input: bytes that were read and not yet used.
struct Feed<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    hash: Sha256,
    total: u64,
    limit: u64,
}

impl<R: Read> Feed<R> {
    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Reads until there are `want` bytes, or all there are.
    fn fill(&mut self, want: usize) -> Result<(), ImageError> {
        if self.bytes().len() >= want {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < want {
            let at = self.buffer.len();
            self.buffer.resize(at + BUFFER.max(want - at), 0);
            let count = self.reader.read(&mut self.buffer[at..]);
            self.buffer.truncate(at + *count.as_ref().unwrap_or(&0));
            let count = match count {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(ImageError::read("layer"))?,
            };
            if count == 0 {
                break;
            }
            self.hash.update(&self.buffer[at..]);
            self.total += count as u64;
            if self.total > self.limit {
                return Err(refused(b"(tar)", format!("more than {} bytes uncompressed", self.limit)));
            }
        }
        Ok(())
    }
}

/// The image under construction: a position, and bytes before it that are not written yet. Blocks of zeros are left out,
/// so that they take no space.
struct Out<'a> {
    file: &'a File,
    pending: Vec<u8>,
    at: u64,
}

impl Out<'_> {
    fn flush(&mut self) -> Result<(), ImageError> {
        let start = self.at - self.pending.len() as u64;
        if self.pending.iter().any(|&byte| byte != 0) {
            self.file
                .write_all_at(&self.pending, start)
                .map_err(ImageError::read("writing the layer's image"))?;
        }
        self.pending.clear();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.pending.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
        if self.pending.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Zeros up to a position.
    fn skip_to(&mut self, at: u64) -> Result<(), ImageError> {
        if at - self.at < BLOCK {
            self.pending.resize(self.pending.len() + (at - self.at) as usize, 0);
        } else {
            self.flush()?;
        }
        self.at = at;
        Ok(())
    }

    fn align(&mut self) -> Result<(), ImageError> {
        self.skip_to(self.at.next_multiple_of(BLOCK))
    }
}

/// Imports an uncompressed tar: its image goes to `image`, its frame to `frame`, both empty files.
///
/// # Errors
/// [`ImageError::Layer`] names the entry that is refused; [`ImageError::Read`].
pub fn import(tar: impl Read, image: &File, frame: &File, limits: Limits) -> Result<Imported, ImageError> {
    let mut encoder =
        zstd::stream::Encoder::new(BufWriter::new(frame), 1).map_err(ImageError::read("frame"))?;
    let mut import = Import {
        feed: Feed {
            reader: tar,
            buffer: Vec::new(),
            start: 0,
            hash: Sha256::new(),
            total: 0,
            limit: limits.tar,
        },
        out: Out { file: image, pending: Vec::with_capacity(2 * BUFFER), at: BLOCK },
        frame: Frame { out: &mut encoder },
        tree: Tree::new(Meta { permissions: 0o755, ..Meta::default() }),
        limits,
        inodes: 0,
        metadata: 0,
    };
    import.run()?;
    let Import { feed, mut out, tree, .. } = import;
    out.align()?;
    out.flush()?;
    let first_block = u32::try_from(out.at / BLOCK).map_err(|_| refused(b"(tar)", "too big for an image"))?;
    let metadata = At { file: image, at: out.at };
    let (first, blocks) = tree.write_metadata(BufWriter::with_capacity(BUFFER, metadata), first_block)?;
    image.write_all_at(&first, 0).map_err(ImageError::read("writing the layer's image"))?;
    image.set_len(u64::from(blocks) * BLOCK).map_err(ImageError::read("writing the layer's image"))?;
    let finish = encoder.finish().and_then(|mut out| out.flush());
    finish.map_err(ImageError::read("writing the layer's frame"))?;
    Ok(Imported { diff_id: Digest::from_hash(&feed.hash.finalize()), tar_size: feed.total })
}

/// Writes to a file from a position on.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Write for At<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.at)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Import<'a, R, W> {
    feed: Feed<R>,
    out: Out<'a>,
    frame: Frame<W>,
    tree: Tree,
    limits: Limits,
    inodes: usize,
    metadata: usize,
}

impl<R: Read, W: Write> Import<'_, R, W> {
    fn run(&mut self) -> Result<(), ImageError> {
        let mut parser = Parser::new(TarLimits {
            max_path_len: Some(4096),
            max_pending_entries: 8,
            ..TarLimits::default()
        });
        // Times before 1970 are right in a layer, and are read here; other numbers are checked here too.
        parser.set_ignore_pax_errors(true);
        let mut want = TAR_BLOCK;
        loop {
            self.feed.fill(want)?;
            if self.feed.bytes().is_empty() {
                // Some archives end without the two blocks of zeros.
                return Ok(());
            }
            let found = self.feed.bytes().len();
            let event = parser.parse(self.feed.bytes());
            let (consumed, item) = match event.map_err(|error| refused(b"(header)", error.to_string()))? {
                ParseEvent::NeedData { .. } if found < want => {
                    let zeros = self.feed.bytes().iter().all(|&byte| byte == 0);
                    if zeros && found.is_multiple_of(TAR_BLOCK) {
                        self.frame.literal(&self.feed.buffer[self.feed.start..])?;
                        return Ok(());
                    }
                    return Err(refused(b"(header)", "the tar is cut off"));
                }
                ParseEvent::NeedData { min_bytes } => {
                    want = min_bytes.max(found + 1);
                    continue;
                }
                ParseEvent::Entry { consumed, entry } => (consumed, Some(item(&entry, None)?)),
                ParseEvent::SparseEntry { consumed, entry, sparse_map, real_size } => {
                    let map = sparse_map.iter().map(|part| (part.offset, part.length)).collect();
                    (consumed, Some(item(&entry, Some((real_size, map)))?))
                }
                ParseEvent::GlobalExtensions { consumed, .. } => (consumed, None),
                ParseEvent::End { consumed } => {
                    self.take_literal(consumed as u64)?;
                    break;
                }
            };
            self.take_literal(consumed as u64)?;
            if let Some(item) = item {
                self.entry(item)?;
            }
            want = TAR_BLOCK;
        }
        // Archives are padded to whole records of zeros; whatever it is, it is part of the digest.
        loop {
            self.feed.fill(1)?;
            let rest = self.feed.bytes().len();
            if rest == 0 {
                return Ok(());
            }
            self.take_literal(rest as u64)?;
        }
    }

    /// Moves bytes from the input to the frame.
    fn take_literal(&mut self, mut len: u64) -> Result<(), ImageError> {
        while len > 0 {
            self.feed.fill(1)?;
            let count = self.feed.bytes().len().min(usize::try_from(len).unwrap_or(usize::MAX));
            if count == 0 {
                return Err(refused(b"(data)", "the tar is cut off"));
            }
            self.frame.literal(&self.feed.buffer[self.feed.start..self.feed.start + count])?;
            self.feed.start += count;
            len -= count as u64;
        }
        Ok(())
    }

    /// Moves bytes from the input to the image.
    fn take_data(&mut self, path: &[u8], mut len: u64) -> Result<(), ImageError> {
        if len > 0 {
            self.frame.data(self.out.at, len)?;
        }
        while len > 0 {
            self.feed.fill(1)?;
            let count = self.feed.bytes().len().min(usize::try_from(len).unwrap_or(usize::MAX));
            if count == 0 {
                return Err(refused(path, "the tar is cut off"));
            }
            self.out.put(&self.feed.buffer[self.feed.start..self.feed.start + count])?;
            self.feed.start += count;
            len -= count as u64;
        }
        Ok(())
    }

    /// One entry with its data.
    fn entry(&mut self, item: Item) -> Result<(), ImageError> {
        let size = item.size;
        let padding = size.next_multiple_of(TAR_BLOCK as u64) - size;
        let is_file = matches!(item.kind, EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse);
        let names = names(&item.path)?;
        let last = names.last().copied().unwrap_or_default();
        // An old tar marks a directory by the slash behind its name.
        let is_directory = item.kind == EntryType::Directory || (is_file && item.path.ends_with(b"/"));
        if last.starts_with(b".wh.") {
            self.whiteout(&item.path, &names)?;
            return self.take_literal(size + padding);
        }
        if is_directory {
            self.directory(&item, &names)?;
            return self.take_literal(size + padding);
        }
        if last.is_empty() {
            return Err(refused(&item.path, "the root of the layer is not a directory"));
        }
        let path = &item.path;
        let (parent, name) = self.parent(path, &names)?;
        let kind = match item.kind {
            EntryType::Link => return self.hard_link(&item, parent, &name),
            EntryType::Symlink => Kind::Symlink(item.link.clone()),
            EntryType::Char | EntryType::Block => {
                let (major, minor) = item.device;
                if major >= 1 << 12 || minor >= 1 << 20 {
                    return Err(refused(path, "its device number is too big"));
                }
                if item.kind == EntryType::Char {
                    Kind::CharDevice { major, minor }
                } else {
                    Kind::BlockDevice { major, minor }
                }
            }
            EntryType::Fifo => Kind::Fifo,
            _ if is_file => {
                let content = self.contents(&item)?;
                self.take_literal(padding)?;
                Kind::File { content, mapped: true }
            }
            other => {
                let kind = char::from(other.to_byte());
                return Err(refused(path, format!("entries of type {kind:?} are not known")));
            }
        };
        self.replace(path, parent, &name, item.meta, kind)?;
        Ok(())
    }

    fn contents(&mut self, item: &Item) -> Result<Content, ImageError> {
        let path = &item.path;
        self.out.align()?;
        let start = self.out.at;
        let (real_size, map) = match &item.sparse {
            Some((real_size, map)) => (*real_size, map.clone()),
            None => (item.size, vec![(0, item.size)]),
        };
        let end = start.checked_add(real_size).filter(|&end| end <= self.limits.contents);
        let end = end.ok_or_else(|| {
            refused(path, format!("the layer's files have more than {} bytes", self.limits.contents))
        })?;
        let mut within = 0;
        let mut left = item.size;
        for (offset, len) in map {
            let fits = offset >= within
                && offset.checked_add(len).is_some_and(|end| end <= real_size)
                && len <= left;
            if !fits {
                return Err(refused(path, "the map of its holes is damaged"));
            }
            self.out.skip_to(start + offset)?;
            self.take_data(path, len)?;
            within = offset + len;
            left -= len;
        }
        if left > 0 {
            return Err(refused(path, "the map of its holes is damaged"));
        }
        self.out.skip_to(end)?;
        self.out.align()?;
        if real_size == 0 {
            return Ok(Content::Bytes(Vec::new()));
        }
        let block = u32::try_from(start / BLOCK).map_err(|_| refused(path, "too big for an image"))?;
        Ok(Content::Stored { block, size: real_size })
    }

    /// Counts what the tree takes.
    fn charge(&mut self, path: &[u8], meta: &Meta, more: usize) -> Result<(), ImageError> {
        self.inodes += 1;
        let xattrs: usize = meta.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.metadata += xattrs + more;
        if self.inodes > self.limits.inodes {
            return Err(refused(path, format!("the layer has more than {} entries", self.limits.inodes)));
        }
        if self.metadata > self.limits.metadata {
            let limit = self.limits.metadata;
            return Err(refused(
                path,
                format!("the layer's names and attributes have more than {limit} bytes"),
            ));
        }
        Ok(())
    }

    /// Puts an inode under a name, in place of whatever was there.
    fn replace(
        &mut self,
        path: &[u8],
        parent: NodeId,
        name: &[u8],
        meta: Meta,
        kind: Kind,
    ) -> Result<NodeId, ImageError> {
        let more = name.len() + if let Kind::Symlink(target) = &kind { target.len() } else { 0 };
        self.charge(path, &meta, more)?;
        self.tree.remove(parent, name);
        self.tree.add(parent, name, meta, kind).map_err(|error| refused(path, error.to_string()))
    }

    fn is_directory(&self, node: NodeId) -> bool {
        matches!(self.tree.node(node).kind, Kind::Directory(_))
    }

    fn is_whiteout(&self, node: NodeId) -> bool {
        self.tree.node(node).kind == Kind::CharDevice { major: 0, minor: 0 }
    }

    /// The directory that an entry is to go to, and its name there. Missing directories are made; symbolic links of this
    /// layer are followed, within the root.
    fn parent(&mut self, path: &[u8], names: &[&[u8]]) -> Result<(NodeId, Vec<u8>), ImageError> {
        let (last, above) = names.split_last().ok_or_else(|| refused(path, "it has no name"))?;
        let mut todo: Vec<Vec<u8>> = above.iter().rev().map(|name| name.to_vec()).collect();
        let mut at = vec![Tree::ROOT];
        let mut links = 0;
        while let Some(name) = todo.pop() {
            let here = *at.last().unwrap_or(&Tree::ROOT);
            if name == b".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let found = self.tree.child(here, &name);
            let target = found.and_then(|node| match &self.tree.node(node).kind {
                Kind::Symlink(target) => Some(target.clone()),
                _ => None,
            });
            if let Some(target) = target {
                links += 1;
                if links > LINKS_MAX || todo.len() > 4096 {
                    return Err(refused(path, "too many symbolic links on its way"));
                }
                if target.starts_with(b"/") {
                    at.truncate(1);
                }
                let parts = target.split(|&byte| byte == b'/').rev();
                todo.extend(parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec));
                continue;
            }
            let next = match found {
                Some(node) if self.is_directory(node) => node,
                other => {
                    let mut meta = Meta { permissions: 0o755, ..Meta::default() };
                    meta.xattrs.insert(IMPLICIT.to_vec(), b"y".to_vec());
                    if other.is_some_and(|node| self.is_whiteout(node)) {
                        meta.xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
                    }
                    self.replace(path, here, &name, meta, Kind::directory())?
                }
            };
            at.push(next);
        }
        Ok((*at.last().unwrap_or(&Tree::ROOT), last.to_vec()))
    }

    fn directory(&mut self, item: &Item, names: &[&[u8]]) -> Result<(), ImageError> {
        if names.is_empty() {
            let keep = self.tree.node(Tree::ROOT).meta.xattrs.get(OPAQUE).cloned();
            *self.tree.meta_mut(Tree::ROOT) = item.meta.clone();
            if let Some(value) = keep {
                self.tree.meta_mut(Tree::ROOT).xattrs.insert(OPAQUE.to_vec(), value);
            }
            return Ok(());
        }
        let (parent, name) = self.parent(&item.path, names)?;
        let mut meta = item.meta.clone();
        match self.tree.child(parent, &name) {
            Some(node) if self.is_directory(node) => {
                self.charge(&item.path, &meta, 0)?;
                if self.tree.node(node).meta.xattrs.contains_key(OPAQUE) {
                    meta.xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
                }
                *self.tree.meta_mut(node) = meta;
            }
            other => {
                if other.is_some_and(|node| self.is_whiteout(node)) {
                    meta.xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
                }
                self.replace(&item.path, parent, &name, meta, Kind::directory())?;
            }
        }
        Ok(())
    }

    fn hard_link(&mut self, item: &Item, parent: NodeId, name: &[u8]) -> Result<(), ImageError> {
        let path = &item.path;
        let target = names(&item.link)?;
        let missing = || {
            refused(path, format!("a hard link to {:?}, which this layer does not have", item.link_text()))
        };
        let Some((last, above)) = target.split_last() else { return Err(missing()) };
        let mut at = Tree::ROOT;
        for part in above {
            at = self.tree.child(at, part).ok_or_else(missing)?;
        }
        let node = self.tree.child(at, last).ok_or_else(missing)?;
        if self.is_directory(node) || self.is_whiteout(node) {
            return Err(refused(path, "a hard link to a directory"));
        }
        if self.tree.child(parent, name) == Some(node) {
            // The same name, or another name of the same file: there is nothing to do.
            return Ok(());
        }
        self.charge(path, &Meta::default(), name.len())?;
        self.tree.remove(parent, name);
        self.tree.link(parent, name, node).map_err(|error| refused(path, error.to_string()))
    }

    fn whiteout(&mut self, path: &[u8], names: &[&[u8]]) -> Result<(), ImageError> {
        let (parent, name) = self.parent(path, names)?;
        let hidden = &name[b".wh.".len()..];
        if hidden == b".wh..opq" {
            self.tree.meta_mut(parent).xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
            return Ok(());
        }
        if hidden.starts_with(b".wh.") {
            // What aufs kept for itself.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused(path, "a whiteout of no name"));
        }
        match self.tree.child(parent, hidden) {
            // A whiteout is about the layers below; what this one has stays.
            Some(node) if self.is_directory(node) => {
                self.tree.meta_mut(node).xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
            }
            Some(_) => {}
            None => {
                let hidden = hidden.to_vec();
                let kind = Kind::CharDevice { major: 0, minor: 0 };
                self.replace(path, parent, &hidden, Meta::default(), kind)?;
            }
        }
        Ok(())
    }
}

/// A layer's bytes uncompressed: gzip and Zstandard are told by their first bytes, as Docker does, and not by what a
/// manifest says. The end of the compressed data need not be the end of the blob: whoever verifies it reads the rest.
///
/// # Errors
/// [`ImageError::Read`]; [`ImageError::Layer`] for other compressions.
pub fn uncompressed<'a>(blob: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>, ImageError> {
    let mut blob = blob;
    let mut head = [0; 6];
    let mut len = 0;
    while len < head.len() {
        match blob.read(&mut head[len..]).map_err(ImageError::read("layer"))? {
            0 => break,
            count => len += count,
        }
    }
    let blob = BufReader::with_capacity(256 << 10, io::Cursor::new(head).take(len as u64).chain(blob));
    Ok(match head {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::stream::Decoder::with_buffer(blob).map_err(ImageError::read("layer"))?;
            // Windows of up to 128 MiB are asked for by `zstd --ultra`; what asks for more is a bomb.
            decoder.window_log_max(27).map_err(ImageError::read("layer"))?;
            Box::new(decoder)
        }
        [b'B', b'Z', b'h', ..] => {
            return Err(refused(b"(layer)", "compressed with bzip2, which is not supported"));
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            return Err(refused(b"(layer)", "compressed with xz, which is not supported"));
        }
        _ => Box::new(blob),
    })
}
