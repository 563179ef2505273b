//! `pivot_root(2)`: the root directory is exchanged, for whoever was in it.

use std::env::{current_dir, set_current_dir};
use std::ffi::OsString;
use std::fs;
use std::mem::ManuallyDrop;
use std::os::unix::fs::{chroot, symlink};
use std::process::exit;

use lx_guest_tests::files::{MemoryFs, as_nobody, is_root, path, sys};
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, fork, in_child, pipe, read, wait, write,
};

fn main() {
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    t.fails("by nobody", as_nobody(|| pivot_root("missing", "missing")), libc::EPERM);
    if is_root() {
        errors(&mut t);
        exchange(&mut t);
    }
    drop(scratch);
    t.end();
}

fn pivot_root(new_root: &str, put_old: &str) -> Called {
    sys(libc::SYS_pivot_root, [path(new_root), path(put_old)])
}

fn errors(t: &mut Checks) {
    let Some(_new) = MemoryFs::mount("new", "") else { return t.ok("mounted", false) };
    let made = [
        fs::create_dir_all("new/old/inner"),
        fs::create_dir_all("plain/inner"),
        fs::write("file", "1"),
        symlink("loop", "loop"),
    ];
    t.ok("prepared", made.iter().all(Result::is_ok));
    let long = "./".repeat(2048);
    let wrong = [
        ("an empty path", "", libc::ENOENT),
        ("nothing", "missing", libc::ENOENT),
        ("a file", "file", libc::ENOTDIR),
        ("below a file", "file/x", libc::ENOTDIR),
        ("a loop", "loop", libc::ELOOP),
        ("a long path", &long, libc::ENAMETOOLONG),
    ];
    for (what, place, errno) in wrong {
        t.fails(&format!("to {what}"), pivot_root(place, "new/old"), errno);
        t.fails(&format!("the old one to {what}"), pivot_root("new", place), errno);
    }
    let nowhere = NOWHERE as i64;
    let to_nowhere = sys(libc::SYS_pivot_root, [nowhere, path("new/old")]);
    t.fails("to nowhere", to_nowhere, libc::EFAULT);
    let old_to_nowhere = sys(libc::SYS_pivot_root, [path("new"), nowhere]);
    t.fails("the old one to nowhere", old_to_nowhere, libc::EFAULT);
    t.fails("to the root", pivot_root("/", "new/old"), libc::EBUSY);
    t.fails("to a folder of the root", pivot_root("plain", "plain/inner"), libc::EBUSY);
    t.fails("the old one beside", pivot_root("new", "plain"), libc::EBUSY);
    t.fails("the old one to another mount", pivot_root("new", "/proc"), libc::EINVAL);
    t.fails("to no mount", pivot_root("new/old", "new/old/inner"), libc::EINVAL);
}

fn is_there(path: &str) -> bool {
    fs::exists(path).unwrap_or(false)
}

fn is_in(folder: &str) -> bool {
    current_dir().is_ok_and(|at| at.as_os_str() == folder)
}

fn names(folder: &str) -> Vec<OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

fn exchange(t: &mut Checks) {
    let Some(_next) = MemoryFs::mount("next", "") else { return t.ok("mounted", false) };
    let made =
        [fs::create_dir("next/old"), fs::create_dir("next/inner"), fs::write("next/mark", "")];
    t.ok("prepared", made.iter().all(Result::is_ok));
    let Ok(here) = current_dir() else { return t.ok("working folder", false) };
    let here = here.display().to_string();
    let (from_other, to_here) = pipe();
    let (from_here, to_other) = pipe();
    let other = fork(|| {
        let ready = set_current_dir("/").is_ok() && write(to_here, b"1") == Ok(1);
        let told = ready && read::<1>(from_here).is_ok();
        i32::from(!(told && is_there("/mark") && is_in("/") && is_there("mark")))
    });
    t.is("another one is in the root", read::<1>(from_other), Ok(b"1".to_vec()));
    t.is("exchange", pivot_root("next", "next/old"), Ok(0));
    t.is("tell the other one", write(to_other, b"1"), Ok(1));
    t.is("it is in the new root", wait(other), Ended::Exit(0));
    t.is("the new root", names("/"), ["inner", "mark", "old"].map(Into::into).to_vec());
    t.ok("the old one", is_there("/old/proc/self"));
    let moved = format!("/old{here}");
    t.ok("the working folder moved", is_in(&moved));
    t.ok("above the old root", set_current_dir("/old/..").is_ok() && is_in("/"));
    let mounts = fs::read_to_string("/old/proc/self/mountinfo").unwrap_or_default();
    let has = |place: &str| mounts.lines().any(|line| line.split(' ').nth(4) == Some(place));
    t.ok("mountinfo", has("/") && has("/old") && has("/old/proc"));
    t.is("back", pivot_root("/old", &format!("{moved}/next")), Ok(0));
    t.ok("the working folder is back", set_current_dir(&here).is_ok() && is_in(&here));
    t.ok("the mount is back", is_there("next/mark"));
    t.is("without a name for the old one", in_child(over), Ended::Exit(0));
}

/// As programs do that do not want to see the old root again; in a root of their own, so that the
/// others keep theirs.
fn over() -> i32 {
    let inside = chroot("next").and_then(|()| set_current_dir("/")).is_ok();
    let Some(inner) = inside.then(|| MemoryFs::mount("new", "")).flatten() else { return 1 };
    // It becomes the root.
    let _inner = ManuallyDrop::new(inner);
    let entered = set_current_dir("new").is_ok() && fs::write("new", "").is_ok();
    if !entered || pivot_root(".", ".") != Ok(0) {
        return 2;
    }
    let is_new = || is_there("/new") && !is_there("/mark");
    if !is_new() || sys(libc::SYS_umount2, [path("."), libc::MNT_DETACH.into()]) != Ok(0) {
        return 3;
    }
    i32::from(!(is_new() && is_in("/"))) * 4
}
