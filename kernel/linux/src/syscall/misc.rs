//! Calls about the whole: names, ids, process groups, limits, usage, random bytes.

use crate::errno::{Errno, SysResult};
use crate::fs::Path;
use crate::fs::walk::lookup;
use crate::mem::user;
use crate::task::cred::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
use crate::task::process::{self, Process, Session, Usage};
use crate::task::{Pid, Task};
use crate::time::monotonic_ns;
use crate::uts;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use linux_raw_sys::general as raw;
use raw::rlimit64;

const NS_PER_S: u64 = 1_000_000_000;

/// The task with this id; 0 is the caller.
pub(super) fn task_of(t: &Arc<Task>, pid: Pid) -> Result<Arc<Task>, Errno> {
    if pid == 0 {
        return Ok(t.clone());
    }
    process::find_task(pid).ok_or(Errno::ESRCH)
}

/// The process with this id; 0 is the caller's.
fn process_of(t: &Arc<Task>, pid: Pid) -> Result<Arc<Process>, Errno> {
    if pid == 0 { Ok(t.process().clone()) } else { process::find(pid).ok_or(Errno::ESRCH) }
}

pub(super) fn uname(t: &Arc<Task>, buf: usize) -> SysResult {
    const PER_MASK: u32 = 0xff;
    const PER_LINUX32: u32 = 8;
    let narrow = t.attributes.borrow().personality & PER_MASK == PER_LINUX32;
    user::copy_out(buf, &uts::utsname(if narrow { "i686" } else { uts::MACHINE }))?;
    Ok(0)
}

fn new_name(t: &Arc<Task>, name: usize, len: i32) -> Result<Vec<u8>, Errno> {
    if !t.cred().capable(CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let len = usize::try_from(len).ok().filter(|len| *len <= uts::NAME_MAX).ok_or(Errno::EINVAL)?;
    user::read_vec(name, len)
}

pub(super) fn sethostname(t: &Arc<Task>, name: usize, len: i32) -> SysResult {
    uts::set_hostname(&new_name(t, name, len)?)?;
    Ok(0)
}

pub(super) fn setdomainname(t: &Arc<Task>, name: usize, len: i32) -> SysResult {
    uts::set_domainname(&new_name(t, name, len)?)?;
    Ok(0)
}

pub(super) fn sysinfo(_t: &Arc<Task>, info: usize) -> SysResult {
    let (free, total) = husk_machine::frames::usage();
    // struct sysinfo in words; what stays 0 is load, shared, buffers, swap and high memory.
    let mut words = [0_u64; 14];
    words[0] = monotonic_ns() / NS_PER_S;
    words[4] = (total * PAGE_SIZE) as u64;
    words[5] = (free * PAGE_SIZE) as u64;
    words[10] = process::all_tasks().len().min(usize::from(u16::MAX)) as u64;
    words[13] = 1;
    user::write(info, &words)?;
    Ok(0)
}

// Ids.

pub(super) fn getpid(t: &Arc<Task>) -> SysResult {
    Ok(t.pid() as usize)
}

pub(super) fn gettid(t: &Arc<Task>) -> SysResult {
    Ok(t.tid() as usize)
}

pub(super) fn getppid(t: &Arc<Task>) -> SysResult {
    let parent = t.process().parent.borrow().upgrade();
    Ok(parent.map_or(0, |parent| parent.pid()) as usize)
}

pub(super) fn getpgid(t: &Arc<Task>, pid: i32) -> SysResult {
    Ok(process_of(t, pid)?.pgid.get() as usize)
}

pub(super) fn getpgrp(t: &Arc<Task>) -> SysResult {
    getpgid(t, 0)
}

pub(super) fn getsid(t: &Arc<Task>, pid: i32) -> SysResult {
    let id = process_of(t, pid)?.session.borrow().id;
    Ok(id as usize)
}

pub(super) fn setpgid(t: &Arc<Task>, pid: i32, pgid: i32) -> SysResult {
    let own = t.process();
    let pid = if pid == 0 { own.pid() } else { pid };
    let pgid = if pgid == 0 { pid } else { pgid };
    if pgid < 0 {
        return Err(Errno::EINVAL);
    }
    let target = process::find(pid).ok_or(Errno::ESRCH)?;
    let session = own.session.borrow().id;
    if !Arc::ptr_eq(&target, own) {
        let parent = target.parent.borrow().upgrade();
        if !parent.is_some_and(|parent| Arc::ptr_eq(&parent, own)) {
            return Err(Errno::ESRCH);
        }
        if target.session.borrow().id != session {
            return Err(Errno::EPERM);
        }
        if target.did_exec.get() {
            return Err(Errno::EACCES);
        }
    }
    if target.session.borrow().id == target.pid() {
        return Err(Errno::EPERM);
    }
    let exists = || process::in_group(pgid).iter().any(|member| member.session.borrow().id == session);
    if pgid != pid && !exists() {
        return Err(Errno::EPERM);
    }
    target.pgid.set(pgid);
    Ok(0)
}

pub(super) fn setsid(t: &Arc<Task>) -> SysResult {
    let own = t.process();
    let pid = own.pid();
    if own.session.borrow().id == pid || !process::in_group(pid).is_empty() {
        return Err(Errno::EPERM);
    }
    let old = own.session.replace(Arc::new(Session { id: pid, terminal: KCell::default() }));
    own.pgid.set(pid);
    drop(old);
    Ok(pid as usize)
}

pub(super) fn set_tid_address(t: &Arc<Task>, tidptr: usize) -> SysResult {
    t.clear_child_tid.set(tidptr);
    Ok(t.tid() as usize)
}

const ROBUST_HEAD_LEN: usize = size_of::<raw::robust_list_head>();

pub(super) fn set_robust_list(t: &Arc<Task>, head: usize, len: usize) -> SysResult {
    if len != ROBUST_HEAD_LEN {
        return Err(Errno::EINVAL);
    }
    t.robust_list.set(head);
    Ok(0)
}

pub(super) fn get_robust_list(t: &Arc<Task>, pid: i32, head_ptr: usize, len_ptr: usize) -> SysResult {
    let target = task_of(t, pid)?;
    if target.pid() != t.pid() && !t.cred().may_trace(&target.cred()) {
        return Err(Errno::EPERM);
    }
    user::write(len_ptr, &ROBUST_HEAD_LEN)?;
    user::write(head_ptr, &target.robust_list.get())?;
    Ok(0)
}

// Limits and usage.

fn known_resource(resource: u32) -> Result<u32, Errno> {
    if resource < raw::RLIM_NLIMITS { Ok(resource) } else { Err(Errno::EINVAL) }
}

fn change_limit(t: &Task, process: &Arc<Process>, resource: u32, new: rlimit64) -> Result<(), Errno> {
    /// The most that fs.nr_open allows.
    const NR_OPEN: u64 = 1 << 20;
    if new.rlim_cur > new.rlim_max {
        return Err(Errno::EINVAL);
    }
    if resource == raw::RLIMIT_NOFILE && new.rlim_max > NR_OPEN {
        return Err(Errno::EPERM);
    }
    if new.rlim_max > process.rlimit(resource).rlim_max && !t.cred().capable(CAP_SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    process.set_rlimit(resource, new);
    if resource == raw::RLIMIT_CPU {
        process.timers.watch_cpu_limit(process);
    }
    Ok(())
}

pub(super) fn getrlimit(t: &Arc<Task>, resource: u32, rlim: usize) -> SysResult {
    let limit = t.rlimit(known_resource(resource)?);
    user::write(rlim, &limit)?;
    Ok(0)
}

pub(super) fn setrlimit(t: &Arc<Task>, resource: u32, rlim: usize) -> SysResult {
    let new = user::read(rlim)?;
    change_limit(t, t.process(), known_resource(resource)?, new)?;
    Ok(0)
}

pub(super) fn prlimit64(
    t: &Arc<Task>,
    pid: i32,
    resource: u32,
    new_limit: usize,
    old_limit: usize,
) -> SysResult {
    known_resource(resource)?;
    let new = if new_limit == 0 { None } else { Some(user::read(new_limit)?) };
    let target = task_of(t, pid)?;
    if target.pid() != t.pid() {
        let (own, other) = (t.cred(), target.cred());
        let same = [other.uid, other.euid, other.suid].iter().all(|uid| *uid == own.uid)
            && [other.gid, other.egid, other.sgid].iter().all(|gid| *gid == own.gid);
        if !same && !own.capable(CAP_SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
    }
    let old = target.rlimit(resource);
    if let Some(new) = new {
        change_limit(t, target.process(), resource, new)?;
    }
    if old_limit != 0 {
        user::write(old_limit, &old)?;
    }
    Ok(0)
}

pub(super) fn getrusage(t: &Arc<Task>, who: i32, usage: usize) -> SysResult {
    const RUSAGE_SELF: i32 = raw::RUSAGE_SELF as i32;
    const RUSAGE_THREAD: i32 = raw::RUSAGE_THREAD as i32;
    if who != raw::RUSAGE_CHILDREN {
        t.space().count_if_due();
    }
    let used = match who {
        RUSAGE_SELF => t.process().usage(),
        raw::RUSAGE_CHILDREN => t.process().children_usage(),
        RUSAGE_THREAD => {
            let (user, system) = t.cpu_time();
            Usage { user, system, switches: t.sched.switches(), ..t.process().usage() }
        }
        _ => return Err(Errno::EINVAL),
    };
    write_usage(usage, used)?;
    Ok(0)
}

/// Writes a `struct rusage`; all that is not counted is 0.
pub(super) fn write_usage(address: usize, usage: Usage) -> Result<(), Errno> {
    let mut words = [0_u64; size_of::<raw::rusage>() / 8];
    words[4] = (usage.most_resident / 1024) as u64;
    words[16] = usage.switches.voluntary;
    words[17] = usage.switches.involuntary;
    for (at, ns) in [(0, usage.user), (2, usage.system)] {
        words[at] = ns / NS_PER_S;
        words[at + 1] = ns % NS_PER_S / 1000;
    }
    user::write(address, &words)
}

// Random bytes, memory of processes, comparison.

pub(super) fn getrandom(_t: &Arc<Task>, buf: usize, buflen: usize, flags: u32) -> SysResult {
    let blocking_pools = raw::GRND_RANDOM | raw::GRND_INSECURE;
    if flags & !(raw::GRND_NONBLOCK | blocking_pools) != 0 || flags & blocking_pools == blocking_pools {
        return Err(Errno::EINVAL);
    }
    let len = buflen.min(i32::MAX as usize);
    let mut done = 0;
    let mut chunk = [0; 256];
    while done < len {
        let part = (len - done).min(chunk.len());
        husk_machine::random::fill(&mut chunk[..part]);
        match user::copy_out(buf.wrapping_add(done), &chunk[..part]) {
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
            Ok(()) => done += part,
        }
    }
    Ok(done)
}

/// 0 the same, 1 the first is less, 2 the first is greater.
fn order<T: ?Sized>(first: &Arc<T>, second: &Arc<T>) -> usize {
    match Arc::as_ptr(first).cast::<u8>().cmp(&Arc::as_ptr(second).cast()) {
        core::cmp::Ordering::Equal => 0,
        core::cmp::Ordering::Less => 1,
        core::cmp::Ordering::Greater => 2,
    }
}

pub(super) fn kcmp(t: &Arc<Task>, pid1: i32, pid2: i32, kind: u32, idx1: usize, idx2: usize) -> SysResult {
    // linux/kcmp.h.
    const KCMP_FILE: u32 = 0;
    const KCMP_VM: u32 = 1;
    const KCMP_FILES: u32 = 2;
    const KCMP_FS: u32 = 3;
    const KCMP_SIGHAND: u32 = 4;
    let find = |pid| process::find_task(pid).ok_or(Errno::ESRCH);
    let (first, second) = (find(pid1)?, find(pid2)?);
    if ![&first, &second].iter().all(|other| other.pid() == t.pid() || t.cred().may_trace(&other.cred())) {
        return Err(Errno::EPERM);
    }
    match kind {
        KCMP_FILE => {
            let of = |task: &Task, fd: usize| task.files().get(i32::try_from(fd).map_err(|_| Errno::EBADF)?);
            Ok(order(&of(&first, idx1)?, &of(&second, idx2)?))
        }
        KCMP_VM => Ok(order(&first.space(), &second.space())),
        KCMP_FILES => Ok(order(&first.files(), &second.files())),
        KCMP_FS => Ok(order(&first.fs(), &second.fs())),
        KCMP_SIGHAND => {
            let (first, second) = (first.handlers.borrow().clone(), second.handlers.borrow().clone());
            Ok(order(&first, &second))
        }
        _ => Err(Errno::EINVAL),
    }
}

// What the machine's owner alone does: a guest has no kernel log, no swap, no accounting file, and ends with process 1.

pub(super) fn syslog(_t: &Arc<Task>, _kind: i32, _buf: usize, _len: i32) -> SysResult {
    Err(Errno::EPERM)
}

pub(super) fn reboot(_t: &Arc<Task>, _magic1: u32, _magic2: u32, _cmd: u32, _arg: usize) -> SysResult {
    Err(Errno::EPERM)
}

pub(super) fn acct(_t: &Arc<Task>, _name: usize) -> SysResult {
    Err(Errno::EPERM)
}

/// The place that an administrator's call names.
fn administered(t: &Arc<Task>, path: usize) -> Result<Path, Errno> {
    if !t.cred().capable(CAP_SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    lookup(t, raw::AT_FDCWD, &user::read_path(path)?, true)
}

pub(super) fn swapon(t: &Arc<Task>, path: usize, _flags: u32) -> SysResult {
    administered(t, path)?;
    Err(Errno::EPERM)
}

pub(super) fn swapoff(t: &Arc<Task>, path: usize) -> SysResult {
    administered(t, path)?;
    // Nothing is swapped to.
    Err(Errno::EINVAL)
}

/// No file system counts quotas, and none lies on a block device.
pub(super) fn quotactl(t: &Arc<Task>, cmd: u32, special: usize, _id: u32, _addr: usize) -> SysResult {
    const KINDS: u32 = 3;
    const Q_SYNC: u32 = 0x80_0001;
    if cmd & 0xff >= KINDS {
        return Err(Errno::EINVAL);
    }
    if special == 0 {
        return if cmd >> 8 == Q_SYNC { Ok(0) } else { Err(Errno::ENODEV) };
    }
    let place = lookup(t, raw::AT_FDCWD, &user::read_path(special)?, true)?;
    let is_block = place.inode().kind() == raw::S_IFBLK;
    Err(if is_block { Errno::ENODEV } else { Errno::ENOTBLK })
}

/// The local descriptor table: empty, and nothing can be put into it.
pub(super) fn modify_ldt(_t: &Arc<Task>, func: i32, ptr: usize, bytecount: usize) -> SysResult {
    match func {
        0 => Ok(0),
        2 => {
            let len = bytecount.min(128);
            user::fill(ptr, len, 0)?;
            Ok(len)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// Gives the caller files or directories of its own. There are no namespaces but the first.
pub(super) fn unshare(t: &Arc<Task>, flags: u64) -> SysResult {
    const THREADS: u64 = (raw::CLONE_THREAD | raw::CLONE_SIGHAND | raw::CLONE_VM) as u64;
    const FS: u64 = raw::CLONE_FS as u64;
    const FILES: u64 = raw::CLONE_FILES as u64;
    const SYSVSEM: u64 = raw::CLONE_SYSVSEM as u64;
    const NAMESPACES: u64 = (raw::CLONE_NEWNS
        | raw::CLONE_NEWCGROUP
        | raw::CLONE_NEWUTS
        | raw::CLONE_NEWIPC
        | raw::CLONE_NEWUSER
        | raw::CLONE_NEWPID
        | raw::CLONE_NEWNET
        | raw::CLONE_NEWTIME) as u64;
    if flags & !(THREADS | FS | FILES | SYSVSEM | NAMESPACES) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & THREADS != 0 && t.process().living().len() > 1 {
        return Err(Errno::EINVAL);
    }
    if flags & NAMESPACES != 0 {
        return Err(Errno::EPERM);
    }
    if flags & FS != 0 {
        t.set_fs(t.fs().duplicate());
    }
    if flags & FILES != 0 {
        t.set_files(t.files().duplicate());
    }
    Ok(0)
}

pub(super) fn setns(t: &Arc<Task>, fd: i32, _nstype: u32) -> SysResult {
    // No descriptor refers to a namespace.
    t.files().get(fd)?;
    Err(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::cred::Cred;
    use crate::task::test::{another, enter};

    #[test]
    fn groups_are_joined_within_a_session_only() {
        let t = enter();
        let (child, stranger) = (another(Cred::new(0, 0)), another(Cred::new(0, 0)));
        child.process().parent.replace(Arc::downgrade(t.process()));
        child.process().session.replace(t.process().session.borrow().clone());
        child.process().pgid.set(t.pid());
        assert_eq!(setpgid(&t, child.pid(), 0), Ok(0));
        assert_eq!(child.process().pgid.get(), child.pid());
        assert_eq!(setpgid(&t, child.pid(), t.pid()), Ok(0));
        assert_eq!(setpgid(&t, child.pid(), stranger.pid()), Err(Errno::EPERM), "a group of another session");
        assert_eq!(setpgid(&t, child.pid(), -1), Err(Errno::EINVAL));
        assert_eq!(setpgid(&t, stranger.pid(), 0), Err(Errno::ESRCH), "not a child");
        assert_eq!(setpgid(&t, 0, 0), Err(Errno::EPERM), "a session leader");
        child.process().did_exec.set(true);
        assert_eq!(setpgid(&t, child.pid(), 0), Err(Errno::EACCES));
        // A process that leads no group leaves for a session of its own, once.
        assert_eq!(setsid(&child), Ok(child.pid() as usize));
        assert_eq!(getsid(&t, child.pid()), Ok(child.pid() as usize));
        assert_eq!(setsid(&child), Err(Errno::EPERM));
    }
}
