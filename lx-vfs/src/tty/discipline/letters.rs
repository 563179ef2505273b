//! Letters as Linux's terminals know them: those of ISO 8859-1, whatever the encoding is.

pub(super) fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, 0xc0..=0xd6 | 0xd8..=0xde)
}

pub(super) fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || matches!(byte, 0xdf..=0xf6 | 0xf8..=0xff)
}

pub(super) fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_digit() || is_upper(byte) || is_lower(byte)
}

pub(super) fn to_upper(byte: u8) -> u8 {
    if is_lower(byte) { byte - 0x20 } else { byte }
}

pub(super) fn to_lower(byte: u8) -> u8 {
    if is_upper(byte) { byte + 0x20 } else { byte }
}
