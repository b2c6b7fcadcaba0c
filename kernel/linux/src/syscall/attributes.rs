//! Changing attributes: mode, owner, times, size, extended attributes.

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::{OpenFile, lease};
use crate::fs::attributes::{self, NewTime};
use crate::fs::inode::WRITE;
use crate::fs::{Path, walk, xattr};
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    __kernel_old_timeval, __kernel_timespec, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, UTIME_NOW,
    UTIME_OMIT, XATTR_LIST_MAX, XATTR_NAME_MAX, XATTR_SIZE_MAX,
};

const SECOND: i64 = 1_000_000_000;

/// The place that a call with `dirfd`, `path` and AT_* flags names.
fn place(t: &Arc<Task>, dirfd: i32, path: usize, flags: u32) -> Result<Path, Errno> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = user::read_path(path)?;
    if !path.is_empty() || flags & AT_EMPTY_PATH == 0 {
        return walk::lookup(t, dirfd, &path, flags & AT_SYMLINK_NOFOLLOW == 0);
    }
    if dirfd == AT_FDCWD {
        return Ok(t.fs().cwd());
    }
    place_of(&t.files().get(dirfd)?)
}

/// The place of an open file. One that has none (a pipe, a socket) keeps its attributes: EPERM.
fn place_of(file: &Arc<OpenFile>) -> Result<Path, Errno> {
    file.path.clone().ok_or(Errno::EPERM)
}

pub(super) fn chmod(t: &Arc<Task>, path: usize, mode: u32) -> SysResult {
    fchmodat2(t, AT_FDCWD, path, mode, 0)
}

pub(super) fn fchmod(t: &Arc<Task>, fd: i32, mode: u32) -> SysResult {
    attributes::set_mode(&place_of(&opened(t, fd)?)?, &t.cred(), mode)?;
    Ok(0)
}

pub(super) fn fchmodat(t: &Arc<Task>, dirfd: i32, path: usize, mode: u32) -> SysResult {
    fchmodat2(t, dirfd, path, mode, 0)
}

pub(super) fn fchmodat2(t: &Arc<Task>, dirfd: i32, path: usize, mode: u32, flags: u32) -> SysResult {
    attributes::set_mode(&place(t, dirfd, path, flags)?, &t.cred(), mode)?;
    Ok(0)
}

pub(super) fn chown(t: &Arc<Task>, path: usize, owner: u32, group: u32) -> SysResult {
    fchownat(t, AT_FDCWD, path, owner, group, 0)
}

pub(super) fn lchown(t: &Arc<Task>, path: usize, owner: u32, group: u32) -> SysResult {
    fchownat(t, AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW)
}

pub(super) fn fchown(t: &Arc<Task>, fd: i32, owner: u32, group: u32) -> SysResult {
    set_owner(t, &place_of(&opened(t, fd)?)?, owner, group)
}

pub(super) fn fchownat(
    t: &Arc<Task>,
    dirfd: i32,
    path: usize,
    owner: u32,
    group: u32,
    flags: u32,
) -> SysResult {
    set_owner(t, &place(t, dirfd, path, flags)?, owner, group)
}

fn set_owner(t: &Arc<Task>, path: &Path, owner: u32, group: u32) -> SysResult {
    let given = |id: u32| (id != u32::MAX).then_some(id);
    attributes::set_owner(path, &t.cred(), given(owner), given(group))?;
    Ok(0)
}

pub(super) fn utime(t: &Arc<Task>, path: usize, times: usize) -> SysResult {
    let new = match times {
        0 => [NewTime::Now; 2],
        _ => user::read::<[i64; 2]>(times)?.map(|seconds| NewTime::At(seconds.saturating_mul(SECOND))),
    };
    set_times(t, &place(t, AT_FDCWD, path, 0)?, new)
}

pub(super) fn utimes(t: &Arc<Task>, path: usize, times: usize) -> SysResult {
    futimesat(t, AT_FDCWD, path, times)
}

pub(super) fn futimesat(t: &Arc<Task>, dirfd: i32, path: usize, times: usize) -> SysResult {
    let mut new = [NewTime::Now; 2];
    if times != 0 {
        let given: [__kernel_old_timeval; 2] =
            [user::read(times)?, user::read(times + size_of::<__kernel_old_timeval>())?];
        for (new, given) in new.iter_mut().zip(given) {
            if !(0..1_000_000).contains(&given.tv_usec) {
                return Err(Errno::EINVAL);
            }
            *new = NewTime::At(given.tv_sec.saturating_mul(SECOND).saturating_add(given.tv_usec * 1000));
        }
    }
    let path = if path == 0 { place_of(&t.files().get(dirfd)?)? } else { place(t, dirfd, path, 0)? };
    set_times(t, &path, new)
}

pub(super) fn utimensat(t: &Arc<Task>, dirfd: i32, path: usize, times: usize, flags: u32) -> SysResult {
    let mut new = [NewTime::Now; 2];
    if times != 0 {
        let given: [__kernel_timespec; 2] =
            [user::read(times)?, user::read(times + size_of::<__kernel_timespec>())?];
        for (new, given) in new.iter_mut().zip(given) {
            *new = match given.tv_nsec {
                nsec if nsec == i64::from(UTIME_NOW) => NewTime::Now,
                nsec if nsec == i64::from(UTIME_OMIT) => NewTime::Keep,
                0..SECOND => NewTime::At(given.tv_sec.saturating_mul(SECOND).saturating_add(given.tv_nsec)),
                _ => return Err(Errno::EINVAL),
            };
        }
    }
    if new == [NewTime::Keep; 2] {
        return Ok(0);
    }
    let path = if path == 0 && dirfd != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        place_of(&opened(t, dirfd)?)?
    } else {
        place(t, dirfd, path, flags)?
    };
    set_times(t, &path, new)
}

fn set_times(t: &Arc<Task>, path: &Path, [atime, mtime]: [NewTime; 2]) -> SysResult {
    attributes::set_times(path, &t.cred(), atime, mtime)?;
    Ok(0)
}

pub(super) fn truncate(t: &Arc<Task>, path: usize, length: i64) -> SysResult {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let path = place(t, AT_FDCWD, path, 0)?;
    let inode = path.inode();
    if inode.is_directory() {
        return Err(Errno::EISDIR);
    }
    if !inode.is_regular() {
        return Err(Errno::EINVAL);
    }
    path.mount.check_writable()?;
    inode.permission(&t.cred(), WRITE)?;
    inode.check_not_running()?;
    lease::make_way(inode, true, false)?;
    attributes::set_size(&path, None, size)?;
    Ok(0)
}

pub(super) fn ftruncate(t: &Arc<Task>, fd: i32, length: i64) -> SysResult {
    let size = u64::try_from(length).map_err(|_| Errno::EINVAL)?;
    let file = opened(t, fd)?;
    match &file.path {
        Some(path) if file.writable() && path.inode().is_regular() => {
            attributes::set_size(path, Some(&file), size)?;
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// The name of an extended attribute: ERANGE when it is empty or too long.
fn attribute_name(name: usize) -> Result<Vec<u8>, Errno> {
    let name = user::read_cstr(name, XATTR_NAME_MAX as usize + 1, Errno::ERANGE)?;
    if name.is_empty() { Err(Errno::ERANGE) } else { Ok(name) }
}

/// Gives `bytes` to a buffer of `size` bytes; a `size` of 0 asks for the length only.
fn give(buffer: usize, size: usize, bytes: &[u8]) -> SysResult {
    if size > 0 {
        if bytes.len() > size {
            return Err(Errno::ERANGE);
        }
        user::copy_out(buffer, bytes)?;
    }
    Ok(bytes.len())
}

fn set_attribute(
    t: &Arc<Task>,
    path: &Path,
    name: usize,
    value: usize,
    size: usize,
    flags: u32,
) -> SysResult {
    let name = attribute_name(name)?;
    if size > XATTR_SIZE_MAX as usize {
        return Err(Errno::E2BIG);
    }
    let mut bytes = alloc::vec![0; size];
    user::copy_in(value, &mut bytes)?;
    xattr::set(path, &t.cred(), &name, bytes, flags)?;
    Ok(0)
}

fn get_attribute(t: &Arc<Task>, path: &Path, name: usize, value: usize, size: usize) -> SysResult {
    let name = attribute_name(name)?;
    give(value, size, &xattr::get(path.inode(), &t.cred(), &name)?)
}

fn list_attributes(t: &Arc<Task>, path: &Path, list: usize, size: usize) -> SysResult {
    let names = xattr::list(path.inode(), &t.cred())?;
    if names.len() > XATTR_LIST_MAX as usize {
        return Err(Errno::E2BIG);
    }
    give(list, size, &names)
}

fn remove_attribute(t: &Arc<Task>, path: &Path, name: usize) -> SysResult {
    xattr::remove(path, &t.cred(), &attribute_name(name)?)?;
    Ok(0)
}

/// The place of a descriptor for the extended attribute calls.
fn place_of_fd(t: &Arc<Task>, fd: i32) -> Result<Path, Errno> {
    opened(t, fd)?.path.clone().ok_or(Errno::EOPNOTSUPP)
}

pub(super) fn setxattr(
    t: &Arc<Task>,
    path: usize,
    name: usize,
    value: usize,
    size: usize,
    flags: u32,
) -> SysResult {
    set_attribute(t, &place(t, AT_FDCWD, path, 0)?, name, value, size, flags)
}

pub(super) fn lsetxattr(
    t: &Arc<Task>,
    path: usize,
    name: usize,
    value: usize,
    size: usize,
    flags: u32,
) -> SysResult {
    set_attribute(t, &place(t, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?, name, value, size, flags)
}

pub(super) fn fsetxattr(
    t: &Arc<Task>,
    fd: i32,
    name: usize,
    value: usize,
    size: usize,
    flags: u32,
) -> SysResult {
    set_attribute(t, &place_of_fd(t, fd)?, name, value, size, flags)
}

pub(super) fn getxattr(t: &Arc<Task>, path: usize, name: usize, value: usize, size: usize) -> SysResult {
    get_attribute(t, &place(t, AT_FDCWD, path, 0)?, name, value, size)
}

pub(super) fn lgetxattr(t: &Arc<Task>, path: usize, name: usize, value: usize, size: usize) -> SysResult {
    get_attribute(t, &place(t, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?, name, value, size)
}

pub(super) fn fgetxattr(t: &Arc<Task>, fd: i32, name: usize, value: usize, size: usize) -> SysResult {
    get_attribute(t, &place_of_fd(t, fd)?, name, value, size)
}

pub(super) fn listxattr(t: &Arc<Task>, path: usize, list: usize, size: usize) -> SysResult {
    list_attributes(t, &place(t, AT_FDCWD, path, 0)?, list, size)
}

pub(super) fn llistxattr(t: &Arc<Task>, path: usize, list: usize, size: usize) -> SysResult {
    list_attributes(t, &place(t, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?, list, size)
}

pub(super) fn flistxattr(t: &Arc<Task>, fd: i32, list: usize, size: usize) -> SysResult {
    list_attributes(t, &place_of_fd(t, fd)?, list, size)
}

pub(super) fn removexattr(t: &Arc<Task>, path: usize, name: usize) -> SysResult {
    remove_attribute(t, &place(t, AT_FDCWD, path, 0)?, name)
}

pub(super) fn lremovexattr(t: &Arc<Task>, path: usize, name: usize) -> SysResult {
    remove_attribute(t, &place(t, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW)?, name)
}

pub(super) fn fremovexattr(t: &Arc<Task>, fd: i32, name: usize) -> SysResult {
    remove_attribute(t, &place_of_fd(t, fd)?, name)
}
