//! Who has which port.
//!
//! One table for TCP and one for UDP. A claim is a local address of one socket; the rules for sharing a port are
//! SO_REUSEADDR's and SO_REUSEPORT's, as socket(7) and Linux have them.

use crate::errno::Errno;
use crate::net::Common;
use crate::task;
use crate::task::cred::{CAP_NET_BIND_SERVICE, Uid};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::net::{IpAddr, SocketAddr};
use husk_machine::random;

/// Ports that the kernel hands out: net.ipv4.ip_local_port_range.
const EPHEMERAL: core::ops::RangeInclusive<u16> = 32768..=60999;
/// Ports below need CAP_NET_BIND_SERVICE.
const UNPRIVILEGED: u16 = 1024;

/// Identifies a claim: the inode number of its socket.
type Id = u64;

struct Owner<T> {
    ip: IpAddr,
    /// An IPv6 socket bound to "any" that leaves IPv4 alone.
    v6_only: bool,
    reuse_address: bool,
    reuse_port: bool,
    uid: Uid,
    listening: bool,
    endpoint: Weak<T>,
}

impl<T> Owner<T> {
    /// How well the claim fits a packet to `ip`: `None` not at all, else the higher the better.
    fn fit(&self, ip: IpAddr) -> Option<u32> {
        match self.ip {
            own if own == ip => Some(2),
            IpAddr::V4(own) if own.is_unspecified() && ip.is_ipv4() => Some(1),
            IpAddr::V6(own) if own.is_unspecified() && ip.is_ipv6() => Some(1),
            IpAddr::V6(own) if own.is_unspecified() && !self.v6_only => Some(0),
            _ => None,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let any = |owner: &Self| match owner.ip {
            // A claim for every address meets all those of the families it covers.
            IpAddr::V4(ip) => (ip.is_unspecified(), true, false),
            IpAddr::V6(ip) => (ip.is_unspecified(), ip.is_unspecified() && !owner.v6_only, true),
        };
        let ((any_a, v4_a, v6_a), (any_b, v4_b, v6_b)) = (any(self), any(other));
        self.ip == other.ip || (any_a || any_b) && (v4_a && v4_b || v6_a && v6_b)
    }

    /// Whether both may have the port. `shared_listening`: reuse of addresses does not let two sockets listen.
    fn tolerates(&self, other: &Self) -> bool {
        !self.overlaps(other)
            || self.reuse_address && other.reuse_address && !self.listening && !other.listening
            || self.reuse_port && other.reuse_port && self.uid == other.uid
    }
}

/// The claims of one protocol.
pub struct Table<T> {
    ports: BTreeMap<u16, BTreeMap<Id, Owner<T>>>,
    /// Listening TCP sockets and all UDP sockets: those that a first packet may find.
    targets: BTreeMap<u16, BTreeMap<Id, ()>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { ports: BTreeMap::new(), targets: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    fn owner(common: &Common, ip: IpAddr, v6_only: bool, endpoint: &Weak<T>) -> Owner<T> {
        let options = common.options.borrow();
        Owner {
            ip,
            v6_only,
            reuse_address: options.reuse_address,
            reuse_port: options.reuse_port,
            uid: common.owner.0,
            listening: false,
            endpoint: endpoint.clone(),
        }
    }

    fn is_free(&self, port: u16, id: Id, owner: &Owner<T>) -> bool {
        self.ports
            .get(&port)
            .is_none_or(|owners| owners.iter().all(|(other, claim)| *other == id || claim.tolerates(owner)))
    }

    /// Claims `address` for a socket, or with port 0 a free port there; the port. EACCES, EADDRINUSE.
    pub fn claim(
        &mut self,
        common: &Common,
        address: SocketAddr,
        v6_only: bool,
        endpoint: &Weak<T>,
    ) -> Result<u16, Errno> {
        let owner = Self::owner(common, address.ip(), v6_only, endpoint);
        let port = match address.port() {
            0 => self.find_free()?,
            port => {
                if port < UNPRIVILEGED && !task::current().cred().capable(CAP_NET_BIND_SERVICE) {
                    return Err(Errno::EACCES);
                }
                if !self.is_free(port, common.ino, &owner) {
                    return Err(Errno::EADDRINUSE);
                }
                port
            }
        };
        self.ports.entry(port).or_default().insert(common.ino, owner);
        Ok(port)
    }

    /// Claims a port that another socket of the same server has: an accepted connection keeps its listener's.
    pub fn share(&mut self, common: &Common, address: SocketAddr, endpoint: &Weak<T>) {
        let owner = Self::owner(common, address.ip(), false, endpoint);
        self.ports.entry(address.port()).or_default().insert(common.ino, owner);
    }

    /// A port that nobody has, from a random one on.
    fn find_free(&self) -> Result<u16, Errno> {
        let (first, count) = (u32::from(*EPHEMERAL.start()), EPHEMERAL.len() as u32);
        let mut seed = [0; 4];
        random::fill(&mut seed);
        let start = u32::from_ne_bytes(seed) % count;
        (0..count)
            .map(|step| (first + (start + step) % count) as u16)
            .find(|port| !self.ports.contains_key(port))
            .ok_or(Errno::EADDRINUSE)
    }

    /// Makes a claim findable by `find`. A listener must not overlap with another that does not share its port.
    pub fn set_target(&mut self, port: u16, id: Id, listening: bool) -> Result<(), Errno> {
        let Some(owners) = self.ports.get_mut(&port) else { return Err(Errno::EINVAL) };
        let Some(mut owner) = owners.remove(&id) else { return Err(Errno::EINVAL) };
        owner.listening = listening;
        let conflict = listening && owners.values().any(|other| other.listening && !other.tolerates(&owner));
        owner.listening &= !conflict;
        owners.insert(id, owner);
        if conflict {
            return Err(Errno::EADDRINUSE);
        }
        self.targets.entry(port).or_default().insert(id, ());
        Ok(())
    }

    /// The claim stays, but packets no longer find it.
    pub fn clear_target(&mut self, port: u16, id: Id) {
        remove(&mut self.targets, port, id);
        if let Some(owner) = self.ports.get_mut(&port).and_then(|owners| owners.get_mut(&id)) {
            owner.listening = false;
        }
    }

    /// Narrows a claim to the address that connect(2) chose.
    pub fn set_ip(&mut self, port: u16, id: Id, ip: IpAddr) {
        if let Some(owner) = self.ports.get_mut(&port).and_then(|owners| owners.get_mut(&id)) {
            owner.ip = ip;
        }
    }

    pub fn release(&mut self, port: u16, id: Id) {
        remove(&mut self.ports, port, id);
        remove(&mut self.targets, port, id);
    }

    /// The targets for a packet to `address` that fit best by address and then by `score`; among several that share the
    /// port, one at random.
    pub fn find(&self, address: SocketAddr, score: impl Fn(&T) -> Option<u32>) -> Option<Arc<T>> {
        let mut best: Option<(u32, Arc<T>)> = None;
        let mut equals = 0u32;
        for (fit, endpoint) in self.matches(address) {
            let Some(score) = score(&endpoint) else { continue };
            let rank = score * 4 + fit;
            match &best {
                Some((other, _)) if *other > rank => {}
                Some((other, _)) if *other == rank => {
                    equals += 1;
                    if chance(equals) {
                        best = Some((rank, endpoint));
                    }
                }
                _ => {
                    equals = 1;
                    best = Some((rank, endpoint));
                }
            }
        }
        best.map(|(_, endpoint)| endpoint)
    }

    /// All targets that fit a packet to `address`, and how well.
    pub fn matches(&self, address: SocketAddr) -> impl Iterator<Item = (u32, Arc<T>)> {
        let owners = self.ports.get(&address.port());
        let ids = self.targets.get(&address.port()).into_iter().flat_map(BTreeMap::keys);
        ids.filter_map(move |id| {
            let owner = owners?.get(id)?;
            Some((owner.fit(address.ip())?, owner.endpoint.upgrade()?))
        })
    }

    /// Every socket that has a port, for /proc/net.
    pub fn all(&self) -> impl Iterator<Item = Arc<T>> {
        self.ports.values().flat_map(|owners| owners.values().filter_map(|owner| owner.endpoint.upgrade()))
    }
}

/// True once in `of` times.
fn chance(of: u32) -> bool {
    let mut seed = [0; 4];
    random::fill(&mut seed);
    u32::from_ne_bytes(seed).is_multiple_of(of)
}

fn remove<V>(table: &mut BTreeMap<u16, BTreeMap<Id, V>>, port: u16, id: Id) -> Option<V> {
    let claims = table.get_mut(&port)?;
    let claim = claims.remove(&id);
    if claims.is_empty() {
        table.remove(&port);
    }
    claim
}
