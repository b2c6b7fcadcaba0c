//! What a guest is started with, and how it becomes the boot block.

use crate::clock::{self, Sample};
use crate::host;
use core::ffi::CStr;
use husk_abi::boot::{ABI_VERSION, BOOT_LEN_MAX, BOOT_MAGIC, Boot, Stdio, Text};
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
    /// The open root image and its length.
    pub root_fd: i32,
    pub root_len: u64,
    /// Where it begins in its file: whole pages.
    pub root_offset: u64,
    /// Where the guest writes its record (`husk_abi::record`), if it was asked for one.
    pub record_fd: Option<i32>,
    /// The boot block's `strict` and `allowed`.
    pub strict: u32,
    pub allowed: [u64; 8],
    /// Memory limit, bytes.
    pub memory: u64,
    pub cpus: u32,
    pub uid: u32,
    pub gid: u32,
    pub umask: u32,
    /// FLAG_* of the boot block.
    pub flags: u64,
    /// AT_HWCAP of this process.
    pub hwcap: u64,
    /// A reading of the clocks, the longer ago the better.
    pub clock: Sample,
    /// The guest's end of its control socket, or -1. Where there is one, there is a parent with whom the guest ends.
    pub control_fd: i32,
    /// What the guest goes on from, if it is not a new one. Program, arguments and the like are then those of the snapshot.
    pub snapshot: Option<Snapshot>,
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
        let bytes = string.to_bytes_with_nul();
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
    boot.memory = config.memory;
    boot.cpus = config.cpus;
    boot.tsc = now.tsc;
    boot.monotonic = config.snapshot.map_or(now.monotonic, |snapshot| snapshot.header.monotonic);
    boot.realtime = now.monotonic + clock::realtime_offset();
    boot.tsc_mult = clock::multiplier(config.clock, now);
    describe_tender(&mut boot, config);
    fixed(&mut boot);
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
    fixed(&mut boot);
    // SAFETY: the block is longer than `Boot`, which is plain data.
    unsafe { block.as_mut_ptr().cast::<Boot>().write_unaligned(boot) };
    Ok(())
}
