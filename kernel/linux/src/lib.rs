//! The Linux personality of Husk: the system-call interface of x86-64 Linux for one application, all its processes.
//!
//! Safe code only; whatever touches registers, page tables, foreign memory or the tender lives in `husk-machine`.
//! All code here runs with the big kernel lock held, except in `wait_event`, where the task sleeps without it.
//! To find a system call: the row in `syscall/table.rs`, the function in the family file it names, the object.
#![cfg_attr(husk_image, no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod errno;
pub mod file;
pub mod fs;
pub mod ipc;
pub mod mem;
pub mod signal;
pub mod syscall;
pub mod task;
pub mod time;
pub mod tty;
