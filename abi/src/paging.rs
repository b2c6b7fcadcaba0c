//! Page-table entries of x86-64, as the kvm tender begins them and the kernel goes on with them.

/// Page-table bits. ACCESSED and DIRTY are set from the start: KVM's shadow tables then take in neighbours of a touched
/// page as well.
pub mod bit {
    pub const PRESENT: u64 = 1;
    pub const WRITE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const ACCESSED: u64 = 1 << 5;
    pub const DIRTY: u64 = 1 << 6;
    pub const LARGE: u64 = 1 << 7;
    pub const NO_EXECUTE: u64 = 1 << 63;
    /// An entry that names a further table.
    pub const TABLE: u64 = PRESENT | WRITE | USER | ACCESSED;
}

/// The address in an entry.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
