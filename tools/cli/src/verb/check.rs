//! `husk check`: what this machine offers, and which tender would be taken.

use super::Format;
use husk_host::check::{Report, State};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How to print the report
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The exit status is that of a failure where no guest can run.
pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let report = Report::of_this_machine();
    let mut out = std::io::stdout().lock();
    match options.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        }
        Format::Table => print(&report, &mut out)?,
    }
    Ok(ExitCode::from(if report.default.tender.is_some() { 0 } else { crate::FAILURE }))
}

fn print(report: &Report, out: &mut impl Write) -> std::io::Result<()> {
    let width = report.facts.iter().map(|fact| fact.name.len()).max().unwrap_or(0);
    for fact in &report.facts {
        let state = match fact.state {
            State::Ok => "ok",
            State::Limited => "limited",
            State::Missing => "missing",
        };
        writeln!(out, "{:width$}  {state:7}  {}", fact.name, fact.detail)?;
    }
    writeln!(
        out,
        "\n{:width$}  {:7}  {}",
        "tender",
        report.default.tender.unwrap_or("none"),
        report.default.why
    )
}
