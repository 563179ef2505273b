//! `lx run --rootfs FILE`: root file systems that are unpacked from archives.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lx_tests::{Outcome, Run, lx};
use tempfile::TempDir;

/// What makes the tree, with busybox as its only program.
const TREE: &str = "
    mkdir -p bin etc/deep/er empty
    cp /bin/busybox bin/busybox
    ln -s busybox bin/sh
    ln bin/busybox bin/again
    ln -s ../../nowhere etc/deep/broken
    mkfifo etc/fifo
    echo ann:x:77:78::/home/ann:/bin/sh > etc/passwd
    seq 100000 > etc/numbers
    : > etc/empty
    chmod 4711 bin/again
    chmod 1777 empty
    touch -d @1234567890 etc/numbers etc/deep/er etc/deep
";

/// Everything about every file. Sizes of directories are the file system's own business.
const LIST: &str = "cd /; for f in bin etc empty bin/* etc/* etc/deep/*; do \
    busybox stat -c '%n %F %a %u %g %h %Y %N' $f; done; busybox md5sum etc/numbers bin/busybox";

struct Bench {
    dir: TempDir,
}

impl Bench {
    /// A folder with an archive of [`TREE`], by this shell command.
    fn new(archive: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let script = format!("set -e\n{TREE}\n{archive}");
        let status = Command::new("/bin/sh").args(["-c", &script]).current_dir(&tree).status();
        assert!(status.unwrap().success());
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, rootfs: &Path, script: &str) -> Outcome {
        let rootfs = rootfs.to_str().unwrap();
        let run = Run::new(lx::command().unwrap(), self.dir.path());
        run.args(["run", "--rootfs", rootfs, "/bin/sh", "-c", script]).outcome().unwrap()
    }
}

#[test]
fn a_tree_from_an_archive_is_the_one_that_was_packed() {
    let bench = Bench::new("tar --numeric-owner --owner=5 --group=6 -czf ../tree.tar.gz .");
    let outcome = bench.run(&bench.path("tree.tar.gz"), LIST);
    let listed = String::from_utf8(outcome.stdout).unwrap();
    assert_eq!((outcome.status, outcome.defect), (0, None), "{listed}");

    // The same of the tree itself, apart from the owners.
    let list = LIST.replace("cd /;", "");
    let mut native = Command::new("/bin/sh");
    let native = native.args(["-c", &list]).current_dir(bench.path("tree")).output().unwrap();
    let expected = String::from_utf8(native.stdout).unwrap();
    let with_owner = |line: &str| {
        let mut fields: Vec<_> = line.split(' ').collect();
        // The kind may be two words: the owner stands behind the mode, the first number.
        if let Some(at) = fields.iter().position(|field| field.parse::<u32>().is_ok())
            && fields.len() > at + 4
        {
            (fields[at + 1], fields[at + 2]) = ("5", "6");
        }
        fields.join(" ")
    };
    let expected: Vec<_> = expected.lines().map(with_owner).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn writes_stay_in_memory_and_users_come_from_the_archive() {
    let bench = Bench::new("tar -cf ../tree.tar .");
    let tar = bench.path("tree.tar");
    let before = fs::read(&tar).unwrap();
    let outcome = bench.run(&tar, "echo x > /new && cat /new; busybox rm -r /etc; echo $HOME");
    assert_eq!(outcome.stdout, b"x\n/\n", "{outcome:?}");
    assert_eq!(fs::read(&tar).unwrap(), before);

    let user = ["run", "-u", "ann", "--rootfs", tar.to_str().unwrap(), "busybox", "id"];
    let outcome = Run::new(lx::command().unwrap(), bench.dir.path()).args(user).outcome().unwrap();
    assert_eq!(outcome.stdout, b"uid=77(ann) gid=78 groups=78\n", "{outcome:?}");
}

#[test]
fn bad_archives_get_one_line() {
    let bench = Bench::new(
        "tar -cf ../cut.tar . && truncate -s 1000000 ../cut.tar
         tar -cf ../above.tar --transform=s,^,../, etc/empty -P
         xz -0 < ../cut.tar | head -c 500000 > ../cut.tar.xz
         head -c 100000 /dev/urandom > ../noise",
    );
    for (name, reason) in [
        ("cut.tar", "cut off"),
        ("above.tar", "leads out of the archive"),
        ("cut.tar.xz", ""),
        ("noise", "neither a directory nor a tar archive"),
    ] {
        let outcome = bench.run(&bench.path(name), "true");
        let said = String::from_utf8(outcome.stderr).unwrap();
        assert_eq!((outcome.status, outcome.defect), (125, None), "{name}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("lx: '") && said.contains(reason), "{said}");
    }
}
