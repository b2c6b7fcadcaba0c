//! From what a user asks to have mounted to a state server that serves it, and the descriptors with which the guest starts.
//!
//! The server is a process of its own, made by the one that becomes the guest's parent, and ends with it. It is out of the
//! terminal's foreground: what stops or ends the guest leaves it alone until the guest has ended.

use crate::confine::{Served, confine};
use crate::mount::{Mount, Source};
use crate::ring::{self, Ring, Wake};
use crate::server::{Access, Ids, Server};
use crate::store::{Store, StoreError};
use husk_abi::boot::{MOUNTS_MAX, OWN_TYPE, VOLUME_TYPE};
use husk_ring::UNITS_MAX;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why the mounts of a guest could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{}: {error}", path.display())]
    Source { path: PathBuf, error: io::Error },
    #[error("{}: it is neither a directory nor a file, and nothing else can be mounted", .0.display())]
    Kind(PathBuf),
    #[error("{}: something is mounted there already", String::from_utf8_lossy(.0))]
    Twice(Vec<u8>),
    #[error("a guest has at most {MOUNTS_MAX} mounts and {UNITS_MAX} volumes")]
    TooMany,
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the state server could not be started: {0}")]
    Server(String),
    #[error("cannot {0}: {1}")]
    Host(&'static str, io::Error),
}

fn tried<T>(what: &'static str, result: Result<T, impl Into<io::Error>>) -> Result<T, StartError> {
    result.map_err(|error| StartError::Host(what, error.into()))
}

/// What a guest with mounts is started with.
#[derive(Debug)]
pub struct Prepared {
    table: OwnedFd,
    ring: Option<Ring>,
}

impl Prepared {
    /// Leaves the descriptors open for the program that this process becomes: their numbers, with commas between, table first.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn hand_over(self) -> Result<String, StartError> {
        let mut all = vec![self.table];
        all.extend(self.ring.into_iter().flat_map(|ring| [ring.memory, ring.requests, ring.replies]));
        let mut numbers = Vec::new();
        for fd in all {
            tried("hand descriptors over", fcntl_setfd(&fd, FdFlags::empty()))?;
            numbers.push(fd.as_raw_fd().to_string());
            std::mem::forget(fd);
        }
        Ok(numbers.join(","))
    }
}

/// A volume that is about to be served.
struct Opened {
    root: OwnedFd,
    access: Access,
    lock: Option<OwnedFd>,
}

fn open(path: &PathBuf, access: Access) -> Result<Opened, StartError> {
    let source = |error: Errno| StartError::Source { path: path.clone(), error: error.into() };
    let root = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(source)?;
    let found = rustix::fs::fstat(&root).map_err(source)?;
    match found.st_mode & libc::S_IFMT {
        libc::S_IFDIR | libc::S_IFREG => Ok(Opened { root, access, lock: None }),
        _ => Err(StartError::Kind(path.clone())),
    }
}

/// Fills a new volume: makes the directory of its second argument with what an image has at the first, in the guest. False:
/// there is nothing.
pub type Fill<'a> = &'a dyn Fn(&[u8], &Path) -> Result<bool, Box<dyn std::error::Error>>;

/// Opens what is to be mounted and starts `server` (a program and its first arguments) for it.
///
/// # Errors
/// All of [`StartError`].
pub fn prepare(
    mut mounts: Vec<Mount>,
    wake: Wake,
    server: (&Path, &str),
    fill: Fill<'_>,
) -> Result<Prepared, StartError> {
    // What lies in another comes after it.
    mounts.sort_by(|one, other| {
        one.target.split(|byte| *byte == b'/').cmp(other.target.split(|byte| *byte == b'/'))
    });
    if let Some(pair) = mounts.windows(2).find(|pair| pair[0].target == pair[1].target) {
        return Err(StartError::Twice(pair[0].target.clone()));
    }
    let mut table = Vec::new();
    let mut volumes = Vec::new();
    let mut entry = |source: &[u8], target: &[u8], kind: &str, options: &str| {
        for field in [source, target, kind.as_bytes(), options.as_bytes()] {
            table.extend_from_slice(field);
            table.push(0);
        }
    };
    for mount in &mounts {
        let mut options = vec![if mount.access == Access::ReadOnly { "ro" } else { "rw" }.to_owned()];
        let name = match &mount.source {
            Source::Memory { size, mode } => {
                options.extend(size.map(|size| format!("size={size}")));
                options.extend(mode.map(|mode| format!("mode={mode:o}")));
                entry(b"tmpfs", &mount.target, "tmpfs", &options.join(","));
                continue;
            }
            // It would end with the guest, like its own root and its memory.
            Source::Anonymous if mount.copies => {
                entry(b"volume", &mount.target, OWN_TYPE, &options.join(","));
                continue;
            }
            Source::Anonymous => {
                options.push("mode=755".to_owned());
                entry(b"tmpfs", &mount.target, "tmpfs", &options.join(","));
                continue;
            }
            Source::Path(path) => {
                volumes.push(open(path, mount.access)?);
                path.file_name().map_or_else(|| "host".into(), |name| name.to_string_lossy().into_owned())
            }
            Source::Named(name) => {
                let held = Store::open_default()?.hold(name)?;
                if mount.copies {
                    held.fill(|to| fill(&mount.target, to))?;
                }
                let opened = open(&held.volume.data, mount.access)?;
                volumes.push(Opened { lock: Some(held.lock.into()), ..opened });
                name.clone()
            }
        };
        entry(name.as_bytes(), &mount.target, VOLUME_TYPE, &options.join(","));
    }
    if mounts.len() > MOUNTS_MAX || volumes.len() > UNITS_MAX {
        return Err(StartError::TooMany);
    }
    let memory = tried("make the table of mounts", memfd_create(c"husk-mounts", MemfdFlags::CLOEXEC))?;
    let mut file = std::fs::File::from(memory);
    tried("write the table of mounts", file.write_all(&table))?;
    let ring = match volumes.len() {
        0 => None,
        count => {
            let ring = tried("make the ring of the volumes", Ring::new(count))?;
            start(&ring, &volumes, wake, server)?;
            Some(ring)
        }
    };
    Ok(Prepared { table: file.into(), ring })
}

/// Starts the server and waits until it serves.
fn start(ring: &Ring, volumes: &[Opened], wake: Wake, server: (&Path, &str)) -> Result<(), StartError> {
    let mut command = Command::new(server.0);
    command.arg(server.1).arg(if wake == Wake::Counter { "counter" } else { "futex" });
    let mut inherited = vec![ring.memory.as_fd(), ring.requests.as_fd(), ring.replies.as_fd()];
    for fd in &inherited {
        command.arg(fd.as_raw_fd().to_string());
    }
    for volume in volumes {
        let access = if volume.access == Access::ReadOnly { "ro" } else { "rw" };
        let lock = volume.lock.as_ref().map(|lock| format!(":{}", lock.as_raw_fd())).unwrap_or_default();
        command.arg(format!("{}:{access}{lock}", volume.root.as_raw_fd()));
        inherited.push(volume.root.as_fd());
        inherited.extend(volume.lock.as_ref().map(AsFd::as_fd));
    }
    command.process_group(0).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    for fd in &inherited {
        tried("hand descriptors over", fcntl_setfd(fd, FdFlags::empty()))?;
    }
    let started = command.spawn();
    for fd in &inherited {
        tried("keep descriptors", fcntl_setfd(fd, FdFlags::CLOEXEC))?;
    }
    let mut child = tried("start the state server", started)?;
    let mut answer = String::new();
    if let Some(mut output) = child.stdout.take() {
        tried("hear from the state server", output.read_to_string(&mut answer))?;
    }
    if answer == READY {
        return Ok(());
    }
    let status = tried("wait for the state server", child.wait())?;
    Err(StartError::Server(if answer.is_empty() { status.to_string() } else { answer }))
}

/// What the server writes to its stdout once it serves.
const READY: &str = "ready";

/// The server's life: `arguments` are those that `start` gives it behind the verb. Ends with the parent process.
///
/// # Errors
/// A line on why it cannot serve, which is on stdout, too.
pub fn serve(arguments: &[OsString]) -> io::Result<()> {
    let served = try_serve(arguments);
    let line = match &served {
        Ok(_) => READY.to_owned(),
        Err(error) => error.to_string(),
    };
    let mut stdout = io::stdout();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()?;
    // The other end waits for this.
    drop(crate::host::take_descriptor(1)?);
    let guest = served?;
    loop {
        match poll(&mut [PollFd::new(&guest, PollFlags::IN)], None) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Starts to serve; gives a descriptor of the process with which to end.
fn try_serve(arguments: &[OsString]) -> io::Result<OwnedFd> {
    let wrong = || io::Error::other("the state server is started by `husk run`");
    let mut arguments = arguments.iter().map(|argument| argument.to_str().unwrap_or_default());
    let wake = match arguments.next() {
        Some("futex") => Wake::Futex,
        Some("counter") => Wake::Counter,
        _ => return Err(wrong()),
    };
    // Each argument is a list of fields with colons between: a descriptor first, of a volume also access and lock.
    let arguments: Vec<Vec<&str>> = arguments.map(|argument| argument.split(':').collect()).collect();
    let number = |text: &str| text.parse().ok().filter(|fd: &RawFd| *fd > 2).ok_or_else(wrong);
    let mut kept = Vec::new();
    for fields in &arguments {
        kept.push(number(fields[0])?);
        if let Some(lock) = fields.get(2) {
            kept.push(number(lock)?);
        }
    }
    crate::host::close_others(&kept);
    let parent = rustix::process::getppid().filter(|parent| *parent != Pid::INIT).ok_or_else(wrong)?;
    let guest = rustix::process::pidfd_open(parent, PidfdFlags::empty())?;
    if rustix::process::getppid() != Some(parent) {
        return Err(wrong());
    }
    let descriptor = |fields: &[&str]| number(fields[0]).and_then(|fd| Ok(crate::host::take_descriptor(fd)?));
    let [memory, requests, replies, volumes @ ..] = arguments.as_slice() else { return Err(wrong()) };
    let ring =
        Ring { memory: descriptor(memory)?, requests: descriptor(requests)?, replies: descriptor(replies)? };
    let volumes = volumes.iter().map(|fields| {
        let access = if fields.get(1) == Some(&"ro") { Access::ReadOnly } else { Access::ReadWrite };
        Ok((descriptor(fields)?, access))
    });
    let volumes = volumes.collect::<io::Result<Vec<_>>>()?;
    rustix::process::umask(Mode::empty());
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let mut servers = Vec::new();
    let mut roots = Vec::new();
    for (root, access) in &volumes {
        let found = rustix::fs::fstat(root)?;
        roots.push(Served {
            root: root.as_fd(),
            is_directory: found.st_mode & libc::S_IFMT == libc::S_IFDIR,
            access: *access,
        });
        servers.push((Server::new(root.try_clone()?, *access, Ids::of_process())?, *access));
    }
    confine(&roots)?;
    ring::serve(ring, servers, wake)?;
    Ok(guest)
}
