//! Directory entries: a name in a directory and the inode it stands for.
//!
//! A linked entry hangs in its directory and refers to the parent weakly. One that was taken out (unlink, rmdir) or that
//! was never put in (generated names, the root of a file system, O_TMPFILE) holds its parent, so `..` and d_path go on to work.

use super::Inode;
use alloc::sync::{Arc, Weak};
use husk_machine::cell::{KCell, Ref};

enum Parent {
    /// The root of a file system.
    Top,
    /// In the directory's table.
    Linked(Weak<Entry>),
    /// Generated: in no table, but the name is good.
    Generated(Arc<Entry>),
    /// The name was removed.
    Removed(Arc<Entry>),
}

/// A name and what it stands for.
pub struct Entry {
    name: KCell<Arc<[u8]>>,
    parent: KCell<Parent>,
    inode: Arc<Inode>,
    /// Mounts on this entry, in any mount of its file system.
    mounts: KCell<u32>,
}

impl Entry {
    fn new(name: &[u8], parent: Parent, inode: Arc<Inode>) -> Arc<Self> {
        Arc::new(Self {
            name: KCell::new(name.into()),
            parent: KCell::new(parent),
            inode,
            mounts: KCell::new(0),
        })
    }

    /// The root of a file system.
    pub fn top(inode: Arc<Inode>) -> Arc<Self> {
        Self::new(b"", Parent::Top, inode)
    }

    /// An entry that the caller puts into the table of `parent`.
    pub(super) fn linked(parent: &Arc<Entry>, name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        Self::new(name, Parent::Linked(Arc::downgrade(parent)), inode)
    }

    /// An entry that is in no table: made anew by each lookup.
    pub(super) fn generated(parent: &Arc<Entry>, name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        Self::new(name, Parent::Generated(parent.clone()), inode)
    }

    /// A file without a name in `parent` (O_TMPFILE).
    pub(super) fn nameless(parent: &Arc<Entry>, name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        Self::new(name, Parent::Removed(parent.clone()), inode)
    }

    pub fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    /// The last component of the name; empty for the root of a file system.
    pub fn name(&self) -> Arc<[u8]> {
        self.name.borrow().clone()
    }

    pub(super) fn name_ref(&self) -> Ref<'_, Arc<[u8]>> {
        self.name.borrow()
    }

    /// The directory this entry is (or was) in; `None` at the root of the file system.
    pub fn parent(&self) -> Option<Arc<Entry>> {
        match &*self.parent.borrow() {
            Parent::Top => None,
            Parent::Linked(parent) => parent.upgrade(),
            Parent::Generated(parent) | Parent::Removed(parent) => Some(parent.clone()),
        }
    }

    /// Whether the name was removed while something still uses it.
    pub fn is_removed(&self) -> bool {
        matches!(&*self.parent.borrow(), Parent::Removed(_))
    }

    /// The entry, which is in no table, now has this name in `parent`.
    pub(super) fn set_generated(&self, parent: &Arc<Entry>, name: &[u8]) {
        drop(self.name.replace(name.into()));
        drop(self.parent.replace(Parent::Generated(parent.clone())));
    }

    /// Whether the entry was made by a lookup and is in no table.
    pub(super) fn is_generated(&self) -> bool {
        matches!(&*self.parent.borrow(), Parent::Generated(_))
    }

    /// The name has been taken out of the table of `parent`.
    pub(super) fn set_removed(&self, parent: &Arc<Entry>) {
        drop(self.parent.replace(Parent::Removed(parent.clone())));
    }

    /// The entry has been put into the table of `parent` under `name`.
    pub(super) fn set_linked(&self, parent: &Arc<Entry>, name: &[u8]) {
        drop(self.name.replace(name.into()));
        drop(self.parent.replace(Parent::Linked(Arc::downgrade(parent))));
    }

    /// Whether `self` is `other` or lies below it in the same file system.
    pub fn is_within(self: &Arc<Self>, other: &Arc<Entry>) -> bool {
        let mut at = Some(self.clone());
        while let Some(entry) = at {
            if Arc::ptr_eq(&entry, other) {
                return true;
            }
            at = entry.parent();
        }
        false
    }

    /// Whether something may be mounted on this entry.
    pub fn is_mountpoint(&self) -> bool {
        self.mounts.get() > 0
    }

    pub(super) fn add_mount(&self) {
        *self.mounts.borrow_mut() += 1;
    }

    pub(super) fn remove_mount(&self) {
        *self.mounts.borrow_mut() -= 1;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut parent = self.parent.replace(Parent::Top);
        if let Parent::Generated(parent) = &parent
            && let Some(remote) = parent.inode.remote()
        {
            remote.entry_gone(&self.name());
        }
        // Nor may one upwards.
        while let Parent::Generated(above) | Parent::Removed(above) = parent {
            let Some(above) = Arc::into_inner(above) else { break };
            parent = above.parent.replace(Parent::Top);
            if let Parent::Generated(next) = &parent
                && let Some(remote) = next.inode.remote()
            {
                remote.entry_gone(&above.name());
            }
        }
        // A long chain of directories must not recurse on the kernel's small stack.
        if Arc::strong_count(&self.inode) == 1
            && let Some(directory) = self.inode.directory()
        {
            let mut doomed = directory.take_all();
            while let Some(entry) = doomed.pop() {
                if Arc::strong_count(&entry) == 1
                    && Arc::strong_count(&entry.inode) == 1
                    && let Some(directory) = entry.inode.directory()
                {
                    doomed.extend(directory.take_all());
                }
            }
        }
    }
}
