//! The hypercalls: everything a kernel can ask of its tender.
//!
//! In the kvm tender the gate is an exit (`OUT` to `PORT` with the address of a `Call` in RDI). In the process tender
//! the gate page holds the only instructions from which the filter lets host system calls pass; it runs inside the
//! box, so the filter and not the gate is the boundary.

/// I/O port of a hypercall (kvm tender).
pub const PORT: u16 = 0x4855;

/// Offsets of the entries in the gate page (process tender).
pub mod entry {
    /// `fn(nr, a, b, c, d, e, f) -> isize`, C calling convention.
    pub const SYSCALL: usize = 0x00;
    /// The instruction in it that makes the call.
    pub const SYSCALL_INSTRUCTION: usize = 0x18;
    /// Where a host signal handler returns to.
    pub const SIGRETURN: usize = 0x40;
    /// Makes a thread or process: RDI flags, RSI stack; the child jumps to R13 with R12 as first argument.
    pub const CLONE: usize = 0x60;
    /// Gives up the lock word at RDI and ends this thread, without touching a stack.
    pub const EXIT_THREAD: usize = 0xa0;
}

/// Flags of the host calls of the process tender: the kernel asks with exactly these, and its filter passes no others.
pub mod flags {
    use linux_raw_sys::general as raw;

    /// mmap(2): memory of the application.
    pub const MAP_ANONYMOUS: u32 =
        raw::MAP_PRIVATE | raw::MAP_ANONYMOUS | raw::MAP_NORESERVE | raw::MAP_FIXED;
    /// mmap(2): a file that is copied when written.
    pub const MAP_PRIVATE_FILE: u32 = raw::MAP_PRIVATE | raw::MAP_NORESERVE | raw::MAP_FIXED;
    /// mmap(2): shared memory.
    pub const MAP_SHARED_FILE: u32 = raw::MAP_SHARED | raw::MAP_FIXED;
    /// mremap(2): to a fixed address.
    pub const MREMAP: u32 = raw::MREMAP_MAYMOVE | raw::MREMAP_FIXED;
    /// clone(2): a further vCPU thread.
    pub const CLONE_THREAD: u32 = raw::CLONE_VM
        | raw::CLONE_FS
        | raw::CLONE_FILES
        | raw::CLONE_SIGHAND
        | raw::CLONE_THREAD
        | raw::CLONE_SYSVSEM
        | raw::CLONE_PARENT_SETTID;
    /// clone(2): a further guest process.
    pub const CLONE_PROCESS: u32 = raw::CLONE_PARENT_SETTID | raw::SIGCHLD;
}

/// Bit of `Wait`'s mask: the state server has answered a request that was waited for. Each vCPU that waits for it, or is about
/// to, gets each answer's sign; it looks for itself whether the answer was for it.
pub const REPLIES: u64 = 1 << 7;

/// The descriptor that traces go to in the kvm tender, where they do not go to stderr.
pub const TRACE: u64 = 4;
/// The descriptor by which a guest asks to be stopped with its parent process (kvm tender).
pub const WISH: u64 = 5;

macro_rules! calls {
    ($($nr:literal $name:ident $doc:literal;)*) => {
        /// What a kernel can ask (kvm tender; the process tender's list is its filter).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Number {
            $(#[doc = $doc] $name = $nr,)*
        }

        impl Number {
            pub fn from_u32(number: u32) -> Option<Self> {
                match number {
                    $($nr => Some(Self::$name),)*
                    _ => None,
                }
            }

            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

calls! {
    1 Write "Write `b` bytes at guest address `a` to descriptor `c` (1 or 2, the control socket 3, the record (`record::KVM_DESCRIPTOR`), `TRACE` or `WISH`).";
    2 Read "Read up to `b` bytes to guest address `a` from descriptor `c` (0 or the control socket 3).";
    3 Wait "Sleep until `a` (monotonic ns; u64::MAX for ever), a notify (also one since the last sleep), or one of the conditions in mask `b`: bit n input on descriptor n, bit 16 + n room for output, `REPLIES`. Gives those that hold.";
    4 Notify "End the wait of vCPU `a`, or kick it out of the application.";
    5 Discard "Give `b` bytes of guest-physical memory at `a` back to the host; not in a restored guest.";
    6 Exit "End the guest with wait status `a`.";
    7 Ring "Wake the state server: the ring holds a request.";
    8 Alarm "Kick this vCPU at `a` (monotonic ns), in place of the alarm that it had.";
}

/// Arguments and result of one hypercall, in guest memory.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Call {
    pub number: u32,
    pub reserved: u32,
    pub a: u64,
    pub b: u64,
    pub c: u64,
    /// OUT: result or negated errno.
    pub result: i64,
    /// OUT (`Wait`): the time-stamp counter, CLOCK_MONOTONIC and CLOCK_REALTIME at the return.
    pub clock: [u64; 3],
}
