//! What a terminal shows of bytes that come in pieces.

use std::mem;

/// Takes letters out of UTF-8 that may be split anywhere.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// The beginning of a letter.
    begun: Vec<u8>,
}

impl Letters {
    /// The letters that are complete by now. What can never become one is shown as U+FFFD.
    pub(super) fn take(&mut self, bytes: &[u8]) -> String {
        let mut all = mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        for chunk in all.utf8_chunks() {
            text.push_str(chunk.valid());
            let ends_here = chunk.invalid().as_ptr_range().end == all.as_ptr_range().end;
            if ends_here && may_become_letter(chunk.invalid()) {
                self.begun = chunk.invalid().to_vec();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    /// There is no more: what is left of a letter.
    pub(super) fn finish(self) -> String {
        String::from_utf8_lossy(&self.begun).into_owned()
    }
}

/// Whether bytes are wrong only because others are missing.
fn may_become_letter(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_may_come_in_pieces() {
        let text = "aä€😀z";
        for at in 0..=text.len() {
            let mut letters = Letters::default();
            let (first, second) = text.as_bytes().split_at(at);
            let shown = letters.take(first) + &letters.take(second);
            assert_eq!((shown.as_str(), letters.finish().as_str()), (text, ""), "{at}");
        }
    }

    #[test]
    fn what_is_no_letter_is_shown_as_such() {
        let mut letters = Letters::default();
        assert_eq!(letters.take(b"a\xff\x80b\xe2\x82"), "a\u{fffd}\u{fffd}b");
        assert_eq!(letters.take(b"c\xc3"), "\u{fffd}c");
        assert_eq!(letters.finish(), "\u{fffd}");
    }
}
