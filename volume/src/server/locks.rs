//! Locks of fcntl(2) and flock(2): each holder has an open file description of its own.

use super::{Access, Answer, Node, Server, unpoisoned};
use crate::host::{self, Lock};
use husk_fuse as fuse;
use husk_fuse::Opcode;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

impl Server {
    pub(super) fn lock(&self, opcode: Opcode, id: u64, body: &[u8]) -> Answer {
        let (lock, _) = arguments!(body, LkIn);
        let is_flock = lock.lk_flags & fuse::LK_FLOCK != 0;
        let asked = Lock { kind: lock.kind, start: lock.start, end: lock.end };
        let holder = (id, lock.owner, is_flock);
        let node = self.nodes.get(id)?;
        if opcode == Opcode::Getlk {
            let fd = self.locker(&node)?;
            // Through the holder's own description, or its own locks would be in its way.
            let own = unpoisoned(&self.locks).get(&holder).cloned();
            let found = host::get_lock(own.as_deref().map_or(fd.as_fd(), AsFd::as_fd), asked)?;
            let out = fuse::LkOut { start: found.start, end: found.end, kind: found.kind, pid: 0 };
            return Ok((out.to_bytes().to_vec(), 0));
        }
        let mut locks = unpoisoned(&self.locks);
        let unlocks = asked.kind as i32 == libc::F_UNLCK;
        let fd = match locks.get(&holder) {
            Some(fd) => fd.clone(),
            None if unlocks => return Ok((Vec::new(), 0)),
            None => Arc::new(self.locker(&node)?),
        };
        if is_flock {
            let operation = match asked.kind as i32 {
                libc::F_RDLCK => fs::FlockOperation::NonBlockingLockShared,
                libc::F_WRLCK => fs::FlockOperation::NonBlockingLockExclusive,
                libc::F_UNLCK => fs::FlockOperation::Unlock,
                _ => return Err(Errno::INVAL),
            };
            fs::flock(&*fd, operation)?;
        } else {
            host::set_lock(fd.as_fd(), asked)?;
        }
        let ends = unlocks && (is_flock || (asked.start == 0 && asked.end >= i64::MAX as u64));
        if ends {
            locks.remove(&holder);
        } else {
            locks.insert(holder, fd);
        }
        Ok((Vec::new(), 0))
    }

    /// An open file description for locks on a node.
    fn locker(&self, node: &Node) -> Result<OwnedFd, Errno> {
        let open = |flags: OFlags| {
            if !matches!(node.kind, libc::S_IFREG | libc::S_IFDIR) {
                return Err(Errno::ACCESS);
            }
            let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
            fs::openat(&self.descriptors, self.place(node), flags, Mode::empty())
        };
        match if self.access == Access::ReadOnly { Err(Errno::ROFS) } else { open(OFlags::RDWR) } {
            Ok(fd) => Ok(fd),
            Err(_) => match open(OFlags::RDONLY) {
                Ok(fd) => Ok(fd),
                Err(_) if self.access == Access::ReadWrite => open(OFlags::WRONLY),
                Err(error) => Err(error),
            },
        }
    }
}
