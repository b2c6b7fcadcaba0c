//! This executable as an application: when `husk build` has filled in the note, the process becomes the guest that the
//! manifest behind it describes, and `husk` the command is out of reach.
//!
//! At each start the note, the file's length and the manifest are checked; root image and front by their digests where
//! the manifest or `--husk-verify` asks for it, since that reads the whole file. Leading arguments that begin with
//! `--husk-` are for this module, all others for the guest.

use crate::args::{self, Options, Problem, Tender};
use crate::root::Root;
use crate::start::{self, Process};
use crate::{info, run};
use core::ffi::CStr;
use core::fmt;
use husk_abi::boot::{TENDER_KVM, TENDER_PROCESS};
use husk_app::{MANIFEST_MAX, Manifest, Note, Strict, flag, free};
use husk_options::Id;
use husk_tender::clock::Sample;
use husk_tender::host;
use linux_raw_sys::auxvec::AT_EXECFN;
use linux_raw_sys::general as raw;
use sha2::{Digest, Sha256};
use syscalls::Sysno;

static mut MANIFEST: [u8; MANIFEST_MAX] = [0; MANIFEST_MAX];

/// What this executable is.
pub(crate) struct App<'a> {
    pub(crate) note: Note,
    pub(crate) manifest: Manifest<'a>,
    /// The manifest's bytes.
    pub(crate) bytes: &'a [u8],
    fd: i32,
}

/// What the leading arguments ask for instead of a guest.
enum Wish {
    Guest,
    Info { json: bool },
    Verify,
    Help,
}

fn refuse(process: &Process, why: fmt::Arguments<'_>) -> ! {
    // SAFETY: the host gives C strings.
    let name =
        process.args.first().map_or(&b"husk"[..], |name| unsafe { CStr::from_ptr(name.cast()) }.to_bytes());
    let mut text = run::Text::new();
    let _ = fmt::write(&mut text, why);
    run::fail(&[name, b": ", text.as_bytes()])
}

/// Starts the guest, if this executable is an application; else returns.
pub(crate) fn start(process: &Process, clock: Sample) {
    let note = match Note::decode(&start::note()) {
        Ok(None) => return,
        Ok(Some(note)) => note,
        Err(damage) => refuse(process, format_args!("this executable is refused: {damage}")),
    };
    let app = match open(process, note) {
        Ok(app) => app,
        Err(Refused::Damage(damage)) => refuse(process, format_args!("this executable is refused: {damage}")),
        Err(Refused::Host(errno)) => {
            let name = errno.name().unwrap_or("error");
            refuse(
                process,
                format_args!(
                    "cannot open its own file: neither /proc/self/exe nor its name leads there: {name}"
                ),
            )
        }
    };
    let mut options = defaults(process, &app.manifest);
    let (wish, first) = match leading(process, &app.manifest, &mut options) {
        Ok(found) => found,
        Err((problem, argument)) => {
            let argument = argument.to_str().unwrap_or("its argument");
            refuse(process, format_args!("{argument}: {problem}; see --husk-help"))
        }
    };
    match wish {
        Wish::Info { json } => info::print(&app, json),
        Wish::Help => info::help(&app),
        Wish::Verify => {
            if let Err(part) = verify(&app) {
                refuse(process, format_args!("this executable is refused: {part}"))
            }
            info::verified(&app)
        }
        Wish::Guest => {}
    }
    if app.manifest.flags & flag::VERIFY != 0
        && let Err(part) = verify(&app)
    {
        refuse(process, format_args!("this executable is refused: {part}"))
    }
    let more = &process.args[first.min(process.args.len())..];
    if !more.is_empty() && app.manifest.free & free::ARGS == 0 {
        refuse(process, format_args!("its arguments are frozen: it takes no others"))
    }
    options.args = arguments(process, &app.manifest, more);
    let root = Root {
        fd: app.fd,
        offset: note.root_offset,
        len: note.root_len,
        program: app.manifest.program,
        path: c"this executable",
        files: &[],
        container: None,
    };
    run::launch(process, &options, clock, &root)
}

enum Refused {
    Damage(husk_app::Damage),
    Host(host::HostErrno),
}

impl From<husk_app::Damage> for Refused {
    fn from(damage: husk_app::Damage) -> Self {
        Self::Damage(damage)
    }
}

/// Opens this executable and reads its manifest.
fn open(process: &Process, note: Note) -> Result<App<'static>, Refused> {
    // The name is 10 us cheaper to open than /proc/self/exe, and there where no /proc is. It may lead elsewhere (to another
    // version that was put in this one's place, or nowhere after a change of root): then length and checksums differ.
    let name = process.aux(AT_EXECFN) as *const u8;
    if !name.is_null()
        // SAFETY: the host's auxiliary vector names a C string.
        && let Ok(fd) = host::open_read(unsafe { CStr::from_ptr(name.cast()) })
    {
        if let Ok(app) = read(note, fd) {
            return Ok(app);
        }
        host::close(fd);
    }
    read(note, host::open_read(c"/proc/self/exe").map_err(Refused::Host)?)
}

/// Reads the manifest of the executable that is open as `fd`.
fn read(note: Note, fd: i32) -> Result<App<'static>, Refused> {
    note.check_length(host::stat_fd(fd).map_err(Refused::Host)?.st_size as u64)?;
    let buffer = &raw mut MANIFEST;
    // SAFETY: one call at a time, by the only thread; an earlier one that failed has left no reference. The note has checked
    // that the manifest is no longer than the buffer.
    let bytes = unsafe { &mut (&mut *buffer)[..note.manifest_len as usize] };
    let mut done = 0;
    while done < bytes.len() {
        let rest = &mut bytes[done..];
        let at = note.manifest_offset as usize + done;
        // SAFETY: the buffer is writable.
        let read = unsafe {
            host::call(Sysno::pread64, [fd as usize, rest.as_mut_ptr() as usize, rest.len(), at, 0, 0])
        };
        match read.map_err(Refused::Host)? {
            0 => return Err(husk_app::Damage::Length(note.file_len, at as u64).into()),
            count => done += count,
        }
    }
    let bytes: &'static [u8] = bytes;
    if husk_app::checksum(bytes) != note.manifest_checksum {
        return Err(husk_app::Damage::ManifestChecksum.into());
    }
    let manifest = Manifest::decode(bytes)?;
    Ok(App { note, manifest, bytes, fd })
}

fn defaults(process: &Process, manifest: &Manifest<'static>) -> Options {
    // SAFETY: an application has no other options.
    let mut options = unsafe { Options::new() };
    options.memory = manifest.memory;
    options.cpus = manifest.cpus;
    options.workdir = Some(manifest.workdir);
    options.ids = manifest.user;
    options.may_fork = manifest.flags & flag::FORK != 0;
    options.inherit_env = manifest.flags & flag::INHERIT_ENV != 0;
    options.terminal = manifest.flags & flag::TERMINAL != 0;
    options.tender = tender(manifest.tender);
    options.strict = manifest.strict as u32;
    options.allowed = manifest.profile.unwrap_or_default().0;
    for entry in manifest.env() {
        if options.env.push(entry).is_err() {
            refuse(process, format_args!("its manifest has too many variables"))
        }
    }
    options
}

fn tender(number: u32) -> Tender {
    match number {
        TENDER_KVM => Tender::Kvm,
        TENDER_PROCESS => Tender::Process,
        _ => Tender::Default,
    }
}

/// Options and what they are called in `args::parse`, with what must be free.
const VALUES: [(&[u8], Id, u32); 7] = [
    (b"memory", Id::Memory, free::MEMORY),
    (b"cpus", Id::Cpus, free::CPUS),
    (b"env", Id::Env, free::ENV),
    (b"user", Id::User, free::USER),
    (b"workdir", Id::Workdir, free::WORKDIR),
    (b"tender", Id::Tender, free::TENDER),
    // For `husk shrink`, which hands the descriptor on.
    (b"record", Id::Record, free::TRACE),
];

/// Reads the leading `--husk-` arguments; the index of the first that is the guest's.
fn leading(
    process: &Process,
    manifest: &Manifest<'_>,
    options: &mut Options,
) -> Result<(Wish, usize), (&'static str, &'static CStr)> {
    let mut wish = Wish::Guest;
    let mut at = 1;
    while let Some(argument) = process.args.get(at) {
        // SAFETY: the host gives C strings.
        let argument: &'static CStr = unsafe { CStr::from_ptr(argument.cast()) };
        let Some(rest) = argument.to_bytes().strip_prefix(b"--husk-") else { break };
        at += 1;
        let split = rest.iter().position(|byte| *byte == b'=');
        let name = &rest[..split.unwrap_or(rest.len())];
        let value = split.and_then(|split| {
            CStr::from_bytes_with_nul(&argument.to_bytes_with_nul()[b"--husk-".len() + split + 1..]).ok()
        });
        let is_free = |bit: u32| {
            if manifest.free & bit != 0 { Ok(()) } else { Err(("this option is frozen", argument)) }
        };
        match (name, value.map(CStr::to_bytes)) {
            (b"end", None) => break,
            (b"info", None | Some(b"text")) => wish = Wish::Info { json: false },
            (b"info", Some(b"json")) => wish = Wish::Info { json: true },
            (b"verify", None) => wish = Wish::Verify,
            (b"help", None) => wish = Wish::Help,
            (b"no-fork", None) => is_free(free::STRICT).map(|()| options.may_fork = false)?,
            (b"trace", None) => is_free(free::TRACE).map(|()| options.trace = true)?,
            (b"tty", None) => is_free(free::TERMINAL).map(|()| options.terminal = true)?,
            (b"strict", how) => {
                is_free(free::STRICT)?;
                if manifest.profile.is_none() {
                    return Err(("there is no profile of system calls in this executable", argument));
                }
                options.strict = match how {
                    None | Some(b"errno") => Strict::Errno as u32,
                    Some(b"kill") => Strict::Kill as u32,
                    Some(_) => return Err((Problem::BadValue.text(), argument)),
                };
            }
            (name, _) => {
                let known = VALUES.iter().find(|(known, ..)| *known == name);
                let (_, id, bit) = known.ok_or((Problem::Unknown.text(), argument))?;
                is_free(*bit)?;
                let value = value.ok_or(("the value belongs into the same argument, behind =", argument))?;
                args::apply(options, *id, value).map_err(|problem| (problem.text(), argument))?;
            }
        }
    }
    Ok((wish, at))
}

/// The manifest's arguments and then the user's.
fn arguments(process: &Process, manifest: &Manifest<'static>, more: &[*const u8]) -> &'static [*const u8] {
    const FEW: usize = 512;
    static mut FIRST: [*const u8; FEW] = [core::ptr::null(); FEW];
    let count = manifest.args().count() + more.len();
    let place = &raw mut FIRST;
    let all: &'static mut [*const u8] = if count <= FEW {
        // SAFETY: called once, by the only thread.
        unsafe { &mut (&mut *place)[..count] }
    } else {
        let (len, flags) = (count * size_of::<*const u8>(), raw::MAP_PRIVATE | raw::MAP_ANONYMOUS);
        // SAFETY: new memory, as long as the slice.
        match unsafe { host::map(0, len, raw::PROT_READ | raw::PROT_WRITE, flags, -1, 0) } {
            // SAFETY: just mapped, that long, and nobody else's.
            Ok(at) => unsafe { core::slice::from_raw_parts_mut(at as *mut *const u8, count) },
            Err(_) => refuse(process, format_args!("no memory for its arguments")),
        }
    };
    let own = manifest.args().map(|arg| arg.as_ptr().cast());
    for (place, argument) in all.iter_mut().zip(own.chain(more.iter().copied())) {
        *place = argument;
    }
    all
}

/// Compares every byte with the digests of the manifest. The error names the part that differs.
fn verify(app: &App<'_>) -> Result<(), &'static str> {
    let unreadable = "it cannot be read to be verified";
    let len = app.note.file_len as usize;
    // SAFETY: a new mapping. Should the file be cut off meanwhile, the host ends this process.
    let at =
        unsafe { host::map(0, len, raw::PROT_READ, raw::MAP_PRIVATE, app.fd, 0) }.map_err(|_| unreadable)?;
    // SAFETY: just mapped, that long; nobody writes to it.
    let file = unsafe { core::slice::from_raw_parts(at as *const u8, len) };
    let (front_len, root) = (app.note.front_len as usize, app.note.root_offset as usize);
    let root_end = root + app.note.root_len as usize;
    let front = &file[..front_len];
    let hole = husk_app::note_in(front).ok_or("its front has no note")?;
    let mut hash = Sha256::new();
    hash.update(&front[..hole]);
    hash.update([0; husk_app::DESCRIPTOR_LEN]);
    hash.update(&front[hole + husk_app::DESCRIPTOR_LEN..]);
    if hash.finalize()[..] != app.manifest.front {
        return Err("its tenders and kernel were altered (the digest does not fit)");
    }
    if Sha256::digest(&file[root..root_end])[..] != app.manifest.root {
        return Err("its root image was altered (the digest does not fit)");
    }
    let padding = [&file[front_len..root], &file[root_end..app.note.manifest_offset as usize]];
    if padding.iter().any(|bytes| bytes.iter().any(|byte| *byte != 0)) {
        return Err("something was written between its parts");
    }
    // SAFETY: the mapping made above, which nobody refers to any more.
    let _ = unsafe { host::call(Sysno::munmap, [at, len, 0, 0, 0, 0]) };
    Ok(())
}
