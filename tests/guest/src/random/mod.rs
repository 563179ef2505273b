//! Random steps: a program that performs sequences of them, natively or on lx, and says what each did.
//!
//! A [`Step`] is a name and four numbers. What the numbers mean is the [`Area`]'s affair: it takes
//! them modulo the length of its lists, so that every number is valid and the smaller one is the
//! simpler one (a shrunk sequence is made of zeros). Each sequence runs in a process of its own
//! that has a fresh folder; a result is one line of text that holds no pids, addresses or times.
//!
//! `tests/differential/tests/random.rs` makes the sequences and compares.

mod confined;
mod contents;
mod locks;
mod mailbox;
mod memory;
mod messages;
mod paths;
mod pipes;
mod processes;
mod signals;
mod unix;

use std::io::{self, BufRead, Write};
use std::ptr::null_mut;

use crate::{Ended, Scratch, c, call, fork};

/// The descriptor that results are written to.
pub const RESULTS: i32 = 200;

/// The descriptor of `/proc` in sequences that have a root of their own.
const PROC: i32 = 201;

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// One of the area's names.
    pub name: String,
    /// Its choices.
    pub args: [u32; 4],
}

impl Step {
    /// A step as [`Step::to_text`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let name = words.next()?.to_owned();
        let mut args = [0; 4];
        for arg in &mut args {
            *arg = words.next()?.parse().ok()?;
        }
        words.next().is_none().then_some(Self { name, args })
    }

    /// Its name and numbers.
    pub fn to_text(&self) -> String {
        let [a, b, c, d] = self.args;
        format!("{} {a} {b} {c} {d}", self.name)
    }
}

/// A sequence in one line.
pub fn to_line(steps: &[Step]) -> String {
    steps.iter().map(Step::to_text).collect::<Vec<_>>().join("; ")
}

/// The sequence of a line that [`to_line`] wrote; `None` if it is none.
pub fn from_line(line: &str) -> Option<Vec<Step>> {
    line.split(';').map(Step::parse).collect()
}

/// What a sequence works on.
pub trait World {
    /// Performs a step; a line that says what it did. The world is what earlier steps made of it.
    fn step(&mut self, name: &str, args: [u32; 4]) -> String;
}

/// A subject to try at random.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Its name.
    pub name: &'static str,
    /// The names of its steps and how often each is chosen.
    pub steps: &'static [(&'static str, u32)],
    /// Most steps of a sequence.
    pub length: usize,
    /// How many sequences the ordinary tests try.
    pub cases: u32,
    /// A fresh world, made in the sequence's process, whose working folder is empty.
    pub world: fn() -> Box<dyn World>,
}

/// All areas.
pub const AREAS: &[Area] = &[
    paths::AREA,
    contents::AREA,
    locks::AREA,
    memory::AREA,
    pipes::AREA,
    unix::AREA,
    signals::AREA,
    processes::AREA,
];

/// The areas whose sequences take root, for a root folder and mounts of their own.
pub const NEED_ROOT: &[&str] = &["paths"];

/// `choices[number]`, from the start again when there are not so many.
pub fn pick<T: Copy>(number: u32, choices: &[T]) -> T {
    choices[number as usize % choices.len()]
}

/// A descriptor up to `limit`: one that is open, or once in a while any.
fn descriptor(number: u32, limit: u32) -> i32 {
    let all = 0..limit.cast_signed();
    let open: Vec<i32> = all.filter(|fd| call!(fcntl(*fd, libc::F_GETFD)).is_ok()).collect();
    let any = (number % (limit + 1)).cast_signed();
    open.get(number as usize % (open.len() + 1)).copied().unwrap_or(any)
}

/// A file's type, as in its mode.
fn file_type(fd: i32) -> Result<u32, i32> {
    // SAFETY: zeroes are a valid structure.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    call!(fstat(fd, &mut stat)).map(|_| stat.st_mode & libc::S_IFMT)
}

/// What the program does that a sequence executes, by its arguments; `None` if it is another.
pub fn executed(words: &[String]) -> Option<std::process::ExitCode> {
    match words {
        [area, word, number] if area == "locks" && word == "resume" => {
            Some(std::process::ExitCode::from(locks::resume(number.parse().ok()?) as u8))
        }
        [word] => signals::report(word).or_else(|| processes::executed(word)),
        _ => None,
    }
}

/// How long a sequence may take, in seconds.
const LIMIT: u32 = 10;

/// Performs the sequences that standard input has, one in each line. Answers with a line for each
/// step, and with one that starts with `end`.
///
/// # Errors
/// If standard input has something else, or a sequence's folder cannot be made.
pub fn serve(area: &Area) -> io::Result<()> {
    // A wait that takes too long is interrupted.
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: zeroes are a valid action: no flags, and so no restart of the wait.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    let _ = call!(sigaction(libc::SIGALRM, &action, null_mut()));
    // Whatever a sequence leaves running becomes this process's child.
    let _ = call!(prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
    for line in io::stdin().lock().lines() {
        let Some(steps) = from_line(&line?) else {
            return Err(io::Error::other("this is no sequence of steps"));
        };
        let end = perform(area, &steps)?;
        println!("end: {end}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// Runs the steps in a child. `done`, or how it did not come to its end.
fn perform(area: &Area, steps: &[Step]) -> io::Result<String> {
    let scratch = Scratch::enter()?;
    let pid = fork(|| child(area, steps));
    let _ = call!(alarm(LIMIT));
    let mut status = 0;
    let ended = call!(waitpid(pid, &mut status, 0));
    let _ = call!(alarm(0));
    end_all(pid);
    // What `confined` has mounted there, if this kernel has one namespace.
    if let Ok(folder) = std::env::current_dir() {
        let folder = c(&folder.to_string_lossy());
        let _ = call!(umount2(folder.as_ptr(), libc::MNT_DETACH));
    }
    drop(scratch);
    Ok(match ended {
        Ok(_) => match Ended::from_status(status) {
            Ended::Exit(0) => "done".to_owned(),
            other => format!("{other:?}"),
        },
        Err(_) => "not within its time".to_owned(),
    })
}

/// Performs the steps and writes their results to what was standard output. The steps have all low descriptors
/// to themselves.
fn child(area: &Area, steps: &[Step]) -> i32 {
    let _ = call!(setpgid(0, 0));
    let _ = call!(dup3(1, RESULTS, libc::O_CLOEXEC));
    for fd in 0..RESULTS {
        let _ = call!(close(fd));
    }
    // What whoever started the program ignores is not the area's affair.
    for signal in (1..32).filter(|signal| *signal != libc::SIGPIPE) {
        let _ = call!(signal(signal, libc::SIG_DFL));
    }
    let mut world = (area.world)();
    for step in steps {
        let line = world.step(&step.name, step.args) + "\n";
        if crate::write(RESULTS, line.as_bytes()) != Ok(line.len() as i64) {
            return 1;
        }
    }
    0
}

/// Ends everything that the sequence has left.
fn end_all(group: i32) {
    let _ = call!(kill(-group, libc::SIGKILL));
    // Those in other groups are found by their parent.
    while call!(waitpid(-1, null_mut(), libc::WNOHANG)).is_ok() {
        for pid in children() {
            let _ = call!(kill(pid, libc::SIGKILL));
        }
    }
}

/// The calling process's children.
fn children() -> Vec<i32> {
    let own = std::process::id();
    let Ok(list) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = list.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    names
        .filter(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // State and parent stand behind the name, which may have blanks.
            let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1));
            parent.is_some_and(|parent| parent == own.to_string())
        })
        .collect()
}
