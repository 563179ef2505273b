//! `mount(2)` and `umount2(2)`.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{call, read_file, run};
use host_mock::Guest;
use lx_core::abi::Errno;

const MS_RDONLY: u64 = 1;
const MS_REMOUNT: u64 = 32;
const MS_BIND: u64 = 4096;

fn failure(errno: Errno) -> i64 {
    errno.as_return() as i64
}

fn mount(guest: &mut Guest, source: &str, target: &str, kind: &str, flags: u64, data: &str) -> i64 {
    let args = [source, target, kind].map(|text| guest.put_str(text));
    let data = guest.put_str(data);
    call(guest, 165, &[args[0], args[1], args[2], flags, data])
}

fn by_path(guest: &mut Guest, number: u32, path: &str, argument: u64) -> i64 {
    let path = guest.put_str(path);
    call(guest, number, &[path, argument])
}

#[test]
fn file_systems_come_and_go() {
    run(1, |guest, _| {
        for dir in ["/a", "/b", "/proc"] {
            assert_eq!(by_path(guest, 83, dir, 0o755), 0);
        }
        assert_eq!(mount(guest, "none", "/a", "ext9", 0, ""), failure(Errno::ENODEV));
        assert_eq!(mount(guest, "none", "/a", "tmpfs", 0, "what"), failure(Errno::EINVAL));
        assert_eq!(mount(guest, "none", "/none", "tmpfs", 0, ""), failure(Errno::ENOENT));
        assert_eq!(mount(guest, "mem", "/a", "tmpfs", 0, "mode=700,uid=5"), 0);
        assert_eq!(by_path(guest, 83, "/a/in", 0o755), 0);
        assert_eq!(mount(guest, "/a", "/b", "", MS_BIND, ""), 0);
        assert_eq!(by_path(guest, 84, "/b/in", 0), 0);
        assert_eq!(mount(guest, "", "/b", "", MS_REMOUNT | MS_BIND | MS_RDONLY, ""), 0);
        assert_eq!(by_path(guest, 83, "/b/in", 0o755), failure(Errno::EROFS));
        assert_eq!(by_path(guest, 83, "/a/in", 0o755), 0);
        assert_eq!(mount(guest, "proc", "/proc", "proc", 0, ""), 0);
        let mounts = read_file(guest, "/proc/mounts").expect("mounts");
        assert!(mounts.contains("mem /a tmpfs rw"), "{mounts}");
        assert!(mounts.contains("mem /b tmpfs ro"), "{mounts}");
        assert_eq!(by_path(guest, 166, "/b", 0), 0);
        assert_eq!(by_path(guest, 166, "/b", 0), failure(Errno::EINVAL));
        assert_eq!(by_path(guest, 80, "/a", 0), 0);
        assert_eq!(by_path(guest, 166, "/a", 0), failure(Errno::EBUSY));
        assert_eq!(by_path(guest, 166, "/a", 2), 0);
    });
}
