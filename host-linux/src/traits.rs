//! `HostThread`, `HostProcess`, `HostStats` and `HostCode`: each method leads to its module.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use lx_core::abi::{Errno, GuestRegs, Sysno};
use lx_core::host::{
    Fault, HostCode, HostError, HostNative, HostProcess, HostResult, HostStats, HostThread,
    HostThreadId, MachineLoad, Nanos, Resume, Rewritten, TrapHandler, VdsoImage, XstateNow,
};
use lx_x86::stub::{MAX_STUB, SLOT};
use lx_x86::vdso::VVAR_SIZE;

use crate::LinuxHost;
use crate::memory::in_guest;
use crate::sys::{self, sys};
use crate::{init, load, park, process, report, signal, thread};

/// Number of processors that lx may use, once it was asked for.
static CPU_COUNT: AtomicU32 = AtomicU32::new(0);

impl HostThread for LinuxHost {
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
        park::interrupt(thread);
    }

    fn current(&self) -> HostThreadId {
        thread::current().id()
    }

    fn yield_now(&self) {
        // SAFETY: touches no memory.
        let _ = unsafe { sys!(sys::__NR_sched_yield) };
    }

    fn memory_barrier(&self, everywhere: bool) -> bool {
        const GLOBAL: usize = 1;
        const PRIVATE_EXPEDITED: usize = 8;
        const REGISTER_PRIVATE_EXPEDITED: usize = 16;
        // SAFETY: touches no memory.
        let call = |command: usize| unsafe { sys!(sys::__NR_membarrier, command, 0usize) };
        if everywhere {
            return call(GLOBAL).is_ok();
        }
        // Whether this host process has registered is not known; doing so twice does no harm.
        call(REGISTER_PRIVATE_EXPEDITED).is_ok() && call(PRIVATE_EXPEDITED).is_ok()
    }

    fn fs_base(&self) -> u64 {
        thread::fs_base()
    }

    fn set_fs_base(&self, base: u64) {
        thread::set_fs_base(base);
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
        let mut mask = [0u64; 128];
        // SAFETY: the kernel writes the mask.
        let len = unsafe {
            sys!(sys::__NR_sched_getaffinity, 0usize, size_of_val(&mask), mask.as_mut_ptr())
        };
        let words = len.unwrap_or(8) / 8;
        let count = mask.iter().take(words).map(|word| word.count_ones()).sum::<u32>().max(1);
        CPU_COUNT.store(count, Ordering::Relaxed);
        count
    }

    fn current_cpu(&self) -> u32 {
        let mut cpu = 0u32;
        // SAFETY: the kernel writes the number.
        let _ = unsafe { sys!(sys::__NR_getcpu, &raw mut cpu, 0usize, 0usize) };
        cpu
    }
}

impl HostProcess for LinuxHost {
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

impl HostNative for LinuxHost {}

impl HostStats for LinuxHost {
    fn machine_load(&self) -> MachineLoad {
        load::machine_load()
    }

    fn memory_available(&self) -> u64 {
        load::available().unwrap_or_else(|| load::machine_load().memory_free)
    }

    fn host_calls(&self) -> u64 {
        thread::current().engine.host_calls.get()
    }

    fn trapped_calls(&self) -> u64 {
        signal::trapped_calls()
    }

    fn host_call_kinds(&self) -> Vec<(&'static str, u64)> {
        sys::host_call_counts()
            .map(|(number, count)| (Sysno(number as u32).name().unwrap_or("?"), count))
            .collect()
    }

    fn enable_counting(&self) {
        sys::count_host_calls(true);
    }
}

impl HostCode for LinuxHost {
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
        let (patched, unpatched) = (report.patched.len(), report.unpatched.len());
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
