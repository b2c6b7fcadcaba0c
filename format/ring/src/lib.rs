//! The ring: memory that a guest's kernel and the state server of its volumes share.
//!
//! It is one unit of `UNIT_LEN` bytes for each volume, in the order of the boot block's mounts. A unit is a page of words and
//! `SLOTS` slots; a slot holds one request, and then its reply. Both sides treat all of it as hostile: what counts is copied
//! out first and checked on the copy. This crate says where things lie; it touches no memory.
//!
//! **A request.** The kernel, which alone decides what slot is free, writes message and lengths, stores `REQUEST` to the
//! slot's state, sets the slot's bit in the unit's `PENDING`, adds 1 to the ring's `DOORBELL` and, if `SLEEPING` is not 0,
//! wakes the server (process tender: futex wake on the doorbell; kvm tender: the hypercall `Ring`). A worker of the server takes the bit,
//! serves the request in place and swaps `REPLY` into the state. Whoever waits may spin on the state; to sleep it changes
//! `REQUEST` to `WAITED` by compare-and-exchange, and sleeps while it is that: a server that swaps `WAITED` out wakes it
//! (futex on the state; kvm: the completion eventfd). The slot may be used again once its state is `REPLY`.
//!
//! **Messages** are FUSE's (`husk-fuse`), in two parts. The head is the header, the arguments and the names, each name with its
//! NUL. Bulk is the slot's data: what WRITE writes, the value of SETXATTR, the target of SYMLINK (no NUL), the records of
//! BATCH_FORGET; of replies the bytes of READ, READLINK (no NUL), READDIRPLUS, GETXATTR and LISTXATTR (asked with a size). Every
//! request has a reply with an `OutHeader`, FORGET too. The `len` of the FUSE headers is the head's.
#![no_std]
#![forbid(unsafe_code)]

/// First word of every unit.
pub const MAGIC: u64 = u64::from_le_bytes(*b"huskring");
/// Changes with the layout.
pub const VERSION: u32 = 1;

const PAGE_SIZE: usize = 4096;

/// Slots of a unit.
pub const SLOTS: usize = 31;
/// Bytes of a slot.
pub const SLOT_LEN: usize = PAGE_SIZE + DATA_LEN;
/// Bytes of a unit.
pub const UNIT_LEN: usize = PAGE_SIZE + SLOTS * SLOT_LEN;
/// Most volumes of a guest.
pub const UNITS_MAX: usize = 64;
/// Most bytes of a message's head.
pub const HEAD_LEN: usize = PAGE_SIZE - HEAD;
/// Most bytes of its data.
pub const DATA_LEN: usize = 128 << 10;

/// Words of the whole ring, 32 bits each: offsets in its first page.
pub mod ring {
    /// Counts requests; the server sleeps on it.
    pub const DOORBELL: usize = 64;
    /// Not 0: nobody looks for requests, so the server must be woken.
    pub const SLEEPING: usize = 128;
    /// Whether the server lives: see `lives`.
    pub const SERVER: usize = 132;
}

/// Words of a unit: offsets in its first page.
pub mod unit {
    /// 64 bits.
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 8;
    /// `READ_ONLY`.
    pub const FLAGS: usize = 12;
    /// Bit n: slot n holds a request that nobody has taken.
    pub const PENDING: usize = 192;
}

/// The server refuses every change.
pub const READ_ONLY: u32 = 1 << 0;

/// Words of a slot: offsets from its start.
pub mod slot {
    /// What a slot holds: see `super::state`.
    pub const STATE: usize = 0;
    /// Bytes of the message's head.
    pub const HEAD_LEN: usize = 4;
    /// Bytes of its data.
    pub const DATA_LEN: usize = 8;
}
/// Where in a slot the head begins.
pub const HEAD: usize = 64;
/// Where in a slot the data begins.
pub const DATA: usize = PAGE_SIZE;

/// Values of a slot's state.
pub mod state {
    /// Nothing yet.
    pub const FREE: u32 = 0;
    /// A request; nobody sleeps until it is answered.
    pub const REQUEST: u32 = 1;
    /// A request; someone sleeps on the state.
    pub const WAITED: u32 = 2;
    /// A reply.
    pub const REPLY: u32 = 3;
}

/// Where in the ring unit `volume` begins.
pub const fn unit_at(volume: usize) -> usize {
    volume * UNIT_LEN
}

/// Where in the ring a slot begins.
pub const fn slot_at(volume: usize, slot: usize) -> usize {
    unit_at(volume) + PAGE_SIZE + slot * SLOT_LEN
}

/// Whether the server lives, by the word at `ring::SERVER`: the thread id in a robust futex (set_robust_list(2)), which the
/// host's kernel replaces when the thread ends, however it ends.
pub const fn lives(server: u32) -> bool {
    const TID: u32 = 0x3fff_ffff;
    server & TID != 0
}

const _: () = assert!(UNIT_LEN == 4 << 20);
const _: () = assert!(SLOTS < 32 && slot_at(0, SLOTS) == UNIT_LEN);
