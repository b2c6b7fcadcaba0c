//! What NETLINK_ROUTE tells: links, addresses, routes, neighbours. Changing them is EPERM.

use super::Replies;
use crate::errno::Errno;
use crate::net::inet;
use crate::net::interface::{self, Interface};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net::{AF_INET, AF_INET6, AF_PACKET, AF_UNSPEC};
use linux_raw_sys::netlink as raw;

const NEWLINK: u16 = raw::RTM_NEWLINK as u16;
const GETLINK: u16 = raw::RTM_GETLINK as u16;
const NEWADDR: u16 = raw::RTM_NEWADDR as u16;
const GETADDR: u16 = raw::RTM_GETADDR as u16;
const NEWROUTE: u16 = raw::RTM_NEWROUTE as u16;
const GETROUTE: u16 = raw::RTM_GETROUTE as u16;
const GETNEIGH: u16 = raw::RTM_GETNEIGH as u16;

/// Bytes of `struct ifinfomsg`, `ifaddrmsg` and `rtmsg`.
const LINK_MESSAGE: usize = 16;
const ADDRESS_MESSAGE: usize = 8;
const ROUTE_MESSAGE: usize = 12;

const TABLE_MAIN: u8 = 254;
const TABLE_LOCAL: u8 = 255;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const SCOPE_HOST: u8 = 254;

/// Serves one request. `strict`: the caller's filters in a dump's header are meant (NETLINK_GET_STRICT_CHK).
pub(super) fn answer(
    kind: u16,
    dump: bool,
    strict: bool,
    body: &[u8],
    replies: &mut Replies,
) -> Result<(), Errno> {
    // Of a dump Linux takes a header as short as one byte: `struct rtgenmsg`, the family alone.
    let family = u32::from(*body.first().ok_or(Errno::EINVAL)?);
    match (kind, dump) {
        (GETLINK, true) => {
            if matches!(family, AF_UNSPEC | AF_PACKET | AF_INET | AF_INET6) {
                interface::ALL.iter().for_each(|interface| link(interface, replies));
            }
        }
        (GETLINK, false) => {
            let fixed = body.get(..LINK_MESSAGE).ok_or(Errno::EINVAL)?;
            let index = u32::from_ne_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
            let name = attribute(&body[LINK_MESSAGE..], raw::IFLA_IFNAME as u16)
                .or_else(|| attribute(&body[LINK_MESSAGE..], raw::IFLA_ALT_IFNAME as u16));
            let found = match name {
                _ if index != 0 => interface::by_index(index),
                Some(name) => interface::by_name(name.split(|byte| *byte == 0).next().unwrap_or_default()),
                None => return Err(Errno::EINVAL),
            };
            link(found.ok_or(Errno::ENODEV)?, replies);
        }
        (GETADDR, true) => {
            let index = match body.get(4..ADDRESS_MESSAGE) {
                Some(&[a, b, c, d]) if strict => u32::from_ne_bytes([a, b, c, d]),
                _ => 0,
            };
            for interface in interface::ALL.iter().filter(|own| index == 0 || own.index == index) {
                addresses(interface, family, replies);
            }
        }
        (GETROUTE, true) => {
            let table = if strict { body.get(4).copied().unwrap_or(0) } else { 0 };
            routes(family, table, replies);
        }
        (GETROUTE, false) => {
            if body.len() < ROUTE_MESSAGE {
                return Err(Errno::EINVAL);
            }
            let to =
                attribute(&body[ROUTE_MESSAGE..], raw::rtattr_type_t::RTA_DST as u16).unwrap_or_default();
            let to = address(family, to).ok_or(Errno::EINVAL)?;
            let (to, source) = inet::route(family, true, to)?;
            let route = Route {
                to,
                prefix: if to.is_ipv4() { 32 } else { 128 },
                table: TABLE_LOCAL,
                scope: SCOPE_UNIVERSE,
                kind: raw::RTN_LOCAL as u8,
                metric: None,
                source: Some(source),
            };
            route.put(replies);
        }
        // Nobody is a neighbour on a loopback.
        (GETNEIGH, true) => {}
        _ if (raw::RTM_BASE as u16..=raw::RTM_BASE as u16 + 63).contains(&kind) && kind % 4 != 2 => {
            return Err(Errno::EPERM);
        }
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(())
}

/// The value of an attribute in a request.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let header = attributes.get(..4)?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]);
        let value = attributes.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

fn address(family: u32, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        AF_INET6 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

fn link(interface: &Interface, replies: &mut Replies) {
    let mut body = [0; LINK_MESSAGE];
    body[2..4].copy_from_slice(&interface.hardware.to_ne_bytes());
    body[4..8].copy_from_slice(&interface.index.to_ne_bytes());
    body[8..12].copy_from_slice(&interface.flags.to_ne_bytes());
    replies.message(NEWLINK, &body, |replies| {
        let mut number = |kind: u16, value: u32| replies.attribute(kind, &value.to_ne_bytes());
        number(raw::IFLA_TXQLEN as u16, 1000);
        number(raw::IFLA_MTU as u16, interface.mtu);
        number(raw::IFLA_GROUP as u16, 0);
        number(raw::IFLA_PROMISCUITY as u16, 0);
        number(raw::IFLA_NUM_TX_QUEUES as u16, 1);
        number(raw::IFLA_NUM_RX_QUEUES as u16, 1);
        replies.attribute(raw::IFLA_IFNAME as u16, &[interface.name.as_bytes(), b"\0"].concat());
        // Unknown: what a loopback always says.
        replies.attribute(raw::IFLA_OPERSTATE as u16, &[0]);
        replies.attribute(raw::IFLA_LINKMODE as u16, &[0]);
        replies.attribute(raw::IFLA_CARRIER as u16, &[1]);
        replies.attribute(raw::IFLA_QDISC as u16, b"noqueue\0");
        replies.attribute(raw::IFLA_ADDRESS as u16, &interface.address);
        replies.attribute(raw::IFLA_BROADCAST as u16, &interface.broadcast);
    });
}

fn addresses(interface: &Interface, family: u32, replies: &mut Replies) {
    let mut put = |ip: IpAddr, prefix: u8| {
        let (own, bytes) = (family_of(ip), octets(ip));
        let mut body = [own as u8, prefix, raw::IFA_F_PERMANENT as u8, SCOPE_HOST, 0, 0, 0, 0];
        body[4..].copy_from_slice(&interface.index.to_ne_bytes());
        replies.message(NEWADDR, &body, |replies| {
            replies.attribute(raw::IFA_ADDRESS as u16, bytes.as_ref());
            if ip.is_ipv4() {
                replies.attribute(raw::IFA_LOCAL as u16, bytes.as_ref());
                replies.attribute(raw::IFA_LABEL as u16, &[interface.name.as_bytes(), b"\0"].concat());
            }
            replies.attribute(raw::IFA_FLAGS as u16, &raw::IFA_F_PERMANENT.to_ne_bytes());
            // struct ifa_cacheinfo: preferred and valid for ever; created and changed at the start.
            let times: [u32; 4] = [u32::MAX, u32::MAX, 0, 0];
            let times: Vec<u8> = times.into_iter().flat_map(u32::to_ne_bytes).collect();
            replies.attribute(raw::IFA_CACHEINFO as u16, &times);
        });
    };
    if matches!(family, AF_UNSPEC | AF_INET) {
        interface.ipv4.iter().for_each(|(ip, prefix)| put((*ip).into(), *prefix));
    }
    if matches!(family, AF_UNSPEC | AF_INET6) {
        interface.ipv6.iter().for_each(|(ip, prefix)| put((*ip).into(), *prefix));
    }
}

fn family_of(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { AF_INET } else { AF_INET6 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// An entry of a routing table, all of which lead to the loopback.
struct Route {
    to: IpAddr,
    prefix: u8,
    table: u8,
    scope: u8,
    kind: u8,
    metric: Option<u32>,
    source: Option<IpAddr>,
}

impl Route {
    fn put(&self, replies: &mut Replies) {
        let family = family_of(self.to) as u8;
        let protocol = raw::RTPROT_KERNEL as u8;
        let body = [family, self.prefix, 0, 0, self.table, protocol, self.scope, self.kind, 0, 0, 0, 0];
        replies.message(NEWROUTE, &body, |replies| {
            replies.attribute(raw::rtattr_type_t::RTA_TABLE as u16, &u32::from(self.table).to_ne_bytes());
            replies.attribute(raw::rtattr_type_t::RTA_DST as u16, &octets(self.to));
            if let Some(metric) = self.metric {
                replies.attribute(raw::rtattr_type_t::RTA_PRIORITY as u16, &metric.to_ne_bytes());
            }
            if let Some(source) = self.source {
                replies.attribute(raw::rtattr_type_t::RTA_PREFSRC as u16, &octets(source));
            }
            replies.attribute(raw::rtattr_type_t::RTA_OIF as u16, &interface::ALL[0].index.to_ne_bytes());
        });
    }
}

/// The routes that Linux makes for a loopback that is up.
fn routes(family: u32, table: u8, replies: &mut Replies) {
    let local = raw::RTN_LOCAL as u8;
    let v4 = |to: Ipv4Addr, prefix, scope, kind| Route {
        to: to.into(),
        prefix,
        table: TABLE_LOCAL,
        scope,
        kind,
        metric: None,
        source: Some(Ipv4Addr::LOCALHOST.into()),
    };
    let v6 = |table, kind, metric| Route {
        to: Ipv6Addr::LOCALHOST.into(),
        prefix: 128,
        table,
        scope: SCOPE_UNIVERSE,
        kind,
        metric: Some(metric),
        source: None,
    };
    let all = [
        v4(Ipv4Addr::new(127, 0, 0, 0), 8, SCOPE_HOST, local),
        v4(Ipv4Addr::LOCALHOST, 32, SCOPE_HOST, local),
        v4(Ipv4Addr::new(127, 255, 255, 255), 32, SCOPE_LINK, raw::RTN_BROADCAST as u8),
        v6(TABLE_MAIN, raw::RTN_UNICAST as u8, 256),
        v6(TABLE_LOCAL, local, 0),
    ];
    for route in &all {
        let wanted = matches!(family, AF_UNSPEC) || family == family_of(route.to);
        if wanted && (table == 0 || table == route.table) {
            route.put(replies);
        }
    }
}
