//! The control descriptor: messages from and to whoever commands this guest (`husk_abi::control`).

use super::gate::{self, POLLIN, PollFd};
use super::start::boot;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};
use husk_abi::boot::TENDER_PROCESS;
use husk_abi::control::MESSAGE_MAX;

/// The control descriptor's number in hypercalls (kvm tender).
pub(super) const KVM_CONTROL: i32 = 3;

/// The descriptor as the gate takes it.
pub(super) fn descriptor() -> Option<i32> {
    let boot = boot();
    let number = if boot.tender == TENDER_PROCESS { boot.control_fd } else { KVM_CONTROL };
    (boot.control_fd >= 0).then_some(number)
}

/// Takes a message that has arrived: its length, of which at most `out.len()` bytes are there. `None` when there is none, or
/// nobody is at the other end any more.
pub fn receive(out: &mut [u8]) -> Option<usize> {
    let fd = descriptor()?;
    let mut fds = [PollFd { fd, events: POLLIN, revents: 0 }];
    if gate::poll(&mut fds, Some(0)) == 0 {
        return None;
    }
    gate::read(fd, out).ok().filter(|len| *len > 0)
}

/// Sends a message, and waits for as long as the other end takes nothing. False: there is no other end any more.
pub fn send(message: &[u8]) -> bool {
    let Some(fd) = descriptor() else { return false };
    loop {
        match gate::write(fd, message) {
            Ok(_) => return true,
            Err(error) if error == linux_raw_sys::errno::EINTR as i32 => {}
            Err(_) => return false,
        }
    }
}

/// Room for one message.
struct Buffer {
    taken: AtomicU32,
    bytes: UnsafeCell<[u8; MESSAGE_MAX]>,
}

// SAFETY: `taken` gives the bytes to one user at a time.
unsafe impl Sync for Buffer {}

/// Not on the heap: what a snapshot is sent with must not change what is sent.
static BUFFER: Buffer = Buffer { taken: AtomicU32::new(0), bytes: UnsafeCell::new([0; MESSAGE_MAX]) };

/// Lends the buffer for one message. Panics when it is lent already.
pub fn with_buffer<R>(act: impl FnOnce(&mut [u8; MESSAGE_MAX]) -> R) -> R {
    assert!(BUFFER.taken.swap(1, Ordering::Relaxed) == 0, "the control buffer is lent already");
    // SAFETY: `taken` says that nobody else has it.
    let result = act(unsafe { &mut *BUFFER.bytes.get() });
    BUFFER.taken.store(0, Ordering::Relaxed);
    result
}

/// In a restored guest nobody has the buffer.
pub(super) fn take_back() {
    BUFFER.taken.store(0, Ordering::Relaxed);
}
