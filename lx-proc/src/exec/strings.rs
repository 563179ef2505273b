//! Arguments and environment on their way into the kernel.

use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::limits::{ARG_MAX, MAX_ARG_STRLEN};
use lx_core::abi::{Errno, UserCStr, UserPtr};
use lx_core::rlimit::{Resource, Rlimits};
use lx_core::user_memory::UserMemory;

/// Arguments and environment never get more than this, whatever the stack limit: three quarters of
/// the default stack.
const MOST_BYTES: u64 = 6 << 20;

/// Where a list of strings comes from.
#[derive(Clone, Copy)]
pub enum Strings<'a> {
    /// An array of pointers in guest memory, ended by a null pointer. A null array is an empty one.
    Guest(UserMemory, UserPtr<u64>),
    /// Kernel memory.
    Kernel(&'a [Vec<u8>]),
}

/// A list of strings in kernel memory, each with its NUL.
#[derive(Clone, Default)]
pub(crate) struct StringList {
    bytes: Vec<u8>,
    /// Where each string ends, its NUL included.
    ends: Vec<usize>,
}

impl StringList {
    /// Number of strings.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All strings, one behind the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Offsets of the strings.
    pub(crate) fn starts(&self) -> impl Iterator<Item = usize> {
        core::iter::once(0).chain(self.ends.iter().copied()).take(self.ends.len())
    }

    /// The strings, without their NULs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.ends.iter().map(|end| end.saturating_sub(1));
        self.starts().zip(ends).filter_map(|(start, end)| self.bytes.get(start..end))
    }

    /// Adds a string.
    pub(crate) fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.bytes.push(0);
        self.ends.push(self.bytes.len());
    }

    /// The list with `first` in place of its first string (if it has one).
    pub(crate) fn with_first(&self, first: &[&[u8]]) -> Self {
        let mut list = Self::default();
        for string in first {
            list.push(string);
        }
        let skipped = self.ends.first().copied().unwrap_or(0);
        let moved = list.bytes.len();
        list.bytes.extend_from_slice(self.bytes.get(skipped..).unwrap_or_default());
        list.ends.extend(self.ends.iter().skip(1).map(|end| end.saturating_sub(skipped) + moved));
        list
    }
}

/// What is left of the room for arguments and environment.
pub(crate) struct Budget {
    left: u64,
}

impl Budget {
    /// A quarter of the stack limit, but enough for `ARG_MAX`.
    pub(crate) fn new(limits: &Rlimits) -> Self {
        let stack = limits.soft(Resource::Stack) / 4;
        Self { left: stack.clamp(ARG_MAX as u64, MOST_BYTES) }
    }

    /// Takes room for a string and the pointer to it.
    pub(crate) fn take(&mut self, len: usize) -> Result<()> {
        let needed = (len as u64).saturating_add(8);
        self.left = self.left.checked_sub(needed).ok_or(Errno::E2BIG)?;
        Ok(())
    }
}

impl Strings<'_> {
    /// Copies the list into the kernel.
    ///
    /// # Errors
    /// `EFAULT`, `E2BIG`.
    pub(crate) fn copy(&self, budget: &mut Budget) -> Result<StringList> {
        let mut list = StringList::default();
        match self {
            Self::Kernel(strings) => {
                for string in *strings {
                    budget.take(string.len().saturating_add(1))?;
                    list.push(string);
                }
            }
            Self::Guest(_, array) if array.is_null() => {}
            Self::Guest(memory, array) => {
                let mut at = *array;
                loop {
                    let pointer = memory.read(at)?;
                    if pointer == 0 {
                        break;
                    }
                    let string = memory.read_string(
                        UserCStr::new(pointer),
                        MAX_ARG_STRLEN - 1,
                        Errno::E2BIG,
                    )?;
                    budget.take(string.len().saturating_add(1))?;
                    list.push(&string);
                    at = at.offset(1)?;
                }
            }
        }
        Ok(list)
    }
}
