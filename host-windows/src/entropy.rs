//! Random numbers: ChaCha20 with a key from the host, in shared memory, so that a forked process
//! does not repeat what its parent got.

use lx_core::host::HostEntropy;
use lx_core::sync::Mutex;

use crate::{WindowsHost, boot};

/// Lock level of the generator.
const LEVEL: u8 = 60;

/// The words that every state begins with.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

struct Generator {
    key: [u32; 8],
    counter: u64,
}

static GENERATOR: Mutex<Generator, LEVEL> = Mutex::new(Generator { key: [0; 8], counter: 0 });

/// Takes the key from the host, once, at boot.
pub(crate) fn seed() {
    let mut seed = [0; 32];
    boot::random_seed(&mut seed);
    GENERATOR.lock().key = words(&seed);
}

fn words(bytes: &[u8; 32]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

/// Quarter rounds of a double round: columns, then diagonals.
const QUARTERS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

#[expect(clippy::indexing_slicing, reason = "all indices are constants below 16")]
fn block(key: &[u32; 8], counter: u64, nonce: u64) -> [u8; 64] {
    let mut start = [0u32; 16];
    let tail = [counter as u32, (counter >> 32) as u32, nonce as u32, (nonce >> 32) as u32];
    let parts = CONSTANTS.iter().chain(key).chain(&tail);
    start.iter_mut().zip(parts).for_each(|(word, &part)| *word = part);
    let mut state = start;
    for _ in 0..10 {
        for [a, b, c, d] in QUARTERS {
            for (left, right) in [(16, 12), (8, 7)] {
                state[a] = state[a].wrapping_add(state[b]);
                state[d] = (state[d] ^ state[a]).rotate_left(left);
                state[c] = state[c].wrapping_add(state[d]);
                state[b] = (state[b] ^ state[c]).rotate_left(right);
            }
        }
    }
    let mut out = [0; 64];
    for ((bytes, word), first) in out.as_chunks_mut::<4>().0.iter_mut().zip(state).zip(start) {
        *bytes = word.wrapping_add(first).to_le_bytes();
    }
    out
}

impl HostEntropy for WindowsHost {
    fn fill(&self, bytes: &mut [u8]) {
        // A key of its own for each call; the first half of a block becomes the next key, so that
        // nobody who sees the state later can tell what was handed out before.
        let mut generator = GENERATOR.lock();
        let counter = generator.counter;
        generator.counter = counter.wrapping_add(1);
        let fresh = block(&generator.key, counter, 0);
        let (next, mine) = fresh.split_at(32);
        generator.key = next.try_into().map_or([0; 8], words);
        drop(generator);
        let key = mine.try_into().map_or([0; 8], words);
        for (part, index) in bytes.chunks_mut(64).zip(0..) {
            let random = block(&key, index, 1);
            part.copy_from_slice(random.get(..part.len()).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{block, words};

    #[test]
    fn the_rfc_test_vector() {
        let mut key = [0u8; 32];
        for (byte, value) in key.iter_mut().zip(0..) {
            *byte = value;
        }
        // RFC 8439, 2.3.2: counter 1, nonce 00:00:00:09:00:00:00:4a:00:00:00:00.
        let counter = 1 | 0x0900_0000 << 32;
        let out = block(&words(&key), counter, 0x4a00_0000);
        assert_eq!(out[..8], [0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15]);
    }
}
