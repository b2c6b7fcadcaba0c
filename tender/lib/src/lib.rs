//! What both tenders share: raw host system calls, the boot block, filters for seccomp.
//!
//! A tender has no libc and no heap. Nothing here is called after the guest runs.
#![no_std]

pub mod bpf;
pub mod clock;
pub mod config;
pub mod confine;
pub mod gate;
pub mod host;
pub mod probe;
