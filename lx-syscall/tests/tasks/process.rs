//! Creation, end, waiting, process groups.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use host_mock::{Guest, Program, prepare_child};
use lx_core::abi::sched::CloneFlags;
use lx_core::abi::siginfo::CLD_EXITED;
use lx_core::abi::signal::{SIG_IGN, SigActionFlags};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, Signal, Sysno};
use lx_core::host::{HostMemory, HostThread, HostThreadId};

use super::{Main, WNOHANG, WUNTRACED, errno, exit, number};

#[test]
fn fork_exit_wait() {
    for seed in 0..20 {
        let mut main = Main::new(seed);
        let parent = main.task.tgid();
        let child = main.fork(move |guest| {
            assert_eq!(guest.syscall(Sysno::getppid, &[]), parent.into());
            exit(guest, 3);
        });
        assert_eq!(main.wait(child, 0), (child as i64, WaitStatus::exited(3)));
        assert_eq!(main.wait(u64::MAX, 0).0, errno(Errno::ECHILD));
        assert!(main.kernel.pids.group(child as i32).is_none());
    }
}

#[test]
fn waitid_leaves_what_it_shall_leave() {
    let mut main = Main::new(1);
    let child = main.fork(|guest| exit(guest, 7));
    let info = main.put(&[0_u8; 128]);
    const WEXITED_WNOWAIT: u64 = 0x0100_0004;
    assert_eq!(main.plain(Sysno::waitid, &[0, 0, info, WEXITED_WNOWAIT, 0]), 0);
    let [signo, _, code, _, pid, uid, status, _]: [i32; 8] = main.get(info);
    assert_eq!((signo, code, pid, uid, status), (17, CLD_EXITED, child as i32, 0, 7));
    // It will not stop any more.
    let stopped = main.plain(Sysno::waitid, &[0, 0, info, WUNTRACED | WNOHANG, 0]);
    assert_eq!(stopped, errno(Errno::ECHILD));
    assert_eq!(main.get::<i32>(info), 0);
    assert_eq!(main.plain(Sysno::waitid, &[0, 0, info, 0, 0]), errno(Errno::EINVAL));
    assert_eq!(main.wait(child, 0).1, WaitStatus::exited(7));
}

#[test]
fn ignored_children_leave_no_zombie() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        main.action(Signal::SIGCHLD, SIG_IGN, SigActionFlags::empty());
        let child = main.fork(|guest| exit(guest, 1));
        assert_eq!(main.wait(child, 0).0, errno(Errno::ECHILD));
    }
}

#[test]
fn vfork_runs_the_child_first() {
    let mut main = Main::new(1);
    let seen = Arc::new(AtomicU64::new(0));
    let by_child = Arc::clone(&seen);
    prepare_child(Arc::new(move |guest: &mut Guest| {
        by_child.store(guest.syscall(Sysno::getpid, &[]) as u64, Ordering::SeqCst);
        exit(guest, 0);
    }));
    let child = main.plain(Sysno::vfork, &[]) as u64;
    assert_eq!(seen.load(Ordering::SeqCst), child);
    assert_eq!(main.wait(child, 0), (child as i64, WaitStatus::exited(0)));
}

#[test]
fn orphans_go_to_init_or_a_subreaper() {
    for subreaper in [false, true] {
        let mut main = Main::new(3);
        if subreaper {
            assert_eq!(main.plain(Sysno::prctl, &[36, 1, 0, 0, 0]), 0);
        }
        let child = main.fork(|guest| {
            let body: Program = Arc::new(|guest: &mut Guest| {
                guest.syscall(Sysno::pause, &[]);
                exit(guest, 9);
            });
            guest.clone_call(Sysno::fork, &[], body);
            exit(guest, 0);
        });
        assert_eq!(main.wait(child, 0).1, WaitStatus::exited(0));
        let orphan = child + 1;
        let group = main.kernel.pids.group(orphan as i32).unwrap();
        let adopter = if subreaper { main.task.tgid() } else { 1 };
        assert_eq!(group.parent_tgid(), adopter);
        assert_eq!(main.plain(Sysno::kill, &[orphan, number(Signal::SIGKILL)]), 0);
        if subreaper {
            let killed = WaitStatus::signaled(Signal::SIGKILL, false);
            assert_eq!(main.wait(orphan, 0), (orphan as i64, killed));
        } else {
            while main.kernel.pids.group(orphan as i32).is_some() {
                main.host.yield_now();
            }
        }
    }
}

const THREAD: CloneFlags = CloneFlags::CLONE_VM
    .union(CloneFlags::CLONE_FS)
    .union(CloneFlags::CLONE_FILES)
    .union(CloneFlags::CLONE_SIGHAND)
    .union(CloneFlags::CLONE_THREAD);

#[test]
fn exit_group_ends_all_threads() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        let child = main.fork(|guest| {
            let body: Program = Arc::new(|guest: &mut Guest| exit(guest, 6));
            let tid = guest.clone_call(Sysno::clone, &[THREAD.bits(), 0, 0, 0, 0], body);
            assert!(tid > 0 || guest.has_exited());
            guest.syscall(Sysno::pause, &[]);
            assert!(guest.has_exited());
        });
        assert_eq!(main.wait(child, 0), (child as i64, WaitStatus::exited(6)));
    }
}

#[test]
fn the_last_thread_ends_the_process() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        let child = main.fork(|guest| {
            let body: Program = Arc::new(|guest: &mut Guest| {
                guest.syscall(Sysno::sched_yield, &[]);
                guest.syscall(Sysno::exit, &[1]);
            });
            guest.clone_call(Sysno::clone, &[THREAD.bits(), 0, 0, 0, 0], body);
            guest.syscall(Sysno::exit, &[2]);
        });
        assert_eq!(main.wait(child, 0).1, WaitStatus::exited(2));
    }
}

#[test]
fn the_end_of_a_thread_is_announced() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        // Memory that the kernel knows of: it has to find out which futex the word is.
        const PRIVATE_ANONYMOUS: u64 = 0x22;
        let word = main.plain(Sysno::mmap, &[0, 4096, 3, PRIVATE_ANONYMOUS, u64::MAX, 0]) as u64;
        main.host.copy_out(word, &1_u32.to_le_bytes()).unwrap();
        let flags = THREAD | CloneFlags::CLONE_CHILD_CLEARTID | CloneFlags::CLONE_PARENT_SETTID;
        let tid_at = main.put(&0_i32);
        prepare_child(Arc::new(|guest: &mut Guest| {
            guest.syscall(Sysno::exit, &[0]);
        }));
        let tid = main.plain(Sysno::clone, &[flags.bits(), 0, tid_at, word, 0]);
        assert_eq!(main.get::<i32>(tid_at), tid as i32);
        while main.get::<u32>(word) != 0 {
            let result = main.plain(Sysno::futex, &[word, 0, 1, 0, 0, 0]);
            assert!(result == 0 || result == errno(Errno::EAGAIN), "{result}");
        }
    }
}

#[test]
fn process_groups_and_sessions() {
    let mut main = Main::new(1);
    let me = main.task.tgid() as u64;
    assert_eq!(main.plain(Sysno::setsid, &[]), errno(Errno::EPERM));
    assert_eq!(main.plain(Sysno::setpgid, &[0, 0]), errno(Errno::EPERM));
    let child = main.fork(|guest| {
        guest.syscall(Sysno::pause, &[]);
    });
    assert_eq!(main.plain(Sysno::getpgid, &[child]), me as i64);
    assert_eq!(main.plain(Sysno::setpgid, &[child, 77]), errno(Errno::EPERM));
    assert_eq!(main.plain(Sysno::setpgid, &[child, child]), 0);
    assert_eq!(main.plain(Sysno::getpgid, &[child]), child as i64);
    assert_eq!(main.plain(Sysno::getsid, &[child]), me as i64);
    // The whole process group.
    let group = (child as i64).wrapping_neg() as u64;
    assert_eq!(main.plain(Sysno::kill, &[group, number(Signal::SIGKILL)]), 0);
    assert_eq!(main.wait(group, 0).0, child as i64);
    assert_eq!(main.plain(Sysno::kill, &[group, 0]), errno(Errno::ESRCH));
    let session = main.fork(|guest| {
        let sid = guest.syscall(Sysno::setsid, &[]);
        assert_eq!(sid, guest.syscall(Sysno::getpid, &[]));
        assert_eq!(sid, guest.syscall(Sysno::getpgrp, &[]));
        exit(guest, 0);
    });
    assert_eq!(main.wait(session, 0).1, WaitStatus::exited(0));
}

#[test]
fn a_dead_host_process_is_reaped() {
    let mut main = Main::new(1);
    let child = main.fork(|guest| {
        guest.syscall(Sysno::pause, &[]);
    });
    main.host.yield_now();
    let task = main.kernel.pids.task(child as i32).unwrap();
    while task.waiter().thread() == HostThreadId(0) {
        main.host.yield_now();
    }
    main.kernel.host_thread_died(task.waiter().thread(), 9);
    let killed = WaitStatus::signaled(Signal::SIGKILL, false);
    assert_eq!(main.wait(child, 0), (child as i64, killed));
}
