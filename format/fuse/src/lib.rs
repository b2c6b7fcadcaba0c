//! The messages of the FUSE protocol (`include/uapi/linux/fuse.h`), version 7.38, as far as Husk uses them.
//!
//! The client is the guest's kernel, the server is the state server; each treats what the other wrote as hostile, so a
//! message is made from and read from bytes, field by field, and never cast. Names follow the header without its
//! prefixes; the test beside this crate compares sizes, offsets and numbers with the header of the host.
//! Integers are little-endian, as on every machine Husk runs on.
#![no_std]
#![forbid(unsafe_code)]

/// Major version of the protocol.
pub const KERNEL_VERSION: u32 = 7;
/// Minor version of the protocol.
pub const KERNEL_MINOR_VERSION: u32 = 38;
/// The node that every file system begins with.
pub const ROOT_ID: u64 = 1;

macro_rules! opcodes {
    ($($name:ident = $number:literal;)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Opcode {
            $($name = $number,)*
        }

        impl Opcode {
            pub fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }

        /// All opcodes with the names the header gives them (`FUSE_` left out, case and underscores aside).
        pub const OPCODES: &[(Opcode, &str)] = &[$((Opcode::$name, stringify!($name)),)*];
    };
}

opcodes! {
    Lookup = 1;
    Forget = 2;
    Getattr = 3;
    Setattr = 4;
    Readlink = 5;
    Symlink = 6;
    Mknod = 8;
    Mkdir = 9;
    Unlink = 10;
    Rmdir = 11;
    Link = 13;
    Open = 14;
    Read = 15;
    Write = 16;
    Statfs = 17;
    Release = 18;
    Fsync = 20;
    Setxattr = 21;
    Getxattr = 22;
    Listxattr = 23;
    Removexattr = 24;
    Flush = 25;
    Init = 26;
    Opendir = 27;
    Releasedir = 29;
    Fsyncdir = 30;
    Getlk = 31;
    Setlk = 32;
    Create = 35;
    BatchForget = 42;
    Fallocate = 43;
    Readdirplus = 44;
    Rename2 = 45;
    Lseek = 46;
    CopyFileRange = 47;
    Tmpfile = 51;
}

/// Bits of `SetattrIn::valid`.
pub mod fattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
}

/// `GetattrIn::flags`: `fh` is valid.
pub const GETATTR_FH: u32 = 1 << 0;
/// `LkIn::lk_flags`: a lock of flock(2).
pub const LK_FLOCK: u32 = 1 << 0;
/// `InitIn::flags`: locks of fcntl(2) are kept by the server.
pub const POSIX_LOCKS: u32 = 1 << 1;
/// `InitIn::flags`: the server opens with O_TRUNC by itself.
pub const ATOMIC_O_TRUNC: u32 = 1 << 3;
/// `InitIn::flags`: locks of flock(2) are kept by the server.
pub const FLOCK_LOCKS: u32 = 1 << 10;
/// `InitIn::flags`: READDIRPLUS is served.
pub const DO_READDIRPLUS: u32 = 1 << 13;

/// An integer in a message.
trait Field: Copy {
    const LEN: usize;
    fn put(self, out: &mut [u8]);
    fn get(from: &[u8]) -> Self;
}

macro_rules! fields {
    ($($ty:ty),*) => { $(
        impl Field for $ty {
            const LEN: usize = size_of::<$ty>();
            fn put(self, out: &mut [u8]) {
                out[..Self::LEN].copy_from_slice(&self.to_le_bytes());
            }
            fn get(from: &[u8]) -> Self {
                let mut bytes = [0; size_of::<$ty>()];
                bytes.copy_from_slice(&from[..size_of::<$ty>()]);
                Self::from_le_bytes(bytes)
            }
        }
    )* };
}

fields!(u16, u32, i32, u64, i64);

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty,)* })*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $(pub $field: $ty,)*
        }

        impl $name {
            /// Bytes of the message.
            pub const LEN: usize = 0 $(+ <$ty as Field>::LEN)*;
            /// Fields and their offsets.
            pub const FIELDS: &'static [(&'static str, usize)] = &{
                let mut at = 0;
                let fields = [$((stringify!($field), { let here = at; at += <$ty as Field>::LEN; here }),)*];
                let _ = at;
                fields
            };

            /// The message's bytes.
            pub fn to_bytes(&self) -> [u8; Self::LEN] {
                let mut bytes = [0; Self::LEN];
                let mut at = 0;
                $(self.$field.put(&mut bytes[at..]); at += <$ty as Field>::LEN;)*
                let _ = at;
                bytes
            }

            /// The message at the front of `bytes`; `None` when there are too few.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let bytes = bytes.get(..Self::LEN)?;
                let mut at = 0;
                $(let $field = <$ty as Field>::get(&bytes[at..]); at += <$ty as Field>::LEN;)*
                let _ = at;
                Some(Self { $($field,)* })
            }
        }
    )* };
}

messages! {
    /// `fuse_in_header`: begins every request.
    InHeader { len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, total_extlen: u16, padding: u16, }
    /// `fuse_out_header`: begins every reply. `error` is 0 or a negated errno.
    OutHeader { len: u32, error: i32, unique: u64, }
    /// `fuse_init_in`, as far as every version has it.
    InitIn { major: u32, minor: u32, max_readahead: u32, flags: u32, }
    /// `fuse_init_out`, as far as Husk uses it.
    InitOut { major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16, max_write: u32, }
    /// `fuse_attr`. Times are seconds and nanoseconds since the epoch.
    Attr { ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32, }
    /// `fuse_entry_out` without the attributes that end it.
    EntryOut { nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32, }
    /// `fuse_attr_out` without the attributes that end it.
    AttrOut { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, }
    /// `fuse_forget_in`.
    ForgetIn { nlookup: u64, }
    /// `fuse_batch_forget_in`; the records are the request's data.
    BatchForgetIn { count: u32, dummy: u32, }
    /// `fuse_forget_one`.
    ForgetOne { nodeid: u64, nlookup: u64, }
    /// `fuse_getattr_in`.
    GetattrIn { getattr_flags: u32, dummy: u32, fh: u64, }
    /// `fuse_setattr_in`.
    SetattrIn { valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32, uid: u32, gid: u32, unused5: u32, }
    /// `fuse_mknod_in`, before the name.
    MknodIn { mode: u32, rdev: u32, umask: u32, padding: u32, }
    /// `fuse_mkdir_in`, before the name.
    MkdirIn { mode: u32, umask: u32, }
    /// `fuse_rename2_in`, before the two names.
    Rename2In { newdir: u64, flags: u32, padding: u32, }
    /// `fuse_link_in`, before the name.
    LinkIn { oldnodeid: u64, }
    /// `fuse_open_in`.
    OpenIn { flags: u32, open_flags: u32, }
    /// `fuse_open_out`.
    OpenOut { fh: u64, open_flags: u32, padding: u32, }
    /// `fuse_create_in`, before the name.
    CreateIn { flags: u32, mode: u32, umask: u32, open_flags: u32, }
    /// `fuse_read_in`.
    ReadIn { fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32, }
    /// `fuse_write_in`; the bytes are the request's data.
    WriteIn { fh: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32, padding: u32, }
    /// `fuse_write_out`.
    WriteOut { size: u32, padding: u32, }
    /// `fuse_kstatfs`, as far as Husk uses it: the reply to STATFS begins with it.
    Kstatfs { blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32, padding: u32, }
    /// `fuse_release_in`.
    ReleaseIn { fh: u64, flags: u32, release_flags: u32, lock_owner: u64, }
    /// `fuse_flush_in`.
    FlushIn { fh: u64, unused: u32, padding: u32, lock_owner: u64, }
    /// `fuse_fsync_in`. Bit 0 of the flags: only the data.
    FsyncIn { fh: u64, fsync_flags: u32, padding: u32, }
    /// `fuse_setxattr_in` as before version 7.33: before the name; the value is the request's data.
    SetxattrIn { size: u32, flags: u32, }
    /// `fuse_getxattr_in`, before the name.
    GetxattrIn { size: u32, padding: u32, }
    /// `fuse_getxattr_out`.
    GetxattrOut { size: u32, padding: u32, }
    /// `fuse_lk_in`: owner, and `fuse_file_lock` in its middle.
    LkIn { fh: u64, owner: u64, start: u64, end: u64, kind: u32, pid: u32, lk_flags: u32, padding: u32, }
    /// `fuse_lk_out`. `kind` is F_RDLCK, F_WRLCK or F_UNLCK, `end` the last byte.
    LkOut { start: u64, end: u64, kind: u32, pid: u32, }
    /// `fuse_fallocate_in`.
    FallocateIn { fh: u64, offset: u64, length: u64, mode: u32, padding: u32, }
    /// `fuse_lseek_in`.
    LseekIn { fh: u64, offset: u64, whence: u32, padding: u32, }
    /// `fuse_lseek_out`.
    LseekOut { offset: u64, }
    /// `fuse_copy_file_range_in`.
    CopyFileRangeIn { fh_in: u64, off_in: u64, nodeid_out: u64, fh_out: u64, off_out: u64, len: u64, flags: u64, }
    /// `fuse_dirent`, before the name. Records are padded to eight bytes.
    Dirent { ino: u64, off: u64, namelen: u32, kind: u32, }
}

/// Bytes of a READDIRPLUS record with a name of `namelen` bytes.
pub const fn direntplus_len(namelen: usize) -> usize {
    (EntryOut::LEN + Attr::LEN + Dirent::LEN + namelen).next_multiple_of(8)
}

/// One record of READDIRPLUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direntplus<'a> {
    pub entry: EntryOut,
    pub attr: Attr,
    pub dirent: Dirent,
    pub name: &'a [u8],
}

impl<'a> Direntplus<'a> {
    /// The record at the front of `bytes` and what follows it; `None` when there is no whole one.
    pub fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let entry = EntryOut::from_bytes(bytes)?;
        let attr = Attr::from_bytes(&bytes[EntryOut::LEN..])?;
        let rest = bytes.get(EntryOut::LEN + Attr::LEN..)?;
        let dirent = Dirent::from_bytes(rest)?;
        let namelen = usize::try_from(dirent.namelen).ok()?;
        if namelen > 255 {
            return None;
        }
        let name = rest.get(Dirent::LEN..Dirent::LEN + namelen)?;
        let after = bytes.get(direntplus_len(namelen)..)?;
        Some((Self { entry, attr, dirent, name }, after))
    }
}

/// A name that ends with a NUL at the front of `bytes`, without it, and what follows.
pub fn split_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
