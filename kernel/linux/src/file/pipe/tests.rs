//! The host's pipe is the model: the same random operations on both must give the same results.

use super::*;
use crate::file::OpenFile;
use crate::task;
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

fn read(of: &OpenFile, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = alloc::vec![0; len];
    let count = of.read(&mut Sink::Kernel(&mut bytes))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn write(of: &OpenFile, data: &[u8]) -> SysResult {
    of.write(&mut Source::Kernel(data))
}

fn pipe_of(of: &OpenFile) -> &Arc<Pipe> {
    of.object.downcast::<PipeEnd>().expect("a pipe").pipe()
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error() as u16)
}

/// xorshift: repeatable.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn compare_with_host(packets: bool, seed: u64) {
    let _task = task::test::enter();
    let extra = if packets { PipeFlags::DIRECT } else { PipeFlags::empty() };
    let (host_read, host_write) = pipe_with(PipeFlags::NONBLOCK | extra).unwrap();
    let flags = raw::O_NONBLOCK | if packets { raw::O_DIRECT } else { 0 };
    let (own_read, own_write) = create(flags);
    let mut random = Random(seed);
    let mut next = 0u8;
    for step in 0..4000 {
        let len = match random.below(4) {
            0 => random.below(3),
            1 => random.below(300),
            2 => random.below(5000),
            _ => random.below(30_000),
        };
        if random.below(100) < 3 {
            let bytes = 1 + random.below(200_000);
            let host = fcntl_setpipe_size(&host_write, bytes).map_err(errno).map(|_| ());
            let own = pipe_of(&own_write).set_capacity(bytes, &task::current().cred()).map(|_| ());
            assert_eq!(own, host, "step {step}: set_capacity {bytes}");
            assert_eq!(pipe_of(&own_write).capacity(), fcntl_getpipe_size(&host_write).unwrap());
        } else if random.below(2) == 0 {
            let data: Vec<u8> = (0..len)
                .map(|_| {
                    next = next.wrapping_mul(5).wrapping_add(17);
                    next
                })
                .collect();
            let host = rustix::io::write(&host_write, &data).map_err(errno);
            assert_eq!(write(&own_write, &data), host, "step {step}: write {len}");
        } else {
            let mut bytes = alloc::vec![0; len];
            let host = rustix::io::read(&host_read, &mut bytes[..]).map_err(errno).map(|count| {
                bytes.truncate(count);
                bytes
            });
            assert_eq!(read(&own_read, len), host, "step {step}: read {len}");
        }
        assert_eq!(pipe_of(&own_read).len() as u64, rustix::io::ioctl_fionread(&host_read).unwrap());
        let mut fds = [
            rustix::event::PollFd::new(&host_read, rustix::event::PollFlags::IN),
            rustix::event::PollFd::new(&host_write, rustix::event::PollFlags::OUT),
        ];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap();
        let own = [&own_read, &own_write].map(|of| (of.object.poll(of) & (EPOLLIN | EPOLLOUT)) as u16);
        assert_eq!(own, [fds[0].revents().bits(), fds[1].revents().bits()], "step {step}: poll");
    }
}

#[test]
fn random_operations_do_what_the_hosts_pipe_does() {
    for seed in 1..6 {
        compare_with_host(false, seed * 0x9e37_79b9);
    }
}

#[test]
fn random_operations_in_packet_mode_do_what_the_hosts_pipe_does() {
    for seed in 1..6 {
        compare_with_host(true, seed * 0x9e37_79b9);
    }
}

#[test]
fn the_ends_see_each_other_go() {
    let _task = task::test::enter();
    let (read_end, write_end) = create(0);
    write(&write_end, b"last").unwrap();
    drop(write_end);
    assert_eq!(read_end.object.poll(&read_end), READABLE | EPOLLHUP);
    assert_eq!(read(&read_end, 10).unwrap(), b"last");
    assert_eq!(read(&read_end, 10).unwrap(), b"");

    let (read_end, write_end) = create(0);
    drop(read_end);
    assert_eq!(write_end.object.poll(&write_end), WRITABLE | EPOLLERR);
    assert_eq!(write(&write_end, b"x"), Err(Errno::EPIPE));
    assert_eq!(write(&write_end, b""), Ok(0));
}

#[test]
fn a_blocked_end_is_interrupted_and_keeps_what_it_did() {
    let _task = task::test::enter();
    let (read_end, write_end) = create(0);
    assert_eq!(read(&read_end, 1), Err(Errno::ERESTARTSYS));
    // In a unit test a wait ends as if by a signal: the capacity has been written by then.
    assert_eq!(write(&write_end, &[7; 100_000]), Ok(65_536));
    assert_eq!(write(&write_end, b"x"), Err(Errno::ERESTARTSYS));
}

fn open_fifo(pipe: &Arc<Pipe>, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    Ok(OpenFile::new(PipeEnd::open(pipe, flags)?, flags, None))
}

#[test]
fn a_fifo_opens_as_fifo_7_says() {
    let _task = task::test::enter();
    let pipe = Pipe::new();
    assert_eq!(open_fifo(&pipe, raw::O_WRONLY | raw::O_NONBLOCK).err(), Some(Errno::ENXIO));
    assert_eq!(open_fifo(&pipe, raw::O_RDONLY).err(), Some(Errno::ERESTARTSYS));
    // The interrupted open has left nothing behind.
    assert_eq!(open_fifo(&pipe, raw::O_WRONLY | raw::O_NONBLOCK).err(), Some(Errno::ENXIO));

    let reader = open_fifo(&pipe, raw::O_RDONLY | raw::O_NONBLOCK).unwrap();
    assert_eq!(read(&reader, 1).unwrap(), b"");
    assert_eq!(reader.object.poll(&reader), 0);
    let writer = open_fifo(&pipe, raw::O_WRONLY).unwrap();
    write(&writer, b"kept").unwrap();
    drop(writer);
    assert_eq!(reader.object.poll(&reader), READABLE | EPOLLHUP);
    drop(reader);

    // Nobody had it open: the contents are gone.
    let both = open_fifo(&pipe, raw::O_RDWR | raw::O_NONBLOCK).unwrap();
    assert_eq!(read(&both, 10), Err(Errno::EAGAIN));
    write(&both, b"self").unwrap();
    assert_eq!(read(&both, 10).unwrap(), b"self");
}

#[test]
fn chunks_move_between_pipes_without_a_copy() {
    let _task = task::test::enter();
    let (from_read, from_write) = create(0);
    let (to_read, to_write) = create(0);
    write(&from_write, &[1; 5000]).unwrap();
    write(&from_write, &[2; 10]).unwrap();
    let (from, to) = (pipe_of(&from_read), pipe_of(&to_write));
    let first = from.peek(0, 3000).unwrap();
    let address = first.pages.address();
    assert!(to.fill(first).is_ok());
    from.consume(3000);
    assert_eq!(to.peek(0, 1).unwrap().pages.address(), address);
    // Neither side appends to the page they share.
    write(&to_write, b"end").unwrap();
    assert_eq!(read(&to_read, 3000).unwrap(), [1; 3000]);
    assert_eq!(read(&to_read, 10).unwrap(), b"end");
    let mut rest = alloc::vec![1; 2000];
    rest.extend([2; 10]);
    assert_eq!(read(&from_read, 9000).unwrap(), rest);
}

#[test]
fn a_pipe_opened_anew_does_not_wait_for_a_writer() {
    let _t = task::test::enter();
    let (reader, writer) = create(0);
    writer.write(&mut Source::Kernel(b"rest")).unwrap();
    drop(writer);
    let object = reader.object.reopen(raw::O_RDONLY).unwrap();
    let again = OpenFile::new(object, raw::O_RDONLY, None);
    drop(reader);
    let mut bytes = [0; 8];
    assert_eq!(again.read(&mut Sink::Kernel(&mut bytes)), Ok(4));
    assert_eq!(again.read(&mut Sink::Kernel(&mut bytes)), Ok(0));
}
