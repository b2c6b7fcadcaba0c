//! Pages of a volume's files that are mapped.
//!
//! They live as long as somebody maps them: an inode refers to them weakly, and a mapping made later fetches anew. Reads and
//! writes of this guest and its mappings show each other's bytes: a write changes the pages too, and before a read what
//! mappings changed is written back. Others see what was written through a mapping after msync(2), fsync(2), munmap(2), or
//! the end of the process; what others write is seen by mappings made after the file was opened again.
//!
//! A page that is mapped for writing has a copy of what the server has of it, so that only bytes that changed go back.

use super::RemoteFile;
use super::client::Caller;
use crate::errno::Errno;
use crate::file::{File, FilePage, OpenFile};
use crate::fs::inode::Inode;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::PAGE_SIZE;
use husk_fuse::{Opcode, ReadIn};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::page::Pages;
use husk_ring::DATA_LEN;

const PAGE: u64 = PAGE_SIZE as u64;
/// Pages that are fetched together.
const TOGETHER: u64 = (DATA_LEN / PAGE_SIZE) as u64;

/// Inodes that may have something to write back.
static WRITTEN: Global<KCell<Vec<Arc<Inode>>>> = Global::new(KCell::default);

/// What of a file is mapped.
#[derive(Default)]
pub(super) struct Mapped {
    pages: KCell<BTreeMap<u64, Page>>,
    /// Through which open file to write back.
    writer: KCell<Option<Arc<OpenFile>>>,
    /// Time of the last change and size when the file was last opened.
    seen: KCell<(i64, u64)>,
}

/// One page: number `at` of `run`.
struct Page {
    run: Weak<Pages>,
    at: usize,
    /// The server may have other bytes meanwhile.
    stale: bool,
    written: Option<Written>,
}

/// A page that is mapped for writing.
struct Written {
    run: Arc<Pages>,
    /// What the server has.
    clean: Box<[u8]>,
}

impl Page {
    /// Whether it has to be fetched before somebody else can map it.
    fn is_missing(&self) -> bool {
        self.run.strong_count() == 0 || self.stale && self.written.is_none()
    }
}

impl Mapped {
    fn is_missing(&self, index: u64) -> bool {
        self.pages.borrow().get(&index).is_none_or(Page::is_missing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.borrow().is_empty()
    }

    /// The page at `index` and those that follow it in memory, at most `most`.
    fn found(&self, index: u64, most: usize) -> Option<(Arc<Pages>, usize, usize)> {
        let pages = self.pages.borrow();
        let first = pages.get(&index).filter(|page| !page.is_missing())?;
        let run = first.run.upgrade()?;
        let mut count = 1;
        while count < most
            && pages.get(&(index + count as u64)).is_some_and(|page| {
                !page.is_missing() && page.at == first.at + count && page.run.as_ptr() == first.run.as_ptr()
            })
        {
            count += 1;
        }
        Some((run, first.at, count))
    }

    /// Puts what the server has from page `first` on into the pages of `range` that are missing.
    fn put(&self, first: u64, range: Range<u64>, run: &Arc<Pages>) {
        let mut pages = self.pages.borrow_mut();
        pages.retain(|_, page| page.run.strong_count() > 0);
        for index in range {
            let at = (index - first) as usize;
            match pages.get_mut(&index) {
                Some(page) if page.run.strong_count() > 0 => {
                    if let (true, Some(old)) = (page.is_missing(), page.run.upgrade()) {
                        old.span()
                            .slice(page.at * PAGE_SIZE, PAGE_SIZE)
                            .copy_from(run.span().slice(at * PAGE_SIZE, PAGE_SIZE));
                        page.stale = false;
                    }
                }
                _ => {
                    pages.insert(index, Page { run: Arc::downgrade(run), at, stale: false, written: None });
                }
            }
        }
    }

    /// Marks pages as mapped for writing.
    fn mark(&self, range: Range<u64>) {
        for (_, page) in self.pages.borrow_mut().range_mut(range) {
            if page.written.is_none()
                && let Some(run) = page.run.upgrade()
            {
                let mut clean = alloc::vec![0; PAGE_SIZE].into_boxed_slice();
                run.span().slice(page.at * PAGE_SIZE, PAGE_SIZE).read(&mut clean);
                page.written = Some(Written { run, clean });
            }
        }
    }

    /// What mappings changed, as offsets and bytes; taken as written.
    fn take_changes(&self, size: u64) -> Vec<(u64, Vec<u8>)> {
        let mut changes: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut now = alloc::vec![0; PAGE_SIZE];
        for (index, page) in self.pages.borrow_mut().iter_mut() {
            let Some(written) = &mut page.written else { continue };
            written.run.span().slice(page.at * PAGE_SIZE, PAGE_SIZE).read(&mut now);
            let start = index * PAGE;
            let len = (size.saturating_sub(start)).min(PAGE) as usize;
            let Some(first) = (0..len).find(|at| now[*at] != written.clean[*at]) else { continue };
            let last = (first..len).rfind(|at| now[*at] != written.clean[*at]).unwrap_or(first);
            written.clean.copy_from_slice(&now);
            let offset = start + first as u64;
            let bytes = &now[first..=last];
            match changes.last_mut() {
                Some((at, more))
                    if *at + more.len() as u64 == offset && more.len() + bytes.len() <= DATA_LEN =>
                {
                    more.extend_from_slice(bytes);
                }
                _ => changes.push((offset, bytes.to_vec())),
            }
        }
        changes
    }

    /// Lets go of pages that nobody maps for writing any more. True: there is none left.
    fn settle(&self) -> bool {
        let mut pages = self.pages.borrow_mut();
        let mut own: BTreeMap<*const Pages, usize> = BTreeMap::new();
        for page in pages.values() {
            if let Some(written) = &page.written {
                *own.entry(Arc::as_ptr(&written.run)).or_default() += 1;
            }
        }
        let mut left = false;
        for page in pages.values_mut() {
            let Some(written) = &page.written else { continue };
            if own.get(&Arc::as_ptr(&written.run)).is_some_and(|own| Arc::strong_count(&written.run) > *own) {
                left = true;
            }
        }
        if !left {
            // The pages go with their last reference; who looks for them finds none.
            for page in pages.values_mut() {
                page.written = None;
            }
        }
        !left
    }

    /// The guest wrote `data` at `at`: so do the pages show it.
    pub(super) fn overwrite(&self, at: u64, data: &[u8]) {
        if self.is_empty() {
            return;
        }
        let end = at + data.len() as u64;
        for (index, page) in self.pages.borrow_mut().range_mut(at / PAGE..end.div_ceil(PAGE)) {
            let (from, to) = ((index * PAGE).max(at), ((index + 1) * PAGE).min(end));
            let bytes = &data[(from - at) as usize..(to - at) as usize];
            let within = (from - index * PAGE) as usize;
            if let Some(run) = page.run.upgrade() {
                run.span().slice(page.at * PAGE_SIZE + within, bytes.len()).write(bytes);
            }
            if let Some(written) = &mut page.written {
                written.clean[within..within + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// The bytes from `from` to `to` are zeros now.
    pub(super) fn clear(&self, from: u64, to: u64) {
        for (index, page) in self.pages.borrow_mut().range_mut(from / PAGE..to.div_ceil(PAGE)) {
            let start = (from.max(index * PAGE) - index * PAGE) as usize;
            let len = (to.min((index + 1) * PAGE) - index * PAGE) as usize - start;
            if let Some(run) = page.run.upgrade() {
                run.span().slice(page.at * PAGE_SIZE + start, len).fill(0);
            }
            if let Some(written) = &mut page.written {
                written.clean[start..start + len].fill(0);
            }
        }
    }

    /// The file has only `size` bytes now, or shows zeros behind them.
    pub(super) fn cut(&self, size: u64) {
        let gone = {
            let mut pages = self.pages.borrow_mut();
            let gone = pages.split_off(&size.div_ceil(PAGE));
            let within = (size % PAGE) as usize;
            if within > 0
                && let Some(last) = pages.get_mut(&(size / PAGE))
            {
                if let Some(run) = last.run.upgrade() {
                    run.span().slice(last.at * PAGE_SIZE + within, PAGE_SIZE - within).fill(0);
                }
                if let Some(written) = &mut last.written {
                    written.clean[within..].fill(0);
                }
            }
            gone
        };
        drop(gone);
    }

    /// All clean pages are to be fetched again before they are mapped again.
    pub(super) fn make_stale(&self, range: Range<u64>) {
        self.pages.borrow_mut().range_mut(range).for_each(|(_, page)| page.stale = true);
    }

    /// The file was opened and is as `seen` says: if others changed it, what is mapped anew shows that.
    pub(super) fn opened(&self, seen: (i64, u64)) {
        if self.seen.replace(seen) != seen && !self.is_empty() {
            self.make_stale(0..u64::MAX);
        }
    }
}

impl RemoteFile {
    /// The page at `index` for a mapping, and up to `most` that follow it. Waits for the server; the caller looks anew at what
    /// it maps. `for_write`: what is written to the pages goes back to the file.
    pub(crate) fn fetch(
        &self,
        of: &Arc<OpenFile>,
        index: u64,
        most: usize,
        for_write: bool,
    ) -> Result<FilePage, Errno> {
        if self.inode().is_directory() {
            return Err(Errno::ENODEV);
        }
        let mapped = &self.inode().remote().ok_or(Errno::EIO)?.mapped;
        // Pages live as long as somebody has them: at first that is this.
        let mut _brought = None;
        if mapped.is_missing(index) {
            _brought = self.bring_in(mapped, index)?;
            if _brought.is_none() {
                return Ok(FilePage::Beyond);
            }
        }
        let Some((pages, at, run)) = mapped.found(index, most.max(1)) else { return Err(Errno::EIO) };
        if for_write {
            mapped.mark(index..index + run as u64);
            if mapped.writer.borrow().is_none() {
                *mapped.writer.borrow_mut() = Some(of.clone());
                WRITTEN.borrow_mut().push(self.inode().clone());
            }
        }
        Ok(FilePage::Memory { pages, index: at, run })
    }

    /// Fetches the page at `index` with missing ones around it. `None`: it is past the end of the file.
    fn bring_in(&self, mapped: &Mapped, index: u64) -> Result<Option<Arc<Pages>>, Errno> {
        let (mut first, mut end) = (index, index + 1);
        while first > index / TOGETHER * TOGETHER && mapped.is_missing(first - 1) {
            first -= 1;
        }
        while end < (index / TOGETHER + 1) * TOGETHER && mapped.is_missing(end) {
            end += 1;
        }
        let size = (end - first) as usize * PAGE_SIZE;
        let ask = ReadIn { fh: self.handle(), offset: first * PAGE, size: size as u32, ..ReadIn::default() };
        let nodeid = self.inode().remote().map_or(0, |remote| remote.nodeid);
        let reply =
            self.inode().client()?.call(Caller::current(), Opcode::Read, nodeid, &[&ask.to_bytes()])?;
        let data = reply.data();
        let len = data.len().min(size);
        let count = len.div_ceil(PAGE_SIZE);
        if first + count as u64 <= index {
            return Ok(None);
        }
        let run = Arc::new(Pages::unzeroed(count).map_err(|_| Errno::ENOMEM)?);
        run.span().copy_from(data.slice(0, len));
        run.span().slice(len, count * PAGE_SIZE - len).fill(0);
        drop(reply);
        mapped.put(first, first..first + count as u64, &run);
        Ok(Some(run))
    }
}

/// Writes back what mappings of the file changed.
pub(crate) fn write_back(inode: &Inode) -> Result<(), Errno> {
    let Some(remote) = inode.remote() else { return Ok(()) };
    let mapped = &remote.mapped;
    let Some(writer) = mapped.writer.borrow().clone() else { return Ok(()) };
    let Some(file) = writer.object.downcast::<RemoteFile>() else { return Ok(()) };
    let mut result = Ok(());
    // Past the end of the file nothing is kept.
    let size = File::stat(file).map(|stat| stat.size);
    match size {
        Ok(size) => {
            for (at, bytes) in mapped.take_changes(size) {
                result = result.and(file.write_at(at, &bytes));
            }
        }
        Err(error) => result = Err(error),
    }
    if mapped.settle() {
        let writer = mapped.writer.borrow_mut().take();
        let gone = {
            let mut all = WRITTEN.borrow_mut();
            all.iter().position(|other| core::ptr::eq(&**other, inode)).map(|at| all.swap_remove(at))
        };
        drop(gone);
        drop(writer);
    }
    result
}

/// Writes back what any mapping changed.
pub(crate) fn write_back_all() {
    let all: Vec<Arc<Inode>> = WRITTEN.borrow().clone();
    for inode in all {
        // Who wants to know asks by fsync(2) or msync(2).
        let _ = write_back(&inode);
    }
}
