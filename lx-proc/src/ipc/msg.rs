//! Message queues, `msgop(2)`, `msgctl(2)`.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use lx_core::abi::Errno;
use lx_core::abi::ipc::{MsgrcvFlags, MsqidDs};
use lx_core::cred::Capabilities;
use lx_core::sync::{Mutex, WaitQueue, level};
use lx_core::{Caller, Result, SysError};

use super::table::Object;
use super::{Ipc, Permissions, seconds};

/// Queues that there may be.
pub const MSGMNI: usize = 32_000;
/// Bytes of a message.
pub const MSGMAX: usize = 8192;
/// Bytes of all messages in a queue, unless the queue says otherwise.
pub const MSGMNB: u64 = 16_384;

/// Wakes everybody in a wait queue.
const ANYBODY: u32 = 1;

/// A message queue.
pub struct MessageQueue {
    permissions: Permissions,
    state: Mutex<State, { level::FILE_OBJECT }>,
    /// Who waits for a message.
    receivers: WaitQueue,
    /// Who waits for room.
    senders: WaitQueue,
}

struct State {
    messages: VecDeque<Message>,
    /// Bytes of all messages.
    bytes: u64,
    /// Most bytes of all messages.
    limit: u64,
    stime: i64,
    rtime: i64,
    ctime: i64,
    lspid: i32,
    lrpid: i32,
    removed: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type, above 0.
    pub kind: i64,
    /// What it says.
    pub text: Vec<u8>,
}

/// Which message `msgrcv(2)` takes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// `msgtyp`: 0 for the first one, above 0 for a type, below 0 for the lowest type up to it;
    /// with `MSG_COPY` a number in the queue.
    pub kind: i64,
    /// The most bytes that the caller has room for.
    pub room: usize,
    /// Flags.
    pub flags: MsgrcvFlags,
}

impl Object for MessageQueue {
    fn permissions(&self) -> &Permissions {
        &self.permissions
    }
}

impl MessageQueue {
    /// A new empty queue.
    pub fn new(permissions: Permissions, caller: &Caller<'_>) -> Self {
        let state = State {
            messages: VecDeque::new(),
            bytes: 0,
            limit: MSGMNB,
            stime: 0,
            rtime: 0,
            ctime: seconds(caller),
            lspid: 0,
            lrpid: 0,
            removed: false,
        };
        Self {
            permissions,
            state: Mutex::new(state),
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
        }
    }

    /// `msgsnd(2)`.
    ///
    /// # Errors
    /// `EAGAIN` without room, if the caller does not wait; `EIDRM`; `RestartNoHandler`.
    pub fn send(&self, caller: &Caller<'_>, message: Message, waits: bool) -> Result<()> {
        let mut message = Some(message);
        let sent = caller.wait(&self.senders, ANYBODY, || {
            let mut state = self.state.lock();
            if state.removed {
                return Some(Err(Errno::EIDRM));
            }
            let len = message.as_ref().map_or(0, |message| message.text.len() as u64);
            let count = state.messages.len() as u64;
            if state.bytes + len > state.limit || count >= state.limit {
                return (!waits).then_some(Err(Errno::EAGAIN));
            }
            state.bytes += len;
            state.messages.extend(message.take());
            state.lspid = caller.tgid;
            state.stime = seconds(caller);
            Some(Ok(()))
        });
        sent.map_err(no_restart_by_handlers)??;
        self.receivers.wake_all(ANYBODY);
        Ok(())
    }

    /// `msgrcv(2)`.
    ///
    /// # Errors
    /// `ENOMSG` without such a message, if the caller does not wait; `E2BIG` if the message is too
    /// large; `EIDRM`; `RestartNoHandler`.
    pub fn receive(&self, caller: &Caller<'_>, wanted: Wanted) -> Result<Message> {
        let waits = !wanted.flags.contains(MsgrcvFlags::IPC_NOWAIT);
        let copies = wanted.flags.contains(MsgrcvFlags::MSG_COPY);
        let received = caller.wait(&self.receivers, ANYBODY, || {
            let mut state = self.state.lock();
            if state.removed {
                return Some(Err(Errno::EIDRM));
            }
            let Some(at) = state.find(&wanted) else {
                return (!waits).then_some(Err(Errno::ENOMSG));
            };
            let message = state.messages.get(at)?;
            let len = message.text.len();
            if len > wanted.room && !wanted.flags.contains(MsgrcvFlags::MSG_NOERROR) {
                return Some(Err(Errno::E2BIG));
            }
            if copies {
                return Some(Ok(message.clone()));
            }
            let message = state.messages.remove(at)?;
            state.bytes -= len as u64;
            state.lrpid = caller.tgid;
            state.rtime = seconds(caller);
            Some(Ok(message))
        });
        let message = received.map_err(no_restart_by_handlers)??;
        if !copies {
            self.senders.wake_all(ANYBODY);
        }
        Ok(message)
    }

    /// `IPC_RMID`: who waits fails with `EIDRM`.
    ///
    /// # Errors
    /// `EIDRM` if it was removed before.
    pub fn remove(&self, ipc: &Ipc) -> Result<()> {
        if !ipc.queues.remove(self) {
            return Err(Errno::EIDRM.into());
        }
        let mut state = self.state.lock();
        state.removed = true;
        let messages = core::mem::take(&mut state.messages);
        drop(state);
        drop(messages);
        self.receivers.wake_all(ANYBODY);
        self.senders.wake_all(ANYBODY);
        Ok(())
    }

    /// `IPC_SET`.
    ///
    /// # Errors
    /// `EPERM` for more bytes than usual without `CAP_SYS_RESOURCE`; `EINVAL` for an id that stands
    /// for none.
    pub fn set(&self, caller: &Caller<'_>, new: &MsqidDs) -> Result<()> {
        if new.qbytes > MSGMNB && !caller.cred().has(Capabilities::SYS_RESOURCE) {
            return Err(Errno::EPERM.into());
        }
        self.permissions.set(&new.perm)?;
        let mut state = self.state.lock();
        state.limit = new.qbytes;
        state.ctime = seconds(caller);
        drop(state);
        // Permissions and room may be others now.
        self.receivers.wake_all(ANYBODY);
        self.senders.wake_all(ANYBODY);
        Ok(())
    }

    /// `IPC_STAT`.
    pub fn stat(&self) -> MsqidDs {
        let state = self.state.lock();
        MsqidDs {
            perm: self.permissions.to_abi(),
            stime: state.stime,
            rtime: state.rtime,
            ctime: state.ctime,
            cbytes: state.bytes,
            qnum: state.messages.len() as u64,
            qbytes: state.limit,
            lspid: state.lspid,
            lrpid: state.lrpid,
            ..MsqidDs::default()
        }
    }
}

/// As Linux's message calls say: `EINTR` whenever a handler runs.
fn no_restart_by_handlers(error: SysError) -> SysError {
    match error {
        SysError::Restart => SysError::RestartNoHandler,
        other => other,
    }
}

impl State {
    /// The place of the message that is wanted.
    fn find(&self, wanted: &Wanted) -> Option<usize> {
        let kinds = || self.messages.iter().map(|message| message.kind);
        if wanted.flags.contains(MsgrcvFlags::MSG_COPY) {
            let number = usize::try_from(wanted.kind).ok()?;
            return (number < self.messages.len()).then_some(number);
        }
        match wanted.kind {
            0 => (!self.messages.is_empty()).then_some(0),
            kind if kind < 0 => {
                let highest = kind.checked_neg().unwrap_or(i64::MAX);
                let lowest = kinds().min().filter(|lowest| *lowest <= highest)?;
                kinds().position(|other| other == lowest)
            }
            kind if wanted.flags.contains(MsgrcvFlags::MSG_EXCEPT) => {
                kinds().position(|other| other != kind)
            }
            kind => kinds().position(|other| other == kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(kinds: &[i64]) -> State {
        State {
            messages: kinds.iter().map(|&kind| Message { kind, text: Vec::new() }).collect(),
            bytes: 0,
            limit: MSGMNB,
            stime: 0,
            rtime: 0,
            ctime: 0,
            lspid: 0,
            lrpid: 0,
            removed: false,
        }
    }

    #[test]
    fn messages_are_chosen_by_type() {
        let queue = queue(&[5, 3, 4, 3]);
        let find = |kind, flags| queue.find(&Wanted { kind, room: 0, flags });
        let none = MsgrcvFlags::empty();
        assert_eq!(find(0, none), Some(0));
        assert_eq!(find(3, none), Some(1));
        assert_eq!(find(6, none), None);
        assert_eq!(find(5, MsgrcvFlags::MSG_EXCEPT), Some(1));
        assert_eq!(find(-4, none), Some(1), "the lowest type");
        assert_eq!(find(-2, none), None);
        assert_eq!(find(i64::MIN, none), Some(1));
        assert_eq!(find(2, MsgrcvFlags::MSG_COPY), Some(2));
        assert_eq!(find(4, MsgrcvFlags::MSG_COPY), None);
    }
}
