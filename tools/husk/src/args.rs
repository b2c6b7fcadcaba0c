//! The command line of `husk run` and `husk trace`, by the tables of `husk_options`.

use core::ffi::CStr;
use husk_options::{Id, Opt};

/// Most `--env` and `--with` options.
pub(crate) const LIST_MAX: usize = 256;

/// A list of strings from options that may be given several times. Its place is zeros that no page backs before they
/// are written: a start touches few pages.
pub(crate) struct List {
    items: &'static mut [*const u8; LIST_MAX],
    len: usize,
}

static mut PLACES: [[*const u8; LIST_MAX]; 4] = [[core::ptr::null(); LIST_MAX]; 4];

impl List {
    /// # Safety
    /// Called once for each of the places, by the only thread.
    unsafe fn new(place: usize) -> Self {
        let places = &raw mut PLACES;
        // SAFETY: promised by the caller.
        Self { items: unsafe { &mut (*places)[place] }, len: 0 }
    }

    pub(crate) fn push(&mut self, item: &CStr) -> Result<(), Problem> {
        *self.items.get_mut(self.len).ok_or(Problem::TooMany)? = item.as_ptr().cast();
        self.len += 1;
        Ok(())
    }

    /// Puts an item before those that are there from `at` on.
    pub(crate) fn insert(&mut self, at: usize, item: &CStr) -> Result<(), Problem> {
        self.push(item)?;
        self.items[at..self.len].rotate_right(1);
        Ok(())
    }

    pub(crate) fn as_slice(&self) -> &[*const u8] {
        &self.items[..self.len]
    }
}

/// Which tender the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tender {
    Default,
    Kvm,
    Process,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    Always,
    Missing,
    Never,
}

/// How the kernel is asked to fail, so that a test sees what the user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Panic,
    Access,
}

/// What `husk run` or `husk trace` was asked for.
pub(crate) struct Options {
    pub(crate) tender: Tender,
    pub(crate) rootfs: Option<&'static CStr>,
    /// Further devices of the image that `rootfs` is.
    pub(crate) root_devices: List,
    pub(crate) memory: Option<u64>,
    pub(crate) cpus: Option<u32>,
    pub(crate) env: List,
    /// Files with variables that `env` comes after; read by `env_file::load`.
    pub(crate) env_files: List,
    pub(crate) with: List,
    pub(crate) name: Option<&'static CStr>,
    pub(crate) hostname: Option<&'static CStr>,
    pub(crate) pull: Pull,
    /// How to reach the image's registry: what `husk-cli plan-image` takes under the same names.
    pub(crate) tls_verify: Option<&'static CStr>,
    pub(crate) credentials: Option<&'static CStr>,
    pub(crate) auth_file: Option<&'static CStr>,
    pub(crate) certificates: Option<&'static CStr>,
    pub(crate) workdir: Option<&'static CStr>,
    /// As given: names are an image's to resolve.
    pub(crate) user: Option<&'static CStr>,
    /// User and group where `user` says none.
    pub(crate) ids: (u32, u32),
    pub(crate) entrypoint: Option<&'static CStr>,
    /// The program is an image, whatever else has that name.
    pub(crate) image: bool,
    pub(crate) terminal: bool,
    pub(crate) may_fork: bool,
    /// Process 1 is the kernel's own.
    pub(crate) init: bool,
    pub(crate) trace: bool,
    pub(crate) patch: bool,
    /// Whether the environment of this process is the guest's too.
    pub(crate) inherit_env: bool,
    /// The guest's arguments, its name for itself first.
    pub(crate) args: &'static [*const u8],
    /// The boot block's `strict` and `allowed`.
    pub(crate) strict: u32,
    pub(crate) allowed: [u64; 8],
    /// Where the guest writes its record, and whether its changes belong to it.
    pub(crate) record: Option<i32>,
    pub(crate) export: bool,
    pub(crate) fault: Option<Fault>,
    /// Of `husk trace`.
    pub(crate) output: Option<&'static CStr>,
    pub(crate) expression: Option<&'static CStr>,
    pub(crate) count: bool,
    pub(crate) spent: bool,
    pub(crate) string_size: Option<u32>,
    /// Something is to be mounted, which is `husk-cli`'s to prepare, and what it then left: descriptors of the table of mounts,
    /// the ring's memory and its two counters.
    pub(crate) asks_mounts: bool,
    pub(crate) mounts: Option<[i32; 4]>,
    /// The image's plan, where it was found before the mounts were prepared.
    pub(crate) plan: Option<i32>,
    /// The user asks how it is used.
    pub(crate) help: bool,
}

impl Options {
    /// # Safety
    /// Called once, by the only thread.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: promised by the caller.
        let [env, with, env_files, root_devices] = unsafe { [0, 1, 2, 3].map(|place| List::new(place)) };
        Self {
            tender: Tender::Default,
            rootfs: None,
            root_devices,
            memory: None,
            cpus: None,
            env,
            env_files,
            with,
            name: None,
            hostname: None,
            pull: Pull::Missing,
            tls_verify: None,
            credentials: None,
            auth_file: None,
            certificates: None,
            workdir: None,
            user: None,
            ids: (0, 0),
            entrypoint: None,
            image: false,
            terminal: false,
            may_fork: true,
            init: false,
            trace: false,
            patch: true,
            inherit_env: true,
            args: &[],
            strict: 0,
            allowed: [0; 8],
            record: None,
            export: false,
            fault: None,
            output: None,
            expression: None,
            count: false,
            spent: false,
            string_size: None,
            asks_mounts: false,
            mounts: None,
            plan: None,
            help: false,
        }
    }
}

/// Why a command line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Unknown,
    NoValue,
    Surplus,
    BadValue,
    TooMany,
    NoProgram,
}

impl Problem {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown option",
            Self::NoValue => "the option needs a value",
            Self::Surplus => "the option takes no value",
            Self::BadValue => "the value is not understood",
            Self::TooMany => "the option was given too often",
            Self::NoProgram => "no program was named",
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A descriptor that is none of the first three.
fn descriptor(text: &[u8]) -> Result<i32, Problem> {
    let fd = number(text).filter(|fd| (3..1 << 16).contains(fd)).ok_or(Problem::BadValue)?;
    Ok(fd as i32)
}

/// Bytes, with an optional k, m, g or t.
fn size(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        b't' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    number(digits)?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

/// Whether a guest may call its host so: hostname(7), and what the kernel keeps of it.
fn is_hostname(text: &[u8]) -> bool {
    text.len() <= 64
        && text.first().is_some_and(u8::is_ascii_alphanumeric)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte))
}

/// Whether a guest may be called so.
pub(crate) fn is_name(text: &[u8]) -> bool {
    text.len() <= 64
        && text.first().is_some_and(u8::is_ascii_alphanumeric)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

/// UID or UID:GID.
pub(crate) fn user(text: &[u8]) -> Option<(u32, u32)> {
    let mut parts = text.splitn(2, |byte| *byte == b':');
    let uid = u32::try_from(number(parts.next()?)?).ok()?;
    let gid = match parts.next() {
        Some(gid) => u32::try_from(number(gid)?).ok()?,
        None => uid,
    };
    Some((uid, gid))
}

/// Parses `args` from index `at` on by the options of `tables`. The error names the argument it is about.
pub(crate) fn parse(
    args: &'static [*const u8],
    mut at: usize,
    tables: &[&'static [Opt]],
) -> Result<Options, (Problem, &'static CStr)> {
    // SAFETY: this process parses one command line.
    let mut options = unsafe { Options::new() };
    // SAFETY: the host gives C strings.
    let get = |at: usize| args.get(at).map(|arg| unsafe { CStr::from_ptr(arg.cast()) });
    loop {
        let argument = get(at).ok_or((Problem::NoProgram, c"PROGRAM"))?;
        let bytes = argument.to_bytes();
        if bytes == b"--" {
            at += 1;
            break;
        }
        if !bytes.starts_with(b"-") || bytes == b"-" {
            break;
        }
        at += 1;
        if matches!(bytes, b"-h" | b"--help") {
            options.help = true;
            return Ok(options);
        }
        let refused = |problem| (problem, argument);
        if bytes.starts_with(b"--") {
            // --name, --name VALUE or --name=VALUE
            let split = bytes.iter().position(|byte| *byte == b'=');
            let name = &bytes[..split.unwrap_or(bytes.len())];
            let option = husk_options::find(tables, name).ok_or(refused(Problem::Unknown))?;
            let attached = split
                .and_then(|split| CStr::from_bytes_with_nul(&argument.to_bytes_with_nul()[split + 1..]).ok());
            let value = match (option.value, attached) {
                (None, None) => c"",
                (None, Some(_)) => return Err(refused(Problem::Surplus)),
                (Some(_), Some(value)) => value,
                (Some(_), None) if option.switch => c"true",
                (Some(_), None) => {
                    at += 1;
                    get(at - 1).ok_or(refused(Problem::NoValue))?
                }
            };
            apply(&mut options, option.id, value).map_err(refused)?;
            continue;
        }
        // -x, -xy, -x VALUE or -xVALUE
        for (index, letter) in bytes.iter().enumerate().skip(1) {
            let name = [b'-', *letter];
            let option = husk_options::find(tables, &name).ok_or(refused(Problem::Unknown))?;
            if option.value.is_none() {
                apply(&mut options, option.id, c"").map_err(refused)?;
                continue;
            }
            let rest = &argument.to_bytes_with_nul()[index + 1..];
            let value = match CStr::from_bytes_with_nul(rest) {
                Ok(attached) if !attached.is_empty() => attached,
                _ => {
                    at += 1;
                    get(at - 1).ok_or(refused(Problem::NoValue))?
                }
            };
            apply(&mut options, option.id, value).map_err(refused)?;
            break;
        }
    }
    if get(at).is_none() {
        return Err((Problem::NoProgram, c"PROGRAM"));
    }
    options.args = &args[at..];
    Ok(options)
}

pub(crate) fn apply(options: &mut Options, id: Id, value: &'static CStr) -> Result<(), Problem> {
    let bytes = value.to_bytes();
    match id {
        Id::Tender => {
            options.tender = match bytes {
                b"kvm" => Tender::Kvm,
                b"process" => Tender::Process,
                _ => return Err(Problem::BadValue),
            }
        }
        Id::Rootfs => options.rootfs = Some(value),
        Id::RootDevice => options.root_devices.push(value)?,
        Id::Record => options.record = Some(descriptor(bytes)?),
        Id::Plan => options.plan = Some(descriptor(bytes)?),
        Id::Export => options.export = true,
        Id::NoInheritEnv => options.inherit_env = false,
        Id::Memory => options.memory = Some(size(bytes).ok_or(Problem::BadValue)?),
        Id::Cpus => {
            let cpus = number(bytes).filter(|cpus| (1..=64).contains(cpus)).ok_or(Problem::BadValue)?;
            options.cpus = Some(cpus as u32);
        }
        Id::Env => options.env.push(value)?,
        Id::EnvFile => options.env_files.push(value)?,
        Id::With => options.with.push(value)?,
        Id::Name => options.name = Some(is_name(bytes).then_some(value).ok_or(Problem::BadValue)?),
        Id::Hostname => {
            options.hostname = Some(is_hostname(bytes).then_some(value).ok_or(Problem::BadValue)?)
        }
        Id::Pull => {
            options.pull = match bytes {
                b"always" => Pull::Always,
                b"missing" => Pull::Missing,
                b"never" => Pull::Never,
                _ => return Err(Problem::BadValue),
            }
        }
        Id::TlsVerify => {
            options.tls_verify = Some(match bytes {
                b"true" | b"1" => c"--tls-verify=true",
                b"false" | b"0" => c"--tls-verify=false",
                _ => return Err(Problem::BadValue),
            });
        }
        Id::Credentials => options.credentials = Some(value),
        Id::AuthFile => options.auth_file = Some(value),
        Id::Certificates => options.certificates = Some(value),
        Id::Platform => {
            let is_ours = [&b"linux/amd64"[..], b"amd64", b"linux/x86_64"].contains(&bytes);
            is_ours.then_some(()).ok_or(Problem::BadValue)?;
        }
        Id::Remove => {}
        Id::Workdir => options.workdir = Some(value),
        Id::User => options.user = Some(value),
        Id::Entrypoint => options.entrypoint = Some(value),
        Id::Image => options.image = true,
        Id::Volume | Id::Mount | Id::Tmpfs => options.asks_mounts = true,
        Id::Mounts => {
            let mut descriptors = [-1; 4];
            for (index, digits) in bytes.split(|byte| *byte == b',').enumerate() {
                *descriptors.get_mut(index).ok_or(Problem::BadValue)? = descriptor(digits)?;
            }
            options.mounts = Some(descriptors);
        }
        Id::Interactive | Id::Follow => {}
        Id::Terminal => options.terminal = true,
        Id::NoFork => options.may_fork = false,
        Id::Init => options.init = true,
        Id::Trace => options.trace = true,
        Id::NoPatch => options.patch = false,
        Id::Test => {
            options.fault = Some(match bytes {
                b"panic" => Fault::Panic,
                b"fault" => Fault::Access,
                _ => return Err(Problem::BadValue),
            })
        }
        Id::Output => options.output = Some(value),
        Id::Expression => options.expression = Some(value),
        Id::Count => options.count = true,
        Id::Spent => options.spent = true,
        Id::StringSize => {
            let size = number(bytes).filter(|size| *size <= 1 << 16).ok_or(Problem::BadValue)?;
            options.string_size = Some(size as u32);
        }
    }
    Ok(())
}
