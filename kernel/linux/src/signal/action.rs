//! Dispositions: what a process has asked to happen at each signal (sigaction(2)).

use super::{SigSet, bit};
use crate::task::Task;
use alloc::sync::Arc;
use husk_machine::cell::KCell;
use linux_raw_sys::general as raw;

pub const SIG_DFL: u64 = 0;
pub const SIG_IGN: u64 = 1;

/// Number of signals.
pub const SIGNALS: usize = 64;

/// `struct kernel_sigaction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigAction {
    /// Address of the handler, or SIG_DFL, or SIG_IGN.
    pub handler: u64,
    /// SA_*.
    pub flags: u64,
    /// Address of the code to which the handler returns.
    pub restorer: u64,
    /// Signals that are blocked while the handler runs.
    pub mask: SigSet,
}

impl SigAction {
    pub fn from_words([handler, flags, restorer, mask]: [u64; 4]) -> Self {
        Self { handler, flags, restorer, mask }
    }

    pub fn to_words(self) -> [u64; 4] {
        [self.handler, self.flags, self.restorer, self.mask]
    }

    pub fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// Whether the signal, sent now, would do nothing.
    pub fn ignores(&self, signo: u32) -> bool {
        let idle = matches!(effect_of(signo), Effect::Ignore | Effect::Continue);
        self.handler == SIG_IGN || self.handler == SIG_DFL && idle
    }
}

/// What SIG_DFL does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Terminate,
    /// Terminate with a core dump, which Husk does not write: the wait status says so.
    Core,
    Ignore,
    Stop,
    /// Nothing at delivery: a stopped process went on when the signal was sent.
    Continue,
}

/// See signal(7).
pub fn effect_of(signo: u32) -> Effect {
    match signo {
        raw::SIGQUIT
        | raw::SIGILL
        | raw::SIGTRAP
        | raw::SIGABRT
        | raw::SIGFPE
        | raw::SIGSEGV
        | raw::SIGBUS
        | raw::SIGSYS
        | raw::SIGXCPU
        | raw::SIGXFSZ => Effect::Core,
        raw::SIGSTOP | raw::SIGTSTP | raw::SIGTTIN | raw::SIGTTOU => Effect::Stop,
        raw::SIGCONT => Effect::Continue,
        raw::SIGCHLD | raw::SIGWINCH | raw::SIGURG => Effect::Ignore,
        _ => Effect::Terminate,
    }
}

/// Signals whose default stops the process.
pub(super) const STOPS: SigSet =
    bit(raw::SIGSTOP) | bit(raw::SIGTSTP) | bit(raw::SIGTTIN) | bit(raw::SIGTTOU);

/// The dispositions of all signals. Tasks made with CLONE_SIGHAND share one.
pub struct Handlers {
    actions: KCell<[SigAction; SIGNALS]>,
}

impl Default for Handlers {
    fn default() -> Self {
        Self { actions: KCell::new([SigAction::default(); SIGNALS]) }
    }
}

impl Handlers {
    /// The disposition of signal 1..=64.
    pub fn get(&self, signo: u32) -> SigAction {
        self.actions.borrow()[signo as usize - 1]
    }

    pub fn set(&self, signo: u32, action: SigAction) {
        self.actions.borrow_mut()[signo as usize - 1] = action;
    }

    /// The dispositions of a new task of `parent`, by clone(2)'s CLONE_SIGHAND and CLONE_CLEAR_SIGHAND.
    pub fn for_child(parent: &Task, share: bool, clear: bool) -> Arc<Self> {
        let own = parent.handlers.borrow();
        match (share, clear) {
            (true, _) => own.clone(),
            (false, true) => own.without_handlers(),
            (false, false) => Arc::new(Self { actions: KCell::new(*own.actions.borrow()) }),
        }
    }

    /// A copy for the program that execve(2) starts: handlers are gone, SIG_IGN stays.
    pub(super) fn without_handlers(&self) -> Arc<Self> {
        let kept = self.actions.borrow().map(|action| SigAction {
            handler: if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL },
            ..SigAction::default()
        });
        Arc::new(Self { actions: KCell::new(kept) })
    }

    /// Signals that are ignored by request, and signals that are caught, for /proc/PID/status.
    pub fn ignored_and_caught(&self) -> (SigSet, SigSet) {
        let (mut ignored, mut caught) = (0, 0);
        for (signo, action) in (1..).zip(self.actions.borrow().iter()) {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => ignored |= bit(signo),
                _ => caught |= bit(signo),
            }
        }
        (ignored, caught)
    }
}
