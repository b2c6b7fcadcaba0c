//! `husk run`: from the command line to the guest, and the wait for its end.

use crate::args::{self, Options, Tender};
use crate::image::Container;
use crate::start::{Process, kernel_data, kernel_text};
use core::ffi::CStr;
use husk_abi::boot::{FLAG_CONTAINER, FLAG_FORK, FLAG_NO_PATCH, FLAG_TERMINAL, FLAG_TRACE};
use husk_tender::clock::{self, Sample};
use husk_tender::config::{Config, FORWARDED, Kernel, Strings};
use husk_tender::host;
use linux_raw_sys::auxvec::AT_HWCAP;
use linux_raw_sys::general as raw;

/// Husk's own failures, as in Docker.
const FAILURE: i32 = 125;
/// Most variables of a guest's environment.
const ENV_MAX: usize = 1024;
/// Most arguments of an image's program.
const ARGS_MAX: usize = 4096;

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
struct Text {
    bytes: [u8; 256],
    len: usize,
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let len = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

fn fail(parts: &[&[u8]]) -> ! {
    say(parts);
    host::exit(FAILURE)
}

pub(crate) fn main(process: &Process) -> ! {
    let clock = clock::sample();
    // SAFETY: the host gives C strings.
    let verb = process.args.get(1).map(|verb| unsafe { CStr::from_ptr(verb.cast()) }.to_bytes());
    match verb {
        Some(b"run") => match args::parse(process.args, 2) {
            Ok(options) => run(process, &options, clock),
            Err((problem, argument)) => {
                fail(&[b"run: ", argument.to_bytes(), b": ", problem.text().as_bytes(), b"; see `husk help`"])
            }
        },
        _ => crate::cli::exec(process),
    }
}

fn run(process: &Process, options: &Options, clock: Sample) -> ! {
    let root = crate::root::open(process, options);
    // In the kvm tender guest processes are none of the host's.
    if !options.may_fork || options.tender == Tender::Kvm {
        become_guest(process, options, clock, &root);
    }
    // A guest that may fork is process 1 of a PID namespace, so that nothing of it outlives it.
    // SAFETY: no pointers.
    let uid = unsafe { host::call(syscalls::Sysno::geteuid, [0; 6]) }.unwrap_or(0);
    let flags = raw::CLONE_NEWPID | if uid == 0 { 0 } else { raw::CLONE_NEWUSER };
    take_forwarded();
    // SAFETY: this process has one thread.
    match unsafe { host::fork(flags) } {
        Ok(0) => become_guest(process, options, clock, &root),
        Ok(pid) => wait(pid),
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

/// Waits for the guest and ends as it ended.
fn wait(pid: i32) -> ! {
    GUEST.store(pid, core::sync::atomic::Ordering::Relaxed);
    loop {
        match host::wait(pid) {
            Ok(Some(status)) if status & 0x7f == 0 => host::exit((status >> 8) & 0xff),
            Ok(Some(status)) => {
                let signal = (status & 0x7f) as usize;
                let digits = [b'0' + (signal / 10) as u8, b'0' + (signal % 10) as u8];
                say(&[b"the guest's process was ended by host signal ", &digits]);
                host::exit(if signal == raw::SIGKILL as usize { 137 } else { FAILURE })
            }
            Ok(None) => {}
            Err(_) => host::exit(FAILURE),
        }
    }
}

/// The environment of an image's program: the image's, and over it what was asked for. Returns how many there are.
fn container_env(
    process: &Process,
    options: &Options,
    container: &Container,
    hostname: &[u8],
    env: &mut [*const u8; ENV_MAX],
) -> usize {
    fn name(entry: &CStr) -> &[u8] {
        entry.to_bytes().split(|byte| *byte == b'=').next().unwrap_or_default()
    }
    let mut count = 0;
    let mut set = |entry: &CStr| {
        // SAFETY: the list holds C strings.
        let is_same = |known: &*const u8| name(unsafe { CStr::from_ptr(known.cast()) }) == name(entry);
        match env[..count].iter().position(is_same) {
            Some(at) => env[at] = entry.as_ptr().cast(),
            None if count < ENV_MAX => {
                env[count] = entry.as_ptr().cast();
                count += 1;
            }
            None => fail(&[b"run: the environment has too many variables"]),
        }
    };
    set(CStr::from_bytes_until_nul(hostname).unwrap_or(c"HOSTNAME="));
    if options.terminal {
        set(c"TERM=xterm");
    }
    container.plan.env.clone().for_each(&mut set);
    for entry in options.env.as_slice() {
        // SAFETY: the host gives C strings.
        let entry = unsafe { CStr::from_ptr(entry.cast()) };
        if entry.to_bytes().contains(&b'=') {
            set(entry);
        } else {
            // As in Docker, a name alone stands for the caller's variable, if it has it.
            for known in process.env {
                // SAFETY: the host gives C strings.
                let known = unsafe { CStr::from_ptr(known.cast()) };
                if name(known) == entry.to_bytes() {
                    set(known);
                }
            }
        }
    }
    count
}

/// The arguments of an image's program: entry point, then what was given or else the image's own command.
fn container_args<'a>(
    options: &Options,
    container: &Container,
    given: &[*const u8],
    all: &'a mut [*const u8; ARGS_MAX],
) -> &'a [*const u8] {
    let mut count = 0;
    let mut push = |argument: *const u8| {
        *all.get_mut(count).unwrap_or_else(|| fail(&[b"run: too many arguments"])) = argument;
        count += 1;
    };
    match options.entrypoint {
        Some(program) if !program.is_empty() => push(program.as_ptr().cast()),
        Some(_) => {}
        None => container.plan.entrypoint.clone().for_each(|text| push(text.as_ptr().cast())),
    }
    if !given.is_empty() {
        given.iter().for_each(|argument| push(*argument));
    } else if options.entrypoint.is_none() {
        container.plan.cmd.clone().for_each(|text| push(text.as_ptr().cast()));
    }
    if count == 0 {
        fail(&[b"run: the image names no command: give one behind its name"]);
    }
    &all[..count]
}

fn become_guest(process: &Process, options: &Options, clock: Sample, root: &crate::root::Root) -> ! {
    let mut hostname = [0_u8; 65];
    let hostname = crate::root::hostname(&mut hostname);
    let mut env = [core::ptr::null::<u8>(); ENV_MAX];
    let mut arguments = [core::ptr::null::<u8>(); ARGS_MAX];
    let mut host_variable = [0_u8; 80];
    let given = &process.args[options.program..];
    let (arguments, env) = match &root.container {
        Some(container) => {
            let name = [b"HOSTNAME=", hostname.to_bytes_with_nul()];
            let mut at = 0;
            for part in name {
                host_variable[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            let count = container_env(process, options, container, &host_variable, &mut env);
            (container_args(options, container, &given[1..], &mut arguments), &env[..count])
        }
        None => {
            let mut count = 0;
            for entry in process.env.iter().chain(options.env.as_slice()).take(ENV_MAX) {
                env[count] = *entry;
                count += 1;
            }
            (given, &env[..count])
        }
    };
    let mut flags = 0;
    for (on, flag) in [
        (options.may_fork, FLAG_FORK),
        (options.trace, FLAG_TRACE),
        (!options.patch, FLAG_NO_PATCH),
        (options.terminal, FLAG_TERMINAL),
    ] {
        flags |= if on { flag } else { 0 };
    }
    let mut cwd = options.workdir.unwrap_or(c"/");
    let mut groups: &[u32] = &[];
    let mut program = root.program;
    let (uid, gid) = match &root.container {
        Some(container) => {
            flags |= FLAG_CONTAINER;
            cwd = options.workdir.unwrap_or(container.plan.cwd);
            groups = &container.groups[..container.group_count];
            // SAFETY: the arguments are C strings, and there is one.
            program = unsafe { CStr::from_ptr(arguments[0].cast()) };
            (container.plan.uid, container.plan.gid)
        }
        None => match options.user.map(|user| (user, args::user(user.to_bytes()))) {
            None => (0, 0),
            Some((_, Some(user))) => user,
            Some((user, None)) => {
                fail(&[b"run: --user: ", user.to_bytes(), b": a program's user is UID or UID:GID"])
            }
        },
    };
    let config = Config {
        kernel: Kernel { data: kernel_data() },
        program,
        args: Strings { items: arguments },
        env: Strings { items: env },
        cwd,
        hostname,
        root_fd: root.fd,
        root_len: root.len,
        root_files: root.files,
        memory: options.memory.unwrap_or_else(host::memory_total),
        cpus: options.cpus.unwrap_or_else(crate::root::host_cpus),
        uid,
        gid,
        groups,
        umask: 0o022,
        flags,
        hwcap: process.aux(AT_HWCAP) as u64,
        clock,
    };
    if options.tender == Tender::Kvm {
        let machine = husk_tender_kvm::Machine { text: kernel_text(), control: None, cpuid: None };
        let error = husk_tender_kvm::run(&config, &machine);
        let mut text = Text { bytes: [0; 256], len: 0 };
        let _ = core::fmt::write(&mut text, format_args!("{error}"));
        fail(&[b"run: kvm: ", &text.bytes[..text.len]]);
    }
    let failure = husk_tender_process::run(&config);
    fail(&[
        b"run: the process tender could not ",
        failure.what.as_bytes(),
        b": ",
        husk_tender_process::error_name(&failure).as_bytes(),
    ])
}
