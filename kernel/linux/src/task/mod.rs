//! Tasks: processes and threads, their scheduling and waiting.
//!
//! A `Task` is one thread; a `Process` is a thread group. What threads share (files, directories, memory, signal
//! handlers) hangs behind `Arc`s in the task, which clone(2) copies or shares as its flags say.

pub mod clone;
pub mod cred;
pub mod exec;
pub mod exit;
pub mod futex;

pub mod attributes;
pub mod barrier;
pub mod identity;
pub mod park;
pub mod process;
pub mod ptrace;
pub mod rseq;
pub mod sched;
pub mod seccomp;
pub mod wait;

use crate::file::table::FdTable;
use crate::fs::FsContext;
use crate::mem::Space;
use crate::signal;
use alloc::sync::Arc;
use cred::Cred;
use husk_machine::cell::{KCell, Ref};
use linux_raw_sys::general::rlimit64;
use process::Process;

/// Identifies a task or process: positive, unique among the living.
pub type Pid = i32;

/// One thread.
pub struct Task {
    tid: KCell<Pid>,
    process: Arc<Process>,
    cred: KCell<Arc<Cred>>,
    files: KCell<Arc<FdTable>>,
    fs: KCell<Arc<FsContext>>,
    space: KCell<Arc<Space>>,
    /// The name in /proc/PID/comm, NUL-padded.
    pub comm: KCell<[u8; 16]>,
    /// Signal state of this thread alone: mask, pending signals, alternate stack.
    pub signals: signal::TaskSignals,
    /// Signal handlers, shared by CLONE_SIGHAND.
    pub handlers: KCell<Arc<signal::Handlers>>,
    /// The system calls it may make.
    pub seccomp: KCell<seccomp::Seccomp>,
    /// Scheduling wishes, personality, prctl(2) settings.
    pub attributes: KCell<attributes::Attributes>,
    /// Address that exit clears and wakes (set_tid_address(2)).
    pub clear_child_tid: KCell<usize>,
    /// Head of the list of robust futexes (set_robust_list(2)).
    pub robust_list: KCell<usize>,
    /// Restartable sequences (rseq(2)).
    pub rseq: rseq::Rseq,
    /// prctl(PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: KCell<bool>,
    /// Woken when the task no longer uses the memory of the parent that waits in vfork(2).
    pub vfork_done: KCell<Option<Arc<wait::WaitQueue>>>,
    /// Set by exit(2): the task ends, with this wait status, when it leaves the kernel.
    pub ended: KCell<Option<i32>>,
    /// What others ask it to do in its memory.
    pub errands: crate::mem::remote::Errands,
    /// Who traces it, and where it has stopped for that.
    pub trace: ptrace::Tracee,
    pub sched: sched::Entity,
}

impl Task {
    pub fn tid(&self) -> Pid {
        self.tid.get()
    }

    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    pub fn cred(&self) -> Arc<Cred> {
        self.cred.borrow().clone()
    }

    /// The credentials, borrowed: for checks that do not wait.
    pub fn cred_ref(&self) -> Ref<'_, Arc<Cred>> {
        self.cred.borrow()
    }

    pub fn set_cred(&self, cred: Arc<Cred>) {
        self.cred.set_arc(cred);
    }

    pub fn files(&self) -> Arc<FdTable> {
        self.files.borrow().clone()
    }

    /// The descriptors, borrowed: to look one up.
    pub fn files_ref(&self) -> Ref<'_, Arc<FdTable>> {
        self.files.borrow()
    }

    pub fn set_files(&self, files: Arc<FdTable>) {
        self.files.set_arc(files);
    }

    pub fn fs(&self) -> Arc<FsContext> {
        self.fs.borrow().clone()
    }

    /// Where names start from, borrowed: for a look that does not wait.
    pub fn fs_ref(&self) -> Ref<'_, Arc<FsContext>> {
        self.fs.borrow()
    }

    pub fn set_fs(&self, fs: Arc<FsContext>) {
        self.fs.set_arc(fs);
    }

    /// The address space.
    pub fn space(&self) -> Arc<Space> {
        self.space.borrow().clone()
    }

    pub fn set_space(&self, space: Arc<Space>) {
        self.space.set_arc(space);
    }

    /// Time on a processor: user and system ns, which the kernel does not tell apart.
    pub fn cpu_time(&self) -> (u64, u64) {
        (sched::run_time(self), 0)
    }

    /// A resource limit of the process: RLIMIT_*.
    pub fn rlimit(&self, resource: u32) -> rlimit64 {
        self.process.rlimit(resource)
    }
}

/// Replaces an `Arc` and drops the old one after the borrow has ended.
trait SetArc<T> {
    fn set_arc(&self, value: T);
}

impl<T> SetArc<Arc<T>> for KCell<Arc<T>> {
    fn set_arc(&self, value: Arc<T>) {
        drop(self.replace(value));
    }
}

/// The task that runs on this vCPU.
pub fn current() -> Arc<Task> {
    sched::current()
}

#[cfg(test)]
pub mod test {
    //! A task for unit tests.
    use super::{Task, process, sched};
    use alloc::sync::Arc;

    /// Makes a process with one task, root's, and makes it `task::current()` of this test thread.
    pub fn enter() -> Arc<Task> {
        let task = another(super::Cred::new(0, 0));
        sched::set_current(Some(task.clone()));
        task
    }

    /// Makes a further process with one task.
    pub fn another(cred: Arc<super::Cred>) -> Arc<Task> {
        let space = super::Space::new(None).expect("memory for a space");
        process::init_task(cred, sched::Entity::new(None, None), space, true)
    }
}
