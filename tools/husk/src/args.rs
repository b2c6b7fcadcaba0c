//! The command line of `husk run`.

use core::ffi::CStr;

/// Most `--env` and `--with` options.
pub(crate) const LIST_MAX: usize = 256;

/// A list of strings from options that may be given several times. Its place is zeros that no page backs before they
/// are written: a start touches few pages.
pub(crate) struct List {
    items: &'static mut [*const u8; LIST_MAX],
    len: usize,
}

static mut PLACES: [[*const u8; LIST_MAX]; 2] = [[core::ptr::null(); LIST_MAX]; 2];

impl List {
    /// # Safety
    /// Called once for each of the two places, by the only thread.
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

/// What `husk run` was asked for.
pub(crate) struct Options {
    pub(crate) tender: Tender,
    pub(crate) rootfs: Option<&'static CStr>,
    pub(crate) memory: Option<u64>,
    pub(crate) cpus: Option<u32>,
    pub(crate) env: List,
    pub(crate) with: List,
    pub(crate) name: Option<&'static CStr>,
    pub(crate) workdir: Option<&'static CStr>,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) terminal: bool,
    pub(crate) may_fork: bool,
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
}

impl Options {
    /// # Safety
    /// Called once, by the only thread.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: promised by the caller.
        let (env, with) = unsafe { (List::new(0), List::new(1)) };
        Self {
            tender: Tender::Default,
            rootfs: None,
            memory: None,
            cpus: None,
            env,
            with,
            name: None,
            workdir: None,
            user: None,
            terminal: false,
            may_fork: true,
            trace: false,
            patch: true,
            inherit_env: true,
            args: &[],
            strict: 0,
            allowed: [0; 8],
            record: None,
            export: false,
        }
    }
}

/// Why a command line is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    Unknown,
    NoValue,
    BadValue,
    TooMany,
    NoProgram,
}

impl Problem {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Unknown => "unknown option",
            Self::NoValue => "the option needs a value",
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

/// Whether a guest may be called so.
pub(crate) fn is_name(text: &[u8]) -> bool {
    text.len() <= 64
        && text.first().is_some_and(u8::is_ascii_alphanumeric)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

/// UID or UID:GID.
fn user(text: &[u8]) -> Option<(u32, u32)> {
    let mut parts = text.splitn(2, |byte| *byte == b':');
    let uid = u32::try_from(number(parts.next()?)?).ok()?;
    let gid = match parts.next() {
        Some(gid) => u32::try_from(number(gid)?).ok()?,
        None => uid,
    };
    Some((uid, gid))
}

/// Parses `args` from index `at` on. The error names the argument it is about.
pub(crate) fn parse(args: &'static [*const u8], mut at: usize) -> Result<Options, (Problem, &'static CStr)> {
    // SAFETY: this process parses one command line.
    let mut options = unsafe { Options::new() };
    // SAFETY: the host gives C strings.
    let get = |at: usize| args.get(at).map(|arg| unsafe { CStr::from_ptr(arg.cast()) });
    loop {
        let argument = get(at).ok_or((Problem::NoProgram, c"husk run"))?;
        let bytes = argument.to_bytes();
        if bytes == b"--" {
            at += 1;
            break;
        }
        if !bytes.starts_with(b"-") || bytes == b"-" {
            break;
        }
        at += 1;
        match bytes {
            b"-t" | b"--tty" => options.terminal = true,
            b"-i" | b"--interactive" => {}
            b"-it" | b"-ti" => options.terminal = true,
            b"--no-fork" => options.may_fork = false,
            b"--trace" => options.trace = true,
            b"--no-patch" => options.patch = false,
            b"--export" => options.export = true,
            b"--no-inherit-env" => options.inherit_env = false,
            _ => {
                // --name VALUE or --name=VALUE
                let split = bytes.iter().position(|byte| *byte == b'=');
                let (name, value) = match split {
                    Some(split) => {
                        let value = &argument.to_bytes_with_nul()[split + 1..];
                        (&bytes[..split], CStr::from_bytes_with_nul(value).ok())
                    }
                    None => {
                        at += 1;
                        (bytes, get(at - 1))
                    }
                };
                let known: &[&[u8]] = &[
                    b"--tender",
                    b"--rootfs",
                    b"--memory",
                    b"-m",
                    b"--cpus",
                    b"--env",
                    b"-e",
                    b"--with",
                    b"--name",
                    b"--workdir",
                    b"-w",
                    b"--user",
                    b"-u",
                    b"--record",
                ];
                if !known.contains(&name) {
                    return Err((Problem::Unknown, argument));
                }
                let value = value.ok_or((Problem::NoValue, argument))?;
                apply(&mut options, name, value).map_err(|problem| (problem, argument))?;
            }
        }
    }
    if get(at).is_none() {
        return Err((Problem::NoProgram, c"husk run"));
    }
    options.args = &args[at..];
    Ok(options)
}

pub(crate) fn apply(options: &mut Options, name: &[u8], value: &'static CStr) -> Result<(), Problem> {
    let bytes = value.to_bytes();
    match name {
        b"--tender" => {
            options.tender = match bytes {
                b"kvm" => Tender::Kvm,
                b"process" => Tender::Process,
                _ => return Err(Problem::BadValue),
            }
        }
        b"--rootfs" => options.rootfs = Some(value),
        // For `husk shrink` and `husk build`, which hand the descriptor on.
        b"--record" => {
            options.record =
                Some(number(bytes).filter(|fd| (3..1 << 16).contains(fd)).ok_or(Problem::BadValue)? as i32)
        }
        b"--memory" | b"-m" => options.memory = Some(size(bytes).ok_or(Problem::BadValue)?),
        b"--cpus" => {
            let cpus = number(bytes).filter(|cpus| (1..=64).contains(cpus)).ok_or(Problem::BadValue)?;
            options.cpus = Some(cpus as u32);
        }
        b"--env" | b"-e" => options.env.push(value)?,
        b"--with" => options.with.push(value)?,
        b"--name" => options.name = Some(is_name(bytes).then_some(value).ok_or(Problem::BadValue)?),
        b"--workdir" | b"-w" => options.workdir = Some(value),
        b"--user" | b"-u" => options.user = Some(user(bytes).ok_or(Problem::BadValue)?),
        _ => return Err(Problem::Unknown),
    }
    Ok(())
}
