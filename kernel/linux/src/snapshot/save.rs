//! What of a parked guest is sent: the boot block, the arena's pages in use, the private memory of each process.
//!
//! Nothing here may hold a borrow while it sends: the cells that it would mark as borrowed are part of what is sent. Zero
//! pages are left out; a restored guest finds zeros where nothing was sent.

use super::answer;
use crate::task::{park, sched};
use husk_abi::control::{Kind, MESSAGE_MAX, PAYLOAD_MAX, Record};
use husk_abi::layout::PAGE_SIZE;
use husk_machine::cell::KCell;
use husk_machine::global::Global;
use husk_machine::{control, cpu, frames, start};

/// Pages looked at together.
const BLOCK: usize = PAYLOAD_MAX / PAGE_SIZE;

/// Bytes of memory sent; `None` when the other end is gone.
static SENT: Global<KCell<Option<u64>>> = Global::new(|| KCell::new(Some(0)));

fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_le_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// Whether two pages hold the same.
pub(crate) fn is_equal(page: &[u8], expected: Option<&[u8]>) -> bool {
    match expected {
        Some(expected) => page == expected,
        None => is_zero(page),
    }
}

/// Sends one message of memory: `len` bytes of the payload from `from` on, which belong at `place`.
fn send(buffer: &mut [u8; MESSAGE_MAX], kind: Kind, place: u64, from: usize, len: usize) -> bool {
    let head = Record { kind, a: place }.to_bytes();
    // The head goes right before the payload, over bytes that were looked at already.
    buffer[from..from + Record::LEN].copy_from_slice(&head);
    if !control::send(&buffer[from..from + Record::LEN + len]) {
        SENT.set(None);
        return false;
    }
    SENT.set(SENT.get().map(|sent| sent + len as u64));
    true
}

/// Sends what of a block of pages is not as expected: `fill` copies page `n` and says whether it must be sent. False: stop.
pub(crate) fn send_block(
    kind: Kind,
    place: u64,
    pages: usize,
    mut fill: impl FnMut(usize, &mut [u8]) -> bool,
) -> bool {
    control::with_buffer(|buffer| {
        let (mut first, mut end) = (None, 0);
        for page in 0..pages.min(BLOCK) {
            let at = Record::LEN + page * PAGE_SIZE;
            if fill(page, &mut buffer[at..at + PAGE_SIZE]) {
                first.get_or_insert(page);
                end = page + 1;
            }
        }
        let Some(first) = first else { return true };
        let (from, len) = (first * PAGE_SIZE, (end - first) * PAGE_SIZE);
        send(buffer, kind, place + from as u64, from, len)
    })
}

/// Sends everything.
pub(super) fn send_all() {
    SENT.set(Some(0));
    send_boot();
    send_arena();
    if cpu::is_process_tender() {
        for index in sched::first_cpus() {
            if SENT.get().is_none() {
                return;
            }
            answer(Kind::Process, index as u64);
            if index == cpu::index() { take_turn() } else { park::give_turn(index) }
        }
    }
    if let Some(sent) = SENT.get() {
        answer(Kind::End, sent);
    }
}

fn send_boot() {
    for (index, part) in start::boot_bytes().chunks(PAYLOAD_MAX).enumerate() {
        control::with_buffer(|buffer| {
            let head = Record { kind: Kind::Boot, a: (index * PAYLOAD_MAX) as u64 };
            buffer[..Record::LEN].copy_from_slice(&head.to_bytes());
            buffer[Record::LEN..Record::LEN + part.len()].copy_from_slice(part);
            control::send(&buffer[..Record::LEN + part.len()]);
        });
    }
}

fn send_arena() {
    let mut page = 0;
    while let Some((start, count)) = frames::next_in_use(page) {
        page = start + count;
        for block in (start..page).step_by(BLOCK) {
            let fill = |index: usize, out: &mut [u8]| {
                frames::copy(block + index, out);
                !is_zero(out)
            };
            if !send_block(Kind::Arena, (block * PAGE_SIZE) as u64, page - block, fill) {
                return;
            }
        }
    }
}

/// Sends the private memory of this host process. Called on its vCPU, by turns.
pub(crate) fn take_turn() {
    for space in sched::spaces_here() {
        if !space.save() {
            return;
        }
    }
}
