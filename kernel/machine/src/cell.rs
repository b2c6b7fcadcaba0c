//! Mutable kernel state under the big kernel lock.
//!
//! All kernel code runs while its vCPU holds one lock (`crate::lock`), so a kernel object needs no lock of its own:
//! a `KCell` checks, like a `RefCell`, that no two borrows collide, and relies on the lock for everything between
//! vCPUs. A borrow must never be held over a wait, because other tasks run then; the collision that follows is a
//! panic that names both places in debug builds.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicIsize, Ordering::Relaxed};

/// A value that kernel code may borrow while it holds the big kernel lock.
pub struct KCell<T: ?Sized> {
    /// 0 free, n > 0 shared borrows, -1 one exclusive borrow. Atomic only so that the cell can be `Sync`.
    state: AtomicIsize,
    value: UnsafeCell<T>,
}

// SAFETY: the borrow state admits one exclusive or many shared borrows, and the big kernel lock orders all accesses
// of different vCPUs; hosted tests, which have no such lock, confine each kernel to one thread.
unsafe impl<T: ?Sized + Send> Sync for KCell<T> {}
// SAFETY: a cell owns its value.
unsafe impl<T: ?Sized + Send> Send for KCell<T> {}

impl<T> KCell<T> {
    pub const fn new(value: T) -> Self {
        Self { state: AtomicIsize::new(0), value: UnsafeCell::new(value) }
    }

    /// Replaces the value and returns the old one.
    #[track_caller]
    pub fn replace(&self, value: T) -> T {
        core::mem::replace(&mut *self.borrow_mut(), value)
    }

    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: Copy> KCell<T> {
    #[track_caller]
    pub fn get(&self) -> T {
        *self.borrow()
    }

    #[track_caller]
    pub fn set(&self, value: T) {
        *self.borrow_mut() = value;
    }
}

impl<T: Default> KCell<T> {
    /// Takes the value and leaves the default.
    #[track_caller]
    pub fn take(&self) -> T {
        self.replace(T::default())
    }
}

impl<T: ?Sized> KCell<T> {
    /// Borrows the value. Panics if it is borrowed exclusively.
    #[track_caller]
    pub fn borrow(&self) -> Ref<'_, T> {
        let state = self.state.load(Relaxed);
        assert!(state >= 0, "kernel object is being changed");
        self.state.store(state + 1, Relaxed);
        Ref { cell: self }
    }

    /// Borrows the value exclusively. Panics if it is borrowed.
    #[track_caller]
    pub fn borrow_mut(&self) -> RefMut<'_, T> {
        assert!(self.state.load(Relaxed) == 0, "kernel object is in use");
        self.state.store(-1, Relaxed);
        RefMut { cell: self }
    }

    /// The value of a cell that nobody else can see.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for KCell<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// A shared borrow of a `KCell`.
pub struct Ref<'a, T: ?Sized> {
    cell: &'a KCell<T>,
}

impl<T: ?Sized> Deref for Ref<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the state counts this shared borrow, so no exclusive one exists.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T: ?Sized> Drop for Ref<'_, T> {
    fn drop(&mut self) {
        self.cell.state.store(self.cell.state.load(Relaxed) - 1, Relaxed);
    }
}

/// An exclusive borrow of a `KCell`.
pub struct RefMut<'a, T: ?Sized> {
    cell: &'a KCell<T>,
}

impl<T: ?Sized> Deref for RefMut<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the state says that this is the only borrow.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RefMut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the state says that this is the only borrow.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T: ?Sized> Drop for RefMut<'_, T> {
    fn drop(&mut self) {
        self.cell.state.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::KCell;

    #[test]
    fn shared_borrows_coexist_and_end() {
        let cell = KCell::new(1);
        {
            let (a, b) = (cell.borrow(), cell.borrow());
            assert_eq!(*a + *b, 2);
        }
        *cell.borrow_mut() = 5;
        assert_eq!(cell.get(), 5);
    }

    #[test]
    #[should_panic(expected = "in use")]
    fn exclusive_borrow_of_a_borrowed_cell_panics() {
        let cell = KCell::new(1);
        let _a = cell.borrow();
        let _b = cell.borrow_mut();
    }
}
