//! System V message queues: `msgget(2)`, `msgsnd(2)`, `msgrcv(2)`, `msgctl(2)`.

use lx_core::Result;
use lx_core::abi::ipc::{IpcFlags, MsgCmd, MsgLimits, MsgrcvFlags, MsqidDs};
use lx_core::abi::{Errno, UserPtr};
use lx_proc::CurrentTask;
use lx_proc::ipc::{MSGMAX, MSGMNB, MSGMNI, Message, MessageQueue, Object, READ, WRITE, Wanted};

/// Bytes of `long mtype` in front of a message's text.
const TYPE_LEN: u64 = 8;

/// `msgget(2)`: the id.
///
/// # Errors
/// `ENOENT`, `EEXIST`, `EACCES`, `ENOSPC`.
pub(crate) fn sys_msgget(task: &CurrentTask<'_>, key: i32, flags: IpcFlags) -> Result<i32> {
    let caller = task.caller();
    task.kernel().ipc.queues.find_or_make(
        task.cred(),
        key,
        flags,
        |_| Ok(()),
        |permissions| Ok(MessageQueue::new(permissions, &caller)),
    )
}

/// `msgsnd(2)`.
///
/// # Errors
///
/// - `EINVAL`: no such queue, an impossible length, a type below 1.
/// - `EACCES`, `EFAULT`.
/// - As [`MessageQueue::send`].
pub(crate) fn sys_msgsnd(
    task: &CurrentTask<'_>,
    id: i32,
    message: UserPtr<i64>,
    len: usize,
    flags: IpcFlags,
) -> Result<()> {
    let memory = task.memory();
    let kind = memory.read(message)?;
    if len > MSGMAX || id < 0 || kind < 1 {
        return Err(Errno::EINVAL.into());
    }
    let mut text = alloc::vec![0; len];
    memory.read_bytes(message.addr().wrapping_add(TYPE_LEN), &mut text)?;
    let queue = task.kernel().ipc.queues.get(id)?;
    queue.permissions().check(task.cred(), WRITE)?;
    let waits = !flags.contains(IpcFlags::IPC_NOWAIT);
    queue.send(&task.caller(), Message { kind, text }, waits)
}

/// `msgrcv(2)`: the bytes of the text.
///
/// # Errors
///
/// - `EINVAL`: no such queue, a negative length, `MSG_COPY` without `IPC_NOWAIT` or with
///   `MSG_EXCEPT`.
/// - `EACCES`; `EFAULT`, and then the message is lost.
/// - As [`MessageQueue::receive`].
pub(crate) fn sys_msgrcv(
    task: &CurrentTask<'_>,
    id: i32,
    message: UserPtr<i64>,
    room: i64,
    kind: i64,
    flags: MsgrcvFlags,
) -> Result<usize> {
    let room = usize::try_from(room).map_err(|_| Errno::EINVAL)?;
    let copies = flags.contains(MsgrcvFlags::MSG_COPY);
    let bad_copy = copies
        && (flags.contains(MsgrcvFlags::MSG_EXCEPT) || !flags.contains(MsgrcvFlags::IPC_NOWAIT));
    if id < 0 || bad_copy {
        return Err(Errno::EINVAL.into());
    }
    let queue = task.kernel().ipc.queues.get(id)?;
    queue.permissions().check(task.cred(), READ)?;
    let received = queue.receive(&task.caller(), Wanted { kind, room, flags })?;
    let len = received.text.len().min(room);
    let memory = task.memory();
    memory.write(message, &received.kind)?;
    let text = received.text.get(..len).unwrap_or_default();
    memory.write_bytes(message.addr().wrapping_add(TYPE_LEN), text)?;
    Ok(len)
}

/// `msgctl(2)`: 0; for `IPC_INFO` and `MSG_INFO` the highest index in use, for `MSG_STAT` the id.
///
/// # Errors
///
/// - `EINVAL`: an unknown command, no such queue.
/// - `EACCES`: may not be read. `EPERM`: may not be changed.
/// - `EFAULT`, `EIDRM`.
pub(crate) fn sys_msgctl(
    task: &CurrentTask<'_>,
    id: i32,
    command: MsgCmd,
    buffer: UserPtr<u8>,
) -> Result<i32> {
    if id < 0 {
        return Err(Errno::EINVAL.into());
    }
    let (ipc, memory) = (&task.kernel().ipc, task.memory());
    match command {
        MsgCmd::IPC_INFO | MsgCmd::MSG_INFO => {
            memory.write(buffer.cast(), &limits(task, command))?;
            Ok(ipc.queues.highest_index() as i32)
        }
        MsgCmd::IPC_STAT | MsgCmd::MSG_STAT | MsgCmd::MSG_STAT_ANY => {
            let by_index = command != MsgCmd::IPC_STAT;
            let to_anybody = command == MsgCmd::MSG_STAT_ANY;
            let queue = ipc.queues.shown(task.cred(), id, by_index, to_anybody)?;
            memory.write(buffer.cast(), &queue.stat())?;
            Ok(if by_index { queue.permissions().id() } else { 0 })
        }
        MsgCmd::IPC_SET => {
            let new: MsqidDs = memory.read(buffer.cast())?;
            let queue = ipc.queues.owned(task.cred(), id)?;
            queue.set(&task.caller(), &new).map(|()| 0)
        }
        MsgCmd::IPC_RMID => {
            let queue = ipc.queues.owned(task.cred(), id)?;
            queue.remove(ipc).map(|()| 0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Limits, or what there is of what they limit.
fn limits(task: &CurrentTask<'_>, command: MsgCmd) -> MsgLimits {
    let mut limits = MsgLimits {
        msgpool: (MSGMNI as u64 * MSGMNB / 1024) as i32,
        msgmap: MSGMNB as i32,
        msgmax: MSGMAX as i32,
        msgmnb: MSGMNB as i32,
        msgmni: MSGMNI as i32,
        msgssz: 16,
        msgtql: MSGMNB as i32,
        msgseg: 0xffff,
        pad: 0,
    };
    if command == MsgCmd::MSG_INFO {
        let queues = task.kernel().ipc.queues.list();
        let stats = || queues.iter().map(|queue| queue.stat());
        limits.msgpool = queues.len() as i32;
        limits.msgmap = stats().map(|stat| stat.qnum).sum::<u64>() as i32;
        limits.msgtql = stats().map(|stat| stat.cbytes).sum::<u64>() as i32;
    }
    limits
}
