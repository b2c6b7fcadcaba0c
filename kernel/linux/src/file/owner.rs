//! Signals on readiness: O_ASYNC, F_SETOWN and F_SETSIG of fcntl(2).

use super::OpenFile;
use crate::errno::Errno;
use crate::signal::{self, SigInfo};
use crate::task::Pid;
use crate::task::process;
use crate::task::wait::{Registration, Wake};
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLMSG, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM, F_OWNER_PGRP, F_OWNER_PID,
    F_OWNER_TID, POLL_HUP, POLL_IN, POLL_MSG, POLL_OUT, SIGIO,
};

/// What the id of a `SignalOwner` names; the values are F_SETOWN_EX's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnerKind {
    Thread = F_OWNER_TID as isize,
    #[default]
    Process = F_OWNER_PID as isize,
    Group = F_OWNER_PGRP as isize,
}

impl OwnerKind {
    pub fn from_raw(kind: u32) -> Option<Self> {
        match kind {
            F_OWNER_TID => Some(Self::Thread),
            F_OWNER_PID => Some(Self::Process),
            F_OWNER_PGRP => Some(Self::Group),
            _ => None,
        }
    }
}

/// Who gets a signal when an open file with O_ASYNC becomes ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalOwner {
    pub kind: OwnerKind,
    /// 0: nobody.
    pub id: Pid,
    /// 0: SIGIO without details.
    pub signal: u32,
}

impl SignalOwner {
    /// Tells of EPOLL* `events` on descriptor `fd`.
    pub(super) fn send(&self, events: u32, fd: i32) {
        let info = if self.signal == 0 {
            SigInfo::kernel(SIGIO)
        } else {
            let (code, band) = match events {
                _ if events & EPOLLMSG != 0 && events != !0 => (POLL_MSG, EPOLLIN | EPOLLRDNORM | EPOLLMSG),
                _ if events & EPOLLIN != 0 => (POLL_IN, EPOLLIN | EPOLLRDNORM),
                _ if events & EPOLLOUT != 0 => (POLL_OUT, EPOLLOUT | EPOLLWRNORM),
                _ => (POLL_HUP, EPOLLHUP | EPOLLERR),
            };
            SigInfo {
                signo: self.signal,
                code: code as i32,
                errno: 0,
                fields: [band.into(), fd as u64, 0, 0],
            }
        };
        match self.kind {
            _ if self.id == 0 => {}
            OwnerKind::Group => signal::send_to_group(self.id, info),
            OwnerKind::Process => {
                if let Some(process) = process::find(self.id) {
                    signal::send_to_process(&process, info);
                }
            }
            OwnerKind::Thread => {
                if let Some(task) = process::find_task(self.id) {
                    signal::send_to_process(task.process(), info);
                }
            }
        }
    }
}

/// Tells the owner when the object wakes those who wait for it.
struct Announce {
    owner: KCell<SignalOwner>,
    /// The descriptor through which O_ASYNC was set.
    fd: i32,
}

impl Wake for Announce {
    fn wake(&self, events: u32) {
        self.owner.get().send(events, self.fd);
    }
}

/// The part of an open file that this module looks after.
#[derive(Default)]
pub(super) struct AsyncState {
    owner: SignalOwner,
    announce: Option<(Arc<Announce>, Registration)>,
}

impl OpenFile {
    /// F_GETOWN, F_GETSIG.
    pub fn signal_owner(&self) -> SignalOwner {
        self.async_state.borrow().owner
    }

    /// F_SETOWN, F_SETSIG. ESRCH if there is no such process, thread or group.
    pub fn set_signal_owner(&self, owner: SignalOwner) -> Result<(), Errno> {
        let exists = match owner.kind {
            _ if owner.id == 0 => true,
            OwnerKind::Thread => process::find_task(owner.id).is_some(),
            OwnerKind::Process => process::find(owner.id).is_some(),
            OwnerKind::Group => !process::in_group(owner.id).is_empty(),
        };
        if !exists {
            return Err(Errno::ESRCH);
        }
        let mut state = self.async_state.borrow_mut();
        state.owner = owner;
        if let Some((announce, _)) = &state.announce {
            announce.owner.set(owner);
        }
        Ok(())
    }

    /// Starts or ends signals to the owner (O_ASYNC), which name descriptor `fd`.
    pub fn set_async(&self, on: bool, fd: i32) {
        let Some(queue) = self.object.wait_queue(self) else { return };
        let mut state = self.async_state.borrow_mut();
        if let Some((_, registration)) = state.announce.take() {
            queue.remove(registration);
        }
        if on {
            let announce = Arc::new(Announce { owner: KCell::new(state.owner), fd });
            let waker: Arc<dyn Wake> = announce.clone();
            let registration = queue.add(&waker, false);
            state.announce = Some((announce, registration));
        }
    }
}
