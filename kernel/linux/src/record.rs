//! The record of a guest's use of its root and of system calls, where it was asked for (`husk_abi::record`).
//!
//! What is used is noted while the guest runs, each path once; all is written when process 1 ends. A guest without
//! FLAG_RECORD pays one look at a flag.

use crate::fs::{Entry, export};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::boot::{FLAG_EXPORT, FLAG_RECORD};
use husk_abi::record::{CALL, END, HEADER_LEN, PATH};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::{host, start};

#[derive(Default)]
struct Record {
    /// By number, 64 a word.
    calls: [u64; 8],
    /// USE_* bits.
    paths: BTreeMap<Vec<u8>, u8>,
}

static RECORD: Global<KCell<Record>> = Global::new(KCell::default);

/// Whether this guest keeps a record.
pub fn enabled() -> bool {
    start::boot().flags & FLAG_RECORD != 0
}

/// A system call was made.
pub fn call(number: u64) {
    if let Some(word) = RECORD.borrow_mut().calls.get_mut(number as usize / 64) {
        *word |= 1 << (number % 64);
    }
}

/// An entry of a file system was used; those over the root image count.
pub fn used(entry: &Arc<Entry>, bits: u8) {
    if !enabled() || !entry.inode().fs.has_image() {
        return;
    }
    let mut names = Vec::new();
    let mut at = entry.clone();
    while let Some(parent) = at.parent() {
        names.push(at.name());
        at = parent;
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    *RECORD.borrow_mut().paths.entry(path).or_default() |= bits;
}

/// Frames, sent in pieces of this.
const BUFFER: usize = 64 << 10;

/// Writes frames to the record descriptor.
#[derive(Default)]
pub(crate) struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn frame(&mut self, tag: u8, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.buffer.len() + HEADER_LEN + len > BUFFER {
            self.flush();
        }
        self.buffer.push(tag);
        self.buffer.extend_from_slice(&(len as u32).to_le_bytes());
        parts.iter().for_each(|part| self.buffer.extend_from_slice(part));
    }

    fn flush(&mut self) {
        host::record(&self.buffer);
        self.buffer.clear();
    }
}

/// The guest ends with this exit code: writes what was asked for.
pub fn finish(code: i32) {
    let flags = start::boot().flags;
    if flags & (FLAG_RECORD | FLAG_EXPORT) == 0 {
        return;
    }
    let mut writer = Writer::default();
    if enabled() {
        let record = RECORD.borrow();
        for number in
            (0..512_u32).filter(|number| record.calls[*number as usize / 64] >> (number % 64) & 1 != 0)
        {
            writer.frame(CALL, &[&number.to_le_bytes()]);
        }
        for (path, bits) in &record.paths {
            writer.frame(PATH, &[&[*bits], path]);
        }
    }
    if flags & FLAG_EXPORT != 0 {
        export::write(&mut writer);
    }
    writer.frame(END, &[&code.to_le_bytes()]);
    writer.flush();
}
