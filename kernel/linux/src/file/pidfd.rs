//! Descriptors for processes: pidfd_open(2), CLONE_PIDFD.

use super::anon::{self, Identity};
use super::{File, OpenFile};
use crate::errno::Errno;
use crate::fs::Stat;
use crate::task::Task;
use crate::task::process::Process;
use crate::task::wait::WaitQueue;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use linux_raw_sys::general::{EPOLLIN, EPOLLRDNORM, O_NONBLOCK, O_RDWR};

/// Refers to a process, also when it has ended and its id names another.
pub struct PidFd {
    process: Arc<Process>,
    identity: Identity,
}

impl PidFd {
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }
}

/// Opens a descriptor, closed by execve(2), for `process` in the table of `t`.
pub fn open(t: &Task, process: &Arc<Process>, nonblocking: bool) -> Result<i32, Errno> {
    let object: Arc<dyn File> = Arc::new(PidFd { process: process.clone(), identity: Identity::anonymous() });
    let flags = O_RDWR | if nonblocking { O_NONBLOCK } else { 0 };
    t.files().install(OpenFile::new(object, flags, None), true)
}

impl File for PidFd {
    fn poll(&self, _of: &OpenFile) -> u32 {
        if self.process.zombie.get().is_some() { EPOLLIN | EPOLLRDNORM } else { 0 }
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.process.own_events)
    }

    fn link(&self) -> String {
        anon::link("[pidfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let pid = if self.process.zombie.get().is_some() { -1 } else { self.process.pid() };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "Pid:\t{pid}\nNSpid:\t{pid}");
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.identity.stat())
    }
}
