//! System calls as values.

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A number, or a pointer that leads nowhere.
    Int(i64),
    /// A pointer to these bytes and a NUL.
    Str(String),
    /// A pointer to these bytes.
    Bytes(Vec<u8>),
    /// A pointer to so many bytes that the call fills.
    Out(Shape, usize),
}

/// What follows the bytes of an argument, for calls that take more than it has.
pub const PADDING: [u8; 64] = [0; 64];

/// What a call stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As many bytes as the call returned.
    Bytes,
    /// Attribute names, each with a NUL, in any order; as many bytes as the call returned.
    Names,
    /// `struct stat`.
    Stat,
    /// `struct statx`.
    Statx,
    /// Records of getdents64, in any order.
    Dirents,
}

/// A system call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its name, for messages.
    pub name: &'static str,
    /// Its number.
    pub number: i64,
    /// Its arguments.
    pub args: Vec<Arg>,
}

impl Call {
    /// A call.
    pub fn new(name: &'static str, number: i64, args: Vec<Arg>) -> Self {
        Self { name, number, args }
    }

    /// What it stores, if it does.
    pub fn output(&self) -> Option<(Shape, usize)> {
        self.args.iter().find_map(|arg| match arg {
            Arg::Out(shape, len) => Some((*shape, *len)),
            _ => None,
        })
    }
}

/// What a call gave: its return value and the bytes at its [`Arg::Out`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// Return value; a negative one is an error number.
    pub value: i64,
    /// The whole output area.
    pub stored: Vec<u8>,
}
