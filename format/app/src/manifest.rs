//! The manifest: what one guest is started with, and what its user may change.
//!
//! A sequence of fields: a tag of one byte, a length of four, and so many bytes. Strings end with a NUL, so that they are
//! used where they lie. The front reads it without a heap.

use crate::Damage;
use core::ffi::CStr;

/// Most bytes of a manifest: the front's buffer.
pub const MANIFEST_MAX: usize = 256 << 10;

/// What a guest may do, as bits of `Manifest::flags`.
pub mod flag {
    /// It may fork.
    pub const FORK: u32 = 1 << 0;
    /// It gets the environment of whoever starts it, under the manifest's own variables.
    pub const INHERIT_ENV: u32 = 1 << 1;
    /// Its standard input, where that is a terminal, is the guest's own.
    pub const TERMINAL: u32 = 1 << 2;
    /// Compare all digests at each start.
    pub const VERIFY: u32 = 1 << 3;
    /// All that are known.
    pub const ALL: u32 = FORK | INHERIT_ENV | TERMINAL | VERIFY;
}

/// What is left to whoever starts it, as bits of `Manifest::free`.
pub mod free {
    pub const ARGS: u32 = 1 << 0;
    pub const ENV: u32 = 1 << 1;
    pub const MEMORY: u32 = 1 << 2;
    pub const CPUS: u32 = 1 << 3;
    pub const USER: u32 = 1 << 4;
    pub const WORKDIR: u32 = 1 << 5;
    pub const TENDER: u32 = 1 << 6;
    pub const TRACE: u32 = 1 << 7;
    pub const TERMINAL: u32 = 1 << 8;
    /// To refuse it fork, and to have it start strictly: both only ever take away.
    pub const STRICT: u32 = 1 << 9;
    /// By name, in the order in which they are shown.
    pub const NAMES: [(u32, &str); 10] = [
        (ARGS, "args"),
        (ENV, "env"),
        (MEMORY, "memory"),
        (CPUS, "cpus"),
        (USER, "user"),
        (WORKDIR, "workdir"),
        (TENDER, "tender"),
        (TRACE, "trace"),
        (TERMINAL, "tty"),
        (STRICT, "strict"),
    ];
    pub const ALL: u32 = (1 << NAMES.len()) - 1;
}

/// What a specialised guest does with a system call that is not in its profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Strict {
    /// Serves it.
    #[default]
    Off = 0,
    /// Says ENOSYS, as a kernel that does not have the call.
    Errno = 1,
    /// Ends the process by SIGSYS.
    Kill = 2,
}

/// A set of system calls by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed(pub [u64; 8]);

impl Allowed {
    pub fn add(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }

    #[must_use]
    pub fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        (0..512).filter(|number| self.contains(*number))
    }
}

/// A SHA-256.
pub type Digest = [u8; 32];

/// What a digest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// The front with its tenders and kernel, the note's descriptor taken as zeros.
    Front = 1,
    Root = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    Version = 1,
    Name = 2,
    Program = 3,
    Arg = 4,
    Env = 5,
    Workdir = 6,
    User = 7,
    Memory = 8,
    Cpus = 9,
    Flags = 10,
    Free = 11,
    Tender = 12,
    Strict = 13,
    Profile = 14,
    FrontDigest = 15,
    RootDigest = 16,
}

impl Tag {
    fn of(byte: u8) -> Option<Self> {
        use Tag::*;
        [
            Version,
            Name,
            Program,
            Arg,
            Env,
            Workdir,
            User,
            Memory,
            Cpus,
            Flags,
            Free,
            Tender,
            Strict,
            Profile,
            FrontDigest,
            RootDigest,
        ]
        .into_iter()
        .find(|tag| *tag as u8 == byte)
    }
}

/// A manifest, as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct Manifest<'a> {
    bytes: &'a [u8],
    /// Which Husk made it.
    pub version: &'a CStr,
    /// What it was made from, for people.
    pub name: &'a CStr,
    /// Absolute path of the program in the guest.
    pub program: &'a CStr,
    /// Absolute.
    pub workdir: &'a CStr,
    /// User and group.
    pub user: (u32, u32),
    /// Bytes; `None`: the host's.
    pub memory: Option<u64>,
    /// `None`: as many as the starter may use.
    pub cpus: Option<u32>,
    /// `flag`.
    pub flags: u32,
    /// `free`.
    pub free: u32,
    /// TENDER_* of the ABI, or 0: the default one.
    pub tender: u32,
    pub strict: Strict,
    /// Calls that were seen when it was made, where they were recorded.
    pub profile: Option<Allowed>,
    pub front: Digest,
    pub root: Digest,
}

fn text(bytes: &[u8]) -> Result<&CStr, Damage> {
    CStr::from_bytes_with_nul(bytes).map_err(|_| Damage::Manifest("a string does not end, or ends twice"))
}

fn fixed<const LEN: usize>(bytes: &[u8]) -> Result<[u8; LEN], Damage> {
    bytes.try_into().map_err(|_| Damage::Manifest("a field has a wrong length"))
}

fn number(bytes: &[u8]) -> Result<u32, Damage> {
    fixed(bytes).map(u32::from_le_bytes)
}

/// The next field: its tag, its bytes, and what follows.
fn split(bytes: &[u8]) -> Result<(Tag, &[u8], &[u8]), Damage> {
    let (head, rest) = bytes.split_first_chunk::<5>().ok_or(Damage::Manifest("it ends within a field"))?;
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    let (field, rest) =
        rest.split_at_checked(len).ok_or(Damage::Manifest("a field is longer than the rest"))?;
    Ok((Tag::of(head[0]).ok_or(Damage::Manifest("a field is unknown"))?, field, rest))
}

impl<'a> Manifest<'a> {
    /// # Errors
    /// [`Damage::Manifest`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut manifest = Self { bytes, ..Self::fields(c"") };
        let mut rest = bytes;
        let mut seen = 0_u32;
        while !rest.is_empty() {
            let (tag, field, after) = split(rest)?;
            rest = after;
            let bit = 1 << tag as u8;
            if seen & bit != 0 && !matches!(tag, Tag::Arg | Tag::Env) {
                return Err(Damage::Manifest("a field comes twice"));
            }
            seen |= bit;
            manifest.take(tag, field)?;
        }
        for needed in [Tag::Program, Tag::FrontDigest, Tag::RootDigest, Tag::Arg] {
            if seen & 1 << needed as u8 == 0 {
                return Err(Damage::Manifest("a field is missing"));
            }
        }
        Ok(manifest)
    }

    fn take(&mut self, tag: Tag, field: &'a [u8]) -> Result<(), Damage> {
        let absolute = |field| {
            let path = text(field)?;
            if path.to_bytes().starts_with(b"/") {
                Ok(path)
            } else {
                Err(Damage::Manifest("a path is not absolute"))
            }
        };
        match tag {
            Tag::Version => self.version = text(field)?,
            Tag::Name => self.name = text(field)?,
            Tag::Program => self.program = absolute(field)?,
            Tag::Arg => drop(text(field)?),
            Tag::Env => {
                if !text(field)?.to_bytes().contains(&b'=') {
                    return Err(Damage::Manifest("a variable has no value"));
                }
            }
            Tag::Workdir => self.workdir = absolute(field)?,
            Tag::User => {
                let [a, b, c, d, e, f, g, h] = fixed(field)?;
                self.user = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            }
            Tag::Memory => self.memory = Some(fixed(field).map(u64::from_le_bytes)?),
            Tag::Cpus => {
                let cpus = number(field)?;
                if !(1..=64).contains(&cpus) {
                    return Err(Damage::Manifest("a guest has 1 to 64 vCPUs"));
                }
                self.cpus = Some(cpus);
            }
            Tag::Flags => self.flags = within(number(field)?, flag::ALL)?,
            Tag::Free => self.free = within(number(field)?, free::ALL)?,
            Tag::Tender => self.tender = within(number(field)?, 3)?,
            Tag::Strict => {
                self.strict = match fixed(field)? {
                    [0] => Strict::Off,
                    [1] => Strict::Errno,
                    [2] => Strict::Kill,
                    _ => return Err(Damage::Manifest("the strictness is unknown")),
                }
            }
            Tag::Profile => {
                let bytes: [u8; 64] = fixed(field)?;
                let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|byte| bytes[at * 8 + byte]));
                self.profile = Some(Allowed(core::array::from_fn(word)));
            }
            Tag::FrontDigest => self.front = fixed(field)?,
            Tag::RootDigest => self.root = fixed(field)?,
        }
        Ok(())
    }

    fn strings(&self, tag: Tag) -> impl Iterator<Item = &'a CStr> + use<'a> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (found, field, after) = split(rest).ok()?;
            rest = after;
            Some((found, field))
        })
        .filter(move |(found, _)| *found == tag)
        .filter_map(|(_, field)| CStr::from_bytes_with_nul(field).ok())
    }

    /// The program's own name for itself, and its arguments.
    pub fn args(&self) -> impl Iterator<Item = &'a CStr> + use<'a> {
        self.strings(Tag::Arg)
    }

    /// Variables, as `NAME=VALUE`.
    pub fn env(&self) -> impl Iterator<Item = &'a CStr> + use<'a> {
        self.strings(Tag::Env)
    }
}

fn within(bits: u32, known: u32) -> Result<u32, Damage> {
    if bits & !known == 0 { Ok(bits) } else { Err(Damage::Manifest("a flag is unknown")) }
}

/// Writes a manifest field by field to `put`.
pub struct Encoder<F: FnMut(&[u8])> {
    put: F,
}

impl<F: FnMut(&[u8])> Encoder<F> {
    pub fn new(put: F) -> Self {
        Self { put }
    }

    fn field(&mut self, tag: Tag, bytes: &[u8]) {
        (self.put)(&[tag as u8]);
        (self.put)(&(bytes.len() as u32).to_le_bytes());
        (self.put)(bytes);
    }

    /// All of `fields`, with its strings from the iterators instead of its bytes.
    pub fn write<'s>(
        &mut self,
        fields: &Manifest<'_>,
        args: impl Iterator<Item = &'s CStr>,
        env: impl Iterator<Item = &'s CStr>,
    ) {
        self.field(Tag::Version, fields.version.to_bytes_with_nul());
        self.field(Tag::Name, fields.name.to_bytes_with_nul());
        self.field(Tag::Program, fields.program.to_bytes_with_nul());
        args.for_each(|arg| self.field(Tag::Arg, arg.to_bytes_with_nul()));
        env.for_each(|entry| self.field(Tag::Env, entry.to_bytes_with_nul()));
        self.field(Tag::Workdir, fields.workdir.to_bytes_with_nul());
        let mut user = [0; 8];
        user[..4].copy_from_slice(&fields.user.0.to_le_bytes());
        user[4..].copy_from_slice(&fields.user.1.to_le_bytes());
        self.field(Tag::User, &user);
        if let Some(memory) = fields.memory {
            self.field(Tag::Memory, &memory.to_le_bytes());
        }
        if let Some(cpus) = fields.cpus {
            self.field(Tag::Cpus, &cpus.to_le_bytes());
        }
        self.field(Tag::Flags, &fields.flags.to_le_bytes());
        self.field(Tag::Free, &fields.free.to_le_bytes());
        self.field(Tag::Tender, &fields.tender.to_le_bytes());
        self.field(Tag::Strict, &[fields.strict as u8]);
        if let Some(profile) = &fields.profile {
            let mut bytes = [0; 64];
            for (at, word) in profile.0.iter().enumerate() {
                bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
            }
            self.field(Tag::Profile, &bytes);
        }
        self.field(Tag::FrontDigest, &fields.front);
        self.field(Tag::RootDigest, &fields.root);
    }
}

impl<'a> Manifest<'a> {
    /// Fields to be encoded: no bytes yet, and the defaults of the format.
    #[must_use]
    pub fn fields(program: &'a CStr) -> Self {
        Self {
            bytes: &[],
            version: c"",
            name: c"",
            program,
            workdir: c"/",
            user: (0, 0),
            memory: None,
            cpus: None,
            flags: 0,
            free: 0,
            tender: 0,
            strict: Strict::Off,
            profile: None,
            front: [0; 32],
            root: [0; 32],
        }
    }
}
