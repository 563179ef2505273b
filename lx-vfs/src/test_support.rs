//! A caller for tests, on the deterministic host.

use alloc::sync::Arc;
use alloc::vec::Vec;

use host_mock::MockHost;
use lx_core::Caller;
use lx_core::abi::GuestRegs;
use lx_core::cred::Credentials;
use lx_core::error::Result;
use lx_core::file::OpenFile;
use lx_core::host::{FaultInfo, Host, HostThread, HostThreadId, Resume, TrapHandler};
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Rlimits;
use lx_core::sync::Waiter;

/// A task as far as files see it.
pub(crate) struct Tester {
    pub(crate) host: &'static MockHost,
    cred: Credentials,
    waiter: Arc<Waiter>,
    rlimits: Rlimits,
    tgid: i32,
}

struct NoTask(Arc<Waiter>);

impl TrapHandler for NoTask {
    fn attached(&self, thread: HostThreadId) {
        self.0.set_thread(thread);
    }
    fn syscall(&self, _regs: &mut GuestRegs) -> Resume {
        Resume::Exit
    }
    fn fault(&self, _info: &FaultInfo, _regs: &mut GuestRegs) -> Resume {
        Resume::Exit
    }
    fn user_fault(&self, _address: u64, _write: bool) -> bool {
        false
    }
    fn interrupt(&self, _regs: &mut GuestRegs) -> Resume {
        Resume::Return
    }
    fn start(&self, _regs: &mut GuestRegs) -> Resume {
        Resume::Exit
    }
}

impl Tester {
    pub(crate) fn new() -> Self {
        Self::on(MockHost::new(1), 1)
    }

    fn on(host: &'static MockHost, tgid: i32) -> Self {
        Self {
            host,
            cred: Credentials::new(0, 0, Vec::new()),
            waiter: Arc::new(Waiter::new()),
            rlimits: Rlimits::new(),
            tgid,
        }
    }

    pub(crate) fn caller(&self) -> Caller<'_> {
        let host: &'static dyn Host = self.host;
        Caller {
            host,
            identity: &self.cred,
            waiter: &self.waiter,
            rlimits: &self.rlimits,
            tid: self.tgid,
            tgid: self.tgid,
        }
    }

    /// Another task, on the same thread.
    pub(crate) fn sibling(&self, tgid: i32) -> Self {
        Self::on(self.host, tgid)
    }

    /// Runs `body` as another task of its own thread.
    pub(crate) fn spawn(&self, tgid: i32, body: impl Fn(&Tester) + Send + Sync + 'static) {
        let host = self.host;
        host_mock::prepare_child(Arc::new(move |_guest| body(&Tester::on(host, tgid))));
        let handler = Arc::new(NoTask(Arc::new(Waiter::new())));
        host.spawn_thread(handler, &GuestRegs::default(), 0).expect("a thread");
    }

    /// Asks for attention, as a signal would.
    pub(crate) fn interrupt(&self) {
        self.waiter.interrupt();
    }

    pub(crate) fn read(&self, file: &OpenFile, len: usize) -> Result<Vec<u8>> {
        let mut bytes = alloc::vec![0; len];
        let count = file.read(&self.caller(), &mut IoDst::kernel(&mut bytes))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    pub(crate) fn write(&self, file: &OpenFile, bytes: &[u8]) -> Result<usize> {
        file.write(&self.caller(), &mut IoSrc::kernel(bytes))
    }
}
