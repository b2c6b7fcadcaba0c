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
