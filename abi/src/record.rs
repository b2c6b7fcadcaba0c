//! The record: what a guest tells of itself at its end, on a descriptor that it was given for that.
//!
//! A stream of frames: a tag, a length in four bytes, so many bytes; all numbers are little endian. It is complete when
//! `END` has come; a guest that is killed leaves it unfinished, which the reader notices. The reader trusts none of it.

/// Bytes before a frame's own: the tag, and the length.
pub const HEADER_LEN: usize = 5;

/// A system call that was made: its number in four bytes.
pub const CALL: u8 = b'c';
/// A path of the root image that was used: a byte of `USE_*` bits, then the absolute path.
pub const PATH: u8 = b'p';
/// A file of the root file system that is not as it was in the root image (`boot::FLAG_EXPORT`); a parent comes before
/// what lies in it. In this order:
///
/// | bytes | what |
/// |---|---|
/// | 1 | kind, `NODE_*` |
/// | 4 | permissions |
/// | 4, 4 | user, group |
/// | 8 | time of the last change, nanoseconds since the epoch, signed |
/// | 4, 4 | major and minor number of a device |
/// | 8 | size of a file; the next frames are `DATA` with so many bytes in all |
/// | 2 + n | path: length, then bytes without a leading slash, empty for the root directory |
/// | 2 + n | target of a link, symbolic or hard |
/// | 2, then for each 2 + n, 4 + n | extended attributes: their number, then name and value of each |
pub const NODE: u8 = b'n';
/// Bytes of the file whose `NODE` came last.
pub const DATA: u8 = b'd';
/// The end: the guest's exit code in four bytes.
pub const END: u8 = b'e';

/// It was looked up: gone through, or its attributes were asked for.
pub const USE_FOUND: u8 = 1;
/// It was opened.
pub const USE_OPENED: u8 = 2;
/// It was executed, or loaded as a program's interpreter.
pub const USE_EXECUTED: u8 = 4;

pub const NODE_FILE: u8 = b'f';
pub const NODE_DIRECTORY: u8 = b'd';
pub const NODE_SYMLINK: u8 = b'l';
/// A further name of a file that came before, which is its target.
pub const NODE_HARD_LINK: u8 = b'h';
pub const NODE_CHAR_DEVICE: u8 = b'c';
pub const NODE_BLOCK_DEVICE: u8 = b'b';
pub const NODE_FIFO: u8 = b'p';
/// What the root image has under this name is gone.
pub const NODE_WHITEOUT: u8 = b'w';
/// Nothing of what the root image has in this directory is there; it has come as `NODE_DIRECTORY` before.
pub const NODE_OPAQUE: u8 = b'o';

/// The record descriptor as a guest of the kvm tender names it.
pub const KVM_DESCRIPTOR: u32 = 6;
