//! Pipes and FIFOs (pipe(7), fifo(7)).
//!
//! A `Pipe` is a queue of chunks, each at most a page; like Linux it counts its capacity in chunks, and a short write
//! joins the last chunk if it fits. A `PipeEnd` is one open of it. Data is copied with no borrow held, because a user
//! copy may sleep: a writer fills a page first and queues it then; a reader marks the front as being read (`reading`),
//! and other readers wait for it. splice(2) and tee(2) move whole chunks by `peek`, `consume` and `fill`.

use super::anon::{self, Identity};
use super::io::{Sink, Source};
use super::{File, OpenFile};
use crate::errno::{Errno, SysResult};
use crate::fs::Stat;
use crate::mem::user;
use crate::signal;
use crate::task::cred::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Cred};
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::page::Pages;
use linux_raw_sys::general as raw;
use raw::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM};

/// A write of at most this many bytes is not split.
pub const PIPE_BUF: usize = PAGE_SIZE;
const DEFAULT_SLOTS: usize = 16;
/// Transfers up to this size go through the stack, which costs less than a page reference.
const SMALL: usize = 128;
/// Pages kept for the next write.
const SPARES: usize = 2;

const READABLE: u32 = EPOLLIN | EPOLLRDNORM;
const WRITABLE: u32 = EPOLLOUT | EPOLLWRNORM;

/// /proc/sys/fs/pipe-max-size: what F_SETPIPE_SZ grants without CAP_SYS_RESOURCE, in bytes.
pub static MAX_SIZE: Global<KCell<usize>> = Global::new(|| KCell::new(1 << 20));

/// Up to a page of bytes in or for a pipe.
pub struct Chunk {
    pub pages: Arc<Pages>,
    pub offset: usize,
    pub len: usize,
    /// Written in packet mode: one read takes it whole.
    pub packet: bool,
    /// The pipe alone owns the page and may append to it.
    mergeable: bool,
}

impl Chunk {
    /// Bytes that belong to somebody else too: the pipe will not append to them.
    pub fn shared(pages: Arc<Pages>, offset: usize, len: usize) -> Self {
        Self { pages, offset, len, packet: false, mergeable: false }
    }

    /// Bytes that may still be appended.
    fn room(&self) -> usize {
        if self.mergeable { PAGE_SIZE - self.offset - self.len } else { 0 }
    }
}

struct State {
    chunks: VecDeque<Chunk>,
    /// Sum of the chunks' lengths.
    bytes: usize,
    /// Capacity in chunks.
    slots: usize,
    readers: usize,
    writers: usize,
    /// Ends open for both: their pollers wait on the queue of readers only.
    both: usize,
    /// Opens for reading and for writing so far: a FIFO's open waits for the other to change.
    reader_opens: u64,
    writer_opens: u64,
    /// A reader copies from the front chunk.
    reading: bool,
    /// Another reader waits for it to finish.
    contended: bool,
    spares: Vec<Arc<Pages>>,
}

impl State {
    fn full(&self) -> bool {
        self.chunks.len() >= self.slots
    }

    fn fits(&self, len: usize, packet: bool) -> bool {
        !self.full() || (!packet && self.chunks.back().is_some_and(|last| last.room() >= len))
    }

    /// Drops `count` bytes from the front chunk.
    fn consume(&mut self, count: usize) {
        let front = self.chunks.front_mut().expect("a chunk is being read");
        front.offset += count;
        front.len -= count;
        self.bytes -= count;
        if front.len == 0 {
            self.pop();
        }
    }

    /// Drops the front chunk and what is left in it.
    fn pop(&mut self) {
        let Some(chunk) = self.chunks.pop_front() else { return };
        self.bytes -= chunk.len;
        if chunk.mergeable && self.spares.len() < SPARES && Arc::strong_count(&chunk.pages) == 1 {
            self.spares.push(chunk.pages);
        }
    }

    fn page(&mut self) -> Result<Arc<Pages>, Errno> {
        match self.spares.pop() {
            Some(pages) => Ok(pages),
            None => Pages::unzeroed(1).map(Arc::new).map_err(|_| Errno::ENOMEM),
        }
    }

    /// Appends to the last chunk if it has the room, and says whether it had.
    fn merge(&mut self, len: usize, copy: impl FnOnce(&Pages, usize)) -> bool {
        match self.chunks.back_mut() {
            Some(last) if last.room() >= len => {
                copy(&last.pages, last.offset + last.len);
                last.len += len;
                self.bytes += len;
                true
            }
            _ => false,
        }
    }

    fn push(&mut self, chunk: Chunk) {
        self.bytes += chunk.len;
        self.chunks.push_back(chunk);
    }
}

/// What a blocked end waits for, and why it need not.
enum Room {
    Free,
    NoReader,
}

/// The queue between the ends.
pub struct Pipe {
    state: KCell<State>,
    readable: WaitQueue,
    writable: WaitQueue,
    /// What fstat(2) tells of a pipe without a name.
    identity: Identity,
}

impl Pipe {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: KCell::new(State {
                chunks: VecDeque::new(),
                bytes: 0,
                slots: DEFAULT_SLOTS,
                readers: 0,
                writers: 0,
                both: 0,
                reader_opens: 0,
                writer_opens: 0,
                reading: false,
                contended: false,
                spares: Vec::new(),
            }),
            readable: WaitQueue::new(),
            writable: WaitQueue::new(),
            identity: Identity::new(anon::PIPE_DEV, raw::S_IFIFO | 0o600),
        })
    }

    fn wake_readers(&self) {
        self.readable.wake(READABLE);
    }

    fn wake_writers(&self) {
        self.writable.wake(WRITABLE);
        if self.state.borrow().both > 0 {
            self.readable.wake_all(WRITABLE);
        }
    }

    fn wake_everybody(&self) {
        self.readable.wake_all(READABLE | EPOLLHUP);
        self.writable.wake_all(WRITABLE | EPOLLERR);
    }

    /// Waits for data. False: there is none and no writer.
    pub fn wait_data(&self, nonblocking: bool) -> Result<bool, Errno> {
        let look = || {
            let state = self.state.borrow();
            match (state.reading, state.chunks.is_empty(), state.writers) {
                (true, ..) => None,
                (_, false, _) => Some(true),
                (_, true, 0) => Some(false),
                (_, true, _) => None,
            }
        };
        match look() {
            Some(found) => Ok(found),
            None if nonblocking && !self.state.borrow().reading => Err(Errno::EAGAIN),
            None => {
                let mut state = self.state.borrow_mut();
                state.contended |= state.reading;
                drop(state);
                let limit = WaitLimit { exclusive: true, ..WaitLimit::default() };
                wait_event(&[&self.readable], limit, look).map_err(interrupted)
            }
        }
    }

    /// Waits for room for a chunk. EPIPE, with SIGPIPE, when nobody can read any more.
    pub fn wait_room(&self, nonblocking: bool) -> Result<(), Errno> {
        self.wait_fit(PAGE_SIZE, true, nonblocking)
    }

    fn wait_fit(&self, len: usize, packet: bool, nonblocking: bool) -> Result<(), Errno> {
        let look = || {
            let state = self.state.borrow();
            if state.readers == 0 {
                Some(Room::NoReader)
            } else {
                state.fits(len, packet).then_some(Room::Free)
            }
        };
        let found = match look() {
            Some(found) => found,
            None if nonblocking => return Err(Errno::EAGAIN),
            None => {
                let limit = WaitLimit { exclusive: true, ..WaitLimit::default() };
                wait_event(&[&self.writable], limit, look).map_err(interrupted)?
            }
        };
        match found {
            Room::Free => Ok(()),
            Room::NoReader => {
                signal::raise(raw::SIGPIPE);
                Err(Errno::EPIPE)
            }
        }
    }

    /// The chunk number `index` from the front, up to `max` bytes of it, shared: for tee(2), and for splice(2) before
    /// it consumes what it could move.
    pub fn peek(&self, index: usize, max: usize) -> Option<Chunk> {
        let state = self.state.borrow();
        let chunk = state.chunks.get(index)?;
        let part = Chunk::shared(chunk.pages.clone(), chunk.offset, chunk.len.min(max));
        Some(Chunk { packet: chunk.packet, ..part })
    }

    /// Drops `count` bytes from the front chunk, or all of it if it is a packet.
    pub fn consume(&self, count: usize) {
        let freed = {
            let mut state = self.state.borrow_mut();
            let was_full = state.full();
            match state.chunks.front() {
                None => false,
                Some(front) if front.packet || count >= front.len => {
                    state.pop();
                    was_full
                }
                Some(_) => {
                    state.consume(count);
                    false
                }
            }
        };
        if freed {
            self.wake_writers();
        }
    }

    /// Queues a chunk; gives it back when the pipe is full or nobody can read.
    pub fn fill(&self, chunk: Chunk) -> Result<(), Chunk> {
        {
            let mut state = self.state.borrow_mut();
            if state.full() || state.readers == 0 {
                return Err(chunk);
            }
            state.push(chunk);
        }
        self.wake_readers();
        Ok(())
    }

    /// Bytes that can be read: FIONREAD.
    pub fn len(&self) -> usize {
        self.state.borrow().bytes
    }

    pub fn is_empty(&self) -> bool {
        self.state.borrow().chunks.is_empty()
    }

    /// fcntl(F_GETPIPE_SZ), in bytes.
    pub fn capacity(&self) -> usize {
        self.state.borrow().slots * PAGE_SIZE
    }

    /// fcntl(F_SETPIPE_SZ): the capacity that was set. EBUSY when the contents would not fit.
    pub fn set_capacity(&self, bytes: usize, cred: &Cred) -> Result<usize, Errno> {
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let slots = bytes.div_ceil(PAGE_SIZE).max(1).next_power_of_two();
        let privileged = cred.capable(CAP_SYS_RESOURCE) || cred.capable(CAP_SYS_ADMIN);
        let grown = {
            let mut state = self.state.borrow_mut();
            if slots > state.slots && slots * PAGE_SIZE > MAX_SIZE.get() && !privileged {
                return Err(Errno::EPERM);
            }
            if slots < state.chunks.len() {
                return Err(Errno::EBUSY);
            }
            let was_full = state.full();
            state.slots = slots;
            was_full && !state.full()
        };
        if grown {
            self.wake_writers();
        }
        Ok(slots * PAGE_SIZE)
    }

    fn read(&self, nonblocking: bool, sink: &mut Sink<'_>) -> SysResult {
        let mut done = 0;
        let mut freed_full = false;
        let mut waited = false;
        let mut small = [0; SMALL];
        let end = loop {
            if sink.left() == 0 {
                break Ok(());
            }
            // Claim the front chunk.
            let claimed = {
                let mut state = self.state.borrow_mut();
                let state = &mut *state;
                match state.chunks.front() {
                    Some(front) if !state.reading => {
                        state.reading = true;
                        let bytes = front.pages.span().slice(front.offset, front.len);
                        let page = if front.len <= SMALL {
                            bytes.read(&mut small[..front.len]);
                            None
                        } else {
                            Some((front.pages.clone(), front.offset))
                        };
                        Some((page, front.len, front.packet))
                    }
                    _ => None,
                }
            };
            let Some((page, len, packet)) = claimed else {
                if done > 0 {
                    break Ok(());
                }
                let quiet = self.state.borrow().writers == 0;
                waited |= !nonblocking && !quiet;
                match self.wait_data(nonblocking) {
                    Ok(true) => continue,
                    Ok(false) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            let put = match &page {
                None => sink.put(&small[..len]),
                Some((pages, offset)) => sink.put_span(pages.span().slice(*offset, len)),
            };
            drop(page);
            let mut state = self.state.borrow_mut();
            state.reading = false;
            let was_full = state.full();
            match put {
                Ok(count) => {
                    done += count;
                    if packet || count == len {
                        freed_full |= was_full;
                    }
                    if packet {
                        state.pop();
                        break Ok(());
                    }
                    state.consume(count);
                    if count < len {
                        break Ok(());
                    }
                }
                Err(_) if done > 0 => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if freed_full {
            self.wake_writers();
        }
        let contended = core::mem::take(&mut self.state.borrow_mut().contended);
        // Readers are woken one at a time: whoever leaves data behind wakes the next.
        if contended || (waited && !self.is_empty()) {
            self.wake_readers();
        }
        end.map(|()| done)
    }

    fn write(&self, nonblocking: bool, packet: bool, source: &mut Source<'_>) -> SysResult {
        let total = source.left();
        let mut done = 0;
        let mut waited = false;
        let end = loop {
            let left = total - done;
            if left == 0 {
                break Ok(());
            }
            let mut part = left.min(PAGE_SIZE);
            let odd = left % PAGE_SIZE;
            if done == 0 && odd != 0 && !packet && left > PAGE_SIZE {
                // The odd bytes go first if they fit behind what is there, so that whole pages follow.
                let room = self.state.borrow().chunks.back().map_or(0, Chunk::room);
                part = if room >= odd { odd } else { part };
            }
            if !self.state.borrow().fits(part, packet) && done > 0 {
                self.wake_readers();
            }
            match self.wait_for_write(part, packet, nonblocking, &mut waited) {
                Ok(()) => {}
                Err(Errno::EPIPE) if done > 0 => break Ok(()),
                Err(error) => break Err(error),
            }
            match self.write_part(part, packet, nonblocking, source) {
                Ok(0) => break Ok(()),
                Ok(count) => {
                    done += count;
                    if count < part {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // As on Linux, a write that found no room tells the readers too: an edge-triggered one may have missed it.
        if done > 0 || matches!(end, Err(Errno::EAGAIN)) {
            self.wake_readers();
        }
        // Writers are woken one at a time: whoever leaves room wakes the next.
        if waited && !self.state.borrow().full() {
            self.wake_writers();
        }
        match end {
            Err(error) if done == 0 => Err(error),
            _ => Ok(done),
        }
    }

    fn wait_for_write(
        &self,
        len: usize,
        packet: bool,
        nonblocking: bool,
        waited: &mut bool,
    ) -> Result<(), Errno> {
        {
            let state = self.state.borrow();
            if state.readers > 0 && state.fits(len, packet) {
                return Ok(());
            }
        }
        *waited = !nonblocking;
        self.wait_fit(len, packet, nonblocking)
    }

    /// Takes `len` bytes, at most a page, and queues them as one piece. There was room for them when it was called.
    fn write_part(&self, len: usize, packet: bool, nonblocking: bool, source: &mut Source<'_>) -> SysResult {
        let mut small = [0; SMALL];
        let mut page = None;
        let count = if len <= SMALL {
            source.take(&mut small[..len])?
        } else {
            let pages = self.state.borrow_mut().page()?;
            let count = source.take_span(pages.span().slice(0, len))?;
            page = Some(pages);
            count
        };
        if count == 0 {
            return Ok(0);
        }
        loop {
            {
                let mut state = self.state.borrow_mut();
                if state.readers > 0 && state.fits(count, packet) {
                    let merged = !packet
                        && state.merge(count, |to, at| match &page {
                            None => to.span().slice(at, count).write(&small[..count]),
                            Some(from) => to.span().slice(at, count).copy_from(from.span().slice(0, count)),
                        });
                    match (merged, page) {
                        (true, None) => {}
                        (true, Some(spare)) if state.spares.len() < SPARES => state.spares.push(spare),
                        (true, Some(_)) => {}
                        (false, page) => {
                            let pages = match page {
                                Some(pages) => pages,
                                None => {
                                    let pages = state.page()?;
                                    pages.span().write(&small[..count]);
                                    pages
                                }
                            };
                            state.push(Chunk { pages, offset: 0, len: count, packet, mergeable: !packet });
                        }
                    }
                    return Ok(count);
                }
            }
            // The copy slept, and somebody else took the room.
            self.wait_fit(count, packet, nonblocking)?;
        }
    }
}

fn interrupted(_end: WaitEnd) -> Errno {
    Errno::ERESTARTSYS
}

/// One open of a pipe: the object of an `OpenFile`. May read, write, or both, as it was opened.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// `writer_opens` when a reader opened without waiting for a writer: no hang-up before one has come.
    ignored_hangup: Option<u64>,
}

/// pipe2(2): the open files of the read end and the write end. `flags`: O_NONBLOCK and O_DIRECT.
pub fn create(flags: u32) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let pipe = Pipe::new();
    let flags = flags & (raw::O_NONBLOCK | raw::O_DIRECT);
    let read = PipeEnd::join(&pipe, raw::O_RDONLY);
    let write = PipeEnd::join(&pipe, raw::O_WRONLY);
    (
        OpenFile::new(Arc::new(read), flags | raw::O_RDONLY, None),
        OpenFile::new(Arc::new(write), flags | raw::O_WRONLY, None),
    )
}

impl PipeEnd {
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    fn join(pipe: &Arc<Pipe>, flags: u32) -> Self {
        let access = flags & raw::O_ACCMODE;
        let (reads, writes) = (access != raw::O_WRONLY, access != raw::O_RDONLY);
        let mut state = pipe.state.borrow_mut();
        state.readers += usize::from(reads);
        state.reader_opens += u64::from(reads);
        state.writers += usize::from(writes);
        state.writer_opens += u64::from(writes);
        state.both += usize::from(reads && writes);
        Self { pipe: pipe.clone(), reads, writes, ignored_hangup: None }
    }

    /// Opens a FIFO as fifo(7) says: blocks for the other side unless O_NONBLOCK or O_RDWR. `pipe` is the inode's own.
    pub fn open(pipe: &Arc<Pipe>, flags: u32) -> Result<Arc<Self>, Errno> {
        let nonblocking = flags & raw::O_NONBLOCK != 0;
        let access = flags & raw::O_ACCMODE;
        if access == raw::O_WRONLY && nonblocking && pipe.state.borrow().readers == 0 {
            return Err(Errno::ENXIO);
        }
        let mut end = Self::join(pipe, flags);
        // The other side may wait in its own open.
        pipe.wake_everybody();
        let (alone, reader_opens, writer_opens) = {
            let state = pipe.state.borrow();
            let alone = match access {
                raw::O_RDONLY => state.writers == 0,
                raw::O_WRONLY => state.readers == 0,
                _ => false,
            };
            (alone, state.reader_opens, state.writer_opens)
        };
        if alone && nonblocking {
            end.ignored_hangup = Some(writer_opens);
        } else if alone {
            let (queue, reads) = match end.reads {
                true => (&pipe.readable, true),
                false => (&pipe.writable, false),
            };
            let came = wait_event(&[queue], WaitLimit::default(), || {
                let state = pipe.state.borrow();
                let changed = match reads {
                    true => state.writer_opens != writer_opens,
                    false => state.reader_opens != reader_opens,
                };
                changed.then_some(())
            });
            came.map_err(interrupted)?;
        }
        Ok(Arc::new(end))
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        {
            let mut state = self.pipe.state.borrow_mut();
            state.readers -= usize::from(self.reads);
            state.writers -= usize::from(self.writes);
            state.both -= usize::from(self.reads && self.writes);
            if state.readers == 0 && state.writers == 0 {
                // Nobody is left: a FIFO forgets its contents.
                state.chunks.clear();
                state.spares.clear();
                state.bytes = 0;
                return;
            }
            if state.readers > 0 && state.writers > 0 {
                return;
            }
        }
        self.pipe.wake_everybody();
    }
}

impl File for PipeEnd {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        let count = self.pipe.read(of.nonblocking(), sink)?;
        if let Some(path) = of.path.as_ref().filter(|_| count > 0) {
            path.touch_accessed();
        }
        Ok(count)
    }

    fn write(&self, of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        let count = self.pipe.write(of.nonblocking(), of.flags() & raw::O_DIRECT != 0, source)?;
        if let Some(path) = of.path.as_ref().filter(|_| count > 0) {
            path.inode().touch_modified();
        }
        Ok(count)
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        match command {
            linux_raw_sys::ioctl::FIONREAD => {
                user::write(argument, &(self.pipe.len() as i32))?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        let state = self.pipe.state.borrow();
        let mut events = 0;
        if self.reads {
            if !state.chunks.is_empty() {
                events |= READABLE;
            }
            if state.writers == 0 && self.ignored_hangup != Some(state.writer_opens) {
                events |= EPOLLHUP;
            }
        }
        if self.writes {
            if !state.full() {
                events |= WRITABLE;
            }
            if state.readers == 0 {
                events |= EPOLLERR;
            }
        }
        events
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(if self.reads { &self.pipe.readable } else { &self.pipe.writable })
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.pipe.identity.stat())
    }

    fn link(&self) -> String {
        format!("pipe:[{}]", self.pipe.identity.ino())
    }

    /// Only pipes without a name come here: a FIFO is opened by its inode.
    fn reopen(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        // Unlike a FIFO's, its opens do not wait for each other.
        let end = Self::join(&self.pipe, flags);
        self.pipe.wake_everybody();
        Ok(Arc::new(end))
    }
}

#[cfg(test)]
mod tests;
