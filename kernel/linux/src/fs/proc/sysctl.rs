//! /proc/sys (sysctl(8)).
//!
//! Settings that the kernel obeys can be written; the others tell how things are and refuse.

use crate::errno::{Errno, SysResult};
use crate::file::{lease, pipe};
use crate::fs::pseudo::{File, Fixed, Item};
use crate::ipc::{mq, msg, sem, shm};
use crate::tty::pty;
use crate::uts;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use husk_machine::global::Global;
use husk_machine::random;

/// A setting: its value as a line, and how it is changed.
struct Setting {
    get: fn() -> String,
    set: fn(&str) -> Result<(), Errno>,
}

impl File for Setting {
    fn read(&self) -> Result<Vec<u8>, Errno> {
        Ok(format!("{}\n", (self.get)()).into_bytes())
    }

    fn write(&self, data: &[u8]) -> SysResult {
        let text = core::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
        (self.set)(text.trim_end_matches(['\n', '\0']))?;
        Ok(data.len())
    }
}

/// A value that never changes.
fn fixed(value: &'static str) -> Item {
    Item::file(0o444, move || Ok(format!("{value}\n").into_bytes()))
}

/// A value that is found out at each look.
fn shown(get: fn() -> String) -> Item {
    Item::file(0o444, move || Ok(format!("{}\n", get()).into_bytes()))
}

fn setting(get: fn() -> String, set: fn(&str) -> Result<(), Errno>) -> Item {
    Item::file(0o644, Setting { get, set })
}

fn directory(entries: Fixed) -> Item {
    Item::directory(0o555, entries)
}

fn name_text(name: Vec<u8>) -> String {
    String::from_utf8_lossy(&name).into_owned()
}

/// Random bytes as a UUID of version 4.
fn uuid() -> String {
    let mut bytes = [0; 16];
    random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

static BOOT_ID: Global<String> = Global::new(uuid);

fn set_pipe_max(text: &str) -> Result<(), Errno> {
    let bytes: usize = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    if bytes == 0 || bytes > 1 << 31 {
        return Err(Errno::EINVAL);
    }
    pipe::MAX_SIZE.set(bytes.next_power_of_two().max(4096));
    Ok(())
}

fn set_lease_break_time(text: &str) -> Result<(), Errno> {
    let seconds: i32 = text.trim().parse().map_err(|_| Errno::EINVAL)?;
    lease::BREAK_TIME.set(u64::try_from(seconds).map_err(|_| Errno::EINVAL)?);
    Ok(())
}

/// The tree below /proc/sys.
pub(super) fn root() -> Fixed {
    Fixed::new()
        .with("kernel", directory(kernel()))
        .with("fs", directory(fs()))
        .with("vm", directory(vm()))
        .with("net", directory(net()))
        .with("user", directory(Fixed::new().with("max_user_namespaces", fixed("0"))))
        .with("abi", directory(Fixed::new()))
        .with("dev", directory(Fixed::new()))
        .with("debug", directory(Fixed::new()))
}

fn kernel() -> Fixed {
    let random = Fixed::new()
        .with("uuid", shown(uuid))
        .with("boot_id", shown(|| BOOT_ID.clone()))
        .with("entropy_avail", fixed("256"))
        .with("poolsize", fixed("256"))
        .with("write_wakeup_threshold", fixed("256"))
        .with("urandom_min_reseed_secs", fixed("60"));
    let pty = Fixed::new()
        .with("max", shown(|| pty::MAX.to_string()))
        .with("nr", shown(|| pty::list().len().to_string()))
        .with("reserve", fixed("1024"));
    Fixed::new()
        .with("hostname", setting(|| name_text(uts::hostname()), |name| uts::set_hostname(name.as_bytes())))
        .with(
            "domainname",
            setting(|| name_text(uts::domainname()), |name| uts::set_domainname(name.as_bytes())),
        )
        .with("ostype", fixed(uts::SYSNAME))
        .with("osrelease", fixed(uts::RELEASE))
        .with("version", fixed(uts::VERSION))
        .with("arch", fixed(uts::MACHINE))
        .with("pid_max", fixed("4194304"))
        .with("threads-max", fixed("32768"))
        .with("ngroups_max", fixed("65536"))
        .with("cap_last_cap", fixed("40"))
        .with("overflowuid", fixed("65534"))
        .with("overflowgid", fixed("65534"))
        .with("randomize_va_space", fixed("2"))
        .with("core_pattern", fixed("core"))
        .with("core_uses_pid", fixed("0"))
        .with("dmesg_restrict", fixed("1"))
        .with("kptr_restrict", fixed("1"))
        .with("perf_event_paranoid", fixed("4"))
        .with("unprivileged_bpf_disabled", fixed("2"))
        .with("unprivileged_userns_clone", fixed("0"))
        .with("sched_autogroup_enabled", fixed("0"))
        .with("sched_child_runs_first", fixed("0"))
        .with("sched_rt_period_us", fixed("1000000"))
        .with("sched_rt_runtime_us", fixed("950000"))
        .with("sysrq", fixed("0"))
        .with("tainted", fixed("0"))
        .with("panic", fixed("0"))
        .with("printk", fixed("4\t4\t1\t7"))
        .with("shmmax", shown(|| shm::SHMMAX.to_string()))
        .with("shmall", shown(|| shm::SHMMAX.to_string()))
        .with("shmmni", shown(|| shm::SHMMNI.to_string()))
        .with("msgmax", shown(|| msg::MSGMAX.to_string()))
        .with("msgmnb", shown(|| msg::MSGMNB.to_string()))
        .with("msgmni", shown(|| msg::MSGMNI.to_string()))
        .with(
            "sem",
            shown(|| {
                let (each, sets, operations) = (sem::SEMMSL, sem::SEMMNI, sem::SEMOPM);
                format!("{each}\t{}\t{operations}\t{sets}", each * sets)
            }),
        )
        .with("random", directory(random))
        .with("pty", directory(pty))
        .with("yama", directory(Fixed::new().with("ptrace_scope", fixed("0"))))
        .with("seccomp", directory(Fixed::new().with("actions_avail", fixed(""))))
}

fn fs() -> Fixed {
    let inotify = Fixed::new()
        .with("max_queued_events", fixed("16384"))
        .with("max_user_instances", fixed("128"))
        .with("max_user_watches", fixed("65536"));
    let mqueue = Fixed::new()
        .with("msg_default", shown(|| mq::MESSAGES.to_string()))
        .with("msg_max", shown(|| mq::MESSAGES.to_string()))
        .with("msgsize_default", shown(|| mq::MESSAGE_LEN.to_string()))
        .with("msgsize_max", shown(|| mq::MESSAGE_LEN.to_string()))
        .with("queues_max", shown(|| mq::QUEUES_MAX.to_string()));
    Fixed::new()
        .with("file-max", fixed("9223372036854775807"))
        .with("file-nr", fixed("0\t0\t9223372036854775807"))
        .with("nr_open", fixed("1048576"))
        .with("inode-nr", fixed("0\t0"))
        .with("pipe-max-size", setting(|| pipe::MAX_SIZE.get().to_string(), set_pipe_max))
        .with("pipe-user-pages-soft", fixed("0"))
        .with("pipe-user-pages-hard", fixed("0"))
        .with("aio-max-nr", fixed("65536"))
        .with("aio-nr", fixed("0"))
        .with("lease-break-time", setting(|| lease::BREAK_TIME.get().to_string(), set_lease_break_time))
        .with("leases-enable", fixed("1"))
        .with("mount-max", fixed("100000"))
        .with("overflowuid", fixed("65534"))
        .with("overflowgid", fixed("65534"))
        .with("protected_fifos", fixed("0"))
        .with("protected_hardlinks", fixed("0"))
        .with("protected_regular", fixed("0"))
        .with("protected_symlinks", fixed("0"))
        .with("suid_dumpable", fixed("0"))
        .with("inotify", directory(inotify))
        .with("mqueue", directory(mqueue))
        .with("epoll", directory(Fixed::new().with("max_user_watches", fixed("1000000"))))
        .with("binfmt_misc", directory(Fixed::new()))
}

fn vm() -> Fixed {
    Fixed::new()
        .with("overcommit_memory", fixed("1"))
        .with("overcommit_ratio", fixed("50"))
        .with("overcommit_kbytes", fixed("0"))
        .with("max_map_count", fixed("1048576"))
        .with("swappiness", fixed("0"))
        .with("mmap_min_addr", shown(|| husk_abi::layout::GUEST_START.to_string()))
        .with("nr_hugepages", fixed("0"))
        .with("drop_caches", fixed("0"))
        .with("dirty_ratio", fixed("20"))
        .with("dirty_background_ratio", fixed("10"))
        .with("min_free_kbytes", fixed("0"))
        .with("panic_on_oom", fixed("0"))
        .with("oom_kill_allocating_task", fixed("0"))
        .with("vfs_cache_pressure", fixed("100"))
        .with("page-cluster", fixed("3"))
        .with("legacy_va_layout", fixed("0"))
}

fn net() -> Fixed {
    let core = Fixed::new()
        .with("somaxconn", fixed("4096"))
        .with("rmem_default", fixed("212992"))
        .with("rmem_max", fixed("212992"))
        .with("wmem_default", fixed("212992"))
        .with("wmem_max", fixed("212992"))
        .with("optmem_max", fixed("131072"))
        .with("netdev_max_backlog", fixed("1000"));
    let ipv4 = Fixed::new()
        .with("ip_local_port_range", fixed("32768\t60999"))
        .with("ip_forward", fixed("0"))
        .with("ip_default_ttl", fixed("64"))
        .with("ip_nonlocal_bind", fixed("0"))
        .with("ip_unprivileged_port_start", fixed("1024"))
        .with("ping_group_range", fixed("0\t2147483647"))
        .with("tcp_rmem", fixed("4096\t131072\t6291456"))
        .with("tcp_wmem", fixed("4096\t16384\t4194304"))
        .with("tcp_fin_timeout", fixed("60"))
        .with("tcp_keepalive_time", fixed("7200"))
        .with("tcp_keepalive_intvl", fixed("75"))
        .with("tcp_keepalive_probes", fixed("9"))
        .with("tcp_syncookies", fixed("0"))
        .with("tcp_max_syn_backlog", fixed("512"))
        .with("tcp_tw_reuse", fixed("2"))
        .with("tcp_timestamps", fixed("0"))
        .with("tcp_sack", fixed("0"))
        .with("tcp_window_scaling", fixed("1"))
        .with("tcp_fastopen", fixed("0"))
        .with("tcp_available_congestion_control", fixed("reno"))
        .with("tcp_congestion_control", fixed("reno"));
    let all = || Fixed::new().with("disable_ipv6", fixed("0")).with("forwarding", fixed("0"));
    let conf = Fixed::new()
        .with("all", directory(all()))
        .with("default", directory(all()))
        .with("lo", directory(all()));
    let ipv6 = Fixed::new().with("bindv6only", fixed("0")).with("conf", directory(conf));
    let unix = Fixed::new().with("max_dgram_qlen", fixed("512"));
    Fixed::new()
        .with("core", directory(core))
        .with("ipv4", directory(ipv4))
        .with("ipv6", directory(ipv6))
        .with("unix", directory(unix))
}
