//! Shared folders of a user who is not root: owners, modes and kinds of files that the host would
//! refuse are kept beside the files, so that the guest's root finds what root would natively.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use lx_tests::{Outcome, Run, lx};
use rustix::fs::listxattr;
use rustix::process::geteuid;
use tempfile::TempDir;

/// A user without an entry in `/etc/passwd`, who owns nothing.
const USER: u32 = 12_345;

/// What root does in a new folder; no line depends on who that is to the host.
const MAKE: &str = r#"exec 2>&1; umask 022
list() { for f in "$@"; do stat -c '%n %F %a %u %g %s %t:%T %h' "$f"; done; }
echo text > file; chown 5:6 file; chmod 4751 file; mkdir -m 3770 dir; chown 7:8 dir
mkfifo -m 640 fifo; mknod -m 600 block b 8 1; mknod -m 666 null c 1 3; chown 9 block
ln -s file dir/link; ln -s nowhere link; chown -h 10:11 dir/link; ln file hard; ln fifo dir/fifo
list file dir fifo block null dir/link link hard dir/fifo
mv dir/link link2; mv link dir; mv block dir; list link2 dir/link dir/block; rm link2; ln -s x link2; list link2
echo gone > null; cat null; find . -type c -o -type b -o -type p | sort
as() { setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"; }
as 20 cat file; as 5 cat file; as 20 sh -c 'echo x > null; : > dir/new; : > new'; as 7 sh -c ': > dir/new'
list dir/new; chmod 0 file; cat file; chmod 644 file; as 20 cat file; echo more >> file; chmod 6755 file
as 20 chmod 777 file; as 20 chown 20 file; list file
cp /usr/bin/id id; chown 33:34 id; chmod 6755 id; as 20 ./id -un; as 20 ./id -g; as 5 rm -f id; list id
chmod 666 id; as 20 sh -c 'echo >> id'; chmod 6777 id; as 20 sh -c 'echo >> id'; stat -c %a id; chmod 6777 id; : > id; stat -c %a id; rm id
mkdir tree; tar -cf tree.tar dir file hard null; tar -xpf tree.tar -C tree
(cd tree; list dir dir/fifo dir/block dir/link file hard null); rm -r tree tree.tar
chown 12345:12345 file; list file; chmod 600 file; list file; chown 0:0 file; chmod 4711 file; list file
fallocate -l 5000 big; stat -c %s big; fallocate -p -o 0 -l 4096 big; stat -c '%s %b' big; rm big
mv -f hard dir/hard; mkdir -m 1777 sticky; as 21 ln -s a sticky/a; as 22 rm sticky/a; list sticky/a
as 21 rm sticky/a; ls sticky; rmdir sticky; rm dir/new"#;

/// Attributes of files, which the system's programs do not set.
const ATTRIBUTES: &str = r#"import os
def attempt(call, *arguments, **more):
    try:
        return call(*arguments, **more)
    except OSError as error:
        return os.strerror(error.errno)
for path in ["file", "dir", "null", "dir/link"]:
    for name in ["user.a", "trusted.b", "security.capability"]:
        value = b"\x01\x00\x00\x02" + bytes(16) if name.startswith("security") else b"value"
        if path != "dir/link":
            print(path, name, attempt(os.setxattr, path, name, value))
            print(attempt(os.getxattr, path, name) == value)
    print(sorted(name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"))
print(attempt(os.setxattr, "file", "user.a", b"", os.XATTR_CREATE))
print(attempt(os.removexattr, "file", "user.a"), attempt(os.removexattr, "file", "user.a"))
print(attempt(os.getxattr, "file", "user.none"), attempt(os.setxattr, "file", "other.a", b""))
"#;

/// What the next run finds.
const FIND: &str = "find . -printf '%p %y %m %U %G %l\\n' | sort";

struct Folder {
    dir: TempDir,
    lx: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        // Where lx was built, another user may have no access.
        let lx = dir.path().join("lx");
        fs::copy(lx::command().unwrap(), &lx).unwrap();
        for name in ["native", "kept", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir, lx }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As root of a guest, for a user who is not root, in the folder or in one of lx's own.
    #[track_caller]
    fn on_lx(&self, guest: &str, command: &[&str]) -> String {
        let volume = format!("{}:/new", self.path("kept").display());
        let run = Run::new(&self.lx, &self.path("tmp")).args(["run", "-u", "root", "-v", &volume]);
        let run = if geteuid().is_root() { run.user(USER) } else { run };
        let script = format!("mkdir -p {guest}; cd {guest}; exec \"$@\"");
        text(&run.args(["/bin/bash", "-c", &script, "-"]).args(command).outcome().unwrap())
    }

    #[track_caller]
    fn natively(&self, command: &[&str]) -> String {
        let (program, args) = command.split_first().unwrap();
        let run = Run::new(program, &self.path("tmp")).dir(self.path("native"));
        text(&run.args(args).outcome().unwrap())
    }
}

#[track_caller]
fn text(outcome: &Outcome) -> String {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!((outcome.status, &*stderr, &outcome.defect), (0, "", &None));
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

#[test]
fn guests_find_what_root_would_find() {
    let folder = Folder::new();
    let user = if geteuid().is_root() { USER } else { geteuid().as_raw() };
    // The owner of the folder itself is nobody's business here.
    chown(folder.path("kept"), Some(user), Some(user)).unwrap();
    for (step, command) in [
        ("make", &["/bin/bash", "-c", MAKE][..]),
        ("attributes", &["python3", "-c", ATTRIBUTES]),
        ("find", &["/bin/sh", "-c", &format!("chown 0:0 .; {FIND}")]),
    ] {
        let kept = folder.on_lx("/new", command);
        if geteuid().is_root() {
            assert_eq!(kept, folder.natively(command), "{step}: on lx, natively");
        }
        assert!(!kept.is_empty());
    }
    // To the host they are the user's files, and those that stand for others are empty.
    for (name, kind) in [("file", 0o100_000), ("dir", 0o040_000), ("null", 0o100_000)] {
        let found = fs::symlink_metadata(folder.path("kept").join(name)).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o170_000), (user, kind), "{name}");
        assert_eq!(found.mode() & 0o6000, 0, "{name}");
    }
    // Another machine finds the same.
    assert_eq!(folder.on_lx("/", &["stat", "-c", "%u", "/new/file"]), "0\n");
}

/// What guest programs find in a temporary folder of lx's own holds in a user's, too.
#[test]
fn guest_programs_pass_in_a_folder() {
    let folder = Folder::new();
    let user = if geteuid().is_root() { USER } else { geteuid().as_raw() };
    chown(folder.path("kept"), Some(user), Some(user)).unwrap();
    for name in
        ["paths", "file_times", "sparse", "shared_file", "fds", "sockets_unix", "inotify", "xattrs"]
    {
        let program = folder.path(name);
        fs::copy(lx::guest(name).unwrap(), &program).unwrap();
        let printed = folder.on_lx("/new", &["env", "TMPDIR=/new", program.to_str().unwrap()]);
        let failed: Vec<_> = printed.lines().filter(|line| line.starts_with("not ok")).collect();
        assert_eq!(failed, Vec::<&str>::new(), "{name}");
    }
}

#[test]
fn what_the_host_can_represent_is_the_hosts() {
    let folder = Folder::new();
    let user = if geteuid().is_root() { USER } else { geteuid().as_raw() };
    for name in ["kept", "kept/own", "kept/other"] {
        let path = folder.path(name);
        if name != "kept" {
            fs::write(&path, "text").unwrap();
        }
        let owner = if name.ends_with("other") { geteuid().as_raw() } else { user };
        lchown(&path, Some(owner), Some(owner)).unwrap();
    }
    let script = format!(
        "chmod 440 own; chown 0 own; chown {user}:{user} own; umask 077; : > new; chown {user}:{user} new"
    );
    folder.on_lx("/new", &["/bin/sh", "-c", &script]);
    let mode = |name: &str| fs::metadata(folder.path("kept").join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("own"), mode("new")), (0o440, 0o600));
    if geteuid().is_root() {
        // Somebody else's file stays as it is.
        let refused = "chown 1 other || chmod 1 other || setfattr -n user.a other || echo refused";
        let script = format!("({refused}) 2> /dev/null");
        assert_eq!(folder.on_lx("/new", &["/bin/sh", "-c", &script]), "refused\n");
        assert_eq!(folder.on_lx("/new", &["stat", "-c", "%u", "other"]), "0\n");
    }
    let kept = |name: &str| kept_attributes(&folder.path("kept").join(name));
    assert_eq!((kept("own"), kept("new")), (0, 0));
}

/// How many extended attributes of ours a file has.
fn kept_attributes(path: &Path) -> usize {
    let mut list = [0_u8; 1024];
    let len = listxattr(path, &mut list).unwrap();
    let names = list.get(..len).unwrap().split(|&byte| byte == 0);
    names.filter(|name| name.starts_with(b"user.lx.")).count()
}
