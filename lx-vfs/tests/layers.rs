//! Host directories, and overlays of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use common::World;
use host_mock::MockNode;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags};
use lx_core::file::MapSource;
use lx_core::host::HostStorage;
use lx_core::io::IoSrc;
use lx_vfs::inode::{NewKind, SetAttr};
use lx_vfs::path::Lookup;

const NONE: RenameFlags = RenameFlags::empty();
const NEVER_CHANGED: &[u8] = b"root:x:0:0\n";

/// What the host itself has at `/etc/passwd`.
fn host_passwd_size(w: &World) -> u64 {
    let root = w.host.open_root(b"/etc").unwrap();
    w.host.stat(&root, b"passwd").unwrap().size
}

#[test]
fn reading_through() {
    for w in [World::overlay(), World::hostfs()] {
        assert_eq!(w.read("/etc/passwd").unwrap(), NEVER_CHANGED);
        assert_eq!(w.read("/bin/true").unwrap(), vec![7; 100_000]);
        assert_eq!(w.resolve("/bin/true"), "/usr/bin/true");
        assert_eq!(w.list("/"), ["bin", "etc", "usr"]);
        assert_eq!(w.stat("/etc/none").unwrap_err().errno(), Errno::ENOENT);
        let file = w.open("/usr/bin/true", OpenFlags::empty()).unwrap();
        let source = file.ops().map_source(&w.caller(), &file, false).unwrap();
        assert!(matches!(source, MapSource::Host(_)));
    }
}

#[test]
fn writes_to_an_overlay_stay_in_memory() {
    let w = World::overlay();
    let ino = w.stat("/etc/passwd").unwrap().ino;
    let reader = w.open("/etc/passwd", OpenFlags::empty()).unwrap();
    let writer = w.open("/etc/passwd", OpenFlags::O_WRONLY | OpenFlags::O_APPEND).unwrap();
    writer.write(&w.caller(), &mut IoSrc::kernel(b"me\n")).unwrap();
    let expected = [NEVER_CHANGED, b"me\n"].concat();
    assert_eq!(w.read("/etc/passwd").unwrap(), expected);
    // Who had it open before sees the change, too.
    assert_eq!(common::read_all(&w, &reader).unwrap(), expected);
    assert_eq!(w.stat("/etc/passwd").unwrap().ino, ino);
    assert_eq!(host_passwd_size(&w), NEVER_CHANGED.len() as u64);
    w.write("/etc/new", b"new");
    w.mkdir("/etc/dir").unwrap();
    assert_eq!(w.list("/etc"), ["dir", "empty", "new", "passwd"]);
}

#[test]
fn attributes_change_without_copying_data() {
    let w = World::overlay();
    let place = w.fs.lookup(&w.caller(), None, b"/bin/true", Lookup::FOLLOW).unwrap();
    let change = SetAttr { mode: Some(0o4711), uid: Some(5), ..SetAttr::default() };
    place.inode().set_attr(&w.caller(), &change).unwrap();
    let attr = w.stat("/bin/true").unwrap();
    assert_eq!((attr.mode & 0o7777, attr.uid, attr.size), (0o4711, 5, 100_000));
    let file = w.open("/usr/bin/true", OpenFlags::empty()).unwrap();
    let source = file.ops().map_source(&w.caller(), &file, false).unwrap();
    assert!(matches!(source, MapSource::Host(_)));
    drop((place, file));
    w.unlink("/bin").unwrap();
    assert_eq!(w.stat("/usr/bin/true").unwrap().uid, 5);
}

#[test]
fn whiteouts() {
    let w = World::overlay();
    w.unlink("/etc/passwd").unwrap();
    assert_eq!(w.stat("/etc/passwd").unwrap_err().errno(), Errno::ENOENT);
    assert_eq!(w.list("/etc"), ["empty"]);
    assert_eq!(w.unlink("/etc/passwd").unwrap_err().errno(), Errno::ENOENT);
    w.write("/etc/passwd", b"other");
    assert_eq!(w.read("/etc/passwd").unwrap(), b"other");
    assert_eq!(w.rmdir("/etc").unwrap_err().errno(), Errno::ENOTEMPTY);
    w.unlink("/etc/passwd").unwrap();
    w.rmdir("/etc/empty").unwrap();
    w.rmdir("/etc").unwrap();
    assert_eq!(w.list("/"), ["bin", "usr"]);
    // A new directory does not show what the old one had.
    w.mkdir("/etc").unwrap();
    assert!(w.list("/etc").is_empty());
    assert_eq!(host_passwd_size(&w), NEVER_CHANGED.len() as u64);
}

#[test]
fn moving_lower_files_and_directories() {
    let w = World::overlay();
    let ino = w.stat("/etc").unwrap().ino;
    w.rename("/etc", "/usr/conf", NONE).unwrap();
    assert_eq!(w.list("/"), ["bin", "usr"]);
    assert_eq!(w.stat("/usr/conf").unwrap().ino, ino);
    assert_eq!(w.read("/usr/conf/passwd").unwrap(), NEVER_CHANGED);
    assert_eq!(w.resolve("/usr/conf/empty/.."), "/usr/conf");
    w.rename("/usr/conf/passwd", "/moved", NONE).unwrap();
    assert_eq!(w.read("/moved").unwrap(), NEVER_CHANGED);
    assert_eq!(w.list("/usr/conf"), ["empty"]);
    w.write("/f", b"f");
    w.rename("/f", "/moved", NONE).unwrap();
    assert_eq!(w.read("/moved").unwrap(), b"f");
    w.rename("/usr/conf", "/moved", RenameFlags::RENAME_EXCHANGE).unwrap();
    assert_eq!(w.list("/moved"), ["empty"]);
    assert_eq!(w.read("/usr/conf").unwrap(), b"f");
    w.mkdir("/target").unwrap();
    w.rename("/moved", "/target", NONE).unwrap();
    assert_eq!(w.list("/target"), ["empty"]);
}

#[test]
fn links_to_lower_files() {
    let w = World::overlay();
    w.link("/etc/passwd", "/copy").unwrap();
    assert_eq!(w.stat("/copy").unwrap().nlink, 2);
    w.write("/copy", b"changed");
    assert_eq!(w.read("/etc/passwd").unwrap(), b"changed");
    let file = w.open("/copy", OpenFlags::empty()).unwrap();
    w.unlink("/copy").unwrap();
    w.unlink("/etc/passwd").unwrap();
    assert_eq!(file.ops().stat(&w.caller(), &file).unwrap().st_nlink, 0);
}

#[test]
fn host_directories_are_written_through() {
    let w = World::hostfs();
    w.write("/etc/passwd", b"short");
    assert_eq!(host_passwd_size(&w), 5);
    w.mkdir("/etc/d").unwrap();
    w.make("/etc/l", NewKind::Symlink(b"d")).unwrap();
    w.rename("/etc/passwd", "/etc/d/p", NONE).unwrap();
    assert_eq!(w.read("/etc/l/p").unwrap(), b"short");
    w.unlink("/etc/d/p").unwrap();
    w.rmdir("/etc/d").unwrap();
    assert_eq!(w.list("/etc"), ["empty", "l"]);
}

#[test]
fn host_files_with_several_names() {
    let w = World::hostfs();
    w.write("/etc/tmp", b"object");
    w.link("/etc/tmp", "/etc/empty/final").unwrap();
    w.unlink("/etc/tmp").unwrap();
    assert_eq!(w.read("/etc/empty/final").unwrap(), b"object");
    assert_eq!(w.stat("/etc/empty/final").unwrap().nlink, 1);
    w.link("/etc/empty/final", "/etc/again").unwrap();
    w.unlink("/etc/again").unwrap();
    assert_eq!(w.read("/etc/empty/final").unwrap(), b"object");
    w.rename("/etc/empty/final", "/etc/passwd", NONE).unwrap();
    assert_eq!(w.read("/etc/passwd").unwrap(), b"object");
    let place = w.fs.lookup(&w.caller(), None, b"/etc/passwd", Lookup::FOLLOW).unwrap();
    let change = SetAttr { mode: Some(0o600), ..SetAttr::default() };
    place.inode().set_attr(&w.caller(), &change).unwrap();
    assert_eq!(w.stat("/etc/passwd").unwrap().mode & 0o777, 0o600);
    // A name that is made again is another file.
    w.unlink("/etc/passwd").unwrap();
    w.write("/etc/passwd", b"second");
    assert_eq!(w.read("/etc/passwd").unwrap(), b"second");
}

#[test]
fn removed_host_directories_can_be_looked_at() {
    let w = World::hostfs();
    let dir = w.fs.lookup(&w.caller(), None, b"/etc/empty", Lookup::FOLLOW).unwrap();
    w.fs.set_cwd(dir);
    w.rmdir("/etc/empty").unwrap();
    assert!(w.stat(".").is_ok());
    assert_eq!(w.stat("x").unwrap_err().errno(), Errno::ENOENT);
    assert_eq!(w.resolve(".."), "/etc");
}

#[test]
fn changes_of_the_host_show_after_two_seconds() {
    let w = World::hostfs();
    assert_eq!(w.stat("/etc/late").unwrap_err().errno(), Errno::ENOENT);
    w.host.advance(2_000_000_000);
    w.host.add_node("/etc/late", MockNode::File(b"late".to_vec(), 0o644));
    let etc = w.host.open_root(b"/etc").unwrap();
    let touch = lx_core::host::HostSetAttr { mtime: Some(5), ..Default::default() };
    w.host.set_attr(&etc, b"", &touch).unwrap();
    assert_eq!(w.read("/etc/late").unwrap(), b"late");
}
