//! Finds programs as execvp(3) does.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::error::PackError;

/// Whether a path names a regular file that this user may execute.
pub(super) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|stat| stat.is_file()) && access(path, Access::EXEC_OK).is_ok()
}

/// The absolute path of a program.
pub(super) fn program(name: &OsStr, path: &OsStr, directory: &Path) -> Result<PathBuf, PackError> {
    let shown = || name.to_string_lossy().into_owned();
    let refuse = |path: PathBuf, why: &str| PackError::NotExecutable { path, why: why.into() };
    if name.as_bytes().contains(&b'/') {
        let path = directory.join(name);
        return match fs::metadata(&path) {
            Ok(stat) if stat.is_dir() => Err(refuse(path, "it is a directory")),
            Ok(_) if is_executable(&path) => Ok(path),
            Ok(_) => Err(refuse(path, "permission denied")),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(refuse(path, "permission denied"))
            }
            Err(_) => Err(PackError::NoProgram(shown())),
        };
    }
    if name.is_empty() {
        return Err(PackError::NoProgram("''".into()));
    }
    let candidates = || directories(path, directory).map(|dir| dir.join(name));
    if let Some(found) = candidates().find(|path| is_executable(path)) {
        return Ok(found);
    }
    match candidates().find(|path| path.is_file()) {
        Some(path) => Err(refuse(path, "permission denied")),
        None => Err(PackError::NoProgram(shown())),
    }
}

/// The directories of PATH; an empty or relative part starts at the working directory.
pub(super) fn directories(path: &OsStr, directory: &Path) -> impl Iterator<Item = PathBuf> {
    let parts: Vec<OsString> =
        path.as_bytes().split(|&byte| byte == b':').map(|part| OsStr::from_bytes(part).to_owned()).collect();
    let directory = directory.to_path_buf();
    parts.into_iter().map(move |part| directory.join(part))
}
