//! What programs need besides their libraries, by what they are: language runtimes, shells, compilers, git.
//!
//! A runtime is asked where its library lies (see [`super::ask`]); where it may not be asked, a note says so
//! and `--with` can name the tree. Left out of library trees: Python's own test suite and its static library.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::ask::Answer;
use super::error::PackError;
use super::linker::Loaded;
use super::packer::Packer;

/// What a shell's user takes for granted. Those that the host has are packed.
const TOOLS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "[",
    "arch",
    "awk",
    "base32",
    "base64",
    "basename",
    "bc",
    "bunzip2",
    "bzcat",
    "bzip2",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cksum",
    "clear",
    "cmp",
    "column",
    "comm",
    "cp",
    "csplit",
    "cut",
    "date",
    "dd",
    "df",
    "diff",
    "dirname",
    "du",
    "echo",
    "ed",
    "egrep",
    "env",
    "expand",
    "expr",
    "factor",
    "false",
    "fgrep",
    "find",
    "flock",
    "fmt",
    "fold",
    "free",
    "getconf",
    "getent",
    "getopt",
    "grep",
    "groups",
    "gunzip",
    "gzip",
    "head",
    "hexdump",
    "hostname",
    "id",
    "install",
    "join",
    "kill",
    "ldconfig",
    "less",
    "link",
    "ln",
    "locale",
    "logname",
    "ls",
    "mawk",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "more",
    "mv",
    "nice",
    "nl",
    "nohup",
    "nproc",
    "numfmt",
    "od",
    "paste",
    "pathchk",
    "pgrep",
    "pkill",
    "printenv",
    "printf",
    "ps",
    "pwd",
    "readlink",
    "realpath",
    "renice",
    "reset",
    "rev",
    "rm",
    "rmdir",
    "sed",
    "seq",
    "setsid",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "shuf",
    "sleep",
    "sort",
    "split",
    "stat",
    "stdbuf",
    "stty",
    "sum",
    "sync",
    "tac",
    "tail",
    "tar",
    "tee",
    "test",
    "timeout",
    "top",
    "touch",
    "tput",
    "tr",
    "true",
    "truncate",
    "tsort",
    "tty",
    "uname",
    "unexpand",
    "uniq",
    "unlink",
    "unxz",
    "unzstd",
    "uptime",
    "users",
    "vmstat",
    "wc",
    "which",
    "who",
    "whoami",
    "xargs",
    "xz",
    "xzcat",
    "yes",
    "zcat",
    "zstd",
    "zstdcat",
];

/// Programs that tar runs.
const COMPRESSORS: &[&str] = &["bzip2", "gzip", "lz4", "xz", "zstd"];

/// What a compiler runs. It is asked for each; those it does not have are not packed.
const PASSES: &[&str] = &[
    "cc1",
    "cc1plus",
    "collect2",
    "lto1",
    "lto-wrapper",
    "as",
    "ld",
    "ld.bfd",
    "ld.gold",
    "nm",
    "ar",
    "ranlib",
];

/// What a link takes, by the names that the compiler is asked with.
const LINK_FILES: &[&str] = &[
    "crt1.o",
    "Scrt1.o",
    "rcrt1.o",
    "gcrt1.o",
    "grcrt1.o",
    "Mcrt1.o",
    "crti.o",
    "crtn.o",
    "libc.a",
    "libc.so",
    "libc_nonshared.a",
    "libm.a",
    "libm.so",
    "libmvec.a",
    "libmvec.so",
    "libpthread.a",
    "libpthread.so",
    "libdl.a",
    "libdl.so",
    "librt.a",
    "librt.so",
    "libutil.a",
    "libresolv.a",
    "libresolv.so",
    "libcrypt.a",
    "libcrypt.so",
    "libanl.a",
    "libanl.so",
    "liblto_plugin.so",
];

/// Terminal descriptions, of which a system has thousands.
const TERMINALS: &[&str] = &[
    "a/ansi",
    "d/dumb",
    "l/linux",
    "r/rxvt",
    "s/screen",
    "s/screen-256color",
    "t/tmux",
    "t/tmux-256color",
    "v/vt100",
    "v/vt220",
    "x/xterm",
    "x/xterm-256color",
    "x/xterm-color",
    "x/xterm-mono",
];

/// Files that a library reads, by how its name begins. Directories are taken whole.
const LIBRARY_FILES: &[(&str, &[&str])] = &[
    ("libc.so.6", &["/usr/lib/locale/C.utf8", "/usr/lib/locale/C.UTF-8"]),
    (
        "libcrypto.so",
        &[
            "/etc/ssl/openssl.cnf",
            "/etc/ssl/certs/ca-certificates.crt",
            "/usr/lib/ssl/openssl.cnf",
            "/usr/lib/ssl/cert.pem",
            "/usr/lib/x86_64-linux-gnu/ossl-modules",
            "/usr/lib64/ossl-modules",
        ],
    ),
    ("libmagic.so", &["/usr/share/misc/magic.mgc", "/etc/magic"]),
];

/// Adds those of the files and directories that there are. A directory that cannot be read whole is noted.
fn add_if_there(packer: &mut Packer<'_>, files: &[&str], loaded: &Loaded) {
    for file in files {
        let path = Path::new(file);
        if !path.is_dir() {
            packer.bring_if_there(path);
        } else if let Err(error) = packer.add_tree(path, Some(loaded), &|_| false) {
            packer.note(error.to_string());
        }
    }
}

/// Adds what the libraries of a program read.
pub(super) fn add_for_libraries(packer: &mut Packer<'_>, loaded: &Loaded) {
    for (prefix, files) in LIBRARY_FILES {
        if !loaded.has(prefix) {
            continue;
        }
        add_if_there(packer, files, loaded);
    }
    if loaded.has("libtinfo") || loaded.has("libncurses") {
        for dir in ["/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"] {
            for terminal in TERMINALS {
                packer.bring_if_there(Path::new(dir).join(terminal));
            }
        }
    }
}

/// What a C program calls to run others by name or by the shell.
const RUNS_OTHERS: &[&str] = &[
    "system",
    "popen",
    "wordexp",
    "execl",
    "execle",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "posix_spawn",
    "posix_spawnp",
];

/// Files that the C library reads for its callers.
const READ_FOR_CALLERS: &[(&[&str], &[&str])] = &[
    (&["iconv_open"], &["/usr/lib/x86_64-linux-gnu/gconv", "/usr/lib64/gconv", "/usr/lib/gconv"]),
    (
        &["localtime", "localtime_r", "mktime", "tzset", "timelocal", "__tz_convert"],
        &["/usr/share/zoneinfo", "/etc/timezone"],
    ),
    (
        &["getaddrinfo", "getservbyname", "getservbyport", "getprotobyname", "getservbyname_r"],
        &["/etc/services", "/etc/protocols", "/etc/gai.conf"],
    ),
    (&["setlocale", "newlocale"], &["/usr/lib/locale/locale-archive"]),
];

/// The largest file that is searched for names of libraries.
const SEARCHED_MAX: u64 = 256 << 20;

/// Adds what a program that was asked for shows of its needs: by its imports, by the names of libraries in it, and by
/// what its Debian package and those of its libraries depend on.
pub(super) fn add_asked(packer: &mut Packer<'_>, real: &Path, loaded: &Loaded) -> Result<(), PackError> {
    packer.many(|packer| {
        let runs_others = loaded.imports(RUNS_OTHERS) || loaded.is_static() && contains(real, b"/bin/sh\0");
        if runs_others {
            add_tools(packer, TOOLS)?;
        }
        for (symbols, files) in READ_FOR_CALLERS {
            if !loaded.imports(symbols) {
                continue;
            }
            add_if_there(packer, files, loaded);
        }
        for opener in loaded.openers() {
            for name in library_names(&opener) {
                packer.add_opened(&name, loaded);
            }
        }
        packer.add_packages_of(&loaded.files());
        Ok(())
    })
}

fn read_bounded(path: &Path) -> Vec<u8> {
    let fits = fs::metadata(path).is_ok_and(|stat| stat.len() <= SEARCHED_MAX);
    fits.then(|| fs::read(path).ok()).flatten().unwrap_or_default()
}

fn contains(path: &Path, text: &[u8]) -> bool {
    read_bounded(path).windows(text.len()).any(|window| window == text)
}

/// The strings in a file that are names of shared libraries, as "libz.so.1".
fn library_names(path: &Path) -> BTreeSet<String> {
    let bytes = read_bounded(path);
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-_.".contains(byte);
    bytes
        .split(|byte| *byte == 0)
        .filter(|text| text.len() < 64 && text.starts_with(b"lib") && text.iter().all(is_of_name))
        .filter_map(|text| String::from_utf8(text.to_vec()).ok())
        .filter(|text| text.ends_with(".so") || text.contains(".so."))
        .collect()
}

/// Adds what an ELF program needs by its name. `path` is as it was found, `real` without symbolic links.
pub(super) fn add(
    packer: &mut Packer<'_>,
    path: &Path,
    real: &Path,
    loaded: &Loaded,
) -> Result<(), PackError> {
    let name = real.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let versioned = |stem: &str| {
        name.strip_prefix(stem)
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    // As x86_64-linux-gnu-gcc-12, but not gcc-ar.
    let without_version = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '.');
    let stem = without_version.strip_suffix('-').unwrap_or(&name);
    let is_compiler =
        |kind: &str| stem == kind || stem.strip_suffix(kind).is_some_and(|rest| rest.ends_with('-'));
    packer.many(|packer| match name.as_str() {
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "yash" | "rbash" => add_tools(packer, TOOLS),
        "make" | "gmake" | "find" | "xargs" | "env" if packer.is_asked(path) => add_tools(packer, TOOLS),
        "tar" => add_tools(packer, COMPRESSORS),
        "git" => add_git(packer, path, loaded),
        "node" | "nodejs" => packer.add_tree(Path::new("/usr/share/nodejs"), Some(loaded), &|_| false),
        "java" | "javac" | "jshell" | "jar" => add_java(packer, real, loaded),
        _ if versioned("python") => add_python(packer, path, loaded),
        _ if versioned("perl") => add_perl(packer, path, loaded),
        _ if versioned("ruby") => add_ruby(packer, path, loaded),
        _ if ["gcc", "g++", "cc", "c++", "cpp"].into_iter().any(is_compiler) => {
            add_compiler(packer, path, loaded)
        }
        _ => Ok(()),
    })
}

/// Adds the package that a script of node belongs to, which lies around it.
pub(super) fn add_package_of_script(packer: &mut Packer<'_>, script: &Path) -> Result<(), PackError> {
    let mut ancestors = script.ancestors();
    let package = ancestors.find(|dir| dir.parent().is_some_and(|parent| parent.ends_with("node_modules")));
    package.map_or(Ok(()), |package| packer.add_tree(package, None, &|_| false))
}

/// Adds system tools that the host has.
fn add_tools(packer: &mut Packer<'_>, tools: &[&str]) -> Result<(), PackError> {
    if tools.contains(&"date") {
        packer.add_tree(Path::new("/usr/share/zoneinfo"), None, &|_| false)?;
    }
    for tool in tools {
        let Some(path) = Packer::system_tool(tool) else { continue };
        if let Err(error) = packer.add_program(&path) {
            packer.note(error.to_string());
        }
    }
    Ok(())
}

/// Asks a runtime; notes where it gives no answer.
fn ask_runtime(packer: &mut Packer<'_>, path: &Path, arguments: &[&str]) -> Option<Answer> {
    let answer = packer.asker.ask(path, arguments);
    if answer.is_none() {
        packer.note(format!(
            "{}: its library was not packed, because it gave no answer or lies outside of PATH; use --with",
            path.display()
        ));
    }
    answer
}

/// Adds the existing directories among lines that name some.
fn add_lines(packer: &mut Packer<'_>, text: &str, loaded: &Loaded) -> Result<(), PackError> {
    for line in text.lines().filter(|line| line.starts_with('/')) {
        packer.add_tree(Path::new(line), Some(loaded), &|_| false)?;
    }
    Ok(())
}

/// Without the site module, which would run what packages left for start-up.
const ASK_PYTHON: &str = "import sys, sysconfig
paths = sysconfig.get_paths()
out = ['%d.%d' % sys.version_info[:2], sys.prefix, paths['stdlib'], paths['platstdlib']]
sys.stdout.write('\\n'.join(out + [paths['purelib'], paths['platlib']] + sys.path))";

fn add_python(packer: &mut Packer<'_>, path: &Path, loaded: &Loaded) -> Result<(), PackError> {
    let Some(told) = ask_runtime(packer, path, &["-E", "-s", "-S", "-c", ASK_PYTHON]) else {
        return Ok(());
    };
    let lines: Vec<_> = told.stdout.lines().collect();
    let [version, prefix, library, _, ..] = lines[..] else { return Ok(()) };
    let (prefix, library) = (Path::new(prefix), PathBuf::from(library));
    let skip = move |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        path.parent() == Some(&library) && (name == "test" || name.as_encoded_bytes().starts_with(b"config-"))
    };
    let mut trees: Vec<_> = lines[2..].iter().map(PathBuf::from).filter(|path| path.is_absolute()).collect();
    trees.push(prefix.join("lib/python3/dist-packages"));
    trees.push(Path::new("/usr/local/lib").join(format!("python{version}/dist-packages")));
    if let Some(home) = std::env::var_os("HOME") {
        trees.push(Path::new(&home).join(format!(".local/lib/python{version}/site-packages")));
    }
    // A virtual environment lies around its own link to the interpreter.
    if let Some(environment) = path.parent().and_then(Path::parent)
        && environment.join("pyvenv.cfg").is_file()
    {
        packer.bring(&environment.join("pyvenv.cfg"))?;
        trees.push(environment.join(format!("lib/python{version}/site-packages")));
    }
    for tree in trees {
        if tree.is_file() {
            packer.bring(&tree)?;
            continue;
        }
        packer.add_tree(&tree, Some(loaded), &skip)?;
        for listed in listed_paths(&tree) {
            packer.add_tree(&listed, Some(loaded), &skip)?;
        }
    }
    add_tools(packer, TOOLS)
}

/// The directories that the `.pth` files of a Python package directory add to the search path.
fn listed_paths(tree: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(tree) else { return Vec::new() };
    let files = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("pth")));
    let texts = files.filter_map(|path| fs::read_to_string(path).ok());
    texts
        .flat_map(|text| text.lines().map(PathBuf::from).collect::<Vec<_>>())
        .filter(|path| path.is_absolute() && path.is_dir())
        .collect()
}

fn add_perl(packer: &mut Packer<'_>, path: &Path, loaded: &Loaded) -> Result<(), PackError> {
    if let Some(told) = ask_runtime(packer, path, &["-e", "print join qq{\\n}, @INC"]) {
        add_lines(packer, &told.stdout, loaded)?;
    }
    add_tools(packer, TOOLS)
}

fn add_ruby(packer: &mut Packer<'_>, path: &Path, loaded: &Loaded) -> Result<(), PackError> {
    if let Some(told) = ask_runtime(packer, path, &["-e", "puts $LOAD_PATH, Gem.path"]) {
        add_lines(packer, &told.stdout, loaded)?;
    }
    add_tools(packer, TOOLS)
}

/// Java's library lies around the program. Its sources and the parts for making other runtimes are left out.
fn add_java(packer: &mut Packer<'_>, real: &Path, loaded: &Loaded) -> Result<(), PackError> {
    let Some(home) = real.parent().and_then(Path::parent).filter(|home| home.join("lib/modules").exists())
    else {
        return Ok(());
    };
    let left_out = ["docs", "jmods", "legal", "lib/src.zip", "man"].map(|name| home.join(name));
    packer.add_tree(home, Some(loaded), &|path| left_out.iter().any(|out| out == path))
}

fn add_git(packer: &mut Packer<'_>, path: &Path, loaded: &Loaded) -> Result<(), PackError> {
    if let Some(told) = ask_runtime(packer, path, &["--exec-path"]) {
        let commands = PathBuf::from(told.stdout.trim_end());
        packer.add_tree(&commands, Some(loaded), &|_| false)?;
        if let Some(prefix) = commands.parent().and_then(Path::parent) {
            packer.add_tree(&prefix.join("share/git-core"), None, &|_| false)?;
        }
    }
    add_tools(packer, TOOLS)
}

fn add_compiler(packer: &mut Packer<'_>, path: &Path, loaded: &Loaded) -> Result<(), PackError> {
    // What is near the compiler: its passes, its own headers, its start files and its library.
    let Some(told) = ask_runtime(packer, path, &["-print-libgcc-file-name"]) else { return Ok(()) };
    if let Some(dir) = Path::new(told.stdout.trim_end()).parent().filter(|dir| dir.is_absolute()) {
        packer.add_tree(dir, Some(loaded), &|_| false)?;
    }
    for pass in PASSES {
        let Some(told) = answer(packer, path, &format!("-print-prog-name={pass}")) else { continue };
        let found = if told.is_absolute() {
            Some(told).filter(|told| told.exists())
        } else {
            Packer::system_tool(pass)
        };
        let Some(found) = found else { continue };
        if let Err(error) = packer.add_program(&found) {
            packer.note(error.to_string());
        }
    }
    for file in LINK_FILES {
        let told = answer(packer, path, &format!("-print-file-name={file}"));
        let Some(found) = told.filter(|told| told.is_absolute()) else { continue };
        packer.bring_if_there(&found);
        for named in named_by_script(&found) {
            packer.bring_if_there(named);
        }
    }
    packer.bring_if_there("/usr/lib/bfd-plugins/liblto_plugin.so");
    for language in ["c", "c++"] {
        let arguments = ["-E", "-v", "-x", language, "/dev/null"];
        let Some(told) = packer.asker.ask(path, &arguments) else { continue };
        let searched = told.stderr.lines().skip_while(|line| !line.starts_with("#include <"));
        for line in searched.skip(1).take_while(|line| line.starts_with(' ')) {
            // As it is searched: the names in between, before each "..", must be there.
            let dir = Path::new(line.trim());
            packer.bring_if_there(dir);
            packer.add_tree(dir, None, &|_| false)?;
        }
    }
    Ok(())
}

/// The files that a linker script names; libm.so is such a script, for one. Nothing for a real library.
fn named_by_script(path: &Path) -> Vec<PathBuf> {
    let is_small = fs::metadata(path).is_ok_and(|stat| stat.len() < 4096);
    let Some(text) = is_small.then(|| fs::read_to_string(path).ok()).flatten() else { return Vec::new() };
    let words = text.split(|character: char| character.is_whitespace() || "(),".contains(character));
    words.filter(|word| word.starts_with('/') && !word.starts_with("/*")).map(PathBuf::from).collect()
}

/// One line that a compiler prints about itself.
fn answer(packer: &Packer<'_>, path: &Path, question: &str) -> Option<PathBuf> {
    let told = packer.asker.ask(path, &[question])?;
    Some(PathBuf::from(told.stdout.trim_end()))
}
