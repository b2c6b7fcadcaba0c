//! The verbs.

mod chaff;
mod completion;

use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Fill a program with bugs that look exploitable and are certified not to be
    Chaff(chaff::Options),
    /// Print a shell's completion script
    Completion(completion::Options),
}

impl Verb {
    /// Does what was asked for. An error is printed as one line, and Husk's own failure code follows.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Chaff(options) => chaff::run(&options),
            Self::Completion(options) => completion::run(&options),
        }
    }
}
