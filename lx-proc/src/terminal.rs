//! Terminals and the processes that use them: `tty(4)`, `setpgid(2)`.

use alloc::sync::Arc;

use lx_core::abi::siginfo::SigInfo;
use lx_core::abi::{Errno, Signal};
use lx_core::caller::{JobControl, JobSignals};
use lx_core::error::{Result, SysError};
use lx_vfs::tty;

use crate::current::CurrentTask;
use crate::kernel::Kernel;
use crate::session;
use crate::signal::{send_to_group, send_to_process_group};
use crate::thread_group::ThreadGroup;

impl JobControl for CurrentTask<'_> {
    fn session(&self) -> i32 {
        self.group().sid()
    }

    fn process_group(&self) -> i32 {
        self.group().pgid()
    }

    fn is_session_leader(&self) -> bool {
        self.group().is_session_leader()
    }

    fn session_of_group(&self, pgid: i32) -> Option<i32> {
        self.kernel().pids.process_group(pgid).first().map(|member| member.sid())
    }

    fn signal_background(&self, signal: Signal) -> Result<()> {
        let blocked = self.task().signals().blocked().contains(signal);
        if blocked || self.group().with_actions(|actions| actions.ignores(signal)) {
            // Output may go on; input that nobody may take would never end.
            return if signal == Signal::SIGTTOU { Ok(()) } else { Err(Errno::EIO.into()) };
        }
        let pgid = self.group().pgid();
        if session::is_orphaned(self.kernel(), pgid) {
            return Err(Errno::EIO.into());
        }
        send_to_process_group(self.kernel(), pgid, signal);
        Err(SysError::Restart)
    }

    fn signals(&self) -> Arc<dyn JobSignals> {
        Arc::clone(self.kernel()) as _
    }
}

impl JobSignals for Kernel {
    fn to_group(&self, pgid: i32, signal: Signal) {
        send_to_process_group(self, pgid, signal);
    }

    fn to_process(&self, tgid: i32, signal: Signal) {
        if let Some(group) = self.pids.group(tgid) {
            // A standard signal from the kernel always finds room.
            let _ = send_to_group(self, &group, signal, SigInfo::kernel(signal), None);
        }
    }
}

/// The leader of a session has ended: its terminal controls nobody any more, and the foreground
/// process group hears of it.
pub(crate) fn leader_ended(kernel: &Kernel, leader: &ThreadGroup) {
    let Some(terminal) = tty::of_session(leader.sid()) else { return };
    let foreground = terminal.control().release();
    if foreground > 0 {
        send_to_process_group(kernel, foreground, Signal::SIGHUP);
        send_to_process_group(kernel, foreground, Signal::SIGCONT);
    }
}
