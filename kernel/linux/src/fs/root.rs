//! What is there before the first program: the root file system over the root image, /dev, /proc, /sys and the places in
//! memory.

use super::contents::Contents;
use super::image::RootImage;
use super::inode::{Attributes, Node, Target};
use super::mount::{FileSystem, Mount};
use super::{Entry, Inode, Path, device_number, dir, mount, pseudo, walk};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::Source;
use crate::task::cred::Cred;
use crate::time::realtime_ns;
use alloc::sync::Arc;
use husk_machine::global::Global;
use linux_raw_sys::general::{
    MS_NODEV, MS_NOEXEC, MS_NOSUID, O_LARGEFILE, O_RDWR, OVERLAYFS_SUPER_MAGIC, S_IFCHR, S_IFDIR, S_IFLNK,
    S_IFREG, TMPFS_MAGIC,
};

pub(super) fn attributes(mode: u32) -> Attributes {
    let now = realtime_ns() as i64;
    let nlink = if mode & S_IFDIR == S_IFDIR { 2 } else { 1 };
    Attributes { mode, nlink, atime: now, mtime: now, ctime: now, btime: now, ..Attributes::default() }
}

/// An empty file system in memory and its root directory.
pub(super) fn new_tmpfs(mode: u32, page_limit: Option<u64>) -> (Arc<FileSystem>, Arc<Entry>) {
    let fs = FileSystem::new("tmpfs", TMPFS_MAGIC, None, page_limit);
    let inode = Inode::new(&fs, attributes(S_IFDIR | mode), Node::Directory(dir::Directory::new()));
    (fs, Entry::top(inode))
}

/// An empty namespace.
pub(super) fn empty() -> Arc<Mount> {
    let (fs, root) = new_tmpfs(0o755, None);
    Mount::new(fs, root, b"none", 0)
}

/// Makes the namespace: the root image (an empty tree if there is none), and what every Linux system has on it.
/// Generated file systems must have been registered. An error names what is wrong with the image.
pub fn init_root(image: &'static [u8]) -> Result<(), husk_erofs::Error> {
    let top = if image.is_empty() { empty() } else { over(RootImage::open(image)?) };
    mount::set_root(top);
    let root = mount::root();
    let quiet = MS_NOSUID | MS_NODEV;
    let shm = packed_shm(&root);
    mount_tmpfs(&root, "dev", 0o755, MS_NOSUID);
    fill_dev(shm);
    // An export is of all that the guest changes, there too.
    let exported = husk_machine::start::boot().flags & husk_abi::boot::FLAG_EXPORT != 0;
    for (name, mode) in [("tmp", 0o1777), ("run", 0o755)].into_iter().filter(|_| !exported) {
        // What the image has there stays visible; the root file system is writable too.
        if directory(&root, name, mode).inode().directory().is_some_and(dir::Directory::is_empty) {
            mount_tmpfs(&root, name, mode, quiet);
        }
    }
    for (name, place) in [("proc", "proc"), ("sysfs", "sys")] {
        let place = directory(&root, place, 0o555);
        if let Some(kind) = pseudo::kind(name.as_bytes()) {
            let (fs, top) = pseudo::make(kind);
            Mount::new(fs, top, name.as_bytes(), quiet | MS_NOEXEC).attach(&place);
        }
    }
    Ok(())
}

/// A writable tree over the image.
fn over(image: RootImage) -> Arc<Mount> {
    let fs = FileSystem::new("overlay", OVERLAYFS_SUPER_MAGIC, Some(image), None);
    let root = Entry::top(Inode::of_image(&fs, image, image.root()));
    Mount::new(fs, root, b"overlay", 0)
}

/// The directory `name` in `parent`, made if it is missing.
pub(super) fn directory(parent: &Path, name: &str, mode: u32) -> Path {
    let entry =
        walk::look_up(&parent.entry, name.as_bytes()).ok().filter(|entry| entry.inode().is_directory());
    let entry = entry.unwrap_or_else(|| {
        put(parent, name, attributes(S_IFDIR | mode), Node::Directory(dir::Directory::new()))
    });
    Path { mount: parent.mount.clone(), entry }
}

/// Puts a new inode under `name` in `parent`, in place of what was there.
pub(super) fn put(parent: &Path, name: &str, attributes: Attributes, node: Node) -> Arc<Entry> {
    let inode = Inode::new(&parent.entry.inode().fs, attributes, node);
    let entry = Entry::linked(&parent.entry, name.as_bytes(), inode);
    if let Some(directory) = parent.inode().directory() {
        let was = directory.remove(&parent.entry, name.as_bytes());
        let was_directory = was.is_some_and(|was| was.inode().is_directory());
        directory.insert(&parent.entry, name.as_bytes(), &entry);
        let is_directory = entry.inode().is_directory();
        parent.inode().change_links(i32::from(is_directory) - i32::from(was_directory));
    }
    entry
}

fn mount_tmpfs(parent: &Path, name: &str, mode: u32, flags: u32) {
    let place = directory(parent, name, mode);
    let (fs, top) = new_tmpfs(mode, None);
    Mount::new(fs, top, b"tmpfs", flags).attach(&place);
}

/// What the image has in /dev/shm: a program that lies there on the host was packed with its name. Containers have memory
/// there whatever their image has.
fn packed_shm(root: &Path) -> Option<Arc<Entry>> {
    if husk_machine::start::boot().flags & husk_abi::boot::FLAG_CONTAINER != 0 {
        return None;
    }
    let dev = walk::look_up(&root.entry, b"dev").ok()?;
    let shm = walk::look_up(&dev, b"shm").ok()?;
    shm.inode().directory().is_some_and(|directory| !directory.is_empty()).then_some(shm)
}

/// The file system at /dev.
fn dev() -> Option<Path> {
    let place = directory(&mount::root(), "dev", 0o755);
    let mount = place.mount.mounted_on(&place.entry)?;
    Some(Path { entry: mount.root.clone(), mount })
}

/// Makes the program of process 1 that the kernel brings (`husk_machine::init`): its path.
pub fn put_init() -> Result<&'static [u8], Errno> {
    let dev = dev().ok_or(Errno::ENOENT)?;
    let contents = Contents::default();
    contents.write(&dev.inode().fs, 0, &mut Source::Kernel(husk_machine::init::IMAGE))?;
    put(&dev, "init", attributes(S_IFREG | 0o755), Node::File(contents));
    Ok(b"/dev/init")
}

fn fill_dev(shm: Option<Arc<Entry>>) {
    let Some(dev) = dev() else { return };
    let devices = [
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
        ("console", 5, 1),
        ("ptmx", 5, 2),
    ];
    for (name, major, minor) in devices {
        let mode = if name == "console" { 0o620 } else { 0o666 };
        put(&dev, name, attributes(S_IFCHR | mode), Node::Device(device_number(major, minor)));
    }
    let links = [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, target) in links {
        put(&dev, name, attributes(S_IFLNK | 0o777), Node::Symlink(Target::Memory(target.as_bytes().into())));
    }
    let quiet = MS_NOSUID | MS_NODEV;
    match shm {
        None => mount_tmpfs(&dev, "shm", 0o1777, quiet),
        Some(packed) => {
            packed.inode().attributes.borrow_mut().mode = S_IFDIR | 0o1777;
            let place = directory(&dev, "shm", 0o1777);
            Mount::new(mount::root().mount.fs.clone(), packed, b"overlay", quiet).attach(&place);
        }
    }
    let pts = directory(&dev, "pts", 0o755);
    if let Some(kind) = pseudo::kind(b"devpts") {
        let (fs, top) = pseudo::make(kind);
        Mount::new(fs, top, b"devpts", MS_NOSUID | MS_NOEXEC).attach(&pts);
    }
}

/// The file system of memfd_create(2), which is mounted nowhere.
static MEMORY_FILES: Global<Path> = Global::new(|| {
    let (fs, root) = new_tmpfs(0o777, None);
    let mount = Mount::new(fs, root.clone(), b"tmpfs", 0);
    Path { mount, entry: root }
});

/// An open file of memory without a name in any directory. `seals`: F_SEAL_*.
pub(crate) fn memory_file(name: &[u8], cred: &Cred, mode: u32, seals: u32) -> Arc<OpenFile> {
    let top = &*MEMORY_FILES;
    let inode = super::tree::new_inode(top.inode(), cred, S_IFREG | mode, Node::File(Contents::default()));
    inode.attributes.borrow_mut().nlink = 0;
    inode.set_seals(seals);
    let entry = Entry::nameless(&top.entry, &[b"memfd:", name].concat(), inode.clone());
    let path = Path { mount: top.mount.clone(), entry };
    OpenFile::new(inode, O_RDWR | O_LARGEFILE, Some(path))
}
