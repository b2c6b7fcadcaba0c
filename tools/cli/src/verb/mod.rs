//! The verbs.

mod build;
mod chaff;
mod check;
mod completion;
mod images;
mod import;
mod inspect;
mod plan_image;
mod progress;
mod prune;
mod ps;
mod pull;
mod restore;
mod rmi;
mod run;
mod save;
mod shrink;
mod snapshot;
mod stop;
mod tag;
mod volume;

use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// List the guests that run
    Ps(ps::Options),
    /// End guests: by their stop signal, and by force if they take too long
    Stop(stop::Options),
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
    /// Run a program in a guest of its own
    Run(run::Run),
    /// Run a program in a guest of its own and print its system calls, as strace does
    Trace(run::Trace),
    /// Say what this machine offers, and which tender would be taken
    Check(check::Options),
    /// Print a shell's completion script
    Completion(completion::Options),
    /// Fetch images from a registry, or from another place, into the store
    Pull(pull::Options),
    /// Bring an image into the store from a file, a directory or standard input
    Import(import::Options),
    /// List the images of the store
    Images(images::Options),
    /// Print all that is known of images, as JSON
    Inspect(inspect::Options),
    /// Remove images from the store
    Rmi(rmi::Options),
    /// Give disk back: what no image has a part in, and what was packed or built long ago
    Prune(prune::Options),
    /// Write an image as an OCI layout or an archive
    Save(save::Options),
    /// Give an image a further name
    Tag(tag::Options),
    /// Make, list and remove named volumes
    Volume(volume::Options),
    /// For `husk run`: print the plan of an image
    #[command(hide = true)]
    PlanImage(plan_image::Options),
    /// For `husk run`: serve the volumes of a guest
    #[command(name = SERVE_VOLUMES, hide = true)]
    ServeVolumes { arguments: Vec<std::ffi::OsString> },
}

/// The verb of the state server.
pub(crate) const SERVE_VOLUMES: &str = "serve-volumes";

impl Verb {
    /// Does what was asked for. An error is printed as one line, and Husk's own failure code follows.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Ps(options) => ps::run(&options),
            Self::Stop(options) => stop::run(&options),
            Self::Snapshot(options) => snapshot::run(&options),
            Self::Restore(options) => restore::run(&options),
            Self::Build(options) => build::run(&options),
            Self::Shrink(options) => shrink::run(&options),
            Self::Chaff(options) => chaff::run(&options),
            Self::Run(run) => run.run(),
            Self::Trace(trace) => trace.run(),
            Self::ServeVolumes { arguments } => {
                husk_volume::start::serve(&arguments)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Check(options) => check::run(&options),
            Self::Completion(options) => completion::run(&options),
            Self::Pull(options) => pull::run(&options),
            Self::Import(options) => import::run(&options),
            Self::Images(options) => images::run(&options),
            Self::Inspect(options) => inspect::run(&options),
            Self::Rmi(options) => rmi::run(&options),
            Self::Prune(options) => prune::run(&options),
            Self::Save(options) => save::run(&options),
            Self::Tag(options) => tag::run(&options),
            Self::Volume(options) => volume::run(&options),
            Self::PlanImage(options) => plan_image::run(&options),
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
