//! Requests as getifaddrs(3) and ip(8) make them.

use super::{HEADER, Netlink};
use crate::file::io::{Sink, Source};
use crate::net::Protocol;
use crate::net::addr::Address;
use crate::net::message::{Outgoing, Received};
use crate::task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::net::SOCK_RAW;
use linux_raw_sys::netlink as raw;

fn request(kind: u32, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend((kind as u16).to_ne_bytes());
    bytes.extend((flags as u16 | raw::NLM_F_REQUEST as u16).to_ne_bytes());
    bytes.extend(7u32.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// Sends a request and gives the replies: type and what follows the header.
fn ask(socket: &Arc<Netlink>, kind: u32, flags: u32, body: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let request = request(kind, flags, body);
    socket.send(&mut Source::Kernel(&request), &mut Outgoing::default()).expect("a request");
    let mut replies = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(count) = socket.receive(&mut Sink::Kernel(&mut buffer), 0, &mut Received::default()) {
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let len = u32::from_ne_bytes(rest[..4].try_into().expect("a length")) as usize;
            assert_eq!(rest[8..12], 7u32.to_ne_bytes());
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            replies.push((u32::from(kind), rest[HEADER..len].to_vec()));
            rest = &rest[len.next_multiple_of(4)..];
        }
    }
    replies
}

fn socket() -> Arc<Netlink> {
    Netlink::create(SOCK_RAW, raw::NETLINK_ROUTE).expect("a family that is served")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn dumps_tell_of_the_loopback_and_end_with_done() {
    let task = task::test::enter();
    let socket = socket();
    let links = ask(&socket, raw::RTM_GETLINK as u32, raw::NLM_F_DUMP, &[0; 16]);
    let kinds: Vec<u32> = links.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [raw::RTM_NEWLINK as u32, raw::NLMSG_DONE]);
    assert!(contains(&links[0].1, b"lo\0"));
    assert_eq!(socket.name(), Ok(Address::Netlink { port: task.pid() as u32, groups: 0 }));
    let addresses = ask(&socket, raw::RTM_GETADDR as u32, raw::NLM_F_DUMP, &[0; 1]);
    assert_eq!(addresses.len(), 3);
    assert!(contains(&addresses[0].1, &[127, 0, 0, 1]));
    let v4 = ask(&socket, raw::RTM_GETROUTE as u32, raw::NLM_F_DUMP, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(v4.len(), 4);
}

#[test]
fn one_link_is_found_by_name_and_failures_are_told() {
    task::test::enter();
    let socket = socket();
    let by_name = |name: &[u8]| {
        let mut body = alloc::vec![0; 16];
        body.extend(((4 + name.len()) as u16).to_ne_bytes());
        body.extend((raw::IFLA_IFNAME as u16).to_ne_bytes());
        body.extend(name);
        ask(&socket, raw::RTM_GETLINK as u32, raw::NLM_F_ACK, &body)
    };
    let kinds = |replies: &[(u32, Vec<u8>)]| replies.iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    assert_eq!(kinds(&by_name(b"lo\0\0")), [raw::RTM_NEWLINK as u32, raw::NLMSG_ERROR]);
    let error = |replies: &[(u32, Vec<u8>)]| -> i32 {
        assert_eq!(kinds(replies), [raw::NLMSG_ERROR]);
        i32::from_ne_bytes(replies[0].1[..4].try_into().expect("an error"))
    };
    assert_eq!(error(&by_name(b"eth9")), -19);
    assert_eq!(error(&ask(&socket, raw::RTM_NEWADDR as u32, 0, &[0; 8])), -1);
    assert_eq!(error(&ask(&socket, 4000, 0, &[0; 8])), -95);
}

#[test]
fn sockets_of_one_process_have_ports_of_their_own() {
    let task = task::test::enter();
    let (first, second) = (socket(), socket());
    let any = [&16u16.to_ne_bytes()[..], &[0; 10]].concat();
    first.bind(&task, &any).expect("a free port");
    second.bind(&task, &any).expect("a free port");
    assert_ne!(first.name(), second.name());
    first.close();
    let third = socket();
    third.bind(&task, &any).expect("a free port");
    assert_eq!(third.name(), Ok(Address::Netlink { port: task.pid() as u32, groups: 0 }));
}
