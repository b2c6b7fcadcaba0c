//! Application memory: the map of an address space, and copies to and from it.

pub mod user;

use husk_machine::user::Access;

/// Tries to make `address` accessible as the application's memory map allows. False: the access is an error.
pub fn mend_fault(_address: usize, _access: Access) -> bool {
    false
}
