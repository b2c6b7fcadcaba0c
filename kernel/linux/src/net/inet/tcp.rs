//! TCP between sockets of the guest.
//!
//! A connection is a pair of endpoints that hold each other; bytes go straight into the other's inbox, a FIN or RST is
//! a change of the other's state. The states that only packets on their way bring about (SYN_RECV, LAST_ACK, TIME_WAIT,
//! ...) do not exist: what Linux on its loopback reaches in microseconds is reached at once.

mod connect;

use super::options::IpOptions;
use super::ports::Table;
use super::{Description, any, decode_to_bind, is_local, present};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::mem::user;
use crate::net::addr::Address;
use crate::net::message::{Outgoing, Received};
use crate::net::option::{int, int_value};
use crate::net::payload::{Payload, Queue};
use crate::net::unix::BACKLOG_MAX;
use crate::net::{Common, Patience, Protocol, READABLE, STATE_CHANGED, Shutdown, WRITABLE, interface};
use crate::task::Task;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::SocketAddr;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{EPOLLERR, EPOLLHUP, EPOLLPRI, EPOLLRDHUP};
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net as raw;
use linux_raw_sys::net::{MSG_OOB, MSG_PEEK, MSG_TRUNC, SO_ACCEPTCONN, SOCK_STREAM, SOL_SOCKET, SOL_TCP};

const IPPROTO_TCP: u32 = 6;
/// The initial sizes of buffers: the middle values of net.ipv4.tcp_wmem and tcp_rmem.
const SEND_BUFFER: usize = 16_384;
/// What a connection's send buffer grows to: where Linux's own tuning ends on the loopback.
const SEND_BUFFER_CONNECTED: usize = 2_626_560;
const RECEIVE_BUFFER: usize = 131_072;
/// The most that one write puts into the inbox at a time.
const SEGMENT: usize = 64 << 10;
/// Asks whether the next byte is at the mark: sockatmark(3).
const SIOCATMARK: u32 = 0x8905;
/// The largest segment on a loopback of MTU 65536.
const MSS: u32 = 65483;

pub(super) static PORTS: Global<KCell<Table<Tcp>>> = Global::new(KCell::default);

#[derive(Default)]
enum Link {
    /// Not connected, or not any more.
    #[default]
    None,
    Listener {
        backlog: usize,
        pending: VecDeque<Arc<Tcp>>,
        /// Connections that wait for room in the backlog.
        waiting: VecDeque<Weak<Tcp>>,
    },
    /// Waits for room in a listener's backlog: SYN_SENT.
    Connecting(Weak<Tcp>),
    Peer(Arc<Tcp>),
}

/// Whether a segment is urgent data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Urgent(bool);

#[derive(Default)]
struct State {
    /// The local address, once bound; its port is claimed until the socket is closed.
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    link: Link,
    /// A segment may be the one byte of urgent data, which is the mark of sockatmark(3).
    inbox: Queue<Urgent>,
    /// The urgent byte, until recv(2) with MSG_OOB takes it.
    urgent: Option<u8>,
    /// `read`: a FIN or RST came, or shutdown(SHUT_RD). `write`: a FIN went out, or a RST came.
    shutdown: Shutdown,
    /// A FIN came: reads end with 0 whatever happens later.
    finished: bool,
    /// The last descriptor is gone; what arrives is answered by RST.
    closed: bool,
    /// The peer found the inbox full.
    starving: bool,
    /// connect(2) has not told its outcome yet.
    connecting: bool,
}

impl State {
    /// Urgent data came: only the last counts, an earlier byte that was not taken becomes part of the stream.
    fn push_urgent(&mut self, payload: Payload) {
        for segment in self.inbox.iter_mut() {
            segment.extra = Urgent(false);
        }
        self.urgent = payload.to_vec().first().copied();
        self.inbox.push(payload, Urgent(true));
    }

    /// A FIN went each way: nothing more can happen, and the socket counts as not connected.
    fn is_over(&self) -> bool {
        self.finished && self.shutdown.write
    }
}

/// What TCP options are kept: those whose effect the loopback has anyway, or that another call reports.
#[derive(Clone, Debug)]
struct TcpOptions {
    no_delay: bool,
    cork: bool,
    keep_idle: i32,
    keep_interval: i32,
    keep_count: i32,
    user_timeout: i32,
    quick_ack: bool,
    /// The name of a congestion control: on a loopback that loses nothing all of them do the same.
    congestion: &'static str,
}

/// net.ipv4.tcp_available_congestion_control; the first is the default.
const CONGESTION_CONTROLS: [&str; 2] = ["cubic", "reno"];
/// Bytes of such a name in getsockopt(2): TCP_CA_NAME_MAX.
const CONGESTION_NAME: usize = 16;

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            no_delay: false,
            cork: false,
            keep_idle: 7200,
            keep_interval: 75,
            keep_count: 9,
            user_timeout: 0,
            quick_ack: true,
            congestion: CONGESTION_CONTROLS[0],
        }
    }
}

/// A TCP socket.
pub struct Tcp {
    common: Common,
    me: Weak<Tcp>,
    state: KCell<State>,
    ip: KCell<IpOptions>,
    tcp: KCell<TcpOptions>,
}

impl Tcp {
    pub(in crate::net) fn create(domain: u32) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let common = Common::new(domain, SOCK_STREAM, IPPROTO_TCP);
            {
                let mut options = common.options.borrow_mut();
                options.send_buffer = SEND_BUFFER;
                options.receive_buffer = RECEIVE_BUFFER;
            }
            Self {
                common,
                me: me.clone(),
                state: KCell::default(),
                ip: KCell::default(),
                tcp: KCell::default(),
            }
        })
    }

    fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("an endpoint in use is alive")
    }

    fn peer(&self) -> Option<Arc<Self>> {
        match &self.state.borrow().link {
            Link::Peer(peer) => Some(peer.clone()),
            _ => None,
        }
    }

    fn wake_all(&self, events: u32) {
        self.common.queue.wake_all(events);
    }

    /// Bytes that may wait in `peer`'s inbox for this sender.
    fn window(&self, peer: &Self) -> usize {
        self.common.options.borrow().send_buffer + peer.common.options.borrow().receive_buffer
    }

    /// Whether poll(2) calls the socket writable: a third of the window is free. Asks for a wake-up if not.
    fn is_writable(&self, peer: &Self) -> bool {
        let window = self.window(peer);
        let mut state = peer.state.borrow_mut();
        let writable = state.closed || state.inbox.charge() <= window / 3 * 2;
        state.starving |= !writable;
        writable
    }

    /// A RST came: the connection is gone, what was received stays.
    fn reset(&self) {
        {
            let mut state = self.state.borrow_mut();
            drop(core::mem::take(&mut state.link));
            state.shutdown = Shutdown::BOTH;
            self.common.set_error(if state.finished { Errno::EPIPE } else { Errno::ECONNRESET });
        }
        self.wake_all(STATE_CHANGED);
    }

    /// A FIN came.
    fn finish(&self) {
        {
            let mut state = self.state.borrow_mut();
            state.finished = true;
            state.shutdown.read = true;
        }
        self.wake_all(STATE_CHANGED);
    }

    /// recv(2) with MSG_OOB: EINVAL when there is no urgent byte, or it is part of the stream.
    fn receive_urgent(&self, sink: &mut Sink<'_>, flags: u32, received: &mut Received) -> SysResult {
        let byte = match self.state.borrow().urgent {
            Some(byte) if !self.common.options.borrow().oob_inline => byte,
            _ => return Err(Errno::EINVAL),
        };
        let count = if flags & MSG_TRUNC == 0 { sink.put(&[byte])? } else { sink.left().min(1) };
        if flags & MSG_PEEK == 0 {
            self.state.borrow_mut().urgent = None;
        }
        received.flags |= MSG_OOB;
        received.ends = true;
        Ok(count)
    }

    /// After bytes were taken from the inbox: the sender goes on when a third of its window is free.
    fn feed(&self) {
        if !self.state.borrow().starving {
            return;
        }
        if let Some(peer) = self.peer() {
            let window = peer.window(self);
            let mut state = self.state.borrow_mut();
            if state.inbox.charge() <= window / 3 * 2 {
                state.starving = false;
                drop(state);
                peer.common.queue.wake(WRITABLE);
            }
        }
    }

    fn claim(&self, address: SocketAddr) -> Result<SocketAddr, Errno> {
        let v6_only = self.ip.borrow().v6_only;
        let port = PORTS.borrow_mut().claim(&self.common, address, v6_only, &self.me)?;
        let local = SocketAddr::new(address.ip(), port);
        self.state.borrow_mut().local = Some(local);
        Ok(local)
    }

    /// The number that TCP_INFO and /proc/net/tcp give the state.
    fn state_number(&self) -> u8 {
        let state = self.state.borrow();
        match (&state.link, state.finished, state.shutdown.write) {
            (Link::Listener { .. }, ..) => 10,
            (Link::Connecting(_), ..) => 2,
            (Link::None, ..) => 7,
            (Link::Peer(_), false, false) => 1,
            (Link::Peer(_), true, false) => 8,
            (Link::Peer(_), false, true) => 5,
            (Link::Peer(_), true, true) => 7,
        }
    }

    /// `struct tcp_info`, of which what a loopback connection has: the rest is zero.
    fn info(&self) -> Vec<u8> {
        let mut info = alloc::vec![0; size_of::<raw::tcp_info>()];
        let mut put =
            |offset: usize, value: u32| info[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        put(core::mem::offset_of!(raw::tcp_info, tcpi_snd_mss), MSS);
        put(core::mem::offset_of!(raw::tcp_info, tcpi_rcv_mss), MSS);
        put(core::mem::offset_of!(raw::tcp_info, tcpi_advmss), MSS);
        put(core::mem::offset_of!(raw::tcp_info, tcpi_pmtu), super::options::MTU);
        let unread = self.peer().map_or(0, |peer| peer.state.borrow().inbox.bytes());
        put(core::mem::offset_of!(raw::tcp_info, tcpi_unacked), (unread as u32).div_ceil(MSS));
        info[0] = self.state_number();
        info
    }

    fn describe(&self) -> Description {
        let unsent = self.peer().map_or(0, |peer| peer.state.borrow().inbox.bytes());
        let number = self.state_number();
        let any = SocketAddr::new(any(self.common.domain), 0);
        let state = self.state.borrow();
        Description {
            domain: self.common.domain,
            local: state.local.unwrap_or(any),
            remote: state.remote.unwrap_or(any),
            state: number,
            unsent,
            unread: match &state.link {
                Link::Listener { pending, .. } => pending.len(),
                _ => state.inbox.bytes(),
            },
            owner: self.common.owner.0,
            ino: self.common.ino,
        }
    }
}

/// What /proc/net/tcp tells of all sockets that have a port.
pub fn all() -> Vec<Description> {
    let sockets: Vec<Arc<Tcp>> = PORTS.borrow().all().collect();
    sockets.iter().map(|socket| socket.describe()).collect()
}

impl Protocol for Tcp {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(&self, _task: &Arc<Task>, address: &[u8]) -> Result<(), Errno> {
        let wanted = decode_to_bind(self.common.domain, address)?;
        if self.state.borrow().local.is_some() {
            return Err(Errno::EINVAL);
        }
        if !wanted.ip().is_unspecified() && !is_local(wanted.ip()) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.claim(wanted)?;
        Ok(())
    }

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        let wanted = if backlog < 0 { BACKLOG_MAX } else { backlog.min(BACKLOG_MAX) } as usize;
        {
            let mut state = self.state.borrow_mut();
            match &mut state.link {
                Link::Listener { backlog, .. } => {
                    *backlog = wanted;
                    return Ok(());
                }
                Link::None => {}
                Link::Peer(_) | Link::Connecting(_) => return Err(Errno::EINVAL),
            }
        }
        let local = self.state.borrow().local;
        let local = match local {
            Some(local) => local,
            None => self.claim(SocketAddr::new(any(self.common.domain), 0))?,
        };
        PORTS.borrow_mut().set_target(local.port(), self.common.ino, true)?;
        let mut state = self.state.borrow_mut();
        state.shutdown = Shutdown::default();
        state.link = Link::Listener { backlog: wanted, pending: VecDeque::new(), waiting: VecDeque::new() };
        Ok(())
    }

    fn accept(&self) -> Result<Arc<dyn Protocol>, Errno> {
        let server = match &mut self.state.borrow_mut().link {
            Link::Listener { pending, .. } => pending.pop_front().ok_or(Errno::EAGAIN)?,
            _ => return Err(Errno::EINVAL),
        };
        self.admit_waiting();
        Ok(server)
    }

    fn connect(&self, _task: &Arc<Task>, address: &[u8], patience: Patience) -> Result<(), Errno> {
        self.connect_to(address, patience)
    }

    fn name(&self) -> Result<Address, Errno> {
        let local = self.state.borrow().local.unwrap_or(SocketAddr::new(any(self.common.domain), 0));
        Ok(Address::Inet(present(self.common.domain, local)))
    }

    fn peer_name(&self) -> Result<Address, Errno> {
        let state = self.state.borrow();
        match (&state.link, state.remote) {
            (Link::Peer(_), Some(remote)) if !state.is_over() => {
                Ok(Address::Inet(present(self.common.domain, remote)))
            }
            _ => Err(Errno::ENOTCONN),
        }
    }

    fn send(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        if !message.control.is_empty() {
            return Err(Errno::EINVAL);
        }
        let peer = {
            let state = self.state.borrow();
            match &state.link {
                Link::Connecting(_) => return Err(Errno::EAGAIN),
                Link::Peer(peer) if !state.shutdown.write && !self.common.has_error() => peer.clone(),
                _ => return Err(self.common.take_error().unwrap_or(Errno::EPIPE)),
            }
        };
        let window = self.window(&peer);
        let mut sent = 0;
        let result = loop {
            let left = source.left();
            if left == 0 {
                break Ok(());
            }
            let room = {
                let mut state = peer.state.borrow_mut();
                let room = window.saturating_sub(state.inbox.charge());
                state.starving |= room == 0;
                room
            };
            if room == 0 {
                break Err(Errno::EAGAIN);
            }
            // The last byte of a message sent with MSG_OOB is the urgent one, and a segment of its own.
            let urgent = message.flags & MSG_OOB != 0 && left == 1;
            let most = if message.flags & MSG_OOB != 0 && left > 1 { left - 1 } else { left };
            let len = most.min(room).min(SEGMENT);
            let payload = match Payload::take(source, len) {
                Ok(payload) => payload,
                Err(error) => break Err(error),
            };
            let taken = payload.len();
            // The copy may have waited: the connection may be gone by now.
            let gone = {
                let mut state = peer.state.borrow_mut();
                match (state.closed, urgent) {
                    (true, _) => {}
                    (false, true) => state.push_urgent(payload),
                    (false, false) => state.inbox.append(payload),
                }
                state.closed
            };
            interface::count(taken);
            sent += taken;
            if gone {
                // The bytes went out, and the answer was a RST.
                self.reset();
                return Ok(sent);
            }
            if taken < len {
                break Ok(());
            }
        };
        if sent > 0 {
            peer.common.queue.wake(if message.flags & MSG_OOB != 0 { READABLE | EPOLLPRI } else { READABLE });
            return Ok(sent);
        }
        result.map(|()| 0)
    }

    fn receive(&self, sink: &mut Sink<'_>, flags: u32, received: &mut Received) -> SysResult {
        if flags & MSG_OOB != 0 {
            return self.receive_urgent(sink, flags, received);
        }
        let inline = self.common.options.borrow().oob_inline;
        let peek = flags & MSG_PEEK != 0;
        let mut discard = if flags & MSG_TRUNC != 0 { sink.left() } else { 0 };
        let mut taken = Vec::new();
        let mut total = 0;
        let mut result = Ok(());
        while sink.left() > 0 && (flags & MSG_TRUNC == 0 || discard > 0) {
            let Some(mut segment) = ({ self.state.borrow_mut().inbox.pop() }) else { break };
            if segment.extra.0 {
                if total > 0 {
                    // A read stops at the mark.
                    self.state.borrow_mut().inbox.put_back(segment);
                    break;
                }
                if !inline {
                    // The urgent byte is not part of the stream; a peek leaves it for the read.
                    if peek {
                        taken.push(segment);
                    }
                    continue;
                }
            }
            let put = if flags & MSG_TRUNC != 0 {
                let count = segment.left().min(discard);
                discard -= count;
                Ok(count)
            } else {
                segment.payload.put(sink, segment.start)
            };
            let count = *put.as_ref().unwrap_or(&0);
            total += count;
            if peek {
                taken.push(segment);
            } else {
                segment.start += count;
                if segment.left() > 0 {
                    self.state.borrow_mut().inbox.put_back(segment);
                }
            }
            if let Err(error) = put {
                result = Err(error);
                break;
            }
        }
        if !taken.is_empty() {
            let mut state = self.state.borrow_mut();
            taken.into_iter().rev().for_each(|segment| state.inbox.put_back(segment));
        }
        if total > 0 {
            if !peek {
                self.feed();
            }
            return Ok(total);
        }
        result?;
        let state = self.state.borrow();
        if !state.inbox.is_empty() || state.finished {
            return Ok(0);
        }
        let (read, connected) =
            (state.shutdown.read, matches!(state.link, Link::Peer(_) | Link::Connecting(_)));
        drop(state);
        self.common.check_error()?;
        match (read, connected) {
            (true, _) => Ok(0),
            (false, true) => Err(Errno::EAGAIN),
            (false, false) => Err(Errno::ENOTCONN),
        }
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let peer = {
            let mut state = self.state.borrow_mut();
            match &state.link {
                Link::Peer(_) if state.is_over() => return Err(Errno::ENOTCONN),
                Link::Peer(peer) => {
                    let peer = peer.clone();
                    let sends_fin = how.write && !state.shutdown.write;
                    state.shutdown.add(how);
                    sends_fin.then_some(peer)
                }
                // Ends listening, and the wait for a connection.
                Link::Listener { .. } | Link::Connecting(_) if how.read => {
                    drop(state);
                    self.disconnect();
                    return Ok(());
                }
                Link::Listener { .. } | Link::Connecting(_) => None,
                Link::None => return Err(Errno::ENOTCONN),
            }
        };
        if let Some(peer) = peer {
            peer.finish();
        }
        self.wake_all(STATE_CHANGED);
        Ok(())
    }

    fn poll(&self) -> u32 {
        let mut events = 0;
        let peer = {
            let state = self.state.borrow();
            if self.common.has_error() {
                events |= EPOLLERR;
            }
            let peer = match &state.link {
                Link::Listener { pending, .. } => {
                    return events | if pending.is_empty() { 0 } else { READABLE };
                }
                Link::None => {
                    events |= EPOLLHUP | WRITABLE;
                    None
                }
                Link::Connecting(_) => None,
                Link::Peer(peer) => Some(peer.clone()),
            };
            if state.shutdown == Shutdown::BOTH {
                events |= EPOLLHUP;
            }
            if state.shutdown.read {
                events |= READABLE | EPOLLRDHUP;
            }
            let low_water = self.common.options.borrow().receive_low_water as usize;
            if !state.inbox.is_empty() && state.inbox.bytes() >= low_water {
                events |= READABLE;
            }
            if state.urgent.is_some() {
                events |= EPOLLPRI;
            }
            if state.shutdown.write {
                events |= WRITABLE;
            }
            peer
        };
        if peer.is_some_and(|peer| self.is_writable(&peer)) {
            events |= WRITABLE;
        }
        events
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != SOL_TCP {
            let bound = self.state.borrow().local.is_some();
            return self.ip.borrow_mut().set(self.common.domain, level, name, value, bound);
        }
        let mut tcp = self.tcp.borrow_mut();
        let number = || int(value);
        let within = |most: i32| {
            number().and_then(|n| if (1..=most).contains(&n) { Ok(n) } else { Err(Errno::EINVAL) })
        };
        match name {
            raw::TCP_NODELAY => tcp.no_delay = number()? != 0,
            raw::TCP_CORK => tcp.cork = number()? != 0,
            raw::TCP_QUICKACK => tcp.quick_ack = number()? != 0,
            raw::TCP_KEEPIDLE => tcp.keep_idle = within(32767)?,
            raw::TCP_KEEPINTVL => tcp.keep_interval = within(32767)?,
            raw::TCP_KEEPCNT => tcp.keep_count = within(127)?,
            raw::TCP_CONGESTION => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                let mut known = CONGESTION_CONTROLS.into_iter();
                tcp.congestion = known.find(|known| known.as_bytes() == name).ok_or(Errno::ENOENT)?;
            }
            raw::TCP_USER_TIMEOUT => match number()? {
                ..0 => return Err(Errno::EINVAL),
                timeout => tcp.user_timeout = timeout,
            },
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level == SOL_SOCKET {
            return match name {
                SO_ACCEPTCONN => Ok(int_value(matches!(self.state.borrow().link, Link::Listener { .. }))),
                _ => Err(Errno::ENOPROTOOPT),
            };
        }
        if level != SOL_TCP {
            let connected = self.peer().is_some();
            return self.ip.borrow().get(self.common.domain, level, name, connected);
        }
        let tcp = self.tcp.borrow();
        Ok(match name {
            raw::TCP_NODELAY => int_value(tcp.no_delay),
            raw::TCP_CORK => int_value(tcp.cork),
            raw::TCP_QUICKACK => int_value(tcp.quick_ack),
            raw::TCP_KEEPIDLE => int_value(tcp.keep_idle),
            raw::TCP_KEEPINTVL => int_value(tcp.keep_interval),
            raw::TCP_KEEPCNT => int_value(tcp.keep_count),
            raw::TCP_USER_TIMEOUT => int_value(tcp.user_timeout),
            raw::TCP_MAXSEG => int_value(MSS),
            raw::TCP_CONGESTION => {
                let mut name = tcp.congestion.as_bytes().to_vec();
                name.resize(CONGESTION_NAME, 0);
                name
            }
            raw::TCP_INFO => self.info(),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }

    fn ioctl(&self, command: u32, argument: usize) -> SysResult {
        let listening = matches!(self.state.borrow().link, Link::Listener { .. });
        let count = match command {
            FIONREAD | TIOCOUTQ if listening => return Err(Errno::EINVAL),
            FIONREAD => self.state.borrow().inbox.bytes(),
            TIOCOUTQ => self.peer().map_or(0, |peer| peer.state.borrow().inbox.bytes()),
            SIOCATMARK => {
                usize::from(self.state.borrow().inbox.front().is_some_and(|segment| segment.extra.0))
            }
            _ => return interface::ioctl(command, argument),
        };
        user::write(argument, &(count as i32))?;
        Ok(0)
    }

    fn close(&self) {
        let abort = self.common.options.borrow().linger == Some(0);
        self.release_port();
        self.end(abort);
        self.wake_all(STATE_CHANGED);
    }
}
