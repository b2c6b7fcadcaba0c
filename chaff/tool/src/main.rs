//! `husk-chaff`: what `husk chaff` runs.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use husk_chaff::manifest::{self, Class, Manifest};
use husk_chaff::triage::{self, Verdict};
use husk_chaff::{cc, profile, toolchain};

/// Fill a program with bugs that look exploitable and are certified not to be.
///
/// First build the program with CC='husk-chaff cc'. `husk-chaff cc` and `husk-chaff c++` take the options of clang.
#[derive(Parser)]
#[command(name = "husk-chaff", version)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a key for manifests in a new file, in the format of age.
    Key { file: PathBuf },
    /// Run an instrumented form of a program over a corpus of inputs.
    Profile(ProfileArguments),
    /// Put bugs into a program, in its place.
    #[command(disable_help_flag = true)]
    Inject {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Tell whether a core dump, or an input that crashes the program, is chaff.
    ///
    /// The exit code is 0 for chaff or no crash, 1 for real and 2 for unknown.
    Triage {
        #[command(flatten)]
        owner: Owner,
        /// A core dump, or any other file: an input.
        file: PathBuf,
        /// The file is an input, even if it is a core dump.
        #[arg(long)]
        input: bool,
        /// Seconds that a run may take.
        #[arg(long, default_value_t = 60)]
        limit: u64,
    },
    /// Write the input that triggers a bug.
    Trigger {
        #[command(flatten)]
        owner: Owner,
        id: u32,
        /// Where to write it, rather than to standard output.
        #[arg(short, long)]
        output: Option<PathBuf>,
    },
    /// Count the bugs of a build.
    Report {
        #[command(flatten)]
        owner: Owner,
        /// `table` or `json`, which lists every bug.
        #[arg(long, default_value = "table", value_parser = ["table", "json"])]
        format: String,
    },
}

#[derive(Args)]
struct ProfileArguments {
    /// The program, built with `husk-chaff cc`.
    #[arg(long)]
    program: PathBuf,
    /// The inputs, one file each.
    #[arg(long)]
    corpus: PathBuf,
    /// Where to write the profile [default: PROGRAM.profile].
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Seconds that one input may take.
    #[arg(long, default_value_t = 60)]
    limit: u64,
    /// The command to run for each input. `{}` stands for the input; without it, the input is standard input.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Owner {
    /// The program with the bugs.
    #[arg(long)]
    program: PathBuf,
    /// The file with the key of its manifest.
    #[arg(long)]
    key: PathBuf,
    /// The manifest [default: PROGRAM.chaff].
    #[arg(long)]
    manifest: Option<PathBuf>,
}

impl Owner {
    fn load(&self) -> Result<Manifest> {
        let path = self.manifest.clone().unwrap_or_else(|| manifest::beside(&self.program, ".chaff"));
        let manifest = Manifest::load(&path, &manifest::key(&self.key)?)?;
        manifest.check_build(&self.program)?;
        Ok(manifest)
    }
}

fn main() -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let driver = match words.get(1).and_then(|word| word.to_str()) {
        Some("cc") => Some("clang"),
        Some("c++") => Some("clang++"),
        _ => None,
    };
    let result = match driver {
        // clang's options are not ours to parse.
        Some(driver) => cc::text(words.split_off(2)).and_then(|words| cc::main(driver, &words)),
        None => match CommandLine::try_parse_from(&words) {
            Ok(line) => run(line),
            Err(error) => {
                // A wrong command line is no verdict of triage. Help and version are no failures.
                let code = if error.use_stderr() { 125 } else { 0 };
                let _ = error.print();
                return ExitCode::from(code);
            }
        },
    };
    result.unwrap_or_else(|error| {
        eprintln!("husk-chaff: {error:#}");
        ExitCode::from(125)
    })
}

fn run(line: CommandLine) -> Result<ExitCode> {
    match line.verb {
        Verb::Key { file } => manifest::new_key(&file)?,
        Verb::Profile(arguments) => {
            let limit = Duration::from_secs(arguments.limit);
            let profile = profile::profile(&arguments.program, &arguments.corpus, &arguments.command, limit)?;
            let output = arguments.output.unwrap_or_else(|| manifest::beside(&arguments.program, ".profile"));
            fs::write(&output, serde_json::to_vec(&profile)?)
                .with_context(|| format!("cannot write {}", output.display()))?;
            let tainted = profile.values.values().filter(|value| !value.samples.is_empty()).count();
            eprintln!(
                "{} inputs, {} values seen, {tainted} of them made of input bytes: {}",
                profile.inputs.len(),
                profile.values.len(),
                output.display()
            );
        }
        Verb::Inject { words } => {
            let status = Command::new(toolchain::pass()?).arg("inject").args(words).status()?;
            return Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(125)));
        }
        Verb::Triage { owner, file, input, limit } => {
            let manifest = owner.load()?;
            let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let is_core = !input && bytes.starts_with(b"\x7fELF") && bytes.get(16) == Some(&4);
            let verdict = if is_core {
                triage::core(&manifest, &owner.program, &file)?
            } else {
                triage::input(&manifest, &owner.program, &file, Duration::from_secs(limit))?
            };
            println!("{verdict}");
            return Ok(match verdict {
                Verdict::Chaff(_) | Verdict::NoCrash(_) => ExitCode::SUCCESS,
                Verdict::Real(_) => ExitCode::from(1),
                Verdict::Unknown(_) => ExitCode::from(2),
            });
        }
        Verb::Trigger { owner, id, output } => {
            let manifest = owner.load()?;
            let bytes = manifest.trigger(manifest.bug(id)?);
            match output {
                Some(path) => {
                    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?
                }
                None => std::io::stdout().write_all(&bytes)?,
            }
        }
        Verb::Report { owner, format } => report(&owner.load()?, &owner.program, &format)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn report(manifest: &Manifest, program: &Path, format: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if format == "json" {
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({
                "program": program, "build": manifest.build, "seed": manifest.seed,
                "command": manifest.command, "expected_triggers": manifest.expected_triggers(), "bugs": manifest.bugs, "refused": manifest.refused,
            }))?
        )?;
        return Ok(());
    }
    let mut counts: BTreeMap<(Class, &str), usize> = BTreeMap::new();
    for bug in &manifest.bugs {
        *counts.entry((bug.class, &bug.shape)).or_default() += 1;
    }
    writeln!(out, "{:<12} {:<10} {:>6}", "class", "shape", "bugs")?;
    for ((class, shape), count) in counts {
        writeln!(out, "{:<12} {shape:<10} {count:>6}", format!("{class:?}").to_lowercase())?;
    }
    writeln!(out, "{:<23} {:>6}", "all", manifest.bugs.len())?;
    writeln!(out, "a benign input triggers at most {:.1e} bugs on average", manifest.expected_triggers())?;
    for (reason, count) in &manifest.refused {
        writeln!(out, "refused {count:>6}: {reason}")?;
    }
    Ok(())
}
