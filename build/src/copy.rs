//! COPY and ADD: from the context or another stage into a layer.

use crate::BuildError;
use crate::fs::{Bytes, Fs, join, parent};
use crate::ignore::{Ignore, glob};
use crate::layer::Writer;
use husk_host::record::{Changes, Kind, Node};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A path of a root, for messages.
fn shown(path: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(path).into_owned())
}

/// The context as a root of its own: what `.dockerignore` leaves, owned by nobody but root.
pub(crate) fn context(folder: &Path, ignore: &Ignore) -> Result<Fs, BuildError> {
    let mut context = Fs::empty();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(dir) = todo.pop() {
        let io = |source| BuildError::Io { path: dir.clone(), source };
        let mut entries = fs::read_dir(&dir).map_err(io)?.collect::<Result<Vec<_>, _>>().map_err(io)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let Ok(relative) = path.strip_prefix(folder) else { continue };
            let stat = entry.metadata().map_err(|source| BuildError::Io { path: path.clone(), source })?;
            let left_out = ignore.leaves_out(relative);
            if stat.is_dir() && (!left_out || ignore.may_take_back()) {
                todo.push(path.clone());
            }
            if left_out {
                continue;
            }
            let kind = if stat.is_dir() {
                Kind::Directory
            } else if stat.is_symlink() {
                let target =
                    fs::read_link(&path).map_err(|source| BuildError::Io { path: path.clone(), source })?;
                Kind::Symlink(target.into_os_string().into_vec())
            } else if stat.is_file() {
                Kind::File(stat.size())
            } else if stat.file_type().is_fifo() {
                Kind::Fifo
            } else {
                // Sockets and devices are not sent to a build.
                continue;
            };
            let bytes =
                if stat.is_file() { Bytes::of_file(path.clone(), 0, stat.size()) } else { Bytes::default() };
            let node = Node {
                kind,
                permissions: stat.mode() & 0o7777,
                uid: 0,
                gid: 0,
                mtime: stat.mtime().saturating_mul(1_000_000_000).saturating_add(stat.mtime_nsec()),
                path: relative.as_os_str().as_bytes().to_vec(),
                xattrs: Vec::new(),
            };
            context.apply(node, bytes);
        }
    }
    Ok(context)
}

/// What one COPY copies, and how.
#[derive(Clone)]
pub(crate) struct Copy<'a> {
    pub(crate) from: &'a Fs,
    /// Files to make, by name, and paths or patterns in `from`.
    pub(crate) inline: &'a [(String, Vec<u8>)],
    pub(crate) sources: &'a [String],
    /// Absolute; a slash at its end means a directory.
    pub(crate) to: &'a str,
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) permissions: Option<u32>,
    /// Where a file is to lie that is made here.
    pub(crate) scratch: &'a Path,
}

/// A path of the source and the name that it gets below the destination: none for the contents of a directory.
struct Found {
    path: Vec<u8>,
    name: Vec<u8>,
}

impl Copy<'_> {
    fn find(&self) -> Result<Vec<Found>, BuildError> {
        let mut found = Vec::new();
        for source in self.sources {
            let clean = clean(source).ok_or_else(|| BuildError::OutsideContext(source.clone()))?;
            let before = found.len();
            let name =
                |path: &[u8]| path[parent(path).len() + usize::from(!parent(path).is_empty())..].to_vec();
            if self.from.resolve(clean.as_bytes()).is_some_and(|path| self.from.get(&path).is_some()) {
                found.push(Found { path: clean.as_bytes().to_vec(), name: name(clean.as_bytes()) });
            } else if clean.contains(['*', '?', '[']) {
                let pattern =
                    glob(&clean).map_err(|error| BuildError::Pattern(source.clone(), error.to_string()))?;
                let matching = self
                    .from
                    .below(b"")
                    .filter(|path| pattern.is_match(Path::new(std::ffi::OsStr::from_bytes(path))));
                found.extend(matching.map(|path| Found { path: path.clone(), name: name(path) }));
            }
            if found.len() == before {
                return Err(BuildError::NoSource(source.clone()));
            }
        }
        Ok(found)
    }

    /// A digest of all that is copied: contents and attributes, not times.
    pub(crate) fn digest(&self) -> Result<[u8; 32], BuildError> {
        let mut hash = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (name, bytes) in self.inline {
            field(name.as_bytes());
            field(bytes);
        }
        for found in self.find()? {
            let real = self.from.resolve(&found.path).unwrap_or_default();
            let below = self.from.below(&real).cloned();
            for path in std::iter::once(real.clone()).chain(below) {
                let Some(inode) = self.from.get(&path) else { continue };
                field(&found.name);
                field(&path[real.len()..]);
                field(
                    format!(
                        "{:?} {} {} {}",
                        inode.node.kind, inode.node.permissions, inode.node.uid, inode.node.gid
                    )
                    .as_bytes(),
                );
                let mut contents = Sha256::new();
                let io = |source| BuildError::Io { path: shown(&path), source };
                inode
                    .bytes
                    .each(|piece| {
                        contents.update(piece);
                        Ok(())
                    })
                    .map_err(io)?;
                field(&contents.finalize());
            }
        }
        Ok(hash.finalize().into())
    }

    /// Writes the layer that puts it into `fs`.
    pub(crate) fn write(&self, fs: &Fs, layer: &mut Writer) -> Result<(), BuildError> {
        let found = self.find()?;
        let wanted = clean(self.to).unwrap_or_default();
        let to = fs
            .resolve(wanted.as_bytes())
            .ok_or_else(|| BuildError::Destination(self.to.to_owned(), "too many links"))?;
        let is_directory = self.to.ends_with('/') || fs.is_directory(&to);
        if !is_directory && found.len() + self.inline.len() > 1 {
            return Err(BuildError::Destination(
                self.to.to_owned(),
                "several files need a directory, with a slash at its end",
            ));
        }
        let mut put = Put { fs, layer, made: Vec::new(), owner: self.owner };
        for (name, bytes) in self.inline {
            let place = if is_directory { join(&to, name.as_bytes()) } else { to.clone() };
            let file = self.scratch.join("inline");
            let io = |source| BuildError::Io { path: file.clone(), source };
            fs::write(&file, bytes).map_err(io)?;
            let size = bytes.len() as u64;
            let node = Node {
                kind: Kind::File(size),
                permissions: self.permissions.unwrap_or(0o644),
                uid: 0,
                gid: 0,
                mtime: 0,
                path: place,
                xattrs: Vec::new(),
            };
            put.file(node, &Bytes::of_file(file.clone(), 0, size))?;
        }
        for found in found {
            let real = self.from.resolve(&found.path).unwrap_or_default();
            if self.from.is_directory(&real) {
                put.directories(&to)?;
                if fs.get(&to).is_some() && !fs.is_directory(&to) {
                    return Err(BuildError::Destination(self.to.to_owned(), "it is no directory"));
                }
                let mut links: HashMap<usize, Vec<u8>> = HashMap::new();
                for path in self.from.below(&real) {
                    let place = join(&to, &path[real.len() + usize::from(!real.is_empty())..]);
                    self.put(&mut put, path, place, &mut links)?;
                }
            } else {
                let place = if is_directory { join(&to, &found.name) } else { to.clone() };
                self.put(&mut put, &real, place, &mut HashMap::new())?;
            }
        }
        Ok(())
    }

    fn put(
        &self,
        put: &mut Put<'_>,
        path: &[u8],
        place: Vec<u8>,
        links: &mut HashMap<usize, Vec<u8>>,
    ) -> Result<(), BuildError> {
        let (Some(inode), Some(index)) = (self.from.get(path), self.from.index(path)) else { return Ok(()) };
        let mut node = inode.node.clone();
        node.path = place;
        if let Some(permissions) = self.permissions
            && !matches!(node.kind, Kind::Symlink(_))
        {
            node.permissions = permissions;
        }
        if node.kind != Kind::Directory {
            match links.get(&index) {
                Some(first) => node.kind = Kind::HardLink(first.clone()),
                None => drop(links.insert(index, node.path.clone())),
            }
        }
        if matches!(node.kind, Kind::HardLink(_)) {
            put.file(node, &Bytes::default())
        } else {
            put.file(node, &inode.bytes)
        }
    }
}

/// Writes files into a layer, with the directories that are not there yet.
struct Put<'a> {
    fs: &'a Fs,
    layer: &'a mut Writer,
    made: Vec<Vec<u8>>,
    owner: Option<(u32, u32)>,
}

impl Put<'_> {
    fn write(&mut self, mut node: Node, bytes: &Bytes) -> Result<(), BuildError> {
        (node.uid, node.gid) = self.owner.unwrap_or((node.uid, node.gid));
        let path = shown(&node.path);
        self.layer.file(node, bytes).map_err(|source| BuildError::Io { path, source })
    }

    /// Makes a directory and those above it, unless they are there.
    fn directories(&mut self, path: &[u8]) -> Result<(), BuildError> {
        if path.is_empty() || self.fs.is_directory(path) || self.made.iter().any(|made| made == path) {
            return Ok(());
        }
        self.directories(parent(path))?;
        self.made.push(path.to_vec());
        let node = Node {
            kind: Kind::Directory,
            permissions: 0o755,
            uid: 0,
            gid: 0,
            mtime: 0,
            path: path.to_vec(),
            xattrs: Vec::new(),
        };
        self.write(node, &Bytes::default())
    }

    fn file(&mut self, node: Node, bytes: &Bytes) -> Result<(), BuildError> {
        let shown = || String::from_utf8_lossy(&node.path).into_owned();
        self.directories(parent(&node.path))?;
        let is_directory = node.kind == Kind::Directory;
        if !is_directory && self.fs.is_directory(&node.path) {
            return Err(BuildError::Destination(shown(), "a directory is in the place of a file"));
        }
        if is_directory {
            self.made.push(node.path.clone());
        }
        self.write(node, bytes)
    }
}

/// A path without `.`, `..`, doubled slashes and one in front; `None` where it leads out.
pub(crate) fn clean(path: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                // From the root up is the root, but a source must not say so.
                if names.pop().is_none() && !path.starts_with('/') {
                    return None;
                }
            }
            _ => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// Makes directories in a layer, as WORKDIR does.
pub(crate) fn make_directory(fs: &Fs, path: &str, layer: &mut Writer) -> Result<(), BuildError> {
    let wanted = clean(path).unwrap_or_default();
    let to = fs
        .resolve(wanted.as_bytes())
        .ok_or_else(|| BuildError::Destination(path.to_owned(), "too many links"))?;
    Put { fs, layer, made: Vec::new(), owner: None }.directories(&to)
}

/// Whether a file begins as an archive that ADD would unpack does.
pub(crate) fn is_archive(head: &[u8]) -> bool {
    const MAGICS: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    MAGICS.iter().any(|magic| head.starts_with(magic)) || head.get(257..262) == Some(b"ustar")
}

/// A whole root as one layer.
pub(crate) fn whole(fs: &Fs, layer: &mut Writer) -> Result<(), BuildError> {
    let mut links: HashMap<usize, Vec<u8>> = HashMap::new();
    for (path, index) in &fs.names {
        let Some(inode) = fs.get(path) else { continue };
        let mut node = inode.node.clone();
        node.path.clone_from(path);
        let io = |source| BuildError::Io { path: shown(path), source };
        if node.kind != Kind::Directory {
            if let Some(first) = links.get(index) {
                node.kind = Kind::HardLink(first.clone());
                layer.node(node).map_err(io)?;
                continue;
            }
            links.insert(*index, path.clone());
        }
        layer.file(node, &inode.bytes).map_err(io)?;
    }
    Ok(())
}
