//! The table of system calls: every call of x86-64 Linux, by number.
//!
//! A row gives number, name and arguments, the family file that holds the function, and whether it is done or what is
//! missing. `absent` lists the rest, which are ENOSYS. docs/system-calls.md is generated from here, and tested.

use super::FromReg;
use crate::errno::{Errno, SysResult};
use crate::task::Task;
use alloc::sync::Arc;

/// How complete a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Done,
    /// Served but for this.
    Partial(&'static str),
    Absent,
}

/// What the table says of a call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub number: u64,
    pub name: &'static str,
    /// Names and types of the arguments.
    pub args: &'static [(&'static str, &'static str)],
    /// The file under `syscall/`.
    pub family: &'static str,
    pub status: Status,
}

macro_rules! status {
    (Done) => {
        Status::Done
    };
    (Partial $note:literal) => {
        Status::Partial($note)
    };
}

macro_rules! syscalls {
    ($($number:literal $name:ident($($arg:ident: $ty:ty),*) in $family:ident $status:ident $($note:literal)?;)*) => {
        /// The calls that are served, by number.
        pub static SERVED: &[Row] = &[$(Row {
            number: $number,
            name: stringify!($name),
            args: &[$((stringify!($arg), stringify!($ty))),*],
            family: stringify!($family),
            status: status!($status $($note)?),
        }),*];

        /// Makes the call.
        pub fn dispatch(t: &Arc<Task>, number: u64, args: &[usize; 6]) -> SysResult {
            match number {
                $($number => {
                    let mut registers = args.iter().copied();
                    let mut next = || registers.next().unwrap_or(0);
                    let _ = &mut next;
                    super::$family::$name(t, $(<$ty as FromReg>::from_reg(next())),*)
                })*
                _ => Err(Errno::ENOSYS),
            }
        }
    };
}

macro_rules! absent {
    ($($number:literal $name:ident;)*) => {
        /// The calls that are not served: number and name.
        pub static ABSENT: &[(u64, &str)] = &[$(($number, stringify!($name))),*];
    };
}

/// The row of a served call.
pub fn row(number: u64) -> Option<&'static Row> {
    SERVED.binary_search_by_key(&number, |row| row.number).ok().map(|index| &SERVED[index])
}

syscalls! {
    0 read(fd: i32, buf: usize, count: usize) in io Done;
    1 write(fd: i32, buf: usize, count: usize) in io Done;
    2 open(path: usize, flags: u32, mode: u32) in open Done;
    3 close(fd: i32) in open Done;
    4 stat(path: usize, statbuf: usize) in stat Done;
    5 fstat(fd: i32, statbuf: usize) in stat Done;
    6 lstat(path: usize, statbuf: usize) in stat Done;
    7 poll(fds: usize, nfds: u32, timeout: i32) in poll Done;
    8 lseek(fd: i32, offset: i64, whence: u32) in io Done;
    9 mmap(addr: usize, len: usize, prot: u32, flags: u32, fd: i32, offset: u64) in mem Partial "MAP_HUGETLB is ENOMEM";
    10 mprotect(addr: usize, len: usize, prot: u32) in mem Done;
    11 munmap(addr: usize, len: usize) in mem Done;
    12 brk(brk: usize) in mem Done;
    13 rt_sigaction(signum: i32, act: usize, oldact: usize, sigsetsize: usize) in signal Done;
    14 rt_sigprocmask(how: u32, set: usize, oldset: usize, sigsetsize: usize) in signal Done;
    15 rt_sigreturn() in signal Done;
    16 ioctl(fd: i32, command: u32, argument: usize) in descriptor Done;
    17 pread64(fd: i32, buf: usize, count: usize, offset: i64) in io Done;
    18 pwrite64(fd: i32, buf: usize, count: usize, offset: i64) in io Done;
    19 readv(fd: i32, iov: usize, iovcnt: usize) in io Done;
    20 writev(fd: i32, iov: usize, iovcnt: usize) in io Done;
    21 access(path: usize, mode: u32) in stat Done;
    22 pipe(pipefd: usize) in pipe Done;
    23 select(nfds: i32, readfds: usize, writefds: usize, exceptfds: usize, timeout: usize) in poll Done;
    24 sched_yield() in process Done;
    25 mremap(old_addr: usize, old_len: usize, new_len: usize, flags: u32, new_addr: usize) in mem Done;
    26 msync(addr: usize, len: usize, flags: u32) in mem Done;
    27 mincore(addr: usize, len: usize, vector: usize) in mem Done;
    28 madvise(addr: usize, len: usize, advice: u32) in mem Partial "advice about poisoned pages is EINVAL";
    29 shmget(key: i32, size: usize, shmflg: u32) in ipc Done;
    30 shmat(shmid: i32, shmaddr: usize, shmflg: u32) in ipc Done;
    31 shmctl(shmid: i32, cmd: u32, buf: usize) in ipc Done;
    32 dup(oldfd: i32) in descriptor Done;
    33 dup2(oldfd: i32, newfd: i32) in descriptor Done;
    34 pause() in signal Done;
    35 nanosleep(req: usize, rem: usize) in time Done;
    36 getitimer(which: u32, curr_value: usize) in time Done;
    37 alarm(seconds: u32) in time Done;
    38 setitimer(which: u32, new_value: usize, old_value: usize) in time Done;
    39 getpid() in misc Done;
    40 sendfile(out_fd: i32, in_fd: i32, offset: usize, count: usize) in copy Done;
    41 socket(domain: i32, kind: u32, protocol: i32) in socket Done;
    42 connect(sockfd: i32, addr: usize, addrlen: i32) in socket Done;
    43 accept(sockfd: i32, addr: usize, addrlen: usize) in socket Done;
    44 sendto(sockfd: i32, buf: usize, len: usize, flags: u32, dest_addr: usize, addrlen: i32) in socket Done;
    45 recvfrom(sockfd: i32, buf: usize, len: usize, flags: u32, src_addr: usize, addrlen: usize) in socket Done;
    46 sendmsg(sockfd: i32, msg: usize, flags: u32) in socket Done;
    47 recvmsg(sockfd: i32, msg: usize, flags: u32) in socket Done;
    48 shutdown(sockfd: i32, how: u32) in socket Done;
    49 bind(sockfd: i32, addr: usize, addrlen: i32) in socket Done;
    50 listen(sockfd: i32, backlog: i32) in socket Done;
    51 getsockname(sockfd: i32, addr: usize, addrlen: usize) in socket Done;
    52 getpeername(sockfd: i32, addr: usize, addrlen: usize) in socket Done;
    53 socketpair(domain: i32, kind: u32, protocol: i32, sv: usize) in socket Done;
    54 setsockopt(sockfd: i32, level: u32, optname: u32, optval: usize, optlen: i32) in socket Partial "options that the kernel would not act on are ENOPROTOOPT";
    55 getsockopt(sockfd: i32, level: u32, optname: u32, optval: usize, optlen: usize) in socket Partial "options that the kernel does not have are ENOPROTOOPT";
    56 clone(flags: u64, stack: usize, parent_tid: usize, child_tid: usize, tls: u64) in process Partial "no namespaces (EPERM)";
    57 fork() in process Done;
    58 vfork() in process Done;
    59 execve(path: usize, argv: usize, envp: usize) in process Done;
    60 exit(code: i32) in process Done;
    61 wait4(pid: i32, status: usize, options: u32, usage: usize) in process Done;
    62 kill(pid: i32, sig: i32) in signal Done;
    63 uname(buf: usize) in misc Done;
    64 semget(key: i32, nsems: i32, semflg: u32) in ipc Done;
    65 semop(semid: i32, sops: usize, nsops: usize) in ipc Done;
    66 semctl(semid: i32, semnum: i32, cmd: u32, argument: usize) in ipc Done;
    67 shmdt(shmaddr: usize) in ipc Done;
    68 msgget(key: i32, msgflg: u32) in ipc Done;
    69 msgsnd(msqid: i32, msgp: usize, msgsz: usize, msgflg: u32) in ipc Done;
    70 msgrcv(msqid: i32, msgp: usize, msgsz: usize, msgtyp: i64, msgflg: u32) in ipc Done;
    71 msgctl(msqid: i32, cmd: u32, buf: usize) in ipc Done;
    72 fcntl(fd: i32, command: u32, argument: usize) in descriptor Partial "no F_NOTIFY, no leases on volumes";
    73 flock(fd: i32, operation: u32) in descriptor Done;
    74 fsync(fd: i32) in space Done;
    75 fdatasync(fd: i32) in space Done;
    76 truncate(path: usize, length: i64) in attributes Done;
    77 ftruncate(fd: i32, length: i64) in attributes Done;
    78 getdents(fd: i32, dirp: usize, count: u32) in open Done;
    79 getcwd(buf: usize, size: usize) in open Done;
    80 chdir(path: usize) in open Done;
    81 fchdir(fd: i32) in open Done;
    82 rename(old_path: usize, new_path: usize) in names Done;
    83 mkdir(path: usize, mode: u32) in names Done;
    84 rmdir(path: usize) in names Done;
    85 creat(path: usize, mode: u32) in open Done;
    86 link(old_path: usize, new_path: usize) in names Done;
    87 unlink(path: usize) in names Done;
    88 symlink(target: usize, path: usize) in names Done;
    89 readlink(path: usize, buf: usize, bufsiz: i32) in stat Done;
    90 chmod(path: usize, mode: u32) in attributes Done;
    91 fchmod(fd: i32, mode: u32) in attributes Done;
    92 chown(path: usize, owner: u32, group: u32) in attributes Done;
    93 fchown(fd: i32, owner: u32, group: u32) in attributes Done;
    94 lchown(path: usize, owner: u32, group: u32) in attributes Done;
    95 umask(mask: u32) in open Done;
    96 gettimeofday(tv: usize, tz: usize) in time Done;
    97 getrlimit(resource: u32, rlim: usize) in misc Done;
    98 getrusage(who: i32, usage: usize) in misc Partial "no page faults, no transfers";
    99 sysinfo(info: usize) in misc Partial "no load averages, no buffers";
    100 times(buf: usize) in time Done;
    101 ptrace(request: u32, pid: i32, addr: usize, data: usize) in ptrace Partial "no hardware breakpoints, SYSEMU, PEEKSIGINFO; the real parent of a tracee hears of its end at once";
    102 getuid() in cred Done;
    103 syslog(kind: i32, buf: usize, len: i32) in misc Partial "a guest has no kernel log (EPERM)";
    104 getgid() in cred Done;
    105 setuid(uid: u32) in cred Done;
    106 setgid(gid: u32) in cred Done;
    107 geteuid() in cred Done;
    108 getegid() in cred Done;
    109 setpgid(pid: i32, pgid: i32) in misc Done;
    110 getppid() in misc Done;
    111 getpgrp() in misc Done;
    112 setsid() in misc Done;
    113 setreuid(ruid: u32, euid: u32) in cred Done;
    114 setregid(rgid: u32, egid: u32) in cred Done;
    115 getgroups(size: i32, list: usize) in cred Done;
    116 setgroups(size: usize, list: usize) in cred Done;
    117 setresuid(ruid: u32, euid: u32, suid: u32) in cred Done;
    118 getresuid(ruid: usize, euid: usize, suid: usize) in cred Done;
    119 setresgid(rgid: u32, egid: u32, sgid: u32) in cred Done;
    120 getresgid(rgid: usize, egid: usize, sgid: usize) in cred Done;
    121 getpgid(pid: i32) in misc Done;
    122 setfsuid(fsuid: u32) in cred Done;
    123 setfsgid(fsgid: u32) in cred Done;
    124 getsid(pid: i32) in misc Done;
    125 capget(hdrp: usize, datap: usize) in cred Done;
    126 capset(hdrp: usize, datap: usize) in cred Done;
    127 rt_sigpending(set: usize, sigsetsize: usize) in signal Done;
    128 rt_sigtimedwait(set: usize, info: usize, timeout: usize, sigsetsize: usize) in signal Done;
    129 rt_sigqueueinfo(tgid: i32, sig: i32, uinfo: usize) in signal Done;
    130 rt_sigsuspend(mask: usize, sigsetsize: usize) in signal Done;
    131 sigaltstack(ss: usize, old_ss: usize) in signal Done;
    132 utime(path: usize, times: usize) in attributes Done;
    133 mknod(path: usize, mode: u32, dev: u64) in names Done;
    135 personality(persona: u32) in cred Partial "only PER_LINUX32 (the machine name) and ADDR_NO_RANDOMIZE are acted on";
    137 statfs(path: usize, buf: usize) in stat Done;
    138 fstatfs(fd: i32, buf: usize) in stat Done;
    140 getpriority(which: u32, who: i32) in sched Done;
    141 setpriority(which: u32, who: i32, prio: i32) in sched Partial "kept and told; the scheduler gives equal turns";
    142 sched_setparam(pid: i32, param: usize) in sched Partial "kept and told; the scheduler gives equal turns";
    143 sched_getparam(pid: i32, param: usize) in sched Done;
    144 sched_setscheduler(pid: i32, policy: i32, param: usize) in sched Partial "kept and told; the scheduler gives equal turns";
    145 sched_getscheduler(pid: i32) in sched Done;
    146 sched_get_priority_max(policy: u32) in sched Done;
    147 sched_get_priority_min(policy: u32) in sched Done;
    148 sched_rr_get_interval(pid: i32, tp: usize) in sched Done;
    149 mlock(addr: usize, len: usize) in mem Done;
    150 munlock(addr: usize, len: usize) in mem Done;
    151 mlockall(flags: u32) in mem Done;
    152 munlockall() in mem Done;
    153 vhangup() in tty Done;
    154 modify_ldt(func: i32, ptr: usize, bytecount: usize) in misc Partial "an empty table that nothing can be put into (ENOSYS)";
    155 pivot_root(new_root: usize, put_old: usize) in mounts Done;
    157 prctl(option: u32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) in cred Partial "no PR_SET_MM, PR_SET_VMA, speculation or merging options (EINVAL)";
    158 arch_prctl(code: u32, addr: u64) in cred Partial "GS cannot be set (EINVAL)";
    159 adjtimex(buf: usize) in time Partial "reads only: the host steers the clock (EPERM)";
    160 setrlimit(resource: u32, rlim: usize) in misc Done;
    161 chroot(path: usize) in open Done;
    162 sync() in space Done;
    163 acct(name: usize) in misc Partial "EPERM";
    164 settimeofday(tv: usize, tz: usize) in time Partial "the host sets the clock (EPERM)";
    165 mount(source: usize, target: usize, filesystemtype: usize, mountflags: u64, data: usize) in mounts Partial "one namespace: no shared propagation; no overlay";
    166 umount2(target: usize, flags: u32) in mounts Done;
    167 swapon(path: usize, flags: u32) in misc Partial "a guest has no swap (EPERM)";
    168 swapoff(path: usize) in misc Done;
    169 reboot(magic1: u32, magic2: u32, cmd: u32, arg: usize) in misc Partial "the guest ends with its process 1 (EPERM)";
    170 sethostname(name: usize, len: i32) in misc Done;
    171 setdomainname(name: usize, len: i32) in misc Done;
    179 quotactl(cmd: u32, special: usize, id: u32, addr: usize) in misc Partial "no file system has quotas (ENODEV, ENOTBLK)";
    186 gettid() in misc Done;
    187 readahead(fd: i32, offset: i64, count: usize) in space Done;
    188 setxattr(path: usize, name: usize, value: usize, size: usize, flags: u32) in attributes Partial "no POSIX access lists";
    189 lsetxattr(path: usize, name: usize, value: usize, size: usize, flags: u32) in attributes Partial "no POSIX access lists";
    190 fsetxattr(fd: i32, name: usize, value: usize, size: usize, flags: u32) in attributes Partial "no POSIX access lists";
    191 getxattr(path: usize, name: usize, value: usize, size: usize) in attributes Done;
    192 lgetxattr(path: usize, name: usize, value: usize, size: usize) in attributes Done;
    193 fgetxattr(fd: i32, name: usize, value: usize, size: usize) in attributes Done;
    194 listxattr(path: usize, list: usize, size: usize) in attributes Done;
    195 llistxattr(path: usize, list: usize, size: usize) in attributes Done;
    196 flistxattr(fd: i32, list: usize, size: usize) in attributes Done;
    197 removexattr(path: usize, name: usize) in attributes Done;
    198 lremovexattr(path: usize, name: usize) in attributes Done;
    199 fremovexattr(fd: i32, name: usize) in attributes Done;
    200 tkill(tid: i32, sig: i32) in signal Done;
    201 time(tloc: usize) in time Done;
    202 futex(uaddr: usize, op: u32, val: u32, timeout: usize, uaddr2: usize, val3: u32) in process Partial "no priority is inherited; FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI are ENOSYS";
    203 sched_setaffinity(pid: i32, cpusetsize: u32, mask: usize) in sched Partial "kept and told; the scheduler uses any vCPU";
    204 sched_getaffinity(pid: i32, cpusetsize: u32, mask: usize) in sched Done;
    206 io_setup(nr_events: u32, ctxp: usize) in aio Done;
    207 io_destroy(ctx: usize) in aio Done;
    208 io_getevents(ctx: usize, min_nr: isize, nr: isize, events: usize, timeout: usize) in aio Done;
    209 io_submit(ctx: usize, nr: isize, iocbpp: usize) in aio Done;
    210 io_cancel(ctx: usize, iocb: usize, result: usize) in aio Done;
    213 epoll_create(size: i32) in epoll Done;
    217 getdents64(fd: i32, dirp: usize, count: u32) in open Done;
    218 set_tid_address(tidptr: usize) in misc Done;
    219 restart_syscall() in signal Done;
    220 semtimedop(semid: i32, sops: usize, nsops: usize, timeout: usize) in ipc Done;
    221 fadvise64(fd: i32, offset: i64, len: i64, advice: u32) in space Done;
    222 timer_create(clockid: i32, sevp: usize, timerid: usize) in time Partial "no alarm clocks that wake the host (EOPNOTSUPP)";
    223 timer_settime(timerid: i32, flags: u32, new_value: usize, old_value: usize) in time Done;
    224 timer_gettime(timerid: i32, curr_value: usize) in time Done;
    225 timer_getoverrun(timerid: i32) in time Done;
    226 timer_delete(timerid: i32) in time Done;
    227 clock_settime(clockid: i32, tp: usize) in time Partial "the host sets the clock (EPERM)";
    228 clock_gettime(clockid: i32, tp: usize) in time Done;
    229 clock_getres(clockid: i32, res: usize) in time Done;
    230 clock_nanosleep(clockid: i32, flags: u32, request: usize, remain: usize) in time Done;
    231 exit_group(code: i32) in process Done;
    232 epoll_wait(epfd: i32, events: usize, maxevents: i32, timeout: i32) in epoll Done;
    233 epoll_ctl(epfd: i32, operation: u32, fd: i32, event: usize) in epoll Done;
    234 tgkill(tgid: i32, tid: i32, sig: i32) in signal Done;
    235 utimes(path: usize, times: usize) in attributes Done;
    240 mq_open(name: usize, oflag: u32, mode: u32, attr: usize) in mqueue Done;
    241 mq_unlink(name: usize) in mqueue Done;
    242 mq_timedsend(mqdes: i32, msg_ptr: usize, msg_len: usize, msg_prio: u32, abs_timeout: usize) in mqueue Done;
    243 mq_timedreceive(mqdes: i32, msg_ptr: usize, msg_len: usize, msg_prio: usize, abs_timeout: usize) in mqueue Done;
    244 mq_notify(mqdes: i32, sevp: usize) in mqueue Partial "SIGEV_THREAD, which needs a netlink socket";
    245 mq_getsetattr(mqdes: i32, newattr: usize, oldattr: usize) in mqueue Done;
    247 waitid(idtype: u32, id: i32, info: usize, options: u32, usage: usize) in process Done;
    251 ioprio_set(which: u32, who: i32, ioprio: u32) in sched Partial "kept and told; the host orders input and output";
    252 ioprio_get(which: u32, who: i32) in sched Done;
    253 inotify_init() in inotify Done;
    254 inotify_add_watch(fd: i32, path: usize, mask: u32) in inotify Done;
    255 inotify_rm_watch(fd: i32, wd: i32) in inotify Done;
    257 openat(dirfd: i32, path: usize, flags: u32, mode: u32) in open Done;
    258 mkdirat(dirfd: i32, path: usize, mode: u32) in names Done;
    259 mknodat(dirfd: i32, path: usize, mode: u32, dev: u64) in names Done;
    260 fchownat(dirfd: i32, path: usize, owner: u32, group: u32, flags: u32) in attributes Done;
    261 futimesat(dirfd: i32, path: usize, times: usize) in attributes Done;
    262 newfstatat(dirfd: i32, path: usize, statbuf: usize, flags: u32) in stat Done;
    263 unlinkat(dirfd: i32, path: usize, flags: u32) in names Done;
    264 renameat(olddirfd: i32, old_path: usize, newdirfd: i32, new_path: usize) in names Done;
    265 linkat(olddirfd: i32, old_path: usize, newdirfd: i32, new_path: usize, flags: u32) in names Done;
    266 symlinkat(target: usize, newdirfd: i32, path: usize) in names Done;
    267 readlinkat(dirfd: i32, path: usize, buf: usize, bufsiz: i32) in stat Done;
    268 fchmodat(dirfd: i32, path: usize, mode: u32) in attributes Done;
    269 faccessat(dirfd: i32, path: usize, mode: u32) in stat Done;
    270 pselect6(nfds: i32, readfds: usize, writefds: usize, exceptfds: usize, timeout: usize, sigmask: usize) in poll Done;
    271 ppoll(fds: usize, nfds: u32, timeout: usize, sigmask: usize, sigsetsize: usize) in poll Done;
    272 unshare(flags: u64) in misc Partial "files and directories; no namespaces (EPERM)";
    273 set_robust_list(head: usize, len: usize) in misc Done;
    274 get_robust_list(pid: i32, head_ptr: usize, len_ptr: usize) in misc Done;
    275 splice(fd_in: i32, off_in: usize, fd_out: i32, off_out: usize, len: usize, flags: u32) in copy Done;
    276 tee(fd_in: i32, fd_out: i32, len: usize, flags: u32) in copy Done;
    277 sync_file_range(fd: i32, offset: i64, nbytes: i64, flags: u32) in space Done;
    278 vmsplice(fd: i32, iov: usize, nr_segs: usize, flags: u32) in copy Partial "pages are copied, SPLICE_F_GIFT or not";
    280 utimensat(dirfd: i32, path: usize, times: usize, flags: u32) in attributes Done;
    281 epoll_pwait(epfd: i32, events: usize, maxevents: i32, timeout: i32, sigmask: usize, sigsetsize: usize) in epoll Done;
    282 signalfd(fd: i32, mask: usize, sizemask: usize) in signal Done;
    283 timerfd_create(clockid: u32, flags: u32) in event Done;
    284 eventfd(initval: u32) in event Done;
    285 fallocate(fd: i32, mode: u32, offset: i64, len: i64) in space Done;
    286 timerfd_settime(fd: i32, flags: u32, new_value: usize, old_value: usize) in event Done;
    287 timerfd_gettime(fd: i32, curr_value: usize) in event Done;
    288 accept4(sockfd: i32, addr: usize, addrlen: usize, flags: u32) in socket Done;
    289 signalfd4(fd: i32, mask: usize, sizemask: usize, flags: u32) in signal Done;
    290 eventfd2(initval: u32, flags: u32) in event Done;
    291 epoll_create1(flags: u32) in epoll Done;
    292 dup3(oldfd: i32, newfd: i32, flags: u32) in descriptor Done;
    293 pipe2(pipefd: usize, flags: u32) in pipe Done;
    294 inotify_init1(flags: u32) in inotify Done;
    295 preadv(fd: i32, iov: usize, iovcnt: usize, offset: i64) in io Done;
    296 pwritev(fd: i32, iov: usize, iovcnt: usize, offset: i64) in io Done;
    297 rt_tgsigqueueinfo(tgid: i32, tid: i32, sig: i32, uinfo: usize) in signal Done;
    299 recvmmsg(sockfd: i32, msgvec: usize, vlen: u32, flags: u32, timeout: usize) in socket Done;
    302 prlimit64(pid: i32, resource: u32, new_limit: usize, old_limit: usize) in misc Done;
    305 clock_adjtime(clockid: i32, buf: usize) in time Partial "reads only: the host steers the clock (EPERM)";
    306 syncfs(fd: i32) in space Done;
    307 sendmmsg(sockfd: i32, msgvec: usize, vlen: u32, flags: u32) in socket Done;
    308 setns(fd: i32, nstype: u32) in misc Partial "no namespaces (EINVAL)";
    309 getcpu(cpu: usize, node: usize) in sched Done;
    310 process_vm_readv(pid: i32, lvec: usize, liovcnt: usize, rvec: usize, riovcnt: usize, flags: usize) in ptrace Done;
    311 process_vm_writev(pid: i32, lvec: usize, liovcnt: usize, rvec: usize, riovcnt: usize, flags: usize) in ptrace Done;
    312 kcmp(pid1: i32, pid2: i32, kind: u32, idx1: usize, idx2: usize) in misc Partial "no KCMP_IO, KCMP_SYSVSEM, KCMP_EPOLL_TFD";
    314 sched_setattr(pid: i32, attr: usize, flags: u32) in sched Partial "kept and told; no SCHED_DEADLINE";
    315 sched_getattr(pid: i32, attr: usize, size: u32, flags: u32) in sched Done;
    316 renameat2(olddirfd: i32, old_path: usize, newdirfd: i32, new_path: usize, flags: u32) in names Partial "no RENAME_WHITEOUT";
    317 seccomp(operation: u32, flags: u32, args: usize) in seccomp Partial "no listener (SECCOMP_FILTER_FLAG_NEW_LISTENER)";
    318 getrandom(buf: usize, buflen: usize, flags: u32) in misc Done;
    319 memfd_create(name: usize, flags: u32) in space Partial "no huge pages";
    322 execveat(dirfd: i32, path: usize, argv: usize, envp: usize, flags: u32) in process Done;
    324 membarrier(cmd: u32, flags: u32, cpu_id: i32) in process Done;
    325 mlock2(addr: usize, len: usize, flags: u32) in mem Done;
    326 copy_file_range(fd_in: i32, off_in: usize, fd_out: i32, off_out: usize, len: usize, flags: u32) in copy Done;
    327 preadv2(fd: i32, iov: usize, iovcnt: usize, offset: i64, offset_high: usize, flags: u32) in io Done;
    328 pwritev2(fd: i32, iov: usize, iovcnt: usize, offset: i64, offset_high: usize, flags: u32) in io Done;
    332 statx(dirfd: i32, path: usize, flags: u32, mask: u32, statxbuf: usize) in stat Done;
    333 io_pgetevents(ctx: usize, min_nr: isize, nr: isize, events: usize, timeout: usize, usig: usize) in aio Done;
    334 rseq(rseq: usize, rseq_len: u32, flags: u32, sig: u32) in process Done;
    424 pidfd_send_signal(pidfd: i32, sig: i32, info: usize, flags: u32) in signal Done;
    434 pidfd_open(pid: i32, flags: u32) in signal Partial "no PIDFD_THREAD";
    435 clone3(args: usize, size: usize) in process Partial "no namespaces (EPERM), no set_tid, no cgroup";
    436 close_range(first: u32, last: u32, flags: u32) in open Done;
    437 openat2(dirfd: i32, path: usize, how: usize, size: usize) in open Done;
    438 pidfd_getfd(pidfd: i32, targetfd: i32, flags: u32) in signal Done;
    439 faccessat2(dirfd: i32, path: usize, mode: u32, flags: u32) in stat Done;
    441 epoll_pwait2(epfd: i32, events: usize, maxevents: i32, timeout: usize, sigmask: usize, sigsetsize: usize) in epoll Done;
    449 futex_waitv(waiters: usize, nr_futexes: u32, flags: u32, timeout: usize, clockid: i32) in process Done;
    452 fchmodat2(dirfd: i32, path: usize, mode: u32, flags: u32) in attributes Done;
    454 futex_wake(uaddr: usize, mask: u64, nr: i32, flags: u32) in process Done;
    455 futex_wait(uaddr: usize, val: u64, mask: u64, flags: u32, timeout: usize, clockid: i32) in process Done;
    456 futex_requeue(waiters: usize, flags: u32, nr_wake: i32, nr_requeue: i32) in process Done;
}

absent! {
    134 uselib;
    136 ustat;
    139 sysfs;
    156 _sysctl;
    172 iopl;
    173 ioperm;
    174 create_module;
    175 init_module;
    176 delete_module;
    177 get_kernel_syms;
    178 query_module;
    180 nfsservctl;
    181 getpmsg;
    182 putpmsg;
    183 afs_syscall;
    184 tuxcall;
    185 security;
    205 set_thread_area;
    211 get_thread_area;
    212 lookup_dcookie;
    214 epoll_ctl_old;
    215 epoll_wait_old;
    216 remap_file_pages;
    236 vserver;
    237 mbind;
    238 set_mempolicy;
    239 get_mempolicy;
    246 kexec_load;
    248 add_key;
    249 request_key;
    250 keyctl;
    256 migrate_pages;
    279 move_pages;
    298 perf_event_open;
    300 fanotify_init;
    301 fanotify_mark;
    303 name_to_handle_at;
    304 open_by_handle_at;
    313 finit_module;
    320 kexec_file_load;
    321 bpf;
    323 userfaultfd;
    329 pkey_mprotect;
    330 pkey_alloc;
    331 pkey_free;
    425 io_uring_setup;
    426 io_uring_enter;
    427 io_uring_register;
    428 open_tree;
    429 move_mount;
    430 fsopen;
    431 fsconfig;
    432 fsmount;
    433 fspick;
    440 process_madvise;
    442 mount_setattr;
    443 quotactl_fd;
    444 landlock_create_ruleset;
    445 landlock_add_rule;
    446 landlock_restrict_self;
    447 memfd_secret;
    448 process_mrelease;
    450 set_mempolicy_home_node;
    451 cachestat;
    453 map_shadow_stack;
    457 statmount;
    458 listmount;
    459 lsm_get_self_attr;
    460 lsm_set_self_attr;
    461 lsm_list_modules;
    462 mseal;
    463 setxattrat;
    464 getxattrat;
    465 listxattrat;
    466 removexattrat;
    467 open_tree_attr;
}
// END

#[cfg(test)]
mod tests {
    use super::{ABSENT, SERVED};

    #[test]
    fn rows_are_in_order_and_each_call_has_one() {
        assert!(SERVED.is_sorted_by(|a, b| a.number < b.number));
        assert!(ABSENT.is_sorted_by(|a, b| a.0 < b.0));
        assert!(ABSENT.iter().all(|(number, _)| super::row(*number).is_none()));
        assert!(SERVED.len() + ABSENT.len() > 360);
    }
}
