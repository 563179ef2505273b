//! What the benchmarks share: the report that the guest program prints and the harness reads.

use std::collections::BTreeMap;

/// Nanoseconds per operation, by operation.
pub type Report = BTreeMap<String, f64>;

/// The operations and the largest ratio lx/native that the project aims at.
pub const GOALS: [(&str, f64); 22] = [
    ("getppid", 0.10),
    ("pipe write+read 1 B", 0.15),
    ("pread 4 KB tmpfs", 0.20),
    ("stat cached path", 0.20),
    ("open+close", 0.30),
    ("sigaction", 0.15),
    ("signal to self", 0.15),
    ("mmap+touch+munmap 4 KB", 0.25),
    ("vfork+exit+wait", 0.30),
    ("fork+exit+wait", 1.2),
    ("vfork+exec+wait", 1.0),
    ("sh -c 'echo hi | cat'", 1.0),
    ("pthread create+join", 1.0),
    ("futex hand-off, there and back", 1.0),
    ("epoll_wait, ready", 0.2),
    ("socketpair write+read 1 B", 0.2),
    ("create+unlink", 0.2),
    ("rename", 0.2),
    ("pipe between processes, 64 KB", 1.0),
    ("find /usr -type f | wc -l", 1.0),
    ("tar c /usr/share/doc | wc -c", 1.0),
    ("du -s /usr", 1.0),
];

/// What is expected of an operation on Windows.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So many nanoseconds.
    Nanos(f64),
    /// So many times what lx on Linux takes in the same run.
    TimesLinux(f64),
}

/// The operations that the Windows host has goals for.
pub const WINDOWS_GOALS: [(&str, Limit); 7] = [
    ("getppid", Limit::Nanos(60.0)),
    ("pipe write+read 1 B", Limit::TimesLinux(1.5)),
    ("pread 4 KB tmpfs", Limit::TimesLinux(1.5)),
    ("stat cached path", Limit::TimesLinux(1.5)),
    ("open+close", Limit::TimesLinux(1.5)),
    ("vfork+exec+wait", Limit::Nanos(5e6)),
    ("fork of 4 MB, median", Limit::Nanos(15e6)),
];

/// Reads lines of the form `nanoseconds name`.
pub fn parse_report(text: &str) -> Report {
    text.lines()
        .filter_map(|line| {
            let (nanos, name) = line.trim().split_once(' ')?;
            Some((name.to_owned(), nanos.parse().ok()?))
        })
        .collect()
}

/// The middle value, or the mean of the two middle values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let high = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(high) } else { Some((high + values[middle - 1]) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::{median, parse_report};

    #[test]
    fn a_report_is_lines_of_nanoseconds_and_a_name() {
        let report = parse_report("12.5 getppid\nnoise\n800 pipe write+read 1 B\n");
        assert_eq!(report.len(), 2);
        assert_eq!(report["pipe write+read 1 B"], 800.0);
    }

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut []), None);
    }
}
