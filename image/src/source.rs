//! Where images come from, by one trait and one spelling.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::store::Session;
use crate::{Descriptor, ImageError, Reference, archive, daemon, layout, local, registry};

/// Called with the number of bytes that were read since.
pub type Advance<'a> = &'a (dyn Fn(u64) + Sync);

/// One image, somewhere.
pub trait Source: Sync {
    /// How errors call it.
    fn name(&self) -> String;

    /// The name that the image has there, for those that say no other.
    fn reference(&self) -> Option<Reference>;

    /// The manifest's bytes, of this machine's platform and checked against the digest they were found by.
    ///
    /// # Errors
    /// Why there is none.
    fn manifest(&self) -> Result<Vec<u8>, ImageError>;

    /// A blob's bytes. Reading ends in an error unless they are those of the descriptor; the layers of Docker's archives
    /// and stores, which have no descriptors, are checked by their diff-id alone.
    ///
    /// # Errors
    /// Why there is none.
    fn blob<'a>(
        &'a self,
        session: &'a Session,
        descriptor: &'a Descriptor,
        advance: Advance<'a>,
    ) -> Result<Box<dyn Read + Send + 'a>, ImageError>;
}

/// Who is told how an import goes on.
pub trait Progress: Sync {
    /// The layers that there will be.
    fn layers(&self, _layers: &[Descriptor]) {}
    /// More bytes of a layer were read.
    fn advance(&self, _layer: usize, _bytes: u64) {}
    /// A layer is there; it was there already if `known`.
    fn done(&self, _layer: usize, _known: bool) {}
}

/// Nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Progress for Silent {}

/// How to reach a registry.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `Some(false)`: plain HTTP and unknown certificates are fine. Without a word, plain HTTP is tried on loopback only.
    pub tls_verify: Option<bool>,
    /// `USER:PASSWORD`, in place of what the credential files say.
    pub credentials: Option<String>,
    /// A credential file, in place of the usual ones.
    pub auth_file: Option<PathBuf>,
    /// A folder with `*.crt` of further certificate authorities.
    pub certificates: Option<PathBuf>,
}

/// The prefixes of images that are no names.
pub const TRANSPORTS: [&str; 6] =
    ["oci:", "oci-archive:", "docker-archive:", "containers-storage:", "docker-daemon:", "docker://"];

/// Opens what `text` spells: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`,
/// `containers-storage:[[DRIVER@GRAPHROOT[+RUNROOT]]]NAME` (podman's store), `docker-daemon:NAME` (Docker's, through its
/// socket, or by its files where it does not run), `docker://NAME` or just a name (a registry).
///
/// # Errors
/// [`ImageError::Reference`]; why there is no such image.
pub fn open(text: &str, options: &Options) -> Result<Box<dyn Source>, ImageError> {
    match text.split_once(':') {
        Some(("oci", rest)) => {
            let (path, tag) = path_and_name(rest);
            Ok(Box::new(layout::Layout::directory(&path, tag.as_deref())?))
        }
        Some(("oci-archive", rest)) => {
            let (path, tag) = path_and_name(rest);
            Ok(Box::new(layout::Layout::archive(&path, tag.as_deref())?))
        }
        Some(("docker-archive", rest)) => {
            let (path, name) = path_and_name(rest);
            Ok(Box::new(archive::DockerArchive::open(&path, name.as_deref())?))
        }
        Some(("containers-storage", name)) => Ok(Box::new(local::podman(name)?)),
        Some(("docker-daemon", name)) => match daemon::socket()? {
            Some(socket) => Ok(Box::new(daemon::export(&socket, name)?)),
            None => Ok(Box::new(local::docker(name)?)),
        },
        Some(("docker", rest)) if rest.starts_with("//") => {
            Ok(Box::new(registry::Remote::new(&rest[2..].parse()?, options)?))
        }
        _ => Ok(Box::new(registry::Remote::new(&text.parse()?, options)?)),
    }
}

/// Splits at the first colon, unless there is a file of the whole name.
fn path_and_name(text: &str) -> (PathBuf, Option<String>) {
    match text.split_once(':') {
        Some((path, name)) if !Path::new(text).exists() => (PathBuf::from(path), Some(name.to_owned())),
        _ => (PathBuf::from(text), None),
    }
}

/// Tells how much is read.
pub(crate) struct Counted<'a, R> {
    pub(crate) inner: R,
    pub(crate) advance: Advance<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        (self.advance)(count as u64);
        Ok(count)
    }
}

/// What a file is that nobody said more about.
pub enum Found {
    Image(Box<dyn Source>),
    /// The tar of a root file system, not compressed any more.
    Tar(Box<dyn Read + Send>),
}

/// Opens a directory, a file or `-`, whose kind is found out; or what [`open`] opens, with a prefix.
///
/// # Errors
/// As [`open`].
pub fn of_file(text: &str) -> Result<Found, ImageError> {
    if TRANSPORTS.iter().any(|prefix| text.starts_with(prefix)) {
        return open(text, &Options::default()).map(Found::Image);
    }
    let path = Path::new(text);
    if path.is_dir() {
        return Ok(Found::Image(Box::new(layout::Layout::directory(path, None)?)));
    }
    // Standard input can be read once only, so it is a file from here on.
    let files = archive::Files::tar(path)?;
    if files.has("manifest.json") {
        return Ok(Found::Image(Box::new(archive::DockerArchive::of(files, None)?)));
    }
    if files.has("oci-layout") {
        return Ok(Found::Image(Box::new(layout::Layout::of_archive(files)?)));
    }
    Ok(Found::Tar(files.whole()?))
}
