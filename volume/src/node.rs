//! The nodes of a volume: what the guest's kernel has looked up and not yet forgotten, and for a moment longer.
//!
//! A guest that asks for a name often asks again, after it has forgotten the node: opening and closing its file would take half of the
//! time. So a forgotten node idles for a while. It holds its file, whose blocks stay taken when others unlink it: idle nodes are few, end
//! with the first removal by this guest, and are let go by a server that nobody asks.

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most nodes of a volume that idle, of the descriptors that the process may have at most this part, and how long they do.
const IDLE_MAX: u64 = 2048;
const IDLE_PART: u64 = 16;
pub(crate) const IDLE: Duration = Duration::from_millis(500);

/// A file of any kind, held by an O_PATH descriptor: nothing can take its place.
pub(crate) struct Node {
    fd: OwnedFd,
    pub(crate) id: u64,
    /// The type bits of its mode.
    pub(crate) kind: u32,
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Device and inode.
pub(crate) type Key = (u64, u64);

#[derive(Default)]
struct Inner {
    nodes: HashMap<u64, (Arc<Node>, Key, u64)>,
    ids: HashMap<Key, u64>,
    last: u64,
    /// Forgotten nodes, and when; some have been looked up again since, or forgotten twice.
    idle: VecDeque<(u64, Instant)>,
    idle_max: usize,
}

impl Inner {
    /// Removes the nodes that idle too long or, beyond `most`, longest. They are to be dropped after the lock is free: the last close
    /// of an unlinked file takes its time.
    fn expire(&mut self, now: Instant, most: usize) -> Vec<Arc<Node>> {
        let mut gone = Vec::new();
        while let Some((id, since)) = self.idle.front().copied() {
            if self.idle.len() <= most && now.saturating_duration_since(since) < IDLE {
                break;
            }
            self.idle.pop_front();
            let Entry::Occupied(place) = self.nodes.entry(id) else { continue };
            if place.get().2 == 0 {
                let (node, key, _) = place.remove();
                self.ids.remove(&key);
                gone.push(node);
            }
        }
        gone
    }
}

/// All nodes, by id and by what they are.
pub(crate) struct Nodes(Mutex<Inner>);

impl Nodes {
    /// Only the root, which is never forgotten.
    pub(crate) fn new(fd: OwnedFd, key: Key, kind: u32) -> Self {
        let id = husk_fuse::ROOT_ID;
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let idle_max = (descriptors / IDLE_PART).min(IDLE_MAX) as usize;
        let mut inner = Inner { last: id, idle_max, ..Inner::default() };
        inner.nodes.insert(id, (Arc::new(Node { fd, id, kind }), key, 1));
        inner.ids.insert(key, id);
        Self(Mutex::new(inner))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        let inner = self.lock();
        let known = inner.nodes.get(&id).filter(|(_, _, lookups)| *lookups > 0);
        known.map(|(node, ..)| node.clone()).ok_or(Errno::STALE)
    }

    /// The node of a file that was looked up, by an O_PATH descriptor of it. Counts as one look-up.
    pub(crate) fn enter(&self, fd: OwnedFd, key: Key, kind: u32) -> Arc<Node> {
        let mut inner = self.lock();
        let Inner { nodes, ids, last, .. } = &mut *inner;
        match ids.entry(key) {
            Entry::Occupied(id) => {
                let known = nodes.get_mut(id.get());
                let (node, _, count) = known.expect("each id has its node");
                *count += 1;
                node.clone()
            }
            Entry::Vacant(place) => {
                *last += 1;
                place.insert(*last);
                let node = Arc::new(Node { fd, id: *last, kind });
                nodes.insert(*last, (node.clone(), key, 1));
                node
            }
        }
    }

    /// Counts a look-up of a node that is known.
    pub(crate) fn count(&self, key: Key) -> Option<Arc<Node>> {
        let mut inner = self.lock();
        let id = *inner.ids.get(&key)?;
        let (node, _, count) = inner.nodes.get_mut(&id)?;
        *count += 1;
        Some(node.clone())
    }

    /// Takes back `count` look-ups. An id that nobody has is none.
    pub(crate) fn forget(&self, id: u64, count: u64) {
        let mut inner = self.lock();
        if id == husk_fuse::ROOT_ID {
            return;
        }
        let Some((_, _, lookups)) = inner.nodes.get_mut(&id).filter(|(_, _, lookups)| *lookups > 0) else {
            return;
        };
        *lookups = lookups.saturating_sub(count);
        if *lookups == 0 {
            let now = Instant::now();
            inner.idle.push_back((id, now));
            let most = inner.idle_max;
            let gone = inner.expire(now, most);
            drop(inner);
            drop(gone);
        }
    }

    /// Lets go of all nodes that idle.
    pub(crate) fn let_go(&self) {
        let gone = self.lock().expire(Instant::now(), 0);
        drop(gone);
    }

    /// Whether nodes idle.
    pub(crate) fn have_idle(&self) -> bool {
        !self.lock().idle.is_empty()
    }
}
