//! Clocks and timers.

pub mod clock;
pub mod interval;
pub mod timer;

pub use husk_machine::clock::{monotonic_ns, realtime_ns};

use crate::errno::Errno;
use linux_raw_sys::general::__kernel_timespec;

/// A duration or moment in ns; EINVAL unless it is one. What does not fit is the far future.
pub fn from_timespec(time: &__kernel_timespec) -> Result<u64, Errno> {
    match (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(ns @ 0..1_000_000_000)) => {
            Ok(seconds.saturating_mul(1_000_000_000).saturating_add(ns))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// See `from_timespec`.
pub fn to_timespec(ns: u64) -> __kernel_timespec {
    __kernel_timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}
