//! The machine below the Linux personality: every unsafe line of the kernel, behind safe interfaces.
//!
//! Two backends share the interfaces. `image` is the kernel image that boots under both tenders; `hosted` lets the
//! personality run under plain `cargo test`: frames come from the test's heap, and there is no user memory.
//! Callers above hold the big kernel lock (`lock`), which `KCell` and the frame allocator rely on.
#![cfg_attr(husk_image, no_std)]

extern crate alloc;

pub mod cell;
pub mod context;
pub mod global;
pub mod init;
pub mod page;
#[cfg(any(husk_image, test))]
mod paging;
pub mod pod;
pub mod ring;
pub mod span;
pub mod user;
pub mod vdso;

pub mod personality;
pub mod report;
pub mod trap;

#[cfg(not(husk_image))]
mod hosted;
#[cfg(husk_image)]
mod image;

#[cfg(not(husk_image))]
use hosted as backend;
#[cfg(husk_image)]
use image as backend;

#[cfg(not(husk_image))]
pub use hosted::{clock, control, cpu, frames, host, patch, random, space, start, thread};
#[cfg(husk_image)]
pub use image::{clock, control, cpu, frames, host, patch, random, space, start, thread};
