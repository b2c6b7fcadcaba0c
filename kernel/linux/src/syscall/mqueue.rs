//! POSIX message queues (mq_overview(7)).

use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::ipc::mq::{self, Descriptor, Limits, Notification};
use crate::mem::user;
use crate::task::Task;
use crate::time;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;

/// `struct mq_attr` as words: flags, most messages, most bytes of one, messages now, four reserved.
type Attributes = [i64; 8];

/// SIGEV_* of sigevent(3).
const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;

fn queue(of: &OpenFile) -> Result<&Descriptor, Errno> {
    of.object.downcast().ok_or(Errno::EBADF)
}

/// An absolute CLOCK_REALTIME timeout as a deadline in monotonic ns; NULL is for ever.
fn read_deadline(address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let at = time::from_timespec(&user::read(address)?)?;
    Ok(Some(time::monotonic_ns().saturating_add(at.saturating_sub(time::realtime_ns()))))
}

pub(super) fn mq_open(t: &Arc<Task>, name: usize, oflag: u32, mode: u32, attr: usize) -> SysResult {
    let mut limits = None;
    if attr != 0 && oflag & raw::O_CREAT != 0 {
        let [_, messages, message_len, ..]: Attributes = user::read(attr)?;
        let size = |value: i64| usize::try_from(value).map_err(|_| Errno::EINVAL);
        limits = Some(Limits { messages: size(messages)?, message_len: size(message_len)? });
    }
    let name = user::read_path(name)?;
    let of = mq::open(t, &name, oflag, mode, limits)?;
    Ok(t.files().install(of, oflag & raw::O_CLOEXEC != 0)? as usize)
}

pub(super) fn mq_unlink(t: &Arc<Task>, name: usize) -> SysResult {
    let name = user::read_path(name)?;
    mq::unlink(t, &name)?;
    Ok(0)
}

pub(super) fn mq_timedsend(
    t: &Arc<Task>,
    mqdes: i32,
    msg_ptr: usize,
    msg_len: usize,
    msg_prio: u32,
    abs_timeout: usize,
) -> SysResult {
    if msg_prio >= mq::PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let deadline = read_deadline(abs_timeout)?;
    let of = t.files().get(mqdes)?;
    let descriptor = queue(&of)?;
    if !of.writable() {
        return Err(Errno::EBADF);
    }
    if msg_len > descriptor.queue().limits().message_len {
        return Err(Errno::EMSGSIZE);
    }
    let mut data = alloc::vec![0; msg_len];
    user::copy_in(msg_ptr, &mut data)?;
    descriptor.queue().send(data, msg_prio, of.nonblocking(), deadline, t)?;
    Ok(0)
}

pub(super) fn mq_timedreceive(
    t: &Arc<Task>,
    mqdes: i32,
    msg_ptr: usize,
    msg_len: usize,
    msg_prio: usize,
    abs_timeout: usize,
) -> SysResult {
    let deadline = read_deadline(abs_timeout)?;
    let of = t.files().get(mqdes)?;
    let descriptor = queue(&of)?;
    if !of.readable() {
        return Err(Errno::EBADF);
    }
    let (data, priority) = descriptor.queue().receive(msg_len, of.nonblocking(), deadline)?;
    user::copy_out(msg_ptr, &data)?;
    if msg_prio != 0 {
        user::write(msg_prio, &priority)?;
    }
    Ok(data.len())
}

pub(super) fn mq_notify(t: &Arc<Task>, mqdes: i32, sevp: usize) -> SysResult {
    let mut notification = None;
    if sevp != 0 {
        // sigev_value, sigev_signo, sigev_notify.
        let value: u64 = user::read(sevp)?;
        let [signo, how]: [i32; 2] = user::read(sevp + 8)?;
        let signo = match how {
            SIGEV_NONE => 0,
            SIGEV_SIGNAL if (1..=64).contains(&signo) => signo as u32,
            // SIGEV_THREAD speaks to its thread by a netlink socket, which there is not.
            _ => return Err(Errno::EINVAL),
        };
        notification = Some(Notification { pid: t.pid(), signo, value });
    }
    let of = t.files().get(mqdes)?;
    queue(&of)?.queue().notify(t.pid(), notification)?;
    Ok(0)
}

pub(super) fn mq_getsetattr(t: &Arc<Task>, mqdes: i32, newattr: usize, oldattr: usize) -> SysResult {
    let new = match newattr {
        0 => None,
        _ => {
            let [flags, ..]: Attributes = user::read(newattr)?;
            if flags & !i64::from(raw::O_NONBLOCK) != 0 {
                return Err(Errno::EINVAL);
            }
            Some(flags as u32)
        }
    };
    let of = t.files().get(mqdes)?;
    let queue = queue(&of)?.queue();
    let old_flags = of.flags();
    if let Some(flags) = new {
        of.set_flags((old_flags & !raw::O_NONBLOCK) | flags);
    }
    if oldattr != 0 {
        let Limits { messages, message_len } = queue.limits();
        let flags = i64::from(old_flags & raw::O_NONBLOCK);
        let attributes: Attributes =
            [flags, messages as i64, message_len as i64, queue.len() as i64, 0, 0, 0, 0];
        user::write(oldattr, &attributes)?;
    }
    Ok(0)
}
