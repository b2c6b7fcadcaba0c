//! The differential suite: each case is one program that prints what it observes. It runs on the host and in a
//! guest under each tender; standard output and exit status must be equal, so the host kernel is the reference
//! and no expected output is kept anywhere.
//!
//! Eight kinds of case: `cases/FAMILY/NAME.c` (one kernel behaviour each), those that write files again with TMPDIR on a
//! volume (`volumes`), `cases/posix/CALL.c` (many small cases each, in all places where files can be), `programs.toml`
//! (commands as users run
//! them), `errors.toml` (what `husk run` says of programs it cannot run) and `hostile/NAME.c` (guests that try to
//! outlive their tender), the scenarios of `snapshot.rs` (guests that are saved and restored), and `images.toml` (container images, against
//! runc). `gaps.toml` names the failures that are known, with the reason.

#![forbid(unsafe_code)]

mod case;
mod exec;
mod gaps;
mod image;
mod posix;
mod program;
mod report;
mod snapshot;
mod suite;
mod terminal;

use clap::Parser;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare guests with the host, case by case.
#[derive(Parser)]
#[command(name = "husk-tests")]
struct Options {
    /// Only cases whose FAMILY/NAME contains this (may be repeated).
    #[arg(long)]
    filter: Vec<String>,
    /// Only cases of this family (may be repeated).
    #[arg(long)]
    family: Vec<String>,
    /// Only under this tender; `native` runs no guest at all.
    #[arg(long, value_enum)]
    tender: Option<TenderChoice>,
    /// Cases run at once.
    #[arg(long)]
    jobs: Option<usize>,
    /// Also write the failures to this file, as Markdown sorted by family.
    #[arg(long)]
    write: Option<PathBuf>,
    /// Run each case natively this often, and fail those that do not always print the same.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Run the C cases from this root image, where each is /cases/FAMILY/NAME, instead of packing one by one.
    #[arg(long)]
    rootfs: Option<PathBuf>,
    /// Count one test outside of this suite as skipped, for this reason (may be repeated).
    #[arg(long)]
    skipped: Vec<String>,
    /// Print the names of the cases and stop.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TenderChoice {
    Native,
    Process,
    Kvm,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match suite::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("husk-tests: {error}");
            ExitCode::from(2)
        }
    }
}
