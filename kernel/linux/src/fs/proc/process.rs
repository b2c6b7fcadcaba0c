//! /proc/PID and /proc/PID/task/TID.

use super::{fd, memory, net, parse_id};
use crate::errno::{Errno, SysResult};
use crate::file;
use crate::fs::pseudo::{Directory, File, Item, Link};
use crate::fs::walk::{Found, name_below};
use crate::fs::{Path, major_minor, mount, path_of};
use crate::task::cred::{CAP_SYS_PTRACE, CAP_SYS_RESOURCE, Cred};
use crate::task::process::{self, Process};
use crate::task::sched::State;
use crate::task::{self, Pid, Task};
use crate::tty::job::terminal_of;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use linux_raw_sys::general as raw;
use raw::{S_IFDIR, S_IFLNK, S_IFREG};

/// Nanoseconds of a clock tick.
pub(super) const TICK: u64 = 10_000_000;

/// Whom a directory is about. Only ids are kept, so that an open file of /proc keeps nobody alive.
#[derive(Clone, Copy)]
pub(super) struct Id {
    pid: Pid,
    /// A thread's own directory.
    tid: Option<Pid>,
}

/// Whom a directory is about, as long as they live.
pub(super) struct Subject {
    pub(super) process: Arc<Process>,
    /// The thread, or the first one of the process; a zombie has none.
    pub(super) task: Option<Arc<Task>>,
    thread: bool,
}

impl Id {
    /// ESRCH when they have ended.
    pub(super) fn find(self) -> Result<Subject, Errno> {
        let process = process::find(self.pid).ok_or(Errno::ESRCH)?;
        let task = match self.tid {
            None => process.leader(),
            // The first thread stays until the last one has ended.
            Some(tid) => match process::find_task(tid).filter(|task| task.pid() == self.pid) {
                None if tid != self.pid => return Err(Errno::ESRCH),
                task => task,
            },
        };
        Ok(Subject { process, task, thread: self.tid.is_some() })
    }

    /// As `find`, for what only those may see who could trace the process.
    pub(super) fn find_private(self) -> Result<Subject, Errno> {
        let subject = self.find()?;
        if subject.may_be_seen_by(&task::current().cred()) { Ok(subject) } else { Err(Errno::EACCES) }
    }
}

impl Subject {
    /// The thread; ESRCH for a zombie.
    pub(super) fn task(&self) -> Result<&Arc<Task>, Errno> {
        self.task.as_ref().ok_or(Errno::ESRCH)
    }

    fn id(&self) -> Pid {
        match &self.task {
            Some(task) if self.thread => task.tid(),
            _ => self.process.pid(),
        }
    }

    fn may_be_seen_by(&self, cred: &Cred) -> bool {
        let Some(task) = &self.task else { return true };
        if Arc::ptr_eq(task.process(), task::current().process()) || cred.capable(CAP_SYS_PTRACE) {
            return true;
        }
        let own = task.cred();
        let same_user = [own.uid, own.euid, own.suid].iter().all(|uid| *uid == cred.fsuid);
        let same_group = [own.gid, own.egid, own.sgid].iter().all(|gid| *gid == cred.fsgid);
        same_user && same_group && self.process.dumpable.get() == 1
    }

    fn state(&self) -> (char, &'static str) {
        let Some(task) = &self.task else { return ('Z', "zombie") };
        if !self.thread && self.process.leader_has_ended() {
            return ('Z', "zombie");
        }
        if task.trace.is_stopped() {
            return ('t', "tracing stop");
        }
        if self.process.stopped.get() {
            return ('T', "stopped");
        }
        match task.sched.state() {
            State::New | State::Running | State::Queued => ('R', "running"),
            State::Sleeping => ('S', "sleeping"),
            State::Dead => ('X', "dead"),
        }
    }

    fn parent(&self) -> Pid {
        let parent = self.process.parent.borrow().upgrade();
        parent.map_or(0, |parent| parent.pid())
    }

    /// CPU time: user and system ns.
    fn cpu_time(&self) -> (u64, u64) {
        match &self.task {
            Some(task) if self.thread => task.cpu_time(),
            None if self.thread => (0, 0),
            _ => self.process.cpu_time(),
        }
    }

    fn comm(&self) -> String {
        let comm = self.task.as_ref().map_or(self.process.last_comm.get(), |task| task.comm.get());
        let len = comm.iter().position(|byte| *byte == 0).unwrap_or(comm.len());
        String::from_utf8_lossy(&comm[..len]).into_owned()
    }
}

/// /proc/PID, if there is such a process. The directory of a thread is found too, though never listed.
pub(super) fn directory(pid: Pid) -> Option<Item> {
    let pid = process::find(pid)
        .map(|process| process.pid())
        .or_else(|| process::find_task(pid).map(|task| task.pid()))?;
    Some(owned(Id { pid, tid: None }, Item::directory(0o555, TaskDirectory(Id { pid, tid: None }))))
}

/// Gives an entry to the user of its process.
fn owned(id: Id, item: Item) -> Item {
    match id.find() {
        Ok(Subject { task: Some(task), process, .. }) if process.dumpable.get() == 1 => {
            let cred = task.cred();
            item.owned_by(cred.euid, cred.egid)
        }
        _ => item,
    }
}

type Text = fn(&Subject) -> Result<Vec<u8>, Errno>;

/// Files that are texts: name, permissions, whether only those see it who may trace, text.
const TEXTS: &[(&str, u32, bool, Text)] = &[
    ("stat", 0o444, false, stat),
    ("status", 0o444, false, status),
    ("statm", 0o444, false, memory::statm),
    ("cmdline", 0o444, false, memory::command_line),
    ("environ", 0o400, true, memory::environment),
    ("auxv", 0o400, true, memory::auxv),
    ("maps", 0o444, true, memory::maps),
    ("smaps", 0o444, true, memory::smaps),
    ("smaps_rollup", 0o444, true, memory::smaps_rollup),
    ("limits", 0o444, false, limits),
    ("io", 0o400, true, io),
    ("mounts", 0o444, false, mounts),
    ("mountinfo", 0o444, false, mountinfo),
    ("mountstats", 0o400, false, mountstats),
    ("cgroup", 0o444, false, |_| Ok(b"0::/\n".to_vec())),
    ("cpuset", 0o444, false, |_| Ok(b"/\n".to_vec())),
    ("wchan", 0o444, false, |_| Ok(b"0".to_vec())),
    ("stack", 0o400, true, |_| Ok(Vec::new())),
    ("syscall", 0o400, true, |_| Ok(b"running\n".to_vec())),
    ("personality", 0o400, true, personality),
    ("sched", 0o444, false, sched),
    ("schedstat", 0o444, false, schedstat),
    ("oom_score", 0o444, false, |_| Ok(b"0\n".to_vec())),
    ("sessionid", 0o444, false, |_| Ok(b"4294967295".to_vec())),
    ("timerslack_ns", 0o444, false, timerslack),
    ("setgroups", 0o644, false, |_| Ok(b"allow\n".to_vec())),
    ("uid_map", 0o644, false, id_map),
    ("gid_map", 0o644, false, id_map),
    ("projid_map", 0o644, false, id_map),
    ("children", 0o444, false, children),
];

/// Directories, links and writable files.
const OTHERS: &[(&str, u32)] = &[
    ("fd", S_IFDIR),
    ("fdinfo", S_IFDIR),
    ("ns", S_IFDIR),
    ("net", S_IFDIR),
    ("exe", S_IFLNK),
    ("cwd", S_IFLNK),
    ("root", S_IFLNK),
    ("comm", S_IFREG),
    ("mem", S_IFREG),
    ("oom_score_adj", S_IFREG),
    ("oom_adj", S_IFREG),
    ("loginuid", S_IFREG),
];

/// The directory of a process or thread.
struct TaskDirectory(Id);

impl TaskDirectory {
    fn item(&self, name: &str) -> Option<Item> {
        let id = self.0;
        if let Some((_, mode, private, make)) = TEXTS.iter().find(|(own, ..)| *own == name) {
            let (private, make) = (*private, *make);
            let text = move || make(&if private { id.find_private()? } else { id.find()? });
            return Some(Item::file(*mode, text));
        }
        Some(match name {
            "task" if id.tid.is_none() => Item::directory(0o555, Threads(id.pid)),
            "fd" => Item::directory(0o500, fd::Descriptors { id, info: false }),
            "fdinfo" => Item::directory(0o555, fd::Descriptors { id, info: true }),
            "ns" => Item::directory(0o511, Namespaces),
            "net" => Item::directory(0o555, net::entries()),
            "exe" => Item::link(PathLink(id, |subject| {
                subject.task.as_ref().and_then(|_| subject.process.exe.borrow().clone())
            })),
            "cwd" => Item::link(PathLink(id, |subject| Some(subject.task.as_ref()?.fs().cwd()))),
            "root" => Item::link(PathLink(id, |subject| Some(subject.task.as_ref()?.fs().root()))),
            "comm" => Item::file(0o644, Comm(id)),
            "mem" => Item::file(0o600, memory::Memory(id)),
            "oom_score_adj" => Item::file(0o644, OomAdjustment { id, scale: 1000 }),
            "oom_adj" => Item::file(0o644, OomAdjustment { id, scale: 17 }),
            "loginuid" => Item::file(0o644, LoginUid),
            _ => return None,
        })
    }
}

impl Directory for TaskDirectory {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        self.0.find().ok()?;
        let item = self.item(core::str::from_utf8(name).ok()?)?;
        Some(owned(self.0, item))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        if self.0.find().is_err() {
            return Vec::new();
        }
        let texts = TEXTS.iter().map(|(name, ..)| (*name, S_IFREG));
        let task = (self.0.tid.is_none()).then_some(("task", S_IFDIR));
        let all = task.into_iter().chain(OTHERS.iter().copied()).chain(texts);
        all.map(|(name, kind)| (Cow::Borrowed(name.as_bytes()), kind)).collect()
    }

    fn process(&self) -> Option<Pid> {
        self.0.tid.is_none().then_some(self.0.pid)
    }
}

/// /proc/PID/task.
struct Threads(Pid);

impl Directory for Threads {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        let id = Id { pid: self.0, tid: Some(parse_id(name)?) };
        id.find().ok()?;
        Some(owned(id, Item::directory(0o555, TaskDirectory(id))))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let Some(process) = process::find(self.0) else { return Vec::new() };
        let ended = process.leader_has_ended().then_some(self.0);
        let mut ids: Vec<Pid> =
            ended.into_iter().chain(process.living().into_iter().map(|task| task.tid())).collect();
        ids.sort_unstable();
        ids.iter().map(|tid| (Cow::Owned(tid.to_string().into_bytes()), S_IFDIR)).collect()
    }

    fn place(&self, index: usize, name: &[u8]) -> u64 {
        parse_id(name).map_or(index as u64, |tid| tid as u64)
    }
}

/// A link to a file that the process has: it leads there even if the name does not.
struct PathLink(Id, fn(&Subject) -> Option<Path>);

impl PathLink {
    fn path(&self) -> Result<Path, Errno> {
        self.1(&self.0.find_private()?).ok_or(Errno::ENOENT)
    }
}

impl Link for PathLink {
    fn target(&self) -> Result<Vec<u8>, Errno> {
        Ok(path_of(&self.path()?))
    }

    fn jump(&self, _cred: &Cred) -> Result<Option<Found>, Errno> {
        Ok(Some(Found::Path(self.path()?)))
    }
}

/// /proc/PID/ns: there is one namespace of each kind, with the numbers of Linux's first ones.
struct Namespaces;

const NAMESPACES: [(&str, &str); 10] = [
    ("cgroup", "cgroup:[4026531835]"),
    ("ipc", "ipc:[4026531839]"),
    ("mnt", "mnt:[4026531841]"),
    ("net", "net:[4026531840]"),
    ("pid", "pid:[4026531836]"),
    ("pid_for_children", "pid:[4026531836]"),
    ("time", "time:[4026531834]"),
    ("time_for_children", "time:[4026531834]"),
    ("user", "user:[4026531837]"),
    ("uts", "uts:[4026531838]"),
];

impl Directory for Namespaces {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        let found = NAMESPACES.iter().find(|(own, _)| own.as_bytes() == name);
        found.map(|(_, target)| Item::link(*target))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        NAMESPACES.iter().map(|(name, _)| (Cow::Borrowed(name.as_bytes()), S_IFLNK)).collect()
    }
}

/// /proc/PID/comm: the name of the thread, which its process may change.
struct Comm(Id);

impl File for Comm {
    fn read(&self) -> Result<Vec<u8>, Errno> {
        Ok(format!("{}\n", self.0.find()?.comm()).into_bytes())
    }

    fn write(&self, data: &[u8]) -> SysResult {
        let subject = self.0.find()?;
        let task = subject.task()?;
        if !Arc::ptr_eq(task.process(), task::current().process()) {
            return Err(Errno::EINVAL);
        }
        let name = data.strip_suffix(b"\n").unwrap_or(data);
        let len = name.len().min(15);
        let mut comm = [0; 16];
        comm[..len].copy_from_slice(&name[..len]);
        task.comm.set(comm);
        Ok(data.len())
    }
}

/// /proc/PID/oom_score_adj, and oom_adj, which spans -17..=15 where the other spans -1000..=1000.
struct OomAdjustment {
    id: Id,
    scale: i32,
}

impl File for OomAdjustment {
    fn read(&self) -> Result<Vec<u8>, Errno> {
        let value = self.id.find()?.process.oom_score_adj.get();
        Ok(format!("{}\n", value * self.scale / 1000).into_bytes())
    }

    fn write(&self, data: &[u8]) -> SysResult {
        let text = core::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        let value: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
        if value.abs() > self.scale {
            return Err(Errno::EINVAL);
        }
        let value = value * 1000 / self.scale;
        let process = self.id.find()?.process;
        let lowered = value < process.oom_score_adj.get();
        if lowered && !task::current().cred().capable(CAP_SYS_RESOURCE) {
            return Err(Errno::EACCES);
        }
        process.oom_score_adj.set(value);
        Ok(data.len())
    }
}

/// /proc/PID/loginuid: nobody has logged in, and audit, which would note it, there is not.
struct LoginUid;

impl File for LoginUid {
    fn read(&self) -> Result<Vec<u8>, Errno> {
        Ok(b"4294967295".to_vec())
    }

    fn write(&self, _data: &[u8]) -> SysResult {
        Err(Errno::EPERM)
    }
}

fn stat(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let process = &subject.process;
    let session = process.session.borrow().clone();
    let (tty, foreground) = terminal_of(process).map_or((0, -1), |tty| (tty.device(), tty.foreground()));
    let (user, system) = subject.cpu_time();
    let (child_user, child_system) = process.children_time();
    let attributes = subject.task.as_ref().map(|task| *task.attributes.borrow()).unwrap_or_default();
    let priority =
        if attributes.priority > 0 { -1 - attributes.priority as i32 } else { 20 + attributes.nice };
    let threads = process.thread_count();
    let start = process.start_time / TICK;
    let space = subject.task.as_ref().map(|task| task.space());
    let layout = space.as_ref().map(|space| space.layout.get()).unwrap_or_default();
    let (size, resident) = subject.task.as_ref().map_or((0, 0), memory::sizes);
    let limit = process.rlimit(raw::RLIMIT_RSS).rlim_cur;
    let mut signals = [0; 4];
    if let Some(task) = &subject.task {
        let handlers = task.handlers.borrow().clone();
        let (ignored, caught) = handlers.ignored_and_caught();
        signals = [task.signals.pending(), task.signals.mask(), ignored, caught];
    }
    let [pending, blocked, ignored, caught] = signals.map(|set| set & 0x7fff_ffff);
    let exit_code = process.zombie.get().unwrap_or(0);
    let mut out = format!(
        "{} ({}) {} {} {} {} {tty} {foreground} 4194304 0 0 0 0 {} {} {} {} {priority} {} {threads} 0 {start} {size} {resident} {limit} ",
        subject.id(),
        subject.comm(),
        subject.state().0,
        subject.parent(),
        process.pgid.get(),
        session.id,
        user / TICK,
        system / TICK,
        child_user / TICK,
        child_system / TICK,
        attributes.nice,
    );
    let _ = writeln!(
        out,
        "{} {} {} 0 0 {pending} {blocked} {ignored} {caught} 0 0 0 {} 0 {} {} 0 0 0 {} {} {} {} {} {} {} {exit_code}",
        layout.code.0,
        layout.code.1,
        layout.stack_start,
        process.exit_signal.get(),
        attributes.priority,
        attributes.policy,
        layout.data.0,
        layout.data.1,
        layout.brk_start,
        layout.args.0,
        layout.args.1,
        layout.env.0,
        layout.env.1,
    );
    Ok(out.into_bytes())
}

fn status(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let process = &subject.process;
    let (pid, id) = (process.pid(), subject.id());
    let (letter, word) = subject.state();
    let mut out = format!("Name:\t{}\n", subject.comm().replace('\\', "\\\\").replace('\n', "\\n"));
    if let Some(task) = &subject.task {
        let _ = writeln!(out, "Umask:\t{:04o}", task.fs().umask());
    }
    let parent = subject.parent();
    let tracer = subject.task.as_ref().and_then(|task| task.trace.tracer()).map_or(0, |task| task.pid());
    let _ = writeln!(
        out,
        "State:\t{letter} ({word})\nTgid:\t{pid}\nNgid:\t0\nPid:\t{id}\nPPid:\t{parent}\nTracerPid:\t{tracer}"
    );
    let cred = subject.task.as_ref().map_or_else(|| Cred::new(0, 0), |task| task.cred());
    let _ = writeln!(out, "Uid:\t{}\t{}\t{}\t{}", cred.uid, cred.euid, cred.suid, cred.fsuid);
    let _ = writeln!(out, "Gid:\t{}\t{}\t{}\t{}", cred.gid, cred.egid, cred.sgid, cred.fsgid);
    let capacity = subject.task.as_ref().map_or(0, |task| task.files().capacity());
    let _ = write!(out, "FDSize:\t{capacity}\nGroups:\t");
    for group in &cred.groups {
        let _ = write!(out, "{group} ");
    }
    let (group, session) = (process.pgid.get(), process.session.borrow().id);
    let _ = writeln!(out, "\nNStgid:\t{pid}\nNSpid:\t{id}\nNSpgid:\t{group}\nNSsid:\t{session}\nKthread:\t0");
    if let Some(task) = &subject.task {
        memory::status(task, &mut out);
    }
    let _ = writeln!(out, "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff");
    let _ = writeln!(out, "Threads:\t{}", process.thread_count());
    let limit = process.rlimit(raw::RLIMIT_SIGPENDING).rlim_cur;
    let _ = writeln!(out, "SigQ:\t{}/{limit}", process.signals.queued());
    let mut sets = [0; 4];
    if let Some(task) = &subject.task {
        let handlers = task.handlers.borrow().clone();
        let (ignored, caught) = handlers.ignored_and_caught();
        sets = [task.signals.pending(), task.signals.mask(), ignored, caught];
    }
    let [pending, blocked, ignored, caught] = sets;
    let shared = process.signals.pending();
    let _ = writeln!(
        out,
        "SigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}"
    );
    let _ = writeln!(
        out,
        "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}",
        cred.cap_inheritable, cred.cap_permitted, cred.cap_effective, cred.cap_bounding, cred.cap_ambient
    );
    let no_new_privs = subject.task.as_ref().is_some_and(|task| task.no_new_privs.get());
    let _ = writeln!(
        out,
        "NoNewPrivs:\t{}\nSeccomp:\t0\nSeccomp_filters:\t0\nSpeculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\tconditional enabled",
        u32::from(no_new_privs)
    );
    let cpus = husk_machine::start::boot().cpus;
    let all = if cpus >= 64 { u64::MAX } else { (1 << cpus) - 1 };
    let allowed = subject.task.as_ref().map_or(all, |task| task.attributes.borrow().affinity & all);
    let _ = writeln!(out, "Cpus_allowed:\t{allowed:x}\nCpus_allowed_list:\t{}", super::cpu::list_of(allowed));
    let switches = subject.task.as_ref().map(|task| task.sched.switches()).unwrap_or_default();
    let _ = writeln!(
        out,
        "Mems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}",
        switches.voluntary, switches.involuntary
    );
    Ok(out.into_bytes())
}

fn limits(subject: &Subject) -> Result<Vec<u8>, Errno> {
    const LIMITS: [(&str, &str, u32); 16] = [
        ("Max cpu time", "seconds", raw::RLIMIT_CPU),
        ("Max file size", "bytes", raw::RLIMIT_FSIZE),
        ("Max data size", "bytes", raw::RLIMIT_DATA),
        ("Max stack size", "bytes", raw::RLIMIT_STACK),
        ("Max core file size", "bytes", raw::RLIMIT_CORE),
        ("Max resident set", "bytes", raw::RLIMIT_RSS),
        ("Max processes", "processes", raw::RLIMIT_NPROC),
        ("Max open files", "files", raw::RLIMIT_NOFILE),
        ("Max locked memory", "bytes", raw::RLIMIT_MEMLOCK),
        ("Max address space", "bytes", raw::RLIMIT_AS),
        ("Max file locks", "locks", raw::RLIMIT_LOCKS),
        ("Max pending signals", "signals", raw::RLIMIT_SIGPENDING),
        ("Max msgqueue size", "bytes", raw::RLIMIT_MSGQUEUE),
        ("Max nice priority", "", raw::RLIMIT_NICE),
        ("Max realtime priority", "", raw::RLIMIT_RTPRIO),
        ("Max realtime timeout", "us", raw::RLIMIT_RTTIME),
    ];
    let mut out =
        String::from("Limit                     Soft Limit           Hard Limit           Units     \n");
    let number = |value: u64| if value == u64::MAX { String::from("unlimited") } else { value.to_string() };
    for (name, unit, resource) in LIMITS {
        let limit = subject.process.rlimit(resource);
        let (soft, hard) = (number(limit.rlim_cur), number(limit.rlim_max));
        let _ = write!(out, "{name:<25} {soft:<20} {hard:<20} ");
        let _ = if unit.is_empty() { writeln!(out) } else { writeln!(out, "{unit:<10}") };
    }
    Ok(out.into_bytes())
}

/// Transfers are not counted.
fn io(_subject: &Subject) -> Result<Vec<u8>, Errno> {
    let names = ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"];
    Ok(names.iter().map(|name| format!("{name}: 0\n")).collect::<String>().into_bytes())
}

/// Spaces and the like in a name of a mount table.
fn escaped(name: &[u8]) -> String {
    let mut out = String::new();
    for byte in name {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' | b'#' => {
                let _ = write!(out, "\\{byte:03o}");
            }
            _ => out.push(char::from(*byte)),
        }
    }
    out
}

fn mount_options(flags: u32) -> String {
    const NAMES: [(u32, &str); 6] = [
        (raw::MS_NOSUID, ",nosuid"),
        (raw::MS_NODEV, ",nodev"),
        (raw::MS_NOEXEC, ",noexec"),
        (raw::MS_NOATIME, ",noatime"),
        (raw::MS_NODIRATIME, ",nodiratime"),
        (raw::MS_NOSYMFOLLOW, ",nosymfollow"),
    ];
    let mut out = String::from(if flags & raw::MS_RDONLY != 0 { "ro" } else { "rw" });
    for (flag, name) in NAMES {
        if flags & flag != 0 {
            out.push_str(name);
        }
    }
    if flags & (raw::MS_NOATIME | raw::MS_STRICTATIME) == 0 {
        out.push_str(",relatime");
    }
    out
}

/// The mounts that the process can reach from its root, with their names there.
fn reachable_mounts(subject: &Subject) -> Result<Vec<(Arc<mount::Mount>, String)>, Errno> {
    let root = subject.task()?.fs().root();
    let mut mounts = Vec::new();
    for mount in mount::all() {
        let top = Path { mount: mount.clone(), entry: mount.root.clone() };
        let (name, reached) = name_below(&top, &root);
        if reached {
            mounts.push((mount, escaped(&name)));
        }
    }
    Ok(mounts)
}

fn mounts(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut out = String::new();
    for (mount, name) in reachable_mounts(subject)? {
        let (source, options) = (escaped(&mount.source), mount_options(mount.flags()));
        let _ = writeln!(out, "{source} {name} {} {options} 0 0", mount.fs.kind);
    }
    Ok(out.into_bytes())
}

fn mountinfo(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut out = String::new();
    for (mount, name) in reachable_mounts(subject)? {
        let parent = mount.place().map_or(mount.id, |place| place.mount.id);
        let (major, minor) = major_minor(mount.fs.dev);
        let (source, options) = (escaped(&mount.source), mount_options(mount.flags()));
        let top = Path { mount: mount.clone(), entry: mount.root.clone() };
        let within = entry_name(&top);
        let access = if mount.flags() & raw::MS_RDONLY != 0 { "ro" } else { "rw" };
        let _ = writeln!(
            out,
            "{} {parent} {major}:{minor} {within} {name} {options} - {} {source} {access}",
            mount.id, mount.fs.kind
        );
    }
    Ok(out.into_bytes())
}

/// The name of what a mount shows within its file system: `/` unless it is a bind mount of a part.
fn entry_name(top: &Path) -> String {
    let mut names = Vec::new();
    let mut at = top.entry.clone();
    while let Some(parent) = at.parent() {
        names.push(escaped(&at.name()));
        at = parent;
    }
    if names.is_empty() {
        return String::from("/");
    }
    names.iter().rev().map(|name| format!("/{name}")).collect()
}

fn mountstats(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let mut out = String::new();
    for (mount, name) in reachable_mounts(subject)? {
        let source = escaped(&mount.source);
        let _ = writeln!(out, "device {source} mounted on {name} with fstype {}", mount.fs.kind);
    }
    Ok(out.into_bytes())
}

fn personality(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let personality = subject.task()?.attributes.borrow().personality;
    Ok(format!("{personality:08x}\n").into_bytes())
}

fn timerslack(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let slack = subject.task()?.attributes.borrow().timer_slack;
    Ok(format!("{slack}\n").into_bytes())
}

fn sched(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let threads = subject.process.living().len();
    Ok(format!("{} ({}, #threads: {threads})\n", subject.comm(), subject.id()).into_bytes())
}

fn schedstat(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let (user, system) = subject.cpu_time();
    Ok(format!("{} 0 0\n", user + system).into_bytes())
}

fn id_map(_subject: &Subject) -> Result<Vec<u8>, Errno> {
    Ok(b"         0          0 4294967295\n".to_vec())
}

fn children(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let children = subject.process.children.borrow();
    Ok(children.iter().map(|child| format!("{} ", child.pid())).collect::<String>().into_bytes())
}

impl Subject {
    /// Its open file with this descriptor.
    pub(super) fn open_file(&self, fd: i32) -> Result<Arc<file::OpenFile>, Errno> {
        self.task()?.files().get(fd)
    }
}
