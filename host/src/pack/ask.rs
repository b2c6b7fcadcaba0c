//! Asks a program of the host about itself.
//!
//! That runs it, outside of any guest. So only programs are asked that the user runs by their bare name
//! anyway: those in a directory of PATH, the system's own, and the versions of a version manager whose shims are
//! in PATH. One that was named by a path is not trusted for being called `python3`.

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
    /// The directories of PATH.
    directories: Vec<PathBuf>,
    /// What is below these is trusted too.
    trees: Vec<PathBuf>,
}

impl Asker {
    /// Trusts what PATH names.
    pub(super) fn new(path: &OsStr) -> Self {
        let directories: Vec<_> = directories(path).collect();
        let shims = directories.iter().filter(|dir| dir.ends_with("shims"));
        let managers = shims.filter_map(|dir| fs::canonicalize(dir.parent()?).ok());
        let trees = std::iter::once(PathBuf::from("/usr")).chain(managers).collect();
        Self { path: path.to_owned(), directories, trees }
    }

    /// Whether a program may be run here.
    pub(super) fn may_run(&self, program: &Path) -> bool {
        let is_in_path = |path: &Path| self.directories.iter().any(|dir| path.parent() == Some(dir));
        let is_below = |path: &Path| self.trees.iter().any(|tree| path.starts_with(tree));
        is_in_path(program)
            || fs::canonicalize(program).is_ok_and(|real| is_below(&real) || is_in_path(&real))
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
