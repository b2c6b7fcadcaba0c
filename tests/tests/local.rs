//! Images of podman's store and of Docker's socket, which podman's service speaks too.

mod common;

use common::{Bench, in_path, text};
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A store of podman's with an image of two layers; the second changes and removes files of the first.
struct Podman {
    bench: Bench,
    driver: &'static str,
}

impl Podman {
    fn new(driver: &'static str) -> Option<Self> {
        let bench = Bench::new()?;
        if !in_path("podman") {
            eprintln!("skipped: there is no podman");
            return None;
        }
        bench.compile("said", "#include <stdio.h>\nint main(void) { char line[99]; FILE *f = fopen(\"/b/text\", \"r\"); fgets(line, 99, f); printf(\"%s%d\\n\", line, !fopen(\"/a\", \"r\")); return 5; }\n");
        fs::create_dir_all(bench.path("context/b")).unwrap();
        fs::copy(bench.path("said"), bench.path("context/said")).unwrap();
        fs::write(bench.path("context/a"), "a").unwrap();
        fs::write(bench.path("context/b/text"), "first\n").unwrap();
        fs::write(bench.path("context/second"), "second\n").unwrap();
        let containerfile = "FROM scratch\nCOPY . /\nENV A=B\nCOPY second /b/text\nCMD [\"/said\"]\n";
        fs::write(bench.path("context/Containerfile"), containerfile).unwrap();
        let make = |arguments: &[&str]| {
            let output = bench.husk(arguments).env("XDG_DATA_HOME", bench.path("maker")).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
        };
        make(&["build", "-t", "localhost/two:1", "context"]);
        make(&["save", "localhost/two:1", "-o", "docker-archive:two.tar:localhost/two:1"]);
        let podman = Self { bench, driver };
        let loaded = podman.podman(&["load", "-q", "-i", "two.tar"]).output().unwrap();
        if !loaded.status.success() {
            eprintln!("skipped: podman cannot keep images here with {driver}: {}", text(&loaded.stderr));
            return None;
        }
        Some(podman)
    }

    fn podman(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.args(["--storage-driver", self.driver, "--root"]).arg(self.bench.path("store"));
        command
            .arg("--runroot")
            .arg(self.bench.path("run"))
            .args(arguments)
            .current_dir(self.bench.folder.path());
        command.env_remove("CONTAINERS_STORAGE_CONF");
        command
    }

    fn husk(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = self.bench.husk(arguments);
        command.env("XDG_DATA_HOME", self.bench.path("data")).env_remove("DOCKER_HOST");
        command.envs(variables.iter().copied()).output().unwrap()
    }

    /// Pulls by `name`, which gives podman's id and a guest that says the same as under any other engine.
    fn agrees(&self, name: &str, variables: &[(&str, &str)]) {
        let pulled = self.husk(&["pull", "-q", name], variables);
        assert!(pulled.status.success(), "{name}: {}", text(&pulled.stderr));
        let id =
            self.podman(&["image", "inspect", "--format", "{{.Id}}", "localhost/two:1"]).output().unwrap();
        assert_eq!(text(&pulled.stdout).trim(), format!("sha256:{}", text(&id.stdout).trim()), "{name}");
        let run = self.husk(&["run", name], variables);
        assert_eq!(
            (text(&run.stdout).as_str(), run.status.code()),
            ("second\n0\n", Some(5)),
            "{name}: {}",
            text(&run.stderr)
        );
        fs::remove_dir_all(self.bench.path("data")).unwrap();
    }
}

#[test]
fn images_of_podmans_store() {
    for driver in ["overlay", "vfs"] {
        let Some(podman) = Podman::new(driver) else { continue };
        let store = podman.bench.path("store");
        let bracket = format!(
            "containers-storage:[{driver}@{}+{}]",
            store.display(),
            podman.bench.path("run").display()
        );
        podman.agrees(&format!("{bracket}localhost/two:1"), &[]);
        podman.agrees(&format!("containers-storage:[{}]two:1", store.display()), &[]);
        let id =
            podman.podman(&["image", "inspect", "--format", "{{.Id}}", "localhost/two:1"]).output().unwrap();
        podman.agrees(&format!("{bracket}{}", &text(&id.stdout)[..12]), &[]);
        // The store that storage.conf names.
        let conf = podman.bench.path("storage.conf");
        let line = format!(
            "[storage]\ndriver = \"{driver}\"\ngraphroot = \"{0}\"\nrootless_storage_path = \"{0}\"\n",
            store.display()
        );
        fs::write(&conf, line).unwrap();
        let conf = [("CONTAINERS_STORAGE_CONF", conf.to_str().unwrap())];
        podman.agrees("containers-storage:localhost/two:1", &conf);
        let missing = podman.husk(&["pull", "containers-storage:none"], &conf);
        assert_eq!(missing.status.code(), Some(125));
        assert!(text(&missing.stderr).contains("containers-storage:none"), "{}", text(&missing.stderr));
        let nowhere = podman.husk(&["pull", "containers-storage:[/nowhere]none"], &[]);
        assert!(text(&nowhere.stderr).contains("/nowhere: podman has no images there"));
    }
}

/// Ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn images_of_dockers_socket() {
    let Some(podman) = Podman::new("overlay") else { return };
    let socket = podman.bench.path("docker.sock");
    let host = format!("unix://{}", socket.display());
    let nobody = podman.husk(&["pull", "docker-daemon:two:1"], &[("DOCKER_HOST", &host)]);
    assert!(text(&nobody.stderr).contains("docker.sock"), "{}", text(&nobody.stderr));
    let mut service = podman.podman(&["system", "service", "--time", "0", &host]);
    let _service =
        Service(service.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    for _ in 0..3000 {
        if UnixStream::connect(&socket).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let variables = [("DOCKER_HOST", host.as_str())];
    podman.agrees("docker-daemon:localhost/two:1", &variables);
    let missing = podman.husk(&["pull", "docker-daemon:none:1"], &variables);
    assert_eq!(missing.status.code(), Some(125));
    assert!(text(&missing.stderr).contains("docker-daemon:none:1"), "{}", text(&missing.stderr));
    let other = podman.husk(&["pull", "docker-daemon:x"], &[("DOCKER_HOST", "tcp://h:1")]);
    assert!(text(&other.stderr).contains("only unix://"), "{}", text(&other.stderr));
}
