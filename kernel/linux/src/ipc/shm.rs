//! Shared memory segments (shmget(2)).
//!
//! A segment is a `File` that mappings hold by one common `OpenFile`: the mappings there are is how often it is shared,
//! and a removed segment, which the table holds only weakly, goes with the last of them.

use super::{Object, PERM_LEN, Perm, Table, now_seconds, put};
use crate::errno::Errno;
use crate::file::{File, FilePage, OpenFile, anon};
use crate::fs::Stat;
use crate::task::Pid;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::page::Pages;
use linux_raw_sys::general as raw;

pub const SHM_RDONLY: u32 = 0o10_000;
pub const SHM_RND: u32 = 0o20_000;
pub const SHM_REMAP: u32 = 0o40_000;
pub const SHM_EXEC: u32 = 0o100_000;
/// In the mode of a segment that was removed, and of one that was locked.
pub const SHM_DEST: u32 = 0o1000;
pub const SHM_LOCKED: u32 = 0o2000;
/// Most segments, and most bytes of one.
pub const SHMMNI: usize = 4096;
pub const SHMMAX: u64 = u64::MAX - (1 << 24);
/// Pages that come together.
const RUN: usize = 16;
/// Bytes of `struct shmid64_ds`.
pub const DS_LEN: usize = 112;

pub static SEGMENTS: Global<Table<Segment>> = Global::new(|| Table::new(SHMMNI));

/// The bytes of a segment, as mappings see them.
pub struct Memory {
    len: usize,
    /// Runs of `RUN` pages that were touched, by number.
    runs: KCell<BTreeMap<u64, Arc<Pages>>>,
    key: i32,
    ino: u64,
}

impl File for Memory {
    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat {
            dev: anon::ANON_DEV,
            ino: self.ino,
            mode: raw::S_IFREG | 0o600,
            nlink: 1,
            size: self.len as u64,
            block_size: PAGE_SIZE as u32,
            ..Stat::default()
        })
    }

    fn page(&self, index: u64, for_write: bool) -> Result<FilePage, Errno> {
        if index >= self.len.div_ceil(PAGE_SIZE) as u64 {
            return Ok(FilePage::Beyond);
        }
        let (run, within) = (index / RUN as u64, (index % RUN as u64) as usize);
        let mut runs = self.runs.borrow_mut();
        let pages = match runs.get(&run) {
            Some(pages) => pages.clone(),
            None if !for_write => return Ok(FilePage::Zero),
            None => {
                let pages = Arc::new(Pages::zeroed(RUN).map_err(|_| Errno::ENOMEM)?);
                runs.insert(run, pages.clone());
                pages
            }
        };
        Ok(FilePage::Memory { pages, index: within, run: RUN - within })
    }

    /// As /proc/PID/maps shows it.
    fn link(&self) -> String {
        format!("/SYSV{:08x} (deleted)", self.key)
    }
}

struct State {
    /// Held until the segment is removed.
    own: Option<Arc<OpenFile>>,
    attached: u64,
    detached: u64,
    changed: u64,
    last_pid: Pid,
}

/// A shared memory segment.
pub struct Segment {
    perm: KCell<Perm>,
    len: usize,
    creator: Pid,
    memory: Weak<OpenFile>,
    state: KCell<State>,
}

impl Object for Segment {
    fn perm(&self) -> &KCell<Perm> {
        &self.perm
    }

    fn alive(&self) -> bool {
        self.memory.strong_count() > 0
    }
}

impl Segment {
    pub fn new(perm: Perm, len: usize, creator: Pid) -> Self {
        let memory = Arc::new(Memory { len, runs: KCell::default(), key: perm.key, ino: anon::new_ino() });
        let own = OpenFile::new(memory, raw::O_RDWR, None);
        Self {
            perm: KCell::new(perm),
            len,
            creator,
            memory: Arc::downgrade(&own),
            state: KCell::new(State {
                own: Some(own),
                attached: 0,
                detached: 0,
                changed: now_seconds(),
                last_pid: 0,
            }),
        }
    }

    /// Bytes asked for.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What a mapping of it holds. EIDRM when the last one is gone.
    pub fn memory(&self) -> Result<Arc<OpenFile>, Errno> {
        self.memory.upgrade().ok_or(Errno::EIDRM)
    }

    /// Mappings there are.
    pub fn attachments(&self) -> usize {
        self.memory.strong_count() - usize::from(self.state.borrow().own.is_some())
    }

    /// shmat(2) by `pid` has mapped it.
    pub fn was_attached(&self, pid: Pid) {
        let mut state = self.state.borrow_mut();
        state.attached = now_seconds();
        state.last_pid = pid;
    }

    /// shmdt(2) by `pid` has unmapped it.
    pub fn was_detached(&self, pid: Pid) {
        let mut state = self.state.borrow_mut();
        state.detached = now_seconds();
        state.last_pid = pid;
    }

    /// IPC_SET.
    pub fn set_perm(&self, ds: &[u8]) {
        self.perm.borrow_mut().set(ds);
        self.state.borrow_mut().changed = now_seconds();
    }

    /// SHM_LOCK and SHM_UNLOCK: guest memory is never swapped, so only the mark changes.
    pub fn set_locked(&self, locked: bool) {
        let mut perm = self.perm.borrow_mut();
        perm.mode = if locked { perm.mode | SHM_LOCKED } else { perm.mode & !SHM_LOCKED };
    }

    /// IPC_RMID: no key finds it any more, and it goes with its last mapping.
    pub fn remove(&self) {
        {
            let mut perm = self.perm.borrow_mut();
            perm.key = super::IPC_PRIVATE;
            perm.mode |= SHM_DEST;
        }
        let own = self.state.borrow_mut().own.take();
        drop(own);
        if !self.alive() {
            SEGMENTS.remove(self);
        }
    }

    /// Pages that hold something.
    pub fn resident(&self) -> usize {
        let memory = self.memory.upgrade();
        memory
            .and_then(|of| of.object.downcast::<Memory>().map(|memory| memory.runs.borrow().len() * RUN))
            .unwrap_or(0)
    }

    /// `struct shmid64_ds`.
    pub fn ds(&self) -> [u8; DS_LEN] {
        let mut bytes = [0; DS_LEN];
        bytes[..PERM_LEN].copy_from_slice(&self.perm.borrow().to_bytes());
        let attachments = self.attachments() as u64;
        let state = self.state.borrow();
        let words = [self.len as u64, state.attached, state.detached, state.changed];
        for (index, word) in words.into_iter().enumerate() {
            put(&mut bytes, 48 + index * 8, &word.to_ne_bytes());
        }
        put(&mut bytes, 80, &self.creator.to_ne_bytes());
        put(&mut bytes, 84, &state.last_pid.to_ne_bytes());
        put(&mut bytes, 88, &attachments.to_ne_bytes());
        bytes
    }
}

/// The segment that a mapping of `memory` belongs to, for shmdt(2).
pub fn segment_of(memory: &OpenFile) -> Option<Arc<Segment>> {
    memory.object.downcast::<Memory>()?;
    SEGMENTS.all().into_iter().find(|segment| core::ptr::eq(segment.memory.as_ptr(), memory))
}

/// /proc/sysvipc/shm.
pub fn list() -> String {
    let mut out = String::from(
        "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime                   rss                  swap\n",
    );
    for segment in SEGMENTS.all() {
        let perm = *segment.perm.borrow();
        let attachments = segment.attachments();
        let resident = segment.resident() * PAGE_SIZE;
        let state = segment.state.borrow();
        out.push_str(&format!(
            "{:10} {:10}  {:4o} {:21} {:5} {:5}  {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10} {:21} {:21}\n",
            perm.key,
            perm.id,
            perm.mode,
            segment.len,
            segment.creator,
            state.last_pid,
            attachments,
            perm.uid,
            perm.gid,
            perm.cuid,
            perm.cgid,
            state.attached,
            state.detached,
            state.changed,
            resident,
            0
        ));
    }
    out
}
