//! Generated file systems: directories, files and links whose contents callbacks make at each look (/proc, /sys, /dev/pts).
//!
//! A lookup asks the directory for an `Item` and makes an entry and an inode of it on the spot; nothing is kept. The inode
//! number comes from the parent's and the name, so it is the same at each look. Only an entry that something is mounted
//! on stays (`FileSystem::pin`).

use super::inode::{Attributes, Inode};
use super::mount::FileSystem;
use super::walk::Found;
use super::{Entry, Stat};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{self, OpenFile, seek_within};
use crate::task::Pid;
use crate::task::cred::{Cred, Gid, Uid};
use crate::time::realtime_ns;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG};

/// A directory whose names come and go by themselves.
pub trait Directory: Send + Sync {
    fn lookup(&self, name: &[u8]) -> Option<Item>;

    /// All names there are now, in a stable order, and their S_IF* bits. `.` and `..` are not among them.
    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)>;

    /// The place of a listed name, the `index`th, in the directory: greater than that of the one before. Whoever lists a
    /// directory goes on behind the place of the last name, so names that go meanwhile must not move others; a
    /// directory whose names come and go takes their places from the names.
    fn place(&self, index: usize, name: &[u8]) -> u64 {
        let _ = name;
        index as u64
    }

    /// The process that the directory is all about, for pidfd_send_signal(2).
    fn process(&self) -> Option<Pid> {
        None
    }
}

/// The place of a name that is a number, behind `before` others.
pub fn numbered_place(before: u64, name: &[u8]) -> Option<u64> {
    Some(before + core::str::from_utf8(name).ok()?.parse::<u32>().ok().map(u64::from)?)
}

/// A file whose contents are made when it is read from its start.
pub trait File: Send + Sync {
    fn read(&self) -> Result<Vec<u8>, Errno>;

    /// Takes what one write(2) brings; gives how much of it was used.
    fn write(&self, data: &[u8]) -> SysResult {
        let _ = data;
        Err(Errno::EINVAL)
    }

    /// A file that is more than its text opens as an object of its own.
    fn open(&self, flags: u32) -> Result<Option<Arc<dyn file::File>>, Errno> {
        let _ = flags;
        Ok(None)
    }
}

/// Any function that makes a text is a read-only file.
impl<F: Fn() -> Result<Vec<u8>, Errno> + Send + Sync> File for F {
    fn read(&self) -> Result<Vec<u8>, Errno> {
        self()
    }
}

/// A symbolic link.
pub trait Link: Send + Sync {
    /// What readlink(2) gives.
    fn target(&self) -> Result<Vec<u8>, Errno>;

    /// For a magic link: where it leads, whatever its text says. `cred` is whose walk it is.
    fn jump(&self, cred: &Cred) -> Result<Option<Found>, Errno> {
        let _ = cred;
        Ok(None)
    }
}

/// A link with a fixed text.
impl Link for &'static str {
    fn target(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.as_bytes().to_vec())
    }
}

/// What a generated name stands for.
#[derive(Clone)]
pub enum Node {
    Directory(Arc<dyn Directory>),
    File(Arc<dyn File>),
    Link(Arc<dyn Link>),
    /// A character device and its number.
    Device(u64),
}

/// A generated file and its attributes.
#[derive(Clone)]
pub struct Item {
    /// Permissions.
    pub mode: u32,
    pub uid: Uid,
    pub gid: Gid,
    pub node: Node,
}

impl Item {
    pub fn directory(mode: u32, directory: impl Directory + 'static) -> Self {
        Self { mode, uid: 0, gid: 0, node: Node::Directory(Arc::new(directory)) }
    }

    pub fn file(mode: u32, file: impl File + 'static) -> Self {
        Self { mode, uid: 0, gid: 0, node: Node::File(Arc::new(file)) }
    }

    pub fn link(link: impl Link + 'static) -> Self {
        Self { mode: 0o777, uid: 0, gid: 0, node: Node::Link(Arc::new(link)) }
    }

    pub fn device(mode: u32, number: u64) -> Self {
        Self { mode, uid: 0, gid: 0, node: Node::Device(number) }
    }

    pub fn owned_by(self, uid: Uid, gid: Gid) -> Self {
        Self { uid, gid, ..self }
    }

    /// S_IF* bits.
    pub fn kind(&self) -> u32 {
        match self.node {
            Node::Directory(_) => S_IFDIR,
            Node::File(_) => S_IFREG,
            Node::Link(_) => S_IFLNK,
            Node::Device(_) => S_IFCHR,
        }
    }

    fn inode(self, fs: &Arc<FileSystem>, ino: u64) -> Arc<Inode> {
        let kind = self.kind();
        let now = realtime_ns() as i64;
        let attributes = Attributes {
            mode: kind | self.mode,
            nlink: if kind == S_IFDIR { 2 } else { 1 },
            uid: self.uid,
            gid: self.gid,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
        };
        Inode::generated(fs, ino, attributes, self.node)
    }
}

/// A directory with fixed names.
#[derive(Default)]
pub struct Fixed {
    items: Vec<(&'static str, Item)>,
}

impl Fixed {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with(mut self, name: &'static str, item: Item) -> Self {
        self.items.push((name, item));
        self
    }
}

impl Directory for Fixed {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        self.items.iter().find(|(own, _)| own.as_bytes() == name).map(|(_, item)| item.clone())
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        self.items.iter().map(|(name, item)| (Cow::Borrowed(name.as_bytes()), item.kind())).collect()
    }
}

/// A directory with fixed names that are made when somebody first looks: most guests never do.
pub struct Later {
    make: fn() -> Fixed,
    made: KCell<Option<Arc<Fixed>>>,
}

impl Later {
    pub fn new(make: fn() -> Fixed) -> Self {
        Self { make, made: KCell::new(None) }
    }

    fn made(&self) -> Arc<Fixed> {
        if let Some(made) = &*self.made.borrow() {
            return made.clone();
        }
        let made = Arc::new((self.make)());
        drop(self.made.replace(Some(made.clone())));
        made
    }
}

impl Directory for Later {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        self.made().lookup(name)
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        self.made().list()
    }
}

/// A kind of generated file system that mount(2) knows.
#[derive(Clone, Copy)]
pub struct Kind {
    /// As in /proc/filesystems.
    pub name: &'static str,
    /// `f_type` of statfs(2).
    pub magic: u32,
    /// Makes the root directory of a new mount.
    pub root: fn() -> Item,
}

static KINDS: Global<KCell<Vec<Kind>>> = Global::new(KCell::default);

/// Makes a kind of file system known. Those named `proc`, `sysfs` and `devpts` are mounted by `init_root`, which comes later.
pub fn register(kind: Kind) {
    KINDS.borrow_mut().push(kind);
}

pub(super) fn kind(name: &[u8]) -> Option<Kind> {
    KINDS.borrow().iter().find(|kind| kind.name.as_bytes() == name).copied()
}

/// The names of the registered kinds, for /proc/filesystems.
pub fn kind_names() -> Vec<&'static str> {
    KINDS.borrow().iter().map(|kind| kind.name).collect()
}

/// A new file system of this kind and its root.
pub(super) fn make(kind: Kind) -> (Arc<FileSystem>, Arc<Entry>) {
    let fs = FileSystem::new(kind.name, kind.magic, None, Some(0));
    let root = Entry::top((kind.root)().inode(&fs, 1));
    (fs, root)
}

fn child_ino(parent: u64, name: &[u8]) -> u64 {
    let hash = foldhash::fast::FixedState::with_seed(parent).hash_one(name);
    // Above the small numbers, and in what 32-bit programs can hold.
    hash & 0xffff_ffff | 0x1_0000
}

/// The entry `name` in a generated directory.
pub(super) fn look_up(
    at: &Arc<Entry>,
    directory: &Arc<dyn Directory>,
    name: &[u8],
) -> Result<Arc<Entry>, Errno> {
    let fs = &at.inode().fs;
    let ino = child_ino(at.inode().ino, name);
    if let Some(pinned) = fs.pinned(ino) {
        return Ok(pinned);
    }
    let item = directory.lookup(name).ok_or(Errno::ENOENT)?;
    Ok(Entry::generated(at, name, item.inode(fs, ino)))
}

/// Gives the names from `cookie` (2 and up) on to `each` until it returns false, as `dir::Directory::list` does.
pub(crate) fn list(
    inode: &Inode,
    directory: &Arc<dyn Directory>,
    cookie: u64,
    mut each: impl FnMut(super::dir::Listed<'_>) -> bool,
) {
    let first = super::dir::FIRST_COOKIE;
    for (index, (name, kind)) in directory.list().iter().enumerate() {
        let own = first + directory.place(index, name);
        let listed =
            || super::dir::Listed { cookie: own, name, ino: child_ino(inode.ino, name), kind: *kind };
        if own >= cookie && !each(listed()) {
            return;
        }
    }
}

/// An open generated file: its text as it was when it was last read from the start.
pub(crate) struct TextFile {
    inode: Arc<Inode>,
    file: Arc<dyn File>,
    text: KCell<Option<Arc<[u8]>>>,
}

impl TextFile {
    pub(crate) fn new(inode: Arc<Inode>, file: Arc<dyn File>) -> Arc<Self> {
        Arc::new(Self { inode, file, text: KCell::new(None) })
    }
}

impl file::File for TextFile {
    fn read(&self, _of: &OpenFile, at: u64, sink: &mut Sink<'_>) -> SysResult {
        let kept = self.text.borrow().clone();
        let text = match kept {
            Some(text) if at > 0 => text,
            _ => {
                let text: Arc<[u8]> = self.file.read()?.into();
                drop(self.text.replace(Some(text.clone())));
                text
            }
        };
        let rest = usize::try_from(at).ok().and_then(|at| text.get(at..)).unwrap_or_default();
        sink.put(rest)
    }

    fn write(&self, _of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        const MOST: usize = 1 << 16;
        let mut data = alloc::vec![0; source.left().min(MOST)];
        let len = source.take(&mut data)?;
        self.file.write(&data[..len])
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn seek(&self, of: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        seek_within(of, offset, whence, 0)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.inode.stat())
    }
}
