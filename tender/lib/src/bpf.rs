//! Classic BPF for seccomp: rows of allowed host calls become a filter.
//!
//! The host evaluates a new filter once per system-call number to build its allow cache, and stops at the first load that
//! is neither number nor architecture: so a filter's first load is the instruction pointer, which makes installing it
//! several times cheaper (40 us instead of 200 us for 60 instructions).

use crate::host::HostResult;
use husk_abi::layout::{GATE, GATE_LEN, GUEST_END};
use linux_raw_sys::general::__NR_seccomp;
use linux_raw_sys::ptrace::{
    AUDIT_ARCH_X86_64, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP,
    SECCOMP_SET_MODE_FILTER, sock_filter, sock_fprog,
};
use syscalls::Sysno;

/// What an argument of an allowed call must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The low half equals this.
    Low(u8, u32),
    /// All 64 bits equal this.
    Equal(u8, u64),
    /// The low half is at most this.
    AtMost(u8, u32),
    /// An address below `GUEST_END`.
    InGuest(u8),
    /// The low half is one of the descriptors, first to last, that are known when the filter is made.
    Descriptor(u8, Descriptor),
}

/// A descriptor that a tender keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descriptor {
    Arena,
    /// The files of the root image.
    Root,
    /// The control socket.
    Control,
    /// The snapshot that the guest is restored from.
    Snapshot,
    /// Where the guest's record goes.
    Record,
    Trace,
    Wish,
}

/// A host call that is allowed when all checks hold. Several rows may name one call.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub number: u32,
    pub name: &'static str,
    pub checks: &'static [Check],
    /// What the kernel needs it for.
    pub why: &'static str,
}

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const POINTER_LOW: u32 = 8;
const POINTER_HIGH: u32 = 12;
const ARGS: u32 = 16;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

const fn high(value: u64) -> u32 {
    (value >> 32) as u32
}

/// Most rows behind each other that name one call.
const GROUP_MAX: usize = 8;

/// Most instructions of a filter.
pub const FILTER_MAX: usize = 512;

/// A filter being made.
pub struct Filter {
    code: [sock_filter; FILTER_MAX],
    len: usize,
}

/// What the filter does with a call from the application, and with one of the gate that no row allows.
const FROM_APPLICATION: u32 = SECCOMP_RET_TRAP;
const REFUSED: u32 = SECCOMP_RET_ERRNO | linux_raw_sys::errno::EPERM;

impl Filter {
    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) {
        self.code[self.len] = sock_filter { code, jt, jf, k };
        self.len += 1;
    }

    fn load(&mut self, offset: u32) {
        self.push(LOAD, offset, 0, 0);
    }

    /// Number of instructions that `check` becomes.
    fn check_len(check: &Check) -> u8 {
        match check {
            Check::Low(..) | Check::AtMost(..) | Check::InGuest(_) => 2,
            Check::Descriptor(..) => 3,
            Check::Equal(..) => 4,
        }
    }

    /// The check's instructions; a failure jumps over `rest` instructions after them.
    fn check(&mut self, check: &Check, rest: u8, descriptor: impl Fn(Descriptor) -> (u32, u32)) {
        let argument = |index: u8| ARGS + u32::from(index) * 8;
        match *check {
            Check::Low(index, value) => {
                self.load(argument(index));
                self.push(JUMP_EQUAL, value, 0, rest);
            }
            Check::Descriptor(index, which) => {
                self.load(argument(index));
                let (first, last) = descriptor(which);
                self.push(JUMP_GREATER_EQUAL, first, 0, rest + 1);
                self.push(JUMP_GREATER, last, rest, 0);
            }
            Check::Equal(index, value) => {
                self.load(argument(index));
                self.push(JUMP_EQUAL, value as u32, 0, rest + 2);
                self.load(argument(index) + 4);
                self.push(JUMP_EQUAL, high(value), 0, rest);
            }
            Check::AtMost(index, value) => {
                self.load(argument(index));
                self.push(JUMP_GREATER, value, rest, 0);
            }
            Check::InGuest(index) => {
                self.load(argument(index) + 4);
                self.push(JUMP_GREATER_EQUAL, high(GUEST_END as u64), rest, 0);
            }
        }
    }

    /// The filter of the process tender: calls of the application trap, calls of the gate go by the rows, calls from
    /// anywhere else end the process.
    pub fn of_rows<'a>(
        rows: impl Iterator<Item = &'a Row>,
        descriptor: impl Fn(Descriptor) -> (u32, u32),
    ) -> Self {
        let empty = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
        let mut filter = Self { code: [empty; FILTER_MAX], len: 0 };
        filter.load(POINTER_HIGH);
        filter.push(JUMP_GREATER_EQUAL, high(GUEST_END as u64), 1, 0);
        filter.push(RETURN, FROM_APPLICATION, 0, 0);
        filter.push(JUMP_EQUAL, high(GATE as u64), 1, 0);
        filter.push(RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
        filter.load(POINTER_LOW);
        filter.push(JUMP_GREATER_EQUAL, GATE as u32, 1, 0);
        filter.push(RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
        // The pointer stands behind the instruction.
        filter.push(JUMP_GREATER, GATE as u32 + GATE_LEN as u32, 0, 1);
        filter.push(RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
        filter.load(ARCHITECTURE);
        filter.push(JUMP_EQUAL, AUDIT_ARCH_X86_64, 1, 0);
        filter.push(RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
        let mut rows = rows.peekable();
        while let Some(first) = rows.next() {
            let mut group: [&Row; GROUP_MAX] = [first; GROUP_MAX];
            let mut count = 1;
            while let Some(row) = rows.next_if(|row| row.number == first.number) {
                group[count] = row;
                count += 1;
            }
            filter.group(&group[..count], &descriptor);
        }
        filter.push(RETURN, REFUSED, 0, 0);
        filter
    }

    /// Rows that name one call: what all of them ask for first is checked once, since the host translates a filter anew for
    /// each guest, and a shorter one costs less of its start.
    fn group(&mut self, rows: &[&Row], descriptor: impl Fn(Descriptor) -> (u32, u32)) {
        let len = |checks: &[Check]| checks.iter().map(Self::check_len).sum::<u8>();
        let is_shared =
            |index: &usize| rows.iter().all(|row| row.checks.get(*index) == rows[0].checks.get(*index));
        let shared = (0..rows[0].checks.len()).take_while(is_shared).count();
        let alternatives = || rows.iter().map(|row| &row.checks[shared..]);
        let mut left =
            len(&rows[0].checks[..shared]) + alternatives().map(|checks| len(checks) + 1).sum::<u8>();
        self.load(NUMBER);
        self.push(JUMP_EQUAL, rows[0].number, 0, left);
        for check in &rows[0].checks[..shared] {
            left -= Self::check_len(check);
            self.check(check, left, &descriptor);
        }
        for checks in alternatives() {
            let mut left = len(checks) + 1;
            for check in checks {
                left -= Self::check_len(check);
                self.check(check, left, &descriptor);
            }
            self.push(RETURN, SECCOMP_RET_ALLOW, 0, 0);
        }
    }

    pub fn instructions(&self) -> &[sock_filter] {
        &self.code[..self.len]
    }

    /// Binds the filter to this process, for good. It must have given up new privileges (`confine`).
    pub fn install(&mut self) -> HostResult<()> {
        let program = sock_fprog { len: self.len as u16, filter: self.code.as_mut_ptr() };
        let args = [SECCOMP_SET_MODE_FILTER as usize, 0, (&raw const program) as usize, 0, 0, 0];
        // SAFETY: the program names this filter's instructions.
        unsafe { crate::host::call(Sysno::seccomp, args) }.map(|_| ())
    }
}

const _: () = assert!(__NR_seccomp == Sysno::seccomp as u32);
