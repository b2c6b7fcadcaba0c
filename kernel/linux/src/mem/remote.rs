//! The memory of another task's address space: process_vm_readv(2), ptrace(2), /proc/PID/mem.
//!
//! In the process tender nobody but a host process itself reaches its memory, and in the kvm tender it takes its page
//! tables. So both are served alike: the caller leaves an errand with the other task, which runs it as soon as it is in
//! the kernel, out of a sleep too, and the caller sleeps until it is done. A task looks for errands wherever it may be
//! woken (`sched::sleep`) and on its way out of the kernel; one that ends gives those left up.

use super::user;
use crate::errno::Errno;
use crate::task::wait::{WaitLimit, WaitQueue, wait_event};
use crate::task::{Task, current, sched};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use linux_raw_sys::general::{PROT_READ, PROT_WRITE};

/// Bytes of one errand.
const ERRAND_MAX: usize = 1 << 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
    /// Nothing moves: what of the memory is there is counted.
    Count,
}

/// What a task shall do in its memory for another one.
pub struct Errand {
    address: usize,
    direction: Direction,
    /// Also where the protection forbids it, as debuggers do.
    force: bool,
    data: KCell<Vec<u8>>,
    /// How many bytes were moved, once it is done.
    moved: KCell<Option<usize>>,
    done: WaitQueue,
}

/// Errands that wait for a task.
pub type Errands = KCell<VecDeque<Arc<Errand>>>;

/// Reads memory of `target`'s space. Gives how much could be read, up to the first page that cannot.
pub fn read(target: &Arc<Task>, address: usize, out: &mut [u8], force: bool) -> usize {
    let mut done = 0;
    while done < out.len() {
        let len = (out.len() - done).min(ERRAND_MAX);
        let (moved, data) = send(target, address.wrapping_add(done), Direction::Read, force, vec![0; len]);
        out[done..done + moved].copy_from_slice(&data[..moved]);
        done += moved;
        if moved < len {
            break;
        }
    }
    done
}

/// As `read`, to write.
pub fn write(target: &Arc<Task>, address: usize, data: &[u8], force: bool) -> usize {
    let mut done = 0;
    for part in data.chunks(ERRAND_MAX) {
        let (moved, _) = send(target, address.wrapping_add(done), Direction::Write, force, part.to_vec());
        done += moved;
        if moved < part.len() {
            break;
        }
    }
    done
}

/// Has `target` count what of its memory is there (`mem::resident`).
pub(super) fn count(target: &Arc<Task>) {
    send(target, 0, Direction::Count, false, Vec::new());
}

fn send(
    target: &Arc<Task>,
    address: usize,
    direction: Direction,
    force: bool,
    data: Vec<u8>,
) -> (usize, Vec<u8>) {
    let errand = Arc::new(Errand {
        address,
        direction,
        force,
        data: KCell::new(data),
        moved: KCell::default(),
        done: WaitQueue::new(),
    });
    if Arc::ptr_eq(&target.space(), &current().space()) {
        errand.run();
    } else if target.sched.state() != sched::State::Dead {
        target.errands.borrow_mut().push_back(errand.clone());
        sched::wake_for_signal(target);
        let limit = WaitLimit { uninterruptible: true, ..WaitLimit::default() };
        if wait_event(&[&errand.done], limit, || errand.moved.get()).is_err() {
            target.errands.borrow_mut().retain(|other| !Arc::ptr_eq(other, &errand));
        }
    }
    (errand.moved.get().unwrap_or(0), errand.data.take())
}

/// Runs what others left with the current task. Whether there was anything.
pub fn run_errands(t: &Task) -> bool {
    let mut any = false;
    while let Some(errand) = next(t) {
        errand.run();
        any = true;
    }
    any
}

/// The task ends: what is left with it moves nothing.
pub fn give_up(t: &Task) {
    while let Some(errand) = next(t) {
        errand.finish(0);
    }
}

fn next(t: &Task) -> Option<Arc<Errand>> {
    t.errands.borrow_mut().pop_front()
}

impl Errand {
    fn run(&self) {
        if self.direction == Direction::Count {
            current().space().count_resident();
            return self.finish(0);
        }
        let mut data = self.data.take();
        let mut moved = 0;
        while moved < data.len() {
            let Some(address) = self.address.checked_add(moved) else { break };
            let len = (data.len() - moved).min(PAGE_SIZE - address % PAGE_SIZE);
            if self.piece(address, &mut data[moved..moved + len]).is_err() {
                break;
            }
            moved += len;
        }
        drop(self.data.replace(data));
        self.finish(moved);
    }

    fn finish(&self, moved: usize) {
        self.moved.set(Some(moved));
        self.done.wake_all(!0);
    }

    /// Moves bytes of one page of the current task's memory.
    fn piece(&self, address: usize, data: &mut [u8]) -> Result<(), Errno> {
        let mut go = || match self.direction {
            Direction::Read => user::copy_in(address, data),
            Direction::Write => user::copy_out(address, data),
            Direction::Count => Ok(()),
        };
        go().or_else(|error| {
            if !self.force {
                return Err(error);
            }
            // The page is opened for the time of the copy. What others see as shared is not written behind their backs.
            let space = current().space();
            let (_, area) = space.area_at(address).ok_or(Errno::EIO)?;
            if area.shared && self.direction == Direction::Write {
                return Err(Errno::EIO);
            }
            let page = address & !(PAGE_SIZE - 1);
            let wider = match self.direction {
                Direction::Read | Direction::Count => PROT_READ,
                Direction::Write => PROT_READ | PROT_WRITE,
            };
            space.protect(page, PAGE_SIZE, area.protection | wider)?;
            let done = go();
            space.protect(page, PAGE_SIZE, area.protection)?;
            done
        })
    }
}
