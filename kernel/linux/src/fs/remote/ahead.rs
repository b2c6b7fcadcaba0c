//! Read-ahead: what is asked for before a program that reads a file from front to back asks.
//!
//! What was read ahead may be older than the read that gets it, so it counts only under these rules. Within the guest reads are
//! exact: whatever may change a file's bytes holds a `Changing` from before its request until after the reply, and what was
//! asked for before its end is dropped, by the file's number, whichever volume it was reached through. What other guests and
//! the host write is seen at the latest `AGE_NS` later; at once after the guest has taken a lock on the file, opened it anew,
//! or seen a new size or time of change. What is shorter than it was asked for (the file's end) is never used.
//!
//! Each piece keeps a slot of the ring: at most `PIECES` of a volume do, and the oldest goes for a request that finds no slot.

use super::client::{Caller, Client, Reply, Sent};
use crate::time::monotonic_ns;
use core::ops::Range;
use husk_fuse::{Opcode, ReadIn};
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_ring::DATA_LEN;

/// How old what was read ahead may be.
const AGE_NS: u64 = 3_000_000;
/// So many pieces of a volume are kept.
const PIECES: usize = 8;
/// Files share counters of changes: to drop too much does no harm.
const COUNTERS: usize = 64;

/// Changes of files' bytes by this guest: begun and ended.
static CHANGES: Global<KCell<[(u32, u32); COUNTERS]>> = Global::new(|| KCell::new([(0, 0); COUNTERS]));

fn counter(ino: u64) -> usize {
    (ino % COUNTERS as u64) as usize
}

/// How often the file was changed; `None` while it is being changed.
fn changes(ino: u64) -> Option<u32> {
    let (begun, ended) = CHANGES.borrow()[counter(ino)];
    (begun == ended).then_some(ended)
}

/// The file with this number is being changed while this lives.
pub(super) struct Changing(u64);

impl Changing {
    pub(super) fn new(ino: u64) -> Self {
        let begun = &mut CHANGES.borrow_mut()[counter(ino)].0;
        *begun = begun.wrapping_add(1);
        Self(ino)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let ended = &mut CHANGES.borrow_mut()[counter(self.0)].1;
        *ended = ended.wrapping_add(1);
    }
}

/// The file was changed, or others may have changed it and who reads now must see that.
pub(super) fn changed(ino: u64) {
    drop(Changing::new(ino));
}

/// What was read ahead, or will have been.
pub(super) struct Piece {
    handle: u64,
    ino: u64,
    at: u64,
    len: usize,
    asked: u64,
    changes: u32,
    pub(super) slot: usize,
    pub(super) unique: u64,
    /// Once the reply was looked at: bytes of it.
    pub(super) answer: Option<usize>,
}

impl Piece {
    /// One byte further than it.
    pub(super) fn end(&self) -> u64 {
        self.at + self.len as u64
    }

    fn counts(&self, now: u64) -> bool {
        now.wrapping_sub(self.asked) < AGE_NS && changes(self.ino) == Some(self.changes)
    }
}

impl Client {
    /// Asks for up to `count` pieces of the file from `range.start` on, not beyond `range.end`; those that are on their way
    /// are among them.
    pub(super) fn read_ahead(&self, nodeid: u64, ino: u64, handle: u64, range: Range<u64>, count: usize) {
        let (mut at, mut have) = (range.start, 0);
        for piece in self.pieces.borrow().iter().filter(|piece| piece.handle == handle) {
            at = at.max(piece.end());
            have += 1;
        }
        for _ in have..count {
            let len = range.end.saturating_sub(at).min(DATA_LEN as u64) as usize;
            let Some(changes) = changes(ino) else { return };
            if len == 0 {
                return;
            }
            if self.pieces.borrow().len() >= PIECES {
                let now = monotonic_ns();
                self.drop_pieces(|piece| !piece.counts(now));
            }
            if self.pieces.borrow().len() >= PIECES {
                return;
            }
            let Some(slot) = self.spare_slot() else { return };
            let ask = ReadIn { fh: handle, offset: at, size: len as u32, ..ReadIn::default() };
            let asked = monotonic_ns();
            let Ok(sent) = slot.send(Caller::current(), Opcode::Read, nodeid, &[&ask.to_bytes()], 0) else {
                return;
            };
            let (slot, unique) = sent.into_parts();
            let piece = Piece { handle, ino, at, len, asked, changes, slot, unique, answer: None };
            self.pieces.borrow_mut().push_back(piece);
            at += len as u64;
        }
    }

    /// The piece with the byte at `at` in it, if it still counts. Pieces of the file that do not are dropped.
    pub(super) fn take_piece(&self, handle: u64, at: u64) -> Option<Piece> {
        let now = monotonic_ns();
        self.drop_pieces(|piece| {
            piece.handle == handle && !(piece.at..piece.end()).contains(&at) && piece.at < at
                || piece.handle == handle && !piece.counts(now)
        });
        let mut pieces = self.pieces.borrow_mut();
        let index = pieces
            .iter()
            .position(|piece| piece.handle == handle && (piece.at..piece.end()).contains(&at))?;
        pieces.remove(index)
    }

    /// Waits for the bytes of a piece from `at` on. `None`: there are none, or fewer than were asked for.
    pub(super) fn bytes_of(&self, piece: Piece, at: u64) -> Option<Ready<'_>> {
        let reply = match piece.answer {
            Some(len) => Reply::of_slot(self, piece.slot, len),
            None => Sent::from_parts(self, piece.slot, piece.unique).wait().ok()?,
        };
        let full = reply.data().len() >= piece.len;
        let from = at.checked_sub(piece.at).filter(|from| full && *from < piece.len as u64)? as usize;
        Some(Ready { piece, from, reply })
    }

    /// Drops what was read ahead by the handle.
    pub(super) fn drop_pieces_of(&self, handle: u64) {
        self.drop_pieces(|piece| piece.handle == handle);
    }

    fn drop_pieces(&self, mut gone: impl FnMut(&Piece) -> bool) {
        loop {
            let piece = {
                let mut pieces = self.pieces.borrow_mut();
                let Some(index) = pieces.iter().position(&mut gone) else { return };
                pieces.remove(index)
            };
            self.let_go(piece);
        }
    }

    /// Whether there was one.
    pub(super) fn drop_oldest_piece(&self) -> bool {
        let piece = self.pieces.borrow_mut().pop_front();
        self.let_go(piece)
    }

    fn let_go(&self, piece: Option<Piece>) -> bool {
        match &piece {
            Some(Piece { answer: Some(len), slot, .. }) => drop(Reply::of_slot(self, *slot, *len)),
            Some(Piece { slot, unique, .. }) => drop(Sent::from_parts(self, *slot, *unique)),
            None => {}
        }
        piece.is_some()
    }
}

/// A piece whose bytes are there.
pub(super) struct Ready<'a> {
    piece: Piece,
    from: usize,
    reply: Reply<'a>,
}

impl Ready<'_> {
    pub(super) fn data(&self) -> husk_machine::span::Span<'static> {
        self.reply.data().slice(self.from, self.piece.len - self.from)
    }

    /// `count` bytes were read: keeps the rest for the next read.
    pub(super) fn keep_rest(self, client: &Client, count: usize) {
        let Self { mut piece, from, reply } = self;
        if from + count < piece.len {
            piece.answer = Some(reply.data().len());
            piece.slot = reply.into_slot();
            client.pieces.borrow_mut().push_front(piece);
        }
    }
}
