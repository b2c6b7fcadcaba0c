//! Application memory: the map of an address space, and copies to and from it.
//!
//! A `Space` is what clone(2)'s CLONE_VM shares. Its map says what lies where; `husk_machine::space` makes it so. In the
//! process tender that acts on the host process that asks, so a space is changed only by its own tasks.

pub mod map;
pub mod oom;
pub mod remote;
mod save;
mod served;
pub mod user;

use crate::errno::Errno;
use crate::file::{FilePage, OpenFile};
use crate::fs::Inode;
use crate::task;
use crate::task::sched::Group;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::{GUEST_END, GUEST_START, PAGE_SIZE};
use husk_machine::cell::KCell;
use husk_machine::page::Pages;
use husk_machine::user::Access;
use husk_machine::{random, space, start};
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};
use map::{Area, Backing, Map, Name};

/// Pages brought in by one fault of a shared file mapping.
const FAULT_AROUND: usize = 16;

/// Where the parts of the program image lie, for brk(2) and /proc/PID/stat.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    pub code: (usize, usize),
    pub data: (usize, usize),
    pub brk_start: usize,
    pub brk: usize,
    pub stack_top: usize,
    pub stack_start: usize,
    pub args: (usize, usize),
    pub env: (usize, usize),
    /// Where mmap(2) looks first, downwards.
    pub mmap_top: usize,
}

/// See `Space::program_text`.
#[derive(Clone, Default)]
pub struct ProgramText {
    pub args: Arc<[u8]>,
    pub env: Arc<[u8]>,
}

/// The memory of a process: what is mapped where.
pub struct Space {
    map: KCell<Map>,
    pub layout: KCell<Layout>,
    /// The program's arguments and environment as it was started, each string ended by a NUL, for other processes that
    /// look at /proc/PID/cmdline: they cannot reach this memory.
    pub program_text: KCell<ProgramText>,
    /// The auxiliary vector as it lies on the stack, for /proc/PID/auxv.
    pub auxv: KCell<Vec<u64>>,
    /// Pages of files that mappings refer to, by address: alive although the file may let go of them.
    held: KCell<BTreeMap<usize, Arc<Pages>>>,
    group: Option<Arc<Group>>,
    /// Its page tables, where the kernel has such.
    machine: space::Handle,
    /// Call sites that were seen to trap, and what became of them.
    pub(crate) sites: KCell<crate::syscall::site::Sites>,
    /// A forked child that has yet to look at what it was not to get.
    unsettled: KCell<bool>,
}

/// Why an access cannot be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Nothing is mapped there (SEGV_MAPERR).
    Unmapped,
    /// The protection forbids it (SEGV_ACCERR).
    Forbidden,
    /// Past the end of the file (SIGBUS).
    Beyond,
    /// No memory is left for the page (SIGBUS, as for a tmpfs that is full).
    OutOfMemory,
}

/// A request to map something.
pub struct Request {
    /// Where, if the address is not just a wish.
    pub fixed: bool,
    /// Fail with EEXIST instead of replacing.
    pub no_replace: bool,
    pub address: usize,
    pub len: usize,
    pub area: Area,
    /// MAP_32BIT.
    pub low: bool,
    /// MAP_NORESERVE: may be more than there is memory for.
    pub no_reserve: bool,
}

fn page_up(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(PAGE_SIZE)
}

fn host(result: Result<(), space::HostError>) -> Result<(), Errno> {
    result.map_err(|error| Errno(error as u16))
}

impl Area {
    /// Private zero pages.
    pub fn anonymous(protection: u32, name: Name) -> Self {
        Self {
            end: 0,
            protection,
            may: PROT_READ | PROT_WRITE | PROT_EXEC,
            shared: false,
            touched: false,
            lazy: false,
            flags: 0,
            name,
            backing: Backing::Anonymous,
        }
    }
}

impl Space {
    /// An empty space of a group.
    pub fn new(group: Option<Arc<Group>>) -> Result<Arc<Self>, Errno> {
        let machine = space::Handle::new().map_err(|_| Errno::ENOMEM)?;
        Ok(Arc::new(Self {
            map: KCell::default(),
            layout: KCell::default(),
            program_text: KCell::default(),
            auxv: KCell::default(),
            held: KCell::default(),
            group,
            machine,
            sites: KCell::default(),
            unsettled: KCell::default(),
        }))
    }

    /// Pages of the guest's memory that it holds, as far as is known: in the process tender those it shares.
    fn held_pages(&self) -> usize {
        self.machine.resident().unwrap_or_else(|| {
            let map = self.map.borrow();
            map.iter()
                .filter(|(_, area)| area.shared)
                .map(|(start, area)| (area.end - start) / PAGE_SIZE)
                .sum()
        })
    }

    /// Makes it the space of this vCPU.
    pub fn activate(&self) {
        self.machine.activate();
    }

    /// The vCPUs that can run tasks of this space.
    pub fn group(&self) -> Option<Arc<Group>> {
        self.group.clone()
    }

    /// A copy for a forked child, contents included.
    pub fn duplicate(&self, group: Arc<Group>) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self {
            map: KCell::new(self.map.borrow().clone()),
            layout: KCell::new(self.layout.get()),
            program_text: KCell::new(self.current_program_text()),
            auxv: KCell::new(self.auxv.borrow().clone()),
            held: KCell::new(self.held.borrow().clone()),
            group: Some(group),
            machine: self.machine.fork().map_err(|_| Errno::ENOMEM)?,
            sites: KCell::new(self.sites.borrow().clone()),
            unsettled: KCell::new(
                self.map.borrow().iter().any(|(_, area)| area.flags & map::FORK_FLAGS != 0),
            ),
        }))
    }

    /// `program_text` with the arguments as they are now: programs write over them to show what they do.
    fn current_program_text(&self) -> ProgramText {
        const MOST: usize = 4096;
        let mut text = self.program_text.borrow().clone();
        let (start, end) = self.layout.borrow().args;
        let mut now = alloc::vec![0; end.saturating_sub(start).min(MOST)];
        if now.len() == text.args.len() && user::copy_in(start, &mut now).is_ok() && *now != *text.args {
            text.args = now.into();
        }
        text
    }

    /// Bytes of all mappings.
    pub fn total(&self) -> usize {
        self.map.borrow().total()
    }

    /// Calls `show` for each area in order, from a copy: `show` may do anything.
    pub fn for_each_area(&self, mut show: impl FnMut(usize, &Area)) {
        let map = self.map.borrow().clone();
        map.iter().for_each(|(start, area)| show(start, area));
    }

    /// The area at `address`.
    pub fn area_at(&self, address: usize) -> Option<(usize, Area)> {
        self.map.borrow().find(address).map(|(start, area)| (start, area.clone()))
    }

    /// Whether every page of the range is mapped.
    pub fn covers(&self, range: Range<usize>) -> bool {
        self.map.borrow().covers(range)
    }

    /// Where a mapping of `len` bytes without a fixed address goes.
    pub(crate) fn place(&self, request: &Request, len: usize) -> Result<usize, Errno> {
        let top = self.layout.borrow().mmap_top;
        let map = self.map.borrow();
        let wish = request.address & !(PAGE_SIZE - 1);
        if wish >= GUEST_START
            && wish <= GUEST_END - len
            && !crate::syscall::site::reserved(wish..wish + len)
            && map.is_free(wish..wish + len)
        {
            return Ok(wish);
        }
        if request.low {
            return map.find_free(len, GUEST_START, 0x7000_0000).ok_or(Errno::ENOMEM);
        }
        let above = map.find_free(len, 0x1_0000_0000, top);
        above.or_else(|| map.find_free(len, 0x1_0000_0000, GUEST_END)).ok_or(Errno::ENOMEM)
    }

    /// mmap(2): the address.
    pub fn map(&self, mut request: Request) -> Result<usize, Errno> {
        let len = page_up(request.len).filter(|len| *len <= GUEST_END - GUEST_START).ok_or(Errno::ENOMEM)?;
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let limit = task::current().rlimit(linux_raw_sys::general::RLIMIT_AS).rlim_cur;
        if (self.total() as u64).saturating_add(len as u64) > limit {
            return Err(Errno::ENOMEM);
        }
        let data_limit = task::current().rlimit(linux_raw_sys::general::RLIMIT_DATA).rlim_cur;
        let is_data =
            |area: &Area| !area.shared && area.protection & PROT_WRITE != 0 && area.name != Name::Stack;
        if data_limit != u64::MAX && is_data(&request.area) {
            let map = self.map.borrow();
            let data: usize =
                map.iter().filter(|(_, area)| is_data(area)).map(|(start, area)| area.end - start).sum();
            if (data as u64).saturating_add(len as u64) > data_limit {
                return Err(Errno::ENOMEM);
            }
        }
        let private_writable = !request.area.shared && request.area.protection & PROT_WRITE != 0;
        if private_writable && !request.no_reserve && len as u64 > start::boot().memory {
            return Err(Errno::ENOMEM);
        }
        let address = if request.fixed || request.no_replace {
            if !request.address.is_multiple_of(PAGE_SIZE) {
                return Err(Errno::EINVAL);
            }
            if request.address < GUEST_START {
                return Err(Errno::EPERM);
            }
            if request.address > GUEST_END - len
                || crate::syscall::site::reserved(request.address..request.address + len)
            {
                return Err(Errno::ENOMEM);
            }
            if request.no_replace && !self.map.borrow().is_free(request.address..request.address + len) {
                return Err(Errno::EEXIST);
            }
            request.address
        } else {
            self.place(&request, len)?
        };
        let range = address..address + len;
        request.area.end = range.end;
        request.area.touched |= request.area.protection != 0;
        let replaced = self.map.borrow_mut().remove(range.clone());
        self.forget(range.clone());
        let done = self.establish(address, &mut request.area);
        if done.is_ok() {
            self.map.borrow_mut().insert(address, request.area);
        } else {
            let _ = space::unmap(address, len);
        }
        replaced.iter().for_each(|(_, area)| area.write_back());
        drop(replaced);
        done.map(|()| address)
    }

    /// A free range of `len` bytes within 1 GiB of `near`, below it if possible.
    pub(crate) fn find_free_near(&self, near: usize, len: usize) -> Option<usize> {
        const REACH: usize = 1 << 30;
        let map = self.map.borrow();
        let bottom = near.saturating_sub(REACH).max(GUEST_START);
        let below = map.find_free(len, bottom, near);
        below.or_else(|| map.find_free(len, near, (near + REACH).min(GUEST_END)))
    }

    /// Lets go of what mappings of the range referred to.
    fn forget(&self, range: Range<usize>) {
        self.sites.borrow_mut().forget(range.clone());
        let gone: Vec<Arc<Pages>> = {
            let mut held = self.held.borrow_mut();
            let keys: Vec<usize> = held.range(range).map(|(address, _)| *address).collect();
            keys.into_iter().filter_map(|address| held.remove(&address)).collect()
        };
        drop(gone);
    }

    /// Makes the mapping of a new area. What cannot be mapped now (pages of a shared file, pages past the end) is left out
    /// and faults.
    fn establish(&self, start: usize, area: &mut Area) -> Result<(), Errno> {
        let len = area.end - start;
        match &area.backing {
            Backing::Anonymous => host(space::map_anonymous(start, len, area.protection)),
            Backing::Shared { pages, offset } => {
                host(space::map_pages(start, len, area.protection, pages.address() + offset, true))
            }
            Backing::File { file, offset } => {
                let (file, offset) = (file.clone(), *offset);
                self.establish_file(start, area, &file, offset)
            }
        }
    }

    /// Maps the pages that can be mapped now; of the others nothing that was there before may shine through.
    fn establish_file(
        &self,
        start: usize,
        area: &mut Area,
        file: &OpenFile,
        offset: u64,
    ) -> Result<(), Errno> {
        if area.is_remote() {
            host(space::unmap(start, area.end - start))?;
            if file.path.as_ref().is_some_and(|path| path.inode().is_directory()) {
                return Err(Errno::ENODEV);
            }
            area.lazy = true;
            return Ok(());
        }
        let (mut at, mut index) = (start, offset / PAGE_SIZE as u64);
        let mut left_out = start;
        while at < area.end {
            let left = (area.end - at) / PAGE_SIZE;
            let page = file.object.page(index, false)?;
            let (mapped, run) = match &page {
                // What others shall see written cannot be a page of the image.
                FilePage::Image { .. } if area.writes_to_file() => (false, 1),
                FilePage::Image { run, .. } => (true, *run),
                _ if area.shared => (false, 1),
                FilePage::Memory { run, .. } => (true, *run),
                FilePage::Zero => (true, 1),
                FilePage::Beyond => (false, left),
            };
            let count = run.clamp(1, left);
            let end = at + count * PAGE_SIZE;
            if mapped {
                if left_out < at {
                    host(space::unmap(left_out, at - left_out))?;
                }
                left_out = end;
            } else if !matches!(page, FilePage::Beyond) {
                area.lazy = true;
            }
            match page {
                _ if !mapped => {}
                FilePage::Image { offset, .. } => {
                    host(space::map_image(at, end - at, area.protection, offset))?;
                }
                FilePage::Memory { pages, index, .. } => {
                    let address = pages.address() + index * PAGE_SIZE;
                    host(space::map_pages(at, end - at, area.protection, address, false))?;
                    self.hold(at, count, &pages);
                }
                FilePage::Zero | FilePage::Beyond => {
                    host(space::map_anonymous(at, end - at, area.protection))?;
                }
            }
            at = end;
            index += count as u64;
        }
        if left_out < area.end {
            host(space::unmap(left_out, area.end - left_out))?;
        }
        Ok(())
    }

    /// Keeps pages alive for as long as the application has them mapped at `at`.
    fn hold(&self, at: usize, count: usize, pages: &Arc<Pages>) {
        for page in 0..count {
            let old = self.held.borrow_mut().insert(at + page * PAGE_SIZE, pages.clone());
            drop(old);
        }
    }

    /// munmap(2).
    pub fn unmap(&self, start: usize, len: usize) -> Result<(), Errno> {
        let len = page_up(len).ok_or(Errno::EINVAL)?;
        if !start.is_multiple_of(PAGE_SIZE) || len == 0 || start > GUEST_END || len > GUEST_END - start {
            return Err(Errno::EINVAL);
        }
        let range = start.max(GUEST_START)..start + len;
        if range.is_empty() {
            return Ok(());
        }
        let removed = self.map.borrow_mut().remove(range.clone());
        self.forget(range);
        for (start, area) in &removed {
            host(space::unmap(*start, area.end - start))?;
        }
        removed.iter().for_each(|(_, area)| area.write_back());
        Ok(())
    }

    /// Empties the space for a new program.
    pub fn clear(&self) -> Result<(), Errno> {
        let map = self.map.take();
        self.forget(GUEST_START..GUEST_END);
        host(space::unmap_all())?;
        map.iter().for_each(|(_, area)| area.write_back());
        self.layout.set(Layout::default());
        drop(map);
        Ok(())
    }

    /// mprotect(2).
    pub fn protect(&self, start: usize, len: usize, protection: u32) -> Result<(), Errno> {
        let len = page_up(len).ok_or(Errno::ENOMEM)?;
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        if !(GUEST_START..=GUEST_END).contains(&start) || len > GUEST_END - start {
            return Err(Errno::ENOMEM);
        }
        // Area by area: what lies before a hole, or before an area that may not have it, is changed.
        let mut end = start;
        let mut refusal = Ok(());
        for (begin, area) in self.map.borrow().overlapping(start..start + len) {
            if begin > end {
                break;
            }
            if protection & !area.may != 0 {
                refusal = Err(Errno::EACCES);
                break;
            }
            end = area.end.min(start + len);
        }
        if end < start + len && refusal.is_ok() {
            refusal = Err(Errno::ENOMEM);
        }
        let range = start..end;
        if range.is_empty() {
            return refusal;
        }
        self.populate(range.clone())?;
        let parts: Vec<(usize, usize, bool, bool)> = {
            let map = self.map.borrow();
            map.overlapping(range.clone())
                .map(|(start, area)| {
                    let file = matches!(area.backing, Backing::File { .. });
                    (start.max(range.start), area.end.min(range.end), area.lazy, file)
                })
                .collect()
        };
        for (start, end, lazy, file) in parts {
            if lazy {
                // Brought in anew by faults.
                host(space::unmap(start, end - start))?;
                continue;
            }
            match host(space::protect(start, end - start, protection)) {
                // Pages past the end of the file are not mapped.
                Err(Errno::ENOMEM) if file => {}
                done => done?,
            }
        }
        self.map.borrow_mut().change(range, |area| {
            area.protection = protection;
            area.touched |= protection != 0;
        });
        refusal
    }

    /// Sets and clears `flags` of areas: what a forked child gets of them. EINVAL where an area does not take them, as
    /// `takes` says; ENOMEM for a hole.
    pub fn mark(
        &self,
        start: usize,
        len: usize,
        set: u32,
        clear: u32,
        takes: fn(&Area) -> bool,
    ) -> Result<(), Errno> {
        let range = start..start + len;
        if range.is_empty() {
            return Ok(());
        }
        if self.map.borrow().overlapping(range.clone()).any(|(_, area)| !takes(area)) {
            return Err(Errno::EINVAL);
        }
        let covered = self.covers(range.clone());
        self.map.borrow_mut().change(range, |area| area.flags = area.flags & !clear | set);
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// First act of a forked child in its copy: takes away what its parent does not share with children.
    pub fn settle_after_fork(&self) -> Result<(), Errno> {
        if !self.unsettled.replace(false) {
            return Ok(());
        }
        let marked: Vec<(usize, usize, u32)> = {
            let map = self.map.borrow();
            let marked = map.iter().filter(|(_, area)| area.flags & map::FORK_FLAGS != 0);
            marked.map(|(start, area)| (start, area.end - start, area.flags)).collect()
        };
        for (start, len, flags) in marked {
            if flags & map::DONT_FORK != 0 {
                self.unmap(start, len)?;
            } else {
                self.discard(start, len)?;
            }
        }
        Ok(())
    }

    /// madvise(2)'s MADV_REMOVE: pages of shared memory become holes.
    pub fn punch(&self, start: usize, len: usize) -> Result<(), Errno> {
        let range = start..start + len;
        let parts: Vec<(usize, usize, Area)> = {
            let map = self.map.borrow();
            let parts = map.overlapping(range.clone());
            parts.map(|(start, area)| (start, area.end, area.clone())).collect()
        };
        for (begin, end, area) in parts {
            if !area.shared {
                return Err(Errno::EINVAL);
            }
            if area.may & PROT_WRITE == 0 || area.protection & PROT_WRITE == 0 {
                return Err(Errno::EACCES);
            }
            let (from, to) = (begin.max(range.start), end.min(range.end));
            user::fill(from, to - from, 0)?;
        }
        if self.covers(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// madvise(2)'s MADV_DONTNEED.
    pub fn discard(&self, start: usize, len: usize) -> Result<(), Errno> {
        let range = start..start + len;
        let covered = self.covers(range.clone());
        let parts: Vec<(usize, usize)> = self
            .map
            .borrow()
            .overlapping(range.clone())
            .filter(|(_, area)| !area.shared)
            .map(|(start, area)| (start.max(range.start), area.end.min(range.end)))
            .collect();
        for (start, end) in parts {
            self.sites.borrow_mut().forget(start..end);
            if start::boot().snapshot_fd >= 0 {
                self.discard_restored(start, end)?;
                continue;
            }
            match host(space::discard(start, end - start)) {
                Err(Errno::ENOMEM) => {}
                done => done?,
            }
        }
        if covered { Ok(()) } else { Err(Errno::ENOMEM) }
    }

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
        let request = |address: usize, len: usize, area: Area| Request {
            fixed: true,
            no_replace: false,
            address,
            len,
            area,
            low: false,
            no_reserve: false,
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
                self.map(request(end, more, grown(old_len)?))?;
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
            None => {
                let wish = Request { fixed: false, ..request(0, new_len, area.clone()) };
                self.place(&wish, new_len)?
            }
        };
        // Reserves the target and makes the part that is new.
        self.map(request(target, new_len, grown(0)?))?;
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
            let request = Request {
                fixed: true,
                no_replace: true,
                address: old,
                len: new - old,
                area,
                low: false,
                no_reserve: false,
            };
            if self.map(request).is_err() {
                return layout.brk;
            }
        } else if new < old && self.unmap(new, old - new).is_err() {
            return layout.brk;
        }
        self.layout.borrow_mut().brk = wanted;
        wanted
    }

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

impl Drop for Space {
    fn drop(&mut self) {
        // Areas hold open files, whose release runs other code: no borrow may be alive then.
        drop(self.map.take());
    }
}

impl Area {
    /// Whether writes to it may reach a file.
    fn writes_to_file(&self) -> bool {
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

/// Tries to make `address` accessible as the application's memory map allows. False: the access is an error.
pub fn mend_fault(address: usize, access: Access) -> bool {
    task::current().space().mend(address, access).is_ok()
}

/// A page-aligned random offset below `1 << bits` pages, for address-space layout.
pub fn random_pages(bits: u32) -> usize {
    let mut bytes = [0; 8];
    random::fill(&mut bytes);
    (usize::from_le_bytes(bytes) & ((1 << bits) - 1)) * PAGE_SIZE
}
