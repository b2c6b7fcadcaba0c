//! Signals: generation, masks, queues, delivery (signal(7)).
//!
//! A signal is sent by one of the functions here, waits in the queue of a thread or of its process, and is taken by
//! `deliver` when a thread is about to return to its application. Nobody else takes signals, but for sigtimedwait(2) and
//! signalfds. Whoever blocks asks `interrupts`. No `KCell` of a sender may be borrowed when it sends: a task is woken.

mod action;
mod deliver;
mod fault;
mod frame;
mod info;
mod job;
mod queue;
mod send;

pub use action::{Effect, Handlers, SIG_DFL, SIG_IGN, SIGNALS, SigAction, effect_of};
pub use deliver::{Action, deliver, encode, finish_call};
pub use fault::{fault, force};
pub use frame::{min_stack_len, sigreturn};
pub use info::{Layout, SI_QUEUE, SI_TIMER, SI_TKILL, SIGINFO_KEPT, SIGINFO_LEN, SigInfo};
pub use job::{groups_at_risk, hang_up_orphans, ignores_children, orphaned, rejoin_stop, wants_stops};
pub use queue::SIGRTMIN;
pub use send::{
    To, drop_timer, may_signal, raise, send_timer, send_to_group, send_to_process, send_to_task, set_action,
    task_leaves, try_send_to_process, try_send_to_task, watch,
};

use crate::errno::{Errno, SysResult};
use crate::task::process::Process;
use crate::task::wait::WaitQueue;
use crate::task::{Task, exit};
use alloc::boxed::Box;
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use husk_machine::cpu;
use linux_raw_sys::general as raw;
use queue::Pending;

/// A set of signals: bit n - 1 is signal n, as in the 64-bit `sigset_t` of the system calls.
pub type SigSet = u64;

/// The set of one signal, 1..=64.
pub const fn bit(signo: u32) -> SigSet {
    1 << (signo - 1)
}

/// Every signal.
pub const ALL: SigSet = !0;
/// What no mask can hold.
pub const UNBLOCKABLE: SigSet = bit(raw::SIGKILL) | bit(raw::SIGSTOP);

/// An alternate signal stack (sigaltstack(2)). Size 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    pub start: usize,
    /// SS_DISABLE, or SS_ONSTACK or 0, with SS_AUTODISARM.
    pub flags: u32,
    pub len: usize,
}

impl Default for AltStack {
    fn default() -> Self {
        Self { start: 0, flags: raw::SS_DISABLE, len: 0 }
    }
}

impl AltStack {
    /// Whether `sp` lies on it.
    fn holds(&self, sp: usize) -> bool {
        sp > self.start && sp - self.start <= self.len
    }

    /// Whether the program counts as running on it: never with SS_AUTODISARM.
    fn in_use(&self, sp: usize) -> bool {
        self.flags & raw::SS_AUTODISARM == 0 && self.holds(sp)
    }

    /// `ss_flags` as sigaltstack(2) reports them.
    fn reported_flags(&self, sp: usize) -> u32 {
        let mode = match () {
            () if self.len == 0 => raw::SS_DISABLE,
            () if self.in_use(sp) => raw::SS_ONSTACK,
            () => 0,
        };
        mode | self.flags & raw::SS_FLAG_BITS
    }

    /// As `stack_t` words.
    pub fn to_words(self) -> [u64; 3] {
        [self.start as u64, u64::from(self.flags), self.len as u64]
    }

    pub fn from_words(words: [u64; 3]) -> Self {
        Self { start: words[0] as usize, flags: words[1] as u32, len: words[2] as usize }
    }
}

/// What restart_syscall(2) goes on with.
type RestartBlock = Box<dyn FnOnce(&Arc<Task>) -> SysResult + Send + Sync>;

/// Signal state of one thread.
#[derive(Default)]
pub struct TaskSignals {
    state: KCell<TaskState>,
    restart: KCell<Option<RestartBlock>>,
}

#[derive(Default)]
struct TaskState {
    mask: SigSet,
    /// The mask to go back to when the call that set another one ends (sigsuspend, ppoll).
    saved_mask: Option<SigSet>,
    /// What sigtimedwait(2) waits for and the mask holds otherwise: not ignored meanwhile.
    awaited: SigSet,
    pending: Pending,
    altstack: AltStack,
    /// Takes part in the stop of its process.
    in_stop: bool,
    /// The last fault, for signal frames: trap number, error code, address.
    last_fault: [u64; 3],
}

impl TaskSignals {
    /// The state that clone(2) gives a new task of `parent`: the same mask, nothing pending. A task that shares memory with
    /// its maker and runs beside it (CLONE_VM without CLONE_VFORK) gets no alternate stack.
    pub fn for_child(parent: &Task, beside: bool) -> Self {
        let own = parent.signals.state.borrow();
        let altstack = if beside { AltStack::default() } else { own.altstack };
        Self {
            state: KCell::new(TaskState { mask: own.mask, altstack, ..TaskState::default() }),
            restart: KCell::default(),
        }
    }

    /// Signals that are blocked.
    pub fn mask(&self) -> SigSet {
        self.state.borrow().mask
    }

    /// Signals that wait for this thread alone.
    pub fn pending(&self) -> SigSet {
        self.state.borrow().pending.set()
    }
}

/// Signals sent to a process as a whole.
#[derive(Default)]
pub struct ProcessSignals {
    state: KCell<ProcessState>,
    /// Woken when a stopped process continues.
    resume: WaitQueue,
}

#[derive(Default)]
struct ProcessState {
    pending: Pending,
    /// The stop that is going on, or complete.
    stop: Option<job::Stop>,
}

impl ProcessSignals {
    /// Signals that wait for any thread.
    pub fn pending(&self) -> SigSet {
        self.state.borrow().pending.set()
    }

    /// How many signals are queued.
    pub fn queued(&self) -> usize {
        self.state.borrow().pending.len()
    }
}

/// Blocks the signals in `mask`, and no others, for the current task.
pub fn set_mask(t: &Task, mask: SigSet) {
    let newly_blocked = {
        let mut state = t.signals.state.borrow_mut();
        let old = state.mask;
        state.mask = mask & !UNBLOCKABLE;
        state.mask & !old
    };
    if interrupts(t) {
        // What was blocked is due on the way out.
        cpu::request_work();
    }
    // A signal of the process that this thread was woken for may now need another taker.
    if newly_blocked & t.process().signals.pending() != 0 {
        send::retarget(t, newly_blocked);
    }
}

/// Sets the mask for the duration of one system call (sigsuspend, ppoll, pselect, epoll_pwait). A call that ends without
/// ERESTART* must then call `restore_mask`; otherwise `deliver` restores it, after handlers have started.
pub fn set_temporary_mask(t: &Task, mask: SigSet) {
    let old = t.signals.mask();
    t.signals.state.borrow_mut().saved_mask = Some(old);
    set_mask(t, mask);
}

/// Ends what `set_temporary_mask` began. Nothing happens when that was never called.
pub fn restore_mask(t: &Task) {
    let saved = t.signals.state.borrow_mut().saved_mask.take();
    if let Some(mask) = saved {
        set_mask(t, mask);
    }
}

/// Whether an interruptible wait of the task must end: a signal it does not block is pending, its process stops, or it
/// is being killed.
pub fn interrupts(t: &Task) -> bool {
    let process = t.process();
    let shared = process.signals.pending();
    let state = t.signals.state.borrow();
    (state.pending.set() | shared) & !state.mask != 0
        || exit::must_end(t).is_some()
        || process.stopped.get() && !state.in_stop
        || t.trace.is_due()
}

/// Whether the task must end: even a wait that no signal interrupts ends then.
pub fn killed(t: &Task) -> bool {
    let pending = t.signals.pending() | t.process().signals.pending();
    pending & bit(raw::SIGKILL) != 0 || exit::must_end(t).is_some() && !t.trace.is_ending()
}

/// Arranges that the call goes on with `rest` if no handler runs, and gives its result: "return
/// Err(signal::restart_with(...))". For calls with a relative timeout, which must not start anew (nanosleep, poll).
pub fn restart_with(t: &Task, rest: impl FnOnce(&Arc<Task>) -> SysResult + Send + Sync + 'static) -> Errno {
    drop(t.signals.restart.replace(Some(Box::new(rest))));
    Errno::ERESTART_RESTARTBLOCK
}

/// restart_syscall(2).
pub fn run_restart(t: &Arc<Task>) -> SysResult {
    let rest = t.signals.restart.take();
    rest.map_or(Err(Errno::EINTR), |rest| rest(t))
}

/// Takes a signal of `wanted` that is pending for the thread or its process.
pub fn take(t: &Task, wanted: SigSet) -> Option<SigInfo> {
    let own = t.signals.state.borrow_mut().pending.take(wanted);
    let info = own.or_else(|| t.process().signals.state.borrow_mut().pending.take(wanted))?;
    if info.code == SI_TIMER {
        t.process().timers.signal_taken(&info);
    }
    Some(info)
}

/// Waits until a signal of `wanted` can be taken. `deadline` in monotonic ns.
pub fn wait_for(t: &Task, wanted: SigSet, deadline: Option<u64>) -> Result<SigInfo, Errno> {
    use crate::task::wait::{WaitEnd, WaitLimit, wait_event};
    let wanted = wanted & !UNBLOCKABLE;
    let old = {
        let mut state = t.signals.state.borrow_mut();
        let old = state.mask;
        state.awaited = old & wanted;
        state.mask &= !wanted;
        old
    };
    let limit = WaitLimit { deadline, ..WaitLimit::default() };
    let end = wait_event(&[], limit, || take(t, wanted));
    t.signals.state.borrow_mut().awaited = 0;
    set_mask(t, old);
    end.map_err(|end| match end {
        WaitEnd::TimedOut => Errno::EAGAIN,
        WaitEnd::Interrupted => Errno::EINTR,
    })
}

/// sigaltstack(2), with the stack pointer of the program.
pub fn set_altstack(t: &Task, new: AltStack, sp: usize) -> Result<(), Errno> {
    let mut state = t.signals.state.borrow_mut();
    if state.altstack.in_use(sp) {
        return Err(Errno::EPERM);
    }
    let mode = new.flags & !raw::SS_FLAG_BITS;
    state.altstack = match mode {
        raw::SS_DISABLE => AltStack { start: 0, len: 0, flags: new.flags },
        0 | raw::SS_ONSTACK if new == state.altstack => new,
        0 | raw::SS_ONSTACK if new.len < raw::MINSIGSTKSZ as usize => return Err(Errno::ENOMEM),
        0 | raw::SS_ONSTACK => new,
        _ => return Err(Errno::EINVAL),
    };
    Ok(())
}

/// The alternate stack as sigaltstack(2) reports it.
pub fn altstack(t: &Task, sp: usize) -> AltStack {
    let state = t.signals.state.borrow();
    AltStack { flags: state.altstack.reported_flags(sp), ..state.altstack }
}

/// What execve(2) does to signals: handlers go, the alternate stack and POSIX timers; mask and pending signals stay.
pub fn reset_for_exec(t: &Task) {
    let fresh = t.handlers.borrow().without_handlers();
    drop(t.handlers.replace(fresh));
    t.signals.state.borrow_mut().altstack = AltStack::default();
    drop(t.signals.restart.take());
    t.process().timers.clear_posix(t.process());
}

/// What the end of a process means for signals: its timers send none any more, and its children get those they asked for.
/// The last thread
/// calls it, while they still are its children.
pub fn process_ended(process: &Arc<Process>) {
    process.timers.clear();
    let children = process.children.borrow().clone();
    for task in children.iter().flat_map(|child| child.living()) {
        // prctl(PR_SET_PDEATHSIG).
        let signo = task.attributes.borrow().death_signal;
        if signo != 0 {
            send_to_process(task.process(), SigInfo::user(signo, &crate::task::current()));
        }
    }
}

/// Whether the task would not notice this signal: it blocks it, or it ignores it.
pub fn blocks_or_ignores(t: &Task, signo: u32) -> bool {
    let handlers = t.handlers.borrow().clone();
    t.signals.mask() & bit(signo) != 0 || handlers.get(signo).ignores(signo)
}
