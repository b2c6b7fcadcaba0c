//! Generation: who may send, what is dropped, which thread is woken.

use super::action::STOPS;
use super::info::{SI_KERNEL, SI_TIMER, SigInfo};
use super::{ALL, Handlers, SIG_DFL, SigAction, SigSet, UNBLOCKABLE, bit, job};
use crate::errno::Errno;
use crate::file::signalfd::SignalFd;
use crate::task::cred::CAP_KILL;
use crate::task::process::{self, Process};
use crate::task::sched::State;
use crate::task::{Pid, Task, current, sched};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;

/// Open signalfds: they hear of every signal sent, and whoever polls one looks at its own queues.
static WATCHERS: Global<KCell<Vec<Weak<SignalFd>>>> = Global::new(KCell::default);

/// Tells `fd` of signals sent from now on.
pub fn watch(fd: &Arc<SignalFd>) {
    let mut watchers = WATCHERS.borrow_mut();
    watchers.retain(|watcher| watcher.strong_count() > 0);
    watchers.push(Arc::downgrade(fd));
}

fn tell_watchers(signo: u32) {
    if WATCHERS.borrow().is_empty() {
        return;
    }
    let watchers: Vec<Arc<SignalFd>> = WATCHERS.borrow().iter().filter_map(Weak::upgrade).collect();
    for watcher in watchers {
        watcher.signal_sent(signo);
    }
}

/// The dispositions of a process, unless its last thread has ended.
pub(super) fn handlers_of(process: &Process) -> Option<Arc<Handlers>> {
    let task = process.leader()?;
    let handlers = task.handlers.borrow().clone();
    Some(handlers)
}

/// Whether `sender` may send `signo` to the process of `target` (kill(2)).
pub fn may_signal(sender: &Task, target: &Task, signo: u32) -> Result<(), Errno> {
    let (from, to) = (sender.cred(), target.cred());
    let same_user = [from.euid, from.uid].iter().any(|uid| *uid == to.suid || *uid == to.uid);
    let same_process = Arc::ptr_eq(sender.process(), target.process());
    let same_session = || sender.process().session.borrow().id == target.process().session.borrow().id;
    if same_process || same_user || from.capable(CAP_KILL) || signo == raw::SIGCONT && same_session() {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Sends a signal to the calling thread on behalf of itself (SIGPIPE, SIGXFSZ).
pub fn raise(signo: u32) {
    let me = current();
    let info = SigInfo::user(signo, &me);
    send_to_task(&me, info);
}

/// Sends a signal to one thread.
pub fn send_to_task(task: &Arc<Task>, info: SigInfo) {
    // Only a queue that is full can refuse, and only senders that ask care.
    let _ = try_send_to_task(task, info);
}

/// Sends a signal to a process: any thread that does not block it takes it.
pub fn send_to_process(process: &Arc<Process>, info: SigInfo) {
    let _ = try_send_to_process(process, info);
}

/// Sends a signal to every member of a process group.
pub fn send_to_group(pgid: Pid, info: SigInfo) {
    for process in process::in_group(pgid) {
        send_to_process(&process, info);
    }
}

/// As `send_to_task`; EAGAIN when the queue of real-time signals is full.
pub fn try_send_to_task(task: &Arc<Task>, info: SigInfo) -> Result<(), Errno> {
    send(task.process(), &To::Thread(task), info, false)
}

/// As `send_to_process`; EAGAIN when the queue of real-time signals is full.
pub fn try_send_to_process(process: &Arc<Process>, info: SigInfo) -> Result<(), Errno> {
    send(process, &To::AnyThread, info, false)
}

/// Whom a signal is for.
#[derive(Clone, Copy)]
pub enum To<'a> {
    Thread(&'a Arc<Task>),
    /// Any thread of the process: the first one, if it can take it.
    AnyThread,
    /// Any thread of the process, but rather one that runs: what its processor time has brought about, a profiler takes
    /// for the work of the thread that gets it.
    RunningThread,
}

/// Sends the expiry of a timer that a process has made. Expiries of POSIX timers that are not taken merge.
pub fn send_timer(process: &Arc<Process>, to: To<'_>, info: SigInfo) {
    let _ = send(process, &to, info, info.code == SI_TIMER);
}

/// Drops what a POSIX timer of the process has sent and nobody has taken: the timer is gone.
pub fn drop_timer(process: &Process, id: i32) {
    process.signals.state.borrow_mut().pending.flush_timer(id);
    for thread in process.living() {
        thread.signals.state.borrow_mut().pending.flush_timer(id);
    }
}

fn send(process: &Arc<Process>, to: &To<'_>, info: SigInfo, timer: bool) -> Result<(), Errno> {
    let signo = info.signo;
    let task = if let To::Thread(task) = to { Some(*task) } else { None };
    let threads = process.living();
    // The thread whose mask and dispositions count.
    let leader = threads.iter().find(|thread| thread.tid() == process.pid()).or(threads.first());
    let Some(judge) = task.or(leader) else { return Ok(()) };

    if bit(signo) & STOPS != 0 {
        flush(process, &threads, bit(raw::SIGCONT));
    } else if signo == raw::SIGCONT {
        flush(process, &threads, STOPS);
        job::resume(process, &threads);
    }
    if is_ignored(judge, &info) {
        return Ok(());
    }
    let limit = process.rlimit(raw::RLIMIT_SIGPENDING).rlim_cur;
    let queued = {
        let mut own;
        let mut shared;
        let pending = match task {
            Some(task) => {
                own = task.signals.state.borrow_mut();
                &mut own.pending
            }
            None => {
                shared = process.signals.state.borrow_mut();
                &mut shared.pending
            }
        };
        match timer {
            true => {
                pending.push_timer(info);
                true
            }
            false => pending.push(info, limit),
        }
    };
    if !queued {
        return Err(Errno::EAGAIN);
    }
    tell_watchers(signo);
    match task {
        _ if signo == raw::SIGKILL => threads.iter().for_each(sched::wake_for_signal),
        Some(task) => {
            if takes(task, signo) {
                sched::wake_for_signal(task);
            }
        }
        None => {
            let runs = |thread: &&Arc<Task>| {
                matches!(thread.sched.state(), State::Running | State::Queued) && takes(thread, signo)
            };
            let running: Vec<_> = match to {
                To::RunningThread => threads.iter().filter(runs).collect(),
                _ => Vec::new(),
            };
            let mut any = [0];
            husk_machine::random::fill(&mut any);
            match running.get(usize::from(any[0]) % running.len().max(1)) {
                Some(thread) => sched::wake_for_signal(thread),
                None => wake_one(process, &threads, signo),
            }
        }
    }
    Ok(())
}

/// A signal that would do nothing is not even queued, unless the thread blocks it and so may yet change its mind.
fn is_ignored(task: &Task, info: &SigInfo) -> bool {
    let signo = info.signo;
    if task.trace.is_traced() {
        // Its tracer hears of what the program ignores, too.
        return false;
    }
    let state = task.signals.state.borrow();
    let blocked = (state.mask | state.awaited) & bit(signo) != 0;
    drop(state);
    let action = task.handlers.borrow().get(signo);
    let is_final = signo == raw::SIGKILL || signo == raw::SIGSTOP;
    if task.process().is_init.get() && action.handler == SIG_DFL && !(is_final && info.code == SI_KERNEL) {
        return !blocked;
    }
    !blocked && !is_final && action.ignores(signo)
}

/// Whether the thread would take this signal when woken.
fn takes(task: &Task, signo: u32) -> bool {
    let state = task.signals.state.borrow();
    state.mask & bit(signo) == 0 && !state.in_stop
}

/// Wakes the thread that shall take a signal sent to the process: the first one if it can, else one that has nothing to
/// do yet. When all that could have signals already, they will find this one too.
fn wake_one(process: &Process, threads: &[Arc<Task>], signo: u32) {
    let first = threads.iter().filter(|thread| thread.tid() == process.pid());
    let others = threads.iter().filter(|thread| thread.tid() != process.pid());
    let mut takers = first.chain(others).filter(|thread| takes(thread, signo));
    // The signal itself is in the shared queue by now; what counts is whether anything else keeps the thread busy.
    let free = |thread: &&Arc<Task>| {
        let own = thread.signals.state.borrow();
        let others = (own.pending.set() | process.signals.pending() & !bit(signo)) & !own.mask;
        others == 0
    };
    let mut candidates = takers.clone();
    let chosen = candidates.find(free).or_else(|| takers.next());
    if let Some(thread) = chosen {
        sched::wake_for_signal(thread);
    }
}

/// Drops the signals in `set` wherever they wait in the process.
fn flush(process: &Process, threads: &[Arc<Task>], set: SigSet) {
    process.signals.state.borrow_mut().pending.flush(set);
    for thread in threads {
        thread.signals.state.borrow_mut().pending.flush(set);
    }
}

/// sigaction(2): sets a disposition. Pending signals that it ignores are dropped.
pub fn set_action(t: &Arc<Task>, signo: u32, action: SigAction) {
    let action = SigAction { mask: action.mask & !UNBLOCKABLE, ..action };
    t.handlers.borrow().set(signo, action);
    if action.ignores(signo) {
        flush(t.process(), &t.process().living(), bit(signo));
    }
}

/// Other threads take what was sent to the process and `t` will not take any more.
pub(super) fn retarget(t: &Task, set: SigSet) {
    let process = t.process();
    let wanted = process.signals.pending() & set;
    let mut left = wanted;
    for thread in process.living() {
        let takes = left & !thread.signals.mask();
        if thread.tid() != t.tid() && takes != 0 {
            left &= !takes;
            sched::wake_for_signal(&thread);
        }
        if left == 0 {
            break;
        }
    }
}

/// A thread ends, its process perhaps not: call it after the thread has left `process.tasks`.
pub fn task_leaves(t: &Arc<Task>) {
    t.signals.state.borrow_mut().mask = ALL;
    retarget(t, ALL);
    job::check_complete(t.process());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{Action, SI_QUEUE, SIG_IGN, deliver, force, interrupts, killed, set_mask, take};
    use crate::task::cred::Cred;
    use crate::task::test::another;
    use crate::task::test::enter;

    fn ignoring(t: &Arc<Task>, signo: u32) {
        set_action(t, signo, SigAction { handler: SIG_IGN, ..SigAction::default() });
    }

    #[test]
    fn ignored_signals_are_dropped_unless_blocked() {
        let t = enter();
        ignoring(&t, raw::SIGUSR1);
        send_to_process(t.process(), SigInfo::kernel(raw::SIGUSR1));
        assert_eq!(t.process().signals.pending(), 0);
        set_mask(&t, bit(raw::SIGUSR1));
        send_to_process(t.process(), SigInfo::kernel(raw::SIGUSR1));
        assert_eq!(t.process().signals.pending(), bit(raw::SIGUSR1));
        assert!(!interrupts(&t));
        // Setting it to be ignored takes it away even so.
        ignoring(&t, raw::SIGUSR1);
        assert_eq!(t.process().signals.pending(), 0);
    }

    #[test]
    fn what_the_first_process_of_a_container_does_not_handle_passes_it_by() {
        let t = enter();
        let sender = another(Cred::new(0, 0));
        t.process().is_init.set(true);
        for signo in [raw::SIGTERM, raw::SIGKILL, raw::SIGSTOP, raw::SIGABRT, 40] {
            send_to_process(t.process(), SigInfo::user(signo, &sender));
            assert_eq!(t.process().signals.pending(), 0, "signal {signo}");
        }
        // From outside, too, and when it is taken from its mask.
        send_to_process(t.process(), SigInfo::kernel(raw::SIGTERM));
        assert_eq!(deliver(&t, None), Action::Return);
        set_mask(&t, bit(raw::SIGTERM));
        send_to_process(t.process(), SigInfo::user(raw::SIGTERM, &sender));
        assert_eq!(t.process().signals.pending(), bit(raw::SIGTERM));
        set_mask(&t, 0);
        assert_eq!(deliver(&t, None), Action::Return);
        // What it handles it gets, and its own faults end it.
        set_action(&t, raw::SIGTERM, SigAction { handler: 0x40_0000, ..SigAction::default() });
        send_to_process(t.process(), SigInfo::user(raw::SIGTERM, &sender));
        assert_eq!(t.process().signals.pending(), bit(raw::SIGTERM));
        let t = enter();
        t.process().is_init.set(true);
        force(&t, SigInfo::kernel(raw::SIGSEGV));
        assert_eq!(deliver(&t, None), Action::Exit(raw::SIGSEGV as i32));
        let t = enter();
        t.process().is_init.set(true);
        send_to_process(t.process(), SigInfo::kernel(raw::SIGKILL));
        assert!(killed(&t));
    }

    #[test]
    fn stop_and_continue_take_each_other_away() {
        let t = enter();
        set_mask(&t, ALL);
        send_to_task(&t, SigInfo::kernel(raw::SIGTSTP));
        send_to_process(t.process(), SigInfo::kernel(raw::SIGTTIN));
        send_to_process(t.process(), SigInfo::kernel(raw::SIGCONT));
        assert_eq!((t.signals.pending(), t.process().signals.pending()), (0, bit(raw::SIGCONT)));
        send_to_process(t.process(), SigInfo::kernel(raw::SIGTSTP));
        assert_eq!(t.process().signals.pending(), bit(raw::SIGTSTP));
    }

    #[test]
    fn nothing_blocks_kill() {
        let t = enter();
        set_mask(&t, ALL);
        assert_eq!(t.signals.mask(), !UNBLOCKABLE);
        send_to_process(t.process(), SigInfo::kernel(raw::SIGKILL));
        assert!(killed(&t) && interrupts(&t));
    }

    #[test]
    fn users_may_signal_their_own_and_sessions_continue_theirs() {
        let root = enter();
        let (alice, bob) = (another(Cred::new(1000, 1000)), another(Cred::new(1001, 1001)));
        assert_eq!(may_signal(&root, &alice, raw::SIGTERM), Ok(()));
        assert_eq!(may_signal(&alice, &root, raw::SIGTERM), Err(Errno::EPERM));
        assert_eq!(may_signal(&alice, &bob, raw::SIGCONT), Err(Errno::EPERM));
        bob.process().session.replace(alice.process().session.borrow().clone());
        assert_eq!(may_signal(&alice, &bob, raw::SIGCONT), Ok(()));
        assert_eq!(may_signal(&alice, &bob, raw::SIGTERM), Err(Errno::EPERM));
        // A set-user-id program keeps its real user: its user may signal it.
        alice.set_cred(Arc::new(Cred { euid: 0, suid: 0, ..(*alice.cred()).clone() }));
        assert_eq!(may_signal(&another(Cred::new(1000, 5)), &alice, raw::SIGTERM), Ok(()));
    }

    #[test]
    fn own_signals_come_before_those_of_the_process() {
        let t = enter();
        send_to_process(t.process(), SigInfo::kernel(raw::SIGHUP));
        send_to_task(&t, SigInfo::kernel(raw::SIGTERM));
        let order = [take(&t, ALL), take(&t, ALL)].map(|info| info.map(|info| info.signo));
        assert_eq!(order, [Some(raw::SIGTERM), Some(raw::SIGHUP)]);
    }

    #[test]
    fn a_full_queue_is_told_to_senders_of_values() {
        let t = enter();
        let limit = linux_raw_sys::general::rlimit64 { rlim_cur: 2, rlim_max: 2 };
        t.process().set_rlimit(raw::RLIMIT_SIGPENDING, limit);
        let send = || try_send_to_process(t.process(), SigInfo::queued(40, SI_QUEUE, &t, 1));
        assert_eq!([send(), send(), send()], [Ok(()), Ok(()), Err(Errno::EAGAIN)]);
    }
}
