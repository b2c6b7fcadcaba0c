//! TCP and UDP on the guest's loopback, against the host's.

use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::{Sink, Source};
use crate::net::addr::{ADDRESS_MAX, Address};
use crate::net::message::{Control, Outgoing, Received};
use crate::net::{Patience, Protocol, Shutdown, Socket, option};
use crate::task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use linux_raw_sys::general::{EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP};
use linux_raw_sys::net as raw;
use linux_raw_sys::net::{
    AF_INET, AF_INET6, AF_UNSPEC, MSG_NOSIGNAL, MSG_OOB, SOCK_DGRAM, SOCK_STREAM, SOL_IP,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

type Endpoint = (Arc<dyn Protocol>, Arc<OpenFile>);

fn socket(domain: u32, kind: u32) -> Endpoint {
    let protocol = Socket::create(&task::current(), domain, kind, 0).expect("a socket");
    (protocol.clone(), Socket::open(protocol, true))
}

fn encode(address: &str) -> Vec<u8> {
    let mut bytes = [0; ADDRESS_MAX];
    let len = Address::Inet(address.parse().expect("an address")).encode(&mut bytes);
    bytes[..len].to_vec()
}

fn bind((protocol, _): &Endpoint, address: &str) -> Result<SocketAddr, Errno> {
    protocol.bind(&task::current(), &encode(address))?;
    Ok(name(protocol))
}

fn name(protocol: &Arc<dyn Protocol>) -> SocketAddr {
    match protocol.name() {
        Ok(Address::Inet(address)) => address,
        other => panic!("an Internet address, not {other:?}"),
    }
}

fn connect((protocol, _): &Endpoint, address: &str) -> Result<(), Errno> {
    protocol.connect(&task::current(), &encode(address), Patience::Until(None))
}

fn try_connect((protocol, _): &Endpoint, address: &str) -> Result<(), Errno> {
    protocol.connect(&task::current(), &encode(address), Patience::None)
}

fn listener(domain: u32, address: &str, backlog: i32) -> (Endpoint, SocketAddr) {
    let endpoint = socket(domain, SOCK_STREAM);
    let local = bind(&endpoint, address).expect("a free port");
    endpoint.0.listen(backlog).expect("bound");
    (endpoint, local)
}

fn accept((protocol, _): &Endpoint) -> Endpoint {
    let connection = protocol.accept().expect("a connection");
    (connection.clone(), Socket::open(connection, true))
}

fn send_to(file: &OpenFile, data: &[u8], to: &[u8]) -> Result<usize, Errno> {
    let mut message = Outgoing { flags: MSG_NOSIGNAL, to, ..Outgoing::default() };
    Socket::of(file)?.send(file, &mut Source::Kernel(data), &mut message)
}

fn send(file: &OpenFile, data: &[u8]) -> Result<usize, Errno> {
    send_to(file, data, &[])
}

fn receive_all(file: &OpenFile, len: usize) -> Result<(Vec<u8>, Received), Errno> {
    let mut data = alloc::vec![0; len];
    let mut received = Received::default();
    let count = Socket::of(file)?.receive(file, &mut Sink::Kernel(&mut data), 0, &mut received)?;
    data.truncate(count);
    Ok((data, received))
}

fn receive(file: &OpenFile, len: usize) -> Result<Vec<u8>, Errno> {
    receive_all(file, len).map(|(data, _)| data)
}

fn poll(file: &OpenFile) -> u32 {
    file.object.poll(file) & (EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP)
}

fn error((protocol, _): &Endpoint) -> i32 {
    let value = option::get(&**protocol, raw::SO_ERROR).expect("SO_ERROR");
    i32::from_ne_bytes(value.try_into().expect("an int"))
}

fn pair() -> (Endpoint, Endpoint) {
    let (listener, local) = listener(AF_INET, "127.0.0.1:0", 1);
    let client = socket(AF_INET, SOCK_STREAM);
    connect(&client, &local.to_string()).expect("room");
    (client, accept(&listener))
}

/// A small repeatable generator: same seed, same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

fn host<T>(result: std::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| Errno(error.raw_os_error().expect("an error of the host's kernel") as u16))
}

/// Reads up to `len` bytes from the host. Its loopback may deliver a little later, so `due` bytes are waited for.
fn host_read(stream: &mut TcpStream, len: usize, due: Option<usize>) -> Result<Vec<u8>, Errno> {
    let mut data = alloc::vec![0; len];
    let mut done = 0;
    for _ in 0..1000 {
        match host(stream.read(&mut data[done..])) {
            Err(Errno::EAGAIN) if due.is_some() => std::thread::sleep(core::time::Duration::from_millis(1)),
            Err(error) if done == 0 => return Err(error),
            Err(_) | Ok(0) => break,
            Ok(count) => done += count,
        }
        if due.is_none_or(|due| done >= due) {
            break;
        }
    }
    data.truncate(done);
    Ok(data)
}

#[test]
fn streams_do_as_the_hosts() {
    task::test::enter();
    for seed in 1..150 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let host_listener = TcpListener::bind("127.0.0.1:0").expect("a port of the host's");
        let host_a = TcpStream::connect(host_listener.local_addr().expect("a name")).expect("a connection");
        let host_b = host_listener.accept().expect("a connection").0;
        host_a.set_nonblocking(true).expect("nonblocking");
        host_b.set_nonblocking(true).expect("nonblocking");
        // Bytes that Nagle's algorithm holds back would be lost by a reset.
        host_a.set_nodelay(true).expect("an option");
        host_b.set_nodelay(true).expect("an option");
        let (a, b) = pair();
        let mut ends = [Some((a, host_a)), Some((b, host_b))];
        for step in 0..60 {
            let side = dice.roll(2);
            let Some(((protocol, file), real)) = &mut ends[side] else { continue };
            let at = alloc::format!("seed {seed} step {step}");
            match dice.roll(20) {
                0..8 => {
                    let len = if dice.roll(4) == 0 { dice.roll(9000) } else { 1 + dice.roll(10) };
                    let data: Vec<u8> = (0..len).map(|_| dice.roll(256) as u8).collect();
                    assert_eq!(send(file, &data), host(real.write(&data)), "{at}");
                }
                8..18 => {
                    let len = 1 + if dice.roll(3) == 0 { dice.roll(20_000) } else { dice.roll(16) };
                    let ours = receive(file, len);
                    let due = match &ours {
                        Ok(data) => Some(data.len()),
                        Err(Errno::EAGAIN) => None,
                        Err(_) => Some(1),
                    };
                    let theirs = host_read(real, len, due);
                    let lengths = (ours.as_ref().map(Vec::len), theirs.as_ref().map(Vec::len));
                    assert!(ours == theirs, "{at}: {lengths:?}");
                }
                18 => {
                    assert_eq!(
                        protocol.shutdown(Shutdown::from_how(1).expect("a way")),
                        host(real.shutdown(std::net::Shutdown::Write)),
                        "{at}"
                    );
                }
                _ if step > 40 => ends[side] = None,
                _ => {}
            }
        }
    }
}

#[test]
fn a_connection_has_two_names_and_carries_bytes() {
    task::test::enter();
    let (client, server) = pair();
    assert_eq!(server.0.peer_name(), Ok(Address::Inet(name(&client.0))));
    assert_eq!(client.0.peer_name(), Ok(Address::Inet(name(&server.0))));
    assert_eq!(poll(&client.1), EPOLLOUT);
    let data: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(send(&client.1, &data), Ok(data.len()));
    assert_eq!(poll(&server.1), EPOLLIN | EPOLLOUT);
    assert_eq!(receive(&server.1, 200_000), Ok(data));
    send(&server.1, b"answer").expect("room");
    client.0.shutdown(Shutdown::from_how(1).expect("a way")).expect("connected");
    assert_eq!(receive(&server.1, 9), Ok(Vec::new()));
    assert_eq!(receive(&client.1, 9), Ok(b"answer".to_vec()));
    assert_eq!(poll(&server.1), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    drop(server);
    assert_eq!(poll(&client.1), EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLRDHUP);
}

#[test]
fn small_writes_are_joined_and_fill_the_window_only_by_their_bytes() {
    task::test::enter();
    let (client, server) = pair();
    for _ in 0..50_000 {
        assert_eq!(send(&client.1, b"xy"), Ok(2));
    }
    assert_eq!(receive(&server.1, 200_000).expect("data").len(), 100_000);
    let mut sent = 0;
    while let Ok(count) = send(&client.1, &[1; 65536]) {
        sent += count;
    }
    assert!(sent > 2_000_000, "{sent} bytes fit");
    assert_eq!(poll(&client.1), 0);
    assert_eq!(receive(&server.1, 4000).expect("data").len(), 4000);
    assert_eq!(poll(&client.1), 0);
    assert_eq!(receive(&server.1, sent).expect("data").len(), sent - 4000);
    assert_eq!(poll(&client.1), EPOLLOUT);
}

#[test]
fn a_port_that_nobody_listens_on_refuses() {
    task::test::enter();
    let client = socket(AF_INET, SOCK_STREAM);
    assert_eq!(poll(&client.1), EPOLLOUT | EPOLLHUP);
    assert_eq!(connect(&client, "127.0.0.1:1"), Err(Errno::ECONNREFUSED));
    assert_eq!(try_connect(&client, "127.0.0.1:1"), Err(Errno::EINPROGRESS));
    assert_eq!(poll(&client.1), EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
    assert_eq!(error(&client), i32::from(Errno::ECONNREFUSED.0));
    assert_eq!(error(&client), 0);
    assert_eq!(connect(&client, "127.0.0.1:1"), Err(Errno::ECONNABORTED));
    // The socket may try again.
    let (_listener, local) = listener(AF_INET, "0.0.0.0:0", 1);
    assert_eq!(connect(&client, &alloc::format!("127.0.0.1:{}", local.port())), Ok(()));
    let other = socket(AF_INET, SOCK_STREAM);
    assert_eq!(connect(&other, "192.0.2.1:80"), Err(Errno::ENETUNREACH));
    assert_eq!(send(&other.1, b"x"), Err(Errno::EPIPE));
    assert_eq!(receive(&other.1, 1), Err(Errno::ENOTCONN));
}

#[test]
fn connections_beyond_the_backlog_wait_for_room() {
    task::test::enter();
    let (listening, local) = listener(AF_INET, "127.0.0.1:0", 1);
    let clients: Vec<Endpoint> = (0..4).map(|_| socket(AF_INET, SOCK_STREAM)).collect();
    for client in &clients {
        assert_eq!(try_connect(client, &local.to_string()), Err(Errno::EINPROGRESS));
    }
    let ready = || clients.iter().map(|client| poll(&client.1)).collect::<Vec<_>>();
    assert_eq!(ready(), [EPOLLOUT, EPOLLOUT, 0, 0]);
    assert_eq!(try_connect(&clients[0], &local.to_string()), Ok(()));
    assert_eq!(try_connect(&clients[0], &local.to_string()), Err(Errno::EISCONN));
    assert_eq!(try_connect(&clients[2], &local.to_string()), Err(Errno::EALREADY));
    let _server = accept(&listening);
    assert_eq!(ready(), [EPOLLOUT, EPOLLOUT, EPOLLOUT, 0]);
    drop(listening);
    assert_eq!(error(&clients[2]), i32::from(Errno::ECONNRESET.0));
    assert_eq!(error(&clients[3]), i32::from(Errno::ECONNREFUSED.0));
    assert_eq!(poll(&clients[0].1), EPOLLOUT);
}

#[test]
fn a_close_with_bytes_unread_or_no_linger_resets() {
    task::test::enter();
    let (client, server) = pair();
    send(&client.1, b"unread").expect("room");
    drop(server);
    assert_eq!(receive(&client.1, 1), Err(Errno::ECONNRESET));
    assert_eq!(receive(&client.1, 1), Ok(Vec::new()));
    assert_eq!(send(&client.1, b"x"), Err(Errno::EPIPE));
    let (client, server) = pair();
    let linger: Vec<u8> = [1i32, 0].iter().flat_map(|field| field.to_ne_bytes()).collect();
    option::set(&*server.0, raw::SO_LINGER, &linger).expect("an option");
    send(&server.1, b"last").expect("room");
    drop(server);
    assert_eq!(receive(&client.1, 9), Ok(b"last".to_vec()));
    assert_eq!(receive(&client.1, 9), Err(Errno::ECONNRESET));
}

#[test]
fn an_urgent_byte_stands_beside_the_stream_and_marks_it() {
    task::test::enter();
    let (client, server) = pair();
    let send_urgent = |data| {
        let mut message = Outgoing { flags: MSG_OOB, ..Outgoing::default() };
        let socket = Socket::of(&client.1).expect("a socket");
        socket.send(&client.1, &mut Source::Kernel(data), &mut message)
    };
    let urgent = || {
        let (mut byte, mut received) = ([0], Received::default());
        let socket = Socket::of(&server.1).expect("a socket");
        let count = socket.receive(&server.1, &mut Sink::Kernel(&mut byte), MSG_OOB, &mut received);
        count.map(|_| byte[0])
    };
    assert_eq!(urgent(), Err(Errno::EINVAL));
    send(&client.1, b"ab").expect("room");
    assert_eq!(send_urgent(b"U"), Ok(1));
    send(&client.1, b"cd").expect("room");
    assert_eq!(server.1.object.poll(&server.1) & EPOLLPRI, EPOLLPRI);
    assert_eq!(urgent(), Ok(b'U'));
    assert_eq!(urgent(), Err(Errno::EINVAL));
    assert_eq!(server.1.object.poll(&server.1) & EPOLLPRI, 0);
    assert_eq!(receive(&server.1, 16), Ok(b"ab".to_vec()));
    assert_eq!(receive(&server.1, 16), Ok(b"cd".to_vec()));
    assert_eq!(receive(&server.1, 16), Err(Errno::EAGAIN));
    option::set(&*server.0, raw::SO_OOBINLINE, &1i32.to_ne_bytes()).expect("an option");
    assert_eq!(send_urgent(b"efU"), Ok(3));
    assert_eq!(receive(&server.1, 16), Ok(b"ef".to_vec()));
    assert_eq!(receive(&server.1, 16), Ok(b"U".to_vec()));
}

#[test]
fn ports_are_shared_only_as_the_options_say() {
    let on = 1i32.to_ne_bytes();
    task::test::enter();
    let (first, local) = listener(AF_INET, "127.0.0.1:0", 1);
    let address = local.to_string();
    let wildcard = alloc::format!("0.0.0.0:{}", local.port());
    let other = alloc::format!("127.0.0.2:{}", local.port());
    assert_eq!(bind(&socket(AF_INET, SOCK_STREAM), &address), Err(Errno::EADDRINUSE));
    assert_eq!(bind(&socket(AF_INET, SOCK_STREAM), &wildcard), Err(Errno::EADDRINUSE));
    assert!(bind(&socket(AF_INET, SOCK_STREAM), &other).is_ok());
    assert!(bind(&socket(AF_INET, SOCK_DGRAM), &address).is_ok());
    assert_eq!(bind(&socket(AF_INET, SOCK_STREAM), "192.0.2.1:0"), Err(Errno::EADDRNOTAVAIL));
    // Connections of a server that is gone do not keep its port from one with SO_REUSEADDR.
    option::set(&*first.0, raw::SO_REUSEADDR, &on).expect("an option");
    drop(first);
    let server = socket(AF_INET, SOCK_STREAM);
    option::set(&*server.0, raw::SO_REUSEADDR, &on).expect("an option");
    bind(&server, &address).expect("free again");
    server.0.listen(1).expect("bound");
    let client = socket(AF_INET, SOCK_STREAM);
    connect(&client, &address).expect("room");
    let connection = accept(&server);
    drop(server);
    assert_eq!(bind(&socket(AF_INET, SOCK_STREAM), &address), Err(Errno::EADDRINUSE));
    let server = socket(AF_INET, SOCK_STREAM);
    option::set(&*server.0, raw::SO_REUSEADDR, &on).expect("an option");
    bind(&server, &address).expect("shared with the connection");
    server.0.listen(1).expect("nobody else listens");
    drop((server, connection, client));
    // Two listeners on one port take turns.
    let servers: Vec<Endpoint> = (0..2)
        .map(|_| {
            let server = socket(AF_INET, SOCK_STREAM);
            option::set(&*server.0, raw::SO_REUSEPORT, &on).expect("an option");
            bind(&server, &address).expect("shared");
            server.0.listen(100).expect("shared");
            server
        })
        .collect();
    let clients: Vec<Endpoint> = (0..64).map(|_| socket(AF_INET, SOCK_STREAM)).collect();
    clients.iter().for_each(|client| connect(client, &address).expect("room"));
    assert!(servers.iter().all(|server| poll(&server.1) == EPOLLIN));
}

#[test]
fn an_ipv6_socket_serves_ipv4_too_unless_told_not_to() {
    task::test::enter();
    let (server, local) = listener(AF_INET6, "[::]:0", 4);
    let v4 = alloc::format!("127.0.0.1:{}", local.port());
    let client = socket(AF_INET, SOCK_STREAM);
    connect(&client, &v4).expect("dual stack");
    let connection = accept(&server);
    let Ok(Address::Inet(peer)) = connection.0.peer_name() else { panic!("a peer") };
    assert!(peer.to_string().starts_with("[::ffff:127.0.0.1]:"), "{peer}");
    let v6 = socket(AF_INET6, SOCK_STREAM);
    connect(&v6, &alloc::format!("[::1]:{}", local.port())).expect("IPv6");
    let mapped = socket(AF_INET6, SOCK_STREAM);
    connect(&mapped, &alloc::format!("[::ffff:127.0.0.1]:{}", local.port())).expect("mapped");
    assert_eq!(bind(&socket(AF_INET, SOCK_STREAM), &v4), Err(Errno::EADDRINUSE));
    let only = socket(AF_INET6, SOCK_STREAM);
    only.0.set_option(raw::SOL_IPV6, raw::IPV6_V6ONLY, &1i32.to_ne_bytes()).expect("an option");
    let port = bind(&only, "[::]:0").expect("a port").port();
    only.0.listen(1).expect("bound");
    let v4 = alloc::format!("127.0.0.1:{port}");
    assert_eq!(connect(&socket(AF_INET, SOCK_STREAM), &v4), Err(Errno::ECONNREFUSED));
    assert!(bind(&socket(AF_INET, SOCK_STREAM), &v4).is_ok());
}

#[test]
fn datagrams_reach_the_socket_that_fits_best() {
    task::test::enter();
    let server = socket(AF_INET, SOCK_DGRAM);
    let to = encode(&bind(&server, "127.0.0.1:0").expect("a port").to_string());
    let (a, b) = (socket(AF_INET, SOCK_DGRAM), socket(AF_INET, SOCK_DGRAM));
    assert_eq!(send(&a.1, b"x"), Err(Errno::EDESTADDRREQ));
    server.0.set_option(SOL_IP, raw::IP_PKTINFO, &1i32.to_ne_bytes()).expect("an option");
    assert_eq!(send_to(&a.1, b"first", &to), Ok(5));
    assert_eq!(send_to(&b.1, b"", &to), Ok(0));
    let (data, received) = receive_all(&server.1, 99).expect("a datagram");
    assert_eq!(data, b"first");
    assert_eq!(received.from, Some(Address::Inet(SocketAddr::new([127, 0, 0, 1].into(), name(&a.0).port()))));
    assert!(matches!(&received.control[..], [Control::Other { level: SOL_IP, kind: raw::IP_PKTINFO, .. }]));
    assert_eq!(receive(&server.1, 99), Ok(Vec::new()));
    assert_eq!(receive(&server.1, 99), Err(Errno::EAGAIN));
    // A connected socket hears its peer only.
    connect(&server, &alloc::format!("127.0.0.1:{}", name(&b.0).port())).expect("any address");
    send_to(&a.1, b"stranger", &to).expect("sent");
    send_to(&b.1, b"peer", &to).expect("sent");
    assert_eq!(receive(&server.1, 99), Ok(b"peer".to_vec()));
    assert_eq!(receive(&server.1, 99), Err(Errno::EAGAIN));
    assert_eq!(send_to(&a.1, &[0; 65508], &to), Err(Errno::EMSGSIZE));
    assert_eq!(send_to(&a.1, b"x", &encode("127.255.255.255:9")), Err(Errno::EACCES));
}

#[test]
fn a_connected_datagram_socket_learns_that_nobody_is_there() {
    task::test::enter();
    let client = socket(AF_INET6, SOCK_DGRAM);
    connect(&client, "[::1]:9").expect("any address");
    assert_eq!(send(&client.1, b"x"), Ok(1));
    assert_eq!(poll(&client.1) & EPOLLERR, EPOLLERR);
    assert_eq!(receive(&client.1, 1), Err(Errno::ECONNREFUSED));
    assert_eq!(receive(&client.1, 1), Err(Errno::EAGAIN));
    let unspecified = (AF_UNSPEC as u16).to_ne_bytes();
    client.0.connect(&task::current(), &unspecified, Patience::None).expect("disconnect");
    assert_eq!(send(&client.1, b"x"), Err(Errno::EDESTADDRREQ));
    assert_eq!(send_to(&client.1, b"x", &encode("[::1]:9")), Ok(1));
    assert_eq!(receive(&client.1, 1), Err(Errno::EAGAIN));
}

#[test]
fn a_message_may_choose_its_source_and_hops() {
    task::test::enter();
    let server = socket(AF_INET, SOCK_DGRAM);
    let to = encode(&bind(&server, "127.0.0.1:0").expect("a port").to_string());
    server.0.set_option(SOL_IP, raw::IP_RECVTTL, &1i32.to_ne_bytes()).expect("an option");
    let client = socket(AF_INET, SOCK_DGRAM);
    let send_with = |kind, data: &[u8]| {
        let control = alloc::vec![Control::Other { level: SOL_IP, kind, data: data.to_vec() }];
        let mut message = Outgoing { to: &to, control, ..Outgoing::default() };
        let socket = Socket::of(&client.1).expect("a socket");
        socket.send(&client.1, &mut Source::Kernel(b"x"), &mut message)
    };
    assert_eq!(send_with(raw::IP_PKTINFO, &[1, 0, 0, 0, 127, 0, 0, 9, 0, 0, 0, 0]), Ok(1));
    let from = receive_all(&server.1, 9).expect("a datagram").1.from;
    assert!(matches!(from, Some(Address::Inet(from)) if from.ip().to_string() == "127.0.0.9"));
    assert_eq!(send_with(raw::IP_TTL, &5i32.to_ne_bytes()), Ok(1));
    let control = receive_all(&server.1, 9).expect("a datagram").1.control;
    assert!(matches!(&control[..], [Control::Other { kind: raw::IP_TTL, data, .. }] if data[0] == 5));
    assert_eq!(send_with(raw::IP_PKTINFO, &[0, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(send_with(9999, &[0; 4]), Err(Errno::EINVAL));
    // Nothing ever waits in the queue of errors.
    let socket = Socket::of(&client.1).expect("a socket");
    let result =
        socket.receive(&client.1, &mut Sink::Kernel(&mut [0]), raw::MSG_ERRQUEUE, &mut Received::default());
    assert_eq!(result, Err(Errno::EAGAIN));
}

#[test]
fn a_group_is_heard_by_those_who_joined_it() {
    task::test::enter();
    let on = 1i32.to_ne_bytes();
    let members: Vec<Endpoint> = (0..2)
        .map(|_| {
            let member = socket(AF_INET, SOCK_DGRAM);
            option::set(&*member.0, raw::SO_REUSEADDR, &on).expect("an option");
            bind(&member, "0.0.0.0:5353").expect("shared");
            member
        })
        .collect();
    let sender = socket(AF_INET, SOCK_DGRAM);
    let group = encode("224.0.0.251:5353");
    assert_eq!(send_to(&sender.1, b"nobody", &group), Ok(6));
    let request = [224, 0, 0, 251, 127, 0, 0, 1];
    let join = |name| members[0].0.set_option(SOL_IP, name, &request);
    assert_eq!(join(raw::IP_ADD_MEMBERSHIP), Ok(()));
    assert_eq!(join(raw::IP_ADD_MEMBERSHIP), Err(Errno::EADDRINUSE));
    members[1].0.set_option(SOL_IP, raw::IP_MULTICAST_ALL, &[0]).expect("an option");
    assert_eq!(send_to(&sender.1, b"hello", &group), Ok(5));
    assert_eq!(receive(&members[0].1, 9), Ok(b"hello".to_vec()));
    assert_eq!(receive(&members[0].1, 9), Err(Errno::EAGAIN));
    assert_eq!(receive(&members[1].1, 9), Err(Errno::EAGAIN));
    sender.0.set_option(SOL_IP, raw::IP_MULTICAST_LOOP, &[0]).expect("an option");
    assert_eq!(send_to(&sender.1, b"silent", &group), Ok(6));
    assert_eq!(receive(&members[0].1, 9), Err(Errno::EAGAIN));
    assert_eq!(join(raw::IP_DROP_MEMBERSHIP), Ok(()));
    assert_eq!(join(raw::IP_DROP_MEMBERSHIP), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn a_ping_is_answered() {
    let task = task::test::enter();
    let protocol = Socket::create(&task, AF_INET, SOCK_DGRAM, 1).expect("a ping socket");
    let file = Socket::open(protocol, true);
    let request = [8, 0, 0, 0, 0, 0, 0, 1, b'h', b'i'];
    assert_eq!(send_to(&file, &request, &encode("127.0.0.1:0")), Ok(10));
    let reply = receive(&file, 99).expect("an answer");
    assert_eq!((reply[0], &reply[6..]), (0, &request[6..]));
    let words = reply.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
}

#[test]
fn options_that_do_nothing_here_are_refused() {
    task::test::enter();
    let tcp = socket(AF_INET, SOCK_STREAM);
    let one = 1i32.to_ne_bytes();
    tcp.0.set_option(raw::SOL_TCP, raw::TCP_NODELAY, &one).expect("an option");
    assert_eq!(tcp.0.option(raw::SOL_TCP, raw::TCP_NODELAY), Ok(one.to_vec()));
    let congestion = |name: &[u8]| tcp.0.set_option(raw::SOL_TCP, raw::TCP_CONGESTION, name);
    assert_eq!((congestion(b"reno"), congestion(b"nothing")), (Ok(()), Err(Errno::ENOENT)));
    assert_eq!(tcp.0.option(raw::SOL_TCP, raw::TCP_CONGESTION), Ok(b"reno\0\0\0\0\0\0\0\0\0\0\0\0".to_vec()));
    assert_eq!(tcp.0.set_option(raw::SOL_TCP, raw::TCP_FASTOPEN, &one), Err(Errno::ENOPROTOOPT));
    assert_eq!(tcp.0.set_option(SOL_IP, raw::IP_ADD_MEMBERSHIP, &[0; 8]), Err(Errno::ENOPROTOOPT));
    assert_eq!(tcp.0.set_option(raw::SOL_IPV6, raw::IPV6_V6ONLY, &one), Err(Errno::ENOPROTOOPT));
    assert_eq!(tcp.0.option(raw::SOL_TCP, raw::TCP_INFO).expect("a struct")[0], 7);
    let refused = |kind, protocol| Socket::create(&task::current(), AF_INET, kind, protocol).err();
    assert_eq!(refused(SOCK_STREAM, 17), Some(Errno::EPROTONOSUPPORT));
    assert_eq!(refused(raw::SOCK_SEQPACKET, 0), Some(Errno::ESOCKTNOSUPPORT));
}
