//! Gathers a program's closure into a root.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use husk_plan::Stamp;

use super::PackRequest;
use super::ask::Asker;
use super::cache_file::CACHE_FILE;
use super::debian::Debian;
use super::elf::is_elf;
use super::error::PackError;
use super::etc;
use super::linker::{Linker, Loaded};
use super::root::{Brought, Root, stamp};
use super::runtime;
use super::search;

/// How deep scripts may be interpreted by scripts, as in Linux.
const SCRIPT_DEPTH: u32 = 5;
/// As many notes are kept; a tree with a missing library has it missing many times.
const NOTES_MAX: usize = 20;
/// Libraries that glibc opens by itself: name services, and unwinding for thread cancellation.
const GLIBC_OPENS: [&str; 3] = ["libnss_files.so.2", "libnss_dns.so.2", "libgcc_s.so.1"];
/// Version managers whose shims are resolved: their command in `libexec`, the file that chooses a version in
/// a directory, and the variable that names their root.
const MANAGERS: [(&str, &str, &str); 2] =
    [("pyenv", ".python-version", "PYENV_ROOT"), ("rbenv", ".ruby-version", "RBENV_ROOT")];

/// What the plan compares of the files that are brought now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Watching {
    Files,
    /// There are many: the directories that they lie in.
    Directories,
    /// They belong to packages, whose list is watched.
    Nothing,
}

/// A root that grows, and what it was made from.
pub(super) struct Packer<'r> {
    pub(super) request: &'r PackRequest,
    pub(super) root: Root,
    pub(super) notes: Vec<String>,
    /// What the plan compares: each file, or where there are many of them, their directories.
    pub(super) inputs: BTreeMap<PathBuf, Option<Stamp>>,
    pub(super) asker: Asker,
    linker: Linker,
    watching: Watching,
    /// Programs that were added, without symbolic links.
    programs: HashSet<PathBuf>,
    /// The names of all ELF files in the trees that were added.
    siblings: HashSet<OsString>,
    has_glibc: bool,
    /// What is installed, once somebody asked.
    debian: Option<Rc<Debian>>,
    /// Debian packages that were added, with their users.
    packages: BTreeSet<String>,
}

impl<'r> Packer<'r> {
    pub(super) fn new(request: &'r PackRequest) -> Self {
        let mut packer = Self {
            request,
            root: Root::new(),
            notes: Vec::new(),
            inputs: BTreeMap::new(),
            asker: Asker::new(&request.path),
            linker: Linker::new(&request.library_path.to_string_lossy()),
            watching: Watching::Files,
            programs: HashSet::new(),
            siblings: HashSet::new(),
            has_glibc: false,
            debian: None,
            packages: BTreeSet::new(),
        };
        // Another version of the packer may pack something else.
        if let Ok(own) = std::env::current_exe() {
            packer.watch(&own);
        }
        packer
    }

    /// Remembers a file's state, or its absence.
    fn watch(&mut self, path: &Path) {
        if !self.inputs.contains_key(path) {
            self.inputs.insert(path.to_path_buf(), fs::metadata(path).ok().as_ref().map(stamp));
        }
    }

    /// Brings a file or a directory without its contents.
    pub(super) fn bring(&mut self, path: &Path) -> Result<Brought, PackError> {
        let brought = self.root.bring(path)?;
        match (self.watching, path.parent()) {
            (Watching::Directories, Some(parent)) => self.watch(parent),
            (Watching::Nothing, _) => {}
            _ => self.watch(path),
        }
        Ok(brought)
    }

    /// Brings what is not essential, if it is there.
    pub(super) fn bring_if_there(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if path.exists()
            && let Err(error) = self.bring(path)
        {
            self.note(error.to_string());
        }
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < NOTES_MAX && !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Does something that brings many files, for which their directories are watched instead.
    pub(super) fn many<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        self.watching(self.watching.max(Watching::Directories), act)
    }

    fn watching<T>(&mut self, watching: Watching, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.watching, watching);
        let result = act(self);
        self.watching = before;
        result
    }

    /// Adds the program that was asked for, at the absolute path where it was found; its path in the guest.
    pub(super) fn add_requested(&mut self, found: &Path) -> Result<PathBuf, PackError> {
        let program = self.resolve_shim(found).unwrap_or_else(|| found.to_path_buf());
        self.watch(found);
        let real = self.add_program(&program)?;
        if program != found
            && let Some(name) = found.to_str()
        {
            // By its bare name the program is found where the shim was: Python looks for itself so.
            self.root.make_link(name, &program)?;
        }
        self.add_asked(&real);
        // A path with ".." means something else where directories above it are links.
        let is_plain = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::RootDir);
        Ok(if program.components().all(is_plain) { program.components().collect() } else { real })
    }

    /// Adds what a program that was asked for needs beyond what every program of its kind does. What goes wrong with that
    /// is noted: the program itself is there.
    fn add_asked(&mut self, real: &Path) {
        let outcome = match self.linker.load(real) {
            Ok(mut loaded) => match self.linker.link(&mut loaded) {
                Ok(_) => runtime::add_asked(self, real, &loaded),
                Err(error) => Err(error),
            },
            // A script is asked for with its package, too.
            Err(_) => {
                self.many(|packer| packer.add_packages_of(&[real.to_path_buf()]));
                Ok(())
            }
        };
        if let Err(error) = outcome {
            self.note(error.to_string());
        }
    }

    fn debian(&mut self) -> Rc<Debian> {
        self.watch(&Debian::status_file());
        self.debian.get_or_insert_with(|| Rc::new(Debian::read())).clone()
    }

    /// Adds the Debian packages that own these files, and those that they depend on.
    pub(super) fn add_packages_of(&mut self, files: &[PathBuf]) {
        let debian = self.debian();
        self.add_packages(&debian, &debian.closure(files));
    }

    fn add_packages(&mut self, debian: &Debian, names: &[String]) {
        for name in names.iter().filter(|name| self.packages.insert((*name).clone())).collect::<Vec<_>>() {
            self.add_package(debian, name);
        }
    }

    /// Adds a package's files, and the libraries of the ELF files among them.
    fn add_package(&mut self, debian: &Debian, name: &str) {
        for file in debian.files(name).unwrap_or_default() {
            if file.starts_with("/etc") {
                // Configuration is changed without the package manager.
                self.watch(&file);
            }
            self.watching(Watching::Nothing, |packer| match packer.bring(&file) {
                Ok(brought) if is_elf(&brought.head) => packer.add_found_elf(&brought.real, None),
                // What the user has deleted, or may not read, is not there for the guest either.
                _ => {}
            });
        }
    }

    /// Adds a library that a program of the host may open by its name, if there is such a library.
    pub(super) fn add_opened(&mut self, name: &str, loaded: &Loaded) {
        if !loaded.has(name)
            && let Some(library) = self.linker.default_library(name)
        {
            self.bring_if_there(&library);
            self.add_plugin(loaded, &library);
        }
    }

    /// Adds an executable with all it needs; its path without symbolic links.
    pub(super) fn add_program(&mut self, path: &Path) -> Result<PathBuf, PackError> {
        self.add_program_at(path, 0)
    }

    fn add_program_at(&mut self, path: &Path, depth: u32) -> Result<PathBuf, PackError> {
        let refuse = |why: &str| PackError::NotExecutable { path: path.to_path_buf(), why: why.into() };
        let brought = match self.bring(path) {
            Err(PackError::Io { path, source }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                let why = "permission denied: it must be readable to be packed".into();
                return Err(PackError::NotExecutable { path, why });
            }
            other => other?,
        };
        if brought.is_directory {
            return Err(refuse("it is a directory"));
        }
        if !self.programs.insert(brought.real.clone()) {
            return Ok(brought.real);
        }
        if is_elf(&brought.head) {
            let loaded = self.add_elf(&brought.real)?;
            runtime::add(self, path, &brought.real, &loaded)?;
        } else if let Some(line) = brought.head.strip_prefix(b"#!") {
            if depth == SCRIPT_DEPTH {
                return Err(refuse("its interpreters are scripts of scripts of scripts"));
            }
            self.add_interpreter(&brought.real, line, depth)?;
            self.many(|packer| runtime::add_package_of_script(packer, &brought.real))?;
        } else if brought.head.is_empty() {
            return Err(refuse("the file is empty"));
        } else {
            return Err(refuse("it is neither an ELF file nor a script that begins with #!"));
        }
        Ok(brought.real)
    }

    /// Adds what a script's first line names.
    fn add_interpreter(&mut self, script: &Path, line: &[u8], depth: u32) -> Result<(), PackError> {
        let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let mut words = line.split(|byte| b" \t\r".contains(byte)).filter(|word| !word.is_empty());
        let missing = |name: &[u8]| PackError::NoInterpreter {
            interpreter: String::from_utf8_lossy(name).into_owned(),
            needed_by: script.to_path_buf(),
        };
        let interpreter = words.next().ok_or_else(|| missing(b"(none)"))?;
        let path = Path::new(OsStr::from_bytes(interpreter));
        if !path.is_absolute() || !path.exists() {
            return Err(missing(interpreter));
        }
        self.add_program_at(path, depth + 1)?;
        if path.file_name() != Some(OsStr::new("env")) {
            self.add_asked(&fs::canonicalize(path).map_err(PackError::io(path))?);
            return Ok(());
        }
        let is_program = |word: &&[u8]| !word.starts_with(b"-") && !word.contains(&b'=');
        let name = words.find(is_program).ok_or_else(|| missing(b"env"))?;
        let found = search::program(OsStr::from_bytes(name), &self.request.path, &self.request.directory)
            .map_err(|_| missing(name))?;
        let program = self.resolve_shim(&found).unwrap_or_else(|| found.clone());
        let real = self.add_program_at(&program, depth + 1)?;
        self.add_asked(&real);
        // env searches the guest's PATH, which need not have the directory where it was found here.
        let name = String::from_utf8_lossy(name);
        let standard = ["/usr/local/bin", "/usr/bin", "/bin"].map(|dir| Path::new(dir).join(name.as_ref()));
        if !name.contains('/') && !standard.contains(&program) {
            self.root.make_link(&format!("/usr/local/bin/{name}"), &program)?;
        }
        Ok(())
    }

    /// The program that a version manager's shim would run.
    fn resolve_shim(&mut self, path: &Path) -> Option<PathBuf> {
        if !husk_plan::chooses_by_directory(path.as_os_str().as_bytes()) || !self.asker.may_run(path) {
            return None;
        }
        let request = self.request;
        let top = path.parent()?.parent()?;
        let name = path.file_name()?.to_str()?;
        for (manager, choice, variable) in MANAGERS {
            let command = top.join("libexec").join(manager);
            if !command.exists() {
                continue;
            }
            let mut environment = vec![(variable, top.as_os_str())];
            if manager == "pyenv" && !request.version.is_empty() {
                environment.push(("PYENV_VERSION", &request.version));
            }
            // The command lies beside the shim and runs whenever the shim does.
            let told = self.asker.ask_in(&request.directory, &environment, &command, &["which", name]);
            self.watch(&top.join("version"));
            for dir in request.directory.ancestors() {
                self.watch(&dir.join(choice));
            }
            if let Some(found) = told.map(|told| PathBuf::from(told.stdout.trim_end())) {
                return found.is_absolute().then_some(found);
            }
        }
        None
    }

    /// Adds an ELF program's interpreter and libraries, and what goes with them.
    fn add_elf(&mut self, real: &Path) -> Result<Loaded, PackError> {
        let mut loaded = self.linker.load(real)?;
        if let Some(interpreter) = &self.linker.elf(real)?.interpreter {
            if !interpreter.exists() {
                return Err(PackError::NoInterpreter {
                    interpreter: interpreter.display().to_string(),
                    needed_by: real.to_path_buf(),
                });
            }
            self.bring(interpreter)?;
        }
        for library in self.linker.link(&mut loaded)? {
            self.bring(&library)?;
        }
        if loaded.is_glibc() {
            self.watch(Path::new(CACHE_FILE));
            self.has_glibc = true;
            for name in GLIBC_OPENS {
                if let Some(library) = self.linker.default_library(name) {
                    self.bring(&library)?;
                    self.add_plugin(&loaded, &library);
                }
            }
        }
        self.many(|packer| runtime::add_for_libraries(packer, &loaded));
        Ok(loaded)
    }

    /// Adds the libraries of a library that a program may open. What is missing is noted only: the host's
    /// program could not open it either.
    pub(super) fn add_plugin(&mut self, loaded: &Loaded, library: &Path) {
        match self.linker.open(&mut loaded.clone(), library) {
            Ok(libraries) => libraries.iter().for_each(|library| self.bring_if_there(library)),
            // A program may have opened that library, by its path, before this one.
            Err(PackError::MissingLibrary { library, .. })
                if self.siblings.contains(OsStr::new(&library)) => {}
            Err(error @ PackError::MissingLibrary { .. }) => self.note(error.to_string()),
            // Not for this machine: a test file, or another architecture's variant.
            Err(_) => {}
        }
    }

    /// Adds a directory with all in it, which is watched file by file unless this is one tree of many, and the libraries of the ELF files in it, as of plugins of `loaded`.
    pub(super) fn add_tree(
        &mut self,
        path: &Path,
        loaded: Option<&Loaded>,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<(), PackError> {
        if !path.is_dir() {
            return Ok(());
        }
        let (mut all, mut elves, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let many = self.watching != Watching::Files;
        let top = self.root.bring_tree(
            path,
            skip,
            &mut |file, head| {
                if is_elf(head) {
                    elves.push(file.to_path_buf());
                }
                if !many {
                    all.push(file.to_path_buf());
                }
            },
            &mut |link| links.push(link.to_path_buf()),
        )?;
        if self.watching != Watching::Nothing {
            self.watch(path);
        }
        all.iter().for_each(|file| self.watch(file));
        self.siblings.extend(elves.iter().filter_map(|elf| elf.file_name().map(OsStr::to_os_string)));
        self.many(|packer| {
            for elf in elves {
                packer.add_found_elf(&elf, loaded);
            }
            for link in links {
                packer.follow_out(&link, &top, loaded, skip)?;
            }
            Ok(())
        })
    }

    /// Adds what an ELF file in a tree needs.
    fn add_found_elf(&mut self, path: &Path, loaded: Option<&Loaded>) {
        let Ok(elf) = self.linker.elf(path) else { return };
        let result = if elf.interpreter.is_some() && !self.programs.contains(path) {
            self.add_elf(path).map(|_| ())
        } else if let Some(loaded) = loaded {
            self.add_plugin(loaded, path);
            Ok(())
        } else {
            // Without a program to be opened by, it is its own.
            self.linker.load(path).map(|own| self.add_plugin(&own, path))
        };
        if let Err(error) = result {
            self.note(error.to_string());
        }
    }

    /// Brings what a link leads to, out of its tree: a file, or a directory that is a library's own.
    fn follow_out(
        &mut self,
        link: &Path,
        top: &Path,
        loaded: Option<&Loaded>,
        skip: &dyn Fn(&Path) -> bool,
    ) -> Result<(), PackError> {
        let Ok(target) = fs::canonicalize(link) else { return Ok(()) };
        if target.is_file() {
            if let Ok(brought) = self.bring(link)
                && is_elf(&brought.head)
            {
                self.add_found_elf(&brought.real, loaded);
            }
            return Ok(());
        }
        // Never a directory such as /usr, nor one that the tree itself is in.
        let is_narrow = target.components().count() > 3 && !top.starts_with(&target);
        if target.is_dir() && is_narrow {
            self.bring(link)?;
            self.add_tree(&target, loaded, skip)?;
        }
        Ok(())
    }

    /// Adds what one `--with` names.
    pub(super) fn add_with(&mut self, with: &OsString) -> Result<(), PackError> {
        if with.as_bytes().contains(&b'/') {
            return self.add_with_path(&self.request.directory.join(with));
        }
        let debian = self.debian();
        if let Some(package) = debian.named(with) {
            let files = debian.files(&package).unwrap_or_default();
            self.many(|packer| files.iter().for_each(|file| packer.add_package_file(file)));
            self.packages.insert(package.clone());
            self.add_packages(&debian, &debian.dependencies(&package));
            return Ok(());
        }
        let found = search::program(with, &self.request.path, &self.request.directory)
            .map_err(|_| PackError::UnknownWith(with.to_string_lossy().into_owned()))?;
        self.add_requested(&found).map(|_| ())
    }

    fn add_with_path(&mut self, path: &Path) -> Result<(), PackError> {
        let stat = fs::metadata(path).map_err(PackError::io(path))?;
        if stat.is_dir() {
            let cache = &self.request.cache;
            return self.add_tree(path, None, &|path| path == cache);
        }
        let brought = self.bring(path)?;
        let is_program = brought.head.starts_with(b"#!") || is_elf(&brought.head);
        if is_program && stat.permissions().mode() & 0o111 != 0 {
            self.add_requested(path)?;
        } else if is_elf(&brought.head) {
            self.add_found_elf(&brought.real, None);
        }
        Ok(())
    }

    /// Adds a file of a package. A program of it that cannot be run here is noted only.
    fn add_package_file(&mut self, path: &Path) {
        let Ok(stat) = fs::symlink_metadata(path) else { return };
        let brought = match self.bring(path) {
            Ok(brought) => brought,
            Err(error) => return self.note(error.to_string()),
        };
        let is_program = brought.head.starts_with(b"#!") || is_elf(&brought.head);
        let is_in_bin = path.parent().is_some_and(|dir| dir.ends_with("bin") || dir.ends_with("sbin"));
        if is_program && is_in_bin && stat.permissions().mode() & 0o111 != 0 {
            if let Err(error) = self.add_program(path) {
                self.note(error.to_string());
            }
        } else if is_elf(&brought.head) {
            self.add_found_elf(&brought.real, None);
        }
    }

    /// The path by which a tool of the system would be found, whatever the user's PATH says.
    pub(super) fn system_tool(name: &str) -> Option<PathBuf> {
        let directories = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/sbin"];
        directories.iter().map(|dir| Path::new(dir).join(name)).find(|path| search::is_executable(path))
    }

    /// Whether a program is the one that was asked for, not one that came with it.
    pub(super) fn is_asked(&self, path: &Path) -> bool {
        self.request.find().is_ok_and(|found| found == path)
    }

    /// Adds what every root has.
    pub(super) fn finish(&mut self) -> Result<(), PackError> {
        let packages: Vec<_> = self.packages.iter().cloned().collect();
        etc::add(&mut self.root, &|names| Debian::accounts(&packages, names))?;
        if self.has_glibc && Path::new(CACHE_FILE).exists() {
            let cache = self.linker.cache.filtered(|path| self.root.has_file(path));
            self.root.make_file(CACHE_FILE, cache)?;
        }
        Ok(())
    }
}
