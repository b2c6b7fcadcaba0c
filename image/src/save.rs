//! Images out of the store: as an OCI layout, and as archives.
//!
//! Layers leave as uncompressed tars, the very bytes that came in, so the configuration and the image's id stay what they
//! were. Each is checked against its diff-id on the way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use husk_erofs_build::Hashed;
use tar_core::builder::EntryBuilder;

use crate::config::{self, Index, Manifest, media};
use crate::layout::NAME;
use crate::store::{Image, Store};
use crate::{Descriptor, Digest, ImageError, Reference, layer};

/// Where an image goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory, which may hold a layout already; with the image's name in it.
    Layout(PathBuf, Option<String>),
    OciArchive(PathBuf, Option<String>),
    DockerArchive(PathBuf, Option<String>),
}

impl FromStr for Target {
    type Err = ImageError;

    /// `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME]`.
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let usage = || {
            ImageError::Other(format!(
                "{text}: not a place to save to: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]"
            ))
        };
        let (kind, rest) = text.split_once(':').ok_or_else(usage)?;
        let (path, name) = match rest.split_once(':') {
            Some((path, name)) => (path, Some(name.to_owned())),
            None => (rest, None),
        };
        let path = Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()).ok_or_else(usage)?;
        match kind {
            "oci" => Ok(Self::Layout(path, name)),
            "oci-archive" => Ok(Self::OciArchive(path, name)),
            "docker-archive" => Ok(Self::DockerArchive(path, name)),
            _ => Err(usage()),
        }
    }
}

impl Store {
    /// Bytes of a layer's uncompressed tar.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn tar_size(&self, diff_id: &Digest) -> Result<u64, ImageError> {
        let path = self.frame(diff_id);
        layer::tar_size(&File::open(&path).map_err(ImageError::io(&path))?)
    }

    /// Writes a layer's uncompressed tar.
    ///
    /// # Errors
    /// [`ImageError::Io`]; [`ImageError::WrongDigest`] where the store is damaged.
    pub fn write_layer(&self, diff_id: &Digest, out: impl Write) -> Result<(), ImageError> {
        let open = |path: PathBuf| File::open(&path).map_err(ImageError::io(&path));
        let mut out = Hashed::new(out);
        layer::replay(&open(self.layer(diff_id))?, &open(self.frame(diff_id))?, &mut out)?;
        out.flush().map_err(ImageError::read("writing the layer"))?;
        let found = Digest::from_hash(&out.sum());
        if found == *diff_id {
            return Ok(());
        }
        let (expected, found) = (diff_id.to_string(), found.to_string());
        Err(ImageError::WrongDigest { what: "the stored layer".to_owned(), expected, found })
    }

    /// Saves an image; `name` is what Docker's archive calls it where the target says nothing.
    ///
    /// # Errors
    /// [`ImageError::Io`]; [`ImageError::WrongDigest`] where the store is damaged.
    pub fn save(&self, image: &Image, target: &Target, name: Option<&Reference>) -> Result<(), ImageError> {
        // Nothing is swept while it is read.
        let _session = self.session()?;
        match target {
            Target::Layout(path, tag) => self.save_layout(image, path, tag.as_deref()),
            Target::OciArchive(path, tag) => {
                into_archive(path, |folder| self.save_layout(image, folder, tag.as_deref()))
            }
            Target::DockerArchive(path, own) => {
                let own: Option<Reference> = own.as_deref().map(str::parse).transpose()?;
                let name = own.as_ref().or(name);
                into_archive(path, |folder| self.save_docker(image, folder, name))
            }
        }
    }

    fn save_layer(&self, diff_id: &Digest, path: &Path) -> Result<u64, ImageError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(ImageError::io(folder))?;
        self.write_layer(diff_id, BufWriter::with_capacity(1 << 20, file.as_file_mut()))?;
        let size = file.as_file().metadata().map_err(ImageError::io(path))?.len();
        readable(file.as_file(), path)?;
        file.persist(path).map_err(|error| ImageError::io(path)(error.error))?;
        Ok(size)
    }

    fn save_layout(&self, image: &Image, path: &Path, tag: Option<&str>) -> Result<(), ImageError> {
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(ImageError::io(&blobs))?;
        let document = |media_type: &str, bytes: &[u8]| {
            let digest = Digest::of(bytes);
            write_whole(&blobs.join(digest.hex()), bytes)?;
            Ok::<_, ImageError>(descriptor(media_type, digest, bytes.len() as u64))
        };
        let mut layers = Vec::new();
        for diff_id in &image.config.rootfs.diff_ids {
            let size = self.save_layer(diff_id, &blobs.join(diff_id.hex()))?;
            layers.push(descriptor(media::LAYER, diff_id.clone(), size));
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: document(media::CONFIG, &self.document(image.id())?)?,
            layers,
            annotations: image.manifest.annotations.clone(),
        };
        let mut entry = document(media::MANIFEST, &config::encode(&manifest))?;
        entry.annotations = tag.map(|tag| BTreeMap::from([(NAME.to_owned(), tag.to_owned())]));
        let index_path = path.join("index.json");
        let mut index = match fs::read(&index_path) {
            Ok(bytes) => config::parse(&index_path.display().to_string(), &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Index { schema_version: 2, media_type: Some(media::INDEX.to_owned()), manifests: Vec::new() }
            }
            Err(error) => return Err(ImageError::io(&index_path)(error)),
        };
        let name = |descriptor: &Descriptor| descriptor.annotations.as_ref()?.get(NAME).cloned();
        index.manifests.retain(|other| match tag {
            Some(tag) => name(other).as_deref() != Some(tag),
            None => other.digest != entry.digest || name(other).is_some(),
        });
        index.manifests.push(entry);
        write_whole(&path.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        write_whole(&index_path, &config::encode(&index))
    }

    fn save_docker(&self, image: &Image, path: &Path, name: Option<&Reference>) -> Result<(), ImageError> {
        let mut layers = Vec::new();
        for diff_id in &image.config.rootfs.diff_ids {
            let name = format!("{}.tar", diff_id.hex());
            self.save_layer(diff_id, &path.join(&name))?;
            layers.push(name);
        }
        let config_name = format!("{}.json", image.id().hex());
        write_whole(&path.join(&config_name), &self.document(image.id())?)?;
        let tags: Vec<String> = name.map(Reference::familiar).into_iter().collect();
        let manifest = serde_json::json!([{ "Config": config_name, "RepoTags": tags, "Layers": layers }]);
        write_whole(&path.join("manifest.json"), manifest.to_string().as_bytes())
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
}

/// Temporary files are private; what is handed on is for all whom its folder lets in.
fn readable(file: &File, path: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(ImageError::io(path))
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(ImageError::io(folder))?;
    file.write_all(bytes).map_err(ImageError::io(path))?;
    readable(file.as_file(), path)?;
    file.persist(path).map_err(|error| ImageError::io(path)(error.error))?;
    Ok(())
}

/// Makes files in a folder beside the archive and then the archive of them.
fn into_archive(path: &Path, make: impl FnOnce(&Path) -> Result<(), ImageError>) -> Result<(), ImageError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::tempdir_in(parent).map_err(ImageError::io(parent))?;
    make(folder.path())?;
    let file = tempfile::NamedTempFile::new_in(parent).map_err(ImageError::io(parent))?;
    let mut out = BufWriter::with_capacity(1 << 20, file.as_file());
    let mut todo = vec![folder.path().to_path_buf()];
    let mut names = Vec::new();
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).map_err(ImageError::io(&dir))? {
            let entry = entry.map_err(ImageError::io(&dir))?.path();
            if entry.is_dir() { todo.push(entry) } else { names.push(entry) }
        }
    }
    names.sort();
    let failed = |error| ImageError::io(path)(error);
    for name in names {
        let mut from = File::open(&name).map_err(ImageError::io(&name))?;
        let size = from.metadata().map_err(ImageError::io(&name))?.len();
        let inside = name.strip_prefix(folder.path()).unwrap_or(&name).to_string_lossy().into_owned();
        let mut entry = EntryBuilder::new_ustar();
        entry.path(inside.as_bytes());
        let header = entry.mode(0o644).and_then(|entry| entry.size(size)).and_then(|entry| entry.mtime(0));
        header.map_err(|error| ImageError::Other(format!("{inside}: {error}")))?;
        out.write_all(&entry.finish_bytes()).map_err(failed)?;
        io::copy(&mut from, &mut out).map_err(failed)?;
        let padding = size.next_multiple_of(512) - size;
        out.write_all(&[0; 512][..padding as usize]).map_err(failed)?;
    }
    out.write_all(&[0; 1024]).and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    readable(file.as_file(), path)?;
    file.persist(path).map_err(|error| ImageError::io(path)(error.error))?;
    Ok(())
}
