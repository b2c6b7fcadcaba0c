//! Seals a process as a guest's is sealed, and tries what it must not do.

use super::Kept;
use husk_abi::gate::entry;
use husk_abi::layout::{GATE, GATE_LEN, GUEST_END, PAGE_SIZE};
use husk_tender::bpf::{Check, Filter, Row};
use husk_tender::{confine, gate};
use linux_raw_sys::ptrace::{AUDIT_ARCH_X86_64, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO};
use std::arch::asm;

/// Every kind of row, and descriptors that no other row allows next to them.
const ALL: Kept = Kept {
    arena: 40,
    root: (50, 53),
    trace: 60,
    wish: 70,
    record: 80,
    control: 90,
    snapshot: 100,
    may_fork: true,
};
/// As few rows as a guest can have.
const LEAST: Kept = Kept {
    arena: 40,
    root: (50, 50),
    trace: -1,
    wish: -1,
    record: -1,
    control: -1,
    snapshot: -1,
    may_fork: false,
};

type Args = [u64; 6];

const REFUSED: i64 = -(libc::EPERM as i64);

fn index_of(check: &Check) -> usize {
    let (Check::Low(index, _)
    | Check::Equal(index, _)
    | Check::AtMost(index, _)
    | Check::InGuest(index)
    | Check::Descriptor(index, _)) = *check;
    usize::from(index)
}

/// A value that a check lets pass.
fn right(kept: Kept, check: &Check) -> u64 {
    match *check {
        Check::Low(_, value) => u64::from(value),
        Check::Equal(_, value) => value,
        Check::AtMost(_, most) => u64::from(most),
        Check::InGuest(_) => 16 * PAGE_SIZE as u64,
        Check::Descriptor(_, which) => u64::from(kept.descriptors(which).0),
    }
}

/// Values that it does not.
fn wrong(kept: Kept, check: &Check) -> Vec<u64> {
    match *check {
        Check::Low(_, value) => [1, 2, 1 << 8, 1 << 31].map(|bit| u64::from(value ^ bit)).to_vec(),
        Check::Equal(_, value) => (0..64).map(|bit| value ^ 1 << bit).collect(),
        Check::AtMost(_, most) => [most + 1, most + 2, 1 << 16, 1 << 31, u32::MAX].map(u64::from).to_vec(),
        Check::InGuest(_) => vec![GUEST_END as u64, GATE as u64, 1 << 47, 1 << 63, u64::MAX],
        Check::Descriptor(_, which) => {
            let (first, last) = kept.descriptors(which);
            [first - 1, last + 1, 1 << 31, u32::MAX].map(u64::from).to_vec()
        }
    }
}

fn passes(kept: Kept, check: &Check, value: u64) -> bool {
    match *check {
        Check::Low(_, wanted) => value as u32 == wanted,
        Check::Equal(_, wanted) => value == wanted,
        Check::AtMost(_, most) => value as u32 <= most,
        Check::InGuest(_) => value < GUEST_END as u64,
        Check::Descriptor(_, which) => {
            let (first, last) = kept.descriptors(which);
            (first..=last).contains(&(value as u32))
        }
    }
}

/// Whether some row allows the call.
fn is_listed(kept: Kept, number: u32, args: &Args) -> bool {
    let holds = |row: &Row| row.checks.iter().all(|check| passes(kept, check, args[index_of(check)]));
    kept.rows().any(|row| row.number == number && holds(row))
}

fn right_arguments(kept: Kept, row: &Row) -> Args {
    let mut args = [0; 6];
    for check in row.checks {
        args[index_of(check)] = right(kept, check);
    }
    args
}

/// For each check of each row, calls that break it alone.
fn with_one_wrong_argument(kept: Kept) -> Vec<(u32, Args)> {
    let mut calls = Vec::new();
    for row in kept.rows() {
        for check in row.checks {
            let before = calls.len();
            for value in wrong(kept, check) {
                let mut args = right_arguments(kept, row);
                args[index_of(check)] = value;
                // Another row may allow what this one does not.
                if !is_listed(kept, row.number, &args) {
                    calls.push((row.number, args));
                }
            }
            assert!(calls.len() > before, "{} {check:?} refuses nothing", row.name);
        }
    }
    calls
}

/// All numbers that no row names, x32's too, with plain arguments.
fn with_other_numbers(kept: Kept) -> Vec<(u32, Args)> {
    const X32: u32 = 0x4000_0000;
    // uretprobe and uprobe: Linux shows them to no filter. Outside of a probe they do nothing good.
    let plain = (0..=1024).filter(|number| !matches!(number, 335 | 336));
    let numbers = plain.chain(X32..=X32 + 600).chain([1 << 16, i32::MAX as u32, 1 << 31, u32::MAX - 1]);
    let is_free = |number: &u32| kept.rows().all(|row| row.number != *number);
    let every = [[0; 6], [1, 2, 3, 4, 5, 6], [16 * PAGE_SIZE as u64; 6], [u64::MAX; 6]];
    numbers.filter(is_free).flat_map(|number| every.map(|args| (number, args))).collect()
}

/// What the filter answers to a call, by an interpreter of the instructions it uses.
fn answer(filter: &Filter, number: u32, args: &Args, pointer: usize) -> u32 {
    let mut data = [0; 64];
    data[..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&AUDIT_ARCH_X86_64.to_le_bytes());
    data[8..16].copy_from_slice(&(pointer as u64).to_le_bytes());
    for (index, value) in args.iter().enumerate() {
        data[16 + index * 8..24 + index * 8].copy_from_slice(&value.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let instruction = &filter.instructions()[at];
        let k = instruction.k;
        at += 1;
        let holds = match instruction.code {
            0x20 => {
                accumulator = u32::from_le_bytes(data[k as usize..k as usize + 4].try_into().unwrap());
                continue;
            }
            0x06 => return k,
            0x15 => accumulator == k,
            0x25 => accumulator > k,
            0x35 => accumulator >= k,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { instruction.jt } else { instruction.jf });
    }
}

/// A call by the gate's instruction. Touches nothing but registers, since it may never return.
fn by_gate(number: u32, args: &Args) -> i64 {
    let result;
    // SAFETY: the gate page holds the gate; the calls made here are refused, or harmless.
    unsafe {
        asm!("call {gate}", gate = in(reg) GATE + entry::SYSCALL_INSTRUCTION, inlateout("rax") u64::from(number) => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// The gate as the tender maps it, and the walls behind the filter.
fn become_guest(kept: Kept) -> Result<(), &'static str> {
    let step = |what, failed: bool| if failed { Err(what) } else { Ok(()) };
    // SAFETY: nothing lies there yet.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        let page = libc::mmap(GATE as *mut _, GATE_LEN, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        step("map the gate", page as usize != GATE)?;
        core::ptr::copy_nonoverlapping(gate::code().as_ptr(), page.cast(), gate::code().len());
        step("protect the gate", libc::mprotect(page, GATE_LEN, libc::PROT_READ | libc::PROT_EXEC) != 0)?;
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    confine::deny_files().map_err(|(what, _)| what)?;
    confine::drop_identity(1).map_err(|(what, _)| what)?;
    confine::drop_capabilities().map_err(|(what, _)| what)?;
    confine::close_others(&mut [0, 1, 2]).map_err(|(what, _)| what)?;
    kept.filter().install().map_err(|_| "install the filter")
}

/// Runs `act` in a sealed child, which ends by the gate with its result. Gives the wait status.
fn sealed(kept: Kept, act: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the child makes system calls only; the parent waits for it.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            if become_guest(kept).is_err() {
                libc::_exit(99);
            }
            let code = act();
            by_gate(libc::SYS_exit_group as u32, &[u64::from(code), 0, 0, 0, 0, 0]);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        status
    }
}

/// A page that a sealed child shares with its parent.
fn shared() -> &'static mut [i64; 2] {
    // SAFETY: a fresh mapping, which is never unmapped.
    unsafe {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let page =
            libc::mmap(core::ptr::null_mut(), PAGE_SIZE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert!(page != libc::MAP_FAILED);
        &mut *page.cast()
    }
}

/// Makes calls by the gate, all of which must be refused.
fn assert_all_refused(kept: Kept, calls: &[(u32, Args)]) {
    let filter = kept.filter();
    for (number, args) in calls {
        let refused = SECCOMP_RET_ERRNO | libc::EPERM as u32;
        let pointer = GATE + entry::SYSCALL_INSTRUCTION + 2;
        assert_eq!(answer(&filter, *number, args, pointer), refused, "call {number} {args:x?}");
    }
    let progress = shared();
    let status = sealed(kept, || {
        for (index, (number, args)) in calls.iter().enumerate() {
            progress[0] = index as i64;
            progress[1] = by_gate(*number, args);
            if progress[1] != REFUSED {
                return 1;
            }
        }
        0
    });
    let at = calls.get(progress[0] as usize);
    assert_eq!(status, 0, "call {at:x?} gave {}; status {status:#x}", progress[1]);
}

#[test]
fn every_other_call_is_refused() {
    for kept in [ALL, LEAST] {
        assert_all_refused(kept, &with_other_numbers(kept));
    }
}

#[test]
fn every_wrong_argument_is_refused() {
    for kept in [ALL, LEAST] {
        assert_all_refused(kept, &with_one_wrong_argument(kept));
    }
}

#[test]
fn every_row_passes_with_right_arguments() {
    let filter = ALL.filter();
    for row in ALL.rows() {
        let args = right_arguments(ALL, row);
        let pointer = GATE + entry::SYSCALL_INSTRUCTION + 2;
        assert_eq!(answer(&filter, row.number, &args, pointer), SECCOMP_RET_ALLOW, "{}", row.name);
        for pointer in
            [GATE - 1, GATE - 2, GATE + GATE_LEN + 1, GATE + (1 << 32), GATE - (1 << 32), GUEST_END, 2]
        {
            assert_ne!(
                answer(&filter, row.number, &args, pointer),
                SECCOMP_RET_ALLOW,
                "{} {pointer:#x}",
                row.name
            );
        }
    }
    // One that does nothing, for real.
    let unmap = [16 * PAGE_SIZE as u64, PAGE_SIZE as u64, 0, 0, 0, 0];
    let status = sealed(LEAST, || u8::from(by_gate(libc::SYS_munmap as u32, &unmap) != 0));
    assert_eq!(status, 0);
}

#[test]
fn a_call_from_outside_of_the_gate_ends_the_guest() {
    // The application's range, where without a handler the trap is the end.
    let here = |number: u32, args: &Args| {
        // SAFETY: refused before it does anything.
        unsafe {
            asm!("syscall", inlateout("rax") u64::from(number) => _, in("rdi") args[0], in("rsi") args[1],
                in("rdx") args[2], in("r10") args[3], in("r8") args[4], in("r9") args[5], lateout("rcx") _, lateout("r11") _);
        }
    };
    let mut calls: Vec<(u32, Args)> = ALL.rows().map(|row| (row.number, right_arguments(ALL, row))).collect();
    calls.extend((0..=470).filter(|number| !matches!(number, 335 | 336)).map(|number| (number, [0; 6])));
    for (number, args) in calls {
        let status = sealed(ALL, || {
            here(number, &args);
            0
        });
        assert_eq!(status & 0x7f, libc::SIGSYS, "call {number}: status {status:#x}");
    }
    // Behind the application's range: as libc's own, which lies there.
    let status = sealed(ALL, || {
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_exit_group, 0) };
        0
    });
    assert_eq!(status & 0x7f, libc::SIGSYS);
}
