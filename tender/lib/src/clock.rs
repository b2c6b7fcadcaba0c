//! The clock that the kernel starts from: the time-stamp counter and what the host's clocks say at the same moment.

use crate::host;
use linux_raw_sys::general::{CLOCK_MONOTONIC, CLOCK_REALTIME};

/// Counter and CLOCK_MONOTONIC (ns) at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub tsc: u64,
    pub monotonic: u64,
}

fn tsc() -> u64 {
    // SAFETY: reads a register.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The best of three readings: the one with the least time around it.
pub fn sample() -> Sample {
    let mut best = (u64::MAX, Sample { tsc: 0, monotonic: 0 });
    for _ in 0..3 {
        let before = tsc();
        let monotonic = host::clock(CLOCK_MONOTONIC);
        let took = tsc() - before;
        if took < best.0 {
            best = (took, Sample { tsc: before + took / 2, monotonic });
        }
    }
    best.1
}

/// CLOCK_REALTIME minus CLOCK_MONOTONIC, ns.
pub fn realtime_offset() -> u64 {
    host::clock(CLOCK_REALTIME) - host::clock(CLOCK_MONOTONIC)
}

/// Nanoseconds per 2^32 ticks between two samples.
pub fn multiplier(first: Sample, second: Sample) -> u64 {
    let ticks = second.tsc.saturating_sub(first.tsc).max(1);
    let nanoseconds = second.monotonic.saturating_sub(first.monotonic);
    ((u128::from(nanoseconds) << 32) / u128::from(ticks)) as u64
}
