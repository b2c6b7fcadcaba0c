//! Network interfaces, and the ioctls of netdevice(7) that tell about them.
//!
//! The guest has `lo`. What changes an interface is EPERM, as it is for a process without CAP_NET_ADMIN over its network
//! namespace: the interfaces are the tender's gift.

use crate::errno::{Errno, SysResult};
use crate::mem::user;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::if_arp::ARPHRD_LOOPBACK;
use linux_raw_sys::ioctl as raw;
use linux_raw_sys::net::AF_INET;

/// An interface.
pub struct Interface {
    pub index: u32,
    pub name: &'static str,
    pub mtu: u32,
    /// IFF_* flags.
    pub flags: u32,
    /// ARPHRD_* type of the hardware address.
    pub hardware: u16,
    /// Hardware address and broadcast address.
    pub address: [u8; 6],
    pub broadcast: [u8; 6],
    pub ipv4: &'static [(Ipv4Addr, u8)],
    pub ipv6: &'static [(Ipv6Addr, u8)],
}

/// IFF_UP, IFF_LOOPBACK, IFF_RUNNING and IFF_LOWER_UP.
const LOOPBACK_FLAGS: u32 = 0x1 | 0x8 | 0x40 | 0x1_0000;

/// All interfaces, by index.
pub static ALL: [Interface; 1] = [Interface {
    index: 1,
    name: "lo",
    mtu: 65536,
    flags: LOOPBACK_FLAGS,
    hardware: ARPHRD_LOOPBACK as u16,
    address: [0; 6],
    broadcast: [0; 6],
    ipv4: &[(Ipv4Addr::LOCALHOST, 8)],
    ipv6: &[(Ipv6Addr::LOCALHOST, 128)],
}];

/// Packets and bytes that went over the loopback.
static TRAFFIC: Global<KCell<(u64, u64)>> = Global::new(KCell::default);

/// Counts a packet over the loopback.
pub fn count(bytes: usize) {
    let (packets, sum) = TRAFFIC.get();
    TRAFFIC.set((packets + 1, sum + bytes as u64));
}

/// Packets and bytes that went over the loopback: as many received as sent.
pub fn traffic() -> (u64, u64) {
    TRAFFIC.get()
}

pub fn by_name(name: &[u8]) -> Option<&'static Interface> {
    ALL.iter().find(|interface| interface.name.as_bytes() == name)
}

pub fn by_index(index: u32) -> Option<&'static Interface> {
    ALL.iter().find(|interface| interface.index == index)
}

/// Bytes of `struct ifreq`, of which the first 16 are the name.
const IFREQ: usize = 40;
const IFNAMSIZ: usize = 16;

/// A `struct sockaddr_in` with port 0, as it lies in an `ifreq`.
fn sockaddr(ip: Ipv4Addr) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    bytes[4..8].copy_from_slice(&ip.octets());
    bytes
}

/// The netmask of a prefix length.
fn netmask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0))
}

/// linux/sockios.h.
const SIOCETHTOOL: u32 = 0x8946;
/// linux/ethtool.h.
const ETHTOOL_GLINK: u32 = 10;

/// An ioctl that any socket takes. ENOTTY when it is none.
pub fn ioctl(command: u32, argument: usize) -> SysResult {
    match command {
        raw::SIOCGIFCONF => list(argument),
        raw::SIOCGIFNAME => {
            let mut request: [u8; IFREQ] = user::read(argument)?;
            let index = u32::from_ne_bytes([request[16], request[17], request[18], request[19]]);
            let interface = by_index(index).ok_or(Errno::ENODEV)?;
            set_name(&mut request, interface);
            user::write(argument, &request)?;
            Ok(0)
        }
        raw::SIOCGIFFLAGS
        | raw::SIOCGIFADDR
        | raw::SIOCGIFDSTADDR
        | raw::SIOCGIFBRDADDR
        | raw::SIOCGIFNETMASK
        | raw::SIOCGIFMETRIC
        | raw::SIOCGIFMTU
        | raw::SIOCGIFHWADDR
        | raw::SIOCGIFINDEX
        | raw::SIOCGIFTXQLEN => {
            let mut request: [u8; IFREQ] = user::read(argument)?;
            answer(command, &mut request)?;
            user::write(argument, &request)?;
            Ok(0)
        }
        SIOCETHTOOL => ethtool(argument),
        raw::SIOCSIFFLAGS
        | raw::SIOCSIFADDR
        | raw::SIOCSIFNETMASK
        | raw::SIOCSIFMTU
        | raw::SIOCSIFHWADDR
        | raw::SIOCSIFBRDADDR
        | raw::SIOCSIFNAME => Err(Errno::EPERM),
        _ => Err(Errno::ENOTTY),
    }
}

/// SIOCETHTOOL: `ifr_data` leads to a command and its value. The loopback knows that it has a link; it has no hardware to
/// be asked for its speed and driver.
fn ethtool(argument: usize) -> SysResult {
    let request: [u8; IFREQ] = user::read(argument)?;
    let data: usize = user::read(argument + IFNAMSIZ)?;
    let command = user::read(data)?;
    by_request(&request).ok_or(Errno::ENODEV)?;
    match command {
        ETHTOOL_GLINK => user::write(data + 4, &1_u32)?,
        _ => return Err(Errno::EOPNOTSUPP),
    }
    Ok(0)
}

fn set_name(request: &mut [u8; IFREQ], interface: &Interface) {
    request[..IFNAMSIZ].fill(0);
    request[..interface.name.len()].copy_from_slice(interface.name.as_bytes());
}

/// The interface that an `ifreq` names.
fn by_request(request: &[u8; IFREQ]) -> Option<&'static Interface> {
    by_name(request[..IFNAMSIZ].split(|byte| *byte == 0).next().unwrap_or_default())
}

/// Fills the part of an `ifreq` behind the name.
fn answer(command: u32, request: &mut [u8; IFREQ]) -> Result<(), Errno> {
    let interface = by_request(request).ok_or(Errno::ENODEV)?;
    let (ip, prefix) = *interface.ipv4.first().ok_or(Errno::EADDRNOTAVAIL)?;
    let value: Vec<u8> = match command {
        raw::SIOCGIFFLAGS => (interface.flags as u16).to_ne_bytes().to_vec(),
        raw::SIOCGIFADDR | raw::SIOCGIFDSTADDR => sockaddr(ip).to_vec(),
        // The loopback has no broadcast address.
        raw::SIOCGIFBRDADDR => sockaddr(Ipv4Addr::UNSPECIFIED).to_vec(),
        raw::SIOCGIFNETMASK => sockaddr(netmask(prefix)).to_vec(),
        raw::SIOCGIFMETRIC => 0u32.to_ne_bytes().to_vec(),
        raw::SIOCGIFMTU => interface.mtu.to_ne_bytes().to_vec(),
        raw::SIOCGIFHWADDR => [&interface.hardware.to_ne_bytes()[..], &interface.address[..]].concat(),
        raw::SIOCGIFINDEX => interface.index.to_ne_bytes().to_vec(),
        raw::SIOCGIFTXQLEN => 1000u32.to_ne_bytes().to_vec(),
        _ => return Err(Errno::ENOTTY),
    };
    request[IFNAMSIZ..].fill(0);
    request[IFNAMSIZ..IFNAMSIZ + value.len()].copy_from_slice(&value);
    Ok(())
}

/// SIOCGIFCONF: `struct ifconf` is a length and a buffer of `ifreq`s; a null buffer asks for the length.
fn list(argument: usize) -> SysResult {
    let [len, buffer]: [usize; 2] = user::read(argument)?;
    let room = len as u32 as usize;
    let mut requests = Vec::new();
    for interface in &ALL {
        for (ip, _) in interface.ipv4 {
            let mut request = [0; IFREQ];
            set_name(&mut request, interface);
            request[IFNAMSIZ..IFNAMSIZ + 16].copy_from_slice(&sockaddr(*ip));
            requests.extend_from_slice(&request);
        }
    }
    if buffer != 0 {
        requests.truncate(room / IFREQ * IFREQ);
        user::copy_out(buffer, &requests)?;
    }
    user::write(argument, &(requests.len() as i32))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::{IFREQ, answer, netmask};
    use crate::errno::Errno;
    use core::net::Ipv4Addr;
    use linux_raw_sys::ioctl::{SIOCGIFFLAGS, SIOCGIFINDEX, SIOCGIFNETMASK};

    #[test]
    fn netmasks_have_their_prefix() {
        assert_eq!(netmask(0), Ipv4Addr::UNSPECIFIED);
        assert_eq!(netmask(8), Ipv4Addr::new(255, 0, 0, 0));
        assert_eq!(netmask(32), Ipv4Addr::BROADCAST);
    }

    #[test]
    fn the_loopback_answers_by_name() {
        let mut request = [0; IFREQ];
        request[..2].copy_from_slice(b"lo");
        answer(SIOCGIFINDEX, &mut request).expect("lo exists");
        assert_eq!(request[16], 1);
        answer(SIOCGIFFLAGS, &mut request).expect("lo exists");
        assert_eq!(request[16], 0x49);
        answer(SIOCGIFNETMASK, &mut request).expect("lo exists");
        assert_eq!(request[20..24], [255, 0, 0, 0]);
        request[..4].copy_from_slice(b"eth9");
        assert_eq!(answer(SIOCGIFINDEX, &mut request), Err(Errno::ENODEV));
    }
}
