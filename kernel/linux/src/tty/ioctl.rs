//! ioctl_tty(2): what both sides of a terminal understand, and what only one does.

use super::{FarSide, Tty, job, pty};
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::task;
use crate::task::Pid;
use crate::task::wait::{WaitLimit, wait_event};
use alloc::sync::Arc;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl as command;
use raw::{termios, termios2, winsize};

fn write<T: husk_machine::pod::Pod>(argument: usize, value: T) -> SysResult {
    user::write(argument, &value)?;
    Ok(0)
}

/// Bits per second of the standard speeds, by their code in `c_cflag`.
const SPEEDS: [u32; 16] =
    [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400];
/// See `SPEEDS`: codes from B57600 on.
const FAST_SPEEDS: [u32; 15] = [
    57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000,
    2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// The speed that `c_cflag` names; `old` for one that only termios2 can say.
fn speed(cflag: u32, old: u32) -> u32 {
    let code = (cflag & raw::CBAUD) as usize;
    match code.checked_sub(raw::B57600 as usize) {
        None => SPEEDS.get(code).copied().unwrap_or(old),
        Some(fast) => FAST_SPEEDS.get(fast).copied().unwrap_or(old),
    }
}

fn get_termios(tty: &Tty) -> termios {
    let now = &tty.line.borrow().termios;
    termios {
        c_iflag: now.c_iflag,
        c_oflag: now.c_oflag,
        c_cflag: now.c_cflag,
        c_lflag: now.c_lflag,
        c_line: now.c_line,
        c_cc: now.c_cc,
    }
}

/// When a change of settings takes effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Now,
    Drained,
    /// Drained, and unread input is dropped.
    Flushed,
}

fn set_termios(tty: &Tty, argument: usize, when: When, second: bool) -> SysResult {
    job::check_background(tty, raw::SIGTTOU)?;
    let new = if second {
        user::read::<termios2>(argument)?
    } else {
        let new: termios = user::read(argument)?;
        let old = tty.line.borrow().termios.c_ospeed;
        let speed = speed(new.c_cflag, old);
        termios2 {
            c_iflag: new.c_iflag,
            c_oflag: new.c_oflag,
            c_cflag: new.c_cflag,
            c_lflag: new.c_lflag,
            c_line: new.c_line,
            c_cc: new.c_cc,
            c_ispeed: speed,
            c_ospeed: speed,
        }
    };
    if when != When::Now {
        drain(tty)?;
    }
    {
        let mut line = tty.line.borrow_mut();
        if when == When::Flushed {
            line.flush_input();
        }
        line.set_termios(new);
    }
    tty.tell_packet_events();
    tty.push_output();
    // Other settings may make other readers and writers ready.
    tty.queue.wake_all(!0);
    Ok(0)
}

/// Waits until the far side has all output. A pty counts as one that takes it at once.
fn drain(tty: &Tty) -> Result<(), Errno> {
    if let FarSide::Host(_) = &tty.far {
        let look = || tty.line.borrow().output().is_empty().then_some(());
        wait_event(&[&tty.queue], WaitLimit::default(), look).map_err(|_| Errno::ERESTARTSYS)?;
    }
    Ok(())
}

/// tcflush(3).
fn flush(tty: &Tty, which: usize) -> SysResult {
    let which = u32::try_from(which).map_err(|_| Errno::EINVAL)?;
    if which > raw::TCIOFLUSH {
        return Err(Errno::EINVAL);
    }
    {
        let mut line = tty.line.borrow_mut();
        if which != raw::TCOFLUSH {
            line.flush_input();
            line.packet_events |= raw::TIOCPKT_FLUSHREAD as u8;
        }
        if which != raw::TCIFLUSH {
            line.flush_output();
            line.packet_events |= raw::TIOCPKT_FLUSHWRITE as u8;
        }
    }
    tty.tell_packet_events();
    tty.input_taken();
    tty.output_taken();
    Ok(0)
}

/// tcflow(3).
fn flow(tty: &Tty, action: usize) -> SysResult {
    let control = |index: u32| tty.line.borrow().cc(index);
    match u32::try_from(action).map_err(|_| Errno::EINVAL)? {
        raw::TCOOFF => tty.line.borrow_mut().stop(),
        raw::TCOON => tty.line.borrow_mut().start(),
        raw::TCIOFF => tty.line.borrow_mut().send_control(control(raw::VSTOP)),
        raw::TCION => tty.line.borrow_mut().send_control(control(raw::VSTART)),
        _ => return Err(Errno::EINVAL),
    }
    tty.tell_packet_events();
    tty.push_output();
    tty.output_taken();
    Ok(0)
}

/// What both sides answer alike; `None`: it is not one of these.
fn common(tty: &Arc<Tty>, command: u32, argument: usize) -> Option<SysResult> {
    Some(match command {
        command::TCGETS => write(argument, get_termios(tty)),
        command::TCGETS2 => {
            let now = tty.line.borrow().termios;
            write(argument, now)
        }
        command::TCSETS => set_termios(tty, argument, When::Now, false),
        command::TCSETSW => set_termios(tty, argument, When::Drained, false),
        command::TCSETSF => set_termios(tty, argument, When::Flushed, false),
        command::TCSETS2 => set_termios(tty, argument, When::Now, true),
        command::TCSETSW2 => set_termios(tty, argument, When::Drained, true),
        command::TCSETSF2 => set_termios(tty, argument, When::Flushed, true),
        command::TIOCGWINSZ => {
            let window = *tty.window.borrow();
            write(argument, window)
        }
        command::TIOCSWINSZ => user::read::<winsize>(argument).map(|window| {
            tty.resize(window);
            0
        }),
        command::TIOCGETD => write(argument, 0i32),
        command::TIOCSETD => match user::read::<i32>(argument) {
            Ok(0) => Ok(0),
            Ok(_) => Err(Errno::EINVAL),
            Err(error) => Err(error),
        },
        command::TIOCEXCL => {
            tty.exclusive.set(true);
            Ok(0)
        }
        command::TIOCNXCL => {
            tty.exclusive.set(false);
            Ok(0)
        }
        command::TIOCGEXCL => write(argument, i32::from(tty.exclusive.get())),
        _ => return None,
    })
}

/// ioctl(2) on the terminal itself.
pub(super) fn terminal(tty: &Arc<Tty>, command: u32, argument: usize) -> SysResult {
    if let Some(result) = common(tty, command, argument) {
        return result;
    }
    let process = task::current().process().clone();
    match command {
        command::TIOCGPGRP | command::TIOCGSID if !tty.controls(&process) => Err(Errno::ENOTTY),
        command::TIOCGPGRP => write(argument, tty.foreground()),
        command::TIOCGSID => write(argument, tty.session().map_or(0, |session| session.id)),
        command::TIOCSPGRP => {
            let group = user::read::<Pid>(argument)?;
            job::set_foreground(tty, group).map(|()| 0)
        }
        command::TIOCSCTTY => job::take_control(tty, argument == 1).map(|()| 0),
        command::TIOCNOTTY => job::give_up(tty).map(|()| 0),
        command::FIONREAD => {
            let count = tty.line.borrow().readable();
            write(argument, count as i32)
        }
        command::TIOCOUTQ => {
            let count = match &tty.far {
                // A pty counts as one that takes its output at once.
                FarSide::Master(_) => 0,
                FarSide::Host(_) => tty.line.borrow().output().len(),
            };
            write(argument, count as i32)
        }
        command::TCFLSH => {
            job::check_background(tty, raw::SIGTTOU)?;
            flush(tty, argument)
        }
        command::TCXONC => {
            job::check_background(tty, raw::SIGTTOU)?;
            flow(tty, argument)
        }
        command::TCSBRK | command::TCSBRKP | command::TIOCSBRK | command::TIOCCBRK => {
            // There is no line that could be held low: what remains of a break is to wait for the output.
            job::check_background(tty, raw::SIGTTOU)?;
            drain(tty).map(|()| 0)
        }
        command::TIOCGDEV => write(argument, tty.device() as u32),
        command::TIOCVHANGUP => {
            if !task::current().cred().capable(task::cred::CAP_SYS_ADMIN) {
                return Err(Errno::EPERM);
            }
            job::hang_up(tty);
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }
}

/// ioctl(2) on the master of a pseudo-terminal.
pub(super) fn master(side: &pty::MasterSide, tty: &Arc<Tty>, command: u32, argument: usize) -> SysResult {
    if let Some(result) = common(tty, command, argument) {
        return result;
    }
    match command {
        command::TIOCGPTN => write(argument, tty.index),
        command::TIOCSPTLCK => {
            side.set_locked(user::read::<i32>(argument)? != 0);
            Ok(0)
        }
        command::TIOCGPTLCK => write(argument, i32::from(side.locked())),
        command::TIOCGPTPEER => {
            // The lock does not matter to who holds the master.
            let flags = argument as u32;
            let peer = pty::open_peer(tty, flags)?;
            let fd = task::current().files().install(peer, flags & raw::O_CLOEXEC != 0)?;
            Ok(fd as usize)
        }
        command::TIOCPKT => {
            side.set_packet_mode(user::read::<i32>(argument)? != 0);
            Ok(0)
        }
        command::TIOCGPKT => write(argument, i32::from(side.packet_mode())),
        command::TIOCSIG => {
            let signo = argument as u32;
            if !matches!(signo, raw::SIGINT | raw::SIGQUIT | raw::SIGTSTP) {
                return Err(Errno::EINVAL);
            }
            job::signal_foreground(tty, signo);
            Ok(0)
        }
        command::TIOCGPGRP => write(argument, tty.foreground()),
        command::TIOCGSID => match tty.session() {
            Some(session) => write(argument, session.id),
            None => Err(Errno::ENOTTY),
        },
        command::FIONREAD => {
            let count = tty.line.borrow().output().len();
            write(argument, count as i32)
        }
        command::TIOCOUTQ => write(argument, 0i32),
        command::TCFLSH => flush(tty, argument),
        command::TCSBRK | command::TCSBRKP => Ok(0),
        _ => Err(Errno::ENOTTY),
    }
}
