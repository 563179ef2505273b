//! The end of a descriptor.

use alloc::sync::Arc;

use lx_core::Caller;
use lx_core::file::OpenFile;

use crate::file_lock;

/// A descriptor of `file` was taken out of the caller's table: by `close`, `dup2`, `execve` or the
/// end of the process. The description itself ends with its last reference.
pub fn descriptor_closed(caller: &Caller<'_>, file: Arc<OpenFile>) {
    caller.identity.forget_files();
    file_lock::descriptor_closed(caller, &file);
    file.ops().closed(caller, &file);
}
