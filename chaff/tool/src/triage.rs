//! Is a crash chaff? Only what a manifest accounts for in full is: the right build, an instruction that a certificate
//! names, the signal it names, and an address that no mapping can have. Everything else counts as real.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use object::elf;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use crate::manifest::{Effect, Manifest};
use crate::profile;
use crate::trace;

/// What a crash is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This bug of the manifest, which does no harm.
    Chaff(u32),
    /// Not one of the manifest's bugs, for this reason.
    Real(String),
    /// Too little is known to say; treat it as real.
    Unknown(String),
    /// The input crashes nothing; these bugs were passed.
    NoCrash(Vec<u32>),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chaff(id) => write!(formatter, "chaff {id}"),
            Self::Real(reason) => write!(formatter, "real: {reason}"),
            Self::Unknown(reason) => write!(formatter, "unknown (treat as real): {reason}"),
            Self::NoCrash(ids) if ids.is_empty() => write!(formatter, "no crash, no chaff triggered"),
            Self::NoCrash(ids) => {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                write!(formatter, "no crash; chaff {} triggered", ids.join(", "))
            }
        }
    }
}

fn judge(manifest: &Manifest, signal: i32, at: Option<u64>) -> Verdict {
    let Some(at) = at else {
        return Verdict::Real("it crashed outside of the program's own code".into());
    };
    let by_place = manifest.bugs.iter().find_map(|bug| match &bug.effect {
        Effect::Crashes { at: places, signal } if places.contains(&at) => Some((bug.id, *signal)),
        _ => None,
    });
    match by_place {
        Some((id, expected)) if expected == signal => Verdict::Chaff(id),
        Some((id, expected)) => Verdict::Real(format!(
            "signal {signal} at an instruction of chaff {id}, which can only raise {expected}"
        )),
        None => Verdict::Real(format!("no certificate names a crash at {at:#x}")),
    }
}

/// What of a core dump triage needs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Core {
    signal: i32,
    /// `si_code` and `si_addr`.
    cause: Option<(i32, u64)>,
    instruction: u64,
    /// Start, end, offset in the file, name.
    files: Vec<(u64, u64, u64, String)>,
    /// Dumped memory: address and content.
    memory: BTreeMap<u64, Vec<u8>>,
}

impl Core {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let header = elf::FileHeader64::<object::LittleEndian>::parse(bytes)?;
        let endian = header.endian()?;
        let mut core = Self::default();
        let word = |data: &[u8], offset: usize| -> Result<u64> {
            let bytes = data.get(offset..offset + 8).context("a note of the core ends early")?;
            Ok(u64::from_le_bytes(bytes.try_into()?))
        };
        let mut seen = false;
        for segment in header.program_headers(endian, bytes)? {
            if segment.p_type(endian) == elf::PT_LOAD {
                // The beginning of each mapping tells which build was mapped; more is not needed.
                if let Ok(data) = segment.data(endian, bytes)
                    && !data.is_empty()
                {
                    core.memory.insert(segment.p_vaddr(endian), data[..data.len().min(4096)].to_vec());
                }
                continue;
            }
            let Some(mut notes) = segment.notes(endian, bytes)? else { continue };
            while let Some(note) = notes.next()? {
                let data = note.desc();
                match note.n_type(endian) {
                    // The thread that got the signal comes first.
                    elf::NT_PRSTATUS if !seen => {
                        seen = true;
                        core.signal =
                            i32::from(u16::from_le_bytes(data.get(12..14).context("short")?.try_into()?));
                        core.instruction = word(data, 112 + 16 * 8)?;
                    }
                    elf::NT_SIGINFO => {
                        core.cause = Some(((word(data, 8)? & 0xffff_ffff) as u32 as i32, word(data, 16)?));
                    }
                    elf::NT_FILE => {
                        let count = usize::try_from(word(data, 0)?)?;
                        let page = word(data, 8)?;
                        let names = data.get(16 + count * 24..).context("a note of the core ends early")?;
                        let mut names = names.split(|&byte| byte == 0);
                        for index in 0..count {
                            let entry = 16 + index * 24;
                            let name = String::from_utf8_lossy(names.next().unwrap_or_default()).into_owned();
                            core.files.push((
                                word(data, entry)?,
                                word(data, entry + 8)?,
                                word(data, entry + 16)? * page,
                                name,
                            ));
                        }
                    }
                    _ => {}
                }
            }
        }
        if !seen {
            bail!("the core holds no thread");
        }
        Ok(core)
    }
}

/// Judges a core dump of `program`.
///
/// # Errors
/// When it cannot be read at all, or the manifest is of another build.
pub fn core(manifest: &Manifest, program: &Path, core: &Path) -> Result<Verdict> {
    manifest.check_build(program)?;
    let bytes = fs::read(core)?;
    let core = Core::parse(&bytes).with_context(|| format!("{} is no core dump", core.display()))?;
    let file = fs::read(program)?;
    Ok(judge_core(manifest, &core, &file))
}

fn judge_core(manifest: &Manifest, core: &Core, program: &[u8]) -> Verdict {
    // The program is the mapped file whose first page is this program's: its path may have changed since.
    let is_program = |start: &u64| {
        core.memory.get(start).is_some_and(|page| {
            let length = page.len().min(program.len()).min(4096);
            length > 64 && page[..64] == program[..64] && page[64..length] == program[64..length]
        })
    };
    let Some((start, _, _, name)) =
        core.files.iter().find(|(start, _, offset, _)| *offset == 0 && is_program(start))
    else {
        return Verdict::Unknown("the core does not show that it is of this build".into());
    };
    let inside = core
        .files
        .iter()
        .any(|(low, high, _, other)| other == name && (low..high).contains(&&core.instruction));
    let first = match object::File::parse(program) {
        Ok(file) => {
            use object::{Object as _, ObjectSegment as _};
            file.segments().map(|segment| segment.address()).min().unwrap_or(0) & !0xfff
        }
        Err(_) => return Verdict::Unknown("the program cannot be read".into()),
    };
    let at = inside.then(|| core.instruction - start + first);
    let verdict = judge(manifest, core.signal, at);
    if !matches!(verdict, Verdict::Chaff(_)) {
        return verdict;
    }
    // A certificate allows the first 64 KiB and what is not canonical; the kernel reports the latter as SI_KERNEL.
    match core.cause {
        Some((0x80, 0)) => verdict,
        Some((_, address)) if !(0x1_0000..1 << 47).contains(&address) => verdict,
        Some((_, address)) => Verdict::Real(format!(
            "an instruction of chaff touched {address:#x}, which its certificate excludes"
        )),
        None => Verdict::Unknown("the core does not tell the address that was touched".into()),
    }
}

/// Runs the profiled command with `input` and judges what happens.
///
/// # Errors
/// When the manifest is of another build or the command never runs the program.
pub fn input(manifest: &Manifest, program: &Path, input: &Path, limit: Duration) -> Result<Verdict> {
    manifest.check_build(program)?;
    let mut owner = BTreeMap::new();
    for bug in &manifest.bugs {
        if let Effect::Overwrites { at } = &bug.effect {
            owner.extend(at.iter().map(|&at| (at, bug.id)));
        }
    }
    let watch: Vec<u64> = owner.keys().copied().collect();
    let program = &program.canonicalize()?;
    let command = profile::command_for(&manifest.command, &manifest.program, program, input)?;
    let stdin = profile::on_stdin(&manifest.command).then_some(input);
    let trace = trace::trace(&command, program, &watch, limit, stdin)?;
    if !trace.started && !trace.timeout {
        bail!("the profiled command ({}) did not run {}", manifest.command.join(" "), program.display());
    }
    Ok(match trace.crash {
        Some(crash) => judge(manifest, crash.signal, crash.at),
        None if trace.timeout => Verdict::Unknown("it did not end in time".into()),
        None => Verdict::NoCrash(trace.passed.iter().filter_map(|at| owner.get(at)).copied().collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Bug, Class};

    fn manifest() -> Manifest {
        let bug = Bug {
            id: 3,
            class: Class::Constrained,
            shape: "store".into(),
            function: "f".into(),
            value: 0,
            input: 0,
            changes: Vec::new(),
            compared_bits: 26,
            passes: 1,
            effect: Effect::Crashes { at: vec![0x1234], signal: 11 },
            certificate: String::new(),
            proof: String::new(),
            code: Vec::new(),
        };
        Manifest {
            build: String::new(),
            program: "p".into(),
            command: Vec::new(),
            seed: 0,
            inputs: Vec::new(),
            bugs: vec![bug],
            refused: Vec::new(),
        }
    }

    #[test]
    fn only_what_the_manifest_names_is_chaff() {
        assert_eq!(judge(&manifest(), 11, Some(0x1234)), Verdict::Chaff(3));
        assert!(matches!(judge(&manifest(), 6, Some(0x1234)), Verdict::Real(_)));
        assert!(matches!(judge(&manifest(), 11, Some(0x1235)), Verdict::Real(_)));
        assert!(matches!(judge(&manifest(), 11, None), Verdict::Real(_)));
    }

    #[test]
    fn a_core_counts_only_with_its_build_and_address() {
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        let base = 0x5555_0000_0000;
        let core = |cause| Core {
            signal: 11,
            cause,
            instruction: base + 0x1234,
            files: vec![(base, base + 0x10_0000, 0, "/p".into())],
            memory: BTreeMap::from([(base, program[..4096].to_vec())]),
        };
        assert_eq!(judge_core(&manifest(), &core(Some((0x80, 0))), &program), Verdict::Chaff(3));
        assert_eq!(judge_core(&manifest(), &core(Some((1, 8))), &program), Verdict::Chaff(3));
        assert!(matches!(
            judge_core(&manifest(), &core(Some((1, 0x7fff_0000_0000))), &program),
            Verdict::Real(_)
        ));
        assert!(matches!(judge_core(&manifest(), &core(None), &program), Verdict::Unknown(_)));
        let mut other = core(Some((0x80, 0)));
        other.memory.get_mut(&base).unwrap()[100] ^= 1;
        assert!(matches!(judge_core(&manifest(), &other, &program), Verdict::Unknown(_)));
    }
}
