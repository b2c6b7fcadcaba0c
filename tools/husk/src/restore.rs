//! The second half of `husk restore`: `husk-cli` has checked the snapshot and opened it and its root image, and becomes
//! this program again with `@restore SNAPSHOT ROOT FILES STOP PROGRAM [NAME]`: descriptors of the snapshot and of the root
//! image's first file, how many files that has (the others have the descriptors after it; 0 where it is part of one), and
//! the signal by which the guest wants to be stopped.

use crate::control::Facts;
use crate::root::Root;
use crate::run::{self, Place, fail};
use crate::start::{KERNEL_ID, Process};
use core::ffi::CStr;
use husk_abi::boot::{FLAG_EXPORT, FLAG_FORK, FLAG_RECORD, ROOT_FILES_MAX, TENDER_KVM};
use husk_abi::snapshot::Header;
use husk_tender::clock::Sample;
use husk_tender::config::Snapshot;
use husk_tender::host;

/// Bytes of the root's files.
static mut SIZES: [u64; ROOT_FILES_MAX] = [0; ROOT_FILES_MAX];

fn root_files(first: i32, count: i32) -> &'static [u64] {
    let place = &raw mut SIZES;
    // SAFETY: called once, by the only thread.
    let sizes = unsafe { &mut *place };
    let Some(sizes) = sizes.get_mut(..count as usize) else { fail(&[b"@restore: too many files"]) };
    for (number, size) in sizes.iter_mut().enumerate() {
        *size = host::stat_fd(first + number as i32).map_or(0, |stat| stat.st_size as u64);
    }
    sizes
}

/// A number from the command line, of a descriptor mostly.
fn number(text: Option<&'static CStr>) -> i32 {
    let text = text.map_or(&b""[..], CStr::to_bytes);
    if text == b"-" {
        return -1;
    }
    let number = text.iter().try_fold(0_i32, |number, digit| {
        number.checked_mul(10)?.checked_add(i32::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?))
    });
    number.filter(|_| !text.is_empty()).unwrap_or_else(|| fail(&[b"@restore: not a number"]))
}

pub(crate) fn main(process: &Process, clock: Sample) -> ! {
    // SAFETY: the host gives C strings.
    let argument = |at: usize| process.args.get(at).map(|text| unsafe { CStr::from_ptr(text.cast()) });
    let (fd, root_fd) = (number(argument(2)), number(argument(3)));
    let files = root_files(root_fd, number(argument(4)));
    let stop = number(argument(5)) as u32;
    let program = argument(6).unwrap_or(c"");
    let mut bytes = [0; Header::LEN];
    let header = match host::read_at(fd, &mut bytes, 0) {
        Ok(Header::LEN) => Header::from_bytes(&bytes),
        _ => None,
    };
    let Some(header) = header else { fail(&[b"restore: the snapshot's header cannot be read"]) };
    if header.kernel != KERNEL_ID {
        fail(&[
            b"restore: the snapshot was made by another build of Husk: only the same build can restore it",
        ]);
    }
    let kvm = header.tender == TENDER_KVM;
    let facts = Facts {
        tender: if kvm { "kvm" } else { "process" },
        program,
        root_fd,
        root_offset: header.root_offset,
        root_len: header.root_len,
        root_files: files,
        stop,
        memory: header.memory,
        cpus: header.cpus,
        // Nobody takes a record of a restored guest.
        flags: header.flags & !(FLAG_RECORD | FLAG_EXPORT),
        has_volumes: false,
    };
    let root = Root {
        fd: root_fd,
        offset: header.root_offset,
        len: header.root_len,
        files,
        program,
        path: c"",
        container: None,
    };
    let snapshot = Snapshot { fd, header };
    let start = |control_fd, place: &Place| {
        run::enter_restored(process, &facts, &root, snapshot, clock, place, control_fd);
    };
    if kvm || header.flags & FLAG_FORK != 0 {
        run::with_parent(process, &facts, argument(7), Place::new().stopped_by(stop), start)
    }
    start(-1, &Place::new());
    host::exit(125)
}
