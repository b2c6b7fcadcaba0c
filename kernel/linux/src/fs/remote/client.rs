//! Requests to the state server: slots of the volume's ring, and one way to ask.
//!
//! A request owns its slot from `Volume::slot` until its `Reply` is dropped. While it waits the big kernel lock is free: whoever
//! asks must hold no borrow, and look anew at what it knew before. What the server writes is believed in nothing: lengths are
//! bounded, heads are parsed from a copy, and a reply to another question is EIO, as is everything once the server is dead.

use super::ahead::Piece;
use crate::errno::Errno;
use crate::task;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use husk_fuse::{ForgetOne, InHeader, Opcode, OutHeader};
use husk_machine::cell::KCell;
use husk_machine::ring::Unit;
use husk_machine::span::Span;
use husk_ring::{DATA_LEN, HEAD_LEN, SLOTS};

/// Most bytes of a reply's head that anybody looks at.
const HEAD_MAX: usize = 256;
/// So many inodes are forgotten together.
const FORGETS: usize = 64;

/// Who asks: whose the files are that a request makes.
#[derive(Clone, Copy, Default)]
pub(super) struct Caller {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) pid: u32,
}

impl Caller {
    /// The current task.
    pub(super) fn current() -> Self {
        let task = task::current();
        let cred = task.cred_ref();
        Self { uid: cred.fsuid, gid: cred.fsgid, pid: task.pid() as u32 }
    }
}

/// A request that nobody waits for.
struct Post {
    opcode: Opcode,
    nodeid: u64,
    argument: Vec<u8>,
    data: Vec<u8>,
}

/// The requests of one volume.
pub(super) struct Client {
    unit: Unit,
    /// The server is dead, or speaks nonsense.
    dead: KCell<bool>,
    /// Bit n: slot n is not free.
    used: KCell<u32>,
    /// Of those, the ones whose reply nobody waits for.
    posted: KCell<u32>,
    unique: KCell<u64>,
    /// What found no slot.
    unsent: KCell<Vec<Post>>,
    /// What was read ahead, each in a slot of its own.
    pub(super) pieces: KCell<VecDeque<Piece>>,
    forgets: KCell<Vec<ForgetOne>>,
}

impl Client {
    pub(super) fn new(unit: Unit) -> Self {
        Self {
            unit,
            dead: KCell::new(false),
            used: KCell::new(0),
            posted: KCell::new(0),
            unique: KCell::new(1),
            unsent: KCell::default(),
            pieces: KCell::default(),
            forgets: KCell::default(),
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.unit.is_read_only()
    }

    fn check_alive(&self) -> Result<(), Errno> {
        if !self.dead.get() && !self.unit.lives() {
            self.dead.set(true);
        }
        if self.dead.get() { Err(Errno::EIO) } else { Ok(()) }
    }

    /// A free slot, if there is one.
    fn free_slot(&self) -> Option<Slot<'_>> {
        let posted = self.posted.get();
        if posted != 0 {
            let done = (0..SLOTS)
                .filter(|index| posted >> index & 1 != 0 && self.unit.is_answered(*index))
                .fold(0, |done, index| done | 1 << index);
            self.posted.set(posted & !done);
            self.used.set(self.used.get() & !done);
        }
        let index = self.used.get().trailing_ones() as usize;
        if index >= SLOTS {
            return None;
        }
        *self.used.borrow_mut() |= 1 << index;
        Some(Slot { client: self, index, answered: true })
    }

    /// A slot for a request; waits until there is one.
    pub(super) fn slot(&self) -> Result<Slot<'_>, Errno> {
        loop {
            self.check_alive()?;
            self.send_posts();
            if let Some(slot) = self.free_slot() {
                return Ok(slot);
            }
            if !self.drop_oldest_piece() {
                self.unit.pause();
            }
        }
    }

    /// A slot for a request that need not be, if one is free.
    pub(super) fn spare_slot(&self) -> Option<Slot<'_>> {
        self.check_alive().ok()?;
        self.send_posts();
        self.free_slot()
    }

    /// Asks and waits. `args` are the parts of the head after its header.
    pub(super) fn call(
        &self,
        caller: Caller,
        opcode: Opcode,
        nodeid: u64,
        args: &[&[u8]],
    ) -> Result<Reply<'_>, Errno> {
        self.slot()?.ask(caller, opcode, nodeid, args, 0)
    }

    /// Asks without waiting: for what is told, not asked.
    pub(super) fn post(&self, opcode: Opcode, nodeid: u64, argument: &[u8]) {
        self.unsent.borrow_mut().push(Post { opcode, nodeid, argument: argument.to_vec(), data: Vec::new() });
        self.send_posts();
    }

    /// The guest no longer knows a node that it was told of so often. `now`: the node may hold something that is gone otherwise.
    pub(super) fn forget(&self, nodeid: u64, nlookup: u64, now: bool) {
        let mut forgets = self.forgets.borrow_mut();
        forgets.push(ForgetOne { nodeid, nlookup });
        if now || forgets.len() >= FORGETS {
            let data: Vec<u8> = forgets.drain(..).flat_map(|one| one.to_bytes()).collect();
            drop(forgets);
            let count = (data.len() / ForgetOne::LEN) as u32;
            let argument = husk_fuse::BatchForgetIn { count, dummy: 0 }.to_bytes().to_vec();
            let post = Post { opcode: Opcode::BatchForget, nodeid: 0, argument, data };
            self.unsent.borrow_mut().push(post);
            self.send_posts();
        }
    }

    fn send_posts(&self) {
        while !self.unsent.borrow().is_empty() {
            if self.check_alive().is_err() {
                drop(self.unsent.take());
                return;
            }
            let Some(slot) = self.free_slot() else { return };
            let post = self.unsent.borrow_mut().remove(0);
            self.unit.data(slot.index).write(&post.data);
            *self.posted.borrow_mut() |= 1 << slot.index;
            let caller = Caller::default();
            if slot.submit(caller, post.opcode, post.nodeid, &[&post.argument], post.data.len()).is_ok() {
                core::mem::forget(slot);
            } else {
                *self.posted.borrow_mut() &= !(1 << slot.index);
            }
        }
    }
}

/// A slot that belongs to a request.
pub(super) struct Slot<'a> {
    client: &'a Client,
    index: usize,
    /// The server has nothing to do with it.
    answered: bool,
}

impl<'a> Slot<'a> {
    /// Room for the request's data.
    pub(super) fn data(&self) -> Span<'static> {
        self.client.unit.data(self.index)
    }

    fn submit(
        &self,
        caller: Caller,
        opcode: Opcode,
        nodeid: u64,
        args: &[&[u8]],
        data_len: usize,
    ) -> Result<u64, Errno> {
        let len = InHeader::LEN + args.iter().map(|part| part.len()).sum::<usize>();
        if len > HEAD_LEN || data_len > DATA_LEN {
            return Err(Errno::ENAMETOOLONG);
        }
        let unique = self.client.unique.get();
        self.client.unique.set(unique + 1);
        let header = InHeader {
            len: len as u32,
            opcode: opcode as u32,
            unique,
            nodeid,
            uid: caller.uid,
            gid: caller.gid,
            pid: caller.pid,
            ..InHeader::default()
        };
        let head = self.client.unit.head(self.index);
        head.write(&header.to_bytes());
        let mut at = InHeader::LEN;
        for part in args {
            head.slice(at, part.len()).write(part);
            at += part.len();
        }
        self.client.unit.submit(self.index, len, data_len);
        Ok(unique)
    }

    /// Sends the request without waiting for its reply.
    pub(super) fn send(
        mut self,
        caller: Caller,
        opcode: Opcode,
        nodeid: u64,
        args: &[&[u8]],
        data_len: usize,
    ) -> Result<Sent<'a>, Errno> {
        let unique = self.submit(caller, opcode, nodeid, args, data_len)?;
        self.answered = false;
        Ok(Sent { slot: self, unique })
    }

    /// Sends the request and waits for its reply. An error of the server's is the error.
    pub(super) fn ask(
        self,
        caller: Caller,
        opcode: Opcode,
        nodeid: u64,
        args: &[&[u8]],
        data_len: usize,
    ) -> Result<Reply<'a>, Errno> {
        self.send(caller, opcode, nodeid, args, data_len)?.wait()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.answered {
            *self.client.used.borrow_mut() &= !(1 << self.index);
        } else {
            // Free once there is a reply, if ever.
            *self.client.posted.borrow_mut() |= 1 << self.index;
        }
    }
}

/// A request on its way.
pub(super) struct Sent<'a> {
    slot: Slot<'a>,
    unique: u64,
}

impl<'a> Sent<'a> {
    /// The slot and the request's number, for who keeps them and calls `from_parts` once.
    pub(super) fn into_parts(self) -> (usize, u64) {
        let parts = (self.slot.index, self.unique);
        core::mem::forget(self);
        parts
    }

    pub(super) fn from_parts(client: &'a Client, index: usize, unique: u64) -> Self {
        Self { slot: Slot { client, index, answered: false }, unique }
    }

    /// Waits for the reply.
    pub(super) fn wait(self) -> Result<Reply<'a>, Errno> {
        let Self { mut slot, unique } = self;
        let client = slot.client;
        if !client.unit.wait(slot.index) {
            client.dead.set(true);
            return Err(Errno::EIO);
        }
        slot.answered = true;
        let (head_len, data_len) = client.unit.reply(slot.index);
        let mut head = [0; HEAD_MAX];
        let len = head_len.min(HEAD_MAX);
        client.unit.head(slot.index).read(&mut head[..len]);
        let header = OutHeader::from_bytes(&head[..len]).filter(|header| header.unique == unique);
        match header.ok_or(Errno::EIO)?.error {
            0 => Ok(Reply { slot, head, len, data_len }),
            error @ -200..0 => Err(Errno(-error as u16)),
            _ => Err(Errno::EIO),
        }
    }
}

/// An answer without error.
pub(super) struct Reply<'a> {
    slot: Slot<'a>,
    head: [u8; HEAD_MAX],
    len: usize,
    data_len: usize,
}

impl<'a> Reply<'a> {
    /// The slot, for who keeps it and calls `of_slot` once.
    pub(super) fn into_slot(self) -> usize {
        let index = self.slot.index;
        core::mem::forget(self);
        index
    }

    /// A reply of which only `data_len` bytes of data matter.
    pub(super) fn of_slot(client: &'a Client, index: usize, data_len: usize) -> Self {
        let slot = Slot { client, index, answered: true };
        Self { slot, head: [0; HEAD_MAX], len: OutHeader::LEN, data_len: data_len.min(DATA_LEN) }
    }

    /// The head after its header.
    pub(super) fn body(&self) -> &[u8] {
        &self.head[OutHeader::LEN..self.len]
    }

    /// The data. The server may still write it.
    pub(super) fn data(&self) -> Span<'static> {
        self.slot.data().slice(0, self.data_len)
    }

    /// A copy of the data.
    pub(super) fn data_bytes(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.data_len];
        self.data().read(&mut bytes);
        bytes
    }
}
