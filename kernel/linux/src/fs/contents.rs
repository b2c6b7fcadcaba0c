//! Contents of a regular file in memory: a sparse map of page runs over, perhaps, bytes of the root image.
//!
//! What no run covers comes from the image as far as `valid` reaches, and reads as zeros beyond. Bytes of a run past the
//! end of the file are zero, so growing shows zeros. A run may have room for more pages behind the ones that count; that
//! room holds anything and is zeroed when it is taken. Bytes move to and from users with no borrow held, so every
//! function looks anew after a copy.

use super::image::ImageData;
use super::mount::FileSystem;
use crate::errno::{Errno, SysResult};
use crate::file::FilePage;
use crate::file::io::{Sink, Source};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Range;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use husk_machine::page::Pages;
use husk_machine::span::Span;

const PAGE: u64 = PAGE_SIZE as u64;

/// Most pages of one run: what a truncation in its middle may leave unused.
const RUN_MAX: usize = 64;
/// Pages that a shared mapping brings in at once where the file has a hole.
const FAULT_AROUND: u64 = 16;

/// The largest size of a file.
pub const SIZE_MAX: u64 = i64::MAX as u64 & !(PAGE - 1);

/// `count` pages of `pages` from `start` on.
struct Run {
    pages: Arc<Pages>,
    start: usize,
    count: usize,
}

#[derive(Default)]
struct Data {
    size: u64,
    image: ImageData,
    /// Bytes of the image that are still the file's.
    valid: u64,
    /// By the number of their first page; they do not overlap.
    runs: BTreeMap<u64, Run>,
    /// Pages in all runs.
    resident: u64,
}

/// Where the bytes at some offset are, and how many follow each other there.
enum Piece {
    Memory(Arc<Pages>, usize, usize),
    Image(&'static [u8]),
    Zeros(usize),
}

impl Data {
    fn run_at(&self, page: u64) -> Option<(u64, &Run)> {
        let (first, run) = self.runs.range(..=page).next_back()?;
        (page < first + run.count as u64).then_some((*first, run))
    }

    /// First page of the first run after `page`.
    fn next_run(&self, page: u64) -> u64 {
        self.runs.range(page + 1..).next().map_or(u64::MAX / PAGE, |(first, _)| *first)
    }

    /// Pages that the image still gives.
    fn image_pages(&self) -> u64 {
        self.valid.div_ceil(PAGE)
    }

    /// Bytes of the image from `at`, at most `len`: or how many zeros there are instead, none where it does not reach.
    fn image_bytes(&self, at: u64, len: usize) -> Result<&'static [u8], usize> {
        let len = len.min(usize::try_from(self.valid.saturating_sub(at)).unwrap_or(usize::MAX));
        if len == 0 { Err(0) } else { self.image.bytes(at, len) }
    }

    fn piece(&self, at: u64, len: usize) -> Piece {
        let page = at / PAGE;
        if let Some((first, run)) = self.run_at(page) {
            let offset = (at - first * PAGE) as usize;
            let len = len.min(run.count * PAGE_SIZE - offset);
            return Piece::Memory(run.pages.clone(), run.start * PAGE_SIZE + offset, len);
        }
        let gap = (self.next_run(page) * PAGE - at).min(len as u64) as usize;
        match self.image_bytes(at, gap) {
            Ok(bytes) => Piece::Image(bytes),
            Err(0) => Piece::Zeros(gap),
            Err(zeros) => Piece::Zeros(zeros),
        }
    }

    /// Fills `span`, which will stand at byte `at`, with what the image gives there.
    fn copy_image(&self, at: u64, span: Span<'_>) {
        let mut done = 0;
        while done < span.len() {
            match self.image_bytes(at + done as u64, span.len() - done) {
                Ok(bytes) => {
                    span.slice(done, bytes.len()).write(bytes);
                    done += bytes.len();
                }
                Err(zeros) => {
                    let zeros = if zeros == 0 { span.len() - done } else { zeros };
                    span.slice(done, zeros).fill(0);
                    done += zeros;
                }
            }
        }
    }

    /// The page as it lies in the image, if it starts on a page there and is whole, or is the file's last and so
    /// followed by zeros.
    fn image_page(&self, index: u64) -> Option<FilePage> {
        let most = (self.next_run(index) - index).saturating_mul(PAGE);
        let bytes = self.image_bytes(index * PAGE, usize::try_from(most).unwrap_or(usize::MAX)).ok()?;
        let offset = self.image.offset_of(bytes);
        let at_end = self.valid == self.image.size() && index * PAGE + bytes.len() as u64 == self.valid;
        let run = if at_end { bytes.len().div_ceil(PAGE_SIZE) } else { bytes.len() / PAGE_SIZE };
        (offset.is_multiple_of(PAGE_SIZE) && run > 0).then_some(FilePage::Image { offset, run })
    }

    fn insert(&mut self, first: u64, pages: Arc<Pages>, start: usize, count: usize) {
        self.resident += count as u64;
        self.runs.insert(first, Run { pages, start, count });
    }

    /// Takes the pages `from..to` out of the runs; returns how many there were. What held them is put into `dropped`.
    fn remove(&mut self, from: u64, to: u64) -> u64 {
        let mut removed = 0;
        while let Some((first, run)) = self.runs.range(..to).next_back() {
            let (first, end) = (*first, *first + run.count as u64);
            if end <= from {
                break;
            }
            let Some(run) = self.runs.remove(&first) else { break };
            if first < from {
                let count = (from - first) as usize;
                self.runs.insert(first, Run { pages: run.pages.clone(), start: run.start, count });
            }
            if end > to {
                let skip = (to - first) as usize;
                let (start, count) = (run.start + skip, run.count - skip);
                self.runs.insert(to, Run { pages: run.pages, start, count });
            }
            removed += end.min(to) - first.max(from);
        }
        self.resident -= removed;
        removed
    }

    /// Writes zeros over the bytes `from..to` where runs cover them.
    fn zero(&self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            match self.piece(at, (to - at) as usize) {
                Piece::Memory(pages, offset, len) => {
                    pages.span().slice(offset, len).fill(0);
                    at += len as u64;
                }
                Piece::Image(bytes) => at += bytes.len() as u64,
                Piece::Zeros(len) => at += len as u64,
            }
        }
    }
}

/// `count` pages in one run or, when memory is in pieces, fewer.
fn allocate(fs: &FileSystem, count: usize) -> Result<Pages, Errno> {
    let mut count = count.min(RUN_MAX);
    loop {
        match fs.charge(count as u64).and_then(|()| {
            Pages::unzeroed(count).map_err(|_| {
                fs.uncharge(count as u64);
                Errno::ENOSPC
            })
        }) {
            Ok(pages) => return Ok(pages),
            Err(error) if count == 1 => return Err(error),
            Err(_) => count /= 2,
        }
    }
}

/// The bytes of a regular file.
#[derive(Default)]
pub struct Contents {
    data: KCell<Data>,
}

impl Contents {
    /// A file whose bytes are in the root image.
    pub fn of_image(image: ImageData) -> Self {
        let size = image.size();
        Self { data: KCell::new(Data { size, image, valid: size, ..Data::default() }) }
    }

    pub fn size(&self) -> u64 {
        self.data.borrow().size
    }

    /// Whether these may be other bytes than the image's.
    pub fn is_changed(&self) -> bool {
        let data = self.data.borrow();
        !data.runs.is_empty() || data.size != data.image.size() || data.valid != data.size
    }

    /// The size in bytes and how many pages there are for it, holes not counted.
    pub fn size_and_pages(&self) -> (u64, u64) {
        let data = self.data.borrow();
        let image = data.image_pages();
        let pages = if image == 0 || data.runs.is_empty() {
            data.resident + image
        } else {
            let over: u64 = data
                .runs
                .range(..image)
                .map(|(first, run)| (*first + run.count as u64).min(image) - first)
                .sum();
            data.resident + image - over
        };
        (data.size, pages)
    }

    /// Reads from `at` to the end of the file or of `sink`.
    pub fn read(&self, mut at: u64, sink: &mut Sink<'_>) -> SysResult {
        let mut left = sink.left();
        let mut done = 0;
        while left > 0 {
            let piece = {
                let data = self.data.borrow();
                if at >= data.size {
                    break;
                }
                data.piece(at, left.min(usize::try_from(data.size - at).unwrap_or(usize::MAX)))
            };
            let (put, len) = match piece {
                Piece::Memory(pages, offset, len) => (sink.put_span(pages.span().slice(offset, len)), len),
                Piece::Image(bytes) => (sink.put(bytes), bytes.len()),
                Piece::Zeros(len) => (sink.put_zeros(len), len),
            };
            match put {
                Ok(put) => {
                    done += put;
                    at += put as u64;
                    left -= put;
                    if put < len {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes at `at`, growing the file as needed. ENOSPC and EFBIG as write(2) has them.
    pub fn write(&self, fs: &FileSystem, mut at: u64, source: &mut Source<'_>) -> SysResult {
        let mut left = source.left();
        if left > 0 && at >= SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        left = left.min((SIZE_MAX - at) as usize);
        let mut done = 0;
        while left > 0 {
            match self.write_piece(fs, at, left, source) {
                Ok((took, wanted)) => {
                    done += took;
                    at += took as u64;
                    left -= took;
                    if took < wanted {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Writes up to the end of one run: bytes taken, and how many were wanted.
    fn write_piece(
        &self,
        fs: &FileSystem,
        at: u64,
        left: usize,
        source: &mut Source<'_>,
    ) -> Result<(usize, usize), Errno> {
        let page = at / PAGE;
        let within = (at % PAGE) as usize;
        let mut data = self.data.borrow_mut();
        let wanted_pages = (within + left).div_ceil(PAGE_SIZE);
        if data.run_at(page).is_none() {
            extend_previous(fs, &mut data, page, wanted_pages)?;
        }
        if let Piece::Memory(pages, offset, len) = data.piece(at, left) {
            drop(data);
            let took = source.take_span(pages.span().slice(offset, len))?;
            self.grow(at + took as u64);
            return Ok((took, len));
        }
        // A new run, which nobody sees before it is filled.
        let gap = usize::try_from(data.next_run(page) - page).unwrap_or(usize::MAX);
        let appending = at >= data.size && gap > RUN_MAX && page >= data.image_pages();
        let spare = if appending { (data.size / PAGE / 4) as usize } else { 0 };
        let run = Arc::new(allocate(fs, wanted_pages.max(spare).min(gap))?);
        let count = run.count().min(wanted_pages);
        fs.uncharge((run.count() - count) as u64);
        let len = left.min(count * PAGE_SIZE - within);
        if page < data.image_pages() {
            data.copy_image(page * PAGE, run.span());
        } else {
            run.span().slice(0, within).fill(0);
            run.span().slice(within + len, count * PAGE_SIZE - within - len).fill(0);
        }
        drop(data);
        let took = match source.take_span(run.span().slice(within, len)) {
            Ok(took) => took,
            Err(error) => {
                fs.uncharge(count as u64);
                return Err(error);
            }
        };
        let mut data = self.data.borrow_mut();
        if took < len {
            data.copy_image(at + took as u64, run.span().slice(within + took, len - took));
        }
        if data.run_at(page).is_none() && data.next_run(page) >= page + count as u64 {
            data.insert(page, run, 0, count);
        } else {
            // Others wrote here while the copy slept: theirs is the page, ours are the newer bytes.
            fs.uncharge(count as u64);
            let mut copied = 0;
            while copied < took {
                let Piece::Memory(pages, offset, len) = data.piece(at + copied as u64, took - copied) else {
                    break;
                };
                pages.span().slice(offset, len).copy_from(run.span().slice(within + copied, len));
                copied += len;
            }
            data.size = data.size.max(at + copied as u64);
            return Ok((copied, len));
        }
        data.size = data.size.max(at + took as u64);
        Ok((took, len))
    }

    fn grow(&self, size: u64) {
        let mut data = self.data.borrow_mut();
        data.size = data.size.max(size);
    }

    /// Sets the size: cuts off, or shows zeros.
    pub fn truncate(&self, fs: &FileSystem, size: u64) {
        let dropped;
        {
            let mut data = self.data.borrow_mut();
            if size < data.size {
                dropped = data.remove(size.div_ceil(PAGE), u64::MAX / PAGE);
                data.valid = data.valid.min(size);
                data.zero(size, size.next_multiple_of(PAGE));
                if let Some(mut last) = data.runs.last_entry() {
                    give_back_room(last.get_mut());
                }
            } else {
                dropped = 0;
            }
            data.size = size;
        }
        fs.uncharge(dropped);
    }

    /// Makes `from..to` read as zeros and gives its whole pages back (FALLOC_FL_PUNCH_HOLE).
    pub fn punch(&self, fs: &FileSystem, from: u64, to: u64) -> Result<(), Errno> {
        if from >= to {
            return Ok(());
        }
        // The image cannot have holes: what it gives in the range becomes pages of our own first.
        let image_end = self.data.borrow().image_pages();
        for page in from / PAGE..to.div_ceil(PAGE).min(image_end) {
            self.own_page(fs, page, 1)?;
        }
        let mut data = self.data.borrow_mut();
        data.zero(from, to);
        let first = from.div_ceil(PAGE).max(image_end);
        let removed = if first < to / PAGE { data.remove(first, to / PAGE) } else { 0 };
        drop(data);
        fs.uncharge(removed);
        Ok(())
    }

    /// Makes sure that the bytes `from..to` have pages (fallocate(2)); does not change the size.
    pub fn reserve(&self, fs: &FileSystem, from: u64, to: u64) -> Result<(), Errno> {
        let mut page = from / PAGE;
        let end = to.div_ceil(PAGE);
        while page < end {
            let (image, run, next) = {
                let data = self.data.borrow();
                let run = data.run_at(page).map(|(first, run)| first + run.count as u64);
                (data.image_pages(), run, data.next_run(page))
            };
            page = match run {
                Some(run_end) => run_end,
                None if page < image => page + 1,
                None => page + self.own_page(fs, page, end.min(next) - page)? as u64,
            };
        }
        Ok(())
    }

    /// Puts pages of our own at `page` and, if they are holes too, up to `count` from there; returns how many.
    fn own_page(&self, fs: &FileSystem, page: u64, count: u64) -> Result<usize, Errno> {
        let mut data = self.data.borrow_mut();
        if data.run_at(page).is_some() {
            return Ok(1);
        }
        let count = count.min(data.next_run(page) - page);
        let run = Arc::new(allocate(fs, usize::try_from(count).unwrap_or(RUN_MAX))?);
        let count = run.count();
        data.copy_image(page * PAGE, run.span());
        data.insert(page, run, 0, count);
        Ok(count)
    }

    /// The page at `index` for a mapping.
    pub fn page(&self, fs: &FileSystem, index: u64, for_write: bool) -> Result<FilePage, Errno> {
        {
            let data = self.data.borrow();
            if index >= data.size.div_ceil(PAGE) {
                return Ok(FilePage::Beyond);
            }
            if let Some((first, run)) = data.run_at(index) {
                let skip = (index - first) as usize;
                return Ok(FilePage::Memory {
                    pages: run.pages.clone(),
                    index: run.start + skip,
                    run: run.count - skip,
                });
            }
            if !for_write {
                if index >= data.image_pages() {
                    return Ok(FilePage::Zero);
                }
                if let Some(page) = data.image_page(index) {
                    return Ok(page);
                }
            }
        }
        let (size, image) = {
            let data = self.data.borrow();
            (data.size.div_ceil(PAGE), data.image_pages())
        };
        let around = if index < image { 1 } else { FAULT_AROUND.min(size - index) };
        self.own_page(fs, index, around)?;
        self.page(fs, index, false)
    }

    /// The pages of the `len` bytes from `at` on, as far as the image may still give some of them.
    pub fn image_pages_at(&self, at: u64, len: usize) -> Range<u64> {
        let data = self.data.borrow();
        at / PAGE..at.saturating_add(len as u64).div_ceil(PAGE).min(data.image_pages())
    }

    /// SEEK_DATA: the first byte at or after `at` that is not in a hole.
    pub fn next_data(&self, at: u64) -> Option<u64> {
        let data = self.data.borrow();
        if at >= data.size {
            return None;
        }
        if at < data.valid || data.run_at(at / PAGE).is_some() {
            return Some(at);
        }
        let next = data.next_run(at / PAGE).saturating_mul(PAGE);
        (next < data.size).then_some(next)
    }

    /// SEEK_HOLE: the first byte at or after `at` that is in a hole; the end of the file is one.
    pub fn next_hole(&self, mut at: u64) -> Option<u64> {
        let data = self.data.borrow();
        if at >= data.size {
            return None;
        }
        while at < data.size {
            if let Some((first, run)) = data.run_at(at / PAGE) {
                at = (first + run.count as u64) * PAGE;
            } else if at < data.valid {
                at = (data.next_run(at / PAGE) * PAGE).min(data.valid.next_multiple_of(PAGE));
            } else {
                return Some(at);
            }
        }
        Some(data.size)
    }

    /// The bytes from `at` on as far as they lie together in the image, at most `len`: to pass them on without a copy.
    pub fn image_slice(&self, at: u64, len: usize) -> &'static [u8] {
        let data = self.data.borrow();
        if data.run_at(at / PAGE).is_some() {
            return &[];
        }
        let gap = (data.next_run(at / PAGE) * PAGE - at).min(len as u64) as usize;
        data.image_bytes(at, gap).unwrap_or_default()
    }

    /// Gives all pages back: the inode is going.
    pub(super) fn clear(&self, fs: &FileSystem) {
        let data = self.data.take();
        fs.uncharge(data.resident);
    }
}

/// Takes room behind the run that ends at `page` into use, if there is any.
fn extend_previous(fs: &FileSystem, data: &mut Data, page: u64, wanted: usize) -> Result<(), Errno> {
    if page < data.image_pages() {
        return Ok(());
    }
    let gap = usize::try_from(data.next_run(page) - page).unwrap_or(usize::MAX);
    let Some((first, run)) = data.runs.range_mut(..page).next_back() else { return Ok(()) };
    let end = run.start + run.count;
    let room = run.pages.count() - end;
    // Another run may stand on the same pages behind this one (after a punched hole): then the room is not free.
    if first + run.count as u64 != page || room == 0 || Arc::strong_count(&run.pages) > 1 {
        return Ok(());
    }
    let count = room.min(wanted).min(gap);
    fs.charge(count as u64)?;
    run.pages.span().slice(end * PAGE_SIZE, count * PAGE_SIZE).fill(0);
    run.count += count;
    data.resident += count as u64;
    Ok(())
}

/// Moves what is left of a run to pages of its own when most of the run is unused and nobody maps it.
fn give_back_room(run: &mut Run) {
    if run.count * 4 > run.pages.count() || Arc::strong_count(&run.pages) > 1 {
        return;
    }
    if let Ok(pages) = Pages::unzeroed(run.count) {
        pages.span().copy_from(run.pages.span().slice(run.start * PAGE_SIZE, run.count * PAGE_SIZE));
        *run = Run { pages: Arc::new(pages), start: 0, count: run.count };
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, PAGE_SIZE};
    use crate::file::FilePage;
    use crate::file::io::{Sink, Source};
    use crate::fs::image::ImageData;
    use crate::fs::mount::FileSystem;
    use alloc::sync::Arc;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, usize, u8),
        Truncate(usize),
        Punch(usize, usize),
        Reserve(usize, usize),
        Map(usize, bool),
    }

    const REACH: usize = 40 * PAGE_SIZE;

    fn step() -> impl Strategy<Value = Step> {
        let at = prop_oneof![0..REACH, (0..40usize).prop_map(|page| page * PAGE_SIZE)];
        let len =
            prop_oneof![1..200usize, 1..12 * PAGE_SIZE, (1..8usize).prop_map(|pages| pages * PAGE_SIZE)];
        prop_oneof![
            4 => (at.clone(), len.clone(), 1..=255u8).prop_map(|(at, len, byte)| Step::Write(at, len, byte)),
            2 => at.clone().prop_map(Step::Truncate),
            1 => (at.clone(), len.clone()).prop_map(|(at, len)| Step::Punch(at, len)),
            1 => (at.clone(), len).prop_map(|(at, len)| Step::Reserve(at, len)),
            2 => (at, any::<bool>()).prop_map(|(at, write)| Step::Map(at / PAGE_SIZE, write)),
        ]
    }

    fn check(contents: &Contents, model: &[u8]) {
        assert_eq!(contents.size(), model.len() as u64);
        let mut bytes = vec![0xee; model.len() + 10];
        assert_eq!(contents.read(0, &mut Sink::Kernel(&mut bytes)), Ok(model.len()));
        assert!(bytes[..model.len()] == *model, "contents differ from the model");
    }

    fn run(contents: &Contents, fs: &Arc<FileSystem>, mut model: Vec<u8>, steps: Vec<Step>, image: &[u8]) {
        for step in steps {
            match step {
                Step::Write(at, len, byte) => {
                    let data = vec![byte; len];
                    assert_eq!(contents.write(fs, at as u64, &mut Source::Kernel(&data)), Ok(len));
                    model.resize(model.len().max(at + len), 0);
                    model[at..at + len].copy_from_slice(&data);
                }
                Step::Truncate(size) => {
                    contents.truncate(fs, size as u64);
                    model.resize(size, 0);
                }
                Step::Punch(at, len) => {
                    contents.punch(fs, at as u64, (at + len) as u64).unwrap();
                    let end = model.len().min(at + len);
                    model[at.min(end)..end].fill(0);
                }
                Step::Reserve(at, len) => contents.reserve(fs, at as u64, (at + len) as u64).unwrap(),
                Step::Map(page, write) => match contents.page(fs, page as u64, write).unwrap() {
                    FilePage::Beyond => assert!(page >= model.len().div_ceil(PAGE_SIZE)),
                    FilePage::Zero => {
                        let end = model.len().min((page + 1) * PAGE_SIZE);
                        assert!(!write && model[page * PAGE_SIZE..end].iter().all(|byte| *byte == 0));
                    }
                    FilePage::Image { offset, run } => {
                        assert!(!write && offset % PAGE_SIZE == 0);
                        let bytes = &image[offset..offset + run * PAGE_SIZE];
                        let end = model.len().min((page + run) * PAGE_SIZE);
                        assert!(bytes[..end - page * PAGE_SIZE] == model[page * PAGE_SIZE..end]);
                        assert!(bytes[end - page * PAGE_SIZE..].iter().all(|byte| *byte == 0));
                    }
                    FilePage::Memory { pages, index, run } => {
                        assert!(run >= 1 && index + run <= pages.count());
                        let mut bytes = vec![0; PAGE_SIZE];
                        pages.span().slice(index * PAGE_SIZE, PAGE_SIZE).read(&mut bytes);
                        let end = model.len().min((page + 1) * PAGE_SIZE);
                        assert!(bytes[..end - page * PAGE_SIZE] == model[page * PAGE_SIZE..end]);
                        assert!(bytes[end - page * PAGE_SIZE..].iter().all(|byte| *byte == 0));
                    }
                },
            }
            check(contents, &model);
        }
        contents.clear(fs);
        assert_eq!(fs.usage().0, 0, "all pages are given back");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn memory_files_agree_with_a_vector(steps in prop::collection::vec(step(), 1..25)) {
            let fs = FileSystem::new("tmpfs", 0, None, None);
            run(&Contents::default(), &fs, Vec::new(), steps, &[]);
        }

        #[test]
        fn image_files_agree_with_a_vector(
            len in 0..6 * PAGE_SIZE,
            steps in prop::collection::vec(step(), 1..25),
        ) {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8 + 1).collect();
            let image = crate::fs::tests::image(&[("f", &bytes)]);
            let found = image.lookup(&image.inode(image.root()).unwrap(), b"f").unwrap().unwrap();
            let inode = image.inode(found.nid).unwrap();
            let fs = FileSystem::new("tmpfs", 0, None, None);
            let contents = Contents::of_image(ImageData::new(image, &inode).unwrap());
            run(&contents, &fs, bytes, steps, image.bytes());
        }
    }

    #[test]
    fn holes_and_data_are_found() {
        let fs = FileSystem::new("tmpfs", 0, None, None);
        let contents = Contents::default();
        let page = PAGE_SIZE as u64;
        contents.write(&fs, 4 * page, &mut Source::Kernel(b"x")).unwrap();
        contents.truncate(&fs, 10 * page);
        assert_eq!((contents.next_data(0), contents.next_hole(0)), (Some(4 * page), Some(0)));
        assert_eq!(
            (contents.next_data(4 * page + 9), contents.next_hole(4 * page)),
            (Some(4 * page + 9), Some(5 * page))
        );
        assert_eq!((contents.next_data(5 * page), contents.next_hole(10 * page)), (None, None));
        contents.clear(&fs);
    }

    #[test]
    fn a_full_file_system_takes_what_fits() {
        let fs = FileSystem::new("tmpfs", 0, None, Some(4));
        let contents = Contents::default();
        let data = vec![1; 10 * PAGE_SIZE];
        assert_eq!(contents.write(&fs, 0, &mut Source::Kernel(&data)), Ok(4 * PAGE_SIZE));
        let more = contents.write(&fs, 4 * PAGE_SIZE as u64, &mut Source::Kernel(&data));
        assert_eq!(more, Err(crate::errno::Errno::ENOSPC));
        contents.clear(&fs);
    }
}
