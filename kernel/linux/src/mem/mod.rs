//! Application memory: the map of an address space, and copies to and from it.

pub mod user;

use husk_machine::user::Access;

/// Why an access cannot be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Nothing is mapped there (SEGV_MAPERR).
    Unmapped,
    /// The protection forbids it (SEGV_ACCERR).
    Forbidden,
    /// Past the end of the file (SIGBUS).
    Beyond,
    /// No memory is left for the page (SIGBUS, as for a tmpfs that is full).
    OutOfMemory,
}

/// Tries to make `address` accessible as the application's memory map allows. False: the access is an error.
pub fn mend_fault(_address: usize, _access: Access) -> bool {
    false
}

/// The memory of a process: what is mapped where.
pub struct Space {}

impl Space {
    pub fn new() -> alloc::sync::Arc<Self> {
        alloc::sync::Arc::new(Self {})
    }
}
