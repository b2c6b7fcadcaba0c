//! Attributes of a volume's inodes, and what else belongs to a file beside its name and its bytes.

use super::ahead::Changing;
use super::client::Caller;
use super::file::RemoteFile;
use super::{attr_of, terminated};
use crate::errno::Errno;
use crate::fs::attributes::NewTime;
use crate::fs::inode::Inode;
use crate::task;
use crate::task::cred::{CAP_FSETID, Gid, Uid};
use alloc::vec::Vec;
use husk_fuse::{GetxattrIn, Kstatfs, Opcode, SetattrIn, SetxattrIn, fattr};
use husk_ring::DATA_LEN;
use linux_raw_sys::general::{S_ISGID, S_ISUID};

/// A change of attributes. `None` keeps.
#[derive(Clone, Copy, Default)]
pub(crate) struct Change {
    /// With the kind of the file or without.
    pub mode: Option<u32>,
    pub uid: Option<Uid>,
    pub gid: Option<Gid>,
    pub size: Option<u64>,
    pub atime: Option<NewTime>,
    pub mtime: Option<NewTime>,
}

/// SETATTR. `file`: by this open file, if there is one.
pub(crate) fn set_attributes(inode: &Inode, file: Option<&RemoteFile>, change: Change) -> Result<(), Errno> {
    const SECOND: i64 = 1_000_000_000;
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let mut ask = SetattrIn::default();
    if let Some(mode) = change.mode {
        ask.valid |= fattr::MODE;
        ask.mode = mode & 0o7777;
    }
    if let Some(uid) = change.uid {
        ask.valid |= fattr::UID;
        ask.uid = uid;
    }
    if let Some(gid) = change.gid {
        ask.valid |= fattr::GID;
        ask.gid = gid;
    }
    if let Some(size) = change.size {
        ask.valid |= fattr::SIZE;
        ask.size = size;
    }
    match change.atime {
        Some(NewTime::Now) => ask.valid |= fattr::ATIME | fattr::ATIME_NOW,
        Some(NewTime::At(time)) => {
            ask.valid |= fattr::ATIME;
            ask.atime = time.div_euclid(SECOND) as u64;
            ask.atimensec = time.rem_euclid(SECOND) as u32;
        }
        Some(NewTime::Keep) | None => {}
    }
    match change.mtime {
        Some(NewTime::Now) => ask.valid |= fattr::MTIME | fattr::MTIME_NOW,
        Some(NewTime::At(time)) => {
            ask.valid |= fattr::MTIME;
            ask.mtime = time.div_euclid(SECOND) as u64;
            ask.mtimensec = time.rem_euclid(SECOND) as u32;
        }
        Some(NewTime::Keep) | None => {}
    }
    if let Some(file) = file {
        ask.valid |= fattr::FH;
        ask.fh = file.handle();
    }
    let _changing = change.size.map(|_| Changing::new(inode.ino));
    let attr = {
        let client = inode.client()?;
        let reply = client.call(Caller::current(), Opcode::Setattr, remote.nodeid, &[&ask.to_bytes()])?;
        attr_of(reply.body())?
    };
    inode.update(&attr)?;
    if let Some(size) = change.size {
        remote.mapped.cut(size);
    }
    Ok(())
}

/// What a change of contents by the current task takes from a set-user-ID program: before the change, so that nobody
/// runs what is half changed.
pub(crate) fn drop_privilege_bits(inode: &Inode) -> Result<(), Errno> {
    let mut attributes = inode.attributes();
    let mode = attributes.mode;
    let task = task::current();
    let cred = task.cred_ref();
    if inode.is_regular() && mode & (S_ISUID | S_ISGID) != 0 && !cred.capable(CAP_FSETID) {
        attributes.drop_privilege_bits(&cred);
    }
    if attributes.mode == mode {
        return Ok(());
    }
    set_attributes(inode, None, Change { mode: Some(attributes.mode), ..Change::default() })
}

/// Where a symbolic link points.
pub(crate) fn read_link(inode: &Inode) -> Result<Vec<u8>, Errno> {
    let remote = inode.remote().ok_or(Errno::EINVAL)?;
    if !inode.is_symlink() {
        return Err(Errno::EINVAL);
    }
    let client = inode.client()?;
    let reply = client.call(Caller::current(), Opcode::Readlink, remote.nodeid, &[])?;
    let target = reply.data_bytes();
    if target.len() >= 4096 || target.contains(&0) { Err(Errno::EIO) } else { Ok(target) }
}

/// What statfs(2) tells of the file system that `inode` is in.
pub(crate) fn statfs(inode: &Inode) -> Result<Kstatfs, Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let client = inode.client()?;
    let reply = client.call(Caller::current(), Opcode::Statfs, remote.nodeid, &[])?;
    Kstatfs::from_bytes(reply.body()).ok_or(Errno::EIO)
}

/// The value of an extended attribute.
pub(crate) fn get_xattr(inode: &Inode, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let ask = GetxattrIn { size: DATA_LEN as u32, padding: 0 };
    let client = inode.client()?;
    let args: [&[u8]; 2] = [&ask.to_bytes(), &terminated(name)];
    Ok(client.call(Caller::current(), Opcode::Getxattr, remote.nodeid, &args)?.data_bytes())
}

/// Sets an extended attribute. `flags`: XATTR_CREATE, XATTR_REPLACE.
pub(crate) fn set_xattr(inode: &Inode, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let ask = SetxattrIn { size: value.len() as u32, flags };
    let slot = inode.client()?.slot()?;
    slot.data().write(value);
    let args: [&[u8]; 2] = [&ask.to_bytes(), &terminated(name)];
    drop(slot.ask(Caller::current(), Opcode::Setxattr, remote.nodeid, &args, value.len())?);
    Ok(())
}

pub(crate) fn remove_xattr(inode: &Inode, name: &[u8]) -> Result<(), Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let client = inode.client()?;
    drop(client.call(Caller::current(), Opcode::Removexattr, remote.nodeid, &[&terminated(name)])?);
    Ok(())
}

/// The names of the extended attributes, each ended by a NUL.
pub(crate) fn list_xattrs(inode: &Inode) -> Result<Vec<u8>, Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let ask = GetxattrIn { size: DATA_LEN as u32, padding: 0 };
    let client = inode.client()?;
    Ok(client.call(Caller::current(), Opcode::Listxattr, remote.nodeid, &[&ask.to_bytes()])?.data_bytes())
}
