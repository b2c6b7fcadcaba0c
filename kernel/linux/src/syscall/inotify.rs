//! inotify(7).

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::fs::inode::READ;
use crate::fs::notify::Inotify;
use crate::fs::walk;
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use linux_raw_sys::general::{
    AT_FDCWD, IN_ALL_EVENTS, IN_CLOEXEC, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD,
    IN_MASK_CREATE, IN_NONBLOCK, IN_ONESHOT, IN_ONLYDIR, IN_Q_OVERFLOW, IN_UNMOUNT, O_RDONLY,
};

pub(super) fn inotify_init(t: &Arc<Task>) -> SysResult {
    inotify_init1(t, 0)
}

pub(super) fn inotify_init1(t: &Arc<Task>, flags: u32) -> SysResult {
    if flags & !(IN_CLOEXEC | IN_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = OpenFile::new(Inotify::new(), O_RDONLY | flags & IN_NONBLOCK, None);
    Ok(t.files().install(file, flags & IN_CLOEXEC != 0)? as usize)
}

pub(super) fn inotify_add_watch(t: &Arc<Task>, fd: i32, path: usize, mask: u32) -> SysResult {
    const FLAGS: u32 =
        IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ONESHOT | IN_ONLYDIR;
    // What comes unasked may be asked for.
    const UNASKED: u32 = IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR;
    if mask == 0 || mask & !(IN_ALL_EVENTS | FLAGS | UNASKED) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = opened(t, fd)?;
    if mask & (IN_MASK_ADD | IN_MASK_CREATE) == IN_MASK_ADD | IN_MASK_CREATE {
        return Err(Errno::EINVAL);
    }
    let inotify = file.object.downcast::<Inotify>().ok_or(Errno::EINVAL)?;
    let path = user::read_path(path)?;
    let found = walk::lookup(t, AT_FDCWD, &path, mask & IN_DONT_FOLLOW == 0)?;
    if mask & IN_ONLYDIR != 0 && !found.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    found.inode().permission(&t.cred(), READ)?;
    Ok(inotify.watch(found.inode(), mask)? as usize)
}

pub(super) fn inotify_rm_watch(t: &Arc<Task>, fd: i32, wd: i32) -> SysResult {
    let file = opened(t, fd)?;
    file.object.downcast::<Inotify>().ok_or(Errno::EINVAL)?.unwatch(wd)?;
    Ok(0)
}
