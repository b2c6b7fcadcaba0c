//! Writes EROFS images for guests: uncompressed, in one pass, the same bytes for the same tree.
//!
//! A [`Tree`] is put together first; it names files of the host but does not read them. [`Tree::write`] then
//! places every inode, and sends the image to a writer from front to back: superblock, inodes with what is
//! inline, directories, files. So file contents are never held in memory, and the output can be a pipe or a
//! hash as well as a file.
//!
//! Every file's whole pages lie page-aligned in the image, so that a reader can map them. A file that will be
//! mapped as code ([`Kind::File`]'s `mapped`) has its last, partial page aligned too.
#![forbid(unsafe_code)]

mod hashed;
mod place;
mod tree;
mod write;

pub use hashed::Hashed;
pub use place::Device;
pub use tree::{Content, Kind, Meta, Node, NodeId, Part, Tree};

use std::io;
use std::path::PathBuf;

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("not a file name: {0:?}")]
    Name(String),
    #[error("the name {0:?} is taken")]
    Exists(String),
    #[error("the parent of {0:?} is no directory")]
    Parent(String),
    #[error("a symbolic link's target must have 1 to 4095 bytes, none of them zero: {0:?}")]
    Target(String),
    #[error("the extended attributes cannot be stored: {0}")]
    Xattr(String),
    #[error("a number does not fit into an EROFS image: {0}")]
    TooBig(&'static str),
    #[error("{path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: the file changed while it was read", path = path.display())]
    Changed { path: PathBuf },
    #[error("cannot write the image: {0}")]
    Write(#[source] io::Error),
}
