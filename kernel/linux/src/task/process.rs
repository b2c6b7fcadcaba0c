//! Processes (thread groups), process groups and sessions.

use super::cred::Cred;
use super::wait::WaitQueue;
use super::{Pid, Task};
use crate::file::table::FdTable;
use crate::fs::FsContext;
use crate::mem::Space;
use crate::signal;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;
use linux_raw_sys::general::rlimit64;

/// A session: setsid(2). Its controlling terminal hangs here.
pub struct Session {
    pub id: Pid,
    pub terminal: KCell<Option<Arc<crate::tty::Tty>>>,
}

/// A change of a child that wait4(2) reports besides its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobReport {
    Stopped(u32),
    Continued,
}

/// A thread group.
pub struct Process {
    pid: Pid,
    pub parent: KCell<Weak<Process>>,
    pub children: KCell<Vec<Arc<Process>>>,
    /// Living threads.
    pub tasks: KCell<Vec<Weak<Task>>>,
    pub pgid: KCell<Pid>,
    pub session: KCell<Arc<Session>>,
    rlimits: KCell<[rlimit64; raw::RLIM_NLIMITS as usize]>,
    /// Set by exit_group(2) or a fatal signal: every thread ends when it next leaves the kernel.
    pub exiting: KCell<Option<i32>>,
    /// The wait status, once the last thread has ended.
    pub zombie: KCell<Option<i32>>,
    /// A stop or continue that the parent has not waited for yet.
    pub report: KCell<Option<JobReport>>,
    /// Stopped by a job-control signal.
    pub stopped: KCell<bool>,
    /// Woken when a child ends, stops or continues.
    pub child_events: WaitQueue,
    /// Woken when this process ends (pidfd), stops or continues.
    pub own_events: WaitQueue,
    /// Signals sent to the process as a whole.
    pub signals: signal::ProcessSignals,
    /// Interval timers and POSIX timers.
    pub timers: crate::time::interval::ProcessTimers,
    /// Signal sent to the parent at the end: SIGCHLD after fork(2).
    pub exit_signal: KCell<u32>,
    /// The file that runs, for /proc/PID/exe.
    pub exe: KCell<Option<crate::fs::Path>>,
    /// Monotonic ns at the start.
    pub start_time: u64,
    /// The process has called execve(2) since it was forked: setpgid(2) wants to know.
    pub did_exec: KCell<bool>,
    /// CPU time of threads that have ended: user and system ns.
    pub ended_cpu_time: KCell<(u64, u64)>,
    /// CPU time of children that were waited for, and of theirs: user and system ns.
    pub children_cpu_time: KCell<(u64, u64)>,
    /// prctl(PR_SET_CHILD_SUBREAPER).
    pub child_subreaper: KCell<bool>,
}

/// The living and the zombies, by process id.
static PROCESSES: Global<KCell<BTreeMap<Pid, Arc<Process>>>> = Global::new(KCell::default);
/// Living tasks by thread id.
static TASKS: Global<KCell<BTreeMap<Pid, Weak<Task>>>> = Global::new(KCell::default);
static LAST_PID: Global<KCell<Pid>> = Global::new(KCell::default);

const PID_MAX: Pid = 4_194_304;

/// The process with this id, zombie or living.
pub fn find(pid: Pid) -> Option<Arc<Process>> {
    PROCESSES.borrow().get(&pid).cloned()
}

/// The living task with this id.
pub fn find_task(tid: Pid) -> Option<Arc<Task>> {
    TASKS.borrow().get(&tid).and_then(Weak::upgrade)
}

/// All processes, zombies too, by id.
pub fn all() -> Vec<Arc<Process>> {
    PROCESSES.borrow().values().cloned().collect()
}

/// All living tasks, by id.
pub fn all_tasks() -> Vec<Arc<Task>> {
    TASKS.borrow().values().filter_map(Weak::upgrade).collect()
}

/// Members of a process group.
pub fn in_group(pgid: Pid) -> Vec<Arc<Process>> {
    PROCESSES.borrow().values().filter(|process| process.pgid.get() == pgid).cloned().collect()
}

/// A free id. Process ids are not used again before the counter has gone round.
pub(super) fn new_pid() -> Pid {
    let (processes, tasks) = (PROCESSES.borrow(), TASKS.borrow());
    let mut pid = LAST_PID.get();
    loop {
        pid = if pid >= PID_MAX { 300 } else { pid + 1 };
        let named = |process: &Arc<Process>| process.pgid.get() == pid || process.session.borrow().id == pid;
        if !processes.contains_key(&pid) && !tasks.contains_key(&pid) && !processes.values().any(named) {
            LAST_PID.set(pid);
            return pid;
        }
    }
}

fn default_rlimits() -> [rlimit64; raw::RLIM_NLIMITS as usize] {
    const INFINITE: u64 = u64::MAX;
    let mut limits =
        [(); raw::RLIM_NLIMITS as usize].map(|()| rlimit64 { rlim_cur: INFINITE, rlim_max: INFINITE });
    let mut set = |resource: u32, soft, hard| {
        limits[resource as usize] = rlimit64 { rlim_cur: soft, rlim_max: hard };
    };
    set(raw::RLIMIT_STACK, 8 << 20, INFINITE);
    set(raw::RLIMIT_CORE, 0, INFINITE);
    set(raw::RLIMIT_NPROC, 1 << 15, 1 << 15);
    set(raw::RLIMIT_NOFILE, 1024, 1 << 20);
    set(raw::RLIMIT_MEMLOCK, 8 << 20, 8 << 20);
    set(raw::RLIMIT_SIGPENDING, 1 << 15, 1 << 15);
    set(raw::RLIMIT_MSGQUEUE, 819_200, 819_200);
    set(raw::RLIMIT_NICE, 0, 0);
    set(raw::RLIMIT_RTPRIO, 0, 0);
    limits
}

impl Process {
    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn rlimit(&self, resource: u32) -> rlimit64 {
        let limit = &self.rlimits.borrow()[resource as usize];
        rlimit64 { rlim_cur: limit.rlim_cur, rlim_max: limit.rlim_max }
    }

    pub fn set_rlimit(&self, resource: u32, limit: rlimit64) {
        self.rlimits.borrow_mut()[resource as usize] = limit;
    }

    /// CPU time of all threads, those that have ended too: user and system ns.
    pub fn cpu_time(&self) -> (u64, u64) {
        let threads = self.living();
        threads
            .iter()
            .map(|task| task.cpu_time())
            .fold(self.ended_cpu_time.get(), |sum, time| (sum.0 + time.0, sum.1 + time.1))
    }

    /// The living threads, the oldest first.
    pub fn living(&self) -> Vec<Arc<Task>> {
        self.tasks.borrow().iter().filter_map(Weak::upgrade).collect()
    }

    /// The thread whose id is the process's, or the oldest that lives.
    pub fn leader(&self) -> Option<Arc<Task>> {
        self.tasks.borrow().iter().find_map(Weak::upgrade)
    }
}

/// Makes process 1 (or, in unit tests, a further process) with one task and nothing open.
pub fn first_task(cred: Arc<Cred>) -> Arc<Task> {
    let pid = new_pid();
    let process = Arc::new(Process {
        pid,
        parent: KCell::new(Weak::new()),
        children: KCell::default(),
        tasks: KCell::default(),
        pgid: KCell::new(pid),
        session: KCell::new(Arc::new(Session { id: pid, terminal: KCell::default() })),
        rlimits: KCell::new(default_rlimits()),
        exiting: KCell::default(),
        zombie: KCell::default(),
        report: KCell::default(),
        stopped: KCell::default(),
        child_events: WaitQueue::new(),
        own_events: WaitQueue::new(),
        signals: signal::ProcessSignals::default(),
        timers: crate::time::interval::ProcessTimers::default(),
        exit_signal: KCell::new(raw::SIGCHLD),
        exe: KCell::default(),
        start_time: crate::time::monotonic_ns(),
        did_exec: KCell::default(),
        ended_cpu_time: KCell::default(),
        children_cpu_time: KCell::default(),
        child_subreaper: KCell::default(),
    });
    PROCESSES.borrow_mut().insert(pid, process.clone());
    let task = Arc::new(Task {
        tid: pid,
        process,
        cred: KCell::new(cred),
        files: KCell::new(FdTable::new()),
        fs: KCell::new(FsContext::new()),
        space: KCell::new(Space::new()),
        comm: KCell::default(),
        signals: signal::TaskSignals::default(),
        handlers: KCell::default(),
        cpu_time: KCell::default(),
        clear_child_tid: KCell::default(),
        robust_list: KCell::default(),
        no_new_privs: KCell::default(),
    });
    register(&task);
    task
}

/// Makes a task findable by its id and a member of its process.
pub(super) fn register(task: &Arc<Task>) {
    TASKS.borrow_mut().insert(task.tid, Arc::downgrade(task));
    task.process.tasks.borrow_mut().push(Arc::downgrade(task));
}
