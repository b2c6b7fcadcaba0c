//! `husk trace`: system calls, signals and ends of tasks as lines, in strace(1)'s manner.
//!
//! A call's line begins when the call does, so that one that never returns is seen. When another task's line comes
//! between, it is cut (`<unfinished ...>`) and taken up again (`<... read resumed>`). With `FLAG_TRACE_COUNT` nothing is
//! printed but a table when the guest ends. All of it runs under the big kernel lock, like the calls themselves.

mod args;
mod count;
mod errors;
mod flags;
mod select;

use super::table;
use crate::errno::{Errno, SysResult};
use crate::signal::SigInfo;
use crate::task::{Pid, Task};
use crate::time::monotonic_ns;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use husk_abi::boot::{FLAG_TRACE, FLAG_TRACE_COUNT, FLAG_TRACE_SPENT};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::{report, start};
use linux_raw_sys::general as raw;

#[derive(Default)]
struct State {
    /// Whose line has begun and not ended.
    open: Option<Pid>,
    /// Whose lines were cut.
    cut: Vec<Pid>,
    /// More than one task was seen: lines name theirs.
    several: bool,
    /// The calls to trace; none for all.
    wanted: Option<select::Set>,
    counts: count::Counts,
}

static STATE: Global<KCell<State>> = Global::new(KCell::default);

/// Whether this guest is traced.
#[inline]
pub fn enabled() -> bool {
    start::boot().flags & FLAG_TRACE != 0
}

fn counting() -> bool {
    start::boot().flags & FLAG_TRACE_COUNT != 0
}

/// Reads what is to be traced from the boot block. The error says what is wrong with it.
pub fn init() -> Result<(), String> {
    let boot = start::boot();
    if !enabled() || boot.trace.count == 0 {
        return Ok(());
    }
    let text = start::text(boot.trace);
    let text = core::str::from_utf8(text.strip_suffix(b"\0").unwrap_or(text)).unwrap_or("?");
    STATE.borrow_mut().wanted = Some(select::parse(text)?);
    Ok(())
}

/// Makes the call by `make` and prints it.
pub fn traced(t: &Task, number: u64, values: &[usize; 6], make: impl FnOnce() -> SysResult) -> SysResult {
    let wanted = STATE.borrow().wanted.as_ref().is_none_or(|set| set.contains(number));
    if !wanted {
        return make();
    }
    let since = monotonic_ns();
    if counting() {
        let result = make();
        STATE.borrow_mut().counts.add(number, monotonic_ns() - since, result.is_err());
        return result;
    }
    let call = args::Call::new(number, values);
    let tid = t.tid();
    let mut text = String::new();
    call.write_before(&mut text);
    begin(tid, &text);
    if call.ends_task() {
        // Its result is for nobody.
        end(tid, &call, ") = ?\n");
        return make();
    }
    let result = make();
    let mut text = String::new();
    call.write_after(&mut text, result);
    text.push(')');
    write_result(&mut text, &call, result);
    if start::boot().flags & FLAG_TRACE_SPENT != 0 {
        let spent = (monotonic_ns() - since) / 1000;
        let _ = write!(text, " <{}.{:06}>", spent / 1_000_000, spent % 1_000_000);
    }
    text.push('\n');
    end(tid, &call, &text);
    result
}

/// Starts a line of `tid`, cutting another's that is open.
fn begin(tid: Pid, text: &str) {
    let mut line = String::new();
    {
        let mut state = STATE.borrow_mut();
        let state = &mut *state;
        state.several |= tid != 1;
        if let Some(other) = state.open.replace(tid) {
            line.push_str(" <unfinished ...>\n");
            state.cut.push(other);
        }
        write_prefix(&mut line, tid, state.several);
    }
    line.push_str(text);
    report::trace(&line);
}

/// Ends the line of `tid`, or takes it up again where it was cut.
fn end(tid: Pid, call: &args::Call<'_>, text: &str) {
    let mut line = String::new();
    {
        let mut state = STATE.borrow_mut();
        let state = &mut *state;
        if state.open == Some(tid) {
            state.open = None;
        } else {
            if let Some(other) = state.open.take() {
                line.push_str(" <unfinished ...>\n");
                state.cut.push(other);
            }
            write_prefix(&mut line, tid, state.several);
            let _ = write!(line, "<... {} resumed>", call.name());
        }
        state.cut.retain(|other| *other != tid);
    }
    line.push_str(text);
    report::trace(&line);
}

/// A whole line of `tid`.
fn note(tid: Pid, text: &str) {
    if !enabled() || counting() {
        return;
    }
    begin(tid, text);
    STATE.borrow_mut().open = None;
}

/// Who the line is of: as strace has it, nobody as long as there is one task; in a file, always.
fn write_prefix(out: &mut String, tid: Pid, several: bool) {
    if start::boot().trace_fd > 2 {
        let _ = write!(out, "{tid:<5} ");
    } else if several {
        let _ = write!(out, "[pid {tid:>5}] ");
    }
}

fn write_result(out: &mut String, call: &args::Call<'_>, result: SysResult) {
    // strace puts the sign at column 40 where it can; a line that begins late looks the same without.
    let _ = match result {
        Ok(value) if call.gives_address() => write!(out, " = {value:#x}"),
        Ok(value) => write!(out, " = {}", value as i64),
        Err(Errno::ERESTARTSYS) => write!(out, " = ? ERESTARTSYS (To be restarted if SA_RESTART is set)"),
        Err(Errno::ERESTARTNOINTR) => write!(out, " = ? ERESTARTNOINTR (To be restarted)"),
        Err(Errno::ERESTARTNOHAND) => write!(out, " = ? ERESTARTNOHAND (To be restarted if no handler)"),
        Err(Errno::ERESTART_RESTARTBLOCK) => {
            write!(out, " = ? ERESTART_RESTARTBLOCK (Interrupted by signal)")
        }
        Err(error) if error == Errno::ENOSYS && !call.served() => {
            write!(out, " = -1 ENOSYS (Function not implemented) [not served by Husk]")
        }
        Err(error) => match errors::text(error) {
            "" => write!(out, " = -1 {error:?}"),
            text => write!(out, " = -1 {error:?} ({text})"),
        },
    };
}

/// A signal is about to act on a task.
pub fn signal(t: &Task, info: &SigInfo) {
    if !enabled() || counting() {
        return;
    }
    let mut text = String::from("--- ");
    flags::write_signal(&mut text, info.signo);
    text.push_str(" {si_signo=");
    flags::write_signal(&mut text, info.signo);
    text.push_str(", si_code=");
    flags::write_code(&mut text, info);
    let (pid, uid) = info.pair();
    let _ = match info.layout() {
        crate::signal::Layout::Kill if info.code != flags::SI_KERNEL => {
            write!(text, ", si_pid={pid}, si_uid={uid}")
        }
        crate::signal::Layout::Queue => {
            write!(text, ", si_pid={pid}, si_uid={uid}, si_value={:#x}", info.value())
        }
        crate::signal::Layout::Child => {
            write!(text, ", si_pid={pid}, si_uid={uid}, si_status={}", info.value() as u32)
        }
        crate::signal::Layout::Fault => write!(text, ", si_addr={:#x}", info.fields[0]),
        _ => Ok(()),
    };
    text.push_str("} ---\n");
    note(t.tid(), &text);
}

/// Process 1 has its program: the line that strace begins with.
pub fn started(program: &[u8], arguments: &[Vec<u8>], variables: usize) {
    let wanted = STATE.borrow().wanted.as_ref().is_none_or(|set| set.contains(u64::from(raw::__NR_execve)));
    if !enabled() || counting() || !wanted {
        return;
    }
    let mut text = String::from("execve(");
    args::write_quoted(&mut text, program);
    for (index, argument) in arguments.iter().enumerate() {
        text.push_str(if index > 0 { ", " } else { ", [" });
        args::write_quoted(&mut text, argument);
    }
    let _ = writeln!(text, "], /* {variables} vars */) = 0");
    note(1, &text);
}

/// A task ends with this wait status.
pub fn ended(t: &Task, status: i32) {
    if !enabled() || counting() {
        return;
    }
    let mut text = String::new();
    match status & 0x7f {
        0 => text = format!("+++ exited with {} +++\n", status >> 8 & 0xff),
        signal => {
            text.push_str("+++ killed by ");
            flags::write_signal(&mut text, signal as u32);
            text.push_str(" +++\n");
        }
    }
    note(t.tid(), &text);
}

/// The guest ends: prints the counts, if they were asked for.
pub fn close() {
    if enabled() && counting() {
        let table = STATE.borrow().counts.table();
        report::trace(&table);
    }
}

/// The name of a call, whether it is served or not.
fn name_of(number: u64) -> Option<&'static str> {
    let absent = || table::ABSENT.iter().find(|(other, _)| *other == number).map(|(_, name)| *name);
    table::row(number).map(|row| row.name).or_else(absent)
}

#[cfg(test)]
mod tests;
