//! The subject: what its threads do on command.

use std::ptr::{null, null_mut};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use super::handler::{self, DEEDS};
use super::{ALL_SIGNALS, SIGNALS, Shared, THREADS, Target, origin, pick, report, set};
use crate::futex::{PRIVATE, futex};
use crate::{call, fork};

/// The steps of the area; a command is the number of one, and its choices.
pub(super) const STEPS: &[(&str, u32)] = &[
    ("send", 14),
    ("action", 6),
    ("mask", 6),
    ("deed", 4),
    ("pending", 2),
    ("take", 3),
    ("sleep", 4),
    ("feed", 3),
    ("signalfd", 2),
    ("readfd", 3),
    ("pollfd", 2),
    ("altstack", 2),
    ("status", 1),
    ("fork", 1),
    ("exec", 1),
    ("timer", 2),
    ("alarm", 1),
];

/// Flags of actions; `SA_SIGINFO` comes with the handler.
const FLAGS: &[i32] = &[
    0,
    libc::SA_RESTART,
    libc::SA_NODEFER,
    libc::SA_RESETHAND,
    libc::SA_ONSTACK,
    libc::SA_NOCLDWAIT,
    libc::SA_NOCLDSTOP,
    libc::SA_RESTART | libc::SA_ONSTACK,
    libc::SA_NODEFER | libc::SA_RESTART,
    libc::SA_RESETHAND | libc::SA_NODEFER,
    // Unknown ones are cleared.
    0x100,
];

/// Runs the subject: the calling thread and two more.
pub(super) fn run(shared: &'static Shared, pipes: [[i32; 2]; THREADS]) -> i32 {
    handler::set_shared(shared);
    for signal in SIGNALS.iter().filter(|signal| **signal != libc::SIGCONT) {
        let _ = set_action(*signal, 2, 0, 0);
    }
    for thread in 1..THREADS {
        thread::spawn(move || serve(shared, thread, pipes));
        shared.slots[thread].wait_for_worker();
    }
    serve(shared, 0, pipes)
}

fn serve(shared: &'static Shared, thread: usize, pipes: [[i32; 2]; THREADS]) -> ! {
    let mut worker = Worker { shared, input: pipes[thread][0], stack: vec![0; 64 << 10], thread };
    shared.slots[thread].serve(|[op, a, b, c, d]| {
        let name = STEPS.get(op as usize).map_or("", |(name, _)| *name);
        worker.perform(name, [a, b, c, d])
    })
}

/// One thread of the subject.
struct Worker {
    shared: &'static Shared,
    input: i32,
    stack: Vec<u8>,
    thread: usize,
}

/// Sets an action: 0 the default, 1 to ignore, 2 and 3 a handler. What was set before.
fn set_action(signal: i32, kind: u32, flags: i32, mask: u64) -> Result<String, i32> {
    // SAFETY: zeroes are a valid value of both.
    let (mut action, mut before): (libc::sigaction, libc::sigaction) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    let handlers = [
        (libc::SIG_DFL, 0),
        (libc::SIG_IGN, 0),
        (handler::with_info as *const () as usize, libc::SA_SIGINFO),
        (handler::plain as *const () as usize, 0),
    ];
    let (function, extra) = handlers[kind as usize % 4];
    action.sa_sigaction = function;
    action.sa_flags = flags | extra;
    // SAFETY: the kernel's set of signals stands in the first eight bytes of the C library's.
    unsafe { (&raw mut action.sa_mask).cast::<u64>().write(mask) };
    call!(sigaction(signal, &action, &mut before))?;
    // SAFETY: as above.
    let old_mask = unsafe { (&raw const before.sa_mask).cast::<u64>().read() };
    let kind = handlers.iter().position(|(function, _)| *function == before.sa_sigaction);
    let restorer = 0x0400_0000;
    let flags = before.sa_flags & !restorer;
    Ok(format!("{kind:?}/{flags:x}/{old_mask:x}"))
}

impl Worker {
    fn perform(&mut self, name: &str, [a, b, c, d]: [u32; 4]) -> String {
        let shared = self.shared;
        match name {
            "send" => {
                let tids = shared.slots.each_ref().map(|slot| slot.tid.load(SeqCst));
                let target = Target { pid: std::process::id() as i32, tids };
                format!("{:?}", target.send(b, pick(c, ALL_SIGNALS), d))
            }
            "action" => {
                let kind = pick(a >> 4, &[2, 3, 2, 2, 1, 2, 0, 3]);
                let signal = if a >> 8 & 7 == 7 { pick(b, ALL_SIGNALS) } else { pick(b, SIGNALS) };
                // Which thread would run a handler when a stop is over is not certain.
                let kind = if signal == libc::SIGCONT { kind % 2 } else { kind };
                format!("{signal} {:?}", set_action(signal, kind, pick(c, FLAGS), set(d)))
            }
            "mask" => {
                let how = pick(b, &[libc::SIG_BLOCK, libc::SIG_SETMASK, libc::SIG_UNBLOCK, 7]);
                let (new, mut old, size) = (set(c), 0u64, if d % 16 == 15 { 4 } else { 8 });
                let done = call!(syscall(libc::SYS_rt_sigprocmask, how, &new, &mut old, size));
                format!("{done:?} old {old:x}")
            }
            "deed" => {
                let deed = b % DEEDS.len() as u32 + 1;
                let signal = pick(c, SIGNALS);
                shared.deeds[signal as usize].store(deed | (pick(d, SIGNALS) as u32) << 8, SeqCst);
                format!("{signal} {:?}", DEEDS[deed as usize - 1])
            }
            "pending" => {
                let mut pending = 0u64;
                let done = call!(syscall(libc::SYS_rt_sigpending, &mut pending, 8));
                format!("{done:?} {pending:x}")
            }
            "take" => take(set(b), pick(c, &[Some(0), Some(0), Some(-1), Some(1_000_000_000)])),
            "sleep" => self.sleep(b, c),
            "signalfd" => {
                let descriptor = &shared.descriptors[b as usize % 2];
                let flags = libc::SFD_NONBLOCK | if d % 8 == 7 { 0x40 } else { 0 };
                let fd = descriptor.load(SeqCst);
                let set = set(c);
                let made = call!(syscall(libc::SYS_signalfd4, fd, &set, 8, flags));
                if let Ok(fd) = made {
                    descriptor.store(fd as i32, SeqCst);
                }
                format!("{made:?}")
            }
            "readfd" => self.read_signals(b, c),
            "pollfd" => {
                let entry = |at: usize| libc::pollfd {
                    fd: shared.descriptors[at].load(SeqCst),
                    events: libc::POLLIN,
                    revents: 0,
                };
                let mut list = [entry(0), entry(1)];
                let ready = call!(poll(list.as_mut_ptr(), 2, 0));
                format!("{ready:?} {:?}", list.map(|entry| entry.revents))
            }
            "altstack" => self.alternate(b, c),
            "status" => report::status(),
            "fork" => {
                let (read, write) = crate::pipe();
                let child = fork(|| {
                    let _ = crate::write(write, report::all().as_bytes());
                    (b % 256) as i32
                });
                self.child(child, read, write)
            }
            "exec" => {
                let (read, write) = crate::pipe();
                let pending = set(b)
                    & handler::mask()
                    & !(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
                let child = fork(|| {
                    for signal in SIGNALS.iter().filter(|signal| pending >> (**signal - 1) & 1 == 1)
                    {
                        let _ = call!(kill(std::process::id() as i32, *signal));
                    }
                    let _ = call!(dup2(write, report::OUTPUT));
                    let arguments = [c"random".as_ptr(), report::ARGUMENT.as_ptr(), null()];
                    let _ = call!(execv(c"/proc/self/exe".as_ptr(), arguments.as_ptr()));
                    1
                });
                self.child(child, read, write)
            }
            "timer" => self.timer(b, c, d),
            _ => {
                let times = [1, 1, 1, 100_000_000, 0];
                let microseconds = pick(b, &times);
                // SAFETY: zeroes are a valid value.
                let mut timer: libc::itimerval = unsafe { std::mem::zeroed() };
                timer.it_value.tv_usec = microseconds % 1_000_000;
                timer.it_value.tv_sec = microseconds / 1_000_000;
                let set = call!(setitimer(libc::ITIMER_REAL, &timer, null_mut()));
                let is_over = microseconds <= 1
                    && crate::until(|| {
                        let _ = call!(getitimer(libc::ITIMER_REAL, &mut timer));
                        timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0
                    });
                format!("{set:?} {is_over}")
            }
        }
    }

    /// What a child writes, and how it ends.
    fn child(&self, child: i32, read: i32, write: i32) -> String {
        let _ = call!(close(write));
        let mut text = Vec::new();
        loop {
            match crate::read::<4096>(read) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => text.extend(bytes),
                Err(libc::EINTR) => {}
                Err(_) => break,
            }
        }
        let _ = call!(close(read));
        let ended = crate::wait(child);
        format!("{ended:?} {}", String::from_utf8_lossy(&text))
    }

    /// Sleeps in a call that only a signal ends, or a byte.
    fn sleep(&self, which: u32, choice: u32) -> String {
        let set = set(choice);
        let mut entry = libc::pollfd { fd: self.input, events: libc::POLLIN, revents: 0 };
        let far = libc::timespec { tv_sec: 100_000, tv_nsec: 0 };
        let done = match which % 10 {
            0 => call!(syscall(libc::SYS_rt_sigsuspend, &set, 8)),
            1 => call!(pause()),
            2 => return take(set, None),
            3 => call!(syscall(libc::SYS_ppoll, &mut entry, 1, null::<u8>(), &set, 8)),
            4 => {
                let mut byte = 0u8;
                call!(read(self.input, (&raw mut byte).cast(), 1))
            }
            5 => call!(syscall(libc::SYS_nanosleep, &far, null::<u8>())),
            6 => {
                let word = AtomicU32::new(0);
                futex(&word, libc::FUTEX_WAIT | PRIVATE, 0, 0, 0, 0)
            }
            7 => {
                let mask = [crate::futex::address(&set), 8];
                let none = null::<u8>();
                call!(syscall(libc::SYS_pselect6, 0, none, none, none, none, &mask))
            }
            8 => {
                let epoll = call!(epoll_create1(0)).unwrap_or(-1) as i32;
                // SAFETY: zeroes are a valid value.
                let mut event: libc::epoll_event = unsafe { std::mem::zeroed() };
                let done =
                    call!(syscall(libc::SYS_epoll_pwait, epoll, &mut event, 1, -1, &set, 8usize));
                let _ = call!(close(epoll));
                done
            }
            _ => call!(poll(&mut entry, 1, 100_000_000)),
        };
        format!("{done:?} ready {}", entry.revents)
    }

    fn read_signals(&self, which: u32, count: u32) -> String {
        let fd = self.shared.descriptors[which as usize % 2].load(SeqCst);
        let mut records = [[0u32; 32]; 4];
        let size = pick(count, &[128, 512, 256, 127, 0, 300]);
        let done = call!(read(fd, records.as_mut_ptr().cast(), size));
        let mut text = format!("{done:?}");
        for record in records.iter().take(done.unwrap_or(0) as usize / 128) {
            // As `struct signalfd_siginfo` has them; the value stands behind eight other words.
            let [signal, _, code, pid, uid, ..] = *record;
            let value = if signal == libc::SIGCHLD as u32 && code as i32 > 0 {
                record[10]
            } else {
                record[11]
            };
            text += &format!(
                " {signal}{}",
                origin(code as i32, pid as i32, uid, value, &|pid| self.name(pid))
            );
        }
        text
    }

    fn name(&self, pid: i32) -> String {
        let world = self.shared.world.load(SeqCst);
        super::name(pid, world, std::process::id() as i32).to_owned()
    }

    fn alternate(&mut self, how: u32, size: u32) -> String {
        let size = pick(size, &[64 << 10, 16 << 10, 2048, 2047, 0]);
        let flags = pick(how, &[0, libc::SS_DISABLE, libc::SS_ONSTACK, 1 << 31, 8]);
        let stack =
            libc::stack_t { ss_sp: self.stack.as_mut_ptr().cast(), ss_flags: flags, ss_size: size };
        // SAFETY: zeroes are a valid value.
        let mut before: libc::stack_t = unsafe { std::mem::zeroed() };
        let done = call!(syscall(libc::SYS_sigaltstack, &stack, &mut before));
        // The C library may have set one of its own at first.
        let size = if before.ss_sp == self.stack.as_mut_ptr().cast() { before.ss_size } else { 0 };
        format!("{done:?} before {} {size}", before.ss_flags)
    }

    /// A timer that expires at once, or much later.
    fn timer(&self, how: u32, signal: u32, choice: u32) -> String {
        // SAFETY: zeroes are a valid value.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        // A signal to the process goes to the thread that runs then, if it can.
        let kinds = [libc::SIGEV_THREAD_ID, libc::SIGEV_NONE, libc::SIGEV_SIGNAL, 7];
        event.sigev_notify = pick(how, &kinds);
        if event.sigev_notify == libc::SIGEV_SIGNAL && self.thread != 0 {
            event.sigev_notify = libc::SIGEV_THREAD_ID;
        }
        let to = choice as usize % THREADS;
        event.sigev_notify_thread_id = self.shared.slots[to].tid.load(SeqCst);
        event.sigev_signo = pick(signal, ALL_SIGNALS);
        event.sigev_value.sival_ptr = (choice & 0xff) as usize as *mut _;
        let mut id = -1i32;
        let made =
            call!(syscall(libc::SYS_timer_create, libc::CLOCK_MONOTONIC, &mut event, &mut id));
        if made.is_err() {
            return format!("{made:?}");
        }
        let nanos = pick(choice >> 8, &[1, 1, 100_000_000_000]);
        // SAFETY: zeroes are a valid value.
        let mut time: libc::itimerspec = unsafe { std::mem::zeroed() };
        time.it_value.tv_sec = nanos / 1_000_000_000;
        time.it_value.tv_nsec = nanos % 1_000_000_000;
        let set = call!(syscall(libc::SYS_timer_settime, id, 0, &time, null::<u8>()));
        let is_over = nanos == 1
            && crate::until(|| {
                let _ = call!(syscall(libc::SYS_timer_gettime, id, &mut time));
                time.it_value.tv_sec == 0 && time.it_value.tv_nsec == 0
            });
        format!("{set:?} {is_over}")
    }
}

/// Takes a pending signal: at once, or whenever there is one.
fn take(set: u64, nanos: Option<i64>) -> String {
    let time = libc::timespec { tv_sec: 0, tv_nsec: nanos.unwrap_or(0) };
    let time = if nanos.is_some() { &raw const time } else { null() };
    let mut info = [0i32; 32];
    let taken = call!(syscall(libc::SYS_rt_sigtimedwait, &set, info.as_mut_ptr(), time, 8));
    match taken {
        Ok(signal) => {
            let [_, _, code, _, pid, uid, value, ..] = info;
            let named = |pid| {
                if pid == std::process::id() as i32 { "itself" } else { "another" }.to_owned()
            };
            format!("took {signal} {}", origin(code, pid, uid as u32, value as u32, &named))
        }
        Err(errno) => format!("Err({errno})"),
    }
}
