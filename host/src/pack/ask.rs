//! Asks a program of the host about itself.
//!
//! That runs it, outside of any guest. So only programs are asked that the user runs by their bare name
//! anyway: those in a directory of PATH, or the system's own. One that was named by a path is not trusted
//! for being called `python3`.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::PackRequest;
use super::search::directories;

/// Whether a program may be run here.
pub(super) fn may_run(request: &PackRequest, program: &Path) -> bool {
    let in_path = |path: &Path| {
        directories(&request.path, Path::new("/")).any(|dir| path.parent() == Some(dir.as_path()))
    };
    in_path(program) || fs::canonicalize(program).is_ok_and(|real| real.starts_with("/usr") || in_path(&real))
}

/// Runs a program with a bare environment; its output and its messages, if it succeeds.
pub(super) fn ask(
    request: &PackRequest,
    program: &Path,
    arguments: &[&str],
    environment: &[(&str, &OsStr)],
    directory: &Path,
) -> Option<(String, String)> {
    if !may_run(request, program) {
        return None;
    }
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/".into());
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", &request.path)
        .env("HOME", home)
        .env("LC_ALL", "C")
        .envs(environment.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = |bytes| String::from_utf8(bytes).ok();
    Some((text(output.stdout)?, text(output.stderr)?))
}
