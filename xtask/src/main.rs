//! Chores of the workspace: `cargo xtask test` passes all tests, `cargo xtask docs` writes the generated tables,
//! `cargo xtask bench` compares with native processes and other sandboxes.
#![forbid(unsafe_code)]

mod docs;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    println!("+ {program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} {}: {status}", arguments.join(" "))) }
}

/// Programs that tests compare with, by what Debian calls their packages. Without root or apt-get the tests that need one
/// count as skipped and say so.
const DEBIAN: &[(&str, &str)] = &[
    ("mkfs.erofs", "erofs-utils"),
    ("musl-gcc", "musl-tools"),
    ("zstd", "zstd"),
    ("lua5.4", "lua5.4"),
    ("sqlite3", "sqlite3"),
    ("dot", "graphviz"),
    ("busybox", "busybox-static"),
    ("nginx", "nginx-light"),
    ("redis-server", "redis-server"),
    ("mmdebstrap", "mmdebstrap"),
    ("umoci", "umoci"),
    ("skopeo", "skopeo"),
    ("runc", "runc"),
    ("docker-registry", "docker-registry"),
    ("htpasswd", "apache2-utils"),
    ("openssl", "openssl"),
    ("podman", "podman"),
];

/// What chaff, a workspace of its own, links: a file and the package that brings it.
const CHAFF: &[(&str, &str)] = &[
    ("/usr/lib/llvm-19/bin/clang", "clang-19"),
    ("/usr/lib/llvm-19/bin/llvm-config", "llvm-19-dev"),
    ("/usr/lib/llvm-19/lib/libPolly.a", "libpolly-19-dev"),
    ("/usr/include/z3.h", "libz3-dev"),
];

fn in_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
}

fn install() {
    let programs = DEBIAN.iter().filter(|(program, _)| !in_path(program)).map(|(_, package)| *package);
    let missing: Vec<&str> = programs.chain(chaff_lacks()).collect();
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if missing.is_empty() || !is_root || !in_path("apt-get") {
        return;
    }
    // A failure is told by the tests that need the package.
    let _ = run("apt-get", &["update", "-qq"]);
    let _ =
        run("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], missing.as_slice()].concat());
}

fn chaff_lacks() -> impl Iterator<Item = &'static str> {
    CHAFF.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| *package)
}

/// Chaff's formatting, lints and tests, or the reason for which they cannot run.
fn chaff() -> Result<Option<String>, String> {
    let missing: Vec<&str> = chaff_lacks().collect();
    if !missing.is_empty() {
        return Ok(Some(format!("chaff needs Debian's {}", missing.join(" "))));
    }
    run("chaff/ci", &[])?;
    Ok(None)
}

fn test() -> Result<(), String> {
    install();
    docs::check(&root())?;
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(&cargo, &["build", "--release", "--workspace"])?;
    run(&cargo, &["test", "--workspace"])?;
    let skipped = chaff()?;
    // Native runs inherit what is ignored here (a job in the background ignores SIGINT), and guests do not.
    let mut options = vec!["--default-signal", "target/release/husk-tests"];
    options.extend(skipped.iter().flat_map(|reason| ["--skipped", reason]));
    run("env", &options)
}

/// Builds everything and runs the benchmark with the arguments that follow.
fn bench(arguments: &[String]) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    run(&cargo, &["build", "--release", "--workspace"])?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run("target/release/husk-bench", &arguments)
}

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let result = match verb.as_str() {
        "test" => test(),
        "docs" => docs::write(&root()),
        "bench" => bench(&std::env::args().skip(2).collect::<Vec<_>>()),
        _ => Err("usage: cargo xtask test | docs | bench [ARGUMENTS]".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
