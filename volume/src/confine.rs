//! What a state server gives up before it looks at the first request: other files, other system calls, most capabilities.

use crate::host::{drop_capabilities, keep_capabilities};
use crate::server::Access;
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What may be served, and how: a directory or a file.
pub struct Served<'a> {
    pub root: BorrowedFd<'a>,
    pub is_directory: bool,
    pub access: Access,
}

/// The calls a server makes once it serves: on descriptors, and on names relative to them.
const CALLS: &[libc::c_long] = &[
    // Files.
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_readlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_renameat2,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_pwritev2,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_fallocate,
    libc::SYS_copy_file_range,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_setxattr,
    libc::SYS_getxattr,
    libc::SYS_listxattr,
    libc::SYS_removexattr,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    // The ring, and the guest's end.
    libc::SYS_futex,
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_clock_gettime,
    // Threads and memory, as the C library and Rust need them.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_prctl,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
];

/// Capabilities that serving files needs (capabilities(7)): CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETGID, SETUID,
/// SETFCAP. Not MKNOD.
const CAPABILITIES: u64 = 0b1101_1111 | 1 << 31;

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

/// Confines this process, which must have one thread only, to what it serves. A host without Landlock is no error, since the rest
/// holds: gives whether there is one.
///
/// # Errors
/// Those of the host's calls.
pub fn confine(served: &[Served<'_>]) -> io::Result<bool> {
    if rustix::process::geteuid().is_root() {
        keep_capabilities()?;
        match drop_capabilities(CAPABILITIES) {
            // In a user namespace that has fewer.
            Ok(()) | Err(Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let has_landlock = restrict_files(served).map_err(other)?;
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter =
        SeccompFilter::new(rules, refused, SeccompAction::Allow, TargetArch::x86_64).map_err(other)?;
    let program: BpfProgram = filter.try_into().map_err(other)?;
    seccompiler::apply_filter(&program).map_err(other)?;
    Ok(has_landlock)
}

fn restrict_files(served: &[Served<'_>]) -> Result<bool, landlock::RulesetError> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(abi))?
        .create()?
        .no_new_privs(true);
    for root in served {
        let mut access: BitFlags<AccessFs> = match root.access {
            Access::ReadOnly => AccessFs::ReadFile | AccessFs::ReadDir,
            // Not the running of programs, and no devices.
            Access::ReadWrite => {
                all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev)
            }
        };
        if !root.is_directory {
            access &= AccessFs::from_file(abi);
        }
        rules = rules.add_rule(PathBeneath::new(root.root.as_fd(), access))?;
    }
    rules.restrict_self().map(|status| status.ruleset != RulesetStatus::NotEnforced)
}
