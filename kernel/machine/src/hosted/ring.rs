//! A ring whose server is a function of the test: it is called at each request and answers in place.

use core::sync::atomic::{AtomicU32, Ordering};
use husk_ring::{MAGIC, UNIT_LEN, VERSION, ring, unit};
use std::cell::RefCell;

type Server = Box<dyn FnMut(&mut [u8])>;

#[repr(C, align(4096))]
struct Page([u8; 4096]);

thread_local! {
    static RING: RefCell<Option<(usize, usize)>> = const { RefCell::new(None) };
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
}

/// Where the ring of this test lies.
pub(crate) fn memory() -> Option<(usize, usize)> {
    RING.with_borrow(|ring| *ring)
}

/// Gives this thread a ring of `units` units, answered by `server`, which gets all of its bytes. The memory is kept until the
/// end of the process, since inodes may outlive a test's own variables.
pub fn serve(units: usize, server: impl FnMut(&mut [u8]) + 'static) {
    let mut pages: Vec<Page> = Vec::new();
    pages.resize_with(units * UNIT_LEN / 4096, || Page([0; 4096]));
    let memory = pages.leak();
    let base = memory.as_mut_ptr().addr();
    for index in 0..units {
        let page = &mut memory[index * UNIT_LEN / 4096].0;
        page[unit::MAGIC..unit::MAGIC + 8].copy_from_slice(&MAGIC.to_le_bytes());
        page[unit::VERSION..unit::VERSION + 4].copy_from_slice(&VERSION.to_le_bytes());
    }
    memory[0].0[ring::SERVER..ring::SERVER + 4].copy_from_slice(&1_u32.to_le_bytes());
    memory[0].0[ring::SLEEPING..ring::SLEEPING + 4].copy_from_slice(&1_u32.to_le_bytes());
    RING.set(Some((base, units * UNIT_LEN)));
    SERVER.set(Some(Box::new(server)));
}

/// Lets the server of this thread die: it answers no more.
pub fn kill_server() {
    SERVER.set(None);
    if let Some((base, _)) = memory() {
        // SAFETY: an aligned word of the leaked ring.
        unsafe { &*((base + ring::SERVER) as *const AtomicU32) }.store(0, Ordering::SeqCst);
    }
}

/// There is no lock.
pub(crate) fn unlocked<R>(wait: impl FnOnce() -> R) -> R {
    wait()
}

/// Nobody answers later than at once.
pub(crate) fn nap(_word: &AtomicU32, _value: u32, _ns: u64) {
    std::thread::yield_now();
}

/// Lets the server answer.
pub(crate) fn wake_server(_doorbell: &AtomicU32) {
    let Some((base, len)) = memory() else { return };
    let server = SERVER.take();
    if let Some(mut server) = server {
        // SAFETY: the leaked ring; while the server runs nobody else looks at it.
        server(unsafe { core::slice::from_raw_parts_mut(base as *mut u8, len) });
        SERVER.with_borrow_mut(|kept| drop(kept.replace(server)));
    }
}
