//! Builds an image from a Containerfile: each RUN inside a guest, whose changes become a layer.
//!
//! [`build`] reads the file, works off the stages that the wanted one needs, and gives the [`Image`] of that one: a root
//! file system, its layers and its configuration. An instruction whose inputs (the state before it, its words, the
//! contents that it copies) were seen before is answered from the cache.

#![forbid(unsafe_code)]

mod copy;
mod expand;
mod fs;
mod ignore;
mod layer;
mod output;
mod stage;
mod users;

use husk_image::Store;
use std::io;
use std::path::PathBuf;

pub use expand::ExpandError;
pub use output::{app, executable};
pub use stage::build;

/// Why an image cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {what}", path = path.display())]
    Syntax { path: PathBuf, what: String },
    #[error("{path}:{line}: {source}", path = path.display())]
    At { path: PathBuf, line: usize, source: Box<BuildError> },
    #[error("{0}")]
    Instruction(String),
    #[error("{0}")]
    Expand(#[from] ExpandError),
    #[error("{0}: there is no such stage, and no image of that name can be had: {1}")]
    NoBase(String, husk_image::ImageError),
    #[error("--target {0}: there is no such stage")]
    NoTarget(String),
    #[error("{0}: it is not in the context, or .dockerignore leaves it out")]
    NoSource(String),
    #[error("{0}: it leads out of the context")]
    OutsideContext(String),
    #[error("{0}: the pattern is wrong: {1}")]
    Pattern(String, String),
    #[error("{0}: {1}")]
    Destination(String, &'static str),
    #[error("{0:?}: there is no such user or group in the image")]
    NoUser(String),
    #[error("the command ended with exit code {code}{note}")]
    Run { code: i32, note: &'static str },
    #[error("{0}")]
    Guest(#[from] husk_host::guest::GuestError),
    #[error("{path}: the root image is damaged: {source}", path = path.display())]
    Image { path: PathBuf, source: husk_erofs::Error },
    #[error("a directory of the root image contains itself")]
    Endless,
    #[error("{path}: a layer of the cache is damaged ({source}): remove it", path = path.display())]
    Layer { path: PathBuf, source: husk_host::record::RecordError },
    #[error("{0}")]
    Erofs(#[from] husk_erofs_build::Error),
    #[error("{0}")]
    Pack(#[from] husk_host::pack::PackError),
    #[error("{0}")]
    App(#[from] husk_host::app::AppError),
    #[error("{0}")]
    Store(#[from] husk_image::ImageError),
    #[error("the image says of no program that it is to be run: it needs ENTRYPOINT or CMD")]
    NoProgram,
}

/// What to build.
#[derive(Clone, Debug)]
pub struct Request {
    /// `husk`, the front, for the guests of RUN.
    pub front: PathBuf,
    /// Where images are read from and the result goes.
    pub store: Store,
    /// How bases are fetched that the store has not.
    pub registry: husk_image::source::Options,
    /// The names that the result gets.
    pub names: Vec<husk_image::Reference>,
    pub containerfile: PathBuf,
    /// The text of the Containerfile.
    pub text: String,
    pub context: PathBuf,
    /// `--build-arg`s.
    pub args: Vec<(String, String)>,
    /// `--label`s.
    pub labels: Vec<(String, String)>,
    pub target: Option<String>,
    /// The directory of layers.
    pub cache: PathBuf,
    /// Whether layers of earlier builds are taken.
    pub use_cache: bool,
    /// Options of `husk run` for RUN.
    pub run_options: Vec<std::ffi::OsString>,
    /// SOURCE_DATE_EPOCH: no time in the image is later, in seconds since the epoch.
    pub epoch: Option<i64>,
}

/// A built image.
#[derive(Debug)]
pub struct Built {
    /// As the store has it.
    pub image: husk_image::Image,
    pub(crate) root: fs::Fs,
}
