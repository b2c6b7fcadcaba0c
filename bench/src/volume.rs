//! Files of the host in a guest: operations on a volume beside the same on the directory itself.

use crate::Bench;
use crate::ops::interleaved;
use crate::report::Row;
use crate::sample;
use crate::variant::Variant;
use std::path::Path;

/// An operation of `volume`: its name there, what it is, how often a run does it, and what the tenders may take of native's time.
struct Op(&'static str, &'static str, u64, Option<f64>);

const OPS: &[Op] = &[
    Op("read128k", "volume, read 128 KiB", 8_000, Some(1.43)),
    Op("read4k", "volume, read 4 KiB", 60_000, None),
    Op("write128k", "volume, write 128 KiB", 8_000, Some(1.43)),
    Op("lstat", "volume, lstat", 20_000, None),
    Op("walk", "volume, list + lstat", 10_000, None),
    Op("create", "volume, create + write", 5_000, None),
    Op("unpack", "volume, unpack", 5_000, None),
];

/// Where the guest sees the directory.
const PLACE: &str = "/husk-bench-volume";

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let program = bench.work.path("volume");
    for Op(name, title, count, target) in OPS {
        if !bench.wanted(title) {
            continue;
        }
        let count = if bench.quick { count / 4 } else { *count };
        let target = |variant: &str| target.filter(|_| variant != "native");
        let figures =
            interleaved(bench, bench.rounds(9), target, |variant| once(variant, &program, name, count));
        rows.push(Row { name: (*title).to_owned(), unit: "ns", figures });
    }
    Ok(rows)
}

/// One run in a fresh directory: nanoseconds.
fn once(variant: &Variant, program: &Path, name: &str, count: u64) -> Result<f64, String> {
    let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
    let host = directory.path().to_string_lossy();
    let (place, options) = if variant.name == "native" {
        (&*host, Vec::new())
    } else {
        (PLACE, vec!["-v".to_owned(), format!("{host}:{PLACE}")])
    };
    let arguments = [name.to_owned(), place.to_owned(), count.to_string()];
    let times = sample::run(&mut variant.command_with(&options, program, &arguments))?;
    let told = times.stdout.trim().parse().ok();
    told.ok_or_else(|| format!("{}: unexpected output: {}{}", program.display(), times.stdout, times.stderr))
}
