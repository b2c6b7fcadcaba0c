//! Clocks, from the time-stamp counter and what the tender measured of it.

use super::start::boot;

/// The time-stamp counter.
pub fn tsc() -> u64 {
    // SAFETY: reads a register.
    unsafe { core::arch::x86_64::_rdtsc() }
}

fn since_boot() -> u64 {
    let ticks = tsc().wrapping_sub(boot().tsc);
    ((u128::from(ticks) * u128::from(boot().tsc_mult)) >> 32) as u64
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic_ns() -> u64 {
    boot().monotonic + since_boot()
}

/// Nanoseconds of CLOCK_REALTIME.
pub fn realtime_ns() -> u64 {
    boot().realtime + since_boot()
}
