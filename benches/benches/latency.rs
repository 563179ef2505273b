//! `cargo bench --bench latency`: the guest program natively and on lx in turn, and the ratio.
//!
//! Options after `--`: the number of pairs (default 5). `LX_BIN` names another `lx`.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use lx_benches::{GOALS, Report, median, parse_report};

/// Default number of pairs.
const PAIRS: usize = 5;

fn run(command: &mut Command) -> Result<Report, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?} ended with {}: {errors}", output.status));
    }
    Ok(parse_report(&String::from_utf8_lossy(&output.stdout)))
}

/// The `lx` program: built by this bench's own cargo in release mode.
fn build_lx() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("LX_BIN") {
        return Ok(path.into());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "lx", "--bin", "lx"])
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err("building lx failed".into());
    }
    let guest = PathBuf::from(env!("CARGO_BIN_EXE_latency-guest"));
    let folder = guest.parent().ok_or("no target folder")?;
    Ok(folder.join("lx"))
}

fn main() -> ExitCode {
    let pairs = env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(PAIRS);
    match compare(pairs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("latency: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compare(pairs: usize) -> Result<(), String> {
    let lx = build_lx()?;
    let guest = env!("CARGO_BIN_EXE_latency-guest");
    let mut native: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut ours = native.clone();
    let mut ratios = native.clone();
    for pair in 1..=pairs {
        eprintln!("pair {pair} of {pairs}");
        let mut on_host = run(&mut Command::new(guest))?;
        let mut on_lx = run(Command::new(&lx).args(["run", "--", guest]))?;
        on_host.extend(run(Command::new(guest).arg("trees"))?);
        on_lx.extend(run(Command::new(&lx).args(["run", "--", guest, "trees"]))?);
        for (name, host) in &on_host {
            let Some(guest) = on_lx.get(name) else { continue };
            native.entry(name.clone()).or_default().push(*host);
            ours.entry(name.clone()).or_default().push(*guest);
            ratios.entry(name.clone()).or_default().push(guest / host);
        }
    }
    println!("{:<31}{:>12}{:>12}{:>10}{:>8}", "operation", "native ns", "lx ns", "ratio", "goal");
    for (name, goal) in GOALS {
        let middle = |map: &mut BTreeMap<String, Vec<f64>>| {
            map.get_mut(name).and_then(|values| median(values)).unwrap_or(f64::NAN)
        };
        let (host, guest, ratio) = (middle(&mut native), middle(&mut ours), middle(&mut ratios));
        let mark = if ratio <= goal { "met" } else { "missed" };
        println!("{name:<31}{host:>12.1}{guest:>12.1}{ratio:>10.3}{goal:>8.2} {mark}");
    }
    Ok(())
}
