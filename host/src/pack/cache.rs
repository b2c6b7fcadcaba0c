//! The user's cache of root images: `images/SHA256.erofs`, and `recipes/HASH`, which names the image that a
//! recipe gave.
//!
//! Files appear under their names whole, by renaming, so any number of packers may work at once; the worst is
//! that two make the same image, and the second replaces the first with the same bytes. Nothing is synced to
//! disk: after a crash of the machine a file may be cut off, so its size is part of what is noted. `crate::cache` keeps it
//! within bounds.

use std::fs;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use husk_erofs_build::Hashed;
use tempfile::NamedTempFile;

use super::error::PackError;
use super::root::{Root, hex};
use crate::cache::{self as bounds, Rule};

/// Temporary files begin so.
const TEMPORARY: &str = ".packing-";

/// An image in the cache.
pub(super) struct Stored {
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) size: u64,
}

/// Writes a root as an image, unless its recipe has been followed before. `label` is for the progress line.
pub(super) fn store(cache: &Path, root: &Root, label: &str) -> Result<Stored, PackError> {
    let images = cache.join("images");
    let recipe = cache.join("recipes").join(root.recipe());
    if let Some(stored) = recall(&images, &recipe) {
        return Ok(stored);
    }
    fs::create_dir_all(&images).map_err(PackError::io(&images))?;
    let mut file = temporary(&images)?;
    let told = Told { out: BufWriter::new(file.as_file_mut()), progress: Progress::new(label) };
    let mut out = Hashed::new(told);
    let size = root.tree().write(&mut out)?;
    let sum = hex(&out.sum());
    drop(out);
    let path = images.join(format!("{sum}.erofs"));
    file.persist(&path).map_err(|error| PackError::io(&path)(error.error))?;
    put(&recipe, format!("{sum} {size}\n").as_bytes())?;
    // It is as long as it is because of what is added; a cache that cannot be swept only grows.
    let _ = bounds::sweep(cache, Rule::Bound, false);
    Ok(Stored { path, size })
}

/// The image that a recipe gave earlier.
fn recall(images: &Path, recipe: &Path) -> Option<Stored> {
    let text = fs::read_to_string(recipe).ok()?;
    let (sum, size) = text.trim_end().split_once(' ')?;
    let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = images.join(format!("{sum}.erofs"));
    let size = size.parse().ok()?;
    (is_sum && fs::metadata(&path).is_ok_and(|stat| stat.len() == size) && bounds::touch(&path))
        .then_some(Stored { path, size })
}

/// Puts a small file in its place, whole.
pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), PackError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(PackError::io(dir))?;
    let mut file = temporary(dir)?;
    file.write_all(bytes).map_err(PackError::io(path))?;
    file.persist(path).map_err(|error| PackError::io(path)(error.error))?;
    Ok(())
}

fn temporary(dir: &Path) -> Result<NamedTempFile, PackError> {
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(PackError::io(dir))
}

/// Tells of what it passes on.
struct Told<W> {
    out: W,
    progress: Progress,
}

impl<W: Write> Write for Told<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.progress.add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A line on stderr, if that is a terminal, for images big enough that one waits for them.
struct Progress {
    label: String,
    is_shown: bool,
    written: u64,
    told: u64,
}

/// How often the line changes.
const PROGRESS_STEP: u64 = 16 << 20;

impl Progress {
    fn new(label: &str) -> Self {
        let printable = |character: char| if character.is_control() { '?' } else { character };
        let label = label.chars().map(printable).collect();
        Self { label, is_shown: std::io::stderr().is_terminal(), written: 0, told: 0 }
    }

    fn add(&mut self, count: u64) {
        self.written += count;
        if self.is_shown && self.written - self.told >= PROGRESS_STEP {
            self.told = self.written;
            eprint!("\r\x1b[Khusk: packing {}: {} MiB", self.label, self.written >> 20);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.told > 0 {
            eprint!("\r\x1b[K");
        }
    }
}
