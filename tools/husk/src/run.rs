//! `husk run`: from the command line to the guest, and the wait for its end.

use crate::args::{self, Fault, Options, Tender};
use crate::bound::Bound;
use crate::control::{Control, Facts, Refused};
use crate::image::Container;
use crate::root::Root;
use crate::start::{Process, kernel_data, kernel_text};
use crate::terminal;
use core::ffi::CStr;
use husk_abi::boot::{
    FLAG_BOUNDED, FLAG_CONTAINER, FLAG_EXPORT, FLAG_FORK, FLAG_NO_PATCH, FLAG_RECORD, FLAG_TERMINAL,
    FLAG_TEST_FAULT, FLAG_TEST_PANIC, FLAG_TRACE, FLAG_TRACE_COUNT, FLAG_TRACE_SPENT,
};
use husk_options::{Opt, RUN, TRACE};
use husk_tender::clock::{self, Sample};
use husk_tender::config::{Config, FORWARDED, Kernel, Ring, Snapshot, Strings};
use husk_tender::host::{self, HostErrno};
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
        Some(verb @ (b"run" | b"trace")) => {
            let is_trace = verb == b"trace";
            let tables: &[&[Opt]] = if is_trace { &[TRACE, RUN] } else { &[RUN] };
            match args::parse(process.args, 2, tables) {
                Ok(options) if options.help || (options.asks_mounts && options.mounts.is_none()) => {
                    crate::cli::exec(process)
                }
                Ok(mut options) => {
                    options.trace |= is_trace;
                    crate::env_file::load(&mut options);
                    run(process, &options, clock)
                }
                Err((problem, argument)) => fail(&[
                    verb,
                    b": ",
                    argument.to_bytes(),
                    b": ",
                    problem.text().as_bytes(),
                    b"; see `husk ",
                    verb,
                    b" --help`",
                ]),
            }
        }
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
    let mut place = Place { raw: terminal::find(options.terminal), ..Place::new() };
    if let Some(container) = &root.container {
        place.stop = container.plan.stop_signal;
    }
    if options.terminal && !host::is_terminal(0) {
        fail(&[b"run: -t: stdin is no terminal"]);
    }
    let facts = Facts {
        tender: if options.tender == Tender::Kvm { "kvm" } else { "process" },
        program: root.program,
        root_fd: root.fd,
        root_offset: root.offset,
        root_len: root.len,
        memory: memory(options),
        cpus: options.cpus.unwrap_or_else(crate::root::host_cpus),
        flags: flags_of(options, root, &place),
        has_volumes: options.mounts.and_then(ring).is_some(),
    };
    if options.may_fork || place.raw || facts.flags & FLAG_BOUNDED != 0 {
        with_parent(process, &facts, options.name, place, |control_fd, place| {
            become_guest(process, options, clock, root, &facts, place, control_fd);
        })
    }
    if options.name.is_some() {
        fail(&[b"run: --name: a guest with `--no-fork` has no parent process and so no name"]);
    }
    place.has_parent = false;
    become_guest(process, options, clock, root, &facts, &place, -1)
}

fn flags_of(options: &Options, root: &Root, place: &Place) -> u64 {
    let mut flags = 0;
    for (on, flag) in [
        (options.may_fork, FLAG_FORK),
        (options.trace, FLAG_TRACE),
        (!options.patch, FLAG_NO_PATCH),
        (place.raw, FLAG_TERMINAL),
        (root.container.is_some(), FLAG_CONTAINER),
        (options.record.is_some(), FLAG_RECORD),
        (options.export, FLAG_EXPORT),
        // Under kvm there is no other memory.
        (options.memory.is_some() && options.tender != Tender::Kvm, FLAG_BOUNDED),
        (options.count, FLAG_TRACE_COUNT),
        (options.spent, FLAG_TRACE_SPENT),
        (options.fault == Some(Fault::Panic), FLAG_TEST_PANIC),
        (options.fault == Some(Fault::Access), FLAG_TEST_FAULT),
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
    mut place: Place,
    start: impl FnOnce(i32, &Place),
) -> ! {
    let control = match Control::new(process, name) {
        Ok(control) => control,
        Err(Refused::Taken) => {
            let name = name.map_or(&b""[..], CStr::to_bytes);
            fail(&[b"run: --name: a guest is called ", name, b" already; see `husk ps`"])
        }
        Err(Refused::Host(what, error)) => fail(&[b"run: cannot ", what.as_bytes(), b": ", text(error)]),
    };
    // A guest that may fork is process 1 of a PID namespace, so that nothing of it outlives it. In the kvm tender guest
    // processes are none of the host's.
    // SAFETY: no pointers.
    let uid = unsafe { host::call(syscalls::Sysno::geteuid, [0; 6]) }.unwrap_or(0);
    let flags = match (facts.tender, facts.flags & FLAG_FORK != 0) {
        ("kvm", _) | (_, false) => 0,
        _ => raw::CLONE_NEWPID | if uid == 0 { 0 } else { raw::CLONE_NEWUSER },
    };
    place.own_users = flags & raw::CLONE_NEWUSER != 0;
    if place.raw {
        place.wish = terminal::make_wishes().ok();
    }
    terminal::take_signals(&FORWARDED);
    terminal::take();
    let mask = terminal::hold(&FORWARDED);
    // SAFETY: this process has one thread.
    match unsafe { host::fork(flags) } {
        Ok(0) => {
            terminal::release(mask);
            start(control.guests_end(), &place);
            host::exit(FAILURE)
        }
        Ok(pid) => be_parent(control, process, facts, &place, pid, mask, flags & raw::CLONE_NEWPID != 0),
        Err(error) => {
            terminal::restore();
            fail(&[
                b"run: cannot make a process namespace for the guest: ",
                text(error),
                b"; `--no-fork` runs without one",
            ])
        }
    }
}

/// Waits for the guest and ends as it did. `mask` is that of the signals held since before it began.
// Kept out of its caller: each page of its buffers in that frame would be a page fault at each start, and two after the fork.
#[inline(never)]
fn be_parent(
    control: Control,
    process: &Process,
    facts: &Facts,
    place: &Place,
    pid: i32,
    mask: u64,
    own_pids: bool,
) -> ! {
    place.wish.into_iter().for_each(host::close);
    terminal::watch(pid, place.stop);
    terminal::release(mask);
    let is_bounded = facts.flags & FLAG_BOUNDED != 0;
    let mut bound = if is_bounded { Bound::new(pid, own_pids, facts.memory) } else { None };
    let status = control.wait(process, pid, facts, bound.as_mut());
    terminal::restore();
    if let Some(bound) = bound.filter(Bound::has_ended_guest) {
        bound.report();
        host::exit(128 + raw::SIGKILL as i32)
    }
    end_as(status)
}

/// Least memory of a guest, bytes: its kernel, and a small program.
const MEMORY_MIN: u64 = 8 << 20;

/// The guest's memory in bytes: what was asked for, if that can be, or the host's.
fn memory(options: &Options) -> u64 {
    let total = host::memory_total();
    let Some(memory) = options.memory else {
        // KVM keeps a table of all a guest may have, and to make and free it takes about 0.3 ms a GiB.
        const KVM: u64 = 2 << 30;
        let most = if options.tender == Tender::Kvm { KVM } else { husk_abi::layout::ARENA_MAX as u64 };
        return total.min(most);
    };
    let mut line = Text::new();
    let _ = match memory {
        ..MEMORY_MIN => core::fmt::write(
            &mut line,
            format_args!("--memory: {memory} bytes are too few: a guest needs 8 MiB"),
        ),
        _ if memory > total.min(husk_abi::layout::ARENA_MAX as u64) => core::fmt::write(
            &mut line,
            format_args!("--memory: {} MiB are more than this host has ({} MiB)", memory >> 20, total >> 20),
        ),
        _ => return memory,
    };
    fail(&[b"run: ", line.as_bytes()])
}

/// Where a guest is made.
pub(crate) struct Place {
    /// The id of a process that lives as long as the guest.
    number: u32,
    /// In a user namespace of its own.
    own_users: bool,
    has_parent: bool,
    /// The terminal is in raw mode.
    raw: bool,
    /// What the guest gets for SIGTERM.
    stop: u32,
    /// Where the guest asks to be stopped.
    wish: Option<i32>,
}

impl Place {
    /// Below a parent, with no terminal.
    pub(crate) fn new() -> Self {
        // SAFETY: no pointers.
        let number = unsafe { host::call(syscalls::Sysno::getpid, [0; 6]) }.unwrap_or(0) as u32;
        Self { number, own_users: false, has_parent: true, raw: false, stop: raw::SIGTERM, wish: None }
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

/// The file that a trace goes to.
fn create(path: &CStr) -> i32 {
    match host::create(path) {
        Ok(fd) => fd,
        Err(error) => fail(&[b"trace: ", path.to_bytes(), b": ", text(error)]),
    }
}

/// What a host error means.
fn text(error: HostErrno) -> &'static [u8] {
    error.description().or(error.name()).unwrap_or("unknown error").as_bytes()
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

/// The environment of a program of the host: this process's, and over it what was asked for. Returns how many there are.
fn inherited_env(process: &Process, options: &Options, env: &mut [*const u8; ENV_MAX]) -> usize {
    let mut count = 0;
    let base = if options.inherit_env { process.env } else { &[] };
    let own = options.env.as_slice();
    // A variable that is given twice counts as given last. Where the caller is and was is no place in the guest.
    let places = [c"PWD=", c"OLDPWD="].map(|name| name.as_ptr().cast());
    let kept = |index: &usize| !own.iter().chain(&places).any(|other| same_name(base[*index], *other));
    let inherited = (0..base.len()).filter(kept).map(|index| base[index]);
    let last = |index: &usize| !own[index + 1..].iter().any(|other| same_name(own[*index], *other));
    // A name alone stands for the caller's variable.
    let resolve = |entry: *const u8| {
        // SAFETY: the host gives C strings.
        let has_value = unsafe { CStr::from_ptr(entry.cast()) }.to_bytes().contains(&b'=');
        if has_value {
            Some(entry)
        } else {
            process.env.iter().copied().find(|known| same_name(*known, entry))
        }
    };
    for entry in inherited.chain((0..own.len()).filter(last).filter_map(|index| resolve(own[index]))) {
        let Some(variable) = env.get_mut(count) else {
            fail(&[b"run: the environment has more than 1024 variables"])
        };
        *variable = entry;
        count += 1;
    }
    count
}

/// The table of mounts, as the boot block has it.
fn mount_table(fd: i32) -> &'static [u8] {
    let len = host::stat_fd(fd).map_or(0, |stat| stat.st_size as usize);
    // SAFETY: a new mapping where the host finds room.
    match unsafe { host::map(0, len, raw::PROT_READ, raw::MAP_PRIVATE, fd, 0) } {
        // SAFETY: mapped for the life of the process; nobody has the file any more but this process.
        Ok(at) => unsafe { core::slice::from_raw_parts(at as *const u8, len) },
        Err(error) => fail(&[b"run: the table of mounts cannot be read: ", text(error)]),
    }
}

/// The ring of the guest's volumes, if it has any.
fn ring(descriptors: [i32; 4]) -> Option<Ring> {
    let [_, fd, requests, replies] = descriptors;
    let len = host::stat_fd(fd).ok()?.st_size as usize;
    Some(Ring { fd, len, requests, replies })
}

fn become_guest(
    process: &Process,
    options: &Options,
    clock: Sample,
    root: &Root,
    facts: &Facts,
    place: &Place,
    control_fd: i32,
) -> ! {
    static mut ENV: [*const u8; ENV_MAX] = [core::ptr::null(); ENV_MAX];
    let variables = &raw mut ENV;
    // SAFETY: called once, by the only thread. No page of the place is touched before it is written.
    let env = unsafe { &mut *variables };
    static mut ARGUMENTS: [*const u8; ARGS_MAX] = [core::ptr::null(); ARGS_MAX];
    let all = &raw mut ARGUMENTS;
    // SAFETY: as above.
    let all = unsafe { &mut *all };
    let mut hostname = [0_u8; 65];
    // A program of the host is on a host of its own; a container's is that of its engine.
    let hostname = match options.hostname {
        Some(name) => name,
        None if root.container.is_some() => crate::root::hostname(&mut hostname),
        None => c"",
    };
    let mut host_variable = [0_u8; 80];
    let (arguments, count) = match &root.container {
        Some(container) => {
            let mut at = 0;
            for part in [b"HOSTNAME=", hostname.to_bytes_with_nul()] {
                host_variable[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            let count = container_env(process, options, container, &host_variable, env);
            (container_args(options, container, &options.args[1..], all), count)
        }
        None => (options.args, inherited_env(process, options, env)),
    };
    let mut cwd = options.workdir.unwrap_or(c"/");
    let mut groups: &[u32] = &[];
    let mut program = root.program;
    let (uid, gid) = match &root.container {
        Some(container) => {
            cwd = options.workdir.unwrap_or(container.plan.cwd);
            groups = &container.groups[..container.group_count];
            // SAFETY: the arguments are C strings, and there is one.
            program = unsafe { CStr::from_ptr(arguments[0].cast()) };
            (container.plan.uid, container.plan.gid)
        }
        None => match options.user.map(|user| (user, args::user(user.to_bytes()))) {
            None => options.ids,
            Some((_, Some(user))) => user,
            Some((user, None)) => {
                fail(&[b"run: --user: ", user.to_bytes(), b": a program's user is UID or UID:GID"])
            }
        },
    };
    let config = Config {
        program,
        args: Strings { items: arguments },
        env: Strings { items: &env[..count] },
        cwd,
        hostname,
        root_files: root.files,
        mounts: options.mounts.map_or(&[], |descriptors| mount_table(descriptors[0])),
        ring: options.mounts.and_then(ring),
        root_name: root.path,
        record_fd: options.record,
        strict: options.strict,
        allowed: options.allowed,
        uid,
        gid,
        groups,
        trace_fd: options.output.map(create),
        trace: options.expression,
        trace_strings: options.string_size.unwrap_or(0),
        ..config_of(process, facts, root, clock, place, control_fd)
    };
    enter(process, &config, facts)
}

/// What a guest is started with whose program is that of a snapshot, or is filled in by the caller.
fn config_of<'a>(
    process: &Process,
    facts: &Facts,
    root: &Root,
    clock: Sample,
    place: &Place,
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
        root_files: &[],
        mounts: &[],
        ring: None,
        root_name: c"",
        record_fd: None,
        strict: 0,
        allowed: [0; 8],
        memory: facts.memory,
        cpus: facts.cpus,
        uid: 0,
        gid: 0,
        groups: &[],
        umask: 0o022,
        flags: facts.flags,
        trace_fd: None,
        trace: None,
        trace_strings: 0,
        wish_fd: place.wish,
        has_parent: place.has_parent,
        number: place.number,
        own_users: place.own_users,
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
    place: &Place,
    control_fd: i32,
) -> ! {
    let config = config_of(process, facts, root, clock, place, control_fd);
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
        let instead: &[u8] = match error {
            husk_tender_kvm::Error::NoKvm(_) | husk_tender_kvm::Error::KvmTooOld(_) => {
                b"; `--tender process` runs guests without KVM"
            }
            _ => b"",
        };
        fail(&[verb, b"kvm: ", text.as_bytes(), instead]);
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
