//! Parking: all tasks stopped at safe points, so that the whole of the guest is at rest in memory.
//!
//! Once a park is wanted, each vCPU leaves its task, with all of the task's registers in its frame, and rests in the idle
//! loop; the guest is parked when all have come there. vCPU 0 then acts for them until the park ends. Host signals
//! that arrive meanwhile wait.

use super::sched;
use alloc::vec::Vec;
use husk_abi::control::SIGNAL;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::{cpu, host};

#[derive(Default)]
struct Park {
    wanted: bool,
    /// vCPUs that rest.
    resting: Vec<usize>,
    /// A vCPU that vCPU 0 waits for to act in its own host process.
    turn: Option<usize>,
    /// Host signals for after the park.
    signals: u64,
}

static PARK: Global<KCell<Park>> = Global::new(KCell::default);

/// Whether tasks must stop.
pub fn is_wanted() -> bool {
    PARK.borrow().wanted
}

/// Stops all tasks, soon: see `is_complete`.
pub(crate) fn begin() {
    if core::mem::replace(&mut PARK.borrow_mut().wanted, true) {
        return;
    }
    for (index, idle) in sched::cpus_in_use() {
        if index == cpu::index() {
            cpu::request_work();
        } else if idle {
            cpu::notify(index);
        } else {
            cpu::kick(index);
        }
    }
}

/// Whether all tasks have stopped.
pub(crate) fn is_complete() -> bool {
    let park = PARK.borrow();
    park.wanted && sched::cpus_in_use().iter().all(|(index, _)| park.resting.contains(index))
}

/// Lets the tasks go on.
pub(crate) fn end() {
    {
        let mut park = PARK.borrow_mut();
        park.wanted = false;
        park.resting.clear();
    }
    for (index, _) in sched::cpus_in_use() {
        if index != cpu::index() {
            cpu::notify(index);
        }
    }
}

/// Signals that arrived during the last park, once it has ended.
pub(crate) fn take_signals() -> u64 {
    let mut park = PARK.borrow_mut();
    if park.wanted { 0 } else { core::mem::take(&mut park.signals) }
}

/// The vCPUs of a parked guest are gone: a restored one starts with what is left.
pub(crate) fn forget() {
    let old = PARK.take();
    drop(old);
}

/// Lets another vCPU act in its host process (`snapshot::take_turn`), and waits for it. For vCPU 0 of a parked guest.
pub(crate) fn give_turn(index: usize) {
    PARK.borrow_mut().turn = Some(index);
    cpu::notify(index);
    while PARK.borrow().turn.is_some() {
        rest();
    }
}

fn rest() {
    cpu::sleep(None, <_>::default());
    let signals = host::take_signals();
    PARK.borrow_mut().signals |= signals;
}

/// One round of a vCPU in the idle loop while a park is wanted.
pub(super) fn round() {
    let me = cpu::index();
    {
        let mut park = PARK.borrow_mut();
        if !park.resting.contains(&me) {
            park.resting.push(me);
        }
    }
    let mine = PARK.borrow().turn == Some(me);
    if mine {
        crate::snapshot::take_turn();
        PARK.borrow_mut().turn = None;
        cpu::notify(0);
    } else if is_complete() {
        if me != 0 {
            cpu::notify(0);
        } else {
            PARK.borrow_mut().signals &= !(1 << (SIGNAL - 1));
            crate::snapshot::serve();
        }
    }
    if is_wanted() {
        rest();
    } else {
        sched::take_host_signals();
    }
}
