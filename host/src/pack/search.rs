//! Finds programs as execvp(3) does, but for relative parts of PATH.

use std::ffi::OsStr;
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
        let path = if name.as_bytes().starts_with(b"/") { name.into() } else { below(directory, name) };
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
    let candidates = || directories(path).map(|dir| below(&dir, name));
    if let Some(found) = candidates().find(|path| is_executable(path)) {
        return Ok(found);
    }
    match candidates().find(|path| path.is_file()) {
        Some(path) => Err(refuse(path, "permission denied")),
        None => Err(PackError::NoProgram(shown())),
    }
}

/// Directory, slash, name, and nothing cleaned up: the front of `husk run` puts paths together the same way.
fn below(directory: &Path, name: &OsStr) -> PathBuf {
    let mut path = directory.as_os_str().to_owned();
    path.push("/");
    path.push(name);
    path.into()
}

/// The directories of PATH. Empty and relative parts are passed over: what they name depends on where one is.
pub(super) fn directories(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    let parts = path.as_bytes().split(|&byte| byte == b':').filter(|part| part.starts_with(b"/"));
    parts.map(|part| PathBuf::from(OsStr::from_bytes(part)))
}
