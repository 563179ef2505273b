//! The lock order: a thread may take a lock only if its level is higher than that of every lock
//! it holds. One list, outermost first; `docs/lock-order.md` explains it.

/// A level, the second parameter of [`Mutex`](super::Mutex).
pub type Level = u8;

/// File position of an open file description: held while a seekable file or a directory is read or
/// written, which may do anything (procfs looks at tasks).
pub const FILE_POSITION: Level = 1;
/// Pid table, process groups and sessions: the tree of processes.
pub const PID_TABLE: Level = 2;
/// A session's or process group's members and terminal.
pub const SESSION: Level = 4;
/// A thread group: children, exit state, job control.
pub const THREAD_GROUP: Level = 6;
/// Which dispositions a thread group uses.
pub const SIGNAL_HANDLERS: Level = 7;
/// Signal dispositions.
pub const SIGNAL_ACTIONS: Level = 8;
/// Pending signals of a task or a thread group.
pub const SIGNAL_PENDING: Level = 10;
/// A task's own mutable state (name, …).
pub const TASK: Level = 12;
/// Timers of the kernel.
pub const TIMERS: Level = 14;
/// Who waits for futexes with priority inheritance: held while a word of theirs is changed.
pub const FUTEX_PI: Level = 15;
/// A futex bucket.
pub const FUTEX: Level = 16;
/// Working directory, root, umask.
pub const FS_CONTEXT: Level = 18;
/// File descriptor table.
pub const FD_TABLE: Level = 20;
/// An address space's VMA tree.
pub const ADDRESS_SPACE: Level = 22;
/// The graph of nested epoll instances.
pub const EPOLL_GRAPH: Level = 23;
/// An epoll instance.
pub const EPOLL: Level = 24;
/// Objects of System V IPC by id and key: held while one is made.
pub const IPC_IDS: Level = 26;
/// Renames of directories (one per superblock).
pub const RENAME: Level = 28;
/// The mount tree.
pub const MOUNT: Level = 30;
/// Contents of a directory (parent before child).
pub const DIRECTORY: Level = 32;
/// A second directory or inode of the same operation.
pub const DIRECTORY_SECOND: Level = 34;
/// A dentry's children and state.
pub const DENTRY: Level = 36;
/// Attributes of an inode.
pub const INODE: Level = 40;
/// Data of an inode.
pub const INODE_DATA: Level = 42;
/// Pipe, socket, tty, eventfd and the like.
pub const FILE_OBJECT: Level = 46;
/// What is undone to semaphores when a process ends: held while they are changed.
pub const IPC_UNDO: Level = 47;
/// A second object of the same kind (`splice`, socket pairs).
pub const FILE_OBJECT_SECOND: Level = 48;
/// Owners and mode of an object of System V IPC.
pub const IPC_OWNER: Level = 49;
/// What a task refers to: credentials, descriptor table and the like. Files ask for credentials
/// while they hold locks of their own.
pub const TASK_REFERENCES: Level = 50;
/// Caches: patched text, host readiness tokens.
pub const CACHE: Level = 52;
/// What an epoll item waits for, which wakers look at.
pub const EPOLL_ITEM: Level = 54;
/// The ready list of an epoll instance, which wakers append to.
pub const EPOLL_READY: Level = 56;
/// The machine's commands and the events for its owner.
pub const MACHINE: Level = 56;
/// A wait queue: innermost but for counters.
pub const WAIT_QUEUE: Level = 58;
/// Statistics and traces.
pub const STATS: Level = 60;
