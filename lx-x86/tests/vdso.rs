//! Runs the functions of the vDSO in this process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking"
)]

use std::arch::asm;
use std::time::{SystemTime, UNIX_EPOCH};

use lx_x86::layout::gs;
use lx_x86::vdso::{ClockParams, SHIFT, VVAR_SIZE, VvarPage, build_vdso};
use object::{Object, ObjectSymbol};

/// A raw system call of the host.
fn syscall(number: usize, args: [usize; 6]) -> usize {
    let result;
    // SAFETY: The callers below pass numbers whose calls touch only memory that they own.
    unsafe {
        asm!("syscall", inlateout("rax") number => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _);
    }
    result
}

/// The vDSO in executable memory.
struct Mapped {
    vvar: &'static VvarPage,
    image: usize,
    bytes: Vec<u8>,
}

impl Mapped {
    fn new() -> Self {
        let image = build_vdso(&gs);
        let len = VVAR_SIZE + image.bytes.len();
        // mmap(NULL, len, RWX, PRIVATE | ANONYMOUS)
        let base = syscall(9, [0, len, 7, 0x22, usize::MAX, 0]);
        assert!(base < usize::MAX - 4096);
        let start = base + VVAR_SIZE;
        // SAFETY: The new mapping is `len` bytes long.
        unsafe {
            std::ptr::copy_nonoverlapping(
                image.bytes.as_ptr(),
                start as *mut u8,
                image.bytes.len(),
            );
        }
        // SAFETY: The mapping starts with a zeroed page, a valid `VvarPage`, and is never undone.
        let vvar = unsafe { &*(base as *const VvarPage) };
        Self { vvar, image: start, bytes: image.bytes }
    }

    fn symbol(&self, name: &str) -> usize {
        let file = object::File::parse(&*self.bytes).expect("an ELF file");
        let symbol = file.dynamic_symbols().find(|symbol| symbol.name() == Ok(name));
        self.image + symbol.expect("is exported").address() as usize
    }

    fn call(&self, name: &str, first: usize, second: usize) -> i64 {
        // SAFETY: All functions of the vDSO can be called with two integer or pointer arguments.
        let function: extern "C" fn(usize, usize) -> i64 =
            unsafe { std::mem::transmute(self.symbol(name)) };
        function(first, second)
    }

    fn clock_gettime(&self, clock: usize) -> (i64, u64) {
        let mut time = [0u64; 2];
        let result = self.call("__vdso_clock_gettime", clock, time.as_mut_ptr() as usize);
        assert!(time[1] < 1_000_000_000);
        (result, time[0] * 1_000_000_000 + time[1])
    }
}

fn tsc() -> u64 {
    // SAFETY: Every x86-64 CPU that lets user programs run has RDTSC enabled.
    unsafe { std::arch::x86_64::_rdtsc() }
}

fn host_clock(clock: usize) -> u64 {
    let mut time = [0u64; 2];
    assert_eq!(syscall(228, [clock, time.as_mut_ptr() as usize, 0, 0, 0, 0]), 0);
    time[0] * 1_000_000_000 + time[1]
}

/// Parameters that follow the host's clocks.
fn host_params() -> ClockParams {
    let first = (tsc(), host_clock(1));
    std::thread::sleep(std::time::Duration::from_millis(50));
    let second = (tsc(), host_clock(1));
    let mult = ClockParams::mult_from_samples(first, second).expect("time passes");
    let mut base_ns = [0; 8];
    base_ns[0] = host_clock(0);
    let cycle_last = tsc();
    base_ns[1] = host_clock(1);
    base_ns[5] = base_ns[0];
    ClockParams {
        clocks: 0b10_0011,
        cycle_last,
        mult,
        shift: SHIFT,
        base_ns,
        cpu_in_tsc_aux: false,
    }
}

#[test]
fn clocks_follow_the_host() {
    let vdso = Mapped::new();
    vdso.vvar.publish(&host_params());
    let mut last = 0;
    for _ in 0..1000 {
        let before = host_clock(1);
        let (result, now) = vdso.clock_gettime(1);
        let after = host_clock(1);
        assert_eq!(result, 0);
        // One part in a thousand of what passed since the calibration is far less than this.
        assert!(now + 5_000_000 > before && now < after + 5_000_000, "{before} {now} {after}");
        assert!(now >= last);
        last = now;
    }
    let mut time = [0u64; 2];
    assert_eq!(vdso.call("__vdso_gettimeofday", time.as_mut_ptr() as usize, 0), 0);
    let host = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    assert!((time[0] * 1_000_000 + time[1]).abs_diff(host) < 100_000);
    assert!(time[1] < 1_000_000);
    let mut seconds = 0u64;
    let result = vdso.call("__vdso_time", &raw mut seconds as usize, 0) as u64;
    assert!(result == seconds && seconds.abs_diff(host / 1_000_000) <= 1);
    assert!(vdso.clock_gettime(5).1.abs_diff(host * 1000) < 100_000_000);

    let mut resolution = [7u64; 2];
    assert_eq!(vdso.call("__vdso_clock_getres", 1, resolution.as_mut_ptr() as usize), 0);
    assert_eq!(resolution, [0, 1]);
}

#[test]
fn arithmetic_agrees_with_the_page_for_extreme_parameters() {
    let vdso = Mapped::new();
    // A multiplier of 0 freezes the clock, so the splitting can be compared exactly.
    for base in [0, 1, 999_999_999, 1_000_000_000, 1_767_225_599_999_999_999, u64::MAX] {
        let params = ClockParams { clocks: 1, base_ns: [base; 8], ..ClockParams::default() };
        vdso.vvar.publish(&params);
        let mut time = [0u64; 2];
        assert_eq!(vdso.call("__vdso_clock_gettime", 0, time.as_mut_ptr() as usize), 0);
        assert_eq!(time, [base / 1_000_000_000, base % 1_000_000_000]);
        assert_eq!(vdso.call("__vdso_gettimeofday", time.as_mut_ptr() as usize, 0), 0);
        assert_eq!(time, [base / 1_000_000_000, base % 1_000_000_000 / 1000]);
        assert_eq!(vdso.call("__vdso_time", 0, 0) as u64, base / 1_000_000_000);
    }
    // A TSC far in the future of the CPU's counts as no time passed.
    let params = ClockParams {
        clocks: 1,
        cycle_last: u64::MAX,
        mult: u64::MAX,
        shift: 1,
        base_ns: [42; 8],
        cpu_in_tsc_aux: false,
    };
    vdso.vvar.publish(&params);
    assert_eq!(vdso.clock_gettime(0), (0, 42));
}

/// The part of the thread's block that stubs use.
#[repr(C)]
struct Block {
    u_rsp: u64,
    k_rsp: u64,
    entry: u64,
}

#[test]
fn what_the_page_does_not_serve_enters_the_kernel() {
    let vdso = Mapped::new();
    let stack = vec![0u8; 64 * 1024];
    // An entry that answers with the call's number plus 1000: lea eax, [rax + 1000]; ret
    let entry = syscall(9, [0, 4096, 7, 0x22, usize::MAX, 0]);
    // SAFETY: The mapping just made has room.
    unsafe { *(entry as *mut [u8; 7]) = [0x8d, 0x80, 0xe8, 0x03, 0, 0, 0xc3] };
    let k_rsp = (stack.as_ptr() as u64 + stack.len() as u64) & !15;
    let block = Box::new(Block { u_rsp: 0, k_rsp, entry: entry as u64 });
    assert_eq!((gs.u_rsp, gs.k_rsp, gs.entry), (0, 8, 16));
    // arch_prctl(ARCH_SET_GS): std uses FS only.
    assert_eq!(syscall(158, [0x1001, &raw const *block as usize, 0, 0, 0, 0]), 0);

    let mut time = [0u64; 2];
    let at = time.as_mut_ptr() as usize;
    assert_eq!(vdso.call("__vdso_clock_gettime", 1, at), 1228);
    assert_eq!(vdso.call("__vdso_clock_gettime", 0xffff_fffa, at), 1228);
    assert_eq!(vdso.call("__vdso_clock_getres", 1, at), 1229);
    assert_eq!(vdso.call("__vdso_gettimeofday", at, 0), 1096);
    assert_eq!(vdso.call("__vdso_gettimeofday", 0, 0), 0);
    assert_eq!(vdso.call("__vdso_time", 0, 0), 1201);
    assert_eq!(vdso.call("__vdso_getcpu", 0, 0), 1309);
    vdso.vvar.publish(&host_params());
    assert_eq!(vdso.call("__vdso_clock_gettime", 2, at), 1228);
    assert_eq!(vdso.call("__vdso_clock_getres", 5, at), 1229);
    assert_eq!(vdso.call("__vdso_gettimeofday", at, at), 1096);
    assert_ne!(block.u_rsp, 0);
}
