//! The names of Unix sockets: who is bound to what.
//!
//! Abstract names live here alone. A path names an inode, and the inode's identity leads here; the file stays when its
//! socket is closed, and leads to nobody then (ECONNREFUSED).

use super::Endpoint;
use crate::errno::Errno;
use crate::fs::inode::WRITE;
use crate::fs::{Path, tree, walk};
use crate::net::addr::UnixName;
use crate::task::Task;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{AT_FDCWD, S_IFSOCK};
use linux_raw_sys::net::AF_UNIX;

/// What an endpoint is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Socket type and abstract name: the types do not share names.
    Abstract(u32, UnixName),
    /// Device and number of the inode that a path leads to.
    Inode(u64, u64),
}

static BOUND: Global<KCell<BTreeMap<Key, Weak<Endpoint>>>> = Global::new(KCell::default);
static NEXT_AUTOBIND: Global<KCell<u32>> = Global::new(KCell::default);

/// What a caller's `struct sockaddr_un` says.
pub enum Wanted {
    /// No name: for bind(2), pick one.
    Unnamed,
    Abstract(UnixName),
    Path(UnixName),
}

/// Reads a `struct sockaddr_un`.
pub fn decode(address: &[u8]) -> Result<Wanted, Errno> {
    if address.len() > 110 || crate::net::addr::family(address) != Some(AF_UNIX) {
        return Err(Errno::EINVAL);
    }
    let name = &address[2..];
    match name.first() {
        None => Ok(Wanted::Unnamed),
        Some(0) => Ok(Wanted::Abstract(name.into())),
        Some(_) => Ok(Wanted::Path(name.split(|byte| *byte == 0).next().unwrap_or_default().into())),
    }
}

pub fn find(key: &Key) -> Option<Arc<Endpoint>> {
    BOUND.borrow().get(key).and_then(Weak::upgrade)
}

/// Gives a name to an endpoint; EADDRINUSE when another has it.
pub fn claim(key: Key, endpoint: &Arc<Endpoint>) -> Result<(), Errno> {
    let mut bound = BOUND.borrow_mut();
    if bound.contains_key(&key) {
        return Err(Errno::EADDRINUSE);
    }
    bound.insert(key, Arc::downgrade(endpoint));
    Ok(())
}

pub fn release(key: &Key) {
    BOUND.borrow_mut().remove(key);
}

/// An abstract name that nobody has: a NUL and five hexadecimal digits, as unix(7) says.
pub fn claim_any(kind: u32, endpoint: &Arc<Endpoint>) -> Result<(Key, UnixName), Errno> {
    const NAMES: u32 = 1 << 20;
    for _ in 0..NAMES {
        let number = NEXT_AUTOBIND.get() % NAMES;
        NEXT_AUTOBIND.set(number + 1);
        let mut name: Vec<u8> = alloc::vec![0];
        name.extend(alloc::format!("{number:05x}").into_bytes());
        let key = Key::Abstract(kind, name.as_slice().into());
        if claim(key.clone(), endpoint).is_ok() {
            return Ok((key, name.into()));
        }
    }
    Err(Errno::ENOSPC)
}

fn key_of(path: &Path) -> Key {
    let stat = path.inode().stat();
    Key::Inode(stat.dev, stat.ino)
}

/// Makes the file that a path bind leaves behind.
pub fn make(task: &Arc<Task>, path: &[u8]) -> Result<Key, Errno> {
    match tree::make_node(task, AT_FDCWD, path, S_IFSOCK | 0o777, 0) {
        Ok(made) => Ok(key_of(&made)),
        Err(Errno::EEXIST) => Err(Errno::EADDRINUSE),
        Err(error) => Err(error),
    }
}

/// Whether there is anything at a path.
pub fn exists(task: &Arc<Task>, path: &[u8]) -> bool {
    walk::lookup(task, AT_FDCWD, path, false).is_ok()
}

/// Finds the socket file at a path: the caller must be allowed to write it, and it must be a socket (ECONNREFUSED).
pub fn look_up(task: &Arc<Task>, path: &[u8]) -> Result<Key, Errno> {
    let found = walk::lookup(task, AT_FDCWD, path, true)?;
    found.inode().permission(&task.cred(), WRITE)?;
    if found.inode().kind() == S_IFSOCK { Ok(key_of(&found)) } else { Err(Errno::ECONNREFUSED) }
}
