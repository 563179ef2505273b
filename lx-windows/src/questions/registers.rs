//! R1, R8 and R9: what Windows does to registers, and to a system call that is not one of its own.

use std::arch::asm;
use std::arch::x86_64::_rdtsc;
use std::os::windows::io::AsRawHandle;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Diagnostics::Debug::{CONTEXT, GetThreadContext, SetThreadContext};
use windows_sys::Win32::System::Threading::{ResumeThread, SuspendThread};

use super::Answer;
use crate::{check, features};

/// How long a thread spins with an FS base of its own.
const SPIN: Duration = Duration::from_millis(400);
/// How often a spinning thread is suspended.
const SUSPENSIONS: u32 = 200;

/// R1: how often the FS base is set back while a thread runs without calls.
pub(super) fn lost_fs() -> String {
    if !features::cpu_has_fsgsbase() {
        return "the processor lacks the instructions".to_owned();
    }
    if features::wine_version().is_none() && !features::windows_allows_fsgsbase() {
        return "Windows does not allow the instructions".to_owned();
    }
    // The counter's speed, as nothing may be called later.
    let (started, from) = (Instant::now(), now());
    thread::sleep(Duration::from_millis(20));
    let ticks = now().wrapping_sub(from);
    let nanos = started.elapsed().as_nanos().max(1) as u64;
    let spin = ticks.saturating_mul(SPIN.as_nanos() as u64) / nanos;
    let mine: u64 = 0x1234_5678_9000;
    let (mut lost, mut rounds) = (0u64, 0u64);
    // SAFETY: nothing between here and the last `wrfsbase` uses FS, and it gets its value back.
    unsafe {
        let old = read_fs();
        write_fs(mine);
        let from = now();
        while now().wrapping_sub(from) < spin {
            rounds += 1;
            if read_fs() != mine {
                lost += 1;
                write_fs(mine);
            }
        }
        write_fs(old);
    }
    // SAFETY: as above.
    let cost = unsafe {
        let old = read_fs();
        let from = now();
        for _ in 0..1000 {
            write_fs(old);
        }
        now().wrapping_sub(from)
    };
    let cost = cost.saturating_mul(nanos) / ticks.max(1) / 1000;
    format!(
        "the FS base was lost {lost} times in {} ms without calls ({rounds} looks); setting it \
         takes {cost} ns",
        SPIN.as_millis()
    )
}

fn now() -> u64 {
    // SAFETY: every processor has the instruction.
    unsafe { _rdtsc() }
}

unsafe fn read_fs() -> u64 {
    let base;
    // SAFETY: the caller has checked that the instruction is allowed.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}

unsafe fn write_fs(base: u64) {
    // SAFETY: the caller has checked that the instruction is allowed, and uses FS no more.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nostack, preserves_flags)) };
}

/// R8: what a `syscall` of Linux does that was not rewritten, on a host that takes it for its own.
pub(super) fn raw_syscall() -> String {
    /// Numbers that Linux programs use most and that are services of NT as well; the last is none.
    const NUMBERS: [(u64, &str); 4] =
        [(39, "getpid"), (0, "read"), (202, "futex"), (0xfff, "no service")];
    if features::wine_version().is_some() {
        return "Wine's host is Linux, which takes it: nothing to be learnt".to_owned();
    }
    // With zeros as arguments a service has nothing to act on.
    let ask = |(number, name): (u64, &str)| {
        let result: u64;
        // SAFETY: the service gets no handle and no address. It may change what a call may.
        unsafe {
            asm!(
                "syscall",
                inout("rax") number => result,
                inout("r10") 0u64 => _,
                inout("rdx") 0u64 => _,
                inout("r8") 0u64 => _,
                inout("r9") 0u64 => _,
                out("rcx") _,
                out("r11") _,
                clobber_abi("win64"),
            );
        }
        format!("{name} ({number}) gives {result:#x}")
    };
    format!("a raw `syscall` is taken for a service of NT: {}", NUMBERS.map(ask).join(", "))
}

/// The contents of ymm0 to ymm15.
#[repr(C, align(32))]
#[derive(Clone, PartialEq, Eq)]
struct Vectors([[u64; 4]; 16]);

impl Vectors {
    fn numbered() -> Self {
        let mut number = 0x0101_0101_0101_0101u64;
        let mut all = [[0; 4]; 16];
        for part in all.iter_mut().flatten() {
            *part = number;
            number = number.wrapping_add(0x0101_0101_0101_0101);
        }
        Self(all)
    }

    /// Which registers differ from the others: lower, and upper halves.
    fn differing(&self, other: &Self) -> (Vec<usize>, Vec<usize>) {
        let pairs = || self.0.iter().zip(&other.0).enumerate();
        let half = |range: std::ops::Range<usize>| {
            pairs()
                .filter(|(_, (a, b))| a.get(range.clone()) != b.get(range.clone()))
                .map(|(number, _)| number)
                .collect()
        };
        (half(0..2), half(2..4))
    }
}

static RUNNING: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);

/// Spins with known contents until it is told to stop; the contents then.
fn spin(vectors: &Vectors) -> Vectors {
    let mut after = Vectors([[0; 4]; 16]);
    RUNNING.store(1, Ordering::SeqCst);
    // SAFETY: reads and writes the two structures and the flag; the registers are declared below.
    unsafe {
        asm!(
            "call 2f",
            "jmp 3f",
            "2:",
            "vmovdqa ymm0, [rsi]", "vmovdqa ymm1, [rsi+32]", "vmovdqa ymm2, [rsi+64]",
            "vmovdqa ymm6, [rsi+192]", "vmovdqa ymm7, [rsi+224]", "vmovdqa ymm15, [rsi+480]",
            "4:", "pause", "cmp dword ptr [rdx], 0", "je 4b",
            "vmovdqa [rdi], ymm0", "vmovdqa [rdi+32], ymm1", "vmovdqa [rdi+64], ymm2",
            "vmovdqa [rdi+192], ymm6", "vmovdqa [rdi+224], ymm7", "vmovdqa [rdi+480], ymm15",
            "vzeroupper",
            "ret",
            "3:",
            in("rsi") &raw const *vectors,
            in("rdi") &raw mut after,
            in("rdx") STOP.as_ptr(),
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm6") _, out("xmm7") _,
            out("xmm15") _,
        );
    }
    after
}

/// R9: whether vector registers survive a suspension and a call.
pub(super) fn vectors() -> Answer {
    if !is_x86_feature_detected!("avx") {
        return Ok("the processor has no AVX".to_owned());
    }
    let before = Vectors::numbered();
    let spinner = thread::spawn(|| {
        let before = Vectors::numbered();
        let after = spin(&before);
        // Only these were looked at.
        [0, 1, 2, 6, 7, 15].iter().all(|&number| before.0.get(number) == after.0.get(number))
    });
    while RUNNING.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    let suspended = suspend_often(spinner.as_raw_handle());
    STOP.store(1, Ordering::SeqCst);
    let kept = spinner.join().unwrap_or(false);
    suspended?;
    let (lower, upper) = before.differing(&across_call(&before));
    Ok(format!(
        "{} by {SUSPENSIONS} suspensions with changed contexts; NtYieldExecution changes the lower \
         halves of {lower:?} and the upper ones of {upper:?}",
        if kept { "vector registers are kept" } else { "VECTOR REGISTERS ARE LOST" }
    ))
}

/// Suspends a thread, writes back its context, and lets it go on.
fn suspend_often(thread: HANDLE) -> std::io::Result<()> {
    const CONTROL_AND_INTEGER: u32 = 0x10_0003;
    #[repr(align(16))]
    struct Aligned(CONTEXT);
    let mut context = Aligned(CONTEXT::default());
    for _ in 0..SUSPENSIONS {
        // SAFETY: the thread spins in our own code, and goes on with the context that it had.
        unsafe {
            SuspendThread(thread);
            context.0.ContextFlags = CONTROL_AND_INTEGER;
            let result = check(GetThreadContext(thread, &raw mut context.0))
                .and_then(|()| check(SetThreadContext(thread, &raw const context.0)));
            ResumeThread(thread);
            result?;
        }
    }
    Ok(())
}

/// The registers after a call of NT.
fn across_call(before: &Vectors) -> Vectors {
    let mut after = Vectors([[0; 4]; 16]);
    let Some(service) = features::export_address("ntdll", "NtYieldExecution") else {
        return before.clone();
    };
    // SAFETY: the service takes no argument and keeps rsi, rdi and r12; the stack is aligned, with
    // room for its home space; what else it may change is declared.
    unsafe {
        asm!(
            "vmovdqa ymm0, [rsi+0]",
            "vmovdqa ymm1, [rsi+32]",
            "vmovdqa ymm2, [rsi+64]",
            "vmovdqa ymm3, [rsi+96]",
            "vmovdqa ymm4, [rsi+128]",
            "vmovdqa ymm5, [rsi+160]",
            "vmovdqa ymm6, [rsi+192]",
            "vmovdqa ymm7, [rsi+224]",
            "vmovdqa ymm8, [rsi+256]",
            "vmovdqa ymm9, [rsi+288]",
            "vmovdqa ymm10, [rsi+320]",
            "vmovdqa ymm11, [rsi+352]",
            "vmovdqa ymm12, [rsi+384]",
            "vmovdqa ymm13, [rsi+416]",
            "vmovdqa ymm14, [rsi+448]",
            "vmovdqa ymm15, [rsi+480]",
            "mov r12, rsp",
            "and rsp, -16",
            "sub rsp, 64",
            "call rax",
            "mov rsp, r12",
            "vmovdqa [rdi+0], ymm0",
            "vmovdqa [rdi+32], ymm1",
            "vmovdqa [rdi+64], ymm2",
            "vmovdqa [rdi+96], ymm3",
            "vmovdqa [rdi+128], ymm4",
            "vmovdqa [rdi+160], ymm5",
            "vmovdqa [rdi+192], ymm6",
            "vmovdqa [rdi+224], ymm7",
            "vmovdqa [rdi+256], ymm8",
            "vmovdqa [rdi+288], ymm9",
            "vmovdqa [rdi+320], ymm10",
            "vmovdqa [rdi+352], ymm11",
            "vmovdqa [rdi+384], ymm12",
            "vmovdqa [rdi+416], ymm13",
            "vmovdqa [rdi+448], ymm14",
            "vmovdqa [rdi+480], ymm15",
            "vzeroupper",
            in("rsi") &raw const *before,
            in("rdi") &raw mut after,
            inout("rax") service => _,
            out("r12") _,
            out("xmm6") _, out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _,
            out("xmm11") _, out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
            clobber_abi("win64"),
        );
    }
    after
}
