//! Terminals.

pub mod line;
