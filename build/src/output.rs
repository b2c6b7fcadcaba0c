//! A built image as one executable.

use crate::stage::variable;
use crate::{BuildError, Built, users};
use husk_host::app::{self, App};
use std::path::Path;

/// Writes `built` as one executable. `change` has the last word on what its manifest says.
///
/// # Errors
/// [`BuildError`]; what `change` says.
pub fn executable<E: From<BuildError>>(
    built: &Built,
    name: &str,
    front: &Path,
    to: &Path,
    change: impl FnOnce(&mut App) -> Result<(), E>,
) -> Result<app::Built, E> {
    let mut app = app(built, name)?;
    change(&mut app)?;
    let scratch = tempfile::NamedTempFile::new_in(parent(to))
        .map_err(|source| BuildError::Io { path: to.to_path_buf(), source })?;
    built.write_root(scratch.path())?;
    Ok(app::write(&app, front, scratch.path(), to).map_err(BuildError::from)?)
}

/// The manifest of an executable that does what the image does.
///
/// # Errors
/// [`BuildError`]: the image names no program, or one that is not there.
pub fn app(built: &Built, name: &str) -> Result<App, BuildError> {
    let process = &built.image.config.config;
    let words: Vec<&String> = process.entrypoint.iter().chain(&process.cmd).collect();
    let first = words.first().ok_or(BuildError::NoProgram)?;
    let path = variable(process, "PATH").unwrap_or_default();
    let workdir = if process.working_dir.is_empty() { "/" } else { &process.working_dir };
    let program = crate::stage::find_program(&built.root, first, path, workdir)
        .ok_or_else(|| BuildError::Instruction(format!("{first}: there is no such program in the image")))?;
    let user = users::find(&built.root, &process.user, false)?;
    let args = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let mut app = App::new(name, program.as_bytes(), args);
    app.flags &= !husk_app::flag::INHERIT_ENV;
    app.env = process.env.iter().map(|entry| entry.as_bytes().to_vec()).collect();
    if variable(process, "HOME").is_none() {
        app.env.push(format!("HOME={}", user.home).into_bytes());
    }
    app.workdir = workdir.as_bytes().to_vec();
    app.user = (user.uid, user.gid);
    Ok(app)
}

impl Built {
    /// Writes the root of the image as one file.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn write_root(&self, path: &Path) -> Result<(), BuildError> {
        self.root.write(path).map(|_| ())
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
