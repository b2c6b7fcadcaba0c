//! Bytes in flight between two sockets, and the queue they wait in.
//!
//! A payload is written once, from the sender's memory, and read in place: small ones live in the kernel heap, large
//! ones in pages, so bytes are copied once in and once out. No queue is borrowed while user memory is touched.

use crate::errno::Errno;
use crate::file::io::{Sink, Source};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use husk_abi::layout::PAGE_SIZE;
use husk_machine::page::Pages;

/// Up to this many bytes a payload is a heap block.
const SMALL: usize = 2048;
/// Bytes of one run of pages: larger payloads take several, since long runs may be hard to find.
const RUN: usize = 16 * PAGE_SIZE;

enum Blocks {
    Small(Vec<u8>),
    Large(Vec<Pages>),
}

/// Immutable bytes, `len` of them.
pub struct Payload {
    blocks: Blocks,
    len: usize,
}

impl Payload {
    /// Takes up to `len` bytes from `source`; fewer if a fault ends them early.
    pub fn take(source: &mut Source<'_>, len: usize) -> Result<Self, Errno> {
        if len <= SMALL {
            let mut bytes = alloc::vec![0; len];
            let taken = source.take(&mut bytes)?;
            bytes.truncate(taken);
            return Ok(Self { blocks: Blocks::Small(bytes), len: taken });
        }
        let mut runs = Vec::with_capacity(len.div_ceil(RUN));
        let mut done = 0;
        while done < len {
            let part = (len - done).min(RUN);
            let pages = Pages::unzeroed(part.div_ceil(PAGE_SIZE)).map_err(|_| Errno::ENOBUFS)?;
            let taken = match source.take_span(pages.span().slice(0, part)) {
                Ok(taken) => taken,
                Err(_) if done > 0 => 0,
                Err(error) => return Err(error),
            };
            runs.push(pages);
            done += taken;
            if taken < part {
                break;
            }
        }
        Ok(Self { blocks: Blocks::Large(runs), len: done })
    }

    /// As `take`, but all of it or EFAULT: for messages.
    pub fn take_whole(source: &mut Source<'_>, len: usize) -> Result<Self, Errno> {
        let payload = Self::take(source, len)?;
        if payload.len < len { Err(Errno::EFAULT) } else { Ok(payload) }
    }

    /// Bytes of the kernel's own.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), blocks: Blocks::Small(bytes) }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts the bytes from `start` on, as many as fit; how many did.
    pub fn put(&self, sink: &mut Sink<'_>, start: usize) -> Result<usize, Errno> {
        match &self.blocks {
            Blocks::Small(bytes) => sink.put(&bytes[start..]),
            Blocks::Large(runs) => {
                let (mut at, mut done) = (start, 0);
                while at < self.len {
                    let run = &runs[at / RUN];
                    let offset = at % RUN;
                    let part = (RUN - offset).min(self.len - at);
                    match sink.put_span(run.span().slice(offset, part)) {
                        Ok(put) => {
                            at += put;
                            done += put;
                            if put < part {
                                break;
                            }
                        }
                        Err(_) if done > 0 => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(done)
            }
        }
    }

    /// A copy of all bytes, for headers that the kernel itself reads.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.len];
        self.put(&mut Sink::Kernel(&mut bytes), 0).expect("kernel memory does not fault");
        bytes
    }
}

/// A payload on its way, with what its family sends along.
pub struct Segment<X> {
    pub payload: Payload,
    /// Bytes that stream reads have consumed.
    pub start: usize,
    pub extra: X,
}

impl<X> Segment<X> {
    pub fn left(&self) -> usize {
        self.payload.len() - self.start
    }
}

/// What a segment costs besides its bytes, so that a buffer of one-byte writes is bounded too.
const OVERHEAD: usize = 512;

/// Segments that wait for a reader, in order.
pub struct Queue<X> {
    segments: VecDeque<Segment<X>>,
    bytes: usize,
}

impl<X> Default for Queue<X> {
    fn default() -> Self {
        Self { segments: VecDeque::new(), bytes: 0 }
    }
}

impl<X> Queue<X> {
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Segments that wait.
    pub fn len(&self) -> usize {
        self.segments.len()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What the queue counts against the limit of a buffer: its bytes and a share for each segment.
    pub fn charge(&self) -> usize {
        self.bytes + self.segments.len() * OVERHEAD
    }

    pub fn push(&mut self, payload: Payload, extra: X) {
        self.bytes += payload.len();
        self.segments.push_back(Segment { payload, start: 0, extra });
    }

    /// As `push`, for streams whose segments mean nothing: small ones are joined, so that they cost no more than bytes,
    /// unless something came with them.
    pub fn append(&mut self, payload: Payload)
    where
        X: Default + PartialEq,
    {
        if let Some(last) = self.segments.back_mut()
            && last.extra == X::default()
            && let (Blocks::Small(bytes), Blocks::Small(more)) = (&mut last.payload.blocks, &payload.blocks)
            && bytes.len() + more.len() <= SMALL
        {
            bytes.extend_from_slice(more);
            last.payload.len += more.len();
            self.bytes += more.len();
            return;
        }
        self.push(payload, X::default());
    }

    pub fn front(&self) -> Option<&Segment<X>> {
        self.segments.front()
    }

    /// Takes the first segment out; a reader that leaves some of it puts it back.
    pub fn pop(&mut self) -> Option<Segment<X>> {
        let segment = self.segments.pop_front()?;
        self.bytes -= segment.left();
        Some(segment)
    }

    pub fn put_back(&mut self, segment: Segment<X>) {
        self.bytes += segment.left();
        self.segments.push_front(segment);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Segment<X>> {
        self.segments.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Segment<X>> {
        self.segments.iter_mut()
    }
}
