//! Named volumes: directories of the user's, `NAME/_data` below the store's.
//!
//! `NAME/lock` is held shared by the state server of each guest that uses the volume, and exclusively by who removes it.

use crate::mount::is_volume_name;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The store, by its directory.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// What went wrong with which volume.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}: no volume has that name; `husk volume ls` lists them")]
    Unknown(String),
    #[error("{0}: a volume's name is letters, digits, `_`, `.` and `-`, the first a letter or digit")]
    Name(String),
    #[error("{0}: a guest that runs uses it; see `husk ps`")]
    Used(String),
    #[error("neither XDG_DATA_HOME nor HOME says where volumes are kept")]
    NoStore,
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |error| StoreError::Io { path: path.to_path_buf(), error }
}

/// A volume of the store.
#[derive(Clone, Debug)]
pub struct Volume {
    pub name: String,
    /// Where its files are.
    pub data: PathBuf,
    pub created: Option<SystemTime>,
}

/// A volume that cannot be removed as long as this is open.
#[derive(Debug)]
pub struct Held {
    pub volume: Volume,
    pub lock: File,
    /// It was just made.
    pub is_new: bool,
}

impl Store {
    /// The user's store: `$XDG_DATA_HOME/husk/volumes`, `~/.local/share/husk/volumes`, or root's `/var/lib/husk/volumes`.
    ///
    /// # Errors
    /// [`StoreError::NoStore`], [`StoreError::Io`].
    pub fn open_default() -> Result<Self, StoreError> {
        let absolute =
            |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || {
            if rustix::process::geteuid().is_root() {
                Some(PathBuf::from("/var/lib"))
            } else {
                Some(absolute("HOME")?.join(".local/share"))
            }
        };
        let base = absolute("XDG_DATA_HOME").or_else(home).ok_or(StoreError::NoStore)?;
        Self::open(&base.join("husk/volumes"))
    }

    /// A store at a directory, which is made.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(failed(path))?;
        Ok(Self(path.to_path_buf()))
    }

    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        if is_volume_name(name.as_bytes()) {
            Ok(self.0.join(name))
        } else {
            Err(StoreError::Name(name.into()))
        }
    }

    fn volume(&self, name: &str) -> Result<Volume, StoreError> {
        let data = self.path(name)?.join("_data");
        match fs::symlink_metadata(&data) {
            Ok(found) if found.is_dir() => {
                let created = found.created().or_else(|_| found.modified()).ok();
                Ok(Volume { name: name.into(), data, created })
            }
            Ok(_) => Err(StoreError::Unknown(name.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Unknown(name.into())),
            Err(error) => Err(failed(&data)(error)),
        }
    }

    /// A volume by its name, made if need be, and kept from being removed.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`].
    pub fn hold(&self, name: &str) -> Result<Held, StoreError> {
        let folder = self.path(name)?;
        let data = folder.join("_data");
        loop {
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
            let lock_path = folder.join("lock");
            let lock = match File::options().create(true).truncate(false).write(true).open(&lock_path) {
                Ok(lock) => lock,
                // Removed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&lock_path)(error)),
            };
            flock(&lock, FlockOperation::LockShared).map_err(|error| failed(&lock_path)(error.into()))?;
            let is_new = match fs::create_dir(&data) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&data)(error)),
            };
            // The lock counts if it is still the one that others will find.
            use std::os::unix::fs::MetadataExt;
            let ours = lock.metadata().map(|found| (found.dev(), found.ino()));
            let theirs = fs::metadata(&lock_path).map(|found| (found.dev(), found.ino()));
            if matches!((ours, theirs), (Ok(ours), Ok(theirs)) if ours == theirs) {
                return Ok(Held { volume: self.volume(name)?, lock, is_new });
            }
        }
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn list(&self) -> Result<Vec<Volume>, StoreError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed(&self.0))? {
            let name = entry.map_err(failed(&self.0))?.file_name();
            if let Some(volume) = name.to_str().and_then(|name| self.volume(name).ok()) {
                found.push(volume);
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// A volume by its name.
    ///
    /// # Errors
    /// [`StoreError::Unknown`], [`StoreError::Name`], [`StoreError::Io`].
    pub fn get(&self, name: &str) -> Result<Volume, StoreError> {
        self.volume(name)
    }

    /// Whether a guest that runs uses a volume.
    ///
    /// # Errors
    /// [`StoreError::Name`], [`StoreError::Io`].
    pub fn is_used(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.lock_alone(name)?.is_none())
    }

    /// The volume's lock, unless somebody has it.
    fn lock_alone(&self, name: &str) -> Result<Option<File>, StoreError> {
        let path = self.path(name)?.join("lock");
        let lock = match File::options().create(true).truncate(false).write(true).open(&path) {
            Ok(lock) => lock,
            Err(error) => return Err(failed(&path)(error)),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(lock)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed(&path)(error.into())),
        }
    }

    /// Removes a volume and all that is in it.
    ///
    /// # Errors
    /// All of [`StoreError`].
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let volume = self.volume(name)?;
        let _lock = self.lock_alone(name)?.ok_or_else(|| StoreError::Used(name.into()))?;
        fs::remove_dir_all(&volume.data).map_err(failed(&volume.data))?;
        let folder = self.path(name)?;
        fs::remove_dir_all(&folder).map_err(failed(&folder))
    }
}
