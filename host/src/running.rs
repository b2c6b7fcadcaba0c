//! Guests that run: their directories, and their control sockets.
//!
//! The parent of a guest keeps `info` in the guest's directory locked for as long as it lives; a directory whose `info`
//! nobody has locked belongs to a guest that is no more, and is removed by whoever finds it.

use husk_abi::control::{MESSAGE_MAX, Record, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recv, recvmsg, send};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Why something could not be done with a guest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{0}: no such guest runs; `husk ps` lists those that do (one with `--no-fork` has no control socket)"
    )]
    NoSuchGuest(String),
    #[error(
        "{0}: not a guest's name: letters, digits, `_`, `.` and `-`, at most 64, the first a letter or digit"
    )]
    BadName(String),
    #[error("{path}: {source}")]
    Directory { path: PathBuf, source: io::Error },
    #[error("{0}: others could write there: it must be a directory of yours with mode 0700")]
    Untrusted(PathBuf),
    #[error("guest {id}: {source}")]
    Control { id: String, source: io::Error },
    #[error("guest {id}: cannot send it a signal: {source}")]
    Signal { id: String, source: io::Error },
    #[error("guest {0} has ended")]
    Ended(String),
    #[error(
        "guest {0} gave an answer that is none: its kernel is of another version, or the guest is hostile"
    )]
    BadAnswer(String),
}

/// Whether a guest may be called so.
pub fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A guest that runs.
#[derive(Clone, Debug)]
pub struct Guest {
    pub id: String,
    directory: PathBuf,
    /// What its parent wrote of it.
    info: BTreeMap<String, Vec<u8>>,
}

impl Guest {
    fn number(&self, name: &str) -> u64 {
        self.info
            .get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }

    fn text(&self, name: &str) -> OsString {
        OsString::from_vec(self.info.get(name).cloned().unwrap_or_default())
    }

    /// The host's id of the guest's parent, the `husk run` that waits for its end.
    pub fn pid(&self) -> u64 {
        self.number("pid")
    }

    /// `kvm` or `process`.
    pub fn tender(&self) -> String {
        self.text("tender").to_string_lossy().into_owned()
    }

    /// The program, as the guest names it.
    pub fn program(&self) -> OsString {
        self.text("program")
    }

    pub fn root_image(&self) -> PathBuf {
        self.text("root").into()
    }

    /// The files of the root image and their bytes, where it is one of several.
    pub fn root_files(&self) -> Vec<(PathBuf, u64)> {
        let files =
            self.info.iter().filter(|(name, _)| name.starts_with("root-0") || name.starts_with("root-1"));
        let of = |value: &Vec<u8>| {
            let colon = value.iter().position(|byte| *byte == b':')?;
            let size = std::str::from_utf8(&value[..colon]).ok()?.parse().ok()?;
            Some((OsString::from_vec(value[colon + 1..].to_vec()).into(), size))
        };
        files.filter_map(|(_, value)| of(value)).collect()
    }

    /// The signal by which it wants to be stopped.
    pub fn stop_signal(&self) -> u32 {
        self.number("stop") as u32
    }

    /// Asks it to end, kills it if it has not after `patience`, and returns when it has ended.
    ///
    /// # Errors
    /// [`Error::Signal`].
    pub fn stop(&self, patience: Duration) -> Result<(), Error> {
        let fail = |error: Errno| Error::Signal { id: self.id.clone(), source: error.into() };
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let parent = match pid.ok_or(Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            Ok(parent) => parent,
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(fail(error)),
        };
        // It held the lock of `info` after its number was opened: the number is not yet somebody else's.
        if !list()?.iter().any(|guest| guest.id == self.id && guest.pid() == self.pid()) {
            return Ok(());
        }
        for (signal, patience) in [(Signal::TERM, Some(patience)), (Signal::KILL, None)] {
            match pidfd_send_signal(&parent, signal) {
                Err(Errno::SRCH) => return Ok(()),
                result => result.map_err(fail)?,
            }
            if has_ended(&parent, patience).map_err(fail)? {
                break;
            }
        }
        // Removes the directory of one that was killed.
        list().map(|_| ())
    }

    /// Where the root image begins in its file, and its bytes.
    pub fn root_place(&self) -> (u64, u64) {
        (self.number("root-offset"), self.number("root-len"))
    }

    pub fn memory(&self) -> u64 {
        self.number("memory")
    }

    pub fn cpus(&self) -> u32 {
        self.number("cpus") as u32
    }

    /// FLAG_* of the boot block.
    pub fn flags(&self) -> u64 {
        self.number("flags")
    }

    /// Whether a state server serves volumes to it.
    pub fn has_volumes(&self) -> bool {
        self.number("volumes") != 0
    }

    /// SHA-256 of the kernel image.
    pub fn kernel(&self) -> [u8; 32] {
        let digits = self.info.get("kernel").cloned().unwrap_or_default();
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
        }
        id
    }

    /// When it was started.
    pub fn started(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.number("started"))
    }

    /// Connects to the guest's control socket. It may take until another client has gone.
    pub fn connect(&self) -> Result<Lease, Error> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => Error::Ended(self.id.clone()),
            _ => Error::Control { id: self.id.clone(), source },
        };
        // Short enough for an address, whatever the directory is called.
        let directory = File::open(&self.directory).map_err(fail)?;
        let path = format!("/proc/self/fd/{}/control", directory.as_raw_fd());
        let connection = UnixStream::connect(path).map_err(fail)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        recvmsg(&connection, &mut [IoSliceMut::new(&mut byte)], &mut rights, RecvFlags::CMSG_CLOEXEC)
            .map_err(|error| fail(error.into()))?;
        let control = rights.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let control = control.ok_or_else(|| Error::Ended(self.id.clone()))?;
        Ok(Lease { id: self.id.clone(), control, _connection: connection })
    }
}

/// The control socket of a guest, for as long as this lives. Afterwards the guest's parent makes the guest go on, wherever
/// it was left.
pub struct Lease {
    id: String,
    control: OwnedFd,
    _connection: UnixStream,
}

impl Lease {
    /// Asks for something.
    pub fn send(&self, request: Request) -> Result<(), Error> {
        match send(&self.control, &request.to_bytes(), SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(Error::Ended(self.id.clone())),
            Err(error) => Err(Error::Control { id: self.id.clone(), source: error.into() }),
        }
    }

    /// Waits for an answer.
    pub fn receive<'a>(&self, buffer: &'a mut [u8; MESSAGE_MAX]) -> Result<(Record, &'a [u8]), Error> {
        let received = loop {
            match recv(&self.control, &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                done => break done,
            }
        };
        match received {
            Ok((_, 0)) | Err(Errno::CONNRESET) => Err(Error::Ended(self.id.clone())),
            Ok((_, len)) => {
                Record::from_bytes(&buffer[..len]).ok_or_else(|| Error::BadAnswer(self.id.clone()))
            }
            Err(error) => Err(Error::Control { id: self.id.clone(), source: error.into() }),
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }
}

impl AsFd for Lease {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

/// Waits for the end of a process, for as long as `patience` lasts. Whether it has ended.
fn has_ended(process: &OwnedFd, patience: Option<Duration>) -> Result<bool, Errno> {
    let end = patience.map(|patience| Instant::now() + patience);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        let limit = left.map(|left| Timespec::try_from(left).map_err(|_| Errno::INVAL)).transpose()?;
        match poll(&mut [PollFd::new(process, PollFlags::IN)], limit.as_ref()) {
            Err(Errno::INTR) => {}
            result => return result.map(|ready| ready > 0),
        }
    }
}

/// All guests of this user that run, by name. Directories of those that are no more are removed.
pub fn list() -> Result<Vec<Guest>, Error> {
    let base = husk_home::runtime();
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Directory { path, source }
    };
    let metadata = match fs::symlink_metadata(&base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        metadata => metadata.map_err(fail(&base))?,
    };
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    if !metadata.is_dir() || !own || metadata.mode() & 0o077 != 0 {
        return Err(Error::Untrusted(base));
    }
    let mut guests = Vec::new();
    for entry in fs::read_dir(&base).map_err(fail(&base))? {
        let entry = entry.map_err(fail(&base))?;
        if let Ok(id) = entry.file_name().into_string()
            && is_name(&id)
            && let Some(guest) = look(&id, entry.path())
        {
            guests.push(guest);
        }
    }
    guests.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(guests)
}

/// The guest called `id`.
pub fn find(id: &str) -> Result<Guest, Error> {
    if !is_name(id) {
        return Err(Error::BadName(id.to_owned()));
    }
    let directory = husk_home::runtime().join(id);
    // One that has just been started may still be about to say what it is.
    for _ in 0..100 {
        if let Some(guest) = list()?.into_iter().find(|guest| guest.id == id) {
            return Ok(guest);
        }
        if !directory.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Error::NoSuchGuest(id.to_owned()))
}

fn look(id: &str, directory: PathBuf) -> Option<Guest> {
    let path = directory.join("info");
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(_) => {
            // One that is being made has none for a moment.
            if is_old(&directory) {
                let _ = fs::remove_dir(&directory);
            }
            return None;
        }
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {}
        _ => {
            if is_old(&path) || fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0) {
                for name in ["control", "info"] {
                    let _ = fs::remove_file(directory.join(name));
                }
                let _ = fs::remove_dir(&directory);
            }
            return None;
        }
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let entries = bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let split = entry.iter().position(|byte| *byte == b'=')?;
        Some((String::from_utf8_lossy(&entry[..split]).into_owned(), entry[split + 1..].to_vec()))
    });
    let info: BTreeMap<String, Vec<u8>> = entries.collect();
    // Nobody can do anything with one whose parent has not yet written all of it.
    info.contains_key("root").then(|| Guest { id: id.to_owned(), directory, info })
}

fn is_old(path: &Path) -> bool {
    let modified = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age > Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_cannot_leave_their_directory() {
        for good in ["a", "web-1", "0f3c.x_y"] {
            assert!(is_name(good), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", ".", "..", ".hidden", "-v", "a/b", "a b", "ä", "a\0", long.as_str()] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
