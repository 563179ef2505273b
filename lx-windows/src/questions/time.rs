//! R12: how long waking takes, and how exact timers are.

use std::env;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::process::{Command, Stdio};
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::HANDLE;
use windows_sys::Win32::System::Threading::{SetEvent, WaitForSingleObject};

use super::Answer;
use super::processes::inheritable_event;
use crate::features;

/// Events that are sent there and back.
const ROUNDS: u32 = 500;
/// Longest wait for one of them.
const LIMIT_MS: u32 = 2000;

/// The other side of R12: answers events, with handles that it has inherited.
pub fn answer_pings(handles: &[usize; 2]) {
    let [ping, pong] = handles.map(ptr::without_provenance_mut);
    for _ in 0..ROUNDS {
        // SAFETY: the handles are what the parent made of them; bad ones are an error.
        if unsafe { WaitForSingleObject(ping, LIMIT_MS) } != 0 || unsafe { SetEvent(pong) } == 0 {
            return;
        }
    }
}

fn wake_time() -> io::Result<Option<Duration>> {
    let events: [OwnedHandle; 2] = [inheritable_event()?, inheritable_event()?];
    let [ping, pong]: [HANDLE; 2] = events.each_ref().map(AsRawHandle::as_raw_handle);
    let mut other = Command::new(env::current_exe()?)
        .args(["doctor", "pong", &ping.addr().to_string(), &pong.addr().to_string()])
        .stdin(Stdio::null())
        .spawn()?;
    let round = || {
        // SAFETY: both handles are open.
        unsafe { SetEvent(ping) != 0 && WaitForSingleObject(pong, LIMIT_MS) == 0 }
    };
    // The first one waits until the other process runs.
    let mut good = round();
    let started = Instant::now();
    for _ in 1..ROUNDS {
        good = good && round();
    }
    let took = started.elapsed();
    if !good {
        let _ = other.kill();
    }
    other.wait()?;
    Ok(good.then(|| took / (2 * (ROUNDS - 1))))
}

/// R12: how long it takes to wake a thread of another process, and to sleep for a millisecond.
pub(super) fn wakes() -> Answer {
    let wake = match wake_time()? {
        Some(time) => format!("{:.1} us", time.as_secs_f64() * 1e6),
        None => "FAILS".to_owned(),
    };
    let started = Instant::now();
    const SLEEPS: u32 = 20;
    for _ in 0..SLEEPS {
        thread::sleep(Duration::from_millis(1));
    }
    let sleep = started.elapsed() / SLEEPS;
    Ok(format!(
        "waking a thread of another process takes {wake}; a sleep of 1 ms takes {:.2} ms; the \
         timer ticks every {:.2} ms",
        sleep.as_secs_f64() * 1000.0,
        f64::from(resolution()) / 10_000.0
    ))
}

/// The current timer resolution in units of 100 ns.
fn resolution() -> u32 {
    type Query = unsafe extern "system" fn(*mut u32, *mut u32, *mut u32) -> i32;
    let Some(address) = features::export_address("ntdll", "NtQueryTimerResolution") else {
        return 0;
    };
    // SAFETY: this is the function's type.
    let query: Query = unsafe { std::mem::transmute(address) };
    let (mut coarsest, mut finest, mut current) = (0, 0, 0);
    // SAFETY: the call writes the three numbers.
    unsafe { query(&raw mut coarsest, &raw mut finest, &raw mut current) };
    current
}
