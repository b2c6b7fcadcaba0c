//! ELF images: what elf(5) says of executables and their interpreters, on x86-64.
//!
//! A file is untrusted: every field is checked before it is used, and a bad one is ENOEXEC.

use crate::errno::Errno;
use crate::file::OpenFile;
use crate::file::io::Sink;
use crate::mem::map::{Area, Backing, Name};
use crate::mem::{Request, Space, user};
use alloc::sync::Arc;
use alloc::vec::Vec;
use husk_abi::layout::{GUEST_END, GUEST_START, PAGE_SIZE};
use husk_machine::pod;
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
/// Linux refuses larger tables too.
const HEADERS_MAX: usize = 65536;

/// A program header.
#[derive(Clone, Copy, Debug)]
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    address: usize,
    file_len: usize,
    len: usize,
    align: usize,
}

/// A parsed executable.
pub struct Image {
    pub file: Arc<OpenFile>,
    entry: usize,
    /// Position-independent: may be loaded anywhere.
    movable: bool,
    segments: Vec<Segment>,
    headers_offset: u64,
    headers_len: usize,
    /// The program interpreter's path.
    pub interpreter: Option<Vec<u8>>,
    /// The stack is to be executable (no PT_GNU_STACK, or one with PF_X).
    pub executable_stack: bool,
}

/// Where an image was put.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    pub entry: usize,
    /// What was added to the addresses in the file.
    pub bias: usize,
    /// Address of the program headers, or 0 when no segment holds them.
    pub headers: usize,
    pub header_count: usize,
    pub code: (usize, usize),
    pub data: (usize, usize),
    pub end: usize,
}

/// Reads exactly `len` bytes at `at`; ENOEXEC when the file is shorter.
fn read_at(file: &OpenFile, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = alloc::vec![0; len];
    let mut done = 0;
    while done < len {
        match file.object.read(file, at + done as u64, &mut Sink::Kernel(&mut bytes[done..]))? {
            0 => return Err(Errno::ENOEXEC),
            count => done += count,
        }
    }
    Ok(bytes)
}

fn field<T: pod::Pod>(bytes: &[u8], at: usize) -> Result<T, Errno> {
    bytes.get(at..).and_then(pod::read_from).ok_or(Errno::ENOEXEC)
}

impl Image {
    /// Parses the headers. ENOEXEC: not an ELF executable for this machine, or a damaged one.
    pub fn parse(file: Arc<OpenFile>) -> Result<Self, Errno> {
        let header = read_at(&file, 0, 64)?;
        if header[..7] != *b"\x7fELF\x02\x01\x01" || field::<u16>(&header, 18)? != EM_X86_64 {
            return Err(Errno::ENOEXEC);
        }
        let movable = match field::<u16>(&header, 16)? {
            ET_EXEC => false,
            ET_DYN => true,
            _ => return Err(Errno::ENOEXEC),
        };
        let (headers_offset, entry): (u64, usize) = (field(&header, 32)?, field(&header, 24)?);
        let (size, count): (u16, u16) = (field(&header, 54)?, field(&header, 56)?);
        let headers_len = usize::from(size) * usize::from(count);
        if size != 56 || count == 0 || headers_len > HEADERS_MAX {
            return Err(Errno::ENOEXEC);
        }
        let table = read_at(&file, headers_offset, headers_len)?;
        let mut image = Self {
            file,
            entry,
            movable,
            segments: Vec::new(),
            headers_offset,
            headers_len,
            interpreter: None,
            executable_stack: true,
        };
        for header in table.chunks_exact(56) {
            let segment = Segment {
                kind: field(header, 0)?,
                flags: field(header, 4)?,
                offset: field(header, 8)?,
                address: field(header, 16)?,
                file_len: field(header, 32)?,
                len: field(header, 40)?,
                align: field::<usize>(header, 48)?.max(PAGE_SIZE),
            };
            image.take(segment)?;
        }
        let loads = image.loads().count();
        if loads == 0 || !image.loads().is_sorted_by_key(|segment| segment.address) {
            return Err(Errno::ENOEXEC);
        }
        Ok(image)
    }

    fn take(&mut self, segment: Segment) -> Result<(), Errno> {
        match segment.kind {
            PT_LOAD => {
                let end = segment.address.checked_add(segment.len).ok_or(Errno::ENOEXEC)?;
                let aligned = segment.address % PAGE_SIZE == (segment.offset % PAGE_SIZE as u64) as usize;
                if segment.file_len > segment.len
                    || end > GUEST_END
                    || !aligned
                    || !segment.align.is_power_of_two()
                {
                    return Err(Errno::ENOEXEC);
                }
                if segment.offset.checked_add(segment.file_len as u64).is_none() {
                    return Err(Errno::ENOEXEC);
                }
            }
            PT_INTERP => {
                if !(2..=4096).contains(&segment.file_len) || self.interpreter.is_some() {
                    return Err(Errno::ENOEXEC);
                }
                let mut path = read_at(&self.file, segment.offset, segment.file_len)?;
                if path.pop() != Some(0) {
                    return Err(Errno::ENOEXEC);
                }
                self.interpreter = Some(path);
            }
            PT_GNU_STACK => self.executable_stack = segment.flags & PF_X != 0,
            _ => {}
        }
        self.segments.push(segment);
        Ok(())
    }

    fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == PT_LOAD && segment.len > 0)
    }

    /// First and one past the last page of all segments, before any bias.
    fn extent(&self) -> (usize, usize) {
        let start = self.loads().next().map_or(0, |segment| segment.address & !(PAGE_SIZE - 1));
        let end = self.loads().map(|segment| segment.address + segment.len).max().unwrap_or(start);
        (start, end.next_multiple_of(PAGE_SIZE))
    }

    pub fn is_movable(&self) -> bool {
        self.movable
    }

    /// Maps the segments: at their own addresses, or a movable image at `base`, or where there is room without one.
    pub fn load(&self, space: &Space, base: Option<usize>) -> Result<Loaded, Errno> {
        let (low, high) = self.extent();
        let bias = if self.movable {
            let align = self.loads().map(|segment| segment.align).max().unwrap_or(PAGE_SIZE);
            let base = match base {
                Some(base) => base,
                None => {
                    // Room for the whole image; only then its segments.
                    let area = Area::anonymous(0, Name::None);
                    let len = high - low + align - PAGE_SIZE;
                    space.place(&Request::anywhere(len, area), len)?
                }
            };
            base.next_multiple_of(align).wrapping_sub(low)
        } else {
            0
        };
        if low.wrapping_add(bias) < GUEST_START || high.wrapping_add(bias) > GUEST_END {
            return Err(Errno::ENOEXEC);
        }
        let mut loaded = Loaded {
            entry: self.entry.wrapping_add(bias),
            bias,
            headers: 0,
            header_count: self.headers_len / 56,
            code: (usize::MAX, 0),
            data: (usize::MAX, 0),
            end: high.wrapping_add(bias),
        };
        for segment in self.loads() {
            self.load_segment(space, segment, bias)?;
            let (start, end) =
                (segment.address.wrapping_add(bias), (segment.address + segment.len).wrapping_add(bias));
            let part = if segment.flags & PF_X != 0 { &mut loaded.code } else { &mut loaded.data };
            *part = (part.0.min(start), part.1.max(end));
            let headers = segment.offset..segment.offset + segment.file_len as u64;
            if headers.contains(&self.headers_offset) {
                loaded.headers = start + (self.headers_offset - segment.offset) as usize;
            }
        }
        if let Some(segment) = self.segments.iter().find(|segment| segment.kind == PT_PHDR) {
            loaded.headers = segment.address.wrapping_add(bias);
        }
        Ok(loaded)
    }

    fn load_segment(&self, space: &Space, segment: &Segment, bias: usize) -> Result<(), Errno> {
        let mut protection = 0;
        for (flag, bit) in [(PF_R, PROT_READ), (PF_W, PROT_WRITE), (PF_X, PROT_EXEC)] {
            if segment.flags & flag != 0 {
                protection |= bit;
            }
        }
        let address = segment.address.wrapping_add(bias);
        let start = address & !(PAGE_SIZE - 1);
        let file_end = address + segment.file_len;
        let end = (address + segment.len).next_multiple_of(PAGE_SIZE);
        let mapped_end = if segment.file_len == 0 { start } else { file_end.next_multiple_of(PAGE_SIZE) };
        if mapped_end > start {
            let offset = segment.offset - (address - start) as u64;
            let backing = Backing::File { file: self.file.clone(), offset };
            let area = Area { backing, ..Area::anonymous(protection, Name::None) };
            space.map(Request::at(start, mapped_end - start, area))?;
        }
        if end > mapped_end {
            space.map(Request::at(mapped_end, end - mapped_end, Area::anonymous(protection, Name::None)))?;
        }
        // The rest of the last file page belongs to the zero-initialised data.
        if segment.len > segment.file_len && file_end < mapped_end && protection & PROT_WRITE != 0 {
            user::fill(file_end, mapped_end - file_end, 0)?;
        }
        Ok(())
    }
}
