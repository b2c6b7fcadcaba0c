//! The personality's entries: what the machine calls on system calls, faults and kicks, and the way out.

use crate::boot;
use crate::errno::{Errno, SysResult};
use crate::mem::{Bad, oom, remote, user};
use crate::record;
use crate::signal::{self, Action};
use crate::snapshot;
use crate::syscall::site::{self, Mended};
use crate::syscall::{profile, seccomp, table, trace};
use crate::task::{self, Task, barrier, clone, exit, ptrace, rseq, sched};
use alloc::sync::Arc;
use husk_machine::personality::Personality;
use husk_machine::trap::{self, Trap};
use husk_machine::user::Access;
use husk_machine::{context, cpu};

/// The Linux personality.
pub struct Linux;

impl Personality for Linux {
    fn boot(&self) {
        boot::boot();
    }

    fn restored(&self) {
        snapshot::restore::begin();
    }

    fn syscall(&self) {
        serve();
        way_out();
    }

    fn syscall_trapped(&self) {
        {
            let t = task::current();
            let (number, _) = context::call();
            let alone = t.space().group().is_some_and(|group| group.task_count() <= 1);
            site::trapped(&t.space(), context::regs().rip as usize, number as u32, alone);
        }
        serve();
        way_out();
    }

    fn trap(&self, trap: Trap) {
        let trap = as_hardware_says(trap);
        if mend(trap) {
            return way_out();
        }
        {
            let t = task::current();
            let bad = unmendable(&t, trap);
            if bad != Bad::OutOfMemory || !oom::make_room(&t) {
                signal::fault(&t, trap, bad);
            }
        }
        work_off();
    }

    fn work(&self) {
        work_off();
    }

    fn thread_started(&self) {
        {
            let t = task::current();
            if t.tid() == 1 && !t.process().did_exec.get() {
                boot::init(&t);
            }
            clone::started(&t);
        }
        work_off();
    }

    fn idle(&self) {
        sched::idle();
    }
}

/// Makes the call that the registers describe.
fn serve() {
    let t = task::current();
    loop {
        let (number, args) = context::call();
        let result = if trace::enabled() {
            trace::traced(&t, number, &args, || dispatch(&t, number, &args))
        } else {
            dispatch(&t, number, &args)
        };
        let result = if t.trace.is_traced() { leave_traced(&t, result) } else { result };
        match signal::finish_call(&t, result) {
            Action::Return => return,
            Action::Restart => {}
            Action::Exit(status) => return exit::end_by_signal(&t, status),
        }
    }
}

/// Makes one call, if the task's tracer and seccomp filters let it.
fn dispatch(t: &Arc<Task>, number: u64, args: &[usize; 6]) -> SysResult {
    if t.trace.is_traced() {
        return dispatch_traced(t);
    }
    if t.seccomp.borrow().is_on()
        && let Some(result) = seccomp::verdict(t, number, args)
    {
        return result;
    }
    make(t, number, args)
}

/// Makes a call that nothing stands against, unless the guest's profile does.
fn make(t: &Arc<Task>, number: u64, args: &[usize; 6]) -> SysResult {
    // Linux takes the number for an int.
    let number = u64::from(number as u32);
    if record::enabled() {
        record::call(number);
    }
    if profile::is_strict()
        && let Some(result) = profile::verdict(t, number)
    {
        return result;
    }
    table::dispatch(t, number, args)
}

/// As `dispatch`, for a task whose tracer may stop it before, and change the call.
fn dispatch_traced(t: &Arc<Task>) -> SysResult {
    if t.trace.wants_syscalls() {
        // What the tracer finds as the result.
        context::set_result(-i64::from(Errno::ENOSYS.0) as u64);
        ptrace::syscall_stop(t, ptrace::Kind::SyscallEnter);
    }
    let (number, args) = context::call();
    if t.seccomp.borrow().is_on()
        && let Some(result) = seccomp::verdict(t, number, &args)
    {
        return result;
    }
    // Both stops may have changed it; -1 takes the call away, and what is in RAX is its result.
    let (number, args) = context::call();
    if (number as i32) < 0 {
        return Ok(context::regs().rax as usize);
    }
    make(t, number, &args)
}

/// The end of a call of a traced task: the result as its tracer leaves it.
fn leave_traced(t: &Arc<Task>, result: SysResult) -> SysResult {
    ptrace::step_over_call(t);
    if !t.trace.wants_syscalls() || exit::must_end(t).is_some() {
        return result;
    }
    let word = signal::encode(result);
    context::set_result(word);
    ptrace::syscall_stop(t, ptrace::Kind::SyscallExit);
    let left = context::regs().rax;
    if left == word { result } else { Ok(left as usize) }
}

/// The way out to the application, short where nobody asked for work.
fn way_out() {
    if cpu::work_requested() {
        work_off();
    }
}

/// Ends the task if it must end, lets others run, delivers signals.
fn work_off() {
    cpu::take_work();
    loop {
        barrier::pass();
        {
            let t = task::current();
            remote::run_errands(&t);
            if let Some(status) = exit::must_end(&t) {
                ptrace::report_exit(&t, status);
                exit::finish(&t, status);
                drop(t);
                sched::exit_current();
            }
            if let Action::Exit(status) = signal::deliver(&t, None) {
                exit::end_by_signal(&t, status);
            }
        }
        // A stop is slept through in `deliver`, so whose turn it is is asked after it.
        sched::before_return();
        let t = task::current();
        rseq::resume(&t);
        let is_free = exit::must_end(&t).is_none() && !signal::interrupts(&t) && !t.rseq.is_due();
        // Another task of this vCPU may have been kicked for a barrier, and left it to this one.
        if is_free && t.errands.borrow().is_empty() && !barrier::is_due() {
            barrier::resume(&t);
            break;
        }
    }
    sched::cover_waiters();
    cpu::take_work();
    if husk_machine::host::has_signals() {
        // They came since they were last looked for, and their request for work has just been taken.
        cpu::request_work();
    }
}

/// Software KVM answers `int n` with an invalid opcode, hardware with a protection fault that names the vector.
fn as_hardware_says(trap: Trap) -> Trap {
    const INT: u8 = 0xcd;
    let mut code = [0; 2];
    let at = context::regs().rip as usize;
    if trap.vector != trap::INVALID_OPCODE || user::copy_in(at, &mut code).is_err() || code[0] != INT {
        return trap;
    }
    Trap { vector: trap::GENERAL_PROTECTION, error: u64::from(code[1]) << 3 | 2, ..trap }
}

/// What a page fault wanted.
fn access_of(trap: &Trap) -> Access {
    if trap.error & trap::PF_FETCH != 0 {
        Access::Execute
    } else if trap.error & trap::PF_WRITE != 0 {
        Access::Write
    } else {
        Access::Read
    }
}

/// Why the access of a page fault is wrong.
fn unmendable(t: &Task, trap: Trap) -> Bad {
    if trap.vector != trap::PAGE_FAULT {
        return Bad::Unmapped;
    }
    match t.space().mend(trap.address as usize, access_of(&trap)) {
        Err(bad) => bad,
        Ok(()) => Bad::Forbidden,
    }
}

/// Whether the fault could be mended, so that the application goes on.
fn mend(trap: Trap) -> bool {
    let t = task::current();
    match trap.vector {
        trap::PAGE_FAULT => t.space().mend(trap.address as usize, access_of(&trap)).is_ok(),
        trap::INVALID_OPCODE => {
            let mut regs = context::regs();
            match site::mend(&t.space(), regs.rip as usize) {
                Some(Mended::Continue(at)) => {
                    regs.rip = at as u64;
                    context::set_regs(&regs);
                    true
                }
                Some(Mended::Call { returns_to }) => {
                    regs.rip = returns_to as u64;
                    regs.orig_rax = regs.rax;
                    context::set_regs(&regs);
                    drop(t);
                    serve();
                    true
                }
                None => false,
            }
        }
        _ => false,
    }
}
