//! Memory: mmap(2) and its family.

use super::opened;
use crate::errno::{Errno, SysResult};
use crate::fs::devfs;
use crate::mem::map::{self, Area, Backing, Name};
use crate::mem::{Request, user};
use crate::task::Task;
use alloc::sync::Arc;
use husk_abi::layout::{GUEST_END, PAGE_SIZE};
use husk_machine::page::Pages;
use husk_machine::user::Access;
use linux_raw_sys::general as raw;

const PROTECTION: u32 = raw::PROT_READ | raw::PROT_WRITE | raw::PROT_EXEC;
const MAP_TYPE: u32 = 15;

pub(super) fn mmap(
    t: &Arc<Task>,
    addr: usize,
    len: usize,
    prot: u32,
    flags: u32,
    fd: i32,
    offset: u64,
) -> SysResult {
    if len == 0 || !offset.is_multiple_of(PAGE_SIZE as u64) || prot & !(PROTECTION | raw::PROT_SEM) != 0 {
        return Err(Errno::EINVAL);
    }
    let prot = prot & PROTECTION;
    let shared = match flags & MAP_TYPE {
        raw::MAP_PRIVATE => false,
        raw::MAP_SHARED => true,
        raw::MAP_SHARED_VALIDATE if flags & raw::MAP_SYNC == 0 => true,
        raw::MAP_SHARED_VALIDATE => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    if flags & raw::MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    const ANY: u32 = raw::MAP_FIXED
        | raw::MAP_ANONYMOUS
        | raw::MAP_32BIT
        | raw::MAP_GROWSDOWN
        | raw::MAP_DENYWRITE
        | raw::MAP_EXECUTABLE
        | raw::MAP_LOCKED
        | raw::MAP_NORESERVE
        | raw::MAP_POPULATE
        | raw::MAP_NONBLOCK
        | raw::MAP_STACK
        | raw::MAP_FIXED_NOREPLACE
        | MAP_TYPE;
    if flags & MAP_TYPE == raw::MAP_SHARED_VALIDATE {
        // Linux knows this type for files only, and there refuses what it does not know.
        if flags & raw::MAP_ANONYMOUS != 0 {
            return Err(Errno::EINVAL);
        }
        if flags & !ANY != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
    }
    let mut area = Area::anonymous(prot, Name::None);
    if flags & raw::MAP_GROWSDOWN != 0 && !shared && flags & raw::MAP_ANONYMOUS != 0 {
        area.flags |= map::GROWS_DOWN;
    }
    area.shared = shared;
    let pages = len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)? / PAGE_SIZE;
    if flags & raw::MAP_ANONYMOUS == 0 {
        let file = opened(t, fd)?;
        if !file.readable() || shared && prot & raw::PROT_WRITE != 0 && !file.writable() {
            return Err(Errno::EACCES);
        }
        if offset.checked_add((pages * PAGE_SIZE) as u64).is_none() {
            return Err(Errno::EOVERFLOW);
        }
        if shared && !file.writable() {
            area.may &= !raw::PROT_WRITE;
        }
        let seals = file.path.as_ref().and_then(|path| path.inode().seals()).unwrap_or(0);
        if shared && seals & (raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) != 0 {
            if prot & raw::PROT_WRITE != 0 {
                return Err(Errno::EPERM);
            }
            area.may &= !raw::PROT_WRITE;
        }
        if !devfs::is_zero(&*file.object) {
            area.backing = Backing::File { file, offset };
        } else if shared {
            area.backing = shared_memory(pages)?;
        }
    } else if shared {
        area.backing = shared_memory(pages)?;
    }
    let no_replace = flags & raw::MAP_FIXED_NOREPLACE != 0;
    let request = Request {
        fixed: flags & raw::MAP_FIXED != 0 && !no_replace,
        no_replace,
        address: addr,
        len,
        area,
        low: flags & raw::MAP_32BIT != 0,
        no_reserve: flags & raw::MAP_NORESERVE != 0,
    };
    let space = t.space();
    let address = space.map(request)?;
    if flags & raw::MAP_POPULATE != 0 {
        populate(address, len, prot);
    }
    Ok(address)
}

/// Memory that children share.
fn shared_memory(pages: usize) -> Result<Backing, Errno> {
    let pages = Pages::zeroed(pages).map_err(|_| Errno::ENOMEM)?;
    Ok(Backing::Shared { pages: Arc::new(pages), offset: 0 })
}

/// Brings the pages in; one that cannot be is left to the first touch, as on Linux.
fn populate(address: usize, len: usize, prot: u32) {
    let access = if prot & raw::PROT_WRITE != 0 { Access::Write } else { Access::Read };
    for at in (address..address + len).step_by(PAGE_SIZE) {
        if user::touch(at, access).is_err() {
            return;
        }
    }
}

pub(super) fn munmap(t: &Arc<Task>, addr: usize, len: usize) -> SysResult {
    t.space().unmap(addr, len)?;
    Ok(0)
}

pub(super) fn mprotect(t: &Arc<Task>, addr: usize, len: usize, prot: u32) -> SysResult {
    const GROWS: u32 = raw::PROT_GROWSDOWN | raw::PROT_GROWSUP;
    if prot & !(PROTECTION | raw::PROT_SEM | GROWS) != 0 || prot & GROWS == GROWS {
        return Err(Errno::EINVAL);
    }
    let space = t.space();
    let (mut start, mut len) = (addr, len);
    if prot & raw::PROT_GROWSDOWN != 0 {
        // The main stack is one area: all of it below `addr` too.
        let (begin, _) = space.area_at(addr).ok_or(Errno::ENOMEM)?;
        len = len.checked_add(start - begin).ok_or(Errno::ENOMEM)?;
        start = begin;
    }
    space.protect(start, len, prot & PROTECTION)?;
    Ok(0)
}

pub(super) fn mremap(
    t: &Arc<Task>,
    old_addr: usize,
    old_len: usize,
    new_len: usize,
    flags: u32,
    new_addr: usize,
) -> SysResult {
    const KNOWN: u32 = raw::MREMAP_MAYMOVE | raw::MREMAP_FIXED | raw::MREMAP_DONTUNMAP;
    let may_move = flags & raw::MREMAP_MAYMOVE != 0;
    let fixed = flags & raw::MREMAP_FIXED != 0;
    let keep = flags & raw::MREMAP_DONTUNMAP != 0;
    if flags & !KNOWN != 0 || (fixed || keep) && !may_move || keep && old_len != new_len {
        return Err(Errno::EINVAL);
    }
    t.space().remap(old_addr, old_len, new_len, may_move, fixed.then_some(new_addr), keep)
}

pub(super) fn brk(t: &Arc<Task>, brk: usize) -> SysResult {
    Ok(t.space().set_brk(brk))
}

pub(super) fn madvise(t: &Arc<Task>, addr: usize, len: usize, advice: u32) -> SysResult {
    let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::EINVAL)?;
    if !addr.is_multiple_of(PAGE_SIZE) || addr.checked_add(len).is_none_or(|end| end > GUEST_END) {
        return Err(Errno::EINVAL);
    }
    let space = t.space();
    match advice {
        raw::MADV_DONTNEED | raw::MADV_DONTNEED_LOCKED => {
            if len > 0 {
                space.discard(addr, len)?;
            }
            Ok(0)
        }
        // The pages may go at any time before they are written again: now is such a time.
        raw::MADV_FREE => {
            let anonymous = space
                .area_at(addr)
                .is_some_and(|(_, area)| !area.shared && matches!(area.backing, Backing::Anonymous));
            if len > 0 && !anonymous {
                return Err(Errno::EINVAL);
            }
            if len > 0 {
                space.discard(addr, len)?;
            }
            Ok(0)
        }
        raw::MADV_REMOVE => {
            space.punch(addr, len)?;
            Ok(0)
        }
        raw::MADV_DONTFORK => marked(space.mark(addr, len, map::DONT_FORK, 0, |_| true)),
        raw::MADV_DOFORK => marked(space.mark(addr, len, 0, map::DONT_FORK, |_| true)),
        raw::MADV_WIPEONFORK | raw::MADV_KEEPONFORK => {
            let wipe = advice == raw::MADV_WIPEONFORK;
            let takes = |area: &Area| !area.shared && matches!(area.backing, Backing::Anonymous);
            let any = |_: &Area| true;
            let (set, clear) = if wipe { (map::WIPE_ON_FORK, 0) } else { (0, map::WIPE_ON_FORK) };
            marked(space.mark(addr, len, set, clear, if wipe { takes } else { any }))
        }
        // Hints about what is to come: nothing here would act on them.
        raw::MADV_NORMAL
        | raw::MADV_RANDOM
        | raw::MADV_SEQUENTIAL
        | raw::MADV_WILLNEED
        | raw::MADV_HUGEPAGE
        | raw::MADV_NOHUGEPAGE
        | raw::MADV_COLD
        | raw::MADV_PAGEOUT
        | raw::MADV_DODUMP
        | raw::MADV_DONTDUMP
        | raw::MADV_MERGEABLE
        | raw::MADV_UNMERGEABLE => {
            if space.covers(addr..addr + len) {
                Ok(0)
            } else {
                Err(Errno::ENOMEM)
            }
        }
        raw::MADV_POPULATE_READ | raw::MADV_POPULATE_WRITE => {
            let access = if advice == raw::MADV_POPULATE_WRITE { Access::Write } else { Access::Read };
            if !space.covers(addr..addr + len) {
                return Err(Errno::ENOMEM);
            }
            for at in (addr..addr + len).step_by(PAGE_SIZE) {
                user::touch(at, access)?;
            }
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn marked(done: Result<(), Errno>) -> SysResult {
    done.map(|()| 0)
}

/// Pages of files and of shared memory count as there: nothing in a guest is ever swapped out by its own kernel.
pub(super) fn mincore(t: &Arc<Task>, addr: usize, len: usize, vector: usize) -> SysResult {
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    let end =
        addr.checked_add(len).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE)).ok_or(Errno::ENOMEM)?;
    if !t.space().covers(addr..end) {
        // What lies before the hole is told, as by Linux, whose caller cannot know how much of it.
        user::check(vector, (end - addr) / PAGE_SIZE)?;
        return Err(Errno::ENOMEM);
    }
    const AT_ONCE: usize = 1 << 14;
    for at in (addr..end).step_by(AT_ONCE * PAGE_SIZE) {
        let mut told = alloc::vec![0; ((end - at) / PAGE_SIZE).min(AT_ONCE)];
        t.space().presence(at..at + told.len() * PAGE_SIZE, &mut told);
        user::copy_out(vector + (at - addr) / PAGE_SIZE, &told)?;
    }
    Ok(0)
}

pub(super) fn msync(t: &Arc<Task>, addr: usize, len: usize, flags: u32) -> SysResult {
    const KNOWN: u32 = raw::MS_ASYNC | raw::MS_INVALIDATE | raw::MS_SYNC;
    let len = len.checked_next_multiple_of(PAGE_SIZE).ok_or(Errno::ENOMEM)?;
    if flags & !KNOWN != 0 || flags & raw::MS_ASYNC != 0 && flags & raw::MS_SYNC != 0 {
        return Err(Errno::EINVAL);
    }
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(Errno::EINVAL);
    }
    // Mappings share the pages of their files; only those of volumes have something to write back.
    let end = addr.checked_add(len).ok_or(Errno::ENOMEM)?;
    if flags & raw::MS_SYNC != 0 {
        t.space().write_back(addr..end)?;
    }
    t.space().note_written(addr..end);
    if t.space().covers(addr..end) { Ok(0) } else { Err(Errno::ENOMEM) }
}

/// Locked memory: nothing in a guest is ever swapped out by its own kernel, so to lock is to bring in.
pub(super) fn mlock(t: &Arc<Task>, addr: usize, len: usize) -> SysResult {
    let start = addr & !(PAGE_SIZE - 1);
    let end =
        addr.checked_add(len).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
    if !t.space().covers(start..end) {
        return Err(Errno::ENOMEM);
    }
    for at in (start..end).step_by(PAGE_SIZE) {
        user::touch(at, Access::Read).map_err(|_| Errno::ENOMEM)?;
    }
    Ok(0)
}

pub(super) fn mlock2(t: &Arc<Task>, addr: usize, len: usize, flags: u32) -> SysResult {
    if flags & !raw::MLOCK_ONFAULT != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & raw::MLOCK_ONFAULT != 0 {
        return munlock(t, addr, len);
    }
    mlock(t, addr, len)
}

pub(super) fn munlock(t: &Arc<Task>, addr: usize, len: usize) -> SysResult {
    let start = addr & !(PAGE_SIZE - 1);
    let end =
        addr.checked_add(len).and_then(|end| end.checked_next_multiple_of(PAGE_SIZE)).ok_or(Errno::EINVAL)?;
    if t.space().covers(start..end) { Ok(0) } else { Err(Errno::ENOMEM) }
}

pub(super) fn mlockall(_t: &Arc<Task>, flags: u32) -> SysResult {
    const KNOWN: u32 = raw::MCL_CURRENT | raw::MCL_FUTURE | raw::MCL_ONFAULT;
    if flags == 0 || flags & !KNOWN != 0 || flags == raw::MCL_ONFAULT { Err(Errno::EINVAL) } else { Ok(0) }
}

pub(super) fn munlockall(_t: &Arc<Task>) -> SysResult {
    Ok(0)
}
