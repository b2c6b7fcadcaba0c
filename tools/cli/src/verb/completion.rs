//! `husk completion SHELL`: generated from the same declarations as the help.

use clap::CommandFactory;
use std::error::Error;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    shell: clap_complete::Shell,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    clap_complete::generate(options.shell, &mut crate::Options::command(), "husk", &mut std::io::stdout());
    Ok(ExitCode::SUCCESS)
}
