//! `husk inspect`: images of the store, in the words of `docker inspect`.

use husk_image::{Image, Reference, Store, Stored};
use serde_json::{Value, json};
use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// `json` is the only one
    #[arg(long, default_value = "json", value_parser = ["json"])]
    format: String,
    /// A name, or (the beginning of) an id
    #[arg(required = true)]
    image: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let store = Store::open_default()?;
    let all = store.images()?;
    let mut found = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for text in &options.image {
        match store.look_up(text) {
            Ok(Some((image, _))) => found.push(describe(&image, &all)),
            Ok(None) => {
                eprintln!("husk: inspect: {text}: there is no such image in the store");
                code = ExitCode::from(1);
            }
            Err(error) => {
                eprintln!("husk: inspect: {text}: {error}");
                code = ExitCode::from(1);
            }
        }
    }
    println!("{}", serde_json::to_string_pretty(&found)?);
    Ok(code)
}

fn describe(image: &Image, all: &[Stored]) -> Value {
    let same: Vec<&Stored> = all.iter().filter(|stored| stored.image.id() == image.id()).collect();
    let names = |with_digest: bool| -> Vec<String> {
        let names = same.iter().map(|stored| &stored.name);
        names.filter(|name| name.digest.is_some() == with_digest).map(Reference::familiar).collect()
    };
    let config = &image.config;
    json!({
        "Id": image.id(),
        "Digest": image.digest,
        "RepoTags": names(false),
        "RepoDigests": names(true),
        "Created": config.created,
        "Author": config.author,
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": same.first().map(|stored| stored.size),
        "Config": config.config,
        "RootFS": { "Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids },
        "History": config.history,
    })
}
