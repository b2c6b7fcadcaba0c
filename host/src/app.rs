//! Makes an application: one executable with front, root image and manifest (`husk_app` says how it is laid out).
//!
//! The same inputs give the same bytes: nothing of the clock, the directory, the user or the environment goes in.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use husk_app::{ALIGN, Allowed, DESCRIPTOR_LEN, Encoder, MANIFEST_MAX, Manifest, Note, Strict, note_in};
use husk_erofs_build::Hashed;
use sha2::{Digest, Sha256};

/// Most variables of a manifest: as many as the front takes, with room for those of whoever starts it.
pub const ENV_MAX: usize = 200;

/// Why no executable can be made.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}: it is not the front of this Husk, of which an executable is made")]
    Front(PathBuf),
    #[error("{0}: it is not an EROFS image")]
    Image(PathBuf),
    #[error("the program must be named by its absolute path in the guest, not as {0:?}")]
    Program(String),
    #[error("{0}: a NUL byte cannot be part of it")]
    Nul(&'static str),
    #[error("{0:?}: a variable is given as NAME=VALUE")]
    Variable(String),
    #[error("{0} variables are too many: an executable has at most {ENV_MAX}")]
    Variables(usize),
    #[error(
        "arguments and environment are too long: {0} bytes, and an executable has room for {MANIFEST_MAX}"
    )]
    TooLong(usize),
}

impl AppError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}

/// What an executable is made from.
#[derive(Clone, Debug)]
pub struct App {
    /// For people: what it was made from.
    pub name: String,
    /// Absolute, in the guest.
    pub program: Vec<u8>,
    /// The program's own name for itself, then arguments.
    pub args: Vec<Vec<u8>>,
    /// NAME=VALUE.
    pub env: Vec<Vec<u8>>,
    /// Absolute.
    pub workdir: Vec<u8>,
    pub user: (u32, u32),
    /// In bytes.
    pub memory: Option<u64>,
    pub cpus: Option<u32>,
    /// `husk_app::flag`.
    pub flags: u32,
    /// `husk_app::free`.
    pub free: u32,
    /// A TENDER_* of the ABI, or 0.
    pub tender: u32,
    pub strict: Strict,
    /// The system calls that it was seen to make.
    pub profile: Option<Allowed>,
}

impl App {
    /// An application with the defaults of `husk run` and everything left to whoever starts it.
    #[must_use]
    pub fn new(name: &str, program: &[u8], args: Vec<Vec<u8>>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_vec(),
            args,
            env: Vec::new(),
            workdir: b"/".to_vec(),
            user: (0, 0),
            memory: None,
            cpus: None,
            flags: husk_app::flag::FORK | husk_app::flag::INHERIT_ENV,
            free: husk_app::free::ALL,
            tender: 0,
            strict: Strict::Off,
            profile: None,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Bytes of the whole file, of the front in it, and of the root image.
    pub size: u64,
    pub front: u64,
    pub root: u64,
    /// SHA-256 of the whole file.
    pub digest: [u8; 32],
}

/// The front beside this program.
///
/// # Errors
/// [`AppError::Io`] where this program does not know where it is.
pub fn front_beside() -> Result<PathBuf, AppError> {
    let own = std::env::current_exe().map_err(AppError::io(Path::new("/proc/self/exe")))?;
    Ok(own.with_file_name("husk"))
}

/// Writes `app` over the root image `root` to `out`, which appears whole or not at all.
///
/// # Errors
/// What is wrong with `front`, `root`, `app` or `out`.
pub fn write(app: &App, front: &Path, root: &Path, out: &Path) -> Result<Built, AppError> {
    let mut stripped = stripped_front(front)?;
    let hole = note_in(&stripped).ok_or_else(|| AppError::Front(front.to_path_buf()))?;
    let is_front = stripped[hole..hole + DESCRIPTOR_LEN].iter().all(|&byte| byte == 0);
    if !is_front {
        return Err(AppError::Front(front.to_path_buf()));
    }
    let front_digest: [u8; 32] = Sha256::digest(&stripped).into();
    let (root_len, root_digest) = digest_of_image(root)?;

    let manifest = manifest(app, front_digest, root_digest)?;
    let front_len = stripped.len() as u64;
    let root_offset = front_len.next_multiple_of(ALIGN);
    let manifest_offset = (root_offset + root_len).next_multiple_of(ALIGN);
    let note = Note {
        file_len: manifest_offset + manifest.len() as u64,
        front_len,
        root_offset,
        root_len,
        manifest_offset,
        manifest_len: manifest.len() as u32,
        manifest_checksum: husk_app::checksum(&manifest),
    };
    stripped[hole..hole + DESCRIPTOR_LEN].copy_from_slice(&note.encode());

    let dir = match out.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new()
        .prefix(".husk-build-")
        .permissions(Permissions::from_mode(0o777))
        .tempfile_in(dir)
        .map_err(AppError::io(dir))?;
    let mut to = Hashed::new(BufWriter::with_capacity(1 << 20, file.as_file()));
    let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut progress = Progress::new(&name, note.file_len);
    let written = (|| {
        to.write_all(&stripped)?;
        to.write_all(&vec![0; (root_offset - front_len) as usize])?;
        let mut image = File::open(root)?;
        let mut buffer = vec![0; 1 << 20];
        let mut left = root_len;
        while left > 0 {
            let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = image.read(&mut buffer[..room])?;
            if count == 0 {
                return Err(io::Error::other("the root image changed while it was read"));
            }
            to.write_all(&buffer[..count])?;
            left -= count as u64;
            progress.at(note.file_len - left);
        }
        to.write_all(&vec![0; (manifest_offset - root_offset - root_len) as usize])?;
        to.write_all(&manifest)?;
        to.flush()
    })();
    written.map_err(AppError::io(out))?;
    let digest = to.sum();
    drop(to);
    file.persist(out).map_err(|error| AppError::io(out)(error.error))?;
    Ok(Built { size: note.file_len, front: front_len, root: root_len, digest })
}

/// The front without what only a debugger reads: the bytes of its segments, and no section headers.
fn stripped_front(path: &Path) -> Result<Vec<u8>, AppError> {
    let mut elf = fs::read(path).map_err(AppError::io(path))?;
    let len = loaded_len(&elf).ok_or_else(|| AppError::Front(path.to_path_buf()))?;
    elf.truncate(len);
    // e_shoff, then e_shnum and e_shstrndx.
    elf[40..48].fill(0);
    elf[60..64].fill(0);
    Ok(elf)
}

/// Where the last segment of an ELF file ends.
fn loaded_len(elf: &[u8]) -> Option<usize> {
    let long = |at: usize| usize::try_from(u64::from_le_bytes(*elf.get(at..)?.first_chunk()?)).ok();
    let count = u16::from_le_bytes(*elf.get(56..)?.first_chunk()?);
    if !elf.starts_with(b"\x7fELF\x02\x01") || elf.len() < 64 {
        return None;
    }
    let headers = long(32)?;
    let mut end = headers.checked_add(usize::from(count) * 56)?;
    for index in 0..usize::from(count) {
        let header = headers.checked_add(index * 56)?;
        end = end.max(long(header + 8)?.checked_add(long(header + 32)?)?);
    }
    (end <= elf.len()).then_some(end)
}

fn digest_of_image(path: &Path) -> Result<(u64, [u8; 32]), AppError> {
    let mut file = File::open(path).map_err(AppError::io(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut len = 0;
    loop {
        let count = file.read(&mut buffer).map_err(AppError::io(path))?;
        if len == 0 && !is_erofs(&buffer[..count]) {
            return Err(AppError::Image(path.to_path_buf()));
        }
        if count == 0 {
            return Ok((len, hash.finalize().into()));
        }
        hash.update(&buffer[..count]);
        len += count as u64;
    }
}

/// Whether a file begins as an image does.
fn is_erofs(head: &[u8]) -> bool {
    use husk_erofs::layout::{MAGIC, SUPER_OFFSET};
    head.get(SUPER_OFFSET..SUPER_OFFSET + 4) == Some(&MAGIC.to_le_bytes())
}

fn manifest(app: &App, front: [u8; 32], root: [u8; 32]) -> Result<Vec<u8>, AppError> {
    let c = |what: &'static str, bytes: &[u8]| CString::new(bytes).map_err(|_| AppError::Nul(what));
    let all = |what, items: &[Vec<u8>]| items.iter().map(|item| c(what, item)).collect::<Result<Vec<_>, _>>();
    if !app.program.starts_with(b"/") {
        return Err(AppError::Program(String::from_utf8_lossy(&app.program).into_owned()));
    }
    if let Some(wrong) = app.env.iter().find(|entry| !entry[..].contains(&b'=')) {
        return Err(AppError::Variable(String::from_utf8_lossy(wrong).into_owned()));
    }
    if app.env.len() > ENV_MAX {
        return Err(AppError::Variables(app.env.len()));
    }
    let program = c("the program's path", &app.program)?;
    let (args, env) = (all("an argument", &app.args)?, all("a variable", &app.env)?);
    let (name, workdir) = (c("the name", app.name.as_bytes())?, c("the working directory", &app.workdir)?);
    let version = c("the version", env!("CARGO_PKG_VERSION").as_bytes())?;
    let mut fields = Manifest::fields(&program);
    fields.version = &version;
    fields.name = &name;
    fields.workdir = &workdir;
    fields.user = app.user;
    fields.memory = app.memory;
    fields.cpus = app.cpus;
    fields.flags = app.flags;
    fields.free = app.free;
    fields.tender = app.tender;
    fields.strict = app.strict;
    fields.profile = app.profile;
    fields.front = front;
    fields.root = root;
    let mut bytes = Vec::new();
    Encoder::new(|part| bytes.extend_from_slice(part)).write(
        &fields,
        args.iter().map(CString::as_c_str),
        env.iter().map(CString::as_c_str),
    );
    if bytes.len() > MANIFEST_MAX {
        return Err(AppError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// A line on stderr, where that is a terminal.
struct Progress<'a> {
    name: &'a str,
    total: u64,
    told: Option<u64>,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str, total: u64) -> Self {
        Self { name, total, told: io::stderr().is_terminal().then_some(0) }
    }

    fn at(&mut self, done: u64) {
        let step = done >> 24;
        if self.told.is_some_and(|told| told < step) {
            self.told = Some(step);
            eprint!("\r\x1b[Khusk: writing {}: {} of {} MiB", self.name, done >> 20, self.total >> 20);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if self.told.is_some_and(|told| told > 0) {
            eprint!("\r\x1b[K");
        }
    }
}
