//! Random calls on files.

use std::sync::LazyLock;

use libc::{AT_FDCWD, c_int, c_long};
use proptest::collection::vec;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof};
use proptest::sample::{select, subsequence};

use crate::call::{Arg, Call, Shape};

const STAT_LEN: usize = 144;
const STATX_LEN: usize = 256;
const BUFFER_LEN: usize = 4096;

/// A path of few names, so that calls meet each other's files.
fn path() -> BoxedStrategy<String> {
    let name = || prop_oneof![12 => select(vec!["a", "b", "c"]), 1 => Just("."), 1 => Just(".."), 1 => Just("l")];
    let slash = |weight| prop_oneof![weight => Just(""), 1 => Just("/")];
    let names = prop_oneof![4 => vec(name(), 1), 4 => vec(name(), 2), 1 => vec(name(), 3)];
    let normal = (slash(5), names, slash(12));
    let normal = normal.prop_map(|(root, names, end)| format!("{root}{}{end}", names.join("/")));
    let odd = select(vec![
        String::new(),
        "/".into(),
        "//a".into(),
        "a//b".into(),
        "x".repeat(256),
        format!("a/{}", "x".repeat(256)),
        format!("{}a", "./".repeat(2046)),
        format!("{}a", "./".repeat(2048)),
    ]);
    prop_oneof![60 => normal, 1 => odd].boxed()
}

fn path_arg() -> BoxedStrategy<Arg> {
    prop_oneof![120 => path().prop_map(Arg::Str), 1 => Just(Arg::Int(8)), 1 => Just(Arg::Int(0))]
        .boxed()
}

fn fd() -> BoxedStrategy<Arg> {
    prop_oneof![30 => 0..9i64, 1 => Just(-1i64), 1 => Just(77i64)].prop_map(Arg::Int).boxed()
}

/// Directories are opened first, so that the low numbers are often theirs.
fn dirfd() -> BoxedStrategy<Arg> {
    let low = (0..3i64).prop_map(Arg::Int);
    prop_oneof![4 => Just(Arg::Int(AT_FDCWD.into())), 4 => low, 1 => fd()].boxed()
}

fn mode() -> BoxedStrategy<Arg> {
    let usual = select(vec![0o644i64, 0o755, 0o777, 0o700, 0o600, 0o000, 0o4755, 0o2755, 0o1777]);
    let mode = prop_oneof![4 => usual, 1 => 0..0o10000i64];
    mode.prop_map(|mode| Arg::Int(comparable(mode))).boxed()
}

/// lx follows no links of others in sticky directories that everybody may write
/// (`fs.protected_symlinks`, which every distribution sets). Where the native kernel does, there
/// must be no such directories.
fn comparable(mode: i64) -> i64 {
    static PROTECTED: LazyLock<bool> = LazyLock::new(|| {
        std::fs::read("/proc/sys/fs/protected_symlinks").is_ok_and(|value| value == b"1\n")
    });
    if mode & 0o1002 == 0o1002 && !*PROTECTED { mode & !0o1000 } else { mode }
}

fn flags(all: &'static [c_int]) -> BoxedStrategy<Arg> {
    let some = subsequence(all.to_vec(), 0..=all.len().min(2));
    let some = some.prop_map(|some| some.iter().fold(0, |flags, flag| flags | flag));
    prop_oneof![1 => Just(0), 1 => some].prop_map(|flags: c_int| Arg::Int(flags.into())).boxed()
}

fn open_flags() -> BoxedStrategy<i64> {
    let rest = flags(&[
        libc::O_CREAT,
        libc::O_CREAT,
        libc::O_EXCL,
        libc::O_TRUNC,
        libc::O_APPEND,
        libc::O_DIRECTORY,
        libc::O_NOFOLLOW,
        libc::O_PATH,
        libc::O_TMPFILE,
        libc::O_NOATIME,
        libc::O_CLOEXEC,
        libc::O_SYNC,
    ]);
    // A FIFO must not make the test wait.
    let join = |(access, rest): (i64, Arg)| match rest {
        Arg::Int(rest) => access | rest | i64::from(libc::O_NONBLOCK),
        _ => access,
    };
    (select(vec![0i64, 0, 0, 1, 2, 2, 2, 3]), rest).prop_map(join).boxed()
}

fn id() -> BoxedStrategy<Arg> {
    select(vec![0i64, 1000, 1001, -1]).prop_map(Arg::Int).boxed()
}

fn len() -> BoxedStrategy<Arg> {
    select(vec![0i64, 1, 5, 100, 4096, 5000, 70_000, -1, i64::MAX]).prop_map(Arg::Int).boxed()
}

fn bytes() -> BoxedStrategy<Vec<u8>> {
    select(vec![b"x".to_vec(), b"hello".to_vec(), vec![b'y'; 3000], vec![]]).boxed()
}

fn out(shape: Shape, len: usize) -> BoxedStrategy<Arg> {
    let there = Just(Arg::Out(shape, len));
    prop_oneof![40 => there, 1 => Just(Arg::Int(8))].boxed()
}

fn timespecs() -> BoxedStrategy<Arg> {
    let secs = select(vec![0i64, 1, 50, 1000, -5]);
    let nanos = select(vec![0i64, 7, 999_999_999, 1_000_000_000, -1, 0x3fff_ffff, 0x3fff_fffe]);
    let pair = vec((secs, nanos), 2).prop_map(|times| {
        let words = times.iter().flat_map(|(secs, nanos)| [*secs, *nanos]);
        Arg::Bytes(words.flat_map(i64::to_ne_bytes).collect())
    });
    prop_oneof![6 => pair, 2 => Just(Arg::Int(0))].boxed()
}

fn xattr_name() -> BoxedStrategy<Arg> {
    let names = ["user.a", "user.b", "trusted.a", "security.a", "other.a", "user.", ""];
    let mut names: Vec<_> = names.iter().map(|name| Arg::Str((*name).into())).collect();
    names.push(Arg::Str("user.".to_owned() + &"n".repeat(251)));
    select(names).boxed()
}

fn call(
    name: &'static str,
    number: c_long,
    args: Vec<BoxedStrategy<Arg>>,
) -> BoxedStrategy<Vec<Call>> {
    args.prop_map(move |args| vec![Call::new(name, number, args)]).boxed()
}

fn int(value: i64) -> BoxedStrategy<Arg> {
    Just(Arg::Int(value)).boxed()
}

/// Takes on effective ids, by way of root.
fn become_user(uid: i64) -> Vec<Call> {
    let set =
        |name, number, id| Call::new(name, number, vec![Arg::Int(-1), Arg::Int(id), Arg::Int(-1)]);
    vec![
        set("setresuid", libc::SYS_setresuid, 0),
        set("setresgid", libc::SYS_setresgid, uid),
        set("setresuid", libc::SYS_setresuid, uid),
    ]
}

fn opening() -> BoxedStrategy<Vec<Call>> {
    let flags = || open_flags().prop_map(Arg::Int).boxed();
    let size = select(vec![24i64, 24, 24, 24, 23, 32, 5000]).prop_map(Arg::Int).boxed();
    // Not RESOLVE_NO_XDEV (1): Linux finds a mount crossed by any first absolute link.
    let resolve = (0..0x20i64).prop_map(|resolve| resolve & !1);
    let how = (open_flags(), select(vec![0i64, 0, 0o644, 0o10000]), resolve);
    let how = how.prop_map(|(flags, mode, resolve)| {
        let words = [flags, mode, resolve];
        Arg::Bytes(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
    });
    prop_oneof![
        4 => call("open", libc::SYS_open, vec![path_arg(), flags(), mode()]),
        4 => call("openat", libc::SYS_openat, vec![dirfd(), path_arg(), flags(), mode()]),
        2 => call("openat2", libc::SYS_openat2, vec![dirfd(), path_arg(), how.boxed(), size]),
        3 => call("close", libc::SYS_close, vec![fd()]),
    ]
    .boxed()
}

fn naming() -> BoxedStrategy<Vec<Call>> {
    let types = [libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFDIR, 0];
    let node = (select(types.to_vec()), mode()).prop_map(|(kind, mode)| match mode {
        Arg::Int(mode) => Arg::Int(i64::from(kind) | mode),
        other => other,
    });
    let dev = int(0x9901);
    // Whiteouts (4) are not supported.
    let rename = flags(&[1, 2, 8]);
    prop_oneof![
        8 => call("mkdir", libc::SYS_mkdir, vec![path_arg(), mode()]),
        4 => call("mkdirat", libc::SYS_mkdirat, vec![dirfd(), path_arg(), mode()]),
        4 => call("mknod", libc::SYS_mknod, vec![path_arg(), node.boxed(), dev]),
        3 => call("rmdir", libc::SYS_rmdir, vec![path_arg()]),
        3 => call("unlink", libc::SYS_unlink, vec![path_arg()]),
        3 => call("unlinkat", libc::SYS_unlinkat,
            vec![dirfd(), path_arg(), flags(&[libc::AT_REMOVEDIR, libc::AT_REMOVEDIR, 0x100])]),
        6 => call("rename", libc::SYS_rename, vec![path_arg(), path_arg()]),
        6 => call("renameat2", libc::SYS_renameat2,
            vec![dirfd(), path_arg(), dirfd(), path_arg(), rename]),
        3 => call("link", libc::SYS_link, vec![path_arg(), path_arg()]),
        3 => call("linkat", libc::SYS_linkat, vec![dirfd(), path_arg(), dirfd(), path_arg(),
            flags(&[libc::AT_SYMLINK_FOLLOW, libc::AT_SYMLINK_FOLLOW, 0x100])]),
        6 => call("symlink", libc::SYS_symlink, vec![path_arg(), path_arg()]),
        2 => call("symlinkat", libc::SYS_symlinkat, vec![path_arg(), dirfd(), path_arg()]),
    ]
    .boxed()
}

fn looking() -> BoxedStrategy<Vec<Call>> {
    let stat = || out(Shape::Stat, STAT_LEN);
    let at =
        || flags(&[libc::AT_SYMLINK_NOFOLLOW, libc::AT_EMPTY_PATH, libc::AT_NO_AUTOMOUNT, 0x200]);
    let buffer = || out(Shape::Bytes, BUFFER_LEN);
    let size = || select(vec![0i64, 1, 3, 4096, -1]).prop_map(Arg::Int).boxed();
    let room = || select(vec![0i64, 20, 24, 60, 4096]).prop_map(Arg::Int).boxed();
    let mask = int(0xfff);
    prop_oneof![
        3 => call("stat", libc::SYS_stat, vec![path_arg(), stat()]),
        3 => call("lstat", libc::SYS_lstat, vec![path_arg(), stat()]),
        3 => call("fstat", libc::SYS_fstat, vec![fd(), stat()]),
        4 => call("newfstatat", libc::SYS_newfstatat, vec![dirfd(), path_arg(), stat(), at()]),
        4 => call("statx", libc::SYS_statx,
            vec![dirfd(), path_arg(), at(), mask, out(Shape::Statx, STATX_LEN)]),
        2 => call("readlink", libc::SYS_readlink, vec![path_arg(), buffer(), size()]),
        2 => call("readlinkat", libc::SYS_readlinkat, vec![dirfd(), path_arg(), buffer(), size()]),
        3 => call("getdents64", libc::SYS_getdents64,
            vec![fd(), out(Shape::Dirents, BUFFER_LEN), int(4096)]),
        1 => call("getdents64 into little", libc::SYS_getdents64, vec![fd(), int(8), room()]),
        2 => call("getcwd", libc::SYS_getcwd, vec![buffer(), size()]),
        3 => call("chdir", libc::SYS_chdir, vec![path_arg()]),
        1 => call("chroot", libc::SYS_chroot, vec![path_arg()]),
        2 => call("fchdir", libc::SYS_fchdir, vec![fd()]),
        2 => call("access", libc::SYS_access, vec![path_arg(), (0..9i64).prop_map(Arg::Int).boxed()]),
        4 => call("faccessat2", libc::SYS_faccessat2, vec![dirfd(), path_arg(),
            (0..8i64).prop_map(Arg::Int).boxed(),
            flags(&[libc::AT_EACCESS, libc::AT_EACCESS, libc::AT_SYMLINK_NOFOLLOW, libc::AT_EMPTY_PATH])]),
    ]
    .boxed()
}

fn changing() -> BoxedStrategy<Vec<Call>> {
    let at = || flags(&[libc::AT_SYMLINK_NOFOLLOW, libc::AT_EMPTY_PATH, 0x200]);
    let allocate = flags(&[1, 2, 3, 8, 16, 32]);
    prop_oneof![
        4 => call("chmod", libc::SYS_chmod, vec![path_arg(), mode()]),
        2 => call("fchmod", libc::SYS_fchmod, vec![fd(), mode()]),
        3 => call("fchmodat2", 452, vec![dirfd(), path_arg(), mode(), at()]),
        3 => call("chown", libc::SYS_chown, vec![path_arg(), id(), id()]),
        2 => call("lchown", libc::SYS_lchown, vec![path_arg(), id(), id()]),
        2 => call("fchown", libc::SYS_fchown, vec![fd(), id(), id()]),
        2 => call("fchownat", libc::SYS_fchownat, vec![dirfd(), path_arg(), id(), id(), at()]),
        4 => call("utimensat", libc::SYS_utimensat, vec![dirfd(), path_arg(), timespecs(), at()]),
        1 => call("utimes", libc::SYS_utimes, vec![path_arg(), timespecs()]),
        1 => call("utime", libc::SYS_utime, vec![path_arg(), timespecs()]),
        1 => call("futimesat", libc::SYS_futimesat, vec![dirfd(), path_arg(), timespecs()]),
        1 => call("fchmodat", libc::SYS_fchmodat, vec![dirfd(), path_arg(), mode()]),
        2 => call("truncate", libc::SYS_truncate, vec![path_arg(), len()]),
        3 => call("ftruncate", libc::SYS_ftruncate, vec![fd(), len()]),
        2 => call("fallocate", libc::SYS_fallocate, vec![fd(), allocate, len(), len()]),
        1 => call("umask", libc::SYS_umask, vec![mode()]),
    ]
    .boxed()
}

fn attributes() -> BoxedStrategy<Vec<Call>> {
    let value = || bytes().prop_map(Arg::Bytes).boxed();
    let size = || select(vec![0i64, 1, 3, 1]).prop_map(Arg::Int).boxed();
    let room = || select(vec![0i64, 1, 4096, 4096]).prop_map(Arg::Int).boxed();
    let set = || flags(&[1, 2, 4]);
    let output = || out(Shape::Bytes, BUFFER_LEN);
    let names = || out(Shape::Names, BUFFER_LEN);
    prop_oneof![
        3 => call("setxattr", libc::SYS_setxattr,
            vec![path_arg(), xattr_name(), value(), int(1), set()]),
        2 => call("fsetxattr", libc::SYS_fsetxattr, vec![fd(), xattr_name(), value(), size(), set()]),
        2 => call("lsetxattr", libc::SYS_lsetxattr,
            vec![path_arg(), xattr_name(), value(), int(1), set()]),
        2 => call("getxattr", libc::SYS_getxattr, vec![path_arg(), xattr_name(), output(), room()]),
        2 => call("fgetxattr", libc::SYS_fgetxattr, vec![fd(), xattr_name(), output(), room()]),
        2 => call("listxattr", libc::SYS_listxattr, vec![path_arg(), names(), room()]),
        1 => call("llistxattr", libc::SYS_llistxattr, vec![path_arg(), names(), room()]),
        1 => call("flistxattr", libc::SYS_flistxattr, vec![fd(), names(), room()]),
        1 => call("removexattr", libc::SYS_removexattr, vec![path_arg(), xattr_name()]),
        1 => call("fremovexattr", libc::SYS_fremovexattr, vec![fd(), xattr_name()]),
    ]
    .boxed()
}

fn contents() -> BoxedStrategy<Vec<Call>> {
    let buffer = || out(Shape::Bytes, BUFFER_LEN);
    let write = (fd(), bytes()).prop_map(|(fd, bytes)| {
        let len = Arg::Int(bytes.len() as i64);
        vec![Call::new("write", libc::SYS_write, vec![fd, Arg::Bytes(bytes), len])]
    });
    let offset = || select(vec![0i64, 1, 4000, 70_000, -1]).prop_map(Arg::Int).boxed();
    // Positions in a directory mean something to its file system only.
    let seek = select(vec![0i64, 0, -1]).prop_map(Arg::Int).boxed();
    // Where data begin and end is up to the file system, too.
    let whence = select(vec![0i64, 0, 2, 5]).prop_map(Arg::Int).boxed();
    prop_oneof![
        5 => write,
        4 => call("read", libc::SYS_read, vec![fd(), buffer(), int(100)]),
        2 => call("pread64", libc::SYS_pread64, vec![fd(), buffer(), int(100), offset()]),
        2 => call("lseek", libc::SYS_lseek, vec![fd(), seek, whence]),
        1 => call("dup", libc::SYS_dup, vec![fd()]),
    ]
    .boxed()
}

fn users() -> BoxedStrategy<Vec<Call>> {
    select(vec![0i64, 1000, 1001]).prop_map(become_user).boxed()
}

/// A file that is there from the start.
#[derive(Clone, Debug)]
pub enum LowerFile {
    /// A directory, mode 755.
    Directory(&'static str),
    /// A file with its contents, mode 644.
    File(&'static str, Vec<u8>),
    /// A link with its target.
    Symlink(&'static str, &'static str),
}

/// What lies in the lower layer of an overlay, parents first.
pub fn lower_files() -> Vec<LowerFile> {
    vec![
        LowerFile::Directory("/a"),
        LowerFile::Directory("/a/b"),
        LowerFile::File("/a/b/c", b"deep".to_vec()),
        LowerFile::File("/a/a", vec![7; 5000]),
        LowerFile::Symlink("/a/l", "../c"),
        LowerFile::Directory("/b"),
        LowerFile::File("/b/b", vec![]),
        LowerFile::File("/c", b"lower".to_vec()),
        LowerFile::Symlink("/l", "a"),
    ]
}

/// The calls that make them.
pub fn make_lower_files() -> Vec<Call> {
    let text = |text: &str| Arg::Str(text.into());
    let make = |file| match file {
        LowerFile::Directory(path) => {
            vec![Call::new("mkdir", libc::SYS_mkdir, vec![text(path), Arg::Int(0o755)])]
        }
        LowerFile::File(path, bytes) => {
            let len = Arg::Int(bytes.len() as i64);
            vec![
                Call::new("creat", libc::SYS_creat, vec![text(path), Arg::Int(0o644)]),
                Call::new("write", libc::SYS_write, vec![Arg::Int(0), Arg::Bytes(bytes), len]),
                Call::new("close", libc::SYS_close, vec![Arg::Int(0)]),
            ]
        }
        LowerFile::Symlink(path, target) => {
            vec![Call::new("symlink", libc::SYS_symlink, vec![text(target), text(path)])]
        }
    };
    lower_files().into_iter().flat_map(make).collect()
}

/// Some files, directories, links and descriptors to begin with.
fn beginning() -> BoxedStrategy<Vec<Call>> {
    let text = |text: &str| Arg::Str(text.into());
    let open = |path: &str, flags: c_int| {
        let flags = Arg::Int((flags | libc::O_NONBLOCK).into());
        vec![Call::new("open", libc::SYS_open, vec![text(path), flags, Arg::Int(0o666)])]
    };
    let mkdir = |path: &str, mode| {
        vec![Call::new("mkdir", libc::SYS_mkdir, vec![text(path), Arg::Int(mode)])]
    };
    let symlink = |target: &str, path: &str| {
        vec![Call::new("symlink", libc::SYS_symlink, vec![text(target), text(path)])]
    };
    let file = |path: &str, bytes: &[u8]| {
        let made = open(path, libc::O_CREAT | libc::O_RDWR);
        let len = Arg::Int(bytes.len() as i64);
        let args = vec![Arg::Int(4), Arg::Bytes(bytes.to_vec()), len];
        [made, vec![Call::new("write", libc::SYS_write, args)]].concat()
    };
    let fifo = vec![Arg::Str("b/c".into()), Arg::Int((libc::S_IFIFO | 0o644).into()), Arg::Int(0)];
    let steps = vec![
        mkdir("a", 0o777),
        mkdir("a/b", 0o755),
        mkdir("b", 0o777),
        open("/", libc::O_RDONLY),
        open("a", libc::O_DIRECTORY),
        open("b", libc::O_PATH),
        symlink("a", "l"),
        symlink("../c", "a/l"),
        file("c", b"some text"),
        file("a/a", &[7; 5000]),
        file("b/a", b""),
        vec![Call::new("mknod", libc::SYS_mknod, fifo)],
        open("b/c", libc::O_RDWR),
        vec![Call::new("link", libc::SYS_link, vec![text("c"), text("a/c")])],
        open("c", libc::O_PATH),
        open("/a", libc::O_TMPFILE | libc::O_RDWR),
        mkdir("a/b/a", 0o700),
    ];
    let count = steps.len();
    let kept = vec(prop::bool::weighted(0.9), count);
    let choose = move |kept: Vec<bool>| {
        let kept = steps.iter().zip(kept).filter(|(_, kept)| *kept);
        kept.flat_map(|(step, _)| step.clone()).collect()
    };
    kept.prop_map(choose).boxed()
}

/// A sequence of up to `len` random calls.
pub fn sequence(len: usize) -> impl Strategy<Value = Vec<Call>> {
    let any_call = prop_oneof![
        6 => opening(),
        8 => naming(),
        6 => looking(),
        5 => changing(),
        2 => attributes(),
        4 => contents(),
        1 => users(),
    ];
    let everybody = any::<bool>().prop_map(|open| {
        let mode = comparable(if open { 0o1777 } else { 0o755 });
        let args = vec![Arg::Str("/".into()), Arg::Int(mode)];
        vec![Call::new("chmod", libc::SYS_chmod, args)]
    });
    let calls = (everybody, beginning(), vec(any_call, 1..len));
    calls.prop_map(|(root, beginning, rest)| {
        root.into_iter().chain(beginning).chain(rest.into_iter().flatten()).collect()
    })
}
