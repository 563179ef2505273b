//! Programs of Windows that a test talks to and ends in its own way.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};
use std::{fs, thread};

use libtest_mimic::Failed;

/// How long a program may take to say what is waited for, or to end.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// A variable that marks every process of a test, also those that Wine starts.
const MARK: &str = "LX_TEST_MARK";

/// Makes a terminal of this machine what Wine's console should make of it by itself.
const RAW: &str = "/bin/stty -opost quit undef susp undef rows 24 columns 80";

/// A program that runs; it is killed with this.
pub(crate) struct Started {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    mark: Vec<u8>,
}

impl Started {
    /// Starts it with pipes as standard streams.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn new(mut command: Command) -> Result<Self, Failed> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mark = format!("{}-{number}", std::process::id());
        let mut child = command
            .env(MARK, &mark)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = lines(child.stdout.take().ok_or("no output")?);
        let stderr = lines(child.stderr.take().ok_or("no error output")?);
        let mark = format!("{MARK}={mark}").into_bytes();
        Ok(Self { child, stdin, stdout, stderr, mark })
    }

    /// Starts it with a console: a terminal of this machine's, whose keys [`say`](Self::say) types.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn with_console(command: &Command) -> Result<Self, Failed> {
        Self::in_terminal(command, "exec ", "")
    }

    /// The same where only the console's Ctrl-C is a key of the terminal's itself, and what the
    /// console shows is shown as it is. `streams` leads streams elsewhere, as for a shell.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn with_raw_console(command: &Command, streams: &str) -> Result<Self, Failed> {
        Self::in_terminal(command, &format!("{RAW}; exec "), streams)
    }

    fn in_terminal(command: &Command, before: &str, after: &str) -> Result<Self, Failed> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quote = |word: &OsStr| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"));
        let line = words.map(quote).collect::<Vec<_>>().join(" ");
        let line = format!("{before}{line} {after}");
        let mut script = Command::new("/usr/bin/script");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]).env_clear();
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("TERM", "xterm").env("SHELL", "/bin/sh");
        Self::new(script)
    }

    /// Waits for a line of output.
    ///
    /// # Errors
    /// Another one has come, or none.
    pub(crate) fn expect(&self, line: &str) -> Result<(), Failed> {
        match self.stdout.recv_timeout(LIMIT) {
            Ok(said) if said == line => Ok(()),
            other => Err(format!("{other:?} instead of {line:?}; {}", self.complaints()).into()),
        }
    }

    /// Waits for output that has this text in it; all until then.
    ///
    /// # Errors
    /// It does not come.
    pub(crate) fn expect_text(&self, text: &str) -> Result<String, Failed> {
        let mut all = String::new();
        let deadline = Instant::now() + LIMIT;
        while !all.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.stdout.recv_timeout(left) {
                Ok(line) => all.push_str(&(line + "\n")),
                Err(_) => return Err(format!("no {text:?}; {all:?} {}", self.complaints()).into()),
            }
        }
        Ok(all)
    }

    /// Writes to standard input.
    ///
    /// # Errors
    /// It is closed.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Failed> {
        let stdin = self.stdin.as_mut().ok_or("no input")?;
        stdin.write_all(text.as_bytes())?;
        Ok(stdin.flush()?)
    }

    /// Closes standard input.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// What came by standard error until now.
    pub(crate) fn complaints(&self) -> String {
        self.stderr.try_iter().collect::<Vec<_>>().join("\n")
    }

    /// Waits for the end: what else it has said, by standard output and error.
    ///
    /// # Errors
    /// It does not end.
    pub(crate) fn finish(mut self) -> Result<(String, String), Failed> {
        self.hang_up();
        self.until("the program runs", |this| Ok(this.child.try_wait()?.is_some()))?;
        // Whoever else has the pipes is gone by now, or soon.
        let rest = |from: &Receiver<String>| {
            let mut all = String::new();
            while let Ok(line) = from.recv_timeout(Duration::from_secs(2)) {
                all.push_str(&(line + "\n"));
            }
            all
        };
        Ok((rest(&self.stdout), rest(&self.stderr)))
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn until(
        &mut self,
        otherwise: &str,
        holds: impl Fn(&mut Self) -> Result<bool, Failed>,
    ) -> Result<(), Failed> {
        let deadline = Instant::now() + LIMIT;
        while !holds(self)? {
            if Instant::now() > deadline {
                return Err(format!("{otherwise}; {}", self.complaints()).into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until no process has come or gone for a second: how many there are.
    ///
    /// # Errors
    /// They come and go all the time.
    pub(crate) fn settle(&mut self) -> Result<usize, Failed> {
        const STILL: Duration = Duration::from_secs(1);
        let deadline = Instant::now() + LIMIT;
        let (mut known, mut since) = (self.processes()?, Instant::now());
        while since.elapsed() < STILL {
            if Instant::now() > deadline {
                return Err("processes come and go".into());
            }
            thread::sleep(Duration::from_millis(50));
            let now = self.processes()?;
            if now != known {
                (known, since) = (now, Instant::now());
            }
        }
        Ok(known.len())
    }

    /// Waits until nothing of it is left.
    ///
    /// # Errors
    /// Something is.
    pub(crate) fn until_gone(&mut self) -> Result<(), Failed> {
        let result = self.until("processes are left", |this| {
            // Takes away what is left of a child that has ended.
            this.child.try_wait()?;
            Ok(this.processes()?.is_empty())
        });
        result.map_err(|error| {
            let left = self.processes().unwrap_or_default();
            let command = |folder: &PathBuf| {
                let words = fs::read(folder.join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&words).replace('\0', " ")
            };
            let left: Vec<String> = left.iter().map(command).collect();
            format!("{}: {left:?}", error.message().unwrap_or_default()).into()
        })
    }

    /// The processes that carry the mark, Wine's own ones left out.
    pub(crate) fn processes(&self) -> Result<Vec<PathBuf>, Failed> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let folder = entry?.path();
            // Those that end meanwhile, and threads of the kernel, have nothing to read.
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            let command = fs::read(folder.join("cmdline")).unwrap_or_default();
            let is_ours = command.windows(3).any(|part| part == b"lx-" || part == b"lx.");
            let mut variables = environment.split(|&byte| byte == 0);
            if is_ours && variables.any(|variable| variable == self.mark) {
                found.push(folder);
            }
        }
        Ok(found)
    }

    /// The process of it that has a file open.
    ///
    /// # Errors
    /// None has.
    pub(crate) fn process_with(&self, file: &OsStr) -> Result<u32, Failed> {
        for process in self.processes()? {
            let Ok(open) = fs::read_dir(process.join("fd")) else { continue };
            let has = open.flatten().any(|entry| {
                fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == file)
            });
            let number = process.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let (true, Some(number)) = (has, number) {
                return Ok(number);
            }
        }
        Err("no process has the file open".into())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            // Wine's console hides and shows its cursor all the time.
            let line = line.replace("\u{1b}[?25l", "").replace("\u{1b}[?25h", "");
            let line = line.trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
