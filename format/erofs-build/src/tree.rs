//! The tree of names and inodes that an image is made from.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Error;

/// What every inode has, whatever its type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Permissions, set-id bits and sticky bit: 0 to 0o7777.
    pub permissions: u16,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since the epoch.
    pub mtime: i64,
    /// Below 10^9.
    pub mtime_nsec: u32,
    /// By whole name, as `user.x`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Where a regular file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Bytes(Vec<u8>),
    /// A file of the host, read when the image is written; it must then still have this size.
    Host {
        path: PathBuf,
        size: u64,
    },
    /// Parts of files of the host behind each other, each with its length; `None` is a part of zeros.
    Runs {
        runs: Vec<(Option<Part>, u64)>,
        size: u64,
    },
    /// Bytes that are there already, from a block on: in the part of the file before the metadata, or on a
    /// further device. See [`Tree::write_metadata`].
    Stored {
        block: u32,
        size: u64,
    },
}

/// Where a part of a file's bytes begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub path: Arc<PathBuf>,
    pub offset: u64,
}

impl Content {
    /// In bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host { size, .. } | Self::Runs { size, .. } | Self::Stored { size, .. } => *size,
        }
    }
}

/// An inode's type and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory(BTreeMap<Vec<u8>, NodeId>),
    File {
        content: Content,
        /// Whether it will be mapped as code: then no part of it is stored inline.
        mapped: bool,
    },
    Symlink(Vec<u8>),
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
    Fifo,
    Socket,
}

impl Kind {
    /// An empty directory.
    #[must_use]
    pub fn directory() -> Self {
        Self::Directory(BTreeMap::new())
    }
}

/// An inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub meta: Meta,
    pub kind: Kind,
    /// Names that lead to it; of a directory, one, its subdirectories are added when it is written.
    pub(crate) names: u32,
}

/// An inode's place in its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

/// A tree under construction. An inode without a name is not part of the image.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
}

impl Tree {
    /// The root directory of every tree.
    pub const ROOT: NodeId = NodeId(0);

    /// A tree with a root directory and nothing in it.
    #[must_use]
    pub fn new(root: Meta) -> Self {
        Self { nodes: vec![Node { meta: root, kind: Kind::directory(), names: 1 }] }
    }

    /// Adds an inode under a name that is still free.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::Parent`], [`Error::Target`].
    pub fn add(&mut self, parent: NodeId, name: &[u8], meta: Meta, kind: Kind) -> Result<NodeId, Error> {
        if let Kind::Symlink(target) = &kind
            && (target.is_empty() || target.len() > 4095 || target.contains(&0))
        {
            return Err(Error::Target(String::from_utf8_lossy(target).into_owned()));
        }
        let id = NodeId(self.nodes.len());
        self.enter(parent, name, id)?;
        self.nodes.push(Node { meta, kind, names: 1 });
        Ok(id)
    }

    /// Gives an inode that is no directory another name: a hard link.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Exists`], [`Error::Parent`].
    pub fn link(&mut self, parent: NodeId, name: &[u8], node: NodeId) -> Result<(), Error> {
        if matches!(self.nodes[node.0].kind, Kind::Directory(_)) {
            return Err(Error::Parent(String::from_utf8_lossy(name).into_owned()));
        }
        self.enter(parent, name, node)?;
        self.nodes[node.0].names += 1;
        Ok(())
    }

    fn enter(&mut self, parent: NodeId, name: &[u8], id: NodeId) -> Result<(), Error> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        let is_special = matches!(name, b"" | b"." | b"..");
        if is_special || name.len() > 255 || name.iter().any(|&byte| byte == 0 || byte == b'/') {
            return Err(Error::Name(shown()));
        }
        let Kind::Directory(entries) = &mut self.nodes[parent.0].kind else {
            return Err(Error::Parent(shown()));
        };
        if entries.contains_key(name) {
            return Err(Error::Exists(shown()));
        }
        entries.insert(name.to_vec(), id);
        Ok(())
    }

    /// Takes a name away from a directory, with all that is below it. An inode that has no name left is not
    /// written. There need not be such a name.
    pub fn remove(&mut self, parent: NodeId, name: &[u8]) {
        let Kind::Directory(entries) = &mut self.nodes[parent.0].kind else { return };
        let mut todo: Vec<NodeId> = entries.remove(name).into_iter().collect();
        while let Some(id) = todo.pop() {
            let node = &mut self.nodes[id.0];
            node.names -= 1;
            if let Kind::Directory(entries) = &mut node.kind {
                todo.extend(std::mem::take(entries).into_values());
            }
        }
    }

    /// Puts other contents in the place of a file's.
    pub fn set_content(&mut self, id: NodeId, content: Content) {
        if let Kind::File { content: old, .. } = &mut self.nodes[id.0].kind {
            *old = content;
        }
    }

    /// The inode that a directory has under a name.
    #[must_use]
    pub fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.nodes[parent.0].kind {
            Kind::Directory(entries) => entries.get(name).copied(),
            _ => None,
        }
    }

    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// An inode's attributes, to change them.
    pub fn meta_mut(&mut self, id: NodeId) -> &mut Meta {
        &mut self.nodes[id.0].meta
    }

    /// Every name with its inode, parents before their children, names in order. The path has no leading
    /// slash and is empty for the root.
    pub fn walk(&self, mut visit: impl FnMut(&[u8], NodeId)) {
        let mut stack = vec![(Vec::new(), Self::ROOT)];
        while let Some((path, id)) = stack.pop() {
            visit(&path, id);
            if let Kind::Directory(entries) = &self.nodes[id.0].kind {
                for (name, child) in entries.iter().rev() {
                    let mut below = path.clone();
                    if !below.is_empty() {
                        below.push(b'/');
                    }
                    below.extend_from_slice(name);
                    stack.push((below, *child));
                }
            }
        }
    }
}
