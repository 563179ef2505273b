//! What differs between two runs, as text for a failed test.

use std::fmt::Write as _;

use crate::Outcome;

/// How many lines of each side a difference shows.
const SHOWN: usize = 12;

/// Says what differs between `native` and `other`, or nothing when they agree.
///
/// # Errors
///
/// The differences, ready to print.
pub fn outcomes(native: &Outcome, name: &str, other: &Outcome) -> Result<(), String> {
    let mut report = String::new();
    for (who, outcome) in [("native", native), (name, other)] {
        if let Some(defect) = &outcome.defect {
            let _ = writeln!(report, "{who}: {defect}");
        }
    }
    if native.status != other.status {
        let _ = writeln!(report, "exit status: native {}, {name} {}", native.status, other.status);
    }
    report.push_str(&bytes("standard output", &native.stdout, name, &other.stdout));
    report.push_str(&bytes("standard error", &native.stderr, name, &other.stderr));
    if report.is_empty() { Ok(()) } else { Err(report) }
}

/// The lines in which two outputs differ, without what they share at both ends.
fn bytes(what: &str, native: &[u8], name: &str, other: &[u8]) -> String {
    if native == other {
        return String::new();
    }
    let (native, other) = (String::from_utf8_lossy(native), String::from_utf8_lossy(other));
    let native: Vec<&str> = native.split_inclusive('\n').collect();
    let other: Vec<&str> = other.split_inclusive('\n').collect();
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(left, right)| left == right).count()
    };
    let head = same(&mut native.iter().zip(&other));
    let shorter = native.len().min(other.len());
    let tail = same(&mut native.iter().rev().zip(other.iter().rev())).min(shorter - head);

    let mut report = format!("{what} differs from line {}: (- native, + {name})\n", head + 1);
    for (sign, lines) in [('-', &native), ('+', &other)] {
        let lines = lines.get(head..lines.len() - tail).unwrap_or_default();
        for line in lines.iter().take(SHOWN) {
            let _ = writeln!(report, "{sign}{}", line.escape_debug());
        }
        if lines.len() > SHOWN {
            let _ = writeln!(report, "{sign}… {} more lines", lines.len() - SHOWN);
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: i32, stdout: &str) -> Outcome {
        Outcome { status, stdout: stdout.into(), stderr: Vec::new(), defect: None }
    }

    #[test]
    fn equal_runs_give_no_report() {
        assert_eq!(outcomes(&outcome(3, "a\n"), "lx", &outcome(3, "a\n")), Ok(()));
    }

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        let report =
            outcomes(&outcome(0, "a\nb\nc\n"), "lx", &outcome(1, "a\nX\nc\n")).unwrap_err();
        assert_eq!(
            report,
            "exit status: native 0, lx 1\n\
             standard output differs from line 2: (- native, + lx)\n-b\\n\n+X\\n\n"
        );
    }

    #[test]
    fn a_repeated_line_is_counted_once() {
        let report = outcomes(&outcome(0, "a\na\n"), "lx", &outcome(0, "a\n")).unwrap_err();
        assert_eq!(report, "standard output differs from line 2: (- native, + lx)\n-a\\n\n");
    }
}
