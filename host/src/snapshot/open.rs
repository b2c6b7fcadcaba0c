//! Opens a snapshot and checks all of it.

use super::{Error, HEADER_SUM, Manifest, PIECE, features, file_error, header_sum, holds, measure};
use husk_abi::boot::ROOT_FILES_MAX;
use husk_abi::control::MESSAGE_MAX;
use husk_abi::layout::{ARENA_MAX, GUEST_END, PAGE_SIZE};
use husk_abi::snapshot::{Extent, Header, MAGIC, Part, VERSION};
use rustix::fs::StatVfsMountFlags;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A snapshot from which a guest can be made.
#[derive(Debug)]
pub struct Opened {
    pub header: Header,
    pub manifest: Manifest,
    /// The snapshot.
    pub file: File,
    /// The files of its root image, if it has one; of several each has the descriptor after the one before.
    pub root: Vec<File>,
}

/// Opens the snapshot at `path`. `rootfs`: where its root image lies now, if elsewhere.
pub fn open(path: &Path, rootfs: Option<&Path>) -> Result<Opened, Error> {
    let fail = file_error(path);
    let mut file = File::open(path).map_err(&fail)?;
    let found = file.metadata().map_err(&fail)?;
    if !found.is_file() {
        return Err(Error::NotASnapshot(path.to_owned()));
    }
    let header = read_header(&file, found.len(), path)?;
    check_pieces(&file, &header, path)?;
    check_extents(&file, &header, path)?;
    let manifest = read_manifest(&file, header.manifest, path)?;
    let present = features();
    let missing: Vec<&str> = manifest
        .features
        .iter()
        .map(String::as_str)
        .filter(|name| !present.iter().any(|own| own == name))
        .collect();
    if !missing.is_empty() {
        return Err(Error::Processor { path: path.to_owned(), missing: missing.join(", ") });
    }
    let root = open_root(&header, &manifest, rootfs, path)?;
    let mount = rustix::fs::fstatvfs(&file).map_err(|error| fail(error.into()))?;
    if mount.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        // Code among the pages could not be mapped from there.
        file = in_memory(&mut file).map_err(&fail)?;
    }
    Ok(Opened { header, manifest, file, root })
}

fn altered(path: &Path, what: &str) -> Error {
    Error::Altered { path: path.to_owned(), what: what.to_owned() }
}

fn read_header(file: &File, len: u64, path: &Path) -> Result<Header, Error> {
    let fail = file_error(path);
    let mut page = [0; PAGE_SIZE];
    let mut done = 0;
    while done < PAGE_SIZE {
        match file.read_at(&mut page[done..], done as u64).map_err(&fail)? {
            0 => break,
            count => done += count,
        }
    }
    let word = |at: usize| u32::from_le_bytes([page[at], page[at + 1], page[at + 2], page[at + 3]]);
    if done < 12 || page[..8] != MAGIC.to_le_bytes() {
        return Err(Error::NotASnapshot(path.to_owned()));
    }
    if word(8) != VERSION {
        return Err(Error::Version { path: path.to_owned(), found: word(8), known: VERSION });
    }
    if done < PAGE_SIZE {
        return Err(Error::Truncated { path: path.to_owned(), found: len, wanted: PAGE_SIZE as u64 });
    }
    let header = Header::from_bytes(&page).ok_or_else(|| Error::NotASnapshot(path.to_owned()))?;
    // Its own checksum covers the table of the others, so where that lies is not yet to be relied on.
    let end = header.sums.offset.checked_add(header.sums.len).ok_or_else(|| altered(path, "the header"))?;
    let pieces = header.sums.offset.saturating_sub(PAGE_SIZE as u64).div_ceil(PIECE as u64);
    if header.sums.offset < PAGE_SIZE as u64 || pieces.checked_mul(4) != Some(header.sums.len) {
        return Err(altered(path, "the header"));
    }
    if end > len {
        return Err(Error::Truncated { path: path.to_owned(), found: len, wanted: end });
    }
    let mut sums = vec![0; header.sums.len as usize];
    file.read_exact_at(&mut sums, header.sums.offset).map_err(&fail)?;
    if header_sum(&page, &sums) != word(HEADER_SUM) || end != len {
        return Err(altered(path, "the header"));
    }
    Ok(header)
}

fn check_pieces(file: &File, header: &Header, path: &Path) -> Result<(), Error> {
    let fail = file_error(path);
    let mut sums = vec![0; header.sums.len as usize];
    file.read_exact_at(&mut sums, header.sums.offset).map_err(&fail)?;
    let mut piece = vec![0; PIECE];
    let mut at = PAGE_SIZE as u64;
    for sum in sums.as_chunks::<4>().0 {
        let len = (header.sums.offset - at).min(PIECE as u64) as usize;
        file.read_exact_at(&mut piece[..len], at).map_err(&fail)?;
        if crc32fast::hash(&piece[..len]) != u32::from_le_bytes(*sum) {
            return Err(altered(path, &format!("bytes {at} to {}", at + len as u64)));
        }
        at += len as u64;
    }
    Ok(())
}

/// A part of the file, with a length that is sane.
fn read_part(file: &File, part: Part, limit: u64, path: &Path) -> Result<Vec<u8>, Error> {
    if part.len > limit || part.offset.checked_add(part.len).is_none() {
        return Err(altered(path, "a table"));
    }
    let mut bytes = vec![0; part.len as usize];
    file.read_exact_at(&mut bytes, part.offset).map_err(file_error(path))?;
    Ok(bytes)
}

fn check_extents(file: &File, header: &Header, path: &Path) -> Result<(), Error> {
    const TABLE_MAX: u64 = 1 << 30;
    for (part, room) in
        [(header.arena, header.memory.min(ARENA_MAX as u64)), (header.processes, GUEST_END as u64)]
    {
        // The arena is the memory, rounded up.
        let room = room.next_multiple_of(2 << 20);
        let table = read_part(file, part, TABLE_MAX, path)?;
        let (extents, rest) = table.as_chunks::<{ Extent::LEN }>();
        let right = extents.iter().map(Extent::from_bytes).all(|extent| {
            let end = extent
                .len_within(room)
                .and_then(|len| extent.offset.checked_add(len as u64))
                .filter(|end| *end <= header.sums.offset);
            end.is_some()
        });
        if !right || !rest.is_empty() || !part.offset.is_multiple_of(PAGE_SIZE as u64) {
            return Err(altered(path, "a table"));
        }
    }
    if header.boot.len > 16 * MESSAGE_MAX as u64 {
        return Err(altered(path, "the boot block"));
    }
    Ok(())
}

fn read_manifest(file: &File, part: Part, path: &Path) -> Result<Manifest, Error> {
    let bytes = read_part(file, part, 1 << 20, path)?;
    let fail = |why: String| Error::Manifest { path: path.to_owned(), why };
    let text = String::from_utf8(bytes).map_err(|error| fail(error.to_string()))?;
    toml::from_str(&text).map_err(|error| fail(error.to_string()))
}

fn open_root(
    header: &Header,
    manifest: &Manifest,
    rootfs: Option<&Path>,
    path: &Path,
) -> Result<Vec<File>, Error> {
    if header.root_len == 0 {
        return Ok(Vec::new());
    }
    if !manifest.further.is_empty() {
        return match rootfs {
            None => open_image(header, manifest, path),
            Some(_) => Err(Error::OfImage(path.to_owned())),
        };
    }
    let root = rootfs.map_or_else(|| manifest.root.path.clone(), PathBuf::from);
    let fail = |why: String| Error::Root { path: path.to_owned(), root: root.clone(), why };
    let mut file = File::open(&root).map_err(|error| fail(error.to_string()))?;
    let (size, crc32) = measure(&mut file).map_err(|error| fail(error.to_string()))?;
    if (size, crc32) != (manifest.root.size, manifest.root.crc32) {
        return Err(fail(ANOTHER.to_owned()));
    }
    if !holds(size, header.root_offset, header.root_len) {
        return Err(fail("the image does not reach as far as the snapshot says".to_owned()));
    }
    file.rewind().map_err(|error| fail(error.to_string()))?;
    Ok(vec![file])
}

const ANOTHER: &str = "it is another image than the snapshot was made with";

/// Opens the files of a container image's root, with descriptors in a row.
fn open_image(header: &Header, manifest: &Manifest, path: &Path) -> Result<Vec<File>, Error> {
    /// Where descriptors are free, whatever this process has inherited.
    const FREE: i32 = 256;
    let all = || std::iter::once(&manifest.root).chain(&manifest.further);
    let fail = |file: &Path, why: &str| Error::Image {
        path: path.to_owned(),
        image: manifest.program.clone(),
        file: file.to_owned(),
        why: why.to_owned(),
    };
    let mut files: Vec<File> = Vec::new();
    for (number, image) in all().enumerate() {
        let fail = |why: &str| fail(&image.path, why);
        let mut file = File::open(&image.path).map_err(|error| fail(&error.to_string()))?;
        if measure(&mut file).map_err(|error| fail(&error.to_string()))? != (image.size, image.crc32) {
            return Err(fail(ANOTHER));
        }
        let wanted = FREE + i32::try_from(number).map_err(|_| fail("there are too many"))?;
        let file =
            rustix::io::fcntl_dupfd_cloexec(&file, wanted).map_err(|error| fail(&error.to_string()))?;
        if file.as_raw_fd() != wanted {
            return Err(fail("its descriptor is in use"));
        }
        files.push(file.into());
    }
    if all().count() > ROOT_FILES_MAX || super::span(all().map(|image| image.size)) != Some(header.root_len) {
        return Err(fail(&manifest.root.path, "the image is not as long as the snapshot says"));
    }
    Ok(files)
}

/// Lets a program that this one becomes have the file too.
pub fn keep_open(file: &File) -> io::Result<()> {
    rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).map_err(io::Error::from)
}

/// A copy of a file in memory.
fn in_memory(file: &mut File) -> io::Result<File> {
    let mut copy = File::from(rustix::fs::memfd_create("husk-snapshot", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.rewind()?;
    io::copy(&mut file.take(u64::MAX), &mut copy)?;
    Ok(copy)
}
