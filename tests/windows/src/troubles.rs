//! What goes wrong around a guest: full disks, files that nobody may read, no memory. The guest gets
//! Linux's error, `lx.exe` says a clear sentence, and others go on.

use std::fs;
use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use lx_tests::Outcome;
use tempfile::TempDir;

use crate::started::Started;
use crate::{expectations, interop, rootfs, wine};

/// Megabytes of memory for a machine that runs out of it.
const MEMORY: &str = "96";

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(windows) {
        return Vec::new();
    }
    vec![
        expectations::trial("trouble::full_drive", full_drive),
        expectations::trial("trouble::full_stats", || full_output("--stats")),
        expectations::trial("trouble::full_strace", || full_output("--strace")),
        expectations::trial("trouble::full_standard_output", full_standard_output),
        expectations::trial("trouble::full_cache", full_cache),
        expectations::trial("trouble::no_cache", no_cache),
        expectations::trial("trouble::locked_file", locked_file),
        expectations::trial("trouble::locked_archive", locked_archive),
        expectations::trial("trouble::unwritable_stats", unwritable_stats),
        expectations::trial("trouble::immutable_file", immutable_file),
        expectations::trial("trouble::no_memory_for_files", || {
            // What was filled can be freed and used again.
            no_memory(
                "dd if=/dev/zero of=/tmp/a bs=1M count=200; echo $?; rm /tmp/a; \
                 head -c 9000000 /dev/zero > /tmp/b; echo $?; wc -c < /tmp/b; seq 3 | tac",
                "1\n0\n9000000\n3\n2\n1\n",
                "No space left on device",
            )
        }),
        expectations::trial("trouble::no_memory_for_forks", || {
            // A shell that holds a lot cannot be copied, the next one can be.
            no_memory(
                "(x=$(head -c 100000000 /dev/zero | tr '\\0' x); (echo in) ; echo $?) ; seq 2",
                "1\n2\n",
                "Cannot allocate memory",
            )
        }),
        expectations::trial("trouble::archive_too_large", archive_too_large),
    ]
}

fn archive(root: &Path) -> String {
    format!("Z:{}", root.display())
}

/// A run of a script in the small tree.
fn run(options: &[&str], script: &str, memory: Option<&str>) -> Result<Outcome, Failed> {
    let scratch = tempfile::tempdir()?;
    run_in(scratch.path(), options, script, memory)
}

/// The same with a folder for Wine's server, which others may be connected to.
fn run_in(
    scratch: &Path,
    options: &[&str],
    script: &str,
    memory: Option<&str>,
) -> Result<Outcome, Failed> {
    let root = archive(rootfs::small()?);
    let script = format!("export PATH=/bin; {script}");
    let fixed = ["--rootfs", &root, "--", "/bin/sh", "-c", &script];
    let args = ["run"].iter().chain(options).chain(&fixed);
    let mut run = wine::lx(args, scratch)?;
    if let Some(memory) = memory {
        run = run.env("LX_TEST_MEMORY", memory);
    }
    Ok(run.outcome()?)
}

/// What a run did, to be read.
fn show(outcome: &Outcome) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Outcome { status, stdout, stderr, defect } = outcome;
    format!("status {status}, {:?}, {:?}, {defect:?}", text(stdout), text(stderr))
}

fn expect(outcome: &Outcome, status: i32, said: &str, complaint: &str) -> Result<(), Failed> {
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    let good = outcome.status == status && stdout == said && stderr.contains(complaint);
    if good && outcome.defect.is_none() && !stderr.contains("bug") {
        return Ok(());
    }
    Err(format!("expected {status}, {said:?}, {complaint:?}: {}", show(outcome)).into())
}

/// A file system of one megabyte; it goes with this.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let disk = Self { folder };
        as_root("mount", &["-t", "tmpfs", "-o", "size=1m,mode=1777", "lx-test", disk.path()?])?;
        Ok(disk)
    }

    fn path(&self) -> Result<&str, Failed> {
        Ok(self.folder.path().to_str().ok_or("a strange folder")?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Wine's server may keep a folder of it for a while.
        let _ = self.path().and_then(|path| as_root("umount", &["-l", path]));
    }
}

/// Runs a program as root, by sudo where the tests are somebody else.
fn as_root(program: &str, args: &[&str]) -> Result<(), Failed> {
    let direct = Command::new(program).args(args).output();
    if direct.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let output = Command::new("sudo").arg("-n").arg(program).args(args).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!("cannot run {program} as root; run the tests as root").into()),
    }
}

/// A guest fills a drive; afterwards there is room again.
fn full_drive() -> Result<(), Failed> {
    let disk = Disk::new()?;
    let script = format!(
        "cd /mnt/z{}; dd if=/dev/zero of=a bs=64k count=48; echo $?; rm a; echo x > c; cat c",
        disk.path()?
    );
    expect(&run(&[], &script, None)?, 0, "1\nx\n", "No space left on device")
}

/// A disk without room for one more byte.
fn full_disk() -> Result<Disk, Failed> {
    let disk = Disk::new()?;
    // It fails when the disk is full.
    let _ = fs::write(disk.folder.path().join("ballast"), vec![0; 2 << 20]);
    Ok(disk)
}

/// `lx.exe` cannot write what it was asked to.
fn full_output(option: &str) -> Result<(), Failed> {
    let disk = full_disk()?;
    let file = format!("Z:{}/output", disk.path()?);
    let outcome = run(&[&format!("{option}={file}")], "echo done; exit 3", None)?;
    let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with("lx: ")).collect();
    let good = match complaints.as_slice() {
        [one] => one.contains("cannot write") && one.contains("output"),
        _ => false,
    };
    // The guest has done its work, but not all that was asked for was done.
    if good && outcome.stdout == b"done\n" && outcome.status == 125 {
        return Ok(());
    }
    Err(show(&outcome).into())
}

/// The guest's own output.
fn full_standard_output() -> Result<(), Failed> {
    let root = archive(rootfs::small()?);
    let script = "export PATH=/bin; echo x; echo $? >&2; exit 4";
    let mut command = wine::command(["run", "--rootfs", &root, "--", "/bin/sh", "-c", script])?;
    command.stdin(std::process::Stdio::null());
    command.stdout(fs::File::options().write(true).open("/dev/full")?);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No space left on device") && said.contains("\n1\n") {
        return Ok(());
    }
    Err(format!("{output:#?}").into())
}

/// `lx.exe` alone, in a folder of its own, which keeps the rest in a cache under `folder`.
fn alone(folder: &str) -> Result<Outcome, Failed> {
    let scratch = tempfile::tempdir()?;
    let program = scratch.path().join("lx.exe");
    fs::copy(wine::unix_path_of("lx.exe")?, &program)?;
    let root = archive(rootfs::small()?);
    let line = format!(
        "set LOCALAPPDATA={folder}&& Z:{} run --rootfs {root} /bin/true",
        program.display().to_string().replace('/', "\\")
    );
    Ok(wine::windows("cmd", ["/c", &line], scratch.path())?.outcome()?)
}

fn cannot_keep(outcome: &Outcome) -> Result<(), Failed> {
    let said = String::from_utf8_lossy(&outcome.stderr);
    let complaints = said.lines().filter(|line| line.starts_with("lx: ")).count();
    if outcome.status == 125 && complaints == 1 && said.contains("cannot keep the kernel in") {
        return Ok(());
    }
    Err(show(outcome).into())
}

fn full_cache() -> Result<(), Failed> {
    let disk = Disk::new()?;
    let path = format!("Z:{}", disk.path()?.replace('/', "\\"));
    cannot_keep(&alone(&path)?)?;
    // No half of a file is left for the next one to trip over.
    let found = Command::new("find").arg(disk.path()?).args(["-name", "lx-*.*.*"]).output()?;
    if found.stdout.is_empty() { Ok(()) } else { Err(format!("{found:?}").into()) }
}

fn no_cache() -> Result<(), Failed> {
    cannot_keep(&alone("Z:\\sys")?)
}

/// Acts on a file that a program of Windows has opened for itself, with a folder for the run.
fn locked(
    act: impl FnOnce(&Path, &Path) -> Result<(), Failed>,
    content: &Path,
) -> Result<(), Failed> {
    let Some(probe) = interop::program()? else { return Ok(()) };
    let (folder, scratch) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let file = folder.path().join("file");
    fs::copy(content, &file)?;
    let path = format!("Z:{}", file.display()).replace('/', "\\");
    let lock = Started::new(wine::program_of(probe, ["lock", &path])?)?;
    lock.expect("locked")?;
    let result = act(&file, scratch.path());
    lock.finish()?;
    result
}

fn locked_file() -> Result<(), Failed> {
    let act = |file: &Path, scratch: &Path| {
        let script = format!("cd /mnt/z{}; cat file; echo x > file; echo alive", parent(file));
        let outcome = run_in(scratch, &[], &script, None)?;
        expect(&outcome, 0, "alive\n", "can't create file: Permission denied")
    };
    locked(act, Path::new("/etc/hostname"))
}

fn locked_archive() -> Result<(), Failed> {
    let act = |file: &Path, scratch: &Path| {
        let args = ["run", "--rootfs", &archive(file), "/bin/true"];
        let outcome = wine::lx(args, scratch)?.outcome()?;
        let complaint = format!("lx: '{}': cannot use it as root file system: ", archive(file));
        expect(&outcome, 125, "", &complaint)
    };
    locked(act, rootfs::small()?)
}

fn parent(file: &Path) -> String {
    file.parent().map(|folder| folder.display().to_string()).unwrap_or_default()
}

fn unwritable_stats() -> Result<(), Failed> {
    let outcome = run(&["--stats=Z:\\sys\\stats"], "echo never", None)?;
    expect(&outcome, 125, "", "lx: cannot write 'Z:\\sys\\stats'")
}

/// A file that not even root may change.
fn immutable_file() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("file");
    fs::write(&file, "old\n")?;
    let path = file.to_str().ok_or("a strange name")?;
    as_root("chattr", &["+i", path])?;
    let script =
        format!("cd /mnt/z{}; echo new > file; rm file; cat file; echo y > z; ls", parent(&file));
    let outcome = run(&[], &script, None);
    as_root("chattr", &["-i", path])?;
    let outcome = outcome?;
    expect(&outcome, 0, "old\nfile\nz\n", "can't create file: Permission denied")
}

fn no_memory(script: &str, said: &str, complaint: &str) -> Result<(), Failed> {
    let outcome = run(&[], script, Some(MEMORY))?;
    expect(&outcome, 0, said, complaint)
}

/// The archive does not fit.
fn archive_too_large() -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let root = archive(rootfs::small()?);
    let args = ["run", "--rootfs", &root, "/bin/true"];
    let outcome = wine::lx(args, scratch.path())?.env("LX_TEST_MEMORY", "18").outcome()?;
    expect(&outcome, 125, "", "it does not fit into memory")
}
