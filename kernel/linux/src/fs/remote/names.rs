//! Names in the directories of a volume: finding, making, moving and removing them.
//!
//! The callers, in `tree`, `open` and `walk`, have checked what their system call checks on what was known; the server decides.

use super::client::{Caller, Reply};
use super::file::{RemoteFile, server_flags};
use super::{Remote, adopt, entry_of, terminated};
use crate::errno::Errno;
use crate::fs::inode::{Inode, Node};
use crate::fs::tree::inherited;
use crate::fs::{Entry, Path};
use crate::task::cred::Cred;
use alloc::sync::Arc;
use husk_fuse::{CreateIn, LinkIn, MkdirIn, MknodIn, Opcode, OpenOut, Rename2In};
use linux_raw_sys::general::{O_EXCL, RENAME_EXCHANGE, S_IFMT, S_IFREG};

/// The node of a directory on a volume.
fn directory(at: &Entry) -> Result<&Remote, Errno> {
    at.inode().remote().ok_or(Errno::ENOTDIR)
}

/// The entry that a reply names.
fn adopted(at: &Arc<Entry>, name: &[u8], reply: Reply<'_>) -> Result<Arc<Entry>, Errno> {
    let (nodeid, attr) = entry_of(reply.body()).map(|(nodeid, attr, _)| (nodeid, attr))?;
    drop(reply);
    let inode = adopt(&at.inode().fs, nodeid, &attr)?;
    Ok(directory(at)?.entry(at, name, inode))
}

/// Who makes something in `parent`, and the mode that it gets.
fn maker(parent: &Inode, cred: &Cred, mode: u32) -> (Caller, u32) {
    let (mode, gid) = inherited(parent, cred, mode);
    (Caller { uid: cred.fsuid, gid, ..Caller::current() }, mode)
}

/// The entry `name` in the directory `at`; ENOENT if there is none.
pub(in crate::fs) fn look_up(at: &Arc<Entry>, name: &[u8]) -> Result<Arc<Entry>, Errno> {
    if !at.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let reply = at.inode().client()?.call(
        Caller::current(),
        Opcode::Lookup,
        directory(at)?.nodeid,
        &[&terminated(name)],
    )?;
    adopted(at, name, reply)
}

/// As `look_up`, on the way to something else: a directory that was there a moment ago counts as there.
pub(in crate::fs) fn look_up_passing(at: &Arc<Entry>, name: &[u8]) -> Result<Arc<Entry>, Errno> {
    if let Some(known) = directory(at)?.passed(name) {
        return Ok(known);
    }
    let entry = look_up(at, name)?;
    if entry.inode().is_directory()
        && let Some(volume) = at.inode().fs.volume()
    {
        volume.keep_passed(&entry);
    }
    Ok(entry)
}

/// Makes what `node` says under the free name `name` in `parent`. `mode` has kind and permissions.
pub(in crate::fs) fn make(
    parent: &Path,
    cred: &Cred,
    name: &[u8],
    mode: u32,
    node: &Node,
) -> Result<Arc<Entry>, Errno> {
    let at = &parent.entry;
    let (client, nodeid) = (at.inode().client()?, directory(at)?.nodeid);
    let (caller, mode) = maker(at.inode(), cred, mode);
    let name = terminated(name);
    let reply = match node {
        Node::Directory(_) => {
            let ask = MkdirIn { mode: mode & !S_IFMT, umask: 0 };
            client.call(caller, Opcode::Mkdir, nodeid, &[&ask.to_bytes(), &name])?
        }
        Node::Symlink(target) => {
            let target = target.bytes();
            let slot = client.slot()?;
            slot.data().write(target);
            slot.ask(caller, Opcode::Symlink, nodeid, &[&name], target.len())?
        }
        Node::File(_) | Node::Endpoint(_) => {
            let ask = MknodIn { mode, ..MknodIn::default() };
            client.call(caller, Opcode::Mknod, nodeid, &[&ask.to_bytes(), &name])?
        }
        Node::Device(_) | Node::Pseudo(_) | Node::Remote(_) => return Err(Errno::EPERM),
    };
    adopted(at, &name[..name.len() - 1], reply)
}

/// Makes a regular file under the free name `name` in `parent`, and opens it with `flags` (O_*). EEXIST if there is one
/// meanwhile.
pub(in crate::fs) fn create_open(
    parent: &Path,
    cred: &Cred,
    name: &[u8],
    permissions: u32,
    flags: u32,
) -> Result<(Arc<Entry>, Arc<RemoteFile>), Errno> {
    let at = &parent.entry;
    let (caller, mode) = maker(at.inode(), cred, S_IFREG | permissions);
    let ask = CreateIn { flags: server_flags(flags) | O_EXCL, mode, ..CreateIn::default() };
    let client = at.inode().client()?;
    let reply =
        client.call(caller, Opcode::Create, directory(at)?.nodeid, &[&ask.to_bytes(), &terminated(name)])?;
    let handle = handle_of(&reply)?;
    let entry = adopted(at, name, reply)?;
    let file = RemoteFile::new(entry.inode().clone(), handle, flags);
    Ok((entry, file))
}

/// Makes a regular file without a name in `parent` (O_TMPFILE) and opens it.
pub(in crate::fs) fn make_nameless(
    parent: &Path,
    cred: &Cred,
    permissions: u32,
    flags: u32,
) -> Result<(Arc<Inode>, Arc<RemoteFile>), Errno> {
    let at = &parent.entry;
    let (caller, mode) = maker(at.inode(), cred, S_IFREG | permissions);
    let ask = CreateIn { flags: server_flags(flags) | flags & O_EXCL, mode, ..CreateIn::default() };
    let client = at.inode().client()?;
    let reply = client.call(caller, Opcode::Tmpfile, directory(at)?.nodeid, &[&ask.to_bytes()])?;
    let handle = handle_of(&reply)?;
    let (nodeid, attr) = entry_of(reply.body()).map(|(nodeid, attr, _)| (nodeid, attr))?;
    drop(reply);
    let inode = adopt(&at.inode().fs, nodeid, &attr)?;
    let file = RemoteFile::new(inode.clone(), handle, flags);
    Ok((inode, file))
}

/// The handle behind the entry in a reply to CREATE or TMPFILE.
fn handle_of(reply: &Reply<'_>) -> Result<u64, Errno> {
    let (_, _, rest) = entry_of(reply.body())?;
    OpenOut::from_bytes(rest).map(|opened| opened.fh).ok_or(Errno::EIO)
}

/// Gives the inode of a volume another name in `parent`.
pub(in crate::fs) fn link(inode: &Inode, parent: &Path, name: &[u8]) -> Result<(), Errno> {
    let at = &parent.entry;
    let old = inode.remote().ok_or(Errno::EXDEV)?;
    let ask = LinkIn { oldnodeid: old.nodeid };
    let reply = at.inode().client()?.call(
        Caller::current(),
        Opcode::Link,
        directory(at)?.nodeid,
        &[&ask.to_bytes(), &terminated(name)],
    )?;
    adopted(at, name, reply).map(drop)
}

/// Takes the name of `victim` out of `parent`.
pub(in crate::fs) fn remove(parent: &Path, victim: &Arc<Entry>) -> Result<(), Errno> {
    let at = &parent.entry;
    let remote = directory(at)?;
    let name = victim.name();
    let opcode = if victim.inode().is_directory() { Opcode::Rmdir } else { Opcode::Unlink };
    drop(at.inode().client()?.call(Caller::current(), opcode, remote.nodeid, &[&terminated(&name)])?);
    drop(remote.take_entry(&name));
    victim.set_removed(at);
    if let Some(volume) = at.inode().fs.volume() {
        volume.drop_passed(victim);
    }
    Ok(())
}

/// renameat2(2) within a volume. `source` and `target` are the entries that bear the names now.
pub(in crate::fs) fn rename(
    from: &Path,
    old_name: &[u8],
    source: &Arc<Entry>,
    to: &Path,
    new_name: &[u8],
    target: Option<&Arc<Entry>>,
    flags: u32,
) -> Result<(), Errno> {
    let (old, new) = (directory(&from.entry)?, directory(&to.entry)?);
    let ask = Rename2In { newdir: new.nodeid, flags, padding: 0 };
    let args: [&[u8]; 3] = [&ask.to_bytes(), &terminated(old_name), &terminated(new_name)];
    drop(from.inode().client()?.call(Caller::current(), Opcode::Rename2, old.nodeid, &args)?);
    drop(old.take_entry(old_name));
    drop(new.take_entry(new_name));
    source.set_generated(&to.entry, new_name);
    new.put_entry(new_name, source);
    if let Some(target) = target {
        if flags & RENAME_EXCHANGE != 0 {
            target.set_generated(&from.entry, old_name);
            old.put_entry(old_name, target);
        } else {
            target.set_removed(&to.entry);
            if let Some(volume) = from.inode().fs.volume() {
                volume.drop_passed(target);
            }
        }
    }
    Ok(())
}
