//! What a guest is started with, and how it becomes the boot block.

use crate::clock::{self, Sample};
use crate::host;
use core::ffi::CStr;
use husk_abi::boot::{ABI_VERSION, BOOT_LEN_MAX, BOOT_MAGIC, Boot, Stdio, Text};
use husk_abi::layout::PAGE_SIZE;
use husk_abi::snapshot::{Extent, Header, Part};
use linux_raw_sys::general as raw;

/// Host signals that `husk` passes on to the guest; under kvm vCPU 0 takes them.
pub const FORWARDED: [u32; 10] = [
    raw::SIGHUP,
    raw::SIGINT,
    raw::SIGQUIT,
    raw::SIGTERM,
    raw::SIGUSR1,
    raw::SIGUSR2,
    raw::SIGCONT,
    raw::SIGWINCH,
    raw::SIGALRM,
    raw::SIGTSTP,
];

/// Host signal with which the parent process tells the terminal's size, as `husk_abi::vcpu::Upcall::window` has it. It must be
/// one that queues: the terminal's own SIGWINCH, which carries nothing, may be on its way.
pub const SIZE: u32 = husk_abi::boot::SIZE_SIGNAL;

/// A list of C strings as execve(2) takes it.
#[derive(Clone, Copy)]
pub struct Strings<'a> {
    pub items: &'a [*const u8],
}

/// The kernel image inside this executable.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Initial contents of the writable part.
    pub data: &'static [u8],
}

/// Everything a tender needs to know of one guest.
pub struct Config<'a> {
    pub kernel: Kernel,
    pub program: &'a CStr,
    pub args: Strings<'a>,
    pub env: Strings<'a>,
    pub cwd: &'a CStr,
    pub hostname: &'a CStr,
    /// The open root image and its length: of all its files, where there are several.
    pub root_fd: i32,
    pub root_len: u64,
    /// Where it begins in its file, where there is one only: whole pages.
    pub root_offset: u64,
    /// Where the guest writes its record (`husk_abi::record`), if it was asked for one.
    pub record_fd: Option<i32>,
    /// The boot block's `strict` and `allowed`.
    pub strict: u32,
    pub allowed: [u64; 8],
    /// Where it is, for messages.
    pub root_name: &'a CStr,
    /// Bytes of each file of the root image, where there are several: their descriptors follow on `root_fd`, and each
    /// begins at the first whole page behind the one before.
    pub root_files: &'a [u64],
    /// What is mounted over the root: strings as the boot block's `mounts` has them, each ended by a NUL.
    pub mounts: &'a [u8],
    /// What the guest and the state server of its volumes share, if it has volumes.
    pub ring: Option<Ring>,
    /// Memory limit, bytes.
    pub memory: u64,
    pub cpus: u32,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups; of more than the boot block holds, the first.
    pub groups: &'a [u32],
    pub umask: u32,
    /// FLAG_* of the boot block.
    pub flags: u64,
    /// Where traces go, if not to stderr.
    pub trace_fd: Option<i32>,
    /// Which system calls to trace, as strace's `-e` has it; none: all.
    pub trace: Option<&'a CStr>,
    /// Most bytes of a string in a trace; 0: the kernel's choice.
    pub trace_strings: u32,
    /// AT_HWCAP of this process.
    pub hwcap: u64,
    /// Where a byte asks the parent process to stop with the guest.
    pub wish_fd: Option<i32>,
    /// A parent process waits, with which the guest ends.
    pub has_parent: bool,
    /// Tells the guests of one host apart: the id of a process that lives as long as the guest.
    pub number: u32,
    /// This process has a user namespace of its own.
    pub own_users: bool,
    /// A reading of the clocks, the longer ago the better.
    pub clock: Sample,
    /// The guest's end of its control socket, or -1. Where there is one, there is a parent with whom the guest ends.
    pub control_fd: i32,
    /// What the guest goes on from, if it is not a new one. Program, arguments and the like are then those of the snapshot.
    pub snapshot: Option<Snapshot>,
}

/// The memory that the guest shares with the state server of its volumes, and how they wake each other.
#[derive(Clone, Copy, Debug)]
pub struct Ring {
    /// The memory's file, and its bytes: whole units of `husk_ring`.
    pub fd: i32,
    pub len: usize,
    /// Event counters (eventfd(2), non-blocking), which only the kvm tender uses: requests, replies.
    pub requests: i32,
    pub replies: i32,
}

/// A snapshot, open for reading.
#[derive(Clone, Copy)]
pub struct Snapshot {
    pub fd: i32,
    pub header: Header,
}

/// A snapshot does not hold what its header says.
#[derive(Clone, Copy, Debug)]
pub struct Damaged;

impl Snapshot {
    fn read(&self, out: &mut [u8], offset: u64) -> Result<(), Damaged> {
        let mut done = 0;
        while done < out.len() {
            match host::read_at(self.fd, &mut out[done..], offset + done as u64) {
                Ok(0) | Err(_) => return Err(Damaged),
                Ok(count) => done += count,
            }
        }
        Ok(())
    }

    /// The saved boot block, at the start of `block`.
    fn read_boot(&self, block: &mut [u8]) -> Result<(), Damaged> {
        let Part { offset, len } = self.header.boot;
        let len = usize::try_from(len).map_err(|_| Damaged)?;
        if len < size_of::<Boot>() {
            return Err(Damaged);
        }
        self.read(block.get_mut(..len).ok_or(Damaged)?, offset)
    }

    /// Calls `each` for the extents of the arena, which has `len` bytes.
    pub fn for_each_arena_extent(
        &self,
        len: u64,
        mut each: impl FnMut(&Extent, usize) -> Result<(), Damaged>,
    ) -> Result<(), Damaged> {
        const AT_ONCE: usize = 64;
        let Part { offset, len: table } = self.header.arena;
        let mut bytes = [0; AT_ONCE * Extent::LEN];
        let mut at = 0;
        while at < table {
            let part = (table - at).min(bytes.len() as u64) as usize;
            self.read(&mut bytes[..part], offset + at)?;
            for extent in bytes[..part].as_chunks::<{ Extent::LEN }>().0 {
                let extent = Extent::from_bytes(extent);
                each(&extent, extent.len_within(len).ok_or(Damaged)?)?;
            }
            at += part as u64;
        }
        Ok(())
    }

    /// Reads an extent's pages to where they belong.
    pub fn read_extent(&self, extent: &Extent, out: &mut [u8]) -> Result<(), Damaged> {
        self.read(out, extent.offset)
    }
}

/// A file of the root image.
#[derive(Clone, Copy, Debug)]
pub struct RootFile {
    pub fd: i32,
    /// Where the image begins in the file, and the file in the root image.
    pub offset: u64,
    pub start: u64,
    pub len: u64,
}

impl Config<'_> {
    /// The files of the root image, in order. None where there is no root image.
    pub fn root(&self) -> impl Iterator<Item = RootFile> {
        let single = [self.root_len];
        let count = if self.root_len == 0 { 0 } else { self.root_files.len().max(1) };
        let mut start = 0;
        (0..count).map(move |number| {
            let len = self.root_files.get(number).copied().unwrap_or(single[0]);
            let file = RootFile { fd: self.root_fd + number as i32, offset: self.root_offset, start, len };
            start = (start + len).next_multiple_of(PAGE_SIZE as u64);
            file
        })
    }

    /// First and last descriptor of the root image.
    pub fn root_fds(&self) -> (i32, i32) {
        (self.root_fd, self.root_fd + self.root_files.len().saturating_sub(1) as i32)
    }
}

/// Fills the boot block from its start.
struct Writer<'a> {
    block: &'a mut [u8],
    used: usize,
}

/// The strings of a guest do not fit into the boot block.
#[derive(Clone, Copy, Debug)]
pub struct TooLong;

impl Writer<'_> {
    fn push(&mut self, text: &mut Text, string: &CStr) -> Result<(), TooLong> {
        self.push_bytes(text, string.to_bytes_with_nul())
    }

    fn push_bytes(&mut self, text: &mut Text, bytes: &[u8]) -> Result<(), TooLong> {
        let end = self.used + bytes.len();
        self.block.get_mut(self.used..end).ok_or(TooLong)?.copy_from_slice(bytes);
        if text.count == 0 {
            text.offset = self.used as u32;
        }
        text.len += bytes.len() as u32;
        text.count += 1;
        self.used = end;
        Ok(())
    }

    fn push_all(&mut self, text: &mut Text, strings: Strings<'_>) -> Result<(), TooLong> {
        for item in strings.items {
            // SAFETY: `Strings` holds C strings.
            self.push(text, unsafe { CStr::from_ptr(item.cast()) })?;
        }
        Ok(())
    }
}

fn stdio(fd: i32) -> Stdio {
    match host::stat_fd(fd) {
        Ok(stat) => Stdio { mode: stat.st_mode & 0o170_000, terminal: u32::from(host::is_terminal(fd)) },
        Err(_) => Stdio::default(),
    }
}

/// The mask of state components that XSAVE may keep: those of applications that the processor has enabled.
fn xsave_mask() -> u32 {
    let low: u32;
    // SAFETY: every processor Husk runs on has XGETBV (x86-64-v2 and FSGSBASE came later than it).
    unsafe { core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack)) };
    low & 0xe7
}

/// What the boot block says of this process, its descriptors and the host.
fn describe_tender(boot: &mut Boot, config: &Config<'_>) {
    for (fd, stdio) in boot.stdio.iter_mut().enumerate() {
        *stdio = self::stdio(fd as i32);
    }
    if let Some(terminal) = (0..3).find(|fd| boot.stdio[*fd].terminal != 0) {
        boot.window = host::window(terminal as i32);
    }
    boot.control_fd = config.control_fd;
    boot.snapshot_fd = -1;
    host::random(&mut boot.seed);
}

/// Brings the boot block of a guest that was parked up to date: a clock that goes on where it stood, other descriptors.
pub fn renew_boot(block: &mut [u8], config: &Config<'_>, fixed: impl FnOnce(&mut Boot)) {
    let place = block.as_mut_ptr().cast::<Boot>();
    assert!(block.len() >= size_of::<Boot>());
    // SAFETY: the block is longer than `Boot`, which is plain data.
    let mut boot = unsafe { place.read_unaligned() };
    let now = clock::sample();
    boot.magic = BOOT_MAGIC;
    boot.version = ABI_VERSION;
    boot.flags = config.flags;
    boot.root_len = config.root_len;
    boot.root_offset = config.root_offset;
    boot.record_fd = config.record_fd.unwrap_or(-1);
    boot.ring_len = 0;
    boot.memory = config.memory;
    boot.cpus = config.cpus;
    boot.tsc = now.tsc;
    boot.monotonic = config.snapshot.map_or(now.monotonic, |snapshot| snapshot.header.monotonic);
    boot.realtime = now.monotonic + clock::realtime_offset();
    boot.tsc_mult = clock::multiplier(config.clock, now);
    describe_tender(&mut boot, config);
    fixed(&mut boot);
    // Where the root's files begin is ours to say, not the guest's that was saved.
    let Text { offset, len, .. } = boot.root_files;
    let starts = block.get_mut(offset as usize..).and_then(|rest| rest.get_mut(..len as usize));
    let starts = starts.unwrap_or_default().as_chunks_mut::<8>().0;
    boot.root_files.count = starts.len() as u32;
    for (start, file) in starts.iter_mut().zip(config.root()) {
        *start = file.start.to_le_bytes();
    }
    let place = block.as_mut_ptr().cast::<Boot>();
    // SAFETY: as above.
    unsafe { place.write_unaligned(boot) };
}

/// Writes the boot block. `fixed` fills in what only the tender knows.
pub fn write_boot(
    block: &mut [u8],
    config: &Config<'_>,
    fixed: impl FnOnce(&mut Boot),
) -> Result<(), TooLong> {
    if let Some(snapshot) = &config.snapshot {
        return snapshot
            .read_boot(block)
            .map_err(|Damaged| TooLong)
            .map(|()| renew_boot(block, config, fixed));
    }
    let now = clock::sample();
    let mut boot = Boot {
        magic: BOOT_MAGIC,
        version: ABI_VERSION,
        flags: config.flags,
        root_len: config.root_len,
        root_offset: config.root_offset,
        record_fd: config.record_fd.unwrap_or(-1),
        strict: config.strict,
        allowed: config.allowed,
        memory: config.memory,
        cpus: config.cpus,
        xsave_mask: xsave_mask(),
        tsc: now.tsc,
        monotonic: now.monotonic,
        realtime: now.monotonic + clock::realtime_offset(),
        tsc_mult: clock::multiplier(config.clock, now),
        hwcap: config.hwcap,
        uid: config.uid,
        gid: config.gid,
        umask: config.umask,
        trace_fd: config.trace_fd.unwrap_or(2),
        trace_strings: config.trace_strings,
        wish_fd: config.wish_fd.unwrap_or(-1),
        ..Boot::default()
    };
    describe_tender(&mut boot, config);
    let len = block.len().min(BOOT_LEN_MAX);
    let mut writer = Writer { block: &mut block[..len], used: size_of::<Boot>() };
    writer.push(&mut boot.program, config.program)?;
    writer.push_all(&mut boot.args, config.args)?;
    writer.push_all(&mut boot.env, config.env)?;
    writer.push(&mut boot.cwd, config.cwd)?;
    writer.push(&mut boot.hostname, config.hostname)?;
    writer.push(&mut boot.root_name, config.root_name)?;
    if let Some(trace) = config.trace {
        writer.push(&mut boot.trace, trace)?;
    }
    if !config.mounts.is_empty() {
        writer.push_bytes(&mut boot.mounts, config.mounts)?;
        boot.mounts.count = config.mounts.iter().filter(|byte| **byte == 0).count() as u32;
    }
    boot.ring_len = config.ring.map_or(0, |ring| ring.len as u64);
    for file in config.root() {
        writer.push_bytes(&mut boot.root_files, &file.start.to_le_bytes())?;
    }
    for (slot, group) in boot.groups.iter_mut().zip(config.groups) {
        *slot = *group;
        boot.group_count += 1;
    }
    fixed(&mut boot);
    // SAFETY: the block is longer than `Boot`, which is plain data.
    unsafe { block.as_mut_ptr().cast::<Boot>().write_unaligned(boot) };
    Ok(())
}
