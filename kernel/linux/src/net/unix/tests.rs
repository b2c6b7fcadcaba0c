//! Unix sockets against the host's own, and the collector of descriptors in flight.

use super::garbage::in_flight;
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::{Sink, Source};
use crate::net::message::{Control, Credentials, Outgoing, Received};
use crate::net::unix::Endpoint;
use crate::net::{Protocol, Shutdown, Socket, option};
use crate::task;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP};
use linux_raw_sys::net as raw;
use linux_raw_sys::net::{
    AF_UNIX, MSG_NOSIGNAL, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
};
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};

fn pair(kind: u32) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let (a, b) = Endpoint::pair(kind, 0).expect("a pair");
    (Socket::open(a, true), Socket::open(b, true))
}

fn send(file: &OpenFile, data: &[u8]) -> Result<usize, Errno> {
    let mut message = Outgoing { flags: MSG_NOSIGNAL, ..Outgoing::default() };
    Socket::of(file)?.send(file, &mut Source::Kernel(data), &mut message)
}

fn send_files(file: &OpenFile, data: &[u8], files: &[&Arc<OpenFile>]) -> Result<usize, Errno> {
    let control = alloc::vec![Control::Rights(files.iter().map(|file| (*file).clone()).collect())];
    let mut message = Outgoing { control, ..Outgoing::default() };
    Socket::of(file)?.send(file, &mut Source::Kernel(data), &mut message)
}

fn receive(file: &OpenFile, len: usize, flags: u32) -> Result<(Vec<u8>, Received), Errno> {
    let mut data = alloc::vec![0; len];
    let mut received = Received::default();
    let count = Socket::of(file)?.receive(file, &mut Sink::Kernel(&mut data), flags, &mut received)?;
    data.truncate(count);
    Ok((data, received))
}

fn poll(file: &OpenFile) -> u32 {
    file.object.poll(file)
}

fn address(name: &[u8]) -> Vec<u8> {
    [&(AF_UNIX as u16).to_ne_bytes()[..], name].concat()
}

fn socket(kind: u32) -> (Arc<dyn Protocol>, Arc<OpenFile>) {
    let protocol = Socket::create(&task::current(), AF_UNIX, kind, 0).expect("a socket");
    (protocol.clone(), Socket::open(protocol, true))
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

#[test]
fn streams_do_as_the_hosts() {
    task::test::enter();
    for seed in 1..300 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let (mut host_a, mut host_b) = UnixStream::pair().expect("a pair of the host's");
        host_a.set_nonblocking(true).expect("nonblocking");
        host_b.set_nonblocking(true).expect("nonblocking");
        let (a, b) = pair(SOCK_STREAM);
        let mut ends = [(Some(a), Some(&mut host_a)), (Some(b), Some(&mut host_b))];
        for step in 0..60 {
            let side = dice.roll(2);
            let (Some(file), Some(real)) = &mut ends[side] else { continue };
            match dice.roll(20) {
                0..8 => {
                    let len = if dice.roll(4) == 0 { dice.roll(9000) } else { dice.roll(10) };
                    let data: Vec<u8> = (0..len).map(|_| dice.roll(256) as u8).collect();
                    // A full buffer is reached at another length, so what the host did not take is not offered.
                    let theirs = host(real.write(&data));
                    let offered = theirs.map_or(&data[..], |count| &data[..count]);
                    if theirs != Err(Errno::EAGAIN) {
                        assert_eq!(send(file, offered), theirs, "seed {seed} step {step}");
                    }
                }
                8..18 => {
                    let len = if dice.roll(3) == 0 { dice.roll(20_000) } else { dice.roll(16) };
                    let mut theirs = alloc::vec![0; len];
                    let result = host(real.read(&mut theirs)).map(|count| theirs[..count].to_vec());
                    let ours = receive(file, len, 0).map(|(data, _)| data);
                    assert_eq!(ours, result, "seed {seed} step {step}");
                }
                18 => {
                    let (how, same) = [
                        (Shutdown::from_how(0), std::net::Shutdown::Read),
                        (Shutdown::from_how(1), std::net::Shutdown::Write),
                    ][dice.roll(2)];
                    host(real.shutdown(same)).expect("shutdown");
                    let socket = Socket::of(file).expect("a socket");
                    socket.protocol.shutdown(how.expect("a way")).expect("shutdown");
                }
                _ if step > 40 => {
                    // The host's end is closed through a copy of the descriptor that owns it.
                    let real = ends[side].1.take().expect("open");
                    *real = UnixStream::pair().expect("a pair of the host's").0;
                    ends[side].0 = None;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn datagrams_do_as_the_hosts() {
    task::test::enter();
    for seed in 1..100 {
        let mut dice = Dice(seed * 0x51_7cc1);
        let (real_a, real_b) = UnixDatagram::pair().expect("a pair of the host's");
        let (a, b) = pair(SOCK_DGRAM);
        let ends = [(a, real_a), (b, real_b)];
        ends.iter().for_each(|(_, real)| real.set_nonblocking(true).expect("nonblocking"));
        for step in 0..60 {
            let (file, real) = &ends[dice.roll(2)];
            if dice.roll(2) == 0 {
                let data: Vec<u8> = (0..dice.roll(300)).map(|_| dice.roll(256) as u8).collect();
                assert_eq!(send(file, &data), host(real.send(&data)), "seed {seed} step {step}");
            } else {
                let len = dice.roll(300);
                let mut theirs = alloc::vec![0; len];
                let result = host(real.recv(&mut theirs)).map(|count| theirs[..count].to_vec());
                let ours = receive(file, len, 0).map(|(data, _)| data);
                assert_eq!(ours, result, "seed {seed} step {step}");
            }
        }
    }
}

#[test]
fn an_end_that_closes_with_unread_data_resets_the_other() {
    task::test::enter();
    let (a, b) = pair(SOCK_STREAM);
    assert_eq!(send(&a, b"unread"), Ok(6));
    drop(b);
    assert_eq!(poll(&a) & (EPOLLHUP | EPOLLRDHUP | EPOLLIN), EPOLLHUP | EPOLLRDHUP | EPOLLIN);
    assert_eq!(receive(&a, 1, 0).map(|_| ()), Err(Errno::ECONNRESET));
    assert_eq!(receive(&a, 1, 0).map(|(data, _)| data), Ok(Vec::new()));
    assert_eq!(send(&a, b"x"), Err(Errno::EPIPE));
}

#[test]
fn a_full_stream_is_not_writable_until_read() {
    task::test::enter();
    let (a, b) = pair(SOCK_STREAM);
    let mut sent = 0;
    while let Ok(count) = send(&a, &[7; 10_000]) {
        sent += count;
    }
    assert!((100_000..300_000).contains(&sent), "{sent} bytes fit");
    assert_eq!(poll(&a) & EPOLLOUT, 0);
    assert_eq!(receive(&b, sent, MSG_WAITALL).expect("all of it").0.len(), sent);
    assert_eq!(poll(&a) & EPOLLOUT, EPOLLOUT);
}

#[test]
fn peeking_leaves_the_bytes_and_truncation_tells_their_number() {
    task::test::enter();
    let (a, b) = pair(SOCK_STREAM);
    send(&a, b"one").expect("room");
    send(&a, b"two").expect("room");
    assert_eq!(receive(&b, 5, MSG_PEEK).expect("data").0, b"onetw");
    assert_eq!(receive(&b, 9, 0).expect("data").0, b"onetwo");
    let (a, b) = pair(SOCK_SEQPACKET);
    send(&a, b"message").expect("room");
    let mut buffer = [0; 3];
    let mut received = Received::default();
    let socket = Socket::of(&b).expect("a socket");
    let flags = MSG_PEEK | MSG_TRUNC;
    let count = socket.receive(&b, &mut Sink::Kernel(&mut buffer), flags, &mut received);
    assert_eq!((count, received.flags, &buffer), (Ok(7), MSG_TRUNC, b"mes"));
    assert_eq!(receive(&b, 9, 0).expect("data").0, b"message");
    drop(a);
    assert_eq!(receive(&b, 9, 0).expect("the end").0, b"");
}

#[test]
fn a_listener_takes_its_backlog_and_no_more() {
    let task = task::test::enter();
    let name = address(b"\0listener");
    let (client, _file) = socket(SOCK_STREAM);
    let connect = |protocol: &Arc<dyn Protocol>| protocol.connect(&task, &name, crate::net::Patience::None);
    assert_eq!(connect(&client), Err(Errno::ECONNREFUSED));
    let (listener, file) = socket(SOCK_STREAM);
    assert_eq!(listener.listen(1), Err(Errno::EINVAL));
    listener.bind(&task, &name).expect("a free name");
    assert_eq!(socket(SOCK_STREAM).0.bind(&task, &name), Err(Errno::EADDRINUSE));
    assert_eq!(connect(&client), Err(Errno::ECONNREFUSED));
    listener.listen(1).expect("bound");
    let more: Vec<_> = (0..3).map(|_| socket(SOCK_STREAM)).collect();
    assert_eq!(
        more.iter().map(|(client, _)| connect(client)).collect::<Vec<_>>(),
        [Ok(()), Ok(()), Err(Errno::EAGAIN)]
    );
    let server = Socket::open(listener.accept().expect("a connection"), true);
    assert_eq!(connect(&more[2].0), Ok(()));
    assert_eq!(connect(&more[2].0), Err(Errno::EISCONN));
    send(&more[0].1, b"hello").expect("room");
    assert_eq!(receive(&server, 9, 0).expect("data").0, b"hello");
    assert_eq!(server.object.poll(&server) & EPOLLIN, 0);
    drop((listener, file));
    // Those not accepted are reset, the accepted one goes on.
    assert_eq!(receive(&more[1].1, 1, 0).map(|_| ()), Err(Errno::ECONNRESET));
    send(&server, b"still here").expect("room");
    assert_eq!(socket(SOCK_STREAM).0.bind(&task, &name), Ok(()));
}

#[test]
fn datagrams_find_their_receiver_by_name() {
    let task = task::test::enter();
    let (receiver, receiver_file) = socket(SOCK_DGRAM);
    receiver.bind(&task, &address(b"")).expect("autobind");
    let crate::net::addr::Address::Unix(Some(name)) = receiver.name().expect("a name") else {
        panic!("autobind gives a name");
    };
    assert_eq!((name.len(), name[0]), (6, 0));
    let (_, sender) = socket(SOCK_DGRAM);
    let to = address(&name);
    let mut message = Outgoing { to: &to, ..Outgoing::default() };
    let socket_of_sender = Socket::of(&sender).expect("a socket");
    assert_eq!(socket_of_sender.send(&sender, &mut Source::Kernel(b"hi"), &mut message), Ok(2));
    assert_eq!(receive(&receiver_file, 9, 0).expect("data").0, b"hi");
    drop((receiver, receiver_file));
    let result = socket_of_sender.send(&sender, &mut Source::Kernel(b"hi"), &mut message);
    assert_eq!(result, Err(Errno::ECONNREFUSED));
}

#[test]
fn a_path_leads_to_the_socket_while_it_is_open() {
    crate::fs::init_root(&[]).expect("an empty root");
    let task = task::test::enter();
    let name = address(b"/socket\0");
    let connect =
        |(client, _): &(Arc<dyn Protocol>, _)| client.connect(&task, &name, crate::net::Patience::None);
    assert_eq!(connect(&socket(SOCK_STREAM)), Err(Errno::ENOENT));
    let (listener, file) = socket(SOCK_STREAM);
    listener.bind(&task, &name).expect("a free name");
    listener.listen(1).expect("bound");
    assert_eq!(socket(SOCK_DGRAM).0.bind(&task, &name), Err(Errno::EADDRINUSE));
    assert_eq!(listener.bind(&task, &name), Err(Errno::EADDRINUSE));
    assert_eq!(listener.bind(&task, &address(b"/other")), Err(Errno::EINVAL));
    let mut bytes = [0; crate::net::addr::ADDRESS_MAX];
    let len = listener.name().expect("a name").encode(&mut bytes);
    assert_eq!(&bytes[..len], name);
    assert_eq!(connect(&socket(SOCK_STREAM)), Ok(()));
    assert_eq!(connect(&socket(SOCK_DGRAM)), Err(Errno::EPROTOTYPE));
    task.set_cred(task::cred::Cred::new(1000, 1000));
    assert_eq!(connect(&socket(SOCK_STREAM)), Err(Errno::EACCES));
    task.set_cred(task::cred::Cred::new(0, 0));
    drop((listener, file));
    assert_eq!(connect(&socket(SOCK_STREAM)), Err(Errno::ECONNREFUSED));
    assert_eq!(socket(SOCK_STREAM).0.bind(&task, &name), Err(Errno::EADDRINUSE));
    crate::fs::tree::unlink(&task, linux_raw_sys::general::AT_FDCWD, b"/socket").expect("a file");
    assert_eq!(socket(SOCK_STREAM).0.bind(&task, &name), Ok(()));
}

#[test]
fn credentials_come_with_bytes_when_asked_for() {
    let task = task::test::enter();
    let (a, b) = pair(SOCK_STREAM);
    let protocol = &Socket::of(&b).expect("a socket").protocol;
    option::set(&**protocol, raw::SO_PASSCRED, &1i32.to_ne_bytes()).expect("an option of Unix sockets");
    send(&a, b"x").expect("room");
    let (_, received) = receive(&b, 1, 0).expect("data");
    let [Control::Credentials(credentials)] = &received.control[..] else { panic!("credentials") };
    assert_eq!(*credentials, Credentials { pid: task.pid(), uid: 0, gid: 0 });
    let peer = option::get(&**protocol, raw::SO_PEERCRED).expect("a peer");
    assert_eq!(peer, [task.pid(), 0, 0].iter().flat_map(|field| field.to_ne_bytes()).collect::<Vec<u8>>());
    assert_eq!(option::get(&**protocol, 9999), Err(Errno::ENOPROTOOPT));
    // What was sent while nobody asked has no sender; what was sent before accept(2) has.
    let (a, b) = pair(SOCK_DGRAM);
    send(&a, b"x").expect("room");
    let ask = |file: &OpenFile| {
        let protocol = &Socket::of(file).expect("a socket").protocol;
        option::set(&**protocol, raw::SO_PASSCRED, &1i32.to_ne_bytes()).expect("an option");
        match receive(file, 1, 0).expect("data").1.control[..] {
            [Control::Credentials(credentials)] => credentials.pid,
            _ => panic!("credentials"),
        }
    };
    assert_eq!(ask(&b), 0);
    let (listener, _file) = socket(SOCK_STREAM);
    listener.bind(&task, &address(b"\0passcred")).expect("a free name");
    listener.listen(1).expect("bound");
    let (client, client_file) = socket(SOCK_STREAM);
    client.connect(&task, &address(b"\0passcred"), crate::net::Patience::None).expect("room");
    send(&client_file, b"x").expect("room");
    assert_eq!(ask(&Socket::open(listener.accept().expect("a connection"), true)), task.pid());
}

#[test]
fn descriptors_arrive_with_their_bytes() {
    task::test::enter();
    let (a, b) = pair(SOCK_STREAM);
    let (c, d) = pair(SOCK_STREAM);
    send(&a, b"plain").expect("room");
    send_files(&a, b"with", &[&c]).expect("room");
    send(&a, b"after").expect("room");
    drop(c);
    // A read stops behind the descriptors.
    let (data, mut received) = receive(&b, 99, 0).expect("data");
    assert_eq!(data, b"plainwith");
    let Some(Control::Rights(mut files)) = received.control.pop() else { panic!("descriptors") };
    let c = files.pop().expect("one descriptor");
    send(&c, b"through").expect("room");
    assert_eq!(receive(&d, 99, 0).expect("data").0, b"through");
    assert_eq!(receive(&b, 99, 0).expect("data").0, b"after");
    assert_eq!(in_flight(), 0);
}

#[test]
fn sockets_that_only_hold_each_other_are_closed() {
    task::test::enter();
    // Each in its own queue, each in the other's, and a bystander in the queue of one.
    for _ in 0..20 {
        let (a, b) = pair(SOCK_STREAM);
        let (c, d) = pair(SOCK_DGRAM);
        let (bystander, other) = pair(SOCK_STREAM);
        send_files(&a, b"x", &[&b]).expect("room");
        send_files(&b, b"x", &[&a]).expect("room");
        send_files(&c, b"x", &[&a, &d, &bystander]).expect("room");
        let weak = [&a, &b, &c, &d, &bystander].map(Arc::downgrade);
        drop((a, b, c, bystander));
        // b lies only in its own queue, a also in d's.
        assert!(weak[0].upgrade().is_some() && weak[1].upgrade().is_none());
        assert_eq!(poll(&other) & EPOLLHUP, 0);
        drop(d);
        // Nothing was closed by that, so nobody has looked.
        drop(pair(SOCK_DGRAM));
        assert!(weak.iter().all(|file| file.upgrade().is_none()));
        assert_eq!(poll(&other) & EPOLLHUP, EPOLLHUP);
        assert_eq!(in_flight(), 0);
    }
}

#[test]
fn a_cycle_through_a_connection_not_accepted_is_closed() {
    let task = task::test::enter();
    let (listener, file) = socket(SOCK_STREAM);
    let name = address(b"\0embryo");
    listener.bind(&task, &name).expect("a free name");
    listener.listen(4).expect("bound");
    let (client, client_file) = socket(SOCK_STREAM);
    client.connect(&task, &name, crate::net::Patience::None).expect("room");
    send_files(&client_file, b"x", &[&file]).expect("room");
    let weak = Arc::downgrade(&file);
    drop((listener, file));
    assert!(weak.upgrade().is_some(), "in flight");
    drop((client, client_file));
    assert!(weak.upgrade().is_none());
    assert_eq!(in_flight(), 0);
}

#[test]
fn garbage_does_not_pile_up_while_nothing_is_closed() {
    task::test::enter();
    for _ in 0..5000 {
        let (a, b) = pair(SOCK_STREAM);
        send_files(&a, b"x", &[&a, &b]).expect("room");
    }
    assert!(in_flight() < 3000, "{} in flight", in_flight());
}

#[test]
fn a_long_chain_of_queues_is_dropped_without_recursion() {
    task::test::enter();
    let (mut last, mut keep) = pair(SOCK_STREAM);
    for _ in 0..5000 {
        let (a, b) = pair(SOCK_STREAM);
        send_files(&a, b"x", &[&last, &keep]).expect("room");
        (last, keep) = (a, b);
    }
    drop((last, keep));
    assert_eq!(in_flight(), 0);
}
