//! Makes a root image smaller: keeps what an application needs, and says why.
//!
//! Two sources are merged. By static means: the program and what it is linked with, interpreters, names of libraries and
//! files in programs, packages. By traced runs: every path that the guest's kernel saw opened, looked up or executed. A
//! trace shows what one run used, static means what any run could need; neither is complete alone, so the result is
//! checked by running it, and further commands can be traced.

mod image;
mod keep;
mod packages;

pub use keep::Reason;

use crate::guest::{GuestError, Outcome, Output, Run, Stdin};
use crate::record::NoChanges;
use husk_app::Allowed;
use image::Root;
use keep::{Keep, is_left_out};
use packages::Packages;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Why an image cannot be made smaller.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the root image cannot be read: {0}")]
    Image(#[from] husk_erofs::Error),
    #[error("the root image is damaged: it contains itself, or a file larger than it can be")]
    Endless,
    #[error("{0}: there is no such program in the root")]
    NoProgram(String),
    #[error("--package {0}: it is not installed in the root")]
    NoPackage(String),
    #[error("an empty command cannot be traced")]
    NoCommand,
    #[error("tracing {command}: {source}")]
    Trace { command: String, source: GuestError },
    #[error("{0}")]
    Build(#[from] husk_erofs_build::Error),
}

/// What to shrink, and how to find out what is needed.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `husk`, the front.
    pub front: &'a Path,
    pub image: &'a Path,
    /// The program's path in the guest.
    pub program: &'a Path,
    /// Whether the image was packed for this program, so that all in it is static knowledge.
    pub is_packed: bool,
    /// Commands to trace: a program and its arguments each.
    pub traces: &'a [Vec<OsString>],
    pub packages: &'a [String],
    /// Further paths to keep, directories with all that is in them.
    pub keep: &'a [PathBuf],
    /// Options of `husk run` for the traced runs.
    pub options: &'a [OsString],
}

/// A path of the image, and what became of it.
#[derive(Clone, Debug)]
pub struct Line {
    pub path: Vec<u8>,
    /// In bytes.
    pub size: u64,
    /// `None`: dropped.
    pub reason: Option<Reason>,
}

/// What is left.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub lines: Vec<Line>,
    /// Calls that the traced runs made; `None` without one.
    pub profile: Option<Allowed>,
    /// Each traced command and how it went.
    pub traced: Vec<(Vec<OsString>, Outcome)>,
    /// Bytes of the image before and after.
    pub before: u64,
    pub after: u64,
}

impl Shrunk {
    /// Files and bytes by reason, the most bytes first; `dropped` is one of them.
    #[must_use]
    pub fn totals(&self) -> Vec<(&'static str, usize, u64)> {
        let mut totals: BTreeMap<&'static str, (usize, u64)> = BTreeMap::new();
        for line in &self.lines {
            let total = totals.entry(line.reason.as_ref().map_or("dropped", Reason::kind)).or_default();
            total.0 += 1;
            total.1 += line.size;
        }
        let mut totals: Vec<_> =
            totals.into_iter().map(|(kind, (count, size))| (kind, count, size)).collect();
        totals.sort_by_key(|(kind, _, size)| (std::cmp::Reverse(*size), *kind));
        totals
    }
}

/// Shrinks `request.image` into `out`, which appears whole or not at all.
///
/// # Errors
/// [`ShrinkError`].
pub fn shrink(request: &Request<'_>, out: &Path) -> Result<Shrunk, ShrinkError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ShrinkError::Io { path, source }
    };
    let bytes = fs::read(request.image).map_err(io(request.image))?;
    let root = Root::read(&bytes)?;
    let mut keep = Keep::new(&root);
    if !keep.add(request.program.as_os_str().as_bytes(), Reason::Asked) {
        return Err(ShrinkError::NoProgram(request.program.display().to_string()));
    }
    let mut traced = Vec::new();
    let mut profile = None;
    for command in request.traces {
        let outcome = trace(request, &keep, command)?;
        for (path, found) in &outcome.record.paths {
            keep.add_itself(path, Reason::Traced(*found));
        }
        let calls = profile.get_or_insert_with(Allowed::default);
        outcome.record.calls.numbers().for_each(|number| calls.add(number));
        traced.push((command.clone(), outcome));
    }
    let installed = Packages::read(&root);
    for package in request.packages {
        let files = installed.files(package).ok_or_else(|| ShrinkError::NoPackage(package.clone()))?;
        for file in files.iter().filter(|file| !is_left_out(file)) {
            keep.add_itself(file, Reason::Package(package.clone()));
        }
    }
    for path in request.keep {
        let path = path.as_os_str().as_bytes();
        let Some((real, _)) = root.resolve(path) else {
            return Err(ShrinkError::NoProgram(String::from_utf8_lossy(path).into_owned()));
        };
        keep.add(path, Reason::Asked);
        let below = image::join(&real, b"");
        for path in root.items.range(below.clone()..).map(|(path, _)| path) {
            if !path.starts_with(&below) {
                break;
            }
            keep.add_itself(path, Reason::Asked);
        }
    }
    if request.traces.is_empty() {
        by_static_means_alone(request, &root, &installed, &mut keep);
    }

    let kept = keep.kept;
    let tree = root.tree(|path| kept.contains_key(path))?;
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::Builder::new().prefix(".husk-shrink-").tempfile_in(dir).map_err(io(dir))?;
    let after = tree.write(&mut BufWriter::with_capacity(1 << 20, file.as_file()))?;
    file.persist(out).map_err(|error| io(out)(error.error))?;
    let lines = root
        .items
        .iter()
        .map(|(path, item)| Line { path: path.clone(), size: item.size, reason: kept.get(path).cloned() })
        .collect();
    Ok(Shrunk { lines, profile, traced, before: bytes.len() as u64, after })
}

/// Without a trace: all that was packed for the program, or the program's package and those that it depends on.
fn by_static_means_alone(
    request: &Request<'_>,
    root: &Root<'_>,
    installed: &Packages,
    keep: &mut Keep<'_, '_>,
) {
    if request.is_packed {
        for path in root.items.keys().filter(|path| !is_left_out(path)) {
            keep.add_itself(path, Reason::Packed);
        }
        return;
    }
    let program = request.program.as_os_str().as_bytes();
    let real = root.resolve(program).map_or_else(|| program.to_vec(), |(real, _)| real);
    let Some(owner) = installed.owner(&real) else { return };
    for package in installed.closure(owner) {
        for file in installed.files(&package).unwrap_or_default().iter().filter(|file| !is_left_out(file)) {
            keep.add_itself(file, Reason::Package(package.clone()));
        }
    }
}

fn trace(request: &Request<'_>, keep: &Keep<'_, '_>, command: &[OsString]) -> Result<Outcome, ShrinkError> {
    let first = command.first().ok_or(ShrinkError::NoCommand)?;
    let shown = || command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let program = locate(request, keep, first).ok_or_else(|| ShrinkError::NoProgram(shown()))?;
    let mut words = command.to_vec();
    words[0] = program;
    let image = [request.image.to_path_buf()];
    let run = Run {
        front: request.front,
        image: &image,
        command: &words,
        options: request.options.to_vec(),
        record: true,
        export: false,
        capture: Output::Kept,
        stdin: Stdin::Null,
    };
    run.run(&mut NoChanges).map_err(|source| ShrinkError::Trace { command: shown(), source })
}

/// The path in the guest of a command's first word.
fn locate(request: &Request<'_>, keep: &Keep<'_, '_>, word: &OsStr) -> Option<OsString> {
    if Path::new(word).is_absolute() {
        return Some(word.to_owned());
    }
    if !word.as_bytes().contains(&b'/') {
        let is_program = request.program.file_name() == Some(word);
        let found = keep.in_path(word.as_bytes()).map(|path| OsStr::from_bytes(&path).to_owned());
        return if is_program { Some(request.program.as_os_str().to_owned()) } else { found };
    }
    (Path::new(word).file_name() == request.program.file_name())
        .then(|| request.program.as_os_str().to_owned())
}

/// How a traced command did in the smaller image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Output and exit code are the same.
    Same,
    /// The exit code is, but the output of the whole image differs from run to run too.
    Unsteady,
    /// What differs: the exit codes, or the outputs.
    ExitCode(i32, i32),
    Output,
}

/// Runs each traced command again, in the smaller image `out`, and with its system calls alone where `strict`.
///
/// # Errors
/// [`ShrinkError::Trace`] where a guest could not be run.
pub fn check(request: &Request<'_>, shrunk: &Shrunk, out: &Path) -> Result<Vec<Verdict>, ShrinkError> {
    let bytes = fs::read(out).map_err(|source| ShrinkError::Io { path: out.to_path_buf(), source })?;
    let root = Root::read(&bytes)?;
    let keep = Keep::new(&root);
    let smaller = Request { image: out, ..request.clone() };
    let mut verdicts = Vec::new();
    for (command, before) in &shrunk.traced {
        let after = trace(&smaller, &keep, command)?;
        verdicts.push(if after.exit_code != before.exit_code {
            Verdict::ExitCode(before.exit_code, after.exit_code)
        } else if after.output == before.output {
            Verdict::Same
        } else if trace(request, &keep, command)?.output != before.output {
            Verdict::Unsteady
        } else {
            Verdict::Output
        });
    }
    Ok(verdicts)
}
