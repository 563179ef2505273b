//! What `execve(2)` fails with: wrong ELF files and their interpreters, scripts, limits,
//! capabilities of files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::exit;
use std::ptr::null;

use lx_guest_tests::errors::as_nobody;
use lx_guest_tests::{
    Called, Checks, Ended, NOWHERE, Scratch, c, call, fork, in_child, pipe, read, wait,
};

fn main() {
    // This program, executed by itself.
    if std::env::args().nth(1).is_some_and(|word| word == "--again") {
        exit(7);
    }
    let mut t = Checks::new();
    let Ok(scratch) = Scratch::enter() else { exit(1) };
    paths(&mut t);
    scripts(&mut t);
    headers(&mut t);
    interpreters(&mut t);
    sizes(&mut t);
    processes(&mut t);
    capabilities(&mut t);
    drop(scratch);
    t.end();
}

/// Executes a file; it must fail.
fn execute(path: &str) -> Called {
    let path = c(path);
    let none = [null::<libc::c_char>()];
    call!(execve(path.as_ptr(), [path.as_ptr(), null()].as_ptr(), none.as_ptr()))
}

fn file(name: &str, content: &[u8], mode: u32) {
    let _ = fs::write(name, content);
    let _ = fs::set_permissions(name, fs::Permissions::from_mode(mode));
}

fn paths(t: &mut Checks) {
    file("plain", b"text", 0o644);
    file("words", b"words", 0o755);
    let _ = symlink("circle", "circle");
    let _ = fs::create_dir("closed");
    file("closed/words", b"words", 0o755);
    let _ = fs::set_permissions("closed", fs::Permissions::from_mode(0o600));
    let _ = fs::set_permissions(".", fs::Permissions::from_mode(0o755));
    t.fails("no file", execute("missing"), libc::ENOENT);
    t.fails("no name", execute(""), libc::ENOENT);
    t.fails("a folder", execute("closed"), libc::EACCES);
    t.fails("a device", execute("/dev/null"), libc::EACCES);
    t.fails("not executable", execute("plain"), libc::EACCES);
    t.fails("in a folder that is closed", as_nobody(|| execute("closed/words")), libc::EACCES);
    // So that it can be removed.
    let _ = fs::set_permissions("closed", fs::Permissions::from_mode(0o755));
    t.fails("below a file", execute("plain/x"), libc::ENOTDIR);
    t.fails("a circle", execute("circle"), libc::ELOOP);
    t.fails("a long name", execute(&"n".repeat(256)), libc::ENAMETOOLONG);
    t.fails("a long path", execute(&"p/".repeat(2100)), libc::ENAMETOOLONG);
    t.fails("neither program nor script", execute("words"), libc::ENOEXEC);
    let raw = |path: usize, words: usize, environment: usize| {
        call!(syscall(libc::SYS_execve, path, words, environment))
    };
    let words = c("words");
    let path = words.as_ptr() as usize;
    t.fails("a path at nowhere", raw(NOWHERE, 0, 0), libc::EFAULT);
    t.fails("arguments at nowhere", raw(path, NOWHERE, 0), libc::EFAULT);
    t.fails("an environment at nowhere", raw(path, 0, NOWHERE), libc::EFAULT);
    let bad = [NOWHERE, 0].as_ptr() as usize;
    t.fails("an argument at nowhere", raw(path, bad, 0), libc::EFAULT);
    t.fails("a variable at nowhere", raw(path, 0, bad), libc::EFAULT);
}

fn scripts(t: &mut Checks) {
    let mut script = |what: &str, line: &str, errno: i32| {
        file("script", line.as_bytes(), 0o755);
        t.fails(&format!("a script of {what}"), execute("script"), errno);
    };
    script("a missing interpreter", "#!missing\n", libc::ENOENT);
    script("no interpreter", "#!\n", libc::ENOEXEC);
    script("blanks", "#!   \n", libc::ENOEXEC);
    script("a folder", "#!closed\n", libc::EACCES);
    script("a plain file", "#!plain\n", libc::EACCES);
    script("something below a file", "#!plain/x\n", libc::ENOTDIR);
    script("a circle", "#!circle\n", libc::ELOOP);
    script("itself", "#!script\n", libc::ELOOP);
    script("words", "#!words\n", libc::ENOEXEC);
    script("a long name", &format!("#!{}\n", "n".repeat(250)), libc::ENOENT);
    script("a name without an end", &format!("#!{}\n", "n".repeat(300)), libc::ENOEXEC);
}

/// The headers of an ELF file that has nothing to run, and what follows them.
#[derive(Clone)]
struct Elf {
    kind: u16,
    machine: u16,
    header_size: u16,
    interpreters: Vec<(u64, u64)>,
    count: u16,
    rest: Vec<u8>,
}

impl Elf {
    /// A program with an interpreter.
    fn of(interpreter: &str) -> Self {
        let rest = [interpreter.as_bytes(), b"\0"].concat();
        let interpreters = vec![(64 + 56, rest.len() as u64)];
        Self { kind: 3, machine: 62, header_size: 56, interpreters, count: 1, rest }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.machine.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        // The entry, and where the headers of segments and of sections are.
        for number in [0_u64, 64, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for number in [64, self.header_size, self.count, 0, 0, 0] {
            bytes.extend(number.to_le_bytes());
        }
        for (offset, length) in &self.interpreters {
            // PT_INTERP, to be read.
            bytes.extend([3, 0, 0, 0, 4, 0, 0, 0]);
            for number in [*offset, 0, 0, *length, *length, 1] {
                bytes.extend(number.to_le_bytes());
            }
        }
        bytes.extend(&self.rest);
        bytes
    }

    fn execute(&self) -> Called {
        file("elf", &self.bytes(), 0o755);
        execute("elf")
    }
}

fn headers(t: &mut Checks) {
    let elf = Elf::of("missing");
    let mut fails = |what: &str, elf: Elf| t.fails(what, elf.execute(), libc::ENOEXEC);
    fails("an object file", Elf { kind: 1, ..elf.clone() });
    fails("a core", Elf { kind: 4, ..elf.clone() });
    fails("for another processor", Elf { machine: 183, ..elf.clone() });
    fails("headers of another size", Elf { header_size: 64, ..elf.clone() });
    fails("no headers", Elf { count: 0, ..elf.clone() });
    fails("more headers than the file has", Elf { count: 100, ..elf.clone() });
    fails("more headers than there may be", Elf { count: 2000, ..elf.clone() });
    let bytes = elf.bytes();
    for length in [4, 63, 64, 100] {
        file("elf", &bytes[..length], 0o755);
        t.fails(&format!("{length} bytes of a program"), execute("elf"), libc::ENOEXEC);
    }
}

fn interpreters(t: &mut Checks) {
    let mut elf = |what: &str, elf: &Elf, errno: i32| {
        t.fails(&format!("an interpreter: {what}"), elf.execute(), errno);
    };
    let missing = Elf::of("missing");
    let at =
        |offset: u64, length: u64| Elf { interpreters: vec![(offset, length)], ..missing.clone() };
    elf("missing", &missing, libc::ENOENT);
    elf("a folder", &Elf::of("closed"), libc::EACCES);
    elf("a plain file", &Elf::of("plain"), libc::EACCES);
    elf("below a file", &Elf::of("plain/x"), libc::ENOTDIR);
    elf("a circle", &Elf::of("circle"), libc::ELOOP);
    elf("a long name", &Elf::of(&"n".repeat(256)), libc::ENAMETOOLONG);
    elf("no name", &at(120, 1), libc::ENOEXEC);
    elf("a name without an end", &at(120, 7), libc::ENOEXEC);
    elf("a name that is too long", &at(120, 4097), libc::ENOEXEC);
    elf("a name beyond the end", &at(120, 9), libc::EIO);
    elf("a name far beyond it", &at(1 << 40, 8), libc::EIO);
    file("short", b"\x7fELF\x02\x01\x01", 0o755);
    elf("a few bytes", &Elf::of("short"), libc::EIO);
    file("empty", b"", 0o755);
    elf("nothing", &Elf::of("empty"), libc::EIO);
    file("text", &[b'x'; 200], 0o755);
    elf("text", &Elf::of("text"), libc::ELIBBAD);
    file("other", &Elf { machine: 183, ..missing.clone() }.bytes(), 0o755);
    elf("for another processor", &Elf::of("other"), libc::ELIBBAD);
    file("headless", &Elf { count: 0, ..missing.clone() }.bytes(), 0o755);
    elf("without headers", &Elf::of("headless"), libc::ELIBBAD);
    // Linux takes the first of several.
    let mut two = Elf::of("missing");
    two.rest = b"missing\0circle\0".to_vec();
    two.count = 2;
    two.interpreters = vec![(64 + 2 * 56 + 8, 7), (64 + 2 * 56, 8)];
    elf("the first of two", &two, libc::ELOOP);
}

fn sizes(t: &mut Checks) {
    let long = c(&"x".repeat(131_072));
    let words = [long.as_ptr(), null()];
    let none = [null::<libc::c_char>()];
    let run = |words: *const *const libc::c_char, variables: *const *const libc::c_char| {
        call!(execve(c("words").as_ptr(), words, variables))
    };
    t.fails("a long argument", run(words.as_ptr(), none.as_ptr()), libc::E2BIG);
    t.fails("a long variable", run(none.as_ptr(), words.as_ptr()), libc::E2BIG);
    let word = c(&"x".repeat(100_000));
    let mut many = vec![word.as_ptr(); 100];
    many.push(null());
    t.fails("many arguments", run(many.as_ptr(), none.as_ptr()), libc::E2BIG);
    let limited = || {
        let limit = libc::rlimit { rlim_cur: 256 << 10, rlim_max: libc::RLIM_INFINITY };
        let _ = call!(setrlimit(libc::RLIMIT_STACK, &limit));
        run(many[98..].as_ptr(), many[98..].as_ptr()).err().unwrap_or(0)
    };
    t.is("more than a quarter of the stack", in_child(limited), Ended::Exit(libc::E2BIG));
}

/// Who has too many processes after `setuid` is refused the next `execve`.
fn processes(t: &mut Checks) {
    const USER: u32 = 54_321;
    let is_root = call!(geteuid()) == Ok(0);
    let (r, w) = pipe();
    let (ready, say) = pipe();
    let other = fork(|| {
        let _ = call!(close(w));
        let _ = call!(setresuid(USER, USER, USER));
        let _ = lx_guest_tests::write(say, b"x");
        i32::from(read::<1>(r) != Ok(Vec::new()))
    });
    let _ = read::<1>(ready);
    let become_user = |limit: u64, again: bool| {
        in_child(|| {
            let limits = |rlim_cur: u64| libc::rlimit { rlim_cur, rlim_max: 100 };
            let _ = call!(setrlimit(libc::RLIMIT_NPROC, &limits(limit)));
            if call!(setresuid(USER, USER, USER)) != Ok(0) {
                return 1;
            }
            if again {
                let _ = call!(setrlimit(libc::RLIMIT_NPROC, &limits(100)));
            }
            execute("words").err().unwrap_or(0)
        })
    };
    let of_root = |ended: Ended, body: &dyn Fn() -> Ended| if is_root { body() } else { ended };
    let (refused, let_go) = (Ended::Exit(libc::EAGAIN), Ended::Exit(libc::ENOEXEC));
    t.is("too many processes", of_root(refused, &|| become_user(0, false)), refused);
    t.is("not too many", of_root(let_go, &|| become_user(10, false)), let_go);
    t.is("not too many any more", of_root(let_go, &|| become_user(0, true)), let_go);
    let _ = call!(close(w));
    t.is("the other one ends", wait(other), Ended::Exit(0));
}

/// A program whose file has capabilities that the task must not have.
fn capabilities(t: &mut Checks) {
    const NET_RAW: u32 = 13;
    let is_root = call!(geteuid()) == Ok(0);
    let set = |effective: u32| {
        // Revision 2: flags, and permitted and inheritable of each half.
        let mut value = Vec::new();
        for word in [0x0200_0000 | effective, 1 << NET_RAW, 0, 0, 0] {
            value.extend(word.to_le_bytes());
        }
        let (path, name) = (c("again"), c("security.capability"));
        call!(setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0))
    };
    let run = |bounded: bool| {
        in_child(|| {
            if bounded {
                let _ = call!(prctl(libc::PR_CAPBSET_DROP, NET_RAW));
            }
            let path = c("again");
            let words = [path.as_ptr(), c"--again".as_ptr(), null()];
            call!(execv(path.as_ptr(), words.as_ptr())).err().unwrap_or(0)
        })
    };
    let _ = fs::copy("/proc/self/exe", "again");
    let _ = fs::set_permissions("again", fs::Permissions::from_mode(0o755));
    let of_root = |ended: Ended, body: &dyn Fn() -> Ended| if is_root { body() } else { ended };
    t.ok("capabilities of a file", !is_root || set(1) == Ok(0));
    t.is("it runs", of_root(Ended::Exit(7), &|| run(false)), Ended::Exit(7));
    let refused = Ended::Exit(libc::EPERM);
    t.is("not without one that it takes", of_root(refused, &|| run(true)), refused);
    t.ok("capabilities that it may raise", !is_root || set(0) == Ok(0));
    t.is("it runs without", of_root(Ended::Exit(7), &|| run(true)), Ended::Exit(7));
}
