//! What files and their mappings have to tell each other.

use super::Space;
use super::map::{Area, Backing};
use crate::fs::Inode;
use crate::task;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::space;
use linux_raw_sys::general::PROT_WRITE;

impl Area {
    /// Whether writes to it may reach a file.
    pub(super) fn writes_to_file(&self) -> bool {
        self.shared && self.may & PROT_WRITE != 0
    }
}

impl Space {
    /// Whether writes through some area of this space reach the file.
    pub fn writes_to(&self, inode: &Inode) -> bool {
        self.map.borrow().iter().any(|(_, area)| area.writes_to_file() && area.is_of(inode))
    }

    /// Moves the times of the files that may have been written through the writable shared areas of `range`, for
    /// msync(2): nobody sees the writes themselves.
    pub fn note_written(&self, range: Range<usize>) {
        for (start, area) in self.map.borrow().iter() {
            if let Backing::File { file, .. } = &area.backing
                && start < range.end
                && range.start < area.end
                && area.shared
                && area.protection & PROT_WRITE != 0
                && let Some(path) = &file.path
                && path.inode().is_regular()
            {
                path.inode().touch_modified();
            }
        }
    }

    /// Takes the pages `pages` of a file out of shared mappings, to be found anew by faults; with `private`, also out
    /// of private ones, where they are gone.
    fn forget_file(&self, inode: &Inode, pages: Range<u64>, private: bool) {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for (start, area) in self.map.borrow().iter() {
            let Backing::File { offset, .. } = &area.backing else { continue };
            if !area.is_of(inode) || !(area.shared || private) {
                continue;
            }
            let first = offset / PAGE_SIZE as u64;
            let len = ((area.end - start) / PAGE_SIZE) as u64;
            let from = pages.start.saturating_sub(first).min(len) as usize;
            let to = pages.end.saturating_sub(first).min(len) as usize;
            if from < to {
                parts.push(start + from * PAGE_SIZE..start + to * PAGE_SIZE);
            }
        }
        for part in parts {
            // The host refuses only ranges that are not the guest's.
            let _ = space::unmap(part.start, part.len());
            self.forget(part.clone());
            self.map.borrow_mut().change(part, |area| area.lazy |= area.shared);
        }
    }
}

impl Area {
    fn is_of(&self, inode: &Inode) -> bool {
        match &self.backing {
            Backing::File { file, .. } => {
                file.path.as_ref().is_some_and(|path| core::ptr::eq(&**path.inode(), inode))
            }
            Backing::Anonymous | Backing::Shared { .. } => false,
        }
    }
}

/// A file became `size` bytes long: what was mapped behind that is SIGBUS in the calling process. Other processes keep
/// what they have mapped until they map it anew.
pub fn file_shrank(inode: &Inode, size: u64) {
    task::current().space().forget_file(inode, size.div_ceil(PAGE_SIZE as u64)..u64::MAX, true);
}

/// Pages of a file are others now (a hole was punched, a page of the image was written): the calling process finds
/// them anew. Other processes keep what they have mapped until they map it anew.
pub fn file_replaced(inode: &Inode, pages: Range<u64>) {
    task::current().space().forget_file(inode, pages, false);
}
