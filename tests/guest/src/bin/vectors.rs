//! Vector and x87 registers: every call keeps them, a handler may change them, its frame holds them,
//! and what it writes there is what the program finds.

use std::arch::{asm, is_x86_feature_detected};
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use lx_guest_tests::{Checks, Ended, call, fork, wait};

/// All vector registers, as wide as this processor has them.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq)]
struct Vectors {
    /// zmm0-31; the halves that the processor lacks stay 0.
    registers: [[u64; 8]; 32],
    masks: [u64; 8],
}

/// How wide the registers are here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Width {
    Sse,
    Avx,
    Avx512,
}

impl Vectors {
    const ZERO: Self = Self { registers: [[0; 8]; 32], masks: [0; 8] };

    /// Another value for each part of each register.
    fn pattern(seed: u64, width: Width) -> Self {
        let mut vectors = Self::ZERO;
        let (count, words) = match width {
            Width::Sse => (16, 2),
            Width::Avx => (16, 4),
            Width::Avx512 => (32, 8),
        };
        for (number, register) in vectors.registers.iter_mut().take(count).enumerate() {
            for (word, value) in register.iter_mut().take(words).enumerate() {
                *value = seed << 32 | (number as u64) << 8 | word as u64 | 1 << 63;
            }
        }
        if width == Width::Avx512 {
            for (number, mask) in vectors.masks.iter_mut().enumerate() {
                *mask = seed << 40 | 0xa5 << 8 | number as u64;
            }
        }
        vectors
    }

    /// The part that `width` covers.
    fn cut(mut self, width: Width) -> Self {
        let keep = Self::pattern(1, width);
        for (register, kept) in self.registers.iter_mut().zip(&keep.registers) {
            for (value, kept) in register.iter_mut().zip(kept) {
                *value = if *kept == 0 { 0 } else { *value };
            }
        }
        self
    }
}

macro_rules! each {
    ($text:literal) => {
        concat!(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n", $text, "\n.endr")
    };
    (high $text:literal) => {
        concat!(".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n", $text, "\n.endr")
    };
    (mask $text:literal) => {
        concat!(".irp n,0,1,2,3,4,5,6,7\n", $text, "\n.endr")
    };
}

/// Loads `before`, makes the system call `number` with two arguments, stores what is there then.
/// The handler of a signal that the call raises has run in between.
macro_rules! around {
    ($name:ident, $load:expr, $store:expr, $feature:literal) => {
        #[target_feature(enable = $feature)]
        fn $name(before: &Vectors, number: i64, one: i64, two: i64, after: &mut Vectors) -> i64 {
            let result;
            // SAFETY: loads and stores the two areas; the calls used touch no other memory of ours.
            unsafe {
                asm!(
                    $load,
                    // Right before the call, as compilers have it.
                    "mov rax, {number}",
                    "syscall",
                    $store,
                    "vzeroupper",
                    in("r12") before,
                    in("r13") after,
                    number = in(reg) number,
                    lateout("rax") result,
                    in("rdi") one,
                    in("rsi") two,
                    in("rdx") 0,
                    in("r10") 8,
                    out("rcx") _, out("r11") _,
                    out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                    out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                    out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                );
            }
            result
        }
    };
}

around!(
    around_avx512,
    concat!(
        each!("vmovdqu64 zmm\\n, [r12 + 64 * \\n]"),
        "\n",
        each!(high "vmovdqu64 zmm\\n, [r12 + 64 * \\n]"),
        "\n",
        each!(mask "kmovq k\\n, [r12 + 2048 + 8 * \\n]")
    ),
    concat!(
        each!("vmovdqu64 [r13 + 64 * \\n], zmm\\n"),
        "\n",
        each!(high "vmovdqu64 [r13 + 64 * \\n], zmm\\n"),
        "\n",
        each!(mask "kmovq [r13 + 2048 + 8 * \\n], k\\n")
    ),
    "avx512f,avx512bw"
);
around!(
    around_avx,
    each!("vmovdqu ymm\\n, [r12 + 64 * \\n]"),
    each!("vmovdqu [r13 + 64 * \\n], ymm\\n"),
    "avx"
);
around!(
    around_sse,
    concat!("vzeroupper\n", each!("movdqu xmm\\n, [r12 + 64 * \\n]")),
    each!("movdqu [r13 + 64 * \\n], xmm\\n"),
    "avx"
);

/// As the macro, with the registers as wide as `width` says.
fn around(width: Width, before: &Vectors, number: i64, one: i64, two: i64) -> (i64, Vectors) {
    let mut after = Vectors::ZERO;
    // SAFETY: `widths` checks what the processor has.
    let result = unsafe {
        match width {
            Width::Sse => around_sse(before, number, one, two, &mut after),
            Width::Avx => around_avx(before, number, one, two, &mut after),
            Width::Avx512 => around_avx512(before, number, one, two, &mut after),
        }
    };
    (result, after)
}

/// The widths that can be tested here.
fn widths() -> Vec<Width> {
    let mut widths = Vec::new();
    if is_x86_feature_detected!("avx") {
        widths.extend([Width::Sse, Width::Avx]);
    }
    if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("avx512f") {
        widths.push(Width::Avx512);
    }
    widths
}

/// What the handler does beside counting.
static CLOBBER: AtomicUsize = AtomicUsize::new(0);
static USE_X87: AtomicBool = AtomicBool::new(false);
static CHANGE_FRAME: AtomicBool = AtomicBool::new(false);
static RUNS: AtomicU32 = AtomicU32::new(0);
/// Whether the frame held the pattern with this seed, if that is not 0.
static EXPECTED: AtomicUsize = AtomicUsize::new(0);
static AS_EXPECTED: AtomicBool = AtomicBool::new(false);

/// `xmm3` after a handler has changed it in its frame.
const CHANGED: u128 = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321;
/// `xmm11` likewise: one that the kernel's entry treats differently.
const CHANGED_HIGH: u128 = 0xffee_ddcc_bbaa_9988_7766_5544_3322_1100;

extern "C" fn handler(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    RUNS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the kernel passes a context with the extended state.
    let state = unsafe { &mut *(*context.cast::<libc::ucontext_t>()).uc_mcontext.fpregs };
    let seed = EXPECTED.load(Ordering::SeqCst) as u64;
    if seed != 0 {
        let pattern = Vectors::pattern(seed, Width::Sse);
        let same = state._xmm.iter().zip(&pattern.registers).all(|(slot, value)| {
            let [a, b, c, d] = slot.element.map(u64::from);
            a | b << 32 == value[0] && c | d << 32 == value[1]
        });
        AS_EXPECTED.store(same, Ordering::SeqCst);
    }
    if CHANGE_FRAME.load(Ordering::SeqCst) {
        for (slot, value) in [(3, CHANGED), (11, CHANGED_HIGH)] {
            state._xmm[slot].element =
                [0, 32, 64, 96].map(|shift| (value >> shift & 0xffff_ffff) as u32);
        }
    }
    let other = Vectors::pattern(0xbad, Width::Avx512);
    let width = match CLOBBER.load(Ordering::SeqCst) {
        1 => Width::Sse,
        2 => Width::Avx,
        3 => Width::Avx512,
        _ => return,
    };
    let _ = around(width, &other, libc::SYS_getppid, 0, 0);
    // SAFETY: harmless changes of control words, undone by the return from the handler.
    unsafe {
        asm!("ldmxcsr [{}]", in(reg) &0x9fc0_u32);
        if USE_X87.load(Ordering::SeqCst) {
            asm!("fninit", "fldpi", "fldl2e");
        }
    }
}

fn mxcsr() -> u32 {
    let mut value = 0u32;
    // SAFETY: stores one word.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value) };
    value
}

fn main() {
    let mut t = Checks::new();
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    t.is("sigaction", call!(sigaction(libc::SIGUSR1, &action, null_mut())), Ok(0));
    t.is("sigaction", call!(sigaction(libc::SIGALRM, &action, null_mut())), Ok(0));
    for width in widths() {
        calls(&mut t, width);
        handlers(&mut t, width);
        frames(&mut t, width);
        interrupts(&mut t, width);
    }
    x87(&mut t);
    t.end();
}

/// Calls without a signal.
fn calls(t: &mut Checks, width: Width) {
    let before = Vectors::pattern(7, width);
    let (result, after) = around(width, &before, libc::SYS_getppid, 0, 0);
    t.ok("getppid works", result > 0);
    t.ok(&format!("getppid keeps {width:?}"), after.cut(width) == before);
    let path = c"/dev/null";
    let (fd, after) = around(width, &before, libc::SYS_open, path.as_ptr() as i64, 0);
    t.ok(&format!("open keeps {width:?}"), fd >= 0 && after.cut(width) == before);
    t.is("close", call!(close(fd as i32)), Ok(0));
    // The child of a fork has them too.
    let (pid, after) = around(width, &before, libc::SYS_fork, 0, 0);
    if pid == 0 {
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(after.cut(width) != before)) }
    }
    t.ok(&format!("fork keeps {width:?}"), after.cut(width) == before);
    t.is(&format!("its child has {width:?}"), wait(pid as i32), Ended::Exit(0));
    let (_, after) = around(width, &before, libc::SYS_wait4, -1, null::<i32>() as i64);
    t.ok(&format!("wait4 keeps {width:?}"), after.cut(width) == before);
}

/// Signals that the program sends itself.
fn handlers(t: &mut Checks, width: Width) {
    let pid = i64::from(std::process::id());
    let signal = i64::from(libc::SIGUSR1);
    for clobber in 0..=widths().len() {
        CLOBBER.store(clobber, Ordering::SeqCst);
        for x87 in [false, true] {
            USE_X87.store(x87, Ordering::SeqCst);
            let what = format!("{width:?}, handler uses {clobber}, x87 {x87}");
            let before = Vectors::pattern(11 + clobber as u64, width);
            EXPECTED.store(11 + clobber, Ordering::SeqCst);
            let runs = RUNS.load(Ordering::SeqCst);
            let control = mxcsr();
            let (result, after) = around(width, &before, libc::SYS_kill, pid, signal);
            t.is(&format!("kill: {what}"), result, 0);
            t.is(&format!("one handler: {what}"), RUNS.load(Ordering::SeqCst), runs + 1);
            t.ok(&format!("the frame holds it: {what}"), AS_EXPECTED.load(Ordering::SeqCst));
            t.ok(&format!("kept: {what}"), after.cut(width) == before);
            t.is(&format!("control word: {what}"), mxcsr(), control);
        }
    }
    EXPECTED.store(0, Ordering::SeqCst);
    CLOBBER.store(0, Ordering::SeqCst);
}

/// A handler that changes what it returns to.
fn frames(t: &mut Checks, width: Width) {
    let (pid, signal) = (i64::from(std::process::id()), i64::from(libc::SIGUSR1));
    CHANGE_FRAME.store(true, Ordering::SeqCst);
    let before = Vectors::pattern(21, width);
    let (_, after) = around(width, &before, libc::SYS_kill, pid, signal);
    CHANGE_FRAME.store(false, Ordering::SeqCst);
    let mut want = before;
    for (register, value) in [(3, CHANGED), (11, CHANGED_HIGH)] {
        want.registers[register][0] = value as u64;
        want.registers[register][1] = (value >> 64) as u64;
    }
    t.ok(&format!("what the handler wrote is loaded, {width:?}"), after.cut(width) == want);
}

/// Signals at any instruction.
fn interrupts(t: &mut Checks, width: Width) {
    CLOBBER.store(widths().len(), Ordering::SeqCst);
    let runs = RUNS.load(Ordering::SeqCst);
    let every = libc::timeval { tv_sec: 0, tv_usec: 500 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    t.is("setitimer", call!(setitimer(libc::ITIMER_REAL, &timer, null_mut())), Ok(0));
    let mut good = true;
    let mut seed = 0;
    while RUNS.load(Ordering::SeqCst) < runs + 200 && seed < 1 << 22 {
        seed += 1;
        let before = Vectors::pattern(seed, width);
        let (_, after) = around(width, &before, libc::SYS_getppid, 0, 0);
        good &= after.cut(width) == before;
    }
    // SAFETY: all zeroes stops the timer.
    let stop: libc::itimerval = unsafe { zeroed() };
    t.is("setitimer", call!(setitimer(libc::ITIMER_REAL, &stop, null_mut())), Ok(0));
    CLOBBER.store(0, Ordering::SeqCst);
    t.ok("the timer came", RUNS.load(Ordering::SeqCst) >= runs + 200);
    t.ok(&format!("interrupts keep {width:?}"), good);
}

/// The x87 stack over a signal and over a fork.
fn x87(t: &mut Checks) {
    let pid = i64::from(std::process::id());
    let signal = i64::from(libc::SIGUSR1);
    USE_X87.store(true, Ordering::SeqCst);
    CLOBBER.store(usize::from(!widths().is_empty()), Ordering::SeqCst);
    let mut value = 0f64;
    let number = 2.5f64;
    // SAFETY: a value on the x87 stack across a call that runs a handler; popped at the end.
    unsafe {
        asm!(
            "fld qword ptr [{number}]",
            "mov eax, {call}",
            "syscall",
            "fstp qword ptr [{value}]",
            number = in(reg) &raw const number,
            value = in(reg) &raw mut value,
            call = const libc::SYS_kill,
                out("rax") _,
            in("rdi") pid,
            in("rsi") signal,
            out("rcx") _, out("r11") _,
        );
    }
    t.ok("x87 survives a handler", value == number);
    let child = fork(|| {
        // SAFETY: as above.
        unsafe {
            asm!(
                "fld qword ptr [{number}]",
                "mov eax, {call}",
                "syscall",
                "fstp qword ptr [{value}]",
                number = in(reg) &raw const number,
                value = in(reg) &raw mut value,
                call = const libc::SYS_getppid,
                out("rax") _,
                out("rcx") _, out("r11") _,
            );
        }
        i32::from(value != number)
    });
    t.is("x87 in a child", wait(child), Ended::Exit(0));
}
