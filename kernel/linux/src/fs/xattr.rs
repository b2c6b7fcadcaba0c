//! Extended attributes (xattr(7)): names in the namespaces `user`, `trusted` and `security`, kept with the inode.

use super::inode::{Inode, READ, WRITE};
use super::{Path, notify, remote};
use crate::errno::Errno;
use crate::task::cred::{CAP_SYS_ADMIN, Cred};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    IN_ATTRIB, S_ISVTX, XATTR_CREATE, XATTR_NAME_MAX, XATTR_REPLACE, XATTR_SIZE_MAX,
};

/// Names and values of one inode.
pub type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// Whether `cred` may read or write (`wanted`: READ or WRITE) the attribute `name`. A name in no known namespace, POSIX
/// access lists among them, is EOPNOTSUPP.
fn check(inode: &Inode, cred: &Cred, name: &[u8], wanted: u32) -> Result<(), Errno> {
    let namespace = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    if name.len() == namespace.len() || name.len() == namespace.len() + 1 {
        return Err(if namespace == name { Errno::EOPNOTSUPP } else { Errno::EINVAL });
    }
    match namespace {
        b"user" => {
            let (regular, directory) = (inode.is_regular(), inode.is_directory());
            let denied = if wanted == WRITE { Errno::EPERM } else { Errno::ENODATA };
            if !regular && !directory {
                return Err(denied);
            }
            if directory && wanted == WRITE && inode.attributes().mode & S_ISVTX != 0 && !inode.owned_by(cred)
            {
                return Err(Errno::EPERM);
            }
            inode.permission(cred, wanted)
        }
        b"trusted" => match (cred.capable(CAP_SYS_ADMIN), wanted) {
            (true, _) => Ok(()),
            (false, WRITE) => Err(Errno::EPERM),
            (false, _) => Err(Errno::ENODATA),
        },
        b"security" => match wanted {
            READ => Ok(()),
            _ if cred.capable(CAP_SYS_ADMIN) => Ok(()),
            _ => Err(Errno::EPERM),
        },
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX as usize { Err(Errno::ERANGE) } else { Ok(()) }
}

/// getxattr(2): the value.
pub fn get(inode: &Inode, cred: &Cred, name: &[u8]) -> Result<Vec<u8>, Errno> {
    check_name(name)?;
    check(inode, cred, name, READ)?;
    if inode.is_remote() {
        return remote::get_xattr(inode, name);
    }
    inode.with_xattrs(|xattrs| xattrs.get(name).cloned()).flatten().ok_or(Errno::ENODATA)
}

/// setxattr(2). `flags`: XATTR_CREATE, XATTR_REPLACE.
pub fn set(path: &Path, cred: &Cred, name: &[u8], value: Vec<u8>, flags: u32) -> Result<(), Errno> {
    if flags & !(XATTR_CREATE | XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    check_name(name)?;
    if value.len() > XATTR_SIZE_MAX as usize {
        return Err(Errno::E2BIG);
    }
    path.mount.check_writable()?;
    let inode = path.inode();
    check(inode, cred, name, WRITE)?;
    if inode.is_remote() {
        remote::set_xattr(inode, name, &value, flags)?;
        notify::event(&path.entry, IN_ATTRIB);
        return Ok(());
    }
    inode.change_xattrs(|xattrs| {
        let exists = xattrs.contains_key(name);
        if flags & XATTR_CREATE != 0 && exists {
            return Err(Errno::EEXIST);
        }
        if flags & XATTR_REPLACE != 0 && !exists {
            return Err(Errno::ENODATA);
        }
        xattrs.insert(name.to_vec(), value);
        Ok(())
    })?;
    inode.touch_changed();
    notify::event(&path.entry, IN_ATTRIB);
    Ok(())
}

/// removexattr(2).
pub fn remove(path: &Path, cred: &Cred, name: &[u8]) -> Result<(), Errno> {
    check_name(name)?;
    path.mount.check_writable()?;
    let inode = path.inode();
    check(inode, cred, name, WRITE)?;
    if inode.is_remote() {
        remote::remove_xattr(inode, name)?;
    } else {
        inode.change_xattrs(|xattrs| xattrs.remove(name).map(drop).ok_or(Errno::ENODATA))?;
    }
    inode.touch_changed();
    notify::event(&path.entry, IN_ATTRIB);
    Ok(())
}

/// listxattr(2): the names, each ended by a NUL. Those that only an administrator may see are left out for others.
pub fn list(inode: &Inode, cred: &Cred) -> Result<Vec<u8>, Errno> {
    let shown = |name: &[u8]| !name.starts_with(b"trusted.") || cred.capable(CAP_SYS_ADMIN);
    if inode.is_remote() {
        let names = remote::list_xattrs(inode)?;
        // What this kernel does not serve (access control lists, say) it does not name.
        let known = |name: &&[u8]| {
            [&b"user."[..], b"trusted.", b"security."].iter().any(|space| name.starts_with(space))
                && shown(name)
        };
        return Ok(names
            .split_inclusive(|byte| *byte == 0)
            .filter(known)
            .flat_map(|name| name.iter().copied())
            .collect());
    }
    let mut names = Vec::new();
    inode.with_xattrs(|xattrs| {
        for name in xattrs.keys() {
            if shown(name) {
                names.extend_from_slice(name);
                names.push(0);
            }
        }
    });
    Ok(names)
}
