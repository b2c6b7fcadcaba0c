//! Loading programs: ELF images, their interpreters, and the first stack.

pub mod elf;
pub mod stack;
pub mod vdso;
