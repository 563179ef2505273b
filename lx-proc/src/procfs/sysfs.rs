//! `/sys`: the few files that C libraries, `nproc(1)` and `lscpu(1)` read.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

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
    let last_cpu = kernel.host.cpu_count().saturating_sub(1);
    let cpus = range(last_cpu);

    let cpu = ["online", "possible", "present"].map(|name| {
        let cpus = cpus.clone();
        (name, text(&mut numbers, cpus))
    });
    let cpu = numbers.next().fixed_directory(cpu);
    let node0 = [("cpulist", text(&mut numbers, cpus))];
    let node = [
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

/// `0-3`, or `0` alone.
fn range(last: u32) -> String {
    if last == 0 { "0\n".into() } else { format!("0-{last}\n") }
}

fn text(numbers: &mut Numbers, text: String) -> Node {
    numbers.next().text(move |_: &Caller<'_>| Ok(text.clone().into_bytes()))
}
