//! Netlink sockets, of the one family that is served: NETLINK_ROUTE, for getifaddrs(3) and ip(8).
//!
//! A request is answered before send(2) returns: its replies wait in the sender's own inbox. Groups can be joined and stay
//! silent, because no interface, address or route ever changes.

mod route;

use super::addr::{self, Address};
use super::interface;
use super::message::{Control, Credentials, Outgoing, Received};
use super::option::{int, int_value};
use super::payload::{Payload, Queue};
use super::{Common, Patience, Protocol, READABLE, STATE_CHANGED, Shutdown, WRITABLE};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::mem::user;
use crate::task::Task;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::EPOLLERR;
use linux_raw_sys::ioctl::FIONREAD;
use linux_raw_sys::net::{AF_NETLINK, AF_UNSPEC, MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_DGRAM, SOCK_RAW};
use linux_raw_sys::netlink as raw;

const SOL_NETLINK: u32 = 270;

/// Ports in use: NETLINK_ROUTE's only.
static PORTS: Global<KCell<BTreeSet<u32>>> = Global::new(KCell::default);

#[derive(Default)]
struct State {
    /// Our address, once bound; 0 is the kernel's.
    port: Option<u32>,
    /// The first 32 groups as bits, as `nl_groups` has them.
    groups: u32,
    /// Groups joined by number.
    memberships: BTreeSet<u32>,
    inbox: Queue<()>,
    /// Error messages need not repeat the request.
    cap_acks: bool,
    extended_acks: bool,
    strict: bool,
}

/// A NETLINK_ROUTE socket.
pub struct Netlink {
    common: Common,
    state: KCell<State>,
}

/// The header of a request: `struct nlmsghdr`.
#[derive(Clone, Copy)]
struct Request {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// Bytes of `struct nlmsghdr`.
const HEADER: usize = 16;

impl Netlink {
    pub(super) fn create(kind: u32, protocol: u32) -> Result<Arc<Self>, Errno> {
        if !matches!(kind, SOCK_RAW | SOCK_DGRAM) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        if protocol != raw::NETLINK_ROUTE {
            return Err(Errno::EPROTONOSUPPORT);
        }
        Ok(Arc::new(Self { common: Common::new(AF_NETLINK, kind, protocol), state: KCell::default() }))
    }

    /// Takes a port: the one wanted, or the process's number, or any.
    fn bind_port(&self, task: &Task, wanted: u32) -> Result<u32, Errno> {
        if let Some(port) = self.state.borrow().port {
            return if wanted == 0 || wanted == port { Ok(port) } else { Err(Errno::EINVAL) };
        }
        let mut ports = PORTS.borrow_mut();
        let port = match wanted {
            0 => {
                let own = task.pid() as u32;
                let others = (1..=u32::MAX).rev();
                core::iter::once(own)
                    .chain(others)
                    .find(|port| !ports.contains(port))
                    .ok_or(Errno::EADDRINUSE)?
            }
            port if ports.contains(&port) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        ports.insert(port);
        self.state.borrow_mut().port = Some(port);
        Ok(port)
    }

    /// Answers every request of a datagram.
    fn serve(&self, port: u32, datagram: &[u8]) {
        let mut rest = datagram;
        while rest.len() >= HEADER {
            let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
            let len = word(0) as usize;
            if len < HEADER || len > rest.len() {
                return;
            }
            let (message, body) = (&rest[..len], &rest[HEADER..len]);
            let request = Request { kind: word(4) as u16, flags: (word(4) >> 16) as u16, sequence: word(8) };
            // Control messages, and what is no request, ask for nothing.
            if u32::from(request.flags) & raw::NLM_F_REQUEST != 0
                && u32::from(request.kind) >= raw::NLMSG_MIN_TYPE
            {
                self.answer(port, request, message, body);
            } else if u32::from(request.flags) & raw::NLM_F_ACK != 0 {
                self.acknowledge(port, request, message, Ok(()));
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    fn answer(&self, port: u32, request: Request, message: &[u8], body: &[u8]) {
        let strict = self.state.borrow().strict;
        let dump = u32::from(request.flags) & raw::NLM_F_DUMP == raw::NLM_F_DUMP;
        let mut replies = Replies { port, sequence: request.sequence, multi: dump, bytes: Vec::new() };
        let result = route::answer(request.kind, dump, strict, body, &mut replies);
        if result.is_ok() && dump {
            self.reply(replies.bytes);
            let mut done = Replies { port, sequence: request.sequence, multi: true, bytes: Vec::new() };
            done.message(raw::NLMSG_DONE as u16, &0i32.to_ne_bytes(), |_| {});
            self.reply(done.bytes);
            return;
        }
        if result.is_ok() {
            self.reply(replies.bytes);
        }
        if result.is_err() || u32::from(request.flags) & raw::NLM_F_ACK != 0 {
            self.acknowledge(port, request, message, result);
        }
    }

    /// An NLMSG_ERROR: the error or 0, and the request or, of one that went well, its header.
    fn acknowledge(&self, port: u32, request: Request, message: &[u8], result: Result<(), Errno>) {
        let error = result.err().map_or(0, |error| -i32::from(error.0));
        let whole = error != 0 && !self.state.borrow().cap_acks;
        let echoed = if whole { message } else { &message[..HEADER] };
        let mut replies = Replies { port, sequence: request.sequence, multi: false, bytes: Vec::new() };
        let body = [&error.to_ne_bytes()[..], echoed].concat();
        replies.message(raw::NLMSG_ERROR as u16, &body, |_| {});
        if !whole {
            let flags = replies.flags() | raw::NLM_F_CAPPED as u16;
            replies.set_flags(flags);
        }
        self.reply(replies.bytes);
    }

    fn reply(&self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.state.borrow_mut().inbox.push(Payload::from_bytes(bytes), ());
            self.common.queue.wake(READABLE);
        }
    }
}

/// Messages of one datagram to a socket.
pub(super) struct Replies {
    port: u32,
    sequence: u32,
    multi: bool,
    bytes: Vec<u8>,
}

impl Replies {
    /// Adds a message: header, fixed part, and the attributes that `attributes` adds.
    fn message(&mut self, kind: u16, body: &[u8], attributes: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        let flags = if self.multi { raw::NLM_F_MULTI as u16 } else { 0 };
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&self.port.to_ne_bytes());
        self.bytes.extend_from_slice(body);
        self.align();
        attributes(self);
        let len = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
    }

    /// Adds a `struct rtattr`.
    fn attribute(&mut self, kind: u16, data: &[u8]) {
        self.bytes.extend_from_slice(&((4 + data.len()) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// The flags of the first message.
    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[6], self.bytes[7]])
    }

    fn set_flags(&mut self, flags: u16) {
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    }
}

/// Port and groups of a `struct sockaddr_nl`.
fn decode(address: &[u8]) -> Result<(u32, u32), Errno> {
    if address.len() < 12 || addr::family(address) != Some(AF_NETLINK) {
        return Err(Errno::EINVAL);
    }
    let word =
        |at: usize| u32::from_ne_bytes([address[at], address[at + 1], address[at + 2], address[at + 3]]);
    Ok((word(4), word(8)))
}

impl Protocol for Netlink {
    fn common(&self) -> &Common {
        &self.common
    }

    fn bind(&self, task: &Arc<Task>, address: &[u8]) -> Result<(), Errno> {
        let (port, groups) = decode(address)?;
        self.bind_port(task, port)?;
        self.state.borrow_mut().groups = groups;
        Ok(())
    }

    fn connect(&self, task: &Arc<Task>, address: &[u8], _patience: Patience) -> Result<(), Errno> {
        if addr::family(address) == Some(AF_UNSPEC) {
            return Ok(());
        }
        match decode(address)? {
            (0, 0) => self.bind_port(task, 0).map(drop),
            // Only the kernel is there to talk to.
            _ => Err(Errno::ECONNREFUSED),
        }
    }

    fn name(&self) -> Result<Address, Errno> {
        let state = self.state.borrow();
        Ok(Address::Netlink { port: state.port.unwrap_or(0), groups: state.groups })
    }

    fn peer_name(&self) -> Result<Address, Errno> {
        Ok(Address::Netlink { port: 0, groups: 0 })
    }

    fn send(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let task = crate::task::current();
        for control in core::mem::take(&mut message.control) {
            match control {
                Control::Credentials(credentials) => drop(credentials.check(&task)?),
                Control::Rights(_) | Control::Other { .. } => return Err(Errno::EINVAL),
            }
        }
        if !message.to.is_empty() {
            match decode(message.to)? {
                (0, 0) => {}
                (_, 0) => return Err(Errno::ECONNREFUSED),
                _ => return Err(Errno::EPERM),
            }
        }
        let port = self.bind_port(&task, 0)?;
        let len = source.left();
        if len > self.common.options.borrow().send_buffer - 32 {
            return Err(Errno::EMSGSIZE);
        }
        let datagram = source.take_all()?;
        self.serve(port, &datagram);
        Ok(len)
    }

    fn receive(&self, sink: &mut Sink<'_>, flags: u32, received: &mut Received) -> SysResult {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.common.check_error()?;
        let segment = { self.state.borrow_mut().inbox.pop() }.ok_or(Errno::EAGAIN)?;
        let len = segment.payload.len();
        let put = segment.payload.put(sink, 0);
        received.from = Some(Address::Netlink { port: 0, groups: 0 });
        if self.common.options.borrow().pass_credentials {
            received.control.push(Control::Credentials(Credentials { pid: 0, uid: 0, gid: 0 }));
        }
        if flags & MSG_PEEK != 0 {
            self.state.borrow_mut().inbox.put_back(segment);
        }
        let count = put?;
        if count < len {
            received.flags |= MSG_TRUNC;
        }
        Ok(if flags & MSG_TRUNC != 0 { len } else { count })
    }

    fn shutdown(&self, _how: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn poll(&self) -> u32 {
        let error = if self.common.has_error() { EPOLLERR } else { 0 };
        let readable = if self.state.borrow().inbox.is_empty() { 0 } else { READABLE };
        error | readable | WRITABLE
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let number = int(value)?;
        let mut state = self.state.borrow_mut();
        match name {
            raw::NETLINK_ADD_MEMBERSHIP | raw::NETLINK_DROP_MEMBERSHIP => {
                let group = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
                if group == 0 || group > 64 {
                    return Err(Errno::EINVAL);
                }
                if name == raw::NETLINK_ADD_MEMBERSHIP {
                    state.memberships.insert(group);
                } else {
                    state.memberships.remove(&group);
                }
            }
            raw::NETLINK_CAP_ACK => state.cap_acks = number != 0,
            // An explanation may come with an error, and never does.
            raw::NETLINK_EXT_ACK => state.extended_acks = number != 0,
            raw::NETLINK_GET_STRICT_CHK => state.strict = number != 0,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let state = self.state.borrow();
        match name {
            raw::NETLINK_CAP_ACK => Ok(int_value(state.cap_acks)),
            raw::NETLINK_EXT_ACK => Ok(int_value(state.extended_acks)),
            raw::NETLINK_GET_STRICT_CHK => Ok(int_value(state.strict)),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn ioctl(&self, command: u32, argument: usize) -> SysResult {
        if command != FIONREAD {
            return interface::ioctl(command, argument);
        }
        let count = self.state.borrow().inbox.front().map_or(0, |segment| segment.left());
        user::write(argument, &(count as i32))?;
        Ok(0)
    }

    fn close(&self) {
        let port = self.state.borrow_mut().port.take();
        if let Some(port) = port {
            PORTS.borrow_mut().remove(&port);
        }
        self.common.queue.wake_all(STATE_CHANGED);
    }
}

#[cfg(test)]
mod tests;
