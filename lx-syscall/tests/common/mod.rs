//! A kernel over the scripted host whose guest is a closure.
#![allow(dead_code, unreachable_pub, reason = "no test file uses all of it")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use host_mock::{Guest, MockHost};
use lx_core::abi::{GuestRegs, Sysno};
use lx_core::cred::Credentials;
use lx_core::fd_table::FdTable;
use lx_core::host::{FaultInfo, HostProcess, HostThread, HostThreadId, Resume, TrapHandler};
use lx_core::rlimit::Rlimits;
use lx_proc::mm::AddressSpace;
use lx_proc::task::Shared;
use lx_proc::{Kernel, Task};
use lx_vfs::dentry::Cached;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::fs_context::FsContext;
use lx_vfs::mount::{MountFlags, MountTree};

/// Where the test's program is entered.
const ENTRY: u64 = 0x40_0000;

/// The first task's handler: its program is a closure, so nothing has to be loaded.
struct Entry(Arc<dyn TrapHandler>);

impl TrapHandler for Entry {
    fn attached(&self, thread: HostThreadId) {
        self.0.attached(thread);
    }
    fn syscall(&self, regs: &mut GuestRegs) -> Resume {
        self.0.syscall(regs)
    }
    fn fault(&self, info: &FaultInfo, regs: &mut GuestRegs) -> Resume {
        self.0.fault(info, regs)
    }
    fn user_fault(&self, address: u64, write: bool) -> bool {
        self.0.user_fault(address, write)
    }
    fn interrupt(&self, regs: &mut GuestRegs) -> Resume {
        self.0.interrupt(regs)
    }
    fn start(&self, regs: &mut GuestRegs) -> Resume {
        regs.rip = ENTRY;
        Resume::Full
    }
}

/// What a test's program works with.
pub struct Machine {
    pub host: &'static MockHost,
    pub kernel: Arc<Kernel>,
    pub task: Arc<Task>,
}

/// Runs `program` as the only process of a machine with an empty root directory.
pub fn run(seed: u64, program: impl Fn(&mut Guest, &Machine) + Send + Sync + 'static) {
    let host = MockHost::new(seed);
    let kernel = Arc::new(Kernel::new(host, lx_syscall::dispatch::trap_handler));
    let mounts = MountTree::new(TmpFs::new(host, 0o755), "none", MountFlags::RELATIME);
    let shared = Shared {
        cred: Arc::new(Credentials::new(0, 0, vec![])),
        files: Arc::new(FdTable::new()),
        fs: Arc::new(FsContext::new(mounts)),
        mm: AddressSpace::new(Arc::clone(&kernel.text)),
        undo: None,
    };
    let task = kernel.spawn_first(shared, Rlimits::new()).expect("the first task");
    task.set_name(b"test (1)");
    let handler = Arc::new(Entry(kernel.handler(Arc::clone(&task))));
    let machine = Machine { host, kernel, task };

    let done = Arc::new(AtomicU32::new(0));
    let result = Arc::new(Mutex::new(Ok(())));
    let (done_too, result_too) = (Arc::clone(&done), Arc::clone(&result));
    let body = move |guest: &mut Guest| {
        let outcome = catch_unwind(AssertUnwindSafe(|| program(guest, &machine)));
        *result_too.lock().expect("the result") = outcome;
        done_too.store(1, Ordering::SeqCst);
        host.wake(&done_too, 1);
    };
    host.add_program(ENTRY, Arc::new(body));
    host.spawn_process(handler).expect("the first process");
    while done.load(Ordering::SeqCst) == 0 {
        host.park(&done, 0, None);
    }
    let outcome = std::mem::replace(&mut *result.lock().expect("the result"), Ok(()));
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Makes a call by number.
pub fn call(guest: &mut Guest, number: u32, args: &[u64]) -> i64 {
    guest.syscall(Sysno(number), args)
}

/// A `struct timespec` in guest memory.
pub fn timespec(guest: &mut Guest, secs: i64, nanos: i64) -> u64 {
    guest.put(&[secs.to_ne_bytes(), nanos.to_ne_bytes()].concat())
}

/// A 64-bit number of guest memory.
pub fn load(guest: &Guest, addr: u64) -> u64 {
    u64::from_ne_bytes(guest.read(addr, 8).try_into().expect("eight bytes"))
}

/// Mounts a file system on a new directory in the root.
pub fn mount(
    guest: &mut Guest,
    machine: &Machine,
    name: &str,
    fs: Arc<dyn lx_vfs::inode::FileSystem>,
) {
    let path = guest.put_str(&format!("/{name}"));
    assert_eq!(call(guest, 83, &[path, 0o755]), 0, "mkdir");
    let context = machine.task.fs();
    let root = context.root();
    let Cached::Positive(dentry, _) = root.dentry.cached_child(name.as_bytes()) else {
        panic!("the new directory is not cached");
    };
    let at = root.with(dentry);
    context.mounts().mount(fs, &at, name, MountFlags::empty()).expect("a mount");
}

/// Reads a file.
pub fn read_file(guest: &mut Guest, path: &str) -> Result<String, i64> {
    let path = guest.put_str(path);
    let fd = call(guest, 2, &[path, 0, 0]);
    if fd < 0 {
        return Err(fd);
    }
    let buffer = guest.put(&[0; 8192]);
    let mut text = Vec::new();
    loop {
        let count = call(guest, 0, &[fd as u64, buffer, 8192]);
        if count <= 0 {
            call(guest, 3, &[fd as u64]);
            return if count < 0 { Err(count) } else { Ok(String::from_utf8(text).expect("text")) };
        }
        text.extend(guest.read(buffer, count as usize));
    }
}
