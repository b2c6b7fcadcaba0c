//! `husk rmi`: images out of the store.

use super::images::size;
use husk_image::{Freed, Store};
use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Remove an image by its id even if it has several names
    #[arg(short, long)]
    force: bool,
    /// A name, or (the beginning of) an id
    #[arg(required = true)]
    image: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::open_default()?;
    let mut code = ExitCode::SUCCESS;
    for text in &options.image {
        match store.remove(text, options.force) {
            Ok(removed) => {
                removed.untagged.iter().for_each(|name| println!("untagged: {}", name.familiar()));
                removed.deleted.iter().for_each(|id| println!("deleted: {id}"));
                match removed.freed {
                    Some(Freed { bytes: 0, .. }) => {}
                    Some(freed) => eprintln!("freed {}", size(freed.bytes)),
                    None => eprintln!("husk: rmi: an import is under way: the next rmi frees the space"),
                }
            }
            Err(error) => {
                eprintln!("husk: rmi: {error}");
                code = ExitCode::from(1);
            }
        }
    }
    Ok(code)
}
