//! `husk shrink`: what is left still does what it did, and the rest is gone.

mod common;

use common::{Bench, in_path, tenders, text};
use std::fs;
use std::process::Command;

#[test]
fn what_a_trace_used_stays() {
    let Some(bench) = Bench::new() else { return };
    bench.compile(
        "reads",
        r#"
#include <stdio.h>
int main(int argc, char **argv) {
    char line[100];
    FILE *file = fopen(argv[1], "r");
    if (!file) { puts("missing"); return 3; }
    puts(fgets(line, sizeof line, file));
    return 0;
}
"#,
    );
    let root = bench.path("root");
    fs::create_dir_all(root.join("data/deep")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::copy(bench.path("reads"), root.join("reads")).unwrap();
    for name in ["used", "deep/linked", "unused"] {
        fs::write(root.join("data").join(name), format!("text of {name}\n")).unwrap();
    }
    std::os::unix::fs::symlink("deep/linked", root.join("data/link")).unwrap();
    for tender in tenders() {
        bench.must(&[
            "shrink",
            "--rootfs",
            "root",
            "/reads",
            "--tender",
            tender,
            "--no-fork",
            "--trace",
            "/reads /data/used",
            "--trace",
            "reads '/data/link'",
            "--image",
            "small.erofs",
            "--report",
            "report",
            "--format",
            "json",
            "-o",
            "app",
        ]);
        let run = |path: &str| {
            let output = Command::new(bench.path("app")).arg(path).output().unwrap();
            (output.status.code(), text(&output.stdout))
        };
        assert_eq!(run("/data/used"), (Some(0), "text of used\n\n".to_owned()));
        assert_eq!(run("/data/link"), (Some(0), "text of deep/linked\n\n".to_owned()));
        assert_eq!(run("/data/unused"), (Some(3), "missing\n".to_owned()));
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(bench.path("report")).unwrap()).unwrap();
        let kept = |path: &str| {
            let lines = report["paths"].as_array().unwrap();
            lines.iter().find(|line| line["path"] == path).unwrap()["kept"].as_bool().unwrap()
        };
        let paths = ["/data/used", "/data/link", "/data/deep/linked", "/data/unused"];
        assert_eq!(paths.map(kept), [true, true, true, false]);
    }
}

#[test]
fn a_strict_guest_refuses_what_it_was_not_seen_to_do() {
    let Some(bench) = Bench::new() else { return };
    bench.compile(
        "calls",
        r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int argc, char **argv) {
    if (argc > 1) {
        int made = memfd_create("x", 0);
        printf("%s\n", made >= 0 ? "made" : errno == ENOSYS ? "ENOSYS" : "other");
    }
    puts("end");
    return 0;
}
"#,
    );
    for (strict, said, code) in [
        (&[][..], "made\nend\n", Some(0)),
        (&["--strict"], "ENOSYS\nend\n", Some(0)),
        (&["--strict=kill"], "", Some(159)),
    ] {
        bench
            .must(&[&["shrink", "./calls", "--no-fork", "--trace", "./calls", "-o", "app"], strict].concat());
        for tender in tenders() {
            let tender = format!("--husk-tender={tender}");
            let run =
                |more: &[&str]| Command::new(bench.path("app")).arg(&tender).args(more).output().unwrap();
            assert_eq!(text(&run(&[]).stdout), "end\n", "{strict:?}");
            let output = run(&["x"]);
            assert_eq!(
                (text(&output.stdout).as_str(), output.status.code()),
                (said, code),
                "{strict:?} {tender}"
            );
            let output = run(&["--husk-strict", "x"]);
            assert_eq!(text(&output.stdout), "ENOSYS\nend\n", "the starter may ask for it");
        }
    }
    // Without a trace there is no profile.
    let output = bench.husk(&["build", "--program", "./calls", "--strict", "-o", "x"]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    fs::write(bench.path("profile"), "write # out\nbrk\nmistake\n").unwrap();
    let output =
        bench.husk(&["build", "--program", "./calls", "--profile", "profile", "-o", "x"]).output().unwrap();
    assert!(text(&output.stderr).contains("line 3: mistake"), "{}", text(&output.stderr));
}

#[test]
fn a_root_that_is_not_enough_is_noticed() {
    let Some(bench) = Bench::new() else { return };
    // Opens one file in its first run and another in each later one, as by a clock: a trace cannot know.
    bench.compile(
        "moody",
        r#"
#include <stdio.h>
#include <time.h>
int main(void) {
    char path[40];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(path, sizeof path, "/data/%ld", now.tv_nsec / 1000 % 60);
    return fopen(path, "r") ? 0 : 1;
}
"#,
    );
    let root = bench.path("root/data");
    fs::create_dir_all(&root).unwrap();
    fs::copy(bench.path("moody"), bench.path("root/moody")).unwrap();
    for microsecond in 0..60 {
        fs::write(root.join(microsecond.to_string()), "x").unwrap();
    }
    let arguments = ["shrink", "--rootfs", "root", "/moody", "--trace", "/moody", "-o", "app"];
    // One time in sixty the check meets the trace's file again.
    let refused = (0..20).any(|_| {
        let output = bench.husk(&arguments).output().unwrap();
        output.status.code() == Some(1) && text(&output.stderr).contains("exit code 0 became 1")
    });
    assert!(refused);
    bench.must(&[&arguments[..], &["--keep", "/data"]].concat());
}

#[test]
fn python_runs_from_what_is_left() {
    let Some(bench) = Bench::new() else { return };
    if !in_path("python3") {
        eprintln!("skipped: there is no python3");
        return;
    }
    bench.must(&[
        "shrink",
        "python3",
        "--trace",
        "python3 -c 'import json; print(json.dumps({1: 2}))'",
        "-o",
        "app",
    ]);
    let output = Command::new(bench.path("app"))
        .args(["-c", "import json; print(json.loads('[3]')[0])"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "3\n", "{}", text(&output.stderr));
    let size = fs::metadata(bench.path("app")).unwrap().len();
    assert!(size <= 40 << 20, "{size} bytes");
}

/// An image of the store is made smaller by what it runs, and keeps its command, environment and working directory.
#[test]
fn a_container_image_becomes_smaller() {
    let Some(bench) = Bench::new() else { return };
    bench.compile(
        "reads",
        r#"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char line[100] = "missing", folder[100];
    FILE *file = fopen(argv[1], "r");
    if (file) fgets(line, sizeof line, file);
    printf("%s %s %s\n", line, getenv("COLOUR"), getcwd(folder, sizeof folder));
    return 0;
}
"#,
    );
    let context = bench.path("context");
    fs::create_dir_all(&context).unwrap();
    fs::copy(bench.path("reads"), context.join("reads")).unwrap();
    fs::write(context.join("used"), "used").unwrap();
    fs::write(context.join("unused"), "unused").unwrap();
    let text_of = "FROM scratch\nCOPY reads /bin/reads\nCOPY used unused /data/\nENV COLOUR=red\nWORKDIR /data\n\
                   CMD [\"/bin/reads\", \"/data/used\"]\n";
    fs::write(context.join("Containerfile"), text_of).unwrap();
    bench.must(&["build", "-t", "whole", "context"]);
    bench.must(&["shrink", "whole", "--trace", "/bin/reads /data/used", "--report", "report", "-o", "app"]);
    let output = Command::new(bench.path("app")).output().unwrap();
    assert_eq!(text(&output.stdout), "used red /data\n");
    let report = fs::read_to_string(bench.path("report")).unwrap();
    assert!(report.lines().any(|line| line.starts_with('-') && line.contains(" /data/unused ")), "{report}");
    assert!(report.lines().any(|line| line.starts_with('+') && line.contains(" /data/used ")), "{report}");
}
