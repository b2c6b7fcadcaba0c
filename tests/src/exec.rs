//! Runs one command to its end or its time limit and keeps what it printed. A command is the leader of a session of
//! its own, as the first process of a guest is, and at the time limit its whole process group ends with it.

use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// What one run of a program showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error; shown with failures, never compared.
    pub(crate) stderr: String,
    /// How it ended.
    pub(crate) end: End,
}

/// How a run ended, in the form in which native runs and guests are comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Exit status; 128 + n for a death by signal n.
    Status(i32),
    /// The time limit was reached.
    TimedOut,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Status(status) => write!(f, "exit status {status}"),
            End::TimedOut => write!(f, "time limit reached"),
        }
    }
}

impl Outcome {
    /// Whether a reader of standard output and exit status could tell the two apart.
    pub(crate) fn same_as(&self, other: &Outcome) -> bool {
        self.stdout == other.stdout && self.end == other.end
    }
}

/// Runs `command` with `input` on its standard input.
pub(crate) fn run(command: &Command, input: &[u8], limit: Duration) -> io::Result<Outcome> {
    let mut command = under("setsid", &[], command);
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let bytes = input.to_vec();
        // A program may end without reading all of its input; that shows in its output, not here.
        std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let end = wait(&mut child, limit)?;
    Ok(Outcome { stdout: gather(&stdout), stderr: gather(&stderr), end })
}

/// `command`, in its folder and with its variables, started by another program that becomes it.
pub(crate) fn under(starter: &str, options: &[&str], command: &Command) -> Command {
    let mut whole = Command::new(starter);
    whole.args(options).arg(command.get_program()).args(command.get_args());
    whole.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        whole.current_dir(folder);
    }
    whole
}

/// Waits for `child`; at the limit it and its process group are killed.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> io::Result<End> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Status(status_number(status)));
        }
        if Instant::now() >= deadline {
            kill_group(child);
            child.wait()?;
            return Ok(End::TimedOut);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn kill_group(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The group may be gone already: then there is nothing to kill.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
}

/// Exit status as a shell and `husk run` report it.
fn status_number(status: ExitStatus) -> i32 {
    match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => 128 + signal,
        (None, None) => -1,
    }
}

/// Reads a stream on a thread of its own, in pieces, so that a stream which some left-over process keeps open
/// does not hold up the suite.
fn collect(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    if let Some(mut stream) = stream {
        std::thread::spawn(move || {
            let mut piece = vec![0; 1 << 16];
            while let Ok(n) = stream.read(&mut piece) {
                if n == 0 || sender.send(piece[..n].to_vec()).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Takes what `collect` reads until the stream ends, or until it has been silent for a while after the end of the
/// program.
fn gather(pieces: &Receiver<Vec<u8>>) -> String {
    let mut all = Vec::new();
    while let Ok(piece) = pieces.recv_timeout(Duration::from_millis(500)) {
        all.extend(piece);
    }
    String::from_utf8_lossy(&all).into_owned()
}
