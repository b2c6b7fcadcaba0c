//! Changes of an inode's attributes: mode, owner, times, size, and who may make them.

use super::inode::{Attributes, Inode, Node, WRITE};
use super::remote::{self, Change, RemoteFile};
use super::{Path, notify};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::regular::within_size_limit;
use crate::task::cred::{CAP_CHOWN, CAP_FSETID, Cred, Gid, Uid};
use crate::time::realtime_ns;
use linux_raw_sys::general::{
    F_SEAL_GROW, F_SEAL_SHRINK, IN_ACCESS, IN_ATTRIB, IN_MODIFY, S_IFDIR, S_IFMT, S_ISGID,
};

/// A new access or modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewTime {
    Now,
    Keep,
    /// Nanoseconds since the epoch.
    At(i64),
}

/// What a generated file is is made anew at each look, so a change must be kept by what it stands for: EPERM where nothing
/// does.
fn check_kept(inode: &Inode, new: &Attributes) -> Result<(), Errno> {
    let kept =
        !matches!(inode.node, Node::Pseudo(_)) || crate::tty::devpts::keep_attributes(inode.rdev(), new);
    if kept { Ok(()) } else { Err(Errno::EPERM) }
}

/// chmod(2). `mode` is permissions.
pub fn set_mode(path: &Path, cred: &Cred, mode: u32) -> Result<(), Errno> {
    path.mount.check_writable()?;
    let inode = path.inode();
    if inode.is_symlink() {
        return Err(Errno::EOPNOTSUPP);
    }
    if !inode.owned_by(cred) {
        return Err(Errno::EPERM);
    }
    let attributes = inode.attributes();
    let mut mode = mode & 0o7777;
    if mode & S_ISGID != 0 && !cred.in_group(attributes.gid) && !cred.capable(CAP_FSETID) {
        mode &= !S_ISGID;
    }
    let new = Attributes { mode: attributes.mode & S_IFMT | mode, ..attributes };
    check_kept(inode, &new)?;
    if inode.is_remote() {
        remote::set_attributes(inode, None, Change { mode: Some(mode), ..Change::default() })?;
    } else {
        inode.attributes.set(Attributes { ctime: realtime_ns() as i64, ..new });
    }
    notify::event(&path.entry, IN_ATTRIB);
    Ok(())
}

/// chown(2). `None` keeps.
pub fn set_owner(path: &Path, cred: &Cred, uid: Option<Uid>, gid: Option<Gid>) -> Result<(), Errno> {
    path.mount.check_writable()?;
    let inode = path.inode();
    let mut attributes = inode.attributes();
    let owner = cred.fsuid == attributes.uid;
    let uid_allowed = uid.is_none_or(|uid| owner && uid == attributes.uid);
    let gid_allowed = gid.is_none_or(|gid| owner && (gid == attributes.gid || cred.in_group(gid)));
    let allowed = uid_allowed && gid_allowed || cred.capable(CAP_CHOWN);
    let changes =
        uid.is_some_and(|uid| uid != attributes.uid) || gid.is_some_and(|gid| gid != attributes.gid);
    if !allowed {
        return Err(Errno::EPERM);
    }
    if changes {
        let (uid, gid) = (uid.unwrap_or(attributes.uid), gid.unwrap_or(attributes.gid));
        check_kept(inode, &Attributes { uid, gid, ..attributes })?;
    }
    if attributes.mode & S_IFMT != S_IFDIR {
        attributes.drop_privilege_bits(cred);
    }
    attributes.uid = uid.unwrap_or(attributes.uid);
    attributes.gid = gid.unwrap_or(attributes.gid);
    if inode.is_remote() {
        // The server's file system may take bits away as well, but only from the server's own caller.
        let mode = (attributes.mode != inode.attributes().mode).then_some(attributes.mode);
        remote::set_attributes(inode, None, Change { uid, gid, mode, ..Change::default() })?;
    } else {
        inode.attributes.set(Attributes { ctime: realtime_ns() as i64, ..attributes });
    }
    notify::event(&path.entry, IN_ATTRIB);
    Ok(())
}

/// utimensat(2).
pub fn set_times(path: &Path, cred: &Cred, atime: NewTime, mtime: NewTime) -> Result<(), Errno> {
    if atime == NewTime::Keep && mtime == NewTime::Keep {
        return Ok(());
    }
    path.mount.check_writable()?;
    let inode = path.inode();
    if atime == NewTime::Now && mtime == NewTime::Now {
        if !inode.owned_by(cred) {
            inode.permission(cred, WRITE)?;
        }
    } else if !inode.owned_by(cred) {
        return Err(Errno::EPERM);
    }
    let now = realtime_ns() as i64;
    let pick = |new, old| match new {
        NewTime::Now => now,
        NewTime::Keep => old,
        NewTime::At(time) => time,
    };
    if inode.is_remote() {
        let change = Change { atime: Some(atime), mtime: Some(mtime), ..Change::default() };
        remote::set_attributes(inode, None, change)?;
    } else {
        let mut attributes = inode.attributes.borrow_mut();
        attributes.atime = pick(atime, attributes.atime);
        attributes.mtime = pick(mtime, attributes.mtime);
        attributes.ctime = now;
    }
    let event = match (atime, mtime) {
        (NewTime::Keep, _) => IN_MODIFY,
        (_, NewTime::Keep) => IN_ACCESS,
        _ => IN_ATTRIB,
    };
    notify::event(&path.entry, event);
    Ok(())
}

/// ftruncate(2) and truncate(2), once it is known that the caller may write. `file`: through this open file.
pub fn set_size(path: &Path, file: Option<&OpenFile>, size: u64) -> Result<(), Errno> {
    let inode = path.inode();
    let old = match &inode.node {
        Node::File(contents) => contents.size(),
        Node::Remote(_) => {
            inode.refresh()?;
            inode.stat().size
        }
        // Their size is not theirs to keep.
        Node::Pseudo(_) => return Ok(()),
        _ => return Err(Errno::EINVAL),
    };
    if size > super::contents::SIZE_MAX {
        return Err(Errno::EFBIG);
    }
    if size > old {
        inode.check_seals(F_SEAL_GROW)?;
        let grown = usize::try_from(size - old).unwrap_or(usize::MAX);
        if within_size_limit(old, grown)? < grown {
            // Not a part of it: the whole call fails.
            within_size_limit(u64::MAX - 1, 1)?;
        }
    } else if size < old {
        inode.check_seals(F_SEAL_SHRINK)?;
    }
    match &inode.node {
        Node::File(contents) => contents.truncate(&inode.fs, size),
        _ => {
            let file = file.and_then(|file| file.object.downcast::<RemoteFile>());
            remote::drop_privilege_bits(inode)?;
            remote::set_attributes(inode, file, Change { size: Some(size), ..Change::default() })?;
        }
    }
    if size < old {
        crate::mem::file_shrank(inode, size);
    }
    inode.written();
    notify::event(&path.entry, IN_MODIFY);
    Ok(())
}
