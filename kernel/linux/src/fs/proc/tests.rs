//! What programs read in /proc, through the walks they use.

use super::*;
use crate::file::OpenFile;
use crate::file::eventfd::EventFd;
use crate::file::io::{Sink, Source};
use crate::fs::inode::Node;
use crate::fs::open::{How, open};
use crate::fs::{init_root, sys};
use crate::task::Task;
use crate::tty;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;

fn enter() -> Arc<Task> {
    let task = task::test::enter();
    register();
    sys::register();
    tty::register();
    init_root(&[]).unwrap();
    task.set_fs(crate::fs::FsContext::new());
    task.comm.set(*b"a (strange) nam\0");
    task
}

fn open_with(t: &Arc<Task>, path: &str, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    open(t, raw::AT_FDCWD, path.as_bytes(), How { flags, ..How::default() })
}

fn read(t: &Arc<Task>, path: &str) -> Result<String, Errno> {
    let file = open_with(t, path, raw::O_RDONLY)?;
    let mut text = Vec::new();
    loop {
        let mut part = [0; 1000];
        let count = file.read(&mut Sink::Kernel(&mut part))?;
        if count == 0 {
            return Ok(String::from_utf8(text).unwrap());
        }
        text.extend_from_slice(&part[..count]);
    }
}

fn write(t: &Arc<Task>, path: &str, data: &str) -> Result<usize, Errno> {
    open_with(t, path, raw::O_WRONLY)?.write(&mut Source::Kernel(data.as_bytes()))
}

/// The value of a line `name: value`.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_string()
}

fn all_texts(directory: &str, out: &mut Vec<String>) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(_) => return,
    };
    out.extend(entries.flatten().map(|entry| entry.file_name().into_string().unwrap()));
}

#[test]
fn stat_and_status_have_the_fields_of_the_host() {
    let t = enter();
    let (own, host) =
        (read(&t, "/proc/self/stat").unwrap(), std::fs::read_to_string("/proc/self/stat").unwrap());
    assert!(own.starts_with(&format!("{} (a (strange) nam) R 0 ", t.pid())), "{own}");
    let fields = |text: &str| text[text.rfind(')').unwrap()..].split_whitespace().count();
    assert_eq!(fields(&own), fields(&host), "{own}");

    let own = read(&t, "/proc/self/status").unwrap();
    let host = std::fs::read_to_string("/proc/self/status").unwrap();
    let names = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split(':').next().unwrap().to_string()).collect()
    };
    for name in names(&host) {
        // What depends on how the host was built.
        if name.starts_with("x86") || name == "Seccomp_filters" {
            continue;
        }
        assert!(names(&own).contains(&name), "{name}");
    }
    assert_eq!(value(&own, "Pid"), t.pid().to_string());
    assert_eq!(value(&own, "Uid"), "0\t0\t0\t0");
    assert_eq!(value(&own, "State"), "R (running)");
}

#[test]
fn every_text_of_a_process_can_be_read() {
    let t = enter();
    let mut read_ok = 0;
    let listed = process::directory(t.pid()).unwrap();
    let pseudo::Node::Directory(directory) = &listed.node else { panic!("a directory") };
    for (name, kind) in directory.list() {
        let name = core::str::from_utf8(&name).unwrap();
        if kind != raw::S_IFREG || name == "mem" {
            continue;
        }
        read(&t, &format!("/proc/self/{name}")).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        read(&t, &format!("/proc/thread-self/{name}")).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        read_ok += 1;
    }
    assert!(read_ok > 25);
    // The host has few that are not here.
    let mut host = Vec::new();
    all_texts("/proc/self", &mut host);
    let own: Vec<String> =
        directory.list().iter().map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect();
    let missing: Vec<_> = host.iter().filter(|name| !own.contains(name)).collect();
    assert!(missing.len() < 20, "{missing:?}");
}

#[test]
fn system_files_have_the_lines_of_the_host() {
    let t = enter();
    for path in ["/proc/meminfo", "/proc/limits"] {
        let path = if path == "/proc/limits" { "/proc/self/limits" } else { path };
        let (own, host) = (read(&t, path).unwrap(), std::fs::read_to_string(path).unwrap());
        assert_eq!(own.lines().next().unwrap().len(), host.lines().next().unwrap().len(), "{path}: {own}");
    }
    let memory = read(&t, "/proc/meminfo").unwrap();
    assert!(value(&memory, "MemTotal").ends_with(" kB"));
    let cpus = read(&t, "/proc/cpuinfo").unwrap();
    let host = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_string();
    for name in
        ["vendor_id", "cpu family", "model\t", "model name", "stepping", "address sizes", "clflush size"]
    {
        assert_eq!(line(&cpus, name), line(&host, name));
    }
    let flags = line(&host, "flags");
    let known: Vec<&str> = flags.split_whitespace().collect();
    let strange: Vec<_> = line(&cpus, "flags")
        .split_whitespace()
        .filter(|flag| !known.contains(flag))
        .map(str::to_string)
        .collect();
    assert!(strange.len() < 6, "{strange:?}");
    assert!(read(&t, "/proc/stat").unwrap().starts_with("cpu  "));
    assert_eq!(read(&t, "/proc/loadavg").unwrap().split_whitespace().count(), 5);
    assert_eq!(read(&t, "/proc/uptime").unwrap().split_whitespace().count(), 2);
    assert!(read(&t, "/proc/version").unwrap().starts_with("Linux version "));
    assert!(read(&t, "/proc/filesystems").unwrap().contains("nodev\tproc\n"));
}

#[test]
fn descriptors_are_links_that_lead_to_open_files() {
    let t = enter();
    let counter = EventFd::open(7, 0);
    t.files().install(counter, true).unwrap();
    let file = open_with(&t, "/proc/version", raw::O_RDONLY).unwrap();
    t.files().install(file, false).unwrap();
    let target = |path: &str| {
        let found = crate::fs::walk::lookup(&t, raw::AT_FDCWD, path.as_bytes(), false).unwrap();
        let Node::Pseudo(pseudo::Node::Link(link)) = &found.inode().node else { panic!("{path} is a link") };
        String::from_utf8(link.target().unwrap()).unwrap()
    };
    assert_eq!(target("/proc/self/fd/0"), "anon_inode:[eventfd]");
    assert_eq!(target("/proc/self/fd/1"), "/proc/version");
    assert!(read(&t, "/proc/self/fd/1").unwrap().starts_with("Linux"));
    assert_eq!(open_with(&t, "/proc/self/fd/0", raw::O_RDWR).err(), Some(Errno::ENXIO));
    assert_eq!(open_with(&t, "/proc/self/fd/2", raw::O_RDWR).err(), Some(Errno::ENOENT));
    let info = read(&t, "/proc/self/fdinfo/0").unwrap();
    assert!(info.starts_with("pos:\t0\nflags:\t02000002\nmnt_id:\t"), "{info}");
    assert_eq!(value(&info, "eventfd-count"), "7");
    assert_eq!(target("/proc/self"), t.pid().to_string());
    assert_eq!(target("/proc/self/cwd"), "/");
    assert_eq!(target("/proc/self/ns/pid"), "pid:[4026531836]");
}

#[test]
fn mounts_are_told_in_three_ways() {
    let t = enter();
    let mounts = read(&t, "/proc/mounts").unwrap();
    assert!(mounts.contains("proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n"), "{mounts}");
    let info = read(&t, "/proc/self/mountinfo").unwrap();
    let line = info.lines().find(|line| line.contains(" /dev/shm ")).unwrap();
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!(&fields[3..6], ["/", "/dev/shm", "rw,nosuid,nodev,relatime"]);
    assert_eq!(fields[6], "-");
    assert_eq!(fields[7], "tmpfs");
}

#[test]
fn what_can_be_changed_changes() {
    let t = enter();
    write(&t, "/proc/self/comm", "new name\n").unwrap();
    assert_eq!(read(&t, "/proc/self/comm").unwrap(), "new name\n");
    write(&t, "/proc/sys/kernel/hostname", "box\n").unwrap();
    assert_eq!(read(&t, "/proc/sys/kernel/hostname").unwrap(), "box\n");
    write(&t, "/proc/self/oom_score_adj", "500").unwrap();
    assert_eq!(read(&t, "/proc/self/oom_score_adj").unwrap(), "500\n");
    assert_eq!(read(&t, "/proc/self/oom_adj").unwrap(), "8\n");
    assert_eq!(write(&t, "/proc/self/oom_score_adj", "1001"), Err(Errno::EINVAL));
    assert_eq!(read(&t, "/proc/sys/fs/pipe-max-size").unwrap(), "1048576\n");
    assert_eq!(write(&t, "/proc/sys/kernel/ostype", "x").err(), Some(Errno::EINVAL));
    let ids = [read(&t, "/proc/sys/kernel/random/uuid"), read(&t, "/proc/sys/kernel/random/uuid")];
    assert!(ids[0] != ids[1] && ids[0].as_ref().unwrap().len() == 37);
    assert_eq!(read(&t, "/proc/sys/kernel/random/boot_id"), read(&t, "/proc/sys/kernel/random/boot_id"));
}

#[test]
fn other_processes_show_what_they_may() {
    let t = enter();
    let other = task::test::another(task::cred::Cred::new(1000, 1000));
    let path = |name: &str| format!("/proc/{}/{name}", other.pid());
    assert!(read(&t, &path("environ")).is_ok());
    assert!(read(&t, "/proc/99999/stat").is_err());
    t.set_cred(task::cred::Cred::new(1001, 1001));
    assert!(read(&t, &path("stat")).is_ok());
    assert_eq!(read(&t, &path("environ")), Err(Errno::EACCES));
    assert_eq!(read(&t, &path("maps")), Err(Errno::EACCES));
    assert_eq!(open_with(&t, &path("cwd"), raw::O_RDONLY).err(), Some(Errno::EACCES));
}

#[test]
fn sysfs_tells_of_cpus_and_interfaces() {
    let t = enter();
    assert_eq!(read(&t, "/sys/devices/system/cpu/online").unwrap(), "0\n");
    assert_eq!(read(&t, "/sys/devices/system/cpu/cpu0/topology/core_id").unwrap(), "0\n");
    assert!(read(&t, "/sys/devices/system/cpu/cpu1/topology/core_id").is_err());
    assert_eq!(read(&t, "/sys/class/net/lo/mtu").unwrap(), "65536\n");
    assert!(read(&t, "/sys/kernel/mm/transparent_hugepage/enabled").unwrap().contains("[madvise]"));
    assert!(read(&t, "/sys/dev/char/1:3/uevent").unwrap().contains("DEVNAME=null\n"));
}
