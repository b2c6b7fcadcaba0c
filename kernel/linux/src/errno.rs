//! Error numbers, and how kernel code names a failure.

use core::fmt;

/// A Linux error number, 1..=4095, as in errno(3). The values come from the kernel's own headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u16);

/// What a system call gives back: the value of `rax`, or an error number.
pub type SysResult = Result<usize, Errno>;

macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(pub const $name: Errno = Errno(linux_raw_sys::errno::$name as u16);)*

            /// The symbolic name, as errno(3) spells it.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    Self::ERESTARTSYS => Some("ERESTARTSYS"),
                    Self::ERESTARTNOINTR => Some("ERESTARTNOINTR"),
                    Self::ERESTARTNOHAND => Some("ERESTARTNOHAND"),
                    Self::ERESTART_RESTARTBLOCK => Some("ERESTART_RESTARTBLOCK"),
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM
    ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ENODATA ETIME EPROTO EOVERFLOW EILSEQ
    ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN
    ENOTCONN ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE ECANCELED EOWNERDEAD
    ENOTRECOVERABLE EUSERS EBADMSG ELIBBAD ETOOMANYREFS
}

/// Restart codes: never seen by an application. The signal path turns them into EINTR or into the call once more.
impl Errno {
    /// Restart if the handler has SA_RESTART or there is none; else EINTR.
    pub const ERESTARTSYS: Errno = Errno(512);
    /// Restart in any case, after the handler if one runs.
    pub const ERESTARTNOINTR: Errno = Errno(513);
    /// Restart only if no handler runs; else EINTR.
    pub const ERESTARTNOHAND: Errno = Errno(514);
    /// Restart by restart_syscall(2), which keeps the deadline, if no handler runs; else EINTR.
    pub const ERESTART_RESTARTBLOCK: Errno = Errno(516);
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}
