//! `--strace`: calls printed from their typed arguments.

use alloc::string::String;
use core::any::TypeId;
use core::fmt::{self, Write};
use core::marker::PhantomData;

use lx_core::abi::{Errno, FromArg, TraceArg, UserCStr};
use lx_proc::CurrentTask;

/// Longest part of a string that is shown, as `strace -s`.
const MAX_STRING: usize = 64;

/// An argument as it came in its register.
pub struct TracedArg<'a, 'b, T> {
    task: &'a CurrentTask<'b>,
    raw: u64,
    typed: PhantomData<T>,
}

impl<'a, 'b, T: FromArg + TraceArg + 'static> TracedArg<'a, 'b, T> {
    /// An argument of type `T`.
    pub fn new(task: &'a CurrentTask<'b>, raw: u64) -> Self {
        Self { task, raw, typed: PhantomData }
    }

    /// Prints it; strings are read from guest memory.
    ///
    /// # Errors
    /// The formatter's.
    pub fn trace(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if TypeId::of::<T>() == TypeId::of::<UserCStr>() {
            return self.trace_string(f);
        }
        match T::from_arg(self.raw) {
            Ok(value) => value.trace(f),
            Err(_) => write!(f, "{:#x}", self.raw),
        }
    }

    fn trace_string(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let string = UserCStr::new(self.raw);
        match self.task.memory().read_string(string, 4096, Errno::ENAMETOOLONG) {
            Ok(bytes) => trace_bytes(&bytes, f),
            Err(_) if self.raw == 0 => f.write_str("NULL"),
            Err(_) => write!(f, "{:#x}", self.raw),
        }
    }
}

/// Prints bytes as a C string literal.
fn trace_bytes(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for &byte in bytes.iter().take(MAX_STRING) {
        match byte {
            b'\n' => f.write_str("\\n")?,
            b'\t' => f.write_str("\\t")?,
            b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
            0x20..=0x7e => f.write_char(char::from(byte))?,
            _ => write!(f, "\\{byte:o}")?,
        }
    }
    f.write_str(if bytes.len() > MAX_STRING { "\"..." } else { "\"" })
}

/// The result part of a line: ` = 3`, ` = -1 ENOENT`.
pub fn trace_result(line: &mut String, result: core::result::Result<u64, Errno>) {
    // Writing to a String cannot fail.
    let _ = match result {
        Ok(value) if value > 0xffff_ffff => write!(line, " = {value:#x}"),
        Ok(value) => write!(line, " = {value}"),
        Err(errno) => write!(line, " = -1 {errno}"),
    };
}
