//! How much of a space is in memory: VmRSS, VmHWM, smaps, ru_maxrss.
//!
//! In the kvm tender page tables tell. In the process tender the host is asked for memory that has no file behind it; of
//! private mappings of files all that is mapped counts, since what of them was touched only the host knows. Nobody counts
//! all the time, so the most there ever was is what was found when somebody looked, when much was about to be given back, and
//! at the end.

use super::Space;
use super::map::{Area, Backing};
use crate::task::Task;
use crate::time::monotonic_ns;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use husk_machine::{cpu, space};

/// Pages that one request asks for.
const AT_ONCE: usize = 1 << 14;
/// Of one area no more is looked at: a reservation that is larger is hardly used beyond.
const LOOKED_AT: usize = 1 << 36;
/// What others than the process itself are told may be this old.
const FRESH_NS: u64 = 20_000_000;
/// To give back less than this is no occasion to count.
const MUCH: usize = 1 << 20;
/// Counting for the sake of the maximum takes at most one part in so many of the time.
const SHARE: u64 = 100;

/// Bytes in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    pub anonymous: usize,
    pub file: usize,
    pub shared: usize,
}

impl Resident {
    pub fn total(&self) -> usize {
        self.anonymous + self.file + self.shared
    }
}

/// What is known of a space.
#[derive(Default)]
pub struct Counts {
    sums: KCell<Resident>,
    /// Bytes of areas, by where they start.
    areas: KCell<BTreeMap<usize, usize>>,
    /// When it was counted, monotonic ns; 0: never.
    at: KCell<u64>,
    /// When it may be counted next for the maximum.
    next: KCell<u64>,
    most: KCell<usize>,
    /// The most bytes that were ever mapped.
    most_mapped: KCell<usize>,
}

impl Counts {
    /// What is known of a space in which `mapped` bytes are mapped.
    pub(super) fn of_copy(mapped: usize) -> Self {
        Self { most_mapped: KCell::new(mapped), ..Self::default() }
    }
}

/// How the resident part of an area is found.
#[derive(Clone, Copy)]
enum How {
    Known(usize),
    Ask,
}

impl Space {
    fn how(&self, start: usize, area: &Area) -> How {
        match &area.backing {
            _ if !area.touched => How::Known(0),
            Backing::File { .. } if cpu::is_process_tender() => How::Known(if area.lazy {
                self.held.borrow().range(start..area.end).count() * PAGE_SIZE
            } else {
                area.end - start
            }),
            _ => How::Ask,
        }
    }

    /// Counts what is in memory. The space must be the current task's.
    pub(super) fn count_resident(&self) {
        let areas: Vec<(Range<usize>, Kind, How)> = {
            let map = self.map.borrow();
            map.iter().map(|(start, area)| (start..area.end, Kind::of(area), self.how(start, area))).collect()
        };
        let mut sums = Resident::default();
        let mut known = BTreeMap::new();
        for (range, kind, how) in areas {
            let start = range.start;
            let bytes = match how {
                How::Known(bytes) => bytes,
                How::Ask => pages_present(range) * PAGE_SIZE,
            };
            *match kind {
                Kind::Anonymous => &mut sums.anonymous,
                Kind::File => &mut sums.file,
                Kind::Shared => &mut sums.shared,
            } += bytes;
            known.insert(start, bytes);
        }
        let counts = &self.counts;
        counts.sums.set(sums);
        drop(counts.areas.replace(known));
        counts.at.set(monotonic_ns());
        counts.most.set(counts.most.get().max(sums.total()));
    }

    /// What was counted last.
    pub fn resident(&self) -> Resident {
        self.counts.sums.get()
    }

    /// What was counted last of the area that starts at `start`, in bytes.
    pub fn resident_of(&self, start: usize) -> usize {
        self.counts.areas.borrow().get(&start).copied().unwrap_or(0)
    }

    /// The most bytes that were ever found in memory.
    pub fn most_resident(&self) -> usize {
        self.counts.most.get()
    }

    /// The most bytes that were ever mapped.
    pub fn most_mapped(&self) -> usize {
        self.counts.most_mapped.get()
    }

    /// `len` bytes were mapped where `before` were, some of which they may have replaced.
    pub(super) fn note_mapped(&self, before: usize, len: usize) {
        let most = &self.counts.most_mapped;
        if before + len > most.get() {
            most.set(most.get().max(self.total()));
        }
    }

    /// `len` bytes are about to be given back: what there is now may be the most there ever was.
    pub(super) fn note_most(&self, len: usize) {
        if len >= MUCH {
            self.count_if_due();
        }
    }

    /// Counts anew unless that was done so recently that it would take too much of the time.
    pub fn count_if_due(&self) {
        let start = monotonic_ns();
        if start >= self.counts.next.get() {
            self.count_resident();
            let spent = monotonic_ns().saturating_sub(start);
            self.counts.next.set(start + spent * SHARE);
        }
    }

    /// A new program begins: nothing is known of it.
    pub(super) fn forget_counts(&self) {
        drop(self.counts.areas.take());
        self.counts.sums.take();
        self.counts.at.set(0);
        self.counts.next.set(0);
        self.counts.most.set(0);
        self.counts.most_mapped.set(0);
    }

    /// Which pages of memory without a file behind it are there, for mincore(2): bit 0 of a byte for each. All others are.
    pub fn presence(&self, range: Range<usize>, out: &mut [u8]) {
        out.fill(1);
        let parts: Vec<Range<usize>> = {
            let map = self.map.borrow();
            let anonymous = |area: &Area| matches!(area.backing, Backing::Anonymous);
            let parts = map.overlapping(range.clone()).filter(|(_, area)| anonymous(area));
            parts.map(|(start, area)| start.max(range.start)..area.end.min(range.end)).collect()
        };
        for part in parts {
            let (from, to) = ((part.start - range.start) / PAGE_SIZE, (part.end - range.start) / PAGE_SIZE);
            // The host refuses only what is not mapped, and that is not there.
            if space::presence(part.start, &mut out[from..to]).is_err() {
                out[from..to].fill(0);
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Anonymous,
    File,
    Shared,
}

impl Kind {
    fn of(area: &Area) -> Self {
        match &area.backing {
            Backing::Anonymous => Self::Anonymous,
            Backing::File { .. } => Self::File,
            Backing::Shared { .. } => Self::Shared,
        }
    }
}

fn pages_present(range: Range<usize>) -> usize {
    let end = range.end.min(range.start.saturating_add(LOOKED_AT));
    let mut told = vec![0; ((end - range.start) / PAGE_SIZE).min(AT_ONCE)];
    let mut count = 0;
    for at in (range.start..end).step_by(AT_ONCE * PAGE_SIZE) {
        let told = &mut told[..((end - at) / PAGE_SIZE).min(AT_ONCE)];
        if space::presence(at, told).is_ok() {
            count += told.iter().filter(|byte| **byte & 1 != 0).count();
        }
    }
    count
}

/// Sees to it that what is known of the memory of `task` is fresh: its own for itself, a moment old for others, who have
/// to ask it.
pub fn refresh(task: &Arc<Task>) {
    let space = task.space();
    let age = monotonic_ns().saturating_sub(space.counts.at.get());
    if Arc::ptr_eq(&space, &crate::task::current().space()) {
        space.count_resident();
    } else if space.counts.at.get() == 0 || age > FRESH_NS {
        super::remote::count(task);
    }
}
