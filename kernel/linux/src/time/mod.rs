//! Clocks and timers.

mod spec;
pub mod timer;

pub use husk_machine::clock::{monotonic_ns, realtime_ns};
pub use spec::{NS_PER_S, Timespec, Timeval};
