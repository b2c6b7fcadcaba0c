//! CPU time: how long a task has had a processor, which is less than how long it has had its vCPU.
//!
//! A vCPU is a thread of the host's, which gives its processor to others as it likes. In the process tender one host call
//! tells how long the thread has run in all. It is made where a task has gone on for long, and what the host says is less
//! than what was charged on this vCPU since the last look is taken off. Shorter stretches are charged as they pass.

use super::{SLICE_NS, State, group};
use crate::task::Task;
use crate::time::monotonic_ns;
use husk_machine::cpu;

/// A stretch from which on it is worth a host call.
const LONG_NS: u64 = 1_000_000;

/// Of `ran` ns just charged on this vCPU, those that the task did have a processor.
fn own_part(ran: u64) -> u64 {
    let host = if ran < LONG_NS { None } else { cpu::host_time() };
    group::with_cpu(cpu::index(), |cpu| {
        let charged = cpu.charged + ran;
        let Some(now) = host else {
            cpu.charged = charged;
            return ran;
        };
        // A restored vCPU is another thread of the host's, which has hardly run yet.
        let given = now.checked_sub(cpu.host_time);
        cpu.charged = 0;
        cpu.host_time = now;
        ran.saturating_sub(given.map_or(0, |given| charged.saturating_sub(given)))
    })
}

/// Charges `task`, which runs on this vCPU, for the time since it was last charged.
pub(super) fn settle(task: &Task) {
    let entity = &task.sched;
    let now = monotonic_ns();
    let ran = own_part(now.saturating_sub(entity.charged_at.get()));
    entity.charged_at.set(now);
    entity.ran.set(entity.ran.get() + ran);
    // What goes beyond a slice, and the host does not tell of, is time that it gave to others.
    entity.virtual_time.set(entity.virtual_time.get() + ran.min(SLICE_NS));
}

/// Nanoseconds that `task` has had a processor. Never less than was told before: what a task on another vCPU has is known
/// when that vCPU looks.
pub fn run_time(task: &Task) -> u64 {
    let entity = &task.sched;
    let running = entity.state.get() == State::Running;
    let open = || monotonic_ns().saturating_sub(entity.charged_at.get());
    if running && entity.on_cpu.get() == Some(cpu::index()) && open() >= LONG_NS {
        settle(task);
    }
    let time = entity.ran.get() + if running { open() } else { 0 };
    entity.told.set(entity.told.get().max(time));
    entity.told.get()
}
