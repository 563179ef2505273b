//! Guests and programs of Windows: drives, programs that guests start, pipes both ways.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;

use crate::{expectations, rootfs, wine};

/// Scripts for guests: name, text, what comes out. `$P` is the test program, `$D` an empty folder,
/// both on a drive.
const SCRIPTS: &[(&str, &str, &str)] = &[
    ("drive_is_mounted", "mount | grep -c '/mnt/c type drvfs'", "1\n"),
    ("case_does_not_matter", "cd $D; echo x > Name; cat nAME; ls", "x\nName\n"),
    (
        "forbidden_characters",
        "cd $D; echo x > 'a:b?*'; ls; cat 'a:b?*'; rm 'a:b?*'; ls",
        "a:b?*\nx\n",
    ),
    ("rename", "cd $D; echo 1 > a; echo 2 > b; mv a b; cat b; mv b B; ls", "1\nB\n"),
    (
        "directories",
        "cd $D; mkdir -p a/b; mv a/b c; rmdir a; touch c/x; rmdir c 2> /dev/null; ls; rm -r c; ls",
        "c\n",
    ),
    (
        "write_protection",
        "cd $D; echo > a; chmod 444 a; stat -c %a a; chmod 644 a; stat -c %a a; chmod 0 a; rm a; ls",
        "555\n777\n",
    ),
    (
        "removed_while_open",
        "cd $D; echo x > a; exec 3< a; rm a; echo y > a; cat <&3; cat a",
        "x\ny\n",
    ),
    ("append", "cd $D; echo a > f; echo b >> f; cat f; wc -c < f", "a\nb\n4\n"),
    (
        "mount_options",
        "mkdir /x; mount -t drvfs -o uid=7,umask=022 C: /x; stat -c '%u %a' /x; umount /x",
        "7 755\n",
    ),
    (
        "owners_are_kept",
        "mkdir /x; mount -t drvfs -o metadata,umask=022 Z:${D#/mnt/z} /x; cd /x; echo > f; mkdir d; \
         chown 5:6 f; chmod 4751 f; chown 7:8 d; chmod 1770 d; stat -c '%n %u %g %a' f d; cd /; \
         umount /x",
        "f 5 6 4751\nd 7 8 1770\n",
    ),
    (
        "devices_are_kept",
        "mkdir /x; mount -t drvfs -o metadata Z:${D#/mnt/z} /x; cd /x; mknod n c 1 3; mkfifo p; \
         stat -c '%n %F %t:%T' n p; cd /; umount /x",
        "n character special file 1:3\np fifo 0:0\n",
    ),
    (
        "mount_on_a_drive",
        "mkdir -p $D/a/b; mount -t tmpfs x $D/a/b; echo y > $D/a/b/c; cat $D/a/b/c; umount $D/a/b; \
         ls -A $D/a/b; rmdir $D/a/b; ls -A $D/a",
        "y\n",
    ),
    ("by_path", "PATH=$PATH:/mnt/c/windows/system32; cmd.exe /c exit 7; echo $?", "7\n"),
    ("status", "$P exit 0 && $P exit 5; echo $?", "5\n"),
    // The shell takes what cannot be executed for a script.
    ("not_a_program", "cd $D; echo MZ > x.exe; ./x.exe 2> /dev/null; echo $?", "127\n"),
    ("arguments", r#"$P args 'a b' '' 'c"d' 'e\' 'f g\' ü"#, "[a b]\n[]\n[c\"d]\n[e\\]\n[f g\\]\n"),
    ("output_to_pipe", "$P args x | cat", "[x]\n"),
    ("output_to_file", "$P args x > /tmp/f; cat /tmp/f", "[x]\n"),
    ("substitution", "x=$($P args y); echo \"<$x>\"", "<[y]>\n"),
    ("input_from_pipe", "echo hello | $P upper | cat", "HELLO\n"),
    ("input_from_file", "echo in > /tmp/i; $P upper < /tmp/i", "IN\n"),
    (
        "much_data",
        "head -c 300000 /dev/zero | tr '\\0' x | $P upper | tr -d -c X | wc -c",
        "300000\n",
    ),
    ("no_input", "$P upper < /dev/null; echo $?", "0\n"),
    ("closed_output", "$P args x | true; echo $?", "0\n"),
    ("standard_error", "$P err 2>&1 > /dev/null | cat", "to stderr\n"),
    ("working_directory", "cd /mnt/c/windows && $P cwd", "C:\\windows\n"),
    (
        "wslenv",
        "export A=/mnt/c/x B=/mnt/c:/mnt/c/windows C=c D=d E=e WSLENV=A/p:B/l:C/u:D; $P env A B C D E",
        "C:\\x\nC:\\;C:\\windows\nnone\nd\nnone\n",
    ),
    ("terminated", "$P sleep & sleep 1; kill $!; wait $!; echo $?", "143\n"),
    ("killed", "$P sleep & sleep 1; kill -9 $!; wait $!; echo $?", "137\n"),
    ("exec", "exec $P exit 9", ""),
];

/// One test for each script, and the ways into `lx run`.
pub(crate) fn trials() -> Result<Vec<Trial>, String> {
    let root = rootfs::small()?;
    let Some(program) = program()? else { return Ok(Vec::new()) };
    let scripts = SCRIPTS.iter().map(|(name, script, expected)| {
        expectations::trial(format!("interop::{name}"), move || {
            check(root, program, script, expected)
        })
    });
    let direct =
        expectations::trial("interop::first_program", move || first_program(root, program));
    let pipes = expectations::trial("interop::pipes_of_windows", move || pipes_of_windows(root));
    let full =
        expectations::trial("interop::full_pipe_can_be_interrupted", move || full_pipe(root));
    let slow = expectations::trial("interop::slow_reader_gets_all", move || slow_reader(root));
    Ok(scripts.chain([direct, pipes, full, slow]).collect())
}

/// The test program, compiled; none where there is no compiler, as on Windows.
///
/// # Errors
/// A sentence if it cannot be made.
pub(crate) fn program() -> Result<Option<&'static Path>, String> {
    static PROGRAM: OnceLock<Result<(PathBuf, TempDir), String>> = OnceLock::new();
    if !wine::is_wine() {
        return Ok(None);
    }
    let built = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/probe.c");
        let program = folder.path().join("probe.exe");
        let status = Command::new("x86_64-w64-mingw32-gcc")
            .args(["-O1", "-o"])
            .arg(&program)
            .arg(source)
            .status()
            .map_err(|error| format!("x86_64-w64-mingw32-gcc: {error}"))?;
        if status.success() { Ok((program, folder)) } else { Err("no test program".to_owned()) }
    });
    built.as_ref().map(|(program, _)| Some(program.as_path())).map_err(Clone::clone)
}

/// The path of a file of this machine for guests.
fn in_guest(path: &Path) -> String {
    format!("/mnt/z{}", path.display())
}

fn check(root: &Path, program: &Path, script: &str, expected: &str) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let folder = tempfile::tempdir()?;
    let (program, folder) = (in_guest(program), in_guest(folder.path()));
    let script = format!("export PATH=/bin P={program} D={folder}; {script}");
    let args = ["run", "--rootfs", &archive(root), "--", "/bin/sh", "-c", &script];
    let outcome = wine::lx(args, scratch.path())?.outcome()?;
    let output = String::from_utf8_lossy(&outcome.stdout);
    // How a letter beyond ASCII looks depends on Wine's code page.
    let output: String =
        output.lines().filter(|line| line.is_ascii()).flat_map(|l| [l, "\n"]).collect();
    let status = if script.ends_with("exit 9") { 9 } else { 0 };
    if output == expected && outcome.status == status && outcome.defect.is_none() {
        return Ok(());
    }
    Err(format!("expected {expected:?}, status {status}: {outcome:#?}").into())
}

fn archive(root: &Path) -> String {
    format!("Z:{}", root.display())
}

/// `lx run` of a program of Windows.
fn first_program(root: &Path, program: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let args = ["run", "--rootfs", &archive(root), "--", &in_guest(program), "exit", "6"];
    let outcome = wine::lx(args, scratch.path())?.outcome()?;
    if outcome.status == 6 { Ok(()) } else { Err(format!("{outcome:#?}").into()) }
}

/// A pipeline of Windows' shell with guests in it.
fn pipes_of_windows(root: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let root = archive(root);
    let lx = wine::path_of("lx.exe")?;
    let guest = format!("{lx} run --rootfs {root} /bin/tr a-z A-Z");
    let line = format!("echo hello| {guest}| {guest}");
    let outcome = wine::windows("cmd", ["/c", &line], scratch.path())?.outcome()?;
    let output = String::from_utf8_lossy(&outcome.stdout);
    if output.trim_end() == "HELLO" { Ok(()) } else { Err(format!("{outcome:#?}").into()) }
}

/// A signal reaches a guest that writes to a full pipe, and what it has written is there once.
fn full_pipe(root: &Path) -> Result<(), Failed> {
    let script = "export PATH=/bin; trap 'echo caught >&2; exit 5' USR1; \
                  (sleep 1; kill -USR1 $$; sleep 1; kill -9 $$) & \
                  while :; do printf '%01000d\\n' 1; done";
    let args = ["run", "--rootfs", &archive(root), "--", "/bin/sh", "-c", script];
    let mut lx = wine::command(args)?;
    lx.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = lx.spawn()?;
    // Nobody reads.
    let stdout = child.stdout.take();
    let output = child.wait_with_output()?;
    drop(stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    if said == "caught\n" { Ok(()) } else { Err(format!("{said:?}, {:?}", output.status).into()) }
}

/// Writers that wait for a pipe, two at once and stopped often, write each line once.
fn slow_reader(root: &Path) -> Result<(), Failed> {
    const LINES: usize = 300;
    let script = format!(
        "export PATH=/bin; p=; for w in a b; do \
           (i=0; while [ $i -lt {LINES} ]; do i=$((i + 1)); printf '%s%0800d\\n' $w $i; done) & \
           p=\"$p $!\"; done; \
         for n in 1 2 3 4 5 6 7 8; do sleep 0.1; kill -STOP $p; kill -CONT $p; done; wait"
    );
    let args = ["run", "--rootfs", &archive(root), "--", "/bin/sh", "-c", &script];
    let mut lx = wine::command(args)?;
    lx.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = lx.spawn()?;
    let mut stdout = child.stdout.take().ok_or("no output")?;
    let mut all = Vec::new();
    let mut part = [0; 16 * 1024];
    loop {
        thread::sleep(Duration::from_millis(15));
        match stdout.read(&mut part)? {
            0 => break,
            count => all.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    child.wait()?;
    let all = String::from_utf8_lossy(&all);
    for writer in ["a", "b"] {
        let own: Vec<&str> = all.lines().filter(|line| line.starts_with(writer)).collect();
        let expected: Vec<String> = (1..=LINES).map(|n| format!("{writer}{n:0800}")).collect();
        if own != expected {
            return Err(format!("{} lines of {writer}", own.len()).into());
        }
    }
    Ok(())
}
