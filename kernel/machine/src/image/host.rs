//! The guest's first three descriptors on the host.
//!
//! They are shared with the user's shell, so they are never made non-blocking: a read or write asks first whether it
//! would block. What waits for
//! them is told by an idle vCPU or the ticker, which sleep in ppoll(2) when there is someone to tell: `cpu::sleep`.

use super::gate::{self, POLLIN, POLLOUT, PollFd};
use husk_abi::boot::{CONTINUE_MARK, SIZE_MARK};

const EAGAIN: i32 = linux_raw_sys::errno::EAGAIN as i32;
/// Bytes that a pipe that polls writable takes without blocking (PIPE_BUF, pipe(7)).
const PIPE_BUF: usize = 4096;

fn ready(fd: i32, events: i16) -> i16 {
    let mut fds = [PollFd { fd, events, revents: 0 }];
    gate::poll(&mut fds, Some(0));
    fds[0].revents
}

/// Reads what is there. EAGAIN (as an error number) when that is nothing.
pub fn read(fd: i32, out: &mut [u8]) -> Result<usize, i32> {
    if ready(fd, POLLIN) == 0 { Err(EAGAIN) } else { gate::read(fd, out) }
}

/// Writes what fits at once. EAGAIN (as an error number) when that is nothing.
pub fn write(fd: i32, data: &[u8]) -> Result<usize, i32> {
    if ready(fd, POLLOUT) == 0 {
        return Err(EAGAIN);
    }
    let file =
        super::start::boot().stdio.get(fd as usize).is_some_and(|stdio| stdio.mode & 0o170_000 == 0o100_000);
    let len = if file { data.len() } else { data.len().min(PIPE_BUF) };
    gate::write(fd, &data[..len])
}

/// Writes to the record descriptor, all of it, waiting as it must. Nothing where there is none.
pub fn record(data: &[u8]) {
    let fd = super::start::boot().record_fd;
    if fd >= 0 {
        gate::write_all(fd, data);
    }
}

/// Takes the signals that were sent to the guest from outside: bit n - 1 for signal n.
pub fn take_signals() -> u64 {
    if super::cpu::is_process_tender() {
        super::host_signal::take_forwarded()
    } else {
        super::kvm::take_signals()
    }
}

/// Takes what the parent process last told of the terminal: its size, if the guest may read it (rows, columns, pixels), and
/// whether the guest goes on after a stop.
pub fn take_terminal_news() -> (Option<[u16; 4]>, bool) {
    let news = if super::cpu::is_process_tender() {
        super::host_signal::take_window()
    } else {
        super::kvm::take_window()
    };
    let size = news & !(SIZE_MARK | CONTINUE_MARK);
    let window = (news & SIZE_MARK != 0).then(|| [0, 16, 32, 48].map(|shift| (size >> shift) as u16));
    (window, news & CONTINUE_MARK != 0)
}

/// Takes the host process that the parent process wants ended, because it holds most of a memory that is used up.
pub fn take_hog() -> Option<i32> {
    let hog = if super::cpu::is_process_tender() { super::host_signal::take_hog() } else { 0 };
    i32::try_from(hog).ok().filter(|hog| *hog > 0)
}

/// Asks the parent process to stop together with the guest. False: there is none that would.
pub fn stop_with_parent() -> bool {
    let fd = super::start::boot().wish_fd;
    fd >= 0 && gate::write(fd, b"z").is_ok()
}

/// Whether there are signals for `take_signals`.
pub fn has_signals() -> bool {
    if super::cpu::is_process_tender() {
        super::host_signal::has_forwarded()
    } else {
        super::kvm::has_signals()
    }
}

/// Whether a read or a write would not block now.
pub fn poll(fd: i32) -> (bool, bool) {
    let revents = ready(fd, POLLIN | POLLOUT);
    (revents & !POLLOUT != 0, revents & !POLLIN != 0)
}
