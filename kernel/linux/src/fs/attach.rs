//! Changes of the namespace: what mount(2), umount2(2) and pivot_root(2) do once their paths are resolved.

use super::mount::{FileSystem, Mount, root, set_root};
use super::{Entry, Path, pseudo, root as initial};
use crate::errno::Errno;
use crate::task::process;
use alloc::sync::Arc;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::frames;

/// Options of a file system in memory, as its `data` argument spells them.
#[derive(Clone, Copy, Debug, Default)]
pub struct MountOptions {
    /// Bytes, from `size=`; 0 sets no limit.
    pub size: Option<u64>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl MountOptions {
    /// Reads `name=value,...`. EINVAL for a value that cannot be read; names of other file systems are passed over.
    pub fn parse(text: &[u8]) -> Result<Self, Errno> {
        let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
        let mut options = Self::default();
        for option in text.split(',') {
            let Some((name, value)) = option.split_once('=') else { continue };
            let number = || value.parse().map_err(|_| Errno::EINVAL);
            match name {
                "size" => options.size = Some(size(value)?),
                "nr_blocks" => options.size = Some(size(value)?.saturating_mul(PAGE_SIZE as u64)),
                "mode" => {
                    options.mode = Some(u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777);
                }
                "uid" => options.uid = Some(number()?),
                "gid" => options.gid = Some(number()?),
                _ => {}
            }
        }
        Ok(options)
    }

    fn page_limit(&self) -> Option<u64> {
        self.size.map(|size| if size == 0 { u64::MAX / 2 } else { size.div_ceil(PAGE_SIZE as u64) })
    }
}

/// A number of bytes with the suffix k, m, g, or a percentage of memory.
fn size(text: &str) -> Result<u64, Errno> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| Errno::EINVAL)?;
    let memory = (frames::usage().1 * PAGE_SIZE) as u64;
    match text[split..].to_ascii_lowercase().as_str() {
        "" => Some(number),
        "k" => number.checked_mul(1 << 10),
        "m" => number.checked_mul(1 << 20),
        "g" => number.checked_mul(1 << 30),
        "%" => memory.checked_mul(number).map(|part| part / 100),
        _ => None,
    }
    .ok_or(Errno::EINVAL)
}

/// A directory covers a directory, and anything else a non-directory.
fn check_covers(top: &Entry, place: &Path) -> Result<(), Errno> {
    if place.entry.is_removed() {
        Err(Errno::ENOENT)
    } else if top.inode().is_directory() != place.inode().is_directory() {
        Err(Errno::ENOTDIR)
    } else {
        Ok(())
    }
}

/// Mounts a new file system of `kind`; ENODEV for kinds there are not.
pub fn mount_new(
    kind: &[u8],
    source: &[u8],
    place: &Path,
    flags: u32,
    options: &MountOptions,
) -> Result<(), Errno> {
    let (fs, top): (Arc<FileSystem>, _) = match kind {
        b"" => return Err(Errno::EINVAL),
        b"tmpfs" | b"ramfs" => {
            let (fs, top) = initial::new_tmpfs(options.mode.unwrap_or(0o1777), options.page_limit());
            let mut attributes = top.inode().attributes.borrow_mut();
            attributes.uid = options.uid.unwrap_or(0);
            attributes.gid = options.gid.unwrap_or(0);
            drop(attributes);
            (fs, top)
        }
        _ => pseudo::make(pseudo::kind(kind).ok_or(Errno::ENODEV)?),
    };
    attach(fs, top, source, place, flags)
}

/// Mounts a file system at `place`.
pub(super) fn attach(
    fs: Arc<FileSystem>,
    top: Arc<Entry>,
    source: &[u8],
    place: &Path,
    flags: u32,
) -> Result<(), Errno> {
    check_covers(&top, place)?;
    Mount::new(fs, top, source, flags).attach(place);
    Ok(())
}

/// Changes the flags of the mount at `place` and, unless `mount_only`, the limits of its file system.
pub fn remount(place: &Path, flags: u32, mount_only: bool, options: &MountOptions) -> Result<(), Errno> {
    if !place.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    if !mount_only && let Some(limit) = options.page_limit() {
        place.mount.fs.set_page_limit(limit)?;
    }
    place.mount.set_flags(flags);
    Ok(())
}

/// Shows `from` at `place` too; with `recursive` also what is mounted below it.
pub fn bind(from: &Path, place: &Path, recursive: bool) -> Result<(), Errno> {
    check_covers(&from.entry, place)?;
    let copy = copy_mount(&from.mount, &from.entry, recursive);
    copy.attach(place);
    Ok(())
}

fn copy_mount(mount: &Arc<Mount>, top: &Arc<Entry>, recursive: bool) -> Arc<Mount> {
    let copy = Mount::new(mount.fs.clone(), top.clone(), &mount.source, mount.flags());
    if recursive {
        for (entry, child) in mount.mounts() {
            if entry.is_within(top) {
                let place = Path { mount: copy.clone(), entry };
                copy_mount(&child, &child.root, true).attach(&place);
            }
        }
    }
    copy
}

/// Moves the mount at `from` to `place`.
pub fn move_mount(from: &Path, place: &Path) -> Result<(), Errno> {
    if !from.is_mount_root() || from.mount.place().is_none() {
        return Err(Errno::EINVAL);
    }
    check_covers(&from.entry, place)?;
    let mut at = Some(place.clone());
    while let Some(path) = at {
        if Arc::ptr_eq(&path.mount, &from.mount) {
            return Err(Errno::ELOOP);
        }
        at = path.mount.place();
    }
    from.mount.detach();
    from.mount.attach(place);
    Ok(())
}

/// Takes the mount at `place` away. EBUSY while it is used, unless `detach` leaves it to its users.
pub fn unmount(place: Path, detach: bool) -> Result<(), Errno> {
    if !place.is_mount_root() {
        return Err(Errno::EINVAL);
    }
    let mount = place.mount.clone();
    drop(place);
    if mount.place().is_none() {
        return Err(Errno::EINVAL);
    }
    // Ours and the namespace's are the only references to an unused mount.
    if !detach && (mount.has_mounts() || Arc::strong_count(&mount) > 2) {
        return Err(Errno::EBUSY);
    }
    mount.detach();
    Ok(())
}

/// Makes the mount at `new` the root in place of `old`, which moves to `put_old`; so do the tasks that use `old`.
pub fn pivot(old: &Path, new: &Path, put_old: &Path) -> Result<(), Errno> {
    if !new.is_mount_root() || !old.is_mount_root() || new.mount.place().is_none() {
        return Err(Errno::EINVAL);
    }
    if Arc::ptr_eq(&new.mount, &old.mount) || Arc::ptr_eq(&put_old.mount, &old.mount) {
        return Err(Errno::EBUSY);
    }
    if !new.inode().is_directory() || !put_old.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let mut at = put_old.clone();
    while !Arc::ptr_eq(&at.mount, &new.mount) {
        at = at.mount.place().ok_or(Errno::EINVAL)?;
    }
    let at_top = Arc::ptr_eq(&root().mount, &old.mount);
    let old_place = old.mount.place();
    new.mount.detach();
    old.mount.detach();
    match old_place {
        Some(place) => new.mount.attach(&place),
        None if at_top => set_root(new.mount.clone()),
        None => return Err(Errno::EINVAL),
    }
    old.mount.attach(put_old);
    for task in process::all_tasks() {
        let fs = task.fs();
        if fs.root() == *old {
            fs.set_root(new.clone());
        }
        if fs.cwd() == *old {
            fs.set_cwd(new.clone());
        }
    }
    Ok(())
}
