use alloc::vec;
use alloc::vec::Vec;

use lx_core::abi::fcntl::OpenFlags;
use lx_core::abi::poll::EpollEvents;
use lx_core::abi::{Errno, Fd};
use lx_core::error::SysError;
use lx_core::poll::PollEvents;

use super::{Epoll, Events, instance, open};
use crate::eventfd;
use crate::pipe::new_pair;
use crate::poll::{PollEntry, Timeout};
use crate::test_support::Tester;

const IN: EpollEvents = EpollEvents::EPOLLIN;

fn ready(t: &Tester, epoll: &Epoll) -> Vec<u64> {
    let mut events = Events::new();
    epoll.wait(&t.caller(), 8, Timeout::Now, &mut events).unwrap();
    events.iter().map(|event| event.data).collect()
}

#[test]
fn level_triggered_reports_as_long_as_there_is_something() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), OpenFlags::O_NONBLOCK).unwrap();
    let epoll = instance(&open()).unwrap();
    epoll.add(&t.caller(), Fd(3), &r, IN, 7).unwrap();
    assert_eq!(ready(&t, &epoll), vec![]);
    t.write(&w, b"ab").unwrap();
    assert_eq!(ready(&t, &epoll), vec![7]);
    assert_eq!(ready(&t, &epoll), vec![7]);
    t.read(&r, 9).unwrap();
    assert_eq!(ready(&t, &epoll), vec![]);
    drop(w);
    assert_eq!(ready(&t, &epoll), vec![7]);
}

#[test]
fn edge_triggered_reports_each_write_once() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), OpenFlags::O_NONBLOCK).unwrap();
    let epoll = instance(&open()).unwrap();
    epoll.add(&t.caller(), Fd(3), &r, IN | EpollEvents::EPOLLET, 7).unwrap();
    for _ in 0..3 {
        t.write(&w, b"a").unwrap();
        assert_eq!(ready(&t, &epoll), vec![7]);
        assert_eq!(ready(&t, &epoll), vec![]);
    }
    // A change of the item asks again.
    epoll.modify(&t.caller(), Fd(3), &r, IN | EpollEvents::EPOLLET, 8).unwrap();
    assert_eq!(ready(&t, &epoll), vec![8]);
}

#[test]
fn one_shot_reports_until_rearmed() {
    let t = Tester::new();
    let event = eventfd::open(1, false, OpenFlags::empty());
    let epoll = instance(&open()).unwrap();
    let events = IN | EpollEvents::EPOLLONESHOT;
    epoll.add(&t.caller(), Fd(3), &event, events, 7).unwrap();
    assert_eq!(ready(&t, &epoll), vec![7]);
    t.write(&event, &1_u64.to_ne_bytes()).unwrap();
    assert_eq!(ready(&t, &epoll), vec![]);
    epoll.modify(&t.caller(), Fd(3), &event, events, 7).unwrap();
    assert_eq!(ready(&t, &epoll), vec![7]);
}

#[test]
fn closing_the_file_removes_the_item() {
    let t = Tester::new();
    let (r, w) = new_pair(&t.caller(), OpenFlags::O_NONBLOCK).unwrap();
    let epoll = instance(&open()).unwrap();
    epoll.add(&t.caller(), Fd(3), &r, IN, 7).unwrap();
    t.write(&w, b"a").unwrap();
    drop(r);
    assert_eq!(t.write(&w, b"a"), Err(SysError::Errno(Errno::EPIPE)));
    assert_eq!(ready(&t, &epoll), vec![]);
    assert!(epoll.interest.lock().entries.is_empty());
}

#[test]
fn errors() {
    let t = Tester::new();
    let event = eventfd::open(1, false, OpenFlags::empty());
    let epoll = instance(&open()).unwrap();
    let errno = |errno| Err(SysError::Errno(errno));
    assert_eq!(epoll.remove(Fd(3), &event), errno(Errno::ENOENT));
    assert_eq!(epoll.modify(&t.caller(), Fd(3), &event, IN, 0), errno(Errno::ENOENT));
    assert_eq!(epoll.add(&t.caller(), Fd(3), &event, IN, 0), Ok(()));
    assert_eq!(epoll.add(&t.caller(), Fd(3), &event, IN, 0), errno(Errno::EEXIST));
    assert_eq!(epoll.add(&t.caller(), Fd(4), &event, IN, 0), Ok(()));
    assert_eq!(epoll.remove(Fd(3), &event), Ok(()));
    assert_eq!(ready(&t, &epoll), vec![0]);
}

#[test]
fn instances_nest_without_loops() {
    let t = Tester::new();
    let event = eventfd::open(0, false, OpenFlags::empty());
    let (inner_file, outer_file) = (open(), open());
    let (inner, outer) = (instance(&inner_file).unwrap(), instance(&outer_file).unwrap());
    inner.add(&t.caller(), Fd(3), &event, IN, 1).unwrap();
    outer.add(&t.caller(), Fd(4), &inner_file, IN, 2).unwrap();
    let looped = inner.add(&t.caller(), Fd(5), &outer_file, IN, 3);
    assert_eq!(looped, Err(SysError::Errno(Errno::ELOOP)));
    let own = inner.add(&t.caller(), Fd(4), &inner_file, IN, 3);
    assert_eq!(own, Err(SysError::Errno(Errno::EINVAL)));
    assert_eq!(ready(&t, &outer), vec![]);
    t.write(&event, &5_u64.to_ne_bytes()).unwrap();
    assert_eq!(ready(&t, &outer), vec![2]);
    assert_eq!(ready(&t, &inner), vec![1]);
    t.read(&event, 8).unwrap();
    assert_eq!(ready(&t, &outer), vec![]);

    // A chain of five is the longest, from whichever end it is made.
    let chain: Vec<_> = (0..7).map(|_| open()).collect();
    let link = |watcher: usize, watched: usize| {
        instance(&chain[watcher]).unwrap().add(&t.caller(), Fd(9), &chain[watched], IN, 0).is_ok()
    };
    assert!(link(1, 2) && link(0, 1) && link(2, 3) && link(3, 4));
    assert!(!link(4, 5) && !link(5, 0));
    assert!(link(5, 1));
    // Links that are gone do not count.
    instance(&chain[2]).unwrap().remove(Fd(9), &chain[3]).unwrap();
    assert!(link(4, 5));
}

#[test]
fn waiting_ends_with_an_event_a_signal_or_the_time() {
    let t = Tester::new();
    let event = eventfd::open(0, false, OpenFlags::empty());
    let epoll = instance(&open()).unwrap();
    epoll.add(&t.caller(), Fd(3), &event, IN, 1).unwrap();
    let mut events = Events::new();
    let timeout = Timeout::after(&t.caller(), Some(1_000_000));
    assert_eq!(epoll.wait(&t.caller(), 1, timeout, &mut events), Ok(()));
    assert!(events.is_empty());

    let other = event.clone();
    t.spawn(2, move |t| {
        t.write(&other, &1_u64.to_ne_bytes()).unwrap();
    });
    assert_eq!(epoll.wait(&t.caller(), 1, Timeout::Never, &mut events), Ok(()));
    assert_eq!(events.len(), 1);

    t.read(&event, 8).unwrap();
    let mut entries = [PollEntry::new(event.clone(), PollEvents::POLLIN)];
    let timeout = Timeout::after(&t.caller(), Some(1_000_000));
    assert_eq!(crate::poll::wait(&t.caller(), &mut entries, timeout), Ok(0));
    t.interrupt();
    events.clear();
    let result = epoll.wait(&t.caller(), 1, Timeout::Never, &mut events);
    assert_eq!(result, Err(SysError::Errno(Errno::EINTR)));
    let result = crate::poll::wait(&t.caller(), &mut entries, Timeout::Never);
    assert_eq!(result, Err(SysError::RestartNoHandler));
    let entry = PollEntry::not_open();
    assert_eq!(crate::poll::wait(&t.caller(), &mut [entry], Timeout::Never), Ok(1));
}
