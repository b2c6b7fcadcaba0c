//! Sockets.
//!
//! A `Socket` is the file a descriptor names; behind it is an endpoint of one family, a `Protocol`. Endpoints never
//! block: they say EAGAIN, and `Socket` waits on the endpoint's queue, so timeouts, interruption and MSG_* flags that
//! concern waiting are dealt with once, here. An endpoint wakes its queue whenever `poll` or `send_ready` may have
//! changed. All state is guest memory. Callers: `syscall/socket.rs`, and read, write, poll through `File`.

pub mod addr;
pub mod inet;
pub mod interface;
pub mod message;
pub mod netlink;
pub mod option;
pub mod payload;
pub mod report;
pub mod unix;

use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::signal;
use crate::task::cred::{CAP_NET_RAW, Gid, Uid};
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use crate::task::{self, Task};
use crate::time::monotonic_ns;
use addr::Address;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLRDNORM, EPOLLWRNORM, O_NONBLOCK, O_RDWR,
    S_IFSOCK, SIGPIPE,
};
use linux_raw_sys::net::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, MSG_DONTWAIT, MSG_ERRQUEUE, MSG_NOSIGNAL, MSG_PEEK,
    MSG_WAITALL, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
};
use message::{Outgoing, Received};
use option::Options;

/// Readiness for reading, and for writing, as wake-ups announce them.
pub const READABLE: u32 = EPOLLIN | EPOLLRDNORM;
pub const WRITABLE: u32 = EPOLLOUT | EPOLLWRNORM;
/// All that a change of a connection's state may touch.
pub const STATE_CHANGED: u32 = READABLE | WRITABLE | EPOLLHUP | EPOLLRDHUP | EPOLLERR;

/// Which directions shutdown(2), or the peer, has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    pub read: bool,
    pub write: bool,
}

impl Shutdown {
    pub const BOTH: Self = Self { read: true, write: true };

    /// The `how` of shutdown(2).
    pub fn from_how(how: u32) -> Result<Self, Errno> {
        match how {
            0 => Ok(Self { read: true, write: false }),
            1 => Ok(Self { read: false, write: true }),
            2 => Ok(Self::BOTH),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What the other end of a connection feels of it.
    pub fn mirrored(self) -> Self {
        Self { read: self.write, write: self.read }
    }

    pub fn add(&mut self, other: Self) {
        self.read |= other.read;
        self.write |= other.write;
    }
}

/// What every endpoint has, whatever its family.
pub struct Common {
    pub domain: u32,
    /// SOCK_STREAM and so on.
    pub kind: u32,
    pub protocol: u32,
    /// The inode number that fstat(2) and /proc show.
    pub ino: u64,
    /// Who made it.
    pub owner: (Uid, Gid),
    pub options: KCell<Options>,
    /// Woken when readiness may have changed.
    pub queue: WaitQueue,
    /// The error that the next call, or SO_ERROR, reports once.
    error: KCell<Option<Errno>>,
}

static LAST_INO: Global<KCell<u64>> = Global::new(|| KCell::new(1 << 16));

impl Common {
    pub fn new(domain: u32, kind: u32, protocol: u32) -> Self {
        let ino = LAST_INO.get() + 1;
        LAST_INO.set(ino);
        let cred = task::current().cred();
        Self {
            domain,
            kind,
            protocol,
            ino,
            owner: (cred.fsuid, cred.fsgid),
            options: KCell::default(),
            queue: WaitQueue::new(),
            error: KCell::default(),
        }
    }

    pub fn set_error(&self, error: Errno) {
        self.error.set(Some(error));
    }

    pub fn has_error(&self) -> bool {
        self.error.get().is_some()
    }

    pub fn take_error(&self) -> Option<Errno> {
        self.error.take()
    }

    /// Fails with the pending error, if there is one.
    pub fn check_error(&self) -> Result<(), Errno> {
        self.take_error().map_or(Ok(()), Err)
    }
}

/// How long a call that must wait may do so.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// Not at all: O_NONBLOCK or MSG_DONTWAIT.
    None,
    /// Until this time, in monotonic ns, or for ever.
    Until(Option<u64>),
}

impl Patience {
    /// Waits on `queue` until `ready`. `EAGAIN` at once without patience, and after the time; ERESTARTSYS or, where
    /// there is a timeout, EINTR by a signal, as signal(7) says for sockets.
    pub fn wait(
        self,
        queue: &WaitQueue,
        exclusive: bool,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Errno> {
        let Self::Until(deadline) = self else {
            // To look is to ask for a wake-up: an edge-triggered poller hears of the next change.
            let _ = ready();
            return Err(Errno::EAGAIN);
        };
        let limit = WaitLimit { deadline, exclusive, ..WaitLimit::default() };
        wait_event(&[queue], limit, || ready().then_some(())).map_err(|end| match end {
            WaitEnd::TimedOut => Errno::EAGAIN,
            WaitEnd::Interrupted if deadline.is_some() => Errno::EINTR,
            WaitEnd::Interrupted => Errno::ERESTARTSYS,
        })
    }
}

/// One end of communication, of some family. Nothing here blocks but `connect`. Addresses come as the caller wrote them.
pub trait Protocol: Any + Send + Sync {
    fn common(&self) -> &Common;

    fn bind(&self, task: &Arc<Task>, address: &[u8]) -> Result<(), Errno>;

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        let _ = backlog;
        Err(Errno::EOPNOTSUPP)
    }

    /// The next connection of a listener, or EAGAIN.
    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&self, task: &Arc<Task>, address: &[u8], patience: Patience) -> Result<(), Errno>;

    fn name(&self) -> Result<Address, Errno>;

    fn peer_name(&self) -> Result<Address, Errno>;

    /// Sends a message, or what a stream has room for; EAGAIN when there is no room at all.
    fn send(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult;

    /// Whether `send` need not wait. Registers for a wake-up when it does.
    fn send_ready(&self, message: &Outgoing<'_>) -> bool {
        let _ = message;
        self.poll() & (EPOLLOUT | EPOLLERR | EPOLLHUP) != 0
    }

    /// Receives a message, or what a stream holds; EAGAIN when there is nothing. Honours MSG_PEEK and MSG_TRUNC.
    fn receive(&self, sink: &mut Sink<'_>, flags: u32, received: &mut Received) -> SysResult;

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno>;

    /// The EPOLL* bits that hold now; registers for a wake-up for those that do not.
    fn poll(&self) -> u32;

    /// An option outside SOL_SOCKET, or one there that only the family knows.
    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        let _ = (level, name, value);
        Err(Errno::ENOPROTOOPT)
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        let _ = (level, name);
        Err(Errno::ENOPROTOOPT)
    }

    fn ioctl(&self, command: u32, argument: usize) -> SysResult;

    /// The last descriptor is gone.
    fn close(&self);
}

/// What a socket descriptor is open on.
pub struct Socket {
    pub protocol: Arc<dyn Protocol>,
}

impl Socket {
    /// socket(2) without the descriptor.
    pub fn create(
        task: &Arc<Task>,
        domain: u32,
        kind: u32,
        protocol: u32,
    ) -> Result<Arc<dyn Protocol>, Errno> {
        if !matches!(kind, SOCK_STREAM | SOCK_DGRAM | SOCK_RAW | SOCK_SEQPACKET) {
            return Err(if (1..11).contains(&kind) { Errno::ESOCKTNOSUPPORT } else { Errno::EINVAL });
        }
        match domain {
            AF_UNIX => Ok(unix::Endpoint::create(kind, protocol)?),
            AF_INET | AF_INET6 => inet::create(domain, kind, protocol),
            AF_NETLINK => Ok(netlink::Netlink::create(kind, protocol)?),
            // Frames of the outside are none of the guest's business.
            AF_PACKET if !task.cred().capable(CAP_NET_RAW) => Err(Errno::EPERM),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    /// An open file on an endpoint.
    pub fn open(protocol: Arc<dyn Protocol>, nonblocking: bool) -> Arc<OpenFile> {
        let flags = if nonblocking { O_RDWR | O_NONBLOCK } else { O_RDWR };
        OpenFile::new(Arc::new(Self { protocol }), flags, None)
    }

    /// The socket that a file is open on, or ENOTSOCK.
    pub fn of(file: &OpenFile) -> Result<&Self, Errno> {
        file.object.downcast::<Self>().ok_or(Errno::ENOTSOCK)
    }

    fn common(&self) -> &Common {
        self.protocol.common()
    }

    fn patience(of: &OpenFile, flags: u32, timeout: Option<u64>) -> Patience {
        if flags & MSG_DONTWAIT != 0 || of.nonblocking() {
            return Patience::None;
        }
        Patience::Until(timeout.map(|ns| monotonic_ns().saturating_add(ns)))
    }

    fn patience_to_send(&self, of: &OpenFile, flags: u32) -> Patience {
        Self::patience(of, flags, self.common().options.borrow().send_timeout)
    }

    fn patience_to_receive(&self, of: &OpenFile, flags: u32) -> Patience {
        Self::patience(of, flags, self.common().options.borrow().receive_timeout)
    }

    /// accept(2) without the descriptor.
    pub fn accept(&self, of: &OpenFile) -> Result<Arc<dyn Protocol>, Errno> {
        let mut patience = None;
        loop {
            match self.protocol.accept() {
                Err(Errno::EAGAIN) => {}
                result => return result,
            }
            patience.get_or_insert_with(|| self.patience_to_receive(of, 0)).wait(
                &self.common().queue,
                true,
                || self.protocol.poll() & (EPOLLIN | EPOLLHUP) != 0,
            )?;
        }
    }

    /// connect(2). SO_SNDTIMEO bounds it.
    pub fn connect(&self, of: &OpenFile, task: &Arc<Task>, address: &[u8]) -> Result<(), Errno> {
        self.protocol.connect(task, address, self.patience_to_send(of, 0))
    }

    /// sendmsg(2): a stream sends everything before it returns, unless it may not wait.
    pub fn send(&self, of: &OpenFile, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        let stream = self.common().kind == SOCK_STREAM;
        let mut total = 0;
        let mut patience = None;
        loop {
            match self.protocol.send(source, message) {
                Ok(sent) => {
                    total += sent;
                    if !stream || sent == 0 || source.left() == 0 {
                        return Ok(total);
                    }
                }
                Err(Errno::EAGAIN) => {
                    let waited = patience
                        .get_or_insert_with(|| self.patience_to_send(of, message.flags))
                        .wait(&self.common().queue, false, || self.protocol.send_ready(message));
                    match waited {
                        Ok(()) => {}
                        Err(_) if total > 0 => return Ok(total),
                        Err(error) => return Err(error),
                    }
                }
                Err(_) if total > 0 => return Ok(total),
                Err(error) => {
                    if error == Errno::EPIPE && stream && message.flags & MSG_NOSIGNAL == 0 {
                        signal::raise(SIGPIPE);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// recvmsg(2): a stream returns what there is, or with MSG_WAITALL fills the sink.
    pub fn receive(
        &self,
        of: &OpenFile,
        sink: &mut Sink<'_>,
        flags: u32,
        received: &mut Received,
    ) -> SysResult {
        if flags & MSG_ERRQUEUE != 0 && matches!(self.common().domain, AF_INET | AF_INET6) {
            // Errors are told by the calls themselves; the queue of them is always empty, and never waited for.
            return Err(Errno::EAGAIN);
        }
        let stream = self.common().kind == SOCK_STREAM;
        let mut wanted = 1;
        if stream && flags & MSG_PEEK == 0 {
            let low_water = self.common().options.borrow().receive_low_water as usize;
            wanted = if flags & MSG_WAITALL != 0 { usize::MAX } else { low_water };
        }
        let mut total = 0;
        let mut patience = None;
        loop {
            match self.protocol.receive(sink, flags, received) {
                Ok(count) => {
                    total += count;
                    if total >= wanted || count == 0 || sink.left() == 0 || received.ends {
                        return Ok(total);
                    }
                }
                Err(Errno::EAGAIN) => {
                    let interesting = EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
                    let waited = patience.get_or_insert_with(|| self.patience_to_receive(of, flags)).wait(
                        &self.common().queue,
                        false,
                        || self.protocol.poll() & interesting != 0,
                    );
                    match waited {
                        Ok(()) => {}
                        Err(_) if total > 0 => return Ok(total),
                        Err(error) => return Err(error),
                    }
                }
                Err(_) if total > 0 => return Ok(total),
                Err(error) => return Err(error),
            }
        }
    }
}

impl File for Socket {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        if sink.left() == 0 {
            return Ok(0);
        }
        self.receive(of, sink, 0, &mut Received::default())
    }

    fn write(&self, of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        self.send(of, source, &mut Outgoing::default())
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        self.protocol.ioctl(command, argument)
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        self.protocol.poll()
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.common().queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat {
            // The device number of Linux's sockfs: nothing else is on it.
            dev: 8,
            ino: self.common().ino,
            mode: S_IFSOCK | 0o777,
            nlink: 1,
            uid: self.common().owner.0,
            gid: self.common().owner.1,
            block_size: 4096,
            ..Stat::default()
        })
    }

    fn link(&self) -> String {
        format!("socket:[{}]", self.common().ino)
    }

    fn release(&self, _of: &OpenFile) {
        self.protocol.close();
    }
}
