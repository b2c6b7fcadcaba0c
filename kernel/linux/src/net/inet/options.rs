//! The options of IPPROTO_IP and IPPROTO_IPV6.
//!
//! IP options, transparent binding and error queues do not exist, and say ENOPROTOOPT.

use crate::errno::Errno;
use crate::net::message::Control;
use crate::net::option::{int, int_value};
use alloc::vec::Vec;
use core::net::IpAddr;
use linux_raw_sys::net as raw;
use linux_raw_sys::net::{AF_INET6, SOL_IP, SOL_IPV6};

const TTL: u8 = 64;
/// The loopback's MTU.
pub const MTU: u32 = 65536;
/// The longest packet of IPv4.
const IP_MAX_MTU: u32 = 65535;
/// The index of the loopback, in packet information.
const LOOPBACK: u32 = 1;

/// What a socket's packets look like, and what it wants to know of those it gets.
#[derive(Clone, Debug)]
pub struct IpOptions {
    pub v6_only: bool,
    ttl: u8,
    tos: u8,
    hops: u8,
    class: u8,
    mtu_discover: i32,
    v6_mtu_discover: i32,
    bind_no_port: bool,
    packet_info: bool,
    receive_ttl: bool,
    receive_tos: bool,
    v6_packet_info: bool,
    receive_hops: bool,
    receive_class: bool,
}

impl Default for IpOptions {
    fn default() -> Self {
        Self {
            v6_only: false,
            ttl: TTL,
            tos: 0,
            hops: TTL,
            class: 0,
            mtu_discover: raw::IP_PMTUDISC_WANT as i32,
            v6_mtu_discover: raw::IPV6_PMTUDISC_WANT as i32,
            bind_no_port: false,
            packet_info: false,
            receive_ttl: false,
            receive_tos: false,
            v6_packet_info: false,
            receive_hops: false,
            receive_class: false,
        }
    }
}

/// What the control data of one message asks of its packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// The source address.
    pub source: Option<IpAddr>,
    ttl: Option<u8>,
    tos: Option<u8>,
}

impl Wishes {
    /// Reads control data; EINVAL for what is not understood.
    pub fn read(control: Vec<Control>) -> Result<Self, Errno> {
        let mut wishes = Self::default();
        for control in control {
            let Control::Other { level, kind, data } = control else { return Err(Errno::EINVAL) };
            let number = || byte(int(&data)?, 0);
            match (level, kind) {
                (SOL_IP, raw::IP_PKTINFO) => wishes.set_source(check(&data, 12)?, data.get(4..8))?,
                (SOL_IPV6, raw::IPV6_PKTINFO) => {
                    check(&data, 20)?;
                    wishes.set_source(data.get(16..20).unwrap_or_default(), data.get(..16))?;
                }
                (SOL_IP, raw::IP_TTL) => wishes.ttl = Some(number()?),
                (SOL_IP, raw::IP_TOS) => wishes.tos = Some(short(&data)? as u8),
                (SOL_IPV6, raw::IPV6_HOPLIMIT) => wishes.ttl = Some(number()?),
                (SOL_IPV6, raw::IPV6_TCLASS) => wishes.tos = Some(number()?),
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(wishes)
    }

    /// `interface` begins with its index; the address may be "any".
    fn set_source(&mut self, interface: &[u8], address: Option<&[u8]>) -> Result<(), Errno> {
        let index = int(interface)?;
        if index != 0 && index != LOOPBACK as i32 {
            return Err(Errno::ENODEV);
        }
        let address = address.unwrap_or_default();
        let ip = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
            (Ok(v4), _) => IpAddr::from(v4),
            (_, Ok(v6)) => IpAddr::from(v6).to_canonical(),
            _ => return Err(Errno::EINVAL),
        };
        if ip.is_unspecified() {
            return Ok(());
        }
        if !super::is_local(ip) {
            return Err(Errno::EINVAL);
        }
        self.source = Some(ip);
        Ok(())
    }

    pub fn apply(&self, header: &mut Header) {
        header.ttl = self.ttl.unwrap_or(header.ttl);
        header.tos = self.tos.unwrap_or(header.tos);
    }
}

/// The data if it has at least `len` bytes.
fn check(data: &[u8], len: usize) -> Result<&[u8], Errno> {
    if data.len() < len { Err(Errno::EINVAL) } else { Ok(data) }
}

/// What the header of a delivered packet said, for the receiver's control messages.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub to: IpAddr,
    pub ttl: u8,
    pub tos: u8,
}

/// A number in 0..=255, where -1 means `default`.
fn byte(number: i32, default: u8) -> Result<u8, Errno> {
    if number == -1 { Ok(default) } else { u8::try_from(number).map_err(|_| Errno::EINVAL) }
}

/// An option that may come as one byte too, as many of IPPROTO_IP may.
fn short(value: &[u8]) -> Result<i32, Errno> {
    match value {
        [byte] | [byte, _] | [byte, _, _] => Ok(i32::from(*byte)),
        _ => int(value),
    }
}

impl IpOptions {
    /// The header that this socket's packets have.
    pub fn header(&self, to: IpAddr) -> Header {
        match to {
            IpAddr::V4(_) => Header { to, ttl: self.ttl, tos: self.tos },
            IpAddr::V6(_) => Header { to, ttl: self.hops, tos: self.class },
        }
    }

    /// setsockopt(2) at IPPROTO_IP or IPPROTO_IPV6; `bound` fixes what cannot change any more.
    pub fn set(
        &mut self,
        domain: u32,
        level: u32,
        name: u32,
        value: &[u8],
        bound: bool,
    ) -> Result<(), Errno> {
        match level {
            SOL_IP => self.set_v4(name, value),
            SOL_IPV6 if domain == AF_INET6 => self.set_v6(name, value, bound),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn set_v4(&mut self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let known = matches!(
            name,
            raw::IP_TTL
                | raw::IP_TOS
                | raw::IP_PKTINFO
                | raw::IP_RECVTTL
                | raw::IP_RECVTOS
                | raw::IP_MTU_DISCOVER
                | raw::IP_BIND_ADDRESS_NO_PORT
        );
        if !known {
            return Err(Errno::ENOPROTOOPT);
        }
        let number = short(value)?;
        let on = number != 0;
        match name {
            raw::IP_TTL => match byte(number, TTL)? {
                0 => return Err(Errno::EINVAL),
                ttl => self.ttl = ttl,
            },
            raw::IP_TOS => self.tos = number as u8,
            raw::IP_PKTINFO => self.packet_info = on,
            raw::IP_RECVTTL => self.receive_ttl = on,
            raw::IP_RECVTOS => self.receive_tos = on,
            raw::IP_MTU_DISCOVER if (0..=5).contains(&number) => self.mtu_discover = number,
            raw::IP_MTU_DISCOVER => return Err(Errno::EINVAL),
            _ => self.bind_no_port = on,
        }
        Ok(())
    }

    fn set_v6(&mut self, name: u32, value: &[u8], bound: bool) -> Result<(), Errno> {
        let known = matches!(
            name,
            raw::IPV6_V6ONLY
                | raw::IPV6_UNICAST_HOPS
                | raw::IPV6_TCLASS
                | raw::IPV6_RECVPKTINFO
                | raw::IPV6_RECVHOPLIMIT
                | raw::IPV6_RECVTCLASS
                | raw::IPV6_MTU_DISCOVER
        );
        if !known {
            return Err(Errno::ENOPROTOOPT);
        }
        let number = int(value)?;
        let on = number != 0;
        match name {
            raw::IPV6_V6ONLY if bound => return Err(Errno::EINVAL),
            raw::IPV6_V6ONLY => self.v6_only = on,
            raw::IPV6_UNICAST_HOPS => self.hops = byte(number, TTL)?,
            raw::IPV6_TCLASS => self.class = byte(number, 0)?,
            raw::IPV6_RECVPKTINFO => self.v6_packet_info = on,
            raw::IPV6_RECVHOPLIMIT => self.receive_hops = on,
            raw::IPV6_RECVTCLASS => self.receive_class = on,
            _ if (0..=5).contains(&number) => self.v6_mtu_discover = number,
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// getsockopt(2) at those levels.
    pub fn get(&self, domain: u32, level: u32, name: u32, connected: bool) -> Result<Vec<u8>, Errno> {
        match level {
            SOL_IP => Ok(match name {
                raw::IP_TTL => int_value(self.ttl),
                raw::IP_TOS => int_value(self.tos),
                raw::IP_PKTINFO => int_value(self.packet_info),
                raw::IP_RECVTTL => int_value(self.receive_ttl),
                raw::IP_RECVTOS => int_value(self.receive_tos),
                raw::IP_MTU_DISCOVER => int_value(self.mtu_discover),
                raw::IP_BIND_ADDRESS_NO_PORT => int_value(self.bind_no_port),
                raw::IP_MTU if connected => int_value(MTU.min(IP_MAX_MTU)),
                raw::IP_MTU => return Err(Errno::ENOTCONN),
                _ => return Err(Errno::ENOPROTOOPT),
            }),
            SOL_IPV6 if domain == AF_INET6 => Ok(match name {
                raw::IPV6_V6ONLY => int_value(self.v6_only),
                raw::IPV6_UNICAST_HOPS => int_value(self.hops),
                raw::IPV6_TCLASS => int_value(self.class),
                raw::IPV6_RECVPKTINFO => int_value(self.v6_packet_info),
                raw::IPV6_RECVHOPLIMIT => int_value(self.receive_hops),
                raw::IPV6_RECVTCLASS => int_value(self.receive_class),
                raw::IPV6_MTU_DISCOVER => int_value(self.v6_mtu_discover),
                raw::IPV6_MTU if connected => int_value(MTU),
                raw::IPV6_MTU => return Err(Errno::ENOTCONN),
                _ => return Err(Errno::ENOPROTOOPT),
            }),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    /// Tells a receiver what it asked to know of a packet's header.
    pub fn describe(&self, header: &Header, into: &mut Vec<Control>) {
        let mut put = |level, kind, data| into.push(Control::Other { level, kind, data });
        let number = |value: u8| i32::from(value).to_ne_bytes().to_vec();
        if let IpAddr::V4(to) = header.to {
            if self.packet_info {
                // struct in_pktinfo: interface, local address, destination.
                let data = [LOOPBACK.to_ne_bytes(), to.octets(), to.octets()].concat();
                put(SOL_IP, raw::IP_PKTINFO, data);
            }
            if self.receive_ttl {
                put(SOL_IP, raw::IP_TTL, number(header.ttl));
            }
            if self.receive_tos {
                put(SOL_IP, raw::IP_TOS, alloc::vec![header.tos]);
            }
        }
        let to = match header.to {
            IpAddr::V4(to) => to.to_ipv6_mapped(),
            IpAddr::V6(to) => to,
        };
        if self.v6_packet_info {
            // struct in6_pktinfo: address, interface.
            let data = [&to.octets()[..], &LOOPBACK.to_ne_bytes()].concat();
            put(SOL_IPV6, raw::IPV6_PKTINFO, data);
        }
        if header.to.is_ipv6() {
            if self.receive_hops {
                put(SOL_IPV6, raw::IPV6_HOPLIMIT, number(header.ttl));
            }
            if self.receive_class {
                put(SOL_IPV6, raw::IPV6_TCLASS, number(header.tos));
            }
        }
    }
}
