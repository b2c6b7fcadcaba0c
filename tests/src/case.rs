//! The C cases: finds them, reads their directives and compiles them.
//!
//! A directive is a comment line `//= word …` among the first lines of a source: `static` links statically,
//! `timeout SECONDS` raises the time limit, `args A B` gives arguments, `flags F` adds compiler flags behind the source.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Cases do what a compiler would rather warn of (bad pointers, endless recursion), so only plain slips are errors.
const FLAGS: &[&str] = &[
    "-std=gnu17",
    "-O1",
    "-pthread",
    "-Werror=implicit-function-declaration",
    "-Werror=implicit-int",
    "-Werror=format",
    "-Wno-format-truncation",
    "-Werror=int-conversion",
];

/// One C case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Folder name: what part of the interface it tests.
    pub(crate) family: String,
    /// File name without `.c`.
    pub(crate) name: String,
    /// It works in a folder below TMPDIR.
    pub(crate) has_scratch: bool,
    source: PathBuf,
    directives: Directives,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Directives {
    is_static: bool,
    timeout: Option<u64>,
    args: Vec<String>,
    flags: Vec<String>,
}

impl Directives {
    fn parse(text: &str) -> Result<Directives, String> {
        let mut directives = Directives::default();
        for line in text.lines().filter_map(|line| line.strip_prefix("//=")) {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("static") => directives.is_static = true,
                Some("timeout") => {
                    let seconds = words.next().and_then(|word| word.parse().ok());
                    directives.timeout = Some(seconds.ok_or("//= timeout needs a number of seconds")?);
                }
                Some("args") => directives.args = words.collect(),
                Some("flags") => directives.flags = words.collect(),
                other => return Err(format!("unknown directive {other:?}")),
            }
        }
        Ok(directives)
    }
}

impl Case {
    /// All cases below `folder/FAMILY/NAME.c`, sorted by family and name.
    pub(crate) fn find(folder: &Path) -> Result<Vec<Case>, String> {
        let mut cases = Vec::new();
        for family in entries(folder)? {
            if family.is_dir() {
                cases.extend(Case::in_family(&family)?);
            }
        }
        Ok(cases)
    }

    /// The cases of one folder; the folder's name is the family.
    pub(crate) fn in_family(folder: &Path) -> Result<Vec<Case>, String> {
        let mut cases = Vec::new();
        for source in entries(folder)? {
            if source.extension().is_some_and(|extension| extension == "c") {
                let text =
                    fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))?;
                let directives =
                    Directives::parse(&text).map_err(|error| format!("{}: {error}", source.display()))?;
                cases.push(Case {
                    family: file_name(folder),
                    name: source.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
                    has_scratch: text.contains("scratch()"),
                    source,
                    directives,
                });
            }
        }
        Ok(cases)
    }

    /// `FAMILY/NAME`.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }

    /// The source.
    pub(crate) fn text(&self) -> Result<String, String> {
        fs::read_to_string(&self.source).map_err(|error| format!("{}: {error}", self.source.display()))
    }

    /// Time limit of one run.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.directives.timeout.unwrap_or(10))
    }

    /// Arguments of the program.
    pub(crate) fn args(&self) -> &[String] {
        &self.directives.args
    }

    /// Compiles the case below `out` and returns the executable. What was compiled from the same text with the
    /// same flags is not compiled again.
    pub(crate) fn compile(&self, out: &Path) -> Result<PathBuf, String> {
        let mut flags: Vec<&str> = FLAGS.to_vec();
        if self.directives.is_static {
            flags.push("-static");
        }
        let key = self.key(&flags).map_err(|error| format!("{}: {error}", self.source.display()))?;
        let folder = out.join(&self.family);
        let program = folder.join(format!("{}-{key:016x}", self.name));
        if program.exists() {
            return Ok(program);
        }
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        // Two families may compile the same case at once.
        let thread = std::thread::current().id();
        let draft = folder.join(format!("{}-{key:016x}.{thread:?}", self.name));
        let compiler = std::env::var("CC").unwrap_or_else(|_| "gcc".into());
        let output = Command::new(&compiler)
            .args(&flags)
            .arg("-o")
            .arg(&draft)
            .arg(&self.source)
            .args(&self.directives.flags)
            .output()
            .map_err(|error| format!("{compiler}: {error}"))?;
        if !output.status.success() {
            return Err(format!("does not compile:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        self.remove_older(&folder, &program)?;
        fs::rename(&draft, &program).map_err(|error| format!("{}: {error}", program.display()))?;
        Ok(program)
    }

    /// Removes what was compiled from earlier forms of the case: files called NAME-KEY other than `program`.
    fn remove_older(&self, folder: &Path, program: &Path) -> Result<(), String> {
        for file in entries(folder)? {
            let name = file_name(&file);
            let is_one =
                name.rsplit_once('-').is_some_and(|(name, key)| name == self.name && !key.contains('.'));
            if is_one && file != *program {
                fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        Ok(())
    }

    /// A key of everything the executable depends on: its source, the headers beside the families, the flags.
    fn key(&self, flags: &[&str]) -> io::Result<u64> {
        let mut hasher = DefaultHasher::new();
        fs::read(&self.source)?.hash(&mut hasher);
        flags.hash(&mut hasher);
        self.directives.flags.hash(&mut hasher);
        for folder in self.source.ancestors().skip(1).take(2) {
            for header in entries(folder).map_err(io::Error::other)? {
                if header.extension().is_some_and(|extension| extension == "h") {
                    fs::read(header)?.hash(&mut hasher);
                }
            }
        }
        Ok(hasher.finish())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let describe = |error: io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(describe)? {
        paths.push(entry.map_err(describe)?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read() {
        let text = "// About.\n//= static\n//= timeout 30\n//= args a b\nint main() {}\n";
        let directives = Directives::parse(text).unwrap();
        assert!(directives.is_static);
        assert_eq!(directives.timeout, Some(30));
        assert_eq!(directives.args, ["a", "b"]);
        assert!(directives.flags.is_empty());
    }

    #[test]
    fn a_misspelt_directive_is_an_error() {
        assert!(Directives::parse("//= sttaic\n").is_err());
        assert!(Directives::parse("//= timeout soon\n").is_err());
    }
}
