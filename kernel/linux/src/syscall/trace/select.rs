//! Which calls are traced: strace's `-e trace=`.

use super::super::table::{ABSENT, Row, SERVED};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

/// A set of calls, by number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Set {
    numbers: BTreeSet<u64>,
    /// All others are meant.
    inverted: bool,
}

impl Set {
    pub(super) fn contains(&self, number: u64) -> bool {
        self.numbers.contains(&number) != self.inverted
    }
}

/// Reads `trace=SET` or `SET`: names and %classes with commas between, `!` in front for all others, `all`, `none`. The error
/// says what is not understood.
pub(super) fn parse(expression: &str) -> Result<Set, String> {
    let list = match expression.split_once('=') {
        Some(("trace" | "t", list)) => list,
        Some((other, _)) => return Err(format!("-e {other}=: only trace= is understood")),
        None => expression,
    };
    let (inverted, list) = list.strip_prefix('!').map_or((false, list), |rest| (true, rest));
    let mut set = Set { numbers: BTreeSet::new(), inverted };
    for word in list.split(',').map(str::trim) {
        match word {
            "all" => set.inverted = !inverted,
            "none" => {}
            class if class.starts_with('%') => add_class(&mut set.numbers, &class[1..])?,
            name => {
                let name = name.strip_prefix('?').unwrap_or(name);
                set.numbers
                    .insert(number(name).ok_or_else(|| format!("-e trace={word}: no such system call"))?);
            }
        }
    }
    Ok(set)
}

fn number(name: &str) -> Option<u64> {
    let served = SERVED.iter().find(|row| row.name == name).map(|row| row.number);
    served.or_else(|| ABSENT.iter().find(|(_, other)| *other == name).map(|(number, _)| *number))
}

fn add_class(numbers: &mut BTreeSet<u64>, class: &str) -> Result<(), String> {
    let of = |family: &'static str| move |row: &Row| row.family == family;
    let mut add =
        |is: &dyn Fn(&Row) -> bool| numbers.extend(SERVED.iter().filter(|row| is(row)).map(|row| row.number));
    match class {
        "file" => add(&|row| row.args.iter().any(|(name, _)| name.ends_with("path"))),
        "desc" => add(&|row| row.args.iter().any(|(name, kind)| super::args::is_descriptor(name, kind))),
        "process" => add(&|row| {
            of("process")(row) && row.name != "futex" && row.name != "sched_yield"
                || matches!(row.name, "kill" | "tkill" | "tgkill" | "pidfd_open" | "unshare")
        }),
        "network" | "net" => add(&of("socket")),
        "signal" => add(&|row| row.family == "signal" && !row.name.starts_with("pidfd")),
        "memory" => add(&of("mem")),
        "ipc" => add(&of("ipc")),
        "clock" => add(&|row| row.name.starts_with("clock_") || row.name.ends_with("timeofday")),
        "creds" => add(&of("cred")),
        _ => return Err(format!("-e trace=%{class}: no such class of calls")),
    }
    Ok(())
}
