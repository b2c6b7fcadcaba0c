//! Mounting: mount(2), umount2(2), pivot_root(2).

use crate::errno::{Errno, SysResult};
use crate::fs::attach::{self, MountOptions};
use crate::fs::walk;
use crate::mem::user;
use crate::task::Task;
use crate::task::cred::CAP_SYS_ADMIN;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MOVE, MS_PRIVATE, MS_REC, MS_REMOUNT, MS_SHARED,
    MS_SLAVE, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};

fn check_admin(t: &Arc<Task>) -> Result<(), Errno> {
    if t.cred().capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
}

/// A string argument that may be missing.
fn text(address: usize) -> Result<Vec<u8>, Errno> {
    if address == 0 { Ok(Vec::new()) } else { user::read_path(address) }
}

pub(super) fn mount(
    t: &Arc<Task>,
    source: usize,
    target: usize,
    filesystemtype: usize,
    mountflags: u64,
    data: usize,
) -> SysResult {
    const MAGIC: u64 = 0xc0ed_0000;
    let mut flags = mountflags;
    if flags & 0xffff_0000 == MAGIC {
        flags &= 0xffff;
    }
    let flags = flags as u32;
    let source = text(source)?;
    let target = user::read_path(target)?;
    let kind = text(filesystemtype)?;
    let options = text(data)?;
    let place = walk::lookup(t, AT_FDCWD, &target, true)?;
    check_admin(t)?;
    if flags & MS_REMOUNT != 0 {
        attach::remount(&place, flags, flags & MS_BIND != 0, &MountOptions::parse(&options)?)?;
    } else if flags & MS_BIND != 0 {
        let from = walk::lookup(t, AT_FDCWD, &source, true)?;
        attach::bind(&from, &place, flags & MS_REC != 0)?;
    } else if flags & (MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE | MS_SHARED) != 0 {
        // Every mount is private, as there is one namespace: what asks for less propagation has it already.
        if flags & (MS_SHARED | MS_UNBINDABLE) != 0 || !place.is_mount_root() {
            return Err(Errno::EINVAL);
        }
    } else if flags & MS_MOVE != 0 {
        let from = walk::lookup(t, AT_FDCWD, &source, true)?;
        attach::move_mount(&from, &place)?;
    } else {
        attach::mount_new(&kind, &source, &place, flags, &MountOptions::parse(&options)?)?;
    }
    Ok(0)
}

pub(super) fn umount2(t: &Arc<Task>, target: usize, flags: u32) -> SysResult {
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = user::read_path(target)?;
    let place = walk::lookup(t, AT_FDCWD, &target, flags & UMOUNT_NOFOLLOW == 0)?;
    check_admin(t)?;
    if flags & MNT_EXPIRE != 0 {
        return Err(if flags & (MNT_FORCE | MNT_DETACH) != 0 { Errno::EINVAL } else { Errno::EAGAIN });
    }
    attach::unmount(place, flags & MNT_DETACH != 0)?;
    Ok(0)
}

pub(super) fn pivot_root(t: &Arc<Task>, new_root: usize, put_old: usize) -> SysResult {
    let (new_root, put_old) = (user::read_path(new_root)?, user::read_path(put_old)?);
    check_admin(t)?;
    let new_root = walk::lookup(t, AT_FDCWD, &new_root, true)?;
    let put_old = walk::lookup(t, AT_FDCWD, &put_old, true)?;
    attach::pivot(&t.fs().root(), &new_root, &put_old)?;
    Ok(0)
}
