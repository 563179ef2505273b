//! `cargo xtask bench-windows`: the guest program natively, on lx for Linux and on lx for Windows in
//! turn. Prints every figure, and which goals are met.
//!
//! The task sets the environment: where Wine, `lx.exe` and `lx` are.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use lx_benches::{Limit, Report, WINDOWS_GOALS, median, parse_report};

/// Runs of each, where the command line does not say how many.
const ROUNDS: usize = 3;

/// The guest, what it starts, and the libraries of all.
const TREE: &str = r#"
    set -e
    rm -rf "$TREE" && mkdir -p "$TREE/tmp" "$TREE/dev" "$TREE/proc" "$TREE/sys" "$TREE/bin"
    cp "$GUEST" "$TREE/bin/latency-guest"
    cp -L /bin/true /bin/cat /bin/sh "$TREE/bin/"
    for library in $(ldd "$GUEST" /bin/true /bin/cat /bin/sh | grep -o '/[^ :]*[.]so[^ :]*' | sort -u); do
        [ -e "$TREE$library" ] || cp -L --parents "$library" "$TREE"
    done
    tar --numeric-owner --owner=0 --group=0 -cf "$TREE.tar" -C "$TREE" .
"#;

fn main() -> ExitCode {
    let rounds = env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    match compare(rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench-windows: {message}");
            ExitCode::FAILURE
        }
    }
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set; run: cargo xtask bench-windows"))
}

fn run(command: &mut Command) -> Result<Report, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} ended with {}: {errors}", output.status));
    }
    Ok(parse_report(&String::from_utf8_lossy(&output.stdout)))
}

/// Makes the root file system that both hosts get: its archive.
fn archive(guest: &Path) -> Result<PathBuf, String> {
    let tree = guest.with_file_name("latency-tree");
    let output = Command::new("/bin/sh")
        .args(["-c", TREE])
        .env("TREE", &tree)
        .env("GUEST", guest)
        .output()
        .map_err(|error| format!("/bin/sh: {error}"))?;
    if !output.status.success() {
        return Err(format!("no root: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(tree.with_extension("tar"))
}

/// Figures of one operation, run by run: natively, on lx for Linux, on lx for Windows.
type Figures = BTreeMap<String, [Vec<f64>; 3]>;

fn measure(rounds: usize) -> Result<Figures, String> {
    const GUEST: &str = "/bin/latency-guest";
    let guest = PathBuf::from(env!("CARGO_BIN_EXE_latency-guest"));
    let archive = archive(&guest)?;
    let (wine, lx) = (variable("LX_WINE")?, variable("LX_BIN")?);
    let program = PathBuf::from(variable("LX_WINDOWS")?).join("lx.exe");
    let preload = variable("LX_WINE_PRELOAD")?;
    let mut figures = Figures::new();
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        let root = format!("Z:{}", archive.display());
        let reports = [
            run(&mut Command::new(&guest))?,
            run(Command::new(&lx).args(["run", "--rootfs"]).arg(&archive).args(["--", GUEST]))?,
            run(Command::new(&wine)
                .arg(&program)
                .args(["run", "--rootfs", &root, "--", GUEST])
                .env("LD_PRELOAD", &preload))?,
        ];
        for (place, report) in reports.into_iter().enumerate() {
            for (name, nanos) in report {
                if let Some(runs) = figures.entry(name).or_default().get_mut(place) {
                    runs.push(nanos);
                }
            }
        }
    }
    Ok(figures)
}

fn compare(rounds: usize) -> Result<(), String> {
    println!(
        "{:<26}{:>13}{:>13}{:>13}{:>9}  goal",
        "operation", "native ns", "Linux ns", "Windows ns", "ratio"
    );
    for (name, mut runs) in measure(rounds)? {
        let [native, linux, windows] = runs.each_mut().map(|runs| median(runs).unwrap_or(f64::NAN));
        let ratio = windows / linux;
        let goal = WINDOWS_GOALS.iter().find(|(goal, _)| *goal == name).map(|(_, limit)| *limit);
        let (met, goal) = match goal {
            None => (true, "none".to_owned()),
            Some(Limit::Nanos(nanos)) => (windows <= nanos, format!("{nanos} ns")),
            Some(Limit::TimesLinux(times)) => (ratio <= times, format!("ratio {times}")),
        };
        let mark = match (goal.as_str(), met) {
            ("none", _) => "",
            (_, true) => ": met",
            (_, false) => ": missed",
        };
        println!("{name:<26}{native:>13.1}{linux:>13.1}{windows:>13.1}{ratio:>9.2}  {goal}{mark}");
    }
    Ok(())
}
