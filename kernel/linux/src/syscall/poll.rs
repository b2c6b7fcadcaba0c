//! poll(2) and select(2).

use crate::errno::{Errno, SysResult};
use crate::file::poll::{Watched, wait_any};
use crate::mem::user;
use crate::signal;
use crate::task::Task;
use crate::task::wait::WaitEnd;
use crate::time::{self, monotonic_ns};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use raw::{__kernel_old_timeval, __kernel_timespec};
use raw::{
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDBAND, EPOLLRDNORM, EPOLLWRBAND, EPOLLWRNORM,
};

const POLLNVAL: u16 = raw::POLLNVAL as u16;
/// What select(2) calls readable, writable and exceptional.
const SELECT_BITS: [u32; 3] = [
    EPOLLRDNORM | EPOLLRDBAND | EPOLLIN | EPOLLHUP | EPOLLERR,
    EPOLLWRBAND | EPOLLWRNORM | EPOLLOUT | EPOLLERR,
    EPOLLPRI,
];

/// The monotonic time `ns` from now; 0, which only looks, for no time at all.
pub(super) fn deadline_after(ns: u64) -> u64 {
    if ns == 0 { 0 } else { monotonic_ns().saturating_add(ns) }
}

/// A timeout in ms, negative for ever, as a deadline.
pub(super) fn deadline_after_ms(ms: i32) -> Option<u64> {
    u64::try_from(ms).ok().map(|ms| deadline_after(ms * 1_000_000))
}

/// A `struct timespec *` timeout, NULL for ever, as a deadline.
pub(super) fn read_timeout(address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let timeout: __kernel_timespec = user::read(address)?;
    Ok(Some(deadline_after(time::from_timespec(&timeout)?)))
}

/// Installs the signal mask a call brings along, if it does.
pub(super) fn read_mask(t: &Arc<Task>, sigmask: usize, sigsetsize: usize) -> Result<(), Errno> {
    if sigmask != 0 {
        if sigsetsize != 8 {
            return Err(Errno::EINVAL);
        }
        signal::set_temporary_mask(t, user::read(sigmask)?);
    }
    Ok(())
}

/// Ends a call that may have brought a mask: unless a handler is to run under that mask, the own one holds again.
pub(super) fn finish(t: &Arc<Task>, result: SysResult) -> SysResult {
    if !matches!(result, Err(Errno::EINTR | Errno::ERESTARTNOHAND)) {
        signal::restore_mask(t);
    }
    result
}

/// Writes back what is left until `deadline`, as Linux does for ppoll, select and pselect6 unless the time was zero.
/// Memory that cannot be written only makes the call one that is not restarted.
fn write_left(
    deadline: Option<u64>,
    result: SysResult,
    write: impl FnOnce(u64) -> Result<(), Errno>,
) -> SysResult {
    let Some(deadline) = deadline.filter(|deadline| *deadline > 0) else { return result };
    match (write(deadline.saturating_sub(monotonic_ns())), result) {
        (Err(_), Err(Errno::ERESTARTNOHAND)) => Err(Errno::EINTR),
        (_, result) => result,
    }
}

fn wait_pollfds(t: &Arc<Task>, fds: usize, nfds: u32, deadline: Option<u64>) -> SysResult {
    let count = nfds as usize;
    if u64::from(nfds) > t.rlimit(raw::RLIMIT_NOFILE).rlim_cur {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0; count * 8];
    user::copy_in(fds, &mut bytes)?;
    let files = t.files();
    // What is open is waited for; `places` says where each belongs.
    let (mut watched, mut places) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut revents = alloc::vec![0u16; count];
    for (place, pollfd) in bytes.chunks_exact(8).enumerate() {
        let fd = i32::from_ne_bytes([pollfd[0], pollfd[1], pollfd[2], pollfd[3]]);
        let events = u16::from_ne_bytes([pollfd[4], pollfd[5]]);
        if fd < 0 {
            continue;
        }
        match files.get(fd) {
            Ok(file) => {
                watched.push(Watched::new(file, events.into()));
                places.push(place);
            }
            Err(_) => revents[place] = POLLNVAL,
        }
    }
    // A descriptor that is not open is an event already.
    let deadline = if revents.iter().any(|found| *found != 0) { Some(0) } else { deadline };
    wait_any(&mut watched, deadline).map_err(|_: WaitEnd| Errno::ERESTARTNOHAND)?;
    for (watched, place) in watched.iter().zip(places) {
        revents[place] = watched.found as u16;
    }
    for (place, found) in revents.iter().enumerate() {
        user::write(fds + place * 8 + 6, found)?;
    }
    Ok(revents.iter().filter(|found| **found != 0).count())
}

pub(super) fn poll(t: &Arc<Task>, fds: usize, nfds: u32, timeout: i32) -> SysResult {
    poll_until(t, fds, nfds, deadline_after_ms(timeout))
}

/// poll(2) with its deadline, which a restart keeps.
fn poll_until(t: &Arc<Task>, fds: usize, nfds: u32, deadline: Option<u64>) -> SysResult {
    wait_pollfds(t, fds, nfds, deadline).map_err(|error| match error {
        Errno::ERESTARTNOHAND => signal::restart_with(t, move |t| poll_until(t, fds, nfds, deadline)),
        error => error,
    })
}

pub(super) fn ppoll(
    t: &Arc<Task>,
    fds: usize,
    nfds: u32,
    timeout: usize,
    sigmask: usize,
    sigsetsize: usize,
) -> SysResult {
    let deadline = read_timeout(timeout)?;
    read_mask(t, sigmask, sigsetsize)?;
    let result = finish(t, wait_pollfds(t, fds, nfds, deadline));
    write_left(deadline, result, |left| user::write(timeout, &time::to_timespec(left)))
}

/// The three sets of select(2), as words of 64 descriptors.
fn wait_sets(t: &Arc<Task>, n: i32, sets: [usize; 3], deadline: Option<u64>) -> SysResult {
    let files = t.files();
    // Like Linux, ignore what no descriptor can be.
    let n = usize::try_from(n).map_err(|_| Errno::EINVAL)?.min(files.capacity());
    let words = n.div_ceil(64);
    let mut asked: [Vec<u64>; 3] = Default::default();
    for (asked, set) in asked.iter_mut().zip(sets) {
        *asked = if set == 0 { alloc::vec![0; words] } else { user::read_vec(set, words)? };
    }
    let (mut watched, mut fds) = (Vec::new(), Vec::new());
    for word in 0..words {
        let mut bits = asked[0][word] | asked[1][word] | asked[2][word];
        if word * 64 + 64 > n {
            bits &= u64::MAX >> (word * 64 + 64 - n);
        }
        while bits != 0 {
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            let mut events = 0;
            for (asked, mask) in asked.iter().zip(SELECT_BITS) {
                if asked[word] >> bit & 1 != 0 {
                    events |= mask;
                }
            }
            let fd = word * 64 + bit as usize;
            watched.push(Watched { file: files.get(fd as i32)?, events, found: 0 });
            fds.push(fd);
        }
    }
    wait_any(&mut watched, deadline).map_err(|_: WaitEnd| Errno::ERESTARTNOHAND)?;
    let mut count = 0;
    let mut found = [(); 3].map(|()| alloc::vec![0u64; words]);
    for (watched, fd) in watched.iter().zip(fds) {
        let (word, bit) = (fd / 64, fd % 64);
        for index in 0..3 {
            if asked[index][word] >> bit & 1 != 0 && watched.found & SELECT_BITS[index] != 0 {
                found[index][word] |= 1 << bit;
                count += 1;
            }
        }
    }
    for (found, set) in found.iter().zip(sets) {
        if set != 0 {
            user::copy_out(set, husk_machine::pod::slice_bytes(found))?;
        }
    }
    Ok(count)
}

pub(super) fn select(
    t: &Arc<Task>,
    nfds: i32,
    readfds: usize,
    writefds: usize,
    exceptfds: usize,
    timeout: usize,
) -> SysResult {
    let deadline = if timeout == 0 {
        None
    } else {
        let value: __kernel_old_timeval = user::read(timeout)?;
        // Microseconds above a second are allowed here, and carried over.
        let (Ok(seconds), Ok(micros)) = (u64::try_from(value.tv_sec), u64::try_from(value.tv_usec)) else {
            return Err(Errno::EINVAL);
        };
        Some(deadline_after(
            seconds.saturating_mul(1_000_000_000).saturating_add(micros.saturating_mul(1000)),
        ))
    };
    let result = wait_sets(t, nfds, [readfds, writefds, exceptfds], deadline);
    write_left(deadline, result, |left| {
        let micros = (left / 1000) as i64;
        user::write(
            timeout,
            &__kernel_old_timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 },
        )
    })
}

pub(super) fn pselect6(
    t: &Arc<Task>,
    nfds: i32,
    readfds: usize,
    writefds: usize,
    exceptfds: usize,
    timeout: usize,
    sigmask: usize,
) -> SysResult {
    let deadline = read_timeout(timeout)?;
    if sigmask != 0 {
        let [set, size]: [usize; 2] = user::read(sigmask)?;
        read_mask(t, set, size)?;
    }
    let result = finish(t, wait_sets(t, nfds, [readfds, writefds, exceptfds], deadline));
    write_left(deadline, result, |left| user::write(timeout, &time::to_timespec(left)))
}
