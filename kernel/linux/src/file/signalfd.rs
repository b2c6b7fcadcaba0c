//! signalfd(2): reading signals instead of catching them.
//!
//! Who reads takes its own signals, not those of the task that made the descriptor.

use super::anon::{self, Identity};
use super::io::Sink;
use super::{File, OpenFile};
use crate::errno::{Errno, SysResult};
use crate::fs::Stat;
use crate::signal::{self, SIGINFO_LEN, SigSet, UNBLOCKABLE, bit};
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use crate::task::{Task, current};
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{EPOLLIN, EPOLLRDNORM};

/// The object behind a signalfd.
pub struct SignalFd {
    mask: KCell<SigSet>,
    queue: WaitQueue,
    identity: Identity,
}

impl SignalFd {
    /// A signalfd for the signals in `mask`; SIGKILL and SIGSTOP cannot be read.
    pub fn new(mask: SigSet) -> Arc<Self> {
        let fd = Arc::new(Self {
            mask: KCell::new(mask & !UNBLOCKABLE),
            queue: WaitQueue::new(),
            identity: Identity::anonymous(),
        });
        signal::watch(&fd);
        fd
    }

    pub fn set_mask(&self, mask: SigSet) {
        self.mask.set(mask & !UNBLOCKABLE);
        self.queue.wake_all(EPOLLIN);
    }

    /// A signal was sent to somebody: perhaps to a task that waits here.
    pub fn signal_sent(&self, signo: u32) {
        if self.mask.get() & bit(signo) != 0 {
            self.queue.wake_all(EPOLLIN);
        }
    }

    fn ready(&self, t: &Task) -> bool {
        (t.signals.pending() | t.process().signals.pending()) & self.mask.get() != 0
    }
}

impl File for SignalFd {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        let t = current();
        if sink.left() < SIGINFO_LEN {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while sink.left() >= SIGINFO_LEN {
            let taken = signal::take(&t, self.mask.get());
            let info = match taken {
                Some(info) => info,
                None if done > 0 => break,
                None if of.nonblocking() => return Err(Errno::EAGAIN),
                None => {
                    wait_event(&[&self.queue], WaitLimit::default(), || signal::take(&t, self.mask.get()))
                        .map_err(|end| match end {
                            WaitEnd::Interrupted => Errno::ERESTARTSYS,
                            WaitEnd::TimedOut => Errno::EAGAIN,
                        })?
                }
            };
            if sink.put(&info.to_signalfd())? < SIGINFO_LEN {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
            done += SIGINFO_LEN;
        }
        Ok(done)
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        if self.ready(&current()) { EPOLLIN | EPOLLRDNORM } else { 0 }
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn link(&self) -> String {
        anon::link("[signalfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "sigmask:\t{:016x}", self.mask.get());
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.identity.stat())
    }
}
