//! `husk restore FILE`: a guest that goes on where it was saved.

use std::error::Error;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The snapshot; it must stay as it is while the guest runs, and may be restored any number of times
    file: PathBuf,
    /// The snapshot's root image, where it is not where it was
    #[arg(long)]
    rootfs: Option<PathBuf>,
    /// What to call the guest, in place of a random name
    #[arg(long)]
    name: Option<String>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    if let Some(name) = options.name.as_ref().filter(|name| !husk_host::running::is_name(name)) {
        return Err(format!("restore: {}", husk_host::running::Error::BadName(name.clone())).into());
    }
    let opened = husk_host::snapshot::open(&options.file, options.rootfs.as_deref())
        .map_err(|error| format!("restore: {error}"))?;
    let front = std::env::current_exe()
        .map_err(|error| format!("restore: own path: {error}"))?
        .with_file_name("husk");
    let mut command = Command::new(&front);
    command.arg0("husk").arg("@restore");
    let keep = |file| husk_host::snapshot::keep_open(file).map_err(|error| format!("restore: {error}"));
    keep(&opened.file)?;
    opened.root.iter().try_for_each(keep)?;
    command.arg(opened.file.as_raw_fd().to_string());
    command.arg(opened.root.first().map_or_else(|| "-".to_owned(), |root| root.as_raw_fd().to_string()));
    command.arg(if opened.manifest.further.is_empty() { 0 } else { opened.root.len() }.to_string());
    command.arg(opened.manifest.stop.to_string());
    command.arg(&opened.manifest.program).args(&options.name);
    let error = command.exec();
    Err(format!("restore: {}: {error}", front.display()).into())
}
