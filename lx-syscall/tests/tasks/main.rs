//! Processes and signals through the ABI, on host-mock: the test's own thread is the first
//! process, its children are closures.
#![expect(clippy::unwrap_used, reason = "a test's surprise ends the test")]

mod native;
mod process;
mod signals;

use std::sync::Arc;

use host_mock::{Guest, MockHost, Program, prepare_child};
use lx_core::abi::signal::{KernelSigAction, SigActionFlags};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, GuestRegs, SigSet, Signal, Sysno};
use lx_core::cred::Credentials;
use lx_core::fd_table::FdTable;
use lx_core::host::{Backing, HostMemory, HostThread, Prot, Resume, TrapHandler};
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
            undo: None,
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
