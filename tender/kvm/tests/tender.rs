//! The tender with a guest of the tests' own: what hypercalls do, what hostile ones get, how guests end.

mod guest;

use guest::*;
use husk_abi::layout::{ARENA, BOOT, KERNEL, ROOT};
use std::io::Write;
use std::os::fd::OwnedFd;

const EFAULT: i64 = -14;
const EBADF: i64 = -9;
const EINVAL: i64 = -22;
const ENOSYS: i64 = -38;

fn results(script: Vec<husk_abi::gate::Call>) -> Vec<i64> {
    let outcome = play(script);
    assert_eq!(outcome.code(), Some(0), "status {:#x}: {}", outcome.status, outcome.errors);
    outcome.calls().iter().map(|call| call.result).collect()
}

#[test]
fn a_guest_writes_and_exits() {
    if !have_kvm() {
        return;
    }
    let script = vec![
        step(STORE, BUFFER as u64, u64::from_le_bytes(*b"hello, w")),
        call(1, BUFFER as u64, 5, 1),
        call(1, KERNEL as u64 + 4096, 18, 1),
        call(6, 7 << 8, 0, 0),
    ];
    let outcome = start(&[script], None, None).finish();
    assert_eq!(outcome.code(), Some(7), "{}", outcome.errors);
    assert_eq!(outcome.output, b"hellodata of the kernel");
}

#[test]
fn a_guest_ended_by_a_signal_has_its_code() {
    if !have_kvm() {
        return;
    }
    let outcome = start(&[vec![call(6, 11, 0, 0)]], None, None).finish();
    assert_eq!(outcome.code(), Some(139));
}

#[test]
fn hostile_calls_are_refused() {
    if !have_kvm() {
        return;
    }
    let end = (ARENA + ARENA_LEN) as u64;
    let (arena, buffer) = (ARENA as u64, BUFFER as u64);
    let cases = [
        (call(0, 0, 0, 0), ENOSYS),
        (call(9, 0, 0, 0), ENOSYS),
        // This guest has no ring.
        (call(7, 0, 0, 0), EBADF),
        (call(u32::MAX, u64::MAX, u64::MAX, u64::MAX), ENOSYS),
        // Buffers that are not, or not wholly, memory of the guest.
        (call(1, 0, 1, 1), EFAULT),
        (call(1, 0x1234, 1, 1), EFAULT),
        (call(1, u64::MAX, 1, 1), EFAULT),
        (call(1, u64::MAX - 10, 100, 1), EFAULT),
        (call(1, end, 1, 1), EFAULT),
        (call(1, end - 1, 2, 1), EFAULT),
        (call(1, arena - 1, 2, 1), EFAULT),
        (call(1, buffer, u64::MAX, 1), EFAULT),
        (call(1, buffer, ARENA_LEN as u64, 1), EFAULT),
        (call(1, buffer, 1 << 63, 1), EFAULT),
        (call(1, KERNEL as u64, 1 << 20, 1), EFAULT),
        (call(1, ROOT as u64, 1, 1), EFAULT),
        (call(1, BOOT as u64, 1, 1), EFAULT),
        // Read-only memory as the target of a read.
        (call(2, KERNEL as u64, 1, 0), EFAULT),
        // Descriptors that are not the guest's.
        (call(1, buffer, 1, 0), EBADF),
        (call(1, buffer, 1, 3), EBADF),
        (call(1, buffer, 1, 4), EBADF),
        (call(1, buffer, 1, u64::MAX), EBADF),
        (call(1, buffer, 1, 1 << 32 | 1), EBADF),
        (call(2, buffer, 1, 1), EBADF),
        (call(2, buffer, 1, 5), EBADF),
        // Sleeping on what is no descriptor; kicking who is no vCPU.
        (call(3, 0, 2, 0), EINVAL),
        (call(3, 0, u64::MAX, 0), EINVAL),
        (call(4, 1, 0, 0), EINVAL),
        (call(4, u64::MAX, 0, 0), EINVAL),
        // Memory that is not the guest's to give.
        (call(5, 0, 4096, 0), EINVAL),
        (call(5, 0x30_0001, 4096, 0), EINVAL),
        (call(5, 0x30_0000, 4095, 0), EINVAL),
        (call(5, 0x30_0000, 0, 0), EINVAL),
        (call(5, ARENA_LEN as u64, 4096, 0), EINVAL),
        (call(5, ARENA_LEN as u64 - 4096, 8192, 0), EINVAL),
        (call(5, u64::MAX - 4095, 4096, 0), EINVAL),
        (call(5, 0x30_0000, u64::MAX - 4095, 0), EINVAL),
        // Nothing to do is no error.
        (call(1, buffer, 0, 1), 0),
        (call(3, 0, 0, 0), 0),
        // Any time is one.
        (call(8, 0, 0, 0), 0),
        (call(8, u64::MAX, 0, 0), 0),
    ];
    let got = results(cases.iter().map(|case| case.0).collect());
    for ((case, expected), got) in cases.iter().zip(got) {
        assert_eq!(got, *expected, "{case:?}");
    }
}

#[test]
fn a_call_outside_of_memory_ends_the_guest() {
    if !have_kvm() {
        return;
    }
    for address in [0, KERNEL as u64, (ARENA + ARENA_LEN) as u64 - 8, u64::MAX - 7] {
        let outcome = start(&[vec![step(AT_ADDRESS, address, 0)]], None, None).finish();
        assert_eq!(outcome.code(), Some(125));
        assert!(outcome.errors.contains("which is no memory of the guest"), "{}", outcome.errors);
    }
}

#[test]
fn a_kernel_that_breaks_down_is_reported() {
    if !have_kvm() {
        return;
    }
    let cases = [
        (step(STORE, 0x1000, 1), "exception in the exception entry"),
        (step(HALT, 0, 0), "exception in the exception entry"),
        (step(OTHER_PORT, 0, 0), "access to I/O port 0x70"),
        // The kernel's text cannot be written: it is the same for all guests.
        (step(STORE, KERNEL as u64, 1), "exception in the exception entry"),
    ];
    for (case, message) in cases {
        let outcome = start(&[vec![case]], None, None).finish();
        assert_eq!(outcome.code(), Some(125), "{}", outcome.errors);
        assert!(outcome.errors.contains(message), "{}", outcome.errors);
    }
}

#[test]
fn discarded_memory_reads_as_zero() {
    if !have_kvm() {
        return;
    }
    let page = BUFFER as u64;
    let script = vec![
        step(STORE, page, u64::MAX),
        call(1, page, 8, 1),
        call(5, page - ARENA as u64, 4096, 0),
        call(1, page, 8, 1),
        call(6, 0, 0, 0),
    ];
    let outcome = start(&[script], None, None).finish();
    assert_eq!(outcome.output, [[0xff; 8], [0; 8]].concat());
}

fn pipe_with(bytes: &[u8]) -> (OwnedFd, OwnedFd) {
    let mut fds = [0; 2];
    // SAFETY: two new descriptors.
    let (input, mut writer) = unsafe {
        use std::os::fd::FromRawFd;
        assert_eq!(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(fds[0]), std::fs::File::from_raw_fd(fds[1]))
    };
    writer.write_all(bytes).unwrap();
    (input, writer.into())
}

#[test]
fn input_ends_a_wait_and_is_read() {
    if !have_kvm() {
        return;
    }
    let script = vec![
        // Room on stdout at once; input is there; then only the deadline ends a wait.
        call(3, u64::MAX, 1 << 17, 0),
        call(3, u64::MAX, 1, 0),
        call(2, BUFFER as u64, 100, 0),
        call(3, 5_000_000, 1, 0),
        call(1, BUFFER as u64, 4, 1),
        call(1, SLOTS as u64, 4 * 64, 1),
        call(6, 0, 0, 0),
    ];
    let (input, writer) = pipe_with(b"ping");
    let outcome = start(&[script], Some(input), None).finish();
    drop(writer);
    assert_eq!(outcome.code(), Some(0), "{}", outcome.errors);
    assert_eq!(&outcome.output[..4], b"ping");
    let calls: Vec<i64> = outcome.output[4..]
        .chunks_exact(64)
        .map(|call| i64::from_le_bytes(call[32..40].try_into().unwrap()))
        .collect();
    assert_eq!(calls, [1 << 17, 1, 4, 0]);
}

#[test]
fn a_second_vcpu_starts_when_notified_and_wakes_the_first() {
    if !have_kvm() {
        return;
    }
    let word = BUFFER as u64;
    let first = vec![
        call(4, 1, 0, 0),
        // Busy until the other has run, then asleep until it notifies.
        step(SPIN_UNTIL, word, 1),
        call(3, u64::MAX, 0, 0),
        call(1, word, 8, 1),
        call(6, 0, 0, 0),
    ];
    let second = vec![step(STORE, word, 0x31), call(4, 0, 0, 0), call(3, u64::MAX, 0, 0)];
    let outcome = start(&[first, second], None, None).finish();
    assert_eq!(outcome.code(), Some(0), "{}", outcome.errors);
    assert_eq!(outcome.output, [0x31, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_kick_interrupts_a_busy_vcpu() {
    if !have_kvm() {
        return;
    }
    let first = vec![
        call(4, 1, 0, 0),
        step(SPIN_UNTIL, BUFFER as u64, 1),
        call(4, 1, 0, 0),
        step(SPIN_UNTIL, KICKS as u64, 1),
        call(6, 0, 0, 0),
    ];
    let second = vec![step(STORE, BUFFER as u64, 1), step(SPIN_FOREVER, 0, 0)];
    let outcome = start(&[first, second], None, None).finish();
    assert_eq!(outcome.code(), Some(0), "{}", outcome.errors);
}

#[test]
fn a_busy_vcpu_takes_ticks() {
    if !have_kvm() {
        return;
    }
    let script = vec![step(SPIN_UNTIL, KICKS as u64, 3), call(6, 0, 0, 0)];
    let outcome = start(&[script], None, None).finish();
    assert_eq!(outcome.code(), Some(0), "{}", outcome.errors);
}

#[test]
fn a_host_signal_reaches_the_guest() {
    if !have_kvm() {
        return;
    }
    // TERM is signal 15: the word becomes at least 1 << 14.
    let word = private(0) + husk_abi::vcpu::UPCALL as u64;
    let script = vec![
        step(STORE, BUFFER as u64, u64::from(b'!')),
        call(1, BUFFER as u64, 1, 1),
        step(SPIN_UNTIL, word, 1 << 14),
        call(6, 5 << 8, 0, 0),
    ];
    let (input, _writer) = pipe_with(b"");
    let child = start(&[script], Some(input), None);
    child.wait_for_output();
    // SAFETY: the child made above.
    unsafe { libc::kill(child.pid, libc::SIGTERM) };
    let outcome = child.finish();
    assert_eq!(outcome.code(), Some(5), "{}", outcome.errors);
}

#[test]
fn the_root_image_is_mapped_and_cannot_be_written() {
    if !have_kvm() {
        return;
    }
    let mut file = tempfile();
    file.write_all(&[&[0x41; 4096][..], b"root"].concat()).unwrap();
    let file = OwnedFd::from(file);
    // The second page's first word is "root": the spin ends if the guest sees at least that.
    let seen = u64::from(u32::from_le_bytes(*b"root"));
    let script = vec![step(SPIN_UNTIL, ROOT as u64 + 4096, seen), step(STORE, ROOT as u64, 0)];
    let outcome = start(&[script], None, Some((&file, 4100))).finish();
    assert_eq!(outcome.code(), Some(125));
    assert!(outcome.errors.contains("exception in the exception entry"), "{}", outcome.errors);
    let mut first = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::from(file), &mut first, 0).unwrap();
    assert_eq!(first, [0x41; 8]);
}

fn tempfile() -> std::fs::File {
    // SAFETY: a new descriptor.
    unsafe {
        use std::os::fd::FromRawFd;
        let fd = libc::memfd_create(c"root".as_ptr(), libc::MFD_CLOEXEC);
        assert!(fd >= 0);
        std::fs::File::from_raw_fd(fd)
    }
}

#[test]
fn wrong_configurations_are_named() {
    use husk_tender::config::Config;
    use husk_tender_kvm::{Error, Machine, run};
    let mut damaged = kernel_text().to_vec();
    damaged[0] = 0;
    let guest = config(&[vec![]], None);
    let machine = Machine { text: &damaged, cpuid: None };
    assert_eq!(run(&guest, &machine), Error::KernelImage);
    let machine = Machine { text: kernel_text(), ..machine };
    assert!(matches!(run(&Config { cpus: 0, ..guest }, &machine), Error::Config(_)));
    if have_kvm() {
        let guest = config(&[vec![]], None);
        assert!(matches!(run(&Config { memory: 1 << 20, ..guest }, &machine), Error::Config(_)));
    }
}
