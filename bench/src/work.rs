//! The programs that are measured: small C programs, compiled here so that every variant runs the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SOURCES: &[(&str, &str)] = &[
    ("hello", include_str!("../work/hello.c")),
    ("idle", include_str!("../work/idle.c")),
    ("ops", include_str!("../work/ops.c")),
    ("volume", include_str!("../work/volume.c")),
];

/// The compiled programs, in a directory that goes with this value.
pub(crate) struct Work {
    directory: TempDir,
}

impl Work {
    pub(crate) fn build() -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("make a directory: {error}"))?;
        for (name, text) in SOURCES {
            let source = directory.path().join(format!("{name}.c"));
            std::fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;
            compile(&source, &directory.path().join(name), &["-static"])?;
        }
        compile(&directory.path().join("hello.c"), &directory.path().join("hello-dynamic"), &[])?;
        Ok(Self { directory })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

fn compile(source: &Path, output: &Path, options: &[&str]) -> Result<(), String> {
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-pthread"]).args(options).arg("-o").arg(output).arg(source);
    match cc.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(format!("cc {}: {}", source.display(), String::from_utf8_lossy(&output.stderr).trim()))
        }
        Err(error) => Err(format!("cc: {error} (a C compiler makes the programs to measure)")),
    }
}
