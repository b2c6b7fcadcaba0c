//! Open files: descriptors, open file descriptions, and what they can be open on.
//!
//! `File` is what can be read, written and polled (a regular file, a pipe end, a socket, an epoll instance, ...);
//! `OpenFile` is open(2)'s open file description around one: status flags, cursor, owner. `FdTable` (`table`) maps
//! descriptors to open files. An object blocks by `task::wait::wait_event` and honours `OpenFile::nonblocking`.

pub mod aio;
pub mod anon;
pub mod copy;
pub mod epoll;
pub mod eventfd;
pub mod io;
pub mod lease;
pub mod locks;
pub mod owner;
pub mod pidfd;
pub mod pipe;
pub mod poll;
pub mod regular;
pub mod signalfd;
pub mod splice;
pub mod table;
pub mod timerfd;

use crate::errno::{Errno, SysResult};
use crate::fs::remote::{self, RemoteFile};
use crate::task::wait::WaitQueue;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use husk_machine::cell::KCell;
use husk_machine::page::Pages;
use io::{Sink, Source};
use linux_raw_sys::general::{
    IN_CLOSE_NOWRITE, IN_CLOSE_WRITE, O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY,
    SEEK_CUR, SEEK_END, SEEK_SET,
};

/// What an open file description can be open on.
///
/// Readiness is a mask of EPOLL* bits. `read` and `write` block unless `of.nonblocking()`, and end with ERESTARTSYS
/// (or a partial count) when interrupted.
pub trait File: Any + Send + Sync {
    /// Reads at `at`; streams ignore `at`. 0 is the end of the file.
    fn read(&self, of: &OpenFile, at: u64, sink: &mut Sink<'_>) -> SysResult {
        let _ = (of, at, sink);
        Err(Errno::EINVAL)
    }

    /// Writes at `at`; streams ignore `at`. With O_APPEND the object itself writes at its end.
    fn write(&self, of: &OpenFile, at: u64, source: &mut Source<'_>) -> SysResult {
        let _ = (of, at, source);
        Err(Errno::EINVAL)
    }

    /// Whether the object has no positions: lseek and pread give ESPIPE.
    fn is_stream(&self) -> bool {
        true
    }

    /// lseek(2): the new position. The default serves streams.
    fn seek(&self, of: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        let _ = (of, offset, whence);
        Err(Errno::ESPIPE)
    }

    fn ioctl(&self, of: &OpenFile, command: u32, argument: usize) -> SysResult {
        let _ = (of, command, argument);
        Err(Errno::ENOTTY)
    }

    /// The EPOLL* bits that hold now. Objects without a queue are always ready.
    fn poll(&self, of: &OpenFile) -> u32 {
        let _ = of;
        use linux_raw_sys::general::{EPOLLIN, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM};
        EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM
    }

    /// The queue that is woken when readiness may have changed. `None`: always ready, and epoll refuses it (EPERM).
    fn wait_queue(&self, of: &OpenFile) -> Option<&WaitQueue> {
        let _ = of;
        None
    }

    fn stat(&self) -> Result<crate::fs::Stat, Errno>;

    /// The page at page number `index`, for a mapping. Shared writable mappings ask with `for_write`, and holes are
    /// filled then.
    fn page(&self, index: u64, for_write: bool) -> Result<FilePage, Errno> {
        let _ = (index, for_write);
        Err(Errno::ENODEV)
    }

    /// The same object opened anew, as open(2) of its link in /proc/PID/fd does: ENXIO for those that cannot be.
    fn reopen(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let _ = flags;
        Err(Errno::ENXIO)
    }

    /// What readlink(2) of /proc/PID/fd/N gives when the open file has no path.
    fn link(&self) -> String {
        anon::link("inode")
    }

    /// Lines of /proc/PID/fdinfo/N that this kind of object adds.
    fn fdinfo(&self, out: &mut String) {
        let _ = out;
    }

    /// The last descriptor on this open file was closed.
    fn release(&self, of: &OpenFile) {
        let _ = of;
    }
}

impl dyn File {
    /// The object as its own type, for calls that serve one kind only (sockets, epoll, ...).
    pub fn downcast<T: File>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }
}

/// A page of a file, as a mapping needs it.
pub enum FilePage {
    /// In the root image: `offset` from its start; the `run` pages from here on follow each other there.
    Image { offset: usize, run: usize },
    /// In memory: page number `index` of `pages`, and the `run` pages from there on are those that follow in the file.
    /// The mapping keeps them alive even if the file is truncated.
    Memory { pages: Arc<Pages>, index: usize, run: usize },
    /// A hole that reads as zeros.
    Zero,
    /// Past the end of the file: an access is SIGBUS.
    Beyond,
}

/// Besides the O_* flags of an open file: it was opened to be run as a program. Linux calls it __FMODE_EXEC.
pub const OPENED_TO_RUN: u32 = 0x20;

/// An open file description.
pub struct OpenFile {
    pub object: Arc<dyn File>,
    /// O_* status flags and access mode. Creation flags are not kept.
    flags: KCell<u32>,
    position: KCell<u64>,
    /// Where it was found, for /proc/self/fd, fchdir and *at calls; `None` for pipes, sockets and the like.
    pub path: Option<crate::fs::Path>,
    /// Registrations of epoll instances that watch this open file.
    watchers: KCell<Vec<Weak<epoll::Item>>>,
    async_state: KCell<owner::AsyncState>,
}

impl OpenFile {
    pub fn new(object: Arc<dyn File>, flags: u32, path: Option<crate::fs::Path>) -> Arc<Self> {
        let file = Arc::new(Self {
            object,
            flags: KCell::new(flags),
            position: KCell::new(0),
            path,
            watchers: KCell::default(),
            async_state: KCell::default(),
        });
        file.count_use(1);
        file
    }

    /// Tells the inode of an open file that may write, or that runs, that it comes (1) or goes (-1).
    fn count_use(&self, by: i32) {
        let program = self.flags.get() & OPENED_TO_RUN != 0;
        if let Some(path) = &self.path
            && (program || self.writable())
        {
            path.inode().change_users(by, program);
        }
    }

    pub fn flags(&self) -> u32 {
        self.flags.get()
    }

    pub fn set_flags(&self, flags: u32) {
        self.flags.set(flags);
    }

    pub fn nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    pub fn appending(&self) -> bool {
        self.flags() & O_APPEND != 0
    }

    pub fn readable(&self) -> bool {
        matches!(self.flags() & (O_ACCMODE | O_PATH), O_RDONLY | O_RDWR)
    }

    pub fn writable(&self) -> bool {
        matches!(self.flags() & (O_ACCMODE | O_PATH), O_WRONLY | O_RDWR)
    }

    pub fn position(&self) -> u64 {
        self.position.get()
    }

    pub fn set_position(&self, position: u64) {
        self.position.set(position);
    }

    /// What fstat(2) tells: of the inode that was opened, where there is one.
    pub fn stat(&self) -> Result<crate::fs::Stat, Errno> {
        match &self.path {
            Some(path) if self.object.downcast::<RemoteFile>().is_none() => {
                path.inode().refresh()?;
                Ok(path.inode().stat())
            }
            _ => self.object.stat(),
        }
    }

    /// read(2).
    pub fn read(&self, sink: &mut Sink<'_>) -> SysResult {
        if !self.readable() {
            return Err(Errno::EBADF);
        }
        if self.object.is_stream() {
            return self.object.read(self, 0, sink);
        }
        let at = self.position();
        let count = self.object.read(self, at, sink)?;
        self.set_position(at + count as u64);
        Ok(count)
    }

    /// write(2).
    pub fn write(&self, source: &mut Source<'_>) -> SysResult {
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        if self.object.is_stream() {
            return self.object.write(self, 0, source);
        }
        let at = if self.appending() { self.object.stat()?.size } else { self.position() };
        let count = self.object.write(self, at, source)?;
        self.set_position(at + count as u64);
        Ok(count)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.count_use(-1);
        for item in self.watchers.take().iter().filter_map(Weak::upgrade) {
            item.file_closed(self);
        }
        if let Some(path) = &self.path
            && self.flags.get() & O_PATH == 0
        {
            if let Some(locks) = path.inode().locks() {
                if path.inode().is_remote() {
                    let owner = locks::Owner::open(self);
                    let (records, whole) = locks.holds(owner);
                    if records {
                        remote::locks::unlock(path.inode(), owner, 0, u64::MAX);
                    }
                    if whole {
                        remote::locks::unlock_whole(path.inode(), owner);
                    }
                }
                locks.open_file_gone(self);
            }
            crate::fs::notify::event(
                &path.entry,
                if self.writable() { IN_CLOSE_WRITE } else { IN_CLOSE_NOWRITE },
            );
        }
        self.object.release(self);
    }
}

/// lseek(2) in an object of `size` bytes without holes: sets and returns the new position.
pub fn seek_within(of: &OpenFile, offset: i64, whence: u32, size: u64) -> Result<u64, Errno> {
    let base = match whence {
        SEEK_SET => 0,
        SEEK_CUR => of.position() as i64,
        SEEK_END => size as i64,
        _ => return Err(Errno::EINVAL),
    };
    let position = base.checked_add(offset).ok_or(Errno::EINVAL)?;
    let position = u64::try_from(position).map_err(|_| Errno::EINVAL)?;
    of.set_position(position);
    Ok(position)
}
