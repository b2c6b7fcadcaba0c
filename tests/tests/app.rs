//! Executables that `husk build` makes: they run by themselves, are the same for the same inputs, and refuse to run when
//! they are not whole.

mod common;

use common::{Bench, tenders, text};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Tells what it was given, copies its input, and ends with the number of its arguments.
const TELL: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char buffer[4096];
    size_t count;
    for (int at = 0; at < argc; at++) printf("[%s]", argv[at]);
    printf(" A=%s uid=%d", getenv("A") ? getenv("A") : "-", getuid());
    printf(" cwd=%s\n", getcwd(buffer, sizeof buffer));
    while ((count = fread(buffer, 1, sizeof buffer, stdin)) > 0) fwrite(buffer, 1, count, stdout);
    return argc;
}
"#;

fn bench() -> Option<Bench> {
    let bench = Bench::new()?;
    bench.compile("tell", TELL);
    Some(bench)
}

/// A command without a `husk` in reach.
fn alone(app: &Path) -> Command {
    let mut command = Command::new(app);
    command.env_clear().env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
    command
}

#[test]
fn it_runs_without_husk_from_anywhere() {
    let Some(bench) = bench() else { return };
    bench.must(&["build", "--program", "./tell", "--no-fork", "-o", "app"]);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("renamed");
    fs::copy(bench.path("app"), &copy).unwrap();
    let link = elsewhere.path().join("link");
    symlink("renamed", &link).unwrap();
    let odd = |name: &str| {
        let mut command = alone(&copy);
        command.arg0(name);
        command
    };
    let mut relative = alone(Path::new("./renamed"));
    relative.current_dir(elsewhere.path());
    for mut command in [alone(&copy), alone(&link), odd(""), odd("/nowhere/x"), odd("--husk-info"), relative]
    {
        let output = command.arg("a").output().unwrap();
        assert_eq!(text(&output.stdout), "[./tell][a] A=- uid=0 cwd=/\n", "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn both_tenders_and_forks_give_the_same() {
    let Some(bench) = bench() else { return };
    for fork in [&[][..], &["--no-fork"]] {
        bench.must(&[&["build", "--program", "./tell", "-o", "app"], fork].concat());
        for tender in tenders() {
            let mut child = alone(&bench.path("app"))
                .args([&format!("--husk-tender={tender}"), "x"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(b"some\ninput\n").unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(
                text(&output.stdout),
                "[./tell][x] A=- uid=0 cwd=/\nsome\ninput\n",
                "{tender} {fork:?}"
            );
            assert_eq!(output.status.code(), Some(2));
        }
    }
}

#[test]
fn options_are_defaults_or_frozen() {
    let Some(bench) = bench() else { return };
    bench.must(&[
        "build",
        "--program",
        "./tell",
        "--no-fork",
        "-o",
        "app",
        "-e",
        "A=built",
        "-u",
        "5:6",
        "-w",
        "/tmp",
        "--",
        "one",
    ]);
    let app = bench.path("app");
    let run = |arguments: &[&str]| text(&alone(&app).args(arguments).output().unwrap().stdout);
    assert_eq!(run(&["two"]), "[./tell][one][two] A=built uid=5 cwd=/tmp\n");
    assert_eq!(run(&["--husk-env=A=given", "--husk-user=7"]), "[./tell][one] A=given uid=7 cwd=/tmp\n");
    assert_eq!(
        run(&["--husk-end", "--husk-env=A=x"]),
        "[./tell][one][--husk-env=A=x] A=built uid=5 cwd=/tmp\n"
    );
    // What the starter's environment says is under what the manifest says.
    let output = alone(&app).env("A", "outer").output().unwrap();
    assert!(text(&output.stdout).contains("A=built"));

    bench.must(&["build", "--program", "./tell", "--no-fork", "--freeze", "all", "-o", "frozen"]);
    for arguments in [&["more"][..], &["--husk-env=A=x"], &["--husk-memory=1g"], &["--husk-trace"]] {
        let output = alone(&bench.path("frozen")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{arguments:?}");
        assert!(text(&output.stderr).contains("frozen"), "{}", text(&output.stderr));
    }
    assert!(text(&alone(&bench.path("frozen")).arg("--husk-info").output().unwrap().stdout).contains("tell"));
    for wrong in ["--husk-nonsense", "--husk-cpus=0", "--husk-cpus"] {
        let output = alone(&app).arg(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert!(text(&output.stderr).contains(wrong));
    }
    let output =
        bench.husk(&["build", "--program", "./tell", "--freeze", "nothing", "-o", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(!bench.path("x").exists());
}

#[test]
fn signals_reach_the_guest() {
    let Some(bench) = bench() else { return };
    bench.compile(
        "wait",
        r#"
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static void caught(int signal) { write(1, "caught\n", 7); _exit(9); }
int main(void) { signal(SIGTERM, caught); puts("ready"); fflush(stdout); for (;;) pause(); }
"#,
    );
    for (name, fork) in [("forks", &[][..]), ("alone", &["--no-fork"])] {
        bench.must(&[&["build", "--program", "./wait", "-o", name], fork].concat());
        for (signal, code) in
            [(rustix::process::Signal::TERM, Some(9)), (rustix::process::Signal::KILL, None)]
        {
            let mut child = alone(&bench.path(name)).stdout(Stdio::piped()).spawn().unwrap();
            let mut ready = [0; 6];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
            let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), code, "{name}");
            assert!(code.is_some() || status.signal() == Some(9));
        }
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let Some(bench) = bench() else { return };
    let program = bench.path("tell");
    let arguments = ["-e", "A=1", "--", "x"];
    let built =
        bench.husk(&["build", "-o", "first", "--program"]).arg(&program).args(arguments).output().unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    // Another second, directory, cache, umask, locale and time zone.
    std::thread::sleep(Duration::from_millis(1100));
    let elsewhere = tempfile::tempdir().unwrap();
    let second = Command::new("sh")
        .args(["-c", "umask 077; exec \"$0\" \"$@\""])
        .arg(&bench.husk)
        .args(["build", "-o", "second", "--program"])
        .arg(&program)
        .args(arguments)
        .current_dir(elsewhere.path())
        .env("XDG_CACHE_HOME", elsewhere.path().join("other-cache"))
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "Pacific/Auckland")
        .output()
        .unwrap();
    assert!(second.status.success(), "{}", text(&second.stderr));
    let second = elsewhere.path().join("second");
    assert!(fs::read(bench.path("first")).unwrap() == fs::read(&second).unwrap());
    let mode = fs::metadata(&second).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the mode is the user's, by the umask");
}

/// Where the parts of an executable lie: front, root image, manifest.
fn parts(app: &Path) -> [(u64, u64); 3] {
    let output = alone(app).arg("--husk-info=json").output().unwrap();
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |part: &str, field: &str| info[part][field].as_u64().unwrap_or(0);
    ["front", "root", "manifest"].map(|part| (number(part, "offset"), number(part, "bytes")))
}

fn write_app(path: &Path, bytes: &[u8]) {
    // A file that was just open for writing may still be so in a child of another test, and then cannot be executed.
    let new: PathBuf = path.with_extension("new");
    fs::write(&new, bytes).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, path).unwrap();
}

fn output_of(mut command: Command) -> std::process::Output {
    for _ in 0..50 {
        match command.output() {
            Err(error) if error.raw_os_error() == Some(26) => std::thread::sleep(Duration::from_millis(20)),
            other => return other.unwrap(),
        }
    }
    panic!("the text file stays busy")
}

#[test]
fn a_truncated_file_is_refused() {
    let Some(bench) = bench() else { return };
    bench.must(&["build", "--program", "./tell", "--no-fork", "-o", "app"]);
    let whole = fs::read(bench.path("app")).unwrap();
    let [(_, front), (root, root_len), (manifest, _)] =
        parts(&bench.path("app")).map(|(at, len)| (at as usize, len as usize));
    let cut = bench.path("cut");
    for len in [
        front + 1,
        root,
        root + 1,
        root + root_len / 2,
        root + root_len,
        manifest,
        manifest + 1,
        whole.len() - 1,
    ] {
        write_app(&cut, &whole[..len]);
        for argument in ["x", "--husk-info", "--husk-verify"] {
            let mut command = alone(&cut);
            command.arg(argument);
            let output = output_of(command);
            assert_eq!(output.status.code(), Some(125), "{len} {argument}");
            assert!(text(&output.stderr).contains("cut off"), "{len}: {}", text(&output.stderr));
            assert!(output.stdout.is_empty());
        }
    }
    write_app(&cut, &[&whole[..], b"x"].concat());
    let output = output_of(alone(&cut));
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("added"));
}

#[test]
fn an_altered_file_is_refused() {
    let Some(bench) = bench() else { return };
    bench.must(&["build", "--program", "./tell", "--no-fork", "-o", "app"]);
    bench.must(&["build", "--program", "./tell", "--no-fork", "--verify", "-o", "careful"]);
    for (name, always) in [("app", false), ("careful", true)] {
        let whole = fs::read(bench.path(name)).unwrap();
        let verified = alone(&bench.path(name)).arg("--husk-verify").output().unwrap();
        assert!(verified.status.success());
        let [(_, front), (root, root_len), (manifest, manifest_len)] =
            parts(&bench.path(name)).map(|(at, len)| (at as usize, len as usize));
        let altered = bench.path("altered");
        let run = |argument: &str| {
            let mut command = alone(&altered);
            command.arg(argument);
            output_of(command)
        };
        // Every region of the file: manifest bytes are noticed at each start, others when they are compared.
        let step = root_len / 13;
        let in_root = (0..13).map(|at| root + at * step);
        let in_manifest = (0..manifest_len).step_by(1 + manifest_len / 16).map(|at| manifest + at);
        let ends = [root + root_len - 1, manifest - 1, manifest + manifest_len - 1, front, front - 1];
        // The front's first pages are its code for this very check; its data, kernel and tables lie behind.
        let in_front = [front / 2, front / 3];
        for at in in_root.chain(in_manifest).chain(ends).chain(in_front) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            write_app(&altered, &bytes);
            let output = run("--husk-verify");
            assert_ne!(output.status.code(), Some(0), "byte {at} of {name}");
            if (manifest..manifest + manifest_len).contains(&at) || always && at >= front {
                let output = run("x");
                assert_eq!(output.status.code(), Some(125), "byte {at} of {name}");
                assert!(text(&output.stderr).contains("refused"));
                assert!(output.stdout.is_empty());
            }
        }
    }
}

#[test]
fn every_changed_bit_of_the_note_is_refused() {
    let Some(bench) = bench() else { return };
    bench.must(&["build", "--program", "./tell", "--no-fork", "-o", "app"]);
    let whole = fs::read(bench.path("app")).unwrap();
    let note = whole.windows(8).position(|bytes| bytes == b"Husk\0\0\0\0").unwrap() + 8;
    let altered = bench.path("altered");
    for byte in (0..64).step_by(3) {
        let mut bytes = whole.clone();
        bytes[note + byte] ^= 1 << (byte % 8);
        write_app(&altered, &bytes);
        let output = output_of(alone(&altered));
        assert_eq!(output.status.code(), Some(125), "byte {byte}");
        assert!(text(&output.stderr).contains("refused"));
    }
}

#[test]
fn an_executable_is_no_front() {
    let Some(bench) = bench() else { return };
    bench.must(&["build", "--program", "./tell", "--no-fork", "-o", "app"]);
    // Its arguments are its program's, `run` and `build` too.
    let output = alone(&bench.path("app")).args(["run", "/bin/true"]).output().unwrap();
    assert_eq!(text(&output.stdout), "[./tell][run][/bin/true] A=- uid=0 cwd=/\n");
}
