//! What Husk does on the host around its guests.
//!
//! Everything here runs before a tender is sealed, with the invoking user's rights, and never inside a guest.
#![forbid(unsafe_code)]

pub mod guest;
pub mod pack;
pub mod snapshot;
