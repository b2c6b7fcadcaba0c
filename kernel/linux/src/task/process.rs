//! Processes (thread groups), process groups and sessions.

use super::cred::Cred;
use super::sched::Switches;
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

/// Resources that were used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in ns.
    pub user: u64,
    pub system: u64,
    /// The most bytes in memory at once.
    pub most_resident: usize,
    pub switches: Switches,
}

/// A thread group.
pub struct Process {
    pid: Pid,
    pub parent: KCell<Weak<Process>>,
    /// The thread that made it, whose tracee it becomes by PTRACE_TRACEME.
    pub maker: KCell<Weak<Task>>,
    pub children: KCell<Vec<Arc<Process>>>,
    /// Living threads.
    pub tasks: KCell<Vec<Weak<Task>>>,
    pub pgid: KCell<Pid>,
    pub session: KCell<Arc<Session>>,
    rlimits: KCell<[rlimit64; raw::RLIM_NLIMITS as usize]>,
    /// Set by exit_group(2) or a fatal signal: every thread ends when it next leaves the kernel.
    pub exiting: KCell<Option<i32>>,
    /// An execve in this thread waits for all others to end.
    pub replacing: KCell<Option<Pid>>,
    /// Woken when a thread has ended.
    pub thread_ended: WaitQueue,
    /// Nanoseconds on a vCPU of threads that have ended.
    ended_time: KCell<u64>,
    /// User and system nanoseconds of children that were waited for.
    children_time: KCell<(u64, u64)>,
    /// The most bytes that it, and children that were waited for, had in memory at once.
    most_resident: KCell<usize>,
    children_most: KCell<usize>,
    /// Switches of threads that have ended, and of children that were waited for.
    ended_switches: KCell<Switches>,
    children_switches: KCell<Switches>,
    /// The name of the thread that ended last.
    pub last_comm: KCell<[u8; 16]>,
    /// The real user id at the end, when no thread is left to ask.
    last_uid: KCell<u32>,
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
    /// prctl(PR_SET_DUMPABLE): 1 if its users may look into it.
    pub dumpable: KCell<u32>,
    /// The session whose controlling terminal this process has given up (TIOCNOTTY), 0 for none.
    pub left_terminal: KCell<Pid>,
    /// How willing it is to be ended when memory is short, -1000..=1000: /proc/PID/oom_score_adj.
    pub oom_score_adj: KCell<i32>,
    /// prctl(PR_SET_THP_DISABLE): told back; the kernel makes no huge pages of its own accord.
    pub no_huge_pages: KCell<bool>,
    /// prctl(PR_SET_CHILD_SUBREAPER).
    pub child_subreaper: KCell<bool>,
    /// Signals that it does not handle pass it by, unless it caused them itself: the first process of a PID namespace
    /// (pid_namespaces(7)).
    pub is_init: KCell<bool>,
    /// What its threads trace.
    pub tracing: super::ptrace::Tracing,
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

/// The id that was given last.
pub fn last_pid() -> Pid {
    LAST_PID.get()
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

    /// The real user id.
    pub fn uid(&self) -> u32 {
        self.leader().map_or(self.last_uid.get(), |task| task.cred().uid)
    }

    /// CPU time of all threads, living and ended: user and system, in ns. The kernel does not tell the two apart, since its
    /// calls take so little time.
    pub fn cpu_time(&self) -> (u64, u64) {
        let living: u64 = self.living().iter().map(|task| task.cpu_time().0).sum();
        (self.ended_time.get() + living, 0)
    }

    /// CPU time of the children that were waited for, with theirs.
    pub fn children_time(&self) -> (u64, u64) {
        self.children_time.get()
    }

    /// What a thread that ends has used.
    pub(super) fn add_ended(&self, nanoseconds: u64, switches: Switches) {
        self.ended_time.set(self.ended_time.get() + nanoseconds);
        *self.ended_switches.borrow_mut() += switches;
    }

    /// Notes how much memory its program has had, before that goes.
    pub(super) fn note_most_resident(&self, bytes: usize) {
        self.most_resident.set(self.most_resident.get().max(bytes));
    }

    /// What getrusage(2) tells of it.
    pub fn usage(&self) -> Usage {
        let (user, system) = self.cpu_time();
        let now = self.leader().map_or(0, |task| task.space().most_resident());
        let mut switches = self.ended_switches.get();
        self.living().iter().for_each(|task| switches += task.sched.switches());
        Usage { user, system, most_resident: self.most_resident.get().max(now), switches }
    }

    /// What getrusage(2) tells of the children that were waited for, with theirs.
    pub fn children_usage(&self) -> Usage {
        let (user, system) = self.children_time.get();
        let switches = self.children_switches.get();
        Usage { user, system, most_resident: self.children_most.get(), switches }
    }

    /// The first thread has ended before others did: it stays as a zombie.
    pub fn leader_has_ended(&self) -> bool {
        !self.living().iter().any(|task| task.tid() == self.pid)
    }

    /// Threads, with the first one, which stays until the last has ended.
    pub fn thread_count(&self) -> usize {
        self.living().len() + usize::from(self.leader_has_ended())
    }

    pub(super) fn add_children_usage(&self, child: &Process) {
        let usage = child.usage();
        self.children_most
            .set(self.children_most.get().max(usage.most_resident).max(child.children_most.get()));
        let mut switches = self.children_switches.get();
        switches += usage.switches;
        switches += child.children_switches.get();
        self.children_switches.set(switches);
        let ((user, system), own, below) =
            (self.children_time.get(), child.cpu_time(), child.children_time.get());
        self.children_time.set((user + own.0 + below.0, system + own.1 + below.1));
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

/// Makes a process with nothing but an identity, and makes it findable.
fn new_process(pid: Pid, session: Arc<Session>, pgid: Pid) -> Arc<Process> {
    let process = Arc::new(Process {
        pid,
        parent: KCell::new(Weak::new()),
        maker: KCell::new(Weak::new()),
        children: KCell::default(),
        tasks: KCell::default(),
        pgid: KCell::new(pgid),
        session: KCell::new(session),
        rlimits: KCell::new(default_rlimits()),
        exiting: KCell::default(),
        replacing: KCell::default(),
        thread_ended: WaitQueue::new(),
        ended_time: KCell::default(),
        children_time: KCell::default(),
        most_resident: KCell::default(),
        children_most: KCell::default(),
        ended_switches: KCell::default(),
        children_switches: KCell::default(),
        last_comm: KCell::default(),
        last_uid: KCell::default(),
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
        dumpable: KCell::new(1),
        left_terminal: KCell::default(),
        oom_score_adj: KCell::default(),
        no_huge_pages: KCell::default(),
        child_subreaper: KCell::default(),
        is_init: KCell::default(),
        tracing: super::ptrace::Tracing::default(),
    });
    PROCESSES.borrow_mut().insert(pid, process.clone());
    process
}

/// Makes the child process of fork(2): its parent is `parent`'s process unless `sibling` (CLONE_PARENT).
pub(super) fn new_child(parent: &Arc<Task>, sibling: bool, exit_signal: u32) -> Arc<Process> {
    let own = parent.process();
    let maker = if sibling { own.maker.borrow().clone() } else { Arc::downgrade(parent) };
    let child = new_process(new_pid(), own.session.borrow().clone(), own.pgid.get());
    let parent = if sibling { own.parent.borrow().upgrade() } else { Some(own.clone()) };
    if let Some(parent) = parent {
        *child.parent.borrow_mut() = Arc::downgrade(&parent);
        parent.children.borrow_mut().push(child.clone());
    }
    for (limit, theirs) in child.rlimits.borrow_mut().iter_mut().zip(own.rlimits.borrow().iter()) {
        *limit = rlimit64 { rlim_cur: theirs.rlim_cur, rlim_max: theirs.rlim_max };
    }
    *child.maker.borrow_mut() = maker;
    child.timers.watch_cpu_limit(&child);
    child.exit_signal.set(exit_signal);
    child.left_terminal.set(own.left_terminal.get());
    child.oom_score_adj.set(own.oom_score_adj.get());
    child.no_huge_pages.set(own.no_huge_pages.get());
    let exe = own.exe.borrow().clone();
    *child.exe.borrow_mut() = exe;
    child
}

/// Forgets a process that was waited for.
pub(super) fn reap(process: &Arc<Process>) {
    let gone = PROCESSES.borrow_mut().remove(&process.pid);
    let parent = process.parent.borrow().upgrade();
    if let Some(parent) = parent {
        parent.children.borrow_mut().retain(|child| child.pid != process.pid);
    }
    drop(gone);
}

/// Forgets a thread that has ended.
pub(super) fn unregister(task: &Task) {
    task.process.last_uid.set(task.cred().uid);
    task.process.last_comm.set(task.comm.get());
    TASKS.borrow_mut().remove(&task.tid());
    task.process
        .tasks
        .borrow_mut()
        .retain(|other| other.upgrade().is_some_and(|other| !core::ptr::eq(&*other, task)));
}

/// The only thread left takes the id of its process (execve(2)).
pub(super) fn take_leader_id(task: &Arc<Task>) {
    let mut tasks = TASKS.borrow_mut();
    tasks.remove(&task.tid());
    task.tid.set(task.pid());
    tasks.insert(task.tid(), Arc::downgrade(task));
}

/// Makes process 1 with one task and nothing open. That of a container leads a session, and so does one on a terminal,
/// which controls that session. Any other is in session 0, whose leader is outside: as a program that a shell starts it
/// leads none, so that a terminal that it opens does not become its own.
pub fn init_task(
    cred: Arc<Cred>,
    sched: super::sched::Entity,
    space: Arc<Space>,
    leads_session: bool,
) -> Arc<Task> {
    let pid = new_pid();
    let session = Arc::new(Session { id: if leads_session { pid } else { 0 }, terminal: KCell::default() });
    let task = Arc::new(Task {
        tid: KCell::new(pid),
        process: new_process(pid, session, pid),
        cred: KCell::new(cred),
        files: KCell::new(FdTable::new()),
        fs: KCell::new(FsContext::new()),
        space: KCell::new(space),
        comm: KCell::default(),
        signals: signal::TaskSignals::default(),
        handlers: KCell::default(),
        seccomp: KCell::default(),
        attributes: KCell::default(),
        clear_child_tid: KCell::default(),
        robust_list: KCell::default(),
        rseq: super::rseq::Rseq::default(),
        no_new_privs: KCell::default(),
        vfork_done: KCell::default(),
        ended: KCell::default(),
        errands: KCell::default(),
        trace: super::ptrace::Tracee::default(),
        sched,
    });
    register(&task);
    task
}

/// Makes a task findable by its id and a member of its process.
pub(super) fn register(task: &Arc<Task>) {
    TASKS.borrow_mut().insert(task.tid(), Arc::downgrade(task));
    task.process.tasks.borrow_mut().push(Arc::downgrade(task));
}
