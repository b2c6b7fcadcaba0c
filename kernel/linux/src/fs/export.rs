//! What a guest changed in its root file system, as frames of its record: the layer over the root image.
//!
//! Runs when process 1 has ended, with the tree as it is then. A file of the image counts as changed when its contents,
//! attributes (times of access and of attribute changes apart) or extended attributes differ, when it stands under
//! another name than in the image, or when another of its names does; a directory of the image that stands elsewhere comes with
//! all that is in it. Sockets are left out. What is mounted over the root file system does not belong to it.

use super::image::RootImage;
use super::inode::{Attributes, Inode, Node};
use super::{Entry, major_minor, mount};
use crate::file::io::Sink;
use crate::record::Writer;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use husk_abi::record::{
    DATA, NODE, NODE_BLOCK_DEVICE, NODE_CHAR_DEVICE, NODE_DIRECTORY, NODE_FIFO, NODE_FILE, NODE_HARD_LINK,
    NODE_OPAQUE, NODE_SYMLINK, NODE_WHITEOUT,
};
use linux_raw_sys::general::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG};

/// Bytes of a file that are sent at once.
const PIECE: usize = 32 << 10;

/// Sends the changes.
pub(crate) fn write(writer: &mut Writer) {
    let top = mount::root();
    let Some(image) = top.inode().fs.image() else { return };
    let mut export = Export { image, changed: BTreeSet::new(), names: BTreeMap::new(), writer: None };
    // First which inodes are sent, since one changed name makes all names of an inode part of the layer.
    export.directory(&top.entry, &[], Some(image.root()));
    export.writer = Some(writer);
    export.directory(&top.entry, &[], Some(image.root()));
}

struct Export<'w> {
    image: RootImage,
    /// Inodes, directories apart, that are part of the layer.
    changed: BTreeSet<u64>,
    /// The name under which an inode with several was sent.
    names: BTreeMap<u64, Vec<u8>>,
    /// `None` in the first pass.
    writer: Option<&'w mut Writer>,
}

impl Export<'_> {
    /// The directory `entry`, which stands at `path`, where the image has inode `origin`.
    fn directory(&mut self, entry: &Arc<Entry>, path: &[u8], origin: Option<u64>) {
        let inode = entry.inode();
        let Some(directory) = inode.directory() else { return };
        let is_original = origin == Some(inode.ino);
        if !is_original || is_changed(inode, self.image) {
            self.node(NODE_DIRECTORY, inode, path, &[], 0);
        }
        let was = origin
            .and_then(|nid| self.image.inode(nid).ok())
            .filter(|was| u32::from(was.mode) & S_IFDIR != 0);
        if !is_original {
            if was.is_some() {
                self.node(NODE_OPAQUE, inode, path, &[], 0);
            }
            // The tables have only those names of the image that were looked up.
            let mut names = Vec::new();
            directory.list(0, |listed| {
                names.push(listed.name.to_vec());
                true
            });
            for name in names {
                directory.lookup(entry, &name);
            }
        }
        let mut children = directory.entries();
        children.sort_unstable_by_key(|child| child.name());
        let was = was.filter(|_| is_original);
        if let Some(was) = &was
            && directory.count().is_some()
        {
            let present = |name: &[u8]| children.binary_search_by(|child| (*child.name()).cmp(name)).is_ok();
            let entries = self.image.entries(was, 0).ok().into_iter().flatten().map_while(Result::ok);
            let mut gone: Vec<&[u8]> = entries
                .map(|entry| entry.name)
                .filter(|name| !matches!(*name, b"." | b"..") && !present(name))
                .collect();
            gone.sort_unstable();
            for name in gone {
                self.node(NODE_WHITEOUT, inode, &join(path, name), &[], 0);
            }
        }
        for child in children {
            if child.is_mountpoint() {
                continue;
            }
            let name = child.name();
            let below = join(path, &name);
            let origin =
                was.as_ref().and_then(|was| self.image.lookup(was, &name).ok().flatten()).map(|was| was.nid);
            if child.inode().is_directory() {
                self.directory(&child, &below, origin);
            } else {
                self.file(child.inode(), &below, origin);
            }
        }
    }

    /// Anything but a directory.
    fn file(&mut self, inode: &Arc<Inode>, path: &[u8], origin: Option<u64>) {
        if self.writer.is_none() {
            if origin != Some(inode.ino) || is_changed(inode, self.image) {
                self.changed.insert(inode.ino);
            }
            return;
        }
        if !self.changed.contains(&inode.ino) {
            return;
        }
        if let Some(first) = self.names.get(&inode.ino).cloned() {
            return self.node(NODE_HARD_LINK, inode, path, &first, 0);
        }
        if inode.attributes().nlink > 1 {
            self.names.insert(inode.ino, path.to_vec());
        }
        match (&inode.node, inode.kind()) {
            (Node::File(contents), S_IFREG) => {
                let size = contents.size();
                self.node(NODE_FILE, inode, path, &[], size);
                let mut piece = vec![0; PIECE];
                let mut at = 0;
                while at < size {
                    let len = PIECE.min((size - at) as usize);
                    let mut sink = Sink::Kernel(&mut piece[..len]);
                    // The file has so many bytes and nobody else runs.
                    let Ok(done @ 1..) = contents.read(at, &mut sink) else { break };
                    if let Some(writer) = &mut self.writer {
                        writer.frame(DATA, &[&piece[..done]]);
                    }
                    at += done as u64;
                }
            }
            (Node::Symlink(target), S_IFLNK) => self.node(NODE_SYMLINK, inode, path, target.bytes(), 0),
            (_, S_IFCHR) => self.node(NODE_CHAR_DEVICE, inode, path, &[], 0),
            (_, S_IFBLK) => self.node(NODE_BLOCK_DEVICE, inode, path, &[], 0),
            (_, S_IFIFO) => self.node(NODE_FIFO, inode, path, &[], 0),
            _ => {}
        }
    }

    fn node(&mut self, kind: u8, inode: &Inode, path: &[u8], target: &[u8], size: u64) {
        let Some(writer) = &mut self.writer else { return };
        let Attributes { mode, uid, gid, mtime, .. } = inode.attributes();
        let (major, minor) = major_minor(inode.rdev());
        let mut bytes = vec![kind];
        for number in [mode & 0o7777, uid, gid] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&mtime.to_le_bytes());
        bytes.extend_from_slice(&major.to_le_bytes());
        bytes.extend_from_slice(&minor.to_le_bytes());
        bytes.extend_from_slice(&size.to_le_bytes());
        let mut short = |text: &[u8]| {
            bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
            bytes.extend_from_slice(text);
        };
        short(path);
        short(target);
        let mut xattrs = Vec::new();
        if !matches!(kind, NODE_WHITEOUT | NODE_OPAQUE | NODE_HARD_LINK) {
            inode.with_xattrs(|all| {
                xattrs.extend(all.iter().map(|(name, value)| (name.clone(), value.clone())))
            });
        }
        bytes.extend_from_slice(&(xattrs.len() as u16).to_le_bytes());
        for (name, value) in xattrs {
            bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&name);
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&value);
        }
        writer.frame(NODE, &[&bytes]);
    }
}

fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

/// Whether an inode of the image is no longer what the image says.
fn is_changed(inode: &Inode, image: RootImage) -> bool {
    let Ok(was) = image.inode(inode.ino) else { return true };
    let now = inode.attributes();
    let mtime = was.mtime.saturating_mul(1_000_000_000).saturating_add(was.mtime_nsec.into());
    (now.mode, now.uid, now.gid, now.mtime) != (u32::from(was.mode), was.uid, was.gid, mtime)
        || inode.contents().is_some_and(super::contents::Contents::is_changed)
        || inode.xattrs_changed()
}
