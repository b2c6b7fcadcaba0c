//! Clocks and timers.

pub use husk_machine::clock::{monotonic_ns, realtime_ns};
