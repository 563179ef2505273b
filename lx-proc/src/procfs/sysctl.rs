//! `/proc/sys`, `sysctl(8)`: what programs read there.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::limits::{NR_OPEN, PIPE_MAX_SIZE};
use lx_core::caller::Caller;
use lx_core::cred::Capabilities;
use lx_core::host::Host;
use lx_vfs::fs::pseudo::{Node, TextSource};

use super::{Number, Numbers, mqueue};
use crate::ipc;
use crate::kernel::Kernel;
use crate::keys::{self, Quota};
use crate::pid::PID_MAX;
use crate::uts::{RELEASE, SYSNAME, UtsNames, VERSION};

/// Longest host name.
const MAX_NAME: usize = 64;

/// Values that never change, by directory.
const CONSTANTS: &[(&str, &[(&str, &str)])] = &[
    (
        "fs",
        &[
            ("file-max", "9223372036854775807\n"),
            ("lease-break-time", "45\n"),
            ("protected_fifos", "0\n"),
            ("protected_hardlinks", "1\n"),
            ("protected_regular", "0\n"),
            ("protected_symlinks", "1\n"),
            ("suid_dumpable", "0\n"),
        ],
    ),
    (
        "kernel",
        &[
            ("cap_last_cap", "40\n"),
            ("core_pattern", "core\n"),
            ("core_uses_pid", "0\n"),
            ("dmesg_restrict", "1\n"),
            ("kptr_restrict", "1\n"),
            ("ngroups_max", "65536\n"),
            ("osrelease", ""),
            ("overflowgid", "65534\n"),
            ("overflowuid", "65534\n"),
            ("perf_event_paranoid", "4\n"),
            ("printk", "4\t4\t1\t7\n"),
            ("randomize_va_space", "0\n"),
            ("sched_rr_timeslice_ms", "100\n"),
            ("shm_rmid_forced", "0\n"),
            ("tainted", "0\n"),
            ("threads-max", "192730\n"),
            ("unprivileged_bpf_disabled", "2\n"),
        ],
    ),
    (
        "vm",
        &[
            ("dirty_background_ratio", "10\n"),
            ("dirty_ratio", "20\n"),
            ("max_map_count", "65530\n"),
            ("mmap_min_addr", "65536\n"),
            ("nr_hugepages", "0\n"),
            ("overcommit_memory", "1\n"),
            ("overcommit_ratio", "50\n"),
            ("swappiness", "60\n"),
        ],
    ),
];

/// The directory.
pub(super) fn directory(kernel: &Arc<Kernel>, numbers: &mut Numbers) -> Node {
    let mut directories = Vec::new();
    for (name, values) in CONSTANTS {
        let mut entries = constants(values, numbers);
        match *name {
            "kernel" => add_kernel(kernel, numbers, &mut entries),
            "fs" => add_fs(kernel, numbers, &mut entries),
            _ => {}
        }
        directories.push((*name, numbers.next().fixed_directory(entries)));
    }
    let core = constants(&[("somaxconn", "4096\n"), ("rmem_max", "212992\n")], numbers);
    let ipv4 = constants(&[("ip_local_port_range", "32768\t60999\n")], numbers);
    let net = [
        ("core", numbers.next().fixed_directory(core)),
        ("ipv4", numbers.next().fixed_directory(ipv4)),
    ];
    directories.push(("net", numbers.next().fixed_directory(net)));
    numbers.next().fixed_directory(directories)
}

fn constants(
    values: &[(&'static str, &'static str)],
    numbers: &mut Numbers,
) -> Vec<(&'static str, Node)> {
    let node = |(name, value): &(&'static str, &'static str)| {
        let value = *value;
        (*name, numbers.next().text(move |_: &Caller<'_>| Ok(value.as_bytes().to_vec())))
    };
    values.iter().filter(|(_, value)| !value.is_empty()).map(node).collect()
}

/// A number that does not change.
fn number(value: i64, numbers: &mut Numbers) -> Node {
    numbers.next().text(move |_: &Caller<'_>| Ok(format!("{value}\n").into_bytes()))
}

fn add_fs(kernel: &Arc<Kernel>, numbers: &mut Numbers, entries: &mut Vec<(&'static str, Node)>) {
    entries.push(("nr_open", number(NR_OPEN.cast_signed(), numbers)));
    entries.push(("pipe-max-size", number(PIPE_MAX_SIZE as i64, numbers)));
    let inotify = [
        ("max_queued_events", "16384\n"),
        ("max_user_instances", "128\n"),
        ("max_user_watches", "65536\n"),
    ];
    let inotify = constants(&inotify, numbers);
    entries.push(("inotify", numbers.next().fixed_directory(inotify)));
    let mqueue = mqueue::entries(kernel, numbers);
    entries.push(("mqueue", numbers.next().fixed_directory(mqueue)));
    let aio = Arc::clone(&kernel.aio);
    let used = move |_: &Caller<'_>| Ok(format!("{}\n", aio.used()).into_bytes());
    entries.push(("aio-nr", numbers.next().text(used)));
    let (read, written) = (Arc::clone(&kernel.aio), Arc::clone(&kernel.aio));
    let get = move || read.max();
    let set = move |max| {
        written.set_max(max);
        Ok(())
    };
    entries.push(("aio-max-nr", numbers.next().mode(0o644).text_from(Number { get, set })));
}

fn add_kernel(
    kernel: &Arc<Kernel>,
    numbers: &mut Numbers,
    entries: &mut Vec<(&'static str, Node)>,
) {
    let mut line = |name, text: &'static str| {
        let make = move |_: &Caller<'_>| Ok(format!("{text}\n").into_bytes());
        entries.push((name, numbers.next().text(make)));
    };
    line("ostype", SYSNAME);
    line("osrelease", RELEASE);
    line("version", VERSION);
    let mut value = |name, text: String| {
        let make = move |_: &Caller<'_>| Ok(format!("{text}\n").into_bytes());
        entries.push((name, numbers.next().text(make)));
    };
    value("pid_max", PID_MAX.saturating_add(1).to_string());
    value("msgmax", ipc::MSGMAX.to_string());
    value("msgmnb", ipc::MSGMNB.to_string());
    value("msgmni", ipc::MSGMNI.to_string());
    let [semmsl, semmns] = [ipc::SEMMSL, ipc::SEMMNS];
    value("sem", format!("{semmsl}\t{semmns}\t{}\t{}", ipc::SEMOPM, ipc::SEMMNI));
    value("shmall", ipc::SHMALL.to_string());
    value("shmmax", ipc::SHMMAX.to_string());
    value("shmmni", ipc::SHMMNI.to_string());
    let names: [(&str, Get, Set); 2] = [
        ("hostname", UtsNames::host_name, UtsNames::set_host_name),
        ("domainname", UtsNames::domain_name, UtsNames::set_domain_name),
    ];
    for (name, get, set) in names {
        let source = SystemName { kernel: Arc::clone(kernel), get, set };
        entries.push((name, numbers.next().mode(0o644).text_from(source)));
    }
    entries.push(("random", random(kernel.host, numbers)));
    entries.push(("keys", keys(numbers)));
}

type Get = fn(&UtsNames) -> Vec<u8>;
type Set = fn(&UtsNames, Vec<u8>);

/// Host name or domain name.
struct SystemName {
    kernel: Arc<Kernel>,
    get: Get,
    set: Set,
}

impl TextSource for SystemName {
    fn text(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        let mut name = (self.get)(&self.kernel.uts);
        name.push(b'\n');
        Ok(name)
    }

    fn store(&self, caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
        if !caller.cred().has(Capabilities::SYS_ADMIN) {
            return Err(Errno::EPERM.into());
        }
        let name = bytes.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
        (self.set)(&self.kernel.uts, name.iter().copied().take(MAX_NAME).collect());
        Ok(())
    }
}

/// `/proc/sys/kernel/keys`, `keyrings(7)`.
fn keys(numbers: &mut Numbers) -> Node {
    let (user, root) = (Quota::limits(u32::MAX), Quota::limits(0));
    let values = [
        ("gc_delay", keys::GC_DELAY),
        ("maxbytes", user.bytes as i64),
        ("maxkeys", user.keys as i64),
        ("persistent_keyring_expiry", keys::PERSISTENT_EXPIRY),
        ("root_maxbytes", root.bytes as i64),
        ("root_maxkeys", root.keys as i64),
    ];
    let entries: Vec<_> =
        values.into_iter().map(|(name, value)| (name, number(value, numbers))).collect();
    numbers.next().fixed_directory(entries)
}

/// `/proc/sys/kernel/random`, `random(4)`.
fn random(host: &'static dyn Host, numbers: &mut Numbers) -> Node {
    let mut entries = constants(&[("entropy_avail", "256\n"), ("poolsize", "256\n")], numbers);
    let boot_id = new_uuid(host);
    entries.push(("boot_id", numbers.next().text(move |_: &Caller<'_>| Ok(boot_id.clone()))));
    entries.push(("uuid", numbers.next().text(move |_: &Caller<'_>| Ok(new_uuid(host)))));
    numbers.next().fixed_directory(entries)
}

/// The text of a random UUID.
fn new_uuid(host: &dyn Host) -> Vec<u8> {
    let mut bytes = [0; 16];
    host.fill(&mut bytes);
    uuid_text(u128::from_be_bytes(bytes)).into_bytes()
}

fn uuid_text(random: u128) -> alloc::string::String {
    // Version 4, variant 1, RFC 9562.
    let value = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}\n",
        value >> 96,
        value >> 80 & 0xffff,
        value >> 64 & 0xffff,
        value >> 48 & 0xffff,
        value & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::uuid_text;

    #[test]
    fn uuids_state_their_version() {
        assert_eq!(uuid_text(0), "00000000-0000-4000-8000-000000000000\n");
        assert_eq!(uuid_text(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff\n");
    }
}
