//! Volumes: directories and files of the host in a guest.
//!
//! | module | what it is for |
//! |---|---|
//! | `mount` | what the user asked to have mounted |
//! | `server`, `node` | one volume: FUSE requests into system calls on descriptors |
//! | `ring` | the memory shared with the guest's kernel, and the threads that serve it |
//! | `confine` | what the server gives up before it looks at the first request |
//! | `host` | the host's calls that need unsafe code |
//!
//! **Nothing leaves the served directory.** A node is an O_PATH descriptor; names are single components, never `.` or `..`, opened
//! relative to one with O_NOFOLLOW; nodes are reopened through /proc/self/fd. Symbolic links are the guest's to follow, in its
//! own tree. Landlock and seccomp stand behind that. Every request is hostile.

pub mod confine;
mod host;
pub mod mount;
mod node;
pub mod ring;
mod server;
pub mod start;
pub mod store;

pub use host::Data;
pub use server::{Access, Ids, Server};
