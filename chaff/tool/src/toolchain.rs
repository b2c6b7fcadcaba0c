//! Finds the programs of LLVM 19 that Chaff runs. Debian keeps them in one directory; there is nothing to configure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const BIN: &str = "/usr/lib/llvm-19/bin";
const LIBRARIES: [(&str, &str); 2] = [("libLLVM.so.19.1", "libllvm19"), ("libz3.so.4", "libz3-4")];

/// The path of an LLVM 19 program such as `clang` or `llvm-objcopy`.
///
/// # Errors
/// Names the Debian package to install when the program is missing.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = Path::new(BIN).join(name);
    if path.exists() {
        return Ok(path);
    }
    let package = match name {
        "clang" | "clang++" => "clang-19",
        _ => "llvm-19",
    };
    bail!("{} is missing: apt-get install {package}", path.display())
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// Carries the command line and its standard error when it cannot start or exits with a failure.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The program that links LLVM and z3, which lies beside this one.
///
/// # Errors
/// Names the Debian package of a missing library, since the dynamic loader's own message does not.
pub fn pass() -> Result<PathBuf> {
    let directories =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/llvm-19/lib", "/lib/x86_64-linux-gnu", "/usr/local/lib"];
    for (library, package) in LIBRARIES {
        if !directories.iter().any(|directory| Path::new(directory).join(library).exists()) {
            bail!("{library} is missing: apt-get install {package}");
        }
    }
    let here = std::env::current_exe().context("cannot find this program's own path")?;
    let path = here.with_file_name("husk-chaff-pass");
    if !path.exists() {
        bail!(
            "{} is missing: build it with `cargo build --release` in chaff/ after \
             `apt-get install clang-19 llvm-19-dev libz3-dev`",
            path.display()
        );
    }
    Ok(path)
}
