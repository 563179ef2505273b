//! The table: one line per call.
//!
//! `number name => handler, support;` — dispatch, names, strace and `docs/syscalls.md` are made
//! from these lines.

use core::fmt;

use lx_core::Result;
use lx_core::abi::{Errno, Sysno};
use lx_proc::CurrentTask;

use crate::handler::Handler;
use crate::sys;

/// How far a call is implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Everything its man page says.
    Full,
    /// Part; the note says what is missing.
    Partial(&'static str),
}

/// One line of the table.
pub struct Entry {
    /// Name.
    pub name: &'static str,
    /// Support level.
    pub support: Support,
    /// Prints an argument by its type.
    pub trace: fn(&CurrentTask<'_>, usize, &[u64; 6], &mut fmt::Formatter<'_>) -> fmt::Result,
    /// For each argument, whether it is a pointer.
    pub pointers: fn() -> &'static [bool],
}

/// Decodes the arguments and calls the handler.
pub type Call = fn(&CurrentTask<'_>) -> Result<u64>;

/// One more than the highest number in the table.
pub const TABLE_LEN: usize = 512;

macro_rules! syscalls {
    ($($number:literal $name:ident => $($handler:ident)::+, $support:expr;)*) => {
        /// The entry of each number, `None` where a call is not implemented.
        pub static TABLE: [Option<Entry>; TABLE_LEN] = {
            let mut table = [const { None }; TABLE_LEN];
            $(
                table[$number] = Some(Entry {
                    name: stringify!($name),
                    support: $support,
                    trace: |task, index, args, f| {
                        Handler::trace(&sys::$($handler)::+, task, index, args, f)
                    },
                    pointers: || Handler::pointers(&sys::$($handler)::+),
                });
            )*
            table
        };

        /// What to call for each number: all that dispatch needs, in few lines of the cache.
        static CALLS: [Call; TABLE_LEN] = {
            let mut calls: [Call; TABLE_LEN] = [unknown; TABLE_LEN];
            $(calls[$number] = |task| Handler::call(&sys::$($handler)::+, task);)*
            calls
        };
    };
}

/// What to call for a number, in the table or not.
#[inline(always)]
pub fn call_of(number: u64) -> Call {
    match usize::try_from(number).ok().and_then(|number| CALLS.get(number)) {
        Some(call) => *call,
        None => unknown,
    }
}

/// Calls that are left out on purpose: nobody has to be told.
const LEFT_OUT: &[Sysno] = &[
    // docs/decisions/0019-no-rseq.md
    Sysno::rseq,
];

#[cold]
fn unknown(current: &CurrentTask<'_>) -> Result<u64> {
    let number = current.regs().orig_rax;
    if !LEFT_OUT.iter().any(|call| u64::from(call.0) == number) {
        lx_core::unsupported::note("system call", number);
    }
    Err(Errno::ENOSYS.into())
}

use Support::{Full, Partial};

syscalls! {
    0 read => io::sys_read, Full;
    1 write => io::sys_write, Full;
    2 open => open::sys_open, Full;
    3 close => fd::sys_close, Full;
    4 stat => stat::sys_stat, Full;
    5 fstat => stat::sys_fstat, Full;
    6 lstat => stat::sys_lstat, Full;
    7 poll => poll::sys_poll, Full;
    8 lseek => io::sys_lseek, Full;
    9 mmap => mm::sys_mmap, Partial("huge pages do not exist");
    10 mprotect => mm::sys_mprotect, Full;
    11 munmap => mm::sys_munmap, Full;
    12 brk => mm::sys_brk, Full;
    13 rt_sigaction => signal::sys_rt_sigaction, Full;
    14 rt_sigprocmask => signal::sys_rt_sigprocmask, Full;
    15 rt_sigreturn => signal::sys_rt_sigreturn, Full;
    16 ioctl => ioctl::sys_ioctl, Partial("requests of files that lx has; no FIOASYNC");
    17 pread64 => io::sys_pread64, Full;
    18 pwrite64 => io::sys_pwrite64, Full;
    19 readv => io::sys_readv, Full;
    20 writev => io::sys_writev, Full;
    21 access => attr::sys_access, Full;
    22 pipe => pipe::sys_pipe, Full;
    23 select => poll::sys_select, Full;
    24 sched_yield => sched::sys_sched_yield, Full;
    25 mremap => mm::sys_mremap, Partial("MREMAP_DONTUNMAP of private file mappings re-reads the file");
    26 msync => mm::sys_msync, Full;
    27 mincore => mm::sys_mincore, Partial("what is mapped counts as present");
    28 madvise => mm::sys_madvise, Partial("guard pages and memory failures are EINVAL");
    29 shmget => shm::sys_shmget, Partial("no huge pages");
    30 shmat => shm::sys_shmat, Full;
    31 shmctl => shm::sys_shmctl, Partial("locks are noted; the host decides what stays in memory");
    32 dup => fd::sys_dup, Full;
    33 dup2 => fd::sys_dup2, Full;
    34 pause => signal::sys_pause, Full;
    35 nanosleep => time::sys_nanosleep, Full;
    36 getitimer => timer::sys_getitimer, Full;
    37 alarm => timer::sys_alarm, Full;
    38 setitimer => timer::sys_setitimer, Full;
    39 getpid => id::sys_getpid, Full;
    40 sendfile => splice::sys_sendfile, Full;
    41 socket => socket::sys_socket, Partial("AF_UNIX, AF_INET, AF_INET6, and of AF_NETLINK interfaces and their addresses");
    42 connect => socket::sys_connect, Full;
    43 accept => socket::sys_accept, Full;
    44 sendto => message::sys_sendto, Partial("AF_UNIX: no MSG_OOB");
    45 recvfrom => message::sys_recvfrom, Partial("AF_UNIX: no MSG_OOB");
    46 sendmsg => message::sys_sendmsg, Partial("AF_UNIX: no MSG_OOB");
    47 recvmsg => message::sys_recvmsg, Partial("AF_UNIX: no MSG_OOB");
    48 shutdown => socket::sys_shutdown, Full;
    49 bind => socket::sys_bind, Full;
    50 listen => socket::sys_listen, Full;
    51 getsockname => socket::sys_getsockname, Full;
    52 getpeername => socket::sys_getpeername, Full;
    53 socketpair => socket::sys_socketpair, Full;
    54 setsockopt => socket::sys_setsockopt, Partial("no packet filters");
    55 getsockopt => socket::sys_getsockopt, Partial("no SO_PEERPIDFD, SO_PEERGROUPS, SO_PEERSEC");
    56 clone => process::sys_clone, Partial("no namespaces");
    57 fork => process::sys_fork, Full;
    58 vfork => process::sys_vfork, Full;
    59 execve => exec::sys_execve, Full;
    60 exit => process::sys_exit, Full;
    61 wait4 => process::sys_wait4, Partial("of the usage only the time, as user time");
    62 kill => signal::sys_kill, Full;
    63 uname => info::sys_uname, Full;
    64 semget => sem::sys_semget, Full;
    65 semop => sem::sys_semop, Full;
    66 semctl => sem::sys_semctl, Full;
    67 shmdt => shm::sys_shmdt, Full;
    68 msgget => msg::sys_msgget, Full;
    69 msgsnd => msg::sys_msgsnd, Full;
    70 msgrcv => msg::sys_msgrcv, Full;
    71 msgctl => msg::sys_msgctl, Full;
    72 fcntl => fd::sys_fcntl, Partial("no notifications; SIGIO for leases only");
    73 flock => fd::sys_flock, Full;
    74 fsync => io::sys_fsync, Full;
    75 fdatasync => io::sys_fdatasync, Full;
    76 truncate => truncate::sys_truncate, Full;
    77 ftruncate => truncate::sys_ftruncate, Full;
    78 getdents => dir::sys_getdents, Full;
    79 getcwd => cwd::sys_getcwd, Full;
    80 chdir => cwd::sys_chdir, Full;
    81 fchdir => cwd::sys_fchdir, Full;
    82 rename => path::sys_rename, Full;
    83 mkdir => path::sys_mkdir, Full;
    84 rmdir => path::sys_rmdir, Full;
    85 creat => open::sys_creat, Full;
    86 link => path::sys_link, Full;
    87 unlink => path::sys_unlink, Full;
    88 symlink => path::sys_symlink, Full;
    89 readlink => path::sys_readlink, Full;
    90 chmod => attr::sys_chmod, Full;
    91 fchmod => attr::sys_fchmod, Partial("pipes, sockets and anonymous inodes give EOPNOTSUPP");
    92 chown => attr::sys_chown, Full;
    93 fchown => attr::sys_fchown, Partial("pipes, sockets and anonymous inodes give EOPNOTSUPP");
    94 lchown => attr::sys_lchown, Full;
    95 umask => cwd::sys_umask, Full;
    96 gettimeofday => time::sys_gettimeofday, Full;
    97 getrlimit => info::sys_getrlimit, Full;
    98 getrusage => info::sys_getrusage, Partial("processor time only");
    99 sysinfo => info::sys_sysinfo, Full;
    100 times => time::sys_times, Full;
    102 getuid => cred::sys_getuid, Full;
    103 syslog => info::sys_syslog, Partial("one line of boot; nothing that consumes the log, nothing about the console");
    104 getgid => cred::sys_getgid, Full;
    105 setuid => cred::sys_setuid, Full;
    106 setgid => cred::sys_setgid, Full;
    107 geteuid => cred::sys_geteuid, Full;
    108 getegid => cred::sys_getegid, Full;
    109 setpgid => id::sys_setpgid, Full;
    110 getppid => id::sys_getppid, Full;
    111 getpgrp => id::sys_getpgrp, Full;
    112 setsid => id::sys_setsid, Full;
    113 setreuid => cred::sys_setreuid, Full;
    114 setregid => cred::sys_setregid, Full;
    115 getgroups => cred::sys_getgroups, Full;
    116 setgroups => cred::sys_setgroups, Full;
    117 setresuid => cred::sys_setresuid, Full;
    118 getresuid => cred::sys_getresuid, Full;
    119 setresgid => cred::sys_setresgid, Full;
    120 getresgid => cred::sys_getresgid, Full;
    121 getpgid => id::sys_getpgid, Full;
    122 setfsuid => cred::sys_setfsuid, Full;
    123 setfsgid => cred::sys_setfsgid, Full;
    124 getsid => id::sys_getsid, Full;
    125 capget => capability::sys_capget, Full;
    126 capset => capability::sys_capset, Full;
    127 rt_sigpending => signal::sys_rt_sigpending, Full;
    128 rt_sigtimedwait => signal::sys_rt_sigtimedwait, Full;
    129 rt_sigqueueinfo => signal::sys_rt_sigqueueinfo, Full;
    130 rt_sigsuspend => signal::sys_rt_sigsuspend, Full;
    131 sigaltstack => signal::sys_sigaltstack, Full;
    132 utime => utime::sys_utime, Full;
    133 mknod => path::sys_mknod, Full;
    135 personality => prctl::sys_personality, Partial("recorded");
    137 statfs => stat::sys_statfs, Full;
    138 fstatfs => stat::sys_fstatfs, Full;
    139 sysfs => filesystems::sys_sysfs, Full;
    140 getpriority => priority::sys_getpriority, Full;
    141 setpriority => priority::sys_setpriority, Partial("recorded; the host schedules");
    142 sched_setparam => sched::sys_sched_setparam, Partial("recorded; the host schedules");
    143 sched_getparam => sched::sys_sched_getparam, Full;
    144 sched_setscheduler => sched::sys_sched_setscheduler, Partial("recorded; the host schedules");
    145 sched_getscheduler => sched::sys_sched_getscheduler, Full;
    146 sched_get_priority_max => sched::sys_sched_get_priority_max, Full;
    147 sched_get_priority_min => sched::sys_sched_get_priority_min, Full;
    148 sched_rr_get_interval => sched::sys_sched_rr_get_interval, Full;
    149 mlock => mm::sys_mlock, Partial("accounting only");
    150 munlock => mm::sys_munlock, Full;
    151 mlockall => mm::sys_mlockall, Partial("accounting only");
    152 munlockall => mm::sys_munlockall, Full;
    155 pivot_root => mount::sys_pivot_root, Full;
    157 prctl => prctl::sys_prctl, Partial("names, death signals, privileges, seccomp; no PR_SET_MM");
    158 arch_prctl => prctl::sys_arch_prctl, Partial("the GS base is the kernel's; no CPUID faulting");
    159 adjtimex => time::sys_adjtimex, Partial("shows the clock; changes give EPERM");
    160 setrlimit => info::sys_setrlimit, Full;
    161 chroot => cwd::sys_chroot, Full;
    162 sync => io::sys_sync, Partial("the host's caches are left to the host");
    164 settimeofday => time::sys_settimeofday, Partial("always EPERM: the clocks are the host's");
    165 mount => mount::sys_mount, Partial("tmpfs, proc, sysfs, mqueue, overlay, bind and move; one tree, all mounts are private; overlays without redirect_dir, index and metacopy");
    166 umount2 => mount::sys_umount2, Partial("no MNT_EXPIRE");
    167 swapon => swap::sys_swapon, Partial("no file can hold swap");
    168 swapoff => swap::sys_swapoff, Partial("no file can hold swap");
    170 sethostname => info::sys_sethostname, Full;
    171 setdomainname => info::sys_setdomainname, Full;
    179 quotactl => quota::sys_quotactl, Partial("no file system has quotas");
    186 gettid => id::sys_gettid, Full;
    187 readahead => io::sys_readahead, Full;
    188 setxattr => xattr::sys_setxattr, Partial("no access-control lists");
    189 lsetxattr => xattr::sys_lsetxattr, Partial("no access-control lists");
    190 fsetxattr => xattr::sys_fsetxattr, Partial("no access-control lists");
    191 getxattr => xattr::sys_getxattr, Full;
    192 lgetxattr => xattr::sys_lgetxattr, Full;
    193 fgetxattr => xattr::sys_fgetxattr, Full;
    194 listxattr => xattr::sys_listxattr, Full;
    195 llistxattr => xattr::sys_llistxattr, Full;
    196 flistxattr => xattr::sys_flistxattr, Full;
    197 removexattr => xattr::sys_removexattr, Full;
    198 lremovexattr => xattr::sys_lremovexattr, Full;
    199 fremovexattr => xattr::sys_fremovexattr, Full;
    200 tkill => signal::sys_tkill, Full;
    201 time => time::sys_time, Full;
    202 futex => futex::sys_futex, Partial("an owner is not boosted to the priority of its waiters");
    203 sched_setaffinity => sched::sys_sched_setaffinity, Partial("recorded; the host schedules");
    204 sched_getaffinity => sched::sys_sched_getaffinity, Full;
    206 io_setup => aio::sys_io_setup, Full;
    207 io_destroy => aio::sys_io_destroy, Full;
    208 io_getevents => aio::sys_io_getevents, Full;
    209 io_submit => aio::sys_io_submit, Partial("reads, writes and fsync are done at once, as Linux does without O_DIRECT; no RWF_ATOMIC, RWF_DONTCACHE");
    210 io_cancel => aio::sys_io_cancel, Full;
    213 epoll_create => epoll::sys_epoll_create, Full;
    217 getdents64 => dir::sys_getdents64, Full;
    218 set_tid_address => process::sys_set_tid_address, Full;
    219 restart_syscall => process::sys_restart_syscall, Full;
    220 semtimedop => sem::sys_semtimedop, Full;
    221 fadvise64 => io::sys_fadvise64, Full;
    222 timer_create => timer::sys_timer_create, Partial("no timers of a thread's processor time");
    223 timer_settime => timer::sys_timer_settime, Full;
    224 timer_gettime => timer::sys_timer_gettime, Full;
    225 timer_getoverrun => timer::sys_timer_getoverrun, Full;
    226 timer_delete => timer::sys_timer_delete, Full;
    227 clock_settime => time::sys_clock_settime, Partial("always EPERM: the clocks are the host's");
    228 clock_gettime => time::sys_clock_gettime, Partial("processor time only of the caller");
    229 clock_getres => time::sys_clock_getres, Full;
    230 clock_nanosleep => time::sys_clock_nanosleep, Partial("not by processor time");
    231 exit_group => process::sys_exit_group, Full;
    232 epoll_wait => epoll::sys_epoll_wait, Full;
    233 epoll_ctl => epoll::sys_epoll_ctl, Full;
    234 tgkill => signal::sys_tgkill, Full;
    235 utimes => utime::sys_utimes, Full;
    237 mbind => numa::sys_mbind, Partial("one node; the policy of shared memory is its mapping's");
    238 set_mempolicy => numa::sys_set_mempolicy, Full;
    239 get_mempolicy => numa::sys_get_mempolicy, Full;
    240 mq_open => mqueue::sys_mq_open, Full;
    241 mq_unlink => mqueue::sys_mq_unlink, Full;
    242 mq_timedsend => mqueue::sys_mq_timedsend, Full;
    243 mq_timedreceive => mqueue::sys_mq_timedreceive, Full;
    244 mq_notify => mqueue::sys_mq_notify, Full;
    245 mq_getsetattr => mqueue::sys_mq_getsetattr, Full;
    247 waitid => process::sys_waitid, Partial("of the usage only the time");
    248 add_key => keys::sys_add_key, Partial("keyrings and keys of the types user and logon");
    249 request_key => keys::sys_request_key, Partial("nobody is asked for a key that there is not");
    250 keyctl => keys::sys_keyctl, Partial("no key is made on request; no cryptography, restrictions, moves, watches");
    251 ioprio_set => priority::sys_ioprio_set, Partial("recorded; the host schedules");
    252 ioprio_get => priority::sys_ioprio_get, Full;
    253 inotify_init => inotify::sys_inotify_init, Full;
    254 inotify_add_watch => inotify::sys_inotify_add_watch, Partial("IN_DELETE_SELF comes with the last name, though the file may be open");
    255 inotify_rm_watch => inotify::sys_inotify_rm_watch, Full;
    256 migrate_pages => numa::sys_migrate_pages, Full;
    257 openat => open::sys_openat, Full;
    258 mkdirat => path::sys_mkdirat, Full;
    259 mknodat => path::sys_mknodat, Full;
    260 fchownat => attr::sys_fchownat, Full;
    261 futimesat => utime::sys_futimesat, Full;
    262 newfstatat => stat::sys_newfstatat, Full;
    263 unlinkat => path::sys_unlinkat, Full;
    264 renameat => path::sys_renameat, Full;
    265 linkat => path::sys_linkat, Partial("AT_EMPTY_PATH does not ask who opened the file");
    266 symlinkat => path::sys_symlinkat, Full;
    267 readlinkat => path::sys_readlinkat, Full;
    268 fchmodat => attr::sys_fchmodat, Full;
    269 faccessat => attr::sys_faccessat, Full;
    270 pselect6 => poll::sys_pselect6, Full;
    271 ppoll => poll::sys_ppoll, Full;
    272 unshare => process::sys_unshare, Partial("no namespaces");
    273 set_robust_list => futex::sys_set_robust_list, Full;
    274 get_robust_list => futex::sys_get_robust_list, Full;
    275 splice => splice::sys_splice, Full;
    276 tee => splice::sys_tee, Full;
    277 sync_file_range => io::sys_sync_file_range, Full;
    278 vmsplice => splice::sys_vmsplice, Partial("copies");
    279 move_pages => numa::sys_move_pages, Partial("what is mapped counts as present");
    280 utimensat => utime::sys_utimensat, Full;
    281 epoll_pwait => epoll::sys_epoll_pwait, Full;
    282 signalfd => signalfd::sys_signalfd, Full;
    283 timerfd_create => timerfd::sys_timerfd_create, Full;
    284 eventfd => eventfd::sys_eventfd, Full;
    285 fallocate => truncate::sys_fallocate, Full;
    286 timerfd_settime => timerfd::sys_timerfd_settime, Full;
    287 timerfd_gettime => timerfd::sys_timerfd_gettime, Full;
    288 accept4 => socket::sys_accept4, Full;
    289 signalfd4 => signalfd::sys_signalfd4, Full;
    290 eventfd2 => eventfd::sys_eventfd2, Full;
    291 epoll_create1 => epoll::sys_epoll_create1, Full;
    292 dup3 => fd::sys_dup3, Full;
    293 pipe2 => pipe::sys_pipe2, Full;
    294 inotify_init1 => inotify::sys_inotify_init1, Full;
    295 preadv => io::sys_preadv, Full;
    296 pwritev => io::sys_pwritev, Full;
    297 rt_tgsigqueueinfo => signal::sys_rt_tgsigqueueinfo, Full;
    299 recvmmsg => message::sys_recvmmsg, Partial("AF_UNIX: no MSG_OOB");
    302 prlimit64 => info::sys_prlimit64, Full;
    305 clock_adjtime => time::sys_clock_adjtime, Partial("shows the clock; changes give EPERM");
    306 syncfs => io::sys_syncfs, Partial("the host's caches are left to the host");
    307 sendmmsg => message::sys_sendmmsg, Partial("AF_UNIX: no MSG_OOB");
    309 getcpu => sched::sys_getcpu, Full;
    310 process_vm_readv => process_vm::sys_process_vm_readv, Full;
    311 process_vm_writev => process_vm::sys_process_vm_writev, Full;
    312 kcmp => kcmp::sys_kcmp, Partial("I/O contexts are not shared: KCMP_IO gives 0");
    314 sched_setattr => sched::sys_sched_setattr, Partial("recorded; no SCHED_DEADLINE, no utilisation clamps");
    315 sched_getattr => sched::sys_sched_getattr, Full;
    316 renameat2 => path::sys_renameat2, Partial("RENAME_WHITEOUT gives EINVAL");
    317 seccomp => seccomp::sys_seccomp, Partial("no SECCOMP_FILTER_FLAG_NEW_LISTENER; nothing is logged");
    318 getrandom => info::sys_getrandom, Full;
    319 memfd_create => memfd::sys_memfd_create, Partial("no MFD_HUGETLB");
    322 execveat => exec::sys_execveat, Full;
    324 membarrier => membarrier::sys_membarrier, Partial("private expedited and global barriers");
    325 mlock2 => mm::sys_mlock2, Partial("accounting only");
    326 copy_file_range => splice::sys_copy_file_range, Full;
    329 pkey_mprotect => mm::sys_pkey_mprotect, Partial("as on a processor without protection keys");
    330 pkey_alloc => mm::sys_pkey_alloc, Partial("as on a processor without protection keys");
    331 pkey_free => mm::sys_pkey_free, Partial("as on a processor without protection keys");
    327 preadv2 => io::sys_preadv2, Partial("RWF_NOWAIT may wait for the host's disk; no RWF_DONTCACHE");
    328 pwritev2 => io::sys_pwritev2, Partial("no RWF_ATOMIC, RWF_DONTCACHE");
    332 statx => stat::sys_statx, Partial("STATX_DIOALIGN, STATX_SUBVOL, STATX_WRITE_ATOMIC are not filled in");
    333 io_pgetevents => aio::sys_io_pgetevents, Full;
    424 pidfd_send_signal => pidfd::sys_pidfd_send_signal, Partial("to a whole process");
    434 pidfd_open => pidfd::sys_pidfd_open, Partial("no PIDFD_THREAD");
    435 clone3 => process::sys_clone3, Partial("no namespaces, no set_tid, no cgroup");
    436 close_range => fd::sys_close_range, Full;
    437 openat2 => open::sys_openat2, Partial("RESOLVE_CACHED always gives EAGAIN");
    438 pidfd_getfd => process_vm::sys_pidfd_getfd, Full;
    439 faccessat2 => attr::sys_faccessat2, Full;
    440 process_madvise => process_vm::sys_process_madvise, Full;
    441 epoll_pwait2 => epoll::sys_epoll_pwait2, Full;
    443 quotactl_fd => quota::sys_quotactl_fd, Partial("no file system has quotas");
    449 futex_waitv => futex2::sys_futex_waitv, Partial("no FUTEX2_NUMA, FUTEX2_MPOL");
    450 set_mempolicy_home_node => numa::sys_set_mempolicy_home_node, Full;
    452 fchmodat2 => attr::sys_fchmodat2, Full;
    454 futex_wake => futex2::sys_futex_wake, Partial("no FUTEX2_NUMA, FUTEX2_MPOL");
    455 futex_wait => futex2::sys_futex_wait, Partial("no FUTEX2_NUMA, FUTEX2_MPOL");
    456 futex_requeue => futex2::sys_futex_requeue, Partial("no FUTEX2_NUMA, FUTEX2_MPOL");
    463 setxattrat => xattr::sys_setxattrat, Partial("no access-control lists");
    464 getxattrat => xattr::sys_getxattrat, Full;
    465 listxattrat => xattr::sys_listxattrat, Full;
    466 removexattrat => xattr::sys_removexattrat, Full;
}
