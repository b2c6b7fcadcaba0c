//! Packs a program of the host, with what it needs and nothing else, into a root image for a guest.
//!
//! [`pack`] finds the program, gathers its closure into a [`root::Root`] and has [`cache`] write it as an
//! EROFS image, unless the same has been written before. Its result is noted as a plan (`husk-plan`), so that
//! the next run of the same program only compares a few stamps.
//!
//! What belongs to a program: the ELF interpreter and the libraries that it would load ([`linker`]); of a
//! script, the interpreters of its `#!` chain; of a language runtime, its library tree; of a shell, the usual
//! tools; of a compiler, its passes, headers and start files ([`runtime`]); what `--with` names; and a minimal
//! /etc. The packer reads files; of the programs that it packs it runs only those that the user would run by
//! their bare name, to ask a runtime where its library is.

mod ask;
mod cache;
mod cache_file;
mod debian;
pub(crate) mod elf;
mod error;
mod etc;
mod linker;
mod packer;
mod root;
mod runtime;
mod search;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, fs};

pub use error::PackError;

use husk_plan::{Input, Plan, Request, chooses_by_directory};

/// What to pack, and the surroundings that decide what that means.
#[derive(Clone, Debug)]
pub struct PackRequest {
    /// A path, if it contains a slash, else a name to search in `path`.
    pub program: OsString,
    /// Each a path (with a slash), a Debian package, or a program in `path`.
    pub with: Vec<OsString>,
    /// PATH.
    pub path: OsString,
    /// LD_LIBRARY_PATH; empty where it is not set.
    pub library_path: OsString,
    /// PYENV_VERSION; empty where it is not set.
    pub version: OsString,
    /// The working directory, absolute.
    pub directory: PathBuf,
    /// Husk's directory in the user's cache.
    pub cache: PathBuf,
}

impl PackRequest {
    /// A request with the surroundings of this process.
    ///
    /// # Errors
    /// [`PackError::NoCache`], [`PackError::Io`] without a working directory.
    pub fn here(program: OsString, with: Vec<OsString>) -> Result<Self, PackError> {
        let variable = |name| env::var_os(name).unwrap_or_default();
        Ok(Self {
            program,
            with,
            path: variable("PATH"),
            library_path: variable("LD_LIBRARY_PATH"),
            version: variable("PYENV_VERSION"),
            directory: env::current_dir().map_err(PackError::io(Path::new(".")))?,
            cache: default_cache()?,
        })
    }

    /// Finds the program: its absolute path, links not resolved. This is what the plan's request names, so
    /// the front of `husk run` finds it the same way: a path with a slash is joined to the working
    /// directory as it is, a name is joined to the first absolute directory of PATH that has such an executable.
    ///
    /// # Errors
    /// [`PackError::NoProgram`], [`PackError::NotExecutable`].
    pub fn find(&self) -> Result<PathBuf, PackError> {
        search::program(&self.program, &self.path, &self.directory)
    }
}

/// Husk's directory in the user's cache: `$XDG_CACHE_HOME/husk` or `~/.cache/husk`.
///
/// # Errors
/// [`PackError::NoCache`].
pub fn default_cache() -> Result<PathBuf, PackError> {
    husk_home::cache().ok_or(PackError::NoCache)
}

/// A packed program.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The root image on the host.
    pub image: PathBuf,
    /// The program's path in the guest.
    pub program: PathBuf,
    /// Where the plan is; `None` where it would be too big, so that every run looks again.
    pub plan_entry: Option<PathBuf>,
    /// What is not as it should be but does not stop the program, as a library of a plugin that is missing.
    pub notes: Vec<String>,
}

/// Packs a program, or finds it packed.
///
/// # Errors
/// What is wrong with the program, its libraries, `--with` or the cache.
pub fn pack(request: &PackRequest) -> Result<Packed, PackError> {
    let found = request.find()?;
    let chooses = chooses_by_directory(found.as_os_str().as_bytes());
    let asked = Request {
        program: found.as_os_str().as_bytes(),
        with: request.with.iter().map(|with| with.as_bytes()),
        library_path: request.library_path.as_bytes(),
        uid: rustix::process::geteuid().as_raw(),
        directory: if chooses { request.directory.as_os_str().as_bytes() } else { b"" },
        version: if chooses { request.version.as_bytes() } else { b"" },
    };
    let name = asked.file_name();
    let plan_entry = request.cache.join("run").join(String::from_utf8_lossy(&name).as_ref());
    if let Some(packed) = planned(&plan_entry, &asked) {
        return Ok(packed);
    }

    let mut packer = packer::Packer::new(request);
    let program = packer.add_requested(&found)?;
    for with in &request.with {
        packer.add_with(with)?;
    }
    packer.finish()?;
    let label = found.file_name().unwrap_or_default().to_string_lossy();
    let image = cache::store(&request.cache, &packer.root, &label)?;

    let paths: Vec<_> = packer
        .inputs
        .iter()
        .filter_map(|(path, stamp)| Some((CString::new(path.as_os_str().as_bytes()).ok()?, *stamp)))
        .collect();
    let inputs: Vec<_> = paths.iter().map(|(path, stamp)| Input { path, stamp: *stamp }).collect();
    let mut bytes = Vec::new();
    husk_plan::encode(
        &asked,
        image.path.as_os_str().as_bytes(),
        image.size,
        program.as_os_str().as_bytes(),
        &inputs,
        |piece| bytes.extend_from_slice(piece),
    );
    let fits = bytes.len() <= husk_plan::SIZE_MAX;
    if fits {
        cache::put(&plan_entry, &bytes)?;
    }
    let plan_entry = fits.then_some(plan_entry);
    Ok(Packed { image: image.path, program, plan_entry, notes: packer.notes })
}

/// What an earlier run has noted, if it still holds.
fn planned<'a, W: Iterator<Item = &'a [u8]> + Clone>(entry: &Path, asked: &Request<'a, W>) -> Option<Packed> {
    let bytes = fs::read(entry).ok()?;
    let plan = Plan::decode(&bytes).ok()?;
    let path = |text: &std::ffi::CStr| PathBuf::from(std::ffi::OsStr::from_bytes(text.to_bytes()));
    let answers = plan.answers(asked)
        && fs::metadata(path(plan.image())).is_ok_and(|stat| stat.len() == plan.image_size())
        && crate::cache::touch(&path(plan.image()))
        && plan
            .inputs()
            .all(|input| fs::metadata(path(input.path)).ok().as_ref().map(root::stamp) == input.stamp);
    answers.then(|| Packed {
        image: path(plan.image()),
        program: path(plan.program()),
        plan_entry: Some(entry.to_path_buf()),
        notes: Vec::new(),
    })
}

/// Packs a directory as a whole root, for `--rootfs DIR`, and returns the image's path.
///
/// # Errors
/// What is wrong with the directory or the cache.
pub fn pack_rootfs(directory: &Path, cache: &Path) -> Result<PathBuf, PackError> {
    let root = root::Root::of_directory(directory)?;
    Ok(cache::store(cache, &root, &directory.to_string_lossy())?.path)
}
