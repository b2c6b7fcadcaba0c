//! Files that snapshots need: noted in a folder beside them, so that whoever sweeps there leaves them alone for as long as
//! the snapshot is where it was made.
//!
//! A note is a file named after the snapshot's path; in it are that path and those of the files, each ended by a NUL.

use std::ffi::OsString;
use std::hash::Hasher;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{fs, process};

/// FNV-1a, 64 bits, which is the same in every build.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Notes in `folder`, which is made, that the snapshot at `snapshot` needs `files`, and no others any more.
///
/// # Errors
/// Those of canonicalize and of writing the note.
pub fn note(folder: &Path, snapshot: &Path, files: &[PathBuf]) -> io::Result<()> {
    let snapshot = fs::canonicalize(snapshot)?;
    fs::create_dir_all(folder)?;
    let mut bytes = Vec::new();
    for path in std::iter::once(&snapshot).chain(files) {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(0);
    }
    let mut name = Fnv(0xcbf2_9ce4_8422_2325);
    name.write(snapshot.as_os_str().as_bytes());
    let path = folder.join(format!("{:016x}", name.finish()));
    let temporary = folder.join(format!(".{:016x}.{}", name.finish(), process::id()));
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, &path)
}

/// All files that snapshots need by the notes in `folder`. Notes of snapshots that are gone are removed.
#[must_use]
pub fn all(folder: &Path) -> Vec<PathBuf> {
    let mut held = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(bytes) = fs::read(entry.path()) else { continue };
        let mut paths = bytes
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
            .map(|path| PathBuf::from(OsString::from_vec(path.to_vec())));
        match paths.next() {
            Some(snapshot) if snapshot.exists() => held.extend(paths),
            // One that cannot be removed is looked at again.
            _ => drop(fs::remove_file(entry.path())),
        }
    }
    held
}
