//! The second wall behind a tender's filter: Landlock, an unprivileged identity, no capabilities, limits, and no descriptor
//! but those it needs. Each step costs some microseconds (docs/decisions/0001).
//!
//! The bounding set of capabilities is left alone: it matters only to execve(2), which no filter passes, and which
//! `no_new_privs` keeps from giving any.

use crate::config::Config;
use crate::host::{self, HostErrno, HostResult};
use linux_raw_sys::{general as raw, prctl};
use syscalls::Sysno;

/// A step that failed: the host call, and its error.
pub type Failed = (&'static str, HostErrno);

/// Most descriptors a sealed tender polls at once; ppoll(2) takes no more than RLIMIT_NOFILE.
pub const POLLS_MAX: u64 = 6;

/// Most host threads of a guest: as many as its kernel has vCPUs for, in all of its processes.
pub const THREADS_MAX: u64 = 4096;

/// First of the users that root's guests run as: one for each, so that a limit on a user's processes is one on the guest's.
/// Neither distributions nor container engines give out users this high.
const FIRST_USER: usize = 0x4855_0000;

/// The user of last resort.
const NOBODY: usize = 65534;

fn tried<T>(what: &'static str, result: HostResult<T>) -> Result<T, Failed> {
    result.map_err(|error| (what, error))
}

/// prctl(2) with options that take no pointer.
fn control(what: &'static str, option: u32, value: usize) -> Result<(), Failed> {
    // SAFETY: the options used here take no pointer.
    tried(what, unsafe { host::call(Sysno::prctl, [option as usize, value, 0, 0, 0, 0]) }).map(|_| ())
}

/// Landlock's handled accesses of its first version, which every kernel with Landlock knows; the filter stops the rest.
const LANDLOCK_ACCESS: u64 = (1 << 13) - 1;

/// Denies every file. A kernel without Landlock: the filter alone holds.
pub fn deny_files() -> Result<(), Failed> {
    let attributes = LANDLOCK_ACCESS;
    let args = [&raw const attributes as usize, size_of::<u64>(), 0, 0, 0, 0];
    // SAFETY: the kernel reads 8 bytes of attributes.
    let ruleset = match unsafe { host::call(Sysno::landlock_create_ruleset, args) } {
        Ok(ruleset) => ruleset,
        Err(HostErrno::ENOSYS | HostErrno::EOPNOTSUPP) => return Ok(()),
        Err(error) => return Err(("landlock_create_ruleset", error)),
    };
    // SAFETY: takes no pointer. The descriptor goes with all others in `close_others`.
    let done = unsafe { host::call(Sysno::landlock_restrict_self, [ruleset, 0, 0, 0, 0, 0]) };
    tried("landlock_restrict_self", done).map(|_| ())
}

/// Where root started it: becomes a user that nobody else is, or, in a user namespace that has none to spare, nobody, or
/// stays who it is. `number` tells guests apart. Gives whether the limits of this user are the guest's alone.
pub fn drop_identity(number: usize) -> Result<bool, Failed> {
    let call = |name, number, args| {
        // SAFETY: numbers only.
        tried(name, unsafe { host::call(number, args) })
    };
    if call("getuid", Sysno::getuid, [0; 6])? != 0 {
        return Ok(false);
    }
    let become_user = |user: usize| {
        call("setgroups", Sysno::setgroups, [0; 6])?;
        call("setresgid", Sysno::setresgid, [user, user, user, 0, 0, 0])?;
        call("setresuid", Sysno::setresuid, [user, user, user, 0, 0, 0])
    };
    for user in [FIRST_USER + number, NOBODY] {
        match become_user(user) {
            Ok(_) => return Ok(user != NOBODY),
            // No such user here, or no right to become one.
            Err((_, HostErrno::EINVAL | HostErrno::EPERM)) => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(false)
}

pub fn drop_capabilities() -> Result<(), Failed> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let none = [0_u32; 6];
    let args = [header.as_ptr() as usize, none.as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the kernel reads a header of 8 bytes and data of 24.
    tried("capset", unsafe { host::call(Sysno::capset, args) }).map(|_| ())
}

/// Lowers a resource limit, soft and hard. One that is lower already stays.
pub fn limit(resource: u32, value: u64) -> Result<(), Failed> {
    let mut limit = [0_u64; 2];
    let get = [0, resource as usize, 0, limit.as_mut_ptr() as usize, 0, 0];
    // SAFETY: the kernel writes 16 bytes.
    tried("prlimit64", unsafe { host::call(Sysno::prlimit64, get) })?;
    let lower = limit.map(|old| old.min(value));
    // SAFETY: the kernel reads 16 bytes.
    let done =
        unsafe { host::call(Sysno::setrlimit, [resource as usize, lower.as_ptr() as usize, 0, 0, 0, 0]) };
    tried("setrlimit", done).map(|_| ())
}

/// Closes every descriptor that is not in `keep`, in which negative ones are none.
pub fn close_others(keep: &mut [i32]) -> Result<(), Failed> {
    keep.sort_unstable();
    let mut from = 0;
    let close = |from: usize, to: usize| {
        // SAFETY: the descriptors belong to nobody any more.
        tried("close_range", unsafe { host::call(Sysno::close_range, [from, to, 0, 0, 0, 0]) })
    };
    for fd in keep.iter().filter_map(|fd| usize::try_from(*fd).ok()) {
        if fd > from {
            close(from, fd - 1)?;
        }
        from = fd + 1;
    }
    close(from, u32::MAX as usize)?;
    Ok(())
}

/// All of it, in the order that the steps need. `keep`: descriptors that stay open.
pub fn confine(config: &Config<'_>, keep: &mut [i32]) -> Result<(), Failed> {
    control("no_new_privs", prctl::PR_SET_NO_NEW_PRIVS, 1)?;
    deny_files()?;
    // In a user namespace of its own its processes are counted apart.
    let counted_alone = drop_identity(config.number as usize)? || config.own_users;
    drop_capabilities()?;
    close_others(keep)?;
    // A number below the limit that is free cannot be filled through the filter.
    limit(raw::RLIMIT_NOFILE, POLLS_MAX)?;
    limit(raw::RLIMIT_CORE, 0)?;
    limit(raw::RLIMIT_MEMLOCK, 0)?;
    if counted_alone {
        // Against a fork bomb that gets round the guest's kernel.
        limit(raw::RLIMIT_NPROC, THREADS_MAX)?;
    }
    if config.has_parent {
        // All of the guest ends when the `husk` that waits is killed. A change of identity would undo it, hence here.
        control("PR_SET_PDEATHSIG", prctl::PR_SET_PDEATHSIG, raw::SIGKILL as usize)?;
    }
    Ok(())
}
