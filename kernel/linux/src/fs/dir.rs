//! The table of a directory in memory: names to entries, and a stable order for getdents(2).
//!
//! Every name has a cookie that grows with each insertion and is never given again, so a reader that goes on from a cookie
//! neither misses nor repeats a name that stays. A directory of the root image starts without names; lookups bring them in
//! one by one, with their place in the image as cookie, until the first change (`load`) brings in the rest.

use super::image::{ImageDirectory, ImageName, RootImage};
use super::{Entry, Inode};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use husk_machine::cell::KCell;

/// The first cookie of a real name: 0 and 1 stand for `.` and `..`, 2 is where reading goes on after them.
pub const FIRST_COOKIE: u64 = 2;

fn hash(name: &[u8]) -> u64 {
    FixedState::default().hash_one(name)
}

struct Slot {
    cookie: u64,
    hash: u64,
    /// `None`: removed, waiting for the next `compact`.
    entry: Option<Arc<Entry>>,
}

#[derive(Default)]
struct Table {
    /// In order of cookies, except while `image` is there: then in order of lookups.
    slots: Vec<Slot>,
    index: HashTable<u32>,
    live: usize,
    next_cookie: u64,
    /// The directory of the root image whose names are not all in `slots` yet.
    image: Option<ImageDirectory>,
}

impl Table {
    fn find(&self, hash: u64, name: &[u8]) -> Option<usize> {
        let matches = |index: &u32| {
            let slot = &self.slots[*index as usize];
            slot.hash == hash && slot.entry.as_ref().is_some_and(|entry| **entry.name_ref() == *name)
        };
        self.index.find(hash, matches).map(|index| *index as usize)
    }

    fn insert(&mut self, cookie: u64, hash: u64, entry: Arc<Entry>) {
        let index = self.slots.len() as u32;
        self.slots.push(Slot { cookie, hash, entry: Some(entry) });
        let slots = &self.slots;
        self.index.insert_unique(hash, index, |index| slots[*index as usize].hash);
        self.live += 1;
    }

    fn remove(&mut self, hash: u64, name: &[u8]) -> Option<Arc<Entry>> {
        let position = self.find(hash, name)?;
        let entry = self.slots[position].entry.take()?;
        if let Ok(found) = self.index.find_entry(hash, |index| *index as usize == position) {
            found.remove();
        }
        self.live -= 1;
        if self.slots.len() > 16 && self.live * 2 < self.slots.len() {
            self.compact();
        }
        Some(entry)
    }

    fn compact(&mut self) {
        self.slots.retain(|slot| slot.entry.is_some());
        self.reindex();
    }

    fn reindex(&mut self) {
        self.index.clear();
        let slots = &self.slots;
        for (index, slot) in slots.iter().enumerate() {
            self.index.insert_unique(slot.hash, index as u32, |index| slots[*index as usize].hash);
        }
    }
}

/// The names in a directory.
#[derive(Default)]
pub struct Directory {
    table: KCell<Table>,
}

/// One name for getdents(2).
pub struct Listed<'a> {
    /// Where to go on to read this name again; the name after it has a greater one.
    pub cookie: u64,
    pub name: &'a [u8],
    pub ino: u64,
    /// S_IF* bits.
    pub kind: u32,
}

impl Directory {
    pub fn new() -> Self {
        let table = Table { next_cookie: FIRST_COOKIE, ..Table::default() };
        Self { table: KCell::new(table) }
    }

    /// A directory of the root image.
    pub fn of_image(image: ImageDirectory) -> Self {
        Self { table: KCell::new(Table { image: Some(image), ..Table::default() }) }
    }

    /// The entry `name` of the directory `this`, whose table this is.
    pub fn lookup(&self, this: &Arc<Entry>, name: &[u8]) -> Option<Arc<Entry>> {
        let hash = hash(name);
        let (node, image) = {
            let table = self.table.borrow();
            if let Some(position) = table.find(hash, name) {
                return table.slots[position].entry.clone();
            }
            let image = table.image.as_ref()?;
            (image.lookup(name)?, image.image())
        };
        let entry = bring_in(this, &node, image);
        self.table.borrow_mut().insert(FIRST_COOKIE + node.position, hash, entry.clone());
        Some(entry)
    }

    /// Looks at the entry `name` if it is in the table, without a reference of its own: for walks that go on below it.
    pub(super) fn peek<R>(&self, name: &[u8], look: impl FnOnce(&Arc<Entry>) -> Option<R>) -> Option<R> {
        let table = self.table.borrow();
        let position = table.find(hash(name), name)?;
        look(table.slots[position].entry.as_ref()?)
    }

    /// Brings in all names of the root image, before a change.
    fn load(&self, this: &Arc<Entry>) {
        let Some(image) = self.table.borrow_mut().image.take() else { return };
        for node in image.names_from(0) {
            let hash = hash(node.name);
            if self.table.borrow().find(hash, node.name).is_none() {
                let entry = bring_in(this, &node, image.image());
                self.table.borrow_mut().insert(FIRST_COOKIE + node.position, hash, entry);
            }
        }
        let mut table = self.table.borrow_mut();
        table.slots.sort_unstable_by_key(|slot| slot.cookie);
        table.next_cookie = table.slots.last().map_or(FIRST_COOKIE, |slot| slot.cookie + 1);
        table.reindex();
    }

    /// Puts `entry` under `name`, which must be free, and makes it know its place.
    pub(super) fn insert(&self, this: &Arc<Entry>, name: &[u8], entry: &Arc<Entry>) {
        self.load(this);
        entry.set_linked(this, name);
        let mut table = self.table.borrow_mut();
        let cookie = table.next_cookie;
        table.next_cookie += 1;
        table.insert(cookie, hash(name), entry.clone());
    }

    /// Takes `name` out; the entry keeps `this` as its parent.
    pub(super) fn remove(&self, this: &Arc<Entry>, name: &[u8]) -> Option<Arc<Entry>> {
        self.load(this);
        let removed = self.table.borrow_mut().remove(hash(name), name)?;
        removed.set_removed(this);
        Some(removed)
    }

    pub fn is_empty(&self) -> bool {
        let table = self.table.borrow();
        match &table.image {
            Some(image) => image.is_empty(),
            None => table.live == 0,
        }
    }

    /// Names, `.` and `..` not counted; `None` while only the image knows.
    pub fn count(&self) -> Option<usize> {
        let table = self.table.borrow();
        table.image.is_none().then_some(table.live)
    }

    /// Gives the names from `cookie` on to `each` until it returns false.
    pub fn list(&self, cookie: u64, mut each: impl FnMut(Listed<'_>) -> bool) {
        let table = self.table.borrow();
        if let Some(image) = &table.image {
            for node in image.names_from(cookie.saturating_sub(FIRST_COOKIE)) {
                let listed = Listed {
                    cookie: FIRST_COOKIE + node.position,
                    name: node.name,
                    ino: node.nid,
                    kind: node.kind,
                };
                if !each(listed) {
                    return;
                }
            }
            return;
        }
        let from = table.slots.partition_point(|slot| slot.cookie < cookie);
        for slot in &table.slots[from..] {
            let Some(entry) = &slot.entry else { continue };
            let (inode, name) = (entry.inode(), entry.name_ref());
            let listed = Listed { cookie: slot.cookie, name: &name, ino: inode.ino, kind: inode.kind() };
            if !each(listed) {
                return;
            }
        }
    }

    /// The entries that are in the table: all, or while `count` is `None` those that were looked up.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.table.borrow().slots.iter().filter_map(|slot| slot.entry.clone()).collect()
    }

    /// Empties the table of a directory that nobody can reach any more.
    pub(super) fn take_all(&self) -> Vec<Arc<Entry>> {
        let table = self.table.take();
        table.slots.into_iter().filter_map(|slot| slot.entry).collect()
    }
}

fn bring_in(this: &Arc<Entry>, name: &ImageName, image: RootImage) -> Arc<Entry> {
    Entry::linked(this, name.name, Inode::of_image(&this.inode().fs, image, name.nid))
}
