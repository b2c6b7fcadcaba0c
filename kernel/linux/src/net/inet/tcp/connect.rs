//! How TCP connections begin and end.

use super::{Link, PORTS, SEND_BUFFER, SEND_BUFFER_CONNECTED, State, Tcp};
use crate::errno::Errno;
use crate::net::inet::{any, decode, route};
use crate::net::{Patience, READABLE, STATE_CHANGED, Shutdown, addr};
use alloc::sync::Arc;
use core::net::SocketAddr;
use linux_raw_sys::net::AF_UNSPEC;

impl Tcp {
    /// connect(2). Without patience the outcome is told by EINPROGRESS first, as Linux does even on its loopback, then
    /// by poll(2), SO_ERROR, or the next connect(2).
    pub(super) fn connect_to(&self, address: &[u8], patience: Patience) -> Result<(), Errno> {
        if addr::family(address) == Some(AF_UNSPEC) {
            self.disconnect();
            return Ok(());
        }
        if self.state.borrow().connecting {
            return self.await_connection(patience, Errno::EALREADY);
        }
        match &self.state.borrow().link {
            Link::None => {}
            Link::Peer(_) => return Err(Errno::EISCONN),
            Link::Connecting(_) => return Err(Errno::EALREADY),
            Link::Listener { .. } => return Err(Errno::EISCONN),
        }
        let remote = decode(self.common.domain, address)?;
        if remote.ip().is_multicast() {
            return Err(Errno::ENETUNREACH);
        }
        let v6_only = self.ip.borrow().v6_only;
        let (to, source) = route(self.common.domain, v6_only, remote.ip())?;
        let remote = SocketAddr::new(to, remote.port());
        let bound = self.state.borrow().local;
        let bound = match bound {
            Some(local) => local,
            None => self.claim(SocketAddr::new(any(self.common.domain), 0))?,
        };
        if bound.ip().is_unspecified() {
            let local = SocketAddr::new(source, bound.port());
            PORTS.borrow_mut().set_ip(local.port(), self.common.ino, source);
            self.state.borrow_mut().local = Some(local);
        }
        {
            // A socket may connect again after an attempt that failed.
            let mut state = self.state.borrow_mut();
            state.remote = Some(remote);
            state.shutdown = Shutdown::default();
            state.finished = false;
            state.connecting = true;
        }
        let listener = PORTS.borrow().find(remote, |_| Some(0));
        match listener {
            Some(listener) => self.enter(&listener),
            None => self.refuse(),
        }
        self.await_connection(patience, Errno::EINPROGRESS)
    }

    /// Tells the outcome of an attempt, or without patience `pending` while connect(2) may not wait.
    fn await_connection(&self, patience: Patience, pending: Errno) -> Result<(), Errno> {
        let undecided = || matches!(self.state.borrow().link, Link::Connecting(_));
        if matches!(patience, Patience::None) && (undecided() || pending == Errno::EINPROGRESS) {
            return Err(pending);
        }
        if undecided() {
            match patience.wait(&self.common.queue, false, || !undecided()) {
                Err(Errno::EAGAIN) => return Err(pending),
                result => result?,
            }
        }
        let mut state = self.state.borrow_mut();
        state.connecting = false;
        if matches!(state.link, Link::Peer(_)) {
            return Ok(());
        }
        state.shutdown = Shutdown::default();
        drop(state);
        Err(self.common.take_error().unwrap_or(Errno::ECONNABORTED))
    }

    /// Becomes a connection of `listener`, or waits for room in its backlog.
    fn enter(&self, listener: &Arc<Self>) {
        let room = match &mut listener.state.borrow_mut().link {
            Link::Listener { backlog, pending, waiting } => {
                let room = pending.len() <= *backlog;
                if !room {
                    waiting.push_back(self.me.clone());
                }
                Some(room)
            }
            _ => None,
        };
        match room {
            Some(true) => self.establish(listener),
            Some(false) => self.state.borrow_mut().link = Link::Connecting(listener.me.clone()),
            None => self.refuse(),
        }
    }

    fn establish(&self, listener: &Arc<Self>) {
        let server = Self::create(listener.common.domain);
        {
            self.grow_send_buffer();
            *server.common.options.borrow_mut() = listener.common.options.borrow().clone();
            *server.ip.borrow_mut() = listener.ip.borrow().clone();
            *server.tcp.borrow_mut() = listener.tcp.borrow().clone();
        }
        server.grow_send_buffer();
        let (local, remote) = {
            let state = self.state.borrow();
            (state.remote, state.local)
        };
        if let Some(local) = local {
            PORTS.borrow_mut().share(&server.common, local, &server.me);
        }
        *server.state.borrow_mut() = State { local, remote, link: Link::Peer(self.me()), ..State::default() };
        self.state.borrow_mut().link = Link::Peer(server.clone());
        if let Link::Listener { pending, .. } = &mut listener.state.borrow_mut().link {
            pending.push_back(server);
        }
        listener.common.queue.wake(READABLE);
        self.wake_all(STATE_CHANGED);
    }

    /// A connection may have far more under way than a new socket, unless SO_SNDBUF said how much.
    fn grow_send_buffer(&self) {
        let mut options = self.common.options.borrow_mut();
        if options.send_buffer == SEND_BUFFER {
            options.send_buffer = SEND_BUFFER_CONNECTED;
        }
    }

    /// The SYN was answered by RST.
    fn refuse(&self) {
        {
            let mut state = self.state.borrow_mut();
            state.link = Link::None;
            state.shutdown = Shutdown::BOTH;
        }
        self.common.set_error(Errno::ECONNREFUSED);
        self.wake_all(STATE_CHANGED);
    }

    /// Lets in those who wait, now that the backlog has room.
    pub(super) fn admit_waiting(&self) {
        loop {
            let next = match &mut self.state.borrow_mut().link {
                Link::Listener { backlog, pending, waiting } if pending.len() <= *backlog => {
                    waiting.pop_front()
                }
                _ => None,
            };
            let Some(next) = next else { return };
            if let Some(client) = next.upgrade()
                && client.waits_for(self)
            {
                client.establish(&self.me());
            }
        }
    }

    /// Ends whatever there is: by RST when bytes are left unread, or when `abort` says so, else by FIN.
    pub(super) fn end(&self, abort: bool) {
        let (link, unread, inbox, sent_fin) = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            let sent_fin = core::mem::replace(&mut state.shutdown, Shutdown::BOTH).write;
            let inbox = core::mem::take(&mut state.inbox);
            (core::mem::take(&mut state.link), !inbox.is_empty(), inbox, sent_fin)
        };
        drop(inbox);
        match link {
            Link::Peer(peer) if unread || abort => peer.reset(),
            Link::Peer(peer) => {
                if !sent_fin {
                    peer.finish();
                }
                // A sender that waits for room must learn that nobody will make any.
                peer.wake_all(STATE_CHANGED);
            }
            Link::Listener { pending, waiting, .. } => {
                for server in pending {
                    server.end(true);
                    server.release_port();
                }
                for client in waiting.iter().filter_map(alloc::sync::Weak::upgrade) {
                    if client.waits_for(self) {
                        client.refuse();
                    }
                }
            }
            Link::Connecting(_) | Link::None => {}
        }
    }

    fn waits_for(&self, listener: &Self) -> bool {
        match &self.state.borrow().link {
            Link::Connecting(to) => to.ptr_eq(&listener.me),
            _ => false,
        }
    }

    pub(super) fn release_port(&self) {
        let local = self.state.borrow_mut().local.take();
        if let Some(local) = local {
            PORTS.borrow_mut().release(local.port(), self.common.ino);
        }
    }

    /// connect(2) to AF_UNSPEC, or shutdown(2) of a listener: back to a socket that is only bound.
    pub(super) fn disconnect(&self) {
        self.end(true);
        let local = {
            let mut state = self.state.borrow_mut();
            let local = state.local;
            *state = State { local, ..State::default() };
            local
        };
        self.common.take_error();
        if let Some(local) = local {
            PORTS.borrow_mut().clear_target(local.port(), self.common.ino);
        }
        self.wake_all(STATE_CHANGED);
    }
}
