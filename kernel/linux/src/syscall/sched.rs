//! Scheduling wishes: nice values, policies, affinity, I/O priorities (sched(7)).

use super::misc::task_of;
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::task::cred::{CAP_SYS_ADMIN, CAP_SYS_NICE};
use crate::task::{Task, process, sched};
use crate::time::to_timespec;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::cred::Cred;
    use crate::task::test::{another, enter};
    use raw::rlimit64;

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
