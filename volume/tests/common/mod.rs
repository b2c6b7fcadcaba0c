//! A guest's kernel in small: asks a server by messages, as one would through the ring.

#![allow(dead_code, reason = "each test uses a part of it")]

use husk_fuse as fuse;
use husk_fuse::{Attr, EntryOut, InHeader, Opcode, OutHeader};
use husk_volume::{Access, Data, Ids, Server};
use rustix::fs::{Mode, OFlags};
use std::path::Path;

pub(crate) const ROOT: u64 = fuse::ROOT_ID;

/// Result of a request: reply arguments and data, or a (positive) error number.
pub(crate) type Answer = Result<(Vec<u8>, Vec<u8>), i32>;

pub(crate) struct Client {
    pub(crate) server: Server,
    /// Whom requests are made by.
    pub(crate) ids: (u32, u32),
}

fn with_nul(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

impl Client {
    pub(crate) fn new(folder: &Path, access: Access) -> Self {
        let root = rustix::fs::open(folder, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { server: Server::new(root, access, Ids::of_process()).unwrap(), ids: (0, 0) }
    }

    pub(crate) fn ask(&self, opcode: Opcode, node: u64, parts: &[&[u8]], data: &[u8]) -> Answer {
        let body = parts.concat();
        let header = InHeader {
            len: (InHeader::LEN + body.len()) as u32,
            opcode: opcode as u32,
            unique: 7,
            nodeid: node,
            uid: self.ids.0,
            gid: self.ids.1,
            ..InHeader::default()
        };
        let head = [header.to_bytes().as_slice(), &body].concat();
        let mut memory = vec![0; husk_ring::DATA_LEN];
        memory[..data.len()].copy_from_slice(data);
        let (reply, len) = self.server.serve(&head, data.len(), &mut Data::from(memory.as_mut_slice()));
        let out = OutHeader::from_bytes(&reply).unwrap();
        assert_eq!((out.len as usize, out.unique), (reply.len(), 7));
        assert!(reply.len() <= husk_ring::HEAD_LEN);
        match out.error {
            0 => Ok((reply[OutHeader::LEN..].to_vec(), memory[..len].to_vec())),
            error => Err(-error),
        }
    }

    pub(crate) fn entry(
        &self,
        opcode: Opcode,
        node: u64,
        parts: &[&[u8]],
        data: &[u8],
    ) -> Result<(u64, Attr), i32> {
        let (reply, _) = self.ask(opcode, node, parts, data)?;
        let entry = EntryOut::from_bytes(&reply).unwrap();
        Ok((entry.nodeid, Attr::from_bytes(&reply[EntryOut::LEN..]).unwrap()))
    }

    pub(crate) fn look_up(&self, parent: u64, name: &str) -> Result<u64, i32> {
        self.entry(Opcode::Lookup, parent, &[&with_nul(name)], b"").map(|(node, _)| node)
    }

    pub(crate) fn open(&self, node: u64, flags: i32) -> Result<u64, i32> {
        let open = fuse::OpenIn { flags: flags as u32, open_flags: 0 };
        let (reply, _) = self.ask(Opcode::Open, node, &[&open.to_bytes()], b"")?;
        Ok(fuse::OpenOut::from_bytes(&reply).unwrap().fh)
    }

    pub(crate) fn create(&self, parent: u64, name: &str, flags: i32, mode: u32) -> Result<(u64, u64), i32> {
        let create = fuse::CreateIn { flags: flags as u32, mode, umask: 0o022, open_flags: 0 };
        let (reply, _) = self.ask(Opcode::Create, parent, &[&create.to_bytes(), &with_nul(name)], b"")?;
        let entry = EntryOut::from_bytes(&reply).unwrap();
        Ok((entry.nodeid, fuse::OpenOut::from_bytes(&reply[EntryOut::LEN + Attr::LEN..]).unwrap().fh))
    }

    pub(crate) fn read(&self, node: u64, fh: u64, offset: u64, size: u32) -> Result<Vec<u8>, i32> {
        let read = fuse::ReadIn { fh, offset, size, ..fuse::ReadIn::default() };
        self.ask(Opcode::Read, node, &[&read.to_bytes()], b"").map(|(_, data)| data)
    }

    pub(crate) fn write(
        &self,
        node: u64,
        fh: u64,
        offset: u64,
        flags: i32,
        bytes: &[u8],
    ) -> Result<u32, i32> {
        let (size, flags) = (bytes.len() as u32, flags as u32);
        let write = fuse::WriteIn { fh, offset, size, flags, ..fuse::WriteIn::default() };
        let (reply, _) = self.ask(Opcode::Write, node, &[&write.to_bytes()], bytes)?;
        Ok(fuse::WriteOut::from_bytes(&reply).unwrap().size)
    }

    pub(crate) fn attributes(&self, node: u64) -> Result<Attr, i32> {
        let (reply, _) = self.ask(Opcode::Getattr, node, &[&fuse::GetattrIn::default().to_bytes()], b"")?;
        Ok(Attr::from_bytes(&reply[fuse::AttrOut::LEN..]).unwrap())
    }

    pub(crate) fn set(&self, node: u64, set: fuse::SetattrIn) -> Result<Attr, i32> {
        let (reply, _) = self.ask(Opcode::Setattr, node, &[&set.to_bytes()], b"")?;
        Ok(Attr::from_bytes(&reply[fuse::AttrOut::LEN..]).unwrap())
    }

    pub(crate) fn mkdir(&self, parent: u64, name: &str) -> Result<u64, i32> {
        let mkdir = fuse::MkdirIn { mode: 0o777, umask: 0o022 };
        self.entry(Opcode::Mkdir, parent, &[&mkdir.to_bytes(), &with_nul(name)], b"").map(|(node, _)| node)
    }

    pub(crate) fn symlink(&self, parent: u64, name: &str, target: &str) -> Result<u64, i32> {
        self.entry(Opcode::Symlink, parent, &[&with_nul(name)], target.as_bytes()).map(|(node, _)| node)
    }

    pub(crate) fn link(&self, old: u64, parent: u64, name: &str) -> Result<u64, i32> {
        let link = fuse::LinkIn { oldnodeid: old };
        self.entry(Opcode::Link, parent, &[&link.to_bytes(), &with_nul(name)], b"").map(|(node, _)| node)
    }

    pub(crate) fn unlink(&self, parent: u64, name: &str) -> Result<(), i32> {
        self.ask(Opcode::Unlink, parent, &[&with_nul(name)], b"").map(|_| ())
    }

    pub(crate) fn rename(&self, from: (u64, &str), to: (u64, &str), flags: u32) -> Result<(), i32> {
        let rename = fuse::Rename2In { newdir: to.0, flags, padding: 0 };
        let names = [with_nul(from.1), with_nul(to.1)].concat();
        self.ask(Opcode::Rename2, from.0, &[&rename.to_bytes(), &names], b"").map(|_| ())
    }

    pub(crate) fn forget(&self, node: u64, nlookup: u64) {
        let forget = fuse::ForgetIn { nlookup };
        self.ask(Opcode::Forget, node, &[&forget.to_bytes()], b"").unwrap();
    }

    /// All names of a directory but `.` and `..`, asked for in pieces of `size` bytes.
    pub(crate) fn list(&self, node: u64, size: u32) -> Result<Vec<String>, i32> {
        let (reply, _) = self.ask(Opcode::Opendir, node, &[&fuse::OpenIn::default().to_bytes()], b"")?;
        let fh = fuse::OpenOut::from_bytes(&reply).unwrap().fh;
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let read = fuse::ReadIn { fh, offset, size, ..fuse::ReadIn::default() };
            let (_, data) = self.ask(Opcode::Readdirplus, node, &[&read.to_bytes()], b"")?;
            if data.is_empty() {
                break;
            }
            let mut rest = data.as_slice();
            while let Some((record, after)) = fuse::Direntplus::split(rest) {
                offset = record.dirent.off;
                names.push(String::from_utf8_lossy(record.name).into_owned());
                rest = after;
            }
            assert!(rest.is_empty());
        }
        let release = fuse::ReleaseIn { fh, ..fuse::ReleaseIn::default() };
        self.ask(Opcode::Releasedir, node, &[&release.to_bytes()], b"")?;
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    pub(crate) fn lock(
        &self,
        node: u64,
        owner: u64,
        kind: i32,
        range: (u64, u64),
        lk_flags: u32,
    ) -> Result<(), i32> {
        let (start, end) = range;
        let lock = fuse::LkIn { owner, start, end, kind: kind as u32, lk_flags, ..fuse::LkIn::default() };
        self.ask(Opcode::Setlk, node, &[&lock.to_bytes()], b"").map(|_| ())
    }

    pub(crate) fn set_xattr(&self, node: u64, name: &str, value: &[u8]) -> Result<(), i32> {
        let set = fuse::SetxattrIn { size: value.len() as u32, flags: 0 };
        self.ask(Opcode::Setxattr, node, &[&set.to_bytes(), &with_nul(name)], value).map(|_| ())
    }

    pub(crate) fn xattr(&self, node: u64, name: &str, size: u32) -> Answer {
        let get = fuse::GetxattrIn { size, padding: 0 };
        self.ask(Opcode::Getxattr, node, &[&get.to_bytes(), &with_nul(name)], b"")
    }
}
