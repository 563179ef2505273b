//! One sequence of steps, performed by a guest program natively and on lx.

use std::env;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use lx_guest_tests::random::{Area, Step, to_line};
use lx_tests::lx;

/// The environment variable that, with `native`, lets both programs run natively. So one finds out
/// whether an area's results depend on more than its steps.
const VARIABLE: &str = "LX_TWINS";

/// The program on both kernels.
#[derive(Debug)]
pub struct Twins {
    native: Performer,
    lx: Performer,
}

impl Twins {
    /// Starts the programs.
    ///
    /// # Errors
    /// A sentence when something is not built or does not start.
    pub fn start(area: &Area) -> Result<Self, String> {
        let program = lx::guest("random")?;
        let mut native = Command::new(&program);
        native.arg(area.name);
        let mut on_lx = if env::var(VARIABLE).is_ok_and(|value| value == "native") {
            Command::new(&program)
        } else {
            let mut lx = Command::new(lx::command()?);
            lx.args(["run", "--"]).arg(&program);
            lx
        };
        on_lx.arg(area.name);
        Ok(Self { native: Performer::start(native)?, lx: Performer::start(on_lx)? })
    }

    /// What differs when both perform the steps, if something does.
    ///
    /// # Errors
    /// A sentence when a program does not answer, which no sequence may cause.
    pub fn compare(&mut self, steps: &[Step]) -> Result<Option<String>, String> {
        self.native.send(steps)?;
        self.lx.send(steps)?;
        let (native, on_lx) = (self.native.answer()?, self.lx.answer()?);
        Ok(difference(steps, &native, &on_lx))
    }
}

/// The first line that differs, behind the steps so far and their results.
fn difference(steps: &[Step], native: &[String], on_lx: &[String]) -> Option<String> {
    let at = (0..native.len().max(on_lx.len())).find(|at| native.get(*at) != on_lx.get(*at))?;
    let mut text = String::new();
    for (step, result) in steps.iter().zip(native).take(at) {
        let _ = writeln!(text, "  {} = {result}", step.to_text());
    }
    let step = steps.get(at).map_or("the end".to_owned(), Step::to_text);
    let nothing = "nothing".to_owned();
    let [native, on_lx] = [native, on_lx].map(|lines| lines.get(at).unwrap_or(&nothing).clone());
    let _ = write!(text, "{step}\nlinux {native}\nlx    {on_lx}\nas a case: {}", to_line(steps));
    Some(text)
}

/// One of the two.
#[derive(Debug)]
struct Performer {
    name: PathBuf,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Performer {
    fn start(mut command: Command) -> Result<Self, String> {
        let name = PathBuf::from(command.get_program());
        let fail = |error: io::Error| format!("{}: {error}", name.display());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(fail)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let input = input.ok_or("no standard input")?;
        let output = BufReader::new(output.ok_or("no standard output")?);
        Ok(Self { name, child, input, output })
    }

    fn send(&mut self, steps: &[Step]) -> Result<(), String> {
        let sent = writeln!(self.input, "{}", to_line(steps)).and_then(|()| self.input.flush());
        sent.map_err(|error| self.gone(&error.to_string()))
    }

    /// The lines of a sequence. The programs bound its time.
    fn answer(&mut self) -> Result<Vec<String>, String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match self.output.read_line(&mut line) {
                Ok(0) => return Err(self.gone("it has ended")),
                Ok(_) => lines.push(line.trim_end().to_owned()),
                Err(error) => return Err(self.gone(&error.to_string())),
            }
            if line.starts_with("end: ") {
                return Ok(lines);
            }
        }
    }

    fn gone(&self, why: &str) -> String {
        format!("{} does not answer: {why}", self.name.display())
    }
}

impl Drop for Performer {
    fn drop(&mut self) {
        // `lx` takes its guests along.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
