//! Counts of calls: strace's `-c`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

#[derive(Clone, Copy, Default)]
struct Count {
    calls: u64,
    errors: u64,
    /// Nanoseconds from entry to return, sleeps included.
    time: u64,
}

/// What was counted, by number of the call.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<u64, Count>);

impl Counts {
    pub(super) fn add(&mut self, number: u64, time: u64, failed: bool) {
        let count = self.0.entry(number).or_default();
        count.calls += 1;
        count.errors += u64::from(failed);
        count.time += time;
    }

    /// strace's table; its times are those of the calls on the clock.
    pub(super) fn table(&self) -> String {
        let mut rows: Vec<(u64, Count)> = self.0.iter().map(|(number, count)| (*number, *count)).collect();
        rows.sort_by(|(_, a), (_, b)| b.time.cmp(&a.time).then(b.calls.cmp(&a.calls)));
        let mut all = Count::default();
        for (_, count) in &rows {
            all.calls += count.calls;
            all.errors += count.errors;
            all.time += count.time;
        }
        let mut out = String::from("% time     seconds  usecs/call     calls    errors syscall\n");
        let rule = "------ ----------- ----------- --------- --------- ----------------\n";
        out.push_str(rule);
        for (number, count) in rows {
            let name = super::name_of(number).map_or_else(|| format!("syscall_{number:#x}"), String::from);
            write_row(&mut out, count, all.time, &name);
        }
        out.push_str(rule);
        write_row(&mut out, all, all.time, "total");
        out
    }
}

fn write_row(out: &mut String, count: Count, total: u64, name: &str) {
    let share = if total == 0 { 0 } else { u128::from(count.time) * 10_000 / u128::from(total) };
    let microseconds = count.time / 1000;
    let errors = if count.errors == 0 { String::new() } else { format!("{}", count.errors) };
    let _ = writeln!(
        out,
        "{:>3}.{:02} {:>4}.{:06} {:>11} {:>9} {errors:>9} {name}",
        share / 100,
        share % 100,
        microseconds / 1_000_000,
        microseconds % 1_000_000,
        microseconds.checked_div(count.calls).unwrap_or(0),
        count.calls,
    );
}
