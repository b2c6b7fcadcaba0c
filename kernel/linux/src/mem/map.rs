//! The memory map: which ranges of the address space are in use, with what behind them.
//!
//! Areas never overlap and are kept apart by their start. Neighbours that could be one area are joined, so that
//! /proc/PID/maps stays readable and lookups short.

use crate::file::OpenFile;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::page::Pages;

/// `Area::flags`: MADV_DONTFORK, a forked child does not get it.
pub const DONT_FORK: u32 = 1;
/// `Area::flags`: MADV_WIPEONFORK, a forked child gets zeros.
pub const WIPE_ON_FORK: u32 = 2;
pub const FORK_FLAGS: u32 = DONT_FORK | WIPE_ON_FORK;
/// `Area::flags`: MAP_GROWSDOWN.
pub const GROWS_DOWN: u32 = 4;

/// What lies behind an area.
#[derive(Clone)]
pub enum Backing {
    /// Private zero pages.
    Anonymous,
    /// Pages of the arena, shared with children: `MAP_SHARED | MAP_ANONYMOUS`, System V segments. The area starts `offset`
    /// bytes into the run.
    Shared { pages: Arc<Pages>, offset: usize },
    /// A file from byte `offset` on.
    File { file: Arc<OpenFile>, offset: u64 },
}

/// One range with the same backing and protection.
#[derive(Clone)]
pub struct Area {
    pub end: usize,
    /// PROT_* bits.
    pub protection: u32,
    /// PROT_* bits that mprotect(2) may give.
    pub may: u32,
    /// Writes are seen by others.
    pub shared: bool,
    /// It could be written or read at some time, and so may hold more than zeros.
    pub touched: bool,
    /// File pages are brought in by faults; until then nothing is mapped.
    pub lazy: bool,
    /// See the constants.
    pub flags: u32,
    pub name: Name,
    pub backing: Backing,
}

/// What /proc/PID/maps calls an area without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    None,
    Heap,
    Stack,
    Vdso,
    /// Pages the kernel put there for patched call sites.
    Gate,
}

impl Area {
    /// The part of the area from `by` bytes on keeps its place in the backing.
    fn advance(&mut self, by: usize) {
        match &mut self.backing {
            Backing::Anonymous => {}
            Backing::Shared { offset, .. } => *offset += by,
            Backing::File { offset, .. } => *offset += by as u64,
        }
    }

    fn continues(&self, start: usize, next: &Area) -> bool {
        let same_backing = match (&self.backing, &next.backing) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::Shared { pages: a, offset: at }, Backing::Shared { pages: b, offset: bt }) => {
                Arc::ptr_eq(a, b) && at + (self.end - start) == *bt
            }
            (Backing::File { file: a, offset: at }, Backing::File { file: b, offset: bt }) => {
                Arc::ptr_eq(a, b) && at + (self.end - start) as u64 == *bt
            }
            _ => false,
        };
        same_backing
            && self.protection == next.protection
            && self.may == next.may
            && self.shared == next.shared
            && self.touched == next.touched
            && self.lazy == next.lazy
            && self.flags == next.flags
            && self.name == next.name
    }
}

/// All areas of an address space.
#[derive(Clone, Default)]
pub struct Map {
    areas: BTreeMap<usize, Area>,
    /// Bytes of all areas.
    total: usize,
}

impl Map {
    /// The area that `address` lies in, with its start.
    pub fn find(&self, address: usize) -> Option<(usize, &Area)> {
        let (start, area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some((*start, area))
    }

    /// The first area that begins at or above `address`.
    pub fn first_from(&self, address: usize) -> Option<(usize, &Area)> {
        self.areas.range(address..).next().map(|(start, area)| (*start, area))
    }

    /// Areas that touch `range`, in order.
    pub fn overlapping(&self, range: Range<usize>) -> impl Iterator<Item = (usize, &Area)> {
        let first = self.find(range.start).map_or(range.start, |(start, _)| start);
        self.areas.range(first..range.end.max(first)).map(|(start, area)| (*start, area))
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &Area)> {
        self.areas.iter().map(|(start, area)| (*start, area))
    }

    pub fn is_free(&self, range: Range<usize>) -> bool {
        self.overlapping(range).next().is_none()
    }

    /// Whether areas cover every byte of `range`.
    pub fn covers(&self, range: Range<usize>) -> bool {
        let mut at = range.start;
        for (start, area) in self.overlapping(range.clone()) {
            if start > at {
                return false;
            }
            at = area.end;
        }
        at >= range.end
    }

    /// Bytes of all areas.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The highest free range of `len` bytes that ends at or below `top` and starts at or above `bottom`.
    pub fn find_free(&self, len: usize, bottom: usize, top: usize) -> Option<usize> {
        let mut end = top;
        for (start, area) in self.areas.range(..top).rev() {
            if area.end <= end && end - area.end >= len {
                break;
            }
            end = end.min(*start);
            if end < bottom + len {
                return None;
            }
        }
        let start = end.checked_sub(len)?;
        (start >= bottom).then_some(start)
    }

    /// Cuts areas so that none crosses `at`.
    fn split(&mut self, at: usize) {
        if let Some((&start, area)) = self.areas.range_mut(..at).next_back()
            && area.end > at
        {
            let mut upper = area.clone();
            area.end = at;
            upper.advance(at - start);
            self.areas.insert(at, upper);
        }
    }

    /// Removes what lies in `range` and returns it.
    pub fn remove(&mut self, range: Range<usize>) -> Vec<(usize, Area)> {
        self.split(range.start);
        self.split(range.end);
        let starts: Vec<usize> = self.areas.range(range).map(|(start, _)| *start).collect();
        let removed: Vec<(usize, Area)> = starts
            .into_iter()
            .filter_map(|start| self.areas.remove(&start).map(|area| (start, area)))
            .collect();
        self.total -= removed.iter().map(|(start, area)| area.end - start).sum::<usize>();
        removed
    }

    /// Adds an area in a free range and joins it with its neighbours.
    pub fn insert(&mut self, start: usize, area: Area) {
        debug_assert!(
            area.end > start && start.is_multiple_of(PAGE_SIZE) && area.end.is_multiple_of(PAGE_SIZE)
        );
        self.total += area.end - start;
        let end = area.end;
        self.areas.insert(start, area);
        self.join(end);
        self.join(start);
    }

    /// Joins the areas that meet at `at`, if they can be one.
    fn join(&mut self, at: usize) {
        let Some((&below, lower)) = self.areas.range(..at).next_back() else { return };
        let Some(upper) = self.areas.get(&at) else { return };
        if lower.end != at || !lower.continues(below, upper) {
            return;
        }
        let end = upper.end;
        let gone = self.areas.remove(&at);
        if let Some(lower) = self.areas.get_mut(&below) {
            lower.end = end;
        }
        drop(gone);
    }

    /// Applies `change` to every area in `range`, cut to it.
    pub fn change(&mut self, range: Range<usize>, mut change: impl FnMut(&mut Area)) {
        self.split(range.start);
        self.split(range.end);
        let mut borders = Vec::new();
        for (start, area) in self.areas.range_mut(range) {
            change(area);
            borders.push(*start);
            borders.push(area.end);
        }
        for at in borders.into_iter().rev() {
            self.join(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Area, Backing, Map, Name};
    use husk_abi::layout::PAGE_SIZE;

    fn area(end: usize, protection: u32) -> Area {
        Area {
            end: end * PAGE_SIZE,
            protection,
            may: 7,
            shared: false,
            touched: protection != 0,
            lazy: false,
            flags: 0,
            name: Name::None,
            backing: Backing::Anonymous,
        }
    }

    fn shape(map: &Map) -> Vec<(usize, usize, u32)> {
        map.iter().map(|(start, area)| (start / PAGE_SIZE, area.end / PAGE_SIZE, area.protection)).collect()
    }

    #[test]
    fn neighbours_join_and_changes_split() {
        let mut map = Map::default();
        map.insert(10 * PAGE_SIZE, area(12, 3));
        map.insert(12 * PAGE_SIZE, area(20, 3));
        assert_eq!(shape(&map), [(10, 20, 3)]);
        map.change(14 * PAGE_SIZE..16 * PAGE_SIZE, |area| area.protection = 1);
        assert_eq!(shape(&map), [(10, 14, 3), (14, 16, 1), (16, 20, 3)]);
        map.change(14 * PAGE_SIZE..16 * PAGE_SIZE, |area| area.protection = 3);
        assert_eq!(shape(&map), [(10, 20, 3)]);
        map.remove(11 * PAGE_SIZE..12 * PAGE_SIZE);
        assert_eq!(shape(&map), [(10, 11, 3), (12, 20, 3)]);
        assert_eq!(map.total(), 9 * PAGE_SIZE);
    }

    /// Random operations against a page-by-page model.
    #[test]
    fn agrees_with_a_model_of_pages() {
        let mut model = [0_u32; 64];
        let mut map = Map::default();
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % below) as usize
        };
        for _ in 0..5000 {
            let start = random(63);
            let end = start + 1 + random(64 - start as u64);
            let range = start * PAGE_SIZE..end * PAGE_SIZE;
            let protection = 1 + random(3) as u32;
            match random(3) {
                0 => {
                    map.remove(range);
                    model[start..end].fill(0);
                }
                1 => {
                    map.remove(range.clone());
                    map.insert(range.start, area(end, protection));
                    model[start..end].fill(protection);
                }
                _ => {
                    map.change(range, |area| area.protection = protection);
                    model[start..end]
                        .iter_mut()
                        .filter(|page| **page != 0)
                        .for_each(|page| *page = protection);
                }
            }
            for (page, protection) in model.iter().enumerate() {
                assert_eq!(map.find(page * PAGE_SIZE).map_or(0, |(_, area)| area.protection), *protection);
            }
            assert_eq!(map.total(), model.iter().filter(|page| **page != 0).count() * PAGE_SIZE);
            let areas = shape(&map);
            assert!(areas.windows(2).all(|pair| pair[0].1 < pair[1].0 || pair[0].2 != pair[1].2));
            let len = 1 + random(8);
            let free = map.find_free(len * PAGE_SIZE, 0, 64 * PAGE_SIZE).map(|start| start / PAGE_SIZE);
            let expected =
                (0..=64 - len).rev().find(|start| model[*start..start + len].iter().all(|page| *page == 0));
            assert_eq!(free, expected);
        }
    }
}
