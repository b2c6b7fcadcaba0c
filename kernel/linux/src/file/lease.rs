//! Leases: F_SETLEASE and F_GETLEASE of fcntl(2).
//!
//! Who holds a lease on a file hears by a signal that somebody wants to open or truncate it. The other waits until the lease
//! is given up or lowered, or until /proc/sys/fs/lease-break-time has passed and that is done for its holder.

use super::OpenFile;
use super::owner::{OwnerKind, SignalOwner};
use crate::errno::{Errno, SysResult};
use crate::fs::Inode;
use crate::task::Task;
use crate::task::cred::CAP_LEASE;
use crate::task::process;
use crate::task::wait::{WaitEnd, WaitLimit, WaitQueue, wait_event};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use linux_raw_sys::general::{EPOLLMSG, F_RDLCK, F_UNLCK, F_WRLCK, O_PATH};

/// Seconds that a holder has; 0: for ever.
pub static BREAK_TIME: Global<KCell<u64>> = Global::new(|| KCell::new(45));

const NS_PER_S: u64 = 1_000_000_000;

struct Lease {
    file: Weak<OpenFile>,
    /// The descriptor that signals name.
    fd: i32,
    exclusive: bool,
    /// When it ends if its holder does not end it, monotonic ns.
    ends: Option<u64>,
    /// When it becomes one for reading.
    lowers: Option<u64>,
}

impl Lease {
    fn is_of(&self, file: &OpenFile) -> bool {
        core::ptr::eq(self.file.as_ptr(), file)
    }

    /// Whether it stands against others that read, or write.
    fn is_in_way(&self, writing: bool) -> bool {
        self.exclusive || writing
    }
}

/// The leases on one file.
#[derive(Default)]
pub struct Leases {
    list: KCell<Vec<Lease>>,
    changed: WaitQueue,
}

impl Leases {
    /// Ends and lowers the leases whose holders let the time pass.
    fn time_out(&self) {
        let now = crate::time::monotonic_ns();
        let past = |moment: Option<u64>| moment.is_some_and(|moment| moment <= now);
        let mut list = self.list.borrow_mut();
        list.retain(|lease| !past(lease.ends));
        for lease in list.iter_mut().filter(|lease| past(lease.lowers)) {
            lease.exclusive = false;
            lease.lowers = None;
        }
    }

    /// What F_GETLEASE tells `file`: what its lease is, or is to become.
    fn kind(&self, file: &OpenFile) -> u32 {
        self.time_out();
        let list = self.list.borrow();
        match list.iter().find(|lease| lease.is_of(file)) {
            None => F_UNLCK,
            Some(lease) if lease.ends.is_some() => F_UNLCK,
            Some(lease) if lease.exclusive && lease.lowers.is_none() => F_WRLCK,
            Some(_) => F_RDLCK,
        }
    }

    /// Takes a lease for `file`, or changes the one it has.
    fn put(&self, file: &Arc<OpenFile>, fd: i32, exclusive: bool) -> Result<(), Errno> {
        self.time_out();
        let mut list = self.list.borrow_mut();
        let others = list.iter().filter(|lease| !lease.is_of(file));
        let refused = |lease: &Lease| exclusive || lease.ends.is_some();
        if others.clone().any(refused) {
            return Err(Errno::EAGAIN);
        }
        match list.iter_mut().find(|lease| lease.is_of(file)) {
            Some(own) => {
                own.exclusive = exclusive;
                if !exclusive {
                    own.lowers = None;
                }
            }
            None => {
                let file = Arc::downgrade(file);
                list.push(Lease { file, fd, exclusive, ends: None, lowers: None });
            }
        }
        drop(list);
        self.changed.wake_all(!0);
        Ok(())
    }

    /// Ends the lease of `file`. False: it had none.
    fn remove(&self, file: &OpenFile) -> bool {
        let mut list = self.list.borrow_mut();
        let before = list.len();
        list.retain(|lease| !lease.is_of(file));
        let gone = list.len() < before;
        drop(list);
        if gone {
            self.changed.wake_all(!0);
        }
        gone
    }

    /// The open file goes, and its lease with it.
    pub(super) fn open_file_gone(&self, file: &OpenFile) {
        self.remove(file);
    }

    /// Tells those whose leases stand against others that read, or write. Gives the first moment at which one ends by
    /// itself; `None` when nothing stands against it (any more).
    fn ask(&self, writing: bool) -> Option<u64> {
        self.time_out();
        let moment = match BREAK_TIME.get() {
            0 => u64::MAX,
            seconds => crate::time::monotonic_ns().saturating_add(seconds.saturating_mul(NS_PER_S)),
        };
        let mut told: Vec<(Weak<OpenFile>, i32)> = Vec::new();
        let mut first = None;
        for lease in self.list.borrow_mut().iter_mut().filter(|lease| lease.is_in_way(writing)) {
            let known = lease.ends.is_some() || !writing && lease.lowers.is_some();
            let due = if writing { &mut lease.ends } else { &mut lease.lowers };
            if !known {
                *due = Some(moment);
                told.push((lease.file.clone(), lease.fd));
            }
            let due = lease.ends.into_iter().chain(lease.lowers).min().unwrap_or(u64::MAX);
            first = Some(first.map_or(due, |first: u64| first.min(due)));
        }
        for (file, fd) in told {
            if let Some(file) = file.upgrade() {
                file.signal_owner().send(EPOLLMSG, fd);
            }
        }
        first
    }

    fn make_way(&self, writing: bool, nonblocking: bool) -> Result<(), Errno> {
        while let Some(deadline) = self.ask(writing) {
            if nonblocking {
                return Err(Errno::EAGAIN);
            }
            let limit = WaitLimit { deadline: Some(deadline), ..WaitLimit::default() };
            let free = || {
                let list = self.list.borrow();
                (!list.iter().any(|lease| lease.is_in_way(writing))).then_some(())
            };
            match wait_event(&[&self.changed], limit, free) {
                Ok(()) => break,
                Err(WaitEnd::TimedOut) => {}
                Err(WaitEnd::Interrupted) => return Err(Errno::ERESTARTSYS),
            }
        }
        Ok(())
    }
}

/// Before a file is opened, or truncated by name: waits for leases that stand against it. EAGAIN where that would take
/// time and must not.
pub fn make_way(inode: &Inode, writing: bool, nonblocking: bool) -> Result<(), Errno> {
    match inode.locks() {
        Some(locks) => locks.leases.make_way(writing, nonblocking),
        None => Ok(()),
    }
}

/// F_GETLEASE.
pub fn get(file: &OpenFile) -> u32 {
    let locks = file.path.as_ref().and_then(|path| path.inode().locks());
    locks.map_or(F_UNLCK, |locks| locks.leases.kind(file))
}

/// F_SETLEASE.
pub fn set(t: &Arc<Task>, file: &Arc<OpenFile>, fd: i32, kind: u32) -> SysResult {
    if !matches!(kind, F_RDLCK | F_WRLCK | F_UNLCK) {
        return Err(Errno::EINVAL);
    }
    let inode = file.path.as_ref().map(|path| path.inode()).ok_or(Errno::EINVAL)?;
    let cred = t.cred();
    if cred.fsuid != inode.attributes().uid && !cred.capable(CAP_LEASE) {
        return Err(Errno::EACCES);
    }
    // Others than this guest open files of a volume, and nobody would hear of that.
    if !inode.is_regular() || inode.is_remote() {
        return Err(Errno::EINVAL);
    }
    if kind == F_UNLCK {
        if !inode.locks().is_some_and(|locks| locks.leases.remove(file)) {
            return Err(Errno::EAGAIN);
        }
        file.set_signal_owner(SignalOwner::default())?;
        return Ok(0);
    }
    let exclusive = kind == F_WRLCK;
    if is_used_otherwise(inode, file, exclusive) {
        return Err(Errno::EAGAIN);
    }
    inode.make_locks().leases.put(file, fd, exclusive)?;
    let owner = file.signal_owner();
    if owner.id == 0 {
        file.set_signal_owner(SignalOwner { kind: OwnerKind::Process, id: t.pid(), ..owner })?;
    }
    Ok(0)
}

/// Whether the file is open in a way that a lease of this kind would have to be told of.
fn is_used_otherwise(inode: &Arc<Inode>, file: &Arc<OpenFile>, exclusive: bool) -> bool {
    if !exclusive {
        return inode.check_not_written().is_err();
    }
    if inode.check_not_running().is_err() {
        return true;
    }
    let is_other = |open: &Arc<OpenFile>| {
        !Arc::ptr_eq(open, file)
            && open.flags() & O_PATH == 0
            && open.path.as_ref().is_some_and(|path| Arc::ptr_eq(path.inode(), inode))
    };
    process::all_tasks().iter().any(|task| task.files().all().iter().any(is_other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::File;
    use crate::fs::Stat;
    use crate::task::test::enter;

    struct Nothing;

    impl File for Nothing {
        fn stat(&self) -> Result<Stat, Errno> {
            Err(Errno::EBADF)
        }
    }

    #[test]
    fn a_lease_is_lowered_or_ended_when_its_time_has_passed() {
        let _t = enter();
        let leases = Leases::default();
        let file = OpenFile::new(Arc::new(Nothing), 0, None);
        let other = OpenFile::new(Arc::new(Nothing), 0, None);
        assert_eq!(leases.put(&file, 3, true), Ok(()));
        assert_eq!(leases.put(&other, 3, true), Err(Errno::EAGAIN));
        assert_eq!(leases.make_way(false, true), Err(Errno::EAGAIN));
        assert_eq!(leases.kind(&file), F_RDLCK, "what it is to become");
        assert_eq!(leases.make_way(true, true), Err(Errno::EAGAIN));
        assert_eq!(leases.kind(&file), F_UNLCK);
        leases.list.borrow_mut()[0].lowers = Some(0);
        assert_eq!(leases.make_way(false, true), Ok(()), "it is one for reading now");
        leases.list.borrow_mut()[0].ends = Some(0);
        assert_eq!(leases.make_way(true, true), Ok(()));
        assert!(!leases.remove(&file));
        assert_eq!(leases.put(&file, 3, false), Ok(()));
        assert_eq!(leases.put(&other, 3, false), Ok(()));
        assert_eq!(leases.put(&other, 3, true), Err(Errno::EAGAIN), "another has one");
        leases.open_file_gone(&file);
        assert_eq!(leases.put(&other, 3, true), Ok(()));
        assert_eq!(leases.kind(&other), F_WRLCK);
    }
}
