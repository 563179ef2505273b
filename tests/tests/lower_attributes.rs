//! Extended attributes of files below an overlay: guests see them, and change copies.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use lx_tests::{Outcome, Run, lx};
use rustix::fs::{XattrFlags, getxattr, lsetxattr, setxattr};
use rustix::process::geteuid;

/// What is done natively to the files, and on lx to copies of them in memory.
const SCRIPT: &str = r#"import os
def attempt(call, *arguments, **more):
    try:
        return call(*arguments, **more)
    except OSError as error:
        return os.strerror(error.errno)
def show(what, path, links=True):
    names = attempt(os.listxattr, path, follow_symlinks=links)
    values = {name: attempt(os.getxattr, path, name, follow_symlinks=links) for name in sorted(names)}
    print(what, path, values)
for path in ["file", "dir", "link", "dir/deep"]:
    show("before", path, path != "link")
for path in ["file", "dir"]:
    print(attempt(os.getxattr, path, "user.none"), attempt(os.removexattr, path, "user.none"))
    print(attempt(os.setxattr, path, "user.none", b"", os.XATTR_REPLACE))
    print(attempt(os.setxattr, path, "user.a", b"", os.XATTR_CREATE))
    show("nothing changed", path)
    print(attempt(os.setxattr, path, "user.new", b"new"))
    show("one more", path)
    print(attempt(os.setxattr, path, "user.a", b"other", os.XATTR_REPLACE))
    print(attempt(os.removexattr, path, "user.b"), attempt(os.removexattr, path, "user.b"))
    show("changed", path)
for path in ["mode", "written", "cut", "linked", "moved", "folder", "removed"]:
    show("before", path)
os.chmod("mode", 0o600)
os.chmod("folder", 0o700)
open("written", "a").write("more")
os.truncate("cut", 1)
os.link("linked", "again")
os.rename("moved", "dir/moved")
os.rename("folder", "dir/folder")
print(attempt(os.removexattr, "removed", "user.a"), attempt(os.removexattr, "removed", "user.b"))
for path in ["mode", "written", "cut", "linked", "again", "dir/moved", "dir/folder", "removed"]:
    show("afterwards", path)
new = os.open("again", os.O_RDWR)
print(attempt(os.setxattr, new, "user.fd", b"1"), sorted(os.listxattr(new)), sorted(os.listxattr("linked")))
"#;

/// Files with attributes, those that only root may set if this is root.
fn make(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let set = |name: &str, attribute: &str| {
        let value = format!("{attribute} of {name}");
        setxattr(folder.join(name), attribute, value.as_bytes(), XattrFlags::empty()).unwrap();
    };
    for name in ["dir", "folder"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    let files = ["file", "dir/deep", "mode", "written", "cut", "linked", "moved", "removed"];
    for name in files {
        fs::write(folder.join(name), "text").unwrap();
    }
    symlink("file", folder.join("link")).unwrap();
    for name in files.into_iter().chain(["dir", "folder"]) {
        set(name, "user.a");
        set(name, "user.b");
        if geteuid().is_root() {
            set(name, "trusted.t");
        }
    }
    if geteuid().is_root() {
        let link = folder.join("link");
        lsetxattr(link, "trusted.link", b"itself", XattrFlags::empty()).unwrap();
    }
}

fn text(outcome: &Outcome) -> String {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!((outcome.status, &*stderr, &outcome.defect), (0, "", &None));
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

#[test]
fn guests_see_the_attributes_of_the_host_and_change_copies() {
    // Not under /tmp, where a file system in memory may have no attributes of users.
    let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [below, native] = ["below", "native"].map(|name| scratch.path().join(name));
    make(&below);
    make(&native);
    let lx = lx::command().unwrap();
    let on_lx = Run::new(&lx, scratch.path())
        .args(["run", "-w", below.to_str().unwrap(), "python3", "-c", SCRIPT])
        .outcome()
        .unwrap();
    let natively =
        Run::new("python3", scratch.path()).dir(&native).args(["-c", SCRIPT]).outcome().unwrap();
    assert_eq!(text(&on_lx), text(&natively), "on lx, natively");
    let mut value = [0_u8; 100];
    let len = getxattr(below.join("file"), "user.a", &mut value).unwrap();
    assert_eq!(value.get(..len), Some(&b"user.a of file"[..]));
    assert!(getxattr(below.join("file"), "user.new", &mut value).is_err());
    assert!(getxattr(below.join("removed"), "user.a", &mut value).is_ok());
}
