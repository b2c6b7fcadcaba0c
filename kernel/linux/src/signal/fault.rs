//! Faults of the application: from a processor exception to the signal Linux sends for it.

use super::{SIG_DFL, SIG_IGN, SigAction, SigInfo, bit, send_to_task};
use crate::mem::Bad;
use crate::task::Task;
use alloc::sync::Arc;
use alloc::vec;
use husk_machine::context;
use husk_machine::trap::{self, Trap};
use linux_raw_sys::general as raw;

// Exceptions without a name in `trap`.
const SEGMENT_NOT_PRESENT: u64 = 11;
const STACK_SEGMENT: u64 = 12;
/// The end of what Linux gives to programs (TASK_SIZE_MAX).
const LINUX_TASK_END: u64 = 0x7fff_ffff_f000;

/// The current task's program caused an exception: sends the signal, which it takes even if it blocks or ignores it. For
/// page faults `bad` says why.
pub fn fault(t: &Arc<Task>, trap: Trap, bad: Bad) {
    {
        let mut state = t.signals.state.borrow_mut();
        state.last_fault[0] = trap.vector;
        // Of addresses that are never a program's, Linux shows nothing but that they are forbidden (x86's fault.c).
        let hidden = trap.vector == trap::PAGE_FAULT && trap.address >= LINUX_TASK_END;
        state.last_fault[1] = trap.error | if hidden { trap::PF_PRESENT } else { 0 };
        if trap.vector == trap::PAGE_FAULT {
            state.last_fault[2] = trap.address;
        }
    }
    if let Some(info) = info_of(trap, bad) {
        force(t, info);
    }
}

fn info_of(trap: Trap, bad: Bad) -> Option<SigInfo> {
    let at = context::regs().rip as usize;
    let here = |signo: u32, code: u32| Some(SigInfo::fault(signo, code as i32, at));
    match trap.vector {
        trap::DIVIDE_ERROR => here(raw::SIGFPE, raw::FPE_INTDIV),
        trap::DEBUG => here(raw::SIGTRAP, raw::TRAP_TRACE),
        trap::BREAKPOINT => Some(SigInfo::kernel(raw::SIGTRAP)),
        trap::INVALID_OPCODE => here(raw::SIGILL, raw::ILL_ILLOPN),
        SEGMENT_NOT_PRESENT | STACK_SEGMENT => Some(SigInfo::kernel(raw::SIGBUS)),
        trap::PAGE_FAULT => Some(page_info(trap.address as usize, bad)),
        trap::X87_ERROR | trap::SIMD_ERROR if trap.code > 0 => here(raw::SIGFPE, trap.code as u32),
        trap::X87_ERROR | trap::SIMD_ERROR => here(raw::SIGFPE, float_code(trap.vector)?),
        trap::ALIGNMENT_CHECK => Some(SigInfo::fault(raw::SIGBUS, raw::BUS_ADRALN as i32, 0)),
        _ => Some(SigInfo::kernel(raw::SIGSEGV)),
    }
}

fn page_info(address: usize, bad: Bad) -> SigInfo {
    match bad {
        Bad::Unmapped => SigInfo::fault(raw::SIGSEGV, raw::SEGV_MAPERR as i32, address),
        Bad::Forbidden => SigInfo::fault(raw::SIGSEGV, raw::SEGV_ACCERR as i32, address),
        Bad::Beyond | Bad::OutOfMemory => SigInfo::fault(raw::SIGBUS, raw::BUS_ADRERR as i32, address),
    }
}

/// Which unmasked floating-point exception it was; `None` when there is none (any more).
fn float_code(vector: u64) -> Option<u32> {
    let mut area = vec![0; context::fpu_len()];
    context::save_fpu(&mut area);
    let half = |at: usize| u32::from(area[at]) | u32::from(area[at + 1]) << 8;
    let raised = if vector == trap::X87_ERROR {
        let (control, status) = (half(0), half(2));
        status & !control
    } else {
        let mxcsr = half(24);
        !(mxcsr >> 7) & mxcsr
    };
    float_code_of(raised)
}

/// From the exception bits that x87 and SSE share, in the order in which Linux looks.
fn float_code_of(raised: u32) -> Option<u32> {
    const INVALID: u32 = 1;
    const DENORMAL: u32 = 2;
    const ZERO_DIVIDE: u32 = 4;
    const OVERFLOW: u32 = 8;
    const UNDERFLOW: u32 = 0x10;
    const INEXACT: u32 = 0x20;
    match raised {
        raised if raised & INVALID != 0 => Some(raw::FPE_FLTINV),
        raised if raised & ZERO_DIVIDE != 0 => Some(raw::FPE_FLTDIV),
        raised if raised & OVERFLOW != 0 => Some(raw::FPE_FLTOVF),
        raised if raised & (DENORMAL | UNDERFLOW) != 0 => Some(raw::FPE_FLTUND),
        raised if raised & INEXACT != 0 => Some(raw::FPE_FLTRES),
        _ => None,
    }
}

/// Sends a signal that the thread cannot escape: if it blocks or ignores it, the default action is taken.
pub fn force(t: &Arc<Task>, info: SigInfo) {
    let signo = info.signo;
    let blocked = t.signals.mask() & bit(signo) != 0;
    let handlers = t.handlers.borrow().clone();
    let action = handlers.get(signo);
    if blocked || action.handler == SIG_IGN {
        handlers.set(signo, SigAction { handler: SIG_DFL, ..action });
    }
    if handlers.get(signo).handler == SIG_DFL {
        // It is not spared its own faults.
        t.process().is_init.set(false);
    }
    if blocked {
        t.signals.state.borrow_mut().mask &= !bit(signo);
    }
    send_to_task(t, info);
}

/// The stack cannot take the frame of `signo`: SIGSEGV, and the end if that was SIGSEGV itself.
pub(super) fn force_after_bad_stack(t: &Arc<Task>, signo: u32) {
    if signo == raw::SIGSEGV {
        let handlers = t.handlers.borrow().clone();
        handlers.set(signo, SigAction { handler: SIG_DFL, ..handlers.get(signo) });
    }
    force(t, SigInfo::kernel(raw::SIGSEGV));
}

#[cfg(test)]
mod tests {
    use super::{Trap, fault, float_code_of};
    use crate::mem::Bad;
    use crate::signal::{Action, SIG_IGN, SigAction, bit, deliver, set_mask, take};
    use crate::task::test::enter;
    use husk_machine::context::{Regs, set_regs};
    use linux_raw_sys::general as raw;

    fn exception(vector: u64, address: u64) -> Trap {
        Trap { vector, error: 0, address, code: 0 }
    }

    #[test]
    fn exceptions_become_the_signals_of_linux() {
        let t = enter();
        set_regs(&Regs { rip: 0x40_1234, ..Regs::default() });
        let cases = [
            (0, Bad::Unmapped, raw::SIGFPE, raw::FPE_INTDIV, 0x40_1234),
            (1, Bad::Unmapped, raw::SIGTRAP, raw::TRAP_TRACE, 0x40_1234),
            (3, Bad::Unmapped, raw::SIGTRAP, raw::SI_KERNEL, 0),
            (6, Bad::Unmapped, raw::SIGILL, raw::ILL_ILLOPN, 0x40_1234),
            (12, Bad::Unmapped, raw::SIGBUS, raw::SI_KERNEL, 0),
            (13, Bad::Unmapped, raw::SIGSEGV, raw::SI_KERNEL, 0),
            (14, Bad::Unmapped, raw::SIGSEGV, raw::SEGV_MAPERR, 0xbad0),
            (14, Bad::Forbidden, raw::SIGSEGV, raw::SEGV_ACCERR, 0xbad0),
            (14, Bad::Beyond, raw::SIGBUS, raw::BUS_ADRERR, 0xbad0),
            (17, Bad::Unmapped, raw::SIGBUS, raw::BUS_ADRALN, 0),
        ];
        for (trap, bad, signo, code, address) in cases {
            fault(&t, Trap { error: 4, ..exception(trap, 0xbad0) }, bad);
            let info = take(&t, !0).expect("a fault sends a signal");
            assert_eq!(
                (info.signo, info.code, info.fields[0]),
                (signo, code as i32, address),
                "vector {trap}"
            );
        }
    }

    #[test]
    fn a_fault_ends_a_process_that_blocks_or_ignores_its_signal() {
        let t = enter();
        set_mask(&t, bit(raw::SIGSEGV));
        fault(&t, exception(14, 0), Bad::Unmapped);
        assert_eq!(deliver(&t, None), Action::Exit(raw::SIGSEGV as i32));
        let t = enter();
        t.handlers.borrow().set(raw::SIGFPE, SigAction { handler: SIG_IGN, ..SigAction::default() });
        fault(&t, exception(0, 0), Bad::Unmapped);
        assert_eq!(deliver(&t, None), Action::Exit(raw::SIGFPE as i32));
    }

    #[test]
    fn floating_point_codes_go_by_priority() {
        let codes = [0, 1, 3, 4, 8, 0x10, 2, 0x20, 0x24].map(float_code_of);
        let expected = [
            None,
            Some(raw::FPE_FLTINV),
            Some(raw::FPE_FLTINV),
            Some(raw::FPE_FLTDIV),
            Some(raw::FPE_FLTOVF),
            Some(raw::FPE_FLTUND),
            Some(raw::FPE_FLTUND),
            Some(raw::FPE_FLTRES),
            Some(raw::FPE_FLTDIV),
        ];
        assert_eq!(codes, expected);
    }
}
