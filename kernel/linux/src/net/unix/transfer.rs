//! Sending and receiving on Unix sockets.

use super::garbage::{self, InFlight};
use super::{DATAGRAMS_MAX, Endpoint, Link};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::net::READABLE;
use crate::net::addr::Address;
use crate::net::message::{Ancillary, Control, Credentials, Outgoing, Received};
use crate::net::option::timestamp;
use crate::net::payload::{Payload, Segment};
use crate::task;
use crate::time::realtime_ns;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::net::{MSG_OOB, MSG_PEEK, MSG_TRUNC, SOCK_DGRAM, SOCK_SEQPACKET, SOL_SOCKET};

/// The most that one segment of a stream holds: a reader can begin while the writer goes on.
const STREAM_SEGMENT: usize = 32 << 10;

impl Endpoint {
    /// Whether this endpoint may put something into `target`'s inbox. A target that is gone counts as having room: the
    /// attempt fails at once.
    fn has_room(&self, target: &Self) -> bool {
        self.fits(target, self.common.options.borrow().send_buffer)
    }

    /// Whether poll(2) calls this endpoint writable with regard to `target`: no more than a quarter of its buffer is under
    /// way. Those who wait for room are woken then, so that they do not run for every message that is read.
    pub(super) fn is_writable(&self, target: &Self) -> bool {
        self.fits(target, self.common.options.borrow().send_buffer / 4 + 1)
    }

    fn fits(&self, target: &Self, limit: usize) -> bool {
        let state = target.state.borrow();
        // Two sockets connected to each other are bounded by their buffers alone.
        let counted = || match &state.link {
            Link::Peer(peer) => !peer.me.ptr_eq(&self.me),
            _ => true,
        };
        state.closed
            || state.shutdown.read
            || state.inbox.charge() < limit
                && !(self.is(SOCK_DGRAM) && state.inbox.len() > DATAGRAMS_MAX && counted())
    }

    /// As `is_writable`; asks for a wake-up if not.
    pub(super) fn room_at(&self, target: &Self) -> bool {
        let writable = self.is_writable(target);
        if !writable {
            self.starve_at(target);
        }
        writable
    }

    /// The control data of a message as it goes into the inbox. Who sent it is noted only where either end asked for it
    /// by SO_PASSCRED, as on Linux: most messages are spared the look at the task.
    fn ancillary(&self, target: &Self, message: &mut Outgoing<'_>) -> Result<Ancillary, Errno> {
        let (asked, stamped) = {
            let options = target.common.options.borrow();
            (options.pass_credentials, options.timestamp.is_some())
        };
        // Who will accept a connection may ask then.
        let asked =
            asked || self.common.options.borrow().pass_credentials || target.state.borrow().unaccepted;
        let mut credentials = asked.then(|| Credentials::real(&task::current()));
        let mut rights = Vec::new();
        for control in core::mem::take(&mut message.control) {
            match control {
                Control::Rights(files) => {
                    garbage::admit(&task::current())?;
                    rights.extend(files.into_iter().map(InFlight::new));
                }
                Control::Credentials(claimed) => credentials = Some(claimed.check(&task::current())?),
                Control::Other { .. } => return Err(Errno::EINVAL),
            }
        }
        let time = stamped.then(realtime_ns);
        Ok(Ancillary { from: self.state.borrow().name.clone(), credentials, rights, time })
    }

    pub(super) fn send_stream(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let (peer, limit) = {
            let state = self.state.borrow();
            let Link::Peer(peer) = &state.link else {
                return Err(if message.to.is_empty() { Errno::ENOTCONN } else { Errno::EOPNOTSUPP });
            };
            if !message.to.is_empty() {
                return Err(Errno::EISCONN);
            }
            if state.shutdown.write {
                return Err(Errno::EPIPE);
            }
            (peer.clone(), self.common.options.borrow().send_buffer)
        };
        let mut sent = 0;
        let result = loop {
            let left = source.left();
            if left == 0 {
                break Ok(sent);
            }
            if !self.has_room(&peer) {
                break Err(Errno::EAGAIN);
            }
            let len = left.min(STREAM_SEGMENT).min((limit / 2).max(64));
            let payload = match Payload::take(source, len) {
                Ok(payload) => payload,
                Err(error) => break Err(error),
            };
            let taken = payload.len();
            let ancillary = match self.ancillary(&peer, message) {
                Ok(ancillary) => ancillary,
                Err(error) => break Err(error),
            };
            {
                // The copy may have waited: the peer may be gone by now.
                let mut state = peer.state.borrow_mut();
                if state.closed || state.shutdown.read {
                    drop(state);
                    drop(ancillary);
                    break Err(Errno::EPIPE);
                }
                state.inbox.push(payload, ancillary);
            }
            sent += taken;
            if taken < len {
                break Ok(sent);
            }
        };
        if sent > 0 {
            peer.wake(READABLE);
            return Ok(sent);
        }
        result
    }

    pub(super) fn send_message(&self, source: &mut Source<'_>, message: &mut Outgoing<'_>) -> SysResult {
        if message.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.common.check_error()?;
        if self.state.borrow().shutdown.write {
            return Err(Errno::EPIPE);
        }
        let target = if message.to.is_empty() || self.is(SOCK_SEQPACKET) {
            self.peer().ok_or(Errno::ENOTCONN)?
        } else {
            self.resolve(&task::current(), message.to)?
        };
        if self.is(SOCK_DGRAM) {
            self.autobind_for_credentials()?;
        }
        self.check_target(&target)?;
        let len = source.left();
        if len > self.common.options.borrow().send_buffer - 32 {
            return Err(Errno::EMSGSIZE);
        }
        if !core::ptr::eq(&*target, self) && !self.has_room(&target) {
            return Err(Errno::EAGAIN);
        }
        let payload = Payload::take_whole(source, len)?;
        let ancillary = self.ancillary(&target, message)?;
        if let Err(error) = self.check_target(&target) {
            drop(ancillary);
            return Err(error);
        }
        target.state.borrow_mut().inbox.push(payload, ancillary);
        target.wake(READABLE);
        Ok(len)
    }

    /// Whether a message may go to `target` as things are.
    fn check_target(&self, target: &Arc<Self>) -> Result<(), Errno> {
        let (closed, shut) = {
            let state = target.state.borrow();
            (state.closed, state.shutdown.read)
        };
        if closed {
            if self.is(SOCK_SEQPACKET) {
                return Err(Errno::EPIPE);
            }
            // A connection to a socket that is gone ends here.
            let old = {
                let mut state = self.state.borrow_mut();
                match &state.link {
                    Link::Peer(peer) if Arc::ptr_eq(peer, target) => core::mem::take(&mut state.link),
                    _ => Link::None,
                }
            };
            drop(old);
            return Err(Errno::ECONNREFUSED);
        }
        if !target.accepts_from(self) {
            return Err(Errno::EPERM);
        }
        if shut { Err(Errno::EPIPE) } else { Ok(()) }
    }

    /// Hands the control data of a segment to the receiver: taken, or with MSG_PEEK copied.
    fn deliver(&self, ancillary: &mut Ancillary, peek: bool, received: &mut Received) {
        let (pass_credentials, stamp) = {
            let options = self.common.options.borrow();
            (options.pass_credentials, options.timestamp)
        };
        if pass_credentials {
            received.control.push(Control::Credentials(ancillary.sender()));
        }
        if let (Some(kind), Some(time)) = (stamp, ancillary.time) {
            let (kind, data) = timestamp(kind, time);
            received.control.push(Control::Other { level: SOL_SOCKET, kind, data });
        }
        if ancillary.rights.is_empty() {
            return;
        }
        received.ends = true;
        let files = if peek {
            ancillary.rights.iter().map(InFlight::peek).collect()
        } else {
            core::mem::take(&mut ancillary.rights).into_iter().map(InFlight::land).collect()
        };
        received.control.push(Control::Rights(files));
    }

    pub(super) fn receive_stream(
        &self,
        sink: &mut Sink<'_>,
        flags: u32,
        received: &mut Received,
    ) -> SysResult {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags & MSG_PEEK != 0 {
            return self.peek_stream(sink, received);
        }
        if sink.left() == 0 && self.state.borrow().inbox.is_empty() {
            return self.nothing_to_read();
        }
        let pass = self.common.options.borrow().pass_credentials;
        let mut total = 0;
        while sink.left() > 0 {
            let segment = {
                let mut state = self.state.borrow_mut();
                let same = state.inbox.front().is_none_or(|next| continues(next, pass, received));
                if same { state.inbox.pop() } else { None }
            };
            let Some(mut segment) = segment else {
                if total > 0 || received.ends {
                    break;
                }
                return self.nothing_to_read();
            };
            let count = match segment.payload.put(sink, segment.start) {
                Ok(count) => count,
                Err(error) => {
                    self.state.borrow_mut().inbox.put_back(segment);
                    if total > 0 {
                        break;
                    }
                    return Err(error);
                }
            };
            total += count;
            segment.start += count;
            if received.control.is_empty() {
                received.from = segment.extra.from.clone().map(|name| Address::Unix(Some(name)));
                self.deliver(&mut segment.extra, false, received);
            }
            if segment.left() > 0 {
                self.state.borrow_mut().inbox.put_back(segment);
                break;
            }
            if received.ends {
                break;
            }
        }
        self.feed_starved();
        Ok(total)
    }

    /// MSG_PEEK on a stream: as much as one read would give, left where it is.
    fn peek_stream(&self, sink: &mut Sink<'_>, received: &mut Received) -> SysResult {
        // Peeking is rare: taking the segments out and putting them back spares a second way to hold them.
        let mut taken: Vec<Segment<Ancillary>> = Vec::new();
        let mut total = 0;
        let pass = self.common.options.borrow().pass_credentials;
        let mut result = Ok(());
        while sink.left() > 0 && !received.ends {
            let segment = {
                let mut state = self.state.borrow_mut();
                let same = state.inbox.front().is_none_or(|next| continues(next, pass, received));
                if same { state.inbox.pop() } else { None }
            };
            let Some(mut segment) = segment else { break };
            let put = segment.payload.put(sink, segment.start);
            if received.control.is_empty() {
                self.deliver(&mut segment.extra, true, received);
            }
            taken.push(segment);
            match put {
                Ok(count) => total += count,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        let nothing = taken.is_empty();
        {
            let mut state = self.state.borrow_mut();
            taken.into_iter().rev().for_each(|segment| state.inbox.put_back(segment));
        }
        match result {
            _ if total > 0 => Ok(total),
            Err(error) => Err(error),
            Ok(()) if nothing && sink.left() > 0 => self.nothing_to_read(),
            Ok(()) => Ok(0),
        }
    }

    /// What a read of an empty inbox comes to.
    fn nothing_to_read(&self) -> SysResult {
        self.common.check_error()?;
        let state = self.state.borrow();
        match &state.link {
            _ if state.shutdown.read => Ok(0),
            Link::Peer(_) => Err(Errno::EAGAIN),
            _ if self.is(SOCK_DGRAM) => Err(Errno::EAGAIN),
            _ if self.is(SOCK_SEQPACKET) => Err(Errno::ENOTCONN),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn receive_message(
        &self,
        sink: &mut Sink<'_>,
        flags: u32,
        received: &mut Received,
    ) -> SysResult {
        if flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        self.common.check_error()?;
        let Some(mut segment) = ({ self.state.borrow_mut().inbox.pop() }) else {
            return self.nothing_to_read();
        };
        let peek = flags & MSG_PEEK != 0;
        let len = segment.payload.len();
        let put = segment.payload.put(sink, 0);
        received.from = segment.extra.from.clone().map(|name| Address::Unix(Some(name)));
        self.deliver(&mut segment.extra, peek, received);
        if peek {
            self.state.borrow_mut().inbox.put_back(segment);
        } else {
            drop(segment);
            self.feed_starved();
        }
        let count = put?;
        if count < len {
            received.flags |= MSG_TRUNC;
        }
        Ok(if flags & MSG_TRUNC != 0 { len } else { count })
    }
}

/// Whether a stream read that has begun may go on with `next`: not into another sender's bytes where the receiver asked
/// who sent them, and not over descriptors once control data was delivered.
fn continues(next: &Segment<Ancillary>, pass_credentials: bool, received: &Received) -> bool {
    let mut delivered = received.control.iter();
    if pass_credentials
        && let Some(Control::Credentials(credentials)) = delivered.next()
        && next.extra.sender() != *credentials
    {
        return false;
    }
    received.control.is_empty() || next.extra.rights.is_empty()
}
