//! Multicast among the sockets of the guest, over the loopback: ip(7) and ipv6(7).
//!
//! A datagram to a group goes to the sockets that have its port, once anybody has joined the group, and unless its sender
//! said that it does not want to hear itself: there is no other host that could.

use crate::errno::Errno;
use crate::net::interface;
use crate::net::option::{int, int_value};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::net as raw;
use linux_raw_sys::net::{SOL_IP, SOL_IPV6};

/// How many sockets have joined each group.
static GROUPS: Global<KCell<BTreeMap<IpAddr, usize>>> = Global::new(KCell::default);

/// Whether any socket has joined the group.
pub(super) fn is_heard(group: IpAddr) -> bool {
    GROUPS.borrow().contains_key(&group)
}

/// What a datagram socket does about groups. Dropping it leaves them.
pub(super) struct Multicast {
    groups: BTreeSet<IpAddr>,
    ttl: u8,
    hops: u8,
    /// The sender's guest hears it too.
    loops: bool,
    v6_loops: bool,
    /// Takes what comes for groups that others have joined.
    all: bool,
    v6_all: bool,
    /// The address by which the sending interface was chosen, and its index for IPv6.
    interface: [u8; 4],
    v6_interface: [u8; 4],
}

impl Default for Multicast {
    fn default() -> Self {
        Self {
            groups: BTreeSet::new(),
            ttl: 1,
            hops: 1,
            loops: true,
            v6_loops: true,
            all: true,
            v6_all: true,
            interface: [0; 4],
            v6_interface: [0; 4],
        }
    }
}

impl Drop for Multicast {
    fn drop(&mut self) {
        for group in core::mem::take(&mut self.groups) {
            forget(group);
        }
    }
}

fn forget(group: IpAddr) {
    let mut groups = GROUPS.borrow_mut();
    if let Some(count) = groups.get_mut(&group) {
        *count -= 1;
        if *count == 0 {
            groups.remove(&group);
        }
    }
}

fn word(value: &[u8], at: usize) -> Option<[u8; 4]> {
    value.get(at..at + 4)?.try_into().ok()
}

/// The interface of a request must be the loopback, by index or address, or left open.
fn check_interface(index: Option<[u8; 4]>, address: Option<[u8; 4]>) -> Result<(), Errno> {
    let index = index.map_or(0, u32::from_ne_bytes);
    let address = address.map_or(Ipv4Addr::UNSPECIFIED, Ipv4Addr::from);
    let known = match index {
        0 => address.is_unspecified() || address.is_loopback(),
        index => interface::by_index(index).is_some(),
    };
    if known { Ok(()) } else { Err(Errno::ENODEV) }
}

fn byte(number: i32) -> Result<u8, Errno> {
    if number == -1 { Ok(1) } else { u8::try_from(number).map_err(|_| Errno::EINVAL) }
}

impl Multicast {
    /// Whether a datagram to `group` is for this socket.
    pub(super) fn hears(&self, group: IpAddr) -> bool {
        self.groups.contains(&group) || if group.is_ipv4() { self.all } else { self.v6_all }
    }

    /// Whether the guest's own sockets get what this one sends to `group`.
    pub(super) fn loops_to(&self, group: IpAddr) -> bool {
        if group.is_ipv4() { self.loops } else { self.v6_loops }
    }

    /// The TTL or hop limit of what is sent to `group`.
    pub(super) fn ttl(&self, group: IpAddr) -> u8 {
        if group.is_ipv4() { self.ttl } else { self.hops }
    }

    fn join(&mut self, group: IpAddr) -> Result<(), Errno> {
        if !group.is_multicast() {
            return Err(Errno::EINVAL);
        }
        if !self.groups.insert(group) {
            return Err(Errno::EADDRINUSE);
        }
        *GROUPS.borrow_mut().entry(group).or_default() += 1;
        Ok(())
    }

    fn leave(&mut self, group: IpAddr) -> Result<(), Errno> {
        if !self.groups.remove(&group) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        forget(group);
        Ok(())
    }

    /// setsockopt(2); `None` when the option is not one of these.
    pub(super) fn set(&mut self, level: u32, name: u32, value: &[u8]) -> Option<Result<(), Errno>> {
        // A flag or a number may come as one byte too.
        let number = || match value {
            [byte] | [byte, _] | [byte, _, _] if level == SOL_IP => Ok(i32::from(*byte)),
            _ => int(value),
        };
        Some(match (level, name) {
            (SOL_IP, raw::IP_ADD_MEMBERSHIP | raw::IP_DROP_MEMBERSHIP) => (|| {
                let group = word(value, 0).ok_or(Errno::EINVAL)?;
                let address = word(value, 4).ok_or(Errno::EINVAL)?;
                check_interface(word(value, 8), Some(address))?;
                let group = IpAddr::from(group);
                if name == raw::IP_ADD_MEMBERSHIP { self.join(group) } else { self.leave(group) }
            })(),
            (SOL_IPV6, raw::IPV6_ADD_MEMBERSHIP | raw::IPV6_DROP_MEMBERSHIP) => (|| {
                let group: [u8; 16] =
                    value.get(..16).and_then(|bytes| bytes.try_into().ok()).ok_or(Errno::EINVAL)?;
                check_interface(Some(word(value, 16).ok_or(Errno::EINVAL)?), None)?;
                let group = IpAddr::from(Ipv6Addr::from(group));
                if name == raw::IPV6_ADD_MEMBERSHIP { self.join(group) } else { self.leave(group) }
            })(),
            (SOL_IP, raw::IP_MULTICAST_IF) => (|| {
                let (index, address) = match value.len() {
                    0..4 => return Err(Errno::EINVAL),
                    4..8 => (None, word(value, 0)),
                    _ => (word(value, 8), word(value, 4)),
                };
                check_interface(index, address).map_err(|_| Errno::EADDRNOTAVAIL)?;
                self.interface = address.unwrap_or_default();
                Ok(())
            })(),
            (SOL_IPV6, raw::IPV6_MULTICAST_IF) => (|| {
                check_interface(word(value, 0), None)?;
                self.v6_interface = word(value, 0).ok_or(Errno::EINVAL)?;
                Ok(())
            })(),
            (SOL_IP, raw::IP_MULTICAST_TTL) => number().and_then(byte).map(|ttl| self.ttl = ttl),
            (SOL_IPV6, raw::IPV6_MULTICAST_HOPS) => number().and_then(byte).map(|hops| self.hops = hops),
            (SOL_IP, raw::IP_MULTICAST_LOOP) => number().map(|on| self.loops = on != 0),
            (SOL_IPV6, raw::IPV6_MULTICAST_LOOP) => number().map(|on| self.v6_loops = on != 0),
            (SOL_IP, raw::IP_MULTICAST_ALL) => number().map(|on| self.all = on != 0),
            (SOL_IPV6, raw::IPV6_MULTICAST_ALL) => number().map(|on| self.v6_all = on != 0),
            _ => return None,
        })
    }

    /// getsockopt(2); `None` when the option is not one of these.
    pub(super) fn get(&self, level: u32, name: u32) -> Option<Vec<u8>> {
        Some(match (level, name) {
            (SOL_IP, raw::IP_MULTICAST_IF) => self.interface.to_vec(),
            (SOL_IPV6, raw::IPV6_MULTICAST_IF) => self.v6_interface.to_vec(),
            (SOL_IP, raw::IP_MULTICAST_TTL) => int_value(self.ttl),
            (SOL_IPV6, raw::IPV6_MULTICAST_HOPS) => int_value(self.hops),
            (SOL_IP, raw::IP_MULTICAST_LOOP) => int_value(self.loops),
            (SOL_IPV6, raw::IPV6_MULTICAST_LOOP) => int_value(self.v6_loops),
            (SOL_IP, raw::IP_MULTICAST_ALL) => int_value(self.all),
            (SOL_IPV6, raw::IPV6_MULTICAST_ALL) => int_value(self.v6_all),
            _ => return None,
        })
    }
}
