//! Fixed limits: `include/uapi/linux/limits.h`, `binfmts.h`, `include/linux/sched.h`.

/// The longest path, with its NUL.
pub const PATH_MAX: usize = 4096;
/// The longest file name, without a NUL.
pub const NAME_MAX: usize = 255;
/// How many symbolic links one path may follow (`MAXSYMLINKS`).
pub const MAXSYMLINKS: u32 = 40;
/// Writes up to this size are not split in a pipe.
pub const PIPE_BUF: usize = 4096;
/// A pipe's capacity unless changed.
pub const PIPE_DEFAULT_SIZE: usize = 65536;
/// The largest capacity an unprivileged process may choose (`/proc/sys/fs/pipe-max-size`).
pub const PIPE_MAX_SIZE: usize = 1 << 20;
/// Always granted for arguments and environment, whatever the stack limit.
pub const ARG_MAX: usize = 131_072;
/// The longest single argument or environment string, with its NUL.
pub const MAX_ARG_STRLEN: usize = 131_072;
/// The most argument or environment strings.
pub const MAX_ARG_STRINGS: usize = 0x7fff_ffff;
/// How much of a file execve(2) reads to recognise its format.
pub const BINPRM_BUF_SIZE: usize = 256;
/// A thread's name, with its NUL.
pub const TASK_COMM_LEN: usize = 16;
/// The most supplementary groups.
pub const NGROUPS_MAX: usize = 65536;
/// The highest `RLIMIT_NOFILE` allowed (`/proc/sys/fs/nr_open`).
pub const NR_OPEN: u64 = 1 << 20;
/// One more than the highest process id, the 64-bit ceiling of `/proc/sys/kernel/pid_max`.
pub const PID_MAX_LIMIT: i32 = 1 << 22;
/// The longest host name, without a NUL.
pub const HOST_NAME_MAX: usize = 64;
/// The most links to one file that a file system without its own limit allows.
pub const LINK_MAX: u32 = 65000;

const _: () = {
    use linux_raw_sys::general as sys;
    assert!(PATH_MAX == sys::PATH_MAX as usize);
    assert!(NAME_MAX == sys::NAME_MAX as usize);
    assert!(PIPE_BUF == sys::PIPE_BUF as usize);
    assert!(ARG_MAX == sys::ARG_MAX as usize);
    assert!(NGROUPS_MAX == sys::NGROUPS_MAX as usize);
};
