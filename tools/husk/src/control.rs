//! The parent of a guest: waits for its end and meanwhile lends its control socket to one client at a time.
//!
//! A guest has a directory of its own below `$XDG_RUNTIME_DIR/husk` (else `/run/user/UID/husk`, else `/tmp/husk-UID`):
//! `control`, a socket to connect to, and `info`, what the guest is, locked for as long as this process lives. Whoever
//! connects is given the guest's control socket and has it until the connection ends; then the guest is made to go on,
//! wherever the client left it. The directory is made a moment after the start, so short guests have none.

use crate::bound::Bound;
use crate::path::PathBuffer;
use crate::start::Process;
use core::ffi::CStr;
use core::fmt::Write;
use husk_abi::control::{Kind, MESSAGE_MAX, Record, Request, Verb};
use husk_tender::host::{self, HostErrno, HostResult};
use linux_raw_sys::general as raw;
use linux_raw_sys::net;
use syscalls::Sysno;

/// How long a guest lives before it gets a directory.
const PATIENCE_NS: usize = 20_000_000;

/// What others are told of a guest.
pub(crate) struct Facts {
    pub(crate) tender: &'static str,
    pub(crate) program: &'static CStr,
    pub(crate) root_fd: i32,
    /// Where the root image begins in its file.
    pub(crate) root_offset: u64,
    pub(crate) root_len: u64,
    pub(crate) memory: u64,
    pub(crate) cpus: u32,
    pub(crate) flags: u64,
    /// It has volumes, which a state server serves.
    pub(crate) has_volumes: bool,
}

/// A guest's control socket and directory.
pub(crate) struct Control {
    /// Our end; the guest's.
    ends: [i32; 2],
    directory: Option<Directory>,
}

/// A guest's directory, open.
struct Directory {
    path: PathBuffer,
    fd: i32,
    listener: i32,
}

fn call(number: Sysno, args: [usize; 6]) -> HostResult<usize> {
    // SAFETY: the callers below pass numbers, C strings, and structures of the layout that the call takes.
    unsafe { host::call(number, args) }
}

fn address(path: &CStr) -> usize {
    path.as_ptr() as usize
}

/// Why a guest gets no directory under the name that was asked for.
pub(crate) enum Refused {
    Taken,
    Host(&'static str, HostErrno),
}

impl Control {
    /// Makes the socket. A named guest claims its directory now, since the name may be taken.
    pub(crate) fn new(process: &Process, name: Option<&'static CStr>) -> Result<Self, Refused> {
        let mut ends = [0_i32; 2];
        let kind = (net::SOCK_SEQPACKET | raw::O_CLOEXEC) as usize;
        call(Sysno::socketpair, [net::AF_UNIX as usize, kind, 0, ends.as_mut_ptr() as usize, 0, 0])
            .map_err(|error| Refused::Host("make a control socket", error))?;
        let directory = match name {
            Some(name) => Some(Directory::make(process, name.to_bytes())?),
            None => None,
        };
        Ok(Self { ends, directory })
    }

    /// The guest's end. For the child, which lets go of ours.
    pub(crate) fn guests_end(&self) -> i32 {
        host::close(self.ends[0]);
        self.ends[1]
    }

    /// Waits for the guest's end, serves clients meanwhile, and sees to its bound: its wait status.
    pub(crate) fn wait(
        mut self,
        process: &Process,
        pid: i32,
        facts: &Facts,
        mut bound: Option<&mut Bound>,
    ) -> HostResult<i32> {
        host::close(self.ends[1]);
        let pidfd = call(Sysno::pidfd_open, [pid as usize, 0, 0, 0, 0, 0])? as i32;
        let has_ended = |poll: &raw::pollfd| poll.revents != 0;
        let mut end = [poll_of(pidfd)];
        if let Some(directory) = &self.directory {
            directory.describe(pid, facts);
        } else {
            poll(&mut end, PATIENCE_NS);
        }
        if !has_ended(&end[0]) && self.directory.is_none() {
            let mut random = [0_u8; 6];
            host::random(&mut random);
            let mut id = [0_u8; 12];
            for (digits, byte) in id.chunks_exact_mut(2).zip(random) {
                digits[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
                digits[1] = b"0123456789abcdef"[usize::from(byte & 15)];
            }
            // A guest that cannot be commanded runs all the same.
            self.directory = Directory::make(process, &id).ok();
            if let Some(directory) = &self.directory {
                directory.describe(pid, facts);
            }
        }
        let mut client = -1;
        while !has_ended(&end[0]) {
            let listener = self.directory.as_ref().map_or(-1, |directory| directory.listener);
            // The next client waits until this one has gone.
            let mut polls =
                [poll_of(pidfd), poll_of(if client < 0 { listener } else { -1 }), poll_of(client)];
            poll(&mut polls, bound.as_mut().map_or(usize::MAX, |bound| bound.watch()));
            end[0] = polls[0];
            if polls[1].revents != 0 {
                client = self.lend(listener);
            }
            if polls[2].revents != 0 && has_gone(client) {
                host::close(client);
                client = -1;
                self.recover();
            }
        }
        if let Some(directory) = self.directory {
            directory.remove();
        }
        loop {
            if let Some(status) = host::wait(pid)? {
                return Ok(status);
            }
        }
    }

    /// Takes a connection and passes our end of the socket through it. -1: the client has gone.
    fn lend(&self, listener: i32) -> i32 {
        let Ok(client) = call(Sysno::accept4, [listener as usize, 0, 0, raw::O_CLOEXEC as usize, 0, 0])
        else {
            return -1;
        };
        let byte = [0_u8];
        let vector = [byte.as_ptr() as usize, 1];
        // `struct cmsghdr` with one descriptor.
        let kind = u64::from(net::SOL_SOCKET) | u64::from(net::SCM_RIGHTS) << 32;
        let rights = [20_u64, kind, self.ends[0] as u64];
        // `struct msghdr`.
        let message = [0, 0, vector.as_ptr() as usize, 1, rights.as_ptr() as usize, size_of_val(&rights), 0];
        let flags = net::MSG_NOSIGNAL as usize;
        match call(Sysno::sendmsg, [client, message.as_ptr() as usize, flags, 0, 0, 0]) {
            Ok(_) => client as i32,
            Err(_) => {
                host::close(client as i32);
                -1
            }
        }
    }

    /// Makes the guest go on, and throws away what it still had to say to a client that has gone.
    // As `run::be_parent`: rare, and with large buffers.
    #[inline(never)]
    fn recover(&self) {
        let mut value = [0; 8];
        host::random(&mut value);
        let request = Request { verb: Verb::Resume, value: u64::from_le_bytes(value) };
        let bytes = request.to_bytes();
        let ours = self.ends[0] as usize;
        let flags = net::MSG_NOSIGNAL as usize;
        let send = || call(Sysno::sendto, [ours, bytes.as_ptr() as usize, bytes.len(), flags, 0, 0]);
        while send() == Err(HostErrno::EINTR) {}
        let mut message = [0; MESSAGE_MAX];
        loop {
            match host::read(self.ends[0], &mut message) {
                // The guest has ended.
                Ok(0) => return,
                Ok(len) => {
                    let answer = Record { kind: Kind::Resumed, a: request.value };
                    if Record::from_bytes(&message[..len]).is_some_and(|(record, _)| record == answer) {
                        return;
                    }
                }
                Err(HostErrno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

fn poll_of(fd: i32) -> raw::pollfd {
    raw::pollfd { fd, events: raw::POLLIN as i16, revents: 0 }
}

/// ppoll(2); a signal ends it like the time does.
fn poll(polls: &mut [raw::pollfd], nanoseconds: usize) {
    let time = [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000];
    let time = if nanoseconds == usize::MAX { 0 } else { time.as_ptr() as usize };
    let _ = call(Sysno::ppoll, [polls.as_mut_ptr() as usize, polls.len(), time, 0, 0, 0]);
}

/// Whether a client that showed a sign has closed its end. It has nothing to say to us.
fn has_gone(client: i32) -> bool {
    let mut bytes = [0; 64];
    !matches!(host::read(client, &mut bytes), Ok(1..) | Err(HostErrno::EINTR))
}

/// A path in the directory that `fd` refers to, short enough for a socket's address.
fn inside(fd: i32, name: &[u8]) -> PathBuffer {
    let mut path = PathBuffer::of(&[b"/proc/self/fd/"]);
    let _ = write!(path, "{fd}");
    path.push(b"/");
    path.push(name);
    path
}

/// The directory below which guests have theirs, made if need be. It must be ours alone.
fn base(process: &Process) -> Result<PathBuffer, Refused> {
    let uid = call(Sysno::geteuid, [0; 6]).unwrap_or(0);
    let runtime = process.variable(b"XDG_RUNTIME_DIR").map_or(&b""[..], CStr::to_bytes);
    let mut users = PathBuffer::of(&[b"/run/user/"]);
    let _ = write!(users, "{uid}");
    let path = if runtime.starts_with(b"/") {
        PathBuffer::of(&[runtime, b"/husk"])
    } else if host::stat(users.as_c_str()).is_ok() {
        PathBuffer::of(&[users.as_bytes(), b"/husk"])
    } else {
        let mut path = PathBuffer::of(&[b"/tmp/husk-"]);
        let _ = write!(path, "{uid}");
        path
    };
    match call(Sysno::mkdir, [address(path.as_c_str()), 0o700, 0, 0, 0, 0]) {
        Ok(_) | Err(HostErrno::EEXIST) => {}
        Err(error) => return Err(Refused::Host("make the directory of guests", error)),
    }
    // SAFETY: all-zero is a valid `stat`, which the call overwrites.
    let mut stat: raw::stat = unsafe { core::mem::zeroed() };
    let args = [address(path.as_c_str()), (&raw mut stat) as usize, 0, 0, 0, 0];
    call(Sysno::lstat, args).map_err(|error| Refused::Host("look at the directory of guests", error))?;
    let ours = stat.st_mode & raw::S_IFMT == raw::S_IFDIR
        && stat.st_uid as usize == uid
        && stat.st_mode & 0o077 == 0;
    if ours { Ok(path) } else { Err(Refused::Host("trust the directory of guests", HostErrno::EPERM)) }
}

impl Directory {
    /// Makes the directory of guest `id`, with its socket. A directory that a dead guest left is taken over.
    #[inline(never)]
    fn make(process: &Process, id: &[u8]) -> Result<Self, Refused> {
        let base = base(process)?;
        let path = PathBuffer::of(&[base.as_bytes(), b"/", id]);
        let made = call(Sysno::mkdir, [address(path.as_c_str()), 0o700, 0, 0, 0, 0]);
        let fail = |what| move |error| Refused::Host(what, error);
        let flags = (raw::O_DIRECTORY | raw::O_NOFOLLOW | raw::O_CLOEXEC) as usize;
        let open = [raw::AT_FDCWD as usize, address(path.as_c_str()), flags, 0, 0, 0];
        let fd = call(Sysno::openat, open).map_err(fail("open the guest's directory"))? as i32;
        // Locked for as long as this process lives.
        let flags = (raw::O_RDWR | raw::O_CREAT | raw::O_NOFOLLOW | raw::O_CLOEXEC) as usize;
        let info = [fd as usize, address(c"info"), flags, 0o600, 0, 0];
        let info = call(Sysno::openat, info).map_err(fail("write the guest's info"))?;
        match call(Sysno::flock, [info, (raw::LOCK_EX | raw::LOCK_NB) as usize, 0, 0, 0, 0]) {
            Ok(_) => {}
            Err(_) => return Err(Refused::Taken),
        }
        if made == Err(HostErrno::EEXIST) {
            let _ = call(Sysno::unlinkat, [fd as usize, address(c"control"), 0, 0, 0, 0]);
        }
        let kind = (net::SOCK_STREAM | raw::O_CLOEXEC) as usize;
        let listener = call(Sysno::socket, [net::AF_UNIX as usize, kind, 0, 0, 0, 0])
            .map_err(fail("make the guest's socket"))?;
        let mut name = [0_u8; 110];
        let socket = inside(fd, b"control");
        name[0] = net::AF_UNIX as u8;
        name[2..2 + socket.as_bytes().len()].copy_from_slice(socket.as_bytes());
        call(Sysno::bind, [listener, name.as_ptr() as usize, name.len(), 0, 0, 0])
            .map_err(fail("bind the guest's socket"))?;
        call(Sysno::listen, [listener, 16, 0, 0, 0, 0]).map_err(fail("listen to the guest's socket"))?;
        Ok(Self { path, fd, listener: listener as i32 })
    }

    /// Writes `info`: entries NAME=VALUE, each ended by a NUL.
    // As `run::be_parent`: only guests that last a while come here.
    #[inline(never)]
    fn describe(&self, guest: i32, facts: &Facts) {
        let flags = (raw::O_RDWR | raw::O_TRUNC | raw::O_NOFOLLOW | raw::O_CLOEXEC) as usize;
        let Ok(info) = call(Sysno::openat, [self.fd as usize, address(c"info"), flags, 0, 0, 0]) else {
            return;
        };
        let mut root = [0_u8; 4096];
        let link = inside_self(facts.root_fd);
        let args = [address(link.as_c_str()), root.as_mut_ptr() as usize, root.len(), 0, 0, 0];
        let path_len = call(Sysno::readlink, args).unwrap_or(0);
        let started = host::clock(raw::CLOCK_REALTIME) / 1_000_000_000;
        let pid = call(Sysno::getpid, [0; 6]).unwrap_or(0);
        let mut text = Info::new();
        let Facts { tender, memory, cpus, flags, root_offset, root_len, .. } = facts;
        let volumes = u8::from(facts.has_volumes);
        let _ = write!(
            text,
            "pid={pid}\0guest={guest}\0started={started}\0tender={tender}\0memory={memory}\0cpus={cpus}\0flags={flags}\0volumes={volumes}\0root-offset={root_offset}\0root-len={root_len}\0kernel="
        );
        for byte in crate::start::KERNEL_ID {
            let _ = write!(text, "{byte:02x}");
        }
        text.push(b"\0program=");
        text.push(facts.program.to_bytes());
        text.push(b"\0root=");
        text.push(&root[..path_len]);
        text.push(b"\0");
        let _ = call(Sysno::write, [info, text.bytes.as_ptr() as usize, text.len, 0, 0, 0]);
        host::close(info as i32);
    }

    fn remove(&self) {
        for name in [c"control", c"info"] {
            let _ = call(Sysno::unlinkat, [self.fd as usize, address(name), 0, 0, 0, 0]);
        }
        let _ = call(Sysno::rmdir, [address(self.path.as_c_str()), 0, 0, 0, 0, 0]);
    }
}

fn inside_self(fd: i32) -> PathBuffer {
    let mut path = PathBuffer::of(&[b"/proc/self/fd/"]);
    let _ = write!(path, "{fd}");
    path
}

/// The text of `info`.
struct Info {
    bytes: [u8; 12 << 10],
    len: usize,
}

impl Info {
    fn new() -> Self {
        Self { bytes: [0; 12 << 10], len: 0 }
    }

    fn push(&mut self, part: &[u8]) {
        let len = part.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&part[..len]);
        self.len += len;
    }
}

impl Write for Info {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}
