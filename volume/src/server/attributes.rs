//! Attributes of nodes, plain and extended.

use super::{Answer, Server, VALID, device, stat};
use crate::host::Data;
use husk_fuse as fuse;
use husk_fuse::{Attr, AttrOut, Opcode, fattr, split_name};
use rustix::fs::{self, AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;

impl Server {
    pub(super) fn attributes_of(&self, stat: &Stat) -> Attr {
        let (uid, gid) = self.ids.to_guest(stat.st_uid, stat.st_gid);
        Attr {
            ino: stat.st_ino,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: stat.st_atime as u64,
            mtime: stat.st_mtime as u64,
            ctime: stat.st_ctime as u64,
            atimensec: stat.st_atime_nsec as u32,
            mtimensec: stat.st_mtime_nsec as u32,
            ctimensec: stat.st_ctime_nsec as u32,
            mode: stat.st_mode,
            nlink: stat.st_nlink as u32,
            uid,
            gid,
            rdev: device(stat.st_rdev),
            blksize: stat.st_blksize as u32,
            flags: 0,
        }
    }

    /// The reply to GETATTR and SETATTR.
    pub(super) fn attributes(&self, stat: &Stat) -> Result<Vec<u8>, Errno> {
        let out = AttrOut { attr_valid: VALID, attr_valid_nsec: 0, dummy: 0 };
        Ok([out.to_bytes().as_slice(), &self.attributes_of(stat).to_bytes()].concat())
    }

    pub(super) fn set_attributes(&self, id: u64, body: &[u8]) -> Result<Vec<u8>, Errno> {
        let (set, _) = arguments!(body, SetattrIn);
        let node = self.nodes.get(id)?;
        let place = self.place(&node);
        let asks = |bit: u32| set.valid & bit != 0;
        if asks(fattr::UID | fattr::GID) {
            let (uid, gid) = self.ids.to_host(set.uid, set.gid);
            let uid = asks(fattr::UID).then(|| fs::Uid::from_raw(uid));
            let gid = asks(fattr::GID).then(|| fs::Gid::from_raw(gid));
            fs::chownat(&*node, c"", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
        }
        // After the owner, whose change takes set-user-id bits away.
        if asks(fattr::MODE) {
            let mode = Mode::from_bits_truncate(set.mode & 0o7777);
            fs::chmodat(&self.descriptors, &place, mode, AtFlags::empty())?;
        }
        if asks(fattr::SIZE) {
            if asks(fattr::FH) {
                fs::ftruncate(&self.handle(set.fh)?.fd, set.size)?;
            } else {
                fs::ftruncate(&self.open(&node, OFlags::WRONLY.bits())?, set.size)?;
            }
        }
        if asks(fattr::ATIME | fattr::MTIME) {
            let time = |given: u32, now: u32, seconds: u64, nanoseconds: u32| {
                let tv_nsec = if asks(now) {
                    libc::UTIME_NOW
                } else if asks(given) {
                    i64::from(nanoseconds)
                } else {
                    libc::UTIME_OMIT
                };
                fs::Timespec { tv_sec: seconds as i64, tv_nsec }
            };
            let times = fs::Timestamps {
                last_access: time(fattr::ATIME, fattr::ATIME_NOW, set.atime, set.atimensec),
                last_modification: time(fattr::MTIME, fattr::MTIME_NOW, set.mtime, set.mtimensec),
            };
            fs::utimensat(&self.descriptors, &place, &times, AtFlags::empty())?;
        }
        self.attributes(&stat(&*node)?)
    }

    pub(super) fn extended_attributes(
        &self,
        opcode: Opcode,
        id: u64,
        body: &[u8],
        data_len: usize,
        data: &mut Data<'_>,
    ) -> Answer {
        /// XATTR_SIZE_MAX and XATTR_LIST_MAX.
        const SIZE_MAX: usize = 64 << 10;
        let node = self.nodes.get(id)?;
        // The host follows this to the node itself, be it a link.
        let path = [b"/proc/self/fd/", self.place(&node).as_bytes()].concat();
        let path = CString::new(path).map_err(|_| Errno::INVAL)?;
        let attribute = |bytes: &[u8]| {
            let (name, _) = split_name(bytes).ok_or(Errno::INVAL)?;
            CString::new(name).map_err(|_| Errno::INVAL)
        };
        // Asked with no size, the answer is the size.
        let give = |asked: u32, value: Vec<u8>, data: &mut Data<'_>| {
            if asked == 0 {
                let out = fuse::GetxattrOut { size: value.len() as u32, padding: 0 };
                return Ok((out.to_bytes().to_vec(), 0));
            }
            if value.len() > asked as usize {
                return Err(Errno::RANGE);
            }
            data.put(0, &value)?;
            Ok((Vec::new(), value.len()))
        };
        let mut value = vec![0; SIZE_MAX];
        match opcode {
            Opcode::Setxattr => {
                let (set, rest) = arguments!(body, SetxattrIn);
                if set.size as usize != data_len || data_len > SIZE_MAX {
                    return Err(Errno::INVAL);
                }
                let flags = fs::XattrFlags::from_bits(set.flags).ok_or(Errno::INVAL)?;
                fs::setxattr(&path, attribute(rest)?, &data.copy_out(data_len)?, flags)?;
                Ok((Vec::new(), 0))
            }
            Opcode::Getxattr => {
                let (get, rest) = arguments!(body, GetxattrIn);
                let len = fs::getxattr(&path, attribute(rest)?, value.as_mut_slice())?;
                value.truncate(len);
                give(get.size, value, data)
            }
            Opcode::Listxattr => {
                let (get, _) = arguments!(body, GetxattrIn);
                let len = fs::listxattr(&path, value.as_mut_slice())?;
                value.truncate(len);
                give(get.size, value, data)
            }
            _ => {
                fs::removexattr(&path, attribute(body)?)?;
                Ok((Vec::new(), 0))
            }
        }
    }
}
