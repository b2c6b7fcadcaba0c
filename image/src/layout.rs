//! OCI image layouts: a directory, or the same in a tar.

use std::io::Read;
use std::path::Path;

use crate::archive::Files;
use crate::config::{self, Document, Index};
use crate::source::{Advance, Counted, Source};
use crate::store::Session;
use crate::{Descriptor, ImageError, Reference, Verified};

/// The annotation with which a layout names an image.
pub(crate) const NAME: &str = "org.opencontainers.image.ref.name";

/// Most indexes in indexes.
const DEPTH_MAX: usize = 4;

/// An image of a layout.
pub struct Layout {
    files: Files,
    is_archive: bool,
    descriptor: Descriptor,
    reference: Option<Reference>,
}

impl Layout {
    /// Opens the image of a tag, or the only one, in a directory.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Document`].
    pub fn directory(path: &Path, tag: Option<&str>) -> Result<Self, ImageError> {
        Self::new(Files::Directory(path.to_path_buf()), tag, false)
    }

    /// Opens the image of a tag, or the only one, in a tar.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Document`].
    pub fn archive(path: &Path, tag: Option<&str>) -> Result<Self, ImageError> {
        Self::new(Files::tar(path)?, tag, true)
    }

    pub(crate) fn of_archive(files: Files) -> Result<Self, ImageError> {
        Self::new(files, None, true)
    }

    fn new(files: Files, tag: Option<&str>, is_archive: bool) -> Result<Self, ImageError> {
        let what = files.what();
        let index: Index = config::parse(&format!("{what}: index.json"), &files.read("index.json")?)?;
        let name = |descriptor: &Descriptor| descriptor.annotations.as_ref()?.get(NAME).cloned();
        let fits = |descriptor: &&Descriptor| tag.is_none() || name(descriptor).as_deref() == tag;
        let all: Vec<&Descriptor> = index.manifests.iter().filter(fits).collect();
        let names = || {
            let names: Vec<String> = index.manifests.iter().filter_map(name).collect();
            if names.is_empty() {
                "none has a name".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            }
        };
        let descriptor = match all.as_slice() {
            [] => return Err(ImageError::document(&what, format!("no image of that name; {}", names()))),
            [one] => (*one).clone(),
            _ if all
                .iter()
                .all(|descriptor| descriptor.platform.is_some() && name(descriptor) == name(all[0])) =>
            {
                let of_one = Index { manifests: all.into_iter().cloned().collect(), ..index.clone() };
                of_one.choose(&what)?.clone()
            }
            _ => return Err(ImageError::document(&what, format!("several images: say which; {}", names()))),
        };
        let own = name(&descriptor);
        // Some tools put the whole name there, others the tag alone; then the file's name is the image's.
        let whole =
            own.as_deref().filter(|name| name.contains(['/', ':'])).and_then(|name| name.parse().ok());
        let by_file = || {
            let path = Path::new(&what);
            let stem = if is_archive { path.file_stem() } else { path.file_name() };
            let stem = stem?.to_str()?.to_lowercase();
            format!("{stem}:{}", own.as_deref().unwrap_or("latest")).parse().ok()
        };
        let reference = whole.or_else(by_file);
        Ok(Self { files, is_archive, descriptor, reference })
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Verified<Box<dyn Read + Send>>, ImageError> {
        let (reader, _) = self.files.open(&format!("blobs/sha256/{}", descriptor.digest.hex()))?;
        let what = format!("{}: blob {}", self.name(), descriptor.digest);
        Ok(Verified::new(&what, reader, descriptor.size, &descriptor.digest))
    }
}

impl Source for Layout {
    fn name(&self) -> String {
        format!("{}:{}", if self.is_archive { "oci-archive" } else { "oci" }, self.files.what())
    }

    fn reference(&self) -> Option<Reference> {
        self.reference.clone()
    }

    fn manifest(&self) -> Result<Vec<u8>, ImageError> {
        let mut descriptor = self.descriptor.clone();
        for _ in 0..DEPTH_MAX {
            let what = format!("{}: {}", self.name(), descriptor.digest);
            if descriptor.size > config::DOCUMENT_MAX {
                return Err(ImageError::document(&what, "too big for a manifest"));
            }
            let mut bytes = Vec::new();
            self.open(&descriptor)?.read_to_end(&mut bytes).map_err(ImageError::read(&what))?;
            match Document::parse(&what, &bytes)? {
                Document::Manifest(_) => return Ok(bytes),
                Document::Index(index) => descriptor = index.choose(&what)?.clone(),
            }
        }
        Err(ImageError::document(&self.name(), "indexes in indexes in indexes"))
    }

    fn blob<'a>(
        &'a self,
        _: &'a Session,
        descriptor: &'a Descriptor,
        advance: Advance<'a>,
    ) -> Result<Box<dyn Read + Send + 'a>, ImageError> {
        Ok(Box::new(Counted { inner: self.open(descriptor)?, advance }))
    }
}
