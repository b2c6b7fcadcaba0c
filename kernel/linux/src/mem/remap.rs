//! Mappings that grow, shrink and move: mremap(2) and brk(2).

use super::map::{Area, Backing, Name};
use super::{Request, Space, host, page_up};
use crate::errno::Errno;
use crate::task;
use alloc::vec::Vec;
use husk_abi::layout::{GUEST_END, PAGE_SIZE};
use husk_machine::space;
use linux_raw_sys::general::{PROT_READ, PROT_WRITE};

impl Space {
    /// mremap(2): the new address.
    pub fn remap(
        &self,
        old: usize,
        old_len: usize,
        new_len: usize,
        may_move: bool,
        fixed: Option<usize>,
        keep: bool,
    ) -> Result<usize, Errno> {
        let old_len = page_up(old_len).ok_or(Errno::EINVAL)?;
        let new_len = page_up(new_len).filter(|len| *len > 0).ok_or(Errno::EINVAL)?;
        if !old.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        let (start, area) = self.area_at(old).ok_or(Errno::EFAULT)?;
        if old_len == 0 && !area.shared {
            return Err(Errno::EINVAL);
        }
        if old_len > area.end - old {
            return Err(Errno::EFAULT);
        }
        let grown = |by: usize| {
            // What follows the old range in the backing.
            let mut more = area.clone();
            match &mut more.backing {
                Backing::Anonymous => {}
                Backing::Shared { offset, .. } => *offset += old - start + by,
                Backing::File { offset, .. } => *offset += (old - start + by) as u64,
            }
            if let Backing::Shared { pages, offset } = &more.backing
                && offset + new_len.saturating_sub(by) > pages.count() * PAGE_SIZE
            {
                return Err(Errno::EFAULT);
            }
            Ok(more)
        };
        if fixed.is_none() && !keep {
            if new_len <= old_len {
                if new_len < old_len {
                    self.unmap(old + new_len, old_len - new_len)?;
                }
                return Ok(old);
            }
            let end = old + old_len;
            let more = new_len - old_len;
            if end == area.end && end + more <= GUEST_END && self.map.borrow().is_free(end..end + more) {
                self.map(Request::at(end, more, grown(old_len)?))?;
                return Ok(old);
            }
            if !may_move {
                return Err(Errno::ENOMEM);
            }
        }
        let kept = old_len.min(new_len);
        self.populate(old..old + kept)?;
        let target = match fixed {
            Some(target) => {
                if !target.is_multiple_of(PAGE_SIZE) || target < old + old_len && old < target + new_len {
                    return Err(Errno::EINVAL);
                }
                target
            }
            None => self.place(&Request::anywhere(new_len, area.clone()), new_len)?,
        };
        // Reserves the target and makes the part that is new.
        self.map(Request::at(target, new_len, grown(0)?))?;
        if kept > 0 && !area.shared {
            host(space::relocate(old, kept, target))?;
            self.move_held(old, kept, target);
            if keep {
                host(space::map_anonymous(old, kept, area.protection))?;
            }
        }
        if !keep && old_len > 0 {
            let gone = self.map.borrow_mut().remove(old..old + old_len);
            self.forget(old..old + old_len);
            host(space::unmap(old, old_len))?;
            drop(gone);
        }
        Ok(target)
    }

    fn move_held(&self, old: usize, len: usize, target: usize) {
        let mut held = self.held.borrow_mut();
        let keys: Vec<usize> = held.range(old..old + len).map(|(address, _)| *address).collect();
        for address in keys {
            if let Some(pages) = held.remove(&address) {
                held.insert(target + (address - old), pages);
            }
        }
    }

    /// brk(2): the new end of the heap, or the old one when it cannot be changed.
    pub fn set_brk(&self, wanted: usize) -> usize {
        let layout = self.layout.get();
        let limit = task::current().rlimit(linux_raw_sys::general::RLIMIT_DATA).rlim_cur;
        if wanted < layout.brk_start || (wanted - layout.brk_start) as u64 > limit {
            return layout.brk;
        }
        let (old, Some(new)) = (page_up(layout.brk).unwrap_or(layout.brk), page_up(wanted)) else {
            return layout.brk;
        };
        if new > old {
            if new > GUEST_END || !self.map.borrow().is_free(old..new) {
                return layout.brk;
            }
            let area = Area::anonymous(PROT_READ | PROT_WRITE, Name::Heap);
            let request = Request { no_replace: true, ..Request::at(old, new - old, area) };
            if self.map(request).is_err() {
                return layout.brk;
            }
        } else if new < old && self.unmap(new, old - new).is_err() {
            return layout.brk;
        }
        self.layout.borrow_mut().brk = wanted;
        wanted
    }
}
