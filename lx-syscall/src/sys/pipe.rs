//! `pipe(2)` and `pipe2(2)`.

use lx_core::Result;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::{Errno, Fd, UserPtr};
use lx_core::rlimit::Resource;
use lx_proc::CurrentTask;
use lx_vfs::pipe;

/// What `flags` may hold.
const TAKEN: OpenFlags =
    OpenFlags::O_CLOEXEC.union(OpenFlags::O_NONBLOCK).union(OpenFlags::O_DIRECT);
/// Asks for a pipe that the kernel's events are read from.
const O_NOTIFICATION_PIPE: OpenFlags = OpenFlags::O_EXCL;

/// `pipe(2)`.
pub(crate) fn sys_pipe(task: &CurrentTask<'_>, pipefd: UserPtr<[Fd; 2]>) -> Result<()> {
    create(task, pipefd, OpenFlags::empty())
}

/// `pipe2(2)`: creates a pipe and stores its descriptors, read end first, at `pipefd`.
///
/// # Errors
///
/// - `EINVAL`: `flags` has a bit besides `O_CLOEXEC`, `O_NONBLOCK` and `O_DIRECT`.
/// - `ENOPKG`: a pipe of notifications, as of a Linux built without them.
/// - `EMFILE`: fewer than two descriptors are free below `RLIMIT_NOFILE`.
/// - `EFAULT`: `pipefd` is not writable; no descriptor stays behind.
pub(crate) fn sys_pipe2(
    task: &CurrentTask<'_>,
    pipefd: UserPtr<[Fd; 2]>,
    flags: u32,
) -> Result<()> {
    let flags = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if flags.contains(O_NOTIFICATION_PIPE) && TAKEN.contains(flags - O_NOTIFICATION_PIPE) {
        return Err(Errno::ENOPKG.into());
    }
    create(task, pipefd, flags)
}

fn create(task: &CurrentTask<'_>, pipefd: UserPtr<[Fd; 2]>, flags: OpenFlags) -> Result<()> {
    if !TAKEN.contains(flags) {
        return Err(Errno::EINVAL.into());
    }
    let (reader, writer) = pipe::new_pair(&task.caller(), flags)?;
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let cloexec = flags.contains(OpenFlags::O_CLOEXEC);
    let reader_fd = task.files().reserve(0, limit, cloexec)?;
    let writer_fd = task.files().reserve(0, limit, cloexec)?;

    // Store the numbers before installing the files, as Linux does: a reserved number is
    // invisible to threads that share this table, and dropping the reservation frees it.
    task.memory().write(pipefd, &[reader_fd.number(), writer_fd.number()])?;

    reader_fd.install(reader);
    writer_fd.install(writer);
    Ok(())
}
