//! The frame that a signal handler finds on its stack, `struct rt_sigframe` of x86-64 Linux, byte for byte.
//!
//! ```text
//! frame +0    return address: SA_RESTORER's code, which calls rt_sigreturn
//!       +8    struct ucontext: flags, link, stack_t, struct sigcontext (256 bytes), mask
//!       +312  siginfo_t
//! fpstate     above it, 64-byte aligned: the XSAVE area, with its size in the bytes FXSAVE leaves to software
//! ```
//! A system call that shall start anew when the handler returns shows itself as on Linux: `rip` stands on the `syscall`
//! instruction and `rax` holds the number, which programs look at (musl's cancellation does). But the call may have come
//! by a patched site, where those two bytes are gone. So two of sigcontext's reserved words say which call it was, and
//! rt_sigreturn, if the handler has changed neither `rip` nor `rax`, makes the kernel run the call again by itself.

use super::deliver::Restarted;
use super::info::SIGINFO_LEN;
use super::{AltStack, SigAction, SigInfo, SigSet, fault, set_mask};
use crate::errno::{Errno, SysResult};
use crate::mem::user;
use crate::task::Task;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use husk_machine::context::{self, Regs, USER_SEGMENTS};
use linux_raw_sys::general as raw;

/// Bytes of `struct rt_sigframe`.
const FRAME_LEN: usize = INFO + SIGINFO_LEN;
const UCONTEXT: usize = 8;
const STACK: usize = UCONTEXT + 16;
const SIGCONTEXT: usize = UCONTEXT + 40;
const FPSTATE_POINTER: usize = SIGCONTEXT + 184;
const RESERVED: usize = SIGCONTEXT + 192;
const MASK: usize = SIGCONTEXT + 256;
const INFO: usize = MASK + 8;

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

/// In the software bytes of the FXSAVE area, and after the XSAVE area.
const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
const SOFTWARE_BYTES: usize = 464;
/// The part that FXSAVE writes, and the header of the rest.
const LEGACY_LEN: usize = 512;
const XSTATE_BV: usize = 512;
const HEADER_LEN: usize = 64;
const X87_AND_SSE: u64 = 3;

const RED_ZONE: usize = 128;

/// Says in a reserved word that the next one is a system call to restart. High half: never a result of a program.
const RESTART_MARK: u64 = 0x4855_534b_0000_0000;

/// Flags that a program may set by a frame: AC OF DF TF SF ZF AF PF CF RF.
const SETTABLE_FLAGS: u64 = 0x0005_0dd5;
const DIRECTION: u64 = 0x400;
const RESUME: u64 = 0x1_0000;
const TRAP: u64 = 0x100;

/// What the frame is made of.
pub(super) struct Parts<'a> {
    pub(super) info: &'a SigInfo,
    pub(super) action: &'a SigAction,
    pub(super) regs: &'a Regs,
    /// The call that starts anew when the handler returns.
    pub(super) restart: Option<Restarted>,
    /// The mask to go back to.
    pub(super) mask: SigSet,
    pub(super) altstack: AltStack,
    /// Trap number, error code and address of the last fault.
    pub(super) last_fault: [u64; 3],
}

/// Bytes of stack that the largest frame takes: AT_MINSIGSTKSZ.
pub fn min_stack_len() -> usize {
    // Alignment may cost 15 bytes for the frame and 63 for the vector state.
    (FRAME_LEN + context::fpu_len() + 4 + 15 + 63).next_multiple_of(16)
}

/// Addresses of the frame and of the vector state on the stack that the handler runs on; `None` when they overflow the
/// alternate stack.
fn place(parts: &Parts<'_>, fpu_len: usize) -> Option<(usize, usize)> {
    let mut sp = (parts.regs.rsp as usize).wrapping_sub(RED_ZONE);
    let alt = &parts.altstack;
    let nested = alt.in_use(sp);
    let enters = parts.action.has(raw::SA_ONSTACK) && alt.reported_flags(sp) & !raw::SS_FLAG_BITS == 0;
    if enters {
        sp = alt.start.wrapping_add(alt.len);
    }
    let fpstate = sp.wrapping_sub(fpu_len + 4) & !63;
    // As after a call: 16-byte alignment less the return address.
    let frame = (fpstate.wrapping_sub(FRAME_LEN) & !15).wrapping_sub(8);
    let overflows = (nested || enters) && !alt.holds(frame);
    (!overflows).then_some((frame, fpstate))
}

fn put(frame: &mut [u8], at: usize, word: u64) {
    frame[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

fn get(frame: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(core::array::from_fn(|index| frame[at + index]))
}

/// The frame but for the vector state, which lies at `fpstate`.
fn encode(parts: &Parts<'_>, fpstate: usize) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    put(&mut frame, 0, parts.action.restorer);
    put(&mut frame, UCONTEXT, UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS);
    for (index, word) in parts.altstack.to_words().into_iter().enumerate() {
        put(&mut frame, STACK + index * 8, word);
    }
    let mut regs = *parts.regs;
    if let Some(Restarted { number, return_to }) = parts.restart {
        regs.rip = return_to.wrapping_sub(2);
        regs.rax = number;
        put(&mut frame, RESERVED, RESTART_MARK | number);
        put(&mut frame, RESERVED + 8, return_to);
    }
    let [trap, error, address] = parts.last_fault;
    let words = [
        regs.r8,
        regs.r9,
        regs.r10,
        regs.r11,
        regs.r12,
        regs.r13,
        regs.r14,
        regs.r15,
        regs.rdi,
        regs.rsi,
        regs.rbp,
        regs.rbx,
        regs.rdx,
        regs.rax,
        regs.rcx,
        regs.rsp,
        regs.rip,
        regs.rflags,
        USER_SEGMENTS,
        error,
        trap,
        parts.mask,
        address,
        fpstate as u64,
    ];
    for (index, word) in words.into_iter().enumerate() {
        put(&mut frame, SIGCONTEXT + index * 8, word);
    }
    put(&mut frame, MASK, parts.mask);
    frame[INFO..].copy_from_slice(&parts.info.to_bytes());
    frame
}

/// Turns the XSAVE area in `area[..len]` into what lies in a frame: `area` has four bytes more.
fn seal_fpstate(area: &mut [u8], len: usize) {
    let features = get(area, XSTATE_BV) | X87_AND_SSE;
    put(area, XSTATE_BV, features);
    let software = &mut area[SOFTWARE_BYTES..LEGACY_LEN];
    software.fill(0);
    software[0..4].copy_from_slice(&FP_XSTATE_MAGIC1.to_le_bytes());
    software[4..8].copy_from_slice(&(len as u32 + 4).to_le_bytes());
    software[8..16].copy_from_slice(&context::fpu_features().to_le_bytes());
    software[16..20].copy_from_slice(&(len as u32).to_le_bytes());
    area[len..len + 4].copy_from_slice(&FP_XSTATE_MAGIC2.to_le_bytes());
}

/// Writes the frame and gives the registers with which the handler starts. EFAULT: the stack cannot take it.
pub(super) fn push(parts: &Parts<'_>) -> Result<Regs, Errno> {
    // x86-64 has no other way back.
    if !parts.action.has(raw::SA_RESTORER) {
        return Err(Errno::EFAULT);
    }
    let len = context::fpu_len();
    let (frame, fpstate) = place(parts, len).ok_or(Errno::EFAULT)?;
    let mut area = vec![0; len + 4];
    context::save_fpu(&mut area[..len]);
    seal_fpstate(&mut area, len);
    user::copy_out(fpstate, &area)?;
    user::copy_out(frame, &encode(parts, fpstate))?;
    Ok(entry(parts, frame))
}

fn entry(parts: &Parts<'_>, frame: usize) -> Regs {
    Regs {
        rdi: u64::from(parts.info.signo),
        rsi: (frame + INFO) as u64,
        rdx: (frame + UCONTEXT) as u64,
        rax: 0,
        rsp: frame as u64,
        rip: parts.action.handler,
        rflags: parts.regs.rflags & !(DIRECTION | RESUME | TRAP),
        segments: USER_SEGMENTS,
        orig_rax: u64::MAX,
        ..*parts.regs
    }
}

/// Gives the program the vector state of a fresh one, as a handler finds it.
pub(super) fn reset_fpu() {
    let mut area = vec![0; context::fpu_len()];
    area[0..2].copy_from_slice(&0x37f_u16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
    context::load_fpu(&area);
}

/// What a frame says, as far as it is taken over.
struct Saved {
    regs: Regs,
    mask: SigSet,
    altstack: AltStack,
    fpstate: usize,
    restart: bool,
}

/// Reads the frame but for its return address, which the handler has popped. Any bytes give registers that are safe.
fn decode(frame: &[u8; FRAME_LEN], flags_now: u64) -> Saved {
    let word = |index: usize| get(frame, SIGCONTEXT + index * 8);
    let mut regs = Regs {
        r8: word(0),
        r9: word(1),
        r10: word(2),
        r11: word(3),
        r12: word(4),
        r13: word(5),
        r14: word(6),
        r15: word(7),
        rdi: word(8),
        rsi: word(9),
        rbp: word(10),
        rbx: word(11),
        rdx: word(12),
        rax: word(13),
        rcx: word(14),
        rsp: word(15),
        rip: word(16),
        rflags: flags_now & !SETTABLE_FLAGS | word(17) & SETTABLE_FLAGS,
        segments: USER_SEGMENTS,
        error: 0,
        trap: 0,
        orig_rax: u64::MAX,
        cr2: 0,
    };
    let (mark, return_to) = (get(frame, RESERVED), get(frame, RESERVED + 8));
    let restart = mark == RESTART_MARK | regs.rax & 0xffff_ffff
        && regs.rip == return_to.wrapping_sub(2)
        && regs.rax >> 32 == 0;
    if restart {
        regs.orig_rax = regs.rax;
        regs.rip = return_to;
    }
    Saved {
        regs,
        mask: get(frame, MASK),
        altstack: AltStack::from_words(core::array::from_fn(|index| get(frame, STACK + index * 8))),
        fpstate: get(frame, FPSTATE_POINTER) as usize,
        restart,
    }
}

/// The vector state at `address`: all of it if it has kept its marks, else the part that FXSAVE knows.
fn read_fpstate(address: usize) -> Result<Vec<u8>, Errno> {
    let len = context::fpu_len();
    let mut area = vec![0; len + 4];
    user::copy_in(address, &mut area[..LEGACY_LEN])?;
    if is_whole(&area, len) && user::copy_in(address + LEGACY_LEN, &mut area[LEGACY_LEN..]).is_ok() {
        let features = get(&area, SOFTWARE_BYTES + 8) & get(&area, XSTATE_BV);
        if area[len..] == FP_XSTATE_MAGIC2.to_le_bytes() {
            put(&mut area, XSTATE_BV, features & context::fpu_features());
            area.truncate(len);
            return Ok(area);
        }
    }
    area.truncate(len);
    area[LEGACY_LEN..].fill(0);
    put(&mut area, XSTATE_BV, X87_AND_SSE);
    area[XSTATE_BV + 8..XSTATE_BV + HEADER_LEN].fill(0);
    Ok(area)
}

fn is_whole(legacy: &[u8], len: usize) -> bool {
    let word =
        |at: usize| u32::from_le_bytes(core::array::from_fn(|index| legacy[SOFTWARE_BYTES + at + index]));
    word(0) == FP_XSTATE_MAGIC1 && word(4) as usize == len + 4 && word(16) as usize == len
}

/// rt_sigreturn(2): goes back to where the handler interrupted the program. The result is the program's own RAX, or a
/// restart code with the registers of the call that starts anew. A frame that cannot be used is SIGSEGV.
pub fn sigreturn(t: &Arc<Task>) -> SysResult {
    let now = context::regs();
    match restore(t, &now) {
        Ok(true) => Err(Errno::ERESTARTNOINTR),
        Ok(false) => Ok(context::regs().rax as usize),
        Err(_) => {
            fault::force(t, SigInfo::kernel(raw::SIGSEGV));
            Ok(0)
        }
    }
}

fn restore(t: &Arc<Task>, now: &Regs) -> Result<bool, Errno> {
    let start = (now.rsp as usize).checked_sub(8).ok_or(Errno::EFAULT)?;
    let mut frame = [0; FRAME_LEN];
    let body = &mut frame[UCONTEXT..];
    user::copy_in(start + UCONTEXT, body)?;
    let saved = decode(&frame, now.rflags);
    // No return goes to an address that is not canonical; Linux finds out on the way, with the same signal.
    if saved.regs.rip >> 47 != 0 {
        return Err(Errno::EFAULT);
    }
    let area = if saved.fpstate == 0 { None } else { Some(read_fpstate(saved.fpstate)?) };
    match area {
        Some(area) => context::load_fpu(&area),
        None => reset_fpu(),
    }
    set_mask(t, saved.mask);
    context::set_regs(&saved.regs);
    // Whatever else is wrong with the stack in the frame is not an error here.
    let _ = super::set_altstack(t, saved.altstack, saved.regs.rsp as usize);
    Ok(saved.restart)
}

const _: () = assert!(FRAME_LEN == 440 && size_of::<raw::siginfo>() == SIGINFO_LEN);
const _: () = assert!(size_of::<[u64; 3]>() == size_of::<raw::sigaltstack>());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::bit;
    use crate::task::test::enter;

    fn action(flags: u32) -> SigAction {
        let flags = u64::from(flags | raw::SA_RESTORER);
        SigAction { handler: 0x40_0000, flags, restorer: 0x40_1000, mask: 0 }
    }

    fn regs() -> Regs {
        let mut next = 0x1000;
        let mut word = || {
            next += 0x11;
            next
        };
        Regs {
            r8: word(),
            r9: word(),
            r10: word(),
            r11: word(),
            r12: word(),
            r13: word(),
            r14: word(),
            r15: word(),
            rdi: word(),
            rsi: word(),
            rbp: word(),
            rbx: word(),
            rdx: word(),
            rax: word(),
            rcx: word(),
            rsp: 0x6fff_ffff_e5a8,
            rip: 0x40_2000,
            rflags: 0x246,
            segments: USER_SEGMENTS,
            error: 0,
            trap: 0,
            orig_rax: u64::MAX,
            cr2: 0,
        }
    }

    fn parts<'a>(info: &'a SigInfo, action: &'a SigAction, regs: &'a Regs) -> Parts<'a> {
        let altstack = AltStack { start: 0x50_0000, flags: 0, len: 0x4000 };
        Parts { info, action, regs, restart: None, mask: 0x8001, altstack, last_fault: [14, 6, 0xdead] }
    }

    /// The offsets are those of `struct rt_sigframe`, `struct ucontext` and `struct sigcontext` in the kernel's headers
    /// asm/sigframe.h, asm-generic/ucontext.h and asm/sigcontext.h.
    #[test]
    fn every_word_lies_where_linux_puts_it() {
        let (info, action, regs) = (SigInfo::fault(raw::SIGSEGV, 1, 0xdead), action(0), regs());
        let frame = encode(&parts(&info, &action, &regs), 0x6fff_ffff_0000);
        let expected: [(usize, u64); 33] = [
            (0, 0x40_1000),
            (8, 7),
            (16, 0),
            (24, 0x50_0000),
            (32, 0),
            (40, 0x4000),
            (48, regs.r8),
            (56, regs.r9),
            (64, regs.r10),
            (72, regs.r11),
            (80, regs.r12),
            (88, regs.r13),
            (96, regs.r14),
            (104, regs.r15),
            (112, regs.rdi),
            (120, regs.rsi),
            (128, regs.rbp),
            (136, regs.rbx),
            (144, regs.rdx),
            (152, regs.rax),
            (160, regs.rcx),
            (168, regs.rsp),
            (176, regs.rip),
            (184, regs.rflags),
            (192, 0x002b_0000_0000_0033),
            (200, 6),
            (208, 14),
            (216, 0x8001),
            (224, 0xdead),
            (232, 0x6fff_ffff_0000),
            (304, 0x8001),
            (312, u64::from(raw::SIGSEGV)),
            (328, 0xdead),
        ];
        for (at, word) in expected {
            assert_eq!(get(&frame, at), word, "at byte {at}");
        }
        assert_eq!(get(&frame, 320) as u32, raw::SEGV_MAPERR);
        assert!(frame[240..304].iter().all(|byte| *byte == 0), "nothing to restart");
    }

    #[test]
    fn the_frame_spares_the_red_zone_and_is_aligned_as_after_a_call() {
        let (info, action) = (SigInfo::kernel(raw::SIGUSR1), action(0));
        for shift in 0..200 {
            let regs = Regs { rsp: 0x6fff_ffff_e000 - shift, ..regs() };
            let (frame, fpstate) = place(&parts(&info, &action, &regs), 832).expect("room");
            assert_eq!((frame % 16, fpstate % 64), (8, 0));
            assert!(frame + FRAME_LEN <= fpstate && fpstate + 836 <= regs.rsp as usize - 128);
            assert!(regs.rsp as usize - 128 - frame <= min_stack_len());
        }
    }

    #[test]
    fn the_alternate_stack_is_entered_once_and_never_overflowed() {
        let (info, plain, onstack) = (SigInfo::kernel(raw::SIGUSR1), action(0), action(raw::SA_ONSTACK));
        let outside = regs();
        let (frame, _) = place(&parts(&info, &onstack, &outside), 832).expect("room");
        assert!((0x50_0000..0x50_4000).contains(&frame));
        let (frame, _) = place(&parts(&info, &plain, &outside), 832).expect("room");
        assert!(frame > 0x50_4000);
        let inside = Regs { rsp: 0x50_3000, ..outside };
        let (frame, _) = place(&parts(&info, &onstack, &inside), 832).expect("room");
        assert!((0x50_0000..0x50_3000).contains(&frame), "goes on below what runs there");
        let low = Regs { rsp: 0x50_0300, ..outside };
        assert_eq!(place(&parts(&info, &onstack, &low), 832), None);
        // With SS_AUTODISARM the program never counts as running on it.
        let mut disarming = parts(&info, &onstack, &inside);
        disarming.altstack.flags = raw::SS_AUTODISARM;
        let (frame, _) = place(&disarming, 832).expect("room");
        assert!(frame > 0x50_3000);
    }

    #[test]
    fn what_a_frame_saves_comes_back_but_for_forbidden_flags() {
        let (info, action, regs) = (SigInfo::kernel(raw::SIGUSR1), action(0), regs());
        let mut frame = encode(&parts(&info, &action, &regs), 0x1000);
        let saved = decode(&frame, 0x202);
        assert_eq!(saved.regs, Regs { rflags: 0x246, ..regs });
        assert_eq!((saved.mask, saved.fpstate, saved.restart), (0x8001, 0x1000, false));
        assert_eq!(saved.altstack, AltStack { start: 0x50_0000, flags: 0, len: 0x4000 });
        put(&mut frame, SIGCONTEXT + 17 * 8, u64::MAX);
        put(&mut frame, SIGCONTEXT + 18 * 8, u64::MAX);
        let saved = decode(&frame, 0x202);
        assert_eq!((saved.regs.rflags, saved.regs.segments), (0x202 | SETTABLE_FLAGS, USER_SEGMENTS));
    }

    #[test]
    fn a_call_restarts_only_if_the_handler_left_it_alone() {
        let (info, action, regs) = (SigInfo::kernel(raw::SIGUSR1), action(0), regs());
        let mut parts = parts(&info, &action, &regs);
        parts.restart = Some(Restarted { number: 7, return_to: regs.rip });
        let frame = encode(&parts, 0);
        assert_eq!((get(&frame, 176), get(&frame, 152)), (regs.rip - 2, 7), "as Linux shows it");
        let saved = decode(&frame, 0x202);
        assert!(saved.restart);
        assert_eq!((saved.regs.rip, saved.regs.orig_rax), (regs.rip, 7));
        for (at, word) in [(176, 0x40_3000), (152, 8), (152, -4_i64 as u64)] {
            let mut changed = frame;
            put(&mut changed, at, word);
            let saved = decode(&changed, 0x202);
            assert!(!saved.restart && saved.regs.orig_rax == u64::MAX);
        }
    }

    #[test]
    fn the_vector_state_is_marked_as_linux_marks_it() {
        let mut area = vec![0xee; 836];
        area[XSTATE_BV..XSTATE_BV + HEADER_LEN].fill(0);
        seal_fpstate(&mut area, 832);
        let word = |at: usize| u32::from_le_bytes(area[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((word(464), word(468), word(480)), (0x4650_5853, 836, 832));
        assert_eq!((get(&area, 472), get(&area, 512) & 3), (context::fpu_features(), 3));
        assert_eq!(word(832), 0x4650_5845);
        assert!(is_whole(&area, 832) && !is_whole(&area, 576));
    }

    /// Random bytes as a frame must never give segments or flags that a program may not have.
    #[test]
    fn any_frame_is_safe() {
        let mut frame = [0; FRAME_LEN];
        for _ in 0..2000 {
            husk_machine::random::fill(&mut frame);
            let saved = decode(&frame, 0x202);
            assert_eq!(saved.regs.segments, USER_SEGMENTS);
            assert_eq!(saved.regs.rflags & !SETTABLE_FLAGS, 0x202);
        }
    }

    #[test]
    fn a_frame_that_cannot_be_read_is_a_fault() {
        let t = enter();
        context::set_regs(&regs());
        assert_eq!(sigreturn(&t), Ok(0));
        assert_eq!(t.signals.pending(), bit(raw::SIGSEGV));
    }
}
