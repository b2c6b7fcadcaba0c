//! `husk chaff cc`: a drop-in for clang. An object it makes holds the machine code and the optimised bitcode from which
//! that code came; a program it links holds the recipe of its link. Whatever it does not understand goes to clang
//! unchanged.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use object::read::archive::ArchiveFile;

use crate::recipe::{self, Argument, Recipe, Unit};
use crate::toolchain;

/// Options whose value is the next word.
const WITH_VALUE: [&str; 24] = [
    "-o",
    "-I",
    "-D",
    "-U",
    "-L",
    "-l",
    "-x",
    "-MF",
    "-MT",
    "-MQ",
    "-include",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-imacros",
    "-Xlinker",
    "-Xclang",
    "-Xpreprocessor",
    "-Xassembler",
    "-T",
    "-u",
    "-target",
    "-z",
    "-arch",
];
/// Options that make clang do something else than compile or link C.
const OTHER_WORK: [&str; 9] =
    ["-E", "-S", "-M", "-MM", "-fsyntax-only", "-emit-llvm", "--version", "-v", "-###"];

/// What one command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    compile_only: bool,
    other_work: bool,
    output: Option<String>,
    sources: Vec<String>,
    /// Options for compiling, in order.
    options: Vec<String>,
    /// The whole command line for linking, in order, without `-o`; sources are among it.
    link: Vec<String>,
}

fn is_source(word: &str) -> bool {
    let known = ["c", "cc", "cpp", "cxx", "c++", "C", "i", "ii"];
    Path::new(word).extension().is_some_and(|extension| known.iter().any(|known| extension == *known))
}

impl Request {
    fn parse(words: &[String]) -> Self {
        let mut request = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-c" => request.compile_only = true,
                "-o" => request.output = words.next().cloned(),
                // Bitcode in place of objects is what the wrapper makes anyway.
                _ if word.starts_with("-flto") => {}
                "-" | "-x" => request.other_work = true,
                _ if OTHER_WORK.contains(&word.as_str())
                    || word.starts_with("-print-")
                    || word.starts_with("-dump") =>
                {
                    request.other_work = true;
                }
                _ if word.starts_with('@') => request.other_work = true,
                _ if !word.starts_with('-') => {
                    request.link.push(word.clone());
                    if is_source(word) {
                        request.sources.push(word.clone());
                    }
                }
                _ => {
                    request.link.push(word.clone());
                    request.options.push(word.clone());
                    if WITH_VALUE.contains(&word.as_str())
                        && let Some(value) = words.next()
                    {
                        request.link.push(value.clone());
                        request.options.push(value.clone());
                    }
                }
            }
        }
        request
    }

    /// The compile options that also shape machine code.
    fn code_flags(&self) -> Vec<String> {
        let shapes = |option: &&String| {
            (option.starts_with("-O") || option.starts_with("-f") || option.starts_with("-m"))
                && !option.starts_with("-fplugin")
                && !option.starts_with("-fprofile")
                && !option.starts_with("-fsanitize")
        };
        self.options.iter().filter(shapes).cloned().collect()
    }
}

/// Runs the wrapper as `driver` (`clang` or `clang++`) and returns the exit code for its caller.
///
/// # Errors
/// When clang or a tool of LLVM is missing, or an object cannot be rewritten. An error in the compiled code is no error
/// here: clang has reported it and its exit code is returned.
pub fn main(driver: &str, words: &[String]) -> Result<ExitCode> {
    let request = Request::parse(words);
    if request.other_work || (request.compile_only && request.sources.is_empty()) {
        return clang(driver, words);
    }
    if request.compile_only {
        for source in &request.sources {
            let object = match &request.output {
                Some(output) => PathBuf::from(output),
                None => Path::new(Path::new(source).file_name().context("a source without a name")?)
                    .with_extension("o"),
            };
            if let Some(code) = compile(driver, &request, source, &object)? {
                return Ok(code);
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    link(driver, &request, words)
}

fn clang(driver: &str, words: &[impl AsRef<std::ffi::OsStr>]) -> Result<ExitCode> {
    let status = Command::new(toolchain::program(driver)?).args(words).status()?;
    Ok(exit_code(status))
}

fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Compiles one source. `Some` is the exit code of a compiler that found an error.
fn compile(driver: &str, request: &Request, source: &str, object: &Path) -> Result<Option<ExitCode>> {
    let scratch = tempfile::tempdir()?;
    let bitcode = scratch.path().join("unit.bc");
    let mut command = Command::new(toolchain::program(driver)?);
    command.args(&request.options).arg("-Qunused-arguments");
    // Without these, the dependency file would be named after the scratch file.
    let wants_dependencies = request.options.iter().any(|option| option == "-MD" || option == "-MMD");
    if wants_dependencies && !request.options.iter().any(|option| option == "-MF") {
        command.arg("-MF").arg(object.with_extension("d"));
    }
    if wants_dependencies && !request.options.iter().any(|option| option == "-MT" || option == "-MQ") {
        command.arg("-MT").arg(object);
    }
    let status = command.args(["-emit-llvm", "-c", source, "-o"]).arg(&bitcode).status()?;
    if !status.success() {
        return Ok(Some(exit_code(status)));
    }
    let unit = Unit { bitcode: fs::read(&bitcode)?, flags: request.code_flags() };
    recipe::generate_code(driver, &unit.flags, &bitcode, object)?;
    unit.store(object)?;
    Ok(None)
}

fn link(driver: &str, request: &Request, words: &[String]) -> Result<ExitCode> {
    let scratch = tempfile::tempdir()?;
    let mut arguments = request.link.clone();
    for (index, source) in request.sources.iter().enumerate() {
        let object = scratch.path().join(format!("{index}.o"));
        if let Some(code) = compile(driver, request, source, &object)? {
            return Ok(code);
        }
        let place = arguments.iter_mut().find(|word| *word == source).context("a source is named twice")?;
        *place = object.display().to_string();
    }
    let output = request.output.clone().unwrap_or_else(|| "a.out".into());
    let mut command = Command::new(toolchain::program(driver)?);
    command.args(&arguments).args(["-Wl,--trace,--trace", "-o", &output]).stdout(Stdio::piped());
    let result = command.spawn()?.wait_with_output()?;
    if !result.status.success() {
        return Ok(exit_code(result.status));
    }
    // `-r` makes an object, not a program; it keeps no recipe and counts as native code later.
    if words.iter().any(|word| word == "-r" || word == "-Wl,-r") {
        return Ok(ExitCode::SUCCESS);
    }
    let mut units = Vec::new();
    for line in String::from_utf8_lossy(&result.stdout).lines() {
        if let Some(bytes) = traced_object(line)
            && let Some(unit) = Unit::of(&bytes)
        {
            units.push((line.to_owned(), unit));
        }
    }
    if units.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut seen = false;
    let mut kept = Vec::new();
    for word in arguments {
        let is_unit = word.ends_with(".o") && fs::read(&word).is_ok_and(|bytes| Unit::of(&bytes).is_some());
        if is_unit && seen {
            continue;
        }
        // An archive's bitcode members come in with the modules, so those must stand before it.
        if !seen && (is_unit || word.ends_with(".a") || word.starts_with("-l")) {
            kept.push(Argument::Modules);
            seen = true;
        }
        if !is_unit {
            kept.push(Argument::Plain(word));
        }
    }
    if !seen {
        kept.push(Argument::Modules);
    }
    Recipe::new(std::env::current_dir()?, driver, kept, units).store(Path::new(&output))?;
    Ok(ExitCode::SUCCESS)
}

/// The bytes behind one line of the linker's trace: `path.o`, `(archive.a)member.o` or `archive.a(member.o)`.
fn traced_object(line: &str) -> Option<Vec<u8>> {
    let pair = match line.strip_prefix('(') {
        Some(rest) => rest.split_once(')'),
        None => line.strip_suffix(')').and_then(|line| line.rsplit_once('(')),
    };
    let Some((archive, member)) = pair else {
        return line.ends_with(".o").then(|| fs::read(line).ok())?;
    };
    let bytes = fs::read(archive).ok()?;
    let file = ArchiveFile::parse(&*bytes).ok()?;
    let found = file.members().flatten().find(|entry| entry.name() == member.as_bytes())?;
    found.data(&*bytes).ok().map(<[u8]>::to_vec)
}

/// Words of the command line as text, which is what makefiles write.
///
/// # Errors
/// When a word is not UTF-8.
pub fn text(words: Vec<OsString>) -> Result<Vec<String>> {
    words
        .into_iter()
        .map(|word| word.into_string().map_err(|word| anyhow::anyhow!("{} is not UTF-8", word.display())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Request {
        Request::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_compile_command_is_taken_apart() {
        let request = parse("-O2 -I include -fPIC -Wall -c src/a.c -o out/a.o -MD -MF a.d");
        assert!(request.compile_only);
        assert_eq!(request.sources, ["src/a.c"]);
        assert_eq!(request.output.as_deref(), Some("out/a.o"));
        assert_eq!(request.code_flags(), ["-O2", "-fPIC"]);
    }

    #[test]
    fn values_of_options_are_no_inputs() {
        let request = parse("-include config.c a.o -Xlinker x.c -lm");
        assert!(request.sources.is_empty());
        assert_eq!(request.link, ["-include", "config.c", "a.o", "-Xlinker", "x.c", "-lm"]);
    }

    #[test]
    fn preprocessing_is_left_to_clang() {
        assert!(parse("-E a.c").other_work);
        assert!(parse("-x c -c -").other_work);
        assert!(parse("--version").other_work);
    }
}
