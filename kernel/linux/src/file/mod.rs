//! Open files: descriptors, open file descriptions, and what they can be open on.

pub mod io;
