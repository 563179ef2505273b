//! Processes and signals through the ABI, on host-mock: the test's own thread is the first
//! process, its children are closures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host_mock::{Guest, MockHost, Program, prepare_child};
use lx_core::abi::sched::CloneFlags;
use lx_core::abi::sigframe::{RtSigFrame, UContext};
use lx_core::abi::siginfo::{CLD_EXITED, CLD_STOPPED, SI_USER};
use lx_core::abi::signal::{KernelSigAction, SIG_IGN, SigActionFlags, StackT};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, GuestRegs, SigSet, Signal, Sysno};
use lx_core::cred::Credentials;
use lx_core::fd_table::FdTable;
use lx_core::host::{Backing, HostMemory, HostThread, HostThreadId, Prot, Resume, TrapHandler};
use lx_core::rlimit::Rlimits;
use lx_proc::mm::AddressSpace;
use lx_proc::task::Shared;
use lx_proc::{Kernel, Task};
use lx_syscall::dispatch::trap_handler;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::fs_context::FsContext;
use lx_vfs::mount::{MountFlags, MountTree};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Memory of the first process.
const MEMORY: u64 = 0x40_0000;
const MEMORY_LEN: u64 = 0x10_0000;
/// Where its stack begins.
const STACK: u64 = MEMORY + MEMORY_LEN - 0x1000;
const HANDLER: u64 = 0x1234_0000;
const RESTORER: u64 = 0x1234_1000;
const CODE: u64 = 0x1234_2000;

const WNOHANG: u64 = 1;
const WUNTRACED: u64 = 2;
const WCONTINUED: u64 = 8;

/// The first process.
struct Main {
    host: &'static MockHost,
    kernel: Arc<Kernel>,
    task: Arc<Task>,
    handler: Arc<dyn TrapHandler>,
    regs: GuestRegs,
    resume: Resume,
    next: u64,
}

impl Main {
    fn new(seed: u64) -> Self {
        let host = MockHost::new(seed);
        let kernel = Arc::new(Kernel::new(host, trap_handler));
        let tree = MountTree::new(TmpFs::new(host, 0o755), "tmpfs", MountFlags::empty());
        let shared = Shared {
            cred: Arc::new(Credentials::new(0, 0, Vec::new())),
            files: Arc::new(FdTable::new()),
            fs: Arc::new(FsContext::new(tree)),
            mm: AddressSpace::new(Arc::clone(&kernel.text)),
        };
        let task = kernel.spawn_first(shared, Rlimits::new()).unwrap();
        let handler = trap_handler(Arc::clone(&task));
        handler.attached(HostThread::current(host));
        host.map(MEMORY, MEMORY_LEN, Prot::READ | Prot::WRITE, Backing::Anonymous).unwrap();
        let regs = GuestRegs { rip: CODE, rsp: STACK, rbx: 0xbbbb, ..GuestRegs::default() };
        Self { host, kernel, task, handler, regs, resume: Resume::Return, next: MEMORY }
    }

    fn call(&mut self, number: Sysno, args: &[u64]) -> i64 {
        let mut regs = self.regs;
        regs.rax = number.0.into();
        let registers = [
            &mut regs.rdi,
            &mut regs.rsi,
            &mut regs.rdx,
            &mut regs.r10,
            &mut regs.r8,
            &mut regs.r9,
        ];
        for (register, value) in registers.into_iter().zip(args) {
            *register = *value;
        }
        self.resume = self.handler.syscall(&mut regs);
        self.regs = regs;
        regs.rax.cast_signed()
    }

    /// As [`call`](Self::call), for calls that must end without a signal frame.
    fn plain(&mut self, number: Sysno, args: &[u64]) -> i64 {
        let result = self.call(number, args);
        assert_eq!(self.resume, Resume::Return);
        result
    }

    fn put<T: IntoBytes + zerocopy::Immutable>(&mut self, value: &T) -> u64 {
        let at = self.next;
        self.next += (size_of::<T>() as u64).next_multiple_of(16);
        self.host.copy_out(at, value.as_bytes()).unwrap();
        at
    }

    fn get<T: FromBytes + FromZeros + IntoBytes>(&self, at: u64) -> T {
        let mut value = T::new_zeroed();
        self.host.copy_in(at, value.as_mut_bytes()).unwrap();
        value
    }

    fn action(&mut self, signal: Signal, handler: u64, flags: SigActionFlags) {
        let action = KernelSigAction {
            handler,
            flags: (flags | SigActionFlags::SA_RESTORER).bits(),
            restorer: RESTORER,
            mask: SigSet::EMPTY,
        };
        let at = self.put(&action);
        assert_eq!(self.plain(Sysno::rt_sigaction, &[number(signal), at, 0, 8]), 0);
    }

    fn fork(&mut self, child: impl Fn(&mut Guest) + Send + Sync + 'static) -> u64 {
        prepare_child(Arc::new(child) as Program);
        let pid = self.plain(Sysno::fork, &[]);
        assert!(pid > 0);
        pid as u64
    }

    fn wait(&mut self, pid: u64, options: u64) -> (i64, WaitStatus) {
        let at = self.put(&0_u32);
        let result = self.plain(Sysno::wait4, &[pid, at, options, 0]);
        (result, WaitStatus(self.get(at)))
    }

    /// Returns from a handler.
    fn sigreturn(&mut self) {
        self.regs.rsp += 8;
        self.call(Sysno::rt_sigreturn, &[]);
        assert_eq!(self.resume, Resume::Full);
    }
}

fn number(signal: Signal) -> u64 {
    signal.number() as u64
}

fn errno(errno: Errno) -> i64 {
    errno.as_return().cast_signed()
}

fn exit(guest: &mut Guest, status: u64) {
    guest.syscall(Sysno::exit_group, &[status]);
}

#[test]
fn fork_exit_wait() {
    for seed in 0..20 {
        let mut main = Main::new(seed);
        let parent = main.task.tgid();
        let child = main.fork(move |guest| {
            assert_eq!(guest.syscall(Sysno::getppid, &[]), parent.into());
            exit(guest, 3);
        });
        assert_eq!(main.wait(child, 0), (child as i64, WaitStatus::exited(3)));
        assert_eq!(main.wait(u64::MAX, 0).0, errno(Errno::ECHILD));
        assert!(main.kernel.pids.group(child as i32).is_none());
    }
}

#[test]
fn waitid_leaves_what_it_shall_leave() {
    let mut main = Main::new(1);
    let child = main.fork(|guest| exit(guest, 7));
    let info = main.put(&[0_u8; 128]);
    const WEXITED_WNOWAIT: u64 = 0x0100_0004;
    assert_eq!(main.plain(Sysno::waitid, &[0, 0, info, WEXITED_WNOWAIT, 0]), 0);
    let [signo, _, code, _, pid, uid, status, _]: [i32; 8] = main.get(info);
    assert_eq!((signo, code, pid, uid, status), (17, CLD_EXITED, child as i32, 0, 7));
    assert_eq!(main.plain(Sysno::waitid, &[0, 0, info, WUNTRACED | WNOHANG, 0]), 0);
    assert_eq!(main.get::<i32>(info), 0);
    assert_eq!(main.plain(Sysno::waitid, &[0, 0, info, 0, 0]), errno(Errno::EINVAL));
    assert_eq!(main.wait(child, 0).1, WaitStatus::exited(7));
}

#[test]
fn ignored_children_leave_no_zombie() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        main.action(Signal::SIGCHLD, SIG_IGN, SigActionFlags::empty());
        let child = main.fork(|guest| exit(guest, 1));
        assert_eq!(main.wait(child, 0).0, errno(Errno::ECHILD));
    }
}

#[test]
fn vfork_runs_the_child_first() {
    let mut main = Main::new(1);
    let seen = Arc::new(AtomicU64::new(0));
    let by_child = Arc::clone(&seen);
    prepare_child(Arc::new(move |guest: &mut Guest| {
        by_child.store(guest.syscall(Sysno::getpid, &[]) as u64, Ordering::SeqCst);
        exit(guest, 0);
    }));
    let child = main.plain(Sysno::vfork, &[]) as u64;
    assert_eq!(seen.load(Ordering::SeqCst), child);
    assert_eq!(main.wait(child, 0), (child as i64, WaitStatus::exited(0)));
}

#[test]
fn orphans_go_to_init_or_a_subreaper() {
    for subreaper in [false, true] {
        let mut main = Main::new(3);
        if subreaper {
            assert_eq!(main.plain(Sysno::prctl, &[36, 1, 0, 0, 0]), 0);
        }
        let child = main.fork(|guest| {
            let body: Program = Arc::new(|guest: &mut Guest| {
                guest.syscall(Sysno::pause, &[]);
                exit(guest, 9);
            });
            guest.clone_call(Sysno::fork, &[], body);
            exit(guest, 0);
        });
        assert_eq!(main.wait(child, 0).1, WaitStatus::exited(0));
        let orphan = child + 1;
        let group = main.kernel.pids.group(orphan as i32).unwrap();
        let adopter = if subreaper { main.task.tgid() } else { 1 };
        assert_eq!(group.parent_tgid(), adopter);
        assert_eq!(main.plain(Sysno::kill, &[orphan, number(Signal::SIGKILL)]), 0);
        if subreaper {
            let killed = WaitStatus::signaled(Signal::SIGKILL, false);
            assert_eq!(main.wait(orphan, 0), (orphan as i64, killed));
        } else {
            while main.kernel.pids.group(orphan as i32).is_some() {
                main.host.yield_now();
            }
        }
    }
}

#[test]
fn stops_and_continues_are_reported() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        let child = main.fork(|guest| {
            let me = guest.syscall(Sysno::getpid, &[]) as u64;
            guest.syscall(Sysno::kill, &[me, number(Signal::SIGSTOP)]);
            guest.syscall(Sysno::pause, &[]);
        });
        let stopped = WaitStatus::stopped(Signal::SIGSTOP);
        assert_eq!(main.wait(child, WUNTRACED), (child as i64, stopped));
        assert_eq!(main.wait(child, WUNTRACED | WNOHANG).0, 0);
        assert_eq!(main.plain(Sysno::kill, &[child, number(Signal::SIGCONT)]), 0);
        assert_eq!(main.wait(child, WCONTINUED), (child as i64, WaitStatus::CONTINUED));
        assert_eq!(main.plain(Sysno::kill, &[child, number(Signal::SIGTERM)]), 0);
        let killed = WaitStatus::signaled(Signal::SIGTERM, false);
        assert_eq!(main.wait(child, 0), (child as i64, killed));
    }
}

#[test]
fn a_stopped_child_can_be_killed() {
    let mut main = Main::new(5);
    let child = main.fork(|guest| {
        let me = guest.syscall(Sysno::getpid, &[]) as u64;
        guest.syscall(Sysno::kill, &[me, number(Signal::SIGSTOP)]);
    });
    main.wait(child, WUNTRACED);
    main.plain(Sysno::kill, &[child, number(Signal::SIGKILL)]);
    assert_eq!(main.wait(child, 0).1, WaitStatus::signaled(Signal::SIGKILL, false));
}

#[test]
fn a_handler_runs_and_returns() {
    let mut main = Main::new(1);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::SA_SIGINFO);
    let me = main.task.tgid() as u64;
    let before = main.regs;
    assert_eq!(main.call(Sysno::kill, &[me, number(Signal::SIGUSR1)]), 0);
    assert_eq!(main.resume, Resume::Full);
    let regs = main.regs;
    assert_eq!((regs.rip, regs.rdi, regs.rsp % 16), (HANDLER, number(Signal::SIGUSR1), 8));
    assert!(regs.rsp < STACK - 128 - size_of::<RtSigFrame>() as u64 + 8);

    let frame: RtSigFrame = main.get(regs.rsp);
    assert_eq!(frame.pretcode, RESTORER);
    assert_eq!((frame.info.si_code, frame.info.kill_fields().pid), (SI_USER, me as i32));
    assert_eq!(regs.rsi, regs.rsp + 312);
    assert_eq!(regs.rdx, regs.rsp + 8);
    let context = frame.uc.uc_mcontext;
    assert_eq!((context.rip, context.rsp, context.rax), (CODE, STACK, 0));
    assert_eq!(context.rbx, 0xbbbb);
    // The signal is blocked while its handler runs.
    let blocked = main.task.signals().blocked();
    assert_eq!(blocked, SigSet::only(Signal::SIGUSR1));

    main.sigreturn();
    assert_eq!((main.regs.rip, main.regs.rsp, main.regs.rbx), (CODE, STACK, before.rbx));
    assert_eq!(main.regs.rax, 0);
    assert!(main.task.signals().blocked().is_empty());
}

#[test]
fn pending_signals_nest() {
    let mut main = Main::new(1);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::empty());
    main.action(Signal::SIGUSR2, HANDLER + 16, SigActionFlags::empty());
    let me = main.task.tgid() as u64;
    let all = main.put(&SigSet::FULL);
    let none = main.put(&SigSet::EMPTY);
    main.plain(Sysno::rt_sigprocmask, &[2, all, 0, 8]);
    main.plain(Sysno::kill, &[me, number(Signal::SIGUSR2)]);
    main.plain(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    let pending = main.put(&0_u64);
    main.plain(Sysno::rt_sigpending, &[pending, 8]);
    let both = SigSet::only(Signal::SIGUSR1).with(Signal::SIGUSR2);
    assert_eq!(main.get::<SigSet>(pending), both);
    // Two frames: the one that was pushed last runs first.
    main.call(Sysno::rt_sigprocmask, &[2, none, 0, 8]);
    assert_eq!((main.regs.rip, main.regs.rdi), (HANDLER + 16, number(Signal::SIGUSR2)));
    main.sigreturn();
    assert_eq!((main.regs.rip, main.regs.rdi), (HANDLER, number(Signal::SIGUSR1)));
    main.sigreturn();
    assert_eq!((main.regs.rip, main.regs.rsp), (CODE, STACK));
    assert!(main.task.signals().blocked().is_empty());
}

#[test]
fn alternate_stack_holds_the_frame() {
    let mut main = Main::new(1);
    let stack = StackT { ss_sp: MEMORY + 0x8_0000, ss_size: 0x4000, ..StackT::default() };
    let at = main.put(&stack);
    assert_eq!(main.plain(Sysno::sigaltstack, &[at, 0]), 0);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::SA_ONSTACK);
    let me = main.task.tgid() as u64;
    main.call(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    let range = stack.ss_sp..stack.ss_sp + stack.ss_size;
    assert!(range.contains(&main.regs.rsp));
    let context: UContext = main.get(main.regs.rsp + 8);
    assert_eq!(context.uc_stack, stack);
    assert_eq!(context.uc_mcontext.rsp, STACK);
    assert_eq!(main.call(Sysno::sigaltstack, &[at, 0]), errno(Errno::EPERM));
    main.regs.rsp += 0;
    main.sigreturn();
    assert_eq!(main.regs.rsp, STACK);
}

#[test]
fn a_frame_that_does_not_fit_kills() {
    let mut main = Main::new(1);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::empty());
    main.regs.rsp = 0x2000;
    let me = main.task.tgid() as u64;
    main.call(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    assert_eq!(main.resume, Resume::Exit);
}

/// A child sends `signal` while the parent waits for it; what the wait looks like afterwards.
fn interrupted_wait(seed: u64, handler: Option<SigActionFlags>) -> Main {
    let mut main = Main::new(seed);
    if let Some(flags) = handler {
        main.action(Signal::SIGUSR1, HANDLER, flags);
    } else {
        main.action(Signal::SIGUSR1, SIG_IGN, SigActionFlags::empty());
    }
    let parent = main.task.tgid() as u64;
    let child = main.fork(move |guest| {
        // The parent gets time to fall asleep.
        let time = guest.put([0_u64, 1_000_000].as_bytes());
        guest.syscall(Sysno::nanosleep, &[time, 0]);
        guest.syscall(Sysno::kill, &[parent, number(Signal::SIGUSR1)]);
        guest.syscall(Sysno::nanosleep, &[time, 0]);
        exit(guest, 4);
    });
    let at = main.put(&0_u32);
    main.call(Sysno::wait4, &[child, at, 0, 0]);
    main
}

#[test]
fn restart_rules() {
    for seed in 0..10 {
        let main = interrupted_wait(seed, None);
        assert_eq!(main.resume, Resume::Return);
        assert!(main.regs.rax.cast_signed() > 0);

        let main = interrupted_wait(seed, Some(SigActionFlags::empty()));
        let context: UContext = main.get(main.regs.rsp + 8);
        assert_eq!(context.uc_mcontext.rip, CODE);
        assert_eq!(context.uc_mcontext.rax.cast_signed(), errno(Errno::EINTR));

        let mut main = interrupted_wait(seed, Some(SigActionFlags::SA_RESTART));
        let context: UContext = main.get(main.regs.rsp + 8);
        assert_eq!(context.uc_mcontext.rip, CODE - 2);
        assert_eq!(context.uc_mcontext.rax, u64::from(Sysno::wait4.0));
        main.sigreturn();
        // What the guest does: the same call again, with the same registers.
        let args = main.regs.args();
        assert_eq!(main.regs.rip, CODE - 2);
        assert!(main.plain(Sysno(main.regs.rax as u32), &args) > 0);
    }
}

#[test]
fn sigsuspend_restores_the_mask() {
    let mut main = Main::new(2);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::SA_RESTART);
    let blocked = SigSet::only(Signal::SIGUSR1).with(Signal::SIGTERM);
    let set = main.put(&blocked);
    main.plain(Sysno::rt_sigprocmask, &[2, set, 0, 8]);
    let me = main.task.tgid() as u64;
    main.plain(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    let none = main.put(&SigSet::EMPTY);
    main.call(Sysno::rt_sigsuspend, &[none, 8]);
    assert_eq!(main.regs.rip, HANDLER);
    assert_eq!(main.task.signals().blocked(), SigSet::only(Signal::SIGUSR1));
    let context: UContext = main.get(main.regs.rsp + 8);
    assert_eq!(context.uc_sigmask, blocked);
    main.sigreturn();
    assert_eq!(main.regs.rax.cast_signed(), errno(Errno::EINTR));
    assert_eq!(main.task.signals().blocked(), blocked);
}

#[test]
fn sigtimedwait_takes_a_signal_or_times_out() {
    let mut main = Main::new(4);
    let set = main.put(&SigSet::only(Signal::SIGCHLD));
    main.plain(Sysno::rt_sigprocmask, &[0, set, 0, 8]);
    let time = main.put(&[1_u64, 0]);
    let info = main.put(&[0_u8; 128]);
    let none = main.plain(Sysno::rt_sigtimedwait, &[set, info, time, 8]);
    assert_eq!(none, errno(Errno::EAGAIN));
    let child = main.fork(|guest| exit(guest, 5));
    let taken = main.plain(Sysno::rt_sigtimedwait, &[set, info, 0, 8]);
    assert_eq!(taken, Signal::SIGCHLD.number().into());
    let [_, _, code, _, pid, _, status, _]: [i32; 8] = main.get(info);
    assert_eq!((code, pid, status), (CLD_EXITED, child as i32, 5));
}

#[test]
fn stop_tells_the_parent_by_signal() {
    let mut main = Main::new(4);
    let set = main.put(&SigSet::only(Signal::SIGCHLD));
    main.plain(Sysno::rt_sigprocmask, &[0, set, 0, 8]);
    let child = main.fork(|guest| {
        let me = guest.syscall(Sysno::getpid, &[]) as u64;
        guest.syscall(Sysno::kill, &[me, number(Signal::SIGSTOP)]);
    });
    let info = main.put(&[0_u8; 128]);
    main.plain(Sysno::rt_sigtimedwait, &[set, info, 0, 8]);
    let [_, _, code, _, pid, _, status, _]: [i32; 8] = main.get(info);
    assert_eq!((code, pid, status), (CLD_STOPPED, child as i32, Signal::SIGSTOP.number()));
    main.plain(Sysno::kill, &[child, number(Signal::SIGKILL)]);
    main.wait(child, 0);
}

const THREAD: CloneFlags = CloneFlags::CLONE_VM
    .union(CloneFlags::CLONE_FS)
    .union(CloneFlags::CLONE_FILES)
    .union(CloneFlags::CLONE_SIGHAND)
    .union(CloneFlags::CLONE_THREAD);

#[test]
fn exit_group_ends_all_threads() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        let child = main.fork(|guest| {
            let body: Program = Arc::new(|guest: &mut Guest| exit(guest, 6));
            let tid = guest.clone_call(Sysno::clone, &[THREAD.bits(), 0, 0, 0, 0], body);
            assert!(tid > 0 || guest.has_exited());
            guest.syscall(Sysno::pause, &[]);
            assert!(guest.has_exited());
        });
        assert_eq!(main.wait(child, 0), (child as i64, WaitStatus::exited(6)));
    }
}

#[test]
fn the_last_thread_ends_the_process() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        let child = main.fork(|guest| {
            let body: Program = Arc::new(|guest: &mut Guest| {
                guest.syscall(Sysno::sched_yield, &[]);
                guest.syscall(Sysno::exit, &[1]);
            });
            guest.clone_call(Sysno::clone, &[THREAD.bits(), 0, 0, 0, 0], body);
            guest.syscall(Sysno::exit, &[2]);
        });
        assert_eq!(main.wait(child, 0).1, WaitStatus::exited(2));
    }
}

#[test]
fn the_end_of_a_thread_is_announced() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        // Memory that the kernel knows of: it has to find out which futex the word is.
        const PRIVATE_ANONYMOUS: u64 = 0x22;
        let word = main.plain(Sysno::mmap, &[0, 4096, 3, PRIVATE_ANONYMOUS, u64::MAX, 0]) as u64;
        main.host.copy_out(word, &1_u32.to_le_bytes()).unwrap();
        let flags = THREAD | CloneFlags::CLONE_CHILD_CLEARTID | CloneFlags::CLONE_PARENT_SETTID;
        let tid_at = main.put(&0_i32);
        prepare_child(Arc::new(|guest: &mut Guest| {
            guest.syscall(Sysno::exit, &[0]);
        }));
        let tid = main.plain(Sysno::clone, &[flags.bits(), 0, tid_at, word, 0]);
        assert_eq!(main.get::<i32>(tid_at), tid as i32);
        while main.get::<u32>(word) != 0 {
            let result = main.plain(Sysno::futex, &[word, 0, 1, 0, 0, 0]);
            assert!(result == 0 || result == errno(Errno::EAGAIN), "{result}");
        }
    }
}

#[test]
fn process_groups_and_sessions() {
    let mut main = Main::new(1);
    let me = main.task.tgid() as u64;
    assert_eq!(main.plain(Sysno::setsid, &[]), errno(Errno::EPERM));
    assert_eq!(main.plain(Sysno::setpgid, &[0, 0]), errno(Errno::EPERM));
    let child = main.fork(|guest| {
        guest.syscall(Sysno::pause, &[]);
    });
    assert_eq!(main.plain(Sysno::getpgid, &[child]), me as i64);
    assert_eq!(main.plain(Sysno::setpgid, &[child, 77]), errno(Errno::EPERM));
    assert_eq!(main.plain(Sysno::setpgid, &[child, child]), 0);
    assert_eq!(main.plain(Sysno::getpgid, &[child]), child as i64);
    assert_eq!(main.plain(Sysno::getsid, &[child]), me as i64);
    // The whole process group.
    let group = (child as i64).wrapping_neg() as u64;
    assert_eq!(main.plain(Sysno::kill, &[group, number(Signal::SIGKILL)]), 0);
    assert_eq!(main.wait(group, 0).0, child as i64);
    assert_eq!(main.plain(Sysno::kill, &[group, 0]), errno(Errno::ESRCH));
    let session = main.fork(|guest| {
        let sid = guest.syscall(Sysno::setsid, &[]);
        assert_eq!(sid, guest.syscall(Sysno::getpid, &[]));
        assert_eq!(sid, guest.syscall(Sysno::getpgrp, &[]));
        exit(guest, 0);
    });
    assert_eq!(main.wait(session, 0).1, WaitStatus::exited(0));
}

#[test]
fn a_dead_host_process_is_reaped() {
    let mut main = Main::new(1);
    let child = main.fork(|guest| {
        guest.syscall(Sysno::pause, &[]);
    });
    main.host.yield_now();
    let task = main.kernel.pids.task(child as i32).unwrap();
    while task.waiter().thread() == HostThreadId(0) {
        main.host.yield_now();
    }
    main.kernel.host_thread_died(task.waiter().thread(), 9);
    let killed = WaitStatus::signaled(Signal::SIGKILL, false);
    assert_eq!(main.wait(child, 0), (child as i64, killed));
}
