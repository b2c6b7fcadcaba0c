//! Sockets: socket(2) and its family.

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::OpenFile;
use crate::file::io::{Sink, Source, UserRange, UserRanges};
use crate::mem::user;
use crate::net::addr::{ADDRESS_MAX, Address};
use crate::net::message::{Control, Credentials, Outgoing, Received};
use crate::net::{Shutdown, Socket, option, unix};
use crate::task::Task;
use crate::time::monotonic_ns;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::{__kernel_timespec, O_CLOEXEC, O_NONBLOCK};
use linux_raw_sys::net::{
    AF_UNIX, MSG_CMSG_CLOEXEC, MSG_CTRUNC, MSG_DONTWAIT, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET,
};

/// The type argument of socket(2): type and the flags above it.
fn split_type(kind: u32) -> Result<(u32, bool, bool), Errno> {
    if kind & !(0xf | O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok((kind & 0xf, kind & O_NONBLOCK != 0, kind & O_CLOEXEC != 0))
}

pub(super) fn socket(t: &Arc<Task>, domain: i32, kind: u32, protocol: i32) -> SysResult {
    let (kind, nonblocking, close_on_exec) = split_type(kind)?;
    let protocol = Socket::create(t, domain as u32, kind, protocol as u32)?;
    Ok(t.files().install(Socket::open(protocol, nonblocking), close_on_exec)? as usize)
}

pub(super) fn socketpair(t: &Arc<Task>, domain: i32, kind: u32, protocol: i32, sv: usize) -> SysResult {
    let (kind, nonblocking, close_on_exec) = split_type(kind)?;
    if domain as u32 != AF_UNIX {
        // Other families have no pairs; what they are not is said first.
        Socket::open(Socket::create(t, domain as u32, kind, protocol as u32)?, false);
        return Err(Errno::EOPNOTSUPP);
    }
    let (a, b) = unix::Endpoint::pair(kind, protocol as u32)?;
    let (a, b) = (Socket::open(a, nonblocking), Socket::open(b, nonblocking));
    let files = t.files();
    let first = files.install(a, close_on_exec)?;
    let result = files
        .install(b, close_on_exec)
        .and_then(|second| user::write(sv, &[first, second]).inspect_err(|_| drop(files.remove(second))));
    if let Err(error) = result {
        drop(files.remove(first));
        return Err(error);
    }
    Ok(0)
}

/// An address argument: at most as long as any address is.
fn read_address(address: usize, len: i32) -> Result<Vec<u8>, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > ADDRESS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0; len];
    user::copy_in(address, &mut bytes)?;
    Ok(bytes)
}

/// Writes an address to `address`, truncated to the room that `*len_at` tells; its full length goes there.
fn write_address(name: &Address, address: usize, len_at: usize) -> Result<(), Errno> {
    let room = usize::try_from(user::read::<i32>(len_at)?).map_err(|_| Errno::EINVAL)?;
    let mut bytes = [0; ADDRESS_MAX];
    let len = name.encode(&mut bytes);
    user::copy_out(address, &bytes[..len.min(room)])?;
    user::write(len_at, &(len as i32))
}

pub(super) fn bind(t: &Arc<Task>, sockfd: i32, addr: usize, addrlen: i32) -> SysResult {
    let file = opened(t, sockfd)?;
    let socket = Socket::of(&file)?;
    socket.protocol.bind(t, &read_address(addr, addrlen)?)?;
    Ok(0)
}

pub(super) fn listen(t: &Arc<Task>, sockfd: i32, backlog: i32) -> SysResult {
    let file = opened(t, sockfd)?;
    Socket::of(&file)?.protocol.listen(backlog)?;
    Ok(0)
}

pub(super) fn accept(t: &Arc<Task>, sockfd: i32, addr: usize, addrlen: usize) -> SysResult {
    accept4(t, sockfd, addr, addrlen, 0)
}

pub(super) fn accept4(t: &Arc<Task>, sockfd: i32, addr: usize, addrlen: usize, flags: u32) -> SysResult {
    if flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = opened(t, sockfd)?;
    let protocol = Socket::of(&file)?.accept(&file)?;
    let connection = Socket::open(protocol.clone(), flags & O_NONBLOCK != 0);
    let files = t.files();
    let fd = files.install(connection, flags & O_CLOEXEC != 0)?;
    if addr != 0 {
        let peer = protocol.peer_name().map_err(|_| Errno::ECONNABORTED);
        if let Err(error) = peer.and_then(|peer| write_address(&peer, addr, addrlen)) {
            drop(files.remove(fd));
            return Err(error);
        }
    }
    Ok(fd as usize)
}

pub(super) fn connect(t: &Arc<Task>, sockfd: i32, addr: usize, addrlen: i32) -> SysResult {
    let file = opened(t, sockfd)?;
    Socket::of(&file)?.connect(&file, t, &read_address(addr, addrlen)?)?;
    Ok(0)
}

pub(super) fn getsockname(t: &Arc<Task>, sockfd: i32, addr: usize, addrlen: usize) -> SysResult {
    let file = opened(t, sockfd)?;
    let name = Socket::of(&file)?.protocol.name()?;
    write_address(&name, addr, addrlen)?;
    Ok(0)
}

pub(super) fn getpeername(t: &Arc<Task>, sockfd: i32, addr: usize, addrlen: usize) -> SysResult {
    let file = opened(t, sockfd)?;
    let name = Socket::of(&file)?.protocol.peer_name()?;
    write_address(&name, addr, addrlen)?;
    Ok(0)
}

pub(super) fn shutdown(t: &Arc<Task>, sockfd: i32, how: u32) -> SysResult {
    let file = opened(t, sockfd)?;
    let socket = Socket::of(&file)?;
    socket.protocol.shutdown(Shutdown::from_how(how)?)?;
    Ok(0)
}

/// The most one call moves: MAX_RW_COUNT.
const TRANSFER_MAX: usize = 0x7fff_f000;

pub(super) fn sendto(
    t: &Arc<Task>,
    sockfd: i32,
    buf: usize,
    len: usize,
    flags: u32,
    dest_addr: usize,
    addrlen: i32,
) -> SysResult {
    let file = opened(t, sockfd)?;
    let socket = Socket::of(&file)?;
    let to = if dest_addr == 0 { Vec::new() } else { read_address(dest_addr, addrlen)? };
    let mut message = Outgoing { flags, to: &to, control: Vec::new() };
    socket.send(&file, &mut Source::user(buf, len.min(TRANSFER_MAX)), &mut message)
}

pub(super) fn recvfrom(
    t: &Arc<Task>,
    sockfd: i32,
    buf: usize,
    len: usize,
    flags: u32,
    src_addr: usize,
    addrlen: usize,
) -> SysResult {
    let file = opened(t, sockfd)?;
    let socket = Socket::of(&file)?;
    let mut received = Received::default();
    let count = socket.receive(&file, &mut Sink::user(buf, len.min(TRANSFER_MAX)), flags, &mut received)?;
    if src_addr != 0 {
        match &received.from {
            Some(from) => write_address(from, src_addr, addrlen)?,
            None => user::write(addrlen, &0i32)?,
        }
    }
    Ok(count)
}

/// `struct msghdr`, of an application.
struct Header {
    at: usize,
    name: usize,
    name_len: i32,
    iov: usize,
    iov_len: usize,
    control: usize,
    control_len: usize,
}

impl Header {
    /// Bytes of the struct, and of a `struct mmsghdr`, which adds a length.
    const SIZE: usize = 56;
    const SIZE_MANY: usize = 64;

    fn read(at: usize) -> Result<Self, Errno> {
        let [name, name_len, iov, iov_len, control, control_len, _flags]: [usize; 7] = user::read(at)?;
        Ok(Self { at, name, name_len: name_len as u32 as i32, iov, iov_len, control, control_len })
    }

    fn ranges(&self) -> Result<UserRanges, Errno> {
        const IOV_MAX: usize = 1024;
        if self.iov_len > IOV_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let mut left = TRANSFER_MAX;
        let mut ranges = Vec::with_capacity(self.iov_len);
        for [start, len] in user::read_vec::<[usize; 2]>(self.iov, self.iov_len)? {
            if len > isize::MAX as usize {
                return Err(Errno::EINVAL);
            }
            let len = len.min(left);
            left -= len;
            ranges.push(UserRange { start, len });
        }
        Ok(UserRanges::many(ranges))
    }

    fn write_name_len(&self, len: usize) -> Result<(), Errno> {
        user::write(self.at + 8, &(len as i32))
    }

    fn write_control_len(&self, len: usize) -> Result<(), Errno> {
        user::write(self.at + 40, &len)
    }

    fn write_flags(&self, flags: u32) -> Result<(), Errno> {
        user::write(self.at + 48, &flags)
    }
}

/// Bytes of `struct cmsghdr`: length, level, type.
const CMSG_HEADER: usize = 16;
/// The most descriptors one message carries: SCM_MAX_FD.
const RIGHTS_MAX: usize = 253;

/// The control data of an outgoing message.
fn parse_control(t: &Arc<Task>, bytes: &[u8]) -> Result<Vec<Control>, Errno> {
    let mut control = Vec::new();
    let mut rest = bytes;
    while rest.len() >= CMSG_HEADER {
        let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (low, high) = (word(0) as usize, word(4) as usize);
        let len = high << 32 | low;
        if len < CMSG_HEADER || len > rest.len() {
            return Err(Errno::EINVAL);
        }
        let data = &rest[CMSG_HEADER..len];
        control.push(match (word(8), word(12)) {
            (SOL_SOCKET, SCM_RIGHTS) => Control::Rights(open_files(t, data)?),
            (SOL_SOCKET, SCM_CREDENTIALS) => Control::Credentials(credentials(data)?),
            (level, kind) => Control::Other { level, kind, data: data.to_vec() },
        });
        rest = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(control)
}

fn ints(data: &[u8]) -> impl ExactSizeIterator<Item = i32> {
    data.chunks_exact(4).map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn open_files(t: &Arc<Task>, data: &[u8]) -> Result<Vec<Arc<OpenFile>>, Errno> {
    if ints(data).len() > RIGHTS_MAX {
        return Err(Errno::EINVAL);
    }
    let files = t.files();
    ints(data).map(|fd| files.get(fd)).collect()
}

fn credentials(data: &[u8]) -> Result<Credentials, Errno> {
    if data.len() != 12 {
        return Err(Errno::EINVAL);
    }
    let mut fields = ints(data);
    let mut next = || fields.next().ok_or(Errno::EINVAL);
    Ok(Credentials { pid: next()?, uid: next()? as u32, gid: next()? as u32 })
}

/// Writes control data into the room an application has for it, as put_cmsg() of Linux does: what does not fit is cut,
/// and MSG_CTRUNC says so.
struct ControlWriter {
    at: usize,
    left: usize,
    written: usize,
    truncated: bool,
}

impl ControlWriter {
    fn put(&mut self, level: u32, kind: u32, data: &[u8]) -> Result<(), Errno> {
        if self.left < CMSG_HEADER {
            self.truncated = true;
            return Ok(());
        }
        let len = (CMSG_HEADER + data.len()).min(self.left);
        self.truncated |= len < CMSG_HEADER + data.len();
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&level.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&data[..len - CMSG_HEADER]);
        user::copy_out(self.at, &bytes)?;
        let step = len.next_multiple_of(8).min(self.left);
        self.at += step;
        self.left -= step;
        self.written += step;
        Ok(())
    }

    /// Installs as many descriptors as there is room for.
    fn put_rights(
        &mut self,
        t: &Arc<Task>,
        files: Vec<Arc<OpenFile>>,
        close_on_exec: bool,
    ) -> Result<(), Errno> {
        let room = self.left.saturating_sub(CMSG_HEADER) / 4;
        self.truncated |= room < files.len();
        let table = t.files();
        let mut installed = Vec::new();
        for file in files.into_iter().take(room) {
            match table.install(file, close_on_exec) {
                Ok(fd) => installed.push(fd),
                Err(_) => {
                    self.truncated = true;
                    break;
                }
            }
        }
        if installed.is_empty() {
            return Ok(());
        }
        let data: Vec<u8> = installed.iter().flat_map(|fd| fd.to_ne_bytes()).collect();
        self.put(SOL_SOCKET, SCM_RIGHTS, &data).inspect_err(|_| {
            installed.iter().for_each(|fd| drop(table.remove(*fd)));
        })
    }
}

fn send_message(t: &Arc<Task>, file: &OpenFile, at: usize, flags: u32) -> SysResult {
    let socket = Socket::of(file)?;
    let header = Header::read(at)?;
    // Linux takes a name that is too long as one that is not.
    let to = match header.name {
        0 => Vec::new(),
        name => read_address(
            name,
            if header.name_len > 0 { header.name_len.min(ADDRESS_MAX as i32) } else { header.name_len },
        )?,
    };
    let ranges = header.ranges()?;
    let control = if header.control == 0 || header.control_len == 0 {
        Vec::new()
    } else {
        if header.control_len > 0x2_0000 {
            return Err(Errno::ENOBUFS);
        }
        let mut bytes = alloc::vec![0; header.control_len];
        user::copy_in(header.control, &mut bytes)?;
        parse_control(t, &bytes)?
    };
    let mut message = Outgoing { flags, to: &to, control };
    socket.send(file, &mut Source::User(ranges), &mut message)
}

fn receive_message(t: &Arc<Task>, file: &OpenFile, at: usize, flags: u32) -> SysResult {
    let socket = Socket::of(file)?;
    let header = Header::read(at)?;
    let mut sink = Sink::User(header.ranges()?);
    let mut received = Received::default();
    let count = socket.receive(file, &mut sink, flags, &mut received)?;
    let room = if header.control == 0 { 0 } else { header.control_len };
    let mut writer = ControlWriter { at: header.control, left: room, written: 0, truncated: false };
    for control in received.control {
        match control {
            Control::Rights(files) => writer.put_rights(t, files, flags & MSG_CMSG_CLOEXEC != 0)?,
            Control::Credentials(Credentials { pid, uid, gid }) => {
                let data: Vec<u8> =
                    [pid, uid as i32, gid as i32].into_iter().flat_map(i32::to_ne_bytes).collect();
                writer.put(SOL_SOCKET, SCM_CREDENTIALS, &data)?;
            }
            Control::Other { level, kind, data } => writer.put(level, kind, &data)?,
        }
    }
    if header.name != 0 {
        let mut bytes = [0; ADDRESS_MAX];
        let len = received.from.map_or(0, |from| from.encode(&mut bytes));
        let room = usize::try_from(header.name_len).map_err(|_| Errno::EINVAL)?;
        user::copy_out(header.name, &bytes[..len.min(room)])?;
        header.write_name_len(len)?;
    }
    header.write_control_len(writer.written)?;
    let truncated = if writer.truncated { MSG_CTRUNC } else { 0 };
    header.write_flags(received.flags | truncated | flags & MSG_CMSG_CLOEXEC)?;
    Ok(count)
}

pub(super) fn sendmsg(t: &Arc<Task>, sockfd: i32, msg: usize, flags: u32) -> SysResult {
    send_message(t, &*opened(t, sockfd)?, msg, flags)
}

pub(super) fn recvmsg(t: &Arc<Task>, sockfd: i32, msg: usize, flags: u32) -> SysResult {
    receive_message(t, &*opened(t, sockfd)?, msg, flags)
}

/// The most messages one call moves: UIO_MAXIOV.
const MESSAGES_MAX: u32 = 1024;

/// Runs `each` on the messages of a vector until one fails or `each` says stop; the count, or the first one's error.
fn many(msgvec: usize, vlen: u32, mut each: impl FnMut(usize) -> Result<(usize, bool), Errno>) -> SysResult {
    let mut done = 0;
    for index in 0..vlen.min(MESSAGES_MAX) as usize {
        let at = msgvec + index * Header::SIZE_MANY;
        let result = each(at).and_then(|(count, more)| {
            user::write(at + Header::SIZE, &(count as u32))?;
            Ok(more)
        });
        match result {
            Ok(true) => done += 1,
            Ok(false) => return Ok(done + 1),
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

pub(super) fn sendmmsg(t: &Arc<Task>, sockfd: i32, msgvec: usize, vlen: u32, flags: u32) -> SysResult {
    let file = opened(t, sockfd)?;
    Socket::of(&file)?;
    many(msgvec, vlen, |at| Ok((send_message(t, &file, at, flags)?, true)))
}

pub(super) fn recvmmsg(
    t: &Arc<Task>,
    sockfd: i32,
    msgvec: usize,
    vlen: u32,
    flags: u32,
    timeout: usize,
) -> SysResult {
    const MSG_WAITFORONE: u32 = 0x1_0000;
    let file = opened(t, sockfd)?;
    let socket = Socket::of(&file)?;
    // As on Linux the deadline is looked at between messages only.
    let deadline = if timeout == 0 {
        None
    } else {
        let timeout: __kernel_timespec = user::read(timeout)?;
        let valid = timeout.tv_sec >= 0 && (0..1_000_000_000).contains(&timeout.tv_nsec);
        let ns = (timeout.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(timeout.tv_nsec as u64);
        Some(if valid { monotonic_ns().saturating_add(ns) } else { return Err(Errno::EINVAL) })
    };
    socket.protocol.common().check_error()?;
    let mut flags = flags;
    let done = many(msgvec, vlen, |at| {
        let count = receive_message(t, &file, at, flags & !MSG_WAITFORONE)?;
        if flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        Ok((count, deadline.is_none_or(|deadline| monotonic_ns() < deadline)))
    })?;
    if let Some(deadline) = deadline {
        let left = deadline.saturating_sub(monotonic_ns());
        let left = __kernel_timespec {
            tv_sec: (left / 1_000_000_000) as i64,
            tv_nsec: (left % 1_000_000_000) as i64,
        };
        user::write(timeout, &left)?;
    }
    Ok(done)
}

pub(super) fn setsockopt(
    t: &Arc<Task>,
    sockfd: i32,
    level: u32,
    optname: u32,
    optval: usize,
    optlen: i32,
) -> SysResult {
    // The longest option anybody takes is far shorter.
    const OPTION_MAX: usize = 4096;
    let file = opened(t, sockfd)?;
    let protocol = &Socket::of(&file)?.protocol;
    let len = usize::try_from(optlen).map_err(|_| Errno::EINVAL)?;
    let mut value = alloc::vec![0; len.min(OPTION_MAX)];
    user::copy_in(optval, &mut value)?;
    if level == SOL_SOCKET {
        option::set(&**protocol, optname, &value)?;
    } else {
        protocol.set_option(level, optname, &value)?;
    }
    Ok(0)
}

pub(super) fn getsockopt(
    t: &Arc<Task>,
    sockfd: i32,
    level: u32,
    optname: u32,
    optval: usize,
    optlen: usize,
) -> SysResult {
    let file = opened(t, sockfd)?;
    let protocol = &Socket::of(&file)?.protocol;
    let room = usize::try_from(user::read::<i32>(optlen)?).map_err(|_| Errno::EINVAL)?;
    let value = if level == SOL_SOCKET {
        option::get(&**protocol, optname)?
    } else {
        protocol.option(level, optname)?
    };
    if level == SOL_SOCKET && optname == linux_raw_sys::net::SO_PEERGROUPS && room < value.len() {
        // The only list among them: its reader learns how long it is.
        user::write(optlen, &(value.len() as i32))?;
        return Err(Errno::ERANGE);
    }
    let len = value.len().min(room);
    user::copy_out(optval, &value[..len])?;
    user::write(optlen, &(len as i32))?;
    Ok(0)
}
