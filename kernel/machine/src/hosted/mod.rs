//! The machine of unit tests: frames from the test's heap, the host's clock, no user memory.

pub mod clock;
pub mod frames;
pub mod host;
pub mod random;
