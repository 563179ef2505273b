//! Structures of the NT system services, as far as they are used.

/// `UNICODE_STRING`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct UnicodeString {
    /// Bytes in use.
    pub length: u16,
    /// Bytes there are.
    pub maximum_length: u16,
    /// UTF-16 text.
    pub buffer: *const u16,
}

/// `OBJECT_ATTRIBUTES`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ObjectAttributes {
    /// Size of this structure.
    pub length: u32,
    /// Directory that the name starts at, or 0.
    pub root: super::Handle,
    /// The name, or null.
    pub name: *const UnicodeString,
    /// `OBJ_…` flags.
    pub attributes: u32,
    /// Null.
    pub security: usize,
    /// Null.
    pub quality: usize,
}

/// A key of the console that was pressed or released.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct KeyEvent {
    /// Number of the key (`VK_…`); 0 for letters that the console has made of a key.
    pub key: u16,
    /// What was typed, in UTF-16; 0 if it is no letter.
    pub letter: u16,
    /// How often.
    pub repeat: u16,
    /// Whether it was pressed.
    pub down: u16,
    /// Which other keys were held (`SHIFT_PRESSED` and so on).
    pub state: u32,
}

/// `IO_STATUS_BLOCK`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct IoStatus {
    /// A status, in the lower half.
    pub status: usize,
    /// Bytes moved, or what was done.
    pub information: usize,
}

/// `CLIENT_ID`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ClientId {
    /// Process id.
    pub process: usize,
    /// Thread id.
    pub thread: usize,
}

/// `MEMORY_BASIC_INFORMATION`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MemoryBasicInformation {
    /// First page with these attributes.
    pub base: u64,
    /// Start of the reservation.
    pub allocation_base: u64,
    /// Protection that the reservation was made with.
    pub allocation_protect: u32,
    /// Fills up.
    pub reserved: u32,
    /// Bytes with these attributes.
    pub size: u64,
    /// Committed, reserved or free.
    pub state: u32,
    /// Protection.
    pub protect: u32,
    /// Private, mapped or image.
    pub kind: u32,
    /// Fills up.
    pub reserved2: u32,
}

/// `EXCEPTION_RECORD`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExceptionRecord {
    /// What happened.
    pub code: u32,
    /// Flags.
    pub flags: u32,
    /// The next record.
    pub next: usize,
    /// Where it happened.
    pub address: u64,
    /// How many of the following are valid.
    pub parameter_count: u32,
    /// Fills up.
    pub reserved: u32,
    /// Of an access violation: 0 read, 1 write, 8 execute; then the address.
    pub parameters: [u64; 15],
}

/// `EXCEPTION_POINTERS`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ExceptionPointers {
    /// What happened.
    pub record: *const ExceptionRecord,
    /// The registers.
    pub context: *mut Context,
}

/// `CONTEXT` of x86-64.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Context {
    /// Homes of the register parameters.
    pub homes: [u64; 6],
    /// Which parts are valid.
    pub flags: u32,
    /// SSE control and status.
    pub mxcsr: u32,
    /// cs, ds, es, fs, gs, ss.
    pub segments: [u16; 6],
    /// Flags.
    pub eflags: u32,
    /// Debug registers 0 to 3, 6, 7.
    pub debug: [u64; 6],
    /// General registers in the order of their numbers.
    pub rax: u64,
    /// rcx.
    pub rcx: u64,
    /// rdx.
    pub rdx: u64,
    /// rbx.
    pub rbx: u64,
    /// rsp.
    pub rsp: u64,
    /// rbp.
    pub rbp: u64,
    /// rsi.
    pub rsi: u64,
    /// rdi.
    pub rdi: u64,
    /// r8 to r15.
    pub r8_to_r15: [u64; 8],
    /// rip.
    pub rip: u64,
    /// x87 state in `FXSAVE` format, up to the vector registers.
    pub legacy: [u64; 20],
    /// xmm0 to xmm15.
    pub xmm: [u128; 16],
    /// Rest of the `FXSAVE` area.
    pub rest: [u64; 12],
    /// Vector registers and debug control, unused.
    pub vectors: [u128; 26],
    /// As above.
    pub vector_control: u64,
    /// Debug control and branch records.
    pub branches: [u64; 5],
}

impl Context {
    /// Control, integer and floating-point registers.
    pub const FULL: u32 = 0x10_000b;
    /// Control and integer registers.
    pub const CONTROL_INTEGER: u32 = 0x10_0003;

    /// An empty one that asks for `flags`.
    #[must_use]
    pub const fn empty(flags: u32) -> Self {
        Self {
            homes: [0; 6],
            flags,
            mxcsr: 0,
            segments: [0; 6],
            eflags: 0,
            debug: [0; 6],
            rax: 0,
            rcx: 0,
            rdx: 0,
            rbx: 0,
            rsp: 0,
            rbp: 0,
            rsi: 0,
            rdi: 0,
            r8_to_r15: [0; 8],
            rip: 0,
            legacy: [0; 20],
            xmm: [0; 16],
            rest: [0; 12],
            vectors: [0; 26],
            vector_control: 0,
            branches: [0; 5],
        }
    }
}

const _: () = {
    assert!(core::mem::offset_of!(Context, rax) == 0x78);
    assert!(core::mem::offset_of!(Context, rip) == 0xf8);
    assert!(core::mem::offset_of!(Context, xmm) == 0x1a0);
    assert!(core::mem::offset_of!(Context, vectors) == 0x300);
    assert!(size_of::<Context>() == 0x4d0);
    assert!(size_of::<MemoryBasicInformation>() == 48);
    assert!(size_of::<ObjectAttributes>() == 48);
};

/// A program of Windows that the loader is to start. Texts are UTF-16 and end with a zero.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Program {
    /// Path of the program.
    pub path: *const u16,
    /// The command line, which the call may change.
    pub command: *mut u16,
    /// Working directory, or null for the caller's.
    pub directory: *const u16,
    /// Strings `NAME=value`, one behind the other, with an empty one at the end; they are added to
    /// the caller's own variables, or replace them.
    pub environment: *const u16,
    /// Standard input, output and error: inheritable handles of the caller.
    pub standard: [super::Handle; 3],
    /// The result: a handle to the process.
    pub process: super::Handle,
}

/// `AFD_POLL_INFO` for one socket.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct AfdPoll {
    /// How long to wait; 0 for not at all.
    pub timeout: i64,
    /// Number of sockets: 1.
    pub count: u32,
    /// Whether other requests for the socket end.
    pub exclusive: u32,
    /// The socket.
    pub socket: super::Handle,
    /// `AFD_POLL_*`: what is waited for, then what holds.
    pub events: u32,
    /// Why a connection failed.
    pub status: super::Status,
}

/// What is sent or received, and how.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct NetTransfer {
    /// The bytes.
    pub bytes: *mut u8,
    /// How many, or the room for them; then how many were sent or received.
    pub len: u32,
    /// Winsock's `MSG_*`; then those that came.
    pub flags: u32,
    /// The address, or the room for one.
    pub address: *mut u8,
    /// Its length; 0 for none.
    pub address_len: u32,
    /// Length of the control messages; 0 for none.
    pub control_len: u32,
    /// The control messages, or the room for them.
    pub control: *mut u8,
}
