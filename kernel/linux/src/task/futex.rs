//! Futexes: futex(2), and the robust lists of set_robust_list(2).
//!
//! A waiter is found by a key: the address and space for private memory, the page of the arena and the offset in it for
//! shared memory. Checks and queueing happen under the big kernel lock, so no wake-up falls between them.

pub mod sized;

use super::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use super::{Pid, Task};
use crate::errno::{Errno, SysResult};
use crate::mem::map::Backing;
use crate::mem::user;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general as raw;

/// What identifies a futex word to all who can reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Private { space: usize, address: usize },
    Shared { object: usize, offset: u64 },
}

/// One task in FUTEX_WAIT. Its key changes when it is requeued.
struct Waiter {
    bits: u32,
    key: KCell<Key>,
    woken: KCell<bool>,
    queue: WaitQueue,
}

impl Waiter {
    fn new(key: Key, bits: u32) -> Self {
        Self { bits, key: KCell::new(key), woken: KCell::new(false), queue: WaitQueue::new() }
    }
}

static FUTEXES: Global<KCell<BTreeMap<Key, VecDeque<Arc<Waiter>>>>> = Global::new(KCell::default);

/// The key of a word. `shared` is the absence of FUTEX_PRIVATE_FLAG.
fn key_of(t: &Task, address: usize, shared: bool) -> Result<Key, Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let space = t.space();
    let private = Key::Private { space: Arc::as_ptr(&space) as usize, address };
    if !shared {
        return Ok(private);
    }
    let (start, area) = space.area_at(address).ok_or(Errno::EFAULT)?;
    if !area.shared {
        return Ok(private);
    }
    Ok(match &area.backing {
        Backing::Anonymous => private,
        Backing::Shared { pages, offset } => {
            Key::Shared { object: Arc::as_ptr(pages) as usize, offset: (offset + address - start) as u64 }
        }
        Backing::File { file, offset } => {
            // Each open file of a volume is an object of its own; what they share is the inode.
            let object = match &file.path {
                Some(path) if path.inode().is_remote() => Arc::as_ptr(path.inode()).addr(),
                _ => Arc::as_ptr(&file.object).cast::<()>().addr(),
            };
            Key::Shared { object, offset: offset + (address - start) as u64 }
        }
    })
}

fn forget(waiter: &Arc<Waiter>) {
    let key = waiter.key.get();
    let mut futexes = FUTEXES.borrow_mut();
    if let Some(queue) = futexes.get_mut(&key) {
        queue.retain(|other| !Arc::ptr_eq(other, waiter));
        if queue.is_empty() {
            futexes.remove(&key);
        }
    }
}

/// FUTEX_WAIT_BITSET: sleeps if the word holds `value`.
fn wait(
    t: &Arc<Task>,
    address: usize,
    shared: bool,
    value: u32,
    deadline: Option<u64>,
    bits: u32,
) -> SysResult {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let key = key_of(t, address, shared)?;
    if user::load_u32(address)? != value {
        return Err(Errno::EAGAIN);
    }
    let waiter = Arc::new(Waiter::new(key, bits));
    FUTEXES.borrow_mut().entry(key).or_default().push_back(waiter.clone());
    let limit = WaitLimit { deadline, ..WaitLimit::default() };
    let end = wait_event(&[&waiter.queue], limit, || waiter.woken.get().then_some(()));
    if end.is_err() {
        forget(&waiter);
    }
    match end {
        Ok(()) => Ok(0),
        Err(WaitEnd::TimedOut) => Err(Errno::ETIMEDOUT),
        // A timeout is absolute here by then, but was relative in the call: it must not start anew.
        Err(WaitEnd::Interrupted) if deadline.is_some() => Err(Errno::EINTR),
        Err(WaitEnd::Interrupted) => Err(Errno::ERESTARTSYS),
    }
}

/// Takes up to `count` waiters whose bits match off a key.
fn take(key: Key, count: usize, bits: u32) -> Vec<Arc<Waiter>> {
    let mut taken = Vec::new();
    let mut futexes = FUTEXES.borrow_mut();
    if let Some(queue) = futexes.get_mut(&key) {
        queue.retain(|waiter| {
            let wanted = taken.len() < count && waiter.bits & bits != 0;
            if wanted {
                taken.push(waiter.clone());
            }
            !wanted
        });
        if queue.is_empty() {
            futexes.remove(&key);
        }
    }
    taken
}

fn wake_key(key: Key, count: usize, bits: u32) -> usize {
    let taken = take(key, count, bits);
    for waiter in &taken {
        waiter.woken.set(true);
        waiter.queue.wake_all(!0);
    }
    taken.len()
}

/// Wakes waiters of a word of the current task, private or shared.
pub fn wake_address(t: &Task, address: usize, count: usize) {
    for shared in [false, true] {
        if let Ok(key) = key_of(t, address, shared) {
            wake_key(key, count, !0);
        }
    }
}

fn requeue(from: Key, to: Key, wake: usize, move_count: usize) -> usize {
    let woken = wake_key(from, wake, !0);
    if from == to {
        return woken;
    }
    let moved = take(from, move_count, !0);
    let count = moved.len();
    for waiter in moved {
        waiter.key.set(to);
        FUTEXES.borrow_mut().entry(to).or_default().push_back(waiter);
    }
    woken + count
}

/// FUTEX_WAKE_OP's change of the second word; whether the old value passes its comparison.
fn wake_operation(address: usize, encoded: u32) -> Result<bool, Errno> {
    let (operation, comparison) = (encoded >> 28, (encoded >> 24) & 15);
    let sign_extend = |value: u32| ((value << 20) as i32 >> 20) as u32;
    let (mut operand, compared) = (sign_extend(encoded >> 12 & 0xfff), sign_extend(encoded & 0xfff));
    if operation & raw::FUTEX_OP_OPARG_SHIFT != 0 {
        operand = 1_u32.wrapping_shl(operand & 31);
    }
    let mut old = user::load_u32(address)?;
    loop {
        let new = match operation & 7 {
            raw::FUTEX_OP_SET => operand,
            raw::FUTEX_OP_ADD => old.wrapping_add(operand),
            raw::FUTEX_OP_OR => old | operand,
            raw::FUTEX_OP_ANDN => old & !operand,
            raw::FUTEX_OP_XOR => old ^ operand,
            _ => return Err(Errno::ENOSYS),
        };
        let found = user::compare_exchange_u32(address, old, new)?;
        if found == old {
            break;
        }
        old = found;
    }
    let (old, compared) = (old as i32, compared as i32);
    Ok(match comparison {
        raw::FUTEX_OP_CMP_EQ => old == compared,
        raw::FUTEX_OP_CMP_NE => old != compared,
        raw::FUTEX_OP_CMP_LT => old < compared,
        raw::FUTEX_OP_CMP_LE => old <= compared,
        raw::FUTEX_OP_CMP_GT => old > compared,
        raw::FUTEX_OP_CMP_GE => old >= compared,
        _ => return Err(Errno::ENOSYS),
    })
}

/// FUTEX_LOCK_PI: a lock whose word holds its owner's thread id. There is no priority to inherit: the kernel schedules
/// by turns.
fn lock_pi(t: &Arc<Task>, address: usize, shared: bool, deadline: Option<u64>, only_try: bool) -> SysResult {
    let key = key_of(t, address, shared)?;
    let me = t.tid() as u32;
    loop {
        let word = user::load_u32(address)?;
        let owner = word & raw::FUTEX_TID_MASK;
        if owner == me {
            return Err(Errno::EDEADLK);
        }
        if owner == 0 {
            let waiters = word & raw::FUTEX_WAITERS;
            let died = word & raw::FUTEX_OWNER_DIED;
            if user::compare_exchange_u32(address, word, me | waiters | died)? == word {
                return Ok(0);
            }
            continue;
        }
        if super::process::find_task(owner as Pid).is_none() {
            return Err(Errno::ESRCH);
        }
        if only_try {
            return Err(Errno::EAGAIN);
        }
        if user::compare_exchange_u32(address, word, word | raw::FUTEX_WAITERS)? != word {
            continue;
        }
        let waiter = Arc::new(Waiter::new(key, !0));
        FUTEXES.borrow_mut().entry(key).or_default().push_back(waiter.clone());
        let limit = WaitLimit { deadline, ..WaitLimit::default() };
        let end = wait_event(&[&waiter.queue], limit, || waiter.woken.get().then_some(()));
        if end.is_err() {
            forget(&waiter);
        }
        match end {
            Ok(()) => {}
            Err(WaitEnd::TimedOut) => return Err(Errno::ETIMEDOUT),
            Err(WaitEnd::Interrupted) => return Err(Errno::ERESTARTSYS),
        }
    }
}

fn unlock_pi(t: &Arc<Task>, address: usize, shared: bool) -> SysResult {
    let key = key_of(t, address, shared)?;
    let me = t.tid() as u32;
    loop {
        let word = user::load_u32(address)?;
        if word & raw::FUTEX_TID_MASK != me {
            return Err(Errno::EPERM);
        }
        let more = FUTEXES.borrow().get(&key).is_some_and(|queue| queue.len() > 1);
        let new = if more { raw::FUTEX_WAITERS } else { 0 };
        if user::compare_exchange_u32(address, word, new)? == word {
            wake_key(key, 1, !0);
            return Ok(0);
        }
    }
}

/// The timeout of a call as a monotonic deadline.
fn deadline(timeout: usize, command: u32, realtime: bool) -> Result<Option<u64>, Errno> {
    if timeout == 0 {
        return Ok(None);
    }
    let [seconds, nanoseconds] = user::read::<[i64; 2]>(timeout)?;
    if seconds < 0 || !(0..1_000_000_000).contains(&nanoseconds) {
        return Err(Errno::EINVAL);
    }
    let time = (seconds as u64).saturating_mul(1_000_000_000).saturating_add(nanoseconds as u64);
    let now = crate::time::monotonic_ns();
    let relative = command == raw::FUTEX_WAIT;
    Ok(Some(match (relative, realtime) {
        (true, _) => now.saturating_add(time),
        (false, true) => now.saturating_add(time.saturating_sub(crate::time::realtime_ns())),
        (false, false) => time,
    }))
}

/// futex(2).
pub fn futex(
    t: &Arc<Task>,
    address: usize,
    operation: u32,
    value: u32,
    timeout: usize,
    address2: usize,
    value3: u32,
) -> SysResult {
    let shared = operation & raw::FUTEX_PRIVATE_FLAG == 0;
    let mut realtime = operation & raw::FUTEX_CLOCK_REALTIME != 0;
    let command = operation & !(raw::FUTEX_PRIVATE_FLAG | raw::FUTEX_CLOCK_REALTIME);
    // The timeout's place holds a count in these.
    let count2 = timeout as u32 as i32;
    let count = |value: u32| usize::try_from(value as i32).unwrap_or(if value == 0 { 0 } else { 1 });
    match command {
        raw::FUTEX_WAIT | raw::FUTEX_WAIT_BITSET => {
            let bits = if command == raw::FUTEX_WAIT { !0 } else { value3 };
            wait(t, address, shared, value, deadline(timeout, command, realtime)?, bits)
        }
        raw::FUTEX_WAKE | raw::FUTEX_WAKE_BITSET => {
            let bits = if command == raw::FUTEX_WAKE { !0 } else { value3 };
            if bits == 0 {
                return Err(Errno::EINVAL);
            }
            Ok(wake_key(key_of(t, address, shared)?, count(value).max(1), bits))
        }
        raw::FUTEX_REQUEUE | raw::FUTEX_CMP_REQUEUE => {
            if (value as i32) < 0 || count2 < 0 {
                return Err(Errno::EINVAL);
            }
            let (from, to) = (key_of(t, address, shared)?, key_of(t, address2, shared)?);
            if command == raw::FUTEX_CMP_REQUEUE && user::load_u32(address)? != value3 {
                return Err(Errno::EAGAIN);
            }
            Ok(requeue(from, to, value as usize, count2 as usize))
        }
        raw::FUTEX_WAKE_OP => {
            let (first, second) = (key_of(t, address, shared)?, key_of(t, address2, shared)?);
            let also = wake_operation(address2, value3)?;
            let woken = wake_key(first, count(value).max(1), !0);
            Ok(woken + if also { wake_key(second, count(count2 as u32).max(1), !0) } else { 0 })
        }
        raw::FUTEX_LOCK_PI | raw::FUTEX_LOCK_PI2 => {
            // The first form always counts by CLOCK_REALTIME.
            realtime |= command == raw::FUTEX_LOCK_PI;
            lock_pi(t, address, shared, deadline(timeout, command, realtime)?, false)
        }
        raw::FUTEX_TRYLOCK_PI => lock_pi(t, address, shared, None, true),
        raw::FUTEX_UNLOCK_PI => unlock_pi(t, address, shared),
        _ => Err(Errno::ENOSYS),
    }
}

/// Longest robust list that is followed, as on Linux.
const ROBUST_LIST_LIMIT: usize = 2048;

/// Marks the robust futexes of a task that ends, and wakes a waiter of each (set_robust_list(2)).
pub fn exit_robust_list(t: &Arc<Task>) {
    let head = t.robust_list.take();
    if head != 0 {
        // A list that cannot be read ends the walk, as on Linux.
        let _ = walk_robust_list(t, head);
    }
}

fn walk_robust_list(t: &Arc<Task>, head: usize) -> Result<(), Errno> {
    let [mut entry, offset, pending] = user::read::<[usize; 3]>(head)?;
    for _ in 0..ROBUST_LIST_LIMIT {
        let (at, is_pi) = (entry & !1, entry & 1 != 0);
        if at == head {
            break;
        }
        let next = user::read::<usize>(at);
        if at != pending & !1 {
            mark_dead(t, at.wrapping_add(offset), is_pi)?;
        }
        entry = next?;
    }
    if pending != 0 {
        mark_dead(t, (pending & !1).wrapping_add(offset), pending & 1 != 0)?;
    }
    Ok(())
}

fn mark_dead(t: &Arc<Task>, address: usize, is_pi: bool) -> Result<(), Errno> {
    loop {
        let word = user::load_u32(address)?;
        if word & raw::FUTEX_TID_MASK != t.tid() as u32 {
            return Ok(());
        }
        let new = word & raw::FUTEX_WAITERS | raw::FUTEX_OWNER_DIED;
        if user::compare_exchange_u32(address, word, new)? == word {
            if word & raw::FUTEX_WAITERS != 0 || is_pi {
                wake_address(t, address, 1);
            }
            return Ok(());
        }
    }
}
