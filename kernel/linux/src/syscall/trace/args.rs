//! Arguments as text: what each is comes from the name and type that the table of calls gives it.

use super::flags::{self, Names, write_bits, write_one, write_signal, write_signal_set};
use super::name_of;
use crate::errno::SysResult;
use crate::mem::user;
use crate::syscall::table;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use husk_machine::start;
use linux_raw_sys::general as raw;

/// What an argument is, and so how it is shown. Those that the call fills in are shown after it.
#[derive(Clone, Copy)]
enum Kind {
    Int,
    Unsigned,
    Long,
    Hex,
    Pointer,
    Descriptor,
    Path,
    /// Bytes whose count is this argument.
    Bytes(usize),
    /// Bytes that the call wrote, as many as it gave back.
    BytesOut,
    CStringOut,
    Octal,
    One(Names),
    Bits(Names),
    Open,
    MapFlags,
    Signal,
    SetIn,
    SetOut,
    ActionIn,
    ActionOut,
    StatOut,
    StatxOut,
    TimeIn,
    TimeOut,
    TimevalIn,
    TimevalOut,
    Arguments,
    Environment,
    PairOut,
    StatusOut,
    /// Vectors: how many is this argument.
    VectorsIn(usize),
    VectorsOut(usize),
    PollsIn(usize),
    /// An address whose length is this argument.
    AddressIn(usize),
    /// The same, its length behind a pointer.
    AddressOut(usize),
    LimitIn,
    LimitOut,
    FutexOp,
    CloneFlags,
    CloneArgs,
    SocketType,
    EpollIn,
    EpollsOut,
    IntOut,
    WordIn,
    UnameOut,
    DirectoryOut,
}

impl Kind {
    /// Shown after the call only.
    fn is_output(self) -> bool {
        matches!(
            self,
            Self::BytesOut
                | Self::CStringOut
                | Self::SetOut
                | Self::ActionOut
                | Self::StatOut
                | Self::StatxOut
                | Self::TimeOut
                | Self::TimevalOut
                | Self::PairOut
                | Self::StatusOut
                | Self::VectorsOut(_)
                | Self::AddressOut(_)
                | Self::LimitOut
                | Self::EpollsOut
                | Self::IntOut
                | Self::UnameOut
                | Self::DirectoryOut
        )
    }
}

/// Whether an argument of this name and type is a descriptor.
pub(super) fn is_descriptor(name: &str, kind: &str) -> bool {
    kind == "i32"
        && (name.ends_with("fd") || matches!(name, "fd_in" | "fd_out" | "in_fd" | "out_fd" | "mqdes"))
}

/// What argument `name` of call `call` is.
fn kind_of(call: &str, name: &str, ty: &str, index: usize) -> Kind {
    use Kind as K;
    if is_descriptor(name, ty) {
        return K::Descriptor;
    }
    match (call, name) {
        ("open" | "openat", "flags") | ("mq_open", "oflag") => K::Open,
        ("access" | "faccessat" | "faccessat2", "mode") => K::Bits(flags::ACCESS),
        ("faccessat2", "flags") => K::Bits(flags::AT_ACCESS),
        ("fallocate", "mode") => K::Bits(flags::FALLOCATE),
        (_, "mode") => K::Octal,
        ("umask", "mask") => K::Octal,
        ("mmap" | "mprotect" | "pkey_mprotect", "prot") => K::Bits(flags::PROT),
        ("mmap", "flags") => K::MapFlags,
        ("mremap", "flags") => K::Bits(flags::MREMAP),
        ("msync", "flags") => K::Bits(flags::MSYNC),
        ("madvise", "advice") => K::One(flags::ADVICE),
        ("newfstatat" | "fchownat" | "utimensat" | "linkat" | "execveat" | "statx", "flags") => {
            K::Bits(flags::AT)
        }
        ("unlinkat", "flags") => K::Bits(flags::AT_UNLINK),
        ("statx", "mask") => K::Bits(flags::STATX),
        ("renameat2", "flags") => K::Bits(flags::RENAME),
        ("lseek", "whence") => K::One(flags::WHENCE),
        ("pipe2" | "dup3", "flags") => K::Bits(flags::CLOEXEC),
        ("eventfd2", "flags") => K::Bits(flags::EVENTFD),
        ("epoll_create1", "flags") => K::Bits(flags::EPOLL),
        ("epoll_ctl", "operation") => K::One(flags::EPOLL_OP),
        ("epoll_ctl", "event") => K::EpollIn,
        ("epoll_wait" | "epoll_pwait" | "epoll_pwait2", "events") => K::EpollsOut,
        ("accept4", "flags") => K::Bits(flags::SOCKET_FLAGS),
        ("timerfd_create", "flags") => K::Bits(flags::TIMERFD),
        ("signalfd4", "flags") => K::Bits(flags::SIGNALFD),
        ("inotify_init1", "flags") => K::Bits(flags::INOTIFY_INIT),
        ("clone", "flags") => K::CloneFlags,
        ("unshare", "flags") | ("setns", "nstype") => K::Bits(flags::CLONE),
        ("clone3", "args") => K::CloneArgs,
        ("wait4" | "waitid", "options") => K::Bits(flags::WAIT),
        ("wait4", "status") => K::StatusOut,
        ("rt_sigprocmask", "how") => K::One(flags::MASK_HOW),
        ("rt_sigprocmask", "set") | ("rt_sigsuspend" | "signalfd" | "signalfd4", "mask") => K::SetIn,
        ("rt_sigtimedwait", "set") | (_, "sigmask") if call != "pselect6" => K::SetIn,
        ("rt_sigprocmask", "oldset") | ("rt_sigpending", "set") => K::SetOut,
        ("rt_sigaction", "act") => K::ActionIn,
        ("rt_sigaction", "oldact") => K::ActionOut,
        (_, "sig" | "signum") => K::Signal,
        (
            "clock_gettime" | "clock_getres" | "clock_nanosleep" | "clock_settime" | "timer_create",
            "clockid",
        )
        | ("timerfd_create", "clockid") => K::One(flags::CLOCK),
        ("clock_nanosleep" | "timer_settime" | "timerfd_settime", "flags") => K::Bits(flags::TIMER),
        ("clock_gettime", "tp")
        | ("clock_getres", "res")
        | ("nanosleep", "rem")
        | ("clock_nanosleep", "remain") => K::TimeOut,
        ("clock_settime", "tp") | ("nanosleep", "req") | ("clock_nanosleep", "request") => K::TimeIn,
        (
            "ppoll" | "pselect6" | "futex" | "rt_sigtimedwait" | "semtimedop" | "epoll_pwait2" | "recvmmsg",
            "timeout",
        ) => K::TimeIn,
        ("gettimeofday", "tv") => K::TimevalOut,
        ("select", "timeout") => K::TimevalIn,
        ("futex", "op") => K::FutexOp,
        ("futex", "val" | "val3") => K::Unsigned,
        ("getrandom", "flags") => K::Bits(flags::RANDOM),
        ("memfd_create", "flags") => K::Bits(flags::MEMFD),
        ("flock", "operation") => K::Bits(flags::FLOCK),
        (_, "resource") => K::One(flags::RLIMIT),
        ("prlimit64", "new_limit") | ("setrlimit", "rlim") => K::LimitIn,
        ("prlimit64", "old_limit") | ("getrlimit", "rlim") => K::LimitOut,
        ("fcntl", "command") => K::One(flags::FCNTL),
        ("ioctl", "command") => K::One(flags::IOCTL),
        ("socket" | "socketpair", "domain") => K::One(flags::DOMAIN),
        ("socket" | "socketpair", "kind") => K::SocketType,
        ("socketpair", "sv") | ("pipe" | "pipe2", "pipefd") => K::PairOut,
        ("shutdown", "how") => K::One(flags::SHUTDOWN),
        (_, "flags") if call.starts_with("send") || call.starts_with("recv") => K::Bits(flags::MESSAGE),
        ("bind" | "connect", "addr") => K::AddressIn(index + 1),
        ("sendto", "dest_addr") => K::AddressIn(index + 1),
        ("accept" | "accept4" | "getsockname" | "getpeername", "addr") | ("recvfrom", "src_addr") => {
            K::AddressOut(index + 1)
        }
        ("accept" | "accept4" | "getsockname" | "getpeername" | "recvfrom", "addrlen") => K::IntOut,
        ("setsockopt" | "getsockopt", "level") => K::One(flags::LEVEL),
        ("setsockopt" | "getsockopt", "optname") => K::One(flags::SOCKET_OPTION),
        ("getsockopt", "optval" | "optlen") => K::IntOut,
        ("setsockopt", "optval") => K::WordIn,
        ("prctl", "option") => K::One(flags::PRCTL),
        ("arch_prctl", "code") => K::One(flags::ARCH_PRCTL),
        ("inotify_add_watch", "mask") => K::Bits(flags::INOTIFY),
        ("getitimer" | "setitimer", "which") => K::One(flags::ITIMER),
        ("getrusage", "who") => K::One(flags::USAGE),
        ("splice" | "tee" | "vmsplice", "flags") => K::Bits(flags::SPLICE),
        ("execve" | "execveat", "argv") => K::Arguments,
        ("execve" | "execveat", "envp") => K::Environment,
        (_, "statbuf") => K::StatOut,
        (_, "statxbuf") => K::StatxOut,
        ("getdents64" | "getdents", "dirp") => K::DirectoryOut,
        ("uname", "buf") => K::UnameOut,
        ("getcwd", "buf") => K::CStringOut,
        ("read" | "pread64" | "recvfrom" | "getrandom" | "readlink" | "readlinkat", "buf")
        | ("getxattr" | "lgetxattr" | "fgetxattr", "value")
        | ("mq_timedreceive", "msg_ptr") => K::BytesOut,
        ("write" | "pwrite64" | "sendto", "buf") | ("mq_timedsend", "msg_ptr") => K::Bytes(index + 1),
        ("setxattr" | "lsetxattr" | "fsetxattr", "value") => K::Bytes(index + 1),
        ("sethostname" | "setdomainname", "name") => K::Bytes(index + 1),
        ("writev" | "pwritev" | "pwritev2" | "vmsplice", "iov") => K::VectorsIn(index + 1),
        ("readv" | "preadv" | "preadv2", "iov") => K::VectorsOut(index + 1),
        ("poll" | "ppoll", "fds") => K::PollsIn(index + 1),
        ("mount", "source" | "filesystemtype") => K::Path,
        (_, "path" | "old_path" | "new_path" | "target" | "name" | "new_root" | "put_old")
            if ty == "usize" =>
        {
            K::Path
        }
        (_, "offset" | "length") => K::Long,
        (_, name)
            if ty == "usize"
                && (name.ends_with("len")
                    || name.ends_with("size")
                    || matches!(name, "count" | "iovcnt" | "nsops")) =>
        {
            K::Unsigned
        }
        _ => match ty {
            "i32" => K::Int,
            "i64" => K::Long,
            "u32" if name.contains("flags") || name.ends_with("flg") => K::Hex,
            "u32" => K::Unsigned,
            _ => K::Pointer,
        },
    }
}

/// A call that is traced.
pub(super) struct Call<'a> {
    number: u64,
    values: &'a [usize; 6],
    kinds: Vec<Kind>,
    /// How many arguments are shown before the call.
    before: usize,
}

impl<'a> Call<'a> {
    pub(super) fn new(number: u64, values: &'a [usize; 6]) -> Self {
        let mut kinds = match table::row(number) {
            Some(row) => {
                let args = row.args.iter().enumerate();
                args.map(|(index, (name, ty))| kind_of(row.name, name, ty, index)).collect()
            }
            None => alloc::vec![Kind::Pointer; 6],
        };
        if matches!(name_of(number), Some("open")) && values[1] as u32 & (raw::O_CREAT | raw::O_TMPFILE) == 0
        {
            kinds.truncate(2);
        }
        if matches!(name_of(number), Some("openat"))
            && values[2] as u32 & (raw::O_CREAT | raw::O_TMPFILE) == 0
        {
            kinds.truncate(3);
        }
        let before = kinds.iter().position(|kind| kind.is_output()).unwrap_or(kinds.len());
        Self { number, values, kinds, before }
    }

    pub(super) fn served(&self) -> bool {
        table::row(self.number).is_some()
    }

    pub(super) fn name(&self) -> String {
        let mut out = String::new();
        let _ = match name_of(self.number) {
            Some(name) => out.write_str(name),
            None => write!(out, "syscall_{:#x}", self.number),
        };
        out
    }

    pub(super) fn ends_task(&self) -> bool {
        matches!(u32::try_from(self.number), Ok(raw::__NR_exit | raw::__NR_exit_group))
    }

    pub(super) fn gives_address(&self) -> bool {
        matches!(
            u32::try_from(self.number),
            Ok(raw::__NR_mmap | raw::__NR_brk | raw::__NR_mremap | raw::__NR_shmat)
        )
    }

    /// Name and first arguments.
    pub(super) fn write_before(&self, out: &mut String) {
        out.push_str(&self.name());
        out.push('(');
        for index in 0..self.before {
            self.write(out, index, Err(crate::errno::Errno::ENOSYS));
            if index + 1 < self.kinds.len() {
                out.push_str(", ");
            }
        }
    }

    /// The other arguments.
    pub(super) fn write_after(&self, out: &mut String, result: SysResult) {
        for index in self.before..self.kinds.len() {
            self.write(out, index, result);
            if index + 1 < self.kinds.len() {
                out.push_str(", ");
            }
        }
        if let Some(Kind::PollsIn(count)) = self.kinds.first()
            && result.is_ok_and(|ready| ready > 0)
        {
            out.push_str(" /* ready: */ ");
            write_polls(out, self.values[0], self.values[*count], true);
        }
    }

    fn write(&self, out: &mut String, index: usize, result: SysResult) {
        let value = self.values[index];
        let kind = self.kinds[index];
        if value == 0 && is_pointer(kind) {
            out.push_str("NULL");
            return;
        }
        // What a failed call would have written is not there.
        if kind.is_output() && result.is_err() && !matches!(kind, Kind::AddressOut(_)) {
            let _ = write!(out, "{value:#x}");
            return;
        }
        if self.write_pointed(out, kind, value, result).is_none() {
            let _ = write!(out, "{value:#x}");
        }
    }

    /// `None` when memory that must be read cannot be.
    fn write_pointed(&self, out: &mut String, kind: Kind, value: usize, result: SysResult) -> Option<()> {
        let count = |at: usize| self.values.get(at).copied().unwrap_or(0);
        let done = result.unwrap_or(0);
        match kind {
            Kind::Int => show(out, format_args!("{}", value as i32)),
            Kind::Unsigned => show(out, format_args!("{value}")),
            Kind::Long => show(out, format_args!("{}", value as i64)),
            Kind::Hex => show(out, format_args!("{:#x}", value as u32)),
            Kind::Pointer => show(out, format_args!("{value:#x}")),
            Kind::Descriptor if value as i32 == raw::AT_FDCWD => out.push_str("AT_FDCWD"),
            Kind::Descriptor => show(out, format_args!("{}", value as i32)),
            Kind::Octal => show(out, format_args!("0{:o}", value as u32)),
            Kind::One(names) => write_one(out, names, u64::from(value as u32)),
            Kind::Bits(names) => write_bits(out, names, u64::from(value as u32), false),
            Kind::Open => {
                let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][value & 3];
                out.push_str(access);
                let rest = value as u32 & !3;
                if rest != 0 {
                    write_bits(out, flags::OPEN, u64::from(rest), true);
                }
            }
            Kind::MapFlags => {
                let kinds = ["MAP_FILE", "MAP_SHARED", "MAP_PRIVATE", "MAP_SHARED_VALIDATE"];
                out.push_str(kinds[value & 3]);
                let rest = value as u32 & !3;
                if rest != 0 {
                    write_bits(out, flags::MAP, u64::from(rest), true);
                }
            }
            Kind::SocketType => {
                write_one(out, flags::SOCKET, value as u64 & 0xf);
                let rest = value as u64 & !0xf;
                if rest != 0 {
                    write_bits(out, flags::SOCKET_FLAGS, rest, true);
                }
            }
            Kind::FutexOp => {
                write_one(out, flags::FUTEX, u64::from(value as u32 & 0x7f));
                out.push_str(if value & 0x80 != 0 { "_PRIVATE" } else { "" });
                out.push_str(if value & 0x100 != 0 { "|FUTEX_CLOCK_REALTIME" } else { "" });
            }
            Kind::CloneFlags => write_clone(out, value as u64 & !0xff, value as u32 & 0xff),
            Kind::CloneArgs => {
                let words: [u64; 8] = user::read(value).ok()?;
                out.push_str("{flags=");
                write_bits(out, flags::CLONE, words[0], false);
                out.push_str(", exit_signal=");
                write_signal(out, words[4] as u32);
                show(out, format_args!(", stack={:#x}, stack_size={:#x}}}", words[5], words[6]));
            }
            Kind::Signal => write_signal(out, value as u32),
            Kind::Path => write_path(out, value)?,
            Kind::Bytes(len) => write_bytes(out, value, count(len))?,
            Kind::BytesOut => write_bytes(out, value, done)?,
            Kind::CStringOut => write_path(out, value)?,
            Kind::SetIn | Kind::SetOut => write_signal_set(out, user::read::<u64>(value).ok()?),
            Kind::ActionIn | Kind::ActionOut => {
                let [handler, flags, restorer, mask]: [u64; 4] = user::read(value).ok()?;
                match handler {
                    0 => out.push_str("{sa_handler=SIG_DFL"),
                    1 => out.push_str("{sa_handler=SIG_IGN"),
                    _ => show(out, format_args!("{{sa_handler={handler:#x}")),
                }
                out.push_str(", sa_mask=");
                write_signal_set(out, mask);
                out.push_str(", sa_flags=");
                write_bits(out, flags::SIGACTION, flags, false);
                if flags & u64::from(raw::SA_RESTORER) != 0 {
                    show(out, format_args!(", sa_restorer={restorer:#x}"));
                }
                out.push('}');
            }
            Kind::StatOut => {
                let words: [u64; 18] = user::read(value).ok()?;
                out.push_str("{st_mode=");
                write_mode(out, words[3] as u32);
                match words[3] as u32 & raw::S_IFMT {
                    raw::S_IFCHR | raw::S_IFBLK => show(
                        out,
                        format_args!(
                            ", st_rdev=makedev({:#x}, {:#x})",
                            words[5] >> 8 & 0xfff,
                            words[5] & 0xff
                        ),
                    ),
                    _ => show(out, format_args!(", st_size={}", words[6])),
                }
                out.push_str(", ...}");
            }
            Kind::StatxOut => {
                let words: [u64; 6] = user::read(value).ok()?;
                out.push_str("{stx_mask=");
                show(out, format_args!("{:#x}, stx_mode=", words[0] as u32));
                write_mode(out, (words[3] >> 32) as u32 & 0xffff);
                show(out, format_args!(", stx_size={}, ...}}", words[5]));
            }
            Kind::TimeIn | Kind::TimeOut => {
                let [seconds, nanoseconds]: [i64; 2] = user::read(value).ok()?;
                show(out, format_args!("{{tv_sec={seconds}, tv_nsec={nanoseconds}}}"));
            }
            Kind::TimevalIn | Kind::TimevalOut => {
                let [seconds, microseconds]: [i64; 2] = user::read(value).ok()?;
                show(out, format_args!("{{tv_sec={seconds}, tv_usec={microseconds}}}"));
            }
            Kind::Arguments => write_strings(out, value)?,
            Kind::Environment => {
                let mut count = 0;
                while count < 10_000 && user::read::<u64>(value + count * 8).ok()? != 0 {
                    count += 1;
                }
                show(out, format_args!("{value:#x} /* {count} vars */"));
            }
            Kind::PairOut => {
                let [a, b]: [i32; 2] = user::read(value).ok()?;
                show(out, format_args!("[{a}, {b}]"));
            }
            Kind::StatusOut if done == 0 => show(out, format_args!("{value:#x}")),
            Kind::StatusOut => write_status(out, user::read::<i32>(value).ok()?),
            Kind::VectorsIn(len) => write_vectors(out, value, count(len), usize::MAX)?,
            Kind::VectorsOut(len) => write_vectors(out, value, count(len), done)?,
            Kind::PollsIn(len) => write_polls(out, value, count(len), false),
            Kind::AddressIn(len) => write_address(out, value, count(len))?,
            Kind::AddressOut(len) => {
                let len = user::read::<u32>(count(len)).ok()? as usize;
                match result {
                    Ok(_) => write_address(out, value, len)?,
                    Err(_) => show(out, format_args!("{value:#x}")),
                }
            }
            Kind::LimitIn | Kind::LimitOut => {
                let limits: [u64; 2] = user::read(value).ok()?;
                for (name, limit) in [("{rlim_cur=", limits[0]), (", rlim_max=", limits[1])] {
                    out.push_str(name);
                    match limit {
                        u64::MAX => out.push_str("RLIM64_INFINITY"),
                        limit if limit > 0 && limit.is_multiple_of(1024) => {
                            show(out, format_args!("{}*1024", limit / 1024));
                        }
                        limit => show(out, format_args!("{limit}")),
                    }
                }
                out.push('}');
            }
            Kind::EpollIn => write_epoll(out, user::read::<[u32; 3]>(value).ok()?),
            Kind::EpollsOut => {
                out.push('[');
                for index in 0..done.min(32) {
                    out.push_str(if index > 0 { ", " } else { "" });
                    write_epoll(out, user::read::<[u32; 3]>(value + index * 12).ok()?);
                }
                out.push(']');
            }
            Kind::IntOut | Kind::WordIn => show(out, format_args!("[{}]", user::read::<i32>(value).ok()?)),
            Kind::UnameOut => {
                out.push_str("{sysname=");
                write_path(out, value)?;
                out.push_str(", nodename=");
                write_path(out, value + 65)?;
                out.push_str(", ...}");
            }
            Kind::DirectoryOut => show(out, format_args!("{value:#x} /* {done} bytes of entries */")),
        }
        Some(())
    }
}

fn show(out: &mut String, text: core::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// Whether a zero is no address.
fn is_pointer(kind: Kind) -> bool {
    let number = matches!(
        kind,
        Kind::Int
            | Kind::Unsigned
            | Kind::Long
            | Kind::Hex
            | Kind::Descriptor
            | Kind::Octal
            | Kind::One(_)
            | Kind::Bits(_)
            | Kind::Open
            | Kind::MapFlags
            | Kind::Signal
            | Kind::FutexOp
            | Kind::CloneFlags
            | Kind::SocketType
    );
    !number
}

/// Most bytes of a string to show.
fn string_max() -> usize {
    match start::boot().trace_strings {
        0 => 32,
        size => size as usize,
    }
}

/// A C string's bytes, with escapes as C and strace write them.
pub(super) fn write_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            0x0b => out.push_str("\\v"),
            0x0c => out.push_str("\\f"),
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(*byte));
            }
            0x20..0x7f => out.push(char::from(*byte)),
            _ if bytes.get(index + 1).is_some_and(u8::is_ascii_digit) => {
                show(out, format_args!("\\{byte:03o}"))
            }
            _ => show(out, format_args!("\\{byte:o}")),
        }
    }
    out.push('"');
}

fn write_bytes(out: &mut String, address: usize, len: usize) -> Option<()> {
    let max = string_max();
    let bytes: Vec<u8> = user::read_vec(address, len.min(max)).ok()?;
    write_quoted(out, &bytes);
    out.push_str(if len > max { "..." } else { "" });
    Some(())
}

/// A path is shown as a whole.
fn write_path(out: &mut String, address: usize) -> Option<()> {
    write_quoted(out, &user::read_path(address).ok()?);
    Some(())
}

fn write_strings(out: &mut String, address: usize) -> Option<()> {
    out.push('[');
    for index in 0.. {
        let at = user::read::<u64>(address + index * 8).ok()? as usize;
        if at == 0 {
            break;
        }
        out.push_str(if index > 0 { ", " } else { "" });
        if index == 32 {
            out.push_str("...");
            break;
        }
        let bytes = user::read_cstr(at, 1 << 17, crate::errno::Errno::E2BIG).ok()?;
        let max = string_max();
        write_quoted(out, &bytes[..bytes.len().min(max)]);
        out.push_str(if bytes.len() > max { "..." } else { "" });
    }
    out.push(']');
    Some(())
}

fn write_mode(out: &mut String, mode: u32) {
    let kind = match mode & raw::S_IFMT {
        raw::S_IFREG => "S_IFREG",
        raw::S_IFDIR => "S_IFDIR",
        raw::S_IFLNK => "S_IFLNK",
        raw::S_IFCHR => "S_IFCHR",
        raw::S_IFBLK => "S_IFBLK",
        raw::S_IFIFO => "S_IFIFO",
        raw::S_IFSOCK => "S_IFSOCK",
        _ => "0",
    };
    let special = [(raw::S_ISUID, "|S_ISUID"), (raw::S_ISGID, "|S_ISGID"), (raw::S_ISVTX, "|S_ISVTX")];
    out.push_str(kind);
    special.iter().filter(|(bit, _)| mode & bit != 0).for_each(|(_, name)| out.push_str(name));
    show(out, format_args!("|0{:o}", mode & 0o777));
}

fn write_clone(out: &mut String, bits: u64, signal: u32) {
    if bits != 0 {
        write_bits(out, flags::CLONE, bits, false);
    }
    if signal != 0 || bits == 0 {
        out.push_str(if bits != 0 { "|" } else { "" });
        write_signal(out, signal);
    }
}

fn write_status(out: &mut String, status: i32) {
    let (signal, code) = (status & 0x7f, status >> 8 & 0xff);
    match (signal, status & 0xff) {
        (0, _) => show(out, format_args!("[{{WIFEXITED(s) && WEXITSTATUS(s) == {code}}}]")),
        (_, 0x7f) if status == 0xffff => out.push_str("[{WIFCONTINUED(s)}]"),
        (_, 0x7f) => {
            out.push_str("[{WIFSTOPPED(s) && WSTOPSIG(s) == ");
            write_signal(out, code as u32);
            out.push_str("}]");
        }
        _ => {
            out.push_str("[{WIFSIGNALED(s) && WTERMSIG(s) == ");
            write_signal(out, signal as u32);
            out.push_str("}]");
        }
    }
}

fn write_vectors(out: &mut String, address: usize, count: usize, mut left: usize) -> Option<()> {
    out.push('[');
    for index in 0..count.min(16) {
        let [base, len]: [u64; 2] = user::read(address + index * 16).ok()?;
        out.push_str(if index > 0 { ", {iov_base=" } else { "{iov_base=" });
        let here = (len as usize).min(left);
        left = left.saturating_sub(here);
        if write_bytes(out, base as usize, here).is_none() {
            show(out, format_args!("{base:#x}"));
        }
        show(out, format_args!(", iov_len={len}}}"));
    }
    out.push(']');
    Some(())
}

fn write_polls(out: &mut String, address: usize, count: usize, after: bool) {
    out.push('[');
    let mut any = false;
    for index in 0..count.min(32) {
        let Ok([low, high, events, revents]) = user::read::<[u16; 4]>(address + index * 8) else { break };
        let fd = (u32::from(low) | u32::from(high) << 16) as i32;
        if after && revents == 0 {
            continue;
        }
        out.push_str(if any { ", " } else { "" });
        any = true;
        show(out, format_args!("{{fd={fd}, "));
        out.push_str(if after { "revents=" } else { "events=" });
        write_bits(out, flags::POLL_EVENTS, u64::from(if after { revents } else { events }), false);
        out.push('}');
    }
    out.push(']');
}

fn write_epoll(out: &mut String, [events, low, high]: [u32; 3]) {
    out.push_str("{events=");
    write_bits(out, flags::EPOLL_EVENTS, u64::from(events), false);
    show(out, format_args!(", data={:#x}}}", u64::from(low) | u64::from(high) << 32));
}

fn write_address(out: &mut String, address: usize, len: usize) -> Option<()> {
    let bytes: Vec<u8> = user::read_vec(address, len.min(128)).ok()?;
    let family = bytes.get(..2).map_or(0, |family| u16::from_le_bytes([family[0], family[1]]));
    out.push_str("{sa_family=");
    write_one(out, flags::DOMAIN, u64::from(family));
    let port = bytes.get(2..4).map_or(0, |port| u16::from_be_bytes([port[0], port[1]]));
    match (u32::from(family), bytes.len()) {
        (linux_raw_sys::net::AF_UNIX, 3..) => {
            let path = &bytes[2..];
            out.push_str(", sun_path=");
            match path[0] {
                0 => {
                    out.push('@');
                    write_quoted(out, &path[1..]);
                }
                _ => write_quoted(out, path.split(|byte| *byte == 0).next().unwrap_or(path)),
            }
        }
        (linux_raw_sys::net::AF_INET, 8..) => {
            let [a, b, c, d] = [bytes[4], bytes[5], bytes[6], bytes[7]];
            show(out, format_args!(", sin_port=htons({port}), sin_addr=inet_addr(\"{a}.{b}.{c}.{d}\")"));
        }
        (linux_raw_sys::net::AF_INET6, 24..) => {
            let parts: [u8; 16] = bytes[8..24].try_into().ok()?;
            show(
                out,
                format_args!(", sin6_port=htons({port}), sin6_addr={}", core::net::Ipv6Addr::from(parts)),
            );
        }
        _ => {}
    }
    out.push('}');
    Some(())
}
