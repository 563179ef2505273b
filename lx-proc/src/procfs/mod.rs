//! `/proc`, `proc(5)`, on the ground of [`lx_vfs::fs::pseudo`].
//!
//! [`pid`] has the directories of processes and threads, [`fd`] their descriptors, [`system`] the
//! files about the whole system, [`sysctl`] those below `/proc/sys`. Every file is a function that
//! makes its text.

mod cpuinfo;
mod fd;
mod keys;
mod mem;
mod mounts;
mod mqueue;
mod net;
mod pid;
mod stat;
mod status;
mod sysctl;
pub mod sysfs;
mod system;
mod sysvipc;

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Display;
use core::str::FromStr;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::abi::dirent::DT_DIR;
use lx_core::caller::Caller;
use lx_vfs::fs::new_dev;
use lx_vfs::fs::pseudo::{DirSource, Node, NodeInfo, PseudoFs, TextSource};
use lx_vfs::inode::DirListing;

use crate::access::{AccessIds, check_access};
use crate::kernel::Kernel;
use crate::task::Task;

pub use system::filesystems;

/// `f_type` of procfs.
const PROC_SUPER_MAGIC: i64 = 0x9fa0;
/// Inode number of the root.
const ROOT_INO: u64 = 1;
/// Inode numbers of fixed nodes begin here; those of processes are far above.
const FIRST_INO: u64 = 2;

/// Makes a procfs that shows `kernel`.
pub fn new(kernel: &Arc<Kernel>) -> Arc<PseudoFs> {
    let info = NodeInfo::new(new_dev(), ROOT_INO, kernel.host.realtime().cast_signed());
    let mut numbers = Numbers { info, next: FIRST_INO };
    let mut fixed = system::nodes(kernel, &mut numbers);
    fixed.push(("sys", sysctl::directory(kernel, &mut numbers)));
    fixed.push(("sysvipc", sysvipc::directory(kernel, &mut numbers)));
    let root = Root { kernel: Arc::clone(kernel), info, fixed };
    PseudoFs::new("proc", PROC_SUPER_MAGIC, info.directory(root))
}

/// Numbers the nodes that always exist.
struct Numbers {
    info: NodeInfo,
    next: u64,
}

impl Numbers {
    fn next(&mut self) -> NodeInfo {
        let info = self.info.number(self.next);
        self.next = self.next.saturating_add(1);
        info
    }
}

/// The root directory: fixed entries, then one for each process.
struct Root {
    kernel: Arc<Kernel>,
    info: NodeInfo,
    fixed: Vec<(&'static str, Node)>,
}

impl DirSource for Root {
    fn lookup(&self, _caller: &Caller<'_>, name: &[u8]) -> Result<Node> {
        if let Some((_, node)) = self.fixed.iter().find(|(entry, _)| entry.as_bytes() == name) {
            return Ok(Arc::clone(node));
        }
        let id = parse_id(name).ok_or(Errno::ENOENT)?;
        pid::directory(&self.kernel, self.info, id)
    }

    fn list(&self, caller: &Caller<'_>, listing: &mut DirListing) -> Result<()> {
        for (name, node) in &self.fixed {
            listing.push(node.attr(caller)?.ino, node.file_type().dirent_type(), name.as_bytes());
        }
        for group in self.kernel.pids.groups() {
            let name = format!("{}", group.tgid());
            listing.push(pid::ino(group.tgid(), 0), DT_DIR, name.as_bytes());
        }
        Ok(())
    }

    fn nlink(&self) -> u32 {
        u32::try_from(self.kernel.pids.groups().len()).unwrap_or(u32::MAX).saturating_add(2)
    }
}

/// The number that a name of digits stands for; `None` for other names and for ones with zeros in
/// front.
fn parse_id(name: &[u8]) -> Option<i32> {
    match name {
        [b'1'..=b'9', ..] | [b'0'] => core::str::from_utf8(name).ok()?.parse().ok(),
        _ => None,
    }
}

/// The number that was written to a file.
///
/// # Errors
/// `EINVAL` if it is none.
fn parse_number<T: FromStr>(bytes: &[u8]) -> Result<T> {
    let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
    Ok(text.trim().parse().map_err(|_| Errno::EINVAL)?)
}

/// A number that can be read and written.
struct Number<G, S> {
    get: G,
    set: S,
}

impl<T, G, S> TextSource for Number<G, S>
where
    T: Display + FromStr,
    G: Fn() -> T + Send + Sync + 'static,
    S: Fn(T) -> Result<()> + Send + Sync + 'static,
{
    fn text(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(format!("{}\n", (self.get)()).into_bytes())
    }

    fn store(&self, _caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
        (self.set)(parse_number(bytes)?)
    }
}

/// Whether the caller may see the inside of a task's process, as `PTRACE_MODE_READ` in `ptrace(2)`.
///
/// # Errors
/// `EACCES`.
fn check_readable(caller: &Caller<'_>, task: &Task) -> Result<()> {
    Ok(check_access(caller, task, AccessIds::File).map_err(|_| Errno::EACCES)?)
}

#[cfg(test)]
mod tests {
    use super::parse_id;

    #[test]
    fn names_of_processes() {
        assert_eq!(parse_id(b"12"), Some(12));
        assert_eq!(parse_id(b"0"), Some(0));
        for name in [&b"012"[..], b"", b"-1", b"1x", b"99999999999"] {
            assert_eq!(parse_id(name), None);
        }
    }
}
