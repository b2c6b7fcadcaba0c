//! Asks a program of the host about itself.
//!
//! That runs it, outside of any guest. So only programs are asked that the user runs by their bare name
//! anyway: those in a directory of PATH, the system's own, and what a version manager in PATH chose. One that
//! was named by a path is not trusted for being called `python3`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::search::directories;

/// What a program has told.
pub(super) struct Answer {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Whom to trust, and the surroundings in which to ask.
pub(super) struct Asker {
    path: OsString,
    trusted: Vec<PathBuf>,
}

impl Asker {
    /// Trusts the directories of PATH.
    pub(super) fn new(path: &OsStr) -> Self {
        Self { path: path.to_owned(), trusted: directories(path, Path::new("/")).collect() }
    }

    /// Trusts a program's directory too.
    pub(super) fn trust(&mut self, program: &Path) {
        self.trusted.extend(program.parent().map(Path::to_path_buf));
    }

    /// Whether a program may be run here.
    pub(super) fn may_run(&self, program: &Path) -> bool {
        let is_trusted = |path: &Path| self.trusted.iter().any(|dir| path.parent() == Some(dir));
        is_trusted(program)
            || fs::canonicalize(program).is_ok_and(|real| real.starts_with("/usr") || is_trusted(&real))
    }

    /// Runs a trusted program with a bare environment; what it told, if it succeeded.
    pub(super) fn ask(&self, program: &Path, arguments: &[&str]) -> Option<Answer> {
        self.ask_in(Path::new("/"), &[], program, arguments)
    }

    /// The same in a directory and with more environment.
    pub(super) fn ask_in(
        &self,
        directory: &Path,
        environment: &[(&str, &OsStr)],
        program: &Path,
        arguments: &[&str],
    ) -> Option<Answer> {
        if !self.may_run(program) {
            return None;
        }
        let home = std::env::var_os("HOME").unwrap_or_else(|| "/".into());
        let output = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", home)
            .env("LC_ALL", "C")
            .envs(environment.iter().copied())
            .current_dir(directory)
            .stdin(Stdio::null())
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        let text = |bytes| String::from_utf8(bytes).ok();
        Some(Answer { stdout: text(output.stdout)?, stderr: text(output.stderr)? })
    }
}
