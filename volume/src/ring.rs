//! The memory shared with the guest's kernel (`husk_ring`), and the threads that serve it.

use crate::host::{Mapping, make_robust};
use crate::node::IDLE;
use crate::server::{Access, Server};
use husk_ring::{
    DATA, DATA_LEN, HEAD, HEAD_LEN, SLOTS, UNIT_LEN, UNITS_MAX, ring, slot, slot_at, state, unit, unit_at,
};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::thread::futex;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Threads that serve a guest: a request that takes long holds up its own thread only.
const WORKERS: usize = 4;
/// How long one of them looks for the next request before it sleeps: about what a sleep costs.
const SPIN: Duration = Duration::from_micros(40);

/// The descriptors by which a guest and its server meet.
#[derive(Debug)]
pub struct Ring {
    pub memory: OwnedFd,
    /// Event counters for a guest in the kvm tender: requests, replies. In the process tender the words themselves wake.
    pub requests: OwnedFd,
    pub replies: OwnedFd,
}

impl Ring {
    /// Makes a ring for `volumes` volumes.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and eventfd(2).
    pub fn new(volumes: usize) -> Result<Self, Errno> {
        assert!((1..=UNITS_MAX).contains(&volumes));
        let memory = memfd_create(c"husk-ring", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, (volumes * UNIT_LEN) as u64)?;
        let counter = || eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        Ok(Self { memory, requests: counter()?, replies: counter()? })
    }
}

/// How the two sides wake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// By futexes on the words of the ring.
    Futex,
    /// By the event counters.
    Counter,
}

struct Shared {
    memory: Mapping,
    volumes: Vec<Server>,
    wake: Wake,
    requests: OwnedFd,
    replies: OwnedFd,
    /// A worker looks for the next request.
    looks: AtomicBool,
}

/// Starts to serve: marks the ring as served for as long as the calling thread lives, and leaves the rest to further threads.
///
/// # Errors
/// Those of mmap(2) and of starting a thread.
pub fn serve(ring: Ring, volumes: Vec<(Server, Access)>, wake: Wake) -> Result<(), std::io::Error> {
    let memory = Mapping::new(ring.memory.as_fd(), volumes.len() * UNIT_LEN)?;
    for (number, (_, access)) in volumes.iter().enumerate() {
        let at = unit_at(number);
        memory.data(at + unit::MAGIC, 8).put(0, &husk_ring::MAGIC.to_le_bytes())?;
        memory.word(at + unit::VERSION).store(husk_ring::VERSION, Ordering::Relaxed);
        let flags = if *access == Access::ReadOnly { husk_ring::READ_ONLY } else { 0 };
        memory.word(at + unit::FLAGS).store(flags, Ordering::Relaxed);
    }
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        memory,
        volumes: volumes.into_iter().map(|(server, _)| server).collect(),
        wake,
        requests: ring.requests,
        replies: ring.replies,
        looks: AtomicBool::new(false),
    }));
    shared.memory.word(ring::SLEEPING).store(1, Ordering::SeqCst);
    make_robust(shared.memory.word(ring::SERVER))?;
    for _ in 0..WORKERS {
        std::thread::Builder::new().name("volume".into()).stack_size(256 << 10).spawn(|| shared.work())?;
    }
    Ok(())
}

impl Shared {
    /// The life of a worker. At most one of them looks for requests, and while it does `SLEEPING` is 0 and guests wake nobody.
    /// Whoever stops looking says so first and then looks once more, so that no request is missed.
    fn work(&self) {
        let sleeping = self.memory.word(ring::SLEEPING);
        let mut looks = false;
        loop {
            let mut found = None;
            if looks || self.start_to_look() {
                found = self.look();
                sleeping.store(1, Ordering::SeqCst);
                self.looks.store(false, Ordering::Release);
                if found.is_some() && self.has_requests() {
                    self.wake_another();
                }
            }
            let rung = self.memory.word(ring::DOORBELL).load(Ordering::SeqCst);
            looks = match found.or_else(|| self.take()) {
                Some((server, slot)) => self.serve_slot(server, slot),
                None => {
                    self.sleep(rung);
                    false
                }
            };
        }
    }

    /// Becomes the worker that looks for requests, unless another is.
    fn start_to_look(&self) -> bool {
        let begins = !self.looks.swap(true, Ordering::Acquire);
        if begins {
            self.memory.word(ring::SLEEPING).store(0, Ordering::SeqCst);
        }
        begins
    }

    fn wake_another(&self) {
        match self.wake {
            Wake::Futex => {
                let _ = futex::wake(self.memory.word(ring::DOORBELL), futex::Flags::empty(), 1);
            }
            Wake::Counter => {
                let _ = rustix::io::write(&self.requests, &1_u64.to_ne_bytes());
            }
        }
    }

    fn has_requests(&self) -> bool {
        (0..self.volumes.len()).any(|volume| self.pending(volume).load(Ordering::SeqCst) != 0)
    }

    fn pending(&self, volume: usize) -> &AtomicU32 {
        self.memory.word(unit_at(volume) + unit::PENDING)
    }

    /// Looks for a request for a while, and takes it.
    fn look(&self) -> Option<(&Server, usize)> {
        let start = Instant::now();
        loop {
            for _ in 0..50 {
                if let Some(found) = self.take() {
                    return Some(found);
                }
                std::hint::spin_loop();
            }
            if start.elapsed() > SPIN {
                return None;
            }
        }
    }

    /// Sleeps until the guest rings, unless it has since the doorbell was `rung`. Who has slept long enough lets go of idle files.
    fn sleep(&self, rung: u32) {
        let holds_idle = self.volumes.iter().any(Server::holds_idle);
        let limit = Timespec { tv_sec: 0, tv_nsec: IDLE.as_nanos() as i64 };
        let limit = holds_idle.then_some(&limit);
        let slept_on = match self.wake {
            Wake::Futex => {
                let doorbell = self.memory.word(ring::DOORBELL);
                futex::wait(doorbell, futex::Flags::empty(), rung, limit) == Err(Errno::TIMEDOUT)
            }
            Wake::Counter => {
                let mut polls = [PollFd::new(&self.requests, PollFlags::IN)];
                let woken = poll(&mut polls, limit);
                // Several workers may have been woken; the counter is one's.
                let _ = rustix::io::read(&self.requests, &mut [0; 8]);
                woken == Ok(0)
            }
        };
        if slept_on {
            self.volumes.iter().for_each(Server::let_go);
        }
    }

    /// Takes a request, if there is one: its volume's server and where its slot is.
    fn take(&self) -> Option<(&Server, usize)> {
        for (volume, server) in self.volumes.iter().enumerate() {
            let pending = self.pending(volume);
            let mut bits = pending.load(Ordering::SeqCst);
            while bits != 0 {
                let number = bits.trailing_zeros() as usize;
                let bit = 1 << number;
                let before = pending.fetch_and(!bit, Ordering::AcqRel);
                if before & bit != 0 && number < SLOTS {
                    return Some((server, slot_at(volume, number)));
                }
                bits = before & !bit;
            }
        }
        None
    }

    /// Serves a request. Whether this worker now looks for the next: it says so before it replies, since a guest that has its
    /// reply often asks again at once.
    fn serve_slot(&self, server: &Server, at: usize) -> bool {
        let head_len = self.memory.word(at + slot::HEAD_LEN);
        let data_len = self.memory.word(at + slot::DATA_LEN);
        // Everything that is looked at is a copy.
        let (asked, given) = (head_len.load(Ordering::Relaxed), data_len.load(Ordering::Relaxed));
        let head = self.memory.data(at + HEAD, HEAD_LEN).copy_out((asked as usize).min(HEAD_LEN));
        let mut data = self.memory.data(at + DATA, DATA_LEN);
        let (reply, len) = server.serve(&head.unwrap_or_default(), (given as usize).min(DATA_LEN), &mut data);
        let fits = self.memory.data(at + HEAD, HEAD_LEN).put(0, &reply);
        debug_assert!(fits.is_ok(), "no reply is longer than a slot's head");
        head_len.store(reply.len() as u32, Ordering::Relaxed);
        data_len.store(len as u32, Ordering::Relaxed);
        let looks = self.start_to_look();
        let word = self.memory.word(at + slot::STATE);
        if word.swap(state::REPLY, Ordering::AcqRel) == state::WAITED {
            match self.wake {
                Wake::Futex => {
                    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
                }
                Wake::Counter => {
                    let _ = rustix::io::write(&self.replies, &1_u64.to_ne_bytes());
                }
            }
        }
        looks
    }
}
