//! The dentry cache does not grow without end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use common::World;
use lx_vfs::dentry;
use lx_vfs::inode::NewKind;

#[test]
fn unused_dentries_are_dropped() {
    let w = World::tmpfs();
    w.mkdir("/used").unwrap();
    let held = w.open("/used", lx_core::abi::fcntl::OpenFlags::O_DIRECTORY).unwrap();
    for dir in 0..210 {
        w.mkdir(&format!("/d{dir}")).unwrap();
        for file in 0..1000 {
            w.make(&format!("/d{dir}/f{file}"), NewKind::Regular).unwrap();
            // Found again, which is when the cache looks at its size.
            w.stat(&format!("/d{dir}/none")).unwrap_err();
        }
        w.stat(&format!("/d{dir}/missing")).unwrap_err();
    }
    assert!(dentry::count() < 205_000, "{}", dentry::count());
    assert!(w.stat("/d0/f0").is_ok());
    let place = lx_vfs::location::Path::of(&held).unwrap();
    let again = w.fs.lookup(&w.caller(), None, b"/used", lx_vfs::path::Lookup::FOLLOW).unwrap();
    assert!(std::sync::Arc::ptr_eq(&place.dentry, &again.dentry));
}
