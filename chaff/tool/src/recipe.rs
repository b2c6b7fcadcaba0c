//! A recipe says how a program was linked: its bitcode modules and its link command. The wrapper leaves one in a
//! section of every program that it links, so a program can be built again, instrumented or injected, without its
//! makefile. Objects carry their own bitcode the same way, so copying and archiving them loses nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object as _, ObjectSection as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::toolchain;

// Not `.llvmbc`: the linker plugin of any LLVM would claim an object that has it.
const BITCODE: &str = ".husk.bitcode";
const FLAGS: &str = ".husk.flags";
const RECIPE: &str = ".husk.recipe";

/// One piece of the link command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// Given to the linker as it is.
    Plain(String),
    /// Where the object made from all modules goes.
    Modules,
}

/// How a program was linked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The directory in which the link ran; relative names mean files there.
    pub directory: PathBuf,
    /// `clang` or `clang++`.
    pub driver: String,
    /// The link command, without the driver and without `-o`.
    pub arguments: Vec<Argument>,
    /// The flags with which the modules become machine code.
    pub flags: Vec<String>,
    /// Names of the modules, in link order.
    pub names: Vec<String>,
    #[serde(skip)]
    /// Optimised bitcode, one per name.
    pub modules: Vec<Vec<u8>>,
    lengths: Vec<usize>,
}

/// One object's bitcode and code generation flags.
pub struct Unit {
    /// Optimised bitcode.
    pub bitcode: Vec<u8>,
    /// Code generation flags.
    pub flags: Vec<String>,
}

impl Unit {
    /// Stores the unit in an object file's own sections, which linkers leave out of programs.
    ///
    /// # Errors
    /// When the object cannot be rewritten.
    pub fn store(&self, object: &Path) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let (bitcode, flags) = (scratch.path().join("bc"), scratch.path().join("cmd"));
        fs::write(&bitcode, &self.bitcode)?;
        fs::write(&flags, serde_json::to_vec(&self.flags)?)?;
        let mut command = Command::new(toolchain::program("llvm-objcopy")?);
        for (section, file) in [(BITCODE, &bitcode), (FLAGS, &flags)] {
            command.arg(format!("--add-section={section}={}", file.display()));
            command.arg(format!("--set-section-flags={section}=exclude"));
        }
        toolchain::run(command.arg(object))?;
        Ok(())
    }

    /// The unit inside an object's bytes, or `None` for an object of another origin.
    #[must_use]
    pub fn of(object: &[u8]) -> Option<Self> {
        let file = object::File::parse(object).ok()?;
        let bitcode = file.section_by_name(BITCODE)?.data().ok()?.to_vec();
        let flags = serde_json::from_slice(file.section_by_name(FLAGS)?.data().ok()?).ok()?;
        Some(Self { bitcode, flags })
    }
}

impl Recipe {
    /// Describes a link of `units` (name and content, in order) by `arguments` run in `directory`.
    #[must_use]
    pub fn new(
        directory: PathBuf,
        driver: &str,
        arguments: Vec<Argument>,
        units: Vec<(String, Unit)>,
    ) -> Self {
        let mut flags: Vec<String> = Vec::new();
        for flag in units.iter().flat_map(|(_, unit)| &unit.flags) {
            // Units may differ in what a function attribute already carries; of levels, the first one is for all.
            let level = flag.starts_with("-O") && flags.iter().any(|other| other.starts_with("-O"));
            if !level && !flags.contains(flag) {
                flags.push(flag.clone());
            }
        }
        if flags.iter().any(|flag| flag == "-fPIC") {
            flags.retain(|flag| flag != "-fPIE" && flag != "-fpie");
        }
        let lengths = units.iter().map(|(_, unit)| unit.bitcode.len()).collect();
        let (names, modules) = units.into_iter().map(|(name, unit)| (name, unit.bitcode)).unzip();
        Self { directory, driver: driver.into(), arguments, flags, names, modules, lengths }
    }

    /// Stores the recipe in a linked program, outside of what is loaded.
    ///
    /// # Errors
    /// When the program cannot be rewritten.
    pub fn store(&self, program: &Path) -> Result<()> {
        let header = serde_json::to_vec(self)?;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        self.modules.iter().for_each(|module| bytes.extend(module));
        let scratch = tempfile::NamedTempFile::new()?;
        fs::write(scratch.path(), bytes)?;
        let mut command = Command::new(toolchain::program("llvm-objcopy")?);
        toolchain::run(
            command.arg(format!("--add-section={RECIPE}={}", scratch.path().display())).arg(program),
        )?;
        Ok(())
    }

    /// Reads the recipe of a program that the wrapper linked.
    ///
    /// # Errors
    /// When the program has none, or a damaged one.
    pub fn load(program: &Path) -> Result<Self> {
        let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
        let file =
            object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", program.display()))?;
        let Some(section) = file.section_by_name(RECIPE) else {
            bail!(
                "{} was not linked by `husk chaff cc`, or was stripped since: build it with \
                 CC='husk chaff cc' and name the file that the build made",
                program.display()
            );
        };
        let damaged = || format!("{}: its recipe is damaged; build it again", program.display());
        let data = section.data()?;
        let (length, rest) = data.split_first_chunk::<8>().with_context(damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).with_context(damaged)?;
        let (header, mut rest) = rest.split_at_checked(length).with_context(damaged)?;
        let mut recipe: Self = serde_json::from_slice(header).with_context(damaged)?;
        for &length in &recipe.lengths {
            let (module, after) = rest.split_at_checked(length).with_context(damaged)?;
            recipe.modules.push(module.to_vec());
            rest = after;
        }
        Ok(recipe)
    }

    /// Identifies the code that the recipe builds, for profiles and manifests made from it.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for module in &self.modules {
            hash.update((module.len() as u64).to_le_bytes());
            hash.update(module);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Makes machine code from one optimised bitcode file, without optimising it again.
    ///
    /// # Errors
    /// When the compiler refuses it.
    pub fn generate_code(&self, bitcode: &Path, object: &Path) -> Result<()> {
        generate_code(&self.driver, &self.flags, bitcode, object)
    }

    /// Links `object` in place of the modules, with `extra` arguments at the end, and writes `output`.
    ///
    /// # Errors
    /// When the linker refuses.
    pub fn link(&self, object: &Path, extra: &[String], output: &Path) -> Result<()> {
        let mut command = Command::new(toolchain::program(&self.driver)?);
        command.current_dir(&self.directory).arg("-Qunused-arguments");
        for argument in &self.arguments {
            match argument {
                Argument::Plain(text) => command.arg(text),
                Argument::Modules => command.arg(object),
            };
        }
        toolchain::run(command.args(extra).arg("-o").arg(output))?;
        Ok(())
    }
}

/// Makes machine code from optimised bitcode.
///
/// # Errors
/// When the compiler refuses the bitcode, as it does one of a newer LLVM.
pub fn generate_code(driver: &str, flags: &[String], bitcode: &Path, object: &Path) -> Result<()> {
    let mut command = Command::new(toolchain::program(driver)?);
    command.args(flags).args(["-Qunused-arguments", "-Xclang", "-disable-llvm-passes", "-x", "ir", "-c"]);
    toolchain::run(command.arg(bitcode).arg("-o").arg(object))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_survives_wherever_it_stands() {
        let unit = |flags: &[&str]| {
            let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
            ("a.o".to_owned(), Unit { bitcode: vec![1], flags })
        };
        let units = vec![unit(&["-fvisibility=hidden", "-O2"]), unit(&["-O3", "-fPIC", "-fPIE"])];
        let recipe = Recipe::new("/".into(), "clang", vec![Argument::Modules], units);
        assert_eq!(recipe.flags, ["-fvisibility=hidden", "-O2", "-fPIC"]);
    }
}
