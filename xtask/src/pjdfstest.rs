//! `cargo xtask pjdfstest`: a public suite of tests for file systems, run natively on a tmpfs and on
//! each file system of lx. Every case that passes natively has to pass on lx.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use crate::Failure;
use crate::command::{Task, cargo};
use crate::windows::{make_folder, root};

/// The version that the results are of.
const VERSION: &str = "0.2.2";
/// Cases that make the file system read-only and back. Some others leave files open, which keeps a
/// file system writable, so these run first and in a process of their own.
const REMOUNT: &str = "erofs";

/// The second user of the suite, besides nobody.
const OTHER_USER: &str = "daemon";

/// Prepares `/mnt`, for the command only: two file systems, and the programs where everybody may
/// execute them. Then runs it.
const IN_MNT: &str = r#"mount -t tmpfs none /mnt && mkdir /mnt/first /mnt/second &&
mount -t tmpfs none /mnt/first && mount -t tmpfs none /mnt/second &&
chmod 755 /mnt/first && chown "$1:$1" /mnt/first && cp "$2" "$3" "$4"/*.toml /mnt || exit 9
shift 4; "$@" || [ $? -lt 9 ]"#;

/// An ordinary user whom the suite does not become.
const USER: &str = "12345";

/// Shows a folder of the root file system, an overlay, in a mount of its own. The suite makes what
/// it finds mounted read-only but for the root, and tells a mount by its device number: so there is
/// another file system above.
const OVERLAY: &str = "mkdir -m 755 /overlay && mount -t tmpfs none /pjd && \
    mkdir /pjd/first /pjd/second && mount -t tmpfs none /pjd/second && \
    mount --bind /overlay /pjd/first";

/// The results of the cases, by name.
type Results = BTreeMap<String, String>;

/// A file system of lx.
struct Target {
    name: &'static str,
    /// What the guest does before the suite runs in `/pjd/first`; `/pjd/second` is another one.
    prepare: &'static str,
    /// Who runs lx, which keeps owners beside files unless that is root.
    user: &'static str,
}

const TARGETS: &[Target] = &[
    Target { name: "tmpfs", prepare: "mount -t tmpfs none /pjd/first", user: "0" },
    Target { name: "overlay", prepare: OVERLAY, user: "0" },
    // The folders are mounted there by `lx run -v`.
    Target { name: "hostfs", prepare: ":", user: "0" },
    Target { name: "hostfs of an ordinary user", prepare: ":", user: USER },
];

/// Builds the suite where needed, runs it everywhere and compares; says why where that cannot be.
pub(crate) fn run() -> Result<(), Failure> {
    let suite = match Suite::new() {
        Ok(suite) => suite,
        Err(reason) => {
            println!("pjdfstest: skipped: {}", reason.lines().next().unwrap_or_default());
            return Ok(());
        }
    };
    cargo(&["build", "--quiet", "--release", "--package", "lx"]).run()?;
    let started = Instant::now();
    let native = suite.natively()?;
    println!("pjdfstest: {} of {} cases pass natively", passed(&native), native.len());
    let mut differences = Vec::new();
    for target in TARGETS {
        if target.user != "0" && !tmpfs_has_attributes() {
            println!("pjdfstest: skipped {}: it needs Linux 6.6", target.name);
            continue;
        }
        let results = suite.on_lx(target)?;
        println!("pjdfstest: {} pass on {} of lx", passed(&results), target.name);
        for (case, native) in &native {
            let result = results.get(case).map_or("missing", String::as_str);
            if native == "ok" && result != "ok" {
                differences.push(format!("{}: {case}: {result}", target.name));
            }
        }
    }
    println!("pjdfstest: {} s", started.elapsed().as_secs());
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn passed(results: &Results) -> usize {
    results.values().filter(|result| *result == "ok").count()
}

/// The built suite with its folders, all below `target`.
struct Suite {
    program: PathBuf,
    lx: PathBuf,
    home: PathBuf,
}

impl Suite {
    /// An error says why the suite cannot run here.
    fn new() -> Result<Self, Failure> {
        if answer("id", &["-u"])? != "0" {
            return Err("it needs root, to mount file systems and to become other users".to_owned());
        }
        let home = root().join("target/pjdfstest");
        make_folder(&home)?;
        let home = home.canonicalize().map_err(|error| error.to_string())?;
        let built = home.join(VERSION);
        let program = built.join("bin/pjdfstest");
        if !program.is_file() {
            println!("building pjdfstest {VERSION}");
            cargo(&["install", "--quiet", "--locked", "--version", VERSION, "pjdfstest", "--root"])
                .arg(&built)
                .arg("--target-dir")
                .arg(home.join("build"))
                .output()?;
        }
        // The group of nobody has a name of its own on some systems.
        let (nobody, other) =
            (answer("id", &["-gn", "nobody"])?, answer("id", &["-gn", OTHER_USER])?);
        for (name, remounts) in [("remount.toml", true), ("usual.toml", false)] {
            let text = format!(
                "[features]\nposix_fallocate = {{}}\nrename_ctime = {{}}\nstat_st_birthtime = {{}}\n\
                 utime_now = {{}}\nutimensat = {{}}\n\
                 [settings]\nnaptime = 0.02\nallow_remount = {remounts}\n[dummy_auth]\n\
                 entries = [[\"nobody\", \"{nobody}\"], [\"{OTHER_USER}\", \"{other}\"]]\n"
            );
            fs::write(home.join(name), text).map_err(|error| format!("{name}: {error}"))?;
        }
        let lx = root().join("target/release/lx");
        Ok(Self { program, lx, home })
    }

    /// Runs a command in [`IN_MNT`]'s surroundings, which nobody else sees.
    fn run(&self, user: &str, command: &[&str]) -> Result<Results, Failure> {
        let task = Task::new("unshare", &["--mount", "/bin/sh", "-c", IN_MNT, "sh", user])
            .arg(&self.lx)
            .arg(&self.program)
            .arg(&self.home);
        let output = task.args(command).env("NO_COLOR", "1").output()?;
        Ok(results(&String::from_utf8_lossy(&output)))
    }

    fn natively(&self) -> Result<Results, Failure> {
        let mut all = Results::new();
        for remounts in [false, true] {
            let suite = command("/mnt", remounts);
            all.extend(self.run("0", &["/bin/sh", "-c", &suite])?);
        }
        Ok(all)
    }

    fn on_lx(&self, target: &Target) -> Result<Results, Failure> {
        let mut all = Results::new();
        for remounts in [false, true] {
            let script = format!(
                "mkdir -p /pjd/first /pjd/second; mount -t tmpfs none /pjd/second; {}; {}",
                target.prepare,
                command("/pjd", remounts)
            );
            let user = target.user;
            let mut command = vec!["setpriv", "--reuid", user, "--regid", user, "--clear-groups"];
            command.extend(["/mnt/lx", "run", "-u", "root"]);
            if target.name.starts_with("hostfs") {
                command.extend(["-v", "/mnt/first:/pjd/first"]);
            }
            command.extend(["/bin/sh", "-c", &script]);
            all.extend(self.run(user, &command)?);
        }
        Ok(all)
    }
}

/// The command line of the suite: the cases that remount, or all.
fn command(folder: &str, remounts: bool) -> String {
    let (configuration, cases) = if remounts { ("remount", REMOUNT) } else { ("usual", "") };
    format!(
        "/mnt/pjdfstest -c /mnt/{configuration}.toml -p {folder}/first -s {folder}/second {cases}"
    )
}

/// Whether files of a tmpfs can have attributes of users.
fn tmpfs_has_attributes() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(6))
}

/// What a program prints, without the end of the line.
fn answer(program: &str, args: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// The cases in the output of the suite: `open::erofs_named    ok`.
fn results(output: &str) -> Results {
    let mut results = Results::new();
    for line in output.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [case, result @ ("ok" | "FAILED" | "skipped")] = words[..] {
            results.insert(case.to_owned(), result.to_owned());
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_among_messages() {
        let found =
            results("chmod::eloop    ok\n\tassertion ok not\nopen::x    FAILED\n1 failed\n");
        let found: Vec<_> = found.iter().map(|(case, result)| format!("{case} {result}")).collect();
        assert_eq!(found, ["chmod::eloop ok", "open::x FAILED"]);
    }
}
