//! The command line of a program of Windows: its arguments in one string, as the C library takes
//! them apart.

use alloc::vec::Vec;

/// Appends an argument, in quotes where that is necessary.
fn push(line: &mut Vec<u8>, argument: &[u8]) {
    if !line.is_empty() {
        line.push(b' ');
    }
    let special = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\x0b' | b'"');
    if !argument.is_empty() && !argument.iter().any(special) {
        line.extend_from_slice(argument);
        return;
    }
    line.push(b'"');
    let mut backslashes = 0_usize;
    for &byte in argument {
        if byte == b'"' {
            // Backslashes in front of a quote stand for half as many, and the quote needs its own.
            line.extend(core::iter::repeat_n(b'\\', backslashes + 1));
        }
        backslashes = if byte == b'\\' { backslashes + 1 } else { 0 };
        line.push(byte);
    }
    line.extend(core::iter::repeat_n(b'\\', backslashes));
    line.push(b'"');
}

/// The command line for a program and its arguments.
pub(crate) fn command_line(program: &[u8], args: &[&[u8]]) -> Vec<u8> {
    let mut line = Vec::new();
    // The program's name is taken literally up to the closing quote.
    line.push(b'"');
    line.extend_from_slice(program);
    line.push(b'"');
    args.iter().for_each(|argument| push(&mut line, argument));
    line
}

#[cfg(test)]
mod tests {
    use super::command_line;
    use std::string::String;

    fn line(args: &[&str]) -> String {
        let args: std::vec::Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        String::from_utf8(command_line(br"C:\p q.exe", &args)).unwrap()
    }

    #[test]
    fn quotes_where_necessary() {
        assert_eq!(line(&["/c", "ver"]), r#""C:\p q.exe" /c ver"#);
        assert_eq!(line(&["a b", "", r"c\d"]), r#""C:\p q.exe" "a b" "" c\d"#);
        assert_eq!(line(&[r#"a"b"#, r#"c\"d"#]), r#""C:\p q.exe" "a\"b" "c\\\"d""#);
        assert_eq!(line(&[r"a b\"]), r#""C:\p q.exe" "a b\\""#);
    }
}
