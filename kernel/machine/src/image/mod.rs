//! The backend of the kernel image: boots under both tenders.
//!
//! Everything here runs in the application's own address space at CPL 3. Only this folder knows which tender is below.

pub mod clock;
pub mod context;
pub mod control;
pub mod cpu;
mod entry;
pub mod frames;
pub(crate) mod gate;
mod heap;
pub mod host;
mod host_signal;
mod kvm;
pub mod lock;
pub mod patch;
pub mod random;
pub(crate) mod ring;
pub mod space;
pub mod start;
pub mod thread;
pub(crate) mod user;

use crate::personality::Personality;
use core::panic::PanicInfo;

unsafe extern "Rust" {
    /// The personality that the kernel image was assembled with.
    safe static HUSK_PERSONALITY: &'static dyn Personality;
}

fn personality() -> &'static dyn Personality {
    HUSK_PERSONALITY
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crate::report::panic(info)
}
