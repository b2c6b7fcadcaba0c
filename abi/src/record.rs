//! The record: what a guest tells of itself at its end, on a descriptor that it was given for that.
//!
//! A stream of frames: a tag, a length (little endian), so many bytes. It is complete when `END` has come; a guest that
//! is killed leaves it unfinished, which the reader notices. The reader trusts none of it.

/// Bytes before a frame's own: the tag, and the length in four bytes.
pub const HEADER_LEN: usize = 5;

/// A system call that was made: its number in four bytes.
pub const CALL: u8 = b'c';
/// A path of the root image that was used: a byte of `USE_*` bits, then the absolute path.
pub const PATH: u8 = b'p';
/// A piece of the tar stream with what changed in the root file system (`boot::FLAG_EXPORT`).
pub const LAYER: u8 = b'l';
/// The end: the guest's exit code in four bytes.
pub const END: u8 = b'e';

/// It was looked up: gone through, or its attributes were asked for.
pub const USE_FOUND: u8 = 1;
/// It was opened.
pub const USE_OPENED: u8 = 2;
/// It was executed, or loaded as a program's interpreter.
pub const USE_EXECUTED: u8 = 4;
/// Its names were listed.
pub const USE_LISTED: u8 = 8;

/// The record descriptor as a guest of the kvm tender names it.
pub const KVM_DESCRIPTOR: u32 = 4;
