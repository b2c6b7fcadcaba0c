//! What Husk does on the host around its guests.
//!
//! Everything here runs before a tender is sealed, with the invoking user's rights, and never inside a guest.
#![forbid(unsafe_code)]

pub mod app;
pub mod cache;
pub mod check;
pub mod guest;
pub mod pack;
pub mod profile;
pub mod record;
pub mod running;
pub mod shrink;
pub mod snapshot;
