//! The program of process 1 with `husk run --init`, which `build.rs` links from `init/`.

/// An ELF executable. Its arguments: its name, the path of the program that it is to run, and that one's arguments, their
/// name first.
pub static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));
