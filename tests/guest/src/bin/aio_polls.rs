//! Native asynchronous I/O: what stays in flight, and waiting for it; `io_getevents(2)`,
//! `io_pgetevents(2)`, `io_cancel(2)`, `IOCB_CMD_POLL`.

use std::ptr::null_mut;
use std::time::{Duration, Instant};

use lx_guest_tests::aio::{
    AT_ONCE, Event, Iocb, LONG, RESFD, SHORT, cancel, destroy, get, result, setup, submit,
    submit_one,
};
use lx_guest_tests::files::{address, close, open, sys};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, call, fork, pause, pipe, read, wait, write,
};

/// `io_pgetevents`, which libc does not know.
const IO_PGETEVENTS: i64 = 333;
const IN: i16 = libc::POLLIN;
const OUT: i16 = libc::POLLOUT;

fn main() {
    let mut t = Checks::new();
    let scratch = Scratch::enter();
    t.ok("a folder", scratch.is_ok());
    let context = t.works("a context", setup(10));
    ready(&mut t, context);
    woken(&mut t, context);
    kinds(&mut t, context);
    counted(&mut t, context);
    cancelled(&mut t, context);
    times(&mut t, context);
    signals(&mut t, context);
    masks(&mut t, context);
    by_others(&mut t, context);
    t.is("destroyed", destroy(context), Ok(0));
    ended(&mut t);
    drop(scratch);
    t.end();
}

/// The result of the one operation that completes.
fn next(context: i64) -> Called {
    let mut events = [Event::default()];
    get(context, 1, &mut events, Some(LONG))?;
    Ok(events[0].res)
}

fn nothing(context: i64) -> bool {
    get(context, 0, &mut [Event::default()], Some(AT_ONCE)) == Ok(0)
}

fn ready(t: &mut Checks, context: i64) {
    let file = open("file", libc::O_RDWR | libc::O_CREAT);
    let (reader, writer) = pipe();
    let poll = |fd, events| result(context, Iocb::poll(fd, events));
    t.is("a file", poll(file, IN), Ok(IN.into()));
    t.is("both ways", poll(file, IN | OUT), Ok((IN | OUT).into()));
    t.is("room in a pipe", poll(writer, IN | OUT), Ok(OUT.into()));
    t.is("bytes in it", write(writer, b"x"), Ok(1));
    t.is("they are ready", poll(reader, IN), Ok(IN.into()));
    let with = |iocb| result(context, iocb);
    let plain = Iocb::poll(writer, OUT);
    t.fails("events beyond them", with(Iocb { buf: 0x1_0001, ..plain }), libc::EINVAL);
    t.fails("a length", with(Iocb { nbytes: 1, ..plain }), libc::EINVAL);
    t.fails("an offset", with(Iocb { offset: 1, ..plain }), libc::EINVAL);
    t.fails("flags", with(Iocb { rw_flags: 1, ..plain }), libc::EINVAL);
    t.fails("no descriptor", with(Iocb { fd: -1, ..plain }), libc::EBADF);
    close(reader);
    t.is("no reader", poll(writer, IN), Ok(libc::POLLERR.into()));
    close(writer);
    close(file);
}

fn woken(t: &mut Checks, context: i64) {
    let (reader, writer) = pipe();
    let mut one = Iocb::poll(reader, IN);
    let mut other = Iocb { data: 2, ..one };
    t.is("two wait", submit(context, &mut [&mut one, &mut other]), Ok(2));
    t.ok("for the same", nothing(context));
    t.is("written", write(writer, b"x"), Ok(1));
    let mut events = [Event::default(); 4];
    t.is("both are told", get(context, 2, &mut events, Some(LONG)), Ok(2));
    t.ok("that there is something", events[..2].iter().all(|event| event.res & 1 == 1));
    t.ok("they are two", events[0].data != events[1].data);
    t.is("another write", write(writer, b"y"), Ok(1));
    t.ok("tells nobody", nothing(context));
    t.is("read", read::<4>(reader), Ok(b"xy".to_vec()));
    t.is("one waits again", submit_one(context, &mut one), Ok(1));
    close(writer);
    t.is("the other end is closed", next(context), Ok(libc::POLLHUP.into()));
    close(reader);

    // The operation keeps what it waits for.
    let (reader, writer) = pipe();
    let mut one = Iocb::poll(reader, IN);
    t.is("a poll", submit_one(context, &mut one), Ok(1));
    close(reader);
    t.is("whose descriptor is closed", write(writer, b"x"), Ok(1));
    t.ok("is told all the same", next(context).is_ok_and(|events| events & 1 == 1));
    close(writer);
}

fn kinds(t: &mut Checks, context: i64) {
    let event = t.works("an eventfd", call!(eventfd(0, libc::EFD_NONBLOCK))) as i32;
    let mut one = Iocb::poll(event, IN);
    t.is("an eventfd", submit_one(context, &mut one), Ok(1));
    t.is("counted", write(event, &1_u64.to_ne_bytes()), Ok(8));
    t.is("told", next(context), Ok(IN.into()));
    close(event);

    let mut pair = [0; 2];
    t.is(
        "sockets",
        call!(socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr())),
        Ok(0),
    );
    let mut one = Iocb::poll(pair[0], IN);
    t.is("a socket", submit_one(context, &mut one), Ok(1));
    t.is("sent", write(pair[1], b"x"), Ok(1));
    t.ok("told", next(context).is_ok_and(|events| events & 1 == 1));
    for fd in pair {
        close(fd);
    }

    let timer = t.works("a timer", call!(timerfd_create(libc::CLOCK_MONOTONIC, 0))) as i32;
    let mut one = Iocb::poll(timer, IN);
    t.is("it does not run", submit_one(context, &mut one), Ok(1));
    let time = libc::itimerspec { it_interval: AT_ONCE, it_value: SHORT };
    t.is("it runs", call!(timerfd_settime(timer, 0, &time, null_mut())), Ok(0));
    t.is("told", next(context), Ok(IN.into()));
    close(timer);

    let epoll = t.works("an epoll instance", call!(epoll_create1(0))) as i32;
    let (reader, writer) = pipe();
    let mut watched = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
    t.is("of a pipe", call!(epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader, &mut watched)), Ok(0));
    let mut one = Iocb::poll(epoll, IN);
    t.is("nothing yet", submit_one(context, &mut one), Ok(1));
    t.is("written", write(writer, b"x"), Ok(1));
    t.ok("told", next(context).is_ok_and(|events| events & 1 == 1));
    for fd in [epoll, reader, writer] {
        close(fd);
    }
}

/// Waits for a count, which may come a little later.
fn count(event: i32) -> Result<Vec<u8>, i32> {
    let mut entry = libc::pollfd { fd: event, events: IN, revents: 0 };
    call!(poll(&mut entry, 1, 10_000))?;
    read::<8>(event)
}

fn counted(t: &mut Checks, context: i64) {
    let event = t.works("an eventfd", call!(eventfd(0, libc::EFD_NONBLOCK))) as i32;
    let (reader, writer) = pipe();
    let mut one = Iocb { flags: RESFD, resfd: event, ..Iocb::poll(reader, IN) };
    t.is("a poll", submit_one(context, &mut one), Ok(1));
    t.is("nothing is counted yet", read::<8>(event), Err(libc::EAGAIN));
    t.is("written", write(writer, b"x"), Ok(1));
    t.is("counted at once", read::<8>(event), Ok(1_u64.to_ne_bytes().to_vec()));
    t.ok("and complete", next(context).is_ok());
    t.is("read", read::<1>(reader), Ok(b"x".to_vec()));
    t.is("again", submit_one(context, &mut one), Ok(1));
    let pid = fork(|| {
        pause(20);
        i32::from(write(writer, b"x") != Ok(1))
    });
    t.is("who sleeps is woken", count(event), Ok(1_u64.to_ne_bytes().to_vec()));
    t.is("by a child", wait(pid), Ended::Exit(0));
    t.ok("complete", next(context).is_ok());
    t.is("read again", read::<1>(reader), Ok(b"x".to_vec()));

    // Each completion is what the next one waits for.
    let chain: Vec<i32> =
        (0..100).map(|_| call!(eventfd(0, libc::EFD_NONBLOCK)).unwrap_or(-1) as i32).collect();
    let mut polls: Vec<Iocb> = chain
        .windows(2)
        .map(|pair| Iocb { flags: RESFD, resfd: pair[1], ..Iocb::poll(pair[0], IN) })
        .collect();
    let mut list: Vec<_> = polls.iter_mut().collect();
    t.is("a chain", submit(context, &mut list), Ok(99));
    t.is("its beginning", write(chain[0], &1_u64.to_ne_bytes()), Ok(8));
    t.is("its end", count(chain[99]), Ok(1_u64.to_ne_bytes().to_vec()));
    let mut events = vec![Event::default(); 99];
    t.is("all are complete", get(context, 99, &mut events, Some(LONG)), Ok(99));
    chain.into_iter().for_each(close);
    for fd in [event, reader, writer] {
        close(fd);
    }
}

fn cancelled(t: &mut Checks, context: i64) {
    let (reader, writer) = pipe();
    let mut one = Iocb::poll(reader, IN);
    t.is("a poll", submit_one(context, &mut one), Ok(1));
    let nowhere = NOWHERE as i64;
    t.fails("no context", cancel(nowhere, &mut one), libc::EINVAL);
    let no_operation = sys(libc::SYS_io_cancel, [context, nowhere, 0]);
    t.fails("no operation", no_operation, libc::EFAULT);
    t.fails("another one", cancel(context, &mut one.clone()), libc::EINVAL);
    one.key = 1;
    t.fails("it is not the kernel's", cancel(context, &mut one), libc::EINVAL);
    one.key = 0;
    t.fails("cancelled", cancel(context, &mut one), libc::EINPROGRESS);
    t.is("so it is complete", next(context), Ok(0));
    t.fails("not once more", cancel(context, &mut one), libc::EINVAL);
    let mut none = Iocb::poll(reader, 0);
    t.is("a poll for nothing", submit_one(context, &mut none), Ok(1));
    t.is("written", write(writer, b"x"), Ok(1));
    t.ok("goes on", nothing(context));
    t.fails("until cancelled", cancel(context, &mut none), libc::EINPROGRESS);
    t.is("complete", next(context), Ok(0));
    close(reader);
    close(writer);
}

fn get_at(context: i64, min: i64, max: i64, timeout: i64) -> Called {
    let mut events = [Event::default(); 2];
    sys(libc::SYS_io_getevents, [context, min, max, address(&mut events), timeout])
}

fn times(t: &mut Checks, context: i64) {
    let mut now = AT_ONCE;
    let now = address(&mut now);
    t.fails("no context", get_at(NOWHERE as i64, 0, 1, now), libc::EINVAL);
    t.fails("more than there is room for", get_at(context, 2, 1, now), libc::EINVAL);
    t.fails("fewer than none", get_at(context, -1, 1, now), libc::EINVAL);
    t.fails("no room", get_at(context, 0, -1, now), libc::EINVAL);
    t.is("none", get_at(context, 0, 0, 0), Ok(0));
    t.fails("no time", get_at(context, 1, 1, NOWHERE as i64), libc::EFAULT);
    let mut events = [Event::default(); 2];
    let begin = Instant::now();
    t.is("some time", get(context, 1, &mut events, Some(SHORT)), Ok(0));
    t.ok("it passed", begin.elapsed() >= Duration::from_millis(20));
    let odd = libc::timespec { tv_sec: -1, tv_nsec: 1_020_000_000 };
    let begin = Instant::now();
    t.is("both fields count", get(context, 1, &mut events, Some(odd)), Ok(0));
    t.ok("their sum passed", begin.elapsed() >= Duration::from_millis(20));
    let zero = libc::timespec { tv_sec: -1, tv_nsec: 1_000_000_000 };
    t.is("a sum that is no time", get(context, 1, &mut events, Some(zero)), Ok(0));
    let (reader, writer) = pipe();
    let mut one = Iocb::poll(writer, OUT);
    t.is("one completes", submit_one(context, &mut one), Ok(1));
    t.is("when time is up there is one", get(context, 2, &mut events, Some(SHORT)), Ok(1));
    close(reader);
    close(writer);
}

extern "C" fn note(_signal: i32) {}

/// A signal comes soon, and again and again, as one that comes before the wait is of no use.
fn alarm(on: bool) {
    let span = libc::timeval { tv_sec: 0, tv_usec: if on { 20_000 } else { 0 } };
    let timer = libc::itimerval { it_interval: span, it_value: span };
    let _ = call!(setitimer(libc::ITIMER_REAL, &timer, null_mut()));
}

fn signals(t: &mut Checks, context: i64) {
    // SAFETY: all zeroes is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = note as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    t.is("a handler", call!(sigaction(libc::SIGALRM, &action, null_mut())), Ok(0));
    let mut events = [Event::default(); 2];
    alarm(true);
    t.fails("not restarted", get(context, 1, &mut events, None), libc::EINTR);
    let negative = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    t.fails(
        "a negative time does not end",
        get(context, 1, &mut events, Some(negative)),
        libc::EINTR,
    );
    let (reader, writer) = pipe();
    let mut one = Iocb::poll(writer, OUT);
    t.is("one completes", submit_one(context, &mut one), Ok(1));
    t.is("a signal ends the wait for another", get(context, 2, &mut events, None), Ok(1));
    let mut buffer = [0; 4];
    let interrupted = result(context, Iocb::read(reader, &mut buffer, 0));
    t.is("a read that waits", interrupted, Ok(-i64::from(libc::EINTR)));
    alarm(false);
    close(reader);
    close(writer);
}

/// `io_pgetevents` without time: `size` of a mask.
fn pget(context: i64, mask: i64, size: i64, timeout: Option<libc::timespec>) -> Called {
    let mut events = [Event::default()];
    let (mut timeout, mut set) = (timeout, [mask, size]);
    let time = timeout.as_mut().map_or(0, address);
    let rest = [address(&mut events), time, address(&mut set)];
    sys(IO_PGETEVENTS, [context, 1, 1, rest[0], rest[1], rest[2]])
}

fn masks(t: &mut Checks, context: i64) {
    let (mut none, mut alarms) = (0_u64, 1_u64 << (libc::SIGALRM - 1));
    let (none, alarms) = (address(&mut none), address(&mut alarms));
    let nowhere = NOWHERE as i64;
    t.is("a mask", pget(context, none, 8, Some(AT_ONCE)), Ok(0));
    t.fails("no context", pget(nowhere, none, 8, Some(AT_ONCE)), libc::EINVAL);
    t.fails("a short mask", pget(context, none, 4, Some(AT_ONCE)), libc::EINVAL);
    t.is("none, and its size", pget(context, 0, 4, Some(AT_ONCE)), Ok(0));
    t.fails("no mask there", pget(context, nowhere, 8, Some(AT_ONCE)), libc::EFAULT);
    let arguments = [context, 0, 1, 0, 0];
    let [a, b, c, d, e] = arguments;
    t.fails("nor its address", sys(IO_PGETEVENTS, [a, b, c, d, e, nowhere]), libc::EFAULT);
    t.fails("no time there", sys(IO_PGETEVENTS, [a, b, c, d, nowhere, 0]), libc::EFAULT);
    alarm(true);
    t.is("blocked meanwhile", pget(context, alarms, 8, Some(SHORT)), Ok(0));
    let _ = sys(libc::SYS_rt_sigprocmask, [libc::SIG_BLOCK.into(), alarms, 0, 8]);
    t.fails("only meanwhile not", pget(context, none, 8, None), libc::EINTR);
    pause(50);
    alarm(false);
    t.fails("pending before", pget(context, none, 8, Some(AT_ONCE)), libc::EINTR);
    let _ = sys(libc::SYS_rt_sigprocmask, [libc::SIG_UNBLOCK.into(), alarms, 0, 8]);
}

/// A child's write completes a parent's poll, and a thread gets what another one submits.
fn by_others(t: &mut Checks, context: i64) {
    let (reader, writer) = pipe();
    let mut one = Iocb::poll(reader, IN);
    t.is("a poll", submit_one(context, &mut one), Ok(1));
    let pid = fork(|| {
        pause(20);
        i32::from(write(writer, b"x") != Ok(1))
    });
    t.ok("completed by a child", next(context).is_ok_and(|events| events & 1 == 1));
    t.is("it ends", wait(pid), Ended::Exit(0));
    let waiting = std::thread::spawn(move || next(context));
    pause(20);
    let mut again = Iocb::poll(writer, OUT);
    t.is("another thread's", submit_one(context, &mut again), Ok(1));
    t.is("is got by one that waits", waiting.join().ok(), Some(Ok(OUT.into())));
    close(reader);
    close(writer);
}

/// Contexts that end with polls in flight, or threads that wait.
fn ended(t: &mut Checks) {
    let context = t.works("a context", setup(1));
    let event = t.works("an eventfd", call!(eventfd(0, libc::EFD_NONBLOCK))) as i32;
    let (reader, writer) = pipe();
    let mut one = Iocb { flags: RESFD, resfd: event, ..Iocb::poll(reader, IN) };
    t.is("a poll", submit_one(context, &mut one), Ok(1));
    let waiting = std::thread::spawn(move || get(context, 2, &mut [Event::default(); 2], None));
    pause(20);
    t.is("destroyed", destroy(context), Ok(0));
    t.is("the poll has completed", count(event), Ok(1_u64.to_ne_bytes().to_vec()));
    let ended = waiting.join();
    t.ok("nobody waits", ended.is_ok_and(|got| matches!(got, Ok(1) | Err(libc::EINVAL))));
    t.is("written", write(writer, b"x"), Ok(1));
    t.is("nobody is told", read::<8>(event), Err(libc::EAGAIN));
    close(reader);
    close(writer);

    // The same by the end of the process.
    let (reader, writer) = pipe();
    let pid = fork(|| {
        let Ok(context) = setup(1) else { return 1 };
        let mut one = Iocb::poll(reader, IN);
        i32::from(submit_one(context, &mut one) != Ok(1))
    });
    t.is("a child ends", wait(pid), Ended::Exit(0));
    close(reader);
    let _ = call!(signal(libc::SIGPIPE, libc::SIG_IGN));
    let gone = lx_guest_tests::until(|| write(writer, b"x") == Err(libc::EPIPE));
    t.ok("and holds the pipe no more", gone);
    close(writer);
    close(event);
}
