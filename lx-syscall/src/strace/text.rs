//! Strings, numbers and addresses as strace writes them.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use lx_core::abi::TraceArg;
use lx_core::abi::arg::Traced;

/// Longest part of a string that is shown, as `strace -s`.
pub(super) const MAX_STRING: usize = 32;

/// A C string literal; what is beyond `max` is three dots.
pub(super) fn quoted(bytes: &[u8], max: usize) -> String {
    let mut text = String::from("\"");
    let shown = bytes.get(..max).unwrap_or(bytes);
    for (at, &byte) in shown.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'\n' => text.write_str("\\n"),
            b'\t' => text.write_str("\\t"),
            b'\r' => text.write_str("\\r"),
            0x0b => text.write_str("\\v"),
            0x0c => text.write_str("\\f"),
            b'"' | b'\\' => write!(text, "\\{}", char::from(byte)),
            0x20..=0x7e => text.write_char(char::from(byte)),
            // A digit behind it would belong to it.
            _ if shown.get(at + 1).is_some_and(u8::is_ascii_digit) => write!(text, "\\{byte:03o}"),
            _ => write!(text, "\\{byte:o}"),
        };
    }
    text.push_str(if bytes.len() > max { "\"..." } else { "\"" });
    text
}

/// Bytes that are no text.
pub(super) fn quoted_hex(bytes: &[u8], max: usize) -> String {
    let mut text = String::from("\"");
    for byte in bytes.iter().take(max) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\\x{byte:02x}");
    }
    text.push_str(if bytes.len() > max { "\"..." } else { "\"" });
    text
}

/// A pointer that is not followed.
pub(super) fn address(address: u64) -> String {
    if address == 0 { String::from("NULL") } else { format!("{address:#x}") }
}

/// A number as C's `%#x`.
pub(super) fn hex(number: u64) -> String {
    if number == 0 { String::from("0") } else { format!("{number:#x}") }
}

/// A limit of `getrlimit(2)`.
pub(super) fn limit(value: u64) -> String {
    match value {
        u64::MAX => String::from("RLIM64_INFINITY"),
        _ if value > 1024 && value.is_multiple_of(1024) => format!("{}*1024", value / 1024),
        _ => format!("{value}"),
    }
}

pub(super) fn traced<T: TraceArg>(value: &T) -> String {
    format!("{}", Traced(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_literals() {
        assert_eq!(quoted(b"a\"b\\\n\x7f", MAX_STRING), "\"a\\\"b\\\\\\n\\177\"");
        assert_eq!(quoted(b"\x011\0x\0", MAX_STRING), "\"\\0011\\0x\\0\"");
        assert_eq!(quoted(&[b'x'; 33], 32), format!("\"{}\"...", "x".repeat(32)));
        assert_eq!(quoted_hex(&[1, 0xfe], 8), "\"\\x01\\xfe\"");
    }

    #[test]
    fn numbers_of_all_kinds() {
        assert_eq!(address(0), "NULL");
        assert_eq!(hex(0), "0");
        assert_eq!(limit(8 << 20), "8192*1024");
        assert_eq!(limit(1024), "1024");
    }
}
