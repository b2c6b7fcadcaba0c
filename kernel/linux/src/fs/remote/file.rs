//! An open file or directory of a volume: one handle of the server for each open file description.

use super::ahead::Changing;
use super::client::{Caller, Sent, Slot};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::regular::{report, within_size_limit};
use crate::file::{File, OpenFile, seek_within};
use crate::fs::dir::Listed;
use crate::fs::inode::Inode;
use crate::fs::{Stat, contents};
use alloc::sync::Arc;
use husk_fuse::{
    Direntplus, FallocateIn, FsyncIn, LseekIn, LseekOut, Opcode, OpenIn, OpenOut, ReadIn, ReleaseIn, WriteIn,
    WriteOut,
};
use husk_machine::cell::KCell;
use husk_ring::DATA_LEN;
use linux_raw_sys::general::{
    FALLOC_FL_PUNCH_HOLE, FALLOC_FL_ZERO_RANGE, IN_ACCESS, IN_MODIFY, O_ACCMODE, O_APPEND, O_DSYNC,
    O_NOATIME, O_SYNC, O_TRUNC, SEEK_DATA, SEEK_HOLE,
};

/// The flags of an open file that the server needs.
pub(super) fn server_flags(flags: u32) -> u32 {
    flags & (O_ACCMODE | O_APPEND | O_DSYNC | O_NOATIME | O_SYNC | O_TRUNC)
}

/// So many pieces are read ahead of a program that has read one to its end.
const AHEAD: usize = 2;

/// How many of `left` bytes to ask for at once: of what fits into one request the half, so that the server copies one while
/// the kernel copies the other.
fn piece(left: usize) -> usize {
    const HALF: usize = DATA_LEN / 2;
    if left > HALF && left <= DATA_LEN { HALF } else { left.min(DATA_LEN) }
}

/// Opens a node: the handle.
fn open_handle(inode: &Inode, flags: u32) -> Result<u64, Errno> {
    let remote = inode.remote().ok_or(Errno::EIO)?;
    let opcode = if inode.is_directory() { Opcode::Opendir } else { Opcode::Open };
    let ask = OpenIn { flags: server_flags(flags), open_flags: 0 };
    let client = inode.client()?;
    let _changing = (flags & O_TRUNC != 0).then(|| Changing::new(inode.ino));
    let reply = client.call(Caller::current(), opcode, remote.nodeid, &[&ask.to_bytes()])?;
    Ok(OpenOut::from_bytes(reply.body()).ok_or(Errno::EIO)?.fh)
}

/// What an open file of a volume is open on.
pub(crate) struct RemoteFile {
    inode: Arc<Inode>,
    handle: KCell<u64>,
    /// Whether what is written through the handle goes to the end of the file.
    appends: KCell<bool>,
    /// Where the last read ended.
    read_to: KCell<u64>,
    /// How many pieces to read ahead when the next read begins there.
    ahead: KCell<usize>,
}

impl RemoteFile {
    pub(super) fn new(inode: Arc<Inode>, handle: u64, flags: u32) -> Arc<Self> {
        let appends = KCell::new(flags & O_APPEND != 0);
        let (read_to, ahead) = (KCell::new(0), KCell::new(1));
        Arc::new(Self { inode, handle: KCell::new(handle), appends, read_to, ahead })
    }

    /// Opens a regular file or a directory. `flags`: O_*.
    pub(crate) fn open(inode: &Arc<Inode>, flags: u32) -> Result<Arc<Self>, Errno> {
        let handle = open_handle(inode, flags)?;
        if let Some(remote) = inode.remote() {
            let seen = (inode.attributes().mtime, inode.stat().size);
            remote.mapped.opened(if flags & O_TRUNC != 0 { (0, 0) } else { seen });
        }
        Ok(Self::new(inode.clone(), handle, flags))
    }

    pub(super) fn inode(&self) -> &Arc<Inode> {
        &self.inode
    }

    pub(super) fn handle(&self) -> u64 {
        self.handle.get()
    }

    /// Whether the handle appends was settled when it was opened; fcntl(2) can change it for the open file: then it gets another.
    fn follow_flags(&self, flags: u32) -> Result<(), Errno> {
        let appends = flags & O_APPEND != 0;
        if appends != self.appends.get() {
            let handle = open_handle(&self.inode, flags & !O_TRUNC)?;
            self.release_handle(self.handle.replace(handle));
            self.appends.set(appends);
        }
        Ok(())
    }

    fn release_handle(&self, handle: u64) {
        let ask = ReleaseIn { fh: handle, ..ReleaseIn::default() };
        let opcode = if self.inode.is_directory() { Opcode::Releasedir } else { Opcode::Release };
        if let Ok(client) = self.inode.client() {
            client.drop_pieces_of(handle);
            client.post(opcode, self.nodeid(), &ask.to_bytes());
        }
    }

    fn nodeid(&self) -> u64 {
        self.inode.remote().map_or(0, |remote| remote.nodeid)
    }

    fn send_read(&self, at: u64, size: usize) -> Result<Sent<'_>, Errno> {
        let ask = ReadIn { fh: self.handle(), offset: at, size: size as u32, ..ReadIn::default() };
        let slot = self.inode.client()?.slot()?;
        slot.send(Caller::current(), Opcode::Read, self.nodeid(), &[&ask.to_bytes()], 0)
    }

    /// Sends what is in `slot`.
    fn send_write<'a>(&self, slot: Slot<'a>, at: u64, len: usize, flags: u32) -> Result<Sent<'a>, Errno> {
        let ask = WriteIn {
            fh: self.handle(),
            offset: at,
            size: len as u32,
            flags: server_flags(flags),
            ..WriteIn::default()
        };
        slot.send(Caller::current(), Opcode::Write, self.nodeid(), &[&ask.to_bytes()], len)
    }

    /// The size as it is now.
    pub(crate) fn size(&self) -> Result<u64, Errno> {
        Ok(File::stat(self)?.size)
    }

    /// fallocate(2).
    pub(crate) fn allocate(&self, mode: u32, offset: u64, length: u64) -> Result<(), Errno> {
        super::attributes::drop_privilege_bits(&self.inode)?;
        super::write_back(&self.inode)?;
        let _changing = Changing::new(self.inode.ino);
        let ask = FallocateIn { fh: self.handle(), offset, length, mode, padding: 0 };
        let client = self.inode.client()?;
        drop(client.call(Caller::current(), Opcode::Fallocate, self.nodeid(), &[&ask.to_bytes()])?);
        if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) != 0
            && let Some(remote) = self.inode.remote()
        {
            remote.mapped.clear(offset, offset + length);
        }
        Ok(())
    }

    /// fsync(2), fdatasync(2).
    pub(crate) fn sync(&self, data_only: bool) -> Result<(), Errno> {
        super::write_back(&self.inode)?;
        let ask = FsyncIn { fh: self.handle(), fsync_flags: u32::from(data_only), padding: 0 };
        let opcode = if self.inode.is_directory() { Opcode::Fsyncdir } else { Opcode::Fsync };
        let client = self.inode.client()?;
        drop(client.call(Caller::current(), opcode, self.nodeid(), &[&ask.to_bytes()])?);
        Ok(())
    }
}

impl File for RemoteFile {
    fn read(&self, of: &OpenFile, mut at: u64, sink: &mut Sink<'_>) -> SysResult {
        if self.inode.is_directory() {
            return Err(Errno::EISDIR);
        }
        super::write_back(&self.inode)?;
        let mut left = sink.left();
        let mut done = 0;
        let sequential = at == self.read_to.get() && (at > 0 || left > DATA_LEN / 4);
        if !sequential {
            self.ahead.set(1);
            self.inode.client()?.drop_pieces_of(self.handle());
        }
        while left > 0 {
            match self.read_piece(at, sink) {
                Ok(0) => break,
                Ok(put) => {
                    done += put;
                    at += put as u64;
                    left -= put;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(self.was_read(of, at, done)),
            }
        }
        // Requests on their way: the next one is sent before this one's bytes are copied.
        let mut next: Option<Sent<'_>> = None;
        let mut asked = at;
        while left > 0 {
            let size = piece(left);
            let sent = match next.take() {
                Some(sent) => Ok(sent),
                None => {
                    asked = at;
                    self.send_read(at, size)
                }
            };
            asked += size as u64;
            let reply = sent.and_then(|sent| {
                if left > size {
                    next = Some(self.send_read(asked, piece(left - size))?);
                } else if sequential {
                    self.read_ahead(asked);
                }
                sent.wait()
            });
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            let data = reply.data();
            let data = data.slice(0, data.len().min(size));
            let put = match sink.put_span(data) {
                Ok(put) => put,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            };
            done += put;
            at += put as u64;
            left -= put;
            if put < size {
                break;
            }
        }
        Ok(self.was_read(of, at, done))
    }

    fn write(&self, of: &OpenFile, mut at: u64, source: &mut Source<'_>) -> SysResult {
        let left = source.left();
        if left == 0 {
            return Ok(0);
        }
        if at >= contents::SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        source.limit(within_size_limit(at, left)?);
        super::attributes::drop_privilege_bits(&self.inode)?;
        self.follow_flags(of.flags())?;
        let _changing = Changing::new(self.inode.ino);
        let mut done = 0;
        while source.left() > 0 {
            let written = self.write_once(of, at, source);
            match written {
                Ok((count, wanted)) => {
                    done += count;
                    at += count as u64;
                    if count < wanted {
                        break;
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if done > 0 {
            report(of, IN_MODIFY);
        }
        Ok(done)
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn seek(&self, of: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        if self.inode.is_directory() {
            // A position is a cookie of the server's file system.
            return seek_within(of, offset, whence, i64::MAX as u64);
        }
        let position = match whence {
            SEEK_DATA | SEEK_HOLE => {
                let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let ask = LseekIn { fh: self.handle(), offset, whence, padding: 0 };
                let client = self.inode.client()?;
                let reply =
                    client.call(Caller::current(), Opcode::Lseek, self.nodeid(), &[&ask.to_bytes()])?;
                LseekOut::from_bytes(reply.body()).ok_or(Errno::EIO)?.offset
            }
            linux_raw_sys::general::SEEK_END => return seek_within(of, offset, whence, self.stat()?.size),
            _ => return seek_within(of, offset, whence, 0),
        };
        of.set_position(position);
        Ok(position)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        self.inode.refresh_by(Some(self.handle()))?;
        Ok(self.inode.stat())
    }

    fn release(&self, _of: &OpenFile) {
        self.release_handle(self.handle.get());
    }
}

impl RemoteFile {
    /// Reads from what was read ahead: 0 if that is nothing.
    fn read_piece(&self, at: u64, sink: &mut Sink<'_>) -> SysResult {
        let client = self.inode.client()?;
        let Some(piece) = client.take_piece(self.handle(), at) else { return Ok(0) };
        let end = piece.end();
        // The server reads the next piece while this one is copied.
        self.read_ahead(end);
        let Some(ready) = client.bytes_of(piece, at) else { return Ok(0) };
        let put = sink.put_span(ready.data())?;
        if at + put as u64 == end {
            self.ahead.set(AHEAD);
        }
        ready.keep_rest(client, put);
        Ok(put)
    }

    /// Asks for what follows `from`, as far as the file is known to go.
    fn read_ahead(&self, from: u64) {
        if let (Ok(client), Some(remote)) = (self.inode.client(), self.inode.remote()) {
            let range = from..remote.rest.borrow().size;
            client.read_ahead(remote.nodeid, self.inode.ino, self.handle(), range, self.ahead.get());
        }
    }

    /// A read came as far as `to` and gives `count` bytes.
    fn was_read(&self, of: &OpenFile, to: u64, count: usize) -> usize {
        self.read_to.set(to);
        if count > 0 {
            report(of, IN_ACCESS);
        }
        count
    }

    /// Writes up to one request's bytes: how many were written, and how many were to be.
    fn write_once(&self, of: &OpenFile, at: u64, source: &mut Source<'_>) -> Result<(usize, usize), Errno> {
        let wanted = source.left().min(DATA_LEN);
        let slot = self.inode.client()?.slot()?;
        let len = source.take_span(slot.data().slice(0, wanted))?;
        let mapped = &self.inode.remote().ok_or(Errno::EIO)?.mapped;
        let bytes = (!mapped.is_empty()).then(|| {
            let mut bytes = alloc::vec![0; len];
            slot.data().slice(0, len).read(&mut bytes);
            bytes
        });
        let reply = self.send_write(slot, at, len, of.flags())?.wait()?;
        let count = WriteOut::from_bytes(reply.body()).ok_or(Errno::EIO)?.size as usize;
        let count = count.min(len);
        drop(reply);
        if let Some(bytes) = bytes {
            // What was appended lies where the file ends now.
            let at = if self.appends.get() { self.size()?.saturating_sub(count as u64) } else { at };
            mapped.overwrite(at, &bytes[..count]);
        }
        Ok((count, wanted))
    }

    /// Writes `bytes` at `at`, for what was written through a mapping.
    pub(super) fn write_at(&self, mut at: u64, mut bytes: &[u8]) -> Result<(), Errno> {
        let _changing = Changing::new(self.inode.ino);
        while !bytes.is_empty() {
            let slot = self.inode.client()?.slot()?;
            let len = bytes.len().min(DATA_LEN);
            slot.data().write(&bytes[..len]);
            let reply = self.send_write(slot, at, len, 0)?.wait()?;
            let count = WriteOut::from_bytes(reply.body()).ok_or(Errno::EIO)?.size as usize;
            if count == 0 || count > len {
                return Err(Errno::EIO);
            }
            at += count as u64;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

/// Gives the names of an open directory from `cookie` on to `each` until it returns false. `.` and `..` are among them, and
/// cookies are the server's. `room` is how many bytes of records the caller can take.
pub(crate) fn list(
    of: &OpenFile,
    cookie: u64,
    room: usize,
    mut each: impl FnMut(Listed<'_>) -> bool,
) -> Result<(), Errno> {
    let Some(file) = of.object.downcast::<RemoteFile>() else { return Err(Errno::ENOTDIR) };
    let path = of.path.as_ref().ok_or(Errno::ENOTDIR)?;
    let parent = path.entry.parent().map_or(file.inode.ino, |parent| parent.inode().ino);
    let client = file.inode.client()?;
    // A record here has attributes, one of getdents(2) has not.
    let size = (room.saturating_mul(6)).clamp(4096, DATA_LEN);
    let mut offset = cookie;
    loop {
        let ask = ReadIn { fh: file.handle(), offset, size: size as u32, ..ReadIn::default() };
        let reply = client.call(Caller::current(), Opcode::Readdirplus, file.nodeid(), &[&ask.to_bytes()])?;
        let bytes = reply.data_bytes();
        drop(reply);
        if bytes.is_empty() {
            return Ok(());
        }
        let mut rest = &bytes[..];
        let (mut going, mut any) = (true, false);
        while let Some((record, after)) = Direntplus::split(rest) {
            rest = after;
            any = true;
            let dots = matches!(record.name, b"." | b"..");
            if record.entry.nodeid != 0 && !dots {
                // Looked up for us; a lookup of ours would do it again.
                client.forget(record.entry.nodeid, 1, false);
            }
            if record.name.is_empty() || record.name.contains(&b'/') || record.name.contains(&0) {
                return Err(Errno::EIO);
            }
            let ino = match record.name {
                b"." => file.inode.ino,
                b".." => parent,
                _ => record.dirent.ino,
            };
            offset = record.dirent.off;
            going = going
                && each(Listed {
                    cookie: record.dirent.off.wrapping_sub(1),
                    name: record.name,
                    ino,
                    kind: record.dirent.kind << 12,
                });
        }
        if !any {
            return Err(Errno::EIO);
        }
        if !going {
            return Ok(());
        }
    }
}
