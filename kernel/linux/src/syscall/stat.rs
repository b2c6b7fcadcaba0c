//! What files are: stat(2) and its relatives, access(2), readlink(2), statfs(2).

use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::fs::inode::Node;
use crate::fs::walk::{self, Found, Walk};
use crate::fs::{Mount, Path, Stat, major_minor, pseudo, remote};
use crate::mem::user;
use crate::task::Task;
use crate::task::cred::Cred;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::{frames, pod};
use linux_raw_sys::general as raw;
use raw::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW,
    STATX__RESERVED, STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID,
};

const SECOND: i64 = 1_000_000_000;

fn write_stat(address: usize, stat: &Stat) -> SysResult {
    let mut out: raw::stat = pod::zeroed();
    out.st_dev = stat.dev;
    out.st_ino = stat.ino;
    out.st_nlink = stat.nlink.into();
    out.st_mode = stat.mode;
    out.st_uid = stat.uid;
    out.st_gid = stat.gid;
    out.st_rdev = stat.rdev;
    out.st_size = stat.size as i64;
    out.st_blksize = stat.block_size.into();
    out.st_blocks = stat.blocks as i64;
    out.st_atime = stat.atime.div_euclid(SECOND) as u64;
    out.st_atime_nsec = stat.atime.rem_euclid(SECOND) as u64;
    out.st_mtime = stat.mtime.div_euclid(SECOND) as u64;
    out.st_mtime_nsec = stat.mtime.rem_euclid(SECOND) as u64;
    out.st_ctime = stat.ctime.div_euclid(SECOND) as u64;
    out.st_ctime_nsec = stat.ctime.rem_euclid(SECOND) as u64;
    user::write(address, &out)?;
    Ok(0)
}

/// What a stat call is about.
enum Target {
    Path(Path),
    File(Arc<OpenFile>),
}

impl Target {
    fn stat(&self) -> Result<Stat, Errno> {
        match self {
            Self::Path(path) => Ok(path.inode().stat()),
            Self::File(file) => file.stat(),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::File(file) => file.path.as_ref(),
        }
    }
}

/// What `path` below `dirfd` names. `flags`: AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH.
fn target(t: &Arc<Task>, dirfd: i32, path: usize, flags: u32) -> Result<Target, Errno> {
    // Since Linux 6.11 a null path with AT_EMPTY_PATH is an empty one.
    let path = if path == 0 && flags & AT_EMPTY_PATH != 0 { Vec::new() } else { user::read_path(path)? };
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        return match dirfd {
            AT_FDCWD => {
                let cwd = t.fs_ref().cwd();
                cwd.inode().refresh()?;
                Ok(Target::Path(cwd))
            }
            _ => Ok(Target::File(t.files_ref().get(dirfd)?)),
        };
    }
    match Walk::new(t, dirfd, &path)?.to_end(flags & AT_SYMLINK_NOFOLLOW == 0)? {
        Found::Path(path) => Ok(Target::Path(path)),
        Found::File(file) => Ok(Target::File(file)),
    }
}

pub(super) fn stat(t: &Arc<Task>, path: usize, statbuf: usize) -> SysResult {
    write_stat(statbuf, &target(t, AT_FDCWD, path, 0)?.stat()?)
}

pub(super) fn lstat(t: &Arc<Task>, path: usize, statbuf: usize) -> SysResult {
    write_stat(statbuf, &target(t, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?.stat()?)
}

pub(super) fn fstat(t: &Arc<Task>, fd: i32, statbuf: usize) -> SysResult {
    let file = t.files_ref().get(fd)?;
    write_stat(statbuf, &file.stat()?)
}

pub(super) fn newfstatat(t: &Arc<Task>, dirfd: i32, path: usize, statbuf: usize, flags: u32) -> SysResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL);
    }
    write_stat(statbuf, &target(t, dirfd, path, flags)?.stat()?)
}

pub(super) fn statx(
    t: &Arc<Task>,
    dirfd: i32,
    path: usize,
    flags: u32,
    mask: u32,
    statxbuf: usize,
) -> SysResult {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0
        || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE
        || mask & STATX__RESERVED != 0
    {
        return Err(Errno::EINVAL);
    }
    let found = target(t, dirfd, path, flags)?;
    let stat = found.stat()?;
    let time = |ns: i64| {
        let mut time: raw::statx_timestamp = pod::zeroed();
        time.tv_sec = ns.div_euclid(SECOND);
        time.tv_nsec = ns.rem_euclid(SECOND) as u32;
        time
    };
    let mut out: raw::statx = pod::zeroed();
    out.stx_mask = STATX_BASIC_STATS;
    if stat.btime != 0 {
        out.stx_mask |= STATX_BTIME;
    }
    if let Some(path) = found.path() {
        out.stx_mask |= STATX_MNT_ID;
        out.stx_mnt_id = path.mount.id.into();
        if path.is_mount_root() {
            out.stx_attributes |= u64::from(raw::STATX_ATTR_MOUNT_ROOT);
        }
        out.stx_attributes_mask = raw::STATX_ATTR_MOUNT_ROOT.into();
    }
    out.stx_blksize = stat.block_size;
    out.stx_nlink = stat.nlink;
    out.stx_uid = stat.uid;
    out.stx_gid = stat.gid;
    out.stx_mode = stat.mode as u16;
    out.stx_ino = stat.ino;
    out.stx_size = stat.size;
    out.stx_blocks = stat.blocks;
    out.stx_atime = time(stat.atime);
    out.stx_btime = time(stat.btime);
    out.stx_ctime = time(stat.ctime);
    out.stx_mtime = time(stat.mtime);
    (out.stx_rdev_major, out.stx_rdev_minor) = major_minor(stat.rdev);
    (out.stx_dev_major, out.stx_dev_minor) = major_minor(stat.dev);
    user::write(statxbuf, &out)?;
    Ok(0)
}

pub(super) fn access(t: &Arc<Task>, path: usize, mode: u32) -> SysResult {
    faccessat2(t, AT_FDCWD, path, mode, 0)
}

pub(super) fn faccessat(t: &Arc<Task>, dirfd: i32, path: usize, mode: u32) -> SysResult {
    faccessat2(t, dirfd, path, mode, 0)
}

pub(super) fn faccessat2(t: &Arc<Task>, dirfd: i32, path: usize, mode: u32, flags: u32) -> SysResult {
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = user::read_path(path)?;
    let cred = if flags & AT_EACCESS != 0 { t.cred() } else { real_identity(&t.cred()) };
    let found = if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        match dirfd {
            AT_FDCWD => t.fs().cwd(),
            _ => match &t.files().get(dirfd)?.path {
                Some(path) => path.clone(),
                None => return Ok(0),
            },
        }
    } else {
        let walk = Walk::new(t, dirfd, &path)?;
        match walk.as_cred(cred.clone()).to_end(flags & AT_SYMLINK_NOFOLLOW == 0)? {
            Found::Path(path) => path,
            Found::File(_) => return Ok(0),
        }
    };
    check_access(&found, &cred, mode)?;
    Ok(0)
}

fn check_access(path: &Path, cred: &Cred, mode: u32) -> Result<(), Errno> {
    let inode = path.inode();
    if mode & 1 != 0 && inode.is_regular() && path.mount.flags() & raw::MS_NOEXEC != 0 {
        return Err(Errno::EACCES);
    }
    if mode & 2 != 0 && (inode.is_regular() || inode.is_directory() || inode.is_symlink()) {
        path.mount.check_writable()?;
    }
    inode.permission(cred, mode)
}

/// The credentials that access(2) checks: the real user and group in place of the effective ones.
fn real_identity(cred: &Arc<Cred>) -> Arc<Cred> {
    if cred.uid == cred.fsuid && cred.gid == cred.fsgid {
        return cred.clone();
    }
    let cap_effective = if cred.uid == 0 { cred.cap_permitted } else { 0 };
    Arc::new(Cred { fsuid: cred.uid, fsgid: cred.gid, cap_effective, ..(**cred).clone() })
}

pub(super) fn readlink(t: &Arc<Task>, path: usize, buf: usize, bufsiz: i32) -> SysResult {
    readlinkat(t, AT_FDCWD, path, buf, bufsiz)
}

pub(super) fn readlinkat(t: &Arc<Task>, dirfd: i32, path: usize, buf: usize, bufsiz: i32) -> SysResult {
    let room = usize::try_from(bufsiz).ok().filter(|room| *room > 0).ok_or(Errno::EINVAL)?;
    let path = user::read_path(path)?;
    let link = if path.is_empty() && dirfd != AT_FDCWD {
        // An O_PATH descriptor of the link itself.
        t.files().get(dirfd)?.path.clone().ok_or(Errno::ENOENT)?
    } else {
        walk::lookup(t, dirfd, &path, false)?
    };
    let target = match &link.inode().node {
        Node::Symlink(target) => Cow::Borrowed(target.bytes()),
        Node::Pseudo(pseudo::Node::Link(link)) => Cow::Owned(link.target()?),
        Node::Remote(_) if link.inode().is_symlink() => Cow::Owned(remote::read_link(link.inode())?),
        _ => return Err(if path.is_empty() { Errno::ENOENT } else { Errno::EINVAL }),
    };
    let len = target.len().min(room);
    user::copy_out(buf, &target[..len])?;
    link.touch_accessed();
    Ok(len)
}

pub(super) fn statfs(t: &Arc<Task>, path: usize, buf: usize) -> SysResult {
    let path = user::read_path(path)?;
    write_statfs(buf, &walk::lookup(t, AT_FDCWD, &path, true)?.mount)
}

pub(super) fn fstatfs(t: &Arc<Task>, fd: i32, buf: usize) -> SysResult {
    match &t.files().get(fd)?.path {
        Some(path) => write_statfs(buf, &path.mount),
        None => {
            let mut out: raw::statfs = pod::zeroed();
            out.f_type = raw::ANON_INODE_FS_MAGIC.into();
            out.f_bsize = 4096;
            out.f_frsize = 4096;
            out.f_namelen = 255;
            user::write(buf, &out)?;
            Ok(0)
        }
    }
}

fn write_statfs(address: usize, mount: &Mount) -> SysResult {
    const ST_VALID: i64 = 0x20;
    let (pages, limit, inodes) = mount.fs.usage();
    let available = (limit - pages.min(limit)).min(frames::usage().0 as u64);
    let mut out: raw::statfs = pod::zeroed();
    if mount.root.inode().is_remote() {
        let found = remote::statfs(mount.root.inode())?;
        out.f_type = mount.fs.magic.into();
        out.f_bsize = found.bsize.into();
        out.f_frsize = found.frsize.into();
        out.f_blocks = found.blocks as _;
        out.f_bfree = found.bfree as _;
        out.f_bavail = found.bavail as _;
        out.f_files = found.files as _;
        out.f_ffree = found.ffree as _;
        out.f_fsid.val = [mount.fs.dev as i32, 0];
        out.f_namelen = found.namelen.into();
        out.f_flags = (i64::from(mount.flags() & 15) | ST_VALID) as _;
        user::write(address, &out)?;
        return Ok(0);
    }
    out.f_type = mount.fs.magic.into();
    out.f_bsize = 4096;
    out.f_frsize = 4096;
    out.f_blocks = limit as _;
    out.f_bfree = available as _;
    out.f_bavail = available as _;
    // An inode for each page there may be, as a tmpfs has them.
    out.f_files = limit as _;
    out.f_ffree = limit.saturating_sub(inodes) as _;
    out.f_fsid.val = [mount.fs.dev as i32, 0];
    out.f_namelen = 255;
    // ST_RDONLY, ST_NOSUID, ST_NODEV and ST_NOEXEC are the MS_ bits.
    out.f_flags = (i64::from(mount.flags() & 15) | ST_VALID) as _;
    user::write(address, &out)?;
    Ok(0)
}
