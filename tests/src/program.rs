//! The programs suite: whole commands as users run them (`programs.toml`), compared like the C cases, and
//! commands that `husk run` must refuse (`errors.toml`), whose status and message the file states.

use crate::terminal::Step;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// One command that must do in a guest what it does natively.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    /// Name of the case; its family is `programs`.
    pub(crate) name: String,
    /// Shell script that makes what the command needs, on the host, in the folder where the command then runs;
    /// `$PROGRAMS` is the folder of the suite's own sources.
    #[serde(default)]
    pub(crate) build: String,
    /// The command.
    pub(crate) run: Vec<String>,
    /// What `husk run` gets before the command.
    #[serde(default)]
    pub(crate) husk: Vec<String>,
    /// Programs of the host without which the case is skipped.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// Standard input.
    #[serde(default)]
    pub(crate) stdin: String,
    /// Environment variables, given natively and by `--env`.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Runs the command on a terminal and talks to it so.
    #[serde(default)]
    pub(crate) terminal: Vec<Step>,
    /// The command is one of the host in both cases, with `$RUN` before what is to run in the guest.
    #[serde(default)]
    pub(crate) outside: bool,
    /// Time limit in seconds.
    #[serde(default = "program_limit")]
    timeout: u64,
}

/// One command that `husk run` must refuse, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refusal {
    /// Name of the case; its family is `errors`.
    pub(crate) name: String,
    /// As in `Program`.
    #[serde(default)]
    pub(crate) build: String,
    /// The verb, `run` if none is named.
    #[serde(default)]
    pub(crate) verb: Option<String>,
    /// What `husk run` gets: options and the command.
    pub(crate) run: Vec<String>,
    /// Command before `husk`, to take something from it.
    #[serde(default)]
    pub(crate) under: Vec<String>,
    /// As in `Program`.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// Only under this tender.
    #[serde(default)]
    pub(crate) tender: Option<String>,
    /// Exit status it must have.
    pub(crate) status: i32,
    /// What its standard error must contain, letter case aside; `a|b` is either.
    pub(crate) says: Vec<String>,
}

const fn program_limit() -> u64 {
    60
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Programs {
    program: Vec<Program>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusals {
    error: Vec<Refusal>,
}

impl Program {
    /// Reads the list at `path`.
    pub(crate) fn read(path: &Path) -> Result<Vec<Program>, String> {
        read::<Programs>(path).map(|file| file.program)
    }

    /// Time limit of one run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

impl Refusal {
    /// Reads the list at `path`.
    pub(crate) fn read(path: &Path) -> Result<Vec<Refusal>, String> {
        read::<Refusals>(path).map(|file| file.error)
    }

    /// The first expected phrase that `message` lacks.
    pub(crate) fn unsaid(&self, message: &str) -> Option<&str> {
        let message = message.to_lowercase();
        self.says
            .iter()
            .find(|phrase| !phrase.split('|').any(|either| message.contains(&either.to_lowercase())))
            .map(String::as_str)
    }
}

/// Reads a list of tests.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// The first of `programs` that is not in PATH.
pub(crate) fn missing(programs: &[String]) -> Option<&str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    programs
        .iter()
        .find(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
        .map(String::as_str)
}

/// Runs a `build` script in `folder`.
pub(crate) fn build(script: &str, folder: &Path, sources: &Path) -> Result<(), String> {
    if script.is_empty() {
        return Ok(());
    }
    let output = Command::new("/bin/sh")
        .args(["-ec", script])
        .current_dir(folder)
        .env("PROGRAMS", sources)
        .output()
        .map_err(|error| format!("/bin/sh: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("build failed:\n{}", String::from_utf8_lossy(&output.stderr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(says: &[&str]) -> Refusal {
        Refusal {
            name: String::new(),
            verb: None,
            build: String::new(),
            run: Vec::new(),
            under: Vec::new(),
            needs: Vec::new(),
            tender: None,
            status: 127,
            says: says.iter().map(|phrase| (*phrase).to_owned()).collect(),
        }
    }

    #[test]
    fn every_phrase_must_be_said() {
        assert_eq!(refusal(&["not found|no such", "./x"]).unsaid("husk: ./x: No such file"), None);
        assert_eq!(refusal(&["./x", "libz"]).unsaid("husk: ./x: bad"), Some("libz"));
    }

    #[test]
    fn the_lists_are_well_formed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(!Program::read(&folder.join("programs.toml")).unwrap().is_empty());
        assert!(!Refusal::read(&folder.join("errors.toml")).unwrap().is_empty());
    }
}
