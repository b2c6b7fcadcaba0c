//! A restored guest: what lay outside of the arena comes back.
//!
//! vCPU 0 finds the arena as it was when the guest was parked. It makes the other host processes, each with one vCPU,
//! and each brings back the private memory of its guest process before it runs a task. Further vCPUs are made as they
//! are needed.

use crate::task::{park, sched};
use crate::tty;
use alloc::vec::Vec;
use husk_abi::layout::{GUEST_END, PAGE_SIZE};
use husk_abi::snapshot::Extent;
use husk_machine::{cpu, report, space, start, user};
use linux_raw_sys::general::PROT_READ;

/// Where the table of extents is mapped while it is read: the guest's range is empty then.
const SCRATCH: usize = 0x1000_0000_0000;

fn fail(what: core::fmt::Arguments<'_>) -> ! {
    report::print(format_args!("husk: restore: {what}\n"));
    cpu::exit_guest(125)
}

/// Once, on vCPU 0, before anything runs.
pub(crate) fn begin() {
    park::forget();
    super::PENDING.set(None);
    sched::restored();
    tty::console::restored();
    if cpu::is_process_tender() {
        // The others are copies of this process, so they come first, while nothing is mapped here.
        for index in sched::first_cpus() {
            if index != cpu::index()
                && let Err(error) = cpu::start_process(index, false)
            {
                fail(format_args!("the host made no further process: error {error}"));
            }
        }
    }
}

/// Brings back the memory of this host process, before its first task runs.
pub(crate) fn bring_memory(index: usize) {
    let extents = extents_of(index);
    for found in sched::spaces_here() {
        if let Err(error) = found.rebuild(&extents) {
            fail(format_args!("memory of a process cannot be mapped: {error:?}"));
        }
    }
}

/// The extents of the process whose first vCPU is `index`.
fn extents_of(index: usize) -> Vec<Extent> {
    let table = start::boot().snapshot_processes;
    let len = (table.len as usize).next_multiple_of(PAGE_SIZE);
    let mut extents = Vec::new();
    if len == 0 || len > GUEST_END - SCRATCH {
        return extents;
    }
    if let Err(error) = space::map_snapshot(SCRATCH, len, PROT_READ, table.offset as usize) {
        fail(format_args!("the snapshot's table cannot be mapped: error {error}"));
    }
    for at in (0..table.len as usize).step_by(Extent::LEN) {
        let mut bytes = [0; Extent::LEN];
        if user::copy_in(SCRATCH + at, &mut bytes).is_err() {
            fail(format_args!("the snapshot's table cannot be read"));
        }
        let extent = Extent::from_bytes(&bytes);
        if extent.owner as usize == index {
            extents.push(extent);
        }
    }
    if let Err(error) = space::unmap(SCRATCH, len) {
        fail(format_args!("the snapshot's table cannot be unmapped: error {error}"));
    }
    extents
}
