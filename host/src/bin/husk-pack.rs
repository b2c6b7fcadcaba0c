//! Packs a program and prints the image's path and the program's path in it: `husk run` without the run.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use husk_host::pack::{PackError, PackRequest, default_cache, pack, pack_rootfs};

const USAGE: &str =
    "usage: husk-pack [--with PATH|PACKAGE|PROGRAM]... PROGRAM\n       husk-pack --rootfs DIRECTORY";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mut with = Vec::new();
    while let Some(argument) = arguments.next() {
        let result = match (argument.to_str(), arguments.len()) {
            (Some("--with"), 1..) => {
                with.extend(arguments.next());
                continue;
            }
            (Some("--rootfs"), 1) => rootfs(&arguments.next().unwrap_or_default()),
            (Some(option), _) if option.starts_with("--") => break,
            (_, 0) => program(argument, with),
            _ => break,
        };
        return result.map_or_else(
            |error| {
                eprintln!("husk-pack: {error}");
                ExitCode::from(error.exit_code())
            },
            |()| ExitCode::SUCCESS,
        );
    }
    eprintln!("{USAGE}");
    ExitCode::from(125)
}

fn program(program: OsString, with: Vec<OsString>) -> Result<(), PackError> {
    let packed = pack(&PackRequest::here(program, with)?)?;
    for note in &packed.notes {
        eprintln!("husk-pack: note: {note}");
    }
    println!("{}\n{}", packed.image.display(), packed.program.display());
    Ok(())
}

fn rootfs(directory: &OsString) -> Result<(), PackError> {
    println!("{}", pack_rootfs(Path::new(directory), &default_cache()?)?.display());
    Ok(())
}
