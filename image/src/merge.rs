//! The layers of an image become one tree: an EROFS image of metadata alone, whose inodes point into the layers' blocks.
//!
//! The layers are the image's further devices, each with a place in the one space of block addresses: the merged image
//! first, then those layers of which a file is left, lowest first. A layer's content is thus on disk once, however many
//! images share it.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use husk_erofs::{FileType, Inode, Nid};
use husk_erofs_build::{Content, Device, Kind, Meta, NodeId, Tree};

use crate::layer::{IMPLICIT, OPAQUE};
use crate::map::Mapped;
use crate::{Digest, ImageError};

/// Most layers with content in one image: Docker's own limit for all layers.
pub(crate) const DEVICES_MAX: usize = 127;
/// Names in one layer; more would mean a damaged file that leads in circles.
const NAMES_MAX: usize = 8 << 20;
const BLOCK: u64 = 4096;
const LINKS_MAX: usize = 40;

/// A layer of the store.
pub(crate) struct Layer {
    pub(crate) path: PathBuf,
    pub(crate) diff_id: Digest,
}

/// Where a file's bytes are.
struct Place {
    layer: usize,
    block: u32,
    size: u64,
}

/// Writes the merged image of `layers`, lowest first, with `directories` made where they are missing.
pub(crate) fn merge(layers: &[Layer], directories: &[String], out: impl Write) -> Result<(), ImageError> {
    let mut merge =
        Merge { tree: Tree::new(Meta { permissions: 0o755, ..Meta::default() }), places: HashMap::new() };
    let mut blocks = Vec::new();
    for (number, layer) in layers.iter().enumerate() {
        let mapped = Mapped::open(&layer.path)?;
        let image = mapped.image(&layer.path)?;
        blocks.push(image.bytes().len() as u64 / BLOCK);
        merge.apply(number, &image).map_err(|error| match error {
            Failure::Erofs(error) => ImageError::Erofs { path: layer.path.clone(), error },
            Failure::Other(error) => error,
        })?;
    }
    for directory in directories {
        merge.make_directory(directory.as_bytes())?;
    }
    let Merge { mut tree, places } = merge;
    // Only files that still have a name count, so that hidden layers are not opened.
    let mut is_used = vec![false; layers.len()];
    tree.walk(|_, id| {
        if let Some(place) = places.get(&id) {
            is_used[place.layer] = true;
        }
    });
    let used: Vec<usize> = (0..layers.len()).filter(|&number| is_used[number]).collect();
    if used.len() > DEVICES_MAX {
        let why = format!("{} layers with content; at most {DEVICES_MAX} are possible", used.len());
        return Err(ImageError::document("image", why));
    }
    let mut devices = Vec::new();
    for &number in &used {
        let blocks = u32::try_from(blocks[number]).map_err(|_| ImageError::document("image", "too big"))?;
        devices.push(Device { tag: layers[number].diff_id.hex().as_bytes().to_vec(), blocks });
    }
    let mut starts = vec![0; layers.len()];
    let mut next = tree.blocks(&devices)?;
    for (&number, device) in used.iter().zip(&devices) {
        starts[number] = next;
        next = next.checked_add(device.blocks).ok_or_else(|| ImageError::document("image", "too big"))?;
    }
    for (&id, place) in &places {
        let block = starts[place.layer].saturating_add(place.block);
        tree.set_content(id, Content::Stored { block, size: place.size });
    }
    tree.write_with_devices(out, &devices)?;
    Ok(())
}

enum Failure {
    Erofs(husk_erofs::Error),
    Other(ImageError),
}

impl From<husk_erofs::Error> for Failure {
    fn from(error: husk_erofs::Error) -> Self {
        Self::Erofs(error)
    }
}

impl From<husk_erofs_build::Error> for Failure {
    fn from(error: husk_erofs_build::Error) -> Self {
        Self::Other(error.into())
    }
}

struct Merge {
    tree: Tree,
    places: HashMap<NodeId, Place>,
}

impl Merge {
    fn apply(&mut self, number: usize, layer: &husk_erofs::Image<'_>) -> Result<(), Failure> {
        let corrupt = |nid, what| Failure::Erofs(husk_erofs::Error::Corrupt { nid, what });
        let root = layer.inode(layer.root())?;
        let (meta, is_opaque, is_implicit) = meta(layer, &root)?;
        if is_opaque {
            for name in self.names(Tree::ROOT) {
                self.tree.remove(Tree::ROOT, &name);
            }
        }
        // A layer that says nothing of its root has this time, as `layer` writes it.
        if !is_implicit && (meta != Meta { permissions: 0o755, ..Meta::default() } || number == 0) {
            *self.tree.meta_mut(Tree::ROOT) = meta;
        }
        let mut links: HashMap<Nid, NodeId> = HashMap::new();
        let mut todo = vec![(root, Tree::ROOT, Vec::new())];
        let mut count = 0;
        while let Some((dir, parent, path)) = todo.pop() {
            for entry in layer.entries(&dir, 0)? {
                let entry = entry?;
                if matches!(entry.name, b"." | b"..") {
                    continue;
                }
                count += 1;
                if count > NAMES_MAX {
                    return Err(corrupt(dir.nid, "its directories lead in circles"));
                }
                let inode = layer.inode(entry.nid)?;
                let name = entry.name;
                let below = || [path.as_slice(), b"/", name].concat();
                match inode.file_type() {
                    FileType::Directory => {
                        let (node, path) = self.directory(layer, &inode, parent, name, below())?;
                        todo.push((inode, node, path));
                    }
                    FileType::CharDevice if inode.device == (0, 0) => self.tree.remove(parent, name),
                    _ => {
                        self.tree.remove(parent, name);
                        match links.get(&inode.nid) {
                            Some(&node) => self.tree.link(parent, name, node)?,
                            None => {
                                let node = self.file(number, layer, &inode, parent, name)?;
                                links.insert(inode.nid, node);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn names(&self, node: NodeId) -> Vec<Vec<u8>> {
        match &self.tree.node(node).kind {
            Kind::Directory(entries) => entries.keys().cloned().collect(),
            _ => Vec::new(),
        }
    }

    fn directory(
        &mut self,
        layer: &husk_erofs::Image<'_>,
        inode: &Inode,
        parent: NodeId,
        name: &[u8],
        path: Vec<u8>,
    ) -> Result<(NodeId, Vec<u8>), Failure> {
        let (meta, is_opaque, is_implicit) = meta(layer, inode)?;
        if let (Some(node), false) = (self.tree.child(parent, name), is_opaque) {
            match self.tree.node(node).kind {
                Kind::Directory(_) => {
                    if !is_implicit {
                        *self.tree.meta_mut(node) = meta;
                    }
                    return Ok((node, path));
                }
                // The layer has files at a path that leads over this link.
                Kind::Symlink(_) if is_implicit => {
                    if let Some(found) = self.resolve(&path) {
                        return Ok(found);
                    }
                }
                _ => {}
            }
        }
        self.tree.remove(parent, name);
        Ok((self.tree.add(parent, name, meta, Kind::directory())?, path))
    }

    /// The directory at a path, links followed within the root, and its path without links.
    fn resolve(&self, path: &[u8]) -> Option<(NodeId, Vec<u8>)> {
        let mut todo = names_from_end(path);
        let mut at = vec![(Tree::ROOT, Vec::new())];
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == b".." {
                if at.len() > 1 {
                    at.pop();
                }
                continue;
            }
            let (here, path) = at.last()?;
            let node = self.tree.child(*here, &name)?;
            match &self.tree.node(node).kind {
                Kind::Directory(_) => {
                    let below = [path.as_slice(), b"/", &name].concat();
                    at.push((node, below));
                }
                Kind::Symlink(target) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        at.truncate(1);
                    }
                    todo.extend(names_from_end(target));
                }
                _ => return None,
            }
        }
        at.pop()
    }

    fn file(
        &mut self,
        number: usize,
        layer: &husk_erofs::Image<'_>,
        inode: &Inode,
        parent: NodeId,
        name: &[u8],
    ) -> Result<NodeId, Failure> {
        let corrupt = |what| Failure::Erofs(husk_erofs::Error::Corrupt { nid: inode.nid, what });
        let (major, minor) = inode.device;
        let mut place = None;
        let kind = match inode.file_type() {
            FileType::Regular => {
                if inode.size > 0 {
                    let extent = layer.extent(inode, 0)?.ok_or(corrupt("it has no data"))?;
                    let at = extent.image_offset.filter(|at| at % BLOCK == 0 && extent.len == inode.size);
                    let at = at.ok_or(corrupt("its data are not as this store writes them"))?;
                    place = Some(Place { layer: number, block: (at / BLOCK) as u32, size: inode.size });
                }
                Kind::File { content: Content::Bytes(Vec::new()), mapped: true }
            }
            FileType::Symlink => Kind::Symlink(layer.symlink(inode)?.to_vec()),
            FileType::CharDevice => Kind::CharDevice { major, minor },
            FileType::BlockDevice => Kind::BlockDevice { major, minor },
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::Directory | FileType::Unknown => return Err(corrupt("its type is unknown")),
        };
        let (meta, ..) = meta(layer, inode)?;
        let node = self.tree.add(parent, name, meta, kind)?;
        if let Some(place) = place {
            self.places.insert(node, place);
        }
        Ok(node)
    }

    /// Makes a directory, and those above it, unless there is something.
    fn make_directory(&mut self, path: &[u8]) -> Result<(), ImageError> {
        let mut at = (Tree::ROOT, Vec::new());
        for name in path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")) {
            if name == b".." {
                return Ok(());
            }
            let below = [at.1.as_slice(), b"/", name].concat();
            if let Some(found) = self.resolve(&below) {
                at = found;
            } else if self.tree.child(at.0, name).is_some() {
                return Ok(());
            } else {
                let meta = Meta { permissions: 0o755, ..Meta::default() };
                at = (self.tree.add(at.0, name, meta, Kind::directory())?, below);
            }
        }
        Ok(())
    }
}

/// An inode's attributes without this store's own marks; whether it is opaque, whether it is implicit.
fn meta(layer: &husk_erofs::Image<'_>, inode: &Inode) -> Result<(Meta, bool, bool), husk_erofs::Error> {
    let mut meta = Meta {
        permissions: inode.mode & 0o7777,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        mtime_nsec: inode.mtime_nsec,
        xattrs: std::collections::BTreeMap::new(),
    };
    for xattr in layer.xattrs(inode) {
        let xattr = xattr?;
        let name = [xattr.prefix.as_bytes(), xattr.suffix].concat();
        meta.xattrs.insert(name, xattr.value.to_vec());
    }
    let is_opaque = meta.xattrs.remove(OPAQUE).is_some();
    let is_implicit = meta.xattrs.remove(IMPLICIT).is_some();
    Ok((meta, is_opaque, is_implicit))
}

/// The names of a path, the last one first: a walk takes them off the end, and puts those of a link there.
pub(crate) fn names_from_end(path: &[u8]) -> Vec<Vec<u8>> {
    let parts = path.split(|&byte| byte == b'/').rev();
    parts.filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}
