//! `#!` scripts.

use lx_core::abi::Errno;
use lx_core::abi::limits::BINPRM_BUF_SIZE;

use super::{ExecFailure, fail};

/// The first line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shebang<'a> {
    /// The interpreter's path.
    pub(crate) interpreter: &'a [u8],
    /// The rest of the line: one argument, if there is any.
    pub(crate) argument: Option<&'a [u8]>,
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|&byte| !is_blank(byte)).map_or(start, |at| at + 1);
    text.get(start..end).unwrap_or_default()
}

/// Whether a file begins as a script does.
pub(crate) fn is_script(head: &[u8]) -> bool {
    head.starts_with(b"#!")
}

/// Reads the first line.
///
/// # Errors
/// `ENOEXEC` if it names no interpreter or the name does not fit into what the kernel looks at.
pub(crate) fn parse(head: &[u8]) -> Result<Shebang<'_>, ExecFailure> {
    let bad = || fail(Errno::ENOEXEC, "bad interpreter line");
    let head = head.get(..BINPRM_BUF_SIZE.min(head.len())).unwrap_or_default();
    let line = head.get(2..).ok_or_else(bad)?;
    let end = line.iter().position(|&byte| byte == b'\n' || byte == 0);
    let whole = end.is_some() || head.len() < BINPRM_BUF_SIZE;
    let line = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let text = trim(line);
    let name_end = text.iter().position(|&byte| is_blank(byte));
    // A cut argument is the script's problem, a cut name could be another program's.
    let cut = !whole && name_end.is_none() && !line.last().copied().is_some_and(is_blank);
    if text.is_empty() || cut {
        return Err(bad());
    }
    let (interpreter, rest) = text.split_at(name_end.unwrap_or(text.len()));
    let argument = trim(rest);
    Ok(Shebang { interpreter, argument: (!argument.is_empty()).then_some(argument) })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Shebang, parse};
    use std::vec;

    #[test]
    fn takes_one_argument() {
        let line = parse(b"#! /usr/bin/env  -S python3 -u \nrest").unwrap();
        let argument = Some(&b"-S python3 -u"[..]);
        assert_eq!(line, Shebang { interpreter: b"/usr/bin/env", argument });
        assert_eq!(parse(b"#!/bin/sh").unwrap().argument, None);
    }

    #[test]
    fn refuses_lines_without_a_whole_name() {
        assert!(parse(b"#!\n").is_err());
        assert!(parse(b"#!   \t\n").is_err());
        let mut long = vec![b'x'; 300];
        long[..2].copy_from_slice(b"#!");
        assert!(parse(&long).is_err());
        long[100] = b' ';
        assert_eq!(parse(&long).unwrap().interpreter.len(), 98);
    }
}
