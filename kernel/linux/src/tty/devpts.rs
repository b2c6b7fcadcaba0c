//! /dev/pts and the device numbers of terminals.

use super::{PTS_MAJOR, console, open_controlling, pty};
use crate::fs::pseudo::{self, Directory, Item, Kind, numbered_place};
use crate::fs::{devfs, device_number};
use alloc::borrow::Cow;
use alloc::string::ToString;
use alloc::vec::Vec;
use linux_raw_sys::general::{DEVPTS_SUPER_MAGIC, S_IFCHR};

/// Major number of /dev/tty, /dev/console and /dev/ptmx, which are minors 0 to 2.
const TTY_MAJOR: u32 = 5;

/// Makes terminals known to the file system: before `init_root`, which mounts /dev/pts.
pub fn register() {
    devfs::register(TTY_MAJOR, 0..=0, open_controlling);
    devfs::register(TTY_MAJOR, 1..=1, console::open_console);
    devfs::register(TTY_MAJOR, 2..=2, pty::open_master);
    devfs::register(PTS_MAJOR, 0..=pty::MAX, pty::open_slave);
    let root = || Item::directory(0o755, Terminals);
    pseudo::register(Kind { name: "devpts", magic: DEVPTS_SUPER_MAGIC, root });
}

/// chmod(2) or chown(2) of a node in /dev/pts; the attributes are the new ones. False: it is none of a terminal.
pub fn keep_attributes(device: u64, attributes: &crate::fs::inode::Attributes) -> bool {
    let Some(tty) = pty::list().into_iter().find(|tty| tty.device() == device) else { return false };
    tty.owner.set((attributes.uid, attributes.gid));
    tty.permissions.set(attributes.mode & 0o7777);
    true
}

/// One name for each terminal, and one that makes a new one.
struct Terminals;

impl Directory for Terminals {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        if name == b"ptmx" {
            return Some(Item::device(0o666, device_number(TTY_MAJOR, 2)));
        }
        let tty = pty::list().into_iter().find(|tty| tty.index().to_string().as_bytes() == name)?;
        let (uid, gid) = tty.owner();
        Some(Item::device(tty.permissions(), tty.device()).owned_by(uid, gid))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let terminals = pty::list().into_iter().map(|tty| tty.index().to_string().into_bytes());
        [Cow::Borrowed(&b"ptmx"[..])]
            .into_iter()
            .chain(terminals.map(Cow::Owned))
            .map(|name| (name, S_IFCHR))
            .collect()
    }

    fn place(&self, _index: usize, name: &[u8]) -> u64 {
        numbered_place(1, name).unwrap_or(0)
    }
}
