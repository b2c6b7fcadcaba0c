//! One volume: FUSE requests into system calls on descriptors.

use crate::host::{self, Data, Lock, MakesAs};
use crate::node::{Key, Node, Nodes};
use husk_fuse as fuse;
use husk_fuse::{Attr, AttrOut, EntryOut, InHeader, Opcode, OutHeader, fattr, split_name};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Seconds for which a guest may take names and attributes for what they were. The host and other guests may change them.
const VALID: u64 = 1;
/// `release_flags`: the locks of flock(2) end with the handle.
const RELEASE_FLOCK_UNLOCK: u32 = 1 << 1;

/// What a volume's guest may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// Whom the guest's users are on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The same numbers: for a server of root.
    Same,
    /// The guest's root is the user and group that serve; other numbers are the same, and nobody can become them.
    RootIs(u32, u32),
}

impl Ids {
    /// What this process can do.
    #[must_use]
    pub fn of_process() -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        if uid.is_root() { Self::Same } else { Self::RootIs(uid.as_raw(), gid.as_raw()) }
    }

    fn to_guest(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Self::Same => (uid, gid),
            Self::RootIs(own_uid, own_gid) => {
                (if uid == own_uid { 0 } else { uid }, if gid == own_gid { 0 } else { gid })
            }
        }
    }

    fn to_host(self, uid: u32, gid: u32) -> (u32, u32) {
        match self {
            Self::Same => (uid, gid),
            Self::RootIs(own_uid, own_gid) => {
                (if uid == 0 { own_uid } else { uid }, if gid == 0 { own_gid } else { gid })
            }
        }
    }
}

/// An open file or directory.
struct Handle {
    fd: OwnedFd,
    node: Arc<Node>,
    /// Held while a directory is read, whose position is the description's.
    reading: Mutex<()>,
}

/// Node, owner, and whether it is one of flock(2).
type Holder = (u64, u64, bool);

/// A volume and its state. All methods may be called from several threads at once.
pub struct Server {
    nodes: Nodes,
    handles: Mutex<(u64, HashMap<u64, Arc<Handle>>)>,
    /// Each holder of locks has an open file description of its own, since that is what the host's locks belong to.
    locks: Mutex<HashMap<Holder, Arc<OwnedFd>>>,
    access: Access,
    ids: Ids,
    /// /proc/self/fd.
    descriptors: OwnedFd,
}

/// What a request is answered with: arguments behind the header, and bytes of data.
type Answer = Result<(Vec<u8>, usize), Errno>;

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The arguments at the front of `body`, and the rest of it.
macro_rules! arguments {
    ($body:expr, $message:ident) => {{
        let message = fuse::$message::from_bytes($body).ok_or(Errno::INVAL)?;
        (message, &$body[fuse::$message::LEN..])
    }};
}

/// A name in a directory, from the front of `bytes`, and the rest. It is never one that leads elsewhere.
fn name(bytes: &[u8]) -> Result<(CString, &[u8]), Errno> {
    let (name, rest) = split_name(bytes).ok_or(Errno::INVAL)?;
    if name.len() > 255 {
        return Err(Errno::NAMETOOLONG);
    }
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err(Errno::INVAL);
    }
    Ok((CString::new(name).map_err(|_| Errno::INVAL)?, rest))
}

fn kind(mode: u32) -> u32 {
    mode & libc::S_IFMT
}

fn key(stat: &Stat) -> Key {
    (stat.st_dev, stat.st_ino)
}

/// A device's number as FUSE has it.
fn device(rdev: u64) -> u32 {
    let (major, minor) = (libc::major(rdev), libc::minor(rdev));
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

fn stat(fd: impl AsFd) -> Result<Stat, Errno> {
    fs::statat(fd, c"", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)
}

impl Server {
    /// Serves what `root`, an O_PATH descriptor, refers to: a directory, or a single file.
    ///
    /// # Errors
    /// Those of fstat(2), and of opening /proc/self/fd.
    pub fn new(root: OwnedFd, access: Access, ids: Ids) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptors = fs::open(c"/proc/self/fd", flags, Mode::empty())?;
        let found = stat(&root)?;
        Ok(Self {
            nodes: Nodes::new(root, key(&found), kind(found.st_mode)),
            handles: Mutex::default(),
            locks: Mutex::default(),
            access,
            ids,
            descriptors,
        })
    }

    /// Serves the request whose head is `head` and whose data are the first `data_len` bytes of `data`. Gives the reply's head,
    /// and how many bytes at the front of `data` belong to it.
    pub fn serve(&self, head: &[u8], data_len: usize, data: &mut Data<'_>) -> (Vec<u8>, usize) {
        let (unique, answer) = match InHeader::from_bytes(head) {
            Some(header) if header.len as usize == head.len() => {
                (header.unique, self.answer(&header, &head[InHeader::LEN..], data_len, data))
            }
            _ => (0, Err(Errno::INVAL)),
        };
        let (error, body, len) = match answer {
            Ok((body, len)) => (0, body, len),
            Err(error) => (-error.raw_os_error(), Vec::new(), 0),
        };
        let header = OutHeader { len: (OutHeader::LEN + body.len()) as u32, error, unique };
        let mut reply = Vec::with_capacity(OutHeader::LEN + body.len());
        reply.extend_from_slice(&header.to_bytes());
        reply.extend_from_slice(&body);
        (reply, len)
    }

    /// Lets go of files that are held only because they may be asked for again.
    pub(crate) fn let_go(&self) {
        self.nodes.let_go();
    }

    /// Whether there are such files.
    pub(crate) fn holds_idle(&self) -> bool {
        self.nodes.have_idle()
    }

    fn answer(&self, header: &InHeader, body: &[u8], data_len: usize, data: &mut Data<'_>) -> Answer {
        let opcode = Opcode::from_u32(header.opcode).ok_or(Errno::NOSYS)?;
        if self.access == Access::ReadOnly && changes(opcode) {
            return Err(Errno::ROFS);
        }
        let node = header.nodeid;
        let nothing = |()| (Vec::new(), 0);
        match opcode {
            Opcode::Init => init(body),
            Opcode::Lookup => {
                let (name, _) = name(body)?;
                self.look_up(&*self.directory(node)?, &name).map(|entry| (entry, 0))
            }
            Opcode::Forget => {
                let (forget, _) = arguments!(body, ForgetIn);
                self.nodes.forget(node, forget.nlookup);
                Ok((Vec::new(), 0))
            }
            Opcode::BatchForget => {
                let (batch, _) = arguments!(body, BatchForgetIn);
                let records = data.copy_out(data_len)?;
                for record in records.chunks_exact(fuse::ForgetOne::LEN).take(batch.count as usize) {
                    let forget = fuse::ForgetOne::from_bytes(record).ok_or(Errno::INVAL)?;
                    self.nodes.forget(forget.nodeid, forget.nlookup);
                }
                Ok((Vec::new(), 0))
            }
            Opcode::Getattr => {
                let node = self.nodes.get(node)?;
                self.attributes(&stat(&*node)?).map(|reply| (reply, 0))
            }
            Opcode::Setattr => self.set_attributes(node, body).map(|reply| (reply, 0)),
            Opcode::Readlink => {
                let target = fs::readlinkat(&*self.nodes.get(node)?, c"", Vec::new())?;
                data.put(0, target.as_bytes())?;
                Ok((Vec::new(), target.as_bytes().len()))
            }
            Opcode::Symlink => {
                let (name, _) = name(body)?;
                let target = CString::new(data.copy_out(data_len)?).map_err(|_| Errno::INVAL)?;
                self.make(header, &name, |parent| fs::symlinkat(&target, parent, &name))
            }
            Opcode::Mknod => {
                let (mknod, rest) = arguments!(body, MknodIn);
                let (name, _) = name(rest)?;
                let file_type = match kind(mknod.mode) {
                    0 | libc::S_IFREG => fs::FileType::RegularFile,
                    libc::S_IFIFO => fs::FileType::Fifo,
                    libc::S_IFSOCK => fs::FileType::Socket,
                    // A device of the host is nothing for a guest.
                    _ => return Err(Errno::PERM),
                };
                let mode = Mode::from_bits_truncate(mknod.mode & !mknod.umask & 0o7777);
                self.make(header, &name, |parent| fs::mknodat(parent, &name, file_type, mode, 0))
            }
            Opcode::Mkdir => {
                let (mkdir, rest) = arguments!(body, MkdirIn);
                let (name, _) = name(rest)?;
                let mode = Mode::from_bits_truncate(mkdir.mode & !mkdir.umask & 0o7777);
                self.make(header, &name, |parent| fs::mkdirat(parent, &name, mode))
            }
            Opcode::Unlink | Opcode::Rmdir => {
                let (name, _) = name(body)?;
                let flags = if opcode == Opcode::Rmdir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
                let done = fs::unlinkat(&*self.directory(node)?, &name, flags);
                self.let_go();
                done.map(nothing)
            }
            Opcode::Rename2 => {
                let (rename, rest) = arguments!(body, Rename2In);
                let (from, rest) = name(rest)?;
                let (to, _) = name(rest)?;
                let flags = fs::RenameFlags::from_bits(rename.flags).ok_or(Errno::INVAL)?;
                if flags.contains(fs::RenameFlags::WHITEOUT) {
                    return Err(Errno::INVAL);
                }
                let (old, new) = (self.directory(node)?, self.directory(rename.newdir)?);
                let done = fs::renameat_with(&*old, &from, &*new, &to, flags);
                self.let_go();
                done.map(nothing)
            }
            Opcode::Link => {
                let (link, rest) = arguments!(body, LinkIn);
                let (name, _) = name(rest)?;
                let (old, parent) = (self.nodes.get(link.oldnodeid)?, self.directory(node)?);
                let place = self.place(&old);
                fs::linkat(&self.descriptors, &place, &*parent, &name, AtFlags::SYMLINK_FOLLOW)?;
                self.look_up(&*parent, &name).map(|entry| (entry, 0))
            }
            Opcode::Open | Opcode::Opendir => {
                let (open, _) = arguments!(body, OpenIn);
                let node = self.nodes.get(node)?;
                let is_directory = opcode == Opcode::Opendir;
                if is_directory != (node.kind == libc::S_IFDIR) {
                    return Err(if is_directory { Errno::NOTDIR } else { Errno::ISDIR });
                }
                let fd = self.open(&node, open.flags)?;
                Ok((self.new_handle(fd, node).to_bytes().to_vec(), 0))
            }
            Opcode::Create => self.create(header, body),
            Opcode::Tmpfile => {
                let (create, _) = arguments!(body, CreateIn);
                let parent = self.directory(node)?;
                let flags = OFlags::TMPFILE | self.open_flags(create.flags)?;
                let mode = Mode::from_bits_truncate(create.mode & !create.umask & 0o7777);
                let fd = {
                    let _owner = self.makes_as(header);
                    fs::openat(&*parent, c".", flags, mode)?
                };
                self.enter_created(fd)
            }
            Opcode::Read => {
                let (read, _) = arguments!(body, ReadIn);
                let handle = self.handle(read.fh)?;
                let len = data.read_from(handle.fd.as_fd(), read.size as usize, read.offset)?;
                Ok((Vec::new(), len))
            }
            Opcode::Write => {
                let (write, _) = arguments!(body, WriteIn);
                let handle = self.handle(write.fh)?;
                if write.size as usize > data_len {
                    return Err(Errno::INVAL);
                }
                let appends = write.flags & OFlags::APPEND.bits() != 0;
                let offset = (!appends).then_some(write.offset);
                let size = data.write_to(handle.fd.as_fd(), write.size as usize, offset)? as u32;
                Ok((fuse::WriteOut { size, padding: 0 }.to_bytes().to_vec(), 0))
            }
            Opcode::Readdirplus => {
                let (read, _) = arguments!(body, ReadIn);
                let handle = self.handle(read.fh)?;
                self.read_directory(&handle, read.offset, read.size as usize, data)
                    .map(|len| (Vec::new(), len))
            }
            Opcode::Statfs => {
                let found = fs::fstatvfs(&*self.nodes.get(node)?)?;
                let reply = fuse::Kstatfs {
                    blocks: found.f_blocks,
                    bfree: found.f_bfree,
                    bavail: found.f_bavail,
                    files: found.f_files,
                    ffree: found.f_ffree,
                    bsize: found.f_bsize as u32,
                    namelen: found.f_namemax as u32,
                    frsize: found.f_frsize as u32,
                    padding: 0,
                };
                Ok((reply.to_bytes().to_vec(), 0))
            }
            Opcode::Release | Opcode::Releasedir => {
                let (release, _) = arguments!(body, ReleaseIn);
                let gone = unpoisoned(&self.handles).1.remove(&release.fh).ok_or(Errno::BADF)?;
                if release.release_flags & RELEASE_FLOCK_UNLOCK != 0 {
                    unpoisoned(&self.locks).remove(&(gone.node.id, release.lock_owner, true));
                }
                Ok((Vec::new(), 0))
            }
            Opcode::Flush => {
                let (flush, _) = arguments!(body, FlushIn);
                unpoisoned(&self.locks).remove(&(node, flush.lock_owner, false));
                Ok((Vec::new(), 0))
            }
            Opcode::Fsync | Opcode::Fsyncdir => {
                let (sync, _) = arguments!(body, FsyncIn);
                let handle = self.handle(sync.fh)?;
                let only_data = sync.fsync_flags & 1 != 0;
                if only_data { fs::fdatasync(&handle.fd) } else { fs::fsync(&handle.fd) }.map(nothing)
            }
            Opcode::Setxattr | Opcode::Getxattr | Opcode::Listxattr | Opcode::Removexattr => {
                self.extended_attributes(opcode, node, body, data_len, data)
            }
            Opcode::Getlk | Opcode::Setlk => self.lock(opcode, node, body),
            Opcode::Fallocate => {
                let (allocate, _) = arguments!(body, FallocateIn);
                let handle = self.handle(allocate.fh)?;
                let mode = fs::FallocateFlags::from_bits_retain(allocate.mode);
                fs::fallocate(&handle.fd, mode, allocate.offset, allocate.length).map(nothing)
            }
            Opcode::Lseek => {
                let (seek, _) = arguments!(body, LseekIn);
                let handle = self.handle(seek.fh)?;
                let from = match seek.whence as i32 {
                    libc::SEEK_DATA => fs::SeekFrom::Data(seek.offset),
                    libc::SEEK_HOLE => fs::SeekFrom::Hole(seek.offset),
                    _ => return Err(Errno::INVAL),
                };
                if i64::try_from(seek.offset).is_err() {
                    return Err(Errno::NXIO);
                }
                let offset = fs::seek(&handle.fd, from)?;
                Ok((fuse::LseekOut { offset }.to_bytes().to_vec(), 0))
            }
            Opcode::CopyFileRange => {
                let (copy, _) = arguments!(body, CopyFileRangeIn);
                if copy.flags != 0 {
                    return Err(Errno::INVAL);
                }
                let (from, to) = (self.handle(copy.fh_in)?, self.handle(copy.fh_out)?);
                let (mut at, mut to_at) = (copy.off_in, copy.off_out);
                let len = copy.len.min(i32::MAX as u64) as usize;
                let size =
                    fs::copy_file_range(&from.fd, Some(&mut at), &to.fd, Some(&mut to_at), len)? as u32;
                Ok((fuse::WriteOut { size, padding: 0 }.to_bytes().to_vec(), 0))
            }
        }
    }

    fn directory(&self, id: u64) -> Result<Arc<Node>, Errno> {
        let node = self.nodes.get(id)?;
        if node.kind == libc::S_IFDIR { Ok(node) } else { Err(Errno::NOTDIR) }
    }

    fn handle(&self, id: u64) -> Result<Arc<Handle>, Errno> {
        unpoisoned(&self.handles).1.get(&id).cloned().ok_or(Errno::BADF)
    }

    fn new_handle(&self, fd: OwnedFd, node: Arc<Node>) -> fuse::OpenOut {
        let mut handles = unpoisoned(&self.handles);
        let (last, all) = &mut *handles;
        *last += 1;
        all.insert(*last, Arc::new(Handle { fd, node, reading: Mutex::new(()) }));
        fuse::OpenOut { fh: *last, open_flags: 0, padding: 0 }
    }

    /// A node's name in /proc/self/fd, which leads to exactly that node.
    fn place(&self, node: &Node) -> CString {
        CString::new(node.as_fd().as_raw_fd().to_string()).expect("digits")
    }

    fn makes_as(&self, header: &InHeader) -> Option<MakesAs> {
        (self.ids == Ids::Same).then(|| MakesAs::new(header.uid, header.gid))
    }

    /// The flags of an open(2) of the guest that mean something here. O_APPEND comes with each write, since it can change.
    fn open_flags(&self, flags: u32) -> Result<OFlags, Errno> {
        let flags = OFlags::from_bits_retain(flags);
        let writes = flags & OFlags::ACCMODE != OFlags::RDONLY || flags.contains(OFlags::TRUNC);
        if writes && self.access == Access::ReadOnly {
            return Err(Errno::ROFS);
        }
        let kept = OFlags::ACCMODE | OFlags::TRUNC | OFlags::DSYNC | OFlags::SYNC;
        Ok(flags & kept | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK)
    }

    /// Opens a node anew. What is no file or directory is the guest's kernel's to open (a pipe, a socket), or nobody's.
    fn open(&self, node: &Node, flags: u32) -> Result<OwnedFd, Errno> {
        if !matches!(node.kind, libc::S_IFREG | libc::S_IFDIR) {
            return Err(Errno::ACCESS);
        }
        let asked = OFlags::from_bits_retain(flags);
        let (place, flags) = (self.place(node), self.open_flags(flags)?);
        let open = |flags| fs::openat(&self.descriptors, &place, flags, Mode::empty());
        // Reading what cannot be changed changes no access time either, and a guest may ask for that (O_NOATIME); only a file's
        // owner and root can.
        if self.access == Access::ReadOnly || asked.contains(OFlags::NOATIME) {
            match open(flags | OFlags::NOATIME) {
                Err(Errno::PERM) => {}
                opened => return opened,
            }
        }
        open(flags)
    }

    fn attributes_of(&self, stat: &Stat) -> Attr {
        let (uid, gid) = self.ids.to_guest(stat.st_uid, stat.st_gid);
        Attr {
            ino: stat.st_ino,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: stat.st_atime as u64,
            mtime: stat.st_mtime as u64,
            ctime: stat.st_ctime as u64,
            atimensec: stat.st_atime_nsec as u32,
            mtimensec: stat.st_mtime_nsec as u32,
            ctimensec: stat.st_ctime_nsec as u32,
            mode: stat.st_mode,
            nlink: stat.st_nlink as u32,
            uid,
            gid,
            rdev: device(stat.st_rdev),
            blksize: stat.st_blksize as u32,
            flags: 0,
        }
    }

    /// The reply to GETATTR and SETATTR.
    fn attributes(&self, stat: &Stat) -> Result<Vec<u8>, Errno> {
        let out = AttrOut { attr_valid: VALID, attr_valid_nsec: 0, dummy: 0 };
        Ok([out.to_bytes().as_slice(), &self.attributes_of(stat).to_bytes()].concat())
    }

    fn entry(&self, node: &Node, stat: &Stat) -> (EntryOut, Attr) {
        let out = EntryOut { nodeid: node.id, entry_valid: VALID, attr_valid: VALID, ..EntryOut::default() };
        (out, self.attributes_of(stat))
    }

    /// Finds a name and counts the look-up.
    fn find(&self, parent: impl AsFd, name: &CString) -> Result<(EntryOut, Attr), Errno> {
        // A node that is known is not opened again: as long as it is held, no other file has its number.
        let found = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if let Some(node) = self.nodes.count(key(&found)) {
            return Ok(self.entry(&node, &found));
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(parent, name, flags, Mode::empty())?;
        let found = stat(&fd)?;
        let node = self.nodes.enter(fd, key(&found), kind(found.st_mode));
        Ok(self.entry(&node, &found))
    }

    fn look_up(&self, parent: impl AsFd, name: &CString) -> Result<Vec<u8>, Errno> {
        let (entry, attributes) = self.find(parent, name)?;
        Ok([entry.to_bytes().as_slice(), &attributes.to_bytes()].concat())
    }

    /// Makes a name by `make`, as the asking user, and looks it up.
    fn make(
        &self,
        header: &InHeader,
        name: &CString,
        make: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
    ) -> Answer {
        let parent = self.directory(header.nodeid)?;
        {
            let _owner = self.makes_as(header);
            make(parent.as_fd())?;
        }
        self.look_up(&*parent, name).map(|entry| (entry, 0))
    }

    fn create(&self, header: &InHeader, body: &[u8]) -> Answer {
        let (create, rest) = arguments!(body, CreateIn);
        let (name, _) = name(rest)?;
        let parent = self.directory(header.nodeid)?;
        let is_exclusive = create.flags & OFlags::EXCL.bits() != 0;
        let flags = self.open_flags(create.flags)?;
        let mode = Mode::from_bits_truncate(create.mode & !create.umask & 0o7777);
        // Never a plain O_CREAT: it would open whatever has the name by now, a device for instance.
        for _ in 0..16 {
            let made = {
                let _owner = self.makes_as(header);
                let exclusively = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                fs::openat(&*parent, &name, flags | exclusively, mode)
            };
            match made {
                Ok(fd) => return self.enter_created(fd),
                Err(Errno::EXIST) if !is_exclusive => {}
                Err(error) => return Err(error),
            }
            let (entry, attributes) = match self.find(&*parent, &name) {
                Ok(found) => found,
                // Gone again.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            };
            let opened = self.nodes.get(entry.nodeid).and_then(|node| match node.kind {
                libc::S_IFLNK => Err(Errno::LOOP),
                libc::S_IFDIR => Err(Errno::ISDIR),
                _ => self.open(&node, create.flags).map(|fd| (fd, node)),
            });
            let (fd, node) = match opened {
                Ok(opened) => opened,
                Err(error) => {
                    self.nodes.forget(entry.nodeid, 1);
                    return Err(error);
                }
            };
            // O_TRUNC may have changed them.
            let attributes = stat(&fd).map_or(attributes, |found| self.attributes_of(&found));
            return Ok((self.created(entry, attributes, self.new_handle(fd, node)), 0));
        }
        Err(Errno::BUSY)
    }

    /// The reply to CREATE and TMPFILE.
    fn created(&self, entry: EntryOut, attributes: Attr, open: fuse::OpenOut) -> Vec<u8> {
        [entry.to_bytes().as_slice(), &attributes.to_bytes(), &open.to_bytes()].concat()
    }

    /// The reply for a file that was just made and is open.
    fn enter_created(&self, fd: OwnedFd) -> Answer {
        let place = CString::new(fd.as_raw_fd().to_string()).expect("digits");
        let path = fs::openat(&self.descriptors, &place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let found = stat(&path)?;
        let node = self.nodes.enter(path, key(&found), kind(found.st_mode));
        let (entry, attributes) = self.entry(&node, &found);
        Ok((self.created(entry, attributes, self.new_handle(fd, node)), 0))
    }

    fn set_attributes(&self, id: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let (set, _) = arguments!(body, SetattrIn);
        let node = self.nodes.get(id)?;
        let place = self.place(&node);
        let asks = |bit: u32| set.valid & bit != 0;
        if asks(fattr::UID | fattr::GID) {
            let (uid, gid) = self.ids.to_host(set.uid, set.gid);
            let uid = asks(fattr::UID).then(|| fs::Uid::from_raw(uid));
            let gid = asks(fattr::GID).then(|| fs::Gid::from_raw(gid));
            fs::chownat(&*node, c"", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // After the owner, whose change takes set-user-id bits away.
        if asks(fattr::MODE) {
            let mode = Mode::from_bits_truncate(set.mode & 0o7777);
            fs::chmodat(&self.descriptors, &place, mode, AtFlags::empty())?;
        }
        if asks(fattr::SIZE) {
            if asks(fattr::FH) {
                fs::ftruncate(&self.handle(set.fh)?.fd, set.size)?;
            } else {
                fs::ftruncate(&self.open(&node, OFlags::WRONLY.bits())?, set.size)?;
            }
        }
        if asks(fattr::ATIME | fattr::MTIME) {
            let time = |given: u32, now: u32, seconds: u64, nanoseconds: u32| {
                let tv_nsec = if asks(now) {
                    libc::UTIME_NOW
                } else if asks(given) {
                    i64::from(nanoseconds)
                } else {
                    libc::UTIME_OMIT
                };
                fs::Timespec { tv_sec: seconds as i64, tv_nsec }
            };
            let times = fs::Timestamps {
                last_access: time(fattr::ATIME, fattr::ATIME_NOW, set.atime, set.atimensec),
                last_modification: time(fattr::MTIME, fattr::MTIME_NOW, set.mtime, set.mtimensec),
            };
            fs::utimensat(&self.descriptors, &place, &times, AtFlags::empty())?;
        }
        self.attributes(&stat(&*node)?)
    }

    /// Fills `data` with records from the position `offset` on, as many as fit into `size` bytes.
    fn read_directory(
        &self,
        handle: &Handle,
        offset: u64,
        size: usize,
        data: &mut Data<'_>,
    ) -> Result<usize, Errno> {
        if handle.node.kind != libc::S_IFDIR {
            return Err(Errno::NOTDIR);
        }
        let size = size.min(data.len());
        let _reading = unpoisoned(&handle.reading);
        i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        fs::seek(&handle.fd, fs::SeekFrom::Start(offset))?;
        let mut buffer = Vec::with_capacity(24 << 10);
        let mut entries = fs::RawDir::new(&handle.fd, buffer.spare_capacity_mut());
        let mut used = 0;
        while let Some(entry) = entries.next() {
            let found = entry?;
            let name = found.file_name();
            let bytes = name.to_bytes();
            let len = fuse::direntplus_len(bytes.len());
            if len > size - used {
                // The first must fit, or the end would seem to have come.
                return if used == 0 { Err(Errno::INVAL) } else { Ok(used) };
            }
            let kind = match found.file_type() {
                fs::FileType::Unknown => 0,
                file_type => file_type.as_raw_mode() >> 12,
            };
            let dirent = fuse::Dirent {
                ino: found.ino(),
                off: found.next_entry_cookie(),
                namelen: bytes.len() as u32,
                kind,
            };
            // Without a node: what the guest's kernel does not look up costs neither side anything.
            let attr = Attr { ino: found.ino(), mode: kind << 12, ..Attr::default() };
            let mut record = Vec::with_capacity(len);
            record.extend_from_slice(&EntryOut::default().to_bytes());
            record.extend_from_slice(&attr.to_bytes());
            record.extend_from_slice(&dirent.to_bytes());
            record.extend_from_slice(bytes);
            record.resize(len, 0);
            data.put(used, &record)?;
            used += len;
        }
        Ok(used)
    }

    fn extended_attributes(
        &self,
        opcode: Opcode,
        id: u64,
        body: &[u8],
        data_len: usize,
        data: &mut Data<'_>,
    ) -> Answer {
        /// XATTR_SIZE_MAX and XATTR_LIST_MAX.
        const SIZE_MAX: usize = 64 << 10;
        let node = self.nodes.get(id)?;
        // The host follows this to the node itself, be it a link.
        let path = [b"/proc/self/fd/", self.place(&node).as_bytes()].concat();
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        let attribute = |bytes: &[u8]| {
            let (name, _) = split_name(bytes).ok_or(Errno::INVAL)?;
            CString::new(name).map_err(|_| Errno::INVAL)
        };
        // Asked with no size, the answer is the size.
        let give = |asked: u32, value: Vec<u8>, data: &mut Data<'_>| {
            if asked == 0 {
                let out = fuse::GetxattrOut { size: value.len() as u32, padding: 0 };
                return Ok((out.to_bytes().to_vec(), 0));
            }
            if value.len() > asked as usize {
                return Err(Errno::RANGE);
            }
            data.put(0, &value)?;
            Ok((Vec::new(), value.len()))
        };
        let mut value = vec![0; SIZE_MAX];
        match opcode {
            Opcode::Setxattr => {
                let (set, rest) = arguments!(body, SetxattrIn);
                if set.size as usize != data_len || data_len > SIZE_MAX {
                    return Err(Errno::INVAL);
                }
                let flags = fs::XattrFlags::from_bits(set.flags).ok_or(Errno::INVAL)?;
                fs::setxattr(&path, attribute(rest)?, &data.copy_out(data_len)?, flags)?;
                Ok((Vec::new(), 0))
            }
            Opcode::Getxattr => {
                let (get, rest) = arguments!(body, GetxattrIn);
                let len = fs::getxattr(&path, attribute(rest)?, value.as_mut_slice())?;
                value.truncate(len);
                give(get.size, value, data)
            }
            Opcode::Listxattr => {
                let (get, _) = arguments!(body, GetxattrIn);
                let len = fs::listxattr(&path, value.as_mut_slice())?;
                value.truncate(len);
                give(get.size, value, data)
            }
            _ => {
                fs::removexattr(&path, attribute(body)?)?;
                Ok((Vec::new(), 0))
            }
        }
    }

    fn lock(&self, opcode: Opcode, id: u64, body: &[u8]) -> Answer {
        let (lock, _) = arguments!(body, LkIn);
        let is_flock = lock.lk_flags & fuse::LK_FLOCK != 0;
        let asked = Lock { kind: lock.kind, start: lock.start, end: lock.end };
        let holder = (id, lock.owner, is_flock);
        let node = self.nodes.get(id)?;
        if opcode == Opcode::Getlk {
            let fd = self.locker(&node)?;
            // Through the holder's own description, or its own locks would be in its way.
            let own = unpoisoned(&self.locks).get(&holder).cloned();
            let found = host::get_lock(own.as_deref().map_or(fd.as_fd(), AsFd::as_fd), asked)?;
            let out = fuse::LkOut { start: found.start, end: found.end, kind: found.kind, pid: 0 };
            return Ok((out.to_bytes().to_vec(), 0));
        }
        let mut locks = unpoisoned(&self.locks);
        let unlocks = asked.kind as i32 == libc::F_UNLCK;
        let fd = match locks.get(&holder) {
            Some(fd) => fd.clone(),
            None if unlocks => return Ok((Vec::new(), 0)),
            None => Arc::new(self.locker(&node)?),
        };
        if is_flock {
            let operation = match asked.kind as i32 {
                libc::F_RDLCK => fs::FlockOperation::NonBlockingLockShared,
                libc::F_WRLCK => fs::FlockOperation::NonBlockingLockExclusive,
                libc::F_UNLCK => fs::FlockOperation::Unlock,
                _ => return Err(Errno::INVAL),
            };
            fs::flock(&*fd, operation)?;
        } else {
            host::set_lock(fd.as_fd(), asked)?;
        }
        let ends = unlocks && (is_flock || (asked.start == 0 && asked.end >= i64::MAX as u64));
        if ends {
            locks.remove(&holder);
        } else {
            locks.insert(holder, fd);
        }
        Ok((Vec::new(), 0))
    }

    /// An open file description for locks on a node.
    fn locker(&self, node: &Node) -> Result<OwnedFd, Errno> {
        let open = |flags: OFlags| {
            if !matches!(node.kind, libc::S_IFREG | libc::S_IFDIR) {
                return Err(Errno::ACCESS);
            }
            let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            fs::openat(&self.descriptors, self.place(node), flags, Mode::empty())
        };
        match if self.access == Access::ReadOnly { Err(Errno::ROFS) } else { open(OFlags::RDWR) } {
            Ok(fd) => Ok(fd),
            Err(_) => match open(OFlags::RDONLY) {
                Ok(fd) => Ok(fd),
                Err(_) if self.access == Access::ReadWrite => open(OFlags::WRONLY),
                Err(error) => Err(error),
            },
        }
    }
}

fn init(body: &[u8]) -> Answer {
    let (init, _) = arguments!(body, InitIn);
    if init.major != fuse::KERNEL_VERSION {
        return Err(Errno::PROTO);
    }
    let can = fuse::POSIX_LOCKS | fuse::FLOCK_LOCKS | fuse::DO_READDIRPLUS | fuse::ATOMIC_O_TRUNC;
    let out = fuse::InitOut {
        major: fuse::KERNEL_VERSION,
        minor: fuse::KERNEL_MINOR_VERSION,
        max_readahead: init.max_readahead,
        flags: init.flags & can,
        max_background: husk_ring::SLOTS as u16,
        congestion_threshold: husk_ring::SLOTS as u16,
        max_write: husk_ring::DATA_LEN as u32,
    };
    Ok((out.to_bytes().to_vec(), 0))
}

/// Whether a request changes the volume.
fn changes(opcode: Opcode) -> bool {
    match opcode {
        Opcode::Setattr
        | Opcode::Symlink
        | Opcode::Mknod
        | Opcode::Mkdir
        | Opcode::Unlink
        | Opcode::Rmdir
        | Opcode::Link
        | Opcode::Write
        | Opcode::Setxattr
        | Opcode::Removexattr
        | Opcode::Create
        | Opcode::Fallocate
        | Opcode::Rename2
        | Opcode::CopyFileRange
        | Opcode::Tmpfile => true,
        Opcode::Lookup
        | Opcode::Forget
        | Opcode::BatchForget
        | Opcode::Getattr
        | Opcode::Readlink
        | Opcode::Open
        | Opcode::Read
        | Opcode::Statfs
        | Opcode::Release
        | Opcode::Fsync
        | Opcode::Getxattr
        | Opcode::Listxattr
        | Opcode::Flush
        | Opcode::Init
        | Opcode::Opendir
        | Opcode::Releasedir
        | Opcode::Fsyncdir
        | Opcode::Getlk
        | Opcode::Setlk
        | Opcode::Readdirplus
        | Opcode::Lseek => false,
    }
}
