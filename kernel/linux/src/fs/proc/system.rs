//! The files of /proc that tell of the guest as a whole.

use super::process::TICK;
use super::{SelfLink, ThreadSelfLink, cpu, sysctl, text};
use crate::fs::pseudo::{self, Fixed, Item, Later};
use crate::ipc;
use crate::task::process;
use crate::task::sched::{self, State};
use crate::time::{monotonic_ns, realtime_ns};
use crate::uts;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::frames;

const SECOND: u64 = 1_000_000_000;

/// The fixed names of the top directory.
pub(super) fn entries() -> Fixed {
    let sysvipc = Fixed::new()
        .with("msg", text(ipc::msg::list))
        .with("sem", text(ipc::sem::list))
        .with("shm", text(ipc::shm::list));
    Fixed::new()
        .with("self", Item::link(SelfLink))
        .with("thread-self", Item::link(ThreadSelfLink))
        .with("mounts", Item::link("self/mounts"))
        .with("net", Item::link("self/net"))
        .with("sys", Item::directory(0o555, Later::new(sysctl::root)))
        .with("sysvipc", Item::directory(0o555, sysvipc))
        .with("meminfo", text(meminfo))
        .with("cpuinfo", text(cpu::info))
        .with("stat", text(stat))
        .with("uptime", text(uptime))
        .with("loadavg", text(loadavg))
        .with("version", text(version))
        .with("cmdline", text(|| String::from("\n")))
        .with("filesystems", text(filesystems))
        .with("devices", text(devices))
        .with("partitions", text(|| String::from("major minor  #blocks  name\n\n")))
        .with("diskstats", text(String::new))
        .with("swaps", text(|| String::from("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")))
        .with("modules", text(String::new))
        .with("misc", text(String::new))
        .with("interrupts", text(interrupts))
        .with("vmstat", text(vmstat))
        .with("cgroups", text(|| String::from("#subsys_name\thierarchy\tnum_cgroups\tenabled\n")))
        .with("consoles", text(|| String::from("tty0                 -WU (EC p  )    4:7\n")))
}

/// Bytes of memory in all, free, and what shared segments and files in memory hold.
struct Usage {
    total: usize,
    free: usize,
}

fn memory() -> Usage {
    let (free, total) = frames::usage();
    Usage { total: total * PAGE_SIZE, free: free * PAGE_SIZE }
}

fn meminfo() -> String {
    let Usage { total, free } = memory();
    let segments: usize = ipc::shm::SEGMENTS.all().iter().map(|segment| segment.resident() * PAGE_SIZE).sum();
    let used = total - free;
    let lines = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", segments),
        ("SwapCached", 0),
        ("Active", used),
        ("Inactive", 0),
        ("Active(anon)", used - segments),
        ("Inactive(anon)", 0),
        ("Active(file)", 0),
        ("Inactive(file)", 0),
        ("Unevictable", 0),
        ("Mlocked", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", used - segments),
        ("Mapped", 0),
        ("Shmem", segments),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", total),
        ("Committed_AS", used),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
        ("VmallocChunk", 0),
        ("AnonHugePages", 0),
        ("ShmemHugePages", 0),
        ("ShmemPmdMapped", 0),
    ];
    let mut out = String::new();
    for (name, bytes) in lines {
        let name = format!("{name}:");
        let _ = writeln!(out, "{name:<15} {:8} kB", bytes / 1024);
    }
    for name in ["HugePages_Total", "HugePages_Free", "HugePages_Rsvd", "HugePages_Surp"] {
        let name = format!("{name}:");
        let _ = writeln!(out, "{name:<15} {:8}", 0);
    }
    out.push_str("Hugepagesize:       2048 kB\nHugetlb:               0 kB\n");
    out
}

/// CPU time that all processes have used, in ticks.
fn busy_ticks() -> u64 {
    let times = process::all().into_iter().map(|process| {
        let (own, children) = (process.cpu_time(), process.children_time());
        own.0 + own.1 + children.0 + children.1
    });
    times.sum::<u64>() / TICK
}

fn runnable() -> usize {
    let states = process::all_tasks();
    states.iter().filter(|task| matches!(task.sched.state(), State::Running | State::Queued)).count()
}

fn stat() -> String {
    let (count, busy, now) = (u64::from(cpu::count()), busy_ticks(), monotonic_ns());
    let idle = (now / TICK * count).saturating_sub(busy);
    let mut out = format!("cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\n");
    for cpu in 0..count {
        let _ = writeln!(out, "cpu{cpu} {} 0 0 {} 0 0 0 0 0 0", busy / count, idle / count);
    }
    let boot = (realtime_ns().saturating_sub(now)) / SECOND;
    let last = process::last_pid();
    let running = runnable();
    let switches = sched::switch_count();
    let _ = write!(
        out,
        "intr 0\nctxt {switches}\nbtime {boot}\nprocesses {last}\nprocs_running {running}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n"
    );
    out
}

fn uptime() -> String {
    let (now, busy) = (monotonic_ns(), busy_ticks());
    let idle = (now / TICK * u64::from(cpu::count())).saturating_sub(busy);
    let centis = now / TICK;
    format!("{}.{:02} {}.{:02}\n", centis / 100, centis % 100, idle / 100, idle % 100)
}

/// There is no running average: what runs now stands for all three.
fn loadavg() -> String {
    // The reader itself is not load.
    let running = runnable();
    let load = running.saturating_sub(1);
    let tasks = process::all_tasks().len();
    format!("{load}.00 {load}.00 {load}.00 {running}/{tasks} {}\n", process::last_pid())
}

fn version() -> String {
    format!("{} version {} (husk@husk) (rustc) {}\n", uts::SYSNAME, uts::RELEASE, uts::VERSION)
}

fn filesystems() -> String {
    let mut out = String::new();
    for name in ["overlay", "tmpfs"].into_iter().chain(pseudo::kind_names()) {
        let _ = writeln!(out, "nodev\t{name}");
    }
    out
}

fn devices() -> String {
    String::from(
        "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n",
    )
}

fn interrupts() -> String {
    let mut out = String::from("    ");
    for cpu in 0..cpu::count() {
        let _ = write!(out, "       CPU{cpu}");
    }
    out.push('\n');
    out
}

fn vmstat() -> String {
    let Usage { free, .. } = memory();
    let free = (free / PAGE_SIZE).to_string();
    let lines = [
        ("nr_free_pages", free.as_str()),
        ("pgfault", "0"),
        ("pgmajfault", "0"),
        ("pswpin", "0"),
        ("pswpout", "0"),
        ("oom_kill", "0"),
    ];
    lines.iter().map(|(name, value)| format!("{name} {value}\n")).collect()
}
