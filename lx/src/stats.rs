//! Counters of a machine, as a table.

pub use lx_core::control::{CallStats, Counter};
use std::fmt;

use lx_core::control::LOST_TRACE_LINES;

/// What a machine counted since it was built, see
/// [`Builder::stats`](crate::Builder::stats). `Display` makes a table of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// System calls that arrived by a trap and not by a patched site.
    pub trapped: u64,
    /// System calls that were made at least once.
    pub calls: Vec<CallStats>,
    /// Unsupported features that guests asked for, and unknown call numbers.
    pub unsupported: Vec<Counter>,
    /// Anything else that was counted, such as host processes and patched sites.
    pub counters: Vec<Counter>,
}

impl Stats {
    /// How many lines of [`Builder::strace`](crate::Builder::strace) could not be written, if any.
    pub fn lost_trace_lines(&self) -> Option<u64> {
        let lost = self.counters.iter().find(|counter| counter.name == LOST_TRACE_LINES);
        lost.map(|counter| counter.value)
    }

    pub(crate) fn new(stats: lx_core::control::Stats) -> Self {
        let lx_core::control::Stats { trapped, mut calls, unsupported, counters } = stats;
        calls.sort_by(|a, b| b.count.cmp(&a.count).then(a.number.cmp(&b.number)));
        Self { trapped, calls, unsupported, counters }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trapped system calls: {}", self.trapped)?;
        writeln!(f, "{:>10} {:>10} {:>10}  system call", "calls", "errors", "host")?;
        let mut total = CallStats { name: "total".to_owned(), ..CallStats::default() };
        for call in &self.calls {
            total.count += call.count;
            total.errors += call.errors;
            total.host_calls += call.host_calls;
            write_call(f, call)?;
        }
        write_call(f, &total)?;
        for counter in &self.counters {
            writeln!(f, "{:>10}  {}", counter.value, counter.name)?;
        }
        for counter in &self.unsupported {
            writeln!(f, "{:>10}  unsupported: {}", counter.value, counter.name)?;
        }
        Ok(())
    }
}

fn write_call(f: &mut fmt::Formatter<'_>, call: &CallStats) -> fmt::Result {
    let CallStats { number, name, count, errors, host_calls } = call;
    write!(f, "{count:>10} {errors:>10} {host_calls:>10}  ")?;
    if name.is_empty() { writeln!(f, "unknown call {number}") } else { writeln!(f, "{name}") }
}
