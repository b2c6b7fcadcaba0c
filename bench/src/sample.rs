//! Figures from repeated runs.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The least and the middle of some figures.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Summary {
    pub(crate) least: f64,
    pub(crate) median: f64,
}

impl Summary {
    /// `None` of no figures.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        Some(Self { least: *figures.first()?, median: figures[figures.len() / 2] })
    }
}

/// Times of one run from start to exit, in nanoseconds.
pub(crate) struct Times {
    /// On the clock.
    pub(crate) wall: f64,
    /// Of processors, in the program and all it waited for.
    pub(crate) cpu: f64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end. An exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<Times, String> {
    let name = command.get_program().to_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{name:?}: {error}"))?;
    let (mut stdout, mut stderr) = (String::new(), String::new());
    // What these programs print fits into a pipe.
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut stdout)
        .map_err(|error| format!("{name:?}: {error}"))?;
    let (status, cpu) = wait(child.id())?;
    let wall = start.elapsed().as_nanos() as f64;
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut stderr)
        .map_err(|error| format!("{name:?}: {error}"))?;
    if status != 0 {
        return Err(format!("{name:?} ended with wait status {status:#x}: {}", stderr.trim()));
    }
    Ok(Times { wall, cpu, stdout, stderr })
}

/// Waits for a child: its wait status, and the processor time of it and all it waited for in nanoseconds.
fn wait(pid: u32) -> Result<(i32, f64), String> {
    let mut status = 0;
    // SAFETY: a plain structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to living variables; the child is ours and nobody else waits for it.
        let done = unsafe { libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage) };
        if done == pid as i32 {
            break;
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(format!("wait for {pid}: {error}"));
        }
    }
    let time = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
    Ok((status, time(usage.ru_utime) + time(usage.ru_stime)))
}
