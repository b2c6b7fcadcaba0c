//! Calls about the whole: names, ids, process groups, limits, usage, scheduling wishes, random bytes.

use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source, UserRange, UserRanges};
use crate::mem::user;
use crate::task::cred::{CAP_SYS_ADMIN, CAP_SYS_NICE, CAP_SYS_RESOURCE};
use crate::task::process::{self, Process, Session};
use crate::task::{Pid, Task, sched};
use crate::time::{monotonic_ns, to_timespec};
use crate::uts;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use linux_raw_sys::general as raw;
use raw::rlimit64;

const NS_PER_S: u64 = 1_000_000_000;

/// The task with this id; 0 is the caller.
fn task_of(t: &Arc<Task>, pid: Pid) -> Result<Arc<Task>, Errno> {
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
    let time = match who {
        RUSAGE_SELF => t.process().cpu_time(),
        raw::RUSAGE_CHILDREN => t.process().children_time(),
        RUSAGE_THREAD => t.cpu_time(),
        _ => return Err(Errno::EINVAL),
    };
    write_usage(usage, time)?;
    Ok(0)
}

/// Writes a `struct rusage` for CPU time, user and system ns; all that is not counted is 0.
pub(super) fn write_usage(address: usize, (user_ns, system_ns): (u64, u64)) -> Result<(), Errno> {
    let mut words = [0_u64; size_of::<raw::rusage>() / 8];
    for (at, ns) in [(0, user_ns), (2, system_ns)] {
        words[at] = ns / NS_PER_S;
        words[at + 1] = ns % NS_PER_S / 1000;
    }
    user::write(address, &words)
}

// Scheduling wishes.

/// Whose tasks PRIO_PROCESS, PRIO_PGRP and PRIO_USER mean.
fn whose(t: &Arc<Task>, which: u32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    match which {
        raw::PRIO_PROCESS => Ok(vec![task_of(t, who)?]),
        raw::PRIO_PGRP => {
            let pgid = if who == 0 { t.process().pgid.get() } else { who };
            Ok(process::in_group(pgid).iter().flat_map(|process| process.living()).collect())
        }
        raw::PRIO_USER => {
            let uid = if who == 0 { t.cred().uid } else { who as u32 };
            Ok(process::all_tasks().into_iter().filter(|task| task.cred().uid == uid).collect())
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn getpriority(t: &Arc<Task>, which: u32, who: i32) -> SysResult {
    let tasks = whose(t, which, who)?;
    let best = tasks.iter().map(|task| task.attributes.borrow().nice).min().ok_or(Errno::ESRCH)?;
    // 40 for the most favoured down to 1, so that it is no error number.
    Ok((20 - best) as usize)
}

fn may_schedule(t: &Task, target: &Task) -> bool {
    let (own, other) = (t.cred(), target.cred());
    own.euid == other.uid || own.euid == other.euid || own.capable(CAP_SYS_NICE)
}

/// Whether the limit on favour, or a capability, allows `nice` to the task.
fn may_favour(t: &Task, target: &Task, nice: i32) -> bool {
    nice >= target.attributes.borrow().nice
        || (20 - nice) as u64 <= target.rlimit(raw::RLIMIT_NICE).rlim_cur
        || t.cred().capable(CAP_SYS_NICE)
}

pub(super) fn setpriority(t: &Arc<Task>, which: u32, who: i32, prio: i32) -> SysResult {
    let nice = prio.clamp(-20, 19);
    let mut end = Err(Errno::ESRCH);
    for target in whose(t, which, who)? {
        let result = if !may_schedule(t, &target) {
            Err(Errno::EPERM)
        } else if !may_favour(t, &target, nice) {
            Err(Errno::EACCES)
        } else {
            target.attributes.borrow_mut().nice = nice;
            Ok(0)
        };
        // An error counts more than a success.
        end = match end {
            Err(Errno::ESRCH) => result,
            old => old.and(result),
        };
    }
    end
}

/// The vCPUs of the guest as a mask.
fn online() -> u64 {
    match sched::cpu_count() {
        64.. => u64::MAX,
        count => (1 << count) - 1,
    }
}

pub(super) fn sched_getaffinity(t: &Arc<Task>, pid: i32, cpusetsize: u32, mask: usize) -> SysResult {
    if !cpusetsize.is_multiple_of(8) || cpusetsize == 0 {
        return Err(Errno::EINVAL);
    }
    let allowed = task_of(t, pid)?.attributes.borrow().affinity & online();
    user::write(mask, &allowed)?;
    Ok(8)
}

pub(super) fn sched_setaffinity(t: &Arc<Task>, pid: i32, cpusetsize: u32, mask: usize) -> SysResult {
    let mut bytes = [0; 8];
    let len = (cpusetsize as usize).min(8);
    user::copy_in(mask, &mut bytes[..len])?;
    let target = task_of(t, pid)?;
    if !may_schedule(t, &target) {
        return Err(Errno::EPERM);
    }
    let wanted = u64::from_le_bytes(bytes) & online();
    if wanted == 0 {
        return Err(Errno::EINVAL);
    }
    target.attributes.borrow_mut().affinity = wanted;
    Ok(0)
}

/// Policy and priority that a task wants for itself or another.
#[derive(Clone, Copy)]
struct Wish {
    policy: u32,
    priority: u32,
    reset_on_fork: bool,
    nice: Option<i32>,
}

const fn is_realtime(policy: u32) -> bool {
    matches!(policy, raw::SCHED_FIFO | raw::SCHED_RR)
}

fn set_policy(t: &Task, target: &Task, wish: Wish) -> SysResult {
    let realtime = is_realtime(wish.policy);
    match wish.policy {
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE if wish.priority == 0 => {}
        raw::SCHED_FIFO | raw::SCHED_RR if (1..=99).contains(&wish.priority) => {}
        _ => return Err(Errno::EINVAL),
    }
    let old = *target.attributes.borrow();
    if !t.cred().capable(CAP_SYS_NICE) {
        let limit = target.rlimit(raw::RLIMIT_RTPRIO).rlim_cur;
        let more = wish.policy != old.policy || wish.priority > old.priority;
        if realtime && more && (limit == 0 || u64::from(wish.priority) > limit.max(u64::from(old.priority))) {
            return Err(Errno::EPERM);
        }
        // SCHED_IDLE is left only with the right to the nice value.
        let leaves_idle = old.policy == raw::SCHED_IDLE && wish.policy != raw::SCHED_IDLE;
        if leaves_idle && (20 - old.nice) as u64 > target.rlimit(raw::RLIMIT_NICE).rlim_cur
            || wish.nice.is_some_and(|nice| !may_favour(t, target, nice))
            || !may_schedule(t, target)
            || old.reset_on_fork && !wish.reset_on_fork
        {
            return Err(Errno::EPERM);
        }
    }
    let mut attributes = target.attributes.borrow_mut();
    attributes.policy = wish.policy;
    attributes.priority = wish.priority;
    attributes.reset_on_fork = wish.reset_on_fork;
    if let (Some(nice), false) = (wish.nice, realtime) {
        attributes.nice = nice;
    }
    Ok(0)
}

pub(super) fn sched_setscheduler(t: &Arc<Task>, pid: i32, policy: i32, param: usize) -> SysResult {
    if pid < 0 || policy < 0 || param == 0 {
        return Err(Errno::EINVAL);
    }
    let priority = user::read::<u32>(param)?;
    let target = task_of(t, pid)?;
    let policy = policy as u32;
    let reset_on_fork = policy & raw::SCHED_RESET_ON_FORK != 0;
    set_policy(
        t,
        &target,
        Wish { policy: policy & !raw::SCHED_RESET_ON_FORK, priority, reset_on_fork, nice: None },
    )
}

pub(super) fn sched_getscheduler(t: &Arc<Task>, pid: i32) -> SysResult {
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let attributes = *task_of(t, pid)?.attributes.borrow();
    let flag = if attributes.reset_on_fork { raw::SCHED_RESET_ON_FORK } else { 0 };
    Ok((attributes.policy | flag) as usize)
}

pub(super) fn sched_setparam(t: &Arc<Task>, pid: i32, param: usize) -> SysResult {
    if pid < 0 || param == 0 {
        return Err(Errno::EINVAL);
    }
    let priority = user::read::<u32>(param)?;
    let target = task_of(t, pid)?;
    let old = *target.attributes.borrow();
    set_policy(
        t,
        &target,
        Wish { policy: old.policy, priority, reset_on_fork: old.reset_on_fork, nice: None },
    )
}

pub(super) fn sched_getparam(t: &Arc<Task>, pid: i32, param: usize) -> SysResult {
    if pid < 0 || param == 0 {
        return Err(Errno::EINVAL);
    }
    let priority = task_of(t, pid)?.attributes.borrow().priority;
    user::write(param, &priority)?;
    Ok(0)
}

/// Bytes of `struct sched_attr` in its first form, and with utilisation clamps.
const SCHED_ATTR_MIN: u32 = 48;
const SCHED_ATTR: u32 = 56;

pub(super) fn sched_setattr(t: &Arc<Task>, pid: i32, attr: usize, flags: u32) -> SysResult {
    const KNOWN_FLAGS: u64 = 0x7f;
    if pid < 0 || attr == 0 || flags != 0 {
        return Err(Errno::EINVAL);
    }
    let size = match user::read::<u32>(attr)? {
        0 => SCHED_ATTR_MIN,
        size => size,
    };
    if !(SCHED_ATTR_MIN..=SCHED_ATTR).contains(&size) {
        user::write(attr, &SCHED_ATTR)?;
        return Err(Errno::E2BIG);
    }
    // Size and policy; flags; nice and priority; runtime, deadline and period.
    let words = user::read::<[u64; SCHED_ATTR_MIN as usize / 8]>(attr)?;
    let (policy, flags) = ((words[0] >> 32) as u32, words[1]);
    if flags & !KNOWN_FLAGS != 0 || flags & u64::from(raw::SCHED_FLAG_UTIL_CLAMP) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = task_of(t, pid)?;
    let old = *target.attributes.borrow();
    let keeps_policy = flags & u64::from(raw::SCHED_FLAG_KEEP_POLICY) != 0;
    let keeps_params = flags & u64::from(raw::SCHED_FLAG_KEEP_PARAMS) != 0;
    let wish = Wish {
        policy: if keeps_policy { old.policy } else { policy },
        priority: if keeps_params { old.priority } else { (words[2] >> 32) as u32 },
        reset_on_fork: flags & u64::from(raw::SCHED_FLAG_RESET_ON_FORK) != 0,
        nice: (!keeps_params).then_some((words[2] as u32 as i32).clamp(-20, 19)),
    };
    set_policy(t, &target, wish)
}

pub(super) fn sched_getattr(t: &Arc<Task>, pid: i32, attr: usize, size: u32, flags: u32) -> SysResult {
    if pid < 0 || attr == 0 || flags != 0 || size < SCHED_ATTR_MIN || size as usize > PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let attributes = *task_of(t, pid)?.attributes.borrow();
    let len = size.min(SCHED_ATTR);
    let mut words = [0_u64; SCHED_ATTR as usize / 8];
    words[0] = u64::from(len) | u64::from(attributes.policy) << 32;
    words[1] = u64::from(attributes.reset_on_fork);
    let nice = if is_realtime(attributes.policy) { 0 } else { attributes.nice };
    words[2] = u64::from(nice as u32) | u64::from(attributes.priority) << 32;
    user::copy_out(attr, &husk_machine::pod::bytes_of(&words)[..len as usize])?;
    Ok(0)
}

pub(super) fn sched_get_priority_max(_t: &Arc<Task>, policy: u32) -> SysResult {
    match policy {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(99),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sched_get_priority_min(_t: &Arc<Task>, policy: u32) -> SysResult {
    match policy {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok(1),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE | raw::SCHED_DEADLINE => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sched_rr_get_interval(t: &Arc<Task>, pid: i32, tp: usize) -> SysResult {
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let policy = task_of(t, pid)?.attributes.borrow().policy;
    // A SCHED_FIFO task runs as long as it will.
    let slice = if policy == raw::SCHED_FIFO { 0 } else { sched::SLICE_NS };
    user::write(tp, &to_timespec(slice))?;
    Ok(0)
}

pub(super) fn getcpu(_t: &Arc<Task>, cpu: usize, node: usize) -> SysResult {
    if cpu != 0 {
        user::write(cpu, &sched::cpu_index())?;
    }
    if node != 0 {
        user::write(node, &0_u32)?;
    }
    Ok(0)
}

// asm-generic: linux/ioprio.h.
const IOPRIO_CLASS_SHIFT: u32 = 13;
const IOPRIO_CLASS_NONE: u32 = 0;
const IOPRIO_CLASS_RT: u32 = 1;
const IOPRIO_CLASS_BE: u32 = 2;
const IOPRIO_CLASS_IDLE: u32 = 3;
const IOPRIO_LEVELS: u32 = 8;

/// Whose tasks IOPRIO_WHO_* mean: the same three kinds, numbered from 1.
fn whose_io(t: &Arc<Task>, which: u32, who: i32) -> Result<Vec<Arc<Task>>, Errno> {
    whose(t, which.wrapping_sub(1), who)
}

pub(super) fn ioprio_get(t: &Arc<Task>, which: u32, who: i32) -> SysResult {
    let tasks = whose_io(t, which, who)?;
    // The highest: real time, then best effort, then idle; a lower level is higher.
    let rank = |priority: &u32| match priority >> IOPRIO_CLASS_SHIFT {
        IOPRIO_CLASS_NONE => (IOPRIO_CLASS_BE, 4),
        class => (class, priority & (IOPRIO_LEVELS - 1)),
    };
    let priorities = tasks.iter().map(|task| task.attributes.borrow().io_priority);
    priorities.min_by_key(rank).map(|priority| priority as usize).ok_or(Errno::ESRCH)
}

pub(super) fn ioprio_set(t: &Arc<Task>, which: u32, who: i32, ioprio: u32) -> SysResult {
    let level = ioprio & ((1 << IOPRIO_CLASS_SHIFT) - 1);
    match ioprio >> IOPRIO_CLASS_SHIFT {
        IOPRIO_CLASS_RT if !t.cred().capable(CAP_SYS_ADMIN) && !t.cred().capable(CAP_SYS_NICE) => {
            return Err(Errno::EPERM);
        }
        IOPRIO_CLASS_RT | IOPRIO_CLASS_BE if level < IOPRIO_LEVELS => {}
        IOPRIO_CLASS_IDLE => {}
        IOPRIO_CLASS_NONE if level == 0 => {}
        _ => return Err(Errno::EINVAL),
    }
    let tasks = whose_io(t, which, who)?;
    if tasks.is_empty() {
        return Err(Errno::ESRCH);
    }
    for task in tasks {
        let (own, other) = (t.cred(), task.cred());
        if other.uid != own.euid && other.uid != own.uid && !own.capable(CAP_SYS_NICE) {
            return Err(Errno::EPERM);
        }
        task.attributes.borrow_mut().io_priority = ioprio;
    }
    Ok(0)
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

fn read_ranges(iov: usize, count: usize) -> Result<Vec<UserRange>, Errno> {
    if count > raw::UIO_MAXIOV as usize {
        return Err(Errno::EINVAL);
    }
    let words = user::read_vec::<[usize; 2]>(iov, count)?;
    let total = words.iter().try_fold(0_usize, |sum, [_, len]| sum.checked_add(*len));
    if total.is_none_or(|total| total > isize::MAX as usize) {
        return Err(Errno::EINVAL);
    }
    Ok(words.into_iter().map(|[start, len]| UserRange { start, len }).collect())
}

/// The iovecs (address and length) of both sides of process_vm_readv(2) and process_vm_writev(2).
fn both_ranges(local: [usize; 2], remote: [usize; 2], flags: usize) -> Result<[Vec<UserRange>; 2], Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    Ok([read_ranges(local[0], local[1])?, read_ranges(remote[0], remote[1])?])
}

/// Copies within the caller's own memory; another process's would have to copy for us.
fn copy_self(t: &Arc<Task>, pid: i32, from: Vec<UserRange>, to: Vec<UserRange>) -> SysResult {
    let target = process::find_task(pid).ok_or(Errno::ESRCH)?;
    if !Arc::ptr_eq(&target.space(), &t.space()) {
        if !t.cred().may_trace(&target.cred()) {
            return Err(Errno::EPERM);
        }
        return Err(Errno::ENOSYS);
    }
    let (mut source, mut sink) = (Source::User(UserRanges::many(from)), Sink::User(UserRanges::many(to)));
    let mut chunk = vec![0; PAGE_SIZE];
    let mut done = 0;
    loop {
        let part = source.left().min(sink.left()).min(chunk.len());
        if part == 0 {
            return Ok(done);
        }
        let copied = source.take(&mut chunk[..part]).and_then(|taken| sink.put(&chunk[..taken]));
        match copied {
            Ok(0) => return Ok(done),
            Ok(count) => done += count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        }
    }
}

pub(super) fn process_vm_readv(
    t: &Arc<Task>,
    pid: i32,
    lvec: usize,
    liovcnt: usize,
    rvec: usize,
    riovcnt: usize,
    flags: usize,
) -> SysResult {
    let [local, remote] = both_ranges([lvec, liovcnt], [rvec, riovcnt], flags)?;
    copy_self(t, pid, remote, local)
}

pub(super) fn process_vm_writev(
    t: &Arc<Task>,
    pid: i32,
    lvec: usize,
    liovcnt: usize,
    rvec: usize,
    riovcnt: usize,
    flags: usize,
) -> SysResult {
    let [local, remote] = both_ranges([lvec, liovcnt], [rvec, riovcnt], flags)?;
    copy_self(t, pid, local, remote)
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

pub(super) fn swapon(_t: &Arc<Task>, _path: usize, _flags: u32) -> SysResult {
    Err(Errno::EPERM)
}

pub(super) fn swapoff(_t: &Arc<Task>, _path: usize) -> SysResult {
    Err(Errno::EPERM)
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

    #[test]
    fn favour_costs_a_right_and_can_be_given_away() {
        let _root = enter();
        let user = another(Cred::new(7, 7));
        assert_eq!(setpriority(&user, raw::PRIO_PROCESS, 0, 5), Ok(0));
        assert_eq!(getpriority(&user, raw::PRIO_PROCESS, 0), Ok(15));
        assert_eq!(setpriority(&user, raw::PRIO_PROCESS, 0, 4), Err(Errno::EACCES));
        assert_eq!(setpriority(&user, raw::PRIO_PROCESS, 1, 19), Err(Errno::EPERM));
        assert_eq!(setpriority(&user, 9, 0, 19), Err(Errno::EINVAL));
        user.process().set_rlimit(raw::RLIMIT_NICE, rlimit64 { rlim_cur: 20, rlim_max: 20 });
        assert_eq!(setpriority(&user, raw::PRIO_PROCESS, 0, 0), Ok(0));
        assert_eq!(setpriority(&user, raw::PRIO_PROCESS, 0, -1), Err(Errno::EACCES));
    }

    #[test]
    fn real_time_policies_need_a_limit_or_a_capability() {
        let root = enter();
        let user = another(Cred::new(7, 7));
        let wish = |policy, priority| Wish { policy, priority, reset_on_fork: false, nice: None };
        assert_eq!(set_policy(&root, &user, wish(raw::SCHED_RR, 5)), Ok(0));
        assert_eq!(set_policy(&user, &user, wish(raw::SCHED_NORMAL, 0)), Ok(0));
        assert_eq!(set_policy(&user, &user, wish(raw::SCHED_RR, 5)), Err(Errno::EPERM));
        user.process().set_rlimit(raw::RLIMIT_RTPRIO, rlimit64 { rlim_cur: 5, rlim_max: 5 });
        assert_eq!(set_policy(&user, &user, wish(raw::SCHED_FIFO, 5)), Ok(0));
        assert_eq!(set_policy(&user, &user, wish(raw::SCHED_FIFO, 6)), Err(Errno::EPERM));
        assert_eq!(set_policy(&user, &root, wish(raw::SCHED_BATCH, 0)), Err(Errno::EPERM));
        for (policy, priority) in [(raw::SCHED_NORMAL, 1), (raw::SCHED_RR, 0), (raw::SCHED_RR, 100), (6, 0)] {
            assert_eq!(set_policy(&root, &root, wish(policy, priority)), Err(Errno::EINVAL));
        }
    }
}
