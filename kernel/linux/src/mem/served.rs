//! Mappings of volumes' files, whose pages a state server has.
//!
//! They are all brought in by faults. To bring in is to wait, with the big kernel lock free, so whoever does must look anew at
//! what is mapped.

use super::map::{Area, Backing};
use super::{Bad, Space};
use crate::errno::Errno;
use crate::file::FilePage;
use crate::fs::Inode;
use crate::fs::remote::{self, RemoteFile};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::space;
use linux_raw_sys::general::PROT_WRITE;

impl Space {
    /// Brings in a page of a volume's file, and those that come with it. The server is waited for, and what is mapped may be
    /// something else then: the access is made anew in any case.
    pub(super) fn bring_in(&self, page: usize) -> Result<(), Bad> {
        let Some((start, area)) = self.area_at(page) else { return Ok(()) };
        let Backing::File { file, offset } = &area.backing else { return Ok(()) };
        let Some(remote) = file.object.downcast::<RemoteFile>() else { return Ok(()) };
        let index = (offset + (page - start) as u64) / PAGE_SIZE as u64;
        let for_write = area.shared && area.protection & PROT_WRITE != 0;
        // Pages that are there already may have been written to: they stay.
        let there = |at: usize| self.held.borrow().range(at..area.end).next().map(|(at, _)| *at);
        let most = (there(page).unwrap_or(area.end).max(page + PAGE_SIZE) - page) / PAGE_SIZE;
        let (pages, at, run) = match remote.fetch(file, index, most, for_write) {
            Ok(FilePage::Memory { pages, index, run }) => (pages, index, run),
            Ok(FilePage::Beyond) => return Err(Bad::Beyond),
            Ok(_) => return Ok(()),
            Err(_) => return Err(Bad::OutOfMemory),
        };
        let same = self.area_at(page).is_some_and(|(now_start, now)| {
            let Backing::File { file: now_file, offset: now_offset } = &now.backing else { return false };
            Arc::ptr_eq(file, now_file)
                && now_offset + (page - now_start) as u64 == index * PAGE_SIZE as u64
                && now.lazy
                && now.shared == area.shared
                && now.protection == area.protection
                && now.end >= page + run.min(most) * PAGE_SIZE
        });
        let room = there(page).unwrap_or(area.end).saturating_sub(page) / PAGE_SIZE;
        let count = if area.shared { run.min(most) } else { run.min(most).min(room) };
        if !same || count == 0 {
            return Ok(());
        }
        let address = pages.address() + at * PAGE_SIZE;
        let done = space::map_pages(page, count * PAGE_SIZE, area.protection, address, area.shared);
        self.hold(page, count, &pages);
        done.map_err(|_| Bad::OutOfMemory)
    }

    /// Brings in all that is missing of a volume's files in private areas: for what cannot leave it to faults, since a page
    /// that was written to is not fetched again.
    pub(super) fn populate(&self, range: Range<usize>) -> Result<(), Errno> {
        let lazy = |area: &Area| area.lazy && !area.shared && area.is_remote();
        if !self.map.borrow().overlapping(range.clone()).any(|(_, area)| lazy(area)) {
            return Ok(());
        }
        let mut at = range.start;
        while at < range.end {
            let Some((_, area)) = self.area_at(at) else {
                at += PAGE_SIZE;
                continue;
            };
            if !lazy(&area) {
                at = area.end;
                continue;
            }
            if self.held.borrow().contains_key(&at) {
                at += PAGE_SIZE;
                continue;
            }
            match self.bring_in(at) {
                Ok(()) => {}
                Err(Bad::Beyond) => at = area.end,
                Err(_) => return Err(Errno::ENOMEM),
            }
        }
        self.map.borrow_mut().change(range, |area| area.lazy &= !lazy(area));
        Ok(())
    }

    /// Writes back what was written through mappings of volumes' files in `range`. The first error that there was.
    pub fn write_back(&self, range: Range<usize>) -> Result<(), Errno> {
        let areas: Vec<Area> = {
            let map = self.map.borrow();
            map.overlapping(range)
                .filter(|(_, area)| area.shared && area.is_remote())
                .map(|(_, area)| area.clone())
                .collect()
        };
        let mut result = Ok(());
        for inode in areas.iter().filter_map(Area::inode) {
            result = result.and(remote::write_back(&inode));
        }
        result
    }
}

impl Area {
    /// Whether its pages come from a state server.
    pub(super) fn is_remote(&self) -> bool {
        match &self.backing {
            Backing::File { file, .. } => file.object.downcast::<RemoteFile>().is_some(),
            Backing::Anonymous | Backing::Shared { .. } => false,
        }
    }

    fn inode(&self) -> Option<Arc<Inode>> {
        match &self.backing {
            Backing::File { file, .. } => file.path.as_ref().map(|path| path.inode().clone()),
            Backing::Anonymous | Backing::Shared { .. } => None,
        }
    }

    /// The area is gone: what was written through it goes back to the volume that its file is on.
    pub(super) fn write_back(&self) {
        if self.shared
            && self.is_remote()
            && let Some(inode) = self.inode()
        {
            // As close(2) of a file on a network: who wants to know of errors calls msync(2) before.
            let _ = remote::write_back(&inode);
        }
    }
}
