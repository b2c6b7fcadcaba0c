//! Inodes: what a name stands for. Attributes are the same for all; `Node` is what differs.

use super::contents::Contents;
use super::dir::Directory;
use super::image::{ImageData, ImageDirectory, RootImage};
use super::mount::FileSystem;
use super::notify::{self, Watch};
use super::remote::Remote;
use super::xattr::Xattrs;
use super::{Stat, device_number, pseudo};
use crate::errno::Errno;
use crate::file::File;
use crate::file::locks::Locks;
use crate::task::cred::{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, Cred, Gid, Uid};
use crate::time::realtime_ns;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, S_ISGID, S_ISUID, S_ISVTX,
    S_IXGRP, S_IXOTH, S_IXUSR,
};

/// Wish to read, write or execute (search), as access(2) has them.
pub const READ: u32 = 4;
pub const WRITE: u32 = 2;
pub const EXECUTE: u32 = 1;

/// Execution by owner, group or others.
const ANY_EXECUTE: u32 = S_IXUSR | S_IXGRP | S_IXOTH;

/// The attributes that all kinds of inodes have. Times are nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// S_IF* and permissions.
    pub mode: u32,
    pub nlink: u32,
    pub uid: Uid,
    pub gid: Gid,
    pub atime: i64,
    pub mtime: i64,
    pub ctime: i64,
    pub btime: i64,
}

impl Attributes {
    /// Takes away set-user-ID, and set-group-ID where it means execution or `cred` could not have given it.
    pub(super) fn drop_privilege_bits(&mut self, cred: &Cred) {
        self.mode &= !S_ISUID;
        if self.mode & S_IXGRP != 0 || !cred.in_group(self.gid) && !cred.capable(CAP_FSETID) {
            self.mode &= !S_ISGID;
        }
    }
}

/// What an inode is.
pub enum Node {
    File(Contents),
    Directory(Directory),
    Symlink(Target),
    /// A character or block device and its number.
    Device(u64),
    /// A FIFO or a socket, and what is attached to it while it is open or bound.
    Endpoint(Endpoint),
    /// Made by a generated file system.
    Pseudo(pseudo::Node),
    /// A file of any kind on a volume.
    Remote(Remote),
}

/// What is attached to a FIFO or a socket.
pub type Endpoint = KCell<Option<Arc<dyn Any + Send + Sync>>>;

/// Where a symbolic link points.
pub enum Target {
    Memory(Box<[u8]>),
    Image(&'static [u8]),
}

impl Target {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::Image(bytes) => bytes,
        }
    }
}

/// An object of a file system.
pub struct Inode {
    pub fs: Arc<FileSystem>,
    pub ino: u64,
    pub(super) attributes: KCell<Attributes>,
    pub node: Node,
    /// Open files that may write, or, negative, those that are open as programs: the two exclude each other.
    users: KCell<i32>,
    /// What few inodes have.
    pub(super) extra: KCell<Option<Box<Extra>>>,
}

/// Attributes that most inodes lack.
#[derive(Default)]
pub(super) struct Extra {
    /// Made without a name, and linkat(2) may give it one.
    linkable: bool,
    pub(super) watches: Vec<Watch>,
    /// `None`: not looked at yet; those of the root image are still there.
    xattrs: Option<Xattrs>,
    locks: Option<Arc<Locks>>,
    /// F_SEAL_*, of a memfd.
    seals: Option<u32>,
    /// RWH_WRITE_LIFE_*.
    write_hint: u64,
}

impl Inode {
    pub(super) fn with(fs: &Arc<FileSystem>, ino: u64, attributes: Attributes, node: Node) -> Arc<Self> {
        Arc::new(Self {
            fs: fs.clone(),
            ino,
            attributes: KCell::new(attributes),
            node,
            users: KCell::new(0),
            extra: KCell::new(None),
        })
    }

    /// A new inode of a file system in memory. `attributes.mode` has the kind.
    pub(super) fn new(fs: &Arc<FileSystem>, attributes: Attributes, node: Node) -> Arc<Self> {
        Self::with(fs, fs.new_ino(), attributes, node)
    }

    /// An inode of a generated file system.
    pub(super) fn generated(
        fs: &Arc<FileSystem>,
        ino: u64,
        attributes: Attributes,
        node: pseudo::Node,
    ) -> Arc<Self> {
        Self::with(fs, ino, attributes, Node::Pseudo(node))
    }

    /// The inode of the root image that `nid` names; hard links share it. One that cannot be read is an empty file
    /// without permissions.
    pub(super) fn of_image(fs: &Arc<FileSystem>, image: RootImage, nid: u64) -> Arc<Self> {
        let Ok(of) = image.inode(nid) else {
            let attributes = Attributes { mode: S_IFREG, nlink: 1, ..Attributes::default() };
            return Self::with(fs, nid, attributes, Node::File(Contents::default()));
        };
        let mode = u32::from(of.mode);
        let shared = of.nlink > 1 && mode & S_IFMT != S_IFDIR;
        if shared && let Some(inode) = fs.linked_inode(nid) {
            return inode;
        }
        let node = match mode & S_IFMT {
            S_IFDIR => Node::Directory(Directory::of_image(ImageDirectory::new(image, of))),
            S_IFLNK => Node::Symlink(Target::Image(image.symlink(&of).unwrap_or_default())),
            S_IFCHR | S_IFBLK => Node::Device(device_number(of.device.0, of.device.1)),
            S_IFIFO | S_IFSOCK => Node::Endpoint(KCell::default()),
            _ => Node::File(Contents::of_image(ImageData::new(image, &of).unwrap_or_default())),
        };
        let time = of.mtime.saturating_mul(1_000_000_000).saturating_add(of.mtime_nsec.into());
        let attributes = Attributes {
            mode,
            nlink: of.nlink,
            uid: of.uid,
            gid: of.gid,
            atime: time,
            mtime: time,
            ctime: time,
            btime: time,
        };
        let inode = Self::with(fs, nid, attributes, node);
        if shared {
            fs.remember_linked(nid, &inode);
        }
        inode
    }

    pub fn attributes(&self) -> Attributes {
        self.attributes.get()
    }

    /// S_IF* bits.
    pub fn kind(&self) -> u32 {
        self.attributes.borrow().mode & S_IFMT
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == S_IFDIR
    }

    pub fn is_symlink(&self) -> bool {
        self.kind() == S_IFLNK
    }

    pub fn is_regular(&self) -> bool {
        self.kind() == S_IFREG
    }

    /// The table of names, of a directory in memory.
    pub fn directory(&self) -> Option<&Directory> {
        match &self.node {
            Node::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    /// The contents, of a regular file in memory.
    pub fn contents(&self) -> Option<&Contents> {
        match &self.node {
            Node::File(contents) => Some(contents),
            _ => None,
        }
    }

    /// What is known of it: see `refresh`.
    pub fn stat(&self) -> Stat {
        let attributes = self.attributes.borrow();
        let (size, pages) = match &self.node {
            Node::File(contents) => contents.size_and_pages(),
            Node::Directory(directory) => {
                (directory.count().map_or(4096, |count| 20 * (count as u64 + 2)), 0)
            }
            Node::Symlink(target) => (target.bytes().len() as u64, 0),
            Node::Device(_) | Node::Endpoint(_) | Node::Pseudo(_) | Node::Remote(_) => (0, 0),
        };
        let mut stat = Stat {
            dev: self.fs.dev,
            ino: self.ino,
            mode: attributes.mode,
            nlink: attributes.nlink,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev: self.rdev(),
            size,
            block_size: 4096,
            blocks: pages * 8,
            atime: attributes.atime,
            mtime: attributes.mtime,
            ctime: attributes.ctime,
            btime: attributes.btime,
        };
        if let Node::Remote(remote) = &self.node {
            remote.complete(&mut stat);
        }
        stat
    }

    /// The device number of a device file, else 0.
    pub fn rdev(&self) -> u64 {
        match &self.node {
            Node::Device(number) => *number,
            Node::Pseudo(pseudo::Node::Device(number)) => *number,
            Node::Remote(remote) => remote.rdev(),
            _ => 0,
        }
    }

    /// path_resolution(7)'s check: may `cred` do all of `wanted` (READ | WRITE | EXECUTE)? EACCES if not.
    pub fn permission(&self, cred: &Cred, wanted: u32) -> Result<(), Errno> {
        let attributes = self.attributes.borrow();
        let mode = attributes.mode;
        let granted = if cred.fsuid == attributes.uid {
            mode >> 6
        } else if (mode >> 3 ^ mode) & 7 != 0 && cred.in_group(attributes.gid) {
            mode >> 3
        } else {
            mode
        };
        if wanted & !granted & 7 == 0 {
            return Ok(());
        }
        let directory = mode & S_IFMT == S_IFDIR;
        if cred.capable(CAP_DAC_OVERRIDE) && (wanted & EXECUTE == 0 || directory || mode & ANY_EXECUTE != 0) {
            return Ok(());
        }
        if cred.capable(CAP_DAC_READ_SEARCH) && (wanted == READ || directory && wanted & WRITE == 0) {
            return Ok(());
        }
        Err(Errno::EACCES)
    }

    /// Whether `cred` owns the inode or may act as if it did.
    pub fn owned_by(&self, cred: &Cred) -> bool {
        self.attributes.borrow().uid == cred.fsuid || cred.capable(CAP_FOWNER)
    }

    /// The directory's sticky bit: may `cred` remove or rename `victim` in this directory? EPERM if not.
    pub(super) fn check_sticky(&self, cred: &Cred, victim: &Inode) -> Result<(), Errno> {
        let attributes = self.attributes.borrow();
        if attributes.mode & S_ISVTX == 0 || attributes.uid == cred.fsuid || victim.owned_by(cred) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// Contents or names changed now.
    pub(crate) fn touch_modified(&self) {
        let now = realtime_ns() as i64;
        let mut attributes = self.attributes.borrow_mut();
        attributes.mtime = now;
        attributes.ctime = now;
    }

    /// Attributes changed now.
    pub(super) fn touch_changed(&self) {
        self.attributes.borrow_mut().ctime = realtime_ns() as i64;
    }

    /// The contents were read: moves atime as a relatime mount does, but not once a day too, which would cost each
    /// read a look at the clock.
    pub(super) fn touch_accessed(&self) {
        let mut attributes = self.attributes.borrow_mut();
        if attributes.atime <= attributes.mtime || attributes.atime <= attributes.ctime {
            attributes.atime = realtime_ns() as i64;
        }
    }

    /// Takes away what a change of contents or owner by `cred` does: see `Attributes::drop_privilege_bits`.
    pub(crate) fn drop_privilege_bits(&self, cred: &Cred) {
        self.attributes.borrow_mut().drop_privilege_bits(cred);
    }

    pub(super) fn change_links(&self, by: i32) {
        let mut attributes = self.attributes.borrow_mut();
        attributes.nlink = attributes.nlink.saturating_add_signed(by);
        attributes.ctime = realtime_ns() as i64;
    }

    pub(super) fn set_linkable(&self) {
        self.extra.borrow_mut().get_or_insert_default().linkable = true;
    }

    /// Whether a new name may be given to it: it has one, or was made to get one.
    pub(super) fn is_linkable(&self) -> bool {
        self.attributes.borrow().nlink > 0 || self.extra.borrow().as_ref().is_some_and(|extra| extra.linkable)
    }

    /// Looks at the extended attributes; `None` if there are none and never were.
    pub(super) fn with_xattrs<R>(&self, look: impl FnOnce(&Xattrs) -> R) -> Option<R> {
        if let Some(Extra { xattrs: Some(xattrs), .. }) = self.extra.borrow().as_deref() {
            return Some(look(xattrs));
        }
        let xattrs = self.fs.image_xattrs(self.ino)?;
        Some(look(self.extra.borrow_mut().get_or_insert_default().xattrs.insert(xattrs)))
    }

    /// Whether these may be other extended attributes than the root image's.
    pub(super) fn xattrs_changed(&self) -> bool {
        let extra = self.extra.borrow();
        let Some(Extra { xattrs: Some(xattrs), .. }) = extra.as_deref() else { return false };
        *xattrs != self.fs.image_xattrs(self.ino).unwrap_or_default()
    }

    /// Changes the extended attributes.
    pub(super) fn change_xattrs<R>(&self, change: impl FnOnce(&mut Xattrs) -> R) -> R {
        let mut extra = self.extra.borrow_mut();
        let xattrs = &mut extra.get_or_insert_default().xattrs;
        change(xattrs.get_or_insert_with(|| self.fs.image_xattrs(self.ino).unwrap_or_default()))
    }

    /// The locks on the file, if anybody ever took one.
    pub fn locks(&self) -> Option<Arc<Locks>> {
        self.extra.borrow().as_ref()?.locks.clone()
    }

    /// The locks on the file, to take one.
    pub fn make_locks(&self) -> Arc<Locks> {
        self.extra.borrow_mut().get_or_insert_default().locks.get_or_insert_default().clone()
    }

    /// ETXTBSY while the file runs as a program.
    pub fn check_not_running(&self) -> Result<(), Errno> {
        if self.users.get() < 0 { Err(Errno::ETXTBSY) } else { Ok(()) }
    }

    /// ETXTBSY while the file is open for writing.
    pub fn check_not_written(&self) -> Result<(), Errno> {
        if self.users.get() > 0 { Err(Errno::ETXTBSY) } else { Ok(()) }
    }

    /// An open file comes (1) or goes (-1): one that may write, or one that is open as a `program`.
    pub(crate) fn change_users(&self, by: i32, program: bool) {
        *self.users.borrow_mut() += if program { -by } else { by };
    }

    /// How long its owner thinks that what is written will live: kept and told.
    pub fn write_hint(&self) -> u64 {
        self.extra.borrow().as_ref().map_or(0, |extra| extra.write_hint)
    }

    pub fn set_write_hint(&self, hint: u64) {
        self.extra.borrow_mut().get_or_insert_default().write_hint = hint;
    }

    /// The seals of a memfd; `None` for other files.
    pub fn seals(&self) -> Option<u32> {
        self.extra.borrow().as_ref()?.seals
    }

    pub fn set_seals(&self, seals: u32) {
        self.extra.borrow_mut().get_or_insert_default().seals = Some(seals);
    }

    /// EPERM if one of `seals` is set.
    pub fn check_seals(&self, seals: u32) -> Result<(), Errno> {
        if self.seals().unwrap_or(0) & seals != 0 { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// What a FIFO's or a socket's inode holds: the pipe, or who is bound to the name.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match &self.node {
            Node::Endpoint(endpoint) => Some(endpoint),
            Node::Remote(remote) if matches!(self.kind(), S_IFIFO | S_IFSOCK) => Some(remote.endpoint()),
            _ => None,
        }
    }

    pub(crate) fn open_device(&self, number: u64, flags: u32) -> Result<Arc<dyn File>, Errno> {
        // There are no block devices.
        if self.kind() == S_IFCHR { super::devfs::open(number, flags) } else { Err(Errno::ENXIO) }
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if let Node::File(contents) = &self.node {
            contents.clear(&self.fs);
        }
        if let Some(extra) = self.extra.take()
            && !extra.watches.is_empty()
        {
            let deleted = self.attributes.get_mut().nlink == 0;
            notify::inode_gone(extra.watches, deleted);
        }
        if let (Node::Remote(remote), Some(volume)) = (&self.node, self.fs.volume()) {
            remote.gone(volume, self.attributes.borrow().nlink == 0);
        }
        self.fs.inode_gone();
    }
}
