//! Proves on the final machine code of a linked program that a chaff bug does no harm.
//!
//! A bug is a group of functions, entered at one of them with anything in the registers that hold arguments, and with
//! anything in memory. The checker follows every path through the group, bit by bit, and accepts the group only if on
//! all of them
//! - every store hits the group's own stack frames or heap blocks it made itself, or an address that no mapping of a
//!   process can have (the first 64 KiB, or above the lower canonical half), where it faults before it does anything;
//! - every return goes back to its call, and at the last one the stack pointer and the registers that a callee must
//!   keep are as they were, so that neither a return address nor a saved register can ever be changed;
//! - an indirect jump faults at once;
//! - nothing outside of the group is called but the few library functions modelled here.
//!
//! Since arguments and memory are arbitrary, that holds after any other bug, chaff or real, and for every combination of
//! bugs, as long as the code itself is intact. Threads do not matter: everything that is written is the group's own.
//! What the group returns is arbitrary; the injector makes it return nothing.
//!
//! The model errs towards refusal: unknown instructions, unbounded loops, and answers that z3 does not give with the effort it may
//! spend.
#![forbid(unsafe_code)]

mod access;
mod explore;
mod image;
mod machine;
mod step;

pub use explore::{Certificate, Claim, Seed, Witness, certify, witness};
pub use image::Image;
pub use machine::Refusal;
