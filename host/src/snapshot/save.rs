//! Writes a snapshot from what a parked guest sends.

use super::{
    Error, HEADER_SUM, Manifest, PIECE, RootImage, features, file_error, header_sum, holds, measure, span,
};
use crate::running::{Guest, Lease};
use husk_abi::boot::{TENDER_KVM, TENDER_PROCESS};
use husk_abi::control::{Kind, MESSAGE_MAX, Request, Verb};
use husk_abi::layout::PAGE_SIZE;
use husk_abi::snapshot::{Extent, Header, Part};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A snapshot that was made.
#[derive(Clone, Copy, Debug)]
pub struct Saved {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of the guest's memory in it.
    pub memory: u64,
}

/// A file that counts and sums what is written to it.
struct Writer {
    file: BufWriter<File>,
    at: u64,
    piece: crc32fast::Hasher,
    sums: Vec<u8>,
}

impl Writer {
    /// Begins behind the header.
    fn new(file: File) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(PIECE, file);
        file.write_all(&[0; PAGE_SIZE])?;
        Ok(Self { file, at: PAGE_SIZE as u64, piece: crc32fast::Hasher::new(), sums: Vec::new() })
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        while !bytes.is_empty() {
            let done = (self.at - PAGE_SIZE as u64) as usize % PIECE;
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - done));
            self.piece.update(now);
            self.at += now.len() as u64;
            if done + now.len() == PIECE {
                self.close_piece();
            }
            bytes = later;
        }
        Ok(())
    }

    fn close_piece(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        self.sums.extend(piece.finalize().to_le_bytes());
    }

    fn pad(&mut self) -> io::Result<()> {
        let rest = self.at.next_multiple_of(PAGE_SIZE as u64) - self.at;
        self.put(&vec![0; rest as usize])
    }

    /// Writes a part of its own, at the start of a page.
    fn part(&mut self, bytes: &[u8]) -> io::Result<Part> {
        self.pad()?;
        let part = Part { offset: self.at, len: bytes.len() as u64 };
        self.put(bytes)?;
        Ok(part)
    }

    /// Ends the file with the checksums and writes the header.
    fn finish(mut self, mut header: Header) -> io::Result<(File, u64)> {
        self.pad()?;
        if !(self.at - PAGE_SIZE as u64).is_multiple_of(PIECE as u64) {
            self.close_piece();
        }
        header.sums = Part { offset: self.at, len: self.sums.len() as u64 };
        self.file.write_all(&self.sums)?;
        let mut page = [0; PAGE_SIZE];
        page[..Header::LEN].copy_from_slice(&header.to_bytes());
        let sum = header_sum(&page, &self.sums);
        page[HEADER_SUM..HEADER_SUM + 4].copy_from_slice(&sum.to_le_bytes());
        let file = self.file.into_inner().map_err(|error| error.into_error())?;
        file.write_all_at(&page, 0)?;
        file.sync_all()?;
        Ok((file, header.sums.offset + header.sums.len))
    }
}

/// Adds pages that come right behind the last ones, in the file and where they belong, to those.
fn add(extents: &mut Vec<Extent>, next: Extent) {
    if let Some(last) = extents.last_mut() {
        let len = u64::from(last.pages) * PAGE_SIZE as u64;
        let joined = last.pages.checked_add(next.pages);
        if last.owner == next.owner
            && last.place + len == next.place
            && last.offset + len == next.offset
            && let Some(pages) = joined
        {
            last.pages = pages;
            return;
        }
    }
    extents.push(next);
}

/// Writes what the guest sends; the header knows the rest.
fn receive(
    lease: &Lease,
    out: &mut Writer,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(Header, u64), Error> {
    let fail = file_error(path);
    let strange = || crate::running::Error::BadAnswer(lease.id().to_owned());
    let mut buffer = Box::new([0; MESSAGE_MAX]);
    let mut header = Header::default();
    let (mut arena, mut processes) = (Vec::new(), Vec::new());
    let (mut boot, mut owner, mut memory) = (Vec::new(), None, 0);
    loop {
        let (record, payload) = lease.receive(&mut buffer)?;
        match record.kind {
            Kind::Parked => header.monotonic = record.a,
            Kind::Boot if record.a == boot.len() as u64 => boot.extend_from_slice(payload),
            Kind::Process => owner = Some(u32::try_from(record.a).map_err(|_| strange())?),
            Kind::Arena | Kind::Memory => {
                let whole = !payload.is_empty() && payload.len().is_multiple_of(PAGE_SIZE);
                let (list, owner) = match (record.kind, owner) {
                    (Kind::Arena, None) => (&mut arena, 0),
                    (Kind::Memory, Some(owner)) => (&mut processes, owner),
                    _ => return Err(strange().into()),
                };
                if !whole || !record.a.is_multiple_of(PAGE_SIZE as u64) {
                    return Err(strange().into());
                }
                let pages = (payload.len() / PAGE_SIZE) as u32;
                add(list, Extent { owner, pages, place: record.a, offset: out.at });
                out.put(payload).map_err(&fail)?;
                memory += payload.len() as u64;
                progress(memory);
            }
            Kind::End if record.a == memory => break,
            Kind::Failed => {
                let why = io::Error::from_raw_os_error(record.a as i32).to_string();
                return Err(Error::Refused(lease.id().to_owned(), why));
            }
            _ => return Err(strange().into()),
        }
    }
    let table = |extents: &[Extent]| extents.iter().flat_map(Extent::to_bytes).collect::<Vec<u8>>();
    header.boot = out.part(&boot).map_err(&fail)?;
    header.arena = out.part(&table(&arena)).map_err(&fail)?;
    header.processes = out.part(&table(&processes)).map_err(&fail)?;
    Ok((header, memory))
}

/// Saves a guest to `path`, replacing what is there once the snapshot is whole. With `stop` the guest ends then, with that
/// exit code; else it goes on. `progress` is told bytes of memory.
pub fn save(
    guest: &Guest,
    path: &Path,
    stop: Option<u8>,
    progress: &mut dyn FnMut(u64),
) -> Result<Saved, Error> {
    let fail = file_error(path);
    let (root_offset, root_len) = guest.root_place();
    let files = guest.root_files();
    let is_whole = match files.as_slice() {
        [] => {
            let size = root_size(&guest.root_image()).map_err(root_error(guest, path))?;
            holds(size, root_offset, root_len)
        }
        files => span(files.iter().map(|(_, size)| *size)) == Some(root_len),
    };
    if !is_whole {
        let why = "its parent does not say where all of its root is; it goes on";
        return Err(Error::Refused(guest.id.clone(), why.to_owned()));
    }
    if guest.has_volumes() {
        let why = "it has volumes, whose files are the host's and cannot be saved with it; it goes on";
        return Err(Error::Refused(guest.id.clone(), why.to_owned()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    if path.file_name().is_none() || path.is_dir() {
        return Err(fail(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    let target = Unnamed::new(&folder).map_err(&fail)?;
    let mut out = Writer::new(target.file.try_clone().map_err(&fail)?).map_err(&fail)?;

    let lease = guest.connect()?;
    lease.send(Request { verb: Verb::Snapshot, value: 0 })?;
    let (header, memory) = receive(&lease, &mut out, path, progress)?;
    if stop.is_none() {
        // The guest goes on while the rest is written.
        drop(lease);
        return finish(guest, path, target, out, header, memory);
    }
    let saved = finish(guest, path, target, out, header, memory)?;
    lease.send(Request { verb: Verb::Stop, value: u64::from(stop.unwrap_or(0)) })?;
    Ok(saved)
}

fn finish(
    guest: &Guest,
    path: &Path,
    target: Unnamed,
    mut out: Writer,
    header: Header,
    memory: u64,
) -> Result<Saved, Error> {
    let fail = file_error(path);
    // Reading all of it takes a second for a big one: not before the guest is parked, which the user means to be now.
    let root = root_image(&guest.root_image()).map_err(root_error(guest, path))?;
    let measured = guest.root_files().into_iter().skip(1).map(|(file, size)| match root_image(&file) {
        Ok(image) if image.size == size => Ok(image),
        Ok(_) => Err((file, io::Error::other("it was changed"))),
        Err(error) => Err((file, error)),
    });
    let further = measured.collect::<Result<Vec<_>, _>>().map_err(|(file, error)| Error::Image {
        path: path.to_owned(),
        image: guest.program().to_string_lossy().into_owned(),
        file,
        why: error.to_string(),
    })?;
    let files: Vec<PathBuf> =
        std::iter::once(&root).chain(&further).map(|image| image.path.clone()).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (root_offset, root_len) = guest.root_place();
    let manifest = Manifest {
        husk: env!("CARGO_PKG_VERSION").to_owned(),
        guest: guest.id.clone(),
        program: guest.program().to_string_lossy().into_owned(),
        created: now.as_secs(),
        root,
        further,
        stop: guest.stop_signal(),
        features: features(),
    };
    let text = toml::to_string(&manifest)
        .map_err(|error| Error::Manifest { path: path.to_owned(), why: error.to_string() })?;
    let manifest = out.part(text.as_bytes()).map_err(&fail)?;
    let header = Header {
        tender: if guest.tender() == "kvm" { TENDER_KVM } else { TENDER_PROCESS },
        cpus: guest.cpus(),
        memory: guest.memory(),
        flags: guest.flags(),
        root_len,
        root_offset,
        kernel: guest.kernel(),
        manifest,
        ..header
    };
    let (_, size) = out.finish(header).map_err(&fail)?;
    target.name(path).map_err(&fail)?;
    keep_from_sweeps(path, &files).map_err(&fail)?;
    Ok(Saved { size, memory })
}

/// Notes which files of the cache and of the store a snapshot needs.
fn keep_from_sweeps(snapshot: &Path, files: &[PathBuf]) -> io::Result<()> {
    for folder in
        [husk_home::cache(), husk_home::data().map(|data| data.join("images"))].into_iter().flatten()
    {
        let Ok(folder) = fs::canonicalize(folder) else { continue };
        let here: Vec<PathBuf> = files.iter().filter(|file| file.starts_with(&folder)).cloned().collect();
        if !here.is_empty() {
            husk_home::held::note(&folder.join("held"), snapshot, &here)?;
        }
    }
    Ok(())
}

fn root_error(guest: &Guest, path: &Path) -> impl Fn(io::Error) -> Error {
    let (path, root) = (path.to_owned(), guest.root_image());
    move |source| Error::Root { path: path.clone(), root: root.clone(), why: source.to_string() }
}

/// Bytes of a root image; of none, 0.
fn root_size(path: &Path) -> io::Result<u64> {
    if path.as_os_str().is_empty() { Ok(0) } else { path.metadata().map(|metadata| metadata.len()) }
}

/// Size and checksum of a guest's root image.
fn root_image(path: &Path) -> io::Result<RootImage> {
    if path.as_os_str().is_empty() {
        return Ok(RootImage { path: PathBuf::new(), size: 0, crc32: 0 });
    }
    let (size, crc32) = measure(&mut File::open(path)?)?;
    Ok(RootImage { path: path.to_owned(), size, crc32 })
}

/// A file that nobody sees until it is named, and that is gone if it never is.
struct Unnamed {
    file: File,
    /// Where the file system has no files without a name.
    temporary: Option<tempfile::TempPath>,
    folder: PathBuf,
}

impl Unnamed {
    fn new(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let folder = folder.to_owned();
        match rustix::fs::open(&folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { file: file.into(), temporary: None, folder }),
            Err(rustix::io::Errno::NOTSUP | rustix::io::Errno::ISDIR) => {
                let (file, path) = tempfile::NamedTempFile::new_in(&folder)?.into_parts();
                Ok(Self { file, temporary: Some(path), folder })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the file its name, in place of an earlier file.
    fn name(self, path: &Path) -> io::Result<()> {
        if let Some(temporary) = self.temporary {
            temporary.persist(path).map_err(|error| error.error)?;
        } else {
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let near = self.folder.join(format!(".{name}.{}", std::process::id()));
            linkat(CWD, own.as_str(), CWD, &near, AtFlags::SYMLINK_FOLLOW)?;
            if let Err(error) = fs::rename(&near, path) {
                let _ = fs::remove_file(&near);
                return Err(error);
            }
        }
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_several_files_is_not_held_by_its_first() {
        assert!(holds(4096, 0, 4096) && holds(8192, 4096, 4096));
        assert_eq!(span([4096, 100, 4096].into_iter()), Some(12288));
        assert_eq!(span([u64::MAX - 1, 1].into_iter()), None);
        assert!(!holds(4096, 0, 4097) && !holds(8192, 4096, 4097) && !holds(u64::MAX, 2, u64::MAX));
    }

    #[test]
    fn neighbours_in_memory_and_file_become_one_extent() {
        let extent = |owner, place, offset| Extent { owner, pages: 1, place, offset };
        let mut extents = Vec::new();
        for next in
            [extent(0, 0, 8192), extent(0, 4096, 12288), extent(0, 12288, 16384), extent(1, 16384, 20480)]
        {
            add(&mut extents, next);
        }
        let shape: Vec<(u32, u64, u32)> =
            extents.iter().map(|extent| (extent.owner, extent.place, extent.pages)).collect();
        assert_eq!(shape, [(0, 0, 2), (0, 12288, 1), (1, 16384, 1)]);
    }
}
