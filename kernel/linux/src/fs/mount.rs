//! File systems and where they are mounted.
//!
//! There is one mount namespace. A mount holds the mounts on it by the entry they cover; a mount refers to the one it is
//! on weakly, so a tree that was cut off (MNT_DETACH, pivot_root) goes when its last user does.

use super::image::RootImage;
use super::remote::{self, Volume};
use super::xattr::Xattrs;
use super::{Entry, Inode, Path, device_number};
use crate::errno::Errno;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::frames;
use husk_machine::global::Global;
use linux_raw_sys::general::{
    MS_NOATIME, MS_NODEV, MS_NODIRATIME, MS_NOEXEC, MS_NOSUID, MS_NOSYMFOLLOW, MS_RDONLY, MS_RELATIME,
    MS_STRICTATIME,
};

/// Of the arena's pages one in so many is kept for the kernel: file systems in memory may not use it.
const RESERVE: usize = 16;

/// Numbers from here on are not used by the image: an inode takes at least 32 bytes, and its number counts those.
fn image_inode_limit(image: RootImage) -> u64 {
    image.bytes().len() as u64 / 32 + 1
}

/// A file system: one tree of inodes, mounted any number of times.
pub struct FileSystem {
    /// `st_dev` of its files.
    pub dev: u64,
    /// As in /proc/filesystems.
    pub kind: &'static str,
    /// `f_type` of statfs(2).
    pub magic: u32,
    /// The root image below, for the root file system: its inodes have the numbers that are not in memory.
    image: Option<RootImage>,
    /// Whom to ask, for a volume.
    volume: Option<Volume>,
    space: KCell<Space>,
    /// Inodes of the image with several names, so that all names share one.
    linked: KCell<BTreeMap<u64, Weak<Inode>>>,
    /// Generated entries that something is mounted on, by inode number: lookups must find the same entry again.
    pinned: KCell<BTreeMap<u64, Arc<Entry>>>,
}

struct Space {
    last_ino: u64,
    /// Pages of contents: limit and use.
    page_limit: u64,
    pages: u64,
    inodes: u64,
}

static LAST_DEV: Global<KCell<u32>> = Global::new(|| KCell::new(0x20));

impl FileSystem {
    /// A file system with at most `page_limit` pages of file contents; half of all memory when `None`.
    pub fn new(
        kind: &'static str,
        magic: u32,
        image: Option<RootImage>,
        page_limit: Option<u64>,
    ) -> Arc<Self> {
        Self::with(kind, magic, image, None, page_limit)
    }

    /// The file system of a volume.
    pub(super) fn of_volume(volume: Volume) -> Arc<Self> {
        Self::with(husk_abi::boot::VOLUME_TYPE, remote::FUSE_SUPER_MAGIC, None, Some(volume), Some(0))
    }

    /// Whom to ask for the files of a volume; `None` for other file systems.
    pub(super) fn volume(&self) -> Option<&Volume> {
        self.volume.as_ref()
    }

    fn with(
        kind: &'static str,
        magic: u32,
        image: Option<RootImage>,
        volume: Option<Volume>,
        page_limit: Option<u64>,
    ) -> Arc<Self> {
        let minor = {
            let mut last = LAST_DEV.borrow_mut();
            *last += 1;
            *last
        };
        let space = Space {
            last_ino: image.map_or(0, image_inode_limit),
            page_limit: page_limit.unwrap_or(frames::usage().1 as u64 / 2),
            pages: 0,
            inodes: 0,
        };
        Arc::new(Self {
            dev: device_number(0, minor),
            kind,
            magic,
            image,
            volume,
            space: KCell::new(space),
            linked: KCell::default(),
            pinned: KCell::default(),
        })
    }

    /// The extended attributes that the root image has for an inode.
    pub(super) fn image_xattrs(&self, ino: u64) -> Option<Xattrs> {
        let image = self.image.filter(|image| ino < image_inode_limit(*image))?;
        let inode = image.inode(ino).ok()?;
        let full_name = |xattr: &husk_erofs::Xattr<'_>| [xattr.prefix.as_bytes(), xattr.suffix].concat();
        let xattrs = image.xattrs(&inode).map_while(Result::ok);
        Some(xattrs.map(|xattr| (full_name(&xattr), xattr.value.to_vec())).collect())
    }

    /// The root image below.
    pub(super) fn image(&self) -> Option<RootImage> {
        self.image
    }

    /// Whether there is a root image below.
    pub fn has_image(&self) -> bool {
        self.image.is_some()
    }

    pub(super) fn new_ino(&self) -> u64 {
        let mut space = self.space.borrow_mut();
        space.last_ino += 1;
        space.inodes += 1;
        space.last_ino
    }

    pub(super) fn inode_gone(&self) {
        let mut space = self.space.borrow_mut();
        space.inodes = space.inodes.saturating_sub(1);
    }

    /// Takes `count` pages of contents into account: ENOSPC past the limit, or when memory runs short.
    pub(super) fn charge(&self, count: u64) -> Result<(), Errno> {
        let mut space = self.space.borrow_mut();
        let (free, total) = frames::usage();
        if space.pages + count > space.page_limit || (free as u64) < count + (total / RESERVE) as u64 {
            return Err(Errno::ENOSPC);
        }
        space.pages += count;
        Ok(())
    }

    pub(super) fn uncharge(&self, count: u64) {
        if count > 0 {
            self.space.borrow_mut().pages -= count;
        }
    }

    /// Pages in use, most pages, inodes in use.
    pub fn usage(&self) -> (u64, u64, u64) {
        let space = self.space.borrow();
        (space.pages, space.page_limit, space.inodes)
    }

    /// mount(2) with MS_REMOUNT and `size=`: EINVAL below what is in use.
    pub(super) fn set_page_limit(&self, limit: u64) -> Result<(), Errno> {
        let mut space = self.space.borrow_mut();
        if limit < space.pages {
            return Err(Errno::EINVAL);
        }
        space.page_limit = limit;
        Ok(())
    }

    pub(super) fn linked_inode(&self, nid: u64) -> Option<Arc<Inode>> {
        self.linked.borrow().get(&nid).and_then(Weak::upgrade)
    }

    pub(super) fn pinned(&self, ino: u64) -> Option<Arc<Entry>> {
        self.pinned.borrow().get(&ino).cloned()
    }

    fn pin(&self, entry: &Arc<Entry>) {
        self.pinned.borrow_mut().insert(entry.inode().ino, entry.clone());
    }

    fn unpin(&self, entry: &Entry) {
        drop(self.pinned.borrow_mut().remove(&entry.inode().ino));
    }

    pub(super) fn remember_linked(&self, nid: u64, inode: &Arc<Inode>) {
        self.linked.borrow_mut().insert(nid, Arc::downgrade(inode));
    }
}

/// The MS_* flags that a mount keeps.
pub const MOUNT_FLAGS: u32 = MS_RDONLY
    | MS_NOSUID
    | MS_NODEV
    | MS_NOEXEC
    | MS_NOATIME
    | MS_NODIRATIME
    | MS_RELATIME
    | MS_STRICTATIME
    | MS_NOSYMFOLLOW;

/// A file system, or a part of one, at a place in the namespace.
pub struct Mount {
    /// As in /proc/PID/mountinfo.
    pub id: u32,
    pub fs: Arc<FileSystem>,
    /// What the mount shows.
    pub root: Arc<Entry>,
    /// The `source` of mount(2).
    pub source: Arc<[u8]>,
    flags: KCell<u32>,
    /// The mount this one is on, and the entry it covers; `None` at the top or when cut off.
    place: KCell<Option<(Weak<Mount>, Arc<Entry>)>>,
    covered: KCell<Vec<(Arc<Entry>, Arc<Mount>)>>,
}

static LAST_MOUNT: Global<KCell<u32>> = Global::new(|| KCell::new(20));
/// The top of the namespace. Before `init_root`, and in unit tests, an empty tree in memory.
static ROOT: Global<KCell<Arc<Mount>>> = Global::new(|| KCell::new(super::root::empty()));

/// The root of the namespace.
pub fn root() -> Path {
    let mut mount = ROOT.borrow().clone();
    let mut entry = mount.root.clone();
    while let Some(on_top) = mount.mounted_on(&entry) {
        entry = on_top.root.clone();
        mount = on_top;
    }
    Path { mount, entry }
}

pub(super) fn set_root(mount: Arc<Mount>) {
    drop(ROOT.replace(mount));
}

/// All mounts of the namespace, each after the one it is on.
pub fn all() -> Vec<Arc<Mount>> {
    let mut list = alloc::vec![ROOT.borrow().clone()];
    let mut next = 0;
    while let Some(mount) = list.get(next).cloned() {
        list.extend(mount.covered.borrow().iter().map(|(_, mount)| mount.clone()));
        next += 1;
    }
    list
}

impl Mount {
    pub fn new(fs: Arc<FileSystem>, root: Arc<Entry>, source: &[u8], flags: u32) -> Arc<Self> {
        let mut last = LAST_MOUNT.borrow_mut();
        *last += 1;
        Arc::new(Self {
            id: *last,
            fs,
            root,
            source: source.into(),
            flags: KCell::new(flags & MOUNT_FLAGS),
            place: KCell::new(None),
            covered: KCell::default(),
        })
    }

    pub fn flags(&self) -> u32 {
        self.flags.get()
    }

    pub(super) fn set_flags(&self, flags: u32) {
        self.flags.set(flags & MOUNT_FLAGS);
    }

    /// EROFS on a mount that may not be written.
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.flags.get() & MS_RDONLY != 0 { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// The mount that covers `entry` in this one.
    pub fn mounted_on(&self, entry: &Arc<Entry>) -> Option<Arc<Mount>> {
        if !entry.is_mountpoint() {
            return None;
        }
        let covered = self.covered.borrow();
        covered.iter().find(|(covered, _)| Arc::ptr_eq(covered, entry)).map(|(_, mount)| mount.clone())
    }

    /// Where this mount is: `None` at the top of the namespace or when cut off.
    pub fn place(&self) -> Option<Path> {
        let place = self.place.borrow();
        let (mount, entry) = place.as_ref()?;
        Some(Path { mount: mount.upgrade()?, entry: entry.clone() })
    }

    /// Mounts on this one.
    pub fn has_mounts(&self) -> bool {
        !self.covered.borrow().is_empty()
    }

    /// The mounts on this one and the entries they cover.
    pub fn mounts(&self) -> Vec<(Arc<Entry>, Arc<Mount>)> {
        self.covered.borrow().clone()
    }

    /// Puts this mount at `place`, which must not be covered yet.
    pub(super) fn attach(self: &Arc<Self>, place: &Path) {
        place.entry.add_mount();
        if place.entry.is_generated() {
            place.entry.inode().fs.pin(&place.entry);
        }
        drop(self.place.replace(Some((Arc::downgrade(&place.mount), place.entry.clone()))));
        place.mount.covered.borrow_mut().push((place.entry.clone(), self.clone()));
    }

    /// Takes this mount away from its place, with all that is mounted on it.
    pub(super) fn detach(self: &Arc<Self>) {
        let Some((parent, entry)) = self.place.take() else { return };
        let Some(parent) = parent.upgrade() else { return };
        let removed = {
            let mut covered = parent.covered.borrow_mut();
            covered.iter().position(|(_, mount)| Arc::ptr_eq(mount, self)).map(|at| covered.swap_remove(at))
        };
        if removed.is_some() {
            uncover(&entry);
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        for (entry, mount) in self.covered.take() {
            uncover(&entry);
            drop(mount.place.take());
        }
    }
}

/// One mount less on `entry`.
fn uncover(entry: &Entry) {
    entry.remove_mount();
    if entry.is_generated() && !entry.is_mountpoint() {
        entry.inode().fs.unpin(entry);
    }
}
