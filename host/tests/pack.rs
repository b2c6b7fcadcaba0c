//! Programs are packed so that they run from their image alone, and wrong ones are refused by name.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use husk_erofs::{FileType, Image, Inode};
use husk_host::pack::{PackError, PackRequest, Packed, pack, pack_rootfs};
use tempfile::TempDir;

fn request(directory: &Path, program: &str, with: &[&str]) -> PackRequest {
    PackRequest {
        program: program.into(),
        with: with.iter().map(OsString::from).collect(),
        path: "/usr/local/bin:/usr/bin:/bin".into(),
        library_path: OsString::new(),
        version: OsString::new(),
        directory: directory.to_path_buf(),
        cache: directory.join("cache"),
    }
}

fn refused(directory: &Path, program: &str, with: &[&str]) -> (u8, String) {
    let error = pack(&request(directory, program, with)).unwrap_err();
    (error.exit_code(), error.to_string())
}

/// Writes every file of an image below a directory; as much of an unpacker as a chroot needs.
fn unpack(image: &Image<'_>, inode: &Inode, target: &Path) {
    match inode.file_type() {
        FileType::Directory => {
            fs::create_dir_all(target).unwrap();
            for entry in image.entries(inode, 0).unwrap().map(Result::unwrap) {
                if entry.name != b"." && entry.name != b".." {
                    let name = std::str::from_utf8(entry.name).unwrap();
                    unpack(image, &image.inode(entry.nid).unwrap(), &target.join(name));
                }
            }
        }
        FileType::Regular => {
            let mut bytes = vec![0; inode.size as usize];
            assert_eq!(image.read(inode, 0, &mut bytes).unwrap(), bytes.len());
            fs::write(target, bytes).unwrap();
            let mode = u32::from(inode.mode & 0o777);
            fs::set_permissions(target, fs::Permissions::from_mode(mode)).unwrap();
        }
        FileType::Symlink => {
            let link = std::str::from_utf8(image.symlink(inode).unwrap()).unwrap();
            symlink(link, target).unwrap();
        }
        _ => {}
    }
}

/// Runs a packed program with nothing but its image around it; `None` where that needs rights one has not.
fn run(packed: &Packed, arguments: &[&str]) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: chroot needs root");
        return None;
    }
    let bytes = fs::read(&packed.image).unwrap();
    let image = Image::open(&bytes).unwrap();
    let root = tempfile::tempdir().unwrap();
    unpack(&image, &image.inode(image.root()).unwrap(), root.path());
    // A mount namespace of its own, so that no mount stays.
    let inside = "mount -t proc proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && exec chroot \"$@\"";
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", inside, "sh"]);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin").env("LC_ALL", "C.UTF-8");
    Some(command.arg(root.path()).arg(&packed.program).args(arguments).output().unwrap())
}

/// Asserts that a program prints what it would natively.
fn prints(packed: &Packed, arguments: &[&str], expect: &str) {
    let Some(output) = run(packed, arguments) else { return };
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expect, "{messages}");
    assert!(output.status.success(), "{messages}");
}

/// The paths of all that is no directory.
fn files(packed: &Path) -> BTreeSet<String> {
    fn list(image: &Image<'_>, inode: &Inode, path: &str, found: &mut BTreeSet<String>) {
        for entry in image.entries(inode, 0).unwrap().map(Result::unwrap) {
            if entry.name == b"." || entry.name == b".." {
                continue;
            }
            let below = format!("{path}/{}", std::str::from_utf8(entry.name).unwrap());
            let inode = image.inode(entry.nid).unwrap();
            if inode.file_type() == FileType::Directory {
                list(image, &inode, &below, found);
            } else {
                found.insert(below);
            }
        }
    }
    let bytes = fs::read(packed).unwrap();
    let image = Image::open(&bytes).unwrap();
    let mut found = BTreeSet::new();
    list(&image, &image.inode(image.root()).unwrap(), "", &mut found);
    found
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Compiles; false, and a message, where there is no such compiler.
fn compile(compiler: &str, directory: &Path, arguments: &[&str]) -> bool {
    let output = Command::new(compiler).args(arguments).current_dir(directory).output();
    match output {
        Err(_) => {
            eprintln!("skipped: there is no {compiler}");
            false
        }
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
    }
}

#[test]
fn a_dynamic_program_runs_from_its_image_alone() {
    let dir = tempfile::tempdir().unwrap();
    let packed = pack(&request(dir.path(), "seq", &[])).unwrap();
    assert_eq!(packed.notes, Vec::<String>::new());
    prints(&packed, &["2"], "1\n2\n");
}

#[test]
fn nothing_else_of_the_host_is_inside() {
    let dir = tempfile::tempdir().unwrap();
    let packed = pack(&request(dir.path(), "/usr/bin/true", &[])).unwrap();
    let is_expected = |path: &str| {
        let library = path.contains("/ld-linux") || path.contains(".so");
        let made = ["passwd", "group", "hosts", "hostname", "nsswitch.conf", "localtime", "ld.so.cache"];
        library
            || path == "/usr/bin/true"
            || ["/bin", "/sbin", "/lib", "/lib64"].contains(&path)
            || path.starts_with("/usr/lib/locale/C.")
            || path.starts_with("/usr/share/zoneinfo/")
            || made.iter().any(|name| path == format!("/etc/{name}"))
    };
    let others: Vec<_> = files(&packed.image).into_iter().filter(|path| !is_expected(path)).collect();
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn a_shell_brings_its_tools() {
    let dir = tempfile::tempdir().unwrap();
    let packed = pack(&request(dir.path(), "/bin/sh", &[])).unwrap();
    assert_eq!(packed.program, Path::new("/bin/sh"));
    prints(
        &packed,
        &["-c", "seq 1 100000 | sort -rn | head -1; echo a-b | tr a-z A-Z | cut -d- -f2"],
        "100000\nB\n",
    );
}

#[test]
fn a_program_shows_what_it_needs() {
    let dir = tempfile::tempdir().unwrap();
    let source = "#include <stdlib.h>\n#include <stdio.h>\n#include <iconv.h>\n#include <dlfcn.h>\n\
        int main(void) { printf(\"%d %d\\n\", iconv_open(\"UTF-8\", \"ISO-8859-15\") != (iconv_t)-1, \
        dlopen(\"libz.so.1\", RTLD_NOW) != NULL); fflush(stdout); return system(\"seq 3 | tail -1\"); }\n";
    fs::write(dir.path().join("main.c"), source).unwrap();
    if !compile("gcc", dir.path(), &["-o", "program", "main.c"]) {
        return;
    }
    let has_libz =
        ["/lib", "/usr/lib"].iter().any(|dir| Path::new(dir).join("x86_64-linux-gnu/libz.so.1").exists());
    let packed = pack(&request(dir.path(), "./program", &[])).unwrap();
    prints(&packed, &[], &format!("1 {}\n3\n", i32::from(has_libz)));
}

#[test]
fn a_package_brings_what_it_depends_on() {
    let dir = tempfile::tempdir().unwrap();
    if !Path::new("/usr/bin/tclsh8.6").exists() || !Path::new("/var/lib/dpkg/status").exists() {
        eprintln!("skipped: no Debian package tcl8.6");
        return;
    }
    // Its library reads scripts that no symbol and no string of a name show.
    let packed = pack(&request(dir.path(), "/usr/bin/tclsh8.6", &[])).unwrap();
    let found = files(&packed.image);
    assert!(found.contains("/usr/share/tcltk/tcl8.6/init.tcl"));
    assert!(!found.iter().any(|path| path.starts_with("/usr/share/doc")));
}

#[test]
fn scripts_bring_their_interpreters() {
    let dir = tempfile::tempdir().unwrap();
    script(&dir.path().join("inner"), "#!/bin/sh -e\necho \"$1\" inner\n");
    script(&dir.path().join("outer"), &format!("#!{}/inner  word \n", dir.path().display()));
    let packed = pack(&request(dir.path(), "./outer", &[])).unwrap();
    prints(&packed, &[], "word inner\n");

    script(&dir.path().join("by-env"), "#!/usr/bin/env -S sh -e\necho by env\n");
    let packed = pack(&request(dir.path(), "./by-env", &[])).unwrap();
    prints(&packed, &[], "by env\n");

    script(&dir.path().join("lost"), "#!/absent/interpreter\n");
    let (code, text) = refused(dir.path(), "./lost", &[]);
    assert_eq!(code, 127);
    assert!(text.contains("/absent/interpreter") && text.contains("lost"), "{text}");

    script(&dir.path().join("turn"), &format!("#!{}/turn\n", dir.path().display()));
    pack(&request(dir.path(), "./turn", &[])).expect("a script may name itself: the kernel refuses it");
}

#[test]
fn libraries_are_found_as_the_linker_finds_them() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fs::create_dir_all(at.join("bin")).unwrap();
    fs::create_dir_all(at.join("lib/deep")).unwrap();
    fs::write(at.join("deep.c"), "int deep(void) { return 7; }\n").unwrap();
    fs::write(at.join("outer.c"), "int deep(void); int outer(void) { return deep() * 6; }\n").unwrap();
    fs::write(
        at.join("main.c"),
        "#include <stdio.h>\nint outer(void); int main(void) { printf(\"%d\\n\", outer()); }\n",
    )
    .unwrap();
    let built = compile("gcc", at, &["-shared", "-fPIC", "-o", "lib/deep/libdeep.so", "deep.c"])
        && compile(
            "gcc",
            at,
            &[
                "-shared",
                "-fPIC",
                "-o",
                "lib/libouter.so.1",
                "outer.c",
                "-Wl,-soname,libouter.so.1",
                "-Llib/deep",
                "-ldeep",
            ],
        );
    if !built {
        return;
    }
    symlink("libouter.so.1", at.join("lib/libouter.so")).unwrap();
    let link = |name: &str, more: &[&str]| {
        let mut arguments = vec!["-o", name, "main.c", "-Llib", "-louter", "-Wl,--allow-shlib-undefined"];
        arguments.extend(more);
        compile("gcc", at, &arguments);
    };

    // DT_RPATH holds for the libraries of libraries too; DT_RUNPATH only for the object's own.
    link("bin/rpath", &["-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib:$ORIGIN/../lib/deep"]);
    prints(&pack(&request(at, "bin/rpath", &[])).unwrap(), &[], "42\n");
    link("bin/runpath", &["-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib:$ORIGIN/../lib/deep"]);
    let (code, text) = refused(at, "bin/runpath", &[]);
    assert_eq!(code, 127);
    assert!(text.contains("libdeep.so") && text.contains("libouter.so.1"), "{text}");
    let mut with_path = request(at, "bin/runpath", &[]);
    with_path.library_path = at.join("lib/deep").into();
    let packed = pack(&with_path).unwrap();
    assert!(files(&packed.image).iter().any(|path| path.ends_with("lib/deep/libdeep.so")));

    fs::remove_file(at.join("lib/libouter.so.1")).unwrap();
    let (code, text) = refused(at, "bin/rpath", &[]);
    assert_eq!(code, 127);
    assert!(text.contains("libouter.so.1") && text.contains("bin/rpath"), "{text}");
}

#[test]
fn static_and_musl_programs() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("main.c"), "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n")
        .unwrap();
    if compile("gcc", dir.path(), &["-static", "-o", "static", "main.c"]) {
        let packed = pack(&request(dir.path(), "./static", &[])).unwrap();
        assert!(!files(&packed.image).iter().any(|path| path.contains(".so")));
        prints(&packed, &[], "hello\n");
    }
    if compile("musl-gcc", dir.path(), &["-o", "musl", "main.c"]) {
        let packed = pack(&request(dir.path(), "./musl", &[])).unwrap();
        assert!(!files(&packed.image).iter().any(|path| path.contains("libc.so.6")));
        prints(&packed, &[], "hello\n");
    }
}

#[test]
fn wrong_programs_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let expect = |program: &str, code: u8, part: &str| {
        let (found, text) = refused(at, program, &[]);
        assert_eq!(found, code, "{text}");
        assert!(text.contains(part), "{text}");
    };
    expect("absent-program", 127, "absent-program");
    expect("./absent", 127, "no such program");
    expect("", 127, "no such program");
    fs::create_dir(at.join("directory")).unwrap();
    expect("./directory", 126, "directory");
    fs::write(at.join("plain"), "x").unwrap();
    expect("./plain", 126, "permission denied");
    script(&at.join("text"), "no first line");
    expect("./text", 126, "neither an ELF file");
    script(&at.join("empty"), "");
    expect("./empty", 126, "empty");

    let whole = fs::read("/usr/bin/true").unwrap();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(at.join(name), bytes).unwrap();
        fs::set_permissions(at.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("cut", &whole[..100]);
    expect("./cut", 126, "corrupt ELF");
    write("short", &whole[..9]);
    expect("./short", 126, "corrupt ELF");
    let changed = |at: usize, bytes: &[u8]| {
        let mut copy = whole.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        copy
    };
    write("arm", &changed(18, &[183, 0]));
    expect("./arm", 126, "ARM64");
    write("small", &changed(4, &[1]));
    expect("./small", 126, "32-bit");
    write("object", &changed(16, &[1, 0]));
    expect("./object", 126, "corrupt ELF");
    write("far", &changed(32, &[0xff; 8]));
    expect("./far", 126, "corrupt ELF");
}

#[test]
fn programs_are_found_by_plain_joining() {
    let dir = tempfile::tempdir().unwrap();
    let found = |program: &str, path: &str, directory: &str| {
        let asked = PackRequest { path: path.into(), ..request(Path::new(directory), program, &[]) };
        asked
            .find()
            .map(|path| path.into_os_string().into_string().unwrap())
            .map_err(|error| error.exit_code())
    };
    script(&dir.path().join("tool"), "#!/bin/sh\n");
    let at = dir.path().to_str().unwrap();
    assert_eq!(found("./tool", "/usr/bin", at), Ok(format!("{at}/./tool")));
    assert_eq!(found("usr/bin/true", "", "/"), Ok("//usr/bin/true".into()));
    assert_eq!(found("true", "/absent:/usr/bin/", at), Ok("/usr/bin//true".into()));
    assert_eq!(found("tool", &format!(":.:{at}"), at), Ok(format!("{at}/tool")));
    assert_eq!(found("tool", ":.", at), Err(127));
}

#[test]
fn no_damage_to_an_elf_file_makes_the_packer_panic() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read("/usr/bin/true").unwrap();
    let path = dir.path().join("damaged");
    let mut state = 1_u64;
    for _ in 0..100 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The headers, the program headers and the interpreter's name.
            bytes[4 + (state >> 33) as usize % 900] = (state >> 24) as u8;
        }
        script(&path, "");
        fs::write(&path, &bytes).unwrap();
        let _ = pack(&request(dir.path(), "./damaged", &[]));
    }
}

#[test]
fn with_adds_paths_programs_and_packages() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/below")).unwrap();
    fs::write(dir.path().join("data/below/file"), "content\n").unwrap();
    let packed = pack(&request(dir.path(), "cat", &["./data", "seq"])).unwrap();
    let found = files(&packed.image);
    assert!(found.contains("/usr/bin/seq"));
    let file = dir.path().join("data/below/file");
    prints(&packed, &[file.to_str().unwrap()], "content\n");

    let (code, text) = refused(dir.path(), "cat", &["absent-package-or-program"]);
    assert_eq!(code, 125);
    assert!(text.contains("absent-package-or-program"), "{text}");
    assert_eq!(refused(dir.path(), "cat", &["/absent/path"]).0, 125);

    if Path::new("/var/lib/dpkg/info/coreutils.list").exists() {
        let packed = pack(&request(dir.path(), "true", &["coreutils"])).unwrap();
        let found = files(&packed.image);
        assert!(found.contains("/usr/bin/sort"));
        assert!(!found.iter().any(|path| path.starts_with("/usr/share/man")));
    } else {
        eprintln!("skipped in part: no Debian package coreutils");
    }
}

#[test]
fn a_program_named_by_a_path_is_not_run_for_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("was-run");
    let source =
        format!("#include <stdlib.h>\nint main(void) {{ return system(\"touch {}\"); }}\n", mark.display());
    fs::write(dir.path().join("main.c"), source).unwrap();
    if !compile("gcc", dir.path(), &["-o", "python3", "main.c"]) {
        return;
    }
    let packed = pack(&request(dir.path(), "./python3", &[])).unwrap();
    assert!(!mark.exists());
    assert!(packed.notes.iter().any(|note| note.contains("--with")), "{:?}", packed.notes);
}

#[test]
fn language_runtimes_bring_their_libraries() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (
            "/usr/bin/python3",
            ["-c", "import json, ctypes, subprocess; print(subprocess.getoutput('echo ' + json.dumps([1])))"],
            "[1]\n",
        ),
        (
            "/usr/bin/perl",
            ["-e", "use POSIX; use List::Util 'sum'; print sum(floor(1.5), 2), qq(\\n)"],
            "3\n",
        ),
        ("/usr/bin/ruby", ["-e", "require 'json'; puts JSON.generate([1])"], "[1]\n"),
    ];
    for (program, arguments, expect) in cases {
        if !Path::new(program).exists() {
            eprintln!("skipped in part: there is no {program}");
            continue;
        }
        prints(&pack(&request(dir.path(), program, &[])).unwrap(), &arguments, expect);
    }
}

#[test]
fn git_brings_its_commands() {
    let dir = tempfile::tempdir().unwrap();
    if !Path::new("/usr/bin/git").exists() {
        eprintln!("skipped: there is no git");
        return;
    }
    let packed = pack(&request(dir.path(), "/bin/sh", &["/usr/bin/git"])).unwrap();
    let work = "git init -q /tmp/work && cd /tmp/work && echo a > file && git add file && \
        git -c user.name=n -c user.email=e commit -qm first && git log --format=%s && tar c file | zstd | zstd -d | tar t";
    prints(&packed, &["-c", work], "first\nfile\n");
}

#[test]
fn a_second_run_finds_the_first_ones_image_until_an_input_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    script(&path, "#!/bin/sh\necho one\n");
    let asked = request(dir.path(), "./program", &[]);
    let first = pack(&asked).unwrap();
    let entry = first.plan_entry.clone().unwrap();
    let written = fs::metadata(&entry).unwrap().modified().unwrap();
    let again = pack(&asked).unwrap();
    assert_eq!((&again.image, &again.program), (&first.image, &first.program));
    assert_eq!(fs::metadata(&entry).unwrap().modified().unwrap(), written);

    // Another plan, the same recipe: the image is not written again.
    let image = fs::metadata(&first.image).unwrap().modified().unwrap();
    fs::remove_file(&entry).unwrap();
    assert_eq!(pack(&asked).unwrap().image, first.image);
    assert_eq!(fs::metadata(&first.image).unwrap().modified().unwrap(), image);

    script(&path, "#!/bin/sh\necho three\n");
    let changed = pack(&asked).unwrap();
    assert_ne!(changed.image, first.image);
    prints(&changed, &[], "three\n");

    // An image that is gone or cut off is made again.
    fs::write(&changed.image, "cut").unwrap();
    let repaired = pack(&asked).unwrap();
    assert_eq!(repaired.image, changed.image);
    prints(&repaired, &[], "three\n");
    fs::write(&entry, "damaged").unwrap();
    assert_eq!(pack(&asked).unwrap().image, changed.image);
}

#[test]
fn a_changed_file_in_a_directory_of_with_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/empty")).unwrap();
    fs::create_dir_all(dir.path().join("data/deep")).unwrap();
    fs::write(dir.path().join("data/deep/file"), "one").unwrap();
    let asked = request(dir.path(), "true", &["./data"]);
    let first = pack(&asked).unwrap().image;
    assert_eq!(pack(&asked).unwrap().image, first);
    fs::write(dir.path().join("data/deep/file"), "other").unwrap();
    let second = pack(&asked).unwrap().image;
    assert_ne!(second, first);
    fs::write(dir.path().join("data/empty/new"), "").unwrap();
    assert_ne!(pack(&asked).unwrap().image, second);
}

#[test]
fn the_kernels_views_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let packed = pack(&request(dir.path(), "true", &["/proc/self", "/sys/kernel"])).unwrap();
    let is_view = |path: &&String| path.starts_with("/proc/") || path.starts_with("/sys/");
    let found = files(&packed.image);
    let views: Vec<_> = found.iter().filter(is_view).collect();
    assert_eq!(views, ["/proc/self"], "only the link that was named");
}

#[test]
fn packers_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let images: BTreeSet<PathBuf> = std::thread::scope(|scope| {
        let packers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| pack(&request(dir.path(), "/bin/sh", &[])).unwrap().image))
            .collect();
        packers.into_iter().map(|packer| packer.join().unwrap()).collect()
    });
    assert_eq!(images.len(), 1);
    let cached: Vec<_> = fs::read_dir(dir.path().join("cache/images")).unwrap().collect();
    assert_eq!(cached.len(), 1);
    assert!(!files(images.first().unwrap()).is_empty());
}

#[test]
fn a_directory_becomes_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/file"), "x").unwrap();
    fs::hard_link(root.join("sub/file"), root.join("hard")).unwrap();
    symlink("/outside", root.join("link")).unwrap();
    let cache = dir.path().join("cache");
    let image = pack_rootfs(&root, &cache).unwrap();
    let expect = ["/hard", "/link", "/sub/file"].map(String::from);
    assert_eq!(files(&image), BTreeSet::from(expect));
    assert_eq!(pack_rootfs(&root, &cache).unwrap(), image);
    assert!(matches!(pack_rootfs(&root.join("hard"), &cache), Err(PackError::NoDirectory { .. })));
    assert!(matches!(pack_rootfs(&root.join("absent"), &cache), Err(PackError::Io { .. })));
}

#[test]
fn the_tool_tells_image_and_program() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let tool = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_husk-pack"))
            .args(arguments)
            .env("XDG_CACHE_HOME", dir.path())
            .output()
            .unwrap()
    };
    let output = tool(&["--with", "seq", "/usr/bin/true"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(output.status.success() && lines.len() == 2 && lines[1] == "/usr/bin/true", "{text}");
    assert!(Path::new(lines[0]).starts_with(dir.path().join("husk/images")));
    assert_eq!(tool(&["/absent"]).status.code(), Some(127));
    assert_eq!(tool(&["/etc/passwd"]).status.code(), Some(126));
    for wrong in [&[][..], &["--with"], &["--with", "x"], &["--unknown", "x"], &["a", "b"]] {
        assert_eq!(tool(wrong).status.code(), Some(125), "{wrong:?}");
    }
}
