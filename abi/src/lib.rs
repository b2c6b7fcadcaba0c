//! What the kernel and its tender agree on, and nothing else: the address space, the boot block and the hypercalls.
//!
//! Both sides depend on this crate and on no code of each other. The kernel shares its protection ring with the
//! application, so a tender treats every word it reads from a guest as hostile.
#![no_std]
#![forbid(unsafe_code)]

pub mod boot;
pub mod control;
pub mod gate;
pub mod layout;
pub mod paging;
pub mod record;
pub mod snapshot;
pub mod vcpu;
