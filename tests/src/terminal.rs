//! Runs a command on a terminal of its own and talks to it: wait for a text, then type. `setsid --ctty` makes
//! the terminal the controlling one, so job control works as in a user's shell.

use crate::exec::{End, Outcome, under, wait};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde::Deserialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Wait until the terminal shows `expect` (since the last step), then give it `resize` rows and columns and type `send`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    expect: String,
    #[serde(default)]
    send: String,
    #[serde(default)]
    resize: Option<[u16; 2]>,
}

/// Runs `command` on a new terminal of 24 rows and 80 columns through `steps`; the outcome's standard output is
/// all that the terminal showed.
pub(crate) fn run(command: &Command, steps: &[Step], limit: Duration) -> io::Result<Outcome> {
    let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&main)?;
    unlockpt(&main)?;
    let name = ptsname(&main, Vec::new())?;
    let side = OpenOptions::new().read(true).write(true).open(std::ffi::OsStr::new(
        name.to_str().map_err(|_| io::Error::other("the terminal's name is not text"))?,
    ))?;
    resize(&main, [24, 80])?;

    let mut on_terminal = under("setsid", &["--ctty"], command);
    on_terminal.stdin(Stdio::from(side.try_clone()?));
    on_terminal.stdout(Stdio::from(side.try_clone()?));
    on_terminal.stderr(Stdio::from(side));
    let mut child = on_terminal.spawn()?;
    drop(on_terminal);

    let mut typed = File::from(main);
    let shown = watch(typed.try_clone()?);
    let deadline = Instant::now() + limit;
    let mut all = Vec::new();
    let mut seen = 0;
    let mut stuck = String::new();
    for step in steps {
        match wait_for(&shown, &mut all, seen, &step.expect, deadline) {
            Some(end) => seen = end,
            None => {
                stuck = format!("the terminal never showed {:?}", step.expect);
                break;
            }
        }
        if let Some(size) = step.resize {
            resize(&typed, size)?;
        }
        typed.write_all(step.send.as_bytes())?;
    }
    let left =
        if stuck.is_empty() { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
    let end = wait(&mut child, left)?;
    while let Ok(piece) = shown.recv_timeout(Duration::from_millis(300)) {
        all.extend(piece);
    }
    let end = if stuck.is_empty() { end } else { End::TimedOut };
    Ok(Outcome { stdout: String::from_utf8_lossy(&all).into_owned(), stderr: stuck, end })
}

fn resize(terminal: impl rustix::fd::AsFd, [ws_row, ws_col]: [u16; 2]) -> io::Result<()> {
    let size = rustix::termios::Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}

fn watch(mut terminal: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut piece = vec![0; 4096];
        // EIO is the end: no process has the other side open.
        while let Ok(n) = terminal.read(&mut piece) {
            if n == 0 || sender.send(piece[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Reads until what came after `seen` contains `text`, and returns the place after it.
fn wait_for(
    shown: &Receiver<Vec<u8>>,
    all: &mut Vec<u8>,
    seen: usize,
    text: &str,
    deadline: Instant,
) -> Option<usize> {
    loop {
        if let Some(at) = find(&all[seen..], text.as_bytes()) {
            return Some(seen + at + text.len());
        }
        all.extend(shown.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?);
    }
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    if text.is_empty() {
        return Some(0);
    }
    bytes.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_on_the_terminal_is_talked_to() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "printf 'name? '; read x; echo \"hello $x\"; tty -s && exit 3"]);
        let steps = [
            Step { expect: "name? ".into(), send: "world\n".into(), resize: None },
            Step { expect: "hello world".into(), send: String::new(), resize: None },
        ];
        let outcome = run(&command, &steps, Duration::from_secs(20)).unwrap();
        assert_eq!(outcome.stdout, "name? world\r\nhello world\r\n");
        assert_eq!(outcome.end, End::Status(3));
    }
}
