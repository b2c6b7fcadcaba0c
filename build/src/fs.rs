//! A root file system while it is built: what stands at each path, with contents that lie in files of the host.
//!
//! It is made from an EROFS image and layers that are put over it, and becomes an EROFS image again where a RUN needs one,
//! or at the end.

use crate::BuildError;
use husk_erofs::{FileType, Image};
use husk_erofs_build::{Content, Kind as TreeKind, Meta, NodeId, Part, Tree};
use husk_host::record::{Kind, Node};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Symbolic links on one path, as in Linux.
const LINKS_MAX: usize = 40;

/// Bytes that lie in files of the host, one run behind the other; `None` is a run of zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) runs: Vec<(Option<Part>, u64)>,
}

impl Bytes {
    /// `len` bytes of one file.
    pub(crate) fn of_file(path: PathBuf, offset: u64, len: u64) -> Self {
        Self { runs: vec![(Some(Part { path: Arc::new(path), offset }), len)] }
    }

    /// Hands all of it to `take`, in pieces.
    pub(crate) fn each(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut open: Option<(&PathBuf, File)> = None;
        let mut buffer = vec![0; 64 << 10];
        for (part, len) in &self.runs {
            match part {
                Some(Part { path, offset }) => {
                    if open.as_ref().is_none_or(|(known, _)| *known != &**path) {
                        open = Some((path, File::open(&**path)?));
                    }
                    if let Some((_, file)) = &mut open {
                        file.seek(SeekFrom::Start(*offset))?;
                    }
                }
                None => buffer.fill(0),
            }
            let mut left = *len;
            while left > 0 {
                let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                if part.is_some()
                    && let Some((_, file)) = &mut open
                {
                    file.read_exact(&mut buffer[..count])?;
                }
                take(&buffer[..count])?;
                left -= count as u64;
            }
        }
        Ok(())
    }

    pub(crate) fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        self.each(|bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(all)
    }
}

/// An inode: attributes and contents. `Node::path` is the path by which it came.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    pub(crate) node: Node,
    pub(crate) bytes: Bytes,
}

/// The file system. Paths have no leading slash; the root is empty.
#[derive(Clone, Debug)]
pub(crate) struct Fs {
    inodes: Vec<Inode>,
    pub(crate) names: BTreeMap<Vec<u8>, usize>,
}

fn directory(path: &[u8], permissions: u32) -> Inode {
    let node = Node {
        kind: Kind::Directory,
        permissions,
        uid: 0,
        gid: 0,
        mtime: 0,
        path: path.to_vec(),
        xattrs: Vec::new(),
    };
    Inode { node, bytes: Bytes::default() }
}

/// `dir` and a name in it.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

/// The directory that a path lies in.
pub(crate) fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

impl Fs {
    /// Nothing but a root directory.
    pub(crate) fn empty() -> Self {
        Self { inodes: vec![directory(b"", 0o755)], names: BTreeMap::from([(Vec::new(), 0)]) }
    }

    /// What a root of `files` holds: an image, and behind it further devices of it, each of whole blocks.
    pub(crate) fn of_image(files: &[PathBuf]) -> Result<Self, BuildError> {
        let first = files.first().cloned().unwrap_or_default();
        let damaged = |error: husk_erofs::Error| BuildError::Image { path: first.clone(), source: error };
        let io = |source| BuildError::Io { path: first.clone(), source };
        // The devices have contents only, which lie where the first file says.
        let bytes = std::fs::read(&first).map_err(io)?;
        let mut starts = Vec::new();
        let mut at = 0;
        for file in files {
            starts.push((at, Arc::new(file.clone())));
            at += std::fs::metadata(file).map_err(io)?.len();
        }
        let image = Image::open_metadata(&bytes, at).map_err(damaged)?;
        let part = |at: u64| {
            let index = starts.partition_point(|(start, _)| *start <= at).saturating_sub(1);
            let (start, path) = &starts[index];
            Part { path: path.clone(), offset: at - start }
        };
        let mut fs = Self { inodes: Vec::new(), names: BTreeMap::new() };
        let mut known: HashMap<u64, usize> = HashMap::new();
        let mut todo = vec![(Vec::new(), image.root())];
        while let Some((path, nid)) = todo.pop() {
            if path.len() > 4096 {
                return Err(BuildError::Endless);
            }
            let inode = image.inode(nid).map_err(damaged)?;
            if let Some(&index) = known.get(&nid).filter(|_| inode.file_type() != FileType::Directory) {
                fs.names.insert(path, index);
                continue;
            }
            let (major, minor) = inode.device;
            let mut contents = Bytes::default();
            let kind = match inode.file_type() {
                FileType::Directory => {
                    for entry in image.entries(&inode, 0).map_err(damaged)? {
                        let entry = entry.map_err(damaged)?;
                        if !matches!(entry.name, b"." | b"..") {
                            todo.push((join(&path, entry.name), entry.nid));
                        }
                    }
                    Kind::Directory
                }
                FileType::Symlink => Kind::Symlink(image.symlink(&inode).map_err(damaged)?.to_vec()),
                FileType::CharDevice => Kind::CharDevice(major, minor),
                FileType::BlockDevice => Kind::BlockDevice(major, minor),
                FileType::Fifo => Kind::Fifo,
                FileType::Socket => continue,
                _ => {
                    for extent in image.extents(&inode, 0) {
                        let extent = extent.map_err(damaged)?;
                        contents.runs.push((extent.image_offset.map(part), extent.len));
                    }
                    Kind::File(inode.size)
                }
            };
            let mut xattrs = Vec::new();
            for xattr in image.xattrs(&inode) {
                let xattr = xattr.map_err(damaged)?;
                xattrs.push(([xattr.prefix.as_bytes(), xattr.suffix].concat(), xattr.value.to_vec()));
            }
            let node = Node {
                kind,
                permissions: u32::from(inode.mode & 0o7777),
                uid: inode.uid,
                gid: inode.gid,
                mtime: inode.mtime.saturating_mul(1_000_000_000).saturating_add(inode.mtime_nsec.into()),
                path: path.clone(),
                xattrs,
            };
            known.insert(nid, fs.inodes.len());
            fs.names.insert(path, fs.inodes.len());
            fs.inodes.push(Inode { node, bytes: contents });
        }
        Ok(fs)
    }

    pub(crate) fn get(&self, path: &[u8]) -> Option<&Inode> {
        self.names.get(path).map(|index| &self.inodes[*index])
    }

    pub(crate) fn is_directory(&self, path: &[u8]) -> bool {
        self.get(path).is_some_and(|inode| inode.node.kind == Kind::Directory)
    }

    /// Whether two paths are names of one inode.
    pub(crate) fn index(&self, path: &[u8]) -> Option<usize> {
        self.names.get(path).copied()
    }

    /// The names directly or indirectly below a directory, in order.
    pub(crate) fn below<'a>(&'a self, path: &[u8]) -> impl Iterator<Item = &'a Vec<u8>> + use<'a> {
        let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let start = prefix.clone();
        let within = move |name: &&Vec<u8>| name.starts_with(&prefix);
        self.names.range(start..).map(|(name, _)| name).take_while(within).filter(|name| !name.is_empty())
    }

    /// Where a path leads: without links as far as there is something, the rest as it is. `None`: too many links.
    pub(crate) fn resolve(&self, path: &[u8]) -> Option<Vec<u8>> {
        let names = |path: &[u8]| -> Vec<Vec<u8>> {
            path.split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty())
                .rev()
                .map(<[u8]>::to_vec)
                .collect()
        };
        let mut at = Vec::new();
        let mut todo = names(path);
        let mut links = 0;
        while let Some(name) = todo.pop() {
            match &name[..] {
                b"." => {}
                b".." => at = parent(&at).to_vec(),
                _ => {
                    let here = join(&at, &name);
                    match self.get(&here).map(|inode| &inode.node.kind) {
                        Some(Kind::Symlink(target)) => {
                            links += 1;
                            if links > LINKS_MAX {
                                return None;
                            }
                            if target.starts_with(b"/") {
                                at.clear();
                            }
                            todo.extend(names(target));
                        }
                        _ => at = here,
                    }
                }
            }
        }
        Some(at)
    }

    /// Takes all names below a directory away.
    fn clear(&mut self, path: &[u8]) {
        let below: Vec<_> = self.below(path).cloned().collect();
        for name in below {
            self.names.remove(&name);
        }
    }

    fn remove(&mut self, path: &[u8]) {
        self.clear(path);
        if !path.is_empty() {
            self.names.remove(path);
        }
    }

    /// Puts one change of a layer in its place.
    pub(crate) fn apply(&mut self, node: Node, bytes: Bytes) {
        match &node.kind {
            Kind::Whiteout => return self.remove(&node.path),
            Kind::Opaque => {
                return self.clear(&node.path);
            }
            Kind::HardLink(to) => {
                if let Some(&index) = self.names.get(to) {
                    self.remove(&node.path);
                    self.names.insert(node.path, index);
                }
                return;
            }
            _ => {}
        }
        // Directories that a layer takes for granted.
        let mut missing = Vec::new();
        let mut above = parent(&node.path);
        while !self.is_directory(above) {
            missing.push(above.to_vec());
            above = parent(above);
        }
        for path in missing.into_iter().rev() {
            self.remove(&path);
            self.names.insert(path.clone(), self.inodes.len());
            self.inodes.push(directory(&path, 0o755));
        }
        let path = node.path.clone();
        if node.kind == Kind::Directory && self.is_directory(&path) {
            let index = self.names[&path];
            self.inodes[index].node = node;
            return;
        }
        self.remove(&path);
        self.names.insert(path, self.inodes.len());
        self.inodes.push(Inode { node, bytes });
    }

    /// Writes it as an EROFS image.
    pub(crate) fn write(&self, to: &Path) -> Result<u64, BuildError> {
        let io = |source| BuildError::Io { path: to.to_path_buf(), source };
        let root = &self.inodes[self.names[&b""[..]]].node;
        let mut tree = Tree::new(meta(root));
        let mut directories: HashMap<&[u8], NodeId> = HashMap::from([(&b""[..], Tree::ROOT)]);
        let mut known: HashMap<usize, NodeId> = HashMap::new();
        for (path, index) in self.names.iter().filter(|(path, _)| !path.is_empty()) {
            let Some(&above) = directories.get(parent(path)) else { continue };
            let name = &path[parent(path).len() + usize::from(!parent(path).is_empty())..];
            if let Some(&id) = known.get(index) {
                tree.link(above, name, id)?;
                continue;
            }
            let inode = &self.inodes[*index];
            let is_directory = inode.node.kind == Kind::Directory;
            let kind = match &inode.node.kind {
                Kind::File(size) => TreeKind::File {
                    content: Content::Runs { runs: inode.bytes.runs.clone(), size: *size },
                    mapped: self.is_elf(inode),
                },
                Kind::Symlink(target) => TreeKind::Symlink(target.clone()),
                Kind::CharDevice(major, minor) => TreeKind::CharDevice { major: *major, minor: *minor },
                Kind::BlockDevice(major, minor) => TreeKind::BlockDevice { major: *major, minor: *minor },
                Kind::Fifo => TreeKind::Fifo,
                _ => TreeKind::directory(),
            };
            let id = tree.add(above, name, meta(&inode.node), kind)?;
            if is_directory {
                directories.insert(path, id);
            } else {
                known.insert(*index, id);
            }
        }
        let mut out = BufWriter::with_capacity(1 << 20, File::create(to).map_err(io)?);
        let size = tree.write(&mut out)?;
        out.flush().map_err(io)?;
        Ok(size)
    }

    fn is_elf(&self, inode: &Inode) -> bool {
        let Some((Some(Part { path, offset }), 4..)) = inode.bytes.runs.first() else { return false };
        let mut head = [0; 4];
        let mut read = || -> io::Result<()> {
            let mut file = File::open(&**path)?;
            file.seek(SeekFrom::Start(*offset))?;
            file.read_exact(&mut head)
        };
        read().is_ok() && head == *b"\x7fELF"
    }
}

fn meta(node: &Node) -> Meta {
    Meta {
        permissions: node.permissions as u16,
        uid: node.uid,
        gid: node.gid,
        mtime: node.mtime.div_euclid(1_000_000_000),
        mtime_nsec: node.mtime.rem_euclid(1_000_000_000) as u32,
        xattrs: node.xattrs.iter().cloned().collect(),
    }
}
