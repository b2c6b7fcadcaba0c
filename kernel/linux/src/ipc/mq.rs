//! POSIX message queues (mq_overview(7)).

use crate::errno::{Errno, SysResult};
use crate::file::io::Sink;
use crate::file::{File, OpenFile};
use crate::fs::Stat;
use crate::signal::{self, SigInfo};
use crate::task::cred::{CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SYS_RESOURCE, Cred};
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use crate::task::{Pid, Task, process};
use crate::time::realtime_ns;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;
use raw::{EPOLLIN, EPOLLOUT, EPOLLRDNORM, EPOLLWRNORM};

/// Priorities are below this.
pub const PRIORITIES: u32 = 32_768;
/// Most queues; most messages and bytes of a message without CAP_SYS_RESOURCE, and defaults; most with it.
pub const QUEUES_MAX: usize = 256;
pub const MESSAGES: usize = 10;
pub const MESSAGE_LEN: usize = 8192;
const HARD_MESSAGES: usize = 65_536;
const HARD_MESSAGE_LEN: usize = 16 << 20;
const NAME_MAX: usize = 255;
/// Device number of the file system of the queues.
const DEV: u64 = 0x10;
/// `si_code` of a notification.
const SI_MESGQ: i32 = -3;

static QUEUES: Global<KCell<BTreeMap<Vec<u8>, Arc<Queue>>>> = Global::new(KCell::default);

/// How a process wants to hear of a message in an empty queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    pub pid: Pid,
    /// 0: the registration alone counts (SIGEV_NONE).
    pub signo: u32,
    pub value: u64,
}

/// `mq_maxmsg` and `mq_msgsize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub messages: usize,
    pub message_len: usize,
}

struct Message {
    priority: u32,
    data: Vec<u8>,
}

#[derive(Default)]
struct State {
    /// The highest priority first, the oldest first among equals.
    messages: VecDeque<Message>,
    bytes: usize,
    notification: Option<Notification>,
    /// Tasks that wait for a message: they go before a notification.
    receivers: usize,
}

/// A message queue.
pub struct Queue {
    limits: Limits,
    state: KCell<State>,
    queue: WaitQueue,
    stat: KCell<Stat>,
}

impl Queue {
    fn check_access(&self, flags: u32, cred: &Cred) -> Result<(), Errno> {
        let wanted = match flags & raw::O_ACCMODE {
            raw::O_RDONLY => 4,
            raw::O_WRONLY => 2,
            _ => 6,
        };
        let stat = self.stat.borrow();
        let granted = if cred.fsuid == stat.uid {
            stat.mode >> 6
        } else if cred.in_group(stat.gid) {
            stat.mode >> 3
        } else {
            stat.mode
        };
        if wanted & !granted == 0 || cred.capable(CAP_DAC_OVERRIDE) { Ok(()) } else { Err(Errno::EACCES) }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Messages in the queue.
    pub fn len(&self) -> usize {
        self.state.borrow().messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn wait<R>(
        &self,
        nonblocking: bool,
        deadline: Option<u64>,
        mut look: impl FnMut() -> Option<R>,
    ) -> Result<R, Errno> {
        if let Some(result) = look() {
            return Ok(result);
        }
        if nonblocking {
            return Err(Errno::EAGAIN);
        }
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        wait_event(&[&self.queue], limit, look).map_err(|end| match end {
            WaitEnd::Interrupted => Errno::ERESTARTSYS,
            WaitEnd::TimedOut => Errno::ETIMEDOUT,
        })
    }

    /// mq_timedsend(3); `deadline` in monotonic ns.
    pub fn send(
        &self,
        data: Vec<u8>,
        priority: u32,
        nonblocking: bool,
        deadline: Option<u64>,
        sender: &Task,
    ) -> Result<(), Errno> {
        if data.len() > self.limits.message_len {
            return Err(Errno::EMSGSIZE);
        }
        let mut message = Some(Message { priority, data });
        let was_empty = self.wait(nonblocking, deadline, || {
            let mut state = self.state.borrow_mut();
            if state.messages.len() >= self.limits.messages {
                return None;
            }
            let message = message.take()?;
            let was_empty = state.messages.is_empty();
            state.bytes += message.data.len();
            let place = state.messages.partition_point(|other| other.priority >= priority);
            state.messages.insert(place, message);
            Some(was_empty)
        })?;
        let notification = {
            let mut state = self.state.borrow_mut();
            if was_empty && state.receivers == 0 { state.notification.take() } else { None }
        };
        if let Some(Notification { pid, signo, value }) = notification
            && signo != 0
            && let Some(process) = process::find(pid)
        {
            let from = u64::from(sender.pid() as u32) | u64::from(sender.cred().uid) << 32;
            let info = SigInfo { signo, code: SI_MESGQ, errno: 0, fields: [from, value, 0, 0] };
            signal::send_to_process(&process, info);
        }
        self.queue.wake_all(EPOLLIN | EPOLLRDNORM);
        Ok(())
    }

    /// mq_timedreceive(3): the message and its priority. `max`: bytes the caller has room for.
    pub fn receive(
        &self,
        max: usize,
        nonblocking: bool,
        deadline: Option<u64>,
    ) -> Result<(Vec<u8>, u32), Errno> {
        if max < self.limits.message_len {
            return Err(Errno::EMSGSIZE);
        }
        self.state.borrow_mut().receivers += 1;
        let received = self.wait(nonblocking, deadline, || {
            let mut state = self.state.borrow_mut();
            let message = state.messages.pop_front()?;
            state.bytes -= message.data.len();
            Some((message.data, message.priority))
        });
        self.state.borrow_mut().receivers -= 1;
        let message = received?;
        self.queue.wake_all(EPOLLOUT | EPOLLWRNORM);
        Ok(message)
    }

    /// mq_notify(3): registers, or with `None` ends the registration of `pid`.
    pub fn notify(&self, pid: Pid, notification: Option<Notification>) -> Result<(), Errno> {
        let mut state = self.state.borrow_mut();
        match (state.notification, notification) {
            (Some(_), Some(_)) => return Err(Errno::EBUSY),
            (None, Some(_)) => state.notification = notification,
            (Some(own), None) if own.pid == pid => state.notification = None,
            (_, None) => {}
        }
        Ok(())
    }

    fn forget(&self, pid: Pid) {
        let mut state = self.state.borrow_mut();
        state.notification = state.notification.filter(|own| own.pid != pid);
    }
}

/// The object of a descriptor that mq_open(3) gives.
pub struct Descriptor {
    queue: Arc<Queue>,
}

impl Descriptor {
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

/// mq_open(3). `name` has no slash; `mode` is that of a new queue, before the umask.
pub fn open(
    t: &Task,
    name: &[u8],
    flags: u32,
    mode: u32,
    limits: Option<Limits>,
) -> Result<Arc<OpenFile>, Errno> {
    check_name(name)?;
    let cred = t.cred();
    let found = QUEUES.borrow().get(name).cloned();
    let queue = match found {
        Some(_) if flags & (raw::O_CREAT | raw::O_EXCL) == raw::O_CREAT | raw::O_EXCL => {
            return Err(Errno::EEXIST);
        }
        Some(queue) => {
            queue.check_access(flags, &cred)?;
            queue
        }
        None if flags & raw::O_CREAT == 0 => return Err(Errno::ENOENT),
        None => create(t, name, mode, limits)?,
    };
    let kept = flags & (raw::O_ACCMODE | raw::O_NONBLOCK);
    Ok(OpenFile::new(Arc::new(Descriptor { queue }), kept, None))
}

fn create(t: &Task, name: &[u8], mode: u32, limits: Option<Limits>) -> Result<Arc<Queue>, Errno> {
    let cred = t.cred();
    let privileged = cred.capable(CAP_SYS_RESOURCE);
    let limits = limits.unwrap_or(Limits { messages: MESSAGES, message_len: MESSAGE_LEN });
    let most = match privileged {
        true => Limits { messages: HARD_MESSAGES, message_len: HARD_MESSAGE_LEN },
        false => Limits { messages: MESSAGES, message_len: MESSAGE_LEN },
    };
    let fits = |value: usize, most: usize| value > 0 && value <= most;
    if !fits(limits.messages, most.messages) || !fits(limits.message_len, most.message_len) {
        return Err(Errno::EINVAL);
    }
    let mut queues = QUEUES.borrow_mut();
    if queues.len() >= QUEUES_MAX && !privileged {
        return Err(Errno::ENOSPC);
    }
    let now = realtime_ns() as i64;
    let queue = Arc::new(Queue {
        limits,
        state: KCell::default(),
        queue: WaitQueue::new(),
        stat: KCell::new(Stat {
            dev: DEV,
            ino: crate::file::anon::new_ino(),
            mode: raw::S_IFREG | mode & 0o777 & !t.fs().umask(),
            nlink: 1,
            uid: cred.fsuid,
            gid: cred.fsgid,
            size: 80,
            block_size: 4096,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            ..Stat::default()
        }),
    });
    queues.insert(name.to_vec(), queue.clone());
    Ok(queue)
}

fn check_name(name: &[u8]) -> Result<(), Errno> {
    match name {
        [] => Err(Errno::ENOENT),
        [b'.'] | [b'.', b'.'] => Err(Errno::EACCES),
        _ if name.contains(&b'/') => Err(Errno::EACCES),
        _ if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}

/// mq_unlink(3).
pub fn unlink(t: &Task, name: &[u8]) -> Result<(), Errno> {
    check_name(name)?;
    let queue = QUEUES.borrow().get(name).cloned().ok_or(Errno::ENOENT)?;
    let cred = t.cred();
    if queue.stat.borrow().uid != cred.fsuid && !cred.capable(CAP_FOWNER) {
        return Err(Errno::EPERM);
    }
    queue.stat.borrow_mut().nlink = 0;
    let removed = QUEUES.borrow_mut().remove(name);
    drop(removed);
    Ok(())
}

/// A process ends: nobody is left to notify.
pub(super) fn process_ends(pid: Pid) {
    for queue in QUEUES.borrow().values() {
        queue.forget(pid);
    }
}

impl File for Descriptor {
    fn read(&self, _of: &OpenFile, at: u64, sink: &mut Sink<'_>) -> SysResult {
        let text = {
            let state = self.queue.state.borrow();
            let notify = state.notification;
            let (signo, pid) = notify.map_or((0, 0), |notify| (notify.signo, notify.pid));
            let how = u32::from(notify.is_some_and(|notify| notify.signo == 0));
            format!("QSIZE:{:<10} NOTIFY:{how:<5} SIGNO:{signo:<5} NOTIFY_PID:{pid:<6}\n", state.bytes)
        };
        let rest = usize::try_from(at).ok().and_then(|at| text.as_bytes().get(at..)).unwrap_or_default();
        sink.put(rest)
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn poll(&self, _of: &OpenFile) -> u32 {
        let len = self.queue.len();
        let mut events = 0;
        if len > 0 {
            events |= EPOLLIN | EPOLLRDNORM;
        }
        if len < self.queue.limits.messages {
            events |= EPOLLOUT | EPOLLWRNORM;
        }
        events
    }

    fn wait_queue(&self, _of: &OpenFile) -> Option<&WaitQueue> {
        Some(&self.queue.queue)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(*self.queue.stat.borrow())
    }

    fn link(&self) -> String {
        let queues = QUEUES.borrow();
        let name = queues.iter().find(|(_, queue)| Arc::ptr_eq(queue, &self.queue)).map(|(name, _)| name);
        match name {
            Some(name) => format!("/{}", String::from_utf8_lossy(name)),
            None => String::from("/ (deleted)"),
        }
    }

    fn release(&self, _of: &OpenFile) {
        // Closing a descriptor ends the registration of the process that closes it.
        self.queue.forget(crate::task::current().pid());
    }
}
