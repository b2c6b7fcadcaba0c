//! The calls that name a futex with its size and kind: futex_waitv(2), and futex_wake, futex_wait and futex_requeue of
//! Linux 6.7.

use super::{FUTEXES, Key, Waiter, forget, key_of, requeue, wake_key};
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::task::Task;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// A futex word: where, by whom it is shared, and what is expected to be in it.
struct Word {
    address: usize,
    shared: bool,
    value: u32,
}

/// Whether FUTEX2_* flags mean a shared futex. Of sizes there is the one of 32 bits; no memory is nearer than another.
fn is_shared(flags: u32) -> Result<bool, Errno> {
    if flags & !(raw::FUTEX2_SIZE_MASK | raw::FUTEX2_PRIVATE) != 0
        || flags & raw::FUTEX2_SIZE_MASK != raw::FUTEX2_SIZE_U32
    {
        return Err(Errno::EINVAL);
    }
    Ok(flags & raw::FUTEX2_PRIVATE == 0)
}

/// A value or mask of 32 bits.
fn narrow(value: u64) -> Result<u32, Errno> {
    u32::try_from(value).map_err(|_| Errno::EINVAL)
}

/// Reads `count` elements `struct futex_waitv`.
fn read_words(waiters: usize, count: usize) -> Result<Vec<Word>, Errno> {
    let mut words = Vec::with_capacity(count);
    for index in 0..count {
        // Value, address, flags and a reserved half.
        let [value, address, flags] = user::read::<[u64; 3]>(waiters.wrapping_add(index * 24))?;
        if flags >> 32 != 0 {
            return Err(Errno::EINVAL);
        }
        let (shared, value) = (is_shared(flags as u32)?, narrow(value)?);
        words.push(Word { address: address as usize, shared, value });
    }
    Ok(words)
}

/// An absolute timeout on one of two clocks as a monotonic deadline.
fn deadline(timeout: usize, clock: i32) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    let realtime = match u32::try_from(clock) {
        Ok(raw::CLOCK_REALTIME) => true,
        Ok(raw::CLOCK_MONOTONIC) => false,
        _ => return Err(Errno::EINVAL),
    };
    super::deadline(timeout, raw::FUTEX_WAIT_BITSET, realtime)
}

/// Sleeps until one of the words is woken: which, the last one if several were.
fn wait_any(t: &Arc<Task>, words: &[Word], bits: u32, deadline: Option<u64>) -> SysResult {
    let mut waiters: Vec<Arc<Waiter>> = Vec::with_capacity(words.len());
    let woken = |waiters: &[Arc<Waiter>]| waiters.iter().rposition(|waiter| waiter.woken.get());
    let mut queue_all = || {
        for word in words {
            let key = key_of(t, word.address, word.shared)?;
            let waiter = Waiter::queued(key, bits);
            waiters.push(waiter);
            // Behind the queueing: the load may wait for the page, and a wake-up then counts.
            if user::load_u32(word.address)? != word.value {
                return Err(Errno::EAGAIN);
            }
        }
        Ok(())
    };
    let end = queue_all().and_then(|()| {
        let queues: Vec<&WaitQueue> = waiters.iter().map(|waiter| &waiter.queue).collect();
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        wait_event(&queues, limit, || woken(&waiters)).map_err(|end| match end {
            WaitEnd::TimedOut => Errno::ETIMEDOUT,
            // The timeout is absolute: the call can start anew.
            WaitEnd::Interrupted => Errno::ERESTARTSYS,
        })
    });
    waiters.iter().filter(|waiter| !waiter.woken.get()).for_each(forget);
    woken(&waiters).map_or(end, Ok)
}

/// futex_waitv(2): the index of a futex that was woken.
pub fn waitv(t: &Arc<Task>, waiters: usize, count: u32, flags: u32, timeout: usize, clock: i32) -> SysResult {
    if flags != 0 || count == 0 || count > raw::FUTEX_WAITV_MAX || waiters == 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline(timeout, clock)?;
    wait_any(t, &read_words(waiters, count as usize)?, !0, deadline)
}

/// futex_wake.
pub fn wake(t: &Task, address: usize, mask: u64, count: i32, flags: u32) -> SysResult {
    let (shared, bits) = (is_shared(flags)?, narrow(mask)?);
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let key: Key = key_of(t, address, shared)?;
    let count = if count < 0 { 1 } else { count as usize };
    Ok(if count == 0 { 0 } else { wake_key(key, count, bits) })
}

/// futex_wait.
pub fn wait(
    t: &Arc<Task>,
    address: usize,
    value: u64,
    mask: u64,
    flags: u32,
    timeout: usize,
    clock: i32,
) -> SysResult {
    let (shared, value, bits) = (is_shared(flags)?, narrow(value)?, narrow(mask)?);
    let deadline = deadline(timeout, clock)?;
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    wait_any(t, &[Word { address, shared, value }], bits, deadline)
}

/// futex_requeue: of the waiters of the first of two futexes, wakes some and makes others wait for the second.
pub fn requeue_between(
    t: &Arc<Task>,
    waiters: usize,
    flags: u32,
    wake_count: i32,
    move_count: i32,
) -> SysResult {
    if flags != 0 || waiters == 0 {
        return Err(Errno::EINVAL);
    }
    let words = read_words(waiters, 2)?;
    let (Ok(wake_count), Ok(move_count)) = (usize::try_from(wake_count), usize::try_from(move_count)) else {
        return Err(Errno::EINVAL);
    };
    let [from, to] = &words[..] else { return Err(Errno::EINVAL) };
    let keys = (key_of(t, from.address, from.shared)?, key_of(t, to.address, to.shared)?);
    if user::load_u32(from.address)? != from.value {
        return Err(Errno::EAGAIN);
    }
    Ok(requeue(keys.0, keys.1, wake_count, move_count))
}

impl Waiter {
    /// One more that waits.
    fn queued(key: Key, bits: u32) -> Arc<Self> {
        let waiter = Arc::new(Self::new(key, bits));
        FUTEXES.borrow_mut().entry(key).or_default().push_back(waiter.clone());
        waiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::test::enter;

    #[test]
    fn flags_values_and_counts_are_checked() {
        let t = enter();
        let private = raw::FUTEX2_SIZE_U32 | raw::FUTEX2_PRIVATE;
        assert_eq!(wake(&t, 0x40_0000, 1, 1, private), Ok(0));
        assert_eq!(wake(&t, 0x40_0000, 1, 0, private), Ok(0));
        assert_eq!(wake(&t, 0x40_0001, 1, 1, private), Err(Errno::EINVAL));
        assert_eq!(wake(&t, 0x40_0000, 0, 1, private), Err(Errno::EINVAL));
        assert_eq!(wake(&t, 0x40_0000, 1 << 32, 1, private), Err(Errno::EINVAL));
        for flags in [0, raw::FUTEX2_SIZE_U64, private | raw::FUTEX2_NUMA, private | 1 << 30] {
            assert_eq!(wake(&t, 0x40_0000, 1, 1, flags), Err(Errno::EINVAL), "{flags:#x}");
        }
        for (count, flags) in [(0, 0), (129, 0), (1, 1)] {
            assert_eq!(waitv(&t, 0x40_0000, count, flags, 0, 1), Err(Errno::EINVAL));
        }
        // The mock machine has no memory, and nobody is left in a queue.
        assert_eq!(wait(&t, 0x40_0000, 0, 1, private, 0, 1), Err(Errno::EFAULT));
        assert!(FUTEXES.borrow().is_empty());
    }
}
