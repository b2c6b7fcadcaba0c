//! Single operations, measured inside the program that makes them, and whole pieces of work.

use crate::Bench;
use crate::report::{Figure, Row};
use crate::sample::{self, Summary};
use crate::variant::Variant;
use std::path::{Path, PathBuf};

/// An operation of `ops`: its name there, what it is, how often a run does it, and what the process and kvm tenders
/// may take of native's time.
struct Op(&'static str, &'static str, u64, Option<f64>, Option<f64>);

const OPS: &[Op] = &[
    Op("getppid", "getppid", 1_000_000, Some(0.25), Some(0.25)),
    Op("stat", "stat", 200_000, Some(0.5), Some(0.5)),
    Op("open", "open + fstat + close", 100_000, Some(0.5), Some(0.5)),
    Op("read4k", "read 4 KiB of a file", 300_000, Some(0.5), Some(0.5)),
    Op("pipe_alone", "pipe write + read", 200_000, None, None),
    Op("pingpong_threads", "ping-pong, threads", 20_000, Some(1.0), Some(1.0)),
    Op("pingpong_processes", "ping-pong, processes", 10_000, Some(1.2), None),
    Op("futex", "futex handoff", 20_000, None, None),
    Op("switch", "context switch", 100_000, None, None),
    Op("thread", "thread create + join", 3_000, None, None),
    Op("fork_exit", "fork + exit", 200, Some(1.5), Some(5.0)),
    Op("fork_exec", "fork + exec", 100, Some(1.5), Some(5.0)),
    Op("touch", "page first touch", 10_000, Some(1.2), Some(3.0)),
    Op("mmap", "mmap + munmap", 30_000, None, None),
    Op("clock_gettime", "clock_gettime", 1_000_000, None, None),
    Op("parallel", "two threads compute", 100_000_000, Some(1.02), Some(1.02)),
];

/// How a whole program says what it took.
enum Says {
    /// On the clock, from start to exit.
    Nothing,
    /// The first number of its output.
    Nanoseconds,
    /// As dd(1) ends: `..., 0.52 s, ...`.
    DdSeconds,
    /// As openssl-speed(1) ends with -mr: `+F:N:NAME:BYTES PER SECOND`.
    OpensslSpeed,
}

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let ops = bench.work.path("ops");
    for Op(name, title, count, process, kvm) in OPS {
        if bench.wanted(title) {
            let count = if bench.quick { count / 4 } else { *count };
            let arguments = [(*name).to_owned(), count.to_string()];
            rows.push(race(
                bench,
                title,
                &ops,
                &arguments,
                &Says::Nanoseconds,
                bench.rounds(9),
                [*process, *kvm],
            ));
        }
    }
    let work = [
        ("dd bs=1", "dd", "if=/dev/zero of=/dev/null bs=1 count=300000", Says::DdSeconds, 0.5),
        ("python loop", "/usr/bin/python3", PYTHON, Says::Nanoseconds, 1.02),
        (
            "openssl speed",
            "openssl",
            "speed -mr -elapsed -seconds 1 -bytes 16384 sha256",
            Says::OpensslSpeed,
            1.02,
        ),
        ("gcc -O2 -c", "gcc", "-O2 -c -o /tmp/husk-bench.o", Says::Nothing, 1.02),
    ];
    for (title, program, arguments, says, target) in work {
        if !bench.wanted(title) {
            continue;
        }
        let Some(program) = find(program) else {
            let note = format!("{program} is not installed");
            rows.push(Row {
                name: title.to_owned(),
                unit: "ns",
                figures: vec![Figure::absent("native", &note)],
            });
            continue;
        };
        let mut arguments: Vec<String> = if title == "python loop" {
            vec!["-c".to_owned(), arguments.to_owned()]
        } else {
            arguments.split_whitespace().map(str::to_owned).collect()
        };
        if title.starts_with("gcc") {
            arguments.push(bench.work.path("ops.c").to_string_lossy().into_owned());
        }
        let rounds = bench.rounds(7);
        rows.push(race(bench, title, &program, &arguments, &says, rounds, [Some(target); 2]));
    }
    let _ = std::fs::remove_file("/tmp/husk-bench.o");
    Ok(rows)
}

const PYTHON: &str = "import time
t = time.perf_counter_ns()
s = 0
for i in range(2000000):
    s += i * i % 7
print(time.perf_counter_ns() - t)";

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn race(
    bench: &Bench,
    title: &str,
    program: &Path,
    arguments: &[String],
    says: &Says,
    rounds: usize,
    targets: [Option<f64>; 2],
) -> Row {
    let target = |name: &str| match name {
        "process" => targets[0],
        "kvm" => targets[1],
        _ => None,
    };
    let figures = interleaved(bench, rounds, target, |variant| once(variant, program, arguments, says));
    Row { name: title.to_owned(), unit: "ns", figures }
}

/// Rounds in which each variant runs once: its figure, in the unit of `once`. The first run packs, and is not counted.
pub(crate) fn interleaved(
    bench: &Bench,
    rounds: usize,
    target: impl Fn(&str) -> Option<f64>,
    once: impl Fn(&Variant) -> Result<f64, String>,
) -> Vec<Figure> {
    let variants = &bench.variants.main;
    let mut values = vec![Vec::new(); variants.len()];
    let mut notes = vec![None; variants.len()];
    for round in 0..=rounds {
        for (index, variant) in variants.iter().enumerate() {
            match once(variant) {
                Ok(value) if round > 0 => values[index].push(value),
                Ok(_) => {}
                Err(error) => notes[index] = Some(error),
            }
        }
    }
    let figure = |((variant, values), note): ((&Variant, Vec<f64>), Option<String>)| Figure {
        variant: variant.name.to_owned(),
        value: if note.is_none() { Summary::of(values) } else { None },
        cpu: None,
        note,
        target: target(variant.name),
    };
    variants.iter().zip(values).zip(notes).map(figure).collect()
}

/// One run: nanoseconds.
fn once(variant: &Variant, program: &Path, arguments: &[String], says: &Says) -> Result<f64, String> {
    let mut command = variant.command(program, arguments);
    if matches!(says, Says::Nothing) && variant.name != "native" {
        // A compiler's own programs and headers come with its package.
        command = with_package(variant, program, arguments);
    }
    let times = sample::run(&mut command)?;
    let told = match says {
        Says::Nothing => Some(times.wall),
        Says::Nanoseconds => times.stdout.trim().parse().ok(),
        Says::DdSeconds => seconds(&times.stderr).map(|seconds| seconds * 1e9),
        Says::OpensslSpeed => speed(&times.stdout).map(|speed| 1e9 * 16384.0 / speed),
    };
    told.ok_or_else(|| format!("{}: unexpected output: {}{}", program.display(), times.stdout, times.stderr))
}

fn with_package(variant: &Variant, program: &Path, arguments: &[String]) -> std::process::Command {
    let extras = ["gcc", "libc6-dev", "binutils"].into_iter().chain(arguments.last().map(String::as_str));
    let options: Vec<String> = extras.flat_map(|extra| ["--with".to_owned(), extra.to_owned()]).collect();
    variant.command_with(&options, program, arguments)
}

fn seconds(stderr: &str) -> Option<f64> {
    stderr.lines().last()?.split(", ").find_map(|part| part.strip_suffix(" s")?.parse().ok())
}

fn speed(stdout: &str) -> Option<f64> {
    stdout.lines().find(|line| line.starts_with("+F:"))?.rsplit(':').next()?.trim().parse().ok()
}
