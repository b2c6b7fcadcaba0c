//! The verbs.

mod completion;
mod images;
mod import;
mod plan_image;
mod progress;
mod pull;
mod rmi;
mod save;
mod tag;

use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Print a shell's completion script
    Completion(completion::Options),
    /// Fetch images from a registry, or from another place, into the store
    Pull(pull::Options),
    /// Bring an image into the store from a file, a directory or standard input
    Import(import::Options),
    /// List the images of the store
    Images(images::Options),
    /// Remove images from the store
    Rmi(rmi::Options),
    /// Write an image as an OCI layout or an archive
    Save(save::Options),
    /// Give an image a further name
    Tag(tag::Options),
    /// For `husk run`: print the plan of an image
    #[command(hide = true)]
    PlanImage(plan_image::Options),
}

impl Verb {
    /// Does what was asked for. An error is printed as one line, and Husk's own failure code follows.
    pub(crate) fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Completion(options) => completion::run(&options),
            Self::Pull(options) => pull::run(&options),
            Self::Import(options) => import::run(&options),
            Self::Images(options) => images::run(&options),
            Self::Rmi(options) => rmi::run(&options),
            Self::Save(options) => save::run(&options),
            Self::Tag(options) => tag::run(&options),
            Self::PlanImage(options) => plan_image::run(&options),
        }
    }
}
