//! A deterministic Host: software memory, a virtual clock, a seeded scheduler, scripted storage.
//!
//! Guests are Rust closures. Each runs on a thread of its own, but only one at a time: at every
//! kernel entry, sleep and wake the scheduler ([`sched`]) decides by its seed which one goes on.
//! When all sleep, the clock jumps to the next deadline; when there is none, the run has
//! deadlocked and says so. The same seed gives the same run on every operating system.
//!
//! ```
//! use host_mock::MockHost;
//! use lx_core::host::{Host, HostClock, HostEntropy};
//!
//! let (a, b) = (MockHost::new(7), MockHost::new(7));
//! let (mut x, mut y) = ([0; 8], [0; 8]);
//! a.fill(&mut x);
//! b.fill(&mut y);
//! assert_eq!(x, y);
//! assert_eq!(a.monotonic(), b.monotonic());
//! ```
#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test tool: a broken invariant ends the test"
)]

mod faults;
mod guest;
mod memory;
mod native;
mod pages;
mod rng;
mod sched;
mod storage;
mod sync;
mod thread;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use lx_core::host::{
    Host, HostClock, HostCode, HostConsole, HostEntropy, HostFd, HostResult, HostStats, Nanos,
    ReadyToken, Rewritten, VdsoImage,
};
use lx_core::poll::PollEvents;

pub use faults::{FaultPlan, HostCall};
pub use guest::{Guest, Program, prepare_child};
pub use native::MockNative;
pub use storage::MockNode;

/// The virtual clock starts here: 2020-01-01 00:00:00 UTC.
pub const EPOCH: Nanos = 1_577_836_800_000_000_000;

/// The host. It is leaked on purpose: a kernel holds `&'static` references to it.
pub struct MockHost {
    world: Mutex<World>,
    turn: std::sync::Condvar,
}

/// All state, under one lock: nothing in a deterministic run happens at the same time.
pub(crate) struct World {
    pub(crate) rng: rng::Rng,
    pub(crate) clock: Nanos,
    pub(crate) timer: Option<Nanos>,
    pub(crate) sched: sched::Sched,
    pub(crate) spaces: BTreeMap<u64, memory::Space>,
    pub(crate) blocks: pages::Blocks,
    pub(crate) storage: storage::Storage,
    pub(crate) natives: native::Natives,
    pub(crate) faults: FaultPlan,
    pub(crate) programs: BTreeMap<u64, Program>,
    pub(crate) next_space: u64,
}

impl MockHost {
    /// A host whose every choice follows from `seed`. The calling thread becomes its first guest
    /// thread, with an empty address space.
    pub fn new(seed: u64) -> &'static Self {
        sync::install();
        let host: &'static Self = Box::leak(Box::new(Self {
            world: Mutex::new(World {
                rng: rng::Rng::new(seed),
                clock: 0,
                timer: None,
                sched: sched::Sched::default(),
                spaces: BTreeMap::new(),
                blocks: pages::Blocks::default(),
                storage: storage::Storage::default(),
                natives: native::Natives::default(),
                faults: FaultPlan::default(),
                programs: BTreeMap::new(),
                next_space: 1,
            }),
            turn: std::sync::Condvar::new(),
        }));
        host.adopt_thread();
        host
    }

    /// Makes host calls fail from now on.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.world().faults = plan;
    }

    /// Moves the virtual clock on.
    pub fn advance(&self, by: Nanos) {
        self.world().clock += by;
    }

    /// Puts a file or directory into the scripted storage; parents are made.
    pub fn add_node(&self, path: &str, node: MockNode) {
        self.world().storage.add(path, node);
    }

    /// Makes the scripted storage play a disk of Windows: names are found whatever their case, and
    /// metadata can be stored beside files.
    pub fn play_drive(&self) {
        self.world().storage.is_drive = true;
    }

    /// What runs when a guest jumps to `address`: the entry point of a test's ELF file, or a
    /// signal handler.
    pub fn add_program(&self, address: u64, program: Program) {
        self.world().programs.insert(address, program);
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Host for MockHost {}

/// The mock has no network.
impl lx_core::host::HostNet for MockHost {}

impl HostClock for MockHost {
    fn monotonic(&self) -> Nanos {
        self.world().clock
    }
    fn realtime(&self) -> Nanos {
        EPOCH + self.world().clock
    }
    fn boottime(&self) -> Nanos {
        self.world().clock
    }
    fn thread_cpu(&self) -> Nanos {
        self.world().clock
    }
    fn process_cpu(&self) -> Nanos {
        self.world().clock
    }
    fn resolution(&self) -> Nanos {
        1
    }
    fn set_timer(&self, deadline: Option<Nanos>) {
        self.world().timer = deadline;
    }
    fn vdso_clock_page(&self) -> Option<u64> {
        None
    }
}

impl HostEntropy for MockHost {
    fn fill(&self, bytes: &mut [u8]) {
        let mut world = self.world();
        for byte in bytes {
            *byte = world.rng.next() as u8;
        }
    }
}

impl HostCode for MockHost {
    fn rewrite(&self, _text: &mut [u8], _text_addr: u64, _stub_addr: u64) -> Option<Rewritten> {
        None
    }
    fn stub_room(&self, _text: &[u8]) -> usize {
        0
    }
    fn vdso(&self) -> Option<VdsoImage> {
        None
    }
}

/// The mock has no outside world that becomes ready later: its streams always are.
impl HostConsole for MockHost {
    fn ready(&self, _fd: &HostFd, interest: PollEvents) -> PollEvents {
        interest & (PollEvents::READABLE | PollEvents::WRITABLE)
    }
    fn arm(&self, _fd: &HostFd, _interest: PollEvents, _token: ReadyToken) -> HostResult<()> {
        Err(lx_core::host::HostError(lx_core::abi::Errno::EPERM))
    }
    fn disarm(&self, _fd: &HostFd) {}
    fn is_terminal(&self, _fd: &HostFd) -> bool {
        false
    }
    fn terminal_ioctl(&self, _fd: &HostFd, _request: u32, _arg: &mut [u8]) -> HostResult<i32> {
        Err(lx_core::host::HostError(lx_core::abi::Errno::ENOTTY))
    }
}

impl HostStats for MockHost {}
