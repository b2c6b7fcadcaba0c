//! `husk-cli`: every verb of `husk` but the fast path of `husk run`. The front becomes this program with the same arguments.
//!
//! A verb is a file in `verb/` with an `Options` (its command line) and a `run`; adding one is that file, its line in
//! `verb/mod.rs` and its row in `Verb` below. The work itself lives in `husk-host`, not here.

#![forbid(unsafe_code)]

mod verb;

use clap::Parser;
use std::process::ExitCode;

/// Husk's own failures, as in Docker.
const FAILURE: u8 = 125;

/// Run any Linux program in a virtual machine of its own.
#[derive(Parser)]
#[command(name = "husk", version, bin_name = "husk", arg_required_else_help = true)]
struct Options {
    #[command(subcommand)]
    verb: verb::Verb,
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Help and version are no failures; clap writes them to stdout.
            let code = if error.use_stderr() { FAILURE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match options.verb.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("husk: {error}");
            ExitCode::from(FAILURE)
        }
    }
}
