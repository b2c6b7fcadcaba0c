//! What the instrumented program tells about its values: how often each was computed, what it was, and of which input
//! bytes it is made. A value is of use to an attacker who controls those bytes, if they decide no branch before it
//! (dead), it is nearly a copy of them (uncomplicated), and it is at hand at the site (available).

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::recipe::Recipe;
use crate::toolchain;

/// How many samples of one value are kept.
const SAMPLES: usize = 12;

/// A value as a function of input bytes and of constants of that run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Expression {
    /// The input byte at this offset.
    Byte(u64),
    /// A value that no input byte took part in.
    Constant { width: u32, value: u64 },
    /// An operation of this result width on operands, named as in LLVM.
    Operation { name: String, width: u32, operands: Vec<Expression> },
}

impl TryFrom<String> for Expression {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.to_string()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Byte(offset) => write!(formatter, "b{offset}"),
            Self::Constant { width, value } => write!(formatter, "k{width}:{value}"),
            Self::Operation { name, width, operands } => {
                write!(formatter, "({name} {width}")?;
                operands.iter().try_for_each(|operand| write!(formatter, " {operand}"))?;
                formatter.write_str(")")
            }
        }
    }
}

impl Expression {
    /// Reads the prefix form that the instrumented program writes: `b12`, `k32:7`, `(add 32 b12 k32:7)`.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let mut words = spaced.split_whitespace();
        let expression = Self::parse_words(&mut words)?;
        if words.next().is_some() {
            bail!("words follow the expression {text:?}");
        }
        Ok(expression)
    }

    fn parse_words<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Self> {
        let word = words.next().context("the expression ends early")?;
        if let Some(offset) = word.strip_prefix('b') {
            return Ok(Self::Byte(offset.parse()?));
        }
        if let Some(rest) = word.strip_prefix('k') {
            let (width, value) = rest.split_once(':').context("a constant without width")?;
            return Ok(Self::Constant { width: width.parse()?, value: value.parse()? });
        }
        if word != "(" {
            bail!("{word:?} starts no expression");
        }
        let name = words.next().context("an operation without name")?.to_owned();
        let width = words.next().context("an operation without width")?.parse()?;
        let arity = match name.as_str() {
            "zext" | "sext" | "trunc" => 1,
            "extract" | "concat" | "add" | "sub" | "mul" | "and" | "or" | "xor" | "shl" | "lshr" | "ashr" => {
                2
            }
            _ => bail!("unknown operation {name:?}"),
        };
        let operands = (0..arity).map(|_| Self::parse_words(words)).collect::<Result<_>>()?;
        if words.next() != Some(")") {
            bail!("operation {name} is not closed");
        }
        Ok(Self::Operation { name, width, operands })
    }

    /// The offsets of the input bytes in it, sorted, each once.
    #[must_use]
    pub fn bytes(&self) -> Vec<u64> {
        fn collect(expression: &Expression, offsets: &mut Vec<u64>) {
            match expression {
                Expression::Byte(offset) => offsets.push(*offset),
                Expression::Constant { .. } => {}
                Expression::Operation { operands, .. } => {
                    operands.iter().for_each(|operand| collect(operand, offsets));
                }
            }
        }
        let mut offsets = Vec::new();
        collect(self, &mut offsets);
        offsets.sort_unstable();
        offsets.dedup();
        offsets
    }

    /// Its taint compute number: operations between input and value that are more than moving bytes.
    #[must_use]
    pub fn computations(&self) -> usize {
        match self {
            Self::Operation { name, operands, .. } => {
                let own =
                    usize::from(!matches!(name.as_str(), "zext" | "sext" | "trunc" | "extract" | "concat"));
                own + operands.iter().map(Self::computations).sum::<usize>()
            }
            _ => 0,
        }
    }

    /// The width in bits.
    #[must_use]
    pub fn width(&self) -> u32 {
        match self {
            Self::Byte(_) => 8,
            Self::Constant { width, .. } | Self::Operation { width, .. } => *width,
        }
    }

    /// The value for one input; bytes past its end are zero.
    #[must_use]
    pub fn evaluate(&self, input: &[u8]) -> u64 {
        let mask = |width: u32, value: u64| if width >= 64 { value } else { value & ((1 << width) - 1) };
        let signed = |width: u32, value: u64| ((value << (64 - width)) as i64) >> (64 - width);
        match self {
            Self::Byte(offset) => usize::try_from(*offset)
                .ok()
                .and_then(|offset| input.get(offset))
                .map_or(0, |&byte| byte.into()),
            Self::Constant { width, value } => mask(*width, *value),
            Self::Operation { name, width, operands } => {
                let a = operands[0].evaluate(input);
                let b = operands.get(1).map_or(0, |operand| operand.evaluate(input));
                let shift = |value: Option<u64>| value.unwrap_or(0);
                let amount = u32::try_from(b).unwrap_or(u32::MAX);
                let value = match name.as_str() {
                    "zext" | "trunc" => a,
                    "sext" => signed(operands[0].width(), a) as u64,
                    "extract" => a >> (b * 8),
                    "concat" => a | (b << operands[0].width()),
                    "add" => a.wrapping_add(b),
                    "sub" => a.wrapping_sub(b),
                    "mul" => a.wrapping_mul(b),
                    "and" => a & b,
                    "or" => a | b,
                    "xor" => a ^ b,
                    "shl" => shift(a.checked_shl(amount)),
                    "lshr" => shift(a.checked_shr(amount)),
                    _ => (signed(*width, a) >> amount.min(63)) as u64,
                };
                mask(*width, value)
            }
        }
    }
}

/// One time a tainted value was computed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Index into [`Profile::inputs`].
    pub input: usize,
    /// Which computation of this value in that run, from zero.
    pub ordinal: u64,
    /// What it was.
    pub value: u64,
    /// How it came from the input.
    pub expression: Expression,
    /// The most branches that any of its bytes had a part in, over the whole run.
    pub liveness: u64,
}

/// What is known of one value of the program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Value {
    /// How often it was computed over the whole corpus.
    pub count: u64,
    /// The most often it was computed in one run.
    pub count_in_run: u64,
    /// Smallest and largest, unsigned.
    pub range: Option<(u64, u64)>,
    /// Tainted computations, a few of each input.
    pub samples: Vec<Sample>,
}

/// One file of the corpus.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// Where it was.
    pub path: PathBuf,
    /// Its content.
    #[serde(with = "hexadecimal")]
    pub bytes: Vec<u8>,
}

/// All that a corpus told about a program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// The recipe that was profiled.
    pub digest: String,
    /// Where the program was.
    pub program: PathBuf,
    /// The command that was run for each input, `{}` standing for it.
    pub command: Vec<String>,
    /// The corpus.
    pub inputs: Vec<Input>,
    /// By the number that the instrumentation gave each value.
    pub values: BTreeMap<u32, Value>,
}

/// Bytes as text, for documents.
pub mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    /// Writes them.
    ///
    /// # Errors
    /// Those of the document.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    /// Reads them.
    ///
    /// # Errors
    /// When the text is no sequence of hexadecimal pairs.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> =
            text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => {
                Ok(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
            }
            _ => Err(D::Error::custom("not hexadecimal")),
        }
    }
}

impl Profile {
    /// Reads a profile and checks that it is of this recipe.
    ///
    /// # Errors
    /// When there is none, or it is of another build of the program.
    pub fn load(path: &Path, recipe: &Recipe) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| {
            format!("there is no profile {}: make one with `husk chaff profile`", path.display())
        })?;
        let profile: Self =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is no profile", path.display()))?;
        if profile.digest != recipe.digest() {
            bail!("{} is the profile of another build of this program: profile it again", path.display());
        }
        Ok(profile)
    }

    /// Adds what one process recorded while it read input number `input`.
    ///
    /// # Errors
    /// When the record is damaged.
    pub fn add(&mut self, input: usize, record: &str) -> Result<()> {
        for line in record.lines() {
            let mut fields = line.splitn(6, ' ');
            let mut next = || fields.next().context("a record line ends early");
            let kind = next()?;
            let value = self.values.entry(next()?.parse()?).or_default();
            match kind {
                "C" => {
                    let (count, low, high): (u64, u64, u64) =
                        (next()?.parse()?, next()?.parse()?, next()?.parse()?);
                    value.count += count;
                    value.count_in_run = value.count_in_run.max(count);
                    let (old_low, old_high) = value.range.unwrap_or((low, high));
                    value.range = Some((low.min(old_low), high.max(old_high)));
                }
                // A few show what a value is made of; all of them would fill the disk.
                "S" if value.samples.len() >= SAMPLES => {}
                "S" => {
                    let (ordinal, concrete, liveness) =
                        (next()?.parse()?, next()?.parse()?, next()?.parse()?);
                    let expression = Expression::parse(next()?)?;
                    value.samples.push(Sample { input, ordinal, value: concrete, expression, liveness });
                }
                _ => bail!("unknown record line {line:?}"),
            }
        }
        Ok(())
    }
}

/// How one run of the program under test ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code, or the signal that ended it.
    pub end: End,
    /// What it wrote.
    pub stdout: Vec<u8>,
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
    /// It ran longer than it may, and was killed.
    Timeout,
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
            Self::Timeout => write!(formatter, "no end in time"),
        }
    }
}

/// The command for one input: its path in place of `{}`, or the input on standard input where there is no `{}`. A word
/// that names the file `instead_of` names `program` instead; a script finds it in `HUSK_CHAFF_PROGRAM`.
///
/// # Errors
/// When the input cannot be opened.
pub fn command_for(command: &[String], instead_of: &Path, program: &Path, input: &Path) -> Result<Command> {
    let is_program = |word: &str| names(word, instead_of);
    let word = |word: &String| {
        if is_program(word) {
            program.display().to_string()
        } else {
            word.replace("{}", &input.display().to_string())
        }
    };
    let (first, rest) = command.split_first().context("there is no command after --")?;
    let mut result = Command::new(word(first));
    result.args(rest.iter().map(word)).env("HUSK_CHAFF_PROGRAM", program);
    result.stdin(if on_stdin(command) { fs::File::open(input)?.into() } else { Stdio::null() });
    Ok(result)
}

/// Whether a word names a program: by the path itself, whether or not that is still there, or by another one to the same
/// file.
fn names(word: &str, program: &Path) -> bool {
    Path::new(word) == program || Path::new(word).canonicalize().is_ok_and(|path| path == program)
}

/// Whether a command reads its input from standard input.
#[must_use]
pub fn on_stdin(command: &[String]) -> bool {
    !command.iter().skip(1).any(|word| word.contains("{}"))
}

/// Runs a command to its end, for `limit` at most.
///
/// # Errors
/// When it cannot start.
pub fn run_limited(command: &mut Command, limit: Duration) -> Result<Run> {
    use std::os::unix::process::ExitStatusExt as _;
    let capture = tempfile::tempfile()?;
    command.stdout(capture.try_clone()?).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let end = match status {
        None => End::Timeout,
        Some(status) => match (status.signal(), status.code()) {
            (Some(signal), _) => End::Signal(signal),
            // A shell reports a child's signal this way.
            (None, Some(code)) if code > 128 && code < 160 => End::Signal(code - 128),
            (None, code) => End::Code(code.unwrap_or(1)),
        },
    };
    let mut stdout = Vec::new();
    let mut capture = capture;
    std::io::Seek::rewind(&mut capture)?;
    std::io::Read::read_to_end(&mut capture, &mut stdout)?;
    Ok(Run { end, stdout })
}

/// The regular files under a directory, sorted, so that the same corpus gives the same profile.
///
/// # Errors
/// When the directory cannot be read or holds no file.
pub fn corpus(directory: &Path) -> Result<Vec<PathBuf>> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
        let entries = fs::read_dir(directory)
            .with_context(|| format!("cannot read the corpus {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                walk(&path, files)?;
            } else if path.is_file() {
                files.push(path);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    walk(
        &directory.canonicalize().with_context(|| format!("there is no corpus {}", directory.display()))?,
        &mut files,
    )?;
    files.sort();
    if files.is_empty() {
        bail!("the corpus {} holds no file", directory.display());
    }
    Ok(files)
}

/// Runs the instrumented form of `program` over a corpus.
///
/// # Errors
/// When the program has no recipe, the corpus is empty, or an input crashes the program.
pub fn profile(program: &Path, directory: &Path, command: &[String], limit: Duration) -> Result<Profile> {
    let program =
        program.canonicalize().with_context(|| format!("there is no program {}", program.display()))?;
    let recipe = Recipe::load(&program)?;
    let scratch = tempfile::tempdir()?;
    // Under its own name, which it may print.
    let instrumented = scratch.path().join(program.file_name().context("a program without a name")?);
    toolchain::run(
        Command::new(toolchain::pass()?).arg("instrument").arg(&program).arg("-o").arg(&instrumented),
    )?;
    let files = corpus(directory)?;
    let mut profile = Profile {
        program: program.clone(),
        digest: recipe.digest(),
        // By its whole path, which means the same in whatever directory the owner is later.
        command: command
            .iter()
            .map(|word| if names(word, &program) { program.display().to_string() } else { word.clone() })
            .collect(),
        inputs: Vec::new(),
        values: BTreeMap::new(),
    };
    for (index, path) in files.iter().enumerate() {
        let records = tempfile::tempdir()?;
        let run = run_limited(
            command_for(command, &program, &instrumented, path)?
                .env("HUSK_CHAFF_INPUT", path)
                .env("HUSK_CHAFF_RECORD", records.path()),
            limit,
        )?;
        match run.end {
            End::Code(_) => {}
            End::Signal(signal) => bail!(
                "{} ends the program by signal {signal}: a corpus must not crash it; remove that input, or fix the \
                 program first",
                path.display()
            ),
            End::Timeout => bail!(
                "{} takes more than {} s: remove that input or raise --limit",
                path.display(),
                limit.as_secs()
            ),
        }
        profile.inputs.push(Input { path: path.clone(), bytes: fs::read(path)? });
        for entry in fs::read_dir(records.path())? {
            profile.add(index, &fs::read_to_string(entry?.path())?)?;
        }
    }
    profile.values.retain(|_, value| value.count > 0);
    if profile.values.is_empty() {
        bail!("the command never ran {}, or ended it by a signal", program.display());
    }
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_and_evaluated() {
        let text = "(add 32 (concat 32 (concat 16 b0 b1) (zext 16 b2)) k32:5)";
        let expression = Expression::parse(text).unwrap();
        assert_eq!(expression.evaluate(&[1, 2, 3]), 0x0003_0201 + 5);
        assert_eq!(expression.bytes(), [0, 1, 2]);
        assert_eq!(expression.computations(), 1);
        assert_eq!(expression.to_string(), text);
        assert_eq!(Expression::parse("(sext 32 b0)").unwrap().evaluate(&[0x80]), 0xffff_ff80);
    }

    #[test]
    fn damaged_expressions_are_refused() {
        for text in ["", "(add 32 b0)", "(frob 8 b0 b1)", "b1 b2", "k:1"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }
}
