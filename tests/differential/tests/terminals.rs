//! Pseudo terminals do with random input, output and settings what Linux's do.
//!
//! Linux hands input on a little later, but at the latest when somebody reads and finds nothing, so
//! after each step both ends are read until there is nothing more. Keys that send signals throw nothing
//! away (`NOFLSH`): whether a line that was typed just before was read already depends on chance.

use std::cell::Cell;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use host_mock::MockHost;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::tty::{InputFlags, LocalFlags, OutputFlags, Termios};
use lx_core::caller::Caller;
use lx_core::cred::Credentials;
use lx_core::file::OpenFile;
use lx_core::io::{IoDst, IoSrc};
use lx_core::rlimit::Rlimits;
use lx_core::sync::Waiter;
use lx_differential_tests::soak;
use lx_vfs::fs::devpts::{DevPts, Options};
use lx_vfs::tty::pty::{Pty, Slave};
use proptest::prelude::{Just, Strategy, TestCaseError, prop_assume, prop_oneof};
use proptest::prop_assert_eq;
use proptest::test_runner::TestRunner;

/// What happens at a terminal.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody types this.
    Type(Vec<u8>),
    /// A program prints this.
    Print(Vec<u8>),
    /// A program sets these input, output and local flags.
    Set(u32, u32, u32),
}

/// Bytes with a meaning, and some without. Not those that stop output and let it go on: a signal while
/// echo waits makes Linux 6.18 show what it has never got.
const BYTES: &[u8] =
    b"ab Zz_9\t\n\n\r\x7f\x7f\x15\x17\x16\x12\x03\x1a\x04\x00\x01\x08\xff\xc3\xa4\xe2\x82\xac";

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(BYTES), 0..24)
}

/// Some of these flags, mostly those of a fresh terminal.
fn flags(usual: u32, all: u32) -> impl Strategy<Value = u32> {
    prop_oneof![
        2 => Just(usual),
        2 => proptest::num::u32::ANY.prop_map(move |bits| usual ^ (bits & (bits >> 7) & all)),
        1 => proptest::num::u32::ANY.prop_map(move |bits| bits & all),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let input = InputFlags::IGNCR
        | InputFlags::ICRNL
        | InputFlags::INLCR
        | InputFlags::ISTRIP
        | InputFlags::IUCLC
        | InputFlags::IXON
        | InputFlags::IXANY
        | InputFlags::IUTF8
        | InputFlags::PARMRK;
    let output = OutputFlags::OPOST
        | OutputFlags::ONLCR
        | OutputFlags::OCRNL
        | OutputFlags::ONOCR
        | OutputFlags::ONLRET
        | OutputFlags::OLCUC
        | OutputFlags::XTABS;
    let local = LocalFlags::ISIG
        | LocalFlags::ICANON
        | LocalFlags::ECHO
        | LocalFlags::ECHOE
        | LocalFlags::ECHOK
        | LocalFlags::ECHONL
        | LocalFlags::NOFLSH
        | LocalFlags::ECHOCTL
        | LocalFlags::ECHOPRT
        | LocalFlags::ECHOKE
        | LocalFlags::IEXTEN;
    let usual = Termios::INITIAL;
    prop_oneof![
        4 => bytes().prop_map(Step::Type),
        2 => bytes().prop_map(Step::Print),
        2 => (
            flags(usual.c_iflag, input.bits()),
            flags(usual.c_oflag, output.bits()),
            flags(usual.c_lflag, local.bits()),
        )
            .prop_map(|(input, output, local)| Step::Set(input, output & !0x1000 | (output & 0x800) << 1, local)),
    ]
}

/// A terminal of either kind.
trait Terminal {
    fn type_in(&self, bytes: &[u8]);
    /// How many bytes were taken.
    fn print(&self, bytes: &[u8]) -> usize;
    fn set(&self, flags: (u32, u32, u32));
    /// `None`: nothing there.
    fn read(&self) -> Option<Vec<u8>>;
    fn shown(&self) -> Option<Vec<u8>>;
}

struct Native {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Native {
    fn new() -> Self {
        let (mut master, mut slave) = (-1, -1);
        let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
        // SAFETY: the call writes two descriptors, which are ours alone.
        unsafe {
            assert_eq!(libc::openpty(&mut master, &mut slave, name, settings, size), 0);
            for fd in [master, slave] {
                libc::fcntl(fd, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK);
            }
            Self { master: OwnedFd::from_raw_fd(master), slave: OwnedFd::from_raw_fd(slave) }
        }
    }
}

fn native_read(fd: &OwnedFd) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    // SAFETY: the call writes no more than there is room for.
    let count = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
    bytes.truncate(usize::try_from(count).ok()?);
    Some(bytes)
}

fn native_write(fd: &OwnedFd, bytes: &[u8]) -> usize {
    // SAFETY: the call reads the bytes.
    let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).unwrap_or(0)
}

impl Terminal for Native {
    fn type_in(&self, bytes: &[u8]) {
        native_write(&self.master, bytes);
    }

    fn print(&self, bytes: &[u8]) -> usize {
        native_write(&self.slave, bytes)
    }

    fn set(&self, (input, output, local): (u32, u32, u32)) {
        // SAFETY: the calls write and read the structure.
        unsafe {
            let mut settings = std::mem::zeroed();
            libc::tcgetattr(self.slave.as_raw_fd(), &mut settings);
            (settings.c_iflag, settings.c_oflag, settings.c_lflag) = (input, output, local);
            libc::tcsetattr(self.slave.as_raw_fd(), libc::TCSANOW, &settings);
        }
    }

    fn read(&self) -> Option<Vec<u8>> {
        native_read(&self.slave)
    }

    fn shown(&self) -> Option<Vec<u8>> {
        native_read(&self.master)
    }
}

struct Ours {
    host: &'static MockHost,
    cred: Credentials,
    waiter: Arc<Waiter>,
    rlimits: Rlimits,
    pty: Arc<Pty>,
    master: Arc<OpenFile>,
    slave: Arc<OpenFile>,
    _fs: Arc<DevPts>,
}

impl Ours {
    fn new() -> Self {
        let host = MockHost::new(1);
        let (cred, waiter) = (Credentials::new(0, 0, Vec::new()), Arc::new(Waiter::new()));
        let rlimits = Rlimits::new();
        let caller =
            Caller { host, identity: &cred, waiter: &waiter, rlimits: &rlimits, tid: 1, tgid: 1 };
        let fs = DevPts::new(0, Options::USUAL);
        let master = fs.open_master(&caller).expect("a terminal");
        let pty = Arc::clone(master.pty());
        pty.set_locked(false);
        let node = fs.node(pty.number()).expect("its node");
        let slave = Slave::open(&pty, &node).expect("its slave");
        let flags = OpenFlags::O_RDWR | OpenFlags::O_NONBLOCK;
        let master = OpenFile::new(Arc::new(master), flags, None);
        let slave = OpenFile::new(slave, flags, None);
        Self { host, cred, waiter, rlimits, pty, master, slave, _fs: fs }
    }

    fn caller(&self) -> Caller<'_> {
        let Self { host, cred, waiter, rlimits, .. } = self;
        Caller { host: *host, identity: cred, waiter, rlimits, tid: 1, tgid: 1 }
    }

    fn take(&self, file: &OpenFile) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        match file.read(&self.caller(), &mut IoDst::kernel(&mut bytes)) {
            Ok(count) => {
                bytes.truncate(count);
                Some(bytes)
            }
            Err(error) => {
                assert_eq!(error.errno(), Errno::EAGAIN);
                None
            }
        }
    }
}

impl Terminal for Ours {
    fn type_in(&self, bytes: &[u8]) {
        let _ = self.master.write(&self.caller(), &mut IoSrc::kernel(bytes));
    }

    fn print(&self, bytes: &[u8]) -> usize {
        self.slave.write(&self.caller(), &mut IoSrc::kernel(bytes)).unwrap_or(0)
    }

    fn set(&self, (c_iflag, c_oflag, c_lflag): (u32, u32, u32)) {
        let settings = Termios { c_iflag, c_oflag, c_lflag, ..Termios::INITIAL };
        self.pty.set_settings(settings, false);
    }

    fn read(&self) -> Option<Vec<u8>> {
        self.take(&self.slave)
    }

    fn shown(&self) -> Option<Vec<u8>> {
        self.take(&self.master)
    }
}

/// Everything that both ends can read now: lines, or all bytes if there are none; what is shown.
fn drain(terminal: &dyn Terminal, canonical: bool) -> (Vec<Vec<u8>>, Vec<u8>) {
    const MOST: usize = 100;
    let mut input: Vec<Vec<u8>> = std::iter::from_fn(|| terminal.read()).take(MOST).collect();
    if !canonical {
        input = vec![input.concat()];
    }
    let shown: Vec<Vec<u8>> = std::iter::from_fn(|| terminal.shown()).take(MOST).collect();
    (input, shown.concat())
}

/// What a terminal makes of each step.
fn run(terminal: &dyn Terminal, steps: &[Step]) -> Vec<String> {
    let mut canonical = true;
    let mut results = Vec::new();
    let no_flush = LocalFlags::NOFLSH.bits();
    let Termios { c_iflag, c_oflag, c_lflag, .. } = Termios::INITIAL;
    terminal.set((c_iflag, c_oflag, c_lflag | no_flush));
    for step in steps {
        let mut taken = 0;
        match step {
            Step::Type(bytes) => terminal.type_in(bytes),
            Step::Print(bytes) => taken = terminal.print(bytes),
            Step::Set(input, output, local) => {
                canonical = local & LocalFlags::ICANON.bits() != 0;
                terminal.set((*input, *output, *local | no_flush));
            }
        }
        let (input, shown) = drain(terminal, canonical);
        let input: Vec<_> = input.iter().map(|line| line.escape_ascii().to_string()).collect();
        results.push(format!(
            "took {taken}, read {input:?}, shown {:?}",
            shown.escape_ascii().to_string()
        ));
    }
    results
}

#[test]
fn terminals_do_what_linux_does() {
    let operations = Cell::new(0);
    let done = soak::repeat("terminals", 500, |cases| {
        let sequence = proptest::collection::vec(step(), 1..12);
        let run = TestRunner::new(soak::config(cases)).run(&sequence, |steps| {
            operations.set(operations.get() + steps.len() as u64);
            compare(&steps)
        });
        run.map(|()| operations.get())
    });
    if let Err(failure) = done {
        panic!("{failure}");
    }
}

fn compare(steps: &[Step]) -> Result<(), TestCaseError> {
    let (native, ours) = (run(&Native::new(), steps), run(&Ours::new(), steps));
    // Rarely, and not each time for the same steps, Linux 6.18 shows some thousand NULs that nobody
    // has written: nothing to compare with.
    prop_assume!(native.iter().all(|result| result.matches("x00").count() < 100));
    for ((step, native), ours) in steps.iter().zip(&native).zip(&ours) {
        prop_assert_eq!(native, ours, "{:?}\nlinux left, lx right", step);
    }
    Ok(())
}
