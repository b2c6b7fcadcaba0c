//! /dev/pts: the pseudo-terminals there are, and `ptmx`, which makes more.

use super::device_number;
use super::pseudo::{Directory, Item, Kind};
use crate::tty::pty;
use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use linux_raw_sys::general::{DEVPTS_SUPER_MAGIC, S_IFCHR};

/// What mount(2) mounts.
pub const DEVPTS: Kind =
    Kind { name: "devpts", magic: DEVPTS_SUPER_MAGIC, root: || Item::directory(0o755, Terminals) };

struct Terminals;

impl Directory for Terminals {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        if name == b"ptmx" {
            return Some(Item::device(0o666, device_number(5, 2)));
        }
        let found = pty::list().into_iter().find(|tty| tty.index().to_string().as_bytes() == name)?;
        let (uid, gid) = found.owner();
        Some(Item::device(0o620, found.device()).owned_by(uid, gid))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let names = pty::list().into_iter().map(|tty| Cow::Owned(tty.index().to_string().into_bytes()));
        core::iter::once(Cow::Borrowed(&b"ptmx"[..])).chain(names).map(|name| (name, S_IFCHR)).collect()
    }
}
