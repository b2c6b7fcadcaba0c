//! What this machine offers to Husk, and which tender `husk run` would take.
//!
//! Each fact is found out by trying what a guest's start would do, where that has no effect, and read from the host's own
//! files elsewhere. The text of a file comes in as an argument where a rule is worth a test.

use husk_tender::probe;
use linux_raw_sys::general as raw;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

/// How good it is for Husk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All that Husk can use.
    Ok,
    /// Guests run, and something is lost: the detail says what.
    Limited,
    /// Not there.
    Missing,
}

/// One thing the machine offers or lacks.
#[derive(Clone, Debug, Serialize)]
pub struct Fact {
    pub name: &'static str,
    pub state: State,
    pub detail: String,
}

/// The tender that `husk run` takes unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// `process`, or none where no guest can run.
    pub tender: Option<&'static str>,
    pub why: String,
}

/// Everything that `husk check` reports.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub default: Choice,
    pub facts: Vec<Fact>,
}

impl Report {
    /// Looks at this machine.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let facts = vec![
            kernel(),
            processor(&read("/proc/cpuinfo")),
            kvm(),
            seccomp(),
            namespaces(),
            landlock(),
            capabilities(&read("/proc/self/status")),
            memory(&read("/proc/meminfo")),
            files(),
            processes(),
            locked_memory(),
            control_group("pids", "pids.max", "pids.max"),
            control_group("memory", "memory.max", "memory.limit_in_bytes"),
            device("tap", "/dev/net/tun", "frames to the outside by a TAP device"),
            device("fuse", "/dev/fuse", "host directories served to guests"),
        ];
        Self { default: choose(&facts), facts }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn fact(name: &'static str, state: State, detail: impl Into<String>) -> Fact {
    Fact { name, state, detail: detail.into() }
}

/// `husk run` takes the process tender wherever it can run: it starts faster. The kvm tender is on request.
fn choose(facts: &[Fact]) -> Choice {
    let state =
        |name: &str| facts.iter().find(|fact| fact.name == name).map_or(State::Missing, |fact| fact.state);
    let lacks: Vec<&str> =
        ["processor", "seccomp"].into_iter().filter(|name| state(name) == State::Missing).collect();
    if lacks.is_empty() {
        let kvm = match state("kvm") {
            State::Missing => "kvm cannot be used here",
            _ => "`--tender kvm` takes a virtual machine, which takes longer to start",
        };
        let fork = match state("namespaces") {
            State::Missing => "; without namespaces it runs programs with `--no-fork` only",
            _ => "",
        };
        return Choice {
            tender: Some("process"),
            why: format!("it starts fastest and needs no device; {kvm}{fork}"),
        };
    }
    Choice { tender: None, why: format!("this machine lacks what every guest needs: {}", lacks.join(", ")) }
}

fn kernel() -> Fact {
    let release = read("/proc/sys/kernel/osrelease");
    fact("kernel", State::Ok, format!("Linux {}", release.trim()))
}

/// Flags of the processor in /proc/cpuinfo.
fn flags(cpuinfo: &str) -> Vec<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("flags"));
    line.and_then(|line| line.split_once(':'))
        .map(|(_, flags)| flags.split_whitespace().collect())
        .unwrap_or_default()
}

fn processor(cpuinfo: &str) -> Fact {
    let flags = flags(cpuinfo);
    let missing: Vec<&str> =
        ["fsgsbase", "xsave", "cx16", "sse4_2"].into_iter().filter(|flag| !flags.contains(flag)).collect();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let steady = flags.contains(&"constant_tsc") && flags.contains(&"nonstop_tsc");
    if !missing.is_empty() {
        return fact(
            "processor",
            State::Missing,
            format!("{cpus} CPUs without {}, which guests need", missing.join(", ")),
        );
    }
    match steady {
        true => fact("processor", State::Ok, format!("{cpus} CPUs, x86-64 with fsgsbase and a steady TSC")),
        false => fact(
            "processor",
            State::Limited,
            format!("{cpus} CPUs; the TSC may stop or change its rate, and guests' clocks with it"),
        ),
    }
}

/// Which KVM this is: by the processor's extensions and the module that serves them.
fn kvm_kind(flags: &[&str], has_module: impl Fn(&str) -> bool) -> &'static str {
    let hardware = [
        ("vmx", "kvm_intel", "hardware (Intel VT-x, kvm_intel)"),
        ("svm", "kvm_amd", "hardware (AMD-V, kvm_amd)"),
    ];
    if let Some((.., kind)) =
        hardware.iter().find(|(flag, module, _)| flags.contains(flag) && has_module(module))
    {
        return kind;
    }
    if has_module("kvm_pvm") {
        return "software (PVM: no VT-x or AMD-V here; ring 0 is emulated, so starts and page faults cost more)";
    }
    "of an unknown kind (neither kvm_intel nor kvm_amd has hardware to serve)"
}

fn kvm() -> Fact {
    let cpuinfo = read("/proc/cpuinfo");
    let kind = kvm_kind(&flags(&cpuinfo), |module| Path::new("/sys/module").join(module).exists());
    match husk_tender_kvm::check() {
        Ok(()) => fact("kvm", State::Ok, kind),
        Err(error @ husk_tender_kvm::Error::NoKvm(_)) if !Path::new("/dev/kvm").exists() => fact(
            "kvm",
            State::Missing,
            format!("{error}: this kernel offers no virtual machines (or its module is not loaded)"),
        ),
        Err(error @ husk_tender_kvm::Error::NoKvm(_)) => fact(
            "kvm",
            State::Missing,
            format!("{error}: {kind}; who may open it is in the group of /dev/kvm"),
        ),
        Err(error) => fact("kvm", State::Missing, format!("{kind}: {error}")),
    }
}

fn seccomp() -> Fact {
    match probe::seccomp() {
        Ok(()) => fact("seccomp", State::Ok, "filters with all the actions that tenders use"),
        Err(error) => fact("seccomp", State::Missing, format!("{error}: no tender can be sealed")),
    }
}

/// A guest that may fork is process 1 of a PID namespace, which takes root or a user namespace.
fn namespaces() -> Fact {
    let users = probe::namespaces(raw::CLONE_NEWUSER);
    let user_text = match &users {
        Ok(()) => "user namespaces".to_owned(),
        Err(error) => format!("no user namespaces ({error})"),
    };
    let flags = raw::CLONE_NEWPID | if rustix::process::geteuid().is_root() { 0 } else { raw::CLONE_NEWUSER };
    match probe::namespaces(flags) {
        Ok(()) if users.is_ok() => fact("namespaces", State::Ok, format!("PID namespaces, {user_text}")),
        Ok(()) => fact("namespaces", State::Limited, format!("PID namespaces for root; {user_text}")),
        Err(error) => fact(
            "namespaces",
            State::Missing,
            format!(
                "no PID namespace ({error}), {user_text}: guests that fork need one; \
                 see kernel.unprivileged_userns_clone and user.max_user_namespaces"
            ),
        ),
    }
}

fn landlock() -> Fact {
    match probe::landlock() {
        Ok(version) => fact("landlock", State::Ok, format!("interface {version}")),
        Err(error) => {
            fact("landlock", State::Limited, format!("{error}: the filter alone keeps guests from files"))
        }
    }
}

/// Names of capabilities, by bit (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

fn capabilities(status: &str) -> Fact {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: usize| mask >> bit & 1 != 0;
    let held: Vec<&str> =
        (0..CAPABILITIES.len()).filter(|bit| has(*bit)).map(|bit| CAPABILITIES[bit]).collect();
    let lacking: Vec<&str> =
        (0..CAPABILITIES.len()).filter(|bit| !has(*bit)).map(|bit| CAPABILITIES[bit]).collect();
    let detail = match (held.len(), lacking.len()) {
        (0, _) => "none; guests need none".to_owned(),
        (_, 0) => "all; a tender drops them".to_owned(),
        (held, 1..=5) => format!("{held}, all but {}; a tender drops them", lacking.join(", ")),
        _ => format!("{}; a tender drops them", held.join(", ")),
    };
    fact("capabilities", State::Ok, detail)
}

/// A field of /proc/meminfo, bytes.
fn meminfo(text: &str, field: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn memory(text: &str) -> Fact {
    let (total, available) = (meminfo(text, "MemTotal"), meminfo(text, "MemAvailable"));
    let state = if available < 64 << 20 { State::Limited } else { State::Ok };
    fact("memory", state, format!("{} of {} available", mebibytes(available), mebibytes(total)))
}

fn limit_text(resource: Resource, unit: impl Fn(u64) -> String) -> String {
    let limit = getrlimit(resource);
    let text = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), &unit);
    match (limit.current, limit.maximum) {
        (now, most) if now == most => text(now),
        (now, most) => format!("{} (at most {})", text(now), text(most)),
    }
}

fn files() -> Fact {
    let low = getrlimit(Resource::Nofile).current.is_some_and(|now| now < 64);
    let detail = format!("{} descriptors a process", limit_text(Resource::Nofile, |value| value.to_string()));
    fact("files", if low { State::Limited } else { State::Ok }, detail)
}

fn processes() -> Fact {
    let low = getrlimit(Resource::Nproc).current.is_some_and(|now| now < 256);
    let number = |path: &str| read(path).trim().to_owned();
    let detail = format!(
        "{} a user, {} on the machine (pid_max), {} threads (threads-max)",
        limit_text(Resource::Nproc, |value| value.to_string()),
        number("/proc/sys/kernel/pid_max"),
        number("/proc/sys/kernel/threads-max"),
    );
    fact("processes", if low { State::Limited } else { State::Ok }, detail)
}

fn locked_memory() -> Fact {
    fact(
        "memlock",
        State::Ok,
        format!(
            "{}; guests lock none",
            limit_text(Resource::Memlock, |value| format!("{} KiB", value >> 10))
        ),
    )
}

/// Where a controller's files of this process are: `cgroups` is /proc/self/cgroup, `mounts` is /proc/self/mountinfo. The
/// flag says that it is version 2.
fn group_folder(controller: &str, cgroups: &str, mounts: &str) -> Option<(PathBuf, bool)> {
    // "hierarchy:controllers:path", and "root mount-point … - type source options" in the other.
    let group = |wanted: &dyn Fn(&str, &str) -> bool| {
        cgroups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(hierarchy, controllers).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let mount = |kind: &str, option: Option<&str>| {
        mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let is_kind = after.next() == Some(kind);
            let has = option
                .is_none_or(|option| after.nth(1).is_some_and(|all| all.split(',').any(|one| one == option)));
            (is_kind && has).then(|| PathBuf::from(before.split(' ').nth(4).unwrap_or_default()))
        })
    };
    let old = group(&|_, controllers| controllers.split(',').any(|one| one == controller));
    if let (Some(path), Some(mount)) = (old, mount("cgroup", Some(controller))) {
        return Some((mount.join(path), false));
    }
    let path = group(&|hierarchy, controllers| hierarchy == "0" && controllers.is_empty())?;
    Some((mount("cgroup2", None)?.join(path), true))
}

fn control_group(name: &'static str, new_file: &str, old_file: &str) -> Fact {
    let label = if name == "pids" { "cgroup pids" } else { "cgroup memory" };
    let folder = group_folder(name, &read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    let Some((folder, unified)) = folder.filter(|(folder, _)| folder.is_dir()) else {
        return fact(label, State::Limited, "no such controller: guests are bounded by Husk alone");
    };
    let limit =
        fs::read_to_string(folder.join(if unified { new_file } else { old_file })).unwrap_or_default();
    let limit = match (limit.trim(), limit.trim().parse::<u64>()) {
        ("" | "max", _) => "unlimited".to_owned(),
        // What version 1 calls no limit.
        (_, Ok(value)) if value > 1 << 60 => "unlimited".to_owned(),
        (_, Ok(value)) if name == "memory" => mebibytes(value),
        (text, _) => text.to_owned(),
    };
    let writable = rustix::fs::access(&folder, rustix::fs::Access::WRITE_OK).is_ok();
    let own = if writable { "groups can be made below" } else { "no group can be made below" };
    fact(
        label,
        State::Ok,
        format!("{limit} in {} (version {}; {own})", folder.display(), if unified { 2 } else { 1 }),
    )
}

fn device(name: &'static str, path: &str, purpose: &str) -> Fact {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => fact(name, State::Ok, format!("{path}: {purpose}")),
        Err(error) => fact(name, State::Limited, format!("{path}: {error}: no {purpose}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUINFO: &str =
        "processor\t: 0\nflags\t\t: fpu fsgsbase xsave cx16 sse4_2 constant_tsc nonstop_tsc svm\n";

    #[test]
    fn kvm_of_each_kind_is_told_apart() {
        let modules = |names: &'static [&'static str]| move |name: &str| names.contains(&name);
        assert!(kvm_kind(&["svm"], modules(&["kvm", "kvm_amd"])).starts_with("hardware (AMD"));
        assert!(kvm_kind(&["vmx"], modules(&["kvm_intel"])).starts_with("hardware (Intel"));
        assert!(kvm_kind(&[], modules(&["kvm", "kvm_pvm"])).starts_with("software (PVM"));
        // The module without the processor's extension serves nothing.
        assert!(kvm_kind(&[], modules(&["kvm_intel"])).starts_with("of an unknown kind"));
    }

    #[test]
    fn a_processor_without_what_guests_need_is_named() {
        assert_eq!(processor(CPUINFO).state, State::Ok);
        let without = processor(&CPUINFO.replace("fsgsbase", ""));
        assert_eq!(without.state, State::Missing);
        assert!(without.detail.contains("fsgsbase"));
        assert_eq!(processor(&CPUINFO.replace("nonstop_tsc", "")).state, State::Limited);
    }

    #[test]
    fn the_choice_follows_the_facts() {
        let facts = |kvm, seccomp, namespaces| {
            vec![
                fact("processor", State::Ok, ""),
                fact("kvm", kvm, ""),
                fact("seccomp", seccomp, ""),
                fact("namespaces", namespaces, ""),
            ]
        };
        let choice = choose(&facts(State::Ok, State::Ok, State::Ok));
        assert_eq!(choice.tender, Some("process"));
        assert!(choice.why.contains("--tender kvm"));
        assert!(choose(&facts(State::Missing, State::Ok, State::Ok)).why.contains("kvm cannot be used"));
        assert!(choose(&facts(State::Ok, State::Ok, State::Missing)).why.contains("--no-fork"));
        let none = choose(&facts(State::Ok, State::Missing, State::Ok));
        assert_eq!(none.tender, None);
        assert!(none.why.contains("seccomp"));
    }

    #[test]
    fn control_groups_of_both_versions_are_found() {
        let mounts = "30 25 0:26 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      31 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let cgroups = "8:pids:/a\n0::/b/c\n";
        let pids = group_folder("pids", cgroups, mounts);
        assert_eq!(pids, Some((PathBuf::from("/sys/fs/cgroup/pids/a"), false)));
        let memory = group_folder("memory", cgroups, mounts);
        assert_eq!(memory, Some((PathBuf::from("/sys/fs/cgroup/unified/b/c"), true)));
        assert_eq!(group_folder("memory", "", mounts), None);
    }

    #[test]
    fn capabilities_are_named() {
        assert!(capabilities("CapEff:\t0000000000000000\n").detail.starts_with("none"));
        assert!(capabilities("CapEff:\t000001ffffffffff\n").detail.starts_with("all;"));
        assert!(capabilities("CapEff:\t000001fffeffffff\n").detail.contains("all but sys_resource"));
        assert!(capabilities("CapEff:\t0000000000001000\n").detail.starts_with("net_admin;"));
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let report = Report::of_this_machine();
        // The tests themselves run guests under this tender.
        assert_eq!(report.default.tender, Some("process"));
        assert!(report.facts.iter().all(|fact| !fact.detail.is_empty()));
    }
}
