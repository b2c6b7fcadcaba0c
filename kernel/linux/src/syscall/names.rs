//! Making, moving and removing names.

use crate::errno::{Errno, SysResult};
use crate::fs::{device_number, major_minor, tree};
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW};

pub(super) fn mkdir(t: &Arc<Task>, path: usize, mode: u32) -> SysResult {
    mkdirat(t, AT_FDCWD, path, mode)
}

pub(super) fn mkdirat(t: &Arc<Task>, dirfd: i32, path: usize, mode: u32) -> SysResult {
    let path = user::read_path(path)?;
    tree::make_directory(t, dirfd, &path, mode)?;
    Ok(0)
}

pub(super) fn mknod(t: &Arc<Task>, path: usize, mode: u32, dev: u64) -> SysResult {
    mknodat(t, AT_FDCWD, path, mode, dev)
}

pub(super) fn mknodat(t: &Arc<Task>, dirfd: i32, path: usize, mode: u32, dev: u64) -> SysResult {
    let path = user::read_path(path)?;
    // The argument is 32 bits wide: 12 of them the major number.
    let (major, minor) = major_minor(dev & 0xffff_ffff);
    tree::make_node(t, dirfd, &path, mode, device_number(major, minor))?;
    Ok(0)
}

pub(super) fn symlink(t: &Arc<Task>, target: usize, path: usize) -> SysResult {
    symlinkat(t, target, AT_FDCWD, path)
}

pub(super) fn symlinkat(t: &Arc<Task>, target: usize, newdirfd: i32, path: usize) -> SysResult {
    let (target, path) = (user::read_path(target)?, user::read_path(path)?);
    tree::make_symlink(t, &target, newdirfd, &path)?;
    Ok(0)
}

pub(super) fn link(t: &Arc<Task>, old_path: usize, new_path: usize) -> SysResult {
    linkat(t, AT_FDCWD, old_path, AT_FDCWD, new_path, 0)
}

pub(super) fn linkat(
    t: &Arc<Task>,
    olddirfd: i32,
    old_path: usize,
    newdirfd: i32,
    new_path: usize,
    flags: u32,
) -> SysResult {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let (old_path, new_path) = (user::read_path(old_path)?, user::read_path(new_path)?);
    let follow = flags & AT_SYMLINK_FOLLOW != 0;
    let old = tree::link_source(t, olddirfd, &old_path, follow, flags & AT_EMPTY_PATH != 0)?;
    tree::make_link(t, &old, newdirfd, &new_path)?;
    Ok(0)
}

pub(super) fn unlink(t: &Arc<Task>, path: usize) -> SysResult {
    unlinkat(t, AT_FDCWD, path, 0)
}

pub(super) fn rmdir(t: &Arc<Task>, path: usize) -> SysResult {
    unlinkat(t, AT_FDCWD, path, AT_REMOVEDIR)
}

pub(super) fn unlinkat(t: &Arc<Task>, dirfd: i32, path: usize, flags: u32) -> SysResult {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let path = user::read_path(path)?;
    if flags & AT_REMOVEDIR != 0 {
        tree::remove_directory(t, dirfd, &path)?;
    } else {
        tree::unlink(t, dirfd, &path)?;
    }
    Ok(0)
}

pub(super) fn rename(t: &Arc<Task>, old_path: usize, new_path: usize) -> SysResult {
    renameat2(t, AT_FDCWD, old_path, AT_FDCWD, new_path, 0)
}

pub(super) fn renameat(
    t: &Arc<Task>,
    olddirfd: i32,
    old_path: usize,
    newdirfd: i32,
    new_path: usize,
) -> SysResult {
    renameat2(t, olddirfd, old_path, newdirfd, new_path, 0)
}

pub(super) fn renameat2(
    t: &Arc<Task>,
    olddirfd: i32,
    old_path: usize,
    newdirfd: i32,
    new_path: usize,
    flags: u32,
) -> SysResult {
    let (old_path, new_path) = (user::read_path(old_path)?, user::read_path(new_path)?);
    tree::rename(t, olddirfd, &old_path, newdirfd, &new_path, flags)?;
    Ok(0)
}
