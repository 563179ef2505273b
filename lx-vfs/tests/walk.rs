//! Path resolution, names and permissions, on a tmpfs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as it should be"
)]

mod common;

use common::World;
use lx_core::abi::Errno;
use lx_core::abi::fcntl::{OpenFlags, RenameFlags, ResolveFlags};
use lx_core::cred::Credentials;
use lx_core::error::SysError;
use lx_vfs::fs::tmpfs::TmpFs;
use lx_vfs::inode::{NewKind, SetAttr};
use lx_vfs::mount::MountFlags;
use lx_vfs::path::Lookup;

fn errno<T>(result: Result<T, SysError>) -> Errno {
    result.err().expect("a failure").errno()
}

const NONE: RenameFlags = RenameFlags::empty();

#[test]
fn dots_slashes_and_links() {
    let w = World::tmpfs();
    w.mkdir("/a").unwrap();
    w.mkdir("/a/b/").unwrap();
    w.write("/a/b/file", b"x");
    w.make("/rel", NewKind::Symlink(b"a/./b/../b")).unwrap();
    w.make("/abs", NewKind::Symlink(b"/rel/file")).unwrap();
    assert_eq!(w.resolve("//a/../a/b/."), "/a/b");
    assert_eq!(w.resolve("/rel/"), "/a/b");
    assert_eq!(w.resolve("/../../abs"), "/a/b/file");
    assert_eq!(errno(w.stat("/a/b/file/")), Errno::ENOTDIR);
    assert_eq!(errno(w.stat("/a/b/file/..")), Errno::ENOTDIR);
    assert_eq!(errno(w.stat("")), Errno::ENOENT);
    assert_eq!(errno(w.stat("/a/none/x")), Errno::ENOENT);
    assert_eq!(errno(w.stat(&format!("/{}", "n".repeat(256)))), Errno::ENAMETOOLONG);
    assert_eq!(errno(w.open("/rel", OpenFlags::O_NOFOLLOW)), Errno::ELOOP);
    let flags = OpenFlags::O_NOFOLLOW | OpenFlags::O_DIRECTORY;
    assert_eq!(errno(w.open("/rel", flags)), Errno::ENOTDIR);
}

#[test]
fn forty_links_are_followed_and_no_more() {
    let w = World::tmpfs();
    w.write("/l0", b"end");
    for i in 1..=41 {
        let target = format!("l{}", i - 1);
        w.make(&format!("/l{i}"), NewKind::Symlink(target.as_bytes())).unwrap();
    }
    assert_eq!(w.read("/l40").unwrap(), b"end");
    assert_eq!(errno(w.read("/l41")), Errno::ELOOP);
    w.make("/loop", NewKind::Symlink(b"loop")).unwrap();
    assert_eq!(errno(w.stat("/loop")), Errno::ELOOP);
}

#[test]
fn creating_through_links() {
    let w = World::tmpfs();
    w.mkdir("/d").unwrap();
    w.make("/dangling", NewKind::Symlink(b"d/new")).unwrap();
    let create = OpenFlags::O_CREAT | OpenFlags::O_RDWR;
    assert_eq!(errno(w.open("/dangling", create | OpenFlags::O_EXCL)), Errno::EEXIST);
    w.open("/dangling", create).unwrap();
    assert_eq!(w.list("/d"), ["new"]);
    assert_eq!(errno(w.open("/d", create)), Errno::EISDIR);
    assert_eq!(errno(w.open("/nodir/", create)), Errno::EISDIR);
    assert_eq!(errno(w.open("/d/new", create | OpenFlags::O_EXCL)), Errno::EEXIST);
    assert_eq!(errno(w.mkdir("/dangling")), Errno::EEXIST);
    assert_eq!(errno(w.mkdir("/")), Errno::EEXIST);
    assert_eq!(w.stat("/d/new").unwrap().mode, 0o100_644);
}

#[test]
fn missing_names_are_remembered_and_forgotten() {
    let w = World::tmpfs();
    assert_eq!(errno(w.stat("/x")), Errno::ENOENT);
    w.write("/x", b"1");
    assert_eq!(w.read("/x").unwrap(), b"1");
    w.unlink("/x").unwrap();
    assert_eq!(errno(w.stat("/x")), Errno::ENOENT);
    w.mkdir("/x").unwrap();
    assert!(w.stat("/x").is_ok());
}

#[test]
fn removed_places() {
    let w = World::tmpfs();
    w.mkdir("/d").unwrap();
    let dir = w.fs.lookup(&w.caller(), None, b"/d", Lookup::DIRECTORY).unwrap();
    w.fs.set_cwd(dir.clone());
    assert_eq!(errno(w.rmdir(".")), Errno::EINVAL);
    assert_eq!(errno(w.rmdir("/d/..")), Errno::ENOTEMPTY);
    w.rmdir("/d").unwrap();
    assert_eq!(dir.display(&w.fs.root()), b"/d (deleted)");
    let create = OpenFlags::O_CREAT | OpenFlags::O_RDWR;
    assert_eq!(errno(w.open("f", create)), Errno::ENOENT);
    assert_eq!(errno(w.stat("f")), Errno::ENOENT);
    assert_eq!(w.resolve(".."), "/");
}

#[test]
fn renames() {
    let w = World::tmpfs();
    w.mkdir("/a").unwrap();
    w.mkdir("/a/sub").unwrap();
    w.mkdir("/b").unwrap();
    w.write("/a/f", b"f");
    w.write("/b/g", b"g");
    let open = w.open("/a/f", OpenFlags::empty()).unwrap();
    assert_eq!(errno(w.rename("/a", "/a/sub/x", NONE)), Errno::EINVAL);
    assert_eq!(errno(w.rename("/a/f", "/b", NONE)), Errno::EISDIR);
    assert_eq!(errno(w.rename("/b", "/a/f", NONE)), Errno::ENOTDIR);
    assert_eq!(errno(w.rename("/a", "/b", NONE)), Errno::ENOTEMPTY);
    let noreplace = RenameFlags::RENAME_NOREPLACE;
    assert_eq!(errno(w.rename("/a/f", "/b/g", noreplace)), Errno::EEXIST);
    w.rename("/a/f", "/b/g", NONE).unwrap();
    assert_eq!(w.read("/b/g").unwrap(), b"f");
    let place = lx_vfs::location::Path::of(&open).unwrap();
    assert_eq!(place.display(&w.fs.root()), b"/b/g");
    w.rename("/a", "/b", RenameFlags::RENAME_EXCHANGE).unwrap();
    assert_eq!(w.list("/b"), ["sub"]);
    assert_eq!(w.list("/a"), ["g"]);
    assert_eq!(w.resolve("/b/sub/.."), "/b");
    assert_eq!(w.stat("/b").unwrap().nlink, 3);
    assert_eq!(w.stat("/a").unwrap().nlink, 2);
    w.rename("/b/sub", "/a/moved", NONE).unwrap();
    assert_eq!(w.stat("/b").unwrap().nlink, 2);
    assert_eq!(w.stat("/a").unwrap().nlink, 3);
    assert_eq!(w.resolve("/a/moved/../g"), "/a/g");
    w.rename("/b", "/a/moved", NONE).unwrap();
    assert_eq!(w.list("/"), ["a"]);
}

#[test]
fn links_count() {
    let w = World::tmpfs();
    w.write("/f", b"f");
    w.link("/f", "/g").unwrap();
    assert_eq!(w.stat("/f").unwrap().nlink, 2);
    assert_eq!(errno(w.link("/f", "/g")), Errno::EEXIST);
    w.rename("/f", "/g", NONE).unwrap();
    assert_eq!(w.list("/"), ["f", "g"]);
    let file = w.open("/f", OpenFlags::empty()).unwrap();
    w.unlink("/f").unwrap();
    w.unlink("/g").unwrap();
    assert_eq!(file.ops().stat(&w.caller(), &file).unwrap().st_nlink, 0);
    assert_eq!(common::read_all(&w, &file).unwrap(), b"f");
    w.mkdir("/d").unwrap();
    assert_eq!(errno(w.link("/d", "/e")), Errno::EPERM);
}

#[test]
fn permissions() {
    let mut w = World::tmpfs();
    w.mkdir("/secret").unwrap();
    w.write("/secret/f", b"f");
    w.write("/mine", b"f");
    w.mkdir("/tmp").unwrap();
    let set = |w: &World, path: &[u8], mode| {
        let place = w.fs.lookup(&w.caller(), None, path, Lookup::FOLLOW).unwrap();
        let change = SetAttr { mode: Some(mode), ..SetAttr::default() };
        place.inode().set_attr(&w.caller(), &change).unwrap();
    };
    set(&w, b"/secret", 0o700);
    set(&w, b"/mine", 0o600);
    set(&w, b"/tmp", 0o1777);
    w.write("/tmp/roots", b"r");
    w.cred = Credentials::new(1000, 1000, vec![]);
    assert_eq!(errno(w.stat("/secret/f")), Errno::EACCES);
    assert_eq!(errno(w.read("/mine")), Errno::EACCES);
    assert_eq!(errno(w.mkdir("/new")), Errno::EACCES);
    assert_eq!(errno(w.unlink("/tmp/roots")), Errno::EPERM);
    assert_eq!(errno(w.rename("/tmp/roots", "/tmp/other", NONE)), Errno::EPERM);
    w.write("/tmp/own", b"o");
    w.unlink("/tmp/own").unwrap();
    let open = OpenFlags::O_NOATIME;
    assert_eq!(errno(w.open("/tmp/roots", open)), Errno::EPERM);
    assert_eq!(errno(w.make("/tmp/null", NewKind::CharDevice(0x103))), Errno::EPERM);
}

#[test]
fn set_group_id_directories_hand_on_their_group() {
    let mut w = World::tmpfs();
    w.mkdir("/shared").unwrap();
    let place = w.fs.lookup(&w.caller(), None, b"/shared", Lookup::FOLLOW).unwrap();
    let change = SetAttr { mode: Some(0o2777), gid: Some(50), ..SetAttr::default() };
    place.inode().set_attr(&w.caller(), &change).unwrap();
    w.cred = Credentials::new(1000, 1000, vec![]);
    w.write("/shared/f", b"");
    w.mkdir("/shared/d").unwrap();
    assert_eq!(w.stat("/shared/f").unwrap().gid, 50);
    assert_eq!(w.stat("/shared/d").unwrap().gid, 50);
    assert_eq!(w.stat("/shared/d").unwrap().mode & 0o7777, 0o2755);
}

#[test]
fn mounts() {
    let w = World::tmpfs();
    w.mkdir("/mnt").unwrap();
    w.write("/mnt/below", b"");
    let at = w.fs.lookup(&w.caller(), None, b"/mnt", Lookup::FOLLOW).unwrap();
    let other = TmpFs::new(w.host, 0o755);
    w.fs.mounts().mount(other, &at, "tmpfs", MountFlags::RDONLY).unwrap();
    assert_eq!(w.list("/mnt"), Vec::<String>::new());
    assert_eq!(w.resolve("/mnt/.."), "/");
    assert_eq!(w.resolve("/mnt"), "/mnt");
    assert_eq!(errno(w.mkdir("/mnt/d")), Errno::EROFS);
    assert_eq!(errno(w.rmdir("/mnt")), Errno::EBUSY);
    assert_eq!(errno(w.rename("/mnt", "/m", NONE)), Errno::EBUSY);
    let lines = w.fs.mounts().list(&w.fs.root());
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1].path, b"/mnt");
    drop(lines);
    let flags = ResolveFlags::RESOLVE_NO_XDEV;
    let path = w.fs.lookup_restricted(&w.caller(), None, b"/mnt", Lookup::FOLLOW, flags);
    assert_eq!(errno(path), Errno::EXDEV);
    let top = w.fs.lookup(&w.caller(), None, b"/mnt", Lookup::FOLLOW).unwrap();
    w.fs.mounts().unmount(&top, false).unwrap();
    assert_eq!(w.list("/mnt"), ["below"]);
}

#[test]
fn binds_moves_and_busy_mounts() {
    let w = World::tmpfs();
    let mounts = w.fs.mounts();
    let none = MountFlags::empty();
    let look =
        |path: &str| w.fs.lookup(&w.caller(), None, path.as_bytes(), Lookup::FOLLOW).unwrap();
    for dir in ["/a", "/a/sub", "/b", "/c"] {
        w.mkdir(dir).unwrap();
    }
    mounts.mount(TmpFs::new(w.host, 0o755), &look("/a"), "one", none).unwrap();
    w.mkdir("/a/in").unwrap();
    mounts.mount(TmpFs::new(w.host, 0o755), &look("/a/in"), "two", none).unwrap();
    w.write("/a/in/f", b"deep");
    mounts.bind(&look("/a"), &look("/b"), none).unwrap();
    assert!(w.list("/b/in").is_empty());
    mounts.bind_tree(&look("/a"), &look("/c")).unwrap();
    assert_eq!(w.read("/c/in/f").unwrap(), b"deep");
    assert_eq!(errno(mounts.move_mount(&look("/a"), &look("/a/in"))), Errno::ELOOP);
    assert_eq!(errno(mounts.unmount(&look("/a"), false)), Errno::EBUSY);
    assert_eq!(errno(mounts.unmount(&look("/"), false)), Errno::EBUSY);
    mounts.unmount(&look("/b"), false).unwrap();
    let open = w.open("/c/in/f", OpenFlags::empty()).unwrap();
    assert_eq!(errno(mounts.unmount(&look("/c/in"), false)), Errno::EBUSY);
    drop(open);
    mounts.unmount(&look("/c/in"), false).unwrap();
    mounts.move_mount(&look("/a"), &look("/b")).unwrap();
    assert_eq!(w.list("/a"), ["sub"]);
    assert_eq!(w.read("/b/in/f").unwrap(), b"deep");
    assert_eq!(w.resolve("/b/in"), "/b/in");
    mounts.unmount(&look("/b"), true).unwrap();
    assert!(w.list("/b").is_empty());
}

#[test]
fn restricted_resolution() {
    let w = World::tmpfs();
    w.mkdir("/jail").unwrap();
    w.write("/jail/f", b"");
    w.make("/jail/abs", NewKind::Symlink(b"/f")).unwrap();
    w.make("/jail/up", NewKind::Symlink(b"../jail/f")).unwrap();
    let jail = w.fs.lookup(&w.caller(), None, b"/jail", Lookup::DIRECTORY).unwrap();
    let look = |path: &[u8], resolve| {
        let how = Lookup::FOLLOW;
        w.fs.lookup_restricted(&w.caller(), Some(&jail), path, how, resolve)
    };
    let beneath = ResolveFlags::RESOLVE_BENEATH;
    assert!(look(b"f", beneath).is_ok());
    assert_eq!(errno(look(b"../jail/f", beneath)), Errno::EXDEV);
    assert_eq!(errno(look(b"abs", beneath)), Errno::EXDEV);
    assert_eq!(errno(look(b"/f", beneath)), Errno::EXDEV);
    let in_root = ResolveFlags::RESOLVE_IN_ROOT;
    assert!(look(b"abs", in_root).is_ok());
    assert!(look(b"/../../f", in_root).is_ok());
    let no_links = ResolveFlags::RESOLVE_NO_SYMLINKS;
    assert_eq!(errno(look(b"abs", no_links)), Errno::ELOOP);
}
