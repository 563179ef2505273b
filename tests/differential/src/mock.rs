//! lx over the scripted host: one task with an empty tmpfs as root.

use std::sync::Arc;

use host_mock::{MockHost, MockNode};
use lx_core::abi::GuestRegs;
use lx_core::cred::Credentials;
use lx_core::fd_table::FdTable;
use lx_core::host::{Backing, HostMemory, HostStorage, HostThread, Prot, TrapHandler};
use lx_core::rlimit::Rlimits;
use lx_proc::Kernel;
use lx_proc::mm::AddressSpace;
use lx_proc::task::Shared;
use lx_vfs::fs::overlay::OverlayFs;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::fs_context::FsContext;
use lx_vfs::inode::FileSystem;
use lx_vfs::mount::{MountFlags, MountTree};

use crate::call::{Arg, Call, PADDING, Raw};
use crate::files::{self, LowerFile};

/// Where arguments are stored.
const SCRATCH: u64 = 0x1000_0000;
/// Room for the arguments of one call.
const SCRATCH_LEN: u64 = 1 << 18;

/// The root file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// An empty tmpfs.
    Tmpfs,
    /// An overlay over [`files::lower_files`].
    Overlay,
}

/// A kernel with one task, whose guest is the test.
pub struct TestKernel {
    host: &'static MockHost,
    handler: Arc<dyn TrapHandler>,
    /// The kernel.
    pub kernel: Arc<Kernel>,
}

impl TestKernel {
    /// A fresh kernel. The calling thread becomes the task's.
    pub fn new(root: Root) -> Self {
        let host = MockHost::new(1);
        let root: Arc<dyn FileSystem> = match root {
            Root::Tmpfs => TmpFs::new(host, 0o755),
            Root::Overlay => {
                for node in files::lower_files() {
                    let (path, node) = match node {
                        LowerFile::Directory(path) => (path, MockNode::Directory),
                        LowerFile::File(path, bytes) => (path, MockNode::File(bytes, 0o644)),
                        LowerFile::Symlink(path, target) => {
                            (path, MockNode::Symlink(target.into()))
                        }
                    };
                    host.add_node(path, node);
                }
                let lower = host.open_root(b"/").expect("the scripted host's root");
                OverlayFs::new(host, lower).expect("an overlay")
            }
        };
        let kernel = Arc::new(Kernel::new(host, lx_syscall::dispatch::trap_handler));
        let mounts = MountTree::new(root, "none", MountFlags::RELATIME);
        let shared = Shared {
            cred: Arc::new(Credentials::new(0, 0, vec![])),
            files: Arc::new(FdTable::new()),
            fs: Arc::new(FsContext::new(mounts)),
            mm: AddressSpace::new(Arc::clone(&kernel.text)),
            undo: None,
        };
        let task = kernel.spawn_first(shared, Rlimits::new()).expect("the first task");
        let handler = kernel.handler(task);
        handler.attached(host.current());
        let rights = Prot::READ | Prot::WRITE;
        host.map(SCRATCH, SCRATCH_LEN, rights, Backing::Anonymous).expect("scratch memory");
        let kernel = Self { host, handler, kernel };
        // Natively the child ignores SIGPIPE, too.
        let ignore = [1u64.to_ne_bytes(), [0; 8], [0; 8], [0; 8]].concat();
        let sigpipe = Arg::Int(libc::SIGPIPE.into());
        let args = vec![sigpipe, Arg::Bytes(ignore), Arg::Int(0), Arg::Int(8)];
        kernel.perform(&Call::new("rt_sigaction", libc::SYS_rt_sigaction, args));
        kernel
    }

    /// Makes a call.
    pub fn perform(&self, call: &Call) -> Raw {
        let mut next = SCRATCH;
        let mut put = |bytes: &[u8]| {
            let addr = next;
            next += (bytes.len() as u64).next_multiple_of(64) + 64;
            self.host.copy_out(addr, bytes).expect("scratch memory");
            addr
        };
        let mut args = [0u64; 6];
        let mut output = None;
        for (place, arg) in args.iter_mut().zip(&call.args) {
            *place = match arg {
                Arg::Int(value) => value.cast_unsigned(),
                Arg::Str(text) => put(&[text.as_bytes(), b"\0"].concat()),
                Arg::Bytes(bytes) => put(&[bytes.as_slice(), &PADDING].concat()),
                Arg::Out(_, len) => {
                    let addr = put(&vec![0; *len]);
                    output = Some((addr, *len));
                    addr
                }
            };
        }
        let [rdi, rsi, rdx, r10, r8, r9] = args;
        let rax = call.number.cast_unsigned();
        let mut regs = GuestRegs { rax, rdi, rsi, rdx, r10, r8, r9, ..GuestRegs::default() };
        let _ = self.handler.syscall(&mut regs);
        let mut stored = Vec::new();
        if let Some((addr, len)) = output {
            stored = vec![0; len];
            self.host.copy_in(addr, &mut stored).expect("scratch memory");
        }
        Raw { value: regs.rax.cast_signed(), stored }
    }
}

/// Runs the calls in a fresh kernel.
pub fn run(root: Root, calls: &[Call]) -> Vec<Raw> {
    let kernel = TestKernel::new(root);
    calls.iter().map(|call| kernel.perform(call)).collect()
}
