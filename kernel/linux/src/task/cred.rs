//! Credentials: who a task is, and what it may do (credentials(7), capabilities(7)).
//!
//! A set is never changed in place: a task that changes its identity gets a new one.

use alloc::sync::Arc;
use alloc::vec::Vec;

pub type Uid = u32;
pub type Gid = u32;

/// The identity of a task. `cap_*` are bit masks by capability number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cred {
    pub uid: Uid,
    pub euid: Uid,
    pub suid: Uid,
    pub fsuid: Uid,
    pub gid: Gid,
    pub egid: Gid,
    pub sgid: Gid,
    pub fsgid: Gid,
    pub groups: Vec<Gid>,
    pub cap_effective: u64,
    pub cap_permitted: u64,
    pub cap_inheritable: u64,
    pub cap_bounding: u64,
    pub cap_ambient: u64,
    pub securebits: u32,
}

/// Every capability of the Linux version that Husk reports (the last one is CAP_CHECKPOINT_RESTORE, 40).
pub const CAP_ALL: u64 = (1 << 41) - 1;

pub const CAP_CHOWN: u32 = 0;
pub const CAP_DAC_OVERRIDE: u32 = 1;
pub const CAP_DAC_READ_SEARCH: u32 = 2;
pub const CAP_FOWNER: u32 = 3;
pub const CAP_FSETID: u32 = 4;
pub const CAP_KILL: u32 = 5;
pub const CAP_SETGID: u32 = 6;
pub const CAP_SETUID: u32 = 7;
pub const CAP_SETPCAP: u32 = 8;
pub const CAP_NET_BIND_SERVICE: u32 = 10;
pub const CAP_NET_ADMIN: u32 = 12;
pub const CAP_NET_RAW: u32 = 13;
pub const CAP_IPC_LOCK: u32 = 14;
pub const CAP_IPC_OWNER: u32 = 15;
pub const CAP_SYS_CHROOT: u32 = 18;
pub const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;
pub const CAP_SYS_NICE: u32 = 23;
pub const CAP_SYS_RESOURCE: u32 = 24;
pub const CAP_SYS_TIME: u32 = 25;
pub const CAP_SYS_TTY_CONFIG: u32 = 26;
pub const CAP_MKNOD: u32 = 27;
pub const CAP_LEASE: u32 = 28;
pub const CAP_SETFCAP: u32 = 31;
pub const CAP_WAKE_ALARM: u32 = 35;

impl Cred {
    /// A user with no supplementary groups; user 0 has every capability.
    pub fn new(uid: Uid, gid: Gid) -> Arc<Self> {
        let caps = if uid == 0 { CAP_ALL } else { 0 };
        Arc::new(Self {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Vec::new(),
            cap_effective: caps,
            cap_permitted: caps,
            cap_inheritable: 0,
            cap_bounding: CAP_ALL,
            cap_ambient: 0,
            securebits: 0,
        })
    }

    /// The same with supplementary groups.
    pub fn with_groups(&self, groups: &[Gid]) -> Arc<Self> {
        Arc::new(Self { groups: groups.to_vec(), ..self.clone() })
    }

    pub fn capable(&self, capability: u32) -> bool {
        self.cap_effective & (1 << capability) != 0
    }

    /// Whether who has these credentials may look into who has `other`: ptrace(2)'s access check, by real ids.
    pub fn may_trace(&self, other: &Cred) -> bool {
        let same = [other.uid, other.euid, other.suid].iter().all(|uid| *uid == self.uid)
            && [other.gid, other.egid, other.sgid].iter().all(|gid| *gid == self.gid);
        same && other.cap_permitted & !self.cap_permitted == 0 || self.capable(CAP_SYS_PTRACE)
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    pub fn in_group(&self, gid: Gid) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }
}
