//! /proc/PID/fd and /proc/PID/fdinfo.

use super::process::Id;
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::fs::path_of;
use crate::fs::pseudo::{Directory, Item, Link, numbered_place};
use crate::fs::walk::Found;
use crate::task::cred::Cred;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{O_CLOEXEC, S_IFLNK, S_IFREG};

/// One name for each descriptor.
pub(super) struct Descriptors {
    pub(super) id: Id,
    /// Texts about them instead of links to them.
    pub(super) info: bool,
}

impl Directory for Descriptors {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        let text = core::str::from_utf8(name).ok()?;
        let fd: i32 = text.parse().ok().filter(|fd: &i32| fd.to_string() == text)?;
        let id = self.id;
        let file = id.find_private().ok()?.open_file(fd).ok()?;
        if self.info {
            return Some(Item::file(0o444, move || info(id, fd)));
        }
        let mode = 0o100 | if file.readable() { 0o400 } else { 0 } | if file.writable() { 0o200 } else { 0 };
        Some(Item { mode, ..Item::link(Descriptor { id, fd }) })
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let Ok(subject) = self.id.find_private() else { return Vec::new() };
        let Ok(task) = subject.task() else { return Vec::new() };
        let kind = if self.info { S_IFREG } else { S_IFLNK };
        task.files().open_fds().iter().map(|fd| (Cow::Owned(fd.to_string().into_bytes()), kind)).collect()
    }

    fn place(&self, index: usize, name: &[u8]) -> u64 {
        numbered_place(0, name).unwrap_or(index as u64)
    }
}

/// The name of an open file, as readlink(2) shows it.
pub(super) fn name(file: &OpenFile) -> Vec<u8> {
    match &file.path {
        Some(path) => path_of(path),
        None => file.object.link().into_bytes(),
    }
}

/// A link that leads to what the descriptor is open on.
struct Descriptor {
    id: Id,
    fd: i32,
}

impl Descriptor {
    fn file(&self) -> Result<Arc<OpenFile>, Errno> {
        self.id.find_private()?.open_file(self.fd).map_err(|_| Errno::ENOENT)
    }
}

impl Link for Descriptor {
    fn target(&self) -> Result<Vec<u8>, Errno> {
        Ok(name(&*self.file()?))
    }

    fn jump(&self, _cred: &Cred) -> Result<Option<Found>, Errno> {
        let file = self.file()?;
        Ok(Some(match &file.path {
            Some(path) => Found::Path(path.clone()),
            None => Found::File(file),
        }))
    }
}

fn info(id: Id, fd: i32) -> Result<Vec<u8>, Errno> {
    let subject = id.find_private()?;
    let file = subject.open_file(fd).map_err(|_| Errno::ENOENT)?;
    let close_on_exec = subject.task()?.files().close_on_exec(fd)?;
    let flags = file.flags() | if close_on_exec { O_CLOEXEC } else { 0 };
    let mount = file.path.as_ref().map_or(15, |path| path.mount.id);
    let ino = file.stat().map_or(0, |stat| stat.ino);
    let position = file.position();
    let mut out = format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t{ino}\n");
    file.object.fdinfo(&mut out);
    Ok(out.into_bytes())
}
