//! Sleeping and timers on the virtual clock.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{call, load, run, timespec};
use host_mock::Guest;
use lx_core::host::HostClock;

const SECOND: u64 = 1_000_000_000;
const EINVAL: i64 = -22;

fn itimerspec(guest: &mut Guest, value: u64, interval: u64) -> u64 {
    let parts = [interval / SECOND, interval % SECOND, value / SECOND, value % SECOND];
    guest.put(&parts.map(u64::to_ne_bytes).concat())
}

/// Lets time pass and tells the kernel.
fn pass(machine: &common::Machine, time: u64) {
    machine.host.advance(time);
    machine.kernel.timer_expired(machine.host.monotonic());
}

#[test]
fn sleeps_last_as_long_as_asked() {
    run(1, |guest, machine| {
        let before = machine.host.monotonic();
        let time = timespec(guest, 3, 5);
        assert_eq!(call(guest, 35, &[time, 0]), 0);
        assert!(machine.host.monotonic() - before >= 3 * SECOND + 5);

        let until = machine.host.monotonic() + SECOND;
        let time = timespec(guest, (until / SECOND) as i64, (until % SECOND) as i64);
        assert_eq!(call(guest, 230, &[1, 1, time, 0]), 0);
        assert!(machine.host.monotonic() >= until);

        let bad = timespec(guest, -1, 0);
        assert_eq!(call(guest, 35, &[bad, 0]), EINVAL);
        assert_eq!(call(guest, 230, &[77, 0, time, 0]), EINVAL);
        assert_eq!(call(guest, 230, &[3, 0, time, 0]), -95);
    });
}

#[test]
fn clocks() {
    run(1, |guest, machine| {
        let out = guest.put(&[0; 16]);
        for (clock, now) in [(0, machine.host.realtime()), (1, machine.host.monotonic())] {
            assert_eq!(call(guest, 228, &[clock, out]), 0);
            assert_eq!(load(guest, out), now / SECOND);
        }
        assert_eq!(call(guest, 228, &[10, out]), EINVAL);
        assert_eq!(call(guest, 227, &[0, out]), -1);
        assert_eq!(call(guest, 227, &[1, out]), EINVAL);
        assert_eq!(call(guest, 229, &[5, 0]), 0);
        assert_eq!(call(guest, 201, &[0]) as u64, machine.host.realtime() / SECOND);
    });
}

#[test]
fn alarms_send_sigalrm() {
    run(1, |guest, machine| {
        let set = guest.put(&(1_u64 << 13).to_ne_bytes());
        assert_eq!(call(guest, 14, &[0, set, 0, 8]), 0, "rt_sigprocmask");
        assert_eq!(call(guest, 37, &[10]), 0);
        pass(machine, 4 * SECOND);
        assert_eq!(call(guest, 37, &[2]), 6);
        let pending = guest.put(&[0; 8]);
        assert_eq!(call(guest, 127, &[pending, 8]), 0, "rt_sigpending");
        assert_eq!(load(guest, pending), 0);
        pass(machine, 2 * SECOND);
        assert_eq!(call(guest, 127, &[pending, 8]), 0);
        assert_eq!(load(guest, pending), 1 << 13);
        assert_eq!(call(guest, 37, &[0]), 0);
    });
}

#[test]
fn interval_timers_report_what_is_left() {
    run(1, |guest, machine| {
        let ignore = guest.put(&[1_u64, 0, 0, 0].map(u64::to_ne_bytes).concat());
        assert_eq!(call(guest, 13, &[14, ignore, 0, 8]), 0, "rt_sigaction");
        let value = [0_u64, 500_000, 2, 0].map(u64::to_ne_bytes).concat();
        let value = guest.put(&value);
        assert_eq!(call(guest, 38, &[0, value, 0]), 0);
        pass(machine, SECOND);
        let out = guest.put(&[0; 32]);
        assert_eq!(call(guest, 36, &[0, out]), 0);
        let parts: Vec<_> = (0..4).map(|at| load(guest, out + at * 8)).collect();
        assert_eq!(parts[1], 500_000);
        assert!(parts[2] * 1_000_000 + parts[3] > 990_000);
        assert_eq!(call(guest, 38, &[2, value, 0]), 0);
        assert_eq!(call(guest, 38, &[3, value, 0]), EINVAL);
        assert_eq!(call(guest, 36, &[3, out]), EINVAL);
    });
}

#[test]
fn posix_timers_count_overruns() {
    run(1, |guest, machine| {
        let set = guest.put(&(1_u64 << 39).to_ne_bytes());
        assert_eq!(call(guest, 14, &[0, set, 0, 8]), 0);
        // The value 77, signal 40, SIGEV_SIGNAL.
        let mut event = [0_u8; 64];
        event[0] = 77;
        event[8] = 40;
        let event = guest.put(&event);
        let id = guest.put(&[0xff; 4]);
        assert_eq!(call(guest, 222, &[1, event, id]), 0);
        assert_eq!(guest.read(id, 4), [0; 4]);
        let spec = itimerspec(guest, SECOND, SECOND);
        assert_eq!(call(guest, 223, &[0, 0, spec, 0]), 0);
        pass(machine, SECOND);
        pass(machine, 3 * SECOND);
        // rt_sigtimedwait: one signal for four expirations.
        let info = guest.put(&[0; 128]);
        let zero = timespec(guest, 0, 0);
        assert_eq!(call(guest, 128, &[set, info, zero, 8]), 40);
        let bytes = guest.read(info, 32);
        assert_eq!(bytes[8..12], (-2_i32).to_ne_bytes());
        assert_eq!(bytes[20], 3);
        assert_eq!(bytes[24], 77);
        assert_eq!(call(guest, 225, &[0]), 3);
        assert_eq!(call(guest, 128, &[set, info, zero, 8]), -11);
        assert_eq!(call(guest, 226, &[0]), 0);
        assert_eq!(call(guest, 226, &[0]), EINVAL);
        pass(machine, 5 * SECOND);
        assert_eq!(call(guest, 128, &[set, info, zero, 8]), -11);
    });
}

#[test]
fn timerfds_count_expirations() {
    run(1, |guest, machine| {
        let fd = call(guest, 283, &[1, 0o4000]) as u64;
        let buffer = guest.put(&[0; 8]);
        assert_eq!(call(guest, 0, &[fd, buffer, 8]), -11);
        let spec = itimerspec(guest, SECOND, SECOND / 2);
        assert_eq!(call(guest, 286, &[fd, 0, spec, 0]), 0);
        pass(machine, 2 * SECOND);
        assert_eq!(call(guest, 0, &[fd, buffer, 4]), EINVAL);
        assert_eq!(call(guest, 0, &[fd, buffer, 8]), 8);
        assert_eq!(load(guest, buffer), 3);
        assert_eq!(call(guest, 0, &[fd, buffer, 8]), -11);
        let out = guest.put(&[0; 32]);
        assert_eq!(call(guest, 287, &[fd, out]), 0);
        assert_eq!(load(guest, out + 8), SECOND / 2);
        assert_eq!(call(guest, 283, &[1, 1]), EINVAL);
        assert_eq!(call(guest, 283, &[4, 0]), EINVAL);
    });
}
