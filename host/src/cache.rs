//! The bounds of the user's cache: packed roots, and the layers of builds.
//!
//! Both can be made again, so what was used last is kept, up to [`MOST`] bytes of each kind. A file's use is its access time,
//! which common mount options keep to the day, and packers set where they find one. Nothing that was used in the last minute
//! is removed, nor what a running guest or a snapshot needs; a guest that has a root open keeps it, removed or not. Builds
//! hold the cache (`hold`), since they come back to layers that they have found; nothing is swept meanwhile.

use crate::running;
use husk_plan::{ImagePlan, Plan};
use rustix::fs::{CWD, FlockOperation, Timespec, Timestamps, flock};
use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Most bytes of packed roots, and most of layers.
pub const MOST: u64 = 4 << 30;
/// What was not used for so long is removed by itself.
const OLD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// What was not used for so long is removed when that is asked for.
const IDLE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Between finding a file and opening it no more time passes than this.
const GRACE: Duration = Duration::from_secs(60);
/// Files that a killed packer left go after this time.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// What is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// What is beyond [`MOST`], and what was not used for a month.
    Bound,
    /// What was not used for a week.
    Idle,
    /// All that nobody needs just now.
    All,
}

/// Files that went, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub files: usize,
    /// On disk.
    pub bytes: u64,
}

/// What a sweep removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Roots packed of programs and directories.
    pub roots: Count,
    /// Layers of builds.
    pub layers: Count,
}

fn lock(cache: &Path, how: FlockOperation) -> io::Result<File> {
    fs::create_dir_all(cache)?;
    let file = File::options().create(true).append(true).open(cache.join("lock"))?;
    flock(&file, how)?;
    Ok(file)
}

/// Keeps everything in the cache until the file is dropped.
///
/// # Errors
/// Those of making and locking the file.
pub fn hold(cache: &Path) -> io::Result<File> {
    lock(cache, FlockOperation::LockShared)
}

/// Notes that a file of the cache is used now. False: it is not there any more.
pub fn touch(path: &Path) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let same = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let times = Timestamps { last_access: now, last_modification: same };
    match rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => false,
        // On a file system that is read-only nothing is swept either.
        _ => true,
    }
}

/// Removes what `rule` says, or with `dry` only says what that is. `None`: somebody holds the cache or sweeps it.
///
/// # Errors
/// Those of reading the folders. What cannot be removed stays.
pub fn sweep(cache: &Path, rule: Rule, dry: bool) -> io::Result<Option<Swept>> {
    let Ok(_lock) = lock(cache, FlockOperation::NonBlockingLockExclusive) else { return Ok(None) };
    // As others have the paths of what they need.
    let cache = &fs::canonicalize(cache)?;
    let mut needed: HashSet<PathBuf> = husk_home::held::all(&cache.join("held")).into_iter().collect();
    needed.extend(running::list().unwrap_or_default().iter().map(running::Guest::root_image));
    let (images, build) = (cache.join("images"), cache.join("build"));
    let swept = Swept {
        roots: sweep_folder(&images, "erofs", rule, MOST, dry, &needed)?,
        layers: sweep_folder(&build, "layer", rule, MOST, dry, &needed)?,
    };
    if !dry {
        remove_temporary(&images, STALE);
        // No build runs.
        remove_temporary(&build, Duration::ZERO);
        if swept.roots.files > 0 {
            forget_removed(cache);
        }
    }
    Ok(Some(swept))
}

fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn age(time: SystemTime) -> Duration {
    SystemTime::now().duration_since(time).unwrap_or_default()
}

fn sweep_folder(
    folder: &Path,
    extension: &str,
    rule: Rule,
    most: u64,
    dry: bool,
    needed: &HashSet<PathBuf>,
) -> io::Result<Count> {
    let mut files = Vec::new();
    for entry in entries(folder)? {
        let path = entry.path();
        if path.extension() == Some(OsStr::new(extension))
            && let Ok(stat) = entry.metadata()
            && let (Ok(read), Ok(written)) = (stat.accessed(), stat.modified())
        {
            files.push((read.max(written), stat.blocks() * 512, path));
        }
    }
    files.sort();
    let (mut total, mut count) = (0, Count::default());
    for (used, bytes, path) in files.into_iter().rev() {
        total += bytes;
        let age = age(used);
        let is_due = match rule {
            Rule::Bound => total > most || age > OLD,
            Rule::Idle => age > IDLE,
            Rule::All => true,
        };
        if is_due && age > GRACE && !needed.contains(&path) && (dry || fs::remove_file(&path).is_ok()) {
            total -= bytes;
            count.files += 1;
            count.bytes += bytes;
        }
    }
    Ok(count)
}

/// Removes what was to become a file and did not: names with a dot in front.
fn remove_temporary(folder: &Path, least: Duration) {
    for entry in entries(folder).unwrap_or_default() {
        let is_temporary = entry.file_name().as_encoded_bytes().starts_with(b".");
        let is_old = entry.metadata().and_then(|stat| stat.modified()).is_ok_and(|time| age(time) >= least);
        if is_temporary && is_old {
            // Another process may have removed it first.
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

/// Removes recipes and plans that lead to files which are gone.
fn forget_removed(cache: &Path) {
    let path = |text: &CStr| PathBuf::from(OsStr::from_bytes(text.to_bytes()));
    for entry in entries(&cache.join("recipes")).unwrap_or_default() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let sum = text.split_whitespace().next().unwrap_or_default();
        if !cache.join("images").join(format!("{sum}.erofs")).exists() {
            let _ = fs::remove_file(entry.path());
        }
    }
    for entry in entries(&cache.join("run")).unwrap_or_default() {
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let is_live = match (Plan::decode(&bytes), ImagePlan::decode(&bytes)) {
            (Ok(plan), _) => path(plan.image()).exists(),
            (_, Ok(mut plan)) => plan.files.all(|(file, _)| path(file).exists()),
            _ => false,
        };
        if !is_live {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, bytes: u64, age: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = File::create(path).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
        let time = SystemTime::now() - Duration::from_secs(age);
        file.set_times(fs::FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
    }

    fn left(cache: &Path, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = entries(&cache.join(folder))
            .unwrap()
            .iter()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn what_was_used_last_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path();
        for (name, age) in [("new", 0), ("hour", 3600), ("week", 8 * DAY), ("month", 31 * DAY)] {
            put(&cache.join(format!("images/{name}.erofs")), 8192, age);
            put(&cache.join(format!("build/{name}.layer")), 4096, age);
        }
        put(&cache.join("images/.packing-new"), 1, 3600);
        put(&cache.join("images/.packing-old"), 1, 2 * DAY);
        put(&cache.join("build/.tmpscratch/root.erofs"), 1, 0);
        fs::write(folder.path().join("snapshot"), "").unwrap();
        husk_home::held::note(
            &cache.join("held"),
            &cache.join("snapshot"),
            &[cache.join("images/month.erofs")],
        )
        .unwrap();
        fs::create_dir(cache.join("recipes")).unwrap();
        for name in ["new", "week"] {
            fs::write(cache.join("recipes").join(name), format!("{name} 8192\n")).unwrap();
        }
        // Whoever holds it keeps all of it.
        let held = hold(cache).unwrap();
        assert_eq!(sweep(cache, Rule::All, false).unwrap(), None);
        drop(held);
        let one = |bytes| Count { files: 1, bytes };
        let would = sweep(cache, Rule::Bound, true).unwrap().unwrap();
        assert_eq!(would, Swept { roots: Count::default(), layers: one(4096) });
        assert_eq!(left(cache, "build").len(), 5);
        assert_eq!(sweep(cache, Rule::Bound, false).unwrap().unwrap(), would);
        assert_eq!(left(cache, "build"), ["hour.layer", "new.layer", "week.layer"]);
        let roots = left(cache, "images");
        assert_eq!(roots, [".packing-new", "hour.erofs", "month.erofs", "new.erofs", "week.erofs"]);
        assert_eq!(sweep(cache, Rule::Idle, false).unwrap().unwrap().roots, one(8192));
        assert_eq!(left(cache, "recipes"), ["new"]);
        // What was found a moment ago will be opened; what the snapshot needed goes with that.
        assert!(touch(&cache.join("images/hour.erofs")) && !touch(&cache.join("images/week.erofs")));
        fs::remove_file(cache.join("snapshot")).unwrap();
        assert_eq!(sweep(cache, Rule::All, false).unwrap().unwrap().roots, one(8192));
        assert_eq!(left(cache, "images"), [".packing-new", "hour.erofs", "new.erofs"]);
        assert_eq!(left(cache, "held"), Vec::<String>::new());
    }

    #[test]
    fn the_least_recently_used_go_beyond_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        for (name, age) in [("a", 300), ("b", 100), ("c", 200), ("d", 10)] {
            put(&folder.path().join(format!("images/{name}.erofs")), 8192, age);
        }
        let needed = HashSet::from([folder.path().join("images/a.erofs")]);
        let images = folder.path().join("images");
        let gone = sweep_folder(&images, "erofs", Rule::Bound, 20_000, false, &needed).unwrap();
        assert_eq!(gone, Count { files: 1, bytes: 8192 });
        assert_eq!(left(folder.path(), "images"), ["a.erofs", "b.erofs", "d.erofs"]);
        // Not even the bound takes what was used just now.
        sweep_folder(&images, "erofs", Rule::Bound, 0, false, &HashSet::new()).unwrap();
        assert_eq!(left(folder.path(), "images"), ["d.erofs"]);
    }
}
