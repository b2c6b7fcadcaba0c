//! The stores of podman and Docker on this host.
//!
//! Both keep a layer unpacked, and beside it a *tar-split*: the layer's tar without the files' contents. From the two the
//! tar is made again, and its diff-id tells whether it is the very same.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::config::{self, media};
use crate::source::{Advance, Counted, Source};
use crate::store::Session;
use crate::{Config, Descriptor, Digest, ImageError, Manifest, Reference, layer};

/// An image of a local store.
pub struct Local {
    name: String,
    reference: Option<Reference>,
    config: Vec<u8>,
    manifest: Manifest,
    /// By diff-id: the tar-split and the directory with the layer's files.
    layers: HashMap<Digest, (PathBuf, PathBuf)>,
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ImageError> {
    config::parse(&path.display().to_string(), &fs::read(path).map_err(ImageError::io(path))?)
}

impl Local {
    fn new(
        name: String,
        reference: Option<Reference>,
        config_bytes: Vec<u8>,
        layers: HashMap<Digest, (PathBuf, PathBuf)>,
    ) -> Result<Self, ImageError> {
        let config: Config = config::parse(&name, &config_bytes)?;
        // The size of the tar is not noted anywhere; the split's stands in for it in progress.
        let descriptor = |media_type: &str, digest: &Digest, size| Descriptor {
            media_type: media_type.to_owned(),
            digest: digest.clone(),
            size,
            platform: None,
            annotations: None,
        };
        let mut described = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            let (split, _) = layers.get(diff_id).ok_or_else(|| {
                ImageError::document(&name, format!("the layer {diff_id} is not in that store"))
            })?;
            let size = fs::metadata(split).map_err(ImageError::io(split))?.len();
            described.push(descriptor(media::LAYER, diff_id, size));
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: descriptor(media::CONFIG, &Digest::of(&config_bytes), config_bytes.len() as u64),
            layers: described,
            annotations: None,
        };
        Ok(Self { name, reference, config: config_bytes, manifest, layers })
    }
}

impl Source for Local {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn reference(&self) -> Option<Reference> {
        self.reference.clone()
    }

    fn manifest(&self) -> Result<Vec<u8>, ImageError> {
        Ok(config::encode(&self.manifest))
    }

    fn blob<'a>(
        &'a self,
        _: &'a Session,
        descriptor: &'a Descriptor,
        advance: Advance<'a>,
    ) -> Result<Box<dyn Read + Send + 'a>, ImageError> {
        if descriptor.digest == self.manifest.config.digest {
            return Ok(Box::new(self.config.as_slice()));
        }
        let found = self.layers.get(&descriptor.digest);
        let (split, folder) = found.ok_or_else(|| ImageError::document(&self.name, "no such blob"))?;
        Ok(Box::new(Counted { inner: Rebuilt::open(split, folder)?, advance }))
    }
}

/// A part of a tar-split.
#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    name: Option<String>,
    /// Names that are no UTF-8.
    #[serde(default)]
    name_raw: Option<String>,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    payload: Option<String>,
}

const FILE: u8 = 1;
const SEGMENT: u8 = 2;
/// Longest line of a tar-split.
const LINE_MAX: u64 = 16 << 20;

/// A layer's tar, made again.
struct Rebuilt {
    pieces: BufReader<Box<dyn Read + Send>>,
    folder: PathBuf,
    now: Box<dyn Read + Send>,
}

impl Rebuilt {
    fn open(split: &Path, folder: &Path) -> Result<Self, ImageError> {
        let file = File::open(split).map_err(ImageError::io(split))?;
        Ok(Self {
            pieces: BufReader::new(layer::uncompressed(file)?),
            folder: folder.to_path_buf(),
            now: Box::new(io::empty()),
        })
    }

    fn next(&mut self) -> io::Result<Option<Box<dyn Read + Send>>> {
        let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("tar-split: {why}"));
        let mut line = Vec::new();
        self.pieces.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let piece: Piece = serde_json::from_slice(&line)?;
        match piece.kind {
            SEGMENT => {
                let bytes =
                    STANDARD.decode(piece.payload.unwrap_or_default()).map_err(|_| bad("no base64"))?;
                Ok(Some(Box::new(io::Cursor::new(bytes))))
            }
            FILE => {
                let size = piece.size.unwrap_or(0);
                if size == 0 {
                    return Ok(Some(Box::new(io::empty())));
                }
                let name = match (piece.name_raw, piece.name) {
                    (Some(raw), _) => STANDARD.decode(raw).map_err(|_| bad("no base64"))?,
                    (None, name) => name.unwrap_or_default().into_bytes(),
                };
                let name = Path::new(std::ffi::OsStr::from_bytes(&name));
                let mut path = self.folder.clone();
                for part in name.components() {
                    match part {
                        Component::Normal(part) => path.push(part),
                        Component::RootDir | Component::CurDir => {}
                        _ => return Err(bad("a name leads out")),
                    }
                }
                let file = File::open(&path).map_err(|error| {
                    // Files of a rootless store belong to ids that only its user namespace may read.
                    let hint = match error.kind() {
                        io::ErrorKind::PermissionDenied => "; `podman unshare husk pull …` may read it",
                        _ => "",
                    };
                    io::Error::new(error.kind(), format!("{}: {error}{hint}", path.display()))
                })?;
                Ok(Some(Box::new(file.take(size))))
            }
            _ => Err(bad("a part of no known type")),
        }
    }
}

impl Read for Rebuilt {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.now.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.next()? {
                Some(next) => self.now = next,
                None => return Ok(0),
            }
        }
    }
}

#[derive(Deserialize)]
struct PodmanImage {
    id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    layer: String,
}

#[derive(Deserialize)]
struct PodmanLayer {
    id: String,
    #[serde(default)]
    parent: Option<String>,
    #[serde(default, rename = "diff-digest")]
    diff_digest: Option<Digest>,
}

/// Storage drivers whose layers are directories of files.
const DRIVERS: [&str; 2] = ["overlay", "vfs"];

/// The parts of containers-storage.conf(5) that say where podman's store is.
#[derive(Deserialize, Default)]
struct StorageFile {
    #[serde(default)]
    storage: Storage,
}

#[derive(Deserialize, Default)]
struct Storage {
    graphroot: Option<PathBuf>,
    rootless_storage_path: Option<String>,
}

/// Podman's store: CONTAINERS_STORAGE_CONF or the first storage.conf names it, or it is where podman puts it by itself.
fn podman_root() -> Result<PathBuf, ImageError> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = variable("HOME").unwrap_or_default();
    let is_root = husk_home::is_root();
    let own = variable("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let files = [
        variable("CONTAINERS_STORAGE_CONF"),
        (!is_root).then(|| own.join("containers/storage.conf")),
        Some("/etc/containers/storage.conf".into()),
        Some("/usr/share/containers/storage.conf".into()),
    ];
    for path in files.into_iter().flatten() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let file: StorageFile = toml::from_str(&text)
            .map_err(|error| ImageError::document(&path.display().to_string(), error.message()))?;
        if is_root {
            if let Some(root) = file.storage.graphroot {
                return Ok(root);
            }
        } else if let Some(root) = file.storage.rootless_storage_path {
            let uid = rustix::process::geteuid().as_raw().to_string();
            return Ok(root.replace("$HOME", &home.to_string_lossy()).replace("$UID", &uid).into());
        } else if path.starts_with(&own)
            && let Some(root) = file.storage.graphroot
        {
            return Ok(root);
        }
    }
    Ok(if is_root {
        PathBuf::from("/var/lib/containers/storage")
    } else {
        let data = variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
        data.join("containers/storage")
    })
}

/// An image of podman's store by name or id. `[DRIVER@GRAPHROOT+RUNROOT]` in front of it names another store.
///
/// # Errors
/// [`ImageError::NoImage`], [`ImageError::Io`], [`ImageError::Document`].
pub fn podman(text: &str) -> Result<Local, ImageError> {
    let Some((place, name)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return podman_at(&podman_root()?, text);
    };
    let place = place.split_once('@').map_or(place, |(_, root)| root);
    let root = place.split_once('+').map_or(place, |(root, _)| root);
    podman_at(Path::new(root), name)
}

fn podman_at(root: &Path, text: &str) -> Result<Local, ImageError> {
    let list = |driver: &&str| root.join(format!("{driver}-images/images.json"));
    let driver = DRIVERS.into_iter().find(|driver| list(driver).exists()).ok_or_else(|| {
        ImageError::Other(format!(
            "{}: podman has no images there (of the driver overlay or vfs)",
            root.display()
        ))
    })?;
    let images: Vec<PodmanImage> = read(&list(&driver))?;
    let wanted: Option<Reference> = text.parse().ok();
    // podman's own images have the registry localhost.
    let own: Option<Reference> = format!("localhost/{text}").parse().ok();
    let has = |image: &PodmanImage, wanted: &Option<Reference>| {
        let names = image.names.iter().flatten().filter_map(|name| name.parse::<Reference>().ok());
        wanted.is_some() && names.map(Some).any(|name| name == *wanted)
    };
    let is_id = |image: &&PodmanImage| text.len() >= 6 && image.id.starts_with(text);
    let named = |wanted| images.iter().find(|image| has(image, wanted));
    let image = named(&own).or_else(|| named(&wanted)).or_else(|| images.iter().find(is_id));
    let image = image.ok_or_else(|| ImageError::NoImage(format!("containers-storage:{text}")))?;
    let id: Digest = format!("sha256:{}", image.id).parse()?;
    let file = format!("={}", STANDARD.encode(id.to_string()));
    let path = root.join(format!("{driver}-images")).join(id.hex()).join(file);
    let config = fs::read(&path).map_err(ImageError::io(&path))?;
    let folder = root.join(format!("{driver}-layers"));
    let all: Vec<PodmanLayer> = read(&folder.join("layers.json"))?;
    let by_id: HashMap<&str, &PodmanLayer> = all.iter().map(|layer| (layer.id.as_str(), layer)).collect();
    let mut layers = HashMap::new();
    let mut next = Some(image.layer.as_str());
    while let Some(layer) = next.and_then(|id| by_id.get(id)) {
        if layers.len() > 256 || layer.id.contains('/') {
            return Err(ImageError::document(text, "its layers lead in circles"));
        }
        if let Some(diff_id) = &layer.diff_digest {
            let split = folder.join(format!("{}.tar-split.gz", layer.id));
            let files = match driver {
                "vfs" => root.join("vfs/dir").join(&layer.id),
                _ => root.join(driver).join(&layer.id).join("diff"),
            };
            layers.insert(diff_id.clone(), (split, files));
        }
        next = layer.parent.as_deref();
    }
    let named = image.names.iter().flatten().find_map(|name| name.parse().ok());
    Local::new(format!("containers-storage:{text}"), named, config, layers)
}

/// An image of Docker's store (of the overlay2 driver) by name or id, for a daemon that does not run.
///
/// # Errors
/// [`ImageError::NoImage`], [`ImageError::Io`], [`ImageError::Document`].
pub fn docker(text: &str) -> Result<Local, ImageError> {
    docker_at(Path::new("/var/lib/docker"), text)
}

#[derive(Deserialize)]
struct Repositories {
    #[serde(rename = "Repositories")]
    all: BTreeMap<String, BTreeMap<String, Digest>>,
}

fn docker_at(root: &Path, text: &str) -> Result<Local, ImageError> {
    let images = root.join("image/overlay2");
    let repositories: Repositories = read(&images.join("repositories.json"))?;
    let wanted: Option<Reference> = text.parse().ok();
    let named = repositories.all.values().flatten().find_map(|(name, id)| {
        let name: Reference = name.parse().ok()?;
        (Some(&name) == wanted.as_ref()).then(|| (Some(name), id.clone()))
    });
    let by_id = || {
        let folder = images.join("imagedb/content/sha256");
        let mut names = fs::read_dir(folder)
            .ok()?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let id = names.find(|name| text.len() >= 6 && name.starts_with(text))?;
        Some((None, format!("sha256:{id}").parse().ok()?))
    };
    let found = named.or_else(by_id);
    let (reference, id): (Option<Reference>, Digest) =
        found.ok_or_else(|| ImageError::NoImage(format!("docker-daemon:{text}")))?;
    let path = images.join("imagedb/content/sha256").join(id.hex());
    let bytes = fs::read(&path).map_err(ImageError::io(&path))?;
    let config: Config = config::parse(&path.display().to_string(), &bytes)?;
    let mut layers = HashMap::new();
    let mut chain: Option<Digest> = None;
    for diff_id in &config.rootfs.diff_ids {
        // A chain's id is of all below it too.
        let id = chain
            .map_or_else(|| diff_id.clone(), |chain| Digest::of(format!("{chain} {diff_id}").as_bytes()));
        let folder = images.join("layerdb/sha256").join(id.hex());
        let path = folder.join("cache-id");
        let cache = fs::read_to_string(&path).map_err(ImageError::io(&path))?;
        let cache = cache.trim();
        if cache.is_empty() || cache.contains('/') {
            return Err(ImageError::document(&path.display().to_string(), "no name of a directory"));
        }
        let files = root.join("overlay2").join(cache).join("diff");
        layers.insert(diff_id.clone(), (folder.join("tar-split.json.gz"), files));
        chain = Some(id);
    }
    Local::new(format!("docker-daemon:{text}"), reference, bytes, layers)
}
