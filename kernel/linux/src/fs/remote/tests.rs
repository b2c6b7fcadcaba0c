//! Volumes against servers that are functions: an honest one, a dead one, and one that answers anything.

use super::{RemoteFile, list, look_up, make, open, read_link};
use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::{Sink, Source};
use crate::fs::contents::Contents;
use crate::fs::inode::Node;
use crate::fs::{Entry, Mount, Path};
use crate::task;
use alloc::sync::Arc;
use husk_fuse::{Attr, AttrOut, Dirent, EntryOut, InHeader, Opcode, OpenOut, OutHeader, ReadIn};
use husk_machine::ring;
use husk_ring::{DATA, DATA_LEN, HEAD, HEAD_LEN, SLOTS, slot, slot_at, state, unit};
use linux_raw_sys::general::{O_RDWR, S_IFDIR, S_IFREG};
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// A request's header and what follows it, and room for the reply's data: gives an error number, a body and how much of the
/// data counts.
type Answer = Box<dyn FnMut(&InHeader, &[u8], &mut [u8]) -> (i32, Vec<u8>, usize)>;

fn word(ring: &mut [u8], at: usize) -> u32 {
    u32::from_le_bytes(ring[at..at + 4].try_into().unwrap())
}

fn put(ring: &mut [u8], at: usize, bytes: &[u8]) {
    ring[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Lets `answer` serve a volume.
fn serve(mut answer: Answer) -> ring::Unit {
    ring::serve(1, move |ring| {
        let pending = word(ring, unit::PENDING);
        put(ring, unit::PENDING, &[0; 4]);
        for index in (0..SLOTS).filter(|index| pending >> index & 1 != 0) {
            let at = slot_at(0, index);
            let len = word(ring, at + slot::HEAD_LEN) as usize;
            let head = ring[at + HEAD..at + HEAD + len].to_vec();
            let header = InHeader::from_bytes(&head).unwrap();
            assert_eq!(header.len as usize, len);
            let data = &mut ring[at + DATA..at + DATA + DATA_LEN];
            let (error, body, data_len) = answer(&header, &head[InHeader::LEN..], data);
            let out = OutHeader { len: (OutHeader::LEN + body.len()) as u32, error, unique: header.unique };
            let reply = [&out.to_bytes()[..], &body].concat();
            put(ring, at + HEAD, &reply[..reply.len().min(HEAD_LEN)]);
            put(ring, at + slot::HEAD_LEN, &(reply.len() as u32).to_le_bytes());
            put(ring, at + slot::DATA_LEN, &(data_len as u32).to_le_bytes());
            put(ring, at + slot::STATE, &state::REPLY.to_le_bytes());
        }
    });
    ring::unit(0).expect("a unit")
}

fn attr(nodeid: u64, mode: u32, size: u64) -> Attr {
    Attr { ino: 100 + nodeid, mode, size, nlink: 1, blksize: 4096, ..Attr::default() }
}

/// What the honest server knows: how often each node was named and not forgotten, and open handles.
#[derive(Default)]
struct Known {
    lookups: std::collections::BTreeMap<u64, u64>,
    handles: i64,
}

const TEXT: &[u8] = b"what the file has";

/// A directory with one file `f`.
fn honest(known: &Rc<RefCell<Known>>) -> Answer {
    let known = known.clone();
    Box::new(move |header, body, data| {
        let mut known = known.borrow_mut();
        let of = |node| {
            if node == 1 {
                attr(1, S_IFDIR | 0o755, 0)
            } else {
                attr(node, S_IFREG | 0o644, TEXT.len() as u64)
            }
        };
        match Opcode::from_u32(header.opcode).unwrap() {
            Opcode::Getattr => {
                (0, [&AttrOut::default().to_bytes()[..], &of(header.nodeid).to_bytes()].concat(), 0)
            }
            Opcode::Lookup if body == b"f\0" => {
                *known.lookups.entry(2).or_default() += 1;
                let entry = EntryOut { nodeid: 2, ..EntryOut::default() };
                (0, [&entry.to_bytes()[..], &of(2).to_bytes()].concat(), 0)
            }
            Opcode::Lookup => (-2, Vec::new(), 0),
            Opcode::Open | Opcode::Opendir => {
                known.handles += 1;
                (0, OpenOut { fh: 7, ..OpenOut::default() }.to_bytes().to_vec(), 0)
            }
            Opcode::Release | Opcode::Releasedir => {
                known.handles -= 1;
                (0, Vec::new(), 0)
            }
            Opcode::Read => {
                let ask = ReadIn::from_bytes(body).unwrap();
                let from = (ask.offset as usize).min(TEXT.len());
                let bytes = &TEXT[from..TEXT.len().min(from + ask.size as usize)];
                data[..bytes.len()].copy_from_slice(bytes);
                (0, Vec::new(), bytes.len())
            }
            Opcode::Readdirplus => {
                if ReadIn::from_bytes(body).unwrap().offset > 0 {
                    return (0, Vec::new(), 0);
                }
                let dirent = Dirent { ino: 102, off: 1, namelen: 1, kind: S_IFREG >> 12 };
                let mut record =
                    [&EntryOut::default().to_bytes()[..], &of(2).to_bytes(), &dirent.to_bytes(), b"f"]
                        .concat();
                record.resize(husk_fuse::direntplus_len(1), 0);
                data[..record.len()].copy_from_slice(&record);
                (0, Vec::new(), record.len())
            }
            Opcode::BatchForget => {
                for one in data.chunks(16).take(u32::from_le_bytes(body[..4].try_into().unwrap()) as usize) {
                    let one = husk_fuse::ForgetOne::from_bytes(one).unwrap();
                    *known.lookups.get_mut(&one.nodeid).unwrap() -= one.nlookup;
                }
                (0, Vec::new(), 0)
            }
            _ => (0, Vec::new(), 0),
        }
    })
}

/// A path of the volume and a mount to go with it.
fn path_of(root: &Arc<Entry>, entry: &Arc<Entry>) -> Path {
    Path { mount: Mount::new(root.inode().fs.clone(), root.clone(), b"v", 0), entry: entry.clone() }
}

fn opened(root: &Arc<Entry>, entry: &Arc<Entry>) -> Result<Arc<OpenFile>, Errno> {
    let file = RemoteFile::open(entry.inode(), O_RDWR)?;
    Ok(OpenFile::new(file, O_RDWR, Some(path_of(root, entry))))
}

#[test]
fn what_is_known_is_forgotten_and_what_is_open_is_released() {
    let _t = task::test::enter();
    let known = Rc::<RefCell<Known>>::default();
    let (_fs, root) = open(serve(honest(&known))).unwrap();
    let file = look_up(&root, b"f").unwrap();
    assert!(Arc::ptr_eq(&file, &look_up(&root, b"f").unwrap()), "an entry that is held is found again");
    assert_eq!(look_up(&root, b"g").err(), Some(Errno::ENOENT));
    let of = opened(&root, &file).unwrap();
    let mut bytes = [0; 100];
    assert_eq!(of.read(&mut Sink::Kernel(&mut bytes)), Ok(TEXT.len()));
    assert_eq!(&bytes[..TEXT.len()], TEXT);
    assert_eq!(of.read(&mut Sink::Kernel(&mut bytes)), Ok(0), "the end");
    let directory = opened(&root, &root).unwrap();
    let mut names = Vec::new();
    list(&directory, 0, 4096, |listed| {
        names.push((listed.name.to_vec(), listed.ino));
        true
    })
    .unwrap();
    assert_eq!(names, [(b"f".to_vec(), 102)]);
    assert_eq!((known.borrow().handles, known.borrow().lookups[&2]), (2, 2));
    drop((of, directory, file));
    // Forgetting may wait for company.
    for _ in 0..64 {
        drop(look_up(&root, b"f"));
    }
    assert_eq!(known.borrow().handles, 0);
    assert!(known.borrow().lookups[&2] < 64, "{}", known.borrow().lookups[&2]);
}

/// A big file whose byte at any place is `version`, which the test changes behind the guest's back. Writes set it; reads count.
#[derive(Default)]
struct Big {
    version: u8,
    reads: usize,
}

const BIG: u64 = 4 << 20;

fn big(state: &Rc<RefCell<Big>>) -> Answer {
    let state = state.clone();
    let mut rest = honest(&Rc::default());
    Box::new(move |header, body, data| {
        let mut state = state.borrow_mut();
        let of_file = || attr(2, S_IFREG | 0o644, BIG);
        match Opcode::from_u32(header.opcode).unwrap() {
            Opcode::Lookup => {
                let entry = EntryOut { nodeid: 2, ..EntryOut::default() };
                (0, [&entry.to_bytes()[..], &of_file().to_bytes()].concat(), 0)
            }
            Opcode::Getattr | Opcode::Setattr if header.nodeid == 2 => {
                (0, [&AttrOut::default().to_bytes()[..], &of_file().to_bytes()].concat(), 0)
            }
            Opcode::Read => {
                state.reads += 1;
                let ask = ReadIn::from_bytes(body).unwrap();
                let len = BIG.saturating_sub(ask.offset).min(ask.size.into()) as usize;
                data[..len].fill(state.version);
                (0, Vec::new(), len)
            }
            Opcode::Write => {
                state.version = data[0];
                let size = husk_fuse::WriteIn::from_bytes(body).unwrap().size;
                (0, husk_fuse::WriteOut { size, padding: 0 }.to_bytes().to_vec(), 0)
            }
            Opcode::BatchForget => (0, Vec::new(), 0),
            _ => rest(header, body, data),
        }
    })
}

#[test]
fn reading_ahead_saves_requests_and_shows_what_the_guest_wrote() {
    const PIECE: usize = 4096;
    let _t = task::test::enter();
    let state = Rc::<RefCell<Big>>::default();
    let (_fs, root) = open(serve(big(&state))).unwrap();
    let file = look_up(&root, b"f").unwrap();
    let (reader, writer) = (opened(&root, &file).unwrap(), opened(&root, &file).unwrap());
    let mut bytes = [0; PIECE];
    let mut read = |expected: u8, what: &str| {
        assert_eq!(reader.read(&mut Sink::Kernel(&mut bytes)), Ok(PIECE), "{what}");
        assert!(bytes.iter().all(|byte| *byte == expected), "{what}: {} for {expected}", bytes[0]);
    };
    for _ in 0..256 {
        read(0, "nothing was written");
    }
    assert!(state.borrow().reads < 100, "{} requests", state.borrow().reads);
    for version in 1..50 {
        writer.write(&mut Source::Kernel(&[version; 10])).unwrap();
        for _ in 0..3 {
            read(version, "another open file wrote");
        }
    }
    // What others write is seen after a lock, or a look that shows a change, or a while.
    for (version, look) in [(100, 0), (101, 1), (102, 2)] {
        state.borrow_mut().version = version;
        match look {
            0 => {
                let owner = crate::file::locks::Owner::Open(1);
                super::locks::lock_whole(file.inode(), owner, false).unwrap();
            }
            1 => super::ahead::changed(file.inode().ino),
            _ => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
        for _ in 0..3 {
            read(version, "others wrote");
        }
    }
    reader.object.seek(&reader, 0, 0).unwrap();
    for _ in 0..BIG as usize / PIECE {
        read(102, "to the end");
    }
    drop((reader, writer));
}

#[test]
fn what_was_read_ahead_gives_its_slots_back() {
    let _t = task::test::enter();
    let state = Rc::<RefCell<Big>>::default();
    let (_fs, root) = open(serve(big(&state))).unwrap();
    let file = look_up(&root, b"f").unwrap();
    // More files than there are slots, each with something read ahead, and all of them go on.
    let files: Vec<_> = (0..2 * SLOTS).map(|_| opened(&root, &file).unwrap()).collect();
    let mut bytes = [0; 5000];
    for _ in 0..5 {
        for file in &files {
            assert_eq!(file.read(&mut Sink::Kernel(&mut bytes)), Ok(bytes.len()));
        }
    }
    for _ in 0..2 * SLOTS {
        let file = opened(&root, &file).unwrap();
        for _ in 0..3 {
            assert_eq!(file.read(&mut Sink::Kernel(&mut bytes)), Ok(bytes.len()));
        }
    }
}

#[test]
fn a_dead_server_is_an_error_and_no_wait() {
    let _t = task::test::enter();
    let known = Rc::<RefCell<Known>>::default();
    let (_fs, root) = open(serve(honest(&known))).unwrap();
    let file = look_up(&root, b"f").unwrap();
    let of = opened(&root, &file).unwrap();
    ring::kill_server();
    let mut bytes = [0; 10];
    assert_eq!(of.read(&mut Sink::Kernel(&mut bytes)), Err(Errno::EIO));
    assert_eq!(look_up(&root, b"f").err(), Some(Errno::EIO));
    assert_eq!(of.stat().err(), Some(Errno::EIO));
    drop((of, file));
}

/// Does everything there is to do on the volume; any result will do.
fn try_all(root: &Arc<Entry>) {
    let cred = task::current().cred();
    let parent = path_of(root, root);
    let node = Node::File(Contents::default());
    drop(make(&parent, &cred, b"new", S_IFREG | 0o644, &node));
    let Ok(entry) = look_up(root, b"f") else { return };
    let inode = entry.inode();
    drop(look_up(&entry, b"g"));
    let _ = inode.refresh();
    let _ = inode.stat();
    let _ = read_link(inode);
    let _ = super::list_xattrs(inode);
    let _ = super::get_xattr(inode, b"user.a");
    let _ = super::statfs(inode);
    let _ = super::remove(&parent, &entry);
    let Ok(of) = opened(root, &entry) else { return };
    let mut bytes = [0; 5000];
    for _ in 0..4 {
        let _ = of.read(&mut Sink::Kernel(&mut bytes));
    }
    let _ = of.write(&mut Source::Kernel(&bytes));
    let _ = of.object.seek(&of, 0, 3);
    let _ = list(&of, 0, 4096, |_| true);
    if let Some(file) = of.object.downcast::<RemoteFile>() {
        let _ = file.fetch(&of, 0, 4, true);
        let _ = super::write_back(inode);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a server answers, the kernel goes on.
    #[test]
    fn a_hostile_server_gets_nowhere(seed in any::<u64>(), honesty in 0..8_u32) {
        let _t = task::test::enter();
        let known = Rc::<RefCell<Known>>::default();
        let mut truth = honest(&known);
        let mut random = seed | 1;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut first = 2;
        let unit = serve(Box::new(move |header, body, data| {
            let opcode = Opcode::from_u32(header.opcode).unwrap();
            let named = matches!(opcode, Opcode::BatchForget | Opcode::Forget);
            // Mounting is to succeed, and what can be must be reached.
            if first > 0 || named {
                first = (first - 1_i32).max(0);
                return if named { (0, Vec::new(), 0) } else { truth(header, body, data) };
            }
            if next() % 8 < honesty.into() {
                return truth(header, body, data);
            }
            let error = match next() % 4 {
                0 => next() as i32,
                1 => -((next() % 4096) as i32),
                _ => 0,
            };
            let len = [0, 16, 40, 104, 128, 144, 160, 300][(next() % 8) as usize];
            let body = (0..len).map(|_| if next() % 3 == 0 { 0 } else { next() as u8 }).collect();
            let filled = (next() % 2000) as usize;
            data[..filled].iter_mut().for_each(|byte| *byte = next() as u8);
            (error, body, next() as usize % (2 * DATA_LEN))
        }));
        if let Ok((_fs, root)) = open(unit) {
            for _ in 0..4 {
                try_all(&root);
            }
        }
    }
}
