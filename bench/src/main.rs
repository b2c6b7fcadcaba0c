//! `husk-bench`: what a guest costs, as ratios to native processes, and what other sandboxes cost beside it.
//!
//! All variants of one measurement run in turn, many times, within one run, and the least and the middle figure are
//! kept: on a machine that others load too, only their ratios mean something. Nothing here is a test.
#![forbid(unsafe_op_in_unsafe_fn)]

mod memory;
mod ops;
mod report;
mod sample;
mod start;
mod variant;
mod volume;
mod work;

use clap::{Parser, ValueEnum};
use report::Row;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Measures guests against native processes, bubblewrap, runc and crun.
#[derive(Parser)]
struct Arguments {
    /// How the figures are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Only measurements whose name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Fewer repetitions, and no thousand idle guests.
    #[arg(long)]
    quick: bool,
    /// The `husk` to measure.
    #[arg(long, default_value = "target/release/husk")]
    husk: PathBuf,
}

/// What every measurement needs to know.
struct Bench {
    work: work::Work,
    variants: variant::Variants,
    filter: Option<String>,
    quick: bool,
    progress: bool,
}

impl Bench {
    fn wanted(&self, name: &str) -> bool {
        let wanted = self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()));
        if wanted && self.progress {
            eprint!("\r\x1b[K{name}");
        }
        wanted
    }

    /// Repetitions of something that `full` suit where there is time.
    fn rounds(&self, full: usize) -> usize {
        if self.quick { (full / 4).max(3) } else { full }
    }
}

fn measure(arguments: Arguments) -> Result<Vec<Row>, String> {
    let husk = arguments.husk.canonicalize().map_err(|error| {
        format!("{}: {error} (build it with `cargo build --release`)", arguments.husk.display())
    })?;
    let work = work::Work::build()?;
    let variants = variant::Variants::find(&husk, &work);
    let progress = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let bench = Bench { work, variants, filter: arguments.filter, quick: arguments.quick, progress };
    let mut rows = start::measure(&bench)?;
    rows.extend(ops::measure(&bench)?);
    rows.extend(volume::measure(&bench)?);
    rows.extend(memory::measure(&bench, &husk)?);
    if progress {
        eprint!("\r\x1b[K");
    }
    Ok(rows)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.format;
    match measure(arguments) {
        Ok(rows) => {
            match format {
                Format::Table => print!("{}", report::table(&rows)),
                Format::Json => println!("{}", report::json(&rows)),
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("husk-bench: {message}");
            ExitCode::FAILURE
        }
    }
}
