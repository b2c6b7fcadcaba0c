//! ptrace(2): who traces whom, and where tracees stop.
//!
//! A tracee stops itself: `stop` copies its registers to where the tracer finds them, tells the tracer, and sleeps until
//! `resume`; then it takes over what the tracer changed. So requests touch nothing but the copy, and memory is reached by
//! errands (`mem::remote`), which a stopped task runs like any other. Places that stop are `deliver` (signals, group
//! stops), `entry` (system calls), `clone`, `execve` and the end of a task.

use super::process::{self, Process};
use super::wait::{WaitLimit, WaitQueue, wait_event};
use super::{Pid, Task, sched};
use crate::errno::Errno;
use crate::signal::{self, SigInfo};
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::context::{self, Regs};
use husk_machine::trap::TRAP_FLAG;
use linux_raw_sys::general as raw;
use linux_raw_sys::ptrace as pt;

/// Options that are offered: all but those of CRIU (SUSPEND_SECCOMP).
pub const OPTIONS: u32 = pt::PTRACE_O_TRACESYSGOOD
    | pt::PTRACE_O_TRACEFORK
    | pt::PTRACE_O_TRACEVFORK
    | pt::PTRACE_O_TRACECLONE
    | pt::PTRACE_O_TRACEEXEC
    | pt::PTRACE_O_TRACEVFORKDONE
    | pt::PTRACE_O_TRACEEXIT
    | pt::PTRACE_O_TRACESECCOMP
    | pt::PTRACE_O_EXITKILL;

/// Bit 1 of RFLAGS is always set; a frame of a patched call has not saved any.
const PLAIN_FLAGS: u64 = 0x202;

/// What a tracee is let go on for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Run,
    /// Until it enters or leaves a system call.
    Syscall,
    /// For one instruction.
    Step,
}

/// Why a tracee has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A signal is about to be delivered; the tracer may change it.
    Signal(SigInfo),
    /// Its process is stopped by this signal.
    Group(u32),
    /// PTRACE_EVENT_*.
    Event(u32),
    SyscallEnter,
    SyscallExit,
}

/// The registers of a stopped tracee.
pub struct Registers {
    pub regs: Regs,
    pub fs_base: u64,
    /// XSAVE's standard format.
    pub fpu: Vec<u8>,
    pub changed: bool,
    pub fpu_changed: bool,
}

struct Stop {
    kind: Kind,
    /// As wait4(2) gives it, above the 0x7f: signal, and the event in the bits from 8 on.
    code: u32,
    registers: Registers,
    /// The tracer has waited for it.
    reported: bool,
    /// How it goes on: mode, and the signal to deliver.
    resume: Option<(Mode, u32)>,
    /// PTRACE_LISTEN: stopped, but not the tracer's to command until something happens.
    listening: bool,
}

struct Trace {
    tracer: Weak<Task>,
    seized: bool,
    options: u32,
    mode: Mode,
    message: u64,
    /// PTRACE_INTERRUPT, or a new tracee of a seizing tracer: it stops as soon as it is in the kernel.
    interrupt: bool,
    /// The end of the task waits for the tracer (PTRACE_EVENT_EXIT).
    ending: bool,
    stop: Option<Stop>,
}

/// A task's side as one that is traced.
#[derive(Default)]
pub struct Tracee {
    trace: KCell<Option<Trace>>,
    resumed: WaitQueue,
}

/// A process's side as one whose threads trace.
#[derive(Default)]
pub struct Tracing {
    tracees: KCell<Vec<Weak<Task>>>,
    /// Tracees that have ended and are no children: id and wait status.
    ended: KCell<Vec<(Pid, i32)>>,
}

impl Tracee {
    pub fn is_traced(&self) -> bool {
        self.trace.borrow().is_some()
    }

    /// The process that traces this task.
    pub fn tracer(&self) -> Option<Arc<Task>> {
        self.trace.borrow().as_ref().and_then(|trace| trace.tracer.upgrade())
    }

    /// Whether it has stopped for its tracer.
    pub fn is_stopped(&self) -> bool {
        self.trace.borrow().as_ref().is_some_and(|trace| trace.stop.is_some())
    }

    fn mode(&self) -> Option<Mode> {
        self.trace.borrow().as_ref().map(|trace| trace.mode)
    }

    /// Whether it stops at system calls.
    pub fn wants_syscalls(&self) -> bool {
        self.mode() == Some(Mode::Syscall)
    }

    /// Whether something of the tracer's is due when the task next leaves the kernel.
    pub fn is_due(&self) -> bool {
        self.trace.borrow().as_ref().is_some_and(|trace| trace.interrupt)
    }

    /// Whether the end of the task waits for the tracer, so that being about to end does not end that wait.
    pub fn is_ending(&self) -> bool {
        self.trace.borrow().as_ref().is_some_and(|trace| trace.ending)
    }

    fn has_option(&self, option: u32) -> bool {
        self.trace.borrow().as_ref().is_some_and(|trace| trace.options & option != 0)
    }

    fn with<R>(&self, change: impl FnOnce(&mut Trace) -> R) -> Option<R> {
        self.trace.borrow_mut().as_mut().map(change)
    }
}

/// Makes `tracer` the tracer of `tracee`.
fn bind(tracer: &Arc<Task>, tracee: &Arc<Task>, seized: bool, options: u32) {
    let trace = Trace {
        tracer: Arc::downgrade(tracer),
        seized,
        options,
        mode: Mode::Run,
        message: 0,
        interrupt: false,
        ending: false,
        stop: None,
    };
    drop(tracee.trace.trace.replace(Some(trace)));
    tracer.process().tracing.tracees.borrow_mut().push(Arc::downgrade(tracee));
}

/// PTRACE_TRACEME: the thread that made the process becomes the tracer, or, when it has ended, another of the parent. EPERM when there is one already.
pub fn trace_me(t: &Arc<Task>) -> Result<(), Errno> {
    let parent = t.process().parent.borrow().upgrade().ok_or(Errno::EPERM)?;
    let maker = t.process().maker.borrow().upgrade();
    let lives = |maker: &Arc<Task>| maker.ended.get().is_none() && Arc::ptr_eq(maker.process(), &parent);
    let maker = maker.filter(lives);
    let tracer = maker.or_else(|| parent.leader()).ok_or(Errno::EPERM)?;
    if t.trace.is_traced() {
        return Err(Errno::EPERM);
    }
    bind(&tracer, t, false, 0);
    Ok(())
}

/// PTRACE_ATTACH, or PTRACE_SEIZE with options, which does not stop it.
pub fn attach(t: &Arc<Task>, tracee: &Arc<Task>, seize: Option<u32>) -> Result<(), Errno> {
    if Arc::ptr_eq(t.process(), tracee.process()) || tracee.trace.is_traced() || tracee.pid() == 1 {
        return Err(Errno::EPERM);
    }
    if !may_trace(t, tracee) {
        return Err(Errno::EPERM);
    }
    bind(t, tracee, seize.is_some(), seize.unwrap_or(0));
    if seize.is_none() {
        signal::send_to_task(tracee, SigInfo::user(raw::SIGSTOP, t));
    }
    signal::rejoin_stop(tracee);
    Ok(())
}

/// ptrace(2)'s access check.
pub fn may_trace(t: &Task, other: &Task) -> bool {
    let cred = t.cred();
    let capable = cred.capable(super::cred::CAP_SYS_PTRACE);
    capable || other.process().dumpable.get() == 1 && cred.may_trace(&other.cred())
}

/// The tracee `tid` of the calling task. ESRCH if it is none, or, with `stopped`, if it runs.
pub fn find(t: &Arc<Task>, tid: Pid, stopped: bool) -> Result<Arc<Task>, Errno> {
    let tracee = process::find_task(tid).ok_or(Errno::ESRCH)?;
    let tracer = tracee.trace.tracer().ok_or(Errno::ESRCH)?;
    let commands =
        |trace: &mut Trace| trace.stop.as_ref().is_some_and(|stop| stop.resume.is_none() && !stop.listening);
    if !Arc::ptr_eq(&tracer, t) || stopped && !tracee.trace.with(commands).unwrap_or(false) {
        return Err(Errno::ESRCH);
    }
    Ok(tracee)
}

/// Looks at or changes the registers of a stopped tracee.
pub fn with_registers<R>(tracee: &Task, look: impl FnOnce(&mut Registers) -> R) -> Result<R, Errno> {
    let result = tracee.trace.with(|trace| trace.stop.as_mut().map(|stop| look(&mut stop.registers)));
    result.flatten().ok_or(Errno::ESRCH)
}

/// Why a stopped tracee stopped.
pub fn kind(tracee: &Task) -> Result<Kind, Errno> {
    let kind = tracee.trace.with(|trace| trace.stop.as_ref().map(|stop| stop.kind));
    kind.flatten().ok_or(Errno::ESRCH)
}

/// PTRACE_GETSIGINFO. EINVAL at a group stop.
pub fn siginfo(tracee: &Task) -> Result<SigInfo, Errno> {
    let code = tracee.trace.with(|trace| trace.stop.as_ref().map_or(0, |stop| stop.code)).unwrap_or(0);
    match kind(tracee)? {
        Kind::Signal(info) => Ok(info),
        Kind::Group(_) => Err(Errno::EINVAL),
        Kind::Event(_) | Kind::SyscallEnter | Kind::SyscallExit => {
            Ok(SigInfo { code: code as i32, ..SigInfo::user(raw::SIGTRAP, tracee) })
        }
    }
}

/// PTRACE_SETSIGINFO.
pub fn set_siginfo(tracee: &Task, info: SigInfo) -> Result<(), Errno> {
    let set = |trace: &mut Trace| match trace.stop.as_mut().map(|stop| &mut stop.kind) {
        Some(Kind::Signal(own)) => {
            *own = info;
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    };
    tracee.trace.with(set).unwrap_or(Err(Errno::ESRCH))
}

/// PTRACE_GETEVENTMSG.
pub fn message(tracee: &Task) -> u64 {
    tracee.trace.with(|trace| trace.message).unwrap_or(0)
}

/// PTRACE_SETOPTIONS.
pub fn set_options(tracee: &Task, options: u32) {
    tracee.trace.with(|trace| trace.options = options);
}

/// Lets a stopped tracee go on, with a signal to deliver or 0.
pub fn resume(tracee: &Arc<Task>, mode: Mode, signo: u32) {
    tracee.trace.with(|trace| {
        if let Some(stop) = &mut trace.stop {
            stop.resume = Some((mode, signo));
        }
    });
    tracee.trace.resumed.wake_all(!0);
}

/// PTRACE_LISTEN: EIO unless the tracee was seized and stands in a group stop.
pub fn listen(tracee: &Task) -> Result<(), Errno> {
    let set = |trace: &mut Trace| match &mut trace.stop {
        Some(stop) if trace.seized && matches!(stop.kind, Kind::Group(_)) => {
            stop.listening = true;
            Ok(())
        }
        _ => Err(Errno::EIO),
    };
    tracee.trace.with(set).unwrap_or(Err(Errno::ESRCH))
}

/// PTRACE_INTERRUPT: EIO unless the tracee was seized.
pub fn interrupt(tracee: &Arc<Task>) -> Result<(), Errno> {
    let set = |trace: &mut Trace| {
        if !trace.seized {
            return Err(Errno::EIO);
        }
        match &mut trace.stop {
            // It stops anew, for a tracer that listened.
            Some(stop) if stop.listening => stop.resume = Some((Mode::Run, 0)),
            Some(_) => return Ok(()),
            None => {}
        }
        trace.interrupt = true;
        Ok(())
    };
    tracee.trace.with(set).unwrap_or(Err(Errno::ESRCH))?;
    tracee.trace.resumed.wake_all(!0);
    sched::wake_for_signal(tracee);
    Ok(())
}

/// The process of a listening tracee was continued, or a new signal came: the tracer hears of it.
pub fn wake_listener(tracee: &Arc<Task>) {
    let listens = tracee.trace.with(|trace| trace.stop.as_ref().is_some_and(|stop| stop.listening));
    if listens == Some(true) {
        let _ = interrupt(tracee);
    }
}

/// PTRACE_DETACH, and what the end of a tracer means for its tracees.
pub fn detach(tracee: &Arc<Task>, signo: u32) {
    let Some(trace) = tracee.trace.trace.take() else { return };
    if let Some(tracer) = trace.tracer.upgrade() {
        let tracees = &tracer.process().tracing.tracees;
        tracees
            .borrow_mut()
            .retain(|other| other.upgrade().is_some_and(|other| !Arc::ptr_eq(&other, tracee)));
    }
    // A stop that goes on without a tracer: `stop` finds its registers here.
    if let Some(mut stop) = trace.stop {
        stop.resume = Some((Mode::Run, signo));
        let left = Trace { tracer: Weak::new(), mode: Mode::Run, stop: Some(stop), ..trace };
        drop(tracee.trace.trace.replace(Some(left)));
        tracee.trace.resumed.wake_all(!0);
    }
    signal::rejoin_stop(tracee);
}

/// A thread ends: its tracer hears of it, and its tracees are free, or end too.
pub fn task_ends(t: &Arc<Task>, status: i32) {
    let tracees: Vec<Arc<Task>> =
        t.process().tracing.tracees.borrow().iter().filter_map(Weak::upgrade).collect();
    for tracee in
        tracees.into_iter().filter(|tracee| tracee.trace.tracer().is_some_and(|own| Arc::ptr_eq(&own, t)))
    {
        let kill = tracee.trace.has_option(pt::PTRACE_O_EXITKILL);
        detach(&tracee, 0);
        if kill {
            signal::send_to_task(&tracee, SigInfo::kernel(raw::SIGKILL));
        }
    }
    let Some(tracer) = t.trace.tracer() else { return };
    let last = t.process().tasks.borrow().is_empty();
    let parent = t.process().parent.borrow().upgrade();
    let is_child = parent.is_some_and(|parent| Arc::ptr_eq(&parent, tracer.process()));
    drop(t.trace.trace.take());
    let own = &tracer.process().tracing;
    own.tracees.borrow_mut().retain(|other| other.upgrade().is_some_and(|other| !Arc::ptr_eq(&other, t)));
    // The end of a child is reported as that of any child.
    if last && is_child {
        return;
    }
    let id = if last { t.pid() } else { t.tid() };
    own.ended.borrow_mut().push((id, status));
    if last {
        let info = SigInfo::child(raw::SIGCHLD, raw::CLD_EXITED as i32, id, t.cred().uid, status >> 8 & 0xff);
        signal::send_to_process(tracer.process(), info);
    }
    tracer.process().child_events.wake_all(!0);
}

/// Whether a thread of `process` traces one of `child`'s: then its stops are told as those of tracees.
pub fn traces(process: &Process, child: &Process) -> bool {
    let tracees = process.tracing.tracees.borrow();
    tracees.iter().filter_map(Weak::upgrade).any(|tracee| core::ptr::eq(&**tracee.process(), child))
}

/// What wait4(2) finds among the tracees of a process.
pub struct Report {
    pub tid: Pid,
    pub status: i32,
    pub uid: u32,
}

/// A tracee that has stopped or ended and not been waited for; `Err` says whether there are tracees at all.
pub fn find_report(
    process: &Process,
    wanted: impl Fn(Pid, Option<Pid>) -> bool,
    keep: bool,
) -> Result<Report, bool> {
    let ended = process.tracing.ended.borrow().iter().position(|(tid, _)| wanted(*tid, None));
    if let Some(at) = ended {
        let (tid, status) = process.tracing.ended.borrow()[at];
        if !keep {
            process.tracing.ended.borrow_mut().remove(at);
        }
        return Ok(Report { tid, status, uid: 0 });
    }
    let tracees: Vec<Arc<Task>> = process.tracing.tracees.borrow().iter().filter_map(Weak::upgrade).collect();
    let mut any = false;
    for tracee in tracees {
        if !wanted(tracee.tid(), Some(tracee.process().pgid.get())) {
            continue;
        }
        any = true;
        let code = tracee.trace.with(|trace| {
            let stop = trace.stop.as_mut().filter(|stop| !stop.reported && stop.resume.is_none())?;
            stop.reported = !keep;
            Some(stop.code)
        });
        if let Some(code) = code.flatten() {
            let status = (code << 8 | 0x7f) as i32;
            return Ok(Report { tid: tracee.tid(), status, uid: tracee.cred().uid });
        }
    }
    Err(any)
}

/// Tells the tracer of a stop.
fn notify(t: &Task, code: u32) {
    let Some(tracer) = t.trace.tracer() else { return };
    let signo = code & 0x7f;
    if signal::wants_stops(tracer.process()) {
        let info = SigInfo::child(raw::SIGCHLD, raw::CLD_TRAPPED as i32, t.tid(), t.cred().uid, signo as i32);
        signal::send_to_process(tracer.process(), info);
    }
    tracer.process().child_events.wake_all(!0);
}

fn registers() -> Registers {
    let mut regs = context::regs();
    if regs.rflags & 2 == 0 {
        regs.rflags = PLAIN_FLAGS;
    }
    if regs.orig_rax != u64::MAX {
        // As the instruction leaves them; a patched site has not.
        regs.rcx = regs.rip;
        regs.r11 = regs.rflags;
    }
    let mut fpu = vec![0; context::fpu_len()];
    context::save_fpu(&mut fpu);
    Registers { regs, fs_base: context::fs_base(), fpu, changed: false, fpu_changed: false }
}

/// Stops the current task until its tracer lets it go on; gives the signal to deliver, 0 for none, and the kind of stop as
/// the tracer left it. A killed task does not stop.
fn stop(t: &Arc<Task>, kind: Kind, code: u32) -> (u32, Kind) {
    let placed = t.trace.with(|trace| {
        trace.stop = Some(Stop {
            kind,
            code,
            registers: registers(),
            reported: false,
            resume: None,
            listening: false,
        });
    });
    if placed.is_none() {
        return (0, kind);
    }
    notify(t, code);
    let resumed = || {
        let resume = t.trace.with(|trace| trace.stop.as_ref().is_none_or(|stop| stop.resume.is_some()));
        resume.unwrap_or(true).then_some(())
    };
    let limit = WaitLimit { uninterruptible: true, ..WaitLimit::default() };
    let _ = wait_event(&[&t.trace.resumed], limit, resumed);
    let Some(stop) = t.trace.with(|trace| trace.stop.take()).flatten() else { return (0, kind) };
    let (mode, signo) = stop.resume.unwrap_or_default();
    take_over(&stop.registers, mode);
    let left_alone = t.trace.with(|trace| {
        trace.mode = mode;
        trace.tracer.strong_count() == 0
    });
    if left_alone == Some(true) {
        drop(t.trace.trace.take());
    }
    (signo, stop.kind)
}

/// Puts the registers that the tracer may have changed back into the frame.
fn take_over(from: &Registers, mode: Mode) {
    let mut regs = from.regs;
    let step = mode == Mode::Step;
    if from.changed || step || regs.rflags & TRAP_FLAG != 0 {
        regs.rflags = if step { regs.rflags | TRAP_FLAG } else { regs.rflags & !TRAP_FLAG };
        context::set_regs(&regs);
    }
    if from.fs_base != context::fs_base() {
        context::set_fs_base(from.fs_base);
    }
    if from.fpu_changed {
        context::load_fpu(&from.fpu);
    }
}

/// A signal is about to be delivered: the one that the tracer lets through, if there is a tracer.
pub fn signal_stop(t: &Arc<Task>, info: SigInfo) -> Option<SigInfo> {
    if !t.trace.is_traced() || info.signo == raw::SIGKILL {
        return Some(info);
    }
    match stop(t, Kind::Signal(info), info.signo) {
        (0, _) => None,
        (signo, Kind::Signal(left)) if left.signo == signo => Some(left),
        (signo, _) => {
            let tracer = t.trace.tracer().unwrap_or_else(|| t.clone());
            Some(SigInfo::user(signo, &tracer))
        }
    }
}

/// The process of a traced task is stopped by `signo`.
pub fn group_stop(t: &Arc<Task>, signo: u32) {
    let seized = t.trace.with(|trace| trace.seized).unwrap_or(false);
    stop(t, Kind::Group(signo), signo | if seized { pt::PTRACE_EVENT_STOP << 8 } else { 0 });
}

/// PTRACE_INTERRUPT, the first stop of a seized tracee's child, and what ends PTRACE_LISTEN.
pub fn interrupt_stop(t: &Arc<Task>) {
    t.trace.with(|trace| trace.interrupt = false);
    stop(t, Kind::Event(pt::PTRACE_EVENT_STOP), raw::SIGTRAP | pt::PTRACE_EVENT_STOP << 8);
}

/// The instruction that a tracer stepped was a system call: the step ends behind it.
pub fn step_over_call(t: &Arc<Task>) {
    if t.trace.mode() == Some(Mode::Step) {
        t.trace.with(|trace| trace.mode = Mode::Run);
        let info = SigInfo::fault(raw::SIGTRAP, raw::TRAP_BRKPT as i32, context::regs().rip as usize);
        signal::send_to_task(t, info);
    }
}

/// A stop at a system call: `Kind::SyscallEnter` or `Kind::SyscallExit`.
pub fn syscall_stop(t: &Arc<Task>, kind: Kind) {
    let mark = if t.trace.has_option(pt::PTRACE_O_TRACESYSGOOD) { 0x80 } else { 0 };
    let (signo, _) = stop(t, kind, raw::SIGTRAP | mark);
    if signo != 0 {
        let tracer = t.trace.tracer().unwrap_or_else(|| t.clone());
        signal::send_to_task(t, SigInfo::user(signo, &tracer));
    }
}

/// A stop for an event, if the tracer asked for it. Whether it did.
fn event_stop(t: &Arc<Task>, event: u32, message: u64) -> bool {
    if event == 0 || !t.trace.has_option(1 << event) {
        return false;
    }
    t.trace.with(|trace| trace.message = message);
    stop(t, Kind::Event(event), raw::SIGTRAP | event << 8);
    true
}

/// The event that a clone(2) is for tracers; 0 for none.
pub fn event_of_clone(flags: u64, exit_signal: u32) -> u32 {
    match flags {
        flags if flags & u64::from(raw::CLONE_UNTRACED) != 0 => 0,
        flags if flags & u64::from(raw::CLONE_VFORK) != 0 => pt::PTRACE_EVENT_VFORK,
        _ if exit_signal != raw::SIGCHLD => pt::PTRACE_EVENT_CLONE,
        _ => pt::PTRACE_EVENT_FORK,
    }
}

/// A tracee made a task: the tracer that asked for it traces that too, from its first instruction on.
pub fn follow(t: &Arc<Task>, child: &Arc<Task>, event: u32) {
    if event == 0 || !t.trace.has_option(1 << event) {
        return;
    }
    let Some(tracer) = t.trace.tracer() else { return };
    let Some((seized, options)) = t.trace.with(|trace| (trace.seized, trace.options)) else { return };
    bind(&tracer, child, seized, options);
    if seized {
        child.trace.with(|trace| trace.interrupt = true);
    } else {
        signal::send_to_task(child, SigInfo::user(raw::SIGSTOP, &tracer));
    }
}

/// The stop of the maker, after `follow`.
pub fn report_clone(t: &Arc<Task>, event: u32, tid: Pid) {
    event_stop(t, event, tid as u64);
}

/// The child of vfork(2) has let its parent go on.
pub fn report_vfork_done(t: &Arc<Task>, tid: Pid) {
    event_stop(t, pt::PTRACE_EVENT_VFORK_DONE, tid as u64);
}

/// A tracee has a new program. `tid` is the id it had before.
pub fn report_exec(t: &Arc<Task>, tid: Pid) {
    if event_stop(t, pt::PTRACE_EVENT_EXEC, tid as u64) {
        return;
    }
    if t.trace.with(|trace| trace.seized) == Some(false) {
        signal::send_to_task(t, SigInfo::user(raw::SIGTRAP, t));
    }
}

/// A tracee is about to end with this wait status.
pub fn report_exit(t: &Arc<Task>, status: i32) {
    t.trace.with(|trace| trace.ending = true);
    event_stop(t, pt::PTRACE_EVENT_EXIT, status as u64);
    t.trace.with(|trace| trace.ending = false);
}

/// A seccomp filter of a tracee leaves the call to its tracer. Whether there is one that cares.
pub fn report_seccomp(t: &Arc<Task>, data: u16) -> bool {
    event_stop(t, pt::PTRACE_EVENT_SECCOMP, u64::from(data))
}
