//! Everything of Chaff that needs neither LLVM nor z3: the compiler wrapper, the recipes it leaves in what it links,
//! profiles, the encrypted manifest, and the owner's triage. `husk-chaff-pass` shares these types.
#![forbid(unsafe_code)]

pub mod cc;
pub mod manifest;
pub mod profile;
pub mod recipe;
pub mod toolchain;
pub mod trace;
pub mod triage;
