//! Packets: the header, and how a message gets in and out.

use alloc::vec::Vec;
use core::fmt;

use super::wire::{Reader, Wire};
use super::{Event, HEADER_LEN, MAX_MESSAGE, Request, VERSION};

const MAGIC: u16 = u16::from_le_bytes(*b"lx");
const FLAG_LARGE: u8 = 1;

/// A message that can be sent: [`Request`] or [`Event`].
pub trait Message: sealed::Sealed {}
impl Message for Request {}
impl Message for Event {}

mod sealed {
    /// Keeps the wire format private to this module.
    #[allow(unreachable_pub, reason = "the supertrait of a public sealed trait")]
    pub trait Sealed: super::Wire {}
    impl Sealed for super::Request {}
    impl Sealed for super::Event {}
}

/// Where the message of a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope<'a> {
    /// Here: to be decoded as it is.
    Inline(&'a [u8]),
    /// In the file that is the packet's first descriptor, from offset 0.
    Large {
        /// Length of the message, at most [`MAX_MESSAGE`].
        len: usize,
    },
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end too early, or a length points past their end.
    Truncated,
    /// Bytes are left over.
    TrailingBytes,
    /// The header does not begin with the letters `lx`, or reserved fields are set.
    BadHeader,
    /// The other side speaks this version.
    Version(u16),
    /// Unknown kind of message or value of an enumeration.
    UnknownTag(u8),
    /// A boolean is neither 0 nor 1, or a text is not UTF-8.
    BadValue,
    /// The message is longer than [`MAX_MESSAGE`].
    TooLong,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("control message is truncated"),
            Self::TrailingBytes => f.write_str("control message has bytes left over"),
            Self::BadHeader => f.write_str("control message has a bad header"),
            Self::Version(version) => {
                write!(f, "control protocol version {version}, expected {VERSION}")
            }
            Self::UnknownTag(tag) => write!(f, "control message has the unknown tag {tag}"),
            Self::BadValue => f.write_str("control message has an invalid value"),
            Self::TooLong => f.write_str("control message is too long"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Replaces the contents of `out` by the encoded message.
///
/// If that is longer than [`MAX_INLINE`](super::MAX_INLINE), it has to go into a file, and [`large_packet`] into the
/// packet; longer than [`MAX_MESSAGE`], it cannot be sent.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) {
    let mut payload = Vec::new();
    message.put(&mut payload);
    // An enumeration starts with its tag, which stands in the header here.
    let (tag, body) = payload.split_first().map_or((0, &[][..]), |(tag, body)| (*tag, body));
    out.clear();
    out.extend_from_slice(&header(tag, 0, body.len()));
    out.extend_from_slice(body);
}

/// The packet that announces a message of `len` bytes, header included, in a file.
pub fn large_packet(len: usize) -> [u8; HEADER_LEN] {
    header(0, FLAG_LARGE, len)
}

/// Tells where the message of a received packet is.
///
/// # Errors
///
/// The header is malformed, of another version, or announces more than [`MAX_MESSAGE`] bytes.
pub fn open(packet: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let (header, payload) = Header::split(packet)?;
    match header.flags {
        0 => Ok(Envelope::Inline(packet)),
        FLAG_LARGE if header.tag != 0 => Err(DecodeError::BadHeader),
        FLAG_LARGE if !payload.is_empty() => Err(DecodeError::TrailingBytes),
        FLAG_LARGE => Ok(Envelope::Large { len: header.len }),
        _ => Err(DecodeError::BadHeader),
    }
}

/// Decodes one message, header included.
///
/// # Errors
///
/// The bytes are anything but exactly one message of this type and version.
pub fn decode<M: Message>(message: &[u8]) -> Result<M, DecodeError> {
    let (header, payload) = Header::split(message)?;
    if header.flags != 0 {
        return Err(DecodeError::BadHeader);
    }
    if payload.len() < header.len {
        return Err(DecodeError::Truncated);
    }
    if payload.len() > header.len {
        return Err(DecodeError::TrailingBytes);
    }
    let mut reader = Reader::with_tag(header.tag, payload);
    let decoded = M::take(&mut reader)?;
    if reader.is_empty() { Ok(decoded) } else { Err(DecodeError::TrailingBytes) }
}

struct Header {
    tag: u8,
    flags: u8,
    len: usize,
}

impl Header {
    fn split(bytes: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLong);
        }
        let mut reader = Reader::new(bytes);
        if u16::take(&mut reader)? != MAGIC {
            return Err(DecodeError::BadHeader);
        }
        let version = u16::take(&mut reader)?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let (tag, flags) = (u8::take(&mut reader)?, u8::take(&mut reader)?);
        if u16::take(&mut reader)? != 0 {
            return Err(DecodeError::BadHeader);
        }
        let len = usize::try_from(u32::take(&mut reader)?).unwrap_or(usize::MAX);
        if len > MAX_MESSAGE {
            return Err(DecodeError::TooLong);
        }
        Ok((Self { tag, flags, len }, reader.rest()))
    }
}

fn header(tag: u8, flags: u8, len: usize) -> [u8; HEADER_LEN] {
    let [m0, m1] = MAGIC.to_le_bytes();
    let [v0, v1] = VERSION.to_le_bytes();
    // A length that does not fit is refused by every receiver, as it is above MAX_MESSAGE.
    let [l0, l1, l2, l3] = u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    [m0, m1, v0, v1, tag, flags, 0, 0, l0, l1, l2, l3]
}
