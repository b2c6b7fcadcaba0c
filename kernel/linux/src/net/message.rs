//! What travels with the bytes of a message: addresses, descriptors, credentials and other control data.

use super::addr::Address;
use super::unix::garbage::InFlight;
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::task::Task;
use crate::task::cred::{CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN, Gid, Uid};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::net::ucred;

/// Who sent a message: `struct ucred`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub pid: i32,
    pub uid: Uid,
    pub gid: Gid,
}

impl Credentials {
    /// What SCM_CREDENTIALS tells of a sender that did not say: its real ids.
    pub fn real(task: &Task) -> Self {
        let cred = task.cred();
        Self { pid: task.pid(), uid: cred.uid, gid: cred.gid }
    }

    /// Whether `task` may claim these (unix(7)).
    pub fn check(self, task: &Task) -> Result<Self, Errno> {
        let cred = task.cred();
        let pid = self.pid == task.pid() || cred.capable(CAP_SYS_ADMIN);
        let uid = [cred.uid, cred.euid, cred.suid].contains(&self.uid) || cred.capable(CAP_SETUID);
        let gid = [cred.gid, cred.egid, cred.sgid].contains(&self.gid) || cred.capable(CAP_SETGID);
        if pid && uid && gid { Ok(self) } else { Err(Errno::EPERM) }
    }
}

impl From<Credentials> for ucred {
    fn from(from: Credentials) -> Self {
        // The C library's ids are unsigned, `__kernel_uid32_t` and friends.
        ucred { pid: from.pid as u32, uid: from.uid, gid: from.gid }
    }
}

/// The user and group that stand for ids that cannot be told.
const OVERFLOW_ID: u32 = 65534;

/// One piece of control data, decoded where the socket layer itself must act on it.
pub enum Control {
    /// SCM_RIGHTS.
    Rights(Vec<Arc<OpenFile>>),
    /// SCM_CREDENTIALS.
    Credentials(Credentials),
    /// Anything else, as it lies in the message.
    Other { level: u32, kind: u32, data: Vec<u8> },
}

/// A message to be sent, but for its bytes.
#[derive(Default)]
pub struct Outgoing<'a> {
    /// MSG_* flags.
    pub flags: u32,
    /// The destination as the caller wrote it; empty for the connected peer.
    pub to: &'a [u8],
    /// Taken by the endpoint with the first byte.
    pub control: Vec<Control>,
}

/// What came with received bytes.
#[derive(Default)]
pub struct Received {
    pub from: Option<Address>,
    /// MSG_TRUNC, MSG_EOR and the like, for `msg_flags`.
    pub flags: u32,
    pub control: Vec<Control>,
    /// A stream must not go on reading: control data came, or other control data follows.
    pub ends: bool,
}

/// What a Unix message carries besides its bytes.
pub struct Ancillary {
    pub from: Option<super::addr::UnixName>,
    /// `None` when neither end wanted to know.
    pub credentials: Option<Credentials>,
    pub rights: Vec<InFlight>,
    /// When it was sent, in realtime ns, where the receiver wants to know.
    pub time: Option<u64>,
}

impl Ancillary {
    /// Who sent the message; process 0 and the overflow ids where that was not noted.
    pub fn sender(&self) -> Credentials {
        self.credentials.unwrap_or(Credentials { pid: 0, uid: OVERFLOW_ID, gid: OVERFLOW_ID })
    }
}
