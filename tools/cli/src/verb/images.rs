//! `husk images`: what the store has.

use husk_image::{Reference, Store};
use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// `table`, or `json` with the configuration of each image
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Only images of this name
    name: Option<Reference>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut images = Store::open_default()?.images()?;
    if let Some(name) = &options.name {
        images.retain(|image| {
            (&image.name.registry, &image.name.repository) == (&name.registry, &name.repository)
        });
    }
    if options.format == "json" {
        let all: Vec<_> = images
            .iter()
            .map(|image| {
                serde_json::json!({
                    "Name": image.name.familiar(),
                    "Id": image.image.id(),
                    "Digest": image.image.digest,
                    "Size": image.size,
                    "Created": image.image.config.created,
                    "Layers": image.image.config.rootfs.diff_ids,
                    "Config": image.image.config.config,
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    if options.quiet {
        images.iter().for_each(|image| println!("{}", &image.image.id().hex()[..12]));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<[String; 4]> = images
        .iter()
        .map(|image| {
            let id = image.image.id().hex()[..12].to_owned();
            let tag = match &image.name.digest {
                Some(digest) => format!("@{}", &digest.hex()[..12]),
                None => image.name.tag.clone(),
            };
            [image.name.familiar_repository(), tag, id, size(image.size)]
        })
        .collect();
    let titles = ["REPOSITORY", "TAG", "IMAGE ID", "SIZE"];
    let width =
        |column: usize| rows.iter().map(|row| row[column].len()).fold(titles[column].len(), usize::max);
    let widths = [width(0), width(1), width(2)];
    let line = |row: [&str; 4]| {
        println!("{:3$}  {:4$}  {:5$}  {6}", row[0], row[1], row[2], widths[0], widths[1], widths[2], row[3]);
    };
    line(titles);
    rows.iter().for_each(|row| line(row.each_ref().map(String::as_str)));
    Ok(ExitCode::SUCCESS)
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1000.0 && unit < units.len() - 1 {
        number /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{number:.1} {}", units[unit]) }
}
