//! The main job, a pipeline of real programs under bash: as an unprivileged user, without any
//! preparation, and with nothing written outside lx's own memory.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use lx_tests::{Outcome, Run, lx};
use rustix::process::geteuid;
use tempfile::TempDir;

const JOB: &str = r#"echo "$(uname -s) $((6*7))"
seq 1 1000 | sort -R | sort -n | tail -1
ls /usr/bin | wc -l
echo note > "$TMPDIR/note"; echo note > "$HOME/note"; echo note > note; cat "$TMPDIR/note" note
rm -f "$HOME/doomed"; test -e "$HOME/doomed" || echo removed"#;

/// The user that owns nothing on a usual system: nobody.
const NOBODY: u32 = 65534;

/// A home, a temporary and a working folder, each with a file, for a user.
struct Places {
    root: TempDir,
    /// The user to become, if we may.
    user: Option<u32>,
}

impl Places {
    fn new(user: Option<u32>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let places = Self { root, user };
        fs::set_permissions(places.root.path(), Permissions::from_mode(0o755)).unwrap();
        for name in ["home", "tmp", "work"] {
            fs::create_dir(places.folder(name)).unwrap();
            fs::write(places.folder(name).join("doomed"), "still here").unwrap();
            chown(places.folder(name), user, user).unwrap();
            chown(places.folder(name).join("doomed"), user, user).unwrap();
        }
        places
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    #[track_caller]
    fn run(&self, program: &Path, args: &[&str]) -> Outcome {
        let mut run = Run::new(program, &self.folder("tmp"))
            .env("HOME", self.folder("home"))
            .dir(self.folder("work"))
            .args(args);
        if let Some(user) = self.user {
            run = run.user(user);
        }
        let outcome = run.outcome().unwrap();
        assert_eq!(outcome.defect, None, "{outcome:?}");
        outcome
    }

    /// Every file below, with its size, its times and its content.
    fn listing(&self) -> BTreeMap<PathBuf, (u64, i64, i64, i64, Vec<u8>)> {
        let mut listing = BTreeMap::new();
        let mut folders = vec![self.root.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let attributes = fs::symlink_metadata(&path).unwrap();
                let content = if attributes.is_dir() {
                    folders.push(path.clone());
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                let times = (attributes.mtime(), attributes.mtime_nsec(), attributes.ctime_nsec());
                listing.insert(path, (attributes.size(), times.0, times.1, times.2, content));
            }
        }
        listing
    }
}

/// What is on the root file system, in the shared folders and in a user's name, newer than `stamp`.
fn newer_files(user: u32, stamp: &Path) -> String {
    let mut find = Command::new("find");
    find.args(["/", "/tmp", "/var/tmp", "/dev/shm", "-xdev"]).args([
        "-user",
        &user.to_string(),
        "-newercm",
        &stamp.display().to_string(),
    ]);
    String::from_utf8(find.output().unwrap().stdout).unwrap()
}

#[track_caller]
fn the_job_as(user: Option<u32>) {
    // Where lx was built, another user may have no access.
    let places = Places::new(user);
    let program = places.folder("lx");
    fs::copy(lx::command().unwrap(), &program).unwrap();
    let stamp = places.folder("stamp");
    fs::write(&stamp, "").unwrap();
    let before = places.listing();

    let on_lx = places.run(&program, &["run", "/bin/bash", "-c", JOB]);

    assert_eq!(places.listing(), before, "lx changed something");
    if let Some(user) = user {
        assert_eq!(newer_files(user, &stamp), "", "lx left something");
    }
    let native = places.run(Path::new("/bin/bash"), &["-c", JOB]);
    assert_eq!(on_lx, native);
    assert_ne!(places.listing(), before, "the job writes, natively");
}

#[test]
fn prints_what_native_prints_and_writes_nothing() {
    the_job_as(None);
}

#[test]
fn works_for_an_unprivileged_user() {
    // Whoever is not root is unprivileged in the test above.
    if geteuid().is_root() {
        the_job_as(Some(NOBODY));
    }
}
