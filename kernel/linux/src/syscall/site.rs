//! Call sites: how a `syscall` instruction becomes a jump into the kernel.
//!
//! A system call first traps. After some traps from one site the site is patched, and only then: no code is scanned, so
//! no byte is ever misread as an instruction. Two forms exist:
//!
//! - `mov $nr, %eax; syscall` (7 bytes) becomes `jmp *slot`, an indirect jump through a table in the low 2 GiB.
//! - Otherwise `syscall` and the whole instructions after it that fill 5 bytes become `jmp rel32` to a trampoline, which
//!   makes the call, executes the displaced instructions and jumps back.
//!
//! In both, the byte where a jump into the middle of the old instructions would land is 0x06, which is no instruction in
//! 64-bit mode: the fault leads here and is mended. Nothing is pushed, so the red zone stays intact. Sites that cannot be
//! patched keep trapping. Trampolines belong to the space and are copied by fork like all memory.

use crate::errno::Errno;
use crate::mem::map::{Area, Name};
use crate::mem::{Request, Space, user};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;
use husk_abi::boot::FLAG_NO_PATCH;
use husk_abi::layout::{PAGE_SIZE, SLOT_TABLE, SLOT_TABLE_LEN};
use husk_machine::{patch, space, start};
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};

/// Traps of one site before it is patched: a trap costs 3 us, the first patch of a program 20-60 us (table, trampolines, copies
/// of code pages), a further one 5 us. So what a program has paid in traps is about what the patch costs, and programs that make
/// a call a few times are served by traps.
const TRAPS_BEFORE_PATCH: u8 = 4;
const TRAPS_BEFORE_FIRST_PATCH: u8 = 12;
/// Bytes of one trampoline.
const TRAMPOLINE: usize = 64;
/// Bytes of an area of trampolines: two windows for each value of the constrained displacement byte.
const AREA: usize = 0x2_0000;
/// What no 64-bit instruction begins with.
const INVALID: u8 = 0x06;
const SYSCALL: [u8; 2] = [0x0f, 0x05];

#[derive(Clone, Copy)]
enum State {
    Seen(u8),
    /// The 7-byte form: a jump to the old `syscall` makes the call.
    Slot,
    /// The 5-byte form: a jump behind the old `syscall` goes on here.
    Jump {
        after: usize,
    },
    Unpatchable,
}

/// The sites of one address space, by the address of their `syscall` instruction.
#[derive(Clone, Default)]
pub(crate) struct Sites {
    states: BTreeMap<usize, State>,
    /// Areas of trampolines with a bit for each slot taken.
    areas: Vec<(usize, Vec<u64>)>,
    /// Slots of the table in use; none before the table is mapped.
    slots: usize,
}

impl Sites {
    /// Whether the table of slots is mapped, which is no area of the space's map.
    pub(crate) fn has_table(&self) -> bool {
        self.slots > 0
    }

    /// Code in the range is gone.
    pub(crate) fn forget(&mut self, range: Range<usize>) {
        if range.start <= SLOT_TABLE && range.end >= SLOT_TABLE + SLOT_TABLE_LEN {
            *self = Self::default();
            return;
        }
        if self.states.range(range.clone()).next().is_some() {
            self.states.retain(|site, _| !range.contains(site));
        }
        self.areas.retain(|(start, _)| range.start >= start + AREA || range.end <= *start);
    }

    /// A free trampoline slot. With `from`, one whose displacement from there has the invalid byte in its place.
    fn take_slot(&mut self, from: Option<usize>) -> Option<usize> {
        for (start, taken) in &mut self.areas {
            let fits = |slot: usize| {
                let at = *start + slot * TRAMPOLINE;
                from.is_none_or(|from| {
                    let displacement = at.wrapping_sub(from) as isize;
                    i32::try_from(displacement).is_ok() && (displacement >> 8) as u8 == INVALID
                })
            };
            let free = |slot: &usize| taken[*slot / 64] & (1 << (*slot % 64)) == 0;
            let slots = AREA / TRAMPOLINE;
            let found = match from {
                None => (0..slots).rev().find(free),
                Some(from) => {
                    // The first window in the area, then every 64 KiB.
                    let first = (from + (INVALID as usize) * 256).wrapping_sub(*start) % 0x1_0000;
                    let candidates = (0..AREA / 0x1_0000 + 1).flat_map(|window| {
                        let begin = (first + window * 0x1_0000).div_ceil(TRAMPOLINE);
                        begin..begin + 256 / TRAMPOLINE
                    });
                    candidates.filter(|slot| *slot < slots && fits(*slot)).find(free)
                }
            };
            if let Some(slot) = found {
                taken[slot / 64] |= 1 << (slot % 64);
                return Some(*start + slot * TRAMPOLINE);
            }
        }
        None
    }
}

/// Whether a range touches the slot table, which no mapping of the application may replace.
pub(crate) fn reserved(range: Range<usize>) -> bool {
    range.start < SLOT_TABLE + SLOT_TABLE_LEN && SLOT_TABLE < range.end
}

/// Length of the instruction at the front of `code`, if it may be moved: it neither branches nor names RIP.
fn movable(code: &[u8]) -> Option<usize> {
    let rex = usize::from(matches!(code.first()?, 0x40..=0x4f));
    let wide = rex == 1 && code[0] & 8 != 0;
    let opcode = *code.get(rex)?;
    let immediate = match opcode {
        // push, pop register
        0x50..=0x5f => return Some(rex + 1),
        // op eax, imm32
        0x05 | 0x0d | 0x25 | 0x2d | 0x35 | 0x3d | 0xa9 => return Some(rex + 5),
        // mov register, imm
        0xb8..=0xbf => return Some(rex + if wide { 9 } else { 5 }),
        // nop, leave
        0x90 | 0xc9 => return Some(rex + 1),
        // arithmetic, test, mov, lea between register and register or memory
        0x01 | 0x03 | 0x09 | 0x0b | 0x21 | 0x23 | 0x29 | 0x2b | 0x31 | 0x33 | 0x39 | 0x3b | 0x63 | 0x85
        | 0x89 | 0x8b | 0x8d => 0,
        // neg, not (not the test forms, which have an immediate)
        0xf7 if matches!(code.get(rex + 1)? >> 3 & 7, 2 | 3) => 0,
        0x83 | 0xc1 => 1,
        0x81 | 0xc7 => 4,
        _ => return None,
    };
    let modrm = *code.get(rex + 1)?;
    let (mode, register) = (modrm >> 6, modrm & 7);
    let mut len = rex + 2;
    if mode != 3 {
        if register == 4 {
            let sib = *code.get(len)?;
            len += 1;
            if mode == 0 && sib & 7 == 5 {
                len += 4;
            }
        }
        len += match mode {
            0 if register == 5 => return None,
            0 => 0,
            1 => 1,
            _ => 4,
        };
    }
    Some(len + immediate)
}

/// How many bytes after a `syscall` a 5-byte jump displaces: whole instructions, or a `ret` and padding.
fn displaced(after: &[u8]) -> Option<usize> {
    let mut len = 0;
    while len < 3 {
        let rest = &after[len..];
        if rest.first() == Some(&0xc3) {
            let padding = rest.get(1..3 - len.min(2))?;
            return padding
                .iter()
                .all(|byte| matches!(byte, 0x90 | 0xcc | 0x66 | 0x0f | 0x1f))
                .then_some(3.max(len + 1));
        }
        len += movable(rest)?;
    }
    (len <= 20 && len <= after.len()).then_some(len)
}

/// Assembles a trampoline.
#[derive(Default)]
struct Code {
    bytes: Vec<u8>,
}

impl Code {
    fn movabs_rcx(mut self, value: usize) -> Self {
        self.bytes.extend_from_slice(&[0x48, 0xb9]);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn mov_eax(mut self, value: u32) -> Self {
        self.bytes.push(0xb8);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn jump_through(mut self, slot: usize) -> Self {
        self.bytes.extend_from_slice(&[0xff, 0x24, 0x25]);
        self.bytes.extend_from_slice(&(slot as u32).to_le_bytes());
        self
    }

    fn raw(mut self, code: &[u8]) -> Self {
        self.bytes.extend_from_slice(code);
        self
    }

    fn jump_to(self, target: usize) -> Self {
        self.raw(&[0xff, 0x25, 0, 0, 0, 0]).raw(&target.to_le_bytes())
    }
}

/// Writes bytes into pages that the application cannot write.
fn write_code(at: usize, code: &[u8], protection: u32) -> Result<(), Errno> {
    let start = at & !(PAGE_SIZE - 1);
    let len = (at + code.len()).next_multiple_of(PAGE_SIZE) - start;
    let host = |result: Result<(), i32>| result.map_err(|error| Errno(error as u16));
    host(space::protect(start, len, protection | PROT_WRITE))?;
    let done = user::copy_out(at, code);
    host(space::protect(start, len, protection))?;
    done
}

fn map_table() -> Result<(), Errno> {
    space::map_anonymous(SLOT_TABLE, SLOT_TABLE_LEN, PROT_READ | PROT_WRITE)
        .map_err(|error| Errno(error as u16))?;
    user::write(SLOT_TABLE, &patch::enter_address())?;
    space::protect(SLOT_TABLE, SLOT_TABLE_LEN, PROT_READ).map_err(|error| Errno(error as u16))
}

/// A trampoline slot in an area within reach of `near`.
fn trampoline(space: &Space, near: usize, from: Option<usize>) -> Result<usize, Errno> {
    if let Some(slot) = space.sites.borrow_mut().take_slot(from) {
        return Ok(slot);
    }
    let area = Area::anonymous(PROT_READ | PROT_EXEC, Name::Gate);
    let wish = space.find_free_near(near, AREA).ok_or(Errno::ENOMEM)?;
    let start = space.map(Request { no_replace: true, address: wish, ..Request::anywhere(AREA, area) })?;
    let mut sites = space.sites.borrow_mut();
    sites.areas.push((start, alloc::vec![0; AREA / TRAMPOLINE / 64]));
    sites.take_slot(from).ok_or(Errno::ENOMEM)
}

/// A call with number `number` trapped; `rip` is where it returns to. `alone`: no other thread can be executing there.
pub(crate) fn trapped(space: &Space, rip: usize, number: u32, alone: bool) {
    if start::boot().flags & FLAG_NO_PATCH != 0 {
        return;
    }
    let site = rip - SYSCALL.len();
    let known = space.sites.borrow().states.get(&site).copied();
    let seen = match known {
        None => 1,
        Some(State::Seen(count)) => count + 1,
        Some(State::Unpatchable) => return,
        Some(State::Slot | State::Jump { .. }) => {
            // This thread trapped before another one patched the site, unless the application wrote its code anew.
            let mut code = [0; SYSCALL.len()];
            if user::copy_in(site, &mut code).is_ok() && code == SYSCALL {
                space.sites.borrow_mut().states.insert(site, State::Unpatchable);
            }
            return;
        }
    };
    space.sites.borrow_mut().states.insert(site, State::Seen(seen));
    let enough = if space.sites.borrow().has_table() { TRAPS_BEFORE_PATCH } else { TRAPS_BEFORE_FIRST_PATCH };
    if seen < enough {
        return;
    }
    let state = patch_site(space, site, number, alone).unwrap_or(State::Unpatchable);
    space.sites.borrow_mut().states.insert(site, state);
}

fn patch_site(space: &Space, site: usize, number: u32, alone: bool) -> Result<State, Errno> {
    let (_, area) = space.area_at(site).ok_or(Errno::EFAULT)?;
    let protection = area.protection;
    // Shared code is the file's, and code that may be written is the application's to change.
    if area.shared || protection & PROT_WRITE != 0 || area.end < site + 24 {
        return Ok(State::Unpatchable);
    }
    let mut code = [0; 32];
    user::copy_in(site - 8, &mut code)?;
    let (before, after) = (&code[..8], &code[10..]);
    if code[8..10] != SYSCALL {
        return Ok(State::Unpatchable);
    }
    if space.sites.borrow().slots == 0 {
        map_table()?;
        space.sites.borrow_mut().slots = 1;
    }
    let loads_number = before[3] == 0xb8 && before[4..8] == number.to_le_bytes();
    let prefixed = matches!(before[2], 0x40..=0x4f | 0x66);
    let slots = space.sites.borrow().slots;
    if loads_number && !prefixed && slots < SLOT_TABLE_LEN / 8 && patch::is_atomic(site - 5, 7, alone) {
        let at = trampoline(space, site, None)?;
        let body = Code::default().movabs_rcx(site + 2).mov_eax(number).jump_through(SLOT_TABLE).bytes;
        write_code(at, &body, PROT_READ | PROT_EXEC)?;
        let slot = SLOT_TABLE + slots * 8;
        write_code(slot, &at.to_le_bytes(), PROT_READ)?;
        space.sites.borrow_mut().slots = slots + 1;
        let jump = Code::default().jump_through(slot).bytes;
        replace(site - 5, &code[3..10], &jump, protection)?;
        return Ok(State::Slot);
    }
    let Some(len) = displaced(after) else { return Ok(State::Unpatchable) };
    if !patch::is_atomic(site, 5, alone) {
        return Ok(State::Unpatchable);
    }
    let at = trampoline(space, site, Some(site + 5))?;
    let head = Code::default().movabs_rcx(at + 17).jump_through(SLOT_TABLE);
    debug_assert!(head.bytes.len() == 17);
    let body = head.raw(&after[..len]).jump_to(site + 2 + len).bytes;
    write_code(at, &body, PROT_READ | PROT_EXEC)?;
    let displacement = at.wrapping_sub(site + 5) as u32;
    let jump = [&[0xe9][..], &displacement.to_le_bytes()].concat();
    replace(site, &code[8..13], &jump, protection)?;
    Ok(State::Jump { after: at + 17 })
}

fn replace(at: usize, old: &[u8], new: &[u8], protection: u32) -> Result<(), Errno> {
    let start = at & !(PAGE_SIZE - 1);
    let len = (at + new.len()).next_multiple_of(PAGE_SIZE) - start;
    let host = |result: Result<(), i32>| result.map_err(|error| Errno(error as u16));
    host(space::protect(start, len, protection | PROT_WRITE))?;
    // Brings in copies of the pages before the exchange.
    user::touch(at, husk_machine::user::Access::Write)?;
    user::touch(at + new.len() - 1, husk_machine::user::Access::Write)?;
    let replaced = patch::replace(at, old, new);
    host(space::protect(start, len, protection))?;
    if replaced { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// What an invalid instruction at `rip` stands for.
pub(crate) enum Mended {
    /// The `syscall` of a patched site: the call is to be made, and returns to this address.
    Call { returns_to: usize },
    /// Code that was displaced: it goes on at this address.
    Continue(usize),
}

/// Looks up an invalid instruction that may be the middle of a patched site.
pub(crate) fn mend(space: &Space, rip: usize) -> Option<Mended> {
    let sites = space.sites.borrow();
    if let Some(State::Slot) = sites.states.get(&rip) {
        return Some(Mended::Call { returns_to: rip + 2 });
    }
    match sites.states.get(&rip.wrapping_sub(2)) {
        Some(State::Jump { after }) => Some(Mended::Continue(*after)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{AREA, INVALID, Sites, TRAMPOLINE, displaced, movable};

    #[test]
    fn lengths_of_movable_instructions() {
        for (code, len) in [
            (&[0x48, 0x3d, 0, 0xf0, 0xff, 0xff][..], Some(6)), // cmp rax, -4096
            (&[0x48, 0x85, 0xc0], Some(3)),                    // test rax, rax
            (&[0x89, 0xc2], Some(2)),                          // mov edx, eax
            (&[0x48, 0x8b, 0x44, 0x24, 0x08], Some(5)),        // mov rax, [rsp + 8]
            (&[0x48, 0x83, 0xf8, 0xff], Some(4)),              // cmp rax, -1
            (&[0x48, 0xc7, 0x04, 0x25, 1, 2, 3, 4, 5, 6, 7, 8], Some(12)), // mov [abs], imm
            (&[0x41, 0x5c], Some(2)),                          // pop r12
            (&[0x48, 0x8b, 0x05, 0, 0, 0, 0], None),           // mov rax, [rip]
            (&[0x77, 0x10], None),                             // ja
            (&[0xe8, 0, 0, 0, 0], None),                       // call
        ] {
            assert_eq!(movable(code), len, "{code:02x?}");
        }
        assert_eq!(displaced(&[0xc3, 0x66, 0x90, 0x90, 0, 0]), Some(3));
        assert_eq!(displaced(&[0xc3, 0x55, 0x48, 0x89, 0, 0]), None);
        assert_eq!(displaced(&[0x85, 0xc0, 0x77, 0x10, 0, 0]), None);
    }

    #[test]
    fn trampolines_put_the_invalid_byte_in_the_middle_and_never_overlap() {
        let mut sites =
            Sites { areas: vec![(0x7000_0000, vec![0; AREA / TRAMPOLINE / 64])], ..Sites::default() };
        let mut seen = std::collections::BTreeSet::new();
        for site in (0x6fff_1234_usize..0x7010_0000).step_by(0x5a7) {
            let Some(at) = sites.take_slot(Some(site)) else { continue };
            assert_eq!((at.wrapping_sub(site) >> 8) as u8, INVALID);
            assert!((0x7000_0000..0x7000_0000 + AREA).contains(&at) && seen.insert(at));
        }
        assert!(seen.len() > 300);
        while let Some(at) = sites.take_slot(None) {
            assert!(seen.insert(at));
        }
        assert_eq!(seen.len(), AREA / TRAMPOLINE);
    }
}
