//! From a recipe to one module, and from a module to a linked program.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use husk_chaff::recipe::Recipe;
use husk_chaff::toolchain;
use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, Target, TargetMachine};

/// All modules of a recipe as one, always in the same order.
///
/// # Errors
/// Names the module that LLVM 19 cannot read or link.
pub(crate) fn merged<'ctx>(context: &'ctx Context, recipe: &Recipe) -> Result<Module<'ctx>> {
    let mut whole: Option<Module<'ctx>> = None;
    for (name, bytes) in recipe.names.iter().zip(&recipe.modules) {
        let module = parse(context, name, bytes)?;
        match &whole {
            None => whole = Some(module),
            Some(whole) => {
                whole
                    .link_in_module(module)
                    .map_err(|error| anyhow::anyhow!("{name} cannot be linked: {error}"))?;
            }
        }
    }
    let Some(whole) = whole else { bail!("the recipe has no modules") };
    // Code without line numbers would stand out among code with them.
    whole.strip_debug_info();
    Ok(whole)
}

/// Reads one module.
///
/// # Errors
/// When it is not bitcode that LLVM 19 reads.
pub(crate) fn parse<'ctx>(context: &'ctx Context, name: &str, bytes: &[u8]) -> Result<Module<'ctx>> {
    if !bytes.starts_with(b"BC\xc0\xde") && !bytes.starts_with(&[0xde, 0xc0, 0x17, 0x0b]) {
        bail!("{name} is not LLVM bitcode");
    }
    let buffer = MemoryBuffer::create_from_memory_range_copy(bytes, name);
    Module::parse_bitcode_from_buffer(&buffer, context).map_err(|error| {
        anyhow::anyhow!(
            "{name}: this bitcode is not of a version that LLVM 19 reads ({error}): compile it with clang 19 or older"
        )
    })
}

/// Makes functions that are marked for it part of their callers, and leaves no trace of them.
///
/// # Errors
/// When LLVM has no machine for the module.
pub(crate) fn inline(module: &Module<'_>) -> Result<()> {
    Target::initialize_x86(&InitializationConfig::default());
    let triple = TargetMachine::get_default_triple();
    let target = Target::from_triple(&triple).map_err(|error| anyhow::anyhow!("{error}"))?;
    let machine = target
        .create_target_machine(
            &triple,
            "",
            "",
            OptimizationLevel::Default,
            RelocMode::Default,
            CodeModel::Default,
        )
        .context("LLVM 19 has no target machine for this processor")?;
    module
        .run_passes("always-inline", &machine, PassBuilderOptions::create())
        .map_err(|error| anyhow::anyhow!("always-inline: {error}"))
}

/// A program under construction, in a directory of its own.
pub(crate) struct Workshop {
    scratch: tempfile::TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { scratch: tempfile::tempdir()? })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Makes machine code of a module and links it as its recipe says.
    ///
    /// # Errors
    /// When the compiler or the linker refuses.
    pub(crate) fn link(
        &self,
        recipe: &Recipe,
        module: &Module<'_>,
        extra: &[String],
        output: &Path,
    ) -> Result<()> {
        let (bitcode, object) = (self.file("whole.bc"), self.file("whole.o"));
        if !module.write_bitcode_to_path(&bitcode) {
            bail!("cannot write {}", bitcode.display());
        }
        recipe.generate_code(&bitcode, &object)?;
        recipe.link(&object, extra, output)
    }
}

/// Removes every symbol that the dynamic linker does not need.
///
/// # Errors
/// When the program cannot be rewritten.
pub(crate) fn strip(program: &Path, output: &Path) -> Result<()> {
    toolchain::run(
        Command::new(toolchain::program("llvm-strip")?).arg("--strip-all").arg(program).arg("-o").arg(output),
    )?;
    Ok(())
}
