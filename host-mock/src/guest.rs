//! Guests as Rust closures: the typed call interface that they get.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lx_core::abi::{GuestRegs, Sysno};
use lx_core::host::{Backing, HostMemory, Prot, Resume};

use crate::MockHost;
use crate::thread::with_current;

/// What a guest thread runs.
pub type Program = Arc<dyn Fn(&mut Guest) + Send + Sync>;

thread_local! {
    static CHILD: RefCell<Option<Program>> = const { RefCell::new(None) };
}

/// The closure prepared for the next child, if any.
pub(crate) fn take_child() -> Option<Program> {
    CHILD.with(|child| child.borrow_mut().take())
}

/// Prepares what the next child of the calling thread runs: for tests without a kernel, before
/// [`HostThread::spawn_thread`](lx_core::host::HostThread::spawn_thread).
pub fn prepare_child(child: Program) {
    CHILD.with(|slot| *slot.borrow_mut() = Some(child));
}

/// A guest thread: makes system calls and touches its memory.
pub struct Guest {
    host: &'static MockHost,
    /// Next free address for [`Guest::map`].
    next: u64,
    /// The task is gone: the closure should return.
    exited: bool,
}

/// Where a guest's scratch memory begins.
const SCRATCH: u64 = 0x1000_0000;

impl Guest {
    pub(crate) fn new(host: &'static MockHost) -> Self {
        Self { host, next: SCRATCH, exited: false }
    }

    /// Makes a system call: what `rax` holds afterwards. The scheduler may run others before.
    pub fn syscall(&mut self, number: Sysno, args: &[u64]) -> i64 {
        if self.exited {
            return 0;
        }
        let Some(current) = with_current(Clone::clone) else { return 0 };
        self.host.reschedule(current.no);
        let handler = current.handler.expect("a guest thread without a kernel task");
        let mut regs = GuestRegs { rax: u64::from(number.0), ..GuestRegs::default() };
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
        let mut resume = handler.syscall(&mut regs);
        if resume != Resume::Exit && current.pending.swap(false, Ordering::SeqCst) {
            resume = handler.interrupt(&mut regs);
        }
        match resume {
            Resume::Return => {}
            Resume::Exit => self.exited = true,
            Resume::Full | Resume::FullWithXstate => {
                if regs.rip != 0 {
                    self.enter(&regs);
                }
            }
        }
        regs.rax.cast_signed()
    }

    /// Runs the program that stands for the code at `regs.rip`.
    pub(crate) fn enter(&mut self, regs: &GuestRegs) {
        let program = self.host.world().programs.get(&regs.rip).cloned();
        match program {
            Some(program) => program(self),
            None => panic!("the guest jumped to {:#x}, where the test has no program", regs.rip),
        }
    }

    /// Makes a `fork`-like call whose child runs `child`; what the call returns in the parent.
    pub fn clone_call(&mut self, number: Sysno, args: &[u64], child: Program) -> i64 {
        prepare_child(child);
        let result = self.syscall(number, args);
        take_child();
        result
    }

    /// Whether the task has ended.
    pub fn has_exited(&self) -> bool {
        self.exited
    }

    /// Maps `len` bytes of scratch memory with these rights; its address.
    pub fn map(&mut self, len: u64, prot: Prot) -> u64 {
        let addr = self.next;
        let len = len.div_ceil(4096) * 4096;
        self.next += len + 4096;
        self.host.map(addr, len, prot, Backing::Anonymous).expect("scratch memory");
        addr
    }

    /// Copies bytes into fresh scratch memory; their address.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        let addr = self.map(bytes.len().max(1) as u64, Prot::READ | Prot::WRITE);
        self.write(addr, bytes);
        addr
    }

    /// A NUL-terminated string in fresh scratch memory.
    pub fn put_str(&mut self, text: &str) -> u64 {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.put(&bytes)
    }

    /// Stores bytes.
    pub fn write(&self, addr: u64, bytes: &[u8]) {
        self.host.copy_out(addr, bytes).expect("guest memory");
    }

    /// Loads bytes.
    pub fn read(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.host.copy_in(addr, &mut bytes).expect("guest memory");
        bytes
    }
}
