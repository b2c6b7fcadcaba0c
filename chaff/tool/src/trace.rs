//! Runs a command under ptrace and tells where the program under test passed or crashed, in addresses of its file.
//! Triage of an input and the confirmation of triggers rest on it. Processes that the command starts are followed, so a
//! shell script may stand before the program.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use object::{Object as _, ObjectSegment as _};

/// A signal that ended the program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Its number.
    pub signal: i32,
    /// The instruction, as an address of the program's file; `None` outside of the program.
    pub at: Option<u64>,
}

/// What a run showed.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The watched addresses that were executed, each once, in order.
    pub passed: Vec<u64>,
    /// The crash of the program under test, if one ended it.
    pub crash: Option<Crash>,
    /// Whether the program under test was started at all.
    pub started: bool,
    /// It took too long and was killed.
    pub timeout: bool,
}

/// Where one process has the program.
struct Image {
    bias: u64,
    end: u64,
    watched: BTreeMap<u64, u8>,
    fault: Option<Crash>,
}

/// Runs `command` and watches `program` in it execute any of the addresses `watch`.
///
/// # Errors
/// When the command cannot be started or traced.
pub fn trace(
    command: &Command,
    program: &Path,
    watch: &[u64],
    limit: Duration,
    input: Option<&Path>,
) -> Result<Trace> {
    let program = program.canonicalize()?;
    let bytes = fs::read(&program)?;
    let extent = extent(&bytes)?;
    // Tracing must be in place before the program starts: a shell stops itself and then becomes the command.
    let mut stopped = Command::new("/bin/sh");
    stopped
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            stopped.env(name, value);
        }
    }
    stopped.stdin(match input {
        Some(path) => Stdio::from(fs::File::open(path)?),
        None => Stdio::null(),
    });
    let child = stopped.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn()?;
    let root = Pid::from_raw(i32::try_from(child.id())?);
    waitpid(root, Some(WaitPidFlag::WUNTRACED))?;
    ptrace::seize(
        root,
        Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE,
    )
    .context("cannot trace the program: is ptrace allowed here?")?;
    kill(root, Signal::SIGCONT)?;

    let mut result = Trace::default();
    let mut images: BTreeMap<Pid, Image> = BTreeMap::new();
    let mut living = 1_usize;
    let start = Instant::now();
    while living > 0 {
        if start.elapsed() > limit {
            result.timeout = true;
            let _ = kill(Pid::from_raw(-root.as_raw()), Signal::SIGKILL);
        }
        let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        // The group and only the group: other children of this process are none of the trace's business.
        let status = match waitpid(Pid::from_raw(-root.as_raw()), Some(flags)) {
            Ok(WaitStatus::StillAlive) => {
                std::thread::sleep(Duration::from_micros(300));
                continue;
            }
            Ok(status) => status,
            Err(Errno::ECHILD) => break,
            Err(error) => return Err(error.into()),
        };
        let resumed = match status {
            WaitStatus::Exited(..) => {
                living -= 1;
                continue;
            }
            WaitStatus::Signaled(pid, signal, _) => {
                living -= 1;
                if let Some(image) = images.get(&pid) {
                    let fault = image.fault.filter(|fault| fault.signal == signal as i32);
                    result.crash = Some(fault.unwrap_or(Crash { signal: signal as i32, at: None }));
                }
                continue;
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 {
                    images.remove(&pid);
                    if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path == program) {
                        result.started = true;
                        images.insert(pid, place(pid, &program, extent, watch)?);
                    }
                } else if event == ptrace::Event::PTRACE_EVENT_FORK as i32
                    || event == ptrace::Event::PTRACE_EVENT_VFORK as i32
                    || event == ptrace::Event::PTRACE_EVENT_CLONE as i32
                {
                    living += 1;
                    let new = Pid::from_raw(i32::try_from(ptrace::getevent(pid)?)?);
                    if let Some(image) = images.get(&pid) {
                        let copy = Image { watched: image.watched.clone(), fault: None, ..*image };
                        images.insert(new, copy);
                    }
                }
                ptrace::cont(pid, None)
            }
            WaitStatus::Stopped(pid, signal) => {
                let mut deliver = Some(signal);
                if let Some(image) = images.get_mut(&pid) {
                    let mut registers = ptrace::getregs(pid)?;
                    let at = registers.rip;
                    if signal == Signal::SIGTRAP
                        && let Some(byte) = image.watched.remove(&at.wrapping_sub(1))
                    {
                        poke(pid, at - 1, byte)?;
                        registers.rip = at - 1;
                        ptrace::setregs(pid, registers)?;
                        let address = at - 1 - image.bias;
                        if !result.passed.contains(&address) {
                            result.passed.push(address);
                        }
                        deliver = None;
                    } else {
                        let inside = (image.bias..image.end).contains(&at);
                        image.fault =
                            Some(Crash { signal: signal as i32, at: inside.then(|| at - image.bias) });
                    }
                }
                // A new process under trace begins with a stop that is no signal of its own.
                if signal == Signal::SIGSTOP || signal == Signal::SIGTRAP {
                    deliver = None;
                }
                ptrace::cont(pid, deliver)
            }
            _ => match status.pid() {
                Some(pid) => ptrace::cont(pid, None),
                None => continue,
            },
        };
        // A process killed meanwhile is reported by the next wait.
        if let Err(error) = resumed
            && error != Errno::ESRCH
        {
            return Err(error.into());
        }
    }
    drop(child);
    Ok(result)
}

/// Lowest and highest address that the program's file asks for.
fn extent(program: &[u8]) -> Result<(u64, u64)> {
    let file = object::File::parse(program)?;
    let low = file.segments().map(|segment| segment.address()).min().context("nothing is loaded")?;
    let high = file.segments().map(|segment| segment.address() + segment.size()).max().unwrap_or(low);
    Ok((low & !0xfff, high))
}

fn place(pid: Pid, program: &Path, extent: (u64, u64), watch: &[u64]) -> Result<Image> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let name = program.display().to_string();
    let start = maps
        .lines()
        .find(|line| line.ends_with(&name))
        .and_then(|line| u64::from_str_radix(line.split('-').next()?, 16).ok())
        .context("the program is not mapped")?;
    let bias = start - extent.0;
    let mut watched = BTreeMap::new();
    for &address in watch {
        let word = ptrace::read(pid, (bias + address) as ptrace::AddressType)?;
        watched.insert(bias + address, word.to_le_bytes()[0]);
        poke(pid, bias + address, 0xcc)?;
    }
    Ok(Image { bias, end: bias + extent.1, watched, fault: None })
}

fn poke(pid: Pid, address: u64, byte: u8) -> Result<()> {
    let mut word = ptrace::read(pid, address as ptrace::AddressType)?.to_le_bytes();
    word[0] = byte;
    ptrace::write(pid, address as ptrace::AddressType, i64::from_le_bytes(word))?;
    Ok(())
}
