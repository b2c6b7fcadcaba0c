//! Pseudo-terminals (pty(7)): /dev/ptmx and /dev/pts.

use super::{FarSide, READABLE, Terminal, Tty, WRITABLE, ioctl, job};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{File, OpenFile};
use crate::fs::{Path, Stat, walk};
use crate::task;
use crate::task::wait::{WaitLimit, WaitQueue, wait_event};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;
use raw::{EPOLLHUP, EPOLLPRI};

/// Every terminal that has a number, closed masters too: a number is free again when nobody has the slave open.
static TERMINALS: Global<KCell<BTreeMap<u32, Weak<Tty>>>> = Global::new(KCell::default);
/// Most pseudo-terminals at a time: /proc/sys/kernel/pty/max.
pub const MAX: u32 = 4096;

/// The master's half of a pseudo-terminal.
pub(super) struct MasterSide {
    /// Readers, writers and pollers of the master.
    pub(super) queue: WaitQueue,
    state: KCell<State>,
}

struct State {
    open: bool,
    locked: bool,
    /// The slave was open and is not any more.
    slave_gone: bool,
    packet_mode: bool,
    packet_events: u8,
}

impl MasterSide {
    fn new() -> Self {
        let state =
            State { open: true, locked: true, slave_gone: false, packet_mode: false, packet_events: 0 };
        Self { queue: WaitQueue::new(), state: KCell::new(state) }
    }

    pub(super) fn check_slave_open(&self) -> Result<(), Errno> {
        let state = self.state.borrow();
        if !state.open || state.locked { Err(Errno::EIO) } else { Ok(()) }
    }

    pub(super) fn slave_opened(&self) {
        self.state.borrow_mut().slave_gone = false;
    }

    pub(super) fn slave_closed(&self) {
        self.state.borrow_mut().slave_gone = true;
        self.queue.wake_all(READABLE | EPOLLHUP);
    }

    pub(super) fn add_packet_events(&self, events: u8) {
        let told = {
            let mut state = self.state.borrow_mut();
            if state.packet_mode {
                // An event takes back its opposite.
                let opposites =
                    [(raw::TIOCPKT_STOP, raw::TIOCPKT_START), (raw::TIOCPKT_NOSTOP, raw::TIOCPKT_DOSTOP)];
                for (one, other) in opposites {
                    let (one, other) = (one as u8, other as u8);
                    if events & (one | other) != 0 {
                        state.packet_events &= !(one | other);
                    }
                }
                state.packet_events |= events;
            }
            state.packet_mode
        };
        if told {
            self.queue.wake_all(READABLE | EPOLLPRI);
        }
    }

    pub(super) fn locked(&self) -> bool {
        self.state.borrow().locked
    }

    pub(super) fn set_locked(&self, locked: bool) {
        self.state.borrow_mut().locked = locked;
    }

    pub(super) fn packet_mode(&self) -> bool {
        self.state.borrow().packet_mode
    }

    pub(super) fn set_packet_mode(&self, on: bool) {
        let mut state = self.state.borrow_mut();
        state.packet_mode = on;
        state.packet_events = 0;
    }
}

/// A number for a new terminal, at least `first`.
fn free_index(first: u32) -> Result<u32, Errno> {
    let mut all = TERMINALS.borrow_mut();
    all.retain(|_, tty| tty.strong_count() > 0);
    (first..MAX).find(|index| !all.contains_key(index)).ok_or(Errno::ENOSPC)
}

/// Gives a terminal its name in /dev/pts.
pub(super) fn register(tty: &Arc<Tty>) {
    TERMINALS.borrow_mut().insert(tty.index, Arc::downgrade(tty));
}

/// Opens /dev/ptmx: a new pseudo-terminal, locked, and its master.
pub fn open_master(_minor: u32, _flags: u32) -> Result<Arc<dyn File>, Errno> {
    // Number 0 is the host's terminal where there is one.
    let tty = Tty::new(free_index(0)?, FarSide::Master(MasterSide::new()));
    register(&tty);
    Ok(Arc::new(Master { tty }))
}

fn find(index: u32) -> Option<Arc<Tty>> {
    let tty = TERMINALS.borrow().get(&index).and_then(Weak::upgrade)?;
    let visible = match &tty.far {
        FarSide::Master(master) => master.state.borrow().open,
        FarSide::Host(_) => true,
    };
    visible.then_some(tty)
}

/// The terminals in /dev/pts.
pub fn list() -> Vec<Arc<Tty>> {
    let indices: Vec<u32> = TERMINALS.borrow().keys().copied().collect();
    indices.into_iter().filter_map(find).collect()
}

/// Opens /dev/pts/N.
pub fn open_slave(index: u32, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let tty = find(index).ok_or(Errno::ENXIO)?;
    Ok(tty.open(flags)?)
}

/// TIOCGPTPEER: opens the slave of a master that the caller holds, whatever the names say.
pub(super) fn open_peer(tty: &Arc<Tty>, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    let terminal = tty.open(flags)?;
    let kept = raw::O_ACCMODE | raw::O_NONBLOCK | raw::O_APPEND;
    Ok(OpenFile::new(terminal, flags & kept, path_of(tty)))
}

/// The name of a terminal, if it is to be found in /dev/pts: ttyname(3) compares what lies there with the open file.
pub(super) fn path_of(tty: &Tty) -> Option<Path> {
    let name = format!("/dev/pts/{}", tty.index);
    let path = walk::lookup(&task::current(), raw::AT_FDCWD, name.as_bytes(), true).ok()?;
    (path.inode().rdev() == tty.device()).then_some(path)
}

/// The master of a pseudo-terminal: the object of an `OpenFile` on /dev/ptmx.
pub struct Master {
    tty: Arc<Tty>,
}

impl Master {
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }

    fn side(&self) -> &MasterSide {
        match &self.tty.far {
            FarSide::Master(side) => side,
            FarSide::Host(_) => unreachable!("a master is made with its side"),
        }
    }

    /// What a read finds: bytes, or an empty vector at the end.
    fn take(&self, max: usize) -> Option<Vec<u8>> {
        let side = self.side();
        let gone = {
            let mut state = side.state.borrow_mut();
            if state.packet_mode && state.packet_events != 0 {
                let events = core::mem::take(&mut state.packet_events);
                return Some(alloc::vec![events]);
            }
            state.slave_gone
        };
        let packet_mode = side.packet_mode();
        let room = max - usize::from(packet_mode);
        let mut bytes = self.tty.line.borrow_mut().take_output(room);
        if bytes.is_empty() {
            return gone.then_some(bytes);
        }
        if packet_mode {
            bytes.insert(0, raw::TIOCPKT_DATA as u8);
        }
        Some(bytes)
    }
}

impl File for Master {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        let max = sink.left().min(super::line::OUTPUT_MAX);
        if max == 0 {
            return Ok(0);
        }
        let bytes = match self.take(max) {
            Some(bytes) => bytes,
            None if of.nonblocking() => return Err(Errno::EAGAIN),
            None => wait_event(&[&self.side().queue], WaitLimit::default(), || self.take(max))
                .map_err(|_| Errno::ERESTARTSYS)?,
        };
        if bytes.is_empty() {
            return Err(Errno::EIO);
        }
        self.tty.output_taken();
        sink.put(&bytes)
    }

    fn write(&self, of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        let mut done = 0;
        let mut chunk = [0; super::CHUNK];
        loop {
            let len = source.left().min(chunk.len());
            if len == 0 {
                return Ok(done);
            }
            let look = || (self.tty.line.borrow().room() >= len).then_some(());
            let room = match look() {
                Some(()) => Ok(()),
                None if of.nonblocking() => Err(Errno::EAGAIN),
                None => wait_event(&[&self.side().queue], WaitLimit::default(), look)
                    .map_err(|_| Errno::ERESTARTSYS),
            };
            let taken = room.and_then(|()| source.take(&mut chunk[..len]));
            match taken {
                Ok(taken) => done += self.tty.receive(&chunk[..taken]),
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            }
        }
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        ioctl::master(self.side(), &self.tty, command, argument)
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        let state = self.side().state.borrow();
        let line = self.tty.line.borrow();
        let mut events = 0;
        if !line.output().is_empty() {
            events |= READABLE;
        }
        if state.packet_mode && state.packet_events != 0 {
            events |= READABLE | EPOLLPRI;
        }
        if state.slave_gone {
            events |= EPOLLHUP;
        }
        if line.room() > 0 {
            events |= WRITABLE;
        }
        events
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.side().queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat {
            ino: 2,
            mode: raw::S_IFCHR | 0o666,
            rdev: crate::fs::device_number(5, 2),
            ..self.tty.stat()
        })
    }

    fn link(&self) -> String {
        String::from("/dev/ptmx")
    }

    fn fdinfo(&self, out: &mut String) {
        out.push_str(&format!("tty-index:\t{}\n", self.tty.index));
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.side().state.borrow_mut().open = false;
        job::hang_up(&self.tty);
    }
}

impl Terminal {
    /// The terminal an object is open on, if it is one.
    pub fn of(object: &dyn File) -> Option<&Arc<Tty>> {
        object.downcast::<Self>().map(Self::tty)
    }
}
