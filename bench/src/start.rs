//! From start to exit: posix_spawn(3) and wait of the smallest programs, alone and beside idle guests.

use crate::Bench;
use crate::report::{Figure, Row};
use crate::sample::{self, Summary};
use crate::variant::Variant;
use std::process::{Child, Command, Stdio};

/// A way to make the command of one start.
type Make<'a> = Box<dyn Fn(usize) -> Command + 'a>;

pub(crate) fn measure(bench: &Bench) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (name, program) in [("start, static hello", "hello"), ("start, dynamic hello", "hello-dynamic")] {
        if !bench.wanted(name) {
            continue;
        }
        let path = &bench.work.path(program);
        let variants = &bench.variants;
        let mut made: Vec<(&str, Make<'_>)> = Vec::new();
        for variant in variants.main.iter().chain(&variants.no_fork).chain(&variants.others) {
            made.push((variant.name, Box::new(move |_| variant.command::<&str>(path, &[]))));
        }
        if program == "hello" {
            for runtime in &variants.runtimes {
                let id = move |round| format!("husk-bench-{}-{round}", std::process::id());
                made.push((runtime.name, Box::new(move |round| runtime.command(&id(round)))));
            }
        }
        let mut row = race(name, &made, bench.rounds(60));
        for figure in &mut row.figures {
            figure.target = target(program, &figure.variant);
        }
        for missing in &variants.missing {
            row.figures.push(Figure::absent(missing, "not installed"));
        }
        rows.push(row);
    }
    for count in if bench.quick { vec![1, 100] } else { vec![1, 100, 1000] } {
        rows.extend(beside(bench, count)?);
    }
    Ok(rows)
}

fn target(program: &str, variant: &str) -> Option<f64> {
    match (program, variant) {
        ("hello-dynamic", "process" | "process, no fork") => Some(1.5),
        ("hello-dynamic", "kvm" | "kvm, no fork") => Some(3.0),
        _ => None,
    }
}

/// Runs all in turn, `rounds` times.
fn race(name: &str, made: &[(&str, Make<'_>)], rounds: usize) -> Row {
    let mut walls = vec![Vec::new(); made.len()];
    let mut cpus = vec![Vec::new(); made.len()];
    let mut errors = vec![None; made.len()];
    for round in 0..rounds {
        for (index, (_, make)) in made.iter().enumerate() {
            match sample::run(&mut make(round)) {
                Ok(times) => {
                    walls[index].push(times.wall);
                    cpus[index].push(times.cpu);
                }
                Err(error) => errors[index] = Some(error),
            }
        }
    }
    let figures =
        made.iter().zip(walls).zip(cpus).zip(errors).map(|((((variant, _), walls), cpus), note)| Figure {
            variant: (*variant).to_owned(),
            value: if note.is_none() { Summary::of(walls) } else { None },
            cpu: Summary::of(cpus),
            note,
            target: None,
        });
    Row { name: name.to_owned(), unit: "ns", figures: figures.collect() }
}

/// Guests that sleep; they end with this value.
pub(crate) struct Idle(Vec<Child>);

impl Idle {
    pub(crate) fn start(bench: &Bench, variant: &Variant, count: usize) -> Result<Self, String> {
        let mut idle = Self(Vec::new());
        for number in 0..count {
            let mut command = variant.command::<&str>(&bench.work.path("idle"), &[]);
            let mut child = command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|error| format!("idle guest {number}: {error}"))?;
            let mut line = [0; 5];
            let said = std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut line);
            idle.0.push(child);
            said.map_err(|error| format!("idle guest {number} of {count} did not start: {error}"))?;
        }
        Ok(idle)
    }

    /// The processes that were started, each with all its descendants.
    pub(crate) fn processes(&self) -> Vec<Vec<u32>> {
        self.0.iter().map(|child| with_descendants(child.id())).collect()
    }
}

fn with_descendants(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children.flat_map(with_descendants)).collect()
}

impl Drop for Idle {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts beside idle guests of the same kind; `native` is beside none.
fn beside(bench: &Bench, count: usize) -> Result<Option<Row>, String> {
    let name = format!("start, dynamic hello, {count} idle");
    if !bench.wanted(&name) {
        return Ok(None);
    }
    let path = &bench.work.path("hello-dynamic");
    let mut row = Row { name: name.clone(), unit: "ns", figures: Vec::new() };
    let native = &bench.variants.main[0];
    for variant in &bench.variants.main[1..] {
        let alone: Vec<(&str, Make<'_>)> = vec![
            ("native", Box::new(move |_| native.command::<&str>(path, &[]))),
            (variant.name, Box::new(move |_| variant.command::<&str>(path, &[]))),
        ];
        let before = race(&name, &alone, bench.rounds(40));
        let idle = match Idle::start(bench, variant, count) {
            Ok(idle) => idle,
            Err(error) => {
                row.figures.push(Figure::absent(variant.name, &error));
                continue;
            }
        };
        let mut after = race(&name, &alone, bench.rounds(40));
        drop(idle);
        let median = |row: &Row| row.figures[1].value.map_or(f64::NAN, |value| value.median);
        // The middle of the guest's times, against the middle without idle guests.
        let (without, with) = (median(&before), median(&after));
        let mut figure = after.figures.remove(1);
        figure.variant =
            format!("{} (median {:.2} x that of none idle, to be 1.2)", variant.name, with / without);
        if row.figures.is_empty() {
            row.figures.push(after.figures.remove(0));
        }
        row.figures.push(figure);
    }
    Ok(Some(row))
}
