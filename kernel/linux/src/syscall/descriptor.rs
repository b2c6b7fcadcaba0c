//! Descriptors and open file descriptions: dup(2), fcntl(2), flock(2), ioctl(2).

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::locks::{Owner, Record};
use crate::file::owner::{OwnerKind, SignalOwner};
use crate::file::pipe::{Pipe, PipeEnd};
use crate::file::{OpenFile, lease};
use crate::fs::Inode;
use crate::fs::remote::{self, RemoteFile};
use crate::mem::user;
use crate::task::cred::CAP_FOWNER;
use crate::task::{Task, process};
use alloc::sync::Arc;
use husk_machine::pod;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl;
use raw::{
    F_DUPFD, F_GETFD, F_GETFL, F_GETLK, F_GETOWN, F_SETFD, F_SETFL, F_SETLK, F_SETLKW, F_SETOWN, FD_CLOEXEC,
    O_APPEND, O_CLOEXEC, O_DIRECT, O_NOATIME, O_NONBLOCK, O_PATH, RLIMIT_NOFILE, f_owner_ex, flock,
};

/// O_ASYNC.
const FASYNC: u32 = 0o20000;
/// What F_SETFL changes.
const SETTABLE: u32 = O_APPEND | FASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK;

pub(super) fn dup(t: &Arc<Task>, oldfd: i32) -> SysResult {
    let files = t.files();
    let file = files.get(oldfd)?;
    Ok(files.install(file, false)? as usize)
}

pub(super) fn dup2(t: &Arc<Task>, oldfd: i32, newfd: i32) -> SysResult {
    if oldfd == newfd {
        t.files().get(oldfd)?;
        return Ok(newfd as usize);
    }
    duplicate_to(t, oldfd, newfd, false)
}

pub(super) fn dup3(t: &Arc<Task>, oldfd: i32, newfd: i32, flags: u32) -> SysResult {
    if flags & !O_CLOEXEC != 0 || oldfd == newfd {
        return Err(Errno::EINVAL);
    }
    duplicate_to(t, oldfd, newfd, flags & O_CLOEXEC != 0)
}

fn duplicate_to(t: &Arc<Task>, oldfd: i32, newfd: i32, close_on_exec: bool) -> SysResult {
    let files = t.files();
    let file = files.get(oldfd)?;
    let replaced = files.replace(newfd, file, close_on_exec, t.rlimit(RLIMIT_NOFILE).rlim_cur)?;
    drop(replaced);
    Ok(newfd as usize)
}

pub(super) fn fcntl(t: &Arc<Task>, fd: i32, command: u32, argument: usize) -> SysResult {
    let files = t.files();
    let file = files.get(fd)?;
    if file.flags() & O_PATH != 0
        && !matches!(command, F_DUPFD | raw::F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL)
    {
        return Err(Errno::EBADF);
    }
    match command {
        F_DUPFD | raw::F_DUPFD_CLOEXEC => {
            let limit = t.rlimit(RLIMIT_NOFILE).rlim_cur;
            let min = argument as u32 as usize;
            if min as u64 >= limit {
                return Err(Errno::EINVAL);
            }
            Ok(files.install_from(file, command == raw::F_DUPFD_CLOEXEC, min, limit)? as usize)
        }
        F_GETFD => Ok(usize::from(files.close_on_exec(fd)?)),
        F_SETFD => {
            files.set_close_on_exec(fd, argument & FD_CLOEXEC as usize != 0)?;
            Ok(0)
        }
        F_GETFL => Ok(file.flags() as usize),
        F_SETFL => set_flags(t, &file, fd, argument as u32),
        F_GETLK | raw::F_OFD_GETLK => get_lock(t, &file, argument, command == raw::F_OFD_GETLK),
        F_SETLK => set_lock(t, &file, argument, false, false),
        F_SETLKW => set_lock(t, &file, argument, true, false),
        raw::F_OFD_SETLK => set_lock(t, &file, argument, false, true),
        raw::F_OFD_SETLKW => set_lock(t, &file, argument, true, true),
        F_GETOWN => {
            let owner = file.signal_owner();
            let id = if owner.kind == OwnerKind::Group { -owner.id } else { owner.id };
            Ok(id as isize as usize)
        }
        F_SETOWN => {
            let id = argument as i32;
            let kind = if id < 0 { OwnerKind::Group } else { OwnerKind::Process };
            let id = id.checked_abs().ok_or(Errno::EINVAL)?;
            file.set_signal_owner(SignalOwner { kind, id, ..file.signal_owner() })?;
            Ok(0)
        }
        raw::F_GETOWN_EX => {
            let owner = file.signal_owner();
            let mut out: f_owner_ex = pod::zeroed();
            out.type_ = owner.kind as _;
            out.pid = owner.id;
            user::write(argument, &out)?;
            Ok(0)
        }
        raw::F_SETOWN_EX => {
            let given: f_owner_ex = user::read(argument)?;
            let kind = OwnerKind::from_raw(given.type_ as u32).ok_or(Errno::EINVAL)?;
            file.set_signal_owner(SignalOwner { kind, id: given.pid, ..file.signal_owner() })?;
            Ok(0)
        }
        raw::F_GETSIG => Ok(file.signal_owner().signal as usize),
        raw::F_SETSIG => {
            let signal = u32::try_from(argument).ok().filter(|signal| *signal <= 64).ok_or(Errno::EINVAL)?;
            file.set_signal_owner(SignalOwner { signal, ..file.signal_owner() })?;
            Ok(0)
        }
        raw::F_GET_RW_HINT => {
            user::write(argument, &hinted_inode(&file)?.write_hint())?;
            Ok(0)
        }
        raw::F_SET_RW_HINT => {
            const RWH_WRITE_LIFE_EXTREME: u64 = 5;
            let inode = hinted_inode(&file)?;
            let hint: u64 = user::read(argument)?;
            if !inode.owned_by(&t.cred()) && !t.cred().capable(CAP_FOWNER) {
                return Err(Errno::EPERM);
            }
            if hint > RWH_WRITE_LIFE_EXTREME {
                return Err(Errno::EINVAL);
            }
            inode.set_write_hint(hint);
            Ok(0)
        }
        raw::F_SETLEASE => lease::set(t, &file, fd, argument as u32),
        raw::F_GETLEASE => Ok(lease::get(&file) as usize),
        raw::F_GETPIPE_SZ => Ok(pipe_of(&file)?.capacity()),
        raw::F_SETPIPE_SZ => pipe_of(&file)?.set_capacity(argument as u32 as usize, &t.cred()),
        raw::F_ADD_SEALS => add_seals(&file, argument as u32),
        raw::F_GET_SEALS => Ok(sealed_inode(&file)?.seals().ok_or(Errno::EINVAL)? as usize),
        raw::F_DUPFD_QUERY => {
            let other = i32::try_from(argument).ok().and_then(|other| files.get(other).ok());
            let other = other.ok_or(Errno::EBADF)?;
            Ok(usize::from(Arc::ptr_eq(&file, &other)))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The pipe that the file is an end of, else EBADF.
fn pipe_of(file: &OpenFile) -> Result<&Arc<Pipe>, Errno> {
    file.object.downcast::<PipeEnd>().map(PipeEnd::pipe).ok_or(Errno::EBADF)
}

fn set_flags(t: &Arc<Task>, file: &Arc<OpenFile>, fd: i32, flags: u32) -> SysResult {
    let old = file.flags();
    if flags & O_NOATIME != 0
        && old & O_NOATIME == 0
        && let Some(path) = &file.path
        && !path.inode().owned_by(&t.cred())
        && !t.cred().capable(CAP_FOWNER)
    {
        return Err(Errno::EPERM);
    }
    file.set_flags(old & !SETTABLE | flags & SETTABLE);
    if (old ^ flags) & FASYNC != 0 {
        file.set_async(flags & FASYNC != 0, fd);
    }
    Ok(0)
}

/// The inode that keeps a hint about what is written.
fn hinted_inode(file: &OpenFile) -> Result<&Arc<Inode>, Errno> {
    file.path.as_ref().map(|path| path.inode()).ok_or(Errno::EINVAL)
}

/// The inode that holds a file's locks. ENOLCK for what has no name.
fn locked_inode(file: &OpenFile) -> Result<&Arc<Inode>, Errno> {
    file.path.as_ref().map(|path| path.inode()).ok_or(Errno::ENOLCK)
}

/// The bytes that a `struct flock` means: first and last.
fn lock_range(file: &OpenFile, lock: &flock) -> Result<(u64, u64), Errno> {
    let base = match lock.l_whence as u32 {
        raw::SEEK_SET => 0,
        raw::SEEK_CUR => file.position() as i64,
        raw::SEEK_END => file.stat()?.size as i64,
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add(lock.l_start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match lock.l_len {
        0 => (start, None),
        len if len > 0 => (start, Some(start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?)),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, Some(start - 1)),
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = match end {
        None => u64::MAX,
        Some(end) => u64::try_from(end).map_err(|_| Errno::EINVAL)?,
    };
    Ok((start, end))
}

/// The lock that a `struct flock` asks for; `None` to unlock.
fn wanted_lock(
    t: &Arc<Task>,
    file: &Arc<OpenFile>,
    lock: &flock,
    of_open_file: bool,
) -> Result<(Record, bool), Errno> {
    let (start, end) = lock_range(file, lock)?;
    let (owner, pid) = match of_open_file {
        true if lock.l_pid != 0 => return Err(Errno::EINVAL),
        true => (Owner::open(file), -1),
        false => (Owner::table(&t.files()), t.pid()),
    };
    let (exclusive, unlock) = match lock.l_type as u32 {
        raw::F_RDLCK => (false, false),
        raw::F_WRLCK => (true, false),
        raw::F_UNLCK => (false, true),
        _ => return Err(Errno::EINVAL),
    };
    Ok((Record { owner, pid, exclusive, start, end }, unlock))
}

fn get_lock(t: &Arc<Task>, file: &Arc<OpenFile>, argument: usize, of_open_file: bool) -> SysResult {
    let mut lock: flock = user::read(argument)?;
    let (wanted, unlock) = wanted_lock(t, file, &lock, of_open_file)?;
    if unlock {
        return Err(Errno::EINVAL);
    }
    let inode = locked_inode(file)?;
    let mut found = inode.locks().and_then(|locks| locks.conflict(&wanted));
    if found.is_none() && inode.is_remote() {
        found = remote::locks::conflict(inode, &wanted)?;
    }
    match found {
        None => lock.l_type = raw::F_UNLCK as _,
        Some(found) => {
            lock.l_type = if found.exclusive { raw::F_WRLCK } else { raw::F_RDLCK } as _;
            lock.l_whence = raw::SEEK_SET as _;
            lock.l_start = found.start as i64;
            lock.l_len = if found.end == u64::MAX { 0 } else { (found.end - found.start + 1) as i64 };
            lock.l_pid = found.pid;
        }
    }
    user::write(argument, &lock)?;
    Ok(0)
}

fn set_lock(
    t: &Arc<Task>,
    file: &Arc<OpenFile>,
    argument: usize,
    wait: bool,
    of_open_file: bool,
) -> SysResult {
    let lock: flock = user::read(argument)?;
    let (wanted, unlock) = wanted_lock(t, file, &lock, of_open_file)?;
    let inode = locked_inode(file)?;
    if unlock {
        if let Some(locks) = inode.locks() {
            if inode.is_remote() {
                remote::locks::unlock(inode, wanted.owner, wanted.start, wanted.end);
            }
            locks.unlock(wanted.owner, wanted.start, wanted.end);
        }
        return Ok(0);
    }
    if wanted.exclusive && !file.writable() || !wanted.exclusive && !file.readable() {
        return Err(Errno::EBADF);
    }
    let locks = inode.make_locks();
    if inode.is_remote() {
        locks.lock_served(wanted, wait, || remote::locks::lock(inode, &wanted))?;
    } else {
        locks.lock(wanted, wait)?;
    }
    Ok(0)
}

pub(super) fn flock(t: &Arc<Task>, fd: i32, operation: u32) -> SysResult {
    let file = opened(t, fd)?;
    let inode = locked_inode(&file)?;
    let owner = Owner::open(&file);
    let wait = operation & raw::LOCK_NB == 0;
    let take = |exclusive| {
        let locks = inode.make_locks();
        if inode.is_remote() {
            let ask = || remote::locks::lock_whole(inode, owner, exclusive);
            locks.lock_whole_served(owner, exclusive, wait, ask)
        } else {
            locks.lock_whole(owner, exclusive, wait)
        }
    };
    match operation & !raw::LOCK_NB {
        raw::LOCK_SH => take(false)?,
        raw::LOCK_EX => take(true)?,
        raw::LOCK_UN => {
            if let Some(locks) = inode.locks() {
                if inode.is_remote() {
                    remote::locks::unlock_whole(inode, owner);
                }
                locks.unlock_whole(owner);
            }
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// The inode of a memfd; EINVAL for other files.
fn sealed_inode(file: &OpenFile) -> Result<&Arc<Inode>, Errno> {
    let inode = file.path.as_ref().map(|path| path.inode()).ok_or(Errno::EINVAL)?;
    if inode.seals().is_some() { Ok(inode) } else { Err(Errno::EINVAL) }
}

fn add_seals(file: &OpenFile, seals: u32) -> SysResult {
    const KNOWN: u32 = raw::F_SEAL_SEAL
        | raw::F_SEAL_SHRINK
        | raw::F_SEAL_GROW
        | raw::F_SEAL_WRITE
        | raw::F_SEAL_FUTURE_WRITE
        | raw::F_SEAL_EXEC;
    let inode = sealed_inode(file)?;
    if seals & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if !file.writable() {
        return Err(Errno::EPERM);
    }
    inode.check_seals(raw::F_SEAL_SEAL)?;
    if seals & raw::F_SEAL_WRITE != 0 && process::all_tasks().iter().any(|task| task.space().writes_to(inode))
    {
        return Err(Errno::EBUSY);
    }
    inode.set_seals(inode.seals().unwrap_or(0) | seals);
    Ok(0)
}

pub(super) fn ioctl(t: &Arc<Task>, fd: i32, command: u32, argument: usize) -> SysResult {
    let files = t.files();
    let file = opened(t, fd)?;
    match command {
        ioctl::FIOCLEX => files.set_close_on_exec(fd, true)?,
        ioctl::FIONCLEX => files.set_close_on_exec(fd, false)?,
        ioctl::FIONBIO => {
            let on = user::read::<i32>(argument)? != 0;
            let flags = file.flags();
            file.set_flags(if on { flags | O_NONBLOCK } else { flags & !O_NONBLOCK });
        }
        ioctl::FIOASYNC => {
            let on = user::read::<i32>(argument)? != 0;
            let flags = file.flags();
            file.set_flags(if on { flags | FASYNC } else { flags & !FASYNC });
            file.set_async(on, fd);
        }
        ioctl::FICLONE | ioctl::FICLONERANGE | ioctl::FIDEDUPERANGE => return Err(Errno::EOPNOTSUPP),
        ioctl::FIONREAD if file.object.downcast::<RemoteFile>().is_some() => {
            let left = file.stat()?.size.saturating_sub(file.position());
            user::write(argument, &(left as i32))?;
        }
        ioctl::FIONREAD if file.object.downcast::<Inode>().is_some() => {
            let Some(contents) = file.object.downcast::<Inode>().and_then(Inode::contents) else {
                return Err(Errno::ENOTTY);
            };
            let left = contents.size().saturating_sub(file.position());
            user::write(argument, &(left as i32))?;
        }
        ioctl::FIGETBSZ if file.path.is_some() => user::write(argument, &4096i32)?,
        _ => return file.object.ioctl(&file, command, argument),
    }
    Ok(0)
}
