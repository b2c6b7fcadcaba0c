//! What an application tells of itself: `--husk-info`, `--husk-verify`, `--husk-help`.

use crate::app::App;
use core::ffi::CStr;
use core::fmt::{self, Write};
use husk_abi::boot::{TENDER_KVM, TENDER_PROCESS};
use husk_app::{Strict, flag, free};
use husk_tender::host;
use sha2::{Digest, Sha256};
use syscalls::Sysno;

/// Standard output, buffered.
struct Out {
    bytes: [u8; 4096],
    len: usize,
}

impl Out {
    const fn new() -> Self {
        Self { bytes: [0; 4096], len: 0 }
    }

    fn flush(&mut self) {
        let mut rest = &self.bytes[..self.len];
        while !rest.is_empty() {
            // SAFETY: the buffer is readable.
            let done = unsafe { host::call(Sysno::write, [1, rest.as_ptr() as usize, rest.len(), 0, 0, 0]) };
            match done {
                Ok(count) if count > 0 => rest = &rest[count..],
                Err(host::HostErrno::EINTR) => {}
                _ => host::exit(125),
            }
        }
        self.len = 0;
    }

    fn end(mut self) -> ! {
        self.flush();
        host::exit(0)
    }
}

impl Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len == self.bytes.len() {
                self.flush();
            }
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Bytes as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// A string as JSON has it. What is no UTF-8 becomes U+FFFD.
struct Json<'a>(&'a CStr);

impl fmt::Display for Json<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_char('"')?;
        for chunk in self.0.to_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' | '\\' => write!(out, "\\{character}")?,
                    '\0'..=' ' if character != ' ' => write!(out, "\\u{:04x}", character as u32)?,
                    _ => out.write_char(character)?,
                }
            }
            if !chunk.invalid().is_empty() {
                out.write_char('\u{fffd}')?;
            }
        }
        out.write_char('"')
    }
}

/// A string for people, without control characters.
struct Shown<'a>(&'a CStr);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.to_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                out.write_char(if character.is_control() { '?' } else { character })?;
            }
            if !chunk.invalid().is_empty() {
                out.write_char('\u{fffd}')?;
            }
        }
        Ok(())
    }
}

/// Items with something between them.
struct List<F>(&'static str, F);

impl<I: Iterator<Item: fmt::Display>, F: Fn() -> I> fmt::Display for List<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in (self.1)().enumerate() {
            write!(out, "{}{item}", if index > 0 { self.0 } else { "" })?;
        }
        Ok(())
    }
}

struct Optional(Option<u64>);

impl fmt::Display for Optional {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(out, "{number}"),
            None => out.write_str("null"),
        }
    }
}

fn tender_name(app: &App<'_>) -> &'static str {
    match app.manifest.tender {
        TENDER_KVM => "kvm",
        TENDER_PROCESS => "process",
        _ => "default",
    }
}

fn strict_name(app: &App<'_>) -> &'static str {
    match app.manifest.strict {
        Strict::Off => "off",
        Strict::Errno => "errno",
        Strict::Kill => "kill",
    }
}

fn free_names(app: &App<'_>) -> impl Iterator<Item = &'static str> {
    let bits = app.manifest.free;
    free::NAMES.iter().filter(move |(bit, _)| bits & bit != 0).map(|(_, name)| *name)
}

fn call_names(app: &App<'_>) -> impl Iterator<Item = &'static str> {
    let profile = app.manifest.profile.unwrap_or_default();
    (0..512)
        .filter(move |number| profile.contains(*number))
        .filter_map(|number| Some(Sysno::new(number as usize)?.name()))
}

/// Shows what is inside.
pub(crate) fn print(app: &App<'_>, json: bool) -> ! {
    let mut out = Out::new();
    let _ = if json { print_json(app, &mut out) } else { print_text(app, &mut out) };
    out.end()
}

fn print_json(app: &App<'_>, out: &mut Out) -> fmt::Result {
    let (note, manifest) = (&app.note, &app.manifest);
    let is = |bit: u32| manifest.flags & bit != 0;
    writeln!(out, "{{\"husk\":{},\"name\":{},", Json(manifest.version), Json(manifest.name))?;
    writeln!(out, "\"program\":{},", Json(manifest.program))?;
    writeln!(out, "\"args\":[{}],", List(",", || manifest.args().map(Json)))?;
    writeln!(out, "\"env\":[{}],", List(",", || manifest.env().map(Json)))?;
    writeln!(
        out,
        "\"workdir\":{},\"uid\":{},\"gid\":{},\"memory\":{},\"cpus\":{},",
        Json(manifest.workdir),
        manifest.user.0,
        manifest.user.1,
        Optional(manifest.memory),
        Optional(manifest.cpus.map(u64::from)),
    )?;
    writeln!(
        out,
        "\"tender\":\"{}\",\"fork\":{},\"inherit_env\":{},\"tty\":{},\"verify\":{},\"strict\":\"{}\",",
        tender_name(app),
        is(flag::FORK),
        is(flag::INHERIT_ENV),
        is(flag::TERMINAL),
        is(flag::VERIFY),
        strict_name(app),
    )?;
    let quoted = |name: &'static str| Quoted(name);
    writeln!(out, "\"free\":[{}],", List(",", || free_names(app).map(quoted)))?;
    if manifest.profile.is_some() {
        writeln!(out, "\"calls\":[{}],", List(",", || call_names(app).map(quoted)))?;
    } else {
        writeln!(out, "\"calls\":null,")?;
    }
    writeln!(out, "\"bytes\":{},", note.file_len)?;
    writeln!(out, "\"front\":{{\"bytes\":{},\"sha256\":\"{}\"}},", note.front_len, Hex(&manifest.front))?;
    writeln!(
        out,
        "\"root\":{{\"offset\":{},\"bytes\":{},\"sha256\":\"{}\"}},",
        note.root_offset,
        note.root_len,
        Hex(&manifest.root),
    )?;
    let digest = Sha256::digest(app.bytes);
    writeln!(
        out,
        "\"manifest\":{{\"offset\":{},\"bytes\":{},\"sha256\":\"{}\"}}}}",
        note.manifest_offset,
        note.manifest_len,
        Hex(&digest)
    )
}

struct Quoted(&'static str);

impl fmt::Display for Quoted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0)
    }
}

fn print_text(app: &App<'_>, out: &mut Out) -> fmt::Result {
    let (note, manifest) = (&app.note, &app.manifest);
    let is = |bit: u32| if manifest.flags & bit != 0 { "yes" } else { "no" };
    writeln!(out, "{}, made by husk {}", Shown(manifest.name), Shown(manifest.version))?;
    writeln!(out, "  program   {}", Shown(manifest.program))?;
    writeln!(out, "  args      {}", List(" ", || manifest.args().map(Shown)))?;
    for entry in manifest.env() {
        writeln!(out, "  env       {}", Shown(entry))?;
    }
    writeln!(out, "  workdir   {}", Shown(manifest.workdir))?;
    writeln!(out, "  user      {}:{}", manifest.user.0, manifest.user.1)?;
    if let Some(memory) = manifest.memory {
        writeln!(out, "  memory    {memory}")?;
    }
    if let Some(cpus) = manifest.cpus {
        writeln!(out, "  cpus      {cpus}")?;
    }
    writeln!(out, "  tender    {}", tender_name(app))?;
    writeln!(
        out,
        "  fork {}, environment inherited {}, tty {}, verified at each start {}, strict {}",
        is(flag::FORK),
        is(flag::INHERIT_ENV),
        is(flag::TERMINAL),
        is(flag::VERIFY),
        strict_name(app),
    )?;
    writeln!(out, "  free      {}", List(" ", || free_names(app)))?;
    if manifest.profile.is_some() {
        writeln!(out, "  calls     {}", List(" ", || call_names(app)))?;
    }
    writeln!(out, "  file      {} bytes", note.file_len)?;
    writeln!(out, "  front     {} bytes, sha256 {}", note.front_len, Hex(&manifest.front))?;
    writeln!(
        out,
        "  root      {} bytes at {}, sha256 {}",
        note.root_len,
        note.root_offset,
        Hex(&manifest.root)
    )?;
    let digest = Sha256::digest(app.bytes);
    writeln!(
        out,
        "  manifest  {} bytes at {}, sha256 {}",
        note.manifest_len,
        note.manifest_offset,
        Hex(&digest)
    )
}

/// Says that every byte is as it was made.
pub(crate) fn verified(app: &App<'_>) -> ! {
    let mut out = Out::new();
    let _ = writeln!(out, "{}: {} bytes are as they were made", Shown(app.manifest.name), app.note.file_len);
    out.end()
}

/// Shows what the leading arguments can be.
pub(crate) fn help(app: &App<'_>) -> ! {
    let mut out = Out::new();
    let free = app.manifest.free;
    let _ = writeln!(
        out,
        "{}: a guest of its own. Arguments are the program's, but those that come first and begin with --husk-:\n\
         \x20 --husk-info[=json]   what is inside, with digests\n\
         \x20 --husk-verify        compare every byte with its digest\n\
         \x20 --husk-help          this text\n\
         \x20 --husk-end           what follows is the program's",
        Shown(app.manifest.name),
    );
    let lines = [
        (free::MEMORY, "--husk-memory=N[k|m|g]   memory limit"),
        (free::CPUS, "--husk-cpus=N            vCPUs"),
        (free::ENV, "--husk-env=NAME=VALUE    a variable"),
        (free::USER, "--husk-user=UID[:GID]    user and group"),
        (free::WORKDIR, "--husk-workdir=DIR       working directory"),
        (free::TENDER, "--husk-tender=NAME       process or kvm"),
        (free::TERMINAL, "--husk-tty               the terminal is the guest's"),
        (free::TRACE, "--husk-trace             each system call on stderr"),
        (free::STRICT, "--husk-no-fork           no further processes"),
        (free::STRICT, "--husk-strict[=kill]     refuse system calls that are not in the profile"),
    ];
    for (_, line) in lines.iter().filter(|(bit, _)| free & bit != 0) {
        let _ = writeln!(out, "  {line}");
    }
    out.end()
}
