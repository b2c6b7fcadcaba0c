//! Where read-like calls put bytes and write-like calls take them: user memory (one buffer or an iovec) or kernel memory.
//!
//! Partial progress wins over an error: a fault after some bytes ends the transfer, and the call returns their count.

use crate::errno::Errno;
use crate::mem::user;
use alloc::vec::Vec;
use husk_machine::span::Span;

/// A piece of user memory: address and length. Not checked until it is touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserRange {
    pub start: usize,
    pub len: usize,
}

/// A list of user ranges that is consumed from the front.
#[derive(Debug)]
pub struct UserRanges {
    current: UserRange,
    /// The ranges after the current one, last first.
    rest: Vec<UserRange>,
}

impl UserRanges {
    pub fn one(start: usize, len: usize) -> Self {
        Self { current: UserRange { start, len }, rest: Vec::new() }
    }

    pub fn many(mut ranges: Vec<UserRange>) -> Self {
        ranges.reverse();
        let current = ranges.pop().unwrap_or_default();
        Self { current, rest: ranges }
    }

    fn left(&self) -> usize {
        self.current.len + self.rest.iter().map(|range| range.len).sum::<usize>()
    }

    fn limit(&mut self, mut len: usize) {
        self.current.len = self.current.len.min(len);
        len -= self.current.len;
        for range in self.rest.iter_mut().rev() {
            range.len = range.len.min(len);
            len -= range.len;
        }
    }

    /// Moves up to `len` bytes by `copy(user address, offset, length)`; returns how many before the end or a fault.
    fn transfer(
        &mut self,
        len: usize,
        mut copy: impl FnMut(usize, usize, usize) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while done < len {
            if self.current.len == 0 {
                let Some(next) = self.rest.pop() else { break };
                self.current = next;
                continue;
            }
            let part = self.current.len.min(len - done);
            match copy(self.current.start, done, part) {
                Ok(()) => {}
                Err(error) if done == 0 => return Err(error),
                Err(_) => {
                    // Later calls must not skip over the hole.
                    self.current.len = 0;
                    self.rest.clear();
                    break;
                }
            }
            self.current.start += part;
            self.current.len -= part;
            done += part;
        }
        Ok(done)
    }
}

/// Where bytes go.
#[derive(Debug)]
pub enum Sink<'a> {
    User(UserRanges),
    Kernel(&'a mut [u8]),
}

impl Sink<'_> {
    pub fn user(start: usize, len: usize) -> Self {
        Self::User(UserRanges::one(start, len))
    }

    /// Bytes that still fit.
    pub fn left(&self) -> usize {
        match self {
            Self::User(ranges) => ranges.left(),
            Self::Kernel(buf) => buf.len(),
        }
    }

    /// Puts as many of `data` as fit and returns how many; EFAULT only if not one byte could be put.
    pub fn put(&mut self, data: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::User(ranges) => ranges.transfer(data.len(), |address, offset, len| {
                user::copy_out(address, &data[offset..offset + len])
            }),
            Self::Kernel(buf) => {
                let len = data.len().min(buf.len());
                let (head, tail) = core::mem::take(buf).split_at_mut(len);
                head.copy_from_slice(&data[..len]);
                *buf = tail;
                Ok(len)
            }
        }
    }

    /// As `put`, from memory that may change meanwhile.
    pub fn put_span(&mut self, data: Span<'_>) -> Result<usize, Errno> {
        match self {
            Self::User(ranges) => ranges.transfer(data.len(), |address, offset, len| {
                user::copy_out_span(address, data.slice(offset, len))
            }),
            Self::Kernel(buf) => {
                let len = data.len().min(buf.len());
                let (head, tail) = core::mem::take(buf).split_at_mut(len);
                data.slice(0, len).read(head);
                *buf = tail;
                Ok(len)
            }
        }
    }

    /// Puts up to `len` zero bytes.
    pub fn put_zeros(&mut self, len: usize) -> Result<usize, Errno> {
        match self {
            Self::User(ranges) => ranges.transfer(len, |address, _, len| user::fill(address, len, 0)),
            Self::Kernel(buf) => {
                let len = len.min(buf.len());
                let (head, tail) = core::mem::take(buf).split_at_mut(len);
                head.fill(0);
                *buf = tail;
                Ok(len)
            }
        }
    }
}

/// Where bytes come from.
#[derive(Debug)]
pub enum Source<'a> {
    User(UserRanges),
    Kernel(&'a [u8]),
}

impl Source<'_> {
    pub fn user(start: usize, len: usize) -> Self {
        Self::User(UserRanges::one(start, len))
    }

    /// Bytes still to be taken.
    pub fn left(&self) -> usize {
        match self {
            Self::User(ranges) => ranges.left(),
            Self::Kernel(buf) => buf.len(),
        }
    }

    /// Leaves at most `len` bytes to be taken.
    pub fn limit(&mut self, len: usize) {
        match self {
            Self::User(ranges) => ranges.limit(len),
            Self::Kernel(buf) => *buf = &buf[..len.min(buf.len())],
        }
    }

    /// Takes up to `out.len()` bytes and returns how many; EFAULT only if not one byte could be taken.
    pub fn take(&mut self, out: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::User(ranges) => ranges.transfer(out.len(), |address, offset, len| {
                user::copy_in(address, &mut out[offset..offset + len])
            }),
            Self::Kernel(buf) => {
                let (head, tail) = buf.split_at(out.len().min(buf.len()));
                out[..head.len()].copy_from_slice(head);
                *buf = tail;
                Ok(head.len())
            }
        }
    }

    /// As `take`, into memory that others may see.
    pub fn take_span(&mut self, out: Span<'_>) -> Result<usize, Errno> {
        match self {
            Self::User(ranges) => ranges.transfer(out.len(), |address, offset, len| {
                user::copy_in_span(address, out.slice(offset, len))
            }),
            Self::Kernel(buf) => {
                let (head, tail) = buf.split_at(out.len().min(buf.len()));
                out.write(head);
                *buf = tail;
                Ok(head.len())
            }
        }
    }

    /// Takes everything that is left into a vector: for messages and other bounded input.
    pub fn take_all(&mut self) -> Result<Vec<u8>, Errno> {
        let mut bytes = alloc::vec![0; self.left()];
        let len = self.take(&mut bytes)?;
        if len < bytes.len() { Err(Errno::EFAULT) } else { Ok(bytes) }
    }
}
