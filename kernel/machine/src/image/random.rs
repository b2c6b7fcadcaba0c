//! Random bytes: ChaCha20 keyed by the tender's seed, stirred with the processor's generator where there is one.

use crate::cell::KCell;

struct Generator {
    state: [u32; 16],
    block: [u8; 64],
    used: usize,
}

static GENERATOR: KCell<Option<Generator>> = KCell::new(None);

fn quarter(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(16);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(12);
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(8);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(7);
}

/// One block of ChaCha20 (RFC 8439, section 2.3), with a 64-bit counter.
fn block(state: &mut [u32; 16]) -> [u8; 64] {
    let mut s = *state;
    for _ in 0..10 {
        quarter(&mut s, 0, 4, 8, 12);
        quarter(&mut s, 1, 5, 9, 13);
        quarter(&mut s, 2, 6, 10, 14);
        quarter(&mut s, 3, 7, 11, 15);
        quarter(&mut s, 0, 5, 10, 15);
        quarter(&mut s, 1, 6, 11, 12);
        quarter(&mut s, 2, 7, 8, 13);
        quarter(&mut s, 3, 4, 9, 14);
    }
    let mut out = [0; 64];
    for (index, word) in s.iter().enumerate() {
        out[index * 4..index * 4 + 4].copy_from_slice(&word.wrapping_add(state[index]).to_le_bytes());
    }
    let (low, carry) = state[12].overflowing_add(1);
    state[12] = low;
    state[13] = state[13].wrapping_add(u32::from(carry));
    out
}

impl Generator {
    fn new(seed: &[u8; 32]) -> Self {
        let mut state =
            [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for (index, word) in seed.chunks_exact(4).enumerate() {
            state[4 + index] = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        }
        let tsc = super::clock::tsc();
        state[14] = tsc as u32;
        state[15] = (tsc >> 32) as u32;
        Self { state, block: [0; 64], used: 64 }
    }

    fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == 64 {
                self.block = block(&mut self.state);
                self.used = 0;
            }
            *byte = core::mem::take(&mut self.block[self.used]);
            self.used += 1;
        }
    }
}

/// Fills `out` with random bytes.
pub fn fill(out: &mut [u8]) {
    let mut generator = GENERATOR.borrow_mut();
    generator.get_or_insert_with(|| Generator::new(&super::start::boot().seed)).fill(out);
}

/// Mixes a fresh seed in: the guest is a copy, and copies must not draw the same numbers.
pub(super) fn stir(seed: &[u8; 32]) {
    let mut generator = GENERATOR.borrow_mut();
    let fresh = Generator::new(seed);
    *generator = match generator.take() {
        None => Some(fresh),
        Some(old) => {
            let mut state = fresh.state;
            state.iter_mut().zip(old.state).skip(4).take(8).for_each(|(word, old)| *word ^= old);
            Some(Generator { state, block: [0; 64], used: 64 })
        }
    };
}
