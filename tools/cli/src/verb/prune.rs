//! `husk prune`: gives disk back that holds nothing which could not be made again.

use super::Format;
use super::images::size;
use husk_host::cache::{self, Count, Rule};
use husk_host::pack::default_cache;
use husk_image::Store;
use serde_json::json;
use std::error::Error;
use std::process::ExitCode;

/// Removes what no image of the store has a part in (also downloads that broke off), and packed programs and layers of builds
/// that were not used for a week. Images with names and volumes stay: those are `husk rmi` and `husk volume prune`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// All packed programs and layers of builds that nobody needs just now, however lately they were used
    #[arg(short, long)]
    all: bool,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let wrong = |error: &dyn Error| format!("prune: {error}");
    let images = Store::open_default()
        .and_then(|store| store.sweep(options.dry_run))
        .map_err(|error| wrong(&error))?;
    let rule = if options.all { Rule::All } else { Rule::Idle };
    let cached = cache::sweep(&default_cache()?, rule, options.dry_run).map_err(|error| wrong(&error))?;
    if images.is_none() {
        eprintln!("husk: prune: images: an import is under way: nothing of them is removed now");
    }
    if cached.is_none() {
        eprintln!("husk: prune: cache: a build is under way: nothing of it is removed now");
    }
    let images = images.map(|freed| Count { files: freed.files, bytes: freed.bytes }).unwrap_or_default();
    let cached = cached.unwrap_or_default();
    let rows = [("images", images), ("packed programs", cached.roots), ("layers of builds", cached.layers)];
    let total: u64 = rows.iter().map(|(_, count)| count.bytes).sum();
    if options.format == Format::Json {
        let kinds: Vec<_> = rows
            .iter()
            .map(|(kind, count)| json!({"Kind": kind, "Files": count.files, "Bytes": count.bytes}))
            .collect();
        let document = json!({"DryRun": options.dry_run, "Kinds": kinds, "Bytes": total});
        println!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(ExitCode::SUCCESS);
    }
    for (kind, count) in rows {
        println!("{kind:16}  {:>6} files  {:>9}", count.files, size(count.bytes));
    }
    println!("{} {}", if options.dry_run { "would be freed:" } else { "freed:" }, size(total));
    Ok(ExitCode::SUCCESS)
}
