//! The guest's first three descriptors: objects whose far side is the tender.
//!
//! A pipe, file or socket of the host stays a stream. A terminal becomes a tty of the guest, /dev/pts/0: with
//! `husk run -t` the host's terminal is raw and the guest's line discipline does everything; without, the host's line
//! discipline edits and echoes, and the guest's only divides what comes into lines. The scheduler asks
//! `watch` what to wait for on the host and calls `look` after it has slept.

use super::{FarSide, READABLE, Tty, WRITABLE, job, pty};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::task::Task;
use crate::task::process::Process;
use crate::task::wait::{WaitLimit, WaitQueue, wait_event};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::boot::{FLAG_TERMINAL, Stdio};
use husk_machine::cell::KCell;
use husk_machine::cpu::Watch;
use husk_machine::global::Global;
use husk_machine::{host, start};
use linux_raw_sys::general as raw;
use raw::{EPOLLHUP, winsize};

/// Bytes read from the host at a time.
const CHUNK: usize = 4096;

/// What of the three descriptors the host's news concern.
#[derive(Default)]
struct Console {
    streams: [Option<Arc<Stream>>; 3],
    terminal: Option<Arc<Tty>>,
}

static CONSOLE: Global<KCell<Console>> = Global::new(KCell::default);

/// A host call failed with this error number.
fn errno(number: i32) -> Errno {
    u16::try_from(number).map_or(Errno::EIO, Errno)
}

/// A host descriptor that is no terminal.
pub struct Stream {
    fd: i32,
    stat: Stat,
    queue: WaitQueue,
    state: KCell<StreamState>,
}

#[derive(Default)]
struct StreamState {
    /// Bytes read so that poll could tell whether there are any.
    ahead: Vec<u8>,
    /// The last read found the end of the file.
    ended: bool,
    /// The last write found no room.
    blocked: bool,
}

impl Stream {
    fn new(fd: i32, mode: u32) -> Arc<Self> {
        let stat = Stat {
            dev: crate::file::anon::PIPE_DEV,
            ino: fd as u64 + 1,
            mode: mode & raw::S_IFMT | 0o600,
            nlink: 1,
            block_size: 4096,
            ..Stat::default()
        };
        Arc::new(Self { fd, stat, queue: WaitQueue::new(), state: KCell::default() })
    }

    /// Reads what there is: an empty vector at the end of the file, EAGAIN when there is nothing yet.
    fn take(&self, max: usize) -> Result<Vec<u8>, Errno> {
        {
            let mut state = self.state.borrow_mut();
            if !state.ahead.is_empty() {
                let count = max.min(state.ahead.len());
                return Ok(state.ahead.drain(..count).collect());
            }
        }
        let mut bytes = alloc::vec![0; max];
        let count = host::read(self.fd, &mut bytes).map_err(errno)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn has_input(&self) -> bool {
        {
            let state = self.state.borrow();
            if !state.ahead.is_empty() {
                return true;
            }
        }
        match self.take(CHUNK) {
            Ok(bytes) => {
                let mut state = self.state.borrow_mut();
                state.ended = bytes.is_empty();
                state.ahead = bytes;
                true
            }
            Err(error) => error != Errno::EAGAIN,
        }
    }

    /// Whether the host takes output again after it took none.
    fn has_room(&self) -> bool {
        let (_, room) = host::poll(self.fd);
        self.state.borrow_mut().blocked = !room;
        room
    }

    fn put(&self, bytes: &[u8]) -> SysResult {
        let result = host::write(self.fd, bytes).map_err(errno);
        self.state.borrow_mut().blocked = result == Err(Errno::EAGAIN);
        result
    }
}

impl File for Stream {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        let max = sink.left().min(1 << 16);
        if max == 0 {
            return Ok(0);
        }
        let look = || match self.take(max) {
            Err(Errno::EAGAIN) => None,
            result => Some(result),
        };
        let bytes = match look() {
            Some(result) => result?,
            None if of.nonblocking() => return Err(Errno::EAGAIN),
            None => {
                wait_event(&[&self.queue], WaitLimit::default(), look).map_err(|_| Errno::ERESTARTSYS)??
            }
        };
        if bytes.is_empty() { Ok(0) } else { sink.put(&bytes) }
    }

    fn write(&self, of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        let mut done = 0;
        let mut bytes = alloc::vec![0; source.left().min(1 << 16)];
        loop {
            let len = source.left().min(bytes.len());
            if len == 0 {
                return Ok(done);
            }
            let taken = match source.take(&mut bytes[..len]) {
                Ok(taken) => taken,
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            };
            let mut rest = &bytes[..taken];
            while !rest.is_empty() {
                let look = || match self.put(rest) {
                    Err(Errno::EAGAIN) => None,
                    result => Some(result),
                };
                let result = match look() {
                    Some(result) => result,
                    None if of.nonblocking() => Err(Errno::EAGAIN),
                    None => wait_event(&[&self.queue], WaitLimit::default(), look)
                        .unwrap_or(Err(Errno::ERESTARTSYS)),
                };
                match result {
                    Ok(count) => {
                        done += count;
                        rest = &rest[count..];
                    }
                    Err(_) if done > 0 => return Ok(done),
                    Err(Errno::EPIPE) => {
                        crate::signal::raise(raw::SIGPIPE);
                        return Err(Errno::EPIPE);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        if command != linux_raw_sys::ioctl::FIONREAD {
            return Err(Errno::ENOTTY);
        }
        self.has_input();
        let count = self.state.borrow().ahead.len();
        crate::mem::user::write(argument, &(count as i32))?;
        Ok(0)
    }

    fn poll(&self, of: &OpenFile) -> u32 {
        let mut events = 0;
        if of.readable() && self.has_input() {
            events |= READABLE;
        }
        let state = self.state.borrow();
        if state.ended && self.stat.mode & raw::S_IFMT == raw::S_IFIFO {
            events = (events & !READABLE) | EPOLLHUP;
        }
        let blocked = state.blocked;
        drop(state);
        if of.writable() && (!blocked || self.has_room()) {
            events |= WRITABLE;
        }
        events
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.stat)
    }

    fn link(&self) -> String {
        match self.stat.mode & raw::S_IFMT {
            raw::S_IFSOCK => format!("socket:[{}]", self.stat.ino),
            _ => format!("pipe:[{}]", self.stat.ino),
        }
    }

    fn reopen(&self, _flags: u32) -> Result<Arc<dyn File>, Errno> {
        let own = CONSOLE.borrow().streams.get(self.fd as usize).cloned().flatten();
        own.map(|own| own as Arc<dyn File>).ok_or(Errno::ENXIO)
    }
}

/// The host's terminal.
pub(super) struct HostSide {
    /// The descriptors to read from and to write to; -1 for none.
    input: i32,
    output: i32,
    /// The host's terminal is raw: what it gives at the end of its file is a hang-up, not a key.
    raw: bool,
    /// It has hung up: nothing more comes.
    gone: KCell<bool>,
    /// The user's shell has it in the foreground meanwhile: what is typed is not ours to read.
    away: KCell<bool>,
}

impl HostSide {
    /// Gives the host as much output as it takes.
    pub(super) fn flush(&self, tty: &Tty) {
        let mut taken = false;
        loop {
            let chunk: Vec<u8> = tty.line.borrow().output().iter().copied().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            // Output that has no way out is lost, as on a line that nobody listens to.
            let count = match host::write(self.output, &chunk) {
                Ok(count) => count,
                Err(number) if errno(number) == Errno::EAGAIN => break,
                Err(_) => chunk.len(),
            };
            tty.line.borrow_mut().consume_output(count);
            taken = true;
        }
        if taken {
            tty.output_taken();
        }
    }

    /// Takes what the host has, as far as there is room.
    pub(super) fn refill(&self, tty: &Tty) {
        let mut bytes = [0; CHUNK];
        loop {
            let room = tty.line.borrow().room().min(CHUNK);
            if room == 0 || self.input < 0 || self.gone.get() || self.away.get() {
                return;
            }
            match host::read(self.input, &mut bytes[..room]) {
                Ok(0) if self.raw => return self.hang_up(tty),
                Ok(0) => {
                    tty.line.borrow_mut().receive_eof();
                    return tty.queue.wake(READABLE);
                }
                Ok(count) => {
                    tty.receive(&bytes[..count]);
                }
                Err(number) if errno(number) == Errno::EAGAIN => return,
                Err(_) => return self.hang_up(tty),
            }
        }
    }

    fn hang_up(&self, tty: &Tty) {
        self.gone.set(true);
        job::hang_up(tty);
    }
}

/// Gives process 1 its descriptors 0, 1 and 2, as the boot block describes them.
pub fn open_stdio(t: &Task) {
    let boot = start::boot();
    let raw = boot.flags & FLAG_TERMINAL != 0;
    let files = make_stdio(&boot.stdio, raw, boot.window);
    for (fd, file) in files.into_iter().enumerate() {
        if let Some(file) = file {
            // The table is empty: nothing is replaced, and no limit is near.
            let _ = t.files().replace(fd as i32, file, false, 3);
        }
    }
}

/// The open files for `stdio`. `raw`: the host's terminal is raw. `window`: rows, columns and their size in pixels.
pub(super) fn make_stdio(stdio: &[Stdio; 3], raw: bool, window: [u16; 4]) -> [Option<Arc<OpenFile>>; 3] {
    let is_terminal = |fd: usize| stdio[fd].mode != 0 && stdio[fd].terminal != 0;
    let mut terminal_file = None;
    if (0..3).any(is_terminal) {
        let output = (1..3).find(|fd| is_terminal(*fd)).map_or(-1, |fd| fd as i32);
        let input = if is_terminal(0) { 0 } else { -1 };
        let tty = Tty::new(
            0,
            FarSide::Host(HostSide { input, output, raw, gone: KCell::default(), away: KCell::default() }),
        );
        tty.line.borrow_mut().cooked_far_side = !raw;
        let [ws_row, ws_col, ws_xpixel, ws_ypixel] = window;
        *tty.window.borrow_mut() = winsize { ws_row, ws_col, ws_xpixel, ws_ypixel };
        pty::register(&tty);
        // It becomes the controlling terminal of process 1, if that leads a session.
        terminal_file =
            tty.open(raw::O_RDWR).ok().map(|open| OpenFile::new(open, raw::O_RDWR, pty::path_of(&tty)));
        CONSOLE.borrow_mut().terminal = Some(tty);
    }
    core::array::from_fn(|fd| {
        if stdio[fd].mode == 0 {
            return None;
        }
        if is_terminal(fd) {
            return terminal_file.clone();
        }
        let stream = Stream::new(fd as i32, stdio[fd].mode);
        CONSOLE.borrow_mut().streams[fd] = Some(stream.clone());
        let access = if fd == 0 { raw::O_RDONLY } else { raw::O_WRONLY };
        Some(OpenFile::new(stream, access, None))
    })
}

/// What of the host somebody waits for. A terminal's input is always waited for: it may be a signal.
pub fn watch() -> [Watch; 3] {
    let console = CONSOLE.borrow();
    let mut watch = [Watch::default(); 3];
    for (stream, watch) in console.streams.iter().zip(&mut watch) {
        if let Some(stream) = stream
            && !stream.queue.is_empty()
        {
            let state = stream.state.borrow();
            watch.input = stream.fd == 0 && state.ahead.is_empty() && !state.ended;
            watch.output = state.blocked;
        }
    }
    if let Some(tty) = &console.terminal
        && let FarSide::Host(host) = &tty.far
    {
        let line = tty.line.borrow();
        let at = |fd: i32| usize::try_from(fd).ok();
        if let Some(input) = at(host.input).filter(|_| !host.gone.get() && !host.away.get()) {
            watch[input].input = line.room() > 0;
        }
        if let Some(output) = at(host.output) {
            watch[output].output = !line.output().is_empty();
        }
    }
    watch
}

/// Asks the host about what is watched, and tells who waits for it. Called after a vCPU has slept.
pub fn look() {
    for (fd, watch) in watch().into_iter().enumerate() {
        if watch.input || watch.output {
            let (input, output) = host::poll(fd as i32);
            if watch.input && input || watch.output && output {
                ready(fd as i32);
            }
        }
    }
}

/// Descriptor `fd` of the host has input, or takes output again.
fn ready(fd: i32) {
    let (stream, terminal) = {
        let console = CONSOLE.borrow();
        let stream = usize::try_from(fd).ok().and_then(|fd| console.streams.get(fd)).cloned().flatten();
        (stream, console.terminal.clone())
    };
    if let Some(stream) = stream {
        stream.state.borrow_mut().blocked = false;
        stream.queue.wake_all(!0);
    } else if let Some(tty) = terminal
        && let FarSide::Host(host) = &tty.far
    {
        host.flush(&tty);
        host.refill(&tty);
    }
}

/// Process 1 has stopped, and nobody inside can continue it: stops with whoever runs the guest, if they would. They have the
/// terminal until they tell its size.
pub fn stop_outside() {
    let terminal = CONSOLE.borrow().terminal.clone();
    if host::stop_with_parent()
        && let Some(FarSide::Host(host)) = terminal.as_ref().map(|tty| &tty.far)
    {
        host.away.set(true);
    }
}

/// Whether the host's terminal is in raw mode: what concerns it comes from the parent process then, not by signals.
pub fn is_raw() -> bool {
    start::boot().flags & FLAG_TERMINAL != 0
}

/// The host's terminal is ours and has this size: rows, columns and their size in pixels.
pub fn resized(window: [u16; 4]) {
    let terminal = CONSOLE.borrow().terminal.clone();
    if let Some(tty) = terminal {
        if let FarSide::Host(host) = &tty.far {
            host.away.set(false);
        }
        let [ws_row, ws_col, ws_xpixel, ws_ypixel] = window;
        tty.resize(winsize { ws_row, ws_col, ws_xpixel, ws_ypixel });
    }
}

/// Whether one of the first three descriptors is a terminal.
pub fn is_terminal() -> bool {
    CONSOLE.borrow().terminal.is_some()
}

/// The far side of the three descriptors is another one: what was known of the old one's state is not of this one's.
pub(crate) fn restored() {
    let streams = {
        let console = CONSOLE.borrow();
        console.streams.clone()
    };
    for stream in streams.iter().flatten() {
        let mut state = stream.state.borrow_mut();
        state.ended = false;
        state.blocked = false;
    }
    let terminal = CONSOLE.borrow().terminal.clone();
    if let Some(tty) = &terminal
        && let FarSide::Host(host) = &tty.far
    {
        host.gone.set(false);
    }
    let boot = start::boot();
    if boot.stdio.iter().any(|stdio| stdio.terminal != 0) {
        resized(boot.window);
    }
}

/// Opens /dev/console: the host's terminal, or ENXIO where there is none.
pub fn open_console(_minor: u32, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let terminal = CONSOLE.borrow().terminal.clone();
    Ok(terminal.ok_or(Errno::ENXIO)?.open(flags | raw::O_NOCTTY)?)
}

/// Whether the process's controlling terminal is the host's: signals from the host's keyboard go to its foreground.
pub fn controls(process: &Process) -> bool {
    let terminal = CONSOLE.borrow().terminal.clone();
    terminal.is_some_and(|tty| tty.controls(process))
}

/// Sends a signal of the host's keyboard (SIGINT, SIGQUIT, SIGTSTP sent to the tender) to the foreground group.
/// False: there is no terminal with a foreground group.
pub fn keyboard_signal(signo: u32) -> bool {
    let terminal = CONSOLE.borrow().terminal.clone();
    let Some(tty) = terminal.filter(|tty| tty.foreground() > 0) else { return false };
    job::signal_foreground(&tty, signo);
    true
}
