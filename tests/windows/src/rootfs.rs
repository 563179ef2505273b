//! Root file systems for the guests, as archives that are made from this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{fs, io};

use tempfile::TempDir;

/// A small tree: busybox, static, under the names that scripts use.
const SMALL: &str = "
    mkdir -p bin etc tmp root usr/bin
    cp /bin/busybox bin/busybox
    for name in $(bin/busybox --list); do [ -e bin/$name ] || ln -s busybox bin/$name; done
    echo root:x:0:0:root:/root:/bin/sh > etc/passwd
    echo root:x:0: > etc/group
    chmod 1777 tmp
    tar --numeric-owner --owner=0 --group=0 -cf ../small.tar .
";

/// The archive with busybox.
///
/// # Errors
/// A sentence if it cannot be made.
pub(crate) fn small() -> Result<&'static Path, String> {
    static ARCHIVE: OnceLock<Result<Archive, String>> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| Archive::new(SMALL, "small.tar"));
    archive.as_ref().map(|archive| archive.path.as_path()).map_err(Clone::clone)
}

/// Packs the folder `tree` as it is, with the programs of `tests/guest` in it.
const GUESTS: &str = "
    mkdir -p bin tmp etc lib64 usr/bin usr/lib
    for program in $LX_GUESTS /bin/true; do
        cp $program bin/
        for library in $(ldd $program | grep -o '/[^ ]*'); do
            [ -e .$library ] || cp --parents $library .
        done
    done
    cp /bin/busybox bin/busybox
    for name in sh false cat echo; do ln -s busybox bin/$name; done
    echo root:x:0:0:root:/root:/bin/sh > etc/passwd
    echo root:x:0: > etc/group
    printf '127.0.0.1 localhost\n::1 localhost\n' > etc/hosts
    chmod 1777 tmp
    tar --numeric-owner --owner=0 --group=0 -cf ../guests.tar .
";

/// The archive with the guest programs of `tests/guest`, dynamically linked, and busybox.
///
/// # Errors
/// A sentence if it cannot be made.
pub(crate) fn guests(programs: &[PathBuf]) -> Result<&'static Path, String> {
    static ARCHIVE: OnceLock<Result<Archive, String>> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| guest_tree(programs));
    archive.as_ref().map(|archive| archive.path.as_path()).map_err(Clone::clone)
}

/// A smaller one, with the programs of the stress tests only.
///
/// # Errors
/// As [`guests`].
pub(crate) fn stress(programs: &[PathBuf]) -> Result<&'static Path, String> {
    static ARCHIVE: OnceLock<Result<Archive, String>> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| guest_tree(programs));
    archive.as_ref().map(|archive| archive.path.as_path()).map_err(Clone::clone)
}

fn guest_tree(programs: &[PathBuf]) -> Result<Archive, String> {
    let list: Vec<_> = programs.iter().map(|path| path.display().to_string()).collect();
    Archive::new(&GUESTS.replace("$LX_GUESTS", &list.join(" ")), "guests.tar")
}

/// The files of these packages and of all that they need, without documentation; and the scripts.
const DEBIAN: &str = r"
    packages='base-files base-passwd bash busybox-static coreutils dash diffutils findutils grep less
        gzip hostname libc-bin mawk ncurses-base perl procps python3 sed tar tmux tzdata util-linux vim-tiny'
    without='--no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances'
    all=$(apt-cache depends --recurse --installed $without $packages | grep '^[a-z]')
    all=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $(echo $all | tr ' ' '\n' |
        sed 's/:.*//' | sort -u) 2> /dev/null | sed -n 's/^ii *//p' | sort -u)
    {
        dpkg -L $all
        ls -d /bin /sbin /lib /lib64 /etc/passwd /etc/group /etc/ld.so.cache /root /dev /proc /sys
        ls -d /etc/alternatives/*
        find /usr/bin -lname '/etc/alternatives/*'
    } | grep -v '^/usr/share/\(doc\|man\|locale\|info\|lintian\|i18n\)/\|^/\.$\|/gconv/' |
        sed 's#^/\(bin\|sbin\|lib\|lib64\)/#/usr/\1/#' | sort -u > ../list
    mkdir -m 1777 tmp
    set -- --numeric-owner --owner=0 --group=0
    tar $@ -C / --no-recursion --ignore-failed-read -cf ../debian.tar -T ../list 2> /dev/null || true
    mkdir etc
    printf '127.0.0.1 localhost\n::1 localhost\n' > etc/hosts
    tar $@ -rf ../debian.tar tmp etc/hosts
    tar $@ -C / -P -rf ../debian.tar $LX_SCRIPTS
";

/// The archive with a Debian tree of what `tests/programs` needs.
///
/// # Errors
/// A sentence if it cannot be made.
pub(crate) fn debian() -> Result<&'static Path, String> {
    static ARCHIVE: OnceLock<Result<Archive, String>> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| {
        let scripts = lx_tests::programs::folder().display().to_string();
        Archive::new(&DEBIAN.replace("$LX_SCRIPTS", &scripts), "debian.tar")
    });
    archive.as_ref().map(|archive| archive.path.as_path()).map_err(Clone::clone)
}

struct Archive {
    path: PathBuf,
}

/// Where the archives are made.
static FOLDER: Mutex<Option<TempDir>> = Mutex::new(None);

/// Removes all archives: statics are not dropped when the program ends.
pub(crate) fn remove() {
    drop(FOLDER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A new folder for one archive.
fn folder() -> io::Result<PathBuf> {
    let mut folder = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = match &mut *folder {
        Some(folder) => folder,
        none => none.insert(tempfile::tempdir()?),
    };
    Ok(tempfile::tempdir_in(folder.path())?.keep())
}

impl Archive {
    fn new(script: &str, name: &str) -> Result<Self, String> {
        let folder = folder().map_err(|error| error.to_string())?;
        let tree = folder.join("tree");
        fs::create_dir(&tree).map_err(|error| error.to_string())?;
        let script = format!("set -e\n{script}");
        let output = Command::new("/bin/sh").args(["-c", &script]).current_dir(&tree).output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("cannot make the root file system {name}: {said}"));
        }
        Ok(Self { path: folder.join(name) })
    }
}
