//! The process tender: a guest as a host process behind seccomp.
//!
//! It creates the isolation and is gone: after sealing no code of the tender runs any more, the kernel acts on the host's
//! signals itself, and the filter alone is the boundary.
#![cfg_attr(not(test), no_std)]

pub mod table;
#[cfg(test)]
mod tests;

use husk_abi::boot::{Boot, FLAG_FORK, KERNEL_MAGIC, KernelHeader, ROOT_FILES_MAX, TENDER_PROCESS};
use husk_abi::gate::entry;
use husk_abi::layout::{
    ARENA, ARENA_MAX, BOOT, BOOT_LEN, CPUS_MAX, GATE, GATE_LEN, KERNEL, PAGE_SIZE, PRIVATE, PRIVATE_PER_CPU,
    RING, RING_MAX, ROOT, ROOT_MAX,
};
use husk_tender::bpf::{Descriptor, Filter, Row};
use husk_tender::config::{self, Config, Damaged, FORWARDED, SIZE};
use husk_tender::confine;
use husk_tender::host::{self, HostErrno};
use linux_raw_sys::general as raw;
use syscalls::Sysno;

/// Why a guest could not be made: what was tried, and the host's error.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub what: &'static str,
    pub error: HostErrno,
}

fn tried<T>(what: &'static str, result: Result<T, HostErrno>) -> Result<T, Failure> {
    result.map_err(|error| Failure { what, error })
}

/// Host signals that are faults, system calls or kicks of the guest.
const TRAPS: [u32; 7] =
    [raw::SIGSYS, raw::SIGSEGV, raw::SIGBUS, raw::SIGFPE, raw::SIGILL, raw::SIGTRAP, raw::SIGURG];

fn header() -> &'static KernelHeader {
    // SAFETY: the executable maps the kernel image there, header first.
    unsafe { &*(KERNEL as *const KernelHeader) }
}

/// Becomes the guest. Returns only when that fails; then the process must end.
pub fn run(config: &Config<'_>) -> Failure {
    match prepare(config) {
        Ok(()) => enter(config),
        Err(failure) => failure,
    }
}

fn prepare(config: &Config<'_>) -> Result<(), Failure> {
    assert!(header().magic == KERNEL_MAGIC, "no kernel in this executable");
    let arena_len = (config.memory as usize).next_multiple_of(PAGE_SIZE).min(ARENA_MAX);
    let arena_fd = tried("make the arena", host::memory_file(c"husk-arena", arena_len))?;
    map_arena(config, arena_fd, arena_len)?;
    map_fixed("map the boot block", BOOT, BOOT_LEN, raw::PROT_READ | raw::PROT_WRITE)?;
    map_fixed("map vCPU memory", PRIVATE, PRIVATE_PER_CPU * CPUS_MAX, raw::PROT_READ | raw::PROT_WRITE)?;
    map_fixed("map the gate", GATE, GATE_LEN, raw::PROT_READ | raw::PROT_WRITE)?;
    // SAFETY: the gate page was just mapped, and nothing else refers to it.
    unsafe {
        let code = husk_tender::gate::code();
        core::ptr::copy_nonoverlapping(code.as_ptr(), GATE as *mut u8, code.len());
        tried("protect the gate", host::protect(GATE, GATE_LEN, raw::PROT_READ | raw::PROT_EXEC))?;
    }
    for file in config.root() {
        let (start, len) = (file.start as usize, file.len as usize);
        assert!(start <= ROOT_MAX && len <= ROOT_MAX - start, "root image too big");
        let flags = raw::MAP_PRIVATE | raw::MAP_FIXED_NOREPLACE;
        // SAFETY: the range is the root image's by the layout of the address space.
        tried("map the root image", unsafe {
            host::map(ROOT + start, len, raw::PROT_READ, flags, file.fd, file.offset as usize)
        })?;
    }
    if let Some(ring) = &config.ring {
        assert!(ring.len <= RING_MAX, "ring too big");
        let flags = raw::MAP_SHARED | raw::MAP_FIXED_NOREPLACE;
        // SAFETY: the range is the ring's by the layout of the address space.
        tried("map the ring of its volumes", unsafe {
            host::map(RING, ring.len, raw::PROT_READ | raw::PROT_WRITE, flags, ring.fd, 0)
        })?;
    }
    // SAFETY: no pointers.
    let pid = unsafe { host::call(Sysno::getpid, [0; 6]) }.unwrap_or(0) as i32;
    let (data_pages, _) = data_range();
    // SAFETY: the boot block was just mapped, and nothing else refers to it.
    let block = unsafe { core::slice::from_raw_parts_mut(BOOT as *mut u8, BOOT_LEN) };
    let written = config::write_boot(block, config, |boot: &mut Boot| {
        if let Some(snapshot) = &config.snapshot {
            boot.snapshot_fd = snapshot.fd;
            boot.snapshot_processes = snapshot.header.processes;
        }
        boot.tender = TENDER_PROCESS;
        boot.arena_len = arena_len as u64;
        boot.arena_used = data_pages as u64;
        boot.arena_fd = arena_fd;
        boot.root_fd = config.root_fd;
        boot.host_pid = pid;
    });
    written.map_err(|_| Failure { what: "fit arguments and environment", error: HostErrno::E2BIG })?;
    // SAFETY: nobody writes it from here on.
    tried("protect the boot block", unsafe { host::protect(BOOT, BOOT_LEN, raw::PROT_READ) })?;
    take_signals()?;
    seal(config, arena_fd)
}

/// Bytes of the kernel's writable part, in whole pages, and of its initial contents.
fn data_range() -> (usize, usize) {
    let header = header();
    ((header.bss_end - header.data_start) as usize, (header.data_end - header.data_start) as usize)
}

fn map_arena(config: &Config<'_>, fd: i32, len: usize) -> Result<(), Failure> {
    let flags = raw::MAP_SHARED | raw::MAP_NORESERVE;
    let protection = raw::PROT_READ | raw::PROT_WRITE;
    // SAFETY: the range is the arena's by the layout of the address space.
    tried("map the arena", unsafe {
        host::map(ARENA, len, protection, flags | raw::MAP_FIXED_NOREPLACE, fd, 0)
    })?;
    let (data_len, initial) = data_range();
    let at = header().data_start as usize;
    // SAFETY: the kernel's writable range, which the executable leaves unmapped. It is the first part of the arena, so
    // that all processes of the guest share it.
    tried("map kernel data", unsafe {
        host::map(at, data_len, protection, flags | raw::MAP_FIXED_NOREPLACE, fd, 0)
    })?;
    if let Some(snapshot) = &config.snapshot {
        let read = snapshot.for_each_arena_extent(len as u64, |extent, count| {
            // SAFETY: inside the arena, which was just mapped and to which nothing refers yet.
            let pages =
                unsafe { core::slice::from_raw_parts_mut((ARENA as u64 + extent.place) as *mut u8, count) };
            snapshot.read_extent(extent, pages)
        });
        return tried("read the snapshot", read.map_err(|Damaged| HostErrno::EIO));
    }
    let data = &config.kernel.data[..initial];
    // SAFETY: just mapped, as long as the data at least.
    unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), at as *mut u8, data.len()) };
    Ok(())
}

fn map_fixed(what: &'static str, at: usize, len: usize, protection: u32) -> Result<(), Failure> {
    let flags = raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE | raw::MAP_FIXED_NOREPLACE;
    // SAFETY: a range of the layout that nothing else uses.
    tried(what, unsafe { host::map(at, len, protection, flags, -1, 0) }).map(|_| ())
}

/// Makes host signals the kernel's, on a stack of its own.
fn take_signals() -> Result<(), Failure> {
    let stack = [PRIVATE + PRIVATE_PER_CPU / 2, 0, PRIVATE_PER_CPU / 2];
    // SAFETY: the stack is private memory of vCPU 0.
    let done = unsafe { host::call(Sysno::sigaltstack, [stack.as_ptr() as usize, 0, 0, 0, 0, 0]) };
    tried("set the signal stack", done)?;
    let handler = header().host_signal as usize;
    let flags = u64::from(raw::SA_SIGINFO | raw::SA_ONSTACK | raw::SA_NODEFER) | u64::from(raw::SA_RESTORER);
    for signal in TRAPS.into_iter().chain(FORWARDED).chain([SIZE, husk_abi::control::SIGNAL]) {
        // SAFETY: the kernel's handler, and the gate's way back from it.
        tried("take a signal", unsafe {
            host::signal_action(signal, handler, flags, GATE + entry::SIGRETURN)
        })?;
    }
    // Host processes of the guest leave no zombies; a closed pipe is an error number.
    // SAFETY: no handler.
    unsafe {
        tried("ignore SIGCHLD", host::signal_action(raw::SIGCHLD, 1, u64::from(raw::SA_NOCLDWAIT), 0))?;
        tried("ignore SIGPIPE", host::signal_action(raw::SIGPIPE, 1, 0, 0))
    }
}

/// Gives up all that the guest needs no more, and installs the filter.
fn seal(config: &Config<'_>, arena_fd: i32) -> Result<(), Failure> {
    let trace_fd = config.trace_fd.unwrap_or(-1);
    let wish_fd = config.wish_fd.unwrap_or(-1);
    let record_fd = config.record_fd.unwrap_or(-1);
    let snapshot_fd = config.snapshot.map_or(-1, |snapshot| snapshot.fd);
    let (root_first, root_last) = config.root_fds();
    let mut keep = [-1; 9 + ROOT_FILES_MAX];
    keep[..9].copy_from_slice(&[
        0,
        1,
        2,
        arena_fd,
        trace_fd,
        wish_fd,
        record_fd,
        config.control_fd,
        snapshot_fd,
    ]);
    for (slot, fd) in keep[9..].iter_mut().zip(root_first..=root_last) {
        *slot = fd;
    }
    confine::confine(config, &mut keep).map_err(|(what, error)| Failure { what, error })?;
    if config.control_fd >= 0 {
        let done = host::announce_input(config.control_fd, husk_abi::control::SIGNAL);
        tried("listen to the control socket", done)?;
    }
    let kept = Kept {
        arena: arena_fd,
        root: (root_first as u32, root_last as u32),
        trace: trace_fd,
        wish: wish_fd,
        record: record_fd,
        control: config.control_fd,
        snapshot: snapshot_fd,
        may_fork: config.flags & FLAG_FORK != 0,
    };
    tried("install the filter", kept.filter().install())
}

/// What the filter depends on: the descriptors that a guest keeps, -1 for one that it has not, and whether it may fork.
#[derive(Clone, Copy)]
struct Kept {
    arena: i32,
    /// First and last.
    root: (u32, u32),
    trace: i32,
    wish: i32,
    record: i32,
    control: i32,
    snapshot: i32,
    may_fork: bool,
}

impl Kept {
    fn rows(self) -> impl Iterator<Item = &'static Row> {
        let only = |when: bool, rows: &'static [Row]| if when { rows } else { &[] };
        table::ROWS
            .iter()
            .chain(only(self.may_fork, table::FORK_ROWS))
            .chain(only(self.trace > 2, table::TRACE_ROWS))
            .chain(only(self.wish > 2, table::WISH_ROWS))
            .chain(only(self.record > 2, table::RECORD_ROWS))
            .chain(only(self.control >= 0, table::CONTROL_ROWS))
            .chain(only(self.snapshot >= 0, table::SNAPSHOT_ROWS))
    }

    /// First and last of those that the name stands for.
    fn descriptors(self, descriptor: Descriptor) -> (u32, u32) {
        let same = |fd: i32| (fd as u32, fd as u32);
        match descriptor {
            Descriptor::Arena => same(self.arena),
            Descriptor::Root => self.root,
            Descriptor::Record => same(self.record),
            Descriptor::Trace => same(self.trace),
            Descriptor::Wish => same(self.wish),
            Descriptor::Control => same(self.control),
            Descriptor::Snapshot => same(self.snapshot),
        }
    }

    fn filter(self) -> Filter {
        Filter::of_rows(self.rows(), |descriptor| self.descriptors(descriptor))
    }
}

fn enter(config: &Config<'_>) -> ! {
    let start = if config.snapshot.is_some() { header().restore } else { header().start } as usize;
    // SAFETY: the kernel's first instruction; it takes a stack of its own.
    unsafe { core::arch::asm!("jmp {}", in(reg) start, options(noreturn)) }
}

/// The name of a host error, for messages.
pub fn error_name(failure: &Failure) -> &'static str {
    failure.error.name().unwrap_or("unknown error")
}
