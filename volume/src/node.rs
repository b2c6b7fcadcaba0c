//! The nodes of a volume: what the guest's kernel has looked up and not yet forgotten.

use rustix::io::Errno;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

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
}

/// All nodes, by id and by what they are.
pub(crate) struct Nodes(Mutex<Inner>);

impl Nodes {
    /// Only the root, which is never forgotten.
    pub(crate) fn new(fd: OwnedFd, key: Key, kind: u32) -> Self {
        let id = husk_fuse::ROOT_ID;
        let mut inner = Inner { last: id, ..Inner::default() };
        inner.nodes.insert(id, (Arc::new(Node { fd, id, kind }), key, 1));
        inner.ids.insert(key, id);
        Self(Mutex::new(inner))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        self.lock().nodes.get(&id).map(|(node, ..)| node.clone()).ok_or(Errno::STALE)
    }

    /// The node of a file that was looked up, by an O_PATH descriptor of it. Counts as one look-up.
    pub(crate) fn enter(&self, fd: OwnedFd, key: Key, kind: u32) -> Arc<Node> {
        let mut inner = self.lock();
        let Inner { nodes, ids, last } = &mut *inner;
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
        let Entry::Occupied(mut place) = inner.nodes.entry(id) else { return };
        let (_, key, lookups) = place.get_mut();
        *lookups = lookups.saturating_sub(count);
        if *lookups == 0 {
            let key = *key;
            // Dropped after the lock is free: the last close of an unlinked file takes its time.
            let gone = place.remove();
            inner.ids.remove(&key);
            drop(inner);
            drop(gone);
        }
    }
}
