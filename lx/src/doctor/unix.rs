//! What a Linux host offers.

use std::fs;

use super::Check;

pub(super) fn checks() -> Vec<Check> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let since = |major, minor| version(&release) >= (major, minor);
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let overcommit = fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default();
    let memfd = fs::read_to_string("/proc/sys/vm/memfd_noexec").unwrap_or_default();
    vec![
        Check {
            name: format!("Linux {release}"),
            is_there: since(5, 11),
            needed: true,
            note: "5.11 and later catch system calls that were not rewritten",
        },
        Check {
            name: "fsgsbase".to_owned(),
            is_there: flags.split_whitespace().any(|flag| flag == "fsgsbase"),
            needed: true,
            note: "instructions that set a thread's FS and GS, which guests and kernel use",
        },
        Check {
            name: "memory files".to_owned(),
            is_there: memfd.trim() != "2",
            needed: true,
            note: "the kernel is started from one, which vm.memfd_noexec=2 forbids",
        },
        Check {
            name: "overcommit".to_owned(),
            is_there: overcommit.trim() != "2",
            needed: false,
            note: "without it, large reservations of guests may fail",
        },
    ]
}

/// There are none.
pub(super) fn measurements() -> String {
    String::new()
}

/// Answers questions, a line for each.
///
/// # Errors
///
/// One sentence: they are about Windows.
pub(crate) fn answers(questions: &[String]) -> Result<String, String> {
    Err(format!("'{}' is a question about Windows, and this is Linux", questions.join(" ")))
}

/// `(6, 1)` of `6.1.0-27-amd64`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
