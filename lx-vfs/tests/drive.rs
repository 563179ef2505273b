//! Drives: names whatever their case, modes from options or from what is stored beside a file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use common::World;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::RenameFlags;
use lx_core::host::{HostMetadata, HostStorage};
use lx_vfs::inode::SetAttr;
use lx_vfs::path::Lookup;

const NONE: RenameFlags = RenameFlags::empty();

fn set_attr(w: &World, path: &str, change: &SetAttr) {
    let caller = w.caller();
    let path = w.fs.lookup(&caller, None, path.as_bytes(), Lookup::FOLLOW).unwrap();
    path.inode().set_attr(&caller, change).unwrap();
}

#[test]
fn names_are_found_whatever_their_case_and_kept() {
    let w = World::drive("");
    assert_eq!(w.stat("/etc/New").unwrap_err().errno(), Errno::ENOENT);
    w.write("/ETC/new", b"1");
    assert_eq!(w.read("/etc/New").unwrap(), b"1");
    assert_eq!(w.stat("/etc/NEW").unwrap().ino, w.stat("/Etc/new").unwrap().ino);
    assert_eq!(w.list("/etc"), ["empty", "new", "passwd"]);
    w.unlink("/etc/nEw").unwrap();
    assert_eq!(w.stat("/etc/NEW").unwrap_err().errno(), Errno::ENOENT);
    assert_eq!(w.mkdir("/ETC").unwrap_err().errno(), Errno::EEXIST);
}

#[test]
fn a_name_can_be_spelled_otherwise() {
    let w = World::drive("");
    w.write("/etc/name", b"x");
    let ino = w.stat("/etc/name").unwrap().ino;
    w.rename("/etc/name", "/etc/Name", NONE).unwrap();
    assert_eq!(w.list("/etc"), ["Name", "empty", "passwd"]);
    assert_eq!(w.stat("/etc/name").unwrap().ino, ino);
    w.rename("/etc/NAME", "/etc/PASSWD", NONE).unwrap();
    assert_eq!(w.list("/etc"), ["PASSWD", "empty"]);
    assert_eq!(w.read("/etc/passwd").unwrap(), b"x");
}

#[test]
fn without_metadata_only_write_protection_is_kept() {
    let w = World::drive("uid=1000,gid=1001,umask=022,fmask=100");
    let passwd = w.stat("/etc/passwd").unwrap();
    assert_eq!((passwd.mode, passwd.uid, passwd.gid), (0o100_655, 1000, 1001));
    assert_eq!(w.stat("/etc").unwrap().mode, 0o040_755);
    let change = SetAttr { mode: Some(0o400), uid: Some(3), ..SetAttr::default() };
    set_attr(&w, "/etc/passwd", &change);
    let passwd = w.stat("/etc/passwd").unwrap();
    assert_eq!((passwd.mode, passwd.uid), (0o100_455, 1000));
    set_attr(&w, "/etc/passwd", &SetAttr { mode: Some(0o600), ..SetAttr::default() });
    assert_eq!(w.stat("/etc/passwd").unwrap().mode, 0o100_655);
    let stored = w.host.metadata(&w.host.open_root(b"/etc").unwrap(), b"passwd").unwrap();
    assert_eq!(stored, HostMetadata::default());
}

#[test]
fn metadata_is_kept_beside_the_file() {
    let w = World::drive("metadata");
    assert_eq!(w.stat("/etc/passwd").unwrap().mode, 0o100_777);
    let change = SetAttr { mode: Some(0o4700), gid: Some(8), ..SetAttr::default() };
    set_attr(&w, "/etc/passwd", &change);
    let passwd = w.stat("/etc/passwd").unwrap();
    assert_eq!((passwd.mode, passwd.uid, passwd.gid), (0o104_700, 0, 8));
    w.write("/etc/new", b"");
    let etc = w.host.open_root(b"/etc").unwrap();
    let stored = w.host.metadata(&etc, b"new").unwrap();
    assert_eq!((stored.mode, stored.uid, stored.rdev), (Some(0o100_644), Some(0), None));
}
