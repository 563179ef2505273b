//! Queues, without a guest.

extern crate std;

use alloc::string::ToString;
use std::sync::mpsc;

use lx_core::SysError;
use lx_core::rlimit::Resource;

use super::*;
use crate::test_support::Tester;

fn how(flags: OpenFlags, room: Option<(i64, i64)>) -> OpenQueue {
    OpenQueue { flags, mode: 0o600, umask: 0, room }
}

fn create(t: &Tester, queues: &MessageQueues, room: (i64, i64)) -> Arc<Queue> {
    let flags = OpenFlags::O_RDWR | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
    let file = queues.open(&t.caller(), b"queue", &how(flags, Some(room))).unwrap();
    Arc::clone(QueueFile::queue_of(&file).unwrap())
}

fn message(priority: u32, text: &str) -> Message {
    Message { priority, text: text.into() }
}

const NOW: Turn = Turn { nonblocking: true, deadline: None, rank: 20 };
const WAIT: Turn = Turn { nonblocking: false, ..NOW };

#[test]
fn messages_come_by_priority_and_then_as_they_came() {
    let t = Tester::new();
    let queue = create(&t, &MessageQueues::new(t.host), (4, 8));
    for (priority, text) in [(1, "a"), (7, "b"), (1, "c"), (7, "d")] {
        assert_eq!(queue.send(&t.caller(), message(priority, text), NOW), Ok(()));
    }
    assert_eq!(queue.send(&t.caller(), message(9, "e"), NOW), Err(Errno::EAGAIN.into()));
    assert!(queue.text().starts_with("QSIZE:4          NOTIFY:0     "));
    for (priority, text) in [(7, "b"), (7, "d"), (1, "a"), (1, "c")] {
        assert_eq!(queue.receive(&t.caller(), NOW), Ok(message(priority, text)));
    }
    assert_eq!(queue.receive(&t.caller(), NOW), Err(Errno::EAGAIN.into()));
}

#[test]
fn what_an_interrupted_call_has_not_sent_is_not_in_the_queue() {
    let t = Tester::new();
    let queue = create(&t, &MessageQueues::new(t.host), (1, 8));
    t.interrupt();
    assert_eq!(queue.receive(&t.caller(), WAIT), Err(SysError::Restart));
    assert_eq!(queue.send(&t.caller(), message(0, "first"), NOW), Ok(()));
    assert_eq!(queue.send(&t.caller(), message(9, "second"), WAIT), Err(SysError::Restart));
    assert_eq!(queue.receive(&t.caller(), NOW), Ok(message(0, "first")));
    assert_eq!(queue.receive(&t.caller(), NOW), Err(Errno::EAGAIN.into()));
}

#[test]
fn nothing_is_given_to_a_thread_that_has_died() {
    let t = Tester::new();
    let queues = MessageQueues::new(t.host);
    let queue = create(&t, &queues, (1, 8));
    let dead = Arc::new(Waiter::new());
    queue.wait_as(&dead);
    queues.forget_waiter(&dead);
    assert_eq!(queue.send(&t.caller(), message(0, "left"), NOW), Ok(()));
    assert_eq!(queue.receive(&t.caller(), NOW), Ok(message(0, "left")));
}

#[test]
fn a_closed_queue_gives_back_what_it_took() {
    let t = Tester::new();
    let queues = MessageQueues::new(t.host);
    t.caller().rlimits.set(Resource::Msgqueue, 200, 200);
    let flags = OpenFlags::O_RDWR | OpenFlags::O_CREAT;
    let open = |name: &str| {
        queues.open(&t.caller(), name.as_bytes(), &how(flags, Some((1, 100)))).map(drop)
    };
    assert_eq!(open("first"), Ok(()));
    assert_eq!(open("second"), Err(Errno::EMFILE.into()));
    assert_eq!(queues.unlink(&t.caller(), b"first"), Ok(()));
    assert_eq!(open("second"), Ok(()));
    assert_eq!(queues.fs.shared.all().len(), 1);
}

/// Says what it is told.
struct Told(mpsc::Sender<std::string::String>);

impl Notification for Told {
    fn shown(&self) -> (u32, i32) {
        (0, 10)
    }

    fn arrived(&self, caller: &Caller<'_>) {
        self.0.send(caller.tgid.to_string()).unwrap();
    }

    fn removed(&self) {
        self.0.send("removed".into()).unwrap();
    }
}

#[test]
fn one_process_is_told_once() {
    let t = Tester::new();
    let queues = MessageQueues::new(t.host);
    let queue = create(&t, &queues, (4, 8));
    let (sender, told) = mpsc::channel();
    let new = || alloc::boxed::Box::new(Told(sender.clone()));
    assert_eq!(queue.notify(&t.caller(), new()), Ok(()));
    assert_eq!(queue.notify(&t.sibling(2).caller(), new()), Err(Errno::EBUSY.into()));
    assert!(queue.text().contains("SIGNO:10    NOTIFY_PID:1 "));
    queue.send(&t.sibling(3).caller(), message(0, "x"), NOW).unwrap();
    queue.send(&t.sibling(3).caller(), message(0, "y"), NOW).unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["3"]);
    assert_eq!(queue.notify(&t.caller(), new()), Ok(()));
    queue.stop_notifying(&t.sibling(2).caller());
    assert_eq!(told.try_iter().count(), 0);
    queues.forget_process(1);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["removed"]);
}
