//! Kernel globals: one value for the kernel, made at first use.
//!
//! In the kernel image a global is one static, ordered by the big kernel lock. Hosted, each test thread has a kernel of
//! its own, so each thread sees its own value.

use core::ops::Deref;

#[cfg(husk_image)]
mod backend {
    use core::cell::UnsafeCell;

    pub struct Global<T: 'static> {
        init: fn() -> T,
        value: UnsafeCell<Option<T>>,
    }

    // SAFETY: the big kernel lock orders the one initialisation before all uses; later uses are shared.
    unsafe impl<T: Send + Sync> Sync for Global<T> {}

    impl<T: Send + Sync> Global<T> {
        /// A global that `init` makes at first use. `init` must not use the global itself.
        pub const fn new(init: fn() -> T) -> Self {
            Self { init, value: UnsafeCell::new(None) }
        }

        #[inline]
        pub(super) fn value(&'static self) -> &'static T {
            // SAFETY: written once below, under the big kernel lock, before any reference to it is given out.
            if let Some(value) = unsafe { &*self.value.get() } {
                return value;
            }
            let value = (self.init)();
            // SAFETY: as above; no reference to the value exists yet.
            unsafe { (*self.value.get()).insert(value) }
        }
    }
}

#[cfg(not(husk_image))]
mod backend {
    use std::any::Any;
    use std::cell::RefCell;
    use std::collections::HashMap;

    thread_local! {
        static VALUES: RefCell<HashMap<usize, &'static (dyn Any + Send + Sync)>> = RefCell::default();
    }

    pub struct Global<T: 'static> {
        init: fn() -> T,
    }

    impl<T: Send + Sync> Global<T> {
        /// A global that `init` makes at first use. `init` must not use the global itself.
        pub const fn new(init: fn() -> T) -> Self {
            Self { init }
        }

        pub(super) fn value(&'static self) -> &'static T {
            let key = std::ptr::from_ref(self).addr();
            if let Some(value) = VALUES.with_borrow(|values| values.get(&key).copied()) {
                return value.downcast_ref().expect("a global keeps its type");
            }
            let value: &'static T = Box::leak(Box::new((self.init)()));
            VALUES.with_borrow_mut(|values| values.insert(key, value));
            value
        }
    }
}

pub use backend::Global;

impl<T: Send + Sync> Deref for Global<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `new` is const and the fields are private, but nothing stops a global on the stack; hosted, the key
        // could then be reused. Globals are statics by the contract of this module, so the longer life is real.
        let this: &'static Self = unsafe { &*core::ptr::from_ref(self) };
        this.value()
    }
}
