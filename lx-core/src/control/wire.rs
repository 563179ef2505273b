//! How values of the control protocol are laid out in bytes.
//!
//! Integers are little endian, a list is its length in 32 bits and its items, a text is a list of
//! bytes, an enumeration is a tag byte and its fields, a structure is its fields.

use alloc::string::String;
use alloc::vec::Vec;

use super::DecodeError;

/// A value with a byte layout.
pub trait Wire: Sized {
    /// Fewest bytes that a value takes, so that a list's length can be checked before memory is
    /// reserved for it.
    const MIN_LEN: usize;

    /// Appends the value.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a value.
    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// Appends the items of a list, without its length.
    fn put_items(items: &[Self], out: &mut Vec<u8>) {
        for item in items {
            item.put(out);
        }
    }

    /// Reads `count` items; there are at least `count * MIN_LEN` bytes.
    fn take_items(count: usize, reader: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(Self::take(reader)?);
        }
        Ok(items)
    }
}

/// The bytes that are still to be read.
pub struct Reader<'a> {
    /// A tag that comes before `bytes`.
    tag: Option<u8>,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { tag: None, bytes }
    }

    /// Reads `tag` and then `bytes`.
    pub(super) fn with_tag(tag: u8, bytes: &'a [u8]) -> Self {
        Self { tag: Some(tag), bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// The tag of an enumeration.
    pub(super) fn tag(&mut self) -> Result<u8, DecodeError> {
        match self.tag.take() {
            Some(tag) => Ok(tag),
            None => u8::take(self),
        }
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }
}

macro_rules! wire_integer {
    ($($integer:ty),*) => {$(
        impl Wire for $integer {
            const MIN_LEN: usize = size_of::<$integer>();

            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array().map(Self::from_le_bytes)
            }
        }
    )*};
}
wire_integer!(u16, u32, u64, i32, i64);

impl Wire for u8 {
    const MIN_LEN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.array().map(Self::from_le_bytes)
    }

    fn put_items(items: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }

    fn take_items(count: usize, reader: &mut Reader<'_>) -> Result<Vec<Self>, DecodeError> {
        reader.bytes(count).map(<[u8]>::to_vec)
    }
}

impl Wire for bool {
    const MIN_LEN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::take(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::BadValue),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    const MIN_LEN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        // A list that is too long for its length field makes a message that is refused as a
        // whole, because it is above MAX_MESSAGE.
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        T::put_items(self, out);
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = usize::try_from(u32::take(reader)?).unwrap_or(usize::MAX);
        if count.saturating_mul(T::MIN_LEN) > reader.bytes.len() {
            return Err(DecodeError::Truncated);
        }
        T::take_items(count, reader)
    }
}

impl Wire for String {
    const MIN_LEN: usize = 4;

    fn put(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_utf8(Vec::take(reader)?).map_err(|_| DecodeError::BadValue)
    }
}

/// Lays a structure out as its fields in the given order.
macro_rules! wire_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Wire for $name {
            // At least one byte each.
            const MIN_LEN: usize = [$(stringify!($field)),*].len();

            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Wire::take(reader)?),* })
            }
        }
    };
}

/// Lays an enumeration out as a tag byte and the variant's fields.
macro_rules! wire_enum {
    ($name:ident { $($tag:literal => $variant:ident
        $(($($item:ident),*))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl Wire for $name {
            const MIN_LEN: usize = 1;

            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($item),*))? $({ $($field),* })? => {
                        out.push($tag);
                        $($($item.put(out);)*)?
                        $($($field.put(out);)*)?
                    })*
                }
            }

            fn take(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.tag()? {
                    $($tag => {
                        $($(let $item = Wire::take(reader)?;)*)?
                        $($(let $field = Wire::take(reader)?;)*)?
                        Ok(Self::$variant $(($($item),*))? $({ $($field),* })?)
                    })*
                    tag => Err(DecodeError::UnknownTag(tag)),
                }
            }
        }
    };
}

pub(super) use {wire_enum, wire_struct};
