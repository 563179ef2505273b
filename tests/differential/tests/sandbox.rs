//! Nothing of the machine can be seen from the native child.

use lx_differential_tests::call::{Arg, Call, Shape};
use lx_differential_tests::mock::Root;
use lx_differential_tests::native;
use lx_differential_tests::normal::Normal;

#[test]
fn the_native_child_has_nothing_outside_its_root() {
    if !native::is_possible() {
        return;
    }
    let text = |text: &str| Arg::Str(text.into());
    let calls = [
        Call::new("mkdir", libc::SYS_mkdir, vec![text("a"), Arg::Int(0o755)]),
        Call::new("chroot", libc::SYS_chroot, vec![text("a")]),
        Call::new("chdir", libc::SYS_chdir, vec![text("..")]),
        Call::new("open", libc::SYS_open, vec![text("../.."), Arg::Int(0)]),
        Call::new(
            "getdents64",
            libc::SYS_getdents64,
            vec![Arg::Int(0), Arg::Out(Shape::Dirents, 4096), Arg::Int(4096)],
        ),
    ];
    let results = native::run(&[], &calls).expect("the child");
    let lines = Normal::lines(Root::Tmpfs, &calls, &results);
    let listing = lines.last().map(String::as_str).unwrap_or_default();
    assert!(listing.starts_with("72 "), "{lines:?}");
    assert!(listing.contains("\"a ino"), "{lines:?}");
}
