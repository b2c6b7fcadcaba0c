//! Host system calls as a tender makes them: raw, with the error number as error.

use core::ffi::CStr;
use linux_raw_sys::general as raw;
use syscalls::{Errno, Sysno, syscall};

pub use syscalls::Errno as HostErrno;

/// A host call's result.
pub type HostResult<T> = Result<T, Errno>;

/// Any host call; for the tests of filters and for calls without a wrapper here.
///
/// # Safety
/// As the call demands of its arguments.
pub unsafe fn call(number: Sysno, args: [usize; 6]) -> HostResult<usize> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: promised by the caller.
    unsafe { syscall!(number, a, b, c, d, e, f) }
}

/// Writes a message to stderr.
pub fn print(text: &[u8]) {
    // SAFETY: the buffer is readable.
    let _ = unsafe { syscall!(Sysno::write, 2, text.as_ptr(), text.len()) };
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: no arguments but the code.
        let _ = unsafe { syscall!(Sysno::exit_group, code) };
    }
}

/// An anonymous file of `len` bytes.
pub fn memory_file(name: &CStr, len: usize) -> HostResult<i32> {
    // SAFETY: the name is a C string.
    let fd = unsafe { syscall!(Sysno::memfd_create, name.as_ptr(), raw::MFD_CLOEXEC) }? as i32;
    // SAFETY: no pointers.
    unsafe { syscall!(Sysno::ftruncate, fd, len) }?;
    Ok(fd)
}

/// mmap(2).
///
/// # Safety
/// With MAP_FIXED the range must hold nothing that is still used.
pub unsafe fn map(
    at: usize,
    len: usize,
    protection: u32,
    flags: u32,
    fd: i32,
    offset: usize,
) -> HostResult<usize> {
    // SAFETY: promised by the caller.
    unsafe { syscall!(Sysno::mmap, at, len, protection, flags, fd, offset) }
}

/// mprotect(2).
///
/// # Safety
/// Nothing may rely on an access that is taken away.
pub unsafe fn protect(at: usize, len: usize, protection: u32) -> HostResult<()> {
    // SAFETY: promised by the caller.
    unsafe { syscall!(Sysno::mprotect, at, len, protection) }.map(|_| ())
}

/// Opens a file for reading.
pub fn open_read(path: &CStr) -> HostResult<i32> {
    // SAFETY: the path is a C string.
    unsafe { syscall!(Sysno::openat, raw::AT_FDCWD, path.as_ptr(), raw::O_RDONLY | raw::O_CLOEXEC, 0) }
        .map(|fd| fd as i32)
}

/// Makes a file, or empties it, for writing.
pub fn create(path: &CStr) -> HostResult<i32> {
    let flags = raw::O_WRONLY | raw::O_CREAT | raw::O_TRUNC | raw::O_CLOEXEC;
    // SAFETY: the path is a C string.
    unsafe { syscall!(Sysno::openat, raw::AT_FDCWD, path.as_ptr(), flags, 0o666) }.map(|fd| fd as i32)
}

/// Reads up to `out.len()` bytes.
pub fn read(fd: i32, out: &mut [u8]) -> HostResult<usize> {
    // SAFETY: the buffer is writable.
    unsafe { syscall!(Sysno::read, fd, out.as_mut_ptr(), out.len()) }
}

/// Reads up to `out.len()` bytes from `offset` on.
pub fn read_at(fd: i32, out: &mut [u8], offset: u64) -> HostResult<usize> {
    // SAFETY: the buffer is writable.
    unsafe { syscall!(Sysno::pread64, fd, out.as_mut_ptr(), out.len(), offset) }
}

/// Makes a descriptor send `signal` to the calling thread when it has input.
pub fn announce_input(fd: i32, signal: u32) -> HostResult<()> {
    // SAFETY: no pointers but to the owner, a local of the layout of `struct f_owner_ex`.
    unsafe {
        let tid = syscall!(Sysno::gettid)?;
        let owner = [raw::F_OWNER_TID, tid as u32];
        syscall!(Sysno::fcntl, fd, raw::F_SETOWN_EX, owner.as_ptr())?;
        syscall!(Sysno::fcntl, fd, raw::F_SETSIG, signal)?;
        syscall!(Sysno::fcntl, fd, raw::F_SETFL, raw::O_RDWR | raw::FASYNC)?;
    }
    Ok(())
}

/// Closes every descriptor that is not in `keep`; -1 stands for none.
pub fn close_others(keep: &mut [i32]) -> HostResult<()> {
    keep.sort_unstable();
    let mut from = 0;
    for fd in keep.iter().filter_map(|fd| usize::try_from(*fd).ok()) {
        if fd > from {
            // SAFETY: the descriptors belong to nobody any more.
            unsafe { syscall!(Sysno::close_range, from, fd - 1, 0) }?;
        }
        from = from.max(fd + 1);
    }
    // SAFETY: as above.
    unsafe { syscall!(Sysno::close_range, from, u32::MAX, 0) }.map(|_| ())
}

pub fn close(fd: i32) {
    // SAFETY: no pointers.
    let _ = unsafe { syscall!(Sysno::close, fd) };
}

/// fstat(2).
pub fn stat_fd(fd: i32) -> HostResult<raw::stat> {
    // SAFETY: all-zero is a valid `stat`, which the call overwrites.
    unsafe {
        let mut stat: raw::stat = core::mem::zeroed();
        syscall!(Sysno::fstat, fd, &raw mut stat)?;
        Ok(stat)
    }
}

/// stat(2).
pub fn stat(path: &CStr) -> HostResult<raw::stat> {
    // SAFETY: as in `stat_fd`; the path is a C string.
    unsafe {
        let mut stat: raw::stat = core::mem::zeroed();
        syscall!(Sysno::stat, path.as_ptr(), &raw mut stat)?;
        Ok(stat)
    }
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: i32) -> bool {
    let mut termios = [0_u8; 64];
    // SAFETY: TCGETS writes 36 bytes.
    unsafe { syscall!(Sysno::ioctl, fd, linux_raw_sys::ioctl::TCGETS, termios.as_mut_ptr()) }.is_ok()
}

/// Rows and columns of a terminal.
pub fn window(fd: i32) -> [u16; 4] {
    let mut window = [0_u16; 4];
    // SAFETY: TIOCGWINSZ writes four 16-bit words.
    let _ = unsafe { syscall!(Sysno::ioctl, fd, linux_raw_sys::ioctl::TIOCGWINSZ, window.as_mut_ptr()) };
    window
}

/// Fills a buffer with random bytes.
pub fn random(out: &mut [u8]) {
    // SAFETY: the buffer is writable.
    let _ = unsafe { syscall!(Sysno::getrandom, out.as_mut_ptr(), out.len(), 0) };
}

/// Bytes of memory of the host.
pub fn memory_total() -> u64 {
    let mut info = [0_u64; 16];
    // SAFETY: `struct sysinfo` has 112 bytes.
    let _ = unsafe { syscall!(Sysno::sysinfo, info.as_mut_ptr()) };
    // Uptime, three loads, then the total, in units that are bytes on 64-bit hosts.
    info[4]
}

/// A clock in nanoseconds.
pub fn clock(id: u32) -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: `struct timespec` is two words.
    let _ = unsafe { syscall!(Sysno::clock_gettime, id, time.as_mut_ptr()) };
    time[0] * 1_000_000_000 + time[1]
}

/// Installs a signal handler with the flags and restorer of rt_sigaction(2). `handler` 0 and 1 are default and ignore.
///
/// # Safety
/// The handler and restorer must be code fit to be a signal handler of this process.
pub unsafe fn signal_action(signal: u32, handler: usize, flags: u64, restorer: usize) -> HostResult<()> {
    let action = [handler as u64, flags, restorer as u64, 0];
    // SAFETY: the layout of `struct sigaction` of the kernel; the rest is promised by the caller.
    unsafe { syscall!(Sysno::rt_sigaction, signal, action.as_ptr(), 0, 8) }.map(|_| ())
}

/// Waits for a child: its wait status. `None` when interrupted by a signal.
pub fn wait(pid: i32) -> HostResult<Option<i32>> {
    let mut status = 0_i32;
    // SAFETY: writes one int.
    match unsafe { syscall!(Sysno::wait4, pid, &raw mut status, 0, 0) } {
        Ok(_) => Ok(Some(status)),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error),
    }
}

pub fn kill(pid: i32, signal: u32) {
    // SAFETY: no pointers.
    let _ = unsafe { syscall!(Sysno::kill, pid, signal) };
}

/// fork(2) with further CLONE_* flags: 0 in the child.
///
/// # Safety
/// The caller is single-threaded.
pub unsafe fn fork(flags: u32) -> HostResult<i32> {
    // SAFETY: without CLONE_VM and with the same stack this is fork(2).
    unsafe { syscall!(Sysno::clone, flags | raw::SIGCHLD, 0, 0, 0, 0) }.map(|pid| pid as i32)
}

/// Replaces the program.
///
/// # Safety
/// `argv` and `envp` are NULL-terminated arrays of C strings.
pub unsafe fn execve(path: &CStr, argv: *const *const u8, envp: *const *const u8) -> Errno {
    // SAFETY: promised by the caller.
    match unsafe { syscall!(Sysno::execve, path.as_ptr(), argv, envp) } {
        Ok(_) => Errno::ENOEXEC,
        Err(error) => error,
    }
}
