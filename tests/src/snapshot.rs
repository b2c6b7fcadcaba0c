//! Snapshots: a guest is saved at a moment of chance, its tender killed, and it is restored, more than once; there its own
//! checks must pass. And what must not harm: damaged files, clients that die or talk nonsense.

use crate::exec::{self, End};
use crate::report::Verdict;
use husk_abi::control::{Kind, MESSAGE_MAX, Record, Request, Verb};
use husk_host::running::{self as guest, Guest};
use rustix::net::{SendFlags, send};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that takes a second on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// python3 with threads, a child, files, a timer and a sleeper.
    Python,
    /// A C program that checks registers, memory of all kinds and many processes.
    State,
    /// As `State`, saved again after it was restored, and going on after each time.
    Again,
    /// As `State`, in a container image of several layers, which the store loses its name for.
    Image,
    /// Files that are damaged, or of something else.
    Damaged,
    /// Clients that talk nonsense, leave the guest parked, or die while they are sent memory.
    Clients,
}

impl Scenario {
    pub(crate) const ALL: [Self; 6] =
        [Self::Python, Self::State, Self::Again, Self::Image, Self::Damaged, Self::Clients];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::State => "state",
            Self::Again => "again",
            Self::Image => "image",
            Self::Damaged => "damaged",
            Self::Clients => "clients",
        }
    }
}

/// Where a scenario runs.
pub(crate) struct Bench<'a> {
    pub(crate) husk: &'a Path,
    /// Sources of the programs here.
    pub(crate) sources: PathBuf,
    /// A folder of its own.
    pub(crate) folder: &'a Path,
    pub(crate) tender: &'a str,
}

/// A guest under test; dropped, it is killed.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    name: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(mut command: Command, name: String) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let out = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        Ok(Self { child, out, name })
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.out.read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim_end().to_owned())
    }

    /// The guest as `husk ps` knows it, once it does.
    fn guest(&self) -> Result<Guest, String> {
        let patience = Instant::now() + LIMIT;
        loop {
            match guest::find(&self.name) {
                Ok(guest) => return Ok(guest),
                Err(error) if Instant::now() > patience => return Err(error.to_string()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Waits for the end; the last line must be the program's verdict "ok".
    fn must_be_well(mut self, what: &str) -> Result<(), String> {
        let end = exec::wait(&mut self.child, LIMIT).map_err(|error| error.to_string())?;
        let mut last = String::new();
        while let line = self.line()?
            && !line.is_empty()
        {
            last = line;
        }
        match (last.as_str(), end) {
            ("ok", End::Status(0)) => Ok(()),
            _ => Err(format!("{what}: said {last:?}; {end}")),
        }
    }
}

/// A number below `limit`, never the same.
fn chance(limit: u64) -> u64 {
    RandomState::new().hash_one(limit) % limit
}

fn name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Bench<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.husk);
        command.args(arguments).current_dir(self.folder);
        // For images; roots are packed in the user's own cache, where others find them.
        command.env("XDG_DATA_HOME", self.folder.join("data"));
        command
    }

    /// Starts `program` and waits until it says that it is ready.
    fn run(&self, options: &[OsString], program: &[OsString]) -> Result<Running, String> {
        let name = name();
        let mut command = self.command(&["run", "--tender", self.tender, "--name", &name]);
        command.args(options).arg("--").args(program);
        let mut running = Running::start(command, name)?;
        match running.line()?.as_str() {
            "ready" => Ok(running),
            said => Err(format!("the program said {said:?} in place of ready")),
        }
    }

    /// The C program, for so many seconds.
    fn state(&self, seconds: &str) -> Result<Running, String> {
        self.run(&[], &[self.compiled(&[])?.into(), seconds.into()])
    }

    fn compiled(&self, options: &[&str]) -> Result<PathBuf, String> {
        let program = self.folder.join("state");
        if !program.exists() {
            let mut command = Command::new("cc");
            command
                .args(["-O1", "-pthread", "-o"])
                .arg(&program)
                .args(options)
                .arg(self.sources.join("state.c"));
            let status = command.status().map_err(|error| format!("cc: {error}"))?;
            if !status.success() {
                return Err(format!("cc: {status}"));
            }
        }
        Ok(program)
    }

    /// `husk` to its good end: what it printed.
    fn must(&self, arguments: &[&str]) -> Result<String, String> {
        let outcome = exec::run(&self.command(arguments), b"", LIMIT).map_err(|error| error.to_string())?;
        match outcome.end {
            End::Status(0) => Ok(outcome.stdout),
            end => Err(format!("husk {arguments:?}: {end}: {}", outcome.stderr)),
        }
    }

    fn image(&self) -> Result<(), String> {
        let fail = |error: std::io::Error| error.to_string();
        let program = self.compiled(&["-static"])?;
        fs::create_dir(self.folder.join("context")).map_err(fail)?;
        fs::copy(program, self.folder.join("context/state")).map_err(fail)?;
        let text = "FROM scratch\nCOPY state /other\nCOPY state /state\nVOLUME /volume\nSTOPSIGNAL SIGUSR1\n";
        fs::write(self.folder.join("context/Containerfile"), text).map_err(fail)?;
        self.must(&["build", "-t", "state", "context"])?;
        let start = || self.run(&["--image".into()], &["state".into(), "/state".into(), "3".into()]);
        self.save_kill_restore(start)?;
        // Saved again after it was restored, and kept from sweeps by that alone.
        let restored = self.restore("file")?;
        restored.guest()?;
        self.save(&restored.name, "second", &["--stop"])?;
        drop(restored);
        self.must(&["rmi", "state"])?;
        fs::remove_file(self.folder.join("file")).map_err(fail)?;
        self.must(&["prune"])?;
        self.restore("second")?.must_be_well("restored without the image's name")?;
        // A snapshot that was moved cannot be known to be one.
        fs::rename(self.folder.join("second"), self.folder.join("damaged")).map_err(fail)?;
        self.must(&["prune"])?;
        self.refused(
            "an image that is gone",
            &["that of the image state", "pull or import the image again"],
        )?;
        self.must(&["build", "-t", "state", "context"])?;
        self.must(&["run", "--image", "state", "/other", "2"])?;
        self.restore("damaged")?.must_be_well("restored with the image made again")
    }

    fn save(&self, name: &str, file: &str, options: &[&str]) -> Result<(), String> {
        let mut command = self.command(&["snapshot", name, file]);
        command.args(options);
        let outcome = exec::run(&command, b"", LIMIT).map_err(|error| error.to_string())?;
        match outcome.end {
            End::Status(0) => Ok(()),
            end => Err(format!("husk snapshot: {end}: {}", outcome.stderr)),
        }
    }

    fn restore(&self, file: &str) -> Result<Running, String> {
        let name = name();
        Running::start(self.command(&["restore", "--name", &name, file]), name)
    }

    /// Saves what `start` starts, kills it, and restores it twice, the second time twice at once.
    fn save_kill_restore(&self, start: impl Fn() -> Result<Running, String>) -> Result<(), String> {
        let mut running = start()?;
        std::thread::sleep(Duration::from_millis(chance(1000)));
        self.save(&running.name, "file", &[])?;
        running.child.kill().map_err(|error| error.to_string())?;
        running.child.wait().map_err(|error| error.to_string())?;
        self.restore("file")?.must_be_well("restored")?;
        let (one, other) = (self.restore("file")?, self.restore("file")?);
        one.must_be_well("one of two restored at once")?;
        other.must_be_well("the other of two restored at once")
    }

    fn again(&self) -> Result<(), String> {
        let running = self.state("8")?;
        std::thread::sleep(Duration::from_millis(chance(300)));
        // A guest goes on after it was saved, any number of times.
        for _ in 0..3 {
            self.save(&running.name, "first", &[])?;
        }
        running.must_be_well("saved three times")?;
        let restored = self.restore("first")?;
        restored.guest()?;
        std::thread::sleep(Duration::from_millis(chance(300)));
        self.save(&restored.name, "second", &[])?;
        restored.must_be_well("restored and saved")?;
        // The third is stopped when it is saved.
        let mut restored = self.restore("second")?;
        restored.guest()?;
        self.save(&restored.name, "third", &["--stop"])?;
        let end = exec::wait(&mut restored.child, LIMIT).map_err(|error| error.to_string())?;
        if end != End::Status(137) {
            return Err(format!("a guest that was saved and stopped: {end}"));
        }
        self.restore("third")?.must_be_well("restored for the third time")
    }

    /// `husk restore` must refuse the file and say one of `says`.
    fn refused(&self, what: &str, says: &[&str]) -> Result<(), String> {
        let command = self.command(&["restore", "damaged"]);
        let outcome = exec::run(&command, b"", LIMIT).map_err(|error| error.to_string())?;
        let said = says.iter().any(|phrase| outcome.stderr.contains(phrase));
        let line = outcome.stderr.starts_with("husk: restore: ") && outcome.stderr.lines().count() == 1;
        match outcome.end {
            End::Status(125) if said && line && outcome.stdout.is_empty() => Ok(()),
            end => Err(format!("{what}: {end}: {:?}", outcome.stderr)),
        }
    }

    fn damaged(&self) -> Result<(), String> {
        let fail = |error: std::io::Error| error.to_string();
        let running = self.state("1000")?;
        self.save(&running.name, "file", &["--stop"])?;
        let whole = fs::read(self.folder.join("file")).map_err(fail)?;
        let put = |bytes: &[u8]| fs::write(self.folder.join("damaged"), bytes).map_err(fail);
        for _ in 0..8 {
            let len = chance(whole.len() as u64) as usize;
            put(&whole[..len])?;
            self.refused(&format!("cut off at {len}"), &["cut off", "not a snapshot"])?;
            let mut bytes = whole.clone();
            // Beyond the words that say what the file is.
            let at = 12 + chance(bytes.len() as u64 - 12) as usize;
            bytes[at] ^= 1 << chance(8);
            put(&bytes)?;
            self.refused(&format!("bit flipped at {at}"), &["altered", "cut off"])?;
        }
        let mut longer = whole.clone();
        longer.push(0);
        put(&longer)?;
        self.refused("a byte too long", &["altered"])?;
        let mut version = whole.clone();
        version[8] = 77;
        put(&version)?;
        self.refused("another version", &["version 77"])?;
        put(b"#!/bin/sh\n")?;
        self.refused("a script", &["not a snapshot"])?;
        put(&[])?;
        self.refused("an empty file", &["not a snapshot"])?;
        fs::remove_file(self.folder.join("damaged")).map_err(fail)?;
        self.refused("no file", &["No such file"])?;
        fs::create_dir(self.folder.join("damaged")).map_err(fail)?;
        self.refused("a directory", &["not a snapshot"])?;
        // Another root image than the one it was made with.
        fs::write(self.folder.join("other"), b"other").map_err(fail)?;
        let command = self.command(&["restore", "--rootfs", "other", "file"]);
        let outcome = exec::run(&command, b"", LIMIT).map_err(fail)?;
        if outcome.end != End::Status(125) || !outcome.stderr.contains("another image") {
            return Err(format!("another root image: {}: {:?}", outcome.end, outcome.stderr));
        }
        Ok(())
    }

    fn clients(&self) -> Result<(), String> {
        let running = self.state("8")?;
        let text = |error: guest::Error| error.to_string();
        let guest = running.guest()?;
        let mut buffer = Box::new([0; MESSAGE_MAX]);
        let mut expect = |lease: &guest::Lease, wanted: Kind| match lease.receive(&mut buffer) {
            Ok((Record { kind, .. }, _)) if kind == wanted => Ok(()),
            Ok((record, _)) => Err(format!("{record:?} in place of {wanted:?}")),
            Err(error) => Err(error.to_string()),
        };
        for round in 0..20_u64 {
            let lease = guest.connect().map_err(text)?;
            // Nonsense is answered, and what follows is understood.
            let mut nonsense = Request { verb: Verb::Park, value: round }.to_bytes().to_vec();
            nonsense.truncate(1 + chance(15) as usize);
            nonsense.extend((0..chance(40)).map(|_| chance(256) as u8));
            nonsense[0] = b'H';
            send(&lease, &nonsense, SendFlags::NOSIGNAL).map_err(|error| error.to_string())?;
            expect(&lease, Kind::Failed)?;
            match round % 4 {
                // Left parked.
                0 => {
                    lease.send(Request { verb: Verb::Park, value: 0 }).map_err(text)?;
                    expect(&lease, Kind::Parked)?;
                }
                // Gone before the answer, and after the first of a great many.
                1 => lease.send(Request { verb: Verb::Snapshot, value: 0 }).map_err(text)?,
                2 => {
                    lease.send(Request { verb: Verb::Snapshot, value: 0 }).map_err(text)?;
                    expect(&lease, Kind::Parked)?;
                }
                _ => {
                    lease.send(Request { verb: Verb::Resume, value: 3 }).map_err(text)?;
                    expect(&lease, Kind::Resumed)?;
                }
            }
        }
        // A client that is killed while it writes leaves no file.
        let mut client = self.command(&["snapshot", &running.name, "killed"]);
        let mut client = client.stderr(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        std::thread::sleep(Duration::from_millis(chance(30)));
        if let Some(pid) = i32::try_from(client.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = client.wait();
        running.must_be_well("after strange clients")?;
        let files = fs::read_dir(self.folder).map_err(|error| error.to_string())?;
        let stray = files.flatten().map(|entry| entry.file_name()).find(|name| {
            // It may have been quick enough.
            name != "state" && name != "killed" && name != "data"
        });
        stray.map_or(Ok(()), |stray| Err(format!("a client that was killed left {}", stray.display())))
    }
}

/// Runs a scenario under one tender.
pub(crate) fn run(scenario: Scenario, bench: &Bench<'_>) -> Result<Verdict, String> {
    let done = match scenario {
        Scenario::Python => {
            if crate::program::missing(&["python3".to_owned()]).is_some() {
                return Ok(Verdict::Skipped("python3 is not on this host".to_owned()));
            }
            let script = bench.sources.join("acid.py");
            let start = || {
                bench.run(
                    &["--with".into(), script.clone().into()],
                    &["python3".into(), script.clone().into(), "5".into()],
                )
            };
            bench.save_kill_restore(start)
        }
        Scenario::State => bench.save_kill_restore(|| bench.state("3")),
        Scenario::Again => bench.again(),
        Scenario::Image => bench.image(),
        Scenario::Damaged => bench.damaged(),
        Scenario::Clients => bench.clients(),
    };
    done?;
    // Nothing of the guests stays, not even of those that were killed.
    let own = format!("test-{}-", std::process::id());
    let left = guest::list().map_err(|error| error.to_string())?;
    let ended = |guest: &Guest| File::open(format!("/proc/{}/stat", guest.pid())).is_err();
    match left.iter().find(|guest| guest.id.starts_with(&own) && ended(guest)) {
        Some(guest) => Ok(Verdict::Failed(format!("guest {} is listed and has ended", guest.id))),
        None => Ok(Verdict::Passed),
    }
}
