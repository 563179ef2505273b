//! `/sys`: the few files that C libraries, `nproc(1)` and `lscpu(1)` read.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::caller::Caller;
use lx_vfs::fs::new_dev;
use lx_vfs::fs::pseudo::{Node, NodeInfo, PseudoFs};

use super::{FIRST_INO, Numbers, ROOT_INO};
use crate::kernel::Kernel;

/// `f_type` of sysfs.
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// Makes a sysfs.
pub fn new(kernel: &Arc<Kernel>) -> Arc<PseudoFs> {
    let info = NodeInfo::new(new_dev(), ROOT_INO, kernel.host.realtime().cast_signed());
    let mut numbers = Numbers { info, next: FIRST_INO };
    let host = kernel.host;
    let count = host.cpu_count().max(1);
    let cpus = range(count.saturating_sub(1));

    let mut cpu: Vec<(&'static str, Node)> = Vec::new();
    for name in ["online", "possible", "present"] {
        cpu.push((name, text(&mut numbers, cpus.clone())));
    }
    cpu.push(("kernel_max", text(&mut numbers, "8191\n".into())));
    for (number, name) in (0..count).zip(CPU_NAMES) {
        cpu.push((name, processor(&mut numbers, number, count)));
    }
    let cpu = numbers.next().fixed_directory(cpu);
    let meminfo = numbers.next().text(move |_: &Caller<'_>| {
        let load = host.machine_load();
        Ok(node_meminfo(load.memory, load.memory_free).into_bytes())
    });
    let node0 = [
        ("cpulist", text(&mut numbers, cpus)),
        ("cpumap", text(&mut numbers, mask(0, count, count))),
        ("distance", text(&mut numbers, "10\n".into())),
        ("meminfo", meminfo),
    ];
    let node = [
        ("has_cpu", text(&mut numbers, range(0))),
        ("has_memory", text(&mut numbers, range(0))),
        ("has_normal_memory", text(&mut numbers, range(0))),
        ("node0", numbers.next().fixed_directory(node0)),
        ("online", text(&mut numbers, range(0))),
        ("possible", text(&mut numbers, range(0))),
    ];
    let node = numbers.next().fixed_directory(node);
    let system = numbers.next().fixed_directory([("cpu", cpu), ("node", node)]);
    let devices = numbers.next().fixed_directory([("system", system)]);

    let huge = [("enabled", text(&mut numbers, "always madvise [never]\n".into()))];
    let huge = numbers.next().fixed_directory(huge);
    let mm = numbers.next().fixed_directory([("transparent_hugepage", huge)]);
    let kernel_dir = numbers.next().fixed_directory([("mm", mm)]);
    let cgroup = numbers.next().fixed_directory([]);
    let fs = numbers.next().fixed_directory([("cgroup", cgroup)]);
    let class = numbers.next().fixed_directory([]);
    let root = [("class", class), ("devices", devices), ("fs", fs), ("kernel", kernel_dir)];
    PseudoFs::new("sysfs", SYSFS_MAGIC, info.fixed_directory(root))
}

/// Names of the processors that have a directory.
const CPU_NAMES: [&str; 64] = [
    "cpu0", "cpu1", "cpu2", "cpu3", "cpu4", "cpu5", "cpu6", "cpu7", "cpu8", "cpu9", "cpu10",
    "cpu11", "cpu12", "cpu13", "cpu14", "cpu15", "cpu16", "cpu17", "cpu18", "cpu19", "cpu20",
    "cpu21", "cpu22", "cpu23", "cpu24", "cpu25", "cpu26", "cpu27", "cpu28", "cpu29", "cpu30",
    "cpu31", "cpu32", "cpu33", "cpu34", "cpu35", "cpu36", "cpu37", "cpu38", "cpu39", "cpu40",
    "cpu41", "cpu42", "cpu43", "cpu44", "cpu45", "cpu46", "cpu47", "cpu48", "cpu49", "cpu50",
    "cpu51", "cpu52", "cpu53", "cpu54", "cpu55", "cpu56", "cpu57", "cpu58", "cpu59", "cpu60",
    "cpu61", "cpu62", "cpu63",
];

/// The directory of a processor: a core of one package, with one thread.
fn processor(numbers: &mut Numbers, number: u32, count: u32) -> Node {
    let own = || (mask(number, 1, count), format!("{number}\n"));
    let all = || (mask(0, count, count), range(count.saturating_sub(1)));
    let mut topology = Vec::new();
    for (masks, lists, (mask, list)) in [
        ("core_cpus", "core_cpus_list", own()),
        ("thread_siblings", "thread_siblings_list", own()),
        ("core_siblings", "core_siblings_list", all()),
        ("package_cpus", "package_cpus_list", all()),
    ] {
        topology.push((masks, text(numbers, mask)));
        topology.push((lists, text(numbers, list)));
    }
    topology.push(("core_id", text(numbers, format!("{number}\n"))));
    topology.push(("physical_package_id", text(numbers, "0\n".into())));
    let topology = numbers.next().fixed_directory(topology);
    let online = text(numbers, "1\n".into());
    numbers.next().fixed_directory([("online", online), ("topology", topology)])
}

/// A mask of `len` processors from `first` on, as wide as `count` processors need.
fn mask(first: u32, len: u32, count: u32) -> String {
    let mut result = String::new();
    for group in (0..count.div_ceil(32)).rev() {
        let start = group.saturating_mul(32);
        let bit = |at: u32| {
            let cpu = start.saturating_add(at);
            u32::from(cpu >= first && cpu < first.saturating_add(len)) << at
        };
        let value = (0..32).fold(0, |value, at| value | bit(at));
        let digits = count.saturating_sub(start).min(32).div_ceil(4) as usize;
        let comma = if result.is_empty() { "" } else { "," };
        result.push_str(&format!("{comma}{value:0digits$x}"));
    }
    result.push('\n');
    result
}

/// `meminfo` of the only node.
fn node_meminfo(total: u64, free: u64) -> String {
    let line = |name: &str, bytes: u64| format!("Node 0 {name:<15}{:8} kB\n", bytes / 1024);
    let used = total.saturating_sub(free);
    [line("MemTotal:", total), line("MemFree:", free), line("MemUsed:", used)].concat()
}

/// `0-3`, or `0` alone.
fn range(last: u32) -> String {
    if last == 0 { "0\n".into() } else { format!("0-{last}\n") }
}

fn text(numbers: &mut Numbers, text: String) -> Node {
    numbers.next().text(move |_: &Caller<'_>| Ok(text.clone().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn masks_have_the_width_of_all_processors() {
        assert_eq!(mask(0, 2, 2), "3\n");
        assert_eq!(mask(1, 1, 12), "002\n");
        assert_eq!(mask(0, 40, 40), "ff,ffffffff\n");
        assert_eq!(mask(33, 1, 64), "00000002,00000000\n");
    }
}
