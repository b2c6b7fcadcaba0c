//! `husk shrink`: a root with only what an application needs, and an executable of it.

use super::build::{Guest, pack_program, write};
use husk_host::app::{App, front_beside};
use husk_host::profile;
use husk_host::shrink::{self, Request, Shrunk, Verdict};
use serde::Serialize;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program: a name in PATH or a path; with --rootfs, a path in that root. What is no program is a container image
    #[arg(value_name = "PROGRAM|CONTAINER-IMAGE")]
    program: OsString,
    /// More that the guest needs: a path, a Debian package or a program
    #[arg(long, value_name = "PATH|PACKAGE", conflicts_with = "rootfs")]
    with: Vec<OsString>,
    /// The root to make smaller: a directory or an EROFS image; else what the program is packed with
    #[arg(long, value_name = "DIR|IMAGE")]
    rootfs: Option<PathBuf>,
    /// Run this command in a guest and keep what it uses; its words are split as a shell does
    #[arg(long, value_name = "COMMAND")]
    trace: Vec<String>,
    /// Keep this Debian package of the root, without its documentation
    #[arg(long, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Keep this path of the root, a directory with all that is in it
    #[arg(long, value_name = "PATH")]
    keep: Vec<PathBuf>,
    /// Where the executable goes
    #[arg(short, long, value_name = "FILE", required_unless_present = "image")]
    output: Option<PathBuf>,
    /// Where the smaller root image goes
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Where the names of the system calls go that the traced commands made
    #[arg(long, value_name = "FILE", requires = "trace", id = "write-profile")]
    write_profile: Option<PathBuf>,
    /// Say of each path whether it was kept and why, in this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How the report is written
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Do not run the traced commands again in the smaller root
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    guest: Guest,
    /// Arguments that come before those of whoever starts the executable
    #[arg(last = true)]
    args: Vec<OsString>,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let wrong = |error: &dyn Error| format!("shrink: {error}");
    let base_root = tempfile::NamedTempFile::new().map_err(|error| wrong(&error))?;
    let base = from_store(options)?;
    let (image, program) = match &base {
        Some((built, app)) => {
            built.write_root(base_root.path()).map_err(|error| wrong(&error))?;
            (base_root.path().to_path_buf(), OsString::from_vec(app.program.clone()))
        }
        None => match pack_program(&options.program, &options.with, options.rootfs.as_deref(), "shrink")? {
            Ok(packed) => packed,
            Err(code) => return Ok(code),
        },
    };
    let mut traces = Vec::new();
    for text in &options.trace {
        let words = shell_words::split(text).map_err(|error| format!("shrink: --trace {text}: {error}"))?;
        traces.push(words.into_iter().map(OsString::from).collect::<Vec<_>>());
    }
    let front = front_beside().map_err(|error| wrong(&error))?;
    let program = PathBuf::from(program);
    let mut run_options = base.as_ref().map(|(_, app)| options.guest.options_of(app)).unwrap_or_default();
    run_options.extend(options.guest.run_options());
    let request = Request {
        front: &front,
        image: &image,
        program: &program,
        is_packed: options.rootfs.is_none() && base.is_none(),
        traces: &traces,
        packages: &options.package,
        keep: &options.keep,
        options: &run_options,
    };
    let scratch;
    let smaller = match &options.image {
        Some(path) => path.clone(),
        None => {
            scratch = tempfile::tempdir().map_err(|error| wrong(&error))?;
            scratch.path().join("root.erofs")
        }
    };
    let shrunk = shrink::shrink(&request, &smaller).map_err(|error| wrong(&error))?;
    print_summary(&shrunk);
    if let Some(path) = &options.report {
        write_report(&shrunk, path, options.format)
            .map_err(|error| format!("shrink: {}: {error}", path.display()))?;
    }
    if let (Some(path), Some(calls)) = (&options.write_profile, &shrunk.profile) {
        let text = profile::names(calls).join("\n") + "\n";
        fs::write(path, text).map_err(|error| format!("shrink: {}: {error}", path.display()))?;
    }
    if options.no_check || traces.is_empty() {
        if traces.is_empty() {
            eprintln!("husk: shrink: nothing was traced, so nothing was checked: give commands with --trace");
        }
    } else if !check(&request, &shrunk, &smaller).map_err(|error| wrong(&error))? {
        eprintln!(
            "husk: shrink: the smaller root is not enough: keep more with --keep, --package or further traces"
        );
        return Ok(ExitCode::FAILURE);
    }
    let Some(output) = &options.output else { return Ok(ExitCode::SUCCESS) };
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let mut app = match base {
        Some((_, app)) => app,
        None => App::new(&name, program.as_os_str().as_bytes(), vec![options.program.as_bytes().to_vec()]),
    };
    app.args.extend(options.args.iter().map(|arg| arg.clone().into_vec()));
    app.profile = shrunk.profile;
    options.guest.apply(&mut app)?;
    write(&app, &smaller, output)
}

/// The image of the store that is named, where there is no such program, and what its executable does.
fn from_store(options: &Options) -> Result<Option<(husk_build::Built, App)>, Box<dyn Error>> {
    let wrong = |error: &dyn Error| format!("shrink: {error}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_program = options.program.as_bytes().starts_with(b"/")
        || Path::new(&options.program).exists()
        || std::env::split_paths(&path).any(|folder| folder.join(&options.program).is_file());
    let Some(reference) = options.program.to_str().filter(|_| options.rootfs.is_none() && !is_program) else {
        return Ok(None);
    };
    let store = husk_image::Store::open_default().map_err(|error| wrong(&error))?;
    if !matches!(store.find(reference), Ok(Some(_))) {
        return Ok(None);
    }
    if let [with, ..] = options.with.as_slice() {
        return Err(
            format!("shrink: --with {}: nothing is added to a container image", with.display()).into()
        );
    }
    let context = tempfile::tempdir().map_err(|error| wrong(&error))?;
    let cache = husk_host::pack::default_cache()?;
    let _held = husk_host::cache::hold(&cache).map_err(|error| wrong(&error))?;
    let request = husk_build::Request {
        front: front_beside().map_err(|error| wrong(&error))?,
        store,
        registry: husk_image::source::Options::default(),
        names: Vec::new(),
        containerfile: context.path().join("Containerfile"),
        text: format!("FROM {reference}\n"),
        context: context.path().to_path_buf(),
        args: Vec::new(),
        labels: Vec::new(),
        target: None,
        cache: cache.join("build"),
        use_cache: true,
        run_options: Vec::new(),
        epoch: None,
    };
    let built = husk_build::build(&request).map_err(|error| wrong(&error))?;
    let name = reference.rsplit('/').next().unwrap_or(reference);
    let app = husk_build::app(&built, name).map_err(|error| wrong(&error))?;
    Ok(Some((built, app)))
}

fn print_summary(shrunk: &Shrunk) {
    eprintln!("husk: shrink: {} bytes became {}", shrunk.before, shrunk.after);
    for (kind, count, size) in shrunk.totals() {
        eprintln!("  {count:>7} paths {size:>12} bytes  {kind}");
    }
    if let Some(calls) = &shrunk.profile {
        eprintln!("  {:>7} system calls", calls.numbers().count());
    }
}

fn check(request: &Request<'_>, shrunk: &Shrunk, smaller: &Path) -> Result<bool, shrink::ShrinkError> {
    let mut all = true;
    for ((command, _), verdict) in shrunk.traced.iter().zip(shrink::check(request, shrunk, smaller)?) {
        let command = command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        match verdict {
            Verdict::Same => eprintln!("  check: {command}: same output and exit code"),
            Verdict::Unsteady => {
                eprintln!(
                    "  check: {command}: same exit code; its output differs from run to run in the whole root too"
                )
            }
            Verdict::ExitCode(before, after) => {
                all = false;
                eprintln!("  check: {command}: exit code {before} became {after}")
            }
            Verdict::Output => {
                all = false;
                eprintln!("  check: {command}: its output differs")
            }
        }
    }
    Ok(all)
}

/// One path, as the report has it.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    bytes: u64,
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'a str>,
}

#[derive(Serialize)]
struct Report<'a> {
    before: u64,
    after: u64,
    calls: Option<Vec<&'a str>>,
    paths: Vec<Line<'a>>,
}

fn write_report(shrunk: &Shrunk, path: &Path, format: Format) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(fs::File::create(path)?);
    let lines = shrunk.lines.iter().map(|line| Line {
        path: String::from_utf8_lossy(&line.path).into_owned(),
        bytes: line.size,
        kept: line.reason.is_some(),
        why: line.reason.as_ref().map(shrink::Reason::kind),
        of: line.reason.as_ref().and_then(shrink::Reason::of),
    });
    if format == Format::Json {
        let report = Report {
            before: shrunk.before,
            after: shrunk.after,
            calls: shrunk.profile.as_ref().map(profile::names),
            paths: lines.collect(),
        };
        serde_json::to_writer_pretty(&mut out, &report)?;
        return writeln!(out);
    }
    for line in lines {
        let why = match (line.why, line.of) {
            (None, _) => "dropped".to_owned(),
            (Some(why), None) => why.to_owned(),
            (Some(why), Some(of)) => format!("{why} {of}"),
        };
        let sign = if line.kept { '+' } else { '-' };
        writeln!(out, "{sign} {:>10} {}  ({why})", line.bytes, line.path)?;
    }
    out.flush()
}
