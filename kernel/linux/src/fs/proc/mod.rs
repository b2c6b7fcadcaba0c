//! /proc, as proc(5) describes it and real programs read it.
//!
//! `process` holds what lies under a process id, `system` what tells of the guest as a whole, `sysctl` the tree below
//! /proc/sys, `net` that below /proc/net. Every text is made when it is read. What the kernel does not count is 0.

pub(super) mod cpu;
mod fd;
mod memory;
mod net;
mod process;
mod sysctl;
mod system;

use super::pseudo::{self, Directory, Item, Kind, Later, Link};
use crate::errno::Errno;
use crate::task::{self, Pid};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use linux_raw_sys::general::{PROC_SUPER_MAGIC, S_IFDIR};

/// Makes the file system known: before `init_root`, which mounts it.
pub fn register() {
    pseudo::register(Kind { name: "proc", magic: PROC_SUPER_MAGIC, root });
}

fn root() -> Item {
    Item::directory(0o555, Root { fixed: Later::new(system::entries) })
}

/// A read-only text.
fn text(make: fn() -> String) -> Item {
    Item::file(0o444, move || Ok(make().into_bytes()))
}

/// A number in a directory name: no sign, no leading zero.
fn parse_id(name: &[u8]) -> Option<Pid> {
    if !name.first().is_some_and(|first| matches!(first, b'1'..=b'9')) {
        return None;
    }
    core::str::from_utf8(name).ok()?.parse().ok()
}

/// The top directory: fixed names, and one directory for each process.
struct Root {
    fixed: Later,
}

impl Directory for Root {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        match parse_id(name) {
            Some(pid) => process::directory(pid),
            None => self.fixed.lookup(name),
        }
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let mut names = self.fixed.list();
        let processes = task::process::all();
        names.extend(
            processes.iter().map(|process| (Cow::Owned(process.pid().to_string().into_bytes()), S_IFDIR)),
        );
        names
    }

    fn place(&self, index: usize, name: &[u8]) -> u64 {
        // More than there are fixed names.
        const FIXED: u64 = 256;
        parse_id(name).map_or(index as u64, |pid| FIXED + pid as u64)
    }
}

/// /proc/self.
struct SelfLink;

impl Link for SelfLink {
    fn target(&self) -> Result<Vec<u8>, Errno> {
        Ok(task::current().pid().to_string().into_bytes())
    }
}

/// /proc/thread-self.
struct ThreadSelfLink;

impl Link for ThreadSelfLink {
    fn target(&self) -> Result<Vec<u8>, Errno> {
        let task = task::current();
        Ok(format!("{}/task/{}", task.pid(), task.tid()).into_bytes())
    }
}

#[cfg(test)]
mod tests;
