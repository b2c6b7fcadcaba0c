//! The room that files take, what is on its way to them, and files that are memory: fallocate(2), fsync(2), memfd_create(2).

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::regular::within_size_limit;
use crate::fs::contents::SIZE_MAX;
use crate::fs::remote::{self, RemoteFile};
use crate::fs::{notify, root};
use crate::mem::{self, user};
use crate::task::Task;
use alloc::sync::Arc;
use husk_abi::layout::PAGE_SIZE;
use linux_raw_sys::general::{
    F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_WRITE, FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, IN_MODIFY, MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_EXEC,
    MFD_NOEXEC_SEAL, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE, S_IFDIR, S_IFIFO, SYNC_FILE_RANGE_WAIT_AFTER,
    SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE,
};

pub(super) fn fallocate(t: &Arc<Task>, fd: i32, mode: u32, offset: i64, len: i64) -> SysResult {
    let file = opened(t, fd)?;
    if offset < 0 || len <= 0 {
        return Err(Errno::EINVAL);
    }
    let known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    let (punch, zero) = (mode & FALLOC_FL_PUNCH_HOLE != 0, mode & FALLOC_FL_ZERO_RANGE != 0);
    if mode & !known != 0 || punch && (zero || mode & FALLOC_FL_KEEP_SIZE == 0) {
        return Err(Errno::EOPNOTSUPP);
    }
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    let path = file.path.as_ref().ok_or(Errno::ESPIPE)?;
    let inode = path.inode();
    if let Some(remote) = file.object.downcast::<RemoteFile>()
        && inode.is_regular()
    {
        let (start, len) = (offset as u64, len as u64);
        let end = start.checked_add(len).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let size = remote.size()?;
        if mode & FALLOC_FL_KEEP_SIZE == 0 && end > size {
            let grown = usize::try_from(end - size).unwrap_or(usize::MAX);
            if within_size_limit(size, grown)? < grown {
                return Err(Errno::EFBIG);
            }
        }
        remote.allocate(mode, start, len)?;
        if punch || zero {
            mem::file_replaced(inode, start / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64));
        }
        notify::event(&path.entry, IN_MODIFY);
        return Ok(0);
    }
    let Some(contents) = inode.contents() else {
        return Err(match inode.kind() {
            S_IFDIR => Errno::EISDIR,
            S_IFIFO => Errno::ESPIPE,
            _ => Errno::ENODEV,
        });
    };
    let start = offset as u64;
    let end = offset.checked_add(len).ok_or(Errno::EFBIG)? as u64;
    if end > SIZE_MAX {
        return Err(Errno::EFBIG);
    }
    let size = contents.size();
    let grows = mode & FALLOC_FL_KEEP_SIZE == 0 && end > size;
    if punch || zero {
        inode.check_seals(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
    }
    if grows {
        inode.check_seals(F_SEAL_GROW)?;
        let grown = usize::try_from(end - size).unwrap_or(usize::MAX);
        if within_size_limit(size, grown)? < grown {
            return Err(Errno::EFBIG);
        }
    }
    if punch || zero {
        contents.punch(&inode.fs, start, end)?;
        mem::file_replaced(inode, start / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64));
    }
    if !punch {
        contents.reserve(&inode.fs, start, end)?;
    }
    if grows {
        contents.truncate(&inode.fs, end);
    }
    inode.written();
    notify::event(&path.entry, IN_MODIFY);
    Ok(0)
}

/// Writes back what of a file is on its way. Of the guest's own files nothing ever is: they are memory, and the root image
/// is read-only.
fn sync_file(t: &Arc<Task>, fd: i32, data_only: bool) -> SysResult {
    let file = opened(t, fd)?;
    if file.path.is_none() || file.object.is_stream() {
        return Err(Errno::EINVAL);
    }
    if let Some(remote) = file.object.downcast::<RemoteFile>() {
        remote.sync(data_only)?;
    }
    Ok(0)
}

pub(super) fn fsync(t: &Arc<Task>, fd: i32) -> SysResult {
    sync_file(t, fd, false)
}

pub(super) fn fdatasync(t: &Arc<Task>, fd: i32) -> SysResult {
    sync_file(t, fd, true)
}

pub(super) fn sync(_t: &Arc<Task>) -> SysResult {
    remote::write_back_all();
    Ok(0)
}

pub(super) fn syncfs(t: &Arc<Task>, fd: i32) -> SysResult {
    opened(t, fd)?;
    remote::write_back_all();
    Ok(0)
}

pub(super) fn sync_file_range(t: &Arc<Task>, fd: i32, offset: i64, nbytes: i64, flags: u32) -> SysResult {
    let known = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    let file = opened(t, fd)?;
    if flags & !known != 0 || offset < 0 || nbytes < 0 || offset.checked_add(nbytes).is_none() {
        return Err(Errno::EINVAL);
    }
    if file.path.is_none() || file.object.is_stream() { Err(Errno::ESPIPE) } else { Ok(0) }
}

/// Advice about what is in memory anyway: only the arguments are checked.
pub(super) fn fadvise64(t: &Arc<Task>, fd: i32, _offset: i64, len: i64, advice: u32) -> SysResult {
    let file = opened(t, fd)?;
    if file.object.is_stream() && file.path.is_none() {
        return Err(Errno::ESPIPE);
    }
    if len < 0 || advice > POSIX_FADV_NOREUSE.max(POSIX_FADV_DONTNEED) { Err(Errno::EINVAL) } else { Ok(0) }
}

pub(super) fn readahead(t: &Arc<Task>, fd: i32, _offset: i64, _count: usize) -> SysResult {
    let file = opened(t, fd)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    let regular = file.path.as_ref().is_some_and(|path| path.inode().is_regular());
    if regular { Ok(0) } else { Err(Errno::EINVAL) }
}

pub(super) fn memfd_create(t: &Arc<Task>, name: usize, flags: u32) -> SysResult {
    /// What is left of NAME_MAX after `memfd:`.
    const NAME_LEN: usize = 249;
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) != 0
        || flags & (MFD_NOEXEC_SEAL | MFD_EXEC) == MFD_NOEXEC_SEAL | MFD_EXEC
    {
        return Err(Errno::EINVAL);
    }
    let name = user::read_cstr(name, NAME_LEN + 1, Errno::EINVAL)?;
    let mode = if flags & MFD_NOEXEC_SEAL != 0 { 0o666 } else { 0o777 };
    let seals = match flags {
        _ if flags & MFD_NOEXEC_SEAL != 0 => F_SEAL_EXEC,
        _ if flags & MFD_ALLOW_SEALING != 0 => 0,
        _ => F_SEAL_SEAL,
    };
    let file = root::memory_file(&name, &t.cred(), mode, seals);
    Ok(t.files().install(file, flags & MFD_CLOEXEC != 0)? as usize)
}
