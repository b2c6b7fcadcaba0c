//! Names of flags, of constants and of signals, as strace prints them.

use crate::signal::{SIGRTMIN, SigInfo};
use alloc::string::String;
use core::fmt::Write;
use linux_raw_sys::{general as raw, ioctl, net, prctl};

/// Values and their names.
pub(super) type Names = &'static [(u64, &'static str)];

macro_rules! names {
    ($module:ident: $($name:ident)*) => {
        &[$(($module::$name as u64, stringify!($name))),*]
    };
}

pub(super) const SI_KERNEL: i32 = raw::SI_KERNEL as i32;

pub(super) static OPEN: Names = names![raw: O_CREAT O_EXCL O_NOCTTY O_TRUNC O_APPEND O_NONBLOCK O_SYNC O_DSYNC
    O_TMPFILE O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_PATH O_DIRECT O_LARGEFILE O_NOATIME FASYNC];
pub(super) static PROT: Names =
    names![raw: PROT_NONE PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP];
pub(super) static MAP: Names = names![raw: MAP_FIXED MAP_ANONYMOUS MAP_GROWSDOWN MAP_DENYWRITE MAP_EXECUTABLE MAP_LOCKED
    MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE];
pub(super) static MREMAP: Names = names![raw: MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP];
pub(super) static MSYNC: Names = names![raw: MS_ASYNC MS_INVALIDATE MS_SYNC];
pub(super) static ADVICE: Names = names![raw: MADV_NORMAL MADV_RANDOM MADV_SEQUENTIAL MADV_WILLNEED MADV_DONTNEED
    MADV_FREE MADV_REMOVE MADV_DONTFORK MADV_DOFORK MADV_HUGEPAGE MADV_NOHUGEPAGE MADV_DONTDUMP MADV_DODUMP
    MADV_WIPEONFORK MADV_KEEPONFORK MADV_COLD MADV_PAGEOUT MADV_POPULATE_READ MADV_POPULATE_WRITE MADV_COLLAPSE];
pub(super) static AT: Names =
    names![raw: AT_SYMLINK_NOFOLLOW AT_SYMLINK_FOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH];
pub(super) static AT_UNLINK: Names = names![raw: AT_REMOVEDIR];
pub(super) static AT_ACCESS: Names = names![raw: AT_EACCESS AT_SYMLINK_NOFOLLOW AT_EMPTY_PATH];
pub(super) static ACCESS: Names = names![raw: F_OK R_OK W_OK X_OK];
pub(super) static STATX: Names = names![raw: STATX_BTIME STATX_MNT_ID STATX_DIOALIGN];
pub(super) static WHENCE: Names = names![raw: SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE];
pub(super) static CLOEXEC: Names = names![raw: O_CLOEXEC O_NONBLOCK O_DIRECT];
pub(super) static EVENTFD: Names =
    &[(1, "EFD_SEMAPHORE"), (0o4000, "EFD_NONBLOCK"), (0o2_000_000, "EFD_CLOEXEC")];
pub(super) static EPOLL: Names = names![raw: EPOLL_CLOEXEC];
pub(super) static EPOLL_OP: Names = names![raw: EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD];
pub(super) static EPOLL_EVENTS: Names = names![raw: EPOLLIN EPOLLPRI EPOLLOUT EPOLLERR EPOLLHUP EPOLLRDNORM EPOLLWRNORM
    EPOLLRDHUP EPOLLEXCLUSIVE EPOLLWAKEUP EPOLLONESHOT EPOLLET];
pub(super) static POLL_EVENTS: Names =
    names![raw: POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDHUP];
pub(super) static CLONE: Names = names![raw: CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE
    CLONE_VFORK CLONE_PARENT CLONE_THREAD CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID
    CLONE_CHILD_CLEARTID CLONE_DETACHED CLONE_UNTRACED CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC
    CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO];
pub(super) static WAIT: Names =
    names![raw: WNOHANG WUNTRACED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WALL __WCLONE];
pub(super) static MASK_HOW: Names = names![raw: SIG_BLOCK SIG_UNBLOCK SIG_SETMASK];
pub(super) static SIGACTION: Names = names![raw: SA_NOCLDSTOP SA_NOCLDWAIT SA_SIGINFO SA_RESTORER SA_ONSTACK SA_RESTART
    SA_NODEFER SA_RESETHAND];
pub(super) static CLOCK: Names = names![raw: CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID
    CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME
    CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI];
pub(super) static TIMER: Names = names![raw: TIMER_ABSTIME];
pub(super) static FUTEX: Names = names![raw: FUTEX_WAIT FUTEX_WAKE FUTEX_FD FUTEX_REQUEUE FUTEX_CMP_REQUEUE FUTEX_WAKE_OP
    FUTEX_LOCK_PI FUTEX_UNLOCK_PI FUTEX_TRYLOCK_PI FUTEX_WAIT_BITSET FUTEX_WAKE_BITSET FUTEX_WAIT_REQUEUE_PI
    FUTEX_CMP_REQUEUE_PI FUTEX_LOCK_PI2];
pub(super) static RANDOM: Names = names![raw: GRND_NONBLOCK GRND_RANDOM GRND_INSECURE];
pub(super) static MEMFD: Names =
    names![raw: MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB MFD_NOEXEC_SEAL MFD_EXEC];
pub(super) static FLOCK: Names = names![raw: LOCK_SH LOCK_EX LOCK_NB LOCK_UN];
pub(super) static RLIMIT: Names = names![raw: RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS
    RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE
    RLIMIT_RTPRIO RLIMIT_RTTIME];
pub(super) static FCNTL: Names = names![raw: F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN
    F_GETOWN F_SETSIG F_GETSIG F_SETOWN_EX F_GETOWN_EX F_OFD_GETLK F_OFD_SETLK F_OFD_SETLKW F_SETLEASE F_GETLEASE
    F_NOTIFY F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS];
pub(super) static IOCTL: Names = names![ioctl: TCGETS TCSETS TCSETSW TCSETSF TCGETA TCSETA TCSBRK TCXONC TCFLSH TIOCEXCL
    TIOCNXCL TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCSTI TIOCGWINSZ TIOCSWINSZ FIONREAD FIONBIO TIOCNOTTY TIOCGSID
    TIOCGPTN TIOCSPTLCK TIOCGPTPEER FIONCLEX FIOCLEX FIOASYNC];
pub(super) static DOMAIN: Names = names![net: AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET];
pub(super) static SOCKET: Names = names![net: SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET];
pub(super) static SOCKET_FLAGS: Names = &[(0o4000, "SOCK_NONBLOCK"), (0o2_000_000, "SOCK_CLOEXEC")];
pub(super) static TIMERFD: Names = &[(0o4000, "TFD_NONBLOCK"), (0o2_000_000, "TFD_CLOEXEC")];
pub(super) static SIGNALFD: Names = &[(0o4000, "SFD_NONBLOCK"), (0o2_000_000, "SFD_CLOEXEC")];
pub(super) static INOTIFY_INIT: Names = &[(0o4000, "IN_NONBLOCK"), (0o2_000_000, "IN_CLOEXEC")];
pub(super) static MESSAGE: Names = names![net: MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR
    MSG_WAITALL MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_CMSG_CLOEXEC];
pub(super) static SHUTDOWN: Names = &[(0, "SHUT_RD"), (1, "SHUT_WR"), (2, "SHUT_RDWR")];
pub(super) static LEVEL: Names =
    &[(1, "SOL_SOCKET"), (0, "SOL_IP"), (6, "SOL_TCP"), (17, "SOL_UDP"), (41, "SOL_IPV6")];
pub(super) static SOCKET_OPTION: Names = names![net: SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST
    SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_OOBINLINE SO_PRIORITY SO_LINGER SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_RCVLOWAT
    SO_SNDLOWAT SO_BINDTODEVICE SO_TIMESTAMP SO_ACCEPTCONN SO_PROTOCOL SO_DOMAIN];
pub(super) static PRCTL: Names = names![prctl: PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE
    PR_GET_KEEPCAPS PR_SET_KEEPCAPS PR_SET_NAME PR_GET_NAME PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP
    PR_SET_TIMERSLACK PR_GET_TIMERSLACK PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS
    PR_GET_NO_NEW_PRIVS PR_SET_THP_DISABLE PR_GET_THP_DISABLE PR_CAP_AMBIENT PR_SET_VMA PR_SET_MM];
pub(super) static ARCH_PRCTL: Names = &[
    (0x1001, "ARCH_SET_GS"),
    (0x1002, "ARCH_SET_FS"),
    (0x1003, "ARCH_GET_FS"),
    (0x1004, "ARCH_GET_GS"),
    (0x1011, "ARCH_GET_CPUID"),
    (0x1012, "ARCH_SET_CPUID"),
    (0x3001, "ARCH_CET_STATUS"),
    (0x5001, "ARCH_SHSTK_ENABLE"),
];
pub(super) static INOTIFY: Names = names![raw: IN_ACCESS IN_MODIFY IN_ATTRIB IN_CLOSE_WRITE IN_CLOSE_NOWRITE IN_OPEN
    IN_MOVED_FROM IN_MOVED_TO IN_CREATE IN_DELETE IN_DELETE_SELF IN_MOVE_SELF IN_ONLYDIR IN_DONT_FOLLOW IN_EXCL_UNLINK
    IN_MASK_ADD IN_ISDIR IN_ONESHOT];
pub(super) static RENAME: Names = names![raw: RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT];
pub(super) static ITIMER: Names = names![raw: ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF];
pub(super) static USAGE: Names =
    &[(0, "RUSAGE_SELF"), (0xffff_ffff, "RUSAGE_CHILDREN"), (1, "RUSAGE_THREAD")];
pub(super) static SPLICE: Names = names![raw: SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE SPLICE_F_GIFT];
pub(super) static FALLOCATE: Names = names![raw: FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_COLLAPSE_RANGE
    FALLOC_FL_ZERO_RANGE FALLOC_FL_INSERT_RANGE];

static SIGNALS: [&str; 32] = [
    "0",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// The name of a signal; those without one of their own count from SIGRTMIN, as the kernel has it.
pub(super) fn write_signal(out: &mut String, signo: u32) {
    match SIGNALS.get(signo as usize) {
        Some(name) => out.push_str(name),
        None if signo == SIGRTMIN => out.push_str("SIGRTMIN"),
        None if (SIGRTMIN..65).contains(&signo) => {
            let _ = write!(out, "SIGRT_{}", signo - SIGRTMIN);
        }
        None => {
            let _ = write!(out, "{}", signo as i32);
        }
    }
}

/// A set of signals: the names without SIG, or with ~ those that are missing.
pub(super) fn write_signal_set(out: &mut String, set: u64) {
    let invert = set.count_ones() > 32;
    out.push_str(if invert { "~[" } else { "[" });
    let shown = if invert { !set } else { set };
    let mut first = true;
    for signo in (1..65).filter(|signo| shown >> (signo - 1) & 1 != 0) {
        if !first {
            out.push(' ');
        }
        first = false;
        let mut name = String::new();
        write_signal(&mut name, signo);
        out.push_str(name.strip_prefix("SIG").unwrap_or(&name));
    }
    out.push(']');
}

/// What `si_code` says.
pub(super) fn write_code(out: &mut String, info: &SigInfo) {
    let own: &[&str] = match info.signo {
        raw::SIGSEGV => &["SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR"],
        raw::SIGBUS => &["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR"],
        raw::SIGFPE => &["FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES"],
        raw::SIGILL => &["ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC", "ILL_PRVREG"],
        raw::SIGTRAP => &["TRAP_BRKPT", "TRAP_TRACE"],
        raw::SIGCHLD => {
            &["CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"]
        }
        raw::SIGSYS => &["SYS_SECCOMP", "SYS_USER_DISPATCH"],
        _ => &[],
    };
    let name = match info.code {
        0 => "SI_USER",
        SI_KERNEL => "SI_KERNEL",
        -1 => "SI_QUEUE",
        -2 => "SI_TIMER",
        -3 => "SI_MESGQ",
        -5 => "SI_SIGIO",
        -6 => "SI_TKILL",
        code => match usize::try_from(code - 1).ok().and_then(|index| own.get(index)) {
            Some(name) => name,
            None => {
                let _ = write!(out, "{code}");
                return;
            }
        },
    };
    out.push_str(name);
}

/// The one name of a value, or its number.
pub(super) fn write_one(out: &mut String, names: Names, value: u64) {
    let _ = match names.iter().find(|(other, _)| *other == value) {
        Some((_, name)) => out.write_str(name),
        None => write!(out, "{value:#x}"),
    };
}

/// The names of all bits that are set, and what is left as a number. `started`: something stands there already.
pub(super) fn write_bits(out: &mut String, names: Names, value: u64, started: bool) {
    let mut left = value;
    let mut any = started;
    for (bits, name) in names {
        if *bits != 0 && left & bits == *bits {
            out.push_str(if any { "|" } else { "" });
            out.push_str(name);
            left &= !bits;
            any = true;
        }
    }
    if left != 0 || !any {
        let zero = names.iter().find(|(bits, _)| *bits == 0 && value == 0);
        let _ = match zero {
            Some((_, name)) => out.write_str(name),
            None => write!(out, "{}{left:#x}", if any { "|" } else { "" }),
        };
        if left == 0 && zero.is_none() {
            // strace writes no 0x before a lone zero.
            out.truncate(out.len() - 3);
            out.push('0');
        }
    }
}
