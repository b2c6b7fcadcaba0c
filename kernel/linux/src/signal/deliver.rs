//! Delivery: what happens to pending signals when a thread is about to return to its application.

use super::action::effect_of;
use super::frame::{self, Parts};
use super::{AltStack, Effect, SIG_DFL, SIG_IGN, SigAction, SigInfo, SigSet, bit, fault, job, set_mask};
use crate::errno::{Errno, SysResult};
use crate::task::{Task, exit, ptrace, rseq};
use alloc::sync::Arc;
use husk_machine::context;
use linux_raw_sys::general as raw;

/// What the way out of the kernel does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Return to the application with the registers in `context`.
    Return,
    /// Run the system call in the registers (`orig_rax` and the arguments) again.
    Restart,
    /// End the process with this wait status, unless this thread is ending already.
    Exit(i32),
}

/// A system call that starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Restarted {
    pub(super) number: u64,
    /// Where the call would have returned to.
    pub(super) return_to: u64,
}

fn is_restart(error: Errno) -> bool {
    matches!(
        error,
        Errno::ERESTARTSYS | Errno::ERESTARTNOINTR | Errno::ERESTARTNOHAND | Errno::ERESTART_RESTARTBLOCK
    )
}

/// Ends a system call of the current task: its result goes to RAX. `Restart`: the call is to be made again. Signals are
/// left to `deliver` unless what becomes of the call depends on them.
#[inline]
pub fn finish_call(t: &Arc<Task>, result: SysResult) -> Action {
    let restarts = result.is_err_and(is_restart);
    if restarts || t.signals.state.borrow().saved_mask.is_some() {
        return deliver(t, Some(result));
    }
    context::set_result(encode(result));
    Action::Return
}

/// Acts on the pending signals of the current task. `result` is what its system call gave; `None` when that went through
/// `finish_call`, or the task came into the kernel by a fault or a tick. Must be called when `interrupts` says so.
pub fn deliver(t: &Arc<Task>, result: Option<SysResult>) -> Action {
    let mut restart = result.and_then(Result::err).filter(|error| is_restart(*error));
    if let (Some(result), None) = (result, restart) {
        let mut regs = context::regs();
        regs.rax = encode(result);
        // The call is over: nothing later restarts it.
        regs.orig_rax = u64::MAX;
        context::set_regs(&regs);
    }
    loop {
        if let Some(status) = exit::must_end(t) {
            return Action::Exit(status);
        }
        if t.trace.is_due() {
            ptrace::interrupt_stop(t);
            continue;
        }
        if t.process().stopped.get() && !super::killed(t) && job::stay_stopped(t) {
            continue;
        }
        let Some(info) = take_next(t) else {
            let masked = t.signals.state.borrow().saved_mask.is_some();
            if !masked {
                break;
            }
            // No handler ran. With the program's own mask back, more signals may be due; by then the call is one that
            // starts anew in any case.
            super::restore_mask(t);
            if restart.is_some_and(|error| error != Errno::ERESTART_RESTARTBLOCK) {
                restart = Some(Errno::ERESTARTNOINTR);
            }
            continue;
        };
        crate::syscall::trace::signal(t, &info);
        if info.signo == raw::SIGKILL {
            return Action::Exit(raw::SIGKILL as i32);
        }
        let Some(info) = ptrace::signal_stop(t, info) else { continue };
        let action = t.handlers.borrow().get(info.signo);
        match action.handler {
            SIG_IGN => {}
            SIG_DFL if t.process().is_init.get() && info.signo != raw::SIGSTOP => {}
            SIG_DFL => match effect_of(info.signo) {
                Effect::Ignore | Effect::Continue => {}
                Effect::Stop => job::begin_stop(t, info.signo),
                // No core file is written, and the status does not claim one.
                Effect::Terminate | Effect::Core => return Action::Exit(info.signo as i32),
            },
            _ => call_handler(t, &info, &action, &mut restart),
        }
    }
    match restart {
        None => Action::Return,
        Some(error) => {
            if error == Errno::ERESTART_RESTARTBLOCK {
                let mut regs = context::regs();
                regs.orig_rax = u64::from(raw::__NR_restart_syscall);
                context::set_regs(&regs);
            }
            Action::Restart
        }
    }
}

/// A result as RAX has it.
pub fn encode(result: SysResult) -> u64 {
    match result {
        Ok(value) => value as u64,
        Err(Errno(number)) => -i64::from(number) as u64,
    }
}

/// The next signal that is not blocked: the thread's own faults, its other signals, those of the process.
fn take_next(t: &Task) -> Option<SigInfo> {
    let (kill, mask) = {
        let state = t.signals.state.borrow();
        ((state.pending.set() | t.process().signals.pending()) & bit(raw::SIGKILL) != 0, state.mask)
    };
    if kill {
        return Some(SigInfo::kernel(raw::SIGKILL));
    }
    let fault = t.signals.state.borrow_mut().pending.take_synchronous(!mask);
    fault.or_else(|| super::take(t, !mask))
}

/// Makes the program run its handler next.
fn call_handler(t: &Arc<Task>, info: &SigInfo, action: &SigAction, restart: &mut Option<Errno>) {
    if action.has(raw::SA_RESETHAND) {
        t.handlers.borrow().set(info.signo, SigAction { handler: SIG_DFL, ..*action });
    }
    let mut regs = context::regs();
    if rseq::abort(t, Some(&mut regs)).is_err() {
        return fault::force_after_bad_stack(t, info.signo);
    }
    let again = match restart.take() {
        Some(Errno::ERESTARTSYS) if action.has(raw::SA_RESTART) => true,
        Some(Errno::ERESTARTNOINTR) => true,
        Some(_) => {
            regs.rax = encode(Err(Errno::EINTR));
            false
        }
        None => false,
    };
    let restarted = again.then_some(Restarted { number: regs.orig_rax, return_to: regs.rip });
    let (mask, altstack, last_fault) = {
        let state = t.signals.state.borrow();
        (state.saved_mask.unwrap_or(state.mask), state.altstack, state.last_fault)
    };
    let parts = Parts { info, action, regs: &regs, restart: restarted, mask, altstack, last_fault };
    match frame::push(&parts) {
        Ok(entry) => {
            context::set_regs(&entry);
            frame::reset_fpu();
            handler_begins(t, info.signo, action);
        }
        Err(_) => {
            // The program sees the fault, if it can, with the registers it had.
            regs.orig_rax = u64::MAX;
            context::set_regs(&regs);
            fault::force_after_bad_stack(t, info.signo);
        }
    }
}

fn handler_begins(t: &Task, signo: u32, action: &SigAction) {
    let mask: SigSet = {
        let mut state = t.signals.state.borrow_mut();
        state.saved_mask = None;
        if state.altstack.flags & raw::SS_AUTODISARM != 0 {
            state.altstack = AltStack::default();
        }
        let own = if action.has(raw::SA_NODEFER) { 0 } else { bit(signo) };
        state.mask | action.mask | own
    };
    set_mask(t, mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::{send_to_process, send_to_task, set_action, set_temporary_mask};
    use crate::task::cred::Cred;
    use crate::task::process::JobReport;
    use crate::task::test::another;
    use crate::task::test::enter;
    use husk_machine::context::Regs;

    fn disposition(t: &Arc<Task>, signo: u32, handler: u64) {
        set_action(t, signo, SigAction { handler, ..SigAction::default() });
    }

    fn in_call(number: u64) {
        context::set_regs(&Regs { orig_rax: number, rip: 0x40_1000, ..Regs::default() });
    }

    #[test]
    fn a_plain_result_goes_to_rax() {
        let t = enter();
        in_call(1);
        assert_eq!(deliver(&t, Some(Ok(42))), Action::Return);
        assert_eq!((context::regs().rax, context::regs().orig_rax), (42, u64::MAX));
        in_call(1);
        assert_eq!(deliver(&t, Some(Err(Errno::EBADF))), Action::Return);
        assert_eq!(context::regs().rax as i64, -9);
    }

    #[test]
    fn default_actions_end_or_are_dropped() {
        for (signo, expected) in [
            (raw::SIGTERM, Action::Exit(15)),
            (raw::SIGABRT, Action::Exit(6)),
            (raw::SIGKILL, Action::Exit(9)),
            (40, Action::Exit(40)),
            (raw::SIGCHLD, Action::Return),
            (raw::SIGURG, Action::Return),
            (raw::SIGWINCH, Action::Return),
            (raw::SIGCONT, Action::Return),
        ] {
            let t = enter();
            send_to_process(t.process(), SigInfo::kernel(signo));
            assert_eq!(deliver(&t, None), expected, "signal {signo}");
        }
    }

    #[test]
    fn a_restart_without_handler_runs_the_call_again() {
        for error in [Errno::ERESTARTSYS, Errno::ERESTARTNOHAND, Errno::ERESTARTNOINTR] {
            let t = enter();
            in_call(7);
            disposition(&t, raw::SIGUSR1, SIG_IGN);
            assert_eq!(deliver(&t, Some(Err(error))), Action::Restart);
            assert_eq!(context::regs().orig_rax, 7);
        }
        let t = enter();
        in_call(35);
        let code = crate::signal::restart_with(&t, |_| Ok(5));
        assert_eq!(deliver(&t, Some(Err(code))), Action::Restart);
        assert_eq!(context::regs().orig_rax, u64::from(raw::__NR_restart_syscall));
        assert_eq!(crate::signal::run_restart(&t), Ok(5));
        assert_eq!(crate::signal::run_restart(&t), Err(Errno::EINTR));
    }

    #[test]
    fn a_temporary_mask_ends_with_the_call() {
        let t = enter();
        set_mask(&t, bit(raw::SIGUSR1));
        set_temporary_mask(&t, bit(raw::SIGUSR2));
        in_call(130);
        send_to_process(t.process(), SigInfo::kernel(raw::SIGUSR2));
        assert_eq!(deliver(&t, Some(Err(Errno::ERESTARTNOHAND))), Action::Exit(12), "due under the old mask");
        let t = enter();
        set_mask(&t, bit(raw::SIGUSR1));
        set_temporary_mask(&t, 0);
        assert_eq!(deliver(&t, Some(Ok(0))), Action::Return);
        assert_eq!(t.signals.mask(), bit(raw::SIGUSR1));
    }

    #[test]
    fn a_handler_without_a_usable_stack_is_a_fatal_fault() {
        let t = enter();
        in_call(1);
        disposition(&t, raw::SIGUSR1, 0x40_0000);
        send_to_task(&t, SigInfo::kernel(raw::SIGUSR1));
        assert_eq!(deliver(&t, None), Action::Exit(raw::SIGSEGV as i32));
    }

    #[test]
    fn the_parent_hears_of_stop_and_continue() {
        let parent = enter();
        disposition(&parent, raw::SIGCHLD, 0x40_0000);
        let child = another(Cred::new(0, 0));
        child.process().parent.replace(Arc::downgrade(parent.process()));
        crate::task::sched::set_current(Some(child.clone()));
        send_to_process(child.process(), SigInfo::kernel(raw::SIGSTOP));
        job::begin_stop(&child, raw::SIGSTOP);
        assert!(crate::signal::interrupts(&child));
        job::stay_stopped(&child);
        assert_eq!(child.process().report.get(), Some(JobReport::Stopped(raw::SIGSTOP)));
        let info = crate::signal::take(&parent, !0).expect("SIGCHLD");
        assert_eq!((info.signo, info.code, info.value()), (raw::SIGCHLD, raw::CLD_STOPPED as i32, 19));
        send_to_process(child.process(), SigInfo::kernel(raw::SIGCONT));
        assert_eq!(child.process().report.get(), Some(JobReport::Continued));
        assert!(!child.process().stopped.get());
        let info = crate::signal::take(&parent, !0).expect("SIGCHLD");
        assert_eq!((info.code, info.value()), (raw::CLD_CONTINUED as i32, 18));
        assert_eq!(
            child.process().signals.pending() & bit(raw::SIGSTOP),
            0,
            "SIGCONT takes pending stops away"
        );
        let no_stops =
            SigAction { flags: u64::from(raw::SA_NOCLDSTOP), handler: 0x40_0000, ..SigAction::default() };
        set_action(&parent, raw::SIGCHLD, no_stops);
        job::begin_stop(&child, raw::SIGSTOP);
        job::stay_stopped(&child);
        assert_eq!(crate::signal::take(&parent, !0), None);
    }

    #[test]
    fn kill_ends_a_stopped_process() {
        let t = enter();
        job::begin_stop(&t, raw::SIGSTOP);
        send_to_process(t.process(), SigInfo::kernel(raw::SIGKILL));
        assert_eq!(deliver(&t, None), Action::Exit(raw::SIGKILL as i32));
    }

    #[test]
    fn terminal_stops_spare_orphaned_groups() {
        // Process 1 is never orphaned.
        let _first = enter();
        let t = enter();
        send_to_process(t.process(), SigInfo::kernel(raw::SIGTSTP));
        assert_eq!(deliver(&t, None), Action::Return);
        assert!(!t.process().stopped.get());
    }
}
