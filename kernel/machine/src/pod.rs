//! Plain data: types whose every bit pattern is valid and which hold no padding, so that they cross to and from
//! applications as bytes.
//!
//! The layouts come from `linux-raw-sys`; this module only vouches for them, and each vouching checks by size that the
//! fields leave no padding.

/// A type that may be viewed as bytes and made from any bytes.
///
/// # Safety
/// Every bit pattern must be a valid value, and there must be no padding bytes.
pub unsafe trait Pod: Copy + 'static {}

macro_rules! pod {
    ($($ty:ty),* $(,)?) => { $(
        // SAFETY: an integer, an array of them, or a C struct of integers whose fields fill its size.
        unsafe impl Pod for $ty {}
    )* };
}

pod!(u8, i8, u16, i16, u32, i32, u64, i64, usize, isize, u128);

// SAFETY: an array of plain data has no padding between its elements.
unsafe impl<T: Pod, const N: usize> Pod for [T; N] {}

/// The value whose bytes are all zero.
pub fn zeroed<T: Pod>() -> T {
    // SAFETY: all-zero is a valid value of plain data.
    unsafe { core::mem::zeroed() }
}

/// The bytes of a value.
pub fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    // SAFETY: plain data has no padding, so all its bytes are initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The bytes of a value, to be overwritten.
pub fn bytes_of_mut<T: Pod>(value: &mut T) -> &mut [u8] {
    // SAFETY: every bit pattern is valid, so any bytes may be written.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::from_mut(value).cast(), size_of::<T>()) }
}

/// The bytes of a slice of values.
pub fn slice_bytes<T: Pod>(values: &[T]) -> &[u8] {
    // SAFETY: plain data has no padding, so all its bytes are initialised.
    unsafe { core::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Reads a value from the front of `bytes`, or `None` when there are too few.
pub fn read_from<T: Pod>(bytes: &[u8]) -> Option<T> {
    let mut value = zeroed::<T>();
    bytes_of_mut(&mut value).copy_from_slice(bytes.get(..size_of::<T>())?);
    Some(value)
}

/// Vouches for C structs of `linux-raw-sys`, listed with the sum of their fields' sizes so that padding cannot slip in.
macro_rules! c_structs {
    ($($ty:path = $bytes:expr;)*) => { $(
        // SAFETY: a C struct of integers; the assertion says that its fields fill it.
        unsafe impl Pod for $ty {}
        const _: () = assert!(size_of::<$ty>() == $bytes);
    )* };
}

use linux_raw_sys::general as g;
use linux_raw_sys::net as n;

c_structs! {
    g::stat = 144;
    g::statfs = 120;
    g::statx_timestamp = 16;
    g::statx = 256;
    g::__kernel_timespec = 16;
    g::__kernel_old_timeval = 16;
    g::__kernel_old_itimerval = 32;
    g::__kernel_itimerspec = 32;
    g::rlimit = 16;
    g::rlimit64 = 16;
    g::iovec = 16;
    g::termios = 36;
    g::termios2 = 44;
    g::winsize = 8;
    g::open_how = 24;
    g::flock = 32;
    g::f_owner_ex = 8;
    g::clone_args = 88;
    g::robust_list_head = 24;
    linux_raw_sys::system::new_utsname = 390;
    n::ucred = 12;
    n::msghdr = 56;
    n::cmsghdr = 16;
    n::linger = 8;
}
