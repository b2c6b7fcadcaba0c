//! Signals: sigaction(2), sigprocmask(2), kill(2) and their kin, signalfd(2).

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::file::pidfd::{self, PidFd};
use crate::file::signalfd::SignalFd;
use crate::file::{File, OpenFile};
use crate::fs::inode::Node;
use crate::fs::pseudo;
use crate::mem::user;
use crate::signal::{
    self, AltStack, SI_TKILL, SIGINFO_KEPT, SIGINFO_LEN, SIGNALS, SigAction, SigInfo, SigSet, UNBLOCKABLE,
    bit,
};
use crate::task::process::{self, Process};
use crate::task::wait::{WaitLimit, wait_event};
use crate::task::{Pid, Task};
use crate::time::{from_timespec, monotonic_ns};
use alloc::sync::Arc;
use husk_machine::context;
use linux_raw_sys::general as raw;

/// Bytes of the kernel's `sigset_t`, which callers must name.
const SIGSET_LEN: usize = 8;

fn check_set_len(sigsetsize: usize) -> Result<(), Errno> {
    if sigsetsize == SIGSET_LEN { Ok(()) } else { Err(Errno::EINVAL) }
}

fn check_signo(sig: i32) -> Result<u32, Errno> {
    match u32::try_from(sig) {
        Ok(signo @ 1..=64) => Ok(signo),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn rt_sigaction(
    t: &Arc<Task>,
    signum: i32,
    act: usize,
    oldact: usize,
    sigsetsize: usize,
) -> SysResult {
    check_set_len(sigsetsize)?;
    let new = if act == 0 { None } else { Some(SigAction::from_words(user::read(act)?)) };
    let signo = check_signo(signum)?;
    if new.is_some() && bit(signo) & UNBLOCKABLE != 0 {
        return Err(Errno::EINVAL);
    }
    let old = t.handlers.borrow().get(signo);
    if let Some(new) = new {
        // Flags that Linux does not know are not kept, which is how programs find out.
        const KNOWN: u32 = raw::SA_NOCLDSTOP
            | raw::SA_NOCLDWAIT
            | raw::SA_SIGINFO
            | raw::SA_ONSTACK
            | raw::SA_RESTART
            | raw::SA_NODEFER
            | raw::SA_RESETHAND
            | raw::SA_EXPOSE_TAGBITS
            | raw::SA_RESTORER;
        signal::set_action(t, signo, SigAction { flags: new.flags & u64::from(KNOWN), ..new });
    }
    if oldact != 0 {
        user::write(oldact, &old.to_words())?;
    }
    Ok(0)
}

pub(super) fn rt_sigprocmask(
    t: &Arc<Task>,
    how: u32,
    set: usize,
    oldset: usize,
    sigsetsize: usize,
) -> SysResult {
    check_set_len(sigsetsize)?;
    let old = t.signals.mask();
    if set != 0 {
        let set = user::read::<SigSet>(set)?;
        let new = match how {
            raw::SIG_BLOCK => old | set,
            raw::SIG_UNBLOCK => old & !set,
            raw::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        signal::set_mask(t, new);
    }
    if oldset != 0 {
        user::write(oldset, &old)?;
    }
    Ok(0)
}

pub(super) fn rt_sigpending(t: &Arc<Task>, set: usize, sigsetsize: usize) -> SysResult {
    if sigsetsize > SIGSET_LEN {
        return Err(Errno::EINVAL);
    }
    let pending = (t.signals.pending() | t.process().signals.pending()) & t.signals.mask();
    user::copy_out(set, &pending.to_le_bytes()[..sigsetsize])?;
    Ok(0)
}

pub(super) fn rt_sigtimedwait(
    t: &Arc<Task>,
    set: usize,
    info: usize,
    timeout: usize,
    sigsetsize: usize,
) -> SysResult {
    check_set_len(sigsetsize)?;
    let wanted = user::read::<SigSet>(set)?;
    let deadline = match timeout {
        0 => None,
        at => Some(monotonic_ns().saturating_add(from_timespec(&user::read(at)?)?)),
    };
    let taken = signal::wait_for(t, wanted, deadline)?;
    if info != 0 {
        taken.write(info)?;
    }
    Ok(taken.signo as usize)
}

pub(super) fn rt_sigsuspend(t: &Arc<Task>, mask: usize, sigsetsize: usize) -> SysResult {
    check_set_len(sigsetsize)?;
    let mask = user::read::<SigSet>(mask)?;
    signal::set_temporary_mask(t, mask);
    sleep_for_ever()
}

pub(super) fn pause(_t: &Arc<Task>) -> SysResult {
    sleep_for_ever()
}

/// Until a handler has run.
fn sleep_for_ever() -> SysResult {
    let never = wait_event(&[], WaitLimit::default(), || None::<()>);
    debug_assert!(never.is_err(), "only a signal ends it");
    Err(Errno::ERESTARTNOHAND)
}

pub(super) fn rt_sigreturn(t: &Arc<Task>) -> SysResult {
    signal::sigreturn(t)
}

pub(super) fn restart_syscall(t: &Arc<Task>) -> SysResult {
    signal::run_restart(t)
}

pub(super) fn sigaltstack(t: &Arc<Task>, ss: usize, old_ss: usize) -> SysResult {
    let sp = context::regs().rsp as usize;
    let new = if ss == 0 { None } else { Some(AltStack::from_words(user::read(ss)?)) };
    let old = signal::altstack(t, sp);
    if let Some(new) = new {
        signal::set_altstack(t, new, sp)?;
    }
    if old_ss != 0 {
        user::write(old_ss, &old.to_words())?;
    }
    Ok(0)
}

/// The process that has `pid`, or a thread with that id.
fn find_process(pid: Pid) -> Result<Arc<Process>, Errno> {
    process::find(pid)
        .or_else(|| process::find_task(pid).map(|task| task.process().clone()))
        .ok_or(Errno::ESRCH)
}

/// Sends to one process if the caller may; signal 0 only asks. A zombie takes it and does nothing.
fn kill_process(
    t: &Arc<Task>,
    process: &Arc<Process>,
    sig: i32,
    info: impl Fn(u32) -> SigInfo,
) -> Result<(), Errno> {
    if sig != 0 {
        check_signo(sig)?;
    }
    let Some(leader) = process.leader() else { return Ok(()) };
    signal::may_signal(t, &leader, sig as u32)?;
    if sig == 0 { Ok(()) } else { signal::try_send_to_process(process, info(sig as u32)) }
}

pub(super) fn kill(t: &Arc<Task>, pid: i32, sig: i32) -> SysResult {
    let info = |signo| SigInfo::user(signo, t);
    if pid > 0 {
        kill_process(t, &find_process(pid)?, sig, info)?;
        return Ok(0);
    }
    if pid == -1 {
        // Everybody but process 1 and oneself; what may not be signalled is passed over.
        let others =
            process::all().into_iter().filter(|process| process.pid() > 1 && process.pid() != t.pid());
        let (mut found, mut end) = (false, Ok(0));
        for other in others {
            match kill_process(t, &other, sig, info) {
                Err(Errno::EPERM) => {}
                Err(error) => end = Err(error),
                Ok(()) => {}
            }
            found = true;
        }
        return if found { end } else { Err(Errno::ESRCH) };
    }
    let pgid = if pid == 0 { t.process().pgid.get() } else { pid.checked_neg().ok_or(Errno::ESRCH)? };
    let mut end = Err(Errno::ESRCH);
    let mut sent = false;
    for member in process::in_group(pgid) {
        let result = kill_process(t, &member, sig, info);
        sent |= result.is_ok();
        end = result.map(|()| 0);
    }
    if sent { Ok(0) } else { end }
}

/// Sends to one thread, of process `tgid` unless that is `None`.
fn kill_thread(t: &Arc<Task>, tgid: Option<Pid>, tid: Pid, sig: i32, info: SigInfo) -> SysResult {
    let target = process::find_task(tid).filter(|target| tgid.is_none_or(|tgid| tgid == target.pid()));
    let target = target.ok_or(Errno::ESRCH)?;
    if sig != 0 {
        check_signo(sig)?;
    }
    signal::may_signal(t, &target, sig as u32)?;
    if sig != 0 {
        signal::try_send_to_task(&target, info)?;
    }
    Ok(0)
}

pub(super) fn tkill(t: &Arc<Task>, tid: i32, sig: i32) -> SysResult {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    kill_thread(t, None, tid, sig, SigInfo::thread(sig as u32, t))
}

pub(super) fn tgkill(t: &Arc<Task>, tgid: i32, tid: i32, sig: i32) -> SysResult {
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    kill_thread(t, Some(tgid), tid, sig, SigInfo::thread(sig as u32, t))
}

/// Reads a `siginfo_t` that the caller made up. Bytes past what any layout has must be zero.
fn read_info(sig: i32, uinfo: usize) -> Result<SigInfo, Errno> {
    let mut bytes = [0; SIGINFO_LEN];
    user::copy_in(uinfo, &mut bytes)?;
    let info = SigInfo::from_bytes(sig as u32, &bytes);
    if !info.has_known_layout() && bytes[SIGINFO_KEPT..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG);
    }
    Ok(info)
}

/// Nobody may pretend to another process that a signal came from the kernel or by kill(2).
fn check_forgery(info: &SigInfo, to_self: bool) -> Result<(), Errno> {
    if (info.code >= 0 || info.code == SI_TKILL) && !to_self { Err(Errno::EPERM) } else { Ok(()) }
}

pub(super) fn rt_sigqueueinfo(t: &Arc<Task>, tgid: i32, sig: i32, uinfo: usize) -> SysResult {
    let info = read_info(sig, uinfo)?;
    check_forgery(&info, tgid == t.pid())?;
    kill_process(t, &find_process(tgid)?, sig, |_| info)?;
    Ok(0)
}

pub(super) fn rt_tgsigqueueinfo(t: &Arc<Task>, tgid: i32, tid: i32, sig: i32, uinfo: usize) -> SysResult {
    let info = read_info(sig, uinfo)?;
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    check_forgery(&info, tid == t.tid())?;
    kill_thread(t, Some(tgid), tid, sig, info)
}

pub(super) fn signalfd4(t: &Arc<Task>, fd: i32, mask: usize, sizemask: usize, flags: u32) -> SysResult {
    if flags & !(raw::O_CLOEXEC | raw::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    check_set_len(sizemask)?;
    let mask = user::read::<SigSet>(mask)?;
    if fd != -1 {
        let of = t.files().get(fd)?;
        of.object.downcast::<SignalFd>().ok_or(Errno::EINVAL)?.set_mask(mask);
        return Ok(fd as usize);
    }
    let object: Arc<dyn File> = SignalFd::new(mask);
    let of = OpenFile::new(object, raw::O_RDWR | flags & raw::O_NONBLOCK, None);
    Ok(t.files().install(of, flags & raw::O_CLOEXEC != 0)? as usize)
}

pub(super) fn signalfd(t: &Arc<Task>, fd: i32, mask: usize, sizemask: usize) -> SysResult {
    signalfd4(t, fd, mask, sizemask, 0)
}

const _: () = assert!(SIGNALS == 64 && size_of::<raw::kernel_sigaction>() == size_of::<[u64; 4]>());

pub(super) fn pidfd_open(t: &Arc<Task>, pid: i32, flags: u32) -> SysResult {
    if flags & !raw::O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let process = match process::find(pid) {
        Some(process) => process,
        // A thread that is not the first of its process.
        None if process::find_task(pid).is_some() => return Err(Errno::EINVAL),
        None => return Err(Errno::ESRCH),
    };
    Ok(pidfd::open(t, &process, flags & raw::O_NONBLOCK != 0)? as usize)
}

/// The process that pidfd_send_signal(2) means: its descriptor may be one of /proc/PID too.
fn process_to_signal(t: &Arc<Task>, pidfd: i32) -> Result<Arc<Process>, Errno> {
    let of = opened(t, pidfd)?;
    let node = of.path.as_ref().map(|path| &path.inode().node);
    match node {
        Some(Node::Pseudo(pseudo::Node::Directory(directory))) => {
            let pid = directory.process().ok_or(Errno::EBADF)?;
            process::find(pid).ok_or(Errno::ESRCH)
        }
        _ => process_of(t, pidfd),
    }
}

/// The process behind a pidfd, if nobody has waited for it yet.
fn process_of(t: &Task, pidfd: i32) -> Result<Arc<Process>, Errno> {
    let of = t.files().get(pidfd)?;
    let process = of.object.downcast::<PidFd>().ok_or(Errno::EBADF)?.process().clone();
    let found = process::find(process.pid()).ok_or(Errno::ESRCH)?;
    if Arc::ptr_eq(&found, &process) { Ok(found) } else { Err(Errno::ESRCH) }
}

pub(super) fn pidfd_send_signal(t: &Arc<Task>, pidfd: i32, sig: i32, info: usize, flags: u32) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = process_to_signal(t, pidfd)?;
    if info == 0 {
        kill_process(t, &process, sig, |signo| SigInfo::user(signo, t))?;
        return Ok(0);
    }
    let given = user::read::<i32>(info)?;
    if given != sig {
        return Err(Errno::EINVAL);
    }
    let info = read_info(sig, info)?;
    check_forgery(&info, process.pid() == t.pid())?;
    kill_process(t, &process, sig, |_| info)?;
    Ok(0)
}

/// A further descriptor for an open file of another process, which the caller must be allowed to trace.
pub(super) fn pidfd_getfd(t: &Arc<Task>, pidfd: i32, targetfd: i32, flags: u32) -> SysResult {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let leader = process_of(t, pidfd)?.leader().ok_or(Errno::ESRCH)?;
    if !t.cred().may_trace(&leader.cred()) && leader.pid() != t.pid() {
        return Err(Errno::EPERM);
    }
    let of = leader.files().get(targetfd)?;
    Ok(t.files().install(of, true)? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::cred::Cred;
    use crate::task::test::{another, enter};

    fn pending(task: &Task) -> SigSet {
        task.process().signals.pending()
    }

    #[test]
    fn kill_finds_processes_groups_and_everybody() {
        let first = enter();
        let t = enter();
        let (near, far) = (another(Cred::new(7, 7)), another(Cred::new(7, 7)));
        near.process().pgid.set(t.pid());
        assert_eq!(kill(&t, near.pid(), raw::SIGHUP as i32), Ok(0));
        assert_eq!((pending(&near), pending(&far)), (bit(raw::SIGHUP), 0));
        assert_eq!(kill(&t, -t.pid(), raw::SIGUSR1 as i32), Ok(0));
        assert_eq!((pending(&near), pending(&t)), (bit(raw::SIGHUP) | bit(raw::SIGUSR1), bit(raw::SIGUSR1)));
        // Everybody but the caller and process 1.
        assert_eq!(kill(&t, -1, raw::SIGUSR2 as i32), Ok(0));
        assert_eq!((pending(&far), pending(&first), pending(&t)), (bit(raw::SIGUSR2), 0, bit(raw::SIGUSR1)));
    }

    #[test]
    fn kill_refuses_as_linux_does() {
        let _first = enter();
        let root = enter();
        let user = another(Cred::new(7, 7));
        let cases = [
            (kill(&user, root.pid(), raw::SIGTERM as i32), Errno::EPERM),
            (kill(&user, root.pid(), 0), Errno::EPERM),
            (kill(&root, 4_000_000, 0), Errno::ESRCH),
            (kill(&root, user.pid(), 65), Errno::EINVAL),
            (kill(&root, -4_000_000, 0), Errno::ESRCH),
            (kill(&root, i32::MIN, 0), Errno::ESRCH),
            (tgkill(&root, root.pid(), user.tid(), 0), Errno::ESRCH),
            (tkill(&root, 0, 0), Errno::EINVAL),
            (tgkill(&root, user.pid(), user.tid(), -1), Errno::EINVAL),
        ];
        for (index, (result, error)) in cases.into_iter().enumerate() {
            assert_eq!(result, Err(error), "case {index}");
        }
        assert_eq!(kill(&root, user.pid(), 0), Ok(0));
        assert_eq!(pending(&user), 0, "signal 0 only asks");
    }

    #[test]
    fn a_pidfd_outlives_its_process_but_not_as_a_target() {
        let t = enter();
        let child = another(Cred::new(0, 0));
        let fd = pidfd::open(&t, child.process(), false).expect("a descriptor");
        assert_eq!(pidfd_send_signal(&t, fd, raw::SIGUSR1 as i32, 0, 0), Ok(0));
        assert_eq!(pending(&child), bit(raw::SIGUSR1));
        assert_eq!(pidfd_send_signal(&t, fd, 0, 0, 1), Err(Errno::EINVAL));
        assert_eq!(pidfd_open(&t, -1, 0), Err(Errno::EINVAL));
        assert_eq!(pidfd_open(&t, 4_000_000, 0), Err(Errno::ESRCH));
        let of = t.files().get(fd).expect("open");
        assert_eq!(of.object.poll(&of), 0);
        child.process().zombie.set(Some(0));
        assert_ne!(of.object.poll(&of), 0, "it tells of the end");
    }
}
