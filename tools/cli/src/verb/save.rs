//! `husk save`: an image out of the store.

use husk_image::{ImageError, Store, Target};
use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]
    #[arg(short, long)]
    output: Target,
    image: String,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::open_default()?;
    let found = store.look_up(&options.image)?;
    let (image, name) = found.ok_or_else(|| ImageError::NoImage(options.image.clone()))?;
    store.save(&image, &options.output, name.as_ref()).map_err(|error| format!("save: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
