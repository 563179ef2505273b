use alloc::sync::Arc;

use lx_core::abi::Errno;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::error::SysError;
use lx_core::file::OpenFile;

use super::{Kind, Range, conflicting_record, descriptor_closed, flock, owner, set_record};
use crate::pipe;
use crate::test_support::Tester;

const ALL: Range = Range { start: 0, end: Range::END };

fn errno(errno: Errno) -> Result<(), SysError> {
    Err(SysError::Errno(errno))
}

/// Two descriptions of one file: the ends of a pipe have an inode in common.
fn files(t: &Tester) -> (Arc<OpenFile>, Arc<OpenFile>) {
    pipe::new_pair(&t.caller(), OpenFlags::empty()).unwrap()
}

#[test]
fn flock_belongs_to_the_description_and_ends_with_it() {
    let t = Tester::new();
    let (a, b) = files(&t);
    assert_eq!(flock(&t.caller(), &a, Some(false), false), Ok(()));
    assert_eq!(flock(&t.caller(), &b, Some(false), false), Ok(()));
    assert_eq!(flock(&t.caller(), &b, Some(true), false), errno(Errno::EAGAIN));
    // The failed conversion has cost the shared lock.
    assert_eq!(flock(&t.caller(), &a, Some(true), false), Ok(()));
    assert_eq!(flock(&t.caller(), &b, Some(false), false), errno(Errno::EAGAIN));
    drop(a);
    assert_eq!(flock(&t.caller(), &b, Some(true), false), Ok(()));
    assert_eq!(flock(&t.caller(), &b, None, false), Ok(()));
}

#[test]
fn record_locks_belong_to_the_process_and_end_when_it_closes_the_file() {
    let t = Tester::new();
    let (a, b) = files(&t);
    let other = t.sibling(2);
    let mine = owner(&t.caller(), &a, false);
    let theirs = owner(&other.caller(), &b, false);
    let write = Some(Kind::Write);
    assert_eq!(set_record(&t.caller(), &a, mine, write, ALL, false), Ok(()));
    assert_eq!(set_record(&t.caller(), &b, mine, write, ALL, false), Ok(()));
    let refused = set_record(&other.caller(), &b, theirs, write, ALL, false);
    assert_eq!(refused, errno(Errno::EAGAIN));
    let found = conflicting_record(&other.caller(), &b, theirs, Kind::Read, ALL).unwrap();
    assert_eq!(found.map(|record| record.owner), Some(mine));
    // Any description of the file will do, as POSIX wants it.
    descriptor_closed(&t.caller(), &b);
    assert_eq!(set_record(&other.caller(), &b, theirs, write, ALL, false), Ok(()));
    assert_eq!(set_record(&other.caller(), &b, theirs, None, ALL, false), Ok(()));
}

#[test]
fn locks_of_a_description_end_with_it() {
    let t = Tester::new();
    let (a, b) = files(&t);
    let (first, second) = (owner(&t.caller(), &a, true), owner(&t.caller(), &b, true));
    let write = Some(Kind::Write);
    assert_eq!(set_record(&t.caller(), &a, first, write, ALL, false), Ok(()));
    let refused = set_record(&t.caller(), &b, second, write, ALL, false);
    assert_eq!(refused, errno(Errno::EAGAIN));
    drop(a);
    assert_eq!(set_record(&t.caller(), &b, second, write, ALL, false), Ok(()));
}

#[test]
fn a_waiter_gets_the_lock_and_a_circle_is_refused() {
    let t = Tester::new();
    let (a, b) = files(&t);
    let low = Range { start: 0, end: 9 };
    let high = Range { start: 10, end: 19 };
    let write = Some(Kind::Write);
    let mine = owner(&t.caller(), &a, false);
    set_record(&t.caller(), &a, mine, write, low, false).unwrap();
    let file = Arc::clone(&b);
    t.spawn(2, move |t| {
        let me = owner(&t.caller(), &file, false);
        set_record(&t.caller(), &file, me, write, high, false).unwrap();
        assert_eq!(set_record(&t.caller(), &file, me, write, low, true), Ok(()));
        set_record(&t.caller(), &file, me, None, ALL, false).unwrap();
    });
    // Whoever comes second closes the circle; the other one then gets what it waits for.
    match set_record(&t.caller(), &a, mine, write, high, true) {
        Ok(()) => {}
        Err(error) => assert_eq!(error, SysError::Errno(Errno::EDEADLK)),
    }
    set_record(&t.caller(), &a, mine, None, ALL, false).unwrap();
    assert_eq!(set_record(&t.caller(), &a, mine, write, ALL, true), Ok(()));
    set_record(&t.caller(), &a, mine, None, ALL, false).unwrap();
}
