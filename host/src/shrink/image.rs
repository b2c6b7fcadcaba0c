//! An image as shrinking sees it: every path, where links lead, and the bytes of files.

use super::ShrinkError;
use husk_erofs::{FileType, Image, Inode, Nid};
use husk_erofs_build::{Content, Kind, Meta, NodeId, Tree};
use std::collections::{BTreeMap, HashMap};

/// How many symbolic links one path may lead through, as in Linux.
const LINKS_MAX: usize = 40;
/// The longest path.
const PATH_MAX: usize = 4096;

/// What stands at a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) nid: Nid,
    pub(super) kind: FileType,
    /// In bytes, of a regular file.
    pub(super) size: u64,
}

/// All of an image. Paths are absolute; the root is `/`.
pub(super) struct Root<'a> {
    image: Image<'a>,
    pub(super) items: BTreeMap<Vec<u8>, Item>,
}

/// A directory and a name in it.
pub(super) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir == b"/" { [b"/", name].concat() } else { [dir, b"/", name].concat() }
}

/// The directory that a path lies in.
pub(super) fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|byte| *byte == b'/')?;
    match (path, slash) {
        (b"/", _) => None,
        (_, 0) => Some(b"/"),
        _ => Some(&path[..slash]),
    }
}

impl<'a> Root<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, ShrinkError> {
        let image = Image::open(bytes)?;
        image.verify_checksum()?;
        let root = image.inode(image.root())?;
        let mut items = BTreeMap::from([(b"/".to_vec(), item(&root))]);
        let mut todo = vec![(b"/".to_vec(), root)];
        while let Some((path, dir)) = todo.pop() {
            for entry in image.entries(&dir, 0)? {
                let entry = entry?;
                if matches!(entry.name, b"." | b"..") {
                    continue;
                }
                let path = join(&path, entry.name);
                // An image with a directory in itself has endless paths.
                if path.len() > PATH_MAX {
                    return Err(ShrinkError::Endless);
                }
                let inode = image.inode(entry.nid)?;
                items.insert(path.clone(), item(&inode));
                if inode.file_type() == FileType::Directory {
                    todo.push((path, inode));
                }
            }
        }
        Ok(Self { image, items })
    }

    /// The path that `path` leads to, without links, and each link on the way. `None` where it leads nowhere.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let mut links = Vec::new();
        let mut at = b"/".to_vec();
        let mut todo: Vec<Vec<u8>> = names(path);
        while let Some(name) = todo.pop() {
            match &name[..] {
                b"." => continue,
                b".." => {
                    at = parent(&at).unwrap_or(b"/").to_vec();
                    continue;
                }
                _ => {}
            }
            let here = join(&at, &name);
            if self.items.get(&here)?.kind == FileType::Symlink {
                let target = self.target(&here)?;
                links.push(here);
                if links.len() > LINKS_MAX {
                    return None;
                }
                if target.starts_with(b"/") {
                    at = b"/".to_vec();
                }
                todo.extend(names(target));
            } else {
                at = here;
            }
        }
        Some((at, links))
    }

    /// Where a symbolic link points.
    fn target(&self, path: &[u8]) -> Option<&'a [u8]> {
        let inode = self.image.inode(self.items.get(path)?.nid).ok()?;
        self.image.symlink(&inode).ok()
    }

    /// The bytes of a regular file.
    pub(super) fn contents(&self, path: &[u8]) -> Result<Vec<u8>, ShrinkError> {
        let Some(item) = self.items.get(path) else { return Ok(Vec::new()) };
        self.bytes(&self.image.inode(item.nid)?)
    }

    /// The first bytes of a regular file, at most `len`.
    pub(super) fn head(&self, path: &[u8], len: usize) -> Vec<u8> {
        let mut head = vec![0; len];
        let read = || {
            let inode = self.image.inode(self.items.get(path)?.nid).ok()?;
            self.image.read(&inode, 0, &mut head).ok()
        };
        let count = { read }().unwrap_or(0);
        head.truncate(count);
        head
    }

    fn bytes(&self, inode: &Inode) -> Result<Vec<u8>, ShrinkError> {
        let size = usize::try_from(inode.size).map_err(|_| ShrinkError::Endless)?;
        if size as u64 > self.image.bytes().len() as u64 * 64 {
            return Err(ShrinkError::Endless);
        }
        let mut bytes = vec![0; size];
        let mut done = 0;
        while done < size {
            match self.image.read(inode, done as u64, &mut bytes[done..])? {
                0 => break,
                count => done += count,
            }
        }
        Ok(bytes)
    }

    /// The tree with only those paths that `is_kept` says; the directories that they lie in must be among them.
    pub(super) fn tree(&self, is_kept: impl Fn(&[u8]) -> bool) -> Result<Tree, ShrinkError> {
        let inode = self.image.inode(self.image.root())?;
        let mut tree = Tree::new(self.meta(&inode)?);
        let mut directories: HashMap<&[u8], NodeId> = HashMap::from([(&b"/"[..], Tree::ROOT)]);
        let mut nodes: HashMap<Nid, NodeId> = HashMap::new();
        for (path, item) in self.items.iter().filter(|(path, _)| is_kept(path)) {
            let Some(above) = parent(path) else { continue };
            let Some(&above) = directories.get(above) else { continue };
            let name = &path[path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1)..];
            if let Some(&node) = nodes.get(&item.nid) {
                tree.link(above, name, node)?;
                continue;
            }
            let inode = self.image.inode(item.nid)?;
            let (major, minor) = inode.device;
            let kind = match item.kind {
                FileType::Directory => Kind::directory(),
                FileType::Symlink => Kind::Symlink(self.image.symlink(&inode)?.to_vec()),
                FileType::CharDevice => Kind::CharDevice { major, minor },
                FileType::BlockDevice => Kind::BlockDevice { major, minor },
                FileType::Fifo => Kind::Fifo,
                FileType::Socket => Kind::Socket,
                _ => {
                    let bytes = self.bytes(&inode)?;
                    let mapped = bytes.starts_with(b"\x7fELF");
                    Kind::File { content: Content::Bytes(bytes), mapped }
                }
            };
            let id = tree.add(above, name, self.meta(&inode)?, kind)?;
            if item.kind == FileType::Directory {
                directories.insert(path, id);
            } else {
                nodes.insert(item.nid, id);
            }
        }
        Ok(tree)
    }

    fn meta(&self, inode: &Inode) -> Result<Meta, ShrinkError> {
        let mut xattrs = BTreeMap::new();
        for xattr in self.image.xattrs(inode) {
            let xattr = xattr?;
            xattrs.insert([xattr.prefix.as_bytes(), xattr.suffix].concat(), xattr.value.to_vec());
        }
        Ok(Meta {
            permissions: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            mtime: inode.mtime,
            mtime_nsec: inode.mtime_nsec,
            xattrs,
        })
    }
}

fn item(inode: &Inode) -> Item {
    let kind = inode.file_type();
    Item { nid: inode.nid, kind, size: if kind == FileType::Regular { inode.size } else { 0 } }
}

/// A path's components, last first.
fn names(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).rev().map(<[u8]>::to_vec).collect()
}
