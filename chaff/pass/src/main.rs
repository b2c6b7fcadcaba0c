//! The part of Chaff that links LLVM and z3; `husk-chaff` starts it.
#![forbid(unsafe_code)]

mod build;
mod inject;
mod instrument;
mod refuse;
mod shapes;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use husk_chaff::recipe::Recipe;
use husk_chaff::toolchain;
use inkwell::context::Context;

#[derive(Parser)]
#[command(name = "husk-chaff", bin_name = "husk-chaff")]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the form of a program that records where input goes.
    Instrument {
        program: PathBuf,
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Put bugs into a program.
    Inject(inject::Order),
}

fn main() -> ExitCode {
    let line = CommandLine::try_parse().unwrap_or_else(|error| {
        let _ = error.print();
        std::process::exit(if error.use_stderr() { 125 } else { 0 })
    });
    let result = match line.verb {
        Verb::Instrument { program, output } => instrument_program(&program, &output),
        Verb::Inject(order) => inject::inject(&order),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("husk-chaff: {error:#}");
            ExitCode::from(125)
        }
    }
}

fn instrument_program(program: &Path, output: &Path) -> Result<()> {
    let recipe = Recipe::load(program)?;
    let context = Context::create();
    let module = build::merged(&context, &recipe)?;
    instrument::instrument(&context, &module)?;
    let workshop = build::Workshop::new()?;
    let (source, runtime) = (workshop.file("taint.c"), workshop.file("taint.o"));
    fs::write(&source, instrument::RUNTIME)?;
    let mut compile = Command::new(toolchain::program("clang")?);
    toolchain::run(compile.args(["-O2", "-fPIC", "-c"]).arg(&source).arg("-o").arg(&runtime))?;
    let mut extra = vec![runtime.display().to_string()];
    extra.extend(instrument::WRAPPED.iter().map(|name| format!("-Wl,--wrap={name}")));
    workshop.link(&recipe, &module, &extra, output)
}
