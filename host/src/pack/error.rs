//! What can go wrong while packing, and what the user is told.

use std::io;
use std::path::{Path, PathBuf};

/// Why a program cannot be packed. Each message says what is wrong and, where there is a way, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    #[error("{0}: no such program")]
    NoProgram(String),
    #[error("{path}: cannot be executed: {why}", path = path.display())]
    NotExecutable { path: PathBuf, why: String },
    #[error("{path}: made for another architecture: {found}; this machine runs 64-bit x86-64 programs", path = path.display())]
    Architecture { path: PathBuf, found: String },
    #[error("{path}: corrupt ELF file: {why}", path = path.display())]
    CorruptElf { path: PathBuf, why: String },
    #[error("{interpreter}: no such interpreter, needed by {needed_by}", needed_by = needed_by.display())]
    NoInterpreter { interpreter: String, needed_by: PathBuf },
    #[error(
        "missing library {library}, needed by {needed_by}: install the package that holds it, \
         or name its directory in LD_LIBRARY_PATH", needed_by = needed_by.display()
    )]
    MissingLibrary { library: String, needed_by: PathBuf },
    #[error(
        "--with {0}: neither an installed Debian package nor a program in PATH; a path must contain a slash"
    )]
    UnknownWith(String),
    #[error("{path}: no such directory", path = path.display())]
    NoDirectory { path: PathBuf },
    #[error("no place for the cache: set XDG_CACHE_HOME or HOME")]
    NoCache,
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("cannot make the root image: {0}")]
    Image(#[from] husk_erofs_build::Error),
}

impl PackError {
    /// The exit code that `husk run` ends with: as a shell and docker have it, 127 not found, 126 not
    /// executable, 125 Husk's own failure.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoProgram(_) | Self::NoInterpreter { .. } | Self::MissingLibrary { .. } => 127,
            Self::NotExecutable { .. } | Self::Architecture { .. } | Self::CorruptElf { .. } => 126,
            _ => 125,
        }
    }

    /// Turns an I/O error at a path into this type.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}
