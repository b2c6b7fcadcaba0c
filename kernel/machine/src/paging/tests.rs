//! A processor's view of address spaces, and models of what they hold.

use super::*;
use crate::page::Pages;
use std::collections::BTreeMap as Map;

const BASE: usize = 0x5555_0000_0000;
const ALL: u32 = PROT_READ | PROT_WRITE;

fn pages(from: usize, to: usize) -> Range<usize> {
    BASE + from * PAGE_SIZE..BASE + to * PAGE_SIZE
}

fn new() -> AddressSpace {
    AddressSpace::new(|_| 0).unwrap()
}

/// What a processor does: look the page up, ask for help once, and reach the byte.
fn reach(space: &mut AddressSpace, address: usize, access: Access) -> Option<*mut u8> {
    for _ in 0..2 {
        let value = space.find(address).map_or(0, read);
        let allowed = match access {
            Access::Read => value & bit::PRESENT != 0,
            Access::Write => value & bit::PRESENT != 0 && value & bit::WRITE != 0,
            Access::Execute => value & bit::PRESENT != 0 && value & bit::NO_EXECUTE == 0,
        };
        if allowed {
            let frame = physical::to_frame(value & ADDRESS);
            return Some((frame + address % PAGE_SIZE) as *mut u8);
        }
        let mut flush = Flush::default();
        let mended = space.fault(address, access, &mut flush).unwrap();
        flush.free_frames();
        if !mended {
            return None;
        }
    }
    panic!("a mended fault came again at {address:#x}");
}

fn load(space: &mut AddressSpace, address: usize) -> Option<u8> {
    // SAFETY: a byte of a frame or of the image.
    reach(space, address, Access::Read).map(|byte| unsafe { *byte })
}

fn store(space: &mut AddressSpace, address: usize, value: u8) -> bool {
    // SAFETY: a byte of a frame.
    reach(space, address, Access::Write).map(|byte| unsafe { *byte = value }).is_some()
}

fn map(space: &mut AddressSpace, range: Range<usize>, protection: u32, backing: Backing) {
    let mut flush = Flush::default();
    space.map(range, protection, backing, &mut flush);
    flush.free_frames();
}

fn drop_space(mut space: AddressSpace) {
    let mut flush = Flush::default();
    space.clear(&mut flush);
    assert_eq!(space.resident(), 0);
    flush.free_frames();
    space.release_root();
}

#[test]
fn anonymous_memory_is_zero_and_keeps_what_is_written() {
    let mut space = new();
    map(&mut space, pages(0, 1000), ALL, Backing::Anonymous);
    assert_eq!(load(&mut space, BASE + 5 * PAGE_SIZE), Some(0));
    assert!(store(&mut space, BASE + 5 * PAGE_SIZE, 7));
    assert_eq!(load(&mut space, BASE + 5 * PAGE_SIZE), Some(7));
    assert_eq!(load(&mut space, BASE + 1000 * PAGE_SIZE), None);
    assert_eq!(load(&mut space, BASE - 1), None);
    drop_space(space);
}

#[test]
fn sequential_faults_bring_in_longer_runs() {
    let mut space = new();
    map(&mut space, pages(0, 1000), ALL, Backing::Anonymous);
    let mut faults = 0;
    for page in 0..1000 {
        let address = BASE + page * PAGE_SIZE;
        if space.find(address).is_none_or(|entry| read(entry) & bit::USED == 0) {
            faults += 1;
        }
        assert!(store(&mut space, address, 1));
    }
    assert!(faults < 16, "{faults} faults");
    assert_eq!(space.resident(), 1000);
    drop_space(space);
}

#[test]
fn presence_tells_of_the_pages_that_were_brought_in() {
    let mut space = new();
    map(&mut space, pages(0, 2000), ALL, Backing::Anonymous);
    for page in [3, 700, 1999] {
        assert!(store(&mut space, BASE + page * PAGE_SIZE, 1));
    }
    let mut told = vec![9; 2000];
    space.presence(BASE, &mut told);
    assert_eq!(told.iter().map(|byte| usize::from(*byte)).sum::<usize>(), space.resident());
    assert!(told[3] == 1 && told[700] == 1 && told[1999] == 1 && told[1000] == 0);
    space.presence(BASE + 1000 * PAGE_SIZE, &mut told[..900]);
    assert!(told[..900].iter().all(|byte| *byte == 0));
    drop_space(space);
}

#[test]
fn the_image_is_shared_until_written() {
    let mut space = new();
    map(&mut space, pages(0, 8), ALL, Backing::Image { offset: 2 * PAGE_SIZE });
    assert_eq!(load(&mut space, BASE), Some(3));
    assert!(store(&mut space, BASE + 1, 9));
    assert_eq!(load(&mut space, BASE), Some(3));
    assert_eq!(load(&mut space, BASE + 1), Some(9));
    let mut flush = Flush::default();
    space.discard(pages(0, 8), &mut flush);
    flush.free_frames();
    assert_eq!(load(&mut space, BASE + 1), Some(0));
    drop_space(space);
}

#[test]
fn shared_pages_are_written_in_place_and_private_ones_copied() {
    let run = Pages::zeroed(2).unwrap();
    let mut space = new();
    map(&mut space, pages(0, 2), ALL, Backing::Pages { address: run.address(), shared: true });
    map(&mut space, pages(2, 4), ALL, Backing::Pages { address: run.address(), shared: false });
    assert!(store(&mut space, BASE + PAGE_SIZE, 5));
    assert_eq!(load(&mut space, BASE + 3 * PAGE_SIZE), Some(5));
    assert!(store(&mut space, BASE + 3 * PAGE_SIZE, 6));
    assert_eq!(load(&mut space, BASE + PAGE_SIZE), Some(5));
    let mut byte = [0];
    run.span().slice(PAGE_SIZE, 1).read(&mut byte);
    assert_eq!(byte, [5]);
    drop_space(space);
}

#[test]
fn protection_is_obeyed_and_memory_survives_it() {
    let mut space = new();
    map(&mut space, pages(0, 4), ALL, Backing::Anonymous);
    assert!(store(&mut space, BASE, 1));
    let protect = |space: &mut AddressSpace, protection| {
        let mut flush = Flush::default();
        space.protect(pages(0, 4), protection, &mut flush);
        let needed = flush.is_needed();
        flush.free_frames();
        needed
    };
    assert!(protect(&mut space, 0));
    assert_eq!(load(&mut space, BASE), None);
    assert!(!protect(&mut space, PROT_READ), "more access needs no flush");
    assert_eq!(load(&mut space, BASE), Some(1));
    assert!(!store(&mut space, BASE, 2));
    assert!(reach(&mut space, BASE, Access::Execute).is_none());
    assert!(!protect(&mut space, ALL | PROT_EXEC));
    assert!(reach(&mut space, BASE, Access::Execute).is_some());
    assert!(store(&mut space, BASE, 2));
    assert!(protect(&mut space, PROT_READ));
    drop_space(space);
}

#[test]
fn a_fork_sees_old_contents_and_neither_sees_the_others_writes() {
    let mut parent = new();
    let run = Pages::zeroed(1).unwrap();
    map(&mut parent, pages(0, 64), ALL, Backing::Anonymous);
    map(&mut parent, pages(64, 65), ALL, Backing::Pages { address: run.address(), shared: true });
    for page in 0..64 {
        assert!(store(&mut parent, BASE + page * PAGE_SIZE, page as u8));
    }
    let mut flush = Flush::default();
    let mut child = parent.fork(BASE + 10 * PAGE_SIZE, |_| 0, &mut flush).unwrap();
    assert!(flush.pages().is_none());
    flush.free_frames();
    assert_eq!(child.resident(), parent.resident());
    assert!(store(&mut parent, BASE, 100));
    assert!(store(&mut child, BASE + PAGE_SIZE, 101));
    assert!(store(&mut child, BASE + 10 * PAGE_SIZE, 102));
    assert!(store(&mut child, BASE + 64 * PAGE_SIZE, 103));
    assert_eq!(load(&mut child, BASE), Some(0));
    assert_eq!(load(&mut parent, BASE + PAGE_SIZE), Some(1));
    assert_eq!(load(&mut parent, BASE + 10 * PAGE_SIZE), Some(10));
    assert_eq!(load(&mut parent, BASE + 64 * PAGE_SIZE), Some(103));
    drop_space(parent);
    for page in 2..10 {
        assert_eq!(load(&mut child, BASE + page * PAGE_SIZE), Some(page as u8));
        assert!(store(&mut child, BASE + page * PAGE_SIZE, 0));
    }
    drop_space(child);
}

#[test]
fn moved_memory_keeps_its_contents() {
    let mut space = new();
    map(&mut space, pages(0, 4), ALL, Backing::Anonymous);
    map(&mut space, pages(4, 6), PROT_READ, Backing::Image { offset: 0 });
    assert!(store(&mut space, BASE + 2 * PAGE_SIZE, 8));
    let mut flush = Flush::default();
    space.relocate(BASE, 6 * PAGE_SIZE, BASE + 5000 * PAGE_SIZE, &mut flush).unwrap();
    flush.free_frames();
    assert_eq!(load(&mut space, BASE + 2 * PAGE_SIZE), None);
    assert_eq!(load(&mut space, BASE + 5002 * PAGE_SIZE), Some(8));
    assert_eq!(load(&mut space, BASE + 5005 * PAGE_SIZE), Some(2));
    drop_space(space);
}

/// Random operations on a family of spaces against page-by-page models.
#[test]
fn agrees_with_a_model() {
    const SIZE: usize = 96;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    // Contents and protection of each mapped page; pages lie 300 apart, so that several tables take part.
    type Model = Map<usize, (u8, u32)>;
    let place = |page: usize| BASE + (page / 8 * 500 + page % 8) * PAGE_SIZE;
    let mut family: Vec<(AddressSpace, Model)> = vec![(new(), Model::new())];
    for step in 0..6000 {
        let members = family.len();
        let who = random(members);
        let (first, count) = (random(SIZE / 8) * 8, 1 + random(8));
        let range = place(first)..place(first) + count * PAGE_SIZE;
        let (space, model) = &mut family[who];
        let mut flush = Flush::default();
        match random(8) {
            0 => {
                let protection = [PROT_READ, ALL, ALL][random(3)];
                let (backing, content): (Backing, fn(usize) -> u8) = match random(2) {
                    0 => (Backing::Anonymous, |_| 0),
                    _ => (Backing::Image { offset: 0 }, |at| at as u8 + 1),
                };
                space.map(range, protection, backing, &mut flush);
                (0..count).for_each(|at| {
                    model.insert(first + at, (content(at), protection));
                });
            }
            1 => {
                space.unmap(range, &mut flush);
                (0..count).for_each(|at| {
                    model.remove(&(first + at));
                });
            }
            2 => {
                let protection = [0, PROT_READ, ALL][random(3)];
                space.protect(range, protection, &mut flush);
                model.range_mut(first..first + count).for_each(|(_, page)| page.1 = protection);
            }
            3 if members < 5 => {
                let child = space.fork(place(first), |_| 0, &mut flush).unwrap();
                let copy = model.clone();
                family.push((child, copy));
            }
            3 => {
                let (space, _) = family.swap_remove(who);
                drop_space(space);
                if family.is_empty() {
                    family.push((new(), Model::new()));
                }
            }
            _ => {
                let page = first + random(count);
                let value = step as u8;
                let writable = model.get(&page).is_some_and(|page| page.1 & PROT_WRITE != 0);
                assert_eq!(store(space, place(page), value), writable);
                if writable && let Some(entry) = model.get_mut(&page) {
                    entry.0 = value;
                }
            }
        }
        flush.free_frames();
        if step % 16 == 0 {
            for (space, model) in &mut family {
                for page in 0..SIZE {
                    let expected = model.get(&page).filter(|page| page.1 != 0).map(|page| page.0);
                    assert_eq!(load(space, place(page)), expected, "step {step} page {page}");
                }
            }
        }
    }
    family.into_iter().for_each(|(space, _)| drop_space(space));
}
