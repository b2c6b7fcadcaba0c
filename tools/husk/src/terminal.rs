//! The user's terminal around a guest.
//!
//! When a guest is started in the foreground of a terminal that is both its input and its output, the terminal goes into
//! raw mode: the guest's own line discipline does all editing, echo and signals, so job control inside works. The process
//! that waits for the guest keeps the terminal: it gives it back on every way out, tells the guest its new sizes, and stops
//! and goes on with it. All of it happens in signal handlers, which make host calls and nothing else; the guest itself has
//! no call for any of it.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use husk_abi::boot::{CONTINUE_MARK, SIZE_MARK};
use husk_tender::config::{FORWARDED, SIZE};
use husk_tender::host::{self, HostResult};
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl;
use syscalls::Sysno;

/// `struct termios` of the kernel: four words of flags, the line discipline, 19 control characters.
#[derive(Clone, Copy)]
#[repr(C)]
struct Termios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    line: u8,
    characters: [u8; 19],
}

/// What the handlers need to know.
struct Kept {
    /// How the terminal was.
    cooked: Termios,
    raw: Termios,
}

const NOTHING: Termios = Termios { input: 0, output: 0, control: 0, local: 0, line: 0, characters: [0; 19] };

static mut KEPT: Kept = Kept { cooked: NOTHING, raw: NOTHING };

/// The guest counts on a raw terminal.
static WANTED: AtomicBool = AtomicBool::new(false);
/// The terminal is raw, because of us.
static RAW: AtomicBool = AtomicBool::new(false);
/// A descriptor of the terminal, or -1.
static TERMINAL: AtomicI32 = AtomicI32::new(-1);
/// The guest's process.
static GUEST: AtomicI32 = AtomicI32::new(0);
/// What it gets for SIGTERM.
static STOP: AtomicU32 = AtomicU32::new(raw::SIGTERM);
/// The end of a pipe from which the guest's wishes to stop are read, or -1.
static WISHES: AtomicI32 = AtomicI32::new(-1);

/// `SI_KERNEL`: the terminal sent it, and so to the guest too.
const FROM_TERMINAL: i32 = 0x80;

fn call(number: Sysno, args: [usize; 6]) -> HostResult<usize> {
    // SAFETY: the calls below pass pointers to memory of their own.
    unsafe { host::call(number, args) }
}

fn control<T>(fd: i32, request: u32, argument: *mut T) -> HostResult<usize> {
    call(Sysno::ioctl, [fd as usize, request as usize, argument as usize, 0, 0, 0])
}

/// Whether this process's group is in the foreground of the terminal, so that it may change it.
fn in_front(fd: i32) -> bool {
    let mut group = 0_i32;
    let own = call(Sysno::getpgrp, [0; 6]).unwrap_or(0) as i32;
    control(fd, ioctl::TIOCGPGRP, &raw mut group).is_ok() && group == own
}

/// Makes the terminal raw, if the guest counts on it and it is ours to change.
pub(crate) fn take() {
    let fd = TERMINAL.load(Ordering::Relaxed);
    if WANTED.load(Ordering::Relaxed) && !RAW.load(Ordering::Relaxed) && in_front(fd) {
        // SAFETY: written once, before the handlers were installed.
        let raw = unsafe { &raw mut KEPT.raw };
        RAW.store(control(fd, ioctl::TCSETSW, raw).is_ok(), Ordering::Relaxed);
    }
}

/// Gives the terminal back as it was.
pub(crate) fn restore() {
    if RAW.swap(false, Ordering::Relaxed) {
        // SAFETY: as in `take`.
        let cooked = unsafe { &raw mut KEPT.cooked };
        let _ = control(TERMINAL.load(Ordering::Relaxed), ioctl::TCSETSW, cooked);
    }
}

/// Looks at the terminal before the guest is made. `wanted`: also where only stdin is one. Gives whether it will be raw.
pub(crate) fn find(wanted: bool) -> bool {
    let Some(fd) = (0..3).find(|fd| host::is_terminal(*fd)) else { return false };
    TERMINAL.store(fd, Ordering::Relaxed);
    let both = host::is_terminal(0) && (wanted || host::is_terminal(1));
    if !both || !in_front(fd) {
        return false;
    }
    let mut cooked = NOTHING;
    if control(fd, ioctl::TCGETS, &raw mut cooked).is_err() {
        return false;
    }
    let mut raw = cooked;
    // cfmakeraw(3).
    raw.input &= !(raw::IGNBRK
        | raw::BRKINT
        | raw::PARMRK
        | raw::ISTRIP
        | raw::INLCR
        | raw::IGNCR
        | raw::ICRNL
        | raw::IXON);
    raw.output &= !raw::OPOST;
    raw.local &= !(raw::ECHO | raw::ECHONL | raw::ICANON | raw::ISIG | raw::IEXTEN);
    raw.control = raw.control & !(raw::CSIZE | raw::PARENB) | raw::CS8;
    raw.characters[raw::VMIN as usize] = 1;
    raw.characters[raw::VTIME as usize] = 0;
    // SAFETY: no handler is installed yet, and this is the only thread.
    unsafe { (&raw mut KEPT).write(Kept { cooked, raw }) };
    WANTED.store(true, Ordering::Relaxed);
    true
}

/// A pipe through which the guest asks to be stopped with its parent: the guest's end.
pub(crate) fn make_wishes() -> HostResult<i32> {
    let mut ends = [0_i32; 2];
    let flags = (raw::O_CLOEXEC | raw::O_NONBLOCK) as usize;
    call(Sysno::pipe2, [ends.as_mut_ptr() as usize, flags, 0, 0, 0, 0])?;
    let own = call(Sysno::getpid, [0; 6])?;
    call(Sysno::fcntl, [ends[0] as usize, raw::F_SETOWN as usize, own, 0, 0, 0])?;
    let flags = (raw::O_NONBLOCK | raw::FASYNC) as usize;
    call(Sysno::fcntl, [ends[0] as usize, raw::F_SETFL as usize, flags, 0, 0, 0])?;
    WISHES.store(ends[0], Ordering::Relaxed);
    Ok(ends[1])
}

/// Takes the signals that concern guest and terminal, before the guest is made: what arrives until `watch` waits there.
pub(crate) fn take_signals(forwarded: &[u32]) {
    for signal in forwarded.iter().copied().chain([raw::SIGIO]) {
        let flags = u64::from(raw::SA_SIGINFO | raw::SA_RESTART) | u64::from(raw::SA_RESTORER);
        let restorer = husk_restorer as *const () as usize;
        // SAFETY: the handler makes host calls and nothing else.
        let _ = unsafe { host::signal_action(signal, on_signal as *const () as usize, flags, restorer) };
    }
}

/// Holds signals back while the guest is made, so that one that comes then is passed on and does not end us: by the time that
/// its first program runs we may not yet know of it. Gives what held before.
pub(crate) fn hold(signals: &[u32]) -> u64 {
    let held = signals.iter().fold(0_u64, |set, signal| set | 1 << (signal - 1));
    let mut before = 0_u64;
    let sets = [&raw const held as usize, &raw mut before as usize];
    let _ = call(Sysno::rt_sigprocmask, [raw::SIG_BLOCK as usize, sets[0], sets[1], 8, 0, 0]);
    before
}

/// Ends what `hold` began; in the child, too.
pub(crate) fn release(before: u64) {
    let set = &raw const before as usize;
    let _ = call(Sysno::rt_sigprocmask, [raw::SIG_SETMASK as usize, set, 0, 8, 0, 0]);
}

/// The guest has been made: passes signals on to it from now on, and for SIGTERM `stop`, the signal by which an image wants
/// to be stopped. One that does not reach guests leaves SIGTERM.
pub(crate) fn watch(guest: i32, stop: u32) {
    if FORWARDED.contains(&stop) || stop == raw::SIGKILL {
        STOP.store(stop, Ordering::Relaxed);
    }
    GUEST.store(guest, Ordering::Relaxed);
}

core::arch::global_asm!(
    ".pushsection .text.restorer,\"ax\",@progbits",
    ".globl husk_restorer",
    "husk_restorer:",
    "  mov eax, 15",
    "  syscall",
    "  ud2",
    ".popsection",
);

unsafe extern "C" {
    fn husk_restorer();
}

extern "C" fn on_signal(signal: u32, info: *const i32) {
    // SAFETY: the host's siginfo, of which the code is the third word.
    let code = unsafe { *info.add(2) };
    let guest = GUEST.load(Ordering::Relaxed);
    if guest <= 0 {
        // It is being made: nobody is there to be told, and a signal to end ends us.
        if !matches!(signal, raw::SIGIO | raw::SIGWINCH | raw::SIGCONT | raw::SIGTSTP) {
            restore();
            host::exit(128 + signal as i32);
        }
        return;
    }
    match signal {
        raw::SIGWINCH if TERMINAL.load(Ordering::Relaxed) >= 0 => tell(guest, size()),
        raw::SIGIO => {
            let mut bytes = [0_u8; 16];
            let wishes = WISHES.load(Ordering::Relaxed);
            if matches!(host::read(wishes, &mut bytes), Ok(1..)) {
                suspend();
            }
        }
        raw::SIGTSTP => {
            if code != FROM_TERMINAL {
                host::kill(guest, raw::SIGTSTP);
            }
            suspend();
        }
        raw::SIGCONT => go_on(guest),
        raw::SIGTERM => host::kill(guest, STOP.load(Ordering::Relaxed)),
        _ if code != FROM_TERMINAL => host::kill(guest, signal),
        _ => {}
    }
}

/// The terminal's size, as `husk_abi::boot::SIZE_SIGNAL` has it.
fn size() -> u64 {
    let [rows, columns, x, y] = host::window(TERMINAL.load(Ordering::Relaxed));
    let words = [rows, columns, x, y & 0x3fff];
    words.iter().rev().fold(0_u64, |value, word| value << 16 | u64::from(*word)) | SIZE_MARK
}

/// Tells the guest by a value what it has no call to ask for (`husk_abi::boot::SIZE_SIGNAL`).
pub(crate) fn tell(guest: i32, value: u64) {
    // `siginfo_t`: number, errno, code SI_QUEUE; then process and user, and the value.
    let mut info = [0_u64; 16];
    info[0] = u64::from(SIZE);
    info[1] = u64::from(u32::MAX);
    info[3] = value;
    let _ = call(Sysno::rt_sigqueueinfo, [guest as usize, SIZE as usize, info.as_ptr() as usize, 0, 0, 0]);
}

/// Stops, with the terminal as it was; SIGCONT does the rest. The guest's own tasks have stopped or are told to: a second
/// signal to them could overtake the one that continues them.
fn suspend() {
    restore();
    let own = call(Sysno::getpid, [0; 6]).unwrap_or(0);
    let _ = call(Sysno::kill, [own, raw::SIGSTOP as usize, 0, 0, 0, 0]);
}

/// Continued, maybe in the foreground of another size. Where the guest counts on a raw terminal only this continues it, and
/// not the shell's signal to all of the job: by then the terminal is raw.
fn go_on(guest: i32) {
    take();
    let size = if RAW.load(Ordering::Relaxed) { size() } else { 0 };
    match WANTED.load(Ordering::Relaxed) {
        true => tell(guest, CONTINUE_MARK | size),
        false => host::kill(guest, raw::SIGCONT),
    }
}
