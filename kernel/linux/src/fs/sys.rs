//! /sys, as far as programs read it: CPUs, memory, network interfaces, devices by number.

use super::proc::cpu;
use super::pseudo::{self, Directory, Fixed, Item, Kind, Later};
use crate::net::interface::{self, Interface};
use crate::tty::pty;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::arch::x86_64::__cpuid_count;
use core::fmt::Write;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::frames;
use linux_raw_sys::general::{S_IFDIR, S_IFLNK, SYSFS_MAGIC};

/// Makes the file system known: before `init_root`, which mounts it.
pub fn register() {
    pseudo::register(Kind { name: "sysfs", magic: SYSFS_MAGIC, root });
}

fn root() -> Item {
    Item::directory(0o755, Later::new(top))
}

fn top() -> Fixed {
    let devices = Fixed::new()
        .with(
            "system",
            directory(
                Fixed::new()
                    .with("cpu", Item::directory(0o755, Cpus { fixed: cpus() }))
                    .with("node", directory(nodes())),
            ),
        )
        .with(
            "virtual",
            directory(Fixed::new().with("net", Item::directory(0o755, Interfaces { links: false }))),
        );
    let class = Fixed::new()
        .with("net", Item::directory(0o755, Interfaces { links: true }))
        .with("tty", directory(Fixed::new()))
        .with("mem", directory(Fixed::new()))
        .with("block", directory(Fixed::new()))
        .with("hwmon", directory(Fixed::new()))
        .with("thermal", directory(Fixed::new()))
        .with("power_supply", directory(Fixed::new()));
    let dev = Fixed::new()
        .with("block", directory(Fixed::new()))
        .with("char", Item::directory(0o755, CharacterDevices));
    Fixed::new()
        .with("devices", directory(devices))
        .with("class", directory(class))
        .with("dev", directory(dev))
        .with("kernel", directory(kernel()))
        .with("fs", directory(Fixed::new().with("cgroup", directory(Fixed::new()))))
        .with("block", directory(Fixed::new()))
        .with("bus", directory(Fixed::new()))
        .with("firmware", directory(Fixed::new()))
        .with("hypervisor", directory(Fixed::new()))
        .with("module", directory(Fixed::new()))
        .with("power", directory(Fixed::new()))
}

fn directory(entries: Fixed) -> Item {
    Item::directory(0o755, entries)
}

/// A line that never changes.
fn line(value: impl Into<String>) -> Item {
    let value = format!("{}\n", value.into());
    Item::file(0o444, move || Ok(value.clone().into_bytes()))
}

fn text(make: fn() -> String) -> Item {
    Item::file(0o444, move || Ok(make().into_bytes()))
}

/// A mask of CPUs as sysfs writes it: groups of 32 bits.
fn mask_text(mask: u64) -> String {
    if mask >> 32 == 0 { format!("{mask:x}") } else { format!("{:x},{:08x}", mask >> 32, mask as u32) }
}

fn kernel() -> Fixed {
    // Pages are 4 KiB as far as a program can tell: huge ones come and go by themselves.
    let huge = Fixed::new()
        .with("enabled", line("always [madvise] never"))
        .with("defrag", line("always defer defer+madvise [madvise] never"))
        .with("shmem_enabled", line("always within_size advise [never] deny force"))
        .with("use_zero_page", line("1"))
        .with("hpage_pmd_size", line("2097152"));
    let mm =
        Fixed::new().with("transparent_hugepage", directory(huge)).with("hugepages", directory(Fixed::new()));
    Fixed::new()
        .with("mm", directory(mm))
        .with("security", directory(Fixed::new()))
        .with("debug", directory(Fixed::new()))
        .with("notes", line(""))
}

// CPUs.

fn cpus() -> Fixed {
    let all = || format!("{}\n", cpu::list_of(cpu::all()));
    let smt = Fixed::new().with("active", line("0")).with("control", line("notsupported"));
    Fixed::new()
        .with("online", text(all))
        .with("possible", text(all))
        .with("present", text(all))
        .with("offline", line(""))
        .with("isolated", line(""))
        .with("kernel_max", line("63"))
        .with("smt", directory(smt))
        .with("vulnerabilities", directory(Fixed::new()))
}

/// /sys/devices/system/cpu.
struct Cpus {
    fixed: Fixed,
}

/// The number in a name such as `cpu3`.
fn numbered(name: &[u8], prefix: &str) -> Option<u32> {
    let text = core::str::from_utf8(name.strip_prefix(prefix.as_bytes())?).ok()?;
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

impl Directory for Cpus {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        match numbered(name, "cpu") {
            Some(number) if number < cpu::count() => Some(directory(one_cpu(number))),
            _ => self.fixed.lookup(name),
        }
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let mut names = self.fixed.list();
        names.extend(
            (0..cpu::count()).map(|number| (Cow::Owned(format!("cpu{number}").into_bytes()), S_IFDIR)),
        );
        names
    }
}

fn one_cpu(number: u32) -> Fixed {
    let own = 1_u64 << number;
    let (own_mask, own_list) = (mask_text(own), number.to_string());
    let (all_mask, all_list) = (mask_text(cpu::all()), cpu::list_of(cpu::all()));
    let topology = Fixed::new()
        .with("core_id", line(own_list.clone()))
        .with("physical_package_id", line("0"))
        .with("die_id", line("0"))
        .with("cluster_id", line("0"))
        .with("thread_siblings", line(own_mask.clone()))
        .with("thread_siblings_list", line(own_list.clone()))
        .with("core_cpus", line(own_mask))
        .with("core_cpus_list", line(own_list))
        .with("core_siblings", line(all_mask.clone()))
        .with("core_siblings_list", line(all_list.clone()))
        .with("package_cpus", line(all_mask))
        .with("package_cpus_list", line(all_list));
    let khz = cpu::khz().to_string();
    let frequency = Fixed::new()
        .with("cpuinfo_max_freq", line(khz.clone()))
        .with("cpuinfo_min_freq", line(khz.clone()))
        .with("scaling_cur_freq", line(khz.clone()))
        .with("scaling_max_freq", line(khz.clone()))
        .with("scaling_min_freq", line(khz));
    let entries = Fixed::new()
        .with("topology", directory(topology))
        .with("cache", Item::directory(0o755, Caches(number)))
        .with("cpufreq", directory(frequency))
        .with("node0", Item::link("../../node/node0"));
    if number == 0 { entries } else { entries.with("online", line("1")) }
}

/// The caches of a CPU, as CPUID's leaf 4 (or AMD's like it) lists them.
struct Caches(u32);

struct Cache {
    level: u32,
    kind: &'static str,
    line: u32,
    ways: u32,
    sets: u32,
    partitions: u32,
    shared: bool,
}

fn cache(index: u32) -> Option<Cache> {
    let amd = __cpuid_count(0, 0).ecx == u32::from_le_bytes(*b"cAMD");
    let found = __cpuid_count(if amd { 0x8000_001d } else { 4 }, index);
    let kind = match found.eax & 0x1f {
        1 => "Data",
        2 => "Instruction",
        3 => "Unified",
        _ => return None,
    };
    let level = found.eax >> 5 & 7;
    Some(Cache {
        level,
        kind,
        line: (found.ebx & 0xfff) + 1,
        partitions: (found.ebx >> 12 & 0x3ff) + 1,
        ways: (found.ebx >> 22) + 1,
        sets: found.ecx + 1,
        shared: level >= 3,
    })
}

fn caches() -> u32 {
    (0..8).take_while(|index| cache(*index).is_some()).count() as u32
}

impl Directory for Caches {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        let cache = cache(numbered(name, "index").filter(|index| *index < caches())?)?;
        let bytes = cache.line * cache.partitions * cache.ways * cache.sets;
        let shared = if cache.shared { cpu::all() } else { 1 << self.0 };
        Some(directory(
            Fixed::new()
                .with("level", line(cache.level.to_string()))
                .with("type", line(cache.kind))
                .with("size", line(format!("{}K", bytes / 1024)))
                .with("coherency_line_size", line(cache.line.to_string()))
                .with("number_of_sets", line(cache.sets.to_string()))
                .with("ways_of_associativity", line(cache.ways.to_string()))
                .with("physical_line_partition", line(cache.partitions.to_string()))
                .with("shared_cpu_map", line(mask_text(shared)))
                .with("shared_cpu_list", line(cpu::list_of(shared))),
        ))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        (0..caches()).map(|index| (Cow::Owned(format!("index{index}").into_bytes()), S_IFDIR)).collect()
    }
}

// Memory nodes: one.

fn nodes() -> Fixed {
    let node = Fixed::new()
        .with("cpulist", text(|| format!("{}\n", cpu::list_of(cpu::all()))))
        .with("cpumap", text(|| format!("{}\n", mask_text(cpu::all()))))
        .with("distance", line("10"))
        .with("meminfo", text(node_meminfo))
        .with(
            "numastat",
            text(|| {
                String::from(
                    "numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 0\nother_node 0\n",
                )
            }),
        );
    Fixed::new()
        .with("online", line("0"))
        .with("possible", line("0"))
        .with("has_cpu", line("0"))
        .with("has_memory", line("0"))
        .with("has_normal_memory", line("0"))
        .with("node0", directory(node))
}

fn node_meminfo() -> String {
    let (free, total) = frames::usage();
    let mut out = String::new();
    for (name, pages) in [("MemTotal", total), ("MemFree", free), ("MemUsed", total - free)] {
        let name = format!("{name}:");
        let _ = writeln!(out, "Node 0 {name:<15} {:8} kB", pages * PAGE_SIZE / 1024);
    }
    out
}

// Network interfaces.

/// /sys/class/net, whose names are links, and /sys/devices/virtual/net, where they lead.
struct Interfaces {
    links: bool,
}

fn hardware_address(bytes: &[u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn one_interface(interface: &'static Interface) -> Fixed {
    let mut statistics = Fixed::new();
    for name in [
        "rx_bytes",
        "rx_packets",
        "rx_errors",
        "rx_dropped",
        "tx_bytes",
        "tx_packets",
        "tx_errors",
        "tx_dropped",
    ] {
        statistics = statistics.with(name, line("0"));
    }
    Fixed::new()
        .with("address", line(hardware_address(&interface.address)))
        .with("broadcast", line(hardware_address(&interface.broadcast)))
        .with("addr_len", line("6"))
        .with("mtu", line(interface.mtu.to_string()))
        .with("ifindex", line(interface.index.to_string()))
        .with("iflink", line(interface.index.to_string()))
        .with("type", line(interface.hardware.to_string()))
        .with("flags", line(format!("{:#x}", interface.flags & 0xffff)))
        .with("operstate", line("unknown"))
        .with("carrier", line("1"))
        .with("tx_queue_len", line("1000"))
        .with("statistics", directory(statistics))
}

impl Directory for Interfaces {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        let interface = interface::by_name(name)?;
        Some(if self.links {
            link(format!("../../devices/virtual/net/{}", interface.name))
        } else {
            directory(one_interface(interface))
        })
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        let kind = if self.links { S_IFLNK } else { S_IFDIR };
        interface::ALL.iter().map(|interface| (Cow::Borrowed(interface.name.as_bytes()), kind)).collect()
    }
}

/// A link whose text was made now.
fn link(target: String) -> Item {
    Item::link(Text(target))
}

struct Text(String);

impl pseudo::Link for Text {
    fn target(&self) -> Result<Vec<u8>, crate::errno::Errno> {
        Ok(self.0.clone().into_bytes())
    }
}

// Devices by number.

const MEMORY_DEVICES: [(&str, &str); 5] =
    [("1:3", "null"), ("1:5", "zero"), ("1:7", "full"), ("1:8", "random"), ("1:9", "urandom")];
const TTY_DEVICES: [(&str, &str); 3] = [("5:0", "tty"), ("5:1", "console"), ("5:2", "ptmx")];

/// /sys/dev/char: a directory for each number, with what udev would be told of it.
struct CharacterDevices;

impl CharacterDevices {
    fn all() -> Vec<(String, String)> {
        let fixed = MEMORY_DEVICES.iter().chain(&TTY_DEVICES);
        let mut all: Vec<_> =
            fixed.map(|(number, name)| ((*number).to_string(), (*name).to_string())).collect();
        all.extend(
            pty::list().iter().map(|tty| (format!("136:{}", tty.index()), format!("pts/{}", tty.index()))),
        );
        all
    }
}

impl Directory for CharacterDevices {
    fn lookup(&self, name: &[u8]) -> Option<Item> {
        let (number, device) = Self::all().into_iter().find(|(number, _)| number.as_bytes() == name)?;
        let (major, minor) = number.split_once(':')?;
        let event = format!("MAJOR={major}\nMINOR={minor}\nDEVNAME={device}");
        Some(directory(Fixed::new().with("dev", line(number.clone())).with("uevent", line(event))))
    }

    fn list(&self) -> Vec<(Cow<'static, [u8]>, u32)> {
        Self::all().into_iter().map(|(number, _)| (Cow::Owned(number.into_bytes()), S_IFDIR)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{mask_text, numbered};
    use crate::fs::proc::cpu::list_of;

    #[test]
    fn masks_and_lists_are_written_as_linux_does() {
        assert_eq!(mask_text(3), "3");
        assert_eq!(mask_text(u64::MAX), "ffffffff,ffffffff");
        assert_eq!(list_of(0b1011), "0-1,3");
        assert_eq!(list_of(u64::MAX), "0-63");
        assert_eq!(list_of(0), "");
    }

    #[test]
    fn numbered_names_have_no_leading_zero() {
        assert_eq!(numbered(b"cpu12", "cpu"), Some(12));
        assert_eq!(numbered(b"cpu012", "cpu"), None);
        assert_eq!(numbered(b"cpu", "cpu"), None);
    }
}
