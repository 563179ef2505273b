//! Programs at a terminal, driven by scripts that type: natively, and with `lx run` in between.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use lx_tests::lx;

/// What the script of this name prints; it must succeed.
#[track_caller]
fn script(name: &str, args: &[&str]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("interactive").join(name);
    let output = Command::new("/usr/bin/python3").arg(path).args(args).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {}\n{shown}{errors}", output.status);
    shown
}

#[test]
fn programs_work_as_natively() {
    let native = script("programs.py", &[]);
    let lx = lx::command().unwrap();
    let lx = [lx.to_str().unwrap(), "run", "-v", "{}:{}"];
    for options in [&["-t", "--"][..], &["--"]] {
        let on_lx = script("programs.py", &[&lx, options].concat());
        assert_eq!(on_lx, native, "{options:?}");
    }
}

#[test]
fn settings_are_restored_however_it_ends() {
    let lx = lx::command().unwrap();
    let expected = "\
end: 3, settings as before: True
killed guest: 137, settings as before: True
no program: 127, settings as before: True
the guest has opost echo
stty: 0, settings as before: True
SIGTERM: 143, settings as before: True
SIGINT: 130, settings as before: True
SIGQUIT: 131, settings as before: True
SIGHUP is for the guest, which ignores it
SIGTERM: 143, settings as before: True
lx gets SIGKILL: -9, settings as before: True
lx gets SIGABRT: -6, settings as before: True
the kernel is killed: 125, settings as before: True
settings of others are kept: True
stopped: [1]+  Stopped
settings: opost icanon
size: 30 90 raw: True
status 143
bash: 0, settings as before: True
input: no terminal
got word
streams: 0, settings as before: True
125 lx: -t needs a terminal, and no standard stream is one
";
    assert_eq!(script("settings.py", &[lx.to_str().unwrap()]), expected);
}
