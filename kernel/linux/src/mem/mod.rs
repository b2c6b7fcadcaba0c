//! Application memory: the map of an address space, and copies to and from it.
//!
//! A `Space` is what clone(2)'s CLONE_VM shares. Its map says what lies where; `husk_machine::space` makes it so. In the
//! process tender that acts on the host process that asks, so a space is changed only by its own tasks.

mod fault;
mod files;
pub mod map;
pub mod oom;
mod remap;
pub mod remote;
pub mod resident;
mod save;
mod served;
pub mod user;

pub use fault::mend_fault;
pub use files::{file_replaced, file_shrank};

use crate::errno::Errno;
use crate::file::{FilePage, OpenFile};
use crate::task;
use crate::task::sched::Group;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::{GUEST_END, GUEST_START, PAGE_SIZE};
use husk_machine::cell::KCell;
use husk_machine::page::Pages;
use husk_machine::{random, space, start};
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};
use map::{Area, Backing, Map, Name};

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
    counts: resident::Counts,
    /// The contexts of io_setup(2), by their ids.
    pub(crate) aio: KCell<BTreeMap<usize, Arc<crate::file::aio::Context>>>,
    /// The registrations of membarrier(2).
    pub(crate) barriers: KCell<u32>,
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

impl Request {
    /// Where there is room.
    pub fn anywhere(len: usize, area: Area) -> Self {
        Self { fixed: false, no_replace: false, address: 0, len, area, low: false, no_reserve: false }
    }

    /// At `address`, in place of what is there.
    pub fn at(address: usize, len: usize, area: Area) -> Self {
        Self { fixed: true, address, ..Self::anywhere(len, area) }
    }
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
            counts: resident::Counts::default(),
            aio: KCell::default(),
            barriers: KCell::default(),
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
            counts: resident::Counts::of_copy(self.total()),
            aio: KCell::default(),
            barriers: KCell::new(self.barriers.get()),
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
        let before = self.total();
        if (before as u64).saturating_add(len as u64) > limit {
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
            self.note_mapped(before, len);
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
        // What lies between it and the next part that is mapped is left out.
        let mut left_out = start;
        let mut reach = |from: usize, to: usize| {
            let gap = core::mem::replace(&mut left_out, to)..from;
            if gap.is_empty() { Ok(()) } else { host(space::unmap(gap.start, gap.len())) }
        };
        while at < area.end {
            let left = (area.end - at) / PAGE_SIZE;
            let part = |run: usize| (run.clamp(1, left), run.clamp(1, left) * PAGE_SIZE);
            let count = match file.object.page(index, false)? {
                // What others shall see written cannot be a page of the image.
                FilePage::Image { .. } if area.writes_to_file() => {
                    area.lazy = true;
                    1
                }
                FilePage::Image { offset, run } => {
                    let (count, len) = part(run);
                    reach(at, at + len)?;
                    host(space::map_image(at, len, area.protection, offset))?;
                    count
                }
                _ if area.shared => {
                    area.lazy = true;
                    1
                }
                FilePage::Memory { pages, index, run } => {
                    let (count, len) = part(run);
                    reach(at, at + len)?;
                    let address = pages.address() + index * PAGE_SIZE;
                    host(space::map_pages(at, len, area.protection, address, false))?;
                    self.hold(at, count, &pages);
                    count
                }
                FilePage::Zero => {
                    reach(at, at + PAGE_SIZE)?;
                    host(space::map_anonymous(at, PAGE_SIZE, area.protection))?;
                    1
                }
                FilePage::Beyond => left,
            };
            at += count * PAGE_SIZE;
            index += count as u64;
        }
        reach(area.end, area.end)
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
        self.note_most(range.len());
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
        self.barriers.set(0);
        let contexts = self.aio.take();
        drop(contexts);
        self.forget_counts();
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
        self.note_most(len);
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
}

impl Drop for Space {
    fn drop(&mut self) {
        // Areas hold open files, whose release runs other code: no borrow may be alive then.
        drop(self.map.take());
    }
}

/// A page-aligned random offset below `1 << bits` pages, for address-space layout.
pub fn random_pages(bits: u32) -> usize {
    let mut bytes = [0; 8];
    random::fill(&mut bytes);
    (usize::from_le_bytes(bytes) & ((1 << bits) - 1)) * PAGE_SIZE
}
