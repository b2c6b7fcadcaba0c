//! UDP between sockets of the guest, and ICMP echo from ping sockets to the guest's own addresses.
//!
//! A datagram goes straight into the receiver's inbox, or is dropped when that is full, as UDP does. A port that nobody
//! has is told to a connected sender, as its ICMP message would.

use super::multicast::{self, Multicast};
use super::options::{Header, IpOptions, Wishes};
use super::ports::Table;
use super::{Description, any, decode, decode_to_bind, is_broadcast, is_local, present, route};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::mem::user;
use crate::net::addr::Address;
use crate::net::message::{Control, Outgoing, Received};
use crate::net::option::timestamp;
use crate::net::payload::{Payload, Queue};
use crate::net::{Common, Patience, Protocol, READABLE, STATE_CHANGED, Shutdown, WRITABLE, addr, interface};
use crate::task::Task;
use crate::time::realtime_ns;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{EPOLLERR, EPOLLHUP, EPOLLRDHUP};
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net::{AF_INET, AF_UNSPEC, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_DGRAM, SOL_SOCKET, SOL_UDP};

const IPPROTO_UDP: u32 = 17;
const IPPROTO_ICMP: u32 = 1;
const IPPROTO_ICMPV6: u32 = 58;

pub(super) static PORTS: Global<KCell<Table<Datagram>>> = Global::new(KCell::default);
/// The identifiers of ping sockets.
static PINGS: Global<KCell<Table<Datagram>>> = Global::new(KCell::default);

/// What comes with the bytes of a datagram.
struct Extra {
    from: SocketAddr,
    header: Header,
    /// Realtime ns, where the receiver wants to know.
    time: Option<u64>,
}

#[derive(Default)]
struct State {
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    inbox: Queue<Extra>,
    shutdown: Shutdown,
}

/// A UDP or ping socket.
pub struct Datagram {
    common: Common,
    me: Weak<Datagram>,
    state: KCell<State>,
    ip: KCell<IpOptions>,
    multicast: KCell<Multicast>,
}

impl Datagram {
    pub(in crate::net) fn create(domain: u32, ping: bool) -> Arc<Self> {
        let protocol = match (ping, domain) {
            (false, _) => IPPROTO_UDP,
            (true, AF_INET) => IPPROTO_ICMP,
            (true, _) => IPPROTO_ICMPV6,
        };
        Arc::new_cyclic(|me| Self {
            common: Common::new(domain, SOCK_DGRAM, protocol),
            me: me.clone(),
            state: KCell::default(),
            ip: KCell::default(),
            multicast: KCell::default(),
        })
    }

    fn is_ping(&self) -> bool {
        self.common.protocol != IPPROTO_UDP
    }

    fn table(&self) -> &'static KCell<Table<Self>> {
        if self.is_ping() { &PINGS } else { &PORTS }
    }

    fn claim(&self, address: SocketAddr) -> Result<SocketAddr, Errno> {
        let v6_only = self.ip.borrow().v6_only;
        let mut table = self.table().borrow_mut();
        let port = table.claim(&self.common, address, v6_only, &self.me)?;
        table.set_target(port, self.common.ino, false)?;
        let local = SocketAddr::new(address.ip(), port);
        self.state.borrow_mut().local = Some(local);
        Ok(local)
    }

    fn local(&self) -> Result<SocketAddr, Errno> {
        let local = self.state.borrow().local;
        match local {
            Some(local) => Ok(local),
            None => self.claim(SocketAddr::new(any(self.common.domain), 0)),
        }
    }

    /// How well this socket fits a datagram from `from`: a connected one only if it is its peer's, and then best.
    fn score(&self, from: SocketAddr) -> Option<u32> {
        match self.state.borrow().remote {
            None => Some(0),
            Some(remote) => (remote == from).then_some(1),
        }
    }

    fn deliver(&self, payload: Payload, from: SocketAddr, header: Header) {
        let time = self.common.options.borrow().timestamp.map(|_| realtime_ns());
        let limit = self.common.options.borrow().receive_buffer;
        {
            let mut state = self.state.borrow_mut();
            if state.shutdown.read || state.inbox.charge() + payload.len() > limit {
                return;
            }
            state.inbox.push(payload, Extra { from, header, time });
        }
        self.common.queue.wake(READABLE);
    }

    /// Where a datagram goes and where it comes from.
    fn addresses(&self, message: &Outgoing<'_>) -> Result<(SocketAddr, SocketAddr), Errno> {
        let to = if message.to.is_empty() {
            self.state.borrow().remote.ok_or(Errno::EDESTADDRREQ)?
        } else if self.common.domain != AF_INET && addr::family(message.to) == Some(AF_INET) {
            // An IPv6 socket takes a plain IPv4 destination, as Linux does.
            decode(AF_INET, message.to)?
        } else {
            decode(self.common.domain, message.to)?
        };
        if to.port() == 0 && !self.is_ping() {
            return Err(Errno::EINVAL);
        }
        let broadcast = is_broadcast(to.ip());
        if broadcast && !self.common.options.borrow().broadcast {
            return Err(Errno::EACCES);
        }
        let v6_only = self.ip.borrow().v6_only;
        let (ip, source) = route(self.common.domain, v6_only, to.ip())?;
        let local = self.local()?;
        // A socket bound to a group or a broadcast address does not send from there.
        let source = if is_local(local.ip()) && !is_broadcast(local.ip()) { local.ip() } else { source };
        Ok((SocketAddr::new(ip, to.port()), SocketAddr::new(source, local.port())))
    }

    /// The most bytes of a datagram to `to`.
    fn most(to: IpAddr) -> usize {
        if to.is_ipv4() { 65507 } else { 65527 }
    }

    fn send_udp(
        &self,
        payload: Payload,
        to: SocketAddr,
        from: SocketAddr,
        wishes: Wishes,
    ) -> Result<(), Errno> {
        let mut header = self.ip.borrow().header(to.ip());
        let group = to.ip().is_multicast();
        if group {
            header.ttl = self.multicast.borrow().ttl(to.ip());
            if !multicast::is_heard(to.ip()) || !self.multicast.borrow().loops_to(to.ip()) {
                return Ok(());
            }
        }
        wishes.apply(&mut header);
        if group || is_broadcast(to.ip()) {
            let all: Vec<Arc<Self>> = PORTS.borrow().matches(to).map(|(_, endpoint)| endpoint).collect();
            let bytes = payload.to_vec();
            let hears = |receiver: &Self| {
                receiver.score(from).is_some() && (!group || receiver.multicast.borrow().hears(to.ip()))
            };
            for receiver in all.iter().filter(|receiver| hears(receiver)) {
                receiver.deliver(Payload::from_bytes(bytes.clone()), from, header);
            }
            return Ok(());
        }
        let receiver = PORTS.borrow().find(to, |receiver| receiver.score(from));
        match receiver {
            Some(receiver) => receiver.deliver(payload, from, header),
            None if self.state.borrow().remote == Some(to) => {
                self.common.set_error(Errno::ECONNREFUSED);
                self.common.queue.wake(EPOLLERR | READABLE | WRITABLE);
            }
            None => {}
        }
        Ok(())
    }

    /// An echo request; the answer is the same with another type. Linux writes the socket's number as identifier.
    fn send_ping(&self, payload: &Payload, to: SocketAddr, from: SocketAddr) -> Result<(), Errno> {
        let (request, reply) = if to.is_ipv4() { (8, 0) } else { (128, 129) };
        let mut packet = payload.to_vec();
        if packet.len() < 8 || packet[0] != request || packet[1] != 0 {
            return Err(Errno::EINVAL);
        }
        packet[0] = reply;
        packet[2..4].fill(0);
        packet[4..6].copy_from_slice(&from.port().to_be_bytes());
        let sum = checksum(&packet, from.ip(), to.ip());
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        let header = self.ip.borrow().header(from.ip());
        self.deliver(Payload::from_bytes(packet), SocketAddr::new(to.ip(), 0), header);
        Ok(())
    }

    fn describe(&self) -> Description {
        let any = SocketAddr::new(any(self.common.domain), 0);
        let state = self.state.borrow();
        Description {
            domain: self.common.domain,
            local: state.local.unwrap_or(any),
            remote: state.remote.unwrap_or(any),
            // TCP's number of "established" for a connected socket, else "close".
            state: if state.remote.is_some() { 1 } else { 7 },
            unsent: 0,
            unread: state.inbox.bytes(),
            owner: self.common.owner.0,
            ino: self.common.ino,
        }
    }
}

/// What /proc/net/udp tells of all sockets that have a port.
pub fn all() -> Vec<Description> {
    let sockets: Vec<Arc<Datagram>> = PORTS.borrow().all().collect();
    sockets.iter().map(|socket| socket.describe()).collect()
}

/// The Internet checksum of an ICMP message; that of IPv6 covers the addresses too.
fn checksum(packet: &[u8], from: IpAddr, to: IpAddr) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        let pairs =
            bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        pairs.map(u32::from).sum()
    };
    let mut sum = words(packet);
    if let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) {
        sum += words(&from.octets()) + words(&to.octets()) + packet.len() as u32 + IPPROTO_ICMPV6;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

impl Protocol for Datagram {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(&self, _task: &Arc<Task>, address: &[u8]) -> Result<(), Errno> {
        let wanted = decode_to_bind(self.common.domain, address)?;
        if self.state.borrow().local.is_some() {
            return Err(Errno::EINVAL);
        }
        let ip = wanted.ip();
        if !ip.is_unspecified() && !is_local(ip) && !is_broadcast(ip) && !ip.is_multicast() {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.claim(wanted)?;
        Ok(())
    }

    fn connect(&self, _task: &Arc<Task>, address: &[u8], _patience: Patience) -> Result<(), Errno> {
        if addr::family(address) == Some(AF_UNSPEC) {
            self.state.borrow_mut().remote = None;
            return Ok(());
        }
        let remote = decode(self.common.domain, address)?;
        if is_broadcast(remote.ip()) && !self.common.options.borrow().broadcast {
            return Err(Errno::EACCES);
        }
        let v6_only = self.ip.borrow().v6_only;
        let (to, source) = route(self.common.domain, v6_only, remote.ip())?;
        let local = self.local()?;
        if local.ip().is_unspecified() {
            self.table().borrow_mut().set_ip(local.port(), self.common.ino, source);
            self.state.borrow_mut().local = Some(SocketAddr::new(source, local.port()));
        }
        self.state.borrow_mut().remote = Some(SocketAddr::new(to, remote.port()));
        Ok(())
    }

    fn name(&self) -> Result<Address, Errno> {
        let local = self.state.borrow().local.unwrap_or(SocketAddr::new(any(self.common.domain), 0));
        Ok(Address::Inet(present(self.common.domain, local)))
    }

    fn peer_name(&self) -> Result<Address, Errno> {
        let remote = self.state.borrow().remote.ok_or(Errno::ENOTCONN)?;
        Ok(Address::Inet(present(self.common.domain, remote)))
    }

    fn send(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let wishes = Wishes::read(core::mem::take(&mut message.control))?;
        self.common.check_error()?;
        if self.state.borrow().shutdown.write {
            return Err(Errno::EPIPE);
        }
        let (to, mut from) = self.addresses(message)?;
        if let Some(source) = wishes.source {
            from.set_ip(source);
        }
        let len = source.left();
        if len > Self::most(to.ip()) {
            return Err(Errno::EMSGSIZE);
        }
        let payload = Payload::take_whole(source, len)?;
        interface::count(len);
        if self.is_ping() {
            self.send_ping(&payload, to, from)?;
        } else {
            self.send_udp(payload, to, from, wishes)?;
        }
        Ok(len)
    }

    fn send_ready(&self, _message: &Outgoing<'_>) -> bool {
        true
    }

    fn receive(&self, sink: &mut Sink<'_>, flags: u32, received: &mut Received) -> SysResult {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.common.check_error()?;
        let Some(segment) = ({ self.state.borrow_mut().inbox.pop() }) else {
            return if self.state.borrow().shutdown.read { Ok(0) } else { Err(Errno::EAGAIN) };
        };
        let len = segment.payload.len();
        let put = segment.payload.put(sink, 0);
        received.from = Some(Address::Inet(present(self.common.domain, segment.extra.from)));
        if let (Some(kind), Some(time)) = (self.common.options.borrow().timestamp, segment.extra.time) {
            let (kind, data) = timestamp(kind, time);
            received.control.push(Control::Other { level: SOL_SOCKET, kind, data });
        }
        self.ip.borrow().describe(&segment.extra.header, &mut received.control);
        if flags & MSG_PEEK != 0 {
            self.state.borrow_mut().inbox.put_back(segment);
        }
        let count = put?;
        if count < len {
            received.flags |= MSG_TRUNC;
        }
        Ok(if flags & MSG_TRUNC != 0 { len } else { count })
    }

    fn shutdown(&self, how: Shutdown) -> Result<(), Errno> {
        let connected = {
            let mut state = self.state.borrow_mut();
            state.shutdown.add(how);
            state.remote.is_some()
        };
        self.common.queue.wake_all(STATE_CHANGED);
        if connected { Ok(()) } else { Err(Errno::ENOTCONN) }
    }

    fn poll(&self) -> u32 {
        let state = self.state.borrow();
        let mut events = WRITABLE;
        if self.common.has_error() {
            events |= EPOLLERR;
        }
        if state.shutdown.read {
            events |= READABLE | EPOLLRDHUP;
        }
        if state.shutdown == Shutdown::BOTH {
            events |= EPOLLHUP;
        }
        if !state.inbox.is_empty() {
            events |= READABLE;
        }
        events
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level == SOL_UDP {
            return Err(Errno::ENOPROTOOPT);
        }
        if let Some(result) = self.multicast.borrow_mut().set(level, name, value) {
            return result;
        }
        let bound = self.state.borrow().local.is_some();
        self.ip.borrow_mut().set(self.common.domain, level, name, value, bound)
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level == SOL_SOCKET {
            return match name {
                linux_raw_sys::net::SO_ACCEPTCONN => Ok(crate::net::option::int_value(false)),
                _ => Err(Errno::ENOPROTOOPT),
            };
        }
        if let Some(value) = self.multicast.borrow().get(level, name) {
            return Ok(value);
        }
        let connected = self.state.borrow().remote.is_some();
        self.ip.borrow().get(self.common.domain, level, name, connected)
    }

    fn ioctl(&self, command: u32, argument: usize) -> SysResult {
        let count = match command {
            FIONREAD => self.state.borrow().inbox.front().map_or(0, |segment| segment.left()),
            TIOCOUTQ => 0,
            _ => return interface::ioctl(command, argument),
        };
        user::write(argument, &(count as i32))?;
        Ok(0)
    }

    fn close(&self) {
        let (local, inbox) = {
            let mut state = self.state.borrow_mut();
            state.shutdown = Shutdown::BOTH;
            (state.local.take(), core::mem::take(&mut state.inbox))
        };
        drop(inbox);
        drop(self.multicast.take());
        if let Some(local) = local {
            self.table().borrow_mut().release(local.port(), self.common.ino);
        }
        self.common.queue.wake_all(STATE_CHANGED);
    }
}
