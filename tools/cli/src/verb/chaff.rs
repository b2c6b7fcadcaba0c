//! `husk chaff …` is `husk-chaff …`. That program links LLVM and z3 and so is built in a workspace of its own (`chaff/`);
//! where it is not there, this says what it takes.

use std::error::Error;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Debian's packages that building and running it needs, each with a file that it brings.
const PACKAGES: [(&str, &str); 5] = [
    ("/usr/lib/llvm-19/bin/clang", "clang-19"),
    ("/usr/lib/llvm-19/bin/llvm-objcopy", "llvm-19"),
    ("/usr/lib/llvm-19/bin/llvm-config", "llvm-19-dev"),
    ("/usr/lib/llvm-19/lib/libPolly.a", "libpolly-19-dev"),
    ("/usr/include/z3.h", "libz3-dev"),
];

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// What `husk-chaff` is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("husk-chaff"));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| "husk-chaff".into());
    let error = Command::new(&program).args(&options.words).exec();
    if error.kind() != std::io::ErrorKind::NotFound {
        return Err(format!("chaff: {}: {error}", program.display()).into());
    }
    let missing = missing(|path| path.exists());
    let install = if missing.is_empty() {
        String::new()
    } else {
        format!("`apt-get install {}`, then ", missing.join(" "))
    };
    Err(format!(
        "chaff: husk-chaff is neither beside husk nor in PATH: {install}`cargo build --release` in chaff/ of the sources, \
         and copy target/release/husk-chaff and husk-chaff-pass beside husk"
    )
    .into())
}

fn missing(exists: impl Fn(&Path) -> bool) -> Vec<&'static str> {
    PACKAGES.iter().filter(|(file, _)| !exists(Path::new(file))).map(|(_, package)| *package).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_named() {
        assert!(missing(|_| true).is_empty());
        assert_eq!(missing(|path| !path.ends_with("z3.h")), ["libz3-dev"]);
        assert_eq!(missing(|_| false).len(), PACKAGES.len());
    }
}
