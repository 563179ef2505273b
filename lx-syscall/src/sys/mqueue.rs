//! POSIX message queues: `mq_open(2)`, `mq_unlink(2)`, `mq_timedsend(2)`, `mq_timedreceive(2)`,
//! `mq_notify(2)`, `mq_getsetattr(2)`.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::mqueue::{
    MQ_PRIO_MAX, MqAttr, NOTIFY_COOKIE_LEN, NOTIFY_REMOVED, NOTIFY_WOKENUP,
};
use lx_core::abi::siginfo::{SI_MESGQ, SigInfo};
use lx_core::abi::signal::{SigEvent, SigevNotify};
use lx_core::abi::stat::FileMode;
use lx_core::abi::time::Timespec;
use lx_core::abi::{Errno, Fd, RawSignal, Signal, UserCStr, UserPtr};
use lx_core::file::OpenFile;
use lx_core::rlimit::Resource;
use lx_core::timer::realtime_deadline;
use lx_core::user_memory::PathBuffer;
use lx_core::{Caller, Result};
use lx_net::{Family, NetlinkSocket, Socket};
use lx_proc::mm::AddressSpace;
use lx_proc::signal::send_to_group;
use lx_proc::{CurrentTask, Kernel, ThreadGroup};
use lx_vfs::fs::mqueue::{Message, Notification, OpenQueue, Queue, QueueFile, Turn};

use super::at;
use super::socket;

/// `mq_open(2)`: the descriptor, which is closed by `execve`.
///
/// # Errors
///
/// - `EFAULT`; `ENOENT`: an empty name, or no such queue.
/// - `EMFILE`: no descriptor is free, or the user has too many bytes in queues.
/// - As [`MessageQueues::open`](lx_vfs::fs::mqueue::MessageQueues::open).
pub(crate) fn sys_mq_open(
    task: &CurrentTask<'_>,
    name: UserCStr,
    flags: OpenFlags,
    mode: FileMode,
    attr: UserPtr<MqAttr>,
) -> Result<Fd> {
    let attr = task.memory().read_unless_null(attr)?;
    let mut buffer = PathBuffer::new();
    let name = at::read_path(task, name, &mut buffer)?;
    let limit = task.group().rlimits().soft(Resource::Nofile);
    let fd = task.files().reserve(0, limit, true)?;
    let how = OpenQueue {
        flags,
        mode: mode.permissions(),
        umask: task.fs().umask(),
        room: attr.map(|attr| (attr.mq_maxmsg, attr.mq_msgsize)),
    };
    let file = task.kernel().mqueues.open(&task.caller(), name, &how)?;
    Ok(fd.install(file))
}

/// `mq_unlink(2)`.
///
/// # Errors
/// `EFAULT`, `ENOENT`, `EACCES`, `ENAMETOOLONG`; `EPERM`: another one's queue.
pub(crate) fn sys_mq_unlink(task: &CurrentTask<'_>, name: UserCStr) -> Result<()> {
    let mut buffer = PathBuffer::new();
    let name = at::read_path(task, name, &mut buffer)?;
    task.kernel().mqueues.unlink(&task.caller(), name)
}

/// How a call on `file` waits.
fn turn(task: &CurrentTask<'_>, file: &OpenFile, timeout: Option<u64>) -> Turn {
    Turn {
        nonblocking: file.is_nonblocking(),
        deadline: timeout.map(|time| realtime_deadline(task.host(), time)),
        rank: task.task().scheduling().rank(),
    }
}

/// The time at which a call gives up, nanoseconds since 1970.
fn read_timeout(task: &CurrentTask<'_>, timeout: UserPtr<Timespec>) -> Result<Option<u64>> {
    let timeout = task.memory().read_unless_null(timeout)?;
    Ok(timeout.map(Timespec::to_nanos).transpose()?)
}

/// `mq_timedsend(2)`.
///
/// # Errors
///
/// - `EFAULT`; `EINVAL`: a malformed time, too high a priority.
/// - `EBADF`: no queue that is open for writing. `EMSGSIZE`: too long for it.
/// - As [`Queue::send`].
pub(crate) fn sys_mq_timedsend(
    task: &CurrentTask<'_>,
    fd: Fd,
    text: UserPtr<u8>,
    len: usize,
    priority: u32,
    timeout: UserPtr<Timespec>,
) -> Result<()> {
    let timeout = read_timeout(task, timeout)?;
    if priority >= MQ_PRIO_MAX {
        return Err(Errno::EINVAL.into());
    }
    let file = task.file(fd)?;
    let queue = QueueFile::queue_of(&file)?;
    if !file.is_writable() {
        return Err(Errno::EBADF.into());
    }
    let (_, most) = queue.room();
    if len as u64 > most {
        return Err(Errno::EMSGSIZE.into());
    }
    let mut message = Message { priority, text: alloc::vec![0; len] };
    task.memory().read_bytes(text.addr(), &mut message.text)?;
    queue.send(&task.caller(), message, turn(task, &file, timeout))
}

/// `mq_timedreceive(2)`: the bytes of the message.
///
/// # Errors
///
/// - `EFAULT`, and if it is for the message, that is lost. `EINVAL`: a malformed time.
/// - `EBADF`: no queue that is open for reading. `EMSGSIZE`: less room than its longest message has.
/// - As [`Queue::receive`].
pub(crate) fn sys_mq_timedreceive(
    task: &CurrentTask<'_>,
    fd: Fd,
    text: UserPtr<u8>,
    room: usize,
    priority: UserPtr<u32>,
    timeout: UserPtr<Timespec>,
) -> Result<usize> {
    let timeout = read_timeout(task, timeout)?;
    let file = task.file(fd)?;
    let queue = QueueFile::queue_of(&file)?;
    if !file.is_readable() {
        return Err(Errno::EBADF.into());
    }
    let (_, most) = queue.room();
    if (room as u64) < most {
        return Err(Errno::EMSGSIZE.into());
    }
    let message = queue.receive(&task.caller(), turn(task, &file, timeout))?;
    let memory = task.memory();
    memory.write_unless_null(priority, &message.priority)?;
    memory.write_bytes(text.addr(), &message.text)?;
    Ok(message.text.len())
}

/// `mq_getsetattr(2)`: of the attributes only `O_NONBLOCK` can be set.
///
/// # Errors
/// `EFAULT`; `EINVAL`: other flags; `EBADF`: no queue.
pub(crate) fn sys_mq_getsetattr(
    task: &CurrentTask<'_>,
    fd: Fd,
    new: UserPtr<MqAttr>,
    old: UserPtr<MqAttr>,
) -> Result<()> {
    let nonblocking = i64::from(OpenFlags::O_NONBLOCK.bits());
    let new = task.memory().read_unless_null(new)?;
    if new.is_some_and(|new| new.mq_flags & !nonblocking != 0) {
        return Err(Errno::EINVAL.into());
    }
    let file = task.file(fd)?;
    let queue = QueueFile::queue_of(&file)?;
    let (messages, size) = queue.room();
    let before = MqAttr {
        mq_flags: if file.is_nonblocking() { nonblocking } else { 0 },
        mq_maxmsg: messages.cast_signed(),
        mq_msgsize: size.cast_signed(),
        mq_curmsgs: queue.count() as i64,
        ..MqAttr::default()
    };
    if let Some(new) = new {
        let flags = OpenFlags::from_bits_truncate(new.mq_flags as u32);
        file.set_flags(flags, OpenFlags::O_NONBLOCK);
        queue.changed(&task.caller());
    }
    task.memory().write_unless_null(old, &before)
}

/// `mq_notify(2)`.
///
/// # Errors
///
/// - `EFAULT`; `EINVAL`: an unknown kind of notification, an impossible signal, a socket of another
///   kind.
/// - `EBADF`: no queue, or no socket. `ENOTSOCK`.
/// - `EBUSY`: somebody is to be notified already.
pub(crate) fn sys_mq_notify(
    task: &CurrentTask<'_>,
    fd: Fd,
    event: UserPtr<SigEvent>,
) -> Result<()> {
    let event = task.memory().read_unless_null(event)?;
    let notification = event.map(|event| notification(task, &event)).transpose()?;
    let file = task.file(fd)?;
    let queue: &Queue = QueueFile::queue_of(&file)?;
    let caller = task.caller();
    match notification {
        Some(notification) => queue.notify(&caller, notification),
        None => {
            queue.stop_notifying(&caller);
            Ok(())
        }
    }
}

fn notification(task: &CurrentTask<'_>, event: &SigEvent) -> Result<Box<dyn Notification>> {
    match event.sigev_notify {
        SigevNotify::SIGEV_NONE => Ok(Box::new(Silent)),
        SigevNotify::SIGEV_SIGNAL => Ok(Box::new(BySignal {
            kernel: Arc::clone(task.kernel()),
            group: Arc::downgrade(task.group()),
            program: Arc::downgrade(task.mm()),
            signal: RawSignal(event.sigev_signo).check()?,
            value: event.sigev_value,
        })),
        SigevNotify::SIGEV_THREAD => {
            let mut cookie = [0; NOTIFY_COOKIE_LEN];
            task.memory().read_bytes(event.sigev_value, &mut cookie)?;
            let file = socket::find(task, Fd(event.sigev_signo))?;
            match Socket::of(&file)?.family() {
                Family::Netlink(socket) => {
                    Ok(Box::new(ByMessage { socket: Arc::clone(socket), cookie }))
                }
                _ => Err(Errno::EINVAL.into()),
            }
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// `SIGEV_NONE`: that somebody is registered keeps others away, no more.
struct Silent;

impl Notification for Silent {
    fn shown(&self) -> (u32, i32) {
        (SigevNotify::SIGEV_NONE.0, 0)
    }

    fn arrived(&self, _caller: &Caller<'_>) {}
}

/// `SIGEV_SIGNAL`.
struct BySignal {
    kernel: Arc<Kernel>,
    group: Weak<ThreadGroup>,
    /// What the process runs: another program has not asked for the signal.
    program: Weak<AddressSpace>,
    /// Linux accepts 0, which is sent to nobody.
    signal: Option<Signal>,
    value: u64,
}

impl Notification for BySignal {
    fn shown(&self) -> (u32, i32) {
        (SigevNotify::SIGEV_SIGNAL.0, self.signal.map_or(0, Signal::number))
    }

    fn arrived(&self, caller: &Caller<'_>) {
        let (Some(signal), Some(group)) = (self.signal, self.group.upgrade()) else { return };
        let program = self.program.upgrade();
        let same = |mm: &Arc<AddressSpace>| {
            program.as_ref().is_some_and(|program| Arc::ptr_eq(program, mm))
        };
        if !group.tasks().iter().any(|task| same(&task.mm())) {
            return;
        }
        let uid = caller.cred().uid;
        let info = SigInfo::queue(signal, SI_MESGQ, caller.tgid, uid, self.value);
        // Too many signals: Linux drops this one, too.
        let _ = send_to_group(&self.kernel, &group, signal, info, None);
    }
}

/// `SIGEV_THREAD`: the C library has a thread that reads a netlink socket. Its message comes back
/// with the last byte saying why.
struct ByMessage {
    socket: Arc<NetlinkSocket>,
    cookie: [u8; NOTIFY_COOKIE_LEN],
}

impl ByMessage {
    fn send(&self, why: u8) {
        let mut message = self.cookie;
        if let Some(last) = message.last_mut() {
            *last = why;
        }
        self.socket.deliver(&message);
    }
}

impl Notification for ByMessage {
    fn shown(&self) -> (u32, i32) {
        (SigevNotify::SIGEV_THREAD.0, 0)
    }

    fn arrived(&self, _caller: &Caller<'_>) {
        self.send(NOTIFY_WOKENUP);
    }

    fn removed(&self) {
        self.send(NOTIFY_REMOVED);
    }
}
