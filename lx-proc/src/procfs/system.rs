//! The files of `/proc` about the whole system.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::abi::time::USER_HZ;
use lx_core::caller::Caller;
use lx_core::host::{MachineLoad, Nanos};
use lx_core::time::NANOS_PER_SEC;
use lx_vfs::fs::pseudo::Node;

use super::{Numbers, cpuinfo, keys};
use crate::kernel::Kernel;
use crate::uts::{RELEASE, SYSNAME, VERSION};

/// File systems that can be mounted.
const FILESYSTEMS: &str = "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\n\
    nodev\tpipefs\nnodev\tsockfs\nnodev\tdevpts\nnodev\tmqueue\nnodev\toverlay\n";

/// The names of the file systems.
pub fn filesystems() -> impl Iterator<Item = &'static str> {
    FILESYSTEMS.lines().filter_map(|line| line.split('\t').next_back())
}

/// All nodes, but for `sys`.
pub(super) fn nodes(kernel: &Arc<Kernel>, numbers: &mut Numbers) -> Vec<(&'static str, Node)> {
    let mut text = |name: &'static str, make: fn(&Kernel) -> String| {
        let kernel = Arc::clone(kernel);
        let node = numbers.next().text(move |_: &Caller<'_>| Ok(make(&kernel).into_bytes()));
        (name, node)
    };
    let mut nodes = alloc::vec![
        text("cmdline", |_| String::from("lx\n")),
        text("cpuinfo", |kernel| cpuinfo::text(kernel.host.cpu_count())),
        text("devices", |_| DEVICES.into()),
        text("diskstats", |_| String::new()),
        text("filesystems", |_| FILESYSTEMS.into()),
        text("key-users", keys::users),
        text("loadavg", |kernel| {
            let load = kernel.host.machine_load();
            loadavg(&load, kernel.pids.task_count(), kernel.pids.last_id())
        }),
        text("meminfo", |kernel| {
            meminfo(&kernel.host.machine_load(), kernel.host.memory_available())
        }),
        text("modules", |_| String::new()),
        text("partitions", |_| "major minor  #blocks  name\n\n".into()),
        text("stat", stat),
        text("swaps", |_| "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".into()),
        text("uptime", |kernel| uptime(kernel.host.boottime())),
        text("vmstat", |kernel| vmstat(&kernel.host.machine_load())),
        text("version", |_| format!("{SYSNAME} version {RELEASE} (lx) {VERSION}\n")),
    ];
    let of_keys = Arc::clone(kernel);
    let own_keys = numbers.next().text(move |caller| keys::keys(&of_keys, caller));
    nodes.push(("keys", own_keys));
    let mounts = numbers.next().link(|_: &Caller<'_>| Ok(b"self/mounts".to_vec()));
    nodes.push(("mounts", mounts));
    let net = numbers.next().link(|_: &Caller<'_>| Ok(b"self/net".to_vec()));
    nodes.push(("net", net));
    let own = |caller: &Caller<'_>| Ok(format!("{}", caller.tgid).into_bytes());
    nodes.push(("self", numbers.next().link(own)));
    let thread =
        |caller: &Caller<'_>| Ok(format!("{}/task/{}", caller.tgid, caller.tid).into_bytes());
    nodes.push(("thread-self", numbers.next().link(thread)));
    nodes
}

const DEVICES: &str = "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n\
    136 pts\n\nBlock devices:\n";

/// Two decimals of a number of seconds.
fn hundredths(nanos: Nanos) -> String {
    let value = nanos / (NANOS_PER_SEC / 100);
    format!("{}.{:02}", value / 100, value % 100)
}

/// Time since the start and, as if nothing ever ran, idle time.
fn uptime(up: Nanos) -> String {
    let up = hundredths(up);
    format!("{up} {up}\n")
}

fn loadavg(load: &MachineLoad, tasks: usize, last_id: i32) -> String {
    let mut text = String::new();
    for value in load.loads {
        let rounded = value.saturating_add(327);
        let (whole, fraction) = (rounded >> 16, rounded & 0xffff);
        text.push_str(&format!("{whole}.{:02} ", fraction.saturating_mul(100) >> 16));
    }
    text.push_str(&format!("1/{tasks} {last_id}\n"));
    text
}

fn meminfo(load: &MachineLoad, available: u64) -> String {
    let cached = available.saturating_sub(load.memory_free);
    let lines = [
        ("MemTotal", load.memory),
        ("MemFree", load.memory_free),
        ("MemAvailable", available),
        ("Buffers", 0),
        ("Cached", cached),
        ("SwapCached", 0),
        ("Active", load.memory.saturating_sub(available)),
        ("Inactive", cached),
        ("SwapTotal", load.swap),
        ("SwapFree", load.swap_free),
        ("Dirty", 0),
        ("Writeback", 0),
        ("AnonPages", load.memory.saturating_sub(available)),
        ("Mapped", 0),
        ("Shmem", 0),
        ("KReclaimable", 0),
        ("Slab", 0),
        ("SReclaimable", 0),
        ("SUnreclaim", 0),
        ("KernelStack", 0),
        ("PageTables", 0),
        ("CommitLimit", load.memory / 2),
        ("Committed_AS", load.memory.saturating_sub(available)),
        ("VmallocTotal", 0),
        ("VmallocUsed", 0),
    ];
    let mut text = String::new();
    for (name, bytes) in lines {
        text.push_str(&format!("{:<16}{:8} kB\n", format!("{name}:"), bytes / 1024));
    }
    text.push_str("HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n");
    text.push_str("HugePages_Surp:        0\nHugepagesize:       2048 kB\n");
    text
}

/// Pages; nothing else is counted.
fn vmstat(load: &MachineLoad) -> String {
    let free = load.memory_free / lx_core::abi::PAGE_SIZE;
    let mut text = format!("nr_free_pages {free}\n");
    for name in ["pgpgin", "pgpgout", "pswpin", "pswpout", "pgfault", "pgmajfault"] {
        text.push_str(&format!("{name} 0\n"));
    }
    text
}

/// Processor time is not counted: every processor was idle all the time.
fn stat(kernel: &Kernel) -> String {
    let host = kernel.host;
    let up = host.boottime();
    let idle = up / (NANOS_PER_SEC / USER_HZ.unsigned_abs());
    let cpus = host.cpu_count();
    let line = |name: &str, idle: u64| format!("{name} 0 0 0 {idle} 0 0 0 0 0 0\n");
    let mut text = line("cpu ", idle.saturating_mul(cpus.into()));
    for cpu in 0..cpus {
        text.push_str(&line(&format!("cpu{cpu}"), idle));
    }
    let boot = host.realtime().saturating_sub(up) / NANOS_PER_SEC;
    let processes = kernel.pids.last_id();
    text.push_str(&format!("intr 0\nctxt 0\nbtime {boot}\nprocesses {processes}\n"));
    text.push_str("procs_running 1\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_on_linux() {
        assert_eq!(uptime(3_287_709_999_999), "3287.70 3287.70\n");
        let load = MachineLoad { loads: [161_874, 65_536, 0], ..MachineLoad::default() };
        assert_eq!(loadavg(&load, 117, 25_335), "2.47 1.00 0.00 1/117 25335\n");
        let load = MachineLoad { memory: 24_684_092 << 10, ..load };
        assert!(
            meminfo(&load, 0)
                .starts_with("MemTotal:       24684092 kB\nMemFree:               0 kB\n")
        );
    }
}
