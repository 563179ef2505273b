//! `lx doctor`: what this host offers, and what lx does without it.

use std::fmt::Write as _;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::answers;
#[cfg(unix)]
use unix::{checks, measurements};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::answers;
#[cfg(windows)]
use windows::{checks, measurements};

/// A feature of the host.
struct Check {
    name: String,
    is_there: bool,
    /// lx does not work without it.
    needed: bool,
    /// What it is for, or what happens without it.
    note: &'static str,
}

/// The report, and whether everything that lx needs is there.
pub(crate) fn report() -> (String, bool) {
    let mut text = String::new();
    let mut works = true;
    for Check { name, is_there, needed, note } in checks() {
        works &= is_there || !needed;
        let word = match (is_there, needed) {
            (true, _) => "ok",
            (false, true) => "MISSING",
            (false, false) => "absent",
        };
        let _ = writeln!(text, "{word:<8} {name}: {note}");
    }
    text.push_str(&measurements());
    text.push_str(if works { "lx can work here\n" } else { "lx cannot work here\n" });
    (text, works)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn questions_about_windows_are_not_for_other_hosts() {
        assert!(answers(&["R1".to_owned()]).unwrap_err().contains("R1"));
        assert!(!report().0.contains("R1 "));
    }

    #[test]
    fn lx_works_where_its_tests_run() {
        let (text, works) = report();
        assert!(works, "{text}");
        assert!(text.ends_with("lx can work here\n"));
    }
}
