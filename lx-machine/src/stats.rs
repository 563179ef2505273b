//! `--stats`.

use alloc::string::String;
use alloc::vec::Vec;

use lx_core::control::{CallStats, Counter, LOST_TRACE_LINES, Stats};
use lx_core::unsupported;
use lx_proc::Kernel;
use lx_syscall::table::TABLE;

fn counter(name: &str, value: u64) -> Counter {
    Counter { name: String::from(name), value }
}

/// The counters of a machine.
pub(crate) fn collect(kernel: &Kernel) -> Stats {
    let calls = kernel.observe.counts().into_iter().map(|count| {
        let entry = TABLE.get(count.number).and_then(Option::as_ref);
        CallStats {
            number: count.number as u32,
            name: String::from(entry.map_or("", |entry| entry.name)),
            count: count.made,
            errors: count.failed,
            host_calls: count.host,
        }
    });
    let unsupported = unsupported::report();
    let (used, room) = kernel.host.region_usage();
    let mut counters: Vec<Counter> = Vec::new();
    counters.push(counter("calls of numbers beyond the table", kernel.observe.beyond()));
    counters.push(counter("kernel memory in use, bytes", used));
    counters.push(counter("kernel memory at most, bytes", room));
    let lost = kernel.reports.lost_lines();
    if lost > 0 {
        counters.push(counter(LOST_TRACE_LINES, lost));
    }
    let kinds = kernel.host.host_call_kinds();
    counters.extend(
        kinds
            .into_iter()
            .map(|(name, value)| Counter { name: alloc::format!("host {name}"), value }),
    );
    Stats {
        trapped: kernel.host.trapped_calls(),
        calls: calls.collect(),
        unsupported: unsupported.into_iter().map(|(name, value)| Counter { name, value }).collect(),
        counters,
    }
}
