//! Layers: what one instruction changed, in a file of the cache, and as the tar of the OCI image specification.
//!
//! A layer's file has the frames of a guest's record (`husk_abi::record`), whether a guest or a COPY made it: so contents
//! lie in it as they are, and a layer is put over a root without being unpacked.

use crate::BuildError;
use crate::fs::Bytes;
use husk_abi::record as abi;
use husk_erofs_build::Part;
use husk_host::record::{self, Changes, Kind, Node};
use husk_image::{Digest, Session};
use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tar_core::EntryType;
use tar_core::builder::EntryBuilder;

/// Bytes of contents in one frame.
const PIECE: usize = 64 << 10;

/// Writes a layer's file.
pub(crate) struct Writer {
    out: BufWriter<File>,
    /// No time is later than this, in nanoseconds since the epoch.
    latest: Option<i64>,
    /// Whether anything was changed.
    pub(crate) is_empty: bool,
}

impl Writer {
    pub(crate) fn new(file: File, latest: Option<i64>) -> Self {
        Self { out: BufWriter::with_capacity(1 << 20, file), latest, is_empty: true }
    }

    fn frame(&mut self, tag: u8, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(&[tag])?;
        self.out.write_all(&(bytes.len() as u32).to_le_bytes())?;
        self.out.write_all(bytes)
    }

    /// A file with its contents.
    pub(crate) fn file(&mut self, node: Node, bytes: &Bytes) -> io::Result<()> {
        self.node(node)?;
        bytes.each(|piece| piece.chunks(PIECE).try_for_each(|piece| self.frame(abi::DATA, piece)))
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.frame(abi::END, &[0; 4])?;
        self.out.flush()
    }
}

impl Changes for Writer {
    fn node(&mut self, mut node: Node) -> io::Result<()> {
        self.is_empty = false;
        node.mtime = self.latest.map_or(node.mtime, |latest| node.mtime.min(latest));
        let (kind, target, device, size) = match &node.kind {
            Kind::File(size) => (abi::NODE_FILE, &b""[..], (0, 0), *size),
            Kind::Directory => (abi::NODE_DIRECTORY, &b""[..], (0, 0), 0),
            Kind::Symlink(target) => (abi::NODE_SYMLINK, &target[..], (0, 0), 0),
            Kind::HardLink(target) => (abi::NODE_HARD_LINK, &target[..], (0, 0), 0),
            Kind::CharDevice(major, minor) => (abi::NODE_CHAR_DEVICE, &b""[..], (*major, *minor), 0),
            Kind::BlockDevice(major, minor) => (abi::NODE_BLOCK_DEVICE, &b""[..], (*major, *minor), 0),
            Kind::Fifo => (abi::NODE_FIFO, &b""[..], (0, 0), 0),
            Kind::Whiteout => (abi::NODE_WHITEOUT, &b""[..], (0, 0), 0),
            Kind::Opaque => (abi::NODE_OPAQUE, &b""[..], (0, 0), 0),
        };
        let mut bytes = vec![kind];
        for number in [node.permissions, node.uid, node.gid] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(node.mtime.to_le_bytes());
        bytes.extend(device.0.to_le_bytes());
        bytes.extend(device.1.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        for text in [&node.path[..], target] {
            let len = u16::try_from(text.len()).map_err(|_| io::Error::other("a path is too long"))?;
            bytes.extend(len.to_le_bytes());
            bytes.extend(text);
        }
        bytes.extend((node.xattrs.len() as u16).to_le_bytes());
        for (name, value) in &node.xattrs {
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend(name);
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(value);
        }
        self.frame(abi::NODE, &bytes)
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.frame(abi::DATA, bytes)
    }
}

/// Counts what is read.
struct Counting<R> {
    from: R,
    at: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(out)?;
        self.at.set(self.at.get() + count as u64);
        Ok(count)
    }
}

/// Collects nodes and where their contents lie.
struct Collect {
    path: Arc<PathBuf>,
    at: Rc<Cell<u64>>,
    nodes: Vec<(Node, Bytes)>,
}

impl Changes for Collect {
    fn node(&mut self, node: Node) -> io::Result<()> {
        self.nodes.push((node, Bytes::default()));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        let start = self.at.get() - bytes.len() as u64;
        if let Some((_, contents)) = self.nodes.last_mut() {
            let part = Part { path: self.path.clone(), offset: start };
            contents.runs.push((Some(part), bytes.len() as u64));
        }
        Ok(())
    }
}

/// A layer in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    /// What the store calls it, once it is there.
    diff_id: OnceCell<Digest>,
}

impl Layer {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, diff_id: OnceCell::new() }
    }

    /// Brings it into the store, unless that was done.
    pub(crate) fn stored(&self, session: &Session) -> Result<Digest, BuildError> {
        if let Some(diff_id) = self.diff_id.get() {
            return Ok(diff_id.clone());
        }
        let io = |source| BuildError::Io { path: self.path.clone(), source };
        let mut tar = tempfile::tempfile_in(self.path.parent().unwrap_or(&self.path)).map_err(io)?;
        self.write_tar(&mut BufWriter::with_capacity(1 << 20, &mut tar))?;
        tar.rewind().map_err(io)?;
        let imported = session.add_layer(tar)?;
        Ok(self.diff_id.get_or_init(|| imported.diff_id).clone())
    }

    /// Its changes, in order.
    pub(crate) fn changes(&self) -> Result<Vec<(Node, Bytes)>, BuildError> {
        let io = |source| BuildError::Io { path: self.path.clone(), source };
        let at = Rc::new(Cell::new(0));
        let from = BufReader::with_capacity(1 << 20, File::open(&self.path).map_err(io)?);
        let mut collect = Collect { path: Arc::new(self.path.clone()), at: at.clone(), nodes: Vec::new() };
        record::read(Counting { from, at }, &mut collect)
            .map_err(|source| BuildError::Layer { path: self.path.clone(), source })?;
        Ok(collect.nodes)
    }

    /// Writes it as an uncompressed tar.
    pub(crate) fn write_tar(&self, to: &mut impl Write) -> Result<(), BuildError> {
        let io = |source| BuildError::Io { path: self.path.clone(), source };
        for (node, bytes) in self.changes()? {
            write_entry(to, &node, &bytes).map_err(io)?;
        }
        to.write_all(&[0; 1024]).map_err(io)?;
        to.flush().map_err(io)
    }
}

/// One entry of the tar, with pax headers for what the old header cannot say.
fn write_entry(out: &mut impl Write, node: &Node, bytes: &Bytes) -> io::Result<()> {
    let dir = crate::fs::parent(&node.path);
    let name = &node.path[dir.len() + usize::from(!dir.is_empty())..];
    let (kind, path) = match &node.kind {
        Kind::Whiteout => (EntryType::Regular, crate::fs::join(dir, &[b".wh.", name].concat())),
        Kind::Opaque => (EntryType::Regular, crate::fs::join(&node.path, b".wh..wh..opq")),
        Kind::Directory if node.path.is_empty() => (EntryType::Directory, b"./".to_vec()),
        Kind::Directory => (EntryType::Directory, [&node.path[..], b"/"].concat()),
        Kind::File(_) => (EntryType::Regular, node.path.clone()),
        Kind::Symlink(_) => (EntryType::Symlink, node.path.clone()),
        Kind::HardLink(_) => (EntryType::Link, node.path.clone()),
        Kind::CharDevice(..) => (EntryType::Char, node.path.clone()),
        Kind::BlockDevice(..) => (EntryType::Block, node.path.clone()),
        Kind::Fifo => (EntryType::Fifo, node.path.clone()),
    };
    let size = if let Kind::File(size) = node.kind { size } else { 0 };
    let wrong = |error: tar_core::HeaderError| {
        io::Error::other(format!("{}: {error}", String::from_utf8_lossy(&path)))
    };
    let (seconds, nanoseconds) = (node.mtime.div_euclid(1_000_000_000), node.mtime.rem_euclid(1_000_000_000));
    let mut entry = EntryBuilder::new_ustar();
    entry.path(&path).entry_type(kind);
    entry.mode(node.permissions).map_err(wrong)?;
    entry.uid(node.uid.into()).map_err(wrong)?.gid(node.gid.into()).map_err(wrong)?;
    entry.size(size).map_err(wrong)?.mtime(seconds.max(0) as u64).map_err(wrong)?;
    match &node.kind {
        Kind::Symlink(target) | Kind::HardLink(target) => drop(entry.link_name(target)),
        Kind::CharDevice(major, minor) | Kind::BlockDevice(major, minor) => {
            entry.device(*major, *minor).map_err(wrong)?;
        }
        _ => {}
    }
    if seconds < 0 || nanoseconds != 0 {
        let text = if seconds < 0 && nanoseconds > 0 {
            format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds)
        } else {
            format!("{seconds}.{nanoseconds:09}")
        };
        entry.add_pax("mtime", text);
    }
    for (name, value) in &node.xattrs {
        entry.add_pax(&format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value);
    }
    out.write_all(&entry.finish_bytes())?;
    bytes.each(|piece| out.write_all(piece))?;
    let rest = size.next_multiple_of(512) - size;
    out.write_all(&vec![0; rest as usize])
}
