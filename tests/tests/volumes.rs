//! Volumes, end to end: what a guest does on the host's files and what it cannot, named volumes, and servers that die.

mod common;

use common::{Bench, tenders, text};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a guest must not see.
const SECRET: &str = "of the host alone\n";

impl Bench {
    fn run(&self, tender: &str, options: &[&str], script: &str) -> Output {
        self.guest(tender, options, script).output().unwrap()
    }

    /// `husk run` of a shell with the usual tools.
    fn guest(&self, tender: &str, options: &[&str], script: &str) -> Command {
        let mut arguments = vec!["run", "--tender", tender, "--with", "coreutils", "--cpus", "2"];
        arguments.extend_from_slice(options);
        arguments.extend_from_slice(&["--", "sh", "-c", script]);
        self.husk(&arguments)
    }

    /// A guest of the served folder at /v that has said `ready`, and its further lines.
    fn ready(&self, tender: &str, script: &str) -> (Child, Lines<BufReader<ChildStdout>>) {
        let mut command = self.guest(tender, &["-v", "./served:/v"], script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut guest = command.spawn().unwrap();
        let mut lines = BufReader::new(guest.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        (guest, lines)
    }

    fn volume(&self, arguments: &[&str]) -> Output {
        let all = [&["volume"], arguments].concat();
        self.husk(&all).output().unwrap()
    }

    /// A folder to be served, and beside it a secret.
    fn served(&self) {
        fs::create_dir(self.path("served")).unwrap();
        fs::write(self.path("secret"), SECRET).unwrap();
        fs::write(self.path("served/f"), "text\n").unwrap();
    }
}

/// The state server of a `husk run`: its child process that is no guest.
fn server_of(run: &Child) -> i32 {
    let mine = run.id().to_string();
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let stat = read("stat");
            let parent =
                stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1).map(String::from));
            if parent.as_deref() == Some(&mine) && read("cmdline").contains("serve-volumes") {
                return pid;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no state server");
}

/// The state of a process, all of whose threads share it, as ps(1) shows it.
fn state_of(pid: i32) -> Option<char> {
    let state = |stat: String| stat.rsplit(')').next()?.trim_start().chars().next();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten();
    let mut states = tasks.filter_map(|task| state(fs::read_to_string(task.path().join("stat")).ok()?));
    let first = states.next()?;
    states.all(|other| other == first).then_some(first)
}

fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

#[test]
fn a_guest_reads_and_writes_the_hosts_files() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    for tender in tenders() {
        let script =
            "cat /v/f; echo new > /v/n; mkdir -p /v/d/e; mv /v/n /v/d/e/m; ln -s m /v/d/e/l; cat /v/d/e/l
            ls /v /v/d/e; cp /v/f /v/copy; rm /v/copy; echo more >> /v/d/e/m; touch -d @1000000000 /v/d";
        let output = bench.run(tender, &["-v", "./served:/v"], script);
        assert_eq!(text(&output.stderr), "");
        assert_eq!(text(&output.stdout), "text\nnew\n/v:\nd\nf\n\n/v/d/e:\nl\nm\n");
        assert_eq!(fs::read_to_string(bench.path("served/d/e/m")).unwrap(), "new\nmore\n");
        assert_eq!(fs::metadata(bench.path("served/d")).unwrap().mtime(), 1_000_000_000);
        fs::remove_dir_all(bench.path("served/d")).unwrap();
    }
}

#[test]
fn options_of_mounts() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    let secret = bench.path("secret");
    let secret = secret.to_str().unwrap();
    for tender in tenders() {
        let mounts = [
            "-v",
            "./served:/v:ro",
            "--mount",
            &format!("type=bind,src={secret},dst=/v/f,readonly"),
            "--tmpfs",
            "/t:size=64k,mode=1750",
            "--mount",
            "type=tmpfs,target=/t/u",
            "--no-fork",
        ];
        // One directory below another's mount, a file over a file, and all of it without a further process.
        let script = "read x < /v/f; echo $x; echo > /v/new; echo > /v/f; echo $?";
        let output = bench.run(tender, &mounts, script);
        assert!(text(&output.stdout).starts_with(SECRET), "{tender}: {output:?}");
        assert_eq!(text(&output.stderr).matches("Read-only file system").count(), 2, "{output:?}");
        let script = "stat -c '%a %F' /t /t/u; head -c 100k /dev/zero > /t/big";
        let output = bench.run(tender, &mounts[..mounts.len() - 1], script);
        assert_eq!(text(&output.stdout), "1750 directory\n1777 directory\n");
        assert!(text(&output.stderr).contains("No space left"), "{output:?}");
    }
    assert_eq!(fs::read_to_string(secret).unwrap(), SECRET);
}

#[test]
fn nothing_leads_out() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    let served = bench.path("served");
    symlink(bench.path("secret"), served.join("absolute")).unwrap();
    symlink("../secret", served.join("up")).unwrap();
    symlink("/proc/self/root", served.join("root")).unwrap();
    symlink("/proc/1/cwd", served.join("cwd")).unwrap();
    let path = bench.path("secret");
    for tender in tenders() {
        let script = format!(
            "cd /v; for f in absolute up root{path} cwd/secret ../secret ./../secret ../v/../secret {path} \
             /v/..{path}; do cat $f; echo x > $f; done 2> /dev/null
             ln up hard; cat hard; mv up down; cat down; mv down up; rm hard; ln absolute /v/x; cat x; rm x
             mkdir d; cd d; mv ../d ../e; cat ../../secret; cd ..; rmdir e; cat /proc/self/cwd/../secret; ls ..",
            path = path.display()
        );
        let output = bench.run(tender, &["-v", "./served:/v"], &script);
        assert!(!text(&output.stdout).contains(SECRET), "{tender}: {output:?}");
        assert!(text(&output.stdout).contains("proc\n"), "the guest's own root: {output:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
        assert_eq!(
            fs::read_dir(bench.folder.path()).unwrap().flatten().filter(|f| f.file_name() == "x").count(),
            0
        );
    }
}

#[test]
fn guests_append_to_one_file() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    for tender in tenders() {
        fs::write(bench.path("served/log"), "").unwrap();
        let script = |who: &str| {
            format!("i=0; while [ $i -lt 200 ]; do echo {who} line $i >> /v/log; i=$((i+1)); done")
        };
        let children: Vec<Child> = ["a", "b"]
            .iter()
            .map(|who| bench.guest(tender, &["-v", "./served:/v"], &script(who)).spawn().unwrap())
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        let log = fs::read_to_string(bench.path("served/log")).unwrap();
        assert_eq!(log.lines().count(), 400, "{tender}");
        for who in ["a", "b"] {
            let own: Vec<&str> = log.lines().filter(|line| line.starts_with(who)).collect();
            let expected: Vec<String> = (0..200).map(|number| format!("{who} line {number}")).collect();
            assert_eq!(own, expected, "{tender}");
        }
    }
}

#[test]
fn a_dead_server_is_an_error_and_no_hang() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    for tender in tenders() {
        let script =
            "exec 3< /v/f; echo ready; read x; cat /v/f; ls /v; echo a > /v/n; cat <&3; mkdir /v/m; echo on";
        let (mut guest, mut lines) = bench.ready(tender, script);
        let server = rustix::process::Pid::from_raw(server_of(&guest)).unwrap();
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        while is_alive(server.as_raw_nonzero().get()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        guest.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "on", "{tender}");
        let output = guest.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(text(&output.stderr).matches("Input/output error").count(), 5, "{tender}: {output:?}");
    }
}

/// A guest that waits for an answer of a server that is stopped is freed when that server is killed.
#[test]
fn a_server_that_dies_in_a_request_is_an_error() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    for tender in tenders() {
        let (mut guest, mut lines) = bench.ready(tender, "echo ready; read x; cat /v/f; echo on");
        let server = rustix::process::Pid::from_raw(server_of(&guest)).unwrap();
        rustix::process::kill_process(server, rustix::process::Signal::STOP).unwrap();
        // A worker may be in the middle of something.
        while state_of(server.as_raw_nonzero().get()) != Some('T') {
            std::thread::sleep(Duration::from_millis(1));
        }
        guest.stdin.take().unwrap().write_all(b"\n").unwrap();
        std::thread::sleep(Duration::from_millis(300));
        rustix::process::kill_process(server, rustix::process::Signal::KILL).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "on", "{tender}");
        let output = guest.wait_with_output().unwrap();
        assert!(text(&output.stderr).contains("Input/output error"), "{tender}: {output:?}");
    }
}

#[test]
fn a_server_ends_with_its_guest() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    for tender in tenders() {
        for is_killed in [false, true] {
            let (mut guest, _lines) = bench.ready(tender, "echo ready; read x; cat /v/f");
            let server = server_of(&guest);
            if is_killed {
                guest.kill().unwrap();
            } else {
                drop(guest.stdin.take());
            }
            guest.wait().unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while is_alive(server) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!is_alive(server), "{tender}: the server outlives its guest");
        }
    }
}

#[test]
fn named_volumes_keep_what_is_in_them() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!(text(&bench.volume(&["create", "made"]).stdout), "made\n");
    for (number, tender) in tenders().iter().enumerate() {
        let name = format!("v{number}");
        let mount = format!("{name}:/data");
        assert!(bench.run(tender, &["-v", &mount], "echo kept > /data/f").status.success());
        let again = bench.run(
            tender,
            &["--mount", &format!("src={name},dst=/data,ro")],
            "cat /data/f; echo > /data/g",
        );
        assert_eq!(text(&again.stdout), "kept\n");
        assert!(text(&again.stderr).contains("Read-only"));
        let inspected = text(&bench.volume(&["inspect", &name]).stdout);
        assert!(inspected.contains("_data") && inspected.contains(&name), "{inspected}");
        // In use, it stays.
        let mut guest = bench
            .guest(tender, &["-v", &mount], "echo ready; read x; cat /data/f")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(guest.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
        let refused = bench.volume(&["rm", &name]);
        assert!(!refused.status.success() && text(&refused.stderr).contains("uses it"), "{refused:?}");
        let pruned = text(&bench.volume(&["prune", "--force"]).stdout);
        assert!(!pruned.contains(&name), "{pruned}");
        let server = server_of(&guest);
        drop(guest.stdin.take());
        assert_eq!(lines.next().unwrap().unwrap(), "kept");
        guest.wait().unwrap();
        while is_alive(server) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let listed = bench.volume(&["ls", "-q"]);
        assert_eq!(text(&listed.stdout), format!("{name}\n"), "{listed:?}, pruned {pruned}");
        assert_eq!(text(&bench.volume(&["rm", &name]).stdout), format!("{name}\n"));
        assert!(!bench.path("data/husk/volumes").join(&name).exists());
    }
    let unknown = bench.volume(&["inspect", "made"]);
    assert!(text(&unknown.stderr).contains("no volume has that name"), "{unknown:?}");
    assert!(text(&bench.volume(&["create", "../x"]).stderr).contains("name is letters"));
    assert!(bench.volume(&["rm", "-f", "gone"]).status.success());
    assert!(!bench.volume(&["rm", "gone"]).status.success());
}

#[test]
fn a_guest_with_volumes_is_not_saved() {
    let Some(bench) = Bench::new() else { return };
    bench.served();
    let name = format!("volumes-{}", std::process::id());
    let mut guest = bench
        .guest("process", &["-v", "./served:/v", "--name", &name], "echo ready; read x; cat /v/f")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(guest.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let saved = bench.husk(&["snapshot", &name, "file"]).output().unwrap();
    assert_eq!(saved.status.code(), Some(125));
    assert!(text(&saved.stderr).contains("volumes"), "{saved:?}");
    guest.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "text");
    assert!(guest.wait().unwrap().success());
}

/// Prints a tree with all that a volume must keep; `w:PATH` writes a file first, `m:PATH` says whether PATH is a mount.
const LOOK: &str = r#"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static void look(const char *path) {
    struct stat s;
    char text[100] = "";
    if (lstat(path, &s)) { printf("%s: %s\n", path, strerror(errno)); return; }
    if (S_ISLNK(s.st_mode)) readlink(path, text, 99);
    if (S_ISREG(s.st_mode)) { int f = open(path, O_RDONLY); read(f, text, 99); close(f); }
    printf("%s %o %d:%d %d %ld [%s]\n", path, s.st_mode, s.st_uid, s.st_gid, S_ISDIR(s.st_mode) ? 0 : (int)s.st_nlink,
           (long)s.st_mtime, text);
    if (!S_ISDIR(s.st_mode)) return;
    struct dirent **all;
    int count = scandir(path, &all, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char below[1000];
        if (!strcmp(all[i]->d_name, ".") || !strcmp(all[i]->d_name, "..")) continue;
        snprintf(below, sizeof below, "%s/%s", path, all[i]->d_name);
        look(below);
    }
}
int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        char *path = arguments[i] + 2, line[1000], found[100];
        if (!strncmp(arguments[i], "w:", 2)) {
            int f = open(path, O_WRONLY | O_CREAT, 0600);
            if (f < 0) printf("%s: %s\n", path, strerror(errno)); else { write(f, "w", 1); close(f); }
        } else if (!strncmp(arguments[i], "m:", 2)) {
            FILE *mounts = fopen("/proc/self/mounts", "r");
            while (fgets(line, sizeof line, mounts))
                if (sscanf(line, "%*s %99s", found) == 1 && !strcmp(found, path)) printf("%s is mounted\n", path);
        } else look(arguments[i]);
    }
}
"#;

/// An image `look:1` with something at /data, which is a volume of it, as /fresh is.
fn with_image(bench: &Bench) {
    bench.compile("look", LOOK);
    let script = "mkdir -p root/data/sub root/other; cp look root/look; cd root/data
        echo one > f; echo two > sub/g; ln f sub/hard; ln -s ../data/f link; mkfifo pipe; mkdir locked; echo x > locked/x
        head -c 100000 /dev/zero > sparse; truncate -s 1M sparse; chmod 640 f; chmod 4755 sub/g; chmod 2750 .
        if [ $(id -u) = 0 ]; then chown -h 77:88 . f sub link; fi; chmod 500 locked
        touch -h -d @1000000000 link; touch -d @1000000001 f sub/g pipe sparse locked/x
        touch -d @1000000002 sub locked .; cd ..; tar -cf ../root.tar .; chmod 700 data/locked";
    let made = Command::new("sh").args(["-ec", script]).current_dir(bench.folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let changes = ["-c", "ENTRYPOINT [\"/look\"]", "-c", "VOLUME /data/", "-c", "VOLUME fresh"];
    let made = bench.husk(&[&["import", "root.tar", "look:1"], &changes[..]].concat()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn look(bench: &Bench, tender: &str, options: &[&str], arguments: &[&str]) -> String {
    let all = [&["run", "--tender", tender], options, &["look:1"], arguments].concat();
    let output = bench.husk(&all).output().unwrap();
    assert_eq!(text(&output.stderr), "", "{all:?}");
    text(&output.stdout)
}

#[test]
fn volumes_begin_with_what_the_image_has() {
    let Some(bench) = Bench::new() else { return };
    with_image(&bench);
    let owner = if rustix::process::geteuid().is_root() { "77:88" } else { "" };
    for tender in tenders() {
        let look = |options: &[&str], arguments: &[&str]| look(&bench, tender, options, arguments);
        // The image's own volumes are its own files, and mounts.
        let whole = look(&[], &["/data"]);
        assert!(whole.starts_with("/data 42750 ") && whole.lines().count() == 14, "{whole}");
        assert!(whole.contains(owner) && whole.contains("/data/sub/g 104755 "), "{whole}");
        assert_eq!(look(&[], &["m:/data", "m:/fresh", "m:/other"]), "/data is mounted\n/fresh is mounted\n");
        assert!(look(&[], &["w:/data/new", "/data/new"]).ends_with("[w]\n"));
        assert_eq!(look(&[], &["/data"]), whole, "nothing stays");
        // So is one without a name, and where nothing is, it is empty.
        for options in [&["-v", "/data"][..], &["--mount", "type=volume,dst=/data"]] {
            assert_eq!(look(options, &["m:/data", "/data"]), format!("/data is mounted\n{whole}"));
        }
        let mounts = look(&["-v", "/other/new"], &["m:/fresh", "m:/data", "/other/new", "w:/other/new/f"]);
        assert!(
            mounts.contains("/other/new 40755 0:0") && mounts.contains("/fresh is mounted\n/data"),
            "{mounts}"
        );
        let read_only = look(&["--mount", "type=volume,dst=/data,ro"], &["w:/data/new", "/data"]);
        assert_eq!(read_only, format!("/data/new: Read-only file system\n{whole}"));
        let empty = look(&["--mount", "type=volume,dst=/data,volume-nocopy"], &["/data"]);
        assert_eq!(empty.lines().count(), 1, "{empty}");

        // Memory is like the directory that it covers, and has nothing of it.
        let memory = look(&["--tmpfs", "/data", "--tmpfs", "/nowhere"], &["/data", "/nowhere"]);
        let kinds: Vec<&str> =
            memory.lines().filter_map(|line| line.rsplit_once(" 0 ")).map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["/data 42750 0:0", "/nowhere 41777 0:0"], "{memory}");

        // A new named volume is filled, at the first use.
        let (name, bare, late) = (format!("v-{tender}"), format!("bare-{tender}"), format!("late-{tender}"));
        let mount = format!("{name}:/data");
        let filled = look(&["-v", &mount], &["/data"]);
        assert_eq!(filled, whole);
        let changed = look(&["-v", &mount], &["w:/data/new", "/data/new"]);
        assert_eq!(look(&["-v", &mount], &["/data/new"]), changed);
        assert_eq!(
            look(&["-v", &format!("{name}:/other")], &["/other/new"]).replace("/other", "/data"),
            changed
        );
        let nocopy = look(&["-v", &format!("{bare}:/data:nocopy")], &["/data"]);
        assert_eq!(nocopy.lines().count(), 1, "{nocopy}");
        assert_eq!(look(&["-v", &format!("{bare}:/nowhere")], &["/nowhere"]).lines().count(), 1);
        assert_eq!(look(&["-v", &format!("{bare}:/data:ro")], &["/data"]), whole, "it was empty still");
        assert!(bench.volume(&["create", &late]).status.success());
        assert_eq!(look(&["--mount", &format!("src={late},dst=/data")], &["/data"]), whole);
        for name in [name, bare, late] {
            assert!(bench.volume(&["rm", &name]).status.success());
        }
    }
}

#[test]
fn a_volume_is_filled_once_and_wholly() {
    let Some(bench) = Bench::new() else { return };
    with_image(&bench);
    let whole = look(&bench, "process", &[], &["/data"]);
    // Several at once.
    let start = || {
        let mut command = bench.husk(&["run", "-v", "many:/data", "look:1", "/data"]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let guests: Vec<Child> = (0..4).map(|_| start()).collect();
    for guest in guests {
        assert_eq!(text(&guest.wait_with_output().unwrap().stdout), whole);
    }
    // A crash before the copy was whole, and one while it was moved in.
    let folder = bench.path("data/husk/volumes");
    fs::create_dir_all(folder.join("torn/_data")).unwrap();
    fs::create_dir_all(folder.join("torn/copy/sub")).unwrap();
    fs::write(folder.join("torn/copy/f"), "half").unwrap();
    assert_eq!(look(&bench, "process", &["-v", "torn:/data"], &["/data"]), whole);
    fs::rename(folder.join("torn/_data"), folder.join("torn/new")).unwrap();
    fs::create_dir(folder.join("torn/_data")).unwrap();
    fs::rename(folder.join("torn/new/sub"), folder.join("torn/_data/sub")).unwrap();
    let mended = look(&bench, "process", &["-v", "torn:/data"], &["/data"]);
    // But for the time of the directory that was moved from.
    assert_eq!(mended.split_once('\n').unwrap().1, whole.split_once('\n').unwrap().1);
    assert!(!folder.join("torn/new").exists() && !folder.join("torn/copy").exists());
}
