//! What users of other container tools type: options of `husk run` for images, and `husk inspect`.

mod common;

use common::{Bench, tenders, text};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A store with an image whose program says what it got, and ends on SIGQUIT with status 3.
struct Store(Bench);

impl Store {
    fn new() -> Option<Self> {
        let bench = Bench::new()?;
        let source = r#"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static void quit(int signal) { (void)signal; write(1, "quit\n", 5); _exit(3); }
int main(int count, char **arguments) {
    char name[99];
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (count > 1 && !strcmp(arguments[1], "wait")) {
        signal(SIGQUIT, quit);
        puts("ready");
        for (;;) pause();
    }
    if (count > 1 && !strcmp(arguments[1], "sleep")) {
        puts("ready");
        for (;;) pause();
    }
    if (count > 1 && !strcmp(arguments[1], "abort")) abort();
    if (count > 1 && !strcmp(arguments[1], "orphan")) {
        int status, grandchild[2];
        pid_t child;
        pipe(grandchild);
        if (!(child = fork())) {
            if (!fork()) {
                close(grandchild[0]);
                sleep(1);
                printf("orphan of %d\n", getppid());
                exit(0);
            }
            exit(0);
        }
        close(grandchild[1]);
        waitpid(child, &status, 0);
        printf("%d below %d in group %d\n", getpid(), getppid(), getpgrp());
        read(grandchild[0], &status, 1);
        usleep(300000);
        printf("orphan is %s\n", access("/proc/4/stat", F_OK) ? "gone" : "a zombie");
        exit(9);
    }
    gethostname(name, sizeof name);
    printf("%s %s\n", name, getenv("HOSTNAME"));
    for (int i = 1; i < count; i++) printf("[%s]", arguments[i]);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "T_", 2) == 0) printf(" %s", *entry);
    puts("");
}
"#;
        bench.compile("say", source);
        fs::create_dir(bench.path("root")).unwrap();
        fs::create_dir(bench.path("runtime")).unwrap();
        fs::copy(bench.path("say"), bench.path("root/say")).unwrap();
        let store = Self(bench);
        let tar = Command::new("tar")
            .args(["-C", "root", "-cf", "root.tar", "."])
            .current_dir(store.0.folder.path())
            .status();
        assert!(tar.unwrap().success());
        let changes = [
            "-c",
            "ENTRYPOINT [\"/say\"]",
            "-c",
            "CMD [\"own\"]",
            "-c",
            "ENV T_A=image",
            "-c",
            "STOPSIGNAL SIGQUIT",
        ];
        let output =
            store.husk(&[&["import", "root.tar", "said:1"], &changes[..]].concat()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Some(store)
    }

    fn husk(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.husk(arguments);
        command
            .env("XDG_DATA_HOME", self.0.path("data"))
            .env("XDG_RUNTIME_DIR", self.0.path("runtime"))
            .env("T_HOST", "of the host");
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.husk(arguments).output().unwrap()
    }

    fn says(&self, arguments: &[&str], expected: &str) {
        let output = self.output(&[&["run"], arguments].concat());
        assert_eq!(text(&output.stdout), expected, "{arguments:?}: {}", text(&output.stderr));
    }

    fn refuses(&self, arguments: &[&str], code: i32, phrase: &str) {
        let output = self.output(arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(phrase), "{arguments:?}: {error}");
    }
}

#[test]
fn variables_come_in_the_order_of_docker() {
    let Some(store) = Store::new() else { return };
    let file = "# a comment\n\n  T_B=b c=d \nT_A=file\nT_HOST\nT_NONE\nT_E=\nT_LAST=end";
    fs::write(store.0.path("first.env"), file).unwrap();
    fs::write(store.0.path("second.env"), "T_B=second\n").unwrap();
    let host = ["--hostname", "box", "--rm"];
    let run = |arguments: &[&str], expected: &str| {
        store.says(&[&host[..], arguments].concat(), &format!("box box\n{expected}\n"));
    };
    run(&["said:1"], "[own] T_A=image");
    run(&["--platform", "linux/amd64", "said:1", "x", "y"], "[x][y] T_A=image");
    run(
        &["-e", "T_A=given", "--env-file", "first.env", "said:1"],
        "[own] T_A=given T_B=b c=d  T_HOST=of the host T_E= T_LAST=end",
    );
    run(
        &["--env-file=first.env", "--env-file", "second.env", "-e", "T_HOST", "said:1", ""],
        "[] T_A=file T_B=second T_HOST=of the host T_E= T_LAST=end",
    );
    // A program of the host has the caller's environment; a name alone changes nothing of it.
    let own = store.0.path("say");
    let own = own.to_str().unwrap();
    let output = store.output(&[
        "run",
        "-e",
        "T_HOST",
        "-e",
        "T_NONE",
        "--env-file",
        "second.env",
        "--hostname",
        "box",
        own,
    ]);
    assert_eq!(text(&output.stdout).lines().nth(1).unwrap().trim(), "T_B=second T_HOST=of the host");
    assert!(text(&output.stdout).starts_with("box "), "{}", text(&output.stdout));

    fs::write(store.0.path("bad.env"), "GOOD=1\nno name=2\n").unwrap();
    store.refuses(
        &["run", "--env-file", "bad.env", "said:1"],
        125,
        "bad.env: no name=2: a line is NAME=VALUE",
    );
    store.refuses(&["run", "--env-file", "none.env", "said:1"], 125, "none.env");
    fs::write(store.0.path("big.env"), vec![b'#'; 100_000]).unwrap();
    store.refuses(&["run", "--env-file", "big.env", "said:1"], 125, "64 KiB");
    store.refuses(
        &["run", "--hostname", "no_name", "said:1"],
        125,
        "--hostname: the value is not understood",
    );
    store.refuses(
        &["run", "--platform", "linux/arm64", "said:1"],
        125,
        "--platform: the value is not understood",
    );
}

#[test]
fn an_image_is_stopped_as_it_wants() {
    let Some(store) = Store::new() else { return };
    for tender in tenders() {
        let mut command = store.husk(&["run", "--tender", tender, "--name", "only", "said:1", "wait"]);
        let mut guest = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(guest.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        store.refuses(&["run", "--name", "only", "said:1"], 125, "a guest is called only already");
        let killed = Command::new("kill").arg(guest.id().to_string()).status();
        assert!(killed.unwrap().success());
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), guest.wait().unwrap().code()), ("quit\n", Some(3)), "{tender}");
        // The name is free again.
        let again = store.output(&["run", "--name", "only", "said:1"]);
        assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    }
}

/// A guest of the image that has said `ready`, and the rest of what it says.
fn sleeper(store: &Store, options: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut command = store.husk(&[&["run"], options, &["said:1", "sleep"]].concat());
    let mut guest = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(guest.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (guest, out)
}

fn kill(guest: &Child, signal: &str) {
    let killed = Command::new("kill").args(["-s", signal, &guest.id().to_string()]).status();
    assert!(killed.unwrap().success());
}

#[test]
fn process_1_of_an_image_is_told_what_it_handles_only() {
    let Some(store) = Store::new() else { return };
    for tender in tenders() {
        let (mut guest, _out) = sleeper(&store, &["--tender", tender]);
        for signal in ["TERM", "INT", "QUIT", "HUP", "USR1", "ALRM"] {
            kill(&guest, signal);
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        assert_eq!(guest.try_wait().unwrap(), None, "{tender}");
        kill(&guest, "KILL");
        guest.wait().unwrap();
        // It is not spared its own faults: abort(3) ends in one.
        let output = store.output(&["run", "--tender", tender, "said:1", "abort"]);
        assert_eq!(output.status.code(), Some(139), "{tender}: {output:?}");
        // Below an init it is a process like others.
        for (signal, code) in [("INT", 130), ("USR1", 138)] {
            let (mut guest, _out) = sleeper(&store, &["--tender", tender, "--init"]);
            kill(&guest, signal);
            assert_eq!(guest.wait().unwrap().code(), Some(code), "{tender}");
        }
        let output = store.output(&["run", "--tender", tender, "--init", "said:1", "abort"]);
        assert_eq!(output.status.code(), Some(134), "{tender}: {output:?}");
        let output = store.output(&["run", "--tender", tender, "--init", "said:1", "orphan"]);
        assert_eq!(
            (text(&output.stdout).as_str(), output.status.code()),
            ("2 below 1 in group 2\norphan of 1\norphan is gone\n", Some(9)),
            "{tender}: {output:?}"
        );
        let output = store.output(&["run", "--tender", tender, "--init", "--entrypoint", "/none", "said:1"]);
        assert_eq!(output.status.code(), Some(127), "{tender}: {output:?}");
        // A program of the host is nobody's container.
        let say = store.0.path("say");
        let mut command = store.husk(&["run", "--tender", tender, say.to_str().unwrap(), "sleep"]);
        let mut guest = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(guest.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        kill(&guest, "TERM");
        assert_eq!(guest.wait().unwrap().code(), Some(143), "{tender}");
    }
    store.refuses(&["run", "--init", "--no-fork", "said:1"], 125, "--init");
}

#[test]
fn guests_are_stopped_gently_and_then_by_force() {
    let Some(store) = Store::new() else { return };
    for tender in tenders() {
        let options = ["--tender", tender, "--name"];
        let mut command = store.husk(&[&["run"], &options[..], &["gentle", "said:1", "wait"]].concat());
        let mut gentle = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(gentle.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let (mut stubborn, _out) = sleeper(&store, &[&options[..], &["stubborn"]].concat());
        let output = store.output(&["stop", "--time", "1", "gentle", "nobody", "stubborn"]);
        assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("gentle\nstubborn\n", Some(1)));
        assert!(text(&output.stderr).contains("nobody: no such guest runs"), "{}", text(&output.stderr));
        assert_eq!(gentle.wait().unwrap().code(), Some(3), "{tender}");
        assert_eq!(stubborn.wait().unwrap().signal(), Some(9), "{tender}");
        let left = store.output(&["ps"]);
        assert!(!text(&left.stdout).contains("stubborn"), "{}", text(&left.stdout));
    }
}

#[test]
fn an_image_is_fetched_when_it_was_asked_for() {
    let Some(store) = Store::new() else { return };
    // The name leads nowhere, so fetching fails, and what the store has runs without it.
    let local = "127.0.0.1:1/said:1";
    assert_eq!(store.output(&["tag", "said:1", local]).status.code(), Some(0));
    for when in ["missing", "never", "missing"] {
        let output = store.output(&["run", "--pull", when, local]);
        assert_eq!(output.status.code(), Some(0), "{when}: {}", text(&output.stderr));
    }
    store.refuses(&["run", "--image", "--pull", "always", local], 125, "refused");
    store.refuses(&["run", "--image", "--pull=never", "127.0.0.1:1/other"], 125, "--pull=never");
    store.refuses(&["run", "--image", "--pull=missing", "127.0.0.1:1/other"], 125, "refused");
    store.refuses(&["run", "--pull=now", local], 125, "--pull=now: the value is not understood");
}

#[test]
fn images_are_inspected() {
    let Some(store) = Store::new() else { return };
    assert_eq!(store.output(&["tag", "said:1", "other:2"]).status.code(), Some(0));
    let output = store.output(&["inspect", "other:2"]);
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let image = &all[0];
    assert_eq!(image["RepoTags"].as_array().unwrap().len(), 2);
    assert_eq!(image["Config"]["Entrypoint"][0], "/say");
    assert_eq!(image["Config"]["StopSignal"], "SIGQUIT");
    assert_eq!(image["RootFS"]["Layers"].as_array().unwrap().len(), 1);
    let id = image["Id"].as_str().unwrap();
    let by_id: Value = serde_json::from_slice(&store.output(&["inspect", &id[7..19]]).stdout).unwrap();
    assert_eq!(by_id, all);
    let listed: Value =
        serde_json::from_slice(&store.output(&["images", "--format", "json"]).stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["Id"], image["Id"]);
    let both = store.output(&["inspect", "none:1", "said:1"]);
    assert_eq!(both.status.code(), Some(1));
    assert!(text(&both.stderr).contains("none:1: there is no such image"));
    assert_eq!(serde_json::from_slice::<Value>(&both.stdout).unwrap().as_array().unwrap().len(), 1);
}
