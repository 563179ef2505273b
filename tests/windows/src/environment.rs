//! What guests get of Windows' environment; and root file systems that are folders of Windows.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Failed, Trial};
use lx_tests::Outcome;

use crate::{expectations, rootfs, wine};

/// Where programs are looked for without Windows' folders.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn trials() -> Vec<Trial> {
    if cfg!(windows) {
        return Vec::new();
    }
    vec![
        expectations::trial("environment::path", path),
        expectations::trial("environment::path_is_not_wanted", path_is_not_wanted),
        expectations::trial("environment::wslenv", wslenv),
        expectations::trial("environment::programs_by_path", || {
            let outcome = run(rootfs::small()?, &[], "cmd.exe /c exit 7; echo $?")?;
            expect(&outcome, |said| said == "7\n")
        }),
        expectations::trial("rootfs::folder", folder),
    ]
}

fn run(root: &Path, options: &[&str], script: &str) -> Result<Outcome, Failed> {
    let scratch = tempfile::tempdir()?;
    let root = format!("Z:{}", root.display());
    let fixed = ["--rootfs", &root, "--", "/bin/sh", "-c", script];
    let args = ["run"].iter().chain(options).chain(&fixed);
    let run = wine::lx(args, scratch.path())?
        .env("WSLENV", "A/p:B/l:C/u:D/w:E:MISSING")
        .env("A", "C:\\x")
        .env("B", "C:\\;Z:\\a b")
        .env("C", "c")
        .env("D", "d")
        .env("E", "C:\\e");
    Ok(run.outcome()?)
}

fn expect(outcome: &Outcome, good: impl FnOnce(&str) -> bool) -> Result<(), Failed> {
    let said = String::from_utf8_lossy(&outcome.stdout);
    if good(&said) && outcome.status == 0 && outcome.defect.is_none() {
        return Ok(());
    }
    let complaints = String::from_utf8_lossy(&outcome.stderr);
    Err(format!("status {}, {said:?}, {complaints:?}", outcome.status).into())
}

fn path() -> Result<(), Failed> {
    let outcome = run(rootfs::small()?, &[], "echo $PATH")?;
    let start = format!("{PATH}:/mnt/c/windows/system32:/mnt/c/windows:");
    expect(&outcome, |said| said.to_lowercase().starts_with(&start) && !said.contains('\\'))
}

/// By the user, or by the file system.
fn path_is_not_wanted() -> Result<(), Failed> {
    let outcome = run(rootfs::small()?, &["-e", "PATH=/bin"], "echo $PATH")?;
    expect(&outcome, |said| said == "/bin\n")?;
    for conf in ["[interop]\nappendWindowsPath=false\n", "[automount]\nenabled=false\n"] {
        let folder = tempfile::tempdir()?;
        let archive = folder.path().join("root.tar");
        fs::copy(rootfs::small()?, &archive)?;
        fs::create_dir(folder.path().join("etc"))?;
        fs::write(folder.path().join("etc/wsl.conf"), conf)?;
        let mut tar = Command::new("tar");
        tar.arg("-rf").arg(&archive).arg("-C").arg(folder.path()).arg("etc/wsl.conf");
        if !tar.status()?.success() {
            return Err("tar has failed".into());
        }
        let outcome = run(&archive, &[], "echo $PATH")?;
        expect(&outcome, |said| said == format!("{PATH}\n"))?;
    }
    Ok(())
}

fn wslenv() -> Result<(), Failed> {
    let script = "echo \"$A,$B,$C,$D,$E,$MISSING,$WSLENV\"";
    let expected = "/mnt/c/x,/mnt/c/:/mnt/z/a b,c,,C:\\e,,A/p:B/l:C/u:D/w:E:MISSING\n";
    expect(&run(rootfs::small()?, &[], script)?, |said| said == expected)?;
    let outcome = run(rootfs::small()?, &["-e", "A=own"], "echo $A")?;
    expect(&outcome, |said| said == "own\n")
}

/// A folder of a drive as root: what is written stays there.
fn folder() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("root");
    for name in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(name))?;
    }
    for name in ["busybox", "sh", "cat", "ls", "mv", "rm", "mkdir", "stat", "chmod", "id", "ln"] {
        let file: PathBuf = root.join("bin").join(name);
        fs::copy("/bin/busybox", &file)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    let script = "cd /tmp; echo 1 > a; cat a; mv a B; ls; mkdir -p d/e; mv B d/e/f; cat d/e/f; \
                  stat -c '%a %u' /bin/sh; (id -u; cat /etc/passwd) | cat; ln d/e/f hard; rm -r d; \
                  cat hard; echo 2 >> hard; exec 3< hard; rm hard; cat <&3; echo end > last; \
                  cat /proc/mounts | (read line; echo $line)";
    let outcome = run(&root, &[], script)?;
    let expected = "1\nB\n1\n755 0\n0\nroot:x:0:0:root:/root:/bin/sh\n1\n1\n2\n\
                    lx / drvfs rw,relatime,uid=0,gid=0,umask=022,metadata,case=dir 0 0\n";
    expect(&outcome, |said| said == expected)?;
    let left = fs::read_to_string(root.join("tmp/last"))?;
    let others = fs::read_dir(root.join("tmp"))?.count();
    if left == "end\n" && others == 1 {
        return Ok(());
    }
    Err(format!("{left:?}, {others} files").into())
}
