//! The hypercalls: `abi::gate` from the tender's side.
//!
//! A `Call` is copied once out of guest memory and checked on the copy; a buffer it names must lie in memory that the
//! guest owns, and is handed to the host as it is, since its contents mean nothing to the tender.

use crate::host;
use crate::memory::Memory;
use crate::vcpu::{Guest, Vcpu};
use core::fmt::{self, Write};
use husk_abi::boot::Boot;
use husk_abi::gate::{Call, Number, REPLIES, TRACE, WISH};
use husk_tender::confine::POLLS_MAX;
use linux_raw_sys::errno;
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// The control socket as the guest names it.
const CONTROL: u64 = 3;
/// Where its record goes.
const RECORD: u64 = husk_abi::record::KVM_DESCRIPTOR as u64;
/// Most bytes of one madvise call: what the filter lets pass.
const DISCARD_MAX: usize = 1 << 30;

/// The guest's notion of time: the boot block's, so that a deadline means the same on both sides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    tsc: u64,
    mult: u64,
    monotonic: u64,
    realtime: u64,
}

impl Clock {
    pub(crate) fn from_boot(boot: &Boot) -> Self {
        Self { tsc: boot.tsc, mult: boot.tsc_mult, monotonic: boot.monotonic, realtime: boot.realtime }
    }

    /// Time-stamp counter, monotonic and real time in ns.
    fn now(&self) -> [u64; 3] {
        // SAFETY: reads a register.
        let tsc = unsafe { core::arch::x86_64::_rdtsc() };
        let since = (u128::from(tsc.wrapping_sub(self.tsc)) * u128::from(self.mult)) >> 32;
        [tsc, self.monotonic.wrapping_add(since as u64), self.realtime.wrapping_add(since as u64)]
    }
}

fn error(number: u32) -> i64 {
    -i64::from(number)
}

impl Guest {
    /// Serves the call at guest address `address`. A call that cannot even be read ends the guest.
    pub(crate) fn serve(&self, vcpu: &Vcpu, address: u64) {
        let Some(place) =
            self.memory.translate(address, size_of::<Call>() as u64, true).map(<*mut u8>::cast::<Call>)
        else {
            self.crash(vcpu, format_args!("hypercall at {address:#x}, which is no memory of the guest"));
        };
        // SAFETY: guest memory of that size, which may change at any time; the copy is the only thing looked at.
        let call = unsafe { place.read_unaligned() };
        let mut answer = call;
        answer.clock = self.clock.now();
        answer.result = match Number::from_u32(call.number) {
            Some(Number::Write) => self.transfer(Sysno::write, &call),
            Some(Number::Read) => self.transfer(Sysno::read, &call),
            Some(Number::Wait) => {
                let result = self.wait(vcpu, call.a, call.b);
                answer.clock = self.clock.now();
                result
            }
            Some(Number::Notify) => self.notify(call.a),
            Some(Number::Discard) => discard(&self.memory, call.a, call.b),
            Some(Number::Ring) => self.ring(),
            Some(Number::Alarm) => vcpu.set_alarm(call.a.saturating_sub(self.clock.now()[1])),
            Some(Number::Exit) => host::exit(exit_code(call.a)),
            None => error(errno::ENOSYS),
        };
        // SAFETY: as above.
        unsafe { place.write_unaligned(answer) };
    }

    /// read(2) or write(2) between a descriptor of the guest's and its memory.
    fn transfer(&self, number: Sysno, call: &Call) -> i64 {
        let fd = match (number, call.c) {
            (Sysno::write, 1 | 2) | (Sysno::read, 0) => call.c as i32,
            (Sysno::write, RECORD) => match self.record {
                Some(fd) => fd,
                None => return error(errno::EBADF),
            },
            (_, CONTROL) => match self.control {
                Some(fd) => fd,
                None => return error(errno::EBADF),
            },
            (Sysno::write, TRACE | WISH) => match if call.c == TRACE { self.trace } else { self.wish } {
                Some(fd) => fd,
                None => return error(errno::EBADF),
            },
            _ => return error(errno::EBADF),
        };
        let Some(buffer) = self.memory.translate(call.a, call.b, number == Sysno::read) else {
            return error(errno::EFAULT);
        };
        // SAFETY: the whole buffer is guest memory, written only where the guest may write.
        unsafe { host::sealed(number, [fd as usize, buffer as usize, call.b as usize, 0, 0]) as i64 }
    }

    /// Sleeps until the deadline, a notify, or one of the conditions in `mask`: bit n input on descriptor n, bit 16 + n
    /// room for output. Returns those that hold.
    fn wait(&self, vcpu: &Vcpu, deadline: u64, mask: u64) -> i64 {
        const KNOWN: u64 = 0b1001 | 0b1110 << 16 | REPLIES;
        if mask & !KNOWN != 0 {
            return error(errno::EINVAL);
        }
        let mut polls = [raw::pollfd { fd: -1, events: 0, revents: 0 }; POLLS_MAX as usize];
        for (descriptor, poll) in polls.iter_mut().enumerate().take(4) {
            let input = if mask >> descriptor & 1 != 0 { raw::POLLIN } else { 0 };
            let output = if mask >> (16 + descriptor) & 1 != 0 { raw::POLLOUT } else { 0 };
            poll.events = (input | output) as i16;
            if poll.events != 0 {
                poll.fd =
                    if descriptor as u64 == CONTROL { self.control.unwrap_or(-1) } else { descriptor as i32 };
            }
        }
        polls[4] = raw::pollfd { fd: vcpu.kick_input(), events: raw::POLLIN as i16, revents: 0 };
        let replies = self.ring.map(|ring| ring.replies).filter(|_| mask & REPLIES != 0);
        polls[5] = raw::pollfd { fd: replies.unwrap_or(-1), events: raw::POLLIN as i16, revents: 0 };
        vcpu.set_awaits_reply(replies.is_some());
        let timeout = vcpu.limit_sleep(deadline.saturating_sub(self.clock.now()[1]));
        // SAFETY: an array of pollfd and a timespec, both alive during the call.
        let ready =
            unsafe { host::sealed(Sysno::ppoll, [polls.as_mut_ptr() as usize, polls.len(), timeout, 0, 0]) };
        vcpu.set_awaits_reply(false);
        vcpu.take_kicks(&self.memory);
        vcpu.take_wakeful();
        if ready <= 0 {
            return 0;
        }
        let mut result = 0;
        for (descriptor, poll) in polls.iter().enumerate().take(4) {
            let events = poll.revents as u32;
            // A hang-up or an error makes both a read and a write return at once.
            let ended = events & (raw::POLLERR | raw::POLLHUP | raw::POLLNVAL) != 0;
            if ended || events & raw::POLLIN != 0 {
                result |= mask & 1 << descriptor;
            }
            if ended || events & raw::POLLOUT != 0 {
                result |= mask & 1 << (16 + descriptor);
            }
        }
        if let Some(fd) = replies.filter(|_| polls[5].revents != 0) {
            let mut count = 0_u64;
            // SAFETY: eight bytes. The counter does not block, should another vCPU have read it.
            unsafe { host::sealed(Sysno::read, [fd as usize, &raw mut count as usize, 8, 0, 0]) };
            // What was read here is not seen by the others that wait.
            self.vcpus.iter().filter(|other| other.index() != vcpu.index()).for_each(Vcpu::tell_of_reply);
            result |= REPLIES;
        }
        result as i64
    }

    /// Wakes the state server.
    fn ring(&self) -> i64 {
        let Some(ring) = self.ring else { return error(errno::EBADF) };
        // SAFETY: eight bytes of a local. The counter does not block, should it be full.
        unsafe {
            host::sealed(Sysno::write, [ring.requests as usize, [1_u64].as_ptr() as usize, 8, 0, 0]) as i64
        }
    }

    fn notify(&self, cpu: u64) -> i64 {
        match usize::try_from(cpu).ok().and_then(|cpu| self.vcpus.get(cpu)) {
            Some(vcpu) => {
                vcpu.notify();
                0
            }
            None => error(errno::EINVAL),
        }
    }

    /// Ends the process because the guest's kernel broke down.
    pub(crate) fn crash(&self, vcpu: &Vcpu, what: fmt::Arguments<'_>) -> ! {
        let mut line = Line { bytes: [0; 256], len: 0 };
        let registers = vcpu.registers();
        let (rip, rsp) = (registers.rip, registers.rsp);
        let _ = writeln!(line, "husk: kvm: vCPU {}: {what} (rip {rip:#x}, rsp {rsp:#x})", vcpu.index());
        // SAFETY: the line is alive during the call.
        unsafe { host::sealed(Sysno::write, [2, line.bytes.as_ptr() as usize, line.len, 0, 0]) };
        host::exit(125)
    }
}

/// A message without an allocator: what does not fit is cut.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let len = text.len().min(self.bytes.len() - self.len);
        self.bytes[self.len..self.len + len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// Gives pages of the arena back; they read as zero afterwards.
fn discard(memory: &Memory, start: u64, len: u64) -> i64 {
    let Some((start, len)) = memory.pages(start, len) else { return error(errno::EINVAL) };
    for at in (0..len).step_by(DISCARD_MAX) {
        let part = (len - at).min(DISCARD_MAX);
        // SAFETY: pages of the arena, which belong to the guest.
        let result =
            unsafe { host::sealed(Sysno::madvise, [start + at, part, raw::MADV_DONTNEED as usize, 0, 0]) };
        if result < 0 {
            return result as i64;
        }
    }
    0
}

/// The exit code of a process with wait status `status`, as a shell reports it.
fn exit_code(status: u64) -> i32 {
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as i32,
        signal => 128 + signal as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::exit_code;

    #[test]
    fn wait_statuses_become_exit_codes() {
        assert_eq!(exit_code(0), 0);
        assert_eq!(exit_code(3 << 8), 3);
        assert_eq!(exit_code(9), 137);
        assert_eq!(exit_code(11 | 0x80), 139);
        assert_eq!(exit_code(u64::MAX << 16), 0);
    }
}
