//! `husk snapshot ID FILE`: saves a guest that runs.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// What `husk run` of a guest ends with that was saved and stopped, as if it had been killed.
const STOPPED: u8 = 137;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The guest, as `husk ps` calls it
    id: String,
    /// Where to; replaced once the snapshot is whole
    file: PathBuf,
    /// End the guest once it is saved; it goes on otherwise
    #[arg(long)]
    stop: bool,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let tell = std::io::stderr().is_terminal();
    let mut told = 0;
    let mut progress = |bytes: u64| {
        if tell && bytes >= told + (16 << 20) {
            told = bytes;
            eprint!("\rsnapshot: {} MiB", bytes >> 20);
            let _ = std::io::stderr().flush();
        }
    };
    let guest = husk_host::running::find(&options.id).map_err(|error| format!("snapshot: {error}"))?;
    let stop = options.stop.then_some(STOPPED);
    let saved = husk_host::snapshot::save(&guest, &options.file, stop, &mut progress);
    if told > 0 {
        eprintln!();
    }
    let saved = saved.map_err(|error| format!("snapshot: {error}"))?;
    if tell {
        eprintln!("snapshot: {}: {} MiB of memory", options.file.display(), saved.memory >> 20);
    }
    Ok(ExitCode::SUCCESS)
}
