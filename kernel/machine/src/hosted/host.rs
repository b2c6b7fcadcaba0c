//! The tender's side of descriptors 0, 1 and 2, as buffers that a test fills and empties.

use linux_raw_sys::errno::{EAGAIN, EBADF};
use std::cell::RefCell;
use std::collections::VecDeque;

#[derive(Default)]
struct Channel {
    input: VecDeque<u8>,
    closed: bool,
    output: Vec<u8>,
    /// Bytes that may be written before the next `take_written`; `None`: any number.
    room: Option<usize>,
}

thread_local! {
    static CHANNELS: RefCell<[Channel; 3]> = RefCell::default();
}

fn with<R>(fd: i32, act: impl FnOnce(&mut Channel) -> Result<R, i32>) -> Result<R, i32> {
    let index = usize::try_from(fd).map_err(|_| EBADF as i32)?;
    CHANNELS.with_borrow_mut(|channels| act(channels.get_mut(index).ok_or(EBADF as i32)?))
}

/// Reads up to `out.len()` bytes; 0 is the end of the file. The error is an errno number, EAGAIN when it would block.
pub fn read(fd: i32, out: &mut [u8]) -> Result<usize, i32> {
    with(fd, |channel| {
        if channel.input.is_empty() && !channel.closed {
            return Err(EAGAIN as i32);
        }
        let count = out.len().min(channel.input.len());
        for (out, byte) in out.iter_mut().zip(channel.input.drain(..count)) {
            *out = byte;
        }
        Ok(count)
    })
}

/// Writes as much of `data` as there is room for. The error is an errno number, EAGAIN when it would block.
pub fn write(fd: i32, data: &[u8]) -> Result<usize, i32> {
    with(fd, |channel| {
        let count = data.len().min(channel.room.unwrap_or(usize::MAX));
        if count == 0 && !data.is_empty() {
            return Err(EAGAIN as i32);
        }
        channel.room = channel.room.map(|room| room - count);
        channel.output.extend_from_slice(&data[..count]);
        Ok(count)
    })
}

/// Whether a read or a write would not block now.
pub fn poll(fd: i32) -> (bool, bool) {
    with(fd, |channel| Ok((channel.closed || !channel.input.is_empty(), channel.room != Some(0))))
        .unwrap_or((false, false))
}

/// Nobody reads a record.
pub fn record(_data: &[u8]) {}

/// No signals come from outside.
pub fn take_signals() -> u64 {
    0
}

/// Nobody measures its memory.
pub fn take_hog() -> Option<i32> {
    None
}

/// Nor does news of the terminal.
pub fn take_terminal_news() -> (Option<[u16; 4]>, bool) {
    (None, false)
}

/// There is no parent to stop with.
pub fn stop_with_parent() -> bool {
    false
}

/// As `take_signals`.
pub fn has_signals() -> bool {
    false
}

/// Gives a descriptor input.
pub fn feed(fd: i32, data: &[u8]) {
    let _ = with(fd, |channel| {
        channel.input.extend(data);
        Ok(())
    });
}

/// Ends a descriptor's input.
pub fn close(fd: i32) {
    let _ = with(fd, |channel| {
        channel.closed = true;
        Ok(())
    });
}

/// Lets only `room` more bytes be written.
pub fn set_room(fd: i32, room: Option<usize>) {
    let _ = with(fd, |channel| {
        channel.room = room;
        Ok(())
    });
}

/// Takes what was written.
pub fn take_written(fd: i32) -> Vec<u8> {
    with(fd, |channel| Ok(std::mem::take(&mut channel.output))).unwrap_or_default()
}
