//! System V IPC (sysvipc(7)) and POSIX message queues (mq_overview(7)).
//!
//! Each System V kind has one `Table` that maps identifiers and keys to objects. An identifier carries the slot and how
//! often slots were used, so that one of a removed object is not taken for its successor's.

pub mod mq;
pub mod msg;
pub mod sem;
pub mod shm;

use crate::errno::Errno;
use crate::task::cred::{CAP_IPC_OWNER, CAP_SYS_ADMIN, Cred, Gid, Uid};
use crate::time::realtime_ns;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cell::KCell;

// The numbers of <linux/ipc.h>.
pub const IPC_PRIVATE: i32 = 0;
pub const IPC_CREAT: u32 = 0o1000;
pub const IPC_EXCL: u32 = 0o2000;
pub const IPC_NOWAIT: u32 = 0o4000;
pub const IPC_RMID: u32 = 0;
pub const IPC_SET: u32 = 1;
pub const IPC_STAT: u32 = 2;
pub const IPC_INFO: u32 = 3;

/// Permission to read, as `Perm::check` takes it.
pub const READ: u32 = 0o444;
/// Permission to change.
pub const WRITE: u32 = 0o222;
/// Permission to execute from a segment.
pub const EXECUTE: u32 = 0o111;

/// Slots of a table; identifiers are slot + sequence * SLOTS.
const SLOTS: usize = 32_768;
/// Bytes of `struct ipc64_perm`.
pub const PERM_LEN: usize = 48;

/// Seconds since the epoch, as the *_ds structures have them.
pub fn now_seconds() -> u64 {
    realtime_ns() / 1_000_000_000
}

/// Who owns an object and who may use it.
#[derive(Clone, Copy, Debug)]
pub struct Perm {
    pub key: i32,
    pub uid: Uid,
    pub gid: Gid,
    pub cuid: Uid,
    pub cgid: Gid,
    pub mode: u32,
    pub id: i32,
}

impl Perm {
    fn new(key: i32, mode: u32, cred: &Cred) -> Self {
        let (uid, gid) = (cred.euid, cred.egid);
        Self { key, uid, gid, cuid: uid, cgid: gid, mode: mode & 0o777, id: 0 }
    }

    /// EACCES unless `cred` has the permissions that `wanted` names in any of its three triads.
    pub fn check(&self, wanted: u32, cred: &Cred) -> Result<(), Errno> {
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 0o7;
        let granted = if cred.euid == self.uid || cred.euid == self.cuid {
            self.mode >> 6
        } else if cred.in_group(self.gid) || cred.in_group(self.cgid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted == 0 || cred.capable(CAP_IPC_OWNER) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EPERM unless `cred` may remove the object or change its owner.
    pub fn check_owner(&self, cred: &Cred) -> Result<(), Errno> {
        let own = cred.euid == self.uid || cred.euid == self.cuid;
        if own || cred.capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// IPC_SET: owner and mode from `struct ipc64_perm`.
    pub fn set(&mut self, bytes: &[u8]) {
        self.uid = u32_at(bytes, 4);
        self.gid = u32_at(bytes, 8);
        self.mode = (self.mode & !0o777) | (u32_at(bytes, 20) & 0o777);
    }

    /// `struct ipc64_perm`.
    pub fn to_bytes(self) -> [u8; PERM_LEN] {
        let mut bytes = [0; PERM_LEN];
        put(&mut bytes, 0, &self.key.to_ne_bytes());
        let words = [self.uid, self.gid, self.cuid, self.cgid, self.mode];
        for (index, word) in words.into_iter().enumerate() {
            put(&mut bytes, 4 + index * 4, &word.to_ne_bytes());
        }
        put(&mut bytes, 24, &((self.id as usize / SLOTS) as u16).to_ne_bytes());
        bytes
    }
}

/// Copies `value` into a C structure at its offset.
pub fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// A word of a C structure.
pub fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    husk_machine::pod::read_from(&bytes[offset..]).unwrap_or_default()
}

/// What a table holds.
pub trait Object: Send + Sync {
    fn perm(&self) -> &KCell<Perm>;

    /// Whether the object is still there: a removed segment goes with its last attachment.
    fn alive(&self) -> bool {
        true
    }
}

/// All objects of one kind.
pub struct Table<T> {
    inner: KCell<Inner<T>>,
    /// Most objects at a time.
    max: usize,
}

struct Inner<T> {
    slots: BTreeMap<usize, Arc<T>>,
    next_sequence: usize,
}

impl<T: Object> Table<T> {
    pub fn new(max: usize) -> Self {
        Self { inner: KCell::new(Inner { slots: BTreeMap::new(), next_sequence: 0 }), max }
    }

    /// semget(2) and its like: finds the object with `key` or makes one. `fits` says whether an existing one is what
    /// the caller asks for. Returns the identifier.
    pub fn get(
        &self,
        key: i32,
        flags: u32,
        cred: &Cred,
        fits: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce(Perm) -> Result<T, Errno>,
    ) -> Result<i32, Errno> {
        self.forget_dead();
        if key != IPC_PRIVATE {
            let found = self.all().into_iter().find(|object| object.perm().borrow().key == key);
            if let Some(object) = found {
                if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
                    return Err(Errno::EEXIST);
                }
                fits(&object)?;
                let perm = *object.perm().borrow();
                perm.check(flags & 0o777, cred)?;
                return Ok(perm.id);
            }
            if flags & IPC_CREAT == 0 {
                return Err(Errno::ENOENT);
            }
        }
        let object = Arc::new(make(Perm::new(key, flags, cred))?);
        let mut inner = self.inner.borrow_mut();
        if inner.slots.len() >= self.max {
            return Err(Errno::ENOSPC);
        }
        let slot = (0..SLOTS).find(|slot| !inner.slots.contains_key(slot)).ok_or(Errno::ENOSPC)?;
        let id = (inner.next_sequence % (i32::MAX as usize / SLOTS)) * SLOTS + slot;
        inner.next_sequence += 1;
        object.perm().borrow_mut().id = id as i32;
        inner.slots.insert(slot, object);
        Ok(id as i32)
    }

    /// The object with this identifier, or EINVAL.
    pub fn find(&self, id: i32) -> Result<Arc<T>, Errno> {
        let slot = usize::try_from(id).map_err(|_| Errno::EINVAL)? % SLOTS;
        let object = self.inner.borrow().slots.get(&slot).cloned().ok_or(Errno::EINVAL)?;
        if object.perm().borrow().id == id && object.alive() { Ok(object) } else { Err(Errno::EINVAL) }
    }

    /// The object in this slot, for the *_STAT commands.
    pub fn find_slot(&self, slot: i32) -> Result<Arc<T>, Errno> {
        let slot = usize::try_from(slot).map_err(|_| Errno::EINVAL)?;
        let object = self.inner.borrow().slots.get(&slot).cloned().ok_or(Errno::EINVAL)?;
        if object.alive() { Ok(object) } else { Err(Errno::EINVAL) }
    }

    /// Takes an object out of the table.
    pub fn remove(&self, object: &T) {
        let slot = object.perm().borrow().id as usize % SLOTS;
        let removed = self.inner.borrow_mut().slots.remove(&slot);
        drop(removed);
    }

    fn forget_dead(&self) {
        let dead: Vec<Arc<T>> = self.inner.borrow().slots.values().filter(|o| !o.alive()).cloned().collect();
        for object in dead {
            self.remove(&object);
        }
    }

    /// All objects, by slot.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.inner.borrow().slots.values().filter(|object| object.alive()).cloned().collect()
    }

    /// The highest slot in use, 0 for none: what the *_INFO commands return.
    pub fn highest_slot(&self) -> usize {
        self.inner.borrow().slots.keys().next_back().copied().unwrap_or(0)
    }
}

/// A process ends: its semaphore adjustments are undone, its notifications end.
pub fn process_ends(process: &Arc<crate::task::process::Process>) {
    sem::undo_all(process.pid());
    mq::process_ends(process.pid());
}

#[cfg(test)]
mod tests;
