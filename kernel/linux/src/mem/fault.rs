//! Faults: what is brought in when a page is touched, and which touches are wrong.

use super::map::{self, Area, Backing};
use super::{Bad, Request, Space};
use crate::file::FilePage;
use crate::task;
use husk_abi::layout::{GUEST_START, PAGE_SIZE};
use husk_machine::space;
use husk_machine::user::Access;
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};

/// Pages brought in by one fault of a shared file mapping.
const FAULT_AROUND: usize = 16;

impl Space {
    /// Lets an area with MAP_GROWSDOWN reach down to `address`, unless something else is near or the limit of stacks is
    /// passed.
    fn grow_down(&self, address: usize) -> Option<(usize, Area)> {
        /// Room that Linux leaves below a stack (stack_guard_gap).
        const GUARD: usize = 256 * PAGE_SIZE;
        let page = address & !(PAGE_SIZE - 1);
        let (start, area) =
            self.map.borrow().first_from(address).map(|(start, area)| (start, area.clone()))?;
        let limit = task::current().rlimit(linux_raw_sys::general::RLIMIT_STACK).rlim_cur;
        if area.flags & map::GROWS_DOWN == 0
            || (area.end - page) as u64 > limit
            || page < GUEST_START + GUARD
            || !self.map.borrow().is_free(page - GUARD..start)
        {
            return None;
        }
        let request = Request {
            fixed: true,
            no_replace: true,
            address: page,
            len: start - page,
            area,
            low: false,
            no_reserve: false,
        };
        self.map(request).ok()?;
        self.area_at(address)
    }

    /// Tries to make an access possible.
    pub fn mend(&self, address: usize, access: Access) -> Result<(), Bad> {
        let (start, area) = match self.area_at(address) {
            Some(found) => found,
            // What it grew by is mapped now: the access is made anew, and allowed or not.
            None => return self.grow_down(address).map(|_| ()).ok_or(Bad::Unmapped),
        };
        let needed = match access {
            Access::Read => PROT_READ | PROT_EXEC | PROT_WRITE,
            Access::Write => PROT_WRITE,
            Access::Execute => PROT_EXEC,
        };
        if area.protection & needed == 0 {
            return Err(Bad::Forbidden);
        }
        let Backing::File { file, offset } = &area.backing else {
            // The machine has mapped it, so it is the host that has no page to give.
            return if access == Access::Execute { Err(Bad::Forbidden) } else { Err(Bad::OutOfMemory) };
        };
        let page = address & !(PAGE_SIZE - 1);
        if !area.lazy {
            return Err(Bad::Beyond);
        }
        if area.is_remote() {
            return self.bring_in(page);
        }
        let end = area.end.min(page + FAULT_AROUND * PAGE_SIZE);
        for at in (page..end).step_by(PAGE_SIZE) {
            let index = (offset + (at - start) as u64) / PAGE_SIZE as u64;
            // Only what was asked for is made; around it, what is there is mapped.
            let for_write = at == page && area.writes_to_file();
            let mut found = file.object.page(index, for_write);
            if at == page && area.shared && matches!(found, Ok(FilePage::Zero)) {
                // What another mapping writes into the hole must show here.
                found = file.object.page(index, true);
            }
            let done = match found {
                Ok(FilePage::Memory { pages, index, .. }) => {
                    let address = pages.address() + index * PAGE_SIZE;
                    let done = space::map_pages(at, PAGE_SIZE, area.protection, address, area.shared);
                    self.hold(at, 1, &pages);
                    done
                }
                Ok(FilePage::Image { offset, .. }) if !area.writes_to_file() => {
                    space::map_image(at, PAGE_SIZE, area.protection, offset)
                }
                Ok(FilePage::Zero) if at == page => space::map_anonymous(at, PAGE_SIZE, area.protection),
                Ok(FilePage::Beyond) if at == page => return Err(Bad::Beyond),
                Err(_) if at == page => return Err(Bad::OutOfMemory),
                _ => break,
            };
            if done.is_err() {
                return Err(Bad::OutOfMemory);
            }
        }
        Ok(())
    }
}

/// Tries to make `address` accessible as the application's memory map allows. False: the access is an error.
pub fn mend_fault(address: usize, access: Access) -> bool {
    task::current().space().mend(address, access).is_ok()
}
