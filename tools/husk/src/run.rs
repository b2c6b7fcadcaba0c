//! `husk run`: from the command line to the guest, and the wait for its end.

use crate::args::{self, Options, Tender};
use crate::root::Root;
use crate::start::{Process, kernel_data, kernel_text};
use core::ffi::CStr;
use husk_abi::boot::{FLAG_EXPORT, FLAG_FORK, FLAG_NO_PATCH, FLAG_RECORD, FLAG_TERMINAL, FLAG_TRACE};
use husk_tender::clock::{self, Sample};
use crate::control::{Control, Facts, Refused};
use husk_tender::config::{Config, FORWARDED, Kernel, Snapshot, Strings};
use husk_tender::host;
use linux_raw_sys::auxvec::AT_HWCAP;
use linux_raw_sys::general as raw;

/// Husk's own failures, as in Docker.
const FAILURE: i32 = 125;
/// Most variables of a guest's environment.
const ENV_MAX: usize = 1024;

/// Prints one line on stderr from parts.
pub(crate) fn say(parts: &[&[u8]]) {
    let mut line = [0_u8; 1024];
    let mut len = 0;
    for part in [b"husk: ".as_slice()].iter().chain(parts).chain(&[b"\n".as_slice()]) {
        let room = (line.len() - len).min(part.len());
        line[len..len + room].copy_from_slice(&part[..room]);
        len += room;
    }
    host::print(&line[..len]);
}

/// A message made by formatting; what does not fit is cut.
pub(crate) struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; 256], len: 0 }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let len = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// Whether two variables, as NAME=VALUE, have one name.
fn same_name(one: *const u8, other: *const u8) -> bool {
    let name = |entry: *const u8| {
        // SAFETY: the host and the manifest give C strings.
        let entry = unsafe { CStr::from_ptr(entry.cast()) };
        entry.to_bytes().split(|byte| *byte == b'=').next()
    };
    name(one) == name(other)
}

pub(crate) fn fail(parts: &[&[u8]]) -> ! {
    say(parts);
    host::exit(FAILURE)
}

pub(crate) fn main(process: &Process) -> ! {
    let clock = clock::sample();
    crate::app::start(process, clock);
    // SAFETY: the host gives C strings.
    let verb = process.args.get(1).map(|verb| unsafe { CStr::from_ptr(verb.cast()) }.to_bytes());
    match verb {
        Some(b"run") => match args::parse(process.args, 2) {
            Ok(options) => run(process, &options, clock),
            Err((problem, argument)) => {
                fail(&[b"run: ", argument.to_bytes(), b": ", problem.text().as_bytes(), b"; see `husk help`"])
            }
        },
        Some(b"@restore") => crate::restore::main(process, clock),
        _ => crate::cli::exec(process),
    }
}

fn run(process: &Process, options: &Options, clock: Sample) -> ! {
    let root = crate::root::open(process, options);
    launch(process, options, clock, &root)
}

/// Starts the guest, as this process or as its child.
pub(crate) fn launch(process: &Process, options: &Options, clock: Sample, root: &Root) -> ! {
    let facts = Facts {
        tender: if options.tender == Tender::Kvm { "kvm" } else { "process" },
        program: root.program,
        root_fd: root.fd,
        root_offset: root.offset,
        root_len: root.len,
        memory: options.memory.unwrap_or_else(|| default_memory(options.tender)),
        cpus: options.cpus.unwrap_or_else(crate::root::host_cpus),
        flags: flags_of(options),
    };
    if options.may_fork {
        with_parent(process, &facts, options.name, |control_fd| {
            become_guest(process, options, clock, root, &facts, control_fd);
        })
    }
    if options.name.is_some() {
        fail(&[b"run: --name: a guest with `--no-fork` has no parent process and so no name"]);
    }
    become_guest(process, options, clock, root, &facts, -1)
}

fn flags_of(options: &Options) -> u64 {
    let mut flags = 0;
    for (on, flag) in [
        (options.may_fork, FLAG_FORK),
        (options.trace, FLAG_TRACE),
        (!options.patch, FLAG_NO_PATCH),
        (options.terminal, FLAG_TERMINAL),
        (options.record.is_some(), FLAG_RECORD),
        (options.export, FLAG_EXPORT),
    ] {
        flags |= if on { flag } else { 0 };
    }
    flags
}

/// Starts the guest in a child, and waits for its end.
pub(crate) fn with_parent(
    process: &Process,
    facts: &Facts,
    name: Option<&'static CStr>,
    start: impl FnOnce(i32),
) -> ! {
    let control = match Control::new(process, name) {
        Ok(control) => control,
        Err(Refused::Taken) => {
            let name = name.map_or(&b""[..], CStr::to_bytes);
            fail(&[b"run: --name: a guest is called ", name, b" already; see `husk ps`"])
        }
        Err(Refused::Host(what, error)) => {
            let error = error.name().unwrap_or("error").as_bytes();
            fail(&[b"run: cannot ", what.as_bytes(), b": ", error])
        }
    };
    // A guest that may fork is process 1 of a PID namespace, so that nothing of it outlives it. In the kvm tender guest
    // processes are none of the host's.
    // SAFETY: no pointers.
    let uid = unsafe { host::call(syscalls::Sysno::geteuid, [0; 6]) }.unwrap_or(0);
    let flags = match facts.tender {
        "kvm" => 0,
        _ => raw::CLONE_NEWPID | if uid == 0 { 0 } else { raw::CLONE_NEWUSER },
    };
    take_forwarded();
    // SAFETY: this process has one thread.
    match unsafe { host::fork(flags) } {
        Ok(0) => {
            start(control.guests_end());
            host::exit(FAILURE)
        }
        Ok(pid) => {
            GUEST.store(pid, core::sync::atomic::Ordering::Relaxed);
            end_as(control.wait(process, pid, facts))
        }
        Err(error) => fail(&[
            b"run: cannot make a process namespace for the guest: ",
            error.name().unwrap_or("error").as_bytes(),
            b"; `--no-fork` runs without one",
        ]),
    }
}

/// The guest's process id, for the signal handler.
static GUEST: core::sync::atomic::AtomicI32 = core::sync::atomic::AtomicI32::new(0);

/// `SI_KERNEL`: the terminal sent it, and so to the guest too.
const FROM_TERMINAL: i32 = 0x80;

extern "C" fn forward(signal: i32, info: *const i32) {
    // SAFETY: the host's siginfo, of which the code is the third word.
    let code = unsafe { *info.add(2) };
    let guest = GUEST.load(core::sync::atomic::Ordering::Relaxed);
    if guest > 0 && code != FROM_TERMINAL {
        host::kill(guest, signal as u32);
    }
}

core::arch::global_asm!(
    ".pushsection .text.restorer,\"ax\",@progbits",
    ".globl husk_restorer",
    "husk_restorer:",
    "  mov eax, 15",
    "  syscall",
    "  ud2",
    ".popsection",
);

unsafe extern "C" {
    fn husk_restorer();
}

fn take_forwarded() {
    for signal in FORWARDED.into_iter().filter(|signal| *signal != raw::SIGTSTP) {
        let flags = u64::from(raw::SA_SIGINFO | raw::SA_RESTART) | u64::from(raw::SA_RESTORER);
        let restorer = husk_restorer as *const () as usize;
        // SAFETY: the handler makes one host call and nothing else.
        let _ = unsafe { host::signal_action(signal, forward as *const () as usize, flags, restorer) };
    }
}

/// Ends as the guest ended.
fn end_as(status: host::HostResult<i32>) -> ! {
    match status {
        Ok(status) if status & 0x7f == 0 => host::exit((status >> 8) & 0xff),
        Ok(status) => {
            let signal = (status & 0x7f) as usize;
            let digits = [b'0' + (signal / 10) as u8, b'0' + (signal % 10) as u8];
            say(&[b"the guest's process was ended by host signal ", &digits]);
            host::exit(if signal == raw::SIGKILL as usize { 137 } else { FAILURE })
        }
        Err(_) => host::exit(FAILURE),
    }
}

/// Bytes of memory where the user does not say. KVM keeps a table of all a guest may have, and to make and free it takes
/// about 0.3 ms a GiB.
fn default_memory(tender: Tender) -> u64 {
    const KVM: u64 = 2 << 30;
    match tender {
        Tender::Kvm => host::memory_total().min(KVM),
        _ => host::memory_total(),
    }
}

fn become_guest(
    process: &Process,
    options: &Options,
    clock: Sample,
    root: &Root,
    facts: &Facts,
    control_fd: i32,
) -> ! {
    static mut ENV: [*const u8; ENV_MAX] = [core::ptr::null(); ENV_MAX];
    let place = &raw mut ENV;
    // SAFETY: called once, by the only thread. No page of the place is touched before it is written.
    let env = unsafe { &mut *place };
    let mut count = 0;
    let base = if options.inherit_env { process.env } else { &[] };
    let own = options.env.as_slice();
    // A variable that is given twice counts as given last.
    let kept = |index: &usize| !own.iter().any(|other| same_name(base[*index], *other));
    let inherited = (0..base.len()).filter(kept).map(|index| base[index]);
    let last = |index: &usize| !own[index + 1..].iter().any(|other| same_name(own[*index], *other));
    for entry in inherited.chain((0..own.len()).filter(last).map(|index| own[index])) {
        let Some(place) = env.get_mut(count) else {
            fail(&[b"run: the environment has more than 1024 variables"])
        };
        *place = entry;
        count += 1;
    }
    let (uid, gid) = options.user.unwrap_or((0, 0));
    let mut hostname = [0_u8; 65];
    let hostname = crate::root::hostname(&mut hostname);
    let config = Config {
        program: root.program,
        args: Strings { items: options.args },
        env: Strings { items: &env[..count] },
        cwd: options.workdir.unwrap_or(c"/"),
        hostname,
        record_fd: options.record,
        strict: options.strict,
        allowed: options.allowed,
        uid,
        gid,
        ..config_of(process, facts, root, clock, control_fd)
    };
    enter(process, &config, facts)
}

/// What a guest is started with whose program is that of a snapshot, or is filled in by the caller.
fn config_of<'a>(
    process: &Process,
    facts: &Facts,
    root: &Root,
    clock: Sample,
    control_fd: i32,
) -> Config<'a> {
    Config {
        kernel: Kernel { data: kernel_data() },
        program: c"",
        args: Strings { items: &[] },
        env: Strings { items: &[] },
        cwd: c"",
        hostname: c"",
        root_fd: root.fd,
        root_len: root.len,
        root_offset: root.offset,
        record_fd: None,
        strict: 0,
        allowed: [0; 8],
        memory: facts.memory,
        cpus: facts.cpus,
        uid: 0,
        gid: 0,
        umask: 0o022,
        flags: facts.flags,
        hwcap: process.aux(AT_HWCAP) as u64,
        clock,
        control_fd,
        snapshot: None,
    }
}

/// Becomes the guest that was saved.
pub(crate) fn enter_restored(
    process: &Process,
    facts: &Facts,
    root: &Root,
    snapshot: Snapshot,
    clock: Sample,
    control_fd: i32,
) -> ! {
    let config = config_of(process, facts, root, clock, control_fd);
    enter(process, &Config { snapshot: Some(snapshot), ..config }, facts)
}

fn enter(process: &Process, config: &Config<'_>, facts: &Facts) -> ! {
    let verb: &[u8] = if config.snapshot.is_some() { b"restore: " } else { b"run: " };
    if facts.tender == "kvm" {
        let mut kept = crate::cpuid::Kept::new();
        let cpuid = crate::cpuid::supported(process, &mut kept);
        let machine = husk_tender_kvm::Machine { text: kernel_text(), cpuid };
        let error = husk_tender_kvm::run(config, &machine);
        let mut text = Text::new();
        let _ = core::fmt::write(&mut text, format_args!("{error}"));
        fail(&[verb, b"kvm: ", text.as_bytes()]);
    }
    let failure = husk_tender_process::run(config);
    fail(&[
        verb,
        b"the process tender could not ",
        failure.what.as_bytes(),
        b": ",
        husk_tender_process::error_name(&failure).as_bytes(),
    ])
}
