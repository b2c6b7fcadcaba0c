//! The verbs.

mod build;
mod chaff;
mod check;
mod completion;
mod run;
mod shrink;

use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Build an image or an executable from a Containerfile, or an executable of a program
    Build(build::Options),
    /// Make a root smaller: keep what a program needs, and say why
    Shrink(shrink::Options),
    /// Fill a program with bugs that look exploitable and are certified not to be
    Chaff(chaff::Options),
    /// Run a program in a guest of its own
    Run(run::Run),
    /// Run a program in a guest of its own and print its system calls, as strace does
    Trace(run::Trace),
    /// Say what this machine offers, and which tender would be taken
    Check(check::Options),
    /// Print a shell's completion script
    Completion(completion::Options),
}

impl Verb {
    /// Does what was asked for. An error is printed as one line, and Husk's own failure code follows.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Build(options) => build::run(&options),
            Self::Shrink(options) => shrink::run(&options),
            Self::Chaff(options) => chaff::run(&options),
            Self::Run(run::Run) | Self::Trace(run::Trace) => run::run(),
            Self::Check(options) => check::run(&options),
            Self::Completion(options) => completion::run(&options),
        }
    }
}

/// How a verb prints a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[default]
    Table,
    Json,
}
