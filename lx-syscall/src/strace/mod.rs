//! `--strace`: calls in strace's own format.
//!
//! Most arguments are printed from their types. Those whose meaning depends on other arguments, or
//! that point to something, have a [`Shape`]. What a call reads is printed before it, what it writes
//! when it has ended.

mod shape;
mod text;
mod values;

use alloc::string::String;
use alloc::vec::Vec;
use core::any::TypeId;
use core::fmt::{self, Display, Write};
use core::marker::PhantomData;

use lx_core::SysError;
use lx_core::abi::fcntl::{FcntlCmd, FdFlags, OpenFlags};
use lx_core::abi::{Errno, FromArg, Sysno, TraceArg, UserCStr};
use lx_proc::CurrentTask;

use crate::table::{Entry, TABLE};
use shape::Shape;

/// The column of the results.
const RESULT_COLUMN: usize = 40;
/// Longest path.
const MAX_PATH: usize = 4096;

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
        match self.task.memory().read_string(string, MAX_PATH, Errno::ENAMETOOLONG) {
            Ok(bytes) => text::quoted(&bytes, MAX_PATH).fmt(f),
            Err(_) => text::address(self.raw).fmt(f),
        }
    }
}

/// A call that is being made: its number, its arguments, and what was printed of them.
pub struct Line<'a> {
    name: &'static str,
    args: &'a [u64; 6],
    /// The arguments as far as they are known; those that the call writes are not.
    parts: Vec<Option<String>>,
    tid: i32,
}

/// An argument that is printed by its type.
struct Typed<'a, 'b>(&'a CurrentTask<'b>, &'a Entry, usize, &'a [u64; 6]);

impl Display for Typed<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.1.trace)(self.0, self.2, self.3, f)
    }
}

impl<'a> Line<'a> {
    /// Before the call.
    pub fn begin(current: &CurrentTask<'_>, number: u64, args: &'a [u64; 6]) -> Self {
        let entry =
            usize::try_from(number).ok().and_then(|nr| TABLE.get(nr)).and_then(Option::as_ref);
        let mut line = Self { name: "", args, parts: Vec::new(), tid: current.task().tid() };
        let Some(entry) = entry else {
            line.parts.extend(args.iter().map(|arg| Some(alloc::format!("{arg:#x}"))));
            return line;
        };
        line.name = entry.name;
        for index in 0..(entry.pointers)().len() {
            let shape = shape::of(entry.name, index, args);
            line.parts.push(match shape {
                Shape::Absent => break,
                Shape::Typed => Some(alloc::format!("{}", Typed(current, entry, index, args))),
                shape if shape.is_written() => None,
                shape => Some(values::show(current, &shape, args, index, 0)),
            });
        }
        line
    }

    /// Whether the call does not return.
    pub fn is_last(&self) -> bool {
        matches!(self.name, "exit" | "exit_group")
    }

    /// After the call: the whole line.
    pub fn end(
        self,
        current: &CurrentTask<'_>,
        number: u64,
        result: Result<u64, SysError>,
    ) -> String {
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = write!(line, "{:<5} ", self.tid);
        let _ = match self.name {
            "" => write!(line, "{}(", Sysno(number as u32)),
            "clone" => write!(line, "clone({}", values::clone_arguments(self.args)),
            name => write!(line, "{name}("),
        };
        for (index, part) in self.parts.iter().enumerate() {
            line.push_str(if index > 0 { ", " } else { "" });
            line.push_str(&match (part, result) {
                (Some(part), _) => part.clone(),
                (None, Ok(value)) => {
                    let shape = shape::of(self.name, index, self.args);
                    values::show(current, &shape, self.args, index, value)
                }
                (None, Err(_)) => text::address(self.args.get(index).copied().unwrap_or(0)),
            });
        }
        line.push_str(") ");
        while line.len() < RESULT_COLUMN {
            line.push(' ');
        }
        self.result(&mut line, result);
        line.push('\n');
        line
    }

    fn result(&self, line: &mut String, result: Result<u64, SysError>) {
        // Writing to a String cannot fail.
        let _ = match result {
            Ok(_) if self.is_last() => write!(line, "= ?"),
            // The register that the call brings back holds the result of the interrupted call.
            Ok(value) if self.name == "rt_sigreturn" => match Errno::from_return(value) {
                Some(errno) => write!(line, "= -1 {errno} ({})", errno.text()),
                None => write!(line, "= {value}"),
            },
            Ok(value) if matches!(self.name, "brk" | "mmap" | "mremap" | "shmat") => {
                write!(line, "= {value:#x}")
            }
            Ok(value) if self.name == "fcntl" => self.descriptor_flags(line, value),
            Ok(value) if value > 0xffff_ffff => write!(line, "= {value:#x}"),
            Ok(value) => write!(line, "= {value}"),
            Err(SysError::Errno(errno)) => write!(line, "= -1 {errno} ({})", errno.text()),
            Err(SysError::Restart) => {
                write!(line, "= ? ERESTARTSYS (To be restarted if SA_RESTART is set)")
            }
            Err(SysError::RestartNoHandler) => {
                write!(line, "= ? ERESTARTNOHAND (To be restarted if no handler)")
            }
            Err(SysError::RestartAlways) => write!(line, "= ? ERESTARTNOINTR (To be restarted)"),
        };
    }

    fn descriptor_flags(&self, line: &mut String, value: u64) -> fmt::Result {
        let bits = value as u32;
        match FcntlCmd(self.args[1] as u32) {
            FcntlCmd::F_GETFD if value != 0 => {
                let flags = FdFlags::from_bits_retain(bits);
                write!(line, "= {value:#x} (flags {})", text::traced(&flags))
            }
            FcntlCmd::F_GETFL => {
                let flags = OpenFlags::from_bits_retain(bits);
                let number = text::hex(value);
                write!(line, "= {number} (flags {})", text::traced(&flags))
            }
            _ => write!(line, "= {value}"),
        }
    }
}
