//! Working directory, root and umask of a task.

/// What `CLONE_FS` shares.
#[derive(Debug, Default)]
pub struct FsContext {}

impl FsContext {
    /// A copy for a child that does not share it.
    pub fn duplicate(&self) -> Self {
        Self {}
    }
}
