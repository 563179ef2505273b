//! The 128 bytes below the stack pointer belong to the program: interrupts leave them alone. The
//! first argument says how many interrupts.

use std::arch::asm;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lx_guest_tests::{Checks, call};

/// Signals that the thread with data in its red zone gets, where nobody says how many.
const INTERRUPTS: u32 = 300;

static HANDLED: AtomicU32 = AtomicU32::new(0);
static STOP: AtomicU32 = AtomicU32::new(0);
static TARGET: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_signal(_: i32) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// Keeps a pattern in the red zone until it changes or `STOP` is set: whether it has stayed.
fn keep(pattern: u64) -> bool {
    let kept: u64;
    // SAFETY: writes below the stack pointer only, which is allowed without `nostack`.
    unsafe {
        asm!(
            ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
            "mov [rsp - 8 * \\n], {pattern}",
            "inc {pattern}",
            ".endr",
            "sub {pattern}, 16",
            "mov {kept:e}, 1",
            "2:",
            ".irp n,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
            "cmp [rsp - 8 * \\n], {pattern}",
            "jne 3f",
            "inc {pattern}",
            ".endr",
            "sub {pattern}, 16",
            "cmp dword ptr [{stop}], 0",
            "je 2b",
            "jmp 4f",
            "3:",
            "xor {kept:e}, {kept:e}",
            "4:",
            pattern = inout(reg) pattern => _,
            stop = in(reg) STOP.as_ptr(),
            kept = out(reg) kept,
        );
    }
    kept == 1
}

fn main() {
    let mut checks = Checks::new();
    let wanted = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(INTERRUPTS);
    // SAFETY: an action is plain data.
    let mut action = unsafe { zeroed::<libc::sigaction>() };
    action.sa_sigaction = on_signal as *const () as usize;
    for signal in [libc::SIGUSR1, libc::SIGALRM] {
        checks.works("a handler", call!(sigaction(signal, &action, null_mut())));
    }
    let keeper = thread::spawn(|| {
        TARGET.store(call!(gettid()).unwrap_or(0) as i32, Ordering::SeqCst);
        keep(0x7a6f_6e65_0000_0000)
    });
    while TARGET.load(Ordering::SeqCst) == 0 {
        thread::yield_now();
    }
    // The timer's signals, too, are for the other thread.
    // SAFETY: a set is plain data.
    let mut blocked = unsafe { zeroed::<libc::sigset_t>() };
    let _ = call!(sigemptyset(&mut blocked));
    let _ = call!(sigaddset(&mut blocked, libc::SIGALRM));
    let _ = call!(pthread_sigmask(libc::SIG_BLOCK, &blocked, null_mut()));
    let interval = libc::timeval { tv_sec: 0, tv_usec: 3_000 };
    let timer = libc::itimerval { it_interval: interval, it_value: interval };
    checks.works("a timer", call!(setitimer(libc::ITIMER_REAL, &timer, null_mut())));
    let (pid, tid) = (call!(getpid()).unwrap_or(0) as i32, TARGET.load(Ordering::SeqCst));
    let deadline = Instant::now() + Duration::from_secs(250);
    let mut sent = 0;
    while HANDLED.load(Ordering::SeqCst) < wanted && Instant::now() < deadline {
        let before = HANDLED.load(Ordering::SeqCst);
        if call!(syscall(libc::SYS_tgkill, pid, tid, libc::SIGUSR1)).is_err() {
            break;
        }
        sent += 1;
        let patience = Instant::now() + Duration::from_secs(5);
        while HANDLED.load(Ordering::SeqCst) == before && Instant::now() < patience {
            thread::yield_now();
        }
    }
    checks.ok("every interrupt was handled", HANDLED.load(Ordering::SeqCst) >= wanted);
    STOP.store(1, Ordering::SeqCst);
    let kept = keeper.join().unwrap_or(false);
    checks.ok("the red zone has kept its data", kept);
    if !kept {
        println!("# after {sent} interrupts");
    }
    checks.end()
}
