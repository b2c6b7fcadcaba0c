//! The boot block: what a tender tells the kernel before its first instruction.
//!
//! It lies at `layout::BOOT`, is written once by the tender and only read by the kernel. Strings follow the fixed part;
//! a `Text` names them by offset from the start of the block.

/// First word of every boot block.
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"huskboot");
/// Changes with every change of this crate that an old kernel or tender would misread.
pub const ABI_VERSION: u32 = 3;

/// Which tender is below the kernel.
pub const TENDER_PROCESS: u32 = 1;
/// See `TENDER_PROCESS`.
pub const TENDER_KVM: u32 = 2;

/// Strings in the boot block: `count` of them, each ended by a NUL, `len` bytes in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Text {
    pub offset: u32,
    pub len: u32,
    pub count: u32,
}

/// What one of the guest's first three descriptors is on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Stdio {
    /// The type bits of `st_mode` (S_IFIFO, S_IFCHR, S_IFREG, S_IFSOCK); 0 when closed.
    pub mode: u32,
    /// 1 when it is a terminal.
    pub terminal: u32,
}

/// The guest may fork.
pub const FLAG_FORK: u64 = 1 << 0;
/// Print each system call on the console.
pub const FLAG_TRACE: u64 = 1 << 1;
/// Do not patch call sites (for measuring and debugging).
pub const FLAG_NO_PATCH: u64 = 1 << 2;
/// The host's terminal is in raw mode: the guest's line discipline does everything.
pub const FLAG_TERMINAL: u64 = 1 << 3;
/// Keep account of what the guest uses and write it to the record descriptor at the end (`crate::record`).
pub const FLAG_RECORD: u64 = 1 << 16;
/// Write what the guest changed in its root to the record descriptor at the end (`crate::record`).
pub const FLAG_EXPORT: u64 = 1 << 17;
/// Count system calls instead of printing them, and print a table at the end (`husk trace -c`).
pub const FLAG_TRACE_COUNT: u64 = 1 << 20;
/// Show how long each system call took (`husk trace -T`).
pub const FLAG_TRACE_SPENT: u64 = 1 << 21;
/// Let the kernel panic when process 1 is about to start, so that a test sees what a user is told.
pub const FLAG_TEST_PANIC: u64 = 1 << 22;
/// The same by an access to an address that is none.
pub const FLAG_TEST_FAULT: u64 = 1 << 23;

/// The guest's memory was asked for: what it holds of the host's, too, is bounded by that. Its parent's to see to.
pub const FLAG_BOUNDED: u64 = 1 << 24;

/// Host signal whose value is the size of the terminal: rows, columns, pixels, 16 bits each, with `SIZE_MARK` set.
/// A value with neither mark is a host process of the guest, as its PID namespace has it, that is to be ended because
/// memory is short (process tender).
pub const SIZE_SIGNAL: u32 = 40;
/// The terminal is the guest's to read, and this is its size (which may be all zero).
pub const SIZE_MARK: u64 = 1 << 63;
/// Whoever runs the guest has been continued.
pub const CONTINUE_MARK: u64 = 1 << 62;

/// The root is a container image's: what Docker puts into every container is the kernel's to make (the working
/// directory, /etc/hostname, /etc/hosts, /etc/resolv.conf), the program may be a name to search in PATH, and signals
/// that process 1 does not handle pass it by, as in a PID namespace.
pub const FLAG_CONTAINER: u64 = 1 << 4;

/// The first process is one of the kernel's, which starts the program, passes signals on to it and waits for processes that
/// nobody waits for.
pub const FLAG_INIT: u64 = 1 << 5;

/// The type of a mount that the state server serves.
pub const VOLUME_TYPE: &str = "fuse.husk";
/// The type of a mount of the guest's own files: what is at its target already, as a mount of its own.
pub const OWN_TYPE: &str = "bind";
/// Most mounts of a guest.
pub const MOUNTS_MAX: usize = 128;

/// Most files of a root: merged metadata and layers.
pub const ROOT_FILES_MAX: usize = 128;
/// Most supplementary groups of the first program.
pub const GROUPS_MAX: usize = 32;

/// The fixed part of the boot block.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Boot {
    pub magic: u64,
    pub version: u32,
    /// `TENDER_*`.
    pub tender: u32,
    pub flags: u64,
    /// Bytes of the arena.
    pub arena_len: u64,
    /// Bytes at the start of the arena that the tender has used (page tables in the kvm tender).
    pub arena_used: u64,
    /// Bytes of the root image at `layout::ROOT`: all its files, each from a whole page on.
    pub root_len: u64,
    /// Memory limit of the guest in bytes.
    pub memory: u64,
    /// vCPUs of one guest process.
    pub cpus: u32,
    /// Mask of the processor state components that XSAVE keeps for applications.
    pub xsave_mask: u32,
    /// Time-stamp counter, CLOCK_MONOTONIC and CLOCK_REALTIME (ns) at one moment.
    pub tsc: u64,
    pub monotonic: u64,
    pub realtime: u64,
    /// Nanoseconds per 2^32 ticks of the time-stamp counter.
    pub tsc_mult: u64,
    /// AT_HWCAP: the processor's feature word, as programs find it in their auxiliary vector.
    pub hwcap: u64,
    /// Host descriptors (process tender): the arena's memfd, the first file of the root image, or -1. The root's other
    /// files have the descriptors after it.
    pub arena_fd: i32,
    pub root_fd: i32,
    /// The control socket (see `control`), or -1. In the kvm tender its number is the one of the hypercalls.
    pub control_fd: i32,
    /// The snapshot that this guest was restored from (process tender), or -1.
    pub snapshot_fd: i32,
    /// Where its table of private memory lies (`snapshot::Extent`).
    pub snapshot_processes: crate::snapshot::Part,
    /// Where the root image begins in its file (process tender).
    pub root_offset: u64,
    /// The record descriptor as the kernel names it, or -1.
    pub record_fd: i32,
    /// What happens to a system call that is not in `allowed`: 0 it is served, 1 ENOSYS, 2 SIGSYS.
    pub strict: u32,
    /// System calls by number, 64 a word.
    pub allowed: [u64; 8],
    /// The tender's process and thread ids as the kernel must name them in tgkill (process tender).
    pub host_pid: i32,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, `group_count` of them.
    pub groups: [u32; GROUPS_MAX],
    pub group_count: u32,
    pub umask: u32,
    pub stdio: [Stdio; 3],
    /// Rows and columns of the terminal, where there is one.
    pub window: [u16; 4],
    pub program: Text,
    pub args: Text,
    pub env: Text,
    pub cwd: Text,
    pub hostname: Text,
    /// Where the root image is on the host, for messages.
    pub root_name: Text,
    /// Which system calls to trace, as strace's `-e` has it; none: all.
    pub trace: Text,
    /// Most bytes of a string in a trace; 0: the kernel's choice.
    pub trace_strings: u32,
    /// Descriptor that traces are written to: stderr, or `gate::TRACE` (kvm), or a descriptor of the host (process).
    pub trace_fd: i32,
    /// Where a byte asks the parent process to stop with the guest, or -1: as `trace_fd`, `gate::WISH`.
    pub wish_fd: i32,
    /// Where in the root image each of its files begins, as 64-bit numbers.
    pub root_files: Text,
    /// Bytes of the ring at `layout::RING`: one unit (`husk_ring`) for each volume among the mounts. 0 where there is none.
    pub ring_len: u64,
    /// What to mount over the root, in this order: for each mount four strings as mount(2) takes them: source, target
    /// (an absolute path without `.` and `..`, made if need be), type and options with commas between. The n-th of type
    /// `VOLUME_TYPE` has the ring's n-th unit; its root may be a file. One of type `OWN_TYPE` has no source. Options are `ro` and, of a tmpfs, `size=BYTES` and
    /// `mode=OCTAL`.
    pub mounts: Text,
    /// /proc/cpuinfo's "model name" of the host.
    pub cpu_model: Text,
    pub seed: [u8; 32],
}

impl Boot {
    /// Bytes of the boot block as far as its texts reach.
    pub fn end(&self) -> usize {
        let texts = [
            self.program,
            self.args,
            self.env,
            self.cwd,
            self.hostname,
            self.mounts,
            self.root_files,
            self.cpu_model,
        ];
        let ends = texts.iter().map(|text| text.offset as usize + text.len as usize);
        ends.fold(size_of::<Self>(), usize::max)
    }
}

/// Most bytes of a boot block, strings included.
pub const BOOT_LEN_MAX: usize = crate::layout::BOOT_LEN;

/// The kernel image begins with this header.
pub const KERNEL_MAGIC: u64 = u64::from_le_bytes(*b"huskkern");

/// Addresses a tender needs to know in a kernel image.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct KernelHeader {
    pub magic: u64,
    pub version: u32,
    pub reserved: u32,
    /// First instruction of vCPU 0, with a stack and nothing else.
    pub start: u64,
    /// First instruction of a further vCPU; its index is the first argument.
    pub start_cpu: u64,
    /// First instruction of vCPU 0 of a restored guest, with a stack and nothing else.
    pub restore: u64,
    /// Handler of host signals (process tender).
    pub host_signal: u64,
    /// The writable part of the image: its start, the end of its initial contents, and the end of the zeros after them.
    pub data_start: u64,
    pub data_end: u64,
    pub bss_end: u64,
    /// Entry of upcalls (kvm tender, see `vcpu::Upcall`); the rest is reserved.
    pub kvm: [u64; 4],
}
