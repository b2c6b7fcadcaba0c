//! The second wall: a server that has been taken over can reach nothing but what it serves. Tried by a process that confines itself as
//! a server does and then does what it likes.

use husk_volume::Access;
use husk_volume::confine::{Served, confine};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

const FOLDER: &str = "HUSK_TEST_CONFINED";

/// Name of an attempt, and whether it worked.
fn attempts(folder: &Path) -> Vec<(&'static str, bool)> {
    let (written, read) = (folder.join("written"), folder.join("read"));
    vec![
        ("reads what it serves", fs::read(written.join("f")).is_ok()),
        ("writes what it serves", fs::write(written.join("f"), "new").is_ok()),
        ("reads what it serves read-only", fs::read(read.join("f")).is_ok()),
        ("writes what it serves read-only", fs::write(read.join("f"), "new").is_ok()),
        ("reads another file", fs::read(folder.join("secret")).is_ok()),
        ("reads another file by a detour", fs::read(written.join("../secret")).is_ok()),
        ("lists another directory", fs::read_dir("/").is_ok()),
        ("writes elsewhere", fs::write(folder.join("new"), "new").is_ok()),
        ("takes a file out", fs::rename(written.join("f"), folder.join("f")).is_ok()),
        ("runs a program", Command::new("/bin/true").status().is_ok()),
        ("makes a socket", std::net::UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("leaves its directory", std::env::set_current_dir("/").is_ok()),
    ]
}

#[test]
fn only_what_is_served_can_be_reached() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let folder = Path::new(&folder);
        let open = |name: &str| {
            rustix::fs::open(folder.join(name), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let (written, read) = (open("written"), open("read"));
        let has_landlock = confine(&[
            Served { root: written.as_fd(), is_directory: true, access: Access::ReadWrite },
            Served { root: read.as_fd(), is_directory: true, access: Access::ReadOnly },
        ])
        .unwrap();
        println!("Landlock: {has_landlock}");
        for (name, worked) in attempts(folder) {
            println!("attempt: {name}: {worked}");
        }
        std::process::exit(0);
    }
    let folder = tempfile::tempdir().unwrap();
    for name in ["written", "read"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("f"), "text").unwrap();
    }
    fs::write(folder.path().join("secret"), "secret").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "only_what_is_served_can_be_reached", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let with = |end: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_suffix(end)?.strip_prefix("attempt: "));
        lines.map(str::to_owned).collect()
    };
    let (worked, refused) = (with(": true"), with(": false"));
    if text.contains("Landlock: true") {
        let expected = ["reads what it serves", "writes what it serves", "reads what it serves read-only"];
        assert_eq!((worked.as_slice(), refused.len()), (expected.map(str::to_owned).as_slice(), 9), "{text}");
    } else {
        eprintln!("skipped in part: this host has no Landlock, so the paths were not tried");
        assert!(refused.len() >= 3 && worked.len() >= 3, "{text}");
    }
}
