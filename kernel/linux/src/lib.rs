//! The Linux personality of the kernel: what the system calls of x86-64 Linux do.
//!
//! No unsafe code: everything that needs it is behind `husk_machine`. Everything runs with the big kernel lock held,
//! except in `wait_event`, where the task sleeps without it. To find a system call: the row in `syscall/table.rs`, the
//! function in the family file it names, the object.
#![cfg_attr(husk_image, no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod errno;
pub mod file;
pub mod fs;
pub mod ipc;
pub mod load;
pub mod mem;
pub mod net;
pub mod record;
pub mod signal;
pub mod syscall;
pub mod task;
pub mod time;
pub mod tty;
pub mod uts;

mod boot;
mod entry;
mod snapshot;
pub use entry::Linux;
