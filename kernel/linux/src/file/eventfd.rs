//! Event counters: eventfd(2).

use super::anon::{self, Identity};
use super::io::{Sink, Source};
use super::{File, OpenFile};
use crate::errno::{Errno, SysResult};
use crate::fs::Stat;
use crate::task::wait::{WaitLimit, WaitQueue, wait_event};
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt::Write;
use husk_machine::cell::KCell;
use linux_raw_sys::general as raw;
use raw::{EPOLLERR, EPOLLIN, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM};

/// A counter below 2^64 - 1: a read takes it (or 1 of it), a write adds.
pub struct EventFd {
    count: KCell<u64>,
    semaphore: bool,
    queue: WaitQueue,
    identity: Identity,
}

impl EventFd {
    /// `flags`: EFD_SEMAPHORE and EFD_NONBLOCK.
    pub fn open(count: u64, flags: u32) -> Arc<OpenFile> {
        let event = Arc::new(Self {
            count: KCell::new(count),
            semaphore: flags & raw::EFD_SEMAPHORE != 0,
            queue: WaitQueue::new(),
            identity: Identity::anonymous(),
        });
        OpenFile::new(event, raw::O_RDWR | (flags & raw::O_NONBLOCK), None)
    }

    fn take(&self) -> Option<u64> {
        let mut count = self.count.borrow_mut();
        let taken = if self.semaphore { 1 } else { *count };
        (*count > 0).then(|| {
            *count -= taken;
            taken
        })
    }

    fn add(&self, value: u64) -> Option<()> {
        let mut count = self.count.borrow_mut();
        *count = count.checked_add(value).filter(|sum| *sum < u64::MAX)?;
        Some(())
    }

    /// Adds one, if there is room.
    pub fn signal(&self) {
        if self.add(1).is_some() {
            self.queue.wake_all(EPOLLIN | EPOLLRDNORM);
        }
    }

    /// Waits for `done` to succeed, unless the open file must not wait.
    fn wait<R>(&self, of: &OpenFile, mut done: impl FnMut() -> Option<R>) -> Result<R, Errno> {
        if let Some(result) = done() {
            return Ok(result);
        }
        if of.nonblocking() {
            return Err(Errno::EAGAIN);
        }
        wait_event(&[&self.queue], WaitLimit::default(), done).map_err(|_| Errno::ERESTARTSYS)
    }
}

impl File for EventFd {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        if sink.left() < 8 {
            return Err(Errno::EINVAL);
        }
        let value = self.wait(of, || self.take())?;
        self.queue.wake_all(EPOLLOUT | EPOLLWRNORM);
        sink.put(&value.to_ne_bytes())
    }

    fn write(&self, of: &OpenFile, _at: u64, source: &mut Source<'_>) -> SysResult {
        if source.left() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        if source.take(&mut bytes)? < 8 {
            return Err(Errno::EFAULT);
        }
        let value = u64::from_ne_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        self.wait(of, || self.add(value))?;
        self.queue.wake_all(EPOLLIN | EPOLLRDNORM);
        Ok(8)
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        let count = self.count.get();
        let mut events = 0;
        if count > 0 {
            events |= EPOLLIN;
        }
        if count == u64::MAX {
            events |= EPOLLERR;
        }
        if count < u64::MAX - 1 {
            events |= EPOLLOUT;
        }
        events
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.identity.stat())
    }

    fn link(&self) -> String {
        anon::link("[eventfd]")
    }

    fn fdinfo(&self, out: &mut String) {
        let _ = writeln!(out, "eventfd-count: {:16x}", self.count.get());
        let _ = writeln!(out, "eventfd-id: {}", self.identity.ino());
        let _ = writeln!(out, "eventfd-semaphore: {}", u32::from(self.semaphore));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task;

    fn read(of: &OpenFile) -> Result<u64, Errno> {
        let mut bytes = [0; 8];
        of.read(&mut Sink::Kernel(&mut bytes))?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn write(of: &OpenFile, value: u64) -> SysResult {
        of.write(&mut Source::Kernel(&value.to_ne_bytes()))
    }

    #[test]
    fn a_counter_is_taken_whole_and_a_semaphore_by_ones() {
        let _task = task::test::enter();
        let counter = EventFd::open(3, raw::EFD_NONBLOCK);
        assert_eq!(write(&counter, 4), Ok(8));
        assert_eq!(read(&counter), Ok(7));
        assert_eq!(read(&counter), Err(Errno::EAGAIN));
        let semaphore = EventFd::open(2, raw::EFD_NONBLOCK | raw::EFD_SEMAPHORE);
        assert_eq!(
            [read(&semaphore), read(&semaphore), read(&semaphore)],
            [Ok(1), Ok(1), Err(Errno::EAGAIN)]
        );
    }

    #[test]
    fn a_full_counter_refuses_and_says_so() {
        let _task = task::test::enter();
        let counter = EventFd::open(0, raw::EFD_NONBLOCK);
        assert_eq!(write(&counter, u64::MAX), Err(Errno::EINVAL));
        assert_eq!(write(&counter, u64::MAX - 2), Ok(8));
        assert_eq!(counter.object.poll(&counter), EPOLLIN | EPOLLOUT);
        assert_eq!(write(&counter, 1), Ok(8));
        assert_eq!(counter.object.poll(&counter), EPOLLIN);
        assert_eq!(write(&counter, 1), Err(Errno::EAGAIN));
        assert_eq!(counter.read(&mut Sink::Kernel(&mut [0; 7])), Err(Errno::EINVAL));
    }
}
