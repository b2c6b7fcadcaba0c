//! `husk build`: Containerfiles, with RUN inside guests, into the store, an OCI layout and executables.

mod common;

use common::{Bench, in_path, tenders, text};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A context with a root that has a shell: busybox and its libraries.
fn bench() -> Option<Bench> {
    let bench = Bench::new()?;
    let Some(busybox) =
        ["/usr/bin/busybox", "/bin/busybox"].into_iter().find(|path| Path::new(path).exists())
    else {
        eprintln!("skipped: there is no busybox");
        return None;
    };
    let root = bench.path("context/base");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for name in
        ["sh", "ls", "cat", "mkdir", "rm", "ln", "chmod", "mv", "id", "touch", "wget", "env", "stat", "rmdir"]
    {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
        .unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\nstaff:x:50:\n").unwrap();
    let libraries = Command::new("ldd").arg(busybox).output().unwrap();
    for library in text(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.join(&library[1..]);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(library, place).unwrap();
    }
    Some(bench)
}

impl Bench {
    fn file(&self, name: &str, bytes: &str) {
        let path = self.path("context").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn build(&self, containerfile: &str, arguments: &[&str]) -> Output {
        self.file("Containerfile", containerfile);
        let mut command = self.husk(&[&["build"], arguments, &["context"]].concat());
        command.env("XDG_DATA_HOME", self.path("data")).output().unwrap()
    }

    /// Builds an executable, runs it and returns what it says.
    fn says(&self, containerfile: &str, arguments: &[&str]) -> String {
        let output = self.build(containerfile, &[&["-o", "app"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let output = Command::new(self.path("app")).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }

    fn fails(&self, containerfile: &str, says: &[&str]) {
        let output = self.build(containerfile, &["-o", "never"]);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{containerfile}: {error}");
        for phrase in says {
            assert!(error.contains(phrase), "{containerfile}: {error}");
        }
        assert!(!self.path("never").exists());
    }
}

#[test]
fn what_run_changes_is_in_the_image() {
    let Some(bench) = bench() else { return };
    bench.file("a.txt", "a\n");
    bench.file("sub/b.txt", "b\n");
    let containerfile = r#"
FROM rootfs:base
WORKDIR /work
COPY a.txt sub ./
RUN echo made > made && ln made hard && ln -s made soft && mkdir -p d/e && rm a.txt && chmod 4750 b.txt
RUN mv d moved && touch moved/e/f && mkdir /tmp && echo kept > /tmp/kept
RUN rm -r /etc && mkdir /etc && echo only > /etc/only
CMD ["/bin/sh", "-c", "ls /work /work/moved/e /etc; cat soft /tmp/kept; stat -c '%a %h %s' b.txt hard soft moved; id"]
"#;
    let expected = "/etc:\nonly\n\n/work:\nb.txt\nhard\nmade\nmoved\nsoft\n\n/work/moved/e:\nf\nmade\nkept\n4750 1 2\n644 2 5\n777 1 4\n755 3";
    for tender in tenders() {
        let said = bench.says(containerfile, &["--no-cache", "--tender", tender]);
        assert!(said.starts_with(expected), "{tender}: {said}");
        assert!(said.contains("uid=0"));
    }
}

#[test]
fn instructions_mean_what_they_mean_to_docker() {
    let Some(bench) = bench() else { return };
    let containerfile = r#"# escape=\
ARG TAG=base
FROM rootfs:$TAG AS first
ARG NAME=nobody OTHER
ENV GREETING="hello $NAME" LATE=${LATE:-late}
SHELL ["/bin/sh", "-ec"]
RUN mkdir /out; echo "$GREETING, $OTHER" \
    # a comment in between
    > /out/greeting
RUN <<END
echo one > /out/script
echo two >> /out/script
END
COPY <<plain <<"raw" /out/
$GREETING "quoted"
plain
$GREETING
raw
USER app:staff
RUN test "$HOME" = /home/app; id > /dev/null
USER 0

FROM first AS unused
RUN exit 3

FROM rootfs:base
COPY --from=first --chown=app:staff --chmod=640 /out /there/
COPY --from=0 /out/script /single
WORKDIR there
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["cat greeting script plain raw /single; stat -c '%u:%g %a' script . /single; pwd; env"]
LABEL a=1 "b c"="d e"
EXPOSE 80 53/udp
VOLUME ["/vol"]
STOPSIGNAL SIGINT
HEALTHCHECK --interval=1m30s --retries=3 CMD true
"#;
    let said = bench.says(containerfile, &["--build-arg", "NAME=you", "--build-arg", "OTHER=there"]);
    let expected = "hello you, there\none\ntwo\nhello you \"quoted\"\n$GREETING\none\ntwo\n1000:50 640\n1000:50 755\n0:0 644\n/there\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(!said.contains("GREETING="), "the last stage has an environment of its own");
    let output = bench.build(containerfile, &["-o", "oci:layout:mine", "--label", "more=x"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |path: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(bench.path("layout").join(path)).unwrap()).unwrap()
    };
    let blob = |value: &serde_json::Value| {
        read(&value["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/"))
    };
    let manifest = blob(&read("index.json")["manifests"][0]);
    let config = blob(&manifest["config"]);
    let process = &config["config"];
    assert_eq!(process["Labels"], serde_json::json!({"a": "1", "b c": "d e", "more": "x"}));
    assert_eq!(process["ExposedPorts"], serde_json::json!({"80/tcp": {}, "53/udp": {}}));
    assert_eq!(process["Volumes"], serde_json::json!({"/vol": {}}));
    assert_eq!(process["WorkingDir"], "/there");
    assert_eq!(process["StopSignal"], "SIGINT");
    assert_eq!(process["Healthcheck"]["Interval"], 90_000_000_000_u64);
    assert_eq!(process["Healthcheck"]["Retries"], 3);
    let layers =
        config["history"].as_array().unwrap().iter().filter(|entry| entry["empty_layer"] != true).count();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers);
    for tool in ["skopeo", "umoci"] {
        if !in_path(tool) {
            eprintln!("skipped: there is no {tool} to read the layout with");
            continue;
        }
        let arguments: &[&str] = if tool == "skopeo" {
            &["inspect", "oci:layout:mine"]
        } else {
            &["unpack", "--rootless", "--image", "layout:mine", "bundle"]
        };
        let output = Command::new(tool).args(arguments).current_dir(bench.folder.path()).output().unwrap();
        assert!(output.status.success(), "{tool}: {}", text(&output.stderr));
    }
}

#[test]
fn images_of_the_store_are_built_upon() {
    let Some(bench) = bench() else { return };
    let first = "FROM rootfs:base\nRUN mkdir /a && echo 1 > /a/f && echo 2 > /a/g\nENV A=1\nONBUILD RUN echo triggered > /a/t\n";
    let output = bench.build(first, &["-t", "mine:1"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let second = "FROM mine:1\nRUN rm /a/f && echo 3 > /a/g\nCOPY --from=mine:1 /a /copy\nCMD [\"/bin/sh\", \"-c\", \"ls /a /copy; cat /a/g /copy/g /a/t; echo $A\"]\n";
    assert_eq!(bench.says(second, &[]), "/a:\ng\nt\n\n/copy:\nf\ng\n3\n2\ntriggered\n1\n");
}

#[test]
fn the_cache_knows_by_content() {
    let Some(bench) = bench() else { return };
    bench.file("input", "one\n");
    bench.file("other", "x\n");
    let containerfile = "FROM rootfs:base\nARG V=1\nRUN echo $V > /v\nCOPY input /input\nRUN cat /input > /copy\nCMD [\"cat\", \"/copy\", \"/v\"]\n";
    let cached = |arguments: &[&str]| {
        let output = bench.build(containerfile, &[&["-o", "app"], arguments].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stderr).matches("  cached").count()
    };
    assert_eq!(cached(&[]), 0);
    assert_eq!(cached(&[]), 4);
    bench.file("other", "y\n");
    // Times are no contents.
    bench.file("input", "one\n");
    assert_eq!(cached(&[]), 4);
    bench.file("input", "two\n");
    assert_eq!(cached(&[]), 2);
    assert_eq!(text(&Command::new(bench.path("app")).output().unwrap().stdout), "two\n1\n");
    assert_eq!(cached(&["--build-arg", "V=2"]), 1);
    assert_eq!(text(&Command::new(bench.path("app")).output().unwrap().stdout), "two\n2\n");
    assert_eq!(cached(&["--no-cache"]), 0);
}

#[test]
fn the_context_is_what_dockerignore_leaves() {
    let Some(bench) = bench() else { return };
    for name in ["a.c", "b.o", "deep/c.o", "deep/d.c", "secret", ".hidden"] {
        bench.file(name, name);
    }
    bench.file(".dockerignore", "**/*.o\nsecret\nbase\n!base/etc/passwd\n");
    let containerfile = "FROM scratch\nCOPY . /all\nCOPY *.c deep/?.c /matched/\n";
    let output = bench.build(containerfile, &["-o", "oci:layout"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut names = Vec::new();
    for blob in fs::read_dir(bench.path("layout/blobs/sha256")).unwrap() {
        let listed = Command::new("tar").arg("tf").arg(blob.unwrap().path()).output().unwrap();
        names.extend(
            text(&listed.stdout)
                .lines()
                .filter(|name| !name.ends_with('/'))
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        );
    }
    names.sort();
    assert_eq!(
        names,
        [
            "all/.dockerignore",
            "all/.hidden",
            "all/Containerfile",
            "all/a.c",
            "all/base/etc/passwd",
            "all/deep/d.c",
            "matched/a.c",
            "matched/d.c"
        ]
    );
    bench.fails("FROM scratch\nCOPY secret /\n", &["Containerfile:2", "secret", ".dockerignore"]);
}

#[test]
fn archives_are_unpacked_by_add_alone() {
    let Some(bench) = bench() else { return };
    bench.file("in/file", "archived\n");
    let made = Command::new("tar")
        .args(["czf", "arch.tgz", "in"])
        .current_dir(bench.path("context"))
        .status()
        .unwrap();
    assert!(made.success());
    let containerfile = "FROM rootfs:base\nADD arch.tgz /added/\nCOPY arch.tgz /copied/\nADD in/file /plain\nCMD [\"/bin/sh\", \"-c\", \"cat /added/in/file /plain; ls /copied\"]\n";
    assert_eq!(bench.says(containerfile, &[]), "archived\narchived\narch.tgz\n");
}

#[test]
fn what_cannot_be_built_is_said() {
    let Some(bench) = bench() else { return };
    bench.file("one", "1");
    bench.file("two", "2");
    for (containerfile, says) in [
        ("FROM rootfs:base\n\nRUN exit 5\n", &["Containerfile:3", "exit code 5"][..]),
        ("FROM rootfs:base\nRUN wget http://example.invalid/\n", &["no outside network"]),
        ("FROM scratch\nRUN ls\n", &["127", "no such program"]),
        ("FROM scratch\nCOPY nothing /\n", &["nothing", "not in the context"]),
        ("FROM scratch\nCOPY ../x /\n", &["leads out of the context"]),
        ("FROM scratch\nCOPY one two /place\n", &["slash at its end"]),
        ("FROM scratch\nCOPY --wrong=1 one /\n", &["--wrong"]),
        ("FROM scratch\nCOPY --chown=none one /\n", &["none", "no such user"]),
        ("FROM scratch\nCOPY --from=nowhere one /\n", &["nowhere"]),
        ("FROM scratch\nADD https://example.invalid/x /\n", &["nothing is fetched"]),
        ("FROM --platform=linux/arm64 scratch\n", &["linux/amd64"]),
        ("FROM scratch\nRUN --mount=type=cache,target=/x ls\n", &["--mount"]),
        ("FROM scratch\nENV A=${B\n", &["Containerfile:2", "not closed"]),
        ("FROM scratch\nFROB x\n", &["FROB"]),
        ("RUN ls\n", &["FROM"]),
        ("", &["Containerfile"]),
        ("FROM rootfs:base\n", &["ENTRYPOINT or CMD"]),
    ] {
        let output = bench.build(containerfile, &["-o", "never"]);
        let error = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 125)), "{containerfile}: {error}");
        for phrase in says {
            assert!(error.contains(phrase), "{containerfile}: {phrase}: {error}");
        }
        assert!(!bench.path("never").exists());
    }
}

#[test]
fn the_same_inputs_give_the_same_image() {
    let Some(bench) = bench() else { return };
    bench.file("a", "a");
    let containerfile = "FROM rootfs:base\nCOPY a /x/y/\nRUN echo b > /b && rm /x/y/a\nCMD [\"/bin/ls\"]\n";
    let id = |_| {
        bench.file("Containerfile", containerfile);
        let mut command = bench.husk(&["build", "--no-cache", "-t", "same", "-o", "app", "context"]);
        let output = command
            .env("XDG_DATA_HOME", bench.path("data"))
            .env("SOURCE_DATE_EPOCH", "86400")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (text(&output.stdout), fs::read(bench.path("app")).unwrap())
    };
    let [first, second] = [0, 1].map(|round| {
        std::thread::sleep(std::time::Duration::from_millis(1100 * round));
        id(round)
    });
    assert!(first == second);
}

#[test]
fn what_can_be_made_again_is_pruned() {
    let Some(bench) = Bench::new() else { return };
    bench.compile("hello", "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n");
    let prune = |arguments: &[&str]| -> serde_json::Value {
        let output = bench.must(&[&["prune", "--format", "json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let files = |pruned: &serde_json::Value| -> Vec<u64> {
        let kinds = pruned["Kinds"].as_array().unwrap();
        kinds.iter().map(|kind| kind["Files"].as_u64().unwrap()).collect()
    };
    assert_eq!(text(&bench.must(&["run", "./hello"]).stdout), "hello\n");
    fs::create_dir(bench.path("context")).unwrap();
    fs::copy(bench.path("hello"), bench.path("context/hello")).unwrap();
    fs::write(bench.path("context/Containerfile"), "FROM scratch\nCOPY hello /\nCMD [\"/hello\"]\n").unwrap();
    bench.must(&["build", "-t", "named", "context"]);
    fs::write(bench.path("context/more"), "more").unwrap();
    fs::write(bench.path("context/Containerfile"), "FROM scratch\nCOPY more /\n").unwrap();
    bench.must(&["build", "context"]);
    // All of it was used just now, but the image without a name is nobody's: manifest, configuration, layer with its frame.
    let would = prune(&["--all", "--dry-run"]);
    assert_eq!(files(&would), [4, 0, 0], "{would}");
    assert_eq!(prune(&[])["Bytes"], would["Bytes"]);
    assert_eq!(files(&prune(&["--all"])), [0, 0, 0]);
    // An hour later.
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for folder in ["cache/husk/images", "cache/husk/build"] {
        for entry in fs::read_dir(bench.path(folder)).unwrap().flatten() {
            let times = fs::FileTimes::new().set_accessed(old).set_modified(old);
            fs::File::options().write(true).open(entry.path()).unwrap().set_times(times).unwrap();
        }
    }
    assert_eq!(files(&prune(&[])), [0, 0, 0]);
    let pruned = prune(&["--all"]);
    assert_eq!(files(&pruned), [0, 1, 2], "{pruned}");
    assert_eq!(fs::read_dir(bench.path("cache/husk/images")).unwrap().count(), 0);
    // What is gone is made again.
    assert_eq!(text(&bench.must(&["run", "./hello"]).stdout), "hello\n");
    assert_eq!(text(&bench.must(&["run", "named"]).stdout), "hello\n");
    assert!(text(&bench.must(&["prune"]).stdout).ends_with("freed: 0 B\n"));
}

/// Guests that are started while the cache is emptied of what was not used for a second find what they need, or pack it
/// again.
#[test]
fn a_cache_that_is_emptied_fails_nobody() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};
    let Some(bench) = Bench::new() else { return };
    bench.compile("hello", "#include <stdio.h>\nint main(void) { puts(\"hello\"); }\n");
    bench.must(&["run", "./hello"]);
    let emptied = AtomicUsize::new(0);
    let deadline = Instant::now() + Duration::from_secs(20);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while emptied.load(Ordering::Relaxed) < 3 && Instant::now() < deadline {
                for entry in fs::read_dir(bench.path("cache/husk/images")).unwrap().flatten() {
                    let Ok(stat) = entry.metadata() else { continue };
                    let used = stat.accessed().unwrap().max(stat.modified().unwrap());
                    let is_old = used.elapsed().is_ok_and(|age| age > Duration::from_secs(1));
                    if is_old && fs::remove_file(entry.path()).is_ok() {
                        emptied.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        while emptied.load(Ordering::Relaxed) < 3 && Instant::now() < deadline {
            assert_eq!(text(&bench.must(&["run", "./hello"]).stdout), "hello\n");
        }
    });
    assert_eq!(emptied.load(Ordering::Relaxed), 3);
}

/// A RUN costs what it changes: its guest has the base as it lies in the store.
#[test]
fn run_copies_nothing_of_its_base() {
    use std::time::{Duration, Instant};
    let Some(bench) = Bench::new() else { return };
    bench.compile("wait", "#include <unistd.h>\nint main(void) { return sleep(3); }\n");
    fs::create_dir(bench.path("root")).unwrap();
    let program = format!("wait-{}", std::process::id());
    fs::copy(bench.path("wait"), bench.path("root").join(&program)).unwrap();
    fs::write(bench.path("root/big"), vec![7; 8 << 20]).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-C", "root", "-cf", "root.tar", "."]).current_dir(bench.folder.path());
    assert!(tar.status().unwrap().success());
    bench.must(&["import", "root.tar", "big"]);
    fs::create_dir(bench.path("context")).unwrap();
    let file = format!("FROM big\nCOPY Containerfile /b\nRUN [\"/{program}\"]\n");
    fs::write(bench.path("context/Containerfile"), file).unwrap();
    let mut build = bench.husk(&["build", "-t", "out", "context"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let files = loop {
        let guests = husk_host::running::list().unwrap();
        match guests.iter().find(|guest| guest.program() == format!("/{program}").as_str()) {
            Some(guest) => break guest.root_files(),
            None if Instant::now() > deadline => panic!("no guest"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    assert!(build.wait().unwrap().success());
    // Metadata, and two layers of the store.
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files[0].1 < 1 << 20 && files[1].1 > 8 << 20, "{files:?}");
    let layers = fs::canonicalize(bench.path("data/husk/images/layers")).unwrap();
    assert!(files[1..].iter().all(|(path, _)| path.starts_with(&layers)), "{files:?}");
}
