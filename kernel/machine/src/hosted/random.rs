//! A repeatable generator for tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// Fills `out` with bytes that differ from call to call.
pub fn fill(out: &mut [u8]) {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    for byte in out {
        let mut x = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        *byte = (x ^ (x >> 27)) as u8;
    }
}
