//! TCP, UDP and ping sockets of IPv4 and IPv6.
//!
//! The guest's own addresses are served here without packets: what is sent goes straight into the receiver's inbox, and
//! a refused port or a reset is told in the same call. A packet stack would copy each byte twice more, hold two buffers
//! for every connection and look at every socket for every packet. Addresses outside the guest are `unreachable` until
//! a device leads there.
//!
//! An IPv4 address is one value whichever family its socket has: `::ffff:a.b.c.d` is turned into IPv4 where an address
//! comes in and back where it goes out.

mod multicast;
pub mod options;
pub mod ports;
pub mod tcp;
pub mod udp;

use super::{Protocol, addr};
use crate::errno::Errno;
use crate::task::cred::Uid;
use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use linux_raw_sys::net::{AF_INET, AF_INET6, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};

/// What a line of /proc/net/tcp or /proc/net/udp tells of a socket. `state` is a number of TCP_INFO; `unread` counts
/// connections where it listens.
pub struct Description {
    pub domain: u32,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: u8,
    pub unsent: usize,
    pub unread: usize,
    pub owner: Uid,
    pub ino: u64,
}

/// The protocols of IPPROTO_* that sockets have here.
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP: u32 = 1;
const ICMPV6: u32 = 58;

/// socket(2): stream sockets are TCP's, datagram sockets UDP's or for ping. There are no raw ones, as for a process
/// without CAP_NET_RAW.
pub fn create(domain: u32, kind: u32, protocol: u32) -> Result<Arc<dyn Protocol>, Errno> {
    let icmp = if domain == AF_INET { ICMP } else { ICMPV6 };
    match (kind, protocol) {
        (_, 256..) => Err(Errno::EINVAL),
        (SOCK_STREAM, 0 | TCP) => Ok(tcp::Tcp::create(domain)),
        (SOCK_DGRAM, 0 | UDP) => Ok(udp::Datagram::create(domain, false)),
        (SOCK_DGRAM, protocol) if protocol == icmp => Ok(udp::Datagram::create(domain, true)),
        (SOCK_RAW, 0) => Err(Errno::EPROTONOSUPPORT),
        (SOCK_RAW, _) => Err(Errno::EPERM),
        (SOCK_STREAM | SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// The address of a caller's `sockaddr`, in its one form. EINVAL when too short, EAFNOSUPPORT for another family.
pub fn decode(domain: u32, address: &[u8]) -> Result<SocketAddr, Errno> {
    let family = addr::family(address).ok_or(Errno::EINVAL)?;
    let enough = if domain == AF_INET6 { 24 } else { 16 };
    if family == domain && address.len() < enough {
        return Err(Errno::EINVAL);
    }
    // An IPv6 socket may be given an IPv4 address only in its mapped form.
    if family != domain {
        return Err(Errno::EAFNOSUPPORT);
    }
    let address = addr::decode_inet(address).ok_or(Errno::EINVAL)?;
    Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// As `decode`, for bind(2), which on IPv4 also takes "any" without its family, for old programs.
pub fn decode_to_bind(domain: u32, address: &[u8]) -> Result<SocketAddr, Errno> {
    match *address {
        [0, 0, high, low, 0, 0, 0, 0, ..] if domain == AF_INET && address.len() >= 16 => {
            Ok(SocketAddr::new(any(domain), u16::from_be_bytes([high, low])))
        }
        _ => decode(domain, address),
    }
}

/// An address as sockets of `domain` show it.
pub fn present(domain: u32, address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if domain == AF_INET6 => {
            SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into()
        }
        other => other,
    }
}

/// The address that means any, of a family.
pub fn any(domain: u32) -> IpAddr {
    if domain == AF_INET { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Whether the guest itself has this address.
pub fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// The broadcast address of the loopback's network.
const LOOPBACK_BROADCAST: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255));

/// Whether datagrams to this address need SO_BROADCAST.
pub fn is_broadcast(ip: IpAddr) -> bool {
    ip == LOOPBACK_BROADCAST || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// Where a packet to `ip` from a socket of `domain` goes, and the source address it has there. The address "any" is the
/// guest itself.
pub fn route(domain: u32, v6_only: bool, ip: IpAddr) -> Result<(IpAddr, IpAddr), Errno> {
    let loopback = |ip: IpAddr| -> IpAddr {
        if ip.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
    };
    let to = if ip.is_unspecified() { loopback(ip) } else { ip };
    if domain == AF_INET6 && v6_only && to.is_ipv4() {
        return Err(Errno::ENETUNREACH);
    }
    if is_local(to) || to.is_multicast() { Ok((to, loopback(to))) } else { Err(Errno::ENETUNREACH) }
}

#[cfg(test)]
mod tests;
