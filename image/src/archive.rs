//! Files by name, in a directory or in a tar; and Docker's archives (`docker save`), which are such files.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tar_core::EntryType;
use tar_core::parse::{Limits, ParseEvent, Parser};

use crate::config::{self, DOCUMENT_MAX, media};
use crate::source::{Advance, Counted, Source};
use crate::store::Session;
use crate::{Config, Descriptor, Digest, ImageError, Manifest, Reference, layer};

/// A directory or a tar, compressed or not.
pub(crate) enum Files {
    Directory(PathBuf),
    Tar { path: PathBuf, file: Arc<File>, entries: HashMap<String, Entry> },
}

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    File { at: u64, size: u64 },
    Link(String),
}

/// Most entries of an archive of images.
const ENTRIES_MAX: usize = 100_000;

impl Files {
    /// Opens a tar; `-` is stdin. One that is compressed, or no file, is unpacked to a temporary file first.
    pub(crate) fn tar(path: &Path) -> Result<Self, ImageError> {
        let what = path.display().to_string();
        let mut file = if path == Path::new("-") {
            spool(io::stdin().lock(), &what)?
        } else {
            File::open(path).map_err(ImageError::io(path))?
        };
        if !file.metadata().map_err(ImageError::io(path))?.is_file() {
            file = spool(file, &what)?;
        }
        let mut head = [0; 6];
        let len = file.read_at(&mut head, 0).map_err(ImageError::io(path))?;
        let compressed: [&[u8]; 4] =
            [&[0x1f, 0x8b], &[0x28, 0xb5, 0x2f, 0xfd], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z']];
        if compressed.iter().any(|magic| head[..len].starts_with(magic)) {
            file = spool(layer::uncompressed(file)?, &what)?;
        }
        Self::scanned(path, file)
    }

    /// Keeps a plain tar in a temporary file; `path` is what errors call it.
    pub(crate) fn of_reader(reader: impl Read, path: &Path) -> Result<Self, ImageError> {
        let file = spool(reader, &path.display().to_string())?;
        Self::scanned(path, file)
    }

    fn scanned(path: &Path, file: File) -> Result<Self, ImageError> {
        let entries = scan(&file, &path.display().to_string())?;
        Ok(Self::Tar { path: path.to_path_buf(), file: Arc::new(file), entries })
    }

    pub(crate) fn what(&self) -> String {
        match self {
            Self::Directory(path) | Self::Tar { path, .. } => path.display().to_string(),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(path) => path.join(name).exists(),
            Self::Tar { entries, .. } => entries.contains_key(name),
        }
    }

    /// The tar itself.
    pub(crate) fn whole(&self) -> Result<Box<dyn Read + Send>, ImageError> {
        match self {
            Self::Directory(path) => Err(ImageError::document(&path.display().to_string(), "a directory")),
            Self::Tar { file, path, .. } => {
                let left = file.metadata().map_err(ImageError::io(path))?.len();
                Ok(Box::new(Part { file: file.clone(), at: 0, left }))
            }
        }
    }

    /// A file's bytes and its size.
    pub(crate) fn open(&self, name: &str) -> Result<(Box<dyn Read + Send>, u64), ImageError> {
        match self {
            Self::Directory(path) => {
                let path = path.join(name);
                let file = File::open(&path).map_err(ImageError::io(&path))?;
                let size = file.metadata().map_err(ImageError::io(&path))?.len();
                Ok((Box::new(file), size))
            }
            Self::Tar { file, entries, .. } => {
                let missing = || ImageError::document(&self.what(), format!("there is no {name} in it"));
                let mut name = normal(name);
                // Docker writes a layer that several images share once, and links to it.
                for _ in 0..8 {
                    match entries.get(&name).ok_or_else(missing)? {
                        Entry::File { at, size } => {
                            return Ok((Box::new(Part { file: file.clone(), at: *at, left: *size }), *size));
                        }
                        Entry::Link(target) => name = target.clone(),
                    }
                }
                Err(missing())
            }
        }
    }

    /// A small file's bytes.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, ImageError> {
        let (reader, size) = self.open(name)?;
        if size > DOCUMENT_MAX {
            return Err(ImageError::document(&self.what(), format!("{name} is too big")));
        }
        let mut bytes = Vec::new();
        reader.take(DOCUMENT_MAX).read_to_end(&mut bytes).map_err(ImageError::read(&self.what()))?;
        Ok(bytes)
    }
}

/// A part of a file.
struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut buffer[..room], self.at)?;
        if count == 0 && room > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

fn spool(mut reader: impl Read, what: &str) -> Result<File, ImageError> {
    let mut file = tempfile::tempfile().map_err(ImageError::read("temporary file"))?;
    io::copy(&mut reader, &mut file).map_err(ImageError::read(what))?;
    Ok(file)
}

fn normal(name: &str) -> String {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where the files of a tar are in it.
fn scan(file: &File, what: &str) -> Result<HashMap<String, Entry>, ImageError> {
    let bad = |why: String| ImageError::document(what, why);
    let mut parser = Parser::new(Limits { max_path_len: Some(4096), ..Limits::default() });
    let mut entries = HashMap::new();
    let mut at = 0_u64;
    let mut buffer = vec![0; 4096];
    let mut want = 4096;
    loop {
        buffer.resize(want.max(4096), 0);
        let mut len = 0;
        while len < buffer.len() {
            match file.read_at(&mut buffer[len..], at + len as u64).map_err(ImageError::read(what))? {
                0 => break,
                count => len += count,
            }
        }
        if len == 0 {
            break;
        }
        match parser.parse(&buffer[..len]).map_err(|error| bad(format!("not a tar archive: {error}")))? {
            ParseEvent::NeedData { min_bytes } if len < min_bytes => {
                if buffer[..len].iter().all(|&byte| byte == 0) {
                    break;
                }
                return Err(bad("the archive is cut off".to_owned()));
            }
            ParseEvent::NeedData { min_bytes } => want = min_bytes,
            ParseEvent::Entry { consumed, entry } => {
                want = 4096;
                at += consumed as u64;
                let name = normal(&entry.path_lossy());
                let link = entry.link_target_lossy().unwrap_or_default();
                let found = match entry.entry_type {
                    EntryType::Regular | EntryType::Continuous => Some(Entry::File { at, size: entry.size }),
                    EntryType::Link => Some(Entry::Link(normal(&link))),
                    EntryType::Symlink => {
                        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                        Some(Entry::Link(normal(&format!("{folder}/{link}"))))
                    }
                    _ => None,
                };
                if let Some(Entry::File { size, .. }) = &found {
                    let padded = size.checked_next_multiple_of(512).and_then(|size| at.checked_add(size));
                    at = padded.ok_or_else(|| bad("an entry is too big".to_owned()))?;
                }
                if let Some(found) = found {
                    entries.insert(name, found);
                }
                if entries.len() > ENTRIES_MAX {
                    // No archive of images has so many: it is a root's tar, of which nothing is looked up.
                    return Ok(HashMap::new());
                }
            }
            ParseEvent::SparseEntry { consumed, entry, .. } => {
                // No image archive has one that matters; the tar of a root may.
                want = 4096;
                let padded = entry.size.checked_next_multiple_of(512).unwrap_or(u64::MAX);
                at = at.saturating_add(consumed as u64).saturating_add(padded);
            }
            ParseEvent::GlobalExtensions { consumed, .. } => {
                want = 4096;
                at += consumed as u64;
            }
            ParseEvent::End { .. } => break,
        }
    }
    Ok(entries)
}

/// An image of a Docker archive.
pub struct DockerArchive {
    files: Files,
    reference: Option<Reference>,
    manifest: Manifest,
    /// Where the configuration and each layer are, by the digest in the manifest.
    places: HashMap<Digest, String>,
}

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl DockerArchive {
    /// Opens the image of a name, or the only one.
    ///
    /// # Errors
    /// [`ImageError::Io`], [`ImageError::Document`].
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self, ImageError> {
        Self::of(Files::tar(path)?, name)
    }

    pub(crate) fn of(files: Files, name: Option<&str>) -> Result<Self, ImageError> {
        let what = files.what();
        let items: Vec<Item> =
            config::parse(&format!("{what}: manifest.json"), &files.read("manifest.json")?)?;
        let wanted = name.map(str::parse::<Reference>).transpose()?;
        let has = |item: &&Item| {
            let tags = item.repo_tags.iter().flatten();
            wanted.is_none()
                || tags.filter_map(|tag| tag.parse().ok()).any(|tag: Reference| Some(&tag) == wanted.as_ref())
        };
        let mut fitting = items.iter().filter(has);
        let names = || {
            let all: Vec<&str> =
                items.iter().flat_map(|item| item.repo_tags.iter().flatten()).map(String::as_str).collect();
            all.join(", ")
        };
        let item = fitting.next().ok_or_else(|| {
            ImageError::document(&what, format!("no image of that name; there are: {}", names()))
        })?;
        if fitting.next().is_some() {
            return Err(ImageError::document(&what, format!("several images: name one of {}", names())));
        }
        let first = item.repo_tags.iter().flatten().find_map(|tag| tag.parse().ok());
        let config_bytes = files.read(&item.config)?;
        let config: Config = config::parse(&format!("{what}: {}", item.config), &config_bytes)?;
        if config.rootfs.diff_ids.len() != item.layers.len() {
            return Err(ImageError::document(&what, "the configuration has another number of layers"));
        }
        let config_digest = Digest::of(&config_bytes);
        let mut places = HashMap::from([(config_digest.clone(), item.config.clone())]);
        let mut layers = Vec::new();
        for (name, diff_id) in item.layers.iter().zip(&config.rootfs.diff_ids) {
            layers.push(Descriptor {
                media_type: media::LAYER.to_owned(),
                digest: diff_id.clone(),
                size: files.open(name)?.1,
                platform: None,
                annotations: None,
            });
            places.insert(diff_id.clone(), name.clone());
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::MANIFEST.to_owned()),
            config: Descriptor {
                media_type: media::CONFIG.to_owned(),
                digest: config_digest,
                size: config_bytes.len() as u64,
                platform: None,
                annotations: None,
            },
            layers,
            annotations: None,
        };
        Ok(Self { files, reference: wanted.or(first), manifest, places })
    }
}

impl Source for DockerArchive {
    fn name(&self) -> String {
        format!("docker-archive:{}", self.files.what())
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
        let name = self.places.get(&descriptor.digest);
        let name = name.ok_or_else(|| ImageError::document(&self.name(), "no such blob"))?;
        Ok(Box::new(Counted { inner: self.files.open(name)?.0, advance }))
    }
}
