//! The verbs.

mod build;
mod chaff;
mod completion;
mod ps;
mod restore;
mod shrink;
mod snapshot;

use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// List the guests that run
    Ps(ps::Options),
    /// Save a guest that runs to a file
    Snapshot(snapshot::Options),
    /// Run a guest from where it was saved
    Restore(restore::Options),
    /// Build an image or an executable from a Containerfile, or an executable of a program
    Build(build::Options),
    /// Make a root smaller: keep what a program needs, and say why
    Shrink(shrink::Options),
    /// Fill a program with bugs that look exploitable and are certified not to be
    Chaff(chaff::Options),
    /// Print a shell's completion script
    Completion(completion::Options),
}

impl Verb {
    /// Does what was asked for. An error is printed as one line, and Husk's own failure code follows.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Ps(options) => ps::run(&options),
            Self::Snapshot(options) => snapshot::run(&options),
            Self::Restore(options) => restore::run(&options),
            Self::Build(options) => build::run(&options),
            Self::Shrink(options) => shrink::run(&options),
            Self::Chaff(options) => chaff::run(&options),
            Self::Completion(options) => completion::run(&options),
        }
    }
}
