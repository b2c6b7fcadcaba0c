//! `siginfo_t`: what a handler, sigtimedwait(2) and a signalfd learn about a signal.

use super::bit;
use crate::errno::Errno;
use crate::mem::user;
use crate::task::{Pid, Task, cred::Uid};
use linux_raw_sys::general as raw;

/// Bytes of `siginfo_t` in an application.
pub const SIGINFO_LEN: usize = 128;
/// Bytes of it that the kernel keeps; the rest is zero.
pub const SIGINFO_KEPT: usize = 48;

pub(super) const SI_USER: i32 = 0;
pub(super) const SI_KERNEL: i32 = 0x80;
pub const SI_QUEUE: i32 = -1;
pub const SI_TIMER: i32 = -2;
pub(super) const SI_SIGIO: i32 = -5;
pub const SI_TKILL: i32 = -6;

/// What `siginfo_t` carries: number, code and the part that depends on the code, as it lies from byte 16 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    pub signo: u32,
    pub code: i32,
    pub errno: i32,
    pub fields: [u64; 4],
}

/// Which fields a `siginfo_t` has (the cases of its union).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Process id, user id.
    Kill,
    /// Timer id, overrun, value.
    Timer,
    /// Band, descriptor.
    Poll,
    /// Address.
    Fault,
    /// Process id, user id, status, user and system time.
    Child,
    /// Process id, user id, value.
    Queue,
    /// Address of the call, its number and architecture.
    Sys,
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl SigInfo {
    fn new(signo: u32, code: i32, fields: [u64; 4]) -> Self {
        Self { signo, code, errno: 0, fields }
    }

    /// A signal that the kernel itself sends (SI_KERNEL).
    pub fn kernel(signo: u32) -> Self {
        Self::new(signo, SI_KERNEL, [0; 4])
    }

    /// A signal that `sender` sends, as kill(2) does.
    pub fn user(signo: u32, sender: &Task) -> Self {
        Self::new(signo, SI_USER, [pair(sender.pid() as u32, sender.cred().uid), 0, 0, 0])
    }

    /// A signal that `sender` sends to one thread, as tgkill(2) does.
    pub fn thread(signo: u32, sender: &Task) -> Self {
        Self { code: SI_TKILL, ..Self::user(signo, sender) }
    }

    /// A signal with a value, as sigqueue(3) and mq_notify(3) send it. `code` is SI_QUEUE, SI_MESGQ, ...
    pub fn queued(signo: u32, code: i32, sender: &Task, value: u64) -> Self {
        let mut info = Self { code, ..Self::user(signo, sender) };
        info.fields[1] = value;
        info
    }

    /// Expiry of a POSIX timer.
    pub fn timer(signo: u32, id: i32, overrun: u32, value: u64) -> Self {
        Self::new(signo, SI_TIMER, [pair(id as u32, overrun), value, 0, 0])
    }

    /// Input or output possible on a descriptor: `code` is POLL_IN, ...
    pub fn io(signo: u32, code: i32, band: u32, fd: i32) -> Self {
        Self::new(signo, code, [u64::from(band), u64::from(fd as u32), 0, 0])
    }

    /// A fault of the application at `address`.
    pub fn fault(signo: u32, code: i32, address: usize) -> Self {
        Self::new(signo, code, [address as u64, 0, 0, 0])
    }

    /// A system call that a seccomp filter trapped: the address after it, its number, the filter's data.
    pub fn seccomp(address: usize, number: u32, data: u16) -> Self {
        let fields = [address as u64, pair(number, crate::task::seccomp::ARCH), 0, 0];
        Self { errno: i32::from(data), ..Self::new(raw::SIGSYS, raw::SYS_SECCOMP as i32, fields) }
    }

    /// A change of a child: `code` is CLD_*, `value` the exit code or signal.
    pub fn child(signo: u32, code: i32, pid: Pid, uid: Uid, value: i32) -> Self {
        Self::new(signo, code, [pair(pid as u32, uid), u64::from(value as u32), 0, 0])
    }

    /// The CPU time of the child, user and system ns, which `siginfo_t` gives in clock ticks (1/100 s).
    pub fn with_times(mut self, (user, system): (u64, u64)) -> Self {
        const TICK_NS: u64 = 10_000_000;
        self.fields[2] = user / TICK_NS;
        self.fields[3] = system / TICK_NS;
        self
    }

    /// The first pair of 32-bit fields: process and user id, or timer id and overrun.
    pub fn pair(&self) -> (u32, u32) {
        (self.fields[0] as u32, (self.fields[0] >> 32) as u32)
    }

    /// The second word as `sival_ptr`, as a status, or as a descriptor.
    pub fn value(&self) -> u64 {
        self.fields[1]
    }

    /// How many codes above SI_USER this signal has for itself, and which fields come with them.
    fn own_codes(&self) -> (i32, Layout) {
        match self.signo {
            raw::SIGILL => (11, Layout::Fault),
            raw::SIGFPE => (15, Layout::Fault),
            raw::SIGSEGV => (10, Layout::Fault),
            raw::SIGBUS => (5, Layout::Fault),
            raw::SIGTRAP => (6, Layout::Fault),
            raw::SIGCHLD => (6, Layout::Child),
            raw::SIGIO => (6, Layout::Poll),
            raw::SIGSYS => (2, Layout::Sys),
            _ => (0, Layout::Kill),
        }
    }

    /// Codes of SIGIO, which other signals may carry too (F_SETSIG).
    const POLL_CODES: i32 = 6;

    /// Which fields hold, by number and code.
    pub fn layout(&self) -> Layout {
        let (own, layout) = self.own_codes();
        match self.code {
            code if code > SI_USER && code < SI_KERNEL => match code {
                code if code <= own => layout,
                code if code <= Self::POLL_CODES => Layout::Poll,
                _ => Layout::Kill,
            },
            SI_TIMER => Layout::Timer,
            SI_SIGIO => Layout::Poll,
            code if code < 0 => Layout::Queue,
            _ => Layout::Kill,
        }
    }

    /// Whether the code is one that Linux knows, so that the layout is not a guess.
    pub fn has_known_layout(&self) -> bool {
        match self.code {
            SI_USER | SI_KERNEL => true,
            // SI_ASYNCNL, and SI_DETHREAD to SI_QUEUE.
            -60 | -7..=-1 => true,
            code => code > 0 && (code <= self.own_codes().0 || code <= Self::POLL_CODES),
        }
    }

    /// A signal that an instruction of the receiver caused: it is taken before all others.
    pub fn is_synchronous(&self) -> bool {
        const FAULTS: u64 = bit(raw::SIGSEGV)
            | bit(raw::SIGBUS)
            | bit(raw::SIGILL)
            | bit(raw::SIGTRAP)
            | bit(raw::SIGFPE)
            | bit(raw::SIGSYS);
        self.code > SI_USER && bit(self.signo) & FAULTS != 0
    }

    /// As it lies in application memory.
    pub fn to_bytes(&self) -> [u8; SIGINFO_LEN] {
        let mut bytes = [0; SIGINFO_LEN];
        bytes[0..4].copy_from_slice(&self.signo.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.errno.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.code.to_le_bytes());
        for (index, field) in self.fields.iter().enumerate() {
            bytes[16 + index * 8..24 + index * 8].copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// Writes it to application memory.
    pub fn write(&self, address: usize) -> Result<(), Errno> {
        user::copy_out(address, &self.to_bytes())
    }

    /// From application memory; the number is `signo` whatever the bytes say.
    pub fn from_bytes(signo: u32, bytes: &[u8; SIGINFO_LEN]) -> Self {
        let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|index| bytes[at + index]));
        Self {
            signo,
            errno: (word(0) >> 32) as i32,
            code: word(8) as u32 as i32,
            fields: core::array::from_fn(|index| word(16 + index * 8)),
        }
    }

    /// As `struct signalfd_siginfo`, which read(2) on a signalfd gives.
    pub fn to_signalfd(&self) -> [u8; SIGINFO_LEN] {
        let mut out = [0; SIGINFO_LEN];
        let mut put = |at: usize, value: u32| out[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, self.signo);
        put(4, self.errno as u32);
        put(8, self.code as u32);
        let (first, second) = self.pair();
        let value = self.value();
        let mut wide: &[(usize, u64)] = &[];
        let words;
        match self.layout() {
            Layout::Kill => {
                put(12, first);
                put(16, second);
            }
            Layout::Timer => {
                put(24, first);
                put(32, second);
                put(44, value as u32);
                words = [(48, value), (0, 0)];
                wide = &words[..1];
            }
            Layout::Poll => {
                put(28, first);
                put(20, value as u32);
            }
            Layout::Fault | Layout::Sys => {
                words = [(72, self.fields[0]), (0, 0)];
                wide = &words[..1];
            }
            Layout::Child => {
                put(12, first);
                put(16, second);
                put(40, value as u32);
                words = [(56, self.fields[2]), (64, self.fields[3])];
                wide = &words;
            }
            Layout::Queue => {
                put(12, first);
                put(16, second);
                put(44, value as u32);
                words = [(48, value), (0, 0)];
                wide = &words[..1];
            }
        }
        for (at, word) in wide {
            out[*at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}
