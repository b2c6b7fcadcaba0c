//! The bound on the private memory of a guest of the process tender, which is the host's: no cgroup need be to be had.
//!
//! The waiting parent looks now and then how much the guest's host processes hold together, and above the limit has the one
//! that holds most ended, as the kernel does under kvm: it asks the guest's kernel, which ends the process at a moment that
//! is good for it; a process that is still there after a while is killed. If the first process is the one, or nothing
//! helps, the guest is ended. Looks come as often as the memory that is left could be used up, and seldom where nothing
//! changes.
//!
//! What it goes by is the host's /proc and not the guest's word. The pages of the arena are not counted: there are never
//! more than its length.

use crate::path::PathBuffer;
use crate::run::{Text, say};
use crate::terminal;
use core::fmt::Write;
use husk_tender::confine::THREADS_MAX;
use husk_tender::host::{self, HostResult};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

const MS: u64 = 1_000_000;
/// Times between two looks, in nanoseconds: at least, at most, and at most while nothing changes.
const SHORTEST: u64 = 2 * MS;
const LONGEST: u64 = 50 * MS;
const IDLE: u64 = 250 * MS;
/// Bytes that a guest can touch in a nanosecond, about: a page of 2 MiB is cleared in half a millisecond.
const PACE: u64 = 4;
/// Less than this is no change.
const NOTICEABLE: u64 = 256 << 10;
/// A look takes no more than this part of the time until the next.
const SHARE: u64 = 20;
/// How long a process may take to end when the guest's kernel was asked, before it is killed.
const GRACE: u64 = 200 * MS;
/// How long the guest may hold too much before it is ended as a whole.
const PATIENCE: u64 = 2_000 * MS;

/// A host process of the guest, and the bytes of private memory that it holds.
#[derive(Clone, Copy)]
struct Holder {
    pid: i32,
    held: u64,
}

/// A process that is to end.
struct Victim {
    pid: i32,
    since: u64,
    killed: bool,
}

pub(crate) struct Bound {
    /// Bytes.
    limit: u64,
    /// The guest's first process.
    guest: i32,
    /// It is the first of a PID namespace.
    own_pids: bool,
    holders: &'static mut [Holder; THREADS_MAX as usize],
    count: usize,
    sum: u64,
    /// When the next look is due, and how long after the last.
    due: u64,
    pause: u64,
    victim: Option<Victim>,
    /// Since when the guest holds too much.
    excess_since: Option<u64>,
    ended: bool,
}

fn call(number: Sysno, args: [usize; 6]) -> HostResult<usize> {
    // SAFETY: the calls below pass numbers, C strings and buffers of their own.
    unsafe { host::call(number, args) }
}

fn now() -> u64 {
    host::clock(raw::CLOCK_MONOTONIC)
}

/// A path in /proc.
fn proc(parts: core::fmt::Arguments<'_>) -> PathBuffer {
    let mut path = PathBuffer::of(&[b"/proc/"]);
    let _ = path.write_fmt(parts);
    path
}

/// The beginning of a file. Empty: there is none, or it cannot be read.
fn contents<'a>(path: &PathBuffer, out: &'a mut [u8]) -> &'a [u8] {
    let Ok(fd) = host::open_read(path.as_c_str()) else { return &[] };
    let len = host::read(fd, out).unwrap_or(0);
    host::close(fd);
    &out[..len]
}

fn link<'a>(fd: usize, path: &core::ffi::CStr, out: &'a mut [u8]) -> &'a [u8] {
    let args = [fd, path.as_ptr() as usize, out.as_mut_ptr() as usize, out.len(), 0, 0];
    let len = call(Sysno::readlinkat, args).unwrap_or(0);
    &out[..len]
}

/// The decimal number that a text begins with.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// What follows NAME: in one of the lines.
fn field<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    text.split(|byte| *byte == b'\n')
        .find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(b":")?.trim_ascii()))
}

/// The bytes that a line NAME: N kB stands for.
fn size(text: &[u8], name: &[u8]) -> Option<u64> {
    number(field(text, name)?).map(|size| size << 10)
}

/// Private memory that a process maps, with what of it is swapped out.
fn mapped(pid: i32) -> u64 {
    let mut text = [0; 8192];
    let text = contents(&proc(format_args!("{pid}/status")), &mut text);
    size(text, b"RssAnon").unwrap_or(0) + size(text, b"VmSwap").unwrap_or(0)
}

/// The same with each page that n processes have in common since a fork counted as 1/n. Takes longer. `None`: not known.
fn share(pid: i32) -> Option<u64> {
    let mut text = [0; 4096];
    let text = contents(&proc(format_args!("{pid}/smaps_rollup")), &mut text);
    Some(size(text, b"Pss_Anon")? + size(text, b"SwapPss").unwrap_or(0))
}

/// Calls `each` for the number that each entry of /proc/PID/task is called by.
fn for_each_thread(pid: i32, mut each: impl FnMut(u64)) {
    let Ok(fd) = host::open_read(proc(format_args!("{pid}/task")).as_c_str()) else { return };
    let mut entries = [0_u8; 4096];
    loop {
        let args = [fd as usize, entries.as_mut_ptr() as usize, entries.len(), 0, 0, 0];
        let mut rest = match call(Sysno::getdents64, args) {
            Ok(len @ 1..) => &entries[..len],
            _ => break,
        };
        // `struct linux_dirent64`: its length is the 17th and 18th byte, its name begins behind the 19th.
        while let Some(len) = rest.get(16..18).map(|len| usize::from(u16::from_le_bytes([len[0], len[1]]))) {
            let Some((entry, others)) = rest.split_at_checked(len.max(19)) else { break };
            if let Some(tid) = number(&entry[19..]) {
                each(tid);
            }
            rest = others;
        }
    }
    host::close(fd);
}

/// Calls `each` for the children that a thread has made.
fn for_each_child(pid: i32, tid: u64, mut each: impl FnMut(i32)) {
    let path = proc(format_args!("{pid}/task/{tid}/children"));
    let Ok(fd) = host::open_read(path.as_c_str()) else { return };
    let mut text = [0; 4096];
    let mut child = 0_i32;
    while let Ok(len @ 1..) = host::read(fd, &mut text) {
        for byte in &text[..len] {
            match byte {
                b'0'..=b'9' => child = child.wrapping_mul(10).wrapping_add(i32::from(byte - b'0')),
                _ if child > 0 => each(core::mem::take(&mut child)),
                _ => {}
            }
        }
    }
    host::close(fd);
}

impl Bound {
    /// Bounds the private memory of the guest whose first process is `guest`. `own_pids`: it may have others, in a PID
    /// namespace of its own. `None`, said to the user: this host does not show what processes hold.
    pub(crate) fn new(guest: i32, own_pids: bool, limit: u64) -> Option<Self> {
        /// Not on the stack, where each of its pages would be a page fault at each start.
        static mut HOLDERS: [Holder; THREADS_MAX as usize] =
            [Holder { pid: 0, held: 0 }; THREADS_MAX as usize];
        let own = call(Sysno::getpid, [0; 6]).unwrap_or(0);
        let mut name = [0; 20];
        let fits = number(link(raw::AT_FDCWD as usize, c"/proc/self", &mut name)) == Some(own as u64);
        let children = host::open_read(proc(format_args!("{own}/task/{own}/children")).as_c_str());
        children.into_iter().for_each(host::close);
        if !fits || children.is_err() {
            say(&[
                b"run: warning: --memory bounds only the guest's kernel and single requests here: /proc does not show the children of processes",
            ]);
            return None;
        }
        Some(Self {
            limit,
            guest,
            own_pids,
            // SAFETY: a process has one guest, so this is called once, and nothing else refers to it.
            holders: unsafe { &mut *(&raw mut HOLDERS) },
            count: 0,
            sum: 0,
            due: 0,
            pause: 0,
            victim: None,
            excess_since: None,
            ended: false,
        })
    }

    /// Whether the guest was ended because it held too much.
    pub(crate) fn has_ended_guest(&self) -> bool {
        self.ended
    }

    /// Says so.
    pub(crate) fn report(&self) {
        let mut line = Text::new();
        let _ = core::fmt::write(
            &mut line,
            format_args!(
                "run: out of memory: the guest has used up its {} MiB; give it more with --memory",
                self.limit >> 20
            ),
        );
        say(&[line.as_bytes()]);
    }

    /// Looks if it is time: nanoseconds until the next look.
    pub(crate) fn watch(&mut self) -> usize {
        let start = now();
        if start >= self.due {
            let spent = host::clock(raw::CLOCK_PROCESS_CPUTIME_ID);
            self.look(start);
            let cost = host::clock(raw::CLOCK_PROCESS_CPUTIME_ID) - spent;
            self.due = start + self.pause.max(cost * SHARE);
        }
        self.due.saturating_sub(now()).max(1) as usize
    }

    // As `run::be_parent`.
    #[inline(never)]
    fn look(&mut self, now: u64) {
        let before = self.sum;
        self.measure();
        let left = self.limit.saturating_sub(self.sum);
        let pause = (left / PACE).clamp(SHORTEST, LONGEST);
        self.pause = match self.sum.abs_diff(before) {
            0..NOTICEABLE if left > 0 => (self.pause * 2).clamp(pause, IDLE),
            _ => pause,
        };
        if left > 0 {
            self.excess_since = None;
            self.victim = None;
        } else if now - *self.excess_since.get_or_insert(now) > PATIENCE {
            self.end_guest();
        } else {
            self.relieve(now);
        }
    }

    /// Finds the guest's processes and what they hold.
    fn measure(&mut self) {
        let Self { holders, count, .. } = self;
        holders[0].pid = self.guest;
        *count = 1;
        let mut at = 0;
        while at < *count {
            let pid = holders[at].pid;
            holders[at].held = mapped(pid);
            for_each_thread(pid, |tid| {
                for_each_child(pid, tid, |child| {
                    if let Some(holder) = holders.get_mut(*count) {
                        holder.pid = child;
                        *count += 1;
                    }
                });
            });
            at += 1;
        }
        let holders = &mut holders[..*count];
        let sum = |holders: &[Holder]| holders.iter().map(|holder| holder.held).sum();
        self.sum = sum(holders);
        if self.sum >= self.limit && holders.len() > 1 {
            for holder in &mut *holders {
                holder.held = share(holder.pid).unwrap_or(holder.held);
            }
            self.sum = sum(holders);
        }
    }

    /// Has the process ended that holds most, unless one is ending.
    fn relieve(&mut self, now: u64) {
        let holders = &self.holders[..self.count];
        if let Some(victim) = &mut self.victim
            && holders.iter().any(|holder| holder.pid == victim.pid && holder.held > 0)
        {
            if now - victim.since > GRACE && !victim.killed {
                victim.killed = true;
                kill_member(self.guest, victim.pid);
            }
            return;
        }
        // The first, with which the guest would end, is counted only for what it holds beyond half of the memory.
        let badness = |holder: &&Holder| match holder.pid == self.guest {
            true => holder.held.saturating_sub(self.limit / 2),
            false => holder.held,
        };
        let worst = holders.iter().max_by_key(badness).map_or(self.guest, |holder| holder.pid);
        if worst == self.guest || !self.own_pids {
            self.end_guest();
            return;
        }
        let mut text = [0; 8192];
        let text = contents(&proc(format_args!("{worst}/status")), &mut text);
        // The last is what the namespace that it is in calls it.
        let inner = field(text, b"NSpid").and_then(|pids| pids.rsplit(u8::is_ascii_whitespace).next());
        if let Some(inner) = inner.and_then(number) {
            terminal::tell(self.guest, inner);
            self.victim = Some(Victim { pid: worst, since: now, killed: false });
        }
    }

    /// With its first process a PID namespace ends.
    fn end_guest(&mut self) {
        host::kill(self.guest, raw::SIGKILL);
        self.ended = true;
    }
}

/// Kills a process if it is one of the guest's still, and not another that came to its number.
fn kill_member(guest: i32, pid: i32) {
    let Ok(process) = host::open_read(proc(format_args!("{pid}")).as_c_str()) else { return };
    let (mut own, mut guests) = ([0; 64], [0; 64]);
    let own = link(process as usize, c"ns/pid", &mut own);
    let guests = link(raw::AT_FDCWD as usize, proc(format_args!("{guest}/ns/pid")).as_c_str(), &mut guests);
    if own == guests && !own.is_empty() {
        let _ = call(Sysno::pidfd_send_signal, [process as usize, raw::SIGKILL as usize, 0, 0, 0, 0]);
    }
    host::close(process);
}
