//! Named volumes: directories of the user's, `NAME/_data` below the store's.
//!
//! A volume that is empty may get what an image has where it is mounted. That is copied beside it (`NAME/copy`, which is
//! called `NAME/new` once it is whole) and then moved in, entry by entry, since other guests may have the volume already.
//! `NAME/filling` is locked meanwhile; what a crash left half moved, the next one moves.
//!
//! `NAME/lock` is held shared by the state server of each guest that uses the volume, and exclusively by who removes it.

use crate::mount::is_volume_name;
use rustix::fs::{AtFlags, CWD, FlockOperation, Timespec, Timestamps, flock};
use rustix::io::Errno;
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
    #[error("{0}: it cannot be filled with what the image has there: {1}; `:nocopy` leaves it empty")]
    Fill(String, Box<dyn std::error::Error>),
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

impl Held {
    /// Gives the volume, if it is empty, what `make` makes at the path that it is given. `make` says whether there is
    /// anything.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Fill`].
    pub fn fill(
        &self,
        make: impl FnOnce(&Path) -> Result<bool, Box<dyn std::error::Error>>,
    ) -> Result<(), StoreError> {
        let data = &self.volume.data;
        let folder = data.parent().unwrap_or(data);
        let (copy, new) = (folder.join("copy"), folder.join("new"));
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        let is_empty =
            || fs::read_dir(data).map(|mut entries| entries.next().is_none()).map_err(failed(data));
        if !is_empty()? && !is_there(&new) && !is_there(&copy) {
            return Ok(());
        }
        let path = folder.join("filling");
        let lock =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(failed(&path))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(&path)(error.into()))?;
        if is_there(&copy) {
            remove_all(&copy)?;
        }
        if !is_there(&new) {
            if !is_empty()? {
                return Ok(());
            }
            match make(&copy) {
                Ok(true) => fs::rename(&copy, &new).map_err(failed(&new))?,
                Ok(false) => return Ok(()),
                Err(error) => {
                    let _ = remove_all(&copy);
                    return Err(StoreError::Fill(self.volume.name.clone(), error));
                }
            }
        }
        self.move_in(&new)
    }

    /// Moves all of a directory into the volume, and gives the volume its attributes.
    fn move_in(&self, new: &Path) -> Result<(), StoreError> {
        use std::os::unix::fs::MetadataExt;
        let data = &self.volume.data;
        let of_new = fs::metadata(new).map_err(failed(new))?;
        for entry in fs::read_dir(new).map_err(failed(new))? {
            let entry = entry.map_err(failed(new))?;
            let to = data.join(entry.file_name());
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(CWD, entry.path(), CWD, &to, flags) {
                // A guest that had the volume before was quicker.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(&to)(error.into())),
            }
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(data, Some(of_new.uid()), Some(of_new.gid())).map_err(failed(data))?;
        }
        fs::set_permissions(data, of_new.permissions()).map_err(failed(data))?;
        let time = Timespec { tv_sec: of_new.mtime(), tv_nsec: of_new.mtime_nsec() };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, data, &times, AtFlags::empty())
            .map_err(|error| failed(data)(error.into()))?;
        remove_all(new)
    }
}

/// Removes a directory and all that is in it, whatever its directories allow.
fn remove_all(path: &Path) -> Result<(), StoreError> {
    let mut todo = vec![path.to_path_buf()];
    while let Some(directory) = todo.pop() {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).map_err(failed(&directory))?;
        for entry in fs::read_dir(&directory).map_err(failed(&directory))?.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(path).map_err(failed(path))
}

impl Store {
    /// The user's store: `$XDG_DATA_HOME/husk/volumes`, `~/.local/share/husk/volumes`, or root's `/var/lib/husk/volumes`.
    ///
    /// # Errors
    /// [`StoreError::NoStore`], [`StoreError::Io`].
    pub fn open_default() -> Result<Self, StoreError> {
        Self::open(&husk_home::data().ok_or(StoreError::NoStore)?.join("volumes"))
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
            Err(Errno::WOULDBLOCK) => Ok(None),
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
        remove_all(&volume.data)?;
        remove_all(&self.path(name)?)
    }
}
