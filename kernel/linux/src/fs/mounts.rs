//! What the boot block says to mount over the root: volumes and file systems in memory.
//!
//! Runs once, before the first program, with the rights of process 1's kernel: places that are missing are made.

use super::attach::{self, MountOptions};
use super::{Path, remote, tree, walk};
use crate::errno::Errno;
use crate::task::Task;
use crate::task::cred::Cred;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::boot::{OWN_TYPE, VOLUME_TYPE};
use husk_machine::ring;
use linux_raw_sys::general::{AT_FDCWD, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, S_IFREG};

/// Mounts all of `mounts`: of each its source, target, type and options. An error is that of a target, with what is wrong.
pub fn prepare(t: &Arc<Task>, mounts: &[Vec<u8>]) -> Result<(), (Vec<u8>, &'static str)> {
    let mut volumes = 0;
    for mount in mounts.chunks_exact(4) {
        let [source, target, kind, options] = mount else { continue };
        let volume = (**kind == *VOLUME_TYPE.as_bytes()).then_some(volumes);
        volumes += usize::from(volume.is_some());
        prepare_one(t, source, target, kind, options, volume).map_err(|error| {
            let why = match error {
                Errno::EIO => "the state server does not answer",
                Errno::ENOTDIR => "a folder and a file cannot cover each other",
                Errno::EINVAL => "the options cannot be read",
                error => error.name().unwrap_or("an unknown error"),
            };
            (target.clone(), why)
        })?;
    }
    Ok(())
}

fn prepare_one(
    t: &Arc<Task>,
    source: &[u8],
    target: &[u8],
    kind: &[u8],
    options: &[u8],
    volume: Option<usize>,
) -> Result<(), Errno> {
    let has = |name: &[u8]| options.split(|byte| *byte == b',').any(|option| option == name);
    let mut flags = if has(b"ro") { MS_RDONLY } else { 0 };
    match volume {
        Some(volume) => {
            let unit = ring::unit(volume).ok_or(Errno::EIO)?;
            let (fs, top) = remote::open(unit)?;
            if fs.volume().is_some_and(remote::Volume::is_read_only) {
                flags |= MS_RDONLY;
            }
            let directory = top.inode().is_directory();
            let place = as_root(t, || place(t, target, directory))?;
            attach::attach(fs, top, source, &place, flags | MS_NODEV)
        }
        None if *kind == *OWN_TYPE.as_bytes() => {
            let place = as_root(t, || place(t, target, true))?;
            attach::attach(place.mount.fs.clone(), place.entry.clone(), source, &place, flags)
        }
        None => {
            flags |= MS_NODEV | MS_NOSUID | if has(b"exec") { 0 } else { MS_NOEXEC };
            let mut options = MountOptions::parse(options)?;
            if options.mode.is_none() {
                // As runc does: what stands over a directory is like it.
                let found = as_root(t, || walk::lookup(t, AT_FDCWD, target, true));
                options.mode = found.ok().map(|found| found.inode().attributes.borrow().mode & 0o7777);
            }
            let place = as_root(t, || place(t, target, true))?;
            attach::mount_new(kind, source, &place, flags, &options)
        }
    }
}

/// The place that a mount is to cover, made if it is missing.
fn place(t: &Arc<Task>, target: &[u8], directory: bool) -> Result<Path, Errno> {
    if directory {
        make_directories(t, target)?;
    } else if walk::lookup(t, AT_FDCWD, target, true) == Err(Errno::ENOENT) {
        let above = target.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        make_directories(t, &target[..above])?;
        tree::make_node(t, AT_FDCWD, target, S_IFREG | 0o644, 0)?;
    }
    walk::lookup(t, AT_FDCWD, target, true)
}

/// Does `act` with the rights of a superuser, whoever process 1 is to be, and the mode it asks for.
fn as_root<R>(t: &Arc<Task>, act: impl FnOnce() -> R) -> R {
    let (cred, umask) = (t.cred(), t.fs().umask());
    t.set_cred(Cred::new(0, 0));
    t.fs().set_umask(0);
    let done = act();
    t.fs().set_umask(umask);
    t.set_cred(cred);
    done
}

/// Makes the first program's working directory, with those above it, where it is missing.
pub(super) fn make_working_directory(t: &Arc<Task>, path: &[u8]) -> Result<(), Errno> {
    as_root(t, || make_directories(t, path))
}

/// Makes a directory with those above it.
fn make_directories(t: &Arc<Task>, path: &[u8]) -> Result<(), Errno> {
    let mut end = 0;
    while end < path.len() {
        end = path[end + 1..].iter().position(|byte| *byte == b'/').map_or(path.len(), |next| end + 1 + next);
        match walk::lookup(t, AT_FDCWD, &path[..end], true) {
            Ok(_) => {}
            Err(Errno::ENOENT) => tree::make_directory(t, AT_FDCWD, &path[..end], 0o755)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
