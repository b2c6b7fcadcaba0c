//! Runs a guest from an image and takes its output and its record: for those who make images.

use crate::record::{self, Changes, Record, RecordError};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a guest could not be run, or told nothing.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    #[error("{path}: {source}", path = path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Record(#[from] RecordError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the guest could not be started (exit code {0})")]
    NotStarted(i32),
}

/// A command in a guest.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// `husk`, the front.
    pub front: &'a Path,
    /// The root image, and its further devices if it has any: files that begin where the one before ends.
    pub image: &'a [PathBuf],
    /// Program, by its path in the guest, and arguments.
    pub command: &'a [OsString],
    /// Further options of `husk run`.
    pub options: Vec<OsString>,
    /// Keep account of what is used.
    pub record: bool,
    /// Take what is changed.
    pub export: bool,
    pub capture: Output,
    pub stdin: Stdin<'a>,
}

/// Where a guest's standard output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Kept for the caller.
    Kept,
    /// To the standard error of this process.
    Stderr,
}

/// Where a guest's input comes from.
#[derive(Clone, Copy, Debug)]
pub enum Stdin<'a> {
    Null,
    Bytes(&'a [u8]),
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub exit_code: i32,
    /// What it wrote to standard output, where that was kept.
    pub output: Vec<u8>,
    pub record: Record,
}

impl Run<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// [`GuestError`]. A command that fails is no error here.
    pub fn run(&self, changes: &mut dyn Changes) -> Result<Outcome, GuestError> {
        let mut command = Command::new(self.front);
        command.arg("run");
        let mut pipe = None;
        if self.record || self.export {
            // Inherited by number: the front hands it on to the guest, which may do nothing with it but write.
            let (reader, writer) = rustix::pipe::pipe().map_err(io::Error::from)?;
            rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::CLOEXEC).map_err(io::Error::from)?;
            command.arg(format!("--record={}", writer.as_raw_fd()));
            if self.export {
                command.arg("--export");
            }
            pipe = Some((reader, writer));
        }
        let [image, devices @ ..] = self.image else { return Err(GuestError::NotStarted(125)) };
        command.arg("--rootfs").arg(image);
        for device in devices {
            command.arg("--root-device").arg(device);
        }
        command.args(&self.options).arg("--").args(self.command);
        command.stdin(match self.stdin {
            Stdin::Null => Stdio::null(),
            Stdin::Bytes(_) => Stdio::piped(),
        });
        command.stdout(match self.capture {
            Output::Kept => Stdio::piped(),
            Output::Stderr => Stdio::from(io::stderr()),
        });
        let start = |source| GuestError::Start { path: self.front.to_path_buf(), source };
        let mut child = command.spawn().map_err(start)?;
        let reader = pipe.map(|(reader, writer)| {
            drop(writer);
            reader
        });
        let input = child.stdin.take();
        let output = child.stdout.take();
        std::thread::scope(|scope| {
            if let (Some(mut input), Stdin::Bytes(bytes)) = (input, self.stdin) {
                // A guest need not read all of it.
                scope.spawn(move || input.write_all(bytes));
            }
            let kept = output.map(|mut output| {
                scope.spawn(move || {
                    let mut bytes = Vec::new();
                    output.read_to_end(&mut bytes).map(|_| bytes)
                })
            });
            let record = reader.map(|reader| {
                let mut from = io::BufReader::with_capacity(256 << 10, std::fs::File::from(reader));
                let record = record::read(&mut from, changes);
                // Whoever is left writes to nobody.
                drop(from);
                record
            });
            let status = child.wait()?;
            let output = match kept {
                Some(kept) => kept.join().unwrap_or_else(|_| Ok(Vec::new()))?,
                None => Vec::new(),
            };
            let exit_code = status.code().unwrap_or(137);
            let record = match record {
                // Husk's own failure has been told on standard error.
                Some(Err(RecordError::Unfinished)) if exit_code == 125 => {
                    return Err(GuestError::NotStarted(exit_code));
                }
                Some(record) => record?,
                None => Record::default(),
            };
            Ok(Outcome { exit_code, output, record })
        })
    }
}
