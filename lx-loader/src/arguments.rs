//! The command line.

use crate::api;
use crate::report::fail;

/// What the process is to become.
pub(crate) enum Role {
    /// `init`: the pipes from and to `lx` are standard input and output.
    Init,
    /// `guest ENTRY BLOCK`: addresses, decimal.
    Guest { entry: u64, block: u64 },
}

/// Reads the command line; our own name needs no quotes that could hold other quotes.
pub(crate) fn role() -> Role {
    // SAFETY: the system's copy ends with a NUL and stays.
    let text = unsafe {
        let start = api::GetCommandLineW();
        let mut len = 0;
        while start.add(len).read() != 0 {
            len += 1;
        }
        core::slice::from_raw_parts(start, len)
    };
    let mut words = Words { rest: text };
    let _program = words.next();
    let kind = words.next().unwrap_or_default();
    let first = number(words.next());
    let second = number(words.next());
    match kind.first().map(|&letter| letter as u8) {
        Some(b'i') => Role::Init,
        Some(b'g') => Role::Guest { entry: first, block: second },
        _ => fail("this program is started by lx"),
    }
}

/// What a variable says, a number for the image's tests; 0 if there is no such variable. Its name
/// is shorter than 24 letters.
pub(crate) fn test_switch(variable: &[u8]) -> u32 {
    let mut name = [0u16; 24];
    for (slot, &byte) in name.iter_mut().zip(variable) {
        *slot = u16::from(byte);
    }
    let mut value = [0u16; 16];
    // SAFETY: the name ends with a NUL, and the call writes the value.
    let len = unsafe {
        api::GetEnvironmentVariableW(name.as_ptr(), value.as_mut_ptr(), value.len() as u32)
    };
    number(value.get(..len as usize)) as u32
}

struct Words<'a> {
    rest: &'a [u16],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u16];

    fn next(&mut self) -> Option<&'a [u16]> {
        const QUOTE: u16 = b'"' as u16;
        const SPACE: u16 = b' ' as u16;
        let start = self.rest.iter().position(|&letter| letter != SPACE)?;
        let rest = self.rest.get(start..)?;
        let (word, rest) = match rest.split_first() {
            Some((&QUOTE, inner)) => {
                let end = inner.iter().position(|&letter| letter == QUOTE).unwrap_or(inner.len());
                (inner.get(..end)?, inner.get(end + 1..).unwrap_or_default())
            }
            _ => {
                let end = rest.iter().position(|&letter| letter == SPACE).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        self.rest = rest;
        Some(word)
    }
}

fn number(word: Option<&[u16]>) -> u64 {
    let digits = word.unwrap_or_default();
    digits.iter().fold(0u64, |value, &digit| {
        value.wrapping_mul(10).wrapping_add(u64::from(digit).wrapping_sub(u64::from(b'0')))
    })
}
