//! pipe(2).

use crate::errno::{Errno, SysResult};
use crate::file::pipe;
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use linux_raw_sys::general::{O_CLOEXEC, O_DIRECT, O_NONBLOCK};

pub(super) fn pipe(t: &Arc<Task>, pipefd: usize) -> SysResult {
    pipe2(t, pipefd, 0)
}

pub(super) fn pipe2(t: &Arc<Task>, pipefd: usize, flags: u32) -> SysResult {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let close_on_exec = flags & O_CLOEXEC != 0;
    let (read, write) = pipe::create(flags);
    let files = t.files();
    let read = files.install(read, close_on_exec)?;
    let made = files.install(write, close_on_exec).and_then(|write| {
        let pair = [read, write];
        user::write(pipefd, &pair).inspect_err(|_| drop(files.remove(write)))
    });
    if let Err(error) = made {
        drop(files.remove(read));
        return Err(error);
    }
    Ok(0)
}
