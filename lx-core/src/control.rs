//! The control protocol between the library and the init process of a machine.
//!
//! A machine is a kernel image that runs as a child process ("init"). The library holds one end
//! of a `SOCK_SEQPACKET` socket pair, init finds the other one at [`CONTROL_FD`]. The library
//! sends a [`Request`] in each packet, init sends an [`Event`]. When the library's end is closed,
//! for whatever reason, init kills every guest and exits.
//!
//! A packet is a header of [`HEADER_LEN`] bytes and a payload. All integers are little endian:
//!
//! | offset | size | field                                        |
//! |-------:|-----:|----------------------------------------------|
//! |      0 |    2 | magic, the letters `lx`                      |
//! |      2 |    2 | [`VERSION`]                                  |
//! |      4 |    1 | kind of message                              |
//! |      5 |    1 | flags: bit 0 says that the payload is a file |
//! |      6 |    2 | zero                                         |
//! |      8 |    4 | length of the payload                        |
//!
//! A message longer than [`MAX_INLINE`] travels as a file (a memfd) that holds the whole message,
//! header included; the packet is then only the header, see [`large_packet`]. That file is the
//! first descriptor of the packet, before those that belong to the request. A receiver calls
//! [`open`] on the packet to learn where the message is, then [`decode`] on the message.
//!
//! The conversation: the library sends [`Request::Configure`] first (for [`Root::Memory`], after any
//! number of [`Request::Populate`]), init answers
//! [`Event::Ready`], or [`Event::MachineStopped`] with the reason why it cannot. Each
//! [`Request::Spawn`] is answered by [`Event::Spawned`] or [`Event::SpawnFailed`]; a spawned
//! command reports [`Event::Stopped`] any number of times and [`Event::Exited`] once.
//!
//! What init does before it reads the first packet: `setsid`, so that the terminal's signals
//! reach `lx` alone, which forwards them; and it closes every descriptor above 2 that it was
//! started with. Descriptor 1 is `/dev/null`; descriptor 2 takes reports of kernel bugs.

use alloc::string::String;
use alloc::vec::Vec;

mod packet;
mod populate;
mod terminal;
#[cfg(test)]
mod tests;
mod wire;

pub use packet::{DecodeError, Envelope, Message, decode, encode, large_packet, open};
pub use populate::{Entry, EntryKind, Piece};
pub use terminal::{OwnTerminal, SpawnTerminal, TerminalSettings, WindowSize};
use wire::{Reader, Wire, wire_enum, wire_struct};

/// Version of the protocol. Library and image are built together, so versions are never mixed
/// on purpose; the number turns a mistake into a clear error.
pub const VERSION: u16 = 1;
/// The descriptor at which init finds its end of the control socket.
pub const CONTROL_FD: i32 = 0;
/// Bytes in front of every payload.
pub const HEADER_LEN: usize = 12;
/// Longest message, header included, that is sent inside a packet.
pub const MAX_INLINE: usize = 64 * 1024;
/// Longest message at all. Linux allows 6 MB of arguments and environment.
pub const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// Most descriptors that come with one packet: a large message, three standard streams, and both
/// directions of a terminal.
pub const MAX_DESCRIPTORS: usize = 6;

/// What the library asks of init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Fills the file system of [`Root::Memory`], before it is mounted.
    Populate(Vec<Piece>),
    /// Sets up the machine, once; no other message but `Populate` comes before it.
    Configure(Configure),
    /// Starts a command. Comes with three descriptors: its standard input, output and error; with
    /// [`SpawnTerminal::Own`], then with what is typed there, and where to show what is printed.
    Spawn(Spawn),
    /// Sends a signal to guest processes. Ignored when they are gone.
    Signal {
        /// Who gets it.
        target: SignalTarget,
        /// Linux signal number.
        signal: u32,
    },
    /// The terminal of a command was resized. One of its own takes over the size; that of the host
    /// has it already, and the foreground hears of it by `SIGWINCH`.
    WindowSize {
        /// Of the command.
        id: u64,
        /// The new size.
        size: WindowSize,
    },
    /// Comes with a terminal of the host, which the library is about to make raw: if it is still so
    /// when the machine ends, it gets these settings back.
    GuardTerminal(TerminalSettings),
    /// Asks for [`Event::Stats`].
    Stats,
    /// Kills every guest and exits, as the end of the control socket does.
    Shutdown,
}

/// What init reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The machine is configured and takes commands.
    Ready {
        /// The [`VERSION`] that the image was built with.
        version: u16,
    },
    /// A command has been started.
    Spawned {
        /// From the request.
        id: u64,
        /// Process id inside the guest.
        pid: u32,
    },
    /// A command could not be started; nothing of it is left.
    SpawnFailed(SpawnFailed),
    /// A command was stopped by a signal.
    Stopped {
        /// From the request.
        id: u64,
        /// Linux signal number.
        signal: u32,
    },
    /// A command has ended. The last event with this id.
    Exited {
        /// From the request.
        id: u64,
        /// The wait status in Linux's encoding, as `wait4` stores it.
        status: i32,
    },
    /// Answer to [`Request::Stats`].
    Stats(Stats),
    /// The machine cannot go on: every command is lost. The last event.
    MachineStopped {
        /// One sentence for the user.
        reason: String,
    },
}

/// How the machine is set up. With `strace`, one descriptor comes along: where to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configure {
    /// What is mounted at `/`.
    pub root: Root,
    /// Further mounts, in this order.
    pub mounts: Vec<BindMount>,
    /// Host name of the guest.
    pub hostname: Vec<u8>,
    /// Count system calls for [`Event::Stats`].
    pub stats: bool,
    /// Print every system call to the descriptor that comes with the message.
    pub strace: bool,
}

/// The root file system. Host paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The host's own root, read through; writes stay in memory.
    HostOverlay,
    /// A directory of the host.
    Directory {
        /// Absolute path on the host.
        path: Vec<u8>,
        /// Writes go to the directory; else they stay in memory.
        writable: bool,
    },
    /// A file system in memory that [`Request::Populate`] has filled.
    Memory,
}

/// A file or directory of the host that the guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// Absolute path of a directory on the host.
    pub host_path: Vec<u8>,
    /// The file in it that the guest sees; if empty, it sees the directory.
    pub file_name: Vec<u8>,
    /// Absolute path in the guest; made in memory if it is missing.
    pub guest_path: Vec<u8>,
    /// Writes fail with `EROFS`.
    pub read_only: bool,
}

/// A command to be started as leader of a new session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spawn {
    /// Chosen by the library, never used twice.
    pub id: u64,
    /// The program's path; relative ones start at `cwd`.
    pub program: Vec<u8>,
    /// `program` has no slash and is looked up in the `PATH` of `env`.
    pub search_path: bool,
    /// Arguments, the zeroth included.
    pub argv: Vec<Vec<u8>>,
    /// Strings `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// Variables of the host, in its form.
    pub host_env: Vec<HostVariable>,
    /// Absolute working directory in the guest.
    pub cwd: Vec<u8>,
    /// Credentials.
    pub user: User,
    /// File mode creation mask.
    pub umask: u32,
    /// Signals that start out ignored: bit `n - 1` for signal `n`.
    pub ignored_signals: u64,
    /// The session's controlling terminal.
    pub terminal: SpawnTerminal,
}

/// A variable of the host that a new command gets in a form that guests understand. It does not
/// replace one of the command's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVariable {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value on the host.
    pub value: Vec<u8>,
    /// What the value is.
    pub form: HostForm,
}

/// What the value of a [`HostVariable`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostForm {
    /// Text that means the same to guests.
    Text,
    /// A path.
    Path,
    /// A list of paths.
    PathList,
    /// A list of folders with programs. What a guest can see of them is appended to the command's
    /// own variable of this name.
    Folders,
}

/// Real, effective and saved ids of a new command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalTarget {
    /// The process of the command with this id.
    Process(u64),
    /// The process group of that command.
    Group(u64),
    /// The foreground process group of the terminal of that command's session; without a
    /// terminal, the command's own process group.
    Foreground(u64),
}

/// Why a command could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpawnFailed {
    /// From the request.
    pub id: u64,
    /// How far it came.
    pub stage: Stage,
    /// Linux error number.
    pub errno: i32,
    /// What the error number does not say, such as `is a directory`; may be empty.
    pub message: String,
}

/// The step of a spawn that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Making the process: memory, host processes, descriptors.
    Process,
    /// Entering the working directory.
    Directory,
    /// Finding the program.
    Lookup,
    /// Executing the program that was found, its interpreter included.
    Execute,
}

/// Counters since the machine was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// System calls that arrived by a trap and not by a patched site.
    pub trapped: u64,
    /// System calls that were made at least once, by number.
    pub calls: Vec<CallStats>,
    /// Unsupported features that guests asked for, and unknown call numbers.
    pub unsupported: Vec<Counter>,
    /// Anything else worth a number: host processes, patched sites, …
    pub counters: Vec<Counter>,
}

/// Counters of one system call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallStats {
    /// Linux x86-64 number.
    pub number: u32,
    /// Name, without `sys_`; empty for a number that Linux does not know.
    pub name: String,
    /// How often guests made it.
    pub count: u64,
    /// How often it ended with an error.
    pub errors: u64,
    /// Host calls made on its behalf.
    pub host_calls: u64,
}

/// Name of the counter of trace lines that could not be written; it is there only if there are any.
pub const LOST_TRACE_LINES: &str = "lines of the trace that could not be written";

/// A name and a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What was counted.
    pub name: String,
    /// How often.
    pub value: u64,
}

wire_enum!(Request {
    1 => Configure(configure),
    2 => Spawn(spawn),
    3 => Signal { target, signal },
    4 => WindowSize { id, size },
    5 => Stats,
    6 => Shutdown,
    7 => Populate(pieces),
    8 => GuardTerminal(settings),
});
wire_enum!(Event {
    65 => Ready { version },
    66 => Spawned { id, pid },
    67 => SpawnFailed(failure),
    68 => Stopped { id, signal },
    69 => Exited { id, status },
    70 => Stats(stats),
    71 => MachineStopped { reason },
});
wire_enum!(Root { 0 => HostOverlay, 1 => Directory { path, writable }, 2 => Memory });
wire_enum!(SignalTarget { 0 => Process(id), 1 => Group(id), 2 => Foreground(id) });
wire_enum!(Stage { 0 => Process, 1 => Directory, 2 => Lookup, 3 => Execute });
wire_struct!(Configure { root, mounts, hostname, stats, strace });
wire_struct!(BindMount { host_path, file_name, guest_path, read_only });
wire_struct!(Spawn {
    id,
    program,
    search_path,
    argv,
    env,
    host_env,
    cwd,
    user,
    umask,
    ignored_signals,
    terminal
});
wire_enum!(HostForm { 0 => Text, 1 => Path, 2 => PathList, 3 => Folders });
wire_struct!(HostVariable { name, value, form });
wire_struct!(User { uid, gid, groups });
wire_struct!(SpawnFailed { id, stage, errno, message });
wire_struct!(Stats { trapped, calls, unsupported, counters });
wire_struct!(CallStats { number, name, count, errors, host_calls });
wire_struct!(Counter { name, value });

impl Request {
    /// How many descriptors come with this request, after the one of a large message.
    pub fn descriptor_count(&self) -> usize {
        match self {
            Self::Configure(configure) => usize::from(configure.strace),
            Self::Spawn(spawn) => match spawn.terminal {
                SpawnTerminal::Standard => 3,
                SpawnTerminal::Own(_) => 5,
            },
            Self::GuardTerminal(_) => 1,
            _ => 0,
        }
    }
}
