//! Hypercalls: `OUT` with the address of a `Call`. Each costs an exit, tens of microseconds on software KVM.

use super::{catch_up, outside, this};
use crate::image::control::{self, KVM_CONTROL};
use crate::image::gate::{POLLIN, POLLOUT, PollFd};
use crate::image::{clock, cpu};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use husk_abi::gate::{Call, Number, PORT, REPLIES};

fn call(number: Number, a: usize, b: usize, c: usize) -> i64 {
    let mut call = Call { number: number as u32, a: a as u64, b: b as u64, c: c as u64, ..Call::default() };
    // SAFETY: the tender reads and writes the call, and the memory it names, which the callers below own.
    unsafe {
        asm!("out dx, eax", in("dx") PORT, in("eax") 0, in("rdi") &raw mut call, options(nostack));
    }
    call.result
}

fn check(result: i64) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| -result as i32)
}

pub(in crate::image) fn read(fd: i32, out: &mut [u8]) -> Result<usize, i32> {
    outside(|| check(call(Number::Read, out.as_mut_ptr() as usize, out.len(), fd as usize)))
}

pub(in crate::image) fn write(fd: i32, data: &[u8]) -> Result<usize, i32> {
    outside(|| check(call(Number::Write, data.as_ptr() as usize, data.len(), fd as usize)))
}

/// Waits for descriptors until the deadline (monotonic ns; 0 only looks), a wake-up or a kick. Says how many are ready.
pub(in crate::image) fn poll(fds: &mut [PollFd], deadline: u64) -> usize {
    let mask = fds.iter().fold(0, |mask, poll| {
        let input = usize::from(poll.events & POLLIN != 0 && (poll.fd == 0 || poll.fd == KVM_CONTROL));
        let output = usize::from(poll.events & POLLOUT != 0 && poll.fd > 0);
        mask | input << poll.fd | output << (16 + poll.fd)
    });
    let ready = outside(|| wait(deadline, mask)).max(0);
    for poll in &mut *fds {
        let input = ready >> poll.fd & 1 != 0;
        let output = ready >> (16 + poll.fd) & 1 != 0;
        poll.revents = if input { POLLIN } else { 0 } | if output { POLLOUT } else { 0 };
    }
    fds.iter().filter(|poll| poll.revents != 0).count()
}

/// Sleeps until the deadline, a wake-up or a kick. A wake-up since the last sleep ends it at once.
pub(in crate::image) fn sleep(deadline: Option<u64>) {
    outside(|| wait(deadline.unwrap_or(u64::MAX), 0));
}

/// Not zero: a sleep was ended by input of the control descriptor.
static CONTROL: AtomicU32 = AtomicU32::new(0);

/// A wait that may be long. vCPU 0 listens to the control descriptor meanwhile: a signal of the host could come between its
/// last look and the sleep.
fn wait(deadline: u64, mask: usize) -> i64 {
    let listens = deadline != 0 && cpu::index() == 0 && control::descriptor().is_some();
    let control = usize::from(listens) << KVM_CONTROL;
    let ready = call(Number::Wait, deadline as usize, mask | control, 0);
    if ready > 0 && ready as usize & control != 0 {
        CONTROL.store(1, Ordering::Relaxed);
    }
    ready
}

/// Whether the control descriptor has input of which nobody took note.
pub(super) fn has_control() -> bool {
    CONTROL.load(Ordering::Relaxed) != 0
}

/// Takes note that the control descriptor has input.
pub(in crate::image) fn take_control() -> bool {
    CONTROL.load(Ordering::Relaxed) != 0 && CONTROL.swap(0, Ordering::Relaxed) != 0
}

/// Nobody waits in a restored guest, and no alarm is set.
pub(super) fn forget_waiters() {
    WAITERS.store(0, Ordering::Relaxed);
    ALARM.store(0, Ordering::Relaxed);
    CONTROL.store(0, Ordering::Relaxed);
}

/// Ends the sleep of a vCPU, or interrupts it.
pub(in crate::image) fn wake(index: usize) {
    call(Number::Notify, index, 0, 0);
}

/// vCPUs that sleep for a lock word.
static WAITERS: AtomicU64 = AtomicU64::new(0);

/// Sleeps while `word` holds `value`. May return early.
pub(in crate::image) fn lock_wait(word: &AtomicU32, value: u32) {
    let me = 1 << cpu::index();
    WAITERS.fetch_or(me, Ordering::SeqCst);
    if word.load(Ordering::SeqCst) == value {
        sleep(None);
    } else {
        catch_up(this());
    }
    WAITERS.fetch_and(!me, Ordering::SeqCst);
}

/// Wakes those who sleep for a lock word.
pub(in crate::image) fn lock_wake() {
    let mut waiters = WAITERS.load(Ordering::SeqCst);
    while waiters != 0 {
        wake(waiters.trailing_zeros() as usize);
        waiters &= waiters - 1;
    }
}

/// Sleeps until the state server has answered some request that was waited for, or the deadline (monotonic ns). May return
/// early. The caller runs it `outside`.
pub(in crate::image) fn wait_for_replies(deadline: u64) {
    call(Number::Wait, deadline as usize, REPLIES as usize, 0);
}

/// When the last alarm was set, and for when (monotonic ns).
static ALARM_SET: AtomicU64 = AtomicU64::new(0);
static ALARM: AtomicU64 = AtomicU64::new(0);
/// Least time between two alarms: an exit to set one and one by which it comes take some 50 us each on software KVM.
const ALARM_PAUSE: u64 = 1_000_000;

/// Has this vCPU interrupted at the deadline (monotonic ns), or up to a millisecond later if it was just now. One alarm that comes
/// earlier serves for all.
pub(in crate::image) fn set_alarm(deadline: u64) {
    let now = clock::monotonic_ns();
    let at = deadline.max(ALARM_SET.load(Ordering::Relaxed) + ALARM_PAUSE);
    if (now..=at).contains(&ALARM.load(Ordering::Relaxed)) {
        return;
    }
    ALARM_SET.store(now, Ordering::Relaxed);
    ALARM.store(at, Ordering::Relaxed);
    call(Number::Alarm, at as usize, 0, 0);
}

/// Wakes the state server.
pub(in crate::image) fn ring() {
    call(Number::Ring, 0, 0, 0);
}

pub(in crate::image) fn exit_guest(code: i32) -> ! {
    loop {
        call(Number::Exit, (code as usize & 0xff) << 8, 0, 0);
    }
}
