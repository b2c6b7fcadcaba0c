//! Application memory: the map of an address space, and copies to and from it.

pub mod user;

use husk_machine::user::Access;

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
