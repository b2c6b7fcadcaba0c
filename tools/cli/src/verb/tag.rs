//! `husk tag`: a further name for an image.

use husk_image::{ImageError, Reference, Store};
use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    image: String,
    name: Reference,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::open_default()?;
    let image = store.find(&options.image)?.ok_or_else(|| ImageError::NoImage(options.image.clone()))?;
    store.tag(&image, &options.name)?;
    Ok(ExitCode::SUCCESS)
}
