//! What uname(2) tells: the guest's names and the Linux version that Husk serves.

use crate::errno::Errno;
use alloc::vec::Vec;
use husk_machine::cell::KCell;
use husk_machine::global::Global;

/// Most bytes of a name, without the NUL.
pub const NAME_MAX: usize = 64;

pub const SYSNAME: &str = "Linux";
/// The version whose interface this is, so that programs that ask use what is there.
pub const RELEASE: &str = "6.12.0-husk";
pub const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Husk";
pub const MACHINE: &str = "x86_64";

struct Names {
    host: Vec<u8>,
    domain: Vec<u8>,
}

static NAMES: Global<KCell<Names>> =
    Global::new(|| KCell::new(Names { host: b"husk".to_vec(), domain: b"(none)".to_vec() }));

pub fn hostname() -> Vec<u8> {
    NAMES.borrow().host.clone()
}

pub fn domainname() -> Vec<u8> {
    NAMES.borrow().domain.clone()
}

/// EINVAL for a name that is too long.
pub fn set_hostname(name: &[u8]) -> Result<(), Errno> {
    check(name)?;
    NAMES.borrow_mut().host = name.to_vec();
    Ok(())
}

/// EINVAL for a name that is too long.
pub fn set_domainname(name: &[u8]) -> Result<(), Errno> {
    check(name)?;
    NAMES.borrow_mut().domain = name.to_vec();
    Ok(())
}

fn check(name: &[u8]) -> Result<(), Errno> {
    if name.len() > NAME_MAX { Err(Errno::EINVAL) } else { Ok(()) }
}

/// `struct new_utsname`: six fields of 65 bytes. `machine` differs under personality(PER_LINUX32).
pub fn utsname(machine: &str) -> [u8; 390] {
    let mut bytes = [0; 390];
    let names = NAMES.borrow();
    let fields = [
        SYSNAME.as_bytes(),
        &names.host,
        RELEASE.as_bytes(),
        VERSION.as_bytes(),
        machine.as_bytes(),
        &names.domain,
    ];
    for (slot, field) in bytes.chunks_exact_mut(NAME_MAX + 1).zip(fields) {
        slot[..field.len()].copy_from_slice(field);
    }
    bytes
}

const _: () = assert!(size_of::<linux_raw_sys::system::new_utsname>() == 390);

#[cfg(test)]
mod tests {
    use super::{NAME_MAX, set_hostname, utsname};
    use crate::errno::Errno;

    #[test]
    fn names_fill_their_fields() {
        assert_eq!(set_hostname(&[b'x'; NAME_MAX + 1]), Err(Errno::EINVAL));
        assert_eq!(set_hostname(&[b'x'; NAME_MAX]), Ok(()));
        let bytes = utsname("x86_64");
        assert_eq!((&bytes[..6], &bytes[65..129], bytes[129]), (&b"Linux\0"[..], &[b'x'; 64][..], 0));
        assert_eq!(&bytes[260..267], b"x86_64\0");
    }
}
