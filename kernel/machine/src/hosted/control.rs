//! The control descriptor, as queues of messages that a test fills and empties.

use husk_abi::control::MESSAGE_MAX;
use std::cell::RefCell;
use std::collections::VecDeque;

thread_local! {
    static INPUT: RefCell<VecDeque<Vec<u8>>> = RefCell::default();
    static OUTPUT: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

/// Takes a message that has arrived: its length, of which at most `out.len()` bytes are there.
pub fn receive(out: &mut [u8]) -> Option<usize> {
    let message = INPUT.with_borrow_mut(VecDeque::pop_front)?;
    let len = out.len().min(message.len());
    out[..len].copy_from_slice(&message[..len]);
    Some(len)
}

/// Sends a message.
pub fn send(message: &[u8]) -> bool {
    OUTPUT.with_borrow_mut(|output| output.push(message.to_vec()));
    true
}

/// Lends a buffer for one message.
pub fn with_buffer<R>(act: impl FnOnce(&mut [u8; MESSAGE_MAX]) -> R) -> R {
    act(&mut [0; MESSAGE_MAX])
}

/// Lets a message arrive.
pub fn feed(message: &[u8]) {
    INPUT.with_borrow_mut(|input| input.push_back(message.to_vec()));
}

/// Takes what was sent.
pub fn take_sent() -> Vec<Vec<u8>> {
    OUTPUT.take()
}
