//! The shortcut to files keeps none open, and shows every change of the table at once.
#![expect(clippy::unwrap_used, reason = "a failed step ends the test")]

use std::sync::Arc;

use host_mock::MockHost;
use lx_core::abi::Fd;
use lx_core::abi::fcntl::OpenFlags;
use lx_core::fd_cache::FdCache;
use lx_core::fd_table::FdTable;
use lx_core::file::OpenFile;
use lx_vfs::eventfd;

fn open(table: &FdTable) -> (Fd, Arc<OpenFile>) {
    let file = eventfd::open(0, false, OpenFlags::empty());
    (table.reserve(0, 100, false).unwrap().install(Arc::clone(&file)), file)
}

fn is(cache: &FdCache, table: &FdTable, fd: Fd, file: &Arc<OpenFile>) -> bool {
    cache.get(table, fd).is_some_and(|found| core::ptr::eq(&*found, &**file))
}

#[test]
fn a_kept_file_is_found_until_its_descriptor_changes() {
    let _host = MockHost::new(1);
    let (cache, table) = (FdCache::default(), FdTable::new());
    table.join();
    let files: Vec<_> = (0..6).map(|_| open(&table)).collect();
    for _ in 0..3 {
        for (fd, file) in &files {
            assert!(is(&cache, &table, *fd, file));
        }
    }
    let (fd, old) = &files[1];
    let (_, other) = &files[2];
    drop(table.replace(*fd, 100, Arc::clone(other), false).unwrap());
    assert!(is(&cache, &table, *fd, other));
    drop(table.remove(*fd).unwrap());
    assert!(cache.get(&table, *fd).is_none());
    cache.clear();
    assert_eq!(Arc::strong_count(old), 1);
}

#[test]
fn a_file_that_is_closed_during_a_call_is_not_kept() {
    let _host = MockHost::new(1);
    let (cache, table) = (FdCache::default(), FdTable::new());
    table.join();
    let (fd, file) = open(&table);
    let used = cache.get(&table, fd).unwrap();
    drop(table.remove(fd).unwrap());
    drop(used);
    assert_eq!(Arc::strong_count(&file), 1);
}

#[test]
fn a_shared_table_and_another_table_are_not_mixed_up() {
    let _host = MockHost::new(1);
    let (cache, table) = (FdCache::default(), FdTable::new());
    table.join();
    let (fd, file) = open(&table);
    assert!(is(&cache, &table, fd, &file));
    let copy = table.duplicate();
    copy.join();
    let (_, other) = open(&copy);
    drop(copy.replace(fd, 100, Arc::clone(&other), false).unwrap());
    assert!(is(&cache, &copy, fd, &other));
    assert!(is(&cache, &table, fd, &file));
    cache.clear();
    table.join();
    drop(cache.get(&table, fd).unwrap());
    assert_eq!(Arc::strong_count(&file), 2, "this one and the table's");
}
