//! One small program through everything: built by its own compile and link commands, profiled, injected, triggered,
//! judged. Needs `husk-chaff` beside `husk-chaff-pass`, so build the workspace first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
#include <string.h>
struct record { uint32_t kind, length, cookie, color; uint64_t stamp; };
uint32_t sum(const unsigned char *bytes, size_t count);
__attribute__((noinline)) static int handle(const struct record *r, const unsigned char *body, size_t n) {
    uint32_t cookie = r->cookie, color = r->color;
    uint64_t stamp = r->stamp;
    if (r->kind == 9) { char *p = (char *)(uintptr_t)stamp; *p = 1; }
    if (r->kind == 1) { printf("text %zu %u\n", n, cookie & 0xff); return 1; }
    if (r->kind == 2) { printf("sum %u %x\n", sum(body, n), color); return 2; }
    printf("other %u %llx\n", r->kind, (unsigned long long)stamp);
    return 0;
}
int main(int argc, char **argv) {
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : stdin;
    if (!file) return 2;
    struct record r;
    int total = 0;
    while (fread(&r, 1, sizeof r, file) == sizeof r) {
        if (r.length > 4096) { printf("too long\n"); return 1; }
        unsigned char *body = malloc(r.length + 1);
        if (!body) return 3;
        size_t n = fread(body, 1, r.length, file);
        total += handle(&r, body, n);
        free(body);
    }
    printf("total %d\n", total);
    return 0;
}
"#;
const LIBRARY: &str = r#"
#include <stdint.h>
#include <stddef.h>
uint32_t sum(const unsigned char *bytes, size_t count) {
    uint32_t total = 0;
    for (size_t i = 0; i < count; i++) total = total * 31 + bytes[i];
    return total;
}
"#;

struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    /// Compiles, archives and links as a makefile does.
    fn new() -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        fs::write(project.at("main.c"), PROGRAM).unwrap();
        fs::write(project.at("sum.c"), LIBRARY).unwrap();
        for source in ["main", "sum"] {
            project.good(&["cc", "-O2", "-MD", "-c", &format!("{source}.c"), "-o", &format!("{source}.o")]);
            assert!(
                fs::read_to_string(project.at(&format!("{source}.d")))
                    .unwrap()
                    .starts_with(&format!("{source}.o:"))
            );
        }
        assert!(project.run("ar", &["rc", "libsum.a", "sum.o"]).status.success());
        project.good(&["cc", "main.o", "libsum.a", "-o", "program"]);
        fs::create_dir(project.at("corpus")).unwrap();
        for number in 0..12_u32 {
            fs::write(project.at(&format!("corpus/{number:02}")), input(number)).unwrap();
        }
        project.good(&["key", "key"]);
        project
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    fn tool() -> PathBuf {
        let program = Path::new(env!("CARGO_BIN_EXE_husk-chaff-pass")).with_file_name("husk-chaff");
        assert!(program.exists(), "{} is missing: run `cargo build` in chaff/ first", program.display());
        program
    }

    fn chaff(&self, arguments: &[&str]) -> Output {
        self.run(Self::tool().to_str().unwrap(), arguments)
    }

    fn good(&self, arguments: &[&str]) -> String {
        let output = self.chaff(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says on standard error when it fails.
    fn bad(&self, arguments: &[&str]) -> String {
        let output = self.chaff(arguments);
        assert_eq!(output.status.code(), Some(125), "{arguments:?} should fail");
        String::from_utf8(output.stderr).unwrap()
    }

    fn profile(&self) {
        self.good(&["profile", "--program", "program", "--corpus", "corpus", "--", "./program", "{}"]);
    }

    fn inject(&self, output: &str, count: &str, seed: &str) {
        self.good(&["inject", "program", "-o", output, "--count", count, "--seed", seed, "--key", "key"]);
    }
}

fn input(number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for turn in 0..=number % 3 {
        let length = number * 2 + turn;
        for field in [number % 3 + 1, length, 100 + number, 7 * number, 50 + number, 0] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend((0..length).map(|index| u8::try_from(index * 5 % 251).unwrap()));
    }
    bytes
}

#[test]
fn bugs_are_made_triggered_and_told_from_real_ones() {
    let project = Project::new();
    project.profile();
    project.inject("chaffed", "12", "3");
    project.inject("again", "12", "3");
    project.inject("other", "12", "4");
    let read = |name: &str| fs::read(project.at(name)).unwrap();
    assert_eq!(read("chaffed"), read("again"), "the same seed gives the same program");
    assert_ne!(read("chaffed"), read("other"), "another seed gives another");

    // Benign inputs: the same output, nothing triggered.
    for number in 0..12 {
        let name = format!("corpus/{number:02}");
        let (plain, chaffed) = (project.run("./program", &[&name]), project.run("./chaffed", &[&name]));
        assert_eq!((plain.status, plain.stdout), (chaffed.status, chaffed.stdout));
    }
    let owner = ["--program", "chaffed", "--key", "key"];
    let triage = |file: &str| project.chaff(&[&["triage"], &owner[..], &[file]].concat());
    let quiet = triage("corpus/00");
    assert_eq!(String::from_utf8_lossy(&quiet.stdout), "no crash, no chaff triggered\n");

    // Every trigger does what the manifest says.
    let report = project.good(&[&["report", "--format", "json"], &owner[..]].concat());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let bugs = report["bugs"].as_array().unwrap();
    assert_eq!(bugs.len(), 12);
    for bug in bugs {
        let id = bug["id"].to_string();
        project.good(&[&["trigger", "-o", "trigger"], &owner[..], &[&id]].concat());
        let said = triage("trigger");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        if bug["class"] == "unused" {
            assert!(said.starts_with("no crash; chaff") && said.contains(&id), "{id}: {said}");
        } else {
            assert_eq!(said, format!("chaff {id}\n"));
        }
    }

    // Of one class only.
    let words = [
        "inject", "program", "-o", "one", "--count", "4", "--seed", "5", "--key", "key", "--class", "unused",
    ];
    project.good(&words);
    let one = project.good(&["report", "--format", "json", "--program", "one", "--key", "key"]);
    let one: serde_json::Value = serde_json::from_str(&one).unwrap();
    let classes: Vec<&serde_json::Value> =
        one["bugs"].as_array().unwrap().iter().map(|bug| &bug["class"]).collect();
    assert_eq!(classes, ["unused"; 4]);

    // Two bugs in one run: chaff still, and told as that, whichever comes first.
    let mut pairs = 0;
    for (number, one) in bugs.iter().enumerate() {
        let of = |bug: &serde_json::Value| {
            serde_json::from_value::<Vec<(usize, u8)>>(bug["changes"].clone()).unwrap()
        };
        let free = |other: &&serde_json::Value| {
            let taken = of(one);
            other["input"] == one["input"]
                && of(other).iter().all(|(at, _)| taken.iter().all(|(own, _)| own != at))
        };
        let Some(other) = bugs[number + 1..].iter().find(free) else { continue };
        project.good(&[&["trigger", "-o", "trigger"], &owner[..], &[&one["id"].to_string()]].concat());
        let mut both = read("trigger");
        for (at, byte) in of(other) {
            both[at] = byte;
        }
        fs::write(project.at("trigger"), both).unwrap();
        let said = triage("trigger");
        assert_eq!(said.status.code(), Some(0), "{one} and {other}: {said:?}");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("chaff ") && !said.contains("no chaff"), "{one} and {other}: {said}");
        pairs += 1;
    }
    assert!(pairs > 0, "no two bugs can be triggered by one input");

    // A real bug of the program: kind 9 writes through the input.
    let mut real = input(0);
    real[0] = 9;
    fs::write(project.at("real"), real).unwrap();
    let said = triage("real");
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("real: "), "{said:?}");

    // Nothing in the program names the bugs.
    let symbols = project.run("nm", &["chaffed"]);
    assert!(symbols.stdout.is_empty(), "{}", String::from_utf8_lossy(&symbols.stdout));
    for word in [&b"husk"[..], b"chaff", b"c.1.0"] {
        assert!(!read("chaffed").windows(word.len()).any(|window| window == word));
    }

    // Where the program was built is nothing that triage needs; an input may be a core dump itself.
    fs::rename(project.at("program"), project.at("elsewhere")).unwrap();
    let directory = project.directory.path().to_owned();
    let core = [b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0".as_slice(), &[0; 64]].concat();
    fs::write(project.at("core"), core).unwrap();
    for (options, says) in [(&["--input"][..], "no crash, no chaff triggered"), (&[], "no core dump")] {
        let words = ["triage", "--program", "chaffed", "--key", "key", "core"].map(|word| match word {
            "chaffed" | "key" | "core" => directory.join(word).display().to_string(),
            _ => word.to_owned(),
        });
        let words: Vec<&str> = words.iter().map(String::as_str).chain(options.iter().copied()).collect();
        let said = Command::new(Project::tool()).args(&words).current_dir("/").output().unwrap();
        let said = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
        assert!(said.contains(says), "{said}");
    }

    // A manifest that was cut off, and a file that is no program.
    fs::write(project.at("cut"), &read("other.chaff")[..500]).unwrap();
    let said = project.bad(&["report", "--program", "other", "--key", "key", "--manifest", "cut"]);
    assert!(said.contains("cut is no manifest, or damaged"), "{said}");
    let said = project.bad(&["report", "--program", "main.c", "--key", "key", "--manifest", "other.chaff"]);
    assert!(said.contains("main.c: not an ELF file"), "{said}");

    // Another build's manifest, and another's key.
    fs::copy(project.at("other.chaff"), project.at("chaffed.chaff")).unwrap();
    let said = project.bad(&[&["report"], &owner[..]].concat());
    assert!(said.contains("another build"), "{said}");
    project.good(&["key", "key2"]);
    let said = project.bad(&["report", "--program", "other", "--key", "key2"]);
    assert!(said.contains("this key does not open"), "{said}");
}

#[test]
fn bad_input_is_told_from_good() {
    let project = Project::new();
    let inject = |count: &str| {
        project.bad(&["inject", "program", "-o", "x", "--count", count, "--seed", "1", "--key", "key"])
    };
    assert!(inject("5").contains("there is no profile"));
    // No exit code of triage may stand for a wrong command line.
    assert!(project.bad(&["triage"]).contains("--program"));
    assert!(project.bad(&["inject", "program", "--count", "many"]).contains("many"));
    let said = project.bad(&["profile", "--program", "/bin/true", "--corpus", "corpus", "--", "/bin/true"]);
    assert!(said.contains("not linked by"), "{said}");
    fs::create_dir(project.at("empty")).unwrap();
    let said =
        project.bad(&["profile", "--program", "program", "--corpus", "empty", "--", "./program", "{}"]);
    assert!(said.contains("holds no file"), "{said}");
    let mut crash = input(0);
    crash[0] = 9;
    fs::create_dir(project.at("crashing")).unwrap();
    fs::write(project.at("crashing/one"), crash).unwrap();
    let said =
        project.bad(&["profile", "--program", "program", "--corpus", "crashing", "--", "./program", "{}"]);
    assert!(said.contains("crashing/one ends the program by signal 11"), "{said}");
    project.profile();
    let said = inject("100000");
    let could = said.split("100000 bugs were asked for and ").nth(1).expect(&said);
    let could: usize = could.split_once(" can be certified").expect(&said).0.parse().unwrap();
    assert!(could > 0, "{said}");
    assert!(!project.at("x").exists());
    // The key is looked at before hours of work.
    let said =
        project.bad(&["inject", "program", "-o", "x", "--count", "1", "--seed", "1", "--key", "nokey"]);
    assert!(said.contains("nokey") && said.contains("husk chaff key"), "{said}");
    let said = project.bad(&["inject", "program", "-o", "x", "--count", "0", "--seed", "1", "--key", "key"]);
    assert!(said.contains("--count"), "{said}");
    fs::write(project.at("garbage"), "no profile").unwrap();
    let said = project.bad(&[
        "inject",
        "program",
        "-o",
        "x",
        "--count",
        "1",
        "--seed",
        "1",
        "--key",
        "key",
        "--profile",
        "garbage",
    ]);
    assert!(said.contains("garbage"), "{said}");
    // The profile belongs to the code it was made from.
    fs::write(project.at("sum.c"), LIBRARY.replace("31", "33")).unwrap();
    project.good(&["cc", "-O2", "-c", "sum.c", "-o", "sum.o"]);
    assert!(project.run("ar", &["rc", "libsum.a", "sum.o"]).status.success());
    project.good(&["cc", "main.o", "libsum.a", "-o", "program"]);
    assert!(inject("5").contains("another build of this program"));
}

/// The bitcode of the Rust compiler, whose LLVM is newer than 19, stands for that of a newer clang.
#[test]
fn bitcode_of_a_newer_version_is_refused_by_name() {
    let project = Project::new();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    fs::write(
        project.at("new.rs"),
        "#[unsafe(no_mangle)] pub extern \"C\" fn new(p: &mut [u8; 9]) { p[1] = 2; }",
    )
    .unwrap();
    let made =
        project.run(&rustc, &["--crate-type", "lib", "-O", "--emit=llvm-bc", "new.rs", "-o", "new.bc"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let objcopy = project.run(
        "/usr/lib/llvm-19/bin/llvm-objcopy",
        &["--update-section", ".husk.bitcode=new.bc", "sum.o", "new.o"],
    );
    assert!(objcopy.status.success(), "{}", String::from_utf8_lossy(&objcopy.stderr));
    project.good(&["cc", "main.o", "new.o", "-o", "program"]);
    let said =
        project.bad(&["profile", "--program", "program", "--corpus", "corpus", "--", "./program", "{}"]);
    assert!(said.contains("new.o") && said.contains("not of a version that LLVM 19 reads"), "{said}");
}
