//! Directories of an image's root, copied to the host for new named volumes: the one place where files of an image become
//! files of the host.
//!
//! Nothing of an image can lead out: every name is a single component in a directory that was just made here, and files,
//! links and directories are only ever made, never followed.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use husk_erofs::{FileType, Image, Inode};
use rustix::fs::{AtFlags, CWD, FileType as HostType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::ImageError;
use crate::launch::look_up;
use crate::map::Mapped;
use crate::store::Root;

/// Copies the directory at `path` of a root, links on the way followed within it, to `to`, which is made: contents, modes,
/// times, hard links and extended attributes, and for a caller who is root owners and devices too. `false`: there is no
/// directory at `path`, and nothing was made.
///
/// # Errors
/// [`ImageError::Erofs`]; [`ImageError::Io`], as that a device cannot be made. What was made until then stays.
pub fn copy_out(root: &Root, path: &str, to: &Path) -> Result<bool, ImageError> {
    let merged = Path::new(&root.files[0]);
    let mapped = Mapped::open(merged)?;
    let image = mapped.metadata(merged, root.sizes.iter().sum())?;
    let erofs = |error| ImageError::Erofs { path: merged.to_path_buf(), error };
    let top = match look_up(&image, path).map_err(erofs)? {
        Some(inode) if inode.file_type() == FileType::Directory => inode,
        _ => return Ok(false),
    };
    let mut copy = Copy { root, image, erofs: &erofs, files: HashMap::new(), known: HashMap::new() };
    // Directories get their attributes last: what is made in them changes their times, and they may forbid it.
    let mut directories = vec![(top, to.to_path_buf())];
    make_directory(to)?;
    let mut next = 0;
    while next < directories.len() {
        let (directory, here) = directories[next].clone();
        for entry in copy.image.entries(&directory, 0).map_err(erofs)? {
            let entry = entry.map_err(erofs)?;
            if matches!(entry.name, b"." | b"..") {
                continue;
            }
            if entry.name.is_empty() || entry.name.contains(&b'/') || entry.name.contains(&0) {
                return Err(ImageError::document(path, "a directory of the image has a name that is none"));
            }
            let place = here.join(OsStr::from_bytes(entry.name));
            let inode = copy.image.inode(entry.nid).map_err(erofs)?;
            if inode.file_type() == FileType::Directory {
                make_directory(&place)?;
                directories.push((inode, place));
            } else {
                copy.entry(&inode, place)?;
            }
        }
        next += 1;
    }
    for (inode, place) in directories.iter().rev() {
        copy.attributes(inode, place)?;
    }
    Ok(true)
}

fn make_directory(path: &Path) -> Result<(), ImageError> {
    std::fs::DirBuilder::new().mode(0o700).create(path).map_err(ImageError::io(path))
}

struct Copy<'a, F> {
    root: &'a Root,
    image: Image<'a>,
    erofs: &'a F,
    /// Open files of the root, by their number.
    files: HashMap<usize, File>,
    /// Where an inode that may have further names was put.
    known: HashMap<u64, PathBuf>,
}

impl<F: Fn(husk_erofs::Error) -> ImageError> Copy<'_, F> {
    /// Makes what is no directory.
    fn entry(&mut self, inode: &Inode, place: PathBuf) -> Result<(), ImageError> {
        if let Some(known) = self.known.get(&inode.nid) {
            return std::fs::hard_link(known, &place).map_err(ImageError::io(&place));
        }
        let io = |error: Errno| ImageError::io(&place)(error.into());
        let device = rustix::fs::makedev(inode.device.0, inode.device.1);
        let node = |kind, device| {
            rustix::fs::mknodat(CWD, &place, kind, Mode::from_bits_truncate(0o600), device).map_err(io)
        };
        match inode.file_type() {
            FileType::Symlink => {
                let target = OsStr::from_bytes(self.image.symlink(inode).map_err(self.erofs)?);
                std::os::unix::fs::symlink(target, &place).map_err(ImageError::io(&place))?;
            }
            FileType::Fifo => node(HostType::Fifo, 0)?,
            FileType::Socket => node(HostType::Socket, 0)?,
            FileType::CharDevice => node(HostType::CharacterDevice, device)?,
            FileType::BlockDevice => node(HostType::BlockDevice, device)?,
            _ => {
                let options = File::options().write(true).create_new(true).mode(0o600).clone();
                let mut file = options.open(&place).map_err(ImageError::io(&place))?;
                self.contents(inode, &mut file, &place)?;
            }
        }
        self.attributes(inode, &place)?;
        self.known.insert(inode.nid, place);
        Ok(())
    }

    fn contents(&mut self, inode: &Inode, to: &mut File, place: &Path) -> Result<(), ImageError> {
        for extent in self.image.extents(inode, 0) {
            let extent = extent.map_err(self.erofs)?;
            let Some(mut at) = extent.image_offset else { continue };
            let mut sizes = self.root.sizes.iter().enumerate();
            let found = sizes.find(|(_, size)| {
                let is_in = at < **size;
                at -= if is_in { 0 } else { **size };
                is_in
            });
            let Some((number, _)) = found else { continue };
            let path = &self.root.files[number];
            let from = match self.files.entry(number) {
                std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::hash_map::Entry::Vacant(free) => {
                    free.insert(File::open(path).map_err(ImageError::io(path))?)
                }
            };
            from.seek(SeekFrom::Start(at)).map_err(ImageError::io(path))?;
            to.seek(SeekFrom::Start(extent.offset)).map_err(ImageError::io(place))?;
            let copied = io::copy(&mut io::Read::take(&mut *from, extent.len), to);
            if copied.map_err(ImageError::io(place))? != extent.len {
                return Err(ImageError::io(path)(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        // Holes at the end.
        to.set_len(inode.size).and_then(|()| to.flush()).map_err(ImageError::io(place))
    }

    fn attributes(&self, inode: &Inode, place: &Path) -> Result<(), ImageError> {
        let io = |error: Errno| ImageError::io(place)(error.into());
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            let (uid, gid) = (Uid::from_raw(inode.uid), Gid::from_raw(inode.gid));
            rustix::fs::chownat(CWD, place, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
        }
        for xattr in self.image.xattrs(inode) {
            let xattr = xattr.map_err(self.erofs)?;
            let name = [xattr.prefix.as_bytes(), xattr.suffix].concat();
            // The others are of this host's security modules and file systems.
            if !name.starts_with(b"user.") && name != b"security.capability" {
                continue;
            }
            let name = OsString::from(OsStr::from_bytes(&name));
            match rustix::fs::lsetxattr(place, &name, xattr.value, XattrFlags::empty()) {
                Err(Errno::NOTSUP) => {}
                Err(Errno::PERM) if !is_root => {}
                done => done.map_err(io)?,
            }
        }
        if inode.file_type() != FileType::Symlink {
            // After the owner, whose change takes set-user-id bits away.
            let mode = Mode::from_bits_truncate(u32::from(inode.mode & 0o7777));
            rustix::fs::chmodat(CWD, place, mode, AtFlags::empty()).map_err(io)?;
        }
        let time = Timespec { tv_sec: inode.mtime, tv_nsec: inode.mtime_nsec.into() };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(io)
    }
}
