//! What needs unsafe code: transfers to and from memory that the guest shares, and host calls without a safe wrapper.

use rustix::io::Errno;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The bulk data of a message: memory that somebody else may change at any time, so it is only ever copied or handed to the host.
pub struct Data<'a> {
    at: *mut u8,
    len: usize,
    memory: PhantomData<&'a mut [u8]>,
}

impl<'a> From<&'a mut [u8]> for Data<'a> {
    fn from(bytes: &'a mut [u8]) -> Self {
        Self { at: bytes.as_mut_ptr(), len: bytes.len(), memory: PhantomData }
    }
}

fn result(value: isize) -> Result<usize, Errno> {
    usize::try_from(value).map_err(|_| last())
}

fn last() -> Errno {
    Errno::from_raw_os_error(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

impl Data<'_> {
    /// # Safety
    /// The memory is mapped, readable and writable, and stays so for `'a`.
    pub(crate) unsafe fn shared(at: *mut u8, len: usize) -> Self {
        Self { at, len, memory: PhantomData }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// pread(2) of up to `len` bytes to the data's front.
    pub(crate) fn read_from(&mut self, fd: BorrowedFd<'_>, len: usize, offset: u64) -> Result<usize, Errno> {
        let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        // SAFETY: at most `self.len` bytes of memory that may be written.
        result(unsafe { libc::pread(fd.as_raw_fd(), self.at.cast(), len.min(self.len), offset) })
    }

    /// pwrite(2) of the data's first `len` bytes, to the file's end where there is no offset.
    pub(crate) fn write_to(
        &self,
        fd: BorrowedFd<'_>,
        len: usize,
        offset: Option<u64>,
    ) -> Result<usize, Errno> {
        if len > self.len {
            return Err(Errno::INVAL);
        }
        let Some(offset) = offset else {
            let part = libc::iovec { iov_base: self.at.cast(), iov_len: len };
            // SAFETY: one vector of bytes that may be read.
            return result(unsafe {
                libc::pwritev2(fd.as_raw_fd(), &raw const part, 1, 0, libc::RWF_APPEND)
            });
        };
        let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
        // SAFETY: bytes of memory that may be read.
        result(unsafe { libc::pwrite(fd.as_raw_fd(), self.at.cast(), len, offset) })
    }

    /// A copy of the first `len` bytes.
    pub(crate) fn copy_out(&self, len: usize) -> Result<Vec<u8>, Errno> {
        if len > self.len {
            return Err(Errno::INVAL);
        }
        let mut bytes = vec![0; len];
        // SAFETY: both have that many bytes; the vector is new.
        unsafe { std::ptr::copy_nonoverlapping(self.at, bytes.as_mut_ptr(), len) };
        Ok(bytes)
    }

    /// Copies `bytes` to `offset`.
    pub(crate) fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Errno> {
        if offset > self.len || bytes.len() > self.len - offset {
            return Err(Errno::RANGE);
        }
        // SAFETY: inside of the data, as just checked.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(offset), bytes.len()) };
        Ok(())
    }
}

/// A lock of an open file description on a range of bytes, as fcntl(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    /// F_RDLCK, F_WRLCK or F_UNLCK.
    pub(crate) kind: u32,
    pub(crate) start: u64,
    /// The last byte; from `i64::MAX` on: to the end, however long the file becomes.
    pub(crate) end: u64,
}

impl Lock {
    fn to_host(self) -> Result<libc::flock, Errno> {
        let start = i64::try_from(self.start).map_err(|_| Errno::INVAL)?;
        let len = match i64::try_from(self.end) {
            Ok(i64::MAX) | Err(_) => 0,
            Ok(end) if end < start => return Err(Errno::INVAL),
            Ok(end) => end - start + 1,
        };
        let kind = match self.kind as i32 {
            libc::F_RDLCK | libc::F_WRLCK | libc::F_UNLCK => self.kind as libc::c_short,
            _ => return Err(Errno::INVAL),
        };
        Ok(libc::flock {
            l_type: kind,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start,
            l_len: len,
            l_pid: 0,
        })
    }
}

/// F_OFD_SETLK.
pub(crate) fn set_lock(fd: BorrowedFd<'_>, lock: Lock) -> Result<(), Errno> {
    let lock = lock.to_host()?;
    // SAFETY: the call reads a `struct flock`.
    let done = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if done == 0 { Ok(()) } else { Err(last()) }
}

/// F_OFD_GETLK: the lock in the way of `lock`, or one of kind F_UNLCK.
pub(crate) fn get_lock(fd: BorrowedFd<'_>, lock: Lock) -> Result<Lock, Errno> {
    let mut host = lock.to_host()?;
    // SAFETY: the call reads and writes a `struct flock`.
    if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_OFD_GETLK, &raw mut host) } != 0 {
        return Err(last());
    }
    let start = host.l_start.unsigned_abs();
    let end = if host.l_len == 0 { i64::MAX as u64 } else { start + host.l_len.unsigned_abs() - 1 };
    Ok(Lock { kind: host.l_type as u32, start, end })
}

/// This thread makes files as that user and group, until dropped. Its capabilities stay (`keep_capabilities`).
pub(crate) struct MakesAs;

impl MakesAs {
    pub(crate) fn new(uid: u32, gid: u32) -> Self {
        set_ids(uid, gid);
        Self
    }
}

impl Drop for MakesAs {
    fn drop(&mut self) {
        set_ids(0, 0);
    }
}

fn set_ids(uid: u32, gid: u32) {
    // SAFETY: numbers only. The plain calls, since they are of this thread alone.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
}

/// From now on a change of the file-system user id takes no capabilities away: the guest's kernel is who checks
/// permissions, and the host only learns whom a new file belongs to.
pub(crate) fn keep_capabilities() -> Result<(), Errno> {
    const SECBIT_NO_SETUID_FIXUP: libc::c_ulong = 1 << 2;
    // SAFETY: numbers only.
    let done = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) };
    if done == 0 { Ok(()) } else { Err(last()) }
}

/// Lets go of all capabilities but those whose bits are set.
pub(crate) fn drop_capabilities(kept: u64) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut now = [0_u32; 6];
    // SAFETY: a header of eight bytes, and data of 24.
    if unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), now.as_mut_ptr()) } != 0 {
        return Err(last());
    }
    for (index, word) in now.iter_mut().enumerate() {
        let kept = if index < 3 { kept as u32 } else { (kept >> 32) as u32 };
        // Effective, permitted, inheritable.
        *word &= if index % 3 == 2 { 0 } else { kept };
    }
    // SAFETY: as above.
    let done = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), now.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(last()) }
}

/// A mapping of the whole of a file, shared.
pub(crate) struct Mapping {
    at: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs to no thread; its users access it atomically or by copies.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> Result<Self, Errno> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        // SAFETY: a new mapping where the host finds room.
        let at = unsafe {
            mmap(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)
        }?;
        Ok(Self { at: at.cast(), len })
    }

    pub(crate) fn word(&self, offset: usize) -> &std::sync::atomic::AtomicU32 {
        assert!(offset.is_multiple_of(4) && offset <= self.len - 4);
        // SAFETY: aligned memory inside of the mapping, which is never undone; all sides access it atomically or as bytes.
        unsafe { &*self.at.add(offset).cast() }
    }

    pub(crate) fn data(&self, offset: usize, len: usize) -> Data<'_> {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: inside of the mapping.
        unsafe { Data::shared(self.at.add(offset), len) }
    }
}

/// Makes the word the robust futex of this thread: when the thread ends, the host's kernel replaces the id in it.
pub(crate) fn make_robust(word: &'static std::sync::atomic::AtomicU32) -> Result<(), Errno> {
    /// `struct robust_list_head` and its only entry, a `struct robust_list`.
    struct List {
        head: [usize; 3],
        entry: usize,
    }
    let list = Box::leak(Box::new(List { head: [0; 3], entry: 0 }));
    let entry = &raw mut list.entry as usize;
    let head = list.head.as_mut_ptr() as usize;
    list.head = [entry, (std::ptr::from_ref(word) as usize).wrapping_sub(entry), 0];
    list.entry = head;
    // SAFETY: the list lives for ever. The C library's own list, which this one replaces, is for robust mutexes, of which this
    // thread has none.
    let done = unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<[usize; 3]>()) };
    if done != 0 {
        return Err(last());
    }
    // SAFETY: no argument.
    let id = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    word.store(id, std::sync::atomic::Ordering::SeqCst);
    Ok(())
}

/// Takes over a descriptor that this process was started with.
pub(crate) fn take_descriptor(number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: numbers only.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(last());
    }
    // SAFETY: it is open, and the caller names each descriptor once, as it was given them by its parent.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes all descriptors above 2 that are not in `kept`. For the start of a process, when it has no others of its own.
pub(crate) fn close_others(kept: &[i32]) {
    let mut from = 3;
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    let close = |from: i32, to: u32| {
        // SAFETY: nobody in this process has opened any of them.
        unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) };
    };
    for fd in kept {
        if fd > from {
            close(from, fd as u32 - 1);
        }
        from = from.max(fd + 1);
    }
    close(from, u32::MAX);
}
