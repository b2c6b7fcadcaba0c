//! What /proc tells of the memory of a process.
//!
//! How much is in memory `mem::resident` knows.

use super::fd;
use super::process::{Id, Subject};
use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source};
use crate::file::{self, OpenFile, seek_within};
use crate::fs::pseudo::File;
use crate::fs::{Stat, major_minor};
use crate::mem::map::{Area, Backing, Name};
use crate::mem::resident::{self, Resident};
use crate::mem::{Space, remote, user};
use crate::task::{self, Task};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use husk_abi::layout::PAGE_SIZE;
use linux_raw_sys::general as raw;
use raw::{PROT_EXEC, PROT_READ, PROT_WRITE};

/// Most bytes of a command line or environment that are shown.
const STRINGS_MAX: usize = 1 << 21;

/// Sums over the areas of a space, in bytes.
#[derive(Default)]
struct Totals {
    size: usize,
    resident: Resident,
    code: usize,
    data: usize,
    stack: usize,
}

fn totals(task: &Arc<Task>) -> Totals {
    resident::refresh(task);
    let space = task.space();
    let mut totals = Totals { resident: space.resident(), ..Totals::default() };
    space.for_each_area(|start, area| {
        let len = area.end - start;
        totals.size += len;
        if area.name == Name::Stack {
            totals.stack += len;
        } else if area.protection & PROT_EXEC != 0 {
            totals.code += len;
        } else if area.protection & PROT_WRITE != 0 && !area.shared {
            totals.data += len;
        }
    });
    totals
}

/// Bytes of all mappings, and pages that are resident.
pub(super) fn sizes(task: &Arc<Task>) -> (usize, usize) {
    let totals = totals(task);
    (totals.size, totals.resident.total() / PAGE_SIZE)
}

pub(super) fn statm(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(b"0 0 0 0 0 0 0\n".to_vec()) };
    let totals = totals(task);
    let pages = |bytes: usize| bytes / PAGE_SIZE;
    Ok(format!(
        "{} {} {} {} 0 {} 0\n",
        pages(totals.size),
        pages(totals.resident.total()),
        pages(totals.resident.file + totals.resident.shared),
        pages(totals.code),
        pages(totals.data + totals.stack)
    )
    .into_bytes())
}

/// The lines of /proc/PID/status about memory.
pub(super) fn status(task: &Arc<Task>, out: &mut String) {
    let totals = totals(task);
    let (space, resident) = (task.space(), totals.resident);
    let (code, end) = space.layout.get().code;
    let program = (end.next_multiple_of(PAGE_SIZE) - code / PAGE_SIZE * PAGE_SIZE).min(totals.code);
    let lines = [
        ("VmPeak", space.most_mapped().max(totals.size)),
        ("VmSize", totals.size),
        ("VmLck", 0),
        ("VmPin", 0),
        ("VmHWM", space.most_resident()),
        ("VmRSS", resident.total()),
        ("RssAnon", resident.anonymous),
        ("RssFile", resident.file),
        ("RssShmem", resident.shared),
        ("VmData", totals.data),
        ("VmStk", totals.stack),
        ("VmExe", program),
        ("VmLib", totals.code - program),
        ("VmPTE", resident.total() / 512),
        ("VmSwap", 0),
        ("HugetlbPages", 0),
    ];
    for (name, bytes) in lines {
        let _ = writeln!(out, "{name}:\t{:8} kB", bytes / 1024);
    }
}

/// The strings between two addresses of the subject's memory.
fn strings(
    subject: &Subject,
    range: (usize, usize),
    kept: fn(&Space) -> Arc<[u8]>,
) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(Vec::new()) };
    let space = task.space();
    if Arc::ptr_eq(&space, &task::current().space()) {
        let mut bytes = alloc::vec![0; range.1.saturating_sub(range.0).min(STRINGS_MAX)];
        if user::copy_in(range.0, &mut bytes).is_ok() {
            return Ok(bytes);
        }
    }
    Ok(kept(&space).to_vec())
}

/// /proc/PID/cmdline: as the process has it now when it asks itself, and as it started for others.
pub(super) fn command_line(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(Vec::new()) };
    let range = task.space().layout.get().args;
    strings(subject, range, |space| space.program_text.borrow().args.clone())
}

/// See `command_line`.
pub(super) fn environment(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(Vec::new()) };
    let range = task.space().layout.get().env;
    strings(subject, range, |space| space.program_text.borrow().env.clone())
}

pub(super) fn auxv(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let space = subject.task()?.space();
    let words = space.auxv.borrow();
    Ok(husk_machine::pod::slice_bytes(&words).to_vec())
}

fn header(start: usize, area: &Area, out: &mut Vec<u8>) {
    let flag = |bit: u32, letter: char| if area.protection & bit != 0 { letter } else { '-' };
    // All share the vDSO's page, which Linux does not show.
    let sharing = if area.shared && area.name != Name::Vdso { 's' } else { 'p' };
    let mut place = (0, 0, 0);
    let mut name = match area.name {
        Name::Heap => b"[heap]".to_vec(),
        Name::Stack => b"[stack]".to_vec(),
        Name::Vdso => b"[vdso]".to_vec(),
        Name::Gate => b"[husk]".to_vec(),
        Name::None => Vec::new(),
    };
    match &area.backing {
        Backing::File { file, offset } => {
            let stat = file.stat().unwrap_or_default();
            place = (*offset, stat.dev, stat.ino);
            name = fd::name(file)
                .iter()
                .flat_map(|byte| match byte {
                    b'\n' => b"\\012".to_vec(),
                    byte => alloc::vec![*byte],
                })
                .collect();
        }
        Backing::Shared { offset, .. } if area.name == Name::None => {
            place.0 = *offset as u64;
            name = b"/dev/zero (deleted)".to_vec();
        }
        Backing::Anonymous | Backing::Shared { .. } => {}
    }
    let (offset, dev, ino) = place;
    let (major, minor) = major_minor(dev);
    let mut text = format!(
        "{start:08x}-{:08x} {}{}{}{sharing} {offset:08x} {major:02x}:{minor:02x} {ino} ",
        area.end,
        flag(PROT_READ, 'r'),
        flag(PROT_WRITE, 'w'),
        flag(PROT_EXEC, 'x'),
    );
    if !name.is_empty() {
        // Names line up in one column.
        while text.len() < 73 {
            text.push(' ');
        }
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(&name);
    out.push(b'\n');
}

pub(super) fn maps(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    task.space().for_each_area(|start, area| header(start, area, &mut out));
    Ok(out)
}

/// The lines of smaps for `size` bytes of which `resident` are in memory, as `private` or shared pages.
fn usage(size: Option<usize>, resident: usize, private: usize, anonymous: usize) -> String {
    let mut out = String::new();
    let mut line = |name: &str, bytes: usize| {
        let name = format!("{name}:");
        let _ = writeln!(out, "{name:<15} {:8} kB", bytes / 1024);
    };
    if let Some(size) = size {
        line("Size", size);
        line("KernelPageSize", PAGE_SIZE);
        line("MMUPageSize", PAGE_SIZE);
    }
    let shared = resident - private;
    let lines = [
        ("Rss", resident),
        ("Pss", resident),
        ("Pss_Dirty", anonymous),
        ("Shared_Clean", shared),
        ("Shared_Dirty", 0),
        ("Private_Clean", private - anonymous),
        ("Private_Dirty", anonymous),
        ("Referenced", resident),
        ("Anonymous", anonymous),
        ("KSM", 0),
        ("LazyFree", 0),
        ("AnonHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FilePmdMapped", 0),
        ("Shared_Hugetlb", 0),
        ("Private_Hugetlb", 0),
        ("Swap", 0),
        ("SwapPss", 0),
        ("Locked", 0),
    ];
    for (name, bytes) in lines {
        line(name, bytes);
    }
    out
}

/// How many bytes of an area are private, and how many of those are anonymous, if `resident` are in memory.
fn split(area: &Area, resident: usize) -> (usize, usize) {
    let private = if area.shared { 0 } else { resident };
    (private, if matches!(area.backing, Backing::Anonymous) { private } else { 0 })
}

pub(super) fn smaps(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    resident::refresh(task);
    let space = task.space();
    space.for_each_area(|start, area| {
        header(start, area, &mut out);
        let resident = space.resident_of(start);
        let (private, anonymous) = split(area, resident);
        out.extend_from_slice(usage(Some(area.end - start), resident, private, anonymous).as_bytes());
        out.extend_from_slice(b"THPeligible:           0\nVmFlags:");
        let flags = [(PROT_READ, " rd"), (PROT_WRITE, " wr"), (PROT_EXEC, " ex")];
        for (bit, name) in flags {
            if area.protection & bit != 0 {
                out.extend_from_slice(name.as_bytes());
            }
        }
        if area.shared {
            out.extend_from_slice(b" sh");
        }
        for (bit, name) in [(PROT_READ, " mr"), (PROT_WRITE, " mw"), (PROT_EXEC, " me")] {
            if area.may & bit != 0 {
                out.extend_from_slice(name.as_bytes());
            }
        }
        out.extend_from_slice(b" \n");
    });
    Ok(out)
}

pub(super) fn smaps_rollup(subject: &Subject) -> Result<Vec<u8>, Errno> {
    let Some(task) = &subject.task else { return Ok(Vec::new()) };
    let (mut first, mut last) = (None, 0);
    let mut sums = (0, 0, 0);
    resident::refresh(task);
    let space = task.space();
    space.for_each_area(|start, area| {
        first = first.or(Some(start));
        last = area.end;
        let resident = space.resident_of(start);
        let (private, anonymous) = split(area, resident);
        sums = (sums.0 + resident, sums.1 + private, sums.2 + anonymous);
    });
    let start = first.unwrap_or(0);
    let mut out = format!("{start:08x}-{last:08x} ---p 00000000 00:00 0 ");
    while out.len() < 73 {
        out.push(' ');
    }
    out.push_str("[rollup]\n");
    out.push_str(&usage(None, sums.0, sums.1, sums.2));
    Ok(out.into_bytes())
}

/// /proc/PID/mem, for those who may trace the process.
pub(super) struct Memory(pub(super) Id);

impl File for Memory {
    fn read(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EIO)
    }

    fn open(&self, _flags: u32) -> Result<Option<Arc<dyn file::File>>, Errno> {
        let subject = self.0.find_private()?;
        Ok(Some(Arc::new(OpenMemory { id: self.0, space: Arc::downgrade(&subject.task()?.space()) })))
    }
}

/// Refers to the memory as it was when it was opened: after an execve it is empty.
struct OpenMemory {
    id: Id,
    space: alloc::sync::Weak<Space>,
}

impl OpenMemory {
    /// A task in that memory, or none if it is gone.
    fn task(&self) -> Option<Arc<Task>> {
        let space = self.space.upgrade()?;
        let task = self.id.find().ok()?.task?;
        Arc::ptr_eq(&task.space(), &space).then_some(task)
    }
}

/// Moves memory in pieces; an address with nothing behind it ends it, and is EIO when nothing was moved.
fn in_pieces(at: u64, mut left: usize, mut piece: impl FnMut(usize, &mut [u8]) -> SysResult) -> SysResult {
    let mut address = usize::try_from(at).map_err(|_| Errno::EIO)?;
    let mut buffer = alloc::vec![0; left.min(1 << 16)];
    let mut done = 0;
    while left > 0 {
        let len = left.min(buffer.len());
        match piece(address, &mut buffer[..len]) {
            Ok(0) if done == 0 => return Err(Errno::EIO),
            Ok(count) => {
                done += count;
                left -= count;
                address = address.wrapping_add(count);
                if count < len {
                    break;
                }
            }
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

impl file::File for OpenMemory {
    fn read(&self, _of: &OpenFile, at: u64, sink: &mut Sink<'_>) -> SysResult {
        let Some(task) = self.task() else { return Ok(0) };
        in_pieces(at, sink.left(), |address, buffer| {
            let moved = remote::read(&task, address, buffer, true);
            sink.put(&buffer[..moved])
        })
    }

    fn write(&self, _of: &OpenFile, at: u64, source: &mut Source<'_>) -> SysResult {
        let Some(task) = self.task() else { return Ok(0) };
        in_pieces(at, source.left(), |address, buffer| {
            let len = source.take(buffer)?;
            Ok(remote::write(&task, address, &buffer[..len], true))
        })
    }

    fn is_stream(&self) -> bool {
        false
    }

    fn seek(&self, of: &OpenFile, offset: i64, whence: u32) -> Result<u64, Errno> {
        if whence == raw::SEEK_END { Err(Errno::EINVAL) } else { seek_within(of, offset, whence, 0) }
    }

    fn stat(&self) -> Result<Stat, Errno> {
        Ok(Stat { mode: raw::S_IFREG | 0o600, nlink: 1, block_size: 1024, ..Stat::default() })
    }
}
