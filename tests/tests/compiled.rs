//! Programs of compilers that bring a runtime or C library of their own: Go and musl. Their sources
//! are in `tests/compiled`; they do on lx what they do natively, and so does the Go compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lx_tests::{Run, compare, lx};

/// The Go compiler builds what it needs of its library first, and other tests run at the same time.
const LIMIT: Duration = Duration::from_secs(240);

const GO: (&str, &str) = ("/usr/bin/go", "golang-go");
const MUSL: (&str, &str) = ("/usr/bin/musl-gcc", "musl-tools");

type Tested = Result<(), String>;

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compiled").join(name)
}

fn installed((program, package): (&str, &str)) -> Tested {
    if Path::new(program).is_file() {
        return Ok(());
    }
    Err(format!("{program} is missing; install it: apt-get install {package}"))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A shell script, on lx or not, that knows its scratch folder as `$TMPDIR` and the source as `$1`.
fn script(script: &str, source: &Path, on_lx: bool) -> Result<lx_tests::Outcome, String> {
    let scratch = tempfile::tempdir().map_err(text)?;
    let run = if on_lx {
        Run::new(lx::command()?, scratch.path()).args(["run", "--", "/bin/sh"])
    } else {
        Run::new("/bin/sh", scratch.path())
    };
    let run = run.args(["-c", script, "sh"]).args([source]);
    run.env("GO111MODULE", "off").limit(LIMIT).outcome().map_err(text)
}

/// Runs a program that a script has built at `$TMPDIR/program`, natively and on lx.
fn built(build: &str, source: &Path) -> Tested {
    let folder = tempfile::tempdir().map_err(text)?;
    let run = Run::new("/bin/sh", folder.path()).args(["-c", build, "sh"]).args([source]);
    let outcome = run.env("GO111MODULE", "off").limit(LIMIT).outcome().map_err(text)?;
    if outcome.status != 0 {
        return Err(format!("{build}: {}", String::from_utf8_lossy(&outcome.stderr)));
    }
    let program = folder.path().join("program");
    let scratch = tempfile::tempdir().map_err(text)?;
    let native = Run::new(&program, scratch.path()).outcome().map_err(text)?;
    if native.status != 0 {
        return Err(format!("natively: {}", String::from_utf8_lossy(&native.stdout)));
    }
    let stats = folder.path().join("stats");
    let no_args: [&str; 0] = [];
    let on_lx = lx::run(&program, no_args, scratch.path(), &stats)?.outcome().map_err(text)?;
    compare::outcomes(&native, "lx", &on_lx)?;
    let stats = fs::read_to_string(&stats).map_err(text)?;
    match stats.lines().find(|line| line.contains("unsupported: system call")) {
        Some(line) => Err(line.to_owned()),
        None => Ok(()),
    }
}

#[test]
fn a_go_program() -> Tested {
    installed(GO)?;
    built(r#"HOME=$TMPDIR go build -o "$TMPDIR/program" "$1""#, &source("runtime.go"))
}

#[test]
fn the_go_compiler() -> Tested {
    installed(GO)?;
    let build = r#"HOME=$TMPDIR; export HOME
        go build -o "$TMPDIR/program" "$1" && "$TMPDIR/program"; echo status $?
        go vet "$1"; echo status $?
        go run "$1"; echo status $?"#;
    let hello = source("hello.go");
    compare::outcomes(&script(build, &hello, false)?, "lx", &script(build, &hello, true)?)
}

#[test]
fn a_static_program_with_musl() -> Tested {
    installed(MUSL)?;
    built(r#"musl-gcc -O1 -static -o "$TMPDIR/program" "$1""#, &source("musl.c"))
}

#[test]
fn a_dynamic_program_with_musl() -> Tested {
    installed(MUSL)?;
    built(r#"musl-gcc -O1 -o "$TMPDIR/program" "$1""#, &source("musl.c"))
}
