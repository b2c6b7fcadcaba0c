//! Changing instructions that other vCPUs may be executing.

use core::arch::asm;

/// Where patched call sites jump to, in the end.
pub fn enter_address() -> usize {
    super::entry::enter_address()
}

/// Whether `len` bytes at `at` can be replaced so that no other vCPU sees half of it. With `alone` there is none.
pub fn is_atomic(at: usize, len: usize, alone: bool) -> bool {
    alone || at / 16 == (at + len - 1) / 16
}

/// Replaces code that holds `old` by `new` (as long, at most 8 bytes). The pages are writable and present. False when the
/// code was something else.
pub fn replace(at: usize, old: &[u8], new: &[u8]) -> bool {
    assert!(old.len() == new.len() && new.len() <= 8);
    let block = at & !15;
    if at + new.len() > block + 16 {
        // The caller is alone.
        let mut found = [0; 8];
        let found = &mut found[..old.len()];
        return crate::user::copy_in(at, found).is_ok()
            && found == old
            && crate::user::copy_out(at, new).is_ok();
    }
    let mut expected = [0; 16];
    if crate::user::copy_in(block, &mut expected).is_err() {
        return false;
    }
    let place = at - block..at - block + new.len();
    if expected[place.clone()] != *old {
        return false;
    }
    let mut wanted = expected;
    wanted[place].copy_from_slice(new);
    let (expected, wanted) = (u128::from_le_bytes(expected), u128::from_le_bytes(wanted));
    let exchanged: u8;
    // SAFETY: the block is aligned, and the caller has made its page writable and present; application memory is no Rust
    // object. RBX is reserved by the compiler, so it is swapped in and out by hand.
    unsafe {
        asm!(
            "xchg rbx, rsi",
            "lock cmpxchg16b [rdi]",
            "sete r8b",
            "xchg rbx, rsi",
            in("rdi") block,
            inout("rsi") wanted as u64 => _,
            out("r8b") exchanged,
            in("rcx") (wanted >> 64) as u64,
            inout("rax") expected as u64 => _,
            inout("rdx") (expected >> 64) as u64 => _,
        );
    }
    exchanged != 0
}
