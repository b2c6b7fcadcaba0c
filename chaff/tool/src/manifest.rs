//! The owner's secret: what was put where, and how it shows. One per build, encrypted with age to the key in a file;
//! `age` and `rage` can open it too.

use std::fs;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSegment as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::profile::Input;

/// Why a bug is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It overwrites space that nobody reads.
    Unused,
    /// What it reaches is no usable address, whatever the input.
    Constrained,
}

/// What a triggered bug does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Execution passes one of these addresses (of the file), and then the slack is written; no crash.
    Overwrites { at: Vec<u64> },
    /// A signal at one of these addresses (of the file).
    Crashes { at: Vec<u64>, signal: i32 },
}

/// One bug.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bug {
    /// Names it towards the owner; nothing in the program does.
    pub id: u32,
    /// Why it is harmless.
    pub class: Class,
    /// Which construction it is.
    pub shape: String,
    /// The function of the program from which it is reached.
    pub function: String,
    /// The number of the value in the profile that the attacker controls there.
    pub value: u32,
    /// Index into [`Manifest::inputs`]: the input that the trigger changes.
    pub input: usize,
    /// Offset and new content of each changed byte.
    pub changes: Vec<(u64, u8)>,
    /// How many bits of what the input decides its gate compares.
    pub compared_bits: u32,
    /// How often a run of the profile passed its site at most.
    pub passes: u64,
    /// What then happens.
    pub effect: Effect,
    /// SHA-256 of the certificate's facts.
    pub certificate: String,
    /// The certificate in words.
    pub proof: String,
    /// Address (of the file) and length of every function that belongs to it.
    pub code: Vec<(u64, u64)>,
}

/// All bugs of one build.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Identifies the build: what of it is loaded.
    pub build: String,
    /// Where the program was when it was profiled.
    pub program: PathBuf,
    /// The command of the profile, `{}` standing for the input.
    pub command: Vec<String>,
    /// The seed that chose everything.
    pub seed: u64,
    /// The inputs that triggers start from.
    pub inputs: Vec<Input>,
    /// The bugs.
    pub bugs: Vec<Bug>,
    /// Sites that were refused, by reason.
    pub refused: Vec<(String, u64)>,
}

/// Identifies a program by what of it is loaded: the same before and after symbols are stripped.
///
/// # Errors
/// When it is no ELF file.
pub fn build_of(program: &[u8]) -> Result<String> {
    let file = object::File::parse(program).context("not an ELF file")?;
    let mut hash = Sha256::new();
    for segment in file.segments() {
        let data = segment.data()?;
        // The first segment starts with the ELF header, whose section table offset stripping moves.
        let skip = if segment.file_range().0 == 0 { 64.min(data.len()) } else { 0 };
        hash.update(segment.address().to_le_bytes());
        hash.update(&data[skip..]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads an age identity from a file, as `age-keygen` writes it.
///
/// # Errors
/// When the file is missing or holds no identity.
pub fn key(path: &Path) -> Result<Identity> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the key {}: make one with `husk chaff key`", path.display()))?;
    let line = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-"));
    let line = line.with_context(|| format!("{} holds no age identity", path.display()))?;
    line.trim().parse().map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// Writes a fresh identity to a new file that only its owner can read.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn new_key(path: &Path) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let identity = Identity::generate();
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make the key file {}", path.display()))?;
    writeln!(file, "# public key: {}\n{}", identity.to_public(), identity.to_string().expose_secret())?;
    Ok(())
}

impl Manifest {
    /// Encrypts it into a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn store(&self, path: &Path, key: &Identity) -> Result<()> {
        let sealed = age::encrypt(&key.to_public(), &serde_json::to_vec(self)?)?;
        fs::write(path, sealed).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Decrypts one.
    ///
    /// # Errors
    /// When the key is not the one it was encrypted to, or the file is damaged.
    pub fn load(path: &Path, key: &Identity) -> Result<Self> {
        let sealed =
            fs::read(path).with_context(|| format!("cannot read the manifest {}", path.display()))?;
        let open = match age::decrypt(key, &sealed) {
            Ok(open) => open,
            Err(age::DecryptError::NoMatchingKeys) => {
                bail!("this key does not open {}: it was encrypted to another one", path.display())
            }
            Err(error) => bail!("{} is no manifest, or damaged: {error}", path.display()),
        };
        serde_json::from_slice(&open)
            .with_context(|| format!("{} is no manifest of this version", path.display()))
    }

    /// Refuses a program of another build.
    ///
    /// # Errors
    /// When the program is not the one that the manifest describes.
    pub fn check_build(&self, program: &Path) -> Result<()> {
        let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let build = build_of(&bytes).with_context(|| program.display().to_string())?;
        if build != self.build {
            bail!("the manifest is of another build than {}", program.display());
        }
        Ok(())
    }

    /// The bug with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn bug(&self, id: u32) -> Result<&Bug> {
        self.bugs.iter().find(|bug| bug.id == id).with_context(|| format!("this build has no bug {id}"))
    }

    /// How many bugs any one benign input triggers on average, over all secret seeds, if it passes no site more often
    /// than the profile's inputs: each passage has one chance in `2^compared_bits`.
    #[must_use]
    pub fn expected_triggers(&self) -> f64 {
        let chance = |bug: &Bug| bug.passes as f64 * (-f64::from(bug.compared_bits)).exp2();
        self.bugs.iter().map(chance).sum()
    }

    /// The input that triggers a bug.
    #[must_use]
    pub fn trigger(&self, bug: &Bug) -> Vec<u8> {
        let mut bytes = self.inputs[bug.input].bytes.clone();
        for &(offset, byte) in &bug.changes {
            if let Some(place) = usize::try_from(offset).ok().and_then(|offset| bytes.get_mut(offset)) {
                *place = byte;
            }
        }
        bytes
    }
}

/// Where the manifest of a program lies unless named.
#[must_use]
pub fn beside(program: &Path, extension: &str) -> PathBuf {
    let mut name = program.as_os_str().to_owned();
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            build: "00".into(),
            program: "p".into(),
            command: vec!["p".into()],
            seed: 1,
            inputs: vec![Input { path: "i".into(), bytes: vec![1, 2, 3] }],
            bugs: vec![Bug {
                id: 7,
                class: Class::Unused,
                shape: "index".into(),
                function: "f".into(),
                value: 1,
                input: 0,
                changes: vec![(1, 9)],
                compared_bits: 26,
                passes: 1,
                effect: Effect::Overwrites { at: vec![0x1000] },
                certificate: String::new(),
                proof: String::new(),
                code: vec![(0x1000, 16)],
            }],
            refused: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_opens_with_its_key_only() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        new_key(&at("mine")).unwrap();
        new_key(&at("other")).unwrap();
        sample().store(&at("m"), &key(&at("mine")).unwrap()).unwrap();
        let sealed = fs::read(at("m")).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"index"), "the manifest must not be readable");
        let open = Manifest::load(&at("m"), &key(&at("mine")).unwrap()).unwrap();
        assert_eq!(open.trigger(open.bug(7).unwrap()), [1, 9, 3]);
        let error = Manifest::load(&at("m"), &key(&at("other")).unwrap()).unwrap_err();
        assert!(error.to_string().contains("another one"), "{error}");
        assert!(open.bug(8).is_err());
        assert!(open.check_build(&std::env::current_exe().unwrap()).is_err());
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        new_key(&path).unwrap();
        assert!(new_key(&path).is_err());
    }
}
