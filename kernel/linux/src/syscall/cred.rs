//! Identity: user and group ids, capabilities, prctl(2), arch_prctl(2), personality(2).

use super::seccomp;
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::task::cred::{CAP_ALL, CAP_SETGID, Cred};
use crate::task::identity::{self, CapSets, SECURE_KEEP_CAPS, SECURE_KEEP_CAPS_LOCKED};
use crate::task::{Task, process};
use alloc::sync::Arc;
use husk_machine::context;
use linux_raw_sys::general as raw;
use linux_raw_sys::prctl as pr;
use linux_raw_sys::ptrace as bpf;

/// Gives the task the credentials that a rule allows.
fn change(t: &Arc<Task>, rule: impl FnOnce(&Cred) -> Result<Cred, Errno>) -> SysResult {
    let old = t.cred();
    let new = rule(&old)?;
    if new.euid != old.euid || new.egid != old.egid || new.fsuid != old.fsuid || new.fsgid != old.fsgid {
        // Who was allowed to look into the old identity need not be allowed to look into the new one.
        t.process().dumpable.set(0);
        t.attributes.borrow_mut().death_signal = 0;
    }
    t.set_cred(Arc::new(new));
    Ok(0)
}

pub(super) fn getuid(t: &Arc<Task>) -> SysResult {
    Ok(t.cred().uid as usize)
}

pub(super) fn geteuid(t: &Arc<Task>) -> SysResult {
    Ok(t.cred().euid as usize)
}

pub(super) fn getgid(t: &Arc<Task>) -> SysResult {
    Ok(t.cred().gid as usize)
}

pub(super) fn getegid(t: &Arc<Task>) -> SysResult {
    Ok(t.cred().egid as usize)
}

pub(super) fn setuid(t: &Arc<Task>, uid: u32) -> SysResult {
    change(t, |cred| cred.set_uid(uid))
}

pub(super) fn setgid(t: &Arc<Task>, gid: u32) -> SysResult {
    change(t, |cred| cred.set_gid(gid))
}

pub(super) fn setreuid(t: &Arc<Task>, ruid: u32, euid: u32) -> SysResult {
    change(t, |cred| cred.set_reuid(ruid, euid))
}

pub(super) fn setregid(t: &Arc<Task>, rgid: u32, egid: u32) -> SysResult {
    change(t, |cred| cred.set_regid(rgid, egid))
}

pub(super) fn setresuid(t: &Arc<Task>, ruid: u32, euid: u32, suid: u32) -> SysResult {
    change(t, |cred| cred.set_resuid([ruid, euid, suid]))
}

pub(super) fn setresgid(t: &Arc<Task>, rgid: u32, egid: u32, sgid: u32) -> SysResult {
    change(t, |cred| cred.set_resgid([rgid, egid, sgid]))
}

pub(super) fn getresuid(t: &Arc<Task>, ruid: usize, euid: usize, suid: usize) -> SysResult {
    let cred = t.cred();
    user::write(ruid, &cred.uid)?;
    user::write(euid, &cred.euid)?;
    user::write(suid, &cred.suid)?;
    Ok(0)
}

pub(super) fn getresgid(t: &Arc<Task>, rgid: usize, egid: usize, sgid: usize) -> SysResult {
    let cred = t.cred();
    user::write(rgid, &cred.gid)?;
    user::write(egid, &cred.egid)?;
    user::write(sgid, &cred.sgid)?;
    Ok(0)
}

pub(super) fn setfsuid(t: &Arc<Task>, fsuid: u32) -> SysResult {
    let old = t.cred().fsuid;
    change(t, |cred| Ok(cred.set_fsuid(fsuid)))?;
    Ok(old as usize)
}

pub(super) fn setfsgid(t: &Arc<Task>, fsgid: u32) -> SysResult {
    let old = t.cred().fsgid;
    change(t, |cred| Ok(cred.set_fsgid(fsgid)))?;
    Ok(old as usize)
}

pub(super) fn getgroups(t: &Arc<Task>, size: i32, list: usize) -> SysResult {
    let cred = t.cred();
    let count = cred.groups.len();
    let room = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    if room > 0 {
        if room < count {
            return Err(Errno::EINVAL);
        }
        user::copy_out(list, husk_machine::pod::slice_bytes(&cred.groups))?;
    }
    Ok(count)
}

pub(super) fn setgroups(t: &Arc<Task>, size: usize, list: usize) -> SysResult {
    const NGROUPS_MAX: usize = 65_536;
    if !t.cred().capable(CAP_SETGID) {
        return Err(Errno::EPERM);
    }
    if size > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut groups = user::read_vec::<u32>(list, size)?;
    if groups.contains(&identity::KEEP) {
        return Err(Errno::EINVAL);
    }
    groups.sort_unstable();
    change(t, |cred| Ok(Cred { groups, ..cred.clone() }))
}

/// Reads the header of capget(2) and capset(2): how many words a set has, and whose sets they are. An unknown version is
/// answered with the one to use.
fn cap_header(hdrp: usize) -> Result<(usize, i32), Errno> {
    let [version, pid] = user::read::<[u32; 2]>(hdrp)?;
    let words = match version {
        raw::_LINUX_CAPABILITY_VERSION_1 => 1,
        raw::_LINUX_CAPABILITY_VERSION_2 | raw::_LINUX_CAPABILITY_VERSION_3 => 2,
        _ => {
            user::write(hdrp, &raw::_LINUX_CAPABILITY_VERSION_3)?;
            return Err(Errno::EINVAL);
        }
    };
    Ok((words, pid as i32))
}

pub(super) fn capget(t: &Arc<Task>, hdrp: usize, datap: usize) -> SysResult {
    let (words, pid) = match cap_header(hdrp) {
        // Asking for the version is not an error.
        Err(Errno::EINVAL) if datap == 0 => return Ok(0),
        header => header?,
    };
    let cred = match pid {
        ..0 => return Err(Errno::EINVAL),
        0 => t.cred(),
        pid => process::find_task(pid).ok_or(Errno::ESRCH)?.cred(),
    };
    if datap == 0 {
        return Ok(0);
    }
    for word in 0..words {
        let part = |set: u64| (set >> (32 * word)) as u32;
        let data = [part(cred.cap_effective), part(cred.cap_permitted), part(cred.cap_inheritable)];
        user::write(datap + word * 12, &data)?;
    }
    Ok(0)
}

pub(super) fn capset(t: &Arc<Task>, hdrp: usize, datap: usize) -> SysResult {
    let (words, pid) = cap_header(hdrp)?;
    if pid != 0 && pid != t.tid() {
        return Err(Errno::EPERM);
    }
    let mut sets = CapSets::default();
    for word in 0..words {
        let [effective, permitted, inheritable] = user::read::<[u32; 3]>(datap + word * 12)?;
        let shift = 32 * word;
        sets.effective |= u64::from(effective) << shift;
        sets.permitted |= u64::from(permitted) << shift;
        sets.inheritable |= u64::from(inheritable) << shift;
    }
    // Numbers that name no capability are dropped.
    let sets = CapSets {
        effective: sets.effective & CAP_ALL,
        permitted: sets.permitted & CAP_ALL,
        inheritable: sets.inheritable & CAP_ALL,
    };
    change(t, |cred| cred.set_caps(sets))
}

/// EINVAL unless the arguments that an option does not use are zero.
fn unused(args: &[u64]) -> Result<(), Errno> {
    if args.iter().all(|argument| *argument == 0) { Ok(()) } else { Err(Errno::EINVAL) }
}

pub(super) fn prctl(t: &Arc<Task>, option: u32, arg2: u64, arg3: u64, arg4: u64, arg5: u64) -> SysResult {
    let to = arg2 as usize;
    let flag = || match arg2 {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    };
    match option {
        pr::PR_SET_PDEATHSIG => {
            if arg2 > 64 {
                return Err(Errno::EINVAL);
            }
            t.attributes.borrow_mut().death_signal = arg2 as u32;
        }
        pr::PR_GET_PDEATHSIG => {
            let signo = t.attributes.borrow().death_signal;
            user::write(to, &signo)?;
        }
        pr::PR_GET_DUMPABLE => return Ok(t.process().dumpable.get() as usize),
        pr::PR_SET_DUMPABLE => t.process().dumpable.set(u32::from(flag()?)),
        pr::PR_GET_KEEPCAPS => return Ok(usize::from(t.cred().securebits & SECURE_KEEP_CAPS != 0)),
        pr::PR_SET_KEEPCAPS => {
            let keep = flag()?;
            return change(t, |cred| match cred.securebits {
                bits if bits & SECURE_KEEP_CAPS_LOCKED != 0 => Err(Errno::EPERM),
                bits if keep => Ok(Cred { securebits: bits | SECURE_KEEP_CAPS, ..cred.clone() }),
                bits => Ok(Cred { securebits: bits & !SECURE_KEEP_CAPS, ..cred.clone() }),
            });
        }
        pr::PR_GET_TIMING => return Ok(pr::PR_TIMING_STATISTICAL as usize),
        pr::PR_SET_TIMING if arg2 == u64::from(pr::PR_TIMING_STATISTICAL) => {}
        pr::PR_SET_NAME => {
            let name = match user::read_cstr(to, 16, Errno::E2BIG) {
                Err(Errno::E2BIG) => user::read_vec::<u8>(to, 15)?,
                name => name?,
            };
            let mut comm = [0; 16];
            comm[..name.len()].copy_from_slice(&name);
            t.comm.set(comm);
        }
        pr::PR_GET_NAME => {
            let comm = t.comm.get();
            user::write(to, &comm)?;
        }
        pr::PR_GET_SECCOMP => return Ok(t.seccomp.borrow().mode() as usize),
        pr::PR_SET_SECCOMP => {
            return match u32::try_from(arg2).map_err(|_| Errno::EINVAL)? {
                bpf::SECCOMP_MODE_STRICT => seccomp::set_strict(t),
                bpf::SECCOMP_MODE_FILTER => seccomp::add_filter(t, 0, arg3 as usize),
                _ => Err(Errno::EINVAL),
            };
        }
        pr::PR_CAPBSET_READ => return Ok((t.cred().cap_bounding >> identity::known(arg2)? & 1) as usize),
        pr::PR_CAPBSET_DROP => {
            return change(t, |cred| cred.drop_bounding(identity::known(arg2)?));
        }
        pr::PR_SET_THP_DISABLE if arg3 | arg4 | arg5 == 0 => t.process().no_huge_pages.set(arg2 != 0),
        pr::PR_GET_THP_DISABLE if arg2 | arg3 | arg4 | arg5 == 0 => {
            return Ok(usize::from(t.process().no_huge_pages.get()));
        }
        pr::PR_GET_TSC => user::write(to, &pr::PR_TSC_ENABLE)?,
        pr::PR_SET_TSC if arg2 == u64::from(pr::PR_TSC_ENABLE) => {}
        pr::PR_GET_SECUREBITS => return Ok(t.cred().securebits as usize),
        pr::PR_SET_SECUREBITS => {
            let bits = u32::try_from(arg2).map_err(|_| Errno::EPERM)?;
            return change(t, |cred| cred.set_securebits(bits));
        }
        pr::PR_SET_TIMERSLACK => {
            let mut attributes = t.attributes.borrow_mut();
            // Not positive, seen as signed: back to the default.
            attributes.timer_slack = if arg2 as i64 > 0 { arg2 } else { attributes.default_timer_slack };
        }
        pr::PR_GET_TIMERSLACK => return Ok(t.attributes.borrow().timer_slack as usize),
        pr::PR_SET_CHILD_SUBREAPER => t.process().child_subreaper.set(arg2 != 0),
        pr::PR_GET_CHILD_SUBREAPER => user::write(to, &u32::from(t.process().child_subreaper.get()))?,
        pr::PR_SET_NO_NEW_PRIVS => {
            unused(&[arg3, arg4, arg5])?;
            if arg2 != 1 {
                return Err(Errno::EINVAL);
            }
            t.no_new_privs.set(true);
        }
        pr::PR_GET_NO_NEW_PRIVS => {
            unused(&[arg2, arg3, arg4, arg5])?;
            return Ok(usize::from(t.no_new_privs.get()));
        }
        pr::PR_GET_TID_ADDRESS => user::write(to, &t.clear_child_tid.get())?,
        pr::PR_CAP_AMBIENT => return ambient(t, arg2, arg3, &[arg4, arg5]),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn ambient(t: &Arc<Task>, what: u64, capability: u64, rest: &[u64]) -> SysResult {
    unused(rest)?;
    match u32::try_from(what).map_err(|_| Errno::EINVAL)? {
        pr::PR_CAP_AMBIENT_CLEAR_ALL => {
            unused(&[capability])?;
            change(t, |cred| Ok(Cred { cap_ambient: 0, ..cred.clone() }))
        }
        pr::PR_CAP_AMBIENT_IS_SET => Ok((t.cred().cap_ambient >> identity::known(capability)? & 1) as usize),
        pr::PR_CAP_AMBIENT_RAISE => {
            let capability = identity::known(capability)?;
            change(t, |cred| cred.raise_ambient(capability))
        }
        pr::PR_CAP_AMBIENT_LOWER => {
            let bit = 1_u64 << identity::known(capability)?;
            change(t, |cred| Ok(Cred { cap_ambient: cred.cap_ambient & !bit, ..cred.clone() }))
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn arch_prctl(_t: &Arc<Task>, code: u32, addr: u64) -> SysResult {
    // asm/prctl.h.
    const ARCH_SET_GS: u32 = 0x1001;
    const ARCH_SET_FS: u32 = 0x1002;
    const ARCH_GET_FS: u32 = 0x1003;
    const ARCH_GET_GS: u32 = 0x1004;
    const ARCH_GET_CPUID: u32 = 0x1011;
    const ARCH_SET_CPUID: u32 = 0x1012;
    const ARCH_GET_XCOMP_SUPP: u32 = 0x1021;
    const ARCH_GET_XCOMP_PERM: u32 = 0x1022;
    match code {
        ARCH_SET_FS if addr >> 47 != 0 => Err(Errno::EPERM),
        ARCH_SET_FS => {
            context::set_fs_base(addr);
            Ok(0)
        }
        ARCH_GET_FS => {
            user::write(addr as usize, &context::fs_base())?;
            Ok(0)
        }
        // GS is the kernel's own: an application finds it 0, and cannot have another.
        ARCH_SET_GS if addr >> 47 != 0 => Err(Errno::EPERM),
        ARCH_SET_GS if addr == 0 => Ok(0),
        ARCH_GET_GS => {
            user::write(addr as usize, &0_u64)?;
            Ok(0)
        }
        ARCH_GET_CPUID => Ok(1),
        ARCH_SET_CPUID if addr != 0 => Ok(0),
        ARCH_SET_CPUID => Err(Errno::ENODEV),
        ARCH_GET_XCOMP_SUPP | ARCH_GET_XCOMP_PERM => {
            user::write(addr as usize, &context::fpu_features())?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn personality(t: &Arc<Task>, persona: u32) -> SysResult {
    const QUERY: u32 = 0xffff_ffff;
    let mut attributes = t.attributes.borrow_mut();
    let old = attributes.personality;
    if persona != QUERY {
        attributes.personality = persona;
    }
    Ok(old as usize)
}
