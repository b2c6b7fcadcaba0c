//! Opening and closing, directories: listing, and where names start from.

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::fs::inode::Node;
use crate::fs::open::{self, How};
use crate::fs::walk;
use crate::fs::{Path, dir, notify, pseudo, remote};
use crate::mem::user;
use crate::task::Task;
use crate::task::cred::CAP_SYS_CHROOT;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::pod;
use linux_raw_sys::general::{
    AT_FDCWD, IN_ACCESS, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC, O_EXCL,
    O_LARGEFILE, O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_SYNC, O_TMPFILE, O_TRUNC, O_WRONLY,
    RESOLVE_BENEATH, RESOLVE_CACHED, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV, open_how,
};

// What close_range.h and fcntl.h have and the generated headers lack.
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;
const FASYNC: u32 = 0o20000;

/// The flags that open(2) knows; it ignores others.
const OPEN_FLAGS: u32 = O_ACCMODE
    | O_APPEND
    | O_CLOEXEC
    | O_CREAT
    | O_DIRECT
    | O_DIRECTORY
    | O_DSYNC
    | O_EXCL
    | O_LARGEFILE
    | O_NOATIME
    | O_NOCTTY
    | O_NOFOLLOW
    | O_NONBLOCK
    | O_PATH
    | O_SYNC
    | O_TMPFILE
    | O_TRUNC
    | FASYNC;

const RESOLVE_FLAGS: u32 = RESOLVE_BENEATH
    | RESOLVE_CACHED
    | RESOLVE_IN_ROOT
    | RESOLVE_NO_MAGICLINKS
    | RESOLVE_NO_SYMLINKS
    | RESOLVE_NO_XDEV;

pub(super) fn open(t: &Arc<Task>, path: usize, flags: u32, mode: u32) -> SysResult {
    openat(t, AT_FDCWD, path, flags, mode)
}

pub(super) fn creat(t: &Arc<Task>, path: usize, mode: u32) -> SysResult {
    openat(t, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

pub(super) fn openat(t: &Arc<Task>, dirfd: i32, path: usize, flags: u32, mode: u32) -> SysResult {
    let path = user::read_path(path)?;
    open_at(t, dirfd, &path, How { flags: flags & OPEN_FLAGS, mode: mode & 0o7777, resolve: 0 })
}

pub(super) fn openat2(t: &Arc<Task>, dirfd: i32, path: usize, how: usize, size: usize) -> SysResult {
    let how: open_how = read_extensible(how, size)?;
    let flags = u32::try_from(how.flags).map_err(|_| Errno::EINVAL)?;
    let resolve = u32::try_from(how.resolve).map_err(|_| Errno::EINVAL)?;
    let creates = flags & O_CREAT != 0 || flags & O_TMPFILE == O_TMPFILE;
    if flags & !OPEN_FLAGS != 0
        || resolve & !RESOLVE_FLAGS != 0
        || resolve & RESOLVE_BENEATH != 0 && resolve & RESOLVE_IN_ROOT != 0
        || how.mode & !0o7777 != 0
        || how.mode != 0 && !creates
        || flags & O_PATH != 0 && flags & !(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) != 0
        || flags & (O_DIRECTORY | O_CREAT) == O_DIRECTORY | O_CREAT
    {
        return Err(Errno::EINVAL);
    }
    if resolve & RESOLVE_CACHED != 0 && (creates || flags & O_TRUNC != 0) {
        return Err(Errno::EAGAIN);
    }
    let path = user::read_path(path)?;
    open_at(t, dirfd, &path, How { flags, mode: how.mode as u32, resolve })
}

/// Reads a structure that may grow: shorter ones are filled up with zeros, longer ones must end in zeros (E2BIG).
fn read_extensible<T: pod::Pod>(address: usize, size: usize) -> Result<T, Errno> {
    let known = size_of::<T>();
    if size < known {
        return Err(Errno::EINVAL);
    }
    if size > 4096 {
        return Err(Errno::E2BIG);
    }
    let mut bytes = alloc::vec![0; size];
    user::copy_in(address, &mut bytes)?;
    if bytes[known..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    pod::read_from(&bytes).ok_or(Errno::EINVAL)
}

fn open_at(t: &Arc<Task>, dirfd: i32, path: &[u8], how: How) -> SysResult {
    let close_on_exec = how.flags & O_CLOEXEC != 0;
    t.files().check_room()?;
    let file = open::open(t, dirfd, path, how)?;
    Ok(t.files().install(file, close_on_exec)? as usize)
}

pub(super) fn close(t: &Arc<Task>, fd: i32) -> SysResult {
    t.files().close(fd)?;
    Ok(0)
}

pub(super) fn close_range(t: &Arc<Task>, first: u32, last: u32, flags: u32) -> SysResult {
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        t.set_files(t.files().duplicate());
    }
    let files = t.files();
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        files.set_close_on_exec_range(first as usize, last as usize);
    } else {
        files.close_range(first as usize, last as usize);
    }
    Ok(0)
}

pub(super) fn getcwd(t: &Arc<Task>, buf: usize, size: usize) -> SysResult {
    let fs = t.fs();
    let cwd = fs.cwd();
    if cwd.entry.is_removed() {
        return Err(Errno::ENOENT);
    }
    let (mut name, reached) = walk::name_below(&cwd, &fs.root());
    if !reached {
        name.splice(..0, *b"(unreachable)");
    }
    name.push(0);
    if name.len() > size {
        return Err(Errno::ERANGE);
    }
    user::copy_out(buf, &name)?;
    Ok(name.len())
}

pub(super) fn chdir(t: &Arc<Task>, path: usize) -> SysResult {
    walk::change_directory(t, &user::read_path(path)?)?;
    Ok(0)
}

pub(super) fn fchdir(t: &Arc<Task>, fd: i32) -> SysResult {
    let file = t.files().get(fd)?;
    let path = file.path.as_ref().ok_or(Errno::ENOTDIR)?;
    walk::check_searchable(t, path)?;
    t.fs().set_cwd(path.clone());
    Ok(0)
}

pub(super) fn chroot(t: &Arc<Task>, path: usize) -> SysResult {
    let path = user::read_path(path)?;
    let directory = walk::lookup(t, AT_FDCWD, &path, true)?;
    walk::check_searchable(t, &directory)?;
    if !t.cred().capable(CAP_SYS_CHROOT) {
        return Err(Errno::EPERM);
    }
    t.fs().set_root(directory);
    Ok(0)
}

pub(super) fn umask(t: &Arc<Task>, mask: u32) -> SysResult {
    let fs = t.fs();
    let old = fs.umask();
    fs.set_umask(mask);
    Ok(old as usize)
}

pub(super) fn getdents64(t: &Arc<Task>, fd: i32, dirp: usize, count: u32) -> SysResult {
    list(t, fd, dirp, count, |entry, out| {
        // struct linux_dirent64: inode, next offset, length, type, name.
        let len = (19 + entry.name.len() + 1).next_multiple_of(8);
        out.extend_from_slice(&entry.ino.to_le_bytes());
        out.extend_from_slice(&entry.cookie.wrapping_add(1).to_le_bytes());
        out.extend_from_slice(&(len as u16).to_le_bytes());
        out.push((entry.kind >> 12) as u8);
        out.extend_from_slice(entry.name);
        len
    })
}

pub(super) fn getdents(t: &Arc<Task>, fd: i32, dirp: usize, count: u32) -> SysResult {
    list(t, fd, dirp, count, |entry, out| {
        // struct linux_dirent: inode, next offset, length, name; the type is the record's last byte.
        let len = (18 + entry.name.len() + 2).next_multiple_of(8);
        let end = out.len() + len;
        out.extend_from_slice(&entry.ino.to_le_bytes());
        out.extend_from_slice(&entry.cookie.wrapping_add(1).to_le_bytes());
        out.extend_from_slice(&(len as u16).to_le_bytes());
        out.extend_from_slice(entry.name);
        out.resize(end, 0);
        out[end - 1] = (entry.kind >> 12) as u8;
        len
    })
}

/// Lists a directory from its position on. `record` appends one name and gives the length of its record.
fn list(
    t: &Arc<Task>,
    fd: i32,
    dirp: usize,
    count: u32,
    record: impl Fn(&dir::Listed<'_>, &mut Vec<u8>) -> usize,
) -> SysResult {
    const MOST: usize = 1 << 16;
    let file = opened(t, fd)?;
    let path = file.path.as_ref().ok_or(Errno::ENOTDIR)?;
    let inode = path.inode();
    if !inode.is_directory() {
        return Err(Errno::ENOTDIR);
    }
    if path.entry.is_removed() {
        return Err(Errno::ENOENT);
    }
    let room = (count as usize).min(MOST);
    let mut out = Vec::with_capacity(room.min(4096));
    let mut position = file.position();
    let mut full = false;
    let mut put = |entry: dir::Listed<'_>| {
        let start = out.len();
        let len = record(&entry, &mut out);
        out.resize(start + len, 0);
        if out.len() > room {
            out.truncate(start);
            full = true;
            return false;
        }
        position = entry.cookie.wrapping_add(1);
        true
    };
    if inode.is_remote() {
        remote::list(&file, file.position(), room, put)?;
        return finish(dirp, &file, path, position, full, &out);
    }
    let parent = path.entry.parent().map_or(inode.ino, |parent| parent.inode().ino);
    let dots = [(b".".as_slice(), inode.ino), (b"..", parent)];
    let mut going = true;
    for (cookie, (name, ino)) in dots.into_iter().enumerate().skip(file.position().min(2) as usize) {
        going = going
            && put(dir::Listed { cookie: cookie as u64, name, ino, kind: linux_raw_sys::general::S_IFDIR });
    }
    if going {
        let from = file.position().max(dir::FIRST_COOKIE);
        match &inode.node {
            Node::Directory(directory) => directory.list(from, put),
            Node::Pseudo(pseudo::Node::Directory(directory)) => pseudo::list(inode, directory, from, put),
            _ => {}
        }
    }
    finish(dirp, &file, path, position, full, &out)
}

/// Gives the records `out`, after which reading goes on at `position`. EINVAL if there was no room for one.
fn finish(dirp: usize, file: &OpenFile, path: &Path, position: u64, full: bool, out: &[u8]) -> SysResult {
    if full && out.is_empty() {
        return Err(Errno::EINVAL);
    }
    user::copy_out(dirp, out)?;
    file.set_position(position);
    path.touch_accessed();
    notify::event(&path.entry, IN_ACCESS);
    Ok(out.len())
}
