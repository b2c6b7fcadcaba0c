//! open(2) and its relatives.

use super::inode::{EXECUTE, Node, READ, WRITE};
use super::walk::{Found, Last, Walk};
use super::{Entry, Path, contents, notify, remote, tree};
use crate::errno::Errno;
use crate::file::{File, OPENED_TO_RUN, OpenFile, lease};
use crate::record;
use crate::task::Task;
use alloc::format;
use alloc::sync::Arc;
use husk_abi::record::{USE_EXECUTED, USE_OPENED};
use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, F_SEAL_SHRINK, IN_CREATE, IN_MODIFY, IN_OPEN, MS_NODEV,
    MS_NOEXEC, O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_LARGEFILE, O_NOATIME, O_NOCTTY,
    O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_TMPFILE, O_TRUNC, O_WRONLY, S_IFBLK, S_IFCHR, S_IFDIR,
    S_IFREG, S_IFSOCK,
};

/// What openat2(2) is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// O_*.
    pub flags: u32,
    /// Permissions of a new file, before the umask.
    pub mode: u32,
    /// RESOLVE_*.
    pub resolve: u32,
}

/// Flags that are spent by opening, and so not kept.
const SPENT: u32 = O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC;
/// The bit that O_TMPFILE has besides O_DIRECTORY.
const TMPFILE_BIT: u32 = O_TMPFILE & !O_DIRECTORY;

/// Opens `path` relative to `dirfd`, making it if `how` says so.
pub fn open(t: &Arc<Task>, dirfd: i32, path: &[u8], mut how: How) -> Result<Arc<OpenFile>, Errno> {
    if how.flags & O_PATH != 0 {
        how.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    }
    let mut walk = Walk::restricted(t, dirfd, path, how.resolve)?;
    if how.flags & TMPFILE_BIT != 0 {
        return open_nameless(t, walk, how);
    }
    if how.flags & O_CREAT != 0 {
        return open_or_create(t, &mut walk, how);
    }
    let follow = how.flags & O_NOFOLLOW == 0;
    match walk.to_end(follow)? {
        Found::Path(path) => open_path(t, path, how.flags, false),
        Found::File(file) => reopen(&file, how.flags),
    }
}

fn open_or_create(t: &Arc<Task>, walk: &mut Walk<'_>, how: How) -> Result<Arc<OpenFile>, Errno> {
    loop {
        match walk.to_parent()? {
            Last::Name if !walk.trailing_slash() => {}
            _ if how.flags & O_EXCL != 0 && !walk.trailing_slash() => return Err(Errno::EEXIST),
            _ => return Err(Errno::EISDIR),
        }
        let entry = match walk.look_up_last() {
            Ok(entry) => entry,
            Err(Errno::ENOENT) => {
                if how.flags & O_DIRECTORY != 0 {
                    return Err(Errno::EINVAL);
                }
                let mode = S_IFREG | how.mode & 0o7777 & !t.fs().umask();
                if walk.parent().inode().is_remote() {
                    match create_remote(walk, mode, how.flags) {
                        // Somebody else was faster.
                        Err(Errno::EEXIST) if how.flags & O_EXCL == 0 => {
                            let entry = walk.look_up_last()?;
                            let path = Path { mount: walk.parent().mount.clone(), entry };
                            return open_path(t, path, how.flags, false);
                        }
                        done => return done,
                    }
                }
                let node = Node::File(contents::Contents::default());
                let entry = tree::create(walk.parent(), &walk.cred(), walk.last_name(), mode, node)?;
                let path = Path { mount: walk.parent().mount.clone(), entry };
                return open_path(t, path, how.flags & !O_TRUNC, true);
            }
            Err(error) => return Err(error),
        };
        if how.flags & O_EXCL != 0 {
            return Err(Errno::EEXIST);
        }
        if entry.inode().is_symlink() {
            if how.flags & O_NOFOLLOW != 0 {
                return Err(Errno::ELOOP);
            }
            match walk.follow_last(&entry)? {
                None => continue,
                Some(Found::File(file)) => return reopen(&file, how.flags),
                Some(Found::Path(path)) => return open_path(t, path, how.flags, false),
            }
        }
        let mut path = Path { mount: walk.parent().mount.clone(), entry };
        while let Some(mount) = path.mount.mounted_on(&path.entry) {
            path = Path { entry: mount.root.clone(), mount };
        }
        return open_path(t, path, how.flags, false);
    }
}

/// As `tree::create` and `open_path`, on a volume: in one request, since a mode without rights does not allow a second.
fn create_remote(walk: &Walk<'_>, mode: u32, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    let parent = walk.parent();
    tree::may_change(parent, &walk.cred())?;
    let (entry, file) = remote::create_open(parent, &walk.cred(), walk.last_name(), mode, flags)?;
    notify::name_event(parent.inode(), IN_CREATE, 0, walk.last_name(), entry.inode());
    record::used(&entry, USE_OPENED);
    notify::event(&entry, IN_OPEN);
    let path = Path { mount: parent.mount.clone(), entry };
    Ok(OpenFile::new(file, flags & !(SPENT | OPENED_TO_RUN) | O_LARGEFILE, Some(path)))
}

/// O_TMPFILE: a regular file without a name in the directory that the path names.
fn open_nameless(t: &Arc<Task>, walk: Walk<'_>, how: How) -> Result<Arc<OpenFile>, Errno> {
    if how.flags & O_ACCMODE == O_RDONLY || how.flags & O_DIRECTORY == 0 {
        return Err(Errno::EINVAL);
    }
    let cred = &walk.cred();
    let Found::Path(parent) = walk.to_end(true)? else { return Err(Errno::ENOTDIR) };
    if !parent.inode().is_directory() {
        return Err(Errno::ENOTDIR);
    }
    let remote = parent.inode().is_remote();
    if parent.inode().directory().is_none() && !remote {
        return Err(Errno::EOPNOTSUPP);
    }
    tree::may_change(&parent, cred)?;
    let mode = S_IFREG | how.mode & 0o7777 & !t.fs().umask();
    let (inode, object): (_, Arc<dyn File>) = if remote {
        let (inode, file) = remote::make_nameless(&parent, cred, mode, how.flags)?;
        (inode, file)
    } else {
        let node = Node::File(contents::Contents::default());
        let inode = tree::new_inode(parent.inode(), cred, mode, node);
        inode.attributes.borrow_mut().nlink = 0;
        (inode.clone(), inode)
    };
    let name = format!("#{}", inode.ino);
    let entry = Entry::nameless(&parent.entry, name.as_bytes(), inode.clone());
    if how.flags & O_EXCL == 0 {
        inode.set_linkable();
    }
    let flags = how.flags & !(SPENT | TMPFILE_BIT | O_DIRECTORY) | O_LARGEFILE | O_TMPFILE;
    Ok(OpenFile::new(object, flags, Some(Path { mount: parent.mount, entry })))
}

/// Opens an inode that has been found. `created`: by this call, so its permissions do not matter.
pub fn open_path(t: &Arc<Task>, path: Path, flags: u32, created: bool) -> Result<Arc<OpenFile>, Errno> {
    let inode = path.inode().clone();
    let kind = inode.kind();
    if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_PATH != 0 {
        return Ok(OpenFile::new(inode, flags & !SPENT, Some(path)));
    }
    let flags = flags & !OPENED_TO_RUN;
    if inode.is_symlink() {
        return Err(Errno::ELOOP);
    }
    let access = flags & O_ACCMODE;
    let writing = access != O_RDONLY || flags & O_TRUNC != 0;
    if kind == S_IFDIR && (writing || flags & O_CREAT != 0) {
        return Err(Errno::EISDIR);
    }
    if kind == S_IFSOCK {
        return Err(Errno::ENXIO);
    }
    let device = matches!(kind, S_IFCHR | S_IFBLK);
    if device && path.mount.flags() & MS_NODEV != 0 {
        return Err(Errno::EACCES);
    }
    if writing && matches!(kind, S_IFREG) {
        path.mount.check_writable()?;
    }
    if !created {
        let mut wanted = match access {
            O_RDONLY => READ,
            O_WRONLY => WRITE,
            _ => READ | WRITE,
        };
        if flags & O_TRUNC != 0 {
            wanted |= WRITE;
        }
        let cred = t.cred();
        inode.permission(&cred, wanted)?;
        if flags & O_NOATIME != 0 && !inode.owned_by(&cred) {
            return Err(Errno::EPERM);
        }
    }
    if kind == S_IFREG && writing {
        inode.check_not_running()?;
    }
    lease::make_way(&inode, access != O_RDONLY, flags & O_NONBLOCK != 0)?;
    let truncated = flags & O_TRUNC != 0 && inode.contents().is_some();
    if truncated && let Some(contents) = inode.contents() {
        inode.check_seals(F_SEAL_SHRINK)?;
        contents.truncate(&inode.fs, 0);
        crate::mem::file_shrank(&inode, 0);
        inode.written();
    }
    if flags & O_TRUNC != 0 && inode.remote().is_some() {
        remote::drop_privilege_bits(&inode)?;
    }
    // A volume's access times move where its server reads.
    let quiet = if inode.is_remote() && !path.notes_access() { O_NOATIME } else { 0 };
    let object = inode.open_object(flags | quiet)?;
    // The server has cut it off when it opened it.
    let truncated = if flags & O_TRUNC != 0 && inode.is_remote() && inode.is_regular() {
        if let Some(remote) = inode.remote() {
            remote.truncated(0);
        }
        crate::mem::file_shrank(&inode, 0);
        true
    } else {
        truncated
    };
    record::used(&path.entry, USE_OPENED);
    notify::event(&path.entry, IN_OPEN);
    if truncated {
        notify::event(&path.entry, IN_MODIFY);
    }
    Ok(OpenFile::new(object, flags & !SPENT | O_LARGEFILE, Some(path)))
}

fn reopen(file: &Arc<OpenFile>, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    if flags & O_DIRECTORY != 0 {
        return Err(Errno::ENOTDIR);
    }
    if flags & O_PATH != 0 {
        return Ok(OpenFile::new(file.object.clone(), flags & !SPENT, None));
    }
    Ok(OpenFile::new(file.object.reopen(flags)?, flags & !SPENT, None))
}

/// Opens a program for execve(2): EACCES unless it is a regular file that the task may execute.
pub fn open_exec(t: &Arc<Task>, path: &[u8]) -> Result<Arc<OpenFile>, Errno> {
    open_exec_at(t, AT_FDCWD, path, 0)
}

/// As `open_exec`, for execveat(2) and its flags AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW (ELOOP at a symbolic link).
pub fn open_exec_at(t: &Arc<Task>, dirfd: i32, path: &[u8], flags: u32) -> Result<Arc<OpenFile>, Errno> {
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
        let file = t.files().get(dirfd)?;
        return open_exec_path(t, file.path.clone().ok_or(Errno::EACCES)?);
    }
    match Walk::new(t, dirfd, path)?.to_end(flags & AT_SYMLINK_NOFOLLOW == 0)? {
        Found::Path(path) => open_exec_path(t, path),
        Found::File(_) => Err(Errno::EACCES),
    }
}

fn open_exec_path(t: &Arc<Task>, path: Path) -> Result<Arc<OpenFile>, Errno> {
    let inode = path.inode();
    if inode.is_symlink() {
        return Err(Errno::ELOOP);
    }
    if !inode.is_regular() || path.mount.flags() & MS_NOEXEC != 0 {
        return Err(Errno::EACCES);
    }
    inode.permission(&t.cred(), EXECUTE)?;
    lease::make_way(inode, false, false)?;
    inode.check_not_written()?;
    let object = inode.open_object(O_RDONLY)?;
    record::used(&path.entry, USE_EXECUTED);
    Ok(OpenFile::new(object, O_RDONLY | O_LARGEFILE | OPENED_TO_RUN, Some(path)))
}
