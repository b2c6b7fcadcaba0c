//! Tasks: processes and threads, their scheduling and waiting.

pub mod sched;
pub mod wait;
