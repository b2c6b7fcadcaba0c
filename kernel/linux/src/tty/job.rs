//! Job control: the session a terminal controls, its foreground group, and who may read and write.

use super::{FarSide, Tty};
use crate::errno::Errno;
use crate::signal::{self, SigInfo};
use crate::task::process::{self, Process, Session};
use crate::task::{self, Pid};
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general as raw;

/// What a terminal controls.
#[derive(Default)]
pub(super) struct Job {
    session: Weak<Session>,
    /// The foreground process group, 0 for none.
    foreground: Pid,
}

impl Tty {
    /// The session it controls.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.job.borrow().session.upgrade()
    }

    /// The foreground process group, 0 for none.
    pub fn foreground(&self) -> Pid {
        self.job.borrow().foreground
    }

    /// Whether it is the controlling terminal of the process.
    pub fn controls(&self, process: &Process) -> bool {
        terminal_of(process).is_some_and(|tty| core::ptr::eq(Arc::as_ptr(&tty), self))
    }
}

/// The controlling terminal of a process: its session's, unless the process has given it up.
pub fn terminal_of(process: &Process) -> Option<Arc<Tty>> {
    let session = process.session.borrow().clone();
    if process.left_terminal.get() == session.id {
        return None;
    }
    session.terminal.borrow().clone()
}

/// Sends a signal to the foreground group, as the terminal does.
pub(super) fn signal_foreground(tty: &Tty, signo: u32) {
    let group = tty.foreground();
    if group > 0 {
        signal::send_to_group(group, SigInfo::kernel(signo));
    }
}

/// Makes `tty` the controlling terminal of a session leader that has none, if it controls no session yet.
pub(super) fn adopt(tty: &Arc<Tty>, process: &Arc<Process>) {
    let session = process.session.borrow().clone();
    let free = session.id == process.pid() && session.terminal.borrow().is_none() && tty.session().is_none();
    if free {
        control(tty, &session, process.pgid.get());
    }
}

/// Makes `tty` the controlling terminal of `session`, with `foreground` in front.
pub(super) fn control(tty: &Arc<Tty>, session: &Arc<Session>, foreground: Pid) {
    drop(tty.job.replace(Job { session: Arc::downgrade(session), foreground }));
    drop(session.terminal.replace(Some(tty.clone())));
}

/// Ends the control of `tty` over its session.
fn let_go(tty: &Tty) -> Option<Arc<Session>> {
    let job = tty.job.take();
    let session = job.session.upgrade()?;
    drop(session.terminal.take());
    Some(session)
}

/// TIOCSCTTY.
pub(super) fn take_control(tty: &Arc<Tty>, steal: bool) -> Result<(), Errno> {
    let t = task::current();
    let process = t.process();
    let session = process.session.borrow().clone();
    if tty.session().is_some_and(|owner| Arc::ptr_eq(&owner, &session)) && session.id == process.pid() {
        return Ok(());
    }
    if session.id != process.pid() || session.terminal.borrow().is_some() {
        return Err(Errno::EPERM);
    }
    if tty.session().is_some() {
        if !steal || !t.cred().capable(task::cred::CAP_SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let_go(tty);
    }
    control(tty, &session, process.pgid.get());
    Ok(())
}

/// TIOCNOTTY. A session leader takes the terminal from its session, and the foreground group hears of it; any other
/// process has it no more, nor will its children.
pub(super) fn give_up(tty: &Tty) -> Result<(), Errno> {
    let t = task::current();
    if !tty.controls(t.process()) {
        return Err(Errno::ENOTTY);
    }
    if t.process().session.borrow().id != t.pid() {
        let session = t.process().session.borrow().id;
        t.process().left_terminal.set(session);
        return Ok(());
    }
    let group = tty.foreground();
    let_go(tty);
    if group > 0 {
        signal::send_to_group(group, SigInfo::kernel(raw::SIGHUP));
        signal::send_to_group(group, SigInfo::kernel(raw::SIGCONT));
    }
    Ok(())
}

/// A process ends. If it leads a session, its terminal is given up and the foreground group is sent SIGHUP.
pub fn process_ends(process: &Arc<Process>) {
    let session = process.session.borrow().clone();
    if session.id != process.pid() {
        return;
    }
    let tty = session.terminal.borrow().clone();
    if let Some(tty) = tty {
        let group = tty.foreground();
        let_go(&tty);
        if group > 0 {
            signal::send_to_group(group, SigInfo::kernel(raw::SIGHUP));
        }
    }
}

/// The terminal is gone, or vhangup(2) says so: cuts off who has it open, and tells the session leader.
pub(super) fn hang_up(tty: &Tty) {
    let session = let_go(tty);
    if let Some(leader) = session.and_then(|session| process::find(session.id)) {
        signal::send_to_process(&leader, SigInfo::kernel(raw::SIGHUP));
        signal::send_to_process(&leader, SigInfo::kernel(raw::SIGCONT));
    }
    tty.cut_off();
    if let FarSide::Master(master) = &tty.far {
        master.slave_closed();
    }
}

/// vhangup(2): hangs up the caller's controlling terminal.
pub fn hang_up_current() {
    if let Some(tty) = terminal_of(task::current().process()) {
        hang_up(&tty);
    }
}

/// Whether the caller, as a member of a background group, may use the terminal. If not its group is sent `signo`
/// (SIGTTIN or SIGTTOU), and the call is to be restarted once it is in front.
pub(super) fn check_background(tty: &Tty, signo: u32) -> Result<(), Errno> {
    let t = task::current();
    let process = t.process();
    let (group, front) = (process.pgid.get(), tty.foreground());
    if front == 0 || group == front || !tty.controls(process) {
        return Ok(());
    }
    if signal::blocks_or_ignores(&t, signo) {
        return if signo == raw::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
    }
    if signal::orphaned(group) {
        return Err(Errno::EIO);
    }
    signal::send_to_group(group, SigInfo::kernel(signo));
    Err(Errno::ERESTARTSYS)
}

/// TIOCSPGRP.
pub(super) fn set_foreground(tty: &Tty, group: Pid) -> Result<(), Errno> {
    check_background(tty, raw::SIGTTOU)?;
    let t = task::current();
    if !tty.controls(t.process()) {
        return Err(Errno::ENOTTY);
    }
    if group < 0 {
        return Err(Errno::EINVAL);
    }
    let members = process::in_group(group);
    let member = members.first().ok_or(Errno::ESRCH)?;
    if member.session.borrow().id != t.process().session.borrow().id {
        return Err(Errno::EPERM);
    }
    tty.job.borrow_mut().foreground = group;
    Ok(())
}
