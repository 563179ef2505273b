//! Bad pointers: each pointer argument of each system call gets an address that is not mapped,
//! and, where the kernel stores something, a page that is read-only.
//!
//! Each attempt runs in a process of its own and prints what the call answered. Linux's answers
//! are the specification: where they differ from `EFAULT` (a call that looks at the pointer only
//! if something happens), lx's must differ in the same way. `--list` prints `call argument` for
//! every pointer that is tried, which a test compares with lx's table.

#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "raw calls whose pointers are to live objects, or ones that the kernel must refuse"
)]

use std::ffi::CString;
use std::io::Write;
use std::process::exit;
use std::ptr::null_mut;

use libc::c_long;
use lx_guest_tests::{Scratch, aio, c, call, mqueue};

/// An argument of a recipe.
#[derive(Clone, Copy)]
enum Arg {
    /// A number.
    N(i64),
    /// A path or another string that the kernel reads.
    S(&'static str),
    /// A buffer that the kernel reads (zeros when it is good).
    In,
    /// A buffer that the kernel writes, and perhaps reads before.
    Out,
    /// A pointer that is null in every attempt but its own.
    Null,
    /// As `Out`, holding the length of a buffer before.
    Length,
    /// As `Out`, holding a capability header before.
    CapHeader,
    /// As `In`, a list with one piece of memory.
    Piece,
    /// The address of a page; the call does not follow it.
    Page,
    /// As `In`, holding a set of one signal, which is pending.
    Signals,
    /// As `In`, holding a time to sleep, which a signal cuts short.
    Sleep,
    /// An armed timer.
    Timer,
    /// A prepared descriptor.
    File,
    Mem,
    Dir,
    PipeIn,
    PipeOut,
    Sock,
    /// A listening socket that somebody has connected to.
    Listener,
    Epoll,
    Event,
    TimerFd,
    PidFd,
    Watches,
    /// A message queue with a message.
    Queue,
    /// The descriptor of a POSIX message queue with a message.
    Mail,
    /// A context of asynchronous I/O with a completion.
    Aio,
    /// A descriptor of the file [`TAGGED`].
    Tagged,
}

use Arg::{
    Aio, CapHeader, Dir, Epoll, Event, File, In, Length, Listener, Mail, Mem, N, Null, Out, Page,
    PidFd, Piece, PipeIn, PipeOut, Queue, S, Signals, Sleep, Sock, Tagged, Timer, TimerFd, Watches,
};

/// The folder that the calls may look at.
const CWD: Arg = N(libc::AT_FDCWD as i64);
const HERE: Arg = S("/");
/// An id that no object of System V IPC has.
const NO_ID: Arg = N(0x7fff_fff0);
/// The command of System V IPC that needs no object.
const IPC_INFO: Arg = N(3);
const MISSING: Arg = S("/nonexistent/file");
/// A file in the working folder with the extended attribute `user.tag`.
const TAGGED: &str = "tagged";

macro_rules! recipes {
    ($($name:ident($($argument:expr),*);)*) => {
        /// Every call that takes a pointer, with arguments that let it reach the pointer.
        const RECIPES: &[(&str, c_long, &[Arg])] = &[
            $((
                stringify!($name),
                number::$name,
                &[$($argument),*],
            ),)*
        ];
    };
}

/// Numbers of the calls; the C library's crate lacks the newest.
#[expect(non_upper_case_globals, reason = "named as the calls")]
mod number {
    use libc::c_long;

    macro_rules! numbers {
        ($($name:ident = $from:ident;)*) => { $(pub(super) const $name: c_long = libc::$from;)* };
    }
    include!("../pointer_numbers.rs");
    pub(super) const io_pgetevents: c_long = 333;
    pub(super) const fchmodat2: c_long = 452;
    pub(super) const setxattrat: c_long = 463;
    pub(super) const getxattrat: c_long = 464;
    pub(super) const listxattrat: c_long = 465;
    pub(super) const removexattrat: c_long = 466;
    pub(super) const epoll_pwait2: c_long = 441;
    pub(super) const futex_waitv: c_long = 449;
    pub(super) const futex_wake: c_long = 454;
    pub(super) const futex_wait: c_long = 455;
    pub(super) const futex_requeue: c_long = 456;
}

recipes! {
    read(PipeIn, Out, N(8));
    write(PipeOut, In, N(8));
    open(S("/dev/null"), N(0), N(0));
    stat(HERE, Out);
    fstat(File, Out);
    lstat(HERE, Out);
    poll(Out, N(1), N(0));
    rt_sigaction(N(10), In, Out, N(8));
    rt_sigprocmask(N(0), In, Out, N(8));
    pread64(File, Out, N(8), N(0));
    pwrite64(Mem, In, N(8), N(0));
    readv(PipeIn, In, N(1));
    writev(PipeOut, In, N(1));
    access(HERE, N(0));
    pipe(Out);
    select(N(1), Out, Out, Out, Out);
    mincore(Page, N(4096), Out);
    nanosleep(Sleep, Out);
    getitimer(N(0), Out);
    setitimer(N(0), In, Out);
    sendfile(PipeOut, File, Out, N(8));
    sendto(Sock, In, N(8), N(0), N(0), N(0));
    sendto(Sock, N(0), N(0), N(0), In, N(16));
    recvfrom(Sock, Out, N(8), N(0), Out, Length);
    bind(Sock, In, N(16));
    connect(Sock, In, N(16));
    accept(Listener, Out, Length);
    accept4(Listener, Out, Length, N(0));
    setsockopt(Sock, N(1), N(2), In, N(4));
    sendmmsg(Sock, Out, N(1), N(0));
    recvmmsg(Sock, Out, N(1), N(0x40), Out);
    sendmsg(Sock, In, N(0));
    recvmsg(Sock, Out, N(0x40));
    getsockname(Sock, Out, Length);
    getpeername(Sock, Out, Length);
    socketpair(N(1), N(1), N(0), Out);
    getsockopt(Sock, N(1), N(3), Out, Length);
    clone(N(PARENT_SETTID), N(0), Out, N(0), N(0));
    clone(N(CHILD_SETTID), N(0), N(0), Out, N(0));
    execve(S("/bin/true"), In, In);
    wait4(N(-1), Out, N(0), Out);
    uname(Out);
    truncate(MISSING, N(0));
    getdents(Dir, Out, N(1024));
    getcwd(Out, N(4096));
    chdir(HERE);
    rename(HERE, MISSING);
    mkdir(HERE, N(0o755));
    rmdir(MISSING);
    creat(MISSING, N(0o644));
    link(HERE, MISSING);
    unlink(MISSING);
    symlink(S("target"), MISSING);
    readlink(S("/proc/self/exe"), Out, N(64));
    chmod(MISSING, N(0o644));
    chown(MISSING, N(-1), N(-1));
    lchown(MISSING, N(-1), N(-1));
    gettimeofday(Out, Out);
    getrlimit(N(7), Out);
    getrusage(N(0), Out);
    sysinfo(Out);
    syslog(N(3), Out, N(4096));
    times(Out);
    getgroups(N(64), Out);
    setgroups(N(2), In);
    getresuid(Out, Out, Out);
    getresgid(Out, Out, Out);
    capget(CapHeader, Out);
    capset(CapHeader, In);
    rt_sigpending(Out, N(8));
    rt_sigtimedwait(Signals, Out, In, N(8));
    rt_sigqueueinfo(N(0), N(10), In);
    rt_sigsuspend(In, N(8));
    sigaltstack(Null, Out);
    utime(MISSING, In);
    mknod(MISSING, N(0o010_644), N(0));
    statfs(HERE, Out);
    fstatfs(File, Out);
    sched_setparam(N(0), In);
    sched_getparam(N(0), Out);
    sched_setscheduler(N(0), N(0), In);
    sched_rr_get_interval(N(0), Out);
    setrlimit(N(4), In);
    chroot(MISSING);
    adjtimex(Out);
    settimeofday(Null, Null);
    sethostname(Null, N(4));
    setdomainname(Null, N(4));
    setxattr(MISSING, S("user.a"), In, N(4), N(0));
    lsetxattr(MISSING, S("user.a"), In, N(4), N(0));
    fsetxattr(Mem, S("user.a"), In, N(4), N(2));
    getxattr(S(TAGGED), S("user.tag"), Out, N(16));
    lgetxattr(S(TAGGED), S("user.tag"), Out, N(16));
    fgetxattr(Tagged, S("user.tag"), Out, N(16));
    listxattr(S(TAGGED), Out, N(64));
    llistxattr(S(TAGGED), Out, N(64));
    flistxattr(Tagged, Out, N(64));
    removexattr(MISSING, S("user.a"));
    lremovexattr(MISSING, S("user.a"));
    fremovexattr(Dir, S("user.missing"));
    time(Out);
    futex(In, N(128), N(1), Null, N(0), N(0));
    futex(In, N(3), N(1), N(1), In, N(0));
    futex_waitv(In, N(1), N(0), Null, N(1), N(0));
    futex_wake(In, N(0xffff_ffff), N(1), N(2), N(0), N(0));
    futex_wait(In, N(1), N(0xffff_ffff), N(0x82), Null, N(1));
    futex_requeue(In, N(0), N(1), N(1), N(0), N(0));
    sched_setaffinity(N(0), N(8), In);
    sched_getaffinity(N(0), N(128), Out);
    getdents64(Dir, Out, N(1024));
    timer_create(N(0), Null, Out);
    timer_settime(Timer, N(0), In, Out);
    timer_gettime(Timer, Out);
    clock_settime(N(0), Null);
    clock_gettime(N(1), Out);
    clock_getres(N(1), Out);
    clock_nanosleep(N(1), N(0), Sleep, Out);
    clock_adjtime(N(0), Out);
    epoll_wait(Epoll, Out, N(4), N(0));
    epoll_ctl(Epoll, N(1), PipeIn, In);
    utimes(MISSING, In);
    waitid(N(0), N(0), Out, N(4), Out);
    openat(CWD, S("/dev/null"), N(0), N(0));
    mkdirat(CWD, HERE, N(0o755));
    mknodat(CWD, MISSING, N(0o010_644), N(0));
    fchownat(CWD, MISSING, N(-1), N(-1), N(0));
    futimesat(CWD, MISSING, In);
    newfstatat(CWD, HERE, Out, N(0));
    unlinkat(CWD, MISSING, N(0));
    renameat(CWD, HERE, CWD, MISSING);
    linkat(CWD, HERE, CWD, MISSING, N(0));
    symlinkat(S("target"), CWD, MISSING);
    readlinkat(CWD, S("/proc/self/exe"), Out, N(64));
    fchmodat(CWD, MISSING, N(0o644));
    faccessat(CWD, HERE, N(0));
    pselect6(N(1), Out, Out, Out, Out, In);
    ppoll(Out, N(1), Out, In, N(8));
    get_robust_list(N(0), Out, Out);
    splice(File, Out, PipeOut, N(0), N(8), N(0));
    splice(PipeIn, N(0), Mem, Out, N(8), N(0));
    vmsplice(PipeOut, In, N(1), N(0));
    utimensat(CWD, MISSING, In, N(0));
    epoll_pwait(Epoll, Out, N(4), N(0), In, N(8));
    signalfd(N(-1), In, N(8));
    timerfd_settime(TimerFd, N(0), In, Out);
    timerfd_gettime(TimerFd, Out);
    signalfd4(N(-1), In, N(8), N(0));
    pipe2(Out, N(0));
    preadv(File, In, N(1), N(0));
    pwritev(Mem, In, N(1), N(0));
    rt_tgsigqueueinfo(N(1), N(1), N(10), In);
    prlimit64(N(0), N(4), In, Out);
    getcpu(Out, Out);
    sched_setattr(N(0), In, N(0));
    sched_getattr(N(0), Out, N(48), N(0));
    renameat2(CWD, HERE, CWD, MISSING, N(0));
    getrandom(Out, N(16), N(0));
    memfd_create(S("name"), N(0));
    inotify_add_watch(Watches, HERE, N(1));
    execveat(CWD, S("/bin/true"), In, In, N(0));
    copy_file_range(Mem, Out, Mem, Out, N(8), N(0));
    preadv2(File, In, N(1), N(0), N(0), N(0));
    pwritev2(Mem, In, N(1), N(0), N(0), N(0));
    statx(CWD, HERE, N(0), N(0x7ff), Out);
    pidfd_send_signal(PidFd, N(10), In, N(0));
    clone3(In, N(88));
    openat2(CWD, S("/dev/null"), In, N(24));
    process_vm_readv(N(1), Piece, N(1), Piece, N(1), N(0));
    process_vm_writev(N(1), Piece, N(1), Piece, N(1), N(0));
    process_madvise(PidFd, In, N(1), N(20), N(0));
    seccomp(N(1), N(0), In);
    faccessat2(CWD, HERE, N(0), N(0));
    epoll_pwait2(Epoll, Out, N(4), In, In, N(8));
    mount(MISSING, MISSING, S("tmpfs"), N(0), Null);
    umount2(MISSING, N(0));
    pivot_root(HERE, HERE);
    shmctl(N(0), IPC_INFO, Out);
    semop(NO_ID, In, N(1));
    semtimedop(NO_ID, In, N(1), In);
    semctl(N(0), N(0), IPC_INFO, Out);
    msgsnd(NO_ID, In, N(4), N(0));
    msgrcv(Queue, Out, N(4), N(0), N(0));
    msgctl(N(0), IPC_INFO, Out);
    add_key(S("user"), S("lx-key"), In, N(4), N(-2));
    request_key(S("user"), S("lx-missing"), S("info"), N(0));
    mq_open(S("lx-missing"), N(0), N(0), In);
    mq_unlink(S("lx-missing"));
    mq_timedsend(Mail, In, N(4), N(0), In);
    mq_timedreceive(Mail, Out, N(8), Out, In);
    mq_notify(Mail, In);
    mq_getsetattr(Mail, In, Out);
    swapon(MISSING, N(0));
    swapoff(MISSING);
    quotactl(N(0x8000_0700), MISSING, N(0), N(0));
    set_mempolicy(N(2), In, N(64));
    get_mempolicy(Out, Out, N(64), N(0), N(0));
    mbind(Page, N(4096), N(2), In, N(64), N(0));
    migrate_pages(N(0), N(64), In, In);
    move_pages(N(0), N(1), In, In, Out, N(2));
    setxattrat(CWD, MISSING, N(0), S("user.a"), In, N(16));
    getxattrat(CWD, S(TAGGED), N(0), S("user.tag"), In, N(16));
    listxattrat(CWD, S(TAGGED), N(0), Out, N(64));
    removexattrat(CWD, MISSING, N(0), S("user.a"));
    fchmodat2(CWD, MISSING, N(0o644), N(0));
    io_setup(N(1), Out);
    io_submit(Aio, N(1), In);
    io_cancel(Aio, In, N(0));
    io_getevents(Aio, N(1), N(1), Out, In);
    io_pgetevents(Aio, N(1), N(1), Out, In, In);
}

/// Flags of `clone` that let it store thread ids in the parent's memory, and in the child's.
const PARENT_SETTID: i64 = (libc::CLONE_PARENT_SETTID | libc::SIGCHLD) as i64;
const CHILD_SETTID: i64 = (libc::CLONE_CHILD_SETTID | libc::SIGCHLD) as i64;

/// What the attempts work on, made anew in each process.
struct Fixture {
    good: i64,
    unmapped: i64,
    read_only: i64,
    strings: Vec<CString>,
    /// A message queue, which would outlive the process.
    queue: Option<i32>,
}

fn check(value: i64) -> i64 {
    if value < 0 {
        println!("fixture: {}", std::io::Error::last_os_error());
        exit(2);
    }
    value
}

/// Maps `len` bytes of zeros.
fn map(len: usize, protection: i32) -> i64 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping anywhere.
    let at = unsafe { libc::mmap(null_mut(), len, protection, flags, -1, 0) };
    check(at as i64)
}

impl Fixture {
    fn new() -> Self {
        let good = map(65536, libc::PROT_READ | libc::PROT_WRITE);
        let read_only = map(65536, libc::PROT_READ);
        let unmapped = map(1 << 20, libc::PROT_READ);
        // SAFETY: nothing lies there.
        check(unsafe { libc::munmap(unmapped as *mut _, 1 << 20) }.into());
        Self { good, unmapped, read_only, strings: Vec::new(), queue: None }
    }

    /// The buffer of argument `at` with `content` at its beginning.
    fn buffer<T>(&self, at: usize, content: T) -> i64 {
        let address = self.good + at as i64 * 4096;
        // SAFETY: the buffer is mapped and nobody else's.
        unsafe { (address as *mut T).write(content) };
        address
    }

    /// The value of an argument when it is not the one under trial. Buffers lie apart.
    fn value(&mut self, at: usize, argument: Arg) -> i64 {
        let mut pair = [0_i32; 2];
        match argument {
            N(number) => number,
            Null => 0,
            In | Out | Page => self.good + at as i64 * 4096,
            Length => self.buffer(at, 128_u32),
            CapHeader => self.buffer(at, 0x2008_0522_u32),
            Piece => {
                let iov_base = (self.good + 32768) as *mut _;
                self.buffer(at, libc::iovec { iov_base, iov_len: 8 })
            }
            Signals => {
                let signals = signal_set(libc::SIGUSR1);
                // SAFETY: the set is a live variable; the signal stays pending, as it is blocked.
                check(unsafe { libc::sigprocmask(0, &raw const signals, null_mut()) }.into());
                check(unsafe { libc::raise(libc::SIGUSR1) }.into());
                self.buffer(at, signals)
            }
            Sleep => {
                interrupt_soon();
                self.buffer(at, libc::timespec { tv_sec: 2, tv_nsec: 0 })
            }
            Timer => {
                let mut id = 0_i32;
                let number = libc::SYS_timer_create;
                // SAFETY: a live variable.
                check(unsafe { libc::syscall(number, 1, 0, &raw mut id) });
                id.into()
            }
            // SAFETY: the name is a string.
            Mem => {
                let file = check(unsafe { libc::memfd_create(c"file".as_ptr(), 0).into() });
                check(unsafe { libc::write(file as i32, c"12345678".as_ptr().cast(), 8) } as i64);
                file
            }
            S(text) => {
                let text = CString::new(text).unwrap_or_default();
                let address = text.as_ptr() as i64;
                self.strings.push(text);
                address
            }
            // SAFETY (all below): the pointers are to live objects of the right size.
            File => check(unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY).into() }),
            Dir => check(unsafe { libc::open(c"/".as_ptr(), libc::O_RDONLY).into() }),
            PipeIn => {
                check(unsafe { libc::pipe(pair.as_mut_ptr()) }.into());
                check(unsafe { libc::write(pair[1], c"12345678".as_ptr().cast(), 8) } as i64);
                pair[0].into()
            }
            PipeOut => {
                check(unsafe { libc::pipe(pair.as_mut_ptr()) }.into());
                pair[1].into()
            }
            Sock => {
                check(unsafe { libc::socketpair(1, 1, 0, pair.as_mut_ptr()) }.into());
                check(unsafe { libc::write(pair[1], c"12345678".as_ptr().cast(), 8) } as i64);
                pair[0].into()
            }
            Listener => {
                let (listener, client) = unsafe { (libc::socket(1, 1, 0), libc::socket(1, 1, 0)) };
                // No name: the kernel chooses one.
                let mut address = [1_u8, 0, 0, 0, 0, 0, 0, 0];
                let mut len = address.len() as u32;
                let at = address.as_mut_ptr().cast();
                check(unsafe { libc::bind(listener, at, 2) }.into());
                check(unsafe { libc::listen(listener, 1) }.into());
                check(unsafe { libc::getsockname(listener, at, &raw mut len) }.into());
                check(unsafe { libc::connect(client, at, len) }.into());
                listener.into()
            }
            Event => check(unsafe { libc::eventfd(1, 0) }.into()),
            Epoll => {
                let epoll = check(unsafe { libc::epoll_create1(0) }.into());
                let event = self.value(at, Event);
                let mut wanted = libc::epoll_event { events: 1, u64: 7 };
                check(
                    unsafe { libc::epoll_ctl(epoll as i32, 1, event as i32, &raw mut wanted) }
                        .into(),
                );
                epoll
            }
            Tagged => check(unsafe { libc::open(c(TAGGED).as_ptr(), libc::O_RDONLY).into() }),
            Aio => {
                let mut id = 0_i64;
                check(unsafe { libc::syscall(libc::SYS_io_setup, 1, &raw mut id) });
                let mut iocb = aio::Iocb::poll(1, libc::POLLOUT | libc::POLLERR);
                let mut list = [&raw mut iocb];
                let list = list.as_mut_ptr();
                check(unsafe { libc::syscall(libc::SYS_io_submit, id, 1, list) });
                id
            }
            Queue => {
                let queue = check(unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) }.into()) as i32;
                self.queue = Some(queue);
                let message = [1_i64, 2];
                check(unsafe { libc::msgsnd(queue, message.as_ptr().cast(), 4, 0) }.into());
                queue.into()
            }
            Mail => {
                let name = mqueue::name("pointers");
                let opened = mqueue::open(&name, mqueue::NEW, 0o600, Some((2, 8)));
                let queue = check(opened.unwrap_or(-1));
                check(mqueue::unlink(&name).unwrap_or(-1));
                check(mqueue::send(queue, "mail", 0).unwrap_or(-1));
                queue
            }
            Watches => check(unsafe { libc::inotify_init1(0) }.into()),
            TimerFd => check(unsafe { libc::timerfd_create(1, 0) }.into()),
            PidFd => check(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) }),
        }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(queue) = self.queue {
            // SAFETY: the command takes no buffer.
            unsafe { libc::msgctl(queue, libc::IPC_RMID, null_mut()) };
        }
    }
}

/// The set that holds `signal` only.
fn signal_set(signal: i32) -> libc::sigset_t {
    // SAFETY: the set is a plain variable for which all zeros are valid.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigaddset(&raw mut set, signal);
        set
    }
}

/// Lets a signal arrive, and be handled, in a few milliseconds.
fn interrupt_soon() {
    extern "C" fn handler(_: i32) {}
    // SAFETY: the handler does nothing; the action and the timer are live variables.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        check(libc::sigaction(libc::SIGALRM, &raw const action, null_mut()).into());
        let soon = libc::timeval { tv_sec: 0, tv_usec: 20_000 };
        let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
        let timer = libc::itimerval { it_interval: never, it_value: soon };
        let number = libc::SYS_setitimer;
        check(libc::syscall(number, libc::ITIMER_REAL, &raw const timer, 0));
    }
}

/// What all attempts find: the tagged file, and supplementary groups where that is allowed.
fn prepare() -> std::io::Result<Scratch> {
    let scratch = Scratch::enter()?;
    std::fs::write(TAGGED, "tagged")?;
    let (path, name, value) = (c(TAGGED), c("user.tag"), c("value"));
    let set = call!(setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), 5, 0));
    check(set.map_or(-1, |_| 0));
    // Where it is forbidden, the groups stay.
    let _ = call!(setgroups(2, [0, 1].as_ptr()));
    Ok(scratch)
}

fn is_pointer(argument: Arg) -> bool {
    matches!(argument, S(_) | In | Null | Piece | Signals | Sleep) || is_stored(argument)
}

/// Whether the kernel stores something there.
fn is_stored(argument: Arg) -> bool {
    matches!(argument, Out | Length | CapHeader)
}

/// Makes the call with a bad pointer at `trial` and prints the answer.
fn attempt(name: &str, number: c_long, arguments: &[Arg], trial: usize, page: &str) {
    let mut fixture = Fixture::new();
    if name.starts_with("wait") {
        // SAFETY: a child to be waited for.
        if unsafe { libc::fork() } == 0 {
            exit(0);
        }
    }
    let mut values = [0_i64; 6];
    for (at, (value, argument)) in values.iter_mut().zip(arguments).enumerate() {
        *value = match (at == trial, page) {
            (true, "unmapped") => fixture.unmapped,
            (true, _) => fixture.read_only,
            (false, _) => fixture.value(at, *argument),
        };
    }
    let [a, b, c, d, e, f] = values;
    // SAFETY: every pointer is good for 4096 bytes, or one that the kernel must refuse. Calls that
    // would replace the program or the process fail for want of a file or by their arguments.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if name == "clone" {
        match result {
            // SAFETY: the child ends at once, without the parent's exit handlers.
            0 => unsafe { libc::_exit(0) },
            // SAFETY: only waits.
            child => unsafe { libc::waitpid(child as i32, null_mut(), 0) },
        };
    }
    let answer = match result {
        -1 => std::io::Error::last_os_error().raw_os_error().unwrap_or(0).to_string(),
        _ => "no error".to_owned(),
    };
    println!("{name} {trial} {page}: {answer}");
}

fn main() {
    let list = std::env::args().nth(1).is_some_and(|argument| argument == "--list");
    let _scratch = (!list).then(|| prepare().unwrap_or_else(|error| panic!("fixture: {error}")));
    for (name, number, arguments) in RECIPES {
        for (trial, argument) in arguments.iter().enumerate() {
            if !is_pointer(*argument) {
                continue;
            }
            if list {
                println!("{name} {trial}");
                continue;
            }
            let pages: &[&str] =
                if is_stored(*argument) { &["unmapped", "read-only"] } else { &["unmapped"] };
            for page in pages {
                let _ = std::io::stdout().flush();
                // SAFETY: the child makes its attempt and exits.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    attempt(name, *number, arguments, trial, page);
                    let _ = std::io::stdout().flush();
                    exit(0);
                }
                let mut status = 0;
                // SAFETY: a live variable.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                if status != 0 {
                    println!("{name} {trial} {page}: ended with status {status:#x}");
                }
            }
        }
    }
}
