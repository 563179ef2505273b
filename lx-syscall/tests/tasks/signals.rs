//! Sending, delivery, stops.

use lx_core::abi::sigframe::{RtSigFrame, UContext};
use lx_core::abi::siginfo::{CLD_EXITED, CLD_STOPPED, SI_USER};
use lx_core::abi::signal::{SIG_IGN, SigActionFlags, StackT};
use lx_core::abi::wait::WaitStatus;
use lx_core::abi::{Errno, SigSet, Signal, Sysno};
use lx_core::host::Resume;
use zerocopy::IntoBytes;

use super::{
    CODE, HANDLER, MEMORY, Main, RESTORER, STACK, WCONTINUED, WNOHANG, WUNTRACED, errno, exit,
    number,
};

#[test]
fn stops_and_continues_are_reported() {
    for seed in 0..10 {
        let mut main = Main::new(seed);
        let child = main.fork(|guest| {
            let me = guest.syscall(Sysno::getpid, &[]) as u64;
            guest.syscall(Sysno::kill, &[me, number(Signal::SIGSTOP)]);
            guest.syscall(Sysno::pause, &[]);
        });
        let stopped = WaitStatus::stopped(Signal::SIGSTOP);
        assert_eq!(main.wait(child, WUNTRACED), (child as i64, stopped));
        assert_eq!(main.wait(child, WUNTRACED | WNOHANG).0, 0);
        assert_eq!(main.plain(Sysno::kill, &[child, number(Signal::SIGCONT)]), 0);
        assert_eq!(main.wait(child, WCONTINUED), (child as i64, WaitStatus::CONTINUED));
        assert_eq!(main.plain(Sysno::kill, &[child, number(Signal::SIGTERM)]), 0);
        let killed = WaitStatus::signaled(Signal::SIGTERM, false);
        assert_eq!(main.wait(child, 0), (child as i64, killed));
    }
}

#[test]
fn a_stopped_child_can_be_killed() {
    let mut main = Main::new(5);
    let child = main.fork(|guest| {
        let me = guest.syscall(Sysno::getpid, &[]) as u64;
        guest.syscall(Sysno::kill, &[me, number(Signal::SIGSTOP)]);
    });
    main.wait(child, WUNTRACED);
    main.plain(Sysno::kill, &[child, number(Signal::SIGKILL)]);
    assert_eq!(main.wait(child, 0).1, WaitStatus::signaled(Signal::SIGKILL, false));
}

#[test]
fn a_handler_runs_and_returns() {
    let mut main = Main::new(1);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::SA_SIGINFO);
    let me = main.task.tgid() as u64;
    let before = main.regs;
    assert_eq!(main.call(Sysno::kill, &[me, number(Signal::SIGUSR1)]), 0);
    assert_eq!(main.resume, Resume::Full);
    let regs = main.regs;
    assert_eq!((regs.rip, regs.rdi, regs.rsp % 16), (HANDLER, number(Signal::SIGUSR1), 8));
    assert!(regs.rsp < STACK - 128 - size_of::<RtSigFrame>() as u64 + 8);

    let frame: RtSigFrame = main.get(regs.rsp);
    assert_eq!(frame.pretcode, RESTORER);
    assert_eq!((frame.info.si_code, frame.info.kill_fields().pid), (SI_USER, me as i32));
    assert_eq!(regs.rsi, regs.rsp + 312);
    assert_eq!(regs.rdx, regs.rsp + 8);
    let context = frame.uc.uc_mcontext;
    assert_eq!((context.rip, context.rsp, context.rax), (CODE, STACK, 0));
    assert_eq!(context.rbx, 0xbbbb);
    // The signal is blocked while its handler runs.
    let blocked = main.task.signals().blocked();
    assert_eq!(blocked, SigSet::only(Signal::SIGUSR1));

    main.sigreturn();
    assert_eq!((main.regs.rip, main.regs.rsp, main.regs.rbx), (CODE, STACK, before.rbx));
    assert_eq!(main.regs.rax, 0);
    assert!(main.task.signals().blocked().is_empty());
}

#[test]
fn pending_signals_nest() {
    let mut main = Main::new(1);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::empty());
    main.action(Signal::SIGUSR2, HANDLER + 16, SigActionFlags::empty());
    let me = main.task.tgid() as u64;
    let all = main.put(&SigSet::FULL);
    let none = main.put(&SigSet::EMPTY);
    main.plain(Sysno::rt_sigprocmask, &[2, all, 0, 8]);
    main.plain(Sysno::kill, &[me, number(Signal::SIGUSR2)]);
    main.plain(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    let pending = main.put(&0_u64);
    main.plain(Sysno::rt_sigpending, &[pending, 8]);
    let both = SigSet::only(Signal::SIGUSR1).with(Signal::SIGUSR2);
    assert_eq!(main.get::<SigSet>(pending), both);
    // Two frames: the one that was pushed last runs first.
    main.call(Sysno::rt_sigprocmask, &[2, none, 0, 8]);
    assert_eq!((main.regs.rip, main.regs.rdi), (HANDLER + 16, number(Signal::SIGUSR2)));
    main.sigreturn();
    assert_eq!((main.regs.rip, main.regs.rdi), (HANDLER, number(Signal::SIGUSR1)));
    main.sigreturn();
    assert_eq!((main.regs.rip, main.regs.rsp), (CODE, STACK));
    assert!(main.task.signals().blocked().is_empty());
}

#[test]
fn alternate_stack_holds_the_frame() {
    let mut main = Main::new(1);
    let stack = StackT { ss_sp: MEMORY + 0x8_0000, ss_size: 0x4000, ..StackT::default() };
    let at = main.put(&stack);
    assert_eq!(main.plain(Sysno::sigaltstack, &[at, 0]), 0);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::SA_ONSTACK);
    let me = main.task.tgid() as u64;
    main.call(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    let range = stack.ss_sp..stack.ss_sp + stack.ss_size;
    assert!(range.contains(&main.regs.rsp));
    let context: UContext = main.get(main.regs.rsp + 8);
    assert_eq!(context.uc_stack, stack);
    assert_eq!(context.uc_mcontext.rsp, STACK);
    assert_eq!(main.call(Sysno::sigaltstack, &[at, 0]), errno(Errno::EPERM));
    main.regs.rsp += 0;
    main.sigreturn();
    assert_eq!(main.regs.rsp, STACK);
}

#[test]
fn a_frame_that_does_not_fit_kills() {
    let mut main = Main::new(1);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::empty());
    main.regs.rsp = 0x2000;
    let me = main.task.tgid() as u64;
    main.call(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    assert_eq!(main.resume, Resume::Exit);
}

/// A child sends `signal` while the parent waits for it; what the wait looks like afterwards.
fn interrupted_wait(seed: u64, handler: Option<SigActionFlags>) -> Main {
    let mut main = Main::new(seed);
    if let Some(flags) = handler {
        main.action(Signal::SIGUSR1, HANDLER, flags);
    } else {
        main.action(Signal::SIGUSR1, SIG_IGN, SigActionFlags::empty());
    }
    let parent = main.task.tgid() as u64;
    let child = main.fork(move |guest| {
        // The parent gets time to fall asleep.
        let time = guest.put([0_u64, 1_000_000].as_bytes());
        guest.syscall(Sysno::nanosleep, &[time, 0]);
        guest.syscall(Sysno::kill, &[parent, number(Signal::SIGUSR1)]);
        guest.syscall(Sysno::nanosleep, &[time, 0]);
        exit(guest, 4);
    });
    let at = main.put(&0_u32);
    main.call(Sysno::wait4, &[child, at, 0, 0]);
    main
}

#[test]
fn restart_rules() {
    for seed in 0..10 {
        let main = interrupted_wait(seed, None);
        assert_eq!(main.resume, Resume::Return);
        assert!(main.regs.rax.cast_signed() > 0);

        let main = interrupted_wait(seed, Some(SigActionFlags::empty()));
        let context: UContext = main.get(main.regs.rsp + 8);
        assert_eq!(context.uc_mcontext.rip, CODE);
        assert_eq!(context.uc_mcontext.rax.cast_signed(), errno(Errno::EINTR));

        let mut main = interrupted_wait(seed, Some(SigActionFlags::SA_RESTART));
        let context: UContext = main.get(main.regs.rsp + 8);
        assert_eq!(context.uc_mcontext.rip, CODE - 2);
        assert_eq!(context.uc_mcontext.rax, u64::from(Sysno::wait4.0));
        main.sigreturn();
        // What the guest does: the same call again, with the same registers.
        let args = main.regs.args();
        assert_eq!(main.regs.rip, CODE - 2);
        assert!(main.plain(Sysno(main.regs.rax as u32), &args) > 0);
    }
}

#[test]
fn sigsuspend_restores_the_mask() {
    let mut main = Main::new(2);
    main.action(Signal::SIGUSR1, HANDLER, SigActionFlags::SA_RESTART);
    let blocked = SigSet::only(Signal::SIGUSR1).with(Signal::SIGTERM);
    let set = main.put(&blocked);
    main.plain(Sysno::rt_sigprocmask, &[2, set, 0, 8]);
    let me = main.task.tgid() as u64;
    main.plain(Sysno::kill, &[me, number(Signal::SIGUSR1)]);
    let none = main.put(&SigSet::EMPTY);
    main.call(Sysno::rt_sigsuspend, &[none, 8]);
    assert_eq!(main.regs.rip, HANDLER);
    assert_eq!(main.task.signals().blocked(), SigSet::only(Signal::SIGUSR1));
    let context: UContext = main.get(main.regs.rsp + 8);
    assert_eq!(context.uc_sigmask, blocked);
    main.sigreturn();
    assert_eq!(main.regs.rax.cast_signed(), errno(Errno::EINTR));
    assert_eq!(main.task.signals().blocked(), blocked);
}

#[test]
fn sigtimedwait_takes_a_signal_or_times_out() {
    let mut main = Main::new(4);
    let set = main.put(&SigSet::only(Signal::SIGCHLD));
    main.plain(Sysno::rt_sigprocmask, &[0, set, 0, 8]);
    let time = main.put(&[1_u64, 0]);
    let info = main.put(&[0_u8; 128]);
    let none = main.plain(Sysno::rt_sigtimedwait, &[set, info, time, 8]);
    assert_eq!(none, errno(Errno::EAGAIN));
    let child = main.fork(|guest| exit(guest, 5));
    let taken = main.plain(Sysno::rt_sigtimedwait, &[set, info, 0, 8]);
    assert_eq!(taken, Signal::SIGCHLD.number().into());
    let [_, _, code, _, pid, _, status, _]: [i32; 8] = main.get(info);
    assert_eq!((code, pid, status), (CLD_EXITED, child as i32, 5));
}

#[test]
fn stop_tells_the_parent_by_signal() {
    let mut main = Main::new(4);
    let set = main.put(&SigSet::only(Signal::SIGCHLD));
    main.plain(Sysno::rt_sigprocmask, &[0, set, 0, 8]);
    let child = main.fork(|guest| {
        let me = guest.syscall(Sysno::getpid, &[]) as u64;
        guest.syscall(Sysno::kill, &[me, number(Signal::SIGSTOP)]);
    });
    let info = main.put(&[0_u8; 128]);
    main.plain(Sysno::rt_sigtimedwait, &[set, info, 0, 8]);
    let [_, _, code, _, pid, _, status, _]: [i32; 8] = main.get(info);
    assert_eq!((code, pid, status), (CLD_STOPPED, child as i32, Signal::SIGSTOP.number()));
    main.plain(Sysno::kill, &[child, number(Signal::SIGKILL)]);
    main.wait(child, 0);
}
