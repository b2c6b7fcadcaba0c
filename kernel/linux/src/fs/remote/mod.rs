//! Volumes: file systems that the state server serves by the FUSE protocol (`husk_fuse`) over a ring of shared memory.
//!
//! A file of a volume may be changed at any time by other guests and by the host, so what is known of it here is only what
//! the server said last. Each step of a walk asks for its name again (`look_up`), and so brings an inode's attributes up to
//! date; contents are read and written at the server. Permissions are checked here, on those attributes, as for all
//! files; the server has its own caller's rights. Entries are made by lookups, as in generated file systems, but as long as
//! somebody holds one, lookups of the same file find it again, so that a rename moves also who is inside.
//!
//! `client` asks; `names` makes and removes names; `file` is an open file; `attributes` what chmod(2) and its like do;
//! `locks` what is locked; `pages` what is mapped; `ahead` what is read before it is asked for. Asking waits with the big kernel lock free: see `client`.

mod ahead;
mod attributes;
mod client;
mod file;
pub(crate) mod locks;
mod names;
mod pages;
#[cfg(test)]
mod tests;

pub(crate) use attributes::{
    Change, drop_privilege_bits, get_xattr, list_xattrs, read_link, remove_xattr, set_attributes, set_xattr,
    statfs,
};
use client::Caller;
pub(crate) use file::{RemoteFile, list};
pub(super) use names::{create_open, link, look_up, look_up_passing, make, make_nameless, remove, rename};
pub(crate) use pages::{write_back, write_back_all};

use super::inode::{Attributes, Endpoint, Inode, Node};
use super::mount::FileSystem;
use super::{Entry, Stat};
use crate::errno::Errno;
use crate::time::monotonic_ns;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use client::Client;
use husk_fuse::{Attr, EntryOut, GetattrIn, InitIn, Opcode};
use husk_machine::cell::KCell;
use husk_machine::ring::Unit;
use linux_raw_sys::general::S_IFMT;
use pages::Mapped;

/// `f_type` of volumes.
pub(super) const FUSE_SUPER_MAGIC: u32 = 0x6573_5546;

/// A served file system.
pub(crate) struct Volume {
    client: Client,
    /// The inodes that the guest knows, by node.
    nodes: KCell<BTreeMap<u64, Weak<Inode>>>,
    /// Directories that walks came through lately, so that they can again without asking.
    passed: KCell<VecDeque<Arc<Entry>>>,
}

/// What an inode of a volume has besides its attributes.
pub struct Remote {
    nodeid: u64,
    /// How often the server named the node.
    nlookup: KCell<u64>,
    rest: KCell<Rest>,
    /// What a FIFO or a socket is while it is open or bound: it connects tasks of this guest only.
    endpoint: Endpoint,
    mapped: Mapped,
    /// The entries in this directory that somebody holds.
    children: KCell<BTreeMap<Arc<[u8]>, Child>>,
}

/// An entry in a directory, and when the server last said that it is there.
struct Child {
    entry: Weak<Entry>,
    seen: u64,
}

/// So long a walk may go through a directory of which others may know that it is no longer there.
const PASSED_NS: u64 = 1_000_000_000;
/// So many such directories are kept.
const PASSED: usize = 128;

/// Attributes that other inodes have in their contents.
#[derive(Clone, Copy, Default)]
struct Rest {
    size: u64,
    blocks: u64,
    block_size: u32,
    rdev: u64,
}

const SECOND: i64 = 1_000_000_000;

fn time(seconds: u64, nanoseconds: u32) -> i64 {
    (seconds as i64).saturating_mul(SECOND).saturating_add(i64::from(nanoseconds % SECOND as u32))
}

fn attributes_of(attr: &Attr) -> Attributes {
    Attributes {
        mode: attr.mode,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        atime: time(attr.atime, attr.atimensec),
        mtime: time(attr.mtime, attr.mtimensec),
        ctime: time(attr.ctime, attr.ctimensec),
        btime: 0,
    }
}

/// The volume of a unit, and its root. EIO if its server does not answer.
pub(super) fn open(unit: Unit) -> Result<(Arc<FileSystem>, Arc<Entry>), Errno> {
    let client = Client::new(unit);
    let init = InitIn {
        major: husk_fuse::KERNEL_VERSION,
        minor: husk_fuse::KERNEL_MINOR_VERSION,
        max_readahead: husk_ring::DATA_LEN as u32,
        flags: husk_fuse::POSIX_LOCKS
            | husk_fuse::FLOCK_LOCKS
            | husk_fuse::ATOMIC_O_TRUNC
            | husk_fuse::DO_READDIRPLUS,
    };
    drop(client.call(Caller::default(), Opcode::Init, 0, &[&init.to_bytes()])?);
    let ask = GetattrIn::default().to_bytes();
    let attr = {
        let reply = client.call(Caller::default(), Opcode::Getattr, husk_fuse::ROOT_ID, &[&ask])?;
        attr_of(reply.body())?
    };
    let fs = FileSystem::of_volume(Volume { client, nodes: KCell::default(), passed: KCell::default() });
    let root = adopt(&fs, husk_fuse::ROOT_ID, &attr)?;
    Ok((fs, Entry::top(root)))
}

impl Volume {
    /// A walk came through a directory.
    fn keep_passed(&self, entry: &Arc<Entry>) {
        let oldest = {
            let mut passed = self.passed.borrow_mut();
            if passed.iter().any(|kept| Arc::ptr_eq(kept, entry)) {
                return;
            }
            passed.push_back(entry.clone());
            if passed.len() > PASSED { passed.pop_front() } else { None }
        };
        drop(oldest);
    }

    /// A directory is no longer where it was.
    fn drop_passed(&self, entry: &Arc<Entry>) {
        let mut passed = self.passed.borrow_mut();
        let (gone, kept) = passed.drain(..).partition(|kept| Arc::ptr_eq(kept, entry));
        *passed = kept;
        drop(passed);
        let gone: VecDeque<Arc<Entry>> = gone;
        drop(gone);
    }

    /// The server refuses every change.
    pub(super) fn is_read_only(&self) -> bool {
        self.client.is_read_only()
    }
}

/// The attributes in the reply to GETATTR and SETATTR.
fn attr_of(body: &[u8]) -> Result<Attr, Errno> {
    body.get(husk_fuse::AttrOut::LEN..).and_then(Attr::from_bytes).ok_or(Errno::EIO)
}

/// Node and attributes in the replies that name a node, and what follows them. ENOENT for node 0, which stands for nothing.
fn entry_of(body: &[u8]) -> Result<(u64, Attr, &[u8]), Errno> {
    let entry = EntryOut::from_bytes(body).ok_or(Errno::EIO)?;
    if entry.nodeid == 0 {
        return Err(Errno::ENOENT);
    }
    let attr = Attr::from_bytes(&body[EntryOut::LEN..]).ok_or(Errno::EIO)?;
    Ok((entry.nodeid, attr, &body[EntryOut::LEN + Attr::LEN..]))
}

/// The inode of a node that the server has just named.
fn adopt(fs: &Arc<FileSystem>, nodeid: u64, attr: &Attr) -> Result<Arc<Inode>, Errno> {
    let volume = fs.volume().ok_or(Errno::EIO)?;
    let known = volume.nodes.borrow().get(&nodeid).and_then(Weak::upgrade);
    if let Some(inode) = known {
        if let Node::Remote(remote) = &inode.node {
            *remote.nlookup.borrow_mut() += 1;
        }
        inode.update(attr)?;
        return Ok(inode);
    }
    let remote = Remote {
        nodeid,
        nlookup: KCell::new(u64::from(nodeid != husk_fuse::ROOT_ID)),
        rest: KCell::new(rest_of(attr)),
        endpoint: KCell::new(None),
        mapped: Mapped::default(),
        children: KCell::default(),
    };
    let inode = Inode::with(fs, attr.ino, attributes_of(attr), Node::Remote(remote));
    volume.nodes.borrow_mut().insert(nodeid, Arc::downgrade(&inode));
    Ok(inode)
}

fn rest_of(attr: &Attr) -> Rest {
    Rest {
        size: attr.size,
        blocks: attr.blocks,
        block_size: attr.blksize.clamp(512, 1 << 20),
        rdev: u64::from(attr.rdev),
    }
}

impl Inode {
    /// What a volume's inode has more; `None` for others.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        match &self.node {
            Node::Remote(remote) => Some(remote),
            _ => None,
        }
    }

    /// Whether it is on a volume.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote().is_some()
    }

    /// The requests for a volume's inode. Only for those that have a `Remote`.
    fn client(&self) -> Result<&Client, Errno> {
        self.fs.volume().map(|volume| &volume.client).ok_or(Errno::EIO)
    }

    /// The server says that this is what the inode is now. EIO if it has become a file of another kind.
    fn update(&self, attr: &Attr) -> Result<(), Errno> {
        let Some(remote) = self.remote() else { return Ok(()) };
        if attr.mode & S_IFMT != self.kind() {
            return Err(Errno::EIO);
        }
        let mtime = self.attributes().mtime;
        self.attributes.set(attributes_of(attr));
        if remote.rest.replace(rest_of(attr)).size != attr.size || self.attributes().mtime != mtime {
            ahead::changed(self.ino);
        }
        Ok(())
    }

    /// Brings the attributes up to date, where others than this kernel may have changed them.
    pub fn refresh(&self) -> Result<(), Errno> {
        if self.is_remote() { self.refresh_by(None) } else { Ok(()) }
    }

    /// As `refresh`, by an open file if there is one.
    fn refresh_by(&self, handle: Option<u64>) -> Result<(), Errno> {
        let Some(remote) = self.remote() else { return Ok(()) };
        let ask = GetattrIn {
            getattr_flags: if handle.is_some() { husk_fuse::GETATTR_FH } else { 0 },
            fh: handle.unwrap_or(0),
            ..GetattrIn::default()
        };
        let attr = {
            let client = self.client()?;
            let reply = client.call(Caller::current(), Opcode::Getattr, remote.nodeid, &[&ask.to_bytes()])?;
            attr_of(reply.body())?
        };
        self.update(&attr)
    }
}

impl Remote {
    /// Adds to `stat` what is not among the attributes.
    pub(super) fn complete(&self, stat: &mut Stat) {
        let rest = self.rest.get();
        stat.size = rest.size;
        stat.blocks = rest.blocks;
        stat.block_size = rest.block_size;
    }

    pub(super) fn rdev(&self) -> u64 {
        self.rest.borrow().rdev
    }

    /// See `Inode::endpoint`.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The inode goes: nobody in the guest knows the node any more.
    pub(super) fn gone(&self, volume: &Volume, removed: bool) {
        let mut nodes = volume.nodes.borrow_mut();
        if nodes.get(&self.nodeid).is_some_and(|known| known.strong_count() == 0) {
            nodes.remove(&self.nodeid);
        }
        drop(nodes);
        let nlookup = self.nlookup.get();
        if nlookup > 0 {
            volume.client.forget(self.nodeid, nlookup, removed);
        }
    }

    /// The entry `name` for `inode` in the directory `at`, whose inode this is.
    fn entry(&self, at: &Arc<Entry>, name: &[u8], inode: Arc<Inode>) -> Arc<Entry> {
        let seen = monotonic_ns();
        if let Some(child) = self.children.borrow_mut().get_mut(name)
            && let Some(held) = child.entry.upgrade()
            && Arc::ptr_eq(held.inode(), &inode)
        {
            child.seen = seen;
            return held;
        }
        let entry = Entry::generated(at, name, inode);
        let child = Child { entry: Arc::downgrade(&entry), seen };
        self.children.borrow_mut().insert(entry.name(), child);
        entry
    }

    /// The file has only `size` bytes now.
    pub(super) fn truncated(&self, size: u64) {
        self.mapped.cut(size);
    }

    /// Nobody holds the entry any more.
    pub(super) fn entry_gone(&self, name: &[u8]) {
        let mut children = self.children.borrow_mut();
        if children.get(name).is_some_and(|child| child.entry.strong_count() == 0) {
            children.remove(name);
        }
    }

    /// The entry `name`, if somebody holds it, is in this directory no more.
    fn take_entry(&self, name: &[u8]) -> Option<Arc<Entry>> {
        self.children.borrow_mut().remove(name).and_then(|child| child.entry.upgrade())
    }

    /// The directory `name` in this one, if the server has said lately that it is there.
    fn passed(&self, name: &[u8]) -> Option<Arc<Entry>> {
        let children = self.children.borrow();
        let child = children.get(name)?;
        let fresh = monotonic_ns().wrapping_sub(child.seen) < PASSED_NS;
        child.entry.upgrade().filter(|entry| fresh && entry.inode().is_directory())
    }

    /// An entry has come into this directory.
    fn put_entry(&self, name: &[u8], entry: &Arc<Entry>) {
        let child = Child { entry: Arc::downgrade(entry), seen: monotonic_ns() };
        self.children.borrow_mut().insert(name.into(), child);
    }
}

/// A name as requests have it.
fn terminated(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}
