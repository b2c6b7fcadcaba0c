//! Clocks and timers.

pub mod timer;

pub use husk_machine::clock::{monotonic_ns, realtime_ns};
