//! `/proc/sys/fs/mqueue`, `mq_overview(7)`: limits of message queues.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use lx_core::Result;
use lx_core::abi::Errno;
use lx_core::caller::Caller;
use lx_vfs::fs::mqueue::Limit;
use lx_vfs::fs::pseudo::{Node, TextSource};

use super::Numbers;
use crate::kernel::Kernel;

/// The files of the directory.
pub(super) fn entries(kernel: &Arc<Kernel>, numbers: &mut Numbers) -> Vec<(&'static str, Node)> {
    let node = |limit: Limit| {
        let value = Value { kernel: Arc::clone(kernel), limit };
        (limit.name(), numbers.next().mode(0o644).text_from(value))
    };
    Limit::ALL.into_iter().map(node).collect()
}

struct Value {
    kernel: Arc<Kernel>,
    limit: Limit,
}

impl TextSource for Value {
    fn text(&self, _caller: &Caller<'_>) -> Result<Vec<u8>> {
        Ok(format!("{}\n", self.kernel.mqueues.limits().get(self.limit)).into_bytes())
    }

    fn store(&self, _caller: &Caller<'_>, bytes: &[u8]) -> Result<()> {
        let text = core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        let value = text.trim_ascii().parse().map_err(|_| Errno::EINVAL)?;
        self.kernel.mqueues.limits().set(self.limit, value)
    }
}
