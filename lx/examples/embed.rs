//! Embeds a machine: captures output, talks through pipes, tells how commands ended.
//!
//! Run it with `cargo run -p lx --example embed`.

use std::io::{self, BufRead, BufReader, Write};

use lx::{Machine, SpawnError, Stdio};

fn main() -> io::Result<()> {
    // The host's own root file system, read through; what guests write stays in memory.
    let machine = Machine::builder().env("GREETING", "hello").build()?;

    // Capture what a command writes.
    let script = "echo $GREETING from $(uname -s), process $$; echo oops >&2; exit 3";
    let output = machine.command("/bin/bash").args(["-c", script]).output()?;
    print!("stdout: {}", String::from_utf8_lossy(&output.stdout));
    print!("stderr: {}", String::from_utf8_lossy(&output.stderr));
    println!("status: {}", output.status);

    // Talk to a command while it runs.
    let mut child = machine.command("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"pear\napple\nplum\n")?;
    }
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            println!("sorted: {}", line?);
        }
    }
    println!("sort ended with {}", child.wait()?);

    // Files live as long as the machine, for all of its commands.
    machine.command("sh").args(["-c", "echo kept > /tmp/lx-example"]).status()?;
    machine.command("cat").arg("/tmp/lx-example").status()?;

    // A signal ends a command, as a shell would tell.
    let mut sleeper = machine.command("sleep").arg("1000").spawn()?;
    sleeper.kill()?;
    println!("sleep ended with {}", sleeper.wait()?);

    // What cannot be started says why.
    match machine.command("no-such-program").spawn() {
        Ok(_) => println!("this program should not exist"),
        Err(error) => {
            let spawn = error.get_ref().and_then(|inner| inner.downcast_ref::<SpawnError>());
            println!("{error} (not found: {})", spawn.is_some_and(SpawnError::is_not_found));
        }
    }
    Ok(())
}
