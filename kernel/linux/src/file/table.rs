//! Descriptors: the table that maps small numbers to open files, shared by tasks as clone(2)'s CLONE_FILES says.

use super::OpenFile;
use super::locks::Owner;
use crate::errno::Errno;
use crate::fs::remote;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_machine::cell::KCell;

#[derive(Clone)]
struct Slot {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

/// A table of descriptors. What a call removes from it is dropped after the borrow has ended, because the last
/// reference to an open file runs its `release`.
#[derive(Default)]
pub struct FdTable {
    slots: KCell<Vec<Option<Slot>>>,
    /// Every descriptor below it is in use, so a search for a free one starts here.
    full_below: KCell<usize>,
}

impl FdTable {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A descriptor of `file` was taken away: the process's record locks on it go.
    fn unlocked(&self, file: &OpenFile) {
        if let Some(path) = &file.path
            && let Some(locks) = path.inode().locks()
        {
            let owner = Owner::table(self);
            if path.inode().is_remote() && locks.holds(owner).0 {
                remote::locks::unlock(path.inode(), owner, 0, u64::MAX);
            }
            locks.table_closed(self);
        }
    }

    /// A copy for a child process: the same open files.
    pub fn duplicate(&self) -> Arc<Self> {
        Arc::new(Self {
            slots: KCell::new(self.slots.borrow().clone()),
            full_below: KCell::new(self.full_below.get()),
        })
    }

    /// The open files, those with several descriptors more than once.
    pub fn all(&self) -> Vec<Arc<OpenFile>> {
        self.slots.borrow().iter().flatten().map(|slot| slot.file.clone()).collect()
    }

    /// The open file of a descriptor, or EBADF.
    pub fn get(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.slots.borrow().get(index) {
            Some(Some(slot)) => Ok(slot.file.clone()),
            _ => Err(Errno::EBADF),
        }
    }

    /// The lowest free descriptor from `min` on.
    fn lowest_free(&self, min: usize) -> usize {
        let slots = self.slots.borrow();
        let from = min.max(self.full_below.get());
        let free = (from..slots.len()).find(|index| slots[*index].is_none());
        free.unwrap_or(slots.len().max(from))
    }

    /// EMFILE if the current task can have no further descriptor, for calls that must not do their work in vain.
    pub fn check_room(&self) -> Result<(), Errno> {
        let limit = crate::task::current().rlimit(linux_raw_sys::general::RLIMIT_NOFILE).rlim_cur;
        if self.lowest_free(0) as u64 >= limit { Err(Errno::EMFILE) } else { Ok(()) }
    }

    /// Puts `file` at the lowest free descriptor that is at least `min`; EMFILE at `limit` (RLIMIT_NOFILE).
    pub fn install_from(
        &self,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        min: usize,
        limit: u64,
    ) -> Result<i32, Errno> {
        let full_below = self.full_below.get();
        let index = self.lowest_free(min);
        if index as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        let mut slots = self.slots.borrow_mut();
        if index >= slots.len() {
            slots.resize(index + 1, None);
        }
        slots[index] = Some(Slot { file, close_on_exec });
        if min <= full_below {
            self.full_below.set(index + 1);
        }
        Ok(index as i32)
    }

    /// As `install_from` for the current task: the lowest free descriptor within its RLIMIT_NOFILE.
    pub fn install(&self, file: Arc<OpenFile>, close_on_exec: bool) -> Result<i32, Errno> {
        let limit = crate::task::current().rlimit(linux_raw_sys::general::RLIMIT_NOFILE).rlim_cur;
        self.install_from(file, close_on_exec, 0, limit)
    }

    /// Puts `file` at `fd`, in place of what was there, which is returned (dup2(2)).
    pub fn replace(
        &self,
        fd: i32,
        file: Arc<OpenFile>,
        close_on_exec: bool,
        limit: u64,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if index as u64 >= limit {
            return Err(Errno::EBADF);
        }
        let old = {
            let mut slots = self.slots.borrow_mut();
            if index >= slots.len() {
                slots.resize(index + 1, None);
            }
            slots[index].replace(Slot { file, close_on_exec })
        };
        if let Some(slot) = &old {
            self.unlocked(&slot.file);
        }
        Ok(old.map(|slot| slot.file))
    }

    /// Descriptors from `index` on may have become free.
    fn freed(&self, index: usize) {
        self.full_below.set(self.full_below.get().min(index));
    }

    /// Takes a descriptor away; the caller drops the open file.
    pub fn remove(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let slot = self.slots.borrow_mut().get_mut(index).and_then(Option::take).ok_or(Errno::EBADF)?;
        self.freed(index);
        self.unlocked(&slot.file);
        Ok(slot.file)
    }

    /// close(2).
    pub fn close(&self, fd: i32) -> Result<(), Errno> {
        drop(self.remove(fd)?);
        Ok(())
    }

    /// Closes every descriptor in `first..=last`.
    pub fn close_range(&self, first: usize, last: usize) {
        drop(self.remove_range(first, last));
    }

    /// Sets close-on-exec on every descriptor in `first..=last`.
    pub fn set_close_on_exec_range(&self, first: usize, last: usize) {
        let mut slots = self.slots.borrow_mut();
        let end = last.saturating_add(1).min(slots.len());
        for slot in slots.get_mut(first.min(end)..end).unwrap_or_default().iter_mut().flatten() {
            slot.close_on_exec = true;
        }
    }

    /// Takes away every descriptor in `first..=last`.
    pub fn remove_range(&self, first: usize, last: usize) -> Vec<Arc<OpenFile>> {
        let files: Vec<Arc<OpenFile>> = {
            let mut slots = self.slots.borrow_mut();
            let end = last.saturating_add(1).min(slots.len());
            let range = slots.get_mut(first.min(end)..end).unwrap_or_default();
            range.iter_mut().filter_map(Option::take).map(|slot| slot.file).collect()
        };
        self.freed(first);
        files.iter().for_each(|file| self.unlocked(file));
        files
    }

    /// Takes away what execve(2) closes.
    pub fn remove_close_on_exec(&self) -> Vec<Arc<OpenFile>> {
        let files: Vec<Arc<OpenFile>> = {
            let mut slots = self.slots.borrow_mut();
            let closing = slots.iter_mut().filter_map(|slot| slot.take_if(|slot| slot.close_on_exec));
            closing.map(|slot| slot.file).collect()
        };
        self.freed(0);
        files.iter().for_each(|file| self.unlocked(file));
        files
    }

    pub fn close_on_exec(&self, fd: i32) -> Result<bool, Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.slots.borrow().get(index) {
            Some(Some(slot)) => Ok(slot.close_on_exec),
            _ => Err(Errno::EBADF),
        }
    }

    pub fn set_close_on_exec(&self, fd: i32, close_on_exec: bool) -> Result<(), Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        match self.slots.borrow_mut().get_mut(index) {
            Some(Some(slot)) => {
                slot.close_on_exec = close_on_exec;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Every open descriptor is below this: a multiple of 64, as select(2) counts.
    pub fn capacity(&self) -> usize {
        self.slots.borrow().len().max(1).next_multiple_of(64)
    }

    /// The descriptors in use, in order.
    pub fn open_fds(&self) -> Vec<i32> {
        let slots = self.slots.borrow();
        slots.iter().enumerate().filter(|(_, slot)| slot.is_some()).map(|(index, _)| index as i32).collect()
    }
}

impl Drop for FdTable {
    fn drop(&mut self) {
        for slot in self.slots.take().into_iter().flatten() {
            self.unlocked(&slot.file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FdTable;
    use crate::errno::Errno;
    use crate::fs::root;
    use crate::task;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The lowest free descriptor is given, whatever was closed, replaced or copied before.
        #[test]
        fn descriptors_agree_with_a_set(
            steps in prop::collection::vec((0..5u8, 0..12usize, 0..12usize), 1..80),
        ) {
            const LIMIT: usize = 10;
            let t = task::test::enter();
            let file = root::memory_file(b"f", &t.cred(), 0o600, 0);
            let mut table = FdTable::new();
            let mut model = BTreeSet::new();
            for (what, a, b) in steps {
                match what {
                    0 | 1 => {
                        let min = if what == 0 { 0 } else { a };
                        let free = (min..).find(|fd| !model.contains(fd)).unwrap();
                        let given = table.install_from(file.clone(), b % 3 == 0, min, LIMIT as u64);
                        if free < LIMIT {
                            prop_assert_eq!(given, Ok(free as i32));
                            model.insert(free);
                        } else {
                            prop_assert_eq!(given, Err(Errno::EMFILE));
                        }
                    }
                    2 => {
                        prop_assert_eq!(table.close(a as i32).is_ok(), model.remove(&a));
                    }
                    3 => {
                        let replaced = table.replace(a as i32, file.clone(), false, LIMIT as u64);
                        prop_assert_eq!(replaced.is_ok(), a < LIMIT);
                        if a < LIMIT {
                            model.insert(a);
                        }
                    }
                    _ => {
                        table.close_range(a, b);
                        model.retain(|fd| !(a..=b).contains(fd));
                        table = table.duplicate();
                    }
                }
                let open: Vec<i32> = model.iter().map(|fd| *fd as i32).collect();
                prop_assert_eq!(table.open_fds(), open);
            }
        }
    }
}
