//! The system calls: one table, one file per family.
//!
//! `table` lists every call of x86-64 Linux in one place: number, name, typed arguments, how complete it is. Dispatch,
//! `husk trace` and the table in the docs come from it. A handler decodes, finds the object, acts and encodes; it takes
//! the calling task first, then its arguments as Linux truncates them (`FromReg`).

mod aio;
mod attributes;
mod copy;
mod cred;
mod descriptor;
mod epoll;
mod event;
mod inotify;
mod io;
mod ipc;
mod mem;
mod misc;
mod mounts;
mod mqueue;
mod names;
mod open;
mod pipe;
mod poll;
mod process;
pub(crate) mod profile;
mod ptrace;
mod sched;
pub(crate) mod seccomp;
mod signal;
pub(crate) mod site;
mod socket;
mod space;
mod stat;
pub mod table;
mod time;
pub mod trace;
mod tty;

use crate::errno::Errno;
use crate::file::OpenFile;
use crate::task::Task;
use alloc::sync::Arc;
use linux_raw_sys::general::O_PATH;

/// The open file of a descriptor that was not opened with O_PATH; else EBADF.
fn opened(t: &Arc<Task>, fd: i32) -> Result<Arc<OpenFile>, Errno> {
    let file = t.files_ref().get(fd)?;
    if file.flags() & O_PATH != 0 { Err(Errno::EBADF) } else { Ok(file) }
}

/// An argument as it lies in a register. Truncation is Linux's own: an `int` is the low half.
pub trait FromReg {
    fn from_reg(register: usize) -> Self;
}

macro_rules! from_reg {
    ($($ty:ty)*) => { $(
        impl FromReg for $ty {
            fn from_reg(register: usize) -> Self {
                register as $ty
            }
        }
    )* };
}

from_reg!(u8 u16 u32 i32 u64 i64 usize isize);
