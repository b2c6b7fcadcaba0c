//! The processor features that KVM offers to guests, kept in the user's cache: to ask KVM takes a third of a millisecond
//! where CPUID itself leaves to a hypervisor, and the answer is the same until the host boots again.
//!
//! The file holds the host's boot id and the answer. One that is of another boot, or not of its length, is made anew; to
//! keep it is tried only.

use crate::path::PathBuffer;
use crate::start::Process;
use husk_tender::host;
use husk_tender_kvm::{CPUID_MAX, Cpuid, CpuidEntry};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

const BOOT_ID_LEN: usize = 36;

/// What the file holds.
#[repr(C)]
pub(crate) struct Kept {
    boot: [u8; 40],
    cpuid: Cpuid,
}

impl Kept {
    pub(crate) const fn new() -> Self {
        const NONE: CpuidEntry =
            CpuidEntry { function: 0, index: 0, flags: 0, eax: 0, ebx: 0, ecx: 0, edx: 0, padding: [0; 3] };
        Self { boot: [0; 40], cpuid: Cpuid { count: 0, padding: 0, entries: [NONE; CPUID_MAX] } }
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: a structure of numbers without padding (asserted below), for which any bytes will do.
        unsafe { core::slice::from_raw_parts_mut((&raw mut *self).cast(), size_of::<Self>()) }
    }
}

const _: () = assert!(size_of::<Kept>() == 40 + 8 + CPUID_MAX * size_of::<CpuidEntry>());
const _: () = assert!(size_of::<CpuidEntry>() == 40);

fn boot_id() -> Option<[u8; 40]> {
    let mut id = [0; 40];
    let fd = host::open_read(c"/proc/sys/kernel/random/boot_id").ok()?;
    let len = host::read(fd, &mut id[..BOOT_ID_LEN]).unwrap_or(0);
    host::close(fd);
    (len == BOOT_ID_LEN).then_some(id)
}

/// What KVM offers, from the cache where it is there. `None`: KVM does not say, and the tender's own question will tell why.
pub(crate) fn supported<'a>(process: &Process, kept: &'a mut Kept) -> Option<&'a Cpuid> {
    let boot = boot_id()?;
    let path = crate::root::in_cache(process, &[b"cpuid"]);
    if let Ok(fd) = host::open_read(path.as_c_str()) {
        let len = host::read(fd, kept.bytes()).unwrap_or(0);
        host::close(fd);
        if len == size_of::<Kept>()
            && kept.boot == boot
            && (1..=CPUID_MAX).contains(&(kept.cpuid.count as usize))
        {
            return Some(&kept.cpuid);
        }
    }
    *kept = Kept { boot, cpuid: husk_tender_kvm::supported_cpuid().ok()? };
    keep(process, &path, kept.bytes());
    Some(&kept.cpuid)
}

/// Writes beside and renames, so that nobody reads half of it.
fn keep(process: &Process, path: &PathBuffer, bytes: &[u8]) {
    // SAFETY: C strings, and bytes of the given length; the descriptor is closed once.
    unsafe {
        let pid = host::call(Sysno::getpid, [0; 6]).unwrap_or(0);
        let mut digits = [b'0'; 10];
        for (at, digit) in digits.iter_mut().rev().enumerate() {
            *digit = b'0' + (pid / 10_usize.pow(at as u32) % 10) as u8;
        }
        let new = crate::root::in_cache(process, &[b"cpuid.", &digits]);
        let (new, path) = (new.as_c_str().as_ptr() as usize, path.as_c_str().as_ptr() as usize);
        let flags = (raw::O_WRONLY | raw::O_CREAT | raw::O_EXCL | raw::O_CLOEXEC) as usize;
        let Ok(fd) = host::call(Sysno::open, [new, flags, 0o600, 0, 0, 0]) else { return };
        let written = host::call(Sysno::write, [fd, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]);
        host::close(fd as i32);
        if written != Ok(bytes.len()) || host::call(Sysno::rename, [new, path, 0, 0, 0, 0]).is_err() {
            let _ = host::call(Sysno::unlink, [new, 0, 0, 0, 0, 0]);
        }
    }
}
