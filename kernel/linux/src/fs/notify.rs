//! inotify(7): instances, watches, and the events that the rest of the file system reports here.
//!
//! A watch hangs with the inode (`Inode::extra`) and refers to its instance weakly; the instance knows its watches by
//! number. While nothing is watched anywhere, reporting costs one look at a counter.

use super::inode::{Inode, Node};
use super::{Entry, Stat};
use crate::errno::{Errno, SysResult};
use crate::file::io::Sink;
use crate::file::{File, OpenFile};
use crate::mem::user;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{
    EPOLLIN, EPOLLRDNORM, IN_ALL_EVENTS, IN_DELETE_SELF, IN_EXCL_UNLINK, IN_IGNORED, IN_ISDIR, IN_MASK_ADD,
    IN_MASK_CREATE, IN_ONESHOT, IN_Q_OVERFLOW, IN_UNMOUNT,
};
use linux_raw_sys::ioctl::FIONREAD;

/// Events that wait in one instance before some are lost: /proc/sys/fs/inotify/max_queued_events.
pub const MAX_QUEUED: usize = 16_384;
/// Bytes of an event before its name.
const HEADER: usize = 16;

/// Watches that exist.
static ACTIVE: Global<KCell<usize>> = Global::new(KCell::default);
static LAST_COOKIE: Global<KCell<u32>> = Global::new(KCell::default);

/// One instance's interest in an inode.
pub struct Watch {
    instance: Weak<Inotify>,
    number: i32,
    mask: u32,
}

#[derive(Clone, PartialEq, Eq)]
struct Event {
    number: i32,
    mask: u32,
    cookie: u32,
    name: Vec<u8>,
}

impl Event {
    /// The name takes a NUL and fills up to a multiple of the header's size.
    fn name_len(&self) -> usize {
        if self.name.is_empty() { 0 } else { (self.name.len() + 1).next_multiple_of(HEADER) }
    }

    fn len(&self) -> usize {
        HEADER + self.name_len()
    }
}

/// What an instance watches; an inode that is in no table, generated or of a volume, would otherwise not live on.
struct Watched {
    inode: Weak<Inode>,
    keep: Option<Arc<Inode>>,
}

/// An inotify instance.
pub struct Inotify {
    me: Weak<Inotify>,
    queue: KCell<VecDeque<Event>>,
    watches: KCell<BTreeMap<i32, Watched>>,
    last: KCell<i32>,
    readable: WaitQueue,
}

impl Inotify {
    pub fn new() -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            queue: KCell::default(),
            watches: KCell::default(),
            last: KCell::new(0),
            readable: WaitQueue::new(),
        })
    }

    /// inotify_add_watch(2): the watch's number.
    pub fn watch(&self, inode: &Arc<Inode>, mask: u32) -> Result<i32, Errno> {
        let keep = mask & (IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK);
        let mut extra = inode.extra.borrow_mut();
        let watches = &mut extra.get_or_insert_default().watches;
        let own = watches.iter_mut().find(|watch| core::ptr::eq(watch.instance.as_ptr(), self));
        if let Some(watch) = own {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EEXIST);
            }
            watch.mask = if mask & IN_MASK_ADD != 0 { watch.mask | keep } else { keep };
            return Ok(watch.number);
        }
        let number = self.last.get() + 1;
        self.last.set(number);
        watches.push(Watch { instance: self.me.clone(), number, mask: keep });
        drop(extra);
        let passing = matches!(inode.node, Node::Pseudo(_) | Node::Remote(_));
        let watched = Watched { inode: Arc::downgrade(inode), keep: passing.then(|| inode.clone()) };
        self.watches.borrow_mut().insert(number, watched);
        *ACTIVE.borrow_mut() += 1;
        Ok(number)
    }

    /// inotify_rm_watch(2).
    pub fn unwatch(&self, number: i32) -> Result<(), Errno> {
        let watched = self.watches.borrow_mut().remove(&number).ok_or(Errno::EINVAL)?;
        self.forget(&watched);
        self.push(Event { number, mask: IN_IGNORED, cookie: 0, name: Vec::new() });
        Ok(())
    }

    fn forget(&self, watched: &Watched) {
        *ACTIVE.borrow_mut() -= 1;
        if let Some(inode) = watched.inode.upgrade()
            && let Some(extra) = &mut *inode.extra.borrow_mut()
        {
            extra.watches.retain(|watch| !core::ptr::eq(watch.instance.as_ptr(), self));
        }
    }

    fn push(&self, event: Event) {
        {
            let mut queue = self.queue.borrow_mut();
            if queue.back() == Some(&event) {
                return;
            }
            if queue.len() < MAX_QUEUED {
                queue.push_back(event);
            } else if queue.len() == MAX_QUEUED {
                queue.push_back(Event { number: -1, mask: IN_Q_OVERFLOW, cookie: 0, name: Vec::new() });
            }
        }
        self.readable.wake(EPOLLIN | EPOLLRDNORM);
    }

    /// The events that fit into `room` bytes, as read(2) gives them.
    fn take(&self, room: usize) -> Option<Result<Vec<u8>, Errno>> {
        let mut queue = self.queue.borrow_mut();
        if queue.front()?.len() > room {
            return Some(Err(Errno::EINVAL));
        }
        let mut bytes = Vec::new();
        while let Some(event) = queue.front()
            && bytes.len() + event.len() <= room
        {
            bytes.extend_from_slice(&event.number.to_le_bytes());
            bytes.extend_from_slice(&event.mask.to_le_bytes());
            bytes.extend_from_slice(&event.cookie.to_le_bytes());
            bytes.extend_from_slice(&(event.name_len() as u32).to_le_bytes());
            bytes.extend_from_slice(&event.name);
            bytes.resize(bytes.len() + event.name_len() - event.name.len(), 0);
            queue.pop_front();
        }
        Some(Ok(bytes))
    }
}

impl File for Inotify {
    fn read(&self, of: &OpenFile, _at: u64, sink: &mut Sink<'_>) -> SysResult {
        let room = sink.left();
        let bytes = match self.take(room) {
            Some(bytes) => bytes?,
            None if of.nonblocking() => return Err(Errno::EAGAIN),
            None => match wait_event(&[&self.readable], WaitLimit::default(), || self.take(room)) {
                Ok(bytes) => bytes?,
                Err(WaitEnd::Interrupted | WaitEnd::TimedOut) => return Err(Errno::EINTR),
            },
        };
        sink.put(&bytes)
    }

    fn ioctl(&self, _of: &OpenFile, command: u32, argument: usize) -> SysResult {
        match command {
            FIONREAD => {
                let len: usize = self.queue.borrow().iter().map(Event::len).sum();
                user::write(argument, &(len as i32))?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        if self.queue.borrow().is_empty() { 0 } else { EPOLLIN | EPOLLRDNORM }
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.readable)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat { mode: 0o600, nlink: 1, block_size: 4096, ..Stat::default() })
    }
}

impl Drop for Inotify {
    fn drop(&mut self) {
        for watched in self.watches.take().values() {
            self.forget(watched);
        }
    }
}

/// Whether anything is watched at all: reporting may be left out if not.
#[inline]
pub fn watching() -> bool {
    ACTIVE.get() > 0
}

/// Joins the two events of a rename.
pub fn new_cookie() -> u32 {
    let mut last = LAST_COOKIE.borrow_mut();
    *last += 1;
    *last
}

/// Something happened to what `entry` names: tells those who watch it, and those who watch its directory.
pub fn event(entry: &Entry, mask: u32) {
    if !watching() {
        return;
    }
    let inode = entry.inode();
    let mask = if inode.is_directory() { mask | IN_ISDIR } else { mask };
    if let Some(parent) = entry.parent() {
        tell(parent.inode(), mask, 0, &entry.name(), entry.is_removed());
    }
    tell(inode, mask, 0, b"", false);
}

/// Something happened to the inode itself, whatever names it has: its directories do not hear of it, nor do they
/// learn that it is one of them (IN_ISDIR).
pub fn inode_event(inode: &Inode, mask: u32) {
    if watching() {
        tell(inode, mask, 0, b"", false);
    }
}

/// The name of `child` in `directory` came, went or moved.
pub fn name_event(directory: &Inode, mask: u32, cookie: u32, name: &[u8], child: &Inode) {
    if watching() {
        let mask = if child.is_directory() { mask | IN_ISDIR } else { mask };
        tell(directory, mask, cookie, name, false);
    }
}

fn tell(inode: &Inode, mask: u32, cookie: u32, name: &[u8], removed: bool) {
    let mut told: Vec<(Arc<Inotify>, i32, bool)> = Vec::new();
    let extra = inode.extra.borrow();
    let Some(watches) = extra.as_ref().map(|extra| &extra.watches) else { return };
    for watch in watches {
        let wanted = watch.mask & mask & IN_ALL_EVENTS != 0;
        if wanted
            && !(removed && watch.mask & IN_EXCL_UNLINK != 0)
            && let Some(instance) = watch.instance.upgrade()
        {
            told.push((instance, watch.number, watch.mask & IN_ONESHOT != 0));
        }
    }
    drop(extra);
    for (instance, number, once) in told {
        instance.push(Event { number, mask, cookie, name: name.to_vec() });
        if once {
            // The watch may be gone already, by another task's hand.
            let _ = instance.unwatch(number);
        }
    }
}

/// The last name of the inode went: its watches no longer keep it.
pub(super) fn let_go(inode: &Inode) {
    let watches: Vec<(Weak<Inotify>, i32)> = match &*inode.extra.borrow() {
        Some(extra) => extra.watches.iter().map(|watch| (watch.instance.clone(), watch.number)).collect(),
        None => return,
    };
    for (instance, number) in watches {
        let Some(instance) = instance.upgrade() else { continue };
        let kept = instance.watches.borrow_mut().get_mut(&number).and_then(|watched| watched.keep.take());
        drop(kept);
    }
}

/// The inode goes: its watches end. `deleted`: because its last name went, not because its file system did.
pub(super) fn inode_gone(watches: Vec<Watch>, deleted: bool) {
    for watch in watches {
        let Some(instance) = watch.instance.upgrade() else { continue };
        if instance.watches.borrow_mut().remove(&watch.number).is_some() {
            *ACTIVE.borrow_mut() -= 1;
        }
        let mask = if deleted { IN_DELETE_SELF } else { IN_UNMOUNT };
        let wanted = !deleted || watch.mask & IN_DELETE_SELF != 0;
        let event = |mask| Event { number: watch.number, mask, cookie: 0, name: Vec::new() };
        if wanted {
            instance.push(event(mask));
        }
        instance.push(event(IN_IGNORED));
    }
}
