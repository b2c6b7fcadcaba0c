//! The options of `husk run` and `husk trace`, declared once, as data.
//!
//! The front has no heap and parses them itself; help, completions and the check of both come from the same rows. A match
//! on `Id` in the front is exhaustive, so an option that is declared here and not served there does not compile.
#![no_std]

/// Which option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id {
    Tender,
    With,
    Rootfs,
    RootDevice,
    Memory,
    Cpus,
    Env,
    EnvFile,
    Name,
    Volume,
    Mount,
    Tmpfs,
    Mounts,
    Plan,
    Hostname,
    Pull,
    TlsVerify,
    Credentials,
    AuthFile,
    Certificates,
    Platform,
    Remove,
    Workdir,
    User,
    Entrypoint,
    Image,
    Interactive,
    Terminal,
    NoFork,
    Init,
    Trace,
    NoPatch,
    Test,
    Record,
    Export,
    NoInheritEnv,
    Output,
    Expression,
    Count,
    Spent,
    StringSize,
    Follow,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    pub id: Id,
    pub short: Option<char>,
    pub long: Option<&'static str>,
    /// What its value is called; none where it takes none.
    pub value: Option<&'static str>,
    pub help: &'static str,
    /// May be given several times.
    pub many: bool,
    /// The value only comes with `=`, and is `true` without.
    pub switch: bool,
    /// Not shown: for measuring and testing.
    pub hidden: bool,
}

const fn option(id: Id, short: char, long: &'static str, value: &'static str, help: &'static str) -> Opt {
    let short = if short == ' ' { None } else { Some(short) };
    let long = if long.is_empty() { None } else { Some(long) };
    let value = if value.is_empty() { None } else { Some(value) };
    Opt { id, short, long, value, help, many: false, switch: false, hidden: false }
}

const fn many(option: Opt) -> Opt {
    Opt { many: true, ..option }
}

const fn switch(option: Opt) -> Opt {
    Opt { switch: true, ..option }
}

const fn hidden(option: Opt) -> Opt {
    Opt { hidden: true, ..option }
}

/// What both verbs take.
pub static RUN: &[Opt] = &[
    option(
        Id::Tender,
        ' ',
        "tender",
        "TENDER",
        "process (behind seccomp, the default) or kvm (a virtual machine); see `husk check`",
    ),
    many(option(
        Id::With,
        ' ',
        "with",
        "PATH|PACKAGE",
        "Pack this too: a file or directory (with a slash), a program in PATH, or an installed Debian package",
    )),
    option(
        Id::Rootfs,
        ' ',
        "rootfs",
        "DIR|IMAGE",
        "The guest's root: a directory or an EROFS image; PROGRAM is a path in it",
    ),
    hidden(many(option(
        Id::RootDevice,
        ' ',
        "root-device",
        "FILE",
        "A further device of that image, which begins where the one before ends",
    ))),
    option(
        Id::Memory,
        'm',
        "memory",
        "SIZE",
        "Most memory of the guest, in bytes or with k, m, g or t [default: the host's]",
    ),
    option(Id::Cpus, ' ', "cpus", "N", "vCPUs of the guest [default: the host's]"),
    many(option(Id::Env, 'e', "env", "NAME=VALUE", "Add a variable to the environment")),
    many(option(
        Id::EnvFile,
        ' ',
        "env-file",
        "FILE",
        "Add the variables of a file, one NAME=VALUE a line; --env comes after it",
    )),
    option(
        Id::Name,
        ' ',
        "name",
        "NAME",
        "What the guest is called, for `husk snapshot` [default: a number]",
    ),
    many(option(
        Id::Volume,
        'v',
        "volume",
        "SOURCE:TARGET[:ro]",
        "Mount a directory or file of the host (a path with `/` or `./` in front) or a named volume",
    )),
    many(option(
        Id::Mount,
        ' ',
        "mount",
        "type=TYPE,...",
        "The same spelled out: type=bind, volume or tmpfs, source=, target=, readonly",
    )),
    many(option(
        Id::Tmpfs,
        ' ',
        "tmpfs",
        "TARGET[:size=SIZE,mode=MODE]",
        "Mount an empty file system in the guest's memory",
    )),
    hidden(option(Id::Mounts, ' ', "mounts", "FDS", "What those three options became")),
    hidden(option(Id::Plan, ' ', "plan", "FD", "The plan of the image, which was found already")),
    option(Id::Workdir, 'w', "workdir", "DIR", "Start in this directory of the guest [default: /]"),
    option(
        Id::User,
        'u',
        "user",
        "USER[:GROUP]",
        "Run as this user of the guest: by number, or, in an image, by name [default: 0, or the image's]",
    ),
    option(
        Id::Entrypoint,
        ' ',
        "entrypoint",
        "PROGRAM",
        "Instead of the image's entry point; empty for none",
    ),
    option(
        Id::Hostname,
        ' ',
        "hostname",
        "NAME",
        "What the guest calls its host [default: husk, or in an image the host's name]",
    ),
    option(Id::Pull, ' ', "pull", "WHEN", "Fetch an image always, if it is missing (the default), or never"),
    switch(option(
        Id::TlsVerify,
        ' ',
        "tls-verify",
        "BOOL",
        "Fetch by HTTPS with a known certificate only (the default but for loopback), or with `=false` not",
    )),
    option(
        Id::Credentials,
        ' ',
        "creds",
        "USER:PASSWORD",
        "For the image's registry, in place of what `podman login` or `docker login` left",
    ),
    option(Id::AuthFile, ' ', "authfile", "FILE", "A file with credentials, as `podman login` writes it"),
    option(Id::Certificates, ' ', "cert-dir", "DIR", "A folder with certificates of authorities (*.crt)"),
    option(Id::Platform, ' ', "platform", "OS/ARCH", "Of an image for several platforms: linux/amd64"),
    option(Id::Remove, ' ', "rm", "", "Accepted for those used to it: nothing stays of a guest in any case"),
    option(Id::Image, ' ', "image", "", "What is run is an image, even if a program has the same name"),
    option(
        Id::Interactive,
        'i',
        "interactive",
        "",
        "Accepted for those used to it: stdin is the program's own in any case",
    ),
    option(
        Id::Terminal,
        't',
        "tty",
        "",
        "Demand a terminal; with stdin a terminal the guest's console is one in any case",
    ),
    option(
        Id::NoFork,
        ' ',
        "no-fork",
        "",
        "The guest may make threads, but no further process: it needs no PID namespace then",
    ),
    option(
        Id::Init,
        ' ',
        "init",
        "",
        "Start the program below a process 1 that passes signals on to it and waits for orphans",
    ),
    option(Id::Trace, ' ', "trace", "", "Print each system call on stderr, as `husk trace` does"),
    hidden(option(Id::NoPatch, ' ', "no-patch", "", "Leave call sites alone: each system call traps")),
    hidden(option(
        Id::Record,
        ' ',
        "record",
        "FD",
        "Write what the guest uses to this descriptor at its end",
    )),
    hidden(option(
        Id::Export,
        ' ',
        "export",
        "",
        "Write what the guest changed in its root to that descriptor, too",
    )),
    hidden(option(Id::NoInheritEnv, ' ', "no-inherit-env", "", "Start with an empty environment")),
    hidden(option(Id::Test, ' ', "test", "FAULT", "Let the guest's kernel fail: panic or fault")),
];

/// What `husk trace` takes besides; a short name here hides that of an option above.
pub static TRACE: &[Opt] = &[
    option(Id::Output, 'o', "output", "FILE", "Write the trace to FILE, not to stderr"),
    option(
        Id::Expression,
        'e',
        "expr",
        "trace=SET",
        "Trace the calls of SET only: names and classes (%file, %desc, %process, %network, %signal, %memory, %ipc), \
         with commas between; with ! in front all others",
    ),
    option(Id::Count, 'c', "summary-only", "", "Count calls, errors and time; print a table at the end"),
    option(Id::Spent, 'T', "syscall-times", "", "Show the time spent in each call"),
    option(Id::StringSize, 's', "string-limit", "N", "Most bytes of a string to show [default: 32]"),
    option(Id::Follow, 'f', "follow-forks", "", "Accepted for those used to it: all processes are traced"),
];

/// The option of a table that an argument names: `-x` or `--name`, without a value.
#[must_use]
pub fn find(tables: &[&'static [Opt]], name: &[u8]) -> Option<&'static Opt> {
    let mut all = tables.iter().flat_map(|table| table.iter());
    match name {
        [b'-', b'-', long @ ..] => all.find(|option| option.long.is_some_and(|name| name.as_bytes() == long)),
        [b'-', short] => all.find(|option| option.short == Some(char::from(*short))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for table in [RUN, TRACE] {
            for (at, option) in table.iter().enumerate() {
                let others = &table[at + 1..];
                assert!(option.short.is_some() || option.long.is_some());
                assert!(others.iter().all(|other| other.short.is_none() || other.short != option.short));
                assert!(others.iter().all(|other| other.long != option.long));
            }
        }
        assert!(RUN.iter().all(|option| TRACE.iter().all(|other| other.long != option.long)));
    }

    #[test]
    fn options_are_found_by_their_names() {
        assert_eq!(find(&[RUN], b"-e").map(|option| option.id), Some(Id::Env));
        assert_eq!(find(&[TRACE, RUN], b"-e").map(|option| option.id), Some(Id::Expression));
        assert_eq!(find(&[TRACE, RUN], b"--env").map(|option| option.id), Some(Id::Env));
        assert!(
            find(&[RUN], b"-").is_none() && find(&[RUN], b"--").is_none() && find(&[RUN], b"-o").is_none()
        );
    }
}
