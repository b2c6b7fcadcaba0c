//! The machine of unit tests: frames from the test's heap, the host's clock, no user memory.

pub mod clock;
pub mod control;
pub mod cpu;
pub mod frames;
pub mod patch;

pub mod host;
pub mod random;
pub(crate) mod ring;
pub mod space;
pub mod start;
pub mod thread;
