use super::args::{Call, write_quoted};
use super::{count, errors, flags, select};
use crate::errno::Errno;
use crate::syscall::table::SERVED;
use alloc::string::String;
use linux_raw_sys::general as raw;

fn text(write: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    write(&mut out);
    out
}

/// A call whose arguments are numbers only, as the line begins.
fn before(number: u32, values: [usize; 6]) -> String {
    text(|out| Call::new(u64::from(number), &values).write_before(out))
}

#[test]
fn flags_and_constants_have_their_names() {
    let anonymous = (raw::MAP_PRIVATE | raw::MAP_ANONYMOUS) as usize;
    assert_eq!(
        before(raw::__NR_mmap, [0, 8192, 3, anonymous, usize::MAX, 0]),
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0"
    );
    assert_eq!(before(raw::__NR_lseek, [3, 10, 2, 0, 0, 0]), "lseek(3, 10, SEEK_END");
    assert_eq!(before(raw::__NR_kill, [7, 15, 0, 0, 0, 0]), "kill(7, SIGTERM");
    assert_eq!(before(raw::__NR_mprotect, [0x1000, 4096, 0, 0, 0, 0]), "mprotect(0x1000, 4096, PROT_NONE");
    assert_eq!(before(raw::__NR_clone, [0x11, 0, 0, 0, 0, 0]), "clone(SIGCHLD, NULL, NULL, NULL, NULL");
    assert_eq!(
        before(raw::__NR_socket, [1, 0x80001, 0, 0, 0, 0]),
        "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0"
    );
    assert_eq!(
        before(raw::__NR_futex, [0x1000, 0x80, 1, 0, 0, 0]),
        "futex(0x1000, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0"
    );
}

#[test]
fn what_the_call_fills_in_comes_after_it() {
    assert_eq!(before(raw::__NR_read, [3, 0x1000, 100, 0, 0, 0]), "read(3, ");
    let values = [3, 0x1000, 100, 0, 0, 0];
    let call = Call::new(u64::from(raw::__NR_read), &values);
    assert_eq!(text(|out| call.write_after(out, Err(Errno::EBADF))), "0x1000, 100");
}

#[test]
fn a_call_that_is_not_served_is_shown_by_name_or_number() {
    assert!(before(raw::__NR_ptrace, [0; 6]).starts_with("ptrace("));
    assert!(before(5000, [1, 2, 3, 4, 5, 6]).starts_with("syscall_0x1388(0x1, 0x2"));
}

#[test]
fn strings_are_escaped_as_in_c() {
    assert_eq!(text(|out| write_quoted(out, b"a\"b\\\n\t\x01z\x001")), "\"a\\\"b\\\\\\n\\t\\1z\\0001\"");
}

#[test]
fn signal_sets_show_the_shorter_half() {
    assert_eq!(text(|out| flags::write_signal_set(out, 1 << 1 | 1 << 16)), "[INT CHLD]");
    assert_eq!(text(|out| flags::write_signal_set(out, !(1 << 8))), "~[KILL]");
    assert_eq!(text(|out| flags::write_signal_set(out, 0)), "[]");
    assert_eq!(text(|out| flags::write_signal(out, 34)), "SIGRT_2");
}

#[test]
fn calls_are_chosen_by_name_and_class() {
    let set = select::parse("trace=openat,read").unwrap();
    assert!(set.contains(u64::from(raw::__NR_openat)) && !set.contains(u64::from(raw::__NR_close)));
    let set = select::parse("!%file").unwrap();
    assert!(!set.contains(u64::from(raw::__NR_openat)) && set.contains(u64::from(raw::__NR_read)));
    let set = select::parse("%desc").unwrap();
    assert!(set.contains(u64::from(raw::__NR_fstat)) && !set.contains(u64::from(raw::__NR_getpid)));
    assert!(select::parse("all").unwrap().contains(5000));
    assert!(!select::parse("none").unwrap().contains(0));
    for class in ["process", "network", "signal", "memory", "ipc", "clock", "creds"] {
        let expression = alloc::format!("%{class}");
        assert!(SERVED.iter().any(|row| select::parse(&expression).unwrap().contains(row.number)), "{class}");
    }
    for wrong in ["opennat", "trace=%nothing", "signal=all", ""] {
        assert!(select::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn counts_become_a_table() {
    let mut counts = count::Counts::default();
    counts.add(0, 3_000_000, false);
    counts.add(0, 1_000_000, true);
    counts.add(1, 1_000_000, false);
    let table = counts.table();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[2], " 80.00    0.004000        2000         2         1 read");
    assert_eq!(lines[3], " 20.00    0.001000        1000         1           write");
    assert_eq!(lines[5], "100.00    0.005000        1666         3         1 total");
}

#[test]
fn errors_are_told_in_words() {
    assert_eq!(errors::text(Errno::ENOENT), "No such file or directory");
    assert_eq!(errors::text(Errno(4000)), "");
}
