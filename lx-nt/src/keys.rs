//! What keys of Windows' console are as bytes of a Linux terminal, `xterm`'s.
//!
//! A console that knows `ENABLE_VIRTUAL_TERMINAL_INPUT` makes sequences of keys by itself: then each
//! byte comes as a letter without a key. Else the keys come as they are, and are translated here.

use crate::KeyEvent;

/// Other keys that are held.
mod held {
    pub(super) const RIGHT_ALT: u32 = 0x1;
    pub(super) const LEFT_ALT: u32 = 0x2;
    pub(super) const RIGHT_CTRL: u32 = 0x4;
    pub(super) const LEFT_CTRL: u32 = 0x8;
    pub(super) const SHIFT: u32 = 0x10;
}

/// Keys with a meaning of their own.
mod key {
    pub(super) const BACK: u16 = 0x08;
    pub(super) const TAB: u16 = 0x09;
    pub(super) const ALT: u16 = 0x12;
    pub(super) const ESCAPE: u16 = 0x1b;
    pub(super) const SPACE: u16 = 0x20;
    pub(super) const PAGE_UP: u16 = 0x21;
    pub(super) const PAGE_DOWN: u16 = 0x22;
    pub(super) const END: u16 = 0x23;
    pub(super) const HOME: u16 = 0x24;
    pub(super) const LEFT: u16 = 0x25;
    pub(super) const UP: u16 = 0x26;
    pub(super) const RIGHT: u16 = 0x27;
    pub(super) const DOWN: u16 = 0x28;
    pub(super) const INSERT: u16 = 0x2d;
    pub(super) const DELETE: u16 = 0x2e;
    pub(super) const TWO: u16 = 0x32;
    pub(super) const F1: u16 = 0x70;
    pub(super) const F12: u16 = 0x7b;
}

const ESCAPE: u8 = 0x1b;
const RUBOUT: u8 = 0x7f;

/// Translates keys one after the other.
#[derive(Debug, Default)]
pub struct Keys {
    /// The first half of a letter beyond 16 bits.
    high: u16,
}

impl Keys {
    /// Nothing was typed yet.
    pub const fn new() -> Self {
        Self { high: 0 }
    }

    /// Appends the bytes of an event.
    pub fn take(&mut self, event: &KeyEvent, out: &mut impl Extend<u8>) {
        // A letter that was typed by its number comes when Alt goes up.
        let composed = event.key == key::ALT && event.letter != 0;
        if event.down == 0 && !composed {
            return;
        }
        for _ in 0..event.repeat.max(1) {
            self.once(event, out);
        }
    }

    fn once(&mut self, event: &KeyEvent, out: &mut impl Extend<u8>) {
        let held = |mask| event.state & mask != 0;
        let (shift, alt) = (held(held::SHIFT), held(held::LEFT_ALT | held::RIGHT_ALT));
        let ctrl = held(held::LEFT_CTRL | held::RIGHT_CTRL);
        if event.key == 0 || event.key == key::ALT && event.letter != 0 {
            return self.letter(event.letter, out);
        }
        let plain: &[u8] = match event.key {
            key::BACK if ctrl => &[key::BACK as u8],
            key::BACK => &[RUBOUT],
            // Wine tells no letter of it.
            key::ESCAPE => &[ESCAPE],
            key::TAB if shift => return sequence(b'Z', 0, modifier(false, alt, ctrl), out),
            key::SPACE | key::TWO if ctrl && !alt => &[0],
            _ if event.letter == 0 => return special(event.key, modifier(shift, alt, ctrl), out),
            _ => {
                // The right one with Ctrl makes letters, as @ on some keyboards.
                if alt && !ctrl {
                    out.extend([ESCAPE]);
                }
                return self.letter(event.letter, out);
            }
        };
        if alt {
            out.extend([ESCAPE]);
        }
        out.extend(plain.iter().copied());
    }

    /// A letter, or half of one.
    fn letter(&mut self, unit: u16, out: &mut impl Extend<u8>) {
        let high = core::mem::take(&mut self.high);
        if (0xd800..0xdc00).contains(&unit) {
            self.high = unit;
            return;
        }
        let units = [high, unit];
        let units = units.get(usize::from(high == 0)..).unwrap_or_default();
        for letter in char::decode_utf16(units.iter().copied()) {
            let mut utf8 = [0; 4];
            let letter = letter.unwrap_or(char::REPLACEMENT_CHARACTER);
            out.extend(letter.encode_utf8(&mut utf8).bytes());
        }
    }
}

/// The parameter for keys that are held; 1 for none.
fn modifier(shift: bool, alt: bool, ctrl: bool) -> u8 {
    1 + u8::from(shift) + 2 * u8::from(alt) + 4 * u8::from(ctrl)
}

/// A key that is no letter; nothing for those that only modify others.
fn special(number: u16, modifier: u8, out: &mut impl Extend<u8>) {
    /// Numbers of F5 to F12, as terminals once had them.
    const FUNCTIONS: [u8; 8] = [15, 17, 18, 19, 20, 21, 23, 24];
    match number {
        key::UP => sequence(b'A', 0, modifier, out),
        key::DOWN => sequence(b'B', 0, modifier, out),
        key::RIGHT => sequence(b'C', 0, modifier, out),
        key::LEFT => sequence(b'D', 0, modifier, out),
        key::HOME => sequence(b'H', 0, modifier, out),
        key::END => sequence(b'F', 0, modifier, out),
        key::INSERT => sequence(b'~', 2, modifier, out),
        key::DELETE => sequence(b'~', 3, modifier, out),
        key::PAGE_UP => sequence(b'~', 5, modifier, out),
        key::PAGE_DOWN => sequence(b'~', 6, modifier, out),
        key::F1..=key::F12 => {
            let index = usize::from(number - key::F1);
            match FUNCTIONS.get(index.wrapping_sub(4)) {
                Some(&function) => sequence(b'~', function, modifier, out),
                // F1 to F4, which have sequences of three letters unless something is held.
                None if modifier == 1 => out.extend([ESCAPE, b'O', b'P' + index as u8]),
                None => sequence(b'P' + index as u8, 0, modifier, out),
            }
        }
        _ => {}
    }
}

/// `ESC [ number ; modifier last`, as far as there is something to say.
fn sequence(last: u8, number: u8, modifier: u8, out: &mut impl Extend<u8>) {
    out.extend([ESCAPE, b'[']);
    match (number, modifier) {
        (0, 1) => {}
        (0, _) => out.extend([b'1', b';', b'0' + modifier]),
        (number, modifier) => {
            if number >= 10 {
                out.extend([b'0' + number / 10]);
            }
            out.extend([b'0' + number % 10]);
            if modifier != 1 {
                out.extend([b';', b'0' + modifier]);
            }
        }
    }
    out.extend([last]);
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use crate::KeyEvent;
    use std::string::String;
    use std::vec::Vec;

    const ALT: u32 = 2;
    const CTRL: u32 = 8;
    const SHIFT: u32 = 16;

    fn typed(events: &[(u16, u16, u32)]) -> String {
        let mut keys = Keys::new();
        let mut out = Vec::new();
        for &(key, letter, state) in events {
            let mut event = KeyEvent { key, letter, repeat: 1, down: 1, state };
            keys.take(&event, &mut out);
            event.down = 0;
            keys.take(&event, &mut out);
        }
        String::from_utf8(out).unwrap().replace('\u{1b}', "E")
    }

    #[test]
    fn letters_are_utf8() {
        let letters: Vec<_> = "aä€😀".encode_utf16().map(|unit| (0x41, unit, 0)).collect();
        assert_eq!(typed(&letters), "aä€😀");
        assert_eq!(typed(&[(0x41, 0xd83d, 0), (0x41, u16::from(b'x'), 0)]), "\u{fffd}x");
    }

    #[test]
    fn letters_with_control_and_alt() {
        assert_eq!(typed(&[(0x41, 1, CTRL)]), "\u{1}");
        assert_eq!(typed(&[(0x20, 0x20, CTRL), (0x32, 0, CTRL)]), "\0\0");
        assert_eq!(typed(&[(0x58, u16::from(b'x'), ALT)]), "Ex");
        // The right Alt key of a German keyboard.
        assert_eq!(typed(&[(0x51, u16::from(b'@'), 1 | CTRL)]), "@");
        assert_eq!(typed(&[(8, 8, 0), (8, 0x7f, CTRL), (8, 8, ALT)]), "\u{7f}\u{8}E\u{7f}");
        assert_eq!(typed(&[(0x1b, 0x1b, 0), (0x1b, 0, 0), (0x1b, 0x1b, ALT)]), "EEEE");
        assert_eq!(typed(&[(9, 9, 0), (9, 9, SHIFT), (0x0d, 0x0d, 0)]), "\tE[Z\r");
    }

    #[test]
    fn other_keys_are_sequences() {
        assert_eq!(typed(&[(0x26, 0, 0), (0x28, 0, 0), (0x27, 0, 0)]), "E[AE[BE[C");
        assert_eq!(typed(&[(0x25, 0, CTRL), (0x24, 0, SHIFT), (0x23, 0, 0)]), "E[1;5DE[1;2HE[F");
        assert_eq!(typed(&[(0x2d, 0, 0), (0x2e, 0, 0), (0x21, 0, SHIFT)]), "E[2~E[3~E[5;2~");
        assert_eq!(typed(&[(0x70, 0, 0), (0x73, 0, CTRL), (0x74, 0, 0)]), "EOPE[1;5SE[15~");
        assert_eq!(typed(&[(0x7b, 0, ALT | SHIFT)]), "E[24;4~");
        // Shift, Control, Alt and Caps Lock by themselves.
        let held = [(0x10, 0, SHIFT), (0x11, 0, CTRL), (0x12, 0, ALT), (0x14, 0, 0)];
        assert_eq!(typed(&held), "");
    }

    #[test]
    fn sequences_of_the_console_pass() {
        let events: Vec<_> = "\u{1b}[A".encode_utf16().map(|unit| (0, unit, 0)).collect();
        assert_eq!(typed(&events), "E[A");
        let mut out = Vec::new();
        let composed = KeyEvent { key: 0x12, letter: 0xe4, repeat: 1, down: 0, state: 0 };
        Keys::new().take(&composed, &mut out);
        assert_eq!(out, "ä".as_bytes());
    }
}
