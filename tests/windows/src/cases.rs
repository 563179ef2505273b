//! Shell scripts that must do on Windows what they do on Linux, from the same root file system.
//! There, other tests compare lx with the native kernel.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use lx_tests::{Run, compare, lx};

use crate::{expectations, rootfs, wine};

/// Scripts for busybox's shell: what each is about, and its text.
const SCRIPTS: &[(&str, &str)] = &[
    ("echo", "echo hello"),
    ("exit_status", "exit 7"),
    ("standard_error", "echo out; echo err >&2; exit 3"),
    ("arithmetic", "i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); done; echo $i"),
    ("subshell", "x=1; (x=2; echo $x); echo $x"),
    ("command_substitution", "echo $(echo $(echo deep))"),
    ("fork_many", "for i in 1 2 3 4 5 6 7 8 9 10; do (exit $i); echo $?; done"),
    ("pipe", "echo abc | tr a-c A-C"),
    ("long_pipe", "seq 1000 | sort -n | uniq | tail -n 1 | cat | cat"),
    ("big_pipe", "head -c 1000000 /dev/zero | md5sum"),
    ("exec", "exec /bin/busybox echo replaced"),
    ("not_found", "no-such-program 2> /dev/null; echo $?"),
    ("background", "(exit 3) & wait $!; echo $?"),
    ("kill", "sleep 100 & kill $!; wait $!; echo $?"),
    ("kill_self", "kill -9 $$"),
    ("trap", "trap 'echo caught' USR1; kill -USR1 $$; echo after"),
    ("trap_exit", "trap 'echo bye' EXIT; exit 4"),
    ("files", "cd /tmp && echo a > a && cat a a > b && wc -c b && rm a b && ls"),
    ("redirections", "cd /tmp && { echo 1; echo 2 >&2; } > a 2>&1 && cat a && rm a"),
    ("here_document", "cat <<X\nline $((1 + 1))\nX"),
    ("directories", "mkdir -p /tmp/x/y && cd /tmp/x/y && pwd && cd / && rmdir /tmp/x/y /tmp/x"),
    ("links", "cd /tmp && ln -s nowhere l && readlink l && rm l && ln /etc/passwd p && rm p"),
    ("find", "find /etc | sort"),
    ("sed_awk", "seq 5 | sed s/3/three/ | awk '{ print NR \": \" $0 }'"),
    ("tar", "cd /tmp && tar cf t.tar -C / etc && tar tf t.tar | sort && rm t.tar"),
    ("gzip", "seq 10000 | gzip | gunzip | md5sum"),
    ("read_loop", "seq 100 | { n=0; while read x; do n=$((n + x)); done; echo $n; }"),
    ("sleep", "sleep 0.1; echo slept"),
    ("fifo", "mkfifo /tmp/f; (echo through > /tmp/f) & cat /tmp/f; rm /tmp/f"),
    ("proc", "cd /proc/self && readlink cwd && head -n 1 status"),
];

/// Options and programs of `lx run`, behind `--rootfs`.
const ARGUMENTS: &[(&str, &[&str])] = &[
    ("not_found", &["no-such-program"]),
    ("not_found_path", &["/no/such"]),
    ("not_executable", &["/etc/passwd"]),
    ("directory", &["/etc"]),
    ("user", &["-u", "root:5", "--", "/bin/busybox", "id"]),
    ("unknown_user", &["-u", "nobody", "--", "/bin/busybox", "id"]),
    ("workdir", &["-w", "/etc", "/bin/busybox", "pwd"]),
    ("bad_workdir", &["-w", "/nowhere", "/bin/busybox", "pwd"]),
    ("environment", &["-e", "A=x y", "/bin/sh", "-c", "echo $A $HOME ${PATH%%:/mnt/*}"]),
    ("arguments", &["/bin/busybox", "echo", "a b", "", "\"q\"", "back\\slash\\", "ä"]),
    ("standard_input", &["/bin/busybox", "cat"]),
];

/// One test for each script and each set of arguments.
pub(crate) fn trials() -> Result<Vec<Trial>, String> {
    let root = rootfs::small()?;
    let scripts = SCRIPTS.iter().map(|(name, script)| {
        // Its own applets first, as in the tree.
        let script = format!("export PATH=/bin; {script}");
        expectations::trial(format!("busybox::{name}"), move || {
            same(root, &["--", "/bin/sh", "-c", &script])
        })
    });
    let arguments = ARGUMENTS.iter().map(|(name, arguments)| {
        expectations::trial(format!("arguments::{name}"), move || same(root, arguments))
    });
    Ok(scripts.chain(arguments).collect())
}

fn same(root: &Path, arguments: &[&str]) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let run = |root: &str, lx: Run| lx.args(["run", "--rootfs", root]).args(arguments).outcome();
    let root = root.to_str().ok_or("the path of the archive is no text")?;
    let on_linux = run(root, Run::new(lx::command()?, scratch.path()))?;
    let no_more: [&str; 0] = [];
    let on_windows = run(&format!("Z:{root}"), wine::lx(no_more, scratch.path())?)?;
    Ok(compare::outcomes(&on_linux, "lx.exe", &on_windows)?)
}
