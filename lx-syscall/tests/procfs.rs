//! procfs, as programs read it.
#![allow(clippy::indexing_slicing, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Machine, call, mount, read_file, run};
use host_mock::Guest;
use lx_proc::procfs;

fn with_proc(program: impl Fn(&mut Guest, &Machine) + Send + Sync + 'static) {
    run(1, move |guest, machine| {
        mount(guest, machine, "proc", procfs::new(&machine.kernel));
        program(guest, machine);
    });
}

fn link(guest: &mut Guest, path: &str) -> Result<String, i64> {
    let path = guest.put_str(path);
    let buffer = guest.put(&[0; 256]);
    match call(guest, 89, &[path, buffer, 256]) {
        len if len < 0 => Err(len),
        len => Ok(String::from_utf8(guest.read(buffer, len as usize)).expect("text")),
    }
}

#[test]
fn stat_has_52_fields() {
    with_proc(|guest, machine| {
        let text = read_file(guest, "/proc/self/stat").expect("stat");
        assert!(text.starts_with("2 (test (1)) R 1 2 2 0 -1 "), "{text}");
        let fields = text.rsplit_once(')').expect("a name").1.split_whitespace().count();
        assert_eq!(fields, 50);
        assert_eq!(text, read_file(guest, "/proc/2/stat").expect("stat"));
        assert_eq!(machine.task.tid(), 2);
    });
}

#[test]
fn status_names_ids_and_signals() {
    with_proc(|guest, _| {
        let text = read_file(guest, "/proc/thread-self/status").expect("status");
        for line in [
            "Name:\ttest (1)\nUmask:\t0022\nState:\tR (running)\nTgid:\t2\n",
            "\nUid:\t0\t0\t0\t0\n",
            "\nThreads:\t1\n",
            "\nSigIgn:\t0000000000000000\n",
            "\nCapEff:\t000001ffffffffff\n",
            "\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        // As on Linux but for lines that come and go.
        let native = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let name = |line: &str| line.split(':').next().map(str::to_owned);
        let known: Vec<_> = native.lines().map(name).collect();
        for line in text.lines() {
            assert!(known.contains(&name(line)), "{line}");
        }
    });
}

#[test]
fn names_can_be_changed() {
    with_proc(|guest, _| {
        let path = guest.put_str("/proc/self/comm");
        let fd = call(guest, 2, &[path, 1, 0]) as u64;
        let name = guest.put_str("new name\n");
        assert_eq!(call(guest, 1, &[fd, name, 9]), 9);
        assert_eq!(read_file(guest, "/proc/2/comm").expect("comm"), "new name\n");
    });
}

#[test]
fn descriptors_are_links() {
    with_proc(|guest, _| {
        let dir = guest.put_str("/proc");
        assert_eq!(call(guest, 2, &[dir, 0o200_000, 0]), 0);
        assert_eq!(link(guest, "/proc/self/fd/0").expect("a link"), "/proc");
        assert_eq!(link(guest, "/proc/self/fd/9"), Err(-2));
        assert_eq!(link(guest, "/proc/self").expect("a link"), "2");
        assert_eq!(link(guest, "/proc/self/cwd").expect("a link"), "/");

        let fds = guest.put(&[0; 8]);
        assert_eq!(call(guest, 22, &[fds]), 0, "pipe");
        let name = link(guest, "/proc/self/fd/1").expect("a link");
        assert!(name.starts_with("pipe:["), "{name}");
        // Opening the link opens the pipe once more.
        let path = guest.put_str("/proc/self/fd/1");
        let again = call(guest, 2, &[path, 0, 0]) as u64;
        assert_eq!(again, 3);
        let text = guest.put_str("hello");
        assert_eq!(call(guest, 1, &[2, text, 5]), 5);
        let buffer = guest.put(&[0; 8]);
        assert_eq!(call(guest, 0, &[again, buffer, 8]), 5);
        let info = read_file(guest, "/proc/self/fdinfo/0").expect("fdinfo");
        assert!(info.starts_with("pos:\t0\nflags:\t0300000\nmnt_id:\t"), "{info}");
    });
}

#[test]
fn mounts_and_limits() {
    with_proc(|guest, _| {
        let mounts = read_file(guest, "/proc/mounts").expect("mounts");
        assert!(mounts.contains("\nproc /proc proc rw 0 0\n"), "{mounts}");
        let info = read_file(guest, "/proc/self/mountinfo").expect("mountinfo");
        assert!(info.lines().all(|line| line.contains(" - ")), "{info}");
        let limits = read_file(guest, "/proc/self/limits").expect("limits");
        assert_eq!(limits.lines().count(), 17);
    });
}

#[test]
fn the_system() {
    with_proc(|guest, _| {
        for (path, start) in [
            ("/proc/version", "Linux version 6.1.0-lx "),
            ("/proc/meminfo", "MemTotal: "),
            ("/proc/cpuinfo", "processor\t: 0\n"),
            ("/proc/stat", "cpu  0 0 0 "),
            ("/proc/sys/kernel/osrelease", "6.1.0-lx\n"),
            ("/proc/sys/kernel/pid_max", "4194304\n"),
            ("/proc/sys/kernel/hostname", "lx\n"),
            ("/proc/sys/fs/nr_open", "1048576\n"),
            ("/proc/sys/vm/overcommit_memory", "1\n"),
        ] {
            let text = read_file(guest, path).expect(path);
            assert!(text.starts_with(start), "{path}: {text}");
        }
        let uuids =
            [0; 2].map(|_| read_file(guest, "/proc/sys/kernel/random/uuid").expect("a uuid"));
        assert_ne!(uuids[0], uuids[1]);
        assert_eq!(uuids[0].len(), 37);
        assert_eq!(read_file(guest, "/proc/999/stat"), Err(-2));
        assert_eq!(read_file(guest, "/proc/02/stat"), Err(-2));
        assert_eq!(read_file(guest, "/proc/1/comm").expect("init"), "init\n");
    });
}

#[test]
fn every_file_can_be_read() {
    fn visit(guest: &mut Guest, path: &str, count: &mut u32) {
        let name = guest.put_str(path);
        let fd = call(guest, 2, &[name, 0o200_000, 0]);
        assert!(fd >= 0, "{path}: {fd}");
        let buffer = guest.put(&[0; 8192]);
        loop {
            let len = call(guest, 217, &[fd as u64, buffer, 8192]) as usize;
            let entries = guest.read(buffer, len);
            let mut at = 0;
            while at < len {
                let size = usize::from(u16::from_ne_bytes([entries[at + 16], entries[at + 17]]));
                let name = entries[at + 19..at + size].split(|byte| *byte == 0).next();
                let name = String::from_utf8(name.expect("a name").to_vec()).expect("text");
                let path = format!("{path}/{name}");
                match entries[at + 18] {
                    4 if name != "." && name != ".." => visit(guest, &path, count),
                    // A process's memory, which has holes.
                    8 if name == "mem" => {}
                    8 => {
                        read_file(guest, &path).expect(&path);
                        *count += 1;
                    }
                    10 if !name.ends_with("exe") && !path.starts_with("/proc/1/") => {
                        link(guest, &path).expect(&path);
                    }
                    _ => {}
                }
                at += size;
            }
            if len == 0 {
                break;
            }
        }
        assert_eq!(call(guest, 3, &[fd as u64]), 0);
    }
    with_proc(|guest, machine| {
        let mut count = 0;
        visit(guest, "/proc/2", &mut count);
        visit(guest, "/proc/sys", &mut count);
        assert!(count > 80, "{count}");
        mount(guest, machine, "sys", procfs::sysfs::new(&machine.kernel));
        visit(guest, "/sys", &mut count);
        assert_eq!(read_file(guest, "/sys/devices/system/cpu/online").expect("online"), "0\n");
    });
}
