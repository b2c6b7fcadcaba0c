//! Unix sockets: stream, datagram and sequenced packets, inside the guest.
//!
//! What is sent goes straight into the receiver's inbox. A connected stream is a pair of endpoints that hold each other
//! until one is closed. Linux's rules for errors and buffers are kept: a sender is limited by its own send buffer, a
//! datagram receiver also by the number of messages that wait.

pub mod garbage;
pub mod names;
mod transfer;

use super::addr::{Address, UnixName};
use super::message::{Ancillary, Outgoing, Received};
use super::option::int_value;
use super::payload::Queue;
use super::{Common, Patience, Protocol, READABLE, STATE_CHANGED, Shutdown, WRITABLE, addr};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::mem::user;
use crate::task::cred::{Gid, Uid};
use crate::task::{self, Task};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use garbage::InFlight;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLWRBAND};
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net::{
    AF_UNIX, AF_UNSPEC, SO_ACCEPTCONN, SO_PEERCRED, SO_PEERGROUPS, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET,
    SOCK_STREAM, SOL_SOCKET,
};
use names::{Key, Wanted};

/// Datagrams that may wait at one socket: net.unix.max_dgram_qlen.
const DATAGRAMS_MAX: usize = 10;
/// The most that listen(2) grants: net.core.somaxconn.
pub const BACKLOG_MAX: i32 = 4096;

/// Who is at the other end: what SO_PEERCRED and SO_PEERGROUPS tell.
struct PeerIdentity {
    pid: i32,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl PeerIdentity {
    fn of(task: &Task) -> Arc<Self> {
        let cred = task.cred();
        Arc::new(Self { pid: task.pid(), uid: cred.euid, gid: cred.egid, groups: cred.groups.clone() })
    }
}

#[derive(Default)]
enum Link {
    #[default]
    None,
    /// The other end, also after it was closed.
    Peer(Arc<Endpoint>),
    Listener {
        backlog: usize,
        pending: VecDeque<Arc<Endpoint>>,
    },
}

#[derive(Default)]
struct State {
    name: Option<UnixName>,
    /// What to release when the endpoint that bound the name is closed.
    key: Option<Key>,
    link: Link,
    inbox: Queue<Ancillary>,
    shutdown: Shutdown,
    closed: bool,
    /// The server's end of a connection that waits in the backlog.
    unaccepted: bool,
    /// Endpoints that found this inbox full and are to be woken when there is room.
    starved: Vec<Weak<Endpoint>>,
    /// This process's identity when it called listen(2), for those who connect.
    own_identity: Option<Arc<PeerIdentity>>,
    peer_identity: Option<Arc<PeerIdentity>>,
}

/// A Unix socket.
pub struct Endpoint {
    common: Common,
    me: Weak<Endpoint>,
    state: KCell<State>,
}

impl Endpoint {
    pub(super) fn create(kind: u32, protocol: u32) -> Result<Arc<Self>, Errno> {
        if protocol != 0 && protocol != AF_UNIX {
            return Err(Errno::EPROTONOSUPPORT);
        }
        match kind {
            SOCK_STREAM | SOCK_DGRAM | SOCK_SEQPACKET => Ok(Self::new(kind)),
            // As on Linux, for programs from before datagrams had their name.
            SOCK_RAW => Ok(Self::new(SOCK_DGRAM)),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    fn new(kind: u32) -> Arc<Self> {
        let endpoint = Arc::new_cyclic(|me| Self {
            common: Common::new(AF_UNIX, kind, 0),
            me: me.clone(),
            state: KCell::default(),
        });
        OPEN.borrow_mut().insert(endpoint.common.ino, endpoint.me.clone());
        endpoint
    }

    /// socketpair(2) without the descriptors.
    pub fn pair(kind: u32, protocol: u32) -> Result<(Arc<Self>, Arc<Self>), Errno> {
        let (a, b) = (Self::create(kind, protocol)?, Self::create(kind, protocol)?);
        let identity = PeerIdentity::of(&task::current());
        for (one, other) in [(&a, &b), (&b, &a)] {
            let mut state = one.state.borrow_mut();
            state.link = Link::Peer(other.clone());
            state.peer_identity = Some(identity.clone());
        }
        Ok((a, b))
    }

    /// The endpoint behind a protocol, if it is of this family.
    pub fn of(protocol: &dyn Protocol) -> Option<&Self> {
        (protocol as &dyn Any).downcast_ref()
    }

    fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("an endpoint in use is alive")
    }

    fn is(&self, kind: u32) -> bool {
        self.common.kind == kind
    }

    fn peer(&self) -> Option<Arc<Self>> {
        match &self.state.borrow().link {
            Link::Peer(peer) => Some(peer.clone()),
            _ => None,
        }
    }

    fn wake(&self, events: u32) {
        self.common.queue.wake(events);
    }

    /// The endpoint that an address leads to, of the same kind as this one.
    fn resolve(&self, task: &Arc<Task>, address: &[u8]) -> Result<Arc<Self>, Errno> {
        let key = match names::decode(address)? {
            Wanted::Unnamed => return Err(Errno::EINVAL),
            Wanted::Abstract(name) => Key::Abstract(self.common.kind, name),
            Wanted::Path(path) => names::look_up(task, &path)?,
        };
        let found = names::find(&key).ok_or(Errno::ECONNREFUSED)?;
        if found.common.kind != self.common.kind {
            return Err(Errno::EPROTOTYPE);
        }
        Ok(found)
    }

    fn autobind(&self) -> Result<(), Errno> {
        if self.state.borrow().name.is_some() {
            return Ok(());
        }
        let (key, name) = names::claim_any(self.common.kind, &self.me())?;
        let mut state = self.state.borrow_mut();
        state.key = Some(key);
        state.name = Some(name);
        Ok(())
    }

    /// SO_PASSCRED on an unnamed socket gives it a name, so that the other end can answer.
    fn autobind_for_credentials(&self) -> Result<(), Errno> {
        if self.common.options.borrow().pass_credentials { self.autobind() } else { Ok(()) }
    }

    fn connect_stream(&self, task: &Arc<Task>, address: &[u8], patience: Patience) -> Result<(), Errno> {
        self.autobind_for_credentials()?;
        loop {
            let listener = self.resolve(task, address)?;
            match self.state.borrow().link {
                Link::None => {}
                Link::Peer(_) => return Err(Errno::EISCONN),
                Link::Listener { .. } => return Err(Errno::EINVAL),
            }
            if listener.backlog_room()? {
                self.enter(&listener, task);
                listener.wake(READABLE);
                return Ok(());
            }
            patience.wait(&listener.common.queue, false, || listener.backlog_room() != Ok(false))?;
        }
    }

    /// Whether a listener has room for one more; ECONNREFUSED when it does not listen.
    fn backlog_room(&self) -> Result<bool, Errno> {
        let state = self.state.borrow();
        match &state.link {
            Link::Listener { backlog, pending } if !state.shutdown.read && !state.closed => {
                Ok(pending.len() <= *backlog)
            }
            _ => Err(Errno::ECONNREFUSED),
        }
    }

    /// Makes the server's end of a connection and puts it into the listener's backlog.
    fn enter(&self, listener: &Arc<Self>, task: &Task) {
        let server = Self::new(self.common.kind);
        {
            let listening = listener.common.options.borrow();
            let mut options = server.common.options.borrow_mut();
            options.pass_credentials = listening.pass_credentials;
            options.send_buffer = listening.send_buffer;
            options.receive_buffer = listening.receive_buffer;
        }
        let mut listening = listener.state.borrow_mut();
        {
            let mut state = server.state.borrow_mut();
            state.name.clone_from(&listening.name);
            state.link = Link::Peer(self.me());
            state.peer_identity = Some(PeerIdentity::of(task));
            state.unaccepted = true;
        }
        {
            let mut state = self.state.borrow_mut();
            state.link = Link::Peer(server.clone());
            state.peer_identity.clone_from(&listening.own_identity);
        }
        if let Link::Listener { pending, .. } = &mut listening.link {
            pending.push_back(server);
        }
    }

    fn connect_datagram(&self, task: &Arc<Task>, address: &[u8]) -> Result<(), Errno> {
        let peer = if addr::family(address) == Some(AF_UNSPEC) {
            None
        } else {
            self.autobind_for_credentials()?;
            let peer = self.resolve(task, address)?;
            if !peer.accepts_from(self) {
                return Err(Errno::EPERM);
            }
            Some(peer)
        };
        let link = peer.map_or(Link::None, Link::Peer);
        let old = core::mem::replace(&mut self.state.borrow_mut().link, link);
        drop(old);
        self.wake(WRITABLE);
        Ok(())
    }

    /// Whether a datagram socket takes messages from `sender`: a connected one only from its peer.
    fn accepts_from(&self, sender: &Self) -> bool {
        match &self.state.borrow().link {
            Link::Peer(peer) => core::ptr::eq(Arc::as_ptr(peer), sender),
            _ => true,
        }
    }

    /// Calls `visit` for every descriptor in the inbox, and in those of connections not accepted yet.
    fn for_each_right(&self, visit: &mut dyn FnMut(&InFlight)) {
        let state = self.state.borrow();
        for segment in state.inbox.iter() {
            segment.extra.rights.iter().for_each(&mut *visit);
        }
        if let Link::Listener { pending, .. } = &state.link {
            for server in pending {
                server.for_each_right(visit);
            }
        }
    }

    /// Takes those descriptors out.
    fn take_rights(&self, into: &mut Vec<InFlight>) {
        let mut state = self.state.borrow_mut();
        for segment in state.inbox.iter_mut() {
            into.append(&mut segment.extra.rights);
        }
        if let Link::Listener { pending, .. } = &state.link {
            for server in pending {
                server.take_rights(into);
            }
        }
    }

    /// Wakes those who found this inbox full, if it has room for them now.
    fn feed_starved(&self) {
        if self.state.borrow().starved.is_empty() {
            return;
        }
        let starved = core::mem::take(&mut self.state.borrow_mut().starved);
        for endpoint in starved.iter().filter_map(Weak::upgrade) {
            // Who still has no room goes back to the list.
            if endpoint.room_at(self) {
                endpoint.wake(WRITABLE | EPOLLWRBAND);
            }
        }
    }

    /// Asks for a wake-up when the peer's inbox has room.
    fn starve_at(&self, peer: &Self) {
        let starved = &mut peer.state.borrow_mut().starved;
        if !starved.iter().any(|other| other.ptr_eq(&self.me)) {
            starved.push(self.me.clone());
        }
    }
}

impl Protocol for Endpoint {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(&self, task: &Arc<Task>, address: &[u8]) -> Result<(), Errno> {
        let wanted = names::decode(address)?;
        if let Wanted::Unnamed = wanted {
            return self.autobind();
        }
        if self.state.borrow().name.is_some() {
            // Linux tries to make the file before it looks at the socket.
            return Err(match wanted {
                Wanted::Path(path) if names::exists(task, &path) => Errno::EADDRINUSE,
                _ => Errno::EINVAL,
            });
        }
        let (key, name) = match wanted {
            Wanted::Unnamed => return Err(Errno::EINVAL),
            Wanted::Abstract(name) => (Key::Abstract(self.common.kind, name.clone()), name),
            Wanted::Path(path) => (names::make(task, &path)?, path),
        };
        names::claim(key.clone(), &self.me())?;
        let mut state = self.state.borrow_mut();
        state.key = Some(key);
        state.name = Some(name);
        Ok(())
    }

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        if self.is(SOCK_DGRAM) {
            return Err(Errno::EOPNOTSUPP);
        }
        let identity = PeerIdentity::of(&task::current());
        {
            let mut state = self.state.borrow_mut();
            if state.name.is_none() {
                return Err(Errno::EINVAL);
            }
            // A negative number means the most, as it does where Linux compares it unsigned.
            let wanted = if backlog < 0 { BACKLOG_MAX } else { backlog.min(BACKLOG_MAX) } as usize;
            match &mut state.link {
                Link::None => state.link = Link::Listener { backlog: wanted, pending: VecDeque::new() },
                Link::Listener { backlog, .. } => *backlog = wanted,
                Link::Peer(_) => return Err(Errno::EINVAL),
            }
            state.own_identity = Some(identity);
        }
        self.wake(WRITABLE);
        Ok(())
    }

    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        if self.is(SOCK_DGRAM) {
            return Err(Errno::EOPNOTSUPP);
        }
        let server = {
            let mut state = self.state.borrow_mut();
            let ended = state.shutdown.read;
            match &mut state.link {
                Link::Listener { pending, .. } => match pending.pop_front() {
                    Some(server) => server,
                    None if ended => return Err(Errno::EINVAL),
                    None => return Err(Errno::EAGAIN),
                },
                _ => return Err(Errno::EINVAL),
            }
        };
        server.state.borrow_mut().unaccepted = false;
        // Those who wait for room in the backlog sleep on the listener too.
        self.common.queue.wake_all(WRITABLE);
        Ok(server)
    }

    fn connect(&self, task: &Arc<Task>, address: &[u8], patience: Patience) -> Result<(), Errno> {
        if self.is(SOCK_DGRAM) {
            self.connect_datagram(task, address)
        } else {
            self.connect_stream(task, address, patience)
        }
    }

    fn name(&self) -> Result<Address, Errno> {
        Ok(Address::Unix(self.state.borrow().name.clone()))
    }

    fn peer_name(&self) -> Result<Address, Errno> {
        self.peer().ok_or(Errno::ENOTCONN)?.name()
    }

    fn send(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        if self.is(SOCK_STREAM) {
            self.send_stream(source, message)
        } else {
            self.send_message(source, message)
        }
    }

    fn send_ready(&self, message: &Outgoing<'_>) -> bool {
        let target = if message.to.is_empty() || self.is(SOCK_SEQPACKET) {
            self.peer()
        } else {
            self.resolve(&task::current(), message.to).ok()
        };
        match target {
            // The attempt will say what is wrong.
            None => true,
            Some(target) => self.room_at(&target),
        }
    }

    fn receive(&self, sink: &mut Sink<'_>, flags: u32, received: &mut Received) -> SysResult {
        if self.is(SOCK_STREAM) {
            self.receive_stream(sink, flags, received)
        } else {
            self.receive_message(sink, flags, received)
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        self.state.borrow_mut().shutdown.add(how);
        self.common.queue.wake_all(STATE_CHANGED);
        if !self.is(SOCK_DGRAM)
            && let Some(peer) = self.peer()
        {
            peer.state.borrow_mut().shutdown.add(how.mirrored());
            peer.common.queue.wake_all(STATE_CHANGED);
        }
        Ok(())
    }

    fn poll(&self) -> u32 {
        let mut events = 0;
        let peer = {
            let state = self.state.borrow();
            if state.shutdown == Shutdown::BOTH {
                events |= EPOLLHUP;
            }
            if state.shutdown.read {
                events |= EPOLLRDHUP | READABLE;
            }
            if !state.inbox.is_empty() {
                events |= READABLE;
            }
            match &state.link {
                Link::Listener { pending, .. } => {
                    return events | if pending.is_empty() { 0 } else { READABLE };
                }
                Link::None => {
                    if !self.is(SOCK_DGRAM) {
                        events |= EPOLLHUP;
                    }
                    None
                }
                Link::Peer(peer) => Some(peer.clone()),
            }
        };
        if self.common.has_error() {
            events |= EPOLLERR;
        }
        if peer.is_none_or(|peer| self.room_at(&peer)) {
            events |= WRITABLE | EPOLLWRBAND;
        }
        events
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != SOL_SOCKET {
            return Err(Errno::EOPNOTSUPP);
        }
        let state = self.state.borrow();
        match name {
            SO_ACCEPTCONN => Ok(int_value(matches!(state.link, Link::Listener { .. }))),
            SO_PEERCRED => {
                let identity = state.peer_identity.as_deref();
                let fields =
                    identity.map_or([0, -1, -1], |peer| [peer.pid, peer.uid as i32, peer.gid as i32]);
                Ok(fields.into_iter().flat_map(i32::to_ne_bytes).collect())
            }
            SO_PEERGROUPS => match &state.peer_identity {
                Some(peer) => Ok(peer.groups.iter().flat_map(|gid| gid.to_ne_bytes()).collect()),
                None => Err(Errno::ENODATA),
            },
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_option(&self, level: u32, _name: u32, _value: &[u8]) -> Result<(), Errno> {
        Err(if level == SOL_SOCKET { Errno::ENOPROTOOPT } else { Errno::EOPNOTSUPP })
    }

    fn ioctl(&self, command: u32, argument: usize) -> SysResult {
        let count = match command {
            FIONREAD => {
                let state = self.state.borrow();
                match &state.link {
                    Link::Listener { .. } => return Err(Errno::EINVAL),
                    _ if self.is(SOCK_DGRAM) => state.inbox.front().map_or(0, |segment| segment.left()),
                    _ => state.inbox.bytes(),
                }
            }
            TIOCOUTQ => self.peer().map_or(0, |peer| peer.state.borrow().inbox.bytes()),
            _ => return super::interface::ioctl(command, argument),
        };
        user::write(argument, &(count as i32))?;
        Ok(0)
    }

    fn close(&self) {
        OPEN.borrow_mut().remove(&self.common.ino);
        let (link, key, unread, inbox) = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            state.shutdown = Shutdown::BOTH;
            let inbox = core::mem::take(&mut state.inbox);
            (core::mem::take(&mut state.link), state.key.take(), !inbox.is_empty(), inbox)
        };
        if let Some(key) = key {
            names::release(&key);
        }
        match link {
            Link::Peer(peer) => self.leave(&peer, unread),
            Link::Listener { pending, .. } => {
                for server in pending {
                    server.refuse();
                }
            }
            Link::None => {}
        }
        self.feed_starved();
        self.common.queue.wake_all(STATE_CHANGED);
        drop(inbox);
        garbage::collect();
    }
}

impl Endpoint {
    /// Tells the peer that this end is gone.
    fn leave(&self, peer: &Arc<Self>, unread: bool) {
        if self.is(SOCK_DGRAM) {
            let connected_back = !peer.accepts_from_anyone() && peer.accepts_from(self);
            if connected_back {
                // Its next send finds nobody; what it received from here stays.
                peer.wake(STATE_CHANGED);
            }
            return;
        }
        peer.state.borrow_mut().shutdown = Shutdown::BOTH;
        if unread {
            peer.common.set_error(Errno::ECONNRESET);
        }
        peer.common.queue.wake_all(STATE_CHANGED);
    }

    fn accepts_from_anyone(&self) -> bool {
        !matches!(self.state.borrow().link, Link::Peer(_))
    }

    /// Ends a connection that was never accepted.
    fn refuse(&self) {
        OPEN.borrow_mut().remove(&self.common.ino);
        let (link, inbox) = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            (core::mem::take(&mut state.link), core::mem::take(&mut state.inbox))
        };
        if let Link::Peer(peer) = link {
            self.leave(&peer, true);
        }
        drop(inbox);
    }
}

/// All open sockets by inode number, for /proc/net/unix.
static OPEN: Global<KCell<BTreeMap<u64, Weak<Endpoint>>>> = Global::new(KCell::default);

/// Describes all open sockets, by inode number.
pub fn all() -> Vec<Description> {
    OPEN.borrow().values().filter_map(Weak::upgrade).map(|endpoint| endpoint.describe()).collect()
}

/// What /proc/net/unix tells of a socket: kind, whether it listens, whether it is connected, inode number, name.
pub struct Description {
    pub kind: u32,
    pub listening: bool,
    pub connected: bool,
    pub ino: u64,
    pub name: Option<UnixName>,
}

impl Endpoint {
    fn describe(&self) -> Description {
        let state = self.state.borrow();
        Description {
            kind: self.common.kind,
            listening: matches!(state.link, Link::Listener { .. }),
            connected: matches!(state.link, Link::Peer(_)),
            ino: self.common.ino,
            name: state.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
