//! Memory and load of the host.

use lx_core::abi::sysinfo::Sysinfo;
use lx_core::host::MachineLoad;

use crate::sys::{self, sys};

/// What the host says now.
pub(crate) fn machine_load() -> MachineLoad {
    let mut info = Sysinfo::default();
    // SAFETY: the kernel fills the structure.
    let _ = unsafe { sys!(sys::__NR_sysinfo, &raw mut info) };
    let unit = u64::from(info.mem_unit.max(1));
    MachineLoad {
        memory: info.totalram.saturating_mul(unit),
        memory_free: info.freeram.saturating_mul(unit),
        swap: info.totalswap.saturating_mul(unit),
        swap_free: info.freeswap.saturating_mul(unit),
        loads: info.loads,
    }
}

/// `MemAvailable` of `/proc/meminfo`, which no call tells.
pub(crate) fn available() -> Option<u64> {
    const AT_FDCWD: i32 = -100;
    const O_CLOEXEC: usize = 0o2000000;
    let mut text = [0u8; 512];
    // SAFETY: the path ends with a NUL.
    let fd = unsafe { sys!(sys::__NR_openat, AT_FDCWD, c"/proc/meminfo".as_ptr(), O_CLOEXEC) };
    let fd = fd.ok()? as i32;
    // SAFETY: the kernel writes to the buffer only.
    let len = unsafe { sys!(sys::__NR_read, fd, text.as_mut_ptr(), text.len()) };
    sys::close(fd);
    available_in(text.get(..len.ok()?)?)
}

fn available_in(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::available_in;

    #[test]
    fn available_memory() {
        let text = b"MemTotal:       2 kB\nMemAvailable:   24010732 kB\nBuff";
        assert_eq!(available_in(text), Some(24_010_732 << 10));
        assert_eq!(available_in(b"MemTotal: 2 kB\n"), None);
    }
}
