//! `cargo xtask test-windows`: runs lx for Windows under Wine, in a prefix of its own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::command::{Task, cargo};
use crate::windows::{FOLDER, make_folder, root};

/// Where Debian's package puts it; else it is looked up in `PATH`.
const DEBIAN_WINE: &str = "/usr/lib/wine/wine64";
/// The linker of the programs is a compiler, too.
const MINGW: &str = "x86_64-w64-mingw32-gcc";

/// Wine without messages, and without offers to install more.
const QUIET: [(&str, &str); 2] =
    [("WINEDEBUG", "-all"), ("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=d")];

/// Runs the tests; `rest` goes to them.
pub(crate) fn test(rest: &[String]) -> Result<(), Failure> {
    if cfg!(windows) {
        built()?;
        return tests(rest).env("LX_WINDOWS", folder(FOLDER)?).run();
    }
    let (stress, rest): (Vec<String>, Vec<String>) =
        rest.iter().cloned().partition(|argument| argument == "--stress");
    let mut task = tests(&rest);
    if !stress.is_empty() {
        task = task.env("LX_STRESS", "1");
    }
    // The guests that the tests run, and lx for Linux, which they are compared with.
    run(task, &["--package", "lx", "--package", "lx-guest-tests"])
}

/// Compares the latency of one guest program natively, on lx for Linux and for Windows.
pub(crate) fn bench(rest: &[String]) -> Result<(), Failure> {
    let task = cargo(&["bench", "--quiet", "--package", "lx-benches", "--bench", "windows", "--"]);
    run(task.args(rest), &["--package", "lx"])
}

/// An error unless lx for Windows has been built.
fn built() -> Result<(), Failure> {
    if root().join(FOLDER).join("lx.exe").is_file() {
        return Ok(());
    }
    Err("lx.exe is missing; build it: cargo xtask build-windows".to_owned())
}

/// Prepares Wine, builds these packages for this machine, then runs the task.
fn run(task: Task, packages: &[&str]) -> Result<(), Failure> {
    built()?;
    let wine = wine()?;
    let home = folder("target/wine")?;
    let preload = preload(&home)?;
    let prefix = prefix(&wine, &home)?;
    cargo(&[&["build", "--quiet", "--release"], packages].concat()).run()?;
    let programs = folder("target/release")?;
    // Wine's own services start with the first program and end with the last. They print what goes
    // wrong in them to the first one's standard error: that of no test.
    let keeper =
        quiet(Task::new(&wine, &["cmd.exe"])).env("WINEPREFIX", &prefix).start_waiting()?;
    let result = quiet(task)
        .env("LX_WINDOWS", folder(FOLDER)?)
        .env("LX_BIN", programs.join("lx"))
        .env("LX_GUESTS", programs)
        .env("LX_WINE", &wine)
        .env("LX_WINE_PRELOAD", preload)
        .env("LX_WINE_FS_SLOT", fs_slot(&wine))
        .env("WINEPREFIX", &prefix)
        .run();
    drop(keeper);
    stop(&wine, &prefix);
    result
}

fn tests(rest: &[String]) -> Task {
    cargo(&["run", "--quiet", "--package", "lx-windows-tests", "--"]).args(rest)
}

fn quiet(task: Task) -> Task {
    QUIET
        .iter()
        .fold(task, |task, (name, value)| task.env(name, value))
        .env("TMPDIR", env::temp_dir())
        .env_remove("DISPLAY")
}

/// A folder of the repository, which is made, as an absolute path.
fn folder(name: &str) -> Result<PathBuf, Failure> {
    let folder = root().join(name);
    make_folder(&folder)?;
    folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))
}

/// Wine's 64-bit loader; installed where it is missing and apt is there.
fn wine() -> Result<PathBuf, Failure> {
    if let Some(wine) = find_wine() {
        return Ok(wine);
    }
    let missing = "Wine is missing; on Debian: apt-get install wine64";
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(missing.to_owned());
    }
    println!("installing wine64");
    apt_get(&["update", "-qq"])?;
    apt_get(&["install", "-y", "-qq", "--no-install-recommends", "wine64"])?;
    find_wine().ok_or_else(|| missing.to_owned())
}

fn find_wine() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join("wine64"));
    std::iter::once(PathBuf::from(DEBIAN_WINE)).chain(in_path).find(|wine| wine.is_file())
}

fn apt_get(args: &[&str]) -> Result<(), Failure> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let task = if is_root {
        Task::new("apt-get", args)
    } else {
        Task::new("sudo", &[&["apt-get"], args].concat())
    };
    task.env("DEBIAN_FRONTEND", "noninteractive").run()
}

/// Where in the TEB Wine keeps its own FS base, see `tests/wine/README.md`.
fn fs_slot(wine: &Path) -> &'static str {
    let output = Command::new(wine).arg("--version").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let number = text.trim().strip_prefix("wine-").and_then(|text| text.split('.').next());
    match number.and_then(|number| number.parse::<u32>().ok()) {
        Some(number) if number > 8 => "0x320",
        _ => "0x330",
    }
}

/// Builds the library that is preloaded into Wine's processes.
fn preload(home: &Path) -> Result<PathBuf, Failure> {
    let library = home.join("preload.so");
    let flags = ["-O2", "-Wall", "-fno-stack-protector", "-mfsgsbase", "-shared", "-fPIC", "-o"];
    Task::new("gcc", &flags)
        .arg(&library)
        .arg(root().join("tests/wine/preload.c"))
        .args(&["-ldl", "-pthread"])
        .run()?;
    Ok(library)
}

/// A prefix with the library that Wine 8 lacks. Making one takes some seconds, so it is kept.
fn prefix(wine: &Path, home: &Path) -> Result<PathBuf, Failure> {
    let prefix = home.join("prefix");
    let system = prefix.join("drive_c/windows/system32");
    if !prefix.join("system.reg").exists() {
        quiet(Task::new(wine, &["wineboot", "--init"])).env("WINEPREFIX", &prefix).output()?;
        // The prefix is complete when its server has written the registry.
        server(wine, &prefix, "--wait");
    }
    let library = system.join("bcryptprimitives.dll");
    if !library.exists() {
        Task::new(MINGW, &["-O2", "-shared", "-o"])
            .arg(&library)
            .arg(root().join("tests/wine/bcryptprimitives.c"))
            .arg("-ladvapi32")
            .run()?;
    }
    Ok(prefix)
}

/// Ends what still runs in the prefix, and nothing else.
fn stop(wine: &Path, prefix: &Path) {
    server(wine, prefix, "--kill");
}

/// Asks the prefix's server for something. It may be gone already, which is as good.
fn server(wine: &Path, prefix: &Path, what: &str) {
    let server = wine.with_file_name("wineserver");
    let _ = quiet(Task::new(server, &[what])).env("WINEPREFIX", prefix).output();
}
