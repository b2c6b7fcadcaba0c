//! A volume's server, asked by messages without any guest: what works, and what must not.

mod common;

use common::{Client, ROOT};
use husk_fuse as fuse;
use husk_fuse::{Opcode, fattr};
use husk_volume::Access;
use libc::{
    EACCES, EAGAIN, EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENODATA, ENOENT, ENOSYS, ENOTDIR, ENOTEMPTY,
    ENXIO, EPERM, ERANGE, EROFS, ESTALE, O_APPEND, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

struct Place {
    /// Holds `served` and, beside it, `secret`, which no guest may see.
    whole: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let whole = tempfile::tempdir().unwrap();
        fs::create_dir(whole.path().join("served")).unwrap();
        fs::write(whole.path().join("secret"), "secret").unwrap();
        Self { whole }
    }

    fn served(&self) -> std::path::PathBuf {
        self.whole.path().join("served")
    }

    fn client(&self) -> Client {
        Client::new(&self.served(), Access::ReadWrite)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn files_are_made_read_and_written() {
    let (place, to_end) = (Place::new(), (0, u64::MAX));
    let client = place.client();
    let (node, fh) = client.create(ROOT, "f", O_RDWR, 0o666).unwrap();
    assert_eq!(client.write(node, fh, 0, O_RDWR, b"hello, world"), Ok(12));
    assert_eq!(client.read(node, fh, 7, 100).unwrap(), b"world");
    assert_eq!(client.read(node, fh, 100, 100).unwrap(), b"");
    assert_eq!(fs::read(place.served().join("f")).unwrap(), b"hello, world");
    assert_eq!(client.attributes(node).unwrap().mode, libc::S_IFREG | 0o644);
    assert_eq!(client.create(ROOT, "f", O_RDWR | O_EXCL, 0o666), Err(EEXIST));
    let (again, other) = client.create(ROOT, "f", O_RDWR | O_TRUNC, 0o666).unwrap();
    assert_eq!((again, client.attributes(node).unwrap().size), (node, 0));
    // A handle that may not write cannot.
    let reader = client.open(node, O_RDONLY).unwrap();
    assert_eq!(client.write(node, reader, 0, O_RDONLY, b"x"), Err(libc::EBADF));
    assert_eq!(client.read(node, fh + 100, 0, 1), Err(libc::EBADF));
    client.lock(node, 1, libc::F_WRLCK, to_end, 0).unwrap();
    assert_ne!(other, fh);
}

#[test]
fn a_whole_slot_is_one_transfer() {
    let place = Place::new();
    let client = place.client();
    let bytes: Vec<u8> = (0..husk_ring::DATA_LEN).map(|at| at as u8).collect();
    let (node, fh) = client.create(ROOT, "f", O_RDWR, 0o600).unwrap();
    assert_eq!(client.write(node, fh, 0, O_RDWR, &bytes), Ok(bytes.len() as u32));
    assert_eq!(client.read(node, fh, 0, bytes.len() as u32).unwrap(), bytes);
    assert_eq!(client.read(node, fh, 0, u32::MAX).unwrap(), bytes);
}

#[test]
fn directories_links_and_names() {
    let place = Place::new();
    let client = place.client();
    let folder = client.mkdir(ROOT, "d").unwrap();
    assert_eq!(client.mkdir(ROOT, "d"), Err(EEXIST));
    let (node, _) = client.create(folder, "f", O_RDWR, 0o600).unwrap();
    assert_eq!(client.link(node, ROOT, "hard"), Ok(node));
    assert_eq!(client.attributes(node).unwrap().nlink, 2);
    let soft = client.symlink(folder, "soft", "../secret").unwrap();
    let (_, target) = client.ask(Opcode::Readlink, soft, &[], b"").unwrap();
    assert_eq!(target, b"../secret");
    assert_eq!(client.link(soft, ROOT, "hard-soft"), Ok(soft));
    client.rename((folder, "f"), (ROOT, "moved"), 0).unwrap();
    assert_eq!(client.look_up(ROOT, "moved"), Ok(node));
    assert_eq!(client.rename((ROOT, "moved"), (ROOT, "hard-soft"), 1), Err(EEXIST));
    client.rename((ROOT, "moved"), (ROOT, "hard-soft"), 2).unwrap();
    assert_eq!(client.look_up(ROOT, "hard-soft"), Ok(node));
    assert_eq!(client.ask(Opcode::Rmdir, ROOT, &[b"d\0"], b"").unwrap_err(), ENOTEMPTY);
    assert_eq!(client.unlink(folder, "soft"), Ok(()));
    assert!(client.ask(Opcode::Rmdir, ROOT, &[b"d\0"], b"").is_ok());
    assert_eq!(client.look_up(ROOT, "d"), Err(ENOENT));
    assert_eq!(client.list(ROOT, 4096).unwrap(), ["hard", "hard-soft", "moved"]);
}

#[test]
fn a_long_directory_comes_in_pieces() {
    let place = Place::new();
    let names: Vec<String> =
        (0..2000).map(|number| format!("{number:05}-{}", "n".repeat(number % 200))).collect();
    for name in &names {
        fs::write(place.served().join(name), "").unwrap();
    }
    let client = place.client();
    for size in [500, 4096, u32::MAX] {
        assert_eq!(client.list(ROOT, size).unwrap(), names);
    }
    assert_eq!(client.list(ROOT, 8), Err(EINVAL));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let place = Place::new();
    let client = place.client();
    client.mkdir(ROOT, "d").unwrap();
    fs::write(place.served().join("f"), "").unwrap();
    for name in ["..", ".", "", "/", "/etc", "../secret", "d/..", "d/../../secret", "f/", "a/b"] {
        assert_eq!(client.look_up(ROOT, name), Err(EINVAL), "{name}");
        assert_eq!(client.create(ROOT, name, O_RDWR, 0o600), Err(EINVAL), "{name}");
        assert_eq!(client.mkdir(ROOT, name), Err(EINVAL), "{name}");
        assert_eq!(client.symlink(ROOT, name, "x"), Err(EINVAL), "{name}");
        assert_eq!(client.unlink(ROOT, name), Err(EINVAL), "{name}");
        assert_eq!(client.rename((ROOT, "f"), (ROOT, name), 0), Err(EINVAL), "{name}");
        assert_eq!(client.rename((ROOT, name), (ROOT, "f"), 0), Err(EINVAL), "{name}");
        let node = client.look_up(ROOT, "f").unwrap();
        assert_eq!(client.link(node, ROOT, name), Err(EINVAL), "{name}");
    }
    assert_eq!(client.look_up(ROOT, &"n".repeat(256)), Err(ENAMETOOLONG));
    // A name without its end.
    assert_eq!(client.ask(Opcode::Lookup, ROOT, &[b"f"], b"").unwrap_err(), EINVAL);
    assert_eq!(fs::read(place.whole.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn links_are_not_followed() {
    let place = Place::new();
    for (name, target) in
        [("up", "../secret"), ("absolute", "/etc/passwd"), ("folder", "/etc"), ("root", "..")]
    {
        symlink(target, place.served().join(name)).unwrap();
    }
    let client = place.client();
    for name in ["up", "absolute", "folder", "root"] {
        let node = client.look_up(ROOT, name).unwrap();
        assert_eq!(client.attributes(node).unwrap().mode & libc::S_IFMT, libc::S_IFLNK);
        assert_eq!(client.open(node, O_RDONLY), Err(EACCES), "{name}");
        assert_eq!(client.look_up(node, "passwd"), Err(ENOTDIR), "{name}");
        assert_eq!(client.create(ROOT, name, O_RDWR, 0o600), Err(ELOOP), "{name}");
        assert_eq!(client.list(node, 4096), Err(ENOTDIR), "{name}");
        let size = fuse::SetattrIn { valid: fattr::SIZE, ..fuse::SetattrIn::default() };
        assert_eq!(client.set(node, size), Err(EACCES), "{name}");
        // Attributes of the link alone can change.
        let mode = fuse::SetattrIn { valid: fattr::MODE, mode: 0o4777, ..fuse::SetattrIn::default() };
        assert!(client.set(node, mode).is_err(), "{name}");
        assert!(client.set_xattr(node, "user.x", b"x").is_err(), "{name}");
    }
    let found = fs::metadata("/etc/passwd").unwrap();
    assert_eq!(found.permissions().mode() & 0o7777 & 0o4022, 0);
    assert_eq!(fs::read(place.whole.path().join("secret")).unwrap(), b"secret");
}

/// Somebody exchanges a directory for a link out, over and over, while a guest creates and looks up below it.
#[test]
fn races_of_renames_lead_nowhere() {
    let place = Place::new();
    let outside = place.whole.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "outside").unwrap();
    fs::create_dir(place.served().join("d")).unwrap();
    fs::write(place.served().join("d/f"), "inside").unwrap();
    symlink(&outside, place.served().join("l")).unwrap();
    let client = place.client();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                client.rename((ROOT, "d"), (ROOT, "l"), 2).unwrap();
            }
        });
        let mut seen = 0;
        for number in 0..20_000 {
            let found = client.look_up(ROOT, "d").unwrap();
            let Ok(node) = client.look_up(found, "f") else { continue };
            let fh = client.open(node, O_RDWR).unwrap();
            assert_eq!(client.read(node, fh, 0, 100).unwrap(), b"inside");
            if let Ok((made, _)) = client.create(found, &format!("new{}", number % 10), O_WRONLY, 0o600) {
                client.forget(made, 1);
            }
            seen += 1;
            let release = fuse::ReleaseIn { fh, ..fuse::ReleaseIn::default() };
            client.ask(Opcode::Release, node, &[&release.to_bytes()], b"").unwrap();
        }
        ends.store(true, Ordering::Relaxed);
        assert!(seen > 0);
    });
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn nodes_stay_what_they_are() {
    let place = Place::new();
    let client = place.client();
    let (node, fh) = client.create(ROOT, "f", O_RDWR, 0o600).unwrap();
    client.write(node, fh, 0, O_RDWR, b"first").unwrap();
    // Somebody on the host puts a link out in its place.
    fs::remove_file(place.served().join("f")).unwrap();
    symlink("../secret", place.served().join("f")).unwrap();
    let again = client.open(node, O_RDWR).unwrap();
    assert_eq!(client.read(node, again, 0, 100).unwrap(), b"first");
    assert_eq!(client.attributes(node).unwrap().nlink, 0);
    client.write(node, again, 5, O_RDWR, b"!").unwrap();
    assert_eq!(client.read(node, fh, 0, 100).unwrap(), b"first!");
    // Truncated by node, with its name gone.
    let size = fuse::SetattrIn { valid: fattr::SIZE, size: 2, ..fuse::SetattrIn::default() };
    assert_eq!(client.set(node, size).unwrap().size, 2);
    assert_eq!(fs::read(place.whole.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn forgotten_nodes_are_gone() {
    let place = Place::new();
    let client = place.client();
    fs::write(place.served().join("f"), "").unwrap();
    let node = client.look_up(ROOT, "f").unwrap();
    assert_eq!(client.look_up(ROOT, "f"), Ok(node));
    client.forget(node, 1);
    assert!(client.attributes(node).is_ok());
    client.forget(node, 1);
    assert_eq!(client.attributes(node), Err(ESTALE));
    client.forget(node, u64::MAX);
    client.forget(ROOT, u64::MAX);
    assert!(client.attributes(ROOT).is_ok());
    // Another file of the same name is another node.
    client.unlink(ROOT, "f").unwrap();
    fs::write(place.served().join("f"), "").unwrap();
    assert_ne!(client.look_up(ROOT, "f"), Ok(node));
    // All at once.
    let nodes: Vec<u64> = (0..10).map(|number| client.mkdir(ROOT, &number.to_string()).unwrap()).collect();
    let records: Vec<u8> =
        nodes.iter().flat_map(|nodeid| fuse::ForgetOne { nodeid: *nodeid, nlookup: 1 }.to_bytes()).collect();
    let batch = fuse::BatchForgetIn { count: 10, dummy: 0 };
    client.ask(Opcode::BatchForget, 0, &[&batch.to_bytes()], &records).unwrap();
    assert!(nodes.iter().all(|node| client.attributes(*node) == Err(ESTALE)));
}

#[test]
fn appends_of_several_guests_do_not_overwrite_each_other() {
    const LINES: usize = 500;
    let place = Place::new();
    fs::write(place.served().join("log"), "").unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let client = place.client();
            scope.spawn(move || {
                let node = client.look_up(ROOT, "log").unwrap();
                let fh = client.open(node, O_WRONLY | O_APPEND).unwrap();
                for line in 0..LINES {
                    let text = format!("{writer} {line:04}\n");
                    let flags = O_WRONLY | O_APPEND;
                    assert_eq!(client.write(node, fh, 0, flags, text.as_bytes()), Ok(text.len() as u32));
                }
            });
        }
    });
    let text = fs::read_to_string(place.served().join("log")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let mut expected: Vec<String> =
        (0..4).flat_map(|writer| (0..LINES).map(move |line| format!("{writer} {line:04}"))).collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn locks_hold_between_owners_and_guests() {
    let place = Place::new();
    fs::write(place.served().join("f"), "text").unwrap();
    let (one, two) = (place.client(), place.client());
    let (node, other) = (one.look_up(ROOT, "f").unwrap(), two.look_up(ROOT, "f").unwrap());
    let (read, write, none) = (libc::F_RDLCK, libc::F_WRLCK, libc::F_UNLCK);
    for (first, second, owner) in [(&one, &one, 2), (&one, &two, 1)] {
        let node2 = if std::ptr::eq(first, second) { node } else { other };
        for flags in [0, fuse::LK_FLOCK] {
            let all = (0, u64::MAX);
            first.lock(node, 1, write, all, flags).unwrap();
            first.lock(node, 1, write, all, flags).unwrap();
            assert_eq!(second.lock(node2, owner, read, all, flags), Err(EAGAIN));
            first.lock(node, 1, read, all, flags).unwrap();
            second.lock(node2, owner, read, all, flags).unwrap();
            assert_eq!(first.lock(node, 1, write, all, flags), Err(EAGAIN));
            second.lock(node2, owner, none, all, flags).unwrap();
            first.lock(node, 1, none, all, flags).unwrap();
        }
        // Ranges: the last byte counts.
        first.lock(node, 1, write, (0, 9), 0).unwrap();
        second.lock(node2, owner, write, (10, 19), 0).unwrap();
        assert_eq!(second.lock(node2, owner, write, (9, 9), 0), Err(EAGAIN));
        let ask = fuse::LkIn { owner, start: 5, end: 50, kind: write as u32, ..fuse::LkIn::default() };
        let (reply, _) = second.ask(Opcode::Getlk, node2, &[&ask.to_bytes()], b"").unwrap();
        let found = fuse::LkOut::from_bytes(&reply).unwrap();
        assert_eq!((found.start, found.end, found.kind), (0, 9, write as u32));
        // What a close takes away.
        let flush = fuse::FlushIn { lock_owner: 1, ..fuse::FlushIn::default() };
        first.ask(Opcode::Flush, node, &[&flush.to_bytes()], b"").unwrap();
        second.lock(node2, owner, write, (0, 19), 0).unwrap();
        second.lock(node2, owner, none, (0, i64::MAX as u64), 0).unwrap();
    }
    assert_eq!(one.lock(node, 1, write, (5, 4), 0), Err(EINVAL));
    assert_eq!(one.lock(node, 1, 77, (0, 4), 0), Err(EINVAL));
    // A host program is kept out like a guest.
    one.lock(node, 1, write, (0, u64::MAX), fuse::LK_FLOCK).unwrap();
    let file = fs::File::open(place.served().join("f")).unwrap();
    let try_lock = || rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    assert_eq!(try_lock(), Err(rustix::io::Errno::WOULDBLOCK));
    drop(one);
    assert_eq!(try_lock(), Ok(()));
}

#[test]
fn attributes_change() {
    let place = Place::new();
    let client = place.client();
    let (node, fh) = client.create(ROOT, "f", O_WRONLY, 0o444).unwrap();
    let path = place.served().join("f");
    let set = fuse::SetattrIn::default();
    client.set(node, fuse::SetattrIn { valid: fattr::MODE, mode: 0o4750, ..set }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o4750);
    let size = fuse::SetattrIn { valid: fattr::SIZE | fattr::FH, size: 5000, fh, ..set };
    assert_eq!(client.set(node, size).unwrap().size, 5000);
    let valid = fattr::ATIME | fattr::MTIME;
    let times =
        fuse::SetattrIn { valid, atime: 1000, atimensec: 1, mtime: (-5_i64) as u64, mtimensec: 2, ..set };
    let found = client.set(node, times).unwrap();
    assert_eq!((found.atime, found.atimensec, found.mtime as i64, found.mtimensec), (1000, 1, -5, 2));
    // One of the two stays.
    let now = fuse::SetattrIn { valid: fattr::MTIME | fattr::MTIME_NOW, ..set };
    let found = client.set(node, now).unwrap();
    assert!(found.atime == 1000 && found.mtime as i64 > 1_600_000_000);
    let link = client.symlink(ROOT, "l", "nowhere").unwrap();
    assert_eq!(client.set(link, times).unwrap().atime, 1000);
    if is_root() {
        let ids = fuse::SetattrIn { valid: fattr::UID | fattr::GID, uid: 1234, gid: 4321, ..set };
        let found = client.set(node, ids).unwrap();
        assert_eq!((found.uid, found.gid), (1234, 4321));
        assert_eq!(fs::metadata(&path).unwrap().uid(), 1234);
        assert_eq!(client.set(link, ids).unwrap().uid, 1234);
        // The process that serves keeps its capabilities as another user; this one does not.
        fs::set_permissions(place.served(), fs::Permissions::from_mode(0o777)).unwrap();
        let as_other = Client { ids: (77, 88), ..place.client() };
        let folder = as_other.mkdir(ROOT, "of-77").unwrap();
        let found = as_other.attributes(folder).unwrap();
        assert_eq!((found.uid, found.gid), (77, 88));
        // The thread is itself again.
        fs::write(place.served().join("own"), "").unwrap();
        assert_eq!(fs::metadata(place.served().join("own")).unwrap().uid(), 0);
    }
}

#[test]
fn holes_are_found_and_made() {
    let place = Place::new();
    let client = place.client();
    let (node, fh) = client.create(ROOT, "f", O_RDWR, 0o600).unwrap();
    client.write(node, fh, 1 << 20, O_RDWR, &[1; 4096]).unwrap();
    let seek = |whence, offset| {
        let seek = fuse::LseekIn { fh, offset, whence, padding: 0 };
        let (reply, _) = client.ask(Opcode::Lseek, node, &[&seek.to_bytes()], b"")?;
        Ok(fuse::LseekOut::from_bytes(&reply).unwrap().offset)
    };
    let (data, hole) = (libc::SEEK_DATA as u32, libc::SEEK_HOLE as u32);
    assert_eq!(seek(data, 0), Ok(1 << 20));
    assert_eq!(seek(hole, 0), Ok(0));
    assert_eq!(seek(data, 1 << 30), Err(ENXIO));
    assert_eq!(seek(libc::SEEK_SET as u32, 0), Err(EINVAL));
    let allocate = |mode: i32, offset, length| {
        let mode = mode as u32;
        let allocate = fuse::FallocateIn { fh, offset, length, mode, padding: 0 };
        client.ask(Opcode::Fallocate, node, &[&allocate.to_bytes()], b"").map(|_| ())
    };
    allocate(0, 0, 2 << 20).unwrap();
    assert_eq!(client.attributes(node).unwrap().size, 2 << 20);
    allocate(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 1 << 20, 4096).unwrap();
    assert_eq!(client.read(node, fh, 1 << 20, 1).unwrap(), [0]);
    assert_eq!(allocate(0, 0, 0), Err(EINVAL));
    // A copy within the host.
    client.write(node, fh, 0, O_RDWR, b"copied").unwrap();
    let (to, to_fh) = client.create(ROOT, "copy", O_RDWR, 0o600).unwrap();
    let copy = fuse::CopyFileRangeIn {
        fh_in: fh,
        off_in: 0,
        nodeid_out: to,
        fh_out: to_fh,
        off_out: 10,
        len: 6,
        flags: 0,
    };
    client.ask(Opcode::CopyFileRange, node, &[&copy.to_bytes()], b"").unwrap();
    assert_eq!(client.read(to, to_fh, 10, 100).unwrap(), b"copied");
}

#[test]
fn extended_attributes_are_kept() {
    let place = Place::new();
    let client = place.client();
    let (node, _) = client.create(ROOT, "f", O_RDWR, 0o600).unwrap();
    match client.set_xattr(node, "user.one", b"value") {
        Ok(()) => {}
        // The temporary folder's file system has none.
        Err(libc::EOPNOTSUPP) => return,
        Err(error) => panic!("error {error}"),
    }
    assert_eq!(client.xattr(node, "user.one", 100).unwrap().1, b"value");
    assert_eq!(client.xattr(node, "user.one", 2), Err(ERANGE));
    let (reply, _) = client.xattr(node, "user.one", 0).unwrap();
    assert_eq!(fuse::GetxattrOut::from_bytes(&reply).unwrap().size, 5);
    assert_eq!(client.xattr(node, "user.two", 100), Err(ENODATA));
    let list = fuse::GetxattrIn { size: 1000, padding: 0 };
    let (_, names) = client.ask(Opcode::Listxattr, node, &[&list.to_bytes()], b"").unwrap();
    assert_eq!(names, b"user.one\0");
    client.ask(Opcode::Removexattr, node, &[b"user.one\0"], b"").unwrap();
    assert_eq!(client.xattr(node, "user.one", 100), Err(ENODATA));
}

#[test]
fn special_files_are_made_and_not_opened() {
    let place = Place::new();
    let client = place.client();
    let make = |name: &str, mode: u32| {
        let mknod = fuse::MknodIn { mode, rdev: 0x103, umask: 0, padding: 0 };
        let name = [name.as_bytes(), b"\0"].concat();
        client.entry(Opcode::Mknod, ROOT, &[&mknod.to_bytes(), &name], b"").map(|(node, _)| node)
    };
    let pipe = make("pipe", libc::S_IFIFO | 0o600).unwrap();
    assert!(fs::metadata(place.served().join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(client.open(pipe, O_RDONLY), Err(EACCES));
    assert_eq!(client.create(ROOT, "pipe", O_WRONLY, 0o600), Err(EACCES));
    make("socket", libc::S_IFSOCK | 0o600).unwrap();
    make("plain", libc::S_IFREG | 0o600).unwrap();
    assert_eq!(make("null", libc::S_IFCHR | 0o666), Err(EPERM));
    assert_eq!(make("disk", libc::S_IFBLK | 0o666), Err(EPERM));
    // A device of the host: to be seen, not to be opened.
    let devices = Client::new(Path::new("/dev"), Access::ReadWrite);
    let null = devices.look_up(ROOT, "null").unwrap();
    assert_eq!(devices.attributes(null).unwrap().mode & libc::S_IFMT, libc::S_IFCHR);
    for flags in [O_RDONLY, O_WRONLY, O_RDWR] {
        assert_eq!(devices.open(null, flags), Err(EACCES));
        assert_eq!(devices.create(ROOT, "null", flags, 0o600), Err(EACCES));
    }
}

#[test]
fn a_file_without_a_name_can_get_one() {
    let place = Place::new();
    let client = place.client();
    let create = fuse::CreateIn { flags: O_RDWR as u32, mode: 0o600, umask: 0, open_flags: 0 };
    let (reply, _) = match client.ask(Opcode::Tmpfile, ROOT, &[&create.to_bytes()], b"") {
        Ok(reply) => reply,
        Err(libc::EOPNOTSUPP) => return,
        Err(error) => panic!("error {error}"),
    };
    let node = fuse::EntryOut::from_bytes(&reply).unwrap().nodeid;
    let fh = fuse::OpenOut::from_bytes(&reply[fuse::EntryOut::LEN + fuse::Attr::LEN..]).unwrap().fh;
    client.write(node, fh, 0, O_RDWR, b"text").unwrap();
    assert!(client.list(ROOT, 4096).unwrap().is_empty());
    client.link(node, ROOT, "named").unwrap();
    assert_eq!(fs::read(place.served().join("named")).unwrap(), b"text");
}

#[test]
fn a_read_only_volume_does_not_change() {
    let place = Place::new();
    fs::write(place.served().join("f"), "text").unwrap();
    let client = Client::new(&place.served(), Access::ReadOnly);
    let node = client.look_up(ROOT, "f").unwrap();
    let fh = client.open(node, O_RDONLY).unwrap();
    assert_eq!(client.read(node, fh, 0, 100).unwrap(), b"text");
    for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC] {
        assert_eq!(client.open(node, flags), Err(EROFS));
    }
    assert_eq!(client.create(ROOT, "f", O_RDONLY, 0o600), Err(EROFS));
    assert_eq!(client.mkdir(ROOT, "d"), Err(EROFS));
    assert_eq!(client.unlink(ROOT, "f"), Err(EROFS));
    assert_eq!(client.rename((ROOT, "f"), (ROOT, "g"), 0), Err(EROFS));
    assert_eq!(client.link(node, ROOT, "g"), Err(EROFS));
    assert_eq!(client.symlink(ROOT, "g", "f"), Err(EROFS));
    assert_eq!(client.write(node, fh, 0, O_RDONLY, b"x"), Err(EROFS));
    assert_eq!(client.set(node, fuse::SetattrIn { valid: fattr::MODE, ..Default::default() }), Err(EROFS));
    assert_eq!(client.set_xattr(node, "user.x", b"x"), Err(EROFS));
    client.lock(node, 1, libc::F_RDLCK, (0, 9), 0).unwrap();
    client.lock(node, 1, libc::F_WRLCK, (0, 9), fuse::LK_FLOCK).unwrap();
    assert_eq!(client.list(ROOT, 4096).unwrap(), ["f"]);
    assert_eq!(fs::read(place.served().join("f")).unwrap(), b"text");
}

#[test]
fn reading_moves_access_times_only_where_it_may() {
    const LONG_AGO: i64 = 1_000_000_000;
    let place = Place::new();
    let path = place.served().join("f");
    for (access, flags, moves) in [
        (Access::ReadOnly, O_RDONLY, false),
        (Access::ReadWrite, O_RDONLY | libc::O_NOATIME, false),
        (Access::ReadWrite, O_RDONLY, true),
    ] {
        fs::write(&path, "text").unwrap();
        let times = fs::FileTimes::new()
            .set_accessed(std::time::UNIX_EPOCH + std::time::Duration::from_secs(LONG_AGO as u64));
        fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        // A host that keeps no access times cannot show that they move.
        let probe = moves && {
            let before = fs::metadata(place.whole.path().join("secret")).unwrap().atime_nsec();
            fs::read(place.whole.path().join("secret")).unwrap();
            fs::metadata(place.whole.path().join("secret")).unwrap().atime_nsec() != before
        };
        let client = Client::new(&place.served(), access);
        let node = client.look_up(ROOT, "f").unwrap();
        let fh = client.open(node, flags).unwrap();
        assert_eq!(client.read(node, fh, 0, 100).unwrap(), b"text");
        let moved = fs::metadata(&path).unwrap().atime() != LONG_AGO;
        assert!(moved == moves || moves && !probe, "{access:?} {flags:#o}: {moved}");
    }
}

#[test]
fn a_single_file_is_a_volume() {
    let place = Place::new();
    let client = Client::new(&place.whole.path().join("secret"), Access::ReadWrite);
    let fh = client.open(ROOT, O_RDWR).unwrap();
    assert_eq!(client.read(ROOT, fh, 0, 100).unwrap(), b"secret");
    client.write(ROOT, fh, 0, O_RDWR, b"S").unwrap();
    assert_eq!(client.look_up(ROOT, "x"), Err(ENOTDIR));
    assert_eq!(client.look_up(ROOT, ".."), Err(EINVAL));
    assert_eq!(client.create(ROOT, "x", O_RDWR, 0o600), Err(ENOTDIR));
    assert_eq!(fs::read(place.whole.path().join("secret")).unwrap(), b"Secret");
}

#[test]
fn wrong_kinds_are_refused() {
    let place = Place::new();
    let client = place.client();
    let folder = client.mkdir(ROOT, "d").unwrap();
    assert_eq!(client.open(folder, O_RDONLY), Err(EISDIR));
    assert_eq!(client.create(ROOT, "d", O_RDONLY, 0o600), Err(EISDIR));
    assert_eq!(client.look_up(12345, "x"), Err(ESTALE));
    let header =
        fuse::InHeader { len: fuse::InHeader::LEN as u32, opcode: 9999, unique: 1, ..Default::default() };
    let mut memory = [0; 64];
    let (reply, _) = client.server.serve(&header.to_bytes(), 0, &mut memory.as_mut_slice().into());
    assert_eq!(fuse::OutHeader::from_bytes(&reply).unwrap().error, -ENOSYS);
}

/// Descriptors of this process that refer to a file below `folder`.
fn held(folder: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder) && target != folder).count()
}

#[test]
fn a_forgotten_file_is_held_until_something_is_removed() {
    let place = Place::new();
    let client = place.client();
    for number in 0..400 {
        fs::write(place.served().join(format!("f{number}")), "x").unwrap();
    }
    let first = client.look_up(ROOT, "f0").unwrap();
    client.forget(first, 1);
    // Forgotten is forgotten, and found again it is the same file.
    assert_eq!(client.attributes(first).unwrap_err(), ESTALE);
    assert_eq!(client.look_up(ROOT, "f0"), Ok(first));
    client.forget(first, 1);
    for number in 1..400 {
        client.forget(client.look_up(ROOT, &format!("f{number}")).unwrap(), 1);
    }
    let idle = held(&place.served());
    assert!((1..=400).contains(&idle), "{idle}");
    let kept = client.look_up(ROOT, "f0").unwrap();
    client.unlink(ROOT, "f399").unwrap();
    assert_eq!(held(&place.served()), 1);
    assert!(client.attributes(kept).is_ok());
}
