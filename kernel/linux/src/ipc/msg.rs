//! Message queues (msgop(2)).

use super::{IPC_NOWAIT, Object, PERM_LEN, Perm, Table, now_seconds, put};
use crate::errno::Errno;
use crate::task::Pid;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;

pub const MSG_NOERROR: u32 = 0o10_000;
pub const MSG_EXCEPT: u32 = 0o20_000;
pub const MSG_COPY: u32 = 0o40_000;
/// Most bytes in a message and, by default, in a queue; most queues.
pub const MSGMAX: usize = 8192;
pub const MSGMNB: usize = 16_384;
pub const MSGMNI: usize = 32_000;
/// Bytes of `struct msqid64_ds`.
pub const DS_LEN: usize = 120;

pub static QUEUES: Global<Table<MsgQueue>> = Global::new(|| Table::new(MSGMNI));

/// A message: its type, above 0, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: i64,
    pub text: Vec<u8>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    max_bytes: usize,
    sent: u64,
    received: u64,
    changed: u64,
    last_sender: Pid,
    last_receiver: Pid,
    removed: bool,
}

impl State {
    fn position(&self, kind: i64, flags: u32) -> Option<usize> {
        if flags & MSG_COPY != 0 {
            return usize::try_from(kind).ok().filter(|index| *index < self.messages.len());
        }
        let kinds = || self.messages.iter().map(|message| message.kind);
        match kind {
            0 => (!self.messages.is_empty()).then_some(0),
            1.. if flags & MSG_EXCEPT != 0 => kinds().position(|own| own != kind),
            1.. => kinds().position(|own| own == kind),
            _ => {
                let lowest = kinds().filter(|own| *own <= kind.saturating_neg()).min()?;
                kinds().position(|own| own == lowest)
            }
        }
    }
}

/// A queue of typed messages.
pub struct MsgQueue {
    perm: KCell<Perm>,
    state: KCell<State>,
    senders: WaitQueue,
    receivers: WaitQueue,
}

impl Object for MsgQueue {
    fn perm(&self) -> &KCell<Perm> {
        &self.perm
    }
}

fn ended(end: WaitEnd) -> Errno {
    match end {
        WaitEnd::Interrupted | WaitEnd::TimedOut => Errno::ERESTARTNOHAND,
    }
}

impl MsgQueue {
    pub fn new(perm: Perm) -> Self {
        let state = State { max_bytes: MSGMNB, changed: now_seconds(), ..State::default() };
        Self {
            perm: KCell::new(perm),
            state: KCell::new(state),
            senders: WaitQueue::new(),
            receivers: WaitQueue::new(),
        }
    }

    /// msgsnd(2).
    pub fn send(&self, message: Message, flags: u32, pid: Pid) -> Result<(), Errno> {
        let len = message.text.len();
        let mut message = Some(message);
        let mut look = || {
            let mut state = self.state.borrow_mut();
            if state.removed {
                return Some(Err(Errno::EIDRM));
            }
            if state.bytes + len > state.max_bytes || state.messages.len() >= state.max_bytes {
                return None;
            }
            state.messages.extend(message.take());
            state.bytes += len;
            state.sent = now_seconds();
            state.last_sender = pid;
            Some(Ok(()))
        };
        match look() {
            Some(result) => result?,
            None if flags & IPC_NOWAIT != 0 => return Err(Errno::EAGAIN),
            None => wait_event(&[&self.senders], WaitLimit::default(), look).map_err(ended)??,
        }
        self.receivers.wake_all(!0);
        Ok(())
    }

    /// msgrcv(2): the message, cut to `max` bytes if MSG_NOERROR allows.
    pub fn receive(&self, kind: i64, max: usize, flags: u32, pid: Pid) -> Result<Message, Errno> {
        let look = || {
            let mut state = self.state.borrow_mut();
            if state.removed {
                return Some(Err(Errno::EIDRM));
            }
            let index = state.position(kind, flags)?;
            if state.messages[index].text.len() > max && flags & MSG_NOERROR == 0 {
                return Some(Err(Errno::E2BIG));
            }
            if flags & MSG_COPY != 0 {
                return Some(Ok(state.messages[index].clone()));
            }
            let message = state.messages.remove(index)?;
            state.bytes -= message.text.len();
            state.received = now_seconds();
            state.last_receiver = pid;
            Some(Ok(message))
        };
        let mut message = match look() {
            Some(result) => result?,
            None if flags & IPC_NOWAIT != 0 => return Err(Errno::ENOMSG),
            None => wait_event(&[&self.receivers], WaitLimit::default(), look).map_err(ended)??,
        };
        message.text.truncate(max);
        self.senders.wake_all(!0);
        Ok(message)
    }

    /// IPC_SET: owner, mode and most bytes. `privileged`: may go above `MSGMNB`.
    pub fn set(&self, ds: &[u8], privileged: bool) -> Result<(), Errno> {
        let max_bytes: u64 = husk_machine::pod::read_from(&ds[88..]).unwrap_or_default();
        if max_bytes > MSGMNB as u64 && !privileged {
            return Err(Errno::EPERM);
        }
        self.perm.borrow_mut().set(ds);
        {
            let mut state = self.state.borrow_mut();
            state.max_bytes = max_bytes as usize;
            state.changed = now_seconds();
        }
        self.senders.wake_all(!0);
        Ok(())
    }

    /// IPC_RMID.
    pub fn remove(&self) {
        QUEUES.remove(self);
        {
            let mut state = self.state.borrow_mut();
            state.removed = true;
            state.messages.clear();
        }
        self.senders.wake_all(!0);
        self.receivers.wake_all(!0);
    }

    /// Messages and bytes in the queue.
    pub fn usage(&self) -> (usize, usize) {
        let state = self.state.borrow();
        (state.messages.len(), state.bytes)
    }

    /// `struct msqid64_ds`.
    pub fn ds(&self) -> [u8; DS_LEN] {
        let mut bytes = [0; DS_LEN];
        bytes[..PERM_LEN].copy_from_slice(&self.perm.borrow().to_bytes());
        let state = self.state.borrow();
        let words = [
            state.sent,
            state.received,
            state.changed,
            state.bytes as u64,
            state.messages.len() as u64,
            state.max_bytes as u64,
        ];
        for (index, word) in words.into_iter().enumerate() {
            put(&mut bytes, 48 + index * 8, &word.to_ne_bytes());
        }
        put(&mut bytes, 96, &state.last_sender.to_ne_bytes());
        put(&mut bytes, 100, &state.last_receiver.to_ne_bytes());
        bytes
    }
}

/// /proc/sysvipc/msg.
pub fn list() -> String {
    let mut out = String::from(
        "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    );
    for queue in QUEUES.all() {
        let perm = *queue.perm.borrow();
        let state = queue.state.borrow();
        out.push_str(&format!(
            "{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}\n",
            perm.key,
            perm.id,
            perm.mode,
            state.bytes,
            state.messages.len(),
            state.last_sender,
            state.last_receiver,
            perm.uid,
            perm.gid,
            perm.cuid,
            perm.cgid,
            state.sent,
            state.received,
            state.changed
        ));
    }
    out
}
