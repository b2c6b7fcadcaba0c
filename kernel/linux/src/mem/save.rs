//! Private memory in snapshots (process tender, where it lies in host processes and not in the arena).
//!
//! What `save` sends is what differs from what `rebuild` makes of the map alone: zero pages for anonymous memory, the
//! root image's pages for private mappings of its files, and zero pages for private mappings of other files.

use super::map::{Area, Backing, Name};
use super::{Space, host};
use crate::errno::Errno;
use crate::file::{FilePage, OpenFile};
use crate::snapshot::{is_equal, send_block};
use alloc::vec::Vec;
use husk_abi::control::Kind;
use husk_abi::layout::{GUEST_END, PAGE_SIZE, SLOT_TABLE, SLOT_TABLE_LEN};
use husk_abi::snapshot::Extent;
use husk_machine::{space, start, user};
use linux_raw_sys::general::PROT_READ;

/// What the root image has for a page of a private mapping; `None` for zeros.
fn image_page(area: &Area, by: usize) -> Option<&'static [u8]> {
    let Backing::File { file, offset } = &area.backing else { return None };
    match file.object.page((offset + by as u64) / PAGE_SIZE as u64, false) {
        Ok(FilePage::Image { offset, .. }) => start::root_image().get(offset..offset + PAGE_SIZE),
        _ => None,
    }
}

impl Space {
    /// All areas in order, and the table of patched call sites, which is none of the application's.
    fn areas(&self) -> Vec<(usize, Area)> {
        let mut areas: Vec<(usize, Area)> =
            self.map.borrow().iter().map(|(start, area)| (start, area.clone())).collect();
        if self.sites.borrow().has_table() {
            let (end, table) = (SLOT_TABLE + SLOT_TABLE_LEN, Area::anonymous(PROT_READ, Name::Gate));
            areas.push((SLOT_TABLE, Area { end, touched: true, ..table }));
            areas.sort_unstable_by_key(|(start, _)| *start);
        }
        areas
    }

    /// Sends the private memory of the calling host process, whose space this is. False: nobody takes it any more.
    pub(crate) fn save(&self) -> bool {
        self.areas().iter().filter(|(_, area)| !area.shared && area.touched).all(|(start, area)| {
            let len = area.end - start;
            // Pages past the end of a file are not mapped: an error here says no more than that.
            let hidden = area.protection & PROT_READ == 0;
            if hidden {
                let _ = space::protect(*start, len, area.protection | PROT_READ);
            }
            let sent = save_area(*start, area);
            if hidden {
                let _ = space::protect(*start, len, area.protection);
            }
            sent
        })
    }

    /// Maps everything anew in the calling host process, whose range is empty. `extents` say what was sent.
    pub(crate) fn rebuild(&self, extents: &[Extent]) -> Result<(), Errno> {
        let areas = self.areas();
        for (start, area) in &areas {
            match &area.backing {
                Backing::File { file, offset } if !area.shared => {
                    self.rebuild_private(*start, area, file, *offset)?;
                }
                _ if area.lazy => {}
                _ => self.establish(*start, &mut area.clone())?,
            }
        }
        for extent in extents {
            let mut left = extent.len_within(GUEST_END as u64).ok_or(Errno::EINVAL)?;
            let (mut at, mut offset) = (extent.place as usize, extent.offset as usize);
            // Neighbouring areas may have been sent as one stretch.
            while left > 0 {
                let below = areas.partition_point(|(start, _)| *start <= at);
                let (_, area) =
                    areas[..below].last().filter(|(_, area)| at < area.end).ok_or(Errno::EINVAL)?;
                let len = left.min(area.end - at);
                host(space::map_snapshot(at, len, area.protection, offset))?;
                (at, offset, left) = (at + len, offset + len, left - len);
            }
        }
        Ok(())
    }

    fn rebuild_private(&self, start: usize, area: &Area, file: &OpenFile, offset: u64) -> Result<(), Errno> {
        let (mut at, mut index) = (start, offset / PAGE_SIZE as u64);
        while at < area.end {
            let left = (area.end - at) / PAGE_SIZE;
            let count = match file.object.page(index, false)? {
                FilePage::Image { offset, run } => {
                    let count = run.clamp(1, left);
                    host(space::map_image(at, count * PAGE_SIZE, area.protection, offset))?;
                    count
                }
                FilePage::Memory { run, .. } => {
                    let count = run.clamp(1, left);
                    host(space::map_anonymous(at, count * PAGE_SIZE, area.protection))?;
                    count
                }
                FilePage::Zero => {
                    host(space::map_anonymous(at, PAGE_SIZE, area.protection))?;
                    1
                }
                FilePage::Beyond => left,
            };
            at += count * PAGE_SIZE;
            index += count as u64;
        }
        Ok(())
    }

    /// Forgets private pages in a restored guest, where the host would bring back those of the snapshot.
    pub(super) fn discard_restored(&self, start: usize, end: usize) -> Result<(), Errno> {
        let Some((from, area)) = self.area_at(start) else { return Ok(()) };
        match &area.backing {
            Backing::Anonymous => host(space::map_anonymous(start, end - start, area.protection)),
            Backing::File { file, offset } => {
                let (file, offset) = (file.clone(), offset + (start - from) as u64);
                let mut part = Area { end, ..area };
                self.establish_file(start, &mut part, &file, offset)
            }
            Backing::Shared { .. } => Ok(()),
        }
    }
}

fn save_area(start: usize, area: &Area) -> bool {
    const BLOCK: usize = husk_abi::control::PAYLOAD_MAX;
    (start..area.end).step_by(BLOCK).all(|block| {
        let pages = (area.end - block).min(BLOCK) / PAGE_SIZE;
        send_block(Kind::Memory, block as u64, pages, |page, out| {
            let at = block + page * PAGE_SIZE;
            user::copy_in(at, out).is_ok() && !is_equal(out, image_page(area, at - start))
        })
    })
}
