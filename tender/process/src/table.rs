//! The host calls of a sealed process tender: the whole interface of such a guest to its host.
//!
//! The filter, docs/host-calls.md and the test that tries everything else come from this table. They are made from the
//! gate page only; the most frequent come first.

use husk_abi::gate::flags;
use husk_tender::bpf::Check::{AtMost, Descriptor, Equal, InGuest, Low};
use husk_tender::bpf::Descriptor::{Arena, Control, Record, Root, Snapshot, Trace, Wish};
use husk_tender::bpf::Row;
use linux_raw_sys::general as raw;

const PROTECTION: u32 = raw::PROT_READ | raw::PROT_WRITE | raw::PROT_EXEC;

macro_rules! rows {
    ($($call:ident [$($check:expr),*] $why:literal;)*) => {
        &[$(Row { number: raw::$call, name: stringify!($call), checks: &[$($check),*], why: $why }),*]
    };
}

/// What every guest needs.
pub static ROWS: &[Row] = rows! {
    __NR_futex [AtMost(1, raw::FUTEX_WAKE)] "sleep and wake: the kernel lock, idle vCPUs";
    __NR_mmap [InGuest(0), InGuest(1), AtMost(2, PROTECTION), Equal(3, flags::MAP_ANONYMOUS as u64), Low(4, u32::MAX)]
        "memory of the application";
    __NR_mmap [InGuest(0), InGuest(1), AtMost(2, PROTECTION), Equal(3, flags::MAP_PRIVATE_FILE as u64), Descriptor(4, Root)]
        "files of the root image";
    __NR_mmap [InGuest(0), InGuest(1), AtMost(2, PROTECTION), Equal(3, flags::MAP_SHARED_FILE as u64), Descriptor(4, Arena)]
        "shared memory";
    __NR_mmap [InGuest(0), InGuest(1), AtMost(2, PROTECTION), Equal(3, flags::MAP_PRIVATE_FILE as u64), Descriptor(4, Arena)]
        "private mappings of files in memory";
    __NR_munmap [InGuest(0), InGuest(1)] "memory of the application";
    __NR_mprotect [InGuest(0), InGuest(1), AtMost(2, PROTECTION)] "memory of the application";
    __NR_madvise [InGuest(0), InGuest(1), Low(2, raw::MADV_DONTNEED)] "memory given back";
    __NR_mincore [InGuest(0), InGuest(1)]
        "which pages of the application are in memory: mincore(2), VmRSS, ru_maxrss; the kernel would have to count every mapped one";
    __NR_mremap [InGuest(0), InGuest(1), InGuest(2), Equal(3, flags::MREMAP as u64), InGuest(4)]
        "realloc of big blocks without a copy: 7 us against 530 us for 1 MiB";
    __NR_ppoll [AtMost(1, 3)] "readiness of stdin, stdout and stderr";
    __NR_read [AtMost(0, 2)] "stdin; stdout and stderr where they are a terminal that is open for reading and writing";
    __NR_write [AtMost(0, 2)] "stdout and stderr; stdin where it is such a terminal";
    __NR_rt_sigreturn [] "the end of a host signal that found the kernel";
    __NR_exit_group [] "the end of the guest";
    __NR_tgkill [Low(2, raw::SIGURG)] "bring a vCPU out of the application";
    __NR_clone [Equal(0, flags::CLONE_THREAD as u64)] "a further vCPU";
    __NR_clock_gettime [Low(0, raw::CLOCK_THREAD_CPUTIME_ID)]
        "what of a vCPU's time the host gave to others: at most once a millisecond, 0.3 us";
    __NR_sigaltstack [Low(1, 0)] "signal stack of a further vCPU";
    __NR_exit [] "the end of a vCPU";
};

/// What a guest needs that can be commanded through a control socket.
pub static CONTROL_ROWS: &[Row] = rows! {
    __NR_read [Descriptor(0, Control)] "requests: park, snapshot, resume";
    __NR_write [Descriptor(0, Control)] "answers: the memory of a snapshot";
};

/// What a guest needs that was restored from a snapshot.
pub static SNAPSHOT_ROWS: &[Row] = rows! {
    __NR_mmap [InGuest(0), InGuest(1), AtMost(2, PROTECTION), Equal(3, flags::MAP_PRIVATE_FILE as u64), Descriptor(4, Snapshot)]
        "private memory as it was saved, read when it is touched";
};

/// What a guest needs whose manifest lets it fork.
pub static FORK_ROWS: &[Row] = rows! {
    __NR_clone [Equal(0, flags::CLONE_PROCESS as u64)] "a further guest process";
};

/// What a guest needs that was asked for a record of itself.
pub static RECORD_ROWS: &[Row] = rows! {
    __NR_write [Descriptor(0, Record)] "the record that was asked for";
};

/// What a guest needs whose system calls are traced to a file.
pub static TRACE_ROWS: &[Row] = rows! {
    __NR_write [Descriptor(0, Trace)] "the trace";
};

/// What a guest needs on a terminal.
pub static WISH_ROWS: &[Row] = rows! {
    __NR_write [Descriptor(0, Wish)] "ask the waiting parent to stop with the guest, as the terminal's ^Z would";
};
