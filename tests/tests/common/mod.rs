//! What the end-to-end tests of executables share: where `husk` is, a folder of their own, a static C program.

#![allow(dead_code, reason = "each file of tests uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// A folder for one test, and the `husk` that was built for release.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) husk: PathBuf,
}

impl Bench {
    /// `None`, and a word about it, where there is nothing to test with.
    pub(crate) fn new() -> Option<Self> {
        let husk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/husk");
        let Ok(husk) = fs::canonicalize(&husk) else {
            eprintln!("skipped: {} is not built (cargo build --release --workspace)", husk.display());
            return None;
        };
        for program in ["cc", "sh"] {
            if !in_path(program) {
                eprintln!("skipped: there is no {program}");
                return None;
            }
        }
        Some(Self { folder: tempfile::tempdir().unwrap(), husk })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `husk` with arguments, in the folder and with a cache of its own.
    pub(crate) fn husk(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.husk);
        command.args(arguments).current_dir(self.folder.path()).env("XDG_CACHE_HOME", self.path("cache"));
        command.env("XDG_DATA_HOME", self.path("data"));
        command
    }

    /// Runs `husk`, which must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> Output {
        let output = self.husk(arguments).output().unwrap();
        assert!(output.status.success(), "husk {arguments:?}: {}", text(&output.stderr));
        output
    }

    /// Compiles a C program, statically.
    pub(crate) fn compile(&self, name: &str, source: &str) {
        let file = self.path(&format!("{name}.c"));
        fs::write(&file, source).unwrap();
        let status = Command::new("cc")
            .args(["-O1", "-static", "-o"])
            .arg(self.path(name))
            .arg(&file)
            .status()
            .unwrap();
        assert!(status.success());
    }
}

pub(crate) fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).exists())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The tenders that this machine can test.
pub(crate) fn tenders() -> &'static [&'static str] {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_ok() {
        &["process", "kvm"]
    } else {
        eprintln!("skipped: no guest under kvm, since /dev/kvm cannot be opened");
        &["process"]
    }
}
