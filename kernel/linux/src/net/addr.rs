//! Socket addresses, as the calls return them.

use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};
use linux_raw_sys::net::{AF_INET, AF_INET6, AF_NETLINK, AF_UNIX};

/// A Unix name as it follows `sun_family`: empty is unnamed, a leading NUL is abstract, else a path without its NUL.
pub type UnixName = Arc<[u8]>;

/// Room for any address (`struct sockaddr_storage`).
pub const ADDRESS_MAX: usize = 128;

/// The name of a socket, its own or its peer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(Option<UnixName>),
    Inet(SocketAddr),
    Netlink { port: u32, groups: u32 },
}

impl Address {
    /// Writes the `struct sockaddr_*` and returns its length.
    pub fn encode(&self, out: &mut [u8; ADDRESS_MAX]) -> usize {
        let mut fields = Fields { out, len: 0 };
        match self {
            Self::Unix(name) => {
                fields.put(&(AF_UNIX as u16).to_ne_bytes());
                let name = name.as_deref().unwrap_or_default();
                fields.put(name);
                if name.first().is_some_and(|byte| *byte != 0) {
                    fields.put(&[0]);
                }
            }
            Self::Inet(SocketAddr::V4(addr)) => {
                fields.put(&(AF_INET as u16).to_ne_bytes());
                fields.put(&addr.port().to_be_bytes());
                fields.put(&addr.ip().octets());
                fields.put(&[0; 8]);
            }
            Self::Inet(SocketAddr::V6(addr)) => {
                fields.put(&(AF_INET6 as u16).to_ne_bytes());
                fields.put(&addr.port().to_be_bytes());
                fields.put(&addr.flowinfo().to_be_bytes());
                fields.put(&addr.ip().octets());
                fields.put(&addr.scope_id().to_ne_bytes());
            }
            Self::Netlink { port, groups } => {
                fields.put(&(AF_NETLINK as u16).to_ne_bytes());
                fields.put(&[0; 2]);
                fields.put(&port.to_ne_bytes());
                fields.put(&groups.to_ne_bytes());
            }
        }
        fields.len
    }
}

struct Fields<'a> {
    out: &'a mut [u8; ADDRESS_MAX],
    len: usize,
}

impl Fields<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// The family of an address given by a caller; `None` when it is too short to have one.
pub fn family(address: &[u8]) -> Option<u32> {
    Some(u32::from(u16::from_ne_bytes([*address.first()?, *address.get(1)?])))
}

/// Decodes a `sockaddr_in` or `sockaddr_in6`; `None` when too short or of another family.
pub fn decode_inet(address: &[u8]) -> Option<SocketAddr> {
    let array = |at: usize| -> Option<[u8; 4]> { address.get(at..at + 4)?.try_into().ok() };
    let port = u16::from_be_bytes(address.get(2..4)?.try_into().ok()?);
    match family(address)? {
        AF_INET if address.len() >= 16 => Some(SocketAddr::new(IpAddr::from(array(4)?), port)),
        AF_INET6 if address.len() >= 24 => {
            let ip: [u8; 16] = address.get(8..24)?.try_into().ok()?;
            let scope = array(24).map_or(0, u32::from_ne_bytes);
            let flow = u32::from_be_bytes(array(4)?);
            Some(core::net::SocketAddrV6::new(ip.into(), port, flow, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS_MAX, Address, decode_inet};

    #[test]
    fn internet_addresses_survive_the_trip() {
        for text in ["127.0.0.1:80", "[::1]:65535", "[fe80::1]:0"] {
            let address = text.parse().expect("an address");
            let mut bytes = [0; ADDRESS_MAX];
            let len = Address::Inet(address).encode(&mut bytes);
            assert_eq!(decode_inet(&bytes[..len]), Some(address));
            assert_eq!(decode_inet(&bytes[..len - 5]), None);
        }
    }

    #[test]
    fn unix_paths_end_with_a_nul_and_abstract_names_do_not() {
        let mut bytes = [0; ADDRESS_MAX];
        assert_eq!(Address::Unix(Some((*b"/a")[..].into())).encode(&mut bytes), 5);
        assert_eq!(&bytes[..5], b"\x01\0/a\0");
        assert_eq!(Address::Unix(Some((*b"\0a")[..].into())).encode(&mut bytes), 4);
        assert_eq!(Address::Unix(None).encode(&mut bytes), 2);
    }
}
