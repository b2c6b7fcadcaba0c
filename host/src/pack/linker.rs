//! Finds the libraries of a program as its dynamic linker will: glibc's `ld.so` or musl's.
//!
//! Only paths are found here; [`super::Packer`] brings them into the root.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::cache_file::CacheFile;
use super::elf::Elf;
use super::error::PackError;

/// What glibc searches last, by the habits of Debian, Fedora and Arch.
const GLIBC_DIRECTORIES: [&str; 6] =
    ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];
/// What musl searches where it has no path file.
const MUSL_DIRECTORIES: &str = "/lib:/usr/local/lib:/usr/lib";
/// What `$LIB` in a search path may stand for.
const LIB_TOKENS: [&str; 3] = ["lib/x86_64-linux-gnu", "lib64", "lib"];

/// A program or library that the linker has loaded.
#[derive(Clone)]
struct Object {
    /// As it was found: `$ORIGIN` is its directory.
    path: PathBuf,
    elf: Rc<Elf>,
    /// Who asked for it; none for the program.
    loader: Option<usize>,
}

impl Object {
    /// Whether it belongs to the C or C++ runtime (or SELinux's, which system tools link), which every program has: what that could do says nothing of a program.
    fn is_runtime(&self) -> bool {
        const NAMES: [&str; 10] = [
            "libc.",
            "libm.",
            "libdl.",
            "libpthread.",
            "librt.",
            "libutil.",
            "libgcc_s.",
            "libstdc++.",
            "libselinux.",
            "ld-",
        ];
        let soname = self.elf.soname.as_deref().unwrap_or_default();
        NAMES.iter().any(|name| soname.starts_with(name))
    }
}

/// A program with the libraries found for it so far.
#[derive(Clone)]
pub(super) struct Loaded {
    objects: Vec<Object>,
    /// By the name that was asked for, and by soname.
    names: HashMap<String, usize>,
    is_musl: bool,
}

impl Loaded {
    /// Whether the program is linked by glibc's linker.
    pub(super) fn is_glibc(&self) -> bool {
        !self.is_musl && self.objects[0].elf.interpreter.is_some()
    }

    /// Whether no linker comes with the program.
    pub(super) fn is_static(&self) -> bool {
        self.objects[0].elf.interpreter.is_none()
    }

    /// Whether the program, or a library of it that is not the C library's own, takes one of these symbols.
    pub(super) fn imports(&self, symbols: &[&str]) -> bool {
        let takes = |object: &Object| symbols.iter().any(|symbol| object.elf.imports.contains(*symbol));
        self.objects.iter().filter(|object| !object.is_runtime()).any(takes)
    }

    /// The program and its libraries without those of the C runtime: where they lie.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let files = self.objects.iter().filter(|object| !object.is_runtime());
        files.filter_map(|object| fs::canonicalize(&object.path).ok()).collect()
    }

    /// Those of `files` that open libraries by name.
    pub(super) fn openers(&self) -> Vec<PathBuf> {
        let opens = |object: &&Object| !object.is_runtime() && object.elf.imports.contains("dlopen");
        self.objects.iter().filter(opens).map(|object| object.path.clone()).collect()
    }

    /// Whether a library whose name begins so is among those found.
    pub(super) fn has(&self, prefix: &str) -> bool {
        self.names.keys().any(|name| name.starts_with(prefix))
    }
}

/// The host's linker configuration, and every ELF file read so far.
pub(super) struct Linker {
    library_path: Vec<PathBuf>,
    pub(super) cache: CacheFile,
    elves: HashMap<PathBuf, Rc<Elf>>,
}

impl Linker {
    /// `library_path` is LD_LIBRARY_PATH. Relative and empty parts of it are not searched.
    pub(super) fn new(library_path: &str) -> Self {
        let directories = library_path.split([':', ';']).map(PathBuf::from).filter(|dir| dir.is_absolute());
        Self { library_path: directories.collect(), cache: CacheFile::host(), elves: HashMap::new() }
    }

    pub(super) fn elf(&mut self, path: &Path) -> Result<Rc<Elf>, PackError> {
        if let Some(elf) = self.elves.get(path) {
            return Ok(elf.clone());
        }
        let elf = Rc::new(Elf::read(path)?);
        self.elves.insert(path.to_path_buf(), elf.clone());
        Ok(elf)
    }

    /// Begins with a program, at its path without symbolic links.
    pub(super) fn load(&mut self, program: &Path) -> Result<Loaded, PackError> {
        let elf = self.elf(program)?;
        let interpreter = elf.interpreter.as_deref().and_then(Path::file_name);
        let is_musl = interpreter.is_some_and(|name| name.as_encoded_bytes().starts_with(b"ld-musl"));
        let object = Object { path: program.to_path_buf(), elf, loader: None };
        Ok(Loaded { objects: vec![object], names: HashMap::new(), is_musl })
    }

    /// Finds the libraries of everything that is loaded, and theirs; returns the new ones.
    pub(super) fn link(&mut self, loaded: &mut Loaded) -> Result<Vec<PathBuf>, PackError> {
        self.link_from(loaded, 0)
    }

    /// Finds what a library that the program opens by itself needs besides what is loaded already.
    pub(super) fn open(&mut self, loaded: &mut Loaded, library: &Path) -> Result<Vec<PathBuf>, PackError> {
        let first = loaded.objects.len();
        let elf = self.elf(library)?;
        loaded.objects.push(Object { path: library.to_path_buf(), elf, loader: Some(0) });
        self.link_from(loaded, first)
    }

    fn link_from(&mut self, loaded: &mut Loaded, first: usize) -> Result<Vec<PathBuf>, PackError> {
        let mut found = Vec::new();
        let mut next = first;
        while let Some(object) = loaded.objects.get(next).cloned() {
            for name in &object.elf.needed {
                if loaded.names.contains_key(name) || (loaded.is_musl && is_musl_itself(name)) {
                    continue;
                }
                let missing =
                    || PackError::MissingLibrary { library: name.clone(), needed_by: object.path.clone() };
                let (path, elf) = self.find(loaded, next, name).ok_or_else(missing)?;
                let index = loaded.objects.len();
                loaded.names.insert(name.clone(), index);
                if let Some(soname) = &elf.soname {
                    loaded.names.entry(soname.clone()).or_insert(index);
                }
                found.push(path.clone());
                loaded.objects.push(Object { path, elf, loader: Some(next) });
            }
            next += 1;
        }
        Ok(found)
    }

    /// Searches one library, for the object with that index.
    fn find(&mut self, loaded: &Loaded, asker: usize, name: &str) -> Option<(PathBuf, Rc<Elf>)> {
        let object = &loaded.objects[asker];
        if name.contains('/') {
            return expand(name, &object.path).iter().find_map(|path| self.try_path(path));
        }
        let mut directories = Vec::new();
        if loaded.is_musl {
            directories.extend(self.library_path.iter().cloned());
            // musl makes no difference between the two, and both hold for what is loaded further on.
            for object in chain(loaded, asker) {
                directories.extend(split(object.elf.runpath.as_ref().or(object.elf.rpath.as_ref()), object));
            }
            directories.extend(musl_directories());
            return directories.iter().find_map(|dir| self.try_path(&dir.join(name)));
        }
        if object.elf.runpath.is_none() {
            for object in chain(loaded, asker).filter(|object| object.elf.runpath.is_none()) {
                directories.extend(split(object.elf.rpath.as_ref(), object));
            }
        }
        directories.extend(self.library_path.iter().cloned());
        directories.extend(split(object.elf.runpath.as_ref(), object));
        if let Some(found) = directories.iter().find_map(|dir| self.try_path(&dir.join(name))) {
            return Some(found);
        }
        if object.elf.no_default_directories {
            return None;
        }
        if let Some(path) = self.cache.find(name)
            && let Some(found) = self.try_path(&path)
        {
            return Some(found);
        }
        GLIBC_DIRECTORIES.iter().find_map(|dir| self.try_path(&Path::new(dir).join(name)))
    }

    /// Where a library would be found by a program without search paths of its own.
    pub(super) fn default_library(&mut self, name: &str) -> Option<PathBuf> {
        let cached = self.cache.find(name);
        let directories = GLIBC_DIRECTORIES.iter().map(|dir| Path::new(dir).join(name));
        cached.into_iter().chain(directories).find(|path| self.try_path(path).is_some())
    }

    /// The linker passes over files that are not for this machine, and so does this.
    fn try_path(&mut self, path: &Path) -> Option<(PathBuf, Rc<Elf>)> {
        if !path.is_absolute() || !path.exists() {
            return None;
        }
        self.elf(path).ok().map(|elf| (path.to_path_buf(), elf))
    }
}

/// An object, who asked for it, who asked for that one, up to the program.
fn chain(loaded: &Loaded, from: usize) -> impl Iterator<Item = &Object> {
    let mut next = Some(from);
    std::iter::from_fn(move || {
        let object = &loaded.objects[next?];
        next = object.loader;
        Some(object)
    })
}

/// The directories of a search path of `object`.
fn split(path: Option<&String>, object: &Object) -> Vec<PathBuf> {
    let parts = path.map_or("", String::as_str).split(':').filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(part, &object.path)).collect()
}

/// Replaces the linker's tokens; `$LIB` has several meanings, so the result may be several paths.
fn expand(text: &str, object: &Path) -> Vec<PathBuf> {
    let origin = object.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let text = text
        .replace("${ORIGIN}", &origin)
        .replace("$ORIGIN", &origin)
        .replace("${PLATFORM}", "x86_64")
        .replace("$PLATFORM", "x86_64")
        .replace("${LIB}", "$LIB");
    if !text.contains("$LIB") {
        return vec![PathBuf::from(text)];
    }
    LIB_TOKENS.iter().map(|lib| PathBuf::from(text.replace("$LIB", lib))).collect()
}

/// Names that musl's linker answers by itself, being the C library too.
fn is_musl_itself(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("lib") else { return false };
    ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."].iter().any(|part| rest.starts_with(part))
}

fn musl_directories() -> Vec<PathBuf> {
    let text = fs::read_to_string("/etc/ld-musl-x86_64.path").unwrap_or(MUSL_DIRECTORIES.into());
    text.split([':', '\n']).map(PathBuf::from).filter(|dir| dir.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced() {
        let of = |text| expand(text, Path::new("/opt/app/bin/app"));
        assert_eq!(of("$ORIGIN/../lib"), [Path::new("/opt/app/bin/../lib")]);
        assert_eq!(of("${ORIGIN}/$PLATFORM"), [Path::new("/opt/app/bin/x86_64")]);
        assert_eq!(of("/usr/$LIB")[1], Path::new("/usr/lib64"));
    }

    #[test]
    fn musl_knows_its_own_names() {
        assert!(is_musl_itself("libc.so") && is_musl_itself("libc.musl-x86_64.so.1"));
        assert!(is_musl_itself("libpthread.so.0"));
        assert!(!is_musl_itself("libcrypto.so.3") && !is_musl_itself("libmagic.so.1"));
    }
}
