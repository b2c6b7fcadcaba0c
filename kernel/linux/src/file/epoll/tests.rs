//! The host's epoll is the model: the same operations on pipes and counters must report the same events.

use super::*;
use crate::errno::SysResult;
use crate::file::eventfd::EventFd;
use crate::file::io::{Sink, Source};
use crate::file::pipe;
use crate::task;
use rustix::event::epoll as host;
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, OwnedFd};

fn epoll(of: &OpenFile) -> &Epoll {
    of.object.downcast().expect("an epoll instance")
}

fn now(of: &OpenFile) -> Vec<Event> {
    epoll(of).wait(64, Some(0)).unwrap()
}

fn add(of: &OpenFile, target: &Arc<OpenFile>, fd: i32, events: u32) -> Result<(), Errno> {
    epoll(of).add(target, fd, Event { events, data: fd as u64 })
}

fn modify(of: &OpenFile, target: &Arc<OpenFile>, fd: i32, events: u32) -> Result<(), Errno> {
    epoll(of).modify(target, fd, Event { events, data: fd as u64 })
}

fn signal(counter: &OpenFile) {
    counter.write(&mut Source::Kernel(&1u64.to_ne_bytes())).unwrap();
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno(error.raw_os_error() as u16)
}

fn random(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % bound as u64) as usize
}

#[test]
fn random_operations_report_what_the_hosts_epoll_reports() {
    for seed in 1..9u64 {
        compare_with_host(seed * 0x9e37_79b9);
    }
}

fn compare_with_host(seed: u64) {
    let _task = task::test::enter();
    let mut state = seed;
    let host_epoll = host::create(host::CreateFlags::empty()).unwrap();
    let own_epoll = Epoll::open();
    let mut host_files: Vec<Option<OwnedFd>> = Vec::new();
    let mut own_files: Vec<Option<Arc<OpenFile>>> = Vec::new();
    for _ in 0..4 {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        host_files.extend([Some(read), Some(write)]);
        let (read, write) = pipe::create(raw::O_NONBLOCK);
        own_files.extend([Some(read), Some(write)]);
    }
    let mut bytes = alloc::vec![0; 70_000];
    for step in 0..3000 {
        let index = random(&mut state, own_files.len());
        let (Some(host_file), Some(own_file)) = (&host_files[index], &own_files[index]) else { continue };
        let bits = [EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLIN | raw::EPOLLRDHUP, 0];
        let modes = [0, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT];
        let event = Event {
            events: bits[random(&mut state, bits.len())] | modes[random(&mut state, modes.len())],
            data: index as u64,
        };
        let flags = host::EventFlags::from_bits_retain(event.events);
        let data = host::EventData::new_u64(event.data);
        let fd = index as i32;
        let operation = random(&mut state, 1000);
        let (own, expected): (SysResult, SysResult) = match operation {
            0..100 => (
                epoll(&own_epoll).add(own_file, fd, event).map(|()| 0),
                host::add(&host_epoll, host_file, data, flags).map(|()| 0).map_err(errno),
            ),
            100..200 => (
                epoll(&own_epoll).modify(own_file, fd, event).map(|()| 0),
                host::modify(&host_epoll, host_file, data, flags).map(|()| 0).map_err(errno),
            ),
            200..230 => (
                epoll(&own_epoll).delete(own_file, fd).map(|()| 0),
                host::delete(&host_epoll, host_file).map(|()| 0).map_err(errno),
            ),
            230..430 if index.is_multiple_of(2) => {
                let len = [1, 500, 70_000][random(&mut state, 3)];
                let expected = rustix::io::read(host_file, &mut bytes[..len]).map_err(errno);
                (own_file.read(&mut Sink::Kernel(&mut bytes[..len])), expected)
            }
            430..650 if !index.is_multiple_of(2) => {
                let len = [1, 5000, 70_000][random(&mut state, 3)];
                let expected = rustix::io::write(host_file, &bytes[..len]).map_err(errno);
                (own_file.write(&mut Source::Kernel(&bytes[..len])), expected)
            }
            650..653 => {
                host_files[index] = None;
                own_files[index] = None;
                continue;
            }
            _ => {
                let max = [64, 64, 2][random(&mut state, 3)];
                let mut buffer = alloc::vec![host::Event { flags, data }; max];
                let zero = rustix::event::Timespec::default();
                let count = host::wait(host_epoll.as_fd(), &mut buffer[..], Some(&zero)).unwrap();
                let mut expected: Vec<_> = buffer[..count]
                    .iter()
                    .map(|event| Event { events: { event.flags }.bits(), data: { event.data }.u64() })
                    .collect();
                let mut own = epoll(&own_epoll).wait(max, Some(0)).unwrap();
                if max == 64 {
                    expected.sort_by_key(|event| event.data);
                    own.sort_by_key(|event| event.data);
                }
                assert_eq!(own, expected, "seed {seed} step {step}: wait for {max}");
                continue;
            }
        };
        assert_eq!(own, expected, "seed {seed} step {step}: operation {operation} on {index}");
    }
}

#[test]
fn an_instance_is_ready_when_what_it_watches_is() {
    let _task = task::test::enter();
    let (outer, inner) = (Epoll::open(), Epoll::open());
    let counter = EventFd::open(0, raw::O_NONBLOCK);
    add(&outer, &inner, 3, EPOLLIN).unwrap();
    add(&inner, &counter, 4, EPOLLIN).unwrap();
    assert_eq!(now(&outer), []);
    signal(&counter);
    assert_eq!(now(&outer), [Event { events: EPOLLIN, data: 3 }]);
    assert_eq!(now(&inner), [Event { events: EPOLLIN, data: 4 }]);
    counter.read(&mut Sink::Kernel(&mut [0; 8])).unwrap();
    assert_eq!(now(&outer), []);
}

#[test]
fn circles_and_deep_nesting_are_refused() {
    let _task = task::test::enter();
    let instances: Vec<_> = (0..7).map(|_| Epoll::open()).collect();
    assert_eq!(add(&instances[0], &instances[0], 3, EPOLLIN), Err(Errno::EINVAL));
    for index in 0..4 {
        add(&instances[index], &instances[index + 1], 3, EPOLLIN).unwrap();
    }
    assert_eq!(add(&instances[4], &instances[0], 3, EPOLLIN), Err(Errno::ELOOP));
    assert_eq!(add(&instances[4], &instances[5], 3, EPOLLIN), Err(Errno::ELOOP));
    assert_eq!(add(&instances[6], &instances[0], 3, EPOLLIN), Err(Errno::ELOOP));
    add(&instances[6], &instances[1], 3, EPOLLIN).unwrap();
}

#[test]
fn the_same_file_by_two_descriptors_is_two_items_and_both_go_with_it() {
    let _task = task::test::enter();
    let instance = Epoll::open();
    let counter = EventFd::open(1, raw::O_NONBLOCK);
    add(&instance, &counter, 3, EPOLLIN).unwrap();
    add(&instance, &counter, 4, EPOLLIN | EPOLLET).unwrap();
    assert_eq!(add(&instance, &counter, 4, EPOLLIN), Err(Errno::EEXIST));
    assert_eq!(now(&instance).len(), 2);
    assert_eq!(now(&instance), [Event { events: EPOLLIN, data: 3 }]);
    drop(counter);
    assert_eq!(now(&instance), []);
    assert!(epoll(&instance).items.borrow().is_empty());
}

#[test]
fn an_instance_that_closes_leaves_its_files_alone() {
    let _task = task::test::enter();
    let instance = Epoll::open();
    let counter = EventFd::open(0, raw::O_NONBLOCK);
    add(&instance, &counter, 3, EPOLLIN).unwrap();
    drop(instance);
    signal(&counter);
    assert!(counter.watchers.borrow().is_empty());
    assert!(counter.object.wait_queue(&counter).unwrap().is_empty());
}

#[test]
fn exclusive_items_are_added_only_and_to_plain_files() {
    let _task = task::test::enter();
    let (instance, nested) = (Epoll::open(), Epoll::open());
    let counter = EventFd::open(0, raw::O_NONBLOCK);
    assert_eq!(add(&instance, &nested, 3, EPOLLIN | EPOLLEXCLUSIVE), Err(Errno::EINVAL));
    assert_eq!(add(&instance, &counter, 4, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), Err(Errno::EINVAL));
    add(&instance, &counter, 4, EPOLLIN | EPOLLEXCLUSIVE).unwrap();
    assert_eq!(modify(&instance, &counter, 4, EPOLLIN), Err(Errno::EINVAL));
    signal(&counter);
    assert_eq!(now(&instance), [Event { events: EPOLLIN, data: 4 }]);
}
