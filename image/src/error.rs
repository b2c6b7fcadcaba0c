//! What can go wrong with an image, and what the user is told.

use std::io;
use std::path::{Path, PathBuf};

/// Why an image cannot be fetched, stored, read or run. Each message says what, where and, if there is a way, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    #[error("{0}: not an image reference: {1}")]
    Reference(String, &'static str),
    #[error("{0}: no such image")]
    NoImage(String),
    #[error("{0}: ambiguous: {1} images have an id that begins so")]
    Ambiguous(String, usize),
    #[error("{0:?}: not a digest of the form sha256:HEX (64 lower-case digits)")]
    Digest(String),
    #[error("{what}: {why}")]
    Document { what: String, why: String },
    #[error("{what}: the digest is {found}, not {expected} as it should be: damaged, or tampered with")]
    WrongDigest { what: String, expected: String, found: String },
    #[error("{what}: {found} bytes, not {expected} as it should have")]
    WrongSize { what: String, expected: u64, found: u64 },
    #[error("{what}: no image for linux/amd64, only for {found}")]
    Platform { what: String, found: String },
    #[error("layer: {entry}: {why}")]
    Layer { entry: String, why: String },
    #[error("registry {registry}: {why}")]
    Registry { registry: String, why: String },
    #[error("user {user:?}: {why}")]
    User { user: String, why: &'static str },
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{what}: {source}")]
    Read { what: String, source: io::Error },
    #[error("cannot make the root image: {0}")]
    Build(#[from] husk_erofs_build::Error),
    #[error("{path}: {error}", path = path.display())]
    Erofs { path: PathBuf, error: husk_erofs::Error },
    #[error("no place for images: set XDG_DATA_HOME or HOME")]
    NoStore,
    #[error("{0}")]
    Other(String),
}

impl ImageError {
    /// Turns an I/O error at a path into this type.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }

    /// Turns an I/O error of something else into this type. An error of this type that went through an `io::Error`
    /// comes out as it was.
    pub(crate) fn read(what: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::Read { what: what.to_owned(), source },
        }
    }

    pub(crate) fn document(what: &str, why: impl ToString) -> Self {
        Self::Document { what: what.to_owned(), why: why.to_string() }
    }
}

impl From<ImageError> for io::Error {
    fn from(error: ImageError) -> Self {
        Self::other(error)
    }
}
