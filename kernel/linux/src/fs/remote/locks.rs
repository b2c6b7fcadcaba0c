//! Locks on a volume's files, which other guests and the host take as well: the server keeps them, for each owner, and the
//! list of `file::locks` has those of this guest, for what only it knows (who waits, deadlocks, /proc/locks).

use super::client::Caller;
use crate::errno::Errno;
use crate::file::locks::{Owner, Record};
use crate::fs::inode::Inode;
use husk_fuse::{LK_FLOCK, LkIn, LkOut, Opcode};
use linux_raw_sys::general::{F_RDLCK, F_UNLCK, F_WRLCK};

fn number(owner: Owner) -> u64 {
    match owner {
        Owner::Table(address) | Owner::Open(address) => address as u64,
    }
}

fn ask(inode: &Inode, opcode: Opcode, lock: &LkIn) -> Result<LkOut, Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let client = inode.client()?;
    let reply = client.call(Caller::current(), opcode, remote.nodeid, &[&lock.to_bytes()])?;
    // Who has a lock sees what its last holder wrote.
    super::ahead::changed(inode.ino);
    if opcode == Opcode::Getlk {
        LkOut::from_bytes(reply.body()).ok_or(Errno::EIO)
    } else {
        Ok(LkOut::default())
    }
}

fn kind(exclusive: bool) -> u32 {
    if exclusive { F_WRLCK } else { F_RDLCK }
}

fn record(of: &Record, kind: u32) -> LkIn {
    LkIn {
        owner: number(of.owner),
        start: of.start,
        end: of.end,
        kind,
        pid: of.pid as u32,
        ..LkIn::default()
    }
}

/// A lock of another guest or of the host that stands in the way of `wanted`. Its holder has no number here.
pub(crate) fn conflict(inode: &Inode, wanted: &Record) -> Result<Option<Record>, Errno> {
    let found = ask(inode, Opcode::Getlk, &record(wanted, kind(wanted.exclusive)))?;
    if found.kind == F_UNLCK {
        return Ok(None);
    }
    let end = if found.end >= i64::MAX as u64 { u64::MAX } else { found.end };
    let exclusive = found.kind == F_WRLCK;
    Ok(Some(Record { owner: wanted.owner, pid: -1, exclusive, start: found.start, end }))
}

/// Takes a record lock; EAGAIN if another is in the way.
pub(crate) fn lock(inode: &Inode, wanted: &Record) -> Result<(), Errno> {
    ask(inode, Opcode::Setlk, &record(wanted, kind(wanted.exclusive))).map(drop)
}

/// Gives up record locks of an owner. What cannot be told to the server it forgets with the guest.
pub(crate) fn unlock(inode: &Inode, owner: Owner, start: u64, end: u64) {
    let all = Record { owner, pid: 0, exclusive: false, start, end };
    let _ = ask(inode, Opcode::Setlk, &record(&all, F_UNLCK));
}

/// flock(2): takes or changes the lock; EAGAIN if another is in the way.
pub(crate) fn lock_whole(inode: &Inode, owner: Owner, exclusive: bool) -> Result<(), Errno> {
    let lock = LkIn { kind: kind(exclusive), ..whole(owner) };
    ask(inode, Opcode::Setlk, &lock).map(drop)
}

/// flock(2) with LOCK_UN.
pub(crate) fn unlock_whole(inode: &Inode, owner: Owner) {
    let _ = ask(inode, Opcode::Setlk, &LkIn { kind: F_UNLCK, ..whole(owner) });
}

fn whole(owner: Owner) -> LkIn {
    LkIn { owner: number(owner), end: u64::MAX, lk_flags: LK_FLOCK, ..LkIn::default() }
}
