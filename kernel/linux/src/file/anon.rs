//! Objects without a name in any file system: pipes, event counters, timers and the like.

use crate::fs::Stat;
use crate::task;
use alloc::format;
use alloc::string::String;
use husk_machine::cell::KCell;
use husk_machine::global::Global;

/// Device numbers of the file systems that are never mounted, as stat(2) shows them.
pub const PIPE_DEV: u64 = 0x0d;
pub const ANON_DEV: u64 = 0x0e;

static LAST_INO: Global<KCell<u64>> = Global::new(|| KCell::new(1024));

/// A fresh inode number, unique among nameless objects.
pub fn new_ino() -> u64 {
    let mut last = LAST_INO.borrow_mut();
    *last += 1;
    *last
}

/// What fstat(2) tells of a nameless object: made now, by the current task.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    stat: Stat,
}

impl Identity {
    /// `mode` is S_IF* and permissions.
    pub fn new(dev: u64, mode: u32) -> Self {
        let cred = task::current().cred();
        let now = crate::time::realtime_ns() as i64;
        Self {
            stat: Stat {
                dev,
                ino: new_ino(),
                mode,
                nlink: 1,
                uid: cred.fsuid,
                gid: cred.fsgid,
                block_size: 4096,
                atime: now,
                mtime: now,
                ctime: now,
                btime: now,
                ..Stat::default()
            },
        }
    }

    /// The identity of an anonymous inode, which has permissions but no file type.
    pub fn anonymous() -> Self {
        Self::new(ANON_DEV, 0o600)
    }

    pub fn stat(&self) -> Stat {
        self.stat
    }

    pub fn ino(&self) -> u64 {
        self.stat.ino
    }
}

/// What readlink(2) of /proc/PID/fd/N says of an object whose kind alone tells it: `[eventfd]`.
pub fn link(kind: &str) -> String {
    format!("anon_inode:{kind}")
}
