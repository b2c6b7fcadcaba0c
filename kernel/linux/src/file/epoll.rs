//! Event polling: epoll(7).
//!
//! An `Item` is one file's registration. It hears of changes through the file's wait queue (`Wake`), puts itself on the
//! list of the possibly ready, and wakes the instance's own waiters; a wait asks only the items on that list. Items hold
//! their file weakly, and a file that closes takes its items along (`OpenFile::watchers`), so there are no cycles.
//! No borrow is held while a file is polled or a queue woken: both may lead to another epoll instance.

use super::anon::{self, Identity};
use super::{File, OpenFile};
use crate::errno::Errno;
use crate::fs::Stat;
use crate::task::wait::{Registration, WaitEnd, WaitLimit, WaitQueue, Wake, wait_event};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt::Write;
use husk_machine::cell::KCell;
use linux_raw_sys::general as raw;
use raw::{
    EPOLLERR, EPOLLET, EPOLLEXCLUSIVE, EPOLLHUP, EPOLLIN, EPOLLONESHOT, EPOLLOUT, EPOLLRDNORM, EPOLLWAKEUP,
};

/// Instances may watch instances this many levels deep.
const MAX_NESTS: usize = 4;
/// Bits of an interest that are not events.
const PRIVATE: u32 = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE;
/// What may accompany EPOLLEXCLUSIVE.
const EXCLUSIVE_OK: u32 = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/// `struct epoll_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub events: u32,
    pub data: u64,
}

/// A registration is named by the open file and the descriptor it was added by.
type Key = (usize, i32);

/// One file that an instance watches.
pub struct Item {
    me: Weak<Item>,
    epoll: Weak<Epoll>,
    file: Weak<OpenFile>,
    fd: i32,
    interest: KCell<Event>,
    /// On the ready list.
    queued: KCell<bool>,
    registration: KCell<Option<Registration>>,
}

impl Item {
    fn key(&self) -> Key {
        (self.file.as_ptr().addr(), self.fd)
    }

    /// The events that hold now and are of interest.
    fn ready_events(&self) -> u32 {
        let interest = self.interest.get().events;
        if interest & !PRIVATE == 0 {
            return 0;
        }
        self.file.upgrade().map_or(0, |file| file.object.poll(&file) & interest)
    }

    /// Ends the registration with the file; the caller has taken the item from its instance.
    fn detach(&self, file: &OpenFile) {
        if let (Some(registration), Some(queue)) = (self.registration.take(), file.object.wait_queue(file)) {
            queue.remove(registration);
        }
    }

    /// The file is about to be closed for good.
    pub(super) fn file_closed(&self, file: &OpenFile) {
        self.detach(file);
        if let Some(epoll) = self.epoll.upgrade() {
            let item = epoll.items.borrow_mut().remove(&self.key());
            drop(item);
        }
    }
}

impl Wake for Item {
    fn wake(&self, events: u32) {
        let interest = self.interest.get().events;
        if interest & !PRIVATE == 0 || (events != 0 && events & interest == 0) {
            return;
        }
        let Some(epoll) = self.epoll.upgrade() else { return };
        epoll.enqueue(self);
        epoll.queue.wake(EPOLLIN | EPOLLRDNORM);
    }
}

/// An epoll instance.
pub struct Epoll {
    me: Weak<Epoll>,
    items: KCell<BTreeMap<Key, Arc<Item>>>,
    /// Items that may be ready, each at most once.
    ready: KCell<VecDeque<Arc<Item>>>,
    /// Those who wait for this instance.
    queue: WaitQueue,
    /// The open file around this instance.
    file: KCell<Weak<OpenFile>>,
    identity: Identity,
}

impl Epoll {
    pub fn open() -> Arc<OpenFile> {
        let epoll = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            items: KCell::default(),
            ready: KCell::default(),
            queue: WaitQueue::new(),
            file: KCell::default(),
            identity: Identity::anonymous(),
        });
        let of = OpenFile::new(epoll.clone(), raw::O_RDWR, None);
        drop(epoll.file.replace(Arc::downgrade(&of)));
        of
    }

    fn enqueue(&self, item: &Item) {
        if let (false, Some(item)) = (item.queued.replace(true), item.me.upgrade()) {
            self.ready.borrow_mut().push_back(item);
        }
    }

    /// EPOLL_CTL_ADD.
    pub fn add(&self, target: &Arc<OpenFile>, fd: i32, event: Event) -> Result<(), Errno> {
        let queue = self.check_target(target)?;
        if event.events & EPOLLEXCLUSIVE != 0 {
            let nested = target.object.downcast::<Self>().is_some();
            if nested || event.events & !EXCLUSIVE_OK != 0 {
                return Err(Errno::EINVAL);
            }
        }
        let key = (Arc::as_ptr(target).addr(), fd);
        if self.items.borrow().contains_key(&key) {
            return Err(Errno::EEXIST);
        }
        if let Some(inner) = target.object.downcast::<Self>() {
            self.check_nesting(inner)?;
        }
        let item = Arc::new_cyclic(|me| Item {
            me: me.clone(),
            epoll: self.me.clone(),
            file: Arc::downgrade(target),
            fd,
            interest: KCell::new(always(event)),
            queued: KCell::default(),
            registration: KCell::default(),
        });
        let waker: Arc<dyn Wake> = item.clone();
        // Also with EPOLLEXCLUSIVE every instance is told, which epoll_ctl(2) permits ("one or more"): telling one
        // alone would lose the event when that one's owner is busy.
        item.registration.set(Some(queue.add(&waker, false)));
        target.watchers.borrow_mut().push(Arc::downgrade(&item));
        self.items.borrow_mut().insert(key, item.clone());
        self.look(&item);
        Ok(())
    }

    /// EPOLL_CTL_MOD.
    pub fn modify(&self, target: &Arc<OpenFile>, fd: i32, event: Event) -> Result<(), Errno> {
        self.check_target(target)?;
        if event.events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        let item = self.find(target, fd)?;
        if item.interest.get().events & EPOLLEXCLUSIVE != 0 {
            return Err(Errno::EINVAL);
        }
        item.interest.set(always(event));
        self.look(&item);
        Ok(())
    }

    /// EPOLL_CTL_DEL.
    pub fn delete(&self, target: &Arc<OpenFile>, fd: i32) -> Result<(), Errno> {
        self.check_target(target)?;
        let item = self.find(target, fd)?;
        self.items.borrow_mut().remove(&item.key());
        item.interest.set(Event::default());
        item.detach(target);
        target.watchers.borrow_mut().retain(|watcher| !Weak::ptr_eq(watcher, &item.me));
        Ok(())
    }

    fn find(&self, target: &Arc<OpenFile>, fd: i32) -> Result<Arc<Item>, Errno> {
        let key = (Arc::as_ptr(target).addr(), fd);
        self.items.borrow().get(&key).cloned().ok_or(Errno::ENOENT)
    }

    fn check_target<'a>(&self, target: &'a Arc<OpenFile>) -> Result<&'a WaitQueue, Errno> {
        let queue = target.object.wait_queue(target).ok_or(Errno::EPERM)?;
        match target.object.downcast::<Self>() {
            Some(inner) if core::ptr::eq(inner, self) => Err(Errno::EINVAL),
            _ => Ok(queue),
        }
    }

    /// Queues an item whose file is ready already.
    fn look(&self, item: &Item) {
        if item.ready_events() != 0 {
            self.enqueue(item);
            self.queue.wake(EPOLLIN | EPOLLRDNORM);
        }
    }

    /// ELOOP if watching `inner` would close a circle or nest too deep.
    fn check_nesting(&self, inner: &Epoll) -> Result<(), Errno> {
        let below = inner.levels_below(self, 0)?;
        if below + 1 + self.levels_above(0) > MAX_NESTS { Err(Errno::ELOOP) } else { Ok(()) }
    }

    fn levels_below(&self, forbidden: &Epoll, depth: usize) -> Result<usize, Errno> {
        if core::ptr::eq(self, forbidden) || depth > MAX_NESTS {
            return Err(Errno::ELOOP);
        }
        let files: Vec<_> = self.items.borrow().values().filter_map(|item| item.file.upgrade()).collect();
        let mut levels = 0;
        for file in &files {
            if let Some(inner) = file.object.downcast::<Self>() {
                levels = levels.max(1 + inner.levels_below(forbidden, depth + 1)?);
            }
        }
        Ok(levels)
    }

    fn levels_above(&self, depth: usize) -> usize {
        if depth > MAX_NESTS {
            return depth;
        }
        let Some(file) = self.file.borrow().upgrade() else { return 0 };
        let watchers = file.watchers.borrow().clone();
        let outer = watchers.iter().filter_map(Weak::upgrade).filter_map(|item| item.epoll.upgrade());
        outer.map(|epoll| 1 + epoll.levels_above(depth + 1)).max().unwrap_or(0)
    }

    /// Takes up to `max` events that hold now.
    fn harvest(&self, max: usize) -> Vec<Event> {
        let mut events = Vec::new();
        let listed = self.ready.borrow().len();
        for _ in 0..listed {
            if events.len() == max {
                break;
            }
            let Some(item) = self.ready.borrow_mut().pop_front() else { break };
            item.queued.set(false);
            let found = item.ready_events();
            if found == 0 {
                continue;
            }
            let mut interest = item.interest.get();
            events.push(Event { events: found, data: interest.data });
            if interest.events & EPOLLONESHOT != 0 {
                interest.events &= PRIVATE;
                item.interest.set(interest);
            } else if interest.events & EPOLLET == 0 {
                // Level-triggered: ready until a later wait finds that it is not.
                self.enqueue(&item);
            }
        }
        events
    }

    /// epoll_wait(2): at least one event, or none when the deadline (monotonic ns) has passed. EINTR.
    pub fn wait(&self, max: usize, deadline: Option<u64>) -> Result<Vec<Event>, Errno> {
        let events = self.harvest(max);
        if !events.is_empty() || deadline == Some(0) {
            return Ok(events);
        }
        let limit = WaitLimit { deadline, exclusive: true, ..WaitLimit::default() };
        let waited = wait_event(&[&self.queue], limit, || {
            let events = self.harvest(max);
            (!events.is_empty()).then_some(events)
        });
        // Waiters are woken one at a time: whoever leaves something behind wakes the next.
        if waited.is_ok() && !self.ready.borrow().is_empty() {
            self.queue.wake(EPOLLIN | EPOLLRDNORM);
        }
        match waited {
            Ok(events) => Ok(events),
            Err(WaitEnd::TimedOut) => Ok(Vec::new()),
            Err(WaitEnd::Interrupted) => Err(Errno::EINTR),
        }
    }
}

/// Errors and hang-ups are always of interest.
fn always(event: Event) -> Event {
    Event { events: event.events | EPOLLERR | EPOLLHUP, ..event }
}

impl File for Epoll {
    fn poll(&self, _of: &OpenFile) -> u32 {
        let listed = self.ready.borrow().len();
        for _ in 0..listed {
            let Some(item) = self.ready.borrow_mut().pop_front() else { break };
            item.queued.set(false);
            if item.ready_events() != 0 {
                if !item.queued.replace(true) {
                    self.ready.borrow_mut().push_front(item);
                }
                return EPOLLIN | EPOLLRDNORM;
            }
        }
        0
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(self.identity.stat())
    }

    fn link(&self) -> String {
        anon::link("[eventpoll]")
    }

    fn fdinfo(&self, out: &mut String) {
        let items: Vec<_> = self.items.borrow().values().cloned().collect();
        for item in items {
            let Some(file) = item.file.upgrade() else { continue };
            let stat = file.object.stat().unwrap_or_default();
            let Event { events, data } = item.interest.get();
            let (fd, pos) = (item.fd, file.position());
            let _ = writeln!(
                out,
                "tfd: {fd:8} events: {events:8x} data: {data:16x}  pos:{pos} ino:{:x} sdev:{:x}",
                stat.ino, stat.dev
            );
        }
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        for (_, item) in self.items.take() {
            if let Some(file) = item.file.upgrade() {
                item.detach(&file);
                file.watchers.borrow_mut().retain(|watcher| !Weak::ptr_eq(watcher, &item.me));
            }
        }
    }
}

#[cfg(test)]
mod tests;
