//! The few files and directories that every guest's root has, whatever is packed.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::PackError;
use super::root::Root;

/// The names by which the usual programs look for each other; links on a host with a merged /usr.
const TOP_LINKS: [&str; 4] = ["/bin", "/sbin", "/lib", "/lib64"];

/// Empty directories, to be mounted on or written to.
const DIRECTORIES: [(&str, u16); 9] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
];

/// The guest's own name, which programs look up to learn their address, leads to the loopback.
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 husk\n";

/// The user that packs, as the guest will know it.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// Which of the names of the host's accounts are to be known in the guest.
pub(super) type Choose<'a> = &'a dyn for<'n> Fn(&[&'n str]) -> Vec<&'n str>;

/// Adds what is not there yet.
pub(super) fn add(root: &mut Root, choose: Choose<'_>) -> Result<(), PackError> {
    for path in TOP_LINKS {
        if fs::symlink_metadata(path).is_ok_and(|stat| stat.is_symlink()) {
            root.bring(Path::new(path))?;
        }
    }
    for (path, permissions) in DIRECTORIES {
        directory(root, path, permissions, None)?;
    }
    let user = user();
    if user.home.starts_with('/') && user.home != "/" {
        directory(root, &user.home, 0o700, Some(&user))?;
    }
    let mut passwd = "root:x:0:0:root:/root:/bin/sh\n".to_string();
    let mut group = "root:x:0:\ntty:x:5:\n".to_string();
    if user.uid != 0 {
        passwd += &format!("{}:x:{}:{}::{}:/bin/sh\n", user.name, user.uid, user.gid, user.home);
    }
    if user.gid != 0 {
        group += &format!("{}:x:{}:\n", user.name, user.gid);
    }
    passwd += &accounts("/etc/passwd", &passwd, choose);
    group += &accounts("/etc/group", &group, choose);
    passwd += "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
    group += "nogroup:x:65534:\n";
    root.make_file("/etc/passwd", passwd.into())?;
    root.make_file("/etc/group", group.into())?;
    root.make_file("/etc/hosts", HOSTS.into())?;
    root.make_file(
        "/etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n"
            .into(),
    )?;
    for path in ["/etc/localtime", "/etc/hostname"].map(Path::new) {
        if path.exists() {
            root.bring(path)?;
        }
    }
    Ok(())
}

/// Lines of the host's file for accounts of the system: those that are the same everywhere (ids below 100, which a
/// distribution gives out once and for all), and those that are chosen.
fn accounts(file: &str, already: &str, choose: Choose<'_>) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = |line: &'_ str| -> usize { line.find(':').unwrap_or(line.len()) };
    let id = |line: &str| line.split(':').nth(2).and_then(|id| id.parse::<u32>().ok());
    let known = |line: &str| already.lines().any(|other| other[..name(other)] == line[..name(line)]);
    let own: Vec<&str> = text
        .lines()
        .filter(|line| id(line).is_some_and(|id| (1..1000).contains(&id)) && !known(line))
        .collect();
    let names: Vec<&str> = own.iter().map(|line| &line[..name(line)]).collect();
    let chosen = choose(&names);
    let is_wanted = |line: &str| id(line).is_some_and(|id| id < 100) || chosen.contains(&&line[..name(line)]);
    own.iter().filter(|line| is_wanted(line)).map(|line| format!("{line}\n")).collect()
}

/// A directory with the host's owner and permissions where the host has it, else made.
fn directory(root: &mut Root, path: &str, permissions: u16, owner: Option<&User>) -> Result<(), PackError> {
    let host = Path::new(path);
    if fs::metadata(host).is_ok_and(|stat| stat.is_dir()) {
        root.bring(host)?;
    } else if !root.has(host) {
        let node = root.make_directory(path, permissions)?;
        if let Some(user) = owner {
            root.give(node, user.uid, user.gid);
        }
    }
    Ok(())
}

fn user() -> User {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.len() >= 7 && fields[2].parse() == Ok(uid));
    let home = || std::env::var("HOME").unwrap_or_else(|_| PathBuf::from("/").display().to_string());
    match line {
        Some(fields) => User { name: fields[0].into(), uid, gid, home: fields[5].into() },
        None => User { name: "user".into(), uid, gid, home: home() },
    }
}
