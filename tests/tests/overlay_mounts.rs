//! `mount -t overlay` in a guest: its options, and what it leaves in the upper layer.

use std::path::Path;

use lx_tests::{Outcome, Run, lx};
use rustix::process::geteuid;

/// Calls mount(2) with options; prints how it ended.
const OPTIONS: &str = r#"import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(options, flags=0):
    result = libc.mount(b"overlay", b"m", b"overlay", flags, options and options.encode())
    error = errno.errorcode.get(ctypes.get_errno()) if result else "mounted"
    if result == 0:
        libc.umount2(b"m", 2)
    print(options, error)
both = "upperdir=u,workdir=w"
for options in [None, "", "lowerdir=l1", both, "bad", "lowerdir=l1:l2", "lowerdir=nope:l1"]:
    attempt(options)
for lower in ["l1", "l1:l2", "", "l1:", "file", "l1:l1", "u", "a\\:b", "nope"]:
    attempt(f"lowerdir={lower},{both}")
for upper in ["file", "nope", "", "l1", "l1/d", "w"]:
    attempt(f"lowerdir=l1,upperdir={upper},workdir=w")
for work in ["file", "nope", "", "u", "u/inner", "other/w"]:
    attempt(f"lowerdir=l1,upperdir=u,workdir={work}")
for more in ["bad=1", "index=off,xino=off,redirect_dir=off,metacopy=off", "metacopy=what"]:
    attempt(f"lowerdir=l1,{both},{more}")
attempt("lowerdir=l1,workdir=w")
attempt("lowerdir=l1,upperdir=u")
attempt("lowerdir+=l1,lowerdir+=l2")
"#;

/// Makes layers, mounts them and changes much. The first argument is a folder to mount on.
const SCRIPT: &str = r#"exec 2>&1; umask 022; mount -t tmpfs none "$1" || exit; cd "$1"
mkdir l1 l2 u w m other l1/d l2/d u/inner a:b l2/deep l2/deep/er l2/tree; mount -t tmpfs none other; mkdir other/w
echo a > l1/a; echo b > l2/b; echo low > l2/a; echo 1 > l1/d/1; echo 2 > l2/d/2; : > file; echo u > u/u
echo deep > l2/deep/er/file; ln -s b l2/link; mkfifo l2/fifo; echo x > l2/run; chown 5:6 l2/run; chmod 4755 l2/run
echo t > l2/tree/t; ln l2/b l2/hard; for n in 1 2 3 4; do echo $n > l2/n$n; done; head -c 300000 /dev/urandom > l2/big
setfattr() { python3 -c 'import os,sys; os.setxattr(*sys.argv[1:3], sys.argv[3].encode())' "$@"; }
attributes() { python3 -c 'import os,sys; print([(n, os.getxattr(sys.argv[1], n)) for n in sorted(os.listxattr(sys.argv[1])) if n[16:] not in ["origin", "impure"]])' "$1"; }
setfattr l2/run trusted.t value; touch -d 2001-02-03 l2/run l2/deep/er/file; touch -d 2001-02-03 l2/deep/er l2/deep
python3 -c "$2"
list() { for f in "$@"; do stat -c '%n %F %a %u %g %t:%T' "$f"; done; }
mount -t overlay name -o lowerdir=l1:l2,upperdir=u,workdir=w m || exit; cd m
grep ' overlay ' /proc/mounts | tail -1 | sed 's/.* overlay //; s/relatime,//; s/,index=[a-z]*//'; stat -f -c %T .
find . | sort; cat a b d/1 d/2 u; readlink link; ls -A ../w
stat -c '%a %u %g %y' run; touch run; list run ../u/run; attributes run; attributes ../u/run
echo more >> b; cat b ../u/b; cat ../l2/b hard; cmp big ../l2/big && head -c 1 big >> big; stat -c %s big ../l2/big ../u/big
echo new > deep/er/new; find ../u/deep | sort; stat -c %y deep/er/file; chmod 600 deep/er/file; stat -c '%a %y' ../u/deep/er/file
rm a; cat a; ls; list ../u/a; echo again > a; list ../u/a; cat a; rm a; rm n1; ln b n1; cat n1; rm n1 || echo none; list ../u/n1
rmdir d; rm -r d; ls d; list ../u/d; mkdir d; ls -A d; attributes ../u/d; attributes d; echo e > d/e; rm -r d; list ../u/d
mv n2 moved; cat moved n2; list ../u/n2 ../u/moved; mv n3 n4; cat n4; list ../u/n3 ../u/n4; mv moved n2; cat n2
mv inner inner2; ls ../u/inner2; python3 -c 'import os
try: os.rename("tree", "tree2")
except OSError as e: print(e)'
mv tree tree2; find tree2 tree; list ../u/tree; mkdir own; mv own tree; attributes ../u/tree; ls -A tree
mkdir empty full; : > full/x; rmdir full; mv -T empty full; mv -T full deep; rm full/x; mv -T empty full; ls; rm link; ln -s a link; readlink link; list ../u/link
(cat; cat) < fifo & echo one > fifo; wait; rm fifo; list ../u/fifo; mkdir d2; setfattr d2 user.a b; attributes ../u/d2
python3 -c 'import os
for n in ["trusted.overlay.opaque", "trusted.overlay.x"]:
    for f in [lambda: os.getxattr("d2", n), lambda: os.setxattr("d2", n, b"y")]:
        try: print(f())
        except OSError as e: print(e)'
attributes d2; attributes ../u/d2; mknod zero c 0 0; mknod null c 1 3; list null ../u/null; rm null
exec 3< big; stat -c '%s' big; : > big; stat -c %s big ../u/big; wc -c <&3; exec 3<&-
mount -o remount,ro "$1/m"; touch b; echo x > new; mount -o remount,rw "$1/m"; touch b; cd ..; umount other; umount m; cd u; find . | sort
cd ..; mount -t overlay name -o lowerdir=u:l2 m; cd m; ls; echo x > new; rm b; cat b; touch b; cd ..; umount m"#;

#[track_caller]
fn text(outcome: &Outcome) -> String {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!((&*stderr, &outcome.defect), ("", &None));
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

#[test]
fn overlays_of_folders_are_as_on_linux() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("mnt");
    std::fs::create_dir(&folder).unwrap();
    let script = ["/bin/bash", "-c", SCRIPT, "-", folder.to_str().unwrap(), OPTIONS];
    let run = |program: &Path, args: &[&str]| {
        text(&Run::new(program, scratch.path()).args(args).args(script).outcome().unwrap())
    };
    let on_lx = run(&lx::command().unwrap(), &["run", "-u", "root"]);
    assert!(on_lx.lines().any(|line| line.ends_with("mounted")), "{on_lx}");
    if geteuid().is_root() {
        let natively = run(Path::new("unshare"), &["--mount"]);
        similar(&on_lx, &natively);
    }
}

/// Fails with the lines that differ.
#[track_caller]
fn similar(on_lx: &str, natively: &str) {
    let differ: Vec<_> = on_lx.lines().zip(natively.lines()).filter(|(a, b)| a != b).collect();
    assert_eq!(differ, [], "on lx, natively");
    assert_eq!(on_lx.lines().count(), natively.lines().count());
}
