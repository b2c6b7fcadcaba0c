//! ptrace(2), and process_vm_readv(2) and process_vm_writev(2): looking into other processes.

use crate::errno::{Errno, SysResult};
use crate::file::io::{Sink, Source, UserRange, UserRanges};
use crate::mem::{remote, user};
use crate::signal::{self, SIGINFO_LEN, SigInfo};
use crate::task::ptrace::{self, Kind, Mode, Registers};
use crate::task::seccomp::ARCH;
use crate::task::{Pid, Task, process};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use husk_abi::layout::GUEST_END;
use husk_machine::context::{self, Regs};
use linux_raw_sys::elf_uapi::{NT_PRFPREG, NT_PRSTATUS, NT_X86_XSTATE};
use linux_raw_sys::general as raw;
use linux_raw_sys::ptrace as pt;

pub(super) fn ptrace(t: &Arc<Task>, request: u32, pid: i32, addr: usize, data: usize) -> SysResult {
    match request {
        pt::PTRACE_TRACEME => return ptrace::trace_me(t).map(|()| 0),
        pt::PTRACE_ATTACH | pt::PTRACE_SEIZE => {
            let tracee = process::find_task(pid).ok_or(Errno::ESRCH)?;
            let seize = (request == pt::PTRACE_SEIZE).then_some(data);
            if seize.is_some() && addr != 0 {
                return Err(Errno::EIO);
            }
            let options = seize.map(options_of).transpose()?;
            return ptrace::attach(t, &tracee, options).map(|()| 0);
        }
        pt::PTRACE_INTERRUPT => return ptrace::interrupt(&ptrace::find(t, pid, false)?).map(|()| 0),
        pt::PTRACE_KILL => {
            let tracee = ptrace::find(t, pid, false)?;
            signal::send_to_task(&tracee, SigInfo::user(raw::SIGKILL, t));
            return Ok(0);
        }
        _ => {}
    }
    let tracee = ptrace::find(t, pid, true)?;
    match request {
        pt::PTRACE_CONT => go_on(&tracee, Mode::Run, data),
        pt::PTRACE_SYSCALL => go_on(&tracee, Mode::Syscall, data),
        pt::PTRACE_SINGLESTEP => go_on(&tracee, Mode::Step, data),
        pt::PTRACE_DETACH => {
            ptrace::detach(&tracee, signal_of(data)?);
            Ok(0)
        }
        pt::PTRACE_LISTEN => ptrace::listen(&tracee).map(|()| 0),
        pt::PTRACE_PEEKTEXT | pt::PTRACE_PEEKDATA => {
            let mut word = [0; 8];
            if remote::read(&tracee, addr, &mut word, true) < word.len() {
                return Err(Errno::EIO);
            }
            user::write(data, &u64::from_le_bytes(word)).map(|()| 0)
        }
        pt::PTRACE_POKETEXT | pt::PTRACE_POKEDATA => {
            let word = (data as u64).to_le_bytes();
            let whole = remote::write(&tracee, addr, &word, true) == word.len();
            if whole { Ok(0) } else { Err(Errno::EIO) }
        }
        pt::PTRACE_PEEKUSR => user::write(data, &peek_user(&tracee, addr)?).map(|()| 0),
        pt::PTRACE_POKEUSR => poke_user(&tracee, addr, data as u64),
        pt::PTRACE_GETREGS => get_set(&tracee, NT_PRSTATUS, data),
        pt::PTRACE_SETREGS => put_set(&tracee, NT_PRSTATUS, data),
        pt::PTRACE_GETFPREGS => get_set(&tracee, NT_PRFPREG, data),
        pt::PTRACE_SETFPREGS => put_set(&tracee, NT_PRFPREG, data),
        pt::PTRACE_GETREGSET => {
            let [base, len] = user::read::<[usize; 2]>(data)?;
            let set = read_set(&tracee, addr as u32)?;
            let len = len.min(set.len());
            user::copy_out(base, &set[..len])?;
            user::write(data + 8, &len).map(|()| 0)
        }
        pt::PTRACE_SETREGSET => {
            let [base, len] = user::read::<[usize; 2]>(data)?;
            let mut set = read_set(&tracee, addr as u32)?;
            let len = len.min(set.len());
            user::copy_in(base, &mut set[..len])?;
            write_set(&tracee, addr as u32, &set)?;
            user::write(data + 8, &len).map(|()| 0)
        }
        pt::PTRACE_ARCH_PRCTL => {
            // The arguments are those of arch_prctl(2), in the other order.
            const ARCH_GET_FS: u32 = 0x1003;
            const ARCH_GET_GS: u32 = 0x1004;
            match data as u32 {
                ARCH_GET_FS => {
                    let base = ptrace::with_registers(&tracee, |registers| registers.fs_base)?;
                    user::write(addr, &base).map(|()| 0)
                }
                ARCH_GET_GS => user::write(addr, &0_u64).map(|()| 0),
                raw::ARCH_SET_FS if addr < GUEST_END => {
                    ptrace::with_registers(&tracee, |registers| registers.fs_base = addr as u64)?;
                    Ok(0)
                }
                raw::ARCH_SET_FS => Err(Errno::EPERM),
                _ => Err(Errno::EINVAL),
            }
        }
        pt::PTRACE_SETOPTIONS | pt::PTRACE_OLDSETOPTIONS => {
            ptrace::set_options(&tracee, options_of(data)?);
            Ok(0)
        }
        pt::PTRACE_GETEVENTMSG => user::write(data, &ptrace::message(&tracee)).map(|()| 0),
        pt::PTRACE_GETSIGINFO => ptrace::siginfo(&tracee)?.write(data).map(|()| 0),
        pt::PTRACE_SETSIGINFO => {
            let bytes: [u8; SIGINFO_LEN] = user::read(data)?;
            let signo = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            ptrace::set_siginfo(&tracee, SigInfo::from_bytes(signo, &bytes)).map(|()| 0)
        }
        pt::PTRACE_GETSIGMASK if addr == 8 => user::write(data, &tracee.signals.mask()).map(|()| 0),
        pt::PTRACE_SETSIGMASK if addr == 8 => {
            signal::set_mask(&tracee, user::read(data)?);
            Ok(0)
        }
        pt::PTRACE_GETSIGMASK | pt::PTRACE_SETSIGMASK => Err(Errno::EINVAL),
        pt::PTRACE_GET_SYSCALL_INFO => {
            let info = syscall_info(&tracee)?;
            user::copy_out(data, &info[..info.len().min(addr)])?;
            Ok(info.len())
        }
        _ => Err(Errno::EIO),
    }
}

fn options_of(data: usize) -> Result<u32, Errno> {
    u32::try_from(data).ok().filter(|options| options & !ptrace::OPTIONS == 0).ok_or(Errno::EINVAL)
}

/// EIO for what is no signal, as ptrace(2) says.
fn signal_of(data: usize) -> Result<u32, Errno> {
    u32::try_from(data).ok().filter(|signo| *signo <= 64).ok_or(Errno::EIO)
}

fn go_on(tracee: &Arc<Task>, mode: Mode, data: usize) -> SysResult {
    ptrace::resume(tracee, mode, signal_of(data)?);
    Ok(0)
}

/// Words of `struct user_regs_struct` (sys/user.h).
const USER_REGS: usize = 27;
/// Bytes of the FXSAVE area, and where XSAVE's says which components the system knows (asm/user.h).
const FXSAVE_LEN: usize = 512;
const XCR0_AT: usize = 464;
/// Bytes of `struct user`, and where the debug registers lie.
const USER_LEN: usize = 912;
const DEBUG_REGISTERS: core::ops::Range<usize> = 848..912;
/// Flags that a tracer may set: as a signal frame may, and TF.
const SETTABLE_FLAGS: u64 = 0x0005_0dd5;

fn to_words(from: &Registers) -> [u64; USER_REGS] {
    let regs = &from.regs;
    [
        regs.r15,
        regs.r14,
        regs.r13,
        regs.r12,
        regs.rbp,
        regs.rbx,
        regs.r11,
        regs.r10,
        regs.r9,
        regs.r8,
        regs.rax,
        regs.rcx,
        regs.rdx,
        regs.rsi,
        regs.rdi,
        regs.orig_rax,
        regs.rip,
        0x33,
        regs.rflags,
        regs.rsp,
        0x2b,
        from.fs_base,
        0,
        0,
        0,
        0,
        0,
    ]
}

/// EIO for values that no application may have; segments stay what they are.
fn from_words(words: &[u64; USER_REGS], to: &mut Registers) -> Result<(), Errno> {
    let [r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, ..] = *words;
    let (rflags, rsp, fs_base, gs_base) = (words[18], words[19], words[21], words[22]);
    if rip >> 47 != 0 || fs_base >> 47 != 0 || gs_base != 0 {
        return Err(Errno::EIO);
    }
    let rflags = to.regs.rflags & !SETTABLE_FLAGS | rflags & SETTABLE_FLAGS;
    to.regs = Regs {
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        rdi,
        rsi,
        rbp,
        rbx,
        rdx,
        rax,
        rcx,
        rsp,
        rip,
        rflags,
        orig_rax,
        ..to.regs
    };
    to.fs_base = fs_base;
    to.changed = true;
    Ok(())
}

fn read_set(tracee: &Task, set: u32) -> Result<Vec<u8>, Errno> {
    ptrace::with_registers(tracee, |registers| match set {
        NT_PRSTATUS => Ok(to_words(registers).iter().flat_map(|word| word.to_le_bytes()).collect()),
        NT_PRFPREG => Ok(registers.fpu[..FXSAVE_LEN].to_vec()),
        NT_X86_XSTATE => {
            let mut area = registers.fpu.clone();
            area[XCR0_AT..XCR0_AT + 8].copy_from_slice(&context::fpu_features().to_le_bytes());
            Ok(area)
        }
        _ => Err(Errno::EINVAL),
    })?
}

fn write_set(tracee: &Task, set: u32, bytes: &[u8]) -> Result<(), Errno> {
    ptrace::with_registers(tracee, |registers| match set {
        NT_PRSTATUS => {
            let word =
                |index: usize| u64::from_le_bytes(core::array::from_fn(|byte| bytes[index * 8 + byte]));
            from_words(&core::array::from_fn(word), registers)
        }
        NT_PRFPREG | NT_X86_XSTATE => {
            registers.fpu[..bytes.len()].copy_from_slice(bytes);
            if set == NT_PRFPREG {
                // The x87 and SSE components count from now on.
                registers.fpu[FXSAVE_LEN] |= 3;
            }
            registers.fpu_changed = true;
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    })?
}

fn get_set(tracee: &Task, set: u32, address: usize) -> SysResult {
    user::copy_out(address, &read_set(tracee, set)?).map(|()| 0)
}

fn put_set(tracee: &Task, set: u32, address: usize) -> SysResult {
    let mut bytes = read_set(tracee, set)?;
    user::copy_in(address, &mut bytes)?;
    write_set(tracee, set, &bytes).map(|()| 0)
}

/// A word of `struct user`: the registers; of the rest nothing is kept, and reads as zero as in Linux.
fn peek_user(tracee: &Task, at: usize) -> Result<u64, Errno> {
    if !at.is_multiple_of(8) || at >= USER_LEN {
        return Err(Errno::EIO);
    }
    ptrace::with_registers(tracee, |registers| to_words(registers).get(at / 8).copied().unwrap_or(0))
}

fn poke_user(tracee: &Task, at: usize, value: u64) -> SysResult {
    if !at.is_multiple_of(8) || at >= USER_LEN {
        return Err(Errno::EIO);
    }
    if at / 8 >= USER_REGS {
        // There are no hardware breakpoints: clearing them is all that can be done.
        return if DEBUG_REGISTERS.contains(&at) && value == 0 { Ok(0) } else { Err(Errno::EIO) };
    }
    ptrace::with_registers(tracee, |registers| {
        let mut words = to_words(registers);
        words[at / 8] = value;
        from_words(&words, registers)
    })??;
    Ok(0)
}

/// `struct ptrace_syscall_info` (linux/ptrace.h), as long as it is for this stop.
fn syscall_info(tracee: &Task) -> Result<Vec<u8>, Errno> {
    let regs = ptrace::with_registers(tracee, |registers| registers.regs)?;
    let entry = [regs.orig_rax, regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9];
    let mut rest: Vec<u8> = Vec::new();
    let op = match ptrace::kind(tracee)? {
        Kind::SyscallEnter => {
            rest.extend(entry.iter().flat_map(|word| word.to_le_bytes()));
            pt::PTRACE_SYSCALL_INFO_ENTRY
        }
        Kind::SyscallExit => {
            rest.extend(regs.rax.to_le_bytes());
            rest.push(u8::from((-4095..0).contains(&(regs.rax as i64))));
            pt::PTRACE_SYSCALL_INFO_EXIT
        }
        Kind::Event(pt::PTRACE_EVENT_SECCOMP) => {
            rest.extend(entry.iter().flat_map(|word| word.to_le_bytes()));
            rest.extend((ptrace::message(tracee) as u32).to_le_bytes());
            pt::PTRACE_SYSCALL_INFO_SECCOMP
        }
        _ => pt::PTRACE_SYSCALL_INFO_NONE,
    };
    let mut info = vec![op as u8, 0, 0, 0];
    info.extend(ARCH.to_le_bytes());
    info.extend(regs.rip.to_le_bytes());
    info.extend(regs.rsp.to_le_bytes());
    info.extend(rest);
    Ok(info)
}

/// Reads an iovec of process_vm_readv(2). Addresses are checked where they are used.
fn read_ranges(iov: usize, count: usize) -> Result<Vec<UserRange>, Errno> {
    if count > raw::UIO_MAXIOV as usize {
        return Err(Errno::EINVAL);
    }
    let words = user::read_vec::<[usize; 2]>(iov, count)?;
    let total = words.iter().try_fold(0_usize, |sum, [_, len]| sum.checked_add(*len));
    if total.is_none_or(|total| total > isize::MAX as usize) {
        return Err(Errno::EINVAL);
    }
    Ok(words.into_iter().map(|[start, len]| UserRange { start, len }).collect())
}

/// Both sides of a transfer, and the task whose memory the second is in.
struct Transfer {
    target: Arc<Task>,
    local: UserRanges,
    remote: Vec<UserRange>,
}

fn transfer(
    t: &Arc<Task>,
    pid: Pid,
    local: [usize; 2],
    remote: [usize; 2],
    flags: usize,
) -> Result<Transfer, Errno> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let (local, remote) = (read_ranges(local[0], local[1])?, read_ranges(remote[0], remote[1])?);
    let target = process::find_task(pid).ok_or(Errno::ESRCH)?;
    if !Arc::ptr_eq(&target.space(), &t.space()) && !ptrace::may_trace(t, &target) {
        return Err(Errno::EPERM);
    }
    Ok(Transfer { target, local: UserRanges::many(local), remote })
}

/// Bytes that are moved at once.
const PIECE: usize = 1 << 16;

/// Moves the remote ranges in pieces. `piece` moves up to `len` bytes at an address: fewer end the transfer, which is an
/// error only when nothing was moved.
fn in_pieces(ranges: &[UserRange], mut piece: impl FnMut(usize, usize) -> SysResult) -> SysResult {
    let mut done = 0;
    for range in ranges {
        let mut at = 0;
        while at < range.len {
            let len = (range.len - at).min(PIECE);
            match piece(range.start.wrapping_add(at), len) {
                Ok(0) => return Ok(done),
                Ok(moved) => {
                    done += moved;
                    at += moved;
                    if moved < len {
                        return Ok(done);
                    }
                }
                Err(error) => return if done == 0 { Err(error) } else { Ok(done) },
            }
        }
    }
    Ok(done)
}

pub(super) fn process_vm_readv(
    t: &Arc<Task>,
    pid: i32,
    lvec: usize,
    liovcnt: usize,
    rvec: usize,
    riovcnt: usize,
    flags: usize,
) -> SysResult {
    let Transfer { target, local, remote } = transfer(t, pid, [lvec, liovcnt], [rvec, riovcnt], flags)?;
    let mut sink = Sink::User(local);
    in_pieces(&remote, |address, len| {
        let mut bytes = vec![0; len.min(sink.left())];
        if bytes.is_empty() {
            return Ok(0);
        }
        match remote::read(&target, address, &mut bytes, false) {
            0 => Err(Errno::EFAULT),
            moved => sink.put(&bytes[..moved]),
        }
    })
}

pub(super) fn process_vm_writev(
    t: &Arc<Task>,
    pid: i32,
    lvec: usize,
    liovcnt: usize,
    rvec: usize,
    riovcnt: usize,
    flags: usize,
) -> SysResult {
    let Transfer { target, local, remote } = transfer(t, pid, [lvec, liovcnt], [rvec, riovcnt], flags)?;
    let mut source = Source::User(local);
    in_pieces(&remote, |address, len| {
        let mut bytes = vec![0; len.min(source.left())];
        if bytes.is_empty() {
            return Ok(0);
        }
        let taken = source.take(&mut bytes)?;
        match remote::write(&target, address, &bytes[..taken], false) {
            0 => Err(Errno::EFAULT),
            moved => Ok(moved),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{USER_REGS, from_words, to_words};
    use crate::errno::Errno;
    use crate::task::ptrace::Registers;
    use husk_machine::context::Regs;

    #[test]
    fn registers_survive_the_way_to_the_tracer_and_back() {
        let regs =
            Regs { r15: 1, rax: 2, rip: 0x40_1000, rsp: 3, rflags: 0x246, orig_rax: 4, ..Regs::default() };
        let mut registers =
            Registers { regs, fs_base: 0x7000, fpu: Vec::new(), changed: false, fpu_changed: false };
        let words = to_words(&registers);
        assert_eq!((words[0], words[10], words[15], words[16]), (1, 2, 4, 0x40_1000));
        assert_eq!(from_words(&words, &mut registers), Ok(()));
        assert_eq!(registers.regs, regs);
        for (index, bad) in [(16, 1 << 47), (21, 1 << 63), (22, 8)] {
            let mut words: [u64; USER_REGS] = words;
            words[index] = bad;
            assert_eq!(from_words(&words, &mut registers), Err(Errno::EIO), "word {index}");
        }
        // Flags of the system's are out of reach.
        let mut words = words;
        words[18] = 0x3000 | 0x200 | 1;
        assert_eq!(from_words(&words, &mut registers), Ok(()));
        assert_eq!(registers.regs.rflags, 0x203);
    }
}
