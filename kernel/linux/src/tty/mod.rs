//! Terminals: what lies between a program that reads and writes one, and its far side.
//!
//! A `Tty` has a line discipline (`line`), a window, a session it controls (`job`), and a far side: the master of a
//! pseudo-terminal (`pty`) or the host's terminal (`console`). A `Terminal` is one open of it. The far side's bytes come
//! in by `Tty::receive`; what goes to it lies in the line's output until it takes it. No borrow of the line is held
//! while anybody is woken, signalled, or read from or written to.

pub mod console;
pub mod devpts;
mod ioctl;
pub mod job;
pub mod line;
pub mod pty;

pub use devpts::register;

use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{File, OpenFile};
use crate::fs::{Stat, device_number};
use crate::task;
use crate::task::cred::{Gid, Uid};
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use crate::time::{monotonic_ns, realtime_ns};
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use line::Line;
use linux_raw_sys::general as raw;
use raw::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM, winsize};

const READABLE: u32 = EPOLLIN | EPOLLRDNORM;
const WRITABLE: u32 = EPOLLOUT | EPOLLWRNORM;
/// Major number of the terminals in /dev/pts.
pub const PTS_MAJOR: u32 = 136;
/// Device number of the file system that /dev/pts is.
const PTS_DEV: u64 = 0x0f;
/// Bytes moved at a time.
const CHUNK: usize = 1024;
/// Nanoseconds of VTIME's unit.
const TENTH: u64 = 100_000_000;

/// Where a terminal's output goes and its input comes from.
enum FarSide {
    Master(pty::MasterSide),
    Host(console::HostSide),
}

/// A terminal.
pub struct Tty {
    me: Weak<Tty>,
    /// Its name is /dev/pts/INDEX.
    index: u32,
    line: KCell<Line>,
    job: KCell<job::Job>,
    window: KCell<winsize>,
    /// Readers, writers and pollers of the terminal.
    queue: WaitQueue,
    far: FarSide,
    /// How many `Terminal`s there are.
    opens: KCell<usize>,
    /// Grows with each hang-up: opens from before are dead.
    hangups: KCell<u64>,
    /// TIOCEXCL.
    exclusive: KCell<bool>,
    owner: KCell<(Uid, Gid)>,
    /// Permissions of its node.
    permissions: KCell<u32>,
    /// Realtime ns of its making.
    created: i64,
}

impl Tty {
    fn new(index: u32, far: FarSide) -> Arc<Self> {
        let cred = task::current().cred();
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            index,
            line: KCell::default(),
            job: KCell::default(),
            window: KCell::new(winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 }),
            queue: WaitQueue::new(),
            far,
            opens: KCell::default(),
            hangups: KCell::default(),
            exclusive: KCell::default(),
            owner: KCell::new((cred.fsuid, cred.fsgid)),
            permissions: KCell::new(0o620),
            created: realtime_ns() as i64,
        })
    }

    /// The number in its name /dev/pts/N.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Device number, as /proc/PID/stat and stat(2) show it.
    pub fn device(&self) -> u64 {
        device_number(PTS_MAJOR, self.index)
    }

    /// User and group of its node in /dev/pts.
    pub fn owner(&self) -> (Uid, Gid) {
        self.owner.get()
    }

    /// Permissions of its node.
    pub fn permissions(&self) -> u32 {
        self.permissions.get()
    }

    fn stat(&self) -> Stat {
        Stat {
            dev: PTS_DEV,
            ino: u64::from(self.index) + 3,
            mode: raw::S_IFCHR | self.permissions.get(),
            nlink: 1,
            uid: self.owner.get().0,
            gid: self.owner.get().1,
            rdev: self.device(),
            block_size: 1024,
            atime: self.created,
            mtime: self.created,
            ctime: self.created,
            btime: self.created,
            ..Stat::default()
        }
    }

    /// Opens it. Unless `flags` has O_NOCTTY it may become the controlling terminal of the caller.
    pub fn open(&self, flags: u32) -> Result<Arc<Terminal>, Errno> {
        let t = task::current();
        if let FarSide::Master(master) = &self.far {
            master.check_slave_open()?;
        }
        if self.exclusive.get() && !t.cred().capable(task::cred::CAP_SYS_ADMIN) {
            return Err(Errno::EBUSY);
        }
        *self.opens.borrow_mut() += 1;
        let me = self.me.upgrade().ok_or(Errno::EIO)?;
        if let FarSide::Master(master) = &self.far {
            master.slave_opened();
        }
        let reads = flags & raw::O_ACCMODE != raw::O_WRONLY;
        if flags & raw::O_NOCTTY == 0 && reads {
            job::adopt(&me, t.process());
        }
        Ok(Arc::new(Terminal { tty: me, generation: self.hangups.get() }))
    }

    /// Takes bytes from the far side: as many as the line has room for. Echo and signals follow.
    fn receive(&self, bytes: &[u8]) -> usize {
        let mut signals = Vec::new();
        let (count, readable, output) = {
            let mut line = self.line.borrow_mut();
            let count = bytes.len().min(line.room());
            line.receive(&bytes[..count], &mut signals);
            (count, line.has_input(1), !line.output().is_empty())
        };
        if readable {
            self.queue.wake(READABLE);
        }
        if output {
            self.push_output();
        }
        self.tell_packet_events();
        for signal in signals {
            job::signal_foreground(self, signal);
        }
        count
    }

    /// There is output for the far side, or room where there was none.
    fn push_output(&self) {
        match &self.far {
            FarSide::Master(master) => master.queue.wake(READABLE),
            FarSide::Host(host) => host.flush(self),
        }
    }

    fn tell_packet_events(&self) {
        if let FarSide::Master(master) = &self.far {
            let events = core::mem::take(&mut self.line.borrow_mut().packet_events);
            if events != 0 {
                master.add_packet_events(events);
            }
        }
    }

    /// Readers have taken input: the far side may go on.
    fn input_taken(&self) {
        match &self.far {
            FarSide::Master(master) => master.queue.wake(WRITABLE),
            FarSide::Host(host) => host.refill(self),
        }
    }

    /// The far side has taken output: writers may go on.
    fn output_taken(&self) {
        self.queue.wake_all(WRITABLE);
    }

    /// Cuts off everybody who has it open, as vhangup(2) does.
    fn cut_off(&self) {
        *self.hangups.borrow_mut() += 1;
        {
            let mut line = self.line.borrow_mut();
            line.flush_input();
            line.flush_output();
        }
        self.queue.wake_all(!0);
    }

    /// Sets the window and tells the foreground group if it changed.
    fn resize(&self, new: winsize) {
        let old = self.window.replace(new);
        let sizes = |w: &winsize| [w.ws_row, w.ws_col, w.ws_xpixel, w.ws_ypixel];
        if sizes(&old) != sizes(&new) {
            job::signal_foreground(self, raw::SIGWINCH);
        }
    }
}

/// One open of a terminal: the object of an `OpenFile`.
pub struct Terminal {
    tty: Arc<Tty>,
    generation: u64,
}

impl Terminal {
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    /// The terminal was hung up since this open.
    fn hung_up(&self) -> bool {
        self.tty.hangups.get() != self.generation
    }

    fn read_line(&self, of: &OpenFile, sink: &mut Sink<'_>) -> SysResult {
        let max = sink.left();
        let look = || {
            if self.hung_up() {
                return Some(Vec::new());
            }
            let mut line = self.tty.line.borrow_mut();
            if line.canonical() { line.take_line(max) } else { Some(Vec::new()) }
        };
        let taken = match look() {
            Some(taken) => taken,
            None if of.nonblocking() => return Err(Errno::EAGAIN),
            None => {
                wait_event(&[&self.tty.queue], WaitLimit { exclusive: true, ..WaitLimit::default() }, look)
                    .map_err(|_| Errno::ERESTARTSYS)?
            }
        };
        if taken.is_empty() && !self.hung_up() && !self.tty.line.borrow().canonical() {
            // Somebody switched the terminal to raw input meanwhile.
            return self.read_raw(of, sink);
        }
        let count = if taken.is_empty() { 0 } else { sink.put(&taken)? };
        self.tty.input_taken();
        Ok(count)
    }

    fn read_raw(&self, of: &OpenFile, sink: &mut Sink<'_>) -> SysResult {
        let (min, time) = {
            let line = self.tty.line.borrow();
            (usize::from(line.cc(raw::VMIN)), u64::from(line.cc(raw::VTIME)) * TENTH)
        };
        // With VMIN, VTIME runs between bytes; without, it runs from the start.
        let mut deadline = (min == 0).then(|| monotonic_ns() + time);
        let mut done = 0;
        while sink.left() > 0 {
            let bytes = self.tty.line.borrow_mut().take_raw(sink.left().min(CHUNK));
            if !bytes.is_empty() {
                let put = sink.put(&bytes);
                self.tty.input_taken();
                match put {
                    Ok(count) => done += count,
                    Err(error) if done == 0 => return Err(error),
                    Err(_) => break,
                }
                if done >= min && self.tty.line.borrow().readable() == 0 {
                    break;
                }
                if min > 0 && time > 0 {
                    deadline = Some(monotonic_ns() + time);
                }
                continue;
            }
            if done > 0 && done >= min || self.hung_up() || (min == 0 && time == 0) {
                break;
            }
            if of.nonblocking() {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let limit = WaitLimit { deadline, exclusive: true, ..WaitLimit::default() };
            let look = || (self.hung_up() || self.tty.line.borrow().readable() > 0).then_some(());
            match wait_event(&[&self.tty.queue], limit, look) {
                Ok(()) => {}
                Err(WaitEnd::TimedOut) => break,
                Err(WaitEnd::Interrupted) if done == 0 => return Err(Errno::ERESTARTSYS),
                Err(WaitEnd::Interrupted) => break,
            }
        }
        Ok(done)
    }
}

impl File for Terminal {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        if self.hung_up() || sink.left() == 0 {
            return Ok(0);
        }
        job::check_background(&self.tty, raw::SIGTTIN)?;
        let canonical = self.tty.line.borrow().canonical();
        let result = if canonical { self.read_line(of, sink) } else { self.read_raw(of, sink) };
        // Readers are woken one at a time: whoever leaves something behind wakes the next.
        if self.tty.line.borrow().has_input(1) {
            self.tty.queue.wake(READABLE);
        }
        result
    }

    fn write(&self, of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        if self.hung_up() {
            return Err(Errno::EIO);
        }
        if self.tty.line.borrow().lflag(raw::TOSTOP) {
            job::check_background(&self.tty, raw::SIGTTOU)?;
        }
        let mut done = 0;
        let mut chunk = [0; CHUNK];
        loop {
            let len = source.left().min(CHUNK);
            if len == 0 {
                return Ok(done);
            }
            let taken = match source.take(&mut chunk[..len]) {
                Ok(taken) => taken,
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            };
            let mut rest = &chunk[..taken];
            while !rest.is_empty() {
                let count = self.tty.line.borrow_mut().write(rest);
                if count > 0 {
                    self.tty.push_output();
                    rest = &rest[count..];
                    done += count;
                    continue;
                }
                let end = if of.nonblocking() {
                    Err(Errno::EAGAIN)
                } else {
                    let look = || (self.hung_up() || self.tty.line.borrow().can_write()).then_some(());
                    let waited = wait_event(&[&self.tty.queue], WaitLimit::default(), look);
                    match waited {
                        Ok(()) if self.hung_up() => Err(Errno::EIO),
                        Ok(()) => Ok(()),
                        Err(_) => Err(Errno::ERESTARTSYS),
                    }
                };
                match end {
                    Ok(()) => {}
                    Err(_) if done > 0 => return Ok(done),
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        if self.hung_up() {
            let is_set_group = command == linux_raw_sys::ioctl::TIOCSPGRP;
            return Err(if is_set_group { Errno::ENOTTY } else { Errno::EIO });
        }
        ioctl::terminal(&self.tty, command, argument)
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        if self.hung_up() {
            return READABLE | WRITABLE | EPOLLERR | EPOLLHUP;
        }
        let line = self.tty.line.borrow();
        let wanted = if line.cc(raw::VTIME) == 0 { usize::from(line.cc(raw::VMIN)) } else { 1 };
        let mut events = 0;
        if line.has_input(wanted) {
            events |= READABLE;
        }
        if line.can_write() {
            events |= WRITABLE;
        }
        events
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.tty.queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.tty.stat())
    }

    fn link(&self) -> String {
        format!("/dev/pts/{}", self.tty.index)
    }

    fn reopen(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        Ok(self.tty.open(flags)?)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let left = {
            let mut opens = self.tty.opens.borrow_mut();
            *opens -= 1;
            *opens
        };
        if let (0, FarSide::Master(master)) = (left, &self.tty.far) {
            self.tty.exclusive.set(false);
            master.slave_closed();
        }
    }
}

/// Opens /dev/tty: the controlling terminal of the caller, or ENXIO.
pub fn open_controlling(_minor: u32, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let tty = job::terminal_of(task::current().process()).ok_or(Errno::ENXIO)?;
    Ok(tty.open(flags | raw::O_NOCTTY)?)
}

#[cfg(test)]
mod tests;
