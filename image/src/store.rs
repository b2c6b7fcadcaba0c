//! The local store of images.
//!
//! | folder | what is inside |
//! |---|---|
//! | `blobs/HEX` | manifests and configurations, by digest |
//! | `layers/DIFF-ID.erofs`, `.frame` | a layer's image, and what with it makes its tar again |
//! | `roots/HEX.erofs` | merged metadata of a chain of layers |
//! | `references/NAME` | the digest of the manifest that has the name |
//! | `partial/HEX` | downloads that were broken off |
//! | `tmp/` | what is being made |
//! | `held/` | which files snapshots need |
//!
//! A file gets its name by renaming, whole and synced. `lock` is held shared by whoever adds, and exclusively only by who
//! sweeps what nothing refers to. A killed import leaves files in `tmp/`, which the next one sweeps.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;

use crate::config::{self, DOCUMENT_MAX, media};
use crate::layer::{self, Imported, Limits};
use crate::merge;
use crate::source::{Progress, Source};
use crate::{Config, Descriptor, Digest, ImageError, Manifest, Reference};

/// Layers that are fetched and imported at once.
const PARALLEL: usize = 3;
/// Raised when merging gives other bytes for the same layers.
const ROOT_VERSION: &str = "husk root 1";

/// The store, by its directory.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

/// An image of the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Of the manifest.
    pub digest: Digest,
    pub manifest: Manifest,
    pub config: Config,
}

impl Image {
    /// The image's id, as Docker and podman show it: the digest of its configuration.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.manifest.config.digest
    }
}

/// A name with its image.
#[derive(Clone, Debug)]
pub struct Stored {
    pub name: Reference,
    pub image: Image,
    /// Bytes on disk of the image's layers, shared or not.
    pub size: u64,
}

/// The files of a guest's root: the merged metadata, and behind it the layers in their order. Each begins in the address
/// space where the one before ends; all have whole blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub files: Vec<PathBuf>,
    /// Bytes of each.
    pub sizes: Vec<u64>,
}

/// What [`Store::remove`] did.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<Reference>,
    /// Images that are gone with them, by id.
    pub deleted: Vec<Digest>,
    /// What was given back; `None` when another process adds to the store just now, so that the next removal sweeps.
    pub freed: Option<Freed>,
}

/// Files that a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    pub files: usize,
    /// On disk.
    pub bytes: u64,
}

impl Store {
    /// The user's store: `$XDG_DATA_HOME/husk/images`, `~/.local/share/husk/images`, or root's `/var/lib/husk/images`.
    ///
    /// # Errors
    /// [`ImageError::NoStore`], [`ImageError::Io`].
    pub fn open_default() -> Result<Self, ImageError> {
        Self::open(&husk_home::data().ok_or(ImageError::NoStore)?.join("images"))
    }

    /// A store at a directory, which is made.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        for folder in ["blobs", "layers", "roots", "references", "partial", "tmp"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).map_err(ImageError::io(&folder))?;
        }
        Ok(Self { path: path.to_path_buf() })
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes of what snapshots need of the store (`husk_home::held`).
    fn held(&self) -> PathBuf {
        self.path.join("held")
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path.join("blobs").join(digest.hex())
    }

    pub(crate) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.path.join("layers").join(format!("{}.erofs", diff_id.hex()))
    }

    pub(crate) fn frame(&self, diff_id: &Digest) -> PathBuf {
        self.path.join("layers").join(format!("{}.frame", diff_id.hex()))
    }

    /// Where a download that was broken off is kept.
    pub(crate) fn partial(&self, digest: &Digest) -> PathBuf {
        self.path.join("partial").join(digest.hex())
    }

    /// The file that says which image has a name. It is another file whenever that changes.
    #[must_use]
    pub fn reference(&self, name: &Reference) -> PathBuf {
        self.path.join("references").join(name.to_string().replace('/', "%2F"))
    }

    fn lock(&self, how: FlockOperation) -> Result<File, ImageError> {
        let path = self.path.join("lock");
        let file = File::options().create(true).append(true).open(&path).map_err(ImageError::io(&path))?;
        flock(&file, how).map_err(|error| ImageError::io(&path)(error.into()))?;
        Ok(file)
    }

    /// Begins to add to the store. While the session lives, nothing is swept.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn session(&self) -> Result<Session, ImageError> {
        if let Ok(_lock) = self.lock(FlockOperation::NonBlockingLockExclusive) {
            self.clear_temporary();
        }
        Ok(Session { store: self.clone(), _lock: self.lock(FlockOperation::LockShared)? })
    }

    fn clear_temporary(&self) {
        for entry in fs::read_dir(self.path.join("tmp")).into_iter().flatten().flatten() {
            // What cannot be removed now is tried again next time.
            let _ = fs::remove_file(entry.path());
        }
    }

    /// A manifest or configuration, checked against its digest.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::WrongDigest`].
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let path = self.blob(digest);
        let bytes = fs::read(&path).map_err(ImageError::io(&path))?;
        check(&path.display().to_string(), &bytes, digest)?;
        Ok(bytes)
    }

    fn image(&self, digest: &Digest) -> Result<Image, ImageError> {
        let what = format!("manifest {digest}");
        let manifest: Manifest = config::parse(&what, &self.document(digest)?)?;
        let what = format!("configuration {}", manifest.config.digest);
        let config = config::parse(&what, &self.document(&manifest.config.digest)?)?;
        Ok(Image { digest: digest.clone(), manifest, config })
    }

    /// All names with their images, in order.
    ///
    /// # Errors
    /// [`ImageError::Io`]. A name whose image is damaged is passed over.
    pub fn images(&self) -> Result<Vec<Stored>, ImageError> {
        let mut found = Vec::new();
        for (name, digest) in self.names()? {
            let Ok(image) = self.image(&digest) else { continue };
            let unique: HashSet<&Digest> = image.config.rootfs.diff_ids.iter().collect();
            let size = unique.iter().map(|diff| on_disk(&self.layer(diff))).sum();
            found.push(Stored { name, image, size });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn names(&self) -> Result<Vec<(Reference, Digest)>, ImageError> {
        let folder = self.path.join("references");
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(ImageError::io(&folder))? {
            let entry = entry.map_err(ImageError::io(&folder))?;
            let name = entry.file_name().to_string_lossy().replace("%2F", "/");
            let digest = fs::read_to_string(entry.path()).unwrap_or_default();
            if let (Ok(name), Ok(digest)) = (name.parse(), digest.trim_end().parse()) {
                names.push((name, digest));
            }
        }
        Ok(names)
    }

    /// An image by name, or by (the beginning of) its id or its manifest's digest.
    ///
    /// # Errors
    /// [`ImageError::Ambiguous`]; [`ImageError::Reference`] for what can be neither.
    pub fn find(&self, text: &str) -> Result<Option<Image>, ImageError> {
        Ok(self.look_up(text)?.map(|(image, _)| image))
    }

    /// As [`Store::find`], with the name that `text` is; `None` where it is an id.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn look_up(&self, text: &str) -> Result<Option<(Image, Option<Reference>)>, ImageError> {
        let name = text.parse::<Reference>();
        if let Ok(name) = &name {
            let path = self.reference(name);
            match fs::read_to_string(&path) {
                Ok(digest) => {
                    return Ok(Some((self.image(&digest.trim_end().parse()?)?, Some(name.clone()))));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(ImageError::io(&path)(error)),
            }
        }
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        let is_hex = (6..=64).contains(&hex.len()) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex {
            return name.map(|_| None);
        }
        let mut found: Vec<Image> = Vec::new();
        for (_, digest) in self.names()? {
            let Ok(image) = self.image(&digest) else { continue };
            let fits = image.id().hex().starts_with(hex) || image.digest.hex().starts_with(hex);
            if fits && found.iter().all(|known| known.id() != image.id()) {
                found.push(image);
            }
        }
        match found.len() {
            0 | 1 => Ok(found.pop().map(|image| (image, None))),
            many => Err(ImageError::Ambiguous(text.to_owned(), many)),
        }
    }

    /// The files of an image's root. The merged one is made when it is asked for the first time.
    ///
    /// # Errors
    /// [`ImageError::Io`]; errors of merging.
    pub fn root(&self, image: &Image) -> Result<Root, ImageError> {
        let process = &image.config.config;
        let directories: Vec<String> = process.volumes.keys().cloned().collect();
        self.root_of(&image.config.rootfs.diff_ids, &directories)
    }

    /// The files of a root of any layers of the store, lowest first, with `directories` made where they are missing.
    ///
    /// # Errors
    /// As [`Store::root`].
    pub fn root_of(&self, diff_ids: &[Digest], directories: &[String]) -> Result<Root, ImageError> {
        let recipe = format!("{ROOT_VERSION}\n{diff_ids:?}\n{directories:?}");
        let path = self.path.join("roots").join(format!("{}.erofs", Digest::of(recipe.as_bytes()).hex()));
        if !path.exists() {
            let session = self.session()?;
            let file = session.temporary()?;
            self.merge(diff_ids, directories, file.as_file())?;
            session.keep(file, &path)?;
        }
        self.files(path)
    }

    /// As [`Store::root_of`], with the merged metadata in a file of the caller's, which is made, and not kept in the store.
    ///
    /// # Errors
    /// As [`Store::root`].
    pub fn root_at(&self, diff_ids: &[Digest], path: PathBuf) -> Result<Root, ImageError> {
        self.merge(diff_ids, &[], &File::create(&path).map_err(ImageError::io(&path))?)?;
        self.files(path)
    }

    fn merge(&self, diff_ids: &[Digest], directories: &[String], to: &File) -> Result<(), ImageError> {
        let layer = |diff_id: &Digest| merge::Layer { path: self.layer(diff_id), diff_id: diff_id.clone() };
        let layers: Vec<merge::Layer> = diff_ids.iter().map(layer).collect();
        merge::merge(&layers, directories, BufWriter::with_capacity(1 << 20, to))
    }

    /// A merged image and the layers that it names.
    fn files(&self, path: PathBuf) -> Result<Root, ImageError> {
        let tags = devices(&path)?;
        let mut files = vec![path];
        files.extend(tags.iter().map(|diff_id| self.layer(diff_id)));
        let size = |path: &PathBuf| fs::metadata(path).map(|stat| stat.len()).map_err(ImageError::io(path));
        let sizes = files.iter().map(size).collect::<Result<_, _>>()?;
        Ok(Root { files, sizes })
    }

    /// Gives an image a further name.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn tag(&self, image: &Image, name: &Reference) -> Result<(), ImageError> {
        self.session()?.name(&image.digest, name)
    }

    /// Takes a name away, or with an id all names of an image, and sweeps what nothing refers to any more. An image with
    /// several names goes by its id only with `force`.
    ///
    /// # Errors
    /// [`ImageError::NoImage`], [`ImageError::Other`], [`ImageError::Io`].
    pub fn remove(&self, text: &str, force: bool) -> Result<Removed, ImageError> {
        let (image, name) = self.look_up(text)?.ok_or_else(|| ImageError::NoImage(text.to_owned()))?;
        let all = self.names()?;
        // One image may have come with several manifests.
        let is_same = |digest: &Digest| self.image(digest).is_ok_and(|other| other.id() == image.id());
        let mut untagged: Vec<Reference> = match name {
            Some(name) => vec![name],
            None => all.iter().filter(|(_, digest)| is_same(digest)).map(|(name, _)| name.clone()).collect(),
        };
        untagged.sort();
        if untagged.len() > 1 && !force {
            let names: Vec<String> = untagged.iter().map(Reference::familiar).collect();
            return Err(ImageError::Other(format!(
                "{text}: the image has several names ({}); remove them, or use --force",
                names.join(", ")
            )));
        }
        for name in &untagged {
            let path = self.reference(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ImageError::io(&path)(error));
                }
                _ => {}
            }
        }
        let is_left = self.names()?.iter().any(|(_, digest)| is_same(digest));
        let deleted = if is_left { Vec::new() } else { vec![image.id().clone()] };
        Ok(Removed { untagged, deleted, freed: self.sweep(false)? })
    }

    /// Removes what no name leads to and no snapshot needs, or with `dry` only says what that is. `None` while another
    /// process adds to the store.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn sweep(&self, dry: bool) -> Result<Option<Freed>, ImageError> {
        let Ok(_lock) = self.lock(FlockOperation::NonBlockingLockExclusive) else { return Ok(None) };
        if !dry {
            self.clear_temporary();
        }
        let held: HashSet<PathBuf> = husk_home::held::all(&self.held()).into_iter().collect();
        let is_held = |path: &Path| fs::canonicalize(path).is_ok_and(|path| held.contains(&path));
        let (mut blobs, mut layers, mut roots) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (_, digest) in self.names()? {
            blobs.insert(digest.hex().to_owned());
            let Ok(image) = self.image(&digest) else { continue };
            blobs.insert(image.id().hex().to_owned());
            layers.extend(image.config.rootfs.diff_ids.iter().map(|diff| diff.hex().to_owned()));
        }
        // A merged root is worth keeping as long as all its layers are there.
        for entry in fs::read_dir(self.path.join("roots")).into_iter().flatten().flatten() {
            let is_live =
                devices(&entry.path()).is_ok_and(|tags| tags.iter().all(|tag| layers.contains(tag.hex())));
            if is_live {
                let name = entry.file_name().to_string_lossy().into_owned();
                roots.insert(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
        let mut freed = Freed::default();
        let none = HashSet::new();
        for (folder, live) in [("roots", &roots), ("layers", &layers), ("blobs", &blobs), ("partial", &none)]
        {
            for entry in fs::read_dir(self.path.join(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = entry.path();
                if !live.contains(name.split('.').next().unwrap_or_default()) && !is_held(&path) {
                    freed.files += 1;
                    freed.bytes += on_disk(&path);
                    if !dry {
                        fs::remove_file(&path).map_err(ImageError::io(&path))?;
                    }
                }
            }
        }
        Ok(Some(freed))
    }
}

fn on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or(0, |stat| stat.blocks() * 512)
}

/// The layers that a merged image names.
fn devices(path: &Path) -> Result<Vec<Digest>, ImageError> {
    use husk_erofs::layout::{DEVICE_SLOT, SUPER_OFFSET, SUPER_SIZE, device, superblock};
    let damaged =
        || ImageError::document(&path.display().to_string(), "the merged image is damaged: remove it");
    let file = File::open(path).map_err(ImageError::io(path))?;
    let mut head = Vec::new();
    let want = SUPER_OFFSET + SUPER_SIZE + merge::DEVICES_MAX * DEVICE_SLOT;
    file.take(want as u64).read_to_end(&mut head).map_err(ImageError::io(path))?;
    let count = head.get(SUPER_OFFSET + superblock::DEVICES..).and_then(|rest| rest.first_chunk());
    let count = usize::from(u16::from_le_bytes(*count.ok_or_else(damaged)?));
    let slots = head[(SUPER_OFFSET + SUPER_SIZE).min(head.len())..].chunks_exact(DEVICE_SLOT).take(count);
    let tags: Vec<Digest> = slots
        .map(|slot| format!("sha256:{}", String::from_utf8_lossy(&slot[..device::TAG_SIZE])).parse())
        .collect::<Result<_, _>>()?;
    if tags.len() == count { Ok(tags) } else { Err(damaged()) }
}

fn check(what: &str, bytes: &[u8], digest: &Digest) -> Result<(), ImageError> {
    let found = Digest::of(bytes);
    if found == *digest {
        return Ok(());
    }
    let (expected, found) = (digest.to_string(), found.to_string());
    Err(ImageError::WrongDigest { what: what.to_owned(), expected, found })
}

/// Leave to add to the store.
#[derive(Debug)]
pub struct Session {
    store: Store,
    _lock: File,
}

impl Session {
    /// The store it adds to.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn temporary(&self) -> Result<NamedTempFile, ImageError> {
        let folder = self.store.path.join("tmp");
        NamedTempFile::new_in(&folder).map_err(ImageError::io(&folder))
    }

    fn keep(&self, file: NamedTempFile, path: &Path) -> Result<(), ImageError> {
        file.as_file().sync_data().map_err(ImageError::io(path))?;
        file.persist(path).map_err(|error| ImageError::io(path)(error.error))?;
        Ok(())
    }

    /// Keeps a manifest or configuration.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn add_document(&self, bytes: &[u8]) -> Result<Digest, ImageError> {
        let digest = Digest::of(bytes);
        let path = self.store.blob(&digest);
        if !path.exists() {
            let mut file = self.temporary()?;
            file.write_all(bytes).map_err(ImageError::io(&path))?;
            self.keep(file, &path)?;
        }
        Ok(digest)
    }

    /// Whether the store has a layer.
    #[must_use]
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.store.layer(diff_id).exists() && self.store.frame(diff_id).exists()
    }

    /// Adds a layer from its tar, which is not compressed.
    ///
    /// # Errors
    /// [`ImageError::Layer`], [`ImageError::Read`], [`ImageError::Io`].
    pub fn add_layer(&self, tar: impl Read) -> Result<Imported, ImageError> {
        self.import_layer(tar, None)
    }

    fn import_layer(&self, tar: impl Read, expected: Option<&Digest>) -> Result<Imported, ImageError> {
        let (image, frame) = (self.temporary()?, self.temporary()?);
        let imported = layer::import(tar, image.as_file(), frame.as_file(), Limits::default())?;
        if let Some(expected) = expected.filter(|&expected| *expected != imported.diff_id) {
            return Err(ImageError::WrongDigest {
                what: "the layer's tar (its diff-id)".to_owned(),
                expected: expected.to_string(),
                found: imported.diff_id.to_string(),
            });
        }
        // The image last: whoever sees it finds the frame.
        self.keep(frame, &self.store.frame(&imported.diff_id))?;
        self.keep(image, &self.store.layer(&imported.diff_id))?;
        Ok(imported)
    }

    /// Makes an image of a configuration whose layers are in the store, with an OCI manifest whose layers are the
    /// uncompressed tars, and gives it names.
    ///
    /// # Errors
    /// [`ImageError::Document`] where a layer is missing, [`ImageError::Io`].
    pub fn commit(&self, config: &Config, names: &[Reference]) -> Result<Image, ImageError> {
        let bytes = config::encode(config);
        let mut layers = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            let size = self.store.tar_size(diff_id)?;
            layers.push(descriptor(media::LAYER, diff_id.clone(), size));
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: descriptor(media::CONFIG, Digest::of(&bytes), bytes.len() as u64),
            layers,
            annotations: None,
        };
        self.add(&config::encode(&manifest), &bytes, names)
    }

    /// Makes an image of one layer from the tar of a root file system. `changes` are instructions of a Dockerfile, of
    /// those that `docker import --change` takes: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR.
    ///
    /// # Errors
    /// [`ImageError::Other`] for other instructions; those of [`Session::add_layer`].
    pub fn import_root(
        &self,
        tar: impl Read,
        changes: &[String],
        name: &Reference,
    ) -> Result<Image, ImageError> {
        let mut config =
            Config { architecture: "amd64".to_owned(), os: "linux".to_owned(), ..Config::default() };
        for change in changes {
            apply(&mut config.config, change)?;
        }
        let layer = self.add_layer(tar)?;
        config.rootfs = config::RootFs { kind: "layers".to_owned(), diff_ids: vec![layer.diff_id] };
        config.history.push(config::History {
            created_by: Some("husk import".to_owned()),
            ..config::History::default()
        });
        self.commit(&config, std::slice::from_ref(name))
    }

    /// Keeps an image whose layers are there.
    fn add(
        &self,
        manifest_bytes: &[u8],
        config_bytes: &[u8],
        names: &[Reference],
    ) -> Result<Image, ImageError> {
        let manifest: Manifest = config::parse("manifest", manifest_bytes)?;
        let config: Config = config::parse("configuration", config_bytes)?;
        for diff_id in &config.rootfs.diff_ids {
            if !self.has_layer(diff_id) {
                return Err(ImageError::document("configuration", format!("the layer {diff_id} is missing")));
            }
        }
        self.add_document(config_bytes)?;
        let digest = self.add_document(manifest_bytes)?;
        for name in names {
            self.name(&digest, name)?;
        }
        Ok(Image { digest, manifest, config })
    }

    fn name(&self, digest: &Digest, name: &Reference) -> Result<(), ImageError> {
        let path = self.store.reference(name);
        let mut file = self.temporary()?;
        file.write_all(format!("{digest}\n").as_bytes()).map_err(ImageError::io(&path))?;
        self.keep(file, &path)
    }

    /// Takes an image from a source, gives it `names`, and tells `progress` of each layer. Layers that the store has are
    /// not read.
    ///
    /// # Errors
    /// Those of the source, of the documents and of the layers. What was imported until then stays for the next try.
    pub fn fetch(
        &self,
        source: &dyn Source,
        names: &[Reference],
        progress: &dyn Progress,
    ) -> Result<Image, ImageError> {
        let what = source.name();
        let manifest_bytes = source.manifest()?;
        let manifest: Manifest = config::parse(&format!("{what}: manifest"), &manifest_bytes)?;
        if manifest.config.size > DOCUMENT_MAX {
            return Err(ImageError::document(&what, "the configuration is too big"));
        }
        let mut config_bytes = Vec::new();
        let mut blob = source.blob(self, &manifest.config, &|_| {})?.take(DOCUMENT_MAX + 1);
        blob.read_to_end(&mut config_bytes).map_err(ImageError::read(&what))?;
        check(&format!("{what}: configuration"), &config_bytes, &manifest.config.digest)?;
        let config: Config = config::parse(&format!("{what}: configuration"), &config_bytes)?;
        let is_other = (!config.os.is_empty() && config.os != "linux")
            || (!config.architecture.is_empty() && config.architecture != "amd64");
        if is_other {
            return Err(ImageError::Platform {
                what,
                found: format!("{}/{}", config.os, config.architecture),
            });
        }
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let why = format!(
                "{} layers in the manifest, but {} in the configuration",
                manifest.layers.len(),
                diff_ids.len()
            );
            return Err(ImageError::document(&what, why));
        }
        self.fetch_layers(source, &manifest.layers, diff_ids, progress)?;
        let image = self.add(&manifest_bytes, &config_bytes, names)?;
        for layer in manifest.layers.iter().chain([&manifest.config]) {
            // A download that was broken off and is whole now.
            let _ = fs::remove_file(self.store.partial(&layer.digest));
        }
        Ok(image)
    }

    fn fetch_layers(
        &self,
        source: &dyn Source,
        layers: &[Descriptor],
        diff_ids: &[Digest],
        progress: &dyn Progress,
    ) -> Result<(), ImageError> {
        progress.layers(layers);
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((layer, diff_id)) = layers.get(number).zip(diff_ids.get(number)) else { return };
                if self.has_layer(diff_id) {
                    progress.done(number, true);
                    continue;
                }
                if diff_ids[..number].contains(diff_id) {
                    // The same layer twice; the other worker has it.
                    progress.done(number, true);
                    continue;
                }
                let imported = source.blob(self, layer, &|bytes| progress.advance(number, bytes)).and_then(
                    |mut blob| {
                        let imported = self.import_layer(layer::uncompressed(&mut blob)?, Some(diff_id));
                        // A wrong digest of the blob says more than what its bytes led to.
                        match io::copy(&mut blob, &mut io::sink()).map_err(ImageError::read("layer")) {
                            Err(error @ (ImageError::WrongDigest { .. } | ImageError::WrongSize { .. })) => {
                                Err(error)
                            }
                            Err(error) => imported.and(Err(error)),
                            Ok(_) => imported,
                        }
                    },
                );
                match imported {
                    Ok(_) => progress.done(number, false),
                    Err(error) => {
                        next.store(layers.len(), Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            failed.get_or_insert(error);
                        }
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..PARALLEL.min(layers.len()) {
                scope.spawn(work);
            }
            work();
        });
        failed.into_inner().ok().flatten().map_or(Ok(()), Err)
    }
}

/// Changes a configuration as an instruction of a Dockerfile would.
fn apply(process: &mut config::Process, change: &str) -> Result<(), ImageError> {
    let bad = || ImageError::Other(format!("--change {change:?}: not understood"));
    let (instruction, rest) = change.trim().split_once(char::is_whitespace).ok_or_else(bad)?;
    let rest = rest.trim();
    let words = || -> Result<Vec<String>, ImageError> {
        if rest.starts_with('[') {
            return serde_json::from_str(rest).map_err(|_| bad());
        }
        Ok(["/bin/sh", "-c", rest].map(str::to_owned).to_vec())
    };
    let pair = || rest.split_once(['=', ' ']).ok_or_else(bad);
    match instruction.to_ascii_uppercase().as_str() {
        "CMD" => process.cmd = words()?,
        "ENTRYPOINT" => process.entrypoint = words()?,
        "ENV" => {
            let (name, value) = pair()?;
            process.env.push(format!("{name}={}", value.trim().trim_matches('"')));
        }
        "LABEL" => {
            let (name, value) = pair()?;
            process.labels.insert(name.to_owned(), value.trim().trim_matches('"').to_owned());
        }
        "USER" => process.user = rest.to_owned(),
        "WORKDIR" => process.working_dir = rest.to_owned(),
        "STOPSIGNAL" => process.stop_signal = rest.to_owned(),
        "EXPOSE" => {
            let port = if rest.contains('/') { rest.to_owned() } else { format!("{rest}/tcp") };
            process.exposed_ports.insert(port, serde_json::json!({}));
        }
        "VOLUME" => {
            process.volumes.insert(rest.to_owned(), serde_json::json!({}));
        }
        _ => return Err(bad()),
    }
    Ok(())
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
}
