//! Very many processes, descriptors and files at once. Without arguments some of each; else the kind
//! and how many, and then it says how long that took.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use lx_guest_tests::{Checks, call, fork, pipe, read};

/// Name, and what it does with so many: how many there were.
type Kind = (&'static str, fn(usize) -> Result<usize, String>, usize);

const KINDS: [Kind; 3] =
    [("processes", processes, 200), ("descriptors", descriptors, 5000), ("files", files, 20_000)];

/// Processes that wait at once for the same pipe, and then end.
fn processes(count: usize) -> Result<usize, String> {
    let (reader, writer) = pipe();
    let mut started = 0;
    let mut last = 0;
    while started < count && last >= 0 {
        last = fork(|| {
            let _ = call!(close(writer));
            i32::from(read::<1>(reader) != Ok(Vec::new()))
        });
        started += usize::from(last > 0);
    }
    let _ = call!(close(writer));
    let mut status = 0;
    let mut ended = 0;
    while call!(wait4(-1, &raw mut status, 0, std::ptr::null_mut())).is_ok_and(|pid| pid > 0) {
        ended += usize::from(status == 0);
    }
    let _ = call!(close(reader));
    if ended == started { Ok(started) } else { Err(format!("{ended} of {started} ended well")) }
}

/// Open descriptors of one process.
fn descriptors(count: usize) -> Result<usize, String> {
    const OTHERS: u64 = 64;
    let most = count as u64 + OTHERS;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // Without the right to raise it, it may be high enough.
    let _ = call!(setrlimit(libc::RLIMIT_NOFILE, &raw const limit));
    let open = |number| File::open("/dev/null").map_err(|error| format!("open {number}: {error}"));
    let all = (0..count).map(open).collect::<Result<Vec<File>, String>>()?;
    Ok(all.len())
}

/// Files in a file system in memory, a thousand in each folder.
fn files(count: usize) -> Result<usize, String> {
    const FOLDER: usize = 1000;
    let root = PathBuf::from(format!("/dev/shm/lx-limits-{}", std::process::id()));
    let fill = || -> io::Result<usize> {
        for number in 0..count {
            let folder = root.join((number / FOLDER).to_string());
            if number % FOLDER == 0 {
                fs::create_dir_all(&folder)?;
            }
            File::create(folder.join(number.to_string()))?;
        }
        let folders = fs::read_dir(&root)?.collect::<io::Result<Vec<_>>>()?;
        folders.iter().map(|folder| Ok(fs::read_dir(folder.path())?.count())).sum()
    };
    let filled = fill().map_err(|error| format!("{}: {error}", root.display()));
    let removed = fs::remove_dir_all(&root).map_err(|error| format!("removing: {error}"));
    filled.and_then(|found| removed.map(|()| found))
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let wanted = |name: &str| arguments.first().is_none_or(|only| only == name);
    let mut t = Checks::new();
    for (name, run, usual) in KINDS.iter().filter(|(name, ..)| wanted(name)) {
        let count = arguments.get(1).and_then(|count| count.parse().ok()).unwrap_or(*usual);
        let start = Instant::now();
        t.is(name, run(count), Ok(count));
        if !arguments.is_empty() {
            println!("# {count} {name}: {:.2} s", start.elapsed().as_secs_f64());
        }
    }
    t.end();
}
