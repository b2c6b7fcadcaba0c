//! For the front of `husk run`: finds or pulls an image and prints its plan.

use super::progress::Shown;
use husk_image::Store;
use husk_image::plan::{Request, plan};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

#[derive(Clone, Copy, clap::ValueEnum)]
enum Pull {
    Always,
    Missing,
    Never,
}

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The user said that it is an image
    #[arg(long)]
    image: bool,
    /// It is no program in PATH, so an error says so too
    #[arg(long, conflicts_with = "image")]
    or_program: bool,
    #[arg(long, default_value = "")]
    user: String,
    #[arg(long, default_value = "missing")]
    pull: Pull,
    #[command(flatten)]
    registry: super::pull::Registry,
    name: String,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let pull = match options.pull {
        Pull::Always => husk_image::plan::Pull::Always,
        Pull::Missing => husk_image::plan::Pull::Missing,
        Pull::Never => husk_image::plan::Pull::Never,
    };
    let request = Request { image: &options.name, user: &options.user, pull };
    let planned = Store::open_default()
        .and_then(|store| plan(&store, &request, &options.registry.options(), &Shown::new()));
    match planned {
        Ok(bytes) => {
            std::io::stdout().write_all(&bytes)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if options.or_program && !husk_image::launch::is_transport(&options.name) => {
            eprintln!(
                "husk: run: {0}: no such program in PATH; nor is there an image of that name: {error}",
                options.name
            );
            Ok(ExitCode::from(127))
        }
        Err(error) => Err(format!("run: {}: {error}", options.name).into()),
    }
}
