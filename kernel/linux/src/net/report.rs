//! The files of /proc/net: sockets, interfaces and routes as text, for netstat(8), ss(8), lsof(8) and the JVM.

use super::inet::{self, Description, tcp, udp};
use super::{interface, unix};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use linux_raw_sys::net::{AF_INET, AF_INET6};

/// The names of the files.
pub const FILES: [&str; 9] = ["arp", "dev", "if_inet6", "route", "tcp", "tcp6", "udp", "udp6", "unix"];

/// The text of a file of /proc/net; `None` when there is no such file.
pub fn file(name: &str) -> Option<Vec<u8>> {
    if name == "unix" {
        return Some(unix_sockets());
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match name {
        "arp" => {
            writeln!(text, "IP address       HW type     Flags       HW address            Mask     Device")
        }
        "dev" => devices(&mut text),
        "if_inet6" => addresses(&mut text),
        "route" => writeln!(
            text,
            "{:<127}",
            "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
        ),
        "tcp" => connections(&mut text, AF_INET),
        "tcp6" => connections(&mut text, AF_INET6),
        "udp" => datagrams(&mut text, AF_INET),
        "udp6" => datagrams(&mut text, AF_INET6),
        _ => return None,
    };
    Some(text.into_bytes())
}

fn devices(text: &mut String) -> core::fmt::Result {
    text.push_str("Inter-|   Receive                                                |  Transmit\n");
    text.push_str(" face |bytes    packets errs drop fifo frame compressed multicast");
    text.push_str("|bytes    packets errs drop fifo colls carrier compressed\n");
    let (packets, bytes) = interface::traffic();
    for interface in &interface::ALL {
        write!(
            text,
            "{:>6}: {bytes:7} {packets:7}    0    0    0     0          0         0",
            interface.name
        )?;
        writeln!(text, " {bytes:8} {packets:7}    0    0    0     0       0          0")?;
    }
    Ok(())
}

fn addresses(text: &mut String) -> core::fmt::Result {
    for interface in &interface::ALL {
        for (ip, prefix) in interface.ipv6 {
            // Scope host, flag permanent.
            writeln!(
                text,
                "{:032x} {:02x} {prefix:02x} 10 80 {:>8}",
                ip.to_bits(),
                interface.index,
                interface.name
            )?;
        }
    }
    Ok(())
}

/// An address as these files have it: 32-bit words as they lie in memory, then the port.
fn address(address: SocketAddr) -> String {
    let mut text = String::new();
    let mut word = |bytes: &[u8]| {
        let word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let _ = write!(text, "{word:08X}");
    };
    match address.ip() {
        IpAddr::V4(ip) => word(&ip.octets()),
        IpAddr::V6(ip) => ip.octets().chunks(4).for_each(word),
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}

/// The columns that TCP and UDP have in common, from the addresses to the inode number.
fn columns(socket: &Description) -> String {
    let show = |shown| address(inet::present(socket.domain, shown));
    alloc::format!(
        "{} {} {:02X} {:08X}:{:08X} 00:00000000 00000000 {:5} {:8} {}",
        show(socket.local),
        show(socket.remote),
        socket.state,
        socket.unsent,
        socket.unread,
        socket.owner,
        0,
        socket.ino
    )
}

fn connections(text: &mut String, domain: u32) -> core::fmt::Result {
    let header =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    let wide = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
    writeln!(text, "{:<149}", if domain == AF_INET { header } else { wide })?;
    for (line, socket) in tcp::all().iter().filter(|socket| socket.domain == domain).enumerate() {
        let row = alloc::format!("{line:4}: {} 1 0000000000000000 20 4 0 10 -1", columns(socket));
        writeln!(text, "{row:<149}")?;
    }
    Ok(())
}

fn datagrams(text: &mut String, domain: u32) -> core::fmt::Result {
    let header = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
    let wide = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops";
    writeln!(text, "{:<127}", if domain == AF_INET { header } else { wide })?;
    for (line, socket) in udp::all().iter().filter(|socket| socket.domain == domain).enumerate() {
        let row = alloc::format!("{line:5}: {} 2 0000000000000000 0", columns(socket));
        writeln!(text, "{row:<127}")?;
    }
    Ok(())
}

/// Names of sockets are bytes of any kind.
fn unix_sockets() -> Vec<u8> {
    let mut text = b"Num       RefCount Protocol Flags    Type St Inode Path\n".to_vec();
    for socket in unix::all() {
        // __SO_ACCEPTCON, SS_CONNECTED and SS_UNCONNECTED.
        let flags = if socket.listening { 0x1_0000 } else { 0 };
        let state = if socket.connected { 3 } else { 1 };
        let references = if socket.connected { 3 } else { 2 };
        let line = format!(
            "0000000000000000: {references:08X} 00000000 {flags:08X} {:04X} {state:02X} {:5}",
            socket.kind, socket.ino
        );
        text.extend_from_slice(line.as_bytes());
        if let Some(name) = socket.name {
            text.push(b' ');
            // An abstract name is shown with an @ for each NUL.
            text.extend(name.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }));
        }
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{FILES, address, file};
    use crate::net::{Patience, Socket};
    use crate::task;
    use linux_raw_sys::net::{AF_INET, AF_UNIX, SOCK_STREAM};

    #[test]
    fn addresses_are_words_in_memory_order() {
        assert_eq!(address("127.0.0.1:80".parse().expect("an address")), "0100007F:0050");
        let v6 = address("[::1]:80".parse().expect("an address"));
        assert_eq!(v6, "00000000000000000000000001000000:0050");
    }

    #[test]
    fn listeners_and_connections_appear_and_go() {
        let task = task::test::enter();
        let create = |domain| {
            let protocol = Socket::create(&task, domain, SOCK_STREAM, 0).expect("a socket");
            (protocol.clone(), Socket::open(protocol, true))
        };
        let (listener, listening) = create(AF_INET);
        let name = [2, 0, 0x12, 0x34, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        listener.bind(&task, &name).expect("a free port");
        listener.listen(1).expect("bound");
        let (client, open) = create(AF_INET);
        client.connect(&task, &name, Patience::Until(None)).expect("room");
        let lines = |name: &str| String::from_utf8(file(name).expect("a file")).expect("text");
        let text = lines("tcp");
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains(" 0100007F:1234 00000000:0000 0A 00000000:00000001 "), "{text}");
        assert_eq!(text.matches("0100007F:1234").count(), 3);
        drop((listener, listening, client, open));
        assert_eq!(lines("tcp").lines().count(), 1);
        let (unix, open) = create(AF_UNIX);
        unix.bind(&task, b"\x01\0\0name").expect("a free name");
        assert!(lines("unix").ends_with(" @name\n"));
        drop((unix, open));
        assert_eq!(lines("unix").lines().count(), 1);
        assert!(FILES.iter().all(|name| file(name).is_some()));
        assert_eq!(file("nothing"), None);
    }
}
