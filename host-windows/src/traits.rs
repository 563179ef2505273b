//! `HostThread`, `HostProcess`, `HostStats` and `HostCode`: each method leads to its module.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::{Errno, GuestRegs};
use lx_core::host::{
    Fault, HostCode, HostError, HostProcess, HostResult, HostStats, HostThread, HostThreadId,
    MachineLoad, Nanos, Resume, Rewritten, TrapHandler, VdsoImage, XstateNow,
};
use lx_x86::stub::{MAX_STUB, SLOT};
use lx_x86::vdso::VVAR_SIZE;

use crate::WindowsHost;
use crate::memory::in_guest;
use crate::nt::nt;
use crate::{census, exception, init, interrupt, park, process, report, thread};

/// Fills what nobody executes.
const INT3: u8 = 0xcc;

/// Number of processors that lx may use, once it was asked for.
static CPU_COUNT: AtomicU32 = AtomicU32::new(0);

impl HostThread for WindowsHost {
    fn spawn_thread(
        &self,
        handler: Arc<dyn TrapHandler>,
        regs: &GuestRegs,
        fs_base: u64,
    ) -> HostResult<()> {
        process::spawn_thread(handler, regs, fs_base)
    }

    fn park(&self, word: &AtomicU32, expected: u32, deadline: Option<Nanos>) {
        park::park(word, expected, deadline);
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        park::wake(word, count);
    }

    fn interrupt(&self, thread: HostThreadId) {
        interrupt::interrupt(thread);
    }

    fn current(&self) -> HostThreadId {
        thread::current().id()
    }

    fn yield_now(&self) {
        // SAFETY: touches no memory.
        let _ = unsafe { nt!(yield_now) };
    }

    fn fs_base(&self) -> u64 {
        thread::current().guest_fs.get()
    }

    fn set_fs_base(&self, base: u64) {
        process::set_fs_base(base);
    }

    fn save_xstate(&self, area: &mut [u8]) -> usize {
        let block = thread::current();
        // SAFETY: own area and frame; the frame was filled when the thread entered the kernel.
        unsafe { thread::xstate_layout().save(area, &*block.engine.frame(), block.xstate()) }
    }

    fn load_xstate(&self, area: &[u8]) -> HostResult<()> {
        // SAFETY: own area; nobody else uses it.
        thread::xstate_layout().load(area, unsafe { thread::current().xstate() })
    }

    fn save_xstate_to(
        &self,
        address: u64,
        now: XstateNow,
        software: &[u8],
    ) -> Option<Result<(), Fault>> {
        if !in_guest(address, now.len) {
            return Some(Err(Fault));
        }
        let (block, layout) = (thread::current(), thread::xstate_layout());
        // SAFETY: a guest's address; own area and frame.
        Some(unsafe {
            layout.save_to_guest(address, now, software, &*block.engine.frame(), block.xstate())
        })
    }

    fn load_xstate_from(&self, address: u64, len: usize) -> Option<HostResult<Resume>> {
        if !in_guest(address, len) {
            return Some(Err(HostError(Errno::EFAULT)));
        }
        let (block, layout) = (thread::current(), thread::xstate_layout());
        // SAFETY: a guest's address; own area and frame.
        Some(unsafe {
            layout.load_from_guest(address, len, &mut *block.engine.frame(), block.xstate())
        })
    }

    fn xstate_size(&self) -> usize {
        thread::xstate_layout().size()
    }

    fn xstate_now(&self) -> XstateNow {
        thread::xstate_layout().now(usize::MAX)
    }

    fn xstate_features(&self) -> u64 {
        thread::xstate_layout().features()
    }

    fn cpu_count(&self) -> u32 {
        let known = CPU_COUNT.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        const PROCESSORS: usize = 0x38;
        let count = u32::from(basic_information().get(PROCESSORS).copied().unwrap_or(1)).max(1);
        CPU_COUNT.store(count, Ordering::Relaxed);
        count
    }

    fn current_cpu(&self) -> u32 {
        // SAFETY: touches no memory.
        unsafe { nt!(current_processor) }
    }
}

/// `SYSTEM_BASIC_INFORMATION`.
fn basic_information() -> [u8; 64] {
    const BASIC: u32 = 0;
    let mut out = [0; 64];
    // SAFETY: the call writes the buffer.
    let _ = unsafe { nt!(query_system, BASIC, out.as_mut_ptr(), 64, core::ptr::null_mut()) };
    out
}

/// A number in a structure of the host.
fn field(bytes: &[u8], at: usize) -> u64 {
    let field = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    field.map_or(0, |field| u64::from(u32::from_le_bytes(*field)))
}

impl HostProcess for WindowsHost {
    fn fork(&self, handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()> {
        process::fork(handler, regs)
    }

    fn run_borrowed(&self, handler: Arc<dyn TrapHandler>, regs: &GuestRegs) -> HostResult<()> {
        process::run_borrowed(handler, regs)
    }

    fn is_borrowed(&self) -> bool {
        !thread::current().lender.get().is_null()
    }

    fn spawn_process(&self, handler: Arc<dyn TrapHandler>) -> HostResult<()> {
        process::spawn_process(handler)
    }

    fn notify_supervisor(&self) {
        init::wake();
    }

    fn shut_down(&self) -> ! {
        init::end()
    }

    fn stop_machine(&self, report: &str) -> ! {
        report::stop(format_args!("{report}"))
    }
}

impl HostStats for WindowsHost {
    fn machine_load(&self) -> MachineLoad {
        const PERFORMANCE: u32 = 2;
        const PAGE_SIZE: usize = 8;
        const PHYSICAL_PAGES: usize = 12;
        const AVAILABLE_PAGES: usize = 0x2c;
        let basic = basic_information();
        let mut performance = [0u8; 344];
        // SAFETY: the call writes the buffer.
        let _ = unsafe {
            nt!(
                query_system,
                PERFORMANCE,
                performance.as_mut_ptr(),
                performance.len() as u32,
                core::ptr::null_mut()
            )
        };
        let page = field(&basic, PAGE_SIZE).max(4096);
        MachineLoad {
            memory: field(&basic, PHYSICAL_PAGES) * page,
            memory_free: field(&performance, AVAILABLE_PAGES) * page,
            ..MachineLoad::default()
        }
    }

    fn host_calls(&self) -> u64 {
        thread::current().engine.host_calls.get()
    }

    fn trapped_calls(&self) -> u64 {
        exception::trapped_calls()
    }

    fn host_call_kinds(&self) -> Vec<(&'static str, u64)> {
        census::take()
    }
}

impl HostCode for WindowsHost {
    fn rewrite(&self, text: &mut [u8], text_addr: u64, stub_addr: u64) -> Option<Rewritten> {
        let mut stubs = Vec::new();
        let report = lx_x86::rewrite::rewrite(
            text,
            text_addr,
            stub_addr,
            &mut stubs,
            &lx_x86::layout::gs,
            &lx_x86::rewrite::Hints::default(),
        );
        let unpatched = report.unpatched.iter().map(|site| (site - text_addr) as usize);
        let marked: Vec<usize> = unpatched.collect();
        exception::mark_sites(text, &marked);
        if stubs.is_empty() {
            // Text with marks only has to be kept, too.
            stubs.push(INT3);
        }
        // A marked site needs the changed text as much as a patched one.
        let (patched, unpatched) = (report.patched.len() + marked.len(), marked.len());
        Some(Rewritten { stubs, patched, unpatched })
    }

    fn stub_room(&self, text: &[u8]) -> usize {
        let candidates = memchr::memmem::find_iter(text, b"\x0f\x05").count();
        // Stubs do not cross pages, so a page may end with a gap.
        let largest = (MAX_STUB + SLOT) as usize;
        candidates.saturating_mul(largest).next_multiple_of(4096)
    }

    fn vdso(&self) -> Option<VdsoImage> {
        let vdso = lx_x86::vdso::build_vdso(&lx_x86::layout::gs);
        Some(VdsoImage { image: vdso.bytes, data_len: VVAR_SIZE as u64, restorer: vdso.restorer })
    }
}
