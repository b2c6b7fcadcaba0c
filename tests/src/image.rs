//! The images suite (`images.toml`): container images are made on this host, pushed to a registry on loopback, pulled from
//! there, and run; what each run prints and its exit status must be those of runc on the same image.
//!
//! The registry, umoci (which makes the images and runc's bundles), skopeo (which pushes) and runc are Debian's; without
//! one of them, without root, or where runc cannot run here, the images are skipped with that reason.

use crate::exec::{self, End, Outcome};
use crate::program;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one run may take that takes seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);
/// How long making an image may take.
const BUILD_LIMIT: Duration = Duration::from_secs(600);
/// What is needed for any image.
const TOOLS: [&str; 4] = ["umoci", "runc", "skopeo", "docker-registry"];
/// What Docker leaves a container of root.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// One image and what is run of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    /// Name of the case; its family is `images`.
    pub(crate) name: String,
    /// Programs of the host without which the image is skipped.
    #[serde(default)]
    needs: Vec<String>,
    /// Building it needs Debian's archive: a failure to build skips it.
    #[serde(default)]
    network: bool,
    /// Shell script that leaves `root/`, or layers as `1.tar`, `2.tar` and so on. `$IMAGES` is the folder of the suite's own
    /// sources; what is costly may be left in `$KEPT`.
    build: String,
    /// Arguments of `umoci config`.
    config: Vec<String>,
    runs: Vec<Run>,
}

/// One run of an image.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Run {
    arguments: Vec<String>,
    entrypoint: Option<String>,
    user: Option<String>,
    workdir: Option<String>,
    env: Vec<String>,
    /// Standard error is compared too.
    also_stderr: bool,
    /// Where runc, which is no user's own tool, ends in another way than Docker does.
    status: Option<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Images {
    image: Vec<Image>,
}

/// An image that was made, and the registry that serves it.
pub(crate) struct Made {
    folder: PathBuf,
    reference: String,
    registry: Child,
}

impl Drop for Made {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.registry.kill();
        let _ = self.registry.wait();
    }
}

impl Image {
    /// Reads the list at `path`.
    pub(crate) fn read(path: &Path) -> Result<Vec<Image>, String> {
        program::read::<Images>(path).map(|file| file.image)
    }

    /// Why the image cannot be tried on this host.
    pub(crate) fn lacks(&self) -> Option<String> {
        let tools = TOOLS.map(str::to_owned);
        if let Some(missing) = program::missing(&tools).or_else(|| program::missing(&self.needs)) {
            return Some(format!("{missing} is not on this host"));
        }
        (!rustix::process::geteuid().is_root())
            .then(|| "runc and umoci keep owners of files for root only".to_owned())
    }

    /// Makes the image, its bundle for runc and a registry with it; `Err(Ok(reason))` where it cannot be had here.
    pub(crate) fn make(
        &self,
        folder: &Path,
        sources: &Path,
        kept: &Path,
    ) -> Result<Made, Result<String, String>> {
        let mut script = Command::new("env");
        script.arg(format!("IMAGES={}", sources.display())).arg(format!("KEPT={}", kept.display()));
        script.args(["/bin/sh", "-ec", &self.build]).current_dir(folder);
        if let Err(error) = must(script, BUILD_LIMIT) {
            return Err(if self.network {
                Ok(format!("no image could be made of Debian's archive: {error}"))
            } else {
                Err(error)
            });
        }
        self.assemble(folder).map_err(Err)
    }

    /// Words of the image's entry point.
    fn entrypoint_len(&self) -> usize {
        self.config.iter().filter(|argument| *argument == "--config.entrypoint").count()
    }

    fn assemble(&self, folder: &Path) -> Result<Made, String> {
        let tool = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(folder);
            must(command, BUILD_LIMIT)
        };
        tool("umoci", &["init", "--layout", "layout"])?;
        tool("umoci", &["new", "--image", "layout:it"])?;
        if folder.join("root").is_dir() {
            tool("tar", &["-C", "root", "--numeric-owner", "--sort=name", "-cf", "1.tar", "."])?;
        }
        for layer in (1..).map(|number| format!("{number}.tar")).take_while(|name| folder.join(name).exists())
        {
            tool("umoci", &["raw", "add-layer", "--image", "layout:it", &layer])?;
        }
        let config: Vec<&str> = self.config.iter().map(String::as_str).collect();
        tool("umoci", &[&["config", "--image", "layout:it"], config.as_slice()].concat())?;
        tool("umoci", &["unpack", "--image", "layout:it", "bundle"])?;
        fs::copy(folder.join("bundle/config.json"), folder.join("config.json"))
            .map_err(|error| error.to_string())?;

        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| error.to_string())?;
        let config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{port}'}}\n",
            folder.join("registry").display()
        );
        fs::write(folder.join("registry.yml"), config).map_err(|error| error.to_string())?;
        let registry = Command::new("docker-registry")
            .args(["serve", "registry.yml"])
            .current_dir(folder)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("docker-registry: {error}"))?;
        let made =
            Made { folder: folder.to_owned(), reference: format!("{port}/suite/{}:it", self.name), registry };
        let patience = Instant::now() + LIMIT;
        while TcpStream::connect(port).is_err() {
            if Instant::now() > patience {
                return Err("docker-registry does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let target = format!("docker://{}", made.reference);
        tool(
            "skopeo",
            &["--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "oci:layout:it", &target],
        )?;
        Ok(made)
    }

    /// What all runs show under runc; an error where runc cannot run at all.
    pub(crate) fn under_runc(&self, made: &Made) -> Result<Vec<Outcome>, String> {
        let text = fs::read(made.folder.join("config.json")).map_err(|error| error.to_string())?;
        let config: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        self.runs
            .iter()
            .enumerate()
            .map(|(number, run)| {
                let changed = run.bundle(config.clone(), self.entrypoint_len());
                let path = made.folder.join("bundle/config.json");
                fs::write(&path, changed.to_string()).map_err(|error| error.to_string())?;
                let mut command = Command::new("runc");
                command.arg("--root").arg(made.folder.join("runc")).args(["run", "--bundle"]);
                command.arg(made.folder.join("bundle")).arg(format!(
                    "husk-tests-{}-{}-{number}",
                    std::process::id(),
                    self.name
                ));
                let mut outcome =
                    exec::run(&command, b"", LIMIT).map_err(|error| format!("runc: {error}"))?;
                if let Some(status) = run.status {
                    // The program was not started, so what runc says and how it ends is its own.
                    if outcome.end == End::Status(0) {
                        return Err(format!("runc started {:?}", run.entrypoint));
                    }
                    outcome = Outcome { stdout: String::new(), end: End::Status(status), ..outcome };
                }
                Ok(outcome)
            })
            .collect()
    }

    /// Pulls the image into a store of its own below the image's folder, and runs it as runc did.
    pub(crate) fn under_husk(&self, made: &Made, husk: &Path, tender: &str) -> Result<Vec<Outcome>, String> {
        let with_store = |program: &Path| {
            let mut command = Command::new("env");
            for (name, folder) in [("XDG_DATA_HOME", "data"), ("XDG_CACHE_HOME", "cache")] {
                command.arg(format!("{name}={}", made.folder.join(folder).display()));
            }
            command.arg(program);
            command
        };
        let mut pull = with_store(husk);
        pull.args(["pull", &made.reference]);
        must(pull, BUILD_LIMIT)?;
        let one = |run: &Run| {
            let mut command = with_store(husk);
            command.args(["run", "--tender", tender]);
            for (option, value) in
                [("--entrypoint", &run.entrypoint), ("--user", &run.user), ("--workdir", &run.workdir)]
            {
                command.args(value.iter().flat_map(|value| [option, value]));
            }
            command.args(run.env.iter().flat_map(|entry| ["--env", entry]));
            command.arg(&made.reference).args(&run.arguments);
            exec::run(&command, b"", LIMIT).map_err(|error| error.to_string())
        };
        self.runs.iter().map(one).collect()
    }

    /// All outcomes as one, so that a difference shows in its place.
    pub(crate) fn joined(&self, outcomes: &[Outcome]) -> Outcome {
        let mut all = Outcome { stdout: String::new(), stderr: String::new(), end: End::Status(0) };
        for (run, outcome) in self.runs.iter().zip(outcomes) {
            let title = format!("== {:?} {}", run.entrypoint, run.arguments.join(" "));
            let _ = writeln!(all.stdout, "{title}\n{}== {}", plain(&outcome.stdout), outcome.end);
            if run.also_stderr {
                all.stdout += &outcome.stderr;
            }
            let _ = writeln!(all.stderr, "{title}\n{}", outcome.stderr);
        }
        all
    }
}

/// Without the one variable that Docker and podman set and runc does not.
fn plain(text: &str) -> String {
    let lines = text.split_inclusive('\n').filter(|line| !line.starts_with("HOSTNAME="));
    lines.collect()
}

impl Run {
    /// The bundle's configuration for this run, with what Docker and podman would ask of runc.
    fn bundle(&self, mut config: Value, entrypoint_len: usize) -> Value {
        let process = &mut config["process"];
        process["terminal"] = json!(false);
        process["noNewPrivileges"] = json!(false);
        let sets = ["bounding", "effective", "permitted"].map(|name| (name.to_owned(), json!(CAPABILITIES)));
        process["capabilities"] = Value::Object(sets.into_iter().collect());
        config["hostname"] = json!(rustix::system::uname().nodename().to_string_lossy());
        let process = &mut config["process"];
        // The host's, as husk leaves them.
        process.as_object_mut().map(|process| process.remove("rlimits"));
        if let Some(user) = &self.user {
            let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
            process["user"] =
                json!({"uid": uid.parse::<u32>().unwrap_or(0), "gid": gid.parse::<u32>().unwrap_or(0)});
        }
        if let Some(workdir) = &self.workdir {
            process["cwd"] = json!(workdir);
        }
        if let Some(env) = process["env"].as_array_mut() {
            // TERM is umoci's own addition.
            env.retain(|entry| entry != "TERM=xterm");
            for entry in &self.env {
                let name = entry.split('=').next().unwrap_or_default();
                env.retain(|old| old.as_str().and_then(|old| old.split('=').next()) != Some(name));
                env.push(json!(entry));
            }
            if self.user.is_some() {
                env.retain(|old| !old.as_str().is_some_and(|old| old.starts_with("HOME=")));
                env.push(json!(if self.user.as_deref() == Some("0") { "HOME=/root" } else { "HOME=/" }));
            }
        }
        if let Some(entrypoint) = &self.entrypoint {
            process["args"] = json!([entrypoint]);
        }
        if !self.arguments.is_empty() {
            let old = config["process"]["args"].as_array().cloned().unwrap_or_default();
            // umoci joins entry point and command; what is given stands in for the command alone.
            let keep = if self.entrypoint.is_some() { 1 } else { entrypoint_len };
            let args =
                old.into_iter().take(keep).chain(self.arguments.iter().map(|argument| json!(argument)));
            config["process"]["args"] = args.collect();
        }
        config
    }
}

/// Runs a tool to its good end.
fn must(mut command: Command, limit: Duration) -> Result<(), String> {
    command.stdin(Stdio::null());
    let outcome = exec::run(&command, b"", limit).map_err(|error| error.to_string())?;
    match outcome.end {
        End::Status(0) => Ok(()),
        end => {
            Err(format!("{}: {end}: {}{}", command.get_program().display(), outcome.stdout, outcome.stderr))
        }
    }
}
