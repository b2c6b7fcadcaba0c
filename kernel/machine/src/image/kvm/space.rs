//! Page tables at work: which address space each vCPU has, and flushes across vCPUs.

use super::{VCPUS, Vcpu, stubs};
use crate::cell::KCell;
use crate::global::Global;
use crate::image::{cpu, start::boot};
use crate::page::OutOfMemory;
use crate::paging::{AddressSpace, Flush};
use crate::user::Access;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;
use husk_abi::layout::ARENA;
use husk_abi::vcpu::ROOT_TABLE;

pub(in crate::image) use crate::paging::Backing;

/// An address space. A vCPU that has it loaded keeps it, so its tables outlive every use.
pub(in crate::image) struct Tables {
    space: KCell<AddressSpace>,
}

impl Tables {
    /// Pages that are there.
    pub(in crate::image) fn resident(&self) -> usize {
        self.space.borrow().resident()
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // No vCPU has it loaded: nobody needs to forget anything.
        let mut flush = Flush::default();
        let space = self.space.get_mut();
        space.clear(&mut flush);
        flush.free_frames();
        space.release_root();
    }
}

/// What each vCPU has loaded.
static LOADED: Global<KCell<Vec<Option<Arc<Tables>>>>> = Global::new(|| KCell::new(Vec::new()));

/// No vCPU of a restored guest has a space loaded.
pub(super) fn forget_loaded() {
    let old = LOADED.take();
    drop(old);
}

fn kernel_entry(slot: usize) -> u64 {
    let table = (ARENA + ROOT_TABLE as usize) as *const u64;
    // SAFETY: the first top table, of 512 entries, which the tender made and nobody changes.
    unsafe { table.add(slot).read() }
}

pub(in crate::image) fn new() -> Result<Arc<Tables>, OutOfMemory> {
    AddressSpace::new(kernel_entry).map(|space| Arc::new(Tables { space: KCell::new(space) }))
}

/// Loads `tables` on this vCPU.
pub(in crate::image) fn activate(tables: &Arc<Tables>) {
    let index = cpu::index();
    let mut loaded = LOADED.borrow_mut();
    if loaded.len() <= index {
        loaded.resize(index + 1, None);
    }
    if loaded[index].as_ref().is_some_and(|old| Arc::ptr_eq(old, tables)) {
        return;
    }
    let root = tables.space.borrow().root();
    VCPUS[index].root.store(root, Ordering::SeqCst);
    stubs::load_table(root);
    let old = loaded[index].replace(tables.clone());
    drop(loaded);
    drop(old);
}

fn loaded() -> Option<Arc<Tables>> {
    LOADED.borrow().get(cpu::index()).cloned().flatten()
}

/// Makes every vCPU that has the space loaded forget old entries, then frees what was waiting for that.
fn run(flush: Flush, root: usize) {
    let me = cpu::index();
    if flush.is_needed() {
        forget(&VCPUS[me], root, &flush);
    }
    if flush.concerns_others() {
        let others = || (0..boot().cpus as usize).filter(|index| *index != me);
        for index in others().filter(|index| VCPUS[*index].root.load(Ordering::SeqCst) == root) {
            let other = &VCPUS[index];
            other.asked.fetch_add(1, Ordering::SeqCst);
            if other.outside.load(Ordering::SeqCst) == 0 {
                super::wake(index);
            }
        }
        for other in others().map(|index| &VCPUS[index]) {
            // One that is outside of the guest looks before it goes on.
            while other.met.load(Ordering::SeqCst) != other.asked.load(Ordering::SeqCst)
                && other.outside.load(Ordering::SeqCst) == 0
            {
                core::hint::spin_loop();
            }
        }
    }
    flush.free_frames();
}

fn forget(vcpu: &Vcpu, root: usize, flush: &Flush) {
    if vcpu.root.load(Ordering::Relaxed) != root {
        return;
    }
    match flush.pages() {
        None => stubs::load_table(root),
        Some(pages) => {
            // Each pass through the gate costs as much as many pages: neighbours go together.
            let mut rest = pages;
            while let Some(&first) = rest.first() {
                let count =
                    rest.iter().enumerate().take_while(|(at, page)| **page == first + at * 4096).count();
                stubs::invalidate(first, count);
                rest = &rest[count..];
            }
        }
    }
}

fn change<R>(act: impl FnOnce(&mut AddressSpace, &mut Flush) -> R) -> R {
    let tables = loaded().expect("a task's address space is loaded");
    change_in(&tables, act)
}

fn change_in<R>(tables: &Tables, act: impl FnOnce(&mut AddressSpace, &mut Flush) -> R) -> R {
    let mut flush = Flush::default();
    let mut space = tables.space.borrow_mut();
    let result = act(&mut space, &mut flush);
    let root = space.root();
    drop(space);
    run(flush, root);
    result
}

/// A copy of `tables` for a forked process. `stack` is where both go on writing.
pub(in crate::image) fn fork(tables: &Tables, stack: usize) -> Result<Arc<Tables>, OutOfMemory> {
    let child = change_in(tables, |space, flush| space.fork(stack, kernel_entry, flush))?;
    Ok(Arc::new(Tables { space: KCell::new(child) }))
}

pub(in crate::image) fn map(range: Range<usize>, protection: u32, backing: Backing) {
    change(|space, flush| space.map(range, protection, backing, flush));
}

/// Sets bit 0 of the byte of each page from `start` on that is there.
pub(in crate::image) fn presence(start: usize, out: &mut [u8]) {
    let tables = loaded().expect("a task's address space is loaded");
    let space = tables.space.borrow();
    space.presence(start, out);
}

pub(in crate::image) fn unmap(range: Range<usize>) {
    change(|space, flush| space.unmap(range, flush));
}

pub(in crate::image) fn unmap_all() {
    change(|space, flush| space.clear(flush));
}

pub(in crate::image) fn protect(range: Range<usize>, protection: u32) {
    change(|space, flush| space.protect(range, protection, flush));
}

pub(in crate::image) fn discard(range: Range<usize>) {
    change(|space, flush| space.discard(range, flush));
}

pub(in crate::image) fn relocate(from: usize, len: usize, to: usize) -> Result<(), OutOfMemory> {
    change(|space, flush| space.relocate(from, len, to, flush))
}

/// Tries to make `address` accessible after a page fault. False: the access is not allowed there.
pub(super) fn mend(address: usize, access: Access) -> Result<bool, OutOfMemory> {
    let Some(tables) = loaded() else { return Ok(false) };
    change_in(&tables, |space, flush| space.fault(address, access, flush))
}
