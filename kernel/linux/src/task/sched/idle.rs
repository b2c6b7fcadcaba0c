//! vCPUs without a task: how they sleep, keep time for others, and take what comes from the host.

use super::group::{CPUS, Group, release_cpu, start_cpu, tasks_of_host_process, with_cpu};
use super::{NAP_NS, SLICE_NS, choose, lost, my_group, set_current, take_next};
use crate::signal;
use crate::task::{barrier, park, process};
use crate::time::{monotonic_ns, timer};
use alloc::sync::Arc;
use husk_machine::cpu;
use linux_raw_sys::general as raw;

/// Sleeps until there may be something to do, or the next timer.
fn idle_once() {
    barrier::pass();
    lost::look_if_suspected();
    let now = monotonic_ns();
    timer::run_expired(now);
    let group = my_group();
    if park::is_wanted() || !group.queue.borrow().is_empty() && !group.queued_is_left(now) {
        return;
    }
    let me = cpu::index();
    let mut deadline = timer::next_deadline();
    if now.saturating_sub(group.left_at.get()) < NAP_NS {
        deadline = Some(deadline.map_or(now + NAP_NS, |deadline| deadline.min(now + NAP_NS)));
    }
    drop(group);
    with_cpu(me, |cpu| {
        cpu.idle = true;
        cpu.sleeps_until = deadline;
    });
    cpu::sleep(deadline, crate::tty::console::watch());
    with_cpu(me, |cpu| cpu.idle = false);
    crate::tty::console::look();
    take_host_signals();
    timer::run_expired(monotonic_ns());
}

/// Hands signals from outside to whom they are meant for: those of the host's keyboard to the terminal's foreground
/// group, others to process 1.
pub(crate) fn take_host_signals() {
    let mut set = husk_machine::host::take_signals() | park::take_signals();
    if set == 0 {
        return;
    }
    let bit = |signo: u32| 1 << (signo - 1);
    let (window, goes_on) = husk_machine::host::take_terminal_news();
    if let Some(window) = window {
        crate::tty::console::resized(window);
    }
    if let Some(hog) = husk_machine::host::take_hog() {
        crate::mem::oom::end(&tasks_of_host_process(hog));
    }
    set &= !bit(husk_abi::boot::SIZE_SIGNAL);
    if crate::tty::console::is_raw() {
        set &= !bit(raw::SIGCONT);
    }
    if goes_on {
        set |= bit(raw::SIGCONT);
    }
    if set & bit(raw::SIGCONT) != 0 {
        // As on Linux, where the one takes the other away: whoever was stopped goes on.
        set &= !bit(raw::SIGTSTP);
    }
    while set != 0 {
        let signo = set.trailing_zeros() + 1;
        set &= set - 1;
        if signo == husk_abi::control::SIGNAL {
            crate::snapshot::look();
            continue;
        }
        if signo == raw::SIGWINCH && crate::tty::console::is_terminal() {
            // Its size comes by another signal.
            continue;
        }
        let keyboard = matches!(signo, raw::SIGINT | raw::SIGQUIT | raw::SIGTSTP);
        if keyboard && crate::tty::console::keyboard_signal(signo) {
            continue;
        }
        if let Some(init) = process::find(1) {
            if signo == raw::SIGCONT {
                // The job goes on, not its first process alone.
                signal::send_to_group(init.pgid.get(), signal::SigInfo::kernel(signo));
                continue;
            }
            signal::send_to_process(&init, signal::SigInfo::kernel(signo));
        }
    }
}

/// One round of a vCPU that has no task's stack to stand on: returns when a task is chosen, or for another round.
pub fn idle() {
    set_current(None);
    let group = my_group();
    let ticker = with_cpu(cpu::index(), |cpu| cpu.ticker);
    if group.absent.take() {
        crate::snapshot::restore::bring_memory(cpu::index());
    }
    if group.tasks.get() == 0 && !group.starting.get() {
        drop(group);
        end_cpu();
    }
    if park::is_wanted() {
        return park::round();
    }
    if ticker {
        return tick(&group);
    }
    if !group.queued_is_left(monotonic_ns())
        && let Some(next) = take_next()
    {
        return choose(next);
    }
    drop(group);
    idle_once();
}

/// Ends this vCPU, whose group has no task left, and tells the group's others.
fn end_cpu() -> ! {
    let (group, index) = (my_group(), cpu::index());
    release_cpu(&group, index);
    for other in group.cpus.borrow().iter() {
        cpu::notify(*other);
    }
    drop(group);
    cpu::exit_thread()
}

/// One round of a ticker: sleeps for a slice or until the next timer, then makes the group's busy vCPUs look.
fn tick(group: &Group) {
    lost::look_if_suspected();
    let now = monotonic_ns();
    let competing = !group.queue.borrow().is_empty();
    let slice = competing.then_some(now + SLICE_NS);
    let deadline = match (slice, timer::next_deadline()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    with_cpu(cpu::index(), |cpu| {
        cpu.idle = true;
        cpu.sleeps_until = deadline;
    });
    cpu::sleep(deadline, crate::tty::console::watch());
    with_cpu(cpu::index(), |cpu| cpu.idle = false);
    crate::tty::console::look();
    // The host gives signals to whichever thread it likes.
    take_host_signals();
    timer::run_expired(monotonic_ns());
    if !group.queue.borrow().is_empty() {
        for index in group.busy_cpus() {
            cpu::kick(index);
        }
    }
}

/// Makes sure that a ticker of the group sleeps no longer than it may.
pub(super) fn keep_time(group: &Arc<Group>) {
    if !cpu::is_process_tender() {
        // Busy vCPUs take ticks of their own, but seldom.
        if let Some(deadline) = timer::next_deadline() {
            cpu::set_alarm(deadline);
        }
        return;
    }
    match group.ticker() {
        Some(index) => {
            let until = with_cpu(index, |cpu| if cpu.idle { cpu.sleeps_until } else { Some(0) });
            let wanted = match (group.queue.borrow().is_empty(), timer::next_deadline()) {
                (true, wanted) => wanted,
                (false, wanted) => Some((monotonic_ns() + SLICE_NS).min(wanted.unwrap_or(u64::MAX))),
            };
            let watching = crate::tty::console::watch().iter().any(|watch| watch.input || watch.output);
            let covered = matches!((until, wanted), (Some(until), Some(wanted)) if until <= wanted);
            if watching || !covered {
                cpu::notify(index);
            }
        }
        // Without one, slices end when a task next enters the kernel.
        None => {
            start_cpu(group, true);
        }
    }
}

/// A timer was armed, or somebody waits for the console: whoever sleeps for the guest must know. Called on the way out
/// of the kernel, when this vCPU is about to run its application.
pub fn cover_waiters() {
    let wanted = timer::next_deadline();
    let watching = crate::tty::console::watch().iter().any(|watch| watch.input || watch.output);
    if wanted.is_none() && !watching {
        return;
    }
    let cpus = CPUS.borrow();
    let mut idle = None;
    for (index, cpu) in cpus.iter().enumerate().filter(|(_, cpu)| cpu.in_use && cpu.idle) {
        let early_enough = match (wanted, cpu.sleeps_until) {
            (None, _) => true,
            (Some(wanted), Some(until)) => until <= wanted,
            (Some(_), None) => false,
        };
        if early_enough && !watching {
            return;
        }
        idle = Some(index);
    }
    drop(cpus);
    match idle {
        Some(index) => cpu::notify(index),
        None => keep_time(&my_group()),
    }
}
