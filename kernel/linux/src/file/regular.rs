//! Regular files and directories as open files: `File` for inodes.
//!
//! A device or generated file opens as an object of its own; of other inodes than regular files and directories only
//! O_PATH descriptors lead here, and those read and write nothing.

use super::io::{Sink, Source};
use super::{File, FilePage, OpenFile, seek_within};
use crate::errno::{Errno, SysResult};
use crate::file::pipe::{Pipe, PipeEnd};
use crate::fs::contents::SIZE_MAX;
use crate::fs::inode::{Endpoint, Inode, Node};
use crate::fs::remote::RemoteFile;
use crate::fs::{Stat, notify, pseudo};
use crate::signal;
use crate::task;
use crate::task::cred::CAP_FSETID;
use alloc::sync::Arc;
use linux_raw_sys::general::{
    F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_WRITE, IN_ACCESS, IN_MODIFY, O_NOATIME, RLIMIT_FSIZE, S_IFBLK,
    S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_ISGID, S_ISUID, SEEK_DATA, SEEK_HOLE, SIGXFSZ,
};

/// How much may be written at `at` of the `wanted` bytes under RLIMIT_FSIZE; EFBIG and SIGXFSZ if nothing.
pub fn within_size_limit(at: u64, wanted: usize) -> Result<usize, Errno> {
    let limit = task::current().rlimit(RLIMIT_FSIZE).rlim_cur;
    if limit == u64::MAX || wanted == 0 {
        return Ok(wanted);
    }
    if at >= limit {
        signal::raise(SIGXFSZ);
        return Err(Errno::EFBIG);
    }
    Ok(wanted.min(usize::try_from(limit - at).unwrap_or(usize::MAX)))
}

/// Tells inotify(7) of what was done through `of`.
pub(crate) fn report(of: &OpenFile, event: u32) {
    if notify::watching()
        && let Some(path) = &of.path
    {
        notify::event(&path.entry, event);
    }
}

impl File for Inode {
    fn read(&self, of: &OpenFile, at: u64, sink: &mut Sink<'_>) -> SysResult {
        let Some(contents) = self.contents() else {
            return Err(if self.is_directory() { Errno::EISDIR } else { Errno::EINVAL });
        };
        let count = contents.read(at, sink)?;
        if let Some(path) = of.path.as_ref().filter(|_| of.flags() & O_NOATIME == 0) {
            path.touch_accessed();
        }
        if count > 0 {
            report(of, IN_ACCESS);
        }
        Ok(count)
    }

    fn write(&self, of: &OpenFile, at: u64, source: &mut Source<'_>) -> SysResult {
        let Some(contents) = self.contents() else { return Err(Errno::EINVAL) };
        let at = if of.appending() { contents.size() } else { at };
        let left = source.left();
        if left == 0 {
            return Ok(0);
        }
        source.limit(within_size_limit(at, left)?);
        self.check_seals(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
        if at + source.left() as u64 > contents.size() {
            self.check_seals(F_SEAL_GROW)?;
        }
        let image_pages = contents.image_pages_at(at, source.left());
        let count = contents.write(&self.fs, at, source)?;
        if !image_pages.is_empty() {
            crate::mem::file_replaced(self, image_pages);
        }
        self.written();
        report(of, IN_MODIFY);
        Ok(count)
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn seek(&self, of: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        let Some(contents) = self.contents() else {
            // A directory's position is a cookie; only going back to where one was makes sense.
            return seek_within(of, offset, whence, i64::MAX as u64);
        };
        let position = match whence {
            SEEK_DATA | SEEK_HOLE => {
                let at = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let found = if whence == SEEK_DATA { contents.next_data(at) } else { contents.next_hole(at) };
                found.ok_or(Errno::ENXIO)?
            }
            _ => return seek_within(of, offset, whence, contents.size()),
        };
        if position > SIZE_MAX {
            return Err(Errno::EINVAL);
        }
        of.set_position(position);
        Ok(position)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Inode::stat(self))
    }

    fn page(&self, index: u64, for_write: bool) -> Result<FilePage, Errno> {
        let contents = self.contents().ok_or(Errno::ENODEV)?;
        contents.page(&self.fs, index, for_write)
    }
}

/// The pipe that a FIFO's inode keeps.
fn kept_pipe(endpoint: &Endpoint) -> Arc<Pipe> {
    let kept = endpoint.borrow().clone().and_then(|kept| kept.downcast::<Pipe>().ok());
    kept.unwrap_or_else(|| {
        let pipe = Pipe::new();
        drop(endpoint.replace(Some(pipe.clone())));
        pipe
    })
}

impl Inode {
    /// The contents have changed: times, and what writing takes from a set-user-ID program.
    pub fn written(&self) {
        self.touch_modified();
        let mode = self.attributes().mode;
        if mode & (S_ISUID | S_ISGID) != 0 {
            let cred = task::current().cred();
            if !cred.capable(CAP_FSETID) {
                self.drop_privilege_bits(&cred);
            }
        }
    }

    /// Opens what a generated file or device is; the inode itself for the rest.
    pub(crate) fn open_object(self: &Arc<Self>, flags: u32) -> Result<Arc<dyn File>, Errno> {
        match &self.node {
            Node::File(_) | Node::Directory(_) => Ok(self.clone()),
            Node::Device(number) => self.open_device(*number, flags),
            Node::Pseudo(pseudo::Node::Device(number)) => self.open_device(*number, flags),
            Node::Pseudo(pseudo::Node::File(file)) => match file.open(flags)? {
                Some(object) => Ok(object),
                None => Ok(pseudo::TextFile::new(self.clone(), file.clone())),
            },
            Node::Pseudo(pseudo::Node::Directory(_)) => Ok(self.clone()),
            Node::Symlink(_) | Node::Pseudo(pseudo::Node::Link(_)) => Err(Errno::ELOOP),
            Node::Endpoint(_) if self.kind() != S_IFIFO => Err(Errno::ENXIO),
            Node::Endpoint(endpoint) => Ok(PipeEnd::open(&kept_pipe(endpoint), flags)?),
            Node::Remote(remote) => match self.kind() {
                S_IFREG | S_IFDIR => Ok(RemoteFile::open(self, flags)?),
                S_IFIFO => Ok(PipeEnd::open(&kept_pipe(remote.endpoint()), flags)?),
                S_IFLNK => Err(Errno::ELOOP),
                S_IFCHR | S_IFBLK => self.open_device(self.rdev(), flags),
                _ => Err(Errno::ENXIO),
            },
        }
    }
}
