//! Descriptors in flight: sent by SCM_RIGHTS and not yet received.
//!
//! A socket may be in flight inside its own queue, or two in each other's: closed by everybody, yet holding each other
//! open. The collector finds sockets whose every reference is in flight, sets aside those that can still be reached
//! from a socket that somebody holds, and empties the queues of the rest. It runs when a socket is closed while sockets
//! are in flight, as on Linux.
//!
//! Open files that fall out of a queue are dropped one after another from a list, not recursively, because one queue may
//! hold a socket whose queue holds a socket, and so on, deeper than the kernel's stack.

use super::Endpoint;
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::net::Socket;
use crate::task::Task;
use crate::task::cred::CAP_SYS_RESOURCE;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::RLIMIT_NOFILE;

/// Identifies an open file by where it lives.
type Key = usize;

struct Flight {
    file: Weak<OpenFile>,
    /// References to the file from queues.
    count: usize,
}

/// The Unix sockets in flight.
static IN_FLIGHT: Global<KCell<BTreeMap<Key, Flight>>> = Global::new(KCell::default);

/// How many must be in flight before `admit` looks for garbage again.
static LOOK_AGAIN: Global<KCell<usize>> = Global::new(KCell::default);

fn key(file: &Arc<OpenFile>) -> Key {
    Arc::as_ptr(file) as Key
}

fn is_unix(file: &OpenFile) -> bool {
    Socket::of(file).is_ok_and(|socket| Endpoint::of(&*socket.protocol).is_some())
}

/// A descriptor in a queue.
pub struct InFlight {
    /// Empty only while it is being dropped or has landed.
    file: Option<Arc<OpenFile>>,
}

impl InFlight {
    pub fn new(file: Arc<OpenFile>) -> Self {
        if is_unix(&file) {
            let mut flights = IN_FLIGHT.borrow_mut();
            flights
                .entry(key(&file))
                .or_insert_with(|| Flight { file: Arc::downgrade(&file), count: 0 })
                .count += 1;
        }
        Self { file: Some(file) }
    }

    /// The open file, which stays in flight (MSG_PEEK).
    pub fn peek(&self) -> Arc<OpenFile> {
        self.file.clone().expect("a descriptor in flight has its file")
    }

    /// Takes the file out of flight: it has been received.
    pub fn land(mut self) -> Arc<OpenFile> {
        self.leave().expect("a descriptor in flight has its file")
    }

    fn leave(&mut self) -> Option<Arc<OpenFile>> {
        let file = self.file.take()?;
        if is_unix(&file) {
            let mut flights = IN_FLIGHT.borrow_mut();
            if let Some(flight) = flights.get_mut(&key(&file)) {
                flight.count -= 1;
                if flight.count == 0 {
                    flights.remove(&key(&file));
                }
            }
        }
        Some(file)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(file) = self.leave() {
            doom(file);
        }
    }
}

#[derive(Default)]
struct Doomed {
    files: Vec<Arc<OpenFile>>,
    dropping: bool,
    /// A socket was closed meanwhile: look for garbage when all are dropped.
    collect: bool,
}

static DOOMED: Global<KCell<Doomed>> = Global::new(KCell::default);

/// Drops a file now, or soon when another is being dropped.
fn doom(file: Arc<OpenFile>) {
    {
        let mut doomed = DOOMED.borrow_mut();
        doomed.files.push(file);
        if doomed.dropping {
            return;
        }
        doomed.dropping = true;
    }
    loop {
        let (next, collect) = {
            let mut doomed = DOOMED.borrow_mut();
            let next = doomed.files.pop();
            doomed.dropping = next.is_some();
            (next, doomed.files.is_empty() && core::mem::take(&mut doomed.collect))
        };
        if next.is_none() {
            if collect {
                self::collect();
            }
            return;
        }
        drop(next);
    }
}

/// The Unix sockets in flight in the queues of a socket, once for each reference.
fn queued_in(file: &Arc<OpenFile>) -> Vec<Key> {
    let mut keys = Vec::new();
    if let Ok(socket) = Socket::of(file)
        && let Some(endpoint) = Endpoint::of(&*socket.protocol)
    {
        endpoint.for_each_right(&mut |right| {
            if let Some(file) = &right.file
                && is_unix(file)
            {
                keys.push(key(file));
            }
        });
    }
    keys
}

/// Closes the sockets that only they themselves hold.
pub(super) fn collect() {
    {
        // While a list is being dropped one look at its end is enough.
        let mut doomed = DOOMED.borrow_mut();
        if doomed.dropping {
            doomed.collect = true;
            return;
        }
    }
    if IN_FLIGHT.borrow().is_empty() {
        return;
    }
    // Only sockets that nobody but queues refers to are suspects.
    let suspects: BTreeMap<Key, (Arc<OpenFile>, usize)> = IN_FLIGHT
        .borrow()
        .iter()
        .filter(|(_, flight)| flight.file.strong_count() == flight.count)
        .filter_map(|(key, flight)| Some((*key, (flight.file.upgrade()?, flight.count))))
        .collect();
    if suspects.is_empty() {
        return;
    }
    let edges: BTreeMap<Key, Vec<Key>> =
        suspects.iter().map(|(key, (file, _))| (*key, queued_in(file))).collect();
    let mut within: BTreeMap<Key, usize> = BTreeMap::new();
    for target in edges.values().flatten() {
        *within.entry(*target).or_default() += 1;
    }
    // What is also queued in a socket that is no suspect can still be received, and so can what hangs on it.
    let mut reachable = BTreeSet::new();
    let mut pending: Vec<Key> = suspects
        .iter()
        .filter(|(key, (_, count))| within.get(key).copied().unwrap_or(0) < *count)
        .map(|(key, _)| *key)
        .collect();
    while let Some(key) = pending.pop() {
        if reachable.insert(key) {
            pending.extend(edges.get(&key).into_iter().flatten());
        }
    }
    let mut freed = Vec::new();
    for (file, _) in suspects.iter().filter(|(key, _)| !reachable.contains(key)).map(|(_, entry)| entry) {
        if let Ok(socket) = Socket::of(file)
            && let Some(endpoint) = Endpoint::of(&*socket.protocol)
        {
            endpoint.take_rights(&mut freed);
        }
    }
    drop(freed);
    for (file, _) in suspects.into_values() {
        doom(file);
    }
}

/// Whether a task may send more sockets: ETOOMANYREFS when more than its RLIMIT_NOFILE are in flight, garbage aside.
pub(super) fn admit(task: &Task) -> Result<(), Errno> {
    let limit = task.rlimit(RLIMIT_NOFILE).rlim_cur;
    let count = || IN_FLIGHT.borrow().len();
    if (count() as u64) <= limit {
        return Ok(());
    }
    // A look costs time by the number in flight, so the next one waits until twice the survivors are.
    if count() >= LOOK_AGAIN.get() {
        collect();
        LOOK_AGAIN.set(2 * count());
    }
    if (count() as u64) <= limit || task.cred().capable(CAP_SYS_RESOURCE) {
        Ok(())
    } else {
        Err(Errno::ETOOMANYREFS)
    }
}

/// Descriptors in flight that are Unix sockets, for tests of the collector.
#[cfg(test)]
pub fn in_flight() -> usize {
    IN_FLIGHT.borrow().len()
}
